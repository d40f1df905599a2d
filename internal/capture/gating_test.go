package capture

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

const decoy = `<!DOCTYPE html><html><head><title>Bakery</title></head><body><h1>Our daily bread</h1><p>Fresh rolls from six in the morning, and cake on Sundays. Come by and see us near the old market, opposite the church.</p></body></html>`

func TestGatingIsFound(t *testing.T) {
	agent := func(q *http.Request, s string) bool { return strings.Contains(q.UserAgent(), s) }
	say := func(w http.ResponseWriter, s string) {
		w.Header().Set("Content-Type", "text/html")
		_, _ = io.WriteString(w, s)
	}
	// what a real page puts into every answer anew
	nonce := func() string {
		return fmt.Sprintf(`<meta name="csrf" content="%x"><input type=hidden name=state value="%x"><p>Generated %s, request %d, id %x-4a1c</p>`,
			rand.Uint64(), rand.Uint64(), time.Now().Add(time.Duration(rand.IntN(1e6))*time.Second).Format(time.RFC1123), rand.IntN(1e9), rand.Uint64())
	}
	var n atomic.Int64
	for _, c := range []struct {
		name    string
		h       http.HandlerFunc
		verdict string
		by      string // "" is no reason at all
		look    string
		text    string
	}{
		{"open, with nonces", func(w http.ResponseWriter, _ *http.Request) { say(w, signIn+nonce()) }, GateNone, "", "", ""},
		{"bots are sent away", func(w http.ResponseWriter, q *http.Request) {
			if agent(q, "bot") || !agent(q, "Mozilla") {
				http.NotFound(w, q)
				return
			}
			say(w, signIn+nonce())
		}, GateYes, "user-agent", "bot", "is answered 404, not 200"},
		{"bots are shown a bakery", func(w http.ResponseWriter, q *http.Request) {
			if agent(q, "bot") {
				say(w, decoy+nonce())
				return
			}
			say(w, decoy[:len(decoy)-14]+strings.Repeat("<p>Review the invoice which your colleague shared with you today before it expires", 3)+nonce())
		}, GateYes, "user-agent", "bot", "another page"},
		{"mobiles only", func(w http.ResponseWriter, q *http.Request) {
			if agent(q, "iPhone") {
				say(w, signIn)
				return
			}
			http.Redirect(w, q, "https://www.unit.test/", http.StatusFound)
		}, GateYes, "user-agent", "mobile", "is kept, where the first is sent off to www[.]unit[.]test"},
		{"by cookie", func(w http.ResponseWriter, q *http.Request) {
			if _, err := q.Cookie("seen"); err == nil {
				say(w, decoy)
				return
			}
			http.SetCookie(w, &http.Cookie{Name: "seen", Value: "1"})
			say(w, signIn)
		}, GateYes, "cookie", "cookie", "is not asked for a password"},
		{"by referrer", func(w http.ResponseWriter, q *http.Request) {
			if q.Referer() == "" {
				http.Error(w, "no", http.StatusForbidden)
				return
			}
			say(w, signIn)
		}, GateYes, "referrer", "referrer", "is answered 200, not 403"},
		{"one visit only", func(w http.ResponseWriter, q *http.Request) {
			if n.Add(1) > 1 {
				http.Error(w, "gone", http.StatusGone)
				return
			}
			say(w, signIn)
		}, GateUnstable, "repeat", "desktop-again", "is answered 410, not 200"},
		{"another page each time", func(w http.ResponseWriter, _ *http.Request) {
			var b strings.Builder
			for range 200 {
				b.WriteString(string(rune('a'+rand.IntN(26))) + string(rune('a'+rand.IntN(26))) + string(rune('a'+rand.IntN(26))) + " ")
			}
			say(w, b.String())
		}, GateUnstable, "", "", ""},
		{"challenge for all", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Cf-Mitigated", "challenge")
			w.WriteHeader(403)
			say(w, `<title>Just a moment...</title><script>window._cf_chl_opt={}</script>`)
		}, GateAll, "challenge", "all", "every visitor"},
		{"challenge for bots", func(w http.ResponseWriter, q *http.Request) {
			if agent(q, "bot") {
				say(w, `<div class="h-captcha" data-sitekey="x"></div><script src="https://js.hcaptcha.com/1/api.js"></script>`)
				return
			}
			say(w, signIn)
		}, GateYes, "user-agent", "bot", "is shown a challenge: hcaptcha"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t, c.h)
			delete(w.routes, name.String()+":443")
			r := noPicture(t, w)
			g := r.Gating
			if g.Verdict != c.verdict {
				t.Errorf("verdict %q, want %q: %s", g.Verdict, c.verdict, g.Summary())
			}
			ok := slices.ContainsFunc(g.Reasons, func(n GateNote) bool {
				return n.By == c.by && n.Look == c.look && strings.Contains(n.Text, c.text)
			})
			if c.by != "" && !ok || c.by == "" && len(g.Reasons) > 0 {
				t.Errorf("reasons: %+v", g.Reasons)
			}
		})
	}
}

