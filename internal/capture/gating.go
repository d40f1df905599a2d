package capture

import (
	"bytes"
	"fmt"
	"hash/fnv"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// The verdicts of a comparison.
const (
	GateYes      = "gated"      // some visitors are shown another thing than others
	GateAll      = "challenged" // every visitor has to pass a challenge first
	GateUnstable = "unstable"   // the same visitor got two answers: no difference can be laid to who asked
	GateNone     = "none seen"  // all were shown the same
	GateUnknown  = "unknown"    // nothing answered, or too few did
)

// Gating is what comparing several visitors' answers gave.
type Gating struct {
	Name       string      `json:"name"`
	URL        string      `json:"url"`
	At         time.Time   `json:"at"`
	Verdict    string      `json:"verdict"`
	Reasons    []GateNote  `json:"reasons,omitempty"`
	Challenges []string    `json:"challenges,omitempty"` // kinds of challenge pages met
	Looks      []LookFacts `json:"looks"`
	NotTried   []string    `json:"not_tried,omitempty"` // what was left out, and why
}

// GateNote is one reason.
type GateNote struct {
	By   string `json:"by"` // "user-agent", "cookie", "referrer", "source", "repeat", "script", "challenge"
	Look string `json:"look"`
	Text string `json:"text"`
}

// LookFacts is what a look is compared by.
type LookFacts struct {
	Look       string   `json:"look"`
	Via        string   `json:"via"`
	Agent      string   `json:"agent"`
	Cookie     bool     `json:"cookie"`
	Referrer   string   `json:"referrer,omitempty"`
	Steps      []Step   `json:"steps"`
	Status     int      `json:"status,omitempty"`
	Left       string   `json:"left,omitempty"` // the host that a redirect led off to
	Title      string   `json:"title,omitempty"`
	Password   bool     `json:"password_field"`
	Words      int      `json:"words"`
	Normal     string   `json:"normal,omitempty"` // hash of the normalised page
	Likeness   float64  `json:"likeness"`         // to the first look, 0 to 1
	Challenges []string `json:"challenges,omitempty"`
	Refresh    string   `json:"refresh,omitempty"` // where a meta refresh points
	Err        string   `json:"err,omitempty"`

	shingles map[uint64]struct{}
}

// Step is one exchange of a look, in the JSON summary; the octets are in the
// WARC file.
type Step struct {
	URL         string    `json:"url"`
	At          time.Time `json:"at"`
	Millis      int64     `json:"ms"`
	Addr        string    `json:"addr,omitempty"`
	Via         string    `json:"via"`
	Status      int       `json:"status,omitempty"`
	Server      string    `json:"server,omitempty"`
	ContentType string    `json:"content_type,omitempty"`
	Location    string    `json:"location,omitempty"`
	Cookies     []string  `json:"cookie_names,omitempty"`
	Size        int       `json:"size"` // of the body as it came
	SHA256      string    `json:"sha256,omitempty"`
	Cut         string    `json:"cut,omitempty"`
	OffName     bool      `json:"off_name,omitempty"` // not at the captured name
	TLS         string    `json:"tls,omitempty"`
	Notes       []string  `json:"notes,omitempty"`
	Err         string    `json:"err,omitempty"`
}

func (t *take) step(x *exchange) Step {
	s := Step{URL: inert(x.URL, 2048), At: x.At, Millis: x.Took.Milliseconds(), Via: x.Via, Status: x.Status, Cut: x.Cut, Err: x.Err, Size: len(x.body)}
	if x.addr.IsValid() {
		s.Addr = x.addr.String()
	}
	if u, err := url.Parse(x.URL); err == nil {
		s.OffName = !t.onName(u)
	}
	if x.Status != 0 {
		s.SHA256 = strings.TrimPrefix(digest(x.body), "sha256:")
		s.Server, s.ContentType = inert(x.Header.Get("Server"), 200), inert(x.Header.Get("Content-Type"), 200)
		s.Location = inert(x.Header.Get("Location"), 2048)
		for _, k := range (&http.Response{Header: x.Header}).Cookies() {
			if len(s.Cookies) < 32 {
				s.Cookies = append(s.Cookies, inert(k.Name, 80))
			}
		}
	}
	if x.TLS != nil {
		s.TLS = x.TLS.summary()
	}
	return s
}

// facts boils a look down to what it is compared by.
func (t *take) facts(c *chain) LookFacts {
	v := c.visitor
	f := LookFacts{Look: v.look, Via: t.viaName(v.via), Agent: v.agent, Referrer: v.referer, Err: inert(c.err, 300)}
	for _, x := range c.steps {
		f.Steps = append(f.Steps, t.step(x))
		if bytes.Contains(x.request, []byte("\r\nCookie: ")) && x == c.steps[0] {
			f.Cookie = true
		}
	}
	if len(c.steps) == 0 {
		return f
	}
	// A look that follows redirects off the name is compared by where it left,
	// as those that don't follow are.
	last := c.steps[len(c.steps)-1]
	for i, s := range f.Steps {
		if s.OffName {
			f.Left = hostOf(s.URL)
			if i > 0 {
				last = c.steps[i-1]
			}
			break
		}
	}
	if c.left != "" {
		f.Left = hostOf(c.left)
	}
	f.Status = last.Status
	if f.Left != "" && f.Err == "" && last.Status == 0 {
		f.Err = last.Err
	}
	if last.Status == 0 {
		return f
	}
	body, cut, fault := unpack(last.Header, last.body, t.bounds.Decoded)
	step := &f.Steps[slices.Index(c.steps, last)]
	if cut {
		step.Notes = append(step.Notes, fmt.Sprintf("unpacks to more than %d octets: a decompression bomb, or nearly; the rest was left packed", t.bounds.Decoded))
	}
	if fault != "" {
		step.Notes = append(step.Notes, "its body "+fault)
	}
	p := readPage(body)
	f.Title, f.Password, f.Words, f.Refresh, f.shingles = p.title, p.password, len(p.words), p.refresh, p.shingles()
	f.Normal = strings.TrimPrefix(digest([]byte(strings.Join(p.words, " "))), "sha256:")[:16]
	f.Challenges = challenges(last.Status, last.Header, body, p)
	return f
}

func hostOf(s string) string {
	u, err := url.Parse(s)
	if err != nil {
		return "?"
	}
	return inert(strings.ToLower(u.Hostname()), 255)
}

// pageText is what is left of a body when nonces, dates and the like are gone.
type pageText struct {
	title    string
	words    []string // visible text, form fields and script addresses, normalised
	visible  int      // words of text alone
	password bool
	refresh  string
	scripts  strings.Builder // inline
}

// maxWords bounds what of a page is compared.
const maxWords = 20_000

func readPage(body []byte) *pageText {
	p := &pageText{}
	z := html.NewTokenizer(bytes.NewReader(body))
	z.SetMaxBuf(1 << 20)
	in := atom.Atom(0) // inside of title, script, style
	add := func(kind, s string) {
		for w := range strings.FieldsSeq(normal(s)) {
			if len(p.words) >= maxWords {
				return
			}
			p.words = append(p.words, kind+w)
		}
	}
	for len(p.words) < maxWords {
		switch z.Next() {
		case html.ErrorToken:
			return p
		case html.TextToken:
			s := string(z.Text())
			switch in {
			case atom.Title:
				if p.title == "" {
					p.title = inert(strings.TrimSpace(html.UnescapeString(s)), 200)
				}
				add("t:", s)
			case atom.Script:
				if p.scripts.Len() < 256<<10 {
					p.scripts.WriteString(s)
				}
			case atom.Style:
			default:
				n := len(p.words)
				add("", html.UnescapeString(s))
				p.visible += len(p.words) - n
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			name, more := z.TagName()
			tag := atom.Lookup(name)
			attr := map[string]string{}
			for more && len(attr) < 32 {
				var k, v []byte
				k, v, more = z.TagAttr()
				attr[string(k)] = string(v)
			}
			switch tag {
			case atom.Title, atom.Script, atom.Style:
				in = tag
				if src := attr["src"]; tag == atom.Script && src != "" {
					add("s:", addressOnly(src))
				}
			case atom.Input:
				kind := strings.ToLower(attr["type"])
				p.password = p.password || kind == "password"
				if kind != "hidden" { // hidden ones hold tokens
					add("i:", kind+"/"+attr["name"])
				}
			case atom.Form:
				add("f:", addressOnly(attr["action"]))
			case atom.Iframe, atom.Frame:
				add("r:", addressOnly(attr["src"]))
			case atom.Meta:
				if strings.EqualFold(attr["http-equiv"], "refresh") && p.refresh == "" {
					p.refresh = inert(attr["content"], 300)
					add("m:", attr["content"])
				}
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if atom.Lookup(name) == in {
				in = 0
			}
		}
	}
	return p
}

// addressOnly is a URL without its query, where tokens are.
func addressOnly(s string) string {
	s, _, _ = strings.Cut(s, "?")
	s, _, _ = strings.Cut(s, "#")
	return s
}

var (
	// What changes from one answer to the next: numbers, clock times, long
	// tokens in hexadecimal or base64, UUIDs.
	reToken  = regexp.MustCompile(`[A-Za-z0-9+/_=-]{16,}`)
	reHex    = regexp.MustCompile(`\b[0-9a-f]{8,}\b`)
	reNumber = regexp.MustCompile(`[0-9]+`)
	months   = regexp.MustCompile(`\b(jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec)[a-z]*\b|\b(mon|tues?|wed(nes)?|thu(rs)?|fri|sat(ur)?|sun)(day)?\b`)
)

// normal takes out of a text what differs between two honest answers.
func normal(s string) string {
	if len(s) > 64<<10 {
		s = s[:64<<10]
	}
	s = reToken.ReplaceAllStringFunc(s, func(w string) string {
		if strings.ContainsAny(w, "0123456789") {
			return "#"
		}
		return w
	})
	s = strings.ToLower(s)
	s = reHex.ReplaceAllStringFunc(s, func(w string) string {
		if strings.ContainsAny(w, "0123456789") {
			return "#"
		}
		return w
	})
	s = months.ReplaceAllString(s, "#")
	return reNumber.ReplaceAllString(s, "#")
}

// shingles are the page's runs of three words.
func (p *pageText) shingles() map[uint64]struct{} {
	out := make(map[uint64]struct{}, len(p.words))
	for i := range p.words {
		end := min(i+3, len(p.words))
		h := fnv.New64a()
		for _, w := range p.words[i:end] {
			_, _ = h.Write([]byte(w))
			_, _ = h.Write([]byte{0})
		}
		out[h.Sum64()] = struct{}{}
	}
	return out
}

// likeness is the share of runs that two pages have in common (Jaccard).
func likeness(a, b map[uint64]struct{}) float64 {
	if len(a) == 0 && len(b) == 0 {
		return 1
	}
	both := 0
	for k := range a {
		if _, ok := b[k]; ok {
			both++
		}
	}
	return float64(both) / float64(len(a)+len(b)-both)
}

// challengeSigns are the marks of challenge pages: what services that sit in
// front of sites put into the pages on which a visitor must prove himself.
var challengeSigns = []struct {
	kind   string
	header string // "Name: part of the value"
	body   []string
}{
	{"cloudflare", "Cf-Mitigated: challenge", nil},
	{"cloudflare", "", []string{"/cdn-cgi/challenge-platform/", "window._cf_chl_opt", "cf-browser-verification", "cf_chl_"}},
	{"turnstile", "", []string{"challenges.cloudflare.com/turnstile", "class=\"cf-turnstile", "class='cf-turnstile"}},
	{"hcaptcha", "", []string{"hcaptcha.com/1/api.js", "js.hcaptcha.com", "class=\"h-captcha", "class='h-captcha"}},
	{"recaptcha", "", []string{"google.com/recaptcha/", "recaptcha.net/recaptcha/", "class=\"g-recaptcha", "class='g-recaptcha"}},
	{"ddos-guard", "Server: ddos-guard", []string{"/.well-known/ddos-guard/"}},
	{"sucuri", "", []string{"sucuri_cloudproxy_js"}},
	{"imperva", "", []string{"_incapsula_resource"}},
	{"datadome", "", []string{"captcha-delivery.com", "geo.captcha-delivery"}},
	{"aws-waf", "X-Amzn-Waf-Action: c", []string{"awswaf.com/", "awswafintegration"}},
	{"perimeterx", "", []string{"px-captcha", "captcha.px-cdn.net"}},
	{"geetest", "", []string{"static.geetest.com", "initgeetest"}},
	{"friendly-captcha", "", []string{"class=\"frc-captcha", "friendly-challenge"}},
	{"anubis", "", []string{"/.within.website/x/cmd/anubis/"}},
}

// challenges names the kinds of challenge that an answer shows. "script" is a
// page with next to nothing to read whose script sets a cookie and loads again.
func challenges(status int, h http.Header, body []byte, p *pageText) []string {
	low := bytes.ToLower(body[:min(len(body), 512<<10)])
	var out []string
	for _, s := range challengeSigns {
		hit := false
		if name, part, ok := strings.Cut(s.header, ": "); ok {
			v := strings.ToLower(h.Get(name))
			hit = strings.Contains(v, part) && (name != "Server" || status == 403 || status == 503)
		}
		for _, b := range s.body {
			hit = hit || bytes.Contains(low, []byte(b))
		}
		if hit && !slices.Contains(out, s.kind) {
			out = append(out, s.kind)
		}
	}
	script := strings.ToLower(p.scripts.String())
	if len(out) == 0 && p.visible < 40 && strings.Contains(script, "document.cookie") && (strings.Contains(script, "location.reload") || strings.Contains(script, "location.href") || strings.Contains(script, "location.replace") || strings.Contains(script, "location=")) {
		out = append(out, "script")
	}
	return out
}

// sameEnough is the likeness from which two pages count as the same.
const sameEnough = 0.8

// compare fills in the verdict. The first look is what the others are held
// against; the last one is the first once more, and says how far two answers to
// the same visitor lie apart.
func (g *Gating) compare(script *LookFacts) {
	if len(g.Looks) < 2 {
		g.Verdict = GateUnknown
		return
	}
	base, again := &g.Looks[0], &g.Looks[len(g.Looks)-1]
	for i := range g.Looks {
		l := &g.Looks[i]
		l.Likeness = round(likeness(base.shingles, l.shingles))
		for _, c := range l.Challenges {
			if !slices.Contains(g.Challenges, c) {
				g.Challenges = append(g.Challenges, c)
			}
		}
	}
	if !slices.ContainsFunc(g.Looks, func(l LookFacts) bool { return l.Status != 0 }) {
		g.Verdict = GateUnknown
		return
	}
	steady := again.Likeness
	repeat := coarse(base, again)
	if repeat != "" {
		g.Reasons = append(g.Reasons, GateNote{"repeat", again.Look, "the first visitor, asking once more the same way, " + repeat})
	}
	gated := false
	for i := 1; i < len(g.Looks)-1; i++ {
		l := &g.Looks[i]
		by := difference(base, l)
		// A difference counts when neither of the two equal looks has it.
		if d := coarse(base, l); d != "" {
			if coarse(again, l) != "" {
				g.Reasons = append(g.Reasons, GateNote{by, l.Look, d})
				gated = gated || repeat == ""
			}
			continue
		}
		if l.Likeness < sameEnough && l.Likeness < steady-0.2 && likeness(again.shingles, l.shingles) < sameEnough {
			g.Reasons = append(g.Reasons, GateNote{by, l.Look, fmt.Sprintf("is shown another page: %d %% in common with what the first was shown, who got %d %% of it when asking again", int(100*l.Likeness), int(100*steady))})
			gated = gated || repeat == ""
		}
	}
	if script != nil && script.Status != 0 {
		if script.Password && !base.Password {
			g.Reasons = append(g.Reasons, GateNote{"script", "browser", "a field for a password appears only where scripts run"})
		}
		if d := script.Left; d != "" && base.Left == "" {
			g.Reasons = append(g.Reasons, GateNote{"script", "browser", "scripts lead the visitor off to " + defang(d)})
		}
	}
	everyone := true
	for _, l := range g.Looks {
		everyone = everyone && (len(l.Challenges) > 0 || l.Status == 0)
	}
	switch {
	case gated:
		g.Verdict = GateYes
	case everyone:
		g.Verdict = GateAll
		g.Reasons = append(g.Reasons, GateNote{"challenge", "all", "every visitor is shown a challenge first: " + strings.Join(g.Challenges, ", ")})
	case repeat != "" || steady < 0.5:
		g.Verdict = GateUnstable
	default:
		g.Verdict = GateNone
	}
}

// coarse words how two answers differ in what does not change by itself; "" is
// not at all.
func coarse(a, b *LookFacts) string {
	switch {
	case (a.Status == 0) != (b.Status == 0):
		if b.Status == 0 {
			return "gets no answer (" + b.Err + ")"
		}
		return fmt.Sprintf("is answered %d where the first got nothing", b.Status)
	case a.Left != b.Left:
		if b.Left == "" {
			return "is kept, where the first is sent off to " + defang(a.Left)
		}
		return "is sent off to " + defang(b.Left)
	case a.Status != b.Status:
		return fmt.Sprintf("is answered %d, not %d", b.Status, a.Status)
	case !slices.Equal(a.Challenges, b.Challenges):
		if len(b.Challenges) == 0 {
			return "is let in without the challenge that the first is shown"
		}
		return "is shown a challenge: " + strings.Join(b.Challenges, ", ")
	case a.Password != b.Password:
		if b.Password {
			return "is asked for a password, the first is not"
		}
		return "is not asked for a password, as the first is"
	}
	return ""
}

// difference says in what a look differed from the first.
func difference(base, l *LookFacts) string {
	switch {
	case l.Via != base.Via:
		return "source"
	case l.Agent != base.Agent:
		return "user-agent"
	case l.Referrer != base.Referrer:
		return "referrer"
	}
	return "cookie"
}

func round(f float64) float64 { return float64(int(f*1000+0.5)) / 1000 }

// Summary is the verdict in a line for people.
func (g *Gating) Summary() string {
	s := g.Verdict
	if len(g.Challenges) > 0 && g.Verdict != GateAll {
		s += " (challenge: " + strings.Join(g.Challenges, ", ") + ")"
	}
	var why []string
	for _, r := range g.Reasons {
		why = append(why, "by "+r.By+": "+r.Look+" "+r.Text)
	}
	if len(why) > 0 {
		s += ": " + strings.Join(why, "; ")
	}
	return s
}
