package seizure

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// Revert makes a plan that gives names back the state which they had before the
// order was carried out on them: name servers, and those statuses that the order
// is about. It is a plan like any other: two approvers, an apply, intents,
// results and a look afterwards. Without names it is for every name that was
// acted on.
//
// What allows it is the same order, while it is in force, and only for the acts
// that it orders for the name: whoever may set a lock under it may lift it. An
// order that has lapsed allows nothing any more, whatever its at_end says
// (law 1): going back then takes a new order, or the registry does it. A name
// that a gate keeps out by now is kept out here too, until it is overridden.
//
// A DS that was removed is put back, after the name servers, where those are the
// former ones again and bear it out at that moment: see [ChainObserver]. Else the
// plan says why it is not and which one it was: one that nothing bears out would
// break the name for every validating resolver.
//
// The error is KindRefused when the order is not in force, and KindNotFound when
// nothing was done under it.
func (e *Engine) Revert(ctx context.Context, m *impound.Mandate, names ...impound.Name) (*Plan, error) {
	now := e.now()
	if m == nil {
		return nil, impound.Errorf(impound.KindRefused, "there is no order to revert")
	}
	if !m.InForce(now) {
		from, until := m.Window()
		return nil, impound.Errorf(impound.KindRefused, "order %s is not in force at %s (it holds from %s until %s), so nothing may be done under it, not even undone", m.ID(), now.Format(time.RFC3339), from.Format(time.RFC3339), until.Format(time.RFC3339)).
			WithCure("file an order that covers the names, or have the registry do it")
	}
	formers, err := e.formers(ctx, m)
	if err != nil {
		return nil, err
	}
	o := m.Order()
	all := len(names) == 0
	if all {
		for _, on := range o.Names() {
			if formers[on.Name].plan != "" {
				names = append(names, on.Name)
			}
		}
		if len(names) == 0 {
			return nil, impound.Errorf(impound.KindNotFound, "nothing was done under order %s that could be undone", m.ID())
		}
	}
	p := e.newPlan(m, now)
	p.Revert = true
	for _, n := range sortNames(names) {
		if _, ok := o.ActsFor(n); !ok {
			return nil, impound.Errorf(impound.KindRefused, "%s is in no appendix of order %s", n.Defanged(), m.ID())
		}
		np := NamePlan{Name: n}
		if f := formers[n]; f.plan != "" {
			np.FormerPlan, np.Restore = f.plan, &f.state
		} else {
			np.Blocked = "nothing was done to it under this order that could be undone"
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

// formerHosts blocks names whose former name servers the registry no longer
// knows: they are others' to create.
func (e *Engine) formerHosts(ctx context.Context, p *Plan) error {
	known := map[string]bool{}
	for i := range p.Names {
		np := &p.Names[i]
		if len(np.Steps) == 0 || np.HostAttr {
			continue
		}
		for _, h := range np.newHosts() {
			key := np.Provider + " " + h.String()
			if !known[key] {
				ok, err := e.cfg.Connectors[np.Provider].Host(ctx, h)
				switch {
				case ctx.Err() != nil:
					return ctx.Err()
				case err != nil:
					np.Steps, np.Blocked = nil, "the provider could not be asked for the host "+h.Defanged()+": "+err.Error()
				case !ok:
					np.Steps, np.Blocked = nil, "its former name server "+h.Defanged()+" is no longer known to the provider: whoever runs it must have it created first"
				}
				if np.Blocked != "" {
					break
				}
				known[key] = true
			}
		}
	}
	return nil
}

// former is the state of a name before the order, and the plan that found it.
type former struct {
	plan  string
	state State
}

// formers gives what each name was like before the first act under m, or before
// the first since it was given back. The store is only asked which plans there
// are; what they say is proven by the evidence log.
func (e *Engine) formers(ctx context.Context, m *impound.Mandate) (map[impound.Name]former, error) {
	var rs []record
	err := e.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		rs, err = store.Values[record](tx, store.Query{Kind: docPlan, Field: "order", Value: m.ID()})
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortStableFunc(rs, func(a, b record) int {
		return cmp.Or(a.Plan.Made.Compare(b.Plan.Made), cmp.Compare(a.Plan.ID, b.Plan.ID))
	})
	last := map[impound.Name]*Plan{} // the newest plan that gave the name back
	undone := map[string]bool{}      // plan and name that one of them undid
	for i := range rs {
		p := &rs[i].Plan
		h, ok, err := e.provenPlan(p, m)
		if err != nil {
			return nil, err
		}
		if !p.undoes() || !ok {
			continue
		}
		for _, np := range p.Names {
			if len(np.Steps) == 0 {
				continue
			}
			_, done, err := e.cfg.Evidence.Entry("seize/act/" + stepID(h, np.Name, updateWhat, len(np.Steps)-1) + "/result")
			if err != nil {
				return nil, fmt.Errorf("couldn't read the evidence log: %w", err)
			}
			if done {
				last[np.Name] = p
				undone[np.FormerPlan+" "+np.Name.String()] = true
			}
		}
	}
	out := map[impound.Name]former{}
	for i := range rs {
		p := &rs[i].Plan
		found, err := e.found(p, m)
		if err != nil {
			return nil, err
		}
		for n, s := range found {
			if l := last[n]; out[n].plan == "" && !undone[p.ID+" "+n.String()] && (l == nil || !p.Made.Before(l.Made)) {
				out[n] = former{plan: p.ID, state: *s}
			}
		}
	}
	return out, nil
}

// found gives the states in which plan p found the names on which an act was
// then begun, proven by the evidence log; nothing for a plan that it doesn't
// know as made under m.
func (e *Engine) found(p *Plan, m *impound.Mandate) (map[impound.Name]*State, error) {
	out := map[impound.Name]*State{}
	h, ok, err := e.provenPlan(p, m)
	if err != nil || !ok || p.undoes() {
		return out, err
	}
	for i := range p.Names {
		np := &p.Names[i]
		if len(np.Steps) == 0 {
			continue
		}
		_, begun, err := e.cfg.Evidence.Entry("seize/act/" + stepID(h, np.Name, updateWhat, 0) + "/intent")
		if err != nil {
			return nil, fmt.Errorf("couldn't read the evidence log: %w", err)
		}
		if begun {
			out[np.Name] = &np.Former
		}
	}
	return out, nil
}

// foundBy gives found for every plan that p says it goes back before.
func (e *Engine) foundBy(ctx context.Context, p *Plan, m *impound.Mandate) (map[string]map[impound.Name]*State, error) {
	out := map[string]map[impound.Name]*State{}
	for _, np := range p.Names {
		if np.FormerPlan == "" || out[np.FormerPlan] != nil {
			continue
		}
		r, err := e.load(ctx, np.FormerPlan)
		if err != nil && !isNotFound(err) {
			return nil, err
		}
		if out[np.FormerPlan], err = e.found(&r.Plan, m); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// provenPlan says whether the evidence log knows p as made under m, and gives
// its hash.
func (e *Engine) provenPlan(p *Plan, m *impound.Mandate) (string, bool, error) {
	h, err := p.Hash()
	if err != nil {
		return "", false, err
	}
	made, ok, err := e.cfg.Evidence.Entry("seize/" + p.ID + "/made")
	if err != nil {
		return "", false, fmt.Errorf("couldn't read the evidence log: %w", err)
	}
	return h, ok && made.What == "seize.plan" && made.Order == m.ID() && made.Detail["hash"] == h && p.Order == m.ID() && p.OrderHash == m.Hash(), nil
}

// updateWhat is what entries call the update of a name; step ids hold it.
const updateWhat = "seize.update"

// plan gives the steps of np, or why there can be none. It is pure.
func (np NamePlan) plan(acts impound.Acts) (steps []Step, blocked string, warnings []string) {
	byHand := acts.Registrant
	if acts.Registrant = np.Registrant; np.Registrant != "" {
		byHand = ""
	}
	switch {
	case np.Release != "":
		steps, blocked, warnings = np.planRelease(acts)
	case np.Restore != nil:
		steps, blocked, warnings = np.planRevert(acts)
	default:
		steps, blocked, warnings = planName(np.Name, acts, np.Role, np.Former, np.HostAttr)
		if byHand != "" && blocked == "" {
			warnings = append(warnings, "the registrant is to be "+byHand+": do it by hand, or say under registrants: who that is")
		}
	}
	if np.Singly && np.Via == "" {
		return singly(steps), blocked, warnings // none of those can renew
	}
	if np.Via != "" && len(steps) > 1 {
		// Whoever is asked lifts a lock for the change and puts it back as part
		// of it: it is one thing to ask.
		c := steps[0].Change
		last := steps[1].Change
		if own := without(last.AddStatus, c.RemStatus); len(own) > 0 {
			c.AddStatus = sorted(append(slices.Clone(c.AddStatus), own...))
		}
		if c.RemStatus = without(c.RemStatus, last.AddStatus); len(c.RemStatus) == 0 {
			c.RemStatus = nil
		}
		if len(last.BackDS) > 0 {
			c.BackDS = last.BackDS
		}
		steps = []Step{{Acts: c.Acts(), Change: c, Lines: c.Lines()}}
	}
	if blocked == "" && np.Restore == nil {
		steps, blocked = np.renewFirst(steps)
	}
	return steps, blocked, warnings
}

// reached says whether s is what the plan is to bring about.
func (np NamePlan) reached(acts impound.Acts, s State) bool {
	acts.Registrant = np.Registrant
	switch {
	case np.Release == impound.ReleaseExpire || np.Release == impound.ReleaseDelete:
		return np.letGo(acts, s)
	case np.Restore != nil:
		return np.restored(acts, s)
	}
	return reached(acts, np.Role, s)
}

// planRevert gives the steps from np's state back to the former one, as far as acts
// cover them.
func (np NamePlan) planRevert(acts impound.Acts) (steps []Step, blocked string, warnings []string) {
	n, role, target, s, hostAttr := np.Name, np.Role, *np.Restore, np.Former, np.HostAttr
	block := func(format string, args ...any) ([]Step, string, []string) {
		return nil, fmt.Sprintf(format, args...), warnings
	}
	has := func(x string) bool { return slices.Contains(s.Status, x) }
	had := func(x string) bool { return slices.Contains(target.Status, x) }
	switch {
	case !s.Exists:
		return block("it is not registered any more: nothing to give back")
	case !target.Exists || s.ID != target.ID:
		return block("it is another registration than the one that was taken")
	case has("pendingDelete") || has("redemptionPeriod"):
		return block("it is being deleted (%s)", strings.Join(s.Status, ", "))
	case has("pendingTransfer"):
		return block("a transfer to another registrar is under way: plan again when it is over")
	}
	c := Change{Name: n, HostAttr: hostAttr}
	if len(acts.Nameservers) > 0 {
		if other := without(without(s.NS, acts.Nameservers), target.NS); len(other) > 0 {
			return block("somebody else changed its name servers: %s is neither an ordered nor a former one", strings.Join(defang(other), ", "))
		}
		c.AddNS, c.RemNS = without(target.NS, s.NS), without(s.NS, target.NS)
		for _, h := range c.AddNS {
			if hostAttr && h.AtOrBelow(n) {
				return block("its former name server %s lies inside it, and the address was not recorded: do it by hand", h.Defanged())
			}
		}
	}
	if acts.Registrant != "" && s.Registrant != target.Registrant {
		switch {
		case s.Registrant == acts.Registrant && target.Registrant != "":
			c.Registrant = target.Registrant
		case s.Registrant != acts.Registrant:
			warnings = append(warnings, "somebody else changed its registrant to "+s.Registrant+": it stays")
		}
	}
	ours := sorted(acts.Lock)
	if acts.Hold {
		ours = append(ours, holdOf(role))
	}
	for _, x := range ours {
		switch {
		case has(x) == had(x):
			continue
		case strings.HasPrefix(x, "server") && role != "registry":
			return block("%s can be changed by the registry only, and this provider is a registrar", x)
		case has(x):
			c.RemStatus = append(c.RemStatus, x)
		default:
			c.AddStatus = append(c.AddStatus, x)
		}
	}
	c.AddStatus, c.RemStatus = sorted(c.AddStatus), sorted(c.RemStatus)
	if gone := without(without(target.Status, s.Status), ours); len(gone) > 0 {
		warnings = append(warnings, "status "+strings.Join(gone, ", ")+", which stood before, went by somebody else's act and is not put back")
	}
	if s.Sponsor != target.Sponsor {
		warnings = append(warnings, "its sponsor is "+s.Sponsor+" and was "+target.Sponsor)
	}
	if gone := without(target.DS, s.DS); len(gone) > 0 {
		asFormer := slices.Equal(sortNames(append(without(s.NS, c.RemNS), c.AddNS...)), target.NS)
		if np.DSBack && np.wantsDSBack(acts) && asFormer {
			return withDSBack(c, acts, role, s, target.DS, warnings)
		}
		why := np.DSWhy
		if np.DSBack {
			why = ""
		}
		warnings = append(warnings, dsStays(gone, why))
	}
	if len(c.Acts()) == 0 {
		return nil, "", warnings
	}
	return aroundLocks(c, acts, role, s, warnings)
}

// restored says whether s is what np goes back to, as far as acts are about it.
func (np NamePlan) restored(acts impound.Acts, s State) bool {
	role, target := np.Role, *np.Restore
	if np.DSBack && !slices.Equal(s.DS, target.DS) {
		return false
	}
	if !s.Exists || s.ID != target.ID || len(acts.Nameservers) > 0 && !slices.Equal(s.NS, target.NS) {
		return false
	}
	if acts.Registrant != "" && s.Registrant == acts.Registrant && target.Registrant != "" && target.Registrant != acts.Registrant {
		return false
	}
	ours := slices.Clone(acts.Lock)
	if acts.Hold {
		ours = append(ours, holdOf(role))
	}
	for _, x := range ours {
		if slices.Contains(s.Status, x) != slices.Contains(target.Status, x) {
			return false
		}
	}
	return true
}

// holdOf gives the status by which an account of that role holds a name.
func holdOf(role string) string {
	if role == "registry" {
		return "serverHold"
	}
	return "clientHold"
}

// wants gives what the views should show of name i once p is applied.
func (p *Plan) wants(m *impound.Mandate, i int) wanted {
	np := &p.Names[i]
	acts, _ := m.Acts(np.Name)
	w := wanted{acts: acts, registrant: np.Registrant, provider: np.Provider, release: np.Release}
	if len(np.Steps) > 0 {
		w.former = &np.Former
	}
	if t := np.Restore; t != nil {
		w.revert, w.registrant = p.ID, ""
		w.acts = impound.Acts{Lock: without(acts.Lock, without(acts.Lock, t.Status))}
		w.free = without(acts.Lock, t.Status)
		if hold := holdOf(np.Role); acts.Hold && !slices.Contains(t.Status, hold) {
			w.free = append(w.free, hold)
		}
		if len(acts.Nameservers) > 0 || acts.Hold {
			w.acts.Nameservers = t.NS
		}
		if np.DSBack {
			w.ds = t.DS
		}
	}
	return w
}

// wanted says in words what p brings about.
func (p *Plan) wanted() string {
	switch {
	case p.Release != "":
		return "let go"
	case p.Revert:
		return "before the order"
	}
	return "ordered"
}

// again says how to make a plan anew.
func (p *Plan) again() string {
	switch {
	case p.Release != "":
		return "plan again: impound seize release " + p.Order + " NAME --how " + p.Release
	case p.Revert:
		return "plan again: impound seize revert " + p.Order
	}
	return "plan again: impound seize plan " + p.Order
}

// warnReverted says of names that were given back that p takes them again.
func (e *Engine) warnReverted(ctx context.Context, p *Plan) error {
	known, err := e.Status(ctx, p.Order)
	if err != nil {
		return err
	}
	by := make(map[impound.Name]string, len(known))
	for _, k := range known {
		by[k.Name] = k.Reverted
	}
	for i := range p.Names {
		if plan := by[p.Names[i].Name]; plan != "" && len(p.Names[i].Steps) > 0 {
			p.Names[i].Warnings = append(p.Names[i].Warnings, "plan "+plan+" gave it back; this takes it again")
		}
	}
	return nil
}
