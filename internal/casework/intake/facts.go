package intake

import (
	"encoding/json"
	"net/netip"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/impound/impound"
)

// Indicator is something else that a report names: an address, a hash, a mailbox.
// It helps a case and is never proposed for an appendix.
type Indicator struct {
	Kind     string `json:"kind"`  // "ipv4", "ipv6", "md5", "sha1", "sha256", "sha512", "mailbox"
	Value    string `json:"value"` // plain: show it with Defanged
	Why      string `json:"why"`   // "defanged in the report", or what it may be else
	Sentence string `json:"sentence"`
	Times    int    `json:"times"`
}

// Defanged gives the value as people may be shown it.
func (i Indicator) Defanged() string {
	switch i.Kind {
	case "ipv4", "mailbox":
		return strings.NewReplacer(".", "[.]", "@", "[@]").Replace(i.Value)
	case "ipv6":
		return strings.ReplaceAll(i.Value, ":", "[:]")
	}
	return i.Value
}

// otherDots are dots of other scripts between the labels of a name, and dots in
// another dress: a style of defanging, or a trick that a report quotes.
var otherDots = lazy(`([\p{Latin}\p{Cyrillic}\p{Greek}0-9])(?:_(?i:dot)_|&#0?46;|&period;|%2[eE]|[\x{3002}\x{ff0e}\x{ff61}\x{2024}\x{2027}\x{b7}\x{2219}\x{22c5}\x{30fb}\x{fe52}])([\p{Latin}\p{Cyrillic}\p{Greek}0-9])`)

// spacedDot is a dot with a space before it, in what can only be a name: a word
// with a hyphen, and a common top-level domain.
var spacedDot = lazy(`(?i)\b([a-z0-9]+-[a-z0-9-]*[a-z0-9]) \. ?(com|net|org|info|biz|ru|ir|xyz|online|site|top|club)\b`)

// shortened are abbreviations that a number follows: no sentence ends there.
var shortened = lazy(`(?i)(?:^|[^\p{L}])(?:jan|feb|mar|apr|jun|jul|aug|sept?|oct|nov|dec|nos?|art|sec|vol|fig|ver)\.$`)

// notTheirs are the words right before a name that say it belongs to somebody
// whom the actor broke into or posed as.
var notTheirs = lazy(`(?i)\b(legitimate|genuine|official|compromised|hacked|breached|victims?|targeted|impersonat\w+|spoof(?:s|ed|ing)|mimic(?:s|k\w+)?|imitat\w+|masquerad\w+ as|pos(?:es|ed|ing) as|pretend\w* to be|looks? like|lookalikes? of)(?:'s|’s)?\s+(?:(?:the|an?|its?|their|own|real|legitimate|genuine|official)\s+)*(?:(?:web ?sites?|websites?|sites?|domains?|hosts?|servers?|mail servers?|addresses|address|portals?|pages?|login pages?|organi[sz]ations?|victims?|company|companies)(?:\s+(?:names?|of|at))*:?\s*)?["“'‘(]*(?:` + scheme + `)?$`)

// listing is what stands between two names of one list.
var listing = lazy(`(?i)^(?:/\S*)?["”'’)]*\s*(?:,|;|and|or|&)?\s*(?:and|or)?\s*["“'‘(]*(?:` + scheme + `)?$`)

var (
	dotted    = ` ?[\[({] ?(?:\.|dot) ?[\])}] ?|\.`
	ipv4Rule  = lazy(`(?i)(?:^|[^\p{L}0-9.])((?:\d{1,3}(?:` + dotted + `)){3}\d{1,3})(?:[^\p{L}0-9.\[]|\.(?:[^0-9]|$)|[\[({]:|$)`)
	ipv6Rule  = lazy(`(?i)(?:^|[\s"'“(=,;<])\[?((?:[0-9a-f]{0,4}(?:\[:\]|\[::\]|:)){2,7}[0-9a-f]{1,4})\]?(?:$|[\s"'”),;>/.])`)
	hashRule  = lazy(`(?:^|[^\p{L}0-9])([0-9a-f]{128}|[0-9a-f]{64}|[0-9a-f]{40}|[0-9a-f]{32}|[0-9A-F]{128}|[0-9A-F]{64}|[0-9A-F]{40}|[0-9A-F]{32})(?:[^\p{L}0-9]|$)`)
	boxRule   = lazy(`(?i)([\p{L}0-9._%+-]{1,64}) ?(@|[\[({] ?(?:@|at) ?[\])}]) ?(` + label + `(?:(?:` + fanged + `|\.)` + label + `)+)`)
	version   = lazy(`(?i)(?:version|release|build|\bv)\.?\s*$`)
	isVictims = lazy(`(?i)\b(?:victims?|targets?|targeted|recipients?|sent to|received by|addressed to|compromised)\b`)
)

