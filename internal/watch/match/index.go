package match

import (
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"
)

// maxToken is the longest token that can be matched.
const maxToken = 40

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
// A token is found by keys, some of its letters. As it is written, it is looked
// for at each letter of a name, by its first four or five letters. Misspelt it is
// looked for at the edges of words only, where almost all misspelt brands stand
// that phishing names hold, and from there inwards: leave one of the first six
// letters out, of the token and of the name, and one of the six ways is the same
// for both, whatever one edit did. So six look-ups at an edge find every token
// that is misspelt there.
type index struct {
	bg      *Background
	tokens  []token
	names   []string // of the brand, by token
	hot     []hot    // by token
	bodies  []body   // by token
	slots   []slot   // by hash, and one more
	shift   uint8    // makes a hash of a product
	entries []entry  // and one more, of no key
	letters []uint8  // of all tokens
	loose   looseIndex

	kinds [2]uint32 // keySpelt5; keySpelt4 if there are tokens of four letters
}

// slot is what there is of a hash: the bits of its keys, and where their entries
// begin, which end where the next slot's begin.
type slot struct{ bits, from uint32 }

// entry is a token by one of its keys. Its letters are all of a token with 8 at
// most; of a longer one those that the key says nothing of, the 8 behind the first
// six. Of a key from the right they are the last ones, or the 8 in front of the
// last six, and aligned to the right. 0 is none.
type entry struct {
	tag     uint32 // tagBits of the key's product, and above them which of the first six letters are the one left out
	tokN    uint32 // token<<11 | how many codes<<5 | the letter left out
	letters uint64
}

func (e *entry) tok() int32 { return int32(e.tokN >> 11) }
func (e *entry) n() int     { return int(e.tokN >> 5 & 63) }

const (
	tagBits = 22 // with the slot, the lowest 10 bits of which the tag lacks, the whole product: the key
	tagMask = 1<<tagBits - 1
	// maxTokens is how many an entry can tell apart.
	maxTokens = 1 << 21
)

// body is what is held against a name of a token with more than 8 letters: the
// first 8, and the last 8; masks of those that are not among the others; and where
// all of them are in index.letters.
type body struct {
	head, tail, notTail, notHead uint64
	at                           uint32
}

func (ix *index) codes(tok int32, n int) []uint8 {
	at := ix.bodies[tok].at
	return ix.letters[at : int(at)+n]
}

// A key is five letters at most, five bits each, the first one highest, and
// what it is a key of.
const (
	keyBits   = 25
	keySpelt5 = 1 << keyBits // the first five, as they are
	keySpelt4 = 2 << keyBits // a token of four
	keyThree  = 3 << keyBits
	keyTwo    = 4 << keyBits
	keyNear6  = 5 << keyBits // five of the first six
	keyNear5  = 6 << keyBits // four of five, from the left alone
	keyNone   = 7 << keyBits
	keyFrom   = 0            // from the left,
	keyTo     = 8 << keyBits // or from the right, backwards

	hashKey  = 0x9e3779b1
	hashBits = 0x85ebca6b
)

// keyTable says how the keys at an edge are made of its first six letters: those
// behind the one that is left out are masked by low, the others come from what is
// shifted by back. The last row is of five letters.
type keyTable struct {
	low, back   [8]uint32
	kind        [4][8]uint32
	low5, kind5 [8]uint32
}

var edgeKeys = func() (t keyTable) {
	t.low = [8]uint32{1<<25 - 1, 1<<20 - 1, 1<<15 - 1, 1<<10 - 1, 1<<5 - 1}
	t.back = [8]uint32{5, 5, 5, 5, 5, 5, 15, 20}
	t.low5 = [8]uint32{1<<20 - 1, 1<<15 - 1, 1<<10 - 1, 1<<5 - 1}
	t.kind5 = [8]uint32{keyNear5, keyNear5, keyNear5, keyNear5, keyNear5, keyNone, keyNone, keyNone}
	for row := range 4 {
		side := uint32(keyFrom)
		if row >= 2 {
			side = keyTo
		}
		for lane := range 8 {
			t.kind[row][lane] = keyNear6 | side
		}
		t.kind[row][6], t.kind[row][7] = keyThree|side, keyTwo|side
		if row&1 != 0 { // a letter away from the edge
			t.kind[row][6], t.kind[row][7] = keyNone, keyNone
		}
	}
	return t
}()

