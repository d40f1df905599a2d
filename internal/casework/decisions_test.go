package casework_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/gate"
)

func decision(what, name, actor, why, who string) casework.Decision {
	d := casework.NewDecision(what, impound.MustName(name), actor, why, t0)
	d.Signature = impound.Sign(key(who), casework.SignDecision, d.Hash(), who, t0)
	return d
}

// permits says whether a mandate of the order permits anything for the name now.
func (d *desk) permits(order, name string) bool {
	d.t.Helper()
	ms, err := d.Mandates(d.t.Context())
	d.ok(err)
	for _, m := range ms {
		if m.ID() == order {
			_, err := m.Permit(impound.ActNameservers, impound.MustName(name), t0)
			return err == nil
		}
	}
	d.t.Fatalf("no mandate of %s", order)
	return false
}

func TestContest(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	_, err := d.FileOrder(ctx, "ann", "o.yaml", sign(t, d.draft("O-1", "outlook-verify.net", "yahoo-verify.net"), "alice", "bob"))
	d.ok(err)
	if !d.permits("O-1", "outlook-verify.net") {
		t.Fatal("not permitted to begin with")
	}
	open := decision(casework.WhatContest, "outlook-verify.net", "", "a bakery in Leeds writes that it is theirs", "ann")
	d.refuses(d.Decide(ctx, decision(casework.WhatContest, "outlook-verify.net", "", "x", "olga")), impound.KindAuth, "analyst or counsel")
	d.refuses(d.Decide(ctx, decision(casework.WhatContest, "outlook-verify.net", "", " ", "ann")), impound.KindInvalid, "--why")
	d.refuses(d.Decide(ctx, decision(casework.WhatContest, "nowhere.net", "", "x", "ann")), impound.KindNotFound, "no case holds")
	outcome := func(g string) impound.GateVerdict {
		t.Helper()
		vs, err := d.Verdicts(ctx, "C-1", impound.MustName("outlook-verify.net"))
		d.ok(err)
		i := slices.IndexFunc(vs, func(v impound.GateVerdict) bool { return v.Gate == g })
		if i < 0 || len(vs) != len(gate.Gates) || vs[0].Gate != gate.G1 {
			t.Fatalf("%+v", vs)
		}
		return vs[i]
	}
	if v := outcome(gate.G13); v.Outcome != impound.GatePass {
		t.Errorf("%+v", v)
	}
	forged := open
	forged.Why = "another reason"
	d.refuses(d.Decide(ctx, forged), impound.KindRefused, "does not fit")
	stranger := open
	stranger.Signature = impound.Sign(key("eve"), casework.SignDecision, open.Hash(), "ann", t0)
	d.refuses(d.Decide(ctx, stranger), impound.KindAuth)
	d.refuses(d.Decide(ctx, decision(casework.WhatContestEnd, "outlook-verify.net", "", "x", "carl")), impound.KindConflict, "nobody contests")

	d.ok(d.Decide(ctx, open))
	d.ok(d.Decide(ctx, open)) // again: nothing
	if n := d.entries(casework.WhatContest); n != 1 {
		t.Errorf("%d entries", n)
	}
	if d.state("outlook-verify.net") != impound.StateContested || d.state("yahoo-verify.net") != impound.StateOrdered {
		t.Errorf("states: %s, %s", d.state("outlook-verify.net"), d.state("yahoo-verify.net"))
	}
	// What is shown of its gates is what holds now, not what held when it was filed.
	if v := outcome(gate.G13); v.Outcome != impound.GateBlock || !strings.Contains(v.Reason, "a bakery in Leeds") || !v.AsOf.Equal(t0) {
		t.Errorf("%+v", v)
	}
	// The order in force permits nothing for it any more, in any process.
	if d.permits("O-1", "outlook-verify.net") || !d.permits("O-1", "yahoo-verify.net") {
		t.Error("the contested name is permitted, or the other one isn't")
	}
	if openDesk(t, d.dir).permits("O-1", "outlook-verify.net") {
		t.Error("another process permits it")
	}
	row, _, data, err := d.Order(ctx, "O-1")
	d.ok(err)
	if len(row.Blocked) != 1 {
		t.Errorf("blocked: %v", row.Blocked)
	}
	rep, err := d.CheckOrder(ctx, "o.yaml", data)
	d.ok(err)
	if b := rep.Names[0].Blocked; len(b) != 1 || b[0].Gate != gate.G13 || !strings.Contains(b[0].Reason, "bakery") {
		t.Errorf("%+v", b)
	}
	// A database edited by hand doesn't end it; counsel does, an analyst can't.
	d.ok(d.SetState(ctx, "olga", "C-1", impound.MustName("outlook-verify.net"), impound.StateSeized, "x"))
	if d.permits("O-1", "outlook-verify.net") {
		t.Error("a state in the database ended the contest")
	}
	d.ok(d.SetState(ctx, "olga", "C-1", impound.MustName("outlook-verify.net"), impound.StateContested, "x"))
	d.refuses(d.Decide(ctx, decision(casework.WhatContestEnd, "outlook-verify.net", "", "it is the actor's", "ann")), impound.KindAuth, "counsel")
	d.ok(d.Decide(ctx, decision(casework.WhatContestEnd, "outlook-verify.net", "", "the letter was forged", "carl")))
	if !d.permits("O-1", "outlook-verify.net") || d.state("outlook-verify.net") != impound.StateSeized {
		t.Errorf("after its end: %s", d.state("outlook-verify.net"))
	}
}

