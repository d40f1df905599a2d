package seizure_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/epp"
	"github.com/impound/impound/internal/store/sqlite"
	"github.com/impound/impound/internal/testregistry"
)

// site is where an engine runs against the real practice registry, in this
// process or in a child of it: all of it can be read from a file.
type site struct {
	Dir       string
	EPP       string
	Cert, Key string
	CA        string
	DNS       string
	Resolver  string
	RDAP      string
	Routes    map[string]string
	Names     []impound.Name
	From      time.Time
	Plan      string
	Settle    time.Duration
}

func (s *site) mandate() (*impound.Mandate, keyring, error) {
	keys, priv := people()
	o := testOrder(s.Names, s.From)
	for _, id := range []string{"anna", "bert"} {
		o.Signatures = append(o.Signatures, impound.Sign(priv[id], impound.SignOrder, o.Hash(), id, s.From))
	}
	m, err := o.Authorize(keys, nil)
	return m, keys, err
}

// connector is the registry's own account.
func (s *site) connector() (*seizure.EPP, error) {
	ca, err := os.ReadFile(s.CA)
	if err != nil {
		return nil, err
	}
	cert, err := tls.LoadX509KeyPair(s.Cert, s.Key)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(ca)
	return seizure.NewEPP("practice", "registry", epp.Config{
		Addr: s.EPP, ServerName: "localhost", TLS: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}},
		ClientID: "registry", Password: []byte("registry-pw"), Timeout: 5 * time.Second,
	})
}

// engine opens the site's store and evidence log.
func (s *site) engine(ctx context.Context) (*seizure.Engine, *evidence.Log, func(), error) {
	st, err := sqlite.Open(ctx, filepath.Join(s.Dir, "impound.db"), sqlite.Options{})
	if err != nil {
		return nil, nil, nil, err
	}
	log, err := evidence.Open(filepath.Join(s.Dir, "evidence"), evidence.Options{})
	if err != nil {
		return nil, nil, nil, err
	}
	conn, err := s.connector()
	if err != nil {
		return nil, nil, nil, err
	}
	obs, err := observe.New(observe.Config{
		Parents: map[string][]string{"net": {s.DNS}, "com": {s.DNS}}, Resolvers: []string{s.Resolver},
		RDAP: map[string]string{"net": s.RDAP, "com": s.RDAP}, Routes: s.Routes, Timeout: 3 * time.Second,
	})
	if err != nil {
		return nil, nil, nil, err
	}
	m, keys, err := s.mandate()
	if err != nil {
		return nil, nil, nil, err
	}
	e, err := seizure.New(seizure.Config{
		Store: st, Evidence: log, Keys: keys, Observe: obs, By: "op",
		Mandate:    func(context.Context, string) (*impound.Mandate, error) { return m, nil },
		Connectors: map[string]seizure.Connector{"practice": conn},
		Gates: func(context.Context, *impound.Mandate, impound.Name) ([]impound.GateVerdict, error) {
			return []impound.GateVerdict{{Gate: "G1", Outcome: impound.GatePass}}, nil
		},
		Tries: 8, Backoff: 20 * time.Millisecond, Pending: 20 * time.Second, Settle: s.Settle,
	})
	return e, log, func() { conn.Close(); log.Close(); st.Close() }, err
}

