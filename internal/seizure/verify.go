package seizure

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/store"
)

// What a view can show of an order.
const (
	AsOrdered = "as-ordered"
	NotYet    = "not-yet"   // the former state still shows, wholly or in part: wait
	Otherwise = "otherwise" // neither the former state nor the ordered one: somebody must look
	Unknown   = "unknown"   // it could not be seen; never read as success
)

// ViewStatus is one view's answer.
type ViewStatus struct {
	View  string `json:"view"` // "parent" | "rdap" | "resolver"
	State string `json:"state"`
	Why   string `json:"why"`
}

// NameStatus is what the three views show of a name; Done means that all show
// the order.
type NameStatus struct {
	Name     impound.Name `json:"name"`
	Order    string       `json:"order"`
	Done     bool         `json:"done"`
	Views    []ViewStatus `json:"views"`
	Child    *ChildStatus `json:"child,omitempty"` // for information: Done goes by the three views
	At       time.Time    `json:"at"`
	Artefact string       `json:"artefact,omitempty"` // what was seen, in the evidence log

	Lost     []string  `json:"lost,omitempty"`     // ordered statuses that RDAP does not show
	Reverted string    `json:"reverted,omitempty"` // the plan that gave it back: it need not show the order
	DS       bool      `json:"ds,omitempty"`       // a DS is there that the order has removed
	Expires  time.Time `json:"expires,omitzero"`   // its registration, as RDAP says; zero: not known
}

// Seizure is the newest word on a name of an order, for pages and lists. The
// evidence log is the proof.
type Seizure struct {
	Order      string       `json:"order"`
	Name       impound.Name `json:"name"`
	Provider   string       `json:"provider,omitempty"`
	Plan       string       `json:"plan,omitempty"`
	Outcome    string       `json:"outcome,omitempty"`
	Msg        string       `json:"msg,omitempty"`
	At         time.Time    `json:"at,omitzero"`
	Former     State        `json:"former,omitzero"` // before the first plan that changed it
	FormerPlan string       `json:"former_plan,omitempty"`
	Reverted   string       `json:"reverted,omitempty"` // the plan by which it was given back or let go; "" while it is taken
	Released   string       `json:"released,omitempty"` // how it was let go
	Status     *NameStatus  `json:"status,omitempty"`

	Acted time.Time `json:"acted,omitzero"`  // when the newest plan had done it at its provider
	Turns []Turn    `json:"turns,omitempty"` // how the views came to show it since, oldest first
}

// Verify looks at every name of the order in the parent zone, in RDAP and
// through the resolvers, says of each view whether it shows the order, and
// records it. It changes nothing, and needs no order in force: custody looks on.
func (e *Engine) Verify(ctx context.Context, m *impound.Mandate) ([]NameStatus, error) {
	return e.verify(ctx, m, m.Names())
}

// Drift is [Engine.Verify] for custody: only the names that do not, or no
// longer, show the order everywhere. Names that a plan gave back are not among
// them.
func (e *Engine) Drift(ctx context.Context, m *impound.Mandate) ([]NameStatus, error) {
	all, err := e.Verify(ctx, m)
	return slices.DeleteFunc(all, func(s NameStatus) bool { return s.Done || s.Reverted != "" }), err
}

// Look asks the provider of n what it holds; nothing is recorded.
func (e *Engine) Look(ctx context.Context, n impound.Name) (RegistryView, error) {
	conn, err := e.connector(ctx, n)
	if err != nil {
		return RegistryView{}, err
	}
	return conn.Info(ctx, n)
}

// Status gives the newest word on each name of an order, by name; nothing is
// looked at.
func (e *Engine) Status(ctx context.Context, orderID string) ([]Seizure, error) {
	var out []Seizure
	err := e.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		out, err = store.Values[Seizure](tx, store.Query{Kind: docSeizure, Field: "order", Value: orderID})
		return err
	})
	return out, err
}

// StatusPart is Status for some of the names, in the order of their names, with how
// many there are; limit 0 is all.
func (e *Engine) StatusPart(ctx context.Context, orderID string, offset, limit int) (out []Seizure, total int, err error) {
	err = e.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		q := store.Query{Kind: docSeizure, Field: "order", Value: orderID}
		if total, err = tx.Count(q); err != nil {
			return err
		}
		q.Skip, q.Limit = offset, limit
		out, err = store.Values[Seizure](tx, q)
		return err
	})
	return out, total, err
}

