package intake

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/publicsuffix"

	"github.com/impound/impound"
)

// Lists and tables: a name that fills a cell of a column of names is an item,
// although nobody defanged it. A column is known by its header, or by three names
// within nine lines.

// maxCells bounds the cells of a line that are looked at.
const maxCells = 40

var (
	// lineLead is what stands before an item: marks of a quoted mail, a bullet, a
	// number, an address of a hosts file, and how blockers write names.
	lineLead = lazy(`^\s*(?:>\s*)*(?:\|\|)?(?:[-*+•·–—▪●◦]\s+|\(?\d{1,4}[.):]\s+|\[\d{1,4}\]\s+)?(?:(?:0\.0\.0\.0|127\.0\.0\.1|::1?)\s+)?(?:(?i:domains?|domain name|hosts?|hostname|fqdn|c2|ioc|indicator)\s*[:=]\s*)?`)
	numbered = lazy(`^\s*\(?\d{1,4}[.):]\s`)
	wide     = lazy(`\s{2,}`)
	nameCell = lazy(`(?i)^(?:` + scheme + `)?(` + label + `(?:(?:` + fanged + `|\.)` + label + `)+)\.?(?::\d{1,5})?(/\S*)?$`)
	// goodHead and refHead are headers of columns.
	goodHead = lazy(`(?i)^(?:(?:malicious|phishing|fraudulent|fake|suspicious|seized|spoofed|lookalike|actor|attacker|c2|c&c|bad|new|full|network|registered)[ -]+)*(?:domains?(?:[ _-]?names?)?|indicators?|indicator[ _]values?|iocs?|indicators of compromise(?: \(iocs?\))?|values?|fqdns?|host(?:[ _]?names?|s)?|observables?|artifacts?|c2s?|indikator(?:en)?|dom[aä]inen?|ドメイン)(?:\s*\(.{0,24}\))?:?$`)
	// hintHead are headings over a list that has no columns.
	hintHead = lazy(`(?i)^(?:#+\s*)?(?:the\s+)?(?:(?:malicious|phishing|fraudulent|fake|suspicious|seized|lookalike|actor(?:'s|’s)?|attacker|c2|c&c|network|registered)[ -]+)*(?:domains?(?: names?)?|iocs?|indicators(?: of compromise)?(?: \(iocs?\))?|fqdns?|host ?names?|c2 (?:domains?|servers?)|command and control|infrastructure)(?: used| seen| observed)?\s*:?\s*$`)
	refHead  = lazy(`(?i)source|reference|report|link|comment|note|author|registrar|registrant|name ?servers?\b|\bns\b|\bmx\b|hosting|hoster|provider|\basn?\b|\bisp\b|victim|target|brand|imitate|impersonate|mimic|spoofs\b|legit|genuine|original|\breal\b|organi[sz]ation|sector|mail|contact|website of|quelle`)
	// badList are headings of names that are not the actor's.
	badList = lazy(`(?i)(?:^|[^\p{L}])(?:(impersonat\w+|imitat\w+|mimic\w*|posing as|pos(?:es|ed) as|spoof\w+|look(?:s|ing)? like|lookalikes? of|against|target(?:s|ing)|resembl\w+)\s+)?((?:legitimate|genuine|official|compromised|hacked|breached|impersonated|imitated|mimicked|benign|targeted|victims?|affected)(?:'s|’s|’|')?)\s+(?:[\p{L}-]+\s+){0,2}?(?:web ?sites?|sites?|domains?|hosts?|names?|organi[sz]ations?|brands?|portals?|services?|companies|entities|addresses)\b`)
	badHead = lazy(`(?i)^[\s#*_>]*(references?|sources?|further reading|see also|links|related(?: (?:posts?|articles?|links|reading))?|legitimate|benign|false positives?|allow ?list|white ?list|victims?|targets?|resources|contacts?|about us|footer)[\s*_]*:?[\s*_]*$`)
	// nameThen is a name, and a remark on it.
	nameThen = lazy(`^\s*(` + label + `(?:(?:` + fanged + `|\.)` + label + `)+)(?:\s+(?:\(|->|=>|→|–|—|-\s|#)|:\s|,\s+["\d])`)
	// others are words of headings over names of others, unless whoseElse says that
	// the names are what did it to them.
	others    = lazy(`(?i)(?:^|[^\p{L}])(victims?|targeted|legitimate|genuine|benign|hacked|breached|impersonated|impersonates|spoofed|imitated|mimicked)(?:$|[^\p{L}])`)
	whoseElse = lazy(`(?i)\b(?:domains?|names?|(?:web ?)?sites?|hosts?|infrastructure|indicators?|iocs?|urls?|pages?|portals?)\s+(?:(?:that|which|were|was|are|is|have|had|been|the|actors?|group|attackers?|it|they)\s+)*(?:used|impersonat|imitat|mimic|spoof|target|posing|posed|masquerad|registered|controlled|resembl|sent|against|pretend|lur|attack)|\b(?:impersonat\w*ing|imitating|mimicking|spoofing|targeting|posing as|resembling|against|fake|spoofed|lookalikes?|look-alikes?|phishing|malicious|fraudulent)\b`)
	// records are types of DNS records whose right side is somebody's server.
	records = lazy(`^(?i:NS|MX|SOA|CNAME|PTR|SRV|TXT)$`)
)

