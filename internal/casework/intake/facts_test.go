package intake

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
)

// What people write besides the usual brackets.
func TestMoreDefangingStyles(t *testing.T) {
	for in, want := range map[string]string{
		"outlook-verify[[.]]net":                                    "outlook-verify.net",
		"outlook-verify{dot}net":                                    "outlook-verify.net",
		"outlook-verify<dot>net":                                    "outlook-verify.net",
		"outlook-verify[.]net[.]":                                   "outlook-verify.net",
		"outlook-verify.]net":                                       "outlook-verify.net",
		"outlook-verify(.net)":                                      "outlook-verify.net",
		"outlook-verify-dot-net":                                    "",
		"outlook-verify_dot_net":                                    "outlook-verify.net",
		"outlook-verify[point]net":                                  "outlook-verify.net",
		"outlook-verify[punto]net":                                  "outlook-verify.net",
		"outlook-verify[точка]net":                                  "outlook-verify.net",
		`outlook-verify"."net`:                                      "outlook-verify.net",
		"outlook-verify&#46;net":                                    "outlook-verify.net",
		"outlook-verify%2Enet":                                      "outlook-verify.net",
		"outlook-verify\u3002net":                                   "outlook-verify.net",
		"outlook-verify\uff0enet":                                   "outlook-verify.net",
		"outlook-verify\u2024net":                                   "outlook-verify.net",
		"outlook-verify\u00b7net":                                   "outlook-verify.net",
		"outlook-verify . net was theirs":                           "outlook-verify.net",
		"outlook-verify .net was theirs":                            "outlook-verify.net",
		"hxxps[:]//outlook-verify.net/x":                            "outlook-verify.net",
		`hxxp:\\outlook-verify.net\x`:                               "outlook-verify.net",
		"hxxp[s]://outlook-verify.net":                              "outlook-verify.net",
		"htxps://outlook-verify.net":                                "outlook-verify.net",
		"hXXp__//outlook-verify.net":                                "outlook-verify.net",
		"ttps://outlook-verify.net":                                 "outlook-verify.net",
		"http[:]//outlook-verify.net":                               "outlook-verify.net",
		"hxxps://outlook-verify[.]net[:]8443/a":                     "outlook-verify.net",
		"out\u2060look-verify[.]net":                                "outlook-verify.net",
		"outlook\u2011verify[.]net":                                 "outlook-verify.net",
		"*.outlook-verify[.]net":                                    "outlook-verify.net",
		"xn--bcher-verify-dlb[.]net":                                "xn--bcher-verify-dlb.net",
		"login[.]outlook-verify[.]co[.]uk":                          "login.outlook-verify.co.uk",
		"https://outlook-verify.net/a . Net profit fell by 2 . com": "",
		"the end . net profit rose":                                 "",
	} {
		f := Read("report.txt", []byte(in), Options{})
		if got := strings.Join(proposed(f), " "); got != want {
			t.Errorf("%s: proposed %q, want %q (%+v)", in, got, want, f.Names)
		}
	}
}

// Whose a name is, by the words before it.
func TestSetApart(t *testing.T) {
	for in, want := range map[string]string{
		"The group compromised the website victim-ngo[.]org and sent mail from outlook-verify[.]net.":                    "outlook-verify.net",
		"outlook-verify[.]net, impersonating the legitimate domain victim-ngo[.]org":                                     "outlook-verify.net",
		"Hacked sites: victim-ngo[.]org, other-ngo[.]org and hxxps://third-ngo[.]org/x":                                  "",
		"It poses as victim-ngo[.]org. Its own name is outlook-verify[.]net.":                                            "outlook-verify.net",
		"the victim's mail server mail[.]victim-ngo[.]org was read":                                                      "",
		"legitimate-looking outlook-verify[.]net":                                                                        "outlook-verify.net",
		"fake sites of legitimate firms; they used outlook-verify[.]net":                                                 "outlook-verify.net",
		"Sites compromised by the group redirected to outlook-verify[.]net":                                              "outlook-verify.net",
		"outlook-verify[.]net looks like victim-ngo[.]org\nlater victim-ngo[.]org was named again":                       "outlook-verify.net",
		"<html><head><link rel=canonical href='https://blog.publisher.org/x'></head><p>See publisher[.]org</p></html>":   "",
		`{"link":"https:\/\/blog.publisher.org\/x","content":"<p>hxxps://www[.]publisher[.]org and a-verify[.]net</p>"}`: "a-verify.net",
	} {
		f := Read("report", []byte(in), Options{})
		if got := strings.Join(proposed(f), " "); got != want {
			t.Errorf("%s: proposed %q, want %q (%+v)", in, got, want, f.Names)
		}
		for _, n := range f.Names {
			if !n.Proposed && !strings.HasPrefix(n.Why, "set apart: ") {
				t.Errorf("%s: %+v", in, n)
			}
		}
	}
}

