package observe_test

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/impound/impound/internal/observe"
	"github.com/miekg/dns"
)

// A name's own servers: each for itself, no more than eight, none in our own
// network, and a silent one not twice.
func TestServers(t *testing.T) {
	var asked atomic.Int32
	good := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		asked.Add(1)
		m := &dns.Msg{MsgHdr: dns.MsgHdr{Authoritative: true}}
		if q.Qtype == dns.TypeSOA {
			m.Answer = []dns.RR{rr(t, q.Name+" 60 IN SOA a. b. 42 2 3 4 5")}
		} else {
			m.Answer = []dns.RR{rr(t, q.Name+" 60 IN NS ns0.actor.test.")}
		}
		return m
	})
	lame := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		if q.Qtype == dns.TypeSOA {
			return new(dns.Msg)
		}
		return &dns.Msg{Answer: []dns.RR{rr(t, q.Name+" 60 IN NS ns.parking.test.")}}
	})
	refuses := serveDNS(t, func(dns.Question, bool) *dns.Msg { return &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeRefused}} })
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	silent := pc.LocalAddr().String()
	routes := map[string]string{"192.0.2.1:53": good, "192.0.2.2:53": lame, "192.0.2.3:53": refuses, "192.0.2.4:53": silent}
	parent := observe.View{Name: evil, Glue: map[string][]string{"ns4.actor.test": {"10.1.2.3"}}}
	for i := range 12 {
		h := fmt.Sprintf("ns%x.actor.test", i)
		parent.NS = append(parent.NS, h)
		if i < 4 {
			parent.Glue[h] = []string{fmt.Sprintf("192.0.2.%d", i+1)}
		}
	}
	o := newObserver(t, observe.Config{Routes: routes})
	v := o.Servers(t.Context(), parent)
	if v.Err != "" || v.Kind != observe.KindChild || len(v.Servers) != 8 || v.Answered() != 1 || !cmp.Equal(v.NS, []string{"ns0.actor.test"}) {
		t.Fatalf("%+v", v)
	}
	type row struct {
		Auth, Lame bool
		Err        string
	}
	for i, want := range []row{{true, false, ""}, {false, true, "does not speak for outlook-verify[.]example"}, {false, true, "REFUSED"}, {false, false, "no answer"}, {false, false, "not asked"}, {false, false, "no address"}} {
		s := v.Servers[i]
		if s.Authoritative != want.Auth || s.Lame != want.Lame || !strings.Contains(s.Err, want.Err) || (s.Err == "") != (want.Err == "") {
			t.Errorf("%s: %+v; want %+v", s.Server, s, want)
		}
	}
	if s := v.Servers[0]; !strings.Contains(s.SOA, " 42 ") || len(s.Answers) != 2 || s.Answers[0].Type != "SOA" || s.Answers[1].Type != "NS" || asked.Load() != 2 {
		t.Errorf("the good one, asked %d times: %+v", asked.Load(), s)
	}
	if !cmp.Equal(v.Servers[1].NS, []string{"ns.parking.test"}) {
		t.Errorf("the lame one: %+v", v.Servers[1])
	}
	if sum := v.Observation().Summary; !strings.Contains(sum, "ns1[.]actor[.]test is lame") {
		t.Error(sum)
	}
	again := o.Servers(t.Context(), parent)
	silentAgain, noAddr := 0, 0
	for _, s := range again.Servers {
		if strings.Contains(s.Err, "let alone") {
			if s.Addr == "192.0.2.4:53" {
				silentAgain++
			} else {
				noAddr++
			}
		}
	}
	if silentAgain != 1 || noAddr != 3 || len(again.Servers) != 8 || asked.Load() != 4 {
		t.Errorf("silent %d, without address %d, asked %d: %+v", silentAgain, noAddr, asked.Load(), again.Servers)
	}
	for _, p := range []observe.View{{Name: evil, Err: "no answer"}, {Name: evil}} {
		if v := o.Servers(t.Context(), p); v.Err == "" || len(v.Servers) > 0 || v.Observation().Err == "" {
			t.Errorf("asked whom? %+v", v)
		}
	}
}

