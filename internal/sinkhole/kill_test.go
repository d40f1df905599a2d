package sinkhole

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound/internal/sinkhole/policy"
	"github.com/impound/impound/internal/spool"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv("SINKHOLE_CHILD"); dir != "" {
		childSensor(dir)
		return
	}
	os.Exit(m.Run())
}

// childSensor is a sensor with a real spool, which its parent kills.
func childSensor(dir string) {
	fail := func(err error) {
		fmt.Println("error", err)
		os.Exit(1)
	}
	b, err := os.ReadFile(os.Getenv("SINKHOLE_POLICY"))
	if err != nil {
		fail(err)
	}
	p, err := policy.Open(b, pub, 0, t0)
	if err != nil {
		fail(err)
	}
	sp, err := spool.Open(dir, spool.Options{Sensor: "s1", SegmentBytes: 256 << 10})
	if err != nil {
		fail(err)
	}
	listeners := []string{"dns://127.0.0.1:0", "http://127.0.0.1:0"}
	if l := os.Getenv("SINKHOLE_LISTENERS"); l != "" {
		listeners = strings.Fields(l)
	}
	s, err := New(Config{Sensor: "s1", Listeners: listeners, Recorder: sp, Policy: p,
		Now: func() time.Time { return t0 }, Limits: Limits{DNSPerSecond: -1, ConnsPerSource: -1}, Plain: os.Getenv("SINKHOLE_PLAIN") != ""})
	if err != nil {
		fail(err)
	}
	if err := s.Start(context.Background()); err != nil {
		fail(err)
	}
	fmt.Println("ready", s.Addrs()["dns"][0], s.Addrs()["http"][0])
	select {}
}

// The sensor is killed under load, again and again: every question and every
// request that was answered stands in the spool, each once.
func TestSIGKILLUnderLoadLosesNothingAnswered(t *testing.T) {
	t.Parallel()
	dir, bundle := t.TempDir(), t.TempDir()+"/bundle"
	built, err := policy.Build(
		mandates(t), policy.Options{Key: hub, Serial: 1, Now: t0, Answer: usualAnswer})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bundle, built.Data, 0o600); err != nil {
		t.Fatal(err)
	}
	answeredBy := map[string]bool{}
	var mu sync.Mutex
	var next int
	unique := func() string {
		mu.Lock()
		defer mu.Unlock()
		next++
		return "q" + strconv.Itoa(next) + ".outlook-verify.net"
	}
	done := func(name string) {
		mu.Lock()
		defer mu.Unlock()
		answeredBy[name] = true
	}
	for round := range 4 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "SINKHOLE_CHILD="+dir, "SINKHOLE_POLICY="+bundle)
		if round%3 == 2 {
			cmd.Env = append(cmd.Env, "SINKHOLE_PLAIN=1")
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() }) // where it wasn't
		line, _ := bufio.NewReader(out).ReadString('\n')
		f := strings.Fields(line)
		if len(f) != 3 || f[0] != "ready" {
			t.Fatalf("the sensor says %q", line)
		}
		var wg sync.WaitGroup
		var gone atomic.Bool
		for range 3 {
			wg.Go(func() { floodDNS(f[1], unique, done, &gone) })
		}
		wg.Go(func() { floodHTTP(f[2], unique, done) })
		moreAnswers(t, &mu, answeredBy, 250)
		time.Sleep(time.Duration(37*round) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		gone.Store(true)
		wg.Wait()
	}
	sp, err := spool.Open(dir, spool.Options{Sensor: "s1", SegmentBytes: 256 << 10})
	if err != nil {
		t.Fatal(err)
	}
	defer sp.Close()
	found := map[string]int{}
	for after := uint64(0); ; {
		es, err := sp.Read(after, 5000)
		if err != nil {
			t.Fatal(err)
		}
		if len(es) == 0 {
			break
		}
		for _, e := range es {
			found[e.Name]++
			after = e.Seq
		}
	}
	lost, twice := 0, 0
	for name := range answeredBy {
		switch found[name] {
		case 0:
			lost++
		case 1:
		default:
			twice++
		}
	}
	if len(answeredBy) < 1000 {
		t.Errorf("only %d were answered: no load", len(answeredBy))
	}
	if lost > 0 || twice > 0 {
		t.Errorf("of %d answered, %d are lost and %d are there twice", len(answeredBy), lost, twice)
	}
	t.Logf("4 kills: %d answered, all found; %d recorded; %d damaged", len(answeredBy), len(found), sp.Stats().Corrupt)
}

// moreAnswers waits until so many more were answered.
func moreAnswers(t *testing.T, mu *sync.Mutex, answered map[string]bool, more int) {
	t.Helper()
	n := func() int {
		mu.Lock()
		defer mu.Unlock()
		return len(answered)
	}
	want := n() + more
	for end := time.Now().Add(time.Minute); n() < want; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d are answered; want %d", n(), want)
		}
	}
}

// floodDNS keeps a window of questions in flight until the sensor is gone.
func floodDNS(addr string, unique func() string, done func(string), gone *atomic.Bool) {
	c, err := net.Dial("udp", addr)
	if err != nil {
		return
	}
	defer c.Close()
	floodConn(c, unique, done, gone)
}

func floodConn(c net.Conn, unique func() string, done func(string), gone *atomic.Bool) {
	const window = 64
	inFlight := map[uint16]string{}
	buf := make([]byte, 600)
	for id := uint16(0); ; {
		for len(inFlight) < window {
			m := new(dns.Msg)
			name := unique()
			m.SetQuestion(name+".", dns.TypeA)
			id++
			m.Id = id
			b, err := m.Pack()
			if err != nil {
				return
			}
			if _, err := c.Write(b); err != nil {
				return
			}
			inFlight[id] = name
		}
		for {
			c.SetReadDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := c.Read(buf)
			if errors.Is(err, os.ErrDeadlineExceeded) && !gone.Load() {
				clear(inFlight) // lost, or late: then it is no name of ours any more
				break
			}
			if err != nil {
				return // refused: the sensor is dead
			}
			if n > 12 && buf[3]&15 == 0 {
				id := uint16(buf[0])<<8 | uint16(buf[1])
				if name := inFlight[id]; name != "" {
					done(name)
				}
				delete(inFlight, id)
			}
			if len(inFlight) <= window/2 {
				break
			}
		}
	}
}

func floodHTTP(addr string, unique func() string, done func(string)) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		name := unique()
		c.SetDeadline(time.Now().Add(time.Second))
		if _, err := fmt.Fprintf(c, "HEAD / HTTP/1.1\r\nHost: %s\r\n\r\n", name); err != nil {
			return
		}
		first := true
		for {
			l, err := in.ReadString('\n')
			if first && len(l) > 0 {
				done(name) // one octet of the answer counts
				first = false
			}
			if err != nil {
				return
			}
			if l == "\r\n" {
				break
			}
		}
	}
}
