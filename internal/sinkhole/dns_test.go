package sinkhole

import (
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/sinkhole/policy"
)

func ask(t testing.TB, r *rig, network, name string, qtype uint16, edit ...func(*dns.Msg)) *dns.Msg {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name, qtype)
	m.SetEdns0(1232, false)
	for _, e := range edit {
		e(m)
	}
	c := dns.Client{Net: network, Timeout: 5 * time.Second}
	in, _, err := c.Exchange(m, r.addr("dns"))
	if err != nil {
		t.Fatal(err)
	}
	return in
}

func show(rrs []dns.RR) []string {
	var out []string
	for _, rr := range rrs {
		out = append(out, strings.Join(strings.Fields(rr.String()), " "))
	}
	return out
}

func TestDNSAnswers(t *testing.T) {
	r := start(t, usual(t))
	soa := "outlook-verify.net. 60 IN SOA outlook-verify.net. . 1 3600 600 86400 60"
	notice := `"This name was seized and is a sinkhole: it belongs to its former users no more. Contact: CSIRT <call> +1 555 0199"`
	for _, tt := range []struct {
		name   string
		qtype  uint16
		answer []string
		ns     []string
	}{
		{"outlook-verify.net.", dns.TypeA, []string{"outlook-verify.net. 60 IN A 192.0.2.80"}, nil},
		{"a.b.outlook-verify.net.", dns.TypeA, []string{"a.b.outlook-verify.net. 60 IN A 192.0.2.80"}, nil},
		{"outlook-verify.net.", dns.TypeAAAA, nil, []string{soa}},
		{"outlook-verify.net.", dns.TypeNS, []string{"outlook-verify.net. 60 IN NS ns1.sink.example.", "outlook-verify.net. 60 IN NS ns2.sink.example."}, nil},
		{"www.outlook-verify.net.", dns.TypeNS, nil, []string{soa}},
		{"outlook-verify.net.", dns.TypeSOA, []string{soa}, nil},
		{"www.outlook-verify.net.", dns.TypeSOA, nil, []string{soa}},
		{"outlook-verify.net.", dns.TypeMX, []string{"outlook-verify.net. 60 IN MX 0 ."}, nil},
		{"mail.outlook-verify.net.", dns.TypeMX, []string{"mail.outlook-verify.net. 60 IN MX 0 ."}, nil},
		{"outlook-verify.net.", dns.TypeTXT, []string{`outlook-verify.net. 60 IN TXT "v=spf1 -all"`, "outlook-verify.net. 60 IN TXT " + notice}, nil},
		{"_dmarc.outlook-verify.net.", dns.TypeTXT, []string{`_dmarc.outlook-verify.net. 60 IN TXT "v=DMARC1; p=reject"`}, nil},
		{"s1._domainkey.outlook-verify.net.", dns.TypeTXT, []string{`s1._domainkey.outlook-verify.net. 60 IN TXT "v=DKIM1; p="`}, nil},
		{"outlook-verify.net.", dns.TypeCAA, []string{`outlook-verify.net. 60 IN CAA 0 issue ";"`}, nil},
		{"outlook-verify.net.", dns.TypeANY, []string{`outlook-verify.net. 60 IN HINFO "RFC8482" ""`}, nil},
		{"outlook-verify.net.", dns.TypeDS, nil, []string{soa}},
		{"outlook-verify.net.", dns.TypeHTTPS, nil, []string{soa}},
	} {
		in := ask(t, r, "tcp", tt.name, tt.qtype)
		if in.Rcode != 0 || !in.Authoritative || in.RecursionAvailable || in.Truncated {
			t.Errorf("%s %s: %v", tt.name, dns.TypeToString[tt.qtype], in.MsgHdr)
		}
		if d := cmp.Diff(tt.answer, show(in.Answer)); d != "" {
			t.Errorf("%s %s: answer %s", tt.name, dns.TypeToString[tt.qtype], d)
		}
		if d := cmp.Diff(tt.ns, show(in.Ns)); d != "" {
			t.Errorf("%s %s: authority %s", tt.name, dns.TypeToString[tt.qtype], d)
		}
	}
	for _, e := range r.rec.take() {
		if e.Outcome != answered || e.Order != "O-contact" || e.Zone != "outlook-verify.net" || e.Proto != impound.ProtoDNST || !e.Src.IsValid() || e.Dst.String() != r.addr("dns") {
			t.Errorf("event %+v", e)
		}
	}
}

