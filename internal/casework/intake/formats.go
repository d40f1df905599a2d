package intake

import (
	"encoding/base64"
	"encoding/json"
	"html"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"slices"
	"strings"

	"github.com/impound/impound"
)

// Indicator feeds. What a feed calls an indicator is an item of a list; what it
// only mentions is set apart.

type stixObject struct {
	Type        string   `json:"type"`
	Pattern     string   `json:"pattern"`
	PatternType string   `json:"pattern_type"`
	Value       string   `json:"value"`
	Name        string   `json:"name"`
	Description string   `json:"description"`
	Revoked     flag     `json:"revoked"`
	Aliases     []string `json:"aliases"`
	Kinds       []string `json:"indicator_types"` // STIX 2.0: labels
	Labels      []string `json:"labels"`
}

// harmless says that whoever made the indicator says it shows nothing bad.
func (o stixObject) harmless() bool {
	kinds := append(slices.Clone(o.Kinds), o.Labels...)
	return slices.Contains(kinds, "benign") && !slices.Contains(kinds, "malicious-activity")
}

// flag is true or false as programs write it: also as a string or a number.
type flag bool

func (f *flag) UnmarshalJSON(b []byte) error {
	s := strings.ToLower(strings.Trim(string(b), `"`))
	*f = s == "true" || s == "1" || s == "yes"
	return nil
}

type mispAttribute struct {
	Type    string `json:"type"`
	Value   string `json:"value"`
	ToIDS   flag   `json:"to_ids"`
	Deleted flag   `json:"deleted"`
	Comment string `json:"comment"`
}

type mispTag struct {
	Name string `json:"name"`
}

type mispGalaxy struct {
	Type    string `json:"type"`
	Cluster []struct {
		Value string `json:"value"`
		Meta  struct {
			Synonyms []string `json:"synonyms"`
		} `json:"meta"`
	} `json:"GalaxyCluster"`
}

type mispEvent struct {
	Info      string          `json:"info"`
	Date      string          `json:"date"`
	Tag       []mispTag       `json:"Tag"`
	Galaxy    []mispGalaxy    `json:"Galaxy"`
	Attribute []mispAttribute `json:"Attribute"`
	Object    []struct {
		Attribute []mispAttribute `json:"Attribute"`
	} `json:"Object"`
}

var stixName = lazy(`(?:(?:domain-name|url):value|(?:dst|src)_ref\.value)\s*(?:=|LIKE|IN)\s*\(?\s*((?:'(?:[^'\\]|\\.)+'\s*,?\s*)+)`)
var stixOther = lazy(`(?:(ipv[46]-addr|email-addr):value|file:hashes\.[^=]{1,20})\s*=\s*'([^'\\]{1,200})'`)
var stixQuoted = lazy(`'((?:[^'\\]|\\.)+)'`)