var hashKinds = map[int]string{32: "md5", 40: "sha1", 64: "sha256", 128: "sha512"}

// indicators finds addresses, hashes, mailboxes and dates.
func (r *reader) indicators(s string, show func() string) {
	if strings.ContainsAny(s, "0123456789abcdefABCDEF") {
		for _, m := range ipv4Rule().FindAllStringSubmatchIndex(s, -1) {
			raw := s[m[2]:m[3]]
			plain := fangRule().ReplaceAllString(raw, ".")
			if a, err := netip.ParseAddr(plain); err == nil && !version().MatchString(s[:m[2]]) {
				r.address(a, plain != raw, show)
			}
		}
		if strings.Count(s, ":") >= 2 {
			for _, m := range ipv6Rule().FindAllStringSubmatch(s, -1) {
				plain := strings.NewReplacer("[", "", "]", "").Replace(m[1])
				if a, err := netip.ParseAddr(plain); err == nil && len(plain) > 6 {
					r.address(a, plain != m[1], show)
				}
			}
		}
		for _, m := range hashRule().FindAllStringSubmatch(s, -1) {
			r.keep(&r.f.Hashes, Indicator{Kind: hashKinds[len(m[1])], Value: strings.ToLower(m[1]), Why: "a hash by its length"}, show)
		}
	}
	if strings.ContainsAny(s, "0123456789") {
		r.dates(s, show)
	}
	if r.private || !strings.Contains(s, "@") && !strings.Contains(strings.ToLower(s), "at") {
		return
	}
	for _, m := range boxRule().FindAllStringSubmatch(s, -1) {
		plain := strings.Trim(fangRule().ReplaceAllString(m[3], "."), "-_.")
		n, err := impound.ParseName(plain)
		if err != nil || n.Labels() < 2 {
			continue
		}
		// Whoever defangs a mailbox publishes it as the actor's. All others may be
		// a reporter's or a victim's: their local part is nobody's business here.
		box := Indicator{Kind: "mailbox", Value: "…@" + n.String(), Why: "a mailbox that may be anybody's: its local part is not kept"}
		if (m[2] != "@" || plain != strings.Trim(m[3], "-_.")) && !isVictims().MatchString(s) {
			box.Value, box.Why = strings.ToLower(m[1])+"@"+n.String(), "defanged in the report"
		}
		r.keep(&r.f.Mailboxes, box, func() string { return redact(s) })
	}
}

func (r *reader) address(a netip.Addr, defanged bool, show func() string) {
	a = a.Unmap().WithZone("")
	i := Indicator{Kind: "ipv4", Value: a.String(), Why: "mentioned"}
	if a.Is6() {
		i.Kind = "ipv6"
	}
	switch {
	case a.IsPrivate(), a.IsLoopback(), a.IsLinkLocalUnicast(), a.IsMulticast(), a.IsUnspecified():
		i.Why = "not an address of the open internet"
	case defanged:
		i.Why = "defanged in the report"
	}
	r.keep(&r.f.Addresses, i, show)
}

// keep notes an indicator once, and counts it.
func (r *reader) keep(to *[]Indicator, i Indicator, show func() string) {
	if r.seen == nil {
		r.seen = map[string]int{}
	}
	key := i.Kind + " " + i.Value
	if at, ok := r.seen[key]; ok {
		(*to)[at].Times++
		return
	}
	if len(*to) >= maxFindings {
		return
	}
	r.seen[key] = len(*to)
	i.Times, i.Sentence = 1, show()
	*to = append(*to, i)
}

// feedIndicator keeps an address, hash or mailbox that a feed names.
func (r *reader) feedIndicator(kind, v, why string) {
	v = strings.TrimSpace(v)
	show := func() string { return why }
	switch {
	case strings.HasPrefix(kind, "ip"):
		v, _, _ = strings.Cut(v, "|")
		if p, err := netip.ParsePrefix(v); err == nil && p.IsSingleIP() {
			v = p.Addr().String()
		}
		if a, err := netip.ParseAddr(v); err == nil {
			r.address(a, true, show)
			if at := r.seen[r.f.Addresses[len(r.f.Addresses)-1].Kind+" "+a.Unmap().String()]; at < len(r.f.Addresses) && r.f.Addresses[at].Why == "defanged in the report" {
				r.f.Addresses[at].Why = why
			}
		}
	case kind == "mailbox":
		if n, err := impound.ParseName(v[strings.LastIndexByte(v, '@')+1:]); err == nil && strings.Contains(v, "@") {
			r.keep(&r.f.Mailboxes, Indicator{Kind: "mailbox", Value: strings.ToLower(v[:strings.LastIndexByte(v, '@')]) + "@" + n.String(), Why: why}, show)
		}
	case hashKinds[len(v)] != "" && strings.Trim(strings.ToLower(v), "0123456789abcdef") == "":
		r.keep(&r.f.Hashes, Indicator{Kind: hashKinds[len(v)], Value: strings.ToLower(v), Why: why}, show)
	}
}

