package web

import (
	"bytes"
	"context"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"html/template"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	impound "github.com/impound/impound"
)

//go:embed templates/*.html static/*
var files embed.FS

// Config is what the pages need.
type Config struct {
	Desk Desk

	// Auth knows who may come in; nil leaves the pages open.
	Auth Authenticator

	// Intake reads a report that somebody pasted, and keeps nothing; nil: there is
	// no such page.
	Intake func(ctx context.Context, filename string, data []byte) (Report, error)

	// Work changes a case's own words, tasks and names; nil: the pages only read.
	Work Worker

	// Links walks along what names have in common; nil: there is no such page.
	Links Linker

	// Triage decides of the queue's rows; nil: the pages only read.
	Triage Triager

	// Addr is where the server listens, for the about page: "127.0.0.1:8080".
	Addr string

	// AllowedHosts are the values of the Host header that are answered: a host,
	// then any port is fine, or host:port. Empty means localhost, 127.0.0.1 and
	// [::1]. The check stops DNS rebinding; /healthz and /readyz, which say
	// nothing, are exempt.
	AllowedHosts []string

	Version string           // shown in the footer
	Now     func() time.Time // nil = time.Now
	Log     *slog.Logger     // nil = discard
}

// pageRoutes and apiRoutes are every address that shows something; Routes gives
// them to whoever measures or tests all of them.
var pageRoutes = map[string]pageFunc{
	"/{$}":                     (*server).overview,
	"/cases":                   (*server).cases,
	"/cases/{id}":              (*server).casePage,
	"/cases/{id}/supplement":   (*server).supplementPage,
	"/cases/{id}/names":        (*server).namesPage,
	"/cases/{id}/names/{name}": (*server).namePage,
	"/contacts":                (*server).contacts,
	"/orders":                  (*server).orders,
	"/orders/{id}":             (*server).orderPage,
	"/orders/{id}/release":     (*server).releasePage,
	"/letters/{id}":            (*server).letterPage,
	"/plans/{id}":              (*server).planPage,
	"/candidates":              (*server).watchPage, // as it was called
	"/watch":                   (*server).watchPage,
	"/watch/lessons":           (*server).lessons,
	"/log":                     (*server).logPage,
	"/links":                   (*server).linksPage,
	"/about":                   (*server).about,
}

var apiRoutes = map[string]func(s *server, ctx context.Context, r *http.Request) (any, error){
	"/api/v1/cases":      (*server).apiCases,
	"/api/v1/cases/{id}": (*server).apiCase,
	"/api/v1/contacts":   (*server).apiContacts,
	"/api/v1/orders":     (*server).apiOrders,
	"/api/v1/letters":    (*server).apiLetters,
	"/api/v1/candidates": (*server).apiCandidates,
	"/api/v1/log":        (*server).apiLog,
	"/api/v1/series":     (*server).apiSeries,
	"/api/v1/victims":    (*server).apiVictims,
}

// Routes gives the pattern of each page and of each address of the API, sorted,
// as [http.ServeMux] spells them without the method.
func Routes() []string {
	out := append(sorted(pageRoutes), sorted(apiRoutes)...)
	slices.Sort(out)
	return out
}

