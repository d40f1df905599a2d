package app

import (
	"context"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/web"
)

// worker is casework as the edit page uses it: in the name of whoever is logged
// in, whom the services ask for his roles.
type worker struct{ s *System }

var _ web.Worker = worker{}

func (w worker) CaseRev(ctx context.Context, caseID string) (int64, error) {
	return w.s.Casework.CaseRev(ctx, caseID)
}

// EditCase writes what differs from what was shown: words that the editor left
// alone are nobody's conflict.
func (w worker) EditCase(ctx context.Context, caseID string, rev int64, title, summary string, saw impound.Case) error {
	var e casework.Edit
	if title != saw.Title {
		e.Title = &title
	}
	if summary != saw.Summary {
		e.Summary = &summary
	}
	return w.s.Casework.EditCase(ctx, impound.PrincipalOf(ctx).ID, caseID, rev, e, saw)
}

func (w worker) AddTask(ctx context.Context, caseID string, t impound.Task) error {
	_, err := w.s.Casework.AddTask(ctx, impound.PrincipalOf(ctx).ID, caseID, t)
	return err
}

func (w worker) DoneTask(ctx context.Context, caseID, taskID string) error {
	return w.s.Casework.DoneTask(ctx, impound.PrincipalOf(ctx).ID, caseID, taskID)
}

func (w worker) States(from impound.DomainState) []impound.DomainState {
	return casework.NextStates(from)
}

func (w worker) MoveName(ctx context.Context, caseID string, n impound.Name, from, to impound.DomainState, why string) error {
	return w.s.Casework.MoveState(ctx, impound.PrincipalOf(ctx).ID, caseID, n, from, to, why)
}
