package match

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// Garbled words of long tokens, which may lack more letters than three bits
// count, and of many tokens with the same first letter.
func TestLooseIsPlain(t *testing.T) {
	rnd := rand.New(rand.NewPCG(4, 4))
	for _, long := range []bool{false, true} {
		var bs []Brand
		for range 300 {
			b := make([]byte, 4+rnd.IntN(9))
			if long {
				b = make([]byte, 14+rnd.IntN(maxToken-13))
			}
			for i := range b {
				b[i] = "abcdefgh"[rnd.IntN(8)]
			}
			b[0] = "ab"[rnd.IntN(2)]
			bs = append(bs, Brand{ID: string(b), Tokens: []string{string(b)}})
		}
		m, err := New(bs, Options{})
		if err != nil {
			t.Fatal(err)
		}
		p, some := newPlain(m.ix), 0
		for range 2000 {
			name := []byte(bs[rnd.IntN(len(bs))].ID)
			for range rnd.IntN(2 + len(name)/2) {
				i := 1 + rnd.IntN(len(name)-1)
				switch rnd.IntN(3) {
				case 0:
					name[i] = "abcdefghk"[rnd.IntN(9)]
				case 1:
					name = slices.Insert(name, i, "abcd-"[rnd.IntN(5)])
				default:
					if name = slices.Delete(name, i, i+1); len(name) < 3 {
						name = append(name, "aba"...)
					}
				}
			}
			var s scan
			if !s.fill(append(name, ".com"...)) {
				continue
			}
			got, ok := m.ix.findLoose(&s)
			want, wantOK := p.findLoose(&s)
			if ok != wantOK || got != want {
				t.Errorf("%s: garbled %v %+v, want %v %+v", name, ok, got, wantOK, want)
			}
			if ok {
				some++
			}
		}
		if some == 0 {
			t.Error("nothing was garbled")
		}
	}
}

// Vectors count down as the plain way does.
func TestAmongIsPlain(t *testing.T) {
	if !fastLoose {
		t.Skip("this processor has no AVX2")
	}
	m, err := New(Builtin(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(5, 5))
	some, none := 0, 0
	for range 40000 {
		b := &m.ix.loose.blocks[rnd.IntN(len(m.ix.loose.blocks))]
		var word [looseWord + 16]uint8
		y := rnd.IntN(len(b.tok))
		copy(word[:], b.codes[y*b.stride:(y+1)*b.stride])
		for range rnd.IntN(9) {
			word[rnd.IntN(len(b.far))] = uint8(rnd.IntN(32))
		}
		w := word[:len(b.far)]
		all := ^uint64(0) >> (64 - len(b.tok))
		got, want := b.among(w, all), b.amongPlain(w, all)
		if got != want {
			t.Fatalf("%v: %b, want %b", w, got, want)
		}
		if want == 0 {
			none++
		} else {
			some++
		}
	}
	if some == 0 || none == 0 {
		t.Errorf("%d words of some tokens, %d of none", some, none)
	}
}
