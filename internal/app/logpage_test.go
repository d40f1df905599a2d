package app

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/evidence"
)

// A page of the log, for somebody from whom a case is sealed, is that of a log in
// which the case never was: the same lines, numbers and counts, by every filter. A
// line has one number, whichever filter shows it.
func TestThePageOfALogHasNoGaps(t *testing.T) {
	l, err := evidence.Open(t.TempDir(), evidence.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	s := &System{Evidence: l, now: func() time.Time { return now }, opt: Options{State: t.TempDir()}}
	staffed(t, s)
	ctx := t.Context()
	// The desk's people stand in a log of their own: the seal, too, goes there.
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(s.Casework.AddAccount(ctx, "ada", "ben", "a long enough password"))
	must(s.Casework.OpenCase(ctx, "ada", impound.Case{ID: "OPEN", Title: "Open"}))
	must(s.Casework.OpenCase(ctx, "ada", impound.Case{ID: "QUIET", Title: "Quiet"}))
	_, err = s.Casework.AddNames(ctx, "ada", "QUIET", []casework.AddName{{Name: impound.MustName("quiet-verify.net")}, {Name: impound.MustName("shared-verify.net")}})
	must(err)
	_, err = s.Casework.AddNames(ctx, "ada", "OPEN", []casework.AddName{{Name: impound.MustName("shared-verify.net")}})
	must(err)
	z := casework.NewSeal("QUIET", []string{"ada"}, "court", now)
	z.Signature = impound.Sign(testKey("ada"), casework.SignSeal, z.Hash(), "ada", now)
	must(s.Casework.SealCase(ctx, z))

	ben := impound.WithPrincipal(ctx, impound.Principal{ID: "ben"})
	x, err := s.Casework.Sight(ben)
	must(err)
	add := func(i int, c, n, what string) {
		e := impound.Entry{ID: fmt.Sprint("e", i), Type: impound.EntrySystem, At: now, By: "system", What: what, Case: c}
		if n != "" {
			e.Name = impound.MustName(n)
		}
		if what == "capture.dns" {
			e.Type = impound.EntryArtefact
			_, err := l.Capture(ctx, impound.Artefact{Kind: "dns", Source: "x", Tool: "x", By: "ada", Case: c, Name: e.Name, At: now}, fmt.Appendf(nil, "%d", i))
			must(err)
			return
		}
		_, err := l.Append(ctx, e)
		must(err)
	}
	cases := []string{"", "OPEN", "QUIET"}
	ns := []string{"", "quiet-verify.net", "www.quiet-verify.net", "shared-verify.net", "other.net"}
	whats := []string{"case.x", "capture.dns", "seize.y"}
	i := 0
	grow := func(n int, seed func(k int) int) {
		for range n {
			i++
			add(i, cases[seed(len(cases))], ns[seed(len(ns))], whats[seed(len(whats))])
		}
	}
	k := 0
	grow(120, func(n int) int { k = k*1103515245 + 12345; return (k >> 16 & 0x7fff) % n })

	// What the slow way says: everything is read, and what can't be seen left out.
	slow := func(f evidence.Filter, offset int) ([]int64, []string, int) {
		limit := f.Limit
		f.Limit = 0
		es, err := s.Log(ben, f)
		must(err)
		var at []int64
		var ids []string
		for j := len(es) - 1 - offset; j >= 0 && len(at) < limit; j-- {
			at, ids = append(at, es[j].Index), append(ids, es[j].Entry.ID)
		}
		return at, ids, len(es)
	}
	rapid.Check(t, func(r *rapid.T) {
		if rapid.IntRange(0, 9).Draw(r, "grow") == 0 {
			grow(1, func(n int) int { return rapid.IntRange(0, n-1).Draw(r, "kind") })
		}
		f := evidence.Filter{Limit: rapid.IntRange(1, 60).Draw(r, "limit")}
		switch rapid.IntRange(0, 4).Draw(r, "filter") {
		case 1:
			f.Case = rapid.SampledFrom([]string{"OPEN", "QUIET", "GHOST"}).Draw(r, "case")
		case 2:
			f.Name = impound.MustName(rapid.SampledFrom(ns[1:]).Draw(r, "name"))
		case 3:
			f.What = rapid.SampledFrom([]string{"case.x", "capture.", "seize.y"}).Draw(r, "what")
		case 4:
			f.Type = impound.EntryArtefact
		}
		offset := rapid.IntRange(0, 120).Draw(r, "offset")
		number := map[string]int64{} // of each line, where what is hidden never was
		must(l.Entries(ctx, 0, func(_ int64, e impound.Entry) error {
			if x.Entry(e) {
				number[e.ID] = int64(len(number))
			}
			return nil
		}))
		at, ids, n := slow(f, offset)
		es, total, err := s.LogPage(ben, f, offset)
		if err != nil {
			r.Fatal(err)
		}
		var gotAt []int64
		var gotIDs []string
		for _, e := range es {
			if !x.Entry(e.Entry) {
				r.Errorf("it holds %+v", e.Entry)
			}
			if e.Index != number[e.Entry.ID] {
				r.Errorf("line %d has number %d by %+v", number[e.Entry.ID], e.Index, f)
			}
			gotAt, gotIDs = append(gotAt, e.Index), append(gotIDs, e.Entry.ID)
		}
		if d := cmp.Diff(ids, gotIDs); d != "" {
			r.Errorf("lines of %+v: %s", f, d)
		}
		if d := cmp.Diff(at, gotAt); d != "" || total != n {
			r.Errorf("numbers of %+v: %d in all, want %d: %s", f, total, n, d)
		}
	})
}
