package match

import (
	"math/rand/v2"
	"testing"
)

// Vectors survey a name as the plain way does.
func TestSurveyIsPlain(t *testing.T) {
	if !fastSurvey {
		t.Skip("this processor has no AVX2")
	}
	m, err := New(Builtin(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	rnd := rand.New(rand.NewPCG(6, 6))
	lured := 0
	for range 20000 {
		name := make([]byte, 1+rnd.IntN(maxAround))
		for i := range name {
			name[i] = "abcdefghijklmnopqrstuvwxyz0123456789-_."[rnd.IntN(39)]
		}
		for range rnd.IntN(3) {
			copy(name[rnd.IntN(len(name)):], lureList[rnd.IntN(len(lureList))])
		}
		var s scan
		if !s.fill(append(name, ".com"...)) || s.hasA {
			continue
		}
		m.survey(&s)
		a := &s.near
		p := around{lastFrom: a.lastFrom}
		p.surveyPlain(&s, m.weights, m.ix.bg)
		n := s.rawN
		for i := range n + 1 {
			if a.sum[i] != p.sum[i] || i < n && a.sym[4+i] != p.sym[4+i] {
				t.Fatalf("%s: at %d sum %x, symbol %d; want %x, %d", name, i, a.sum[i], a.sym[4+i], p.sum[i], p.sym[4+i])
			}
		}
		got := surveyAVX2(&s.raw[0], n, a.lastFrom, &m.weights.gram[0], &m.ix.bg.tri[0], &lureHeads[0], &p.sym[0], &p.sum[0])
		if got&(1<<n-1) != p.lures {
			t.Fatalf("%s: lure words end at %b, want %b", name, got&(1<<n-1), p.lures)
		}
		if p.lures != 0 {
			lured++
		}
		// No lure word is passed over, wherever it has to end.
		for to := range n + 1 {
			for from := range to {
				if lureWord(s.raw[from:to]) > 0 && (a.lures|a.luresTo(to))>>from&1 == 0 {
					t.Fatalf("%s: the lure word at %d that may go to %d is not seen", name, from, to)
				}
			}
		}
	}
	if lured == 0 {
		t.Error("no lure words")
	}
}
