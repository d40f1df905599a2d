package app

import (
	"context"
	"slices"
	"time"

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
			Seen: r.Seen, Last: r.Last, Status: r.Status, Case: r.Case, Until: r.Until, By: r.By, At: r.At, Reason: r.Reason, Why: r.Why, Again: r.Again, Rev: r.Rev, InCases: r.InCases, Mark: r.Mark.String()}
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

// Terms finds what a supplement needs and ask doesn't say.
func (t triager) Terms(ctx context.Context, ask web.SupplementAsk) (web.SupplementAsk, error) {
	var err error
	ask.Order, ask.Clause, ask.ID, err = t.s.supplementTerms(ctx, SupplementAsk{Case: ask.Case, Order: ask.Order, Clause: ask.Clause, ID: ask.ID})
	return ask, err
}

// Gather looks at those of names that the case holds and has no evidence of.
func (t triager) Gather(ctx context.Context, caseID string, names []impound.Name, near bool) error {
	return t.s.gather(ctx, impound.PrincipalOf(ctx).ID, caseID, names, Light{Registry: !near}, nil)
}

// Supplement drafts the next appendix to an order of a case, for the page.
func (d desk) Supplement(ctx context.Context, ask web.SupplementAsk) (web.SupplementView, error) {
	v := web.SupplementView{SupplementAsk: ask}
	var err error
	if v.Order, v.Clause, v.ID, err = d.s.supplementTerms(ctx, SupplementAsk{Case: ask.Case, Order: ask.Order, Clause: ask.Clause, ID: ask.ID}); err != nil {
		return v, err
	}
	sd, err := d.s.Casework.Supplement(ctx, v.Order, v.Clause, v.Case, v.ID)
	if err != nil {
		return v, err
	}
	rep, err := d.s.Casework.CheckOrder(ctx, v.ID+".yaml", sd.Document)
	if err != nil {
		return v, err
	}
	v.Appendix, v.Recipient, v.Until = sd.Order.Appendices[0].ID, sd.Order.Recipient.Name, sd.Order.Until.UTC().Format(time.RFC3339)
	v.NewZones, v.Document = sd.NewZones, sd.Document
	for _, l := range sd.Left {
		v.Left = append(v.Left, web.SupplementName{Name: l.Name, Why: l.Why})
	}
	for _, m := range rep.Missing {
		v.Missing = append(v.Missing, m.Field+": "+m.Why)
	}
	for _, p := range rep.Problems {
		v.Faults = append(v.Faults, p.Error())
	}
	for _, n := range rep.Names {
		x := web.SupplementName{Name: n.Name, Exhibit: n.Exhibit}
		if dom, err := d.s.Casework.Domain(ctx, v.Case, n.Name); err == nil {
			x.Evidence = len(dom.Evidence)
		}
		for _, b := range n.Blocked {
			x.Blocked = append(x.Blocked, b.Gate+": "+b.Reason)
		}
		for _, g := range n.Verdicts {
			switch g.Outcome {
			case impound.GateUnknown:
				x.Unknown = append(x.Unknown, g.Gate)
			case impound.GateWarn:
				x.Warned = append(x.Warned, g.Gate)
			}
		}
		v.Names = append(v.Names, x)
	}
	return v, nil
}
