package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/orderdoc"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/telemetry"
	"github.com/impound/impound/internal/testregistry"
)

// Options of [Run].
type Options struct {
	State     string
	NamesFile string
	Once      bool // end after the tour
	AnyPorts  bool // take any free ports instead of the usual ones
	Out       io.Writer
	Color     bool
	Log       *slog.Logger
	Version   string
	Bin       string // how the commands that are printed begin
}

// tour is one run.
type tour struct {
	opt Options
	sc  scenario
	sys *app.System
	reg *testregistry.Registry
	n   int
	t0  time.Time
}

// Run walks the whole way, and then serves until ctx ends. On a folder where a
// run was stopped or killed it goes on from there; nothing is done twice.
func Run(ctx context.Context, opt Options) error {
	ctx = impound.WithPrincipal(ctx, impound.Principal{Local: impound.Roles})
	t := &tour{opt: opt, t0: time.Now()}
	if t.opt.Log == nil {
		t.opt.Log = slog.New(slog.DiscardHandler)
	}
	t.say("Impound: the whole way of a name. Everything here is practice; nothing leaves this machine.")
	t.say("state folder: %s (delete it to begin anew)", opt.State)
	problems, err := t.prepare(ctx)
	defer t.close()
	for _, p := range problems {
		t.say("  bad line, left out: %v", p)
	}
	if err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{t.watch, t.open, t.order, t.seize, t.visit, t.tell, t.show} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	var partial error
	if len(problems) > 0 {
		partial = impound.Errorf(impound.KindPartial, "%d lines of the list were left out, see above", len(problems)).At(opt.NamesFile)
	}
	if opt.Once {
		return errors.Join(t.close(), partial)
	}
	t.say("\nServing. Ctrl-C stops it; run the same again to go on.")
	<-ctx.Done()
	t.say("stopping ...")
	return errors.Join(t.close(), partial)
}

func (t *tour) close() error {
	var err error
	if t.sys != nil {
		err = t.sys.Close()
	}
	if t.reg != nil {
		err = errors.Join(err, t.reg.Close())
		t.reg = nil
	}
	return err
}

func (t *tour) say(format string, args ...any) {
	fmt.Fprintf(t.opt.Out, format+"\n", args...)
}

// step begins a step of the tour with what it is about.
func (t *tour) step(title, format string, args ...any) {
	t.n++
	head := fmt.Sprintf("[%d/7] %s", t.n, title)
	if t.opt.Color {
		head = "\x1b[1m" + head + "\x1b[0m"
	}
	t.say("\n%s  %s", head, fmt.Sprintf(format, args...))
}

// hand prints the command that does the same by hand.
func (t *tour) hand(format string, args ...any) {
	line := fmt.Sprintf("%s --state %s %s", t.opt.Bin, t.opt.State, fmt.Sprintf(format, args...))
	t.run(line)
}

// run prints a line that can be pasted.
func (t *tour) run(line string) {
	if t.opt.Color {
		line = "\x1b[2m" + line + "\x1b[0m"
	}
	t.say("    $ %s", line)
}

// some prints at most max of lines.
func (t *tour) some(max int, lines []string) {
	for i, l := range lines {
		if i == max && len(lines) > max+1 {
			t.say("    ... and %d more", len(lines)-max)
			return
		}
		t.say("    %s", l)
	}
}

