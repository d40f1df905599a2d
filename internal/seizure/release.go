package seizure

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
)

// LettingGo says how names are to be let go.
type LettingGo struct {
	How string // impound.ReleaseRestore, ReleaseExpire or ReleaseDelete
	// Despite is why it is done in spite of what speaks against it; "" keeps
	// every name that something speaks against. It stands in the plan, which
	// two people sign.
	Despite string
}

// Release makes a plan that lets names go for good: restored to what they were,
// left to run out (locks off, our name servers out), or deleted. It is a plan
// like any other: two approvers, an apply, intents, results and a look
// afterwards.
//
// What allows it is the order's return clause (law 1): see
// [impound.ReleaseTerms]. While the order is in force, and after its end as long
// as the clause says, the order lets its names go in the ways that it names, and
// nothing else; an order without a clause allows what at_end amounts to, and
// only while it is in force.
//
// What keeps a name is not the gates, which ask whether it may be taken, but
// [Config.Risks]: who could buy it, and who still comes to it.
//
// The error is KindRefused when the order does not let names go so, and
// KindNotFound when nothing was done under it.
func (e *Engine) Release(ctx context.Context, m *impound.Mandate, how LettingGo, names ...impound.Name) (*Plan, error) {
	now := e.now()
	if err := m.Releases(how.How, now); err != nil {
		return nil, err
	}
	formers, err := e.formers(ctx, m)
	if err != nil {
		return nil, err
	}
	if len(names) == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "no name to let go").WithCure("name each: letting go is done for good")
	}
	p := e.newPlan(m, now)
	p.Release, p.Expires = how.How, now.Add(e.cfg.MaxAge).Truncate(time.Second)
	if _, until := m.ReleaseWindow(); until.Before(p.Expires) {
		p.Expires = until.UTC()
	}
	o := m.Order()
	for _, n := range sortNames(names) {
		if _, ok := o.ActsFor(n); !ok {
			return nil, impound.Errorf(impound.KindRefused, "%s is in no appendix of order %s", n.Defanged(), m.ID())
		}
		np := NamePlan{Name: n, Release: how.How, Despite: how.Despite}
		if f := formers[n]; f.plan != "" {
			np.FormerPlan, np.Restore = f.plan, &f.state
		} else {
			np.Release, np.Blocked = "", "nothing was done to it under this order that could be let go"
		}
		p.Names = append(p.Names, np)
	}
	if err := e.planAll(ctx, m, p.Names); err != nil {
		return nil, err
	}
	if err := e.formerHosts(ctx, p); err != nil {
		return nil, err
	}
	return e.keepPlan(ctx, p)
}

// undoes says whether p takes back what the order had done.
func (p *Plan) undoes() bool { return p.Revert || p.Release != "" }

// object is what c makes before names can use it: a host, or a contact.
func (c Change) object() string {
	if c.CreateContact != nil {
		return c.CreateContact.ID()
	}
	return c.CreateHost.String()
}

// inForce says whether m allows now what p does.
func (p *Plan) inForce(m *impound.Mandate, now time.Time) bool {
	if p.Release != "" {
		return m.Releases(p.Release, now) == nil
	}
	return m.InForce(now)
}

// of gives the plan for n.
func (p *Plan) of(n impound.Name) NamePlan {
	for _, np := range p.Names {
		if np.Name == n {
			return np
		}
	}
	return NamePlan{Name: n}
}

type object string

func (o object) String() string { return string(o) }

// mandateFor gives the mandate of p's order, proven, and within the dates that
// it has for what p does.
func (e *Engine) mandateFor(ctx context.Context, p *Plan) (*impound.Mandate, error) {
	if p.Release == "" {
		return e.mandate(ctx, p.Order)
	}
	m, err := e.cfg.Mandate(ctx, p.Order)
	if err != nil {
		return nil, err
	}
	if m == nil || m.ID() != p.Order {
		return nil, impound.Errorf(impound.KindRefused, "there is no proven order %s", p.Order)
	}
	return m, m.Releases(p.Release, e.now())
}

// check asks what may keep a name from what the plan does with it: the gates,
// or, where it is let go, what speaks against that. why is "" when it may be
// done.
func (e *Engine) check(ctx context.Context, m *impound.Mandate, np NamePlan) (vs []impound.GateVerdict, why string) {
	if np.Release == "" {
		return e.gates(ctx, m, np.Name)
	}
	if e.cfg.Risks == nil {
		return nil, "nobody weighs what follows, and kept is the default"
	}
	vs, err := e.cfg.Risks(ctx, m, np.Name, np.Release)
	if err != nil {
		return vs, "what follows could not be weighed: " + err.Error()
	}
	if len(vs) == 0 {
		return vs, "nobody weighed what follows, and kept is the default"
	}
	for _, v := range vs {
		if v.Outcome == impound.GatePass || v.Outcome == impound.GateWarn {
			continue
		}
		// What the approvers saw, they accepted with the plan; what came up since
		// keeps the name.
		seen := np.Verdicts == nil || slices.ContainsFunc(np.Verdicts, func(x impound.GateVerdict) bool { return x.Gate == v.Gate && x.Outcome == v.Outcome })
		if np.Despite == "" || !seen {
			return vs, fmt.Sprintf("keep it: %s says %s: %s", v.Gate, v.Outcome, v.Reason)
		}
	}
	return vs, ""
}

