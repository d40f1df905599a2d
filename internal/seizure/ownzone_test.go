package seizure_test

import (
	"context"
	"crypto/ed25519"
	"path/filepath"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/conntest"
	"github.com/impound/impound/internal/store/sqlite"
)

// ownZone is the zone "example" of ours at a real server, in which names are seized
// by dynamic update, with a resolver below it that validates.
type ownZone struct {
	t      *testing.T
	names  []impound.Name
	conn   seizure.Connector
	u      *unbound
	routes map[string]string

	store *sqlite.Store
	log   *evidence.Log
	keys  keyring
	priv  map[string]ed25519.PrivateKey
}

func newOwnZone(t *testing.T, primary *conntest.Server, u *unbound, routes map[string]string, names []impound.Name) *ownZone {
	t.Helper()
	z := &ownZone{t: t, names: names, u: u, routes: routes}
	key, err := seizure.ReadTSIGKey(primary.KeyFile)
	if err != nil {
		t.Fatal(err)
	}
	if z.conn, err = seizure.NewDNSUpdate("ours", seizure.DNSUpdateConfig{Zone: n("example"), Server: primary.Addr, Key: key}); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if z.store, err = sqlite.Open(t.Context(), filepath.Join(dir, "impound.db"), sqlite.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { z.store.Close() })
	if z.log, err = evidence.Open(filepath.Join(dir, "evidence"), evidence.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { z.log.Close() })
	z.keys, z.priv = people()
	return z
}

// authorize gives the mandate of an order for the names to go to servers.
func (z *ownZone) authorize(servers []impound.Name, lock []string) *impound.Mandate {
	z.t.Helper()
	o := testOrder(z.names, time.Now().UTC().Add(-time.Hour).Truncate(time.Second))
	o.Acts.Nameservers, o.Acts.Lock = servers, lock
	for _, id := range []string{"anna", "bert"} {
		o.Signatures = append(o.Signatures, impound.Sign(z.priv[id], impound.SignOrder, o.Hash(), id, o.From))
	}
	m, err := o.Authorize(z.keys, nil)
	if err != nil {
		z.t.Fatal(err)
	}
	return m
}

// engine works on m, and asks parents for what is delegated.
func (z *ownZone) engine(m *impound.Mandate, parents ...string) *seizure.Engine {
	z.t.Helper()
	obs, err := observe.New(observe.Config{Parents: map[string][]string{"example": parents}, Resolvers: []string{z.u.addr}, Routes: z.routes})
	if err != nil {
		z.t.Fatal(err)
	}
	e, err := seizure.New(seizure.Config{
		Store: z.store, Evidence: z.log, Keys: z.keys, Observe: obs, By: "op", Connectors: map[string]seizure.Connector{"ours": z.conn}, Unlisted: map[string]bool{"ours": true},
		Mandate: func(context.Context, string) (*impound.Mandate, error) { return m, nil },
		Gates: func(context.Context, *impound.Mandate, impound.Name) ([]impound.GateVerdict, error) {
			return []impound.GateVerdict{{Gate: "G1", Outcome: impound.GatePass}}, nil
		},
		Backoff: 20 * time.Millisecond,
	})
	if err != nil {
		z.t.Fatal(err)
	}
	return e
}
