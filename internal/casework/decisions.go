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

// What a [Decision] can be. Each is the What of its entry in the evidence log.
const (
	WhatAttribute     = "case.attribute"      // whose the name is: settles G15. Role: analyst
	WhatContest       = "case.contest"        // somebody says that it is his: blocks by G13. Role: analyst, counsel
	WhatContestEnd    = "case.contest-end"    // the contest is settled. Role: counsel
	WhatOwnerNotice   = "case.owner-notice"   // its owner was told, and how to get it back: G10. Role: analyst, counsel, notifier
	WhatProviderAsked = "case.provider-asked" // its provider was asked first: G2. Role: analyst, counsel, operator
	WhatConsent       = "case.consent"        // whoever gave us the evidence on it allows that it is disclosed: G7. Role: analyst, counsel
)

const (
	whatCaseOpen  = "case.open"
	whatCaseNames = "case.names"
)

var decisionRoles = map[string][]impound.Role{
	WhatAttribute:     {impound.RoleAnalyst},
	WhatContest:       {impound.RoleAnalyst, impound.RoleCounsel},
	WhatContestEnd:    {impound.RoleCounsel},
	WhatOwnerNotice:   {impound.RoleAnalyst, impound.RoleCounsel, impound.RoleNotifier},
	WhatProviderAsked: {impound.RoleAnalyst, impound.RoleCounsel, impound.RoleOperator},
	WhatConsent:       {impound.RoleAnalyst, impound.RoleCounsel},
}

// SignDecision is what the signature of a [Decision] is about.
const SignDecision = "decision"

// Decision is what one person decided, or has to say, of a name. The gates go by
// it, so it is signed, and proven anew from the evidence log each time: a line
// that somebody slips into the log settles nothing.
type Decision struct {
	What      string            `json:"what"`
	Name      impound.Name      `json:"name"`
	Actor     string            `json:"actor,omitempty"` // id, for WhatAttribute
	Why       string            `json:"why"`
	At        time.Time         `json:"at"` // UTC, seconds
	Signature impound.Signature `json:"-"`
}

// Hash is what the person signs, about [SignDecision].
func (d Decision) Hash() string {
	h, err := impound.HashOf(d)
	if err != nil { // it holds nothing that can't be encoded
		panic(err)
	}
	return h
}

// check proves d against the keyring.
func (d Decision) check(ring impound.Keyring) error {
	roles, known := decisionRoles[d.What]
	switch {
	case !known:
		return impound.Errorf(impound.KindInvalid, "%.64q is nothing that is decided of a name", d.What)
	case d.Name.IsZero():
		return impound.Errorf(impound.KindInvalid, "the decision names no name")
	case strings.TrimSpace(d.Why) == "" || len(d.Why) > 4<<10:
		return impound.Errorf(impound.KindInvalid, "the decision gives no reason, or one of more than 4 KB").At(d.Name.Defanged()).WithCure("say why with --why; a judge may read it")
	case d.What == WhatAttribute && !idRule.MatchString(d.Actor):
		return impound.Errorf(impound.KindInvalid, "the decision doesn't say whose the name is").At(d.Name.Defanged()).WithCure("give the id of an actor: impound actor list")
	}
	if err := d.Signature.Verify(SignDecision, d.Hash()); err != nil {
		return err
	}
	p, ok := ring.Person(d.Signature.Person)
	switch {
	case !ok || p.Key != d.Signature.Key:
		return impound.Errorf(impound.KindAuth, "%.64q is not enrolled with this key", d.Signature.Person)
	case !slices.ContainsFunc(roles, p.Has):
		return impound.Errorf(impound.KindAuth, "%s may not do this: it takes the role %s", p.ID, rolesInWords(roles)).WithCure("ask somebody who holds it, or have an admin add the role")
	}
	return nil
}

func rolesInWords(roles []impound.Role) string {
	out := make([]string, len(roles))
	for i, r := range roles {
		out[i] = string(r)
	}
	return strings.Join(out, " or ")
}

