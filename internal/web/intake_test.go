package web

import (
	"bytes"
	"context"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/html"

	impound "github.com/impound/impound"
)

func post(t testing.TB, h http.Handler, path, file, body string, fields ...string) *httptest.ResponseRecorder {
	t.Helper()
	var b bytes.Buffer
	m := multipart.NewWriter(&b)
	for i := 0; i+1 < len(fields); i += 2 {
		if err := m.WriteField(fields[i], fields[i+1]); err != nil {
			t.Fatal(err)
		}
	}
	if file != "" {
		w, err := m.CreateFormFile("file", file)
		if err != nil {
			t.Fatal(err)
		}
		w.Write([]byte(body))
	}
	m.Close()
	r := httptest.NewRequest("POST", path, &b)
	r.Host = "127.0.0.1:8080"
	r.Header.Set("Content-Type", m.FormDataContentType())
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func TestIntakePage(t *testing.T) {
	f := newFixture()
	var got, as string
	h := New(Config{Desk: f, Addr: "127.0.0.1:8080", Version: "test", Now: func() time.Time { return f.now }, Intake: func(_ context.Context, name string, data []byte) (Report, error) {
		got, as = string(data), name
		return Report{File: name, Format: "text", Names: []ReportName{
			{Name: impound.MustName("outlook-verify.net"), Proposed: true, Why: "defanged in the report", Sentence: hostile + " http://outlook-verify.net/x", Times: 1},
			{Name: impound.MustName("xn--google-yri.com"), Why: "set apart: mentioned", Sentence: "s", Times: 1},
		}, Facts: []ReportFact{{"docket", "4-24-71375", "an order's fact", "No. 4-24-71375"}, {"alias", "TA453", "", "s"}}, Problems: []*impound.Error{impound.Errorf(impound.KindInvalid, "read in part").WithCure("paste it")}}, nil
	}})
	if w := get(t, h, "/intake"); w.Code != 200 || !strings.Contains(w.Body.String(), `<textarea id="report"`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	for _, in := range []struct{ file, body, pasted, wantBody, wantName string }{
		{"", "", "they used outlook-verify[.]net", "they used outlook-verify[.]net", "pasted"},
		{"r.pdf", "%PDF-", "", "%PDF-", "r.pdf"},
	} {
		w := post(t, h, "/intake", in.file, in.body, "report", in.pasted)
		if w.Code != 200 || got != in.wantBody || as != in.wantName {
			t.Errorf("%+v: %d %q %q", in, w.Code, got, as)
		}
		page := w.Body.String()
		boxes, on := 0, 0
		walk(parse(t, strings.NewReader(page)), func(n *html.Node) {
			switch {
			case n.Type != html.ElementNode:
			case attr(n, "type") == "checkbox":
				boxes++
				for _, a := range n.Attr {
					if a.Key == "checked" {
						on++
						if attr(n, "value") != "outlook-verify[.]net" {
							t.Errorf("ticked: %s", attr(n, "value"))
						}
					}
				}
			case n.Data == "script" && attr(n, "src") == "", n.Data == "img", strings.Contains(attr(n, "href"), "verify"):
				t.Errorf("a %s of the report's making", n.Data)
			}
		})
		if boxes != 3 || on != 1 {
			t.Errorf("%d boxes, %d ticked", boxes, on)
		}
		for _, want := range []string{"4-24-71375", "read in part", "outlook-verify[.]net"} {
			if !strings.Contains(page, want) {
				t.Errorf("no %s", want)
			}
		}
		if strings.Contains(page, "outlook-verify.net/x") {
			t.Error("a live link in a sentence")
		}
	}
	w := post(t, h, "/intake", "", "", "step", "tick", "tick", "outlook-verify[.]net", "tick", "yahoo-verify[.]net", "case", "PHOS 'x")
	if w.Code != 200 || !strings.Contains(html.UnescapeString(w.Body.String()), `impound case add 'PHOS '\''x' - <<'NAMES'`+"\noutlook-verify[.]net\nyahoo-verify[.]net\nNAMES") {
		t.Errorf("%d %s", w.Code, w.Body)
	}
	// An alias goes to an actor, and the docket into an order's draft.
	w = post(t, h, "/intake", "", "", "step", "tick", "alias", "Mint 'Sandstorm'", "alias", "TA453", "docket", "4-24-71375", "case", "PHOS")
	for _, want := range []string{`impound actor add ACTOR --alias 'Mint '\''Sandstorm'\''' --alias TA453 --source REPORT`, "impound order draft PHOS --id ORDER --docket 4-24-71375 --out order.yaml"} {
		if w.Code != 200 || !strings.Contains(html.UnescapeString(w.Body.String()), want) || strings.Contains(w.Body.String(), "case add") {
			t.Errorf("%s: %d %s", want, w.Code, w.Body)
		}
	}
	for name, w := range map[string]*httptest.ResponseRecorder{
		"nothing ticked": post(t, h, "/intake", "", "", "step", "tick"),
		"no name":        post(t, h, "/intake", "", "", "tick", "a\nNAMES\nrm -rf /"),
		"no report":      post(t, h, "/intake", "", "", "report", " \n"),
		"too long":       post(t, h, "/intake", "a.txt", strings.Repeat("x", maxReport+128<<10)),
	} {
		if name == "nothing ticked" && w.Code != 200 || name != "nothing ticked" && w.Code != 400 || strings.Contains(w.Body.String(), "NAMES") {
			t.Errorf("%s: %d %.300s", name, w.Code, w.Body)
		}
	}
	// Another site's page can't send a form here.
	r := httptest.NewRequest("POST", "/intake", strings.NewReader("report=x"))
	r.Host = "127.0.0.1:8080"
	r.Header.Set("Sec-Fetch-Site", "cross-site")
	rec := httptest.NewRecorder()
	if h.ServeHTTP(rec, r); rec.Code != http.StatusForbidden {
		t.Errorf("another site's form: %d", rec.Code)
	}
	if w := post(t, handler(newFixture()), "/intake", "", "", "report", "x"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("without a reader: %d", w.Code)
	}
}

// With accounts, a form must be one that was given to whoever is logged in.
func TestIntakeForm(t *testing.T) {
	f := newFixture()
	asked := false
	h := New(Config{Desk: f, Auth: door{}, Now: func() time.Time { return f.now }, Intake: func(context.Context, string, []byte) (Report, error) {
		asked = true
		return Report{}, nil
	}})
	if w := post(t, h, "/intake", "", "", "report", "x"); w.Code != http.StatusUnauthorized || asked {
		t.Errorf("%d %v", w.Code, asked)
	}
	r := httptest.NewRequest("GET", "/login", nil)
	r.Host = "127.0.0.1:8080"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	form := w.Result().Cookies()[0]
	r = httptest.NewRequest("POST", "/login", strings.NewReader("name=eve&password=p&form="+form.Value))
	r.Host = "127.0.0.1:8080"
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	r.AddCookie(form)
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	var session *http.Cookie
	for _, c := range w.Result().Cookies() {
		if strings.HasSuffix(c.Name, "session") {
			session = c
		}
	}
	if session == nil {
		t.Fatalf("no session: %d %v", w.Code, w.Result().Cookies())
	}
	send := func(token string) int {
		var b bytes.Buffer
		m := multipart.NewWriter(&b)
		m.WriteField("report", "x")
		m.WriteField("form", token)
		m.Close()
		r := httptest.NewRequest("POST", "/intake", &b)
		r.Host = "127.0.0.1:8080"
		r.Header.Set("Content-Type", m.FormDataContentType())
		r.AddCookie(session)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	if code := send("x"); code != http.StatusForbidden && code != http.StatusUnauthorized || asked {
		t.Errorf("a form of nobody's: %d %v", code, asked)
	}
	r = httptest.NewRequest("GET", "/intake", nil)
	r.Host = "127.0.0.1:8080"
	r.AddCookie(session)
	w = httptest.NewRecorder()
	h.ServeHTTP(w, r)
	token := ""
	walk(parse(t, w.Body), func(n *html.Node) {
		if attr(n, "name") == "form" {
			token = attr(n, "value")
		}
	})
	if code := send(token); code != 200 || !asked {
		t.Errorf("%d %v", code, asked)
	}
}

type door struct{}

func (door) Guarded(context.Context) (bool, error) { return true, nil }
func (door) Login(_ context.Context, name, _ string) (string, string, error) {
	return name, "s", nil
}
func (door) Session(context.Context, string, string) error { return nil }
func (door) Token(context.Context, string) (impound.Principal, error) {
	return impound.Principal{}, impound.Errorf(impound.KindAuth, "no")
}