const months = `jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?`

var dateRule = lazy(`(?i)\b(?:((?:19|20)\d\d)-(\d\d)-(\d\d)|(` + months + `)\.?\s+(?:(\d{1,2})(?:st|nd|rd|th)?,?\s+)?((?:19|20)\d\d)|(\d{1,2})(?:st|nd|rd|th)?\s+(?:of\s+)?(` + months + `)\.?,?\s+((?:19|20)\d\d)|((?:19|20)\d\d)年(\d{1,2})月(?:(\d{1,2})日)?|((?:19|20)\d\d)([./])(\d{1,2})[./](\d{1,2})|(\d{1,2})\.\s?(\d{1,2})\.\s?((?:19|20)\d\d))(?:$|[^0-9.]|\.(?:$|[^0-9]))`)

// dates finds days and months that are written so that they can't be read two
// ways: 3/4/2024 is left out. With dots the day comes first (12.3.2024), unless
// the year does.
func (r *reader) dates(s string, show func() string) {
	for _, m := range dateRule().FindAllStringSubmatch(s, -1) {
		y, mo, d := m[1], m[2], m[3]
		switch {
		case m[6] != "":
			y, mo, d = m[6], m[4], m[5]
		case m[9] != "":
			y, mo, d = m[9], m[8], m[7]
		case m[10] != "":
			y, mo, d = m[10], m[11], m[12]
		case m[13] != "":
			y, mo, d = m[13], m[15], m[16]
		case m[19] != "":
			y, mo, d = m[19], m[18], m[17]
		}
		year, _ := strconv.Atoi(y)
		month, err := strconv.Atoi(mo)
		if err != nil {
			month = 1 + strings.Index("janfebmaraprmayjunjulaugsepoctnovdec", strings.ToLower(mo[:3]))/3
		}
		day, _ := strconv.Atoi(d)
		if month < 1 || month > 12 || time.Date(year, time.Month(month), max(1, day), 0, 0, 0, 0, time.UTC).Month() != time.Month(month) {
			continue
		}
		v := time.Date(year, time.Month(month), max(1, day), 0, 0, 0, 0, time.UTC).Format(time.DateOnly)
		if day == 0 {
			v = v[:7]
		}
		if key := "date " + v; r.once(key) && len(r.f.Dates) < maxFindings {
			r.f.Dates = append(r.f.Dates, Fact{v, show()})
		}
	}
}

func (r *reader) once(key string) bool {
	if r.seen == nil {
		r.seen = map[string]int{}
	}
	_, had := r.seen[key]
	r.seen[key] = 0
	return !had
}

// published gives the host at which a document says that it stands.
func (r *reader) published(url string) {
	_, rest, ok := strings.Cut(strings.TrimSpace(url), "://")
	if !ok || !r.publisher.IsZero() {
		return
	}
	rest, _, _ = strings.Cut(rest, "/")
	rest, _, _ = strings.Cut(rest, ":")
	if n, err := impound.ParseName(rest); err == nil && n.Labels() >= 2 {
		if top, err := n.Registrable(); err == nil {
			n = top
		}
		r.publisher = n
	}
}

// canonical looks for where a page of HTML says that it stands.
func (r *reader) canonical(s string) {
	z := html.NewTokenizer(strings.NewReader(s[:min(len(s), 1<<20)]))
	z.SetMaxBuf(1 << 20)
	for {
		switch z.Next() {
		case html.ErrorToken:
			return
		case html.StartTagToken, html.SelfClosingTagToken:
			t := z.Token()
			if t.Data != "link" && t.Data != "meta" {
				continue
			}
			a := map[string]string{}
			for _, x := range t.Attr {
				a[x.Key] = x.Val
			}
			if strings.EqualFold(a["rel"], "canonical") {
				r.published(a["href"])
			}
			if strings.EqualFold(a["property"], "og:url") {
				r.published(a["content"])
			}
		}
	}
}

// called gives what stands right before "also known as": the name that the
// others are other names of.
func called(before string) string {
	for len(before) > 160 { // the rest of the sentence says nothing of the name
		cut := len(before) - 160
		for cut < len(before) && !utf8.RuneStart(before[cut]) {
			cut++
		}
		before = before[cut:]
	}
	before = strings.TrimRight(before, " \t(,[–—-:;“”\"‘’")
	before = subjectVerb().ReplaceAllString(before, "")
	before = strings.TrimRight(subjectNoun().ReplaceAllString(before, ""), " \t(,“”\"‘’")
	m := origin().ReplaceAllString(subjectRule().FindString(before), "")
	for {
		first, rest, ok := strings.Cut(m, " ")
		if !stopWords[strings.ToLower(first)] {
			break
		}
		if m = rest; !ok {
			break
		}
	}
	m = strings.TrimRight(strings.TrimSuffix(m, " APT"), ".-")
	if len(m) < 3 || isPerson(m) {
		return ""
	}
	return m
}

