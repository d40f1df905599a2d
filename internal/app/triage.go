package app

import (
	"context"
	"fmt"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

// SupplementAsk says which supplement is wanted. What is left empty is found,
// where there is one answer alone.
type SupplementAsk struct {
	Case   string
	Names  []impound.Name // promoted just now: they are looked at first
	Order  string         // the order to supplement; empty: the case's one order in force
	Clause string         // of it that allows supplements; empty: that of its last supplement
	ID     string         // of the supplement; empty: ORDER-S1, -S2 ...
	How    Light
}

// SupplementMade is a draft with what was found on the way.
type SupplementMade struct {
	casework.SupplementDraft
	Parent  string               `json:"parent"`
	Clause  string               `json:"clause"`
	Report  casework.OrderReport `json:"report"`
	Missing string               `json:"missing,omitempty"` // evidence that could not be had
}

// DraftSupplement looks at names of a case from outside, keeps what was seen as
// evidence, drafts the next appendix to its order, and runs the gates on it. The
// draft is in force for nothing until people sign and file it. done is called
// for each name that was looked at.
func (s *System) DraftSupplement(ctx context.Context, by string, ask SupplementAsk, done func(impound.Name, []Captured)) (SupplementMade, error) {
	var out SupplementMade
	err := s.may(ctx, "DraftSupplement", by)
	if err != nil {
		return out, err
	}
	if out.Parent, out.Clause, ask.ID, err = s.supplementTerms(ctx, ask); err != nil {
		return out, err
	}
	if err := s.gather(ctx, by, ask.Case, ask.Names, ask.How, done); err != nil {
		switch impound.KindOf(err) {
		case impound.KindAuth, impound.KindNotFound:
			return out, err
		}
		if ctx.Err() != nil {
			return out, err
		}
		out.Missing = err.Error() // the gates say what it leaves unknown
	}
	if out.SupplementDraft, err = s.Casework.Supplement(ctx, out.Parent, out.Clause, ask.Case, ask.ID); err != nil {
		return out, err
	}
	out.Report, err = s.Casework.CheckOrder(ctx, ask.ID+".yaml", out.Document)
	return out, err
}

// gather captures evidence of those of names that are in the case without any.
func (s *System) gather(ctx context.Context, by, caseID string, names []impound.Name, how Light, done func(impound.Name, []Captured)) error {
	var todo []impound.Name
	for _, n := range names {
		d, err := s.Casework.Domain(ctx, caseID, n)
		if err != nil {
			return err
		}
		if len(d.Evidence) == 0 {
			todo = append(todo, n)
		}
	}
	if len(todo) == 0 {
		return nil
	}
	return s.Capture(ctx, by, caseID, todo, how, done)
}

// supplementTerms finds what ask leaves open.
func (s *System) supplementTerms(ctx context.Context, ask SupplementAsk) (order, clause, id string, err error) {
	rows, err := s.Casework.Orders(ctx)
	if err != nil {
		return "", "", "", err
	}
	taken := map[string]bool{}
	var roots []string
	now := s.now()
	for _, r := range rows {
		taken[r.ID] = true
		if r.Case == ask.Case && r.Parent == "" && r.Ended.IsZero() && now.Before(r.Until) {
			roots = append(roots, r.ID)
		}
	}
	order = ask.Order
	if order == "" {
		switch len(roots) {
		case 0:
			return "", "", "", impound.Errorf(impound.KindNotFound, "case %s has no order that lasts: there is nothing to supplement", ask.Case).WithCure("draft an order: impound order draft " + ask.Case)
		case 1:
			order = roots[0]
		default:
			return "", "", "", impound.Errorf(impound.KindInvalid, "case %s has %d orders: which is to be supplemented?", ask.Case, len(roots)).WithCure("say it with --order, one of " + strings.Join(roots, ", "))
		}
	}
	clause = strings.TrimSpace(ask.Clause)
	n := 0
	for _, r := range rows {
		if r.Parent != order {
			continue
		}
		n++
		if _, o, _, err := s.Casework.Order(ctx, r.ID); err == nil && o.Parent != nil && ask.Clause == "" {
			clause = o.Parent.Clause // the newest says it
		}
	}
	if clause == "" {
		return "", "", "", impound.Errorf(impound.KindInvalid, "which clause of %s allows supplements? It has none yet that would tell", order).WithCure("give its number, such as 7 (--clause on the command line)")
	}
	id = ask.ID
	for i := n + 1; id == "" || ask.ID == "" && taken[id]; i++ {
		id = fmt.Sprintf("%s-S%d", order, i)
	}
	return order, clause, id, nil
}