// New gives the handler of all pages and of the API. It panics only if the
// embedded templates are broken, which every test of this package would show.
// The handler is safe for concurrent use.
func New(c Config) http.Handler {
	s := &server{desk: c.Desk, cfg: c, now: c.Now, log: c.Log, assets: map[string]asset{}, cache: &cache{}, logins: make(chan struct{}, maxLogins), reports: make(chan struct{}, maxReports)}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	s.loadAssets()
	s.tmpl = template.Must(template.New("").Funcs(template.FuncMap{
		"asset":    func(name string) string { return s.assetURL[name] },
		"clock":    clock,
		"relative": func(t time.Time) string { return relative(t, s.now()) },
		"span":     span,
		"defang":   defang,
		"class":    className,
		"short":    short,
		"export":   exportURL,
		"words":    words,
		"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"plural":   plural,
		"tame":     defangHosts,
		"apart":    func(why string) string { return strings.TrimPrefix(why, "set apart: ") }, // the badge says it
		"seg":      url.PathEscape,
		"asof":     func() string { return clock(s.now()) },
		"nav":      func() []navLink { return rooms },
		"diffclass": func(line string) string {
			switch {
			case strings.HasPrefix(line, "+"):
				return "add"
			case strings.HasPrefix(line, "-"):
				return "del"
			case strings.HasPrefix(line, "!"):
				return "warn"
			}
			return ""
		},
	}).ParseFS(files, "templates/*.html"))

	mux := http.NewServeMux()
	for pattern, h := range pageRoutes {
		mux.HandleFunc("GET "+pattern, s.page(h))
	}
	for pattern, h := range apiRoutes {
		mux.HandleFunc("GET "+pattern, scoped(pattern, s.api(func(ctx context.Context, r *http.Request) (any, error) { return h(s, ctx, r) }), s))
	}
	mux.HandleFunc("GET /intake", s.intakePage)
	mux.HandleFunc("GET /cases/{id}/edit", s.editPage)
	mux.HandleFunc("POST /cases/{id}/edit", s.edit)
	mux.HandleFunc("POST /watch", s.rule)
	mux.HandleFunc("POST /intake", s.intake)
	mux.HandleFunc("GET /login", s.loginPage)
	mux.HandleFunc("POST /login", s.login)
	mux.HandleFunc("POST /logout", s.logout)
	mux.HandleFunc("GET /static/{hash}/{name}", s.static)
	mux.HandleFunc("GET /favicon.ico", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusNoContent) })
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, impound.Errorf(impound.KindNotFound, "there is no page at this address").WithCure("begin at the overview"))
	})

	health := http.NewServeMux()
	health.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) { plainText(w, http.StatusOK, "ok\n") })
	health.HandleFunc("GET /readyz", s.readyz)
	health.Handle("/", s.checkHost(http.NewCrossOriginProtection().Handler(s.guard(mux))))

	return headers(readOnly(health))
}

// NewServer wraps h in a server whose limits suit a few people on a page: slow
// or large requests are cut. The caller sets Addr or serves a listener.
func NewServer(h http.Handler) *http.Server {
	return &http.Server{
		Handler:           h,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      60 * time.Second, // a large export over a slow line
		IdleTimeout:       60 * time.Second,
		MaxHeaderBytes:    16 << 10,
	}
}

type server struct {
	desk     Desk
	cfg      Config
	now      func() time.Time
	log      *slog.Logger
	tmpl     *template.Template
	cache    *cache
	sessions sessions
	logins   chan struct{}
	reports  chan struct{}     // reports that are being read
	assets   map[string]asset  // "hash/name"
	assetURL map[string]string // by name
}

type asset struct {
	media string
	body  []byte
}

func (s *server) loadAssets() {
	s.assetURL = map[string]string{}
	media := map[string]string{"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
	entries, err := fs.ReadDir(files, "static")
	if err != nil {
		panic(err) // embedded: can't fail
	}
	for _, e := range entries {
		b, err := fs.ReadFile(files, "static/"+e.Name())
		if err != nil {
			panic(err)
		}
		h := sha256.Sum256(b)
		key := hex.EncodeToString(h[:6]) + "/" + e.Name()
		s.assets[key] = asset{media[e.Name()[strings.LastIndexByte(e.Name(), '.')+1:]], b}
		s.assetURL[e.Name()] = "/static/" + key
	}
}

func (s *server) static(w http.ResponseWriter, r *http.Request) {
	a, ok := s.assets[r.PathValue("hash")+"/"+r.PathValue("name")]
	if !ok {
		s.fail(w, r, impound.Errorf(impound.KindNotFound, "no such asset").WithCure("reload the page"))
		return
	}
	w.Header().Set("Content-Type", a.media)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable") // the path holds the hash
	w.Write(a.body)
}

// policy allows this site's own style, script and pictures, and nothing else.
const policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"

func headers(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
		h.Set("Cache-Control", "no-store") // what is shown here must not lie in a browser's disk cache
		next.ServeHTTP(w, r)
	})
}

