package match

import "slices"

// Some names anybody would look at first: a brand's own name, or one letter off,
// and nothing beside it but words such as "login". Most that are like this were
// not seen in a campaign and belong to somebody by chance, so what was learnt
// ranks many of them low; but nobody would understand that "rnicrosoft.com" is not a hit.
const (
	obviousLetters = 6     // of the token, at least
	obviousOther   = 4     // of one that is spelt with another script's letters
	obviousLong    = 8     // of a misspelt one that the second look did not see, or where brands are many
	obviousRare    = 12    // in how few names it is to stand, in bits, where brands are many
	obviousFrom    = -2.19 // the logit of a score just above 0.1
	obviousLeast   = -2.195
)

// atLeastObvious lifts l, which is above secondFrom, to what is a hit by default
// if occurrence f is of that kind, and leaves the order among such names.
func (m *Matcher) atLeastObvious(s *scan, f *found, l float64) float64 {
	if lifted := obviousFrom + (l-secondFrom)/1000; l < lifted && m.obvious(s, f) {
		return lifted
	}
	return l
}

// liftObvious does the same for what is not looked at again: all to one score, since
// below the cut of [Scorer.AtLeast] nothing was weighed. A misspelt token is to be longer:
// "cloud" is not meant to be "icloud".
func (m *Matcher) liftObvious(s *scan, fs []found, idn bool, v *verdict) {
	for i := range fs {
		f := &fs[i]
		if !s.idn {
			t := &m.ix.hot[f.tok]
			if t.may()>>min(f.dist, 1)&1 == 0 || s.plain && !s.mayStandAlone(f, t.codes()) {
				continue
			}
		}
		if (f.dist == 0 || len(m.ix.tokens[f.tok].text) >= obviousLong) && m.obvious(s, f) {
			if idn || !m.isOwn(s) {
				v.logit, v.found = obviousLeast, *f
			}
			return
		}
	}
}

// obviousTokens notes of which tokens liftObvious may be true in names that are in one
// script: 1 as they are, 2 misspelt. Most names hold none that it may be true of.
func (m *Matcher) obviousTokens() {
	for i := range m.ix.tokens {
		t, h := &m.ix.tokens[i], &m.ix.hot[i]
		if m.obviousToken(t, 0) {
			h.textMay |= 1 << 6
		}
		if len(t.text) >= obviousLong && m.obviousToken(t, 1) {
			h.textMay |= 2 << 6
		}
	}
}

// mayStandAlone says of a name of letters whether its label may be token and lure words
// alone, or a letter off a token of so many letters.
func (s *scan) mayStandAlone(f *found, codes int) bool {
	a, n := &s.near, s.rawN
	if s.merged || !a.ready || uint(n-codes+1) <= 2 {
		return true
	}
	return (f.at == 0 || (a.lures|a.luresTo(f.at))&1 != 0) && (f.end == n || (a.lures|a.luresTo(n))>>f.end&1 != 0)
}

// obviousToken is what obvious asks of a token in one script.
func (m *Matcher) obviousToken(t *token, dist int) bool {
	return len(t.text) >= obviousLetters &&
		(m.chance == 0 || t.common[runAny] >= obviousRare && (dist == 0 || len(t.text) >= obviousLong))
}

func (m *Matcher) obvious(s *scan, f *found) bool {
	t := &m.ix.tokens[f.tok]
	from, to := int(s.pos[f.at]), s.rawEnd(f.end)
	// A brand in another script's letters is no chance, however short or common.
	other := f.dist == 0 && len(t.text) >= obviousOther && s.idn && slices.Contains(s.looks[from:to], true)
	if !other && !m.obviousToken(t, f.dist) {
		return false
	}
	lo, hi := s.registered()
	if from < lo || to > hi {
		return false
	}
	if f.dist <= 1 && luresAlone(s.raw[lo:from]) && luresAlone(s.raw[to:hi]) {
		return true
	}
	// A doubled letter may be found as another misspelling with a letter to spare: the
	// word that it stands in is held against the token.
	for from > lo && class[s.raw[from-1]] != clsHyphen {
		from--
	}
	for to < hi && class[s.raw[to]] != clsHyphen {
		to++
	}
	if !luresAlone(s.raw[lo:from]) || !luresAlone(s.raw[to:hi]) {
		return false
	}
	a, b := f.at, f.end
	for a > 0 && int(s.pos[a-1]) >= from {
		a--
	}
	for b < s.n && int(s.pos[b]) < to {
		b++
	}
	return oneApart(s.code[padLeft+a:padLeft+b], t.codes)
}

// oneApart says whether a and b differ by no more than one letter that is
// changed, added or left out.
func oneApart(a, b []uint8) bool {
	if len(a) > len(b) {
		a, b = b, a
	}
	if len(b)-len(a) > 1 {
		return false
	}
	i := 0
	for i < len(a) && a[i] == b[i] {
		i++
	}
	j := len(a)
	for k := len(b); j > i && a[j-1] == b[k-1]; k-- {
		j--
	}
	return j-i+len(b)-len(a) <= 1
}

// luresAlone says whether b holds nothing but lure words, hyphens and digits.
func luresAlone(b []byte) bool {
	for len(b) > 0 {
		n := 1
		if class[b[0]] == clsLetter {
			if n = lureWord(b); n == 0 {
				n = digitLure(b)
			}
			if n == 0 {
				return false
			}
		}
		b = b[n:]
	}
	return true
}

// digitLure is lureWord for words such as "l0gin" and "s1gnin".
func digitLure(b []byte) int {
	var folded [24]byte
	n := copy(folded[:], b)
	for _, one := range []byte("li") {
		for i, c := range b[:n] {
			switch c {
			case '0':
				c = 'o'
			case '1':
				c = one
			case '3':
				c = 'e'
			case '4':
				c = 'a'
			case '5':
				c = 's'
			}
			folded[i] = c
		}
		if k := lureWord(folded[:n]); k > 0 {
			return k
		}
	}
	return 0
}
