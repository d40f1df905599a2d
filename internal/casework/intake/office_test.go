package intake

import (
	"archive/zip"
	"bytes"
	"encoding/base64"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf16"

	"github.com/impound/impound/internal/document"
	"github.com/impound/impound/internal/peertest"
)

func zipped(t testing.TB, parts ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	z := zip.NewWriter(&b)
	for i := 0; i < len(parts); i += 2 {
		w, err := z.Create(parts[i])
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(parts[i+1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func word(body string) string {
	return `<?xml version="1.0"?><w:document xmlns:w="w"><w:body>` + body + `</w:body></w:document>`
}

const report = `# Paper Tiger

In case 1:19-cv-00716 the court had **41 domains** taken over from Paper Tiger, also known as Charming Kitten and APT35, in a long sentence that goes over the end of a line and ends here.

Its names were outlook-verify[.]net, hxxps://yahoo-verify(.)net/login?u=jane and www[.]news-site-verify[.]com; the report stands at https://publisher-site.org/report and quotes Jane Doe (jane.doe@victim-ngo.org).
`

// The same report as PDF and DOCX by our own writer and by others'.
func TestPDFAndDOCX(t *testing.T) {
	t.Parallel() // behind the others: it waits for programs
	d := &document.Doc{Title: "report", Blocks: document.Markdown(strings.NewReplacer("[", "\\[", "]", "\\]").Replace(report))}
	files := map[string][]byte{}
	for name, write := range map[string]func(*bytes.Buffer) error{"ours.pdf": func(b *bytes.Buffer) error { return d.PDF(b) }, "ours.docx": func(b *bytes.Buffer) error { return d.DOCX(b) }} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		files[name] = b.Bytes()
	}
	dir := t.TempDir()
	t.Run("others", func(t *testing.T) {
		peertest.Need(t, "pandoc", "pandoc")
		md := filepath.Join(dir, "r.md")
		if err := os.WriteFile(md, []byte(strings.NewReplacer("[", "\\[", "]", "\\]", "hxxps://", "hxxps\\://").Replace(report)), 0o600); err != nil {
			t.Fatal(err)
		}
		out := filepath.Join(dir, "r.docx")
		if msg, err := exec.Command("pandoc", "-f", "markdown", "-o", out, md).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, msg)
		}
		files["pandoc.docx"], _ = os.ReadFile(out)
		peertest.Need(t, "soffice", "libreoffice-writer-nogui")
		if msg, err := exec.Command("soffice", "-env:UserInstallation=file://"+dir+"/lo", "--headless", "--convert-to", "pdf", "--outdir", dir, out).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, msg)
		}
		files["libreoffice.pdf"], _ = os.ReadFile(filepath.Join(dir, "r.pdf"))
	})
	for name, b := range files {
		f := Read("upload", b, Options{}) // no ending: told by its content
		if want := name[strings.LastIndexByte(name, '.')+1:]; f.Format != want || len(f.Problems) > 0 {
			t.Errorf("%s: %s, %v", name, f.Format, f.Problems)
		}
		if got := strings.Join(proposed(f), " "); got != "outlook-verify.net yahoo-verify.net www.news-site-verify.com" {
			t.Errorf("%s: proposed %s", name, got)
		}
		if len(f.Dockets) != 1 || f.Dockets[0].Value != "1:19-cv-00716" || len(f.Counts) != 1 || f.Counts[0].N != 41 || len(f.Aliases) != 3 {
			t.Errorf("%s: %+v %+v %+v", name, f.Dockets, f.Counts, f.Aliases)
		}
		if all := fmt.Sprintf("%+v", f); strings.Contains(all, "jane") || !strings.Contains(all, "ends here") {
			t.Errorf("%s: %s", name, all)
		}
	}
}

func TestDOCXParts(t *testing.T) {
	b := zipped(t, "[Content_Types].xml", "<x/>",
		"word/document.xml", word(`<w:p><w:r><w:t>outlook-ver</w:t></w:r><w:r><w:rPr/><w:t>ify[.]net</w:t></w:r><w:del><w:r><w:delText>deleted[.]net</w:delText></w:r></w:del></w:p><w:p><w:r><w:t>broken[.]</w:t></w:r></w:p><w:p><w:r><w:t>net</w:t></w:r></w:p><w:p><w:r><w:instrText> HYPERLINK "https://field-link.net/x?jane"</w:instrText></w:r></w:p>`),
		"word/footnotes.xml", word(`<w:p><w:r><w:t>note-verify[.]net</w:t></w:r></w:p>`), "word/header2.xml", word(`<w:p><w:r><w:t>head-verify[.]net</w:t></w:r></w:p>`),
		"word/_rels/document.xml.rels", `<Relationships><Relationship Type="http://x/hyperlink" Target="https://rel-link.net/y?jane" TargetMode="External"/><Relationship Type="http://x/attachedTemplate" Target="https://evil-template.net/a.dotm" TargetMode="External"/></Relationships>`)
	f := Read("x", b, Options{})
	if got := strings.Join(proposed(f), " "); got != "outlook-verify.net broken.net note-verify.net head-verify.net" {
		t.Errorf("%s %v", got, f.Problems)
	}
	all := fmt.Sprintf("%+v", f)
	for _, no := range []string{"deleted.net", "jane"} {
		if strings.Contains(all, no) {
			t.Errorf("%s is in %s", no, all)
		}
	}
	for _, want := range []string{"field-link.net", "rel-link.net"} {
		if !strings.Contains(all, want) {
			t.Errorf("no %s in %s", want, all)
		}
	}
}

