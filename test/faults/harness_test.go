package faults

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/cli"
	"github.com/impound/impound/internal/spool"
)

var long = os.Getenv("IMPOUND_FAULTS") == "long"

// pick gives the one for a short run, or for a long one.
func pick[T any](short, full T) T {
	if long {
		return full
	}
	return short
}

// besides lets a short test run beside others, which wait much of their time. At
// full size each has the machine for itself.
func besides(t *testing.T) {
	if !long {
		t.Parallel()
	}
}

func TestMain(m *testing.M) {
	switch {
	case os.Getenv("FAULTS_CLI") != "": // the command line, as it is
		os.Exit(cli.Main(context.Background(), os.Args[1:], cli.OS()))
	case os.Getenv("FAULTS_CLOCK") != "":
		os.Exit(clockChild())
	case os.Getenv("FAULTS_ROLE") != "":
		os.Exit(runChild(os.Getenv("FAULTS_ROLE")))
	}
	os.Exit(m.Run())
}

// zone is one of the names that the tour's practice order seizes.
const zone = "outlook-verify.net"

// tour makes a state folder with an order in force, by running the tour.
func tour(t *testing.T) (state string) {
	t.Helper()
	state = filepath.Join(t.TempDir(), "tour")
	cmd := exec.Command(os.Args[0], "--state", state, "demo", "--once", "--any-ports")
	cmd.Env = append(os.Environ(), "FAULTS_CLI=1")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("the tour: %v\n%s", err, out)
	}
	return state
}

// sensor is the real command in a process of its own.
type sensor struct {
	cmd   *exec.Cmd
	mu    sync.Mutex
	out   bytes.Buffer
	ended chan struct{}
	err   error // of its end; read after ended
	addrs map[string]string
}

func serve(t *testing.T, state string, env ...string) *sensor {
	t.Helper()
	if len(env) == 0 {
		env = []string{"FAULTS_CLI=1"}
	}
	s := &sensor{cmd: exec.Command(os.Args[0], "--state", state, "serve"), ended: make(chan struct{}), addrs: map[string]string{}}
	s.cmd.Env = append(os.Environ(), env...)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	s.cmd.Stdout, s.cmd.Stderr = w, w
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	ready := make(chan struct{})
	go func() {
		sc := bufio.NewScanner(r)
		for up := false; sc.Scan(); {
			s.mu.Lock()
			s.out.WriteString(sc.Text() + "\n")
			if m := regexp.MustCompile(`^listening: (\S+) (\S+)`).FindStringSubmatch(sc.Text()); m != nil {
				if s.addrs[m[1]] == "" {
					s.addrs[m[1]] = m[2]
				}
			}
			s.mu.Unlock()
			if !up && strings.Contains(sc.Text(), "stops in order") {
				up = true
				close(ready)
			}
		}
		io.Copy(io.Discard, r)
		s.err = s.cmd.Wait()
		close(s.ended)
	}()
	t.Cleanup(s.kill)
	select {
	case <-ready:
	case <-s.ended:
		t.Fatalf("the sensor ended: %v\n%s", s.err, s.text())
	case <-time.After(time.Minute):
		t.Fatalf("the sensor never said that it is ready:\n%s", s.text())
	}
	return s
}

func (s *sensor) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

func (s *sensor) addr(scheme string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.addrs[scheme]
}

func (s *sensor) kill() {
	s.cmd.Process.Kill()
	<-s.ended
}

func (s *sensor) stop(t *testing.T) {
	t.Helper()
	s.cmd.Process.Signal(os.Interrupt)
	select {
	case <-s.ended:
		if s.err != nil {
			t.Errorf("it did not stop in order: %v\n%s", s.err, s.text())
		}
	case <-time.After(time.Minute):
		t.Fatalf("it did not stop:\n%s", s.text())
	}
}

func (s *sensor) waitFor(t *testing.T, text string) {
	t.Helper()
	for range 2400 {
		if strings.Contains(s.text(), text) {
			return
		}
		select {
		case <-s.ended:
			t.Fatalf("it ended (%v) before it said %q:\n%s", s.err, text, s.text())
		case <-time.After(25 * time.Millisecond):
		}
	}
	t.Fatalf("it never said %q:\n%s", text, s.text())
}

// source is the i-th source address: each in a network (/24) of its own.
func source(i int) netip.Addr {
	return netip.AddrFrom4([4]byte{127, byte(1 + i/250), byte(1 + i%250), 7})
}

