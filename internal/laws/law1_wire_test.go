package laws

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/epp"
	"github.com/impound/impound/internal/sinkhole"
	"github.com/impound/impound/internal/sinkhole/policy"
	"github.com/impound/impound/internal/testregistry"
)

// The connector that changes registries, without a permit that covers what it
// is told: nothing is sent.
func TestLaw1Connector(t *testing.T) {
	w := newWorld(t)
	s := w.open(t)
	until := time.Now().Add(time.Hour)
	w.file(t, s, terms{id: liveOrder, names: []impound.Name{live}, from: time.Now().Add(-time.Minute), until: until})
	w.file(t, s, terms{id: "O-LATER", names: []impound.Name{spare}, from: until, until: until.Add(time.Hour)})
	m, err := s.Mandate(t.Context(), liveOrder)
	must(t, err)
	later, err := s.Mandate(t.Context(), "O-LATER")
	must(t, err)
	cfg := epp.Config{Addr: w.reg.Addrs().EPP.String(), ServerName: "localhost", TLS: w.reg.ClientTLS(), ClientID: "IMPOUND", Password: []byte(password), Now: w.clock.now}
	conn, err := seizure.NewEPP("practice", "registry", cfg)
	must(t, err)
	defer conn.Close()
	raw, err := epp.Dial(t.Context(), cfg)
	must(t, err)
	defer raw.Close()

	permit := func(m *impound.Mandate, act impound.Act, n impound.Name) impound.Permit {
		t.Helper()
		p, err := m.Permit(act, n, w.clock.now())
		must(t, err)
		return p
	}
	ns := permit(m, impound.ActNameservers, live)
	lock := permit(m, impound.ActLock, live)
	w.clock.setTo(until.Add(time.Second))
	early := permit(later, impound.ActNameservers, spare) // good only from then on
	w.clock.set(0)
	if _, err := m.Permit(impound.ActNameservers, foreign, time.Now()); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("a permit for a name that is not in the order: %v", err)
	}
	if _, err := m.Permit(impound.ActHold, live, time.Now()); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("a permit for an act that is not ordered: %v", err)
	}
	change := func(n impound.Name) seizure.Change {
		return seizure.Change{Name: n, RemNS: []impound.Name{impound.MustName("ns1.bulk-host.example")}, ClTRID: "LAWS-00001"}
	}
	for _, tt := range []struct {
		what    string
		at      time.Time
		permits []impound.Permit
		change  seizure.Change
	}{
		{"no permit", time.Now(), nil, change(live)},
		{"the zero permit", time.Now(), []impound.Permit{{}}, change(live)},
		{"many zero permits", time.Now(), make([]impound.Permit, 9), change(live)},
		{"a permit for another name", time.Now(), []impound.Permit{ns}, change(foreign)},
		{"a permit for another act", time.Now(), []impound.Permit{lock}, change(live)},
		{"a permit for one act of two", time.Now(), []impound.Permit{ns}, seizure.Change{Name: live, RemNS: change(live).RemNS, AddStatus: []string{"serverHold"}, ClTRID: "LAWS-00002"}},
		{"a hold by the permit for a lock", time.Now(), []impound.Permit{ns, lock}, seizure.Change{Name: live, AddStatus: []string{"serverHold"}, ClTRID: "LAWS-00003"}},
		{"a permit that lapsed meanwhile", until, []impound.Permit{ns, lock}, change(live)},
		{"a permit whose order has not begun", time.Now(), []impound.Permit{early}, change(spare)},
		{"a host without a permit", time.Now(), []impound.Permit{{}}, seizure.Change{Name: live, CreateHost: impound.MustName("ns9.sinkhole.example"), ClTRID: "LAWS-00004"}},
		{"a host after the end", until, []impound.Permit{ns}, seizure.Change{Name: live, CreateHost: impound.MustName("ns9.sinkhole.example"), ClTRID: "LAWS-00005"}},
	} {
		t.Run(tt.what, func(t *testing.T) {
			w.clock.setTo(tt.at)
			defer w.clock.set(0)
			a, err := conn.Do(t.Context(), tt.permits, tt.change)
			if impound.KindOf(err) != impound.KindRefused || len(a.Frames) > 0 {
				t.Errorf("the connector: %v, %d frames", err, len(a.Frames))
			}
			if h := tt.change.CreateHost; !h.IsZero() {
				_, err = raw.CreateHost(t.Context(), tt.permits[0], epp.HostCreate{Name: h, ClTRID: tt.change.ClTRID})
			} else {
				_, err = raw.UpdateDomain(t.Context(), tt.permits, epp.DomainUpdate{Name: tt.change.Name, RemNS: tt.change.RemNS, AddStatus: tt.change.AddStatus, ClTRID: tt.change.ClTRID})
			}
			if impound.KindOf(err) != impound.KindRefused {
				t.Errorf("the session: %v", err)
			}
			if got := w.acts(); len(got) > 0 {
				t.Fatalf("acts at the registry: %+v", got)
			}
		})
	}
	t.Run("with the permit, effect", func(t *testing.T) {
		if _, err := conn.Do(t.Context(), []impound.Permit{ns}, change(live)); err != nil {
			t.Fatal(err)
		}
		if got := w.acts(); len(got) != 1 {
			t.Errorf("acts at the registry: %+v", got)
		}
	})
}

