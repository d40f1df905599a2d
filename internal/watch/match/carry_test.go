package match

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// What is carried over says the same as looking again.
func TestHitCarried(t *testing.T) {
	m, err := New(Builtin(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	r := m.Scorer()
	n := 0
	for _, name := range []string{
		"paypal.com", "paypal-login.example", "paypa1-secure.example", "paypal.com.verify.example", "ordinary-garden.example", "rnicrosoft-login.example",
		"xn--pypal-4ve.example", "xn--80ak6aa92e.com", "paaypal.example", "appleid.apple.support-login.example", "PayPal-Login.example", "micros0ft.example", "paypl.top", "",
	} {
		want, seen := m.Match(name)
		for _, least := range []float64{0, 0.001, 0.1, 0.5} {
			p, brand := r.AtLeast([]byte(name), least)
			if p == 0 {
				continue
			}
			got := r.Hit()
			if n++; !seen || got.Score != p || got.Brand != brand {
				t.Errorf("%s: %v of %s, found it is %v of %s", name, got.Score, got.Brand, p, brand)
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("%s, %g: %s", name, least, d)
			}
		}
	}
	if n < 20 {
		t.Errorf("%d hits", n)
	}
}
