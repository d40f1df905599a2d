package intake

import (
	"archive/zip"
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound/internal/evidence/lure"
)

// TestTables: names that nobody defanged are items of a table, whatever it is
// written in, and what stands beside them is not.
func TestTables(t *testing.T) {
	for _, c := range []struct {
		name, file, in, want string
	}{
		{"Markdown", "r.md", "| Domain | IP | Seen |\n|---|---|---|\n| account-a.net | 198.51.100.7 | 2024-01-03 |\n| `account-b.site` | 198.51.100.8 | x |\n", "account-a.net account-b.site"},
		{"a court's appendix", "r.txt", ".COM DOMAINS\nRegistry: Example Registry, 1 Way\n   1.  ACCOUNTS-A.COM    Domain Administrator, See privacy-one.org\n   2.  ACCOUNTS-B.COM    contact@privacy-link.com\n   3.  COM-IDENTIFIER-C.\n       COM\n\n.ORG DOMAINS\nOther Registry\n   4.  verify-d.org\n   5.  verify-e.org\n\nQuestions: help@court.example.org, www.notice-site.org/x\n", "accounts-a.com accounts-b.com com-identifier-c.com verify-d.org verify-e.org"},
		{"columns by spaces", "r.txt", "Domain                IP              SHA256\nlogin-a.com           198.51.100.23   x\nproton-b.com          198.51.100.24   y\n", "login-a.com proton-b.com"},
		{"two columns of names", "r.txt", "one-a.com      two-b.net\nthree-c.com    four-d.net\nfive-e.com     six-f.net\n", "five-e.com four-d.net one-a.com six-f.net three-c.com two-b.net"},
		{"tabs, the name second", "r.tsv", "type\tvalue\tnote\ndomain\tmsn-a.com\tseen by partner.org\nipv4\t192.0.2.7\t\n", "msn-a.com"},
		{"tabs, pasted", "pasted", "type\tvalue\tnote\ndomain\tmsn-a.com\tseen by partner.org\ndomain\tmsn-b.com\t\n", "msn-a.com msn-b.com"},
		{"CSV with semicolons", "r.csv", "Indicator;Typ;Quelle\nsicher-a.de;domain;https://www.bericht.org/x\nhttps://cloud-b.net/login.php?u=erika@firma.de;url;\n", "cloud-b.net sicher-a.de"},
		{"a reference column", "r.csv", "domain,registrar,url\nevil-a.com,registrar-one.com,https://blog-x.org/y\n", "evil-a.com"},
		{"HTML", "r.html", "<table>\n<tr><th>Domain</th>\n<th>Registrar</th></tr>\n<tr>\n<td><p>table-a.com</p></td>\n<td>registrar-one.com</td></tr>\n<tr><td><div>table-b.net</div></td><td>registrar-one.com</td></tr>\n<tr><td>table-c.net</td><td>registrar-one.com</td></tr></table><p>See other-site.org.</p>", "table-a.com table-b.net table-c.net"},
		{"HTML, a cell of many", "r.html", "<table><tr><td>one-a.com<br>two-b.com<br>three-c.com</td></tr><tr><td><pre>four-d.com\nfive-e.com\nsix-f.com</pre></td></tr></table>", "five-e.com four-d.com one-a.com six-f.com three-c.com two-b.com"},
		{"a quoted mail", "r.txt", "> > wir sahen:\n> > \n> > anmeldung-a.de\n> > kunden-b.com\n> > tan-c.info\n> >\n> > Erika | www.unser-haus.de\n", "anmeldung-a.de kunden-b.com tan-c.info"},
		{"a hosts file", "r.txt", "127.0.0.1 hosts-a.com\n127.0.0.1 hosts-b.com\n0.0.0.0 hosts-c.com\n", "hosts-a.com hosts-b.com hosts-c.com"},
		{"a heading", "r.txt", "Malicious domains:\n\nevil-a.com\nevil-b.com\n\nRead more at other-site.org\n", "evil-a.com evil-b.com"},
		{"name servers", "r.txt", "evil-a.com.\t300\tIN\tNS\tns1.host-x.com.\nevil-a.com.\t300\tIN\tNS\tns2.host-x.com.\nevil-b.com.\t300\tIN\tNS\tns1.host-x.com.\n", "evil-a.com evil-b.com"},
		{"WHOIS", "r.txt", "Name Server:   ns1.host-x.com\nName Server:   ns2.host-x.com\nName Server:   ns3.host-x.com\n", ""},
		{"a heading against", "r.txt", "The legitimate domains that were imitated:\nrand-house.org\npolicy-house.com\nthink-house.net\n", ""},
		{"a heading of victims", "r.txt", "Victims of the campaign included the following organisations:\nrand-house.org\npolicy-house.org\nthink-house.edu\n\nThe actor's domains:\nevil-a.com\nevil-b.com\n", "evil-a.com evil-b.com"},
		{"a heading of what was used", "r.txt", "Domains used against victims:\nevil-a.com\nevil-b.com\nevil-c.com\n\nSpoofed domains:\nevil-d.com\nevil-e.com\nevil-f.com\n", "evil-a.com evil-b.com evil-c.com evil-d.com evil-e.com evil-f.com"},
		{"remarks", "r.txt", "- evil-a.com (2024-01-02)\n- evil-b.net -> 198.51.100.3\n- evil-c.net, 198.51.100.4, 2024-01-01\n- Domain: evil-d.com\n", "evil-a.com evil-b.net evil-c.net evil-d.com"},
		{"references", "r.txt", "References\n\nblog-one.org\nblog-two.org\nblog-three.org\n", ""},
		{"a heading for", "r.txt", "Domains impersonating legitimate services:\nevil-a.com\nevil-b.com\nevil-c.com\n", "evil-a.com evil-b.com evil-c.com"},
		{"pairs", "r.txt", "| Fake domain | Legitimate site |\n|---|---|\n| evil-a.com | rand-house.org |\n| evil-b.com | policy-house.com |\n| evil-c.com | think-house.net |\n", "evil-a.com evil-b.com evil-c.com"},
		{"prose", "r.txt", "It was seen at one-a.com; then at\ntwo-b.com, and three-c.com.\nBut four-d.com  was not.\n", ""},
		{"a narrow column", "r.txt", "Domain\nsession-manag\nement-customi\nzer.com\nNameCheap 2023-11-02\nsession-b\nz[.]com\nyahoo-verify.ne\nt\nshort-a.net\nshort-b.net\n", "short-a.net short-b.net"},
		{"a narrow column, in rows", "r.txt", "Domain          Created\ncustomers-acti  2023-11-02\nvities-mail.com\nshort-a.net     2023-11-02\n", "short-a.net"},
		{"an underscore", "r.txt", "evil_a[.]com and x_y.evil-b[.]com", "x_y.evil-b.com"},
		{"a comma", "r.txt", "evil-a[,]com", "evil-a.com"},
	} {
		f := Read(c.file, []byte(c.in), Options{})
		got := proposed(f)
		slices.Sort(got)
		if diff := cmp.Diff(c.want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s%+v", c.name, diff, f.Names)
		}
		for _, n := range f.Names {
			if strings.HasPrefix(c.name, "a narrow") && strings.Contains(" zer.com z.com ement-customizer.com yahoo-verify.ne ", " "+n.Name.String()+" ") {
				t.Errorf("%s: half a name: %+v", c.name, n)
			}
			if n.Proposed && c.name == "CSV with semicolons" && !strings.Contains(n.Sentence, " | ") {
				t.Errorf("%s: a cell without its row: %+v", c.name, n)
			}
		}
	}
}