// A door that is added later must not be forgotten: each exported method of what
// reaches a registry either is known to change nothing there, or takes permits;
// and there is no way to a policy but from signed octets, nor to a permit or a
// mandate but by proof.
func TestLaw1Doors(t *testing.T) {
	permit, permits, mandate := reflect.TypeFor[impound.Permit](), reflect.TypeFor[[]impound.Permit](), reflect.TypeFor[*impound.Mandate]()
	for typ, harmless := range map[reflect.Type][]string{
		reflect.TypeFor[*epp.Client]():        {"Ack", "CertExpiry", "CheckDomain", "CheckHost", "Close", "Greeting", "Hello", "InfoContact", "InfoDomain", "InfoHost", "Poll", "Skew"},
		reflect.TypeFor[*seizure.EPP]():       {"Capabilities", "Close", "Contact", "GoString", "Health", "Host", "HostsUsed", "Info", "LogValue", "Poll", "Provider", "Ready", "String"},
		reflect.TypeFor[*seizure.LibDNS]():    {"Capabilities", "Close", "GoString", "Host", "HostsUsed", "Info", "LogValue", "Poll", "Provider", "Ready", "String"},
		reflect.TypeFor[*seizure.DNSUpdate](): {"Capabilities", "Close", "DryRun", "GoString", "Host", "Info", "LogValue", "Poll", "Provider", "Ready", "String"},
	} {
		for i := range typ.NumMethod() {
			m := typ.Method(i)
			takes := false
			for j := range m.Type.NumIn() {
				takes = takes || m.Type.In(j) == permit || m.Type.In(j) == permits
			}
			if !takes && !slices.Contains(harmless, m.Name) {
				t.Errorf("%s.%s takes no permit: make it take one, or list it here if it changes nothing at the registry", typ, m.Name)
			}
		}
	}
	for typ, takes := range map[reflect.Type]reflect.Type{reflect.TypeFor[*sinkhole.Sinkhole](): reflect.TypeFor[*policy.Policy]()} {
		m, ok := typ.MethodByName("SetPolicy")
		if !ok || m.Type.NumIn() != 2 || m.Type.In(1) != takes {
			t.Errorf("%s.SetPolicy takes more than a policy", typ)
		}
		for i := range typ.NumMethod() {
			if n := typ.Method(i).Name; !slices.Contains([]string{"Addrs", "Close", "Policy", "SetPolicy", "Start", "Stats"}, n) {
				t.Errorf("%s.%s is new: can it make the sinkhole answer? If not, list it here", typ, n)
			}
		}
	}
	for _, typ := range []reflect.Type{permit, mandate.Elem(), reflect.TypeFor[policy.Policy]()} {
		for i := range typ.NumField() {
			if f := typ.Field(i); f.IsExported() {
				t.Errorf("%s.%s can be set by anybody", typ, f.Name)
			}
		}
		if reflect.PointerTo(typ).Implements(reflect.TypeFor[interface{ UnmarshalJSON([]byte) error }]()) {
			t.Errorf("%s can be read from JSON", typ)
		}
	}
	var zero *impound.Mandate
	for _, m := range []*impound.Mandate{zero, {}} {
		for _, act := range []impound.Act{impound.ActLock, impound.ActNameservers, impound.ActHold, impound.ActRemoveDS, impound.ActRegistrant, impound.ActRenew, impound.ActSinkhole, impound.ActRelease, impound.ActDelete} {
			if _, err := m.Permit(act, live, time.Now()); impound.KindOf(err) != impound.KindRefused {
				t.Errorf("a mandate of nothing permits %s: %v", act, err)
			}
			if err := (impound.Permit{}).Check(act, live, time.Now()); impound.KindOf(err) != impound.KindRefused {
				t.Errorf("the zero permit permits %s: %v", act, err)
			}
			if err := (impound.Permit{}).Check(act, impound.Name{}, time.Time{}); impound.KindOf(err) != impound.KindRefused {
				t.Errorf("the zero permit permits %s of no name at no time: %v", act, err)
			}
		}
	}
	// The practice registry may be changed through EPP alone, once it runs.
	typ := reflect.TypeFor[*testregistry.Registry]()
	for i := range typ.NumMethod() {
		if n := typ.Method(i).Name; !slices.Contains([]string{"Addrs", "ClientTLS", "Close", "Contact", "Describe", "Domain", "Domains", "End", "Expire", "Files", "History", "Notify", "PutOff", "Register", "Routes", "Struck", "Transfer"}, n) {
			t.Errorf("%s.%s is new: does History show what it changes? If so, list it here", typ, n)
		}
	}
}

