package laws

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/testregistry"
)

// port53 gives a loopback address of our own on which port 53 is free: a
// delegation can say no other port.
func port53(t testing.TB) netip.Addr {
	t.Helper()
	var err error
	for i := range 50 {
		p := os.Getpid()*50 + i
		a := netip.AddrFrom4([4]byte{127, byte(64 + p>>15&63), byte(p >> 7), byte(p<<1) | 1})
		var u net.PacketConn
		if u, err = net.ListenPacket("udp", netip.AddrPortFrom(a, 53).String()); err != nil {
			continue
		}
		u.Close()
		return a
	}
	peertest.NeedThat(t, "a port below 1024 (root)", false, "run as root, or: sysctl net.ipv4.ip_unprivileged_port_start=53: "+err.Error())
	return netip.Addr{}
}

// startUnbound runs Unbound as a validating resolver that knows where the
// parent zones are, and gives its address.
func startUnbound(t testing.TB, reg *testregistry.Registry) string {
	t.Helper()
	bin := peertest.Need(t, "unbound", "unbound")
	at := netip.MustParseAddrPort(freeUDP(t))
	dir := t.TempDir()
	conf := fmt.Sprintf(`server:
  interface: 127.0.0.1@%d
  do-daemonize: no
  use-syslog: no
  logfile: ""
  username: ""
  chroot: ""
  directory: %q
  pidfile: ""
  do-not-query-localhost: no
  do-ip6: no
  cache-max-ttl: 0
  cache-max-negative-ttl: 0
  infra-host-ttl: 1
  trust-anchor-file: %q
remote-control:
  control-enable: no
`, at.Port(), dir, reg.Files().TrustAnchors)
	for _, tld := range []string{"com", "net"} { // in the world, the root says this
		conf += fmt.Sprintf("stub-zone:\n  name: %s\n  stub-addr: 127.0.0.1@%d\n", tld, reg.Addrs().DNS.Port())
	}
	file := filepath.Join(dir, "unbound.conf")
	must(t, os.WriteFile(file, []byte(conf), 0o600))
	ctx, cancel := context.WithCancel(context.Background())
	var out strings.Builder
	cmd := exec.CommandContext(ctx, bin, "-d", "-c", file)
	cmd.Stdout, cmd.Stderr = &out, &out
	must(t, cmd.Start())
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	eventually(t, "Unbound to answer", func() bool {
		m, err := resolve(at.String(), "net.", dns.TypeSOA)
		return err == nil && m.Rcode == dns.RcodeSuccess
	})
	return at.String()
}

func resolve(at, name string, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.SetEdns0(1232, true)
	m, _, err := (&dns.Client{Timeout: 5 * time.Second}).Exchange(q, at)
	return m, err
}

