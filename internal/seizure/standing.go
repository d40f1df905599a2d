package seizure

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/impound/impound"
)

// standing is the proof of a plan's order while an apply is at work, which may be
// for hours: an order can be amended, end, or be withdrawn meanwhile. It is safe
// for concurrent use.
type standing struct {
	e *Engine
	p *Plan

	mu sync.Mutex
	m  *impound.Mandate
	at time.Time // of the proof
}

// old says whether what was found at t is to be found again by now. A clock that
// was set back makes everything old.
func (e *Engine) old(t, now time.Time) bool {
	return e.cfg.Recheck < 0 || now.Before(t) || now.Sub(t) >= e.cfg.Recheck
}

// mandate gives the order, in force now, proven not longer ago than the
// configuration says, and still the version that the plan was made for. Whoever
// asks for the proof is not kept from it by having been stopped.
func (s *standing) mandate(ctx context.Context) (*impound.Mandate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.e.now()
	if s.m != nil && s.p.inForce(s.m, now) && now.Before(s.p.Expires) && !s.e.old(s.at, now) {
		return s.m, nil
	}
	m, err := s.e.mandateFor(context.WithoutCancel(ctx), s.p)
	if err == nil {
		err = s.e.fresh(s.p, m)
	}
	if err != nil {
		s.m = nil // to be proven again, whoever asks next
		return nil, err
	}
	s.m, s.at = m, now
	return m, nil
}

// allowed runs the gates of j's name again where they were run too long ago, and
// asks the order, as it stands now, for every act of the step. The outcome is for
// the error.
func (e *Engine) allowed(ctx context.Context, j *job) (_ []impound.Permit, outcome string, _ error) {
	if j.stand == nil { // a reminder: whoever sends it has proven the order just now, and the plan may have run out since
		permits, err := e.permits(j)
		return permits, Refused, err
	}
	m, err := j.stand.mandate(ctx)
	if err != nil {
		switch impound.KindOf(err) {
		case impound.KindConflict:
			return nil, Stale, err
		case impound.KindUnavailable, impound.KindInternal:
			return nil, Failed, err
		}
		return nil, Refused, err
	}
	j.m = m
	if now := e.now(); e.old(j.gated, now) {
		vs, why := e.check(context.WithoutCancel(ctx), m, j.p.of(j.name))
		if why != "" {
			return nil, Blocked, impound.Errorf(impound.KindRefused, "%s", why)
		}
		j.gates, j.gated = gateWords(vs), now
	}
	if err := e.halted(ctx, j); err != nil {
		if impound.KindOf(err) == impound.KindRefused {
			return nil, Blocked, err
		}
		return nil, Failed, err
	}
	permits, err := e.permits(j)
	if err != nil {
		return nil, Refused, err
	}
	return permits, "", nil
}

// halted asks whether j's name came out of the order's effect, moments before it is
// acted on: KindRefused where it did. Who can't tell lets nothing through.
func (e *Engine) halted(ctx context.Context, j *job) error {
	if e.cfg.Halted == nil {
		return nil
	}
	why, err := e.cfg.Halted(context.WithoutCancel(ctx), j.m, j.name, j.p.Release != "")
	if err != nil {
		return fmt.Errorf("couldn't see whether it was contested, or the order withdrawn, moments ago; nothing was sent: %w", err)
	}
	if why != "" {
		return impound.Errorf(impound.KindRefused, "%s", why)
	}
	return nil
}