// feed reads a STIX bundle or a MISP event, and says whether the document was
// one.
func (r *reader) feed(s string) bool {
	var stix struct {
		Type    string       `json:"type"`
		Objects []stixObject `json:"objects"`
	}
	if json.Unmarshal([]byte(s), &stix) == nil && stix.Type == "bundle" && len(stix.Objects) > 0 {
		r.f.Format = "stix"
		for _, o := range stix.Objects {
			switch o.Type {
			case "intrusion-set", "threat-actor":
				for _, n := range append([]string{o.Name}, o.Aliases...) {
					r.alias(strings.TrimSpace(n), "a STIX "+o.Type+": "+o.Name)
				}
			case "indicator":
				if o.PatternType != "" && o.PatternType != "stix" { // a rule of another kind
					r.text(o.Pattern, false)
					break
				}
				if !bool(o.Revoked) && !o.harmless() {
					for _, m := range stixOther().FindAllStringSubmatch(o.Pattern, -1) {
						kind := "hash"
						if m[1] != "" {
							kind = map[byte]string{'i': "ip", 'e': "mailbox"}[m[1][0]]
						}
						r.feedIndicator(kind, m[2], "a STIX indicator")
					}
				}
				for _, m := range stixName().FindAllStringSubmatch(o.Pattern, -1) {
					for _, v := range stixQuoted().FindAllStringSubmatch(m[1], -1) {
						apart := "set apart: a revoked STIX indicator"
						if o.harmless() {
							apart = "set apart: a STIX indicator of something benign"
						}
						r.indicator(v[1], !bool(o.Revoked) && !o.harmless(), "a STIX indicator", apart)
					}
				}
			case "domain-name", "url":
				r.indicator(o.Value, false, "", "set apart: a STIX observable, no indicator")
			}
			r.text(o.Name+"\n\n\n\n\n"+o.Description, false)
		}
		return true
	}
	events := mispEvents([]byte(s))
	events = slices.DeleteFunc(events, func(e *mispEvent) bool { return e == nil })
	if len(events) == 0 {
		return false
	}
	r.f.Format = "misp"
	for _, e := range events {
		r.text(e.Info, false)
		r.dates(e.Date, func() string { return "the date of the MISP event" })
		for _, t := range e.Tag {
			if m := mispActor().FindStringSubmatch(t.Name); m != nil {
				r.alias(m[1], "a tag of the MISP event: "+t.Name)
			}
		}
		for _, g := range e.Galaxy {
			if g.Type != "threat-actor" && !strings.HasSuffix(g.Type, "intrusion-set") && g.Type != "microsoft-activity-group" {
				continue
			}
			for _, c := range g.Cluster {
				v, _, _ := strings.Cut(c.Value, " - G") // ATT&CK's number
				for _, n := range append([]string{v}, c.Meta.Synonyms...) {
					r.alias(strings.TrimSpace(n), "a galaxy of the MISP event: "+c.Value)
				}
			}
		}
		all := e.Attribute
		for _, o := range e.Object {
			all = append(all, o.Attribute...)
		}
		for _, a := range all {
			switch a.Type {
			case "domain", "hostname", "domain|ip", "hostname|port", "url":
				v, _, _ := strings.Cut(a.Value, "|")
				r.indicator(v, bool(a.ToIDS && !a.Deleted), "a MISP attribute for detection", "set apart: a MISP attribute that is not for detection, or was deleted")
			case "ip-src", "ip-dst", "ip-src|port", "ip-dst|port", "email-src", "md5", "sha1", "sha256", "sha512":
				kind := map[byte]string{'i': "ip", 'e': "mailbox"}[a.Type[0]]
				if a.ToIDS && !a.Deleted {
					r.feedIndicator(kind, a.Value, "a MISP attribute for detection")
				}
			case "text", "comment":
				r.text(a.Value, false)
			}
			r.text(a.Comment, false)
		}
	}
	return true
}

var mispActor = lazy(`^misp-galaxy:(?:threat-actor|mitre-intrusion-set|mitre-enterprise-attack-intrusion-set|microsoft-activity-group)="([^"]{2,80}?)(?: - G\d{4})?"$`)

// mispEvents gives the events of a document: of one, of a list, and of what a
// server answers to a search, for events or for attributes.
func mispEvents(b []byte) []*mispEvent {
	type wrapped struct {
		Event    *mispEvent      `json:"Event"`
		Response json.RawMessage `json:"response"`
	}
	var one wrapped
	var many []wrapped
	if json.Unmarshal(b, &one) != nil && json.Unmarshal(b, &many) != nil {
		return nil
	}
	events := []*mispEvent{one.Event}
	if len(one.Response) > 0 {
		var found mispEvent
		if json.Unmarshal(one.Response, &many) != nil && json.Unmarshal(one.Response, &found) == nil && len(found.Attribute) > 0 {
			events = append(events, &found)
		}
	}
	for _, x := range many {
		events = append(events, x.Event)
	}
	return events
}

// indicator takes one value of a feed. Of a URL the host alone is kept: its path
// and query may name a victim.
func (r *reader) indicator(v string, good bool, why, apart string) {
	v = strings.TrimSpace(v)
	if r.o.Unwrap != nil && wrapper().MatchString(v) {
		v, _ = r.o.Unwrap(v)
	}
	url := false
	if _, rest, ok := strings.Cut(v, "://"); ok {
		url = true
		v = rest
	}
	v, _, _ = strings.Cut(v, "/")
	if i := strings.LastIndexByte(v, '@'); i >= 0 {
		v = v[i+1:]
	}
	v, _, _ = strings.Cut(v, ":")
	n, err := impound.ParseName(v)
	if err != nil || n.Labels() < 2 {
		return
	}
	_, known := r.names[n]
	r.found(n, false, false, good, why)
	if known {
		return
	}
	if at := r.names[n]; at < len(r.f.Names) && r.f.Names[at].Name == n {
		x := &r.f.Names[at]
		switch {
		case x.Proposed:
			x.Why = why
		case !good && strings.Contains(x.Why, "mentioned"):
			x.Why = apart
		}
		x.Sentence = n.Defanged()
		if url {
			x.Sentence = "the host of a URL: " + x.Sentence
		}
	}
}

