package capture

import (
	"bytes"
	"compress/gzip"
	"compress/zlib"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
)

func noPicture(t *testing.T, w *world) Result {
	t.Helper()
	return w.take(t, Request{NoScreenshot: true})
}

// Each hostile server must end in a bounded, honest record.
func TestHostileServers(t *testing.T) {
	bomb := func() []byte {
		var b bytes.Buffer
		z := gzip.NewWriter(&b)
		_, _ = z.Write(make([]byte, 64<<20))
		_ = z.Close()
		return b.Bytes()
	}()
	deflated := func() []byte {
		var b bytes.Buffer
		z := zlib.NewWriter(&b)
		_, _ = z.Write(make([]byte, 16<<20))
		_ = z.Close()
		return b.Bytes()
	}()
	for _, c := range []struct {
		name string
		h    http.HandlerFunc
		want func(t *testing.T, r Result, first LookFacts)
	}{
		{"redirect loop", func(w http.ResponseWriter, q *http.Request) {
			http.Redirect(w, q, map[bool]string{true: "/b", false: "/a"}[q.URL.Path == "/a"], http.StatusFound)
		}, func(t *testing.T, _ Result, f LookFacts) {
			if f.Err != "redirects in a loop" || len(f.Steps) != 3 {
				t.Errorf("%q after %d steps", f.Err, len(f.Steps))
			}
		}},
		{"redirects without end", func(w http.ResponseWriter, q *http.Request) {
			n, _ := strconv.Atoi(strings.TrimPrefix(q.URL.Path, "/"))
			http.Redirect(w, q, fmt.Sprintf("/%d", n+1), http.StatusFound)
		}, func(t *testing.T, _ Result, f LookFacts) {
			if f.Err != "redirects more than 10 times" || len(f.Steps) != 10 {
				t.Errorf("%q after %d steps", f.Err, len(f.Steps))
			}
		}},
		{"a gigabyte", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", strconv.Itoa(1<<30))
			b := make([]byte, 1<<20)
			for range 1 << 10 {
				if _, err := w.Write(b); err != nil {
					return
				}
			}
		}, func(t *testing.T, r Result, f LookFacts) {
			if s := f.Steps[0]; s.Cut != "length" || s.Size != 1<<20 {
				t.Errorf("cut %q at %d octets", s.Cut, s.Size)
			}
			if r := firstRecord(t, r, "response"); r.head["WARC-Truncated"] != "length" || len(r.block) > 2<<20 {
				t.Errorf("the record of %d octets says %q", len(r.block), r.head["WARC-Truncated"])
			}
		}},
		{"a gzip bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(bomb)
		}, func(t *testing.T, _ Result, f LookFacts) {
			if s := f.Steps[0]; len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "bomb") || s.Size != len(bomb) {
				t.Errorf("%d octets kept, notes %q", s.Size, s.Notes)
			}
		}},
		{"not gzip at all", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = io.WriteString(w, "plain")
		}, func(t *testing.T, _ Result, f LookFacts) {
			if s := f.Steps[0]; len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "is not") {
				t.Errorf("notes %q", s.Notes)
			}
		}},
		{"a drip", func(w http.ResponseWriter, q *http.Request) {
			w.Header().Set("Content-Length", "100000")
			for {
				if _, err := io.WriteString(w, "x"); err != nil {
					return
				}
				w.(http.Flusher).Flush()
				select {
				case <-q.Context().Done():
					return
				case <-time.After(20 * time.Millisecond):
				}
			}
		}, func(t *testing.T, r Result, f LookFacts) {
			if f.Steps[0].Cut != "time" || firstRecord(t, r, "response").head["WARC-Truncated"] != "time" {
				t.Errorf("cut %q", f.Steps[0].Cut)
			}
		}},
		{"a head without end", raw(func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\n")
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("y", 500)); err != nil {
					return
				}
			}
		}), func(t *testing.T, _ Result, f LookFacts) {
			if !strings.Contains(f.Err, "head of the answer is longer") || f.Status != 0 {
				t.Errorf("%+v", f)
			}
		}},
		{"no HTTP", raw(func(c net.Conn) { _, _ = io.WriteString(c, "SSH-2.0-OpenSSH_9.2p1\r\n") }), func(t *testing.T, r Result, f LookFacts) {
			if !strings.Contains(f.Err, "no HTTP answer") {
				t.Errorf("%+v", f)
			}
			if x := firstRecord(t, r, "response"); x.head["Content-Type"] != "application/octet-stream" || !bytes.Contains(x.block, []byte("SSH-2.0")) {
				t.Errorf("what came is not kept as what it is: %v", x.head)
			}
		}},
		{"broken off", raw(func(c net.Conn) { _, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nonly this") }), func(t *testing.T, r Result, f LookFacts) {
			if f.Steps[0].Cut != "disconnect" || firstRecord(t, r, "response").head["WARC-Truncated"] != "disconnect" {
				t.Errorf("%+v", f)
			}
		}},
		{"chunks for ever", raw(func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for {
				if _, err := fmt.Fprintf(c, "1000\r\n%s\r\n", strings.Repeat("z", 0x1000)); err != nil {
					return
				}
			}
		}), func(t *testing.T, _ Result, f LookFacts) {
			if s := f.Steps[0]; s.Cut != "length" || s.Size > 1<<20 {
				t.Errorf("cut %q at %d octets", s.Cut, s.Size)
			}
		}},
		{"empty chunks with extensions for ever", raw(func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
			for {
				if _, err := fmt.Fprintf(c, "1;%s\r\nz\r\n", strings.Repeat("x", 900)); err != nil {
					return
				}
			}
		}), func(t *testing.T, _ Result, f LookFacts) {
			if s := f.Steps[0]; s.Cut == "" || s.Size > 3<<20 {
				t.Errorf("cut %q at %d octets", s.Cut, s.Size)
			}
		}},
		{"trailers for ever", raw(func(c net.Conn) {
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nz\r\n0\r\n")
			for i := 0; ; i++ {
				if _, err := fmt.Fprintf(c, "X-%d: %s\r\n", i, strings.Repeat("y", 500)); err != nil {
					return
				}
			}
		}), func(t *testing.T, _ Result, f LookFacts) {
			if s := f.Steps[0]; s.Cut == "" || s.Size > 3<<20 {
				t.Errorf("cut %q at %d octets", s.Cut, s.Size)
			}
		}},
		{"interim answers for ever", raw(func(c net.Conn) {
			for {
				if _, err := io.WriteString(c, "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"); err != nil {
					return
				}
			}
		}), func(t *testing.T, _ Result, f LookFacts) {
			if f.Status/100 == 2 || len(f.Steps) > 1 {
				t.Errorf("%+v", f)
			}
		}},
		{"a bomb by deflate", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "deflate")
			_, _ = w.Write(deflated) // packed before: that takes longer than a capture may
		}, func(t *testing.T, _ Result, f LookFacts) {
			if s := f.Steps[0]; len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "bomb") {
				t.Errorf("notes %q", s.Notes)
			}
		}},
		{"a bomb within a bomb", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "gzip, gzip")
			z := gzip.NewWriter(w)
			_, _ = z.Write(bomb)
			_ = z.Close()
		}, func(t *testing.T, _ Result, f LookFacts) {
			if s := f.Steps[0]; len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "which was not asked for") || s.Size > len(bomb) {
				t.Errorf("%d octets, notes %q", s.Size, s.Notes)
			}
		}},
		{"brotli, which nobody asked for", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Encoding", "br")
			_, _ = w.Write([]byte{0xcb, 0xff, 0xff, 0x3f, 0x00, 0x00, 0xff})
		}, func(t *testing.T, _ Result, f LookFacts) {
			if s := f.Steps[0]; len(s.Notes) != 1 || !strings.Contains(s.Notes[0], "“br”, which was not asked for") {
				t.Errorf("notes %q", s.Notes)
			}
		}},
		{"controls in what is shown", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = io.WriteString(w, "<title>\u202egpj.exe\x1b[31m</title>")
		}, func(t *testing.T, _ Result, f LookFacts) {
			if strings.ContainsAny(f.Title, "\u202e\x1b") || f.Title == "" {
				t.Errorf("title %q", f.Title)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, c.h)
			w.cfg.Bounds = Bounds{Time: 600 * time.Millisecond, Answer: 1 << 20, Total: 12 << 20}
			delete(w.routes, name.String()+":443") // plain HTTP is enough
			r := noPicture(t, w)
			c.want(t, r, looks(t, r)["desktop"])
		})
	}
}

