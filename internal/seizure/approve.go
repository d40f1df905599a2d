package seizure

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/quickjson"
	"github.com/impound/impound/internal/store"
)

// record is a plan with its approvals as stored.
type record struct {
	Plan      Plan                `json:"plan"`
	Approvals []impound.Signature `json:"approvals,omitempty"`
	Applied   time.Time           `json:"applied,omitzero"` // when an apply last ended with every name done
}

// PlanInfo is a stored plan with where it stands.
type PlanInfo struct {
	Plan      Plan      `json:"plan"`
	Hash      string    `json:"hash"`
	Approvers []string  `json:"approvers"` // whose signatures hold now
	Approved  bool      `json:"approved"`
	Expired   bool      `json:"expired"`
	Applied   time.Time `json:"applied,omitzero"`
}

// NoPlan is the answer for a plan that isn't there, for whoever must give it of
// one that somebody may not know of.
func NoPlan(planID string) error {
	return impound.Errorf(impound.KindNotFound, "there is no plan %s", planID).WithCure("list them with: impound seize list")
}

func (e *Engine) load(ctx context.Context, planID string) (record, error) {
	var r record
	err := e.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		r, _, err = store.Get[record](tx, docPlan, planID)
		return err
	})
	if isNotFound(err) {
		return r, NoPlan(planID)
	}
	return r, err
}

func (e *Engine) info(r record) (PlanInfo, error) {
	h, err := r.Plan.Hash()
	if err != nil {
		return PlanInfo{}, err
	}
	return e.infoOf(r, h)
}

// infoOf is info for a record whose plan has hash h.
func (e *Engine) infoOf(r record, h string) (pi PlanInfo, err error) {
	pi = PlanInfo{Plan: r.Plan, Hash: h, Expired: !e.now().Before(r.Plan.Expires), Applied: r.Applied}
	if pi.Approvers, err = impound.Signers(r.Approvals, impound.SignPlan, h, e.cfg.Keys, impound.RoleApprover); err != nil {
		pi.Approvers = nil // a plan that was touched has no approvals
	}
	pi.Approved = len(pi.Approvers) >= impound.MinSigners
	return pi, nil
}

// Get gives a stored plan with its approvals proven.
func (e *Engine) Get(ctx context.Context, planID string) (PlanInfo, error) {
	var r hashed
	err := e.cfg.Store.View(ctx, func(tx store.Tx) error {
		d, err := tx.Get(docPlan, planID)
		if err == nil {
			r, err = readPlan(d)
		}
		return err
	})
	if isNotFound(err) {
		return PlanInfo{}, NoPlan(planID)
	}
	if err != nil {
		return PlanInfo{}, err
	}
	return e.infoOf(r.record, r.hash)
}

// readPlan reads a stored plan and gives the hash that its approvers sign. A long
// plan is not written again for that: where its text was read strictly, nothing in
// it unknown, doubled or spelled otherwise, the hash of the text in order is that of
// the plan.
func readPlan(d store.Doc) (r hashed, err error) {
	if quickjson.Strict(d.Body, &r.record) {
		if text, ok := quickjson.First(d.Body, "plan"); ok {
			if r.hash, err = impound.HashOfJSON(text); err == nil {
				return r, nil
			}
		}
	} else if err := store.Decode(d, &r.record); err != nil {
		return hashed{}, err
	}
	r.hash, err = r.Plan.Hash()
	return r, err
}

