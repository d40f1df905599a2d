package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/spool"
)

const (
	firefox = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:144.0) Gecko/20100101 Firefox/144.0"
	iphone  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1"
	safe    = "Mozilla/5.0 (compatible; ExampleMailSecurity link scan; safelinks)"
	zgrab   = "Mozilla/5.0 zgrab/0.x"
	study   = "ExampleResearchInstitute-measurement/1.2 (research; +https://research.example/about)"
)

// visit is one contact that a visitor makes. Each leaves exactly one event.
type visit struct {
	name          impound.Name
	qtype         uint16 // DNS, when not 0
	method, path  string
	agent, refers string
}

// visitor plays somebody who comes to the sinkhole.
type visitor struct {
	who    string
	addr   string // practice address on loopback
	visits []visit
}

// visitors are the people and machines that come: those who click a lure, the
// resolver that they use, a mail gateway, a scanner and a researcher.
func (s scenario) visitors() []visitor {
	name := func(i int) impound.Name { return s.Names[i%len(s.Names)] }
	lure := func(i int) string { // as a lure's link: a path that is one person's
		return fmt.Sprintf("/owa/auth/%s/logon.aspx?id=%s%d", []string{"x7Kq2mPd94Tz", "b8Wn5rLs03Yc", "h2Vj6tQa71Me", "p4Zk9uXe58Rb", "d1Gs3yCf26Nw"}[i%5], "f3a91c77", i)
	}
	resolver := visitor{who: "a resolver", addr: "127.13.0.53"}
	for i := range min(4, len(s.Names)) {
		resolver.visits = append(resolver.visits, visit{name: name(i), qtype: dns.TypeA}, visit{name: name(i), qtype: dns.TypeAAAA}, visit{name: name(i), qtype: dns.TypeMX})
	}
	out := []visitor{resolver}
	for i, a := range []struct{ addr, agent string }{
		{"127.10.3.21", firefox}, {"127.10.77.5", iphone}, {"127.10.9.130", firefox}, {"127.11.4.9", iphone}, {"127.12.8.8", firefox},
	} {
		v := visitor{who: "somebody who clicked", addr: a.addr}
		v.visits = append(v.visits, visit{name: name(i), method: "GET", path: lure(i), agent: a.agent, refers: "https://mail.google.com/"}, visit{name: name(i), method: "GET", path: "/favicon.ico", agent: a.agent})
		if i == 2 { // a page left open sends what was typed; the sinkhole must not read it
			v.visits = append(v.visits, visit{name: name(i), method: "POST", path: lure(i), agent: a.agent})
		}
		out = append(out, v)
	}
	gate := visitor{who: "a mail gateway", addr: "127.20.1.1"}
	scanner := visitor{who: "a scanner", addr: "127.30.1.1"}
	researcher := visitor{who: "a researcher", addr: "127.40.1.1"}
	for i := range min(4, len(s.Names)) {
		gate.visits = append(gate.visits, visit{name: name(i), method: "HEAD", path: lure(i), agent: safe}, visit{name: name(i), method: "GET", path: lure(i), agent: safe})
		for _, p := range []string{"/", "/.env", "/wp-login.php", "/.git/config"} {
			scanner.visits = append(scanner.visits, visit{name: name(i), method: "GET", path: p, agent: zgrab})
		}
		researcher.visits = append(researcher.visits, visit{name: name(i), method: "GET", path: "/", agent: study})
	}
	return append(out, gate, scanner, researcher)
}

// 5. The sinkhole answers; visitors come.
func (t *tour) visit(ctx context.Context) error {
	t.step("sinkhole", "it answers for the seized names over DNS, HTTP, HTTPS and SMTP; visitors come, and each contact is recorded before it is answered")
	seen, err := t.recorded()
	if err != nil {
		return err
	}
	for _, v := range t.sc.visitors() {
		// A visit leaves one event, so what an earlier run did need not be
		// done again.
		for i := seen[v.addr]; i < len(v.visits); i++ {
			if err := t.goThere(ctx, v, v.visits[i]); err != nil {
				return fmt.Errorf("%s could not reach the sinkhole: %w", v.who, err)
			}
		}
		what := fmt.Sprintf("%d questions over DNS", len(v.visits))
		if v.visits[0].qtype == 0 {
			what = fmt.Sprintf("%d requests over HTTP", len(v.visits))
		}
		t.say("    %-22s from %-12s %s", v.who, v.addr, what)
	}
	for range 100 {
		ok, err := t.sys.CaughtUp(ctx)
		if err != nil {
			return err
		}
		if ok {
			t.hand("sinkhole status")
			t.hand("contacts list --case %s", caseID)
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
	return impound.Errorf(impound.KindUnavailable, "telemetry did not take the contacts in five seconds")
}

// recorded counts what the journal holds, by source.
func (t *tour) recorded() (map[string]int, error) {
	r, err := spool.OpenReader(t.opt.State + "/spool")
	if err != nil {
		return nil, err
	}
	defer r.Close()
	out := map[string]int{}
	for after := uint64(0); ; {
		evs, err := r.Read(after, 1000)
		if err != nil || len(evs) == 0 {
			return out, err
		}
		for _, e := range evs {
			after = e.Seq
			out[e.Src.Addr().String()]++
		}
	}
}

func (t *tour) goThere(ctx context.Context, v visitor, w visit) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	local := net.ParseIP(v.addr)
	if w.qtype != 0 {
		c := dns.Client{Dialer: &net.Dialer{LocalAddr: &net.UDPAddr{IP: local}}, Timeout: 2 * time.Second}
		m := new(dns.Msg).SetQuestion(w.name.FQDN(), w.qtype)
		_, _, err := c.ExchangeContext(ctx, m, t.sc.addr("dns"))
		return err
	}
	d := &net.Dialer{LocalAddr: &net.TCPAddr{IP: local}}
	tr := &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return d.DialContext(ctx, network, t.sc.addr("http"))
	}}
	defer tr.CloseIdleConnections()
	var body io.Reader
	if w.method == http.MethodPost {
		body = strings.NewReader("user=someone&password=practice-" + "secret-never-kept")
	}
	q, err := http.NewRequestWithContext(ctx, w.method, "http://"+w.name.String()+w.path, body)
	if err != nil {
		return err
	}
	q.Header.Set("User-Agent", w.agent)
	if w.refers != "" {
		q.Header.Set("Referer", w.refers)
	}
	if body != nil {
		q.Header.Set("Cookie", "session=practice-"+"cookie-never-kept")
	}
	c := http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	p, err := c.Do(q)
	if err != nil {
		// The sinkhole may close on a body that it won't read before all of
		// it was sent; that contact is recorded all the same.
		if body != nil && !errors.Is(err, context.DeadlineExceeded) {
			return nil
		}
		return err
	}
	return p.Body.Close()
}
