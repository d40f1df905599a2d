package evidence_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
)

var ctx = context.Background()

var t0 = time.Date(2026, 3, 27, 9, 30, 0, 0, time.UTC)

func open(t testing.TB, dir string) *evidence.Log {
	t.Helper()
	l, err := evidence.Open(dir, evidence.Options{Now: func() time.Time { return t0 }})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	return l
}

// folder gives a place for a log in memory where there is one: most tests wait
// for the disk and prove nothing of it. Those that do use onDisk.
func folder(t testing.TB) string {
	dir, err := os.MkdirTemp("/dev/shm", "impound-evidence-*")
	if err != nil {
		return onDisk(t)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "evidence")
}

func onDisk(t testing.TB) string { return filepath.Join(t.TempDir(), "evidence") }

func TestAppendAndRead(t *testing.T) {
	dir := folder(t)
	l := open(t, dir)
	name := impound.MustName("outlook-verify.net")
	e := impound.Entry{ID: "one", Type: impound.EntryDecision, By: "ana", What: "case.open", Case: "C-1", Name: name, Detail: map[string]string{"title": "Ж <b>"}}
	for range 2 { // idempotent
		if i, err := l.Append(ctx, e); i != 0 || err != nil {
			t.Fatalf("Append gave %d, %v", i, err)
		}
	}
	a, err := l.Capture(ctx, impound.Artefact{Kind: "dns", Source: "127.0.0.1", Tool: "dig", By: "ana", Case: "C-1", Name: name}, []byte("bytes"))
	if err != nil {
		t.Fatal(err)
	}
	want := e
	want.At = t0
	check := func(l *evidence.Log) {
		t.Helper()
		got, ok, err := l.Entry("one")
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b impound.Name) bool { return a == b })); d != "" || !ok || err != nil {
			t.Errorf("Entry: %v, %v (-want +got):\n%s", ok, err, d)
		}
		if b, err := l.Read(a.Hash); string(b) != "bytes" || err != nil {
			t.Errorf("Read gave %q, %v", b, err)
		}
		if n := l.Size(); n != 2 {
			t.Errorf("Size is %d, want 2", n)
		}
		sel, err := l.Select(ctx, evidence.Filter{Case: "C-1", Type: impound.EntryArtefact})
		if err != nil || len(sel) != 1 || sel[0].Index != 1 || sel[0].Entry.Artefact.Hash != a.Hash {
			t.Errorf("Select gave %+v, %v", sel, err)
		}
	}
	check(l)
	check(open(t, dir)) // a second handle at the same time
	l.Close()
	check(open(t, dir))
}

// A clock that goes back is said in the log, once, in whatever process it shows.
func TestClockBack(t *testing.T) {
	dir := folder(t)
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	o := evidence.Options{Now: func() time.Time { return now }}
	said := func(l *evidence.Log) int {
		t.Helper()
		x, err := l.Select(ctx, evidence.Filter{What: "evidence.clock-back"})
		if err != nil {
			t.Fatal(err)
		}
		return len(x)
	}
	n := 0
	note := func(l *evidence.Log) {
		t.Helper()
		n++
		if _, err := l.Append(ctx, impound.Entry{ID: fmt.Sprint("d", n), Type: impound.EntryDecision, By: "ana", What: "case.note", Case: "C-1"}); err != nil {
			t.Fatal(err)
		}
	}
	l, err := evidence.Open(dir, o)
	if err != nil {
		t.Fatal(err)
	}
	for _, step := range []struct {
		by   time.Duration
		want int
	}{{0, 0}, {time.Hour, 0}, {-2 * time.Minute, 0}, {-time.Hour, 1}, {time.Second, 1}, {time.Hour, 1}, {-50 * time.Hour, 2}} {
		now = now.Add(step.by)
		if note(l); said(l) != step.want {
			t.Errorf("after %s: said %d times, want %d", step.by, said(l), step.want)
		}
	}
	l.Close()
	now = now.Add(-24 * time.Hour) // between two commands
	if l, err = evidence.Open(dir, o); err != nil {
		t.Fatal(err)
	}
	note(l)
	note(l)
	x, err := l.Select(ctx, evidence.Filter{What: "evidence.clock-back"})
	if err != nil || len(x) != 3 || x[2].Entry.Detail["back"] != "24h0m0s" || x[2].Entry.Type != impound.EntrySystem {
		t.Errorf("%+v, %v", x, err)
	}
	l.Close()
	wantClean(t, dir)
}