// StatusToShow is Status for pages, which ask again and again: it is kept for as
// long as the store says that no name's status changed, and given with a word that
// is another as soon as one did. What it gives is others' too: don't change it, and
// rest no effect on it.
func (e *Engine) StatusToShow(ctx context.Context, orderID string) ([]Seizure, string, error) {
	word, err := store.VersionOf(ctx, e.cfg.Store, docSeizure) // before what it stands for is read
	if err != nil {
		return nil, "", err
	}
	kept := func() ([]Seizure, bool) {
		e.shown.Lock()
		defer e.shown.Unlock()
		if e.shown.word != word {
			e.shown.word, e.shown.names, e.shown.m = word, 0, map[string][]Seizure{}
		}
		out, ok := e.shown.m[orderID]
		return out, ok
	}
	out, ok := kept()
	if !ok {
		defer e.turns.Take("status " + orderID)()
		if word, err = store.VersionOf(ctx, e.cfg.Store, docSeizure); err != nil {
			return nil, "", err
		}
		out, ok = kept()
	}
	if ok {
		return out, word, nil
	}
	if out, err = e.Status(ctx, orderID); err != nil {
		return nil, "", err
	}
	e.shown.Lock()
	defer e.shown.Unlock()
	if _, ok := e.shown.m[orderID]; e.shown.word == word && !ok && e.shown.names+len(out) <= mostPlanned {
		e.shown.m[orderID] = out
		e.shown.names += len(out) + 1
	}
	return out, word, nil
}

