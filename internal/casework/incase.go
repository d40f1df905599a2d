package casework

import (
	"fmt"
	"slices"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// A name that a case holds already is no news: its row is born closed, as one
// that was promoted to that case, and is open only to those who may not see the
// case. A name that was let go is free again, and comes up.

// holder gives the case that holds n; "" for none. Of several it is one that is
// not sealed, where there is one, since more people see that.
func (b *book) holder(n impound.Name) (string, error) {
	docs, err := b.tx.List(store.Query{Kind: kindDomain, Field: "name", Value: n.String()})
	if err != nil {
		return "", err
	}
	best := ""
	for _, d := range docs {
		id := d.Index["case"]
		if impound.DomainState(d.Index["state"]) == impound.StateReleased {
			continue
		}
		if best == "" || len(b.seals[best].Parties) > 0 && len(b.seals[id].Parties) == 0 {
			best = id
		}
	}
	return best, nil
}

// birth gives how the row of domain stands when n is the first that is seen of
// it: closed where a case holds the domain, or n itself.
func (b *book) birth(domain, n impound.Name) (Standing, error) {
	key := domain.String() + " " + n.String()
	if st, ok := b.births[key]; ok {
		return st, nil
	}
	st := Standing{Status: CandidateOpen}
	for _, x := range []impound.Name{domain, n} {
		id, err := b.holder(x)
		if err != nil {
			return st, err
		}
		if id != "" {
			st = Standing{Status: CandidatePromoted, Case: id, Why: x.Defanged() + " was in the case already"}
			break
		}
		if domain == n {
			break
		}
	}
	b.births[key] = st
	return st, nil
}

// outside opens a row whose case holds some of its hosts, but neither the domain
// nor n, which is new.
func (b *book) outside(r *Row, n impound.Name) (bool, error) {
	if r.Status != CandidatePromoted || n == r.Name {
		return false, nil
	}
	for _, x := range []impound.Name{r.Name, n} {
		if id, err := b.holder(x); err != nil || id != "" {
			return false, err
		}
	}
	if r.Open == nil { // others than the case's people learn nothing of it
		r.Open = &Standing{Status: CandidateOpen, Rev: r.Rev}
	}
	// Case stays: the text names it.
	r.Status, r.Again = CandidateOpen, fmt.Sprintf("case %s holds another name of it; since then a new host %s", r.Case, n.Defanged())
	r.Rev++
	return true, nil
}

// taken closes the rows of names that were put into a case otherwise than from
// the queue. What people decided of a row stays as it was for those who may not
// see the case; a dismissal stays for all.
func (b *book) taken(by, caseID string, names []string) error {
	if len(names) == 0 {
		return nil
	}
	if n, err := b.tx.Count(store.Query{Kind: kindRow}); err != nil || n == 0 {
		return err
	}
	for _, text := range names {
		n, err := impound.ParseName(text)
		if err != nil {
			return err
		}
		h, err := b.get(rowName(n), "")
		if err != nil {
			return err
		}
		if h == nil || h.Status != CandidateOpen && h.Status != CandidateSnoozed {
			continue
		}
		r := &h.Row
		if n != r.Name {
			if all, err := b.holdsAll(r); err != nil {
				return err
			} else if !all {
				continue // the rest of it is still to be decided
			}
		}
		if r.Open == nil {
			open := r.Standing
			r.Open = &open
		}
		r.Standing = Standing{Status: CandidatePromoted, Case: caseID, By: by, At: b.now, Why: "added to the case", Rev: r.Rev + 1, Score: r.Score, Known: r.known(), Brand0: r.Brand}
		if err := b.put(h); err != nil {
			return err
		}
		if err := b.mirror(h); err != nil {
			return err
		}
	}
	return nil
}

// holdsAll says whether every host of a row is in a case.
func (b *book) holdsAll(r *Row) (bool, error) {
	if r.Count > len(r.Hosts) {
		return false, nil
	}
	for _, x := range r.Hosts {
		if id, err := b.holder(x.Name); err != nil || id == "" {
			return false, err
		}
	}
	return true, nil
}

// inCases gives the cases that x may see and that hold the row's domain or one of
// its hosts.
func (x Sight) inCases(tx store.Tx, r Row) ([]string, error) {
	var out []string
	held := x.kept().held
	look := func(n impound.Name) error {
		if !held[n] {
			return nil
		}
		docs, err := tx.List(store.Query{Kind: kindDomain, Field: "name", Value: n.String()})
		for _, d := range docs {
			if id := d.Index["case"]; x.Case(id) && !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
		return err
	}
	if err := look(r.Name); err != nil {
		return nil, err
	}
	for _, h := range r.Hosts {
		if h.Name != r.Name {
			if err := look(h.Name); err != nil {
				return nil, err
			}
		}
	}
	slices.Sort(out)
	return out, nil
}
