package casework

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/orderdoc"
	"github.com/impound/impound/internal/store"
)

// SupplementDraft is a supplement ready to be checked and signed, with what was
// left out of it.
type SupplementDraft struct {
	Document []byte         `json:"-"`
	Order    impound.Order  `json:"order"`
	Left     []LeftOut      `json:"left,omitempty"`
	NewZones []string       `json:"new_zones,omitempty"` // suffixes that the parent has no name of: another registry may run them
	Names    []impound.Name `json:"names"`
}

// LeftOut is a name that an order doesn't list, or a supplement can't, with why.
type LeftOut struct {
	Name impound.Name `json:"name"`
	Why  string       `json:"why"`
}

// Supplement drafts the next appendix to a filed order as an order of its own:
// it names the parent's id and hash and the clause that allows it, takes over
// its authority, parties, recipient, acts and end, and lists those names of the
// case that stand in no order of the family (the parent, what it hangs on, and
// every supplement of these). It begins now. The same state and the same second
// give the same octets. Nothing is changed or recorded by it.
//
// It refuses a parent that is not proven or has lapsed, and a case other than
// the parent's: what a court allowed against one actor must not reach another's
// names. KindNotFound says that no new name is there.
func (s *Service) Supplement(ctx context.Context, parentID, clause, caseID, id string) (SupplementDraft, error) {
	var out SupplementDraft
	if err := checkID("order", id); err != nil {
		return out, err
	}
	if clause = strings.TrimSpace(clause); clause == "" {
		return out, impound.Errorf(impound.KindInvalid, "which clause of %s allows supplements?", parentID).WithCure("give its number, such as 7 (--clause on the command line)")
	}
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return out, err
	}
	x := s.sightFor(view, ctx)
	if _, taken := view.orders[id]; taken && x.Order(id) {
		return out, impound.Errorf(impound.KindConflict, "an order %s is filed already", id).WithCure("choose another id")
	}
	parent, err := s.seen(view, x, parentID)
	if err != nil {
		return out, err
	}
	p := parent.Order()
	if caseID == "" {
		caseID = p.Case
	}
	if caseID != p.Case {
		return out, impound.Errorf(impound.KindRefused, "order %s was made in case %s: it can't be extended to names of case %s", parentID, p.Case, caseID).WithCure("ask for an order of its own")
	}
	if len(p.Acts.List()) == 0 {
		return out, impound.Errorf(impound.KindInvalid, "order %s gives acts to single names only, so what is meant for new ones can't be told", parentID).WithCure("draft it by hand: impound order draft " + caseID + ", with parent:, acts: and the new names")
	}
	from, until := parent.Window()
	now := s.now().Truncate(time.Second)
	if !now.Before(until) {
		return out, impound.Errorf(impound.KindRefused, "order %s lapsed %s: nothing can hang on it any more", parentID, until.Format(time.RFC3339)).WithCure("ask for a new order")
	}
	if now.After(from) {
		from = now
	}
	family, err := s.family(view, parentID)
	if err != nil {
		return out, err
	}
	listed := map[impound.Name]string{}
	zones := map[string]bool{}
	var exhibits, appendices []string
	for _, o := range family {
		for _, a := range o.Appendices {
			appendices = append(appendices, a.ID)
			for _, on := range a.Names {
				listed[on.Name] = o.ID
				suffix, _ := on.Name.PublicSuffix()
				zones[suffix.String()] = true
				exhibits = append(exhibits, on.Exhibit)
			}
		}
	}
	c, err := s.caseBut(ctx, x, caseID, func(n impound.Name) bool { return listed[n] != "" })
	if err != nil {
		return out, err
	}
	a := impound.Appendix{ID: nextAppendix(appendices)}
	for _, d := range c.Domains {
		switch d.State {
		case impound.StateCandidate, impound.StateEvidenced, impound.StateProposed:
		default:
			out.Left = append(out.Left, LeftOut{d.Name, "it is " + string(d.State)})
			continue
		}
		if why := view.contest(d.Name); why != "" {
			out.Left = append(out.Left, LeftOut{d.Name, why})
			continue
		}
		if reg, err := d.Name.RegistryDomain(); err != nil || reg != d.Name {
			out.Left = append(out.Left, LeftOut{d.Name, "a registry can't act on it: it is no registrable domain"})
			continue
		}
		a.Names = append(a.Names, impound.OrderName{Name: d.Name})
		suffix, _ := d.Name.PublicSuffix()
		if z := suffix.String(); !zones[z] && !slices.Contains(out.NewZones, z) {
			out.NewZones = append(out.NewZones, z)
		}
	}
	if len(a.Names) == 0 {
		why := ""
		if len(out.Left) > 0 {
			why = fmt.Sprintf(" (%d can't go in, the first is %s: %s)", len(out.Left), out.Left[0].Name.Defanged(), out.Left[0].Why)
		}
		return out, impound.Errorf(impound.KindNotFound, "case %s has no name that order %s and its supplements don't hold%s", caseID, parentID, why).WithCure("promote a candidate: impound watch promote NAME --case " + caseID)
	}
	slices.SortFunc(a.Names, func(x, y impound.OrderName) int {
		if c := strings.Compare(x.Name.TLD(), y.Name.TLD()); c != 0 {
			return c
		}
		return strings.Compare(x.Name.String(), y.Name.String())
	})
	number(a.Names, exhibits)
	for _, n := range a.Names {
		out.Names = append(out.Names, n.Name)
	}
	slices.Sort(out.NewZones)
	a.Count = len(a.Names)
	o := p
	o.ID, o.Case, o.Signatures = id, caseID, nil
	o.Parent = &impound.ParentRef{ID: p.ID, Hash: parent.Hash(), Clause: clause}
	o.Issued, o.From, o.Until = now, from, until
	if !o.ExecuteAt.After(from) { // the parent's instant is past: it was for the parent's names
		o.ExecuteAt = time.Time{}
	}
	if !o.SealedUntil.After(now) {
		o.SealedUntil = time.Time{}
	}
	o.Appendices = []impound.Appendix{a}
	out.Order = o
	out.Document = orderdoc.Draft(c, o)
	// Ready to sign means that it reads back as what was meant.
	back, err := orderdoc.Parse(id+".yaml", out.Document)
	if err != nil {
		return out, err
	}
	if back.Hash() != out.Order.Hash() {
		return out, impound.Errorf(impound.KindInternal, "the draft reads back as another order").At(id)
	}
	return out, nil
}

