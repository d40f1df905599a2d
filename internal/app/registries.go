package app

import (
	"cmp"
	"context"
	"os"
	"slices"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/registrymap"
)

// registryMap reads who runs what.
func (s *System) registryMap() (*registrymap.Map, error) {
	if s.cfg.RegistryMap == "" {
		return registrymap.Builtin(), nil
	}
	path := s.cfg.Path(s.opt.State, s.cfg.RegistryMap)
	f, err := os.Open(path)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't open the registry map: %w", err).At("registry_map").WithCure("put the file there, or correct the path")
	}
	defer f.Close()
	m, ps := registrymap.Read(path, f)
	if m == nil {
		return nil, ps.Err()
	}
	for _, p := range ps {
		s.log.Warn("a line of the registry map was left out", "problem", p.Error())
	}
	return m, nil
}

// RegistryMap gives every registry and registrar that is known here.
func (s *System) RegistryMap(context.Context) []registrymap.Entry { return s.regs.All() }

// Whom is who can act on a name, and by which channel.
type Whom struct {
	Name      impound.Name       `json:"name"`
	Registry  *registrymap.Entry `json:"registry,omitempty"`
	Provider  string             `json:"provider,omitempty"` // of the configuration: it is reached from here
	Role      string             `json:"role,omitempty"`     // our account's
	Registrar string             `json:"registrar,omitempty"`
	IANAID    string             `json:"registrar_iana,omitempty"`
	Known     *registrymap.Entry `json:"registrar_entry,omitempty"`
	Abuse     string             `json:"registrar_abuse,omitempty"`
	Err       string             `json:"err,omitempty"` // why the registrar is not known
}

// WhomToAsk says who can act on n. For a name below a suffix it asks RDAP for the
// registrar.
func (s *System) WhomToAsk(ctx context.Context, n impound.Name) (Whom, error) {
	w := Whom{Name: n}
	if e, ok := s.regs.Registry(n); ok {
		w.Registry = &e
	}
	suffix, _ := n.PublicSuffix()
	for _, r := range s.cfg.Registries {
		if slices.Contains(r.TLDs, suffix.String()) || slices.Contains(r.TLDs, n.TLD()) {
			w.Provider, w.Role = r.Provider, r.Role
		}
	}
	for _, r := range s.cfg.Asked {
		if slices.Contains(r.TLDs, suffix.String()) || slices.Contains(r.TLDs, n.TLD()) {
			w.Provider, w.Role = r.Provider, r.Role+", asked by "+r.Via
		}
	}
	if n.IsPublicSuffix() || n.Labels() < 2 {
		return w, nil
	}
	reg, err := n.RegistryDomain()
	if err != nil {
		return w, nil
	}
	v := s.Observe.Registration(ctx, reg)
	switch {
	case ctx.Err() != nil:
		return w, ctx.Err()
	case v.Err != "":
		w.Err = v.Err
		return w, nil
	case !v.Exists:
		w.Err = "it is not registered"
		return w, nil
	}
	w.Registrar, w.IANAID, w.Abuse = v.Registrar, v.RegistrarIANA, v.AbuseEmail
	if e, ok := s.regs.Registrar(v.RegistrarIANA); ok {
		w.Known = &e
	}
	return w, nil
}

// whom says in a line whom to ask for a name that no connector reaches.
func (s *System) whom(n impound.Name) string {
	e, ok := s.regs.Registry(n)
	if !ok {
		return "the registry of ." + n.TLD() + ", which nobody has named: add it to the file of registry_map"
	}
	out := "the registry, " + e.String()
	return out + " (" + cmp.Or(e.Source, e.File) + ")"
}
