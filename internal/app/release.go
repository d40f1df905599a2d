package app

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/telemetry"
)

// Letting a name go is an act with a risk check of its own: what was taken down
// and came free was bought again, often by the actor, with all who still come to
// it (NDSS 2019: 14 % of the names came free within ten months).

// What is asked before a name is let go.
const (
	RiskVisitors  = "R1-visitors"
	RiskMail      = "R2-mail"
	RiskPopular   = "R3-popular"
	RiskLookalike = "R4-lookalike"
	RiskWho       = "R5-who-gets-it"
	RiskOrders    = "R6-other-orders"
	RiskContest   = "R7-contest"
	RiskCustody   = "R8-custody-terms"
)

// riskDays is how far back visitors count: people come back to an old link for
// weeks.
const riskDays = 90

// Risks says what speaks against letting names of an order go, name by name.
func (s *System) Risks(ctx context.Context, orderID, how string, names ...impound.Name) (map[impound.Name][]impound.GateVerdict, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	if !x.Order(orderID) {
		orderID = noSuch
	}
	m, err := s.Mandate(ctx, orderID)
	if err != nil {
		return nil, err
	}
	out := map[impound.Name][]impound.GateVerdict{}
	for _, n := range names {
		if out[n], err = s.risks(ctx, m, n, how); err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (s *System) risks(ctx context.Context, m *impound.Mandate, n impound.Name, how string) ([]impound.GateVerdict, error) {
	now := s.now().UTC()
	var out []impound.GateVerdict
	say := func(what string, o impound.Outcome, format string, args ...any) {
		out = append(out, impound.GateVerdict{Gate: what, Outcome: o, Reason: fmt.Sprintf(format, args...), AsOf: now})
	}
	// A withdrawal counts at once, not only when the order is proven again.
	if why, err := s.Casework.Ended(ctx, m.ID()); err != nil {
		return nil, err
	} else if why != "" {
		say(gate.G12, impound.GateBlock, "%s", why)
		return out, nil
	}
	o := m.Order()
	acts, _ := o.ActsFor(n)
	free := how != impound.ReleaseRestore // anybody may have it in the end

	if err := s.riskVisitors(ctx, m, n, acts, now, say); err != nil {
		return nil, err
	}
	lists := s.lists.now()
	if lists == nil {
		say(RiskPopular, impound.GateWarn, "not known: no list of popular names is here (impound lists update)")
	} else if r, ok := lists.Rank(n); !ok {
		say(RiskPopular, impound.GateWarn, "not known: no list of popular names is here (impound lists update)")
	} else if r.Place > 0 {
		say(RiskPopular, impound.GateBlock, "it is number %d of the %d names of %s: many come to it", r.Place, r.Of, r.Source)
	} else {
		say(RiskPopular, impound.GatePass, "it is not among the %d names of %s", r.Of, r.Source)
	}
	bm, err := s.brands()
	if err != nil {
		return nil, err
	}
	switch h, ok := bm.Match(n.String()); {
	case ok && h.Brand != "" && free:
		say(RiskLookalike, impound.GateBlock, "it imitates %s: whoever buys it has a trap that works", h.Brand)
	case ok && h.Brand != "":
		say(RiskLookalike, impound.GateWarn, "it imitates %s", h.Brand)
	default:
		say(RiskLookalike, impound.GatePass, "it imitates no brand that is known here")
	}
	v, verr := s.Seizure.Look(ctx, n)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case verr != nil:
		say(RiskWho, impound.GateUnknown, "the provider could not be asked: %v", verr)
	case !v.Exists:
		say(RiskWho, impound.GateWarn, "it is not registered any more: anybody can have it now")
	case how == impound.ReleaseRestore:
		say(RiskWho, impound.GateWarn, "whoever held it before has it again: registrant %s at %s", cmp.Or(v.Registrant, "not told"), cmp.Or(v.Sponsor, "a registrar not told"))
	case how == impound.ReleaseDelete:
		say(RiskWho, impound.GateWarn, "anybody can register it about 35 days after it is deleted, the actor too; keeping it costs a renewal a year")
	case v.Expires.IsZero():
		say(RiskWho, impound.GateWarn, "the provider does not tell when its registration ends; then anybody can register it, the actor too")
	default:
		say(RiskWho, impound.GateWarn, "its registration ends on %s, and some 80 days later anybody can register it, the actor too; keeping it costs a renewal a year", v.Expires.UTC().Format(time.DateOnly))
	}
	ms, err := s.Casework.Mandates(impound.AsSystem(ctx))
	if err != nil && impound.KindOf(err) != impound.KindPartial {
		return nil, err
	}
	var others []string
	for _, x := range ms {
		if _, ok := x.Acts(n); ok && x.ID() != m.ID() && x.InForce(now) {
			others = append(others, x.ID())
		}
	}
	if len(others) > 0 {
		// Perhaps of a case that whoever asks may not know of: not which.
		say(RiskOrders, impound.GateBlock, "another order in force holds it")
	} else {
		say(RiskOrders, impound.GatePass, "no other order in force holds it")
	}
	ds, err := s.Casework.Decisions(impound.AsSystem(ctx), n)
	if err != nil {
		return nil, err
	}
	contested := false
	for _, d := range ds {
		switch d.What {
		case casework.WhatContest:
			contested = true
		case casework.WhatContestEnd:
			contested = false
		}
	}
	switch {
	case contested && free:
		say(RiskContest, impound.GateBlock, "somebody says that it is theirs, and that is not settled: settle it first")
	case contested:
		say(RiskContest, impound.GateWarn, "somebody says that it is theirs, and that is not settled")
	default:
		say(RiskContest, impound.GatePass, "nobody contests it")
	}
	if c := o.Custody; c != nil && c.NoRelease && free {
		say(RiskCustody, impound.GateBlock, "the order says that its names are not to come free")
	} else {
		say(RiskCustody, impound.GatePass, "the order does not say that it must be kept")
	}
	return out, nil
}

// riskVisitors says who still comes to n.
func (s *System) riskVisitors(ctx context.Context, m *impound.Mandate, n impound.Name, acts impound.Acts, now time.Time, say func(string, impound.Outcome, string, ...any)) error {
	if !acts.Sinkhole {
		say(RiskVisitors, impound.GateUnknown, "nobody counted who comes: the order has no sinkhole for it")
		say(RiskMail, impound.GateUnknown, "nobody counted the mail that comes to it")
		return nil
	}
	st, err := s.Seizure.Status(ctx, m.ID())
	if err != nil {
		return err
	}
	days := 0
	for _, x := range st {
		if x.Name == n && x.FormerPlan != "" {
			if es, err := s.Evidence.Select(ctx, evidence.Filter{Order: m.ID(), Name: n, What: "seize.update", Type: impound.EntryResult}); err == nil && len(es) > 0 {
				days = int(now.Sub(es[0].Entry.At).Hours() / 24)
			}
		}
	}
	f := telemetry.Filter{Zone: n.String(), From: now.AddDate(0, 0, -riskDays), To: now.Add(time.Minute)}
	counts, err := s.Telemetry.Counts(ctx, f)
	if err != nil {
		return err
	}
	victims, others := counts[impound.ClassVictim], counts[impound.ClassUnclear]+counts[impound.ClassResolver]
	switch {
	case victims > 0:
		say(RiskVisitors, impound.GateBlock, "victims still come: %d contacts in the last %d days. Whoever has it next has them", victims, riskDays)
	case others > 0:
		say(RiskVisitors, impound.GateWarn, "no victim was told apart in the last %d days, but %d contacts and questions by resolvers came", riskDays, others)
	case days < riskDays:
		say(RiskVisitors, impound.GateWarn, "nobody came, but it has been watched for %d days only; %d are better", days, riskDays)
	default:
		say(RiskVisitors, impound.GatePass, "nobody came in the last %d days", riskDays)
	}
	f.Proto, f.Limit = impound.ProtoSMTP, 1000
	mails, err := s.Telemetry.Contacts(ctx, f)
	if err != nil {
		return err
	}
	mails = slices.DeleteFunc(mails, func(c impound.Contact) bool {
		return c.Class == impound.ClassScanner || c.Class == impound.ClassResearcher
	})
	if len(mails) > 0 {
		say(RiskMail, impound.GateBlock, "mail still comes to it (%d times in the last %d days): whoever has it next reads it", len(mails), riskDays)
	} else {
		say(RiskMail, impound.GatePass, "no mail came in the last %d days", riskDays)
	}
	return nil
}

// Release makes a plan that lets names of an order go, in the name of by. With
// orderID "" it is the one order under which they were taken; with how.How "" the
// one way that it allows.
func (s *System) Release(ctx context.Context, by, orderID string, how seizure.LettingGo, names ...impound.Name) (*seizure.Plan, error) {
	if err := s.may(ctx, "Release", by); err != nil {
		return nil, err
	}
	if orderID == "" {
		var err error
		if orderID, err = s.takenUnder(ctx, names); err != nil {
			return nil, err
		}
	}
	m, err := s.Mandate(ctx, orderID)
	if err != nil {
		return nil, err
	}
	if how.How == "" {
		o := m.Order()
		ways := o.ReleaseHow()
		if len(ways) > 1 {
			return nil, impound.Errorf(impound.KindInvalid, "order %s lets names go in more than one way: %s", orderID, strings.Join(ways, ", ")).WithCure("choose with --how")
		}
		if len(ways) == 1 {
			how.How = ways[0]
		}
	}
	return s.Seizure.As(by).Release(ctx, m, how, names...)
}

// takenUnder gives the order under which all the names are taken now.
func (s *System) takenUnder(ctx context.Context, names []impound.Name) (string, error) {
	ms, err := s.Casework.Mandates(ctx)
	if err != nil && impound.KindOf(err) != impound.KindPartial {
		return "", err
	}
	var found []string
	for _, m := range ms {
		st, err := s.Seizure.Status(ctx, m.ID())
		if err != nil {
			return "", err
		}
		held := map[impound.Name]bool{}
		for _, x := range st {
			held[x.Name] = x.FormerPlan != "" && x.Reverted == ""
		}
		if !slices.ContainsFunc(names, func(n impound.Name) bool { return !held[n] }) {
			found = append(found, m.ID())
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return "", impound.Errorf(impound.KindNotFound, "no one order took all of these names, or they were let go already").WithCure("name the order: impound seize release ORDER NAME...")
	}
	return "", impound.Errorf(impound.KindInvalid, "more than one order took these names: %s", strings.Join(found, ", ")).WithCure("name the order: impound seize release ORDER NAME...")
}

// withoutReleased takes names out of mandates that were let go under them: the
// sinkhole answers for them no more. It goes by the evidence log.
func (s *System) withoutReleased(ctx context.Context, ms []*impound.Mandate) ([]*impound.Mandate, error) {
	gone, err := s.released(ctx)
	if err != nil || len(gone) == 0 {
		return ms, err
	}
	ms = slices.Clone(ms)
	for i, m := range ms {
		if names := gone[m.ID()]; len(names) > 0 {
			ms[i] = m.Without(names...)
		}
	}
	return ms, nil
}

// released gives the names that were let go, by order.
func (s *System) released(ctx context.Context) (map[string][]impound.Name, error) {
	type key struct {
		order string
		name  impound.Name
	}
	last := map[key]int64{}
	gone := map[key]bool{}
	for _, what := range []string{seizure.WhatReleased, seizure.WhatRetaken} {
		es, err := s.Evidence.Select(ctx, evidence.Filter{What: what})
		if err != nil {
			return nil, fmt.Errorf("couldn't read which names were let go: %w", err)
		}
		for _, e := range es {
			k := key{e.Entry.Order, e.Entry.Name}
			if at, ok := last[k]; !ok || e.Index > at {
				last[k], gone[k] = e.Index, what == seizure.WhatReleased
			}
		}
	}
	out := map[string][]impound.Name{}
	for k, yes := range gone {
		if yes {
			out[k.order] = append(out[k.order], k.name)
		}
	}
	for _, names := range out {
		slices.SortFunc(names, func(a, b impound.Name) int { return strings.Compare(a.String(), b.String()) })
	}
	return out, nil
}
