package app

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/capture"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/observe"
)

// Appendix makes the appendix of an order document, with what the evidence log
// holds of each name.
func (s *System) Appendix(ctx context.Context, filename string, data []byte) (casework.Appendix, error) {
	a, err := s.Casework.Appendix(ctx, filename, data)
	if err != nil {
		return a, err
	}
	if _, err := s.Casework.Case(ctx, a.Case); impound.KindOf(err) == impound.KindNotFound {
		return a.WithExhibits(nil), nil // no case that the reader may see: no exhibits
	} else if err != nil {
		return a, err
	}
	log, err := s.artefactsOf(ctx, a.Case)
	if err != nil {
		return a, err
	}
	return a.WithExhibits(log), nil
}

// Statement gives what a template of an affidavit can use for an order document:
// its facts, and what the evidence log holds of each name.
func (s *System) Statement(ctx context.Context, filename string, data []byte) (casework.Statement, error) {
	a, err := s.Appendix(ctx, filename, data)
	if err != nil {
		return casework.Statement{}, err
	}
	// A checkpoint's first lines: origin, size, root (C2SP tlog-checkpoint).
	lines := strings.SplitN(string(s.Evidence.Checkpoint()), "\n", 4)
	var head casework.Head
	if len(lines) == 4 {
		n, _ := strconv.ParseInt(lines[1], 10, 64)
		head = casework.Head{Origin: lines[0], Size: n, Root: lines[2]}
	}
	var fault error
	st := casework.NewStatement(a, head, func(it casework.ExhibitItem) string {
		text, err := s.tell(it)
		if err != nil && fault == nil {
			fault = err
		}
		return text
	})
	return st, fault
}

// tell says in a line what an artefact shows; "" for raw parts of another.
func (s *System) tell(it casework.ExhibitItem) (string, error) {
	if strings.HasSuffix(it.Kind, "-raw") {
		return "", nil
	}
	switch it.Kind {
	case observe.KindParent, observe.KindChild, observe.KindResolver, observe.KindRDAP, observe.KindHTTP:
		body, err := s.Evidence.Read(it.Hash)
		if err != nil {
			return "", err
		}
		switch it.Kind {
		case observe.KindRDAP:
			var v observe.RDAPView
			if json.Unmarshal(body, &v) == nil {
				return v.Observation().Summary, nil
			}
		case observe.KindHTTP:
			var v observe.HTTPView
			if json.Unmarshal(body, &v) == nil {
				return v.Observation().Summary, nil
			}
		default:
			var v observe.View
			if json.Unmarshal(body, &v) == nil {
				return v.Observation().Summary, nil
			}
		}
	}
	switch it.Kind {
	case capture.KindWHOIS, capture.KindTLS, capture.KindLooks, capture.KindGating, capture.KindBrowser, capture.KindManifest:
		body, err := s.Evidence.Read(it.Hash)
		if err != nil {
			return "", err
		}
		if text := capture.Tell(it.Kind, body); text != "" {
			return text, nil
		}
	}
	return it.Kind + " from " + it.Source, nil
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
