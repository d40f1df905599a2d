package match

import (
	"bytes"
	"encoding/binary"
	"math/bits"

	"github.com/impound/impound"
)

// fill folds name into s, which may have held another one; false when it holds
// an octet that no host name has, or is empty, or longer than 253 octets. A
// wildcard in front, a trailing dot and upper case are taken as they are meant.
func (s *scan) fill(name []byte) bool {
	return s.fillLetters(name) || s.fillAny(name)
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
	s.raw, s.rawN, s.allN, s.hasA, s.idn = t.raw, t.rawN, t.allN, t.hasA, t.idn
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

// find appends each token's occurrences to fs, at most cap(fs). It says in s
// whether rn or vv stand side by side.
//
// What a name holds nobody can foretell, and a branch taken wrongly costs as
// much as forty other steps: so it makes lists, without branches, of what is to
// be done next.
func (ix *index) find(s *scan, fs []found) []found {
	s.digraph = false
	f := finder{ix: ix, s: s, fs: fs}
	for from := 0; from+1 < s.n; from += 64 {
		for m := ix.anchored(s, from); m != 0; m &= m - 1 {
			i := from + bits.TrailingZeros64(m)
			c := (*[5]uint8)(s.code[padLeft+i:])
			code := code3(c[0], c[1], c[2])
			b := &ix.buckets[ix.bucket[code]]
			if f.nSide+int(b.nSides) > maxWork || f.nLong+int(b.nLongs) > maxWork {
				f.flush()
				if b.nSides > maxWork || b.nLongs > maxWork {
					f.all(i)
					f.first = i + 1
					continue
				}
			}
			f.last = i
			side := uint32(b.sides)<<8 | uint32(i)
			s.side[f.nSide], s.side[f.nSide+1] = side, side+1<<8
			for j := uint32(2); j < uint32(b.nSides); j++ {
				s.side[f.nSide+int(j)] = side + j<<8
			}
			f.nSide += int(b.nSides)
			long := uint64(b.from)<<32 | uint64(b.longs)<<8 | uint64(i)
			s.long[f.nLong], s.long[f.nLong+1] = long, long+1<<8
			for j := uint64(2); j < uint64(b.nLongs); j++ {
				s.long[f.nLong+int(j)] = long + j<<8
			}
			f.nLong += int(b.nLongs)
			gap := gapOf(c[0], c[1], c[3], c[4])
			if b.rare || ix.gapBits[gap>>6]>>(gap&63)&1 != 0 {
				f.rare(b, i, gap)
			}
		}
	}
	f.flush()
	return f.fs
}

// anchored gives the letters, from the one given on, at which an anchor may
// begin, up to 64, a bit each.
func (ix *index) anchored(s *scan, from int) uint64 {
	if fastAnchored {
		return anchoredAVX2(&ix.any[0], &ix.gapBits[0], &s.code[padLeft+from], min(s.n-1-from, 64))
	}
	return ix.anchoredPlain(s, from)
}

func (ix *index) anchoredPlain(s *scan, from int) (mask uint64) {
	c := (*[72]uint8)(s.code[padLeft+from:])
	code := uint32(c[0])<<5 | uint32(c[1])
	n := min(s.n-1-from, 64)
	for i := range n {
		code = code<<5&0x7fff | uint32(c[i+2])
		gap := hashGap(code>>5<<10 | uint32(c[i+3])<<5 | uint32(c[i+4]))
		mask |= (ix.any[code>>6]>>(code&63) | ix.gapBits[gap>>6]>>(gap&63)) & 1 << i
	}
	return mask
}

// finder is one call of find.
type finder struct {
	ix           *index
	s            *scan
	fs           []found
	first, last  int // letters that the lists are of
	nSide, nLong int
	nMaybe       int // more than there is room for: the lists are not kept
}

// What is in maybe: the letter, from where the entry is, and which.
const (
	maybeAt  = 40 // bits
	maybeGap = 1 << 32
	maybeTwo = 2 << 32
)

func (f *finder) put(i int, what uint64) {
	f.s.maybe[f.nMaybe&(maxMaybe-1)] = uint64(i)<<maybeAt | what
	f.nMaybe++
}

// rare puts down what few letters have.
func (f *finder) rare(b *bucket, i int, gap uint32) {
	s := f.s
	if b.exact {
		for j, e := range f.ix.entries[b.from:b.to] {
			if e.kind == anchorExact {
				f.put(i, uint64(b.from)+uint64(j))
			}
		}
	}
	if i+2 < s.n {
		for j := f.ix.gapAt[gap]; j < f.ix.gapAt[gap+1]; j++ {
			f.put(i, maybeGap|uint64(j))
		}
	}
	if b.two >= 0 && (s.wordStart(i) || s.wordEnd(i+2)) {
		f.put(i, maybeTwo|uint64(b.two))
	}
	s.digraph = s.digraph || b.digraph && s.pos[i+1] == s.pos[i]+1
}

// flush does what is in the lists.
func (f *finder) flush() {
	ix, s := f.ix, f.s
	k := 0
	for _, w := range s.side[:f.nSide] {
		g := &ix.sides[w>>8]
		p := padLeft + int(w&255) + int(g.first)
		m := g.pass(ones*uint64(s.code[p]), ones*uint64(s.code[p+int(g.step)]), ones*uint64(s.code[p+2*int(g.step)]))
		s.side[k], s.some[k] = w, m
		k += int((m | -m) >> 63)
	}
	for j, w := range s.side[:k] {
		g := &ix.sides[w>>8]
		for m := s.some[j]; m != 0; m &= m - 1 {
			f.put(int(w&255), uint64(g.base)+uint64(g.id[bits.TrailingZeros64(m)>>3]))
		}
	}
	k = ix.nearLongs(s, s.long[:f.nLong])
	for j, w := range s.long[:k] {
		g := &ix.longs[w>>8&0xffffff]
		for m := s.some[j]; m != 0; m &= m - 1 {
			f.put(int(w&255), w>>32+uint64(g.id[bits.TrailingZeros64(m)>>3]))
		}
	}
	if f.nMaybe > maxMaybe {
		for i := f.first; i <= f.last; i++ {
			f.all(i)
		}
	} else {
		// In the order of the name; among those at one letter, in that of the tokens.
		ms := s.maybe[:f.nMaybe]
		for i := 1; i < len(ms); i++ {
			for j := i; j > 0 && ms[j-1] > ms[j]; j-- {
				ms[j-1], ms[j] = ms[j], ms[j-1]
			}
		}
		for _, m := range ms {
			i, id := int(m>>maybeAt), uint32(m)
			switch m & (maybeGap | maybeTwo) {
			case maybeTwo:
				f.fs = add(f.fs, found{tok: int32(id), at: i, end: i + 2})
			case maybeGap:
				f.fs = ix.check(s, f.fs, &ix.gaps[id], i)
			default:
				f.fs = ix.check(s, f.fs, &ix.entries[id], i)
			}
		}
	}
	f.first, f.nSide, f.nLong, f.nMaybe = f.last+1, 0, 0, 0
}

// all looks at each entry that may begin at letter i: the plain way, for names
// that hold more than there is room for.
func (f *finder) all(i int) {
	ix, s := f.ix, f.s
	c := (*[5]uint8)(s.code[padLeft+i:])
	b := &ix.buckets[ix.bucket[code3(c[0], c[1], c[2])]]
	for j := b.from; j < b.to; j++ {
		f.fs = ix.check(s, f.fs, &ix.entries[j], i)
	}
	if i+2 < s.n {
		gap := gapOf(c[0], c[1], c[3], c[4])
		for j := ix.gapAt[gap]; j < ix.gapAt[gap+1]; j++ {
			f.fs = ix.check(s, f.fs, &ix.gaps[j], i)
		}
	}
	if b.two >= 0 && (s.wordStart(i) || s.wordEnd(i+2)) {
		f.fs = add(f.fs, found{tok: b.two, at: i, end: i + 2})
	}
	s.digraph = s.digraph || b.digraph && s.pos[i+1] == s.pos[i]+1
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

// check holds e in full against the name, where its anchor stands at letter i,
// and adds what it finds.
func (ix *index) check(s *scan, fs []found, e *entry, i int) []found {
	n := int(e.n)
	switch e.kind {
	case anchorHead:
		if d, l, how := head1(s, i, e.head, uint(n)); d <= 1 && i+l <= s.n {
			fs = add(fs, found{e.tok, i, i + l, d, how})
		}
	case anchorTail:
		if d, l, how := tail1(s, i+3, e.head, uint(n)); d <= 1 && i+3-l >= 0 {
			fs = add(fs, found{e.tok, i + 3 - l, i + 3, d, how})
		}
	case anchorExact:
		if i+n > s.n {
			return fs
		}
		if n <= 8 {
			if (load8(&s.code, padLeft+i)^e.head)<<(64-8*uint(n)) != 0 {
				return fs
			}
		} else if string(s.code[padLeft+i:padLeft+i+n]) != string(ix.tokens[e.tok].codes) {
			return fs
		}
		if n == 3 && !s.wordStart(i) && !s.wordEnd(i+3) {
			return fs
		}
		fs = add(fs, found{tok: e.tok, at: i, end: i + n})
	case anchorLong:
		if ix.ends[e.tok].far(s, i-int(e.off), n) {
			return fs
		}
		tk := &ix.tokens[e.tok]
		if d, at, end, ok := long(s, i, tk.codes, int(e.off), tk.edits); ok {
			f := found{tok: e.tok, at: at, end: end, dist: d}
			switch {
			case d >= 2:
				f.edit = editMany
			case d == 1:
				f.edit = [3]edit{editDel, editSub, editIns}[end-at-n+1]
			}
			fs = add(fs, f)
		}
	}
	return fs
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
