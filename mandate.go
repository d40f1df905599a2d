package impound

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// MinSigners is how many distinct people must have signed an order or a plan.
const MinSigners = 2

// Mandate is an order proven genuine: valid as a document, signed by at least
// [MinSigners] approvers whose keys are enrolled, and, for a supplement, with a
// proven parent. The zero Mandate permits nothing, and only
// [Order.Authorize] makes another. It is immutable and safe for concurrent use.
type Mandate struct {
	order   *Order
	hash    string
	signers []string
	acts    map[Name]Acts
	without map[Name]bool // names that a gate keeps out: see Without
	parent  *Mandate
	ended   time.Time // see EndedAt; zero: at its date
}

// Authorize proves the order. For a supplement, parent is the mandate of the
// order that it names; otherwise nil. An order whose dates lie in the future or
// past can be authorized: dates are judged by [Mandate.Permit], at every use.
func (o *Order) Authorize(keys Keyring, parent *Mandate) (*Mandate, error) {
	// Beside the checks: an order can hold 10,000 names.
	var hash string
	var err error
	hashed := make(chan struct{})
	go func() {
		defer close(hashed)
		hash, err = HashOf(o)
	}()
	ps := o.Validate()
	c := o.clone() // what is proven must not change afterwards
	<-hashed
	if len(ps) > 0 {
		return nil, ps
	}
	if err != nil {
		return nil, err
	}
	m := &Mandate{order: c, hash: hash, acts: map[Name]Acts{}}
	if m.signers, err = Signers(o.Signatures, SignOrder, m.hash, keys, RoleApprover); err != nil {
		return nil, err
	}
	if n := len(m.signers); n < MinSigners {
		return nil, Errorf(KindRefused, "order %s is signed by %d of %d people", o.ID, n, MinSigners).At("signatures").WithCure("have another approver run: impound order sign FILE --as PERSON")
	}
	if o.Parent != nil {
		switch {
		case parent == nil:
			return nil, Errorf(KindRefused, "order %s supplements %s, which is not proven here", o.ID, o.Parent.ID).At("parent")
		case parent.order.ID != o.Parent.ID || parent.hash != o.Parent.Hash:
			return nil, Errorf(KindRefused, "order %s supplements %s %s, but that order's hash is %s", o.ID, o.Parent.ID, o.Parent.Hash, parent.hash).At("parent.hash")
		}
		m.parent = parent
	}
	for i := range c.Appendices {
		for _, on := range c.Appendices[i].Names {
			a := c.Acts
			if on.Acts != nil {
				a = *on.Acts
			}
			m.acts[on.Name] = a.clone()
		}
	}
	return m, nil
}

// ID is the order's id.
func (m *Mandate) ID() string { return m.order.ID }

// Case is the id of the case that the order belongs to.
func (m *Mandate) Case() string { return m.order.Case }

// Hash is the hash of the order's document.
func (m *Mandate) Hash() string { return m.hash }

// Signers are the people whose signatures were proven.
func (m *Mandate) Signers() []string { return slices.Clone(m.signers) }

// Order gives a copy of the document.
func (m *Mandate) Order() Order {
	return *m.order.clone()
}

// Window gives the dates between which the mandate holds: the order's, cut to
// its parents' and to when it was withdrawn. From is included, until is not; a
// window that ends before it begins never opens.
func (m *Mandate) Window() (from, until time.Time) {
	from, until = m.order.From, m.order.Until
	if !m.ended.IsZero() && m.ended.Before(until) {
		until = m.ended
	}
	if m.parent != nil {
		pf, pu := m.parent.Window()
		if pf.After(from) {
			from = pf
		}
		if pu.Before(until) {
			until = pu
		}
	}
	return from, until
}

// EndedAt gives a mandate that is m, except that it permits nothing from t on: its
// order was withdrawn before its date. A mandate's end can only come nearer.
func (m *Mandate) EndedAt(t time.Time) *Mandate {
	if m == nil || m.order == nil || t.IsZero() || !m.ended.IsZero() && m.ended.Before(t) {
		return m
	}
	c := *m
	c.ended = t
	return &c
}

// ReleaseWindow gives the dates between which names may be let go: those of the
// order, and beyond its end those of its return clause, cut to its parents'. An
// order that was withdrawn has no return clause any more.
func (m *Mandate) ReleaseWindow() (from, until time.Time) {
	from, until = m.Window()
	if r := m.order.Release; r != nil && r.Until.After(until) && m.ended.IsZero() {
		until = r.Until
		if m.parent != nil {
			if _, pu := m.parent.ReleaseWindow(); pu.Before(until) {
				until = pu
			}
		}
	}
	return from, until
}

// Releases says whether the order lets a name go in this way at now.
func (m *Mandate) Releases(how string, now time.Time) error {
	if m == nil || m.order == nil {
		return Errorf(KindRefused, "no order: nothing may be let go")
	}
	hows := m.order.ReleaseHow()
	from, until := m.ReleaseWindow()
	switch {
	case len(hows) == 0:
		return Errorf(KindRefused, "order %s lets no name go: at its end %s, and it has no return clause", m.order.ID, m.order.AtEnd).WithCure("file an order with a return clause (release:)")
	case !slices.Contains(hows, how):
		return Errorf(KindRefused, "order %s does not let a name go by %s; it allows %s", m.order.ID, how, strings.Join(hows, ", ")).WithCure("choose one that it allows, or file an order with a return clause (release:)")
	case now.Before(from):
		return Errorf(KindRefused, "order %s is not yet in force: it begins %s", m.order.ID, from.Format(time.RFC3339))
	case !now.Before(until):
		return Errorf(KindRefused, "order %s has lapsed: names could be let go until %s", m.order.ID, until.Format(time.RFC3339)).WithCure("file an order that covers the names, or have the registry do it")
	}
	return nil
}

