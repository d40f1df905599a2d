package match

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

// maxToken is the longest token that can be matched.
const maxToken = 40

// A token is found from an anchor: three letters of it that must stand in the
// name unharmed. For each allowed number of edits there are enough anchors that
// one survives (pigeonhole); where two neighbours that changed places would
// break every anchor, the changed form is an anchor too.
type anchorKind uint8

const (
	anchorHead  anchorKind = iota // the token begins here: at most 1 edit, checked 8 letters at once
	anchorTail                    // the token ends here: the same from the right
	anchorExact                   // no edit allowed
	anchorLong                    // somewhere inside a long token: 2 edits
)

type entry struct {
	head uint64 // the first 8 codes (anchorTail: the last 8, right-aligned; anchorLong: the token's letters as bits)
	tok  int32
	n    uint8 // length of the token
	off  uint8 // where in the token the anchor begins
	kind anchorKind
}

type token struct {
	text   string
	codes  []uint8
	brands []int32 // who uses it, the likeliest first
	edits  int
	rarity float32           // bits of surprise
	hash   uint16            // for what is learnt of single tokens
	common [runKinds]float32 // bits: how many ordinary names hold it
	merged bool              // the form with rn and vv merged, of a token that holds them
}

func code3(a, b, c uint8) uint32 { return uint32(a)<<10 | uint32(b)<<5 | uint32(c) }

// letters gives which letters there are, a bit each.
func letters(codes []uint8) (mask uint32) {
	for _, x := range codes {
		mask |= 1 << x
	}
	return mask
}

func pack(codes []uint8) uint64 {
	var b [8]byte
	copy(b[:], codes)
	return binary.LittleEndian.Uint64(b[:])
}

func packRight(codes []uint8) uint64 {
	var b [8]byte
	if len(codes) > 8 {
		codes = codes[len(codes)-8:]
	}
	copy(b[8-len(codes):], codes)
	return binary.LittleEndian.Uint64(b[:])
}

// index finds tokens in folded names.
//
// At each letter of a name the three letters from there, a number of 15 bits,
// lead to a bucket: the entries whose anchor they are. Of those, eight are held
// against the letters beside the anchor at once, in eight octets of a word, and
// only what one edit could make of them is compared in full.
type index struct {
	bg      *Background
	tokens  []token
	names   []string // of the brand, by token
	hot     []hot    // by token
	ends    []ends   // by token, for those of 8 letters and more
	entries []entry
	any     [1 << 15 / 64]uint64 // whether there is a bucket: 4 KiB, stays in the nearest cache
	bucket  [1 << 15]uint16      // which
	buckets []bucket
	sides   []side
	longs   []longs
	gapBits [1 << 15 / 64]uint64 // by hashGap
	gapAt   []uint32             // 1<<15 + 1 offsets into gaps
	gaps    []entry
	loose   looseIndex
}

// bucket is what begins with the same three letters.
type bucket struct {
	from, to uint32 // of entries
	sides    uint32 // the first of nSides in sides
	longs    uint32
	nSides   uint16
	nLongs   uint16
	exact    bool  // some entries are compared as they are
	digraph  bool  // rn or vv
	rare     bool  // exact, digraph, or two
	two      int32 // the token of two letters, -1 for none
}

// side is up to eight entries of a bucket, an octet each in a, b and c: the
// three letters of the token that follow the anchor outwards. Where the token
// has only two, wild has the top bit. The name's are at first from the anchor's
// first letter, and in steps of step.
type side struct {
	a, b, c, wild uint64
	base          uint32 // of id in entries
	id            [8]uint16
	first, step   int8
	_             [10]uint8 // a cache line
}

// longs is up to four long tokens: eight letters of each beside the anchor, an
// octet each from the lowest; how many letters come before the anchor, and from
// it on. The first four letters are at a from the anchor's first, the others at b.
type longs struct {
	letters      [4]uint64
	wild         uint32 // a bit for each letter that the token does not have
	before, from uint32 // an octet each
	id           [4]uint16
	a, b         int8
	_            [10]uint8 // a cache line
}

// nearLongs leaves those of items (see scan.long) that may hold a token with two
// edits at most, puts the top bits of which into some, and gives how many.
//
// A letter that is kept is moved by two at most: of the eight beside the anchor
// all but two must be found so near to their place. And a token may begin and
// end two letters outside of the name.
func (ix *index) nearLongs(s *scan, items []uint64) int {
	if len(items) == 0 {
		return 0
	}
	if fastLongs {
		return nearLongsAVX2(&items[0], len(items), &ix.longs[0], &s.code[padLeft], s.n, &s.some[0])
	}
	return ix.nearLongsPlain(s, items)
}

