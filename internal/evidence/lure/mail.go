package lure

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net/mail"
	"net/netip"
	"net/url"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/net/html"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/pdfread"
)

// Format is the first field of an analysis.
const Format = "lure/v1"

// Limits of one mail.
const (
	MaxSize        = 64 << 20 // octets of the mail
	maxHead        = 512 << 10
	maxParts       = 300
	maxNest        = 8
	maxLinks       = 2000
	maxHops        = 100
	maxAttachments = 200
	maxImages      = 60 // looked at for QR codes
)

// Analysis is what a mail tells of its sender. It holds no text of it, no
// subject, no local part, no recipient, no path and no query: these can be a
// victim's. What is the same in two mails can be compared by keyed hashes.
type Analysis struct {
	Impound  string    `json:"impound"`  // Format
	Original string    `json:"original"` // "sha256:..." of the mail as it was given
	Size     int       `json:"size"`
	Sealed   string    `json:"sealed,omitempty"` // hash of the artefact that holds it, encrypted
	Messages []Message `json:"messages"`         // the mail, and mails within it, outermost first
	// NotDone says what was not looked at, so that nobody takes silence for a
	// clean result.
	NotDone  []string `json:"not_done"`
	Problems []string `json:"problems,omitempty"`
}

// Message is one mail.
type Message struct {
	Depth      int      `json:"depth"` // 0: the mail itself; 1: forwarded within it
	Date       string   `json:"date,omitempty"`
	From       string   `json:"from_domain,omitempty"`
	ReplyTo    string   `json:"reply_to_domain,omitempty"`
	ReturnPath string   `json:"return_path_domain,omitempty"`
	MessageID  string   `json:"message_id_domain,omitempty"`
	SenderHash string   `json:"sender_hash,omitempty"` // keyed, of the From address
	Recipients int      `json:"recipients"`            // how many To and Cc name
	Differ     []string `json:"differ,omitempty"`      // sender's domains that are not the same
	Hops       []Hop    `json:"hops,omitempty"`        // oldest first
	// Auth is what receiving servers stated; DKIM what the mail claims. Neither
	// was verified again: that takes keys from the DNS of that day.
	Auth        []Auth       `json:"auth_stated,omitempty"`
	DKIM        []DKIM       `json:"dkim_claimed,omitempty"`
	Platforms   []Platform   `json:"platforms,omitempty"`
	Links       []Link       `json:"links,omitempty"`
	Attachments []Attachment `json:"attachments,omitempty"`
}

// Hop is one Received header. All but the last servers' can be forged.
type Hop struct {
	Helo string    `json:"helo,omitempty"`
	Addr string    `json:"addr,omitempty"`
	By   string    `json:"by,omitempty"`
	With string    `json:"with,omitempty"`
	At   time.Time `json:"at,omitzero"`
}

// Auth is one result of an Authentication-Results header (RFC 8601).
type Auth struct {
	Server string `json:"server"` // that states it
	Method string `json:"method"` // spf, dkim, dmarc, arc, compauth
	Result string `json:"result"`
	Domain string `json:"domain,omitempty"`
}

// DKIM is one DKIM-Signature header.
type DKIM struct {
	Domain, Selector, Algorithm string
}

// Link is where a mail leads. Of the link itself the host is kept.
type Link struct {
	Host     string   `json:"host"`           // A-label, or an address
	Scheme   string   `json:"scheme"`         //
	Port     string   `json:"port,omitempty"` //
	Where    string   `json:"where"`          // "text", "html", "html form", "html image", "PDF", "QR code in ..."
	Wrapped  []string `json:"wrapped,omitempty"`
	Segments int      `json:"segments,omitempty"` // of the path
	Query    bool     `json:"query,omitempty"`
	Hash     string   `json:"hash,omitempty"` // keyed, of the whole link
	// Tokens are keyed hashes of the last segment of the path, of the values of
	// the query and of the fragment: a visit of the sinkhole with the same hash
	// came from this mail.
	Tokens []string `json:"tokens,omitempty"`
	// Shows is the host that the link's text names, when it is another.
	Shows string `json:"shows,omitempty"`
	Times int    `json:"times"`
}

