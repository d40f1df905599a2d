package casework

import (
	"context"
	"fmt"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
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
	Artefact(hash string) (impound.Artefact, bool, error)
}

// exhibits gives what G7 asks of the evidence on a name. One that the log doesn't
// describe is left out: the gate counts them.
func (s *Service) exhibits(hashes []string) []gate.Exhibit {
	log, ok := s.cfg.Evidence.(describer)
	if !ok {
		return nil
	}
	var out []gate.Exhibit
	for _, h := range hashes {
		a, ok, err := log.Artefact(h)
		if err != nil || !ok {
			continue
		}
		out = append(out, gate.Exhibit{Hash: h, TLP: a.TLP, Originator: a.Originator, At: a.At})
	}
	return out
}
