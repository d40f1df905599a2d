package sqlite_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"

	"github.com/impound/impound/internal/store"
	"github.com/impound/impound/internal/store/sqlite"
	"github.com/impound/impound/internal/store/storetest"
)

var ctx = context.Background()

func place(t testing.TB) string { return filepath.Join(t.TempDir(), "im%20 pound?.db") }

func open(t testing.TB, path string, now func() time.Time) store.Store {
	t.Helper()
	s, err := sqlite.Open(ctx, path, sqlite.Options{Now: now})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestContract(t *testing.T) { storetest.Run(t, place, open) }
