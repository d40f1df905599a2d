package casework_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/gate"
)

// TestRecheck: what turned worse after an order was filed is found, with since
// when, and what recovered is no longer told.
func TestRecheck(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	now := t0
	fact := casework.Facts{Created: t0.AddDate(0, -2, 0), CreatedAsOf: t0, NS: names("ns1.host.example"), NSAsOf: t0}
	var taken map[impound.Name]casework.Taken
	cfg := d.cfg
	cfg.Now = func() time.Time { return now }
	cfg.Facts = func(_ context.Context, n impound.Name) (casework.Facts, error) { return fact, nil }
	cfg.Taken = func(context.Context, string) (map[impound.Name]casework.Taken, error) { return taken, nil }
	s, err := casework.New(cfg)
	d.ok(err)
	d.Service = s
	data := sign(t, d.draft("O-1", "a-login.example", "b-login.example"), "alice", "bob")
	_, err = s.FileOrder(ctx, "ann", "o.yaml", data)
	d.ok(err)
	r, err := s.Recheck(ctx, "O-1")
	d.ok(err)
	if r.Names != 2 || r.Blocked != 0 || len(r.Worse) != 0 || r.Case != "C-1" {
		t.Fatalf("%+v", r)
	}
	// Citadel: overnight somebody else sinkholed them.
	now = t0.Add(12 * time.Hour)
	fact.NS = names("ns1.sinkhole.ch")
	taken = map[impound.Name]casework.Taken{names("a-login.example")[0]: {At: t0, Views: []gate.View{{View: "rdap", Why: "shows the old owner", At: t0}}}}
	r, err = s.Recheck(ctx, "O-1")
	d.ok(err)
	var got []string
	for _, w := range r.Worse {
		got = append(got, w.Name.String()+" "+w.Verdict.Gate+" "+string(w.Was)+">"+string(w.Verdict.Outcome)+" "+w.Since.Sub(t0).String())
	}
	want := "a-login.example G14-three-views pass>warn 12h0m0s|a-login.example G5-already-sinkholed pass>block 12h0m0s|b-login.example G5-already-sinkholed pass>block 12h0m0s"
	if strings.Join(got, "|") != want || r.Blocked != 2 {
		t.Errorf("%s\nblocked %d", strings.Join(got, "|"), r.Blocked)
	}
	now = t0.Add(20 * time.Hour)
	if r, err = s.Recheck(ctx, "O-1"); err != nil || len(r.Worse) != 3 || !r.Worse[0].Since.Equal(t0.Add(12*time.Hour)) {
		t.Errorf("since when was forgotten: %+v, %v", r, err)
	}
	fact.NS, taken = names("ns1.host.example"), nil
	if r, err = s.Recheck(ctx, "O-1"); err != nil || len(r.Worse) != 0 {
		t.Errorf("%+v, %v", r, err)
	}
	_, err = s.Recheck(ctx, "O-2")
	d.refuses(err, impound.KindNotFound, "O-2")
}

// TestDisclosureOfACase: evidence above the order's level keeps its name out of
// the order until its originator consents; a later piece needs a consent of its own.
func TestDisclosureOfACase(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	n := names("a-login.example")[0]
	capture := func(what string, tlp impound.TLP, from string, at time.Time) {
		t.Helper()
		a, err := d.log.Capture(ctx, impound.Artefact{Kind: "report", Source: what, Tool: "test", By: "ann", Case: "C-1", Name: n, TLP: tlp, Originator: from, At: at}, []byte(what))
		d.ok(err)
		d.ok(d.AttachEvidence(ctx, "ann", "C-1", n, a.Hash))
	}
	data := d.draft("O-1", "a-login.example")
	data = []byte(strings.Replace(string(data), "\nat_end:", "\ntlp: amber\nat_end:", 1))
	verdict := func() impound.GateVerdict {
		t.Helper()
		rep, err := d.CheckOrder(ctx, "o.yaml", data)
		d.ok(err)
		for _, v := range rep.Names[0].Verdicts {
			if v.Gate == gate.G7 {
				return v
			}
		}
		t.Fatal("no verdict")
		return impound.GateVerdict{}
	}
	capture("ours", "", "", t0.Add(-time.Hour))
	if v := verdict(); v.Outcome != impound.GatePass {
		t.Fatalf("%+v", v)
	}
	capture("a bank's", impound.TLPGreen, "a bank", t0.Add(-time.Hour))
	if v := verdict(); v.Outcome != impound.GateBlock || !strings.Contains(v.Reason, "a bank") {
		t.Fatalf("%+v", v)
	}
	decide := func(at time.Time) {
		t.Helper()
		x := casework.NewDecision(casework.WhatConsent, n, "", "the bank's mail", at)
		x.Signature = impound.Sign(key("carl"), casework.SignDecision, x.Hash(), "carl", at)
		d.ok(d.Decide(ctx, x))
	}
	decide(t0)
	if v := verdict(); v.Outcome != impound.GatePass || !strings.Contains(v.Reason, "1 by consent") && !strings.Contains(v.Reason, "2 by consent") {
		t.Fatalf("%+v", v)
	}
	capture("a CERT's", impound.TLPRed, "", t0.Add(time.Hour))
	if v := verdict(); v.Outcome != impound.GateBlock || !strings.Contains(v.Reason, "TLP:RED") {
		t.Fatalf("%+v", v)
	}
}

// TestFleet: what an order's names draw is counted together, with what is served
// already, against what the sinkhole bears.
func TestFleet(t *testing.T) {
	d := newDesk(t)
	cfg := d.cfg
	cfg.Capacity = func(context.Context) *gate.Capacity {
		return &gate.Capacity{Measured: 1000, Expected: 100, Servers: 2, At: t0}
	}
	draws := map[string]float64{"a-login.example": 100, "b-login.example": 250}
	cfg.Facts = func(_ context.Context, n impound.Name) (casework.Facts, error) {
		return casework.Facts{Demand: &gate.Demand{PerSecond: draws[n.String()], Source: "seen", At: t0}}, nil
	}
	s, err := casework.New(cfg)
	d.ok(err)
	d.Service = s
	data := d.draft("O-1", "a-login.example", "b-login.example")
	outcome := func() impound.Outcome {
		t.Helper()
		rep, err := s.CheckOrder(t.Context(), "o.yaml", data)
		d.ok(err)
		return rep.Names[0].Verdicts[2].Outcome
	}
	if o := outcome(); o != impound.GatePass { // 450 of 500
		t.Error(o)
	}
	draws["b-login.example"] = 301
	if o := outcome(); o != impound.GateBlock {
		t.Error(o)
	}
}