// Attachment is a file in a mail.
type Attachment struct {
	Media  string   `json:"media"`         // as the mail says
	Ending string   `json:"ending"`        // of its name: ".pdf"
	Is     string   `json:"is,omitempty"`  // by content, when known
	Hash   string   `json:"hash"`          // "sha256:..."
	Size   int      `json:"size"`          // octets
	PDF    *PDF     `json:"pdf,omitempty"` //
	Notes  []string `json:"notes,omitempty"`
}

// PDF is what an attached PDF holds; its links stand with the mail's.
type PDF struct {
	Encrypted bool     `json:"encrypted"`
	Pages     int      `json:"pages"`
	Active    []string `json:"active,omitempty"`
	Images    int      `json:"images"`
}

// Options for [Analyse].
type Options struct {
	// Key makes the hashes; nil leaves them out. With the sinkholes' lure key
	// the hashes of tokens compare with those of visits.
	Key []byte
}

// ErrNotMail says that the octets are no mail.
var ErrNotMail = errors.New("this is no mail")

// IsMail tells a mail by its first lines.
func IsMail(b []byte) bool {
	b = b[:min(len(b), maxHead)]
	if line, rest, ok := bytes.Cut(bytes.TrimPrefix(b, []byte("\ufeff")), []byte("\n")); ok && bytes.HasPrefix(line, []byte("From ")) {
		b = rest
	}
	h, _ := header(b)
	known := 0
	for _, k := range []string{"received", "message-id", "mime-version", "date", "subject", "to", "content-type", "return-path", "dkim-signature"} {
		if len(h[k]) > 0 {
			known++
		}
	}
	return known >= 2 && (len(h["from"]) > 0 || len(h["received"]) > 0)
}

// Analyse looks at a mail. It executes and fetches nothing. The error is
// [ErrNotMail] alone: the rest is in Problems.
func Analyse(b []byte, o Options) (Analysis, error) {
	if !IsMail(b) {
		return Analysis{}, ErrNotMail
	}
	sum := sha256.Sum256(b)
	a := &analyser{o: o}
	a.out = Analysis{Impound: Format, Original: "sha256:" + hex.EncodeToString(sum[:]), Size: len(b), NotDone: []string{
		"DKIM, SPF and DMARC were not verified again: what receiving servers stated is given",
		"no link was followed, and no file was opened but PDF files and pictures, which were only read",
		"QR codes that are drawn as lines or as text, not as a picture, are not seen",
	}}
	if len(b) > MaxSize {
		b = b[:MaxSize]
		a.problem("the mail is larger than %d octets: its end was left out", MaxSize)
	}
	if line, rest, ok := bytes.Cut(bytes.TrimPrefix(b, []byte("\ufeff")), []byte("\n")); ok && bytes.HasPrefix(line, []byte("From ")) {
		b = rest
	}
	a.message(b, 0)
	return a.out, nil
}

type analyser struct {
	o             Options
	out           Analysis
	parts, images int
	links         int
}

func (a *analyser) problem(format string, args ...any) {
	p := fmt.Sprintf(format, args...)
	if len(a.out.Problems) < 50 && !slices.Contains(a.out.Problems, p) {
		a.out.Problems = append(a.out.Problems, p)
	}
}

func (a *analyser) hash(s string) string {
	if len(a.o.Key) == 0 || s == "" {
		return ""
	}
	m := hmac.New(sha256.New, a.o.Key)
	m.Write([]byte(s))
	return hex.EncodeToString(m.Sum(nil))
}

