package boost

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"
)

// learnable gives examples of "either the first or the second is high, not
// both", which no weighted sum can say.
func learnable(n int, seed uint64) (rows []Row) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range n {
		x := []float32{rnd.Float32(), rnd.Float32(), rnd.Float32()}
		r := Row{X: x, W: 1}
		if (x[0] > .5) != (x[1] > .5) {
			r.Y = 1
		}
		rows = append(rows, r)
	}
	return rows
}

func TestTrainFindsPairs(t *testing.T) {
	m := Train(learnable(3000, 1), Options{Trees: 40})
	right := 0
	test := learnable(1000, 2)
	for _, r := range test {
		if (m.Logit(r.X) > 0) == (r.Y > 0) {
			right++
		}
	}
	if right < 950 {
		t.Errorf("%d of %d right", right, len(test))
	}
	again := Train(learnable(3000, 1), Options{Trees: 40})
	if !bytes.Equal(m.Encode(), again.Encode()) {
		t.Error("the same rows gave another model")
	}
	back, err := Decode(m.Encode(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range test {
		if back.Logit(r.X) != m.Logit(r.X) {
			t.Fatal("decoded, it says something else")
		}
	}
}

func TestRisingNeverFalls(t *testing.T) {
	rows := learnable(2000, 3)
	m := Train(rows, Options{Trees: 30, Rising: []int{0}, Features: 1})
	for _, r := range rows[:200] {
		last := float32(-1e9)
		for i := range 50 {
			l := m.Logit([]float32{float32(i) / 50, r.X[1], r.X[2]})
			if l < last {
				t.Fatalf("falls from %v to %v at %d", last, l, i)
			}
			last = l
		}
	}
}

func TestMean(t *testing.T) {
	rows := learnable(500, 4)
	a, b := Train(rows, Options{Trees: 8}), Train(rows, Options{Trees: 8, Seed: 1})
	m := Mean(a, b)
	back, err := Decode(m.Encode(), 3)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows[:50] {
		want := (a.Logit(r.X) + b.Logit(r.X)) / 2
		if d := back.Logit(r.X) - want; d > 1e-4 || d < -1e-4 {
			t.Fatalf("%v, want %v", back.Logit(r.X), want)
		}
	}
}

func FuzzDecode(f *testing.F) {
	good := Train(learnable(300, 1), Options{Trees: 3}).Encode()
	f.Add(good)
	f.Add(good[:len(good)-1])
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := Decode(b, 3); err == nil {
			m.Logit([]float32{1, 2, 3})
		}
	})
}

// Each way of asking gives what walking down the trees does, to the bit; what is too
// big for it is walked down.
func TestLaidOutIsPlain(t *testing.T) {
	rnd := rand.New(rand.NewPCG(3, 3))
	for _, o := range []Options{{Trees: 1}, {Trees: 7, Leaves: 3}, {Trees: 30, Leaves: 24}, {Trees: 64, Leaves: 2}, {Trees: 130, Leaves: 20}, {Trees: 5, Leaves: quickLeaves}, {Trees: 3, Leaves: quickLeaves + 1}, {Trees: quickTrees + 1, Leaves: 2, Features: 1}} {
		m := Train(learnable(900, uint64(o.Trees)), o)
		q := m.layQuick()
		if quick := o.Trees <= quickTrees && o.Leaves <= quickLeaves; quick != (q.trees > 0) {
			t.Fatalf("%d trees of %d leaves: laid out %v", o.Trees, o.Leaves, q.trees > 0)
		}
		w := m.layWide()
		if wide := o.Leaves <= wideLeaves; wide != (w != nil) {
			t.Fatalf("%d trees of %d leaves: laid out %v", o.Trees, o.Leaves, w != nil)
		}
		for range 500 {
			x := []float32{rnd.Float32()*2 - .5, rnd.Float32()*2 - .5, rnd.Float32()}
			switch rnd.IntN(5) {
			case 0: // on the edge
				x[rnd.IntN(2)] = m.nodes[rnd.IntN(len(m.nodes))].at
			case 1:
				x[rnd.IntN(3)] = float32(math.Inf(rnd.IntN(2)*2 - 1))
			}
			want := m.plain(x)
			if got := m.Logit(x); got != want {
				t.Fatalf("%d trees: got %v, want %v", o.Trees, got, want)
			}
			if q.trees > 0 {
				if got := q.logit(m.base, x); got != want {
					t.Fatalf("%d trees, struck out: got %v, want %v", o.Trees, got, want)
				}
			}
			if w != nil && fastWide {
				if got := w.logit(m.base, x); got != want {
					t.Fatalf("%d trees, all asked: got %v, want %v", o.Trees, got, want)
				}
			}
		}
	}
}

// The same for as many features as there may be, each of a range of its own, one of
// them with no question about it.
func TestWideIsPlain(t *testing.T) {
	if !fastWide {
		t.Skip("not on this processor")
	}
	rnd := rand.New(rand.NewPCG(5, 5))
	for _, n := range []int{1, 15, 16, 17, 90, wideFeatures, wideFeatures + 1} {
		of := func() (x []float32) {
			for f := range n {
				x = append(x, float32(f)*float32(rnd.NormFloat64()))
				if f%7 == 3 {
					x[f] = float32(rnd.IntN(3))
				}
			}
			return x
		}
		var rows []Row
		for range 600 {
			x, y := of(), float32(0)
			if x[n-1]+x[n/2]+x[n/3] > 1 {
				y = 1
			}
			rows = append(rows, Row{X: x, Y: y, W: 1})
		}
		a := Train(rows, Options{Trees: 50, Leaves: 9, Features: .3})
		m := Mean(a, Train(rows, Options{Trees: 40, Leaves: 24, Features: .1, Seed: 9}))
		w := m.layWide()
		if (n <= wideFeatures) != (w != nil) {
			t.Fatalf("%d features: laid out %v", n, w != nil)
		}
		if w == nil {
			continue
		}
		for range 300 {
			x := of()
			if got, want := w.logit(m.base, x), m.plain(x); got != want {
				t.Fatalf("%d features: got %v, want %v", n, got, want)
			}
		}
	}
}
