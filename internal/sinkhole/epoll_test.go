package sinkhole

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
)

// What the web does is the same with net/http and without.
func TestWebWithNetHTTP(t *testing.T) {
	startPlain = true
	defer func() { startPlain = false }()
	for name, test := range map[string]func(*testing.T){
		"notice": TestHTTPNotice, "recorded": TestRecordedBeforeAnswered, "lapse": TestLapseHTTPKeptAlive, "lure": TestLureLevel,
		"hello": TestTLSHello, "clients": TestRealWebClients, "body": TestBodyIsNotWaitedFor, "challenge": TestChallenge, "statuses": TestHTTPStatuses,
	} {
		t.Run(name, test)
	}
}

// Answer by answer and event by event, the two agree.
func TestFastAnswersAsPlain(t *testing.T) {
	fast := start(t, usual(t))
	plain := start(t, usual(t), func(c *Config) { c.Plain = true })
	for _, method := range []string{"GET", "HEAD", "OPTIONS", "POST", "TRACE", "BREW", "PROPFIND"} {
		for _, host := range []string{"outlook-verify.net", "A.count-only.net:80", "lure-level.net.", "example.org", "192.0.2.1", ""} {
			for _, more := range []string{"", "Content-Length: 3\r\n", "Transfer-Encoding: chunked\r\n", "Upgrade: h2c\r\n", "Accept-Language: fr;q=0.2, de\r\n", "User-Agent: x bob@victim.example\r\nReferer: https://a.example/?q\r\nCookie: a=b\r\n"} {
				send := method + " /a/9f86d081884c7d659a2feaa0c55ad015/%41\"?x=bob%40victim.example HTTP/1.1\r\nHost: " + host + "\r\n" + more + "Connection: close\r\n\r\n"
				got, want := answer(t, fast, method, send), answer(t, plain, method, send)
				if d := cmp.Diff(want, got); d != "" {
					t.Errorf("%q:\n%s", send, d)
				}
				if d := cmp.Diff(one(t, plain.rec.take()), one(t, fast.rec.take()), ignoreWhere); d != "" {
					t.Errorf("%q: event\n%s", send, d)
				}
			}
		}
	}
}

func answer(t *testing.T, r *rig, method, send string) map[string]string {
	t.Helper()
	c, err := net.Dial("tcp", r.addr("http"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, send)
	res, err := http.ReadResponse(bufio.NewReader(c), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%q: %v", send, err)
	}
	b, _ := io.ReadAll(res.Body)
	out := map[string]string{"": res.Status + " " + fmt.Sprint(res.Close), "body": string(b)}
	for k, v := range res.Header {
		if k != "Date" {
			out[k] = strings.Join(v, "|")
		}
	}
	return out
}

func TestChallenge(t *testing.T) {
	r := start(t, usual(t), func(c *Config) {
		c.Challenge = func(host, token string) (string, bool) {
			return token + "." + host, token == "Tok-en_0123456789ABCDEF"
		}
	})
	for _, tt := range []struct{ host, path, want, event string }{
		{"outlook-verify.net", "/.well-known/acme-challenge/Tok-en_0123456789ABCDEF", "Tok-en_0123456789ABCDEF.outlook-verify.net", "/.well-known/acme-challenge/{token}"},
		{"outlook-verify.net", "/.well-known/acme-challenge/other", "<!DOCTYPE", "/.well-known/acme-challenge/other"},
		{"example.org", "/.well-known/acme-challenge/Tok-en_0123456789ABCDEF", "421: ", ""},
		{"lure-level.net", "/.well-known/acme-challenge/Tok-en_0123456789ABCDEF", "Tok-en_0123456789ABCDEF.lure-level.net", "/.well-known/acme-challenge/{token}"},
	} {
		got := raw(t, r.addr("http"), "GET "+tt.path+" HTTP/1.1\r\nHost: "+tt.host+"\r\nConnection: close\r\n\r\n")
		if _, body, _ := strings.Cut(got, "\r\n\r\n"); !strings.HasPrefix(body, tt.want) {
			t.Errorf("%s%s: %q", tt.host, tt.path, got)
		}
		if e := one(t, r.rec.take()); e.Path != tt.event || e.Lure != "" || e.LureHash != "" {
			t.Errorf("event %+v", e)
		}
	}
}

// Many requests at once are all answered, in their order, and recorded; also to
// one who takes the answers slowly.
func TestPipelined(t *testing.T) {
	r := start(t, usual(t))
	const n = 3000
	for _, scheme := range []string{"http", "https"} {
		c, err := net.Dial("tcp", r.addr(scheme))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if scheme == "https" {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "outlook-verify.net"})
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			var b strings.Builder
			for i := range n {
				fmt.Fprintf(&b, "HEAD /%d HTTP/1.1\r\nHost: outlook-verify.net\r\n\r\nGET /%d HTTP/1.1\r\nHost: outlook-verify.net\r\n\r\n", 2*i, 2*i+1)
			}
			io.WriteString(c, b.String())
		}()
		time.Sleep(50 * time.Millisecond) // answers fill every buffer
		in := bufio.NewReader(c)
		for i := range 2 * n {
			res, err := http.ReadResponse(in, &http.Request{Method: []string{"HEAD", "GET"}[i%2]})
			if err != nil {
				t.Fatalf("%s: answer %d: %v", scheme, i, err)
			}
			io.Copy(io.Discard, res.Body)
		}
		events := r.rec.take()
		if scheme == "https" {
			events = events[1:] // the hello
		}
		for i, e := range events {
			if e.Path != fmt.Sprintf("/%d", i) {
				t.Fatalf("%s: event %d is of %s", scheme, i, e.Path)
			}
		}
		if len(events) != 2*n {
			t.Fatalf("%s: %d events", scheme, len(events))
		}
	}
}

