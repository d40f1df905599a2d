package sinkhole

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"
	"golang.org/x/sys/unix"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/sinkhole/policy"
	"github.com/impound/impound/internal/spool"
)

// wire is a virtual cable between two network namespaces of its own: at one end
// a sensor's interface, at the other its visitors.
type wire struct {
	t               testing.TB
	sensor, visitor string // namespaces
	iface           string // of the sensor
}

const (
	wireSensor4, wireVisitor4 = "10.99.0.1", "10.99.0.2"
	wireSensor6, wireVisitor6 = "fd00:99::1", "fd00:99::2"
)

var wires atomic.Int64

func newWire(t testing.TB) *wire {
	t.Helper()
	ip := peertest.Need(t, "ip", "iproute2")
	peertest.NeedThat(t, "network namespaces", os.Geteuid() == 0, "run the test as root")
	n := fmt.Sprintf("impound-%d-%d", os.Getpid(), wires.Add(1))
	w := &wire{t: t, sensor: n + "s", visitor: n + "v", iface: "sink0"}
	for _, ns := range []string{w.sensor, w.visitor} {
		if out, err := exec.Command(ip, "netns", "add", ns).CombinedOutput(); err != nil {
			peertest.NeedThat(t, "network namespaces", false, "allow them: "+string(out))
		}
		t.Cleanup(func() { exec.Command(ip, "netns", "del", ns).Run() })
	}
	for _, l := range []string{
		"-n " + w.sensor + " link add sink0 numtxqueues 2 numrxqueues 2 type veth peer name eth0 numtxqueues 2 numrxqueues 2 netns " + w.visitor,
		"-n " + w.sensor + " addr add " + wireSensor4 + "/24 dev sink0",
		"-n " + w.sensor + " addr add " + wireSensor6 + "/64 dev sink0 nodad",
		"-n " + w.visitor + " addr add " + wireVisitor4 + "/24 dev eth0",
		"-n " + w.visitor + " addr add " + wireVisitor6 + "/64 dev eth0 nodad",
		"-n " + w.sensor + " link set lo up",
		"-n " + w.sensor + " link set sink0 up",
		"-n " + w.visitor + " link set eth0 up",
	} {
		if out, err := exec.Command(ip, strings.Fields(l)...).CombinedOutput(); err != nil {
			t.Fatalf("ip %s: %v: %s", l, err, out)
		}
	}
	return w
}

// in runs f on a thread of the namespace; sockets that f makes stay there.
func (w *wire) in(ns string, f func() error) {
	w.t.Helper()
	done := make(chan error)
	go func() {
		runtime.LockOSThread() // for good: the thread ends with us
		fd, err := unix.Open("/run/netns/"+ns, unix.O_RDONLY|unix.O_CLOEXEC, 0)
		if err == nil {
			err = unix.Setns(fd, unix.CLONE_NEWNET)
			unix.Close(fd)
		}
		if err == nil {
			err = f()
		}
		done <- err
	}()
	if err := <-done; err != nil {
		w.t.Fatal(err)
	}
}

// visit runs a program in the visitors' namespace.
func (w *wire) visit(name string, args ...string) string {
	w.t.Helper()
	out, err := exec.Command("ip", append([]string{"netns", "exec", w.visitor, name}, args...)...).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%s %v: %v: %s", name, args, err, out)
	}
	return string(out)
}

func (w *wire) hasProgram() bool {
	out, err := exec.Command("ip", "-n", w.sensor, "link", "show", w.iface).CombinedOutput()
	if err != nil {
		w.t.Fatalf("%v: %s", err, out)
	}
	return strings.Contains(string(out), "prog/xdp")
}

// bySockets is how many datagrams the namespace's sockets received.
func (w *wire) bySockets() (n int) {
	w.in(w.sensor, func() error {
		for _, f := range []struct{ file, line string }{{"snmp", "Udp: %d"}, {"snmp6", "Udp6InDatagrams %d"}} {
			b, err := os.ReadFile("/proc/thread-self/net/" + f.file)
			if err != nil {
				return err
			}
			for l := range strings.Lines(string(b)) {
				var k int
				if c, _ := fmt.Sscanf(strings.Join(strings.Fields(l), " "), f.line, &k); c == 1 {
					n += k
				}
			}
		}
		return nil
	})
	return n
}

