package seizure_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

// seized gives a world in which every name is taken, and the states before.
func seized(t *testing.T, prep func(*world, *impound.Order)) (*world, *seizure.Engine, map[impound.Name]seizure.State) {
	t.Helper()
	w := newWorld(t)
	w.prov.hosts[n("ns1.actor.test")], w.prov.hosts[n("ns2.actor.test")] = true, true
	o := w.order()
	if prep != nil {
		prep(w, o)
	}
	w.authorize(o)
	before := map[impound.Name]seizure.State{}
	for x, v := range w.prov.names {
		before[x] = v.State()
	}
	e := w.engine()
	r, err := e.Apply(t.Context(), w.planned(e, "anna", "bert").ID)
	if err != nil || r.Count(seizure.Done) != len(w.names) {
		t.Fatalf("%v %+v", err, r)
	}
	w.clock = w.clock.Add(time.Minute)
	return w, e, before
}

// reverted makes a plan that gives names back, approved by who.
func (w *world) reverted(e *seizure.Engine, names []impound.Name, who ...string) *seizure.Plan {
	w.t.Helper()
	p, err := e.Revert(w.t.Context(), w.mandate, names...)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, id := range who {
		if _, err := e.Approve(w.t.Context(), p.ID, w.sign(p, id)); err != nil {
			w.t.Fatalf("%s approves: %v", id, err)
		}
	}
	return p
}

func TestRevert(t *testing.T) {
	t.Parallel()
	for what, prep := range map[string]func(*world, *impound.Order){
		"redirected": nil,
		"held": func(_ *world, o *impound.Order) {
			o.Acts = impound.Acts{Hold: true, Lock: []string{"serverTransferProhibited"}}
		},
		"locked before": func(w *world, _ *impound.Order) {
			for _, v := range w.prov.names {
				v.Status = []string{"clientUpdateProhibited", "serverUpdateProhibited", "clientTransferProhibited"}
			}
		},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w, e, before := seized(t, prep)
			p := w.reverted(e, nil, "anna", "bert")
			text := p.String()
			if !strings.Contains(text, "to revert what was done under order TEST-1") || !strings.Contains(text, "4 to change") || strings.Contains(text, "verify.net") {
				t.Errorf("the text:\n%s", text)
			}
			if what == "redirected" && !strings.Contains(text, "by hand: 1 13 2 AA") {
				t.Errorf("the plan doesn't say that the DS is a matter for a person:\n%s", text)
			}
			r, err := e.Apply(t.Context(), p.ID)
			w.wantDone(r, err)
			for x, want := range before {
				if what != "held" {
					want.DS = nil // a DS is never put back
				}
				if d := cmp.Diff(want, w.prov.names[x].State(), cmp.Comparer(func(a, b impound.Name) bool { return a == b })); d != "" {
					t.Errorf("%s: %s", x, d)
				}
			}
			if i, d := w.entries(impound.EntryIntent, ""), w.entries(impound.EntryResult, "done"); i != d {
				t.Errorf("%d intents and %d results", i, d)
			}

			// Idempotent, and known for what it is.
			asked := w.prov.asked
			if r, err := e.Apply(t.Context(), p.ID); err != nil || w.prov.asked != asked {
				t.Errorf("applied again: %v, %d acts more: %+v", err, w.prov.asked-asked, r)
			}
			st, err := e.Status(t.Context(), w.mandate.ID())
			if err != nil || len(st) != 4 || st[0].Reverted != p.ID {
				t.Errorf("%v %+v", err, st)
			}
			if d, err := e.Drift(t.Context(), w.mandate); err != nil || len(d) != 0 {
				t.Errorf("what was given back is called drift: %v %+v", err, d)
			}
			if _, err := e.Revert(t.Context(), w.mandate); impound.KindOf(err) != impound.KindNotFound {
				t.Errorf("reverting again: %v", err)
			}

			// Taken again, it goes back to what it was then.
			w.clock = w.clock.Add(time.Minute)
			w.prov.hosts[n("ns1.owner.test")], w.prov.hosts[n("ns2.owner.test")] = true, true
			w.prov.names[w.names[0]].NS = ns("ns1.owner.test", "ns2.owner.test")
			w.prov.touch(w.prov.names[w.names[0]])
			again := w.planned(e, "anna", "bert")
			if !strings.Contains(again.String(), "gave it back; this takes it again") {
				t.Errorf("the plan hides that it takes again what was given back:\n%s", again)
			}
			r, err = e.Apply(t.Context(), again.ID)
			if err != nil || r.Count(seizure.Done) != 4 {
				t.Fatalf("%v %+v", err, r)
			}
			w.clock = w.clock.Add(time.Minute)
			p = w.reverted(e, w.names[:1], "anna", "bert")
			if got := p.Names[0].Restore; len(p.Names) != 1 || !slices.Equal(got.NS, ns("ns1.owner.test", "ns2.owner.test")) {
				t.Errorf("it would go back to %+v", got)
			}
		})
	}
}

