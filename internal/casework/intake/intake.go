// Package intake reads a report as analysts get it and finds what a case needs:
// names in every defanging style, docket numbers, counts, and what the actor is
// called, each with the sentence that it came from.
//
// What lives here: finding, and the rule which names are proposed (defanged, or
// an item of a list) and which are set apart (publishers, well-known services,
// names that a sentence only mentions). Mails, PDF and DOCX files are told by
// their content and read for their text; indicator feeds (STIX, MISP) by their
// meaning. What must not: I/O, a network, a language
// model, or a decision: an analyst ticks what becomes a candidate. Addresses'
// local parts and URLs' queries are cut out of the sentences: they may be a
// victim's.
package intake

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/publicsuffix"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
)

// Limits of one report.
const (
	MaxSize     = 32 << 20 // octets
	maxFindings = 100_000  // of one kind
	maxSentence = 400      // octets of a sentence that is kept
)

// maxText bounds the octets of text that are read: about 16 s of work.
var maxText = 8 << 20

// Options say what is known already.
type Options struct {
	Lists  *gate.Lists     // nil: the built-in facts
	Actors []impound.Actor // whose aliases to look for
	// Unwrap takes a link out of what mail gateways put around it; nil: nothing is
	// unwrapped.
	Unwrap func(link string) (inner string, by []string)
}

// Findings is what a report holds.
type Findings struct {
	File    string  `json:"file"`
	Format  string  `json:"format"` // "text", "html", "json", "csv", "stix", "misp", "mail", "pdf", "docx"
	Names   []Name  `json:"names"`  // proposed ones first, then in the order of the text
	Dockets []Fact  `json:"dockets,omitempty"`
	Counts  []Count `json:"counts,omitempty"`
	Dates   []Fact  `json:"dates,omitempty"` // 2024-10-03, or 2024-10 where no day is said
	Aliases []Alias `json:"aliases,omitempty"`
	// What never goes into an appendix, and helps a case all the same.
	Addresses []Indicator      `json:"addresses,omitempty"`
	Hashes    []Indicator      `json:"hashes,omitempty"`
	Mailboxes []Indicator      `json:"mailboxes,omitempty"`
	Problems  impound.Problems `json:"problems,omitempty"`
}

// Name is a name that was found.
type Name struct {
	Name     impound.Name `json:"name"`
	Proposed bool         `json:"proposed"`
	Why      string       `json:"why"`      // why proposed, or why set apart
	Sentence string       `json:"sentence"` // the first that holds it, names defanged as in the report
	Times    int          `json:"times"`
	fixed    bool         // set apart for good
}

// Fact is a text with the sentence that it came from.
type Fact struct {
	Value    string `json:"value"`
	Sentence string `json:"sentence"`
}

// Count is a number of things: 41 domains.
type Count struct {
	N        int    `json:"n"`
	Of       string `json:"of"`
	Sentence string `json:"sentence"`
}

// Alias is what an actor is called. Actors are the ids of those known by it; it
// can be none (a new alias) or two.
type Alias struct {
	Text     string   `json:"text"`
	Actors   []string `json:"actors,omitempty"`
	Sentence string   `json:"sentence"`
}

// Proposed gives the names that would become candidates.
func (f Findings) Proposed() []impound.Name {
	var out []impound.Name
	for _, n := range f.Names {
		if n.Proposed {
			out = append(out, n.Name)
		}
	}
	return out
}

