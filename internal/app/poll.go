package app

import (
	"context"
	"time"
)

// pollLoop takes the registries' messages, for as long as the process serves.
func (s *System) pollLoop(ctx context.Context, often time.Duration) {
	wait := min(custodyStart, often)
	for {
		t := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-t.C:
		}
		wait = often
		if n, err := s.Poll(ctx); err != nil && ctx.Err() == nil {
			s.log.Error("not every registry's messages could be taken", "taken", n, "err", err)
		}
	}
}

// Poll takes the messages of every registry once and files them as evidence
// before they are acknowledged. It gives how many there were.
func (s *System) Poll(ctx context.Context) (int, error) {
	if err := s.may(ctx, "Poll", ""); err != nil {
		return 0, err
	}
	return s.Seizure.Poll(ctx)
}