func (t *tour) prepare(ctx context.Context) (impound.Problems, error) {
	var problems impound.Problems
	var err error
	if err := os.MkdirAll(filepath.Join(t.opt.State, "practice"), 0o700); err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't make the state folder: %w", err).WithCure("choose another with --state")
	}
	if t.sc, problems, err = loadScenario(t.opt.State, t.opt.NamesFile, t.opt.AnyPorts); err != nil {
		return problems, err
	}
	password, err := registryPassword(t.opt.State)
	if err != nil {
		return problems, err
	}
	registrarPassword := rand.Text()[:16] // nobody logs in as the actor's registrar
	recipient, err := notifyRecipient(t.opt.State)
	if err != nil {
		return problems, err
	}
	ap := func(service string) netip.AddrPort { return netip.MustParseAddrPort(t.sc.addr(service)) }
	hosts := map[impound.Name][]netip.Addr{}
	for _, ns := range sinkNS {
		hosts[ns] = []netip.Addr{sinkAddr}
	}
	t.reg, err = testregistry.Start(ctx, testregistry.Config{
		Dir: filepath.Join(t.opt.State, "practice", "registry"),
		EPP: t.sc.addr("epp"), RDAP: t.sc.addr("rdap"), DNS: t.sc.addr("parent"), Resolver: t.sc.addr("resolver"),
		ActorDNS: t.sc.addr("actor-dns"), ActorHTTP: t.sc.addr("actor-http"),
		TLDs:              t.sc.tlds(),
		Clients:           map[string]testregistry.Client{"IMPOUND": {Password: password, RegistryRole: true}, "CHEAP-NAMES": {Password: registrarPassword}},
		Registrars:        map[string]testregistry.Registrar{"CHEAP-NAMES": {Name: "Practice Cheap Names Ltd", IANAID: 9995, AbuseEmail: "abuse@cheap-names.example"}},
		RequireClientCert: true,
		Routes:            map[netip.AddrPort]netip.AddrPort{netip.AddrPortFrom(sinkAddr, 53): ap("dns")},
		Hosts:             hosts,
		Log:               t.opt.Log,
	})
	if err != nil {
		return problems, fmt.Errorf("couldn't start the practice registry: %w", err)
	}
	if err := t.register(); err != nil {
		return problems, err
	}
	files := t.reg.Files()
	abs := func(p string) string {
		if a, err := filepath.Abs(p); err == nil {
			return a
		}
		return p
	}
	cfg, err := t.sc.config(t.opt.State, recipient, abs(files.CA), abs(files.ClientCert), abs(files.ClientKey))
	if err != nil {
		return problems, err
	}
	if ps := cfg.Check(t.opt.State); len(ps) > 0 {
		return problems, ps
	}
	t.sys, err = app.Open(ctx, app.Options{State: t.opt.State, Config: cfg, Log: t.opt.Log, Version: t.opt.Version, Patience: 5 * time.Second, Progress: t.progress})
	if err != nil {
		return problems, err
	}
	if err := t.people(ctx); err != nil {
		return problems, err
	}
	if err := t.sys.Start(ctx); err != nil {
		return problems, err
	}
	t.say("pages: http://%s/ (open it now and watch)", t.sc.addr("web"))
	t.say("practice registry: EPP %s, RDAP http://%s/, parent zone %s, resolver %s; %d names registered as the actor would", t.sc.addr("epp"), t.sc.addr("rdap"), t.sc.addr("parent"), t.sc.addr("resolver"), len(t.sc.Names))
	return problems, nil
}

// register registers the names as the actor would have, and the planted one as
// its owner had it.
func (t *tour) register() error {
	registered := time.Now().UTC().AddDate(0, 0, -20).Truncate(time.Second)
	var ds []testregistry.Domain
	for i, n := range t.sc.Names {
		if _, ok := t.reg.Domain(n); ok {
			continue // from an earlier run
		}
		ds = append(ds, testregistry.Domain{
			Name: n, Registrar: "CHEAP-NAMES", Registrant: "Redacted for privacy", Created: registered.Add(time.Duration(i) * time.Minute), Expiry: registered.AddDate(1, 0, 0),
			NS:     []impound.Name{impound.MustName("ns1.bulk-host.example"), impound.MustName("ns2.bulk-host.example")},
			Signed: i%4 == 0, // some are signed: the DS must go with the name servers
		})
	}
	if _, ok := t.reg.Domain(planted); !ok {
		ds = append(ds, testregistry.Domain{
			Name: planted, Registrar: "CHEAP-NAMES", Registrant: "A free DNS service", Created: time.Date(2001, 3, 4, 0, 0, 0, 0, time.UTC), Expiry: registered.AddDate(3, 0, 0),
			NS: []impound.Name{impound.MustName("ns1.free-dns.example"), impound.MustName("ns2.free-dns.example")},
		})
	}
	if err := t.reg.Register(ds...); err != nil {
		return fmt.Errorf("couldn't register the practice names: %w", err)
	}
	return nil
}

