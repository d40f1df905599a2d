package gate

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
)

// records writes passive DNS of the shape that a past failure had.
func records(t *testing.T, lines func(add func(format string, args ...any))) *Passive {
	t.Helper()
	var b strings.Builder
	lines(func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) })
	p, err := ReadPassive("pdns.jsonl", strings.NewReader(b.String()))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// addresses adds n hosts below zone, each with an address of its own.
func hosts(add func(string, ...any), zone string, n int) {
	for i := range n {
		add(`{"rrname":"h%d.%s.","rrtype":"A","rdata":"198.51.%d.%d","time_first":1760000000,"time_last":1763000000,"count":30000}`, i, zone, i/250%250, i%250+1)
	}
}

// TestPastFailures is the table of takedowns that went wrong, each with its
// shape: what would the gates have said?
func TestPastFailures(t *testing.T) {
	mooo := records(t, func(add func(string, ...any)) { hosts(add, "mooo.com", 84_000) })
	noip := records(t, func(add func(string, ...any)) { hosts(add, "dyn-provider.example", 20_000) })
	hosting := records(t, func(add func(string, ...any)) {
		for i := range 15_000 {
			add(`{"rrname":"shop%d.com.","rrtype":"NS","rdata":"ns1.bullet-host.com.","count":1}`, i)
			add(`{"rrname":"shop%d.com.","rrtype":"A","rdata":"203.0.113.9","count":1}`, i)
		}
		add(`{"rrname":"phish-on-it.com.","rrtype":"A","rdata":["203.0.113.9"],"count":1}`)
	})
	sinkholed, err := ReadList("sinkholes.json", []byte(`{"name":"List of known sinkholes","type":"cidr","version":2,"list":["192.0.2.0/28"]}`), t0)
	if err != nil || len(sinkholed.Nets) != 1 {
		t.Fatal(sinkholed, err)
	}
	lists := *BuiltIn()
	lists.sinkholeNets = []netFact{{sinkholed.Nets[0], fact{kindSinkhole, "sinkholes.json", t0}}}
	with := func(n string, change func(*Input)) Input {
		in := fine()
		in.Name, in.Order = name(n), order(n)
		change(&in)
		return in
	}
	for _, c := range []struct {
		failure string
		in      Input
		gates   []string // each must keep the name out
		warns   []string // each must not be pass
		words   string   // of the first
	}{
		{"mooo.com 2011: 84,000 subdomains, ten intended", with("mooo.com", func(in *Input) { in.Tenants = mooo.Tenants(in.Name) }), []string{G1, G4}, nil, "dynamic DNS"},
		{"mooo.com 2011: one of the ten, below it", with("bad.mooo.com", func(*Input) {}), []string{G1}, nil, "only the host"},
		{"No-IP 2014: one of the 23 zones", with("zapto.org", func(in *Input) { in.ProviderContacted = time.Time{} }), []string{G1}, []string{G2}, "strangers"},
		{"No-IP 2014: a provider that no list knows, five million hosts", with("dyn-provider.example", func(in *Input) {
			in.Tenants = noip.Tenants(in.Name)
			d := lists.DemandOf(in.Name, noip)
			in.Capacity = &Capacity{Measured: 300, Expected: d.PerSecond, Servers: 2, At: t0, Own: d.Source}
			in.ProviderContacted = time.Time{}
		}), []string{G3, G4}, []string{G2}, "lose their service"},
		{"3FN 2009: the provider's own domain, 15,000 sites' name servers", with("bullet-host.com", func(in *Input) { in.Tenants = hosting.Tenants(in.Name) }), []string{G4}, nil, "go down with it"},
		{"3FN 2009: one site beside 15,000 at one address", with("phish-on-it.com", func(in *Input) { in.Tenants = hosting.Tenants(in.Name) }), nil, []string{G4}, "shared hosting"},
		{"ZeuS 2012: abuse.ch's sinkhole, by its name servers", with("zeus-c2.com", func(in *Input) { in.NS = []impound.Name{name("ns1.sinkhole.ch")} }), []string{G5}, nil, "agree with them"},
		{"Citadel 2013: a sinkhole by its address alone", with("citadel-c2.com", func(in *Input) { in.Addrs, in.AddrsAsOf = []netip.Addr{netip.MustParseAddr("192.0.2.7")}, t0 }), []string{G5}, nil, "agree with them"},
		{"Citadel 2013: listed, but nobody holds evidence on it", with("never-seen.com", func(in *Input) { in.InCase, in.Evidence = false, 0 }), nil, []string{G6}, "nothing says why"},
		{"Citadel 2013: in the order, and nobody captured anything of it", with("listed-only.com", func(in *Input) { in.Evidence = 0 }), nil, []string{G6}, "no evidence on it yet"},
		{"Citadel 2013: on the list of what was taken, and never sinkholed", with("listed-not-sinkholed.com", func(in *Input) {
			in.Taken = t0.Add(-24 * time.Hour)
			in.Views = []View{{View: "parent", Why: "shows the actor's name servers", At: t0}, {View: "rdap", Good: true, At: t0}, {View: "resolver", Why: "shows the actor's address", At: t0}}
		}), nil, []string{G14}, "not every view"},
		{"NDSS 2019: a name that may be let go and bought again", with("let-go.com", func(in *Input) { in.Order.AtEnd, in.OwnerTold = "release", t0 }), nil, []string{G10}, "doesn't say that it is restored"},
		{"NDSS 2019: an FBI name hijacked over DNS that was not ours any more", with("fbi-seized.com", func(in *Input) {
			in.Taken = t0.Add(-24 * time.Hour)
			in.Views = []View{{View: "parent", Good: true, At: t0}, {View: "rdap", Good: true, At: t0}, {View: "resolver", Why: "another's servers answer", At: t0}}
		}), nil, []string{G14}, "not every view"},
		{"mooo.com 2011: the same parent in capitals and with its dot", with("MOOO.com.", func(*Input) {}), []string{G1}, nil, "dynamic DNS"},
		{"2014: names under seal for years, and the order long over", with("under-seal.com", func(in *Input) { in.Now = t0.AddDate(4, 0, 0) }), []string{G12}, nil, "lapsed"},
		{"ZeuS 2012: data given in confidence, published", with("zeus-c2.com", func(in *Input) {
			in.Order.TLP, in.Evidence = impound.TLPRed, 1
			in.Exhibits = []Exhibit{{Hash: "sha256:aa", TLP: impound.TLPAmber, Originator: "a security company"}}
		}), []string{G7}, nil, "allow its disclosure"},
		{"ZeuS 2012: above what the recipient may see", with("zeus-c2.com", func(in *Input) {
			in.Order.TLP, in.Evidence = impound.TLPAmber, 1
			in.Exhibits = []Exhibit{{Hash: "sha256:aa", TLP: impound.TLPRed}}
		}), []string{G7}, nil, "TLP:RED"},
		{"ZeuS 2012: a sinkhole that says not what it keeps", with("zeus-c2.com", func(in *Input) { in.Order.Sinkhole = impound.SinkTerms{} }), []string{G8}, nil, "what may be recorded"},
		{"Avalanche 2019: a registrant of twelve years, by a DGA collision", with("someones-own-site.in", func(in *Input) { in.Created = t0.AddDate(-12, 0, 0) }), []string{G9}, []string{G10}, "broken into"},
		{"CIRFU.NET 2015: all name servers below one domain that can lapse", with("seized-by-fbi.com", func(in *Input) {
			in.Order.Acts.Nameservers = []impound.Name{name("ns1.cirfu.example"), name("ns2.cirfu.example")}
		}), nil, []string{G11}, "lapses"},
		{"Dajaz1 2010: held thirteen months, no order any more", with("dajaz1.com", func(in *Input) { in.Now = t0.AddDate(1, 1, 0) }), []string{G12}, nil, "lapsed"},
		{"Dajaz1 2010: its owner asks for it", with("dajaz1.com", func(in *Input) { in.Contest = "contested since 2011-01-05: a letter" }), []string{G13}, nil, "contested"},
		{"seizedservers.com 2012: one server under 307 names", with("one-of-307.com", func(in *Input) {
			in.Capacity = &Capacity{Measured: 100_000, Expected: 307, Servers: 1, At: t0, Own: "seen"}
		}), nil, []string{G3}, "single point"},
		{"easyDNS 2013: the zone changed, WHOIS shows the old owner", with("held-by-easydns.com", func(in *Input) {
			in.Taken = t0.Add(-time.Hour)
			in.Views = []View{{View: "parent", Good: true, At: t0}, {View: "rdap", Why: "shows ns1.easydns.com", At: t0}, {View: "resolver", Good: true, At: t0}}
		}), nil, []string{G14}, "not every view"},
		{"Strontium 2019: 7 of 17 names stand in another actor's rule", with("accounts-web-mail.com", func(in *Input) { in.Conflicts = []string{"PHOSPHORUS"} }), []string{G15}, nil, "PHOSPHORUS"},
	} {
		t.Run(c.failure, func(t *testing.T) {
			vs := map[string]impound.GateVerdict{}
			for _, v := range Run(context.Background(), c.in, &lists) {
				vs[v.Gate] = v
			}
			said := ""
			for _, g := range c.gates {
				v := vs[g]
				if v.Outcome != impound.GateBlock || len(Blocking([]impound.GateVerdict{v})) != 1 || v.AsOf.IsZero() {
					t.Errorf("%+v does not keep it out", v)
				}
				said += v.Reason
			}
			for _, g := range c.warns {
				if v := vs[g]; v.Outcome == impound.GatePass || v.Reason == "" {
					t.Errorf("%+v says nothing against it", v)
				}
				said += vs[g].Reason
			}
			if !strings.Contains(said, c.words) {
				t.Errorf("the reason %q does not speak of %q", said, c.words)
			}
		})
	}
	// The same gates let an actor's own name through: a gate that blocks
	// everything is no gate.
	in := fine()
	in.Order.TLP, in.Order.AtEnd, in.OwnerTold = impound.TLPAmber, "restore", t0
	in.Exhibits = []Exhibit{{Hash: "sha256:aa", TLP: impound.TLPGreen}, {Hash: "sha256:bb", TLP: impound.TLPRed, Originator: "a bank", Consent: "the bank's letter of 2026-11-01"}}
	in.Capacity = &Capacity{Measured: 1000, Expected: 10, Servers: 2, At: t0, Own: "seen"}
	in.Tenants = &Tenants{Hosts: 3, Beside: 4, Source: "pdns", At: t0}
	in.Taken = t0
	in.Views = []View{{View: "parent", Good: true, At: t0}, {View: "rdap", Good: true, At: t0}, {View: "resolver", Good: true, At: t0}}
	for _, v := range Run(context.Background(), in, nil) {
		if v.Outcome != impound.GatePass {
			t.Errorf("a name that harms nobody: %+v", v)
		}
	}
}

