package app

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/store"
	"github.com/impound/impound/internal/web"
)

// Custody is looking again, for as long as names are ours to keep: what was
// ordered shows that it lasts, or somebody is told. It changes nothing; but for
// the house itself, which reminds providers that were asked: see Follow.

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
	AlarmStatus    = "status"     // a lock is gone
	AlarmSponsor   = "sponsor"    // another registrar sponsors it
	AlarmDeleting  = "deleting"   // it is being deleted
	AlarmNSExpiry  = "ns-expiry"  // the domain that name servers of ours live under ends soon
	AlarmDangling  = "dangling"   // that domain is free: whoever buys it has every name
	AlarmLame      = "lame"       // a name server of ours does not answer for names that point at it
	AlarmProvider  = "provider"   // a registry's certificate ends soon, or its clock is wrong
	AlarmAnew      = "anew"       // it was let go, and somebody has it
	AlarmDelegated = "delegated"  // the order has lapsed, and the name is still delegated to us
	AlarmFault     = "look-fault" // the order could not be looked at
	AlarmDeadline  = "deadline"   // something is due soon, or was due
	AlarmAsked     = "asked"      // a provider was asked, and somebody must see to it
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
	asked, aerr := s.askedAlarms(ctx, m, now)
	alarms, err = append(append(alarms, due...), asked...), errors.Join(err, derr, aerr)
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
	if a.Name.IsZero() && a.Kind != AlarmLapsing && a.Kind != AlarmFault { // an order has many, and their words tell them apart
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
	taken := map[impound.Name]seizure.Seizure{}
	for _, k := range known {
		if k.FormerPlan != "" || k.Outcome == seizure.Done || k.Outcome == seizure.Already {
			taken[k.Name] = k
		}
	}
	var held []impound.Name
	for _, x := range st {
		k, ok := taken[x.Name]
		switch {
		case !ok: // nobody has taken it yet
		case k.Released != "":
			out = append(out, s.anew(ctx, k)...)
		case x.Reverted != "": // somebody gave it back
		default:
			held = append(held, x.Name)
			out = append(out, s.judge(ctx, m, x, k, now)...)
		}
	}
	out = append(out, s.judgeServers(ctx, m, held, now)...)
	return append(out, s.judgeProviders(ctx, known, now)...), st, ctx.Err()
}

// judge gives the alarms about one name of an order in force.
func (s *System) judge(ctx context.Context, m *impound.Mandate, x seizure.NameStatus, k seizure.Seizure, now time.Time) []Alarm {
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
	if len(x.Lost) > 0 {
		out = append(out, Alarm{Name: x.Name, Kind: AlarmStatus, Text: x.Name.Defanged() + " has lost " + strings.Join(x.Lost, ", ") + ", which order " + m.ID() + " has set", Cure: "see who took it off, then plan again", Cmd: mend})
	}
	expires, held := x.Expires, seizure.RegistryView{}
	if v, err := s.Seizure.Look(ctx, x.Name); err == nil {
		held = v
		if expires.IsZero() {
			expires = v.Expires
		}
		switch {
		case !v.Exists:
			out = append(out, Alarm{Name: x.Name, Kind: AlarmDeleting, Text: x.Name.Defanged() + " is not registered any more: anybody can have it", Cure: "register it, before somebody else does", Cmd: "impound registry show " + x.Name.TLD()})
		case slices.Contains(v.Status, "pendingDelete") || slices.Contains(v.Status, "redemptionPeriod"):
			out = append(out, Alarm{Name: x.Name, Kind: AlarmDeleting, Text: x.Name.Defanged() + " is being deleted (" + strings.Join(v.Status, ", ") + "): it comes free", Cure: "have the registry restore it, then plan again", Cmd: mend})
		}
		if was := k.Former.Sponsor; v.Exists && was != "" && v.Sponsor != was {
			out = append(out, Alarm{Name: x.Name, Kind: AlarmSponsor, Text: x.Name.Defanged() + " is sponsored by " + v.Sponsor + ", and was by " + was + " when it was taken", Cure: "see who transferred it; whoever sponsors it can undo the order", Cmd: mend})
		}
	}
	if !expires.IsZero() && expires.Sub(now) < expirySoon {
		word := "ends"
		if !expires.After(now) {
			word = "ended"
		}
		a := Alarm{Name: x.Name, Kind: AlarmExpiry, Text: fmt.Sprintf("the registration of %s %s on %s", x.Name.Defanged(), word, expires.UTC().Format(time.DateOnly)), Cure: "have the registrar renew it: else it comes free, and anybody may take it and its visitors", Cmd: "impound registry show " + x.Name.TLD()}
		payer := cmp.Or(m.Payer(), s.cfg.RenewalBy)
		switch _, until := m.Window(); {
		case held.Exists && s.Seizure.Renewable(m, held, k.Provider) && expires.Before(until):
			a.Cure, a.Cmd = "renew it: the order says so, and the plan holds it; else it comes free, and anybody may take it and its visitors", mend
		case payer != "":
			a.Cure = "have " + payer + " renew it, who is to pay: else it comes free, and anybody may take it and its visitors"
		}
		out = append(out, a)
	}
	return out
}

