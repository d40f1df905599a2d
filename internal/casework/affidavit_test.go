package casework_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/document"
)

func statement(t *testing.T) casework.Statement {
	t.Helper()
	a := appendixOf(t)
	a.Authority.Judge = "Hon. [[X]] | **Y**\n# Z"
	return casework.NewStatement(a, casework.Head{Origin: "log.example", Root: "AbC=", Size: 120}, func(it casework.ExhibitItem) string {
		return "parent of outlook-verify[.]net: ns ns1[.]host | it"
	})
}

func TestStatement(t *testing.T) {
	s := statement(t)
	for _, name := range casework.Templates() {
		text, err := casework.Template(name)
		if err != nil {
			t.Fatal(err)
		}
		md, err := s.Fill(name, text)
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"outlook-verify.net", impound.HashBytes([]byte("outlook-verify.net"))[7:], "| 101 |", "ns1\\[.\\]host \\| it", s.OrderHash, "log.example", "49 domain names", "[[full name of the "} {
			if !strings.Contains(md, want) {
				t.Errorf("%s: no %q in:\n%s", name, want, md)
			}
		}
		for _, opinion := range []string{"malicious", "phishing", "score", "G1-", "APT35", "warn"} {
			if strings.Contains(md, opinion) {
				t.Errorf("%s: holds an opinion: %q", name, opinion)
			}
		}
		d := s.Paper(name, md)
		// The judge's name tried to add a blank, a cell and a heading.
		if n := document.Blanks(d.Blocks); n != strings.Count(text, "[[") || !strings.Contains(d.Note, "DRAFT") {
			t.Errorf("%s: %d places to fill in, the template has %d", name, n, strings.Count(text, "[["))
		}
		for _, b := range d.Blocks {
			if tab, ok := b.(document.Table); ok {
				for _, r := range tab.Rows {
					if len(r) != len(tab.Head) {
						t.Errorf("%s: a row of %d cells under %d heads: %v", name, len(r), len(tab.Head), r)
					}
				}
			}
		}
		dir := t.TempDir()
		if keep := os.Getenv("IMPOUND_KEEP_PAPERS"); keep != "" {
			dir = keep
		}
		var pdf, docx bytes.Buffer
		if err := d.PDF(&pdf); err != nil {
			t.Fatal(err)
		}
		if err := d.DOCX(&docx); err != nil {
			t.Fatal(err)
		}
		_ = os.WriteFile(filepath.Join(dir, name+".pdf"), pdf.Bytes(), 0o600)
		_ = os.WriteFile(filepath.Join(dir, name+".docx"), docx.Bytes(), 0o600)
	}
}

func TestTemplatesOfUsers(t *testing.T) {
	s := statement(t)
	for text, want := range map[string]string{
		"{{.NoSuchThing}}": "can't evaluate field NoSuchThing",
		"{{range .Names}}": "unexpected EOF",
		"{{define \"a\"}}{{template \"a\"}}{{end}}{{template \"a\"}}":                                                     "exceeded maximum template depth",
		"{{range 100000000}}{{$.Order}} and more of it, again and again, until it is too long for anybody to read{{end}}": "longer than",
		"\xff": "UTF-8",
	} {
		if _, err := s.Fill("ours.md", text); err == nil || !strings.Contains(err.Error(), want) || impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), "ours.md") {
			t.Errorf("%.40q: %v", text, err)
		}
	}
	if md, err := s.Fill("ours.md", "{{.Order}} {{join .Defendants \"; \"}}"); err != nil || !strings.HasPrefix(md, "O-1") {
		t.Errorf("%q %v", md, err)
	}
	for _, name := range []string{"", "..", "../affidavit", "nosuch"} {
		if _, err := casework.Template(name); impound.KindOf(err) != impound.KindNotFound {
			t.Errorf("%q: %v", name, err)
		}
	}
}
