package seizure_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/conntest"
)

// unbound is a validating resolver that knows a parent zone's key.
type unbound struct {
	addr string
	cmd  *exec.Cmd
}

// startUnbound starts Unbound with stubs to the parent and, for each of names, to
// the sinkhole: servers on high ports, which no delegation can say.
func startUnbound(t *testing.T, parent *conntest.Server, names []impound.Name, sink string) *unbound {
	t.Helper()
	bin := peertest.Need(t, "unbound", "unbound")
	dir := t.TempDir()
	m, err := parent.Query("example.", dns.TypeDNSKEY)
	if err != nil {
		t.Fatal(err)
	}
	var anchors strings.Builder
	for _, rr := range m.Answer {
		if k, ok := rr.(*dns.DNSKEY); ok && k.Flags&dns.SEP != 0 {
			fmt.Fprintln(&anchors, k.ToDS(dns.SHA256))
		}
	}
	anchor := filepath.Join(dir, "anchors")
	if err := os.WriteFile(anchor, []byte(anchors.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	port := strconv.Itoa(peertest.Port(t))
	stub := func(zone, addr string) string {
		return fmt.Sprintf("stub-zone:\n  name: %s\n  stub-addr: %s\n", zone, strings.Replace(addr, ":", "@", 1))
	}
	conf := fmt.Sprintf("server:\n  interface: 127.0.0.1@%s\n  do-daemonize: no\n  use-syslog: no\n  logfile: \"\"\n  username: \"\"\n  chroot: \"\"\n  directory: %q\n  pidfile: \"\"\n  do-not-query-localhost: no\n  do-ip6: no\n  cache-max-ttl: 0\n  cache-max-negative-ttl: 0\n  infra-host-ttl: 1\n  trust-anchor-file: %q\n  local-zone: \"sinkhole.net.\" static\n  local-data: \"ns1.sinkhole.net. A 127.53.0.1\"\n  local-data: \"ns2.sinkhole.net. A 127.53.0.2\"\n  local-zone: \"actor-dns.net.\" static\nremote-control:\n  control-enable: no\n", port, dir, anchor) + stub("example", parent.Addr)
	for _, n := range names {
		conf += stub(n.String(), sink)
	}
	file := filepath.Join(dir, "unbound.conf")
	if err := os.WriteFile(file, []byte(conf), 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	u := &unbound{addr: "127.0.0.1:" + port, cmd: exec.CommandContext(ctx, bin, "-d", "-c", file)}
	var out strings.Builder
	u.cmd.Stdout, u.cmd.Stderr = &out, &out
	if err := u.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = u.cmd.Wait()
		if t.Failed() {
			t.Log(out.String())
		}
	})
	return u
}

func (u *unbound) ask(t *testing.T, n impound.Name, qtype uint16) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(n.FQDN(), qtype)
	q.SetEdns0(1232, true)
	for t.Context().Err() == nil {
		m, _, err := (&dns.Client{Timeout: 5 * time.Second}).ExchangeContext(t.Context(), q, u.addr)
		if err == nil {
			return m
		}
		time.Sleep(50 * time.Millisecond) // until it listens
	}
	t.Fatal("unbound does not answer")
	return nil
}

// forget has Unbound read its configuration again: it remembers for a minute that
// a zone's keys were bad, whatever its caches' sizes.
func (u *unbound) forget(t *testing.T, until func() bool) {
	t.Helper()
	for try := range 250 {
		if try%50 == 0 {
			if err := u.cmd.Process.Signal(syscall.SIGHUP); err != nil {
				t.Fatal(err)
			}
		}
		if until() {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// A signed parent zone of BIND's or Knot's in our custody, with Unbound validating
// below it: a DS that was left behind is SERVFAIL, and an order carried out by
// dynamic update cures it; parents that disagree, that are lame or that answer
// for somebody else are never taken for success.
func TestRealParents(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"bind", "knot"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			realParents(t, kind)
		})
	}
}

