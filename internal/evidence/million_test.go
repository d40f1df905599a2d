package evidence_test

import (
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
)

// BenchmarkMillion gives the figures of a log with a million entries (or
// IMPOUND_BENCH_ENTRIES): filling, opening, verifying, and a page of a case.
func BenchmarkMillion(b *testing.B) {
	n := 1_000_000
	if s := os.Getenv("IMPOUND_BENCH_ENTRIES"); s != "" {
		fmt.Sscan(s, &n)
	}
	metrics := map[string]float64{} // b.Loop forgets what was reported before it
	dir := onDisk(b)
	l := open(b, dir)
	start := time.Now()
	const batch = 2000
	for i := 0; i < n; i += batch {
		es := make([]impound.Entry, batch)
		for k := range es {
			j := i + k
			es[k] = impound.Entry{ID: fmt.Sprintf("id-%d", j), Type: impound.EntryDecision, By: "ada", What: "case.note", Case: fmt.Sprintf("C-%d", j%100), Name: impound.MustName(fmt.Sprintf("name%d.example", j%10_000)), Detail: map[string]string{"text": "a line of some length, as they are"}}
		}
		if _, err := l.AppendAll(ctx, es); err != nil {
			b.Fatal(err)
		}
	}
	metrics["appended/s"] = float64(n) / time.Since(start).Seconds()
	took := func(unit string, do func()) {
		start := time.Now()
		do()
		metrics[unit] = float64(time.Since(start).Microseconds()) / 1000
	}
	took("ms/append", func() {
		if _, err := l.Append(ctx, impound.Entry{Type: impound.EntryDecision, By: "ada", What: "case.note", Case: "C-1"}); err != nil {
			b.Fatal(err)
		}
	})
	took("ms/page", func() {
		if es, err := l.Select(ctx, evidence.Filter{Case: "C-7", Limit: 500}); err != nil || len(es) != 500 {
			b.Fatal(len(es), err)
		}
	})
	took("ms/name", func() {
		if es, err := l.Select(ctx, evidence.Filter{Name: impound.MustName("name77.example")}); err != nil || len(es) == 0 {
			b.Fatal(len(es), err)
		}
	})
	took("ms/case", func() {
		if es, err := l.Select(ctx, evidence.Filter{Case: "C-7"}); err != nil || len(es) == 0 {
			b.Fatal(len(es), err)
		}
	})
	l.Close()
	took("ms/open", func() { l = open(b, dir) })
	start = time.Now()
	if r, err := evidence.Verify(dir); err != nil || !r.OK() {
		b.Fatal(r.Problems, err)
	}
	metrics["verified/s"] = float64(n) / time.Since(start).Seconds()
	for b.Loop() {
	}
	for unit, v := range metrics {
		b.ReportMetric(v, unit)
	}
}