// startOn is start in the sensor's namespace.
func (w *wire) startOn(p *policy.Policy, edit func(*Config)) (*Sinkhole, *memory) {
	w.t.Helper()
	rec := &memory{}
	cfg := Config{Sensor: "s1", Recorder: rec, Policy: p, Now: func() time.Time { return t0 }, Limits: Limits{DNSPerSecond: -1}}
	edit(&cfg)
	s, err := New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.in(w.sensor, func() error { return s.Start(context.Background()) })
	w.t.Cleanup(func() {
		if err := s.Close(context.Background()); err != nil {
			w.t.Error(err)
		}
	})
	return s, rec
}

func (w *wire) dial(network, addr string) (c net.Conn) {
	w.t.Helper()
	w.in(w.visitor, func() (err error) {
		c, err = net.Dial(network, addr)
		return err
	})
	w.t.Cleanup(func() { c.Close() })
	return c
}

func TestXDPListenerURI(t *testing.T) {
	for uri, want := range map[string]string{"dns+xdp://eth0": "eth0:53", "dns+xdp://eth0.7:5300": "eth0.7:5300", "dns+xdp://": "", "dns+xdp://eth0/x": ""} {
		_, addr, err := parseListener(uri)
		if addr != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", uri, addr, err)
		}
	}
	for _, l := range []string{"dns+xdp://nosuch0", "dns+xdp://lo:0", "dns+xdp://lo:70000"} {
		s, err := New(Config{Sensor: "s1", Recorder: &memory{}, Listeners: []string{l}})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Start(t.Context())
		var e *impound.Error
		if !errors.As(err, &e) || e.Cure == "" || !strings.Contains(e.Where, l) {
			t.Errorf("%s: %v", l, err)
		}
	}
}