func TestDisclosureAndViews(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Input)
		gate   string
		want   impound.Outcome
		words  string
	}{
		{"no evidence", func(in *Input) { in.Evidence = 0 }, G7, impound.GatePass, "no evidence"},
		{"levels unknown", func(*Input) {}, G7, impound.GateUnknown, "2 of its 2"},
		{"the order is silent", func(in *Input) { in.Exhibits = []Exhibit{{TLP: impound.TLPClear}, {TLP: impound.TLPClear}} }, G7, impound.GateUnknown, "write tlp:"},
		{"the case's level", func(in *Input) {
			in.Order.TLP, in.CaseTLP = impound.TLPGreen, impound.TLPAmber
			in.Exhibits = []Exhibit{{Hash: "sha256:aa"}, {Hash: "sha256:bb"}}
		}, G7, impound.GateBlock, "TLP:AMBER"},
		{"no level at all", func(in *Input) { in.Order.TLP, in.Exhibits = impound.TLPGreen, []Exhibit{{}, {}} }, G7, impound.GateUnknown, "no TLP level"},
		{"the name's giver", func(in *Input) { in.Evidence, in.Marking.Originator = 0, "a bank" }, G7, impound.GateBlock, "allow an order over it"},
		{"the name's giver consents", func(in *Input) {
			in.Evidence, in.Marking, in.Own, in.Consent = 0, impound.Marking{TLP: impound.TLPRed, PAP: impound.PAPRed, Originator: "a bank"}, impound.Marking{TLP: impound.TLPRed}, "carla"
		}, G7, impound.GatePass, "no evidence"},
		{"an order would be noticed", func(in *Input) { in.Evidence, in.Marking.PAP = 0, impound.PAPAmber }, G7, impound.GateBlock, "PAP:AMBER"},
		{"a level that nobody knows", func(in *Input) { in.Evidence, in.Marking.PAP = 0, "violet" }, G7, impound.GateBlock, "PAP:VIOLET"},
		{"block it at home", func(in *Input) { in.Evidence, in.Marking.PAP = 0, impound.PAPGreen }, G7, impound.GatePass, "no evidence"},
		{"the name's own level", func(in *Input) {
			in.Evidence, in.Own.TLP, in.Order.TLP = 0, impound.TLPRed, impound.TLPAmber
		}, G7, impound.GateBlock, "it is TLP:RED itself"},
		{"evidence that must not be noticed", func(in *Input) {
			in.Order.TLP, in.Exhibits = impound.TLPGreen, []Exhibit{{TLP: impound.TLPClear}, {TLP: impound.TLPClear, PAP: impound.PAPRed}}
		}, G7, impound.GateBlock, "PAP:RED"},
		{"nobody counted", func(in *Input) { in.Tenants = nil }, G4, impound.GateUnknown, "no captured certificate"},
		{"certificates that name few", func(in *Input) { in.Tenants = &Tenants{Cert: &CertTenants{Hosts: 2, Others: 1, At: t0}} }, G4, impound.GateUnknown, "nobody counted who hangs on it"},
		{"certificates that name many", func(in *Input) { in.Tenants = &Tenants{Cert: &CertTenants{Others: 40, At: t0}} }, G4, impound.GateWarn, "name 40 other domains"},
		{"certificates of a business", func(in *Input) { in.Tenants = &Tenants{Cert: &CertTenants{Hosts: 101, At: t0}} }, G4, impound.GateBlock, "101 hosts"},
		{"both, and few", func(in *Input) {
			in.Tenants = &Tenants{Hosts: 1, Source: "pdns", At: t0, Cert: &CertTenants{Hosts: 3, At: t0}}
		}, G4, impound.GatePass, "3 hosts"},
		{"not taken", func(*Input) {}, G14, impound.GatePass, "nothing was done"},
		{"taken, not looked at", func(in *Input) { in.Taken = t0 }, G14, impound.GateUnknown, "0 of the three"},
		{"one view blind", func(in *Input) { in.Taken, in.Views = t0, []View{{View: "rdap", Blind: true, Why: "no answer"}} }, G14, impound.GateUnknown, "could be had"},
		{"two views", func(in *Input) { in.Taken, in.Views = t0, []View{{Good: true, At: t0}, {Good: true, At: t0}} }, G14, impound.GateUnknown, "2 of the three"},
		{"some demand unknown", func(in *Input) { in.Capacity = &Capacity{Measured: 900, Expected: 3, Unknown: 2, Servers: 2, At: t0} }, G3, impound.GateUnknown, "nobody knows"},
		{"others' demand unknown", func(in *Input) {
			in.Capacity = &Capacity{Measured: 900, Expected: 3, Unknown: 2, Servers: 2, At: t0, Own: "seen"}
		}, G3, impound.GateWarn, "2 names"},
		{"a few hang on it", func(in *Input) { in.Tenants = &Tenants{Served: 2, Source: "pdns", At: t0} }, G4, impound.GateWarn, "look whose"},
		{"at an address that strangers share", func(in *Input) { in.Addrs = []netip.Addr{netip.MustParseAddr("104.21.27.14")} }, G5, impound.GateWarn, "strangers share"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := fine()
			c.change(&in)
			l := *BuiltIn()
			l.sinkholeNets = []netFact{{netip.MustParsePrefix("104.21.27.14/32"), fact{kindSinkhole, "sinkholes.json", t0}}}
			for _, v := range Run(context.Background(), in, &l) {
				if v.Gate == c.gate && (v.Outcome != c.want || !strings.Contains(v.Reason, c.words)) {
					t.Errorf("want %s ...%s..., got %+v", c.want, c.words, v)
				}
			}
		})
	}
}

