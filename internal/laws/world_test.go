package laws

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"database/sql"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"
	_ "modernc.org/sqlite"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/cli"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/testregistry"
)

// The names of a world. Those of the press are in the case; mooo.com a gate
// keeps out (84,000 strangers' names lay below it in February 2011); the last
// one is registered and in no case.
var (
	live     = impound.MustName("outlook-verify.net")    // of the order in force
	lapsed   = impound.MustName("yahoo-verify.net")      // of an order that has ended
	unlisted = impound.MustName("verification-live.com") // in the case, in no order
	spare    = impound.MustName("myaccount-services.net")
	planted  = impound.MustName("mooo.com")
	foreign  = impound.MustName("bystander-shop.com")
	every    = []impound.Name{live, lapsed, unlisted, spare, planted, foreign}
)

var sinkNS = []impound.Name{impound.MustName("ns1.sinkhole.example"), impound.MustName("ns2.sinkhole-two.example")}

const (
	caseID      = "C-1"
	liveOrder   = "O-LIVE"
	lapsedOrder = "O-LAPSED"
	password    = "practice-epp-1"
)

// clock is a clock that tests turn. The zero clock shows the real time.
type clock struct{ off atomic.Int64 }

func (c *clock) now() time.Time        { return time.Now().Add(time.Duration(c.off.Load())) }
func (c *clock) set(off time.Duration) { c.off.Store(int64(off)) }
func (c *clock) turn(by time.Duration) { c.off.Add(int64(by)) }
func (c *clock) setTo(t time.Time)     { c.set(time.Until(t)) }

// world is a state folder with people and a case, beside a practice registry
// that holds every name as the actor registered it.
type world struct {
	state string
	reg   *testregistry.Registry
	rc    testregistry.Config // of reg
	cfg   app.Config
	clock *clock
	log   *slog.Logger // of systems that are opened in this process; nil: nobody's
}

func newWorld(t testing.TB, change ...func(*testregistry.Config)) *world {
	t.Helper()
	return newWorldAt(t, 0, change...)
}

