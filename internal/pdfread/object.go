package pdfread

import (
	"bytes"
	"compress/flate"
	"compress/lzw"
	"compress/zlib"
	"encoding/ascii85"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
)

type (
	name   string
	ref    struct{ num int }
	dict   map[name]any
	stream struct {
		d   dict
		raw []byte
	}
	keyword string
	str     []byte
)

// lexer reads objects and keywords from b.
type lexer struct {
	b []byte
	i int
}

func space(c byte) bool { return c == 0 || c == 9 || c == 10 || c == 12 || c == 13 || c == 32 }

func delim(c byte) bool {
	switch c {
	case '(', ')', '<', '>', '[', ']', '{', '}', '/', '%':
		return true
	}
	return false
}

func (l *lexer) skip() {
	for l.i < len(l.b) {
		switch c := l.b[l.i]; {
		case space(c):
			l.i++
		case c == '%':
			for l.i < len(l.b) && l.b[l.i] != '\n' && l.b[l.i] != '\r' {
				l.i++
			}
		default:
			return
		}
	}
}

// next gives the next object, a keyword, or io.EOF. References are put together
// when refs is true.
func (l *lexer) next(depth int, refs bool) (any, error) {
	l.skip()
	if l.i >= len(l.b) {
		return nil, io.EOF
	}
	if depth > maxDepth {
		return nil, fmt.Errorf("objects lie too deep in each other")
	}
	switch c := l.b[l.i]; c {
	case '/':
		l.i++
		return l.name(), nil
	case '(':
		return l.literal(), nil
	case '<':
		if l.i+1 < len(l.b) && l.b[l.i+1] == '<' {
			l.i += 2
			d := dict{}
			for {
				k, err := l.next(depth+1, refs)
				if err != nil {
					return d, err
				}
				if k == keyword(">>") {
					return d, nil
				}
				n, ok := k.(name)
				if !ok {
					if k == keyword("endobj") || k == keyword("stream") {
						l.i -= len(k.(keyword))
						return d, nil
					}
					continue
				}
				v, err := l.next(depth+1, refs)
				if err != nil {
					return d, err
				}
				if v == keyword(">>") {
					return d, nil
				}
				if _, twice := d[n]; !twice {
					d[n] = v
				}
			}
		}
		return l.hex(), nil
	case '[':
		l.i++
		var a []any
		for {
			v, err := l.next(depth+1, refs)
			if err != nil {
				return a, err
			}
			if v == keyword("]") {
				return a, nil
			}
			if v == keyword("endobj") || v == keyword(">>") {
				l.i -= len(v.(keyword))
				return a, nil
			}
			a = append(a, v)
		}
	case ']', '{', '}', ')':
		l.i++
		return keyword(c), nil
	case '>':
		if l.i+1 < len(l.b) && l.b[l.i+1] == '>' {
			l.i += 2
			return keyword(">>"), nil
		}
		l.i++
		return keyword(">"), nil
	}
	from := l.i
	for l.i < len(l.b) && !space(l.b[l.i]) && !delim(l.b[l.i]) {
		l.i++
	}
	w := l.b[from:l.i]
	if c := w[0]; c >= '0' && c <= '9' || c == '+' || c == '-' || c == '.' {
		if f, ok := number(w); ok {
			if refs && f >= 0 && f == float64(int(f)) {
				if n, ok := l.reference(); ok {
					_ = n
					return ref{int(f)}, nil
				}
			}
			return f, nil
		}
	}
	switch string(w) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	case "null":
		return nil, nil
	}
	return keyword(w), nil
}

// reference reads "0 R" behind a number.
func (l *lexer) reference() (int, bool) {
	i := l.i
	for i < len(l.b) && space(l.b[i]) {
		i++
	}
	from := i
	for i < len(l.b) && i-from < 6 && l.b[i] >= '0' && l.b[i] <= '9' {
		i++
	}
	if i == from {
		return 0, false
	}
	at := i
	for i < len(l.b) && space(l.b[i]) {
		i++
	}
	if i == at || i >= len(l.b) || l.b[i] != 'R' || i+1 < len(l.b) && !space(l.b[i+1]) && !delim(l.b[i+1]) {
		return 0, false
	}
	l.i = i + 1
	return 0, true
}