// routes reads the addresses of the pages and the API out of their source, so
// that one added later is tried too.
func routes(t *testing.T) []string {
	f, err := parser.ParseFile(token.NewFileSet(), "../web/web.go", nil, 0)
	must(t, err)
	var out []string
	ast.Inspect(f, func(n ast.Node) bool {
		if l, ok := n.(*ast.BasicLit); ok && l.Kind == token.STRING {
			s, err := strconv.Unquote(l.Value)
			must(t, err)
			s = strings.TrimPrefix(s, "GET ")
			if strings.HasPrefix(s, "/") && !strings.ContainsAny(s, " \n*") {
				out = append(out, strings.NewReplacer("/{$}", "/", "{id}", caseID, "{name}", live.String(), "{hash}", "x").Replace(s))
			}
		}
		return true
	})
	if len(out) < 20 {
		t.Fatalf("only %d routes found: is the source still as this test thinks?", len(out))
	}
	return out
}

// The pages and the API take nothing: every method but GET and HEAD is 405, save
// for a report that is read and shown, on every route, whatever it brings along, and nothing is different afterwards.
func TestLaw1PagesAndAPI(t *testing.T) {
	c := newCourt(t)
	s := c.open(t)
	c.cfg.Sinkhole.Listen = nil
	must(t, s.Close())
	s = c.serve(t)
	base := "http://" + s.Addrs()["web"][0]
	version, err := s.Store.Version(t.Context())
	must(t, err)
	size, acts, reg := s.Evidence.Size(), len(c.acts()), c.registryOf(t)
	client := &http.Client{Timeout: 5 * time.Second}
	order := string(mustRead(t, c.liveFile))
	tried := 0
	for _, r := range append(routes(t), "/api/v1/plans/"+c.byOne+"/approve", "/api/v1/plans/"+c.byOne+"/apply", "/api/v1/orders/"+liveOrder, "/orders", "/plans/"+c.byOne) {
		for _, method := range []string{"POST", "PUT", "PATCH", "DELETE", "OPTIONS", "PROPFIND", "MKCOL", "QUERY", "post", "X"} {
			for _, body := range []string{`{"id":"` + c.byOne + `","approve":true,"person":"dora"}`, order} {
				q, err := http.NewRequest(method, base+r+"?_method="+method+"&approve=1", strings.NewReader(body))
				must(t, err)
				q.Header.Set("Content-Type", "application/json")
				q.Header.Set("X-HTTP-Method-Override", "POST")
				q.Header.Set("Origin", base)
				p, err := client.Do(q)
				must(t, err)
				_, _ = io.Copy(io.Discard, p.Body)
				p.Body.Close()
				tried++
				want := http.StatusMethodNotAllowed
				if r == "/intake" && strings.EqualFold(method, "POST") {
					want = http.StatusBadRequest // it reads a form, and this is none
				}
				if method == "post" { // no method of HTTP
					want = http.StatusMethodNotAllowed
				}
				if p.StatusCode != want {
					t.Errorf("%s %s is answered %s", method, r, p.Status)
				}
			}
		}
		// GET that pretends.
		q, err := http.NewRequest("GET", base+r, strings.NewReader("approve=1"))
		must(t, err)
		q.Header.Set("X-HTTP-Method-Override", "POST")
		p, err := client.Do(q)
		must(t, err)
		p.Body.Close()
	}
	// The one form that the pages take: a report is read, and shown.
	for _, form := range []string{
		"--B\r\nContent-Disposition: form-data; name=\"report\"\r\n\r\nthey used " + live.Defanged() + " and another-verify[.]net\r\n--B--\r\n",
		"--B\r\nContent-Disposition: form-data; name=\"case\"\r\n\r\n" + caseID + "\r\n--B\r\nContent-Disposition: form-data; name=\"tick\"\r\n\r\nanother-verify[.]net\r\n--B--\r\n",
	} {
		q, err := http.NewRequest("POST", base+"/intake", strings.NewReader(form))
		must(t, err)
		q.Header.Set("Content-Type", "multipart/form-data; boundary=B")
		p, err := client.Do(q)
		must(t, err)
		b, _ := io.ReadAll(p.Body)
		p.Body.Close()
		if p.StatusCode != http.StatusOK || !strings.Contains(string(b), "another-verify[.]net") {
			t.Errorf("a report: %s", p.Status)
		}
	}
	if tried < 400 {
		t.Errorf("only %d requests", tried)
	}
	now, err := s.Store.Version(t.Context())
	must(t, err)
	if now != version || s.Evidence.Size() != size {
		t.Errorf("the store went from %d to %d, the log from %d to %d", version, now, size, s.Evidence.Size())
	}
	c.applyAll(t)
	if n := len(c.acts()); n != acts {
		t.Errorf("acts at the registry: %+v", c.acts()[acts:])
	}
	if d := cmp.Diff(reg, c.registryOf(t)); d != "" {
		t.Error(d)
	}
}