// Read finds what it can in data. It never fails: what could not be read is in
// Findings.Problems. filename gives the place in problems, and its ending helps
// to tell the format.
func Read(filename string, data []byte, o Options) Findings {
	f := Findings{File: filename, Format: "text", Names: []Name{}}
	if o.Lists == nil {
		o.Lists = gate.BuiltIn()
	}
	if len(data) > MaxSize {
		f.Problems = append(f.Problems, impound.Errorf(impound.KindInvalid, "the report is %d octets long: the first %d were read", len(data), MaxSize).At(filename).WithCure("split it"))
		data = data[:MaxSize]
	}
	r := reader{f: &f, o: o, names: map[impound.Name]int{}}
	if isPDF(data) {
		f.Format = "pdf"
		r.pdf(data)
		r.sort()
		return f
	}
	if isZip(data) && r.docx(data) {
		r.sort()
		return f
	}
	if wide := fromUTF16(data); wide != nil {
		data = wide
	}
	if bytes.IndexByte(data[:min(len(data), 1<<20)], 0) >= 0 || isZip(data) {
		f.Problems = append(f.Problems, impound.Errorf(impound.KindInvalid, "this is neither text nor PDF, DOCX or mail").At(filename).WithCure("export it as text, or paste the text"))
		return f
	}
	text := strings.ToValidUTF8(string(data), "\uFFFD")
	text = strings.TrimPrefix(text, "\ufeff")
	trimmed := strings.TrimSpace(text)
	switch {
	case slices.Contains([]string{".csv", ".tsv", ".tab"}, strings.ToLower(filepath.Ext(filename))):
		f.Format = "csv"
		r.csv(text)
	case strings.HasPrefix(trimmed, "{") || strings.HasPrefix(trimmed, "["):
		if f.Format = "json"; !r.feed(trimmed) {
			r.link(trimmed)
			r.text(plainText(fromJSON(trimmed)), false)
		}
	case (strings.EqualFold(filepath.Ext(filename), ".eml") || looksLikeMail(text)) && r.mail(text):
	case tagRule().MatchString(text):
		f.Format = "html"
		r.canonical(text)
		r.text(plainText(text), false)
	default:
		r.text(text, false)
	}
	r.sort()
	return f
}

// sort puts the proposed names first.
func (r *reader) sort() {
	slices.SortStableFunc(r.f.Names, func(a, b Name) int {
		switch {
		case a.Proposed == b.Proposed:
			return 0
		case a.Proposed:
			return -1
		}
		return 1
	})
}

// fromUTF16 gives the UTF-8 of a text that begins with a byte order mark of
// UTF-16, nil for any other.
func fromUTF16(b []byte) []byte {
	big := bytes.HasPrefix(b, []byte{0xfe, 0xff})
	if !big && !bytes.HasPrefix(b, []byte{0xff, 0xfe}) {
		return nil
	}
	u := make([]uint16, 0, len(b)/2)
	for i := 2; i+1 < len(b); i += 2 {
		if big {
			u = append(u, uint16(b[i])<<8|uint16(b[i+1]))
		} else {
			u = append(u, uint16(b[i+1])<<8|uint16(b[i]))
		}
	}
	return []byte(string(utf16.Decode(u)))
}

var tagRule = lazy(`(?i)<(?:!doctype|html|body|head|p|div|span|a|br|li|ul|td|table|h[1-6]|strong|em)\b[^<>]*>|</(?:p|a|div|span|li|strong|em|h[1-6])>`)

// fromJSON gives every string of a JSON document, one a line. Feeds are often
// cut or hold raw line ends; then the escapes alone are undone.
func fromJSON(s string) string {
	var v any
	if err := json.Unmarshal([]byte(s), &v); err == nil {
		var b strings.Builder
		var walk func(any)
		walk = func(v any) {
			switch v := v.(type) {
			case string:
				b.WriteString(v + "\n")
			case []any:
				for _, x := range v {
					walk(x)
				}
			case map[string]any:
				keys := make([]string, 0, len(v))
				for k := range v {
					keys = append(keys, k)
				}
				slices.Sort(keys)
				for _, k := range keys {
					walk(v[k])
				}
			}
		}
		walk(v)
		return b.String()
	}
	return jsonEscape().ReplaceAllStringFunc(s, func(e string) string {
		switch e[1] {
		case 'n', 'r', 't':
			return "\n"
		case 'u':
			n, err := strconv.ParseUint(e[2:], 16, 32)
			if err != nil || !utf8.ValidRune(rune(n)) {
				return " "
			}
			return string(rune(n))
		}
		return e[1:]
	})
}

var jsonEscape = lazy(`\\(?:u[0-9a-fA-F]{4}|["\\/bfnrt])`)