// TestMain runs a child of a test where it is one.
func TestMain(m *testing.M) {
	file := os.Getenv("IMPOUND_TEST_SITE")
	if file == "" {
		// The tests mostly wait, for disks and for each other's processes.
		flag.Parse()
		given := false
		flag.Visit(func(f *flag.Flag) { given = given || f.Name == "test.parallel" })
		if !given {
			_ = flag.Set("test.parallel", "8")
		}
		os.Exit(m.Run())
	}
	err := func() error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var s site
		if err := json.Unmarshal(b, &s); err != nil {
			return err
		}
		ctx := context.Background()
		e, _, closeAll, err := s.engine(ctx)
		if err != nil {
			return err
		}
		defer closeAll()
		if s.Plan == "" {
			_, err = e.Poll(ctx)
			return err
		}
		_, err = e.Apply(ctx, s.Plan)
		return err
	}()
	if impound.KindOf(err) == impound.KindConflict {
		os.Exit(3)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

var fourNames = ns("outlook-verify.net", "yahoo-verify.net", "verification-live.com", "myaccount-services.net")

// practice starts a practice registry that holds names as the actor would, and
// the sinkhole's name servers.
func practice(t *testing.T, faults testregistry.Faults, names []impound.Name) (*testregistry.Registry, *site) {
	t.Helper()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	sink := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		if q.Question[0].Qtype == dns.TypeNS {
			for _, h := range []string{"ns1.sinkhole.example.", "ns2.sinkhole.example."} {
				m.Answer = append(m.Answer, &dns.NS{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeNS, Class: 1, Ttl: 60}, Ns: h})
			}
		}
		_ = w.WriteMsg(m)
	})}
	go sink.ActivateAndServe()
	t.Cleanup(func() { sink.Shutdown() })
	world := netip.MustParseAddr("127.53.0.99")
	dir := t.TempDir()
	r, err := testregistry.Start(t.Context(), testregistry.Config{
		Dir: filepath.Join(dir, "practice"), TLDs: []string{"net", "com"}, RequireClientCert: true, Faults: faults,
		Clients:    map[string]testregistry.Client{"registry": {Password: "registry-pw", RegistryRole: true}, "cheap": {Password: "cheap-pw"}},
		Registrars: map[string]testregistry.Registrar{"cheap": {Name: "Cheap Names", IANAID: 9999, AbuseEmail: "abuse@cheap.example"}},
		Hosts:      map[impound.Name][]netip.Addr{n("ns1.sinkhole.example"): {world}, n("ns2.sinkhole.example"): {world}},
		Routes:     map[netip.AddrPort]netip.AddrPort{netip.AddrPortFrom(world, 53): netip.MustParseAddrPort(pc.LocalAddr().String())},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	var ds []testregistry.Domain
	for i, x := range names {
		ds = append(ds, testregistry.Domain{Name: x, Registrar: "cheap", NS: ns("ns1.actor-dns.net", "ns2.actor-dns.net"), Signed: i%2 == 0, Statuses: []string{"clientTransferProhibited"}, Expiry: time.Now().AddDate(3, 0, 0)})
	}
	if err := r.Register(ds...); err != nil {
		t.Fatal(err)
	}
	s := &site{Dir: dir, EPP: r.Addrs().EPP.String(), CA: r.Files().CA, Cert: r.Files().ClientCert, Key: r.Files().ClientKey, DNS: r.Addrs().DNS.String(), Resolver: r.Addrs().Resolver.String(),
		RDAP: "http://" + r.Addrs().RDAP.String(), Routes: map[string]string{}, Names: names, From: time.Now().UTC().Add(-time.Hour).Truncate(time.Second), Settle: 10 * time.Second}
	for from, to := range r.Routes() {
		s.Routes[from.String()] = to.String()
	}
	return r, s
}

func approve(t *testing.T, e *seizure.Engine, p *seizure.Plan) {
	t.Helper()
	_, priv := people()
	h, err := p.Hash()
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"anna", "bert"} {
		if _, err := e.Approve(t.Context(), p.ID, impound.Sign(priv[id], impound.SignPlan, h, id, time.Now())); err != nil {
			t.Fatal(err)
		}
	}
}

// acts counts, per command and object, what took effect for the registry's
// account.
func acts(r *testregistry.Registry) map[string]int {
	out := map[string]int{}
	for _, op := range r.History() {
		if op.Client == "registry" && op.Code == 1000 {
			out[op.Command+" "+op.Name]++
		}
	}
	return out
}

func wantOnce(t *testing.T, r *testregistry.Registry, names []impound.Name) {
	t.Helper()
	got := acts(r)
	for _, x := range names {
		if k := "domain:update " + x.String(); got[k] != 1 {
			t.Errorf("%s took effect %d times", k, got[k])
		}
	}
	for _, h := range []string{"ns1.sinkhole.example", "ns2.sinkhole.example"} {
		if k := "host:create " + h; got[k] != 1 {
			t.Errorf("%s took effect %d times", k, got[k])
		}
	}
}

func wantSeized(t *testing.T, r *testregistry.Registry, names []impound.Name) {
	t.Helper()
	want := testOrder(names, time.Now()).Acts
	for _, x := range names {
		d, ok := r.Domain(x)
		if !ok || len(d.DS) != 0 || len(d.NS) != 2 || !slices.Contains(d.NS, want.Nameservers[0]) || !slices.Contains(d.NS, want.Nameservers[1]) {
			t.Errorf("%s: %+v", x, d)
		}
		for _, s := range want.Lock {
			if !slices.Contains(d.Statuses, s) {
				t.Errorf("%s has no %s", x, s)
			}
		}
	}
}

