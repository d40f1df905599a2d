package app

import (
	"context"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/evidence"
)

// Appendix makes the appendix of an order document, with what the evidence log
// holds of each name.
func (s *System) Appendix(ctx context.Context, filename string, data []byte) (casework.Appendix, error) {
	a, err := s.Casework.Appendix(ctx, filename, data)
	if err != nil {
		return a, err
	}
	log, err := s.artefactsOf(ctx, a.Case)
	if err != nil {
		return a, err
	}
	return a.WithExhibits(log), nil
}

// artefactsOf gives the artefacts' entries of a case, oldest first.
func (s *System) artefactsOf(ctx context.Context, caseID string) ([]casework.Logged, error) {
	es, err := s.Evidence.Select(ctx, evidence.Filter{Case: caseID, Type: impound.EntryArtefact})
	if err != nil {
		return nil, err
	}
	out := make([]casework.Logged, len(es))
	for i, e := range es {
		out[i] = casework.Logged{Index: e.Index, Entry: e.Entry}
	}
	return out, nil
}
