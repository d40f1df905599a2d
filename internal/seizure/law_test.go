package seizure_test

import (
	"context"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/store"
)

func TestWholeWay(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.authorize(w.order())
	e := w.engine()
	p := w.planned(e, "anna", "bert")
	text := p.String()
	for _, want := range []string{"+ host ns1[.]sinkhole[.]example", "outlook-verify[.]net\n", "+ ns ns1[.]sinkhole[.]example", "- ns ns1[.]actor[.]test", "- ds (all)", "+ status serverUpdateProhibited", "4 to change, 0 as ordered already, 0 blocked"} {
		if !strings.Contains(text, want) {
			t.Errorf("the plan's text lacks %q:\n%s", want, text)
		}
	}
	if strings.Contains(text, "verify.net") {
		t.Error("the plan shows a live name")
	}
	r, err := e.Apply(t.Context(), p.ID)
	w.wantDone(r, err)
	w.wantUpdates(1)
	if i, d := w.entries(impound.EntryIntent, ""), w.entries(impound.EntryResult, "done"); i != 6 || d != 6 {
		t.Errorf("%d intents and %d results for 2 hosts and 4 names", i, d)
	}

	t.Run("what was done stays done where a gate turns", func(t *testing.T) {
		asked := w.prov.asked
		w.block[w.names[1]] = "unknown"
		r, err := e.Apply(t.Context(), p.ID)
		w.wantDone(r, err)
		delete(w.block, w.names[1])
		if w.prov.asked != asked || !strings.Contains(r.Names[1].Msg+r.Names[0].Msg+r.Names[2].Msg+r.Names[3].Msg, "done earlier; now G1 says unknown") {
			t.Errorf("%d acts more: %+v", w.prov.asked-asked, r.Names)
		}
	})
	t.Run("applying again does nothing", func(t *testing.T) {
		asked := w.prov.asked
		r, err := e.Apply(t.Context(), p.ID)
		w.wantDone(r, err)
		if w.prov.asked != asked {
			t.Error("an act was asked for again")
		}
	})
	t.Run("a new plan has nothing to do", func(t *testing.T) {
		p, err := e.Plan(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		if c, a, b := p.Count(); c != 0 || a != 4 || b != 0 || len(p.Hosts) != 0 {
			t.Errorf("%s", p)
		}
	})
	t.Run("status and verification", func(t *testing.T) {
		st, err := e.Status(t.Context(), m.ID())
		if err != nil || len(st) != 4 || st[0].Outcome != seizure.Done || len(st[0].Former.NS) != 2 || st[0].Former.NS[0].String() != "ns1.actor.test" {
			t.Errorf("%v %+v", err, st)
		}
		if d, err := e.Drift(t.Context(), m); err != nil || len(d) != 0 {
			t.Errorf("%v %+v", err, d)
		}
		w.prov.names[w.names[0]].NS = ns("ns1.thief.test")
		w.prov.names[w.names[1]].NS = ns("ns1.actor.test", "ns2.actor.test")
		d, err := e.Drift(t.Context(), m)
		if err != nil || len(d) != 2 || d[0].Views[0].State != seizure.Otherwise || d[1].Views[0].State != seizure.NotYet {
			t.Errorf("%v %+v", err, d)
		}
		r, err := e.Apply(t.Context(), p.ID)
		if impound.KindOf(err) != impound.KindPartial || r.Count(seizure.Stale) != 2 {
			t.Errorf("names that were changed back want a new plan, not another act: %v %+v", err, r)
		}
		w.wantUpdates(1)
	})
	t.Run("plans are listed", func(t *testing.T) {
		ps, err := e.Plans(t.Context(), m.ID())
		if err != nil || len(ps) != 2 {
			t.Fatalf("%v %d", err, len(ps))
		}
		got, err := e.Get(t.Context(), p.ID)
		if err != nil || !got.Approved || got.Applied.IsZero() || len(got.Approvers) != 2 {
			t.Errorf("%v %+v", err, got)
		}
	})
}

// Law 1: without an order in force that covers it, and two approvals of exactly
// this plan, nothing is even asked of a provider.
func TestNothingWithoutOrderAndApprovals(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		kind impound.Kind
		prep func(t *testing.T, w *world, e *seizure.Engine) string
	}{
		"order lapsed": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			p := w.planned(w.engine(func(c *seizure.Config) { c.MaxAge = 100 * 365 * 24 * time.Hour }), "anna", "bert")
			w.clock = t0.AddDate(1, 0, 0)
			return p.ID
		}},
		"order not yet in force": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			w.clock = t0.Add(-time.Hour)
			return w.planned(e, "anna", "bert").ID
		}},
		"before the hour of execution": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			o := w.order()
			o.ExecuteAt = t0.Add(5 * time.Hour)
			w.authorize(o)
			return w.planned(e, "anna", "bert").ID
		}},
		"order gone": {impound.KindNotFound, func(t *testing.T, w *world, e *seizure.Engine) string {
			p := w.planned(e, "anna", "bert")
			w.mandate = nil
			return p.ID
		}},
		"order replaced": {impound.KindConflict, func(t *testing.T, w *world, e *seizure.Engine) string {
			p := w.planned(e, "anna", "bert")
			o := w.order()
			o.Authority.Docket = "another"
			w.authorize(o)
			return p.ID
		}},
		"nobody approved": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string { return w.planned(e).ID }},
		"one approved":    {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string { return w.planned(e, "anna").ID }},
		"one person twice": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			return w.forge(w.planned(e), nil, "anna", "anna")
		}},
		"one key twice": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			return w.forge(w.planned(e), nil, "anna", "anna2")
		}},
		"an analyst's": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			return w.forge(w.planned(e), nil, "anna", "dora")
		}},
		"plan expired": {impound.KindConflict, func(t *testing.T, w *world, e *seizure.Engine) string {
			p := w.planned(e, "anna", "bert")
			w.clock = p.Expires
			return p.ID
		}},
		"plan edited after approval": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			p := w.planned(e, "anna", "bert")
			return w.forge(p, func(p *seizure.Plan) { p.Expires = p.Expires.AddDate(5, 0, 0) })
		}},
		"plan made up, with approvals": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			return w.forge(w.planned(e), func(p *seizure.Plan) {
				p.Names[0].Steps[0].Change.AddNS = ns("ns1.thief.test", "ns2.thief.test")
				p.Names[0].Steps[0].Lines = p.Names[0].Steps[0].Change.Lines()
			}, "anna", "bert")
		}},
		"act not ordered, with approvals": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			return w.forge(w.planned(e), func(p *seizure.Plan) {
				c := seizure.Change{Name: p.Names[0].Name, AddStatus: []string{"serverHold"}}
				p.Names[0].Steps = []seizure.Step{{Acts: c.Acts(), Change: c, Lines: c.Lines()}}
			}, "anna", "bert")
		}},
		"a DS with it, with approvals": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			return w.forge(w.planned(e), func(p *seizure.Plan) {
				np := &p.Names[0]
				c := seizure.Change{Name: np.Name, BackDS: []string{"1 13 2 AA"}}
				np.DSBack, np.Steps = true, append(np.Steps, seizure.Step{Acts: c.Acts(), Change: c, Lines: c.Lines()})
			}, "anna", "bert")
		}},
		"name not in the appendix, with approvals": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			other := n("bank.net")
			v := *w.prov.names[w.names[0]]
			v.Name = other
			w.prov.names[other] = &v
			return w.forge(w.planned(e), func(p *seizure.Plan) {
				p.Names[0].Name = other
				p.Names[0].Steps[0].Change.Name = other
			}, "anna", "bert")
		}},
		"step for another name, with approvals": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			return w.forge(w.planned(e), func(p *seizure.Plan) { p.Names[0].Steps[0].Change.Name = w.names[1] }, "anna", "bert")
		}},
		"host not ordered, with approvals": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			return w.forge(w.planned(e), func(p *seizure.Plan) {
				p.Hosts[0].Step.Change.CreateHost = n("ns1.thief.test")
				p.Hosts[0].Step.Lines = p.Hosts[0].Step.Change.Lines()
			}, "anna", "bert")
		}},
		"host with another address, with approvals": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			return w.forge(w.planned(e), func(p *seizure.Plan) {
				p.Hosts[0].Step.Change.HostAddrs = []netip.Addr{netip.MustParseAddr("192.0.2.66")}
				p.Hosts[0].Step.Lines = p.Hosts[0].Step.Change.Lines()
			}, "anna", "bert")
		}},
		"name withheld since": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			p := w.planned(e, "anna", "bert")
			w.mandate = w.mandate.Without(w.names[0])
			return p.ID
		}},
		"every gate blocks since": {impound.KindRefused, func(t *testing.T, w *world, e *seizure.Engine) string {
			p := w.planned(e, "anna", "bert")
			for _, x := range w.names {
				w.block[x] = "block"
			}
			return p.ID
		}},
		"no such plan": {impound.KindNotFound, func(t *testing.T, w *world, e *seizure.Engine) string { return "plan-000000000000" }},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.authorize(w.order())
			e := w.engine()
			id := tt.prep(t, w, e)
			r, err := e.Apply(t.Context(), id)
			if impound.KindOf(err) != tt.kind {
				t.Errorf("kind %q, want %q: %v %+v", impound.KindOf(err), tt.kind, err, r)
			}
			if w.prov.asked != 0 || w.entries(impound.EntryIntent, "") != 0 {
				t.Errorf("%d acts were asked for, %d intents written", w.prov.asked, w.entries(impound.EntryIntent, ""))
			}
		})
	}
}

