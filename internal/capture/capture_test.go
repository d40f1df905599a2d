package capture

import (
	"bytes"
	"encoding/json"
	"image/png"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/peertest"
)

// The test binary is also the jail.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == JailCommand {
		os.Exit(JailMain())
	}
	os.Exit(m.Run())
}

var name = impound.MustName("outlook-verify.example")

// world is an actor's web server on loopback, known as name.
type world struct {
	routes map[string]string
	cfg    Config
}

// serve makes h the web server of host on port 80 and, over TLS, 443.
func (w *world) serve(t testing.TB, host string, h http.Handler) {
	t.Helper()
	plain, secure := httptest.NewServer(h), httptest.NewUnstartedServer(h)
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	t.Cleanup(plain.Close)
	t.Cleanup(secure.Close)
	w.routes[host+":80"] = plain.Listener.Addr().String()
	w.routes[host+":443"] = secure.Listener.Addr().String()
}

func newWorld(t testing.TB, h http.Handler) *world {
	t.Helper()
	w := &world{routes: map[string]string{}}
	if h != nil {
		w.serve(t, name.String(), h)
	}
	w.cfg = Config{Every: -1, Bounds: Bounds{Time: 5 * time.Second}, Tool: "impound-test/1"}
	return w
}

func (w *world) capturer(t testing.TB) *Capturer {
	t.Helper()
	if w.cfg.Observe == nil {
		o, err := observe.New(observe.Config{Routes: w.routes, Timeout: time.Second})
		must(t, err)
		w.cfg.Observe = o
	}
	c, err := New(w.cfg)
	must(t, err)
	return c
}

func (w *world) take(t testing.TB, req Request) Result {
	t.Helper()
	req.Name, req.By, req.Case = name, "ada", "C-1"
	r, err := w.capturer(t).Take(t.Context(), req)
	must(t, err)
	return r
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (r Result) find(t testing.TB, kind string) Item {
	t.Helper()
	for _, it := range r.Items {
		if it.Artefact.Kind == kind {
			return it
		}
	}
	t.Fatalf("no %s among %d items", kind, len(r.Items))
	return Item{}
}

func looks(t testing.TB, r Result) map[string]LookFacts {
	t.Helper()
	var fs []LookFacts
	must(t, json.Unmarshal(r.find(t, KindLooks).Body, &fs))
	out := map[string]LookFacts{}
	for _, f := range slices.Backward(fs) { // the first of a name wins
		out[f.Look] = f
	}
	return out
}

const signIn = `<!DOCTYPE html><html><head><title>Sign in</title></head><body><h1>Sign in to your account</h1>
<form action="/post"><input name=u type=email><input name=p type=password></form><p>Enter your password to go on reading the shared document.</p></body></html>`

func TestCaptureTakesEverything(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/" {
			http.Redirect(rw, q, "/owa/", http.StatusFound)
			return
		}
		_, _ = rw.Write([]byte(signIn))
	}))
	r := w.take(t, Request{NoScreenshot: true})
	last := r.Items[len(r.Items)-1]
	if last.Artefact.Kind != KindManifest {
		t.Fatalf("the last item is a %s, not the manifest", last.Artefact.Kind)
	}
	var m Manifest
	must(t, json.Unmarshal(last.Body, &m))
	if len(m.Parts) != len(r.Items)-1 {
		t.Errorf("the manifest names %d of %d parts", len(m.Parts), len(r.Items)-1)
	}
	for i, p := range m.Parts {
		it := r.Items[i]
		if it.Body != nil && "sha256:"+p.SHA256 != impound.HashBytes(it.Body) {
			t.Errorf("part %d (%s): the manifest has another hash than the body", i, p.Kind)
		}
		if a := it.Artefact; a.By != "ada" || a.Case != "C-1" || a.Name != name || a.Tool == "" || a.Source == "" || a.At.IsZero() {
			t.Errorf("part %d (%s) does not say who, when, what and by which tool: %+v", i, p.Kind, a)
		}
	}
	for _, kind := range []string{observe.KindParent, observe.KindChild, observe.KindResolver, observe.KindRDAP, KindWHOIS, KindTLS, KindCert, KindLooks, KindWARC, KindGating} {
		r.find(t, kind)
	}
	if g := r.Gating; g.Verdict != GateNone || len(g.Reasons) != 0 {
		t.Errorf("an open page is found %s", g.Summary())
	}
	f := looks(t, r)["desktop"]
	if len(f.Steps) != 2 || f.Steps[0].Status != 302 || f.Status != 200 || !f.Password || f.Title != "Sign in" {
		t.Errorf("the first look: %+v", f)
	}
	var v TLSView
	must(t, json.Unmarshal(r.find(t, KindTLS).Body, &v))
	if v.Version != "TLS 1.3" || v.Valid || !slices.Contains(v.Notes, "self-signed") || !slices.Contains(v.Notes, "for another name") || len(v.Chain) != 1 {
		t.Errorf("tls: %+v", v)
	}
	if c := r.find(t, KindCert); impound.HashBytes(c.Body) != "sha256:"+v.Chain[0].SHA256 {
		t.Error("the certificate kept is not the one in the summary")
	}
}

