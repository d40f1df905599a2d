package testregistry_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure/epp"
)

func TestSeizeOverEPP(t *testing.T) {
	cfg := config(t)
	r := start(t, cfg)
	ctx := context.Background()
	c := dial(t, r, cfg, "registry")

	g := c.Greeting()
	if !slices.Contains(g.ExtURIs, epp.NSSecDNS) || g.Date.IsZero() {
		t.Fatalf("greeting: %+v", g)
	}
	before, err := c.InfoDomain(ctx, bad)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(before.NS, []impound.Name{act1, act2}) || len(before.DS) != 1 || !before.Has("clientTransferProhibited") || before.Sponsor != "registrar-a" || before.Expiry.IsZero() {
		t.Fatalf("before: %+v", before)
	}
	avail, err := c.CheckHost(ctx, sink1, act1)
	if err != nil || !avail[0].Avail || avail[1].Avail {
		t.Fatalf("check: %+v %v", avail, err)
	}
	ps := allPermits(t, bad)
	createHosts(t, c, ps[0])
	if _, err := c.CreateHost(ctx, ps[0], epp.HostCreate{Name: sink1}); epp.Code(err) != 2302 || impound.KindOf(err) != impound.KindConflict {
		t.Fatalf("second create: %v", err)
	}
	u := seizure(bad)
	u.ClTRID = "CASE-1-0001"
	res, err := c.UpdateDomain(ctx, ps, u)
	if err != nil || res.Code != 1000 || res.ClTRID != u.ClTRID || res.SvTRID == "" {
		t.Fatalf("update: %+v %v", res, err)
	}
	after, err := c.InfoDomain(ctx, bad)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(after.NS, u.AddNS) || len(after.DS) != 0 || !after.Has("serverUpdateProhibited") || !after.Has("clientTransferProhibited") {
		t.Fatalf("after: %+v", after)
	}
	// A second run is refused: idempotence is the client's work.
	if _, err := c.UpdateDomain(ctx, ps, u); epp.Code(err) != 2304 || impound.KindOf(err) != impound.KindConflict {
		t.Fatalf("second update: %v", err)
	}
	if _, err := c.InfoDomain(ctx, impound.MustName("no-such.example")); impound.KindOf(err) != impound.KindNotFound {
		t.Fatalf("info of nothing: %v", err)
	}
	var got []string
	for _, op := range r.History() {
		if op.Command == "domain:update" {
			got = append(got, op.Name+" "+op.ClTRID)
			want := []string{"-ns " + act1.String(), "-ns " + act2.String(), "+ns " + sink1.String(), "+ns " + sink2.String(), "+status serverDeleteProhibited", "+status serverTransferProhibited", "+status serverUpdateProhibited", "-ds all"}
			if d := cmp.Diff(want, op.Changes); d != "" {
				t.Error(d)
			}
		}
	}
	if d := cmp.Diff([]string{bad.String() + " CASE-1-0001"}, got); d != "" {
		t.Error(d)
	}
	if err := c.Hello(ctx); err != nil {
		t.Error(err)
	}
}