// forge writes a changed plan straight into the database, signed by who; its own
// approvals stay when who is empty.
func (w *world) forge(p *seizure.Plan, change func(*seizure.Plan), who ...string) string {
	w.t.Helper()
	err := w.st.Update(w.t.Context(), func(tx store.Tx) error {
		r, rev, err := store.Get[seizure.Record](tx, seizure.DocPlan, p.ID)
		if err != nil {
			return err
		}
		if change != nil {
			change(&r.Plan)
		}
		for _, id := range who {
			r.Approvals = append(r.Approvals, w.sign(&r.Plan, id))
		}
		_, err = store.Put(tx, seizure.DocPlan, p.ID, rev, r, nil)
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return p.ID
}

func TestApproveRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.authorize(w.order())
	e := w.engine()
	p := w.planned(e, "anna")
	other, err := e.As("x").Plan(t.Context(), w.mandate)
	if err != nil {
		t.Fatal(err)
	}
	stranger := w.sign(p, "bert")
	stranger.Person = "nobody"
	if pi, err := e.Approve(t.Context(), p.ID, w.sign(p, "anna")); err != nil || len(pi.Approvers) != 1 {
		t.Errorf("a retry with the very same signature: %v %+v", err, pi)
	}
	w.clock = w.clock.Add(time.Minute)
	order := impound.Sign(w.priv["bert"], impound.SignOrder, w.mandate.Hash(), "bert", w.now())
	for name, tt := range map[string]struct {
		sig  impound.Signature
		kind impound.Kind
	}{
		"of another plan":        {w.sign(other, "bert"), impound.KindRefused},
		"of the order":           {order, impound.KindRefused},
		"by a stranger":          {stranger, impound.KindRefused},
		"by an analyst":          {w.sign(p, "dora"), impound.KindRefused},
		"by the same again":      {w.sign(p, "anna"), impound.KindConflict},
		"with the same key":      {w.sign(p, "anna2"), impound.KindConflict},
		"by nobody, with no key": {impound.Signature{}, impound.KindInvalid},
	} {
		if _, err := e.Approve(t.Context(), p.ID, tt.sig); impound.KindOf(err) != tt.kind {
			t.Errorf("%s: %v", name, err)
		}
	}
	w.clock = p.Expires
	if _, err := e.Approve(t.Context(), p.ID, w.sign(p, "bert")); impound.KindOf(err) != impound.KindConflict {
		t.Errorf("a stale plan was approved: %v", err)
	}
	if pi, err := e.Get(t.Context(), p.ID); err != nil || pi.Approved || len(pi.Approvers) != 1 {
		t.Errorf("%v %+v", err, pi)
	}
}

// The order lapses between two names: the second is not touched.
func TestOrderLapsesMeanwhile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.authorize(w.order())
	e := w.engine(func(c *seizure.Config) { c.MaxAge = 100 * 365 * 24 * time.Hour })
	w.clock = t0.AddDate(1, 0, 0).Add(-time.Second)
	p := w.planned(e, "anna", "bert")
	w.prov.before = func(c seizure.Change) error {
		if c.Name == w.names[1] {
			w.mu.Lock()
			w.clock = t0.AddDate(1, 0, 0) // the second name's act is the last
			w.mu.Unlock()
		}
		return nil
	}
	r, err := e.Apply(t.Context(), p.ID)
	if impound.KindOf(err) != impound.KindPartial || r.Count(seizure.Done) != 2 || r.Count(seizure.Refused) != 2 {
		t.Errorf("%v %+v", err, r.Names)
	}
}

