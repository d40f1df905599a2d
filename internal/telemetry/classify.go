package telemetry

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
)

// Window is what one source did: the input of [Classifier.Classify]. Events are
// sorted by time, then sensor, then sequence number.
type Window struct {
	Network   impound.Network
	Kind      NetworkKind
	Events    []impound.Event
	Truncated bool // there were more events than the engine loads
}

// Verdict is the class of one event, with the reasons that led there. A
// reason's code begins with the class that it speaks for; its weight is below
// zero when it speaks against a victim.
type Verdict struct {
	Class      impound.Class
	Confidence float64 // 0 to 1; of "unclear": how far the nearest class is from being said
	Reasons    []impound.Reason
}

// Classifier judges. It is pure: no storage, no clock, no network. The zero
// value works; the fields teach it what an operator knows. It is read only, so
// safe for concurrent use.
type Classifier struct {
	// LurePath says whether path (without query) is known from a captured lure
	// for zone. Nil: none is known.
	LurePath func(zone, path string) bool
	// LureSent gives when the first lure for zone is known to have been sent,
	// the zero time when that is not known. Nil: never known.
	LureSent func(zone string) time.Time
	// Agents adds to the built-in lists: a lower-case part of a User-Agent to
	// the class that it shows (scanner, mail-gateway or researcher).
	Agents map[string]impound.Class
}

// The rules. A sign's weight is how much it alone would make one believe the
// class; signs for the same class add up as 1-(1-a)(1-b).
const (
	victimAt   = 0.6  // a victim is said from here on, given one strong sign
	otherAt    = 0.5  // any other class from here on
	margin     = 0.15 // by which another class must lead a possible victim
	quickly    = 10 * time.Minute
	manyNames  = 5
	someNames  = 3
	slowly     = time.Hour
	renderedIn = 2 * time.Minute
	floodMany  = 500
)

type sign struct {
	class  impound.Class
	code   string
	text   string
	weight float64
	strong bool
}

// Classify gives a verdict for each event of w, in the order of w.Events. It
// depends on nothing but w and the classifier's knowledge, so that judging the
// same window again gives the same verdicts.
//
// DNS is judged event by event and never makes a victim: what comes is a name
// server, and over UDP its address can be forged. All else is judged per
// visitor (the events of w with one User-Agent), with what the whole source did
// as background. Without a strong sign a visitor stays unclear.
func (c *Classifier) Classify(w Window) []Verdict {
	if c == nil {
		c = &Classifier{}
	}
	out := make([]Verdict, len(w.Events))
	type visitor struct {
		events []int
	}
	visitors := map[string]*visitor{}
	var keys []string
	for i, e := range w.Events {
		switch {
		case e.Proto == impound.ProtoDNS || e.Proto == impound.ProtoDNST:
			out[i] = classifyDNS(e, w.Kind)
			continue
		case !e.Src.IsValid():
			out[i] = decide([]sign{{class: impound.ClassUnclear, code: "no-source", text: "the order allows counting only: no address was kept"}})
			continue
		}
		key := string(e.Proto) + "\x00"
		if isHTTP(e) {
			key = "http\x00" + e.UserAgent
		}
		v := visitors[key]
		if v == nil {
			v = &visitor{}
			visitors[key] = v
			keys = append(keys, key)
		}
		v.events = append(v.events, i)
	}
	background := c.sourceSigns(w)
	classes := map[impound.Class]bool{}
	verdicts := make([]Verdict, len(keys))
	for k, key := range keys {
		v := visitors[key]
		evs := make([]impound.Event, len(v.events))
		for j, i := range v.events {
			evs[j] = w.Events[i]
		}
		signs := slices.Clone(background)
		if isHTTP(evs[0]) {
			signs = append(signs, c.visitorSigns(evs, w.Kind)...)
		} else {
			signs = append(signs, silentSigns(evs)...)
		}
		verdicts[k] = decide(signs)
		classes[verdicts[k].Class] = true
	}
	for k, key := range keys {
		if len(classes) > 1 {
			verdicts[k].Reasons = append(verdicts[k].Reasons, impound.Reason{Code: "source-mixed", Text: "the same address also behaves otherwise: it may be shared by several people or machines"})
			verdicts[k].Confidence = round(verdicts[k].Confidence * 0.9)
		}
		for _, i := range visitors[key].events {
			out[i] = verdicts[k]
		}
	}
	return out
}

// isHTTP says whether an HTTP request was read: a TLS hello alone is none.
func isHTTP(e impound.Event) bool {
	return (e.Proto == impound.ProtoHTTP || e.Proto == impound.ProtoTLS) && e.Method != ""
}