func (t *keyTable) key(row, lane int, x uint32) uint32 {
	if row < 4 {
		return x>>t.back[lane]&^t.low[lane] | x&t.low[lane] | t.kind[row][lane]
	}
	x >>= 5
	return x>>t.back[lane]&^t.low5[lane] | x&t.low5[lane] | t.kind5[lane]
}

// letters8 packs eight codes, five bits each: the one in the highest octet of x
// is the highest.
func letters8(x uint64) uint64 {
	x = x&0x001f001f001f001f | x>>3&0x03e003e003e003e0
	x = x&0x000003ff000003ff | x>>6&0x000ffc00000ffc00
	return x&0xfffff | x>>12&0xfffff00000
}

const (
	ones = 0x0101010101010101
	lows = 0x7f7f7f7f7f7f7f7f
	tops = 0x8080808080808080
)

// lacking gives how many of 8 letters of a token stand nowhere near their place in
// the name, off by moved at most, when the first of them is laid at letter i. 0 is
// no letter.
func lacking(s *scan, i int, eight uint64, moved int) int {
	return lackingNear(s, i, eight, (eight+lows)&tops, moved)
}

// lackingOf is lacking for those masked by of, and two edits.
func lackingOf(s *scan, i int, eight, of uint64) int { return lackingNear(s, i, eight, of, 2) }

func lackingNear(s *scan, i int, eight, of uint64, moved int) int {
	i += padLeft
	for d := -moved; d <= moved; d++ {
		of &= (load8(&s.code, i+d) ^ eight) + lows // codes are below 32: nothing carries
	}
	return bits.OnesCount64(of)
}

func newIndex(tokens []token, bg *Background) *index {
	ix := &index{tokens: tokens, bg: bg, kinds: [2]uint32{keySpelt5}}
	for i := range tokens {
		t := &tokens[i]
		ix.hot = append(ix.hot, hotOf(t))
		c := t.codes
		short := 8 * max(0, 16-len(c))
		ix.bodies = append(ix.bodies, body{pack(c), packRight(c), tops >> short, tops << short & tops, uint32(len(ix.letters))})
		ix.letters = append(ix.letters, c...)
		if len(c) == 4 {
			ix.kinds[1] = keySpelt4
		}
	}
	ix.loose = newLoose(tokens)
	all := keys(tokens)
	// 16 to 32 bits an entry: most look-ups end there, in the nearest cache.
	size := max(32-tagBits, bits.Len(uint(len(all)*16-1)>>5))
	ix.shift = uint8(32 - size)
	ix.slots = make([]slot, 1<<size+1)
	slices.SortStableFunc(all, func(a, b keyed) int { return cmp.Compare(a.key*hashKey>>ix.shift, b.key*hashKey>>ix.shift) })
	ix.entries = make([]entry, 0, len(all)+4)
	for i := range all {
		h := all[i].key * hashKey >> ix.shift
		ix.slots[h].bits |= bitsOf(all[i].key)
		ix.slots[h+1].from++
		ix.entries = append(ix.entries, all[i].entry)
	}
	for i := range len(ix.slots) - 1 {
		ix.slots[i+1].from += ix.slots[i].from
	}
	ix.entries = append(ix.entries, make([]entry, 4)...)
	return ix
}

// keyed is an entry and its key.
type keyed struct {
	key uint32
	entry
}

