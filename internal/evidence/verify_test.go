package evidence_test

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
)

// fill writes a small log of two cases: seven entries, three artefacts.
func fill(t testing.TB, l *evidence.Log) {
	t.Helper()
	name := impound.MustName("outlook-verify.net")
	capture := func(c, body string) impound.Artefact {
		a, err := l.Capture(ctx, impound.Artefact{Kind: "dns", Source: "192.0.2.53", Tool: "impound/0.1", By: "ana", Case: c, Name: name}, []byte(body))
		if err != nil {
			t.Fatal(err)
		}
		return a
	}
	capture("C-1", "outlook-verify.net. 300 IN A 192.0.2.1\n")
	capture("C-2", "of a sealed case")
	capture("C-1", "")
	_, err := l.AppendAll(ctx, []impound.Entry{
		{ID: "p1", Type: impound.EntrySystem, By: "root", What: "people.enrol", Detail: map[string]string{"person": "ana"}},
		{ID: "i1", Type: impound.EntryIntent, By: "system", What: "seize.nameservers", Case: "C-1", Order: "O-1", Name: name},
		{ID: "r1", Type: impound.EntryResult, By: "system", What: "seize.nameservers", Case: "C-1", Order: "O-1", Name: name, Intent: "i1"},
		{ID: "i2", Type: impound.EntryIntent, By: "system", What: "seize.lock", Case: "C-2", Order: "O-2"},
	})
	if err != nil {
		t.Fatal(err)
	}
}

