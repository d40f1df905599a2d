package intake

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
)

func proposed(f Findings) []string {
	var out []string
	for _, n := range f.Proposed() {
		out = append(out, n.String())
	}
	return out
}

func TestDefangingStyles(t *testing.T) {
	for in, want := range map[string]string{
		"the site outlook-verify[.]net was":                         "outlook-verify.net",
		"outlook-verify(.)net":                                      "outlook-verify.net",
		"outlook-verify{.}net":                                      "outlook-verify.net",
		"outlook-verify[dot]net":                                    "outlook-verify.net",
		"OUTLOOK-VERIFY(DOT)NET":                                    "outlook-verify.net",
		"outlook-verify [.] net":                                    "outlook-verify.net",
		"outlook-verify[.net":                                       "outlook-verify.net",
		`outlook-verify\.net`:                                       "outlook-verify.net",
		"outlook-verify［.］net":                                      "outlook-verify.net",
		"hxxps://outlook-verify[.]net/login.php?u=x":                "outlook-verify.net",
		"hxxp://outlook-verify.net/a":                               "outlook-verify.net",
		"hxxps[://]outlook-verify[.]net":                            "outlook-verify.net",
		"h**p://outlook-verify.net":                                 "outlook-verify.net",
		"login[.]outlook-verify[.]net":                              "login.outlook-verify.net",
		"outlook\u00ad-verify[.]net and outlook-ve\u200brify[.]net": "outlook-verify.net",
		"bücher[.]de":                                               "xn--bcher-kva.de",
		"(outlook-verify[.]net).":                                   "outlook-verify.net",
		"“outlook-verify[.]net”, …":                                 "outlook-verify.net",
		// nothing to propose
		"outlook-verify.net was mentioned":     "",
		"version 1[.]2":                        "",
		"192[.]0[.]2[.]1":                      "",
		"victim[@]example[.]org":               "",
		"evil[.]blogspot[.]com":                "",
		"google[.]com":                         "",
		"https://outlook-verify.net/read/more": "",
		"since 2015.In the past":               "",
		"see report.pdf and main.py":           "",
		"a[.]notatld":                          "",
	} {
		f := Read("report.txt", []byte(in), Options{})
		if got := strings.Join(proposed(f), " "); got != want {
			t.Errorf("%s: proposed %q, want %q (%+v)", in, got, want, f.Names)
		}
	}
}

const article = `Court seizes domains of APT99
By a reporter, news-site.example.com, mail tips@news-site.org

The group (aka “Paper Tiger“, "Silk Worm" and TA999) used fakes such as outlook-verify[.]net, yahoo-verify[.]net.
Microsoft took over 66 unique domains; the U.S. Department seized 41 internet domains under Case No. 4-24-71375 (see 1:19-cv-00716-ABJ).
Read more at https://news-site.org/story?victim=jane&token=s3cret or write to jane.doe@victim-ngo.org for help.
`

func TestArticle(t *testing.T) {
	actors := []impound.Actor{{ID: "A-1", Names: []string{"Paper Tiger"}}, {ID: "A-2", Names: []string{"PAPERTIGER", "Silk Worm"}}}
	for format, text := range map[string]string{
		"text": article,
		"html": "<html><script>var x='evil[.]com'</script><p>" + strings.ReplaceAll(article, "\n", "</p><p>") + "</p></html>",
		"json": `{"link":"https:\/\/news-site.org\/x","content":{"rendered":` + fmt.Sprintf("%q", "<p>"+article+"</p>") + `}}`,
	} {
		f := Read("report.txt", []byte(text), Options{Actors: actors})
		if f.Format != format || len(f.Problems) > 0 {
			t.Errorf("%s: read as %s, %v", format, f.Format, f.Problems)
		}
		if diff := cmp.Diff([]string{"outlook-verify.net", "yahoo-verify.net"}, proposed(f)); diff != "" {
			t.Errorf("%s: %s", format, diff)
		}
		var got []string
		for _, d := range f.Dockets {
			got = append(got, d.Value)
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"1:19-cv-00716-ABJ", "4-24-71375"}, got); diff != "" {
			t.Errorf("%s: dockets: %s", format, diff)
		}
		got = nil
		for _, c := range f.Counts {
			got = append(got, fmt.Sprint(c.N, " ", c.Of))
		}
		if diff := cmp.Diff([]string{"66 domains", "41 domains"}, got); diff != "" {
			t.Errorf("%s: counts: %s", format, diff)
		}
		got = nil
		for _, a := range f.Aliases {
			got = append(got, a.Text+" "+strings.Join(a.Actors, "+"))
		}
		slices.Sort(got)
		if diff := cmp.Diff([]string{"APT99 ", "Paper Tiger A-1+A-2", "Silk Worm A-2", "TA999 "}, got); diff != "" {
			t.Errorf("%s: aliases: %s", format, diff)
		}
		if all := fmt.Sprintf("%+v", f); strings.Contains(all, "s3cret") || strings.Contains(all, "jane.doe") || strings.Contains(all, "tips@") {
			t.Errorf("%s: a local part or a query was kept:\n%s", format, all)
		}
		for _, n := range f.Names {
			if n.Name == impound.MustName("yahoo-verify.net") && !strings.HasPrefix(n.Sentence, "The group (aka") {
				t.Errorf("%s: sentence: %s", format, n.Sentence)
			}
		}
	}
}

