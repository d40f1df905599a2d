package faults

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// A sealed segment is damaged on the disk, and telemetry's database is lost, so
// that all of the spool is read again: the damaged segment is set aside and
// reported, and everything else is taken.
func TestDamagedSegment(t *testing.T) {
	if !long {
		t.Skip("takes a full journal and its sealing: make faults; internal/spool tries the same with small ones")
	}
	state := tour(t)
	dir := filepath.Join(state, "spool")
	s := serve(t, state)
	l := &load{tag: "c", sources: 48, window: 32}
	l.start(t, s.addr("dns"))
	want := pick(1, 8)
	var sealed []string
	for begin := time.Now(); len(sealed) < want && time.Since(begin) < time.Minute; time.Sleep(20 * time.Millisecond) {
		sealed, _ = filepath.Glob(filepath.Join(dir, "seg-*.parquet"))
	}
	l.stop()
	s.kill()
	if len(sealed) < want {
		t.Fatalf("only %d segments were sealed in a minute", len(sealed))
	}
	whole := compare(t, dir, l)
	victim := sealed[len(sealed)/2]
	data, err := os.ReadFile(victim)
	if err != nil {
		t.Fatal(err)
	}
	data[len(data)/3] ^= 0x10
	if err := os.WriteFile(victim, data, 0o600); err != nil {
		t.Fatal(err)
	}
	db, _ := filepath.Glob(filepath.Join(state, "telemetry.db*"))
	for _, f := range db {
		if err := os.Remove(f); err != nil {
			t.Fatal(err)
		}
	}
	s = serve(t, state)
	s.waitFor(t, "a damaged segment was set aside")
	if _, err := os.Stat(filepath.Join(dir, "aside", filepath.Base(victim))); err != nil {
		t.Error(err)
	}
	s.kill()
	left := compare(t, dir, l)
	if left.twice > 0 || left.unordered > 0 || left.corrupt > 0 {
		t.Errorf("what is left: %d twice, %d out of order, %d damaged", left.twice, left.unordered, left.corrupt)
	}
	if left.events == 0 || left.events >= whole.events {
		t.Errorf("%d events before, %d after one segment was set aside", whole.events, left.events)
	}
	t.Logf("%d segments, one damaged: %d events before, %d in the others, %d set aside; all others read", len(sealed), whole.events, left.events, whole.events-left.events)
}
