package observe_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
	"github.com/miekg/dns"
)

var evil = impound.MustName("outlook-verify.example")

// serveDNS answers with f on a port of its own, over UDP and TCP.
func serveDNS(t *testing.T, f func(q dns.Question, cd bool) *dns.Msg) string {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", pc.LocalAddr().String())
	if err != nil {
		t.Skipf("the port is taken for TCP: %v", err)
	}
	h := dns.HandlerFunc(func(w dns.ResponseWriter, r *dns.Msg) {
		m := f(r.Question[0], r.CheckingDisabled)
		if m == nil {
			return
		}
		m.Id, m.Response = r.Id, true
		if len(m.Question) == 0 {
			m.Question = r.Question
		}
		if w.RemoteAddr().Network() == "udp" {
			m.Truncate(512)
		}
		_ = w.WriteMsg(m)
	})
	for _, s := range []*dns.Server{{PacketConn: pc, Handler: h}, {Listener: l, Handler: h}} {
		go s.ActivateAndServe()
		t.Cleanup(func() { s.Shutdown() })
	}
	return pc.LocalAddr().String()
}

func rr(t testing.TB, s string) dns.RR {
	r, err := dns.NewRR(s)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func newObserver(t testing.TB, c observe.Config) *observe.Observer {
	t.Helper()
	c.Timeout = 2 * time.Second
	c.Now = func() time.Time { return time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC) }
	o, err := observe.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

func referral(t testing.TB, ns ...string) func(q dns.Question, cd bool) *dns.Msg {
	return func(q dns.Question, _ bool) *dns.Msg {
		m := new(dns.Msg)
		switch q.Qtype {
		case dns.TypeNS:
			for i, n := range ns {
				m.Ns = append(m.Ns, rr(t, q.Name+" 3600 IN NS "+n))
				m.Extra = append(m.Extra, rr(t, fmt.Sprintf("%s 3600 IN A 192.0.2.%d", n, i+1)))
			}
			m.Extra = append(m.Extra, rr(t, "unasked.example. 60 IN A 192.0.2.99"))
		case dns.TypeDS:
			m.Authoritative = true
			m.Answer = append(m.Answer, rr(t, q.Name+" 3600 IN DS 4711 13 2 00AABB"))
		}
		return m
	}
}

func TestParent(t *testing.T) {
	one := serveDNS(t, referral(t, "NS1.actor.test.", "ns2.actor.test."))
	same := serveDNS(t, referral(t, "ns2.actor.test.", "ns1.actor.test."))
	other := serveDNS(t, referral(t, "ns1.sinkhole.test."))
	gone := serveDNS(t, func(dns.Question, bool) *dns.Msg {
		m := &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeNameError, Authoritative: true}}
		m.Ns = []dns.RR{rr(t, "example. 60 IN SOA a. b. 1 2 3 4 5")}
		return m
	})
	upward := serveDNS(t, func(dns.Question, bool) *dns.Msg {
		return &dns.Msg{Ns: []dns.RR{rr(t, ". 60 IN NS a.root-servers.net.")}}
	})
	foreign := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		return &dns.Msg{Question: []dns.Question{{Name: "bank.example.", Qtype: q.Qtype, Qclass: q.Qclass}}}
	})
	child := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		return &dns.Msg{MsgHdr: dns.MsgHdr{Authoritative: true}, Answer: []dns.RR{rr(t, q.Name+" 60 IN NS ns1.sinkhole.test.")}}
	})
	resolver := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		return &dns.Msg{MsgHdr: dns.MsgHdr{RecursionAvailable: true}, Answer: []dns.RR{rr(t, q.Name+" 60 IN NS ns1.sinkhole.test.")}}
	})
	lame := serveDNS(t, func(dns.Question, bool) *dns.Msg { return &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeNameError}} })
	childSOA := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		return &dns.Msg{MsgHdr: dns.MsgHdr{Authoritative: true}, Ns: []dns.RR{rr(t, q.Name+" 60 IN SOA a. b. 1 2 3 4 5")}}
	})
	alias := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		return &dns.Msg{MsgHdr: dns.MsgHdr{Authoritative: true}, Answer: []dns.RR{rr(t, q.Name+" 60 IN CNAME elsewhere.example.")}}
	})
	dsLame := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		if q.Qtype == dns.TypeDS {
			return new(dns.Msg)
		}
		return &dns.Msg{Ns: []dns.RR{rr(t, q.Name+" 60 IN NS ns1.sinkhole.test.")}}
	})
	refuses := serveDNS(t, func(dns.Question, bool) *dns.Msg { return &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeRefused}} })
	actor := []string{"ns1.actor.test", "ns2.actor.test"}
	for name, tt := range map[string]struct {
		servers []string
		ns      []string
		agree   bool
		exists  bool
		ok      int
		err     string
	}{
		"all agree":           {[]string{one, same}, actor, true, true, 2, ""},
		"disagree":            {[]string{one, other}, []string{"ns1.actor.test", "ns1.sinkhole.test", "ns2.actor.test"}, false, true, 2, ""},
		"one says gone":       {[]string{one, gone}, actor, false, true, 2, ""},
		"gone":                {[]string{gone}, nil, true, false, 1, ""},
		"refers upward":       {[]string{upward}, nil, false, false, 0, "does not serve the parent"},
		"answers for another": {[]string{foreign}, nil, false, false, 0, "another question"},
		"refuses":             {[]string{refuses, one}, actor, true, true, 1, ""},
		"answers as child":    {[]string{child}, nil, false, false, 0, "zone of outlook-verify[.]example itself"},
		"child's nothing":     {[]string{childSOA}, nil, false, false, 0, "answers for the zone"},
		"a resolver":          {[]string{resolver}, nil, false, false, 0, "what others said"},
		"lame":                {[]string{lame}, nil, false, false, 0, "lame"},
		"lame beside good":    {[]string{lame, one, child}, actor, true, true, 1, ""},
		"an alias":            {[]string{alias}, nil, false, false, 0, "alias"},
		"lame about the DS":   {[]string{dsLame}, nil, false, false, 0, "asked for the DS"},
		"only refuses":        {[]string{refuses}, nil, false, false, 0, "REFUSED"},
	} {
		t.Run(name, func(t *testing.T) {
			o := newObserver(t, observe.Config{Parents: map[string][]string{"example": tt.servers}})
			v := o.Parent(t.Context(), evil)
			if d := cmp.Diff(tt.ns, v.NS); d != "" {
				t.Errorf("NS (-want +got):\n%s", d)
			}
			if v.Agree != tt.agree || v.Exists != tt.exists || v.Answered() != tt.ok || !strings.Contains(v.Err, tt.err) || (tt.err == "") != (v.Err == "") {
				t.Errorf("agree %v exists %v answered %d err %q", v.Agree, v.Exists, v.Answered(), v.Err)
			}
			if _, ok := v.Glue["unasked.example"]; ok {
				t.Error("kept an address that is no glue of the name's servers")
			}
			ob := v.Observation()
			if !json.Valid(ob.JSON) || ob.Kind != observe.KindParent || ob.Source == "" || (ob.Err == "") != (tt.err == "") {
				t.Errorf("observation: %+v", ob)
			}
			if strings.Contains(ob.Summary, "actor.test") {
				t.Errorf("the summary shows a live name: %s", ob.Summary)
			}
		})
	}
	t.Run("DS and glue", func(t *testing.T) {
		o := newObserver(t, observe.Config{Parents: map[string][]string{"example": {one}}})
		v := o.Parent(t.Context(), evil)
		if d := cmp.Diff([]string{"4711 13 2 00aabb"}, v.DS); d != "" {
			t.Error(d)
		}
		if d := cmp.Diff(map[string][]string{"ns1.actor.test": {"192.0.2.1"}, "ns2.actor.test": {"192.0.2.2"}}, v.Glue); d != "" {
			t.Error(d)
		}
		if len(v.Servers[0].Raw) != 2 || new(dns.Msg).Unpack(v.Servers[0].Raw[0]) != nil {
			t.Error("the raw answers are not kept")
		}
	})
	t.Run("found through a resolver, by route", func(t *testing.T) {
		res := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
			m := new(dns.Msg)
			switch {
			case q.Name == "example." && q.Qtype == dns.TypeNS:
				m.Answer = []dns.RR{rr(t, "example. 60 IN NS a.nic.example.")}
			case q.Name == "a.nic.example." && q.Qtype == dns.TypeA:
				m.Answer = []dns.RR{rr(t, "a.nic.example. 60 IN A 198.51.100.53")}
			}
			return m
		})
		o := newObserver(t, observe.Config{Resolvers: []string{res}, Routes: map[string]string{"198.51.100.53:53": one}})
		v := o.Parent(t.Context(), evil)
		if d := cmp.Diff(actor, v.NS); d != "" || v.Zone != "example" || v.Servers[0].Server != "a.nic.example" {
			t.Errorf("%s %+v", d, v)
		}
	})
}