// nsExpirySoon is how long before the domain of our name servers ends custody
// speaks: every name hangs on it.
const nsExpirySoon = 90 * 24 * time.Hour

// judgeServers looks at the name servers that the held names are delegated to:
// whether they answer for them, and whether the domain under which they live
// stays ours. In 2015 one lapsed, and its new owner had every seized name.
func (s *System) judgeServers(ctx context.Context, m *impound.Mandate, held []impound.Name, now time.Time) []Alarm {
	var out []Alarm
	type fault struct {
		why   string
		names []string
	}
	lame := map[string]*fault{}
	zones := map[impound.Name][]string{}
	for _, n := range held {
		acts, _ := m.Acts(n)
		if len(acts.Nameservers) == 0 {
			continue
		}
		for _, ns := range acts.Nameservers {
			if d, err := ns.RegistryDomain(); err == nil && !slices.Contains(zones[d], ns.Defanged()) {
				zones[d] = append(zones[d], ns.Defanged())
			}
		}
		v := s.Observe.Child(ctx, n)
		if ctx.Err() != nil {
			return out
		}
		for _, x := range v.Servers {
			ours := slices.ContainsFunc(acts.Nameservers, func(ns impound.Name) bool { return ns.String() == x.Server })
			why := x.Err
			if why == "" && !x.Authoritative {
				why = "it says that it is not responsible (" + x.RCode + ")"
			}
			if !ours || why == "" {
				continue
			}
			if lame[x.Server] == nil {
				lame[x.Server] = &fault{why: why}
			}
			if f := lame[x.Server]; !slices.Contains(f.names, n.Defanged()) {
				f.names = append(f.names, n.Defanged())
			}
		}
	}
	for _, ns := range slices.Sorted(maps.Keys(lame)) {
		f := lame[ns]
		list := strings.Join(f.names[:min(3, len(f.names))], ", ")
		out = append(out, Alarm{Kind: AlarmLame, Text: fmt.Sprintf("name server %s does not answer for %d of %d names that point at it (%s): %s", strings.ReplaceAll(ns, ".", "[.]"), len(f.names), len(held), list, f.why),
			Cure: "see that the sinkhole runs there and has the policy, or plan with other name servers", Cmd: "impound sinkhole status"})
	}
	for _, d := range slices.SortedFunc(maps.Keys(zones), func(a, b impound.Name) int { return strings.Compare(a.String(), b.String()) }) {
		who := strings.Join(zones[d], ", ") + " live"
		if len(zones[d]) == 1 {
			who += "s"
		}
		v := s.Observe.Registration(ctx, d)
		if ctx.Err() != nil {
			return out
		}
		show := "impound registry show " + d.TLD()
		switch left := v.Expires.Sub(now); {
		case v.Err != "":
			out = append(out, Alarm{Kind: AlarmUnseen, Text: "nobody could be asked when " + d.Defanged() + ", under which " + who + ", ends: " + v.Err, Cure: "give its RDAP server under rdap: or rdap_bootstrap:", Cmd: show})
		case !v.Exists:
			out = append(out, Alarm{Kind: AlarmDangling, Text: fmt.Sprintf("%s, under which %s, is not registered: whoever buys it has all %d names", d.Defanged(), who, len(held)), Cure: "register it at once, or plan with other name servers", Cmd: "impound seize plan " + m.ID()})
		case slices.Contains(v.Status, "redemptionPeriod") || slices.Contains(v.Status, "pendingDelete"):
			out = append(out, Alarm{Kind: AlarmDangling, Text: fmt.Sprintf("%s, under which %s, is being deleted: whoever buys it has all %d names", d.Defanged(), who, len(held)), Cure: "have its registrar restore it at once", Cmd: show})
		case !v.Expires.IsZero() && left < nsExpirySoon:
			out = append(out, Alarm{Kind: AlarmNSExpiry, Text: fmt.Sprintf("the registration of %s, under which %s, ends on %s: all %d names hang on it", d.Defanged(), who, v.Expires.UTC().Format(time.DateOnly), len(held)), Cure: "renew it now, for years", Cmd: show})
		}
	}
	return out
}

