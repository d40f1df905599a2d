package evidence_test

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
	"golang.org/x/sys/unix"
)

// TestMain lets the test binary be its own child process.
func TestMain(m *testing.M) {
	if mode := os.Getenv("EVIDENCE_TEST_CHILD"); mode != "" {
		if err := child(mode, os.Getenv("EVIDENCE_TEST_DIR")); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(mode, dir string) error {
	mode, arg, _ := strings.Cut(mode, ":")
	if mode == "full" {
		return fullDisk(dir)
	}
	l, err := evidence.Open(dir, evidence.Options{})
	if err != nil {
		return err
	}
	defer l.Close()
	steps := 1 << 30
	if mode == "count" {
		steps, _ = strconv.Atoi(arg)
	}
	workers := 3 // so that some writes carry several entries
	if mode == "die" {
		workers = 1
		captured := false // die in the write of an artefact, not of the entry before it
		l.SetHook(func(step string) error {
			captured = captured || step == evidence.Steps[0]
			if step == arg && captured {
				syscall.Kill(os.Getpid(), syscall.SIGKILL)
				select {}
			}
			return nil
		})
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	errs := make(chan error, 3)
	for w := range workers {
		wg.Go(func() {
			for n := range steps {
				id := fmt.Sprintf("%d-%d-%d", os.Getpid(), w, n)
				i, err := l.Append(ctx, impound.Entry{ID: id, Type: impound.EntryDecision, By: "ana", What: "test", Detail: map[string]string{"pad": strings.Repeat("x", rand.IntN(3000))}})
				if err != nil {
					errs <- err
					return
				}
				a, err := l.Capture(ctx, impound.Artefact{Kind: "test", Source: id, Tool: "test", By: "ana"}, []byte(strings.Repeat(id, rand.IntN(200))))
				if err != nil {
					errs <- err
					return
				}
				mu.Lock()
				fmt.Printf("%s %d %s\n", id, i, a.Hash)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	close(errs)
	return <-errs
}

func start(t *testing.T, dir, mode string) (*exec.Cmd, io.Reader) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EVIDENCE_TEST_CHILD="+mode, "EVIDENCE_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, out
}

// acknowledged is what children were told is safe.
type acknowledged map[string]struct {
	index int64
	hash  string
}

// read reads a child's output; a line cut by its death was not told.
func (k acknowledged) read(t *testing.T, r io.Reader) {
	b, err := io.ReadAll(r)
	if err != nil {
		t.Error(err)
	}
	for line := range strings.Lines(string(b)) {
		var id, hash string
		var i int64
		if n, _ := fmt.Sscanf(line, "%s %d %s\n", &id, &i, &hash); n == 3 && strings.HasSuffix(line, "\n") {
			k[id] = struct {
				index int64
				hash  string
			}{i, hash}
		}
	}
}

// check opens the folder after a crash: all that was acknowledged is there,
// and the folder verifies.
func (k acknowledged) check(t *testing.T, dir string) {
	t.Helper()
	l, err := evidence.Open(dir, evidence.Options{})
	if err != nil {
		t.Fatalf("Open after a crash: %v", err)
	}
	defer l.Close()
	at := map[int64]string{}
	err = l.Entries(ctx, 0, func(i int64, e impound.Entry) error { at[i] = e.ID; return nil })
	if err != nil {
		t.Fatal(err)
	}
	for id, a := range k {
		if at[a.index] != id {
			t.Fatalf("entry %s was acknowledged at %d, where %q stands now", id, a.index, at[a.index])
		}
		if _, err := l.Read(a.hash); err != nil {
			t.Fatalf("artefact of %s was acknowledged: %v", id, err)
		}
	}
	wantClean(t, dir)
}

// TestKilledAtRandom kills appending processes at random moments, over and
// over: one at a time, and one of two that append at once.
func TestKilledAtRandom(t *testing.T) {
	t.Parallel()
	dir := onDisk(t)
	k := acknowledged{}
	for round := range 10 {
		cmd, out := start(t, dir, "loop")
		r := bufio.NewReader(out)
		r.Peek(1) // it runs
		other := acknowledged{}
		var both sync.WaitGroup
		if round%3 == 2 {
			cmd2, out2 := start(t, dir, "count:3")
			both.Go(func() {
				other.read(t, out2)
				if err := cmd2.Wait(); err != nil {
					t.Errorf("a process died of another's death: %v", err)
				}
			})
		}
		time.Sleep(time.Duration(rand.IntN(30000)) * time.Microsecond)
		cmd.Process.Kill()
		k.read(t, r)
		cmd.Wait()
		both.Wait()
		for id, a := range other {
			k[id] = a
		}
		k.check(t, dir)
	}
	if len(k) < 10 {
		t.Errorf("only %d entries were acknowledged: the test tests nothing", len(k))
	}
}

// TestKilledAtEachStep kills a process at each step of a write.
func TestKilledAtEachStep(t *testing.T) {
	t.Parallel()
	for _, step := range evidence.Steps {
		t.Run(step, func(t *testing.T) {
			dir := onDisk(t)
			k := acknowledged{}
			for range 3 {
				cmd, out := start(t, dir, "die:"+step)
				k.read(t, out)
				if err := cmd.Wait(); err == nil || cmd.ProcessState.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
					t.Fatalf("the child was not killed at %q: %v", step, err)
				}
				k.check(t, dir)
			}
		})
	}
}

// TestTwoProcesses: two processes and this one append at once; nothing is
// lost, and nothing is there twice.
func TestTwoProcesses(t *testing.T) {
	dir := onDisk(t)
	l := open(t, dir)
	k := acknowledged{}
	c1, o1 := start(t, dir, "count:8")
	c2, o2 := start(t, dir, "count:8")
	k2 := acknowledged{}
	var wg sync.WaitGroup
	wg.Go(func() { k.read(t, o1) })
	wg.Go(func() { k2.read(t, o2) })
	for n := range 20 {
		if _, err := l.Append(ctx, impound.Entry{ID: fmt.Sprint("mine-", n), Type: impound.EntryDecision, By: "ana", What: "test"}); err != nil {
			t.Fatal(err)
		}
	}
	wg.Wait()
	for _, c := range []*exec.Cmd{c1, c2} {
		if err := c.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	for id, a := range k2 {
		k[id] = a
	}
	if len(k) != 2*3*8 {
		t.Errorf("%d pairs were acknowledged, want %d", len(k), 2*3*8)
	}
	if n := l.Size(); n != 2*2*3*8+20 {
		t.Errorf("this process sees %d entries, want %d", n, 2*2*3*8+20)
	}
	k.check(t, dir)
}

// TestFailingSteps makes each step fail without a crash: the caller is told,
// and what the log says stays true.
func TestFailingSteps(t *testing.T) {
	boom := fmt.Errorf("boom: %w", syscall.ENOSPC)
	for _, step := range evidence.Steps {
		t.Run(step, func(t *testing.T) {
			dir := onDisk(t)
			l := open(t, dir)
			fill(t, l)
			fail := true
			l.SetHook(func(s string) error {
				if fail && s == step {
					return boom
				}
				return nil
			})
			capture := func(l *evidence.Log) error {
				_, err := l.Capture(ctx, impound.Artefact{Kind: "k", Source: "s", Tool: "t", By: "ana"}, []byte("the body"))
				return err
			}
			err := capture(l)
			if impound.KindOf(err) != impound.KindUnavailable || !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("Capture gave %v", err)
			}
			fail = false
			switch step {
			case "synced", "checkpoint in place": // nobody knows what the disk holds
				if err := capture(l); err == nil {
					t.Fatal("the log goes on after a failed fsync")
				}
				l.Close()
				l = open(t, dir)
			default:
				wantClean(t, dir)
			}
			if err := capture(l); err != nil {
				t.Fatal(err)
			}
			r := wantClean(t, dir)
			want := int64(8)
			if step == "synced" {
				want = 9 // with the entry on what was set aside
			}
			if r.Entries != want {
				t.Errorf("%d entries, want %d", r.Entries, want)
			}
		})
	}
}

// fullDisk runs in a mount namespace of its own.
func fullDisk(dir string) error {
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=256k"); err != nil {
		return fmt.Errorf("mount: %w", err)
	}
	path := filepath.Join(dir, "state", "evidence")
	l, err := evidence.Open(path, evidence.Options{})
	if err != nil {
		return err
	}
	pad := map[string]string{"pad": strings.Repeat("x", 2000)}
	n := 0
	for ; ; n++ {
		if _, err = l.Append(ctx, impound.Entry{ID: fmt.Sprint(n), Type: impound.EntryDecision, By: "ana", What: "test", Detail: pad}); err != nil {
			break
		}
		if n == 20 {
			if _, err := l.Capture(ctx, impound.Artefact{Kind: "k", Source: "s", Tool: "t", By: "ana"}, make([]byte, 300<<10)); err == nil {
				return errors.New("300 KiB fit on a disk of 256")
			}
		}
		if n > 1000 {
			return errors.New("the disk never filled up")
		}
	}
	var e *impound.Error
	if !errors.As(err, &e) || e.Kind != impound.KindUnavailable || !strings.Contains(e.Cure, "disk is full") {
		return fmt.Errorf("full disk: %w", err)
	}
	if r, err := evidence.Verify(path); err != nil || !r.OK() || r.Entries != int64(n) {
		return fmt.Errorf("after the disk filled up: %d entries of %d, %v, %w", r.Entries, n, r.Problems, err)
	}
	fmt.Printf("full after %d: %v\n", n, e)
	// Room again, and it goes on.
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=1m"); err != nil {
		return err
	}
	if i, err := l.Append(ctx, impound.Entry{ID: "more", Type: impound.EntryDecision, By: "ana", What: "test", Detail: pad}); err != nil || i != int64(n) {
		return fmt.Errorf("with room again: %d, %w", i, err)
	}
	r, err := evidence.Verify(path)
	if err != nil || !r.OK() || len(r.Notes) > 0 {
		return fmt.Errorf("with room again: %v, %v, %w", r.Problems, r.Notes, err)
	}
	return nil
}

// TestFullDisk fills a real file system, in a mount namespace of its own.
func TestFullDisk(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "EVIDENCE_TEST_CHILD=full", "EVIDENCE_TEST_DIR="+t.TempDir())
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER | syscall.CLONE_NEWNS,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	out, err := cmd.CombinedOutput()
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOSPC) || strings.HasPrefix(string(out), "mount: ") {
		t.Skipf("this machine gives no mount namespace: %v %s", err, out)
	}
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
