package sinkhole

import (
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
)

// request is what is known of one HTTP request. The strings of its head may
// share memory with a buffer.
type request struct {
	head
	proto    impound.Proto
	src, dst netip.AddrPort
	hello    *helloFacts // nil without TLS
}

// verdict is how a request is answered.
type verdict struct {
	status int
	ours   bool // the name is in force
	page   *page
	zone   string
	text   string // in place of a page
	close  bool   // of HTTP/1.x
	allow  bool
}

// What is allowed, and what a name of ours tells with each page.
const (
	allowed     = "GET, HEAD, POST, OPTIONS"
	plainText   = "text/plain; charset=utf-8"
	htmlText    = "text/html; charset=utf-8"
	acmePath    = "/.well-known/acme-challenge/"
	maxAcmeName = 256
)

var methodNames = func() map[string]string {
	m := map[string]string{}
	for _, k := range []string{"GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "CONNECT", "TRACE", "PROPFIND"} {
		m[k] = k
	}
	return m
}()

// decide records a request, and says how to answer it. It is the one place that
// decides either; who answers, with net/http or without, only carries it out.
// What it keeps shares no memory with r.
func (s *Sinkhole) decide(r *request, m *memo, now time.Time) verdict {
	ev := contact(r.proto, r.src, r.dst, now)
	host := m.hostName(r.host)
	ab := about{named: host != ""}
	ab.match, ab.ok = s.policy.Load().Lookup(host, now)
	ev.Name = host
	ev.Method = methodNames[r.method]
	if ev.Method == "" {
		ev.Method = "other"
	}
	var lure, proof string
	challenge := false
	if ab.ok && s.cfg.Challenge != nil && len(r.path) > len(acmePath) && r.path[:len(acmePath)] == acmePath {
		if token := r.path[len(acmePath):]; len(token) <= maxAcmeName && isACMEToken(token) {
			proof, challenge = s.cfg.Challenge(host, strings.Clone(token))
		}
	}
	if challenge {
		ev.Path = acmePath + tokenMark
	} else {
		ev.Path, lure = m.scrubPath(r.path)
	}
	ev.UserAgent = m.scrubAgent(r.agent)
	ev.Referer = m.refererHost(r.referer)
	if r.hello != nil {
		r.hello.into(&ev)
	}
	v := verdict{status: http.StatusOK, ours: ab.ok, close: r.close || r.body || r.expect || r.upgrade}
	switch {
	case !ab.ok:
		v.status = http.StatusMisdirectedRequest
	case r.expect:
		v.status = http.StatusExpectationFailed
	case r.method == http.MethodConnect || r.method == http.MethodTrace:
		v.status, v.allow = http.StatusMethodNotAllowed, true
	case challenge:
		v.text = proof
	default:
		v.page, v.zone = s.notice.page(ab.match, r.lang), ab.match.Zone
		v.allow = r.method == http.MethodOptions
	}
	if v.status != http.StatusOK {
		v.close, v.text = true, shortTexts[v.status]
	}
	ev.Status = v.status
	ev.Outcome = answered
	if !ab.ok {
		ev.Outcome = refused
	}
	if ab.ok && !challenge && ab.match.Order.Capture == impound.CaptureLure {
		if lure == "" {
			lure = queryLure(r.query)
		}
		s.lures.put(&ev, lure, now)
	}
	s.record(&ev, ab)
	return v
}

