package watch_test

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch"
	"github.com/impound/impound/internal/watch/match"
)

func TestBudgetKeepsTheTopShare(t *testing.T) {
	m, err := match.New(match.Builtin(), match.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for i := range 2000 {
		switch {
		case i%7 == 0:
			lines = append(lines, fmt.Sprintf("paypal-login%d.example", i))
		case i%11 == 0:
			lines = append(lines, fmt.Sprintf("micr0soft-%d.example", i))
		case i%50 == 3:
			lines = append(lines, "paypal-same.example") // equal scores
		default:
			lines = append(lines, fmt.Sprintf("ordinary%d.example", i))
		}
	}
	lines = append(lines, "not a name..", "", "# x")
	type scored struct {
		at    int
		name  string
		score float64
	}
	var all []scored
	for i, l := range lines {
		if n, err := impound.ParseName(strings.Fields(l + " x")[0]); err == nil {
			if c, ok := watch.Judge(n, watch.Options{Matcher: m}); ok {
				all = append(all, scored{i, n.String(), c.Score})
			}
		}
	}
	slices.SortStableFunc(all, func(a, b scored) int { return cmp.Compare(b.score, a.score) })
	for _, share := range []float64{0.0001, 0.001, 0.01, 0.05, 0.1, 0.2, 0.5, 1} {
		var got []string
		st, lowest, err := watch.Budget(t.Context(), strings.NewReader(strings.Join(lines, "\n")), share, watch.Options{Matcher: m}, func(c impound.Candidate) error {
			got = append(got, c.Name.String())
			if len(c.Reasons) == 0 {
				t.Error("no reasons")
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		n := int(share*float64(st.Names) + 0.999999)
		want := slices.Clone(all[:min(n, len(all))])
		last := want[len(want)-1].score
		slices.SortFunc(want, func(a, b scored) int { return cmp.Compare(a.at, b.at) })
		var names []string
		for _, w := range want {
			names = append(names, w.name)
		}
		if !slices.Equal(got, names) || lowest != last {
			t.Errorf("share %g: %d of %d names, lowest %g want %g", share, len(got), len(names), lowest, last)
		}
	}
	for _, share := range []float64{0, -1, 1.1} {
		if _, _, err := watch.Budget(t.Context(), strings.NewReader("a.example"), share, watch.Options{Matcher: m}, nil); err == nil {
			t.Errorf("%g passed as a share", share)
		}
	}
}
