package casework

import (
	"context"
	"fmt"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/store"
)

// taken gives which names of an order were taken, and what was seen of them since.
func (s *Service) taken(ctx context.Context, order string) (map[impound.Name]Taken, error) {
	if s.cfg.Taken == nil {
		return nil, nil
	}
	m, err := s.cfg.Taken(ctx, order)
	if err != nil {
		return nil, fmt.Errorf("couldn't look up what was done under order %s: %w", order, err)
	}
	return m, nil
}

// fleet gives what the sinkhole bears, with what it would have to bear when all
// the names are its to answer. What is taken already counts among what it serves.
func (s *Service) fleet(ctx context.Context, facts []Facts, taken map[impound.Name]Taken, names []impound.OrderName) *gate.Capacity {
	if s.cfg.Capacity == nil {
		return nil
	}
	c := s.cfg.Capacity(ctx)
	if c == nil {
		return nil
	}
	sum := *c
	for i, f := range facts {
		switch {
		case !taken[names[i].Name].At.IsZero():
		case f.Demand == nil:
			sum.Unknown++
		default:
			sum.Expected += f.Demand.PerSecond
		}
	}
	return &sum
}

// describer is an evidence log that says what it holds of an artefact.
type describer interface {
	Artefacts(hash string) ([]impound.Artefact, error)
}

// exhibits gives what G7 asks of the evidence that a case holds on a name, and what the log
// says of it. Bytes
// that were captured for the case more than once have the strictest marking that
// they were given there; what a sealed case says of the same bytes is not asked.
// One that the log doesn't describe is left out: the gate counts them.
func (s *Service) exhibits(view ledgerView, caseID string, hashes []string) ([]gate.Exhibit, []impound.Artefact) {
	log, ok := s.cfg.Evidence.(describer)
	if !ok {
		return nil, nil
	}
	var out []gate.Exhibit
	var arts []impound.Artefact
	for _, h := range hashes {
		all, err := log.Artefacts(h)
		if err != nil || len(all) == 0 {
			continue
		}
		x, own, open := gate.Exhibit{Hash: h}, impound.Marking{}, impound.Marking{}
		mine, others := false, false
		for _, a := range all {
			switch {
			case a.Case == caseID:
				own, mine = own.Strictest(a.Marking()), true
				arts = append(arts, a)
			case len(view.seals[a.Case].Parties) == 0:
				open, others = open.Strictest(a.Marking()), true
			default:
				continue
			}
			if a.At.After(x.At) {
				x.At = a.At
			}
		}
		if !mine {
			if own = open; !others {
				continue
			}
		}
		x.TLP, x.PAP, x.Originator = own.TLP, own.PAP, own.Originator
		out = append(out, x)
	}
	return out, arts
}

// tenants adds what the evidence on n says to what is known of who else uses it.
func (s *Service) tenants(n impound.Name, known *gate.Tenants, arts []impound.Artefact) *gate.Tenants {
	if s.cfg.Neighbours == nil || len(arts) == 0 {
		return known
	}
	c := s.cfg.Neighbours(n, arts, s.cfg.Evidence.Read)
	if c == nil {
		return known
	}
	out := gate.Tenants{}
	if known != nil {
		out = *known
	}
	out.Cert = c
	return &out
}

// CheckMarking says what is wrong with m.
func CheckMarking(m impound.Marking) error { return checkMarking(m) }

// manyMarked is from how many names on whole cases are read.
const manyMarked = 500

type markingsKey struct{}

// MarkingIn gives what is marked of n, where the run of the gates that calls
// [Config].Facts with ctx has asked for all of its names at once; false where it
// has not.
func MarkingIn(ctx context.Context, n impound.Name) (impound.Marking, bool) {
	ms, ok := ctx.Value(markingsKey{}).(map[impound.Name]impound.Marking)
	return ms[n], ok
}

// Markings gives for each name the strictest of what cases that whoever asks may
// see, and the evidence that they hold on it, say of it. A name that none of them
// marks is not among them.
func (s *Service) Markings(ctx context.Context, names []impound.Name) (map[impound.Name]impound.Marking, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	x := s.sightFor(view, ctx)
	out := map[impound.Name]impound.Marking{}
	add := func(caseID string, head impound.Marking, d impound.CaseDomain) {
		m := d.Marking.In(head)
		xs, _ := s.exhibits(view, caseID, d.Evidence)
		for _, e := range xs {
			m = m.Strictest(impound.Marking{PAP: e.PAP})
		}
		if m = out[d.Name].Strictest(m); m != (impound.Marking{}) {
			out[d.Name] = m
		}
	}
	if len(names) > manyMarked { // of many, whole cases are read faster than names
		wanted := make(map[impound.Name]bool, len(names))
		for _, n := range names {
			wanted[n] = true
		}
		cs, err := s.Cases(ctx)
		if err != nil {
			return nil, err
		}
		for _, c := range cs {
			k, err := s.Case(ctx, c.ID)
			if err != nil {
				return nil, err
			}
			for _, d := range k.Domains {
				if wanted[d.Name] {
					add(k.ID, k.Marking(), d)
				}
			}
		}
		return out, nil
	}
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		heads := map[string]impound.Marking{}
		for _, n := range names {
			docs, err := tx.List(store.Query{Kind: kindDomain, Field: "name", Value: n.String()})
			if err != nil {
				return err
			}
			for _, doc := range docs {
				id := doc.Index["case"]
				if !x.Case(id) {
					continue
				}
				head, ok := heads[id]
				if !ok {
					c, _, err := store.Get[impound.Case](tx, kindCase, id)
					if err != nil {
						return err
					}
					head = c.Marking()
					heads[id] = head
				}
				d, _, err := readDomain(tx, id, n)
				if err != nil {
					return err
				}
				add(id, head, d)
			}
		}
		return nil
	})
	return out, err
}
