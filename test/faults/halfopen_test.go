package faults

import (
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Tens of thousands of connections that were begun and never opened, from
// sources that don't answer: DNS is answered as before, and somebody else's
// connection is still let in. It runs in a network namespace of its own, where
// the answers to those sources go nowhere.
func TestHalfOpen(t *testing.T) {
	if os.Getenv("FAULTS_NETNS") == "" {
		besides(t)
		if os.Geteuid() != 0 {
			t.Skip("needs root: it makes a network namespace")
		}
		cmd := exec.Command(os.Args[0], "-test.run", "^TestHalfOpen$", "-test.v")
		cmd.Env = append(os.Environ(), "FAULTS_NETNS=1")
		cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
		out, err := cmd.CombinedOutput()
		if err != nil && len(out) == 0 {
			t.Skipf("this user may not make a network namespace: %v", err)
		}
		if strings.Contains(string(out), "--- SKIP") {
			t.Skipf("in its namespace:\n%s", out)
		}
		t.Logf("in its namespace:\n%s", out)
		if err != nil {
			t.Error(err)
		}
		return
	}
	for _, args := range []string{
		"link set lo up", "link add void type veth peer name end", "addr add 10.9.0.1/24 dev void", "link set end up", "link set void up",
		"neigh add 10.9.0.2 lladdr 02:00:00:00:00:09 dev void", "route add 10.8.0.0/16 via 10.9.0.2",
	} {
		if out, err := exec.Command("ip", strings.Fields(args)...).CombinedOutput(); err != nil {
			t.Skipf("ip %s: %v %s", args, err, out)
		}
	}
	// Else the kernel finds no way out for an answer from 127.0.0.1.
	if err := os.WriteFile("/proc/sys/net/ipv4/conf/void/route_localnet", []byte("1"), 0); err != nil {
		t.Skip(err)
	}
	s := serve(t, tour(t))
	echo := startEcho(t)
	calm, calmEcho := startProbes(t, s.addr("dns"), echo)
	time.Sleep(pick(500*time.Millisecond, 5*time.Second))
	var a, ae, b, be probed
	calm.end(t, &a)
	calmEcho.end(t, &ae)

	var senders []*child
	for _, scheme := range []string{"http", "https", "smtp", "tcp", "dns"} {
		senders = append(senders, startChild(t, "syn", synConf{To: s.addr(scheme), Rate: pick(1000, 4000)}))
	}
	most := 0
	for end := time.Now().Add(10 * time.Second); most == 0 && time.Now().Before(end); time.Sleep(20 * time.Millisecond) {
		most = halfOpen(t)
	}
	busy, busyEcho := startProbes(t, s.addr("dns"), echo)
	var httpErr error
	requests := 0
	for begin := time.Now(); time.Since(begin) < pick(time.Second, 30*time.Second); time.Sleep(pick(100*time.Millisecond, time.Second)) {
		most = max(most, halfOpen(t))
		if httpErr == nil {
			httpErr = request(s.addr("http"))
			requests++
		}
	}
	busy.end(t, &b)
	busyEcho.end(t, &be)
	var sum synned
	for _, c := range senders {
		var got synned
		c.end(t, &got)
		sum.Sent, sum.Failed = sum.Sent+got.Sent, sum.Failed+got.Failed
	}
	s.kill()
	t.Logf("%d connections begun and never opened (%d could not be sent), up to %d of them kept by the kernel\n"+
		"DNS, calm: %v (an echo: %v)\nDNS, with them: %v (an echo: %v)\nsomebody else's requests over HTTP: %d, failed: %v",
		sum.Sent, sum.Failed, most, a, ae, b, be, requests, httpErr)
	if most == 0 {
		t.Error("no connection was ever half open")
	}
	if want := pick(1000, 50_000); sum.Sent < want {
		t.Errorf("only %d were sent, not %d", sum.Sent, want)
	}
	if httpErr != nil {
		t.Errorf("somebody else's request over HTTP: %v", httpErr)
	}
	if b.Missed > len(b.RTT)/1000 {
		t.Errorf("%d of %d questions had no answer", b.Missed, len(b.RTT)+b.Missed)
	}
	if long && be.q(.99) <= 5*time.Millisecond && b.q(.99) > 10*time.Millisecond {
		t.Errorf("DNS p99 is %v, more than 10 ms", b.q(.99))
	}
}

// halfOpen counts the connections in SYN-RECV.
func halfOpen(t *testing.T) (n int) {
	t.Helper()
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/tcp", os.Getpid()))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if f := strings.Fields(line); len(f) > 3 && f[3] == "03" {
			n++
		}
	}
	return n
}
