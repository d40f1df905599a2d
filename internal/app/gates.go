package app

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/store"
	"github.com/impound/impound/internal/telemetry"
)

// What the gates are told beyond what is observed, and the nightly look at orders
// that were filed. [System.gates] has them run at a plan and at an apply.

// AlarmGate is the kind of an alarm about a gate whose verdict turned worse.
const AlarmGate = "gate"

// passive is the passive DNS of the configuration, read at first need.
type passive struct {
	once sync.Once
	p    *gate.Passive
}

func (s *System) passiveDNS() *gate.Passive {
	if s.cfg.PassiveDNS == "" {
		return nil
	}
	s.passive.once.Do(func() {
		path := s.cfg.Path(s.opt.State, s.cfg.PassiveDNS)
		f, err := os.Open(path)
		if err == nil {
			defer f.Close()
			s.passive.p, err = gate.ReadPassive(path, f)
		}
		if err != nil {
			s.log.Error("couldn't read passive DNS: the gates G3 and G4 go without", "err", err)
		}
	})
	return s.passive.p
}

// passiveFacts adds what is known of n without asking anybody.
func (s *System) passiveFacts(n impound.Name, f *casework.Facts) {
	p := s.passiveDNS()
	lists := s.lists.now()
	if lists == nil {
		lists = gate.BuiltIn()
	}
	f.Demand = lists.DemandOf(n, p)
	if p != nil {
		f.Tenants = p.Tenants(n)
		f.Addrs, f.AddrsAsOf = p.Addrs(n)
	}
}

// fleet gives what the sinkhole bears by the configuration, and what it served in
// the last day; nil when the configuration doesn't say.
func (s *System) fleet(ctx context.Context) *gate.Capacity {
	c := s.cfg.Sinkhole.Capacity
	if c.QueriesPerSecond <= 0 {
		return nil
	}
	out := &gate.Capacity{Measured: float64(c.QueriesPerSecond), Servers: max(c.Servers, 1), At: s.now()}
	if t, err := time.Parse(time.DateOnly, c.Measured); err == nil {
		out.At = t
	}
	if s.Telemetry != nil {
		now := s.now()
		counts, err := s.Telemetry.Counts(ctx, telemetry.Filter{From: now.Add(-24 * time.Hour), To: now})
		if err != nil {
			s.log.Warn("couldn't count what the sinkhole serves; G3 goes by the rest", "err", err)
		}
		for _, n := range counts {
			out.Expected += float64(n) / 86400
		}
	}
	return out
}

// taken gives which names of an order were taken, and what was seen of them since.
func (s *System) taken(ctx context.Context, order string) (map[impound.Name]casework.Taken, error) {
	if s.Seizure == nil {
		return nil, nil
	}
	st, err := s.Seizure.Status(ctx, order)
	if err != nil {
		return nil, err
	}
	out := map[impound.Name]casework.Taken{}
	for _, x := range st {
		if x.Reverted != "" || x.FormerPlan == "" && x.Outcome != seizure.Done && x.Outcome != seizure.Already {
			continue
		}
		out[x.Name] = takenOf(x, s.now())
	}
	return out, nil
}

// takenOf gives when a name was taken, and what was seen of it since. x.At is when
// the outcome was known, which is after apply itself looked: what counts is when it
// was done.
func takenOf(x seizure.Seizure, now time.Time) casework.Taken {
	t := casework.Taken{At: x.Acted}
	if t.At.IsZero() {
		t.At = x.At
	}
	if t.At.IsZero() {
		t.At = now
	}
	if x.Status != nil && !x.Status.At.Before(t.At) {
		for _, v := range x.Status.Views {
			t.Views = append(t.Views, gate.View{View: v.View, State: v.State, Why: v.Why, Good: v.State == seizure.AsOrdered, Blind: v.State == seizure.Unknown, At: x.Status.At})
		}
	}
	return t
}

// nightlyHour is when the gates run each night (UTC): registries and name servers
// have the least to do.
const nightlyHour = 2

// docNightly says when the gates ran over every order last.
const docNightly = "nightly"

type nightlyDoc struct {
	At time.Time `json:"at"`
}

// nightlyDue says whether the gates are to run now, when they ran at last: once a
// day, at nightlyHour or as soon after as somebody serves. A clock that went back
// makes them run again.
func nightlyDue(last, now time.Time) bool {
	due := time.Date(now.UTC().Year(), now.UTC().Month(), now.UTC().Day(), nightlyHour, 0, 0, 0, time.UTC)
	if now.Before(due) {
		due = due.AddDate(0, 0, -1)
	}
	return last.Before(due) || last.After(now)
}

// nightlyLoop looks each minute whether the night's run is due.
func (s *System) nightlyLoop(ctx context.Context) {
	t := time.NewTicker(time.Minute)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		if err := s.tryNightly(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("the gates could not run over every order", "err", err)
		}
	}
}

// tryNightly runs the gates when they are due. Of several processes that serve one
// folder, one runs them.
func (s *System) tryNightly(ctx context.Context) error {
	ctx = impound.AsSystem(ctx)
	mine := false
	err := s.Store.Update(ctx, func(tx store.Tx) error {
		_, err := store.Modify(tx, docNightly, "gates", func(d *nightlyDoc) (map[string]string, error) {
			if mine = nightlyDue(d.At, s.now()); mine {
				d.At = s.now().UTC()
			}
			return nil, nil
		})
		return err
	})
	if err != nil || !mine {
		return err
	}
	_, err = s.Nightly(ctx)
	return err
}

