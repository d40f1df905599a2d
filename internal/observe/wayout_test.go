package observe_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/peertest"
)

// resolverOverTCP answers over TCP at an address where a datagram is counted.
func resolverOverTCP(t *testing.T, udp *atomic.Int32) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { pc.Close() })
	go func() {
		b := make([]byte, 1500)
		for {
			if _, _, err := pc.ReadFrom(b); err != nil {
				return
			}
			udp.Add(1)
		}
	}()
	l, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Skipf("the port is taken for TCP: %v", err)
	}
	s := &dns.Server{Listener: l, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetReply(q)
		switch x := q.Question[0]; {
		case strings.EqualFold(x.Name, "example."): // the zone above
		case x.Qtype == dns.TypeA:
			m.Answer = []dns.RR{rr(t, x.Name+" 60 IN A 9.9.9.77")}
		case x.Qtype == dns.TypeMX:
			m.Answer = []dns.RR{rr(t, x.Name+" 60 IN MX 10 mx.actor.test.")}
		}
		_ = w.WriteMsg(m)
	})}
	go s.ActivateAndServe()
	t.Cleanup(func() { s.Shutdown() })
	return l.Addr().String()
}

// microsocks starts the real SOCKS server; what gives what it says it connected to.
func microsocks(t *testing.T) (addr string, what func() string) {
	t.Helper()
	bin := peertest.Need(t, "microsocks", "microsocks")
	port := peertest.Port(t)
	said, err := os.CreateTemp(t.TempDir(), "socks")
	if err != nil {
		t.Fatal(err)
	}
	c := exec.Command(bin, "-i", "127.0.0.1", "-p", fmt.Sprint(port))
	c.Stderr = said
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Process.Kill(); _ = c.Wait() })
	addr = fmt.Sprint("127.0.0.1:", port)
	for end := time.Now().Add(time.Minute); ; {
		if nc, err := net.Dial("tcp", addr); err == nil {
			nc.Close()
			break
		} else if time.Now().After(end) {
			t.Fatal(err)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return addr, func() string {
		b, err := os.ReadFile(said.Name())
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
}

// DNS goes over TCP and RDAP over HTTP through a real SOCKS server, and nothing
// beside it.
func TestEverythingLeavesThroughTheProxy(t *testing.T) {
	socks, what := microsocks(t)
	var udp atomic.Int32
	resolver := resolverOverTCP(t, &udp)
	rdap := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, rdapGood) }))
	defer rdap.Close()
	cfg := observe.Config{
		Proxy: "socks5://" + socks, Resolvers: []string{resolver},
		Parents: map[string][]string{"example": {resolver}}, RDAP: map[string]string{"example": rdap.URL + "/"},
	}
	o := newObserver(t, cfg)
	if v := o.Resolve(t.Context(), evil); v.Err != "" || len(v.Servers) == 0 || !strings.Contains(fmt.Sprint(v), "9.9.9.77") {
		t.Errorf("resolvers: %+v", v)
	}
	if a := o.Lookup(t.Context(), "page.actor.test"); len(a) != 1 || a[0].String() != "9.9.9.77" {
		t.Errorf("addresses: %v", a)
	}
	if v := o.RDAP(t.Context(), evil); v.Err != "" || !v.Exists {
		t.Errorf("RDAP: %+v", v)
	}
	_ = o.Parent(t.Context(), evil) // which this server is not; it must be asked over TCP all the same
	if n := udp.Load(); n > 0 {
		t.Errorf("%d datagrams went beside the proxy", n)
	}
	for _, to := range []string{resolver, strings.TrimPrefix(rdap.URL, "http://")} {
		_, port, _ := net.SplitHostPort(to)
		if got := what(); !strings.Contains(got, "127.0.0.1:"+port) {
			t.Errorf("the SOCKS server did not connect to %s; it says\n%s", to, got)
		}
	}

	// Where the proxy is gone nothing is asked by another way.
	cfg.Proxy = "socks5://" + peertest.Addr(t)
	o = newObserver(t, cfg)
	if v := o.Resolve(t.Context(), evil); v.Err == "" {
		t.Errorf("resolvers, without a proxy: %+v", v)
	}
	if v := o.RDAP(t.Context(), evil); !strings.Contains(v.Err, "egress proxy") {
		t.Errorf("RDAP, without a proxy: %+v", v)
	}
	if n := udp.Load(); n > 0 {
		t.Errorf("%d datagrams went beside the proxy that is gone", n)
	}

	// What is told to go directly does.
	cfg.DirectDNS = true
	cfg.Resolvers = []string{serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		return &dns.Msg{Answer: []dns.RR{rr(t, q.Name+" 60 IN A 9.9.9.78")}}
	})}
	o = newObserver(t, cfg)
	if a := o.Lookup(t.Context(), "page.actor.test"); len(a) == 0 || a[0].String() != "9.9.9.78" {
		t.Errorf("addresses, directly: %v", a)
	}
	if v := o.RDAP(t.Context(), evil); v.Err != "" {
		t.Errorf("RDAP, directly: %+v", v)
	}
	if v := o.HTTP(t.Context(), evil); !strings.Contains(v.Err, "egress proxy") {
		t.Errorf("the page, with the proxy gone: %+v", v)
	}
	if _, err := observe.New(observe.Config{Proxy: "ftp://x:1"}); impound.KindOf(err) != impound.KindInvalid {
		t.Errorf("a proxy that is none: %v", err)
	}
}

