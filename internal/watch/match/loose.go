package match

import (
	"math/bits"
	"slices"
)

// Garbled words: those that are further from a token than the index finds.

// looseBlock is up to 64 tokens that begin with the same letter, a bit each, for
// words of one length.
//
// A letter of a word that is kept is moved by no more than is put in or left out
// in front of it, and one that is not kept takes an edit. So letter by letter
// each token has one to spare less where it has no such letter near that place;
// 64 tokens count down at once, in three words that hold a bit of each count.
type looseBlock struct {
	near [][32]uint64 // by place and letter of the word: who has it near there
	may  uint64       // who is there
	left [3]uint64    // how many letters of the word they may lack: bits 0, 1 and 2
	many uint64       // who may lack more than 7
	tok  []int32
}

// looseIndex holds them by first letter and length of the word.
type looseIndex struct {
	at     [32][looseWord + 2]uint16
	blocks []looseBlock
}

const looseWord = 3 * maxToken / 2 // letters of the longest word

// looseEdits is how many edits garble a token of n letters.
func looseEdits(n int) int { return 2 * n / 5 }

func newLoose(tokens []token) (ix looseIndex) {
	for first := range ix.at {
		for n := range looseWord + 1 {
			ix.at[first][n] = uint16(len(ix.blocks))
			var ids []int32
			for i := range tokens {
				t := &tokens[i]
				tn := len(t.codes)
				if k := looseEdits(tn); n >= 3 && tn >= 4 && !t.merged && int(t.codes[0]) == first && n >= tn-k && n <= tn+k {
					ids = append(ids, int32(i))
				}
			}
			for ids := range slices.Chunk(ids, 64) {
				ix.blocks = append(ix.blocks, newLooseBlock(tokens, ids, n))
			}
		}
		ix.at[first][looseWord+1] = uint16(len(ix.blocks))
	}
	return ix
}

func newLooseBlock(tokens []token, ids []int32, n int) looseBlock {
	b := looseBlock{near: make([][32]uint64, n), tok: ids}
	for j, id := range ids {
		codes, bit := tokens[id].codes, uint64(1)<<j
		tn := len(codes)
		k := looseEdits(tn)
		// What is left out and what is put in: so many more of the one as the word
		// is longer or shorter, and k in all.
		more, less := (k+n-tn)/2, (k-n+tn)/2
		for at, c := range codes {
			for p := max(0, at-less); p <= min(at+more, n-1); p++ {
				b.near[p][c&31] |= bit
			}
		}
		b.may |= bit
		left := k - max(0, tn-n) // what the token has more of harms no letter of the word
		if left > 7 {
			b.many |= bit
		}
		for x := range b.left {
			b.left[x] |= uint64(left>>x&1) << j
		}
	}
	return b
}

// among gives which of the tokens word may be a garbled form of.
func (b *looseBlock) among(word []uint8) uint64 {
	may, a, c, d := b.may, b.left[0], b.left[1], b.left[2]
	near := b.near[:len(word)]
	for p, x := range word {
		less := ^near[p][x&31]
		may &^= less &^ (a | c | d)
		a ^= less
		less &= a // borrow
		c ^= less
		less &= c
		d ^= less
	}
	return may | b.many
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
		if n := j - i; n >= 3 && n <= looseWord {
			word := s.code[padLeft+i : padLeft+j]
			at := &ix.loose.at[word[0]&31]
			for x := at[n]; x < at[n+1]; x++ {
				b := &ix.loose.blocks[x]
				may := b.among(word)
				if may == 0 {
					continue
				}
				var peq [32]uint64
				for p, c := range word {
					peq[c&31] |= 1 << p
				}
				for ; may != 0; may &= may - 1 {
					y := bits.TrailingZeros64(may)
					tok := b.tok[y]
					codes := ix.tokens[tok].codes
					tn := len(codes)
					d := wordEdits(&peq, n, codes)
					if d > looseEdits(tn) {
						continue
					}
					if r := float32(d) / float32(tn); r < bestRatio || r == bestRatio && best.at == i && tok < best.tok {
						bestRatio, ok = r, true
						best = found{tok: tok, at: i, end: j, dist: d, edit: editMany}
					}
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