// fewOthers is up to how many names are read one by one.
const fewOthers = 200

// caseBut gives a case with those of its names of which not is false: most of a
// large case stand in the order already, and are not read.
func (s *Service) caseBut(ctx context.Context, x Sight, id string, not func(impound.Name) bool) (impound.Case, error) {
	var c impound.Case
	many := false
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		var err error
		if c, err = getCase(tx, x, id); err != nil {
			return err
		}
		ids, err := store.IDs(tx, store.Query{Kind: kindDomain, Field: "case", Value: id})
		if err != nil {
			return err
		}
		ids = slices.DeleteFunc(ids, func(d string) bool {
			n, err := impound.ParseName(strings.TrimPrefix(d, id+"/"))
			return err == nil && not(n)
		})
		if many = len(ids) > fewOthers; many {
			return nil
		}
		for _, d := range ids {
			v, _, err := store.Get[storedDomain](tx, kindDomain, d)
			if err != nil {
				return err
			}
			c.Domains = append(c.Domains, v.domain())
		}
		return nil
	})
	if err != nil {
		return c, err
	}
	if many {
		if c, err = s.Case(ctx, id); err != nil {
			return c, err
		}
	}
	c.Domains = slices.DeleteFunc(slices.Clone(c.Domains), func(d impound.CaseDomain) bool { return not(d.Name) })
	return c, nil
}

// family gives the order id, what it hangs on, and every filed supplement of
// these.
func (s *Service) family(view ledgerView, id string) ([]*impound.Order, error) {
	all := map[string]*impound.Order{}
	for _, x := range view.orderIDs {
		d, err := s.filed(view.orders[x])
		if err != nil {
			// What it holds can't be told, so nobody can say what is new.
			return nil, impound.Errorf(impound.KindOf(err), "order %s can't be read, so what is new can't be told: %w", x, err)
		}
		all[x] = d.order
	}
	root := func(x string) string {
		for range 32 {
			o := all[x]
			if o == nil || o.Parent == nil || all[o.Parent.ID] == nil {
				break
			}
			x = o.Parent.ID
		}
		return x
	}
	var out []*impound.Order
	for _, x := range view.orderIDs {
		if root(x) == root(id) {
			out = append(out, all[x])
		}
	}
	return out, nil
}

// nextAppendix gives the letter or number after those in use.
func nextAppendix(used []string) string {
	letter, n := byte('A'-1), 0
	for _, u := range used {
		if len(u) == 1 && u[0] >= 'A' && u[0] <= 'Z' {
			letter = max(letter, u[0])
		}
		if i, err := strconv.Atoi(u); err == nil {
			n = max(n, i)
		}
	}
	switch {
	case n > 0:
		return strconv.Itoa(n + 1)
	case letter >= 'A' && letter < 'Z':
		return string(letter + 1)
	}
	for i := len(used) + 1; ; i++ {
		if id := strconv.Itoa(i); !slices.Contains(used, id) {
			return id
		}
	}
}

var exhibitRule = regexp.MustCompile(`^(.*?)(\d{1,9})$`)

// number gives names the exhibit numbers after those in use, when all of these
// are of one kind ("Ex. 7"); else counsel has to.
func number(names []impound.OrderName, used []string) {
	prefix, n, seen := "", 0, false
	for _, u := range used {
		m := exhibitRule.FindStringSubmatch(u)
		if m == nil || seen && m[1] != prefix {
			return
		}
		i, err := strconv.Atoi(m[2])
		if err != nil {
			return
		}
		prefix, n, seen = m[1], max(n, i), true
	}
	if !seen {
		return
	}
	for i := range names {
		names[i].Exhibit = prefix + strconv.Itoa(n+1+i)
	}
}
