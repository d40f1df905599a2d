package match

import (
	"cmp"
	"math/bits"
	"slices"
	"sort"
)

// Garbled words: those that are further from a token than the index finds.

// looseT is a token for garbled words: a bit for each letter that it has, and
// one for each that it has twice.
type looseT struct {
	letters uint64
	tok     int32
	n       uint8
}

func newLoose(tokens []token) (all []looseT, at [32][maxToken + 2]uint32) {
	for i := range tokens {
		if t := &tokens[i]; len(t.codes) >= 4 && !t.merged {
			var once, twice uint64
			for _, c := range t.codes {
				twice |= once & (1 << c)
				once |= 1 << c
			}
			all = append(all, looseT{once | twice<<32, int32(i), uint8(len(t.codes))})
		}
	}
	first := func(t looseT) int { return int(tokens[t.tok].codes[0]) }
	slices.SortStableFunc(all, func(a, b looseT) int { return cmp.Or(cmp.Compare(first(a), first(b)), cmp.Compare(a.n, b.n)) })
	for c := range at {
		for n := range at[c] {
			at[c][n] = uint32(sort.Search(len(all), func(i int) bool { return first(all[i]) > c || first(all[i]) == c && int(all[i].n) >= n }))
		}
	}
	return all, at
}

// findLoose gives the nearest garbled word: one that begins with the same
// letter as a token and can be turned into it by edits of 2 in 5 of its
// letters.
func (ix *index) findLoose(s *scan) (best found, ok bool) {
	bestRatio := float32(1)
	for i := 0; i < s.n; {
		// A word: to the next separator. Nothing is merged here.
		j := s.n
		if !s.plain {
			for j = i + 1; j < s.n && s.pos[j] == s.pos[j-1]+1; {
				j++
			}
		}
		if n := j - i; n >= 3 && n < len(looseFrom) && looseFrom[n] <= looseTo[n] {
			first := s.code[padLeft+i] & 31
			tokens := ix.loose[ix.looseAt[first][looseFrom[n]]:ix.looseAt[first][looseTo[n]+1]]
			if len(tokens) == 0 {
				i = j
				continue
			}
			var once, twice uint32
			for _, c := range s.code[padLeft+i : padLeft+j] {
				bit := uint32(1) << (c & 31)
				twice |= once & bit
				once |= bit
			}
			word, may := uint64(twice)<<32|uint64(once), &looseMay[n]
			for len(tokens) > 0 {
				// A letter that only one of the two has takes an edit; of the longer one, as
				// many letters more are left out as it is longer.
				k := 0
				part := tokens[:min(len(tokens), maxWork)]
				tokens = tokens[len(part):]
				for x := range part {
					t := &part[x]
					m := may[t.n]
					s.side[k] = uint32(x)
					k += int((uint(bits.OnesCount64(t.letters&^word)) - uint(m.token)) & (uint(bits.OnesCount64(word&^t.letters)) - uint(m.word)) >> 63)
				}
				if k == 0 {
					continue
				}
				var peq [32]uint64
				for p, c := range s.code[padLeft+i : padLeft+j] {
					peq[c&31] |= 1 << p
				}
				for _, x := range s.side[:k] {
					t := &part[x]
					d := wordEdits(&peq, n, ix.tokens[t.tok].codes)
					if d > 2*int(t.n)/5 {
						continue
					}
					if r := float32(d) / float32(t.n); r < bestRatio || r == bestRatio && best.at == i && t.tok < best.tok {
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

// looseMay says, by the letters of a word and of a token, below how many letters
// must be that only the token or only the word has.
var looseMay = func() (t [3*maxToken/2 + 1][maxToken + 1]struct{ token, word int8 }) {
	for n := range t {
		for tn := range t[n] {
			k := 2 * tn / 5
			t[n][tn].token, t[n][tn].word = int8(max(0, k-max(0, n-tn)+1)), int8(max(0, k-max(0, tn-n)+1))
		}
	}
	return t
}()

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