// planRelease gives the steps that let np go. It is pure.
func (np NamePlan) planRelease(acts impound.Acts) (steps []Step, blocked string, warnings []string) {
	s, target := np.Former, *np.Restore
	block := func(format string, args ...any) ([]Step, string, []string) {
		return nil, fmt.Sprintf(format, args...), warnings
	}
	if np.letGo(acts, s) {
		return nil, "", nil
	}
	if np.Release == impound.ReleaseRestore {
		steps, blocked, warnings = np.planRevert(acts)
		return released(steps), blocked, warnings
	}
	has := func(x string) bool { return slices.Contains(s.Status, x) }
	switch {
	case !s.Exists:
		return block("it is not registered any more: nothing to let go")
	case s.ID != target.ID:
		return block("it is another registration than the one that was taken")
	case has("pendingDelete") || has("redemptionPeriod"):
		return block("it is being deleted already (%s)", strings.Join(s.Status, ", "))
	case has("pendingTransfer"):
		return block("a transfer to another registrar is under way: plan again when it is over")
	}
	c := Change{Name: np.Name, HostAttr: np.HostAttr, Release: true}
	if len(acts.Nameservers) > 0 {
		if other := without(s.NS, acts.Nameservers); len(other) > 0 {
			return block("somebody else changed its name servers: %s is not an ordered one", strings.Join(defang(other), ", "))
		}
		c.RemNS = s.NS
	}
	for _, x := range acts.Lock {
		if !has(x) || slices.Contains(target.Status, x) {
			continue
		}
		if strings.HasPrefix(x, "server") && np.Role != "registry" {
			return block("%s can be changed by the registry only, and this provider is a registrar", x)
		}
		c.RemStatus = append(c.RemStatus, x)
	}
	c.RemStatus = sorted(c.RemStatus)
	if len(s.Status) > len(c.RemStatus) {
		warnings = append(warnings, "it keeps the statuses that it had: "+strings.Join(without(s.Status, c.RemStatus), ", "))
	}
	if len(c.RemNS)+len(c.RemStatus) > 0 {
		if steps, blocked, warnings = aroundLocks(c, acts, np.Role, s, warnings); blocked != "" {
			return nil, blocked, warnings
		}
	}
	if np.Release == impound.ReleaseDelete {
		for _, l := range []string{"clientDeleteProhibited", "serverDeleteProhibited"} {
			if has(l) && !slices.Contains(c.RemStatus, l) {
				return block("%s stood before the order, and forbids it: have whoever set it lift it, then plan again", l)
			}
		}
		d := Change{Name: np.Name, Delete: true, Release: true}
		steps = append(steps, Step{Acts: d.Acts(), Change: d, Lines: d.Lines()})
	}
	return steps, "", warnings
}

// released marks steps as done under the return clause.
func released(steps []Step) []Step {
	for i := range steps {
		steps[i].Change.Release = true
		steps[i].Acts = steps[i].Change.Acts()
	}
	return steps
}

// letGo says whether s is what letting np go leads to.
func (np NamePlan) letGo(acts impound.Acts, s State) bool {
	switch np.Release {
	case impound.ReleaseDelete:
		return !s.Exists || slices.Contains(s.Status, "pendingDelete") || slices.Contains(s.Status, "redemptionPeriod")
	case impound.ReleaseExpire:
		ours := without(acts.Lock, np.Restore.Status)
		return s.Exists && s.ID == np.Restore.ID && (len(acts.Nameservers) == 0 || len(s.NS) == 0) && len(without(ours, s.Status)) == len(ours)
	}
	return s.Exists && np.restored(acts, s)
}