// newWorldAt is newWorld with a clock that is off.
func newWorldAt(t testing.TB, off time.Duration, change ...func(*testregistry.Config)) *world {
	t.Helper()
	dir := t.TempDir()
	w := &world{state: filepath.Join(dir, "state"), clock: new(clock)}
	w.clock.set(off)
	var err error
	rc := testregistry.Config{
		Dir: filepath.Join(dir, "registry"), TLDs: []string{"com", "net"},
		Clients:           map[string]testregistry.Client{"IMPOUND": {Password: password, RegistryRole: true}, "CHEAP-NAMES": {Password: "somebody-else-1"}},
		Registrars:        map[string]testregistry.Registrar{"CHEAP-NAMES": {Name: "Practice Cheap Names Ltd", IANAID: 9995}},
		RequireClientCert: true, Now: w.clock.now,
		Hosts: map[impound.Name][]netip.Addr{sinkNS[0]: {netip.MustParseAddr("127.53.0.53")}, sinkNS[1]: {netip.MustParseAddr("127.53.0.53")}},
	}
	for _, f := range change {
		f(&rc)
	}
	w.rc = rc
	w.reg, err = testregistry.Start(t.Context(), rc)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.reg.Close() })
	created := time.Now().UTC().AddDate(0, 0, -20).Truncate(time.Second)
	var ds []testregistry.Domain
	for _, n := range every {
		ds = append(ds, testregistry.Domain{
			Name: n, Registrar: "CHEAP-NAMES", Created: created, Expiry: created.AddDate(1, 0, 0), Signed: n == live,
			NS: []impound.Name{impound.MustName("ns1.bulk-host.example"), impound.MustName("ns2.bulk-host.example")},
		})
	}
	if err := w.reg.Register(ds...); err != nil {
		t.Fatal(err)
	}
	pw := filepath.Join(dir, "password")
	if err := os.WriteFile(pw, []byte(password+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	a, f := w.reg.Addrs(), w.reg.Files()
	w.cfg = app.Config{
		Web: "127.0.0.1:0", RenewalBy: "the unit",
		Sinkhole: app.SinkholeConfig{
			Sensor: "laws-1", Listen: []string{"dns://127.0.0.1:0", "http://127.0.0.1:0", "https://127.0.0.1:0", "smtp://127.0.0.1:0", "tcp://127.0.0.1:0", "udp://127.0.0.1:0", "dns+tls://127.0.0.1:0"},
			Answer: []netip.Addr{netip.MustParseAddr("127.53.0.53")}, NS: sinkNS, Hostmaster: impound.MustName("hostmaster.unit.example"), Contact: "The unit, +1 555 0100",
		},
		Registries: []app.RegistryConfig{{
			Provider: "practice", Role: "registry", TLDs: []string{"com", "net"}, EPP: a.EPP.String(), ServerName: "localhost",
			CA: f.CA, Cert: f.ClientCert, Key: f.ClientKey, ClientID: "IMPOUND", PasswordFile: pw,
			RDAP: "http://" + a.RDAP.String() + "/", Parents: []string{a.DNS.String()},
		}},
		Resolvers: []string{a.Resolver.String()},
		Report:    app.ReportConfig{Organisation: "The unit", From: "reports@unit.example", Phone: "+1 555 0100", Domain: "unit.example"},
		Routes:    map[string]string{},
	}
	for from, to := range w.reg.Routes() {
		w.cfg.Routes[from.String()] = to.String()
	}
	if err := os.MkdirAll(w.state, 0o700); err != nil {
		t.Fatal(err)
	}
	w.writeConfig(t)
	s := w.open(t)
	defer s.Close()
	for _, p := range []impound.Person{
		{ID: "ada", Roles: []impound.Role{impound.RoleAdmin, impound.RoleAnalyst}}, {ID: "carla", Roles: []impound.Role{impound.RoleCounsel}},
		{ID: "ben", Roles: []impound.Role{impound.RoleApprover}}, {ID: "dora", Roles: []impound.Role{impound.RoleApprover}},
		{ID: "olaf", Roles: []impound.Role{impound.RoleOperator}}, {ID: "nora", Roles: []impound.Role{impound.RoleNotifier}},
	} {
		must(t, s.Enrol(t.Context(), p, "", "", "ada", ""))
	}
	_, err = s.Casework.SaveActor(t.Context(), "ada", impound.Actor{ID: "APT35", Names: []string{"APT35"}})
	must(t, err)
	must(t, s.Casework.OpenCase(t.Context(), "ada", impound.Case{ID: caseID, Title: "practice", Actor: "APT35", TLP: impound.TLPAmber}))
	var add []casework.AddName
	for _, n := range []impound.Name{live, lapsed, unlisted, spare, planted} {
		add = append(add, casework.AddName{Name: n, FirstSeen: w.clock.now().UTC(), Reasons: []impound.Reason{{Code: "report", Text: "named in a report"}}})
	}
	_, err = s.Casework.AddNames(t.Context(), "ada", caseID, add)
	must(t, err)
	return w
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) writeConfig(t testing.TB) {
	t.Helper()
	must(t, os.WriteFile(filepath.Join(w.state, app.ConfigFile), w.cfg.YAML(), 0o600))
}

func (w *world) open(t testing.TB) *app.System {
	t.Helper()
	s, err := app.Open(t.Context(), app.Options{State: w.state, Config: w.cfg, Version: "test", Now: w.clock.now, Patience: 2 * time.Second, Log: w.log})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	return s
}

// serve opens the system and starts it.
func (w *world) serve(t testing.TB) *app.System {
	t.Helper()
	s := w.open(t)
	must(t, s.Start(t.Context()))
	return s
}

// copy gives a world on a copy of the state folder, with the same registry.
func (w *world) copy(t testing.TB) *world {
	t.Helper()
	c := *w
	c.state = filepath.Join(t.TempDir(), "state")
	copyDir(t, w.state, c.state)
	return &c
}

func copyDir(t testing.TB, from, to string) {
	t.Helper()
	must(t, filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		dst := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(dst, 0o700)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		i, err := d.Info()
		if err != nil {
			return err
		}
		return os.WriteFile(dst, b, i.Mode().Perm())
	}))
}

