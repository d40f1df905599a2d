package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

// Deadline is a date on which somebody must have done something, or something
// ends: of an order's own words, or of what it holds.
type Deadline struct {
	Due   time.Time    `json:"due"`
	Order string       `json:"order"`
	Case  string       `json:"case"`
	Name  impound.Name `json:"name,omitzero"`
	Kind  string       `json:"kind"`
	What  string       `json:"what"` // for people, names defanged
	Who   string       `json:"who,omitempty"`
}

// Kinds of deadlines.
const (
	DueOrder    = "order"   // the order's own list
	DueExecute  = "execute" // the instant at which all act
	DueConfirm  = "confirm" // recipients say that it is done
	DueUnseal   = "unseal"  // the seal lifts
	DueLapse    = "lapse"   // the order ends
	DueExpiry   = "expiry"  // a registration ends, as the order was drawn up
	DueContest  = "contest" // a contest must be answered
	dueSoon     = 7 * 24 * time.Hour
	dueStays    = 7 * 24 * time.Hour // a deadline that passed is told for so long
	contestDays = 14                 // where the order gives none
)

// Deadlines gives the deadlines of every order that the caller may see, from
// since on, by date: also of orders that are not in force yet, and of those that
// have lapsed where something is still open. What was found of registrations
// later than the order is custody's: [System.Alarms].
func (s *System) Deadlines(ctx context.Context, since time.Time) ([]Deadline, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	ms, err := s.Casework.Mandates(ctx)
	if err != nil && impound.KindOf(err) != impound.KindPartial {
		return nil, err
	}
	var out []Deadline
	for _, m := range ms {
		if !x.Order(m.ID()) {
			continue
		}
		ds, err := s.deadlines(ctx, m)
		if err != nil {
			return nil, err
		}
		out = append(out, ds...)
	}
	out = slices.DeleteFunc(out, func(d Deadline) bool { return d.Due.Before(since) })
	slices.SortStableFunc(out, func(a, b Deadline) int {
		if c := a.Due.Compare(b.Due); c != 0 {
			return c
		}
		return strings.Compare(a.Order+a.Kind+a.Name.String(), b.Order+b.Kind+b.Name.String())
	})
	return out, nil
}

// deadlines gives those of one order.
func (s *System) deadlines(ctx context.Context, m *impound.Mandate) ([]Deadline, error) {
	o := m.Order()
	var out []Deadline
	add := func(due time.Time, kind string, n impound.Name, who, format string, args ...any) {
		if !due.IsZero() {
			out = append(out, Deadline{due.UTC(), o.ID, o.Case, n, kind, fmt.Sprintf(format, args...), who})
		}
	}
	none := impound.Name{}
	for _, d := range o.Deadlines {
		add(d.Due, DueOrder, none, d.Who, "%s", d.What)
	}
	add(o.ExecuteAt, DueExecute, none, o.Recipient.Name, "execute order %s", o.ID)
	add(o.ConfirmBy, DueConfirm, none, o.Recipient.Name, "the recipient confirms that order %s is carried out", o.ID)
	add(o.SealedUntil, DueUnseal, none, "", "the seal of order %s lifts", o.ID)
	add(o.Until, DueLapse, none, o.Parties.Counsel, "order %s lapses; at its end: %s", o.ID, o.AtEnd)
	days := contestDays
	if o.Rights != nil && o.Rights.ContestDays > 0 {
		days = o.Rights.ContestDays
	}
	payer := ""
	if o.Custody != nil {
		payer = o.Custody.RenewalBy
	}
	names := make([]impound.Name, 0, len(o.Names()))
	for _, on := range o.Names() {
		names = append(names, on.Name)
	}
	decided, err := s.Casework.DecisionsOf(ctx, names)
	if err != nil {
		return nil, err
	}
	for _, on := range o.Names() {
		if on.Expires.Before(o.Until.Add(expirySoon)) { // else it is no concern of this order's
			add(on.Expires, DueExpiry, on.Name, payer, "the registration of %s ends, as the order was drawn up", on.Name.Defanged())
		}
		var open time.Time
		for _, d := range decided[on.Name] {
			switch {
			case d.What == casework.WhatContest && open.IsZero():
				open = d.At
			case d.What == casework.WhatContestEnd:
				open = time.Time{}
			}
		}
		if !open.IsZero() {
			add(open.AddDate(0, 0, days), DueContest, on.Name, o.Parties.Counsel, "the contest of %s, made on %s, must be answered", on.Name.Defanged(), open.Format(time.DateOnly))
		}
	}
	if s.Evidence == nil {
		return out, nil
	}
	claims, err := s.Claims(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range claims {
		if c.State == "open" && slices.Contains(c.Order, o.ID) {
			add(c.Due, DueContest, c.Name, o.Parties.Counsel, "claim %s on %s, made by the public form on %s, must be answered", c.Ref, c.Name.Defanged(), c.At.Format(time.DateOnly))
		}
	}
	return out, nil
}

// dueAlarms are the deadlines that are near or have just passed, as custody tells
// them. What custody says in other words already is left out.
func (s *System) dueAlarms(ctx context.Context, m *impound.Mandate, now time.Time) ([]Alarm, error) {
	ds, err := s.deadlines(ctx, m)
	var out []Alarm
	for _, d := range ds {
		if d.Kind == DueLapse || d.Kind == DueExpiry || d.Kind == DueUnseal || d.Due.After(now.Add(dueSoon)) || d.Due.Before(now.Add(-dueStays)) {
			continue
		}
		word := "is due on"
		if !d.Due.After(now) {
			word = "was due on"
		}
		who := ""
		if d.Who != "" {
			who = " (" + d.Who + ")"
		}
		out = append(out, Alarm{Name: d.Name, Kind: AlarmDeadline, Text: fmt.Sprintf("%s%s: it %s %s", d.What, who, word, d.Due.Format(time.DateTime)), Cure: "see that it is done, and in time", Cmd: "impound order deadlines " + m.ID()})
	}
	return out, err
}
