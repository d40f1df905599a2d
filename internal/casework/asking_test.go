package casework_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/gate"
)

// Name by name the gates say what they say of the whole order, in any order, in
// parts, and of names that a gate keeps out.
func TestAskingSaysWhatCheckOrderSays(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	ns := []string{"old-site.com", "claimed.com", "sunk.com", "fine.com", "unseen.com", "mooo.com", "overridden.net", "contested.net", "fine.net", "heavy.net"}
	doc := sign(t, d.draft("O-1", ns...), "alice", "bob")
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-2", Title: "Other", Actor: "STRONTIUM"}))
	_, err := d.AddNames(ctx, "ann", "C-2", add("claimed.com"))
	d.ok(err)
	demand := map[string]float64{"heavy.net": 100, "fine.net": 3}
	passive := func(n impound.Name) casework.Facts {
		f := casework.Facts{ProviderContacted: t0}
		if r := demand[n.String()]; r > 0 {
			f.Demand = &gate.Demand{PerSecond: r, At: t0, Source: "a test"}
		}
		return f
	}
	var mu sync.Mutex
	looked := map[impound.Name]int{}
	cfg := d.cfg
	cfg.Passive = passive
	cfg.Registry = func(n impound.Name) string { return n.TLD() }
	cfg.Capacity = func(context.Context) *gate.Capacity {
		return &gate.Capacity{Measured: 1000, Expected: 200, Servers: 2, At: t0}
	}
	cfg.Facts = func(_ context.Context, n impound.Name) (casework.Facts, error) {
		mu.Lock()
		looked[n]++
		mu.Unlock()
		f := passive(n)
		f.Created, f.CreatedAsOf, f.NS, f.NSAsOf = t0.AddDate(0, -2, 0), t0, names("ns1.host.example"), t0
		switch n.String() {
		case "old-site.com", "overridden.net":
			f.Created = t0.AddDate(-12, 0, 0)
		case "sunk.com":
			f.NS = names("ns1.microsoftinternetsafety.net")
		case "unseen.com":
			return casework.Facts{CreatedWhy: "RDAP of com: no answer", NSWhy: "parent zone at com: no answer"}, errors.New("RDAP is down")
		}
		return f, nil
	}
	s, err := casework.New(cfg)
	d.ok(err)
	_, err = s.FileOrder(ctx, "ann", "o.yaml", doc)
	d.ok(err)
	o := impound.Override{Name: impound.MustName("overridden.net"), Gate: gate.G9, Reason: "its owner sold it last year: exhibit 7"}
	for _, p := range []string{"alice", "bob"} {
		o.Signatures = append(o.Signatures, impound.Sign(key(p), impound.SignOverride, o.Hash(), p, t0))
	}
	d.ok(s.Override(ctx, "ann", o))
	d.ok(s.Decide(ctx, decision(casework.WhatContest, "contested.net", "", "letter of its owner", "ann")))

	whole, err := s.CheckOrder(ctx, "o.yaml", doc)
	d.ok(err)
	blocked := 0
	for _, r := range whole.Names {
		if len(r.Blocked) > 0 {
			blocked++
		}
	}
	if len(whole.Names) != len(ns) || blocked < 4 || blocked == len(ns) {
		t.Fatalf("%d names, %d blocked: this shows nothing", len(whole.Names), blocked)
	}
	want := map[impound.Name]casework.NameReport{}
	for _, r := range whole.Names {
		want[r.Name] = r
	}
	same := cmp.Comparer(func(a, b impound.Name) bool { return a == b })
	a, err := s.Asking(ctx, "O-1")
	d.ok(err)
	all := a.All()
	if len(all) != len(ns) {
		t.Fatalf("%d names to ask about", len(all))
	}
	slices.Reverse(all)
	for _, size := range []int{1, 3, len(ns)} {
		clear(looked)
		for part := range slices.Chunk(all, size) {
			rs, err := a.Names(ctx, part)
			d.ok(err)
			if len(rs) != len(part) {
				t.Fatalf("%d reports of %d names", len(rs), len(part))
			}
			for i, r := range rs {
				if r.Name != part[i] {
					t.Errorf("%s stands where %s was asked", r.Name, part[i])
				}
				if diff := cmp.Diff(want[r.Name], r, same); diff != "" {
					t.Errorf("%s, asked %d at a time, is not as in the whole order:\n%s", r.Name, size, diff)
				}
			}
		}
		for _, n := range all {
			if looked[n] != 1 {
				t.Errorf("%s was looked at %d times, %d at a time", n, looked[n], size)
			}
		}
	}
	if rs, err := a.Names(ctx, names("bystander.com")); err != nil || len(rs) != 0 {
		t.Errorf("a name of no order: %v, %v", rs, err)
	}

	// What is decided after it was made ready counts.
	d.ok(s.Decide(ctx, decision(casework.WhatContestEnd, "contested.net", "", "the letter was forged", "carl")))
	rs, err := a.Names(ctx, names("contested.net"))
	d.ok(err)
	if len(rs) != 1 || slices.ContainsFunc(rs[0].Blocked, func(v impound.GateVerdict) bool { return v.Gate == gate.G13 }) {
		t.Errorf("a contest that was ended keeps its name out: %+v", rs)
	}
}