func classifyDNS(e impound.Event, kind NetworkKind) Verdict {
	var s []sign
	switch {
	case kind == KindScanner:
		s = append(s, sign{impound.ClassScanner, "network-scanner", "the address belongs to a known scanner", 0.8, true})
	case kind == KindResearch:
		s = append(s, sign{impound.ClassResearcher, "network-research", "the address belongs to a declared research network", 0.85, true})
	case e.QType == 255 || e.QType == 251 || e.QType == 252:
		s = append(s, sign{impound.ClassScanner, "dns-probe", "asked for ANY or a zone transfer, which no resolver does for a user", 0.7, true})
	case e.Outcome == "malformed":
		s = append(s, sign{impound.ClassScanner, "dns-malformed", "sent what is no DNS question, which no resolver does", 0.6, true})
	case e.Zone == "":
		// It may be a scanner that looks for open resolvers, or a resolver that
		// still asks for a name whose order lapsed: no address is kept of either.
		s = append(s, sign{impound.ClassResolver, "dns-outside", "asked for a name that no order in force covers", 0.6, true})
	}
	if len(s) == 0 {
		s = append(s, sign{impound.ClassResolver, "dns", "a DNS question comes from a name server, not from a person; over UDP the address can be forged too", 0.95, true})
	}
	return decide(s)
}

// sourceSigns are the signs that the source gives as a whole.
func (c *Classifier) sourceSigns(w Window) []sign {
	var s []sign
	switch w.Kind {
	case KindScanner:
		s = append(s, sign{impound.ClassScanner, "network-scanner", "the address belongs to a known scanner", 0.8, true})
	case KindResearch:
		s = append(s, sign{impound.ClassResearcher, "network-research", "the address belongs to a declared research network", 0.85, true})
	case KindMailSecurity:
		s = append(s, sign{impound.ClassMailGate, "network-mail-security", "the address belongs to a mail security service, which opens links before people do", 0.8, true})
	case KindHosting:
		s = append(s, sign{impound.ClassVictim, "network-hosting", "the address is in a data centre, where machines are rather than people", -0.5, false})
	case KindTor:
		s = append(s, sign{impound.ClassVictim, "network-tor", "the address is an exit of Tor or an open proxy: it could be anybody", -0.4, false})
	case KindAccess:
		s = append(s, sign{impound.ClassVictim, "network-access", "the address is in a network where people work or live", 0.15, false})
	}
	// Names asked for in the quickest stretch, and over how long in all.
	names := map[string]bool{}
	var first, last time.Time
	odd, oddPath, foreign, web := 0, "", 0, 0
	notice := true
	for _, e := range w.Events {
		if e.Proto == impound.ProtoDNS || e.Proto == impound.ProtoDNST || !e.Src.IsValid() {
			continue
		}
		web++
		if e.Zone == "" {
			foreign++
		} else {
			names[e.Zone] = true
		}
		if first.IsZero() || e.At.Before(first) {
			first = e.At
		}
		if e.At.After(last) {
			last = e.At
		}
		if isOdd(e.Path) {
			odd++
			if oddPath == "" || e.Path < oddPath {
				oddPath = e.Path
			}
		}
		if isHTTP(e) && !isNotice(e.Path) {
			notice = false
		}
	}
	if odd > 0 {
		s = append(s, sign{impound.ClassScanner, "scanner-path", fmt.Sprintf("asked for %q, which only programs looking for holes ask for", clip(oddPath)), 0.8, true})
	}
	quick := quickest(w.Events)
	switch {
	case quick >= manyNames:
		s = append(s, sign{impound.ClassScanner, "scanner-many-names", fmt.Sprintf("came to many seized names within %d minutes", int(quickly.Minutes())), 0.75, true})
	case quick >= someNames:
		s = append(s, sign{impound.ClassScanner, "scanner-some-names", fmt.Sprintf("came to several seized names within %d minutes", int(quickly.Minutes())), 0.4, false})
	}
	if notice && len(names) >= manyNames && quick < manyNames && last.Sub(first) > slowly {
		s = append(s, sign{impound.ClassResearcher, "researcher-survey", "read the notice pages of many names, slowly", 0.55, true})
	}
	if foreign > 0 {
		s = append(s, sign{impound.ClassScanner, "scanner-foreign", "also asked for a name that is not delegated here, or for none", 0.35, false})
	}
	if w.Truncated || web > floodMany {
		s = append(s, sign{impound.ClassScanner, "scanner-flood", fmt.Sprintf("more than %d contacts within days", min(web, floodMany)), 0.6, true})
	}
	return s
}

