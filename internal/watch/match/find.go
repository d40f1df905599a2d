package match

import (
	"bytes"
	"math/bits"

	"github.com/impound/impound"
)

// fill folds name into s, which may have held another one; false when it holds
// an octet that no host name has, or is empty, or longer than 253 octets. A
// wildcard in front, a trailing dot and upper case are taken as they are meant.
func (s *scan) fill(name []byte) bool {
	s.allN, s.rawN, s.n = 0, 0, 0
	s.hasA, s.digraph, s.merged = false, false, false
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
	n, front, digraph := 0, 0, false
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
				lastDot, front, digraph = i, n, s.digraph
			case clsHyphen:
				if prev == '-' && i >= 3 && s.raw[i-3] == 'x' && s.raw[i-2] == 'n' && (i == 3 || s.raw[i-4] == '.') {
					s.hasA = true
				}
			}
			prev = c
			continue
		}
		if c := o.lower; c == 'v' && prev == 'v' || c == 'n' && prev == 'r' {
			s.digraph = true
		}
		prev = o.lower
		code[uint8(n)] = o.fold
		pos[uint8(n)] = uint8(i)
		n++
	}
	s.allN = len(name)
	s.rawN = len(name) // a single label
	if lastDot >= 0 {
		s.rawN, n, s.digraph = lastDot, front, digraph
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
	s.hasA, s.digraph = false, false
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
					s.digraph = s.digraph || i > 0 && (c == 'v' && label[i-1] == 'v' || c == 'n' && label[i-1] == 'r')
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
	s.letters = letters(c[:n])
	for i := 0; i+1 < n; i++ {
		a, b := uint32(c[i]), uint32(c[i+1])
		if ix.pairs[a]&(1<<b) == 0 {
			continue
		}
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
			// A letter that the name lacks altogether takes an edit; more than two are
			// never allowed.
			if bits.OnesCount32(uint32(e.head)&^s.letters) > 2 || ix.ends[e.tok].far(s, i-int(e.off), n) {
				continue
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
	}
	return fs
}

// findLoose gives the nearest garbled word: one that begins with the same
// letter as a token and can be turned into it by edits of 2 in 5 of its
// letters.
func (ix *index) findLoose(s *scan) (best found, ok bool) {
	bestRatio := float32(1)
	for i := 0; i < s.n; {
		// A word: to the next separator. Nothing is merged here.
		j := i
		var mask uint32
		for {
			mask |= 1 << s.code[padLeft+j]
			if j++; j >= s.n || s.pos[j] != s.pos[j-1]+1 {
				break
			}
		}
		if n := j - i; n >= 3 && n <= 3*maxToken/2 {
			var peq [32]uint64
			ready := false
			by := &ix.loose[s.code[padLeft+i]]
			for tn := looseFrom[n]; tn <= min(looseTo[n], maxToken); tn++ {
				k := 2 * tn / 5
				// A letter that only one of the two has takes an edit; of the longer one,
				// as many letters more are left out as it is longer.
				kt, kw := k-max(0, n-tn), k-max(0, tn-n)
				for _, t := range by[tn] {
					if bits.OnesCount32(t.mask&^mask) > kt || bits.OnesCount32(mask&^t.mask) > kw {
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
					if r := float32(d) / float32(tn); r < bestRatio || r == bestRatio && best.at == i && t.tok < best.tok {
						bestRatio, ok = r, true
						best = found{tok: t.tok, at: i, end: j, dist: d, edit: editMany}
					}
				}
			}
		}
		i = j
	}
	return best, ok
}

// looseFrom and looseTo give how long a token may be that a word of so many
// letters is a garbled form of.
var looseFrom, looseTo = func() (from, to [3*maxToken/2 + 1]int) {
	for n := range from {
		from[n] = maxToken + 1
		for tn := 4; tn <= maxToken; tn++ {
			if k := 2 * tn / 5; n <= tn+k && n >= tn-k {
				from[n], to[n] = min(from[n], tn), tn
			}
		}
	}
	return from, to
}()

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
