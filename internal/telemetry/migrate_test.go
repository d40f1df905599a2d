package telemetry_test

import (
	"database/sql"
	"path/filepath"
	"testing"
	"time"

	"github.com/impound/impound/internal/telemetry"
)

// A file that version 1 wrote is taken along.
func TestMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "t.db")
	db, err := sql.Open("sqlite", path)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.Exec(telemetry.SchemaSQL + "; PRAGMA user_version = 1"); err != nil {
		t.Fatal(err)
	}
	db.Close()
	for range 2 {
		d, err := telemetry.Open(t.Context(), path, telemetry.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if gs, err := d.Gaps(t.Context(), time.Time{}, time.Time{}); err != nil || len(gs) != 0 {
			t.Errorf("%v, %v", gs, err)
		}
		d.Close()
	}
}
