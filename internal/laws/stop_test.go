package laws

import (
	"bytes"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/cli"
	"github.com/impound/impound/internal/seizure"
)

// run is one command in a process of its own, which a person may stop.
type run struct {
	cmd     *exec.Cmd
	points  string
	release string // is made to let it go on

	mu    sync.Mutex
	out   bytes.Buffer
	ended chan struct{}
	err   error
}

func (r *run) Write(b []byte) (int, error) { r.mu.Lock(); defer r.mu.Unlock(); return r.out.Write(b) }

func (r *run) text() string { r.mu.Lock(); defer r.mu.Unlock(); return r.out.String() }

// begin starts a command that stays at the given point, such as "acted 3".
func (w *world) begin(t testing.TB, holdAt string, args ...string) *run {
	t.Helper()
	dir := t.TempDir()
	r := &run{points: filepath.Join(dir, "points"), release: filepath.Join(dir, "release"), ended: make(chan struct{})}
	r.cmd = exec.Command(os.Args[0], append([]string{"--state", w.state}, args...)...)
	r.cmd.Env = append(os.Environ(), "IMPOUND_TEST_LAWS=cli", "IMPOUND_TEST_POINTS="+r.points, "IMPOUND_TEST_HOLD_AT="+holdAt, "IMPOUND_TEST_RELEASE="+r.release)
	r.cmd.Stdout, r.cmd.Stderr = r, r
	must(t, r.cmd.Start())
	go func() { r.err = r.cmd.Wait(); close(r.ended) }()
	t.Cleanup(func() { _ = r.cmd.Process.Kill(); <-r.ended })
	return r
}