// The parts of a revert that hold it back: order, approvals, proof.
func TestRevertRefused(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		kind impound.Kind
		prep func(w *world, e *seizure.Engine) string
	}{
		"one approved": {impound.KindRefused, func(w *world, e *seizure.Engine) string { return w.reverted(e, nil, "anna").ID }},
		"order lapsed": {impound.KindRefused, func(w *world, e *seizure.Engine) string {
			p := w.reverted(w.engine(func(c *seizure.Config) { c.MaxAge = 100 * 365 * 24 * time.Hour }), nil, "anna", "bert")
			w.clock = t0.AddDate(1, 0, 0)
			return p.ID
		}},
		"withheld since": {impound.KindRefused, func(w *world, e *seizure.Engine) string {
			p := w.reverted(e, w.names[:1], "anna", "bert")
			w.mandate = w.mandate.Without(w.names[0])
			return p.ID
		}},
		"to somewhere else, with approvals": {impound.KindRefused, func(w *world, e *seizure.Engine) string {
			return w.forge(w.reverted(e, nil), func(p *seizure.Plan) {
				np := &p.Names[0]
				np.Restore.NS = ns("ns1.thief.test")
				np.Steps[0].Change.AddNS = ns("ns1.thief.test")
				np.Steps[0].Lines = np.Steps[0].Change.Lines()
			}, "anna", "bert")
		}},
		"a former state made up in the database, with approvals": {impound.KindRefused, func(w *world, e *seizure.Engine) string {
			p := w.reverted(e, nil)
			first, err := e.Get(w.t.Context(), p.Names[0].FormerPlan)
			if err != nil {
				w.t.Fatal(err)
			}
			w.forge(&first.Plan, func(p *seizure.Plan) { p.Names[0].Former.NS = ns("ns1.thief.test") })
			return w.forge(p, func(p *seizure.Plan) {
				np := &p.Names[0]
				np.Restore.NS = ns("ns1.thief.test")
				np.Steps[0].Change.AddNS = ns("ns1.thief.test")
				np.Steps[0].Lines = np.Steps[0].Change.Lines()
			}, "anna", "bert")
		}},
		"a revert that calls itself a seizure": {impound.KindRefused, func(w *world, e *seizure.Engine) string {
			return w.forge(w.reverted(e, nil), func(p *seizure.Plan) { p.Revert = false }, "anna", "bert")
		}},
		"another DS": {impound.KindRefused, func(w *world, e *seizure.Engine) string {
			w.prov.keys = map[impound.Name]bool{w.names[0]: true}
			return w.forge(w.reverted(e, w.names[:1]), func(p *seizure.Plan) {
				s := &p.Names[0].Steps[1]
				s.Change.BackDS = []string{"2 13 2 BB"}
				s.Lines = s.Change.Lines()
			}, "anna", "bert")
		}},
		"a DS before the name servers": {impound.KindRefused, func(w *world, e *seizure.Engine) string {
			w.prov.keys = map[impound.Name]bool{w.names[0]: true}
			return w.forge(w.reverted(e, w.names[:1]), func(p *seizure.Plan) { slices.Reverse(p.Names[0].Steps) }, "anna", "bert")
		}},
		"a DS without a look": {impound.KindRefused, func(w *world, e *seizure.Engine) string {
			return w.forge(w.reverted(e, w.names[:1]), func(p *seizure.Plan) {
				c := seizure.Change{Name: p.Names[0].Name, BackDS: []string{"1 13 2 AA"}}
				p.Names[0].Steps = append(p.Names[0].Steps, seizure.Step{Acts: c.Acts(), Change: c, Lines: c.Lines()})
			}, "anna", "bert")
		}},
		"a host along with it": {impound.KindRefused, func(w *world, e *seizure.Engine) string {
			return w.forge(w.reverted(e, nil), func(p *seizure.Plan) {
				c := seizure.Change{Name: w.names[0], CreateHost: n("ns1.sinkhole.example")}
				p.Hosts = []seizure.HostPlan{{Provider: "reg", Step: seizure.Step{Acts: c.Acts(), Change: c, Lines: c.Lines()}}}
			}, "anna", "bert")
		}},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w, e, _ := seized(t, nil)
			id := tt.prep(w, e)
			asked := w.prov.asked
			if _, err := e.Apply(t.Context(), id); impound.KindOf(err) != tt.kind {
				t.Errorf("%v", err)
			}
			if w.prov.asked != asked {
				t.Error("an act was asked for")
			}
		})
	}
}

