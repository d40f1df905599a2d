package evidence_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
	"pgregory.net/rapid"
)

func wantError(t testing.TB, err error, k impound.Kind, words ...string) {
	t.Helper()
	if impound.KindOf(err) != k {
		t.Errorf("error %v is of kind %q, want %q", err, impound.KindOf(err), k)
		return
	}
	for _, w := range words {
		if !strings.Contains(err.Error(), w) {
			t.Errorf("error %q does not say %q", err, w)
		}
	}
}

func decision(id, what, c string) impound.Entry {
	return impound.Entry{ID: id, Type: impound.EntryDecision, By: "ana", What: what, Case: c}
}

func TestAppendRefuses(t *testing.T) {
	l := open(t, folder(t))
	fill(t, l)
	ok := decision("", "case.open", "C-1")
	with := func(fn func(*impound.Entry)) impound.Entry { e := ok; fn(&e); return e }
	tests := map[string]struct {
		e    impound.Entry
		kind impound.Kind
		say  string
	}{
		"type":                    {with(func(e *impound.Entry) { e.Type = "gossip" }), impound.KindInvalid, "gossip"},
		"no type":                 {with(func(e *impound.Entry) { e.Type = "" }), impound.KindInvalid, "type"},
		"no what":                 {with(func(e *impound.Entry) { e.What = "" }), impound.KindInvalid, "speaks of"},
		"no by":                   {with(func(e *impound.Entry) { e.By = "" }), impound.KindInvalid, "whose"},
		"year":                    {with(func(e *impound.Entry) { e.At = t0.AddDate(9000, 0, 0) }), impound.KindInvalid, "dated"},
		"too long":                {with(func(e *impound.Entry) { e.Detail = map[string]string{"x": strings.Repeat("x", evidence.MaxEntry)} }), impound.KindInvalid, "octets long"},
		"result without intent":   {with(func(e *impound.Entry) { e.Type = impound.EntryResult; e.Intent = "never" }), impound.KindInvalid, "not in the log"},
		"result of a decision":    {with(func(e *impound.Entry) { e.Type = impound.EntryResult; e.Intent = "p1" }), impound.KindInvalid, "not in the log"},
		"artefact never captured": {with(func(e *impound.Entry) { e.Artefact = &impound.Artefact{Hash: impound.HashBytes([]byte("x"))} }), impound.KindInvalid, "not captured"},
		"artefact of none":        {with(func(e *impound.Entry) { e.Type = impound.EntryArtefact }), impound.KindInvalid, "names none"},
		"id of another thing":     {decision("i1", "case.open", "C-1"), impound.KindConflict, "seize.nameservers"},
		"id of another case":      {with(func(e *impound.Entry) { e.ID = "p1"; e.Type = impound.EntrySystem; e.What = "people.enrol" }), impound.KindConflict, "p1"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := l.AppendAll(ctx, []impound.Entry{ok, tt.e})
			wantError(t, err, tt.kind, tt.say)
		})
	}
	if n := l.Size(); n != 7 {
		t.Errorf("%d entries after refusals, want 7: all or none", n)
	}
	done, stop := context.WithCancel(ctx)
	stop()
	_, err := l.Append(done, ok)
	wantError(t, err, impound.KindUnavailable)
	// An intent and its result may come together, and repeat what is there.
	idx, err := l.AppendAll(ctx, []impound.Entry{
		{ID: "i9", Type: impound.EntryIntent, By: "system", What: "seize.lock"},
		decision("p2", "case.open", "C-1"),
		{ID: "r9", Type: impound.EntryResult, By: "system", What: "seize.lock", Intent: "i9"},
		decision("p2", "case.open", "C-1"),
	})
	if d := cmp.Diff([]int64{7, 8, 9, 8}, idx); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	l.Close()
	_, err = l.Append(ctx, ok)
	wantError(t, err, impound.KindInternal, "closed")
	if _, _, err := l.Entry("p1"); err == nil {
		t.Error("Entry works after Close")
	}
}

