package app

import (
	"context"
	"path/filepath"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/intake"
	"github.com/impound/impound/internal/evidence/lure"
	"github.com/impound/impound/internal/web"
)

// ReadReport finds what a case needs in a report, by the actors that are known
// here and the lists that are in use. It keeps nothing.
func (s *System) ReadReport(ctx context.Context, filename string, data []byte) (intake.Findings, error) {
	actors, err := s.Casework.Actors(ctx)
	if err != nil {
		return intake.Findings{}, err
	}
	return intake.Read(filename, data, intake.Options{Lists: s.lists.now(), Actors: actors, Unwrap: lure.Unwrap}), nil
}

// TakeIn adds the names of a report that an analyst ticked to a case, each with
// the report and the sentence that named it. ticked may hold names that were set
// apart; one that the report doesn't hold is KindNotFound. Role: analyst.
func (s *System) TakeIn(ctx context.Context, by, caseID string, f intake.Findings, ticked []impound.Name) (added int, err error) {
	if err := s.may(ctx, "TakeIn", by); err != nil {
		return 0, err
	}
	held := map[impound.Name]intake.Name{}
	for _, n := range f.Names {
		held[n.Name] = n
	}
	var names []casework.AddName
	for _, n := range ticked {
		x, ok := held[n]
		if !ok {
			return 0, impound.Errorf(impound.KindNotFound, "%s is not in the report", n.Defanged()).At(f.File).WithCure("add what stands elsewhere with: impound case add")
		}
		why := impound.Reason{Code: "report", Text: "named in " + filepath.Base(f.File) + ": " + x.Sentence}
		if !x.Proposed {
			why.Text = "ticked by " + by + " though " + x.Why + "; " + why.Text
		}
		names = append(names, casework.AddName{Name: n, Reasons: []impound.Reason{why}})
	}
	return s.Casework.AddNames(ctx, by, caseID, names)
}

// TakeAliases adds what a report calls an actor to an actor that is known, with
// the report as its source, and says which other actors go by the same. Role:
// analyst.
func (s *System) TakeAliases(ctx context.Context, by, actorID string, f intake.Findings, aliases []string) (shared map[string][]string, err error) {
	if err := s.may(ctx, "TakeAliases", by); err != nil {
		return nil, err
	}
	a := impound.Actor{ID: actorID, Names: aliases}
	for _, n := range aliases {
		a.Aliases = append(a.Aliases, impound.Alias{Name: n, Source: filepath.Base(f.File)})
	}
	_, shared, err = s.Casework.ImportActors(ctx, by, []impound.Actor{a})
	return shared, err
}

// reportView is a report for the page.
func (s *System) reportView(ctx context.Context, filename string, data []byte) (web.Report, error) {
	f, err := s.ReadReport(ctx, filename, data)
	if err != nil {
		return web.Report{}, err
	}
	out := web.Report{File: f.File, Format: f.Format}
	for _, n := range f.Names {
		out.Names = append(out.Names, web.ReportName{Name: n.Name, Proposed: n.Proposed, Why: n.Why, Sentence: n.Sentence, Times: n.Times})
	}
	fact := func(kind, value, why, sentence string) {
		out.Facts = append(out.Facts, web.ReportFact{Kind: kind, Value: value, Why: why, Sentence: sentence})
	}
	for _, x := range f.Facts() {
		fact(x.Kind, x.Shown, x.Why, x.Sentence)
	}
	for _, p := range f.Problems {
		out.Problems = append(out.Problems, p)
	}
	return out, nil
}
