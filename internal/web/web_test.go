package web

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"
)

func handler(f *fixture) http.Handler {
	return New(Config{Desk: f, Addr: "127.0.0.1:8080", Version: "test", Now: func() time.Time { return f.now }})
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
	"/", "/cases", "/cases/PHOS-2019", "/cases/QUIET-1", "/cases/PHOS-2019/names/outlook-verify.net", "/cases/PHOS-2019/names/blogspot.com", "/cases/PHOS-2019/names/xn--google-yri.com",
	"/contacts", "/contacts?class=victim&proto=http&zone=outlook-verify[.]net&case=PHOS-2019", "/orders", "/orders/PHOS-WDC-1", "/orders/DRAFT-2", "/plans/P-1", "/candidates", "/candidates?status=open", "/log", "/log?type=intent", "/about",
}

func TestPagesAnswer(t *testing.T) {
	h := handler(newFixture())
	for _, p := range pages {
		if w := get(t, h, p); w.Code != 200 {
			t.Errorf("%s: %d\n%s", p, w.Code, w.Body)
		}
	}
}
