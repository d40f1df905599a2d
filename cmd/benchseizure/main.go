// Command benchseizure seizes thousands of names at twenty practice registries
// that fail on purpose, at one instant, and prints what it took: skew at T0, what
// was verified, what was done twice, memory, the time of planning. With BENCH_OUT
// each measure is a JSON line too.
//
// The registries run in a process of their own, so that memory is the engine's.
// What must not live here: a way to act that the product does not have; it is the
// engine, its EPP connectors and its observers, and nothing else.
package main

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/benchout"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/epp"
	"github.com/impound/impound/internal/store/sqlite"
	"github.com/impound/impound/internal/testregistry"
)

const rounds = 5 // of few names each, for the skew; their names come on top

func main() {
	registries := flag.Int("registries", 20, "practice registries")
	names := flag.Int("names", 10_000, "names in all")
	calm := flag.Bool("calm", false, "registries that do not fail")
	profile := flag.String("profile", "", "folder for CPU profiles of planning and applying the large round, by the engine and by the registries")
	planOnly := flag.Bool("plan-only", false, "plan the large round, and nothing else")
	dir := flag.String("dir", "", "folder to work in (default a new one, deleted at the end)")
	serve := flag.String("serve", "", "internal: be the registries in this folder")
	flag.Parse()
	var err error
	if *serve != "" {
		err = registriesMain(*serve, *registries, *names, *calm)
	} else {
		err = benchMain(*dir, *profile, *registries, *names, *calm, *planOnly)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchseizure:", err)
		os.Exit(1)
	}
}

// at is where one registry listens.
type at struct {
	TLD, EPP, DNS, Resolver, RDAP, CA, Cert, Key string
	Routes                                       map[string]string
}

// did is what one registry did for the engine's account.
type did struct {
	Names, Twice int
	First        map[string]time.Time // by round: when the first name's change took effect
}

func tld(i int) string { return fmt.Sprintf("reg%02d", i) }

// nameOf is the k-th name of a round at a registry; round "x" is the large one.
func nameOf(round string, k, registry int) impound.Name {
	return impound.MustName(fmt.Sprintf("mail-%s-%d-verify.%s", round, k, tld(registry)))
}

func roundNames() []string {
	out := []string{"x"}
	for i := range rounds {
		out = append(out, "r"+strconv.Itoa(i))
	}
	return out
}

func perRegistry(round string, names, registries int) int {
	if round == "x" {
		return names / registries
	}
	return 3
}