// quickest is the most distinct seized names that any stretch of [quickly]
// holds. Events are sorted by time.
func quickest(evs []impound.Event) int {
	count := map[string]int{}
	best, lo := 0, 0
	for hi, e := range evs {
		for evs[hi].At.Sub(evs[lo].At) > quickly {
			if z := evs[lo].Zone; counts(evs[lo]) {
				if count[z]--; count[z] == 0 {
					delete(count, z)
				}
			}
			lo++
		}
		if counts(e) {
			count[e.Zone]++
		}
		best = max(best, len(count))
	}
	return best
}

func counts(e impound.Event) bool {
	return e.Zone != "" && e.Proto != impound.ProtoDNS && e.Proto != impound.ProtoDNST && e.Src.IsValid()
}

// visitorSigns are the signs of one visitor's HTTP requests.
func (c *Classifier) visitorSigns(evs []impound.Event, kind NetworkKind) []sign {
	var s []sign
	ua := evs[0].UserAgent
	agentClass, agentWord := c.agent(ua)
	browser := false
	switch {
	case agentClass == impound.ClassScanner:
		s = append(s, sign{impound.ClassScanner, "agent-scanner", fmt.Sprintf("calls itself %q, a program", clip(agentWord)), 0.75, true})
	case agentClass == impound.ClassMailGate:
		s = append(s, sign{impound.ClassMailGate, "agent-mail-gateway", fmt.Sprintf("calls itself %q, which opens links of mail or chat before people do", clip(agentWord)), 0.9, true})
	case agentClass == impound.ClassResearcher:
		s = append(s, sign{impound.ClassResearcher, "agent-research", fmt.Sprintf("declares itself as research: %q", clip(agentWord)), 0.85, true})
	case strings.TrimSpace(ua) == "":
		s = append(s, sign{impound.ClassScanner, "agent-none", "gave no User-Agent, as every browser does", 0.5, false})
	case isBrowser(ua):
		browser = true
		s = append(s, sign{impound.ClassVictim, "agent-browser", "calls itself a browser, which anybody can", 0.25, false})
	default:
		s = append(s, sign{impound.ClassVictim, "agent-unknown", "calls itself neither a browser nor anything known", -0.3, false})
	}

	var lure, known, posted, webmail, page, rendered, onlyHead, onlyRoot, early = false, false, false, "", time.Time{}, false, true, true, false
	var security bool
	for _, e := range evs {
		m := strings.ToUpper(e.Method)
		onlyHead = onlyHead && m == "HEAD"
		asset := isAsset(e.Path)
		onlyRoot = onlyRoot && isNotice(e.Path) && e.LureHash == ""
		personal := e.LureHash != "" || isPersonal(e.Path)
		lure = lure || personal
		if c.LurePath != nil && e.Zone != "" && e.Path != "/" && e.Path != "" && c.LurePath(e.Zone, e.Path) {
			lure, known = true, true
		}
		if m == "POST" && !isOdd(e.Path) && e.Zone != "" {
			posted = true
		}
		if isWebmail(e.Referer) {
			webmail = e.Referer
		}
		switch {
		case !asset && m == "GET":
			page = e.At
		case asset && !page.IsZero() && e.At.Sub(page) <= renderedIn:
			rendered = true
		}
		if strings.HasSuffix(e.Path, "/security.txt") {
			security = true
		}
		if c.LureSent != nil && e.Zone != "" {
			if t := c.LureSent(e.Zone); !t.IsZero() && e.At.Before(t) {
				early = true
			}
		}
	}
	if known {
		s = append(s, sign{impound.ClassVictim, "lure-known", "asked for a path that stands in a captured lure", 0.75, true})
	} else if lure {
		s = append(s, sign{impound.ClassVictim, "lure-path", "asked for a path or token as lures carry for one person", 0.55, true})
	}
	if posted {
		s = append(s, sign{impound.ClassVictim, "form-sent", "sent a form: what was in it was not read", 0.4, true})
	}
	if webmail != "" {
		s = append(s, sign{impound.ClassVictim, "from-webmail", fmt.Sprintf("came from a webmail page (%s)", strings.ReplaceAll(clip(webmail), ".", "[.]")), 0.45, true})
	}
	if rendered && browser {
		s = append(s, sign{impound.ClassVictim, "page-rendered", "fetched what a browser needs to show the page", 0.2, false})
	}
	if onlyRoot && !posted {
		s = append(s, sign{impound.ClassVictim, "root-only", "asked for the front page only: a lure leads deeper", -0.5, false})
		if kind == KindHosting && !rendered {
			s = append(s, sign{impound.ClassScanner, "hosting-root", "looked at the front page from a data centre and fetched nothing else", 0.5, false})
		}
	}
	if early {
		s = append(s, sign{impound.ClassVictim, "before-lure", "came before the lure was sent, so nobody can have clicked it", -0.9, false})
	}
	if agentClass == "" && lure {
		switch {
		case onlyHead:
			s = append(s, sign{impound.ClassMailGate, "head-only", "only tested the lure's link (HEAD) and never opened it", 0.55, false},
				sign{impound.ClassVictim, "head-only-victim", "a person's browser opens a link with GET", -0.6, false})
		case kind == KindHosting && !rendered && !posted:
			s = append(s, sign{impound.ClassMailGate, "prefetch", "opened the lure's link from a data centre and fetched nothing else, as link scanners do", 0.55, false})
		case kind == KindMailSecurity && !rendered && !posted:
			s = append(s, sign{impound.ClassMailGate, "prefetch", "opened the lure's link and fetched nothing else, as link scanners do", 0.4, false})
		case kind == KindMailSecurity:
			// Browser isolation: a person may sit behind it.
			s = append(s, sign{impound.ClassMailGate, "isolated", "used the whole page within a mail security service: a person may sit behind it", -0.2, false})
		}
	}
	if security {
		s = append(s, sign{impound.ClassResearcher, "researcher-contact", "looked for whom to contact (security.txt)", 0.4, false})
	}
	return s
}