func (d Decision) entry() impound.Entry {
	return impound.Entry{ID: entryID(d.What, d.Hash(), d.Signature.Person), Type: impound.EntryDecision, At: d.At, By: d.Signature.Person, What: d.What, Name: d.Name,
		Detail: map[string]string{"actor": d.Actor, "why": d.Why, "decided_at": d.At.Format(time.RFC3339), "key": string(d.Signature.Key), "signed_at": d.Signature.At.Format(time.RFC3339), "sig": d.Signature.Sig, "person": d.Signature.Person}}
}

func decisionOf(e impound.Entry) (Decision, error) {
	d := Decision{What: e.What, Name: e.Name, Actor: e.Detail["actor"], Why: e.Detail["why"]}
	var err error
	if d.At, err = time.Parse(time.RFC3339, e.Detail["decided_at"]); err != nil {
		return d, impound.Errorf(impound.KindInvalid, "the decision's date can't be read: %w", err)
	}
	d.Signature = impound.Signature{Person: e.Detail["person"], Key: impound.PublicKey(e.Detail["key"]), Sig: e.Detail["sig"]}
	if d.Signature.At, err = time.Parse(time.RFC3339, e.Detail["signed_at"]); err != nil {
		return d, impound.Errorf(impound.KindInvalid, "the signature's date can't be read: %w", err)
	}
	d.At, d.Signature.At = d.At.UTC(), d.Signature.At.UTC()
	return d, nil
}

// NewDecision makes a decision to be signed; at is cut to seconds.
func NewDecision(what string, n impound.Name, actor, why string, at time.Time) Decision {
	return Decision{What: what, Name: n, Actor: actor, Why: strings.TrimSpace(why), At: at.UTC().Truncate(time.Second)}
}

// Decide records a signed decision on a name that a case holds; it counts when
// Decide returns. A contest sets the name to contested in each case that holds
// it and takes it out of every mandate, so that nothing more is done to it and no
// sinkhole answers for it, until counsel ends the contest: then it has the state
// from before. Deciding the same again changes nothing.
func (s *Service) Decide(ctx context.Context, d Decision) error {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return err
	}
	if err := d.check(view.ring); err != nil {
		return err
	}
	by := d.Signature.Person
	if p := impound.PrincipalOf(ctx); p.ID != "" && p.ID != by {
		return impound.Errorf(impound.KindAuth, "%.64q asks in the name of %.64q", p.ID, by)
	}
	sees := s.sight(view, by)
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		cases, err := store.Values[impound.Case](tx, store.Query{Kind: kindCase})
		if err != nil {
			return err
		}
		type held struct {
			c   impound.Case
			d   impound.CaseDomain
			rev int64
		}
		var in []held
		for _, c := range cases {
			x, rev, err := getDomain(tx, Sight{all: true}, c.ID, d.Name)
			if impound.KindOf(err) == impound.KindNotFound {
				continue
			} else if err != nil {
				return err
			}
			in = append(in, held{c, x, rev})
		}
		if !slices.ContainsFunc(in, func(h held) bool { return sees.Case(h.c.ID) }) {
			return impound.Errorf(impound.KindNotFound, "no case holds %s", d.Name.Defanged()).WithCure("add it to a case first: impound case add CASE FILE")
		}
		switch d.What {
		case WhatAttribute:
			if !slices.ContainsFunc(in, func(h held) bool { return sees.Case(h.c.ID) && h.c.Actor == d.Actor }) {
				var who []string
				for _, h := range in {
					if !sees.Case(h.c.ID) {
						continue
					}
					who = append(who, h.c.ID+" for "+orNobody(h.c.Actor))
				}
				return impound.Errorf(impound.KindInvalid, "no case claims %s for %s: it is in %s", d.Name.Defanged(), d.Actor, strings.Join(who, ", ")).WithCure("name the actor of one of these cases")
			}
		case WhatContestEnd:
			if view.contest(d.Name) == "" {
				return impound.Errorf(impound.KindConflict, "nobody contests %s", d.Name.Defanged())
			}
		}
		for _, h := range in {
			to := h.d.State
			switch {
			case d.What == WhatContest && to != impound.StateReleased:
				to = impound.StateContested
			case d.What == WhatContestEnd && to == impound.StateContested:
				for i := len(h.d.History) - 1; i >= 0 && to == impound.StateContested; i-- {
					to = h.d.History[i].State
				}
			}
			if to == h.d.State {
				continue
			}
			if err := s.step(ctx, tx, by, h.c.ID, h.rev, h.d, to, d.Why, false); err != nil { // the decision's own entry speaks of it
				return err
			}
		}
		return s.decide(ctx, d.entry())
	})
}

