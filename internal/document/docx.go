package document

import (
	"archive/zip"
	"bytes"
	"fmt"
	"io"
	"time"
)

const (
	nsW = `xmlns:w="http://schemas.openxmlformats.org/wordprocessingml/2006/main" xmlns:r="http://schemas.openxmlformats.org/officeDocument/2006/relationships"`
	dec = `<?xml version="1.0" encoding="UTF-8" standalone="yes"?>` + "\n"
)

// DOCX writes d as an Office Open XML text document (ISO/IEC 29500
// transitional): styles, tables with repeated heads, page numbers; nothing that
// reaches outside.
func (d *Doc) DOCX(w io.Writer) error {
	var body bytes.Buffer
	for _, b := range d.Blocks {
		docxBlock(&body, b)
	}
	doc := dec + `<w:document ` + nsW + `><w:body>` + body.String() +
		fmt.Sprintf(`<w:sectPr><w:headerReference w:type="default" r:id="rId2"/><w:footerReference w:type="default" r:id="rId3"/><w:pgSz w:w="%d" w:h="%d"/><w:pgMar w:top="%d" w:right="%d" w:bottom="%d" w:left="%d" w:header="680" w:footer="480" w:gutter="0"/></w:sectPr></w:body></w:document>`,
			twips(pageW), twips(pageH), twips(top), twips(marginX), twips(bottom), twips(marginX))
	note := ""
	if d.Note != "" {
		note = `<w:p><w:pPr><w:jc w:val="center"/></w:pPr>` + docxRun(Run{d.Note, Bold}, 17) + `</w:p>`
	}
	tabs := fmt.Sprintf(`<w:tabs><w:tab w:val="right" w:pos="%d"/></w:tabs>`, twips(textW))
	edge := func(side string) string {
		return `<w:pBdr><w:` + side + ` w:val="single" w:sz="4" w:space="4" w:color="auto"/></w:pBdr>`
	}
	header := dec + `<w:hdr ` + nsW + `><w:p><w:pPr>` + edge("bottom") + tabs + `</w:pPr>` + docxRun(Run{d.Left, Regular}, 17) + `<w:r><w:tab/></w:r>` + docxRun(Run{d.Right, Bold}, 18) + `</w:p>` + note + `</w:hdr>`
	field := func(f string) string {
		return `<w:fldSimple w:instr=" ` + f + ` "><w:r><w:rPr><w:sz w:val="17"/></w:rPr><w:t>1</w:t></w:r></w:fldSimple>`
	}
	footer := dec + `<w:ftr ` + nsW + `><w:p><w:pPr>` + edge("top") + tabs + `</w:pPr>` + docxRun(Run{d.Foot, Mono}, 12) + `<w:r><w:tab/></w:r>` + docxRun(Run{"Page ", Regular}, 17) + field("PAGE") + docxRun(Run{" of ", Regular}, 17) + field("NUMPAGES") + `</w:p></w:ftr>`
	at := d.Created.UTC().Format("2006-01-02T15:04:05Z")
	core := dec + `<cp:coreProperties xmlns:cp="http://schemas.openxmlformats.org/package/2006/metadata/core-properties" xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:dcterms="http://purl.org/dc/terms/" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">` +
		`<dc:title>` + xmlText(d.Title) + `</dc:title><dc:subject>` + xmlText(d.Subject) + `</dc:subject><dc:creator>` + xmlText(d.Author) + `</dc:creator><dcterms:created xsi:type="dcterms:W3CDTF">` + at + `</dcterms:created><dcterms:modified xsi:type="dcterms:W3CDTF">` + at + `</dcterms:modified></cp:coreProperties>`
	const ct = `application/vnd.openxmlformats-officedocument.wordprocessingml.`
	const rt = `http://schemas.openxmlformats.org/officeDocument/2006/relationships/`
	files := []struct{ name, text string }{
		{"[Content_Types].xml", dec + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types"><Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" ContentType="application/xml"/>` +
			`<Override PartName="/word/document.xml" ContentType="` + ct + `document.main+xml"/><Override PartName="/word/styles.xml" ContentType="` + ct + `styles+xml"/><Override PartName="/word/header1.xml" ContentType="` + ct + `header+xml"/><Override PartName="/word/footer1.xml" ContentType="` + ct + `footer+xml"/>` +
			`<Override PartName="/docProps/core.xml" ContentType="application/vnd.openxmlformats-package.core-properties+xml"/></Types>`},
		{"_rels/.rels", dec + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="` + rt + `officeDocument" Target="word/document.xml"/><Relationship Id="rId2" Type="http://schemas.openxmlformats.org/package/2006/relationships/metadata/core-properties" Target="docProps/core.xml"/></Relationships>`},
		{"docProps/core.xml", core},
		{"word/_rels/document.xml.rels", dec + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships"><Relationship Id="rId1" Type="` + rt + `styles" Target="styles.xml"/><Relationship Id="rId2" Type="` + rt + `header" Target="header1.xml"/><Relationship Id="rId3" Type="` + rt + `footer" Target="footer1.xml"/></Relationships>`},
		{"word/document.xml", doc},
		{"word/footer1.xml", footer},
		{"word/header1.xml", header},
		{"word/styles.xml", docxStyles},
	}
	z := zip.NewWriter(w)
	for _, f := range files {
		// One date for all: the octets are to repeat.
		fw, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			return fmt.Errorf("couldn't write %s: %w", f.name, err)
		}
		if _, err := io.WriteString(fw, f.text); err != nil {
			return fmt.Errorf("couldn't write %s: %w", f.name, err)
		}
	}
	return z.Close()
}

