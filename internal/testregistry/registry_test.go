package testregistry_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure/epp"
	"github.com/impound/impound/internal/testregistry"
)

// With IMPOUND_TEST_REGISTRY_DIR set, the test binary is a registry, for tests
// that kill it.
func TestMain(m *testing.M) {
	dir := os.Getenv("IMPOUND_TEST_REGISTRY_DIR")
	if dir == "" {
		os.Exit(m.Run())
	}
	var t mainTB
	cfg := config(t)
	cfg.Dir = dir
	r, err := testregistry.Start(context.Background(), cfg)
	if err == nil {
		err = r.Register(domains()...)
	}
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	fmt.Println("listening", r.Addrs().EPP)
	select {} // until killed
}

// mainTB lets config be used outside of a test.
type mainTB struct{ testing.TB }

func (mainTB) TempDir() string { return "" }

// What was acknowledged is there after SIGKILL, once.
func TestKilledRegistryLosesNothing(t *testing.T) {
	dir := t.TempDir()
	ctx := context.Background()
	type acked struct{ cl, sv string }
	var want []acked
	hosts := 0
	for round := range 3 {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "IMPOUND_TEST_REGISTRY_DIR="+dir)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		addr, ok := strings.CutPrefix(strings.TrimSpace(line), "listening ")
		if !ok {
			cmd.Process.Kill()
			cmd.Wait()
			t.Fatalf("said %q", line)
		}
		// Another registry on the same folder is refused meanwhile; its keys
		// are the ones to trust, and reading them needs no lock.
		cfg := config(t)
		cfg.Dir = dir
		if _, err := testregistry.Start(ctx, cfg); impound.KindOf(err) != impound.KindConflict {
			t.Errorf("a second registry on one folder: %v", err)
		}
		tc, err := testregistry.LoadClientTLS(dir)
		if err != nil {
			t.Fatal(err)
		}
		c, err := epp.Dial(ctx, epp.Config{Addr: addr, TLS: tc, ClientID: "registry", Password: []byte("registry-pw"), Timeout: 20 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		ps := allPermits(t, bad)
		for range 5 {
			hosts++
			id := fmt.Sprintf("round-%d-%d", round, hosts)
			res, err := c.CreateHost(ctx, ps[0], epp.HostCreate{Name: impound.MustName(fmt.Sprintf("ns%d.sinkhole.invalid", hosts)), ClTRID: id})
			if err != nil {
				t.Fatal(err)
			}
			want = append(want, acked{id, res.SvTRID})
		}
		cmd.Process.Signal(syscall.SIGKILL)
		cmd.Wait()
		c.Close()
	}
	// A line that was being written is cut off, since nobody was told of it.
	f, err := os.OpenFile(filepath.Join(dir, "journal.jsonl"), os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fmt.Fprint(f, `{"seq":998,"at":"2026-11-21T10:00:00Z","host":{"name":"whole.invalid","roid":"H1-X","sponsor":"registry","created":"2026-11-21T10:00:00Z"},"more":true}`+"\n"+
		`{"seq":999,"at":"2026-11-21T10:00:00Z","host":{"name":"half.inva`)
	f.Close()
	cfg := config(t)
	cfg.Dir = dir
	r := start(t, cfg)
	if _, err := dial(t, r, cfg, "registry").InfoHost(ctx, impound.MustName("whole.invalid")); impound.KindOf(err) != impound.KindNotFound {
		t.Errorf("the whole line of a commit that was cut off: %v", err)
	}
	// What comes after it is read back again.
	if err := r.Notify("registry", "After the cut."); err != nil {
		t.Fatal(err)
	}
	r.Close()
	r = start(t, cfg)
	if m, ok, err := dial(t, r, cfg, "registry").Poll(ctx); !ok || m.Text != "After the cut." {
		t.Errorf("%+v %v", m, err)
	}
	var got []acked
	seen := map[string]bool{}
	for _, op := range r.History() {
		if op.Command == "host:create" {
			got = append(got, acked{op.ClTRID, op.SvTRID})
			if seen[op.SvTRID] {
				t.Errorf("transaction id %s was given twice", op.SvTRID)
			}
			seen[op.SvTRID] = true
		}
	}
	if d := cmp.Diff(want, got, cmp.AllowUnexported(acked{})); d != "" {
		t.Error(d)
	}
	if d, ok := r.Domain(bad); !ok || len(d.DS) != 1 || len(d.NS) != 2 {
		t.Errorf("%+v", d)
	}
}

func TestDamagedJournalIsNotGuessedAt(t *testing.T) {
	cfg := config(t)
	r := start(t, cfg)
	r.Close()
	path := filepath.Join(cfg.Dir, "journal.jsonl")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	b[len(b)/2] ^= 0x80
	if i := slices.Index(b[len(b)/2:], '\n'); i >= 0 {
		b[len(b)/2] = '\n'
	}
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := testregistry.Start(t.Context(), cfg); impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), "journal.jsonl:") {
		t.Errorf("got %v", err)
	}
}

