package archtest

import (
	"encoding/json"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/impound/impound"

type pkg struct {
	ImportPath, Name, Doc string
	Imports, Deps         []string
	GoFiles               []string
}

func load(t *testing.T) []pkg {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Name,Doc,Imports,Deps,GoFiles", module+"/...")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var pkgs []pkg
	for d := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p pkg
		if err := d.Decode(&p); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		pkgs = append(pkgs, p)
	}
	if len(pkgs) < 10 {
		t.Fatalf("only %d packages found: is the list of packages right?", len(pkgs))
	}
	return pkgs
}

func TestEveryPackageSaysWhatItIsFor(t *testing.T) {
	for _, p := range load(t) {
		if len(p.GoFiles) == 0 {
			continue
		}
		want := "Package " + p.Name + " "
		if p.Name == "main" {
			want = "Command " + p.ImportPath[strings.LastIndexByte(p.ImportPath, '/')+1:] + " "
		}
		if !strings.HasPrefix(p.Doc, want) {
			t.Errorf("%s: the package comment must begin with %q, it is %.60q", p.ImportPath, want, p.Doc)
		}
	}
}

// rooms may not import each other: they meet through the root's types. A
// sub-folder belongs to its room.
var rooms = []string{"watch", "casework", "evidence", "seizure", "sinkhole", "spool", "telemetry", "notify", "share"}

// leaves may be imported by every room, and import no room.
var leaves = []string{"plot", "observe", "capture", "dnswire", "dnsname", "peertest", "archtest", "document", "pdfread", "crashpoint", "quickjson", "turns", "parallel"}

// allowed holds the imports from room to room that are meant, each with why.
var allowed = map[string]string{
	"casework -> store": "the store's interface, no engine: rooms keep documents through it",
	"seizure -> store":  "the same",
	"watch -> store":    "the same",
}

// forbidden holds imports that would break a promise, direct or through others.
// For net/http only direct imports count: the public suffix list, which the
// root reads, brings it in everywhere without using it.
var forbidden = []struct{ from, to, why string }{
	{"internal/sinkhole", module + "/internal/store", "a sensor holds no database"},
	{"internal/sinkhole", module + "/internal/web", "the part that faces the actor must not reach the desk"},
	{"internal/sinkhole", "modernc.org/sqlite", "a sensor holds no database"},
	{"internal/spool", "modernc.org/sqlite", "a sensor holds no database"},
	{"internal/sinkhole", module + "/internal/observe", "the sinkhole answers; it never asks"},
	{"internal/sinkhole", module + "/internal/capture", "the sinkhole answers; it never asks, and runs no browser"},
	{"internal/sinkhole", module + "/internal/seizure", "the sinkhole acts on policy, not on registries"},
	{"internal/app/sensor", module + "/internal/store", "a sensor holds no database"},
	{"internal/app/sensor", "modernc.org/sqlite", "a sensor holds no database"},
	{"internal/app/sensor", module + "/internal/evidence", "the evidence log stays on the hub"},
	{"internal/app/sensor", module + "/internal/casework", "who takes a sensor must not reach cases or people"},
	{"internal/app/sensor", module + "/internal/web", "a sensor has no pages"},
	{"internal/web", module + "/internal/seizure/epp", "pages do not reach registries"},
	{"cmd/impound", module + "/internal/seizure/conntest", "the connectors' suite proves made-up orders"},
	{"internal/evidence", "net/http", "the log depends on no network"},
	{"internal/casework", "net/http", "casework does not act on the outside world"},
	{"internal/casework", module + "/internal/seizure", "casework does not act on the outside world"},
}

func room(path string) string {
	rest, ok := strings.CutPrefix(path, module+"/internal/")
	if !ok {
		return ""
	}
	first, _, _ := strings.Cut(rest, "/")
	return first
}

func TestImportsFollowThePicture(t *testing.T) {
	used := map[string]bool{}
	for _, p := range load(t) {
		from := room(p.ImportPath)
		for _, imp := range p.Imports {
			if !strings.HasPrefix(imp, module) {
				continue
			}
			to := room(imp)
			switch {
			case p.ImportPath == module:
				t.Errorf("the root package imports %s: it may import none of ours", imp)
			case from == "testregistry" && to == "seizure":
				if imp != module+"/internal/seizure/epp" {
					t.Errorf("%s imports %s: the practice registry shares the EPP codec only", p.ImportPath, imp)
				}
			case slices.Contains(rooms, from) && slices.Contains(rooms, to) && from != to,
				slices.Contains(rooms, from) && to == "store" && from != to,
				slices.Contains(leaves, from) && (slices.Contains(rooms, to) || to == "store"),
				from == "store" && to != "store" && to != "" && !slices.Contains(leaves, to):
				key := from + " -> " + to
				if allowed[key] == "" || imp != module+"/internal/"+to {
					t.Errorf("%s imports %s: rooms meet through the root's types (%s is not among the allowed)", p.ImportPath, imp, key)
				}
				used[key] = true
			case (from != "cli" && from != "app" && from != "demo" && from != "web" && from != "") && slices.Contains([]string{"app", "cli", "web", "demo"}, to):
				t.Errorf("%s imports %s: the direction is cmd -> cli, web -> app -> rooms -> root", p.ImportPath, imp)
			}
		}
		for _, f := range forbidden {
			if (p.ImportPath == module+"/"+f.from || strings.HasPrefix(p.ImportPath, module+"/"+f.from+"/")) && slices.Contains(deps(p, f.to), f.to) {
				t.Errorf("%s depends on %s: %s", p.ImportPath, f.to, f.why)
			}
		}
	}
	for key := range allowed {
		if !used[key] {
			t.Logf("allowed but not used: %s", key)
		}
	}
}

func deps(p pkg, of string) []string {
	if of == "net/http" {
		return p.Imports
	}
	return p.Deps
}

// Law 1 in the structure: a mandate is proven in one place and permits are
// asked for where effects are planned or done, nowhere else.
func TestOnlyCaseworkProvesOrders(t *testing.T) {
	out, err := exec.Command("git", "-C", "../..", "grep", "-nE", `\.Authorize\(`, "--", "*.go", ":!*_test.go", ":!mandate.go").Output()
	if err != nil && len(out) == 0 {
		t.Skip("no git checkout here, or casework is not there yet")
	}
	for line := range strings.Lines(string(out)) {
		// The benchmarks and the connectors' suite prove made-up orders, for
		// sensors and practice registries that trust only them.
		if !strings.HasPrefix(line, "internal/casework/") && !strings.HasPrefix(line, "internal/seizure/conntest/") && !strings.HasPrefix(line, "cmd/benchsinkhole/") && !strings.HasPrefix(line, "cmd/benchseizure/") {
			t.Errorf("an order is proven outside casework: %s", strings.TrimSpace(line))
		}
	}
}
