package seizure_test

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

// weigh has every name judged as outcome says.
func weigh(outcome *impound.Outcome) func(*seizure.Config) {
	return func(c *seizure.Config) {
		c.Risks = func(context.Context, *impound.Mandate, impound.Name, string) ([]impound.GateVerdict, error) {
			return []impound.GateVerdict{{Gate: "R1", Outcome: *outcome, Reason: "told to"}, {Gate: "R2", Outcome: impound.GatePass}}, nil
		}
	}
}

func (w *world) released(e *seizure.Engine, how seizure.LettingGo, names []impound.Name, who ...string) *seizure.Plan {
	w.t.Helper()
	p, err := e.Release(w.t.Context(), w.mandate, how, names...)
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

func clause(how ...string) func(*world, *impound.Order) {
	return func(w *world, o *impound.Order) {
		o.Release = &impound.ReleaseTerms{How: how, Until: o.Until.AddDate(0, 3, 0), Clause: "9"}
		for _, v := range w.prov.names {
			v.Status = []string{"clientTransferProhibited"} // it was so before: it stays
		}
	}
}

func TestRelease(t *testing.T) {
	t.Parallel()
	for how, want := range map[string]string{
		impound.ReleaseRestore: "ns1.actor.test,ns2.actor.test clientTransferProhibited",
		impound.ReleaseExpire:  " clientTransferProhibited",
		impound.ReleaseDelete:  " clientTransferProhibited,pendingDelete",
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w, _, _ := seized(t, clause(impound.ReleaseRestore, impound.ReleaseExpire, impound.ReleaseDelete))
			outcome := impound.GateWarn
			e := w.engine(weigh(&outcome))
			asked := w.prov.asked
			p := w.released(e, seizure.LettingGo{How: how}, w.names[:2], "anna")
			if _, err := e.Apply(t.Context(), p.ID); impound.KindOf(err) != impound.KindRefused || w.prov.asked != asked {
				t.Errorf("with one approver: %v", err)
			}
			if _, err := e.Approve(t.Context(), p.ID, w.sign(p, "bert")); err != nil {
				t.Fatal(err)
			}
			if s := p.String(); !strings.Contains(s, "to let names go ("+how+")") || !strings.Contains(s, "2 to change") || !strings.Contains(s, "R1 warns: told to") {
				t.Errorf("the plan:\n%s", s)
			}
			r, err := e.Apply(t.Context(), p.ID)
			w.wantDone(r, err)
			for i, x := range w.names {
				v := w.prov.names[x]
				s := v.State()
				got := strings.Join(spelled(s.NS), ",") + " " + strings.Join(s.Status, ",")
				if (got == want) != (i < 2) {
					t.Errorf("%s: %q, want %q for the first two", x, got, want)
				}
			}
			asked = w.prov.asked
			if _, err := e.Apply(t.Context(), p.ID); err != nil || w.prov.asked != asked {
				t.Errorf("again: %v", err)
			}
			st, err := e.Status(t.Context(), w.mandate.ID())
			n := 0
			for _, x := range st {
				if x.Released == how && x.Reverted == p.ID {
					n++
				}
			}
			if err != nil || n != 2 {
				t.Errorf("%v %+v", err, st)
			}
			if d, err := e.Drift(t.Context(), w.mandate); err != nil || len(d) != 0 {
				t.Errorf("what was let go is no drift: %v %+v", err, d)
			}
			let := 0
			_ = w.log.Entries(t.Context(), 0, func(_ int64, e impound.Entry) error {
				if e.What == seizure.WhatReleased && e.Detail["how"] == how && e.Detail["plan"] == p.ID {
					let++
				}
				return nil
			})
			if let != 2 {
				t.Errorf("%d names are recorded as let go", let)
			}
		})
	}
}

func spelled(in []impound.Name) []string {
	out := make([]string, len(in))
	for i, x := range in {
		out[i] = x.String()
	}
	return out
}

