package contest_test

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound/internal/contest"
)

func post(h http.Handler, from, body string, set ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", "http://contest.example/contest", strings.NewReader(body))
	r.RemoteAddr = from
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(set); i += 2 {
		r.Header.Set(set[i], set[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func filled(name string) string {
	return url.Values{"name": {name}, "who": {"Ann <b>"}, "contact": {"ann@owner.example"}, "why": {"it is mine\r\nsince 2009"}}.Encode()
}

func TestForm(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	var got []contest.Claim
	var fail error
	h := contest.New(contest.Config{Organisation: "Unit <i>", Now: func() time.Time { return now }, Take: func(_ context.Context, c contest.Claim) (string, error) {
		got = append(got, c)
		return "C-1", fail
	}})
	r := httptest.NewRequest("GET", "http://contest.example/contest", nil)
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	if b := w.Body.String(); w.Code != 200 || !strings.Contains(b, "Unit &lt;i&gt;") || strings.Contains(b, "<script") || !strings.Contains(w.Header().Get("Content-Security-Policy"), "default-src 'none'") || w.Header().Get("Set-Cookie") != "" {
		t.Errorf("%d %v\n%s", w.Code, w.Header(), b)
	}
	w = post(h, "192.0.2.1:1", filled("OUTLOOK-verify[.]net"))
	if w.Code != 200 || !strings.Contains(w.Body.String(), "C-1") || len(got) != 1 || got[0].Name.String() != "outlook-verify.net" || got[0].Why != "it is mine\nsince 2009" || !got[0].At.Equal(now) {
		t.Errorf("%d %+v", w.Code, got)
	}
	// What is wrong is said, what was written stays, and nothing is kept.
	for body, want := range map[string]string{
		filled("nonsense"):                    "no domain name",
		filled(""):                            "no domain name",
		"name=a.example&who=x":                "every field",
		"%zz":                                 "can&#39;t be read",
		"name=" + strings.Repeat("a", 40<<10): "too long",
		url.Values{"name": {"a.example"}, "who": {"x"}, "contact": {"y"}, "why": {strings.Repeat("z", 7000)}}.Encode(): "too long",
	} {
		w := post(h, "192.0.2.1:1", body)
		if w.Code < 400 || !strings.Contains(w.Body.String(), want) || len(got) != 1 {
			t.Errorf("%.60s: %d, want %q; %d kept", body, w.Code, want, len(got))
		}
	}
	if w := post(h, "192.0.2.1:1", filled("nonsense")); !strings.Contains(w.Body.String(), "Ann &lt;b&gt;") {
		t.Error("what was written is lost, or not escaped")
	}
	if w := post(h, "192.0.2.1:1", filled("a.example"), "Sec-Fetch-Site", "cross-site"); w.Code != 403 || len(got) != 1 {
		t.Errorf("from another site: %d", w.Code)
	}
	if w := post(h, "192.0.2.1:1", "{}", "Content-Type", "application/json"); w.Code != 415 {
		t.Errorf("JSON: %d", w.Code)
	}
	fail = errors.New("secret detail")
	if w := post(h, "198.51.100.1:1", filled("a.example")); w.Code != 503 || strings.Contains(w.Body.String(), "secret") {
		t.Errorf("a fault: %d %s", w.Code, w.Body)
	}
}

func TestBounds(t *testing.T) {
	now := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	n := 0
	h := contest.New(contest.Config{Now: func() time.Time { return now }, Take: func(context.Context, contest.Claim) (string, error) { n++; return "x", nil }})
	for range 10 {
		post(h, "192.0.2.7:1", filled("a.example"))
		post(h, "192.0.2.200:1", filled("a.example")) // the same network
	}
	if n != 5 {
		t.Errorf("%d from one network", n)
	}
	now = now.Add(time.Hour)
	if post(h, "192.0.2.7:1", filled("a.example")); n != 6 {
		t.Errorf("%d in the next hour", n)
	}
	for range 500 { // a proxy on this machine
		post(h, "127.0.0.1:1", filled("a.example"))
	}
	if n != 200 {
		t.Errorf("%d in a day", n)
	}
	if now = now.Add(24 * time.Hour); post(h, "[2001:db8::1]:1", filled("a.example")).Code != 200 {
		t.Error("nothing is taken on the next day")
	}
}

func FuzzForm(f *testing.F) {
	f.Add(filled("a.example"))
	f.Add("name=%ff&who=%00")
	f.Fuzz(func(t *testing.T, body string) {
		h := contest.New(contest.Config{Take: func(_ context.Context, c contest.Claim) (string, error) {
			if c.Name.Labels() < 2 || c.Who == "" || c.Contact == "" || c.Why == "" || strings.ContainsAny(c.Who+c.Contact+c.Why, "\x00\r\x1b") {
				t.Fatalf("%+v", c)
			}
			return "ref", nil
		}})
		if w := post(h, "192.0.2.1:1", body); w.Code >= 500 || strings.Contains(w.Body.String(), "<script") {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