func TestBlockedNamesStayOut(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"block", "unknown", "strange"} {
		w := newWorld(t)
		w.authorize(w.order())
		w.block[w.names[2]] = how
		e := w.engine()
		p := w.planned(e, "anna", "bert")
		if c, _, b := p.Count(); c != 3 || b != 1 || !strings.Contains(p.String(), "BLOCKED: G1 says "+how) {
			t.Errorf("%s", p)
		}
		r, err := e.Apply(t.Context(), p.ID)
		if err != nil || r.Count(seizure.Done) != 3 || r.Count(seizure.Blocked) != 1 || w.prov.updates()[w.names[2]] != 0 {
			t.Errorf("%v %+v", err, r.Names)
		}
	}
	w := newWorld(t)
	w.authorize(w.order())
	for _, g := range []func(context.Context, *impound.Mandate, impound.Name) ([]impound.GateVerdict, error){
		nil,
		func(context.Context, *impound.Mandate, impound.Name) ([]impound.GateVerdict, error) { return nil, nil },
		func(context.Context, *impound.Mandate, impound.Name) ([]impound.GateVerdict, error) {
			return nil, errTest
		},
	} {
		p, err := w.engine(func(c *seizure.Config) { c.Gates = g }).Plan(t.Context(), w.mandate)
		if err != nil {
			t.Fatal(err)
		}
		if _, _, b := p.Count(); b != 4 {
			t.Errorf("without a gate's pass every name is blocked:\n%s", p)
		}
	}
}

