package intake

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/pdfread"
)

// Limits of a file of parts.
const (
	maxFiles    = 5000 // in a zip
	maxXMLDepth = 200
	maxLinks    = 10_000
)

// maxUnpacked bounds the octets of those parts that are read; a variable for the
// tests' sake.
var maxUnpacked = 64 << 20

// isPDF and isZip tell by content.
func isPDF(data []byte) bool { return pdfread.Is(data) }
func isZip(data []byte) bool { return bytes.HasPrefix(data, []byte("PK\x03\x04")) }

func (r *reader) problem(cure, format string, args ...any) {
	r.f.Problems = append(r.f.Problems, impound.Errorf(impound.KindInvalid, format, args...).At(r.f.File).WithCure(cure))
}

// pdf reads the text and the links of a PDF.
func (r *reader) pdf(data []byte) {
	p, err := pdfread.Read(data)
	if err != nil {
		r.problem("export it as text, or paste the text", "the PDF can't be read: %w", err)
		return
	}
	if p.Encrypted {
		r.problem("open it with its password, and save it without one, or paste the text", "the PDF is encrypted: nothing inside was read")
		return
	}
	for _, x := range p.Problems {
		r.problem("look whether something is missing; paste the text if so", "the PDF was read in part: %s", x)
	}
	letters := 0
	for _, c := range p.Text {
		if c > ' ' && c != '\uFFFD' {
			letters++
		}
	}
	switch {
	case letters == 0 && p.Pages > 0:
		r.problem("have its text recognised (OCR), or paste the text", "the PDF holds pages but no text: it may be scanned")
	case p.Unmapped > letters/4:
		r.problem("open it and paste the text", "the PDF doesn't say what its letters mean: %d can't be read", p.Unmapped)
	}
	for page := range strings.SplitSeq(p.Text, "\f") {
		r.text(page, false)
	}
	for _, l := range p.Links {
		r.indicator(l, false, "", "set apart: a link in the PDF; tick it when it is the lure")
	}
}

// docxParts are the parts of a text document that people read, in reading order.
var docxParts = lazy(`^word/(?:document|footnotes|endnotes|comments|header\d*|footer\d*)\.xml$`)

// docx reads the text of a Word document: body, notes, comments, headers, and
// the targets of links. Deleted text is left out. It says false for another kind
// of zip.
func (r *reader) docx(data []byte) bool {
	z, err := zip.NewReader(bytes.NewReader(data), int64(len(data)))
	if err != nil {
		r.problem("save it again, or paste the text", "the file can't be unpacked: %w", err)
		return true
	}
	if len(z.File) > maxFiles {
		r.problem("unpack it in a safe place", "the file holds %d parts: no text document does", len(z.File))
		return true
	}
	isDoc, left := false, maxUnpacked
	var rels []*zip.File
	var parts []*zip.File
	for _, f := range z.File {
		n := strings.TrimPrefix(path.Clean("/"+f.Name), "/")
		switch {
		case n == "word/document.xml":
			isDoc = true
			parts = slices.Insert(parts, 0, f)
		case docxParts().MatchString(n):
			parts = append(parts, f)
		case strings.HasPrefix(n, "word/_rels/"):
			rels = append(rels, f)
		}
	}
	if !isDoc {
		return false
	}
	r.f.Format = "docx"
	read := func(f *zip.File, fn func(io.Reader) error) {
		if f.Flags&1 != 0 {
			r.problem("save it without a password", "%s is encrypted", f.Name)
			return
		}
		o, err := f.Open()
		if err == nil {
			lr := &io.LimitedReader{R: o, N: int64(left)}
			err = fn(lr)
			if lr.N <= 0 {
				err = fmt.Errorf("it unpacks to more than %d octets", maxUnpacked)
			}
			left = int(max(0, lr.N))
			o.Close()
		}
		if err != nil {
			r.problem("open it and paste the text", "%s was read in part: %w", f.Name, err)
		}
	}
	var text strings.Builder
	var links []string
	for _, f := range parts {
		read(f, func(in io.Reader) error { return docxText(in, &text, &links) })
		text.WriteString("\n\n")
	}
	r.text(text.String(), false)
	for _, f := range rels {
		read(f, func(in io.Reader) error { return relLinks(in, &links) })
	}
	for _, l := range links {
		r.indicator(l, false, "", "set apart: a link in the document; tick it when it is the lure")
	}
	return true
}

var fieldLink = lazy(`(?i)\bHYPERLINK\s+"(https?://[^"]+)"`)

