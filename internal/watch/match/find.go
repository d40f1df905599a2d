package match

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"unsafe"

	"github.com/impound/impound"
)

// fill folds name into s, which may have held another one; false when it holds
// an octet that no host name has, or is empty, or longer than 253 octets. A
// wildcard in front, a trailing dot and upper case are taken as they are meant.
func (s *scan) fill(name []byte) bool {
	if n := len(name); fastFill && uint(n-1) < 64 && name[n-1] != '.' {
		p := &name[0]
		if uintptr(unsafe.Pointer(p))&4095 > 4096-64 { // 64 octets may not be there to be read
			copy(s.raw[:64], name)
			p = &s.raw[0]
		}
		if fillAVX2(s, p, n) {
			return true
		}
	}
	return s.fillPlain(name)
}

// fillPlain is fill octet by octet.
func (s *scan) fillPlain(name []byte) bool {
	s.is.known = false
	ok := s.fillLetters(name) || s.fillAny(name)
	s.digraph = ok && s.hasDigraph()
	return ok
}

// fillLetters is fill for letters with one dot among them, as most names are,
// eight octets at once; false for others, which fillAny reads. The last eight
// are read again with what came before them.
func (s *scan) fillLetters(name []byte) bool {
	n := len(name)
	if n < 8 || n > 64 {
		return false
	}
	dot := -1
	for i := 0; ; i = min(i+8, n-8) {
		x := binary.LittleEndian.Uint64(name[i:])
		t := x ^ ones*0x60 // letters are 1 to 26
		isDot := ^((t ^ ones*('.'^0x60)) + lows) & tops
		if (t+ones*(0x7f-26)|^(t+lows))&tops&^isDot != 0 {
			return false
		}
		if isDot != 0 {
			at := i + bits.TrailingZeros64(isDot)>>3
			if isDot&(isDot-1) != 0 || dot >= 0 && dot != at {
				return false
			}
			dot = at
		}
		isL := ^((t ^ ones*('l'^0x60)) + lows) & tops
		t -= isL>>7 + isL>>6 // l becomes i
		binary.LittleEndian.PutUint64(s.raw[i:], x)
		binary.LittleEndian.PutUint64(s.code[padLeft+i:], t)
		binary.LittleEndian.PutUint64(s.pos[i:], 0x0706050403020100+ones*uint64(i))
		if i == n-8 {
			break
		}
	}
	if dot <= 0 || dot == n-1 {
		return false
	}
	s.hasA, s.merged, s.plain, s.near.ready = false, false, true, false
	s.allN, s.rawN, s.n = n, dot, dot
	clear(s.code[padLeft+dot : padLeft+dot+padRight])
	s.pos[dot] = uint8(dot)
	return true
}

func (s *scan) fillAny(name []byte) bool {
	s.allN, s.rawN, s.n = 0, 0, 0
	s.hasA, s.merged, s.plain, s.near.ready = false, false, false, false
	if len(name) > 2 && name[0] == '*' && name[1] == '.' {
		name = name[2:]
	}
	if n := len(name); n > 0 && name[n-1] == '.' {
		name = name[:n-1]
	}
	if len(name) == 0 || len(name) > 253 {
		return false
	}
	lastDot := -1
	// Of the letters in front of the last dot; what comes behind is cut off again.
	n, front := 0, 0
	var prev uint8
	code, pos := s.code[padLeft:padLeft+256:padLeft+256], s.pos[:256]
	for i, c := range name {
		o := octet[c]
		s.raw[i] = o.lower
		if o.fold == codeSep {
			switch o.class {
			case clsBad:
				return false
			case clsDot:
				if i == lastDot+1 {
					return false // an empty label
				}
				lastDot, front = i, n
			case clsHyphen:
				if prev == '-' && i >= 3 && s.raw[i-3] == 'x' && s.raw[i-2] == 'n' && (i == 3 || s.raw[i-4] == '.') {
					s.hasA = true
				}
			}
			prev = c
			continue
		}
		prev = 0
		code[uint8(n)] = o.fold
		pos[uint8(n)] = uint8(i)
		n++
	}
	s.allN = len(name)
	s.rawN = len(name) // a single label
	if lastDot >= 0 {
		s.rawN, n = lastDot, front
	}
	if s.hasA {
		n = s.leaveALabels()
	}
	clear(s.code[padLeft+n : padLeft+n+padRight])
	s.pos[n] = uint8(s.rawN)
	s.n = n
	return n > 0 || s.hasA
}

