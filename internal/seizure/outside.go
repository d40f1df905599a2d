package seizure

import (
	"context"
	"encoding/json"
	"slices"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
)

// LookOutside looks at a name as anybody can: at its registration by RDAP and at
// its delegation in the parent zone. It is Info for connectors that have nobody
// to query. Where the zone holds the name, its name servers and DS are those of
// the zone, else those of RDAP: a name on hold has none in the zone.
//
// The error is KindUnavailable when one of the two could not be seen: half a
// look is none.
func LookOutside(ctx context.Context, obs Observer, n impound.Name) (RegistryView, error) {
	v := RegistryView{Name: n}
	var parent observe.View
	var rdap observe.RDAPView
	var wg sync.WaitGroup
	wg.Go(func() { parent = obs.Parent(ctx, n) })
	wg.Go(func() { rdap = obs.RDAP(ctx, n) })
	wg.Wait()
	if b, err := json.Marshal(map[string]any{"parent": parent, "rdap": rdap}); err == nil {
		v.Frames = []Frame{{Dir: "received", At: time.Now().UTC(), Body: b, Media: "application/json"}}
	}
	switch {
	case ctx.Err() != nil:
		return v, ctx.Err()
	case rdap.Err != "":
		return v, impound.Errorf(impound.KindUnavailable, "its registration could not be seen: %s", rdap.Err)
	case parent.Err != "":
		return v, impound.Errorf(impound.KindUnavailable, "its parent zone could not be seen: %s", parent.Err)
	case 2*parent.Answered() < len(parent.Servers):
		return v, impound.Errorf(impound.KindUnavailable, "only %d of %d servers of its parent zone answered", parent.Answered(), len(parent.Servers))
	case !rdap.Exists && parent.Exists:
		return v, impound.Errorf(impound.KindUnavailable, "its parent zone has it and RDAP does not: look again later")
	case !rdap.Exists:
		return v, nil
	}
	ns, ds := rdap.NS, rdap.DS
	if parent.Exists {
		ns, ds = parent.NS, parent.DS
		// Servers of the zone that disagree hold what is on its way: all of it.
		for _, s := range parent.Servers {
			ns, ds = append(slices.Clone(ns), s.NS...), append(slices.Clone(ds), s.DS...)
		}
	} else if rdap.Signed && len(ds) == 0 {
		ds = []string{"signed"}
	}
	for _, x := range sorted(ns) {
		h, err := wireName(x)
		if err != nil {
			return v, impound.Errorf(impound.KindUnavailable, "it has a name server that can't be read: %.100q", x)
		}
		v.NS = append(v.NS, h)
	}
	v.Exists, v.ID, v.Status, v.DS = true, rdap.Handle, rdap.Status, sorted(ds)
	v.Sponsor = rdap.RegistrarIANA
	if v.Sponsor == "" {
		v.Sponsor = rdap.Registrar
	}
	v.Created, v.Expires = rdap.Created, rdap.Expires
	return v, nil
}
