package match

import (
	"math/bits"

	"github.com/impound/impound"
)

// fill folds name into s; false when it holds an octet that no host name has,
// or is empty, or longer than 254 octets. A wildcard in front, a trailing dot
// and upper case are taken as they are meant.
func (s *scan) fill(name []byte) bool {
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
	for i, c := range name {
		cl := class[c]
		if cl == clsBad {
			return false
		}
		if cl == clsDot {
			if i == lastDot+1 {
				return false // an empty label
			}
			lastDot = i
		}
		s.raw[i] = lower[c]
	}
	s.allN = len(name)
	s.rawN = lastDot
	if lastDot < 0 {
		s.rawN = len(name) // a single label
	}
	n := 0
	var prev uint8
	for i := 0; i < s.rawN; i++ {
		c := s.raw[i]
		f := foldCode[c]
		if f == codeSep {
			if c == '-' && prev == '-' && i >= 3 && s.raw[i-3] == 'x' && s.raw[i-2] == 'n' && (i == 3 || s.raw[i-4] == '.') {
				// An A-label spells nothing as it stands: leave it out.
				s.hasA = true
				for n > 0 && int(s.pos[n-1]) >= i-3 {
					n--
					s.code[padLeft+n] = 0
				}
				for i < s.rawN && s.raw[i] != '.' {
					i++
				}
			}
			prev = c
			continue
		}
		if c == prev && c == 'v' || c == 'n' && prev == 'r' {
			s.digraph = true
		}
		prev = c
		s.code[padLeft+n] = f
		s.pos[n] = uint8(i)
		n++
	}
	s.pos[n] = uint8(s.rawN)
	s.n = n
	return n > 0 || s.hasA
}

// merge replaces rn by m and vv by w where the two stand side by side.
func (s *scan) merge() {
	w := 0
	r, nn, v, m, ww := letterCode('r'), letterCode('n'), letterCode('v'), letterCode('m'), letterCode('w')
	for i := 0; i < s.n; i++ {
		c := s.code[padLeft+i]
		p := s.pos[i]
		if i+1 < s.n && s.pos[i+1] == p+1 {
			d := s.code[padLeft+i+1]
			if c == r && d == nn {
				c = m
				i++
			} else if c == v && d == v {
				c = ww
				i++
			}
		}
		s.code[padLeft+w] = c
		s.pos[w] = p
		w++
	}
	for i := w; i < s.n; i++ {
		s.code[padLeft+i] = 0
	}
	s.pos[w] = uint8(s.rawN)
	s.n = w
	s.merged = true
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
	n := s.n
	c := s.code[padLeft : padLeft+n+4]
	for i := 0; i+1 < n; i++ {
		a, b := uint32(c[i]), uint32(c[i+1])
		if i+2 < n {
			code := a<<10 | b<<5 | uint32(c[i+2])
			if ix.near.has(code) {
				fs = ix.check(s, fs, &ix.near, code, i)
			}
			code = a<<10 | b<<5 | uint32(c[i+3])
			if ix.gap.has(code) {
				fs = ix.check(s, fs, &ix.gap, code, i)
			}
		}
		if t := ix.two[a<<5|b]; t >= 0 && (s.wordStart(i) || s.wordEnd(i+2)) {
			fs = add(fs, found{tok: t, at: i, end: i + 2})
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

func (ix *index) check(s *scan, fs []found, t *table, code uint32, i int) []found {
	for _, e := range t.entries[t.start[code]:t.start[code+1]] {
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
				continue
			}
			if n <= 8 {
				if (load8(&s.code, padLeft+i)^e.head)<<(64-8*uint(n)) != 0 {
					continue
				}
			} else if string(s.code[padLeft+i:padLeft+i+n]) != string(ix.tokens[e.tok].codes) {
				continue
			}
			if n == 3 && !s.wordStart(i) && !s.wordEnd(i+3) {
				continue
			}
			fs = add(fs, found{tok: e.tok, at: i, end: i + n})
		case anchorLong:
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
	}
	return fs
}

// findLoose gives the nearest garbled word: one that begins with the same
// letter as a token and can be turned into it by edits of 2 in 5 of its
// letters.
func (ix *index) findLoose(s *scan) (best found, ok bool) {
	bestRatio := float32(1)
	for i := 0; i < s.n; {
		// A word: to the next separator.
		j := i
		var mask uint32
		for j < s.n {
			mask |= 1 << s.code[padLeft+j]
			j++
			if s.wordEnd(j) {
				break
			}
		}
		if n := j - i; n >= 3 && n <= 3*maxToken/2 {
			var peq [32]uint64
			ready := false
			for _, t := range ix.loose[s.code[padLeft+i]] {
				tn, k := int(t.n), int(t.max)
				// A letter that only one of the two has takes an edit.
				if n > tn+k || n < tn-k || bits.OnesCount32(t.mask&^mask) > k || bits.OnesCount32(mask&^t.mask) > k {
					continue
				}
				if !ready {
					for p, c := range s.code[padLeft+i : padLeft+j] {
						peq[c] |= 1 << p
					}
					ready = true
				}
				d := wordEdits(&peq, n, ix.tokens[t.tok].codes)
				if d > k {
					continue
				}
				if r := float32(d) / float32(tn); r < bestRatio {
					bestRatio, ok = r, true
					best = found{tok: t.tok, at: i, end: j, dist: d, edit: editMany}
				}
			}
		}
		i = j
	}
	return best, ok
}

// wordEdits is the Levenshtein distance between a word of n letters, given by
// the places of each letter, and tok (Myers 1999, in Hyyrö's form).
func wordEdits(peq *[32]uint64, n int, tok []uint8) int {
	vp, vn := ^uint64(0), uint64(0)
	d := n
	top := uint64(1) << (n - 1)
	for _, c := range tok {
		x := peq[c&31] | vn
		d0 := (vp + (x & vp)) ^ vp | x
		hp, hn := vn|^(vp|d0), vp&d0
		if hp&top != 0 {
			d++
		}
		if hn&top != 0 {
			d--
		}
		hp = hp<<1 | 1
		vp = hn<<1 | ^(d0 | hp)
		vn = hp & d0
	}
	return d
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