func TestCaptureRefuses(t *testing.T) {
	l := open(t, folder(t))
	ok := impound.Artefact{Kind: "dns", Source: "192.0.2.53", Tool: "dig", By: "ana"}
	with := func(fn func(*impound.Artefact)) impound.Artefact { a := ok; fn(&a); return a }
	for say, a := range map[string]impound.Artefact{
		"kind":          with(func(a *impound.Artefact) { a.Kind = "" }),
		"source":        with(func(a *impound.Artefact) { a.Source = "" }),
		"tool":          with(func(a *impound.Artefact) { a.Tool = "" }),
		"by":            with(func(a *impound.Artefact) { a.By = "" }),
		"is said to be": with(func(a *impound.Artefact) { a.Hash = impound.HashBytes(nil) }),
	} {
		_, err := l.Capture(ctx, a, []byte("x"))
		wantError(t, err, impound.KindInvalid, say)
	}
	_, err := l.Capture(ctx, ok, make([]byte, evidence.MaxArtefact+1))
	wantError(t, err, impound.KindInvalid, "none is cut")
	if l.Size() != 0 {
		t.Error("a refused capture left an entry")
	}
	for range 2 { // the same again adds nothing
		if _, err := l.Capture(ctx, ok, []byte("x")); err != nil || l.Size() != 1 {
			t.Errorf("%d entries, %v; want 1", l.Size(), err)
		}
	}
	other := with(func(a *impound.Artefact) { a.Case = "C-2" })
	a, err := l.Capture(ctx, other, []byte("x"))
	if err != nil || l.Size() != 2 {
		t.Errorf("%d entries, %v; want 2: one for each case", l.Size(), err)
	}
	_, err = l.Read("sha256:../../etc/passwd")
	wantError(t, err, impound.KindNotFound)
	_, err = l.Read("")
	wantError(t, err, impound.KindNotFound)
	_ = a
}

// TestArtefactChanged: a changed or missing artefact is never served, nor
// taken for kept.
func TestArtefactChanged(t *testing.T) {
	dir := folder(t)
	l := open(t, dir)
	meta := impound.Artefact{Kind: "dns", Source: "192.0.2.53", Tool: "dig", By: "ana"}
	a, err := l.Capture(ctx, meta, []byte("bytes"))
	if err != nil {
		t.Fatal(err)
	}
	m, _ := filepath.Glob(filepath.Join(dir, "artefacts", "*", "*"))
	os.Chmod(m[0], 0o600)
	os.WriteFile(m[0], []byte("bytez"), 0o600)
	_, err = l.Read(a.Hash)
	wantError(t, err, impound.KindInternal, "changed")
	meta.Case = "C-2"
	_, err = l.Capture(ctx, meta, []byte("bytes"))
	wantError(t, err, impound.KindInternal, "changed")
	os.Remove(m[0])
	_, err = l.Read(a.Hash)
	wantError(t, err, impound.KindUnavailable, "missing")
	if err := l.Export(ctx, &bytes.Buffer{}, "C-2"); impound.KindOf(err) != impound.KindNotFound {
		t.Error(err)
	}
}

// TestOpenRefuses: what was changed is not opened, and says why.
func TestOpenRefuses(t *testing.T) {
	flip := func(path string, at int) {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		b[at] ^= 1
		os.WriteFile(path, b, 0o600)
	}
	tests := map[string]struct {
		do   func(dir, key string)
		o    evidence.Options
		kind impound.Kind
		say  string
	}{
		"entry changed":      {do: func(d, k string) { flip(filepath.Join(d, "entries.jsonl"), 900) }, kind: impound.KindInternal, say: "does not verify"},
		"entry gone":         {do: func(d, k string) { os.Truncate(filepath.Join(d, "entries.jsonl"), 900) }, kind: impound.KindInternal, say: "does not verify"},
		"checkpoint changed": {do: func(d, k string) { flip(filepath.Join(d, "checkpoint"), 30) }, kind: impound.KindInternal, say: "does not verify"},
		"public key changed": {do: func(d, k string) { flip(filepath.Join(d, "log.vkey"), 30) }, kind: impound.KindInternal, say: "public key"},
		"public key gone":    {do: func(d, k string) { os.Remove(filepath.Join(d, "log.vkey")) }, kind: impound.KindUnavailable, say: "missing"},
		"private key gone":   {do: func(d, k string) { os.Remove(k) }, kind: impound.KindUnavailable, say: "not the key to continue"},
		"private key cut":    {do: func(d, k string) { os.Truncate(k, 20) }, kind: impound.KindInvalid, say: "no signing key"},
		"private key another": {do: func(d, k string) {
			other := folder(t)
			open(t, other)
			b, _ := os.ReadFile(filepath.Join(other, "..", "keys", "evidence.key"))
			os.WriteFile(k, b, 0o600)
		}, kind: impound.KindInternal, say: "belongs to another log"},
		"log gone":        {do: func(d, k string) { os.RemoveAll(d) }, kind: impound.KindInternal, say: "the log is gone"},
		"checkpoint gone": {do: func(d, k string) { os.Remove(filepath.Join(d, "checkpoint")) }, kind: impound.KindInternal, say: "the log is gone"},
		"other origin":    {do: func(d, k string) {}, o: evidence.Options{Origin: "example.org/x"}, kind: impound.KindInvalid, say: "keeps the name"},
		"bad origin":      {do: func(d, k string) {}, o: evidence.Options{Origin: "a b"}, kind: impound.KindInvalid, say: "no space"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			dir := closed(t)
			tt.do(dir, filepath.Join(dir, "..", "keys", "evidence.key"))
			_, err := evidence.Open(dir, tt.o)
			wantError(t, err, tt.kind, tt.say)
		})
	}
}

