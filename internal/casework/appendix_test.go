package casework_test

import (
	"bytes"
	"context"
	"encoding/csv"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

func TestAppendix(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	seen := t0.Add(-time.Minute)
	d.cfg.Facts = func(_ context.Context, n impound.Name) (casework.Facts, error) {
		f := casework.Facts{NS: names("ns2.host.example", "ns1.host.example"), NSAsOf: seen}
		switch n.String() {
		case "outlook-verify.net":
			f.Registration = casework.Registration{AsOf: seen, Exists: true, Handle: "D1-NET", Registrar: "=HYPERLINK(\"http://evil\")\r\nx", RegistrarIANA: "1", Status: []string{"ok"}, Created: t0.AddDate(0, -2, 0), Expires: t0.AddDate(1, 0, 0)}
		case "gone.com":
			f.Registration = casework.Registration{AsOf: seen}
		case "mooo.com":
			f = casework.Facts{}
		}
		return f, nil
	}
	s, err := casework.New(d.cfg)
	d.ok(err)
	doc := d.draft("O-1", "outlook-verify.net", "gone.com", "mooo.com", "xn--google-yri.com", "bank-verify.co.uk")
	doc = bytes.Replace(doc, []byte("gone[.]com"), []byte("gone[.]com\n        exhibit: Ex. 7"), 1)
	a, err := s.Appendix(ctx, "o.yaml", doc)
	d.ok(err)
	var got []string
	for _, g := range a.Groups {
		got = append(got, g.Registry+"/"+g.Registrar)
		for _, n := range g.Names {
			got = append(got, n.Name.String()+" "+n.Exhibit+" "+n.Gates)
		}
	}
	want := "co.uk/|bank-verify.co.uk  warn|com/|gone.com Ex. 7 warn|mooo.com  blocked|xn--google-yri.com  warn|net/=HYPERLINK(\"http://evil\")\r\nx|outlook-verify.net  warn"
	if strings.Join(got, "|") != want {
		t.Errorf("got  %q\nwant %q", strings.Join(got, "|"), want)
	}

	var one, two bytes.Buffer
	d.ok(a.CSV(&one))
	b, err := s.Appendix(ctx, "o.yaml", doc)
	d.ok(err)
	d.ok(b.CSV(&two))
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("twice the same appendix, and two texts")
	}
	rows, err := csv.NewReader(&one).ReadAll()
	d.ok(err)
	if len(rows) != 6 {
		t.Fatalf("%d rows", len(rows))
	}
	at := map[string]int{}
	for i, h := range rows[0] {
		at[h] = i
	}
	for _, r := range rows {
		for i, c := range r {
			if c != "" && strings.ContainsAny(c[:1], "=+-@\t\r") || strings.ContainsAny(c, "\r\n\t") {
				t.Errorf("%s: a spreadsheet would compute %q", rows[0][i], c)
			}
		}
	}
	row := rows[5]
	for col, want := range map[string]string{
		"a_label": "outlook-verify.net", "registrar": `'=HYPERLINK("http://evil")  x`, "roid": "D1-NET", "registered": "true", "status": "ok",
		"registration_seen_at": "2026-11-21T11:59:00Z", "ns": "ns1.host.example ns2.host.example", "act_nameservers": "ns1.sinkhole.example ns2.sinkhole.example",
		"act_lock": "serverTransferProhibited", "order": "O-1", "call_back": "'+1 555 0100", "until": "2026-11-22T12:00:00Z", "docket": "26-mj-1", "order_hash": a.Hash,
	} {
		if row[at[col]] != want {
			t.Errorf("%s: %q, want %q", col, row[at[col]], want)
		}
	}
	if rows[2][at["registered"]] != "false" || rows[3][at["registered"]] != "not known" || !strings.Contains(rows[3][at["gates_why"]], "G1-shared-suffix block") {
		t.Errorf("%q\n%q", rows[2], rows[3])
	}

	var text bytes.Buffer
	d.ok(a.Text(&text))
	for _, w := range []string{"DRAFT: signed by 0 of 2", "outlook-verify[.]net", "gates        blocked", "shown as     ", "no, says the registry at 2026-11-21T11:59:00Z", "The recipient will ask for:", "Ex. 7"} {
		if !strings.Contains(text.String(), w) {
			t.Errorf("want %q in:\n%s", w, text.String())
		}
	}
	if strings.Contains(text.String(), "outlook-verify.net") {
		t.Error("a name is not defanged")
	}
	_, err = s.Appendix(ctx, "o.yaml", []byte("impound: order/v1\n...\n"))
	d.refuses(err, impound.KindInvalid, "o.yaml:")
}