func TestSeizedAtTheRegistry(t *testing.T) {
	t.Parallel()
	r, s := practice(t, testregistry.Faults{}, fourNames)
	e, log, closeAll, err := s.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	m, _, _ := s.mandate()
	before, err := e.Verify(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range before {
		if st.Done || st.Views[0].State != seizure.NotYet || st.Views[1].State != seizure.NotYet {
			t.Errorf("before the seizure: %+v", st)
		}
	}
	p, err := e.Plan(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	approve(t, e, p)
	res, err := e.Apply(t.Context(), p.ID)
	if err != nil {
		t.Fatalf("%v\n%+v", err, res)
	}
	for _, x := range res.Names {
		if x.Status == nil || !x.Status.Done || len(x.Status.Views) != 3 {
			t.Errorf("%s is not verified: %+v", x.Name, x.Status)
		}
	}
	wantSeized(t, r, fourNames)
	wantOnce(t, r, fourNames)
	t.Run("every act has its intent before it and its frames", func(t *testing.T) {
		ctx := t.Context()
		intents, results := map[string]int64{}, 0
		err := log.Entries(ctx, 0, func(i int64, en impound.Entry) error {
			switch {
			case en.Type == impound.EntryIntent:
				intents[en.ID] = i
			case en.Type == impound.EntryResult:
				results++
				at, ok := intents[en.Intent]
				if !ok || at >= i {
					t.Errorf("result %s has no intent before it", en.ID)
				}
				frames := strings.Fields(en.Detail["frames"])
				if len(frames) != 2 {
					t.Errorf("%s keeps %d frames, want what was sent and what came", en.ID, len(frames))
				}
				for _, h := range frames {
					b, err := log.Read(h)
					if err != nil || !strings.Contains(string(b), "<epp") || strings.Contains(string(b), "registry-pw") {
						t.Errorf("frame %s: %v %s", h, err, b)
					}
				}
			}
			return nil
		})
		if err != nil || len(intents) != 6 || results != 6 {
			t.Errorf("%v: %d intents, %d results", err, len(intents), results)
		}
	})
}

// Name servers were changed by hand and the DS forgotten: validating resolvers
// answer SERVFAIL, verification says so, and a plan of one line mends it.
func TestDSLeftBehind(t *testing.T) {
	t.Parallel()
	r, s := practice(t, testregistry.Faults{}, nil)
	left := n("left-behind.net")
	s.Names = []impound.Name{left}
	if err := r.Register(testregistry.Domain{Name: left, Registrar: "cheap", Signed: true, NS: ns("ns1.sinkhole.example", "ns2.sinkhole.example"), Statuses: testOrder(nil, time.Now()).Acts.Lock[:3]}); err != nil {
		t.Fatal(err)
	}
	e, _, closeAll, err := s.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	m, _, _ := s.mandate()
	st, err := e.Verify(t.Context(), m)
	if err != nil || len(st) != 1 || st[0].Done {
		t.Fatalf("%v %+v", err, st)
	}
	if v := st[0].Views[2]; v.State != seizure.Otherwise || !strings.Contains(v.Why, "SERVFAIL") {
		t.Errorf("the resolver's view: %+v", v)
	}
	p, err := e.Plan(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Hosts) != 0 || len(p.Names[0].Steps) != 1 || strings.Join(p.Names[0].Steps[0].Lines, "\n") != "- ds (all)\n+ status serverUpdateProhibited" {
		t.Fatalf("%s", p)
	}
	approve(t, e, p)
	if res, err := e.Apply(t.Context(), p.ID); err != nil || !res.Names[0].Status.Done {
		t.Fatalf("%v %+v", err, res)
	}
}

// With a registry that acts and drops the connection, fails, delays and lags,
// every name is seized, each by exactly one update.
func TestSeizedDespiteFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(6) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			f := testregistry.Faults{Seed: seed, DropBefore: 0.2, DropAfter: 0.4, Fail2400: 0.1, Fail2502: 0.2, Pending: 0.3, PendingFor: 60 * time.Millisecond,
				SlowGreeting: 0.2, Delay: 20 * time.Millisecond, Split: 0.5, ReorderPoll: 0.5, RDAPLag: 80 * time.Millisecond, ZoneLag: 40 * time.Millisecond, ClockSkew: time.Minute}
			r, s := practice(t, f, fourNames)
			e, _, closeAll, err := s.engine(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer closeAll()
			m, _, _ := s.mandate()
			finish(t, e, m)
			wantSeized(t, r, fourNames)
			wantOnce(t, r, fourNames)
		})
	}
}

