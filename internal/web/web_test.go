package web

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	impound "github.com/impound/impound"
)

func handler(f *fixture) http.Handler {
	return New(Config{Desk: f, Links: links{f.now}, Addr: "127.0.0.1:8080", Version: "test", Now: func() time.Time { return f.now }})
}

func get(t testing.TB, h http.Handler, url string, head ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequest("GET", url, nil)
	r.Host = "127.0.0.1:8080"
	for i := 0; i+1 < len(head); i += 2 {
		r.Header.Set(head[i], head[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

var pages = []string{
	"/", "/cases", "/cases/PHOS-2019", "/cases/QUIET-1", "/cases/PHOS-2019?resolvers=1&window=1h", "/cases/PHOS-2019/names", "/cases/PHOS-2019/names/outlook-verify.net", "/cases/PHOS-2019/names/blogspot.com", "/cases/PHOS-2019/names/xn--google-yri.com",
	"/contacts", "/contacts?class=victim&proto=http&zone=outlook-verify[.]net&case=PHOS-2019", "/contacts?limit=20&offset=40", "/contacts?case=none",
	"/orders", "/orders/PHOS-WDC-1", "/orders/DRAFT-2", "/plans/P-1", "/candidates", "/watch", "/watch?status=promoted", "/watch/lessons", "/links", "/links?at=name:outlook-signin.net", "/links?at=address:192.0.2.7", "/log", "/log?type=intent&name=outlook-verify.net", "/about",
}

var apis = []string{"/api/v1/cases", "/api/v1/cases/PHOS-2019", "/api/v1/contacts", "/api/v1/contacts?class=victim&limit=3", "/api/v1/orders", "/api/v1/orders?case=PHOS-2019", "/api/v1/candidates", "/api/v1/log", "/api/v1/series", "/api/v1/series?case=PHOS-2019&window=15m", "/api/v1/victims"}

// walk calls fn for each node of the page.
func walk(n *html.Node, fn func(*html.Node)) {
	fn(n)
	for c := range n.ChildNodes() {
		walk(c, fn)
	}
}

func attr(n *html.Node, key string) string {
	for _, a := range n.Attr {
		if a.Key == key {
			return a.Val
		}
	}
	return ""
}

func parse(t testing.TB, body io.Reader) *html.Node {
	t.Helper()
	n, err := html.Parse(body)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// textOf is everything that a reader of the page sees, hints included.
func textOf(doc *html.Node) string {
	var b strings.Builder
	walk(doc, func(n *html.Node) {
		if n.Type == html.TextNode {
			b.WriteString(n.Data + "\n")
		}
		if n.Type == html.ElementNode {
			for _, a := range n.Attr {
				if a.Key == "title" || a.Key == "aria-label" || a.Key == "data-head" {
					b.WriteString(a.Val + "\n")
				}
			}
		}
	})
	return b.String()
}

// Every page is whole, safe to open, and usable without eyes or mouse.
func TestPages(t *testing.T) {
	h := handler(newFixture())
	for _, p := range pages {
		t.Run(p, func(t *testing.T) {
			w := get(t, h, p)
			if w.Code != 200 {
				t.Fatalf("%d\n%s", w.Code, w.Body)
			}
			doc := parse(t, w.Body)
			ids, h1, hrefs, labelled := map[string]bool{}, 0, []string{}, []string{}
			walk(doc, func(n *html.Node) {
				if n.Type != html.ElementNode {
					return
				}
				if id := attr(n, "id"); id != "" {
					if ids[id] {
						t.Errorf("id %q stands twice", id)
					}
					ids[id] = true
				}
				for _, a := range n.Attr {
					switch {
					case strings.HasPrefix(a.Key, "on"), a.Key == "style":
						t.Errorf("<%s %s=%q>: the policy refuses it", n.Data, a.Key, a.Val)
					case a.Key == "href", a.Key == "src", a.Key == "action", a.Key == "xlink:href":
						if a.Val == "" || !strings.HasPrefix(a.Val, "#") && !strings.HasPrefix(a.Val, "?") && (!strings.HasPrefix(a.Val, "/") || strings.HasPrefix(a.Val, "//")) {
							t.Errorf("<%s %s=%q> leads outside", n.Data, a.Key, a.Val)
						}
						hrefs = append(hrefs, a.Val)
					case a.Key == "aria-labelledby":
						labelled = append(labelled, strings.Fields(a.Val)...)
					}
				}
				switch n.Data {
				case "h1":
					h1++
				case "script":
					if !strings.HasPrefix(attr(n, "src"), "/static/") || n.FirstChild != nil {
						t.Errorf("a script that is not ours")
					}
				case "style", "iframe", "object", "embed", "base", "link", "meta", "img":
					if n.Data != "link" && n.Data != "meta" {
						t.Errorf("<%s> has no place here", n.Data)
					}
				case "th":
					if attr(n, "scope") == "" {
						t.Error("<th> without scope")
					}
				case "input", "select":
					if n.Parent.Data != "label" {
						t.Errorf("<%s name=%s> without label", n.Data, attr(n, "name"))
					}
				case "a":
					if strings.TrimSpace(textOf(n)) == "" {
						t.Errorf("link to %s without words", attr(n, "href"))
					}
				}
				if _, live := "", slices.ContainsFunc(n.Attr, func(a html.Attribute) bool { return a.Key == "data-live" }); live && attr(n, "id") == "" {
					t.Errorf("<%s data-live> without id can't be swapped", n.Data)
				}
			})
			if h1 != 1 {
				t.Errorf("%d <h1>", h1)
			}
			for _, id := range labelled {
				if !ids[id] {
					t.Errorf("aria-labelledby names %q, which is not there", id)
				}
			}
			for _, href := range hrefs {
				if frag, ok := strings.CutPrefix(href, "#"); ok && !ids[frag] {
					t.Errorf("link to #%s, which is not there", frag)
				}
			}
		})
	}
}

// Every link of every page leads somewhere.
func TestNoDeadLink(t *testing.T) {
	h := handler(newFixture())
	seen := map[string]bool{}
	queue := []string{"/"}
	for len(queue) > 0 && len(seen) < 600 {
		p := queue[0]
		queue = queue[1:]
		p, _, _ = strings.Cut(p, "#")
		if p == "" || seen[p] {
			continue
		}
		seen[p] = true
		w := get(t, h, p)
		if w.Code != 200 {
			t.Errorf("%s: %d", p, w.Code)
			continue
		}
		if !strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			continue
		}
		base, _ := url.Parse(p)
		walk(parse(t, w.Body), func(n *html.Node) {
			for _, a := range n.Attr {
				if n.Type == html.ElementNode && (a.Key == "href" || a.Key == "src") {
					ref, err := base.Parse(a.Val)
					if err != nil {
						t.Errorf("%s: link %q: %v", p, a.Val, err)
						continue
					}
					queue = append(queue, ref.RequestURI())
				}
			}
		})
	}
	if len(seen) < 60 {
		t.Errorf("only %d addresses found: the walk is broken", len(seen))
	}
}

// What a visitor chose reaches no page but as text, and no full name or
// address of anybody reaches it at all.
func TestHostileAndPrivate(t *testing.T) {
	f := newFixture()
	h := handler(f)
	forbidden := []string{"victim.person", "SECRETLURE"}
	for _, c := range f.contacts {
		forbidden = append(forbidden, c.Src.Addr().String()+" ", c.Src.Addr().String()+"\"", c.Src.Addr().String()+"<", c.Src.Addr().String()+":", c.Src.Addr().String()+",", c.Src.String())
	}
	var all []string
	for _, p := range pages {
		all = append(all, p)
		for _, format := range []string{"csv", "json"} {
			for _, id := range tablesOf(t, h, p) {
				all = append(all, exportURL(p, id, format))
			}
		}
	}
	all = append(all, apis...)
	for _, p := range all {
		w := get(t, h, p)
		if w.Code != 200 {
			t.Errorf("%s: %d", p, w.Code)
		}
		body := w.Body.String()
		for _, s := range forbidden {
			if strings.Contains(body, s) {
				t.Errorf("%s holds %q", p, s)
				break
			}
		}
		if i := strings.IndexFunc(body, impound.Hidden); i >= 0 || strings.Contains(body, "\u0305") {
			t.Errorf("%s holds what deceives the eye: %q", p, body[max(0, i-40):i+20])
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") && strings.Contains(body, "<script>") {
			t.Errorf("%s: a script from outside", p)
		}
		if strings.HasPrefix(w.Header().Get("Content-Type"), "text/html") {
			text := textOf(parse(t, strings.NewReader(body)))
			for _, n := range append(names, impound.MustName("blogspot.com"), impound.MustName("xn--google-yri.com")) {
				if strings.Contains(text, n.String()) || strings.Contains(text, n.Unicode()) {
					t.Errorf("%s shows %s without defanging it", p, n.Defanged())
				}
			}
		}
	}
	if body := get(t, h, "/contacts?class=researcher").Body.String(); !strings.Contains(body, "&lt;script&gt;alert(1)&lt;/script&gt;") {
		t.Error("the hostile user agent is not shown at all")
	}
}

func tablesOf(t testing.TB, h http.Handler, p string) (ids []string) {
	t.Helper()
	walk(parse(t, get(t, h, p).Body), func(n *html.Node) {
		if n.Type == html.ElementNode && n.Data == "a" {
			if u, err := url.Parse(attr(n, "href")); err == nil && u.Query().Get("format") == "csv" {
				ids = append(ids, u.Query().Get("table"))
			}
		}
	})
	return ids
}

// CSV, JSON and the page hold the same rows.
func TestExportsAgree(t *testing.T) {
	h := handler(newFixture())
	n := 0
	for _, p := range pages {
		doc := parse(t, get(t, h, p).Body)
		shown := map[string]int{}
		walk(doc, func(x *html.Node) {
			if x.Type == html.ElementNode && x.Data == "section" && strings.Contains(attr(x, "class"), "table") {
				rows := 0
				walk(x, func(y *html.Node) {
					if y.Type == html.ElementNode && y.Data == "tr" && attr(y, "data-key") != "" {
						rows++
					}
				})
				shown[attr(x, "id")] = rows
			}
		})
		ids := tablesOf(t, h, p)
		if len(ids) == 0 {
			t.Errorf("%s: no table can be had", p)
		}
		for _, id := range ids {
			n++
			c, j := get(t, h, exportURL(p, id, "csv")), get(t, h, exportURL(p, id, "json"))
			if ct := c.Header().Get("Content-Type"); !strings.HasPrefix(ct, "text/csv") {
				t.Fatalf("%s %s: csv came as %s: %s", p, id, ct, c.Body)
			}
			recs, err := csv.NewReader(c.Body).ReadAll()
			if err != nil {
				t.Fatalf("%s %s: %v", p, id, err)
			}
			var doc struct {
				Table string
				Total int
				Rows  []map[string]any
			}
			d := json.NewDecoder(j.Body)
			d.UseNumber()
			if err := d.Decode(&doc); err != nil {
				t.Fatalf("%s %s: %v", p, id, err)
			}
			var fromJSON [][]string
			for _, r := range doc.Rows {
				var rec []string
				for _, k := range recs[0] {
					v, ok := r[k]
					if !ok {
						t.Errorf("%s %s: no field %q in JSON", p, id, k)
					}
					s := fmt.Sprint(v)
					if list, ok := v.([]any); ok {
						var parts []string
						for _, x := range list {
							parts = append(parts, fmt.Sprint(x))
						}
						s = strings.Join(parts, "; ")
					}
					if _, isNumber := v.(json.Number); !isNumber {
						s = string(impound.Show([]byte(guard(s)))) // escapes in the one, code points in the other
					}
					rec = append(rec, strings.ReplaceAll(s, "\r\n", "\n"))
				}
				if len(r) != len(recs[0]) {
					t.Errorf("%s %s: %d fields in JSON, %d in CSV", p, id, len(r), len(recs[0]))
				}
				fromJSON = append(fromJSON, rec)
			}
			if diff := cmp.Diff(fromJSON, append([][]string(nil), recs[1:]...)); diff != "" && len(recs) > 1 {
				t.Errorf("%s %s: JSON and CSV differ:\n%s", p, id, diff)
			}
			if shown[id] > len(doc.Rows) || shown[id] == 0 && len(doc.Rows) > 0 {
				t.Errorf("%s %s: the page shows %d rows, the export %d", p, id, shown[id], len(doc.Rows))
			}
		}
	}
	if n < 30 {
		t.Errorf("only %d tables seen", n)
	}
}

func TestHeadersAndMethods(t *testing.T) {
	h := handler(newFixture())
	css := "/static/"
	walk(parse(t, get(t, h, "/").Body), func(n *html.Node) {
		if n.Data == "link" && attr(n, "rel") == "stylesheet" {
			css = attr(n, "href")
		}
	})
	all := append(append([]string{"/nowhere", "/healthz", "/readyz", "/favicon.ico", "/static/0/style.css", css, "/contacts?class=x"}, pages...), apis...)
	for _, p := range all {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"} {
			r := httptest.NewRequest(method, p, unread{t})
			r.Host = "127.0.0.1:8080"
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			want := map[string]string{
				"Content-Security-Policy":    policy,
				"X-Content-Type-Options":     "nosniff",
				"Referrer-Policy":            "no-referrer",
				"Cross-Origin-Opener-Policy": "same-origin",
				"X-Frame-Options":            "DENY",
			}
			for k, v := range want {
				if got := w.Header().Get(k); got != v {
					t.Errorf("%s %s: %s is %q", method, p, k, got)
				}
			}
			if read := method == "GET" || method == "HEAD"; read == (w.Code == http.StatusMethodNotAllowed) {
				t.Errorf("%s %s: %d", method, p, w.Code)
			}
			if w.Code == http.StatusMethodNotAllowed && w.Header().Get("Allow") != "GET, HEAD" {
				t.Errorf("%s %s: Allow is %q", method, p, w.Header().Get("Allow"))
			}
		}
	}
	if got := get(t, h, css).Header().Get("Cache-Control"); !strings.Contains(got, "immutable") {
		t.Errorf("the style sheet is not cached: %q", got)
	}
	if got := get(t, h, "/contacts").Header().Get("Cache-Control"); got != "no-store" {
		t.Errorf("contacts may be cached on disk: %q", got)
	}
}

// unread is a body that must not be read.
type unread struct{ t *testing.T }

func (u unread) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, io.EOF
}

func TestHost(t *testing.T) {
	for _, c := range []struct {
		host    string
		allowed []string
		want    bool
	}{
		{"127.0.0.1:8080", nil, true}, {"localhost", nil, true}, {"LOCALHOST.:1", nil, true}, {"[::1]:8080", nil, true}, {"[::1]", nil, true},
		{"rebind.example:8080", nil, false}, {"127.0.0.1.rebind.example", nil, false}, {"", nil, false}, {":8080", nil, false}, {"localhost@evil.example", nil, false}, {"192.0.2.1", nil, false},
		{"desk.example", []string{"desk.example"}, true}, {"desk.example:99", []string{"desk.example"}, true}, {"localhost", []string{"desk.example"}, false},
		{"desk.example:443", []string{"desk.example:443"}, true}, {"desk.example:444", []string{"desk.example:443"}, false}, {"x", []string{""}, false}, {"", []string{""}, false},
	} {
		h := New(Config{Desk: newFixture(), AllowedHosts: c.allowed})
		r := httptest.NewRequest("GET", "/api/v1/cases", nil)
		r.Host = c.host
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		want := http.StatusMisdirectedRequest
		if c.want || c.allowed == nil && c.want {
			want = 200
		}
		if w.Code != want {
			t.Errorf("host %q, allowed %q: %d, want %d", c.host, c.allowed, w.Code, want)
		}
	}
}

func TestLiveFragment(t *testing.T) {
	f := newFixture()
	h := handler(f)
	for _, p := range pages {
		q := "?live=1"
		if strings.Contains(p, "?") {
			q = "&live=1"
		}
		want, got := live(parse(t, get(t, h, p).Body)), live(parse(t, get(t, h, p+q).Body))
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: the fragment holds other live parts than the page:\n%s", p, diff)
		}
		if !slices.Contains(got, "status") {
			t.Errorf("%s: the status is not live", p)
		}
	}

	p := "/cases/PHOS-2019?live=1"
	first := get(t, h, p)
	etag := first.Header().Get("ETag")
	if etag == "" {
		t.Fatal("no ETag")
	}
	f.now = f.now.Add(2 * time.Second) // time alone changes nothing within a minute
	if w := get(t, h, p, "If-None-Match", etag); w.Code != http.StatusNotModified || w.Body.Len() != 0 {
		t.Errorf("unchanged, but %d with %d octets", w.Code, w.Body.Len())
	}
	f.add(impound.ClassVictim, impound.ProtoHTTP, "198.51.100.200", 1, "a new visitor", "new", f.now)
	w := get(t, h, p, "If-None-Match", etag)
	if w.Code != 200 || w.Header().Get("ETag") == etag {
		t.Errorf("a new contact, but %d", w.Code)
	}
	if body := w.Body.String(); !strings.Contains(body, `data-key="demo/181"`) || !strings.Contains(body, "12 of 181") {
		t.Error("the new contact is not in the fragment")
	}
}

func live(doc *html.Node) (ids []string) {
	walk(doc, func(n *html.Node) {
		for _, a := range n.Attr {
			if a.Key == "data-live" {
				ids = append(ids, attr(n, "id"))
			}
		}
	})
	slices.Sort(ids)
	return ids
}

func TestErrors(t *testing.T) {
	h := handler(newFixture())
	for _, c := range []struct {
		path string
		code int
		says string
	}{
		{"/nowhere", 404, "no page"},
		{"/cases/none", 404, "there is no case"},
		{"/cases/PHOS-2019/names/example.org", 404, "example[.]org"},
		{"/cases/PHOS-2019/names/..%2f", 400, ""},
		{"/orders/none", 404, "no order"},
		{"/plans/none", 404, "no plan"},
		{"/contacts?class=victm", 400, "use victim, unclear"},
		{"/contacts?klass=victim", 400, "the filters are"},
		{"/contacts?class=victim&class=scanner", 400, "twice"},
		{"/contacts?zone=co..uk", 400, "empty label"},
		{"/contacts?limit=0", 400, "no number"},
		{"/contacts?limit=999999", 400, "no number"},
		{"/contacts?offset=-1", 400, "no number"},
		{"/contacts?case=%00", 400, "no id"},
		{"/contacts?format=xls", 400, "csv"},
		{"/contacts?format=csv&table=nope", 404, "it has: contacts"},
		{"/cases?class=victim", 400, "this page has none"},
		{"/cases/PHOS-2019?window=3w", 400, "use 15m"},
		{"/cases/PHOS-2019?format=svg&plot=x", 404, "no such picture"},
		{"/log?type=x", 400, "use artefact"},
		{"/api/v1/contacts?class=x", 400, `"kind":"invalid"`},
		{"/api/v1/cases/none", 404, `"kind":"not-found"`},
		{"/api/v2/cases", 404, `"kind":"not-found"`},
	} {
		w := get(t, h, c.path)
		if w.Code != c.code || !strings.Contains(html.UnescapeString(w.Body.String()), c.says) {
			t.Errorf("%s: %d, want %d and %q in:\n%s", c.path, w.Code, c.code, c.says, w.Body)
		}
	}
}

type broken struct{ *fixture }

func (broken) Cases(context.Context) ([]CaseHead, error) {
	return nil, errors.New("couldn't open /secret/path: disk on fire")
}

// Our own faults go to the log, not to the reader.
func TestOwnFaultsStayInside(t *testing.T) {
	var log bytes.Buffer
	h := New(Config{Desk: broken{newFixture()}, Log: slog.New(slog.NewTextHandler(&log, nil))})
	for _, p := range []string{"/", "/cases", "/api/v1/cases"} {
		w := get(t, h, p)
		if w.Code != 500 || strings.Contains(w.Body.String(), "secret") {
			t.Errorf("%s: %d %s", p, w.Code, w.Body)
		}
	}
	if !strings.Contains(log.String(), "disk on fire") {
		t.Error("the log doesn't say why")
	}
}

func TestHealth(t *testing.T) {
	f := newFixture()
	h := handler(f)
	for _, p := range []string{"/healthz", "/readyz"} {
		r := httptest.NewRequest("GET", p, nil)
		r.Host = "10.0.0.1" // a probe's
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != 200 {
			t.Errorf("%s: %d", p, w.Code)
		}
	}
	f.notReady = errors.New("secret reason")
	if w := get(t, h, "/readyz"); w.Code != 503 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("not ready, but %d %s", w.Code, w.Body)
	}
	if w := get(t, h, "/healthz"); w.Code != 200 {
		t.Errorf("/healthz: %d", w.Code)
	}
}

