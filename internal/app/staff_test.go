package app

import (
	"crypto/ed25519"
	"crypto/sha256"
	"path/filepath"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/store/sqlite"
)

func testKey(id string) ed25519.PrivateKey {
	h := sha256.Sum256([]byte(id))
	return ed25519.NewKeyFromSeed(h[:])
}

// staffed gives s a casework desk with ada (admin, analyst) and ben (analyst). Its
// people stand in a log of their own, so that a test can count what s logs.
func staffed(t *testing.T, s *System) *System {
	t.Helper()
	db, err := sqlite.Open(t.Context(), filepath.Join(t.TempDir(), "impound.db"), sqlite.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { db.Close() })
	log, err := evidence.Open(filepath.Join(t.TempDir(), "evidence"), evidence.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { log.Close() })
	if s.Casework, err = casework.New(casework.Config{Store: db, Evidence: log}); err != nil {
		t.Fatal(err)
	}
	enrol(t, s, "ada", impound.RoleAdmin, impound.RoleAnalyst)
	enrol(t, s, "ben", impound.RoleAnalyst)
	return s
}

// enrol enrols somebody whose key is testKey(id), signed by ada.
func enrol(t *testing.T, s *System, id string, roles ...impound.Role) {
	t.Helper()
	p := impound.Person{ID: id, Name: id, Roles: roles, Key: impound.NewPublicKey(publicOf(testKey(id))), Enrolled: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
	if err := s.Casework.Enrol(t.Context(), casework.SignEnrolment(p, "ada", testKey("ada"))); err != nil {
		t.Fatal(err)
	}
}
