package testregistry_test

import (
	"context"
	"crypto/ed25519"
	"sync/atomic"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure/epp"
	"github.com/impound/impound/internal/testregistry"
)

var (
	bad   = impound.MustName("outlook-verify.example")
	other = impound.MustName("drive-share.example")
	sink1 = impound.MustName("ns1.sinkhole.invalid")
	sink2 = impound.MustName("ns2.sinkhole.invalid")
	act1  = impound.MustName("ns1.actor-dns.example")
	act2  = impound.MustName("ns2.actor-dns.example")
	// issued is when the test order begins; tests that move the clock do so
	// within its year.
	issued = time.Now().UTC().Add(-time.Hour).Truncate(time.Second)
)

// clock is a time that tests move.
type clock struct{ t atomic.Pointer[time.Time] }

func clockAt(t time.Time) *clock { c := new(clock); c.set(t); return c }

func (c *clock) now() time.Time      { return *c.t.Load() }
func (c *clock) set(t time.Time)     { c.t.Store(&t) }
func (c *clock) add(d time.Duration) { c.set(c.now().Add(d)) }

type ring map[string]impound.Person

func (r ring) Person(id string) (impound.Person, bool) { p, ok := r[id]; return p, ok }

// mandate gives an order for names, signed by two people, with every act that
// goes together.
func mandate(t testing.TB, acts impound.Acts, names ...impound.Name) *impound.Mandate {
	t.Helper()
	return mandateWith(t, nil, acts, names...)
}

// mandateWith proves an order with a return clause.
func mandateWith(t testing.TB, release *impound.ReleaseTerms, acts impound.Acts, names ...impound.Name) *impound.Mandate {
	t.Helper()
	o := impound.Order{Format: impound.OrderFormat, ID: "PRACTICE-1", Case: "practice", Kind: impound.KindInjunction,
		Authority: impound.Authority{Court: "Practice court", Docket: "1", CallBack: "none"}, Issued: issued, From: issued, Until: issued.AddDate(1, 0, 0), AtEnd: "restore", Release: release,
		Parties: impound.Parties{Requesting: "Practice", Technical: "nobody"}, Recipient: impound.Recipient{Name: "Practice registry", Role: "registry"}, Acts: acts,
		Sinkhole: impound.SinkTerms{Capture: impound.CaptureCount, RetentionDays: 1}}
	a := impound.Appendix{ID: "A", Count: len(names)}
	for _, n := range names {
		a.Names = append(a.Names, impound.OrderName{Name: n})
	}
	o.Appendices = []impound.Appendix{a}
	people := ring{}
	for i, id := range []string{"ann", "bob"} {
		key := ed25519.NewKeyFromSeed(append(make([]byte, 31), byte(i)))
		people[id] = impound.Person{ID: id, Roles: []impound.Role{impound.RoleApprover}, Key: impound.NewPublicKey(key.Public().(ed25519.PublicKey))}
		o.Signatures = append(o.Signatures, impound.Sign(key, impound.SignOrder, o.Hash(), id, issued))
	}
	m, err := o.Authorize(people, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var redirect = impound.Acts{Lock: []string{"serverDeleteProhibited", "serverTransferProhibited", "serverUpdateProhibited"}, Nameservers: []impound.Name{sink1, sink2}, RemoveDS: true}

func permits(t testing.TB, m *impound.Mandate, n impound.Name, acts ...impound.Act) []impound.Permit {
	t.Helper()
	var out []impound.Permit
	for _, a := range acts {
		p, err := m.Permit(a, n, issued.Add(time.Minute))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, p)
	}
	return out
}

func allPermits(t testing.TB, n impound.Name) []impound.Permit {
	return permits(t, mandate(t, redirect, n), n, impound.ActNameservers, impound.ActLock, impound.ActRemoveDS)
}

func config(t testing.TB) testregistry.Config {
	return testregistry.Config{
		Dir: t.TempDir(), TLDs: []string{"example", "test"}, RequireClientCert: true,
		Clients:    map[string]testregistry.Client{"registry": {Password: "registry-pw", RegistryRole: true}, "registrar-a": {Password: "registrar-pw"}, "registrar-b": {Password: "registrar-pw"}},
		Registrars: map[string]testregistry.Registrar{"registrar-a": {Name: "Practice Registrar A", IANAID: 9995, AbuseEmail: "abuse@registrar-a.example", AbusePhone: "+1.5555550100"}},
	}
}

func domains() []testregistry.Domain {
	return []testregistry.Domain{
		{Name: impound.MustName("actor-dns.example"), Registrar: "registrar-a", NS: []impound.Name{act1, act2}},
		{Name: bad, Registrar: "registrar-a", NS: []impound.Name{act1, act2}, Signed: true, Statuses: []string{"clientTransferProhibited"}},
		{Name: other, Registrar: "registrar-b", NS: []impound.Name{act1, act2}},
	}
}

// start gives a registry with the actor's domains in it.
func start(t testing.TB, cfg testregistry.Config) *testregistry.Registry {
	t.Helper()
	r, err := testregistry.Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	if err := r.Register(domains()...); err != nil {
		t.Fatal(err)
	}
	return r
}

func dialConfig(r *testregistry.Registry, cfg testregistry.Config, client string) epp.Config {
	return epp.Config{Addr: r.Addrs().EPP.String(), TLS: r.ClientTLS(), ClientID: client, Password: []byte(cfg.Clients[client].Password), Now: cfg.Now, Timeout: 20 * time.Second}
}

func dial(t testing.TB, r *testregistry.Registry, cfg testregistry.Config, client string) *epp.Client {
	t.Helper()
	c, err := epp.Dial(context.Background(), dialConfig(r, cfg, client))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func createHosts(t testing.TB, c *epp.Client, p impound.Permit) {
	t.Helper()
	for _, h := range []impound.Name{sink1, sink2} {
		if _, err := c.CreateHost(context.Background(), p, epp.HostCreate{Name: h}); err != nil {
			t.Fatal(err)
		}
	}
}

func seizure(n impound.Name) epp.DomainUpdate {
	return epp.DomainUpdate{Name: n, AddNS: []impound.Name{sink1, sink2}, RemNS: []impound.Name{act1, act2}, AddStatus: redirect.Lock, RemAllDS: true}
}