// raw answers with octets of one's own.
func raw(say func(net.Conn)) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		say(c)
	}
}

// firstRecord gives the first record of a kind that is not about https, where nobody
// listens in these tests.
func firstRecord(t *testing.T, r Result, kind string) record {
	t.Helper()
	for _, x := range records(t, r.find(t, KindWARC).Body) {
		if x.kind == kind {
			return x
		}
	}
	t.Fatalf("no %s record", kind)
	return record{}
}

func TestTheWholeCaptureIsBounded(t *testing.T) {
	w := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write(make([]byte, 1<<20)) }))
	w.cfg.Bounds = Bounds{Total: 3 << 19, Time: 5 * time.Second}
	r := noPicture(t, w)
	n := 0
	for _, x := range records(t, r.find(t, KindWARC).Body) {
		if x.kind == "response" {
			n += len(x.block)
		}
	}
	if n > 3<<19 || n < 1<<20 {
		t.Errorf("%d octets of answers kept, where 1.5 MiB are the bound", n)
	}
	if f := looks(t, r)["mobile"]; !strings.Contains(f.Err, "used up") {
		t.Errorf("the later look says %q", f.Err)
	}
}

// A redirect into our own network is written down and not followed, whether
// it names an address or a name that leads there, at once or the second time.
func TestNoWayIn(t *testing.T) {
	hit := make(chan string, 100)
	inner := http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { hit <- q.Host })
	for _, to := range []string{
		"http://127.0.0.1:PORT/", "http://[::1]:PORT/", "http://[::ffff:127.0.0.1]:PORT/", "http://2130706433:PORT/", "http://0x7f.1:PORT/", "http://0.0.0.0:PORT/",
		"http://10.0.0.1/", "http://192.168.1.1/", "http://169.254.169.254/latest/meta-data/", "http://100.64.0.1/", "http://[fe80::1]/", "http://[fd00::1]/", "http://224.0.0.1/",
		"http://inside.example:PORT/", "https://localhost:PORT/",
		"http://8.8.8.8:25/", "http://8.8.8.8:6379/", "file:///etc/passwd", "gopher://8.8.8.8/", "ftp://8.8.8.8/", "javascript:alert(1)",
	} {
		t.Run(to, func(t *testing.T) {
			t.Parallel()
			l := newWorld(t, nil)
			srv := &http.Server{Handler: inner}
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			must(t, err)
			go func() { _ = srv.Serve(ln) }()
			t.Cleanup(func() { srv.Close() })
			_, port, _ := net.SplitHostPort(ln.Addr().String())
			l.serve(t, name.String(), http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Location", strings.ReplaceAll(to, "PORT", port))
				w.WriteHeader(302)
			}))
			delete(l.routes, name.String()+":443")
			l.cfg.Observe = observer(t, l.routes, map[string]string{"inside.example.": "127.0.0.1"}, "")
			l.cfg.Bounds = Bounds{Time: 300 * time.Millisecond}
			f := looks(t, noPicture(t, l))["desktop"]
			if len(f.Steps) == 0 || f.Steps[0].Status != 302 {
				t.Fatalf("%+v", f)
			}
			if len(f.Steps) > 1 && f.Steps[1].Status != 0 {
				t.Errorf("followed: %+v", f.Steps[1])
			}
			if len(f.Steps) > 1 && f.Steps[1].Err == "" {
				t.Errorf("nothing says why it was not followed: %+v", f)
			}
		})
	}
	t.Cleanup(func() {
		select {
		case h := <-hit:
			t.Errorf("a server on our loopback was reached as %s", h)
		default:
		}
	})
}

