package cli

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
)

const aWarrant = `impound: order/v1
id: %s
case: C-1
kind: warrant
authority: {court: Practice Court, docket: 26-mj-1, call_back: +1 555 0199}
issued: 2026-01-01T00:00:00Z
from: 2026-01-01T00:00:00Z
until: %s
at_end: restore
parties: {requesting: Practice Crimes Unit, technical_contact: desk@unit.example}
recipient: {name: Practice Registry, role: registry}
acts:
  nameservers: [ns1.sinkhole.example, ns2.sinkhole-two.example]
  remove_ds: true
  sinkhole: true
sinkhole: {capture: contact, retention_days: 30, notice: "Court text of %s.", certificates: %s}
appendices: [{id: A, count: 1, names: [{name: "%s"}]}]
...
`

// desk is a hub's state folder with people and a case, worked by the command line.
type desk struct {
	t    *testing.T
	dir  string
	took time.Duration // one command, on this machine today
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	d := &desk{t: t, dir: t.TempDir()}
	begun := time.Now()
	d.run("people", "add", "ada", "--role", "admin", "--role", "analyst", "--role", "counsel")
	d.run("people", "add", "ben", "--role", "approver", "--as", "ada")
	d.run("people", "add", "dora", "--role", "approver", "--as", "ada")
	d.run("case", "open", "C-1", "--title", "A case", "--as", "ada")
	write(t, filepath.Join(d.dir, "names.txt"), []byte("outlook-verify[.]net 2026-11-01\nyahoo-verify[.]net 2026-11-01\n"))
	d.run("case", "add", "C-1", "names.txt", "--as", "ada")
	d.took = time.Since(begun) / 5
	return d
}

func (d *desk) run(args ...string) string {
	d.t.Helper()
	return run(d.t, d.dir, append([]string{"--state", "hub"}, args...)...)
}

func (d *desk) configure(c app.Config) {
	d.t.Helper()
	write(d.t, filepath.Join(d.dir, "hub", app.ConfigFile), c.YAML())
}

// order has an order signed by two, and filed.
func (d *desk) order(id, name, certs string, until time.Time) {
	d.t.Helper()
	file := id + ".yaml"
	write(d.t, filepath.Join(d.dir, file), fmt.Appendf(nil, aWarrant, id, until.UTC().Format(time.RFC3339), id, certs, name))
	d.run("order", "sign", file, "--as", "ben")
	c := start(d.t, d.dir, "--state", "hub", "order", "file", file, "--as", "ada")
	if err := <-c.end; err == nil || !strings.Contains(c.text(), "signed by one person") {
		d.t.Errorf("filed with one signature: %v %s", err, c.text())
	}
	d.run("order", "sign", file, "--as", "dora")
	d.run("order", "file", file, "--as", "ada")
}