func TestAPI(t *testing.T) {
	f := newFixture()
	h := handler(f)
	for _, p := range apis {
		w := get(t, h, p)
		if w.Code != 200 || w.Header().Get("Content-Type") != "application/json" || !json.Valid(w.Body.Bytes()) {
			t.Errorf("%s: %d %s", p, w.Code, w.Body)
		}
		if strings.Contains(w.Body.String(), ":null") {
			t.Errorf("%s: a list is null, which no reader expects", p)
		}
		if again := get(t, h, p, "If-None-Match", w.Header().Get("ETag")); again.Code != 304 {
			t.Errorf("%s: asked again: %d", p, again.Code)
		}
	}
	var got struct {
		Total    int
		Contacts []contactView
	}
	if err := json.Unmarshal(get(t, h, "/api/v1/contacts?class=victim&limit=1").Body.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	want := contactView{At: now.Add(-96 * time.Second), Sensor: "demo", Seq: 177, Case: "PHOS-2019", Order: "PHOS-WDC-1", Class: "victim", Confidence: 60, Proto: "https",
		Name: "www.outlook-verify.net", Zone: "outlook-verify.net", What: "GET /signin/v2/…@institute.example/176", Source: "198.51.100.0/24", Network: "AS64497 Northern Press Cooperative", ASN: 64497, Country: "NO",
		UserAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X)", Outcome: "answered", Reasons: []impound.Reason{{Code: "x", Text: "phone on a home network", Weight: 0.6}}}
	if len(got.Contacts) != 1 {
		t.Fatalf("%d contacts", len(got.Contacts))
	}
	if diff := cmp.Diff(want, got.Contacts[0]); diff != "" {
		t.Error(diff)
	}
}

// The numbers on the case page are the desk's own.
func TestCaseHead(t *testing.T) {
	f := newFixture()
	doc := parse(t, get(t, handler(f), "/cases/PHOS-2019").Body)
	head := ""
	walk(doc, func(n *html.Node) {
		if attr(n, "id") == "case-head" {
			head = strings.Join(strings.Fields(textOf(n)), " ")
		}
	})
	totals, _ := f.Totals(t.Context(), "PHOS-2019")
	for _, want := range []string{
		"TLP:AMBER", "Magic Hound also APT35, Phosphorus, Mint Sandstorm", "PHOS-WDC-1 in force until in 9 days 2026-11-30 10:00:30",
		fmt.Sprintf("%d victims", totals.Victims), fmt.Sprintf("%d contacts in all", totals.All()), fmt.Sprintf("victim %d", totals.ByClass["victim"]), fmt.Sprintf("mail gateway %d", totals.ByClass["mail-gateway"]),
		"6 names: 1 blocked 1 evidenced 4 sinkholed", "order DRAFT-2 is no mandate yet", "1 more order not in force",
	} {
		if !strings.Contains(head, want) {
			t.Errorf("the head doesn't say %q: %s", want, head)
		}
	}
}

func BenchmarkCasePoll(b *testing.B) {
	h := handler(newFixture())
	etag := get(b, h, "/cases/PHOS-2019?live=1").Header().Get("ETag")
	for b.Loop() {
		if w := get(b, h, "/cases/PHOS-2019?live=1", "If-None-Match", etag); w.Code != 304 {
			b.Fatal(w.Code)
		}
	}
}

// A long case shows what needs a look first, says how many there are, and leads
// to all of them; its exports hold all.
func TestManyNames(t *testing.T) {
	f := newFixture()
	for i := range 90 {
		f.cases[0].Domains = slices.Insert(f.cases[0].Domains, 0, impound.CaseDomain{Name: impound.MustName(fmt.Sprintf("many-%d.example.net", i)), State: impound.StateSeized})
	}
	h := handler(f)
	var keys []string
	walk(parse(t, get(t, h, "/cases/PHOS-2019").Body), func(n *html.Node) {
		if attr(n, "id") == "names" {
			keys = append(keys, rowKeys(n, "names")...)
			if !strings.Contains(textOf(n), "12 of 96") {
				t.Error("the page doesn't say that there are more")
			}
		}
	})
	if len(keys) != 12 || keys[0] != "blogspot.com" || keys[1] != "verification-live.com" {
		t.Errorf("shown are %v", keys)
	}
	if n := len(rowKeys(parse(t, get(t, h, "/cases/PHOS-2019/names").Body), "names")); n != 96 {
		t.Errorf("the page of all names shows %d", n)
	}
	if n := strings.Count(get(t, h, "/cases/PHOS-2019?format=csv&table=names").Body.String(), "\r\n"); n != 97 {
		t.Errorf("the export has %d lines", n)
	}
}

// Resolvers don't flatten the picture, and are not kept quiet either.
func TestResolversApart(t *testing.T) {
	h := handler(newFixture())
	without, with := get(t, h, "/cases/PHOS-2019?window=1h").Body.String(), get(t, h, "/cases/PHOS-2019?window=1h&resolvers=1").Body.String()
	if !strings.Contains(without, "26 contacts of resolvers are not drawn") || strings.Contains(without, "resolver 26.") {
		t.Error("left out without a word, or not left out")
	}
	if strings.Contains(without, ">resolver</text>") || !strings.Contains(with, ">resolver</text>") {
		t.Error("the legend names what is not drawn, or not what is")
	}
	if !strings.Contains(with, "180 contacts from") || !strings.Contains(without, "154 contacts, resolvers apart, from") {
		t.Error("the picture's words don't fit what is drawn")
	}
}

func TestWindowsAnswer(t *testing.T) {
	h := handler(newFixture())
	for _, w := range windows {
		if got := get(t, h, "/cases/PHOS-2019?window="+w.Key); got.Code != 200 || !strings.Contains(got.Body.String(), `aria-current="true">`+w.Key+"<") {
			t.Errorf("%s: %d", w.Key, got.Code)
		}
	}
}

func TestSVG(t *testing.T) {
	h := handler(newFixture())
	w := get(t, h, "/cases/PHOS-2019?format=svg&plot=over-time&window=1h")
	if w.Code != 200 || w.Header().Get("Content-Type") != "image/svg+xml" || !strings.HasPrefix(w.Body.String(), "<svg xmlns=") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	if !strings.Contains(get(t, h, "/cases/PHOS-2019?window=1h").Body.String(), w.Body.String()) {
		t.Error("the picture alone is another than in the page")
	}
}