// header reads a mail's head, names in lower case. It never fails: lines that are
// no header are passed over.
func header(b []byte) (map[string][]string, []byte) {
	h := map[string][]string{}
	var key string
	var val strings.Builder
	flush := func() {
		if key != "" && len(h[key]) < 1000 {
			h[key] = append(h[key], strings.TrimSpace(val.String()))
		}
		key = ""
		val.Reset()
	}
	total := 0
	for len(b) > 0 {
		line, rest, _ := bytes.Cut(b, []byte("\n"))
		if total += len(line) + 1; total > maxHead {
			break
		}
		b = rest
		line = bytes.TrimRight(line, "\r")
		if len(line) == 0 {
			break
		}
		if line[0] == ' ' || line[0] == '\t' {
			if key != "" && val.Len() < 64<<10 {
				val.WriteByte(' ')
				val.Write(bytes.TrimSpace(line))
			}
			continue
		}
		flush()
		k, v, ok := bytes.Cut(line, []byte(":"))
		k = bytes.TrimRight(k, " \t")
		if !ok || len(k) == 0 || len(k) > 100 || bytes.ContainsAny(k, " \t") {
			continue
		}
		key = strings.ToLower(string(k))
		val.Write(v)
	}
	flush()
	return h, b
}

func (a *analyser) message(b []byte, depth int) {
	h, body := header(b)
	first := func(k string) string {
		if v := h[k]; len(v) > 0 {
			return v[0]
		}
		return ""
	}
	m := Message{Depth: depth}
	if t, err := mail.ParseDate(first("date")); err == nil {
		m.Date = t.UTC().Format(time.RFC3339)
	}
	from := address(first("from"))
	m.From, m.ReplyTo, m.ReturnPath, m.MessageID = domainOf(from), domainOf(address(first("reply-to"))), domainOf(address(first("return-path"))), domainOf(strings.Trim(first("message-id"), "<>"))
	m.SenderHash = a.hash(strings.ToLower(from))
	for _, k := range []string{"to", "cc"} {
		for _, v := range h[k] {
			m.Recipients += strings.Count(v, "@")
		}
	}
	for _, x := range []struct{ what, d string }{{"reply-to", m.ReplyTo}, {"return-path", m.ReturnPath}, {"message-id", m.MessageID}} {
		if x.d != "" && m.From != "" && registrable(x.d) != registrable(m.From) {
			m.Differ = append(m.Differ, x.what)
		}
	}
	rs := h["received"]
	for i := min(len(rs), maxHops) - 1; i >= 0; i-- {
		m.Hops = append(m.Hops, hop(rs[i]))
	}
	for _, k := range []string{"authentication-results", "arc-authentication-results"} {
		for _, v := range h[k] {
			m.Auth = append(m.Auth, auth(v)...)
		}
	}
	for _, v := range h["received-spf"] {
		if w := strings.Fields(v); len(w) > 0 && plainWord(strings.ToLower(w[0])) {
			m.Auth = append(m.Auth, Auth{Server: "received-spf", Method: "spf", Result: strings.ToLower(w[0])})
		}
	}
	m.Auth = m.Auth[:min(len(m.Auth), 100)]
	for _, v := range h["dkim-signature"] {
		t := tags(v)
		if d := host(t["d"]); d != "" && len(m.DKIM) < 50 {
			s := DKIM{Domain: d}
			if plainWord(t["a"]) {
				s.Algorithm = t["a"]
			}
			if plainWord(t["s"]) {
				s.Selector = t["s"]
			}
			m.DKIM = append(m.DKIM, s)
		}
	}
	m.Platforms = platforms(h, m)
	at := len(a.out.Messages)
	a.out.Messages = append(a.out.Messages, m)
	a.part(at, first("content-type"), first("content-disposition"), first("content-transfer-encoding"), body, depth)
	fin := &a.out.Messages[at]
	slices.SortStableFunc(fin.Links, func(x, y Link) int { return strings.Compare(x.Host, y.Host) })
}