// plainText gives the text of HTML: blocks end lines, scripts and styles go.
func plainText(s string) string {
	z := html.NewTokenizer(strings.NewReader(s))
	z.SetMaxBuf(1 << 20)
	var b strings.Builder
	skip := 0
	// Within a cell of a table a block ends a line only between texts, and the end
	// of the cell is a tab: so a row stays a line.
	cell, pre, waits := false, false, ""
	fresh := true // at the begin of a line
	empty := true // the cell holds no text yet
	write := func(t string) {
		if t != "" {
			b.WriteString(t)
			fresh = t[len(t)-1] == '\n'
		}
	}
	row := func() { // the next row is the next line, and no blank one between
		if cell, waits = false, ""; !fresh {
			write("\n")
		}
	}
	block := func() {
		if cell {
			if waits == "" && !empty {
				waits = "\n"
			}
			return
		}
		write(waits + "\n")
		waits = ""
	}
	inTable := 0
	for {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
			if skip != 0 {
				continue
			}
			t := string(z.Text())
			blank := strings.TrimSpace(t) == ""
			switch {
			case cell && blank:
				if waits == "" && !pre {
					t = " "
				}
			case blank && (waits != "" || fresh && inTable > 0):
				continue
			}
			if cell || waits != "" {
				if !blank {
					write(waits)
					waits, empty = "", false
				}
				if !pre {
					t = strings.ReplaceAll(t, "\n", " ")
				}
				t = strings.ReplaceAll(t, "\t", " ")
			}
			write(t)
		case html.StartTagToken, html.SelfClosingTagToken:
			n, _ := z.TagName()
			switch string(n) {
			case "script", "style", "noscript", "template":
				skip = 1
			case "td", "th":
				if cell {
					write("\n")
				} else {
					write(waits)
				}
				cell, waits, empty = true, "", true
			case "table":
				inTable++
				row()
			case "tr":
				row()
			case "p", "div", "br", "li", "ul", "ol", "dt", "dd", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "section", "article", "header", "footer", "nav", "aside", "option":
				pre = pre || string(n) == "pre"
				block()
			}
		case html.EndTagToken:
			n, _ := z.TagName()
			switch string(n) {
			case "script", "style", "noscript", "template":
				skip = 0
			case "td", "th":
				if cell {
					cell, waits = false, "\t"
				}
			case "tr":
				row()
			case "table":
				inTable = max(0, inTable-1)
				row()
				write("\n")
			case "p", "div", "li", "h1", "h2", "h3", "h4", "h5", "h6", "pre", "blockquote", "title":
				pre = pre && string(n) != "pre"
				block()
			}
		}
	}
}

type reader struct {
	f     *Findings
	o     Options
	names map[impound.Name]int // place in f.Names
	// private: no sentence is kept, since it may be a victim's.
	private bool
	broken  map[string]bool // names joined over a hyphen at the end of a line
	// publisher is the host that the document says it was published at.
	publisher impound.Name
	seen      map[string]int // places of indicators, by kind and value
	texts     int            // octets of text that were read
	cut       bool           // that there is more was said
	row       string         // the row of a table that is read cell by cell: what is shown as the sentence
}

// csv takes each cell as a text; a cell that is a name alone is listed, unless
// its column is one of references.
func (r *reader) csv(text string) {
	c := csv.NewReader(strings.NewReader(text))
	c.Comma, c.FieldsPerRecord, c.LazyQuotes = delimiter(text), -1, true
	defer func() { r.row = "" }()
	var header []string
	for first := true; ; first = false {
		row, err := c.Read()
		if err != nil {
			if err != io.EOF {
				r.f.Problems = append(r.f.Problems, impound.Errorf(impound.KindInvalid, "the table can't be read on: %w", err).At(r.f.File).WithCure("save it as CSV again"))
			}
			return
		}
		if first {
			header = row
		}
		r.row = strings.Join(row, " | ")
		for i, cell := range row {
			good := i < len(header) && goodHead().MatchString(strings.TrimSpace(header[i]))
			ref := i < len(header) && refHead().MatchString(header[i])
			if _, path := nameAlone(strings.TrimSpace(cell)); path && !good {
				ref = true
			}
			r.text(cell, !ref)
		}
	}
}