// A page is asked for through the proxy at the address that the name has, and not
// at one of our own network.
func TestPagesLeaveThroughTheProxy(t *testing.T) {
	page := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "hello") }))
	defer page.Close()
	u, err := url.Parse(page.URL)
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	var asked bytes.Buffer
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		fmt.Fprintln(&asked, r.Method, r.Host)
		mu.Unlock()
		to, err := net.Dial("tcp", u.Host)
		if err != nil || r.Method != http.MethodConnect {
			w.WriteHeader(http.StatusBadGateway)
			return
		}
		defer to.Close()
		w.WriteHeader(http.StatusOK)
		c, _, err := w.(http.Hijacker).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		go func() { _, _ = io.Copy(to, c); _ = to.(*net.TCPConn).CloseWrite() }()
		_, _ = io.Copy(c, to)
	}))
	defer proxy.Close()
	var ip atomic.Value
	ip.Store("9.9.9.77")
	resolver := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		if q.Qtype != dns.TypeA {
			return new(dns.Msg)
		}
		return &dns.Msg{Answer: []dns.RR{rr(t, q.Name+" 60 IN A "+ip.Load().(string))}}
	})
	o := newObserver(t, observe.Config{Proxy: proxy.URL, DirectDNS: true, Resolvers: []string{resolver}})
	v := o.HTTP(t.Context(), evil)
	if v.Err != "" || len(v.Looks[0].Hops) != 1 || v.Looks[0].Hops[0].Status != 200 || v.Looks[0].Hops[0].Addr != "9.9.9.77:80" {
		t.Errorf("%+v", v)
	}
	mu.Lock()
	got := asked.String()
	asked.Reset()
	mu.Unlock()
	if !strings.Contains(got, "CONNECT 9.9.9.77:80\n") || !strings.Contains(got, "CONNECT 9.9.9.77:443\n") {
		t.Errorf("the proxy was asked for\n%s", got)
	}
	ip.Store("10.1.2.3")
	if v := o.HTTP(t.Context(), evil); !strings.Contains(v.Err, "private") {
		t.Errorf("inside: %+v", v)
	}
	mu.Lock()
	defer mu.Unlock()
	if asked.Len() > 0 {
		t.Errorf("the proxy was asked for what is inside\n%s", asked.String())
	}
}