func registriesMain(dir string, n, names int, calm bool) error {
	// Their memory is nobody's bar, and what they take of the processors is taken
	// from the engine, as if they stood on its machine.
	debug.SetGCPercent(400)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	pc, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	hosts := []string{"ns1.sinkhole.example.", "ns2.sinkhole.example."}
	sink := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg).SetReply(q)
		m.Authoritative = true
		if q.Question[0].Qtype == dns.TypeNS {
			for _, h := range hosts {
				m.Answer = append(m.Answer, &dns.NS{Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeNS, Class: 1, Ttl: 60}, Ns: h})
			}
		}
		_ = w.WriteMsg(m)
	})}
	go sink.ActivateAndServe()
	world := netip.MustParseAddr("127.53.0.99")
	var all []*testregistry.Registry
	var where []at
	for i := range n {
		var f testregistry.Faults
		if !calm {
			f = testregistry.Hostile(uint64(i + 1))
		}
		r, err := testregistry.Start(ctx, testregistry.Config{
			Dir: filepath.Join(dir, tld(i)), TLDs: []string{tld(i)}, Faults: f, RequireClientCert: true,
			Clients:    map[string]testregistry.Client{"registry": {Password: "registry-pw", RegistryRole: true}, "cheap": {Password: "cheap-pw"}},
			Registrars: map[string]testregistry.Registrar{"cheap": {Name: "Cheap Names", IANAID: 9999, AbuseEmail: "abuse@cheap.example"}},
			Hosts:      map[impound.Name][]netip.Addr{impound.MustName(hosts[0]): {world}, impound.MustName(hosts[1]): {world}},
			Routes:     map[netip.AddrPort]netip.AddrPort{netip.AddrPortFrom(world, 53): netip.MustParseAddrPort(pc.LocalAddr().String())},
		})
		if err != nil {
			return err
		}
		defer r.Close()
		var ds []testregistry.Domain
		actor := []impound.Name{impound.MustName("ns1.actor-dns." + tld(i)), impound.MustName("ns2.actor-dns." + tld(i))}
		for _, round := range roundNames() {
			for k := range perRegistry(round, names, n) {
				ds = append(ds, testregistry.Domain{Name: nameOf(round, k, i), Registrar: "cheap", NS: actor, Signed: k%2 == 0, Statuses: []string{"clientTransferProhibited"}, Expiry: time.Now().AddDate(3, 0, 0)})
			}
		}
		if err := r.Register(ds...); err != nil {
			return err
		}
		a := at{TLD: tld(i), EPP: r.Addrs().EPP.String(), DNS: r.Addrs().DNS.String(), Resolver: r.Addrs().Resolver.String(), RDAP: "http://" + r.Addrs().RDAP.String(),
			CA: r.Files().CA, Cert: r.Files().ClientCert, Key: r.Files().ClientKey, Routes: map[string]string{}}
		for from, to := range r.Routes() {
			a.Routes[from.String()] = to.String()
		}
		all, where = append(all, r), append(where, a)
	}
	out := json.NewEncoder(os.Stdout)
	if err := out.Encode(where); err != nil {
		return err
	}
	stop := func() {}
	defer func() { stop() }()
	for in := bufio.NewScanner(os.Stdin); in.Scan(); { // an empty line asks what was done
		if file := in.Text(); file != "" {
			stop()
			stop = profiled(file)
			continue
		}
		var res []did
		for i, r := range all {
			d := did{First: map[string]time.Time{}}
			times := map[string]int{}
			for _, op := range r.History() {
				if op.Client != "registry" || op.Code != 1000 || op.Command != "domain:update" && op.Command != "host:create" {
					continue
				}
				times[op.Command+" "+op.Name]++
				if op.Command == "domain:update" {
					round := strings.Split(op.Name, "-")[1]
					if at, ok := d.First[round]; !ok || op.Time.Before(at) {
						d.First[round] = op.Time
					}
				}
			}
			for what, n := range times {
				if strings.HasPrefix(what, "domain:update") {
					d.Names++
				}
				if n > 1 {
					d.Twice++
					fmt.Fprintf(os.Stderr, "registry %d: %s took effect %d times\n", i, what, n)
				}
			}
			res = append(res, d)
		}
		if err := out.Encode(res); err != nil {
			return err
		}
	}
	return nil
}

// views asks the registry below which a name stands.
type views map[string]*observe.Observer

func (v views) Parent(ctx context.Context, n impound.Name) observe.View {
	return v[n.TLD()].Parent(ctx, n)
}
func (v views) Resolve(ctx context.Context, n impound.Name) observe.View {
	return v[n.TLD()].Resolve(ctx, n)
}
func (v views) Servers(ctx context.Context, p observe.View) observe.View {
	return v[p.Name.TLD()].Servers(ctx, p)
}
func (v views) RDAP(ctx context.Context, n impound.Name) observe.RDAPView {
	return v[n.TLD()].RDAP(ctx, n)
}

type keyring map[string]impound.Person

func (k keyring) Person(id string) (impound.Person, bool) { p, ok := k[id]; return p, ok }

