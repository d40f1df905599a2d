package capture

import (
	"encoding/json"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound/internal/observe"
)

const kit = `<!DOCTYPE html><html><head><title>Sign in</title><link rel="shortcut icon" href="/i/fav.png?visitor=7"></head><body>
<script>gtag('config','G-ABCD123456');fbq('init', '123456789012');</script>
<h1>Sign in to your account</h1><form action="/post"><input name=p type=password></form></body></html>`

func TestGlance(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		asked[r.URL.RequestURI()]++
		mu.Unlock()
		rw.Header().Set("Server", "nginx/1.18.0")
		switch {
		case r.URL.Path == "/i/fav.png":
			_, _ = io.WriteString(rw, "icon-octets")
		case strings.Contains(r.UserAgent(), "Googlebot"):
			rw.WriteHeader(http.StatusNotFound)
		default:
			http.SetCookie(rw, &http.Cookie{Name: "s", Value: "secret-of-the-cookie"})
			_, _ = io.WriteString(rw, kit)
		}
	}))
	g, err := w.capturer(t).Glance(t.Context(), name)
	must(t, err)
	if g.Err != "" || g.Gating.Verdict != GateYes || g.TLS == nil || len(g.TLS.Chain) == 0 || g.Requests != 4 {
		t.Fatalf("%+v", g)
	}
	if d := cmp.Diff([]string{"facebook:123456789012", "google-tag:G-ABCD123456"}, g.Trackers); d != "" {
		t.Error(d)
	}
	if g.Favicon == nil || g.Favicon.Size != 11 || g.Favicon.MMH3 != IconHash([]byte("icon-octets")) {
		t.Errorf("icon %+v", g.Favicon)
	}
	if f := g.Gating.Looks[0]; !f.Password || f.Steps[0].Server != "nginx/1.18.0" || f.Title != "Sign in" {
		t.Errorf("%+v", f)
	}
	if asked["/i/fav.png"] != 1 || asked["/"] != 3 {
		t.Errorf("asked %v: the icon goes without its query", asked)
	}
	b, _ := json.Marshal(g)
	if strings.Contains(string(b), "secret-of-the-cookie") || strings.Contains(string(b), "visitor=7") {
		t.Errorf("keeps what is a visitor's: %s", b)
	}
}

// A redirect off the name is noted and nobody else is asked; a server that is
// not there is a fault, not an absence of gating.
func TestGlanceStaysAtTheName(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "https://elsewhere.example/x?mail=a@b", http.StatusFound)
	}))
	w.serve(t, "elsewhere.example", http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("somebody else was asked") }))
	g, err := w.capturer(t).Glance(t.Context(), name)
	must(t, err)
	if g.Gating.Looks[0].Left != "elsewhere.example" || g.Gating.Verdict != GateNone || g.Favicon != nil {
		t.Errorf("%+v", g)
	}
	o, err := observe.New(observe.Config{})
	must(t, err)
	c, err := New(Config{Observe: o, Every: -1})
	must(t, err)
	g, err = c.Glance(t.Context(), name)
	must(t, err)
	if g.Err == "" || g.Gating.Verdict != GateUnknown {
		t.Errorf("nothing there: %+v", g)
	}
}

// Connections leave from the address that is configured.
func TestSourceAddress(t *testing.T) {
	var mu sync.Mutex
	var from []string
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from = append(from, netip.MustParseAddrPort(r.RemoteAddr).Addr().String())
	}))
	w.cfg.Source = netip.MustParseAddr("127.0.0.9")
	_, err := w.capturer(t).Glance(t.Context(), name)
	must(t, err)
	mu.Lock()
	defer mu.Unlock()
	if len(from) == 0 || slices.ContainsFunc(from, func(a string) bool { return a != "127.0.0.9" }) {
		t.Errorf("came from %v", from)
	}
}

// The values are of the reference implementation (smhasher) and of Python's
// mmh3.hash over base64.encodebytes.
func TestIconHash(t *testing.T) {
	for in, want := range map[string]uint32{"": 0, "a": 0x3c2569b2, "hello": 0x248bfa47, "hello, world": 0x149bbb7f, "The quick brown fox jumps over the lazy dog": 0x2e4ff723} {
		if got := murmur3([]byte(in)); got != want {
			t.Errorf("murmur3(%q) = %#x, want %#x", in, got, want)
		}
	}
}

func FuzzGlancePage(f *testing.F) {
	f.Add([]byte(kit))
	f.Add([]byte(`<link rel=icon href="//[::1]:80/x"><link rel="icon" href="javascript:alert(1)">`))
	f.Fuzz(func(t *testing.T, body []byte) {
		tk := &take{home: name}
		if u := tk.icon("https://"+name.String()+"/", body); u != nil && (!tk.onName(u) || u.RawQuery != "" || u.User != nil) {
			t.Errorf("goes to %s", u)
		}
		for _, id := range trackers(body) {
			if len(id) > 60 {
				t.Errorf("tracker %q", id)
			}
		}
		_ = IconHash(body)
	})
}
