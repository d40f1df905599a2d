package pdfread

import (
	"bytes"
	"compress/zlib"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound/internal/document"
	"github.com/impound/impound/internal/peertest"
)

// pdf makes a small classic file of one page; content may use font /F (WinAnsi)
// and the objects from 6 on.
func pdf(content string, extra ...string) []byte {
	var b bytes.Buffer
	b.WriteString("%PDF-1.4\n1 0 obj\n<</Type/Catalog/Pages 2 0 R>>\nendobj\n2 0 obj\n<</Type/Pages/Kids[3 0 R]/Count 1>>\nendobj\n" +
		"3 0 obj\n<</Type/Page/Parent 2 0 R/MediaBox[0 0 600 800]/Resources<</Font<</F 4 0 R>>/XObject<</X 6 0 R>>>>/Contents 5 0 R/Annots[7 0 R]>>\nendobj\n" +
		"4 0 obj\n<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>\nendobj\n")
	fmt.Fprintf(&b, "5 0 obj\n<</Length %d>>\nstream\n%s\nendstream\nendobj\n", len(content), content)
	for i, x := range extra {
		fmt.Fprintf(&b, "%d 0 obj\n%s\nendobj\n", 6+i, x)
	}
	b.WriteString("trailer\n<</Root 1 0 R>>\n%%EOF\n")
	return b.Bytes()
}