func TestLists(t *testing.T) {
	f := Read("r.txt", []byte("Indicators\n\n- outlook-verify.net\n- yahoo-verify.net\n* verification-live.com\n- bit.ly\n\nBy news-site.org\n"), Options{})
	if diff := cmp.Diff([]string{"outlook-verify.net", "yahoo-verify.net", "verification-live.com"}, proposed(f)); diff != "" {
		t.Error(diff)
	}
	f = Read("iocs.csv", []byte("DateAdded,IoC,Type,Source\n8/15/2022,outlook-verify.net,domainname,https://news-site.org/x\n8/15/2022,\"yahoo-verify.net\",domainname,news-site.org\n"), Options{})
	if diff := cmp.Diff([]string{"outlook-verify.net", "yahoo-verify.net"}, proposed(f)); diff != "" || f.Format != "csv" {
		t.Error(f.Format, diff)
	}
}

func TestNotText(t *testing.T) {
	for _, in := range []string{"%PDF-1.7\noutlook-verify[.]net", "PK\x03\x04x", "a\x00b"} {
		if f := Read("r", []byte(in), Options{}); len(f.Problems) != 1 || len(f.Names) > 0 || f.Problems[0].Cure == "" {
			t.Errorf("%q: %+v", in, f)
		}
	}
}

// TestReports reads the reports of a folder, where one is given, and prints what
// was found for a person to look over.
func TestReports(t *testing.T) {
	dir := os.Getenv("IMPOUND_REPORTS")
	if dir == "" {
		t.Skip("set IMPOUND_REPORTS to a folder with reports")
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	for _, p := range files {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		f := Read(p, b, Options{})
		t.Logf("%s: %s: %v %v %v %v", filepath.Base(p), f.Format, proposed(f), f.Dockets, f.Counts, f.Aliases)
	}
}

func FuzzRead(f *testing.F) {
	f.Add("r.txt", []byte(article))
	f.Add("r.csv", []byte("a,b\n\"x[.]com\n"))
	f.Add("r.json", []byte(`{"a":["<p>x[.]com","\u0000\ud800"]}`))
	f.Add("r.html", []byte("<p><script><a href=x[.]com>"))
	f.Add("r", []byte("aka “, aka aka aka 1,1,1 domains No. 1-"))
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		r := Read(name, data, Options{Actors: []impound.Actor{{ID: "A", Names: []string{"Paper Tiger", "x", ""}}}})
		for _, n := range r.Names {
			if n.Name.IsZero() || n.Why == "" || n.Times < 1 || !utf8.ValidString(n.Sentence) || len(n.Sentence) > maxSentence+8 {
				t.Fatalf("%q: %+v", data, n)
			}
		}
	})
}

func BenchmarkRead(b *testing.B) {
	text := []byte(strings.Repeat(article, 200))
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		if f := Read("r.txt", text, Options{}); len(f.Names) == 0 {
			b.Fatal("nothing found")
		}
	}
}
