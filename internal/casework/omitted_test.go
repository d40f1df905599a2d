package casework_test

import (
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

// Every name of the actor's set that an order leaves out is told, with why.
func TestWhyNamesAreNotInTheOrder(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.guard()
	d.ok(d.Enrol(ctx, casework.SignEnrolment(person("eve", impound.RoleAnalyst, impound.RoleCounsel), "root", key("root"))))
	doc := d.draft("O-1", "first-verify.com") // opens C-1 of APT35
	ann := as(ctx, "ann")
	_, err := d.AddNames(ann, "ann", "C-1", add("ordered-verify.com", "fresh-verify.com", "given-back.com", "contested-verify.com", "lent-verify.com", "red-verify.com", "pap-verify.com",
		"claimed-verify.com", "theirs-verify.com", "www.below-verify.com", "somebody.blogspot.com", "other-verify.org", "looked-verify.com", "forgotten-verify.com"))
	d.ok(err)
	set := func(n string, s impound.DomainState, why string) {
		t.Helper()
		d.ok(d.SetState(ann, "ann", "C-1", impound.MustName(n), s, why))
	}
	decide := func(who, what, n, actor, why string) {
		t.Helper()
		x := casework.NewDecision(what, impound.MustName(n), actor, why, t0)
		x.Signature = impound.Sign(key(who), casework.SignDecision, x.Hash(), who, t0)
		d.ok(d.Decide(as(ctx, who), x))
	}
	set("given-back.com", impound.StateReleased, "a bakery's")
	decide("carl", casework.WhatContest, "contested-verify.com", "", "letter of its owner")
	d.ok(d.MarkName(ann, "ann", "C-1", impound.MustName("lent-verify.com"), impound.Marking{Originator: "Example Bank"}))
	d.ok(d.MarkName(ann, "ann", "C-1", impound.MustName("red-verify.com"), impound.Marking{TLP: impound.TLPRed}))
	d.ok(d.MarkName(ann, "ann", "C-1", impound.MustName("pap-verify.com"), impound.Marking{PAP: impound.PAPAmber}))
	d.ok(d.OpenCase(ann, "ann", impound.Case{ID: "C-2", Title: "Of another", Actor: "A-2"}))
	_, err = d.AddNames(ann, "ann", "C-2", add("claimed-verify.com", "theirs-verify.com"))
	d.ok(err)
	decide("ann", casework.WhatAttribute, "theirs-verify.com", "A-2", "exhibit 4")
	d.ok(d.OpenCase(ann, "ann", impound.Case{ID: "C-3", Title: "Of the same", Actor: "APT35"}))
	_, err = d.AddNames(ann, "ann", "C-3", add("elsewhere-verify.com"))
	d.ok(err)
	d.ok(d.OpenCase(ann, "ann", impound.Case{ID: "QUIET", Title: "Quiet", Actor: "APT35"}))
	d.ok(d.seal("ann", "QUIET", "ann", "carl"))
	_, err = d.AddNames(ann, "ann", "QUIET", add("quiet-verify.com"))
	d.ok(err)
	_, err = d.FileOrder(as(ctx, "carl"), "carl", "o.yaml", sign(t, d.draft("O-2", "ordered-verify.com"), "alice", "bob"))
	d.ok(err)
	set("looked-verify.com", impound.StateEvidenced, "captured")
	set("forgotten-verify.com", impound.StateEvidenced, "captured")
	set("forgotten-verify.com", impound.StateProposed, "for the next one")

	told := func(who string) map[string]string {
		t.Helper()
		rep, err := d.CheckOrder(as(ctx, who), "o.yaml", doc)
		d.ok(err)
		out := map[string]string{}
		for _, x := range rep.Omitted {
			if _, twice := out[x.Name.String()]; twice {
				t.Errorf("%s is told twice", x.Name)
			}
			out[x.Name.String()] = x.Why
		}
		return out
	}
	got := told("eve")
	for n, words := range map[string]string{
		"ordered-verify.com": "order O-2 holds it", "fresh-verify.com": "still a candidate, without evidence", "given-back.com": "it was given back (ann on", "contested-verify.com": "contested since",
		"lent-verify.com": "Example Bank, who gave it to us, has not consented", "red-verify.com": "marked TLP:RED", "pap-verify.com": "marked PAP:AMBER", "claimed-verify.com": "cases of A-2 claim it too",
		"theirs-verify.com": "decided to be A-2's, not APT35's", "www.below-verify.com": "no registrable domain", "somebody.blogspot.com": "gate G1-shared-suffix", "other-verify.org": "below .org, where the order has no name",
		"looked-verify.com": "it is evidenced, with 0 artefacts, and nobody has proposed it", "forgotten-verify.com": "nothing that is known keeps it out", "elsewhere-verify.com": "case C-3 of the same actor has it: it is still a candidate",
	} {
		if !strings.Contains(got[n], words) {
			t.Errorf("%s: %q, want %q", n, got[n], words)
		}
	}
	if _, ok := got["first-verify.com"]; ok {
		t.Error("what is in the order is told")
	}
	if why, ok := got["quiet-verify.com"]; ok {
		t.Errorf("eve, no party, is told of a sealed case: %s", why)
	}
	if why := told("ann")["quiet-verify.com"]; !strings.Contains(why, "case QUIET of the same actor") {
		t.Errorf("ann, a party, is told %q", why)
	}
	// What ended is told as such.
	row, _, _, err := d.Order(ctx, "O-2")
	d.ok(err)
	w := casework.NewWithdrawal("O-2", row.Hash, "wrong name", t0)
	w.Signature = impound.Sign(key("carl"), casework.SignWithdrawal, w.Digest(), "carl", t0)
	d.ok(d.Withdraw(as(ctx, "carl"), w))
	if why := told("eve")["ordered-verify.com"]; !strings.Contains(why, "order O-2 held it, and was withdrawn") {
		t.Errorf("of an order that was withdrawn: %q", why)
	}
}