// text reads a text. listed says that it is one item of a list.
func (r *reader) text(s string, listed bool) {
	if left := maxText - r.texts; len(s) > left {
		if !r.cut {
			r.cut = true
			r.problem("split it", "the report holds more than %d MiB of text: the rest was not read", maxText>>20)
		}
		s = strings.ToValidUTF8(s[:max(0, left)], "")
	}
	r.texts += len(s)
	s = normal.Replace(s)
	s = otherDots().ReplaceAllString(s, "$1[.]$2")
	if strings.Contains(s, " .") {
		s = spacedDot().ReplaceAllString(s, "$1[.]$2")
	}
	s = r.unwrap(s)
	lines := r.mend(strings.Split(s, "\n"))
	rows := tables(lines)
	for i, l := range lines {
		if listed {
			if n, _ := nameAlone(strings.TrimSpace(l)); n != "" || aloneRule().MatchString(l) {
				r.sentence(l, items{n: ""})
				continue
			}
		}
		if rows[i] != nil {
			r.sentence(shownRow(l), rows[i])
			continue
		}
		for part := range strings.SplitSeq(l, "\t") {
			for _, sent := range sentences(part) {
				r.sentence(sent, nil)
			}
		}
	}
}

// normal takes out what hides in names and unifies dots and spaces.
var normal = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u00a0", " ", "\u202f", " ", "\u200b", "", "\u200c", "", "\u200d", "", "\u2060", "", "\ufeff", "", "\u00ad", "",
	"\uff3b", "[", "\uff3d", "]", "\uff08", "(", "\uff09", ")", "\u2011", "-", "\u2010", "-")

const (
	label  = `[\p{Latin}\p{Cyrillic}\p{Greek}0-9_][\p{Latin}\p{Cyrillic}\p{Greek}0-9_-]*`
	fanged = ` ?[\[({<]{1,2} ?(?:\.|,|dot|d0t|dott|punkt|point|punto|ponto|tochka|точка) ?[\])}>]{1,2} ?|[\[({]\.|\.[\])}]|\\\.|\.\\|["'|]\.["'|]`
	scheme = `(?i:(?:h(?:xx|tt|tx|xt|\*\*|__|tt?xx?|\[tt\])p(?:s|\[s\]|\(s\))?|\bttps?|fxp|meow)(?: ?[\[({]? ?:(?://|\\\\)? ?[\])}]? ?[/\\]{0,2}|__//))`
)

var (
	nameRule  = lazy(`(?i)(` + scheme + `)?((?:[\p{L}0-9._%+-]{1,64} ?(?:@|[\[({] ?(?:@|at) ?[\])}]) ?)?)(` + label + `(?:(?:` + fanged + `|\.)` + label + `)+)`)
	fangRule  = lazy(`(?i)` + fanged)
	liveRule  = lazy(`(?i)^https?:`)
	aloneRule = lazy(`(?i)^\s*(?:[-*•·]\s*)?(?:` + scheme + `)?(?:` + label + `(?:(?:` + fanged + `|\.)` + label + `)+)/?\s*[,;]?\s*$`)
	mailRule  = lazy(`[\p{L}0-9._%+-]{1,64}( ?(?:@|[\[({] ?(?:@|at) ?[\])}]) ?[\p{L}0-9])`)
	queryRule = lazy(`\?[^\s"'<>)\]]{1,999}`)
	fileRule  = lazy(`(?i)\.(?:html?|php|aspx?|jsp|js|css|png|jpe?g|gif|svg|pdf|docx?|xlsx?|pptx?|exe|dll|zip|rar|7z|txt|csv|json|xml|py|ps1|bat|md|lnk|iso|so)$`)
)

