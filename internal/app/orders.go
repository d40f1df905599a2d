package app

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/casework/orderdoc"
	"github.com/impound/impound/internal/seizure"
)

// Mandate proves an order anew and gives its mandate, without the names that a
// gate keeps out.
func (s *System) Mandate(ctx context.Context, orderID string) (*impound.Mandate, error) {
	ms, err := s.Casework.Mandates(ctx)
	for _, m := range ms {
		if m.ID() == orderID {
			return m, nil
		}
	}
	if err != nil {
		return nil, impound.Errorf(impound.KindRefused, "order %s is not proven: %w", orderID, err)
	}
	return nil, impound.Errorf(impound.KindNotFound, "no order %s is filed here", orderID).WithCure("impound order list shows those that are; impound order file FILE files one")
}

// caseOf gives the case of an order, for contacts: it is asked for each of them.
// An order never changes its case, so what was found once holds.
func (s *System) caseOf(order string) string {
	if c, ok := s.cases.Load(order); ok {
		return c.(string)
	}
	rows, err := s.Casework.Orders(impound.AsSystem(context.Background()))
	if err != nil {
		return ""
	}
	for _, r := range rows {
		if r.ID == order {
			s.cases.Store(order, r.Case)
			return r.Case
		}
	}
	return ""
}

// SignOrderFile adds the person's signature to the order document in file, which
// is replaced whole or not at all.
func (s *System) SignOrderFile(me Identity, file string) error {
	if err := s.may(context.Background(), "SignOrderFile", me.ID); err != nil {
		return err
	}
	data, err := os.ReadFile(file)
	if err != nil {
		return impound.Errorf(impound.KindInvalid, "couldn't read the order: %w", err)
	}
	o, err := orderdoc.Parse(file, data)
	if err != nil {
		return err
	}
	out, err := orderdoc.Sign(file, data, me.Sign(impound.SignOrder, o.Hash(), s.now()))
	if err != nil {
		return err
	}
	return replaceFile(file, out)
}

func replaceFile(file string, data []byte) error {
	tmp, err := os.CreateTemp(filepath.Dir(file), ".new-*")
	if err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't write: %w", err)
	}
	defer os.Remove(tmp.Name())
	if _, err := tmp.Write(data); err != nil {
		tmp.Close()
		return impound.Errorf(impound.KindUnavailable, "couldn't write: %w", err)
	}
	if err := tmp.Sync(); err != nil {
		tmp.Close()
		return impound.Errorf(impound.KindUnavailable, "couldn't write: %w", err)
	}
	if err := tmp.Close(); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't write: %w", err)
	}
	if err := os.Rename(tmp.Name(), file); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't write: %w", err)
	}
	d, err := os.Open(filepath.Dir(file))
	if err != nil {
		return nil // the file is there; only a power cut now could undo the rename
	}
	defer d.Close()
	_ = d.Sync() // not every file system lets a folder be synced
	return nil
}

// gateRuns keeps what the gates are told of whole orders, and their answers, for a
// moment: they are asked name by name.
type gateRuns struct {
	mu   sync.Mutex
	runs map[string]*gateRun // by order hash, and who asks
}

// gateRun is an order made ready for its gates, and their answers on the names of
// one registry after another, some at a time: names of one that hangs hold up
// nobody else's.
type gateRun struct {
	once   sync.Once
	at     time.Time
	asking *casework.Asking
	held   map[impound.Name]bool // their attribution is not settled
	part   map[impound.Name]*gatePart
	err    error
}

// gatePart is some names of one registry.
type gatePart struct {
	names []impound.Name

	mu  sync.Mutex
	at  time.Time
	rep map[impound.Name]casework.NameReport
}

const (
	// gatesAge is for how long answers of the gates, and what they are told of a
	// whole order, are used again.
	gatesAge = 10 * time.Second
	// gatesPart is how many names are looked at when one is asked about: those
	// that follow are asked about next.
	gatesPart = 64
)

func fresh(at, now time.Time) bool { return !now.Before(at) && now.Sub(at) <= gatesAge }

// gateRun gives an order made ready, not older than gatesAge.
func (s *System) gateRun(ctx context.Context, m *impound.Mandate) (*gateRun, error) {
	s.gateRuns.mu.Lock()
	if s.gateRuns.runs == nil {
		s.gateRuns.runs = map[string]*gateRun{}
	}
	// What the gates say of claims of sealed cases depends on who asks.
	key := m.Hash() + " " + impound.PrincipalOf(ctx).ID
	run := s.gateRuns.runs[key]
	if now := s.now(); run == nil || !fresh(run.at, now) {
		for k, old := range s.gateRuns.runs {
			if !fresh(old.at, now) {
				delete(s.gateRuns.runs, k)
			}
		}
		run = &gateRun{at: now}
		s.gateRuns.runs[key] = run
	}
	s.gateRuns.mu.Unlock()
	run.once.Do(func() {
		if run.asking, run.err = s.Casework.Asking(ctx, m.ID()); run.err != nil {
			return
		}
		if run.held, run.err = s.unsettled(ctx, m); run.err != nil {
			return
		}
		run.part = map[impound.Name]*gatePart{}
		open := map[string]*gatePart{}
		for _, n := range run.asking.All() {
			r := s.registryOf(n)
			p := open[r]
			if p == nil || len(p.names) >= gatesPart {
				p = &gatePart{}
				open[r] = p
			}
			p.names = append(p.names, n)
			run.part[n] = p
		}
	})
	if run.err != nil {
		s.gateRuns.mu.Lock()
		if s.gateRuns.runs[key] == run {
			delete(s.gateRuns.runs, key)
		}
		s.gateRuns.mu.Unlock()
	}
	return run, run.err
}