func TestLoopbackOnly(t *testing.T) {
	for _, addr := range []string{"0.0.0.0:0", "192.0.2.1:0", "[::]:0", "registry.example:700"} {
		for i := range 6 {
			cfg := config(t)
			*[]*string{&cfg.EPP, &cfg.RDAP, &cfg.DNS, &cfg.Resolver, &cfg.ActorDNS, &cfg.ActorHTTP}[i] = addr
			if r, err := testregistry.Start(t.Context(), cfg); impound.KindOf(err) != impound.KindRefused {
				t.Errorf("%s as address %d: %v", addr, i, err)
				if r != nil {
					r.Close()
				}
			}
		}
	}
	cfg := config(t)
	cfg.EPP, cfg.RDAP, cfg.ActorHTTP = ":0", "[::1]:0", testregistry.Off
	r, err := testregistry.Start(t.Context(), cfg)
	if err != nil {
		t.Skipf("no IPv6 loopback here: %v", err)
	}
	defer r.Close()
	if a := r.Addrs(); !a.EPP.Addr().IsLoopback() || !a.RDAP.Addr().Is6() || a.ActorHTTP.IsValid() {
		t.Errorf("%+v", a)
	}
}

func TestRegisterIsIdempotent(t *testing.T) {
	cfg := config(t)
	r := start(t, cfg)
	c := dial(t, r, cfg, "registry")
	if _, err := c.UpdateDomain(t.Context(), allPermits(t, bad), epp.DomainUpdate{Name: bad, RemNS: []impound.Name{act1}}); err != nil {
		t.Fatal(err)
	}
	n := len(r.History())
	if err := r.Register(domains()...); err != nil {
		t.Fatal(err)
	}
	if d, _ := r.Domain(bad); len(d.NS) != 1 || len(r.History()) != n {
		t.Errorf("registering again changed %+v", d)
	}
	for _, d := range []testregistry.Domain{
		{Name: impound.MustName("a.b.example"), Registrar: "registrar-a"}, {Name: impound.MustName("a.org"), Registrar: "registrar-a"}, {Name: impound.MustName("a.example"), Registrar: "nobody"}, {Name: impound.MustName("b.example"), Registrar: "registrar-a", Statuses: []string{"ok"}},
	} {
		if err := r.Register(d); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("%s: %v", d.Name, err)
		}
	}
	if len(r.Domains()) != 3 {
		t.Errorf("%v", r.Domains())
	}
}

func get(t *testing.T, url string, edit func(*http.Request)) (*http.Response, string) {
	t.Helper()
	q, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if edit != nil {
		edit(q)
	}
	res, err := (&http.Transport{}).RoundTrip(q)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(b)
}