const docxStyles = dec + `<w:styles ` + nsW + `><w:docDefaults><w:rPrDefault><w:rPr><w:rFonts w:ascii="Arial" w:hAnsi="Arial" w:cs="Arial" w:eastAsia="Arial"/><w:sz w:val="20"/><w:szCs w:val="20"/><w:lang w:val="en-US"/></w:rPr></w:rPrDefault><w:pPrDefault><w:pPr><w:spacing w:after="100"/></w:pPr></w:pPrDefault></w:docDefaults>` +
	`<w:style w:type="paragraph" w:default="1" w:styleId="Normal"><w:name w:val="Normal"/></w:style>` +
	`<w:style w:type="paragraph" w:styleId="Title"><w:name w:val="Title"/><w:basedOn w:val="Normal"/><w:pPr><w:keepNext/><w:jc w:val="center"/></w:pPr><w:rPr><w:b/><w:sz w:val="32"/></w:rPr></w:style>` +
	`<w:style w:type="paragraph" w:styleId="Heading1"><w:name w:val="heading 1"/><w:basedOn w:val="Normal"/><w:pPr><w:keepNext/><w:spacing w:before="200"/><w:outlineLvl w:val="0"/></w:pPr><w:rPr><w:b/><w:sz w:val="25"/></w:rPr></w:style>` +
	`<w:style w:type="paragraph" w:styleId="Heading2"><w:name w:val="heading 2"/><w:basedOn w:val="Normal"/><w:pPr><w:keepNext/><w:spacing w:before="160"/><w:outlineLvl w:val="1"/></w:pPr><w:rPr><w:b/><w:sz w:val="22"/></w:rPr></w:style>` +
	`<w:style w:type="paragraph" w:styleId="Heading3"><w:name w:val="heading 3"/><w:basedOn w:val="Normal"/><w:pPr><w:keepNext/><w:spacing w:before="120"/><w:outlineLvl w:val="2"/></w:pPr><w:rPr><w:b/></w:rPr></w:style>` +
	`<w:style w:type="table" w:default="1" w:styleId="TableNormal"><w:name w:val="Normal Table"/><w:tblPr><w:tblCellMar><w:left w:w="70" w:type="dxa"/><w:right w:w="70" w:type="dxa"/></w:tblCellMar></w:tblPr></w:style></w:styles>`

// docxRun is a run; size is in half points.
func docxRun(r Run, size int) string {
	if r.Text == "" {
		return ""
	}
	p := ""
	switch r.Style {
	case Bold:
		p = `<w:b/>`
	case Mono:
		p = `<w:rFonts w:ascii="Courier New" w:hAnsi="Courier New" w:cs="Courier New"/>`
	case Blank:
		p = `<w:b/>`
	}
	p += `<w:noProof/>`
	if size > 0 {
		p += fmt.Sprintf(`<w:sz w:val="%d"/><w:szCs w:val="%d"/>`, size, size)
	}
	if r.Style == Blank {
		p += `<w:highlight w:val="yellow"/>`
	}
	return `<w:r><w:rPr>` + p + `</w:rPr><w:t xml:space="preserve">` + xmlText(r.Text) + `</w:t></w:r>`
}

