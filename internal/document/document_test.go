package document

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"encoding/xml"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/image/font/sfnt"

	"github.com/impound/impound/internal/peertest"
)

func paper(rows int) *Doc {
	t := Table{Caption: "Registry .com, registrar Example Registrar, Inc. (IANA 9999): many names", Head: []string{"No.", "Domain name", "Registry object id", "Exhibit", "As registered"}, Widths: []float64{0.5, 3, 1.7, 0.8, 2.6}}
	for i := range rows {
		t.Rows = append(t.Rows, []Cell{C(T(fmt.Sprint(i + 1))), C(M(fmt.Sprintf("outlook-verify-%d.example", i)), T("shown as оutlook")), C(M(fmt.Sprintf("D%09d-COM", i))), C(T("12")), C(T("created 2019-01-02, expires 2020-01-02; clientTransferProhibited, serverDeleteProhibited"))})
	}
	return &Doc{Title: "Appendix A – names", Author: "Digital Crimes Unit", Subject: "Order O-1", Created: time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), Tool: "impound test",
		Left: "Appendix to order O-1 · 1:19-cv-00716", Right: "TLP:AMBER+STRICT", Note: "DRAFT: it orders nothing", Foot: "order sha256:" + strings.Repeat("0123456789abcdef", 4),
		Blocks: []Block{Heading{Level: 0, Text: "APPENDIX A"}, Para{Centre: true, Runs: []Run{{"to the order of the District Court", Regular}}},
			Fields{{"Docket", []Run{{"1:19-cv-00716", Mono}}}, {"Court", []Run{{"United States District Court for the District of Columbia " + strings.Repeat("and more ", 30), Regular}}}},
			Heading{Level: 1, Text: "Names"}, t,
			Para{Number: "1.", Runs: []Run{{"I am ", Regular}, {"[name of the declarant]", Blank}, {" and I saw ", Regular}, {strings.Repeat("a", 300), Mono}, {" with \u202e tricks, 中文 and Ελληνικά, кириллица.", Regular}}}}}
}