func TestRDAP(t *testing.T) {
	cfg := config(t)
	r := start(t, cfg)
	base := "http://" + r.Addrs().RDAP.String()
	c := dial(t, r, cfg, "registry")
	ps := allPermits(t, bad)
	createHosts(t, c, ps[0])
	if _, err := c.UpdateDomain(t.Context(), ps, epp.DomainUpdate{Name: bad, AddNS: []impound.Name{sink1}, RemNS: []impound.Name{act1}, AddStatus: []string{"serverUpdateProhibited"}}); err != nil {
		t.Fatal(err)
	}
	res, body := get(t, base+"/domain/OUTLOOK-VERIFY.example", nil)
	if res.StatusCode != 200 || res.Header.Get("Content-Type") != "application/rdap+json" {
		t.Fatalf("%s %s", res.Status, body)
	}
	var d struct {
		ObjectClassName, Handle, LdhName, UnicodeName string
		RdapConformance, Status                       []string
		Events                                        []struct{ EventAction, EventDate string }
		Nameservers                                   []struct{ LdhName string }
		SecureDNS                                     struct {
			DelegationSigned bool
			DsData           []struct {
				KeyTag int
				Digest string
			}
		}
		Entities []struct {
			Roles     []string
			PublicIds []struct{ Type, Identifier string }
			Entities  []struct {
				Roles      []string
				VcardArray []any
			}
		}
	}
	if err := json.Unmarshal([]byte(body), &d); err != nil {
		t.Fatal(err)
	}
	if d.ObjectClassName != "domain" || d.LdhName != bad.String() || !slices.Contains(d.RdapConformance, "rdap_level_0") || d.Nameservers[0].LdhName != act2.String() || d.Nameservers[1].LdhName != sink1.String() ||
		!d.SecureDNS.DelegationSigned || len(d.SecureDNS.DsData) != 1 {
		t.Errorf("%+v", d)
	}
	if d := cmp.Diff([]string{"client transfer prohibited", "server update prohibited"}, d.Status); d != "" {
		t.Error(d)
	}
	var events []string
	for _, e := range d.Events {
		events = append(events, e.EventAction)
		if _, err := time.Parse(time.RFC3339, e.EventDate); err != nil {
			t.Error(err)
		}
	}
	if d := cmp.Diff([]string{"registration", "expiration", "last changed", "last update of RDAP database"}, events); d != "" {
		t.Error(d)
	}
	e := d.Entities[0]
	if e.Roles[0] != "registrar" || e.PublicIds[0].Type != "IANA Registrar ID" || e.PublicIds[0].Identifier != "9995" || e.Entities[0].Roles[0] != "abuse" || !strings.Contains(body, "abuse@registrar-a.example") {
		t.Errorf("%+v", e)
	}
	for path, status := range map[string]int{"/domain/no-such.example": 404, "/domain/a..b": 400, "/nowhere": 404, "/help": 200, "/nameserver/ns1.actor-dns.example": 200, "/nameserver/nope.example": 404, "/entity/registrar-a": 200, "/entity/x": 404, "/dns.json": 200} {
		res, body := get(t, base+path, nil)
		var e struct{ ErrorCode int }
		if err := json.Unmarshal([]byte(body), &e); err != nil || res.StatusCode != status || status >= 400 && e.ErrorCode != status {
			t.Errorf("%s: %s %s", path, res.Status, body)
		}
	}
}

