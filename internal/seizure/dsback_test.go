package seizure_test

import (
	"context"
	"crypto"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/conntest"
	"github.com/impound/impound/internal/testregistry"
)

// stillSigning has the former servers of all names sign.
func (w *world) stillSigning() {
	w.prov.keys = map[impound.Name]bool{}
	for _, x := range w.names {
		w.prov.keys[x] = true
	}
}

func TestDSBackAfterNameServers(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		prep  func(*world, *impound.Order)
		steps [][]string
	}{
		"plain": {nil, [][]string{
			{"+ ns ns1[.]actor[.]test", "+ ns ns2[.]actor[.]test", "- ns ns1[.]sinkhole[.]example", "- ns ns2[.]sinkhole[.]example", "- status clientTransferProhibited", "- status serverDeleteProhibited", "- status serverTransferProhibited", "- status serverUpdateProhibited"},
			{"DS back: 1 13 2 AA"}}},
		"locked before": {func(w *world, _ *impound.Order) {
			for _, v := range w.prov.names {
				v.Status = []string{"clientUpdateProhibited", "serverUpdateProhibited", "clientTransferProhibited"}
			}
		}, [][]string{
			{"+ ns ns1[.]actor[.]test", "+ ns ns2[.]actor[.]test", "- ns ns1[.]sinkhole[.]example", "- ns ns2[.]sinkhole[.]example", "- status clientUpdateProhibited", "- status serverDeleteProhibited", "- status serverTransferProhibited", "- status serverUpdateProhibited"},
			{"DS back: 1 13 2 AA", "+ status clientUpdateProhibited", "+ status serverUpdateProhibited"}}},
		"the DS alone was ordered": {func(_ *world, o *impound.Order) {
			o.Acts = impound.Acts{RemoveDS: true}
		}, [][]string{{"DS back: 1 13 2 AA"}}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w, e, before := seized(t, tt.prep)
			w.stillSigning()
			lost := once(errLost)
			w.prov.after = func(c seizure.Change) error { // acts, and the answer is lost
				if len(c.BackDS) > 0 {
					return lost(c)
				}
				return nil
			}
			p := w.reverted(e, nil, "anna", "bert")
			for _, np := range p.Names {
				var got [][]string
				for _, s := range np.Steps {
					got = append(got, s.Lines)
				}
				if fmt.Sprint(got) != fmt.Sprint(tt.steps) || len(np.Seen) != 2 {
					t.Fatalf("%s: %q\nwant %q; saw %q", np.Name, got, tt.steps, np.Seen)
				}
			}
			r, err := e.Apply(t.Context(), p.ID)
			w.wantDone(r, err)
			for x, want := range before {
				if got := w.prov.names[x].State(); !got.Equal(want) {
					t.Errorf("%s: %+v, want %+v", x, got, want)
				}
			}
			asked := w.prov.asked
			if _, err := e.Apply(t.Context(), p.ID); err != nil || w.prov.asked != asked {
				t.Errorf("applied again: %v, %d acts more", err, w.prov.asked-asked)
			}
			if _, err := e.Revert(t.Context(), w.mandate); impound.KindOf(err) != impound.KindNotFound {
				t.Errorf("reverting again: %v", err)
			}
		})
	}
}

// The keys go between the plan and the act: the name servers are back, the DS is
// not, and a new plan says why.
func TestDSNotBackWhenKeysGo(t *testing.T) {
	t.Parallel()
	w, e, before := seized(t, nil)
	w.stillSigning()
	p := w.reverted(e, w.names[:1], "anna", "bert")
	w.prov.keys = nil
	r, err := e.Apply(t.Context(), p.ID)
	if err == nil || r.Count(seizure.Stale) != 1 || !strings.Contains(r.Names[0].Msg, "no longer at its former name servers") {
		t.Fatalf("%v %+v", err, r)
	}
	got, want := w.prov.names[w.names[0]], before[w.names[0]]
	if len(got.DS) != 0 || !slices.Equal(got.State().NS, want.NS) {
		t.Errorf("%+v", got)
	}
	w.clock = w.clock.Add(time.Minute)
	again := w.reverted(e, w.names[:1], "anna", "bert")
	if np := again.Names[0]; len(np.Steps) != 0 || !strings.Contains(strings.Join(np.Warnings, "\n"), "SERVFAIL for all who validate") {
		t.Errorf("%s", again)
	}
	w.stillSigning()
	w.clock = w.clock.Add(time.Minute)
	again = w.reverted(e, w.names[:1], "anna", "bert")
	if np := again.Names[0]; len(np.Steps) != 1 || strings.Join(np.Steps[0].Lines, "") != "DS back: 1 13 2 AA" {
		t.Fatalf("%s", again)
	}
	r, err = e.Apply(t.Context(), again.ID)
	w.wantDone(r, err)
	if got := w.prov.names[w.names[0]].State(); !got.Equal(want) {
		t.Errorf("%+v", got)
	}
}

