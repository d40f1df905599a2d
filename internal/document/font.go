package document

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/gomono"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/sfnt"
	"golang.org/x/image/math/fixed"
)

// face is one of the Go fonts: free to embed and pass on (BSD licence), with
// Latin, Greek and Cyrillic letters.
type face struct {
	name   string
	ttf    []byte
	sf     *sfnt.Font
	em     int
	ascent int
	desc   int
	capH   int
	box    [4]int
	glyphs map[rune]glyph
	mu     sync.Mutex
	buf    sfnt.Buffer
}

type glyph struct {
	id    sfnt.GlyphIndex
	width int // in units of the em
}

var faces = sync.OnceValue(func() [3]*face {
	return [3]*face{load("GoRegular", goregular.TTF), load("GoBold", gobold.TTF), load("GoMono", gomono.TTF)}
})

func load(name string, ttf []byte) *face {
	sf, err := sfnt.Parse(ttf)
	if err != nil {
		panic(err) // a font that is part of the program
	}
	f := &face{name: name, ttf: ttf, sf: sf, em: int(sf.UnitsPerEm()), glyphs: map[rune]glyph{}}
	ppem := fixed.Int26_6(f.em) << 6
	m, err := sf.Metrics(&f.buf, ppem, font.HintingNone)
	if err != nil {
		panic(err)
	}
	f.ascent, f.desc, f.capH = m.Ascent.Round(), -m.Descent.Round(), m.CapHeight.Round()
	b, err := sf.Bounds(&f.buf, ppem, font.HintingNone)
	if err != nil {
		panic(err)
	}
	f.box = [4]int{b.Min.X.Floor(), -b.Max.Y.Ceil(), b.Max.X.Ceil(), -b.Min.Y.Floor()}
	return f
}

// of gives the glyph of r; its id is 0 when the font has none.
func (f *face) of(r rune) glyph {
	f.mu.Lock()
	defer f.mu.Unlock()
	if g, ok := f.glyphs[r]; ok {
		return g
	}
	var g glyph
	if id, err := f.sf.GlyphIndex(&f.buf, r); err == nil {
		g.id = id
		if adv, err := f.sf.GlyphAdvance(&f.buf, id, fixed.Int26_6(f.em)<<6, font.HintingNone); err == nil {
			g.width = adv.Round()
		}
	}
	f.glyphs[r] = g
	return g
}

// covered says whether all three fonts have a shape for r.
func covered(r rune) bool {
	for _, f := range faces() {
		if f.of(r).id == 0 {
			return false
		}
	}
	return true
}

// subset gives the font with the outlines of used glyphs alone; glyph ids stay.
func (f *face) subset(used map[sfnt.GlyphIndex]rune) ([]byte, error) {
	be := binary.BigEndian
	bad := fmt.Errorf("font %s is not as expected", f.name)
	if len(f.ttf) < 12 {
		return nil, bad
	}
	tables := map[string][]byte{}
	for i := range int(be.Uint16(f.ttf[4:])) {
		at := 12 + 16*i
		if at+16 > len(f.ttf) {
			return nil, bad
		}
		off, n := int(be.Uint32(f.ttf[at+8:])), int(be.Uint32(f.ttf[at+12:]))
		if off < 0 || n < 0 || off+n > len(f.ttf) {
			return nil, bad
		}
		tables[string(f.ttf[at:at+4])] = f.ttf[off : off+n]
	}
	head, maxp, loca, glyf := tables["head"], tables["maxp"], tables["loca"], tables["glyf"]
	if len(head) < 54 || len(maxp) < 6 {
		return nil, bad
	}
	n, long := int(be.Uint16(maxp[4:])), be.Uint16(head[50:]) == 1
	place := func(i int) int {
		if long {
			return int(be.Uint32(loca[4*i:]))
		}
		return 2 * int(be.Uint16(loca[2*i:]))
	}
	if len(loca) < (n+1)*2 || long && len(loca) < (n+1)*4 {
		return nil, bad
	}
	keep := map[int]bool{0: true}
	var add func(i int) error
	add = func(i int) error {
		if keep[i] {
			return nil
		}
		if i >= n || place(i+1) > len(glyf) || place(i) > place(i+1) {
			return bad
		}
		keep[i] = true
		g := glyf[place(i):place(i+1)]
		if len(g) < 10 || int16(be.Uint16(g)) >= 0 {
			return nil
		}
		for at := 10; at+4 <= len(g); { // a composite: what it is made of
			flags := be.Uint16(g[at:])
			if err := add(int(be.Uint16(g[at+2:]))); err != nil {
				return err
			}
			at += 6
			if flags&1 != 0 {
				at += 2
			}
			switch {
			case flags&8 != 0:
				at += 2
			case flags&0x40 != 0:
				at += 4
			case flags&0x80 != 0:
				at += 8
			}
			if flags&0x20 == 0 {
				break
			}
		}
		return nil
	}
	for id := range used {
		if err := add(int(id)); err != nil {
			return nil, err
		}
	}
	var newGlyf []byte
	newLoca := make([]byte, 0, 4*(n+1))
	for i := range n {
		newLoca = be.AppendUint32(newLoca, uint32(len(newGlyf)))
		if keep[i] {
			newGlyf = append(newGlyf, glyf[place(i):place(i+1)]...)
			for len(newGlyf)%4 != 0 {
				newGlyf = append(newGlyf, 0)
			}
		}
	}
	newLoca = be.AppendUint32(newLoca, uint32(len(newGlyf)))
	newHead := bytes.Clone(head)
	be.PutUint32(newHead[8:], 0)
	be.PutUint16(newHead[50:], 1)
	out := map[string][]byte{"head": newHead, "loca": newLoca, "glyf": newGlyf}
	for _, t := range []string{"hhea", "maxp", "hmtx", "cvt ", "fpgm", "prep"} {
		if b, ok := tables[t]; ok {
			out[t] = b
		}
	}
	var tags []string
	for t := range out {
		tags = append(tags, t)
	}
	slices.Sort(tags)
	file := []byte{0, 1, 0, 0}
	pow, log := 1, 0
	for pow*2 <= len(tags) {
		pow, log = pow*2, log+1
	}
	file = be.AppendUint16(file, uint16(len(tags)))
	file = be.AppendUint16(file, uint16(16*pow))
	file = be.AppendUint16(file, uint16(log))
	file = be.AppendUint16(file, uint16(16*(len(tags)-pow)))
	off := 12 + 16*len(tags)
	var body []byte
	headAt := 0
	for _, t := range tags {
		b := out[t]
		if t == "head" {
			headAt = off + len(body)
		}
		file = append(file, t...)
		file = be.AppendUint32(file, sum32(b))
		file = be.AppendUint32(file, uint32(off+len(body)))
		file = be.AppendUint32(file, uint32(len(b)))
		body = append(body, b...)
		for len(body)%4 != 0 {
			body = append(body, 0)
		}
	}
	file = append(file, body...)
	be.PutUint32(file[headAt+8:], 0xb1b0afba-sum32(file))
	return file, nil
}

func sum32(b []byte) uint32 {
	var s uint32
	for len(b) >= 4 {
		s += binary.BigEndian.Uint32(b)
		b = b[4:]
	}
	var last [4]byte
	copy(last[:], b)
	return s + binary.BigEndian.Uint32(last[:])
}
