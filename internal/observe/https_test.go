package observe_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/doh"
	"github.com/impound/impound/internal/observe"
)

// A resolver over HTTPS is asked as any other; through a proxy where there is one,
// and not beside it where that fails.
func TestResolverOverHTTPS(t *testing.T) {
	var asked atomic.Int32
	plain := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		m := new(dns.Msg)
		if q.Qtype == dns.TypeA {
			rr, _ := dns.NewRR(q.Name + " A 9.9.9.77")
			m.Answer = append(m.Answer, rr)
		}
		return m
	})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		asked.Add(1)
		m := new(dns.Msg)
		b, err := io.ReadAll(q.Body)
		if err == nil {
			err = m.Unpack(b)
		}
		c := dns.Client{Net: "tcp", Timeout: time.Minute}
		if err == nil {
			m, _, err = c.Exchange(m, plain)
		}
		if err == nil {
			b, err = m.Pack()
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusInternalServerError)
			return
		}
		w.Header().Set("Content-Type", doh.Media)
		_, _ = w.Write(b)
	}))
	srv.EnableHTTP2 = true
	srv.StartTLS()
	defer srv.Close()
	roots := srv.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	cfg := observe.Config{Resolvers: []string{srv.URL + "/dns-query"}, Timeout: time.Minute}
	try := func() (observe.View, string) {
		t.Helper()
		o, err := observe.New(cfg)
		if err != nil {
			t.Fatal(err)
		}
		observe.TrustHTTPS(o, roots)
		return o.Resolve(t.Context(), evil), fmt.Sprint(o.Lookup(t.Context(), "page.actor.test"))
	}
	if v, as := try(); v.Err != "" || len(v.Servers) != 1 || v.Servers[0].Addr != cfg.Resolvers[0] || len(v.Servers[0].A) != 1 || as != "[9.9.9.77]" || len(v.Servers[0].Raw) == 0 {
		t.Errorf("%+v, addresses %s", v, as)
	}
	socks, what := microsocks(t)
	cfg.Proxy = "socks5://" + socks
	_, port, _ := net.SplitHostPort(strings.TrimPrefix(srv.URL, "https://"))
	if v, as := try(); v.Err != "" || as != "[9.9.9.77]" || !strings.Contains(what(), "127.0.0.1:"+port) {
		t.Errorf("through the proxy: %+v, addresses %s; the SOCKS server says\n%s", v, as, what())
	}
	asked.Store(0)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer gone.Close()
	go func() { // a proxy that hangs up
		for {
			c, err := gone.Accept()
			if err != nil {
				return
			}
			c.Close()
		}
	}()
	cfg.Proxy = "socks5://" + gone.Addr().String()
	if v, as := try(); v.Err == "" || as != "[]" || asked.Load() != 0 {
		t.Errorf("without its proxy %d questions were asked: %+v, addresses %s", asked.Load(), v, as)
	}
	// Its name would be asked for beside the proxy.
	for bad, proxy := range map[string]string{"https://dns.example/dns-query": cfg.Proxy, "https://dns.example": "", "https://u:p@192.0.2.53/q": ""} {
		if _, err := observe.New(observe.Config{Resolvers: []string{bad}, Proxy: proxy}); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%s: %v", bad, err)
		}
	}
}