// Heads that come octet by octet are read; those that never end are cut, as are
// handshakes that nobody goes on with.
func TestSlowWebClients(t *testing.T) {
	r := start(t, usual(t), func(c *Config) {
		c.Limits.HeadTimeout = 400 * time.Millisecond
		c.Limits.IdleTimeout = 300 * time.Millisecond
	})
	c, err := net.Dial("tcp", r.addr("http"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	for _, b := range []byte("GET /slow HTTP/1.1\r\nHost: outlook-verify.net\r\n\r\n") {
		c.Write([]byte{b})
	}
	if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 200 {
		t.Fatalf("%v, %v", res, err)
	}
	if e := one(t, r.rec.take()); e.Path != "/slow" {
		t.Errorf("event %+v", e)
	}
	for what, send := range map[string]string{"silent": "", "half a head": "GET / HTTP/1.1\r\nHost: outlook-ver", "idle": "HEAD / HTTP/1.1\r\nHost: outlook-verify.net\r\n\r\n"} {
		if got := raw(t, r.addr("http"), send); (got == "") != (what != "idle") {
			t.Errorf("%s: %q", what, got)
		}
	}
	if got := raw(t, r.addr("https"), "\x16\x03\x01"); got != "" {
		t.Errorf("half a hello: %q", got)
	}
	if n := r.conns.snapshot(); len(n) > 1 {
		t.Errorf("still open: %v", n)
	}
}

// Nothing of a request stays in the loops' buffers.
func TestBuffersAreCleared(t *testing.T) {
	var loops []*webLoop
	newLoopHook = func(l *webLoop) { loops = append(loops, l) }
	r := start(t, usual(t))
	newLoopHook = nil
	raw(t, r.addr("http"), "POST /x HTTP/1.1\r\nHost: outlook-verify.net\r\nCookie: S3CRET\r\nContent-Length: 99\r\n\r\npassword=S3CRET")
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	r.Close(ctx)
	for _, l := range loops {
		for _, c := range l.buf {
			if c != 0 {
				t.Fatal("a buffer holds something")
			}
		}
		if l.req.head != (head{}) {
			t.Error("a head is still pointed at")
		}
	}
	if len(loops) == 0 {
		t.Error("no loop was looked at")
	}
}

// A client whose body is long gets its answer, and no reset before it.
func TestBodyAnswerIsNotReset(t *testing.T) {
	r := start(t, usual(t))
	for _, scheme := range []string{"http", "https"} {
		c, err := net.Dial("tcp", r.addr(scheme))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		if scheme == "https" {
			c = tls.Client(c, &tls.Config{InsecureSkipVerify: true, ServerName: "outlook-verify.net"})
		}
		c.SetDeadline(time.Now().Add(5 * time.Second))
		io.WriteString(c, "POST / HTTP/1.1\r\nHost: outlook-verify.net\r\nContent-Length: 300000\r\n\r\n"+strings.Repeat("x", 200_000))
		b, err := io.ReadAll(c)
		if !strings.HasPrefix(string(b), "HTTP/1.1 200") || !strings.Contains(string(b), "</html>") {
			t.Errorf("%s: %d octets, %v", scheme, len(b), err)
		}
		for _, e := range r.rec.take() {
			if e.Outcome == malformed || e.Proto == impound.ProtoHTTP && e.Method != "POST" {
				t.Errorf("%s: a body was read as a request: %+v", scheme, e)
			}
		}
	}
}