func TestWithheldNamesAreShown(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mandate = w.authorize(w.order()).Without(w.names[3])
	p := w.planned(w.engine())
	if c, _, b := p.Count(); c != 3 || b != 1 || !strings.Contains(p.String(), "myaccount-services[.]net: BLOCKED: it is withheld") {
		t.Errorf("%s", p)
	}
}

func TestFailuresOfTheProvider(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prep    func(w *world)
		outcome string
		per     int // updates that took effect
	}{
		"done, then the answer is lost": {func(w *world) { w.prov.after = once(errLost) }, seizure.Done, 1},
		"lost before it was done":       {func(w *world) { w.prov.before = once(errLost) }, seizure.Done, 1},
		"busy at first":                 {func(w *world) { w.prov.before = once(errBusy) }, seizure.Done, 1},
		"always busy":                   {func(w *world) { w.prov.before = func(seizure.Change) error { return errBusy } }, seizure.Failed, 0},
		"always lost after it was done": {func(w *world) { w.prov.after = func(seizure.Change) error { return errLost } }, seizure.Done, 1},
		"refused by policy": {func(w *world) {
			w.prov.before = func(c seizure.Change) error {
				if c.CreateHost.IsZero() {
					return &impound.Error{Kind: impound.KindInvalid, Msg: "2005"}
				}
				return nil
			}
		}, seizure.Failed, 0},
		"pending, then done":             {func(w *world) { w.prov.later = func(seizure.Change) string { return "done" } }, seizure.Done, 1},
		"pending, unseen, then done":     {func(w *world) { w.prov.shy = true; w.prov.later = func(seizure.Change) string { return "done" } }, seizure.Done, 1},
		"pending, then denied":           {func(w *world) { w.prov.later = func(seizure.Change) string { return "denied" } }, seizure.Failed, 0},
		"pending for ever":               {func(w *world) { w.prov.later = func(seizure.Change) string { return "never" } }, seizure.Pending, 0},
		"pending for ever and not shown": {func(w *world) { w.prov.shy = true; w.prov.later = func(seizure.Change) string { return "never" } }, seizure.Pending, 0},
		"somebody locks it in between": {func(w *world) {
			w.prov.before = func(c seizure.Change) error {
				if c.CreateHost.IsZero() {
					w.prov.names[c.Name].Status = []string{"serverUpdateProhibited"}
					return &impound.Error{Kind: impound.KindConflict, Msg: "2304"}
				}
				return nil
			}
		}, seizure.Stale, 0},
		"somebody else's change is pending": {func(w *world) {
			for _, x := range w.names {
				w.prov.names[x].Status = []string{"pendingUpdate"}
			}
		}, seizure.Stale, 0},
		"done, answer lost, and changed back by somebody": {func(w *world) {
			w.prov.after = func(c seizure.Change) error {
				if !c.CreateHost.IsZero() {
					return nil
				}
				v := w.prov.names[c.Name]
				v.NS, v.Status, v.DS = ns("ns1.actor.test", "ns2.actor.test"), []string{"ok"}, []string{"1 13 2 AA"}
				return errLost
			}
		}, seizure.Stale, 1},
		"changed since the plan": {func(w *world) {
			for _, x := range w.names {
				w.prov.names[x].NS = ns("ns1.elsewhere.test")
			}
		}, seizure.Stale, 0},
		"another registration since the plan": {func(w *world) {
			for _, x := range w.names {
				w.prov.names[x].ID = "NEW"
			}
		}, seizure.Stale, 0},
		"somebody did it already": {func(w *world) {
			for _, x := range w.names {
				v := w.prov.names[x]
				v.NS, v.DS, v.Status = ns("ns1.sinkhole.example", "ns2.sinkhole.example"), nil, w.order().Acts.Lock
			}
		}, seizure.Done, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.authorize(w.order())
			e := w.engine()
			p := w.planned(e, "anna", "bert")
			tt.prep(w)
			r, err := e.Apply(t.Context(), p.ID)
			if r.Count(tt.outcome) != 4 || (err == nil) != (tt.outcome == seizure.Done) {
				t.Fatalf("want %s: %v\n%+v", tt.outcome, err, r.Names)
			}
			w.wantUpdates(tt.per)
			if tt.outcome == seizure.Done {
				return
			}
			asked := w.prov.asked
			if strings.HasSuffix(name, "denied") {
				// Asked for again, the registry puts it off again, and does it.
				w.prov.later = func(seizure.Change) string { return "done" }
				w.prov.shy = true
				r, err := e.Apply(t.Context(), p.ID)
				w.wantDone(r, err)
				w.wantUpdates(1)
				ids := map[string]bool{}
				for _, c := range w.prov.done {
					ids[c.ClTRID] = true
				}
				if len(ids) != len(w.prov.done) {
					t.Error("two commands with one transaction id")
				}
			}
			if tt.outcome == seizure.Pending {
				// It may be done yet: another apply must not act again.
				if r, _ := e.Apply(t.Context(), p.ID); r.Count(seizure.Pending) != 4 || w.prov.asked != asked {
					t.Errorf("acted again on a pending change: %+v", r.Names)
				}
			}
			if impound.KindOf(err) == impound.KindInternal || impound.KindOf(err) == "" {
				t.Errorf("the error has no kind: %v", err)
			}
		})
	}
}