// address gives the address of a From or Reply-To header, "" when there is none.
func address(v string) string {
	if v == "" {
		return ""
	}
	if l, err := mail.ParseAddressList(v); err == nil && len(l) > 0 {
		return l[0].Address
	}
	if i := strings.LastIndexByte(v, '<'); i >= 0 {
		if j := strings.IndexByte(v[i:], '>'); j > 0 {
			return strings.TrimSpace(v[i+1 : i+j])
		}
	}
	for _, w := range strings.Fields(v) {
		if strings.Contains(w, "@") {
			return strings.Trim(w, "<>,;\"'()")
		}
	}
	return ""
}

func domainOf(addr string) string {
	if i := strings.LastIndexByte(addr, '@'); i >= 0 {
		return host(addr[i+1:])
	}
	return ""
}

// host gives s when it is a name or an address, in its one spelling.
func host(s string) string {
	s = strings.TrimSpace(s)
	if ip, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return ip.String()
	}
	if strings.ContainsAny(s, "@/?# ") || len(s) > 300 {
		return ""
	}
	n, err := impound.ParseName(s)
	if err != nil {
		return ""
	}
	return n.String()
}

func registrable(s string) string {
	n, err := impound.ParseName(s)
	if err != nil {
		return s
	}
	r, err := n.Registrable()
	if err != nil {
		return s
	}
	return r.String()
}

var (
	hopFrom = lazy(`(?i)^\s*from\s+(\[?[A-Za-z0-9._:-]{1,255}\]?)`)
	hopAddr = lazy(`\[(?:IPv6:)?([0-9A-Fa-f:.]{3,45})\]|\((?:[^()\s]* )?([0-9]{1,3}(?:\.[0-9]{1,3}){3})\)`)
	hopBy   = lazy(`(?i)\bby\s+([A-Za-z0-9._:-]{1,255})`)
	hopWith = lazy(`(?i)\bwith\s+([A-Za-z0-9-]{1,40})`)
)

func hop(v string) Hop {
	var h Hop
	if i := strings.LastIndexByte(v, ';'); i >= 0 {
		if t, err := mail.ParseDate(strings.TrimSpace(v[i+1:])); err == nil {
			h.At = t.UTC()
		}
		v = v[:i]
	}
	if m := hopFrom().FindStringSubmatch(v); m != nil {
		// A single label is somebody's computer, which may bear his name.
		if h.Helo = host(m[1]); !strings.ContainsAny(h.Helo, ".:") {
			h.Helo = ""
		}
	}
	for _, m := range hopAddr().FindAllStringSubmatch(v, 4) {
		if ip, err := netip.ParseAddr(m[1] + m[2]); err == nil {
			h.Addr = ip.String()
			break
		}
	}
	if m := hopBy().FindStringSubmatch(v); m != nil {
		h.By = host(m[1])
	}
	if m := hopWith().FindStringSubmatch(v); m != nil {
		h.With = m[1]
	}
	return h
}

