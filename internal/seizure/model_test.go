package seizure_test

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/store"
)

// memory is an evidence log and a store in memory, for many small worlds. What
// is in it survives a crash of the engine, as on a disk.
type memory struct {
	mu      sync.Mutex
	entries map[string]impound.Entry
	order   []impound.Entry
	docs    map[string]store.Doc
	bodies  map[string][]byte
	version int64
	dieAt   int  // the process dies at the nth write from now
	dead    bool // whatever it still does has no effect
}

var errDied = errors.New("the process is dead")

func (m *memory) write() error {
	if m.dieAt > 0 {
		if m.dieAt--; m.dieAt == 0 {
			m.dead = true
		}
	}
	if m.dead {
		return errDied
	}
	return nil
}

func (m *memory) Append(_ context.Context, e impound.Entry) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(); err != nil {
		return 0, err
	}
	return m.append(e)
}

func (m *memory) AppendAll(_ context.Context, es []impound.Entry) ([]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(); err != nil {
		return nil, err
	}
	var out []int64
	for _, e := range es {
		i, err := m.append(e)
		if err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	return out, nil
}

func (m *memory) append(e impound.Entry) (int64, error) {
	if e.ID == "" {
		e.ID = fmt.Sprint("auto ", len(m.order))
	}
	if old, ok := m.entries[e.ID]; ok {
		if old.What != e.What || old.Type != e.Type || old.Name != e.Name {
			return 0, impound.Errorf(impound.KindConflict, "the id %s speaks of another thing", e.ID)
		}
		return 0, nil
	}
	if e.Type == impound.EntryResult {
		if i, ok := m.entries[e.Intent]; !ok || i.Type != impound.EntryIntent {
			return 0, impound.Errorf(impound.KindInvalid, "a result without its intent")
		}
	}
	m.entries[e.ID], m.order = e, append(m.order, e)
	return int64(len(m.order)), nil
}

func (m *memory) Capture(_ context.Context, a impound.Artefact, b []byte) (impound.Artefact, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(); err != nil {
		return a, err
	}
	a.Hash, a.Size = impound.HashBytes(b), int64(len(b))
	if strings.HasPrefix(a.Kind, "letter") {
		m.bodies[a.Hash] = b
	}
	return a, nil
}

func (m *memory) Entry(id string) (impound.Entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[id]
	return e, ok, nil
}

func (m *memory) View(ctx context.Context, fn func(store.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fn((*memTx)(m))
}

func (m *memory) Update(ctx context.Context, fn func(store.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(); err != nil {
		return err
	}
	old := maps.Clone(m.docs)
	if err := fn((*memTx)(m)); err != nil {
		m.docs = old
		return err
	}
	m.version++
	return nil
}

func (m *memory) Version(context.Context) (int64, error) { return m.version, nil }
func (m *memory) Close() error                           { return nil }

type memTx memory

func (m *memTx) Get(kind, id string) (store.Doc, error) {
	if d, ok := m.docs[kind+"/"+id]; ok {
		return d, nil
	}
	return store.Doc{}, store.NotFound(kind, id)
}

func (m *memTx) Put(d store.Doc) (int64, error) {
	k := d.Kind + "/" + d.ID
	if m.docs[k].Rev != d.Rev {
		return 0, store.Conflict(d.Kind, d.ID, d.Rev, m.docs[k].Rev)
	}
	d.Rev++
	m.docs[k] = d
	return d.Rev, nil
}

func (m *memTx) Delete(kind, id string, rev int64) error { delete(m.docs, kind+"/"+id); return nil }

func (m *memTx) List(q store.Query) ([]store.Doc, error) {
	var out []store.Doc
	for _, k := range slices.Sorted(maps.Keys(m.docs)) {
		if d := m.docs[k]; d.Kind == q.Kind && (q.Field == "" || d.Index[q.Field] == q.Value) {
			out = append(out, d)
		}
	}
	return out, nil
}

func (m *memTx) Count(q store.Query) (int, error) { ds, err := m.List(q); return len(ds), err }

// model is a random world: an order, one registry or two, people who approve,
// processes that die, and whatever else may happen meanwhile.
type model struct {
	*world
	mem   *memory
	regs  []*provider
	o     *impound.Order
	first map[impound.Name]seizure.RegistryView // how each name was in the beginning
	fault string
	plans []string
	risk  map[impound.Name]string // what speaks against letting a name go; "" is nothing

	wmu       sync.Mutex
	wrong     string // the first law that was broken
	withdrawn bool
	dockets   int
	meanwhile map[int]func() // by the number of looks until then
	nested    bool
}

// counts is what all worlds together went through.
var counts struct {
	mu sync.Mutex
	n  map[string]int
}

func count(what string) {
	counts.mu.Lock()
	defer counts.mu.Unlock()
	if counts.n == nil {
		counts.n = map[string]int{}
	}
	counts.n[what]++
}

// broke notes that a law was broken; the walk ends at its next step.
func (m *model) broke(format string, args ...any) error {
	m.wmu.Lock()
	defer m.wmu.Unlock()
	if m.wrong == "" {
		m.wrong = fmt.Sprintf(format, args...)
	}
	return errDied
}

// at gives the registry of a name.
func (m *model) at(x impound.Name) *provider {
	for _, p := range m.regs {
		if p.names[x] != nil {
			return p
		}
	}
	return m.prov
}

func (m *model) Parent(ctx context.Context, x impound.Name) observe.View {
	return m.at(x).Parent(ctx, x)
}
func (m *model) RDAP(ctx context.Context, x impound.Name) observe.RDAPView {
	return m.at(x).RDAP(ctx, x)
}
func (m *model) Servers(ctx context.Context, parent observe.View) observe.View {
	return m.at(parent.Name).Servers(ctx, parent)
}
func (m *model) Chain(ctx context.Context, x impound.Name, hosts, ds []string) observe.ChainView {
	return m.at(x).Chain(ctx, x, hosts, ds)
}
func (m *model) Resolve(ctx context.Context, x impound.Name) observe.View {
	return m.at(x).Resolve(ctx, x)
}

func newModel(t *testing.T, r *rapid.T) *model {
	w := &world{t: t, clock: t0.Add(time.Hour), names: ns("a.net", "b.net", "c.com"), block: map[impound.Name]string{}}
	w.keys, w.priv = people()
	m := &model{world: w, mem: &memory{entries: map[string]impound.Entry{}, docs: map[string]store.Doc{}}, meanwhile: map[int]func(){}, risk: map[impound.Name]string{}}
	// One registry; or two that have the same hosts, as .com and .net do, or
	// each its own.
	kind := rapid.IntRange(0, 3).Draw(r, "registries")
	for i := range []int{1, 1, 2, 2}[kind] {
		p := &provider{w: w, id: fmt.Sprintf("reg%d", i), mu: new(sync.Mutex), names: map[impound.Name]*seizure.RegistryView{}, hosts: map[impound.Name]bool{}, pend: map[impound.Name]func(){}}
		if i == 1 && kind == 3 {
			p.mu, p.hosts = m.regs[0].mu, m.regs[0].hosts
		}
		p.hosts[n("ns1.actor.test")], p.hosts[n("ns1.thief.test")] = true, true
		p.before, p.after, p.later, p.looked = m.before(p), m.after, m.later(p), m.looked
		m.regs = append(m.regs, p)
	}
	w.prov = m.regs[0]
	for i, x := range w.names {
		p := m.regs[i%len(m.regs)]
		p.names[x] = &seizure.RegistryView{Name: x, Exists: true, ID: fmt.Sprint("D", i), NS: ns("ns1.actor.test"), DS: rapid.SampledFrom([][]string{nil, {"1 13 2 AA"}}).Draw(r, "ds"), Status: rapid.SampledFrom([][]string{{"ok"}, {"clientUpdateProhibited"}, {"serverUpdateProhibited"}}).Draw(r, "status"),
			Expires: t0.AddDate(0, 0, rapid.SampledFrom([]int{20, 700}).Draw(r, "days until it ends"))}
	}
	if rapid.Bool().Draw(r, "keys stay") {
		for _, p := range m.regs {
			p.keys = map[impound.Name]bool{}
			for _, x := range w.names {
				p.keys[x] = true
			}
		}
	}
	m.first = map[impound.Name]seizure.RegistryView{}
	for _, x := range w.names {
		v := *m.at(x).names[x]
		v.NS, v.DS, v.Status = slices.Clone(v.NS), slices.Clone(v.DS), slices.Clone(v.Status)
		m.first[x] = v
	}
	m.o = w.order()
	if rapid.Bool().Draw(r, "hold instead") {
		m.o.Acts = impound.Acts{Hold: true, Lock: []string{"serverTransferProhibited"}}
	}
	if m.o.Acts.Renew = rapid.Bool().Draw(r, "renew"); !m.o.Acts.Renew {
		m.o.Custody = &impound.Custody{RenewalBy: "somebody else"}
	}
	// What it says of letting names go: nothing, so that at_end counts, or a clause.
	if ways := rapid.SampledFrom([][]string{nil, {impound.ReleaseRestore}, {impound.ReleaseExpire}, {impound.ReleaseRestore, impound.ReleaseExpire, impound.ReleaseDelete}}).Draw(r, "clause"); ways != nil {
		m.o.Release = &impound.ReleaseTerms{How: ways, Until: m.o.Until.AddDate(0, 3, 0), Clause: "9"}
	}
	w.authorize(m.o)
	return m
}

// before is asked at the moment of effect: everything must hold here.
func (m *model) before(p *provider) func(c seizure.Change) error {
	return func(c seizure.Change) error {
		m.mem.mu.Lock()
		defer m.mem.mu.Unlock()
		if m.mem.dead {
			return errDied
		}
		m.mu.Lock()
		defer m.mu.Unlock()
		in, ok := m.mem.entries[intentOf(c)]
		if !ok {
			return m.broke("an act on %s without an intent", c.Name)
		}
		plan := planOf(m.mem, in.Detail["plan"])
		if m.withdrawn || plan.Release == "" && !m.mandate.InForce(p.actAt) || plan.Release != "" && !m.lets(plan.Release, p.actAt) {
			return m.broke("an act outside the order's dates or clause (%q)", plan.Release)
		}
		if in.Order != m.mandate.ID() || in.Detail["plan"] == "" || in.Name != c.Name {
			return m.broke("an intent without order or plan, or for another name: %+v", in)
		}
		if in.Detail["order_hash"] != m.mandate.Hash() {
			return m.broke("an act under another version of the order")
		}
		if plan.Release == "" && m.block[c.Name] != "" {
			return m.broke("%s is blocked and was touched", c.Name)
		}
		if says := m.risk[c.Name]; plan.Release != "" && says != "" {
			np := plan.Names[slices.IndexFunc(plan.Names, func(np seizure.NamePlan) bool { return np.Name == c.Name })]
			accepted := slices.ContainsFunc(np.Verdicts, func(v impound.GateVerdict) bool { return string(v.Outcome) == says })
			if np.Despite == "" || !accepted {
				return m.broke("%s was to be kept (%s) and was let go", c.Name, says)
			}
			count("acts that let a name go despite something")
		}
		if plan.Release != "" {
			count("acts that let a name go")
		}
		if c.Release != (plan.Release != "") || c.Delete && plan.Release != impound.ReleaseDelete {
			return m.broke("%+v in a plan to let go by %q", c, plan.Release)
		}
		if approvals(m.mem, in.Detail["plan"], m.world) < 2 {
			return m.broke("an act of a plan that two people did not approve")
		}
		// With two registries, one's clock may jump while the other's act is on its way.
		if len(m.regs) == 1 && !p.actAt.Before(plan.Expires.Add(time.Minute)) {
			return m.broke("an act of a plan that is stale")
		}
		for _, x := range c.AddNS {
			back := (plan.Revert || plan.Release == impound.ReleaseRestore) && slices.Contains(ns("ns1.actor.test", "ns1.thief.test"), x)
			if !back && !slices.Contains(m.o.Acts.Nameservers, x) {
				return m.broke("%s is no ordered name server, and no former one", x)
			}
			if !p.hosts[x] {
				return m.broke("%s is delegated to %s, which %s does not know", c.Name, x, p.id)
			}
		}
		if len(c.BackDS) > 0 {
			count("DS put back")
			v := p.names[c.Name]
			np := plan.Names[slices.IndexFunc(plan.Names, func(np seizure.NamePlan) bool { return np.Name == c.Name })]
			switch {
			case !plan.Revert && plan.Release != impound.ReleaseRestore:
				return m.broke("a DS of %s is added by a plan that gives nothing back", c.Name)
			case !p.keys[c.Name]:
				return m.broke("the DS of %s is put back, and nothing bears it out", c.Name)
			case !slices.Equal(v.State().NS, np.Restore.NS):
				return m.broke("the DS of %s is put back before its name servers: %v", c.Name, v.NS)
			case !slices.Equal(c.BackDS, np.Restore.DS):
				return m.broke("%s gets another DS than it had: %v", c.Name, c.BackDS)
			}
			if len(v.DS) > 0 {
				return impound.Errorf(impound.KindConflict, "2306: a DS is there")
			}
		}
		if len(c.RemStatus) > 0 && len(m.o.Acts.Lock) == 0 {
			return m.broke("a status is lifted, and the order allows no act on locks")
		}
		count("acts asked of a registry")
		if x := c.Renew; x != nil {
			count("renewals asked of a registry")
			if !m.o.Acts.Renew {
				return m.broke("%s is renewed, and the order does not say so", c.Name)
			}
			if v := p.names[c.Name]; v.Expires.Format(time.DateOnly) != x.Ends {
				return impound.Errorf(impound.KindConflict, "2306: it ends on another day")
			}
		}
		// A registry does not add what is there: somebody else did in between.
		if v := p.names[c.Name]; c.CreateHost.IsZero() && (len(without(c.AddNS, v.NS)) < len(c.AddNS) || len(without(c.AddStatus, v.Status)) < len(c.AddStatus)) {
			return impound.Errorf(impound.KindConflict, "2306: it is there already")
		}
		if c.CreateHost != (impound.Name{}) && p.hosts[c.CreateHost] {
			return impound.Errorf(impound.KindConflict, "2302: it exists")
		}
		if m.fault == "lost before" || m.fault == "busy" {
			return map[string]error{"lost before": errLost, "busy": errBusy}[m.fault]
		}
		return nil
	}
}

func (m *model) after(seizure.Change) error {
	count("acts done")
	switch m.fault {
	case "lost after":
		return errLost
	case "dies after":
		m.mem.mu.Lock()
		defer m.mem.mu.Unlock()
		m.mem.dead = true
		return errDied
	}
	return nil
}

func (m *model) later(p *provider) func(seizure.Change) string {
	return func(seizure.Change) string {
		switch m.fault {
		case "put off", "put off unseen":
			p.shy = m.fault == "put off unseen"
			return "done"
		case "denied", "never":
			return m.fault
		}
		return ""
	}
}

// looked is called between a look and what follows from it.
func (m *model) looked() {
	m.wmu.Lock()
	do := m.meanwhile[1]
	next := map[int]func(){}
	for k, f := range m.meanwhile {
		if k > 1 {
			next[k-1] = f
		}
	}
	m.meanwhile = next
	m.wmu.Unlock()
	if do != nil {
		count("things that happened between look and act")
		do()
	}
}

func (m *model) engine() *seizure.Engine {
	return m.world.engine(func(c *seizure.Config) {
		c.Store, c.Evidence, c.Progress, c.Observe = m.mem, m.mem, nil, m
		c.Parallel, c.Recheck = 1, -1
		c.Connectors = map[string]seizure.Connector{}
		for _, p := range m.regs {
			c.Connectors[p.id] = p
		}
		c.Route = func(_ context.Context, x impound.Name) (string, error) { return m.at(x).id, nil }
		c.Risks = func(_ context.Context, _ *impound.Mandate, x impound.Name, _ string) ([]impound.GateVerdict, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if says := m.risk[x]; says != "" {
				return []impound.GateVerdict{{Gate: "R1", Outcome: impound.Outcome(says), Reason: "told to"}}, nil
			}
			return []impound.GateVerdict{{Gate: "R1", Outcome: impound.GateWarn, Reason: "told to"}}, nil
		}
		c.Mandate = func(context.Context, string) (*impound.Mandate, error) {
			m.mu.Lock()
			defer m.mu.Unlock()
			if m.withdrawn {
				return nil, impound.Errorf(impound.KindRefused, "it was withdrawn")
			}
			return m.mandate, nil
		}
		c.Sleep = func(ctx context.Context, d time.Duration) error {
			m.mu.Lock()
			m.clock = m.clock.Add(d)
			m.mu.Unlock()
			return ctx.Err()
		}
	})
}

// run runs f as a process of its own that may die.
func (m *model) run(f func(e *seizure.Engine)) {
	f(m.engine())
	if m.nested { // whoever it runs inside of dies with it
		return
	}
	m.mem.mu.Lock()
	if m.mem.dead {
		// Its lease is left behind; the next process sees that nobody holds it
		// any more.
		maps.DeleteFunc(m.mem.docs, func(_ string, d store.Doc) bool { return d.Kind == "seize-lease" })
		count("deaths")
	}
	m.mem.dead, m.mem.dieAt = false, 0
	m.mem.mu.Unlock()
}

func (m *model) plan() {
	m.run(func(e *seizure.Engine) {
		if p, err := e.Plan(m.t.Context(), m.mandate); err == nil {
			m.plans = append(m.plans, p.ID)
		}
	})
}

func (m *model) revert() {
	m.run(func(e *seizure.Engine) {
		if p, err := e.Revert(m.t.Context(), m.mandate); err == nil {
			m.plans = append(m.plans, p.ID)
		}
	})
}

// lets says whether the order lets names go in that way at that moment, from its
// text alone.
func (m *model) lets(how string, at time.Time) bool {
	if m.o.Release == nil {
		return how == m.o.AtEnd && m.mandate.InForce(at)
	}
	return slices.Contains(m.o.Release.How, how) && !at.Before(m.o.From) && at.Before(m.o.Release.Until)
}

// letGo plans to let some names go, as the clause says or not.
func (m *model) letGo(r *rapid.T) {
	how := seizure.LettingGo{How: rapid.SampledFrom([]string{impound.ReleaseRestore, impound.ReleaseExpire, impound.ReleaseDelete}).Draw(r, "how")}
	if rapid.Bool().Draw(r, "despite") {
		how.Despite = "the brand takes it"
	}
	names := m.names[rapid.IntRange(0, len(m.names)-1).Draw(r, "from name"):]
	m.run(func(e *seizure.Engine) {
		if p, err := e.Release(m.t.Context(), m.mandate, how, names...); err == nil {
			m.plans = append(m.plans, p.ID)
			count("plans to let go")
		}
	})
}

func (m *model) risks(r *rapid.T) func() {
	x, says := rapid.SampledFrom(m.names).Draw(r, "name"), rapid.SampledFrom([]string{"", "block", "unknown"}).Draw(r, "verdict")
	return func() { m.mu.Lock(); defer m.mu.Unlock(); m.risk[x] = says }
}

func (m *model) approve(id, who string) {
	m.run(func(e *seizure.Engine) {
		pi, err := e.Get(m.t.Context(), id)
		if err != nil {
			return
		}
		_, _ = e.Approve(m.t.Context(), id, m.sign(&pi.Plan, who))
	})
}

func (m *model) apply(id string) (res seizure.Result, err error) {
	m.run(func(e *seizure.Engine) { res, err = e.Apply(m.t.Context(), id) })
	count("applies")
	return
}

func (m *model) together(id string, wait time.Duration) {
	m.run(func(e *seizure.Engine) {
		t := seizure.Together{}
		if wait > 0 {
			t.At = m.now().Add(wait)
		}
		_, _ = e.ApplyTogether(m.t.Context(), id, t)
	})
	count("applies at one instant")
}

func (m *model) touch(r *rapid.T) func() {
	x := rapid.SampledFrom(m.names).Draw(r, "name")
	what := rapid.IntRange(0, 6).Draw(r, "what")
	return func() {
		p := m.at(x)
		p.mu.Lock()
		defer p.mu.Unlock()
		v := p.names[x]
		p.touch(v)
		switch what {
		case 0:
			v.NS = ns("ns1.thief.test")
		case 1:
			v.Status = []string{"serverUpdateProhibited"}
		case 2:
			v.DS = []string{"2 13 2 BB"}
		case 3:
			v.ID += "x"
		case 4: // it renews itself, as many registries do
			if v.Expires.Before(t0.AddDate(0, 6, 0)) {
				v.Expires = v.Expires.AddDate(1, 0, 0)
			}
		default: // undoes whatever was done
			was := m.first[x]
			v.NS, v.DS, v.Status, v.ID = slices.Clone(was.NS), slices.Clone(was.DS), slices.Clone(was.Status), was.ID
		}
	}
}

func (m *model) gate(r *rapid.T) func() {
	x, says := rapid.SampledFrom(m.names).Draw(r, "name"), rapid.SampledFrom([]string{"", "block", "unknown"}).Draw(r, "verdict")
	return func() { m.mu.Lock(); defer m.mu.Unlock(); m.block[x] = says }
}

func (m *model) setClock(r *rapid.T) func() {
	h := rapid.SampledFrom([]int{-1, 1, 2, 20, 40, 24 * 365, 24*365 + 1}).Draw(r, "hours")
	return func() { m.mu.Lock(); defer m.mu.Unlock(); m.clock = t0.Add(time.Duration(h) * time.Hour) }
}

// amend files another version of the order, or withdraws it.
func (m *model) amend(r *rapid.T) func() {
	withdraw := rapid.IntRange(0, 2).Draw(r, "withdraw") == 0
	return func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		if m.withdrawn = withdraw; !withdraw {
			m.dockets++
			m.o.Authority.Docket = fmt.Sprintf("1:26-mj-%d", m.dockets)
			m.authorize(m.o)
		}
	}
}

// TestModel walks random worlds: orders that are amended, withdrawn and lapse,
// gates, faults of the registries, other people's changes, other processes,
// crashes at any write, plans old and new, clocks that step: between the steps of
// the walk, and between the engine's look at a name and its act. Whatever
// happens, nothing is done that is not ordered and approved by two at that
// moment (law 1), a blocked name is not touched (law 2), every act has its intent
// before it (law 4), and no step of a plan takes effect twice. In the end, with
// the world calm, one more plan brings every name home, another one back, and
// doing either again does nothing.
//
// IMPOUND_MODEL=long (make model) walks until 100,000 steps, for some minutes.
func TestModel(t *testing.T) {
	checks := "40"
	long := os.Getenv("IMPOUND_MODEL") == "long"
	if long {
		checks = "4500"
	}
	asked := false
	flag.Visit(func(f *flag.Flag) { asked = asked || f.Name == "rapid.checks" })
	if !asked {
		was := flag.Lookup("rapid.checks").Value.String()
		if err := flag.Set("rapid.checks", checks); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { flag.Set("rapid.checks", was) })
	}
	rapid.Check(t, func(r *rapid.T) {
		m := newModel(t, r)
		some := func(r *rapid.T) string {
			if len(m.plans) == 0 {
				return ""
			}
			return rapid.SampledFrom(m.plans).Draw(r, "plan")
		}
		both := func(id string) { m.approve(id, "anna"); m.approve(id, "bert") }
		wait := func(r *rapid.T) time.Duration {
			return rapid.SampledFrom([]time.Duration{0, 10 * time.Second, 10 * time.Minute}).Draw(r, "until T0")
		}
		actions := map[string]func(*rapid.T){
			"plan":   func(*rapid.T) { m.plan() },
			"revert": func(*rapid.T) { m.revert() },
			"approve": func(r *rapid.T) {
				if id := some(r); id != "" {
					m.approve(id, rapid.SampledFrom([]string{"anna", "anna2", "bert", "carl", "dora"}).Draw(r, "who"))
				}
			},
			"apply": func(r *rapid.T) {
				if id := some(r); id != "" {
					_, _ = m.apply(id)
				}
			},
			"apply at one instant": func(r *rapid.T) {
				if id := some(r); id != "" {
					m.together(id, wait(r))
				}
			},
			"plan, approve, apply and die": func(r *rapid.T) {
				switch rapid.IntRange(0, 3).Draw(r, "which") {
				case 0:
					m.revert()
				case 1:
					m.letGo(r)
				default:
					m.plan()
				}
				if len(m.plans) == 0 {
					return
				}
				id := m.plans[len(m.plans)-1]
				both(id)
				m.mem.dieAt = rapid.IntRange(1, 60).Draw(r, "dies at")
				if rapid.Bool().Draw(r, "together") {
					m.together(id, wait(r))
				} else {
					_, _ = m.apply(id) // dies
				}
				_, _ = m.apply(id)
			},
			"plan, and apply while things happen": func(r *rapid.T) {
				if rapid.IntRange(0, 2).Draw(r, "let go") == 0 {
					m.letGo(r)
				} else {
					m.plan()
				}
				if len(m.plans) == 0 {
					return
				}
				id := m.plans[len(m.plans)-1]
				both(id)
				for range rapid.IntRange(1, 3).Draw(r, "things") {
					kinds := []func(*rapid.T) func(){m.touch, m.setClock, func(r *rapid.T) func() {
						other := some(r)
						return func() { // another process, perhaps with the same plan
							count("applies inside of applies")
							m.nested = true
							_, _ = m.apply(other)
							m.nested = false
						}
					}}
					// What is asked of the law right before an act would be asked
					// of another moment where two registries are at work.
					if len(m.regs) == 1 {
						kinds = append(kinds, m.gate, m.risks, m.amend)
					}
					m.meanwhile[rapid.IntRange(1, 8).Draw(r, "looks until then")] = rapid.SampledFrom(kinds).Draw(r, "thing")(r)
				}
				if rapid.Bool().Draw(r, "together") {
					m.together(id, wait(r))
				} else {
					_, _ = m.apply(id)
				}
				clear(m.meanwhile)
			},
			"fault": func(r *rapid.T) {
				m.fault = rapid.SampledFrom([]string{"", "", "lost before", "lost after", "busy", "dies after", "put off", "put off unseen", "denied", "never"}).Draw(r, "fault")
			},
			"somebody else": func(r *rapid.T) { m.touch(r)() },
			"gate":          func(r *rapid.T) { m.gate(r)() },
			"keys": func(r *rapid.T) {
				x, there := rapid.SampledFrom(m.names).Draw(r, "name"), rapid.Bool().Draw(r, "signs")
				p := m.at(x)
				p.mu.Lock()
				defer p.mu.Unlock()
				if p.keys == nil {
					p.keys = map[impound.Name]bool{}
				}
				p.keys[x] = there
			},
			"risk":   func(r *rapid.T) { m.risks(r)() },
			"let go": func(r *rapid.T) { m.letGo(r) },
			"seize, let go and die": func(r *rapid.T) {
				if m.plan(); len(m.plans) == 0 {
					return
				}
				id := m.plans[len(m.plans)-1]
				both(id)
				_, _ = m.apply(id)
				if m.letGo(r); m.plans[len(m.plans)-1] == id {
					return
				}
				id = m.plans[len(m.plans)-1]
				both(id)
				m.mem.dieAt = rapid.IntRange(0, 30).Draw(r, "dies at")
				_, _ = m.apply(id)
				_, _ = m.apply(id)
			},
			"clock": func(r *rapid.T) { m.setClock(r)() },
			"amend": func(r *rapid.T) { m.amend(r)() },
		}
		check := func() {
			if m.wrong != "" {
				r.Fatalf("%s", m.wrong)
			}
			done := map[string]int{}
			for _, p := range m.regs {
				for _, c := range p.done {
					// Whatever the attempt.
					step := p.id + " " + c.ClTRID[:len("IMP-")+40]
					if done[step]++; done[step] > 1 {
						r.Fatalf("a step on %s took effect twice: %s", c.Name, c.ClTRID)
					}
				}
			}
		}
		old := check
		check = func() {
			old()
			for x, was := range m.first {
				if v := m.at(x).names[x]; v.Expires.After(was.Expires.AddDate(1, 0, 0)) {
					r.Fatalf("%s was renewed twice: it ended %s, and ends %s", x, was.Expires, v.Expires)
				}
			}
		}
		for what, f := range actions {
			actions[what] = func(r *rapid.T) { count("steps"); f(r) }
		}
		actions[""] = func(*rapid.T) { check() }
		r.Repeat(actions)
		count("worlds")

		// Calm weather: one more round brings every name home.
		m.fault, m.clock, m.withdrawn = "", t0.Add(100*time.Hour), false
		clear(m.block)
		clear(m.risk)
		for _, p := range m.regs {
			for _, v := range p.names {
				// What was deleted, the registry restores.
				v.Status = slices.DeleteFunc(v.Status, func(s string) bool { return s == "pendingUpdate" || s == "pendingDelete" })
			}
			clear(p.pend)
		}
		again := func(id string, outcomes ...string) {
			asked := 0
			for _, p := range m.regs {
				asked -= p.asked
			}
			res, err := m.apply(id)
			for _, p := range m.regs {
				asked += p.asked
			}
			if asked != 0 || res.Count(outcomes...) != len(res.Names) {
				r.Fatalf("done again: %d acts were asked for: %v %+v", asked, err, res)
			}
		}
		m.plan()
		id := m.plans[len(m.plans)-1]
		both(id)
		res, err := m.apply(id)
		if err != nil || res.Count(seizure.Done, seizure.Already) != len(m.names) {
			r.Fatalf("the end: %v %+v", err, res)
		}
		for _, x := range res.Names {
			if x.Status == nil || !x.Status.Done && len(m.o.Acts.Nameservers) > 0 {
				r.Fatalf("the end: %s: %+v", x.Name, x.Status)
			}
		}
		again(id, seizure.Done, seizure.Already)
		// Whoever answers for names reads in the log that nobody has let them go.
		last := map[impound.Name]string{}
		for _, e := range m.mem.order {
			if e.What == seizure.WhatReleased || e.What == seizure.WhatRetaken {
				last[e.Name] = e.What
			}
		}
		for n, what := range last {
			count("names let go at least once")
			if what != seizure.WhatRetaken {
				r.Fatalf("%s is taken again, and the log says that it was let go", n)
			}
		}
		// And the way back from there.
		if m.revert(); m.plans[len(m.plans)-1] != id {
			id = m.plans[len(m.plans)-1]
			both(id)
			back, err := m.apply(id)
			for i, np := range planOf(m.mem, id).Names {
				v := m.at(np.Name).names[np.Name].State()
				if np.Blocked == "" && (err != nil || back.Names[i].Outcome != seizure.Done && back.Names[i].Outcome != seizure.Already || len(m.o.Acts.Nameservers) > 0 && !slices.Equal(v.NS, np.Restore.NS)) {
					r.Fatalf("the way back: %v %+v %+v", err, back.Names[i], v)
				}
			}
			again(id, seizure.Done, seizure.Already, seizure.Blocked)
		}
		check()
	})
	if long || testing.Verbose() {
		for _, what := range slices.Sorted(maps.Keys(counts.n)) {
			t.Logf("%9d %s", counts.n[what], what)
		}
	}
	if long && counts.n["steps"] < 100_000 {
		t.Errorf("%d steps, want 100,000", counts.n["steps"])
	}
}

// intentOf finds the intent that c was recorded under.
func intentOf(c seizure.Change) string {
	id := c.ClTRID[len("IMP-"):][:40]
	return "seize/act/" + id + "/intent"
}

// planOf gives a stored plan.
func planOf(m *memory, id string) seizure.Plan {
	var rec seizure.Record
	_ = json.Unmarshal(m.docs["seize-plan/"+id].Body, &rec)
	return rec.Plan
}

// approvals counts the people whose approval of the plan holds, from what the
// store has, proven here.
func approvals(m *memory, planID string, w *world) int {
	var rec seizure.Record
	if json.Unmarshal(m.docs["seize-plan/"+planID].Body, &rec) != nil {
		return 0
	}
	h, err := rec.Plan.Hash()
	if err != nil {
		return 0
	}
	who, err := impound.Signers(rec.Approvals, impound.SignPlan, h, w.keys, impound.RoleApprover)
	if err != nil {
		return 0
	}
	return len(who)
}

func (m *memory) Read(hash string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.bodies[hash]; ok {
		return b, nil
	}
	return nil, impound.Errorf(impound.KindNotFound, "no artefact %s", hash)
}

func without[T comparable](a, b []T) []T {
	return slices.DeleteFunc(slices.Clone(a), func(x T) bool { return slices.Contains(b, x) })
}