// Law 1: a name is let go as the order says and until then, or not at all.
func TestReleaseNeedsTheClause(t *testing.T) {
	t.Parallel()
	outcome := impound.GatePass
	t.Run("without a clause at_end says it, until the end", func(t *testing.T) {
		w, _, _ := seized(t, nil) // at_end: restore
		e := w.engine(weigh(&outcome))
		for _, how := range []string{impound.ReleaseExpire, impound.ReleaseDelete, "sell"} {
			if _, err := e.Release(t.Context(), w.mandate, seizure.LettingGo{How: how}, w.names[0]); impound.KindOf(err) != impound.KindRefused {
				t.Errorf("%s: %v", how, err)
			}
		}
		w.released(e, seizure.LettingGo{How: impound.ReleaseRestore}, w.names[:1])
		w.clock = t0.AddDate(1, 0, 0)
		if _, err := e.Release(t.Context(), w.mandate, seizure.LettingGo{How: impound.ReleaseRestore}, w.names[0]); impound.KindOf(err) != impound.KindRefused || !strings.Contains(err.Error(), "lapsed") {
			t.Errorf("lapsed: %v", err)
		}
	})
	t.Run("keep-lock lets nothing go", func(t *testing.T) {
		w, _, _ := seized(t, func(_ *world, o *impound.Order) { o.AtEnd = "keep-lock" })
		e := w.engine(weigh(&outcome))
		if _, err := e.Release(t.Context(), w.mandate, seizure.LettingGo{How: impound.ReleaseRestore}, w.names[0]); impound.KindOf(err) != impound.KindRefused {
			t.Errorf("%v", err)
		}
	})
	t.Run("after the end, by the clause, and nothing else", func(t *testing.T) {
		w, _, _ := seized(t, clause(impound.ReleaseExpire))
		e := w.engine(weigh(&outcome))
		w.clock = t0.AddDate(1, 0, 1) // lapsed yesterday
		asked := w.prov.asked
		if _, err := e.Plan(t.Context(), w.mandate); impound.KindOf(err) != impound.KindRefused {
			t.Errorf("planning: %v", err)
		}
		if _, err := e.Revert(t.Context(), w.mandate); impound.KindOf(err) != impound.KindRefused {
			t.Errorf("reverting: %v", err)
		}
		for _, act := range []impound.Act{impound.ActNameservers, impound.ActLock, impound.ActDelete} {
			if _, err := w.mandate.Permit(act, w.names[0], w.now()); err == nil {
				t.Errorf("a permit for %s", act)
			}
		}
		p := w.released(e, seizure.LettingGo{How: impound.ReleaseExpire}, w.names[:1], "anna", "bert")
		if w.prov.asked != asked {
			t.Fatal("planning acted")
		}
		r, err := e.Apply(t.Context(), p.ID)
		w.wantDone(r, err)
		late := w.released(e, seizure.LettingGo{How: impound.ReleaseExpire}, w.names[1:2], "anna", "bert")
		w.clock = t0.AddDate(1, 3, 0) // the clause has ended, too
		asked = w.prov.asked
		if _, err := e.Apply(t.Context(), late.ID); err == nil || w.prov.asked != asked {
			t.Errorf("after the clause's end: %v", err)
		}
		if _, err := e.Release(t.Context(), w.mandate, seizure.LettingGo{How: impound.ReleaseExpire}, w.names[2]); impound.KindOf(err) != impound.KindRefused {
			t.Errorf("after the clause's end: %v", err)
		}
	})
	t.Run("a forged plan", func(t *testing.T) {
		w, _, _ := seized(t, clause(impound.ReleaseExpire))
		e := w.engine(weigh(&outcome))
		p := w.released(e, seizure.LettingGo{How: impound.ReleaseExpire}, w.names[:1])
		asked := w.prov.asked
		for what, edit := range map[string]func(*seizure.Plan){
			"delete instead": func(p *seizure.Plan) {
				c := seizure.Change{Name: p.Names[0].Name, Delete: true, Release: true}
				p.Names[0].Steps = []seizure.Step{{Acts: c.Acts(), Change: c, Lines: c.Lines()}}
			},
			"another way":      func(p *seizure.Plan) { p.Release, p.Names[0].Release = "delete", "delete" },
			"an ordinary plan": func(p *seizure.Plan) { p.Release = "" },
			"another's name servers": func(p *seizure.Plan) {
				p.Names[0].Steps[0].Change.AddNS = ns("ns1.thief.test")
			},
		} {
			id := w.forge(p, edit, "anna", "bert")
			if _, err := e.Apply(t.Context(), id); err == nil || w.prov.asked != asked {
				t.Errorf("%s: %v", what, err)
			}
		}
	})
}