// Nightly runs the gates on every name of every order that has not ended, and
// raises an alarm for each verdict that is worse than when the order was filed.
// An order that can't be checked is an alarm and an error; the others are checked
// all the same.
func (s *System) Nightly(ctx context.Context) ([]Alarm, error) {
	if err := s.may(ctx, "Nightly", ""); err != nil {
		return nil, err
	}
	ms, err := s.Casework.Mandates(ctx)
	if err != nil && impound.KindOf(err) != impound.KindPartial {
		return nil, err
	}
	var out []Alarm
	for _, m := range ms {
		if _, until := m.Window(); !s.now().Before(until) {
			err = errors.Join(err, s.raise(ctx, m, "gates", nil))
			continue
		}
		r, rerr := s.Casework.Recheck(ctx, m.ID())
		if ctx.Err() != nil {
			return out, ctx.Err()
		}
		alarms := gateAlarms(r)
		if rerr != nil {
			rerr = fmt.Errorf("order %s: %w", m.ID(), rerr)
			alarms = []Alarm{{Kind: AlarmFault, Text: "the gates could not run over " + rerr.Error()}}
		}
		_, aerr := s.Evidence.Append(ctx, impound.Entry{
			ID: "gates/" + m.ID() + "/" + s.now().UTC().Format(time.DateOnly), Type: impound.EntrySystem, At: s.now(), By: "system", What: "gates.nightly", Case: m.Case(), Order: m.ID(),
			Detail: map[string]string{"names": fmt.Sprint(r.Names), "blocked": fmt.Sprint(r.Blocked), "worse": fmt.Sprint(len(r.Worse)), "faults": fmt.Sprint(rerr != nil)},
		})
		err = errors.Join(err, rerr, aerr, s.raise(ctx, m, "gates", alarms))
		out = append(out, alarms...)
	}
	return out, err
}

// fewNames is up to how many names of one gate get an alarm each.
const fewNames = 5

// gateAlarms makes alarms of what turned worse: one a name, or where many names
// share it, one for all.
func gateAlarms(r casework.Recheck) []Alarm {
	type group struct {
		gate     string
		was, now impound.Outcome
	}
	by := map[group][]casework.Worse{}
	var order []group
	for _, w := range r.Worse {
		g := group{w.Verdict.Gate, w.Was, w.Verdict.Outcome}
		if by[g] == nil {
			order = append(order, g)
		}
		by[g] = append(by[g], w)
	}
	var out []Alarm
	for _, g := range order {
		ws := by[g]
		cure := "look at it with: impound order check; then amend, give back, or have two approvers override the gate"
		if g.now == impound.GateBlock {
			cure = "it would not be ordered today: " + cure
		}
		cmd := "impound order gates " + r.Order
		if len(ws) > fewNames {
			var some []string
			for _, w := range ws[:3] {
				some = append(some, w.Name.Defanged())
			}
			out = append(out, Alarm{Kind: AlarmGate, Text: fmt.Sprintf("%s turned from %s to %s for %d names of order %s, such as %s: %s", g.gate, g.was, g.now, len(ws), r.Order, strings.Join(some, ", "), ws[0].Verdict.Reason), Cure: cure, Cmd: cmd})
			continue
		}
		for _, w := range ws {
			out = append(out, Alarm{Name: w.Name, Kind: AlarmGate, Text: fmt.Sprintf("%s of %s turned from %s to %s since %s: %s", g.gate, w.Name.Defanged(), g.was, g.now, w.Since.UTC().Format(time.DateOnly), w.Verdict.Reason), Cure: cure, Cmd: cmd})
		}
	}
	return out
}

// raise records alarms about an order and keeps them for the pages, instead of
// those of the same room ("" is custody's own).
func (s *System) raise(ctx context.Context, m *impound.Mandate, room string, alarms []Alarm) error {
	now := s.now()
	for i := range alarms {
		a := &alarms[i]
		a.Order, a.Case, a.At = m.ID(), m.Case(), now.UTC()
		id := alarmID(*a)
		if a.Name.IsZero() { // several gates can each have one
			id += "/" + strings.TrimPrefix(impound.HashBytes([]byte(a.Text)), "sha256:")[:16]
		} else {
			id += "/" + strings.Fields(a.Text)[0]
		}
		if _, err := s.Evidence.Append(ctx, impound.Entry{
			ID: id, Type: impound.EntrySystem, At: a.At, By: "system", What: "custody.alarm", Case: a.Case, Order: a.Order, Name: a.Name,
			Detail: map[string]string{"kind": a.Kind, "text": a.Text, "cure": a.Cure, "command": a.Cmd},
		}); err != nil {
			return fmt.Errorf("couldn't record an alarm: %w", err)
		}
	}
	return s.Store.Update(ctx, func(tx store.Tx) error {
		_, err := store.Modify(tx, docCustody, m.ID()+"/"+room, func(d *custodyDoc) (map[string]string, error) {
			*d = custodyDoc{Order: m.ID(), At: now.UTC(), Alarms: alarms}
			return nil, nil
		})
		return err
	})
}
