package live_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound/internal/watch/live"
)

// zonefile is how CZDS gives one: owner, TTL, class, type, data, with tabs.
func zonefile(tld string, names []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s.\t900\tin\tsoa\ta.nic.%s. b.nic.%s. 1 2 3 4 5\n%s.\t900\tin\tns\ta.nic.%s.\n", tld, tld, tld, tld, tld)
	for _, n := range names {
		fmt.Fprintf(&b, "%s.\t3600\tin\tns\tns1.host.example.\n%s.\t3600\tin\tns\tns2.host.example.\nns9.%s.\t3600\tin\ta\t192.0.2.1\n", n, n, n)
	}
	return b.String()
}

func zoneNames(from, to int) (out []string) {
	for i := from; i < to; i++ {
		out = append(out, fmt.Sprintf("paypal-login-%06d.test", i))
	}
	return out
}

func put(t *testing.T, path string, data []byte, age time.Duration) {
	t.Helper()
	write(t, path, data)
	at := time.Now().Add(-age)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
}

func TestZoneDifferences(t *testing.T) {
	for _, shuffled := range []bool{false, true} {
		t.Run(fmt.Sprint("shuffled ", shuffled), func(t *testing.T) {
			b := newBench(t)
			dir := t.TempDir()
			path := filepath.Join(dir, "test.txt.gz")
			src := live.NewZones("z", dir, filepath.Join(t.TempDir(), "work"), false)
			file := func(names []string, age time.Duration) {
				names = slices.Clone(names)
				if shuffled {
					rand.Shuffle(len(names), func(i, j int) { names[i], names[j] = names[j], names[i] })
				}
				put(t, path, zip(t, zonefile("test", names)), age)
			}
			all := zoneNames(0, 3000)
			file(all, 9*time.Hour)
			b.ok(src)
			if q := b.queued(); len(q) != 0 {
				t.Fatalf("%d old names were screened", len(q))
			}
			b.ok(src)
			file(append(slices.Clone(all[100:]), zoneNames(5000, 5040)...), 8*time.Hour)
			b.ok(src)
			want := zoneNames(5000, 5040)
			if d := cmp.Diff(want, b.queued()); d != "" {
				t.Error(d)
			}
			if s := b.state("z"); s.Removed != 100 || s.Position != 40 {
				t.Errorf("%+v", s)
			}
			// Half of it is gone: held.
			file(append(slices.Clone(all[:1000]), zoneNames(7000, 7005)...), 7*time.Hour)
			if err := b.run(src); err == nil || !strings.Contains(err.Error(), "held, not taken as deletions") {
				t.Fatal(err)
			}
			if s := b.state("z"); s.Held == "" || s.Removed != 100 {
				t.Errorf("%+v", s)
			}
			_ = b.run(src)
			// The next day's is whole again, and shows what was new in between.
			file(append(slices.Clone(all), zoneNames(5000, 5041)...), 6*time.Hour)
			b.ok(src)
			want = append(zoneNames(0, 100), zoneNames(5000, 5041)...)
			if d := cmp.Diff(want, b.queued()); d != "" {
				t.Error(d)
			}
			if s := b.state("z"); s.Held != "" {
				t.Errorf("still held: %s", s.Held)
			}
			// Shrunk for good: a person says so.
			file(zoneNames(9000, 9003), 5*time.Hour)
			if err := b.run(src); err == nil {
				t.Fatal("not held")
			}
			if err := live.Release(t.Context(), b.st, "z", live.ResumeHere); err != nil {
				t.Fatal(err)
			}
			b.ok(src)
			if d := cmp.Diff(append(want, zoneNames(9000, 9003)...), b.queued()); d != "" {
				t.Error(d)
			}
			// A file that is cut short is not taken at all.
			whole := zip(t, zonefile("test", zoneNames(9000, 9900)))
			put(t, path, whole[:len(whole)-200], 4*time.Hour)
			if err := b.run(src); err == nil || !strings.Contains(err.Error(), "cut short after") {
				t.Fatal(err)
			}
			if s := b.state("z"); s.Removed != 100+3041 {
				t.Errorf("%d names left the zone", s.Removed)
			}
		})
	}
}

func TestZoneFromItsBeginningOverFailures(t *testing.T) {
	b := newBench(t)
	dir := t.TempDir()
	src := live.NewZones("z", dir, filepath.Join(t.TempDir(), "work"), true)
	put(t, filepath.Join(dir, "test.zone"), []byte(zonefile("test", zoneNames(0, 4000))), time.Hour)
	n := 0
	b.fail = func() error {
		if n++; n%2 == 1 {
			return os.ErrClosed
		}
		return nil
	}
	for range 12 {
		_ = b.run(src)
	}
	if d := cmp.Diff(zoneNames(0, 4000), b.queued()); d != "" {
		t.Error(d)
	}
}
