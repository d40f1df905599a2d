package seizure

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// Plan is what apply would do, in execution order, with the observations that it
// rests on. It never changes once made: people sign its hash.
type Plan struct {
	Format    string     `json:"impound"` // "plan/v1"
	ID        string     `json:"id"`
	Order     string     `json:"order"`
	OrderHash string     `json:"order_hash"`
	Case      string     `json:"case"`
	Made      time.Time  `json:"made"`
	By        string     `json:"by"`
	Expires   time.Time  `json:"expires"` // no approval and no apply from then on
	ExecuteAt time.Time  `json:"execute_at,omitzero"`
	Revert    bool       `json:"revert,omitempty"`  // it undoes what the order had done: see [Engine.Revert]
	Release   string     `json:"release,omitempty"` // it lets names go, in this way: see [Engine.Release]
	Hosts     []HostPlan `json:"hosts,omitempty"`
	Names     []NamePlan `json:"names"`
}

// HostPlan is a host object that has to exist at a provider before names can be
// delegated to it.
type HostPlan struct {
	Provider string `json:"provider"`
	Step     Step   `json:"step"`
}

// NamePlan is what is to be done to one name. One that is blocked, or already as
// ordered, has no steps.
type NamePlan struct {
	Name     impound.Name          `json:"name"`
	Provider string                `json:"provider"`
	Role     string                `json:"role"`
	Via      string                `json:"via,omitempty"` // "mail" | "manual": it is asked for; "" where the provider is told
	Former   State                 `json:"former"`
	HostAttr bool                  `json:"host_attr,omitempty"`
	Singly   bool                  `json:"singly,omitempty"` // the provider does one act at a time
	Steps    []Step                `json:"steps,omitempty"`
	Blocked  string                `json:"blocked,omitempty"`
	Verdicts []impound.GateVerdict `json:"verdicts,omitempty"`
	Warnings []string              `json:"warnings,omitempty"`
	Seen     []string              `json:"seen,omitempty"` // hashes of the observations, as artefacts

	// Of a plan that reverts: the state that the name goes back to, and the plan
	// that found it so before the first act.
	Restore    *State `json:"restore,omitempty"`
	FormerPlan string `json:"former_plan,omitempty"`

	Registrant string   `json:"registrant,omitempty"` // id of the contact that the order gives the name to; "" where that is done by hand
	Renew      *Renewal `json:"renew,omitempty"`      // its registration is to go on
	Release    string   `json:"release,omitempty"`    // how the name is let go
	Despite    string   `json:"despite,omitempty"`    // why, in spite of what speaks against it
	Whom       string   `json:"whom,omitempty"`       // whom to ask, where no connector can do it

	// Of a plan that gives back a name whose DS the order removed: whether its
	// former name servers bear that DS out, so that it is put back, and what was
	// seen there.
	DSBack bool   `json:"ds_back,omitempty"`
	DSWhy  string `json:"ds_why,omitempty"`

	dsSeen string         // the artefact of that look, while the plan is made
	used   []impound.Name // hosts under it that other names use, while the plan is made
}

// Step is one command to a provider.
type Step struct {
	Acts   []impound.Act `json:"acts"`
	Change Change        `json:"change"`
	Lines  []string      `json:"lines"` // the diff, for people
}

// Hash is what the approvers sign.
func (p *Plan) Hash() (string, error) { return impound.HashOf(p) }

// Count gives how many names would be changed, are as ordered already, and are
// blocked.
func (p *Plan) Count() (change, already, blocked int) {
	for _, n := range p.Names {
		switch {
		case n.Blocked != "":
			blocked++
		case len(n.Steps) == 0:
			already++
		default:
			change++
		}
	}
	return
}

// String gives the plan as people read it: a diff per provider and name, names
// defanged.
func (p *Plan) String() string {
	hash, _ := p.Hash()
	return p.text(hash)
}

// Text is the plan's String, for those who have its hash.
func (i *PlanInfo) Text() string { return i.Plan.text(i.Hash) }

