package match

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// ordinaryNames makes names as people register them, from syllables.
func ordinaryNames(n int) [][]byte {
	rnd := rand.New(rand.NewPCG(7, 7))
	syl := []string{"ba", "ker", "gar", "den", "nor", "dic", "tra", "vel", "con", "sult", "pho", "to", "mar", "ket", "so", "lar", "home", "run", "ner", "vi", "ta", "lo", "gic", "fin", "ance", "de", "sign", "stu", "dio", "web"}
	tld := []string{"com", "net", "se", "org", "top", "xyz"}
	out := make([][]byte, n)
	for i := range out {
		s := ""
		for range 2 + rnd.IntN(4) {
			s += syl[rnd.IntN(len(syl))]
		}
		if rnd.IntN(8) == 0 {
			s += "-" + syl[rnd.IntN(len(syl))]
		}
		out[i] = []byte(s + "." + tld[rnd.IntN(len(tld))])
	}
	return out
}

// BenchmarkBrands is the speed against made-up brands, edits on.
func BenchmarkBrands(b *testing.B) {
	names := ordinaryNames(4096)
	for _, n := range []int{100, 1000, 10_000} {
		rnd := rand.New(rand.NewPCG(1, uint64(n)))
		var brands []Brand
		for i := range n {
			t := make([]byte, 5+rnd.IntN(6))
			for j := range t {
				t[j] = "bcdfghjklmnprstvz"[rnd.IntN(17)]
				if j%2 == 1 {
					t[j] = "aeiou"[rnd.IntN(5)]
				}
			}
			brands = append(brands, Brand{ID: fmt.Sprint("b", i), Tokens: []string{string(t)}})
		}
		m, err := New(brands, Options{})
		if err != nil {
			b.Fatal(err)
		}
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			b.ReportAllocs()
			for i := 0; b.Loop(); i++ {
				m.Score(names[i&4095])
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "names/s")
		})
	}
}
