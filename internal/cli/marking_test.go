package cli

import (
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound"
)

// What may be done with a name, and who may know its evidence, is heeded where
// the evidence is taken.
func TestCaptureHeedsPAP(t *testing.T) {
	state := captureDesk(t)
	const n = "outlook-verify[.]example"
	must := func(args ...string) string {
		t.Helper()
		code, out, errs := call(t, state, append(args, "--as", "ada")...)
		if code != ExitOK {
			t.Fatalf("%v: exit %d: %s", args, code, errs)
		}
		return out
	}
	count := func() int { return strings.Count(must("evidence", "list"), "\n") }
	refused := func(say string, args ...string) {
		t.Helper()
		before := count()
		code, _, errs := call(t, state, append(append([]string{"evidence", "capture"}, args...), "--as", "ada")...)
		if code != ExitRefused || !strings.Contains(errs, say) || !strings.Contains(errs, "nothing was asked") || count() != before {
			t.Errorf("%v: exit %d, %d new lines: %s", args, code, count()-before, errs)
		}
	}
	must("case", "mark", "C-1", n, "--pap", "amber", "--originator", "CERT Example")
	refused("PAP:AMBER of "+n, n, "--case", "C-1")
	refused("ask CERT Example whether you may", n, "--case", "C-1", "--light")
	refused("--registry", "--case", "C-1", "--all")
	refused("PAP:AMBER", n) // nor outside of the case
	out := must("evidence", "capture", n, "--case", "C-1", "--registry", "--tlp", "RED", "--originator", "CERT Example")
	if !strings.Contains(out, "dns-parent") || !strings.Contains(out, "rdap") || strings.Contains(out, "http") || strings.Contains(out, "dns-child") || strings.Contains(out, "dns-resolver") {
		t.Errorf("the registry alone: %s", out)
	}
	must("case", "mark", "C-1", n, "--pap", "red")
	refused("forbids every question on a network", n, "--case", "C-1", "--registry")
	must("case", "mark", "C-1", n, "--pap", "green")
	must("evidence", "capture", n, "--case", "C-1", "--light")

	// A report that says so of itself counts for the name that it is about.
	f := filepath.Join(t.TempDir(), "partner.txt")
	write(t, f, []byte("a partner's report"))
	hash := strings.TrimSpace(must("evidence", "add", f, "--case", "C-1", "--name", n, "--pap", "amber", "--tlp", "amber+strict", "--originator", "CERT Example"))
	refused("PAP:AMBER", n, "--case", "C-1")
	for _, bad := range [][]string{{"--tlp", "pink"}, {"--pap", "amber+strict"}} {
		if code, _, errs := call(t, state, append([]string{"evidence", "add", f, "--as", "ada"}, bad...)...); code != ExitUsage || !strings.Contains(errs, "level") {
			t.Errorf("%v: exit %d: %s", bad, code, errs)
		}
	}
	// A redaction keeps the marking, unless it says another.
	r := filepath.Join(t.TempDir(), "redacted.txt")
	write(t, r, []byte("a report"))
	red := strings.TrimSpace(must("evidence", "redact", hash, r, "--why", "names of victims", "--tlp", "green"))
	var es []struct{ Entry impound.Entry }
	if err := json.Unmarshal([]byte(must("evidence", "list", "--json")), &es); err != nil {
		t.Fatal(err)
	}
	want := map[string]impound.Marking{hash: {TLP: "amber+strict", PAP: "amber", Originator: "CERT Example"}, red: {TLP: "green", PAP: "amber", Originator: "CERT Example"}}
	seen := 0
	for _, e := range es {
		if a := e.Entry.Artefact; a != nil && e.Entry.Type == impound.EntryArtefact {
			if w, ok := want[a.Hash]; ok {
				if seen++; a.Marking() != w {
					t.Errorf("%s is marked %+v, want %+v", a.Kind, a.Marking(), w)
				}
			}
		}
	}
	if seen != 2 {
		t.Errorf("%d artefacts seen", seen)
	}
}
