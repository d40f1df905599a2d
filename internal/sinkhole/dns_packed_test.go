package sinkhole

import (
	"bytes"
	"encoding/hex"
	"net"
	"net/netip"
	"strings"
	"testing"

	"github.com/miekg/dns"
	"pgregory.net/rapid"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
)

// answerers gives the two, over configurations that differ in what they tell.
func answerers(t testing.TB) (list []*packedAnswerer, p *policy.Policy) {
	p = opened(t, t0, policy.Options{}, append(mandates(t),
		mandate(t, "O-acme", func(o *impound.Order) {
			o.Sinkhole.Certificates, o.Sinkhole.DMARCReports = impound.CertsACME, "dmarc@unit.example"
		}, "acme-level.net"),
		mandate(t, "O-rua", func(o *impound.Order) { o.Sinkhole.DMARCReports = strings.Repeat("'", 100) + "@unit.example" }, "long-rua.net"))...)
	six := netip.MustParseAddr("2001:db8::80")
	for _, cfg := range []Config{
		{Contact: `CSIRT +1 555 0199 \ "desk"`, CAIssuer: "ca.example; account=1", NSID: "s1"},
		{A: []netip.Addr{sinkV4, netip.MustParseAddr("192.0.2.81")}, AAAA: []netip.Addr{six}, Hostmaster: "host.master@sink.outlook-verify.net", NSID: strings.Repeat("x", 60)},
		{AAAA: []netip.Addr{six}, NS: []impound.Name{impound.MustName("a.ns.net"), impound.MustName("b.ns.net"), impound.MustName("net.example")}, Hostmaster: "hm.ns.net"},
	} {
		list = append(list, newPackedAnswerer(&cfg))
	}
	return list, p
}

func sameAnswer(t interface {
	Helper()
	Fatalf(string, ...any)
}, pa *packedAnswerer, req []byte, env dnsEnv) {
	t.Helper()
	var q1, q2 question
	e1, e2 := env, env
	want := pa.plain.answer(nil, req, &e1, &q1)
	got := pa.answer([]byte{}, req, &e2, &q2)
	if !bytes.Equal(want, got) {
		var m1, m2 dns.Msg
		m1.Unpack(want)
		m2.Unpack(got)
		t.Fatalf("to %s\nplain  %x\npacked %x\nplain  %v\npacked %v", hex.EncodeToString(req), want, got, &m1, &m2)
	}
	if q1 != q2 {
		t.Fatalf("to %s\nplain  %+v\npacked %+v", hex.EncodeToString(req), q1, q2)
	}
}

