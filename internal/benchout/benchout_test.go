package benchout

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

type line struct {
	Measure string
	Value   float64
	Unit    string
	Bar     float64
	OK      bool
}

func lines(t *testing.T, path string) (out []line) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for l := range strings.Lines(string(b)) {
		var x line
		if err := json.Unmarshal([]byte(l), &x); err != nil {
			t.Fatalf("%v: %q", err, l)
		}
		out = append(out, x)
	}
	return out
}

func TestReport(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	t.Setenv("BENCH_OUT", "")
	Report("nobody asked", 1, "x", 1, true)
	t.Setenv("BENCH_OUT", path)
	Report("a <b> & c", 1.25, "x", 1.2, true)
	Report("no number", math.NaN(), "x", 1, false)
	Report("no end", math.Inf(1), "x", 1, false)
	Report("missed", 0.5, "s", 0.25, false)
	want := []line{{"a <b> & c", 1.25, "x", 1.2, true}, {"missed", 0.5, "s", 0.25, false}}
	if d := cmp.Diff(want, lines(t, path)); d != "" {
		t.Error(d)
	}
	// A failure to write ends no benchmark.
	t.Setenv("BENCH_OUT", filepath.Join(path, "no folder"))
	Report("lost", 1, "x", 0, true)
}

func TestCopy(t *testing.T) {
	path := filepath.Join(t.TempDir(), "out.jsonl")
	t.Setenv("BENCH_OUT", path)
	in := `goos: linux
goarch: amd64
pkg: github.com/impound/impound/internal/spool
cpu: Some Processor
BenchmarkAppend-2      	 8253242	       145.2 ns/op	       0 B/op	       0 allocs/op
BenchmarkSeal/columns-2	       1	1000000 ns/op	        20.60 B/event
BenchmarkBroken-2      	some words that are no result at all
PASS
ok  	github.com/impound/impound/internal/spool	2.5s
pkg: example.org/other
BenchmarkX 	 1	 5 ns/op`
	var out bytes.Buffer
	if err := Copy(&out, strings.NewReader(in)); err != nil || out.String() != in {
		t.Errorf("%v, passed on: %q", err, out.String())
	}
	want := []line{
		{"internal/spool.Append ns/op", 145.2, "ns/op", 0, true}, {"internal/spool.Append B/op", 0, "B/op", 0, true}, {"internal/spool.Append allocs/op", 0, "allocs/op", 0, true},
		{"internal/spool.Seal/columns ns/op", 1e6, "ns/op", 0, true}, {"internal/spool.Seal/columns B/event", 20.6, "B/event", 0, true},
		{"example.org/other.X ns/op", 5, "ns/op", 0, true},
	}
	if d := cmp.Diff(want, lines(t, path)); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{"FAIL\tpkg\t0.1s\n", "ok\n--- FAIL: BenchmarkX\n", "panic: x\n"} {
		if err := Copy(&out, strings.NewReader(bad)); err == nil {
			t.Errorf("%q is no failure", bad)
		}
	}
}