func TestNothingIsSentWithoutAPermit(t *testing.T) {
	cfg := config(t)
	r := start(t, cfg)
	ctx := context.Background()
	now := issued.Add(time.Minute)
	dc := dialConfig(r, cfg, "registry")
	sent := 0
	dc.Now = func() time.Time { return now }
	dc.Record = func(dir string, _ []byte) {
		if dir == "sent" {
			sent++
		}
	}
	c, err := epp.Dial(ctx, dc)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ps := allPermits(t, bad)
	createHosts(t, c, ps[0])
	ns, lock, ds := ps[0], ps[1], ps[2]
	hold := permits(t, mandate(t, impound.Acts{Hold: true}, bad), bad, impound.ActHold)[0]
	full := seizure(bad)
	for _, tc := range []struct {
		name string
		ps   []impound.Permit
		u    epp.DomainUpdate
		now  time.Time
	}{
		{"no permit", nil, full, now},
		{"zero permits", make([]impound.Permit, 3), full, now},
		{"without nameservers", []impound.Permit{lock, ds}, full, now},
		{"without lock", []impound.Permit{ns, ds}, full, now},
		{"without remove-ds", []impound.Permit{ns, lock}, full, now},
		{"another name's", allPermits(t, other), full, now},
		{"lock is no hold", ps, epp.DomainUpdate{Name: bad, AddStatus: []string{"serverHold"}}, now},
		{"hold is no lock", []impound.Permit{hold}, epp.DomainUpdate{Name: bad, AddStatus: []string{"serverHold", "serverUpdateProhibited"}}, now},
		{"unlocking needs one, too", []impound.Permit{ns, ds}, epp.DomainUpdate{Name: bad, RemStatus: []string{"clientTransferProhibited"}}, now},
		{"not yet", ps, full, issued.Add(-time.Second)},
		{"lapsed", ps, full, issued.AddDate(1, 0, 0)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			before, ops := sent, len(r.History())
			keep := now
			now = tc.now
			defer func() { now = keep }()
			_, err := c.UpdateDomain(ctx, tc.ps, tc.u)
			if impound.KindOf(err) != impound.KindRefused || epp.Code(err) != 0 {
				t.Errorf("got %v", err)
			}
			if sent != before || len(r.History()) != ops {
				t.Errorf("%d frames were sent", sent-before)
			}
		})
	}
	for _, tc := range []struct {
		name string
		p    impound.Permit
		host impound.Name
	}{{"no permit", impound.Permit{}, impound.MustName("ns3.sinkhole.invalid")}, {"a lock's permit", lock, impound.MustName("ns3.sinkhole.invalid")}, {"inside the name", ns, impound.MustName("ns.outlook-verify.example")}} {
		t.Run("host, "+tc.name, func(t *testing.T) {
			before := sent
			if _, err := c.CreateHost(ctx, tc.p, epp.HostCreate{Name: tc.host}); impound.KindOf(err) != impound.KindRefused || sent != before {
				t.Errorf("%d frames were sent: %v", sent-before, err)
			}
		})
	}
	// With all three it goes: the refusals above were the permits' doing.
	if _, err := c.UpdateDomain(ctx, ps, full); err != nil {
		t.Fatal(err)
	}
}

func TestRegistryPolicy(t *testing.T) {
	cfg := config(t)
	r := start(t, cfg)
	ctx := context.Background()
	a, reg := dial(t, r, cfg, "registrar-a"), dial(t, r, cfg, "registry")
	acts := redirect
	acts.Hold = false
	mine := allPermits(t, bad)
	theirs := allPermits(t, other)
	for _, tc := range []struct {
		name string
		c    *epp.Client
		ps   []impound.Permit
		u    epp.DomainUpdate
		code int
	}{
		{"a registrar sets a server status", a, mine, epp.DomainUpdate{Name: bad, AddStatus: []string{"serverUpdateProhibited"}}, 2306},
		{"another registrar's domain", a, theirs, epp.DomainUpdate{Name: other, AddStatus: []string{"clientUpdateProhibited"}}, 2201},
		{"a host that isn't there", a, mine, epp.DomainUpdate{Name: bad, AddNS: []impound.Name{sink1}}, 2303},
		{"a name server that isn't set", a, mine, epp.DomainUpdate{Name: bad, RemNS: []impound.Name{sink1}}, 2306},
		{"a status that is set", a, mine, epp.DomainUpdate{Name: bad, AddStatus: []string{"clientTransferProhibited"}}, 2306},
		{"lock", a, mine, epp.DomainUpdate{Name: bad, AddStatus: []string{"clientUpdateProhibited"}}, 0},
		{"locked", a, mine, epp.DomainUpdate{Name: bad, RemNS: []impound.Name{act1}}, 2304},
		{"locked for the registry, too", reg, mine, epp.DomainUpdate{Name: bad, RemNS: []impound.Name{act1}}, 2304},
		{"unlock and change", a, mine, epp.DomainUpdate{Name: bad, RemNS: []impound.Name{act1}, RemStatus: []string{"clientUpdateProhibited"}}, 0},
		{"DS of a name without one", a, mine, epp.DomainUpdate{Name: bad, RemAllDS: true}, 0},
		{"and again", a, mine, epp.DomainUpdate{Name: bad, RemAllDS: true}, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			_, err := tc.c.UpdateDomain(ctx, tc.ps, tc.u)
			if epp.Code(err) != tc.code || (err == nil) != (tc.code == 0) {
				t.Errorf("got %v, want %d", err, tc.code)
			}
		})
	}
}