func TestRanks(t *testing.T) {
	p, err := ReadList("tranco-100k.csv", []byte("rank,domain\n1,google.com\n2,a-popular.example\n3,third.example\n"), t0)
	if err != nil || !p.Ranked || p.Names != 3 || p.Entries != 3 {
		t.Fatal(p, err)
	}
	dir := t.TempDir()
	var b strings.Builder
	for i := range 20_000 {
		fmt.Fprintf(&b, "%d,site%d.example\n", i+1, i+1)
	}
	write(t, dir, "tranco.csv", b.String())
	l, err := LoadLists(dir)
	if err != nil {
		t.Fatal(err)
	}
	for n, want := range map[string]impound.Outcome{"site1.example": impound.GateBlock, "www.site10000.example": impound.GateBlock, "site10001.example": impound.GateWarn, "site20001.example": impound.GatePass} {
		if v := sharedSuffix(Input{Name: name(n)}, l); v.Outcome != want {
			t.Errorf("%s: %+v", n, v)
		}
	}
	if d := l.DemandOf(name("login.site20000.example"), nil); d == nil || d.PerSecond != 50 {
		t.Errorf("%+v", d)
	}
	if d := l.DemandOf(name("nobody.example"), nil); d == nil || d.PerSecond != 50 || !strings.Contains(d.Source, "less than") {
		t.Errorf("%+v", d)
	}
	if d := BuiltIn().DemandOf(name("nobody.example"), nil); d != nil {
		t.Errorf("nothing is known, and it says %+v", d)
	}
}

func FuzzReadPassive(f *testing.F) {
	f.Add([]byte(`{"rrname":"a.example.","rrtype":"A","rdata":"192.0.2.1","time_first":1,"time_last":2,"count":3}`))
	f.Add([]byte(`{"rrname":"a.example","rrtype":"MX","rdata":["10 mx.b.example."],"count":1e300}` + "\nx\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p, err := ReadPassive("x", strings.NewReader(string(b)))
		if err != nil {
			if impound.KindOf(err) != impound.KindInvalid {
				t.Fatal(err)
			}
			return
		}
		n := name("a.example")
		if x := p.Tenants(n); x != nil && (x.Hosts < 0 || x.Served < 0) {
			t.Fatalf("%+v", x)
		}
		if d := BuiltIn().DemandOf(n, p); d != nil && !(d.PerSecond >= 0) {
			t.Fatalf("%+v", d)
		}
	})
}