func realParents(t *testing.T, kind string) {
	left, whole := n("left-behind.example"), n("outlook-verify.example")
	names := []impound.Name{left, whole}
	actor, sinkNS := ns("ns1.actor-dns.net", "ns2.actor-dns.net"), ns("ns1.sinkhole.net", "ns2.sinkhole.net")
	text := "$ORIGIN example.\n$TTL 1\n@ IN SOA ns1.nic hostmaster.nic 1 3600 900 604800 1\n@ IN NS ns1.nic\nns1.nic IN A 127.0.0.1\n"
	for _, h := range sinkNS {
		text += "left-behind IN NS " + h.FQDN() + "\n"
	}
	for _, h := range actor {
		text += "outlook-verify IN NS " + h.FQDN() + "\n"
	}
	for _, x := range []string{"left-behind", "outlook-verify"} {
		text += x + " IN DS 4711 13 2 " + strings.Repeat("AB", 32) + "\n"
	}
	primary := conntest.Serve(t, kind, conntest.Zone{Name: "example", Text: text, Signed: true})
	// The others: one that missed the change, one that does not hold the zone, one
	// that holds the seized name's own.
	other := map[string]string{"bind": "knot", "knot": "bind"}[kind]
	stale := conntest.Serve(t, other, conntest.Zone{Name: "example", Text: text, Frozen: true})
	strange := conntest.Serve(t, other,
		conntest.Zone{Name: "outlook-verify.example", Text: "$ORIGIN outlook-verify.example.\n$TTL 60\n@ IN SOA a b 1 2 3 4 5\n@ IN NS ns1.sinkhole.net.\n@ IN NS ns2.sinkhole.net.\n", Frozen: true})

	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sink := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		hdr := dns.RR_Header{Name: q.Question[0].Name, Rrtype: q.Question[0].Qtype, Class: 1, Ttl: 1}
		switch hdr.Rrtype {
		case dns.TypeNS:
			for _, h := range sinkNS {
				m.Answer = append(m.Answer, &dns.NS{Hdr: hdr, Ns: h.FQDN()})
			}
		case dns.TypeSOA:
			m.Answer = append(m.Answer, &dns.SOA{Hdr: hdr, Ns: "ns1.sinkhole.net.", Mbox: "hostmaster.sinkhole.net.", Serial: 7})
		case dns.TypeA:
			m.Answer = append(m.Answer, &dns.A{Hdr: hdr, A: net.IPv4(192, 0, 2, 99)})
		}
		_ = w.WriteMsg(m)
	})}
	go sink.ActivateAndServe()
	t.Cleanup(func() { _ = sink.Shutdown() })
	u := startUnbound(t, primary, names, pc.LocalAddr().String())
	// One of the sinkhole's servers serves; the other is an authority of another
	// zone, and knows nothing of these.
	lame := conntest.Serve(t, other, conntest.Zone{Name: "elsewhere.test", Text: "$ORIGIN elsewhere.test.\n$TTL 60\n@ IN SOA a b 1 2 3 4 5\n@ IN NS a\na IN A 127.0.0.1\n", Frozen: true})
	routes := map[string]string{"127.53.0.1:53": pc.LocalAddr().String(), "127.53.0.2:53": lame.Addr}

	z := newOwnZone(t, primary, u, routes, names)
	conn, engine := z.conn, z.engine
	authorize := func(lock []string) *impound.Mandate { return z.authorize(sinkNS, lock) }
	m := authorize(nil)
	e := engine(m, primary.Addr)
	views := func(e *seizure.Engine, x impound.Name) (parent, rdap, resolver seizure.ViewStatus, done bool) {
		t.Helper()
		all, err := e.Verify(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(all, func(s seizure.NameStatus) bool { return s.Name == x })
		return all[i].Views[0], all[i].Views[1], all[i].Views[2], all[i].Done
	}

	// Before: the parent validates, the DS that was left behind does not.
	if r := u.ask(t, n("ns1.nic.example"), dns.TypeA); r.Rcode != dns.RcodeSuccess || !r.AuthenticatedData {
		t.Fatalf("the parent zone does not validate: %s", r)
	}
	if r := u.ask(t, left, dns.TypeA); r.Rcode != dns.RcodeServerFailure {
		t.Fatalf("with a stale DS: %s", r)
	}
	if _, _, v, done := views(e, left); v.State != seizure.Otherwise || !strings.Contains(v.Why, "DNSSEC is broken: SERVFAIL with validation, NOERROR without") || done {
		t.Errorf("a stale DS, and the resolver's view is %+v", v)
	}

	// A zone has no locks: an order that wants them is blocked with the reason.
	p, err := engine(authorize([]string{"serverUpdateProhibited"}), primary.Addr).Plan(t.Context(), authorize([]string{"serverUpdateProhibited"}))
	if err != nil {
		t.Fatal(err)
	}
	for _, np := range p.Names {
		if !strings.Contains(np.Blocked, "can't do lock") {
			t.Errorf("%s: blocked %q", np.Name, np.Blocked)
		}
	}

	// The order, carried out.
	if p, err = e.Plan(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	want := map[impound.Name]string{left: "- ds (all)", whole: "+ ns ns1[.]sinkhole[.]net\n+ ns ns2[.]sinkhole[.]net\n- ns ns1[.]actor-dns[.]net\n- ns ns2[.]actor-dns[.]net\n- ds (all)"}
	for _, np := range p.Names {
		if len(np.Steps) != 1 || strings.Join(np.Steps[0].Lines, "\n") != want[np.Name] {
			t.Fatalf("%s", p)
		}
	}
	approve(t, e, p)
	if res, err := e.Apply(t.Context(), p.ID); err != nil {
		t.Fatalf("%v %+v", err, res)
	}
	for _, x := range names {
		r, err := primary.Query(x.FQDN(), dns.TypeDS)
		if err != nil {
			t.Fatal(err)
		}
		proof := 0
		for _, rr := range r.Ns {
			if t := rr.Header().Rrtype; t == dns.TypeNSEC || t == dns.TypeNSEC3 || t == dns.TypeRRSIG {
				proof++
			}
		}
		if len(r.Answer) > 0 || proof < 2 {
			t.Errorf("%s: the parent does not prove that there is no DS: %s", x, r)
		}
	}
	u.forget(t, func() bool { return u.ask(t, left, dns.TypeA).Rcode == dns.RcodeSuccess })
	for _, x := range names {
		r := u.ask(t, x, dns.TypeA)
		if r.Rcode != dns.RcodeSuccess || r.AuthenticatedData || len(r.Answer) == 0 || !strings.Contains(r.Answer[0].String(), "192.0.2.99") {
			t.Errorf("visitors of %s don't reach the sinkhole: %s", x, r)
		}
		pv, rv, sv, done := views(e, x)
		if !done || !strings.Contains(rv.Why, "the records of provider ours") {
			t.Errorf("%s is not verified: %+v %+v %+v", x, pv, rv, sv)
		}
	}
	// Its own servers: one speaks for it, one is lame, and that does not undo it.
	all, err := e.Verify(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range all {
		c := st.Child
		if c == nil || len(c.Servers) != 2 {
			t.Fatalf("%s: its own servers: %+v", st.Name, c)
		}
		good, bad := c.Servers[0], c.Servers[1]
		if !st.Done || c.State != seizure.Otherwise || !strings.Contains(c.Why, "ns2[.]sinkhole[.]net: lame") {
			t.Errorf("%s: done %v, %+v", st.Name, st.Done, c)
		}
		if !good.Authoritative || good.Lame || !slices.Equal(good.NS, []string{"ns1.sinkhole.net", "ns2.sinkhole.net"}) || !strings.Contains(good.SOA, " 7 ") {
			t.Errorf("%s: the one that serves: %+v", st.Name, good)
		}
		if bad.Authoritative || !bad.Lame || bad.RCode != "REFUSED" {
			t.Errorf("%s: the lame one: %+v", st.Name, bad)
		}
		body, err := z.log.Read(st.Artefact)
		if err != nil {
			t.Fatal(err)
		}
		var kept struct {
			Names []struct {
				Name            impound.Name
				Child, Resolver observe.View
			}
		}
		if err := json.Unmarshal(body, &kept); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(kept.Names, func(x struct {
			Name            impound.Name
			Child, Resolver observe.View
		}) bool {
			return x.Name == st.Name
		})
		if i < 0 || len(kept.Names[i].Child.Servers) != 2 || len(kept.Names[i].Child.Servers[1].Raw) == 0 || len(kept.Names[i].Resolver.Servers) != 1 {
			t.Errorf("%s: what was seen is not in the evidence", st.Name)
		} else if r := kept.Names[i].Resolver.Servers[0]; r.Unchecked == nil || r.Unchecked.RCode != "NOERROR" || !slices.Equal(r.Unchecked.NS, good.NS) || r.Bogus || r.DNSSEC == "" {
			t.Errorf("%s: the answers with and without validation: %+v", st.Name, r)
		}
	}
	frames := 0
	err = z.log.Entries(t.Context(), 0, func(_ int64, en impound.Entry) error {
		if en.Type != impound.EntryResult {
			return nil
		}
		for _, h := range strings.Fields(en.Detail["frames"]) {
			b, err := z.log.Read(h)
			if err != nil || new(dns.Msg).Unpack(b) != nil {
				t.Errorf("frame %s is no DNS message: %v", h, err)
			}
			frames++
		}
		return nil
	})
	if err != nil || frames < 4 {
		t.Errorf("%v: %d frames were kept", err, frames)
	}

	// Parents that disagree among themselves, and those that speak for nobody.
	for what, tt := range map[string]struct {
		parents []string
		state   string
		why     string
	}{
		"one missed the change":        {[]string{primary.Addr, stale.Addr}, seizure.NotYet, "former"},
		"one is lame or the child's":   {[]string{primary.Addr, strange.Addr}, seizure.AsOrdered, "1 of 2 servers answered"},
		"most are":                     {[]string{primary.Addr, strange.Addr, "127.0.0.1:1"}, seizure.Unknown, "1 of 3"},
		"all are":                      {[]string{strange.Addr}, seizure.Unknown, "zone of outlook-verify[.]example itself"},
		"only the resolver is asked":   {[]string{u.addr}, seizure.Unknown, "REFUSED"},
		"nobody":                       {[]string{"127.0.0.1:1"}, seizure.Unknown, "no answer"},
		"the one that missed, and out": {[]string{stale.Addr, "127.0.0.1:1"}, seizure.NotYet, "former"},
	} {
		pv, _, _, done := views(engine(m, tt.parents...), whole)
		if pv.State != tt.state || !strings.Contains(pv.Why, tt.why) || done != (tt.state == seizure.AsOrdered) {
			t.Errorf("%s: done %v, %+v; want %s because %q", what, done, pv, tt.state, tt.why)
		}
	}

	// Given back: the name servers return, the DS does not.
	if p, err = e.Revert(t.Context(), m, whole); err != nil {
		t.Fatal(err)
	}
	approve(t, e, p)
	if res, err := e.Apply(t.Context(), p.ID); err != nil {
		t.Logf("%v %+v", err, res) // nobody serves the actor's zone here: the resolver's view can't be as it was
	}
	v, err := conn.Info(t.Context(), whole)
	if err != nil || !slices.Equal(v.NS, actor) || len(v.DS) != 0 {
		t.Errorf("given back it is %v %+v", err, v.State())
	}
}
