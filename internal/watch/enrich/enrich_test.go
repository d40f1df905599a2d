package enrich

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/capture"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/store"
	"github.com/impound/impound/internal/store/sqlite"
	"github.com/impound/impound/internal/testregistry"
	"github.com/impound/impound/internal/watch/trait"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// bed is a practice registry with actors' names, and a queue of candidates.
type bed struct {
	t      testing.TB
	reg    *testregistry.Registry
	rdap   *httptest.Server // before the registry's, and counts
	asked  sync.Map         // *atomic.Int64 by name
	total  atomic.Int64
	hold   atomic.Int64 // beyond so many questions RDAP answers nothing; 0: it answers all
	fail   atomic.Int32 // the status that RDAP answers instead
	db     *sqlite.Store
	dir    string
	cands  []impound.Candidate
	marks  map[impound.Name]impound.Marking
	routes map[string]string
	cfg    Config
	touch  []string
	mu     sync.Mutex
}

func newBed(t testing.TB, domains ...testregistry.Domain) *bed {
	t.Helper()
	b := &bed{t: t, dir: t.TempDir(), marks: map[impound.Name]impound.Marking{}, routes: map[string]string{}}
	var err error
	b.reg, err = testregistry.Start(t.Context(), testregistry.Config{Dir: filepath.Join(b.dir, "registry"), EPP: testregistry.Off, WHOIS: testregistry.Off, TLDs: []string{"com", "net"},
		Clients: map[string]testregistry.Client{"CHEAP": {Password: "practice-1"}}, Registrars: map[string]testregistry.Registrar{"CHEAP": {Name: "Practice Cheap Names Ltd", IANAID: 9995}}})
	must(t, err)
	t.Cleanup(func() { b.reg.Close() })
	for i := range domains {
		d := &domains[i]
		if d.Registrar = "CHEAP"; len(d.NS) == 0 {
			d.NS = []impound.Name{impound.MustName("ns1.bulk-host.example"), impound.MustName("ns2.bulk-host.example")}
		}
	}
	must(t, b.reg.Register(domains...))
	proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: b.reg.Addrs().RDAP.String()})
	b.rdap = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n := strings.TrimPrefix(r.URL.Path, "/domain/")
		c, _ := b.asked.LoadOrStore(n, new(atomic.Int64))
		c.(*atomic.Int64).Add(1)
		mine := b.total.Add(1)
		for h := b.hold.Load(); h > 0 && mine > h && r.Context().Err() == nil; h = b.hold.Load() {
			time.Sleep(time.Millisecond)
		}
		if f := b.fail.Load(); f != 0 {
			w.WriteHeader(int(f))
			return
		}
		proxy.ServeHTTP(w, r)
	}))
	t.Cleanup(b.rdap.Close)
	for from, to := range b.reg.Routes() {
		b.routes[from.String()] = to.String()
	}
	b.db, err = sqlite.Open(t.Context(), filepath.Join(b.dir, "impound.db"), sqlite.Options{})
	must(t, err)
	t.Cleanup(func() { b.db.Close() })
	b.cfg = Config{Level: LevelWeb, RegistryEvery: -1, HostEvery: -1}
	return b
}

func (b *bed) observer() *observe.Observer {
	b.t.Helper()
	a := b.reg.Addrs()
	o, err := observe.New(observe.Config{
		Parents: map[string][]string{"com": {a.DNS.String()}, "net": {a.DNS.String()}}, Resolvers: []string{a.Resolver.String()},
		RDAP: map[string]string{"com": b.rdap.URL + "/", "net": b.rdap.URL + "/"}, Routes: b.routes, Timeout: 5 * time.Second,
	})
	must(b.t, err)
	return o
}

func (b *bed) enricher() *Enricher {
	b.t.Helper()
	cfg := b.cfg
	cfg.Store = b.db
	if cfg.Observe == nil {
		cfg.Observe = b.observer()
	}
	if cfg.Capture == nil {
		c, err := capture.New(capture.Config{Observe: cfg.Observe, Every: -1, Bounds: capture.Bounds{Time: 10 * time.Second}})
		must(b.t, err)
		cfg.Capture = c
	}
	cfg.Candidates = func(context.Context) ([]impound.Candidate, error) { return b.cands, nil }
	cfg.Marks = func(context.Context, []impound.Name) (map[impound.Name]impound.Marking, error) { return b.marks, nil }
	if cfg.Touch == nil {
		cfg.Touch = func(_ context.Context, l Level, ns []impound.Name) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			for _, n := range ns {
				b.touch = append(b.touch, string(l)+" "+n.String())
			}
			return nil
		}
	}
	e, err := New(cfg)
	must(b.t, err)
	return e
}

