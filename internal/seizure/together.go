package seizure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
)

// Together says that all providers act at one instant: an actor whose names fall
// one by one saves the others.
type Together struct {
	// At is T0; the zero time is as soon as all are ready.
	At time.Time
	// Grace is how long after T0 the others wait for a provider that was ready
	// and is late with its first look; 0 is 5 s. Then they go without it.
	Grace time.Duration
}

// Barrier is how the start of an [Engine.ApplyTogether] went.
type Barrier struct {
	At    time.Time   `json:"t0"`    // as asked for; else when the first began
	Ready time.Time   `json:"ready"` // when every session was open
	Began []Beginning `json:"began"` // by time
	Skew  Span        `json:"skew"`  // between the first and the last of them
	Late  []string    `json:"late,omitempty"`
}

// Beginning is when a provider was sent its first change.
type Beginning struct {
	Provider string    `json:"provider"`
	At       time.Time `json:"at"`
}

// Span is a duration that JSON shows in words, such as "12ms".
type Span time.Duration

func (s Span) String() string { return time.Duration(s).Round(time.Microsecond).String() }

// MarshalText writes it.
func (s Span) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText reads it.
func (s *Span) UnmarshalText(b []byte) error {
	d, err := time.ParseDuration(string(b))
	*s = Span(d)
	return err
}

// readier is a connector that can say that its session is open: a greeting came
// and the login was taken. One that isn't is taken to be ready.
type readier interface {
	Ready(ctx context.Context) error
}

const (
	// lead is how long before T0 the looks begin, so that what is acted on was
	// seen just before.
	lead = 15 * time.Second
	// keepAlive is how often sessions are tried while T0 is far.
	keepAlive = 30 * time.Second
	// eve is how long before T0 the order and the gates are asked once more.
	eve = time.Second
)

// gate is where the providers of one apply wait for each other before their
// first change. A nil gate holds nobody.
type gate struct {
	e     *Engine
	at    time.Time // zero: as soon as all are here
	grace time.Duration

	mu    sync.Mutex
	wait  map[string]bool // providers that have neither arrived nor left
	open  chan struct{}   // closed when nobody is waited for
	began map[string]time.Time
}

func newGate(e *Engine, t Together, providers []string) *gate {
	g := &gate{e: e, at: t.At, grace: t.Grace, wait: map[string]bool{}, open: make(chan struct{}), began: map[string]time.Time{}}
	if g.grace <= 0 {
		g.grace = 5 * time.Second
	}
	for _, p := range providers {
		g.wait[p] = true
	}
	if len(g.wait) == 0 {
		close(g.open)
	}
	return g
}

// arrive says that provider has its first change ready, or will make none.
func (g *gate) arrive(provider string) {
	if g == nil {
		return
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.wait[provider] {
		delete(g.wait, provider)
		if len(g.wait) == 0 {
			close(g.open)
		}
	}
}

// pass holds provider's first change back until T0 and until all others have
// arrived; it returns at once for every later one. fresh is called shortly before
// T0, so that what it proves need not be proven at that instant. The error is
// ctx's: nothing was begun.
func (g *gate) pass(ctx context.Context, provider string, fresh func()) error {
	if g == nil {
		return nil
	}
	g.mu.Lock()
	_, through := g.began[provider]
	g.mu.Unlock()
	if through {
		return nil
	}
	g.arrive(provider)
	if d := g.at.Sub(g.e.now()) - eve; !g.at.IsZero() && d > 0 {
		if err := g.e.cfg.Sleep(ctx, d); err != nil {
			return err
		}
		fresh()
	}
	if d := g.at.Sub(g.e.now()); !g.at.IsZero() && d > 0 {
		if err := g.e.cfg.Sleep(ctx, d); err != nil {
			return err
		}
	}
	late := make(chan struct{})
	wctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		if g.e.cfg.Sleep(wctx, g.grace) == nil {
			close(late)
		}
	}()
	select {
	case <-g.open:
	case <-late:
	case <-ctx.Done():
	}
	return ctx.Err()
}

// begin notes that provider is about to be sent its first change.
func (g *gate) begin(provider string) {
	if g == nil {
		return
	}
	now := g.e.now()
	g.mu.Lock()
	defer g.mu.Unlock()
	if _, again := g.began[provider]; !again {
		g.began[provider] = now
	}
}

