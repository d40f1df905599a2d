package app

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
)

func TestARedactionNamesItsOriginal(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "evidence")
	l, err := evidence.Open(dir, evidence.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := staffed(t, &System{Evidence: l})
	old, err := l.Capture(t.Context(), impound.Artefact{Kind: "mail", Case: "C-1", Source: "x", Tool: "x", By: "ada"}, []byte("to: someone"))
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "r.txt")
	os.WriteFile(file, []byte("to: [redacted]"), 0o600)
	for range 2 { // twice is once
		a, err := s.Redact(t.Context(), "ben", old.Hash, file, "a recipient", impound.Marking{})
		if err != nil || a.Case != "C-1" || a.Source != "redaction of "+old.Hash || a.Kind != "redacted" {
			t.Fatalf("Redact gave %+v, %v", a, err)
		}
	}
	es, err := l.Select(t.Context(), evidence.Filter{What: "evidence.redact"})
	if err != nil || len(es) != 1 || es[0].Entry.Detail["original"] != old.Hash || es[0].Entry.Artefact.Hash == old.Hash {
		t.Fatalf("the log says %+v, %v", es, err)
	}
	if b, err := l.Read(old.Hash); err != nil || string(b) != "to: someone" {
		t.Errorf("the original is %q, %v", b, err)
	}
	same := filepath.Join(t.TempDir(), "same.txt")
	os.WriteFile(same, []byte("to: someone"), 0o600)
	n := l.Size()
	for what, do := range map[string]func() error{
		"no reason": func() error {
			_, err := s.Redact(t.Context(), "ben", old.Hash, file, " ", impound.Marking{})
			return err
		},
		"no original": func() error {
			_, err := s.Redact(t.Context(), "ben", impound.HashBytes(nil), file, "x", impound.Marking{})
			return err
		},
		"the original": func() error {
			_, err := s.Redact(t.Context(), "ben", old.Hash, same, "x", impound.Marking{})
			return err
		},
		"no file": func() error {
			_, err := s.Redact(t.Context(), "ben", old.Hash, file+"x", "x", impound.Marking{})
			return err
		},
	} {
		if do() == nil {
			t.Errorf("%s was taken", what)
		}
	}
	if l.Size() != n {
		t.Error("a refused redaction left something in the log")
	}
	if r, err := evidence.Verify(dir); err != nil || !r.OK() {
		t.Errorf("Verify: %v %v", r.Problems, err)
	}
}