// Plans lists the plans of an order, newest first; of all orders for "".
func (e *Engine) Plans(ctx context.Context, orderID string) ([]PlanInfo, error) {
	q := store.Query{Kind: docPlan}
	if orderID != "" {
		q.Field, q.Value = "order", orderID
	}
	word, err := store.VersionOf(ctx, e.cfg.Store, docPlan) // before what it stands for is read
	if err != nil {
		return nil, err
	}
	rs, fresh := e.plans.get(orderID, word)
	if !fresh {
		defer e.turns.Take("plans " + orderID)()
		if word, err = store.VersionOf(ctx, e.cfg.Store, docPlan); err != nil {
			return nil, err
		}
		rs, fresh = e.plans.get(orderID, word)
	}
	if !fresh {
		q.Bare = true
		err := e.cfg.Store.View(ctx, func(tx store.Tx) error {
			docs, err := tx.List(q)
			if err != nil {
				return err
			}
			rs = make([]hashed, len(docs))
			for i, d := range docs {
				if rs[i], err = readPlan(d); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		e.plans.put(orderID, word, rs)
	}
	out := make([]PlanInfo, 0, len(rs))
	for _, r := range rs {
		pi, err := e.infoOf(r.record, r.hash)
		if err != nil {
			return nil, err
		}
		out = append(out, pi)
	}
	slices.SortStableFunc(out, func(a, b PlanInfo) int { return b.Plan.Made.Compare(a.Plan.Made) })
	return out, nil
}

// Approve adds one approver's signature over the plan's hash, as made by
// impound.Sign with impound.SignPlan. A signature that doesn't hold, by somebody
// who is no approver, or over a plan that has expired or rests on another
// version of the order, is refused; a second one by the same person or key is
// KindConflict. The very same signature may be given again.
func (e *Engine) Approve(ctx context.Context, planID string, sig impound.Signature) (PlanInfo, error) {
	r, err := e.load(ctx, planID)
	if err != nil {
		return PlanInfo{}, err
	}
	h, err := r.Plan.Hash()
	if err != nil {
		return PlanInfo{}, err
	}
	m, err := e.cfg.Mandate(ctx, r.Plan.Order)
	if err != nil {
		return PlanInfo{}, err
	}
	if err := e.fresh(&r.Plan, m); err != nil {
		return PlanInfo{}, err
	}
	if _, err := impound.Signers([]impound.Signature{sig}, impound.SignPlan, h, e.cfg.Keys, impound.RoleApprover); err != nil {
		return PlanInfo{}, err
	}
	err = e.cfg.Store.Update(ctx, func(tx store.Tx) error {
		_, err := store.Modify(tx, docPlan, planID, func(v *record) (map[string]string, error) {
			if now, err := v.Plan.Hash(); err != nil || now != h {
				return nil, impound.Errorf(impound.KindConflict, "plan %s changed meanwhile", planID)
			}
			// The very same signature again is a retry: its entry may be missing.
			if slices.Contains(v.Approvals, sig) {
				r = *v
				return map[string]string{"order": v.Plan.Order, "case": v.Plan.Case}, nil
			}
			for _, s := range v.Approvals {
				if s.Person == sig.Person || s.Key == sig.Key {
					return nil, impound.Errorf(impound.KindConflict, "%s has approved plan %s already: it takes two people with two keys", s.Person, planID)
				}
			}
			v.Approvals = append(v.Approvals, sig)
			r = *v
			return map[string]string{"order": v.Plan.Order, "case": v.Plan.Case}, nil
		})
		return err
	})
	if err != nil {
		return PlanInfo{}, err
	}
	_, err = e.cfg.Evidence.Append(ctx, impound.Entry{
		ID: "seize/" + planID + "/approve/" + sig.Person, Type: impound.EntryDecision, At: e.now(), By: sig.Person, What: "seize.approve", Case: r.Plan.Case, Order: r.Plan.Order,
		Detail: map[string]string{"plan": planID, "hash": h, "key": string(sig.Key), "sig": sig.Sig, "signed_at": sig.At.UTC().Format(time.RFC3339)},
	})
	if err != nil {
		return PlanInfo{}, fmt.Errorf("couldn't record the approval: %w", err)
	}
	return e.info(r)
}

// fresh says whether p may still be approved and applied under m.
func (e *Engine) fresh(p *Plan, m *impound.Mandate) error {
	switch {
	case m == nil || m.ID() != p.Order:
		return impound.Errorf(impound.KindRefused, "there is no proven order %s for plan %s", p.Order, p.ID)
	case m.Hash() != p.OrderHash:
		return impound.Errorf(impound.KindConflict, "plan %s was made for another version of order %s", p.ID, p.Order).WithCure(p.again())
	case !e.now().Before(p.Expires):
		return impound.Errorf(impound.KindConflict, "plan %s is stale: it was good until %s", p.ID, p.Expires.Format(time.RFC3339)).WithCure(p.again())
	}
	return nil
}

// prove checks all that must hold before anything of a stored plan is done: the
// order, its dates, the two approvals of exactly this plan, and that its steps
// are those that the order leads to from the state it names. The database is not
// believed. at is when the acts will be done, where that is later than now.
func (e *Engine) prove(ctx context.Context, r record, at time.Time) (*impound.Mandate, string, error) {
	p := &r.Plan
	m, err := e.mandateFor(ctx, p)
	if err != nil {
		return nil, "", err
	}
	if err := e.fresh(p, m); err != nil {
		return nil, "", err
	}
	h, err := p.Hash()
	if err != nil {
		return nil, "", err
	}
	who, err := impound.Signers(r.Approvals, impound.SignPlan, h, e.cfg.Keys, impound.RoleApprover)
	if err != nil {
		return nil, "", err
	}
	if len(who) < impound.MinSigners {
		return nil, "", impound.Errorf(impound.KindRefused, "plan %s is approved by %d of %d people", p.ID, len(who), impound.MinSigners).WithCure("have another approver run: impound seize approve " + p.ID + " --as PERSON")
	}
	if p.ExecuteAt.After(e.now()) && p.ExecuteAt.After(at) {
		return nil, "", impound.Errorf(impound.KindRefused, "the order is to be executed at %s, not before", p.ExecuteAt.Format(time.RFC3339)).WithCure("apply again then, or have apply wait for it: --at order")
	}
	foreign := func(n impound.Name) error {
		return impound.Errorf(impound.KindRefused, "a step of plan %s for %s does not follow from order %s", p.ID, n.Defanged(), p.Order).WithCure(p.again())
	}
	found, err := e.foundBy(ctx, p, m)
	if err != nil {
		return nil, "", err
	}
	seen := map[impound.Name]bool{}
	for _, np := range p.Names {
		if seen[np.Name] {
			return nil, "", foreign(np.Name)
		}
		seen[np.Name] = true
		if len(np.Steps) == 0 {
			continue
		}
		acts, ok := m.Acts(np.Name)
		conn := e.cfg.Connectors[np.Provider]
		if !ok || conn == nil || conn.Capabilities().Role != np.Role || conn.Capabilities().Asks != (np.Via != "") {
			return nil, "", foreign(np.Name)
		}
		if p.undoes() != (np.Restore != nil) || np.Release != p.Release || np.Registrant != e.registrantID(np.Provider, acts.Registrant) {
			return nil, "", foreign(np.Name)
		}
		if p.undoes() {
			if f := found[np.FormerPlan][np.Name]; f == nil || !same(f, np.Restore) {
				return nil, "", foreign(np.Name)
			}
		}
		if r := np.Renew; r != nil && (!acts.Renew || p.undoes() || np.Singly || r.Years != 1) {
			return nil, "", foreign(np.Name)
		}
		want, _, _ := np.plan(acts)
		if !same(want, np.Steps) {
			return nil, "", foreign(np.Name)
		}
	}
	for _, hp := range p.Hosts {
		c := hp.Step.Change
		acts, ok := m.Acts(c.Name)
		if c.CreateContact != nil {
			if want, known := e.registrant(hp.Provider, acts.Registrant); p.undoes() || !ok || !seen[c.Name] || !known || !same(contactStep(c.Name, want), hp.Step) {
				return nil, "", foreign(c.Name)
			}
			continue
		}
		if p.undoes() || !ok || !seen[c.Name] || !slices.Contains(acts.Nameservers, c.CreateHost) || !same(hostStep(c.Name, c.CreateHost, e.glue(ctx, hp.Provider, c.Name, c.CreateHost)), hp.Step) {
			return nil, "", foreign(c.Name)
		}
	}
	return m, h, nil
}

func same(a, b any) bool {
	x, err1 := impound.HashOf(a)
	y, err2 := impound.HashOf(b)
	return err1 == nil && err2 == nil && x == y
}

// planLists keeps what lists of plans are made from, for as long as the store says
// that no plan changed: a plan can hold 10,000 names, and pages ask for it again
// and again. No effect rests on it: whoever acts reads the plan anew.
type planLists struct {
	mu    sync.Mutex
	word  string
	names int
	m     map[string][]hashed
}

// hashed is a stored plan with its hash.
type hashed struct {
	record
	hash string
}

// mostPlanned bounds the names that planLists keeps.
const mostPlanned = 200_000

func (l *planLists) get(key, word string) ([]hashed, bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	rs, ok := l.m[key]
	return rs, ok && l.word == word
}

func (l *planLists) put(key, word string, rs []hashed) {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 1
	for _, r := range rs {
		n += len(r.Plan.Names)
	}
	if l.word != word || l.names+n > mostPlanned {
		l.m, l.names, l.word = map[string][]hashed{}, 0, word
	}
	if n <= mostPlanned {
		l.m[key] = rs
		l.names += n
	}
}
