package app

import (
	"bytes"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
)

// A process that runs reads lists anew when they change, whole; what can't be
// read, or goes, changes nothing.
func TestListsAreTakenUpWhileItRuns(t *testing.T) {
	var logged bytes.Buffer
	s := &System{opt: Options{State: t.TempDir()}, log: slog.New(slog.NewTextHandler(&logged, nil))}
	if err := s.openLists(); err != nil {
		t.Fatal(err)
	}
	n := impound.MustName("somebody.hosted-anew.example")
	shared := func() bool {
		l := s.lists.now()
		if l == nil {
			l = gate.BuiltIn()
		}
		for _, v := range gate.Offline(n, l) {
			if v.Gate == gate.G1 && v.Outcome == impound.GateBlock {
				return true
			}
		}
		return false
	}
	put := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(s.listsDir(), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(s.listsDir(), name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	step := func(what string, want bool, words string) {
		t.Helper()
		logged.Reset()
		s.refreshLists()
		if got := shared(); got != want {
			t.Errorf("%s: shared is %v", what, got)
		}
		if got := logged.String(); (words == "") != (got == "") || !strings.Contains(got, words) {
			t.Errorf("%s: the log says %q", what, got)
		}
	}
	if shared() {
		t.Fatal("it is shared to begin with")
	}
	s.refreshLists() // no folder, and none before
	put("dynamic-dns.txt", "hosted-anew.example\n")
	step("a list came", true, "read anew")
	step("nothing changed", true, "")
	put("broken.json", "{\"list\": [")
	step("a list is broken", true, "can't be read")
	step("it is told once", true, "")
	if err := os.Remove(filepath.Join(s.listsDir(), "broken.json")); err != nil {
		t.Fatal(err)
	}
	put("dynamic-dns.txt", "hosted-elsewhere.example\n")
	step("a list changed", false, "read anew")
	put("dynamic-dns.txt", "hosted-anew.example\n")
	step("and again", true, "read anew")
	if err := os.RemoveAll(s.listsDir()); err != nil {
		t.Fatal(err)
	}
	step("the folder is gone", true, "gone or empty")
	step("that is told once", true, "")
}