// Let go by the return clause, the DS comes back as well, and no act is asked for
// that the clause does not allow.
func TestDSBackWhenReleased(t *testing.T) {
	t.Parallel()
	w, _, before := seized(t, nil)
	w.stillSigning()
	e := w.engine(func(c *seizure.Config) {
		c.Risks = func(context.Context, *impound.Mandate, impound.Name, string) ([]impound.GateVerdict, error) {
			return []impound.GateVerdict{{Gate: "R1", Outcome: impound.GatePass}}, nil
		}
	})
	p, err := e.Release(t.Context(), w.mandate, seizure.LettingGo{How: impound.ReleaseRestore}, w.names[:1]...)
	if err != nil {
		t.Fatal(err)
	}
	if np := p.Names[0]; len(np.Steps) != 2 || fmt.Sprint(np.Steps[1].Acts) != "[release]" {
		t.Fatalf("%s %+v", p, p.Names[0].Steps)
	}
	for _, id := range []string{"anna", "bert"} {
		if _, err := e.Approve(t.Context(), p.ID, w.sign(p, id)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := e.Apply(t.Context(), p.ID)
	w.wantDone(r, err)
	if got := w.prov.names[w.names[0]].State(); !got.Equal(before[w.names[0]]) {
		t.Errorf("%+v", got)
	}
}

// unsignedServer speaks for every name, with no keys.
func unsignedServer(t *testing.T) string {
	return dnsServer(t, func(m *dns.Msg, q dns.Question) {
		if q.Qtype == dns.TypeSOA {
			m.Answer = append(m.Answer, &dns.SOA{Hdr: dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: 1, Ttl: 1}, Ns: "a.", Mbox: "b.", Serial: 1})
		}
	})
}

func dnsServer(t *testing.T, answer func(*dns.Msg, dns.Question)) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		m.SetEdns0(1232, true)
		answer(m, q.Question[0])
		_ = w.WriteMsg(m)
	})}
	go srv.ActivateAndServe()
	t.Cleanup(func() { _ = srv.Shutdown() })
	return pc.LocalAddr().String()
}

// A signed name at the practice registry, over EPP and real DNS: its DS comes back
// where its keys are still there, and not where they went.
func TestDSBackAtTheRegistry(t *testing.T) {
	t.Parallel()
	r, s := practice(t, testregistry.Faults{}, fourNames[:1])
	signed := fourNames[0]
	if err := r.Register(testregistry.Domain{Name: n("actor-dns.net"), Registrar: "cheap", NS: ns("ns1.actor-dns.net", "ns2.actor-dns.net")}); err != nil {
		t.Fatal(err)
	}
	was, _ := r.Domain(signed)
	if len(was.DS) != 1 {
		t.Fatalf("%+v", was)
	}
	e, _, closeAll, err := s.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	m, _, _ := s.mandate()
	finish(t, e, m)
	wantSeized(t, r, s.Names)

	bare := *s
	bare.Routes = maps.Clone(s.Routes)
	for from := range bare.Routes {
		bare.Routes[from] = unsignedServer(t)
	}
	bare.Settle = 0
	e2, _, closeBare, err := bare.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeBare()
	p, err := e2.Revert(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if np := p.Names[0]; len(np.Steps) != 1 || np.DSBack || !strings.Contains(strings.Join(np.Warnings, "\n"), "it shows no key") {
		t.Errorf("its keys went: %s", p)
	}
	if p, err = e.Revert(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if np := p.Names[0]; len(np.Steps) != 2 || !strings.HasPrefix(np.Steps[1].Lines[0], fmt.Sprintf("DS back: %d ", was.DS[0].KeyTag)) {
		t.Fatalf("%s", p)
	}
	approve(t, e, p)
	res, err := e.Apply(t.Context(), p.ID)
	if err != nil || res.Names[0].Status == nil || !res.Names[0].Status.Done || !strings.Contains(res.Names[0].Status.Views[0].Why, "with its former DS") {
		t.Fatalf("%v %+v", err, res.Names)
	}
	now, _ := r.Domain(signed)
	if len(now.DS) != 1 || !strings.EqualFold(now.DS[0].Digest, was.DS[0].Digest) || now.DS[0].KeyTag != was.DS[0].KeyTag || !slices.Equal(now.NS, was.NS) {
		t.Errorf("%+v, was %+v", now, was)
	}
	q := new(dns.Msg).SetQuestion(signed.FQDN(), dns.TypeA)
	q.SetEdns0(1232, true)
	a, err := dns.Exchange(q, s.Resolver)
	if err != nil || a.Rcode != dns.RcodeSuccess { // it says SERVFAIL where a DS is not borne out
		t.Errorf("%v: it does not validate: %s", err, a)
	}
}

// In a zone of our own, by dynamic update at BIND and Knot, with Unbound
// validating: what is given back with its DS is authenticated again, and a name
// whose keys went works without.
func TestDSBackInOurZone(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{"bind", "knot"} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			dsBackInOurZone(t, kind)
		})
	}
}

