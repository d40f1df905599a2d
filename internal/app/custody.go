package app

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/store"
	"github.com/impound/impound/internal/web"
)

// Custody is looking again, for as long as names are ours to keep: what was
// ordered shows that it lasts, or somebody is told. It changes nothing.

const (
	// custodyStart is how long after the start custody looks first, so that a
	// process that is restarted often still looks.
	custodyStart = time.Minute
	// expirySoon is how long before a registration ends custody speaks.
	expirySoon = 30 * 24 * time.Hour
	// lapseSoon is how long before an order lapses custody speaks.
	lapseSoon = 7 * 24 * time.Hour
)

// What custody can find.
const (
	AlarmDrift     = "drift"      // a view no longer shows the order
	AlarmUnseen    = "unseen"     // a view could not be had
	AlarmDSBack    = "ds-back"    // a DS is there that was removed
	AlarmExpiry    = "expiry"     // the registration ends soon
	AlarmLapsing   = "lapsing"    // the order lapses soon
	AlarmDelegated = "delegated"  // the order has lapsed, and the name is still delegated to us
	AlarmFault     = "look-fault" // the order could not be looked at
	AlarmDeadline  = "deadline"   // something is due soon, or was due
)

// Alarm is one thing that custody found. The zero Name is the order as a whole.
type Alarm struct {
	Order string       `json:"order"`
	Case  string       `json:"case"`
	Name  impound.Name `json:"name,omitzero"`
	Kind  string       `json:"kind"`
	Text  string       `json:"text"` // for people, names defanged
	Cure  string       `json:"cure,omitempty"`
	Cmd   string       `json:"cmd,omitempty"` // the command that begins to mend it
	At    time.Time    `json:"at"`
}

// custodyDoc is what custody found when it last looked at an order. It is a copy
// for pages; the evidence log holds every alarm.
type custodyDoc struct {
	Order  string    `json:"order"`
	At     time.Time `json:"at"`
	Alarms []Alarm   `json:"alarms,omitempty"`
}

const docCustody = "custody"

func (s *System) custodyLoop(ctx context.Context, every time.Duration) {
	wait := min(custodyStart, every)
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		wait = every
		if alarms, err := s.Custody(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("custody could not look at every order", "alarms", len(alarms), "err", err)
		}
	}
}

// Custody looks at every order once: at the names of those in force in the three
// views, at those that have lapsed in the parent zone. What it finds is recorded
// as custody.alarm, the same finding once a day, and kept for the pages. An
// order that could not be looked at is an alarm and an error, and the others are
// looked at all the same.
// With orders, it looks at those alone.
func (s *System) Custody(ctx context.Context, orders ...string) ([]Alarm, error) {
	if err := s.may(ctx, "Custody", ""); err != nil {
		return nil, err
	}
	ms, err := s.Casework.Mandates(ctx)
	if err != nil && impound.KindOf(err) != impound.KindPartial {
		return nil, err
	}
	for _, id := range orders {
		if !slices.ContainsFunc(ms, func(m *impound.Mandate) bool { return m.ID() == id }) {
			_, err := s.Mandate(ctx, id) // it says why not
			return nil, err
		}
	}
	var out []Alarm
	for _, m := range ms {
		if len(orders) > 0 && !slices.Contains(orders, m.ID()) {
			continue
		}
		a, _, oerr := s.custody(ctx, m, ms)
		out, err = append(out, a...), errors.Join(err, oerr)
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
	}
	return out, err
}

// Drift looks at one order as [System.Custody] does, and gives the names that do
// not, or no longer, show it everywhere. Names that a plan gave back are not
// among them.
func (s *System) Drift(ctx context.Context, orderID string) ([]seizure.NameStatus, error) {
	ms, err := s.Casework.Mandates(ctx)
	for _, m := range ms {
		if m.ID() == orderID {
			_, st, err := s.custody(ctx, m, ms)
			return slices.DeleteFunc(st, func(x seizure.NameStatus) bool { return x.Done || x.Reverted != "" }), err
		}
	}
	if err == nil || impound.KindOf(err) == impound.KindPartial {
		_, err = s.Mandate(ctx, orderID) // it says why not
	}
	return nil, err
}

