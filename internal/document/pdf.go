package document

import (
	"bytes"
	"cmp"
	"compress/zlib"
	"crypto/sha256"
	"encoding/hex"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"

	"golang.org/x/image/font/sfnt"
)

// The page: A4 in points.
const (
	pageW, pageH = 595.276, 841.89
	marginX      = 56.0
	top, bottom  = 78.0, 64.0
	textW        = pageW - 2*marginX
	bodySize     = 10.0
	cellSize     = 8.0
	pad          = 3.5 // in a table's cell
)

// sizes of headings, by level.
var headSizes = [4]float64{16, 12.5, 11, 10}

// PDF writes d as PDF/A-2b (ISO 19005-2): fonts and colour profile inside, no
// link, script or attachment.
func (d *Doc) PDF(w io.Writer) error {
	l := &layout{used: [3]map[sfnt.GlyphIndex]rune{{}, {}, {}}}
	l.newPage()
	for i, b := range d.Blocks {
		if h, ok := b.(Heading); ok && i+1 < len(d.Blocks) {
			l.keep(h, d.Blocks[i+1])
		}
		l.block(b)
	}
	l.frame(d)
	return l.write(w, d)
}

// layout sets blocks on pages.
type layout struct {
	pages []*bytes.Buffer
	y     float64 // of the next line's top
	used  [3]map[sfnt.GlyphIndex]rune
}

func (l *layout) newPage() {
	l.pages = append(l.pages, &bytes.Buffer{})
	l.y = pageH - top
}

func (l *layout) room() float64 { return l.y - bottom }

// piece is a run that fits on its line, with its width.
type piece struct {
	text  string
	style Style
	w     float64
}

type textLine struct {
	pieces []piece
	w      float64
}

func faceOf(s Style) int {
	switch s {
	case Bold, Blank:
		return 1
	case Mono:
		return 2
	}
	return 0
}

// size of a style beside text of the size: the fixed type is wide.
func sizeOf(s Style, size float64) float64 {
	if s == Mono {
		return size * 0.92
	}
	return size
}

func width(text string, s Style, size float64) float64 {
	f := faces()[faceOf(s)]
	n := 0
	for _, r := range text {
		n += f.of(r).width
	}
	return float64(n) * sizeOf(s, size) / float64(f.em)
}

// wrap breaks runs into lines. What is wider than a line is broken anywhere,
// behind a dot, slash, colon or hyphen where one is near.
func wrap(runs []Run, size, max float64) []textLine {
	var lines []textLine
	var cur textLine
	flush := func() {
		for n := len(cur.pieces); n > 0 && strings.TrimSpace(cur.pieces[n-1].text) == ""; n = len(cur.pieces) {
			cur.w -= cur.pieces[n-1].w
			cur.pieces = cur.pieces[:n-1]
		}
		lines = append(lines, cur)
		cur = textLine{}
	}
	put := func(text string, s Style, w float64) {
		if n := len(cur.pieces); n > 0 && cur.pieces[n-1].style == s {
			cur.pieces[n-1].text += text
			cur.pieces[n-1].w += w
		} else {
			cur.pieces = append(cur.pieces, piece{text, s, w})
		}
		cur.w += w
	}
	for _, r := range runs {
		for word := range splitKeep(Safe(r.Text)) {
			w := width(word, r.Style, size)
			switch {
			case cur.w+w <= max+0.01:
				if cur.w == 0 && word == " " {
					continue
				}
				put(word, r.Style, w)
			case word == " ":
				flush()
			case w <= max:
				flush()
				put(word, r.Style, w)
			default:
				for word != "" {
					n, good, cw := 0, 0, 0.0
					for i, c := range word {
						next := width(string(c), r.Style, size)
						if cur.w+cw+next > max && (n > 0 || cur.w > 0) {
							break
						}
						cw, n = cw+next, i+len(string(c))
						if strings.ContainsRune("./:-?&", c) {
							good = n
						}
					}
					if n < len(word) && good > n*2/3 {
						n = good
					}
					if n == 0 {
						flush()
						continue
					}
					put(word[:n], r.Style, width(word[:n], r.Style, size))
					if word = word[n:]; word != "" {
						flush()
					}
				}
			}
		}
	}
	if len(cur.pieces) > 0 || len(lines) == 0 {
		flush()
	}
	return lines
}