func (b *bed) names(e *Enricher, ns ...string) map[string]Done {
	b.t.Helper()
	var names []impound.Name
	for _, n := range ns {
		names = append(names, impound.MustName(n))
	}
	out := map[string]Done{}
	must(b.t, e.Names(b.t.Context(), names, func(d Done) { out[d.Record.Name.String()] = d }))
	return out
}

func (b *bed) rec(n string) Record {
	b.t.Helper()
	r, ok, err := Get(b.t.Context(), b.db, impound.MustName(n))
	must(b.t, err)
	if !ok {
		b.t.Fatalf("%s was never looked at", n)
	}
	return r
}

var made = time.Now().UTC().Add(-30 * time.Hour).Truncate(time.Minute).Add(7 * time.Second)

func domain(n string) testregistry.Domain {
	return testregistry.Domain{Name: impound.MustName(n), Created: made, Expiry: made.AddDate(1, 0, 0)}
}

// A name is looked at as near as its level goes, and what is kept says so.
func TestLevels(t *testing.T) {
	b := newBed(t, domain("outlook-verify.com"))
	for _, c := range []struct {
		level     Level
		dns, web  bool
		touchings int
	}{{LevelRegistry, false, false, 1}, {LevelDNS, true, false, 2}, {LevelWeb, true, true, 3}} {
		b.cfg.Level = c.level
		d := b.names(b.enricher(), "outlook-verify.com")["outlook-verify.com"]
		f := d.Record.Facts
		if len(d.Record.Faults) > 0 || f.Registration == nil || !f.Registration.Exists || f.Registration.IANA != "9995" || !f.Registration.Created.Equal(made) {
			t.Fatalf("%s: %+v %+v", c.level, d, f.Registration)
		}
		if f.DNS == nil || !slices.Contains(f.DNS.NS, "ns1.bulk-host.example") || f.DNS.Resolved != c.dns || (len(f.DNS.Addrs) > 0) != c.dns {
			t.Errorf("%s: dns %+v", c.level, f.DNS)
		}
		if (f.Web != nil) != c.web {
			t.Errorf("%s: web %+v", c.level, f.Web)
		}
		if len(b.touch) != c.touchings || b.touch[len(b.touch)-1] != string(c.level)+" outlook-verify.com" {
			t.Errorf("%s: noted %v", c.level, b.touch)
		}
	}
	w := b.rec("outlook-verify.com").Facts.Web
	if w.Gating != capture.GateYes || !w.Password || w.Status != 200 || w.Title != "Sign in to your account" || w.Server != "nginx/1.18.0 (Ubuntu)" || w.Page == "" {
		t.Errorf("%+v", w)
	}
	// At the registry's level again: what only a nearer look tells stays, with its age.
	b.cfg.Level = LevelRegistry
	b.names(b.enricher(), "outlook-verify.com")
	if r := b.rec("outlook-verify.com"); r.Facts.Web == nil || !r.Facts.Web.At.Equal(w.At) || len(r.Facts.DNS.Addrs) == 0 {
		t.Errorf("a look from afar forgets: %+v", r)
	}
}

// A host is asked about by what was registered: its zone's servers are the
// actor's, and a registry knows no hosts.
func TestHostsAreAskedAboutByTheirDomain(t *testing.T) {
	b := newBed(t, domain("evil.com"))
	b.cfg.Level = LevelRegistry
	r := b.names(b.enricher(), "login.mail.evil.com", "stranger.blogspot.com")
	if f := r["login.mail.evil.com"].Record.Facts; f.Registration == nil || !f.Registration.Exists || f.DNS == nil || len(f.DNS.NS) != 2 {
		t.Errorf("%+v", f)
	}
	if _, ok := b.asked.Load("login.mail.evil.com"); ok {
		t.Error("the registry was asked about a host")
	}
	if f := r["stranger.blogspot.com"].Record; f.Facts.Registration != nil || b.total.Load() != 1 {
		t.Errorf("a customer of somebody's suffix: %+v, %d questions", f, b.total.Load())
	}
}

