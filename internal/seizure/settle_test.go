package seizure_test

import (
	"context"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/seizure"
)

// lagging is an observer whose resolvers show the former state for some looks.
type lagging struct {
	*provider
	looks int // that still show it, or see nothing, per name; 0 with blind is all
	blind bool
	seen  map[impound.Name]int
}

func (l *lagging) Resolve(ctx context.Context, x impound.Name) observe.View {
	v := l.provider.Resolve(ctx, x)
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if l.seen[x]++; l.blind && (l.looks == 0 || l.seen[x] <= l.looks) {
		v.Servers = []observe.ServerView{{Server: "s", Err: "no answer"}}
	} else if !l.blind && l.seen[x] <= l.looks {
		v.Servers[0].NS, v.Servers[0].DS = []string{"ns1.actor.test", "ns2.actor.test"}, nil
	}
	return v
}

func TestSettleWaitsForWhatIsOnItsWay(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		settle time.Duration
		blind  bool
		looks  int
		want   int // looks
		done   bool
	}{
		"one look":                             {0, false, 2, 1, false},
		"waits until it shows":                 {10 * time.Second, false, 2, 3, true},
		"not for ever":                         {3 * time.Second, false, 1000, 5, false},
		"a few times for what it can't see":    {10 * time.Second, true, 0, 4, false},
		"until it is seen, where that is soon": {10 * time.Second, true, 2, 3, true},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.names = w.names[:1]
			w.authorize(w.order())
			l := &lagging{provider: w.prov, looks: tt.looks, blind: tt.blind, seen: map[impound.Name]int{}}
			e := w.engine(func(c *seizure.Config) { c.Observe, c.Settle = l, tt.settle })
			r, err := e.Apply(t.Context(), w.planned(e, "anna", "bert").ID)
			if err != nil || len(r.Names) != 1 || r.Names[0].Status == nil || r.Names[0].Status.Done != tt.done || l.seen[w.names[0]] != tt.want {
				t.Errorf("%v, %d looks, want %d: %+v %+v", err, l.seen[w.names[0]], tt.want, r.Names, r.Names[0].Status)
			}
		})
	}
}