// forms are the addresses that take a form: logging in and out, and a report to
// be read, and the queue's decisions. Nothing else of the house is changed over
// them; a case is, over its own edit page ([editable]).
var forms = map[string]bool{"/login": true, "/logout": true, "/intake": true, "/watch": true}

// readOnly refuses every method but GET and HEAD, before any routing, and POST
// only where a form is meant. No other handler reads a body.
func readOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method != http.MethodGet && r.Method != http.MethodHead && !(r.Method == http.MethodPost && (forms[r.URL.Path] || editable(r.URL.Path))) {
			notAllowed(w)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func notAllowed(w http.ResponseWriter) {
	w.Header().Set("Allow", "GET, HEAD")
	w.Header().Set("Connection", "close") // rather than reading a body away
	plainText(w, http.StatusMethodNotAllowed, "this address only shows: use the command line to act\n")
}

func (s *server) checkHost(next http.Handler) http.Handler {
	allowed := s.cfg.AllowedHosts
	if len(allowed) == 0 {
		allowed = []string{"localhost", "127.0.0.1", "[::1]"}
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !hostAllowed(r.Host, allowed) {
			plainText(w, http.StatusMisdirectedRequest, "this host name is not served here: add it to web.allowed_hosts if it should be\n")
			return
		}
		next.ServeHTTP(w, r)
	})
}

func hostAllowed(host string, allowed []string) bool {
	host = strings.ToLower(host)
	bare := host
	if h, _, err := net.SplitHostPort(host); err == nil {
		bare = h
	}
	bare = strings.TrimSuffix(strings.Trim(bare, "[]"), ".")
	for _, a := range allowed {
		a = strings.ToLower(a)
		if _, _, err := net.SplitHostPort(a); err == nil { // with a port: must fit as a whole
			if a == host {
				return true
			}
			continue
		}
		if bare != "" && strings.Trim(a, "[]") == bare {
			return true
		}
	}
	return false
}

func plainText(w http.ResponseWriter, status int, msg string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	fmt.Fprint(w, msg)
}

func (s *server) readyz(w http.ResponseWriter, r *http.Request) {
	ctx, cancel := context.WithTimeout(r.Context(), 2*time.Second)
	defer cancel()
	if err := s.desk.Ready(ctx); err != nil {
		s.log.Warn("not ready", "err", err)
		plainText(w, http.StatusServiceUnavailable, "not ready: see the server's log\n")
		return
	}
	plainText(w, http.StatusOK, "ready\n")
}

type navLink struct{ Text, Href string }

var rooms = []navLink{{"Overview", "/"}, {"Cases", "/cases"}, {"Contacts", "/contacts"}, {"Orders", "/orders"}, {"Watch", "/watch"}, {"Evidence log", "/log"}, {"Reports", "/intake"}}

// A page is one view: a template with its data, and the tables that can be had
// as CSV and JSON.
type page struct {
	Tmpl   string
	Title  string
	Nav    string
	Tables []*table
	Plots  map[string]string // SVG by id, for ?format=svg
	File   string            // the name of Body, a document for ?format=yaml
	Body   []byte
	Data   any
}

type pageFunc func(s *server, ctx context.Context, r *http.Request) (*page, error)

// forRequest is s with a desk that answers each question once; a poll may take
// an answer that another poll just got.
func (s *server) forRequest(r *http.Request) *server {
	v := server{desk: s.desk, cfg: s.cfg, now: s.now, log: s.log, tmpl: s.tmpl, cache: s.cache, logins: s.logins, assets: s.assets, assetURL: s.assetURL}
	m := &memo{Desk: s.desk, cache: s.cache, who: impound.PrincipalOf(r.Context()).ID, after: time.Now()}
	if r.URL.Query().Get("live") == "1" {
		m.after = m.after.Add(-shareFor)
	}
	v.desk = m
	return &v
}

// deadline bounds what one view may cost the house.
const deadline = 10 * time.Second