// A resolver that others wrote, which validates, follows the delegation that a
// seizure made, by the glue that it made too, to the sinkhole: where a visitor
// got the actor's signed address before, he gets ours, and no SERVFAIL.
func TestUnboundFollowsTheSeizure(t *testing.T) {
	sink, actor := port53(t), netip.Addr{}
	for actor = sink.Next(); ; actor = actor.Next() { // another one
		l, err := net.ListenPacket("udp", netip.AddrPortFrom(actor, 53).String())
		if err == nil {
			l.Close()
			break
		}
	}
	w := newWorld(t, func(c *testregistry.Config) { c.Sign, c.ActorDNS = true, netip.AddrPortFrom(actor, 53).String() })
	bad, ours := impound.MustName("webmail-signin.net"), impound.MustName("unit-sinks.net")
	actorNS := []impound.Name{impound.MustName("ns1.bulk-host.net"), impound.MustName("ns2.bulk-host.net")}
	ourNS := []impound.Name{impound.MustName("ns1.unit-sinks.net"), impound.MustName("ns2.unit-sinks.net")}
	created := time.Now().UTC().AddDate(0, 0, -20)
	must(t, w.reg.Register(
		testregistry.Domain{Name: bad, Registrar: "CHEAP-NAMES", Created: created, Signed: true, NS: actorNS, NSAddrs: map[impound.Name][]netip.Addr{actorNS[0]: {actor}, actorNS[1]: {actor}}, A: actor},
		testregistry.Domain{Name: ours, Registrar: "IMPOUND", Created: created},
	))
	unbound := startUnbound(t, w.reg)
	addr := func(name string) (rcode int, ad bool, got []string) {
		t.Helper()
		m, err := resolve(unbound, name, dns.TypeA)
		must(t, err)
		for _, rr := range m.Answer {
			if a, ok := rr.(*dns.A); ok {
				got = append(got, a.A.String())
			}
		}
		return m.Rcode, m.AuthenticatedData, got
	}
	if rcode, ad, got := addr(bad.FQDN()); rcode != dns.RcodeSuccess || !ad || !slices.Equal(got, []string{actor.String()}) {
		t.Fatalf("before: %s, AD %v, %v", dns.RcodeToString[rcode], ad, got)
	}

	w.cfg.Sinkhole.Listen = []string{"dns://" + netip.AddrPortFrom(sink, 53).String()}
	w.cfg.Sinkhole.Answer, w.cfg.Sinkhole.NS = []netip.Addr{sink}, ourNS
	w.cfg.Resolvers = []string{unbound}
	w.writeConfig(t)
	s := w.serve(t)
	_, err := s.Casework.AddNames(t.Context(), "ada", caseID, []casework.AddName{{Name: bad, FirstSeen: time.Now().UTC(), Reasons: []impound.Reason{{Code: "report", Text: "named in a report"}}}})
	must(t, err)
	now := time.Now()
	path := w.draft(t, s, terms{id: liveOrder, names: []impound.Name{bad}, from: now.Add(-time.Hour), until: now.AddDate(0, 0, 30)})
	doc, err := os.ReadFile(path)
	must(t, err)
	text := string(doc)
	for i, ns := range sinkNS {
		text = strings.NewReplacer(ns.String(), ourNS[i].String(), ns.Defanged(), ourNS[i].String()).Replace(text)
	}
	must(t, os.WriteFile(path, []byte(text), 0o600))
	w.sign(t, s, path, "ben", "dora")
	_, err = s.Casework.FileOrder(t.Context(), "carla", path, []byte(readFile(t, path)))
	must(t, err)
	eventually(t, "the order to reach the sinkhole", func() bool {
		code, err := askAt(netip.AddrPortFrom(sink, 53).String(), bad)
		return err == nil && code == dns.RcodeSuccess
	})
	id := w.plan(t, s, liveOrder, "ben", "dora")
	info, err := s.Seizure.Get(t.Context(), id)
	must(t, err)
	if !strings.Contains(info.Plan.String(), "+ host ns1[.]unit-sinks[.]net "+sink.String()) {
		t.Errorf("a plan without glue:\n%s", info.Plan.String())
	}
	if res, err := s.Apply(t.Context(), w.me(t, s, "olaf"), id); err != nil {
		t.Fatalf("%v %+v", err, res)
	}
	for _, name := range []string{bad.FQDN(), "mail.deep." + bad.FQDN()} {
		eventually(t, "Unbound to give the sinkhole's address for "+name, func() bool {
			rcode, ad, got := addr(name)
			return rcode == dns.RcodeSuccess && !ad && slices.Equal(got, []string{sink.String()})
		})
	}
	// And by Unbound's word all three views show the order.
	st, err := s.Verify(impound.AsSystem(t.Context()), liveOrder)
	if err != nil || len(st) != 1 || !st[0].Done {
		t.Errorf("%v %+v", err, st)
	}
	if a, err := s.Custody(impound.AsSystem(t.Context())); err != nil || slices.ContainsFunc(a, func(x app.Alarm) bool { return !x.Name.IsZero() }) {
		t.Errorf("%v %+v", err, a)
	}
}

func readFile(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return string(b)
}
