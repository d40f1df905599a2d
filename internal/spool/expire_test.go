package spool

import (
	"bytes"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/impound/impound"
)

// Events go when their own order's time is over, shipped or not, and no others;
// numbers go on, and a crash in between brings nothing back.
func TestExpire(t *testing.T) {
	dir := t.TempDir()
	var now atomic.Int64
	day := 24 * time.Hour
	t0 := time.UnixMicro(1763726400_000000).UTC()
	clock := func() time.Time { return time.Unix(0, now.Load()).UTC() }
	now.Store(t0.UnixNano())
	s := open(t, dir, func(o *Options) { o.Now = clock })
	life := map[string]time.Duration{"SHORT": day, "LONG": 30 * day}
	r := Retention{Shortest: day, Longest: 30 * day, Until: func(e *impound.Event) time.Time {
		if e.Order == "KEEP" {
			return time.Time{}
		}
		return e.At.Add(life[e.Order])
	}}
	put := func(n int, orders ...string) (last uint64) {
		t.Helper()
		for i := range n {
			e := event(i)
			e.At, e.Order = clock().Add(time.Duration(i)), orders[i%len(orders)]
			e.Path = "/secret-of-" + e.Order + clock().Format("/15:04")
			if err := s.Append(e); err != nil {
				t.Fatal(err)
			}
			last = e.Seq
		}
		return last
	}
	count := func() map[string]int {
		t.Helper()
		got := map[string]int{}
		for _, e := range readAll(t, s) {
			got[e.Order]++
		}
		return got
	}
	expire := func(want int) {
		t.Helper()
		if n, err := s.Expire(clock(), r); err != nil || n != want {
			t.Errorf("%d deleted, %v; want %d", n, err, want)
		}
	}
	last := put(3000, "SHORT", "LONG", "KEEP") // several segments, and a part of the current one
	waitSealed(t, s)
	if segs, _ := list(dir); len(segs) < 3 {
		t.Fatalf("only %d segments", len(segs))
	}
	now.Add(int64(day - time.Minute))
	expire(0)
	now.Add(int64(2 * time.Minute))
	young := put(30, "SHORT")
	waitSealed(t, s)
	before := map[string][]byte{}
	files, _ := filepath.Glob(filepath.Join(dir, "seg-*"))
	for _, f := range files {
		before[f], _ = os.ReadFile(f)
	}
	// The young ones make no difference to the old ones of their segment.
	expire(1000)
	if got := count(); got["SHORT"] != 30 || got["LONG"] != 1000 || got["KEEP"] != 1000 {
		t.Errorf("%v", got)
	}
	expire(0)
	for f := range before {
		if _, err := os.Stat(f); err == nil {
			t.Errorf("%s is still there", f)
		}
	}
	// A crash before the old ones were deleted.
	for f, b := range before {
		if err := os.WriteFile(f, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if got := count(); got["SHORT"] > 30 {
		t.Errorf("a crash brought them back: %v", got)
	}
	expire(0)
	files, _ = filepath.Glob(filepath.Join(dir, "*"))
	for _, f := range files {
		b, _ := os.ReadFile(f)
		if _, old := before[f]; old || bytes.Contains(b, []byte("secret-of-SHORT/"+t0.Format("15:04"))) && !bytes.Contains(b, []byte("IMPJRNL1")) {
			t.Errorf("%s holds what is over", f)
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, func(o *Options) { o.Now = clock })
	if next := put(1, "SHORT"); next <= young || next <= last {
		t.Errorf("number %d after %d", next, max(young, last))
	}
	// The few that came into a new journal don't wait until it is full.
	now.Add(int64(2 * day))
	expire(31)
	now.Add(int64(40 * day))
	expire(1000)
	if got := count(); len(got) != 1 || got["KEEP"] != 1000 {
		t.Errorf("%v", got)
	}
}