// barrier gives how it went.
func (g *gate) barrier(ready time.Time) *Barrier {
	g.mu.Lock()
	defer g.mu.Unlock()
	b := &Barrier{At: g.at, Ready: ready}
	for p, at := range g.began {
		b.Began = append(b.Began, Beginning{p, at})
	}
	slices.SortFunc(b.Began, func(x, y Beginning) int {
		if c := x.At.Compare(y.At); c != 0 {
			return c
		}
		return strings.Compare(x.Provider, y.Provider)
	})
	if n := len(b.Began); n > 0 {
		if b.At.IsZero() {
			b.At = b.Began[0].At
		}
		b.Skew = Span(b.Began[n-1].At.Sub(b.Began[0].At))
		for _, x := range b.Began {
			if x.At.Sub(b.At) >= g.grace {
				b.Late = append(b.Late, x.Provider)
			}
		}
	}
	return b
}

// ApplyTogether is [Engine.Apply] with all providers beginning at one instant.
// First every provider's session is opened and greeted; when one can't be by
// then, nothing is changed anywhere, and the error says which (KindUnavailable).
// Sessions are kept alive until shortly before T0; then each provider takes its
// lease, runs the gates and looks at its first name, and waits. At T0 all are let
// go. The order's dates are asked at the act, as ever: T0 changes none of them.
func (e *Engine) ApplyTogether(ctx context.Context, planID string, t Together) (Result, error) {
	r, err := e.load(ctx, planID)
	if err != nil {
		return Result{}, err
	}
	nothing := Result{Plan: planID, Order: r.Plan.Order, Revert: r.Plan.Revert, Release: r.Plan.Release}
	if d := t.At.Sub(e.now()); d > e.cfg.MaxAge {
		return nothing, impound.Errorf(impound.KindInvalid, "T0 is %s away, and a plan lives for %s", d.Round(time.Minute), e.cfg.MaxAge).WithCure("plan again shortly before T0")
	}
	if _, _, err := e.prove(ctx, r, t.At); err != nil {
		return nothing, err
	}
	p := &r.Plan
	work := p.working()
	g := newGate(e, t, work)
	if err := e.ready(ctx, p.ID, work); err != nil {
		return nothing, err
	}
	readyAt := e.now()
	for d := t.At.Sub(e.now()) - lead; !t.At.IsZero() && d > 0; d = t.At.Sub(e.now()) - lead {
		e.say(Event{Plan: p.ID, Phase: "wait", Text: fmt.Sprintf("%d sessions are open; T0 is in %s", len(work), t.At.Sub(e.now()).Round(time.Second))})
		if err := e.cfg.Sleep(ctx, min(d, keepAlive)); err != nil {
			return nothing, errDrained
		}
		if err := e.ready(ctx, p.ID, work); err != nil {
			return nothing, err
		}
	}
	if ctx.Err() != nil {
		return nothing, errDrained
	}
	// The order may have been withdrawn meanwhile, or the plan have grown stale.
	m, hash, err := e.prove(ctx, r, t.At)
	if err != nil {
		return nothing, err
	}
	res, err := e.apply(ctx, m, p, hash, g)
	res.Barrier = g.barrier(readyAt)
	return res, err
}

// working gives the providers at which p changes something.
func (p *Plan) working() []string {
	var out []string
	for _, id := range p.providers() {
		if slices.ContainsFunc(p.Names, func(np NamePlan) bool { return np.Provider == id && np.Blocked == "" && len(np.Steps) > 0 }) {
			out = append(out, id)
		}
	}
	return out
}

// ready opens every session, all at the same time.
func (e *Engine) ready(ctx context.Context, plan string, providers []string) error {
	errs := make([]error, len(providers))
	_ = parallel(ctx, len(providers), len(providers), func(i int) error {
		id := providers[i]
		if e.cfg.Connectors[id] == nil {
			errs[i] = impound.Errorf(impound.KindInvalid, "provider %s is not configured", id)
			return nil
		}
		c, ok := e.cfg.Connectors[id].(readier)
		if !ok {
			return nil
		}
		wait := e.cfg.Backoff
		for try := 0; ; try++ {
			if errs[i] = c.Ready(ctx); errs[i] == nil || try+1 >= e.cfg.Tries || impound.KindOf(errs[i]) != impound.KindUnavailable {
				return nil
			}
			e.say(Event{Plan: plan, Provider: id, Phase: "retry", Text: errs[i].Error()})
			if e.cfg.Sleep(ctx, wait) != nil {
				return nil
			}
			wait *= 2
		}
	})
	if ctx.Err() != nil {
		return errDrained
	}
	var bad []string
	for i, err := range errs {
		if err != nil {
			bad = append(bad, providers[i])
			e.say(Event{Plan: plan, Provider: providers[i], Phase: "failed", Text: err.Error()})
		}
	}
	if len(bad) > 0 {
		return impound.Errorf(impound.KindUnavailable, "not every provider is ready, so nothing was changed at any: %w", errors.Join(errs...)).At(strings.Join(bad, ", ")).
			WithCure("mend it and apply again; or, when it can't be waited for, apply without a common instant: the others are then carried out")
	}
	return nil
}
