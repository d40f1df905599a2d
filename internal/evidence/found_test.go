package evidence_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
)

// What is kept of long searches goes on with the log, whoever writes it: the
// answers are those of a log that was just opened.
func TestFoundGrowsWithTheLog(t *testing.T) {
	dir := t.TempDir()
	l := open(t, dir)
	n := 0
	add := func(to *evidence.Log, k int) {
		t.Helper()
		es := make([]impound.Entry, k)
		for i := range es {
			es[i] = impound.Entry{Type: impound.EntryDecision, By: "ada", What: "case.note", Case: []string{"A", "A", "A", "B"}[n%4]}
			if n%5 == 0 {
				es[i].Type = impound.EntrySystem
			}
			n++
		}
		if _, err := to.AppendAll(ctx, es); err != nil {
			t.Fatal(err)
		}
	}
	filters := []evidence.Filter{{Case: "A"}, {Case: "A", Type: impound.EntryDecision}, {What: "case."}, {Case: "B"}, {Case: "none"}}
	compare := func() {
		t.Helper()
		fresh := open(t, dir)
		defer fresh.Close()
		for _, f := range filters {
			f.Limit = 7
			for _, offset := range []int{0, 3, 4090} {
				want, wn, err := fresh.Newest(ctx, f, offset)
				if err != nil {
					t.Fatal(err)
				}
				got, gn, err := l.Newest(ctx, f, offset)
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(fmt.Sprint(wn, want), fmt.Sprint(gn, got)); diff != "" {
					t.Fatalf("%d entries, %+v from %d: (-fresh +kept)\n%s", n, f, offset, diff)
				}
			}
			f.From, f.Limit = int64(n-50), 0
			want, err := fresh.Select(ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			got, err := l.Select(ctx, f)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(fmt.Sprint(want), fmt.Sprint(got)); diff != "" {
				t.Fatalf("%d entries, %+v: (-fresh +kept)\n%s", n, f, diff)
			}
		}
	}
	add(l, 7000)
	compare()
	compare()
	for _, k := range []int{1, 3, 1024, 5} { // also over the end of a part of the index
		add(l, k)
		compare()
	}
	other := open(t, dir) // another process
	for _, k := range []int{2, 1500} {
		add(other, k)
		compare()
	}
	other.Close()
	// Readers don't meet what is put behind the end of their lists.
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 20 {
				if _, _, err := l.Newest(ctx, evidence.Filter{Case: "A", Limit: 5}, 0); err != nil {
					t.Error(err)
				}
			}
		})
	}
	for range 10 {
		add(l, 10)
	}
	wg.Wait()
	compare()
}
