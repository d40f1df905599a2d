package polite

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/impound/impound"
)

// clock is a time that passes when somebody sleeps.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func (c *clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

func server(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

func start() *clock { return &clock{now: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)} }

func TestRateAndWhoAsks(t *testing.T) {
	c := start()
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("User-Agent") != "Impound/1 (+soc@unit.example)" || r.Header.Get("Cookie") != "" {
			t.Errorf("headers %v", r.Header)
		}
		w.Header().Set("Set-Cookie", "a=b")
		fmt.Fprint(w, "x")
	})
	p := New(Config{UserAgent: "Impound/1 (+soc@unit.example)", Rate: 5, Now: c.Now, Sleep: c.Sleep})
	began := c.Now()
	for range 50 {
		if _, err := p.Get(t.Context(), Request{URL: url, Max: 10}); err != nil {
			t.Fatal(err)
		}
	}
	// 5 a second, of which one second's may be taken at once.
	if d := c.Now().Sub(began); d < 8500*time.Millisecond || d > 10*time.Second {
		t.Errorf("50 requests took %v", d)
	}
}

func TestRetryAfter(t *testing.T) {
	c := start()
	n := 0
	var after string
	url := server(t, func(w http.ResponseWriter, _ *http.Request) {
		if n++; n%2 == 1 {
			w.Header().Set("Retry-After", after)
			w.WriteHeader(http.StatusTooManyRequests)
			return
		}
		fmt.Fprint(w, "x")
	})
	p := New(Config{Rate: -1, Now: c.Now, Sleep: c.Sleep})
	for _, v := range []struct {
		after string
		wait  time.Duration
	}{{"7", 7 * time.Second}, {c.Now().Add(20 * time.Second).Format(http.TimeFormat), 13 * time.Second}} {
		after = v.after
		began := c.Now()
		if _, err := p.Get(t.Context(), Request{URL: url, Max: 10}); err != nil {
			t.Fatal(err)
		}
		if d := c.Now().Sub(began); d != v.wait {
			t.Errorf("%s: waited %v, want %v", v.after, d, v.wait)
		}
	}
	// Longer than a request's patience; and no longer than an hour.
	for after2, want := range map[string]time.Duration{"300": 5 * time.Minute, "99999999": time.Hour} {
		after, n = after2, 0
		c.now = c.now.Add(2 * time.Hour)
		_, err := p.Get(t.Context(), Request{URL: url, Max: 10})
		var w *WaitError
		if !errors.As(err, &w) || w.Until.Sub(c.Now()) != want {
			t.Errorf("%s: %v", after2, err)
		}
	}
	// Who comes meanwhile waits too.
	began := c.Now()
	if _, err := p.Get(t.Context(), Request{URL: url, Max: 10}); err != nil || c.Now().Sub(began) < 5*time.Minute {
		t.Error(err, c.Now().Sub(began))
	}
}

func TestTriesAgainAndGivesUp(t *testing.T) {
	c := start()
	n, code := 0, 500
	url := server(t, func(w http.ResponseWriter, _ *http.Request) { n++; w.WriteHeader(code) })
	p := New(Config{Rate: -1, Tries: 3, Now: c.Now, Sleep: c.Sleep})
	for code2, want := range map[int]int{500: 3, 503: 3, 404: 1, 400: 1, 418: 1} {
		n, code = 0, code2
		_, err := p.Get(t.Context(), Request{URL: url + "/x?key=secret", Max: 10})
		var se *StatusError
		if !errors.As(err, &se) || se.Code != code2 || n != want || strings.Contains(err.Error(), "secret") {
			t.Errorf("%d: asked %d times: %v", code2, n, err)
		}
	}
	_, err := p.Get(t.Context(), Request{URL: "http://127.0.0.1:1/?key=secret", Max: 10})
	if err == nil || strings.Contains(err.Error(), "secret") {
		t.Error(err)
	}
}

func TestBounds(t *testing.T) {
	var bomb bytes.Buffer
	z := gzip.NewWriter(&bomb)
	_, _ = z.Write(make([]byte, 10<<20))
	z.Close()
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/bomb":
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb.Bytes())
		case "/long":
			_, _ = w.Write(make([]byte, 2000))
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write(make([]byte, 50))
		case "/badzip":
			w.Header().Set("Content-Encoding", "gzip")
			fmt.Fprint(w, "no gzip")
		case "/round":
			http.Redirect(w, r, "/round", http.StatusFound)
		}
	})
	p := New(Config{Rate: -1, Tries: 1})
	for _, path := range []string{"/bomb", "/long", "/cut", "/badzip", "/round"} {
		res, err := p.Get(t.Context(), Request{URL: url + path, Max: 1000})
		if err == nil || len(res.Body) > 0 {
			t.Errorf("%s: %d octets, %v", path, len(res.Body), err)
		}
	}
}

// Where a server sends us elsewhere, the other one doesn't learn the first one's key.
func TestRedirectTellsNoQuery(t *testing.T) {
	heard := make(chan http.Header, 1)
	other := server(t, func(w http.ResponseWriter, r *http.Request) { heard <- r.Header; fmt.Fprint(w, "x") })
	first := server(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other+"/y", http.StatusFound) })
	res, err := New(Config{}).Get(context.Background(), Request{URL: first + "/list?key=secret", Max: 100})
	if err != nil || string(res.Body) != "x" {
		t.Fatalf("%q, %v", res.Body, err)
	}
	if h := fmt.Sprint(<-heard); strings.Contains(h, "secret") {
		t.Errorf("the other server was told %s", h)
	}
}

// A server that may be asked can't send us to one that may not, nor is one asked
// that may not.
func TestAllow(t *testing.T) {
	asked := 0
	other := server(t, func(w http.ResponseWriter, r *http.Request) { asked++ })
	first := server(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, other+"/y?k=1", http.StatusFound) })
	no := impound.Errorf(impound.KindRefused, "nobody says who asks").WithCure("say it")
	c := New(Config{Allow: func(u *url.URL) error {
		if "http://"+u.Host == other {
			return no
		}
		return nil
	}})
	for _, u := range []string{first, other} {
		_, err := c.Get(context.Background(), Request{URL: u + "/list?key=secret", Max: 100})
		if !errors.Is(err, no) || strings.Contains(err.Error(), "secret") || impound.KindOf(err) != impound.KindRefused {
			t.Errorf("%v", err)
		}
	}
	if asked > 0 {
		t.Errorf("it was asked %d times", asked)
	}
}
