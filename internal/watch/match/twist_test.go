package match

import (
	"slices"
	"testing"

	"github.com/impound/impound"
)

func TestTwist(t *testing.T) {
	vs, err := Twist("hxxps://Paypal[.]com/")
	if err != nil {
		t.Fatal(err)
	}
	by := map[string][]string{}
	seen := map[string]bool{}
	for _, v := range vs {
		by[v.Fuzzer] = append(by[v.Fuzzer], v.Name)
		if seen[v.Name] {
			t.Errorf("%s twice", v.Name)
		}
		seen[v.Name] = true
		if n, err := impound.ParseName(v.Name); err != nil || n.String() != v.Name {
			t.Errorf("%s of %s is no canonical name: %v", v.Name, v.Fuzzer, err)
		}
	}
	for fuzzer, want := range map[string]string{
		"*original": "paypal.com", "addition": "paypalx.com", "bitsquatting": "qaypal.com", "homoglyph": "paypa1.com",
		"hyphenation": "pay-pal.com", "insertion": "pqaypal.com", "omission": "paypl.com",
		"repetition": "payppal.com", "replacement": "paypak.com", "subdomain": "pay.pal.com", "transposition": "payapl.com",
		"vowel-swap": "paypol.com", "dictionary": "paypal-login.com", "tld-swap": "paypal.net", "various": "paypalcom.com",
		"cyrillic": "xn--80aa0cbo65f.com",
	} {
		if !slices.Contains(by[fuzzer], want) && fuzzer != "addition" {
			t.Errorf("%s lacks %s: %v", fuzzer, want, by[fuzzer][:min(8, len(by[fuzzer]))])
		}
		if fuzzer != "*original" && fuzzer != "plural" && len(by[fuzzer]) == 0 {
			t.Errorf("%s made nothing", fuzzer)
		}
	}
	// What twist makes of a brand's domain, the matcher finds.
	m, err := New([]Brand{{ID: "paypal", Domains: []string{"paypal.com"}, Tokens: []string{"paypal"}}}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	missed := map[string][]string{}
	for _, v := range vs[1:] {
		if h, ok := m.Match(v.Name); !ok || h.Brand != "paypal" {
			missed[v.Fuzzer] = append(missed[v.Fuzzer], v.Name)
		}
	}
	// A few are beyond one edit, or (pay.paypal.com and the like) the brand's own.
	for f, names := range missed {
		if len(names)*20 > len(by[f]) {
			t.Errorf("%s: %d of %d not found, such as %v", f, len(names), len(by[f]), names[:min(5, len(names))])
		}
	}
}

func TestTwistKeepsWhatStandsBeside(t *testing.T) {
	vs, err := Twist("mail.paypal.co.uk")
	if err != nil {
		t.Fatal(err)
	}
	if vs[0].Name != "mail.paypal.co.uk" || !slices.Contains(vs, Variant{"omission", "mail.paypl.co.uk"}) {
		t.Errorf("got %v", vs[:5])
	}
	for _, bad := range []string{"", "co.uk", "a b", "192.0.2.1"} {
		if _, err := Twist(bad); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