// docxText writes the text of a part, a paragraph a line. Entities beyond XML's
// own five are errors, so nothing can grow by them.
func docxText(in io.Reader, out *strings.Builder, links *[]string) error {
	d := xml.NewDecoder(in)
	depth := 0
	var in1, del bool // within w:t, within deleted text
	var instr strings.Builder
	inInstr := false
	// What ends a paragraph, a cell or a row is written before the next text, so
	// that a row of a table stays a line.
	cells, waits := 0, ""
	flush := func() {
		out.WriteString(waits)
		waits = ""
	}
	for {
		t, err := d.RawToken()
		if err == io.EOF {
			flush()
			return nil
		}
		if err != nil {
			return err
		}
		switch t := t.(type) {
		case xml.Directive:
			return fmt.Errorf("it declares a document type, which no such part does")
		case xml.StartElement:
			if depth++; depth > maxXMLDepth {
				return fmt.Errorf("its parts lie more than %d deep in each other", maxXMLDepth)
			}
			switch t.Name.Local {
			case "t":
				in1 = true
			case "delText":
				del = true
			case "instrText":
				inInstr = true
			case "tc":
				cells++
			case "tab":
				flush()
				out.WriteByte(' ')
			case "br", "cr":
				flush()
				out.WriteByte('\n')
			case "noBreakHyphen":
				flush()
				out.WriteByte('-')
			case "fldSimple":
				for _, a := range t.Attr {
					if a.Name.Local == "instr" {
						instr.WriteString(a.Value + "\n")
					}
				}
			}
		case xml.EndElement:
			depth--
			switch t.Name.Local {
			case "t":
				in1 = false
			case "delText":
				del = false
			case "instrText":
				inInstr = false
			case "tc":
				cells = max(0, cells-1)
				waits = "\t"
			case "tr":
				waits = "\n"
			case "p":
				if cells == 0 {
					flush()
				}
				waits = "\n"
				if instr.Len() > 0 {
					for _, m := range fieldLink().FindAllStringSubmatch(instr.String(), 100) {
						if len(*links) < maxLinks {
							*links = append(*links, m[1])
						}
					}
					instr.Reset()
				}
			}
		case xml.CharData:
			switch {
			case in1 && !del:
				flush()
				out.Write(t)
			case inInstr && instr.Len() < 1<<16:
				instr.Write(t)
			}
		}
	}
}

// relLinks reads the links of a part's relationships.
func relLinks(in io.Reader, links *[]string) error {
	d := xml.NewDecoder(in)
	for {
		t, err := d.RawToken()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		e, ok := t.(xml.StartElement)
		if !ok || e.Name.Local != "Relationship" {
			continue
		}
		var target string
		external, link := false, false
		for _, a := range e.Attr {
			switch a.Name.Local {
			case "Target":
				target = a.Value
			case "TargetMode":
				external = a.Value == "External"
			case "Type":
				link = strings.HasSuffix(a.Value, "/hyperlink")
			}
		}
		if external && link && len(*links) < maxLinks && (strings.HasPrefix(target, "http://") || strings.HasPrefix(target, "https://")) {
			*links = append(*links, target)
		}
	}
}

// attached reads a PDF or a Word document within a mail.
func (r *reader) attached(data []byte) {
	format := r.f.Format
	switch {
	case isPDF(data):
		r.pdf(data)
	case isZip(data):
		r.docx(data)
	}
	r.f.Format = format
}

// headRule is a header that only mails begin with.
var headRule = lazy(`(?i)^(?:received|return-path|delivered-to|from|to|message-id|mime-version|dkim-signature|arc-[a-z-]+|authentication-results|subject|date|x-[a-z0-9-]+|reply-to|content-type):`)

// looksLikeMail tells a mail by its first lines.
func looksLikeMail(s string) bool {
	s = s[:min(len(s), 64<<10)]
	s = strings.TrimPrefix(s, "\ufeff")
	if line, rest, _ := strings.Cut(s, "\n"); strings.HasPrefix(line, "From ") { // mbox
		s = rest
	}
	if !headRule().MatchString(s) {
		return false
	}
	head, _, ok := strings.Cut(strings.ReplaceAll(s, "\r\n", "\n"), "\n\n")
	if !ok {
		return false
	}
	head = "\n" + strings.ToLower(head)
	n := 0
	for _, h := range []string{"\nreceived:", "\nmessage-id:", "\nmime-version:", "\ndate:", "\nsubject:", "\nto:", "\ncontent-type:"} {
		if strings.Contains(head, h) {
			n++
		}
	}
	return n >= 2 && (strings.Contains(head, "\nfrom:") || strings.Contains(head, "\nreceived:"))
}