// A lock that stands before the change is lifted with it and put back: two
// commands, each once, in order.
func TestUpdateLockIsLiftedAndPutBack(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.authorize(w.order())
	for _, x := range w.names {
		w.prov.names[x].Status = []string{"clientUpdateProhibited", "serverUpdateProhibited"}
	}
	w.prov.after = func(seizure.Change) error { return errLost } // always
	e := w.engine()
	p := w.planned(e, "anna", "bert")
	r, err := e.Apply(t.Context(), p.ID)
	w.wantDone(r, err)
	w.wantUpdates(2)
}

func TestTwoAppliesAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.authorize(w.order())
	e := w.engine()
	p := w.planned(e, "anna", "bert")
	inside := make(chan struct{})
	second := make(chan struct{})
	first := true
	w.prov.before = func(seizure.Change) error {
		if first {
			first = false
			close(inside)
			w.prov.mu.Unlock()
			<-second
			w.prov.mu.Lock()
		}
		return nil
	}
	done := make(chan error)
	go func() { _, err := e.Apply(t.Context(), p.ID); done <- err }()
	<-inside
	r, err := w.engine().Apply(t.Context(), p.ID)
	if impound.KindOf(err) != impound.KindConflict || r.Count(seizure.Skipped) != 4 {
		t.Errorf("the second apply must stand back: %v %+v", err, r)
	}
	close(second)
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.wantUpdates(1)
	r, err = w.engine().Apply(t.Context(), p.ID)
	w.wantDone(r, err)
	w.wantUpdates(1)
}