func number(w []byte) (float64, bool) {
	if len(w) > 40 {
		return 0, false
	}
	if f, err := strconv.ParseFloat(string(w), 64); err == nil && f < 1e12 && f > -1e12 {
		return f, true
	}
	return 0, false
}

func (l *lexer) name() name {
	var out []byte
	for l.i < len(l.b) && !space(l.b[l.i]) && !delim(l.b[l.i]) {
		c := l.b[l.i]
		if c == '#' && l.i+2 < len(l.b) {
			if v, err := strconv.ParseUint(string(l.b[l.i+1:l.i+3]), 16, 8); err == nil {
				out = append(out, byte(v))
				l.i += 3
				continue
			}
		}
		out = append(out, c)
		l.i++
	}
	return name(out)
}

func (l *lexer) literal() str {
	var out []byte
	depth := 0
	for ; l.i < len(l.b); l.i++ {
		c := l.b[l.i]
		switch c {
		case '(':
			if depth++; depth == 1 {
				continue
			}
		case ')':
			if depth--; depth == 0 {
				l.i++
				return out
			}
		case '\\':
			l.i++
			if l.i >= len(l.b) {
				return out
			}
			switch c = l.b[l.i]; c {
			case 'n':
				c = '\n'
			case 'r':
				c = '\r'
			case 't':
				c = '\t'
			case 'b':
				c = '\b'
			case 'f':
				c = '\f'
			case '\r':
				if l.i+1 < len(l.b) && l.b[l.i+1] == '\n' {
					l.i++
				}
				continue
			case '\n':
				continue
			default:
				if c >= '0' && c <= '7' {
					v, k := 0, 0
					for ; k < 3 && l.i+k < len(l.b) && l.b[l.i+k] >= '0' && l.b[l.i+k] <= '7'; k++ {
						v = v*8 + int(l.b[l.i+k]-'0')
					}
					l.i += k - 1
					c = byte(v)
				}
			}
		}
		out = append(out, c)
	}
	return out
}

func (l *lexer) hex() str {
	l.i++ // <
	var out []byte
	half, have := byte(0), false
	for ; l.i < len(l.b); l.i++ {
		c := l.b[l.i]
		switch {
		case c == '>':
			l.i++
			if have {
				out = append(out, half<<4)
			}
			return out
		case c >= '0' && c <= '9':
			c -= '0'
		case c >= 'a' && c <= 'f':
			c -= 'a' - 10
		case c >= 'A' && c <= 'F':
			c -= 'A' - 10
		default:
			continue
		}
		if have {
			out = append(out, half<<4|c)
		}
		half, have = c, !have
	}
	return out
}

// file is a PDF's objects.
type file struct {
	b        []byte
	objs     map[int]any
	trailers []dict
	unpacked int // octets so far
	problems []string
}

func (f *file) problem(format string, args ...any) {
	p := fmt.Sprintf(format, args...)
	if len(f.problems) < 20 && !slices.Contains(f.problems, p) {
		f.problems = append(f.problems, p)
	}
}

var objRule = regexp.MustCompile(`(?:^|[^0-9])(\d{1,10})[\x00\t\n\f\r ]+\d{1,5}[\x00\t\n\f\r ]+obj`)