func TestResolve(t *testing.T) {
	good := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		m := new(dns.Msg)
		switch q.Qtype {
		case dns.TypeNS:
			m.Answer = []dns.RR{rr(t, q.Name+" 60 IN NS ns1.sinkhole.test."), rr(t, "bank.example. 60 IN NS ns.bank.example.")}
		case dns.TypeA:
			m.Answer = []dns.RR{rr(t, q.Name+" 60 IN A 192.0.2.7")}
		case dns.TypeTXT:
			for i := range 100 {
				m.Answer = append(m.Answer, rr(t, fmt.Sprintf("%s 60 IN TXT \"%03d%s\"", q.Name, i, strings.Repeat("x", 200))))
			}
		}
		return m
	})
	bogus := serveDNS(t, func(q dns.Question, cd bool) *dns.Msg {
		if !cd {
			return &dns.Msg{MsgHdr: dns.MsgHdr{Rcode: dns.RcodeServerFailure}}
		}
		return &dns.Msg{Answer: []dns.RR{rr(t, q.Name+" 60 IN NS ns1.sinkhole.test.")}}
	})
	o := newObserver(t, observe.Config{Resolvers: []string{good, bogus}})
	v := o.Resolve(t.Context(), evil)
	if v.Err != "" || v.Agree || len(v.Servers) != 2 {
		t.Fatalf("%+v", v)
	}
	if s := v.Servers[0]; !cmp.Equal(s.NS, []string{"ns1.sinkhole.test"}) || !cmp.Equal(s.A, []string{"192.0.2.7"}) || s.Bogus || len(s.TXT) != 64 {
		t.Errorf("good resolver: ns %v a %v bogus %v txt %d", s.NS, s.A, s.Bogus, len(s.TXT))
	}
	if s := v.Servers[1]; !s.Bogus || !cmp.Equal(s.NS, []string{"ns1.sinkhole.test"}) {
		t.Errorf("failing validation was not seen: %+v", s)
	}
	if v := newObserver(t, observe.Config{}).Resolve(t.Context(), evil); v.Err == "" || v.Observation().Err == "" {
		t.Error("without a resolver, a look must fail and say so")
	}
}

