package match

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/impound/impound/internal/watch/boost"
)

func TestSecondLookIsBuiltIn(t *testing.T) {
	if with, without := secondLooks(); with == nil || without == nil || with.trees.Features() != nSecond {
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
	check := func(a, b string, want int) {
		t.Helper()
		var r runsOf
		x, y := codesOf(a), codesOf(b)
		r.fill(x)
		if n := r.longest(y); n != want {
			t.Errorf("%s, %s: %d, want %d", a, b, n, want)
		}
		if n := commonRun(x, y); n != want {
			t.Errorf("%s, %s: the plain way gives %d, want %d", a, b, n, want)
		}
	}
	for _, x := range []struct {
		a, b string
		n    int
	}{{"paypalnejp", "paypaynejp", 5}, {"abc", "xyz", 0}, {"", "abc", 0}, {"abc", "", 0}, {"zzekinetzz", "ekinetcom", 6}, {"a", "a", 1}, {"aaaa", "aaaaaa", 4}} {
		check(x.a, x.b, x.n)
	}
	rnd := rand.New(rand.NewPCG(2, 2))
	word := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "abc"[rnd.IntN(3)]
		}
		return string(b)
	}
	for range 2000 {
		a, b := word(rnd.IntN(70)), word(rnd.IntN(70))
		check(a, b, commonRun(codesOf(a), codesOf(b)))
	}
}

func codesOf(s string) (out []uint8) {
	for i := range len(s) {
		out = append(out, foldCode[s[i]])
	}
	return out
}

// What is measured for the second look the fast way is what the plain one gives, to
// the bit: the first look's numbers, the runs across a token's edge, the past.
func TestSecondLookIsPlain(t *testing.T) {
	brands := []Brand{{ID: "paypal", Tokens: []string{"paypal", "pay-pal"}, Domains: []string{"paypal.com", "paypal.co.jp"}}, {ID: "rakuten", Tokens: []string{"rakuten", "raku"}}, {ID: "icloud", Tokens: []string{"icloud"}, Domains: []string{"icloud.com"}}}
	for _, noTLD := range []bool{false, true} {
		m, err := New(brands, Options{NoTLD: noTLD})
		if err != nil {
			t.Fatal(err)
		}
		slow := *m
		slow.weights = nil // all by index.features
		r := m.Scorer()
		seen := 0
		rnd := rand.New(rand.NewPCG(4, 4))
		parts := []string{"paypal", "paypa1", "pyapal", "payypal", "pay-pal", "pay.pal", "rakuten", "rnkuten", "raku", "icloud", "lcloud", "login", "verify", "my", "id", "co", "jp", "cojp", "com", "-", "-", ".", ".", "x", "q7", "42", "garden", "aei", "strk"}
		for range 3000 {
			n := ""
			for range 1 + rnd.IntN(7) {
				n += parts[rnd.IntN(len(parts))]
			}
			n += []string{".com", ".top", ".co.jp", ".jp", ".or.id"}[rnd.IntN(5)]
			s := &r.s
			s.idn = false
			if !s.fill([]byte(n)) {
				continue
			}
			fs := m.ix.find(s, r.fs[:0])
			for _, f := range fs {
				var a, b firstLook
				_, oka := m.firstOf(s, &f, &a)
				_, okb := slow.firstOf(s, &f, &b)
				if oka != okb || a != b {
					t.Fatalf("%s: %v %+v, the plain way %v %+v", n, oka, a, okb, b)
				}
				if !oka {
					continue
				}
				seen++
				var x, y [nSecond]float32
				m.second(s, f, &a, fs, &x)
				s.near.ready = false // every place may begin a lure word
				slow.second(s, f, &b, fs, &y)
				if x != y {
					t.Fatalf("%s: %v, the plain way %v", n, x, y)
				}
				var want [nPast]float32
				m.again.past.put(want[:], m.ix.tokens[f.tok].hash, m.looker.mates[m.ix.tokens[f.tok].brands[0]], a.tld)
				if [nPast]float32(x[nSecond-nPast:]) != want {
					t.Fatalf("%s: the past gives %v, want %v", n, x[nSecond-nPast:], want)
				}
			}
		}
		if seen < 100 {
			t.Errorf("only %d occurrences were measured", seen)
		}
	}
}

// The runs across an edge are those of the plain way.
func TestLongestRuns(t *testing.T) {
	word := []byte("securepaypalonline-24")
	for edge := range word {
		for a := max(0, edge-runMax+1); a < edge; a++ {
			want := 0
			for n := runMin[runAny]; n <= runMax; n++ {
				if a+n > edge && a+n <= len(word) {
					want = max(want, bgFloor-builtinBackground.bitsOf(runHash(runAny, word[a:a+n])))
				}
			}
			if got := builtinBackground.longest(word[a:min(a+runMax, len(word))], edge-a); got != want {
				t.Errorf("from %d across %d: %d, want %d", a, edge, got, want)
			}
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
