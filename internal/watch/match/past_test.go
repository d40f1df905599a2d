package match

import (
	"bytes"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/impound/impound/internal/watch/boost"
)

// Each number of the second look is put, none is left over.
func TestSecondPutsAll(t *testing.T) {
	m, err := New([]Brand{{ID: "paypal", Tokens: []string{"paypal"}, Domains: []string{"paypal.com"}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"paypal.top", "my-paypa1-login.xyz", "pay.pal.evil.org", "paypalpaypal.jp"} {
		asked := 0
		m.eachTop([]Example{{Name: n, Brand: "paypal"}}, func(_ int, r row, s *scan, f found, fs []found) {
			asked++
			var v [nSecond]float32
			for i := range v {
				v[i] = float32(math.NaN())
			}
			x := r.x
			x.tok = -1
			first := m.model.first(&x)
			m.second(s, f, &first, fs, &v)
			for i, y := range v {
				if y != y {
					t.Errorf("%s: nothing was put at %d", n, i)
				}
			}
		})
		if asked != 1 {
			t.Errorf("%s: looked at %d times", n, asked)
		}
	}
}

func TestPastThereAndBack(t *testing.T) {
	p := &past{sum: tldPast{3, 1000}}
	p.tok[7] = tokPast{recent: 1.5, all: 40}
	p.tok[nTokens-1] = tokPast{all: 2}
	p.tld[5] = tldPast{2, 100}
	b := append(p.encode(), "rest"...)
	q, rest, err := decodePast(b)
	if err != nil || *q != *p || string(rest) != "rest" {
		t.Fatalf("%v, %d octets left, the same: %v", err, len(rest), err == nil && *q == *p)
	}
	for _, n := range []int{0, 1, 2, 20, len(b) - 5} {
		if _, _, err := decodePast(b[:n]); err == nil {
			t.Errorf("%d octets were taken", n)
		}
	}
	bad := bytes.Clone(b)
	bad[3] = 0xff // token 65,287
	if _, _, err := decodePast(bad); err == nil {
		t.Error("a token beyond the last was taken")
	}
	bad = bytes.Clone(b)
	copy(bad[4:], "\xff\xff\xff\xff")
	if _, _, err := decodePast(bad); err == nil {
		t.Error("a number that is none was taken")
	}
}

func FuzzDecodePast(f *testing.F) {
	f.Add((&past{}).encode())
	f.Add([]byte{1, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		if p, _, err := decodePast(b); err == nil {
			var out [nPast]float32
			p.put(out[:], 3, []uint16{3, 4}, 9)
		}
	})
}

// What is seen counts later, not before; what is old counts less.
func TestPastTrainer(t *testing.T) {
	tr := &pastTrainer{rnd: rand.New(rand.NewPCG(1, 1)), memo: map[int]*past{}}
	tr.seen = []pastSeen{{hash: 1, tld: 4, age: 0.2, w: 1}, {hash: 1, tld: -1, age: 2, w: 1}}
	tr.base.tld[4].plain, tr.base.sum.plain = 10, 100
	rows := []secondRow{{Row: boost.Row{X: make([]float32, nSecond), Y: 1, W: 1}, hash: 1, mates: []uint16{1}, tld: 4, age: 0.2}}
	tr.fill(rows)
	if end, before := tr.at(0, 3), tr.at(1, 3); end.tok[1].all <= before.tok[1].all || before.tok[1].all <= 0 || end.tok[1].recent < 0.5 || before.tld[4].bad != 0 || end.tld[4].bad == 0 {
		t.Errorf("in the end %+v, a year before %+v", end.tok[1], before.tok[1])
	}
	x := rows[0].X[nSecond-nPast:]
	if want := ln1(tr.at(0, 3).tok[1].all); x[1] <= 0 || x[1] >= want {
		t.Errorf("the name itself was counted: %v of %v", x[1], want)
	}
}