const rdapGood = `{"objectClassName":"domain","handle":"D1","ldhName":"OUTLOOK-VERIFY.example","status":["active","client transfer prohibited","server update prohibited","strange"],
"nameservers":[{"objectClassName":"nameserver","ldhName":"NS2.actor.test."},{"ldhName":"ns1.actor.test"}],
"secureDNS":{"delegationSigned":true,"dsData":[{"keyTag":7,"algorithm":13,"digestType":2,"digest":"AA"}]},
"events":[{"eventAction":"registration","eventDate":"2019-01-02T03:04:05Z"},{"eventAction":"expiration","eventDate":"2027-01-02T03:04:05+01:00"},{"eventAction":"expiration","eventDate":"soon"}],
"entities":[{"roles":["registrar"],"publicIds":[{"type":"IANA Registrar ID","identifier":"9999"}],"vcardArray":["vcard",[["version",{},"text","4.0"],["fn",{},"text","Practice Registrar"]]],
 "entities":[{"roles":["abuse"],"vcardArray":["vcard",[["email",{},"text","abuse@registrar.test"],["tel",{},"uri","tel:+1.5550100"]]]}]},
 {"roles":["registrant"],"vcardArray":["vcard",[["fn",{},"text","REDACTED"],["org",{},"text",["a","b"]]]]}]}`