func TestGatingBySource(t *testing.T) {
	other := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "not for you", http.StatusForbidden) }))
	w := newWorld(t, nil)
	w.serve(t, name.String(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, signIn) }))
	public := "93.184.216.34"
	p, q := newTestProxy(t, w.routes[name.String()+":80"]), newTestProxy(t, other.routes[name.String()+":80"])
	v := newWorld(t, nil)
	v.cfg.Proxy, v.cfg.SecondProxy = "http://"+p.addr, "socks5://"+q.addr
	v.cfg.Observe = observer(t, nil, map[string]string{name.FQDN(): public}, "")
	r := v.take(t, Request{NoScreenshot: true, URL: "http://" + name.String() + "/"})
	if g := r.Gating; g.Verdict != GateYes || len(g.Reasons) != 1 || g.Reasons[0].By != "source" {
		t.Errorf("%s", g.Summary())
	}
}

func TestChallengesAreKnown(t *testing.T) {
	for kind, body := range map[string]string{
		"turnstile":        `<script src="https://challenges.cloudflare.com/turnstile/v0/api.js" async></script><div class="cf-turnstile"></div>`,
		"hcaptcha":         `<script src="https://hcaptcha.com/1/api.js"></script>`,
		"recaptcha":        `<script src="https://www.google.com/recaptcha/api.js?render=x"></script>`,
		"cloudflare":       `<script src="/cdn-cgi/challenge-platform/h/b/orchestrate/chl_page/v1"></script>`,
		"datadome":         `<script src="https://ct.captcha-delivery.com/c.js"></script>`,
		"imperva":          `<iframe src="/_Incapsula_Resource?x">`,
		"script":           `<html><script>document.cookie="a=1";location.reload()</script></html>`,
		"friendly-captcha": `<div class="frc-captcha" data-sitekey="k"></div>`,
	} {
		if got := challenges(200, http.Header{}, []byte(body), readPage([]byte(body))); !slices.Equal(got, []string{kind}) {
			t.Errorf("%s: %q", kind, got)
		}
	}
	for _, open := range []string{signIn, decoy, decoy + "<script>document.cookie='seen=1'</script>"} {
		if got := challenges(200, http.Header{}, []byte(open), readPage([]byte(open))); len(got) > 0 {
			t.Errorf("an open page is said to show %q", got)
		}
	}
}

func FuzzPage(f *testing.F) {
	f.Add([]byte(signIn))
	f.Add([]byte(decoy))
	f.Add([]byte("<script>document.cookie='a';location='b'</script><meta http-equiv=refresh content='0;url=x'>"))
	f.Add([]byte("<title><script></title></script><style><input type=password"))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := readPage(b)
		if len(p.words) > maxWords || len(p.title) > 300 {
			t.Fatalf("%d words, a title of %d octets", len(p.words), len(p.title))
		}
		if l := likeness(p.shingles(), readPage(b).shingles()); l != 1 {
			t.Fatalf("a page is %v like itself", l)
		}
		_ = challenges(200, http.Header{}, b, p)
	})
}