func TestDNSRefusals(t *testing.T) {
	r := start(t, usual(t))
	for _, tt := range []struct {
		what  string
		name  string
		qtype uint16
		edit  func(*dns.Msg)
		rcode int
		want  impound.Event
	}{
		{"outside", "Www.Example.ORG.", dns.TypeA, nil, dns.RcodeRefused, impound.Event{Name: "www.example.org", Outcome: refused, Capture: impound.CaptureCount}},
		{"transfer", "outlook-verify.net.", dns.TypeAXFR, nil, dns.RcodeRefused, impound.Event{Name: "outlook-verify.net", Outcome: refused, Capture: impound.CaptureContact, QType: dns.TypeAXFR, RCode: 5}},
		{"IXFR", "outlook-verify.net.", dns.TypeIXFR, nil, dns.RcodeRefused, impound.Event{Name: "outlook-verify.net", Outcome: refused, Capture: impound.CaptureContact, QType: dns.TypeIXFR, RCode: 5}},
		{"CHAOS", "version.bind.", dns.TypeTXT, func(m *dns.Msg) { m.Question[0].Qclass = dns.ClassCHAOS }, dns.RcodeRefused, impound.Event{Name: "version.bind", Outcome: refused, Capture: impound.CaptureCount}},
		{"NOTIFY", "outlook-verify.net.", dns.TypeSOA, func(m *dns.Msg) { m.Opcode = dns.OpcodeNotify; m.Extra = nil }, dns.RcodeRefused, impound.Event{Name: "outlook-verify.net", Outcome: refused, Capture: impound.CaptureContact, QType: dns.TypeSOA, RCode: 5, Opcode: 4}},
		{"UPDATE", "outlook-verify.net.", dns.TypeSOA, func(m *dns.Msg) { m.Opcode = dns.OpcodeUpdate; m.Extra = nil }, dns.RcodeRefused, impound.Event{Name: "outlook-verify.net", Outcome: refused, Capture: impound.CaptureContact, QType: dns.TypeSOA, RCode: 5, Opcode: 5}},
		{"STATUS", "outlook-verify.net.", dns.TypeA, func(m *dns.Msg) { m.Opcode = dns.OpcodeStatus; m.Extra = nil }, dns.RcodeNotImplemented, impound.Event{Name: "outlook-verify.net", Outcome: malformed, Capture: impound.CaptureContact, QType: dns.TypeA, RCode: 4, Opcode: 2}},
		{"EDNS 1", "outlook-verify.net.", dns.TypeA, func(m *dns.Msg) { m.IsEdns0().SetVersion(1) }, dns.RcodeBadVers, impound.Event{Name: "outlook-verify.net", Outcome: malformed, Capture: impound.CaptureContact, QType: dns.TypeA, RCode: 16}},
	} {
		var edits []func(*dns.Msg)
		if tt.edit != nil {
			edits = append(edits, tt.edit)
		}
		in := ask(t, r, "udp", tt.name, tt.qtype, edits...)
		if in.Rcode != tt.rcode || len(in.Answer) > 0 || in.Authoritative {
			t.Errorf("%s: %v", tt.what, in)
		}
		got := one(t, r.rec.take())
		tt.want.Proto = impound.ProtoDNS
		if got.Zone != "" {
			tt.want.Zone, tt.want.Order = "outlook-verify.net", "O-contact"
		}
		if d := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(impound.Event{}, "Src", "Dst", "At")); d != "" {
			t.Errorf("%s: %s", tt.what, d)
		}
	}
}

