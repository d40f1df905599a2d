package evidence_test

import (
	"context"
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