// load finds every object. Of two with one number the later counts, as in a file
// that was saved again.
func load(b []byte) *file {
	f := &file{b: b, objs: map[int]any{}}
	var packed []*stream
	for at := 0; at < len(b); {
		m := objRule.FindSubmatchIndex(b[at:])
		if m == nil {
			break
		}
		num, _ := strconv.Atoi(string(b[at+m[2] : at+m[3]]))
		l := &lexer{b: b, i: at + m[1]}
		v, err := l.next(0, true)
		at = max(l.i, at+m[1])
		if err != nil && err != io.EOF {
			f.problem("an object is broken: %v", err)
			continue
		}
		if d, ok := v.(dict); ok {
			if s, end := f.stream(d, l.i); s != nil {
				v, at = s, end
				if d["Type"] == name("ObjStm") {
					packed = append(packed, s)
				}
				if d["Type"] == name("XRef") {
					f.trailers = append(f.trailers, d)
				}
			}
		}
		if len(f.objs) >= maxObjects {
			f.problem("it holds more than %d objects: the rest was not read", maxObjects)
			break
		}
		f.objs[num] = v
	}
	for at := 0; ; {
		i := bytes.Index(b[at:], []byte("trailer"))
		if i < 0 || len(f.trailers) > 1000 {
			break
		}
		at += i + len("trailer")
		l := &lexer{b: b, i: at}
		if d, _ := l.next(0, true); d != nil {
			if d, ok := d.(dict); ok {
				f.trailers = append(f.trailers, d)
			}
		}
	}
	if f.encrypted() {
		return f
	}
	for _, s := range packed {
		f.unpackObjects(s)
	}
	return f
}

func (f *file) encrypted() bool {
	for _, t := range f.trailers {
		if t["Encrypt"] != nil {
			return true
		}
	}
	return false
}

// stream gives the stream that begins behind a dictionary, and where it ends.
func (f *file) stream(d dict, at int) (*stream, int) {
	l := &lexer{b: f.b, i: at}
	l.skip()
	if !bytes.HasPrefix(f.b[l.i:], []byte("stream")) {
		return nil, 0
	}
	i := l.i + len("stream")
	if i < len(f.b) && f.b[i] == '\r' {
		i++
	}
	if i < len(f.b) && f.b[i] == '\n' {
		i++
	}
	if n, ok := d["Length"].(float64); ok && n >= 0 && i+int(n) <= len(f.b) {
		end := &lexer{b: f.b, i: i + int(n)}
		end.skip()
		if bytes.HasPrefix(f.b[end.i:], []byte("endstream")) {
			return &stream{d, f.b[i : i+int(n)]}, end.i + len("endstream")
		}
	}
	n := bytes.Index(f.b[i:], []byte("endstream"))
	if n < 0 {
		return &stream{d, f.b[i:]}, len(f.b)
	}
	raw := f.b[i : i+n]
	raw = bytes.TrimSuffix(bytes.TrimSuffix(raw, []byte("\n")), []byte("\r"))
	return &stream{d, raw}, i + n + len("endstream")
}

func (f *file) unpackObjects(s *stream) {
	b := f.decode(s)
	n, _ := f.get(s.d["N"]).(float64)
	first, _ := f.get(s.d["First"]).(float64)
	if first < 0 || int(first) > len(b) {
		return
	}
	l := &lexer{b: b[:int(first)]}
	for range int(min(n, maxObjects)) {
		num, err1 := l.next(0, false)
		off, err2 := l.next(0, false)
		nf, ok1 := num.(float64)
		of, ok2 := off.(float64)
		if err1 != nil || err2 != nil || !ok1 || !ok2 || of < 0 || int(first)+int(of) >= len(b) || len(f.objs) >= maxObjects {
			return
		}
		o := &lexer{b: b[int(first)+int(of):]}
		v, err := o.next(0, true)
		if err != nil && err != io.EOF {
			continue
		}
		if _, there := f.objs[int(nf)]; !there {
			f.objs[int(nf)] = v
		}
	}
}

// get follows references.
func (f *file) get(v any) any {
	for range 16 {
		r, ok := v.(ref)
		if !ok {
			return v
		}
		v = f.objs[r.num]
	}
	return nil
}