// crew is who acts in the tour.
var crew = []impound.Person{
	{ID: "ada", Name: "Ada (admin, analyst)", Roles: []impound.Role{impound.RoleAdmin, impound.RoleAnalyst}},
	{ID: "carla", Name: "Carla (counsel)", Roles: []impound.Role{impound.RoleCounsel}},
	{ID: "ben", Name: "Ben (approver)", Roles: []impound.Role{impound.RoleApprover}},
	{ID: "dora", Name: "Dora (approver)", Roles: []impound.Role{impound.RoleApprover}},
	{ID: "olaf", Name: "Olaf (operator)", Roles: []impound.Role{impound.RoleOperator}},
	{ID: "nora", Name: "Nora (notifier)", Roles: []impound.Role{impound.RoleNotifier}},
}

func (t *tour) people(ctx context.Context) error {
	ring, err := t.sys.Casework.Keyring(ctx)
	if err != nil {
		return err
	}
	for _, p := range crew {
		if _, ok := ring.Person(p.ID); ok {
			continue
		}
		if err := t.sys.Enrol(ctx, p, "", "", "ada", ""); err != nil {
			return fmt.Errorf("couldn't enrol %s: %w", p.ID, err)
		}
	}
	return nil
}

func (t *tour) me(id string) (app.Identity, error) { return t.sys.Identify(id, "") }

func (t *tour) progress(e seizure.Event) {
	switch e.Phase {
	case "done", "failed", "stale", "pending", "retry":
		if len(t.sc.Names) <= 8 || e.Phase != "done" {
			t.say("    %s: %s %s", e.Name.Defanged(), e.Phase, e.Text)
		}
	}
}

// 1. A stream of names is screened.
func (t *tour) watch(ctx context.Context) error {
	path := filepath.Join(t.opt.State, "practice", "stream.txt")
	data := t.sc.stream()
	if err := writeFile(path, data); err != nil {
		return err
	}
	m, err := app.Matcher(t.opt.State, t.sys.Config())
	if err != nil {
		return err
	}
	res, err := app.Screen(ctx, t.sys, m, bytes.NewReader(data), "practice/stream.txt", 0, true)
	if err != nil {
		return err
	}
	t.step("watch", "%d newly seen names are screened: %d candidates; %d line(s) that are no name are recorded as such", res.Stats.Names, res.Stats.Hits, res.Stats.BadCount)
	var lines []string
	for _, c := range res.Candidates {
		lines = append(lines, fmt.Sprintf("%-28s %.2f  %s", c.Name.Defanged(), c.Score, join(c.Reasons)))
	}
	t.some(5, lines)
	t.hand("watch screen %s --keep", path)
	return nil
}

func join(rs []impound.Reason) string {
	var out []string
	for _, r := range rs {
		if r.Weight > 0.05 || strings.HasPrefix(r.Code, "brand-") { // all of it stands on the page
			out = append(out, r.Text)
		}
	}
	s := strings.Join(out, "; ")
	if r := []rune(s); len(r) > 100 {
		s = string(r[:97]) + "..."
	}
	return s
}