func (p *Plan) text(hash string) string {
	var b strings.Builder
	verb, asWanted := "of", "as ordered"
	switch {
	case p.Release != "":
		verb, asWanted = "to let names go ("+p.Release+") that were taken under", "let go"
	case p.Revert:
		verb, asWanted = "to revert what was done under", "as it was before"
	}
	fmt.Fprintf(&b, "plan %s "+verb+" order %s (%s)\n  made %s by %s, good until %s\n", p.ID, p.Order, p.OrderHash, p.Made.Format(time.RFC3339), p.By, p.Expires.Format(time.RFC3339))
	if !p.ExecuteAt.IsZero() {
		fmt.Fprintf(&b, "  to be executed at %s\n", p.ExecuteAt.Format(time.RFC3339))
	}
	fmt.Fprintf(&b, "  hash %s\n", hash)
	common := p.CommonWarnings()
	for _, w := range common {
		b.WriteString("  ! every name that changes: " + w + "\n")
	}
	for _, prov := range p.providers() {
		fmt.Fprintf(&b, "provider %s%s\n", prov, p.via(prov))
		for _, h := range p.Hosts {
			if h.Provider == prov {
				for _, l := range h.Step.Lines {
					b.WriteString("  " + l + "\n")
				}
			}
		}
		for _, n := range p.Names {
			if n.Provider != prov {
				continue
			}
			switch {
			case n.Blocked != "":
				fmt.Fprintf(&b, "  %s: BLOCKED: %s\n", n.Name.Defanged(), n.Blocked)
				if n.Whom != "" {
					b.WriteString("    ask " + n.Whom + "\n")
				}
			case len(n.Steps) == 0:
				fmt.Fprintf(&b, "  %s: nothing to do, it is %s\n", n.Name.Defanged(), asWanted)
			default:
				fmt.Fprintf(&b, "  %s\n", n.Name.Defanged())
				for i, s := range n.Steps {
					if len(n.Steps) > 1 {
						fmt.Fprintf(&b, "    step %d\n", i+1)
					}
					for _, l := range s.Lines {
						b.WriteString("    " + l + "\n")
					}
				}
			}
			if n.Despite != "" {
				words := "the reason given: "
				if slices.ContainsFunc(n.Verdicts, func(v impound.GateVerdict) bool {
					return v.Outcome != impound.GatePass && v.Outcome != impound.GateWarn
				}) {
					words = "in spite of what speaks against it: "
				}
				b.WriteString("    " + words + n.Despite + "\n")
			}
			for _, w := range n.Warnings {
				if !slices.Contains(common, w) {
					b.WriteString("    ! " + w + "\n")
				}
			}
		}
	}
	c, a, bl := p.Count()
	fmt.Fprintf(&b, "%d to change, %d %s already, %d blocked\n", c, a, asWanted, bl)
	return b.String()
}

// CommonWarnings are those that every name to change carries, of at least two:
// people read them once, above the names, and what sets a name apart beside it.
func (p *Plan) CommonWarnings() []string {
	var common []string
	names := 0
	for _, n := range p.Names {
		if n.Blocked != "" || len(n.Steps) == 0 {
			continue
		}
		if names++; names == 1 {
			common = slices.Clone(n.Warnings)
			continue
		}
		common = slices.DeleteFunc(common, func(w string) bool { return !slices.Contains(n.Warnings, w) })
	}
	if names < 2 {
		return nil
	}
	return common
}

// via says in words that a provider is asked, not told.
func (p *Plan) via(provider string) string {
	for _, n := range p.Names {
		if n.Provider == provider && n.Via != "" {
			return " (asked by " + map[string]string{"mail": "mail", "manual": "a task for a person"}[n.Via] + ", and waited for)"
		}
	}
	return ""
}

func (p *Plan) providers() []string {
	var out []string
	for _, n := range p.Names {
		if !slices.Contains(out, n.Provider) {
			out = append(out, n.Provider)
		}
	}
	return out
}

// updateLocks forbid any update but their own removal (RFC 5731 2.3).
var updateLocks = []string{"clientUpdateProhibited", "serverUpdateProhibited"}

