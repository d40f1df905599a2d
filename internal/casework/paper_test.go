package casework_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/peertest"
)

// appendixOf makes an appendix of 49 names, one of them imitating, with exhibits
// and a registrar that tries to deceive.
func appendixOf(t *testing.T) casework.Appendix {
	t.Helper()
	ctx := t.Context()
	d := newDesk(t)
	seen := t0.Add(-time.Minute)
	d.cfg.Facts = func(_ context.Context, n impound.Name) (casework.Facts, error) {
		f := casework.Facts{NS: names("ns2.host.example", "ns1.host.example"), NSAsOf: seen,
			Registration: casework.Registration{AsOf: seen, Exists: true, Handle: "D123456789-NET", Registrar: "Good\u202egnihsihP Registrar, Inc.", RegistrarIANA: "9999", Status: []string{"clientTransferProhibited"}, Created: t0.AddDate(0, -2, 0), Expires: t0.AddDate(1, 0, 0)}}
		switch n.String() {
		case "gone.com":
			f.Registration = casework.Registration{AsOf: seen}
		case "mooo.com":
			f = casework.Facts{}
		}
		return f, nil
	}
	s, err := casework.New(d.cfg)
	d.ok(err)
	ns := []string{"outlook-verify.net", "gone.com", "mooo.com", "xn--pypal-4ve.com", "xn--fiqs8s.com"}
	for _, a := range []string{"mail", "account", "login", "secure"} {
		for _, b := range []string{"update", "check", "service", "review", "notice", "support", "center", "team", "help", "info", "portal"} {
			ns = append(ns, a+"-"+b+".net")
		}
	}
	doc := d.draft("O-1", ns...)
	doc = bytes.Replace(doc, []byte("gone[.]com"), []byte("gone[.]com\n        exhibit: Ex. 10"), 1)
	doc = bytes.Replace(doc, []byte("outlook-verify[.]net"), []byte("outlook-verify[.]net\n        exhibit: Ex. 9"), 1)
	doc = bytes.Replace(doc, []byte("mail-help[.]net"), []byte("mail-help[.]net\n        roid: D9-NET\n        registrar: Old Registrar\n        affiant: A. Agent\n        harm: takes passwords of 3 victims\n        confidence: high\n        provider_asked: 2026-11-01"), 1)
	doc = bytes.Replace(doc, []byte("at_end:"), []byte("confirm_by: 2026-11-22\ndeadlines:\n  - what: TRO ends\n    due: 2026-12-05\n    who: counsel\ncustody:\n  transfer_to: Last Resort\n  transfer_iana_id: 2482\n  renewal_by: the plaintiff\n  no_release: true\nrights:\n  contest: write to the court\n  contest_days: 10\n  bond: none was asked\ndns:\n  subdomains: all\n  mx: \"null\"\n  ttl: 3600\n  glue: [{host: ns1.sinkhole.example, addrs: [192.0.2.53]}]\nsequence: [com locks first, then net]\nblock_create: [next-verify.net, later-verify.net, last-verify.org]\nat_end:"), 1)
	a, err := s.Appendix(ctx, "o.yaml", doc)
	d.ok(err)
	var log []casework.Logged
	for i, n := range []string{"gone.com", "outlook-verify.net", "outlook-verify.net", "stranger.org"} {
		art := impound.Artefact{Hash: impound.HashBytes([]byte(n)), Kind: "dns", Source: "192.0.2.1", At: t0, Name: impound.MustName(n), Case: "C-1"}
		log = append(log, casework.Logged{Index: int64(100 + i), Entry: impound.Entry{Type: impound.EntryArtefact, Name: art.Name, Artefact: &art}})
	}
	return a.WithExhibits(log)
}

func TestAppendixAsPaper(t *testing.T) {
	a := appendixOf(t)
	if len(a.Exhibits) != 49 || a.Exhibits[0].Number != "Ex. 9" || a.Exhibits[1].Number != "Ex. 10" || len(a.Exhibits[0].Items) != 1 || a.Exhibits[0].Items[0].Entry != 101 {
		t.Errorf("%d: %+v", len(a.Exhibits), a.Exhibits[:2])
	}
	dir := t.TempDir()
	if keep := os.Getenv("IMPOUND_KEEP_PAPERS"); keep != "" {
		dir = keep // to be looked at
	}
	write := func(name string, fn func(*bytes.Buffer) error) string {
		var one, two bytes.Buffer
		if err := fn(&one); err != nil {
			t.Fatal(err)
		}
		if err := fn(&two); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(one.Bytes(), two.Bytes()) {
			t.Errorf("%s: twice the same appendix, and two files", name)
		}
		f := filepath.Join(dir, name)
		if err := os.WriteFile(f, one.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		return f
	}
	pdf := write("appendix.pdf", func(b *bytes.Buffer) error { return a.PDF(b) })
	docx := write("appendix.docx", func(b *bytes.Buffer) error { return a.DOCX(b) })

	peertest.Need(t, "pdftotext", "poppler-utils")
	peertest.Need(t, "pandoc", "pandoc")
	for _, cmd := range [][]string{{"pdftotext", "-layout", pdf, "-"}, {"pandoc", "-f", "docx", "-t", "plain", "--wrap=none", docx}} {
		out, err := exec.Command(cmd[0], cmd[1:]...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		text := strings.Join(strings.Fields(string(out)), " ")
		for _, want := range []string{
			"to order O-1", "26-mj-1", "+1 555 0100", "Registry .com", "outlook-verify.net", "D123456789-NET", "Good[U+202E]gnihsihP Registrar, Inc. (IANA 9999)",
			"Set the name servers to ns1.sinkhole.example, ns2.sinkhole.example", "Ex. 9", "Ex. 10", "xn--pypal-4ve.com", "U+0430 Cyrillic", "[U+4E2D][U+56FD]", "not registered, says the registry", "not known: no answer by RDAP", "blocked", "101",
			"TRO ends", "5 December 2026", "Last Resort (IANA 2482)", "no name is to come free", "write to the court (answered within 10 days)", "in the order: D9-NET", "takes passwords", "A. Agent", "2026-11-01",
			"go the same way", "null MX", "for 3600 seconds at most", "ns1.sinkhole.example 192.0.2.53", "com locks first", "kept from registration", "later-verify.net", "last-verify.org",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%s: no %q", cmd[0], want)
			}
		}
		if strings.ContainsAny(text, "\u202e") || strings.Contains(text, "stranger.org") {
			t.Errorf("%s: a character that turns the text, or another's exhibit", cmd[0])
		}
		for _, g := range a.Groups {
			for _, n := range g.Names {
				if !strings.Contains(text, n.Name.String()) {
					t.Errorf("%s: %s is not there", cmd[0], n.Name.Defanged())
				}
			}
		}
		if cmd[0] == "pdftotext" {
			for _, want := range []string{"APPENDIX A", "G2-provider-first unknown", "1, 3–49", "TLP:", "DRAFT: signed by 0 of 2 people", "order " + a.Hash, "Page 1 of "} {
				if !strings.Contains(text, want) {
					t.Errorf("no %q", want)
				}
			}
		}
	}
}