// A name that is public when it is first asked, and leads inside when its own
// redirect is followed, gains nothing.
func TestRebinding(t *testing.T) {
	hit := make(chan string, 10)
	inner, err := net.Listen("tcp", "127.0.0.1:80")
	if err == nil { // as root only: what a rebound name would reach
		go func() {
			_ = http.Serve(inner, http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) { hit <- q.Host })) //nolint:gosec
		}()
		defer inner.Close()
	}
	outer := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		http.Redirect(w, q, "http://"+name.String()+"/again", http.StatusFound)
	}))
	public := "93.184.216.34"
	w := newWorld(t, nil)
	w.cfg.Observe = observer(t, map[string]string{public + ":80": outer.routes[name.String()+":80"]}, map[string]string{name.FQDN(): public}, name.FQDN())
	u, _ := url.Parse("http://" + name.String() + "/")
	c := w.capturer(t)
	tk := &take{Capturer: c, obs: c.cfg.Observe, bounds: c.cfg.Bounds, budget: newBudget(1 << 20), now: time.Now, home: name, warc: newWARC("x", "x", time.Now)}
	ch := tk.visit(t.Context(), &visitor{look: "desktop", agent: "x", jar: newJar(), via: c.main, roam: true}, u)
	if len(ch.steps) != 2 || ch.steps[0].Status != 302 || ch.steps[1].Status != 0 || ch.err != errInside.Error() {
		t.Errorf("%d steps, %q", len(ch.steps), ch.err)
	}
	select {
	case h := <-hit:
		t.Errorf("our loopback was reached as %s", h)
	default:
	}
}

// observer resolves by a server of its own, which answers 127.0.0.1 for
// rebinds the second time that it is asked.
func observer(t *testing.T, routes, addrs map[string]string, rebinds string) *observe.Observer {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	must(t, err)
	var mu sync.Mutex
	asked := map[string]int{}
	srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		mu.Lock()
		defer mu.Unlock()
		m := new(dns.Msg)
		m.SetReply(q)
		n := q.Question[0].Name
		if a := addrs[n]; a != "" && q.Question[0].Qtype == dns.TypeA {
			if asked[n]++; n == rebinds && asked[n] > 1 {
				a = "127.0.0.1"
			}
			m.Answer = []dns.RR{&dns.A{Hdr: dns.RR_Header{Name: n, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 0}, A: net.ParseIP(a)}}
		}
		_ = w.WriteMsg(m)
	})}
	go func() { _ = srv.ActivateAndServe() }()
	t.Cleanup(func() { _ = srv.Shutdown() })
	o, err := observe.New(observe.Config{Routes: routes, Resolvers: []string{pc.LocalAddr().String()}, Timeout: time.Second})
	must(t, err)
	return o
}