// Law 2: kept is the default, and what nobody knows is no pass.
func TestReleaseKeepsWhatSomethingSpeaksAgainst(t *testing.T) {
	t.Parallel()
	w, _, _ := seized(t, clause(impound.ReleaseExpire))
	outcome := impound.GateBlock
	e := w.engine(weigh(&outcome))
	go1 := func(how seizure.LettingGo) *seizure.Plan {
		return w.released(e, how, w.names[:1], "anna", "bert")
	}
	for _, o := range []impound.Outcome{impound.GateBlock, impound.GateUnknown, "?"} {
		outcome = o
		p := go1(seizure.LettingGo{How: impound.ReleaseExpire})
		if !strings.Contains(p.Names[0].Blocked, "keep it: R1") || len(p.Names[0].Steps) > 0 {
			t.Errorf("%s: %s", o, p)
		}
		w.clock = w.clock.Add(time.Second)
	}
	bare := w.engine() // nobody weighs
	if p, err := bare.Release(t.Context(), w.mandate, seizure.LettingGo{How: impound.ReleaseExpire, Despite: "x"}, w.names[0]); err != nil || p.Names[0].Blocked == "" {
		t.Errorf("%v %s", err, p)
	}
	// It was all right when it was planned, and is no more.
	outcome = impound.GatePass
	p := go1(seizure.LettingGo{How: impound.ReleaseExpire})
	outcome = impound.GateBlock
	asked := w.prov.asked
	if r, err := e.Apply(t.Context(), p.ID); err == nil || r.Count(seizure.Blocked) != 1 || w.prov.asked != asked {
		t.Errorf("%v %+v", err, r)
	}
	// In spite of it, by two people's word, and only of what they knew.
	w.clock = w.clock.Add(time.Second)
	p = go1(seizure.LettingGo{How: impound.ReleaseExpire, Despite: "the brand takes it the same day"})
	if s := p.String(); !strings.Contains(s, "in spite of what speaks against it: the brand") {
		t.Errorf("the plan hides it:\n%s", s)
	}
	outcome = impound.GateUnknown
	if _, err := e.Apply(t.Context(), p.ID); err == nil || w.prov.asked != asked {
		t.Errorf("another reason came up: %v", err)
	}
	outcome = impound.GateBlock
	r, err := e.Apply(t.Context(), p.ID)
	w.wantDone(r, err)

	// It is taken again: the log says that, too.
	w.clock = w.clock.Add(time.Minute)
	p = w.planned(e, "anna", "bert")
	r, err = e.Apply(t.Context(), p.ID)
	if err != nil {
		t.Fatalf("%v %+v", err, r)
	}
	var whats []string
	_ = w.log.Entries(t.Context(), 0, func(_ int64, e impound.Entry) error {
		if e.What == seizure.WhatReleased || e.What == seizure.WhatRetaken {
			whats = append(whats, e.What)
		}
		return nil
	})
	if !slices.Equal(whats, []string{seizure.WhatReleased, seizure.WhatRetaken}) {
		t.Errorf("%v", whats)
	}
}

var plaintiff = seizure.Contact{Name: "Digital Crimes Desk", Org: "The Plaintiff Inc.", Street: []string{"1 Main St"}, City: "Redmond", Country: "US", Email: "desk@plaintiff.example", Voice: "+1.5550100"}

// A registrant is changed where the order says so and somebody said who that is.
func TestRegistrant(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, v := range w.prov.names {
		v.Registrant = "ACTOR-1"
	}
	o := w.order()
	o.Acts.Registrant = "The Plaintiff"
	w.authorize(o)
	byHand := w.planned(w.engine())
	if !strings.Contains(byHand.String(), "the registrant is to be The Plaintiff: do it by hand") {
		t.Errorf("nobody said who that is:\n%s", byHand)
	}
	w.clock = w.clock.Add(time.Second)
	know := func(c *seizure.Config) { c.Registrants = map[string]seizure.Contact{"The Plaintiff": plaintiff} }
	e := w.engine(know)
	p := w.planned(e, "anna", "bert")
	if s := p.String(); !strings.Contains(s, "+ contact "+plaintiff.ID()) || !strings.Contains(s, "~ registrant "+plaintiff.ID()) || strings.Count(s, "+ contact") != 1 {
		t.Errorf("the plan:\n%s", s)
	}
	r, err := e.Apply(t.Context(), p.ID)
	w.wantDone(r, err)
	w.wantUpdates(1)
	if c, ok := w.prov.contacts[plaintiff.ID()]; !ok || c.Email != plaintiff.Email {
		t.Errorf("%+v", w.prov.contacts)
	}
	v, err := e.Verify(t.Context(), w.mandate)
	if err != nil || !v[0].Done || !strings.Contains(v[0].Views[1].Why, "the ordered registrant, by the provider's word") {
		t.Errorf("%v %+v", err, v)
	}
	// The config says that it is somebody else: the plan that was signed is no longer it.
	w.clock = w.clock.Add(time.Second)
	w.prov.names[w.names[0]].Registrant = "THIEF-1"
	w.prov.touch(w.prov.names[w.names[0]])
	if v, err = e.Verify(t.Context(), w.mandate); err != nil || v[0].Done || v[0].Views[1].State != seizure.NotYet {
		t.Errorf("%v %+v", err, v)
	}
	w.names = w.names[:1]
	p = w.planned(e, "anna", "bert")
	other := plaintiff
	other.Email = "thief@plaintiff.example"
	asked := w.prov.asked
	if _, err := w.engine(func(c *seizure.Config) { c.Registrants = map[string]seizure.Contact{"The Plaintiff": other} }).Apply(t.Context(), p.ID); impound.KindOf(err) != impound.KindRefused || w.prov.asked != asked {
		t.Errorf("%v", err)
	}
	if r, err = e.Apply(t.Context(), p.ID); err != nil || w.prov.names[w.names[0]].Registrant != plaintiff.ID() {
		t.Errorf("%v %+v", err, r)
	}

	// Given back, it is whose it was.
	w.clock = w.clock.Add(time.Minute)
	w.prov.hosts[n("ns1.actor.test")], w.prov.hosts[n("ns2.actor.test")] = true, true
	back := w.reverted(e, w.names[:1], "anna", "bert")
	r, err = e.Apply(t.Context(), back.ID)
	w.wantDone(r, err)
	if got := w.prov.names[w.names[0]].Registrant; got != "ACTOR-1" {
		t.Errorf("registrant %s", got)
	}
}