func (ix *index) nearLongsPlain(s *scan, items []uint64) int {
	k := 0
	for _, w := range items {
		g, i := &ix.longs[w>>8&0xffffff], int(w&255)
		in := (ones32*uint32(0x80+min(i+2, 63)) - g.before) & (ones32*uint32(0x80+min(s.n-i+2, 63)) - g.from)
		var some uint64
		for e, t := range g.letters {
			lack := uint64(tops)
			for d := -2; d <= 2; d++ {
				a := uint64(binary.LittleEndian.Uint32(s.code[padLeft+i+int(g.a)+d:]))
				b := uint64(binary.LittleEndian.Uint32(s.code[padLeft+i+int(g.b)+d:]))
				lack &= ((a | b<<32) ^ t) + lows
			}
			wild := g.wild >> (8 * e) & 0xff
			if bits.OnesCount64(lack)-bits.OnesCount32(wild) <= 2 {
				some |= uint64(in) & (0x80 << (8 * e))
			}
		}
		items[k], s.some[k] = w, some
		if some != 0 {
			k++
		}
	}
	return k
}

const (
	ones32 = 0x01010101

	ones  = 0x0101010101010101
	lows  = 0x7f7f7f7f7f7f7f7f
	tops  = 0x8080808080808080
	never = 0x7f // no letter
)

// pass gives the top bits of those entries of which one edit at most can have
// made the letters x, y and z (an octet each, repeated), if the letters of the
// anchor are unharmed. It errs on the side of true.
func (g *side) pass(x, y, z uint64) uint64 {
	ax, ay := (g.a^x)+lows, (g.a^y)+lows // the top bit says different; nothing carries
	bx, by, bz := (g.b^x)+lows, (g.b^y)+lows, (g.b^z)+lows
	cy, cz := ((g.c^y)+lows)&^g.wild, ((g.c^z)+lows)&^g.wild
	// In order: the first is right, and of what comes next one thing; the first
	// is replaced; something was put in front of it; it is missing, or changed
	// places with the second.
	return ^((ax | by&cz&bz&cy) & (by | cz) & (ay | bz) & (bx | cy&ay)) & tops
}

// ends are a token's first and last 8 letters. overlap masks those of the last
// that are not among the first.
type ends struct{ head, tail, overlap uint64 }

// far says that the token has more than 2 letters that stand nowhere near their
// place in the name, when it is laid to begin at letter at: then it takes more
// than 2 edits, since a letter that is kept is moved by 2 at most.
func (e *ends) far(s *scan, at, n int) bool {
	if at < -2 || at+n > s.n+2 {
		return true
	}
	h, t := uint64(tops), e.overlap
	i, j := at+padLeft, at+n-8+padLeft
	for d := -2; d <= 2; d++ {
		h &= (load8(&s.code, i+d) ^ e.head) + lows // codes are below 32: nothing carries
		t &= (load8(&s.code, j+d) ^ e.tail) + lows
	}
	return bits.OnesCount64(h)+bits.OnesCount64(t) > 2
}

func newIndex(tokens []token, bg *Background) *index {
	ix := &index{tokens: tokens, bg: bg, ends: make([]ends, len(tokens))}
	for i := range tokens {
		t := &tokens[i]
		ix.hot = append(ix.hot, hotOf(t))
		if c, n := t.codes, len(t.codes); n >= 8 {
			ix.ends[i] = ends{pack(c), packRight(c), tops << (8 * max(0, 16-n))}
		}
	}
	ix.loose = newLoose(tokens)
	near, gap, two := anchors(tokens)
	slices.SortStableFunc(near, func(a, b pending) int { return cmp.Compare(a.code, b.code) })
	ix.buckets = append(ix.buckets, bucket{two: -1}) // the first is none
	at := func(code uint32) *bucket {
		if ix.bucket[code] == 0 {
			ix.any[code>>6] |= 1 << (code & 63)
			ix.bucket[code] = uint16(len(ix.buckets))
			ix.buckets = append(ix.buckets, bucket{two: -1})
		}
		return &ix.buckets[ix.bucket[code]]
	}
	for len(near) > 0 {
		n := 1
		for n < len(near) && near[n].code == near[0].code {
			n++
		}
		ix.fill(at(near[0].code), near[:n])
		near = near[n:]
	}
	for third := range uint32(32) {
		for pair, id := range two {
			at(pair<<5 | third).two = id
		}
		at(code3(letterCode('r'), letterCode('n'), uint8(third))).digraph = true
		at(code3(letterCode('v'), letterCode('v'), uint8(third))).digraph = true
	}
	for i := range ix.buckets {
		b := &ix.buckets[i]
		b.rare = b.exact || b.digraph || b.two >= 0
	}
	ix.gapAt = make([]uint32, 1<<15+1)
	slices.SortStableFunc(gap, func(a, b pending) int { return cmp.Compare(a.code, b.code) })
	for _, p := range gap {
		ix.gapBits[p.code>>6] |= 1 << (p.code & 63)
		ix.gapAt[p.code+1]++
		ix.gaps = append(ix.gaps, p.e)
	}
	for i := range 1 << 15 {
		ix.gapAt[i+1] += ix.gapAt[i]
	}
	return ix
}