// Real clients, over both families, UDP and TCP; the answers over UDP did not
// pass the sockets, and every contact stands in the record as it was.
func TestXDPRealClients(t *testing.T) {
	t.Parallel()
	dig, kdig := peertest.Need(t, "dig", "bind9-dnsutils"), peertest.Need(t, "kdig", "knot-dnsutils")
	w := newWire(t)
	s, rec := w.startOn(usual(t), func(c *Config) { c.Listeners = []string{"dns+xdp://sink0"} })
	if got := s.Addrs()[xdpScheme]; !cmp.Equal(got, []string{"sink0:53"}) || !w.hasProgram() {
		t.Fatalf("AF_XDP is not in use: %v", s.Addrs())
	}
	for _, to := range []struct{ sensor, visitor string }{{wireSensor4, wireVisitor4}, {wireSensor6, wireVisitor6}} {
		for _, cmd := range [][]string{
			{dig, "+short", "+tries=1", "@" + to.sensor, "www.outlook-verify.net", "A"},
			{dig, "+short", "+tries=1", "+tcp", "@" + to.sensor, "www.outlook-verify.net", "A"},
			{kdig, "+short", "+retry=0", "@" + to.sensor, "www.outlook-verify.net", "A"},
			{kdig, "+short", "+tcp", "@" + to.sensor, "www.outlook-verify.net", "A"},
		} {
			if got := strings.TrimSpace(w.visit(cmd[0], cmd[1:]...)); got != sinkV4.String() {
				t.Errorf("%v: %s", cmd, got)
			}
			es := rec.take()
			if len(es) != 1 {
				t.Fatalf("%v: %d events", cmd, len(es))
			}
			proto := impound.ProtoDNS
			if strings.Contains(strings.Join(cmd, " "), "+tcp") {
				proto = impound.ProtoDNST
			}
			e := es[0]
			if e.Proto != proto || e.Name != "www.outlook-verify.net" || e.Outcome != answered || e.QType != dns.TypeA ||
				e.Src.Addr() != netip.MustParseAddr(to.visitor) || e.Src.Port() == 0 || e.Dst != netip.AddrPortFrom(netip.MustParseAddr(to.sensor), 53) {
				t.Errorf("%v: recorded %+v", cmd, e)
			}
		}
	}
	if n := w.bySockets(); n != 0 {
		t.Errorf("%d datagrams came by sockets", n)
	}
	// A question in fragments is the sockets'.
	c := w.dial("udp", net.JoinHostPort(wireSensor4, "53"))
	if _, err := c.Write(make([]byte, 3000)); err != nil {
		t.Fatal(err)
	}
	for len(rec.take()) == 0 {
		time.Sleep(time.Millisecond)
	}
	if n := w.bySockets(); n != 1 {
		t.Errorf("%d datagrams came by sockets, not 1", n)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if w.hasProgram() {
		t.Error("the program is still attached")
	}
	if n := s.Stats().BadFrames; n != 0 {
		t.Errorf("%d good frames were dropped", n)
	}
}

// The same questions get the same octets over AF_XDP as over sockets, and leave
// the same events.
func TestXDPAnswersAsSocketsDo(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	p := usual(t)
	x, xrec := w.startOn(p, func(c *Config) { c.Listeners = []string{"dns+xdp://sink0:53"} })
	_, srec := w.startOn(p, func(c *Config) {
		c.Listeners = []string{"dns://" + wireSensor4 + ":54", "dns://[" + wireSensor6 + "]:54"}
	})
	var questions [][]byte
	for _, name := range []string{"outlook-verify.net.", "WWW.Outlook-Verify.net.", "count-only.net.", "a.b.lure-level.net.", "example.org.", ".", "_dmarc.outlook-verify.net."} {
		for _, qt := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypeTXT, dns.TypeANY, dns.TypeHTTPS, dns.TypeAXFR} {
			m := new(dns.Msg)
			m.SetQuestion(name, qt)
			m.Id = uint16(len(questions))
			if qt != dns.TypeNS {
				m.SetEdns0(1232, qt == dns.TypeMX)
			}
			b, err := m.Pack()
			if err != nil {
				t.Fatal(err)
			}
			questions = append(questions, b)
		}
	}
	questions = append(questions, nil, []byte{1}, make([]byte, 12), make([]byte, 1400))
	r := rand.New(rand.NewPCG(1, 2))
	for i := range 300 { // damaged ones
		q := bytes.Clone(questions[i%63])
		for range 1 + r.IntN(3) {
			q[r.IntN(len(q))] = byte(r.IntN(256))
		}
		questions = append(questions, q)
	}
	read := func(c net.Conn, within time.Duration) []byte {
		buf := make([]byte, 2048)
		c.SetReadDeadline(time.Now().Add(within))
		n, _ := c.Read(buf)
		return buf[:n]
	}
	exchange := func(c net.Conn, q []byte, rec *memory) ([]byte, []impound.Event) {
		if _, err := c.Write(q); err != nil {
			t.Fatal(err)
		}
		var es []impound.Event
		for len(es) == 0 { // the event comes first
			es = rec.take()
		}
		return read(c, 30*time.Millisecond), es
	}
	silent := 0
	for _, host := range []string{wireSensor4, wireSensor6} {
		for _, q := range questions {
			// A socket for each, so that no answer that is late is taken for the next one's.
			cx, cs := w.dial("udp", net.JoinHostPort(host, "53")), w.dial("udp", net.JoinHostPort(host, "54"))
			gotX, evX := exchange(cx, q, xrec)
			gotS, evS := exchange(cs, q, srec)
			if len(gotX) == 0 && len(gotS) > 0 {
				gotX = read(cx, time.Minute)
			} else if len(gotS) == 0 && len(gotX) > 0 {
				gotS = read(cs, time.Minute)
			}
			cx.Close()
			cs.Close()
			if len(gotS) == 0 {
				silent++
			}
			if !bytes.Equal(gotX, gotS) {
				t.Errorf("%x by %s:\n%x, and by sockets\n%x", q, host, gotX, gotS)
			}
			ports := cmp.FilterPath(func(p cmp.Path) bool { return p.Last().String() == ".Src" || p.Last().String() == ".Dst" },
				cmp.Comparer(func(a, b netip.AddrPort) bool { return a.Addr() == b.Addr() }))
			if d := cmp.Diff(evX, evS, ports, cmpopts.EquateComparable(netip.Addr{})); d != "" {
				t.Errorf("%x by %s: the events differ: %s", q, host, d)
			}
		}
	}
	if silent > len(questions)/2 {
		t.Errorf("%d of %d got no answer", silent, 2*len(questions))
	}
	if st := x.Stats(); st.BadFrames != 0 || st.Malformed == 0 {
		t.Errorf("%+v", st)
	}
}

