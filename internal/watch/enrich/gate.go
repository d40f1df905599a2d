package enrich

import (
	"context"
	"sync"
	"time"
)

// gate spaces what is asked of each of many, and lets those alone that fail. Its
// clock is the system's: it is about traffic, not about evidence.
type gate struct {
	every time.Duration
	mu    sync.Mutex
	m     map[string]*turn
}

type turn struct {
	next  time.Time
	fails int
	open  time.Time // not asked before
}

// Back-off of one that fails for every name: from after the third failure in a
// row.
const (
	shutAfter = 3
	shutFirst = 30 * time.Second
	shutMost  = time.Hour
)

func newGate(every time.Duration) *gate { return &gate{every: every, m: map[string]*turn{}} }

func (g *gate) at(key string) *turn {
	t := g.m[key]
	if t == nil {
		if len(g.m) > 100_000 {
			g.m = map[string]*turn{}
		}
		t = &turn{}
		g.m[key] = t
	}
	return t
}

// wait blocks until key's turn.
func (g *gate) wait(ctx context.Context, key string) error {
	if g.every <= 0 {
		return ctx.Err()
	}
	g.mu.Lock()
	t := g.at(key)
	now := time.Now()
	when := t.next
	if when.Before(now) {
		when = now
	}
	t.next = when.Add(g.every)
	g.mu.Unlock()
	tm := time.NewTimer(time.Until(when))
	defer tm.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-tm.C:
		return nil
	}
}

// shut says for how long key is still let alone.
func (g *gate) shut(key string) time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	t, ok := g.m[key]
	if !ok {
		return 0
	}
	return time.Until(t.open)
}

// result notes how key answered.
func (g *gate) result(key string, ok bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	t := g.at(key)
	if ok {
		t.fails, t.open = 0, time.Time{}
		return
	}
	if t.fails++; t.fails >= shutAfter {
		t.open = time.Now().Add(min(shutFirst<<min(t.fails-shutAfter, 10), shutMost))
	}
}
