package intake

import (
	"slices"
	"strings"

	"golang.org/x/net/publicsuffix"

	"github.com/impound/impound"
)

var (
	endsInDot   = lazy(`(?i)` + label + `(?:` + fanged + `)\s*$`)
	startsInDot = lazy(`(?i)^\s*(?:` + fanged + `)` + label)
	endsInLabel = lazy(`(?i)` + label + `\s*$`)
	startsLabel = lazy(`(?i)^\s*` + label)
	endsHyphen  = lazy(`(?i)(?:^|[\s(“"'/])(` + label + `-)\s*$`)
	startsName  = lazy(`(?i)^\s*(` + label + `(?:(?:` + fanged + `|\.)` + label + `)*(?:` + fanged + `)` + label + `)`)
)

// mend joins lines that a name was broken over: at a defanged dot, which is
// certain, anywhere in a column that is too narrow, at a live one where both halves fill their lines and the second is a
// top-level domain, and behind a hyphen, which may be the name's or the typesetter's: the
// names of these are noted, as nobody but an analyst can tell (the half that
// stands on the second line is somebody else's name).
func (r *reader) mend(lines []string) []string {
	out := lines[:0:0]
	join := func(from int, l string) { // the lines from out[from] on are one with l
		whole := strings.Join(trimmed(out[from:]), "") + strings.TrimSpace(l)
		if r.broken == nil {
			r.broken = map[string]bool{}
		}
		n, _ := nameAlone(whole)
		r.broken[n] = true
		out = append(out[:from], whole)
	}
	for _, l := range lines {
		if len(out) == 0 {
			out = append(out, l)
			continue
		}
		if from := fragments(out, l); from < len(out) {
			join(from, l)
			continue
		}
		last := out[len(out)-1]
		if len(last) > 64<<10 { // a whole report of broken lines stays linear
			out = append(out, l)
			continue
		}
		tail := last[max(0, len(last)-300):]
		head := l[:min(len(l), 300)]
		switch {
		case endsInDot().MatchString(tail) && startsLabel().MatchString(head), startsInDot().MatchString(head) && endsInLabel().MatchString(tail):
			out[len(out)-1] = strings.TrimRight(last, " \t") + strings.TrimLeft(l, " \t")
			continue
		case strings.HasSuffix(strings.TrimRight(tail, " \t"), ".") && len(last) < 300 && lineTLD().MatchString(l) && isTLD(strings.TrimSpace(l)) && lineEndDot().MatchString(last[len(lineLead().FindString(last)):]):
			out[len(out)-1] = strings.TrimRight(last, " \t") + strings.TrimSpace(l)
			continue
		case strings.HasSuffix(strings.TrimRight(tail, " \t"), "-"):
			a, b := endsHyphen().FindStringSubmatch(tail), startsName().FindStringSubmatch(head)
			if a != nil && b != nil {
				if r.broken == nil {
					r.broken = map[string]bool{}
				}
				r.broken[strings.ToLower(strings.Trim(fangRule().ReplaceAllString(a[1]+b[1], "."), "-_."))] = true
				out[len(out)-1] = strings.TrimRight(last, " \t") + strings.TrimLeft(l, " \t")
				continue
			}
		}
		out = append(out, l)
	}
	return out
}

var fragment = lazy(`^[a-z0-9][a-z0-9-]{6,62}$|^[A-Z0-9][A-Z0-9-]{6,62}$`)
var lastLetters = lazy(`^[a-z]{1,6}$`)

// fragments says from which line on lines are parts of one name that ends in l:
// len(out) where they aren't. A column that is too narrow breaks names anywhere;
// what stands on the last line alone would be the name of somebody else.
func fragments(out []string, l string) int {
	l = strings.TrimSpace(l)
	last := strings.TrimSpace(out[len(out)-1])
	if lastLetters().MatchString(l) && len(last) >= 10 && nameCell().MatchString(last) { // yahoo-verify.ne, t
		if n, _ := nameAlone(last + l); n != "" {
			return len(out) - 1
		}
		return len(out)
	}
	if n, _ := nameAlone(l); n == "" {
		return len(out)
	}
	from := len(out)
	for from > 0 && len(out)-from < 4 {
		p := strings.TrimSpace(out[from-1])
		if !fragment().MatchString(p) || !strings.ContainsAny(p, "-0123456789") && len(p) < len(l) {
			break
		}
		from--
	}
	if from < len(out) {
		if n, _ := nameAlone(strings.Join(trimmed(out[from:]), "") + l); n == "" {
			return len(out)
		}
	}
	return from
}

func trimmed(lines []string) []string {
	out := make([]string, len(lines))
	for i, l := range lines {
		out[i] = strings.TrimSpace(l)
	}
	return out
}

var spelledRule = lazy(`(?i)\b([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?: dot [a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+)\b`)
var spelledDot = lazy(`(?i) dot `)

// spelledTLDs are the ends by which a word before "dot" is taken for a name at
// all when it is a plain word: "the red dot is" is none.
var spelledTLDs = []string{"com", "net", "org", "info", "biz", "ru", "ir", "xyz", "online", "site", "top", "club"}

var notSpelled = map[string]bool{"the": true, "a": true, "an": true, "this": true, "that": true, "of": true, "and": true, "or": true, "is": true, "in": true, "at": true, "my": true, "your": true, "their": true, "every": true, "polka": true}

// spelled finds names written "outlook-verify dot net". One with a hyphen or a
// digit is proposed; plain words are shown, and set apart.
func (r *reader) spelled(s string, show func() string) {
	for _, m := range spelledRule().FindAllString(s, -1) {
		plain := strings.ToLower(spelledDot().ReplaceAllString(m, "."))
		n, err := impound.ParseName(plain)
		if err != nil || n.Labels() < 2 {
			continue
		}
		if _, icann := publicsuffix.PublicSuffix(n.String()); !icann {
			continue
		}
		first, _, _ := strings.Cut(plain, ".")
		sure := strings.ContainsAny(plain[:strings.LastIndexByte(plain, '.')], "-0123456789")
		if !sure && (notSpelled[first] || !slices.Contains(spelledTLDs, n.TLD())) {
			continue
		}
		r.found(n, sure, false, false, show())
		if i, ok := r.names[n]; ok && !sure && strings.Contains(r.f.Names[i].Why, "mentioned") {
			r.f.Names[i].Why = "set apart: spelled out, of plain words: look at it"
		}
	}
}