// fill puts the entries of one bucket in order.
func (ix *index) fill(b *bucket, ps []pending) {
	b.from, b.to, b.sides, b.longs = uint32(len(ix.entries)), uint32(len(ix.entries)+len(ps)), uint32(len(ix.sides)), uint32(len(ix.longs))
	put := func(w *uint64, lane int, v uint8) { *w = *w&^(0xff<<(8*lane)) | uint64(v)<<(8*lane) }
	for _, kind := range []anchorKind{anchorHead, anchorTail} {
		lane := 0
		for i, p := range ps {
			if p.e.kind != kind {
				continue
			}
			c := slices.Clone(ix.tokens[p.e.tok].codes)
			g := side{a: never * ones, b: never * ones, c: never * ones, base: b.from, first: 3, step: 1}
			if kind == anchorTail {
				slices.Reverse(c)
				g.first, g.step = -1, -1
			}
			if lane&7 == 0 {
				ix.sides = append(ix.sides, g)
			}
			l := &ix.sides[len(ix.sides)-1]
			put(&l.a, lane&7, c[3])
			put(&l.b, lane&7, c[4])
			if len(c) > 5 {
				put(&l.c, lane&7, c[5])
			} else {
				put(&l.wild, lane&7, 0x80)
			}
			l.id[lane&7] = uint16(i)
			lane++
		}
	}
	for i, p := range ps {
		ix.entries = append(ix.entries, p.e)
		b.exact = b.exact || p.e.kind == anchorExact
		if p.e.kind != anchorLong {
			continue
		}
		// What stands on both sides of the anchor, or on the longer one.
		c, off := ix.tokens[p.e.tok].codes, int(p.e.off)
		g := longs{a: -4, b: 3}
		if off < 3 {
			g.a, g.b = 3, 7
		} else if len(c)-off-3 < 3 {
			g.a, g.b = -8, -4
		}
		j := int(b.longs)
		for j < len(ix.longs) && (ix.longs[j].a != g.a || ix.longs[j].from>>24 != never) {
			j++
		}
		if j == len(ix.longs) {
			g.before, g.from, g.wild = never*ones32, never*ones32, 1<<32-1
			ix.longs = append(ix.longs, g)
		}
		l := &ix.longs[j]
		lane := 0
		for l.from>>(8*lane)&0xff != never {
			lane++
		}
		put32 := func(w *uint32, v uint8) { *w = *w&^(0xff<<(8*lane)) | uint32(v)<<(8*lane) }
		put32(&l.before, p.e.off)
		put32(&l.from, p.e.n-p.e.off)
		var wild uint8
		for k := range 8 {
			at := off + int(g.a) + k
			if k >= 4 {
				at = off + int(g.b) + k - 4
			}
			if at < 0 || at >= len(c) {
				wild |= 1 << k
				l.letters[lane] |= never << (8 * k)
			} else {
				l.letters[lane] |= uint64(c[at]) << (8 * k)
			}
		}
		put32(&l.wild, wild)
		l.id[lane] = uint16(i)
	}
	b.nSides, b.nLongs = uint16(len(ix.sides)-int(b.sides)), uint16(len(ix.longs)-int(b.longs))
}

type pending struct {
	code uint32
	e    entry
}

// hashGap is of the first, second, fourth and fifth letter, 5 bits each.
func hashGap(letters uint32) uint32 { return letters * 2654435769 >> 17 }

func gapOf(a, b, d, e uint8) uint32 { return hashGap(code3(a, b, d)<<5 | uint32(e)) }

