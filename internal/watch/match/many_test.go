package match

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// many gives brands, some of which are words, and made-up ones up to n.
func many(t *testing.T, n int) *Matcher {
	t.Helper()
	bs := []Brand{{ID: "instagram", Tokens: []string{"instagram"}}, {ID: "facebook", Tokens: []string{"facebook"}}}
	for _, w := range []string{"paypal", "amazon", "microsoft", "netflix", "service", "online", "studio", "office", "garden"} {
		bs = append(bs, Brand{ID: w, Tokens: []string{w}, Domains: []string{w + ".example"}})
	}
	for i := 0; len(bs) < n; i++ {
		w := make([]byte, 0, 9)
		for j, k := 0, i; j < 9; j++ {
			w = append(w, "bdgklmprtvz"[(k+5*j)%11])
			if k /= 3; j%2 == 1 {
				w[j] = "aeiou"[(i+i/5+j)%5]
			}
		}
		bs = append(bs, Brand{ID: fmt.Sprintf("%s-%d", w, i), Tokens: []string{string(w)}})
	}
	m, err := New(bs[:n], Options{})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// The more brands, the more names resemble one by chance: scores fall as their
// number grows, in the same order, and what anybody would look at stays a hit.
func TestManyBrands(t *testing.T) {
	few, more, most := many(t, secondBrands), many(t, 1500), many(t, 10_000)
	if few.chance != 0 || few.secondFrom != secondFrom || math.Abs(more.chance-math.Log(10)) > 1e-9 {
		t.Errorf("%d brands cost %v", secondBrands, few.chance)
	}
	var names []string
	for _, b := range []string{"paypal", "amazon", "microsoft", "netflix"} {
		for _, f := range []string{"%s-account-check.top", "my%sgarden.com", "%sfamily.net", "secure.%s.login-id.shop", "%s24verify.xyz", "go%shome.sk", "%s-tulip.se", "in%sable.com"} {
			names = append(names, fmt.Sprintf(f, b))
		}
	}
	for _, m := range []*Matcher{more, most} {
		type scored struct {
			name    string
			was, is float64
		}
		var at []scored
		fell := 0
		for _, n := range names {
			was, b := few.Score([]byte(n))
			is, c := m.Score([]byte(n))
			if b != c {
				t.Errorf("%s is %s, and %s among %d brands", n, b, c, len(m.brands))
			}
			if is > was {
				t.Errorf("%s: %v among %d brands, %v among %d", n, is, len(m.brands), was, len(few.brands))
			}
			if was >= 0.1 && is < 0.1 {
				fell++
			}
			if is > squash(obviousFrom)+.002 { // above what is lifted
				at = append(at, scored{n, was, is})
			}
			if q, _ := m.AtLeast([]byte(n), 0.1); q != is && is >= 0.1 || q != 0 && is < 0.1 {
				t.Errorf("%s: %v, and %v of what is 0.1 at least", n, is, q)
			}
			if h, ok := m.Match(n); ok && is > squash(obviousFrom)+.002 {
				sum, chance := 0.0, 0.0
				for _, r := range h.Reasons {
					sum += r.Weight
					if r.Code == "chance" {
						chance = r.Weight
					}
				}
				if math.Abs(sum-math.Log(is/(1-is))) > .02 || chance >= 0 {
					t.Errorf("%s: reasons make %v, %v of it chance, and the score is %v", n, sum, chance, math.Log(is/(1-is)))
				}
			}
		}
		if fell == 0 || len(at) < 4 {
			t.Errorf("%d brands: %d fell, %d stayed", len(m.brands), fell, len(at))
		}
		slices.SortFunc(at, func(a, b scored) int { return cmpFloat(b.was, a.was) })
		if !slices.IsSortedFunc(at, func(a, b scored) int { return cmpFloat(b.is, a.is) }) {
			t.Errorf("%d brands: another order: %v", len(m.brands), at)
		}
		var missed []string
		for _, n := range []string{"rnicrosoft.com", "paypal-login.top", "microsoft.net", "amazon-security.xyz", "faceboook.com", "instagrarn.com", "micros0ft-support.net"} {
			if p, _ := m.Score([]byte(n)); p < 0.1 {
				missed = append(missed, n)
			}
		}
		for _, n := range []string{"service-online24.com", "studio24.net", "office-online.org", "gardem.com", "online-service.sk"} { // words
			if p, _ := m.AtLeast([]byte(n), 0.1); p != 0 {
				missed = append(missed, n+" should not be")
			}
		}
		if d := cmp.Diff([]string(nil), missed); d != "" {
			t.Errorf("%d brands, not hits: %s", len(m.brands), d)
		}
	}
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