// splitKeep gives words and single spaces in turn.
func splitKeep(s string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for s != "" {
			n := strings.IndexByte(s, ' ')
			switch {
			case n < 0:
				n = len(s)
			case n == 0:
				n = 1
			}
			if !yield(s[:n]) {
				return
			}
			s = s[n:]
		}
	}
}

func num(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// text puts one piece at x, y (its base line).
func (l *layout) text(p *bytes.Buffer, x, y float64, s string, st Style, size float64) {
	k := faceOf(st)
	f := faces()[k]
	fmt.Fprintf(p, "BT /F%d %s Tf %s %s Td <", k, num(sizeOf(st, size)), num(x), num(y))
	for _, r := range s {
		g := f.of(r)
		l.used[k][g.id] = r
		fmt.Fprintf(p, "%04X", uint16(g.id))
	}
	p.WriteString("> Tj ET\n")
}

func (l *layout) line(x, y float64, t textLine, size float64) {
	p := l.pages[len(l.pages)-1]
	for _, pc := range t.pieces {
		if pc.style == Blank {
			fmt.Fprintf(p, "0.88 g %s %s %s %s re f 0 g\n", num(x-1), num(y-2), num(pc.w+2), num(size+2))
		}
		l.text(p, x, y, pc.text, pc.style, size)
		x += pc.w
	}
}

func lead(size float64) float64 { return size * 1.32 }

// keep begins a page when a heading would stand alone at the foot of one: what
// follows it begins on the next.
func (l *layout) keep(h Heading, next Block) {
	need := 0.0
	switch n := next.(type) {
	case Table: // its head, and the room that table wants behind it
		need = 70 + 60
		if n.Caption != "" {
			need += lead(9)
		}
	case Heading:
		need = headSizes[min(max(n.Level, 0), 3)]*3 + 130
	default:
		return
	}
	size := headSizes[min(max(h.Level, 0), 3)]
	if l.room() < float64(len(wrap(h.runs(Bold), size, textW)))*lead(size)+size*1.05+need {
		l.newPage()
	}
}

func (l *layout) block(b Block) {
	switch b := b.(type) {
	case Break:
		l.newPage()
	case Heading:
		size := headSizes[min(max(b.Level, 0), 3)]
		lines := wrap(b.runs(Bold), size, textW)
		need := float64(len(lines))*lead(size) + 48 // and something below it
		if l.room() < need {
			l.newPage()
		} else if b.Level > 0 {
			l.y -= size * 0.7
		}
		for _, t := range lines {
			x := marginX
			if b.Level == 0 {
				x += (textW - t.w) / 2
			}
			l.y -= lead(size)
			l.line(x, l.y, t, size)
		}
		l.y -= size * 0.35
	case Para:
		l.para(b, marginX, textW)
	case Fields:
		const labelW = 118.0
		for _, f := range b {
			lab := wrap([]Run{{f.Label, Bold}}, 9, labelW-8)
			val := wrap(f.Value, 9, textW-labelW)
			h := float64(max(len(lab), len(val)))*lead(9) + 2
			if l.room() < h && h < 300 {
				l.newPage()
			}
			for i := range max(len(lab), len(val)) {
				if l.room() < lead(9) {
					l.newPage()
				}
				l.y -= lead(9)
				if i < len(lab) {
					l.line(marginX, l.y, lab[i], 9)
				}
				if i < len(val) {
					l.line(marginX+labelW, l.y, val[i], 9)
				}
			}
			l.y -= 2
		}
		l.y -= 5
	case Table:
		l.table(b)
	}
}

func (l *layout) para(b Para, x, w float64) {
	const hang = 22.0
	if b.Number != "" {
		x, w = x+hang, w-hang
	}
	for i, t := range wrap(b.Runs, bodySize, w) {
		if l.room() < lead(bodySize) || i == 0 && l.room() < 2*lead(bodySize) {
			l.newPage()
		}
		l.y -= lead(bodySize)
		if i == 0 && b.Number != "" {
			l.line(x-hang, l.y, textLine{pieces: []piece{{Safe(b.Number), Regular, 0}}}, bodySize)
		}
		at := x
		if b.Centre {
			at += (w - t.w) / 2
		}
		l.line(at, l.y, t, bodySize)
	}
	l.y -= 5
}

func (l *layout) table(b Table) {
	cols := len(b.Head)
	if cols == 0 {
		return
	}
	ws := make([]float64, cols)
	sum := 0.0
	for i := range ws {
		ws[i] = 1
		if i < len(b.Widths) && b.Widths[i] > 0 {
			ws[i] = b.Widths[i]
		}
		sum += ws[i]
	}
	for i := range ws {
		ws[i] *= textW / sum
	}
	rule := func(y, weight float64) {
		fmt.Fprintf(l.pages[len(l.pages)-1], "%s w %s %s m %s %s l S\n", num(weight), num(marginX), num(y), num(marginX+textW), num(y))
	}
	head := make([][]textLine, cols)
	headLines := 0
	for i, h := range b.Head {
		head[i] = wrap([]Run{{h, Bold}}, cellSize, ws[i]-2*pad)
		headLines = max(headLines, len(head[i]))
	}
	headH := float64(headLines)*lead(cellSize) + 2*pad
	start := func(again bool) {
		if b.Caption != "" {
			cap := b.Caption
			if again {
				cap += " (continued)"
			}
			for _, t := range wrap([]Run{{cap, Bold}}, 9, textW) {
				l.y -= lead(9)
				l.line(marginX, l.y, t, 9)
			}
			l.y -= 4
		}
		fmt.Fprintf(l.pages[len(l.pages)-1], "0.9 g %s %s %s %s re f 0 g\n", num(marginX), num(l.y-headH), num(textW), num(headH))
		rule(l.y, 0.8)
		x := marginX
		for i := range cols {
			for j, t := range head[i] {
				l.line(x+pad, l.y-pad-float64(j+1)*lead(cellSize)+2.5, t, cellSize)
			}
			x += ws[i]
		}
		l.y -= headH
		rule(l.y, 0.8)
	}
	if l.room() < headH+70 {
		l.newPage()
	}
	start(false)
	for _, row := range b.Rows {
		cells := make([][]textLine, cols)
		n := 0
		for i := range cols {
			if i < len(row) {
				for _, p := range row[i] {
					cells[i] = append(cells[i], wrap(p.Runs, cellSize, ws[i]-2*pad)...)
				}
			}
			n = max(n, len(cells[i]))
		}
		h := float64(n)*lead(cellSize) + 2*pad
		if l.room() < h && h < (pageH-top-bottom)*0.6 {
			l.newPage()
			start(true)
		}
		for from := 0; from < n || n == 0; { // a row longer than a page goes on
			fit := int((l.room() - 2*pad) / lead(cellSize))
			if fit < 1 {
				l.newPage()
				start(true)
				continue
			}
			to := min(n, from+fit)
			x := marginX
			for i := range cols {
				for j := from; j < min(to, len(cells[i])); j++ {
					l.line(x+pad, l.y-pad-float64(j-from+1)*lead(cellSize)+2.5, cells[i][j], cellSize)
				}
				x += ws[i]
			}
			l.y -= float64(to-from)*lead(cellSize) + 2*pad
			rule(l.y, 0.3)
			if from = to; n == 0 {
				break
			}
		}
	}
	l.y -= 10
}

// frame puts the head and the foot on every page.
func (l *layout) frame(d *Doc) {
	for i, p := range l.pages {
		y := pageH - 42.0
		right := Safe(d.Right)
		rw := width(right, Bold, 9)
		left := wrap([]Run{{d.Left, Regular}}, 8.5, textW-rw-20)
		l.text(p, marginX, y, join(left[0]), Regular, 8.5)
		if right != "" {
			l.text(p, marginX+textW-rw, y, right, Bold, 9)
		}
		fmt.Fprintf(p, "0.5 w %s %s m %s %s l S\n", num(marginX), num(y-6), num(marginX+textW), num(y-6))
		if d.Note != "" {
			note := wrap([]Run{{d.Note, Bold}}, 8.5, textW)[0]
			l.text(p, marginX+(textW-note.w)/2, y-18, join(note), Bold, 8.5)
		}
		of := fmt.Sprintf("Page %d of %d", i+1, len(l.pages))
		ow := width(of, Regular, 8.5)
		fmt.Fprintf(p, "0.5 w %s %s m %s %s l S\n", num(marginX), num(bottom-14), num(marginX+textW), num(bottom-14))
		l.text(p, marginX+textW-ow, bottom-26, of, Regular, 8.5)
		if d.Foot != "" {
			foot := wrap([]Run{{d.Foot, Mono}}, 6.8, textW-ow-16)
			for j, t := range foot[:min(2, len(foot))] {
				l.text(p, marginX, bottom-26-float64(j)*9, join(t), Mono, 6.8)
			}
		}
	}
}

func join(t textLine) string {
	var b strings.Builder
	for _, p := range t.pieces {
		b.WriteString(p.text)
	}
	return b.String()
}

// write gives the file: classic objects and table, so that any reader and any
// check can follow.
func (l *layout) write(w io.Writer, d *Doc) error {
	var out bytes.Buffer
	var offs []int
	obj := func(format string, args ...any) int {
		offs = append(offs, out.Len())
		fmt.Fprintf(&out, "%d 0 obj\n"+format+"\nendobj\n", append([]any{len(offs)}, args...)...)
		return len(offs)
	}
	stream := func(dict string, data []byte, deflate bool) int {
		if deflate {
			var z bytes.Buffer
			zw, _ := zlib.NewWriterLevel(&z, zlib.BestCompression)
			_, _ = zw.Write(data)
			_ = zw.Close()
			data, dict = z.Bytes(), dict+" /Filter /FlateDecode"
		}
		offs = append(offs, out.Len())
		fmt.Fprintf(&out, "%d 0 obj\n<< %s /Length %d >>\nstream\n", len(offs), strings.TrimSpace(dict), len(data))
		out.Write(data)
		out.WriteString("\nendstream\nendobj\n")
		return len(offs)
	}
	out.WriteString("%PDF-1.7\n%\xe2\xe3\xcf\xd3\n")
	// The catalogue is object 1 and the pages' tree 2, written at the end.
	offs = append(offs, 0, 0)
	var fonts strings.Builder
	for k, f := range faces() {
		if len(l.used[k]) == 0 {
			continue
		}
		file, err := f.subset(l.used[k])
		if err != nil {
			return err
		}
		scale := func(v int) int { return v * 1000 / f.em }
		sum := sha256.Sum256(file)
		tag := make([]byte, 6)
		for i := range tag {
			tag[i] = 'A' + sum[i]%26
		}
		name := string(tag) + "+" + f.name
		ff := stream(fmt.Sprintf("/Length1 %d", len(file)), file, true)
		flags := 4
		if k == 2 {
			flags |= 1
		}
		desc := obj("<< /Type /FontDescriptor /FontName /%s /Flags %d /FontBBox [%d %d %d %d] /ItalicAngle 0 /Ascent %d /Descent %d /CapHeight %d /StemV %d /FontFile2 %d 0 R >>",
			name, flags, scale(f.box[0]), scale(f.box[1]), scale(f.box[2]), scale(f.box[3]), scale(f.ascent), scale(f.desc), scale(f.capH), []int{80, 140, 80}[k], ff)
		ids := slices.Sorted(maps.Keys(l.used[k]))
		var ws, cm strings.Builder
		for _, id := range ids {
			fmt.Fprintf(&ws, "%d [%s] ", id, strconv.FormatFloat(float64(f.of(l.used[k][id]).width)*1000/float64(f.em), 'f', -1, 64))
		}
		for part := range slices.Chunk(ids, 100) {
			fmt.Fprintf(&cm, "%d beginbfchar\n", len(part))
			for _, id := range part {
				fmt.Fprintf(&cm, "<%04X> <", uint16(id))
				for _, u := range utf16.Encode([]rune{l.used[k][id]}) {
					fmt.Fprintf(&cm, "%04X", u)
				}
				cm.WriteString(">\n")
			}
			cm.WriteString("endbfchar\n")
		}
		uni := stream("", []byte("/CIDInit /ProcSet findresource begin\n12 dict begin\nbegincmap\n/CIDSystemInfo << /Registry (Adobe) /Ordering (UCS) /Supplement 0 >> def\n/CMapName /Adobe-Identity-UCS def\n/CMapType 2 def\n1 begincodespacerange\n<0000> <FFFF>\nendcodespacerange\n"+
			cm.String()+"endcmap\nCMapName currentdict /CMap defineresource pop\nend\nend"), true)
		cid := obj("<< /Type /Font /Subtype /CIDFontType2 /BaseFont /%s /CIDSystemInfo << /Registry (Adobe) /Ordering (Identity) /Supplement 0 >> /FontDescriptor %d 0 R /CIDToGIDMap /Identity /DW 0 /W [%s] >>", name, desc, strings.TrimSpace(ws.String()))
		t0 := obj("<< /Type /Font /Subtype /Type0 /BaseFont /%s /Encoding /Identity-H /DescendantFonts [%d 0 R] /ToUnicode %d 0 R >>", name, cid, uni)
		fmt.Fprintf(&fonts, "/F%d %d 0 R ", k, t0)
	}
	res := obj("<< /Font << %s>> >>", fonts.String())
	var kids strings.Builder
	for _, p := range l.pages {
		c := stream("", p.Bytes(), true)
		fmt.Fprintf(&kids, "%d 0 R ", obj("<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %s %s] /Resources %d 0 R /Contents %d 0 R >>", num(pageW), num(pageH), res, c))
	}
	icc := stream("/N 3 /Alternate /DeviceRGB", srgb(), true)
	intent := obj("<< /Type /OutputIntent /S /GTS_PDFA1 /OutputConditionIdentifier (sRGB IEC61966-2.1) /Info (sRGB IEC61966-2.1) /DestOutputProfile %d 0 R >>", icc)
	meta := stream("/Type /Metadata /Subtype /XML", []byte(xmp(d)), false)
	info := obj("<< /Title %s /Author %s /Subject %s /Creator %s /Producer %s /CreationDate (%s) /ModDate (%s) >>",
		pdfText(d.Title), pdfText(d.Author), pdfText(d.Subject), pdfText(d.Tool), pdfText(d.Tool), pdfDate(d.Created), pdfDate(d.Created))
	offs[1] = out.Len()
	fmt.Fprintf(&out, "2 0 obj\n<< /Type /Pages /Kids [%s] /Count %d >>\nendobj\n", strings.TrimSpace(kids.String()), len(l.pages))
	offs[0] = out.Len()
	fmt.Fprintf(&out, "1 0 obj\n<< /Type /Catalog /Version /1.7 /Pages 2 0 R /Metadata %d 0 R /OutputIntents [%d 0 R] /Lang (en) /ViewerPreferences << /DisplayDocTitle true >> >>\nendobj\n", meta, intent)
	sum := sha256.Sum256(out.Bytes())
	id := hex.EncodeToString(sum[:16])
	xref := out.Len()
	fmt.Fprintf(&out, "xref\n0 %d\n0000000000 65535 f \n", len(offs)+1)
	for _, o := range offs {
		fmt.Fprintf(&out, "%010d 00000 n \n", o)
	}
	fmt.Fprintf(&out, "trailer\n<< /Size %d /Root 1 0 R /Info %d 0 R /ID [<%s> <%s>] >>\nstartxref\n%d\n%%%%EOF\n", len(offs)+1, info, id, id, xref)
	_, err := w.Write(out.Bytes())
	return err
}

func pdfDate(t time.Time) string { return t.UTC().Format("D:20060102150405Z") }

// pdfText is a text string in UTF-16.
func pdfText(s string) string {
	var b strings.Builder
	b.WriteString("<FEFF")
	for _, u := range utf16.Encode([]rune(Safe(s))) {
		fmt.Fprintf(&b, "%04X", u)
	}
	return b.String() + ">"
}

func xmlText(s string) string {
	var b bytes.Buffer
	_ = xml.EscapeText(&b, []byte(Safe(s)))
	return b.String()
}

func xmp(d *Doc) string {
	at := d.Created.UTC().Format("2006-01-02T15:04:05Z")
	alt := func(tag, s string) string {
		return fmt.Sprintf("<dc:%s><rdf:Alt><rdf:li xml:lang=\"x-default\">%s</rdf:li></rdf:Alt></dc:%s>\n", tag, xmlText(s), tag)
	}
	tool := xmlText(cmp.Or(d.Tool, "impound"))
	return "<?xpacket begin=\"\ufeff\" id=\"W5M0MpCehiHzreSzNTczkc9d\"?>\n" +
		`<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
<rdf:Description rdf:about="" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:xmp="http://ns.adobe.com/xap/1.0/" xmlns:pdf="http://ns.adobe.com/pdf/1.3/" xmlns:pdfaid="http://www.aiim.org/pdfa/ns/id/">
<pdfaid:part>2</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>
` + alt("title", d.Title) + alt("description", d.Subject) +
		"<dc:creator><rdf:Seq><rdf:li>" + xmlText(d.Author) + "</rdf:li></rdf:Seq></dc:creator>\n" +
		"<xmp:CreatorTool>" + tool + "</xmp:CreatorTool><xmp:CreateDate>" + at + "</xmp:CreateDate><xmp:ModifyDate>" + at + "</xmp:ModifyDate><pdf:Producer>" + tool + "</pdf:Producer>\n" +
		"</rdf:Description></rdf:RDF></x:xmpmeta>\n<?xpacket end=\"r\"?>"
}