// custody looks at one order; all are the orders that there are.
func (s *System) custody(ctx context.Context, m *impound.Mandate, all []*impound.Mandate) ([]Alarm, []seizure.NameStatus, error) {
	now := s.now()
	alarms, st, err := s.findings(ctx, m, all, now)
	due, derr := s.dueAlarms(ctx, m, now)
	alarms, err = append(alarms, due...), errors.Join(err, derr)
	if ctx.Err() != nil {
		return alarms, st, ctx.Err()
	}
	if err != nil {
		alarms = append(alarms, Alarm{Kind: AlarmFault, Text: "custody could not look at order " + m.ID() + ": " + err.Error()})
	}
	for i := range alarms {
		a := &alarms[i]
		a.Order, a.Case, a.At = m.ID(), m.Case(), now.UTC()
		_, aerr := s.Evidence.Append(ctx, impound.Entry{
			ID: alarmID(*a), Type: impound.EntrySystem, At: a.At, By: "system", What: "custody.alarm", Case: a.Case, Order: a.Order, Name: a.Name,
			Detail: map[string]string{"kind": a.Kind, "text": a.Text, "cure": a.Cure, "command": a.Cmd},
		})
		if aerr != nil {
			return alarms, st, errors.Join(err, fmt.Errorf("couldn't record an alarm: %w", aerr))
		}
	}
	serr := s.Store.Update(ctx, func(tx store.Tx) error {
		_, err := store.Modify(tx, docCustody, m.ID(), func(d *custodyDoc) (map[string]string, error) {
			*d = custodyDoc{Order: m.ID(), At: now.UTC(), Alarms: alarms}
			return nil, nil
		})
		return err
	})
	return alarms, st, errors.Join(err, serr)
}

// alarmID is the same for the same finding of one day.
func alarmID(a Alarm) string {
	id := "custody/" + a.Order + "/" + a.Kind
	if !a.Name.IsZero() {
		id += "/" + a.Name.String()
	}
	if a.Kind == AlarmDeadline { // an order has many, and their words tell them apart
		id += "/" + strings.TrimPrefix(impound.HashBytes([]byte(a.Text)), "sha256:")[:16]
	}
	return id + "/" + a.At.Format(time.DateOnly)
}

// findings looks, and judges what it sees.
func (s *System) findings(ctx context.Context, m *impound.Mandate, all []*impound.Mandate, now time.Time) ([]Alarm, []seizure.NameStatus, error) {
	var out []Alarm
	_, until := m.Window()
	if !m.InForce(now) {
		if now.Before(until) {
			return nil, nil, nil // not begun: there is nothing to keep yet
		}
		return s.leftBehind(ctx, m, all, now), nil, ctx.Err()
	}
	if left := until.Sub(now); left < lapseSoon {
		out = append(out, Alarm{Kind: AlarmLapsing, Text: fmt.Sprintf("order %s lapses on %s; at its end: %s", m.ID(), until.UTC().Format(time.DateTime), m.Order().AtEnd), Cure: "ask the court for an extension, or plan what happens at its end: when it has lapsed, nothing may be done under it"})
	}
	st, err := s.Verify(ctx, m.ID())
	if err != nil {
		return out, st, err
	}
	known, err := s.Seizure.Status(ctx, m.ID())
	if err != nil {
		return out, st, err
	}
	taken := map[impound.Name]bool{}
	for _, k := range known {
		taken[k.Name] = k.FormerPlan != "" || k.Outcome == seizure.Done || k.Outcome == seizure.Already
	}
	for _, x := range st {
		if !taken[x.Name] || x.Reverted != "" {
			continue // nobody has taken it yet, or somebody gave it back
		}
		out = append(out, s.judge(ctx, m, x, now)...)
	}
	return out, st, nil
}

// judge gives the alarms about one name of an order in force.
func (s *System) judge(ctx context.Context, m *impound.Mandate, x seizure.NameStatus, now time.Time) []Alarm {
	var out []Alarm
	mend := "impound seize plan " + m.ID()
	var off, blind []string
	for _, v := range x.Views {
		switch v.State {
		case seizure.Otherwise, seizure.NotYet:
			off = append(off, v.View+": "+v.Why)
		case seizure.Unknown:
			blind = append(blind, v.View+": "+v.Why)
		}
	}
	if len(off) > 0 {
		out = append(out, Alarm{Name: x.Name, Kind: AlarmDrift, Text: x.Name.Defanged() + " does not show order " + m.ID() + ": " + strings.Join(off, "; "), Cure: "see who changed it, then plan again", Cmd: mend})
	}
	if len(blind) > 0 {
		out = append(out, Alarm{Name: x.Name, Kind: AlarmUnseen, Text: x.Name.Defanged() + " could not be seen: " + strings.Join(blind, "; "), Cure: "look again", Cmd: "impound seize drift " + m.ID()})
	}
	if x.DS {
		out = append(out, Alarm{Name: x.Name, Kind: AlarmDSBack, Text: x.Name.Defanged() + " has a DS again, which order " + m.ID() + " has removed: validating resolvers answer SERVFAIL", Cure: "see who put it back, then plan again", Cmd: mend})
	}
	expires := x.Expires
	if expires.IsZero() {
		if v, err := s.Seizure.Look(ctx, x.Name); err == nil {
			expires = v.Expires
		}
	}
	if !expires.IsZero() && expires.Sub(now) < expirySoon {
		word := "ends"
		if !expires.After(now) {
			word = "ended"
		}
		out = append(out, Alarm{Name: x.Name, Kind: AlarmExpiry, Text: fmt.Sprintf("the registration of %s %s on %s", x.Name.Defanged(), word, expires.UTC().Format(time.DateOnly)), Cure: "have the registrar renew it: else it comes free, and anybody may take it and its visitors"})
	}
	return out
}