func TestAttribution(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	doc := sign(t, d.draft("O-1", "claimed.com", "fine.com"), "alice", "bob")
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-2", Title: "Other", Actor: "STRONTIUM"}))
	_, err := d.AddNames(ctx, "ann", "C-2", add("claimed.com"))
	d.ok(err)
	_, err = d.FileOrder(ctx, "ann", "o.yaml", doc)
	d.ok(err)
	if d.permits("O-1", "claimed.com") || !d.permits("O-1", "fine.com") {
		t.Fatal("a name that two actors are said to own is permitted")
	}
	d.refuses(d.Decide(ctx, decision(casework.WhatAttribute, "claimed.com", "", "x", "ann")), impound.KindInvalid, "whose")
	d.refuses(d.Decide(ctx, decision(casework.WhatAttribute, "claimed.com", "NOBODY", "x", "ann")), impound.KindInvalid, "C-2 for STRONTIUM")
	d.refuses(d.Decide(ctx, decision(casework.WhatAttribute, "claimed.com", "APT35", "x", "carl")), impound.KindAuth)
	d.ok(d.Decide(ctx, decision(casework.WhatAttribute, "claimed.com", "APT35", "the same registrant as in exhibit 4", "ann")))
	if !d.permits("O-1", "claimed.com") {
		t.Error("decided, and still blocked")
	}
	rep, err := d.CheckOrder(ctx, "o.yaml", doc)
	d.ok(err)
	for _, v := range rep.Names[0].Verdicts {
		if v.Gate == gate.G15 && (v.Outcome != impound.GatePass || !strings.Contains(v.Reason, "ann") || !strings.Contains(v.Reason, "exhibit 4")) {
			t.Errorf("%+v", v)
		}
	}
	// Decided otherwise, the order in force loses the name.
	later := casework.NewDecision(casework.WhatAttribute, impound.MustName("claimed.com"), "STRONTIUM", "we were wrong", t0.Add(time.Minute))
	later.Signature = impound.Sign(key("ann"), casework.SignDecision, later.Hash(), "ann", t0)
	d.ok(d.Decide(ctx, later))
	if d.permits("O-1", "claimed.com") || openDesk(t, d.dir).permits("O-1", "claimed.com") {
		t.Error("another actor's, and still permitted")
	}
}

// A decision that somebody writes into the log without the key of who may
// decide, or a later one copied back, settles nothing.
func TestDecisionSlippedIn(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	_, err := d.FileOrder(ctx, "ann", "o.yaml", sign(t, d.draft("O-1", "outlook-verify.net"), "alice", "bob"))
	d.ok(err)
	d.ok(d.Decide(ctx, decision(casework.WhatContest, "outlook-verify.net", "", "theirs", "ann")))
	fake := decision(casework.WhatContestEnd, "outlook-verify.net", "", "over", "eve")
	for i, who := range []string{"carl", "eve", "ann"} {
		_, err = d.log.Append(ctx, impound.Entry{Type: impound.EntryDecision, By: who, What: casework.WhatContestEnd, Name: impound.MustName("outlook-verify.net"), Detail: map[string]string{
			"why": "over", "decided_at": fake.At.Format(time.RFC3339), "signed_at": fake.At.Format(time.RFC3339), "person": who, "key": string(person([]string{"carl", "eve", "ann"}[i]).Key), "sig": fake.Signature.Sig}})
		d.ok(err)
	}
	if d.permits("O-1", "outlook-verify.net") {
		t.Error("a forged line ended the contest")
	}
	// A true end, and then another contest: the old end copied back is none.
	d.ok(d.Decide(ctx, decision(casework.WhatContestEnd, "outlook-verify.net", "", "over", "carl")))
	d.ok(d.Decide(ctx, decision(casework.WhatContest, "outlook-verify.net", "", "a second letter", "ann")))
	var copied impound.Entry
	d.ok(d.log.Entries(ctx, 0, func(_ int64, e impound.Entry) error {
		if e.What == casework.WhatContestEnd && e.By == "carl" {
			copied = e
		}
		return nil
	}))
	copied.ID = ""
	_, err = d.log.Append(ctx, copied)
	d.ok(err)
	if d.permits("O-1", "outlook-verify.net") || openDesk(t, d.dir).permits("O-1", "outlook-verify.net") {
		t.Error("an old end was used again")
	}
}

func TestNotices(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	doc := d.draft("O-1", "outlook-verify.net")
	said := func(g string) impound.Outcome {
		rep, err := d.CheckOrder(ctx, "o.yaml", doc)
		d.ok(err)
		for _, v := range rep.Names[0].Verdicts {
			if v.Gate == g {
				return v.Outcome
			}
		}
		return ""
	}
	if said(gate.G10) != impound.GateWarn || said(gate.G2) != impound.GateUnknown {
		t.Errorf("%s, %s", said(gate.G10), said(gate.G2))
	}
	d.ok(d.Decide(ctx, decision(casework.WhatOwnerNotice, "outlook-verify.net", "", "registered letter of 20 November", "carl")))
	d.ok(d.Decide(ctx, decision(casework.WhatProviderAsked, "outlook-verify.net", "", "ticket 4711 at the registrar, no answer", "ann")))
	if said(gate.G10) != impound.GatePass || said(gate.G2) != impound.GatePass {
		t.Errorf("recorded: %s, %s", said(gate.G10), said(gate.G2))
	}
	if ds, err := d.Decisions(ctx, impound.MustName("outlook-verify.net")); err != nil || len(ds) != 2 {
		t.Errorf("%v, %v", ds, err)
	}
}