// Limits of a mail.
const (
	maxParts = 200
	maxDepth = 8
)

// mail reads the text parts of a mail, and PDF and DOCX files in it, and says
// whether it was one. Its headers are not looked into, nothing is fetched, and no
// sentence of it is kept: it may be a victim's.
func (r *reader) mail(s string) bool {
	if line, rest, ok := strings.Cut(s, "\n"); ok && strings.HasPrefix(line, "From ") { // mbox
		s = rest
	}
	m, err := mail.ReadMessage(strings.NewReader(s))
	if err != nil || m.Header.Get("From") == "" && m.Header.Get("Received") == "" {
		return false
	}
	r.f.Format = "mail"
	r.private = true
	parts := 0
	r.part(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body, 0, &parts)
	return true
}

func (r *reader) part(contentType, encoding string, body io.Reader, depth int, parts *int) {
	bad := func(format string, args ...any) {
		r.f.Problems = append(r.f.Problems, impound.Errorf(impound.KindInvalid, format, args...).At(r.f.File).WithCure("open the mail in a safe place and paste its text"))
	}
	if *parts++; *parts > maxParts || depth > maxDepth {
		if *parts == maxParts+1 || depth == maxDepth+1 {
			bad("the mail has more than %d parts, or parts within parts: the rest was not read", maxParts)
		}
		return
	}
	media, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		media = "text/plain"
	}
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		body = base64.NewDecoder(base64.StdEncoding, body)
	case "quoted-printable":
		body = quotedprintable.NewReader(body)
	}
	switch {
	case strings.HasPrefix(media, "multipart/") && params["boundary"] != "":
		mr := multipart.NewReader(body, params["boundary"])
		for *parts <= maxParts {
			p, err := mr.NextRawPart()
			if err == io.EOF {
				return
			}
			if err != nil {
				bad("the mail can't be read on: its parts are cut")
				return
			}
			r.part(p.Header.Get("Content-Type"), p.Header.Get("Content-Transfer-Encoding"), p, depth+1, parts)
		}
	case media == "message/rfc822":
		if m, err := mail.ReadMessage(io.LimitReader(body, MaxSize)); err == nil {
			r.part(m.Header.Get("Content-Type"), m.Header.Get("Content-Transfer-Encoding"), m.Body, depth+1, parts)
		}
	case media == "application/pdf" || media == "application/octet-stream" || strings.Contains(media, "wordprocessingml"):
		b, err := io.ReadAll(io.LimitReader(body, MaxSize+1))
		if err != nil || len(b) > MaxSize {
			bad("a file in the mail is cut or too long: it was not read")
			return
		}
		r.attached(b)
	case strings.HasPrefix(media, "text/"):
		b, err := io.ReadAll(io.LimitReader(body, MaxSize))
		if err != nil {
			bad("a part of the mail is cut: what came before was read")
		}
		text := strings.ToValidUTF8(string(b), "\uFFFD")
		if media == "text/html" || tagRule().MatchString(text) {
			for _, h := range hrefRule().FindAllStringSubmatch(text, 10_000) {
				r.indicator(html.UnescapeString(h[1]), false, "", "set apart: a link in the mail; tick it when it is the lure")
			}
			text = plainText(text)
		}
		r.text(text, false)
	}
}

// wrapper tells links that mail gateways put around links.
var (
	wrapper   = lazy(`(?i)safelinks(?:\.|\[\.\])protection|urldefense`)
	anyLink   = lazy(`(?i)h(?:tt|xx)ps?(?::|\[:\])//[^\s"'<>]+`)
	liveLinks = strings.NewReplacer("[.]", ".", "(.)", ".", "[:]", ":", "hxxp", "http", "hXXp", "http")
)

// unwrap puts the links themselves in the place of wrapped ones. What was
// defanged stays so.
func (r *reader) unwrap(s string) string {
	if r.o.Unwrap == nil || !wrapper().MatchString(s) {
		return s
	}
	return anyLink().ReplaceAllStringFunc(s, func(l string) string {
		if !wrapper().MatchString(l) {
			return l
		}
		inner, by := r.o.Unwrap(liveLinks.Replace(l))
		if len(by) == 0 {
			return l
		}
		if _, rest, ok := strings.Cut(inner, "://"); ok && !strings.HasPrefix(l, "http") {
			return "hxxp://" + rest
		}
		return inner
	})
}

var hrefRule = lazy(`(?i)\bhref\s*=\s*["']?\s*(https?://[^\s"'<>]+)`)
