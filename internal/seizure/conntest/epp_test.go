package conntest_test

import (
	"testing"
	"time"

	"net/netip"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure/conntest"
	"github.com/impound/impound/internal/testregistry"
)

// eppStage is the practice registry with two accounts, of which the suite acts by
// one.
func eppStage(t testing.TB, role string) *conntest.Stage {
	t.Helper()
	client := map[string]string{"registry": "registry", "registrar": "cheap"}[role]
	r, err := testregistry.Start(t.Context(), testregistry.Config{
		Dir: t.TempDir(), TLDs: []string{"example", "net"}, RequireClientCert: true,
		Clients:    map[string]testregistry.Client{"registry": {Password: "registry-pw", RegistryRole: true}, "cheap": {Password: "cheap-pw"}},
		Registrars: map[string]testregistry.Registrar{"cheap": {Name: "Cheap Names", IANAID: 9999, AbuseEmail: "abuse@cheap.example"}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	s := &conntest.Stage{
		Names: names("evil-%d.example"), Missing: impound.MustName("not-there.example"), Foreign: impound.MustName("evil.test"),
		Former: former, Sink: sink, NewHost: impound.MustName("ns9.sinkhole.net"), HostAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.53"), netip.MustParseAddr("2001:db8::53")},
		Clock: conntest.NewClock(), Secrets: []string{client + "-pw"},
	}
	ds := []testregistry.Domain{{Name: impound.MustName("sinkhole.net"), Registrar: "cheap", NS: sink}, {Name: impound.MustName("actor-dns.net"), Registrar: "cheap", NS: former}}
	for _, n := range s.Names {
		ds = append(ds, testregistry.Domain{Name: n, Registrar: "cheap", NS: former, Signed: true, Expiry: time.Now().AddDate(3, 0, 0)})
	}
	if err := r.Register(ds...); err != nil {
		t.Fatal(err)
	}
	way := conntest.NewWay(t, r.Addrs().EPP.String(), nil)
	m := maker{Kind: "epp", Addr: way.Addr(), Role: role, CA: r.Files().CA, Cert: r.Files().ClientCert, Key: r.Files().ClientKey, ClientID: client, Pass: client + "-pw"}
	s.Child, s.Break = m.String(), way.Break
	s.Conn = m.must(t, s.Clock.Now)
	m.Addr = r.Addrs().EPP.String()
	s.Second = m.must(t, s.Clock.Now)
	m.Addr = dead
	s.Dead = m.must(t, s.Clock.Now)
	s.Did = func() int {
		k := 0
		for _, op := range r.History() {
			if op.Client == client && op.Code == 1000 && (op.Command == "domain:update" || op.Command == "host:create" || op.Command == "contact:create" || op.Command == "domain:delete" || op.Command == "domain:renew") {
				k++
			}
		}
		return k
	}
	s.PutOff = func(testing.TB) func(bool) { r.PutOff(); return r.End }
	return s
}

func TestEPP(t *testing.T) {
	t.Parallel()
	for _, role := range []string{"registry", "registrar"} {
		t.Run(role, func(t *testing.T) {
			t.Parallel()
			conntest.Run(t, func(t testing.TB) *conntest.Stage { return eppStage(t, role) })
		})
	}
}