// until waits for what the process does, or says.
func (r *run) until(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 6000 {
		if ok() {
			return
		}
		select {
		case <-r.ended:
			if !ok() {
				t.Fatalf("it ended (%v) before %s:\n%s", r.err, what, r.text())
			}
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
	t.Fatalf("waited two minutes for %s:\n%s", what, r.text())
}

func (r *run) held(t testing.TB) {
	t.Helper()
	r.until(t, "it is where it is to be stopped", func() bool {
		b, _ := os.ReadFile(r.points)
		return bytes.Contains(b, []byte("\nheld\n"))
	})
}

// ctrlC is the first, until it was heard.
func (r *run) ctrlC(t testing.TB) {
	t.Helper()
	must(t, r.cmd.Process.Signal(os.Interrupt))
	r.until(t, "it says that it stops", func() bool { return strings.Contains(r.text(), "stopping: what is under way is finished") })
}

// end waits for the end.
func (r *run) end(t testing.TB) (code int, by os.Signal) {
	t.Helper()
	select {
	case <-r.ended:
	case <-time.After(2 * time.Minute):
		t.Fatalf("it does not end:\n%s", r.text())
	}
	var x *exec.ExitError
	if errors.As(r.err, &x) {
		if ws, ok := x.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return -1, ws.Signal()
		}
		return x.ExitCode(), nil
	}
	return 0, nil
}

// TestCtrlC: the first ends what is under way and begins nothing more, the second
// ends the program where it is. Nothing is lost either way, and the next run does
// the rest, each act once.
func TestCtrlC(t *testing.T) {
	t.Parallel()
	names := []impound.Name{live, spare, unlisted}
	ready := func(t *testing.T) (*world, string) {
		w := newWorld(t, sunk(t))
		s := w.open(t)
		defer s.Close()
		now := time.Now()
		w.file(t, s, terms{id: liveOrder, names: names, from: now.Add(-time.Minute), until: now.Add(time.Hour)})
		return w, w.plan(t, s, liveOrder, "ben", "dora")
	}
	updates := func(w *world) int {
		n := 0
		for k := range updatesSince(w, 0) {
			if strings.HasPrefix(k, "domain:update ") {
				n++
			}
		}
		return n
	}
	finish := func(t *testing.T, w *world, plan string) {
		t.Helper()
		sw := sweep{want: 2 + len(names), once: func(_ testing.TB, w *world) map[string]int { return updatesSince(w, 0) }}
		sw.check(t, w, []string{"seize", "apply", plan, "--as", "olaf", "--keep-trying", "1m"})
	}
	const firstName = "acted 3" // two hosts come before
	t.Run("once", func(t *testing.T) {
		t.Parallel()
		w, plan := ready(t)
		r := w.begin(t, firstName, "seize", "apply", plan, "--as", "olaf", "--keep-trying", "1h")
		r.held(t)
		r.ctrlC(t)
		must(t, os.WriteFile(r.release, nil, 0o600))
		code, sig := r.end(t)
		if out := r.text(); code != cli.ExitPartial || sig != nil || strings.Count(out, "\tskipped\tstopped before it was begun\n") != 2 || strings.Count(out, "\tdone\t") != 1 || strings.Contains(out, "level=ERROR") {
			t.Errorf("it ended with %d, %v:\n%s", code, sig, out)
		}
		if n := updates(w); n != 1 {
			t.Errorf("%d names were changed", n)
		}
		s := w.open(t)
		st, err := s.Seizure.Status(t.Context(), liveOrder)
		must(t, err)
		must(t, s.Close())
		if len(st) != 1 || st[0].Outcome != seizure.Done {
			t.Errorf("%+v", st)
		}
		finish(t, w, plan)
	})
	t.Run("twice", func(t *testing.T) {
		t.Parallel()
		for at, changed := range map[string]int{firstName: 1, "intended 4": 1, "framed 4": 2, "result 5": 3} {
			w, plan := ready(t)
			r := w.begin(t, at, "seize", "apply", plan, "--as", "olaf")
			r.held(t)
			r.ctrlC(t)
			// The first one took the handler away a moment after it was heard.
			r.until(t, "the second ends it", func() bool {
				_ = r.cmd.Process.Signal(os.Interrupt)
				select {
				case <-r.ended:
					return true
				default:
					return false
				}
			})
			if code, sig := r.end(t); sig != syscall.SIGINT {
				t.Errorf("%s: it ended with %d, %v:\n%s", at, code, sig, r.text())
			}
			if n := updates(w); n != changed {
				t.Errorf("%s: %d names were changed, want %d", at, n, changed)
			}
			finish(t, w, plan)
		}
	})
	t.Run("before T0", func(t *testing.T) {
		t.Parallel()
		w, plan := ready(t)
		r := w.begin(t, "", "seize", "apply", plan, "--as", "olaf", "--at", time.Now().UTC().Add(20*time.Minute).Format(time.RFC3339))
		r.until(t, "it waits for T0", func() bool { return strings.Contains(r.text(), "sessions are open; T0 is in") })
		r.ctrlC(t)
		if code, sig := r.end(t); code == cli.ExitOK || sig != nil || !strings.Contains(r.text(), "stopped before it was begun") {
			t.Errorf("it ended with %d, %v:\n%s", code, sig, r.text())
		}
		if acts := w.acts(); len(acts) > 0 {
			t.Errorf("done before T0: %+v", acts)
		}
		finish(t, w, plan)
	})
}

// TestStalePlan: a plan is refused, with the reason and what to do, where what it
// rests on has changed or it is too old; nothing is done by it.
func TestStalePlan(t *testing.T) {
	t.Parallel()
	touch := func(t testing.TB, w *world, n impound.Name) {
		w.somebodyElse(t, `<update><d:update xmlns:d="urn:ietf:params:xml:ns:domain-1.0"><d:name>`+n.String()+`</d:name>`+
			`<d:rem><d:ns><d:hostObj>ns2.bulk-host.example</d:hostObj></d:ns></d:rem></d:update></update>`)
	}
	for what, tt := range map[string]struct {
		off     time.Duration // of the clock when it is made
		prep    func(t testing.TB, w *world, s *app.System)
		code    int
		says    []string
		changed int // names
	}{
		"one name was changed": {prep: func(t testing.TB, w *world, _ *app.System) { touch(t, w, spare) },
			code: cli.ExitPartial, says: []string{spare.Defanged() + ": stale:", "it is no longer as the plan says", "ns2[.]bulk-host[.]example", "impound seize plan " + liveOrder}, changed: 1},
		"every name was changed": {prep: func(t testing.TB, w *world, _ *app.System) { touch(t, w, spare); touch(t, w, live) },
			code: cli.ExitFailure, says: []string{"it is no longer as the plan says", "impound seize plan " + liveOrder}},
		"it is a day old": {off: -25 * time.Hour, code: cli.ExitFailure, says: []string{"is stale: it was good until", "impound seize plan " + liveOrder}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorldAt(t, tt.off, sunk(t))
			s := w.open(t)
			w.file(t, s, terms{id: liveOrder, names: []impound.Name{live, spare}, from: w.clock.now().Add(-time.Minute), until: w.clock.now().Add(48 * time.Hour)})
			plan := w.plan(t, s, liveOrder, "ben", "dora")
			if tt.prep != nil {
				tt.prep(t, w, s)
			}
			must(t, s.Close())
			w.clock.set(0)
			before := len(w.acts())
			for range 2 { // it stays so
				r := w.begin(t, "", "seize", "apply", plan, "--as", "olaf")
				code, sig := r.end(t)
				if code != tt.code || sig != nil {
					t.Errorf("it ended with %d, %v:\n%s", code, sig, r.text())
				}
				for _, x := range tt.says {
					if !strings.Contains(r.text(), x) {
						t.Errorf("it does not say %q:\n%s", x, r.text())
					}
				}
			}
			n := 0
			for k, times := range updatesSince(w, before) {
				if strings.HasPrefix(k, "domain:update ") {
					n += times
				}
			}
			if n != tt.changed {
				t.Errorf("%d changes: %v", n, updatesSince(w, before))
			}
		})
	}
}
