package impound

import (
	"strings"
	"testing"
)

func TestParseNameSpellings(t *testing.T) {
	for in, want := range map[string]string{
		"outlook-verify.net":                            "outlook-verify.net",
		"OUTLOOK-Verify.NET.":                           "outlook-verify.net",
		"outlook-verify[.]net":                          "outlook-verify.net",
		"outlook-verify(.)net":                          "outlook-verify.net",
		"outlook-verify[dot]net":                        "outlook-verify.net",
		"hxxps://outlook-verify[.]net/owa?x=1":          "outlook-verify.net",
		"hxxp[://]login.outlook-verify[.]net:8080/":     "login.outlook-verify.net",
		"https://user:pw@outlook-verify.net:443/#a":     "outlook-verify.net",
		"someone@yahoo-verify.net":                      "yahoo-verify.net",
		"someone[@]yahoo-verify[.]net":                  "yahoo-verify.net",
		"*.myaccount-services.net":                      "myaccount-services.net",
		"bücher.example":                                "xn--bcher-kva.example",
		"BÜCHER。example":                                "xn--bcher-kva.example",
		"xn--bcher-kva.example":                         "xn--bcher-kva.example",
		"_dmarc.outlook-verify.net":                     "_dmarc.outlook-verify.net",
		"  verification-live.com  ":                     "verification-live.com",
		"verification-live.com:443":                     "verification-live.com",
		"com":                                           "com",
		"xn--google-yri.com":                            "xn--google-yri.com",
		"hxxps://verification-live.com?next=a.example/": "verification-live.com",
	} {
		n, err := ParseName(in)
		if err != nil {
			t.Errorf("ParseName(%q): %v", in, err)
		} else if n.String() != want {
			t.Errorf("ParseName(%q) = %q, want %q", in, n, want)
		}
	}
}

func TestParseNameFaults(t *testing.T) {
	for in, part := range map[string]string{
		"":                                     "empty",
		"   ":                                  "empty",
		"a..b.com":                             "empty label",
		".com":                                 "empty label",
		"-a.com":                               "hyphen",
		"a b.com":                              "character",
		"192.0.2.1":                            "IP address",
		"http://[2001:db8::1]/":                "IP address",
		"192.0.2":                              "number",
		strings.Repeat("a", 64) + ".com":       "63",
		strings.Repeat("abcdefg.", 40) + "com": "253",
		strings.Repeat("a", 10000):             "10000",
		"xn--a.com":                            "xn--",
		"xn--.com":                             "",
		"a\x00b.com":                           "0x00",
		"https:///path":                        "",
	} {
		n, err := ParseName(in)
		if err == nil {
			t.Errorf("ParseName(%.40q) = %q, want an error", in, n)
			continue
		}
		if KindOf(err) != KindInvalid || !strings.Contains(err.Error(), part) {
			t.Errorf("ParseName(%.40q): %v: want KindInvalid with %q", in, err, part)
		}
	}
}

func TestRegistrable(t *testing.T) {
	for in, want := range map[string][2]string{
		"www.outlook-verify.net":           {"outlook-verify.net", "outlook-verify.net"},
		"a.b.example.co.uk":                {"example.co.uk", "example.co.uk"},
		"victim.blogspot.com":              {"victim.blogspot.com", "blogspot.com"},
		"a.victim.blogspot.com":            {"victim.blogspot.com", "blogspot.com"},
		"blogspot.com":                     {"", "blogspot.com"},
		"foo.azurewebsites.net":            {"foo.azurewebsites.net", "azurewebsites.net"},
		"x.eu-west-1.elasticbeanstalk.com": {"x.eu-west-1.elasticbeanstalk.com", "elasticbeanstalk.com"},
		"com":                              {"", ""},
		"co.uk":                            {"", ""},
		"a.unlistedtld":                    {"a.unlistedtld", "a.unlistedtld"},
	} {
		n := MustName(in)
		r, err := n.Registrable()
		if (err != nil) != (want[0] == "") || r.String() != want[0] {
			t.Errorf("%s: Registrable = %q, %v; want %q", in, r, err, want[0])
		}
		r, err = n.RegistryDomain()
		if (err != nil) != (want[1] == "") || r.String() != want[1] {
			t.Errorf("%s: RegistryDomain = %q, %v; want %q", in, r, err, want[1])
		}
	}
}

func TestAtOrBelow(t *testing.T) {
	z := MustName("live.com")
	for in, want := range map[string]bool{"live.com": true, "a.live.com": true, "verification-live.com": false, "com": false} {
		if got := MustName(in).AtOrBelow(z); got != want {
			t.Errorf("%s at or below %s = %v", in, z, got)
		}
	}
	if MustName("a.com").AtOrBelow(Name{}) {
		t.Error("everything is below the zero name")
	}
}

func FuzzParseName(f *testing.F) {
	for _, s := range []string{"outlook-verify.net", "hxxps://a[.]b/c", "bücher.example", "xn--bcher-kva.example", "a@b.c", "*.x.co.uk.", "☃.net", "ﬁ.com", "a。b", "faß.de", "xn--fa-hia.de", "ا.com"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		n, err := ParseName(s)
		if err != nil {
			if KindOf(err) != KindInvalid {
				t.Fatalf("kind of %v", err)
			}
			return
		}
		if n.IsZero() || len(n.String()) > 253 {
			t.Fatalf("ParseName(%q) = %q", s, n)
		}
		for _, form := range []string{n.String(), n.FQDN(), n.Unicode(), n.Defanged(), strings.ToUpper(n.String()), "hxxp://" + n.Defanged() + "/x"} {
			if m, err := ParseName(form); err != nil || m != n {
				t.Fatalf("%q -> %q; its form %q -> %q, %v", s, n, form, m, err)
			}
		}
		if r, err := n.Registrable(); err == nil && !n.AtOrBelow(r) {
			t.Fatalf("%q is not below its registrable domain %q", n, r)
		}
		if r, err := n.RegistryDomain(); err == nil && !n.AtOrBelow(r) {
			t.Fatalf("%q is not below its registry domain %q", n, r)
		}
	})
}

// FuzzCanonicalName: what is taken for a name as it stands is what the whole
// reading makes of it.
func FuzzCanonicalName(f *testing.F) {
	for _, s := range []string{"example.org", "localhost", "a--b.c", "ab--c.d", "xn--e1afmkfd.xn--p1ai", "1.2.3.4", "a.1", "a.1b", "-a.b", "a-.b", "a.-b", "a..b", ".a", "a.", "a_b.c", "A.b", "", "0x7f.1a", "1.2.3.4.5a", "a-b.c-d", "a.b-", "m-1.x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if !canonical(s) {
			return
		}
		n, err := parseName(s)
		if err != nil || n.a != s {
			t.Errorf("%q is taken as it stands, and read as %q, %v", s, n.a, err)
		}
	})
}

// TestCanonicalName: the ordinary spelling takes the short way, so that an order
// of 10,000 names is read in time.
func TestCanonicalName(t *testing.T) {
	for s, want := range map[string]bool{
		"account-00077-verify.example": true, "a.b.c.d": true, "1a.2b": true, strings.Repeat("a", 63) + ".b": true,
		strings.Repeat("a", 64) + ".b": false, strings.Repeat("a.", 126) + "ab": false, "ab--c.d": false, "a-.b": false, "a.b-": false, "a.12": false, "a_b.c": false, "a.b.": false, "": false,
	} {
		if canonical(s) != want {
			t.Errorf("canonical(%q) is %v", s, !want)
		}
	}
}