func verify(t testing.TB, dir string) evidence.Report {
	t.Helper()
	r, err := evidence.Verify(dir)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func wantClean(t testing.TB, dir string) evidence.Report {
	t.Helper()
	r := verify(t, dir)
	if !r.OK() || len(r.Notes) > 0 {
		t.Fatalf("Verify of a sound folder: problems %v, notes %v", r.Problems, r.Notes)
	}
	return r
}

// closed gives the folder of a filled, closed log.
func closed(t testing.TB) string { return closedAt(t, folder(t)) }

func closedAt(t testing.TB, dir string) string {
	l := open(t, dir)
	fill(t, l)
	l.Close()
	return dir
}

func files(t testing.TB, dir string) []string {
	t.Helper()
	var out []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			out = append(out, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func TestVerifyClean(t *testing.T) {
	dir := closed(t)
	r := wantClean(t, dir)
	if r.Entries != 7 || r.Artefacts != 3 || r.Size != 7 {
		t.Errorf("%d entries, %d artefacts, size %d; want 7, 3, 7", r.Entries, r.Artefacts, r.Size)
	}
	if d := cmp.Diff([]evidence.OpenIntent{{Index: 6, ID: "i2", What: "seize.lock"}}, r.Open); d != "" {
		t.Errorf("open intents (-want +got):\n%s", d)
	}
	l := open(t, folder(t)) // an empty log is sound too
	l.Close()
}

func TestVerifyEmpty(t *testing.T) {
	dir := folder(t)
	open(t, dir)
	if r := wantClean(t, dir); r.Entries != 0 {
		t.Errorf("%d entries in an empty log", r.Entries)
	}
}

// TestEveryFlippedBit is law 4: one flipped bit anywhere in the folder is
// noticed, and located.
func TestEveryFlippedBit(t *testing.T) {
	t.Parallel()
	dir := closed(t)
	seen := map[string]bool{}
	for _, path := range files(t, dir) {
		rel, _ := filepath.Rel(dir, path)
		body, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		seen[rel] = true
		os.Chmod(path, 0o600)
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		odd := rand.IntN(2)
		for i, old := range body {
			if rel == "entries.jsonl" && i%2 == odd { // the others in another run
				continue
			}
			bits := []int{rand.IntN(8)} // one of each octet, another one in each run
			if rel == "checkpoint" || rel == "log.vkey" {
				bits = []int{0, 1, 2, 3, 4, 5, 6, 7} // some decode to the same: the spelling must count
			}
			for _, bit := range bits {
				f.WriteAt([]byte{old ^ 1<<bit}, int64(i))
				r := verify(t, dir)
				if r.OK() {
					t.Fatalf("bit %d of octet %d of %s was flipped (%q), and nobody noticed", bit, i, rel, old)
				}
				p := r.Problems[0]
				if p.File != rel {
					t.Errorf("bit %d of octet %d of %s was flipped, and the report blames %v", bit, i, rel, p)
				}
				if rel == "entries.jsonl" {
					if want := int64(bytes.Count(body[:i], []byte("\n"))); p.Entry != want {
						t.Errorf("bit %d of octet %d lies in entry %d, and the report says %v", bit, i, want, p)
					}
				}
			}
			f.WriteAt([]byte{old}, int64(i))
		}
		f.Close()
	}
	for _, want := range []string{"entries.jsonl", "hashes", "checkpoint", "log.vkey", "lock"} {
		if !seen[want] {
			t.Errorf("there is no %s", want)
		}
	}
	if len(seen) != 8 {
		t.Errorf("the folder holds %d files, want 8: %v", len(seen), seen)
	}
	wantClean(t, dir)
}

func TestVerifyDamage(t *testing.T) {
	in := func(dir string, rel ...string) string { return filepath.Join(append([]string{dir}, rel...)...) }
	artefact := func(t *testing.T, dir string) string {
		m, _ := filepath.Glob(in(dir, "artefacts", "*", "*"))
		return m[0]
	}
	edit := func(path string, fn func([]byte) []byte) {
		b, _ := os.ReadFile(path)
		os.Remove(path)
		os.WriteFile(path, fn(b), 0o600)
	}
	tests := map[string]struct {
		do   func(t *testing.T, dir string)
		file string // of the first problem
		want string // in some problem
	}{
		"artefact removed": {func(t *testing.T, d string) { os.Remove(artefact(t, d)) }, "artefacts/", "missing"},
		"artefact renamed": {func(t *testing.T, d string) { p := artefact(t, d); os.Rename(p, p[:len(p)-1]+"x") }, "artefacts/", "no hash"},
		"artefact added":   {func(t *testing.T, d string) { p := artefact(t, d); os.WriteFile(p[:len(p)-4]+"0000", nil, 0o600) }, "artefacts/", "added by hand"},
		"artefact grown":   {func(t *testing.T, d string) { edit(artefact(t, d), func(b []byte) []byte { return append(b, 0) }) }, "artefacts/", "changed"},
		"artefact a link": {func(t *testing.T, d string) {
			p := artefact(t, d)
			os.Rename(p, in(d, "..", "x"))
			os.Symlink(in(d, "..", "x"), p)
		}, "artefacts/", "no regular file"},
		"stray file":     {func(t *testing.T, d string) { os.WriteFile(in(d, "x"), nil, 0o600) }, "x", "does not belong"},
		"stray folder":   {func(t *testing.T, d string) { os.Mkdir(in(d, "x"), 0o700) }, "x", "does not belong"},
		"lock not empty": {func(t *testing.T, d string) { os.WriteFile(in(d, "lock"), []byte("x"), 0o600) }, "lock", "always empty"},
		"no entries":     {func(t *testing.T, d string) { os.Remove(in(d, "entries.jsonl")) }, "entries.jsonl", "missing"},
		"no hashes":      {func(t *testing.T, d string) { os.Remove(in(d, "hashes")) }, "hashes", "missing"},
		"no checkpoint":  {func(t *testing.T, d string) { os.Remove(in(d, "checkpoint")) }, "checkpoint", "missing"},
		"no key":         {func(t *testing.T, d string) { os.Remove(in(d, "log.vkey")) }, "log.vkey", "missing"},
		"entries empty":  {func(t *testing.T, d string) { os.Truncate(in(d, "entries.jsonl"), 0) }, "entries.jsonl", "missing, and all behind it"},
		"last newline missing": {func(t *testing.T, d string) {
			edit(in(d, "entries.jsonl"), func(b []byte) []byte { return b[:len(b)-1] })
		}, "entries.jsonl", "changed"},
		"last entry missing": {func(t *testing.T, d string) {
			edit(in(d, "entries.jsonl"), func(b []byte) []byte { return b[:1+bytes.LastIndexByte(b[:len(b)-1], '\n')] })
		}, "entries.jsonl", "is missing"},
		"line added": {func(t *testing.T, d string) {
			edit(in(d, "entries.jsonl"), func(b []byte) []byte { return append(b, "{}\n"...) })
		}, "entries.jsonl", "beyond the checkpoint"},
		"lines swapped": {func(t *testing.T, d string) {
			edit(in(d, "entries.jsonl"), func(b []byte) []byte {
				l := bytes.SplitAfter(b, []byte("\n"))
				l[1], l[2] = l[2], l[1]
				return bytes.Join(l, nil)
			})
		}, "entries.jsonl", "was changed"},
		"first line twice": {func(t *testing.T, d string) {
			edit(in(d, "entries.jsonl"), func(b []byte) []byte { return append(b[:1+bytes.IndexByte(b, '\n'):1+bytes.IndexByte(b, '\n')], b...) })
		}, "entries.jsonl", "was changed"},
		"hashes longer":  {func(t *testing.T, d string) { edit(in(d, "hashes"), func(b []byte) []byte { return append(b, 0) }) }, "hashes", "too many"},
		"hashes shorter": {func(t *testing.T, d string) { edit(in(d, "hashes"), func(b []byte) []byte { return b[:len(b)-1] }) }, "hashes", "too short"},
		"checkpoint of another log": {func(t *testing.T, d string) {
			b, _ := os.ReadFile(in(closed(t), "checkpoint"))
			os.WriteFile(in(d, "checkpoint"), b, 0o600)
		}, "checkpoint", "does not verify"},
		"a huge line": {func(t *testing.T, d string) {
			edit(in(d, "entries.jsonl"), func(b []byte) []byte { return append(bytes.Repeat([]byte("x"), 3<<20), b...) })
		}, "entries.jsonl", "longer than"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := closed(t)
			tt.do(t, dir)
			r := verify(t, dir)
			if r.OK() || r.Err() == nil {
				t.Fatal("nobody noticed")
			}
			if !strings.HasPrefix(r.Problems[0].File, tt.file) || !strings.Contains(fmt.Sprint(r.Problems), tt.want) {
				t.Errorf("problems %v; want one of %s that says %q", r.Problems, tt.file, tt.want)
			}
		})
	}
}

// TestRollback: an old copy is whole in itself; only a checkpoint kept
// elsewhere shows that entries were taken away.
func TestRollback(t *testing.T) {
	dir := folder(t)
	l := open(t, dir)
	older := l.Checkpoint()
	check := func(since []byte, want string) {
		t.Helper()
		r, err := evidence.VerifyWith(dir, evidence.VerifyOptions{Since: since, Key: l.VerifierKey()})
		if err != nil {
			t.Fatal(err)
		}
		if want == "" && !r.OK() || want != "" && !strings.Contains(fmt.Sprint(r.Problems), want) {
			t.Errorf("problems %v, want %q", r.Problems, want)
		}
	}
	check(older, "")
	old := filepath.Join(t.TempDir(), "old")
	var points [][]byte
	for i := range 9 {
		if i == 4 {
			if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := l.Append(ctx, impound.Entry{Type: impound.EntrySystem, By: "system", What: "start"}); err != nil {
			t.Fatal(err)
		}
		points = append(points, l.Checkpoint())
	}
	for _, p := range points {
		check(p, "")
	}
	check([]byte("nonsense"), "not this log's")
	l.Close()
	dir = old
	wantClean(t, old)
	check(points[3], "")
	check(points[8], "entries were taken away")
}

func TestVerifyTrustedKey(t *testing.T) {
	dir, other := closed(t), open(t, folder(t))
	for key, want := range map[string]string{
		other.VerifierKey():                  "another key",
		"nonsense":                           "can't be read",
		strings.ToUpper(other.VerifierKey()): "can't be read",
	} {
		r, err := evidence.VerifyWith(dir, evidence.VerifyOptions{Key: key})
		if err != nil || !strings.Contains(fmt.Sprint(r.Problems), want) {
			t.Errorf("key %q: %v, %v; want %q", key, r.Problems, err, want)
		}
	}
}

func TestVerifyNoFolder(t *testing.T) {
	if _, err := evidence.Verify(filepath.Join(t.TempDir(), "none")); impound.KindOf(err) != impound.KindNotFound {
		t.Error(err)
	}
	f := filepath.Join(t.TempDir(), "f")
	os.WriteFile(f, nil, 0o600)
	if _, err := evidence.Verify(f); impound.KindOf(err) != impound.KindInvalid {
		t.Error(err)
	}
}

func BenchmarkVerify(b *testing.B) {
	dir := folder(b)
	l := open(b, dir)
	es := make([]impound.Entry, 1000)
	n := 0
	for range 100 {
		for i := range es {
			es[i] = impound.Entry{ID: fmt.Sprint(n), Type: impound.EntryDecision, By: "ana", What: "case.add", Case: "C-1", Name: impound.MustName("outlook-verify.net"), Detail: map[string]string{"why": "contains outlook and verify"}}
			n++
		}
		if _, err := l.AppendAll(ctx, es); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		wantClean(b, dir)
	}
	b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "entries/s")
}

func BenchmarkOpen(b *testing.B) {
	dir := folder(b)
	l := open(b, dir)
	es := make([]impound.Entry, 100000)
	for i := range es {
		es[i] = impound.Entry{Type: impound.EntryDecision, By: "ana", What: "case.add", Case: "C-1", Name: impound.MustName("outlook-verify.net"), Detail: map[string]string{"why": "contains outlook and verify"}}
	}
	if _, err := l.AppendAll(ctx, es); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		open(b, dir).Close()
	}
}

func BenchmarkAppend(b *testing.B) {
	l := open(b, folder(b))
	for b.Loop() {
		if _, err := l.Append(ctx, impound.Entry{Type: impound.EntrySystem, By: "system", What: "start"}); err != nil {
			b.Fatal(err)
		}
	}
}