// keys gives by what tokens are found, in the order of the tokens.
func keys(tokens []token) (all []keyed) {
	for i := range tokens {
		t := &tokens[i]
		c, n := t.codes, len(t.codes)
		of := len(all)
		e := keyed{entry: entry{tokN: uint32(i)<<11 | uint32(n)<<5}}
		put := func(kind uint32, c ...uint8) {
			e.key = keyOf(kind, c)
			if !slices.ContainsFunc(all[of:], func(o keyed) bool { return o.key == e.key }) {
				e.tag = e.key*hashKey&tagMask | e.tag&^tagMask
				all = append(all, e)
			}
		}
		back := slices.Clone(c)
		slices.Reverse(back)
		left, right := pack(c), packRight(c)
		if n > 8 {
			left, right = pack(c[6:min(n, 14)]), packRight(c[:n-6])
		}
		// That one of the first six letters is left out: where else it could have been.
		out := func(c []uint8, j int) {
			from, to := j, j+1
			for from > 0 && c[from-1] == c[j] {
				from--
			}
			for to < 6 && c[to] == c[j] {
				to++
			}
			e.tag, e.tokN = (1<<to-1<<from)<<tagBits, e.tokN&^31|uint32(c[j])
		}
		e.letters = left
		switch n {
		case 2:
			put(keyTwo|keyFrom, c...)
			e.letters = right
			put(keyTwo|keyTo, back...)
		case 3:
			put(keyThree|keyFrom, c...)
			e.letters = right
			put(keyThree|keyTo, back...)
		case 4:
			put(keySpelt4, c...)
		default:
			put(keySpelt5, c[:5]...)
		}
		if t.edits > 0 {
			for j := range min(n, 6) {
				e.letters = left
				if n == 5 {
					put(keyNear5, without(c, j)...)
					continue
				}
				out(c, j)
				put(keyNear6|keyFrom, without(c[:6], j)...)
				e.letters = right
				out(back, j)
				put(keyNear6|keyTo, without(back[:6], j)...)
			}
		}
	}
	return all
}

func keyOf(kind uint32, c []uint8) uint32 {
	var x uint32
	for _, l := range c {
		x = x<<5 | uint32(l)
	}
	return kind | x
}

// without gives c without its letter i.
func without(c []uint8, i int) []uint8 { return slices.Concat(c[:i], c[i+1:]) }

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
	digraph bool // rn or vv stand side by side in it
	merged  bool // those are merged
	plain   bool // letters and one dot
	near    around
	idn     bool      // A-labels were replaced by what they look like,
	looks   [256]bool // in these places of raw

	is octetsAre

	jobs jobs
}

// octetsAre says what the octets in front of the suffix are, a bit each, and at
// which letters words start. It is known of names of up to 64 octets that were
// folded in vectors.
type octetsAre struct {
	known                                          bool
	letters, digits, hyphens, dots, others, starts uint64
}

// jobs are keys that the index may hold, and what they are held against.
type jobs struct {
	product [maxJobs + 16]uint32 // of the key
	about   [maxJobs + 16]uint32
	n       int

	// What sift has come to: this job's entry, 0 for its first one.
	job   int
	entry uint32

	touched uint32

	hits [maxHits]uint64 // a job<<32 | an entry
}

// A job's about is the letter that its key leaves out; where that stands, or
// outNone where it leaves none out of six; what the key is one of; and the letter of the
// name that it is held against.
const (
	aboutOut  = 5
	aboutKind = 8
	aboutAt   = 16
	outNone   = 6

	kindSpelt = 0 // as it is
	kindFrom  = 1 // from the left
	kindTo    = 2 // from the right
)

const (
	maxJobs = 256
	maxHits = 64
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
	if n <= 8 {
		return sideEdits8(s, tok, from, dir, k, m)
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

// sideEdits8 is the same for 8 codes at most, the rest of what is compared mostly:
// where a letter is among them is asked of all at once. The first letter of the
// name is from, and m are looked at.
func sideEdits8(s *scan, tok []uint8, from, dir, k, m int) (dist, length int) {
	n := len(tok)
	eight := pack(tok)
	if dir < 0 {
		eight = bits.ReverseBytes64(packRight(tok))
	}
	best := min(n, k+1)
	up, down, d0, before := ^uint64(0), uint64(0), uint64(0), uint64(0)
	d := n
	for j := 1; j <= m; j++ {
		c := ^((eight ^ ones*uint64(s.code[padLeft+from])) + lows) & tops
		c = (c >> 7) * 0x0102040810204080 >> 56
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
