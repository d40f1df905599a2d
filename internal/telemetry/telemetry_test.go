package telemetry_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/telemetry"
	"github.com/impound/impound/internal/telemetry/telemetrytest"
)

var dbs atomic.Int64

// hold hides all but the interface from the suite.
type hold struct{ telemetry.Engine }

func TestSQLite(t *testing.T) {
	dir := t.TempDir()
	telemetrytest.Run(t, func(tb testing.TB) telemetry.Engine {
		path := filepath.Join(dir, "t", time.Duration(dbs.Add(1)).String()+".db")
		os.MkdirAll(filepath.Dir(path), 0o700)
		e, err := telemetry.OpenSQLite(context.Background(), path)
		if err != nil {
			tb.Fatal(err)
		}
		return hold{e}
	})
}

func TestFile(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "a folder", "50% #1?.db")
	if _, err := telemetry.Open(ctx, path, telemetry.Options{}); impound.KindOf(err) != impound.KindUnavailable {
		t.Errorf("no folder: %v", err)
	}
	os.Mkdir(filepath.Dir(path), 0o700)
	one, err := telemetry.Open(ctx, path, telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	if fi, err := os.Stat(path); err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi, err)
	}
	// A second process sees what the first one wrote, and the other way round.
	two, err := telemetry.Open(ctx, path, telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer two.Close()
	e := telemetrytest.Event(1, telemetrytest.T0, "198.51.100.77", "a.example", "/", "UA-MARK")
	if n, err := one.Ingest(ctx, []impound.Event{e}); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if n, err := two.Ingest(ctx, []impound.Event{e}); n != 0 || err != nil {
		t.Fatal(n, err)
	}
	if _, err := two.Purge(ctx, telemetrytest.T0.Add(time.Hour), func(string) (int, bool) { return 0, true }); err != nil {
		t.Fatal(err)
	}
	// What was purged is in no file any more, not even as rubble.
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
	if len(files) < 2 {
		t.Errorf("no journal to look into: %v", files)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, mark := range []string{"198.51.100.77", "UA-MARK"} {
			if strings.Contains(string(b), mark) {
				t.Errorf("%s still holds %s", filepath.Base(f), mark)
			}
		}
	}
}

// Several writers, as a server and a command on one folder, with the same
// events: each event is there once, and the sums agree.
func TestWritersAtOnce(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "t.db")
	const n, writers = 300, 3
	var wg sync.WaitGroup
	var added atomic.Int64
	for w := range writers {
		wg.Go(func() {
			db, err := telemetry.Open(ctx, path, telemetry.Options{})
			if err != nil {
				t.Error(err)
				return
			}
			defer db.Close()
			for i := range n / 10 {
				k := (i*7 + w*11) % (n / 10) // each in an order of its own
				var evs []impound.Event
				for j := range 10 {
					evs = append(evs, telemetrytest.Event(uint64(k*10+j+1), telemetrytest.T0.Add(time.Duration(k)*time.Hour), "198.51.100.7", "a.example", "/", telemetrytest.Browser))
				}
				got, err := db.Ingest(ctx, evs)
				if err != nil {
					t.Error(err)
				}
				added.Add(int64(got))
			}
		})
	}
	wg.Wait()
	db, err := telemetry.Open(ctx, path, telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	cs, err := db.Contacts(ctx, telemetry.Filter{Limit: 10 * n})
	if err != nil || len(cs) != n || added.Load() != n {
		t.Errorf("%d contacts, %d added, %v", len(cs), added.Load(), err)
	}
	counts, err := db.Counts(ctx, telemetry.Filter{})
	sum := 0
	for _, v := range counts {
		sum += v
	}
	if err != nil || sum != n {
		t.Errorf("%v %v", counts, err)
	}
}

// Whoever opens a new file at the same moment as others waits for them: turning
// the write-ahead log on needs the file for oneself, and SQLite's busy timeout
// does not hold there.
func TestOpenAtOnce(t *testing.T) {
	for range 20 {
		path := filepath.Join(t.TempDir(), "t.db")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				db, err := telemetry.Open(context.Background(), path, telemetry.Options{})
				if err != nil {
					t.Error(err)
					return
				}
				db.Close()
			})
		}
		wg.Wait()
	}
}

func TestNewerSchema(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "t.db")
	db, err := telemetry.Open(ctx, path, telemetry.Options{})
	if err != nil {
		t.Fatal(err)
	}
	db.Close()
	raw, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := raw.Exec("PRAGMA user_version = 99"); err != nil {
		t.Fatal(err)
	}
	raw.Close()
	if _, err := telemetry.Open(ctx, path, telemetry.Options{}); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("%v", err)
	}
	if err := os.WriteFile(path+"2", []byte(strings.Repeat("this is no database ", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := telemetry.Open(ctx, path+"2", telemetry.Options{}); err == nil {
		t.Error("opened a file that is no database")
	}
}
