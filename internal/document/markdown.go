package document

import (
	"regexp"
	"strings"
)

// Markdown reads the small Markdown that templates are written in: "#" to "###"
// headings (the first level is the paper's title, centred), paragraphs, items
// ("1." or "-" before them), tables (| a | b |, the second row of hyphens), a
// line of "---" for a new page, **bold**, `fixed type`, and [[what a person must
// fill in]]. A backslash takes the meaning from the character behind it. What it
// can't read stays text.
func Markdown(s string) []Block {
	var out []Block
	var para []string
	var number string
	flush := func() {
		if len(para) > 0 {
			out = append(out, Para{Number: number, Runs: inline(strings.Join(para, " "))})
		}
		para, number = nil, ""
	}
	var table *Table
	for _, line := range strings.Split(strings.ReplaceAll(s, "\r\n", "\n"), "\n") {
		t := strings.TrimSpace(line)
		if strings.HasPrefix(t, "|") && strings.HasSuffix(t, "|") && len(t) > 1 {
			flush()
			cells := row(t)
			switch {
			case table == nil:
				table = &Table{}
				for _, c := range cells {
					table.Head = append(table.Head, plain(inline(c)))
				}
			case ruleRow.MatchString(t):
				for _, c := range cells { // the hyphens' number is the column's share
					table.Widths = append(table.Widths, float64(strings.Count(c, "-")))
				}
			default:
				var r []Cell
				for _, c := range cells {
					r = append(r, C(Para{Runs: inline(c)}))
				}
				table.Rows = append(table.Rows, r)
			}
			continue
		}
		if table != nil {
			out = append(out, *table)
			table = nil
		}
		switch {
		case t == "":
			flush()
		case t == "---":
			flush()
			out = append(out, Break{})
		case strings.HasPrefix(t, "# "), strings.HasPrefix(t, "## "), strings.HasPrefix(t, "### "):
			flush()
			h, text, _ := strings.Cut(t, " ")
			x := Heading{Level: len(h) - 1, Text: plain(inline(text))}
			if rs := inline(text); Blanks([]Block{Para{Runs: rs}}) > 0 {
				x.Runs = rs
			}
			out = append(out, x)
		default:
			if m := itemRule.FindStringSubmatch(t); m != nil {
				flush()
				if number = m[1]; number == "-" {
					number = "–"
				}
				para = []string{m[2]}
				continue
			}
			para = append(para, t)
		}
	}
	if table != nil {
		out = append(out, *table)
	}
	flush()
	return out
}

var (
	ruleRow  = regexp.MustCompile(`^\|(?:\s*:?-+:?\s*\|)+$`)
	itemRule = regexp.MustCompile(`^(\d{1,4}\.|-)\s+(.*)$`)
)

// row splits "| a | b |" at bars that no backslash stands before.
func row(t string) []string {
	t = strings.TrimPrefix(t, "|")
	var cells []string
	var b strings.Builder
	for i := 0; i < len(t); i++ {
		switch {
		case t[i] == '\\' && i+1 < len(t):
			b.WriteString(t[i : i+2])
			i++
		case t[i] == '|':
			cells = append(cells, strings.TrimSpace(b.String()))
			b.Reset()
		default:
			b.WriteByte(t[i])
		}
	}
	return cells
}

func plain(rs []Run) string {
	var b strings.Builder
	for _, r := range rs {
		b.WriteString(r.Text)
	}
	return b.String()
}

// inline reads a paragraph's runs.
func inline(s string) []Run {
	var out []Run
	var b strings.Builder
	style := Regular
	flush := func() {
		if b.Len() > 0 {
			out = append(out, Run{b.String(), style})
			b.Reset()
		}
	}
	for i := 0; i < len(s); {
		switch {
		case s[i] == '\\' && i+1 < len(s) && strings.IndexByte(escaped, s[i+1]) >= 0:
			b.WriteByte(s[i+1])
			i += 2
		case style != Mono && strings.HasPrefix(s[i:], "**") && (style == Bold || strings.Contains(s[i+2:], "**")):
			flush()
			if style == Bold {
				style = Regular
			} else {
				style = Bold
			}
			i += 2
		case s[i] == '`' && (style == Mono || strings.Contains(s[i+1:], "`")):
			flush()
			if style == Mono {
				style = Regular
			} else {
				style = Mono
			}
			i++
		case style != Mono && strings.HasPrefix(s[i:], "[[") && strings.Contains(s[i:], "]]"):
			flush()
			end := i + strings.Index(s[i:], "]]")
			out = append(out, Run{"[" + strings.TrimSpace(s[i+2:end]) + "]", Blank})
			i = end + 2
		default:
			b.WriteByte(s[i])
			i++
		}
	}
	flush()
	return out
}

const escaped = "\\`*_[]|#<>-.()!~"

// Escape gives s so that Markdown shows it as it is, on one line, whoever wrote
// it; characters that would deceive are shown as in [Safe].
func Escape(s string) string {
	s = strings.Join(strings.Fields(Safe(s)), " ")
	var b strings.Builder
	for i := range len(s) {
		if strings.IndexByte("\\`*_[]|#<>~", s[i]) >= 0 || i == 0 && s[i] == '-' {
			b.WriteByte('\\')
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// Blanks counts the places that a person must fill in.
func Blanks(bs []Block) int {
	n := 0
	count := func(rs []Run) {
		for _, r := range rs {
			if r.Style == Blank {
				n++
			}
		}
	}
	for _, b := range bs {
		switch b := b.(type) {
		case Heading:
			count(b.Runs)
		case Para:
			count(b.Runs)
		case Fields:
			for _, f := range b {
				count(f.Value)
			}
		case Table:
			for _, r := range b.Rows {
				for _, c := range r {
					for _, p := range c {
						count(p.Runs)
					}
				}
			}
		}
	}
	return n
}