func TestRDAPStatusIsLiveOrLags(t *testing.T) {
	cfg := config(t)
	at := clockAt(issued.Add(time.Hour))
	cfg.Now = at.now
	cfg.Faults = testregistry.Faults{RDAPLag: time.Minute, ZoneLag: 10 * time.Second}
	r := start(t, cfg)
	at.add(time.Hour)
	c := dial(t, r, cfg, "registry")
	if _, err := c.UpdateDomain(t.Context(), allPermits(t, bad), epp.DomainUpdate{Name: bad, RemNS: []impound.Name{act1}}); err != nil {
		t.Fatal(err)
	}
	views := func() (rdap, zone bool) {
		_, body := get(t, "http://"+r.Addrs().RDAP.String()+"/domain/"+bad.String(), nil)
		m := ask(t, r.Addrs().DNS, bad.FQDN(), dns.TypeNS, false)
		return strings.Contains(body, act1.String()), len(m.Ns) == 2
	}
	for i, want := range []struct {
		after      time.Duration
		rdap, zone bool
	}{{0, true, true}, {9 * time.Second, true, true}, {10 * time.Second, true, false}, {59 * time.Second, true, false}, {time.Minute, false, false}} {
		from := at.now()
		at.add(want.after)
		if rdap, zone := views(); rdap != want.rdap || zone != want.zone {
			t.Errorf("%d: after %s: old in RDAP %v, in the zone %v", i, want.after, rdap, zone)
		}
		at.set(from)
	}
}

func ask(t testing.TB, at netip.AddrPort, name string, qtype uint16, rd bool, edit ...func(*dns.Msg)) *dns.Msg {
	t.Helper()
	q := new(dns.Msg).SetQuestion(name, qtype)
	q.RecursionDesired = rd
	for _, f := range edit {
		f(q)
	}
	m, _, err := (&dns.Client{Timeout: 10 * time.Second}).Exchange(q, at.String())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// sinkhole is a name server on a high port that answers 127.0.0.99 for all.
func sinkhole(t *testing.T) netip.AddrPort {
	t.Helper()
	started := make(chan struct{})
	srv := &dns.Server{Addr: "127.0.0.1:0", Net: "udp", NotifyStartedFunc: func() { close(started) }, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		if q.Question[0].Qtype == dns.TypeA {
			rr, _ := dns.NewRR(q.Question[0].Name + " 60 IN A 127.0.0.99")
			m.Answer = append(m.Answer, rr)
		}
		w.WriteMsg(m)
	})}
	done := make(chan struct{})
	go func() { defer close(done); srv.ListenAndServe() }()
	<-started
	t.Cleanup(func() { srv.Shutdown(); <-done })
	return netip.MustParseAddrPort(srv.PacketConn.LocalAddr().String())
}