// From an order on paper to answers at a site, and to their end, by two processes
// and the command line alone: an order is signed by two and filed at the hub; the
// sensor, enrolled there, answers over DNS and HTTP. The hub dies. At the second
// at which the order ends the sensor stops by itself, and goes on for the other.
func TestOrderReachesASensorAndEnds(t *testing.T) {
	t.Parallel()
	d := newDesk(t)
	dir := d.dir
	d.configure(app.Config{Hub: app.HubConfig{Listen: "http://" + freePort(t)}, Sinkhole: app.SinkholeConfig{Hostmaster: impound.MustName("hostmaster.unit.example"), Contact: "Practice Crimes Unit, +1 555 0100"}})
	d.run("sensor", "enrol", "paris", "--answer", "127.53.0.77", "--listen", "dns://127.0.0.1:0", "--listen", "http://127.0.0.1:0", "--out", "paris", "--as", "ada")

	h := start(t, dir, "--state", "hub", "serve", "--role", "hub")
	h.waitFor(t, "stops in order")
	paris := start(t, dir, "--state", "paris", "serve", "--role", "sensor")
	paris.waitFor(t, "stops in order")
	at := func(scheme string) string {
		return regexp.MustCompile(`listening: ` + scheme + ` (\S+)`).FindStringSubmatch(paris.text())[1]
	}
	dnsAt, httpAt := at("dns"), at("http")
	ask := func(name string, qtype uint16) *dns.Msg {
		m := new(dns.Msg)
		m.SetQuestion(name+".", qtype)
		r, _, err := (&dns.Client{Net: "tcp", Timeout: 5 * time.Second}).Exchange(m, dnsAt)
		if err != nil {
			return &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: -1}}
		}
		return r
	}
	answered := func(name string) bool {
		r := ask(name, dns.TypeA)
		return r.Rcode == 0 && len(r.Answer) == 1 && strings.HasSuffix(r.Answer[0].String(), "\t127.53.0.77")
	}
	page := func(name string) (int, string) {
		q, _ := http.NewRequest("GET", "http://"+httpAt+"/", nil)
		q.Host = name
		r, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		defer r.Body.Close()
		b, _ := io.ReadAll(r.Body)
		return r.StatusCode, r.Header.Get("X-Sinkhole") + string(b)
	}
	if r := ask("outlook-verify.net", dns.TypeA); r.Rcode != dns.RcodeRefused {
		t.Fatalf("before any order: %v", r)
	}
	d.order("O-1", "outlook-verify.net", "none", time.Now().AddDate(1, 0, 0))
	eventually(t, "the sensor answers as ordered", func() bool { return answered("outlook-verify.net") })
	if status, body := page("outlook-verify.net"); status != 200 || !strings.HasPrefix(body, "impound") || !strings.Contains(body, "Court text of O-1.") || !strings.Contains(body, "555 0100") {
		t.Errorf("the notice: %d %s", status, body)
	}
	// Nobody configured name servers: the order's are told, as the parent has them.
	if r := ask("outlook-verify.net", dns.TypeNS); len(r.Answer) != 2 || !strings.Contains(fmt.Sprint(r.Answer), "ns1.sinkhole.example.") {
		t.Errorf("NS: %v", r)
	}
	if r := ask("outlook-verify.net", dns.TypeSOA); len(r.Answer) != 1 || r.Answer[0].(*dns.SOA).Mbox != "hostmaster.unit.example." {
		t.Errorf("SOA: %v", r)
	}
	if status, _ := page("yahoo-verify.net"); status != 421 || answered("yahoo-verify.net") {
		t.Errorf("a name without an order: %d", status)
	}

	// A machine that is busy for longer than the order lasts shows nothing: then
	// with a longer one.
	var until time.Time
	var short string
	for n, long, shown := 2, 2*time.Second+8*d.took, false; !shown; n, long = n+1, 2*long {
		if long > 2*time.Minute {
			t.Fatal("the sensor never answers for a short order")
		}
		until, short = time.Now().Add(long).Truncate(time.Second), fmt.Sprint("O-", n)
		d.order(short, "yahoo-verify.net", "none", until)
		eventually(t, "the sensor answers for the short order", func() bool {
			shown = answered("yahoo-verify.net")
			return shown || time.Now().After(until)
		})
	}
	if err := h.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	<-h.end
	if r := ask("yahoo-verify.net", dns.TypeA); len(r.Answer) == 1 && time.Now().Add(time.Duration(r.Answer[0].Header().Ttl)*time.Second).After(until.Add(time.Second)) {
		t.Errorf("at %s it may be cached for %d s, and the order ends at %s", time.Now(), r.Answer[0].Header().Ttl, until)
	}
	eventually(t, "it stops by itself", func() bool { return ask("yahoo-verify.net", dns.TypeA).Rcode == dns.RcodeRefused })
	if time.Now().Before(until) {
		t.Error("it stopped too early")
	}
	if status, body := page("yahoo-verify.net"); status != 421 || strings.Contains(body, "Court text") {
		t.Errorf("after its end: %d %s", status, body)
	}
	if !answered("outlook-verify.net") {
		t.Error("the other order ended with it")
	}
	paris.stop(t)

	// Each answer stands there under its order, and none after the end.
	seen := map[string]int{}
	for line := range strings.Lines(run(t, dir, "--state", "paris", "sinkhole", "events")) {
		var e impound.Event
		if err := json.Unmarshal([]byte(line), &e); err != nil {
			t.Fatalf("%v: %s", err, line)
		}
		if e.Zone == "yahoo-verify.net" && e.Order != short || e.Zone == "outlook-verify.net" && e.Order != "O-1" {
			t.Errorf("under the wrong order: %+v", e)
		}
		if e.Order == short && !e.At.Before(until) {
			t.Errorf("answered after the end: %+v", e)
		}
		seen[e.Order+" "+string(e.Proto)+" "+e.Outcome]++
	}
	for _, want := range []string{"O-1 dns-tcp answered", "O-1 http answered", short + " dns-tcp answered", " dns-tcp refused", " http refused"} {
		if seen[want] == 0 {
			t.Errorf("no event: %s; there are %v", want, seen)
		}
	}
	d.run("evidence", "list") // opening sets aside what the hub was killed in the middle of
	d.run("evidence", "verify")
}