func TestOctetsRepeat(t *testing.T) {
	for name, write := range map[string]func(*Doc, io.Writer) error{"pdf": (*Doc).PDF, "docx": (*Doc).DOCX} {
		var a, b bytes.Buffer
		if err := write(paper(120), &a); err != nil {
			t.Fatal(err)
		}
		if err := write(paper(120), &b); err != nil {
			t.Fatal(err)
		}
		if sha256.Sum256(a.Bytes()) != sha256.Sum256(b.Bytes()) {
			t.Errorf("%s: two writings differ", name)
		}
		if dir := os.Getenv("IMPOUND_KEEP_PAPERS"); dir != "" {
			if err := os.WriteFile(filepath.Join(dir, "paper."+name), a.Bytes(), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func run(t *testing.T, name string, args ...string) string {
	t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}

// The file as readers that others wrote see it.
func TestPDFByOtherReaders(t *testing.T) {
	peertest.Need(t, "pdftotext", "poppler-utils")
	peertest.Need(t, "pdffonts", "poppler-utils")
	peertest.Need(t, "qpdf", "qpdf")
	f := filepath.Join(t.TempDir(), "a.pdf")
	var b bytes.Buffer
	if err := paper(120).PDF(&b); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(f, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if out := run(t, "qpdf", "--check", f); !strings.Contains(out, "No syntax or stream encoding errors") {
		t.Error(out)
	}
	info := run(t, "pdfinfo", f)
	for _, want := range []string{"Appendix A – names", "Digital Crimes Unit", "A4", "Encrypted:       no", "JavaScript:      no", "CreationDate:    Sat Nov 21 12:00:00 2026 UTC"} {
		if !strings.Contains(info, want) {
			t.Errorf("pdfinfo doesn't say %q:\n%s", want, info)
		}
	}
	if m := run(t, "pdfinfo", "-meta", f); !strings.Contains(m, "<pdfaid:part>2</pdfaid:part><pdfaid:conformance>B</pdfaid:conformance>") {
		t.Error(m)
	}
	for i, line := range strings.Split(strings.TrimSpace(run(t, "pdffonts", f)), "\n") {
		if f := strings.Fields(line); i > 1 && (len(f) < 8 || strings.Join(f[len(f)-5:len(f)-2], " ") != "yes yes yes") {
			t.Errorf("not embedded, no subset, or no way back to Unicode: %s", line)
		}
	}
	text := run(t, "pdftotext", "-layout", f, "-")
	for _, want := range []string{"outlook-verify-0.example", "outlook-verify-119.example", "(continued)", "Page 1 of ", "TLP:AMBER+STRICT", "DRAFT: it orders nothing", "Ελληνικά, кириллица", "[U+202E] tricks", "[U+4E2D][U+6587]", "[name of the declarant]", strings.Repeat("0123456789abcdef", 4)} {
		if !strings.Contains(text, want) {
			t.Errorf("the text lacks %q", want)
		}
	}
	pages := strings.Count(text, "\f")
	if n := strings.Count(text, fmt.Sprintf(" of %d", pages)); n != pages || strings.Count(text, "Registry object id") != strings.Count(text, "Registry .com, registrar") || strings.Count(text, "Registry object id") < pages-1 {
		t.Errorf("%d pages, %d numbered, %d with the table's head", pages, n, strings.Count(text, "Registry object id"))
	}
}

func TestDOCXIsWellFormed(t *testing.T) {
	var b bytes.Buffer
	d := paper(3)
	d.Title = "a & b <c>\x00"
	if err := d.DOCX(&b); err != nil {
		t.Fatal(err)
	}
	z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range z.File {
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		for x := xml.NewDecoder(r); ; {
			if _, err := x.Token(); err == io.EOF {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
		}
	}
	peertest.Need(t, "pandoc", "pandoc")
	f := filepath.Join(t.TempDir(), "a.docx")
	if err := os.WriteFile(f, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	text := run(t, "pandoc", "-f", "docx", "-t", "plain", "--wrap=none", f)
	for _, want := range []string{"outlook-verify-2.example", "[U+202E] tricks", "[name of the declarant]", "1:19-cv-00716"} {
		if !strings.Contains(text, want) {
			t.Errorf("pandoc reads no %q in:\n%s", want, text)
		}
	}
}

func TestSubsetIsAFont(t *testing.T) {
	for _, f := range faces() {
		used := map[sfnt.GlyphIndex]rune{}
		for _, r := range "Aбγé1" {
			used[f.of(r).id] = r
		}
		b, err := f.subset(used)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > len(f.ttf)/2 {
			t.Errorf("%s: %d of %d octets left", f.name, len(b), len(f.ttf))
		}
		if sum32(b) != 0xb1b0afba {
			t.Errorf("%s: wrong sum", f.name)
		}
	}
}

func TestSafe(t *testing.T) {
	for in, want := range map[string]string{
		"plain é ß":             "plain é ß",
		"a\x00b\tc\r\nd":        "a[U+0000]b c  d",
		"pay\u202epal":          "pay[U+202E]pal",
		"zero\u200bwidth":       "zero[U+200B]width",
		"e\u0301":               "e[U+0301]",
		"中":                     "[U+4E2D]",
		"\xff":                  "[0xFF]",
		"\ufffd":                "[U+FFFD]",
		"gооgle":                "gооgle", // covered: said by Foreign
		"a\u00adb\u2028c\ufeff": "a[U+00AD]b[U+2028]c[U+FEFF]",
	} {
		if got := Safe(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	if d := cmp.Diff([]string{"о U+043E Cyrillic", "U+4E2D Han"}, Foreign("gооgle中")); d != "" {
		t.Error(d)
	}
	if d := cmp.Diff([]string{"Latin", "Cyrillic"}, Scripts("goо-1.com")); d != "" {
		t.Error(d)
	}
}

func TestMarkdown(t *testing.T) {
	evil := "# **x** | `y` [[z]]\n- \\ <b>"
	in := "# Title\n\nSome **bold** and `fixed`\ntext [[who you are]].\n\n1. first " + Escape(evil) + "\n2. second\n\n| a | b |\n|---|------|\n| x\\|y | `z` |\n\n---\n## Next\n- item"
	got := Markdown(in)
	want := []Block{
		Heading{Text: "Title"},
		Para{Runs: []Run{{"Some ", Regular}, {"bold", Bold}, {" and ", Regular}, {"fixed", Mono}, {" text ", Regular}, {"[who you are]", Blank}, {".", Regular}}},
		Para{Number: "1.", Runs: []Run{{"first # **x** | `y` [[z]] - \\ <b>", Regular}}},
		Para{Number: "2.", Runs: []Run{{"second", Regular}}},
		Table{Head: []string{"a", "b"}, Widths: []float64{3, 6}, Rows: [][]Cell{{{Para{Runs: []Run{{"x|y", Regular}}}}, {Para{Runs: []Run{{"z", Mono}}}}}}},
		Break{},
		Heading{Level: 1, Text: "Next"},
		Para{Number: "–", Runs: []Run{{"item", Regular}}},
	}
	if d := cmp.Diff(want, got); d != "" {
		t.Error(d)
	}
}

// FuzzPaper lets strangers' text into every place of a paper.
func FuzzPaper(f *testing.F) {
	f.Add("plain")
	f.Add(") Tj ET \u202e <>&\x00 中 " + strings.Repeat("x", 500))
	f.Add("# a\n|b|\n|-|\n1. **c** `d` [[e")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 4096 {
			return
		}
		got := Markdown(Escape(s))
		if len(got) > 1 {
			t.Fatalf("%q: became %d blocks", s, len(got))
		}
		if len(got) == 1 {
			if p, ok := got[0].(Para); !ok || len(p.Runs) > 1 {
				if !ok || p.Number == "" {
					t.Fatalf("%q: %#v", s, got)
				}
			}
		}
		d := &Doc{Title: s, Author: s, Subject: s, Left: s, Right: "TLP:RED", Note: s, Foot: s, Blocks: append(Markdown(s), Heading{Level: 1, Text: s}, T(s), Fields{{s, []Run{{s, Mono}}}}, Table{Caption: s, Head: []string{s, "b"}, Rows: [][]Cell{{C(M(s)), C(T(s), B(s))}}})}
		if err := d.PDF(io.Discard); err != nil {
			t.Fatal(err)
		}
		var b bytes.Buffer
		if err := d.DOCX(&b); err != nil {
			t.Fatal(err)
		}
		z, err := zip.NewReader(bytes.NewReader(b.Bytes()), int64(b.Len()))
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range z.File {
			r, _ := f.Open()
			for x := xml.NewDecoder(r); ; {
				if _, err := x.Token(); err == io.EOF {
					break
				} else if err != nil {
					t.Fatalf("%s: %v", f.Name, err)
				}
			}
		}
	})
}

// A heading never stands alone at the foot of a page: what it is the heading of
// begins beneath it.
func TestHeadingsStayWithTheirTables(t *testing.T) {
	peertest.Need(t, "pdftotext", "poppler-utils")
	for lines := 28; lines < 48; lines++ { // about a page
		d := &Doc{Title: "x"}
		for range lines {
			d.Blocks = append(d.Blocks, T("a line"))
		}
		d.Blocks = append(d.Blocks, Heading{Level: 1, Text: "Lonely"}, Heading{Level: 2, Text: "Second"}, Table{Head: []string{"Column", "Other"}, Widths: []float64{1, 1}, Rows: [][]Cell{{C(T("first row")), C(T("y"))}}})
		f := filepath.Join(t.TempDir(), "x.pdf")
		var b bytes.Buffer
		if err := d.PDF(&b); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(f, b.Bytes(), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("pdftotext", "-layout", f, "-").Output()
		if err != nil {
			t.Fatal(err)
		}
		for page := range strings.SplitSeq(string(out), "\f") {
			if strings.Contains(page, "Lonely") && !strings.Contains(page, "first row") {
				t.Errorf("behind %d lines the heading stands alone", lines)
			}
		}
	}
}