// The way of a name: to the actor; SERVFAIL while a stale DS hangs on a
// redirected name; to the sinkhole; gone when held.
func TestResolverFollowsTheSeizure(t *testing.T) {
	cfg := config(t)
	virtual := netip.MustParseAddr("127.0.0.53")
	cfg.Hosts = map[impound.Name][]netip.Addr{sink1: {virtual}, sink2: {virtual}}
	cfg.Routes = map[netip.AddrPort]netip.AddrPort{netip.AddrPortFrom(virtual, 53): sinkhole(t)}
	r := start(t, cfg)
	c := dial(t, r, cfg, "registry")
	ctx := t.Context()
	ps := allPermits(t, bad)
	createHosts(t, c, ps[0])
	look := func() (rcode int, addr string) {
		m := ask(t, r.Addrs().Resolver, "www."+bad.FQDN(), dns.TypeA, true)
		for _, rr := range m.Answer {
			if a, ok := rr.(*dns.A); ok {
				addr = a.A.String()
				if a.Hdr.Ttl > 1 {
					t.Errorf("TTL %d", a.Hdr.Ttl)
				}
			}
		}
		return m.Rcode, addr
	}
	step := func(what string, u epp.DomainUpdate, rcode int, addr string) {
		t.Helper()
		if len(u.Acts()) > 0 {
			p := ps
			if slices.Contains(u.Acts(), impound.ActHold) {
				p = permits(t, mandate(t, impound.Acts{Hold: true}, bad), bad, impound.ActHold)
			}
			if _, err := c.UpdateDomain(ctx, p, u); err != nil {
				t.Fatal(err)
			}
		}
		if gotCode, gotAddr := look(); gotCode != rcode || gotAddr != addr {
			t.Errorf("%s: %s %q", what, dns.RcodeToString[gotCode], gotAddr)
		}
	}
	step("before", epp.DomainUpdate{}, dns.RcodeSuccess, testregistry.ActorAddr.String())
	step("redirected, DS left behind", epp.DomainUpdate{Name: bad, AddNS: []impound.Name{sink1, sink2}, RemNS: []impound.Name{act1, act2}}, dns.RcodeServerFailure, "")
	if m := ask(t, r.Addrs().Resolver, bad.FQDN(), dns.TypeA, true, func(q *dns.Msg) { q.CheckingDisabled = true }); m.Rcode != dns.RcodeSuccess {
		t.Errorf("with CD: %s", m)
	}
	step("DS removed", epp.DomainUpdate{Name: bad, RemAllDS: true}, dns.RcodeSuccess, "127.0.0.99")
	step("held", epp.DomainUpdate{Name: bad, AddStatus: []string{"serverHold"}}, dns.RcodeNameError, "")

	if m := ask(t, r.Addrs().Resolver, other.FQDN(), dns.TypeA, false); m.Rcode != dns.RcodeRefused {
		t.Errorf("without RD: %s", m)
	}
	if m := ask(t, r.Addrs().Resolver, "example.org.", dns.TypeA, true); m.Rcode != dns.RcodeNameError {
		t.Errorf("outside of the practice world: %s", m)
	}
	// Dead servers: the actor's go away with their address.
	dead := impound.MustName("dead.example")
	ns := impound.MustName("ns.dead.example")
	if err := r.Register(testregistry.Domain{Name: dead, Registrar: "registrar-a", NS: []impound.Name{ns}, NSAddrs: map[impound.Name][]netip.Addr{ns: {netip.MustParseAddr("192.0.2.1")}}}); err != nil {
		t.Fatal(err)
	}
	if m := ask(t, r.Addrs().Resolver, dead.FQDN(), dns.TypeA, true, func(q *dns.Msg) { q.SetEdns0(1232, false) }); m.Rcode != dns.RcodeServerFailure {
		t.Errorf("a server off loopback: %s", m)
	} else if s := m.String(); !strings.Contains(s, "not on loopback") {
		t.Errorf("no reason in %s", s)
	}
}

func TestActorHost(t *testing.T) {
	cfg := config(t)
	r := start(t, cfg)
	base := "http://" + r.Addrs().ActorHTTP.String()
	browse := func(host, path, agent string) (int, string) {
		res, body := get(t, base+path, func(q *http.Request) { q.Host = host; q.Header.Set("User-Agent", agent) })
		return res.StatusCode, body
	}
	const mozilla = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"
	code, body := browse("mail."+bad.String(), "/owa/auth/logon.aspx", mozilla)
	if code != 200 || !strings.Contains(body, "<!-- PRACTICE PAGE") || strings.Contains(body, "action=") || strings.Contains(body, "name=\"p") {
		t.Errorf("%d %s", code, body)
	}
	for what, q := range map[string][3]string{"scanner": {bad.String(), "/owa/", "zgrab/0.x"}, "no agent": {bad.String(), "/owa/", ""}, "stranger": {"elsewhere.org", "/owa/", mozilla}, "not registered": {"no-such.example", "/owa/", mozilla}, "no such page": {bad.String(), "/x", mozilla}} {
		if code, _ := browse(q[0], q[1], q[2]); code != 404 {
			t.Errorf("%s: %d", what, code)
		}
	}
	if code, _ := browse(bad.String(), "/", mozilla); code != 302 {
		t.Errorf("root: %d", code)
	}
	c := dial(t, r, cfg, "registry")
	if _, err := c.UpdateDomain(t.Context(), allPermits(t, bad), epp.DomainUpdate{Name: bad, RemNS: []impound.Name{act1, act2}}); err != nil {
		t.Fatal(err)
	}
	if code, _ := browse(bad.String(), "/owa/", mozilla); code != 404 {
		t.Errorf("taken away: %d", code)
	}
	if m := ask(t, r.Addrs().ActorDNS, bad.FQDN(), dns.TypeA, false); len(m.Answer) != 1 || !m.Authoritative {
		t.Errorf("the actor's server forgot its zone: %s", m)
	}
}

