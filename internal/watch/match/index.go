package match

import (
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

// table is a hash-free map from a code of 15 bits to entries.
type table struct {
	bits    [1 << 15 / 64]uint64 // whether there is any: 4 KiB, stays in the nearest cache
	start   []uint32             // 1<<15 + 1 offsets into entries
	entries []entry
}

func code3(a, b, c uint8) uint32 { return uint32(a)<<10 | uint32(b)<<5 | uint32(c) }

type pending struct {
	code uint32
	e    entry
}

func (t *table) build(ps []pending) {
	slices.SortStableFunc(ps, func(a, b pending) int { return int(a.code) - int(b.code) })
	t.start = make([]uint32, 1<<15+1)
	t.entries = make([]entry, len(ps))
	for i, p := range ps {
		t.bits[p.code>>6] |= 1 << (p.code & 63)
		t.start[p.code+1]++
		t.entries[i] = p.e
	}
	for i := range 1 << 15 {
		t.start[i+1] += t.start[i]
	}
}

func (t *table) has(code uint32) bool { return t.bits[code>>6]&(1<<(code&63)) != 0 }

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
type index struct {
	bg     *Background
	tokens []token
	ends   []ends                     // by token, for those of 8 letters and more
	near   table                      // three letters in a row
	gap    table                      // first, second, fourth
	two    [1024]int32                // tokens of two letters, by code; -1 for none
	pairs  [32]uint32                 // which two letters anything in near, gap and two begins with
	loose  [32][maxToken + 1][]looseT // tokens by first letter and length
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
	const ones, tops = 0x7f7f7f7f7f7f7f7f, 0x8080808080808080
	h, t := uint64(tops), e.overlap
	i, j := at+padLeft, at+n-8+padLeft
	for d := -2; d <= 2; d++ {
		h &= (load8(&s.code, i+d) ^ e.head) + ones // codes are below 32: nothing carries
		t &= (load8(&s.code, j+d) ^ e.tail) + ones
	}
	return bits.OnesCount64(h)+bits.OnesCount64(t) > 2
}

type looseT struct {
	tok  int32
	mask uint32 // its letters
}

func newIndex(tokens []token, bg *Background) *index {
	ix := &index{tokens: tokens, bg: bg, ends: make([]ends, len(tokens))}
	for i := range ix.two {
		ix.two[i] = -1
	}
	var near, gap []pending
	for i := range tokens {
		t := &tokens[i]
		c, n, id := t.codes, len(t.codes), int32(i)
		if n >= 8 {
			ix.ends[i] = ends{pack(c), packRight(c), 0x8080808080808080 << (8 * max(0, 16-n))}
		}
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
			ix.two[uint32(c[0])<<5|uint32(c[1])] = id
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
					gap = append(gap, pending{code3(c[0], c[1], c[3]), entry{head: pack(c), tok: id, n: uint8(n), kind: anchorHead}})
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
		if n >= 4 && !t.merged {
			ix.loose[c[0]][n] = append(ix.loose[c[0]][n], looseT{id, letters(c)})
		}
	}
	ix.near.build(near)
	ix.gap.build(gap)
	for _, p := range append(near, gap...) {
		ix.pairs[p.code>>10] |= 1 << (p.code >> 5 & 31)
	}
	for i, t := range ix.two {
		if t >= 0 {
			ix.pairs[i>>5] |= 1 << (i & 31)
		}
	}
	return ix
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
	code    [padLeft + 256 + padRight]uint8
	pos     [257]uint8 // where in raw the letter begins
	raw     [256]uint8 // lower case
	n       int        // letters in code
	letters uint32     // those of them that there are, a bit each
	rawN    int        // octets in raw, without the top-level domain
	allN    int        // octets in raw

	hasA    bool      // holds an A-label, which is left out of code
	digraph bool      // holds rn or vv
	merged  bool      // those are merged
	idn     bool      // A-labels were replaced by what they look like,
	looks   [256]bool // in these places of raw
}

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
func head1(s *scan, i int, t uint64, n uint) (dist int, length int, how edit) {
	i += padLeft
	x := load8(&s.code, i)
	full := ^uint64(0) >> (64 - 8*n)
	d := (x ^ t) & full
	if d == 0 {
		return 0, int(n), editNone
	}
	p := uint(bits.TrailingZeros64(d)) >> 3
	rest := ^uint64(0) << (8 * p) & full // from the first difference
	behind := rest &^ (0xff << (8 * p))
	if d&behind == 0 {
		if x>>(8*p)&0xff == 0 {
			return 1, int(n) - 1, editDel // the name ended: the last letter is missing
		}
		return 1, int(n), editSub
	}
	// An extra letter in the name at p.
	y := load8(&s.code, i+1)
	if (y^t)&rest == 0 {
		return 1, int(n) + 1, editIns
	}
	// A letter of the token is missing at p.
	if (x<<8^t)&behind == 0 {
		return 1, int(n) - 1, editDel
	}
	// Two neighbours changed places.
	if p+1 < n {
		a, b := t>>(8*p)&0xff, t>>(8*p+8)&0xff
		if x>>(8*p)&0xff == b && x>>(8*p+8)&0xff == a && d&(behind&^(0xff<<(8*p+8))) == 0 {
			return 1, int(n), editSwap
		}
	}
	return 2, 0, editMany
}

// tail1 is head1 from the right: e is behind the last letter in the name, t the
// token right-aligned.
func tail1(s *scan, e int, t uint64, n uint) (dist int, length int, how edit) {
	i := e + padLeft - 8
	x := load8(&s.code, i)
	full := ^uint64(0) << (64 - 8*n)
	d := (x ^ t) & full
	if d == 0 {
		return 0, int(n), editNone
	}
	q := uint(bits.LeadingZeros64(d)) >> 3 // letters that agree at the end
	p := 7 - q                             // byte of the first difference from the right
	rest := ^uint64(0) >> (8 * q) & full
	before := rest &^ (0xff << (8 * p))
	if d&before == 0 {
		if x>>(8*p)&0xff == 0 {
			return 1, int(n) - 1, editDel
		}
		return 1, int(n), editSub
	}
	y := load8(&s.code, i-1)
	if (y^t)&rest == 0 {
		return 1, int(n) + 1, editIns
	}
	if (x>>8^t)&before == 0 {
		return 1, int(n) - 1, editDel
	}
	if q+1 < n {
		a, b := t>>(8*p)&0xff, t>>(8*p-8)&0xff
		if x>>(8*p)&0xff == b && x>>(8*p-8)&0xff == a && d&(before&^(0xff<<(8*p-8))) == 0 {
			return 1, int(n), editSwap
		}
	}
	return 2, 0, editMany
}

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
// how long that stretch is; k+1 when it takes more than k.
func sideEdits(s *scan, tok []uint8, i, dir, k int) (dist, length int) {
	n := len(tok)
	if n == 0 {
		return 0, 0
	}
	avail := s.n - i
	if dir < 0 {
		avail = i
	}
	m := min(avail, n+k)
	get := func(j int) uint8 { // j-th letter of the name going outwards
		if dir > 0 {
			return s.code[padLeft+i+j]
		}
		return s.code[padLeft+i-1-j]
	}
	tk := func(j int) uint8 {
		if dir > 0 {
			return tok[j]
		}
		return tok[n-1-j]
	}
	const w = maxToken + 4
	var rows [3][w]uint8
	prev2, prev, cur := &rows[0], &rows[1], &rows[2]
	for j := 0; j <= m; j++ {
		prev[j] = uint8(j)
	}
	for a := 1; a <= n; a++ {
		cur[0] = uint8(a)
		lowest := cur[0]
		ta := tk(a - 1)
		lo, hi := max(1, a-k), min(m, a+k)
		if lo > 1 {
			cur[lo-1] = uint8(k + 1)
		}
		for b := lo; b <= hi; b++ {
			g := get(b - 1)
			v := prev[b-1]
			if g != ta {
				v++
			}
			if b < a+k { // inside the band above
				v = min(v, prev[b]+1)
			}
			v = min(v, cur[b-1]+1)
			if a > 1 && b > 1 && g == tk(a-2) && get(b-2) == ta {
				v = min(v, prev2[b-2]+1)
			}
			cur[b] = v
			lowest = min(lowest, v)
		}
		if hi < m {
			cur[hi+1] = uint8(k + 1)
		}
		if int(lowest) > k {
			return k + 1, 0
		}
		prev2, prev, cur = prev, cur, prev2
	}
	best, at := k+1, 0
	for b := max(0, n-k); b <= min(m, n+k); b++ {
		if int(prev[b]) < best {
			best, at = int(prev[b]), b
		}
	}
	return best, at
}