// leftBehind gives the names of a lapsed order that are still delegated to its
// name servers: their visitors go on asking us, and nothing allows an answer.
func (s *System) leftBehind(ctx context.Context, m *impound.Mandate, all []*impound.Mandate, now time.Time) []Alarm {
	var out []Alarm
	o := m.Order()
	for _, on := range o.Names() {
		acts := o.Acts
		if on.Acts != nil {
			acts = *on.Acts
		}
		other := slices.ContainsFunc(all, func(x *impound.Mandate) bool {
			_, ok := x.Acts(on.Name)
			return ok && x.InForce(now)
		})
		if len(acts.Nameservers) == 0 || other {
			continue
		}
		v := s.Observe.Parent(ctx, on.Name)
		if ctx.Err() != nil {
			return out
		}
		if slices.ContainsFunc(acts.Nameservers, func(ns impound.Name) bool { return slices.Contains(v.NS, ns.String()) }) {
			out = append(out, Alarm{Name: on.Name, Kind: AlarmDelegated, Text: fmt.Sprintf("%s is still delegated to our name servers, and order %s has lapsed: it gets no answer", on.Name.Defanged(), m.ID()),
				Cure: "file an order that covers it, or have the registry change it; at the order's end: " + o.AtEnd, Cmd: "impound order show " + m.ID()})
		}
	}
	return out
}

// Alarms gives what custody found when it last looked, by order, and what
// sensors could not record.
func (s *System) Alarms(ctx context.Context) ([]Alarm, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	var docs []custodyDoc
	err = s.Store.View(ctx, func(tx store.Tx) (err error) {
		docs, err = store.Values[custodyDoc](tx, store.Query{Kind: docCustody})
		return err
	})
	var out []Alarm
	for _, d := range docs {
		if !x.Order(d.Order) {
			continue
		}
		out = append(out, d.Alarms...)
	}
	if err != nil {
		return out, err
	}
	cs, err := s.Casework.SealedConflicts(ctx)
	if err != nil {
		return out, err
	}
	for _, c := range cs {
		out = append(out, Alarm{Case: c.Case, Name: c.Name, Kind: AlarmClaim, At: s.now().UTC(),
			Text: fmt.Sprintf("order %s of case %s names %s for %s, and the sealed case %s holds it for %s: it is kept out of every plan until one of you settles it, and nobody outside is told why", c.Order, c.OrderCase, c.Name.Defanged(), orNobody(c.Claimed), c.Case, c.Actor),
			Cure: "settle it by a decision, which everybody sees who sees the name; or lift the seal", Cmd: "impound case attribute " + c.Name.Defanged() + " --actor " + c.Actor + " --why ..."})
	}
	gaps, err := s.gapAlarms(ctx)
	return append(out, gaps...), err
}

func (d desk) Alarms(ctx context.Context) ([]web.AlarmView, error) {
	as, err := d.s.Alarms(ctx)
	out := make([]web.AlarmView, 0, len(as))
	for _, a := range as {
		out = append(out, web.AlarmView{Order: a.Order, Case: a.Case, Name: a.Name, Kind: a.Kind, Text: a.Text, Cure: a.Cure, Cmd: a.Cmd, At: a.At})
	}
	return out, err
}

// AlarmClaim is the kind of an alarm, to the parties of a sealed case alone, about
// an order that names one of its names for another actor.
const AlarmClaim = "claim"

func orNobody(s string) string {
	if s == "" {
		return "nobody"
	}
	return s
}

// Revert makes a plan that gives names of an order back, in the name of by; all
// that were taken where none is named.
func (s *System) Revert(ctx context.Context, by, orderID string, names ...impound.Name) (*seizure.Plan, error) {
	if err := s.may(ctx, "Revert", by); err != nil {
		return nil, err
	}
	m, err := s.Mandate(ctx, orderID)
	if err != nil {
		return nil, err
	}
	return s.Seizure.As(by).Revert(ctx, m, names...)
}