// 2. A case is opened with evidence.
func (t *tour) open(ctx context.Context) error {
	s := t.sys.Casework
	if _, err := s.SaveActor(ctx, "ada", impound.Actor{ID: actorID, Names: []string{"APT35", "Charming Kitten", "Phosphorus"}, Sources: []string{"Microsoft, 27 March 2019"}, Brands: []string{"outlook", "yahoo"}}); err != nil {
		return err
	}
	if err := s.OpenCase(ctx, "ada", impound.Case{ID: caseID, Title: "APT35, March 2019 (practice)", Actor: actorID, TLP: impound.TLPAmber}); err != nil {
		return err
	}
	cands, err := s.Candidates(ctx, casework.CandidateFilter{Status: casework.CandidateOpen})
	if err != nil {
		return err
	}
	promoted := 0
	for _, c := range cands {
		if slices.Contains(t.sc.Names, c.Name) {
			if err := s.Promote(ctx, "ada", c.Name, caseID); err != nil {
				return err
			}
			promoted++
		}
	}
	// What no screening shows an analyst adds by hand: here also the parent
	// of a host that the actor rented, which must not be seized.
	today := time.Now().UTC().Truncate(24 * time.Hour)
	var add []casework.AddName
	for _, n := range append(slices.Clone(t.sc.Names), planted) {
		add = append(add, casework.AddName{Name: n, FirstSeen: today, Reasons: []impound.Reason{{Code: "report", Text: "named in a report"}}})
	}
	if _, err := s.AddNames(ctx, "ada", caseID, add); err != nil {
		return err
	}
	k, err := s.Case(ctx, caseID)
	if err != nil {
		return err
	}
	var todo []impound.Name
	for _, d := range k.Domains {
		if len(d.Evidence) == 0 {
			todo = append(todo, d.Name)
		}
	}
	t.step("case", "%s is opened for %d names; what DNS, RDAP and HTTP show of each is captured and hashed into the evidence log", caseID, len(k.Domains))
	var lines []string
	kept, done := 0, 0
	err = t.sys.Capture(ctx, "ada", caseID, todo, app.Light{}, func(n impound.Name, cs []app.Captured) {
		kept += len(cs)
		done++
		if done%25 == 0 {
			t.say("    %d of %d names captured", done, len(todo))
		}
		if n == t.sc.Names[0] {
			for _, c := range cs {
				if c.Err == "" && !strings.HasSuffix(c.Artefact.Kind, "-raw") {
					lines = append(lines, fmt.Sprintf("%s  %-13s %s", c.Artefact.Hash[7:19], c.Artefact.Kind, c.Summary))
				}
			}
		}
	})
	if err != nil {
		return err
	}
	t.some(8, lines)
	if len(todo) > 0 {
		t.say("    %d artefacts kept", kept)
	}
	t.hand("evidence capture %s --case %s --as ada", t.sc.Names[0].Defanged(), caseID)
	t.hand("case show %s", caseID)
	return nil
}

// 3. An order is filed and checked; a gate keeps the planted name out.
func (t *tour) order(ctx context.Context) error {
	path := filepath.Join(t.opt.State, "practice", "order.yaml")
	t.step("order", "counsel drafts the warrant, two approvers sign its hash, the gates judge every name, and it is filed")
	if !hasFile(path) {
		now := time.Now().UTC().Truncate(time.Second)
		doc, err := t.sys.Casework.DraftOrder(ctx, caseID, impound.Order{
			ID: orderID, Kind: impound.KindWarrant,
			Authority: impound.Authority{Court: "Practice Court of the District of Example", Docket: "26-mj-00001", Judge: "Judge Example", Jurisdiction: "the registry is incorporated in the district", CallBack: "clerk's office, +1 555 0199, as in the court's directory"},
			Issued:    now.Add(-time.Hour), From: now.Add(-time.Minute), Until: now.AddDate(0, 0, 30), AtEnd: "restore", TLP: impound.TLPAmber,
			Parties:   impound.Parties{Requesting: "Practice Crimes Unit", Defendants: []string{"John Does 1-2"}, Counsel: "Carla", Technical: "desk@crimes-unit.example, +1 555 0100"},
			Recipient: impound.Recipient{Name: "Practice Registry", Role: "registry", Contact: "legal@practice-registry.example"},
			Acts: impound.Acts{
				Nameservers: sinkNS, RemoveDS: true, Sinkhole: true,
				Lock: []string{"serverDeleteProhibited", "serverTransferProhibited", "serverUpdateProhibited"},
			},
			Sinkhole: impound.SinkTerms{Capture: impound.CaptureLure, RetentionDays: 90, Notice: "This domain was taken over by order of the Practice Court of the District of Example (26-mj-00001)."},
		})
		if err != nil {
			return err
		}
		if err := writeFile(path, doc); err != nil {
			return err
		}
	}
	for _, who := range []string{"ben", "dora"} {
		data, err := os.ReadFile(path)
		if err != nil {
			return impound.Errorf(impound.KindUnavailable, "couldn't read the order: %w", err)
		}
		o, err := orderdoc.Parse(path, data)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(o.Signatures, func(s impound.Signature) bool { return s.Person == who }) {
			continue
		}
		me, err := t.me(who)
		if err != nil {
			return err
		}
		if err := t.sys.SignOrderFile(me, path); err != nil {
			return err
		}
	}
	data, err := os.ReadFile(path)
	if err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't read the order: %w", err)
	}
	rep, err := t.sys.Casework.FileOrder(ctx, "carla", path, data)
	if err != nil {
		return err
	}
	blocked := rep.BlockedNames()
	t.say("    order %s: %d names, signed by %s; %d pass the gates", orderID, len(rep.Names), strings.Join(rep.Signers, " and "), len(rep.Names)-len(blocked))
	for _, n := range rep.Names {
		for _, v := range n.Blocked {
			t.say("    BLOCKED %s by %s: %s", n.Name.Defanged(), v.Gate, v.Reason)
		}
	}
	if !slices.Contains(blocked, planted) {
		return impound.Errorf(impound.KindInternal, "no gate kept %s out", planted.Defanged())
	}
	t.hand("order check %s", path)
	t.hand("order sign %s --as ben", path)
	t.hand("order file %s --as carla", path)
	return nil
}

