package casework_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/gate"
)

// A sealed case claims a name for another actor than an order's case does. Whoever
// is outside of the seal is told the same as if it did not exist, by every check;
// its parties see the order; and the house keeps the name out before it is
// touched, until one of the parties settles it.
func TestASealedClaimIsHeardAndNotTold(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.guard()
	d.ok(d.Enrol(ctx, casework.SignEnrolment(person("eve", impound.RoleAnalyst, impound.RoleCounsel), "root", key("root"))))
	doc := d.draft("O-1", "shared-verify.com", "open-verify.com")
	eve, ann := as(ctx, "eve"), as(ctx, "ann")
	check := func() []casework.NameReport {
		rep, err := d.CheckOrder(eve, "o.yaml", doc)
		d.ok(err)
		return rep.Names
	}
	before := check()
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "QUIET", Title: "Quiet", Actor: "A-2"}))
	d.ok(d.seal("ann", "QUIET", "ann", "carl"))
	_, err := d.AddNames(ctx, "ann", "QUIET", add("shared-verify.com", "quiet-verify.com"))
	d.ok(err)
	names := cmp.Comparer(func(a, b impound.Name) bool { return a == b })
	if diff := cmp.Diff(before, check(), names); diff != "" {
		t.Errorf("eve's check tells of the sealed claim:\n%s", diff)
	}
	_, err = d.FileOrder(eve, "eve", "o.yaml", sign(t, doc, "alice", "bob"))
	d.ok(err)
	ms, err := d.Mandates(eve)
	d.ok(err)
	if len(ms) != 1 {
		t.Fatalf("%d mandates", len(ms))
	}
	m := ms[0]
	blocked, err := d.Blocked(eve, m)
	d.ok(err)
	if len(blocked) != 0 {
		t.Errorf("eve is told %v", blocked)
	}

	// The house knows, and nobody else can ask.
	for who, want := range map[string]int{"eve": 0, "": 0, "ann": 0} {
		if got, err := d.Unsettled(as(ctx, who), m); err != nil || len(got) != want {
			t.Errorf("%q asks the house's question: %v %v", who, got, err)
		}
	}
	unsettled := func(want ...string) {
		t.Helper()
		got, err := d.Unsettled(impound.AsSystem(ctx), m)
		d.ok(err)
		var s []string
		for n := range got {
			s = append(s, n.String())
		}
		slices.Sort(s)
		if diff := cmp.Diff(want, s); diff != "" {
			t.Errorf("unsettled: %s", diff)
		}
	}
	unsettled("shared-verify.com")
	v := casework.UnsettledVerdict(gate.Input{Now: t0})
	if v.Outcome != impound.GateBlock || v.Data != "" || !v.AsOf.Equal(t0) {
		t.Errorf("%+v", v)
	}
	conflicts := func(who string) []casework.SealedConflict {
		cs, err := d.SealedConflicts(as(ctx, who))
		d.ok(err)
		return cs
	}
	want := []casework.SealedConflict{{Case: "QUIET", Name: impound.MustName("shared-verify.com"), Actor: "A-2", Order: "O-1", OrderCase: "C-1", Claimed: "APT35"}}
	for _, who := range []string{"ann", "carl"} {
		if diff := cmp.Diff(want, conflicts(who), names); diff != "" {
			t.Errorf("%s, a party: %s", who, diff)
		}
	}
	for _, who := range []string{"eve", "root", ""} {
		if cs := conflicts(who); len(cs) != 0 {
			t.Errorf("%q is told %v", who, cs)
		}
	}
	if cs, err := d.SealedConflicts(impound.AsSystem(ctx)); err != nil || len(cs) != 0 {
		t.Errorf("the house tells %v %v", cs, err)
	}

	// Who is no party settles nothing, a party does, either way.
	settle := func(who, actor, why string) {
		t.Helper()
		x := casework.NewDecision(casework.WhatAttribute, impound.MustName("shared-verify.com"), actor, why, t0)
		x.Signature = impound.Sign(key(who), casework.SignDecision, x.Hash(), who, t0)
		d.ok(d.Decide(as(ctx, who), x))
	}
	settle("eve", "APT35", "ours, says eve")
	unsettled("shared-verify.com")
	settle("ann", "APT35", "theirs: exhibit 4")
	unsettled()
	if cs := conflicts("ann"); len(cs) != 0 {
		t.Errorf("settled, and still told: %v", cs)
	}
	settle("ann", "A-2", "no: exhibit 5")
	unsettled("shared-verify.com")
	settle("eve", "APT35", "ours, says eve again")
	unsettled("shared-verify.com")
	// Given back by the sealed case, or opened: then it is claimed as any other.
	d.ok(d.SetState(ann, "ann", "QUIET", impound.MustName("shared-verify.com"), impound.StateReleased, "not theirs"))
	unsettled()
}
