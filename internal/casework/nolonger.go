package casework

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
)

// A supplement adds names and takes none away: what its parent lists stays listed
// until the court says otherwise. But the recipient of both must know which of
// the earlier names are not acted on any more, or he works through a list that is
// partly void.

// NoLonger is a name of an earlier order of the family that is not acted on.
type NoLonger struct {
	Name  impound.Name `json:"name"`
	Order string       `json:"order"` // that lists it
	Why   string       `json:"why"`   // without what people wrote: the paper is served
}

// noLonger gives the names of the orders that o supplements which are without
// effect now, by order and name, or why the paper does not say which.
func (s *Service) noLonger(ctx context.Context, o *impound.Order) (out []NoLonger, unsaid string, err error) {
	if o.Parent == nil {
		return nil, "", nil
	}
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, "", err
	}
	x := s.sightFor(view, ctx)
	if _, ok := view.orders[o.Parent.ID]; !ok || !x.Order(o.Parent.ID) {
		return nil, "Order " + o.Parent.ID + ", which this one supplements, is not filed here.", nil
	}
	family, err := s.family(view, o.Parent.ID)
	if err != nil {
		return nil, "", err
	}
	c, err := s.Case(ctx, o.Case)
	if err != nil {
		return nil, "", err
	}
	state := make(map[impound.Name]impound.CaseDomain, len(c.Domains))
	for _, d := range c.Domains {
		state[d.Name] = d
	}
	own := map[impound.Name]bool{}
	for _, on := range o.Names() {
		own[on.Name] = true
	}
	now := s.now()
	var others []string
	for _, p := range family {
		if p.ID == o.ID {
			continue
		}
		// Who was served with one order is told nothing of another's recipient.
		if !sameRecipient(p.Recipient, o.Recipient) {
			others = append(others, p.ID)
			continue
		}
		d, err := s.filed(view.orders[p.ID])
		if err != nil {
			return nil, "", err
		}
		whole := ""
		if at, ended := view.ended(p.ID); ended {
			whole = "order " + p.ID + " was withdrawn on " + at.UTC().Format(time.DateOnly)
		} else if m, err := s.mandate(view, p.ID, 0); err != nil {
			whole = "order " + p.ID + " is out of effect"
		} else if _, until := m.Window(); !now.Before(until) {
			whole = "order " + p.ID + " lapsed on " + until.UTC().Format(time.DateOnly)
		}
		blocked := d.blocked(view)
		for _, n := range d.names {
			why := whole
			switch {
			case why != "":
			case state[n].State == impound.StateReleased:
				why = "given back"
				if h := state[n].History; len(h) > 0 {
					why += " on " + h[len(h)-1].At.UTC().Format(time.DateOnly)
				}
			case len(blocked[n]) > 0:
				why = outInWords(view, n, blocked[n][0])
			}
			if why != "" && !own[n] {
				out = append(out, NoLonger{n, p.ID, why})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b NoLonger) int { return strings.Compare(a.Name.String(), b.Name.String()) })
	if len(others) > 0 {
		unsaid = fmt.Sprintf("What became of the names of %s is not said here: it is addressed to another recipient.", strings.Join(others, ", "))
		if len(others) > 1 {
			unsaid = strings.Replace(unsaid, "it is addressed", "they are addressed", 1)
		}
	}
	return out, unsaid, nil
}

func sameRecipient(a, b impound.Recipient) bool {
	if a.IANAID != 0 && b.IANAID != 0 {
		return a.IANAID == b.IANAID
	}
	return strings.EqualFold(strings.TrimSpace(a.Name), strings.TrimSpace(b.Name))
}

// outInWords says for a served paper why a name is kept out.
func outInWords(view ledgerView, n impound.Name, v impound.GateVerdict) string {
	switch v.Gate {
	case gate.G13:
		if d, ok := view.last(n, WhatContest); ok {
			return "contested since " + d.At.UTC().Format(time.DateOnly) + ", and not decided"
		}
		return "contested, and not decided"
	case gate.G15:
		return "whose name it is has to be settled first"
	case gate.G7:
		return "its disclosure is not consented to"
	}
	_, what, _ := strings.Cut(v.Gate, "-")
	return "kept out by the check of " + strings.ReplaceAll(what, "-", " ")
}

// nothingTaken is the rule that the section stands under.
func (a Appendix) nothingTaken() string {
	return fmt.Sprintf("This appendix adds names and takes none away: what order %s and its other supplements list stays listed until the authority that made them says otherwise.", a.Parent.ID)
}