// TestFirstOpenCutOff: a crash while the log is made leaves nothing that the
// next Open trips over.
func TestFirstOpenCutOff(t *testing.T) {
	dir := folder(t)
	open(t, dir).Close()
	key := filepath.Join(dir, "..", "keys", "evidence.key")
	os.Rename(key, key+".new") // the last step did not happen
	l := open(t, dir)
	fill(t, l)
	wantClean(t, dir)
	st, err := os.Stat(key)
	if err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the private key has mode %v, %v", st.Mode(), err)
	}
}

// TestRepair: hashes can be made again, and the log says that they were.
func TestRepair(t *testing.T) {
	for name, do := range map[string]func(path string, b []byte){
		"changed": func(p string, b []byte) { b[40] ^= 1; os.WriteFile(p, b, 0o600) },
		"cut":     func(p string, b []byte) { os.Truncate(p, 70) },
		"gone":    func(p string, b []byte) { os.Remove(p) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := closed(t)
			p := filepath.Join(dir, "hashes")
			b, _ := os.ReadFile(p)
			do(p, b)
			if verify(t, dir).OK() {
				t.Fatal("nobody noticed")
			}
			l := open(t, dir)
			if x, err := l.Select(ctx, evidence.Filter{What: "evidence.repair"}); err != nil || len(x) != 1 {
				t.Errorf("%v, %v; want one entry on the repair", x, err)
			}
			wantClean(t, dir)
		})
	}
}