// leaveALabels folds the name once more without its A-labels, which spell
// nothing as they stand, and gives how many letters are left.
func (s *scan) leaveALabels() int {
	n, from := 0, 0
	s.hasA = false
	for from < s.rawN {
		label := s.raw[from:s.rawN]
		if i := bytes.IndexByte(label, '.'); i >= 0 {
			label = label[:i]
		}
		if bytes.HasPrefix(label, []byte("xn--")) {
			s.hasA = true
		} else {
			for i, c := range label {
				if f := foldCode[c]; f != codeSep {
					s.code[padLeft+n], s.pos[n] = f, uint8(from+i)
					n++
				}
			}
		}
		from += len(label) + 1
	}
	return n
}

// merge replaces rn by m and vv by w where the two stand side by side.
func (s *scan) merge() {
	t := *s
	s.mergeOf(&t)
}

// mergeOf makes s what t is with digraphs merged.
func (s *scan) mergeOf(t *scan) {
	s.raw, s.rawN, s.allN, s.hasA, s.idn, s.is.known, s.digraph = t.raw, t.rawN, t.allN, t.hasA, t.idn, false, false
	if t.idn {
		s.looks = t.looks
	}
	w := 0
	for i := 0; i < t.n; i++ {
		c, p := t.code[padLeft+i], t.pos[i]
		if i+1 < t.n && t.pos[i+1] == p+1 {
			switch d := t.code[padLeft+i+1]; {
			case c == letterCode('r') && d == letterCode('n'):
				c = letterCode('m')
				i++
			case c == letterCode('v') && d == letterCode('v'):
				c = letterCode('w')
				i++
			}
		}
		s.code[padLeft+w], s.pos[w] = c, p
		w++
	}
	clear(s.code[padLeft+w : padLeft+w+padRight])
	s.pos[w] = uint8(t.rawN)
	s.n, s.merged, s.plain, s.near.ready = w, true, false, false
}

// rawEnd gives the position in raw behind letter i-1 of code.
func (s *scan) rawEnd(i int) int {
	p := int(s.pos[i-1]) + 1
	if s.merged && p < s.rawN {
		c := s.code[padLeft+i-1]
		a, b := s.raw[p-1], s.raw[p]
		if c == letterCode('m') && a == 'r' && b == 'n' || c == letterCode('w') && a == 'v' && b == 'v' {
			p++
		}
	}
	return p
}

// wordStart and wordEnd say whether a word (hyphen or dot separated) begins at
// letter i or ends before it.
func (s *scan) wordStart(i int) bool {
	p := s.pos[i]
	return p == 0 || class[s.raw[p-1]] >= clsHyphen
}

func (s *scan) wordEnd(i int) bool {
	p := s.rawEnd(i)
	return p >= s.rawN || class[s.raw[p]] >= clsHyphen
}

// find appends each token's occurrences to fs, at most cap(fs).
func (ix *index) find(s *scan, fs []found) []found {
	s.jobs.n = 0
	if fastFind && s.n <= 64 {
		fs = ix.probe(s, fs)
	} else {
		fs = ix.probePlain(s, fs)
	}
	return ix.work(s, fs)
}

