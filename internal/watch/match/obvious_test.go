package match

import (
	"math/rand/v2"
	"strings"
	"testing"
)

// What an analyst tries first is a hit, and what holds the token by chance isn't
// lifted.
func TestObvious(t *testing.T) {
	m, err := New([]Brand{
		{ID: "microsoft", Tokens: []string{"microsoft", "outlook"}, Domains: []string{"microsoft.com"}},
		{ID: "paypal", Tokens: []string{"paypal"}, Domains: []string{"paypal.com"}},
		{ID: "facebook", Tokens: []string{"facebook", "instagram"}, Domains: []string{"facebook.com"}},
		{ID: "chase", Tokens: []string{"chase"}, Domains: []string{"chase.com"}},
		{ID: "apple", Tokens: []string{"apple"}, Domains: []string{"apple.com"}},
	}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []string{"rnicrosoft.com", "mircosoft.com", "microsoft.net", "micros0ft-support.net", "microsofft.com", "instagrarn.com", "microsof.com", "faceboook-support.net", "paypa1.co.uk", "xn--80ak6aa92e.com", "xn--pple-login-yqi.com", "microsoft-l0gin.com", "faceb00k-s1gnin.com"} {
		p, brand := m.Score([]byte(n))
		if p < 0.1 {
			t.Errorf("%s: %v", n, p)
		}
		if q, b := m.AtLeast([]byte(n), 0.1); p != q || b != brand {
			t.Errorf("%s: %v %s, and %v %s of what is 0.1 at least", n, p, brand, q, b)
		}
	}
	for _, n := range []string{"microsoft.com", "login.microsoft.com", "paypal.com"} {
		if p, _ := m.Score([]byte(n)); p != 0 {
			t.Errorf("%s is its own, and %v", n, p)
		}
	}
	for n, want := range map[string]bool{
		"rnicrosoft.com": true, "microsofft.net": true, "my-microsoft-login2.com": true, "microsoftgarden.com": false, "microsoft.garden.com": false,
		"paypal.com": false, "chase.net": false, "apple.net": false, "xn--80ak6aa92e.com": true, "microsoft-g4rden.com": false, "outlooks.com": true, "outlookk.com": true, "outloooks.com": false,
	} {
		var s scan
		if !s.fill([]byte(n)) {
			t.Fatal(n)
		}
		v, in := m.Scorer().look([]byte(n), -100)
		got := v.ok && m.obvious(in, &v.found)
		if got != want {
			t.Errorf("%s: obvious is %v", n, got)
		}
	}
	if l := m.secondFrom + .5; m.atLeastObvious(nil, nil, 3) != 3 || obviousFrom < l {
		t.Error("what is high already is not looked at")
	}
	for _, c := range []struct {
		a, b string
		want bool
	}{{"abc", "abc", true}, {"abc", "abbc", true}, {"abc", "ab", true}, {"abc", "axc", true}, {"abc", "acb", false}, {"abcd", "ab", false}, {"", "a", true}, {"aab", "ab", true}} {
		if oneApart([]uint8(c.a), []uint8(c.b)) != c.want || oneApart([]uint8(c.b), []uint8(c.a)) != c.want {
			t.Errorf("%q, %q", c.a, c.b)
		}
	}
}

// What is said of a name has to be true of it: "paypal-x" is not "paypal".
func TestWordsOfExact(t *testing.T) {
	m := builtin(t)
	for name, say := range map[string]string{
		"paypal-x.com": `holds the word "paypal", and is not one of the brand's own domains`,
		"paypal.info":  `is "paypal" under another suffix, and not one of the brand's own domains`,
	} {
		h, ok := m.Match(name)
		if !ok || len(h.Reasons) == 0 || h.Reasons[0].Text != say {
			t.Errorf("%s: %v %+v", name, ok, h.Reasons)
		}
	}
}

// What is asked before it is looked whether a token is the obvious one rules out nothing
// that is.
func TestObviousFirst(t *testing.T) {
	few := builtin(t)
	brands := Builtin()
	for i := range 200 {
		w := "brand" + strings.Repeat(string(rune('a'+i%26)), 1+i/26)
		brands = append(brands, Brand{ID: w, Tokens: []string{w}})
	}
	many, err := New(brands, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if few.chance > 0 || many.chance == 0 {
		t.Fatal("not the one kind and the other")
	}
	rnd := rand.New(rand.NewPCG(8, 8))
	for _, m := range []*Matcher{few, many} {
		yes, ruled := 0, 0
		for range 60000 {
			tok := []byte(m.ix.tokens[rnd.IntN(len(m.ix.tokens))].text)
			if i := rnd.IntN(len(tok)); rnd.IntN(2) == 0 {
				tok[i] = "aeioust01"[rnd.IntN(9)]
			} else if rnd.IntN(3) == 0 {
				tok = append(tok[:i], tok[min(i+1, len(tok)):]...)
			}
			name := string(tok)
			for range rnd.IntN(3) {
				w := lureList[rnd.IntN(len(lureList))]
				if rnd.IntN(3) == 0 {
					w = []string{"garden", "x", "er"}[rnd.IntN(3)]
				}
				if dash := strings.Repeat("-", rnd.IntN(2)); rnd.IntN(2) == 0 {
					name = w + dash + name
				} else {
					name += dash + w
				}
			}
			var s scan
			if !s.fill([]byte(name+".com")) || s.rawN > maxAround {
				continue
			}
			m.survey(&s)
			var room [maxFound]found
			for _, f := range m.ix.find(&s, room[:0]) {
				h, tk := &m.ix.hot[f.tok], &m.ix.tokens[f.tok]
				if h.text() != len(tk.text) || h.codes() != len(tk.codes) || h.edits() != int(tk.edits) {
					t.Fatalf("%q is packed as %+v", tk.text, h)
				}
				may := h.may()>>min(f.dist, 1)&1 != 0 && (!s.plain || s.mayStandAlone(&f, h.codes()))
				if !may {
					ruled++
				}
				if (f.dist == 0 || len(tk.text) >= obviousLong) && m.obvious(&s, &f) {
					if yes++; !may {
						t.Fatalf("%s: %q at %d is obvious, and ruled out", name, tk.text, f.at)
					}
				}
			}
		}
		if yes < 1000 || ruled < 1000 {
			t.Errorf("%d obvious, %d ruled out: the test says little", yes, ruled)
		}
	}
}
