package capture

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/impound/impound"
)

// Bounds of WHOIS (RFC 3912 has none).
const (
	whoisRoot   = "whois.iana.org"
	whoisHops   = 4
	whoisAnswer = 256 << 10
	whoisLines  = 4000
)

// WHOISView is what WHOIS servers say of a name, from IANA's down to the
// registrar's. Its text is strangers' and inert: no control characters, no
// marks of writing direction; it may hold markup, so escape it on a page.
type WHOISView struct {
	Name      impound.Name  `json:"name"`
	At        time.Time     `json:"at"`
	Answers   []WHOISAnswer `json:"answers"`
	Exists    bool          `json:"exists"`
	Registrar string        `json:"registrar,omitempty"`
	IANA      string        `json:"registrar_iana,omitempty"`
	Abuse     string        `json:"abuse_email,omitempty"`
	Created   time.Time     `json:"created,omitzero"`
	Updated   time.Time     `json:"updated,omitzero"`
	Expires   time.Time     `json:"expires,omitzero"`
	Status    []string      `json:"status,omitempty"`
	NS        []string      `json:"ns,omitempty"`
	Err       string        `json:"err,omitempty"`
}

// WHOISAnswer is one server's.
type WHOISAnswer struct {
	Server string    `json:"server"`
	Addr   string    `json:"addr,omitempty"`
	At     time.Time `json:"at"`
	Query  string    `json:"query"`
	Size   int       `json:"size"`
	SHA256 string    `json:"sha256,omitempty"`
	Text   string    `json:"text,omitempty"` // inert, see [WHOISText]
	Refers string    `json:"refers,omitempty"`
	Cut    string    `json:"cut,omitempty"`
	Err    string    `json:"err,omitempty"`

	raw []byte
}

// whois asks IANA's server, or the configured one, and follows referrals.
func (t *take) whois(ctx context.Context, name impound.Name) WHOISView {
	v := WHOISView{Name: name, At: t.now().UTC()}
	asked := name
	if r, err := name.RegistryDomain(); err == nil {
		asked = r
	}
	server := t.cfg.WHOIS
	if server == "" {
		server = whoisRoot
	}
	seen := map[string]bool{}
	for range whoisHops {
		if server == "" || seen[server] {
			break
		}
		seen[server] = true
		a := t.askWHOIS(ctx, server, asked)
		next, facts := parseWHOIS(a.raw, asked)
		a.Refers = next
		v.Answers = append(v.Answers, a)
		if a.Err == "" && facts.Exists {
			v.take(facts)
		}
		server = next
	}
	switch last := v.Answers[len(v.Answers)-1]; {
	case v.Exists:
	case last.Err != "":
		v.Err = last.Server + ": " + last.Err
	}
	return v
}

// take adds what a later server knows; an earlier one, nearer to the registry,
// is believed first.
func (v *WHOISView) take(f WHOISView) {
	v.Exists = true
	for _, s := range []struct {
		to *string
		is string
	}{{&v.Registrar, f.Registrar}, {&v.IANA, f.IANA}, {&v.Abuse, f.Abuse}} {
		if *s.to == "" {
			*s.to = s.is
		}
	}
	for _, d := range []struct {
		to *time.Time
		is time.Time
	}{{&v.Created, f.Created}, {&v.Updated, f.Updated}, {&v.Expires, f.Expires}} {
		if d.to.IsZero() {
			*d.to = d.is
		}
	}
	if len(v.Status) == 0 {
		v.Status = f.Status
	}
	if len(v.NS) == 0 {
		v.NS = f.NS
	}
}

func (t *take) askWHOIS(ctx context.Context, server string, name impound.Name) WHOISAnswer {
	ctx, cancel := context.WithTimeout(ctx, t.bounds.Time)
	defer cancel()
	host, port := server, uint16(43)
	if h, p, err := net.SplitHostPort(server); err == nil {
		n, err := strconv.ParseUint(p, 10, 16)
		if err == nil {
			host, port = h, uint16(n)
		}
	}
	a := WHOISAnswer{Server: inert(server, 255), At: t.now().UTC(), Query: whoisQuery(host, name)}
	fail := func(err error) WHOISAnswer { a.Err = t.why(err); return a }
	if err := t.pace.wait(ctx, host); err != nil {
		return fail(err)
	}
	conn, addr, err := t.main.dial(ctx, host, port)
	if err != nil {
		return fail(err)
	}
	defer conn.Close()
	a.Addr = addr.String()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(conn, a.Query+"\r\n"); err != nil {
		return fail(err)
	}
	a.raw, err = io.ReadAll(io.LimitReader(conn, whoisAnswer+1))
	if len(a.raw) > whoisAnswer {
		a.raw, a.Cut = a.raw[:whoisAnswer], cutLength
	} else if err != nil {
		if a.Cut = t.cutBy(err); len(a.raw) == 0 {
			return fail(err)
		}
	}
	if len(a.raw) == 0 {
		return fail(errors.New("it says nothing"))
	}
	a.Size, a.SHA256, a.Text = len(a.raw), strings.TrimPrefix(digest(a.raw), "sha256:"), WHOISText(a.raw)
	return a
}

// whoisQuery words the question as the server wants it.
func whoisQuery(host string, name impound.Name) string {
	switch host {
	case "whois.verisign-grs.com", "whois.crsnic.net":
		return "domain " + name.String() // else it also gives name servers that begin so
	case "whois.denic.de":
		return "-T dn,ace " + name.String()
	case "whois.iana.org":
		return name.TLD()
	}
	return name.String()
}