// What tries to exhaust or to deceive is said, and what came before is kept.
func TestHostileFiles(t *testing.T) {
	good := `<w:p><w:r><w:t>outlook-verify[.]net</w:t></w:r></w:p>`
	defer func(n int) { maxUnpacked = n }(maxUnpacked)
	maxUnpacked = 4 << 20
	huge := strings.Repeat(" ", 5<<20)
	for name, tt := range map[string]struct {
		b     []byte
		want  string
		names string
	}{
		"zip bomb":       {zipped(t, "word/document.xml", word(good)+huge), "unpacks to more than", "outlook-verify.net"},
		"many bombs":     {zipped(t, "word/document.xml", word(good), "word/header1.xml", word(huge[:5<<19]), "word/header2.xml", word(huge[:5<<19])), "unpacks to more than", "outlook-verify.net"},
		"xml bomb":       {zipped(t, "word/document.xml", `<!DOCTYPE l [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]>`+word(good+"&b;")), "declares a document type", ""},
		"entity":         {zipped(t, "word/document.xml", word(good+"<w:p><w:t>&b;</w:t></w:p>")), "invalid character entity", "outlook-verify.net"},
		"deep":           {zipped(t, "word/document.xml", word(good+strings.Repeat("<a>", 100_000))), "deep in each other", "outlook-verify.net"},
		"other zip":      {zipped(t, "a.txt", "outlook-verify[.]net"), "neither text nor", ""},
		"broken zip":     {[]byte("PK\x03\x04 outlook-verify[.]net"), "can't be unpacked", ""},
		"octets":         {[]byte("a\x00outlook-verify[.]net"), "neither text nor", ""},
		"encrypted pdf":  {[]byte("%PDF-1.4\n1 0 obj(outlook-verify[.]net)endobj trailer<</Encrypt 2 0 R>>"), "encrypted", ""},
		"pdf of nothing": {[]byte("%PDF-1.4\noutlook-verify[.]net"), "no page", ""},
		"scanned pdf":    {[]byte("%PDF-1.4\n1 0 obj<</Type/Page/Contents 2 0 R>>endobj 2 0 obj<<>>stream\n\nendstream endobj"), "may be scanned", ""},
	} {
		f := Read("x", tt.b, Options{})
		if got := strings.Join(proposed(f), " "); got != tt.names || len(f.Problems) == 0 || !strings.Contains(f.Problems.Error(), tt.want) {
			t.Errorf("%s: %q, %v", name, got, f.Problems)
		}
		for _, p := range f.Problems {
			if p.Cure == "" || p.Where != "x" {
				t.Errorf("%s: %v", name, p)
			}
		}
	}
}

func TestMailByContent(t *testing.T) {
	d := &document.Doc{Blocks: []document.Block{document.T("They used attached-verify[.]net, says Jane Secret.")}}
	var pdf bytes.Buffer
	if err := d.PDF(&pdf); err != nil {
		t.Fatal(err)
	}
	eml := "Received: from a by b; Sat, 21 Nov 2026 12:00:00 +0000\r\nFrom: <a@b.example>\r\nSubject: report\r\nMIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=B\r\n\r\n--B\r\n\r\nThey used body-verify[.]net.\r\n--B\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString(pdf.Bytes()) + "\r\n--B--\r\n"
	for _, in := range []string{eml, "From a@b.example Sat Nov 21 12:00:00 2026\n" + eml} {
		f := Read("-", []byte(in), Options{})
		if got := strings.Join(proposed(f), " "); f.Format != "mail" || got != "body-verify.net attached-verify.net" || strings.Contains(fmt.Sprintf("%+v", f), "Secret") {
			t.Errorf("%s %s: %+v", f.Format, got, f)
		}
	}
	for _, in := range []string{"From: what we know, outlook-verify[.]net is theirs.\n\nMore.", "Date: 2026\nTo: do\n\nlist", "Subject: x\nDate: y\nno mail"} {
		if f := Read("-", []byte(in), Options{}); f.Format != "text" {
			t.Errorf("%q: %s", in, f.Format)
		}
	}
	var wide []byte
	for _, u := range utf16.Encode([]rune("\ufeffThey used wide-verify[.]net.")) {
		wide = append(wide, byte(u), byte(u>>8))
	}
	if f := Read("-", wide, Options{}); strings.Join(proposed(f), " ") != "wide-verify.net" {
		t.Errorf("%+v", f)
	}
}

func FuzzFiles(f *testing.F) {
	f.Add(zipped(f, "word/document.xml", word(`<w:p><w:r><w:t>outlook-verify[.]net</w:t></w:r></w:p>`), "word/_rels/document.xml.rels", `<R><Relationship Type="a/hyperlink" Target="http://a.example" TargetMode="External"/></R>`))
	f.Add([]byte("%PDF-1.4\n1 0 obj<</Type/Page/Contents 2 0 R>>endobj 2 0 obj<<>>stream\nBT (a) Tj ET\nendstream endobj"))
	f.Add([]byte("From: a@b.example\nTo: c\nSubject: d\n\noutlook-verify[.]net"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<15 {
			return
		}
		fs := Read("x", b, Options{})
		for _, n := range fs.Names {
			if n.Name.Labels() < 2 || n.Why == "" || n.Sentence == "" {
				t.Fatalf("%+v", n)
			}
		}
	})
}