func TestScreenshotInTheJail(t *testing.T) {
	needBrowser(t)
	t.Parallel()
	inside := make(chan string, 10)
	secret := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) { inside <- q.URL.Path }))
	t.Cleanup(secret.Close)
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, q *http.Request) {
		switch q.URL.Path {
		case "/":
			rw.Header().Set("Content-Type", "text/html")
			_, _ = rw.Write([]byte(`<html><head><title>Shared document</title></head><body style="background:#d33"><div id=x>nothing</div>
<script>alert("hello"); document.getElementById("x").innerHTML = "made by a script <input type=password>";
fetch("` + secret.URL + `/steal", {mode: "no-cors"}).catch(()=>{}); fetch("/beacon", {method: "POST", body: "probe"});
fetch("file:///etc/hostname").then(r=>r.text()).then(s=>fetch("/beacon?file=1")).catch(()=>{});
new WebSocket("ws://` + secret.Listener.Addr().String() + `/ws");
</script></body></html>`))
		case "/beacon":
			rw.WriteHeader(204)
		default:
			http.NotFound(rw, q)
		}
	}))
	r := w.take(t, Request{})
	var v BrowserView
	must(t, json.Unmarshal(r.find(t, KindBrowser).Body, &v))
	t.Logf("%+v", v)
	if r.NoScreenshot != "" {
		t.Fatalf("no screenshot: %s", r.NoScreenshot)
	}
	if v.Jail != "namespaces" || !strings.Contains(v.Browser, "Chrom") || v.Title != "Shared document" {
		t.Errorf("the browser's visit: %+v", v)
	}
	img, err := png.Decode(bytes.NewReader(r.find(t, KindScreenshot).Body))
	must(t, err)
	if red, g, b, _ := img.At(700, 800).RGBA(); red>>8 != 0xdd || g>>8 != 0x33 || b>>8 != 0x33 {
		t.Errorf("the picture does not show the page: %x %x %x", red>>8, g>>8, b>>8)
	}
	if dom := string(r.find(t, KindDOM).Body); !strings.Contains(dom, "made by a script") {
		t.Errorf("the page kept is not the one that the script made: %.200s", dom)
	}
	if !slices.ContainsFunc(r.Gating.Reasons, func(n GateNote) bool { return n.By == "script" }) {
		t.Errorf("nothing says that the password field is a script's: %+v", r.Gating.Reasons)
	}
	select {
	case p := <-inside:
		t.Errorf("the page reached a server on our loopback: %s", p)
	default:
	}
	if !slices.ContainsFunc(v.Refused, func(s string) bool { return strings.Contains(s, errInside.Error()) }) {
		t.Errorf("the attempt on our loopback is not on the record: %q", v.Refused)
	}
	for _, rec := range records(t, lastOf(r, KindWARC).Body) {
		if rec.kind == "request" && strings.Contains(rec.head["WARC-Target-URI"], "file=1") {
			t.Error("the page read a file of ours")
		}
	}
}