// InForce says whether now lies in the window.
func (m *Mandate) InForce(now time.Time) bool {
	if m == nil || m.order == nil {
		return false
	}
	from, until := m.Window()
	return !now.Before(from) && now.Before(until)
}

// Without gives a mandate that is m, except that it permits nothing for names:
// those that a gate keeps out of effect (law 2). The document and its hash stay
// what they are. A mandate can only shrink; there is no way to add a name.
func (m *Mandate) Without(names ...Name) *Mandate {
	if m == nil || m.order == nil {
		return m
	}
	c := *m
	c.acts, c.without = maps.Clone(m.acts), maps.Clone(m.without)
	for _, n := range names {
		if _, ok := c.acts[n]; ok {
			delete(c.acts, n)
			if c.without == nil {
				c.without = map[Name]bool{}
			}
			c.without[n] = true
		}
	}
	return &c
}

// Withheld gives the names of the order that [Mandate.Without] took out, in the
// order of the appendices.
func (m *Mandate) Withheld() []Name {
	var out []Name
	for _, on := range m.order.Names() {
		if m.without[on.Name] {
			out = append(out, on.Name)
		}
	}
	return out
}

// Names gives the names that the mandate can permit acts for, in the order of
// the appendices: the order's, but for those withheld.
func (m *Mandate) Names() []Name {
	var out []Name
	for _, on := range m.order.Names() {
		if !m.without[on.Name] {
			out = append(out, on.Name)
		}
	}
	return out
}

// Acts gives what is ordered for n; false when n is in no appendix.
func (m *Mandate) Acts(n Name) (Acts, bool) {
	a, ok := m.acts[n]
	return a.clone(), ok
}

// Payer gives who pays when registrations are about to end: as the order says, or
// one that it supplements; "" when none of them does. It says nothing of
// [ActRenew]: what is ordered is paid by whoever does it.
func (m *Mandate) Payer() string {
	for ; m != nil && m.order != nil; m = m.parent {
		if c := m.order.Custody; c != nil && c.RenewalBy != "" {
			return c.RenewalBy
		}
	}
	return ""
}

// Permit gives the permission to do act to n, or an [Error] of KindRefused that
// says which of name, act and date is not covered.
func (m *Mandate) Permit(act Act, n Name, now time.Time) (Permit, error) {
	if m == nil || m.order == nil {
		return Permit{}, Errorf(KindRefused, "no order: nothing may be done to %s", n.Defanged())
	}
	a, ok := m.acts[n]
	if m.without[n] {
		return Permit{}, Errorf(KindRefused, "%s is kept out of order %s by a gate", n.Defanged(), m.order.ID).WithCure("impound order check FILE says why; two approvers can override a gate")
	}
	if !ok {
		return Permit{}, Errorf(KindRefused, "%s is in no appendix of order %s", n.Defanged(), m.order.ID)
	}
	if act == ActRelease || act == ActDelete {
		hows := m.order.ReleaseHow()
		if act == ActDelete && !slices.Contains(hows, ReleaseDelete) || len(hows) == 0 {
			return Permit{}, Errorf(KindRefused, "order %s does not order %s for %s", m.order.ID, act, n.Defanged())
		}
		from, until := m.ReleaseWindow()
		p := Permit{order: m.order.ID, hash: m.hash, name: n, act: act, from: from, until: until}
		if err := p.Check(act, n, now); err != nil {
			return Permit{}, err
		}
		return p, nil
	}
	if !a.Allows(act) {
		return Permit{}, Errorf(KindRefused, "order %s does not order %s for %s", m.order.ID, act, n.Defanged())
	}
	from, until := m.Window()
	p := Permit{order: m.order.ID, hash: m.hash, name: n, act: act, from: from, until: until}
	if err := p.Check(act, n, now); err != nil {
		return Permit{}, err
	}
	return p, nil
}

// Permit is the permission of one order for one act on one name. Connectors and
// sinkhole policies take nothing else. The zero Permit permits nothing; only
// [Mandate.Permit] makes another.
type Permit struct {
	order, hash string
	name        Name
	act         Act
	from, until time.Time
}

// Check is asked again at the moment of the effect: it says whether p permits
// act on n now. The error is an [Error] of KindRefused.
func (p Permit) Check(act Act, n Name, now time.Time) error {
	switch {
	case p.order == "":
		return Errorf(KindRefused, "no order: %s of %s is not permitted", act, n.Defanged())
	case p.act != act || p.name != n:
		return Errorf(KindRefused, "the permit is for %s of %s, not for %s of %s", p.act, p.name.Defanged(), act, n.Defanged())
	case now.Before(p.from):
		return Errorf(KindRefused, "order %s is not yet in force: it begins %s", p.order, p.from.Format(time.RFC3339))
	case !now.Before(p.until):
		return Errorf(KindRefused, "order %s has lapsed: it ended %s", p.order, p.until.Format(time.RFC3339))
	}
	return nil
}

// OrderID is the order that p rests on.
func (p Permit) OrderID() string { return p.order }

// OrderHash is the hash of that order.
func (p Permit) OrderHash() string { return p.hash }

// Name is what p is for.
func (p Permit) Name() Name { return p.name }

// Act is what p allows.
func (p Permit) Act() Act { return p.act }

// Window gives the dates of p.
func (p Permit) Window() (from, until time.Time) { return p.from, p.until }
