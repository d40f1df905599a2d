package telemetry_test

import (
	"context"
	"os"
	"path/filepath"
	"strings"
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
	one.Close()
	two.Close()
	// What was purged is in no file any more, not even as rubble.
	files, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "*"))
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
	if len(files) == 0 {
		t.Error("no file")
	}
}