func plainWord(s string) bool {
	if s == "" || len(s) > 80 {
		return false
	}
	for _, c := range s {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return true
}

var authItem = lazy(`(?i)^\s*(spf|dkim|dmarc|arc|compauth|iprev|auth|dkim-adsp|dkim-atps|sender-id)\s*=\s*([a-z]{1,20})\b`)
var authDomain = lazy(`(?i)\b(?:header\.d|header\.i|header\.from|smtp\.mailfrom|smtp\.helo|policy\.iprev)\s*=\s*"?([^\s;"()]{1,320})`)
var comments = lazy(`\([^()]{0,1000}\)`)

// auth reads an Authentication-Results header; of addresses the domain is kept.
func auth(v string) []Auth {
	for range 3 {
		v = comments().ReplaceAllString(v, " ")
	}
	var out []Auth
	items := strings.Split(v, ";")
	server := ""
	if w := strings.Fields(items[0]); len(w) > 0 && !strings.Contains(w[0], "=") {
		server = host(w[0])
		if server == "" && plainWord(w[0]) {
			server = w[0]
		}
	}
	if w := strings.Fields(items[0]); len(items) > 1 && len(w) > 0 && strings.HasPrefix(w[0], "i=") { // ARC
		if f := strings.Fields(items[1]); len(f) > 0 {
			server = host(f[0])
		}
	}
	for _, it := range items[:min(len(items), 40)] {
		m := authItem().FindStringSubmatch(it)
		if m == nil {
			continue
		}
		x := Auth{Server: server, Method: strings.ToLower(m[1]), Result: strings.ToLower(m[2])}
		if d := authDomain().FindStringSubmatch(it); d != nil {
			t := d[1]
			if i := strings.LastIndexByte(t, '@'); i >= 0 {
				t = t[i+1:]
			}
			x.Domain = host(t)
		}
		out = append(out, x)
	}
	return out
}

func tags(v string) map[string]string {
	out := map[string]string{}
	for _, t := range strings.Split(v, ";") {
		k, x, ok := strings.Cut(t, "=")
		if ok && len(out) < 30 {
			out[strings.TrimSpace(k)] = strings.Join(strings.Fields(x), "")
		}
	}
	return out
}

// part walks a mail's body.
func (a *analyser) part(at int, ctype, disp, enc string, body []byte, depth int) {
	if a.parts++; a.parts > maxParts || depth > maxNest {
		a.problem("the mail has more than %d parts, or parts more than %d deep: the rest was not read", maxParts, maxNest)
		return
	}
	media, params, err := mime.ParseMediaType(ctype)
	if err != nil {
		if media, _, _ = strings.Cut(ctype, ";"); !strings.Contains(media, "/") {
			media = "text/plain"
		}
		media = strings.ToLower(strings.TrimSpace(media))
	}
	if strings.HasPrefix(media, "multipart/") && params["boundary"] != "" {
		mr := multipart.NewReader(bytes.NewReader(body), params["boundary"])
		for a.parts <= maxParts {
			p, err := mr.NextRawPart()
			if err == io.EOF {
				return
			}
			if err != nil {
				a.problem("a part of the mail is cut, or its head can't be read")
				return
			}
			b, err := io.ReadAll(p)
			if err != nil {
				a.problem("a part of the mail is cut")
			}
			a.part(at, p.Header.Get("Content-Type"), p.Header.Get("Content-Disposition"), p.Header.Get("Content-Transfer-Encoding"), b, depth+1)
		}
		return
	}
	b := decoded(enc, body)
	if media == "message/rfc822" || media == "message/global" {
		if depth+1 > maxNest {
			a.problem("mails lie more than %d deep in each other", maxNest)
			return
		}
		a.message(b, depth+1)
		return
	}
	kind, dp, _ := mime.ParseMediaType(disp)
	file := dp["filename"]
	if file == "" {
		file = params["name"]
	}
	file, _ = new(mime.WordDecoder).DecodeHeader(file)
	attached := kind == "attachment" || file != ""
	switch {
	case media == "text/html" && !attached, attached && media == "text/html":
		a.html(at, b)
		if attached {
			a.file(at, media, file, b)
		}
	case strings.HasPrefix(media, "text/") && !attached:
		a.plain(at, b, "text")
	default:
		a.file(at, media, file, b)
	}
}

func decoded(enc string, body []byte) []byte {
	var r io.Reader
	switch strings.ToLower(strings.TrimSpace(enc)) {
	case "base64":
		r = base64.NewDecoder(base64.StdEncoding, &base64Only{bytes.NewReader(body)})
	case "quoted-printable":
		r = quotedprintable.NewReader(bytes.NewReader(body))
	default:
		return body
	}
	b, _ := io.ReadAll(io.LimitReader(r, MaxSize)) // what is cut is read as far as it goes
	return b
}

// base64Only leaves out what is no character of base64.
type base64Only struct{ r io.Reader }

func (b *base64Only) Read(p []byte) (int, error) {
	for {
		n, err := b.r.Read(p)
		k := 0
		for _, c := range p[:n] {
			if c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '+' || c == '/' || c == '=' {
				p[k] = c
				k++
			}
		}
		if k > 0 || err != nil {
			return k, err
		}
	}
}

var linkRule = lazy(`(?i)\bhttps?://[^\s"'<>\x00-\x1f]+`)

func (a *analyser) plain(at int, b []byte, where string) {
	for _, l := range linkRule().FindAll(b, maxLinks+1) {
		a.link(at, strings.TrimRight(string(l), ").,;:!?]}"), where, "")
	}
}

func (a *analyser) html(at int, b []byte) {
	z := html.NewTokenizer(bytes.NewReader(b))
	z.SetMaxBuf(4 << 20)
	var open string // the link whose text is being read
	var text strings.Builder
	done := func() {
		if open != "" {
			shows := ""
			if m := shownHost().FindStringSubmatch(text.String()); m != nil {
				shows = host(strings.TrimPrefix(strings.ToLower(m[1]), "www."))
				if n, err := impound.ParseName(shows); err != nil || n.IsPublicSuffix() {
					shows = ""
				}
			}
			a.link(at, open, "html", shows)
		}
		open = ""
		text.Reset()
	}
	for {
		switch z.Next() {
		case html.ErrorToken:
			done()
			return
		case html.TextToken:
			if open != "" && text.Len() < 4096 {
				text.Write(z.Text())
			}
		case html.EndTagToken:
			if n, _ := z.TagName(); string(n) == "a" {
				done()
			}
		case html.StartTagToken, html.SelfClosingTagToken:
			n, more := z.TagName()
			tag := string(n)
			var refresh bool
			for more {
				var k, v []byte
				k, v, more = z.TagAttr()
				val := strings.TrimSpace(string(v))
				switch key := string(k); {
				case tag == "a" && key == "href":
					done()
					open = val
				case tag == "area" && key == "href", tag == "link" && key == "href", tag == "base" && key == "href":
					a.link(at, val, "html", "")
				case key == "action" && tag == "form", key == "formaction":
					a.link(at, val, "html form", "")
				case (tag == "img" || tag == "source" || tag == "input") && key == "src", key == "background":
					a.link(at, val, "html image", "")
				case (tag == "iframe" || tag == "script" || tag == "embed" || tag == "frame") && key == "src", tag == "object" && key == "data":
					a.link(at, val, "html "+tag, "")
				case tag == "meta" && key == "http-equiv":
					refresh = strings.EqualFold(val, "refresh")
				case tag == "meta" && key == "content" && (refresh || strings.Contains(strings.ToLower(val), "url=")):
					if i := strings.Index(strings.ToLower(val), "url="); i >= 0 {
						a.link(at, strings.Trim(val[i+4:], " '\""), "html refresh", "")
					}
				}
			}
		}
	}
}

var shownHost = lazy(`(?i)(?:https?://)?((?:[a-z0-9-]{1,63}\.){1,6}[a-z]{2,24})\b`)

// link keeps what may be kept of a link.
func (a *analyser) link(at int, raw, where, shows string) {
	if len(raw) > maxLink || !utf8.ValidString(raw) {
		return
	}
	raw = strings.Map(func(r rune) rune { // browsers drop these
		if r == '\n' || r == '\r' || r == '\t' {
			return -1
		}
		return r
	}, raw)
	if strings.HasPrefix(raw, "//") {
		raw = "https:" + raw
	}
	inner, by := Unwrap(raw)
	u, err := url.Parse(inner)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return
	}
	h := host(u.Hostname())
	if h == "" {
		return
	}
	l := Link{Host: h, Scheme: u.Scheme, Port: u.Port(), Where: where, Wrapped: by, Query: u.RawQuery != "" || u.Fragment != "", Hash: a.hash(inner), Times: 1}
	if shows != "" && registrable(shows) != registrable(h) {
		l.Shows = shows
	}
	p := strings.Trim(u.Path, "/")
	if p != "" {
		l.Segments = strings.Count(p, "/") + 1
		l.token(a, path.Base(p))
	}
	for _, vs := range u.Query() {
		for _, v := range vs {
			l.token(a, v)
		}
	}
	l.token(a, u.Fragment)
	slices.Sort(l.Tokens)
	m := &a.out.Messages[at]
	for i := range m.Links {
		if x := &m.Links[i]; x.Hash == l.Hash && x.Hash != "" && x.Where == l.Where && x.Shows == l.Shows {
			x.Times++
			return
		}
	}
	if a.links++; a.links > maxLinks {
		a.problem("the mail has more than %d links: the rest was left out", maxLinks)
		return
	}
	m.Links = append(m.Links, l)
}

