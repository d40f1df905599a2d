package match

import (
	"math/bits"
	"slices"
)

// Garbled words: those that are further from a token than the index finds.

// looseBlock is up to 64 tokens, a bit each, for words of one length.
//
// A letter of a word that is kept is moved by no more than is put in or left out
// in front of it, and one that is not kept takes an edit. So letter by letter
// each token has one to spare less where it has no such letter near that place;
// 64 tokens count down at once, in three words that hold a bit of each count.
type looseBlock struct {
	far  [][32]uint64 // by place and letter of the word: who does not have it near there
	left [3]uint64    // how many letters of the word they may lack: bits 0, 1 and 2
	many uint64       // who may lack more than 7
	tok  []int32
	n    []uint8 // letters of each
	// Their letters, each at a multiple of stride: to ask a token for them is to
	// wait twice for the memory.
	codes  []uint8
	stride int
}

// looseIndex holds them by length of the word. Those with the same first letter
// stand together, in as few blocks as there can be: what is looked at for every
// name has to be small.
type looseIndex struct {
	at     [looseWord + 1][33]uint16 // by first letter, in parts
	parts  []loosePart
	blocks []looseBlock
}

type loosePart struct {
	may   uint64 // of the block
	block int
}

const looseWord = 3 * maxToken / 2 // letters of the longest word

// looseEdits is how many edits garble a token of n letters.
func looseEdits(n int) int { return 2 * n / 5 }

// looseTo is how many letters the longest token has of which a word of n letters
// may be a garbled form.
func looseTo(n int) (to int) {
	for tn := range maxToken + 1 {
		if n >= tn-looseEdits(tn) {
			to = tn
		}
	}
	return to
}

func newLoose(tokens []token) (ix looseIndex) {
	for n := range ix.at {
		var by [32][]int32
		for i := range tokens {
			t := &tokens[i]
			tn := len(t.codes)
			if k := looseEdits(tn); n >= 3 && tn >= 4 && !t.merged && n >= tn-k && n <= tn+k {
				by[t.codes[0]&31] = append(by[t.codes[0]&31], int32(i))
			}
		}
		at := -1 // the block that is being filled
		for first, ids := range by {
			ix.at[n][first] = uint16(len(ix.parts))
			for ids := range slices.Chunk(ids, 64) {
				if at < 0 || len(ix.blocks[at].tok)+len(ids) > 64 {
					at = len(ix.blocks)
					ix.blocks = append(ix.blocks, looseBlock{far: make([][32]uint64, n), stride: looseTo(n)})
				}
				b := &ix.blocks[at]
				from := len(b.tok)
				for _, id := range ids {
					b.add(id, tokens[id].codes)
				}
				ix.parts = append(ix.parts, loosePart{^uint64(0) << from & (^uint64(0) >> (64 - len(b.tok))), at})
			}
		}
		ix.at[n][32] = uint16(len(ix.parts))
	}
	return ix
}

func (b *looseBlock) add(id int32, codes []uint8) {
	j, n, tn := len(b.tok), len(b.far), len(codes)
	bit := uint64(1) << j
	for p := range b.far {
		for c := range b.far[p] {
			b.far[p][c] |= bit
		}
	}
	b.tok, b.n = append(b.tok, id), append(b.n, uint8(tn))
	b.codes = append(append(b.codes, codes...), make([]uint8, b.stride-tn)...)
	// What is left out and what is put in: so many more of the one as the word is
	// longer or shorter, and k in all.
	k := looseEdits(tn)
	more, less := (k+n-tn)/2, (k-n+tn)/2
	for at, c := range codes {
		for p := max(0, at-less); p <= min(at+more, n-1); p++ {
			b.far[p][c&31] &^= bit
		}
	}
	left := k - max(0, tn-n) // what the token has more of harms no letter of the word
	if left > 7 {
		b.many |= bit
	}
	for x := range b.left {
		b.left[x] |= uint64(left>>x&1) << j
	}
}

// among gives which of some tokens word may be a garbled form of.
func (b *looseBlock) among(word []uint8, some uint64) uint64 {
	if n := len(word); fastLoose && n <= 16 {
		return some&^farAVX2(&b.far[0], &word[0], n, &b.left) | b.many&some
	}
	return b.amongPlain(word, some)
}

func (b *looseBlock) amongPlain(word []uint8, some uint64) uint64 {
	may, a, c, d := some, b.left[0], b.left[1], b.left[2]
	far := b.far[:len(word)]
	for p, x := range word {
		less := far[p][x&31]
		may &^= less &^ (a | c | d)
		a ^= less
		less &= a // borrow
		c ^= less
		less &= c
		d ^= less
	}
	return may | b.many&some
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
			at := &ix.loose.at[n]
			first := word[0] & 31
			for x := at[first]; x < at[first+1]; x++ {
				part := &ix.loose.parts[x]
				b := &ix.loose.blocks[part.block]
				may := b.among(word, part.may)
				if may == 0 {
					continue
				}
				var peq [32]uint64
				for p, c := range word {
					peq[c&31] |= 1 << p
				}
				for ; may != 0; may &= may - 1 {
					y := bits.TrailingZeros64(may)
					tok, tn := b.tok[y], int(b.n[y])
					d := wordEdits(&peq, n, b.codes[y*b.stride:y*b.stride+tn])
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
