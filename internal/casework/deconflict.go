package casework

import (
	"cmp"
	"context"
	"slices"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/store"
)

// A sealed case may claim a name for another actor than the case of an order does
// (G15). Nobody outside of the seal may learn of it from a check, which costs
// nothing and needs nobody else: there the sealed case claims nothing. Its parties
// see the order at once ([Service.SealedConflicts]), and the name is kept out at a
// plan and at an apply ([Service.Unsettled]), for which two approvers signed the
// order over it. docs/trust.md says what that tells.

// Unsettled gives the names of a filed order that a sealed case, to whose parties
// the order's case is another matter, claims for another actor, and on which none
// of its parties has decided for the order's actor. It is the house's own
// question, asked before a name is touched: to everybody else it answers nothing.
func (s *Service) Unsettled(ctx context.Context, m *impound.Mandate) (map[impound.Name]bool, error) {
	if !impound.PrincipalOf(ctx).System {
		return nil, nil
	}
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	f, ok := view.orders[m.ID()]
	if !ok {
		return nil, noOrder(m.ID())
	}
	out := map[impound.Name]bool{}
	for q := range view.seals {
		cs, err := s.conflicts(ctx, view, q, f)
		if err != nil {
			return nil, err
		}
		for _, c := range cs {
			out[c.Name] = true
		}
	}
	return out, nil
}

// UnsettledVerdict is what is said of a name that [Service.Unsettled] holds.
func UnsettledVerdict(in gate.Input) impound.GateVerdict {
	return impound.GateVerdict{Gate: gate.G15, Outcome: impound.GateBlock, AsOf: in.Now.UTC(), Reason: "whose it is must be settled by counsel before it is taken: ask them to look at the attribution"}
}

// SealedConflict is an order that names, for another actor, a name that a sealed
// case claims.
type SealedConflict struct {
	Case      string       `json:"case"` // the sealed one
	Name      impound.Name `json:"name"`
	Actor     string       `json:"actor"` // the sealed case's
	Order     string       `json:"order"`
	OrderCase string       `json:"order_case"`
	Claimed   string       `json:"claimed"` // the actor of the order's case
}

// SealedConflicts gives the conflicts of attribution between the sealed cases to
// which whoever asks is a party and filed orders of other cases that he may see,
// by case, order and name.
func (s *Service) SealedConflicts(ctx context.Context) ([]SealedConflict, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	x := s.sightFor(view, ctx)
	var out []SealedConflict
	if x.all {
		return nil, nil // the house tells nobody
	}
	for q, seal := range view.seals {
		if !slices.Contains(seal.Parties, x.id) {
			continue
		}
		for id, f := range view.orders {
			if _, ended := view.ended(id); ended || !x.Order(id) {
				continue
			}
			cs, err := s.conflicts(ctx, view, q, f)
			if err != nil {
				return nil, err
			}
			out = append(out, cs...)
		}
	}
	slices.SortFunc(out, func(a, b SealedConflict) int {
		return cmp.Or(cmp.Compare(a.Case, b.Case), cmp.Compare(a.Order, b.Order), cmp.Compare(a.Name.String(), b.Name.String()))
	})
	return out, nil
}

// Collision is an order of one sealed case that names, for another actor, a name
// that another sealed case holds.
type Collision struct {
	Order   string         // filed: two approvers signed it
	Case    string         // the order's
	Parties []string       // of its seal
	Other   string         // the other sealed case
	Others  []string       // of that seal
	Names   []impound.Name // in both
	Ordered bool           // a filed order of the other case names one of them too
}

// Collisions gives the filed orders of sealed cases that other sealed cases
// collide with, by order and other case. It is the house's own question, which
// decides whom to tell what ([impound.Principal].System): to everybody else it
// answers nothing.
func (s *Service) Collisions(ctx context.Context) ([]Collision, error) {
	if !impound.PrincipalOf(ctx).System {
		return nil, nil
	}
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	ordered := map[string]map[impound.Name]bool{} // case -> names of its orders
	for id, f := range view.orders {
		if _, ended := view.ended(id); ended || len(view.seals[f.entry.Case].Parties) == 0 {
			continue
		}
		d, err := s.filed(f)
		if err != nil {
			return nil, err
		}
		if ordered[f.entry.Case] == nil {
			ordered[f.entry.Case] = map[impound.Name]bool{}
		}
		for _, n := range d.names {
			ordered[f.entry.Case][n] = true
		}
	}
	var out []Collision
	for id, f := range view.orders {
		own := f.entry.Case
		if _, ended := view.ended(id); ended || len(view.seals[own].Parties) == 0 {
			continue
		}
		for q, seal := range view.seals {
			cs, err := s.conflicts(ctx, view, q, f)
			if err != nil {
				return nil, err
			}
			if len(cs) == 0 {
				continue
			}
			c := Collision{Order: id, Case: own, Parties: view.seals[own].Parties, Other: q, Others: seal.Parties}
			for _, x := range cs {
				c.Names = append(c.Names, x.Name)
				c.Ordered = c.Ordered || ordered[q][x.Name]
			}
			slices.SortFunc(c.Names, func(a, b impound.Name) int { return cmp.Compare(a.String(), b.String()) })
			out = append(out, c)
		}
	}
	slices.SortFunc(out, func(a, b Collision) int { return cmp.Or(cmp.Compare(a.Order, b.Order), cmp.Compare(a.Other, b.Other)) })
	return out, nil
}

// conflicts gives what of the filed order f the sealed case q claims for another
// actor, and what is not settled by one of q's parties.
func (s *Service) conflicts(ctx context.Context, view ledgerView, q string, f filing) ([]SealedConflict, error) {
	seal, own := view.seals[q], f.entry.Case
	mine, theirs := view.actors[q], view.actors[own]
	if len(seal.Parties) == 0 || q == own || mine == "" || mine == theirs {
		return nil, nil
	}
	d, err := s.filed(f)
	if err != nil {
		return nil, err
	}
	claimed := make(map[impound.Name]bool, len(view.names[q]))
	for _, n := range view.names[q] {
		claimed[n] = true
	}
	var out []SealedConflict
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		for _, n := range d.names {
			if !claimed[n] {
				continue
			}
			// A name that was given back is claimed no more; a row that is not
			// there says nothing, so the log's word stands.
			if x, _, err := readDomain(tx, q, n); err == nil && x.State == impound.StateReleased {
				continue
			} else if err != nil && impound.KindOf(err) != impound.KindNotFound {
				return err
			}
			settled := false
			ds := view.decisions[n]
			for i := len(ds) - 1; i >= 0; i-- {
				if ds[i].What == WhatAttribute && slices.Contains(seal.Parties, ds[i].Signature.Person) {
					settled = ds[i].Actor == theirs
					break
				}
			}
			if !settled {
				out = append(out, SealedConflict{q, n, mine, f.entry.Order, own, theirs})
			}
		}
		return nil
	})
	return out, err
}