func TestDNSMalformed(t *testing.T) {
	r := start(t, usual(t))
	c, err := net.Dial("udp", r.addr("dns"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	buf := make([]byte, 600)
	for _, tt := range []struct {
		what, req string
		answered  bool
	}{
		{"short", "abc", false},
		{"an answer", "\x00\x01\x80\x00\x00\x01\x00\x00\x00\x00\x00\x00", false},
		{"cut question", "\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x03www", true},
		{"no question", "\x00\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00", true},
		{"pointer loop", "\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01", true},
	} {
		c.Write([]byte(tt.req))
		if tt.answered {
			c.SetReadDeadline(time.Now().Add(5 * time.Second))
			n, err := c.Read(buf)
			if err != nil || n != 12 || buf[3]&15 != dns.RcodeFormatError || buf[2]&0x80 == 0 {
				t.Errorf("%s: % x, %v", tt.what, buf[:n], err)
			}
		} else {
			for i := 0; r.Stats().Malformed == 0 && i < 500; i++ {
				time.Sleep(time.Millisecond)
			}
		}
		for i := 0; i < 500; i++ {
			if r.rec.mu.Lock(); len(r.rec.events) > 0 {
				r.rec.mu.Unlock()
				break
			}
			r.rec.mu.Unlock()
			time.Sleep(time.Millisecond)
		}
		if e := one(t, r.rec.take()); e.Outcome != malformed || e.Capture != impound.CaptureCount || e.Src.IsValid() {
			t.Errorf("%s: %+v", tt.what, e)
		}
	}
}

func TestDNSKeepsCaseAndCuts(t *testing.T) {
	r := start(t, usual(t))
	in := ask(t, r, "udp", "wWw.OutLook-verify.NET.", dns.TypeA)
	if in.Question[0].Name != "wWw.OutLook-verify.NET." || in.Answer[0].Header().Name != "wWw.OutLook-verify.NET." {
		t.Errorf("0x20 case is lost: %v", in)
	}
	if e := one(t, r.rec.take()); e.Name != "www.outlook-verify.net" {
		t.Errorf("event name %q", e.Name)
	}
}

// With heads of IP and UDP counted, no answer over UDP to a source that showed
// no cookie is longer than 1.5 times its question.
func TestDNSAmplification(t *testing.T) {
	r := start(t, usual(t))
	for _, name := range []string{"outlook-verify.net.", "a.outlook-verify.net.", "_dmarc.outlook-verify.net.", "nothing-of-ours.example."} {
		for _, edns := range []bool{false, true} {
			for _, qt := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypeTXT, dns.TypeCAA, dns.TypeANY, dns.TypeDNSKEY} {
				q := new(dns.Msg)
				q.SetQuestion(name, qt)
				if edns {
					q.SetEdns0(4096, true)
				}
				req, err := q.Pack()
				if err != nil {
					t.Fatal(err)
				}
				env := dnsEnv{policy: r.Policy(), now: t0, src: netip.MustParseAddr("203.0.113.9")}
				var qq question
				out := r.dns.answer(nil, req, &env, &qq)
				if len(out)+28 > (len(req)+28)*3/2 {
					t.Errorf("%s %s edns=%v: %d octets for %d", name, dns.TypeToString[qt], edns, len(out), len(req))
				}
				var in dns.Msg
				if err := in.Unpack(out); err != nil {
					t.Fatal(err)
				}
				if in.Truncated && (len(in.Answer) > 0 || len(in.Ns) > 0) {
					t.Errorf("%s %s: cut, but not empty", name, dns.TypeToString[qt])
				}
				if in.Truncated && (qt == dns.TypeA || qt == dns.TypeMX) {
					t.Errorf("%s %s edns=%v: the usual questions must not need TCP", name, dns.TypeToString[qt], edns)
				}
			}
		}
	}
}

func TestDNSCookies(t *testing.T) {
	r := start(t, usual(t))
	withCookie := func(c string) func(*dns.Msg) {
		return func(m *dns.Msg) {
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: c})
		}
	}
	in := ask(t, r, "udp", "outlook-verify.net.", dns.TypeTXT, withCookie("0102030405060708"))
	if !in.Truncated {
		t.Errorf("a large answer went to a source that showed no cookie")
	}
	full := in.IsEdns0().Option[0].(*dns.EDNS0_COOKIE).Cookie
	if len(full) != 48 || !strings.HasPrefix(full, "0102030405060708") {
		t.Fatalf("cookie %q", full)
	}
	if in = ask(t, r, "udp", "outlook-verify.net.", dns.TypeTXT, withCookie(full)); in.Truncated || len(in.Answer) != 2 {
		t.Errorf("a source with a cookie gets %v", in)
	}
	forged := full[:46] + "00"
	if forged == full {
		forged = full[:46] + "01"
	}
	if in = ask(t, r, "udp", "outlook-verify.net.", dns.TypeTXT, withCookie(forged)); !in.Truncated {
		t.Error("a forged cookie is believed")
	}
	r.clock.after(2 * time.Hour / 3)
	if in = ask(t, r, "udp", "count-only.net.", dns.TypeTXT, withCookie(full)); in.Truncated {
		t.Error("a cookie of 40 minutes is not believed")
	}
	if in = ask(t, r, "udp", "outlook-verify.net.", dns.TypeA, withCookie("0102")); in.Rcode != dns.RcodeFormatError {
		t.Errorf("a broken cookie: %v", in)
	}
	// The reference vector of SipHash-2-4, and of RFC 9018 A.1.
	k := []byte("\x00\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f")
	le := func(b []byte) (x uint64) {
		for i := range 8 {
			x |= uint64(b[i]) << (8 * i)
		}
		return
	}
	if got := sipHash(le(k), le(k[8:]), k[:15]); got != 0xa129ca6149be45e5 {
		t.Errorf("SipHash = %x", got)
	}
}