func (f *file) dict(v any) dict {
	switch v := f.get(v).(type) {
	case dict:
		return v
	case *stream:
		return v.d
	}
	return nil
}

func (f *file) array(v any) []any {
	a, _ := f.get(v).([]any)
	return a
}

func (f *file) num(v any, def float64) float64 {
	if n, ok := f.get(v).(float64); ok {
		return n
	}
	return def
}

// filters lists a stream's filters with their parameters.
func (f *file) filters(s *stream) (names []name, parms []dict) {
	one := func(v any) []any {
		switch v := f.get(v).(type) {
		case nil:
			return nil
		case []any:
			return v
		default:
			return []any{v}
		}
	}
	fs, ps := s.d["Filter"], s.d["DecodeParms"]
	if fs == nil {
		fs, ps = s.d["F"], s.d["DP"]
	}
	pl := one(ps)
	for i, x := range one(fs) {
		if n, ok := f.get(x).(name); ok {
			names = append(names, n)
			var p dict
			if i < len(pl) {
				p = f.dict(pl[i])
			}
			parms = append(parms, p)
		}
	}
	return names, parms
}

// decode unpacks a stream up to an image's own format; what a limit cuts is said.
func (f *file) decode(s *stream) []byte {
	b := s.raw
	names, parms := f.filters(s)
	if len(names) > 8 {
		f.problem("a stream is packed %d times: it was not read", len(names))
		return nil
	}
	for i, n := range names {
		var r io.Reader
		switch n {
		case "FlateDecode", "Fl":
			zr, err := zlib.NewReader(bytes.NewReader(b))
			if err != nil {
				if len(b) < 2 {
					return nil
				}
				r = flate.NewReader(bytes.NewReader(b[2:])) // a broken head: the rest may do
			} else {
				r = zr
			}
		case "LZWDecode", "LZW":
			// PDF's codes grow one earlier than GIF's, as TIFF's do.
			if f.num(parms[i]["EarlyChange"], 1) == 0 {
				r = lzw.NewReader(bytes.NewReader(b), lzw.MSB, 8)
			} else {
				r = newLZW(b)
			}
		case "ASCII85Decode", "A85":
			t := b
			if k := bytes.Index(t, []byte("~>")); k >= 0 {
				t = t[:k]
			}
			r = ascii85.NewDecoder(bytes.NewReader(bytes.TrimPrefix(bytes.TrimSpace(t), []byte("<~"))))
		case "ASCIIHexDecode", "AHx":
			l := &lexer{b: append([]byte("<"), b...)}
			b = l.hex()
			continue
		case "RunLengthDecode", "RL":
			r = &runs{b: b}
		case "DCTDecode", "DCT":
			return b
		default:
			return nil // an image's own packing, or Crypt
		}
		left := min(maxStream, maxUnpacked-f.unpacked)
		out, err := io.ReadAll(io.LimitReader(r, int64(left)+1))
		if len(out) > left {
			f.problem("a stream unpacks to more than may be read: it was cut")
			out = out[:left]
		} else if err != nil && len(out) == 0 {
			f.problem("a stream can't be unpacked")
		}
		f.unpacked += len(out)
		b = f.unpredict(out, parms[i])
	}
	return b
}

// unpredict undoes PNG's row filters (predictors 10 to 15).
func (f *file) unpredict(b []byte, p dict) []byte {
	if p == nil || f.num(p["Predictor"], 1) < 10 {
		return b
	}
	colors, bits, cols := f.num(p["Colors"], 1), f.num(p["BitsPerComponent"], 8), f.num(p["Columns"], 1)
	if colors < 1 || colors > 32 || bits < 1 || bits > 16 || cols < 1 || cols > 1<<20 {
		return nil
	}
	bpp := max(1, int(colors*bits)/8)
	row := (int(colors*bits*cols) + 7) / 8
	out := make([]byte, 0, len(b))
	prev := make([]byte, row)
	for len(b) > 1 {
		kind := b[0]
		cur := slices.Clone(b[1:min(len(b), row+1)])
		b = b[len(cur)+1:]
		for len(cur) < row {
			cur = append(cur, 0)
		}
		for i := range cur {
			var a, c byte
			if i >= bpp {
				a, c = cur[i-bpp], prev[i-bpp]
			}
			switch up := prev[i]; kind {
			case 1:
				cur[i] += a
			case 2:
				cur[i] += up
			case 3:
				cur[i] += byte((int(a) + int(up)) / 2)
			case 4:
				cur[i] += paeth(a, up, c)
			}
		}
		out = append(out, cur...)
		prev = cur
	}
	return out
}