func TestRDAP(t *testing.T) {
	big := strings.Repeat("x", 3<<20)
	mux := http.NewServeMux()
	mux.HandleFunc("/ok/domain/outlook-verify.example", func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept"), "application/rdap+json") {
			t.Error("asked without Accept")
		}
		fmt.Fprint(w, rdapGood)
	})
	mux.HandleFunc("/other/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Replace(rdapGood, "OUTLOOK-VERIFY.example", "bank.example", 1))
	})
	mux.HandleFunc("/loop/", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, r.URL.Path, http.StatusFound) })
	n := 0
	mux.HandleFunc("/far/", func(w http.ResponseWriter, r *http.Request) {
		n++
		http.Redirect(w, r, fmt.Sprintf("/far/%d", n), http.StatusFound)
	})
	mux.HandleFunc("/hop/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "/ok/domain/outlook-verify.example", http.StatusMovedPermanently)
	})
	mux.HandleFunc("/inside/", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://127.0.0.2:1/secret", http.StatusFound)
	})
	mux.HandleFunc("/big/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, big) })
	mux.HandleFunc("/html/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "<html>hello") })
	mux.HandleFunc("/octets/", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, strings.Replace(rdapGood, `"handle":"`, "\"handle\":\"\xff\xfe", 1))
	})
	mux.HandleFunc("/nobody/", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, `{"objectClassName":"domain"}`) })
	mux.HandleFunc("/none/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(404) })
	mux.HandleFunc("/later/", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) })
	srv := httptest.NewServer(mux)
	defer srv.Close()
	look := func(path string) observe.RDAPView {
		o := newObserver(t, observe.Config{RDAP: map[string]string{"example": srv.URL + path}})
		return o.RDAP(t.Context(), evil)
	}
	v := look("/ok/")
	want := observe.RDAPView{
		Name: evil, URL: srv.URL + "/ok/domain/outlook-verify.example", At: v.At, Exists: true, Handle: "D1",
		Status: []string{"clientTransferProhibited", "ok", "serverUpdateProhibited"}, OtherStatus: []string{"strange"},
		NS: []string{"ns1.actor.test", "ns2.actor.test"}, Registrar: "Practice Registrar", RegistrarIANA: "9999", Registrant: "REDACTED",
		AbuseEmail: "abuse@registrar.test", AbusePhone: "+1.5550100", Created: time.Date(2019, 1, 2, 3, 4, 5, 0, time.UTC), Expires: time.Date(2027, 1, 2, 2, 4, 5, 0, time.UTC),
		Signed: true, DS: []string{"7 13 2 aa"}, Raw: []byte(rdapGood),
	}
	if d := cmp.Diff(want, v, cmp.Comparer(func(a, b impound.Name) bool { return a == b })); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
	if v := look("/hop/"); !v.Exists || len(v.Chain) != 1 {
		t.Errorf("a redirect was not followed: %+v", v)
	}
	if v := look("/none/"); v.Exists || v.Err != "" {
		t.Errorf("404 means not registered: %+v", v)
	}
	for path, why := range map[string]string{
		"/other/": "not the name asked for", "/loop/": "loop", "/far/": "more than 5 times", "/big/": "larger than",
		"/html/": "no RDAP object", "/later/": "429", "/inside/": "loopback, private",
		"/octets/": "not valid UTF-8", "/nobody/": "doesn't say which name",
	} {
		v := look(path)
		if v.Exists || !strings.Contains(v.Err, why) {
			t.Errorf("%s: exists %v, err %q; want %q", path, v.Exists, v.Err, why)
		}
		if len(v.NS) > 0 || v.Observation().Err == "" {
			t.Errorf("%s: a faulty answer was believed in part", path)
		}
	}
	if v := newObserver(t, observe.Config{}).RDAP(t.Context(), evil); v.Err == "" {
		t.Error("no server is known, and no error")
	}
}

