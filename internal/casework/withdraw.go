package casework

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
)

// WhatOrderWithdraw is the What of the entry that ends an order before its date.
const WhatOrderWithdraw = "order.withdraw"

// SignWithdrawal is what the signature of a [Withdrawal] is about.
const SignWithdrawal = "withdrawal"

// Withdrawal ends a filed order before its date: the court dissolved it, or
// whoever asked for it gives it up. From At on it permits nothing, here and at
// every sensor, and neither do its supplements. It can only take away, so that
// one person is enough: an approver, counsel or an admin. It is never undone:
// what a court gives back is a new order.
type Withdrawal struct {
	Order     string            `json:"order"`
	Hash      string            `json:"hash"` // of the order
	Why       string            `json:"why"`
	At        time.Time         `json:"at"` // UTC, seconds
	Signature impound.Signature `json:"-"`
}

// NewWithdrawal makes a withdrawal to be signed; at is cut to seconds.
func NewWithdrawal(order, hash, why string, at time.Time) Withdrawal {
	return Withdrawal{Order: order, Hash: hash, Why: strings.TrimSpace(why), At: at.UTC().Truncate(time.Second)}
}

// Digest is what the person signs, about [SignWithdrawal].
func (w Withdrawal) Digest() string {
	h, err := impound.HashOf(w)
	if err != nil { // it holds nothing that can't be encoded
		panic(err)
	}
	return h
}

var withdrawers = []impound.Role{impound.RoleApprover, impound.RoleCounsel, impound.RoleAdmin}

// check proves w against the keyring and the order that it names.
func (w Withdrawal) check(ring impound.Keyring, f filing) error {
	switch {
	case f.hash == "" || f.entry.Order != w.Order || f.hash != w.Hash:
		return impound.Errorf(impound.KindInvalid, "the withdrawal is of another order %.64q than the one that is filed", w.Order)
	case w.Why == "" || len(w.Why) > 4<<10:
		return impound.Errorf(impound.KindInvalid, "the withdrawal gives no reason, or one of more than 4 KB").At(w.Order).WithCure("say why with --why: the court's decision and its date")
	}
	if err := w.Signature.Verify(SignWithdrawal, w.Digest()); err != nil {
		return err
	}
	p, ok := ring.Person(w.Signature.Person)
	if !ok || p.Key != w.Signature.Key {
		return impound.Errorf(impound.KindAuth, "%.64q is not enrolled with this key", w.Signature.Person)
	}
	for _, r := range withdrawers {
		if p.Has(r) {
			return nil
		}
	}
	return impound.Errorf(impound.KindAuth, "%s may not withdraw an order: it takes the role %s", p.ID, rolesInWords(withdrawers)).WithCure("ask somebody who holds it")
}

func (w Withdrawal) entry(caseID string) impound.Entry {
	s := w.Signature
	return impound.Entry{ID: entryID(WhatOrderWithdraw, w.Digest(), s.Person), Type: impound.EntryDecision, At: w.At, By: s.Person, What: WhatOrderWithdraw, Case: caseID, Order: w.Order,
		Detail: map[string]string{"hash": w.Hash, "why": w.Why, "withdrawn_at": w.At.Format(time.RFC3339), "person": s.Person, "key": string(s.Key), "signed_at": s.At.Format(time.RFC3339), "sig": s.Sig}}
}

func withdrawalOf(e impound.Entry) (Withdrawal, error) {
	w := Withdrawal{Order: e.Order, Hash: e.Detail["hash"], Why: e.Detail["why"]}
	var err error
	if w.At, err = time.Parse(time.RFC3339, e.Detail["withdrawn_at"]); err != nil {
		return w, impound.Errorf(impound.KindInvalid, "the withdrawal's date can't be read: %w", err)
	}
	w.Signature = impound.Signature{Person: e.Detail["person"], Key: impound.PublicKey(e.Detail["key"]), Sig: e.Detail["sig"]}
	if w.Signature.At, err = time.Parse(time.RFC3339, e.Detail["signed_at"]); err != nil {
		return w, impound.Errorf(impound.KindInvalid, "the signature's date can't be read: %w", err)
	}
	w.At, w.Signature.At = w.At.UTC(), w.Signature.At.UTC()
	return w, nil
}

// Withdraw records a signed withdrawal; it counts when Withdraw returns. Doing it
// again changes nothing: the first date stays.
func (s *Service) Withdraw(ctx context.Context, w Withdrawal) error {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return err
	}
	f, ok := view.orders[w.Order]
	if !ok || !s.sight(view, w.Signature.Person).Order(w.Order) {
		return unfiled(w.Order)
	}
	if err := w.check(view.ring, f); err != nil {
		return err
	}
	if p := impound.PrincipalOf(ctx); p.ID != "" && p.ID != w.Signature.Person {
		return impound.Errorf(impound.KindAuth, "%.64q asks in the name of %.64q", p.ID, w.Signature.Person)
	}
	if now := s.now(); w.At.After(now.Add(time.Minute)) || w.At.Before(now.Add(-10*time.Minute)) {
		// Backdated, it would say that contacts were recorded without an order.
		return impound.Errorf(impound.KindInvalid, "the withdrawal is dated %s, and it is %s", w.At.Format(time.RFC3339), now.UTC().Format(time.RFC3339)).WithCure("sign it anew; check the clock")
	}
	if _, again := view.withdrawn[w.Order]; again {
		return nil
	}
	return s.decide(ctx, w.entry(f.entry.Case))
}

// ended gives when an order was withdrawn; its parents' withdrawals are in its
// parents' mandates.
func (v ledgerView) ended(order string) (time.Time, bool) {
	w, ok := v.withdrawn[order]
	return w.At, ok
}

// Halted says whether, since the gates were last run, a name came out of the
// order's effect: a contest of it, or a withdrawal of the order or a parent. It
// reads only what the log gained, so that it can be asked before every act.
func (s *Service) Halted(ctx context.Context, m *impound.Mandate, n impound.Name) (why string, err error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return "", err
	}
	if why, err = s.ended(view, m.ID()); err != nil || why != "" {
		return why, err
	}
	if why := view.contest(n); why != "" && !slices.Contains(view.overridden(n), gate.G13) {
		return "it is " + why, nil
	}
	return "", nil
}

// Ended says whether an order or a parent of it was withdrawn by now. Like
// [Service.Halted] it reads only what the log gained.
func (s *Service) Ended(ctx context.Context, orderID string) (why string, err error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return "", err
	}
	return s.ended(view, orderID)
}

func (s *Service) ended(view ledgerView, orderID string) (string, error) {
	id, at, err := s.endedBy(view, orderID)
	if err != nil || id == "" {
		return "", err
	}
	return "order " + id + " was withdrawn " + at.Format(time.RFC3339), nil
}

// endedBy gives which order of a chain of parents was withdrawn, the nearest
// first, and when; "" when none was.
func (s *Service) endedBy(view ledgerView, id string) (string, time.Time, error) {
	for depth := 0; depth <= 16 && len(view.withdrawn) > 0; depth++ {
		if at, ok := view.ended(id); ok {
			return id, at, nil
		}
		f, ok := view.orders[id]
		if !ok {
			return "", time.Time{}, noOrder(id)
		}
		d, err := s.filed(f)
		if err != nil {
			return "", time.Time{}, err
		}
		if d.order.Parent == nil {
			break
		}
		id = d.order.Parent.ID
	}
	return "", time.Time{}, nil
}