func TestPackedIsPlain(t *testing.T) {
	list, p := answerers(t)
	cookie := func(pa *packedAnswerer, env dnsEnv) string {
		var full [24]byte
		pa.plain.cookie.fill(&full, [8]byte{1, 2, 3}, env.src, env.now)
		return hex.EncodeToString(full[:])
	}
	types := []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypeTXT, dns.TypeCAA, dns.TypeANY, dns.TypeDS, dns.TypeHTTPS, dns.TypeAXFR, dns.TypeSRV, 0, 65535}
	rapid.Check(t, func(t *rapid.T) {
		pa := rapid.SampledFrom(list).Draw(t, "config")
		env := dnsEnv{policy: p, now: t0, src: netip.MustParseAddr(rapid.SampledFrom([]string{"192.0.2.9", "2001:db8::9"}).Draw(t, "src")),
			tcp: rapid.Bool().Draw(t, "tcp"), slip: rapid.IntRange(0, 9).Draw(t, "slip") == 0}
		if rapid.IntRange(0, 19).Draw(t, "nopolicy") == 0 {
			env.policy = nil
		}
		name := rapid.SampledFrom([]string{"", "www.", "_dmarc.", "x._domainkey.", "_domainkey.", "a.b.c.d.", "A\\.b.", "\\000x.", "net.", "sink.", strings.Repeat("l.", 40), strings.Repeat("x", 63) + "."}).Draw(t, "below") +
			rapid.SampledFrom([]string{"outlook-verify.net.", "OutLook-verify.NET.", "lure-level.net.", "acme-level.net.", "long-rua.net.", "example.org.", "net.", "xoutlook-verify.net."}).Draw(t, "zone")
		m := new(dns.Msg)
		m.SetQuestion(name, rapid.SampledFrom(types).Draw(t, "type"))
		m.Id = rapid.Uint16().Draw(t, "id")
		m.RecursionDesired = rapid.Bool().Draw(t, "rd")
		m.CheckingDisabled = rapid.Bool().Draw(t, "cd")
		m.AuthenticatedData = rapid.Bool().Draw(t, "ad")
		if rapid.Bool().Draw(t, "edns") {
			m.SetEdns0(rapid.SampledFrom([]uint16{0, 512, 600, 1232, 4096}).Draw(t, "size"), rapid.Bool().Draw(t, "do"))
			o := m.IsEdns0()
			for range rapid.IntRange(0, 3).Draw(t, "options") {
				o.Option = append(o.Option, rapid.SampledFrom([]dns.EDNS0{
					&dns.EDNS0_COOKIE{Code: 10, Cookie: cookie(pa, env)}, &dns.EDNS0_COOKIE{Code: 10, Cookie: "0102030405060708"},
					&dns.EDNS0_COOKIE{Code: 10, Cookie: "01020304050607080102030405060708090a"}, &dns.EDNS0_COOKIE{Code: 10, Cookie: "0102"},
					&dns.EDNS0_NSID{Code: 3}, &dns.EDNS0_NSID{Code: 3, Nsid: "0102"}, &dns.EDNS0_LOCAL{Code: 300, Data: []byte{1}}, &dns.EDNS0_LOCAL{Code: 19, Data: []byte{1}},
					&dns.EDNS0_SUBNET{Code: 8, Family: 1, SourceNetmask: 24, Address: net.IPv4(192, 0, 2, 0)}, &dns.EDNS0_SUBNET{Code: 8, Family: 2, SourceNetmask: 56, Address: net.ParseIP("2001:db8::")},
					&dns.EDNS0_LOCAL{Code: 8, Data: []byte{0, 1, 33, 0}}, &dns.EDNS0_LOCAL{Code: 8, Data: []byte{0, 3, 0, 0}}, &dns.EDNS0_LOCAL{Code: 8, Data: []byte{0, 1}},
					&dns.EDNS0_PADDING{Padding: make([]byte, 5)}, &dns.EDNS0_LOCAL{Code: 65001, Data: []byte{1}},
				}).Draw(t, "option"))
			}
		}
		req, err := m.Pack()
		if err != nil {
			t.Skip(err)
		}
		// Sometimes, a few octets are not what they should be.
		for range rapid.SampledFrom([]int{0, 0, 0, 1, 2}).Draw(t, "damage") {
			req[rapid.IntRange(0, len(req)-1).Draw(t, "at")] = rapid.Byte().Draw(t, "octet")
		}
		if rapid.IntRange(0, 9).Draw(t, "cut") == 0 {
			req = req[:rapid.IntRange(0, len(req)).Draw(t, "to")]
		}
		sameAnswer(t, pa, req, env)
	})
}