// anchors gives what tokens are found from: near by three letters in a row, gap
// by hashGap, two by two letters.
func anchors(tokens []token) (near, gap []pending, two map[uint32]int32) {
	two = map[uint32]int32{}
	for i := range tokens {
		t := &tokens[i]
		c, n, id := t.codes, len(t.codes), int32(i)
		add := func(code uint32, kind anchorKind, off int) {
			e := entry{tok: id, n: uint8(n), off: uint8(off), kind: kind}
			switch kind {
			case anchorTail:
				e.head = packRight(c)
			case anchorLong:
				e.head = uint64(letters(c))
			default:
				e.head = pack(c)
			}
			near = append(near, pending{code, e})
		}
		switch {
		case n == 2:
			two[uint32(c[0])<<5|uint32(c[1])] = id
		case t.edits == 0:
			add(code3(c[0], c[1], c[2]), anchorExact, 0)
		case t.edits == 1 && n <= 8:
			add(code3(c[0], c[1], c[2]), anchorHead, 0)
			add(code3(c[n-3], c[n-2], c[n-1]), anchorTail, n-3)
			if n <= 6 {
				// The second half of the edits between the two anchors.
				add(code3(c[0], c[1], c[3]), anchorHead, 0) // third letter left out, or third and fourth swapped
				if n == 5 {
					add(code3(c[0], c[2], c[1]), anchorHead, 0) // second and third swapped
					// The third letter replaced; or one put in front of it that is not to be
					// told from that.
					e := entry{head: pack(c), tok: id, n: uint8(n), kind: anchorHead}
					gap = append(gap, pending{gapOf(c[0], c[1], c[3], c[4]), e})
					if c[2] == c[3] {
						gap = append(gap, pending{gapOf(c[0], c[1], c[3], c[3]), e})
					}
				}
			}
		default:
			pieces := t.edits + 1
			for p := range pieces {
				lo, hi := p*n/pieces, (p+1)*n/pieces
				best, bestCost := lo, 1e9
				for o := lo; o+3 <= hi; o++ {
					if cost := trigramCost(c[o], c[o+1], c[o+2]); cost < bestCost {
						best, bestCost = o, cost
					}
				}
				add(code3(c[best], c[best+1], c[best+2]), anchorLong, best)
			}
		}
	}
	return near, gap, two
}

// trigramCost says how common three letters are in names, roughly: common
// anchors cost time.
func trigramCost(a, b, c uint8) float64 {
	cost := 0.0
	for _, x := range [3]uint8{a, b, c} {
		cost += letterFreq[x]
	}
	return cost
}

// letterFreq is how often a letter stands in English text, in percent; l is
// counted with i.
var letterFreq = [32]float64{0, 8.2, 1.5, 2.8, 4.3, 12.7, 2.2, 2.0, 6.1, 11.0, 0.2, 0.8, 11.0, 2.4, 6.7, 7.5, 1.9, 0.1, 6.0, 6.3, 9.1, 2.8, 1.0, 2.4, 0.2, 2.0, 0.1, 1, 1, 1, 1, 1}

const (
	padLeft  = 16
	padRight = 16
)

// scan is one name, folded. It lives on the stack.
type scan struct {
	code [padLeft + 256 + padRight]uint8
	pos  [257]uint8 // where in raw the letter begins
	raw  [256]uint8 // lower case
	n    int        // letters in code
	rawN int        // octets in raw, without the top-level domain
	allN int        // octets in raw

	hasA    bool // holds an A-label, which is left out of code
	digraph bool // holds rn or vv, says find
	merged  bool // those are merged
	plain   bool // letters and one dot
	near    around
	idn     bool      // A-labels were replaced by what they look like,
	looks   [256]bool // in these places of raw

	// What find has to do.
	side  [maxWork + 2]uint32 // side<<8 | letter
	long  [maxWork + 2]uint64 // first entry of the bucket<<32 | longs<<8 | letter
	some  [maxWork]uint64     // top bits of those that may be it
	maybe [maxMaybe]uint64
}

const (
	maxWork  = 96
	maxMaybe = 64
)

// edit is how an occurrence differs from its token.
type edit uint8

const (
	editNone edit = iota
	editSub
	editIns
	editDel
	editSwap
	editMany
)

// found is one occurrence.
type found struct {
	tok  int32
	at   int // first letter in code
	end  int // behind the last
	dist int
	edit edit
}

func load8(b *[padLeft + 256 + padRight]uint8, i int) uint64 {
	return binary.LittleEndian.Uint64(b[i : i+8 : i+8])
}