// terms is what differs between the orders of a test.
type terms struct {
	id          string
	names       []impound.Name
	from, until time.Time
	capture     impound.CaptureLevel
	deadlines   []impound.Deadline
	rights      *impound.Rights
	release     *impound.ReleaseTerms
	registrant  string
	renew       bool
	instrument  string    // hash of the court's paper
	expires     time.Time // of every name, as the order was drawn up
}

// draft writes an order document that nobody has signed yet.
func (w *world) draft(t testing.TB, s *app.System, o terms) string {
	t.Helper()
	now := w.clock.now().UTC()
	if o.capture == "" {
		o.capture = impound.CaptureContact
	}
	issued := now.Add(-time.Hour)
	if o.from.Before(issued) { // however long the test took until here
		issued = o.from.UTC()
	}
	app := impound.Appendix{ID: "A", Count: len(o.names)}
	for _, n := range o.names {
		app.Names = append(app.Names, impound.OrderName{Name: n, Exhibit: "1", Expires: o.expires})
	}
	doc, err := s.Casework.DraftOrder(t.Context(), caseID, impound.Order{
		ID: o.id, Kind: impound.KindWarrant,
		Authority: impound.Authority{Court: "Practice Court", Docket: "26-mj-00001", CallBack: "clerk, +1 555 0199", Instrument: o.instrument},
		Issued:    issued.Truncate(time.Second), From: o.from.UTC(), Until: o.until.UTC(), AtEnd: "restore",
		Parties:   impound.Parties{Requesting: "The unit", Technical: "desk@unit.example"},
		Recipient: impound.Recipient{Name: "Practice Registry", Role: "registry"},
		Acts: impound.Acts{
			Nameservers: sinkNS, RemoveDS: true, Sinkhole: true, Registrant: o.registrant, Renew: o.renew,
			Lock: []string{"serverDeleteProhibited", "serverTransferProhibited", "serverUpdateProhibited"},
		},
		Deadlines: o.deadlines, Rights: o.rights, Release: o.release,
		Sinkhole:   impound.SinkTerms{Capture: o.capture, RetentionDays: 90},
		Appendices: []impound.Appendix{app},
	})
	must(t, err)
	path := filepath.Join(t.TempDir(), o.id+".yaml")
	must(t, os.WriteFile(path, doc, 0o600))
	return path
}

// sign adds signatures to an order document.
func (w *world) sign(t testing.TB, s *app.System, path string, people ...string) {
	t.Helper()
	for _, id := range people {
		must(t, s.SignOrderFile(w.me(t, s, id), path))
	}
}

func (w *world) me(t testing.TB, s *app.System, id string) app.Identity {
	t.Helper()
	me, err := s.Identify(id, "")
	must(t, err)
	return me
}

// file drafts, signs and files an order.
func (w *world) file(t testing.TB, s *app.System, o terms) string {
	t.Helper()
	path := w.draft(t, s, o)
	w.sign(t, s, path, "ben", "dora")
	data, err := os.ReadFile(path)
	must(t, err)
	_, err = s.Casework.FileOrder(t.Context(), "carla", path, data)
	must(t, err)
	return path
}

// plan makes a plan and has people approve it.
func (w *world) plan(t testing.TB, s *app.System, order string, approvers ...string) string {
	t.Helper()
	p, err := s.Plan(t.Context(), "olaf", order)
	must(t, err)
	for _, id := range approvers {
		_, err := s.Approve(t.Context(), w.me(t, s, id), p.ID)
		must(t, err)
	}
	return p.ID
}

// cli runs one command line on the world's folder in this process.
func (w *world) cli(t testing.TB, args ...string) (code int, out, errs string) {
	t.Helper()
	return w.cliFor(t, 30*time.Second, args...)
}

func (w *world) cliFor(t testing.TB, limit time.Duration, args ...string) (code int, out, errs string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	var o, e bytes.Buffer
	code = cli.Main(ctx, append([]string{"--state", w.state}, args...), cli.Stdio{In: strings.NewReader(""), Out: &o, Err: &e, Getenv: func(string) string { return "" }})
	return code, o.String(), e.String()
}

