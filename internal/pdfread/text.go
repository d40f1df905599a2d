package pdfread

import (
	"bytes"
	"errors"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// ErrNotPDF says that the octets are no PDF.
var ErrNotPDF = errors.New("this is no PDF")

// Is says whether b begins as a PDF does.
func Is(b []byte) bool { return bytes.Contains(b[:min(len(b), 1024)], []byte("%PDF-")) }

// Read reads a PDF. The error is [ErrNotPDF] alone; what could not be read is in
// File.Problems. It never runs for longer than its limits allow.
func Read(b []byte) (*File, error) {
	if !Is(b) {
		return nil, ErrNotPDF
	}
	out := &File{}
	if len(b) > MaxSize {
		b = b[:MaxSize]
		out.Problems = append(out.Problems, "it is larger than may be read: its end was left out")
	}
	f := load(b)
	out.Encrypted = f.encrypted()
	if out.Encrypted {
		out.Problems = append(out.Problems, "it is encrypted: nothing inside was read")
		return out, nil
	}
	r := &reader{f: f, out: out, fonts: map[any]*font{}, left: maxOps}
	pages := r.pages()
	for _, p := range pages {
		r.page(p)
		if r.text.Len() > maxText {
			f.problem("it holds more text than may be read: the rest was left out")
			break
		}
	}
	out.Pages = len(pages)
	out.Text = r.text.String()
	r.active()
	if len(pages) == 0 {
		f.problem("no page was found in it")
	}
	out.Problems = append(out.Problems, f.problems...)
	return out, nil
}

type page struct {
	d   dict
	res dict
}

type reader struct {
	f     *file
	out   *File
	fonts map[any]*font
	text  bytes.Buffer
	left  int // operations
	runs  []run
	seen  map[*stream]bool
}

// pages walks the tree of pages; when it is broken every page object is taken.
func (r *reader) pages() []page {
	var out []page
	seen := map[int]bool{}
	var walk func(v any, res dict, depth int)
	walk = func(v any, res dict, depth int) {
		if x, ok := v.(ref); ok {
			if seen[x.num] {
				return
			}
			seen[x.num] = true
		}
		d := r.f.dict(v)
		if d == nil || depth > maxDepth || len(out) >= maxPages {
			return
		}
		if x := r.f.dict(d["Resources"]); x != nil {
			res = x
		}
		if kids := r.f.array(d["Kids"]); kids != nil {
			for _, k := range kids {
				walk(k, res, depth+1)
			}
			return
		}
		if r.f.get(d["Type"]) == name("Page") || d["Contents"] != nil {
			out = append(out, page{d, res})
		}
	}
	for i := len(r.f.trailers) - 1; i >= 0 && len(out) == 0; i-- {
		if root := r.f.dict(r.f.trailers[i]["Root"]); root != nil {
			walk(root["Pages"], nil, 0)
		}
	}
	if len(out) > 0 {
		return out
	}
	var nums []int
	for n, v := range r.f.objs {
		if d, ok := v.(dict); ok && r.f.get(d["Type"]) == name("Page") {
			nums = append(nums, n)
		}
	}
	slices.Sort(nums)
	for _, n := range nums[:min(len(nums), maxPages)] {
		d := r.f.objs[n].(dict)
		out = append(out, page{d, r.f.dict(d["Resources"])})
	}
	return out
}

func (r *reader) page(p page) {
	r.runs, r.seen = nil, map[*stream]bool{}
	var content []byte
	switch c := r.f.get(p.d["Contents"]).(type) {
	case *stream:
		content = r.f.decode(c)
	case []any:
		for _, x := range c[:min(len(c), 5000)] {
			if s, ok := r.f.get(x).(*stream); ok {
				content = append(append(content, r.f.decode(s)...), '\n')
			}
			if len(content) > maxStream {
				break
			}
		}
	}
	r.content(content, p.res, identity, 0)
	r.layout()
	r.text.WriteByte('\f')
	for _, a := range r.f.array(p.d["Annots"]) {
		r.link(r.f.dict(a))
	}
}

func (r *reader) link(d dict) {
	a := r.f.dict(d["A"])
	if a == nil {
		return
	}
	if u, ok := r.f.get(a["URI"]).(str); ok && len(r.out.Links) < maxLinks && len(u) < 8192 {
		if s := strings.ToValidUTF8(string(u), "\uFFFD"); !slices.Contains(r.out.Links, s) {
			r.out.Links = append(r.out.Links, s)
		}
	}
}

// active says what the file would run or carry.
func (r *reader) active() {
	has := map[string]bool{}
	var look func(v any, depth int)
	look = func(v any, depth int) {
		if r.left--; depth > maxDepth || r.left < 0 {
			return
		}
		var d dict
		switch v := v.(type) {
		case dict:
			d = v
		case *stream:
			d = v.d
		case []any:
			for _, x := range v {
				look(x, depth+1)
			}
			return
		default:
			return
		}
		switch r.f.get(d["S"]) {
		case name("JavaScript"):
			has["JavaScript"] = true
		case name("Launch"):
			has["Launch"] = true
		case name("SubmitForm"):
			has["SubmitForm"] = true
		case name("GoToR"), name("GoToE"):
			has["GoToRemote"] = true
		}
		if d["JS"] != nil || d["JavaScript"] != nil {
			has["JavaScript"] = true
		}
		if d["OpenAction"] != nil || d["AA"] != nil {
			has["OpenAction"] = true
		}
		if d["EmbeddedFiles"] != nil || d["Type"] == name("EmbeddedFile") || d["EF"] != nil {
			has["EmbeddedFile"] = true
		}
		if d["XFA"] != nil {
			has["XFA"] = true
		}
		if d["Type"] == name("RichMedia") || r.f.get(d["Subtype"]) == name("RichMedia") {
			has["RichMedia"] = true
		}
		for _, x := range d {
			look(x, depth+1)
		}
	}
	r.left = maxOps
	for _, v := range r.f.objs {
		look(v, 0)
	}
	for k := range has {
		r.out.Active = append(r.out.Active, k)
	}
	slices.Sort(r.out.Active)
}

type matrix [6]float64

var identity = matrix{1, 0, 0, 1, 0, 0}

func (m matrix) mul(n matrix) matrix {
	return matrix{m[0]*n[0] + m[1]*n[2], m[0]*n[1] + m[1]*n[3], m[2]*n[0] + m[3]*n[2], m[2]*n[1] + m[3]*n[3], m[4]*n[0] + m[5]*n[2] + n[4], m[4]*n[1] + m[5]*n[3] + n[5]}
}

// run is text at a place of the page.
type run struct {
	x, y, end, size float64
	text            string
}

const maxRuns = 400_000

// content runs a content stream for its text.
func (r *reader) content(b []byte, res dict, ctm matrix, depth int) {
	if depth > 12 {
		return
	}
	type state struct {
		ctm            matrix
		font           *font
		size           float64
		tc, tw, th, tl float64
		rise           float64
	}
	s := state{ctm: ctm, th: 1}
	var stack []state
	tm, tlm := identity, identity
	l := &lexer{b: b}
	var args []any
	num := func(i int) float64 {
		if i < len(args) {
			if n, ok := args[i].(float64); ok {
				return n
			}
		}
		return 0
	}
	show := func(t str) {
		if s.font == nil || len(r.runs) >= maxRuns {
			return
		}
		start := tm.mul(s.ctm)
		scale := math.Hypot(start[2], start[3])
		if scale == 0 {
			scale = 1
		}
		var out strings.Builder
		for _, g := range s.font.split(t) {
			out.WriteString(g.text)
			if g.text == "" || g.text == "\uFFFD" {
				r.out.Unmapped++
			}
			w := g.width*s.size + s.tc
			if g.space {
				w += s.tw
			}
			tm = matrix{1, 0, 0, 1, w * s.th, 0}.mul(tm)
		}
		end := tm.mul(s.ctm)
		if out.Len() > 0 {
			r.runs = append(r.runs, run{start[4], start[5] + s.rise, end[4], s.size * scale, out.String()})
		}
	}
	newline := func(tx, ty float64) {
		tlm = matrix{1, 0, 0, 1, tx, ty}.mul(tlm)
		tm = tlm
	}
	for {
		if r.left--; r.left < 0 {
			r.f.problem("its pages hold more than may be read: the rest was left out")
			return
		}
		v, err := l.next(0, false)
		if err != nil {
			if err != io.EOF {
				r.f.problem("a page's content is broken: %v", err)
			}
			return
		}
		op, ok := v.(keyword)
		if !ok {
			if len(args) < 64 {
				args = append(args, v)
			}
			continue
		}
		switch op {
		case "q":
			if len(stack) < 256 {
				stack = append(stack, s)
			}
		case "Q":
			if n := len(stack); n > 0 {
				s, stack = stack[n-1], stack[:n-1]
			}
		case "cm":
			s.ctm = matrix{num(0), num(1), num(2), num(3), num(4), num(5)}.mul(s.ctm)
		case "BT":
			tm, tlm = identity, identity
		case "Tf":
			if len(args) > 0 {
				if n, ok := args[0].(name); ok {
					s.font = r.font(r.f.dict(res["Font"])[n])
				}
			}
			s.size = num(1)
		case "Tc":
			s.tc = num(0)
		case "Tw":
			s.tw = num(0)
		case "Tz":
			s.th = num(0) / 100
		case "TL":
			s.tl = num(0)
		case "Ts":
			s.rise = num(0)
		case "Td":
			newline(num(0), num(1))
		case "TD":
			s.tl = -num(1)
			newline(num(0), num(1))
		case "Tm":
			tlm = matrix{num(0), num(1), num(2), num(3), num(4), num(5)}
			tm = tlm
		case "T*":
			newline(0, -s.tl)
		case "Tj", "'", "\"":
			if op == "\"" {
				s.tw, s.tc = num(0), num(1)
			}
			if op != "Tj" {
				newline(0, -s.tl)
			}
			if n := len(args); n > 0 {
				if t, ok := args[n-1].(str); ok {
					show(t)
				}
			}
		case "TJ":
			if len(args) > 0 {
				a, _ := args[0].([]any)
				for _, x := range a {
					switch x := x.(type) {
					case str:
						show(x)
					case float64:
						tm = matrix{1, 0, 0, 1, -x / 1000 * s.size * s.th, 0}.mul(tm)
					}
				}
			}
		case "Do":
			if len(args) > 0 {
				if n, ok := args[0].(name); ok {
					r.object(r.f.dict(res["XObject"])[n], res, s.ctm, depth)
				}
			}
		case "BI": // an inline image: skip to its end
			if i := bytes.Index(b[l.i:], []byte("EI")); i >= 0 {
				for i >= 0 && l.i+i+2 < len(b) && !(space(b[l.i+i-1]) && space(b[l.i+i+2])) {
					k := bytes.Index(b[l.i+i+2:], []byte("EI"))
					if k < 0 {
						i = -1
						break
					}
					i += 2 + k
				}
				if i < 0 {
					return
				}
				l.i += i + 2
			} else {
				return
			}
		}
		args = args[:0]
	}
}

func (r *reader) object(v any, res dict, ctm matrix, depth int) {
	s, ok := r.f.get(v).(*stream)
	if !ok {
		return
	}
	switch r.f.get(s.d["Subtype"]) {
	case name("Form"):
		if r.seen[s] && depth > 3 {
			return
		}
		r.seen[s] = true
		if x := r.f.dict(s.d["Resources"]); x != nil {
			res = x
		}
		if m := r.f.array(s.d["Matrix"]); len(m) == 6 {
			var k matrix
			for i := range k {
				k[i] = r.f.num(m[i], 0)
			}
			ctm = k.mul(ctm)
		}
		r.content(r.f.decode(s), res, ctm, depth+1)
	case name("Image"):
		if !r.seen[s] {
			r.seen[s] = true
			r.image(s)
		}
	}
}

const maxPixels = 40_000_000

func (r *reader) image(s *stream) {
	if len(r.out.Images) >= maxImages {
		return
	}
	w, h := int(r.f.num(s.d["Width"], 0)), int(r.f.num(s.d["Height"], 0))
	if w < 1 || h < 1 || w > 20000 || h > 20000 || w*h > maxPixels {
		return
	}
	names, _ := r.f.filters(s)
	im := Image{Width: w, Height: h}
	if n := len(names); n > 0 && (names[n-1] == "DCTDecode" || names[n-1] == "DCT") {
		if im.JPEG = r.f.decode(s); len(im.JPEG) == 0 {
			return
		}
		r.out.Images = append(r.out.Images, im)
		return
	}
	bits := int(r.f.num(s.d["BitsPerComponent"], 8))
	if r.f.get(s.d["ImageMask"]) == true {
		bits = 1
	}
	b := r.f.decode(s)
	comps, palette := r.space(s.d["ColorSpace"], 0)
	if bits != 1 && bits != 2 && bits != 4 && bits != 8 || comps < 1 {
		return
	}
	row := (w*comps*bits + 7) / 8
	if len(b) < row*h {
		return
	}
	grey := make([]byte, w*h)
	top := 1<<bits - 1
	for y := range h {
		line := b[y*row:]
		for x := range w {
			sum := 0
			for c := range comps {
				k := (x*comps + c) * bits
				v := int(line[k>>3]>>(8-bits-k&7)) & top
				if palette != nil {
					sum = 0
					if v < len(palette) {
						sum = int(palette[v])
					}
					break
				}
				v = v * 255 / top
				if comps == 4 {
					v = 255 - v
				}
				sum += v
			}
			if palette == nil {
				sum /= comps
			}
			grey[y*w+x] = byte(sum)
		}
	}
	im.Grey = grey
	r.out.Images = append(r.out.Images, im)
}

// space gives a colour space's components, and of an indexed one the greys.
func (r *reader) space(v any, depth int) (int, []byte) {
	if depth > 4 {
		return 0, nil
	}
	switch v := r.f.get(v).(type) {
	case nil:
		return 1, nil
	case name:
		switch v {
		case "DeviceRGB", "RGB", "CalRGB":
			return 3, nil
		case "DeviceCMYK", "CMYK":
			return 4, nil
		}
		return 1, nil
	case []any:
		if len(v) == 0 {
			return 0, nil
		}
		switch n, _ := r.f.get(v[0]).(name); n {
		case "ICCBased":
			if len(v) > 1 {
				return int(min(max(r.f.num(r.f.dict(v[1])["N"], 3), 1), 4)), nil
			}
		case "CalRGB", "Lab":
			return 3, nil
		case "Indexed", "I":
			if len(v) < 4 {
				return 0, nil
			}
			base, _ := r.space(v[1], depth+1)
			var table []byte
			switch t := r.f.get(v[3]).(type) {
			case str:
				table = t
			case *stream:
				table = r.f.decode(t)
			}
			if base < 1 {
				return 0, nil
			}
			grey := make([]byte, 0, 256)
			for i := 0; i+base <= len(table) && len(grey) < 256; i += base {
				sum := 0
				for _, c := range table[i : i+base] {
					sum += int(c)
				}
				g := byte(sum / base)
				if base == 4 {
					g = 255 - g
				}
				grey = append(grey, g)
			}
			return 1, grey
		}
		return 1, nil
	}
	return 1, nil
}

// layout writes the page's runs as lines, and joins the lines of a paragraph.
func (r *reader) layout() {
	type line struct {
		x, y, end, size float64
		text            string
	}
	var lines []line
	for _, n := range r.runs {
		if k := len(lines); k > 0 {
			p := &lines[k-1]
			size := max(math.Abs(n.size), math.Abs(p.size), 1)
			if gap := n.x - p.end; math.Abs(n.y-p.y) < size*0.45 && gap > -size*0.6 {
				if gap > size*0.17 && !strings.HasSuffix(p.text, " ") && !strings.HasPrefix(n.text, " ") {
					if gap > size*3 { // a column
						p.text += "\t"
					} else {
						p.text += " "
					}
				}
				p.text += n.text
				p.end = max(p.end, n.end)
				continue
			}
		}
		lines = append(lines, line(n))
	}
	left, right := math.Inf(1), math.Inf(-1)
	for _, l := range lines {
		left, right = min(left, l.x), max(right, l.end)
	}
	for i, l := range lines {
		l.text = strings.TrimSpace(l.text)
		if l.text == "" {
			continue
		}
		r.text.WriteString(l.text)
		if i+1 == len(lines) {
			break
		}
		n := lines[i+1]
		drop := l.y - n.y
		full := l.end-left > 0.72*(right-left)
		near := drop > 0.5*l.size && drop < 2.1*l.size && math.Abs(n.size-l.size) < 0.15*l.size
		switch {
		case full && near && !opens(l.text) && !closes(n.text):
			r.text.WriteByte(' ')
		default:
			r.text.WriteByte('\n')
		}
	}
	r.text.WriteByte('\n')
}

// opens and closes say that a name may be broken between two lines: then they
// stay two, for whoever knows how names are broken.
func opens(s string) bool {
	return strings.HasSuffix(s, "-") || strings.HasSuffix(s, "[.]") || strings.HasSuffix(s, "[") || strings.HasSuffix(s, "(.)") || strings.HasSuffix(s, "[dot]") || strings.HasSuffix(s, "[.")
}

func closes(s string) bool {
	s = strings.TrimLeft(s, " ")
	return strings.HasPrefix(s, "[.") || strings.HasPrefix(s, "(.") || strings.HasPrefix(s, "[dot") || strings.HasPrefix(s, ".]") || strings.HasPrefix(s, "]")
}

// font maps a string's octets to text and widths.
type font struct {
	wide   bool // two octets a character
	utf16  bool
	toUni  map[uint32]string
	lens   [5]bool // lengths of codes by the map's code spaces
	enc    [256]string
	widths map[uint32]float64
	def    float64
}

type glyphText struct {
	text  string
	width float64
	space bool
}

func (f *font) split(s str) []glyphText {
	out := make([]glyphText, 0, len(s))
	for i := 0; i < len(s); {
		n := 1
		if f.wide {
			n = 2
			if f.lens[1] && !f.lens[2] {
				n = 1
			}
		}
		if i+n > len(s) {
			n = len(s) - i
		}
		code := uint32(0)
		for _, c := range s[i : i+n] {
			code = code<<8 | uint32(c)
		}
		i += n
		w, ok := f.widths[code]
		if !ok {
			w = f.def
		}
		g := glyphText{width: w, space: n == 1 && code == 32}
		if t, ok := f.toUni[code]; ok {
			g.text = t
		} else if f.utf16 {
			g.text = string(rune(code))
		} else if !f.wide && code < 256 {
			g.text = f.enc[code]
		}
		if g.text == "\x00" {
			g.text = ""
		}
		out = append(out, g)
	}
	return out
}

func (r *reader) font(v any) *font {
	var key any
	if x, ok := v.(ref); ok {
		key = x.num
		if f, ok := r.fonts[key]; ok {
			return f
		}
	}
	d := r.f.dict(v)
	if d == nil {
		return nil
	}
	f := &font{def: 0.5, widths: map[uint32]float64{}, toUni: map[uint32]string{}}
	if s, ok := r.f.get(d["ToUnicode"]).(*stream); ok {
		f.cmap(r.f.decode(s))
	}
	if r.f.get(d["Subtype"]) == name("Type0") {
		f.wide, f.def = true, 1
		if n, ok := r.f.get(d["Encoding"]).(name); ok {
			f.utf16 = strings.Contains(string(n), "UCS2") || strings.Contains(string(n), "UTF16")
		}
		if ds := r.f.array(d["DescendantFonts"]); len(ds) > 0 {
			cid := r.f.dict(ds[0])
			f.def = r.f.num(cid["DW"], 1000) / 1000
			w := r.f.array(cid["W"])
			for i := 0; i+1 < len(w) && len(f.widths) < 70_000; {
				first := uint32(r.f.num(w[i], 0))
				if list := r.f.array(w[i+1]); list != nil {
					for k, x := range list {
						f.widths[first+uint32(k)] = r.f.num(x, 0) / 1000
					}
					i += 2
					continue
				}
				if i+2 >= len(w) {
					break
				}
				last, x := uint32(r.f.num(w[i+1], 0)), r.f.num(w[i+2], 0)/1000
				for c := first; c <= last && c-first < 65536; c++ {
					f.widths[c] = x
				}
				i += 3
			}
		}
	} else {
		f.simple(r, d)
	}
	if key != nil && len(r.fonts) < 5000 {
		r.fonts[key] = f
	}
	return f
}

func (f *font) simple(r *reader, d dict) {
	base := name("StandardEncoding")
	var diff []any
	switch e := r.f.get(d["Encoding"]).(type) {
	case name:
		base = e
	case dict:
		if b, ok := r.f.get(e["BaseEncoding"]).(name); ok {
			base = b
		}
		diff = r.f.array(e["Differences"])
	}
	for c := range 256 {
		switch {
		case c >= 32 && c < 127:
			f.enc[c] = string(rune(c))
		case base == "MacRomanEncoding":
			f.enc[c] = macRoman(c)
		default:
			f.enc[c] = winAnsi(c)
		}
	}
	code := 0
	for _, x := range diff {
		switch x := r.f.get(x).(type) {
		case float64:
			code = int(x)
		case name:
			if code >= 0 && code < 256 {
				f.enc[code] = glyphName(string(x))
			}
			code++
		}
	}
	first := r.f.num(d["FirstChar"], 0)
	scale := 0.001
	if m := r.f.array(d["FontMatrix"]); len(m) == 6 {
		scale = r.f.num(m[0], 0.001)
	}
	for i, w := range r.f.array(d["Widths"]) {
		if i > 256 {
			break
		}
		f.widths[uint32(int(first)+i)] = r.f.num(w, 500) * scale
	}
}

// cmap reads a ToUnicode map.
func (f *font) cmap(b []byte) {
	l := &lexer{b: b}
	var args []any
	code := func(s str) uint32 {
		v := uint32(0)
		for _, c := range s {
			v = v<<8 | uint32(c)
		}
		return v
	}
	text := func(s str) string {
		if len(s)%2 != 0 || len(s) > 64 {
			return ""
		}
		u := make([]uint16, len(s)/2)
		for i := range u {
			u[i] = uint16(s[2*i])<<8 | uint16(s[2*i+1])
		}
		return string(utf16.Decode(u))
	}
	for range 2_000_000 {
		v, err := l.next(0, false)
		if err != nil || len(f.toUni) > 200_000 {
			return
		}
		op, ok := v.(keyword)
		if !ok {
			if len(args) < 5000 {
				args = append(args, v)
			}
			continue
		}
		switch op {
		case "endcodespacerange":
			for _, a := range args {
				if s, ok := a.(str); ok && len(s) < len(f.lens) {
					f.lens[len(s)] = true
				}
			}
		case "endbfchar":
			for i := 0; i+1 < len(args); i += 2 {
				c, ok1 := args[i].(str)
				t, ok2 := args[i+1].(str)
				if ok1 && ok2 {
					f.toUni[code(c)] = text(t)
				}
			}
		case "endbfrange":
			for i := 0; i+2 < len(args); i += 3 {
				lo, ok1 := args[i].(str)
				hi, ok2 := args[i+1].(str)
				if !ok1 || !ok2 {
					continue
				}
				from, to := code(lo), code(hi)
				if to < from || to-from > 65535 {
					continue
				}
				switch t := args[i+2].(type) {
				case str:
					u := []rune(text(t))
					if len(u) == 0 {
						continue
					}
					for c := from; c <= to; c++ {
						f.toUni[c] = string(u)
						u[len(u)-1]++
					}
				case []any:
					for k, x := range t {
						if s, ok := x.(str); ok && from+uint32(k) <= to {
							f.toUni[from+uint32(k)] = text(s)
						}
					}
				}
			}
		}
		args = args[:0]
	}
}

var win = []rune("€\x00‚ƒ„…†‡ˆ‰Š‹Œ\x00Ž\x00\x00‘’“”•–—˜™š›œ\x00žŸ")

func winAnsi(c int) string {
	switch {
	case c < 32 || c == 127:
		return ""
	case c >= 128 && c < 160:
		return strings.Trim(string(win[c-128]), "\x00")
	}
	return string(rune(c))
}

var mac = []rune("ÄÅÇÉÑÖÜáàâäãåçéèêëíìîïñóòôöõúùûü†°¢£§•¶ß®©™´¨≠ÆØ∞±≤≥¥µ∂∑∏π∫ªºΩæø¿¡¬√ƒ≈∆«»…\u00a0ÀÃÕŒœ–—“”‘’÷◊ÿŸ⁄€‹›ﬁﬂ‡·‚„‰ÂÊÁËÈÍÎÏÌÓÔ\uf8ffÒÚÛÙıˆ˜¯˘˙˚¸˝˛ˇ")

func macRoman(c int) string {
	if c < 128 {
		return winAnsi(c)
	}
	return string(mac[c-128])
}

var glyphNames = map[string]string{
	"space": " ", "period": ".", "comma": ",", "hyphen": "-", "minus": "-", "endash": "–", "emdash": "—", "colon": ":", "semicolon": ";", "slash": "/", "backslash": "\\",
	"bracketleft": "[", "bracketright": "]", "parenleft": "(", "parenright": ")", "braceleft": "{", "braceright": "}", "less": "<", "greater": ">", "at": "@", "underscore": "_",
	"quotesingle": "'", "quotedbl": "\"", "quoteleft": "‘", "quoteright": "’", "quotedblleft": "“", "quotedblright": "”", "question": "?", "exclam": "!", "ampersand": "&", "numbersign": "#",
	"percent": "%", "plus": "+", "equal": "=", "asterisk": "*", "dollar": "$", "bar": "|", "asciitilde": "~", "asciicircum": "^", "grave": "`", "bullet": "•", "ellipsis": "…",
	"zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9",
	"fi": "fi", "fl": "fl", "ff": "ff", "ffi": "ffi", "ffl": "ffl", "nbspace": " ", "softhyphen": "\u00ad",
	"adieresis": "ä", "odieresis": "ö", "udieresis": "ü", "Adieresis": "Ä", "Odieresis": "Ö", "Udieresis": "Ü", "germandbls": "ß", "eacute": "é", "egrave": "è", "agrave": "à", "ccedilla": "ç", "ntilde": "ñ", "section": "§", "copyright": "©", "registered": "®", "trademark": "™",
}

func glyphName(n string) string {
	if t, ok := glyphNames[n]; ok {
		return t
	}
	if len(n) == 1 {
		return n
	}
	n, _, _ = strings.Cut(n, ".")
	if h, ok := strings.CutPrefix(n, "uni"); ok && len(h) >= 4 {
		if v, err := strconv.ParseUint(h[:4], 16, 32); err == nil && utf8.ValidRune(rune(v)) {
			return string(rune(v))
		}
	}
	if h, ok := strings.CutPrefix(n, "u"); ok && len(h) >= 4 && len(h) <= 6 {
		if v, err := strconv.ParseUint(h, 16, 32); err == nil && utf8.ValidRune(rune(v)) {
			return string(rune(v))
		}
	}
	return glyphNames[n]
}