func (e *Engine) verify(ctx context.Context, m *impound.Mandate, names []impound.Name) ([]NameStatus, error) {
	known, err := e.Status(ctx, m.ID())
	if err != nil {
		return nil, err
	}
	former, reverted := map[impound.Name]*State{}, map[impound.Name]string{}
	for i := range known {
		reverted[known[i].Name] = known[i].Reverted
		if known[i].FormerPlan != "" {
			former[known[i].Name] = &known[i].Former
		}
	}
	out := make([]NameStatus, len(names))
	sh := &sheaf{e: e, caseID: m.Case()}
	turn := spread(len(names), func(i int) string { return e.holder(ctx, names[i]) })
	err = parallel(ctx, e.cfg.Parallel, len(names), func(k int) error {
		i := turn[k]
		acts, ok := m.Acts(names[i])
		if !ok {
			return impound.Errorf(impound.KindRefused, "%s is in no appendix of order %s", names[i].Defanged(), m.ID())
		}
		w := wanted{acts: acts, former: former[names[i]]}
		if acts.Registrant != "" {
			if conn, err := e.connector(ctx, names[i]); err == nil {
				w.provider = conn.Provider()
				w.registrant = e.registrantID(w.provider, acts.Registrant)
			}
		}
		st, v, err := e.verifyOne(ctx, m, names[i], w)
		st.Reverted = reverted[names[i]]
		if out[i] = st; err != nil {
			return err
		}
		return sh.add(ctx, v, e.verified(m, st, ""), func(hash string) { out[i].Artefact = hash })
	})
	if err == nil {
		err = sh.close(ctx)
	}
	if err != nil {
		return nil, err
	}
	err = e.cfg.Store.Update(ctx, func(tx store.Tx) error {
		for i := range out {
			_, err := store.Modify(tx, docSeizure, m.ID()+"/"+out[i].Name.String(), func(v *Seizure) (map[string]string, error) {
				v.Order, v.Name, v.Status, v.Turns = m.ID(), out[i].Name, &out[i], turned(v.Turns, out[i])
				return map[string]string{"order": v.Order, "name": v.Name.String(), "outcome": v.Outcome}, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

// wanted is what the views should show of a name.
type wanted struct {
	acts   impound.Acts
	former *State   // what they showed before, as far as it is known
	free   []string // statuses that may not be there
	ds     []string // that were put back
	revert string   // the plan that gives the name back; "" for the order itself

	release    string // how it is let go
	registrant string // id of the contact that it is to belong to
	provider   string // who can tell, where RDAP doesn't

	// when says, by what the three views show, whether the name's own servers are
	// asked too; nil: they are, beside the others.
	when func(*NameStatus) bool
}

func (e *Engine) verifyOne(ctx context.Context, m *impound.Mandate, n impound.Name, w wanted) (NameStatus, seen, error) {
	acts, former := w.acts, w.former
	var parent, resolver, child observe.View
	var rdap observe.RDAPView
	var wg sync.WaitGroup
	wg.Go(func() {
		if parent = e.cfg.Observe.Parent(ctx, n); w.when == nil {
			child = e.cfg.Observe.Servers(ctx, parent)
		}
	})
	wg.Go(func() { rdap = e.published(ctx, n) })
	wg.Go(func() { resolver = e.cfg.Observe.Resolve(ctx, n) })
	wg.Wait()
	if ctx.Err() != nil {
		return NameStatus{}, seen{}, ctx.Err()
	}
	p := judgeDSBack(w.ds, parent, judgeParent(acts, former, parent))
	r := judgeRDAP(acts, former, rdap)
	if strings.HasPrefix(rdap.URL, recordsOf) {
		r.Why = rdap.URL + ": " + r.Why
	}
	if still := without(w.free, without(w.free, rdap.Status)); len(still) > 0 && r.State != Unknown {
		r.State, r.Why = worse(r.State, NotYet), r.Why+"; still with "+strings.Join(still, ", ")
	}
	if w.registrant != "" {
		r = e.judgeRegistrant(ctx, n, w, rdap, r)
	}
	views := []ViewStatus{p, r, judgeResolver(acts, former, resolver, p.State == AsOrdered)}
	if w.release == impound.ReleaseExpire || w.release == impound.ReleaseDelete {
		views = judgeGone(w, parent, rdap, resolver)
	}
	st := NameStatus{Name: n, Order: m.ID(), At: e.now(), Views: views, Reverted: w.revert, Expires: rdap.Expires}
	if rdap.Err == "" && rdap.Exists && w.revert == "" {
		st.Lost = without(acts.Lock, rdap.Status)
	}
	st.DS = acts.RemoveDS && (len(parent.DS) > 0 || rdap.Signed)
	st.Done = true
	for _, v := range st.Views {
		st.Done = st.Done && v.State == AsOrdered
	}
	out := seen{Name: n, At: st.At, Parent: parent, RDAP: rdap, Resolver: resolver}
	if w.when != nil && w.when(&st) {
		if child = e.cfg.Observe.Servers(ctx, parent); ctx.Err() != nil {
			return NameStatus{}, seen{}, ctx.Err()
		}
	}
	if child.Source != "" {
		out.Child, st.Child = child, judgeChild(acts, former, child)
	}
	e.say(Event{Name: n, Phase: "verify", Text: words(st.Views)})
	return st, out, nil
}

// recordsOf begins the source of what stands in for RDAP.
const recordsOf = "the records of provider "

// published is what RDAP says of n, or where nobody publishes it, what its
// provider holds.
func (e *Engine) published(ctx context.Context, n impound.Name) observe.RDAPView {
	conn, err := e.connector(ctx, n)
	if err != nil || !e.cfg.Unlisted[conn.Provider()] {
		return e.cfg.Observe.RDAP(ctx, n)
	}
	v := observe.RDAPView{Name: n, At: e.now(), URL: recordsOf + conn.Provider()}
	r, err := e.lookAt(ctx, conn, "", "", n)
	if err != nil {
		v.Err = "its provider could not be asked: " + err.Error()
		return v
	}
	st := r.State()
	v.Exists, v.Handle, v.Status, v.NS, v.DS, v.Signed = st.Exists, st.ID, st.Status, texts(st.NS), st.DS, len(st.DS) > 0
	v.Registrar, v.Created, v.Changed, v.Expires = st.Sponsor, r.Created, r.Updated, r.Expires
	return v
}

// verified is the entry that says what a look showed. revert is the plan that
// gives the name back: with one, as-ordered means as it was before the order.
func (e *Engine) verified(m *impound.Mandate, st NameStatus, revert string) impound.Entry {
	detail := map[string]string{"done": fmt.Sprint(st.Done)}
	if revert != "" {
		detail["revert"] = revert
	}
	for _, v := range st.Views {
		detail[v.View], detail[v.View+"_why"] = v.State, v.Why
	}
	if c := st.Child; c != nil {
		detail["child"], detail["child_why"] = c.State, c.Why
	}
	return impound.Entry{Type: impound.EntrySystem, At: st.At, By: e.cfg.By, What: "seize.verify", Case: m.Case(), Order: m.ID(), Name: st.Name, Detail: detail}
}

func words(vs []ViewStatus) string {
	var out []string
	for _, v := range vs {
		out = append(out, v.View+" "+v.State)
	}
	return strings.Join(out, ", ")
}

// settle verifies after the acts: once, and again while a view still shows the
// former state, until the time that the configuration gives for it is over.
// What is otherwise, waiting doesn't mend; what could not be seen is looked at
// blindLooks times, since servers have trouble of their own.
func (e *Engine) settle(ctx context.Context, m *impound.Mandate, p *Plan, rs []NameResult) {
	pause := min(time.Second, max(e.cfg.Settle/4, time.Millisecond))
	var open []int
	for i, r := range rs {
		if r.Outcome == Done || r.Outcome == Already {
			open = append(open, i)
		}
	}
	turn := spread(len(open), func(k int) string { return rs[open[k]].Provider })
	for k := range turn {
		turn[k] = open[turn[k]]
	}
	open = turn
	looks := 0
	for waited := time.Duration(0); len(open) > 0 && ctx.Err() == nil; waited += pause {
		looks++
		sh := &sheaf{e: e, caseID: m.Case()}
		// What can't be looked at or recorded stays without a status.
		_ = parallel(ctx, e.cfg.Parallel, len(open), func(k int) error {
			i := open[k]
			w := p.wants(m, i)
			// They are no reason to wait, so they are asked with the last look alone.
			w.when = func(st *NameStatus) bool { return waited >= e.cfg.Settle || !st.onItsWay(looks < blindLooks) }
			st, v, err := e.verifyOne(ctx, m, rs[i].Name, w)
			if err != nil {
				return nil
			}
			_ = sh.add(ctx, v, e.verified(m, st, w.revert), func(hash string) {
				st.Artefact, rs[i].Status = hash, &st
				rs[i].turns = turned(rs[i].turns, st)
			})
			return nil
		})
		_ = sh.close(ctx)
		open = slices.DeleteFunc(open, func(i int) bool { return rs[i].Status != nil && !rs[i].Status.onItsWay(looks < blindLooks) })
		if waited >= e.cfg.Settle || len(open) == 0 || e.cfg.Sleep(ctx, pause) != nil {
			return
		}
	}
}

// blindLooks is how often settle looks at a view that it can't see.
const blindLooks = 4

// onItsWay says whether the newest look leaves hope that the next one shows more:
// blind says whether a view that could not be seen does.
func (s *NameStatus) onItsWay(blind bool) bool {
	return slices.ContainsFunc(s.Views, func(v ViewStatus) bool { return v.State == NotYet || blind && v.State == Unknown })
}

// judgeSet compares a set of name servers with the ordered and the former one.
func judgeSet(got, want, former []string) (state, why string) {
	got, want, former = sorted(got), sorted(want), sorted(former)
	extra, missing := without(got, want), without(want, got)
	foreign := without(extra, former)
	switch {
	case len(extra) == 0 && len(missing) == 0:
		return AsOrdered, "the ordered name servers"
	case len(extra) == 0 && len(got) > 0:
		return NotYet, "of the ordered name servers only " + dots(got) + ", and not " + dots(missing)
	case len(foreign) == 0 && len(got) > 0 && len(missing) == len(want):
		return NotYet, "still the former name servers: " + dots(got)
	case len(foreign) == 0 && len(got) > 0:
		return NotYet, "former name servers beside ordered ones: " + dots(got)
	case len(former) == 0 && len(without(want, got)) == len(want):
		return NotYet, "name servers that are not the ordered ones: " + dots(got)
	}
	return Otherwise, "neither the ordered nor the former name servers: " + dots(got)
}

func dots(in []string) string {
	if len(in) == 0 {
		return "none"
	}
	return strings.ReplaceAll(strings.Join(in, ", "), ".", "[.]")
}

func texts(in []impound.Name) []string {
	out := make([]string, len(in))
	for i, n := range in {
		out[i] = n.String()
	}
	return out
}

func formerNS(former *State) []string {
	if former == nil {
		return nil
	}
	return texts(former.NS)
}

// worse gives the state that decides of two: otherwise, then unknown, then
// not-yet.
func worse(a, b string) string {
	for _, s := range []string{Otherwise, Unknown, NotYet} {
		if a == s || b == s {
			return s
		}
	}
	return AsOrdered
}

const nothingHere = "nothing is ordered that would show here"

// judgeParent: every server that answers must show the order, and at least half
// of them must answer.
func judgeParent(acts impound.Acts, former *State, v observe.View) ViewStatus {
	out := ViewStatus{View: "parent", State: AsOrdered}
	if v.Err != "" {
		out.State, out.Why = Unknown, v.Err
		return out
	}
	if len(acts.Nameservers) == 0 && !acts.Hold && !acts.RemoveDS {
		out.Why = nothingHere
		return out
	}
	var why []string
	by := map[string][]string{} // who says it
	for _, s := range v.Servers {
		if s.Err != "" {
			continue
		}
		state, w := AsOrdered, "the ordered name servers"
		switch {
		case acts.Hold && s.Exists:
			state, w = NotYet, "still in the zone"
		case acts.Hold:
			w = "out of the zone"
		case len(acts.Nameservers) > 0:
			state, w = judgeSet(s.NS, texts(acts.Nameservers), formerNS(former))
		default:
			w = "no DS"
		}
		if acts.RemoveDS && !acts.Hold && len(s.DS) > 0 {
			if state = worse(state, NotYet); former != nil && len(former.DS) == 0 {
				state = Otherwise
			}
			w += ", a DS is there"
		}
		out.State = worse(out.State, state)
		if !slices.Contains(why, w) {
			why = append(why, w)
		}
		by[w] = append(by[w], s.Addr)
	}
	if len(why) > 1 {
		for i, w := range why {
			why[i] = w + " (" + strings.Join(by[w], ", ") + ")"
		}
		why[0] = "its servers disagree: " + why[0]
	}
	if n := v.Answered(); n < len(v.Servers) {
		why = append(why, fmt.Sprintf("%d of %d servers answered", n, len(v.Servers)))
		if 2*n < len(v.Servers) {
			out.State = worse(out.State, Unknown)
		}
	}
	out.Why = strings.Join(why, "; ")
	return out
}

func judgeRDAP(acts impound.Acts, former *State, v observe.RDAPView) ViewStatus {
	out := ViewStatus{View: "rdap", State: AsOrdered}
	switch {
	case v.Err != "":
		out.State, out.Why = Unknown, v.Err
		return out
	case !v.Exists:
		out.State, out.Why = Otherwise, "it is not registered"
		return out
	}
	var why []string
	if v.Via != "" {
		why = append(why, "by "+v.Via+", which tells of no DS (RDAP: "+v.RDAPErr+")")
	}
	if v.Via != "" && len(v.NS) == 0 && len(acts.Nameservers) > 0 {
		out.State = Unknown
		why = append(why, "it names no name servers")
	} else if len(acts.Nameservers) > 0 {
		var w string
		out.State, w = judgeSet(v.NS, texts(acts.Nameservers), formerNS(former))
		why = append(why, w)
	}
	if miss := without(acts.Lock, v.Status); len(miss) > 0 {
		out.State = worse(out.State, NotYet)
		why = append(why, "without "+strings.Join(miss, ", "))
	}
	if acts.Hold && !slices.Contains(v.Status, "serverHold") && !slices.Contains(v.Status, "clientHold") {
		out.State = worse(out.State, NotYet)
		why = append(why, "without a hold")
	}
	if acts.RemoveDS && v.Signed {
		out.State = worse(out.State, NotYet)
		why = append(why, "a DS is there")
	}
	if len(why) == 0 {
		why = []string{"the ordered statuses"}
	}
	out.Why = strings.Join(why, "; ")
	return out
}

// judgeResolver: every resolver must show the order. Where validation fails
// while the parent shows no DS any more, it is the old DS in a cache.
func judgeResolver(acts impound.Acts, former *State, v observe.View, parentOK bool) ViewStatus {
	out := ViewStatus{View: "resolver", State: AsOrdered}
	if len(v.Servers) == 0 {
		out.State, out.Why = Unknown, v.Err
		return out
	}
	if len(acts.Nameservers) == 0 && !acts.Hold && !acts.RemoveDS {
		out.Why = nothingHere
		return out
	}
	var why []string
	for _, s := range v.Servers {
		state, w := AsOrdered, ""
		switch {
		case s.Bogus && parentOK:
			state, w = NotYet, "DNSSEC is "+s.DNSSEC+": a DS that is gone is still cached"
		case s.Bogus:
			state, w = Otherwise, "DNSSEC is "+s.DNSSEC+": visitors whose resolver validates get no answer"
		case s.Err != "":
			state, w = Unknown, s.Err
		case acts.Hold && s.Exists:
			state, w = NotYet, "it still resolves"
		case acts.Hold:
			w = "it does not resolve"
		case len(acts.Nameservers) > 0 && len(s.NS) == 0:
			state, w = Unknown, "it gives no name servers"
		case len(acts.Nameservers) > 0:
			state, w = judgeSet(s.NS, texts(acts.Nameservers), formerNS(former))
		default:
			w = "it validates or is unsigned"
		}
		out.State = worse(out.State, state)
		if w = s.Server + ": " + w; !slices.Contains(why, w) {
			why = append(why, w)
		}
	}
	out.Why = strings.Join(why, "; ")
	return out
}
