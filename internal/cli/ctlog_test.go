package cli

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/watch/source/ctlog/sunlighttest"
)

// A real log: from submission to candidate, with restarts and SIGKILL of the
// watch and of the log in between; nothing skipped, nothing twice.
func TestSunlightFromSubmissionToCandidate(t *testing.T) {
	t.Parallel()
	bin, ok := sunlighttest.Find()
	peertest.NeedThat(t, "sunlight", ok, sunlighttest.How)
	log, err := sunlighttest.Start(t.Context(), bin, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Stop)
	state := t.TempDir()
	info := log.Info()
	cfg := fmt.Sprintf("watch:\n  rate: -1\n  poll: 200ms\n  sources:\n  - name: sunlight\n    ct: %s\n    submission: %s\n    key: %s\n    from: start\n", info.Monitor, info.URL, base64.StdEncoding.EncodeToString(info.Key))
	if err := os.WriteFile(filepath.Join(state, app.ConfigFile), []byte(cfg), 0o600); err != nil {
		t.Fatal(err)
	}
	command := func(args ...string) *exec.Cmd {
		c := exec.Command(os.Args[0], append([]string{"--state", state}, args...)...)
		c.Env = append(os.Environ(), "IMPOUND_TEST_CLI=1")
		return c
	}
	var said bytes.Buffer
	start := func() *exec.Cmd {
		c := command("watch", "run")
		c.Stderr = &said
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		return c
	}
	list := func(args ...string) []byte {
		t.Helper()
		out, err := command(args...).Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return out
	}
	candidates := func() (out []string) {
		t.Helper()
		var cs []impound.Candidate
		if err := json.Unmarshal(list("watch", "list", "--json"), &cs); err != nil {
			t.Fatal(err)
		}
		for _, c := range cs {
			out = append(out, c.Name.String())
		}
		slices.Sort(out)
		return out
	}
	type status struct {
		Position, Verified, Target, Items, Hits, Added, Errors int64
		Held                                                   string
	}
	state1 := func() status {
		t.Helper()
		var st []status
		if err := json.Unmarshal(list("watch", "status", "--json"), &st); err != nil || len(st) != 1 {
			t.Fatalf("%v %+v", err, st)
		}
		return st[0]
	}
	submit := func(pre bool, names ...string) error {
		der, err := log.Cert(names...)
		if pre {
			der, err = log.PreCert(names...)
		}
		if err == nil {
			err = log.Submit(t.Context(), der, pre)
		}
		return err
	}

	run := start()
	shown := time.Now()
	if err := submit(false, "paypal-first.example", "*.paypal-first.example", "192.0.2.7"); err != nil {
		t.Fatal(err)
	}
	for !slices.Contains(candidates(), "paypal-first.example") {
		if time.Since(shown) > time.Minute {
			t.Fatalf("no candidate after a minute: %s", said.String())
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Logf("from submission to candidate: %v at most", time.Since(shown).Round(100*time.Millisecond))

	// Certificates come all the time while the watch, and once the log itself,
	// are killed.
	want := []string{"paypal-first.example"}
	var mu sync.Mutex
	var n, entries atomic.Int64
	entries.Add(1)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	for range 12 {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := n.Add(1)
				name := fmt.Sprintf("paypal-login-%d.example", i)
				if i%5 == 0 {
					name = fmt.Sprintf("ordinary-%d.example", i)
				}
				if submit(i%2 == 0, name) == nil {
					entries.Add(1)
					if strings.HasPrefix(name, "paypal") {
						mu.Lock()
						want = append(want, name)
						mu.Unlock()
					}
				}
			}
		})
	}
	for i := range 4 {
		time.Sleep(700 * time.Millisecond)
		_ = run.Process.Kill()
		_ = run.Wait()
		if i == 1 {
			log.KillWriter()
			if err := log.StartWriter(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		run = start()
	}
	time.Sleep(700 * time.Millisecond)
	stop()
	wg.Wait()
	if err := run.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := run.Wait(); err != nil {
		t.Errorf("the watch ended with %v: %s", err, said.String())
	}
	list("watch", "run", "--once")
	st := state1()
	got := candidates()
	slices.Sort(want)
	// What the log took and could not answer for any more is there too.
	for _, w := range want {
		if !slices.Contains(got, w) {
			t.Errorf("%s was skipped", w)
		}
	}
	t.Logf("%d entries, %d submitted with an answer, %d candidates", st.Position, entries.Load(), len(got))
	if st.Position < entries.Load() || st.Items != st.Position || st.Verified != st.Position || st.Held != "" {
		t.Errorf("of %d entries: %+v", entries.Load(), st)
	}
	// Each name stands in one certificate alone, so had an entry been screened
	// twice, there were more hits than names.
	if st.Hits != st.Added || st.Added != int64(len(got)) {
		t.Errorf("something was queued twice: %+v, %d candidates", st, len(got))
	}
	if d := cmp.Diff(st.Position, st.Target); d != "" {
		t.Error(d)
	}
}