// 4. The plan is approved by two people, applied over EPP, and verified.
func (t *tour) seize(ctx context.Context) error {
	t.step("seize", "the order is the desired state: it is compared with what is observed, two people approve the difference, and it is done over EPP")
	plan, err := t.plan(ctx)
	if err != nil {
		return err
	}
	t.some(14, strings.Split(strings.TrimRight(plan.Plan.String(), "\n"), "\n"))
	for _, who := range []string{"ben", "dora"} {
		me, err := t.me(who)
		if err != nil {
			return err
		}
		if plan, err = t.sys.Approve(ctx, me, plan.Plan.ID); err != nil {
			return err
		}
	}
	t.say("    plan %s approved by %s; applying", plan.Plan.ID, strings.Join(plan.Approvers, " and "))
	op, err := t.me("olaf")
	if err != nil {
		return err
	}
	if err := t.inForce(ctx); err != nil {
		return err
	}
	res, err := t.sys.Apply(ctx, op, plan.Plan.ID)
	if err != nil {
		return err
	}
	st, err := t.sys.Verify(ctx, orderID)
	if err != nil {
		return err
	}
	done := 0
	for _, x := range st {
		if x.Done {
			done++
		}
	}
	t.say("    %d names as ordered at the registry, %d kept out; all three views (parent zone, RDAP, resolver) show the order for %d of %d", res.Count(seizure.Done, seizure.Already), res.Count(seizure.Blocked), done, len(st))
	for _, x := range st {
		if !x.Done {
			t.say("    not yet everywhere: %s", x.Name.Defanged())
		}
	}
	t.hand("seize plan %s --as olaf", orderID)
	t.hand("seize approve %s --as ben", plan.Plan.ID)
	t.hand("seize apply %s --as olaf", plan.Plan.ID)
	t.hand("seize verify %s", orderID)
	return nil
}

// plan gives the plan to go on with: one that an earlier run began, else a new
// one.
func (t *tour) plan(ctx context.Context) (seizure.PlanInfo, error) {
	plans, err := t.sys.Plans(ctx, orderID)
	if err != nil {
		return seizure.PlanInfo{}, err
	}
	for _, p := range plans {
		if !p.Expired {
			return p, nil
		}
	}
	p, err := t.sys.Plan(ctx, "olaf", orderID)
	if err != nil {
		return seizure.PlanInfo{}, err
	}
	return t.sys.PlanInfo(ctx, p.ID)
}

