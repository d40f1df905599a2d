package testregistry_test

import (
	"fmt"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/testregistry"
)

// BenchmarkSeize is one session that looks and updates, name after name, each
// synced to disk before its answer.
func BenchmarkSeize(b *testing.B) {
	cfg := config(b)
	r := start(b, cfg)
	var names []impound.Name
	var ds []testregistry.Domain
	for i := range b.N {
		n := impound.MustName(fmt.Sprintf("bad-%d.example", i))
		names = append(names, n)
		ds = append(ds, testregistry.Domain{Name: n, Registrar: "registrar-a", NS: []impound.Name{act1, act2}})
	}
	if err := r.Register(ds...); err != nil {
		b.Fatal(err)
	}
	m := mandate(b, redirect, append(names, bad)...)
	c := dial(b, r, cfg, "registry")
	createHosts(b, c, permits(b, m, bad, impound.ActNameservers)[0])
	b.ResetTimer()
	for _, n := range names {
		if _, err := c.InfoDomain(b.Context(), n); err != nil {
			b.Fatal(err)
		}
		ps := permits(b, m, n, impound.ActNameservers, impound.ActLock, impound.ActRemoveDS)
		if _, err := c.UpdateDomain(b.Context(), ps, seizure(n)); err != nil {
			b.Fatal(err)
		}
	}
}