func paeth(a, b, c byte) byte {
	p := int(a) + int(b) - int(c)
	pa, pb, pc := abs(p-int(a)), abs(p-int(b)), abs(p-int(c))
	switch {
	case pa <= pb && pa <= pc:
		return a
	case pb <= pc:
		return b
	}
	return c
}

func abs(n int) int {
	if n < 0 {
		return -n
	}
	return n
}

// runs undoes PackBits.
type runs struct {
	b, out []byte
}

func (r *runs) Read(p []byte) (int, error) {
	for len(r.out) == 0 {
		if len(r.b) < 2 || r.b[0] == 128 {
			return 0, io.EOF
		}
		if n := int(r.b[0]); n < 128 {
			n = min(n+1, len(r.b)-1)
			r.out, r.b = r.b[1:1+n], r.b[1+n:]
		} else {
			r.out, r.b = bytes.Repeat(r.b[1:2], 257-n), r.b[2:]
		}
	}
	n := copy(p, r.out)
	r.out = r.out[n:]
	return n, nil
}

// earlyLZW is LZW whose codes get longer one code early.
type earlyLZW struct {
	b   []byte
	bit int
	tab [4096]struct {
		prev        int16
		first, last byte
		n           int16
	}
	next int
	size int
	prev int
	out  []byte
	done bool
}

func newLZW(b []byte) io.Reader {
	z := &earlyLZW{b: b, next: 258, size: 9, prev: -1}
	for i := range 256 {
		z.tab[i].prev, z.tab[i].first, z.tab[i].last, z.tab[i].n = -1, byte(i), byte(i), 1
	}
	return z
}

func (z *earlyLZW) code() int {
	if z.bit+z.size > len(z.b)*8 {
		return 257
	}
	v := 0
	for range z.size {
		v = v<<1 | int(z.b[z.bit>>3]>>(7-z.bit&7)&1)
		z.bit++
	}
	return v
}

func (z *earlyLZW) Read(p []byte) (int, error) {
	for len(z.out) == 0 && !z.done {
		c := z.code()
		switch {
		case c == 256:
			z.next, z.size, z.prev = 258, 9, -1
			continue
		case c == 257 || c > z.next || c == z.next && z.prev < 0 || c >= 258 && c >= 4096:
			z.done = true
			continue
		}
		if z.prev >= 0 && z.next < 4096 {
			first := z.tab[z.prev].first
			if c < z.next {
				first = z.tab[c].first
			}
			e := &z.tab[z.next]
			e.prev, e.first, e.last, e.n = int16(z.prev), z.tab[z.prev].first, first, z.tab[z.prev].n+1
			z.next++
		} else if c >= z.next {
			z.done = true
			continue
		}
		n := int(z.tab[c].n)
		buf := make([]byte, n)
		for k, i := c, n-1; k >= 0 && i >= 0; k, i = int(z.tab[k].prev), i-1 {
			buf[i] = z.tab[k].last
		}
		z.out, z.prev = buf, c
		switch z.next {
		case 511:
			z.size = 10
		case 1023:
			z.size = 11
		case 2047:
			z.size = 12
		}
	}
	if len(z.out) == 0 {
		return 0, io.EOF
	}
	n := copy(p, z.out)
	z.out = z.out[n:]
	return n, nil
}
