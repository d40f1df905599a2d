package laws

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/netip"
	"net/url"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/testregistry"
)

// TestHangingRegistry: the RDAP server of one registry accepts connections and
// never answers. The names of another registry are seized while it is waited for;
// its own are kept out, with the reason. When it answers again, an apply does the
// rest, and nothing is done twice.
func TestHangingRegistry(t *testing.T) {
	t.Parallel()
	quick := []impound.Name{live, unlisted, spare}
	var slow []impound.Name
	for i := range 16 {
		slow = append(slow, impound.MustName(fmt.Sprintf("account-%02d-verify.org", i)))
	}
	w := newWorld(t)
	reg, err := testregistry.Start(t.Context(), testregistry.Config{
		Dir: filepath.Join(t.TempDir(), "slow"), TLDs: []string{"org"},
		Clients:           map[string]testregistry.Client{"IMPOUND": {Password: password, RegistryRole: true}, "CHEAP-NAMES": {Password: "somebody-else-1"}},
		RequireClientCert: true, Now: w.clock.now,
		Hosts: map[impound.Name][]netip.Addr{sinkNS[0]: {netip.MustParseAddr("127.53.0.53")}, sinkNS[1]: {netip.MustParseAddr("127.53.0.53")}},
	})
	must(t, err)
	t.Cleanup(func() { reg.Close() })
	created := time.Now().UTC().AddDate(0, 0, -20).Truncate(time.Second)
	var ds []testregistry.Domain
	for _, n := range slow {
		ds = append(ds, testregistry.Domain{Name: n, Registrar: "CHEAP-NAMES", Created: created, Expiry: created.AddDate(1, 0, 0), NS: []impound.Name{impound.MustName("ns1.bulk-host.example"), impound.MustName("ns2.bulk-host.example")}})
	}
	must(t, reg.Register(ds...))

	// The RDAP server stands behind one that can hang: until the quick names are
	// done, then it breaks off.
	var hangs atomic.Bool
	var asked, gaveUp atomic.Int32
	quickDone := make(chan struct{})
	a, f := reg.Addrs(), reg.Files()
	pass := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: a.RDAP.String()})
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	srv := &http.Server{Handler: http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if !hangs.Load() {
			pass.ServeHTTP(rw, r)
			return
		}
		asked.Add(1)
		select {
		case <-quickDone:
		case <-r.Context().Done():
			gaveUp.Add(1)
		}
		panic(http.ErrAbortHandler)
	})}
	go func() { _ = srv.Serve(l) }()
	t.Cleanup(func() { srv.Close() })

	w.cfg.Registries = append(w.cfg.Registries, app.RegistryConfig{
		Provider: "slow", Role: "registry", TLDs: []string{"org"}, EPP: a.EPP.String(), ServerName: "localhost",
		CA: f.CA, Cert: f.ClientCert, Key: f.ClientKey, ClientID: "IMPOUND", PasswordFile: w.cfg.Registries[0].PasswordFile,
		RDAP: "http://" + l.Addr().String() + "/", Parents: []string{a.DNS.String()},
	})
	for from, to := range reg.Routes() {
		w.cfg.Routes[from.String()] = to.String()
	}
	w.writeConfig(t)
	var done atomic.Int32
	s, err := app.Open(t.Context(), app.Options{State: w.state, Config: w.cfg, Version: "test", Now: w.clock.now, Patience: 5 * time.Second, Progress: func(e seizure.Event) {
		if hangs.Load() && e.Provider == "practice" && e.Phase == "done" && done.Add(1) == int32(len(quick)) {
			close(quickDone)
		}
	}})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	var add []casework.AddName
	for _, n := range slow {
		add = append(add, casework.AddName{Name: n, FirstSeen: time.Now().UTC(), Reasons: []impound.Reason{{Code: "report", Text: "named in a report"}}})
	}
	_, err = s.Casework.AddNames(t.Context(), "ada", caseID, add)
	must(t, err)
	w.file(t, s, terms{id: liveOrder, names: append(append([]impound.Name{}, quick...), slow...), from: w.clock.now().Add(-time.Hour), until: w.clock.now().Add(24 * time.Hour)})
	plan := w.plan(t, s, liveOrder, "ben", "dora")

	// What was seen for the plan is too old to seize by.
	w.clock.turn(2 * time.Minute)
	hangs.Store(true)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	olaf := w.me(t, s, "olaf")
	res, err := s.Apply(ctx, olaf, plan)
	if impound.KindOf(err) != impound.KindPartial {
		t.Errorf("apply: %v", err)
	}
	for _, r := range res.Names {
		switch {
		case r.Provider == "practice" && r.Outcome != seizure.Done:
			t.Errorf("%s: %s, %s", r.Name, r.Outcome, r.Msg)
		case r.Provider == "slow" && (r.Outcome != seizure.Blocked || !strings.Contains(r.Msg, "G9-age says unknown") || !strings.Contains(r.Msg, "RDAP of slow")):
			t.Errorf("%s: %s, %s", r.Name, r.Outcome, r.Msg)
		}
	}
	if asked.Load() == 0 || gaveUp.Load() > 0 {
		t.Errorf("the hanging server was asked %d times, and given up %d times before the other registry's names were done", asked.Load(), gaveUp.Load())
	}
	changes := func(r *testregistry.Registry) map[string]int {
		out := map[string]int{}
		for _, op := range r.History() {
			if op.Client == "IMPOUND" && op.Command == "domain:update" {
				out[op.Name]++
			}
		}
		return out
	}
	first := changes(w.reg)
	if c := changes(reg); len(c) > 0 {
		t.Errorf("names that nobody could look at were changed: %v", c)
	}

	hangs.Store(false)
	w.clock.turn(time.Minute)
	if res, err = s.Apply(ctx, olaf, plan); err != nil {
		t.Errorf("apply again: %v", err)
	}
	if n := res.Count(seizure.Done, seizure.Already); n != len(quick)+len(slow) {
		t.Errorf("%d names are as ordered in the end", n)
	}
	for _, n := range quick {
		if c := changes(w.reg)[n.String()]; c != first[n.String()] {
			t.Errorf("%s was changed again: %d times, then %d", n, first[n.String()], c)
		}
	}
	per := 0
	for _, n := range slow {
		c := changes(reg)[n.String()]
		if per == 0 {
			per = c
		}
		if c == 0 || c != per {
			t.Errorf("%s was changed %d times, others %d", n, c, per)
		}
	}
}