// isACMEToken says whether s is of base64url, RFC 8555 8.3.
func isACMEToken(s string) bool {
	for i := range len(s) {
		if c := s[i]; !alnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

// header gives the fields of the answer to fn, without Date and Connection.
func (v *verdict) header(fn func(k, value string)) {
	if v.ours {
		fn("X-Sinkhole", "impound")
	}
	if v.allow {
		fn("Allow", allowed)
	}
	fn("Cache-Control", "no-store")
	fn("X-Content-Type-Options", "nosniff")
	if v.page == nil {
		fn("Content-Type", plainText)
		return
	}
	fn("Content-Type", htmlText)
	fn("Content-Language", v.page.lang)
	fn("Vary", "Accept-Language")
	fn("Content-Security-Policy", noticeCSP)
	fn("Referrer-Policy", "no-referrer")
	fn("X-Robots-Tag", "noindex")
}

func (v *verdict) length() int {
	if v.page == nil {
		return len(v.text)
	}
	// Each dot of the zone is shown in brackets.
	return len(v.page.before) + len(v.zone) + 2*strings.Count(v.zone, ".") + len(v.page.after)
}

func (v *verdict) appendBody(b []byte) []byte {
	if v.page == nil {
		return append(b, v.text...)
	}
	b = append(b, v.page.before...)
	b = appendDefanged(b, v.zone)
	return append(b, v.page.after...)
}

// appendAnswer adds the whole answer for HTTP/1.x. date is a Date field's value.
func (v *verdict) appendAnswer(b []byte, r *head, date []byte) []byte {
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(v.status), 10)
	b = append(b, ' ')
	b = append(b, http.StatusText(v.status)...)
	b = append(b, "\r\nDate: "...)
	b = append(b, date...)
	b = append(b, "\r\n"...)
	if v.page != nil && !v.allow {
		b = append(b, v.page.fields...)
	} else {
		v.header(func(k, value string) {
			b = append(append(append(append(b, k...), ": "...), value...), "\r\n"...)
		})
	}
	if v.close {
		b = append(b, "Connection: close\r\n"...)
	} else if r.keep10 {
		b = append(b, "Connection: keep-alive\r\n"...)
	}
	b = append(b, "Content-Length: "...)
	b = strconv.AppendInt(b, int64(v.length()), 10)
	b = append(b, "\r\n\r\n"...)
	if r.method == http.MethodHead {
		return b
	}
	return v.appendBody(b)
}

// appendDefanged shows a zone so that no program makes a link of it. It holds
// letters, digits, hyphens and dots: nothing to escape.
func appendDefanged(b []byte, zone string) []byte {
	for i := range len(zone) {
		if zone[i] == '.' {
			b = append(b, "[.]"...)
		} else {
			b = append(b, zone[i])
		}
	}
	return b
}

// page is one order's notice in one language, around the name.
type page struct {
	lang          string
	before, after []byte
	fields        []byte // of the answer's head, that are the same each time
}

// memo remembers what may be kept of a field whose whole may be kept, so that
// what comes again and again is looked at once, and is not copied. Nothing that
// had to be cut stands in it. It is for one goroutine; a nil one remembers
// nothing.
type memo struct {
	hosts, paths, agents, referers map[string]string
}

func newMemo() *memo {
	return &memo{hosts: map[string]string{}, paths: map[string]string{}, agents: map[string]string{}, referers: map[string]string{}}
}

const maxMemo = 1024 // of each kind: who sends many different ones gains nothing

func remember(m map[string]string, k, v string) {
	if len(m) >= maxMemo {
		clear(m)
	}
	m[k] = v
}

func (m *memo) hostName(raw string) string {
	if m == nil {
		return hostName(raw)
	}
	if h, ok := m.hosts[raw]; ok {
		return h
	}
	k := strings.Clone(raw)
	h := hostName(k)
	if len(k) < 128 && (h == k || h+":" == k[:min(len(k), len(h)+1)]) { // a name, or that and a port
		remember(m.hosts, k, h)
	}
	return h
}

func (m *memo) scrubPath(raw string) (path, lure string) {
	if m == nil {
		return scrubPath(raw)
	}
	if p, ok := m.paths[raw]; ok {
		return p, ""
	}
	k := strings.Clone(raw)
	if path, lure = scrubPath(k); path == k && lure == "" && len(k) < 128 {
		remember(m.paths, k, k)
	}
	return path, lure
}

func (m *memo) scrubAgent(raw string) string {
	if m == nil {
		return scrubText(raw, maxAgent)
	}
	if a, ok := m.agents[raw]; ok {
		return a
	}
	k := strings.Clone(raw)
	a := scrubText(k, maxAgent)
	if a == k {
		remember(m.agents, k, k)
	}
	return a
}

// refererHost remembers no more than hosts: with their scheme, and a slash.
func (m *memo) refererHost(raw string) string {
	if m == nil || raw == "" {
		return refererHost(raw)
	}
	if h, ok := m.referers[raw]; ok {
		return h
	}
	k := strings.Clone(raw)
	h := refererHost(k)
	if h != "" && (k == "https://"+h+"/" || k == "http://"+h+"/") {
		remember(m.referers, k, h)
	}
	return h
}
