package evidence_test

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
)

// grown gives a closed log with n entries, and the entries.
func grown(t *testing.T, dir string, n int) []impound.Entry {
	t.Helper()
	l := open(t, dir)
	defer l.Close()
	grow(t, l, n)
	return entriesOf(t, l)
}

func grow(t *testing.T, l *evidence.Log, n int) {
	t.Helper()
	from := int(l.Size())
	for from < n {
		var es []impound.Entry
		for len(es) < 300 && from < n {
			e := impound.Entry{ID: fmt.Sprintf("id-%d", from), Type: impound.EntryDecision, By: "ada", What: []string{"case.note", "case.open", "people.enrol", "seize.plan"}[from%4*boolInt(from%7 == 0)],
				Case: fmt.Sprintf("C-%d", from%13), Name: impound.MustName(fmt.Sprintf("name%d.example", from%31)), Detail: map[string]string{"n": fmt.Sprint(from)}}
			es = append(es, e)
			from++
		}
		if _, err := l.AppendAll(ctx, es); err != nil {
			t.Fatal(err)
		}
	}
}

func boolInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

func entriesOf(t *testing.T, l *evidence.Log) []impound.Entry {
	t.Helper()
	var out []impound.Entry
	if err := l.Entries(ctx, 0, func(i int64, e impound.Entry) error {
		if i != int64(len(out)) {
			return fmt.Errorf("entry %d after %d", i, len(out))
		}
		out = append(out, e)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return out
}

// same asks the log everything that an index answers, and compares with a walk
// over all entries.
func same(t *testing.T, l *evidence.Log, want []impound.Entry) {
	t.Helper()
	if l.Size() != int64(len(want)) {
		t.Fatalf("size %d, want %d", l.Size(), len(want))
	}
	for _, i := range []int{0, 1, len(want) / 3, 1023, 1024, len(want) - 1} {
		if i >= len(want) {
			continue
		}
		if e, ok, err := l.Entry(want[i].ID); !ok || err != nil || e.ID != want[i].ID {
			t.Fatalf("entry %s: %v, %v", want[i].ID, ok, err)
		}
	}
	if _, ok, err := l.Entry("nobody"); ok || err != nil {
		t.Fatal(ok, err)
	}
	for _, f := range []evidence.Filter{
		{Case: "C-3"}, {Name: impound.MustName("name7.example")}, {What: "people.enrol"}, {What: "case."}, {Type: impound.EntryDecision, Case: "C-1"},
		{Case: "C-5", Name: impound.MustName("name5.example")}, {Case: "nobody"}, {Case: "C-4", From: 900, Limit: 7}, {From: int64(len(want)) - 5},
	} {
		var fit []int64
		for i, e := range want {
			if int64(i) >= f.From && (f.Case == "" || e.Case == f.Case) && (f.Name.IsZero() || e.Name == f.Name) && (f.Type == "" || e.Type == f.Type) &&
				(f.What == "" || e.What == f.What || strings.HasSuffix(f.What, ".") && strings.HasPrefix(e.What, f.What)) {
				fit = append(fit, int64(i))
			}
		}
		index := func(es []evidence.Indexed) (out []int64) {
			for _, e := range es {
				out = append(out, e.Index)
			}
			return out
		}
		got, err := l.Select(ctx, f)
		limited := fit
		if f.Limit > 0 {
			limited = fit[:min(f.Limit, len(fit))]
		}
		if diff := cmp.Diff(limited, index(got)); err != nil || diff != "" {
			t.Fatalf("%+v: %v\n%s", f, err, diff)
		}
		f.Limit = 10
		page, total, err := l.Newest(ctx, f, 3)
		back := slices.Clone(fit)
		slices.Reverse(back)
		back = back[min(3, len(back)):]
		back = back[:min(10, len(back))]
		if len(back) == 0 {
			back = nil
		}
		if diff := cmp.Diff(back, index(page)); err != nil || total != len(fit) || diff != "" {
			t.Fatalf("newest %+v: %d of %d, %v\n%s", f, total, len(fit), err, diff)
		}
	}
	var some []string
	next, err := l.EntriesOf(ctx, 100, []string{"people.enrol", "seize.plan"}, func(i int64, e impound.Entry) error {
		some = append(some, e.ID)
		return nil
	})
	var wantSome []string
	for i, e := range want {
		if i >= 100 && (e.What == "people.enrol" || e.What == "seize.plan") {
			wantSome = append(wantSome, e.ID)
		}
	}
	if diff := cmp.Diff(wantSome, some); err != nil || next != int64(len(want)) || diff != "" {
		t.Fatalf("%v, next %d\n%s", err, next, diff)
	}
}

func indexFiles(t *testing.T, dir string) []string {
	t.Helper()
	m, err := filepath.Glob(filepath.Join(dir, "index", "*"))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// TestIndex: whatever becomes of the index, the answers are the same.
func TestIndex(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	want := grown(t, dir, 1024*7+100)
	files := indexFiles(t, dir)
	var names []string
	for _, f := range files {
		names = append(names, filepath.Base(f))
	}
	if diff := cmp.Diff([]string{"10-000000006", "11-000000002", "12-000000000"}, names); diff != "" {
		t.Fatal(diff)
	}
	kept := map[string][]byte{}
	for _, f := range files {
		kept[f], _ = os.ReadFile(f)
	}
	other := folder(t) // the same entries, another key
	grown(t, other, 1024*7+100)
	for name, do := range map[string]func(){
		"as it is":      func() {},
		"gone":          func() { os.RemoveAll(filepath.Join(dir, "index")) },
		"one part gone": func() { os.Remove(files[2]) },
		"another log's": func() {
			for _, f := range indexFiles(t, other) {
				b, _ := os.ReadFile(f)
				os.WriteFile(filepath.Join(dir, "index", filepath.Base(f)), b, 0o600)
			}
		},
		"parts changed places": func() { os.WriteFile(files[0], kept[files[1]], 0o600) },
		"cut":                  func() { os.Truncate(files[1], 3000) },
		"empty":                func() { os.Truncate(files[2], 0) },
		"a leftover":           func() { os.WriteFile(filepath.Join(dir, "index", "new-1"), nil, 0o600) },
	} {
		t.Run(name, func(t *testing.T) {
			do()
			l := open(t, dir)
			same(t, l, want)
			l.Close()
			if got := indexFiles(t, dir); name != "gone" && name != "one part gone" && len(got) != 3 {
				t.Errorf("the index now: %v", got)
			}
			wantClean(t, dir)
			if r := verify(t, dir); len(r.Notes) > 0 {
				t.Errorf("not made whole: %v", r.Notes)
			}
		})
	}
	t.Run("any octet changed", func(t *testing.T) {
		for _, f := range files {
			b := kept[f]
			for k := range 3 { // other octets in each run
				c := slices.Clone(b)
				c[(k*len(b)+rand.IntN(len(b)))/3] ^= 1 << rand.IntN(8)
				for g, b := range kept {
					os.WriteFile(g, b, 0o600)
				}
				os.WriteFile(f, c, 0o600)
				if r := verify(t, dir); !r.OK() || len(r.Notes) == 0 {
					t.Fatalf("verify: %v, %v", r.Problems, r.Notes)
				}
				l := open(t, dir)
				same(t, l, want)
				l.Close()
			}
		}
	})
}

// TestIndexOld: an index of before is caught up.
func TestIndexOld(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	grown(t, dir, 1024+5)
	old := map[string][]byte{}
	for _, f := range indexFiles(t, dir) {
		old[f], _ = os.ReadFile(f)
	}
	want := grown(t, dir, 4096+50)
	os.RemoveAll(filepath.Join(dir, "index"))
	os.MkdirAll(filepath.Join(dir, "index"), 0o700)
	for f, b := range old {
		os.WriteFile(f, b, 0o600)
	}
	l := open(t, dir)
	same(t, l, want)
	// Adding what is there adds nothing, however it is found.
	if i, err := l.Append(ctx, want[17]); err != nil || i != 17 {
		t.Errorf("%d, %v", i, err)
	}
}

// TestIndexedEntryChanged: an entry that the index holds is not proven when the
// log is opened, but whenever it is read.
func TestIndexedEntryChanged(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	want := grown(t, dir, 3000)
	p := filepath.Join(dir, "entries.jsonl")
	b, _ := os.ReadFile(p)
	at := strings.Index(string(b), `"id-770"`) // 770 is people.enrol
	line := strings.LastIndexByte(string(b[:at]), '\n') + 1
	i := line + strings.Index(string(b[line:]), `"by":"ada"`) + 6
	b[i] = 'e'
	os.WriteFile(p, b, 0o600)
	l := open(t, dir)
	_, _, err := l.Entry("id-770")
	wantError(t, err, impound.KindInternal, "entry 770 was changed")
	err = l.Entries(ctx, 0, func(int64, impound.Entry) error { return nil })
	wantError(t, err, impound.KindInternal, "entry 770 was changed")
	_, err = l.Select(ctx, evidence.Filter{Case: want[770].Case})
	wantError(t, err, impound.KindInternal, "entry 770 was changed")
	_, err = l.EntriesOf(ctx, 0, []string{want[770].What}, func(int64, impound.Entry) error { return nil })
	wantError(t, err, impound.KindInternal, "entry 770 was changed")
	_, _, err = l.Newest(ctx, evidence.Filter{}, 3000-1-770)
	wantError(t, err, impound.KindInternal, "entry 770 was changed")
	if r := verify(t, dir); r.OK() {
		t.Error("verify did not notice")
	}
	// Without the index it is not opened at all.
	l.Close()
	os.RemoveAll(filepath.Join(dir, "index"))
	_, err = evidence.Open(dir, evidence.Options{})
	wantError(t, err, impound.KindInternal, "entry 770 was changed")
}

// TestHashesOfOldChanged: the hashes far from the end are mended when they are
// wanted, and the log says so.
func TestHashesOfOldChanged(t *testing.T) {
	t.Parallel()
	for _, gone := range []bool{false, true} {
		dir := folder(t)
		want := grown(t, dir, 3000)
		if gone {
			os.RemoveAll(filepath.Join(dir, "index")) // then they are wanted at once
		}
		p := filepath.Join(dir, "hashes")
		b, _ := os.ReadFile(p)
		b[32*700] ^= 1
		os.WriteFile(p, b, 0o600)
		if verify(t, dir).OK() {
			t.Fatal("verify did not notice")
		}
		l := open(t, dir)
		if gone {
			want = entriesOf(t, l)
		}
		same(t, l, want)
		entriesOf(t, l)
		if _, err := l.Append(ctx, decision("next", "case.open", "C-1")); err != nil {
			t.Fatal(err)
		}
		if x, err := l.Select(ctx, evidence.Filter{What: "evidence.repair"}); err != nil || len(x) != 1 {
			t.Errorf("%v, %v; want one entry on the repair", x, err)
		}
		wantClean(t, dir)
	}
}

// TestIndexOfTwo: a log that is open sees what another process appends and
// indexes, whoever joins which parts.
func TestIndexOfTwo(t *testing.T) {
	t.Parallel()
	dir := folder(t)
	a, b := open(t, dir), open(t, dir)
	for n := 500; n < 4600; n += 2000 {
		grow(t, a, n)
		same(t, b, entriesOf(t, a))
		grow(t, b, n+900)
		same(t, a, entriesOf(t, b))
	}
	wantClean(t, dir)
}

// TestIndexCutOff kills a process at each step of writing the index, and fails
// each: nothing is lost, and the next Open is right.
func TestIndexCutOff(t *testing.T) {
	if dir := os.Getenv("EVIDENCE_TEST_INDEX"); dir != "" {
		step, _, _ := strings.Cut(os.Getenv("EVIDENCE_TEST_STEP"), ":")
		var nth int
		fmt.Sscan(os.Getenv("EVIDENCE_TEST_STEP")[len(step)+1:], &nth)
		l, err := evidence.Open(dir, evidence.WithHook(evidence.Options{}, func(s string) error {
			if s == step {
				if nth--; nth < 0 {
					syscall.Kill(os.Getpid(), syscall.SIGKILL)
					select {}
				}
			}
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		grow(t, l, 4100)
		os.Exit(3) // it should have died
	}
	t.Parallel()
	for _, step := range evidence.IndexSteps {
		for _, nth := range []int{rand.IntN(3), 3 + rand.IntN(2), 5, 6} { // four parts, and three joined ones; others in another run
			dir := onDisk(t)
			cmd := exec.Command(os.Args[0], "-test.run=^TestIndexCutOff$")
			cmd.Env = append(os.Environ(), "EVIDENCE_TEST_INDEX="+dir, fmt.Sprintf("EVIDENCE_TEST_STEP=%s:%d", step, nth))
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
				t.Fatalf("%s %d: %v", step, nth, err)
			}
			l := open(t, dir)
			grow(t, l, 4100)
			same(t, l, entriesOf(t, l))
			l.Close()
			wantClean(t, dir)
		}
		dir := folder(t)
		l, err := evidence.Open(dir, evidence.WithHook(evidence.Options{}, func(s string) error {
			if s == step {
				return syscall.ENOSPC
			}
			return nil
		}))
		if err != nil {
			t.Fatal(err)
		}
		grow(t, l, 4100)
		same(t, l, entriesOf(t, l))
		l.Close()
		l = open(t, dir)
		entriesOf(t, l)
		wantClean(t, dir)
	}
}