// The address that a socket connects to is judged too, not only the one that a
// resolver gave.
func TestConnectJudgesTheAddressItself(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer ln.Close()
	ap := ln.Addr().(*net.TCPAddr).AddrPort()
	g := &egress{timeout: time.Second}
	if c, err := g.connect(t.Context(), ap, false); err == nil {
		c.Close()
		t.Fatal("connected to loopback")
	}
	if c, err := g.connect(t.Context(), ap, true); err != nil {
		t.Errorf("a route of our own is refused: %v", err)
	} else {
		c.Close()
	}
	for _, a := range []string{"127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.0.1", "169.254.169.254", "100.100.0.1", "224.0.0.5", "255.255.255.255", "0.0.0.0", "::", "::1", "fe80::1", "fc00::1", "ff02::1", "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::"} {
		if g.allowed(netip.MustParseAddr(a)) {
			t.Errorf("%s is let through", a)
		}
	}
}

func TestRequestsThatAreRefused(t *testing.T) {
	c := newWorld(t, nil).capturer(t)
	for _, u := range []string{
		"ftp://outlook-verify.example/", "https://other.example/", "https://outlook-verify.example.evil.example/", "https:///x", "://", "https://outlook-verify.example/?email=ann@victim.example",
		"https://outlook-verify.example/login/ann@victim.example", "https://outlook-verify.example/" + strings.Repeat("a", 5000),
	} {
		_, err := c.Take(t.Context(), Request{Name: name, URL: u, By: "ada"})
		if impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%.60s: %v", u, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := c.Take(ctx, Request{Name: name, By: "ada", NoScreenshot: true}); err == nil {
		t.Error("a capture that was cut short gives a result")
	}
	if u, err := (Request{Name: name, URL: "https://u:p@outlook-verify.example/a?t=1#f", KeepQuery: true}).check(); err != nil || u.String() != "https://outlook-verify.example/a?t=1" {
		t.Errorf("%v, %v", u, err)
	}
}

func TestUnreachableNameIsAResultToo(t *testing.T) {
	r := noPicture(t, newWorld(t, nil))
	if r.Gating.Verdict != GateUnknown || r.NoScreenshot != "not wanted" {
		t.Errorf("%+v", r.Gating)
	}
	if it := r.find(t, KindLooks); it.Err == "" {
		t.Errorf("nothing says why there is no page: %+v", it)
	}
	r = newWorld(t, nil).take(t, Request{})
	if r.NoScreenshot != "no web server answers" {
		t.Errorf("no screenshot: %q", r.NoScreenshot)
	}
}

// Both kinds of egress proxy are given addresses, never names, and nothing
// inside.
func TestEgressProxies(t *testing.T) {
	page := newWorld(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, signIn) }))
	real := page.routes[name.String()+":80"]
	for _, scheme := range []string{"http", "socks5"} {
		t.Run(scheme, func(t *testing.T) {
			p := newTestProxy(t, real)
			w := newWorld(t, nil)
			w.cfg.Proxy = scheme + "://" + p.addr
			w.cfg.Observe = observer(t, nil, map[string]string{name.FQDN(): "93.184.216.34", "inside.example.": "10.0.0.1"}, "")
			u, _ := url.Parse("http://" + name.String() + "/")
			r := w.take(t, Request{NoScreenshot: true, URL: u.String()})
			f := looks(t, r)["desktop"]
			if f.Status != 200 || f.Via != "proxy" || f.Steps[0].Addr != "93.184.216.34:80" {
				t.Errorf("%+v", f)
			}
			for _, a := range p.seen() {
				if !strings.HasPrefix(a, "93.184.216.34:") {
					t.Errorf("the proxy was asked for %s", a)
				}
			}
			c := w.capturer(t)
			if conn, _, err := c.main.dial(t.Context(), "inside.example", 80); err == nil {
				conn.Close()
				t.Error("the proxy was asked for an address inside")
			}
			if slices.ContainsFunc(p.seen(), func(a string) bool { return strings.HasPrefix(a, "10.") }) {
				t.Error("the proxy was asked for an address inside")
			}
		})
	}
	for _, bad := range []string{"ftp://h:1", "socks5://", "http://h", "http://h:1/x", "http://h:1/?a"} {
		if err := CheckProxy(bad, "proxy"); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