func read(t *testing.T, b []byte) *File {
	t.Helper()
	f, err := Read(b)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestText(t *testing.T) {
	for content, want := range map[string]string{
		"BT /F 12 Tf 50 700 Td (outlook-verify[.]net) Tj ET":                                           "outlook-verify[.]net",
		"BT /F 12 Tf 50 700 Td (outlook\\055ver\\\nify[.]n) Tj <6574> Tj ET":                           "outlook-verify[.]net",
		"BT /F 12 Tf 50 700 Td [(outlo)-20(ok-ver)20(ify)] TJ ET":                                      "outlook-verify",
		"BT /F 12 Tf 50 700 Td [(two)-600(words)] TJ ET":                                               "two words",
		"BT /F 12 Tf 14 TL 50 700 Td (one) Tj T* (two) Tj (three) ' ET":                                "one\ntwo\nthree",
		"q 1 0 0 -1 0 800 cm BT /F 12 Tf 1 0 0 -1 50 100 Tm (up) Tj 1 0 0 -1 50 130 Tm (side) Tj ET Q": "up\nside",
		"BT /F 12 Tf 50 700 Td (caf\\351 \\223q\\224) Tj ET":                                           "café “q”",
		"BT /F 12 Tf (a) Tj ET BI /W 1 /H 1 ID xEIx EI BT /F 12 Tf 50 100 Td (b) Tj ET":                "a\nb",
	} {
		f := read(t, pdf(content))
		if got := strings.TrimSpace(f.Text); got != want || f.Pages != 1 || len(f.Problems) > 0 {
			t.Errorf("%s:\n got %q, want %q; %d pages, %v", content, got, want, f.Pages, f.Problems)
		}
	}
}

func TestLinksAndWhatItWouldRun(t *testing.T) {
	f := read(t, pdf("", "<</Type/Action/S/JavaScript/JS(app.alert)>>", "<</Type/Annot/Subtype/Link/A<</S/URI/URI(https://lure.example/x?y=1)>>>>", "<</S/Launch>>"))
	if strings.Join(f.Links, " ") != "https://lure.example/x?y=1" || strings.Join(f.Active, " ") != "JavaScript Launch" {
		t.Errorf("%v %v", f.Links, f.Active)
	}
	b := bytes.Replace(pdf("BT /F 12 Tf (secret) Tj ET"), []byte("<</Root 1 0 R>>"), []byte("<</Root 1 0 R/Encrypt 9 0 R>>"), 1)
	if f := read(t, b); !f.Encrypted || f.Text != "" || len(f.Problems) != 1 {
		t.Errorf("%+v", f)
	}
	if _, err := Read([]byte("GIF89a")); err != ErrNotPDF {
		t.Error(err)
	}
}

func deflate(b []byte) string {
	var z bytes.Buffer
	w := zlib.NewWriter(&z)
	_, _ = w.Write(b)
	_ = w.Close()
	return z.String()
}

// What tries to exhaust the reader is cut, and said.
func TestBombs(t *testing.T) {
	zeros := deflate(bytes.Repeat([]byte{' '}, 40<<20))
	twice := deflate([]byte(deflate(bytes.Repeat([]byte{0}, 60<<20))))
	stream := func(s, filter string) string {
		return fmt.Sprintf("<</Type/XObject/Subtype/Form/Filter%s/Length %d>>\nstream\n%s\nendstream", filter, len(s), s)
	}
	for name, b := range map[string][]byte{
		"flate":      pdf("/X Do", stream(zeros, "/FlateDecode")),
		"flate in":   pdf("/X Do", stream(twice, "[/FlateDecode/FlateDecode]")),
		"itself":     pdf("/X Do", "<</Type/XObject/Subtype/Form/Resources<</XObject<</X 6 0 R>>>>/Length 26>>\nstream\n/X Do /X Do /X Do /X Do /X\nendstream"),
		"deep":       append([]byte("%PDF-1.4\n1 0 obj "), bytes.Repeat([]byte("[<</A"), 200_000)...),
		"pages loop": []byte("%PDF-1.4\n1 0 obj<</Pages 2 0 R>>endobj 2 0 obj<</Kids[2 0 R 2 0 R 3 0 R]>>endobj 3 0 obj<</Kids[2 0 R]>>endobj trailer<</Root 1 0 R>>"),
		"refs loop":  []byte("%PDF-1.4\n1 0 obj 2 0 R endobj 2 0 obj 1 0 R endobj trailer<</Root 1 0 R>>"),
		"range":      pdf("BT /F 1 Tf <0000> Tj ET", "x", "x"),
		"objects":    append([]byte("%PDF-1.4\n"), bytes.Repeat([]byte("1 0 obj endobj\n"), 100_000)...),
		"image":      pdf("/X Do", "<</Subtype/Image/Width 20000/Height 20000/Length 1>>\nstream\nx\nendstream"),
	} {
		f := read(t, b)
		if strings.HasPrefix(name, "flate") && !strings.Contains(strings.Join(f.Problems, " "), "cut") {
			t.Errorf("%s: %v", name, f.Problems)
		}
		if len(f.Text) > 1<<20 {
			t.Errorf("%s: %d octets of text", name, len(f.Text))
		}
	}
}

// Our own papers, whose fonts are subsets with ToUnicode maps.
func TestOurPapers(t *testing.T) {
	d := &document.Doc{Title: "t", Blocks: []document.Block{document.Heading{Text: "Report"}, document.T("They used outlook-verify[.]net and οther[.]example, кириллица."), document.M("login[.]example")}}
	var b bytes.Buffer
	if err := d.PDF(&b); err != nil {
		t.Fatal(err)
	}
	f := read(t, b.Bytes())
	for _, want := range []string{"outlook-verify[.]net and οther[.]example, кириллица.", "login[.]example", "Page 1 of 1"} {
		if !strings.Contains(f.Text, want) {
			t.Errorf("no %q in %q", want, f.Text)
		}
	}
	if f.Unmapped > 0 || len(f.Problems) > 0 {
		t.Errorf("%+v", f)
	}
}

// A page as a browser prints it.
func TestPrintedByChromium(t *testing.T) {
	peertest.Need(t, "chromium", "chromium")
	dir := t.TempDir()
	page := filepath.Join(dir, "a.html")
	var names strings.Builder
	for i := range 60 {
		fmt.Fprintf(&names, "<li>mail-verify-%d[.]example</li>", i)
	}
	if err := os.WriteFile(page, []byte(`<meta charset=utf-8><h1>Seizure</h1><p>In case 1:19-cv-00716 the court had 41 domains taken, `+strings.Repeat("which is a long sentence that goes on ", 8)+`and names outlook-verify[.]net as one “of them” – fi fl ffi. <a href="https://link.example/?q=1">link</a><ul>`+names.String()+`</ul>`), 0o600); err != nil {
		t.Fatal(err)
	}
	out := filepath.Join(dir, "a.pdf")
	cmd := exec.Command("chromium", "--headless", "--no-sandbox", "--disable-gpu", "--user-data-dir="+filepath.Join(dir, "p"), "--print-to-pdf="+out, "file://"+page)
	if msg, err := cmd.CombinedOutput(); err != nil {
		t.Skipf("chromium doesn't print here: %v %.300s", err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	f := read(t, b)
	for _, want := range []string{"In case 1:19-cv-00716 the court had 41 domains taken, which is a long sentence", "outlook-verify[.]net as one “of them” – fi fl ffi.", "mail-verify-0[.]example\n", "mail-verify-59[.]example"} {
		if !strings.Contains(f.Text, want) {
			t.Errorf("no %q in %q", want, f.Text)
		}
	}
	if f.Pages < 2 || strings.Join(f.Links, " ") != "https://link.example/?q=1" {
		t.Errorf("%d pages, %v", f.Pages, f.Links)
	}
	t.Logf("%v", f.Problems)
}

func FuzzRead(f *testing.F) {
	f.Add(pdf("BT /F 12 Tf 50 700 Td [(a)-3(b)] TJ ET /X Do", "<</Subtype/Image/Width 2/Height 2/BitsPerComponent 8/ColorSpace[/Indexed/DeviceRGB 1 <000000FFFFFF>]/Length 4>>\nstream\n\x00\x01\x01\x00\nendstream"))
	f.Add([]byte("%PDF-1.7\n1 0 obj<</Type/ObjStm/N 2/First 10/Length 30>>stream\n5 0 6 5  <</A 1>>[1 2 R]\nendstream endobj"))
	f.Add([]byte("%PDF-1.7\n1 0 obj<</Type/Page/Contents 2 0 R/Resources<</Font<</F<</ToUnicode 3 0 R/Subtype/Type0>>>>>>>>endobj 2 0 obj<<>>stream\nBT /F 1 Tf <0041> Tj\nendstream endobj 3 0 obj<<>>stream\n1 beginbfrange <0000> <ffff> <0000> endbfrange\nendstream"))
	f.Add([]byte("%PDF-1.1\n1 0 obj<</Filter[/LZW/RL/A85/AHx]/Length 9>>stream\n\x80\x0b\x60\x50\x22\x0c\x0c\x85\x01\nendstream endobj trailer<</Root 1 0 R>>"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 1<<16 {
			return
		}
		p, err := Read(b)
		if err != nil {
			return
		}
		for _, im := range p.Images {
			if im.JPEG == nil && len(im.Grey) != im.Width*im.Height {
				t.Fatalf("%d samples of %d by %d", len(im.Grey), im.Width, im.Height)
			}
		}
		if len(p.Text) > maxText+1<<20 {
			t.Fatal("too much text")
		}
	})
}