func TestRevertPlansOnlyWhatItMay(t *testing.T) {
	t.Parallel()
	w, e, _ := seized(t, nil)
	if _, err := e.Revert(t.Context(), w.mandate, n("bank.net")); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("a name of no order: %v", err)
	}
	w.prov.names[w.names[0]].ID = "D99"
	w.prov.names[w.names[1]].NS = ns("ns1.owner.test")
	w.block[w.names[2]] = "block"
	delete(w.prov.hosts, n("ns1.actor.test"))
	p := w.reverted(e, nil)
	for i, want := range []string{"another registration", "somebody else changed its name servers", "says block", "no longer known"} {
		x := w.names[i]
		k := slices.IndexFunc(p.Names, func(np seizure.NamePlan) bool { return np.Name == x })
		if np := p.Names[k]; !strings.Contains(np.Blocked, want) || len(np.Steps) > 0 {
			t.Errorf("%s: %q %+v, want %q", x, np.Blocked, np.Steps, want)
		}
	}
	w.clock = t0.AddDate(1, 0, 0)
	if _, err := e.Revert(t.Context(), w.mandate); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("a lapsed order: %v", err)
	}
	w.clock = t0.Add(time.Hour)

	// A plan that was made and never begun left nothing to undo.
	w = newWorld(t)
	w.authorize(w.order())
	e = w.engine()
	w.planned(e, "anna", "bert")
	if _, err := e.Revert(t.Context(), w.mandate); impound.KindOf(err) != impound.KindNotFound {
		t.Errorf("nothing was done: %v", err)
	}
	if p := w.reverted(e, w.names[:1]); !strings.Contains(p.Names[0].Blocked, "nothing was done to it") {
		t.Errorf("%+v", p.Names)
	}
}

// A revert is as good against lost answers and other people's acts as a seizure.
func TestRevertDespiteFailures(t *testing.T) {
	t.Parallel()
	w, e, before := seized(t, nil)
	w.prov.after = once(errLost)
	done := len(w.prov.done)
	p := w.reverted(e, nil, "anna", "bert")
	r, err := e.Apply(t.Context(), p.ID)
	w.wantDone(r, err)
	if got := len(w.prov.done) - done; got != len(w.names) {
		t.Errorf("%d acts took effect for %d names", got, len(w.names))
	}
	if got := w.prov.names[w.names[0]].State(); !slices.Equal(got.NS, before[w.names[0]].NS) {
		t.Errorf("%+v", got)
	}
	w.prov.names[w.names[1]].Status = []string{"serverHold"}
	w.prov.names[w.names[1]].NS = ns("ns1.thief.test")
	r, err = e.Apply(t.Context(), p.ID)
	if impound.KindOf(err) != impound.KindPartial || r.Count(seizure.Stale) != 1 || !strings.Contains(err.Error(), "seize revert") {
		t.Errorf("%v %+v", err, r)
	}
}