// A client that looks before it acts again gets every name done once, whatever
// happens to its calls.
func TestHostileRegistryEndsRight(t *testing.T) {
	cfg := config(t)
	cfg.Faults = testregistry.Faults{Seed: 11, DropBefore: 0.15, DropAfter: 0.2, Fail2400: 0.1, Fail2502: 0.1, Pending: 0.2, PendingFor: 5 * time.Millisecond, Split: 0.5, SlowGreeting: 0.5, Delay: time.Millisecond, Join: true, ReorderPoll: 0.5}
	r := start(t, cfg)
	var names []impound.Name
	for i := range 25 {
		n := impound.MustName(fmt.Sprintf("bad-%d.example", i))
		names = append(names, n)
		if err := r.Register(testregistry.Domain{Name: n, Registrar: "registrar-a", NS: []impound.Name{act1, act2}}); err != nil {
			t.Fatal(err)
		}
	}
	m := mandate(t, redirect, names...)
	ctx := t.Context()
	var c *epp.Client
	defer func() {
		if c != nil {
			c.Close()
		}
	}()
	trouble := 0
	try := func(f func() error) bool {
		if c == nil {
			var err error
			if c, err = epp.Dial(ctx, dialConfig(r, cfg, "registry")); err != nil {
				c = nil
				trouble++
				return false
			}
		}
		if err := f(); err != nil {
			trouble++
			if impound.KindOf(err) != impound.KindUnavailable {
				t.Fatalf("unexpected: %v", err)
			}
			if epp.Code(err) == 0 {
				c.Close()
				c = nil
			}
			return false
		}
		return true
	}
	for i := 0; i < 2; {
		h := []impound.Name{sink1, sink2}[i]
		ps := permits(t, m, names[0], impound.ActNameservers)
		if try(func() error {
			a, err := c.CheckHost(ctx, h)
			if err != nil || !a[0].Avail {
				return err
			}
			_, err = c.CreateHost(ctx, ps[0], epp.HostCreate{Name: h})
			return err
		}) {
			i++
		}
	}
	for round := 0; len(names) > 0; round++ {
		if round > 5000 {
			t.Fatalf("%d names are not done", len(names))
		}
		n := names[0]
		try(func() error {
			d, err := c.InfoDomain(ctx, n)
			if err != nil || d.Has("pendingUpdate") {
				time.Sleep(time.Millisecond) // the registry takes its time
				return err
			}
			if slices.Equal(d.NS, []impound.Name{sink1, sink2}) && d.Has("serverUpdateProhibited") {
				names = names[1:]
				return nil
			}
			_, err = c.UpdateDomain(ctx, permits(t, m, n, impound.ActNameservers, impound.ActLock, impound.ActRemoveDS), seizure(n))
			return err
		})
	}
	done := map[string]int{}
	for _, op := range r.History() {
		for _, ch := range op.Changes {
			if op.Command != "register" {
				if done[op.Name+" "+ch]++; done[op.Name+" "+ch] > 1 {
					t.Errorf("%s: %s was done twice", op.Name, ch)
				}
			}
		}
	}
	if len(done) != 2+25*8 || trouble < 10 {
		t.Errorf("%d acts, %d troubles", len(done), trouble)
	}
	// The poll queue empties, in whatever order.
	for {
		var more bool
		var msg epp.PollMessage
		if !try(func() (err error) { msg, more, err = c.Poll(ctx); return err }) {
			continue
		}
		if !more {
			break
		}
		if msg.Pending == nil || !msg.Pending.Done {
			t.Errorf("%+v", msg)
		}
		try(func() error { return c.Ack(ctx, msg.ID) })
	}
}

