package web

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"time"

	impound "github.com/impound/impound"
)

// Authenticator knows who may come in. A way in that is more than a name and a
// password (passkeys, OpenID Connect) is another Authenticator, or a handler of
// its own that ends where Login ends: with a person and a stamp. All methods are
// safe for concurrent use, and none may log what it is given.
type Authenticator interface {
	// Guarded says whether there is any account. While there is none the pages
	// are open to whoever reaches them, and say so.
	Guarded(ctx context.Context) (bool, error)
	// Login gives the person whose name and password these are, and a stamp of
	// that login. The error's words don't tell a wrong name from a wrong password.
	Login(ctx context.Context, name, password string) (person, stamp string, err error)
	// Session says whether a login of before still stands.
	Session(ctx context.Context, person, stamp string) error
	// Token gives in whose name the holder of an API token asks.
	Token(ctx context.Context, secret string) (impound.Principal, error)
}

const (
	// sessionIdle is after how long without a click a session ends; that an open
	// page follows what happens is no click.
	sessionIdle = time.Hour
	sessionLife = 12 * time.Hour
	maxSessions = 1000
	maxForm     = 8 << 10
	// maxLogins bounds how many passwords wait to be looked at.
	maxLogins = 8
)

// sessions are the logins of this process; a restart ends them. What the browser
// holds is random, and only its hash is kept here.
type sessions struct {
	mu sync.Mutex
	m  map[[32]byte]*session
}

type session struct {
	person, stamp, csrf string
	began, clicked      time.Time
}

func random() string {
	b := make([]byte, 32)
	rand.Read(b)
	return base64.RawURLEncoding.EncodeToString(b)
}

func (x *sessions) begin(person, stamp string, now time.Time) (secret string) {
	secret = random()
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.m == nil {
		x.m = map[[32]byte]*session{}
	}
	for len(x.m) >= maxSessions { // the one that was used longest ago goes
		var oldest [32]byte
		var at time.Time
		for k, s := range x.m {
			if at.IsZero() || s.clicked.Before(at) {
				oldest, at = k, s.clicked
			}
		}
		delete(x.m, oldest)
	}
	x.m[sha256.Sum256([]byte(secret))] = &session{person: person, stamp: stamp, csrf: random(), began: now, clicked: now}
	return secret
}

func (x *sessions) find(secret string, now time.Time, click bool) (session, bool) {
	key := sha256.Sum256([]byte(secret))
	x.mu.Lock()
	defer x.mu.Unlock()
	s := x.m[key]
	if s == nil {
		return session{}, false
	}
	if now.Sub(s.clicked) >= sessionIdle || now.Sub(s.began) >= sessionLife || now.Before(s.began.Add(-time.Minute)) {
		delete(x.m, key)
		return session{}, false
	}
	if click {
		s.clicked = now
	}
	return *s, true
}

func (x *sessions) end(secret string) {
	x.mu.Lock()
	defer x.mu.Unlock()
	delete(x.m, sha256.Sum256([]byte(secret)))
}

// secure says whether the cookie must never travel in the clear: everywhere but
// on the machine itself.
func secure(r *http.Request) bool {
	host := r.Host
	if h, _, err := net.SplitHostPort(host); err == nil {
		host = h
	}
	host = strings.Trim(host, "[]")
	ip, err := netip.ParseAddr(host)
	return r.TLS != nil || host != "localhost" && (err != nil || !ip.IsLoopback())
}

// cookieName carries the prefix that keeps other hosts from setting it (RFC
// 6265bis 4.1.3), where the connection allows it.
func cookieName(r *http.Request, name string) string {
	if secure(r) {
		return "__Host-impound-" + name
	}
	return "impound-" + name
}

func setCookie(w http.ResponseWriter, r *http.Request, name, value string) {
	c := &http.Cookie{Name: cookieName(r, name), Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteStrictMode, Secure: secure(r)}
	if value == "" {
		c.MaxAge = -1
	}
	http.SetCookie(w, c)
}