// With and without validation: what the two answers mean together.
func TestResolveUnchecked(t *testing.T) {
	say := func(rcode int, ad bool) *dns.Msg {
		return &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: rcode, AuthenticatedData: ad}}
	}
	for name, tt := range map[string]struct {
		with, without *dns.Msg
		bogus, ad     bool
		dnssec, err   string
	}{
		"validates":      {say(0, true), say(0, false), false, true, "validated", ""},
		"unsigned":       {say(0, false), say(0, false), false, false, "not validated: ", ""},
		"broken":         {say(2, false), say(0, false), true, false, "broken: SERVFAIL with validation, NOERROR without", ""},
		"broken denial":  {say(2, false), say(3, false), true, false, "broken: SERVFAIL with validation, NXDOMAIN without", ""},
		"servers down":   {say(2, false), say(2, false), false, false, "not known: ", "SERVFAIL without validation"},
		"refuses":        {say(5, false), say(5, false), false, false, "", "REFUSED"},
		"not there":      {say(3, true), say(3, true), false, true, "validated", ""},
		"ad on a forged": {say(2, true), say(0, true), true, false, "broken: ", ""},
	} {
		t.Run(name, func(t *testing.T) {
			var cds atomic.Int32
			addr := serveDNS(t, func(q dns.Question, cd bool) *dns.Msg {
				m := tt.with
				if cd {
					cds.Add(1)
					m = tt.without
				}
				m = m.Copy()
				if m.Rcode == 0 && q.Qtype == dns.TypeNS {
					m.Answer = []dns.RR{rr(t, q.Name+" 60 IN NS ns1.sinkhole.test.")}
				}
				return m
			})
			v := newObserver(t, observe.Config{Resolvers: []string{addr}}).Resolve(t.Context(), evil)
			s := v.Servers[0]
			if s.Bogus != tt.bogus || s.Validated != tt.ad || !strings.HasPrefix(s.DNSSEC, tt.dnssec) || (s.DNSSEC == "") != (tt.dnssec == "") || !strings.Contains(s.Err, tt.err) || (s.Err == "") != (tt.err == "") {
				t.Errorf("%+v", s)
			}
			if s.Unchecked == nil || s.Unchecked.RCode != dns.RcodeToString[tt.without.Rcode] || cds.Load() != 1 {
				t.Errorf("asked %d times without validation: %+v", cds.Load(), s.Unchecked)
			}
			if tt.without.Rcode == 0 && !cmp.Equal(s.Unchecked.NS, []string{"ns1.sinkhole.test"}) {
				t.Errorf("%+v", s.Unchecked)
			}
			if len(s.Answers) < 2 || s.Answers[0].CD || !s.Answers[1].CD || len(s.Raw) != len(s.Answers) {
				t.Errorf("kept: %+v", s.Answers)
			}
			if got := strings.Contains(v.Observation().Summary, "DNSSEC is broken"); got != tt.bogus {
				t.Error(v.Observation().Summary)
			}
		})
	}
}

// Servers at one address are asked once, and the answer stands for each of them.
func TestServersAtOneAddress(t *testing.T) {
	var asked atomic.Int32
	good := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		asked.Add(1)
		return &dns.Msg{MsgHdr: dns.MsgHdr{Authoritative: true}, Answer: []dns.RR{rr(t, q.Name+" 60 IN NS ns1.actor.test.")}}
	})
	o := newObserver(t, observe.Config{Routes: map[string]string{"192.0.2.1:53": good, "192.0.2.2:53": good}})
	v := o.Servers(t.Context(), observe.View{Name: evil, NS: []string{"ns1.actor.test", "ns2.actor.test", "ns3.actor.test"},
		Glue: map[string][]string{"ns1.actor.test": {"192.0.2.1"}, "ns2.actor.test": {"192.0.2.1"}, "ns3.actor.test": {"192.0.2.2"}}})
	if v.Err != "" || len(v.Servers) != 3 || v.Answered() != 3 || asked.Load() != 4 {
		t.Fatalf("asked %d times: %+v", asked.Load(), v)
	}
	for i, want := range []struct {
		server, same string
		raw          int
	}{{"ns1.actor.test", "", 2}, {"ns2.actor.test", "ns1.actor.test", 0}, {"ns3.actor.test", "", 2}} {
		if s := v.Servers[i]; s.Server != want.server || s.Same != want.same || len(s.Raw) != want.raw || len(s.Answers) != want.raw || !s.Authoritative || !cmp.Equal(s.NS, []string{"ns1.actor.test"}) {
			t.Errorf("%+v", s)
		}
	}
}

// Of questions that go out together, one whose answer is lost is asked again by
// itself, and one whose answer is cut off comes by TCP.
func TestTogetherOneLost(t *testing.T) {
	var soa, ns atomic.Int32
	at := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		m := &dns.Msg{MsgHdr: dns.MsgHdr{Authoritative: true}}
		if q.Qtype == dns.TypeSOA {
			if soa.Add(1) == 1 {
				return nil
			}
			m.Answer = []dns.RR{rr(t, q.Name+" 60 IN SOA a. b. 42 2 3 4 5")}
			return m
		}
		ns.Add(1)
		for i := range 40 {
			m.Answer = append(m.Answer, rr(t, fmt.Sprintf("%s 60 IN NS ns%d.a-long-name-of-a-server.actor.test.", q.Name, i)))
		}
		return m
	})
	o := newObserver(t, observe.Config{Routes: map[string]string{"192.0.2.1:53": at}})
	v := o.Servers(t.Context(), observe.View{Name: evil, NS: []string{"ns1.actor.test"}, Glue: map[string][]string{"ns1.actor.test": {"192.0.2.1"}}})
	if s := v.Servers[0]; v.Err != "" || !strings.Contains(s.SOA, " 42 ") || len(s.NS) != 40 || soa.Load() != 2 || ns.Load() != 2 {
		t.Errorf("SOA asked %d times, NS %d times: %+v", soa.Load(), ns.Load(), v)
	}
}
