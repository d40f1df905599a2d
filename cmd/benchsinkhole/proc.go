package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	serverCore = "0"
	loadCore   = "1"
)

// server is one server under test with its log collector, if it has one, each a
// process group of its own, all on one core.
type server struct {
	name   string
	addr   string
	groups []int
	cmds   []*exec.Cmd
	out    *bytes.Buffer
	spool  string // ours: where its events stand
	ns     string // network namespace to run in; "" for ours
}

var (
	runningMu sync.Mutex
	running   = map[int]bool{} // process groups that must not outlive us
)

// start adds a process to the server. It dies with us, whatever happens.
func (s *server) start(bin string, args ...string) error {
	if s.out == nil {
		s.out = &bytes.Buffer{}
	}
	argv := append([]string{"taskset", "-c", serverCore, bin}, args...)
	if s.ns != "" {
		argv = append([]string{"ip", "netns", "exec", s.ns}, argv...)
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = s.out, s.out
	cmd.WaitDelay = time.Second
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("couldn't start %s: %w", s.name, err)
	}
	runningMu.Lock()
	running[cmd.Process.Pid] = true
	runningMu.Unlock()
	s.cmds, s.groups = append(s.cmds, cmd), append(s.groups, cmd.Process.Pid)
	return nil
}

// kill ends it at once, as a crash would.
func (s *server) kill() {
	if s == nil {
		return
	}
	for i, g := range s.groups {
		syscall.Kill(-g, syscall.SIGKILL)
		s.cmds[i].Wait()
		runningMu.Lock()
		delete(running, g)
		runningMu.Unlock()
	}
	s.groups, s.cmds = nil, nil
}

func killAll() {
	runningMu.Lock()
	defer runningMu.Unlock()
	for g := range running {
		syscall.Kill(-g, syscall.SIGKILL)
	}
}

// pids are the living processes of the server, with all their children.
func (s *server) pids() []string {
	var out []string
	all, _ := filepath.Glob("/proc/[0-9]*/stat")
	for _, p := range all {
		b, err := os.ReadFile(p)
		if err != nil {
			continue
		}
		_, rest, _ := strings.Cut(string(b), ") ")
		f := strings.Fields(rest)
		if len(f) < 3 {
			continue
		}
		g, _ := strconv.Atoi(f[2])
		for _, mine := range s.groups {
			if g == mine {
				out = append(out, strings.Split(p, "/")[2])
			}
		}
	}
	return out
}

// cpu is the processor time used so far.
func (s *server) cpu() time.Duration {
	var total time.Duration
	for _, pid := range s.pids() {
		tasks, _ := filepath.Glob("/proc/" + pid + "/task/*/schedstat")
		for _, t := range tasks {
			b, err := os.ReadFile(t)
			if err != nil {
				continue
			}
			var ns int64
			fmt.Sscan(string(b), &ns)
			total += time.Duration(ns)
		}
	}
	return total
}

// rss is the memory in MB that it holds, without pages of files and of memory
// that it shares: those are the journal's, and of what all its processes share
// nothing counts twice.
func (s *server) rss() float64 {
	var kb float64
	for _, pid := range s.pids() {
		b, err := os.ReadFile("/proc/" + pid + "/status")
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if f := strings.Fields(line); len(f) > 1 && f[0] == "RssAnon:" {
				n, _ := strconv.ParseFloat(f[1], 64)
				kb += n
			}
		}
	}
	return kb / 1024
}

// waitDNS waits until the server answers for the name.
func (s *server) waitDNS(name string, limit time.Duration) error {
	q := []byte{0, 9, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0}
	for l := range strings.SplitSeq(name, ".") {
		q = append(append(q, byte(len(l))), l...)
	}
	q = append(q, 0, 0, 1, 0, 1)
	end := time.Now().Add(limit)
	for time.Now().Before(end) && s.alive() {
		c, err := net.Dial("udp4", s.addr)
		if err != nil {
			return err
		}
		c.Write(q)
		c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
		b := make([]byte, 1500)
		n, err := c.Read(b)
		c.Close()
		if err == nil && n > 12 && b[3]&15 == 0 && b[7] > 0 {
			return nil
		}
		time.Sleep(3 * time.Millisecond)
	}
	return fmt.Errorf("%s does not answer: %s", s.name, tail(s.out.String()))
}

// alive says whether every process that was started still runs: one that ended
// leaves a zombie, since nobody waited for it yet.
func (s *server) alive() bool {
	for _, g := range s.groups {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", g))
		_, rest, _ := strings.Cut(string(b), ") ")
		if err != nil || strings.HasPrefix(rest, "Z") {
			return false
		}
	}
	return true
}

func (s *server) waitTCP(limit time.Duration) error {
	end := time.Now().Add(limit)
	for time.Now().Before(end) && s.alive() {
		if c, err := net.Dial("tcp4", s.addr); err == nil {
			return c.Close()
		}
		time.Sleep(5 * time.Millisecond)
	}
	return fmt.Errorf("%s does not listen: %s", s.name, tail(s.out.String()))
}

func tail(s string) string {
	if len(s) > 600 {
		s = "..." + s[len(s)-600:]
	}
	return strings.TrimSpace(s)
}

// load runs a load generator on the other core and gives what it printed.
func load(ctx context.Context, bin string, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, "taskset", append([]string{"-c", loadCore, bin}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	out, err := cmd.Output()
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		return nil, fmt.Errorf("%s: %s", filepath.Base(bin), tail(string(ee.Stderr)))
	}
	return out, err
}

// freePort gives a port that is free for UDP and TCP now.
func freePort() string {
	for range 100 {
		l, err := net.Listen("tcp4", "127.0.0.1:0")
		if err != nil {
			continue
		}
		at := l.Addr().String()
		u, err := net.ListenPacket("udp4", at)
		l.Close()
		if err != nil {
			continue
		}
		u.Close()
		return at
	}
	return "127.0.0.1:0"
}
