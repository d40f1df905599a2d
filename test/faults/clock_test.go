package faults

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/impound/impound/internal/app"
)

// clockChild serves as the command does, by a clock that the parent turns: the
// file that FAULTS_CLOCK names holds how far it is off.
func clockChild() int {
	var off atomic.Int64
	look := func() {
		if b, err := os.ReadFile(os.Getenv("FAULTS_CLOCK")); err == nil {
			if n, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64); err == nil {
				off.Store(n)
			}
		}
	}
	look()
	go func() {
		for range time.Tick(2 * time.Millisecond) {
			look()
		}
	}()
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	state := os.Args[2]
	cfg, err := app.LoadConfig(state, "")
	if err != nil {
		return fail(err)
	}
	s, err := app.Open(ctx, app.Options{State: state, Config: cfg, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Now: func() time.Time { return time.Now().Add(time.Duration(off.Load())) }})
	if err != nil {
		return fail(err)
	}
	defer s.Close()
	if err := s.Start(ctx); err != nil {
		return fail(err)
	}
	for scheme, as := range s.Addrs() {
		fmt.Fprintf(os.Stderr, "listening: %s %s\n", scheme, as[0])
	}
	fmt.Fprintln(os.Stderr, "stops in order")
	<-ctx.Done()
	if err := s.Close(); err != nil {
		return fail(err)
	}
	return 0
}

// rcode asks once.
func rcode(t *testing.T, addr, name string) int {
	t.Helper()
	d := net.Dialer{LocalAddr: net.UDPAddrFromAddrPort(netip.AddrPortFrom(source(6002), 0))}
	c, err := d.Dial("udp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 1500)
	for range 5 {
		c.Write(question(nil, 1, name))
		c.SetReadDeadline(time.Now().Add(time.Second))
		if n, err := c.Read(buf); err == nil && n >= 12 {
			return int(buf[3] & 15)
		}
	}
	t.Fatalf("no answer for %s", name)
	return 0
}

// The clock steps under load, forwards and back, past the order's end and before
// its beginning: the order's dates are obeyed each time, numbers grow, nothing
// that was answered is lost, and when the clock is right again, so are the
// answers.
func TestClockSteps(t *testing.T) {
	besides(t)
	state := tour(t)
	file := filepath.Join(t.TempDir(), "clock")
	set := func(d time.Duration) {
		t.Helper()
		if err := os.WriteFile(file+".new", []byte(strconv.FormatInt(int64(d), 10)), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(file+".new", file); err != nil {
			t.Fatal(err)
		}
	}
	set(0)
	s := serve(t, state, "FAULTS_CLOCK="+file)
	l := &load{tag: "t", sources: 8, window: 4}
	l.start(t, s.addr("dns"))
	const noError, refused = 0, 5
	steps := 0
	var said []string
	for range pick(1, 10) {
		for _, c := range []struct {
			by   time.Duration
			want int
		}{{time.Hour, noError}, {-time.Second, noError}, {25 * time.Hour, noError}, {31 * 24 * time.Hour, refused}, {0, noError}, {-48 * time.Hour, refused}, {time.Minute, noError}, {20 * 365 * 24 * time.Hour, refused}, {0, noError}} {
			set(c.by)
			steps++
			if c.by == 31*24*time.Hour {
				time.Sleep(time.Second) // let the hub see its order end, and settle on that
			}
			got := -1
			for try := 0; try < 200 && got != c.want; try++ {
				time.Sleep(10 * time.Millisecond)
				got = rcode(t, s.addr("dns"), "step."+zone)
			}
			if got != c.want {
				t.Errorf("clock off by %v: rcode %d, want %d", c.by, got, c.want)
			}
			said = append(said, fmt.Sprintf("%+.0fh:%d", c.by.Hours(), got))
		}
	}
	l.stop()
	s.kill()
	_, answered := l.counts()
	got := compare(t, filepath.Join(state, "spool"), l)
	// What is refused is recorded under the zone alone, once the order is gone.
	var refusals uint64
	for _, x := range l.socks {
		refusals += x.outcome[refused]
	}
	if got.twice > 0 || got.unordered > 0 || got.corrupt > 0 || got.gaps > 0 {
		t.Errorf("%d twice, %d out of order, %d damaged, gaps of %d", got.twice, got.unordered, got.corrupt, got.gaps)
	}
	if uint64(got.lost) > refusals || got.events < int(answered) {
		t.Errorf("%d answered (%d of them refused), %d of them not recorded by name, %d events", answered, refusals, got.lost, got.events)
	}
	t.Logf("%d steps (%s): %d answered, %d of them refused by date; %d recorded by name, %d events in all; lost %d", steps, strings.Join(said[:9], " "), answered, refusals, got.ours, got.events, max(0, int(answered)-got.events))
}
