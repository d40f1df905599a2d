// Package document turns a plain model of a paper (headings, paragraphs, fields,
// tables) into what a court or a registry takes: PDF/A-2b for filing, DOCX for
// counsel to work on. The same model gives the same octets.
//
// What lives here: layout, the two writers, a reader of the small Markdown that
// templates are written in, and the rule by which text of strangers is shown so
// that nobody is deceived by it. It is a leaf: it knows no case, no order and no
// evidence. What must not: a clock, a file, a network client, or anything active
// in what is written (no link, script, macro, field that reaches out).
package document

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Doc is a paper.
type Doc struct {
	Title   string
	Author  string
	Subject string
	Created time.Time // in the metadata; the caller's, so that octets repeat
	Tool    string    // what made it, with version
	Left    string    // at the head of each page, left
	Right   string    // and right, bold: the marking, such as TLP:AMBER
	Note    string    // under the head of each page, bold: DRAFT ...; may be empty
	Foot    string    // at the foot of each page, left, in small fixed type
	Blocks  []Block
}

// Block is a part of a paper: [Heading], [Para], [Fields], [Table] or [Break].
type Block interface{ block() }

// Style is how a run is set.
type Style uint8

// The styles.
const (
	Regular Style = iota
	Bold
	Mono  // what must be read character by character
	Blank // left for a person to fill in; marked so that nobody overlooks it
)

// Run is text of one style.
type Run struct {
	Text  string
	Style Style
}

// Para is a paragraph. Number stands before it, hanging ("1.", "-").
type Para struct {
	Number string
	Runs   []Run
	Centre bool
}

// Heading is one of three levels; 0 is the paper's title. Runs, when there are
// any, stand for Text where a part is left to fill in.
type Heading struct {
	Level int
	Text  string
	Runs  []Run
}

// runs gives the heading's runs in style st, blanks apart.
func (h Heading) runs(st Style) []Run {
	if len(h.Runs) == 0 {
		return []Run{{h.Text, st}}
	}
	out := make([]Run, len(h.Runs))
	for i, r := range h.Runs {
		if out[i] = r; r.Style != Blank {
			out[i].Style = st
		}
	}
	return out
}

// Fields are labels with values, below each other.
type Fields []Field

// Field is one.
type Field struct {
	Label string
	Value []Run
}

// Table repeats its caption and head on each page. Widths are shares; nil gives
// all columns the same.
type Table struct {
	Caption string
	Head    []string
	Widths  []float64
	Rows    [][]Cell
}

// Cell is the paragraphs of a table's cell.
type Cell []Para

// Break begins a new page.
type Break struct{}

func (Heading) block() {}
func (Para) block()    {}
func (Fields) block()  {}
func (Table) block()   {}
func (Break) block()   {}

// T, B and M make a paragraph of one run: regular, bold and fixed type.
func T(s string) Para { return Para{Runs: []Run{{s, Regular}}} }

// B is bold.
func B(s string) Para { return Para{Runs: []Run{{s, Bold}}} }

// M is in fixed type.
func M(s string) Para { return Para{Runs: []Run{{s, Mono}}} }

// C makes a cell of texts, empty ones left out.
func C(ps ...Para) Cell {
	var c Cell
	for _, p := range ps {
		for _, r := range p.Runs {
			if r.Text != "" {
				c = append(c, p)
				break
			}
		}
	}
	return c
}

// Safe gives s as it may be shown to somebody who will rely on it: control
// characters become spaces, and every character that would be invisible, turn
// the direction of reading, combine with its neighbour, or for which the fonts
// of a paper have no shape, becomes its code point in brackets: [U+202E].
func Safe(s string) string {
	var b strings.Builder
	for i, r := range s {
		switch {
		case r == utf8.RuneError:
			if _, n := utf8.DecodeRuneInString(s[i:]); n == 1 {
				fmt.Fprintf(&b, "[0x%02X]", s[i])
			} else {
				b.WriteString("[U+FFFD]")
			}
		case r == '\t' || r == '\n' || r == '\r' || r == ' ' || r == 0xa0:
			b.WriteByte(' ')
		case r < 0x7f && r > 0x20:
			b.WriteRune(r)
		case unicode.IsControl(r), unicode.In(r, unicode.Cf, unicode.Mn, unicode.Me, unicode.Co, unicode.Cs, unicode.Zs, unicode.Zl, unicode.Zp), !covered(r):
			fmt.Fprintf(&b, "[U+%04X]", r)
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// Foreign names the characters of s outside ASCII, each with its script, once:
// "а U+0430 Cyrillic". A reader can't tell some of them from Latin letters.
func Foreign(s string) []string {
	var out []string
	seen := map[rune]bool{}
	for _, r := range s {
		if r < 0x80 || seen[r] {
			continue
		}
		seen[r] = true
		shown := Safe(string(r))
		if strings.HasPrefix(shown, "[U+") {
			shown = ""
		} else {
			shown += " "
		}
		out = append(out, fmt.Sprintf("%sU+%04X %s", shown, r, Script(r)))
	}
	return out
}

// Script names the script of r: "Latin", "Cyrillic", "Common", or "unknown".
func Script(r rune) string {
	// Latin, Cyrillic and Greek first, as they are the usual ones; the map's
	// order would not matter, since a character has one script.
	for _, s := range []string{"Latin", "Cyrillic", "Greek", "Common", "Inherited"} {
		if unicode.Is(unicode.Scripts[s], r) {
			return s
		}
	}
	for name, t := range unicode.Scripts {
		if unicode.Is(t, r) {
			return strings.ReplaceAll(name, "_", " ")
		}
	}
	return "unknown"
}

// Scripts gives the scripts of s in the order of their first letter, digits and
// punctuation apart.
func Scripts(s string) []string {
	var out []string
	seen := map[string]bool{"Common": true, "Inherited": true}
	for _, r := range s {
		if n := Script(r); !seen[n] {
			seen[n] = true
			out = append(out, n)
		}
	}
	return out
}
