// Package contest is the public page on which whoever is hit by an order can say
// so: the owner of a name, or somebody who used it. A claim decides nothing and
// undoes nothing: the actor could write one too. It starts a clock, and a person
// answers it.
//
// What lives here: the form, its bounds, and what it answers. The answer is the
// same for every name, so that nobody learns from it which names are under an
// order. What must not: keeping a claim (its caller seals it), reading any
// database, a cookie, a script, or trust in what a proxy says of addresses.
package contest

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"html/template"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/impound/impound"
)

// Limits of a claim and of their number.
const (
	maxBody   = 32 << 10
	maxWho    = 200
	maxReach  = 300
	maxWhy    = 6000
	perSource = 5   // an hour, from one network (/24, /48)
	perDay    = 200 // in all
	maxKnown  = 20_000
)

// Claim is what somebody wrote. It is personal data: seal it, don't log it.
type Claim struct {
	Name    impound.Name `json:"name"`
	Who     string       `json:"who"`
	Contact string       `json:"contact"`
	Why     string       `json:"why"`
	At      time.Time    `json:"at"`
}

// Config for [New].
type Config struct {
	// Take keeps a claim and gives the reference by which its writer can ask.
	Take func(ctx context.Context, c Claim) (ref string, err error)
	// Who answers, by when: shown on the page as plain text.
	Organisation, Elsewhere string
	Days                    int
	Now                     func() time.Time // nil: time.Now
	Log                     *slog.Logger     // nil: discarded
}

// Handler serves the page. It is safe for concurrent use.
type Handler struct {
	cfg  Config
	page *template.Template
	csp  string

	mu    sync.Mutex
	hours map[netip.Prefix]int
	hour  int64
	day   int64
	today int
}

// New makes the page.
func New(cfg Config) *Handler {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	sum := sha256.Sum256([]byte(style))
	return &Handler{cfg: cfg, page: template.Must(template.New("page").Parse(pageText)), hours: map[netip.Prefix]int{},
		csp: "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"}
}

const style = `body{font:16px/1.5 sans-serif;max-width:42rem;margin:2rem auto;padding:0 1rem;color:#111;background:#fff}label{display:block;margin:1rem 0 .2rem;font-weight:bold}input,textarea{width:100%;box-sizing:border-box;font:inherit;padding:.4rem}textarea{min-height:10rem}button{margin-top:1rem;font:inherit;padding:.5rem 1.2rem}.bad{border-left:4px solid #b00;padding-left:.8rem}small{color:#444}`

const pageText = `<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width"><meta name="robots" content="noindex"><title>Contest an order</title><style>` + style + `</style></head><body>
<h1>Contest an order on a domain name</h1>
{{if .Ref}}<p>Your claim was received. Its reference is <strong>{{.Ref}}</strong>. Write it down: it is not shown again.</p>
<p>A person reads it and answers within {{.Days}} days to the address that you gave.</p>
<p>This page does not say whether a name is under an order.</p>
{{else}}<p>If a domain name of yours, or one that you use, was taken over, held or locked, and you think that this is wrong, tell us here. {{.Organisation}} answers within {{.Days}} days.{{if .Elsewhere}} {{.Elsewhere}}{{end}}</p>
<p>Nothing is changed by sending this form alone. It does not replace a motion to the court, and does not move the court's dates. Don't send passwords or documents.</p>
{{if .Fault}}<p class="bad" role="alert">{{.Fault}}</p>{{end}}
<form method="post" action="/contest" accept-charset="utf-8">
<label for="name">Domain name</label><input id="name" name="name" value="{{.Form.Name}}" maxlength="300" required autocomplete="off">
<label for="who">Who you are</label><input id="who" name="who" value="{{.Form.Who}}" maxlength="200" required autocomplete="name">
<label for="contact">How we can reach you</label><input id="contact" name="contact" value="{{.Form.Contact}}" maxlength="300" required autocomplete="email"><br><small>E-mail address, telephone number or postal address</small>
<label for="why">What the name is yours for, and why the order is wrong</label><textarea id="why" name="why" maxlength="6000" required>{{.Form.Why}}</textarea>
<button>Send</button></form>
<p><small>What you write is encrypted to those who answer it, is kept as evidence, and goes to nobody else.</small></p>{{end}}
</body></html>
`

type form struct{ Name, Who, Contact, Why string }

func (h *Handler) show(w http.ResponseWriter, status int, f form, fault, ref string) {
	var b bytes.Buffer
	days := h.cfg.Days
	if days <= 0 {
		days = 14
	}
	org := h.cfg.Organisation
	if org == "" {
		org = "The team that carries out the order"
	}
	if err := h.page.Execute(&b, map[string]any{"Form": f, "Fault": fault, "Ref": ref, "Days": days, "Organisation": org, "Elsewhere": h.cfg.Elsewhere}); err != nil {
		http.Error(w, "the page can't be shown", http.StatusInternalServerError)
		return
	}
	w.WriteHeader(status)
	_, _ = w.Write(b.Bytes())
}