// items says which names of a line are items of a list or table: by the name as
// the line has it, folded. A text says why one is set apart all the same.
type items map[string]string

// mayBeHalf is why a name is set apart that may be the end of one.
const mayBeHalf = "set apart: it may be the end of a name that is broken over two lines: look at it"

type tableRow struct {
	cells []string
	names []string // of each cell, folded; empty where it isn't a name alone
	paths []bool   // there is a path behind it
	blank bool
}

func (x tableRow) any() bool {
	return slices.ContainsFunc(x.names, func(n string) bool { return n != "" })
}

// splitRow splits a line into the cells of a table.
func splitRow(l string) []string {
	l = l[len(lineLead().FindString(l)):]
	var out []string
	switch {
	case strings.Contains(l, "\t"):
		out = strings.SplitN(l, "\t", maxCells)
	case strings.Count(l, "|") >= 2 || strings.Count(l, " | ") == 1:
		out = strings.SplitN(strings.Trim(strings.TrimSpace(l), "|"), "|", maxCells)
	case strings.Contains(l, ";"):
		out = strings.SplitN(l, ";", maxCells)
	case strings.Contains(strings.TrimSpace(l), "  "):
		out = wide().Split(strings.TrimSpace(l), maxCells)
	case strings.Contains(l, ",") && !strings.Contains(l, ", "):
		out = strings.SplitN(l, ",", maxCells)
	default:
		out = []string{l}
		if m := nameThen().FindStringSubmatchIndex(l); m != nil {
			out = []string{l[m[2]:m[3]], l[m[3]:]}
		}
	}
	for i, c := range out {
		out[i] = strings.Trim(strings.TrimSpace(c), "`*\"'“”‘’^ ")
	}
	return out
}

// nameAlone gives the name that a cell holds and nothing else, folded.
func nameAlone(c string) (plain string, path bool) {
	if len(c) > 2000 || !strings.ContainsAny(c, ".[({<") {
		return "", false
	}
	m := nameCell().FindStringSubmatch(strings.TrimRight(c, ",;"))
	if m == nil {
		return "", false
	}
	plain = unfang(m[1])
	n, err := impound.ParseName(plain)
	if err != nil || n.Labels() < 2 || strings.Trim(plain, "0123456789.") == "" || fileRule().MatchString(plain) && m[1] == plain {
		return "", false
	}
	if suffix, icann := publicsuffix.PublicSuffix(n.String()); !icann && !strings.Contains(suffix, ".") {
		return "", false
	}
	if tld := plain[strings.LastIndexByte(plain, '.')+1:]; tld != strings.ToLower(tld) && plain != strings.ToUpper(plain) {
		return "", false
	}
	return strings.ToLower(plain), len(m[2]) > 1
}

// unfang gives a name as its letters stand, with plain dots.
func unfang(raw string) string {
	return strings.Trim(fangRule().ReplaceAllString(raw, "."), "-_.")
}