func TestOtherFindings(t *testing.T) {
	sum := strings.Repeat("0123456789abcdef", 4)
	in := `Between January 2023 and Aug. 3, 2024 the group used 203[.]0[.]113[.]7, 198.51.100.9 and 2001[:]db8::7 (version 1.2.3.4 of it ran at 10.0.0.1).
On 27 March 2019 and 2019-03-28 (but 3/4/2019 can be read two ways; 2024年10月4日) it mailed from evil.sender[@]outlook-verify[.]net.
It wrote to victims such as jane.doe[@]victim-ngo[.]org; ask press@news-site.org, or jane.roe@victim-ngo.org.
Files: ` + sum + ", " + strings.ToUpper(sum[:40]) + " and " + sum[:32] + ", " + sum[:32] + "; no hash is " + sum[:31] + " or x" + sum + `.
The deadline was 2024-13-01.`
	f := Read("r.txt", []byte(in), Options{})
	var got []string
	for _, l := range f.Facts() {
		got = append(got, l.Kind+" "+l.Shown)
	}
	want := []string{"date 2023-01", "date 2024-08-03", "date 2019-03-27", "date 2019-03-28", "date 2024-10-04",
		"address 203[.]0[.]113[.]7", "address 198[.]51[.]100[.]9", "address 10[.]0[.]0[.]1", "address 2001[:]db8[:][:]7",
		"hash " + sum, "hash " + sum[:40], "hash " + sum[:32],
		"mailbox evil[.]sender[@]outlook-verify[.]net", "mailbox …[@]victim-ngo[.]org", "mailbox …[@]news-site[.]org"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	if all := fmt.Sprintf("%+v", f); strings.Contains(all, "jane") || strings.Contains(all, "press@") {
		t.Errorf("a local part is kept: %s", all)
	}
	for _, a := range f.Addresses {
		want := map[string]string{"10.0.0.1": "not an address of the open internet", "198.51.100.9": "mentioned"}[a.Value]
		if want == "" {
			want = "defanged in the report"
		}
		if a.Why != want {
			t.Errorf("%+v", a)
		}
	}
	if len(f.Hashes) == 3 && f.Hashes[2].Times != 2 {
		t.Errorf("%+v", f.Hashes)
	}
	stix := `{"type":"bundle","objects":[{"type":"indicator","pattern":"[ipv4-addr:value = '203.0.113.7/32' OR file:hashes.'SHA-256' = '` + sum + `' OR email-addr:value = 'evil@outlook-verify.net']"},{"type":"indicator","revoked":true,"pattern":"[ipv4-addr:value = '203.0.113.8']"}]}`
	misp := `{"Event":{"Attribute":[{"type":"ip-dst|port","value":"203.0.113.7|443","to_ids":true},{"type":"sha256","value":"` + sum + `","to_ids":true},{"type":"email-src","value":"evil@outlook-verify.net","to_ids":true},{"type":"ip-dst","value":"203.0.113.8"},{"type":"email-dst","value":"jane@victim-ngo.org","to_ids":true}]}}`
	for _, doc := range []string{stix, misp} {
		f := Read("f.json", []byte(doc), Options{})
		got = nil
		for _, l := range f.Facts() {
			got = append(got, l.Shown)
		}
		if diff := cmp.Diff([]string{"203[.]0[.]113[.]7", sum, "evil[@]outlook-verify[.]net"}, got); diff != "" {
			t.Errorf("%s: %s", f.Format, diff)
		}
	}
}

func TestWhatActorsAreCalled(t *testing.T) {
	for in, want := range map[string]string{
		"used by Russia-linked Paper Tiger Group (formerly SILKWORM, also known as COLDWORM).": "Paper Tiger Group, SILKWORM, COLDWORM",
		"The Paper APT group (aka “Silkworm“, “TA999”) targeted":                               "Paper, Silkworm, TA999",
		"APT99, also known as Silkworm, is Iranian":                                            "APT99, Silkworm",
		"APT99 which is known by various other names such as Paper Tiger and Silkworm, is":     "APT99, Paper Tiger, Silkworm",
		"a member of Paper Tiger AKA the Silk Group":                                           "Paper Tiger, Silk Group",
		"Example Threat Intelligence tracks this group as “Paper Tiger” (formerly SILKWORM)":   "Paper Tiger, SILKWORM",
		"Andrey Ivanovich PETROV, AKA Alexey IVANOV":                                           "",
		"They found a campaign, analysed by others and dubbed ‘Silk Road Two’":                 "",
		"The actor, dubbed Silkworm, is back":                                                  "Silkworm",
	} {
		f := Read("r.txt", []byte(in), Options{})
		var got []string
		for _, a := range f.Aliases {
			got = append(got, a.Text)
		}
		slicesSort := strings.Split(want, ", ")
		if want == "" {
			slicesSort = nil
		}
		have := map[string]bool{}
		for _, g := range got {
			have[g] = true
		}
		ok := len(got) == len(slicesSort)
		for _, w := range slicesSort {
			ok = ok && have[w]
		}
		if !ok {
			t.Errorf("%s: %q, want %q", in, got, want)
		}
	}
}

func FuzzIndicators(f *testing.F) {
	f.Add("203[.]0[.]113[.]7 2001[:]db8::7 a[@]b[.]net 3 March 2019 A, aka B")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 1<<13 {
			return
		}
		r := Read("a.txt", []byte(s), Options{Actors: []impound.Actor{{ID: "x", Names: []string{"Paper"}}}})
		for _, l := range r.Facts() {
			if l.Kind == "" || l.Shown == "" || strings.ContainsAny(l.Shown, "\n\x00") && l.Kind != "alias" {
				t.Fatalf("%q: %+v", s, l)
			}
		}
	})
}

func TestLongText(t *testing.T) {
	defer func(n int) { maxText = n }(maxText)
	maxText = 100
	f := Read("r.csv", []byte("a\nfirst-verify[.]net\n"+strings.Repeat("x", 90)+"\nlast-verify[.]net\nlast-verify[.]org\n"), Options{})
	if got := strings.Join(proposed(f), " "); got != "first-verify.net" || len(f.Problems) != 1 || !strings.Contains(f.Problems[0].Msg, "the rest was not read") {
		t.Errorf("%s %v", got, f.Problems)
	}
}