// load asks questions over UDP from many sources, and notes which were
// answered. Every question of its life has another name.
type load struct {
	tag     string
	sources int
	copies  int // sockets of each source; 0 means one
	window  int

	stopped atomic.Bool
	wg      sync.WaitGroup
	socks   []*sock
}

type sock struct {
	sent     uint64
	answered []bool // by number
	live     atomic.Uint64
	outcome  map[byte]uint64
	sentB    uint64
	gotB     uint64
}

func (l *load) name(s int, n uint64) string {
	return l.tag + strconv.Itoa(s) + "x" + strconv.FormatUint(n, 10) + "." + zone
}

// start sends until stop, or until the sensor is gone.
func (l *load) start(t *testing.T, addr string) {
	t.Helper()
	l.stopped.Store(false)
	n := l.sources * max(1, l.copies)
	for len(l.socks) < n {
		l.socks = append(l.socks, &sock{outcome: map[byte]uint64{}})
	}
	for i := range n {
		d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(source(i%l.sources), 0))}
		c, err := d.Dial("udp", addr)
		if err != nil {
			t.Fatal(err)
		}
		l.wg.Go(func() { l.flood(c, i, l.socks[i]) })
	}
}

func (l *load) stop() {
	l.stopped.Store(true)
	l.wg.Wait()
}

func question(b []byte, id uint16, name string) []byte {
	b = append(b[:0], byte(id>>8), byte(id), 0, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	for label := range strings.SplitSeq(name, ".") {
		b = append(append(b, byte(len(label))), label...)
	}
	return append(b, 0, 0, 1, 0, 1)
}

func (l *load) flood(c net.Conn, i int, s *sock) {
	defer c.Close()
	flying := map[uint16]uint64{}
	var q []byte
	buf := make([]byte, 1500)
	for !l.stopped.Load() || len(flying) > 0 {
		for len(flying) < l.window && !l.stopped.Load() {
			n := s.sent
			s.sent++
			s.answered = append(s.answered, false)
			id := uint16(n)
			q = question(q, id, l.name(i, n))
			if _, err := c.Write(q); err != nil {
				return
			}
			s.sentB += uint64(len(q))
			flying[id] = n
		}
		for len(flying) > l.window/2 || l.stopped.Load() && len(flying) > 0 {
			c.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
			n, err := c.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) {
				clear(flying) // dropped: the rate limit, or a full buffer
				break
			}
			if err != nil {
				return // refused: it is dead
			}
			s.gotB += uint64(n)
			if id := binary.BigEndian.Uint16(buf); n >= 12 {
				if k, ok := flying[id]; ok {
					s.answered[k] = true
					s.live.Add(1)
					s.outcome[buf[3]&15]++
					delete(flying, id)
				}
			}
		}
	}
}

func (l *load) counts() (sent, answered uint64) {
	for _, s := range l.socks {
		sent += s.sent
		for _, a := range s.answered {
			if a {
				answered++
			}
		}
	}
	return sent, answered
}

// soFar may be asked while the load runs.
func (l *load) soFar() (answered uint64) {
	for _, s := range l.socks {
		answered += s.live.Load()
	}
	return answered
}

// tally is what stands in a spool of a load.
type tally struct {
	events, ours      int
	lost, twice, gaps int // answered and not there; there twice; events that gaps stand for
	corrupt           uint64
	last              uint64
	unordered         int
}

// compare reads the spool from another process's side, as any tool would, and
// looks for every question that was answered.
func compare(t *testing.T, dir string, loads ...*load) tally {
	t.Helper()
	c := newCount(loads)
	c.spool(t, dir)
	return c.sum()
}

// compareAll looks in what telemetry has, too: events that it took may have left
// the spool to make room.
func compareAll(t *testing.T, state string, loads ...*load) tally {
	t.Helper()
	c := newCount(loads)
	c.telemetry(t, filepath.Join(state, "telemetry.db"))
	c.spool(t, filepath.Join(state, "spool"))
	return c.sum()
}

// count counts events, each number once, wherever they are found.
type count struct {
	loads []*load
	seen  [][][]uint8
	taken map[uint64]bool // numbers that telemetry has
	out   tally
}

func newCount(loads []*load) *count {
	c := &count{loads: loads, seen: make([][][]uint8, len(loads)), taken: map[uint64]bool{}}
	for i, l := range loads {
		for _, s := range l.socks {
			c.seen[i] = append(c.seen[i], make([]uint8, len(s.answered)))
		}
	}
	return c
}