func (r *reader) sentence(s string, listed items) {
	shown := ""
	show := func() string {
		if r.private {
			return "in the body of the mail"
		}
		if shown == "" {
			shown = redact(cmp.Or(r.row, s))
		}
		return shown
	}
	var matches [][]int
	if strings.ContainsAny(s, ".[({<") { // without one there is no name, in any style
		matches = nameRule().FindAllStringSubmatchIndex(s, -1)
	}
	lastOf, lastEnd := "", 0 // what the name before was called, and where it ended
	for _, m := range matches {
		raw := s[m[6]:m[7]]
		defanged := fangRule().MatchString(raw) || m[2] >= 0 && !liveRule().MatchString(s[m[2]:m[3]])
		mail := m[4] < m[5]
		plain := unfang(raw)
		n, err := impound.ParseName(plain)
		if err != nil || n.Labels() < 2 {
			continue
		}
		why, item := listed[strings.ToLower(plain)]
		suffix, icann := publicsuffix.PublicSuffix(n.String())
		if !icann && !strings.Contains(suffix, ".") {
			continue // no such top-level domain: a file, a version, an abbreviation
		}
		tld := plain[strings.LastIndexByte(plain, '.')+1:]
		if !defanged && (fileRule().MatchString(plain) || tld != strings.ToLower(tld) && plain != strings.ToUpper(plain) || strings.ContainsFunc(plain, func(c rune) bool { return c > unicode.MaxASCII })) {
			continue // "2015.In the past": a missing space
		}
		if before, _ := utf8.DecodeLastRuneInString(s[:m[0]]); !defanged && m[2] < 0 && (before == '/' || before == '=' || before == '&' || before == '%') {
			continue // part of a URL's path
		}
		if r.broken[strings.ToLower(plain)] {
			r.found(n, false, mail, false, show())
			if i, ok := r.names[n]; ok && strings.Contains(r.f.Names[i].Why, "mentioned") {
				r.f.Names[i].Why = "set apart: broken over two lines, so a hyphen or more may not be the name's: look at it"
			}
			continue
		}
		end := m[7]
		of := ""
		if w := notTheirs().FindStringSubmatch(s[max(0, m[0]-120):m[0]]); w != nil {
			of = strings.ToLower(w[1])
		} else if lastOf != "" && listing().MatchString(s[lastEnd:m[0]]) {
			of = lastOf
		}
		lastOf, lastEnd = of, end
		r.found(n, defanged, mail, item, show())
		if i, ok := r.names[n]; ok && why != "" && (!defanged || why == mayBeHalf) {
			x := &r.f.Names[i]
			x.Proposed, x.Why, x.fixed = false, why, true
		}
		if i, ok := r.names[n]; ok && of != "" {
			x := &r.f.Names[i]
			x.Proposed, x.Why, x.fixed = false, "set apart: the report calls it "+of+": look at it", true
		}
	}
	if strings.Contains(s, " dot ") || strings.Contains(s, " DOT ") {
		r.spelled(s, show)
	}
	if strings.ContainsAny(s, "0123456789") {
		r.numbers(s, show)
	}
	r.indicators(s, show)
	r.aliases(s, show)
}

// numbers finds dockets and counts.
func (r *reader) numbers(s string, show func() string) {
	for _, m := range docketRule().FindAllStringSubmatch(s, -1) {
		v := m[1]
		if v == "" {
			v = m[2]
		}
		if v = strings.TrimRight(v, "-.:"); strings.ContainsAny(v, "0123456789") && strings.ContainsAny(v, "-:") && !slices.ContainsFunc(r.f.Dockets, func(x Fact) bool { return x.Value == v }) && len(r.f.Dockets) < maxFindings {
			r.f.Dockets = append(r.f.Dockets, Fact{v, show()})
		}
	}
	for _, m := range countRule().FindAllStringSubmatch(s, -1) {
		n, err := strconv.Atoi(strings.ReplaceAll(m[1], ",", ""))
		of := strings.Replace(strings.ToLower(m[2]), "domain names", "domains", 1)
		if err == nil && n > 1 && len(r.f.Counts) < maxFindings && !slices.ContainsFunc(r.f.Counts, func(x Count) bool { return x.N == n && x.Of == of }) {
			r.f.Counts = append(r.f.Counts, Count{n, of, show()})
		}
	}
}