func TestLoadBootstrap(t *testing.T) {
	got, err := observe.LoadBootstrap(strings.NewReader(`{"version":"1.0","services":[[["net","com"],["http://old.test/","https://rdap.test/v1/"]],[["CO.UK"],["https://uk.test"]]]}`))
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(map[string]string{"net": "https://rdap.test/v1/", "com": "https://rdap.test/v1/", "co.uk": "https://uk.test"}, got); d != "" {
		t.Error(d)
	}
	for _, bad := range []string{``, `{"services":[[["net"]]]}`, `{"services":7}`} {
		if _, err := observe.LoadBootstrap(strings.NewReader(bad)); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func TestHTTP(t *testing.T) {
	mux := http.NewServeMux()
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "SECRET-VALUE"})
		w.Header().Set("Server", "nginx")
		if strings.HasPrefix(r.UserAgent(), "Mozilla") {
			http.Redirect(w, r, "http://login.bank.example/phish", http.StatusFound)
			return
		}
		if r.URL.Path == "/" {
			http.Redirect(w, r, "/decoy", http.StatusFound)
			return
		}
		fmt.Fprint(w, strings.Repeat("page ", 1000))
	})
	plain, secure := httptest.NewServer(mux), httptest.NewTLSServer(mux)
	defer plain.Close()
	defer secure.Close()
	host := evil.String()
	o := newObserver(t, observe.Config{MaxBody: 1000, Routes: map[string]string{host + ":80": plain.Listener.Addr().String(), host + ":443": secure.Listener.Addr().String()}})
	v := o.HTTP(t.Context(), evil)
	if v.Err != "" || !v.Gated || len(v.Looks) != 4 {
		t.Fatalf("%+v", v)
	}
	ours, browser, tls := v.Looks[0], v.Looks[1], v.Looks[2]
	if len(ours.Hops) != 2 || ours.Hops[1].BodySize != 1000 || !ours.Hops[1].Cut || ours.Hops[1].BodySHA256 == "" {
		t.Errorf("our look: %+v", ours)
	}
	if len(browser.Hops) != 1 || browser.Hops[0].Location != "http://login.bank.example/phish" {
		t.Errorf("a redirect to another host must be recorded and not followed: %+v", browser)
	}
	if len(tls.Hops) == 0 || len(tls.Hops[0].TLS) != 1 || tls.Hops[0].TLSFault == "" {
		t.Errorf("the chain was not recorded: %+v", tls)
	}
	ob := v.Observation()
	if strings.Contains(string(ob.JSON), "SECRET-VALUE") || !strings.Contains(string(ob.JSON), `"session"`) {
		t.Error("a cookie is kept by name only")
	}
	if len(ob.Parts) == 0 {
		t.Error("the page was not kept")
	}
}

// No page may make us reach into our own network: not by its address, not by
// where it redirects.
func TestHTTPStaysOutside(t *testing.T) {
	hit := false
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { hit = true }))
	defer inside.Close()
	_, port, _ := net.SplitHostPort(inside.Listener.Addr().String())
	for _, addr := range []string{"127.0.0.1", "10.0.0.1", "169.254.169.254", "0.0.0.0", "100.64.0.1"} {
		res := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
			if q.Qtype == dns.TypeA {
				return &dns.Msg{Answer: []dns.RR{rr(t, q.Name+" 60 IN A "+addr)}}
			}
			return new(dns.Msg)
		})
		v := newObserver(t, observe.Config{Resolvers: []string{res}}).HTTP(t.Context(), evil)
		if !strings.Contains(v.Err, "without a route") {
			t.Errorf("%s was asked: %+v", addr, v)
		}
	}
	lure := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "http://"+evil.String()+":"+port+"/", http.StatusFound)
	}))
	defer lure.Close()
	res := serveDNS(t, func(q dns.Question, _ bool) *dns.Msg {
		if q.Qtype == dns.TypeA {
			return &dns.Msg{Answer: []dns.RR{rr(t, q.Name+" 60 IN A 127.0.0.1")}}
		}
		return new(dns.Msg)
	})
	o := newObserver(t, observe.Config{Resolvers: []string{res}, Routes: map[string]string{evil.String() + ":80": lure.Listener.Addr().String()}})
	v := o.HTTP(t.Context(), evil)
	if l := v.Looks[0]; len(l.Hops) != 1 || l.Err != "" {
		t.Errorf("a redirect to another port is recorded and not followed: %+v", l)
	}
	if hit {
		t.Error("a redirect led into our own network")
	}
}

