package telemetry_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/impound/impound/internal/telemetry"
)

func TestLoadNetworks(t *testing.T) {
	in := `# ours
prefix,asn,name,country,abuse,sector,kind
198.51.100.0/24,64500,"Example, Access",de,abuse@example.net,academia,access
198.51.100.128/25,AS64501,Inner,DE,,,hosting
198.51.100.1/24,1,Bits,,,,
198.51.100.0/24,1,Twice,,,,
192.0.2.7,1,Address,,,,
nonsense,1,Name,,,,
192.0.2.0/24,x,Name,,,,
192.0.2.0/24,1,,,,,
192.0.2.0/24,1,Name,DEU,,,
192.0.2.0/24,1,Name,DE,"A <a@b.example>",,
192.0.2.0/24,1,Name,DE,,,botnet
192.0.2.0/24,1,Name
::ffff:192.0.2.0/120,1,Name,,,,
192.0.2.0/24,1,"un"quoted,,,,
2001:db8::/32,64502,Six,,,,research
`
	n, ps := telemetry.LoadNetworks(strings.NewReader(in), "n.csv")
	var got []string
	for _, p := range ps {
		got = append(got, p.Where+" "+p.Msg)
		if p.Cure == "" {
			t.Errorf("%s: no cure", p.Where)
		}
	}
	want := []string{
		"n.csv:5 198.51.100.1/24 has bits set behind its length",
		"n.csv:6 198.51.100.0/24 is listed twice, first on line 3",
		"n.csv:7 192.0.2.7 is an address, not a prefix",
		`n.csv:8 "nonsense" is no prefix`,
		`n.csv:9 "x" is no AS number`,
		"n.csv:10 192.0.2.0/24 has no name",
		`n.csv:11 "DEU" is no country code`,
		`n.csv:12 "A <a@b.example>" is no mailbox`,
		`n.csv:13 "botnet" is no kind of network`,
		"n.csv:14 has 3 fields, the header 7",
		"n.csv:15 ::ffff:192.0.2.0/120 is an IPv4 prefix in IPv6 clothes",
		"n.csv:16 is not CSV",
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
	for addr, want := range map[string]string{
		"198.51.100.7": "Example, Access access", "198.51.100.200": "Inner hosting", "::ffff:198.51.100.7": "Example, Access access",
		"2001:db8::7": "Six research", "192.0.2.1": "", "203.0.113.1": "", "2001:db9::1": "",
	} {
		net, kind, ok := n.Lookup(netip.MustParseAddr(addr))
		if got := strings.TrimSpace(net.Name + " " + string(kind)); got != want || ok != (want != "") {
			t.Errorf("%s: %q %v, want %q", addr, got, ok, want)
		}
	}
	if net, _, _ := n.Lookup(netip.MustParseAddr("198.51.100.7")); net.Country != "DE" || net.ASN != 64500 || net.Abuse != "abuse@example.net" {
		t.Errorf("%+v", net)
	}
	for _, in := range []string{"", "name\nx\n", "prefix,name,colour\n192.0.2.0/24,X,red\n", "prefix,prefix,name\n"} {
		if _, ps := telemetry.LoadNetworks(strings.NewReader(in), "n.csv"); len(ps) == 0 {
			t.Errorf("%q: no problem", in)
		}
	}
	if _, ps := telemetry.LoadNetworksFile("/nonexistent/n.csv"); len(ps) != 1 {
		t.Error(ps)
	}
	var none *telemetry.Networks
	if _, _, ok := none.Lookup(netip.MustParseAddr("192.0.2.1")); ok {
		t.Error("nil knows something")
	}
}

// The longest prefix wins, as a search over all of them finds it.
func TestLongestPrefix(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var b strings.Builder
		b.WriteString("prefix,name\n")
		seen := map[netip.Prefix]bool{}
		for range rapid.IntRange(0, 20).Draw(rt, "n") {
			var a netip.Addr
			if rapid.Bool().Draw(rt, "six") {
				a = netip.AddrFrom16([16]byte{0x20, 1, 13, 0xb8, byte(rapid.IntRange(0, 3).Draw(rt, "b"))})
			} else {
				a = netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 3).Draw(rt, "b")), byte(rapid.IntRange(0, 255).Draw(rt, "c")), 0})
			}
			p, _ := a.Prefix(rapid.IntRange(0, 32).Draw(rt, "bits"))
			if !seen[p] {
				seen[p] = true
				b.WriteString(p.String() + "," + p.String() + "\n")
			}
		}
		n, ps := telemetry.LoadNetworks(strings.NewReader(b.String()), "n.csv")
		if len(ps) > 0 {
			rt.Fatal(ps)
		}
		addr := netip.AddrFrom4([4]byte{10, byte(rapid.IntRange(0, 3).Draw(rt, "x")), byte(rapid.IntRange(0, 255).Draw(rt, "y")), 9})
		var want netip.Prefix
		for p := range seen {
			if p.Contains(addr) && (!want.IsValid() || p.Bits() > want.Bits()) {
				want = p
			}
		}
		got, _, ok := n.Lookup(addr)
		if ok != want.IsValid() || ok && got.Prefix != want {
			rt.Fatalf("%s: %v, want %v", addr, got.Prefix, want)
		}
	})
}

func FuzzLoadNetworks(f *testing.F) {
	f.Add("prefix,asn,name,country,abuse,sector,kind\n192.0.2.0/24,64500,X,DE,a@b.example,,access\n")
	f.Add("\ufeffprefix,name\n\"")
	f.Fuzz(func(t *testing.T, in string) {
		n, ps := telemetry.LoadNetworks(strings.NewReader(in), "n.csv")
		for _, p := range ps {
			if !strings.HasPrefix(p.Where, "n.csv:") || p.Cure == "" {
				t.Errorf("%+v", p)
			}
		}
		if net, _, ok := n.Lookup(netip.MustParseAddr("192.0.2.1")); ok && strings.ContainsAny(net.Abuse, "\r\n ") {
			t.Errorf("%q", net.Abuse)
		}
	})
}