func (r *reader) found(n impound.Name, defanged, mail, item bool, sentence string) {
	proposed, why := false, ""
	kind, shared := r.o.Lists.IsShared(n)
	switch {
	case !r.publisher.IsZero() && n.AtOrBelow(r.publisher):
		why = "set apart: the report was published there"
	case shared:
		why = "set apart: " + kind
	case mail:
		why = "set apart: the domain of a mail address"
	case n.IsPublicSuffix():
		why = "set apart: a public suffix"
	case cantBe(n) != "":
		why = cantBe(n)
	case defanged:
		proposed, why = true, "defanged in the report"
	case item:
		proposed, why = true, "an item of a list"
	default:
		why = "set apart: mentioned, neither defanged nor listed"
	}
	i, ok := r.names[n]
	if !ok {
		if len(r.f.Names) >= maxFindings {
			return
		}
		r.names[n] = len(r.f.Names)
		r.f.Names = append(r.f.Names, Name{Name: n, Proposed: proposed, Why: why, Sentence: sentence, Times: 1})
		return
	}
	x := &r.f.Names[i]
	x.Times++
	if proposed && !x.Proposed && !x.fixed { // the sentence that proposes it is the one to show
		x.Proposed, x.Why, x.Sentence = true, why, sentence
	}
}

// redact cuts out local parts and queries, and bounds the length.
func redact(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	s = mailRule().ReplaceAllString(s, "…$1")
	s = queryRule().ReplaceAllString(s, "?…")
	if len(s) > maxSentence {
		cut := maxSentence
		for cut > 0 && !utf8.RuneStart(s[cut]) {
			cut--
		}
		s = s[:cut] + "…"
	}
	return s
}

var (
	docketRule = lazy(`(?i)\b(\d{1,2}:\d{2}-(?:cv|mj|cr|mc|sw|ms)-\d{2,6}(?:-[A-Z0-9]{1,5})*)|\b(?:case|docket|warrant|cause|file)?\s*(?:no|nos|number|num)\b\.?\s*:?\s*#?\s*([0-9][0-9A-Z:-]{5,30})`)
	countRule  = lazy(`(?i)\b(\d{1,3}(?:,\d{3})+|\d{1,7})\s+(?:(?:[a-z][a-z-]*|U\.S\.)\s+){0,3}?(domains?(?: names)?|websites|sub-?domains|host ?names|servers|customers|victims|organi[sz]ations|accounts|countries)\b`)
	akaRule    = lazy(`(?i)(?:\b(?:a\.k\.a\.,?\s|(?:aka|also (?:known|tracked|called|referred to) as|known (?:by (?:various |many )?(?:other )?names )?(?:such )?as|formerly(?: known as)?|previously (?:known|tracked) as|(?:is |has been |tracks? |tracked |tracking )(?:it |them |the group )?(?:tracked )?as|dubbed|(?:goes|go|going) by)\b))[\s:,]*(?:the names?\s+)?`)
	aliasItem  = lazy(`^[\s,;/]*(?:(?:and|or|also known as|as well as)\s+)?(?:the\s+)?[“”"‘’'„]*((?:\p{Lu}[\p{L}0-9.]*[-\p{L}0-9]*)(?:[ -](?:\p{Lu}|\d)[\p{L}0-9]*){0,3})[“”"‘’'„]*`)
)

// aliases finds what actors are called: names that are known, and what follows
// "also known as".
func (r *reader) aliases(s string, show func() string) {
	for _, a := range r.o.Actors {
		for _, n := range a.Names {
			if containsWords(s, n) {
				r.alias(n, show())
			}
		}
	}
	for _, m := range codename().FindAllStringSubmatch(s, 50) {
		r.alias(m[1], show())
	}
	if r.private {
		return // "known as" may be said of a victim
	}
	for _, m := range akaRule().FindAllStringIndex(s, -1) {
		rest := s[m[1]:]
		how := strings.ToLower(s[m[0]:m[1]])
		if strings.Contains(how, "dubbed") && notActors().MatchString(s[:m[0]]) {
			continue
		}
		items := 0
		for range 12 {
			i := aliasItem().FindStringSubmatchIndex(rest)
			if i == nil {
				break
			}
			if t := strings.TrimRight(groupEnds().ReplaceAllString(rest[i[2]:i[3]], "$1"), ".-"); len(t) >= 3 && !stopWords[strings.ToLower(t)] && !isPerson(t) {
				if items++; items == 1 && !strings.Contains(how, "track") && !strings.Contains(how, "dubbed") {
					if first := called(s[:m[0]]); first != "" {
						r.alias(first, show())
					}
				}
				r.alias(t, show())
			}
			rest = rest[i[1]:]
			if rest == "" || !strings.ContainsRune(",;/ ", rune(rest[0])) || !listGoesOn().MatchString(rest) {
				break
			}
		}
	}
}