// WHOISText makes an answer readable and inert: UTF-8, or else Latin-1, which
// is what servers send that say nothing; lines end in \n; what could drive a
// terminal or turn the direction of writing is U+FFFD. Markup stays as it is.
func WHOISText(raw []byte) string {
	s := string(raw)
	if !utf8.ValidString(s) {
		r := make([]rune, len(raw))
		for i, c := range raw {
			r[i] = rune(c)
		}
		s = string(r)
	}
	s = strings.ReplaceAll(s, "\r\n", "\n")
	var b strings.Builder
	for l := range strings.SplitAfterSeq(s, "\n") {
		l, nl := strings.CutSuffix(l, "\n")
		b.WriteString(inert(l, len(l)))
		if nl {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// parseWHOIS reads the "key: value" lines that most servers send. next is the
// server that it refers to, "" for none. It reads what anybody can send.
func parseWHOIS(raw []byte, name impound.Name) (next string, v WHOISView) {
	v.Name = name
	n := 0
	about := false // the answer speaks of name
	thin := ""     // where the registrar's own server is
	for line := range strings.SplitSeq(WHOISText(raw), "\n") {
		if n++; n > whoisLines {
			break
		}
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '%' || line[0] == '#' || line[0] == ';' || strings.HasPrefix(line, ">>>") {
			continue
		}
		key, value, ok := strings.Cut(line, ":")
		if !ok || len(key) > 60 {
			continue
		}
		key, value = strings.ToLower(strings.Trim(key, " .\t")), inert(strings.TrimSpace(value), 300)
		if value == "" {
			continue
		}
		switch key {
		case "refer", "whois", "whois server":
			if next == "" {
				next = referral(value)
			}
		case "registrar whois server":
			if thin == "" {
				thin = referral(value)
			}
		case "domain", "domain name":
			if got, err := impound.ParseName(value); err == nil && got == name {
				about = true
			}
		case "registrar", "registrar name", "sponsoring registrar":
			first(&v.Registrar, value)
		case "registrar iana id":
			first(&v.IANA, inert(value, 20))
		case "registrar abuse contact email", "abuse-mailbox", "abuse contact email":
			first(&v.Abuse, value)
		case "creation date", "created", "created on", "registered", "registered on", "registration time", "domain registration date", "registration date":
			firstDate(&v.Created, value)
		case "updated date", "changed", "last updated", "last-update", "last modified", "modified":
			firstDate(&v.Updated, value)
		case "registry expiry date", "registrar registration expiration date", "expiration date", "expires", "expiry date", "expires on", "paid-till", "renewal date", "expire-date":
			firstDate(&v.Expires, value)
		case "domain status", "status", "state":
			s, _, _ := strings.Cut(value, " ")
			if len(v.Status) < 32 && !slices.Contains(v.Status, s) {
				v.Status = append(v.Status, inert(s, 60))
			}
		case "name server", "nserver", "nameserver", "name servers":
			h, _, _ := strings.Cut(value, " ")
			if ns, err := impound.ParseName(h); err == nil && len(v.NS) < 32 && !slices.Contains(v.NS, ns.String()) {
				v.NS = append(v.NS, ns.String())
			}
		}
	}
	slices.Sort(v.NS)
	v.Exists = about
	if thin != "" {
		next = thin
	}
	return next, v
}

// referral reads the server that an answer refers to: a name, no address, and
// no port but WHOIS's own.
func referral(s string) string {
	s = strings.TrimSuffix(strings.TrimPrefix(strings.TrimPrefix(s, "whois://"), "rwhois://"), "/")
	if h, p, err := net.SplitHostPort(s); err == nil {
		if p != "43" {
			return ""
		}
		s = h
	}
	if strings.ContainsAny(s, " /@[]()") {
		return ""
	}
	n, err := impound.ParseName(s)
	if err != nil || n.Labels() < 2 {
		return ""
	}
	return n.String()
}

func first(to *string, s string) {
	if *to == "" {
		*to = s
	}
}

var whoisDates = []string{
	time.RFC3339, "2006-01-02T15:04:05Z0700", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02",
	"2006.01.02 15:04:05", "2006.01.02", "2006/01/02 15:04:05", "2006/01/02", "02-Jan-2006", "02-Jan-2006 15:04:05 MST", "2-Jan-2006", "20060102", "02.01.2006", "02.01.2006 15:04:05",
	"January 2 2006", "Mon Jan 2 15:04:05 MST 2006",
}

func firstDate(to *time.Time, s string) {
	if !to.IsZero() {
		return
	}
	for _, l := range whoisDates {
		if d, err := time.Parse(l, s); err == nil && d.Year() > 1980 && d.Year() < 2200 {
			*to = d.UTC()
			return
		}
	}
}

func (v WHOISView) summary() string {
	switch {
	case v.Err != "":
		return "nothing seen: " + v.Err
	case !v.Exists:
		return "no WHOIS server knows it"
	}
	s := "registrar " + v.Registrar
	if !v.Created.IsZero() {
		s += ", since " + v.Created.Format(time.DateOnly)
	}
	return s + ", asked " + plural(len(v.Answers), "server")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// WHOIS asks server, HOST or HOST:PORT, and whom it refers to, for a name's
// registration, within the capturer's bounds and through its way out. Nothing is
// kept: that is the caller's.
func (c *Capturer) WHOIS(ctx context.Context, server string, name impound.Name) WHOISView {
	one := *c
	one.cfg.WHOIS = server
	t := &take{Capturer: &one, obs: c.cfg.Observe, bounds: c.cfg.Bounds, budget: newBudget(c.cfg.Bounds.Total), now: c.cfg.Now, home: name}
	return t.whois(ctx, name)
}