func TestDNSRateLimit(t *testing.T) {
	t.Parallel()
	r := start(t, usual(t), func(c *Config) { c.Limits.DNSPerSecond = 5 })
	c, err := net.Dial("udp", r.addr("dns"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	// What is dropped shows by the answer to a later question, which comes next.
	c.SetDeadline(time.Now().Add(time.Minute))
	say := func(id uint16) {
		t.Helper()
		m := new(dns.Msg)
		m.SetQuestion("outlook-verify.net.", dns.TypeA)
		m.Id = id
		b, err := m.Pack()
		if err == nil {
			_, err = c.Write(b)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	const last = 1000
	for i := range 25 {
		say(uint16(i + 1))
	}
	for end := time.Now().Add(time.Minute); r.Stats().DNS < 25 && time.Now().Before(end); {
		time.Sleep(time.Millisecond)
	}
	r.clock.after(time.Minute)
	say(last)
	full, tc, ended := 0, 0, false
	for buf := make([]byte, 4096); !ended || full+tc < 15; { // an answer may be overtaken
		n, err := c.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		in := new(dns.Msg)
		if err := in.Unpack(buf[:n]); err != nil {
			t.Fatal(err)
		}
		switch {
		case in.Id == last:
			ended = true
		case in.Truncated:
			tc++
		default:
			full++
		}
	}
	if full != 5 || tc != 10 {
		t.Errorf("%d answered, %d cut, %d dropped; want 5, 10, 10", full, tc, 25-full-tc)
	}
	if st := r.Stats(); st.Limited != 20 || len(r.rec.take()) != 26 {
		t.Errorf("stats %+v", st)
	}
}

func TestTTLNeverOutlivesTheOrder(t *testing.T) {
	r := start(t, usual(t))
	r.clock.set(t0.Truncate(time.Minute).Add(time.Hour - 7500*time.Millisecond))
	in := ask(t, r, "udp", "outlook-verify.net.", dns.TypeA)
	if ttl := in.Answer[0].Header().Ttl; ttl != 7 {
		t.Errorf("TTL %d with 7.5 s of the order left", ttl)
	}
}

func TestRealDNSClients(t *testing.T) {
	r := start(t, usual(t))
	dig := peertest.Need(t, "dig", "bind9-dnsutils")
	if out := run(t, "", dig, "@127.0.0.1", "-p", r.port("dns"), "www.outlook-verify.net", "A", "+short"); out != "192.0.2.80\n" {
		t.Errorf("dig A: %s", out)
	}
	if out := run(t, "", dig, "@127.0.0.1", "-p", r.port("dns"), "outlook-verify.net", "TXT"); !strings.Contains(out, "v=spf1 -all") || !strings.Contains(out, "status: NOERROR") || strings.Contains(out, "WARNING") && !strings.Contains(out, "recursion requested") {
		t.Errorf("dig TXT: %s", out)
	}
	if out := run(t, "", dig, "@127.0.0.1", "-p", r.port("dns"), "outlook-verify.net", "AXFR"); !strings.Contains(out, "Transfer failed") {
		t.Errorf("dig AXFR: %s", out)
	}
	if out := run(t, "", dig, "@127.0.0.1", "-p", r.port("dns"), "example.org"); !strings.Contains(out, "status: REFUSED") {
		t.Errorf("dig outside: %s", out)
	}
	kdig := peertest.Need(t, "kdig", "knot-dnsutils")
	if out := run(t, "", kdig, "@127.0.0.1", "-p", r.port("dns"), "+cookie", "outlook-verify.net", "MX"); !strings.Contains(out, "MX") || !strings.Contains(out, "0 .") || strings.Contains(out, "WARNING") {
		t.Errorf("kdig: %s", out)
	}
	drill := peertest.Need(t, "drill", "ldnsutils")
	if out := run(t, "", drill, "-p", r.port("dns"), "outlook-verify.net", "@127.0.0.1", "CAA"); !strings.Contains(out, `issue ";"`) {
		t.Errorf("drill: %s", out)
	}
}

func TestLapseDNS(t *testing.T) {
	r := start(t, usual(t))
	if in := ask(t, r, "udp", "a.outlook-verify.net.", dns.TypeA); in.Rcode != 0 {
		t.Fatalf("in force: %v", in)
	}
	r.rec.take()
	r.clock.set(t0.Truncate(time.Minute).Add(time.Hour))
	if in := ask(t, r, "udp", "a.outlook-verify.net.", dns.TypeA); in.Rcode != dns.RcodeRefused {
		t.Errorf("lapsed: %v", in)
	}
	e := one(t, r.rec.take())
	if e.Src.IsValid() || e.Name != "outlook-verify.net" || e.Order != "" || e.Outcome != refused {
		t.Errorf("after the lapse, more than a count is kept: %+v", e)
	}
	// A policy that ended says no as well, and so does none.
	r.clock.set(t0)
	r.SetPolicy(opened(t, t0, policy.Options{Valid: time.Minute}, mandate(t, "O1", nil, "outlook-verify.net")))
	r.clock.set(t0.Add(time.Minute))
	if in := ask(t, r, "udp", "outlook-verify.net.", dns.TypeA); in.Rcode != dns.RcodeRefused {
		t.Errorf("the bundle ended: %v", in)
	}
	r.SetPolicy(nil)
	r.clock.set(t0)
	if in := ask(t, r, "udp", "outlook-verify.net.", dns.TypeA); in.Rcode != dns.RcodeRefused {
		t.Errorf("no policy: %v", in)
	}
}

func TestRecorderFailureDoesNotStopAnswers(t *testing.T) {
	r := start(t, usual(t))
	r.rec.fail.Store(true)
	if in := ask(t, r, "udp", "outlook-verify.net.", dns.TypeA); in.Rcode != 0 || len(in.Answer) != 1 {
		t.Errorf("answer: %v", in)
	}
	if st := r.Stats(); st.RecordFailed != 1 {
		t.Errorf("stats: %+v", st)
	}
}

// Whatever a listener is bound to, the answer comes from where the question
// went (a connected client takes no other), and the event says where that was.
func TestDNSOnEveryAddress(t *testing.T) {
	p := usual(t)
	for _, plain := range []bool{false, true} {
		for _, tt := range []struct {
			listen string
			to     []string
		}{
			{"0.0.0.0:0", []string{"127.0.0.1", "127.0.0.2"}},
			{"[::]:0", []string{"127.0.0.3", "::1"}},
			{"[::1]:0", []string{"::1"}},
		} {
			r := start(t, p, func(c *Config) { c.Plain, c.Listeners = plain, []string{"dns://" + tt.listen} })
			for _, to := range tt.to {
				m := new(dns.Msg)
				m.SetQuestion("outlook-verify.net.", dns.TypeA)
				c := dns.Client{Timeout: 5 * time.Second}
				in, _, err := c.Exchange(m, net.JoinHostPort(to, r.port("dns")))
				if err != nil || len(in.Answer) != 1 {
					t.Errorf("plain=%v, %s to %s: %v, %v", plain, tt.listen, to, in, err)
					continue
				}
				if e := one(t, r.rec.take()); e.Dst.String() != net.JoinHostPort(to, r.port("dns")) || e.Src.Addr().Is4In6() {
					t.Errorf("plain=%v, %s to %s: event %+v", plain, tt.listen, to, e)
				}
			}
		}
	}
}

// Many questions at once: each is answered, and each is recorded once.
func TestDNSFlood(t *testing.T) {
	for _, plain := range []bool{false, true} {
		r := start(t, usual(t), func(c *Config) { c.Plain, c.Limits.DNSPerSecond = plain, -1 })
		c, err := net.Dial("udp", r.addr("dns"))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		m := new(dns.Msg)
		m.SetQuestion("outlook-verify.net.", dns.TypeA)
		req, err := m.Pack()
		if err != nil {
			t.Fatal(err)
		}
		const each, rounds = 100, 20
		seen := map[uint16]bool{}
		buf := make([]byte, 600)
		for round := range rounds {
			for i := range each {
				id := uint16(round*each + i)
				req[0], req[1] = byte(id>>8), byte(id)
				if _, err := c.Write(req); err != nil {
					t.Fatal(err)
				}
			}
			for range each {
				c.SetReadDeadline(time.Now().Add(10 * time.Second))
				n, err := c.Read(buf)
				if err != nil {
					t.Fatal(err)
				}
				if n < 12 || buf[3]&15 != 0 {
					t.Fatalf("answer % x", buf[:n])
				}
				seen[uint16(buf[0])<<8|uint16(buf[1])] = true
			}
		}
		if got := len(r.rec.take()); len(seen) != each*rounds || got != each*rounds {
			t.Errorf("plain=%v: %d answered, %d recorded, want %d", plain, len(seen), got, each*rounds)
		}
	}
}