var (
	// codename is how those who track actors number them, and Microsoft's and
	// CrowdStrike's families.
	codename   = lazy(`(?:^|[^\p{L}0-9.-])(APT[ -]?C?-?\d{1,3}|(?:UNC|TA)\d{3,5}|(?:UAC|TAG|DEV|Storm|UNK|CL-STA|UTA)-\d{2,5}|TEMP\.\p{Lu}\p{L}{2,20}|\p{Lu}[\p{L}]{2,20} (?:Blizzard|Sandstorm|Typhoon|Sleet|Tempest|Tsunami|Chollima|Kitten|BEAR|KITTEN|PANDA|CHOLLIMA|SPIDER|JACKAL))(?:$|[^\p{L}0-9-])`)
	listGoesOn = lazy(`^\s*(?:[,;/]|and\b|or\b)`)
	stopWords  = map[string]bool{"the": true, "this": true, "according": true, "today": true, "microsoft": true, "russia": true, "iran": true, "fsb": true, "apt": true, "and": true, "a": true, "an": true, "iranian": true, "russian": true, "chinese": true, "north": true, "korean": true, "in": true, "while": true}
)

func (r *reader) alias(text, sentence string) {
	f := fold(text)
	if f == "" || slices.ContainsFunc(r.f.Aliases, func(a Alias) bool { return fold(a.Text) == f }) || len(r.f.Aliases) >= maxFindings {
		return
	}
	a := Alias{Text: text, Sentence: sentence}
	for _, x := range r.o.Actors {
		if slices.ContainsFunc(x.Names, func(n string) bool { return fold(n) == f }) {
			a.Actors = append(a.Actors, x.ID)
		}
	}
	r.f.Aliases = append(r.f.Aliases, a)
}

func fold(s string) string {
	return strings.Map(func(c rune) rune {
		if unicode.IsLetter(c) || unicode.IsDigit(c) {
			return unicode.ToLower(c)
		}
		return -1
	}, s)
}

// containsWords says whether s holds n as whole words, whatever the case.
func containsWords(s, n string) bool {
	if len(fold(n)) < 3 {
		return false
	}
	ls, ln := strings.ToLower(s), strings.ToLower(n)
	for from := 0; ; {
		i := strings.Index(ls[from:], ln)
		if i < 0 {
			return false
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(ls[:i])
		after, _ := utf8.DecodeRuneInString(ls[i+len(ln):])
		if !unicode.IsLetter(before) && !unicode.IsDigit(before) && !unicode.IsLetter(after) && !unicode.IsDigit(after) {
			return true
		}
		from = i + len(ln)
	}
}

// sentences splits a line at the ends of sentences: a full stop, question or
// exclamation mark, then a space and a capital, but not behind an initial or an
// abbreviation of one or two letters (U.S. District Court, No. 4).
func sentences(l string) []string {
	var out []string
	start := 0
	rs := []rune(l)
	at := 0 // octet of rs[i]
	for i, c := range rs {
		at += utf8.RuneLen(c)
		if c == '\u3002' || (c == '.' || c == '!' || c == '?' || c == '|') && i+2 < len(rs) && unicode.IsSpace(rs[i+1]) && (unicode.IsUpper(rs[i+2]) || unicode.IsDigit(rs[i+2]) || rs[i+2] == '“' || rs[i+2] == '"' || c == '|') {
			if c == '.' && (i < 3 || !unicode.IsLetter(rs[i-2]) || !unicode.IsLetter(rs[i-3])) && i > 0 && unicode.IsLetter(rs[i-1]) {
				continue
			}
			if c == '.' && i+2 < len(rs) && unicode.IsDigit(rs[i+2]) && shortened().MatchString(l[max(0, at-8):at]) {
				continue // Aug. 3, No. 12
			}
			out = append(out, l[start:at])
			start = at
		}
	}
	if strings.TrimSpace(l[start:]) != "" {
		out = append(out, l[start:])
	}
	return out
}