const (
	certSoon = 14 * 24 * time.Hour // before a registry's certificate ends custody speaks
	skewMost = 30 * time.Second    // between a registry's clock and ours: T0 and its dates rest on both
)

// judgeProviders says what is wrong with the providers that hold names.
func (s *System) judgeProviders(ctx context.Context, known []seizure.Seizure, now time.Time) []Alarm {
	used := map[string]bool{}
	for _, k := range known {
		used[k.Provider] = used[k.Provider] || k.FormerPlan != "" && k.Reverted == ""
	}
	if !used[""] && len(used) == 0 || !slices.Contains(slices.Collect(maps.Values(used)), true) {
		return nil
	}
	var out []Alarm
	for _, h := range s.Seizure.Health(ctx) {
		if !used[h.Provider] {
			continue
		}
		add := func(cure, format string, args ...any) {
			out = append(out, Alarm{Kind: AlarmProvider, Text: fmt.Sprintf(format, args...), Cure: cure, Cmd: "impound registry list"})
		}
		switch left := h.CertExpires.Sub(now); {
		case h.Err != "":
			add("see what it says; without it nothing can be mended", "provider %s could not be asked: %s", h.Provider, h.Err)
		case !h.CertExpires.IsZero() && left < certSoon:
			add("ask the provider for its new certificate, and whether its CA stays", "the certificate of provider %s ends on %s: after that nothing can be changed there", h.Provider, h.CertExpires.UTC().Format(time.DateTime))
		}
		if d := h.Skew.Round(time.Second); d > skewMost || d < -skewMost {
			word := "ahead of"
			if d < 0 {
				d, word = -d, "behind"
			}
			add("see which of the two clocks is wrong: an order's dates and T0 go by ours", "the clock of provider %s is %s %s ours", h.Provider, d, word)
		}
	}
	return out
}

// anew says when a name that was let go is somebody's.
func (s *System) anew(ctx context.Context, k seizure.Seizure) []Alarm {
	if k.Released == impound.ReleaseRestore {
		return nil
	}
	v, err := s.Seizure.Look(ctx, k.Name)
	if err != nil || !v.Exists || v.ID == "" || v.ID == k.Former.ID {
		return nil
	}
	return []Alarm{{Name: k.Name, Kind: AlarmAnew, Text: k.Name.Defanged() + " was let go and is registered anew, at " + v.Sponsor + " since " + v.Created.UTC().Format(time.DateOnly), Cure: "look whose it is: capture it, and put it into a case", Cmd: "impound evidence capture " + k.Name.Defanged()}}
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
	collide, err := s.collisionAlarms(ctx)
	if err != nil {
		return out, err
	}
	out = append(out, collide...)
	held, err := s.watchAlarms(ctx)
	if err != nil {
		return out, err
	}
	out = append(out, held...)
	claims, err := s.claimAlarms(ctx)
	if err != nil {
		return out, err
	}
	out = append(out, claims...)
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