// ServeHTTP serves /contest, and / as a way there.
func (h *Handler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	hd := w.Header()
	hd.Set("Content-Type", "text/html; charset=utf-8")
	hd.Set("Content-Security-Policy", h.csp)
	hd.Set("X-Content-Type-Options", "nosniff")
	hd.Set("Referrer-Policy", "no-referrer")
	hd.Set("Cache-Control", "no-store")
	switch r.URL.Path {
	case "/contest":
	case "/":
		http.Redirect(w, r, "/contest", http.StatusSeeOther)
		return
	default:
		h.show(w, http.StatusNotFound, form{}, "There is no such page; this is the form.", "")
		return
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead:
		h.show(w, http.StatusOK, form{}, "", "")
	case http.MethodPost:
		h.post(w, r)
	default:
		hd.Set("Allow", "GET, HEAD, POST")
		h.show(w, http.StatusMethodNotAllowed, form{}, "Use the form.", "")
	}
}

func (h *Handler) post(w http.ResponseWriter, r *http.Request) {
	if new(http.CrossOriginProtection).Check(r) != nil {
		h.show(w, http.StatusForbidden, form{}, "The form was sent from another site. Fill it in here.", "")
		return
	}
	if ct, _, _ := strings.Cut(r.Header.Get("Content-Type"), ";"); strings.TrimSpace(strings.ToLower(ct)) != "application/x-www-form-urlencoded" {
		h.show(w, http.StatusUnsupportedMediaType, form{}, "The form can't be read. Send it as it is shown here.", "")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxBody)
	if err := r.ParseForm(); err != nil {
		status, fault := http.StatusBadRequest, "The form can't be read. Try again."
		var big *http.MaxBytesError
		if errors.As(err, &big) {
			status, fault = http.StatusRequestEntityTooLarge, "That is too long. Write the main points; you can send more when we answer."
		}
		h.show(w, status, form{}, fault, "")
		return
	}
	v := func(k string) string { return clean(r.PostForm.Get(k)) }
	f := form{v("name"), v("who"), v("contact"), v("why")}
	c := Claim{Who: f.Who, Contact: f.Contact, Why: f.Why, At: h.cfg.Now().UTC().Truncate(time.Second)}
	var err error
	c.Name, err = impound.ParseName(f.Name)
	switch {
	case err != nil || c.Name.Labels() < 2:
		h.show(w, http.StatusUnprocessableEntity, f, "That is no domain name. Write it as in example.org.", "")
		return
	case f.Who == "" || f.Contact == "" || f.Why == "":
		h.show(w, http.StatusUnprocessableEntity, f, "Fill in every field: without them nobody can answer you.", "")
		return
	case utf8.RuneCountInString(f.Who) > maxWho || utf8.RuneCountInString(f.Contact) > maxReach || utf8.RuneCountInString(f.Why) > maxWhy:
		h.show(w, http.StatusUnprocessableEntity, f, "A field is too long. Write the main points; you can send more when we answer.", "")
		return
	}
	if !h.allow(r.RemoteAddr) {
		w.Header().Set("Retry-After", "3600")
		h.show(w, http.StatusTooManyRequests, f, "Too many claims come in just now. Try again in an hour, or write to the court.", "")
		return
	}
	ref, err := h.cfg.Take(r.Context(), c)
	if err != nil {
		h.cfg.Log.Error("a contest could not be kept", "err", err)
		h.show(w, http.StatusServiceUnavailable, f, "Your claim could not be kept. Try again later, or write to the court.", "")
		return
	}
	h.show(w, http.StatusOK, form{}, "", ref)
}

// clean takes control characters but line ends out of s.
func clean(s string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < 0x20 && r != '\n' || r == 0x7f || r == utf8.RuneError {
			return -1
		}
		return r
	}, s))
}

// allow counts a claim against its network's hour and the day. A proxy on this
// machine hides who sent it: then the day alone counts.
func (h *Handler) allow(remote string) bool {
	now := h.cfg.Now().Unix()
	h.mu.Lock()
	defer h.mu.Unlock()
	if d := now / 86400; d != h.day {
		h.day, h.today = d, 0
	}
	if hr := now / 3600; hr != h.hour {
		h.hour = hr
		clear(h.hours)
	}
	if h.today >= perDay {
		return false
	}
	host, _, err := net.SplitHostPort(remote)
	if err != nil {
		return false
	}
	a, err := netip.ParseAddr(host)
	if err != nil {
		return false
	}
	if a = a.Unmap().WithZone(""); !a.IsLoopback() {
		bits := 24
		if a.Is6() {
			bits = 48
		}
		p, _ := a.Prefix(bits)
		if h.hours[p] >= perSource || len(h.hours) >= maxKnown {
			return false
		}
		h.hours[p]++
	}
	h.today++
	return true
}