// planName compares what is ordered for a name with its state and gives the
// steps, or why there can be none. It is pure: apply runs it again to prove that
// the steps of a stored plan follow from the order.
func planName(n impound.Name, acts impound.Acts, role string, s State, hostAttr bool) (steps []Step, blocked string, warnings []string) {
	block := func(format string, args ...any) ([]Step, string, []string) {
		return nil, fmt.Sprintf(format, args...), warnings
	}
	has := func(x string) bool { return slices.Contains(s.Status, x) }
	switch {
	case !s.Exists:
		return block("it is not registered there: nothing to act on")
	case acts.Hold && (len(acts.Nameservers) > 0 || acts.Sinkhole):
		return block("the order contradicts itself: hold takes the name out of its zone, so a redirect would never be asked")
	case has("pendingDelete") || has("redemptionPeriod"):
		return block("it is being deleted (%s): have the registry restore it first, or it comes free", strings.Join(s.Status, ", "))
	case has("pendingTransfer"):
		return block("a transfer to another registrar is under way: have the registry stop it, then plan again")
	}
	hold := ""
	if acts.Hold {
		hold = "clientHold"
		if role == "registry" {
			hold = "serverHold"
		}
	}
	for _, l := range acts.Lock {
		if only, known := impound.EPPStatuses[l]; !known {
			return block("%q is no status that locks a name", l)
		} else if only && role != "registry" {
			return block("%s can be set by the registry only, and this provider is a registrar: order the client status, or serve the order on the registry", l)
		}
	}
	for _, ns := range acts.Nameservers {
		if ns.AtOrBelow(n) {
			return block("name server %s lies inside the name that is taken", ns.Defanged())
		}
	}
	if len(acts.Nameservers) > 0 {
		for _, h := range []string{"clientHold", "serverHold"} {
			if has(h) {
				return block("it is on hold (%s), so a redirect would never be asked: have whoever set the hold lift it, then plan again", h)
			}
		}
		if len(s.DS) > 0 && !acts.RemoveDS {
			return block("its DS would stay behind, and validating resolvers would answer SERVFAIL: order remove_ds")
		}
	}
	c := Change{Name: n, HostAttr: hostAttr}
	if len(acts.Nameservers) > 0 {
		c.AddNS, c.RemNS = without(sortNames(acts.Nameservers), s.NS), without(s.NS, acts.Nameservers)
	}
	c.RemAllDS = acts.RemoveDS && len(s.DS) > 0
	if s.Registrant != acts.Registrant {
		c.Registrant = acts.Registrant
	}
	c.AddStatus = without(sorted(acts.Lock), s.Status)
	if hold != "" && !has(hold) {
		c.AddStatus = sorted(append(c.AddStatus, hold))
	}
	if len(c.Acts()) == 0 {
		return nil, "", warnings
	}
	return aroundLocks(c, acts, role, s, warnings)
}

// aroundLocks gives the steps of c, where an update lock that c leaves standing
// would forbid it: the lock is lifted in the same command and put back by the
// next one.
func aroundLocks(c Change, acts impound.Acts, role string, s State, warnings []string) (steps []Step, blocked string, _ []string) {
	var back []string
	for _, l := range updateLocks {
		if !slices.Contains(s.Status, l) || slices.Contains(c.RemStatus, l) {
			continue
		}
		if l == "serverUpdateProhibited" && role != "registry" {
			return nil, "it is locked with " + l + ", which only the registry can lift: serve the order on the registry", warnings
		}
		if len(acts.Lock) == 0 {
			return nil, "it is locked with " + l + ", and the order allows no act on locks: have it lifted, or order lock", warnings
		}
		back = append(back, l)
	}
	steps = []Step{{Change: c}}
	if len(back) > 0 {
		warnings = append(warnings, strings.Join(back, " and ")+" stands before the change: lifted with it, then put back")
		steps[0].Change.RemStatus = sorted(append(back, c.RemStatus...))
		steps = append(steps, Step{Change: Change{Name: c.Name, AddStatus: back, HostAttr: c.HostAttr, Release: c.Release}})
	}
	for i := range steps {
		steps[i].Acts, steps[i].Lines = steps[i].Change.Acts(), steps[i].Change.Lines()
	}
	return steps, "", warnings
}