func TestTableOfDocx(t *testing.T) {
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	w, err := z.Create("word/document.xml")
	if err != nil {
		t.Fatal(err)
	}
	cell := func(s string) string { return "<w:tc><w:p><w:r><w:t>" + s + "</w:t></w:r></w:p></w:tc>" }
	w.Write([]byte(`<w:document xmlns:w="w"><w:body><w:p><w:r><w:t>Seen at other-site.org.</w:t></w:r></w:p><w:tbl><w:tr>` + cell("Domain") + cell("Registrar") + "</w:tr><w:tr>" +
		cell("evil-a.com") + cell("registrar-one.com") + "</w:tr><w:tr>" + cell("evil-b.com") + cell("registrar-one.com") + `</w:tr></w:tbl><w:p><w:r><w:t>End.</w:t></w:r></w:p></w:body></w:document>`))
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	f := Read("r.docx", b.Bytes(), Options{})
	if diff := cmp.Diff([]string{"evil-a.com", "evil-b.com"}, proposed(f)); diff != "" {
		t.Errorf("%s%+v", diff, f)
	}
}

// TestWrappedLinks: what a mail gateway put around a link is no finding, and its
// percent escapes begin no name.
func TestWrappedLinks(t *testing.T) {
	const wrapped = "https://nam02.safelinks.protection.outlook.com/?url=https%3A%2F%2Fview-shared-docs.com%2Fs%2Fabc&data=05%7C01%7Cvictim%40ngo.org"
	f := Read("r.txt", []byte("The lure went to "+wrapped+" in March.\nAnd hxxps://nam02[.]safelinks[.]protection[.]outlook[.]com/?url=https%3A%2F%2Fother-docs.net%2Fx"), Options{Unwrap: lure.Unwrap})
	var all []string
	for _, n := range f.Names {
		all = append(all, n.Name.String())
	}
	slices.Sort(all)
	if diff := cmp.Diff([]string{"other-docs.net", "view-shared-docs.com"}, all); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]string{"other-docs.net"}, proposed(f)); diff != "" {
		t.Error(diff)
	}
	f = Read("r.txt", []byte(wrapped), Options{})
	for _, n := range f.Names {
		if strings.Contains(n.Name.String(), "2f") {
			t.Errorf("half an escape became a name: %+v", n)
		}
	}
	mail := "From: a@example.org\nTo: b@example.org\nSubject: x\nDate: Fri, 4 Oct 2024 10:00:00 +0200\nMIME-Version: 1.0\nContent-Type: text/html\n\n<a href=\"" + strings.ReplaceAll(wrapped, "&", "&amp;") + "\">open</a>"
	f = Read("m.eml", []byte(mail), Options{Unwrap: lure.Unwrap})
	if len(f.Names) != 1 || f.Names[0].Name.String() != "view-shared-docs.com" || f.Names[0].Proposed {
		t.Errorf("%+v", f.Names)
	}
}