// judgeGone says what the views show of a name that is to be out of its zone.
func judgeGone(w wanted, parent observe.View, rdap observe.RDAPView, resolver observe.View) []ViewStatus {
	p, r, v := ViewStatus{View: "parent", State: AsOrdered, Why: "out of the zone"}, ViewStatus{View: "rdap", State: AsOrdered}, ViewStatus{View: "resolver", State: AsOrdered, Why: "it does not resolve"}
	switch n := parent.Answered(); {
	case parent.Err != "":
		p.State, p.Why = Unknown, parent.Err
	case slices.ContainsFunc(parent.Servers, func(s observe.ServerView) bool { return s.Err == "" && s.Exists }):
		p.State, p.Why = NotYet, "still in the zone: "+dots(parent.NS)
	case 2*n < len(parent.Servers):
		p.State, p.Why = Unknown, fmt.Sprintf("%d of %d servers answered", n, len(parent.Servers))
	}
	gone := slices.Contains(rdap.Status, "pendingDelete") || slices.Contains(rdap.Status, "redemptionPeriod")
	switch still := without(w.free, without(w.free, rdap.Status)); {
	case rdap.Err != "":
		r.State, r.Why = Unknown, rdap.Err
	case w.release == impound.ReleaseDelete && !rdap.Exists:
		r.Why = "it is not registered"
	case w.release == impound.ReleaseDelete && gone:
		r.Why = "it is being deleted"
	case w.release == impound.ReleaseDelete:
		r.State, r.Why = NotYet, "it is registered still"
	case !rdap.Exists:
		r.State, r.Why = Otherwise, "it is not registered"
	case len(still) > 0:
		r.State, r.Why = NotYet, "still with "+strings.Join(still, ", ")
	case len(rdap.NS) > 0:
		r.State, r.Why = NotYet, "still with name servers: "+dots(rdap.NS)
	default:
		r.Why = "without name servers and the order's locks"
	}
	if len(resolver.Servers) == 0 {
		v.State, v.Why = Unknown, resolver.Err
	}
	for _, s := range resolver.Servers {
		switch {
		case s.Err != "" && !s.Bogus:
			v.State, v.Why = worse(v.State, Unknown), s.Server+": "+s.Err
		case s.Exists:
			v.State, v.Why = worse(v.State, NotYet), s.Server+": it still resolves"
		}
	}
	return []ViewStatus{p, r, v}
}

// judgeRegistrant adds to what RDAP shows whether the name belongs to whom it is
// to belong to. Where RDAP doesn't publish that, the provider is asked.
func (e *Engine) judgeRegistrant(ctx context.Context, n impound.Name, w wanted, v observe.RDAPView, out ViewStatus) ViewStatus {
	if out.State == Unknown || !v.Exists {
		return out
	}
	say := func(state, why string) ViewStatus {
		out.State, out.Why = worse(out.State, state), out.Why+"; "+why
		return out
	}
	if v.RegistrantHandle == w.registrant {
		return say(AsOrdered, "the ordered registrant")
	}
	conn := e.cfg.Connectors[w.provider]
	if conn == nil {
		return say(Unknown, "the registrant is not published")
	}
	x, err := conn.Info(ctx, n)
	switch {
	case err != nil:
		return say(Unknown, "the registrant is not published, and the provider could not be asked: "+err.Error())
	case x.Registrant != w.registrant:
		return say(NotYet, "the registrant is another: "+x.Registrant)
	case v.RegistrantHandle != "" && w.former != nil && v.RegistrantHandle == w.former.Registrant:
		return say(NotYet, "still the former registrant, which the provider has changed")
	}
	return say(AsOrdered, "the ordered registrant, by the provider's word: RDAP does not publish it")
}

// What the evidence log says of names that were let go, the newest being so:
// whoever answers for names reads it.
const (
	WhatReleased = "seize.released"
	WhatRetaken  = "seize.retaken" // it was let go, and a later plan took it again
)

// noteReleased records which names were let go for good, or taken again. It runs
// before the store is written: an apply that was cut off is run again, and
// recording twice is recording once.
func (e *Engine) noteReleased(ctx context.Context, p *Plan, rs []NameResult) error {
	released := map[impound.Name]bool{}
	if p.Release == "" {
		known, err := e.Status(ctx, p.Order)
		if err != nil {
			return err
		}
		for _, k := range known {
			released[k.Name] = k.Released != ""
		}
	}
	despite := map[impound.Name]string{}
	for _, np := range p.Names {
		despite[np.Name] = np.Despite
	}
	for _, x := range rs {
		if x.Outcome != Done && x.Outcome != Already || p.Release == "" && !released[x.Name] {
			continue
		}
		what, d := WhatReleased, map[string]string{"plan": p.ID, "how": p.Release}
		if p.Release == "" {
			what, d = WhatRetaken, map[string]string{"plan": p.ID}
		} else if why := despite[x.Name]; why != "" {
			d["despite"] = why
		}
		_, err := e.cfg.Evidence.Append(ctx, impound.Entry{ID: what + "/" + p.ID + "/" + x.Name.String(), Type: impound.EntrySystem, At: e.now(), By: e.cfg.By, What: what, Case: p.Case, Order: p.Order, Name: x.Name, Detail: d})
		if err != nil {
			return fmt.Errorf("couldn't record that %s was let go: %w", x.Name.Defanged(), err)
		}
	}
	return nil
}