func orNobody(s string) string {
	if s == "" {
		return "nobody"
	}
	return s
}

// Decisions gives what was decided of a name, the oldest first.
func (s *Service) Decisions(ctx context.Context, n impound.Name) ([]Decision, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	return s.sightFor(view, ctx).decisions(n), nil
}

// DecisionsOf gives what was decided of each of names that somebody decided
// something of: [Service.Decisions] of many, at one moment.
func (s *Service) DecisionsOf(ctx context.Context, names []impound.Name) (map[impound.Name][]Decision, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	x := s.sightFor(view, ctx)
	out := map[impound.Name][]Decision{}
	for _, n := range names {
		if len(view.decisions[n]) == 0 {
			continue
		}
		if ds := x.decisions(n); len(ds) > 0 {
			out[n] = ds
		}
	}
	return out, nil
}

// last gives the newest decision of one of these kinds.
func (v ledgerView) last(n impound.Name, what ...string) (Decision, bool) {
	ds := v.decisions[n]
	for i := len(ds) - 1; i >= 0; i-- {
		if slices.Contains(what, ds[i].What) {
			return ds[i], true
		}
	}
	return Decision{}, false
}

// contest says who contests n since when; "" when nobody does.
func (v ledgerView) contest(n impound.Name) string {
	if d, ok := v.last(n, WhatContest, WhatContestEnd); ok && d.What == WhatContest {
		return "contested since " + d.At.Format(time.DateOnly) + ": " + d.Why
	}
	return ""
}

// inform puts what was decided of the input's name into it. claims are the other
// actors that claim it, actor is the one whose case the order belongs to.
func (v ledgerView) inform(in *gate.Input, actor string, claims []string) {
	in.Contest = v.contest(in.Name)
	if d, ok := v.last(in.Name, WhatOwnerNotice); ok {
		in.OwnerTold = d.At
	}
	if d, ok := v.last(in.Name, WhatProviderAsked); ok && in.ProviderContacted.IsZero() {
		in.ProviderContacted = d.At
	}
	if d, ok := v.last(in.Name, WhatConsent); ok {
		in.Consent = d.Signature.Person + " on " + d.At.Format(time.DateOnly) + ": " + d.Why
		for i := range in.Exhibits {
			// Nobody consents to what he has not given yet.
			if x := &in.Exhibits[i]; !x.At.After(d.At) {
				x.Consent = d.Signature.Person + " on " + d.At.Format(time.DateOnly) + ": " + d.Why
			}
		}
	}
	in.Conflicts = claims
	if d, ok := v.last(in.Name, WhatAttribute); ok {
		in.Decided = fmt.Sprintf("%s's by the decision of %s on %s: %s", d.Actor, d.Signature.Person, d.At.Format(time.DateOnly), d.Why)
		if in.Conflicts = nil; d.Actor != actor {
			in.Conflicts = []string{d.Actor}
		}
	}
}

// decided brings verdicts that were recorded when an order was filed up to what
// was decided since: a contest blocks from now on, an attribution settles G15 for
// the actor's own cases and blocks it for others.
func (v ledgerView) decided(n impound.Name, caseID string, vs []impound.GateVerdict) []impound.GateVerdict {
	ds := v.decisions[n]
	if len(ds) == 0 {
		return vs
	}
	vs = slices.DeleteFunc(slices.Clone(vs), func(x impound.GateVerdict) bool { return x.Gate == gate.G13 })
	if d, ok := v.last(n, WhatConsent); ok {
		vs = slices.DeleteFunc(vs, func(x impound.GateVerdict) bool { return x.Gate == gate.G7 && x.AsOf.Before(d.At) })
	}
	in := gate.Input{Name: n}
	v.inform(&in, v.actors[caseID], nil)
	if in.Contest != "" {
		vs = append(vs, gate.Contested(in))
	}
	if in.Decided != "" {
		vs = slices.DeleteFunc(vs, func(x impound.GateVerdict) bool { return x.Gate == gate.G15 })
		vs = append(vs, gate.Attribution(in))
	}
	return vs
}