// refused runs a command that must fail.
func (w *world) refused(t testing.TB, says string, args ...string) {
	t.Helper()
	code, out, errs := w.cli(t, args...)
	if code == cli.ExitOK {
		t.Errorf("impound %s: exit code 0\n%s%s", strings.Join(args, " "), out, errs)
	}
	if !strings.Contains(errs, says) {
		t.Errorf("impound %s says %q, want %q in it", strings.Join(args, " "), errs, says)
	}
}

// acts gives what our account had done at the registry.
func (w *world) acts() []testregistry.Op {
	var out []testregistry.Op
	for _, op := range w.reg.History() {
		if op.Client == "IMPOUND" {
			out = append(out, op)
		}
	}
	return out
}

// registryOf tells every name as the registry holds it.
func (w *world) registryOf(t testing.TB) map[string]string {
	t.Helper()
	out := map[string]string{}
	for _, n := range w.reg.Domains() {
		d, _ := w.reg.Domain(n)
		ns := slices.Clone(d.NS)
		slices.SortFunc(ns, func(a, b impound.Name) int { return strings.Compare(a.String(), b.String()) })
		out[n.String()] = fmt.Sprint(ns, d.DS, d.AllStatuses())
	}
	return out
}

// ask asks the sinkhole for the addresses of n and gives the code of the answer.
func ask(t testing.TB, s *app.System, n impound.Name) int {
	t.Helper()
	rcode, err := askAt(s.Addrs()["dns"][0], n)
	must(t, err)
	return rcode
}

func askAt(addr string, n impound.Name) (int, error) {
	c := dns.Client{Timeout: 3 * time.Second}
	r, _, err := c.Exchange(new(dns.Msg).SetQuestion(n.FQDN(), dns.TypeA), addr)
	if err != nil {
		return 0, err
	}
	return r.Rcode, nil
}

// browser talks HTTP to the sinkhole for any name.
func browser(addr string) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	}}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func visit(t testing.TB, c *http.Client, n impound.Name) int {
	t.Helper()
	code, _ := visitOn(t, c, n)
	return code
}

// visitOn is visit, and says whether a connection that was open served it.
func visitOn(t testing.TB, c *http.Client, n impound.Name) (code int, reused bool) {
	t.Helper()
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = i.Reused }})
	q, err := http.NewRequestWithContext(ctx, "GET", "http://"+n.String()+"/", nil)
	must(t, err)
	p, err := c.Do(q)
	must(t, err)
	defer p.Body.Close()
	_, _ = io.Copy(io.Discard, p.Body)
	return p.StatusCode, reused
}

// answered gives the names for which the sinkhole does anything but refuse.
func answered(t testing.TB, s *app.System) []impound.Name {
	t.Helper()
	c := browser(s.Addrs()["http"][0])
	defer c.CloseIdleConnections()
	var out []impound.Name
	for _, n := range every {
		d, h := ask(t, s, n), visit(t, c, n)
		if d != dns.RcodeRefused || h != http.StatusMisdirectedRequest {
			out = append(out, n)
		}
		if (d == dns.RcodeRefused) != (h == http.StatusMisdirectedRequest) {
			t.Errorf("%s: DNS says %s, HTTP %d", n, dns.RcodeToString[d], h)
		}
	}
	return out
}

// database opens the state's database as somebody with an editor would.
func (w *world) database(t testing.TB) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(w.state, "impound.db"))
	must(t, err)
	return db
}

// eventually waits for what another goroutine brings about.
func eventually(t testing.TB, what string, ok func() bool) {
	t.Helper()
	for range 400 {
		if ok() {
			return
		}
		time.Sleep(25 * time.Millisecond)
	}
	t.Fatalf("waited ten seconds for %s", what)
}

func newKey(t testing.TB) ed25519.PrivateKey {
	t.Helper()
	_, k, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	return k
}

// freeUDP gives an address on loopback that nobody listens on.
func freeUDP(t testing.TB) string { return peertest.Addr(t) }