// probePlain puts down all jobs of a name, and does them when there is no room.
func (ix *index) probePlain(s *scan, fs []found) []found {
	for from := 0; from+4 <= s.n; from += 64 {
		fs = ix.jobsSpelt(s, fs, from)
	}
	switch {
	case s.plain:
		fs = ix.jobsAtEdges(s, fs, 0, s.n)
	case s.is.known:
		for starts := s.is.starts; starts != 0; {
			from, to := bits.TrailingZeros64(starts), s.n
			if starts &= starts - 1; starts != 0 {
				to = bits.TrailingZeros64(starts)
			}
			fs = ix.jobsAtEdges(s, fs, from, to)
		}
	default:
		from := 0
		for to := 1; to <= s.n; to++ {
			if to == s.n || s.wordStart(to) {
				fs = ix.jobsAtEdges(s, fs, from, to)
				from = to
			}
		}
	}
	return fs
}

// probe is probePlain for a name of 64 letters at most.
func (ix *index) probe(s *scan, fs []found) []found {
	spelt := max(s.n-3, 0)
	if s.plain {
		probeAVX512(ix, s, spelt, 0, s.n)
		return fs
	}
	for starts := s.wordStarts(); starts != 0; {
		from, to := bits.TrailingZeros64(starts), s.n
		if starts &= starts - 1; starts != 0 {
			to = bits.TrailingZeros64(starts)
		}
		if s.jobs.n > maxJobs-2*64-40 {
			fs = ix.work(s, fs)
		}
		probeAVX512(ix, s, spelt, from, to)
		spelt = 0
	}
	return fs
}

// wordStarts gives at which letters words start, of 64.
func (s *scan) wordStarts() (starts uint64) {
	if s.is.known {
		return s.is.starts
	}
	for i := range min(s.n, 64) {
		if i == 0 || s.wordStart(i) {
			starts |= 1 << i
		}
	}
	return starts
}

// hasDigraph says whether rn or vv stand side by side.
func (s *scan) hasDigraph() bool {
	for i := 0; i+1 < s.n; i += 8 {
		a, b := load8(&s.code, padLeft+i), load8(&s.code, padLeft+i+1)
		rn := ((a ^ ones*letterR) | (b ^ ones*letterN)) + lows // the top bit says different
		vv := ((a ^ ones*letterV) | (b ^ ones*letterV)) + lows
		m := rn&vv&tops ^ tops
		if s.plain && m != 0 {
			return true
		}
		for ; m != 0; m &= m - 1 {
			if j := i + bits.TrailingZeros64(m)>>3; s.pos[j+1] == s.pos[j]+1 {
				return true
			}
		}
	}
	return false
}

const (
	letterR = 'r' - 'a' + 1
	letterN = 'n' - 'a' + 1
	letterV = 'v' - 'a' + 1
)

// jobsSpelt puts down where, in the 64 letters from from on, a token of four
// letters or more may stand as it is.
func (ix *index) jobsSpelt(s *scan, fs []found, from int) []found {
	if s.jobs.n > maxJobs-128 {
		fs = ix.work(s, fs)
	}
	five, four := ix.spelt(s, from)
	for ; five != 0; five &= five - 1 {
		i := from + bits.TrailingZeros64(five)
		x := uint32(letters8(bits.ReverseBytes64(load8(&s.code, padLeft+i))) >> 15)
		s.jobs.put(x|keySpelt5, uint32(i)<<aboutAt|kindSpelt<<aboutKind|outNone<<aboutOut)
	}
	for ; four != 0; four &= four - 1 {
		i := from + bits.TrailingZeros64(four)
		x := uint32(letters8(bits.ReverseBytes64(load8(&s.code, padLeft+i))) >> 20)
		s.jobs.put(x|keySpelt4, uint32(i)<<aboutAt|kindSpelt<<aboutKind|outNone<<aboutOut)
	}
	return fs
}

func (j *jobs) put(key, about uint32) {
	j.product[j.n], j.about[j.n] = key*hashKey, about
	j.n++
}

