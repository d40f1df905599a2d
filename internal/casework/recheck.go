package casework

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// kindRecheck holds, for each order, since when verdicts are worse. It may be
// lost: then they are worse since today.
const kindRecheck = "recheck"

// Worse is a verdict that is worse than it was when the order was filed.
type Worse struct {
	Name    impound.Name        `json:"name"`
	Was     impound.Outcome     `json:"was"`
	Since   time.Time           `json:"since"` // when a recheck saw it first
	Verdict impound.GateVerdict `json:"verdict"`
}

// Recheck is what the gates say of a filed order now.
type Recheck struct {
	Order   string    `json:"order"`
	Case    string    `json:"case"`
	At      time.Time `json:"at"`
	Names   int       `json:"names"`
	Blocked int       `json:"blocked"`         // names that a gate would keep out now
	Worse   []Worse   `json:"worse,omitempty"` // by gate, then name; overridden gates are not among them
}

// severity orders outcomes; what nobody knows is worse than a warning.
var severity = map[impound.Outcome]int{impound.GatePass: 0, impound.GateWarn: 1, impound.GateUnknown: 2, impound.GateBlock: 3}

// Recheck runs the gates on every name of a filed order again and says which
// verdicts are worse than those that were recorded when it was filed. It keeps a
// name in effect or out of it no more than [Service.CheckOrder] does: people
// decide what follows.
func (s *Service) Recheck(ctx context.Context, orderID string) (Recheck, error) {
	out := Recheck{Order: orderID, At: s.now()}
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return out, err
	}
	f, ok := view.orders[orderID]
	if !ok || !s.sightFor(view, ctx).Order(orderID) {
		return out, noOrder(orderID)
	}
	d, err := s.filed(f)
	if err != nil {
		return out, err
	}
	b, err := s.artefact(f.gates, "what the gates said of order "+orderID)
	if err != nil {
		return out, err
	}
	var was gateReport
	if err := json.Unmarshal(b, &was); err != nil {
		return out, impound.Errorf(impound.KindInternal, "what the gates said can't be read").At(f.gates)
	}
	before := make(map[impound.Name][]impound.GateVerdict, len(was.Names))
	for _, r := range was.Names {
		before[r.Name] = r.Verdicts
	}
	rep, err := s.CheckOrder(ctx, orderID+".yaml", d.data)
	if err != nil {
		return out, err
	}
	if len(rep.Problems) > 0 && rep.Names == nil {
		return out, rep.Problems
	}
	out.Case, out.Names = d.order.Case, len(rep.Names)
	for _, r := range rep.Names {
		if len(r.Blocked) > 0 {
			out.Blocked++
		}
		for _, v := range r.Verdicts {
			i := slices.IndexFunc(before[r.Name], func(x impound.GateVerdict) bool { return x.Gate == v.Gate })
			if i < 0 || slices.Contains(r.Overridden, v.Gate) {
				continue // a gate that this version has and that one had not
			}
			if o := before[r.Name][i].Outcome; severity[v.Outcome] > severity[o] {
				out.Worse = append(out.Worse, Worse{Name: r.Name, Was: o, Since: out.At, Verdict: v})
			}
		}
	}
	slices.SortFunc(out.Worse, func(a, b Worse) int {
		return cmp.Or(strings.Compare(a.Verdict.Gate, b.Verdict.Gate), strings.Compare(a.Name.String(), b.Name.String()))
	})
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		old, rev, err := store.Get[Recheck](tx, kindRecheck, orderID)
		if err != nil && impound.KindOf(err) != impound.KindNotFound {
			return err
		}
		type key struct {
			n impound.Name
			g string
			o impound.Outcome
		}
		since := map[key]time.Time{}
		for _, w := range old.Worse {
			since[key{w.Name, w.Verdict.Gate, w.Verdict.Outcome}] = w.Since
		}
		for i := range out.Worse {
			w := &out.Worse[i]
			if t, ok := since[key{w.Name, w.Verdict.Gate, w.Verdict.Outcome}]; ok {
				w.Since = t
			}
		}
		_, err = store.Put(tx, kindRecheck, orderID, rev, out, nil)
		return err
	})
	return out, err
}
