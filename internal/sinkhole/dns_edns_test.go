package sinkhole

import (
	"encoding/hex"
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
)

func cookieOption(c string) dns.EDNS0 { return &dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: c} }

func withOptions(o ...dns.EDNS0) func(*dns.Msg) {
	return func(m *dns.Msg) { m.IsEdns0().Option = append(m.IsEdns0().Option, o...) }
}

func TestEDNSFaults(t *testing.T) {
	r := start(t, usual(t), func(c *Config) { c.Listeners = []string{"dns://127.0.0.1:0"} })
	for _, tt := range []struct {
		what  string
		edit  func(*dns.Msg)
		rcode int
		opt   bool
	}{
		{"two OPT records", func(m *dns.Msg) { m.Extra = append(m.Extra, m.Extra[0]) }, dns.RcodeFormatError, false},
		{"an OPT record among the answers, too", func(m *dns.Msg) { m.Answer = append(m.Answer, m.Extra[0]) }, dns.RcodeFormatError, false},
		{"another version with a broken cookie", func(m *dns.Msg) { m.IsEdns0().SetVersion(1); withOptions(cookieOption("0102"))(m) }, dns.RcodeBadVers, true},
		{"a broken cookie", withOptions(cookieOption("0102")), dns.RcodeFormatError, false},
		{"the second cookie broken", withOptions(cookieOption("0102030405060708"), cookieOption("0102")), dns.RcodeSuccess, true},
	} {
		in := ask(t, r, "udp", "outlook-verify.net.", dns.TypeA, tt.edit)
		if in.Rcode != tt.rcode || (in.IsEdns0() != nil) != tt.opt {
			t.Errorf("%s: %v", tt.what, in)
		}
		want := malformed
		if tt.rcode == 0 {
			want = answered
		}
		if e := one(t, r.rec.take()); e.Outcome != want {
			t.Errorf("%s: outcome %s", tt.what, e.Outcome)
		}
	}
}

// RFC 7873 5.4: a question without a question gets or proves a cookie.
func TestCookieWithoutQuestion(t *testing.T) {
	r := start(t, usual(t), func(c *Config) { c.Listeners = []string{"dns://127.0.0.1:0"} })
	full := ""
	for _, tt := range []struct {
		what   string
		cookie func() string
		rcode  int
	}{
		{"the client's cookie alone", func() string { return "0102030405060708" }, dns.RcodeSuccess},
		{"a valid cookie", func() string { return full }, dns.RcodeSuccess},
		{"another client's", func() string { return "1102030405060708" + full[16:] }, dns.RcodeBadCookie},
		{"a cookie that was never ours", func() string { return "01020304050607080102030405060708" }, dns.RcodeBadCookie},
	} {
		in := ask(t, r, "udp", ".", dns.TypeA, func(m *dns.Msg) { m.Question = nil }, withOptions(cookieOption(tt.cookie())))
		o := in.IsEdns0()
		if in.Rcode != tt.rcode || len(in.Question)+len(in.Answer)+len(in.Ns) > 0 || o == nil || len(o.Option) != 1 {
			t.Fatalf("%s: %v", tt.what, in)
		}
		full = o.Option[0].(*dns.EDNS0_COOKIE).Cookie
		if len(full) != 48 {
			t.Errorf("%s: cookie %q", tt.what, full)
		}
		if e := one(t, r.rec.take()); e.Outcome != answered || e.Name != "" || e.Order != "" || int(e.RCode) != 0 || e.Capture != impound.CaptureCount {
			t.Errorf("%s: event %+v", tt.what, e)
		}
	}
}