// work does the jobs.
func (ix *index) work(s *scan, fs []found) []found {
	j := &s.jobs
	for j.job, j.entry = 0, 0; j.job < j.n; {
		hits := j.hits[:ix.sift(s)]
		var touched uint64 // these lie far away too
		for _, h := range hits {
			touched |= ix.bodies[ix.entries[uint32(h)].tok()].head
		}
		j.touched |= uint32(touched)
		for _, h := range hits {
			e := &ix.entries[uint32(h)]
			a := j.about[h>>32&(maxJobs-1)]
			switch i := int(a >> aboutAt); a >> aboutKind & 3 {
			case kindSpelt:
				fs = ix.speltAt(s, fs, e, i)
			case kindTo:
				fs = ix.nearTo(s, fs, e, i)
			default:
				fs = ix.nearFrom(s, fs, e, i)
			}
		}
	}
	j.n = 0
	return fs
}

// sift gives which entries have a job's key and may be found by it, by their
// letters: as many as there is room for. It goes on where it has ended.
//
// What an entry is lies far away in memory, so all of them are asked for first.
func (ix *index) sift(s *scan) (n int) {
	if fastFind {
		return siftAVX512(ix, s)
	}
	return ix.siftPlain(s)
}

func (ix *index) siftPlain(s *scan) (n int) {
	b := &s.jobs
	if b.job == 0 && b.entry == 0 {
		var touched uint32
		for _, p := range b.product[:b.n] {
			touched |= ix.entries[ix.slots[p>>ix.shift].from].tag
		}
		b.touched |= touched
	}
	for ; b.job < b.n; b.job++ {
		p, about := b.product[b.job], b.about[b.job]
		h := p >> ix.shift
		from, to := ix.slots[h].from, ix.slots[h+1].from
		if b.entry != 0 {
			from = b.entry
		}
		b.entry = 0
		i, kind, lane := int(about>>aboutAt), about>>aboutKind&3, about>>aboutOut&7
		for at := from; at < to; at++ {
			e := &ix.entries[at]
			six := e.tag>>tagBits>>lane&1 != 0 && (e.tokN^about)&31 == 0
			if (e.tag^p)&tagMask != 0 || six && lane < 5 || !mayBe(s, e, i, kind, six) {
				continue
			}
			if n == len(b.hits) {
				b.entry = at
				return n
			}
			b.hits[n] = uint64(b.job)<<32 | uint64(at)
			n++
		}
	}
	return n
}

// mayBe says whether an entry may be found at letter i: a letter that is kept is
// moved by as many as there are edits, at most, and each one that stands nowhere
// near its place takes one. Where the first six letters are not the same, another
// edit is among them: what is lacking behind them is nothing to do with that.
func mayBe(s *scan, e *entry, i int, kind uint32, six bool) bool {
	most := 1
	if six {
		most = 2
	}
	n := e.n()
	long := n > 8
	switch kind {
	case kindSpelt:
		if n > s.n-i {
			return false
		}
		if long {
			i += 6
		}
		return lacking(s, i, e.letters, 0) == 0
	case kindFrom:
		if n > s.n-i+2 {
			return false
		}
		if long {
			return lacking(s, i+6, e.letters, 2) <= most
		}
		return lacking(s, i, e.letters, 1) <= 1
	}
	if n > i+2 {
		return false
	}
	if long {
		return lacking(s, i-14, e.letters, 2) <= most
	}
	return lacking(s, i-8, e.letters, 1) <= 1
}

// spelt gives the letters, from the one given on, at which a token of five
// letters and more, or of four, may be spelt out: up to 64, a bit each.
func (ix *index) spelt(s *scan, from int) (five, four uint64) {
	if fastKeys {
		return speltAVX2(&ix.slots[0], uint64(ix.shift), &s.code[padLeft+from], min(s.n-3-from, 64), &ix.kinds)
	}
	return ix.speltPlain(s, from)
}

