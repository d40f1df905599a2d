package evidence_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
)

// Pages of what fits a filter, hidden lines left out, are what going through the
// whole log by hand gives, wherever a page begins and the parts of the index end.
func TestNewestByHand(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	l := open(t, dir)
	r := rand.New(rand.NewPCG(1, 2))
	whats := []string{"case.note", "case.note", "case.note", "case.names", "case.rare", "casex.note", "order.file"}
	var all []impound.Entry
	add := func(n int) {
		es := make([]impound.Entry, n)
		for i := range es {
			es[i] = impound.Entry{ID: fmt.Sprint("e-", len(all)+i), Type: impound.EntryDecision, By: "ada", What: whats[r.IntN(len(whats))], Case: []string{"A", "A", "A", "B", ""}[r.IntN(5)]}
			if es[i].What == "case.rare" && r.IntN(200) > 0 {
				es[i].What = "case.note"
			}
			if r.IntN(10) == 0 {
				es[i].Type = impound.EntrySystem
			}
			if r.IntN(700) == 0 {
				es[i].Order = "O-1"
			}
		}
		if _, err := l.AppendAll(ctx, es); err != nil {
			t.Fatal(err)
		}
		all = append(all, es...)
	}
	fits := func(f evidence.Filter, i int) bool {
		e := all[i]
		return int64(i) >= f.From && (f.Case == "" || e.Case == f.Case) && (f.Order == "" || e.Order == f.Order) && (f.Type == "" || e.Type == f.Type) &&
			(f.What == "" || e.What == f.What || strings.HasSuffix(f.What, ".") && strings.HasPrefix(e.What, f.What))
	}
	filters := []evidence.Filter{
		{Case: "A"}, {Case: "B"}, {Case: "none"}, {Order: "O-1"}, {What: "case."}, {What: "none."}, {What: "case.rare"}, {What: "case.note"}, {Type: impound.EntrySystem},
		{Case: "A", What: "case."}, {Case: "B", Order: "O-1"}, {Case: "A", Type: impound.EntryDecision, What: "order.file"}, {},
	}
	for _, n := range []int{900, 3500, 1024, 700} {
		add(n)
		for _, f := range filters {
			for range 6 {
				if f.From = 0; r.IntN(2) == 0 {
					f.From = int64(r.IntN(len(all)))
				}
				f.Limit = []int{0, 1, 7, 1500}[r.IntN(4)]
				offset := []int{0, 3, 1000, 5000}[r.IntN(4)]
				var but []int64
				for i := range all {
					if r.IntN([]int{2, 100, 3000}[r.IntN(3)]) == 0 {
						but = append(but, int64(i))
					}
				}
				sees := func(e impound.Entry) bool { return e.Case != "" }
				for _, hiding := range []bool{false, true} {
					var want []string
					total, skip := 0, offset
					for i := len(all) - 1; i >= 0; i-- {
						if !fits(f, i) || hiding && slices.Contains(but, int64(i)) {
							continue
						}
						total++
						if skip > 0 {
							skip--
							continue
						}
						if f.Limit > 0 && len(want) >= f.Limit {
							continue
						}
						if hiding && !sees(all[i]) { // met on the way to the page: neither shown nor counted
							total--
							continue
						}
						want = append(want, fmt.Sprint(i, " ", all[i].ID))
					}
					var es []evidence.Indexed
					var got int
					var err error
					if hiding {
						es, got, err = l.NewestBut(ctx, f, offset, but, sees)
					} else {
						es, got, err = l.Newest(ctx, f, offset)
					}
					if err != nil {
						t.Fatal(err)
					}
					var have []string
					for _, e := range es {
						have = append(have, fmt.Sprint(e.Index, " ", e.Entry.ID))
					}
					if diff := cmp.Diff(want, have); diff != "" || total != got {
						t.Fatalf("%+v from %d, hiding %v: %d, want %d\n%s", f, offset, hiding, got, total, diff)
					}
				}
			}
		}
	}
}