func TestNSID(t *testing.T) {
	nsid := &dns.EDNS0_NSID{Code: dns.EDNS0NSID}
	name := func(in *dns.Msg) string {
		for _, o := range in.IsEdns0().Option {
			if n, ok := o.(*dns.EDNS0_NSID); ok {
				b, _ := hex.DecodeString(n.Nsid)
				return string(b)
			}
		}
		return ""
	}
	r := start(t, usual(t), func(c *Config) { c.Listeners, c.NSID = []string{"dns://127.0.0.1:0"}, "sink1" })
	for _, network := range []string{"udp", "tcp"} {
		if got := name(ask(t, r, network, "outlook-verify.net.", dns.TypeA, withOptions(nsid))); got != "sink1" {
			t.Errorf("%s: %q", network, got)
		}
		if got := name(ask(t, r, network, "example.org.", dns.TypeA, withOptions(nsid))); got != "sink1" {
			t.Errorf("%s, refused: %q", network, got)
		}
		if got := name(ask(t, r, network, "outlook-verify.net.", dns.TypeA)); got != "" {
			t.Errorf("%s: %q, and nobody asked", network, got)
		}
	}
	// A name that is too long goes before any record does.
	r = start(t, usual(t), func(c *Config) { c.Listeners, c.NSID = []string{"dns://127.0.0.1:0"}, strings.Repeat("n", 100) })
	in := ask(t, r, "udp", "outlook-verify.net.", dns.TypeA, withOptions(nsid))
	if len(in.Answer) != 1 || in.Truncated || name(in) != "" {
		t.Errorf("a long name: %v", in)
	}
	if got := name(ask(t, r, "tcp", "outlook-verify.net.", dns.TypeA, withOptions(nsid))); len(got) != 100 {
		t.Errorf("a long name over TCP: %q", got)
	}
}

// What an order says of certificates and reports shows in the DNS.
func TestDNSTellsTheOrdersTerms(t *testing.T) {
	p := opened(t, t0, policy.Options{},
		mandate(t, "O1", func(o *impound.Order) {
			o.Sinkhole.Certificates, o.Sinkhole.DMARCReports = impound.CertsACME, "dmarc+r%1@unit.example"
		}, "acme-level.net", "both.net"),
		mandate(t, "O2", func(o *impound.Order) { o.Sinkhole.Certificates = impound.CertsNone }, "none-level.net", "both.net"))
	r := start(t, p, func(c *Config) { c.Listeners, c.CAIssuer = []string{"dns://127.0.0.1:0"}, "ca.example" })
	for _, tt := range []struct {
		name  string
		qtype uint16
		want  []string
	}{
		{"acme-level.net.", dns.TypeCAA, []string{`acme-level.net. 60 IN CAA 0 issue "ca.example"`, `acme-level.net. 60 IN CAA 0 issuewild ";"`}},
		{"none-level.net.", dns.TypeCAA, []string{`none-level.net. 60 IN CAA 0 issue ";"`}},
		{"both.net.", dns.TypeCAA, []string{`both.net. 60 IN CAA 0 issue ";"`}},
		{"_dmarc.acme-level.net.", dns.TypeTXT, []string{`_dmarc.acme-level.net. 60 IN TXT "v=DMARC1; p=reject; rua=mailto:dmarc+r%251@unit.example"`}},
		{"_dmarc.none-level.net.", dns.TypeTXT, []string{`_dmarc.none-level.net. 60 IN TXT "v=DMARC1; p=reject"`}},
	} {
		if d := cmp.Diff(tt.want, show(ask(t, r, "tcp", tt.name, tt.qtype).Answer)); d != "" {
			t.Errorf("%s %s: %s", tt.name, dns.TypeToString[tt.qtype], d)
		}
	}
	if in := ask(t, r, "udp", "_dmarc.acme-level.net.", dns.TypeTXT); !in.Truncated {
		t.Errorf("more than 1.5 times the question went to a source that may be forged: %v", in)
	}
	// A configuration that can't be told is refused.
	for _, cfg := range []Config{{CAIssuer: "a\"b"}, {NSID: strings.Repeat("x", 129)}} {
		cfg.Sensor, cfg.Recorder, cfg.Listeners = "s1", r.rec, everyListener
		if _, err := New(cfg); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%+v: %v", cfg, err)
		}
	}
}

// Who shows a valid cookie is not forged, and is answered beyond the limit.
func TestRateLimitSparesTheProven(t *testing.T) {
	r := start(t, usual(t), func(c *Config) { c.Listeners, c.Limits.DNSPerSecond = []string{"dns://127.0.0.1:0"}, 3 })
	var full [24]byte
	r.dns.(*packedAnswerer).plain.cookie.fill(&full, [8]byte{1}, netip.MustParseAddr("127.0.0.1"), t0)
	for range 21 { // the next is one of those cut, not one of those dropped
		if in := ask(t, r, "udp", "outlook-verify.net.", dns.TypeA, withOptions(cookieOption(hex.EncodeToString(full[:])))); in.Truncated || len(in.Answer) != 1 {
			t.Fatalf("limited in spite of its cookie: %v", in)
		}
	}
	if in := ask(t, r, "udp", "outlook-verify.net.", dns.TypeA); !in.Truncated {
		t.Errorf("without a cookie: %v", in)
	}
}