// A real order of a few seconds, on the real clock, in a process that is not
// restarted: while it is in force DNS and HTTP answer; whatever is asked after
// its end is refused, on a connection that was open before, too.
func TestLaw1LapseForReal(t *testing.T) {
	w := newWorld(t)
	s := w.serve(t)
	addr := s.Addrs()
	open := browser(addr["http"][0])
	defer open.CloseIdleConnections()
	dnsTCP, err := (&dns.Client{Net: "tcp", Timeout: 5 * time.Second}).Dial(addr["dns"][0])
	must(t, err)
	defer dnsTCP.Close()
	overTCP := func() int {
		must(t, dnsTCP.WriteMsg(new(dns.Msg).SetQuestion(live.FQDN(), dns.TypeA)))
		m, err := dnsTCP.ReadMsg()
		must(t, err)
		return m.Rcode
	}
	// A machine that is busy for longer than the order lasts shows nothing: then
	// with a longer one.
	for long := 3 * time.Second; ; long *= 2 {
		id := "O-" + long.String()
		until := time.Now().Add(long)
		w.file(t, s, terms{id: id, names: []impound.Name{live}, from: time.Now().Add(-time.Second), until: until})
		plan := w.plan(t, s, id, "ben", "dora")
		yes := 0
		shown := false // that a connection which was open before the end is refused after it
		for time.Now().Before(until) {
			d := ask(t, s, live)
			h, reused := visitOn(t, open, live)
			o := overTCP()
			// The end can come within a round; the refusal closes the connection.
			shown = shown || reused && h == http.StatusMisdirectedRequest && yes > 0
			if d == dns.RcodeSuccess && h == http.StatusOK && o == dns.RcodeSuccess {
				yes++
			} else if yes > 0 && time.Now().Before(until) {
				t.Errorf("before the end: DNS %s, over TCP %s, HTTP %d", dns.RcodeToString[d], dns.RcodeToString[o], h)
			}
			time.Sleep(20 * time.Millisecond)
		}
		if h, reused := visitOn(t, open, live); h != http.StatusMisdirectedRequest || !reused && !shown && yes > 0 {
			t.Errorf("after the end, on the connection that was open: %d (the same one: %v)", h, reused)
		}
		// And for a second, in which the policy is renewed as well.
		for n := 0; n < 5 || time.Since(until) < 1200*time.Millisecond; n++ {
			if d, h, o := ask(t, s, live), visit(t, open, live), overTCP(); d != dns.RcodeRefused || h != http.StatusMisdirectedRequest || o != dns.RcodeRefused {
				t.Fatalf("after the end: DNS %s, over TCP %s, HTTP %d", dns.RcodeToString[d], dns.RcodeToString[o], h)
			}
			time.Sleep(20 * time.Millisecond)
		}
		w.refused(t, "", "seize", "apply", plan, "--as", "olaf")
		if code, _, _ := w.cli(t, "seize", "apply", plan, "--as", "olaf"); code != 5 {
			t.Errorf("seize apply ends with %d, want 5: refused", code)
		}
		if n := w.acts(); len(n) > 0 {
			t.Errorf("acts at the registry: %+v", n)
		}
		if yes > 0 {
			t.Logf("%d looks while an order of %v was in force", yes, long)
			return
		}
		if long > time.Minute {
			t.Fatal("never answered")
		}
	}
}
