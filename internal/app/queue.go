package app

import (
	"context"
	"slices"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/web"
)

// Queue gives a part of the triage queue.
func (d desk) Queue(ctx context.Context, q web.QueueQuery) (web.QueuePage, error) {
	p, err := d.s.Casework.Queue(ctx, casework.QueueFilter{Status: q.Status, Brand: q.Brand, Actor: q.Actor, Source: q.Source, Case: q.Case, Name: q.Name, MinScore: q.MinRank, After: q.After, Limit: q.Limit})
	if err != nil {
		return web.QueuePage{}, err
	}
	out := web.QueuePage{Next: p.Next, Total: p.Total, Rows: make([]web.QueueRow, len(p.Rows))}
	for i, r := range p.Rows {
		v := web.QueueRow{Name: r.Name, Scope: r.Scope, Rank: r.Rank, Score: r.Score, Brand: r.Brand, Actors: r.Actors, Top: r.Top, Count: r.Count, Reasons: r.Reasons, Learnt: r.Learnt,
			Seen: r.Seen, Last: r.Last, Status: r.Status, Case: r.Case, Until: r.Until, By: r.By, At: r.At, Reason: r.Reason, Why: r.Why, Again: r.Again, Rev: r.Rev}
		for _, h := range r.Hosts {
			v.Hosts = append(v.Hosts, h.Name)
		}
		for _, s := range r.Sources {
			v.Sources = append(v.Sources, s.Source)
		}
		out.Rows[i] = v
	}
	return out, nil
}

func (d desk) QueueCounts(ctx context.Context) (map[string]int, error) {
	return d.s.Casework.QueueCounts(ctx)
}

func (d desk) Lessons(ctx context.Context) ([]web.LessonView, error) {
	ls, err := d.s.Casework.Lessons(ctx)
	out := make([]web.LessonView, 0, len(ls))
	for _, l := range ls {
		v := web.LessonView{Key: l.Key, Text: l.Text, Words: l.Words, Offset: l.Offset, By: l.By, Last: l.Last, Names: append(slices.Clone(l.Dismissed), l.Promoted...)}
		if l.Off != "" {
			v.Off = "by " + l.Off + ": " + l.OffWhy
		}
		out = append(out, v)
	}
	return out, err
}

// Watching says how the watch of this process goes.
func (d desk) Watching(ctx context.Context) (web.WatchView, error) {
	if _, err := d.s.Casework.Sight(ctx); err != nil {
		return web.WatchView{}, err
	}
	w := &d.s.watching
	states := w.states()
	w.mu.Lock()
	defer w.mu.Unlock()
	v := web.WatchView{On: w.runner != nil, Sources: len(d.s.cfg.Watch.Sources), Since: w.since, Profiles: w.profiles, Fault: w.fault}
	if v.On {
		v.Sources = max(len(states), v.Sources)
		for _, st := range states {
			v.Rate += st.Rate
		}
	}
	return v, nil
}

// triager is casework as the queue's page uses it: in the name of whoever is
// logged in, whom the services ask for his roles.
type triager struct{ s *System }

var _ web.Triager = triager{}

func (t triager) Rule(ctx context.Context, picks []web.QueuePick, r web.QueueRuling) (int, []error, error) {
	ps := make([]casework.Pick, len(picks))
	for i, p := range picks {
		ps[i] = casework.Pick{Name: p.Name, Scope: p.Scope, Rev: p.Rev}
	}
	out, err := t.s.Casework.Triage(ctx, impound.PrincipalOf(ctx).ID, ps, casework.Ruling{Do: r.Do, Case: r.Case, Reason: r.Reason, Why: r.Why, Until: r.Until})
	if err != nil {
		return 0, nil, err
	}
	changed, failed := 0, []error(nil)
	for _, o := range out {
		switch {
		case o.Err != nil:
			failed = append(failed, o.Err)
		case o.Changed:
			changed++
		}
	}
	return changed, failed, nil
}

func (t triager) Reasons() [][3]string {
	var out [][3]string
	for _, r := range casework.DismissReasons {
		out = append(out, [3]string{r.Code, r.Text, r.Does})
	}
	return out
}