func (s *server) page(fn pageFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), deadline)
		defer cancel()
		s := s.forRequest(r)
		p, err := fn(s, ctx, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		q := r.URL.Query()
		switch format := q.Get("format"); format {
		case "", "html":
			s.html(ctx, w, r, p)
		case "csv", "json":
			s.export(w, r, p, format, q.Get("table"))
		case "svg":
			svg, ok := p.Plots[q.Get("plot")]
			if !ok {
				s.fail(w, r, impound.Errorf(impound.KindNotFound, "this page has no such picture").At("plot"))
				return
			}
			s.send(w, r, "image/svg+xml", []byte(svg))
		case "yaml":
			if p.File == "" {
				s.fail(w, r, impound.Errorf(impound.KindNotFound, "this page has no document").At("format"))
				return
			}
			w.Header().Set("Content-Disposition", `attachment; filename="`+p.File+`"`)
			s.send(w, r, "application/yaml", p.Body)
		default:
			s.fail(w, r, impound.Errorf(impound.KindInvalid, "%q is no format", format).At("format").WithCure("use html, csv, json or svg"))
		}
	}
}

func (s *server) export(w http.ResponseWriter, r *http.Request, p *page, format, id string) {
	var t *table
	for _, x := range p.Tables {
		if x.ID == id || id == "" && t == nil {
			t = x
		}
	}
	if t == nil {
		var ids []string
		for _, x := range p.Tables {
			ids = append(ids, x.ID)
		}
		s.fail(w, r, impound.Errorf(impound.KindNotFound, "this page has no table %q", id).At("table").WithCure("it has: "+strings.Join(ids, ", ")))
		return
	}
	var b bytes.Buffer
	media, write := "text/csv; charset=utf-8; header=present", t.csv
	if format == "json" {
		media, write = "application/json", t.json
	}
	if err := write(&b); err != nil {
		s.fail(w, r, err)
		return
	}
	if format == "csv" {
		w.Header().Set("Content-Disposition", `attachment; filename="impound-`+t.ID+`.csv"`)
	}
	s.send(w, r, media, b.Bytes())
}

// view is what every template gets.
type view struct {
	*page
	Live    bool // only the parts that the script swaps are wanted
	Version string
	Status  status
	Path    string
	Visit   visit
	Bare    bool // no rooms: nobody is in yet
}

// status is the line at the top of every page.
type status struct {
	InForce int
	Lapse   time.Time // of the order in force that ends first; zero: none
	Fault   string
}

func (s *server) status(ctx context.Context) status {
	orders, err := s.desk.Orders(ctx, "")
	if err != nil {
		s.log.Error("couldn't read the orders", "err", err)
		return status{Fault: "orders can't be read"}
	}
	var st status
	for _, o := range orders {
		if o.InForce {
			st.InForce++
			if st.Lapse.IsZero() || o.Until.Before(st.Lapse) {
				st.Lapse = o.Until
			}
		}
	}
	return st
}

func (s *server) html(ctx context.Context, w http.ResponseWriter, r *http.Request, p *page) {
	for _, t := range p.Tables {
		t.Base = r.URL.RequestURI()
	}
	v := view{page: p, Live: r.URL.Query().Get("live") == "1", Version: s.cfg.Version, Status: s.status(ctx), Path: r.URL.Path, Visit: visitOf(ctx)}
	var b bytes.Buffer
	if err := s.tmpl.ExecuteTemplate(&b, p.Tmpl, v); err != nil {
		s.fail(w, r, fmt.Errorf("couldn't render %s: %w", p.Tmpl, err))
		return
	}
	s.send(w, r, "text/html; charset=utf-8", b.Bytes())
}

// send answers with body, or with 304 when the reader has it already.
// shown makes what strangers wrote harmless to the eye: characters that turn the
// direction of writing or have no width stand as code points in pages and CSV,
// and as escapes in JSON.
func shown(media string, body []byte) []byte {
	if strings.HasPrefix(media, "application/json") {
		return impound.ShowJSON(body)
	}
	return impound.Show(body)
}