// When the context ends, the act under way is recorded and nothing else begun.
func TestDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.authorize(w.order())
	e := w.engine()
	p := w.planned(e, "anna", "bert")
	ctx, cancel := context.WithCancel(t.Context())
	w.prov.before = func(c seizure.Change) error {
		if c.CreateHost.IsZero() {
			cancel()
		}
		return nil
	}
	r, err := e.Apply(ctx, p.ID)
	if impound.KindOf(err) != impound.KindPartial || r.Count(seizure.Done) != 1 || r.Count(seizure.Skipped) != 3 {
		t.Fatalf("%v %+v", err, r.Names)
	}
	if w.entries(impound.EntryIntent, "") != w.entries(impound.EntryResult, "done") {
		t.Error("an act was not recorded")
	}
	w.prov.before = nil
	r, err = e.Apply(t.Context(), p.ID)
	w.wantDone(r, err)
	w.wantUpdates(1)
}

// When the context ends while looking, nothing is begun.
func TestDrainBeforeTheAct(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.authorize(w.order())
	ctx, cancel := context.WithCancel(t.Context())
	e := w.engine(func(c *seizure.Config) {
		c.Progress = func(ev seizure.Event) {
			if ev.Phase == "look" {
				cancel()
			}
		}
	})
	p := w.planned(e, "anna", "bert")
	if r, err := e.Apply(ctx, p.ID); err == nil || r.Count(seizure.Skipped) != 4 || w.prov.asked != 0 {
		t.Errorf("%v %+v, %d acts asked for", err, r.Names, w.prov.asked)
	}
}

// A plan reads back from the store with the hash that was signed.
func TestPlanRoundTrip(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.authorize(w.order())
	p := w.planned(w.engine())
	b, err := json.Marshal(p)
	if err != nil {
		t.Fatal(err)
	}
	var q seizure.Plan
	if err := json.Unmarshal(b, &q); err != nil {
		t.Fatal(err)
	}
	h1, _ := p.Hash()
	h2, _ := q.Hash()
	if h1 != h2 || h1 == "" {
		t.Errorf("%s, then %s", h1, h2)
	}
}