func cookie(r *http.Request, name string) string {
	if c, err := r.Cookie(cookieName(r, name)); err == nil {
		return c.Value
	}
	return ""
}

// visit is who looks at a page.
type visit struct {
	Guarded bool // there are accounts
	Person  string
	CSRF    string
}

type visitKey struct{}

func visitOf(ctx context.Context) visit {
	v, _ := ctx.Value(visitKey{}).(visit)
	return v
}

// scopes is what a token needs for each path of the API. A path that is missing
// here opens to no token.
var scopes = map[string]impound.Scope{
	"/api/v1/cases": impound.ScopeCases, "/api/v1/cases/{id}": impound.ScopeCases, "/api/v1/orders": impound.ScopeCases,
	"/api/v1/contacts": impound.ScopeContacts, "/api/v1/series": impound.ScopeContacts, "/api/v1/victims": impound.ScopeContacts,
	"/api/v1/candidates": impound.ScopeCandidates, "/api/v1/letters": impound.ScopeCases, "/api/v1/log": impound.ScopeLog,
}

// scoped refuses a token whose scopes don't hold path's.
func scoped(path string, next http.HandlerFunc, s *server) http.HandlerFunc {
	need := scopes[path]
	return func(w http.ResponseWriter, r *http.Request) {
		if p := impound.PrincipalOf(r.Context()); p.Scopes != nil && (need == "" || !p.May(need)) {
			s.fail(w, r, impound.Errorf(impound.KindAuth, "this token is not for this: it takes the scope %s", need).WithCure("make one with: impound token add --scope "+string(need)))
			return
		}
		next(w, r)
	}
}

// guard finds out who asks, and lets nobody past without a name once there are
// accounts. It is the only place that puts a principal into a request.
func (s *server) guard(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx := impound.WithPrincipal(r.Context(), impound.Principal{})
		if s.cfg.Auth == nil || strings.HasPrefix(r.URL.Path, "/static/") || r.URL.Path == "/favicon.ico" {
			next.ServeHTTP(w, r.WithContext(ctx))
			return
		}
		guarded, err := s.cfg.Auth.Guarded(ctx)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		api := strings.HasPrefix(r.URL.Path, "/api/")
		if bearer := r.Header.Get("Authorization"); bearer != "" {
			secret, ok := strings.CutPrefix(bearer, "Bearer ")
			var p impound.Principal
			if !ok || !api {
				err = impound.Errorf(impound.KindAuth, "tokens are for the API, as Authorization: Bearer")
			} else if p, err = s.cfg.Auth.Token(ctx, strings.TrimSpace(secret)); err == nil {
				next.ServeHTTP(w, r.WithContext(impound.WithPrincipal(ctx, p)))
				return
			}
			s.unknown(w, r, err)
			return
		}
		v := visit{Guarded: guarded}
		secret := cookie(r, "session")
		if !guarded || r.URL.Path == "/login" {
			next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, visitKey{}, v)))
			return
		}
		if secret != "" {
			x, ok := s.sessions.find(secret, s.now(), r.URL.Query().Get("live") != "1")
			if ok {
				if err = s.cfg.Auth.Session(ctx, x.person, x.stamp); err == nil {
					v.Person, v.CSRF = x.person, x.csrf
					ctx = impound.WithPrincipal(ctx, impound.Principal{ID: x.person})
					next.ServeHTTP(w, r.WithContext(context.WithValue(ctx, visitKey{}, v)))
					return
				}
				if impound.KindOf(err) != impound.KindAuth {
					s.fail(w, r, err)
					return
				}
				s.sessions.end(secret)
			}
		}
		if api || r.URL.Query().Get("live") == "1" || r.Method == http.MethodPost {
			s.unknown(w, r, impound.Errorf(impound.KindAuth, "nobody is logged in").WithCure("log in at /login, or send Authorization: Bearer with a token"))
			return
		}
		to := "/login"
		if next := r.URL.RequestURI(); next != "/" {
			to += "?next=" + url.QueryEscape(next)
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	})
}

