package web

import (
	"context"
	"fmt"
	"sync"
	"time"

	impound "github.com/impound/impound"
)

// memo is a Desk that asks each question once per request, and lets the polls
// of open pages share their answers for a moment: ten open pages must not cost
// the house ten times as much. Contacts and counts of contacts are never
// shared between requests, so that a page follows them as they come.
type memo struct {
	Desk
	cache *cache
	who   string    // whose answers: what one may see is not for another
	after time.Time // answers from before this are stale
}

// shareFor is how old an answer may be that a poll takes from another one.
const shareFor = 800 * time.Millisecond

// cache holds answers by question. Its clock is the real one: the injected
// clock may stand still.
type cache struct {
	mu     sync.Mutex
	m      map[string]*answer
	turned time.Time
}

type answer struct {
	mu  sync.Mutex // held while asking, so that a question is not asked twice at once
	at  time.Time
	val any
}

// forgetAfter bounds what the cache holds: an answer can be long, and ids in
// questions come from readers.
const forgetAfter = 2 * time.Second

func (c *cache) get(key string) *answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.m == nil || now.Sub(c.turned) > forgetAfter {
		c.m, c.turned = map[string]*answer{}, now
	}
	a := c.m[key]
	if a == nil {
		a = &answer{}
		c.m[key] = a
	}
	return a
}

// ask gives the answer to key, asking where there is none fresh enough. Errors
// are not kept.
func ask[T any](m *memo, key string, fn func() (T, error)) (T, error) {
	a := m.cache.get(fmt.Sprintf("%q %s", m.who, key))
	a.mu.Lock()
	defer a.mu.Unlock()
	if v, ok := a.val.(T); ok && !a.at.Before(m.after) {
		return v, nil
	}
	at := time.Now()
	v, err := fn()
	if err == nil {
		a.at, a.val = at, v
	}
	return v, err
}

// logged is what Log answers.
type logged struct {
	lines []LogEntry
	n     int
}

func (m *memo) Cases(ctx context.Context) ([]CaseHead, error) {
	return ask(m, "cases", func() ([]CaseHead, error) { return m.Desk.Cases(ctx) })
}

func (m *memo) Case(ctx context.Context, id string) (impound.Case, error) {
	return ask(m, "case "+id, func() (impound.Case, error) { return m.Desk.Case(ctx, id) })
}

func (m *memo) Candidates(ctx context.Context, status string) ([]impound.Candidate, error) {
	return ask(m, "candidates "+status, func() ([]impound.Candidate, error) { return m.Desk.Candidates(ctx, status) })
}

func (m *memo) QueueCounts(ctx context.Context) (map[string]int, error) {
	return ask(m, "queue counts", func() (map[string]int, error) { return m.Desk.QueueCounts(ctx) })
}

// Orders asks for all orders once, whichever case they are wanted for: the
// status line wants all of them anyway.
func (m *memo) Orders(ctx context.Context, caseID string) ([]OrderView, error) {
	all, err := ask(m, "orders", func() ([]OrderView, error) { return m.Desk.Orders(ctx, "") })
	if err != nil || caseID == "" {
		return all, err
	}
	var out []OrderView
	for _, o := range all {
		if o.Case == caseID {
			out = append(out, o)
		}
	}
	return out, nil
}

func (m *memo) Plans(ctx context.Context, caseID, orderID string) ([]PlanView, error) {
	return ask(m, fmt.Sprintf("plans %q %q", caseID, orderID), func() ([]PlanView, error) { return m.Desk.Plans(ctx, caseID, orderID) })
}

func (m *memo) Reports(ctx context.Context, caseID string) ([]ReportView, error) {
	return ask(m, "reports "+caseID, func() ([]ReportView, error) { return m.Desk.Reports(ctx, caseID) })
}

func (m *memo) Log(ctx context.Context, q LogQuery) ([]LogEntry, int, error) {
	v, err := ask(m, fmt.Sprintf("log %q %q %q %q %d %d", q.Case, q.Order, q.Name.String(), q.Type, q.Limit, q.Offset), func() (logged, error) {
		lines, n, err := m.Desk.Log(ctx, q)
		return logged{lines, n}, err
	})
	return v.lines, v.n, err
}

func (m *memo) Alarms(ctx context.Context) ([]AlarmView, error) {
	return ask(m, "alarms", func() ([]AlarmView, error) { return m.Desk.Alarms(ctx) })
}

func (m *memo) Gaps(ctx context.Context) ([]impound.Gap, error) {
	return ask(m, "gaps", func() ([]impound.Gap, error) { return m.Desk.Gaps(ctx) })
}

func (m *memo) Sources(ctx context.Context) ([]SourceView, error) {
	return ask(m, "sources", func() ([]SourceView, error) { return m.Desk.Sources(ctx) })
}

func (m *memo) Sensors(ctx context.Context) ([]SensorView, error) {
	return ask(m, "sensors", func() ([]SensorView, error) { return m.Desk.Sensors(ctx) })
}

// Verdicts hands the question on to a Desk that knows the gates' reasons; any
// other has no more of them than the name has.
func (m *memo) Verdicts(ctx context.Context, caseID string, n impound.Name) ([]impound.GateVerdict, error) {
	if full, ok := m.Desk.(interface {
		Verdicts(ctx context.Context, caseID string, n impound.Name) ([]impound.GateVerdict, error)
	}); ok {
		return full.Verdicts(ctx, caseID, n)
	}
	return nil, impound.Errorf(impound.KindUnavailable, "this desk doesn't know the gates' reasons")
}