func benchMain(dir, profile string, n, names int, calm, planOnly bool) error {
	// As the programs have one, though theirs is larger: what is garbage is not to
	// count because a busy machine collects it late.
	debug.SetMemoryLimit(240 << 20)
	if dir == "" {
		d, err := os.MkdirTemp("", "benchseizure")
		if err != nil {
			return err
		}
		defer os.RemoveAll(d)
		dir = d
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	child := exec.Command(self, "-serve", filepath.Join(dir, "registries"), "-registries", strconv.Itoa(n), "-names", strconv.Itoa(names), "-calm="+strconv.FormatBool(calm))
	child.Stderr = os.Stderr
	ask, err := child.StdinPipe()
	if err != nil {
		return err
	}
	told, err := child.StdoutPipe()
	if err != nil {
		return err
	}
	if err := child.Start(); err != nil {
		return err
	}
	defer func() { ask.Close(); _ = child.Wait() }()
	from := json.NewDecoder(told)
	var where []at
	if err := from.Decode(&where); err != nil {
		return fmt.Errorf("the registries did not start: %w", err)
	}
	b, err := newBench(dir, where)
	if err != nil {
		return err
	}
	defer b.close()
	b.ask, b.planOnly = ask, planOnly
	missed := 0
	row := func(measure string, value float64, unit string, bar float64, ok bool) {
		word := "ok"
		if !ok {
			word = "MISSED"
			missed++
		}
		fmt.Printf("%-64s %12.4g %-7s bar %-8g %s\n", measure, value, unit, bar, word)
		benchout.Report(measure, value, unit, bar, ok)
	}

	var skews []time.Duration
	t0 := map[string]time.Time{}
	var planning, applying time.Duration
	verified, wanted := 0, 0
	all := append(roundNames()[1:], "x")
	if planOnly {
		all = []string{"x"}
	}
	for _, round := range all {
		var list []impound.Name
		for i := range n {
			for k := range perRegistry(round, names, n) {
				list = append(list, nameOf(round, k, i))
			}
		}
		wanted += len(list)
		if round == "x" {
			b.profile = profile
		}
		r, err := b.seize(round, list)
		if err != nil && impound.KindOf(err) != impound.KindPartial {
			return fmt.Errorf("round %s: %w", round, err)
		}
		t0[round] = r.at
		if planOnly {
			fmt.Printf("%d names: planned in %s (CPU %s), peak %.0f MB\n", len(list), r.planning.Round(time.Millisecond), r.planCPU.Round(time.Millisecond), peakMB())
			return nil
		}
		if round == "x" {
			planning, applying = r.planning, r.applying
		}
		verified += r.verified
		fmt.Printf("round %-3s %6d names: planned in %s (CPU %s), applied in %s (CPU %s), %d verified in all views, T0 skew as sent %s, peak %.0f MB\n", round, len(list), r.planning.Round(time.Millisecond), r.planCPU.Round(time.Millisecond), r.applying.Round(time.Millisecond), r.applyCPU.Round(time.Millisecond), r.verified, r.skew, peakMB())
	}
	if _, err := io.WriteString(ask, "\n"); err != nil {
		return err
	}
	var done []did
	if err := from.Decode(&done); err != nil {
		return err
	}
	seized, twice := 0, 0
	for _, d := range done {
		seized, twice = seized+d.Names, twice+d.Twice
		for round, at := range d.First {
			skews = append(skews, at.Sub(t0[round]))
		}
	}
	slices.Sort(skews)
	p99 := skews[(len(skews)*99+99)/100-1]
	fmt.Println()
	row(fmt.Sprintf("T0 skew p99, first change at each of %d registries, %d starts", n, len(skews)/n), p99.Seconds()*1000, "ms", 250, p99 <= 250*time.Millisecond)
	row("names verified as ordered in all views", float64(verified), "of "+strconv.Itoa(wanted), float64(wanted), verified == wanted)
	row("names seized, as the registries say", float64(seized), "of "+strconv.Itoa(wanted), float64(wanted), seized == wanted)
	row("acts done twice", float64(twice), "", 0, twice == 0)
	row(fmt.Sprintf("planning %d names", names), planning.Seconds(), "s", 10, planning <= 10*time.Second)
	row("memory of the engine, peak resident", peakMB(), "MB", 300, peakMB() <= 300)
	fmt.Printf("applying and verifying %d names took %s\n", names, applying.Round(time.Millisecond))
	if missed > 0 {
		fmt.Printf("%d bars missed\n", missed)
	}
	return nil
}

// bench is one engine over all registries.
type bench struct {
	e     *seizure.Engine
	keys  keyring
	priv  map[string]ed25519.PrivateKey
	order map[string]*impound.Mandate
	undo  []func()

	profile  string    // folder for profiles, "" for none
	ask      io.Writer // to the registries
	planOnly bool
}

// profiled begins a CPU profile of the engine, and one of the registries; what it
// gives ends the engine's, and tells of its memory.
func (b *bench) profiled(what string) func() {
	if b.profile == "" {
		return func() {}
	}
	fmt.Fprintln(b.ask, filepath.Join(b.profile, what+"-registries.pprof"))
	end := profiled(filepath.Join(b.profile, what+".pprof"))
	return func() {
		end()
		if f, err := os.Create(filepath.Join(b.profile, what+"-memory.pprof")); err == nil {
			_ = pprof.Lookup("allocs").WriteTo(f, 0)
			f.Close()
		}
	}
}

// profiled begins a CPU profile; what it gives ends it.
func profiled(file string) func() {
	f, err := os.Create(file)
	if err == nil {
		err = pprof.StartCPUProfile(f)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchseizure: no profile:", err)
	}
	return func() {
		pprof.StopCPUProfile()
		f.Close()
	}
}

func (b *bench) close() {
	for _, f := range slices.Backward(b.undo) {
		f()
	}
}

func newBench(dir string, where []at) (_ *bench, err error) {
	b := &bench{keys: keyring{}, priv: map[string]ed25519.PrivateKey{}, order: map[string]*impound.Mandate{}}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	for _, id := range []string{"anna", "bert"} {
		h := sha256.Sum256([]byte("benchseizure " + id))
		b.priv[id] = ed25519.NewKeyFromSeed(h[:])
		b.keys[id] = impound.Person{ID: id, Roles: []impound.Role{impound.RoleApprover}, Key: impound.NewPublicKey(b.priv[id].Public().(ed25519.PublicKey))}
	}
	st, err := sqlite.Open(context.Background(), filepath.Join(dir, "impound.db"), sqlite.Options{})
	if err != nil {
		return nil, err
	}
	b.undo = append(b.undo, func() { st.Close() })
	log, err := evidence.Open(filepath.Join(dir, "evidence"), evidence.Options{})
	if err != nil {
		return nil, err
	}
	b.undo = append(b.undo, func() { log.Close() })
	conns, see := map[string]seizure.Connector{}, views{}
	for _, w := range where {
		ca, err := os.ReadFile(w.CA)
		if err != nil {
			return nil, err
		}
		cert, err := tls.LoadX509KeyPair(w.Cert, w.Key)
		if err != nil {
			return nil, err
		}
		pool := x509.NewCertPool()
		pool.AppendCertsFromPEM(ca)
		c, err := seizure.NewEPP(w.TLD, "registry", epp.Config{Addr: w.EPP, ServerName: "localhost", TLS: &tls.Config{RootCAs: pool, Certificates: []tls.Certificate{cert}},
			ClientID: "registry", Password: []byte("registry-pw"), Timeout: 30 * time.Second})
		if err != nil {
			return nil, err
		}
		conns[w.TLD] = c
		b.undo = append(b.undo, func() { c.Close() })
		if see[w.TLD], err = observe.New(observe.Config{Parents: map[string][]string{w.TLD: {w.DNS}}, Resolvers: []string{w.Resolver}, RDAP: map[string]string{w.TLD: w.RDAP}, Routes: w.Routes, Timeout: 5 * time.Second}); err != nil {
			return nil, err
		}
	}
	b.e, err = seizure.New(seizure.Config{
		Store: st, Evidence: log, Keys: b.keys, Observe: see, By: "op", Connectors: conns,
		Route:   func(_ context.Context, n impound.Name) (string, error) { return n.TLD(), nil },
		Mandate: func(_ context.Context, id string) (*impound.Mandate, error) { return b.order[id], nil },
		Gates: func(context.Context, *impound.Mandate, impound.Name) ([]impound.GateVerdict, error) {
			return []impound.GateVerdict{{Gate: "G1", Outcome: impound.GatePass}}, nil
		},
		Tries: 12, Backoff: 50 * time.Millisecond, Pending: time.Minute, Settle: 30 * time.Second, Parallel: 40,
	})
	return b, err
}

type round struct {
	at                 time.Time
	planning, applying time.Duration
	planCPU, applyCPU  time.Duration // of this process alone
	verified           int
	skew               string
}

func (b *bench) seize(id string, names []impound.Name) (round, error) {
	ctx := context.Background()
	now := time.Now().UTC().Truncate(time.Second)
	o := &impound.Order{
		Format: impound.OrderFormat, ID: "BENCH-" + id, Case: "BENCH", Kind: impound.KindWarrant,
		Authority: impound.Authority{Court: "Practice Court", Docket: "1:26-mj-1", CallBack: "clerk"},
		Issued:    now.Add(-time.Hour), From: now.Add(-time.Hour), Until: now.AddDate(1, 0, 0), AtEnd: "restore",
		Parties:   impound.Parties{Requesting: "Practice", Technical: "desk@practice.example"},
		Recipient: impound.Recipient{Name: "Practice Registries", Role: "registry"},
		Acts: impound.Acts{Nameservers: []impound.Name{impound.MustName("ns1.sinkhole.example"), impound.MustName("ns2.sinkhole.example")}, RemoveDS: true, Sinkhole: true,
			Lock: []string{"serverDeleteProhibited", "serverTransferProhibited", "serverUpdateProhibited"}},
		Sinkhole:   impound.SinkTerms{Capture: impound.CaptureContact, RetentionDays: 90},
		Appendices: []impound.Appendix{{ID: "A", Count: len(names)}},
	}
	for _, n := range names {
		o.Appendices[0].Names = append(o.Appendices[0].Names, impound.OrderName{Name: n})
	}
	for _, who := range []string{"anna", "bert"} {
		o.Signatures = append(o.Signatures, impound.Sign(b.priv[who], impound.SignOrder, o.Hash(), who, now))
	}
	m, err := o.Authorize(b.keys, nil)
	if err != nil {
		return round{}, err
	}
	b.order[o.ID] = m
	var r round
	end := b.profiled("plan")
	begin, cpu := time.Now(), cpuTime()
	p, err := b.e.Plan(ctx, m)
	if err != nil {
		return r, err
	}
	if b.profile != "" {
		fmt.Printf("peak after planning %.0f MB\n", peakMB())
	}
	r.planning, r.planCPU = time.Since(begin), cpuTime()-cpu
	end()
	if change, already, blocked := p.Count(); change != len(names) {
		return r, fmt.Errorf("the plan changes %d of %d names; %d are as ordered, %d blocked", change, len(names), already, blocked)
	}
	if b.planOnly {
		return r, nil
	}
	h, err := p.Hash()
	if err != nil {
		return r, err
	}
	for _, who := range []string{"anna", "bert"} {
		if _, err := b.e.Approve(ctx, p.ID, impound.Sign(b.priv[who], impound.SignPlan, h, who, time.Now())); err != nil {
			return r, err
		}
	}
	defer b.profiled("apply")()
	begin, cpu = time.Now(), cpuTime()
	// Time for the proofs, the sessions and the first looks, as people give it.
	r.at = begin.Add(2*time.Second + time.Duration(len(names))*time.Millisecond)
	res, err := b.e.ApplyTogether(ctx, p.ID, seizure.Together{At: r.at})
	for try := 0; try < 5 && impound.KindOf(err) == impound.KindPartial; try++ { // as a person would
		again, aerr := b.e.Apply(ctx, p.ID)
		again.Barrier = res.Barrier
		res, err = again, aerr
	}
	r.applying, r.applyCPU = time.Since(begin), cpuTime()-cpu
	if res.Barrier != nil {
		r.skew = res.Barrier.Skew.String()
	}
	for _, x := range res.Names {
		if x.Status != nil && x.Status.Done {
			r.verified++
		}
	}
	if err != nil && r.verified < len(names) {
		err = errors.Join(err, fmt.Errorf("%d of %d names are verified", r.verified, len(names)))
	}
	return r, err
}

// cpuTime is what this process has used of the processors so far.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &u) != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMB is the most memory that was resident, in 10^6 octets.
func peakMB() float64 {
	b, _ := os.ReadFile("/proc/self/status")
	for l := range strings.Lines(string(b)) {
		if v, ok := strings.CutPrefix(l, "VmHWM:"); ok {
			kb, _ := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(v), " kB"), 64)
			return kb * 1024 / 1e6
		}
	}
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return float64(m.Sys) / 1e6
}