// Unknown is not clean: a failure is kept as one, beside what was known before;
// it is tried again later and later, and a registry that fails is let alone.
func TestFailuresAreKept(t *testing.T) {
	var ds []testregistry.Domain
	for i := range 8 {
		ds = append(ds, domain(fmt.Sprintf("evil%d.com", i)))
	}
	b := newBed(t, ds...)
	b.cfg.Level = LevelRegistry
	now := time.Now().UTC().Truncate(time.Second)
	b.cfg.Now = func() time.Time { return now }
	b.cfg.Parallel = 1
	e := b.enricher()
	b.names(e, "evil0.com")
	was := *b.rec("evil0.com").Facts.Registration
	b.fail.Store(http.StatusTooManyRequests)
	now = now.Add(time.Hour)
	b.names(e, "evil0.com")
	r := b.rec("evil0.com")
	if f := r.Faults[PartRegistration]; f.Row != 1 || !strings.Contains(f.Err, "429") || !f.At.Equal(now) {
		t.Fatalf("%+v", r)
	}
	if r.Facts.Registration == nil || r.Facts.Registration.Created != was.Created || !r.Facts.Registration.At.Equal(was.At) {
		t.Errorf("what was known is gone, or looks new: %+v", r.Facts.Registration)
	}
	if got := r.Next.Sub(now); got != firstPause {
		t.Errorf("tried again after %s", got)
	}
	b.names(e, "evil1.com", "evil2.com", "evil3.com", "evil4.com")
	if n := b.total.Load(); n > 5 {
		t.Errorf("a registry that fails was asked %d times", n)
	}
	if r := b.rec("evil4.com"); r.Facts.Registration != nil || !strings.Contains(r.Faults[PartRegistration].Err, "let alone") || r.Facts.DNS == nil {
		t.Errorf("%+v", r)
	}
	for _, r := range (Record{Facts: Facts{}}).Facts.Judge(About{Now: now}) {
		t.Errorf("what is not known says something: %+v", r)
	}
	// Nobody listens there any more: a fault, not an absence.
	b.rdap.Close()
	b.names(b.enricher(), "evil5.com")
	if r := b.rec("evil5.com"); r.Facts.Registration != nil || r.Faults[PartRegistration].Err == "" {
		t.Errorf("%+v", r)
	}
}

// What a marking forbids is not asked, by hand or not.
func TestMarkingsAreHeeded(t *testing.T) {
	b := newBed(t, domain("amber.com"), domain("red.com"), domain("green.com"))
	b.marks[impound.MustName("amber.com")] = impound.Marking{PAP: impound.PAPAmber}
	b.marks[impound.MustName("red.com")] = impound.Marking{PAP: impound.PAPRed}
	r := b.names(b.enricher(), "amber.com", "red.com", "green.com")
	if d := r["amber.com"]; d.Record.Level != LevelRegistry || d.Record.Facts.Web != nil || d.Record.Facts.DNS.Resolved || d.Record.Facts.Registration == nil {
		t.Errorf("amber: %+v", d)
	}
	if d := r["red.com"]; d.Left == "" || b.total.Load() != 2 {
		t.Errorf("red: %+v, %d questions", d, b.total.Load())
	}
	if _, ok, _ := Get(t.Context(), b.db, impound.MustName("red.com")); ok {
		t.Error("red: something was kept of it")
	}
	if d := r["green.com"]; d.Record.Level != LevelWeb || d.Record.Facts.Web == nil {
		t.Errorf("green: %+v", d)
	}
	slices.Sort(b.touch)
	if got := strings.Join(b.touch, ", "); got != "registry amber.com, web green.com" {
		t.Errorf("noted: %s", got)
	}
}

// What can't be noted before is not done.
func TestNothingIsAskedThatCantBeNoted(t *testing.T) {
	b := newBed(t, domain("evil.com"))
	b.cfg.Touch = func(context.Context, Level, []impound.Name) error { return errors.New("disk full") }
	var begun atomic.Int64
	b.cfg.Keep = func(context.Context, impound.Name) (bool, error) { begun.Add(1); return true, nil }
	names := []impound.Name{impound.MustName("evil.com")}
	for i := range 100 {
		names = append(names, impound.MustName(fmt.Sprintf("evil%d.com", i)))
	}
	err := b.enricher().Names(t.Context(), names, nil)
	if err == nil || b.total.Load() != 0 || begun.Load() != 0 {
		t.Errorf("%v, %d looks begun, %d questions", err, begun.Load(), b.total.Load())
	}
}