// finish plans, approves and applies until every name is done: an operator who
// follows the cures. Each round must be asked for by an error of a kind.
func finish(t *testing.T, e *seizure.Engine, m *impound.Mandate) {
	t.Helper()
	for range 6 {
		p, err := e.Plan(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, b := p.Count(); b > 0 { // the registry could not be asked
			continue
		}
		approve(t, e, p)
		for range 3 {
			res, err := e.Apply(t.Context(), p.ID)
			if err == nil {
				for _, x := range res.Names {
					if x.Status == nil || !x.Status.Done {
						t.Errorf("%s is not verified: %+v", x.Name, x.Status)
					}
				}
				return
			}
			if k := impound.KindOf(err); k != impound.KindPartial && k != impound.KindConflict {
				t.Fatalf("%v", err)
			}
			if res.Count(seizure.Stale) > 0 {
				break
			}
		}
	}
	t.Fatal("not done after six plans")
}

// Somebody sets a lock between the look and the act: the registry refuses, the
// name is stale, and a new plan lifts the lock, changes, and puts it back.
func TestLockedInBetween(t *testing.T) {
	t.Parallel()
	r, s := practice(t, testregistry.Faults{Seed: 1, Lock: 1}, fourNames[:1])
	e, _, closeAll, err := s.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	m, _, _ := s.mandate()
	p, err := e.Plan(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	approve(t, e, p)
	res, err := e.Apply(t.Context(), p.ID)
	if impound.KindOf(err) != impound.KindConflict || res.Count(seizure.Stale) != 1 {
		t.Fatalf("%v %+v", err, res)
	}
	if len(acts(r)) != 2 {
		t.Errorf("only the hosts may have been made: %v", acts(r))
	}
	if p, err = e.Plan(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	if len(p.Names[0].Steps) != 2 || !strings.Contains(p.String(), "- status serverUpdateProhibited") {
		t.Fatalf("%s", p)
	}
	approve(t, e, p)
	if res, err = e.Apply(t.Context(), p.ID); err != nil {
		t.Fatalf("%v %+v", err, res)
	}
	wantSeized(t, r, fourNames[:1])
}

func child(t *testing.T, s *site, dieAt int) *exec.Cmd {
	t.Helper()
	b, err := json.Marshal(s)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(s.Dir, "site.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), "IMPOUND_TEST_SITE="+file)
	if dieAt > 0 {
		cmd.Env = append(cmd.Env, fmt.Sprint("IMPOUND_TEST_DIE_AT=", dieAt))
	}
	cmd.Stderr = os.Stderr
	return cmd
}

func killed(err error) bool {
	var x *exec.ExitError
	if !errors.As(err, &x) {
		return false
	}
	ws, ok := x.Sys().(syscall.WaitStatus)
	return ok && ws.Signaled() && ws.Signal() == syscall.SIGKILL
}

func planned(t *testing.T, s *site) {
	t.Helper()
	e, _, closeAll, err := s.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	m, _, _ := s.mandate()
	p, err := e.Plan(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	approve(t, e, p)
	s.Plan = p.ID
}

// The process is killed at each durable step, once with an honest registry and
// once with one that drops connections after acting; whoever applies next
// finishes, and no act is done twice.
func TestKilledAtEveryStep(t *testing.T) {
	t.Parallel()
	if testing.Short() {
		t.Skip("starts many processes")
	}
	names := fourNames[:2]
	// leased, then intended, acted, framed, result, recorded for each of two
	// hosts and two names.
	const points = 1 + 5*4
	for at := 1; at <= points; at++ {
		t.Run(fmt.Sprint("step ", at), func(t *testing.T) {
			t.Parallel()
			var f testregistry.Faults
			if at%2 == 0 {
				f = testregistry.Faults{Seed: uint64(at), DropAfter: 0.5}
			}
			r, s := practice(t, f, names)
			planned(t, s)
			s.Settle = 0
			if err := child(t, s, at).Run(); !killed(err) {
				if at%2 == 1 || err != nil { // with faults there may be fewer points
					t.Fatalf("the child was not killed at step %d: %v", at, err)
				}
			}
			if err := child(t, s, 0).Run(); err != nil {
				t.Fatalf("the second run: %v", err)
			}
			wantSeized(t, r, names)
			wantOnce(t, r, names)
		})
	}
	t.Run("no more steps than that", func(t *testing.T) {
		t.Parallel()
		_, s := practice(t, testregistry.Faults{}, names)
		planned(t, s)
		if err := child(t, s, points+1).Run(); err != nil {
			t.Fatalf("a step is not covered: %v", err)
		}
	})
}

func TestTwoProcessesAtOnce(t *testing.T) {
	t.Parallel()
	r, s := practice(t, testregistry.Faults{}, fourNames)
	planned(t, s)
	a, b := child(t, s, 0), child(t, s, 0)
	if err := a.Start(); err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*exec.Cmd{a, b} {
		var x *exec.ExitError
		if err := c.Wait(); err != nil && (!errors.As(err, &x) || x.ExitCode() != 3) {
			t.Errorf("neither done nor stood back: %v", err)
		}
	}
	if err := child(t, s, 0).Run(); err != nil {
		t.Error(err)
	}
	wantSeized(t, r, fourNames)
	wantOnce(t, r, fourNames)
}
