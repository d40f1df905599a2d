package casework

import (
	"context"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/store"
)

// Asking is a filed order about which the gates can be asked name by name: what
// concerns the whole of it was read, once. It is of the moment in which it was
// made, so keep it for seconds. What people decided counts as of each asking, and
// each name is looked at then. It is safe for concurrent use.
type Asking struct {
	s           *Service
	order       *impound.Order
	from, until time.Time
	c           impound.Case // without its names
	names       []impound.OrderName
	at          map[impound.Name]int // into names
	domains     map[impound.Name]impound.CaseDomain
	claims      map[impound.Name][]string
	marks       map[impound.Name]impound.Marking
	taken       map[impound.Name]Taken
	fleet       *gate.Capacity
}

// Asking makes ready to ask the gates about names of a filed order, for whoever
// ctx says. What the names draw together is counted from what is known without
// looking ([Config].Passive).
func (s *Service) Asking(ctx context.Context, orderID string) (*Asking, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	x := s.sightFor(view, ctx)
	f, ok := view.orders[orderID]
	if !ok || !x.Order(orderID) {
		return nil, noOrder(orderID)
	}
	d, err := s.filed(f)
	if err != nil {
		return nil, err
	}
	m, err := s.mandate(view, orderID, 0)
	if err != nil {
		return nil, err
	}
	from, until := m.Window()
	c, claims, err := s.caseFor(ctx, x, d.order)
	if err != nil && impound.KindOf(err) != impound.KindNotFound { // an order without its case is for the gates to judge
		return nil, err
	}
	a, err := s.asking(ctx, view, d.order, c, from, until, claims)
	if err != nil {
		return nil, err
	}
	known := make([]Facts, len(a.names))
	if s.cfg.Passive != nil {
		for i, on := range a.names {
			known[i] = s.cfg.Passive(on.Name)
		}
	}
	a.fleet = s.fleet(ctx, known, a.taken, a.names)
	return a, nil
}

// All gives the names of the order, those that a gate kept out among them.
func (a *Asking) All() []impound.Name {
	out := make([]impound.Name, len(a.names))
	for i, on := range a.names {
		out[i] = on.Name
	}
	return out
}

// Names looks at names of the order and gives what the gates say of each, in the
// order given. One that the order doesn't have is left out.
func (a *Asking) Names(ctx context.Context, names []impound.Name) ([]NameReport, error) {
	var ons []impound.OrderName
	for _, n := range names {
		if i, ok := a.at[n]; ok {
			ons = append(ons, a.names[i])
		}
	}
	facts, err := a.look(ctx, ons)
	if err != nil {
		return nil, err
	}
	// Only now: what was decided while somebody looked counts.
	view, err := a.s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	return a.judge(ctx, view, ons, facts), nil
}

// caseFor reads the case of an order, and the actors that claim names of it. Its
// error is KindNotFound where x may not see the case.
func (s *Service) caseFor(ctx context.Context, x Sight, o *impound.Order) (c impound.Case, claims map[impound.Name][]string, err error) {
	claims = map[impound.Name][]string{}
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		var err error
		if c, err = getCase(tx, x, o.Case); err != nil {
			return err
		}
		if c.Domains, err = readDomains(tx, o.Case, 0, 0); err != nil {
			return err
		}
		return s.claims(tx, x, c, o, claims)
	})
	return c, claims, err
}

// asking makes an Asking without its fleet.
func (s *Service) asking(ctx context.Context, view ledgerView, o *impound.Order, c impound.Case, from, until time.Time, claims map[impound.Name][]string) (*Asking, error) {
	a := &Asking{s: s, order: o, from: from, until: until, c: c, names: o.Names(), claims: claims, domains: make(map[impound.Name]impound.CaseDomain, len(c.Domains))}
	a.c.Domains = nil
	a.at = make(map[impound.Name]int, len(a.names))
	all := make([]impound.Name, len(a.names))
	for i, on := range a.names {
		a.at[on.Name], all[i] = i, on.Name
	}
	for _, d := range c.Domains {
		a.domains[d.Name] = d
	}
	var err error
	if s.cfg.Facts != nil {
		if a.marks, err = s.Markings(ctx, all); err != nil {
			return nil, err
		}
	}
	a.taken, err = s.taken(ctx, o.ID)
	return a, err
}

