package watch

import (
	"math"
	"math/rand/v2"
	"sync"
	"testing"
)

// About the share passes, the highest of it, whatever the scores are like.
func TestShare(t *testing.T) {
	for _, c := range []struct {
		share float64
		draw  func(r *rand.Rand) float64
	}{
		{.001, func(r *rand.Rand) float64 { return r.Float64() }},
		{.01, func(r *rand.Rand) float64 { return math.Pow(r.Float64(), 20) }},
		{.0001, func(r *rand.Rand) float64 { return r.Float64() }},
		{.01, func(r *rand.Rand) float64 { return .9 + r.Float64()/10 }},
	} {
		s := NewShare(c.share, 0, .5)
		const n = 500_000
		pass := make([]int, 4)
		var wg sync.WaitGroup
		for i := range pass {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(7, uint64(i)))
				for k := range n {
					if s.Pass(c.draw(r)) && k > n/2 {
						pass[i]++
					}
				}
			})
		}
		wg.Wait()
		all := pass[0] + pass[1] + pass[2] + pass[3]
		if got := float64(all) / (2 * n); got < c.share/3 || got > c.share*1.5 {
			t.Errorf("share %g: %g passed, cut %g", c.share, got, s.Cut())
		}
	}
	// At first, and below the floor, little passes.
	s := NewShare(.5, .2, .6)
	if s.Pass(.55) || !s.Pass(.7) || s.Pass(0) {
		t.Error("before it has learnt")
	}
	for range 50_000 {
		s.Pass(.01)
	}
	if s.Pass(.1) || !s.Pass(.3) {
		t.Errorf("the floor: %g", s.Cut())
	}
	for range 5 * shareMost / 4 {
		s.Pass(.01)
	}
	if n := s.n.Load(); n > shareMost+shareEvery {
		t.Errorf("%d names are remembered", n)
	}
}