func docxPara(b *bytes.Buffer, p Para, props string, size int) {
	b.WriteString(`<w:p><w:pPr>`) // the schema wants tabs, spacing, ind, jc
	if p.Number != "" {
		b.WriteString(`<w:tabs><w:tab w:val="left" w:pos="440"/></w:tabs>`)
	}
	b.WriteString(props)
	if p.Number != "" {
		b.WriteString(`<w:ind w:left="440" w:hanging="440"/>`)
	}
	if p.Centre {
		b.WriteString(`<w:jc w:val="center"/>`)
	}
	b.WriteString(`</w:pPr>`)
	if p.Number != "" {
		b.WriteString(docxRun(Run{p.Number, Regular}, size) + `<w:r><w:tab/></w:r>`)
	}
	for _, r := range p.Runs {
		n := size
		if r.Style == Mono && size > 0 {
			n = size - 1
		}
		b.WriteString(docxRun(r, n))
	}
	b.WriteString(`</w:p>`)
}

func docxBlock(b *bytes.Buffer, block Block) {
	switch x := block.(type) {
	case Break:
		b.WriteString(`<w:p><w:r><w:br w:type="page"/></w:r></w:p>`)
	case Heading:
		style := "Title"
		if x.Level > 0 {
			style = fmt.Sprintf("Heading%d", min(x.Level, 3))
		}
		b.WriteString(`<w:p><w:pPr><w:pStyle w:val="` + style + `"/></w:pPr>`)
		for _, r := range x.runs(Regular) {
			b.WriteString(docxRun(r, 0))
		}
		b.WriteString(`</w:p>`)
	case Para:
		docxPara(b, x, "", 0)
	case Fields:
		rows := make([][]Cell, len(x))
		for i, f := range x {
			rows[i] = []Cell{{B(f.Label)}, {Para{Runs: f.Value}}}
		}
		docxTable(b, nil, []float64{118, textW - 118}, rows, 18, false)
	case Table:
		if x.Caption != "" {
			b.WriteString(`<w:p><w:pPr><w:keepNext/><w:spacing w:before="120" w:after="60"/></w:pPr>` + docxRun(Run{x.Caption, Bold}, 18) + `</w:p>`)
		}
		ws := make([]float64, len(x.Head))
		sum := 0.0
		for i := range ws {
			ws[i] = 1
			if i < len(x.Widths) && x.Widths[i] > 0 {
				ws[i] = x.Widths[i]
			}
			sum += ws[i]
		}
		for i := range ws {
			ws[i] *= textW / sum
		}
		docxTable(b, x.Head, ws, x.Rows, 16, true)
	}
}

func docxTable(b *bytes.Buffer, head []string, ws []float64, rows [][]Cell, size int, rules bool) {
	b.WriteString(`<w:tbl><w:tblPr><w:tblW w:w="` + fmt.Sprint(twips(textW)) + `" w:type="dxa"/>`)
	if rules {
		b.WriteString(`<w:tblBorders><w:top w:val="single" w:sz="8" w:space="0" w:color="auto"/><w:bottom w:val="single" w:sz="4" w:space="0" w:color="auto"/><w:insideH w:val="single" w:sz="2" w:space="0" w:color="auto"/></w:tblBorders>`)
	}
	b.WriteString(`<w:tblLayout w:type="fixed"/></w:tblPr><w:tblGrid>`)
	for _, w := range ws {
		fmt.Fprintf(b, `<w:gridCol w:w="%d"/>`, twips(w))
	}
	b.WriteString(`</w:tblGrid>`)
	cell := func(i int, shade string, c Cell) {
		fmt.Fprintf(b, `<w:tc><w:tcPr><w:tcW w:w="%d" w:type="dxa"/>%s</w:tcPr>`, twips(ws[i]), shade)
		for _, p := range c {
			docxPara(b, p, `<w:spacing w:before="20" w:after="20"/>`, size)
		}
		if len(c) == 0 { // a cell holds at least one paragraph
			docxPara(b, Para{}, "", size)
		}
		b.WriteString(`</w:tc>`)
	}
	if len(head) > 0 {
		b.WriteString(`<w:tr><w:trPr><w:cantSplit/><w:tblHeader/></w:trPr>`)
		for i, h := range head {
			cell(i, `<w:shd w:val="clear" w:color="auto" w:fill="E6E6E6"/>`, Cell{B(h)})
		}
		b.WriteString(`</w:tr>`)
	}
	for _, r := range rows {
		b.WriteString(`<w:tr><w:trPr><w:cantSplit/></w:trPr>`)
		for i := range ws {
			var c Cell
			if i < len(r) {
				c = r[i]
			}
			cell(i, "", c)
		}
		b.WriteString(`</w:tr>`)
	}
	b.WriteString(`</w:tbl><w:p><w:pPr><w:spacing w:after="60"/></w:pPr></w:p>`)
}

// twips are twentieths of a point.
func twips(f float64) int { return int(f * 20) }
