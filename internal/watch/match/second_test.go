package match

import (
	"math"
	"testing"

	"github.com/impound/impound/internal/watch/boost"
)

func TestSecondLookIsBuiltIn(t *testing.T) {
	if secondWith == nil || secondWithout == nil || secondWith.trees.Features() != nSecond {
		t.Fatal("second.bin can't be read: evalwatch -train match makes it")
	}
	for _, b := range [][]byte{nil, {1, 2}, {255, 255, 255, 255, 0}, secondBin[:100]} {
		if _, _, err := readSecond(b); err == nil {
			t.Errorf("%d octets were taken for weights", len(b))
		}
	}
}

// What the second look says lies above where it begins, in its own order, and
// it is only asked about what the first one holds for possible.
func TestSecondLook(t *testing.T) {
	last := math.Inf(-1)
	for l := float32(-30); l < 30; l += .25 {
		if a := above(l, secondFrom); a <= last || a <= secondFrom {
			t.Fatalf("above(%v) is %v, after %v", l, a, last)
		} else {
			last = a
		}
	}
	m, err := New([]Brand{{ID: "promise", Tokens: []string{"promise"}, Domains: []string{"promise.co.jp"}}, {ID: "paypal", Tokens: []string{"paypal"}, Domains: []string{"paypal.com"}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	first := *m
	first.again = nil
	asked := 0
	for _, n := range []string{"paypal-login-verify.top", "paypal.security-update.top", "compromised.com", "promiseland.org", "promise-cojp.top", "my-promise.sk", "xn--pypal-4ve.com", "paypa1.com"} {
		a, _ := first.Score([]byte(n))
		b, _ := m.Score([]byte(n))
		switch {
		case a <= squash(secondFrom) && a != b:
			t.Errorf("%s: %v and %v, though the first look passes it over", n, a, b)
		case a > squash(secondFrom):
			asked++
			if b <= squash(secondFrom) || b >= 1 {
				t.Errorf("%s: %v", n, b)
			}
		}
		// The reasons still add up.
		if h, ok := m.Match(n); ok {
			sum := 0.0
			for _, r := range h.Reasons {
				sum += r.Weight
			}
			if d := squash(sum) - h.Score; math.Abs(d) > .01 {
				t.Errorf("%s: reasons come to %v, the score is %v", n, squash(sum), h.Score)
			}
		}
	}
	if asked < 3 {
		t.Errorf("only %d names got a second look", asked)
	}
	// More of the brand's own domain counts.
	plain, _ := m.Score([]byte("promise-garden.top"))
	own, _ := m.Score([]byte("promise-cojp.top"))
	if own <= plain {
		t.Errorf("promise-cojp.top %v, promise-garden.top %v", own, plain)
	}
}

func TestCommonRun(t *testing.T) {
	for _, x := range []struct {
		a, b string
		n    int
	}{{"paypalnejp", "paypaynejp", 5}, {"abc", "xyz", 0}, {"", "abc", 0}, {"zzekinetzz", "ekinetcom", 6}} {
		if n := commonRun([]byte(x.a), []byte(x.b)); n != x.n {
			t.Errorf("%s, %s: %d, want %d", x.a, x.b, n, x.n)
		}
	}
}

// The further sums are asked of what the first holds for likely, and never bring it
// below what it does not.
func TestSecondLookAsksMore(t *testing.T) {
	fit := func(w float32) *boost.Model {
		var rows []boost.Row
		for i := range 40 {
			r := boost.Row{X: []float32{float32(i % 10)}, W: 1}
			if i%10 > 4 {
				r.Y, r.W = 1, w
			}
			rows = append(rows, r)
		}
		return boost.Train(rows, boost.Options{Trees: 20, Rows: 1, Features: 1, MinHess: .1})
	}
	l := &secondLook{trees: fit(1), more: [moreLooks]*boost.Model{fit(.1), fit(.2)}}
	for x := range 10 {
		v := []float32{float32(x)}
		z, got := l.trees.Logit(v), l.logit(v)
		switch mean := (z + l.more[0].Logit(v) + l.more[1].Logit(v)) / 3; {
		case z <= moreFrom && got != z:
			t.Errorf("%d: %v, though the first says %v", x, got, z)
		case z > moreFrom && (got <= moreFrom || float64(got) != float64(float32(above(mean, moreFrom)))):
			t.Errorf("%d: %v, though all say %v", x, got, mean)
		}
	}
	if l.logit([]float32{9}) <= moreFrom || l.logit([]float32{0}) > moreFrom {
		t.Error("the example says nothing")
	}
}