// A candidate that points into our own network gets us nowhere, and that is kept
// as a failure.
func TestNoReachIntoOurOwnNetwork(t *testing.T) {
	hit := atomic.Int64{}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			hit.Add(1)
			c.Close()
		}
	}()
	d := domain("inside.com")
	d.A = netip.MustParseAddr("127.0.0.1")
	p := domain("private.com")
	p.A = netip.MustParseAddr("10.0.0.1")
	b := newBed(t, d, p)
	r := b.names(b.enricher(), "inside.com", "private.com")
	for n, d := range r {
		if f := d.Record.Faults[PartWeb]; !strings.Contains(f.Err, "private") || d.Record.Facts.Web != nil {
			t.Errorf("%s: %+v", n, d.Record)
		}
	}
	if hit.Load() != 0 {
		t.Error("our own machine was asked")
	}
}

// By itself it takes the highest that are due, once, and again when they are old.
func TestPass(t *testing.T) {
	var ds []testregistry.Domain
	b0 := []string{}
	for i := range 6 {
		ds = append(ds, domain(fmt.Sprintf("cand%d.com", i)))
		b0 = append(b0, fmt.Sprintf("cand%d.com", i))
	}
	b := newBed(t, ds...)
	for i, n := range b0 {
		b.cands = append(b.cands, impound.Candidate{Name: impound.MustName(n), Score: 0.9 - float64(i)/10})
	}
	now := time.Now().UTC()
	b.cfg.Now, b.cfg.Level, b.cfg.Top = func() time.Time { return now }, LevelRegistry, 4
	ranked := map[string]int{}
	b.cfg.Rank = func(_ context.Context, r Record) (func(store.Tx) error, error) {
		return func(store.Tx) error {
			b.mu.Lock()
			defer b.mu.Unlock()
			ranked[r.Name.String()]++
			return nil
		}, nil
	}
	e := b.enricher()
	pass := func() int {
		n, err := e.Pass(t.Context(), nil)
		must(t, err)
		return n
	}
	if n := pass(); n != 4 || pass() != 0 {
		t.Errorf("first %d", n)
	}
	now = now.Add(8 * 24 * time.Hour)
	if n := pass(); n != 4 || len(ranked) != 4 || ranked["cand0.com"] != 2 {
		t.Errorf("when it is old: %d, %v", n, ranked)
	}
}

