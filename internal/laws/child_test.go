package laws

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/impound/impound/internal/cli"
)

// The test binary is also the program, so that tests can start and kill it. With
// the value "core" it asks for core dumps first; with "abort" it then does
// nothing but die, to see whether this machine writes any.
func TestMain(m *testing.M) {
	mode := os.Getenv("IMPOUND_TEST_LAWS")
	if mode == "" {
		os.Exit(m.Run())
	}
	if mode == "core" || mode == "abort" {
		var r unix.Rlimit
		if unix.Getrlimit(unix.RLIMIT_CORE, &r) == nil {
			r.Cur = r.Max
			_ = unix.Setrlimit(unix.RLIMIT_CORE, &r) // the parent looks whether it took
		}
	}
	if mode == "abort" {
		_ = syscall.Kill(os.Getpid(), syscall.SIGABRT)
		time.Sleep(10 * time.Second)
	}
	dieAtPoints()
	os.Exit(cli.Main(context.Background(), os.Args[1:], cli.OS()))
}

// child is impound serve in a process of its own.
type child struct {
	cmd   *exec.Cmd
	dir   string // its working directory, where a core would lie
	log   string // its standard output and error
	addrs map[string]string
}

// startChild starts serve on the world's folder and waits until it listens.
func (w *world) startChild(t testing.TB, dir string) *child {
	t.Helper()
	c := &child{dir: dir, log: filepath.Join(dir, "log"), addrs: map[string]string{}}
	out, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	must(t, err)
	defer out.Close()
	from, err := out.Seek(0, 2)
	must(t, err)
	c.cmd = exec.Command(os.Args[0], "--state", w.state, "--verbose", "serve")
	c.cmd.Dir, c.cmd.Stdout, c.cmd.Stderr = dir, out, out
	c.cmd.Env = append(os.Environ(), "IMPOUND_TEST_LAWS=core", "GOTRACEBACK=crash")
	must(t, c.cmd.Start())
	t.Cleanup(func() { _ = c.cmd.Process.Kill(); _ = c.cmd.Wait() })
	eventually(t, "serve to listen", func() bool {
		f, err := os.Open(c.log)
		must(t, err)
		defer f.Close()
		_, err = f.Seek(from, 0)
		must(t, err)
		ready := false
		for sc := bufio.NewScanner(f); sc.Scan(); {
			line := sc.Text()
			if f := strings.Fields(line); len(f) == 3 && f[0] == "listening:" {
				c.addrs[f[1]] = strings.TrimSuffix(strings.TrimPrefix(f[2], "http://"), "/")
			}
			ready = ready || strings.HasPrefix(line, "state: ")
		}
		return ready
	})
	return c
}

// die sends the signal and waits for the end.
func (c *child) die(t testing.TB, sig os.Signal) {
	t.Helper()
	must(t, c.cmd.Process.Signal(sig))
	if err := c.cmd.Wait(); err == nil {
		t.Errorf("it took %v and went on to a good end", sig)
	}
}

// cores gives the core dumps in dir.
func cores(t testing.TB, dir string) []string {
	t.Helper()
	all, err := filepath.Glob(filepath.Join(dir, "*core*"))
	must(t, err)
	return all
}