func TestAllRecordsFailures(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	obs := newObserver(t, observe.Config{}).All(ctx, evil)
	var kinds []string
	for _, o := range obs {
		kinds = append(kinds, o.Kind)
		if o.Err == "" || !json.Valid(o.JSON) || o.At.IsZero() || o.Name != evil {
			t.Errorf("%s: a look that failed must be a whole observation: %+v", o.Kind, o)
		}
	}
	if d := cmp.Diff([]string{"dns-parent", "rdap", "dns-resolver", "dns-child", "http"}, kinds); d != "" {
		t.Error(d)
	}
	if _, err := observe.New(observe.Config{Resolvers: []string{"not an address"}}); impound.KindOf(err) != impound.KindInvalid {
		t.Errorf("a resolver that is no address: %v", err)
	}
}

func FuzzParseRDAP(f *testing.F) {
	f.Add([]byte(rdapGood))
	f.Add([]byte(`{"objectClassName":"domain","ldhName":"outlook-verify.example","status":null,"entities":[{"roles":["registrar"],"vcardArray":["vcard",[["fn"]]]}]}`))
	f.Add([]byte(`{"objectClassName":"domain","ldhName":7}`))
	f.Add([]byte(strings.Repeat(`{"entities":[`, 500)))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, err := observe.ParseRDAP(evil, b)
		if err != nil {
			if v.Exists || len(v.NS)+len(v.Status) > 0 {
				t.Fatal("an answer with a fault was believed")
			}
			return
		}
		if !v.Exists || len(v.NS) > 64 || len(v.Status) > 64 {
			t.Fatalf("unbounded: %d ns, %d statuses", len(v.NS), len(v.Status))
		}
		if !json.Valid(v.Observation().JSON) {
			t.Fatal("can't be kept")
		}
	})
}

// What is kept of an answer is its octets, not what a library makes of them.
func TestRawAnswersAreAsTheyCame(t *testing.T) {
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	var sent [][]byte
	var mu sync.Mutex
	go func() {
		b := make([]byte, 4096)
		for {
			n, from, err := pc.ReadFrom(b)
			if err != nil {
				return
			}
			q := new(dns.Msg)
			if q.Unpack(b[:n]) != nil {
				continue
			}
			m := new(dns.Msg)
			m.SetReply(q)
			m.Authoritative = true
			if q.Question[0].Qtype == dns.TypeNS {
				m.Authoritative = false
				m.Ns = []dns.RR{&dns.NS{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: 60}, Ns: "NS1.Actor.Example."}}
			}
			m.Compress = true // which packing anew would undo
			out, err := m.Pack()
			if err != nil {
				continue
			}
			stranger := bytes.Clone(out)
			stranger[0] ^= 0xff // somebody who guesses ids
			_, _ = pc.WriteTo(stranger, from)
			mu.Lock()
			sent = append(sent, out)
			mu.Unlock()
			_, _ = pc.WriteTo(out, from)
		}
	}()
	o, err := observe.New(observe.Config{Parents: map[string][]string{"example": {pc.LocalAddr().String()}}, Timeout: 2 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	v := o.Parent(t.Context(), impound.MustName("outlook-verify.example"))
	if len(v.Servers) != 1 || len(v.Servers[0].Raw) != 2 || len(v.Servers[0].Answers) != 2 {
		t.Fatalf("%+v", v)
	}
	mu.Lock()
	defer mu.Unlock()
	for i, raw := range v.Servers[0].Raw {
		a := v.Servers[0].Answers[i]
		sum := sha256.Sum256(raw)
		if !bytes.Equal(raw, sent[i]) || a.SHA256 != hex.EncodeToString(sum[:]) || a.Size != len(raw) || a.At.IsZero() || a.Type != []string{"NS", "DS"}[i] {
			t.Errorf("answer %d: %+v", i, a)
		}
	}
}
