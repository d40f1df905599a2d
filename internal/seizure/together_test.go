package seizure_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

// desk is one of several providers: a door to the world's own.
type desk struct {
	*provider
	id    string
	party *party
	down  error // what Ready says
	held  chan struct{}
}

// party notes in which order things happened at all desks.
type party struct {
	mu     sync.Mutex
	events []string
}

func (p *party) say(format string, args ...any) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.events = append(p.events, fmt.Sprintf(format, args...))
}

func (d *desk) Provider() string { return d.id }

func (d *desk) Ready(context.Context) error {
	d.party.say("ready")
	return d.down
}

func (d *desk) Info(ctx context.Context, n impound.Name) (seizure.RegistryView, error) {
	if d.held != nil {
		<-d.held
	}
	d.party.say("look")
	return d.provider.Info(ctx, n)
}

func (d *desk) Do(ctx context.Context, permits []impound.Permit, c seizure.Change) (seizure.Answer, error) {
	if c.CreateHost.IsZero() {
		d.party.say("name")
	}
	d.party.say("act at %s", d.provider.w.now().Format(time.TimeOnly))
	return d.provider.Do(ctx, permits, c)
}

// desks gives an engine with a desk for each name, and a clock that sleeping
// moves on.
func (w *world) desks() (*seizure.Engine, *party, map[string]*desk) {
	p, all, conns := &party{}, map[string]*desk{}, map[string]seizure.Connector{}
	for i := range w.names {
		id := fmt.Sprintf("reg-%d", i)
		all[id] = &desk{provider: w.prov, id: id, party: p}
		conns[id] = all[id]
	}
	e := w.engine(func(c *seizure.Config) {
		c.Connectors = conns
		c.Route = func(_ context.Context, n impound.Name) (string, error) {
			return fmt.Sprintf("reg-%d", slices.Index(w.names, n)), nil
		}
		c.Sleep = func(ctx context.Context, d time.Duration) error {
			if d == time.Hour { // for ever
				<-ctx.Done()
				return ctx.Err()
			}
			if d == 5*time.Second || d == 2*time.Second { // the grace: a fiftieth of it, for real
				select {
				case <-ctx.Done():
					return ctx.Err()
				case <-time.After(d / 50):
					return nil
				}
			}
			w.mu.Lock()
			w.clock = w.clock.Add(d)
			w.mu.Unlock()
			return ctx.Err()
		}
	})
	return e, p, all
}

func TestTogether(t *testing.T) {
	w := newWorld(t)
	o := w.order()
	at := w.now().Add(10 * time.Minute)
	o.ExecuteAt = at
	w.authorize(o)
	e, p, _ := w.desks()
	plan := w.planned(e, "anna", "bert")
	if _, err := e.Apply(t.Context(), plan.ID); impound.KindOf(err) != impound.KindRefused {
		t.Fatalf("before its instant the order is executed: %v", err)
	}
	if _, err := e.ApplyTogether(t.Context(), plan.ID, seizure.Together{At: at.Add(-time.Second)}); impound.KindOf(err) != impound.KindRefused {
		t.Fatalf("a second before its instant: %v", err)
	}
	p.events = nil
	res, err := e.ApplyTogether(t.Context(), plan.ID, seizure.Together{At: at})
	w.wantDone(res, err)
	w.wantUpdates(1)
	act := func(s string) bool { return strings.HasPrefix(s, "act") }
	if first := slices.IndexFunc(p.events, act); first < len(w.names) || slices.Contains(p.events[first:], "ready") {
		t.Errorf("all are ready before the first act; it went:\n%s", strings.Join(p.events, "\n"))
	}
	for _, x := range p.events {
		if s, ok := strings.CutPrefix(x, "act at "); ok && s < at.Format(time.TimeOnly) {
			t.Errorf("an act at %s, before T0", s)
		}
	}
	b := res.Barrier
	if b == nil || !b.At.Equal(at) || !b.Ready.Before(at) || len(b.Began) != len(w.names) || len(b.Late) > 0 || b.Began[0].At.Before(at) {
		t.Errorf("barrier %+v", b)
	}
}

func TestTogetherOrNotAtAll(t *testing.T) {
	w := newWorld(t)
	w.authorize(w.order())
	e, p, all := w.desks()
	plan := w.planned(e, "anna", "bert")
	all["reg-2"].down = impound.Errorf(impound.KindUnavailable, "connection refused")
	before := w.entries(impound.EntryIntent, "")
	_, err := e.ApplyTogether(t.Context(), plan.ID, seizure.Together{})
	if impound.KindOf(err) != impound.KindUnavailable || !strings.Contains(err.Error(), "reg-2") || strings.Contains(err.Error(), "reg-1") {
		t.Errorf("with one provider down: %v", err)
	}
	w.wantUpdates(0)
	if w.entries(impound.EntryIntent, "") != before {
		t.Error("an intent was recorded")
	}
	// As soon as it is there again, all; and where no instant is ordered, the
	// hosts are made before, and every name is looked at before the first is taken.
	all["reg-2"].down = nil
	p.events = nil
	res, err := e.ApplyTogether(t.Context(), plan.ID, seizure.Together{Grace: time.Hour}) // however slow the machine
	w.wantDone(res, err)
	w.wantUpdates(1)
	if res.Barrier == nil || len(res.Barrier.Began) != len(w.names) {
		t.Errorf("barrier %+v", res.Barrier)
	}
	looks := 0
	for _, x := range p.events[:slices.Index(p.events, "name")] {
		if x == "look" {
			looks++
		}
	}
	if looks < len(w.names) {
		t.Errorf("%d names were looked at before the first was taken:\n%s", looks, strings.Join(p.events, "\n"))
	}
}

func TestTogetherWaitsForNobodyForEver(t *testing.T) {
	w := newWorld(t)
	w.authorize(w.order())
	e, _, all := w.desks()
	plan := w.planned(e, "anna", "bert")
	all["reg-1"].held = make(chan struct{})
	w.prov.mu.Lock()
	delete(w.prov.names, w.names[3]) // gone: its provider makes no change, and holds nobody up
	w.prov.mu.Unlock()
	type end struct {
		res seizure.Result
		err error
	}
	c := make(chan end, 1)
	go func() {
		res, err := e.ApplyTogether(t.Context(), plan.ID, seizure.Together{Grace: 2 * time.Second})
		c <- end{res, err}
	}()
	done := func() int {
		n := 0
		for _, x := range w.prov.updates() {
			n += x
		}
		return n
	}
	for deadline := time.Now().Add(20 * time.Second); done() < 2; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the others wait for one that does not come: %d acts", done())
		}
	}
	close(all["reg-1"].held)
	got := <-c
	if impound.KindOf(got.err) != impound.KindPartial || got.res.Barrier == nil || len(got.res.Barrier.Began) < 3 {
		t.Errorf("%v %+v", got.err, got.res.Barrier)
	}
}

func TestTogetherDrained(t *testing.T) {
	w := newWorld(t)
	w.authorize(w.order())
	e, _, all := w.desks()
	plan := w.planned(e, "anna", "bert")
	all["reg-1"].held = make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	c := make(chan error, 1)
	go func() {
		_, err := e.ApplyTogether(ctx, plan.ID, seizure.Together{Grace: time.Hour})
		c <- err
	}()
	time.Sleep(20 * time.Millisecond)
	cancel()
	close(all["reg-1"].held)
	if err := <-c; err == nil || errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stopped while waiting: %v", err)
	}
	w.wantUpdates(0)
}