// singly gives steps of one act each: what forbids the others is lifted first,
// locks are set last, and the DS goes before the name servers, since a name without one at
// its former servers works, and one with a DS at other servers does not.
func singly(steps []Step) []Step {
	var out []Step
	for _, s := range steps {
		c := s.Change
		if len(c.Acts()) < 2 {
			out = append(out, s)
			continue
		}
		for _, one := range []Change{
			{RemStatus: locks(c.RemStatus, true)}, {RemStatus: locks(c.RemStatus, false)},
			{RemAllDS: c.RemAllDS}, {AddNS: c.AddNS, RemNS: c.RemNS}, {BackDS: c.BackDS}, {Registrant: c.Registrant},
			{AddStatus: locks(c.AddStatus, false)}, {AddStatus: locks(c.AddStatus, true)},
		} {
			one.Name, one.HostAttr, one.Release = c.Name, c.HostAttr, c.Release
			if len(one.Acts()) > 0 {
				out = append(out, Step{Acts: one.Acts(), Change: one, Lines: one.Lines()})
			}
		}
	}
	return out
}

// locks gives those of statuses that lock, or those that hold.
func locks(statuses []string, lock bool) []string {
	var out []string
	for _, s := range statuses {
		if strings.HasSuffix(s, "Hold") != lock {
			out = append(out, s)
		}
	}
	return out
}

// newHosts gives the name servers that np delegates to.
func (np NamePlan) newHosts() []impound.Name {
	var out []impound.Name
	for _, s := range np.Steps {
		out = append(out, s.Change.AddNS...)
	}
	return out
}

// reached says whether s is what acts order.
func reached(acts impound.Acts, role string, s State) bool {
	if !s.Exists || acts.RemoveDS && len(s.DS) > 0 {
		return false
	}
	if len(acts.Nameservers) > 0 && !slices.Equal(sortNames(acts.Nameservers), s.NS) || acts.Registrant != "" && s.Registrant != acts.Registrant {
		return false
	}
	if acts.Hold && !slices.Contains(s.Status, "serverHold") && !(role == "registrar" && slices.Contains(s.Status, "clientHold")) {
		return false
	}
	return len(without(acts.Lock, s.Status)) == 0
}

// Plan compares the order with what is observed, name by name, and keeps the
// plan. Nothing is changed anywhere. Names that can't be observed at their
// provider are blocked with the reason. An order that is not in force gives
// KindRefused.
func (e *Engine) Plan(ctx context.Context, m *impound.Mandate) (*Plan, error) {
	now := e.now()
	if !m.InForce(now) {
		if m == nil {
			return nil, impound.Errorf(impound.KindRefused, "there is no order to plan for")
		}
		from, until := m.Window()
		// A plan may be made and approved before the order begins, not after
		// it has ended.
		if !now.Before(until) {
			return nil, impound.Errorf(impound.KindRefused, "order %s has lapsed: it held from %s until %s", m.ID(), from.Format(time.RFC3339), until.Format(time.RFC3339)).WithCure("file a new order")
		}
	}
	o := m.Order()
	p := e.newPlan(m, now)
	p.ExecuteAt = o.ExecuteAt
	var names []impound.Name
	for _, on := range o.Names() {
		names = append(names, on.Name)
	}
	p.Names = make([]NamePlan, len(names))
	for i, n := range names {
		p.Names[i].Name = n
	}
	if err := e.planAll(ctx, m, p.Names); err != nil {
		return nil, err
	}
	p.harmed()
	if err := e.planHosts(ctx, m, p); err != nil {
		return nil, err
	}
	if err := e.planContacts(ctx, m, p); err != nil {
		return nil, err
	}
	if err := e.warnReverted(ctx, p); err != nil {
		return nil, err
	}
	return e.keepPlan(ctx, p)
}

// planAll fills in the plans for nps, several at a time, and keeps what was seen.
// One that is blocked already is left as it is.
func (e *Engine) planAll(ctx context.Context, m *impound.Mandate, nps []NamePlan) error {
	turn := spread(len(nps), func(i int) string { return e.holder(ctx, nps[i].Name) })
	sh := &sheaf{e: e, caseID: m.Case()}
	hashes := make([]string, len(nps))
	err := parallel(ctx, e.cfg.Parallel, len(nps), func(k int) (err error) {
		if i := turn[k]; nps[i].Blocked == "" {
			nps[i], err = e.planOne(ctx, m, nps[i], sh, func(hash string) { hashes[i] = hash })
		}
		return err
	})
	if err == nil {
		err = sh.close(ctx)
	}
	for i, h := range hashes {
		if h != "" {
			nps[i].Seen = []string{h}
		}
		if h := nps[i].dsSeen; h != "" {
			nps[i].Seen = append(nps[i].Seen, h)
		}
	}
	return err
}

