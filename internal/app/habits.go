package app

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch"
	"github.com/impound/impound/internal/watch/live"
	"github.com/impound/impound/internal/watch/profile"
)

// leastHabits is of how many names habits can be learnt.
const leastHabits = 3

// watchRun is the watch of this process, as the pages tell of it. The zero value
// is ready; nil takes no notice.
type watchRun struct {
	mu       sync.Mutex
	runner   *live.Runner
	since    time.Time
	fault    string
	profiles int
}

func (w *watchRun) begin(r *live.Runner, now time.Time) {
	if w != nil {
		w.mu.Lock()
		w.runner, w.since, w.fault = r, now.UTC(), ""
		w.mu.Unlock()
	}
}

func (w *watchRun) end() {
	if w != nil {
		w.mu.Lock()
		w.runner = nil
		w.mu.Unlock()
	}
}

func (w *watchRun) failed(err error) {
	w.mu.Lock()
	w.fault = err.Error()
	w.mu.Unlock()
}

// states gives how the sources go that this process reads, by id.
func (w *watchRun) states() map[string]live.State {
	w.mu.Lock()
	r := w.runner
	w.mu.Unlock()
	if r == nil {
		return nil
	}
	out := map[string]live.State{}
	for _, st := range r.States() {
		out[st.ID] = st
	}
	return out
}

// habits is a profile with whom it is of.
type habits struct {
	*profile.Profile
	scope string
}

func (h habits) Scope() string { return h.scope }

// learnHabits learns those of every actor from the names of its cases, of every case
// that has no actor, and of every sealed case by itself, for its parties alone.
// Names that a gate keeps out, or that were let go, teach nothing.
func (s *System) learnHabits(ctx context.Context) ([]watch.Profile, error) {
	// It shows nothing to anybody: what is found by a sealed case is for its parties.
	cases, err := s.wholeCases(impound.AsSystem(ctx))
	if err != nil {
		return nil, err
	}
	type who struct{ actor, scope string }
	names := map[who][]impound.CaseDomain{}
	for _, c := range cases {
		k := who{actor: c.Actor}
		if k.actor == "" {
			k.actor = "case " + c.ID
		}
		if len(c.SealedFor) > 0 {
			k.scope = c.ID
		}
		for _, d := range c.Domains {
			if d.State != impound.StateBlocked && d.State != impound.StateReleased && d.State != impound.StateContested {
				names[k] = append(names[k], d)
			}
		}
	}
	var out []watch.Profile
	for k, ds := range names {
		if len(ds) < leastHabits {
			continue
		}
		slices.SortStableFunc(ds, func(a, b impound.CaseDomain) int { return a.FirstSeen.Compare(b.FirstSeen) })
		ex := make([]profile.Example, len(ds))
		for i, d := range ds {
			ex[i] = profile.Example{Name: d.Name.String(), At: d.FirstSeen}
		}
		p, err := profile.Learn(k.actor, ex)
		if err != nil {
			return nil, fmt.Errorf("couldn't learn the habits of %s: %w", k.actor, err)
		}
		out = append(out, habits{p, k.scope})
	}
	slices.SortFunc(out, func(a, b watch.Profile) int {
		x, y := a.(habits), b.(habits)
		return strings.Compare(x.Actor()+"\x00"+x.scope, y.Actor()+"\x00"+y.scope)
	})
	return out, nil
}

// setProfiles learns anew when a case changed since word.
func (s *System) setProfiles(ctx context.Context, r *live.Runner, run *watchRun, word string) (string, error) {
	now, err := s.Casework.Word(ctx)
	if err != nil || now == word {
		return word, err
	}
	ps, err := s.learnHabits(ctx)
	if err != nil {
		return word, err
	}
	r.SetProfiles(ps)
	if run != nil {
		run.mu.Lock()
		run.profiles = len(ps)
		run.mu.Unlock()
	}
	return now, nil
}

// watchUpkeep follows the cases' names, and ranks the queue anew where decisions
// taught something.
func (s *System) watchUpkeep(ctx context.Context, r *live.Runner, run *watchRun, word string) {
	t := time.NewTicker(2 * time.Second)
	defer t.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.C:
		}
		var err error
		if word, err = s.setProfiles(ctx, r, run, word); err != nil && ctx.Err() == nil {
			s.log.Warn("couldn't learn actors' habits; those from before stay", "err", err)
		}
		if _, err := s.Casework.Rerank(ctx, time.Second); err != nil && ctx.Err() == nil {
			s.log.Warn("couldn't rank the queue anew", "err", err)
		}
	}
}

// budget reads 0.1% or 0.001; 0 for none.
func (w WatchConfig) budget() (float64, error) {
	if w.Budget == "" {
		return 0, nil
	}
	num, percent := strings.CutSuffix(strings.TrimSpace(w.Budget), "%")
	x, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
	if percent {
		x /= 100
	}
	if err != nil || !(x > 0 && x <= 1) {
		return 0, impound.Errorf(impound.KindInvalid, "%q is no share of the names", w.Budget).WithCure("write 0.1%, or 0.001")
	}
	return x, nil
}

// watchLoop is the watch of a serving process: it ends with ctx, and is begun
// again, later and later, when it fails.
func (s *System) watchLoop(ctx context.Context) {
	pause := 5 * time.Second
	for ctx.Err() == nil {
		begun := time.Now()
		err := s.Watch(ctx, WatchOptions{run: &s.watching})
		if ctx.Err() != nil {
			return
		}
		if err == nil { // every source has ended
			return
		}
		if time.Since(begun) > 10*time.Minute {
			pause = 5 * time.Second
		}
		s.watching.failed(err)
		s.log.Error("the watch stopped; it is begun again", "err", err, "in", pause)
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		pause = min(2*pause, 5*time.Minute)
	}
}