// Without the rights the sockets answer, and the log says why and what to do.
func TestXDPFallsBackToSockets(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name  string
		spoil func(w *wire) error // on the sensor's thread, or for all
		cure  string
	}{
		{"no rights", func(*wire) error {
			hdr := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
			var keep [2]unix.CapUserData
			keep[0].Effective, keep[0].Permitted = 1<<unix.CAP_NET_BIND_SERVICE, 1<<unix.CAP_NET_BIND_SERVICE
			return unix.Capset(&hdr, &keep[0])
		}, "CAP_BPF"},
		{"taken", func(w *wire) error {
			s, err := New(Config{Sensor: "s2", Recorder: &memory{}, Listeners: []string{"dns+xdp://sink0:54"}})
			if err != nil {
				return err
			}
			w.t.Cleanup(func() { s.Close(context.Background()) })
			return s.Start(context.Background())
		}, "another XDP program"},
		{"small MTU", func(w *wire) error {
			return exec.Command("ip", "-n", w.sensor, "link", "set", "sink0", "mtu", "1000").Run()
		}, "dns://"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWire(t)
			var log bytes.Buffer
			rec := &memory{}
			s, err := New(Config{Sensor: "s1", Recorder: rec, Policy: usual(t), Now: func() time.Time { return t0 },
				Listeners: []string{"dns+xdp://sink0"}, Log: slog.New(slog.NewTextHandler(&log, nil))})
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close(context.Background())
			w.in(w.sensor, func() error {
				if err := tt.spoil(w); err != nil {
					return err
				}
				return s.Start(context.Background())
			})
			if l := log.String(); strings.Count(l, "\n") != 1 || !strings.Contains(l, "ordinary sockets") || !strings.Contains(l, tt.cure) {
				t.Errorf("the log says %q", l)
			}
			if len(s.Addrs()[xdpScheme]) != 0 || len(s.Addrs()["dns"]) == 0 {
				t.Errorf("listens on %v", s.Addrs())
			}
			c := w.dial("udp", wireSensor4+":53")
			m := new(dns.Msg)
			m.SetQuestion("outlook-verify.net.", dns.TypeA)
			in, _, err := (&dns.Client{Timeout: 5 * time.Second}).ExchangeWithConn(m, &dns.Conn{Conn: c})
			if err != nil || len(in.Answer) != 1 || len(rec.take()) != 1 {
				t.Errorf("%v %v", in, err)
			}
		})
	}
}

// Frames longer than the driver's mode takes leave the generic one.
func TestXDPGenericMode(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	for _, end := range [][]string{{w.sensor, "sink0"}, {w.visitor, "eth0"}} {
		if out, err := exec.Command("ip", "-n", end[0], "link", "set", end[1], "mtu", "9000").CombinedOutput(); err != nil {
			t.Fatalf("%s", out)
		}
	}
	var log bytes.Buffer
	_, rec := w.startOn(usual(t), func(c *Config) {
		c.Listeners = []string{"dns+xdp://sink0"}
		c.Log = slog.New(slog.NewTextHandler(&log, nil))
	})
	if l := log.String(); !strings.Contains(l, "generic mode, copy") || !strings.Contains(l, "queues=2") {
		t.Fatalf("the log says %q", l)
	}
	for _, host := range []string{wireSensor4, wireSensor6} {
		for range 20 { // by both queues
			m := new(dns.Msg)
			m.SetQuestion("outlook-verify.net.", dns.TypeA)
			in, _, err := (&dns.Client{Timeout: 5 * time.Second}).ExchangeWithConn(m, &dns.Conn{Conn: w.dial("udp", net.JoinHostPort(host, "53"))})
			if err != nil || len(in.Answer) != 1 || len(rec.take()) != 1 {
				t.Fatalf("%s: %v %v", host, in, err)
			}
		}
	}
	// Longer than a frame that is taken: it comes by the sockets, whole.
	c := w.dial("udp", wireSensor4+":53")
	if _, err := c.Write(make([]byte, 5000)); err != nil {
		t.Fatal(err)
	}
	for len(rec.take()) == 0 {
		time.Sleep(time.Millisecond)
	}
	if n := w.bySockets(); n != 1 {
		t.Errorf("%d datagrams came by sockets, not 1", n)
	}
}

// More questions than there are frames: each frame is used again, both ways.
func TestXDPFramesGoRound(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	s, rec := w.startOn(usual(t), func(c *Config) { c.Listeners = []string{"dns+xdp://sink0"} })
	m := new(dns.Msg)
	m.SetQuestion("outlook-verify.net.", dns.TypeA)
	q, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	c := w.dial("udp", wireSensor4+":53")
	const window, rounds = 50, 200
	buf := make([]byte, 600)
	for i := range rounds {
		for range window {
			if _, err := c.Write(q); err != nil {
				t.Fatal(err)
			}
		}
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		for k := range window {
			if _, err := c.Read(buf); err != nil {
				t.Fatalf("after %d answers: %v", i*window+k, err)
			}
		}
	}
	if n := len(rec.take()); n != window*rounds || s.Stats().Answered != uint64(n) {
		t.Errorf("%d questions, %d events, %+v", window*rounds, n, s.Stats())
	}
}

