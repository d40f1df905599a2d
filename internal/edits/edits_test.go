package edits_test

import (
	"testing"

	"pgregory.net/rapid"

	"github.com/impound/impound/internal/edits"
)

func TestDistance(t *testing.T) {
	for _, x := range []struct {
		a, b           string
		replace1, two2 int
	}{
		{"", "", 0, 0}, {"", "abc", 3, 3}, {"abc", "", 3, 3}, {"same", "same", 0, 0},
		{"kitten", "sitting", 3, 5}, {"paypal", "paypa1", 1, 2}, {"from", "form", 2, 2}, {"domains", "domain", 1, 1}, {"abc", "xyz", 3, 6},
	} {
		if one, two := edits.Distance(x.a, x.b, 1), edits.Distance(x.a, x.b, 2); one != x.replace1 || two != x.two2 {
			t.Errorf("%q, %q: %d and %d, want %d and %d", x.a, x.b, one, two, x.replace1, x.two2)
		}
	}
}

// It is what the definition says, and the same in both directions.
func TestDistanceIsAsDefined(t *testing.T) {
	var plain func(a, b string, replace int) int
	plain = func(a, b string, replace int) int {
		switch {
		case a == "" || b == "":
			return len(a) + len(b)
		case a[0] == b[0]:
			return plain(a[1:], b[1:], replace)
		}
		return min(plain(a[1:], b, replace)+1, plain(a, b[1:], replace)+1, plain(a[1:], b[1:], replace)+replace)
	}
	rapid.Check(t, func(t *rapid.T) {
		word := rapid.StringMatching(`[abc]{0,6}`)
		a, b, replace := word.Draw(t, "a"), word.Draw(t, "b"), rapid.IntRange(1, 3).Draw(t, "replace")
		got := edits.Distance(a, b, replace)
		if want := plain(a, b, replace); got != want || edits.Distance(b, a, replace) != got {
			t.Fatalf("%d, want %d", got, want)
		}
	})
}