var (
	subjectVerb = lazy(`(?i)[\s,(]*(?:\b(?:which|who|that)\b)?\s*(?:\b(?:is|are|was|were|has been|have been)\b)?(?:\s+(?:also|otherwise|previously|formerly))?$`)
	subjectNoun = lazy(`(?:\s+(?:APT|threat|hacking|espionage|cyber|cyberespionage|activity))*\s+(?:group|actors?|gang|team|cluster|crew)$`)
	origin      = lazy(`^(?:\p{L}+ )?\p{L}+-(?:linked|backed|aligned|nexus|sponsored|based|affiliated|state) `)
	// groupEnds cuts what a lost full stop glued to a name.
	groupEnds   = lazy(`^(.*? (?:Group|Team|Gang|Actors?))\s.*$`)
	subjectRule = lazy(`\p{Lu}[\p{L}0-9.-]*(?:[ -](?:\p{Lu}|\d)[\p{L}0-9]*){0,3}$`)
)

// isPerson says whether a text is written as a person's name is in court papers:
// given names, and the surname in capitals. Codenames in capitals are not mixed
// so.
func isPerson(s string) bool {
	w := strings.Fields(s)
	if len(w) < 2 {
		return false
	}
	last := w[len(w)-1]
	if len(last) < 4 || strings.ContainsFunc(last, func(c rune) bool { return !unicode.IsUpper(c) }) {
		return false
	}
	for _, x := range w[:len(w)-1] {
		if strings.ToUpper(x) == x {
			return false
		}
	}
	return true
}

// notActors are what may be "dubbed" something and is no actor.
var notActors = lazy(`(?i)\b(?:campaign|operation|malware|backdoor|implant|tool|toolkit|botnet|framework|vulnerability|flaw|stealer|loader|trojan|ransomware)\b`)

// link looks for the address at which an article in JSON stands: the fields that
// content systems use.
func (r *reader) link(s string) {
	var doc struct {
		Link string          `json:"link"`
		URL  string          `json:"url"`
		GUID json.RawMessage `json:"guid"`
	}
	if json.Unmarshal([]byte(s), &doc) != nil { // cut, or with raw line ends
		for _, m := range jsonLink().FindAllStringSubmatch(s[:min(len(s), 64<<10)], 4) {
			r.published(strings.ReplaceAll(m[1], `\/`, "/"))
		}
		return
	}
	r.published(doc.Link)
	r.published(doc.URL)
	for _, m := range jsonLink().FindAllStringSubmatch(`"link":`+string(doc.GUID)+string(doc.GUID), 1) {
		r.published(strings.ReplaceAll(m[1], `\/`, "/"))
	}
}

var jsonLink = lazy(`"(?:link|url|rendered)"\s*:\s*"(https?:\\?/\\?/[^"]{1,300})"`)

// Line is one finding that is no name, as people read it.
type Line struct {
	Kind     string // "docket", "count", "alias", "date", "address", "hash", "mailbox"
	Shown    string // defanged
	Why      string
	Sentence string
}

// Facts gives everything but the names, in the order of the kinds above.
func (f Findings) Facts() []Line {
	var out []Line
	for _, d := range f.Dockets {
		out = append(out, Line{"docket", d.Value, "an order's fact", d.Sentence})
	}
	for _, c := range f.Counts {
		out = append(out, Line{"count", strconv.Itoa(c.N) + " " + c.Of, "", c.Sentence})
	}
	for _, a := range f.Aliases {
		why := "no actor here is called so"
		if len(a.Actors) > 0 {
			why = "actor " + strings.Join(a.Actors, ", ")
		}
		if len(a.Actors) > 1 {
			why += ": in more than one"
		}
		out = append(out, Line{"alias", a.Text, why, a.Sentence})
	}
	for _, d := range f.Dates {
		out = append(out, Line{"date", d.Value, "", d.Sentence})
	}
	for _, list := range [][]Indicator{f.Addresses, f.Hashes, f.Mailboxes} {
		for _, i := range list {
			kind := i.Kind
			switch {
			case strings.HasPrefix(kind, "ip"):
				kind = "address"
			case kind != "mailbox":
				kind = "hash"
			}
			out = append(out, Line{kind, i.Defanged(), i.Why, i.Sentence})
		}
	}
	return out
}