// newPlan begins a plan under m, made now.
func (e *Engine) newPlan(m *impound.Mandate, now time.Time) *Plan {
	p := &Plan{
		Format: "plan/v1", Order: m.ID(), OrderHash: m.Hash(), Case: m.Case(),
		Made: now.Truncate(time.Second), By: e.cfg.By, Expires: now.Add(e.cfg.MaxAge).Truncate(time.Second),
	}
	if _, until := m.Window(); until.Before(p.Expires) {
		p.Expires = until.UTC()
	}
	return p
}

// keepPlan gives a finished plan its id, and keeps it as evidence and in the
// store.
func (e *Engine) keepPlan(ctx context.Context, p *Plan) (*Plan, error) {
	h, err := p.Hash() // without the id, which it gives
	if err != nil {
		return nil, err
	}
	p.ID = "plan-" + strings.TrimPrefix(h, "sha256:")[:12]
	// The bytes that are hashed are those that are kept: a plan can be long, and
	// each time that it is written out costs.
	body, err := impound.CanonicalJSON(p)
	if err != nil {
		return nil, err
	}
	h = impound.HashBytes(body)
	a, err := e.cfg.Evidence.Capture(ctx, impound.Artefact{Kind: "plan", Media: "application/json", Case: p.Case, Source: "plan " + p.ID, Tool: Tool, By: e.cfg.By, At: p.Made}, body)
	if err != nil {
		return nil, fmt.Errorf("couldn't keep the plan as evidence: %w", err)
	}
	c, al, bl := p.Count()
	_, err = e.cfg.Evidence.Append(ctx, impound.Entry{
		ID: "seize/" + p.ID + "/made", Type: impound.EntryDecision, At: p.Made, By: e.cfg.By, What: "seize.plan", Case: p.Case, Order: p.Order,
		Detail: map[string]string{"plan": p.ID, "hash": h, "artefact": a.Hash, "change": fmt.Sprint(c), "already": fmt.Sprint(al), "blocked": fmt.Sprint(bl)},
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't record the plan: %w", err)
	}
	err = e.cfg.Store.Update(ctx, func(tx store.Tx) error {
		_, err := tx.Put(store.Doc{Kind: docPlan, ID: p.ID, Body: slices.Concat([]byte(`{"plan":`), body, []byte("}")), Index: map[string]string{"order": p.Order, "case": p.Case}})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't store the plan: %w", err)
	}
	return p, nil
}

// planOne fills in the plan for np.Name: to bring about the order, or where
// np.Restore is given, to go back to that. What was seen goes into sh, and kept is
// told the artefact's hash.
func (e *Engine) planOne(ctx context.Context, m *impound.Mandate, np NamePlan, sh *sheaf, kept func(hash string)) (NamePlan, error) {
	n := np.Name
	e.say(Event{Name: n, Phase: "observe"})
	conn, err := e.connector(ctx, n)
	if err != nil {
		np.Blocked = err.Error()
		if e.cfg.Whom != nil {
			np.Whom = e.cfg.Whom(n)
		}
		return np, nil
	}
	np.Provider, np.Role, np.Singly = conn.Provider(), conn.Capabilities().Role, conn.Capabilities().Singly
	if c := conn.Capabilities(); c.Asks {
		np.Via = c.Kind
	}
	acts, ordered := m.Acts(n)
	var why string
	np.Registrant = e.registrantID(np.Provider, acts.Registrant)
	np.Verdicts, why = e.check(ctx, m, np)
	if !ordered && why == "" {
		why = "it is withheld from the mandate: a gate keeps it out"
	}
	v, err := e.lookAt(ctx, conn, m.Case(), m.ID(), n)
	if ctx.Err() != nil {
		return np, ctx.Err()
	}
	if err != nil {
		np.Blocked = "the provider could not be asked: " + err.Error()
		return np, nil
	}
	np.Former, np.HostAttr = v.State(), v.HostAttr
	if err := e.keepSeen(ctx, sh, m.ID(), n, conn.Provider(), v, kept); err != nil {
		return np, err
	}
	if why != "" {
		np.Blocked = why
		return np, nil
	}
	if v.Pending() {
		np.Blocked = "an earlier change is still pending at the registry: wait for it, then plan again"
		return np, nil
	}
	need := acts.List()
	if np.Release == impound.ReleaseDelete {
		need = append(need, impound.ActDelete)
		if len(v.Hosts) > 0 {
			np.Blocked = "hosts under it must go first, and other names may use them: " + strings.Join(defang(v.Hosts), ", ")
			return np, nil
		}
	}
	for _, act := range need {
		if act != impound.ActSinkhole && act != impound.ActRegistrant && act != impound.ActRenew && !slices.Contains(conn.Capabilities().Acts, act) {
			np.Blocked = fmt.Sprintf("provider %s can't do %s", conn.Provider(), act)
			if np.Role == "host" {
				np.Blocked = fmt.Sprintf("provider %s is a host and is not asked: %s", conn.Provider(), hostActs)
			}
			return np, nil
		}
	}
	if _, until := m.Window(); np.Restore == nil && slices.Contains(conn.Capabilities().Acts, impound.ActRenew) {
		np.Renew = renewal(acts, v, until, e.now())
	}
	if err := e.lookDSBack(ctx, m, &np, acts); err != nil {
		return np, err
	}
	np.Steps, np.Blocked, np.Warnings = np.plan(acts)
	np.DSBack = np.DSBack && backDS(np.Steps)
	if len(np.Steps) > 0 && np.Via != "" {
		l, err := e.waitedFor(ctx, m.ID(), n)
		switch {
		case err != nil:
			return np, err
		case l != nil && np.Restore != nil:
			np.Warnings = append(np.Warnings, "letter "+l.ID+" still asks for it: withdraw it, and close it with impound seize settle "+l.ID+" --close")
		case l != nil:
			np.Steps, np.Blocked = nil, fmt.Sprintf("it was asked for on %s by letter %s and is waited for: see impound seize letters %s; to ask anew, close that letter: impound seize settle %s --close", l.Sent.Format(time.DateOnly), l.ID, m.ID(), l.ID)
		}
	}
	for _, v := range np.Verdicts {
		if v.Outcome == impound.GateWarn {
			np.Warnings = append(np.Warnings, v.Gate+" warns: "+v.Reason)
		}
	}
	if len(np.Steps) > 0 && np.Restore == nil {
		if why := e.contradicts(ctx, conn, m, acts, &np, v); why != "" {
			np.Steps, np.Blocked = nil, why
			return np, nil
		}
		if w := untold(conn, v); w != "" {
			np.Warnings = append(np.Warnings, w)
		}
	}
	return np, nil
}

// lookAt looks at a name at its provider, and again where that had trouble of its
// own: looking twice does no harm, and a name left out of a plan does.
func (e *Engine) lookAt(ctx context.Context, conn Connector, caseID, order string, n impound.Name) (RegistryView, error) {
	wait := e.cfg.Backoff
	for try := 0; ; try++ {
		v, err := e.ask(ctx, conn, caseID, order, n)
		if err == nil || impound.KindOf(err) != impound.KindUnavailable || try+1 >= e.cfg.Tries || ctx.Err() != nil {
			return v, err
		}
		e.say(Event{Provider: conn.Provider(), Name: n, Phase: "retry", Text: err.Error()})
		if e.cfg.Sleep(ctx, wait) != nil {
			return v, err
		}
		wait = min(2*wait, 30*time.Second)
	}
}

// keepSeen puts what was seen of a name at its provider, its parent, RDAP and its
// own servers into sh; kept is told the artefact's hash.
func (e *Engine) keepSeen(ctx context.Context, sh *sheaf, order string, n impound.Name, provider string, v RegistryView, kept func(hash string)) error {
	s := seen{Name: n, At: e.now(), Provider: provider, Frames: seenFrames(v.Frames, "received")}
	var wg sync.WaitGroup
	wg.Go(func() { s.RDAP = e.published(ctx, n) })
	p := e.cfg.Observe.Parent(ctx, n)
	s.Parent, s.Child = p, e.cfg.Observe.Servers(ctx, p)
	wg.Wait()
	return sh.add(ctx, s, impound.Entry{Type: impound.EntrySystem, At: s.At, By: e.cfg.By, What: "seize.observe", Case: sh.caseID, Order: order, Name: n, Detail: map[string]string{"provider": provider}}, kept)
}

// keepFrames keeps the frames of direction dir ("" for both).
func (e *Engine) keepFrames(ctx context.Context, caseID string, n impound.Name, provider string, frames []Frame, dir string) ([]string, error) {
	var out []string
	for _, f := range frames {
		if dir != "" && f.Dir != dir {
			continue
		}
		a, err := e.cfg.Evidence.Capture(ctx, impound.Artefact{Kind: "frame", Media: cmp.Or(f.Media, "application/epp+xml"), Name: n, Case: caseID, Source: provider + ", " + f.Dir, Tool: Tool, By: e.cfg.By, At: f.At}, f.Body)
		if err != nil {
			return out, fmt.Errorf("couldn't keep a frame as evidence: %w", err)
		}
		out = append(out, a.Hash)
	}
	return out, nil
}

// planHosts adds the host objects that are missing at each provider.
func (e *Engine) planHosts(ctx context.Context, m *impound.Mandate, p *Plan) error {
	done := map[string]bool{}
	for i := range p.Names {
		np := &p.Names[i]
		if len(np.Steps) == 0 || np.HostAttr {
			continue
		}
		for _, h := range np.newHosts() {
			key := np.Provider + " " + h.String()
			if done[key] {
				continue
			}
			exists, err := e.cfg.Connectors[np.Provider].Host(ctx, h)
			if err != nil {
				if ctx.Err() != nil {
					return ctx.Err()
				}
				np.Steps, np.Blocked = nil, "the provider could not be asked for the host "+h.Defanged()+": "+err.Error()
				break
			}
			done[key] = true
			if !exists {
				p.Hosts = append(p.Hosts, HostPlan{Provider: np.Provider, Step: hostStep(np.Name, h, e.glue(ctx, np.Provider, np.Name, h))})
			}
		}
	}
	return nil
}

// glue gives the addresses of host h, created at provider for n. They go along
// only where the host lies in a zone of the provider's own (RFC 5732 3.2.1).
func (e *Engine) glue(ctx context.Context, provider string, n, h impound.Name) []netip.Addr {
	if h.TLD() != n.TLD() {
		if e.cfg.Route == nil {
			return nil
		}
		if p, err := e.cfg.Route(ctx, h); err != nil || p != provider {
			return nil
		}
	}
	return e.cfg.HostAddrs[h]
}

// hostStep creates host h for name n.
func hostStep(n, h impound.Name, addrs []netip.Addr) Step {
	c := Change{Name: n, CreateHost: h, HostAddrs: addrs}
	return Step{Acts: c.Acts(), Change: c, Lines: c.Lines()}
}

// holder gives the provider of n, "" when there is none.
func (e *Engine) holder(ctx context.Context, n impound.Name) string {
	c, err := e.connector(ctx, n)
	if err != nil {
		return ""
	}
	return c.Provider()
}

// spread gives the order in which to go through 0 to n-1 so that each provider
// has its turn: a list that is sorted by top-level domain would else wait for one
// session after the other.
func spread(n int, provider func(i int) string) []int {
	var ids []string
	of := map[string][]int{}
	for i := range n {
		id := provider(i)
		if of[id] == nil {
			ids = append(ids, id)
		}
		of[id] = append(of[id], i)
	}
	out := make([]int, 0, n)
	for k := 0; len(out) < n; k++ {
		for _, id := range ids {
			if k < len(of[id]) {
				out = append(out, of[id][k])
			}
		}
	}
	return out
}

// parallel runs f for 0 to n-1, up to width at the same time, and gives the
// first error by index. It stops beginning new ones when ctx ends.
func parallel(ctx context.Context, width, n int, f func(int) error) error {
	errs := make([]error, n)
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(max(1, width), n) { // each does many, on a stack that is large enough by then
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				if errs[i] = ctx.Err(); errs[i] != nil {
					return
				}
				errs[i] = f(i)
			}
		})
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