func (s *server) send(w http.ResponseWriter, r *http.Request, media string, body []byte) {
	body = shown(media, body)
	h := sha256.Sum256(body)
	etag := `"` + hex.EncodeToString(h[:12]) + `"`
	w.Header().Set("ETag", etag)
	for m := range strings.SplitSeq(r.Header.Get("If-None-Match"), ",") {
		if m = strings.TrimPrefix(strings.TrimSpace(m), "W/"); m == etag || m == "*" {
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	w.Header().Set("Content-Type", media)
	w.Write(body)
}

var statusOf = map[impound.Kind]int{
	impound.KindInvalid: http.StatusBadRequest, impound.KindNotFound: http.StatusNotFound, impound.KindConflict: http.StatusConflict,
	impound.KindRefused: http.StatusForbidden, impound.KindAuth: http.StatusForbidden, impound.KindUnavailable: http.StatusServiceUnavailable,
	impound.KindPartial: http.StatusInternalServerError, impound.KindInternal: http.StatusInternalServerError,
}

// problem is an error as the API gives it and the page shows it.
type problem struct {
	Kind  impound.Kind `json:"kind"`
	Where string       `json:"where,omitempty"`
	Msg   string       `json:"msg"`
	Cure  string       `json:"cure,omitempty"`
}

func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.failAs(w, r, err, 0)
}

func problemOf(err error) *problem {
	p := problem{Kind: impound.KindOf(err), Msg: "this couldn't be read", Cure: "see the server's log"}
	var e *impound.Error
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		p.Kind, p.Msg, p.Cure = impound.KindUnavailable, "this took too long", "try a narrower filter"
	case errors.As(err, &e) && p.Kind != impound.KindInternal: // our own faults are not the reader's to see
		p.Where, p.Msg, p.Cure = e.Where, e.Msg, e.Cure
	}
	return &p
}

// failAs answers with an error; code 0 is the one of its kind.
func (s *server) failAs(w http.ResponseWriter, r *http.Request, err error, as int) {
	p := *problemOf(err)
	code := statusOf[p.Kind]
	if code == 0 {
		code = http.StatusInternalServerError
	}
	if as != 0 {
		code = as
	}
	if code >= 500 && r.Context().Err() == nil {
		s.log.Error("couldn't answer", "path", r.URL.Path, "err", err)
	}
	w.Header().Del("Content-Disposition")
	if f := r.URL.Query().Get("format"); strings.HasPrefix(r.URL.Path, "/api/") || f == "json" {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		json.NewEncoder(w).Encode(map[string]problem{"error": p})
		return
	}
	var b bytes.Buffer
	v := view{page: &page{Title: http.StatusText(code), Data: p}, Version: s.cfg.Version, Path: r.URL.Path, Visit: visitOf(r.Context())}
	v.Bare = v.Visit.Guarded && v.Visit.Person == ""
	if err := s.tmpl.ExecuteTemplate(&b, "error.html", v); err != nil {
		plainText(w, http.StatusInternalServerError, "couldn't render the error page\n")
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	w.Write(b.Bytes())
}

// exportURL is the address of a table in another format: the page's own, so
// that its filters hold.
func exportURL(base, table, format string) string {
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Del("live")
	q.Set("format", format)
	q.Set("table", table)
	u.RawQuery = q.Encode()
	return u.RequestURI()
}

// defang is for names that come as text, as sensors heard them.
func defang(s string) string {
	return strings.ReplaceAll(strings.ReplaceAll(s, "[.]", "."), ".", "[.]")
}

// cut shortens an address to its network: /24 for IPv4, /48 for IPv6. Pages
// never say more.
func cut(a netip.AddrPort) string {
	ip := a.Addr().Unmap().WithZone("")
	if !ip.IsValid() {
		return ""
	}
	bits := 24
	if ip.Is6() {
		bits = 48
	}
	p, err := ip.Prefix(bits)
	if err != nil {
		return ""
	}
	return p.String()
}

func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

func sorted[K ~string, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