func (ix *index) speltPlain(s *scan, from int) (five, four uint64) {
	c := (*[72]uint8)(s.code[padLeft+from:])
	n := min(s.n-3-from, 64)
	code := code3(c[0], c[1], c[2])<<5 | uint32(c[3])
	for i := range n {
		code = code<<5&0x1ffffff | uint32(c[i+4])
		five |= ix.has(code|keySpelt5) << i
		if ix.kinds[1] != 0 {
			four |= ix.has(code>>5|keySpelt4) << i
		}
	}
	return five, four
}

// jobsAtEdges puts down what may begin a word at letter from, and what may end one
// in front of letter to; misspelt tokens also a letter further inwards.
func (ix *index) jobsAtEdges(s *scan, fs []found, from, to int) []found {
	// Six letters from there inwards, the first one highest.
	var x [4]uint32
	w := letters8(bits.ReverseBytes64(load8(&s.code, padLeft+from)))
	x[0], x[1] = uint32(w>>10), uint32(w>>5&(1<<30-1))
	w = letters8(load8(&s.code, padLeft+to-8))
	x[2], x[3] = uint32(w>>10), uint32(w>>5&(1<<30-1))
	if s.jobs.n > maxJobs-64 {
		fs = ix.work(s, fs)
	}
	for m := ix.edges(&x) & edgeReal; m != 0; m &= m - 1 {
		b := bits.TrailingZeros64(m)
		row, lane := b>>3, b&7
		side := keyRow[row] & 3 // as in x
		i, kind := from, uint32(kindFrom)
		if side >= 2 {
			i, kind = to, kindTo
		}
		out, left := uint32(outNone), uint32(0)
		if row < 4 {
			left = x[side] >> (25 - 5*min(lane, 5)) & 31
			if lane < 6 {
				out = uint32(lane)
			}
		}
		s.jobs.put(edgeKeys.key(row, lane, x[side]), uint32(i+edgeOff[side])<<aboutAt|kind<<aboutKind|out<<aboutOut|left)
	}
	return fs
}

// edgeReal are the keys of edgeKeys that a token may have: to the others the bits of
// one may say yes too.
const edgeReal = (1<<37 - 1) &^ (3<<14 | 3<<30)

// edgeOff says how far from the edge the letters are, as in jobsAtEdges.
var edgeOff = [4]int{0, 1, 0, -1}

// keyRow says which letters a row of edgeKeys is of.
var keyRow = [8]uint8{0, 1, 2, 3, 0}

// edges gives which keys of edgeKeys there may be, a bit each.
func (ix *index) edges(x *[4]uint32) uint64 {
	if fastKeys {
		return edgesAVX2(&ix.slots[0], uint64(ix.shift), x, &edgeKeys)
	}
	return ix.edgesPlain(x)
}

func (ix *index) edgesPlain(x *[4]uint32) (mask uint64) {
	for row := range 5 {
		for lane := range 8 {
			mask |= ix.has(edgeKeys.key(row, lane, x[keyRow[row]])) << (row*8 + lane)
		}
	}
	return mask
}

// has is 1 when there may be a token with this key, 0 when there is none.
func (ix *index) has(key uint32) (yes uint64) {
	if b := bitsOf(key); ix.slots[key*hashKey>>ix.shift].bits&b == b {
		yes = 1
	}
	return yes
}

// bitsOf gives the bits of a key, in a word of 32: three, or fewer.
func bitsOf(key uint32) uint32 {
	h := key * hashBits >> 17
	return 1<<(h&31) | 1<<(h>>5&31) | 1<<(h>>10)
}

// speltAt finds a token that is spelt out, the first letters of which stand at i.
func (ix *index) speltAt(s *scan, fs []found, e *entry, i int) []found {
	n := e.n()
	if i+n > s.n {
		return fs
	}
	if w := load8(&s.code, padLeft+i); n <= 8 {
		if (e.letters^w)<<(64-8*uint(n)) != 0 {
			return fs
		}
	} else if b := &ix.bodies[e.tok()]; b.head != w || b.tail != load8(&s.code, padLeft+i+n-8) ||
		n > 16 && string(s.code[padLeft+i+8:padLeft+i+n]) != string(ix.codes(e.tok(), n)[8:]) {
		return fs
	}
	return add(fs, found{tok: e.tok(), at: i, end: i + n})
}

