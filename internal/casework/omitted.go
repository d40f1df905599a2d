package casework

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/store"
)

// G6 asks of an order that every name of the actor's set is in it, or why not.
// The half that speaks of the names that are in is the gate's own; this is the
// other half.

// leftOut says of every name that the order doesn't list, of its case and of the
// actor's other cases that x holds, why that is, as far as it can be told from
// what is known: the strongest reason alone. A name of which nothing is known
// that keeps it out says so, for somebody to decide.
func (s *Service) leftOut(ctx context.Context, view ledgerView, x Sight, a *Asking, c impound.Case) ([]LeftOut, error) {
	now := s.now()
	in := make(map[impound.Name][]string, 4) // other orders that hold a name, by when they were filed
	for _, id := range view.orderIDs {
		if id == a.order.ID || !x.Order(id) {
			continue
		}
		f := view.orders[id]
		if f.entry.Case != c.ID && view.actors[f.entry.Case] != c.Actor {
			continue
		}
		d, err := s.filed(f)
		if err != nil {
			return nil, err
		}
		word := "order " + id + " holds it"
		if at, ended := view.ended(id); ended {
			word = "order " + id + " held it, and was withdrawn on " + at.UTC().Format(time.DateOnly)
		} else if m, err := s.mandate(view, id, 0); err == nil {
			if _, until := m.Window(); !now.Before(until) {
				word = "order " + id + " held it, and lapsed on " + until.UTC().Format(time.DateOnly)
			}
		}
		for _, n := range d.names {
			in[n] = append(in[n], word)
		}
	}
	zones := map[string]bool{}
	for _, on := range a.names {
		z, _ := on.Name.PublicSuffix()
		zones[z.String()] = true
	}
	claims := map[impound.Name][]string{}
	var sets []impound.Case // the case, and the actor's others
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		all, err := store.Values[impound.Case](tx, store.Query{Kind: kindCase})
		if err != nil {
			return err
		}
		sets = []impound.Case{c}
		for _, k := range all {
			if k.ID == c.ID || k.Actor == "" || !x.Case(k.ID) || len(view.seals[k.ID].Parties) > 0 && !slices.Contains(view.seals[k.ID].Parties, x.id) {
				continue
			}
			if k.Domains, err = readDomains(tx, k.ID, 0, 0); err != nil {
				return err
			}
			if k.Actor == c.Actor {
				sets = append(sets, k)
				continue
			}
			for _, d := range k.Domains {
				if d.State != impound.StateReleased {
					claims[d.Name] = append(claims[d.Name], k.Actor)
				}
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	lists, _ := s.gates()
	seen := map[impound.Name]bool{}
	var out []LeftOut
	for _, k := range sets {
		for _, d := range k.Domains {
			if _, listed := a.at[d.Name]; listed || seen[d.Name] {
				continue
			}
			seen[d.Name] = true
			why := s.whyOut(view, lists, d, k, in[d.Name], claims[d.Name], zones)
			if k.ID != c.ID {
				why = "case " + k.ID + " of the same actor has it: " + why
			}
			out = append(out, LeftOut{d.Name, why})
		}
	}
	return out, nil
}

func (s *Service) whyOut(view ledgerView, lists *gate.Lists, d impound.CaseDomain, k impound.Case, held, claims []string, zones map[string]bool) string {
	if len(held) > 0 {
		return held[len(held)-1]
	}
	if why := view.contest(d.Name); why != "" {
		return why
	}
	last := ""
	if n := len(d.History); n > 0 {
		if h := d.History[n-1]; h.Why != "" {
			last = " (" + h.By + " on " + h.At.UTC().Format(time.DateOnly) + ": " + h.Why + ")"
		}
	}
	switch d.State {
	case impound.StateReleased:
		return "it was given back" + last
	case impound.StateContested:
		return "it is contested" + last
	case impound.StateBlocked:
		for _, v := range d.Verdicts {
			if v.Outcome == impound.GateBlock {
				return "gate " + v.Gate + " keeps it out: " + v.Reason
			}
		}
		return "a gate keeps it out" + last
	}
	decided := ""
	if x, ok := view.last(d.Name, WhatAttribute); ok {
		decided = x.Actor
	}
	switch {
	case decided != "" && decided != k.Actor:
		return "it was decided to be " + decided + "'s, not " + orNone(k.Actor)
	case decided == "" && len(claims) > 0:
		slices.Sort(claims)
		return fmt.Sprintf("cases of %s claim it too, and nobody has decided whose it is: impound case attribute %s", strings.Join(slices.Compact(claims), ", "), d.Name.Defanged())
	}
	for _, v := range gate.Offline(d.Name, lists) {
		if v.Outcome == impound.GateBlock {
			return "gate " + v.Gate + " would keep it out: " + v.Reason
		}
	}
	if reg, err := d.Name.RegistryDomain(); err != nil || reg != d.Name {
		return "a registry can't act on it: it is no registrable domain"
	}
	m := d.Marking.In(k.Marking())
	if m.Originator != "" {
		if _, ok := view.last(d.Name, WhatConsent); !ok {
			return m.Originator + ", who gave it to us, has not consented that it is disclosed: impound case consent " + d.Name.Defanged()
		}
	}
	switch {
	case !m.TLP.Within(impound.TLPAmberStrict):
		return "it is marked TLP:RED"
	case !m.PAP.Within(impound.PAPGreen):
		return "it is marked PAP:" + strings.ToUpper(string(m.PAP)) + ", above PAP:GREEN"
	}
	if z, _ := d.Name.PublicSuffix(); len(zones) > 0 && !zones[z.String()] {
		return "it lies below ." + z.String() + ", where the order has no name: another registry may run that, and need an order of its own"
	}
	switch {
	case d.State == impound.StateCandidate && len(d.Evidence) == 0:
		return "it is still a candidate, without evidence: impound evidence capture " + d.Name.Defanged() + " --case " + k.ID
	case d.State == impound.StateCandidate, d.State == impound.StateEvidenced:
		return fmt.Sprintf("it is %s, with %d artefacts, and nobody has proposed it", d.State, len(d.Evidence))
	}
	return "nothing that is known keeps it out: put it in, or note why not"
}

func orNone(actor string) string {
	if actor == "" {
		return "this case's"
	}
	return actor + "'s"
}