// The same seed gives the same faults.
func TestFaultsRepeat(t *testing.T) {
	run := func(seed uint64) string {
		cfg := config(t)
		cfg.Faults = testregistry.Faults{Seed: seed, Fail2400: 0.5}
		r := start(t, cfg)
		c := dial(t, r, cfg, "registry")
		var b strings.Builder
		for range 40 {
			_, err := c.InfoDomain(t.Context(), bad)
			fmt.Fprint(&b, epp.Code(err), " ")
		}
		return b.String()
	}
	a := run(1)
	if b := run(1); a != b {
		t.Errorf("one seed:\n%s\n%s", a, b)
	}
	if b := run(2); a == b || !strings.Contains(a, "2400") || !strings.Contains(a, "0 ") {
		t.Errorf("two seeds: %s", a)
	}
}

// Commands may be sent before the answers to those before have come; those come
// in order, here in one piece.
func TestPipelining(t *testing.T) {
	cfg := config(t)
	cfg.Faults.Join = true
	r := start(t, cfg)
	conn, err := tls.Dial("tcp", r.Addrs().EPP.String(), r.ClientTLS())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	var all []byte
	for _, s := range []string{login, strings.Replace(wrap(`<poll op="req"/>`), "abc-2", "abc-3", 1), wrap(`<logout/>`)} {
		all = append(all, epp.Frame([]byte(s))...)
	}
	if _, err := conn.Write(all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"<greeting>", "abc-1", "abc-3", "abc-2"} {
		b, err := epp.ReadFrame(conn, epp.MaxFrame)
		if err != nil || !strings.Contains(string(b), want) {
			t.Errorf("%s: %s %v", want, b, err)
		}
	}
	if _, err := epp.ReadFrame(conn, epp.MaxFrame); err != io.EOF {
		t.Errorf("after logout: %v", err)
	}
}

func TestRDAPFaults(t *testing.T) {
	cfg := config(t)
	cfg.Faults.RDAPFail = 1
	r := start(t, cfg)
	seen := map[string]bool{}
	for range 5 {
		res, body := get(t, "http://"+r.Addrs().RDAP.String()+"/domain/"+bad.String(), nil)
		switch {
		case res.StatusCode == 302 && res.Header.Get("Location") == "/domain/"+bad.String():
			seen["loop"] = true
		case len(body) > 8<<20:
			seen["megabytes"] = true
		case strings.HasPrefix(body, "<html>"):
			seen["html"] = true
		default:
			seen[fmt.Sprint(res.StatusCode)] = true
		}
	}
	if d := cmp.Diff(map[string]bool{"loop": true, "megabytes": true, "html": true, "429": true, "500": true}, seen); d != "" {
		t.Error(d)
	}
}

func TestCertificateAboutToExpire(t *testing.T) {
	cfg := config(t)
	cfg.Faults.CertFor = time.Hour
	r := start(t, cfg)
	if at := dial(t, r, cfg, "registry").CertExpiry(); time.Until(at) > time.Hour || time.Until(at) < 50*time.Minute {
		t.Errorf("expires %s", at)
	}
	r.Close()
	// The one that is kept lasts.
	cfg.Faults.CertFor = 0
	r = start(t, cfg)
	if at := dial(t, r, cfg, "registry").CertExpiry(); time.Until(at) < 24*time.Hour {
		t.Errorf("expires %s", at)
	}
	cfg = config(t)
	cfg.Faults.CertFor = time.Nanosecond
	r = start(t, cfg)
	if _, err := epp.Dial(t.Context(), dialConfig(r, cfg, "registry")); impound.KindOf(err) != impound.KindUnavailable || !strings.Contains(err.Error(), "expired") {
		t.Errorf("an expired certificate: %v", err)
	}
}