func TestLostAnswerIsUnknown(t *testing.T) {
	cfg := config(t)
	cfg.Faults.DropAfter = 1
	r := start(t, cfg)
	ctx := context.Background()
	c := dial(t, r, cfg, "registry")
	u := epp.DomainUpdate{Name: bad, RemNS: []impound.Name{act1}}
	ps := allPermits(t, bad)
	_, err := c.UpdateDomain(ctx, ps, u)
	if !errors.Is(err, epp.ErrUnknownOutcome) || impound.KindOf(err) != impound.KindUnavailable {
		t.Fatalf("got %v", err)
	}
	// It was done: looking shows it. The session that lost its connection
	// sends nothing more.
	if _, err := c.InfoDomain(ctx, bad); err == nil || errors.Is(err, epp.ErrUnknownOutcome) {
		t.Fatalf("dead session: %v", err)
	}
	if d, _ := r.Domain(bad); !slices.Equal(d.NS, []impound.Name{act2}) {
		t.Fatalf("not done: %v", d.NS)
	}
}

func TestPendingIsToldByPoll(t *testing.T) {
	for _, deny := range []float64{0, 1} {
		cfg := config(t)
		at := clockAt(issued.Add(time.Minute))
		cfg.Now = at.now
		cfg.Faults.Pending, cfg.Faults.PendingFor, cfg.Faults.PendingDeny = 1, time.Minute, deny
		r := start(t, cfg)
		ctx := context.Background()
		c := dial(t, r, cfg, "registry")
		ps := allPermits(t, bad)
		u := epp.DomainUpdate{Name: bad, RemNS: []impound.Name{act1}, ClTRID: "pend-1"}
		res, err := c.UpdateDomain(ctx, ps, u)
		if err != nil || !res.Pending() || res.OK() {
			t.Fatalf("%+v %v", res, err)
		}
		if d, err := c.InfoDomain(ctx, bad); err != nil || !d.Has("pendingUpdate") || len(d.NS) != 2 {
			t.Fatalf("%+v %v", d, err)
		}
		if _, err := c.UpdateDomain(ctx, ps, u); epp.Code(err) != 2304 {
			t.Fatalf("second: %v", err)
		}
		if _, ok, err := c.Poll(ctx); ok || err != nil {
			t.Fatalf("a message too early: %v", err)
		}
		at.add(time.Minute)
		m, ok, err := c.Poll(ctx)
		if !ok || err != nil || m.Pending == nil || m.Pending.ClTRID != "pend-1" || m.Pending.Name != bad || m.Pending.SvTRID != res.SvTRID || m.Pending.Done != (deny == 0) {
			t.Fatalf("%+v %v %v", m, ok, err)
		}
		if err := c.Ack(ctx, m.ID); err != nil {
			t.Fatal(err)
		}
		if err := c.Ack(ctx, m.ID); impound.KindOf(err) != impound.KindNotFound {
			t.Fatalf("acknowledged twice: %v", err)
		}
		if _, ok, _ := c.Poll(ctx); ok {
			t.Fatal("still there")
		}
		if d, _ := r.Domain(bad); len(d.NS) != 2-int(1-deny) || d.Pending != nil {
			t.Fatalf("%+v", d)
		}
	}
}

func TestLoginRefused(t *testing.T) {
	cfg := config(t)
	cfg.SessionLimit = 1
	r := start(t, cfg)
	ctx := context.Background()
	dc := dialConfig(r, cfg, "registry")
	dc.Password = []byte("not-the-one")
	if _, err := epp.Dial(ctx, dc); epp.Code(err) != 2200 || impound.KindOf(err) != impound.KindAuth {
		t.Errorf("wrong password: %v", err)
	}
	dc = dialConfig(r, cfg, "registry")
	dc.Need = []string{epp.NSSecDNS, "urn:example:no-such-extension"}
	if _, err := epp.Dial(ctx, dc); !errors.Is(err, epp.ErrProtocol) {
		t.Errorf("missing extension: %v", err)
	}
	dc = dialConfig(r, cfg, "registry")
	dc.TLS = dc.TLS.Clone()
	dc.TLS.Certificates = nil
	if _, err := epp.Dial(ctx, dc); impound.KindOf(err) != impound.KindUnavailable {
		t.Errorf("no client certificate: %v", err)
	}
	dc = dialConfig(r, cfg, "registry")
	dc.TLS = dc.TLS.Clone()
	dc.TLS.InsecureSkipVerify = true
	if _, err := epp.Dial(ctx, dc); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("unverified: %v", err)
	}
	dial(t, r, cfg, "registry")
	if _, err := epp.Dial(ctx, dialConfig(r, cfg, "registry")); epp.Code(err) != 2502 || impound.KindOf(err) != impound.KindUnavailable {
		t.Errorf("session limit: %v", err)
	}
}
