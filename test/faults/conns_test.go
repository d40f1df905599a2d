package faults

import (
	"fmt"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Tens of thousands of connections that say nothing, half a head, an octet now
// and then, or never read: DNS is answered as before, and so is somebody else's
// request over HTTP.
func TestSlowConnections(t *testing.T) {
	want := pick(2000, 50_000)
	// Both ends are files: ours here, the sensor's in the sensor, which inherits
	// the limit.
	need := uint64(want + 2000)
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	if lim.Cur < need {
		up := syscall.Rlimit{Cur: need, Max: max(need, lim.Max)}
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &up); err != nil {
			want = int(lim.Max) - 2000
			up = syscall.Rlimit{Cur: lim.Max, Max: lim.Max}
			if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &up); err != nil || want < 500 {
				t.Skipf("only %d open files are allowed", lim.Max)
			}
			t.Logf("only %d open files are allowed: fewer connections", lim.Max)
		}
	}
	state := tour(t)
	s := serve(t, state)
	calm, _ := probeFor(t, s.addr("dns"), pick(300*time.Millisecond, 5*time.Second))

	schemes := []string{"http", "https", "smtp", "tcp"}
	var mu sync.Mutex
	open := make([]net.Conn, want)
	var opened, failed, cut atomic.Int64
	var done atomic.Bool
	var wg sync.WaitGroup
	const workers = 32
	for w := range workers {
		wg.Go(func() {
			for !done.Load() {
				work := false
				for i := w; i < want && !done.Load(); i += workers {
					mu.Lock()
					c := open[i]
					mu.Unlock()
					if c == nil {
						work = true
						c = slow(s.addr(schemes[i%len(schemes)]), i)
						if c == nil {
							failed.Add(1)
							time.Sleep(time.Millisecond)
							continue
						}
						opened.Add(1)
						mu.Lock()
						open[i] = c
						mu.Unlock()
						continue
					}
					if i/4%4 == 2 { // an octet now and then
						if _, err := c.Write([]byte("x")); err != nil {
							c.Close()
							cut.Add(1)
							mu.Lock()
							open[i] = nil
							mu.Unlock()
						}
					}
				}
				if !work {
					time.Sleep(500 * time.Millisecond)
				}
			}
		})
	}
	var rtts []time.Duration
	missed, most := 0, 0
	end := time.Now().Add(pick(1500*time.Millisecond, 60*time.Second))
	for time.Now().Before(end) {
		r, m := probeFor(t, s.addr("dns"), pick(300*time.Millisecond, 2*time.Second))
		rtts, missed = append(rtts, r...), missed+m
		most = max(most, openFiles(t, s))
	}
	httpErr := request(s.addr("http"))
	done.Store(true)
	wg.Wait()
	for _, c := range open {
		if c != nil {
			c.Close()
		}
	}
	p99 := quantile(rtts, .99)
	if httpErr != nil {
		t.Errorf("somebody else's request over HTTP: %v", httpErr)
	}
	if missed > 0 {
		t.Errorf("%d of %d questions had no answer", missed, len(rtts))
	}
	if most < want/2 {
		t.Errorf("never more than %d connections were open, of %d", most, want)
	}
	if long && p99 > 10*time.Millisecond {
		t.Errorf("DNS p99 is %v, more than 10 ms", p99)
	}
	s.kill()
	t.Logf("%d connections opened, %d not, %d cut by the sensor, up to %d files open in it; DNS: %d questions, %d missed, p50 %v, p99 %v, worst %v (calm: p50 %v, p99 %v)",
		opened.Load(), failed.Load(), cut.Load(), most, len(rtts), missed, quantile(rtts, .5), p99, quantile(rtts, 1), quantile(calm, .5), quantile(calm, .99))
}

func probeFor(t *testing.T, addr string, d time.Duration) ([]time.Duration, int) {
	end := time.Now().Add(d)
	return probe(t, addr, source(6000), time.Millisecond, func() bool { return time.Now().After(end) })
}

// slow opens the i-th connection, of one of four kinds, from a source that has
// fewer than the sensor allows.
func slow(addr string, i int) net.Conn {
	d := net.Dialer{
		LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source(i/200), 0)), Timeout: 5 * time.Second,
		KeepAlive: -1,
		Control: func(_, _ string, c syscall.RawConn) error {
			return c.Control(func(fd uintptr) {
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 2048)
				unix.SetsockoptInt(int(fd), unix.SOL_IP, unix.IP_BIND_ADDRESS_NO_PORT, 1)
			})
		},
	}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return nil
	}
	switch i / 4 % 4 {
	case 0: // says nothing
	case 1: // half a head
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nX-Long: ", zone)
	case 2: // an octet now and then
		c.Write([]byte("G"))
	case 3: // asks and never reads
		for range 8 {
			fmt.Fprintf(c, "GET /slow HTTP/1.1\r\nHost: %s\r\n\r\n", zone)
		}
	}
	return c
}

func request(addr string) error {
	d := net.Dialer{LocalAddr: net.TCPAddrFromAddrPort(netip.AddrPortFrom(source(6001), 0)), Timeout: 5 * time.Second}
	c, err := d.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(5 * time.Second))
	fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", zone)
	b := make([]byte, 12)
	if _, err := c.Read(b); err != nil {
		return err
	}
	if string(b) != "HTTP/1.1 200" {
		return fmt.Errorf("it says %q", b)
	}
	return nil
}