// inForce waits until the sinkhole answers for the order's names: nobody is to
// be led to a server that would turn him away.
func (t *tour) inForce(ctx context.Context) error {
	for range 100 {
		st, err := t.sys.PolicyStatus(ctx)
		if err != nil {
			return err
		}
		if len(st.Names) >= len(t.sc.Names) {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return impound.Errorf(impound.KindUnavailable, "the sinkhole did not take the policy in ten seconds")
}

// 6. Contacts are told apart, victims counted, reports written.
func (t *tour) tell(ctx context.Context) error {
	f := telemetry.Filter{Case: caseID, Limit: 100_000}
	counts, err := t.sys.Counts(ctx, f)
	if err != nil {
		return err
	}
	nets, err := t.sys.Victims(ctx, f)
	if err != nil {
		return err
	}
	victims := 0
	for _, n := range nets {
		victims += n.Victims
	}
	t.step("tell", "contacts are told apart with reasons: %d victims in %d networks, each of whose owners gets a report", victims, len(nets))
	var parts []string
	for _, c := range []impound.Class{impound.ClassVictim, impound.ClassMailGate, impound.ClassScanner, impound.ClassResolver, impound.ClassResearcher, impound.ClassUnclear} {
		parts = append(parts, fmt.Sprintf("%s %d", c, counts[c]))
	}
	t.say("    contacts: %s", strings.Join(parts, ", "))
	cs, err := t.sys.Contacts(ctx, f)
	if err != nil {
		return err
	}
	shown := map[impound.Class]bool{}
	for _, c := range cs {
		if !shown[c.Class] {
			shown[c.Class] = true
			t.say("    %-13s %s", c.Class, join(c.Reasons))
		}
	}
	svc, err := t.sys.Notifier()
	if err != nil {
		return err
	}
	reps, err := svc.Prepare(ctx, "nora", caseID)
	if err != nil {
		return err
	}
	for _, p := range reps {
		t.say("    report %s for %s: %d victims -> %s, prepared in %s", p.ID, p.Network.Name, p.Victims, strings.Join(p.To, ", "), p.Dir)
	}
	t.hand("contacts victims --case %s", caseID)
	t.hand("notify prepare %s --as nora", caseID)
	if len(reps) > 0 {
		t.hand("notify show %s", reps[0].ID)
	}
	return nil
}

// 7. The pages, the proof, and lines to try.
func (t *tour) show(ctx context.Context) error {
	rep, err := evidence.Verify(filepath.Join(t.opt.State, "evidence"))
	if err != nil {
		return err
	}
	if !rep.OK() {
		return impound.Errorf(impound.KindInternal, "the evidence does not verify: %s", rep.Problems[0].Msg).At(rep.Problems[0].File)
	}
	t.step("look", "every act stands in the evidence log: %d entries and %d artefacts verify. The tour took %.1f s", rep.Entries, rep.Artefacts, time.Since(t.t0).Seconds())
	t.say("    the case: http://%s/cases/%s", t.sc.addr("web"), caseID)
	n := t.sc.Names[0].String()
	host, port, _ := strings.Cut(t.sc.addr("dns"), ":")
	t.say("  Be a visitor yourself (the lines name a seized domain, but ask this machine only), and see it on the page:")
	t.run(fmt.Sprintf("dig @%s -p %s %s A +short", host, port, n))
	t.run(fmt.Sprintf("dig @%s -p %s %s MX +short", host, port, n))
	t.run(fmt.Sprintf("curl -i -H 'Host: %s' http://%s/owa/auth/logon", n, t.sc.addr("http")))
	_, sport, _ := strings.Cut(t.sc.addr("https"), ":")
	t.run(fmt.Sprintf("curl -ik --connect-to ::127.0.0.1:%s https://%s/", sport, n))
	t.say("  Ask the practice world, before and after it is the same command:")
	_, rport, _ := strings.Cut(t.sc.addr("resolver"), ":")
	_, pport, _ := strings.Cut(t.sc.addr("parent"), ":")
	t.run(fmt.Sprintf("dig @127.0.0.1 -p %s %s A +short        # the practice resolver", rport, n))
	t.run(fmt.Sprintf("dig @127.0.0.1 -p %s %s NS              # the parent zone", pport, n))
	t.run(fmt.Sprintf("curl http://%s/domain/%s", t.sc.addr("rdap"), n))
	t.say("  Prove it, and take it with you:")
	t.hand("evidence verify")
	t.hand("evidence checkpoint        # keep it elsewhere: it shows later that nothing was taken away")
	t.hand("evidence export %s --out %s.zip", caseID, caseID)
	t.hand("share export --format rpz --clearance amber")
	return nil
}