// lines is a log that may be read while it is written.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// An interface that goes away ends AF_XDP with a line in the log, and no more.
func TestXDPInterfaceGoesAway(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	log := &lines{}
	s, _ := w.startOn(usual(t), func(c *Config) {
		c.Listeners = []string{"dns+xdp://sink0"}
		c.Log = slog.New(slog.NewTextHandler(log, nil))
	})
	if out, err := exec.Command("ip", "-n", w.sensor, "link", "del", "sink0").CombinedOutput(); err != nil {
		t.Fatalf("%s", out)
	}
	for i := 0; strings.Count(log.String(), "AF_XDP ended") < 2; i++ { // one for each queue
		if i > 3000 {
			t.Fatalf("the log says only %q", log.String())
		}
		time.Sleep(10 * time.Millisecond)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}

// The sensor is killed at saturation: what it answered stands in its spool, and
// the kernel has taken the program off the interface.
func TestXDPSIGKILLLosesNothingAndFreesTheInterface(t *testing.T) {
	t.Parallel()
	w := newWire(t)
	dir, bundle := t.TempDir(), t.TempDir()+"/bundle"
	built, err := policy.Build(mandates(t), policy.Options{Key: hub, Serial: 1, Now: t0, Answer: usualAnswer})
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(bundle, built.Data, 0o600); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var next int
	got := map[string]bool{}
	unique := func() string {
		mu.Lock()
		defer mu.Unlock()
		next++
		return fmt.Sprintf("q%d.outlook-verify.net", next)
	}
	done := func(name string) {
		mu.Lock()
		defer mu.Unlock()
		got[name] = true
	}
	answers := func(more int) { moreAnswers(t, &mu, got, more) }
	for round := range 3 {
		cmd := exec.Command("ip", "netns", "exec", w.sensor, os.Args[0]) // which ip becomes
		cmd.Env = append(os.Environ(), "SINKHOLE_CHILD="+dir, "SINKHOLE_POLICY="+bundle, "SINKHOLE_LISTENERS=dns+xdp://sink0 http://127.0.0.1:0")
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() }) // where it wasn't
		line := make([]byte, 200)
		n, _ := out.Read(line)
		if !strings.HasPrefix(string(line[:n]), "ready") {
			cmd.Process.Kill()
			t.Fatalf("the sensor says %q", line[:n])
		}
		if !w.hasProgram() {
			t.Error("no program is attached")
		}
		before := w.bySockets()
		var wg sync.WaitGroup
		var gone atomic.Bool
		for i := range 3 {
			c := w.dial("udp", net.JoinHostPort([]string{wireSensor4, wireSensor6}[i%2], "53"))
			wg.Go(func() { floodConn(c, unique, done, &gone) })
		}
		answers(200)
		time.Sleep(time.Duration(37*round) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		gone.Store(true)
		wg.Wait()
		if n := w.bySockets() - before; n != 0 {
			t.Errorf("%d questions came by sockets", n)
		}
		if w.hasProgram() {
			t.Fatal("the killed sensor's program is still attached")
		}
	}
	// The interface works as before: a plain sensor gets the questions.
	_, rec := w.startOn(usual(t), func(c *Config) { c.Listeners = []string{"dns://" + wireSensor4 + ":53"} })
	m := new(dns.Msg)
	m.SetQuestion("outlook-verify.net.", dns.TypeA)
	if _, _, err := (&dns.Client{Timeout: 5 * time.Second}).ExchangeWithConn(m, &dns.Conn{Conn: w.dial("udp", wireSensor4+":53")}); err != nil || len(rec.take()) != 1 {
		t.Errorf("after the kill: %v", err)
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
	for name := range got {
		switch found[name] {
		case 0:
			lost++
		case 1:
		default:
			twice++
		}
	}
	if len(got) < 1000 {
		t.Errorf("only %d were answered: no load", len(got))
	}
	if lost > 0 || twice > 0 {
		t.Errorf("of %d answered, %d are lost and %d are there twice", len(got), lost, twice)
	}
	t.Logf("3 kills: %d answered, all found; %d recorded", len(got), len(found))
}