func lastOf(r Result, kind string) Item {
	var out Item
	for _, it := range r.Items {
		if it.Artefact.Kind == kind {
			out = it
		}
	}
	return out
}

func needBrowser(t testing.TB) {
	t.Helper()
	_, err := findChromium("")
	peertest.NeedThat(t, "chromium", err == nil, "apt-get install chromium")
}

// A page that never lets go is ended, and what it asked for is kept.
func TestBrowserIsEndedInTime(t *testing.T) {
	needBrowser(t)
	t.Parallel()
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Content-Type", "text/html")
		_, _ = rw.Write([]byte(`<html><body>caught<script>for(;;){}</script></body></html>`))
	}))
	w.cfg.Bounds.Browser = 4 * time.Second
	r := w.take(t, Request{})
	if !strings.Contains(r.NoScreenshot, "too long") && !strings.Contains(r.NoScreenshot, "couldn't make the picture") {
		t.Errorf("no screenshot: %q", r.NoScreenshot)
	}
	r.find(t, KindGating)
	if rs := records(t, lastOf(r, KindWARC).Body); len(rs) < 4 {
		t.Errorf("%d records of the visit", len(rs))
	}
	// Those of the tests beside this one end too.
	left := chromiums()
	for deadline := time.Now().Add(time.Minute); len(left) > 0 && time.Now().Before(deadline); left = chromiums() {
		time.Sleep(100 * time.Millisecond)
	}
	if len(left) > 0 {
		t.Errorf("the browser lives on: %v", left)
	}
}

// chromiums gives the browsers of this test binary's jails that still run.
func chromiums() []string {
	var out []string
	dirs, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, d := range dirs {
		b, err := os.ReadFile(d)
		if err == nil && bytes.Contains(b, []byte("capture-jail\x00")) && bytes.HasPrefix(b, []byte("impound\x00")) {
			out = append(out, d)
		}
	}
	return out
}

func TestWeakJail(t *testing.T) {
	needBrowser(t)
	t.Parallel()
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(signIn)) }))
	w.cfg.Browser = BrowserConfig{Weak: true, onlyWeak: true}
	r := w.take(t, Request{})
	var v BrowserView
	must(t, json.Unmarshal(r.find(t, KindBrowser).Body, &v))
	if r.NoScreenshot != "" || v.Jail != "weak" || v.Title != "Sign in" {
		t.Errorf("no screenshot: %q; %+v", r.NoScreenshot, v)
	}
}

func TestWithoutABrowserTheRestGoesOn(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = rw.Write([]byte(signIn)) }))
	for path, why := range map[string]string{"/nowhere/chromium": "is not there", "/bin/false": "did not start"} {
		w.cfg.Browser = BrowserConfig{Path: path}
		w.cfg.Bounds.Browser = 3 * time.Second
		r := w.take(t, Request{})
		if !strings.Contains(r.NoScreenshot, why) {
			t.Errorf("%s: %q", path, r.NoScreenshot)
		}
		if r.find(t, KindScreenshot).Err != r.NoScreenshot || r.find(t, KindScreenshot).Body != nil {
			t.Error("the missing screenshot is no part of the record")
		}
		var m Manifest
		must(t, json.Unmarshal(r.Items[len(r.Items)-1].Body, &m))
		if m.NoScreenshot != r.NoScreenshot || m.Gating != GateNone {
			t.Errorf("the manifest says %q, %q", m.NoScreenshot, m.Gating)
		}
	}
}