// silentSigns are the signs of contacts without an HTTP request.
func silentSigns(evs []impound.Event) []sign {
	switch evs[0].Proto {
	case impound.ProtoSMTP:
		return []sign{{class: impound.ClassUnclear, code: "smtp", text: "a mail server tried to deliver: that says nothing of who wrote, or whether anybody was harmed"}}
	case impound.ProtoTLS:
		for _, e := range evs {
			if e.SNI == "" {
				return []sign{{impound.ClassScanner, "tls-no-name", "opened TLS without saying for which name, as no browser does", 0.5, true}}
			}
		}
		return []sign{{class: impound.ClassUnclear, code: "tls-only", text: "opened TLS for the name but sent no request: a browser that refuses our certificate looks like this, and so does a scanner"}}
	case impound.ProtoHTTP:
		return []sign{{impound.ClassScanner, "no-request", "connected but sent no request that could be read", 0.4, false}}
	default:
		return []sign{{impound.ClassScanner, "tcp-probe", "connected to a port that no lure leads to", 0.5, true}}
	}
}

// decide weighs the signs.
func decide(signs []sign) Verdict {
	p := map[impound.Class]float64{}
	strong := map[impound.Class]bool{}
	for _, s := range signs {
		if s.weight > 0 {
			p[s.class] = 1 - (1-p[s.class])*(1-s.weight)
			strong[s.class] = strong[s.class] || s.strong
		}
	}
	for _, s := range signs {
		if s.weight < 0 {
			p[s.class] *= 1 + s.weight
		}
	}
	v := Verdict{Class: impound.ClassUnclear}
	for _, s := range signs {
		v.Reasons = append(v.Reasons, impound.Reason{Code: s.code, Text: s.text, Weight: s.weight})
	}
	// Heaviest first; equal ones by code, so that the order never wavers.
	slices.SortStableFunc(v.Reasons, func(a, b impound.Reason) int {
		return cmp.Or(cmp.Compare(math.Abs(b.Weight), math.Abs(a.Weight)), cmp.Compare(a.Code, b.Code))
	})
	// A declared researcher who uses a scanner's tool is a researcher.
	var other impound.Class
	for _, c := range []impound.Class{impound.ClassResearcher, impound.ClassScanner, impound.ClassMailGate, impound.ClassResolver} {
		if p[c] > p[other]+1e-9 && !(other == impound.ClassResearcher && strong[other] && c == impound.ClassScanner && p[other] >= otherAt) {
			other = c
		}
	}
	victim := p[impound.ClassVictim]
	switch {
	case other != "" && p[other] >= otherAt-1e-9 && p[other]-victim >= margin:
		v.Class, v.Confidence = other, p[other]*(1-victim/2)
	case victim >= victimAt && strong[impound.ClassVictim] && (other == "" || p[other] < otherAt-margin):
		v.Class, v.Confidence = impound.ClassVictim, victim*(1-p[other]/2)
	default:
		v.Confidence = 1 - max(victim, p[other])
		switch {
		case victim >= otherAt && other != "" && p[other] >= otherAt-margin:
			v.Reasons = append(v.Reasons, impound.Reason{Code: "signs-conflict", Text: fmt.Sprintf("there are signs of a person and of a %s", other)})
		case !strong[impound.ClassVictim]:
			v.Reasons = append(v.Reasons, impound.Reason{Code: "no-strong-sign", Text: "nothing shows that a person followed a lure"})
		}
	}
	v.Confidence = round(v.Confidence)
	return v
}

func round(f float64) float64 { return math.Round(f*100) / 100 }