// head1 compares the token's n codes t with the name at i, from the left, and
// gives the distance (2 = more than one edit), the length in the name and how.
// It does so without a branch: which edit it is nobody can foretell.
func head1(s *scan, i int, t uint64, n uint) (dist int, length int, how edit) {
	i += padLeft
	x, y := load8(&s.code, i), load8(&s.code, i+1)
	full := ^uint64(0) >> (64 - 8*n)
	d := (x ^ t) & full
	p := uint(bits.TrailingZeros64(d)) & 56 // the bit where the first difference begins
	rest := ^uint64(0) << p & full
	behind := rest &^ (0xff << p)
	here := x >> p & 0xff
	swapped := here<<8 | x>>(p+8)&0xff ^ t>>p&0xffff
	how = edits1[flag(d == 0)|flag(d&behind == 0)<<1|flag(here == 0)<<2|flag((y^t)&rest == 0)<<3|
		flag((x<<8^t)&behind == 0)<<4|flag(swapped|d&(behind&^(0xff<<(p+8))) == 0)<<5]
	return edits1Dist[how], int(n) + edits1Len[how], how
}

// tail1 is head1 from the right: e is behind the last letter in the name, t the
// token right-aligned.
func tail1(s *scan, e int, t uint64, n uint) (dist int, length int, how edit) {
	i := e + padLeft - 8
	x, y := load8(&s.code, i), load8(&s.code, i-1)
	full := ^uint64(0) << (64 - 8*n)
	d := (x ^ t) & full
	p := uint(bits.LeadingZeros64(d)) & 56 // letters that agree at the end, in bits
	rest := ^uint64(0) >> p & full
	before := rest &^ (0xff << 56 >> p)
	here := x << p >> 56
	swapped := (here<<8 | x<<(p+8)>>56) ^ bits.ReverseBytes64(t<<p>>48)>>48
	how = edits1[flag(d == 0)|flag(d&before == 0)<<1|flag(here == 0)<<2|flag((y^t)&rest == 0)<<3|
		flag((x>>8^t)&before == 0)<<4|flag(swapped|d&(before&^(0xff<<56>>(p+8))) == 0)<<5]
	return edits1Dist[how], int(n) + edits1Len[how], how
}

func flag(b bool) (v uint) {
	if b {
		v = 1
	}
	return v
}

// edits1 says by what head1 and tail1 see which edit it was. Where the name has
// ended at the first difference, the last letter is missing.
var edits1 = func() (t [64]edit) {
	for i := range t {
		switch {
		case i&1 != 0:
			t[i] = editNone
		case i&2 != 0 && i&4 != 0:
			t[i] = editDel
		case i&2 != 0:
			t[i] = editSub
		case i&8 != 0:
			t[i] = editIns
		case i&16 != 0:
			t[i] = editDel
		case i&32 != 0:
			t[i] = editSwap
		default:
			t[i] = editMany
		}
	}
	return t
}()

var (
	edits1Dist = [8]int{editNone: 0, editSub: 1, editIns: 1, editDel: 1, editSwap: 1, editMany: 2}
	edits1Len  = [8]int{editIns: 1, editDel: -1}
)

// long matches a long token around an anchor at i (token offset off) with at
// most k edits in all.
func long(s *scan, i int, codes []uint8, off, k int) (dist, at, end int, ok bool) {
	dl, nl := sideEdits(s, codes[:off], i, -1, k)
	if dl > k {
		return
	}
	dr, nr := sideEdits(s, codes[off+3:], i+3, +1, k-dl)
	if dl+dr > k {
		return
	}
	return dl + dr, i - nl, i + 3 + nr, true
}

// sideEdits gives the least edits (insert, delete, replace, swap) that turn tok
// into a stretch of the name that begins at i and goes in direction dir, and
// how long that stretch is; k+1 when it takes more than k. A column of the table
// of distances is a word (Hyyrö 2003: the difference of neighbours is one at
// most).
func sideEdits(s *scan, tok []uint8, i, dir, k int) (dist, length int) {
	n := len(tok)
	if n == 0 {
		return 0, 0
	}
	avail, from, first := s.n-i, i, 0
	if dir < 0 {
		avail, from, first = i, i-1, n-1
	}
	m := min(avail, n+k)
	if m < n-k {
		return k + 1, 0
	}
	var at [32]uint64 // where in tok each letter is
	for j := range n {
		at[tok[first+dir*j]&31] |= 1 << j
	}
	best := k + 1
	if n < best {
		best = n
	}
	up, down, d0, before := ^uint64(0), uint64(0), uint64(0), uint64(0)
	d := n
	for j := 1; j <= m; j++ {
		c := at[s.code[padLeft+from]&31]
		from += dir
		d0 = ((c & up) + up ^ up) | c | down | (^d0&c)<<1&before
		before = c
		right, left := down|^(d0|up), d0&up
		d += int(right>>(n-1)&1) - int(left>>(n-1)&1)
		right, left = right<<1|1, left<<1
		up, down = left|^(d0|right), right&d0
		if d < best && j >= n-k {
			best, length = d, j
		}
	}
	return best, length
}