func TestNamesOfActors(t *testing.T) {
	for in, want := range map[string]string{
		"APT42 (a.k.a. CALANQUE / UNC788) registered":                        "APT42 CALANQUE UNC788",
		"The group, which Proofpoint calls TA453, sent mails.":               "TA453",
		"Star Blizzard, another group alongside others, has been disrupted.": "Star Blizzard",
		"see https://x.example/apt42-report and the file UNC7881x":           "",
	} {
		var got []string
		for _, a := range Read("r.txt", []byte(in), Options{}).Aliases {
			got = append(got, a.Text)
		}
		slices.Sort(got)
		if diff := cmp.Diff(want, strings.Join(got, " ")); diff != "" {
			t.Errorf("%s: %s", in, diff)
		}
	}
	feed := `{"type":"bundle","objects":[{"type":"intrusion-set","name":"Star Blizzard","aliases":["COLDRIVER"]},
{"type":"indicator","pattern":"[domain-name:value = 'good-site.com']","indicator_types":["benign"]},
{"type":"indicator","pattern":"[network-traffic:dst_ref.value = 'evil-a.com'] OR [domain-name:value != 'good-two.com']"},
{"type":"indicator","pattern_type":"suricata","pattern":"alert dns any any (content:\"evil-b.com\")"}]}`
	f := Read("r.json", []byte(feed), Options{})
	if diff := cmp.Diff([]string{"evil-a.com"}, proposed(f)); diff != "" || len(f.Aliases) != 2 || len(f.Names) != 3 {
		t.Errorf("%s%+v", diff, f)
	}
	event := `{"Event":{"info":"x","date":"2024-05-01","Tag":[{"name":"misp-galaxy:threat-actor=\"MuddyWater\""}],"Galaxy":[{"type":"threat-actor","GalaxyCluster":[{"value":"MuddyWater","meta":{"synonyms":["TEMP.Zagros"]}}]}],
"Attribute":[{"type":"domain","value":"evil-a.com","to_ids":"1","deleted":"0"},{"type":"domain","value":"other-b.com","to_ids":false},{"type":"whois-registrant-email","value":"a@b-c.com","to_ids":true}]}}`
	for _, in := range []string{event, "[" + event + "]", `{"response":[` + event + `]}`} {
		f := Read("r.json", []byte(in), Options{})
		if diff := cmp.Diff([]string{"evil-a.com"}, proposed(f)); diff != "" || f.Format != "misp" || len(f.Aliases) != 2 || len(f.Dates) != 1 {
			t.Errorf("%s%+v", diff, f)
		}
	}
	f = Read("r.json", []byte(`{"response":{"Attribute":[{"type":"domain","value":"evil-a.com","to_ids":true}]}}`), Options{})
	if diff := cmp.Diff([]string{"evil-a.com"}, proposed(f)); diff != "" {
		t.Error(diff)
	}
}

func TestDatesWithDots(t *testing.T) {
	f := Read("r.txt", []byte("2024.10.03 Announced. Stand 12.3.2024, am 04.05.2024; not 3/4/2024, 1.2.2024.5, nor 45.12.2024, 10.20.2019.\n"), Options{})
	var got []string
	for _, d := range f.Dates {
		got = append(got, d.Value)
	}
	if diff := cmp.Diff([]string{"2024-10-03", "2024-03-12", "2024-05-04"}, got); diff != "" {
		t.Error(diff)
	}
}