// FuzzDNS holds the two answerers against each other on hostile octets, and
// against what every answer must be.
func FuzzDNS(f *testing.F) {
	list, p := answerers(f)
	for _, name := range []string{"outlook-verify.net.", "_dmarc.www.outlook-verify.net.", "example.org.", "."} {
		for _, qt := range []uint16{1, 28, 2, 6, 15, 16, 255, 252} {
			m := new(dns.Msg)
			m.SetQuestion(name, qt)
			m.SetEdns0(1232, true)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: 10, Cookie: "0102030405060708"}}
			b, err := m.Pack()
			if err != nil {
				f.Fatal(err)
			}
			f.Add(b, true)
			f.Add(b[:len(b)-3], false)
			m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: 3}, &dns.EDNS0_SUBNET{Code: 8, Family: 1, SourceNetmask: 24, Address: net.IPv4(192, 0, 2, 0)}}
			m.SetQuestion(strings.Replace(name, "outlook-verify", "acme-level", 1), dns.TypeCAA)
			if b, err = m.Pack(); err == nil {
				f.Add(b, false)
			}
		}
	}
	f.Add([]byte("\x00\x01\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\xc0\x0c\x00\x01\x00\x01"), false)
	f.Fuzz(func(t *testing.T, req []byte, tcp bool) {
		env := dnsEnv{policy: p, now: t0, src: netip.MustParseAddr("192.0.2.9"), tcp: tcp}
		for _, pa := range list {
			sameAnswer(t, pa, req, env)
		}
		var q question
		out := list[0].answer(nil, req, &env, &q)
		if !tcp && len(out) > 0 && len(out) > max(12, replyLimit(len(req), env.src)) {
			t.Fatalf("%d octets for %d", len(out), len(req))
		}
		for i := range len(q.name) {
			if q.name[i] <= ' ' || q.name[i] >= 0x7f {
				t.Fatalf("name %q in an event", q.name)
			}
		}
		if q.outcome == "" {
			t.Fatal("no outcome")
		}
	})
}

func BenchmarkAnswer(b *testing.B) {
	list, p := answerers(b)
	m := new(dns.Msg)
	m.SetQuestion("www.outlook-verify.net.", dns.TypeA)
	m.SetEdns0(1232, false)
	req, _ := m.Pack()
	env := dnsEnv{policy: p, now: t0, src: netip.MustParseAddr("192.0.2.9")}
	out := make([]byte, 0, 4096)
	for name, a := range map[string]answerer{"plain": list[0].plain, "packed": list[0]} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				var q question
				a.answer(out[:0], req, &env, &q)
			}
		})
	}
}

// Every usual question in every setting, without the luck of the draw.
func TestPackedIsPlainExhaustively(t *testing.T) {
	list, p := answerers(t)
	n := 0
	for _, pa := range list {
		for _, below := range []string{"", "www.", "_dmarc.", "x._domainkey.", "_domainkey.", "a.b.c.d.", "net.", "sink.outlook-verify.net.", strings.Repeat("x", 63) + "."} {
			for _, zone := range []string{"outlook-verify.net.", "OutLook-verify.NET.", "acme-level.net.", "long-rua.net.", "example.org."} {
				for _, qt := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeNS, dns.TypeSOA, dns.TypeMX, dns.TypeTXT, dns.TypeCAA, dns.TypeANY, dns.TypeDS, dns.TypeHTTPS, dns.TypeAXFR} {
					for edns := range 6 {
						for _, src := range []string{"192.0.2.9", "2001:db8::9"} {
							env := dnsEnv{policy: p, now: t0, src: netip.MustParseAddr(src)}
							m := new(dns.Msg)
							m.SetQuestion(below+zone, qt)
							if edns > 0 {
								m.SetEdns0([]uint16{0, 512, 1232, 4096, 1232, 1232}[edns], edns == 2)
							}
							if edns == 5 {
								m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_NSID{Code: 3}}
							} else if edns >= 3 {
								c := "0102030405060708"
								if edns == 4 {
									var full [24]byte
									pa.plain.cookie.fill(&full, [8]byte{1, 2, 3}, env.src, env.now)
									c = hex.EncodeToString(full[:])
								}
								m.IsEdns0().Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: 10, Cookie: c}}
							}
							req, err := m.Pack()
							if err != nil {
								t.Fatal(err)
							}
							for _, env.slip = range []bool{false, true} {
								for _, env.tcp = range []bool{false, !env.slip} {
									sameAnswer(t, pa, req, env)
									n++
								}
							}
						}
					}
				}
			}
		}
	}
	t.Logf("%d questions", n)
}
