package casework_test

import (
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

// TestQueueOf100000 times the queue when IMPOUND_BENCH is set.
func TestQueueOf100000(t *testing.T) {
	if os.Getenv("IMPOUND_BENCH") == "" {
		t.Skip("set IMPOUND_BENCH")
	}
	ctx := t.Context()
	d := newDesk(t)
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice"}))
	took := func(what string, do func()) {
		at := time.Now()
		do()
		t.Logf("%-40s %v", what, time.Since(at).Round(time.Millisecond/10))
	}
	var cs []impound.Candidate
	for i := range benchRows() {
		cs = append(cs, cand(fmt.Sprintf("pay%05d-verify.com", i), fmt.Sprint("log", i%7), float64(i%997)/1000, []string{"PayPal", "Outlook", "Google", "Yahoo"}[i%4], "brand-combo"))
	}
	took(fmt.Sprint("save ", len(cs)), func() { d.saw(cs...) })
	took("save 1,000 again", func() { d.saw(cs[:1000]...) })
	d = openDesk(t, d.dir)
	var p casework.QueuePage
	page := func(f casework.QueueFilter) func() {
		return func() {
			var err error
			p, err = d.Queue(ctx, f)
			d.ok(err)
		}
	}
	took("first page, cold", page(casework.QueueFilter{Status: "open", Limit: 100}))
	took("next page", page(casework.QueueFilter{Status: "open", Limit: 100, After: p.Next}))
	took("of a brand", page(casework.QueueFilter{Status: "open", Brand: "Google", Limit: 100}))
	took("of a brand and a source", page(casework.QueueFilter{Status: "open", Brand: "Google", Source: "log3", Limit: 100}))
	took("dismissed: none", page(casework.QueueFilter{Status: "dismissed", Limit: 100}))
	took("one name", page(casework.QueueFilter{Name: impound.MustName("www.pay00007-verify.com"), Limit: 100}))
	took("counts", func() { _, err := d.QueueCounts(ctx); d.ok(err) })
	page(casework.QueueFilter{Status: "open", Brand: "Google", Limit: 100})()
	var picks []casework.Pick
	for _, r := range p.Rows {
		picks = append(picks, casework.Pick{Name: r.Name, Rev: r.Rev})
	}
	took("dismiss 1", func() {
		_, err := d.Triage(ctx, "ann", picks[:1], casework.Ruling{Do: casework.DoDismiss, Reason: casework.ReasonChance})
		d.ok(err)
	})
	took("dismiss 99, which teaches", func() {
		_, err := d.Triage(ctx, "ann", picks[1:], casework.Ruling{Do: casework.DoDismiss, Reason: casework.ReasonChance})
		d.ok(err)
	})
	took("the rest of the ranking", func() { _, err := d.Rerank(ctx, time.Hour); d.ok(err) })
}

func benchRows() int {
	if n, err := strconv.Atoi(os.Getenv("IMPOUND_BENCH")); err == nil && n > 1000 {
		return n
	}
	return 100_000
}