func (l *Link) token(a *analyser, s string) {
	if h := a.hash(s); h != "" && len(s) >= 6 && len(s) <= 1024 && len(l.Tokens) < 20 {
		l.Tokens = append(l.Tokens, h)
	}
}

var endingRule = lazy(`^\.[A-Za-z0-9]{1,12}$`)

func (a *analyser) file(at int, media, name string, b []byte) {
	m := &a.out.Messages[at]
	if len(m.Attachments) >= maxAttachments {
		a.problem("the mail has more than %d files", maxAttachments)
		return
	}
	f := Attachment{Hash: impound.HashBytes(b), Size: len(b)}
	if plainWord(strings.ReplaceAll(strings.ReplaceAll(media, "/", "-"), "+", "-")) {
		f.Media = media
	}
	name = strings.TrimSpace(name)
	if e := path.Ext(name); endingRule().MatchString(e) {
		f.Ending = strings.ToLower(e)
		if second := path.Ext(strings.TrimSuffix(name, e)); endingRule().MatchString(second) && len(second) <= 5 && strings.ContainsFunc(second, func(r rune) bool { return r > '9' }) {
			f.Notes = append(f.Notes, "two endings: "+strings.ToLower(second)+f.Ending)
		}
	}
	if strings.ContainsAny(name, "\u202e\u202d\u2066\u2067\u200f") {
		f.Notes = append(f.Notes, "its name turns the direction of reading")
	}
	switch {
	case pdfread.Is(b):
		f.Is = "pdf"
		p, _ := pdfread.Read(b)
		f.PDF = &PDF{Encrypted: p.Encrypted, Pages: p.Pages, Active: p.Active, Images: len(p.Images)}
		for _, x := range p.Problems {
			f.Notes = append(f.Notes, "in part: "+x)
		}
		m.Attachments = append(m.Attachments, f)
		n := len(m.Attachments)
		for _, l := range p.Links {
			a.link(at, l, fmt.Sprintf("PDF, attachment %d", n), "")
		}
		a.plain(at, []byte(p.Text), fmt.Sprintf("text of PDF, attachment %d", n))
		for _, im := range p.Images {
			a.pictures(at, n, im.JPEG, &im)
		}
		return
	case isImage(b):
		f.Is = "image"
	case bytes.HasPrefix(b, []byte("PK\x03\x04")):
		f.Is = "zip"
		if len(b) > 7 && b[6]&1 != 0 {
			f.Notes = append(f.Notes, "encrypted")
		}
	case bytes.HasPrefix(b, []byte("MZ")):
		f.Is = "windows program"
	case bytes.HasPrefix(b, []byte("\xd0\xcf\x11\xe0")):
		f.Is = "ole document"
	case bytes.HasPrefix(b, []byte("Rar!")):
		f.Is = "rar"
	case bytes.HasPrefix(b, []byte("7z\xbc\xaf")):
		f.Is = "7z"
	case len(b) > 0x8006 && string(b[0x8001:0x8006]) == "CD001":
		f.Is = "disk image"
	case bytes.HasPrefix(b, []byte("L\x00\x00\x00\x01\x14\x02\x00")):
		f.Is = "windows shortcut"
	}
	m.Attachments = append(m.Attachments, f)
	if f.Is == "image" {
		a.pictures(at, len(m.Attachments), b, nil)
	}
}