// Two processes on one store don't look at the same name at once.
func TestTwoAtOnce(t *testing.T) {
	var ds []testregistry.Domain
	b := newBed(t, func() []testregistry.Domain {
		for i := range 12 {
			ds = append(ds, domain(fmt.Sprintf("two%d.com", i)))
		}
		return ds
	}()...)
	for _, d := range ds {
		b.cands = append(b.cands, impound.Candidate{Name: d.Name, Score: 0.5})
	}
	b.cfg.Level = LevelRegistry
	var wg sync.WaitGroup
	for range 3 {
		e := b.enricher()
		wg.Go(func() {
			if _, err := e.Pass(context.Background(), nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if n := b.total.Load(); n != 12 {
		t.Errorf("12 names took %d questions", n)
	}
}

// Killed at any moment and begun again, every name is looked at, only those under
// way at a kill a second time, and no claim stays behind.
func TestKilled(t *testing.T) {
	if os.Getenv("ENRICH_DIR") != "" {
		return
	}
	const names = 40
	var ds []testregistry.Domain
	for i := range names {
		ds = append(ds, domain(fmt.Sprintf("killed%02d.com", i)))
	}
	b := newBed(t, ds...)
	kills := 0
	for next := int64(6); ; next += 7 {
		if b.hold.Store(next); kills == 5 {
			b.hold.Store(0) // to the end
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilledChild$")
		cmd.Env = append(os.Environ(), "ENRICH_DIR="+b.dir, "ENRICH_RDAP="+b.rdap.URL+"/", "ENRICH_DNS="+b.reg.Addrs().DNS.String(), fmt.Sprintf("ENRICH_NAMES=%d", names))
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		must(t, cmd.Start())
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		done := false
		deadline := time.After(2 * time.Minute)
	wait:
		for {
			select {
			case err := <-ended:
				if err != nil {
					t.Fatalf("the child: %v\n%s", err, out.String())
				}
				done = true
				break wait
			case <-deadline:
				_ = cmd.Process.Kill()
				t.Fatalf("the child hangs\n%s", out.String())
			case <-time.After(time.Millisecond):
				if b.total.Load() > next && kills < 5 {
					_ = cmd.Process.Kill()
					<-ended
					kills++
					break wait
				}
			}
		}
		if done {
			break
		}
	}
	if kills != 5 {
		t.Errorf("%d kills", kills)
	}
	recs, err := All(t.Context(), b.db)
	must(t, err)
	if len(recs) != names {
		t.Errorf("%d of %d names were looked at", len(recs), names)
	}
	again := int64(0)
	for n, r := range recs {
		if !r.Began.IsZero() || r.Facts.Registration == nil || r.Facts.DNS == nil || r.Deaths != 0 {
			t.Errorf("%s: %+v", n, r)
		}
		c, _ := b.asked.Load(n.String())
		again += c.(*atomic.Int64).Load() - 1
	}
	if again > int64(2*kills) {
		t.Errorf("%d looks were made again after %d kills of 2 at a time", again, kills)
	}
	t.Logf("%d kills, %d looks made again", kills, again)
}

// TestKilledChild is the process that is killed.
func TestKilledChild(t *testing.T) {
	dir := os.Getenv("ENRICH_DIR")
	if dir == "" {
		t.Skip("it is started by TestKilled")
	}
	db, err := sqlite.Open(t.Context(), filepath.Join(dir, "impound.db"), sqlite.Options{})
	must(t, err)
	defer db.Close()
	o, err := observe.New(observe.Config{Parents: map[string][]string{"com": {os.Getenv("ENRICH_DNS")}}, RDAP: map[string]string{"com": os.Getenv("ENRICH_RDAP")}, Timeout: 20 * time.Second})
	must(t, err)
	var n int
	fmt.Sscan(os.Getenv("ENRICH_NAMES"), &n)
	e, err := New(Config{Store: db, Observe: o, Level: LevelRegistry, RegistryEvery: 5 * time.Millisecond, Parallel: 2, Stale: 300 * time.Millisecond,
		Candidates: func(context.Context) (out []impound.Candidate, err error) {
			for i := range n {
				out = append(out, impound.Candidate{Name: impound.MustName(fmt.Sprintf("killed%02d.com", i)), Score: 0.5})
			}
			return out, nil
		}})
	must(t, err)
	for {
		_, err := e.Pass(t.Context(), nil)
		must(t, err)
		recs, err := All(t.Context(), db)
		must(t, err)
		open := n - len(recs)
		for _, r := range recs {
			if !r.Began.IsZero() {
				open++
			}
		}
		if open == 0 {
			return
		}
		time.Sleep(20 * time.Millisecond) // until the dead process's claims are stale
	}
}

// A name whose look ends the process is not taken up for ever.
func TestPoison(t *testing.T) {
	b := newBed(t, domain("poison.com"))
	n := impound.MustName("poison.com")
	b.cands = []impound.Candidate{{Name: n, Score: 1}}
	now := time.Now().UTC()
	b.cfg.Now, b.cfg.Level = func() time.Time { return now }, LevelRegistry
	e := b.enricher()
	for i := range maxDeaths + 2 {
		if _, left, err := e.claim(t.Context(), n, false); err != nil || (left != "") != (i >= maxDeaths) {
			t.Fatalf("claim %d: %q %v", i, left, err)
		}
		now = now.Add(time.Hour)
	}
	if got, err := e.Pass(t.Context(), nil); err != nil || got != 0 {
		t.Errorf("taken up again: %d %v", got, err)
	}
	b.names(e, "poison.com") // a person may
	if r := b.rec("poison.com"); r.Deaths != 0 || r.Facts.Registration == nil {
		t.Errorf("%+v", r)
	}
}

func TestTraits(t *testing.T) {
	b := newBed(t, domain("outlook-verify.com"))
	b.cfg.Network = func(a netip.Addr) (uint32, string) { return 64500, "Practice Hosting" }
	b.names(b.enricher(), "outlook-verify.com")
	var got []string
	for _, x := range b.rec("outlook-verify.com").Facts.Traits(impound.MustName("outlook-verify.com")) {
		if x.Kind == trait.Page {
			x.Value, x.Show = "HASH", ""
		}
		got = append(got, string(x.Kind)+" "+x.Value)
	}
	want := []string{"address 127.53.0.66", "page HASH", "ns ns1.bulk-host.example", "ns ns2.bulk-host.example", "ns-set ns1.bulk-host.example ns2.bulk-host.example",
		"registered together is checked below", "ns-zone bulk-host.example", "mx-zone own", "registrar 9995", "network 64500", "term 1", "hour " + fmt.Sprint(made.Hour()/4), "server nginx/1.18.0 (Ubuntu)", "gating gated"}
	want[5] = "made " + made.Format("2006-01-02T15:04") + "|9995|bulk-host.example"
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}