func dsBackInOurZone(t *testing.T, kind string) {
	keeps, lost := n("keeps-signing.example"), n("lost-its-keys.example")
	names := []impound.Name{keeps, lost}
	former, sink := ns("ns1.sinkhole.net", "ns2.sinkhole.net"), ns("ns1.court-sink.net", "ns2.court-sink.net")
	key := &dns.DNSKEY{Hdr: dns.RR_Header{Name: keeps.FQDN(), Rrtype: dns.TypeDNSKEY, Class: 1, Ttl: 1}, Flags: 257, Protocol: 3, Algorithm: dns.ECDSAP256SHA256}
	priv, err := key.Generate(256)
	if err != nil {
		t.Fatal(err)
	}
	own := dnsServer(t, func(m *dns.Msg, q dns.Question) {
		hdr := dns.RR_Header{Name: q.Name, Rrtype: q.Qtype, Class: 1, Ttl: 1}
		switch q.Qtype {
		case dns.TypeNS:
			for _, h := range former {
				m.Answer = append(m.Answer, &dns.NS{Hdr: hdr, Ns: h.FQDN()})
			}
		case dns.TypeSOA:
			m.Answer = append(m.Answer, &dns.SOA{Hdr: hdr, Ns: "a.", Mbox: "b.", Serial: 7})
		case dns.TypeA:
			m.Answer = append(m.Answer, &dns.A{Hdr: hdr, A: net.IPv4(192, 0, 2, 7)})
		case dns.TypeDNSKEY:
			if strings.EqualFold(q.Name, keeps.FQDN()) {
				m.Answer = append(m.Answer, dns.Copy(key))
			}
		}
		if !strings.EqualFold(q.Name, keeps.FQDN()) || len(m.Answer) == 0 {
			return
		}
		now := time.Now()
		for _, rr := range m.Answer { // lower case, as it was asked or not
			rr.Header().Name = keeps.FQDN()
		}
		sig := &dns.RRSIG{Hdr: dns.RR_Header{Name: keeps.FQDN(), Rrtype: dns.TypeRRSIG, Class: 1, Ttl: 1}, KeyTag: key.KeyTag(), SignerName: keeps.FQDN(), Algorithm: key.Algorithm,
			Inception: uint32(now.Add(-time.Hour).Unix()), Expiration: uint32(now.Add(time.Hour).Unix())}
		if sig.Sign(priv.(crypto.Signer), m.Answer) == nil {
			m.Answer = append(m.Answer, sig)
		}
	})
	text := "$ORIGIN example.\n$TTL 1\n@ IN SOA ns1.nic hostmaster.nic 1 3600 900 604800 1\n@ IN NS ns1.nic\nns1.nic IN A 127.0.0.1\n"
	for _, x := range names {
		for _, h := range former {
			text += x.FQDN() + " IN NS " + h.FQDN() + "\n"
		}
		ds := key.ToDS(dns.SHA256)
		text += fmt.Sprintf("%s IN DS %d %d %d %s\n", x.FQDN(), ds.KeyTag, ds.Algorithm, ds.DigestType, ds.Digest)
	}
	primary := conntest.Serve(t, kind, conntest.Zone{Name: "example", Text: text, Signed: true})
	u := startUnbound(t, primary, names, own)
	z := newOwnZone(t, primary, u, map[string]string{"127.53.0.1:53": own, "127.53.0.2:53": own}, names)
	conn, m := z.conn, z.authorize(sink, nil)
	e := z.engine(m, primary.Addr)
	if a := u.ask(t, keeps, dns.TypeA); a.Rcode != dns.RcodeSuccess || !a.AuthenticatedData {
		t.Fatalf("before: %s", a)
	}
	p, err := e.Plan(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	approve(t, e, p)
	if res, err := e.Apply(t.Context(), p.ID); err != nil {
		t.Fatalf("%v %+v", err, res)
	}
	for _, x := range names {
		if v, err := conn.Info(t.Context(), x); err != nil || len(v.DS) != 0 || !slices.Equal(v.NS, sink) {
			t.Fatalf("%v %+v", err, v)
		}
	}
	if p, err = e.Revert(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	for _, np := range p.Names {
		if np.DSBack != (np.Name == keeps) || np.Blocked != "" {
			t.Fatalf("%s", p)
		}
	}
	approve(t, e, p)
	if res, err := e.Apply(t.Context(), p.ID); err != nil {
		t.Fatalf("%v %+v", err, res)
	}
	for _, x := range names {
		u.forget(t, func() bool {
			a := u.ask(t, x, dns.TypeA)
			return a.Rcode == dns.RcodeSuccess && a.AuthenticatedData == (x == keeps)
		})
		if a := u.ask(t, x, dns.TypeA); a.Rcode != dns.RcodeSuccess || a.AuthenticatedData != (x == keeps) {
			t.Errorf("given back: %s", a)
		}
		if v, err := conn.Info(t.Context(), x); err != nil || (len(v.DS) == 1) != (x == keeps) || !slices.Equal(v.NS, former) {
			t.Errorf("%v %+v", err, v)
		}
	}
}

// Where somebody is asked, one letter asks for the name servers and the DS after
// them, and it is done when both show.
func TestDSBackIsAskedFor(t *testing.T) {
	t.Parallel()
	w, post := newPost(t)
	e := w.engine(post.config)
	plan := w.planned(e, "anna", "bert")
	if _, err := e.Apply(t.Context(), plan.ID); impound.KindOf(err) != impound.KindPartial {
		t.Fatal(err)
	}
	post.obey()
	w.wantDone(e.Follow(t.Context(), w.mandate))
	w.clock = w.clock.Add(time.Minute)
	w.prov.hosts[n("ns1.actor.test")], w.prov.hosts[n("ns2.actor.test")] = true, true
	w.stillSigning()
	p := w.reverted(e, w.names[:1], "anna", "bert")
	if np := p.Names[0]; len(np.Steps) != 1 || len(np.Steps[0].Change.AddNS) != 2 || !slices.Equal(np.Steps[0].Change.BackDS, []string{"1 13 2 AA"}) {
		t.Fatalf("%s", p)
	}
	sent := len(post.taken)
	w.prov.keys = nil
	if r, err := e.Apply(t.Context(), p.ID); err == nil || r.Count(seizure.Stale) != 1 || len(post.taken) != sent {
		t.Fatalf("its keys went, and it is asked for: %v %+v", err, r.Names)
	}
	w.stillSigning()
	r, err := e.Apply(t.Context(), p.ID)
	if impound.KindOf(err) != impound.KindPartial || r.Count(seizure.Asked) != 1 || len(post.taken) != sent+1 {
		t.Fatalf("%v %+v", err, r.Names)
	}
	// The name servers without the DS are half of it.
	v := w.prov.names[w.names[0]]
	v.NS, v.Status = ns("ns1.actor.test", "ns2.actor.test"), []string{"ok"}
	if r, err = e.Follow(t.Context(), w.mandate); err != nil || r.Count(seizure.Asked) != 1 {
		t.Fatalf("%v %+v", err, r.Names)
	}
	v.DS = []string{"1 13 2 AA"}
	if r, err = e.Follow(t.Context(), w.mandate); err != nil || r.Count(seizure.Done) != 1 {
		t.Fatalf("%v %+v", err, r.Names)
	}
}
