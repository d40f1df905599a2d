package faults

import (
	"cmp"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Tens of thousands of connections that say nothing, half a head, an octet now
// and then, or never read, opened anew as soon as they are cut: DNS is answered
// as before, and so is somebody else's request over HTTP.
//
// The ends of the clients are files of other processes; the sensor's are its
// own, and it may have as many as the hard limit lets: beyond them it cuts the
// oldest to take in the newest.
func TestSlowConnections(t *testing.T) {
	besides(t)
	want := pick(2000, 50_000)
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		t.Fatal(err)
	}
	each := min(want, int(lim.Max)-1000)
	state := tour(t)
	s := serve(t, state)
	echo := startEcho(t)

	// Calm, and then not: both against the echo of the same time.
	calm, calmEcho := startProbes(t, s.addr("dns"), echo)
	time.Sleep(pick(500*time.Millisecond, 5*time.Second))
	var a, ae probed
	calm.end(t, &a)
	calmEcho.end(t, &ae)

	var addrs []string
	for _, scheme := range strings.Fields(cmp.Or(os.Getenv("FAULTS_SCHEMES"), "http https smtp tcp dns")) {
		if at := s.addr(scheme); at != "" {
			addrs = append(addrs, scheme+" "+at)
		}
	}
	var slow []*child
	for first := 0; first < want; first += each {
		slow = append(slow, startChild(t, "slow", slowConf{Addrs: addrs, First: first, Count: min(each, want-first),
			Rate: pick(4000, 6000) / ((want + each - 1) / each), Each: 200, Drip: pick(500*time.Millisecond, 5*time.Second), Every: 100 * time.Millisecond}))
	}
	for end := time.Now().Add(time.Minute); openFiles(t, s) < min(want, int(lim.Max))/3 && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond) // they come
	}
	time.Sleep(pick(0, 10*time.Second))
	busy, busyEcho := startProbes(t, s.addr("dns"), echo)
	cpu, begin := cpuTime(t, s), time.Now()
	files, most := 0, 0
	var sum slowed
	var httpErr error
	requests := 0
	for time.Since(begin) < pick(1500*time.Millisecond, 60*time.Second) {
		files = max(files, openFiles(t, s))
		held := 0
		sum = slowed{}
		for _, c := range slow {
			var got slowed
			c.said(&got)
			held += got.Held
			sum.Opened, sum.Failed, sum.Cut = sum.Opened+got.Opened, sum.Failed+got.Failed, sum.Cut+got.Cut
		}
		most = max(most, held)
		if httpErr == nil {
			httpErr = request(s.addr("http"))
			requests++
		}
		time.Sleep(pick(100*time.Millisecond, time.Second))
	}
	used := float64(cpuTime(t, s)-cpu) / float64(time.Since(begin))
	var b, be probed
	busy.end(t, &b)
	busyEcho.end(t, &be)
	for _, c := range slow {
		c.end(t, &slowed{})
	}
	s.kill()

	t.Logf("%d slow clients: %d connections opened, %d refused, %d cut by the sensor; up to %d held by them, %d files open in the sensor, which used %.2f cores\n"+
		"DNS, calm: %v (an echo: %v)\nDNS, with them: %v (an echo: %v)\nsomebody else's requests over HTTP: %d, failed: %v",
		want, sum.Opened, sum.Failed, sum.Cut, most, files, used, a, ae, b, be, requests, httpErr)
	if httpErr != nil {
		t.Errorf("somebody else's request over HTTP: %v", httpErr)
	}
	if b.Missed > len(b.RTT)/1000 {
		t.Errorf("%d of %d questions had no answer", b.Missed, len(b.RTT)+b.Missed)
	}
	if files < min(want, int(lim.Max))/3 {
		t.Errorf("never more than %d files were open in the sensor", files)
	}
	if !long {
		return
	}
	if be.q(.99) > 5*time.Millisecond {
		t.Logf("not judged: on this machine an echo alone takes %v", be.q(.99))
		return
	}
	if b.q(.99) > 10*time.Millisecond {
		t.Errorf("DNS p99 is %v, more than 10 ms", b.q(.99))
	}
}

// startProbes asks the sensor and an echo at the same pace.
func startProbes(t *testing.T, dns, echo string) (p, e *child) {
	t.Helper()
	p = startChild(t, "probe", probeConf{Addr: dns, Src: source(6000).String(), Gap: 5 * time.Millisecond})
	e = startChild(t, "probe", probeConf{Addr: echo, Gap: 5 * time.Millisecond})
	return p, e
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