// TestForgedLine: whoever can write the folder can't get a line signed by
// adding it where a crash would have left one; and nothing is thrown away.
func TestForgedLine(t *testing.T) {
	for _, live := range []bool{false, true} {
		t.Run(fmt.Sprint("while the log is open: ", live), func(t *testing.T) {
			dir := folder(t)
			l := open(t, dir)
			fill(t, l)
			if !live {
				l.Close()
			}
			forged := `{"at":"2026-03-27T09:30:00Z","by":"root","detail":{"person":"eve"},"id":"forged","type":"system","what":"people.enrol"}` + "\nhalf a li"
			f, err := os.OpenFile(filepath.Join(dir, "entries.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
			if err != nil {
				t.Fatal(err)
			}
			f.WriteString(forged)
			f.Close()
			if verify(t, dir).OK() {
				t.Error("Verify did not notice")
			}
			if live {
				if _, err := l.Append(ctx, decision("next", "case.open", "C-1")); err != nil {
					t.Fatal(err)
				}
			} else {
				l = open(t, dir)
			}
			if _, ok, err := l.Entry("forged"); ok || err != nil {
				t.Errorf("the forged line is in the log: %v, %v", ok, err)
			}
			torn, err := l.Select(ctx, evidence.Filter{What: "evidence.torn"})
			if err != nil || len(torn) != 1 {
				t.Fatalf("%v, %v; want one entry on what was set aside", torn, err)
			}
			if b, err := l.Read(torn[0].Entry.Artefact.Hash); string(b) != forged || err != nil {
				t.Errorf("set aside was %q, %v", b, err)
			}
			wantClean(t, dir)
		})
	}
}

// TestChangedBehindOurBack: an open log does not serve or sign on top of what
// was changed under it.
func TestChangedBehindOurBack(t *testing.T) {
	t.Run("entry", func(t *testing.T) {
		dir := folder(t)
		l := open(t, dir)
		fill(t, l)
		p := filepath.Join(dir, "entries.jsonl")
		b, _ := os.ReadFile(p)
		os.WriteFile(p, bytes.Replace(b, []byte(`"person":"ana"`), []byte(`"person":"eve"`), 1), 0o600)
		_, _, err := l.Entry("p1")
		wantError(t, err, impound.KindInternal, "entry 3 was changed")
		err = l.Entries(ctx, 0, func(int64, impound.Entry) error { return nil })
		wantError(t, err, impound.KindInternal, "entry 3 was changed")
		_, err = l.Select(ctx, evidence.Filter{What: "people."})
		wantError(t, err, impound.KindInternal, "entry 3 was changed")
	})
	t.Run("set back", func(t *testing.T) {
		dir := folder(t)
		l := open(t, dir)
		fill(t, l)
		old := filepath.Join(t.TempDir(), "old")
		if err := os.CopyFS(old, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		if _, err := l.Append(ctx, decision("next", "case.open", "C-1")); err != nil {
			t.Fatal(err)
		}
		b, _ := os.ReadFile(filepath.Join(old, "checkpoint"))
		os.WriteFile(filepath.Join(dir, "checkpoint"), b, 0o600)
		_, err := l.Append(ctx, decision("more", "case.open", "C-1"))
		wantError(t, err, impound.KindInternal, "set back")
	})
}

func TestReadOnlyFolder(t *testing.T) {
	if os.Getenv("EVIDENCE_TEST_READONLY") != "" {
		_, err := evidence.Open(os.Getenv("EVIDENCE_TEST_READONLY"), evidence.Options{})
		fmt.Println(err)
		return
	}
	dir := closedAt(t, onDisk(t))
	for d := dir; d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		os.Chmod(d, 0o555)
		t.Cleanup(func() { os.Chmod(d, 0o755) })
	}
	exe := filepath.Join(t.TempDir(), "test.bin")
	b, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	os.WriteFile(exe, b, 0o755)
	for d := filepath.Dir(exe); d != os.TempDir() && len(d) > 1; d = filepath.Dir(d) {
		os.Chmod(d, 0o755)
	}
	cmd := exec.Command(exe, "-test.run=TestReadOnlyFolder", "-test.v")
	cmd.Env = append(os.Environ(), "EVIDENCE_TEST_READONLY="+dir)
	if os.Getuid() == 0 { // root may write anything
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "can't be written") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestGroupCommit: appends of many goroutines all get their own place.
func TestGroupCommit(t *testing.T) {
	l := open(t, onDisk(t))
	const workers, each = 16, 10
	var mu sync.Mutex
	at := map[int64]string{}
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for n := range each {
				id := fmt.Sprintf("%d-%d", w, n)
				i, err := l.Append(ctx, decision(id, "case.note", "C-1"))
				if err != nil {
					t.Error(err)
					return
				}
				if e, ok, err := l.Entry(id); !ok || err != nil || e.ID != id {
					t.Errorf("Entry(%s) right after Append: %v, %v", id, ok, err)
				}
				if n%3 == 0 { // one that is refused harms nobody
					if _, err := l.Append(ctx, impound.Entry{}); impound.KindOf(err) != impound.KindInvalid {
						t.Error(err)
					}
				}
				mu.Lock()
				if at[i] != "" {
					t.Errorf("index %d was given to %s and %s", i, at[i], id)
				}
				at[i] = id
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	err := l.Entries(ctx, 0, func(i int64, e impound.Entry) error {
		if at[i] != e.ID {
			t.Errorf("entry %d is %s, and %s was told so", i, e.ID, at[i])
		}
		return nil
	})
	if err != nil || len(at) != workers*each {
		t.Errorf("%d entries, %v", len(at), err)
	}
}

func TestEntries(t *testing.T) {
	l := open(t, folder(t))
	fill(t, l)
	var seen []int64
	err := l.Entries(ctx, 5, func(i int64, e impound.Entry) error {
		seen = append(seen, i)
		_, err := l.Append(ctx, decision("", "case.note", "C-1"))
		return err
	})
	if d := cmp.Diff([]int64{5, 6}, seen); d != "" || err != nil {
		t.Errorf("%v (-want +got):\n%s", err, d)
	}
	stop := errors.New("stop")
	if err := l.Entries(ctx, 0, func(int64, impound.Entry) error { return stop }); err != stop {
		t.Errorf("Entries gave %v, want fn's own error", err)
	}
	done, cancel := context.WithCancel(ctx)
	cancel()
	if err := l.Entries(done, 0, func(int64, impound.Entry) error { return nil }); err == nil {
		t.Error("Entries with a cancelled context gave no error")
	}
}

// TestModel drives two handles on one folder and a slice side by side.
func TestModel(t *testing.T) {
	t.Parallel()
	base := filepath.Dir(folder(t))
	run := 0
	names := []impound.Name{{}, impound.MustName("a.example"), impound.MustName("b.example")}
	rapid.Check(t, func(rt *rapid.T) {
		run++
		dir := filepath.Join(base, fmt.Sprint(run), "evidence")
		logs := []*evidence.Log{open(t, dir), open(t, dir)}
		defer func() { logs[0].Close(); logs[1].Close() }()
		var model []impound.Entry
		which := func(rt *rapid.T) *evidence.Log { return logs[rapid.IntRange(0, 1).Draw(rt, "log")] }
		draw := func(rt *rapid.T) impound.Entry {
			return impound.Entry{
				ID: rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}).Draw(rt, "id"), Type: rapid.SampledFrom([]impound.EntryType{impound.EntryDecision, impound.EntrySystem}).Draw(rt, "type"),
				By: "ana", What: rapid.SampledFrom([]string{"case.open", "case.add", "people.enrol"}).Draw(rt, "what"), At: t0,
				Case: rapid.SampledFrom([]string{"", "C-1", "C-2"}).Draw(rt, "case"), Order: rapid.SampledFrom([]string{"", "O-1"}).Draw(rt, "order"), Name: rapid.SampledFrom(names).Draw(rt, "name"),
			}
		}
		find := func(id string) int {
			for i, e := range model {
				if e.ID == id {
					return i
				}
			}
			return -1
		}
		same := cmp.Comparer(func(a, b impound.Name) bool { return a == b })
		rt.Repeat(map[string]func(*rapid.T){
			"append": func(rt *rapid.T) {
				e := draw(rt)
				i, err := which(rt).Append(ctx, e)
				at := find(e.ID)
				switch {
				case at < 0:
					if err != nil || i != int64(len(model)) {
						rt.Fatal(i, err)
					}
					model = append(model, e)
				case cmp.Equal(model[at], e, same):
					if err != nil || i != int64(at) {
						rt.Fatal(i, err)
					}
				default:
					if impound.KindOf(err) != impound.KindConflict {
						rt.Fatal(i, err)
					}
				}
			},
			"reopen": func(rt *rapid.T) {
				k := rapid.IntRange(0, 1).Draw(rt, "log")
				logs[k].Close()
				logs[k] = open(t, dir)
			},
			"select": func(rt *rapid.T) {
				f := evidence.Filter{
					Case: rapid.SampledFrom([]string{"", "C-1", "C-2"}).Draw(rt, "case"), Order: rapid.SampledFrom([]string{"", "O-1", "O-9"}).Draw(rt, "order"), Name: rapid.SampledFrom(names).Draw(rt, "name"),
					What: rapid.SampledFrom([]string{"", "case.", "case.open", "people.enrol", "none."}).Draw(rt, "what"), Type: rapid.SampledFrom([]impound.EntryType{"", impound.EntrySystem}).Draw(rt, "type"),
					From: rapid.Int64Range(0, 3).Draw(rt, "from"), Limit: rapid.IntRange(0, 2).Draw(rt, "limit"),
				}
				var want []evidence.Indexed
				for i, e := range model {
					what := f.What == "" || e.What == f.What || f.What == "case." && strings.HasPrefix(e.What, "case.")
					if int64(i) >= f.From && what && (f.Case == "" || e.Case == f.Case) && (f.Order == "" || e.Order == f.Order) && (f.Name.IsZero() || e.Name == f.Name) && (f.Type == "" || e.Type == f.Type) && (f.Limit == 0 || len(want) < f.Limit) {
						want = append(want, evidence.Indexed{Index: int64(i), Entry: e})
					}
				}
				got, err := which(rt).Select(ctx, f)
				if d := cmp.Diff(want, got, same); d != "" || err != nil {
					rt.Fatalf("Select(%+v): %v (-want +got):\n%s", f, err, d)
				}
			},
		})
		r := verify(t, dir)
		if !r.OK() || r.Entries != int64(len(model)) {
			rt.Fatal(r)
		}
	})
}