func (c *count) add(e *impound.Event) {
	c.out.events++
	if e.Outcome == spool.OutcomeGap {
		c.out.gaps += e.Len
	}
	for i, l := range c.loads {
		if a, n, ok := l.parse(e); ok && a < len(c.seen[i]) && n < uint64(len(c.seen[i][a])) {
			c.out.ours++
			if c.seen[i][a][n]++; c.seen[i][a][n] == 2 {
				c.out.twice++
			}
		}
	}
}

func (c *count) telemetry(t *testing.T, path string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+path+"?mode=ro")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	for _, query := range []string{
		"SELECT seq, json_extract(event, '$.name'), '', 0 FROM contact",
		"SELECT seq, '', '" + spool.OutcomeGap + "', n FROM gap",
	} {
		rows, err := db.Query(query)
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			var e impound.Event
			if err := rows.Scan(&e.Seq, &e.Name, &e.Outcome, &e.Len); err != nil {
				t.Fatal(err)
			}
			if c.taken[e.Seq] {
				t.Errorf("telemetry has number %d twice", e.Seq)
			}
			c.taken[e.Seq] = true
			c.add(&e)
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		rows.Close()
	}
}

func (c *count) spool(t *testing.T, dir string) {
	t.Helper()
	r, err := spool.OpenReader(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	for {
		es, err := r.Read(c.out.last, 20000)
		if err != nil {
			t.Fatal(err)
		}
		if len(es) == 0 {
			break
		}
		for k := range es {
			e := &es[k]
			if e.Seq <= c.out.last {
				c.out.unordered++
			}
			c.out.last = e.Seq
			if !c.taken[e.Seq] {
				c.add(e)
			}
		}
	}
	c.out.corrupt = r.Corrupt()
}

func (c *count) sum() tally {
	for i, l := range c.loads {
		for a, s := range l.socks {
			for n, ok := range s.answered {
				if ok && c.seen[i][a][n] == 0 {
					c.out.lost++
				}
			}
		}
	}
	return c.out
}

func (l *load) parse(e *impound.Event) (sock int, n uint64, ok bool) {
	rest, ok := strings.CutPrefix(e.Name, l.tag)
	if !ok {
		return 0, 0, false
	}
	rest, ok = strings.CutSuffix(rest, "."+zone)
	a, b, cut := strings.Cut(rest, "x")
	if !ok || !cut {
		return 0, 0, false
	}
	sock, err1 := strconv.Atoi(a)
	n, err2 := strconv.ParseUint(b, 10, 64)
	return sock, n, err1 == nil && err2 == nil
}

func quantile(d []time.Duration, q float64) time.Duration {
	if len(d) == 0 {
		return 0
	}
	slices.Sort(d)
	return d[min(len(d)-1, int(q*float64(len(d))))]
}

// probe asks one question after the other until stop, from a source of its own,
// and gives how long each took. A question that was not answered within a
// second counts as a second.
func probe(t *testing.T, addr string, src netip.Addr, every time.Duration, stop func() bool) (rtts []time.Duration, missed int) {
	t.Helper()
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(src, 0))}
	c, err := d.Dial("udp", addr)
	if err != nil {
		t.Error(err)
		return nil, 0
	}
	defer c.Close()
	var q []byte
	buf := make([]byte, 1500)
	for id := uint16(1); !stop(); id++ {
		q = question(q, id, fmt.Sprintf("probe%d.%s", id, zone))
		begin := time.Now()
		c.Write(q)
		for {
			c.SetReadDeadline(begin.Add(time.Second))
			n, err := c.Read(buf)
			if err != nil {
				missed++
				break
			}
			if n >= 12 && binary.BigEndian.Uint16(buf) == id {
				break
			}
		}
		rtts = append(rtts, time.Since(begin))
		time.Sleep(every)
	}
	return rtts, missed
}

// openFiles is how many files the sensor has open.
func openFiles(t *testing.T, s *sensor) int {
	t.Helper()
	d, err := os.Open(fmt.Sprintf("/proc/%d/fd", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		t.Fatal(err)
	}
	return len(names)
}

// cpuTime is what the sensor has used of processors.
func cpuTime(t *testing.T, s *sensor) time.Duration {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", s.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(b[bytes.LastIndexByte(b, ')')+1:]))
	user, _ := strconv.ParseInt(f[11], 10, 64)
	system, _ := strconv.ParseInt(f[12], 10, 64)
	return time.Duration(user+system) * (time.Second / 100)
}
