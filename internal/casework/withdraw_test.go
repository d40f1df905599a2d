package casework_test

import (
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

func withdrawal(order, hash, why, who string) casework.Withdrawal {
	w := casework.NewWithdrawal(order, hash, why, t0)
	w.Signature = impound.Sign(key(who), casework.SignWithdrawal, w.Digest(), who, t0)
	return w
}

// A court dissolves an order: one person ends it and its supplements at once, in
// every process, and what stood in its way before stands there still.
func TestWithdraw(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	_, err := d.FileOrder(ctx, "ann", "o.yaml", sign(t, d.draft("O-1", "outlook-verify.net"), "alice", "bob"))
	d.ok(err)
	_, err = d.FileOrder(ctx, "ann", "p.yaml", sign(t, d.draft("O-2", "yahoo-verify.net"), "alice", "bob"))
	d.ok(err)
	row, _, _, err := d.Order(ctx, "O-1")
	d.ok(err)
	o := template("O-1-S1")
	o.Parent = &impound.ParentRef{ID: "O-1", Hash: row.Hash, Clause: "7"}
	o.Appendices = []impound.Appendix{{ID: "B", Count: 1, Names: []impound.OrderName{{Name: impound.MustName("new-verify.net")}}}}
	b, err := d.DraftOrder(ctx, "C-1", o)
	d.ok(err)
	_, err = d.FileOrder(ctx, "ann", "s.yaml", sign(t, b, "alice", "bob"))
	d.ok(err)
	if !d.permits("O-1", "outlook-verify.net") || !d.permits("O-1-S1", "new-verify.net") {
		t.Fatal("not permitted to begin with")
	}
	other := openDesk(t, d.dir)
	if !other.permits("O-1", "outlook-verify.net") {
		t.Fatal("not permitted in the other process")
	}

	why := "dissolved, docket entry 44"
	d.refuses(d.Withdraw(ctx, withdrawal("O-9", row.Hash, why, "carl")), impound.KindNotFound)
	d.refuses(d.Withdraw(ctx, withdrawal("O-1", "sha256:00", why, "carl")), impound.KindInvalid)
	d.refuses(d.Withdraw(ctx, withdrawal("O-1", row.Hash, " ", "carl")), impound.KindInvalid, "--why")
	d.refuses(d.Withdraw(ctx, withdrawal("O-1", row.Hash, why, "ann")), impound.KindAuth, "approver or counsel or admin")
	forged := withdrawal("O-1", row.Hash, why, "carl")
	forged.Why = "because"
	d.refuses(d.Withdraw(ctx, forged), impound.KindRefused)
	stranger := withdrawal("O-1", row.Hash, why, "carl")
	stranger.Signature = impound.Sign(key("eve"), casework.SignWithdrawal, stranger.Digest(), "carl", t0)
	d.refuses(d.Withdraw(ctx, stranger), impound.KindAuth)
	back := casework.NewWithdrawal("O-1", row.Hash, why, t0.Add(-time.Hour))
	back.Signature = impound.Sign(key("carl"), casework.SignWithdrawal, back.Digest(), "carl", t0)
	d.refuses(d.Withdraw(ctx, back), impound.KindInvalid, "dated")
	// Written into the log by hand it ends nothing either.
	_, err = d.log.Append(ctx, impound.Entry{ID: "x", Type: impound.EntryDecision, At: t0, By: "carl", What: casework.WhatOrderWithdraw, Order: "O-2", Detail: map[string]string{"why": why, "withdrawn_at": t0.Format(time.RFC3339), "signed_at": t0.Format(time.RFC3339), "person": "carl"}})
	d.ok(err)
	if !d.permits("O-1", "outlook-verify.net") || !d.permits("O-2", "yahoo-verify.net") {
		t.Fatal("what was refused took effect")
	}
	m := func(id string) *impound.Mandate {
		ms, err := d.Mandates(ctx)
		d.ok(err)
		for _, m := range ms {
			if m.ID() == id {
				return m
			}
		}
		t.Fatalf("no mandate of %s", id)
		return nil
	}
	before := m("O-1-S1")
	if why, err := d.Halted(ctx, before, impound.MustName("new-verify.net")); err != nil || why != "" {
		t.Fatalf("halted: %q %v", why, err)
	}

	d.ok(d.Withdraw(ctx, withdrawal("O-1", row.Hash, why, "carl")))
	d.ok(d.Withdraw(ctx, withdrawal("O-1", row.Hash, "again", "alice"))) // nothing more
	if n := d.entries(casework.WhatOrderWithdraw); n != 2 {              // with the forged one
		t.Errorf("%d entries", n)
	}
	for _, x := range []*desk{d, other, openDesk(t, d.dir)} {
		if x.permits("O-1", "outlook-verify.net") || x.permits("O-1-S1", "new-verify.net") {
			t.Error("a withdrawn order, or its supplement, permits something")
		}
		if !x.permits("O-2", "yahoo-verify.net") {
			t.Error("another order ended, too")
		}
	}
	if _, until := m("O-1-S1").Window(); !until.Equal(t0) {
		t.Errorf("the supplement's window ends %s", until)
	}
	// Whoever holds a mandate from before is told so.
	if why, err := d.Halted(ctx, before, impound.MustName("new-verify.net")); err != nil || why == "" {
		t.Errorf("halted: %q %v", why, err)
	}
	for _, id := range []string{"O-1", "O-1-S1"} {
		if row, _, _, err := d.Order(ctx, id); err != nil || !row.Ended.Equal(t0) {
			t.Errorf("%s: %s %v", id, row.Ended, err)
		}
	}
	// Its document can't be filed for a second time, nor be supplemented.
	o.ID, o.Appendices[0].Names[0].Name = "O-1-S2", impound.MustName("newer-verify.net")
	b, err = d.DraftOrder(ctx, "C-1", o)
	d.ok(err)
	rep, err := d.CheckOrder(ctx, "s.yaml", sign(t, b, "alice", "bob"))
	if err == nil && len(rep.BlockedNames()) == 0 && rep.Err() == nil {
		t.Error("a withdrawn order can be supplemented")
	}
}