const (
	looksEach = 8   // at names of one registry at once
	looksAll  = 128 // of all registries
)

// look asks for the facts of names. The names of one registry wait for each other,
// and for no other's: one that hangs holds nobody else's up.
func (a *Asking) look(ctx context.Context, names []impound.OrderName) ([]Facts, error) {
	facts := make([]Facts, len(names))
	s := a.s
	if s.cfg.Facts == nil {
		return facts, nil
	}
	ctx = context.WithValue(ctx, markingsKey{}, a.marks)
	of := map[string][]int{}
	for i, on := range names {
		key := ""
		if s.cfg.Registry != nil {
			key = s.cfg.Registry(on.Name)
		}
		of[key] = append(of[key], i)
	}
	each := min(looksEach, max(1, looksAll/max(1, len(of))))
	var wg sync.WaitGroup
	for _, idx := range of {
		next := make(chan int, len(idx))
		for _, i := range idx {
			next <- i
		}
		close(next)
		for range min(each, len(idx)) {
			wg.Go(func() {
				for i := range next {
					f, err := s.cfg.Facts(ctx, names[i].Name)
					if err != nil {
						s.cfg.Log.Warn("couldn't look at a name for its gates", "name", names[i].Name.Defanged(), "err", err)
					}
					facts[i] = f
				}
			})
		}
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "the check was broken off: %w", err)
	}
	return facts, nil
}

// judge runs the gates on names by facts.
func (a *Asking) judge(ctx context.Context, view ledgerView, names []impound.OrderName, facts []Facts) []NameReport {
	s, o := a.s, a.order
	now := s.now()
	lists, _ := s.gates()
	out := make([]NameReport, len(names))
	for i, on := range names {
		d, inCase := a.domains[on.Name]
		f := facts[i]
		exhibits, arts := s.exhibits(view, o.Case, d.Evidence)
		in := gate.Input{
			Name: on.Name, Now: now, Order: orderOf(o, on), From: a.from, Until: a.until,
			FirstSeen: d.FirstSeen, InCase: inCase, Evidence: len(d.Evidence),
			ProviderContacted: f.ProviderContacted, Created: f.Created, CreatedAsOf: f.CreatedAsOf, CreatedWhy: f.CreatedWhy, NS: f.NS, NSAsOf: f.NSAsOf, NSWhy: f.NSWhy, HTTP: f.HTTP, Tenants: s.tenants(on.Name, f.Tenants, arts),
			Addrs: f.Addrs, AddrsAsOf: f.AddrsAsOf, CaseTLP: a.c.TLP, Exhibits: exhibits, Own: d.Marking, Marking: d.Marking.In(a.c.Marking()), Taken: a.taken[on.Name].At, Views: a.taken[on.Name].Views,
		}
		if a.fleet != nil {
			own := *a.fleet
			if f.Demand != nil {
				own.Own = f.Demand.Source
			}
			in.Capacity = &own
		}
		view.inform(&in, view.actors[o.Case], a.claims[on.Name])
		vs := gate.Run(ctx, in, lists)
		acts := o.Acts
		if on.Acts != nil {
			acts = *on.Acts
		}
		nr := NameReport{Name: on.Name, Exhibit: on.Exhibit, Acts: acts.List(), Verdicts: vs, Overridden: view.overridden(on.Name), Facts: f}
		nr.Blocked = gate.Blocking(vs, nr.Overridden...)
		out[i] = nr
	}
	return out
}
