package app

import (
	"encoding/json"
	"slices"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/capture"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/observe"
)

// maxView bounds what is read of an artefact to count the names in it (octets).
const maxView = 4 << 20

// certNames is the part of a capture's TLS and HTTP views that names certificates.
type certNames struct {
	Names     []string `json:"names"`
	NameCount int      `json:"name_count"`
}

// neighbours counts who else the newest captured certificates of n name; nil when
// none was captured. Only a chain's first certificate speaks of the server.
func neighbours(n impound.Name, evidence []impound.Artefact, read func(string) ([]byte, error)) *gate.CertTenants {
	newest := map[string]impound.Artefact{}
	for _, a := range evidence {
		switch a.Kind {
		case capture.KindTLS, capture.KindTLSDefault, observe.KindHTTP:
			if old, ok := newest[a.Kind]; a.Name == n && a.Size <= maxView && (!ok || a.At.After(old.At)) {
				newest[a.Kind] = a
			}
		}
	}
	var out *gate.CertTenants
	own, err := n.Registrable()
	if err != nil {
		own = n
	}
	hosts, others := map[impound.Name]bool{}, map[impound.Name]bool{}
	unlisted := 0
	for _, a := range newest {
		b, err := read(a.Hash)
		if err != nil {
			continue
		}
		var v struct {
			Chain []certNames `json:"chain"`
			Looks []struct {
				Hops []struct {
					URL string      `json:"url"`
					TLS []certNames `json:"tls"`
				} `json:"hops"`
			} `json:"looks"`
		}
		if json.Unmarshal(b, &v) != nil {
			continue
		}
		var leafs []certNames
		if len(v.Chain) > 0 {
			leafs = append(leafs, v.Chain[0])
		}
		for _, l := range v.Looks {
			if len(l.Hops) > 0 && len(l.Hops[0].TLS) > 0 { // later hops are elsewhere
				leafs = append(leafs, l.Hops[0].TLS[0])
			}
		}
		for _, c := range leafs {
			if out == nil {
				out = &gate.CertTenants{At: a.At}
			}
			if a.At.Before(out.At) {
				out.At = a.At
			}
			unlisted = max(unlisted, c.NameCount-len(c.Names))
			for _, s := range c.Names {
				if len(s) > 2 && s[:2] == "*." {
					s = s[2:]
				}
				m, err := impound.ParseName(s)
				if err != nil {
					continue
				}
				r, err := m.Registrable()
				switch {
				case err != nil: // a suffix of strangers
					others[m] = true
				case r == own:
					if m != n && m.AtOrBelow(n) {
						hosts[m] = true
					}
				default:
					others[r] = true
				}
			}
		}
	}
	if out == nil {
		return nil
	}
	out.Hosts, out.Others = len(hosts), len(others)+unlisted
	for m := range others {
		out.Shown = append(out.Shown, m.Defanged())
	}
	slices.Sort(out.Shown)
	out.Shown = out.Shown[:min(len(out.Shown), 3)]
	return out
}