// nearFrom finds a token that begins at letter i, with or without edits. One whose
// first six letters stand there has six keys in common with what stands there; it
// is looked at by one of them: see sift.
func (ix *index) nearFrom(s *scan, fs []found, e *entry, i int) []found {
	n := e.n()
	switch {
	case n <= 3:
		fs = add(fs, found{tok: e.tok(), at: i, end: i + n})
	case n <= 8:
		if d, l, how := head1(s, i, e.letters, uint(n)); d <= 1 && i+l <= s.n {
			fs = add(fs, found{e.tok(), i, i + l, d, how})
		}
	default:
		if i+n > s.n+2 {
			break
		}
		b := &ix.bodies[e.tok()]
		if lacking(s, i, b.head, 2)+lackingOf(s, i+n-8, b.tail, b.notHead) > 2 {
			break
		}
		// What is the same to begin with need not be looked at again.
		p := bits.TrailingZeros64(b.head^load8(&s.code, padLeft+i)) >> 3
		if d, l := sideEdits(s, ix.codes(e.tok(), n)[p:], i+p, +1, 2); d <= 2 {
			l += p
			fs = add(fs, found{e.tok(), i, i + l, d, manyEdits(d, l-n)})
		}
	}
	return fs
}

// nearTo finds a token that ends in front of letter i, with or without edits.
func (ix *index) nearTo(s *scan, fs []found, e *entry, i int) []found {
	n := e.n()
	switch {
	case n <= 3:
		fs = add(fs, found{tok: e.tok(), at: i - n, end: i})
	case n <= 8:
		if d, l, how := tail1(s, i, e.letters, uint(n)); d <= 1 && i-l >= 0 {
			fs = add(fs, found{e.tok(), i - l, i, d, how})
		}
	default:
		if i-n < -2 {
			break
		}
		b := &ix.bodies[e.tok()]
		if lacking(s, i-8, b.tail, 2)+lackingOf(s, i-n, b.head, b.notTail) > 2 {
			break
		}
		p := bits.LeadingZeros64(b.tail^load8(&s.code, padLeft+i-8)) >> 3
		if d, l := sideEdits(s, ix.codes(e.tok(), n)[:n-p], i-p, -1, 2); d <= 2 {
			l += p
			fs = add(fs, found{e.tok(), i - l, i, d, manyEdits(d, l-n)})
		}
	}
	return fs
}

func add(fs []found, f found) []found {
	for i := range fs {
		if g := &fs[i]; g.tok == f.tok && f.at < g.end && g.at < f.end {
			if f.dist < g.dist {
				*g = f
			}
			return fs
		}
	}
	if len(fs) == cap(fs) {
		return fs
	}
	return append(fs, f)
}

// manyEdits says how d edits changed a long token, which made it longer by so
// many letters.
func manyEdits(d, longer int) edit {
	switch {
	case d >= 2:
		return editMany
	case d == 1:
		return [3]edit{editDel, editSub, editIns}[longer+1]
	}
	return editNone
}

// Canonical appends to dst the lower-case form of a host name without wildcard
// label and trailing dot; false for what no host name is. Names in other than
// ASCII go through [impound.ParseName].
func Canonical(dst, name []byte) ([]byte, bool) {
	var s scan
	if s.fill(name) || s.allN > 0 && s.rawN > 0 {
		return append(dst, s.raw[:s.allN]...), true
	}
	if nonASCII(name) && len(name) < 1024 {
		if n, err := impound.ParseName(string(name)); err == nil {
			return append(dst, n.String()...), true
		}
	}
	return dst, false
}