// report gives what the gates say of n, not longer ago than gatesAge.
func (s *System) report(ctx context.Context, run *gateRun, n impound.Name) (casework.NameReport, error) {
	none := impound.Errorf(impound.KindInternal, "the gates said nothing of %s", n.Defanged())
	p := run.part[n]
	if p == nil {
		return casework.NameReport{}, none
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := s.now(); p.rep == nil || !fresh(p.at, now) {
		rs, err := run.asking.Names(ctx, p.names)
		if err != nil {
			return casework.NameReport{}, err
		}
		p.rep, p.at = make(map[impound.Name]casework.NameReport, len(rs)), now
		for _, r := range rs {
			p.rep[r.Name] = r
		}
	}
	r, ok := p.rep[n]
	if !ok {
		return r, none
	}
	return r, nil
}

var observed = []string{gate.G5, gate.G9}

// gates runs the gates on one name of an order, now, for seizure. There a name
// is touched only when every verdict is pass or warn. So an unknown stays an
// unknown where looking would tell (G5, G9): the name waits until somebody could
// look. On the others it is shown as a warning: no look can settle it.
func (s *System) gates(ctx context.Context, m *impound.Mandate, n impound.Name) ([]impound.GateVerdict, error) {
	halted := func() ([]impound.GateVerdict, error) {
		why, err := s.Casework.Halted(ctx, m, n)
		if err != nil || why == "" {
			return nil, err
		}
		return []impound.GateVerdict{{Gate: gate.G12, Outcome: impound.GateBlock, Reason: why, AsOf: s.now()}}, nil
	}
	if vs, err := halted(); err != nil || vs != nil {
		return vs, err
	}
	run, err := s.gateRun(ctx, m)
	if err != nil {
		return nil, err
	}
	r, err := s.report(ctx, run, n)
	if err != nil {
		return nil, err
	}
	// Nobody waits ten seconds for a contest or a withdrawal to count, nor until
	// a registry that hangs was given up.
	if vs, err := halted(); err != nil || vs != nil {
		return vs, err
	}
	out := slices.Clone(r.Verdicts)
	if run.held[n] {
		for i, v := range out {
			if v.Gate == gate.G15 && v.Outcome != impound.GateBlock {
				out[i] = casework.UnsettledVerdict(gate.Input{Now: s.now()})
			}
		}
	}
	for i := range out {
		v := &out[i]
		switch {
		case v.Outcome == impound.GateBlock && slices.Contains(r.Overridden, v.Gate):
			v.Outcome, v.Reason = impound.GateWarn, "overridden by two approvers: "+v.Reason
		case v.Outcome == impound.GateUnknown && gate.Overridable(v.Gate) && (!slices.Contains(observed, v.Gate) || slices.Contains(r.Overridden, v.Gate)) && v.Gate != gate.G1:
			v.Outcome, v.Reason = impound.GateWarn, "not known: "+v.Reason
		}
	}
	return out, nil
}

// unsettled gives the names of an order that are kept out until their attribution
// is settled. What was taken already stays, and must be mended and given back.
func (s *System) unsettled(ctx context.Context, m *impound.Mandate) (map[impound.Name]bool, error) {
	held, err := s.Casework.Unsettled(impound.AsSystem(ctx), m)
	if err != nil || len(held) == 0 {
		return nil, err
	}
	taken, err := s.taken(ctx, m.ID())
	if err != nil {
		return nil, err
	}
	for n := range taken {
		delete(held, n)
	}
	return held, nil
}

// Plan makes a plan for an order, in the name of by.
func (s *System) Plan(ctx context.Context, by, orderID string) (*seizure.Plan, error) {
	if err := s.may(ctx, "Plan", by); err != nil {
		return nil, err
	}
	m, err := s.Mandate(ctx, orderID)
	if err != nil {
		return nil, err
	}
	return s.Seizure.As(by).Plan(ctx, m)
}

// Apply applies a plan in the name of by, who must be an operator, and notes in
// the case what was seized.
func (s *System) Apply(ctx context.Context, by Identity, planID string) (seizure.Result, error) {
	return s.applied(ctx, by, planID, func(e *seizure.Engine) (seizure.Result, error) { return e.Apply(ctx, planID) })
}

// ApplyTogether is [System.Apply] with all providers beginning at one instant.
func (s *System) ApplyTogether(ctx context.Context, by Identity, planID string, t seizure.Together) (seizure.Result, error) {
	return s.applied(ctx, by, planID, func(e *seizure.Engine) (seizure.Result, error) { return e.ApplyTogether(ctx, planID, t) })
}

func (s *System) applied(ctx context.Context, by Identity, planID string, do func(*seizure.Engine) (seizure.Result, error)) (seizure.Result, error) {
	if err := s.may(ctx, "Apply", by.ID); err != nil {
		return seizure.Result{}, err
	}
	if _, err := s.PlanInfo(ctx, planID); err != nil {
		return seizure.Result{}, err
	}
	res, err := do(s.Seizure.As(by.ID))
	if res.Plan == "" {
		return res, err
	}
	if nerr := s.noteSeized(ctx, res.Order, res); err == nil {
		err = nerr
	}
	if n := len(res.Names); err == nil && n > 0 && res.Count(seizure.Blocked) == n {
		err = impound.Errorf(impound.KindRefused, "nothing was done: each of the %d names of plan %s is blocked", n, planID).WithCure("see why with: impound seize show " + planID)
	}
	return res, err
}

func (s *System) noteSeized(ctx context.Context, orderID string, res seizure.Result) error {
	m, err := s.Mandate(ctx, orderID)
	if err != nil {
		return err
	}
	for _, r := range res.Names {
		if r.Outcome != seizure.Done && r.Outcome != seizure.Already {
			continue
		}
		if res.Release != "" {
			if err := s.noteState(ctx, m.Case(), r.Name, impound.StateReleased, "let go ("+res.Release+") by plan "+res.Plan); err != nil {
				return err
			}
			continue
		}
		if res.Revert {
			// Not released: the order still stands, and says otherwise.
			if err := s.noteState(ctx, m.Case(), r.Name, impound.StateContested, "given back by plan "+res.Plan+" while order "+orderID+" is in force"); err != nil {
				return err
			}
			continue
		}
		a, _ := m.Acts(r.Name)
		state := impound.StateSeized
		if a.Hold {
			state = impound.StateHeld
		}
		if err := s.noteState(ctx, m.Case(), r.Name, state, "plan "+res.Plan); err != nil {
			return err
		}
		if r.Status != nil && r.Status.Done && a.Sinkhole {
			if err := s.noteState(ctx, m.Case(), r.Name, impound.StateSinkholed, "all three views show the order"); err != nil {
				return err
			}
		}
	}
	return nil
}

// noteState sets the state of a name unless it is further on its way already, or
// contested: that counsel alone ends.
func (s *System) noteState(ctx context.Context, caseID string, n impound.Name, state impound.DomainState, why string) error {
	d, err := s.Casework.Domain(ctx, caseID, n)
	if impound.KindOf(err) == impound.KindNotFound {
		_, err = s.Casework.Head(ctx, caseID) // an order may hold what its case doesn't
		return err
	}
	if err != nil || d.State == state || d.State == impound.StateContested || state == impound.StateSeized && d.State == impound.StateSinkholed {
		return err
	}
	if err := s.Casework.SetState(context.WithoutCancel(ctx), casework.System, caseID, n, state, why); err != nil {
		return fmt.Errorf("couldn't note the state of %s: %w", n.Defanged(), err)
	}
	return nil
}

// Verify looks at every name of an order in the three views and notes in the
// case which are sinkholed.
func (s *System) Verify(ctx context.Context, orderID string) ([]seizure.NameStatus, error) {
	if err := s.may(ctx, "Verify", ""); err != nil {
		return nil, err
	}
	m, err := s.Mandate(ctx, orderID)
	if err != nil {
		return nil, err
	}
	st, err := s.Seizure.Verify(ctx, m)
	if err != nil {
		return st, err
	}
	for _, n := range st {
		if a, ok := m.Acts(n.Name); ok && n.Done && a.Sinkhole {
			if err := s.noteState(ctx, m.Case(), n.Name, impound.StateSinkholed, "all three views show the order"); err != nil {
				return st, err
			}
		}
	}
	return st, nil
}

// Approve adds me's signature to a plan. Approving again changes nothing.
func (s *System) Approve(ctx context.Context, me Identity, planID string) (seizure.PlanInfo, error) {
	if err := s.may(ctx, "Approve", me.ID); err != nil {
		return seizure.PlanInfo{}, err
	}
	info, err := s.PlanInfo(ctx, planID)
	if err != nil {
		return info, err
	}
	if slices.Contains(info.Approvers, me.ID) {
		return info, nil
	}
	return s.Seizure.As(me.ID).Approve(ctx, planID, me.Sign(impound.SignPlan, info.Hash, s.now()))
}