// tables finds the items of all lists and tables in lines.
func tables(lines []string) []items {
	rows := make([]tableRow, len(lines))
	for i, l := range lines {
		if strings.TrimSpace(l) == "" {
			rows[i].blank = true
			continue
		}
		if len(l) > 8<<10 {
			continue
		}
		x := &rows[i]
		x.cells = splitRow(l)
		x.names = make([]string, len(x.cells))
		x.paths = make([]bool, len(x.cells))
		for j, c := range x.cells {
			if x.names[j], x.paths[j] = nameAlone(c); x.names[j] != "" && j > 0 && (records().MatchString(x.cells[j-1]) || strings.HasSuffix(x.cells[j-1], ":") && refHead().MatchString(x.cells[j-1])) {
				x.names[j] = ""
			}
		}
	}
	out := make([]items, len(lines))
	var head []string // the header of the table that we are in
	hint := false     // a heading says that what follows are indicators
	bad := ""         // what a heading calls the names that follow
	begun := false    // a row followed the header
	for i := range rows {
		x := &rows[i]
		if x.blank {
			if begun {
				head, hint, begun = nil, false, false
			}
			continue
		}
		if !x.any() {
			switch whole := strings.TrimSpace(lines[i]); {
			case strings.Trim(whole, "|-=+: \t") == "": // a rule between header and rows
			case slices.ContainsFunc(x.cells, goodHead().MatchString):
				head, hint, bad, begun = x.cells, false, "", false
			case len(x.cells) > 1 && head != nil: // a row without a name
				begun = true
			case len(whole) < 300:
				head, hint, begun, bad = nil, hintHead().MatchString(whole), false, ""
				if m := badList().FindStringSubmatch(whole); m != nil && m[1] == "" {
					bad = strings.ToLower(m[2])
				} else if m := others().FindStringSubmatch(whole); m != nil && strings.HasSuffix(strings.TrimRight(whole, "* _"), ":") && !whoseElse().MatchString(whole) {
					bad = strings.ToLower(m[1])
				} else if m := badHead().FindStringSubmatch(whole); m != nil {
					bad = strings.ToLower(m[1])
				}
			default:
				head, hint, begun, bad = nil, false, false, ""
			}
			continue
		}
		begun = true
		allNames := !slices.Contains(x.names, "")
		first := true
		for j, n := range x.names {
			if n == "" {
				continue
			}
			good, ref, headed := false, false, false
			if len(head) > 1 && len(x.cells) > 1 || len(head) == 1 && len(x.cells) == 1 {
				headed = true
				if j < len(head) {
					good, ref = goodHead().MatchString(head[j]), refHead().MatchString(head[j])
				}
			}
			near := 0
			reach := 4
			if numbered().MatchString(lines[i]) { // headings may stand between
				reach = 8
			}
			for k := max(0, i-reach); k < min(len(rows), i+reach+1); k++ {
				if j < len(rows[k].names) && rows[k].names[j] != "" {
					near++
				}
			}
			item := false
			switch {
			case ref && !good:
			case good:
				item = true
			case x.paths[j]: // an address of a page, and nothing says that it is an indicator
			case hint && len(x.cells) == 1:
				item = true
			case headed && slices.ContainsFunc(head, goodHead().MatchString):
			default:
				item = near >= 3 && (first || allNames)
			}
			first = false
			if !item {
				continue
			}
			if out[i] == nil {
				out[i] = items{}
			}
			why := ""
			if len(x.cells) == 1 && i > 0 && len(rows[i-1].cells) > 1 && fragment().MatchString(rows[i-1].cells[0]) && strings.Contains(rows[i-1].cells[0], "-") {
				why = mayBeHalf
			} else if bad != "" {
				why = "set apart: the list's heading calls them " + bad + ": look at it"
			}
			out[i][n] = why
		}
	}
	return out
}

// shownRow is a row of a table as a sentence.
func shownRow(l string) string {
	return strings.Join(strings.FieldsFunc(l, func(c rune) bool { return c == '\t' }), " | ")
}

// delimiter guesses what a table's cells are divided by, from its first line
// outside of quotes.
func delimiter(text string) rune {
	line, _, _ := strings.Cut(text, "\n")
	var n [3]int
	quoted := false
	for _, c := range line {
		switch {
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == ',':
			n[0]++
		case c == ';':
			n[1]++
		case c == '\t':
			n[2]++
		}
	}
	switch {
	case n[2] > 0 && n[2] >= n[0] && n[2] >= n[1]:
		return '\t'
	case n[1] > n[0]:
		return ';'
	}
	return ','
}

// cantBe says why nobody can have registered a name, empty when somebody can.
func cantBe(n impound.Name) string {
	if top, err := n.Registrable(); err == nil && strings.Contains(top.String(), "_") {
		return "set apart: nobody can register a name with an underscore: look at it"
	}
	return ""
}

// lineEndDot is an item of a list that was broken right behind a live dot, and
// lineTLD the rest of it: certain only where both fill their lines.
var (
	lineEndDot = lazy(`(?i)^(` + label + `(?:\.` + label + `)*)\.\s*$`)
	lineTLD    = lazy(`(?i)^\s*([a-z]{2,12}(?:\.[a-z]{2,3})?)\s*$`)
)

// isTLD says whether s ends names, and is no word that begins a line.
func isTLD(s string) bool {
	_, icann := publicsuffix.PublicSuffix("x." + strings.ToLower(s))
	return icann && !strings.ContainsFunc(s, unicode.IsSpace)
}