// unknown answers who has no name here.
func (s *server) unknown(w http.ResponseWriter, r *http.Request, err error) {
	w.Header().Set("WWW-Authenticate", `Bearer realm="impound"`)
	s.failAs(w, r, err, http.StatusUnauthorized)
}

// next gives where a login leads: a path of these pages, never elsewhere.
func next(raw string) string {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "" || u.Host != "" || u.User != nil || !strings.HasPrefix(raw, "/") || strings.HasPrefix(raw, "//") || strings.ContainsAny(raw, "\\\r\n") || strings.HasPrefix(u.Path, "/log"+"in") || strings.HasPrefix(u.Path, "/logout") {
		return "/"
	}
	return u.RequestURI()
}

type loginData struct {
	Next, Form, Name string
	Open             bool
	Err              *problem
	Out              bool
}

func (s *server) loginPage(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.showLogin(w, r, loginData{Next: next(q.Get("next")), Out: q.Get("out") == "1"}, http.StatusOK)
}

func (s *server) showLogin(w http.ResponseWriter, r *http.Request, d loginData, code int) {
	if s.cfg.Auth == nil || !visitOf(r.Context()).Guarded {
		d.Open = true
	}
	d.Form = random()
	setCookie(w, r, "form", d.Form)
	var b strings.Builder
	if err := s.tmpl.ExecuteTemplate(&b, "login.html", view{page: &page{Title: "Log in", Data: d}, Version: s.cfg.Version, Path: r.URL.Path, Bare: true}); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	w.Write([]byte(b.String()))
}

// form reads a form that one of our own pages sent. What it holds is never
// logged, whatever goes wrong.
func (s *server) form(w http.ResponseWriter, r *http.Request, token string) bool {
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, impound.Errorf(impound.KindInvalid, "the form can't be read, or is too long"))
		return false
	}
	if token == "" || subtle.ConstantTimeCompare([]byte(r.PostForm.Get("form")), []byte(token)) != 1 {
		s.fail(w, r, impound.Errorf(impound.KindAuth, "this form is not one that was given to you, or too old").WithCure("go back, reload the page, and send it again"))
		return false
	}
	return true
}

func (s *server) login(w http.ResponseWriter, r *http.Request) {
	if !visitOf(r.Context()).Guarded { // nobody to log in as
		notAllowed(w)
		return
	}
	if !s.form(w, r, cookie(r, "form")) {
		return
	}
	select {
	case s.logins <- struct{}{}:
		defer func() { <-s.logins }()
	default:
		s.fail(w, r, impound.Errorf(impound.KindUnavailable, "too many people log in at once").WithCure("try again in a moment"))
		return
	}
	d := loginData{Next: next(r.PostForm.Get("next")), Name: strings.TrimSpace(r.PostForm.Get("name"))}
	person, stamp, err := s.cfg.Auth.Login(r.Context(), d.Name, r.PostForm.Get("password"))
	if err != nil {
		if impound.KindOf(err) != impound.KindAuth {
			s.fail(w, r, err)
			return
		}
		d.Err = problemOf(err)
		s.showLogin(w, r, d, http.StatusUnauthorized)
		return
	}
	if old := cookie(r, "session"); old != "" {
		s.sessions.end(old)
	}
	setCookie(w, r, "form", "")
	setCookie(w, r, "session", s.sessions.begin(person, stamp, s.now()))
	http.Redirect(w, r, d.Next, http.StatusSeeOther)
}

func (s *server) logout(w http.ResponseWriter, r *http.Request) {
	if !visitOf(r.Context()).Guarded {
		notAllowed(w)
		return
	}
	if !s.form(w, r, visitOf(r.Context()).CSRF) {
		return
	}
	s.sessions.end(cookie(r, "session"))
	setCookie(w, r, "session", "")
	http.Redirect(w, r, "/login?out=1", http.StatusSeeOther)
}
