package casework

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/impound/impound"
)

// What casework's entries speak of.
const (
	WhatOrderFile = "order.file"
	WhatOverride  = "gate.override"
)

// ledger is what casework believes: replayed from the evidence log, from the
// first entry on, and kept up with it. Nothing of it comes from the store.
type ledger struct {
	mu   sync.Mutex
	ev   Evidence
	next int64
	view ledgerView
}

// ledgerView is the state of belief at one moment. Its values are never changed
// once they are in a view that was handed out: sync makes new ones.
type ledgerView struct {
	ring      *Ring
	ringRev   int // grows with each enrolment
	orders    map[string]filing
	orderIDs  []string              // as filed
	withdrawn map[string]Withdrawal // by order; the first counts
	overrides map[impound.Name][]impound.Override
	decisions map[impound.Name][]Decision // proven, in the order of the log
	actors    map[string]string           // case -> actor, as the case was opened, or the first it was given
	names     map[string][]impound.Name   // case -> what was added to it
	seals     map[string]Seal             // case -> the newest
	accounts  map[string]Account          // by person
	tokens    map[string]Token            // by id
	tokenIDs  map[string]string           // by digest
	sealed    []string                    // hashes of the seals that counted
	next      int64                       // index of the first entry that is not in it
	rev       int64                       // grows with each entry that is believed
	bad       []string                    // entries that prove nothing, with why
}

// filing is one order.file entry.
type filing struct {
	index    int64
	entry    impound.Entry
	document string // hash of the document's bytes
	hash     string // hash of the order
	gates    string // hash of the gates' verdicts at filing
	stops    string // hash of those among them that keep a name out; "": the order was filed by an older version
}

func newLedger(ev Evidence) *ledger {
	return &ledger{ev: ev, view: ledgerView{ring: &Ring{people: map[string]impound.Person{}}, orders: map[string]filing{}, withdrawn: map[string]Withdrawal{}, overrides: map[impound.Name][]impound.Override{}, decisions: map[impound.Name][]Decision{}, actors: map[string]string{}, names: map[string][]impound.Name{}, seals: map[string]Seal{}, accounts: map[string]Account{}, tokens: map[string]Token{}, tokenIDs: map[string]string{}}}
}

// sync reads what the log has gained and gives the state of belief. The maps of
// the view must only be read; they are replaced, not changed, by later syncs.
func (l *ledger) sync(ctx context.Context) (ledgerView, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	v := l.view
	copied := false
	own := func() { // before the first change: what was handed out stays
		if copied {
			return
		}
		copied = true
		v.rev++
		v.orders, v.overrides, v.withdrawn = cloneMap(v.orders), cloneMap(v.overrides), cloneMap(v.withdrawn)
		v.decisions, v.actors = cloneMap(v.decisions), cloneMap(v.actors)
		v.accounts, v.tokens, v.tokenIDs = cloneMap(v.accounts), cloneMap(v.tokens), cloneMap(v.tokenIDs)
		v.names, v.seals, v.sealed = cloneMap(v.names), cloneMap(v.seals), slices.Clone(v.sealed)
		v.orderIDs, v.bad = slices.Clone(v.orderIDs), slices.Clone(v.bad)
	}
	next := l.next
	err := l.entries(ctx, &next, func(i int64, e impound.Entry) error {
		switch e.What {
		case WhatEnrol:
			own()
			en, err := enrolmentOf(e)
			if err == nil {
				var r *Ring
				if r, err = v.ring.admit(en); err == nil {
					v.ring, v.ringRev = r, v.ringRev+1
				}
			}
			if err != nil {
				v.bad = append(v.bad, fmt.Sprintf("entry %d (%s): %v", i, e.What, err))
			}
		case WhatOrderFile:
			own()
			if _, again := v.orders[e.Order]; again {
				v.bad = append(v.bad, fmt.Sprintf("entry %d files order %s a second time: the first counts", i, e.Order))
				return nil
			}
			v.orders[e.Order] = filing{index: i, entry: e, document: e.Detail["document"], hash: e.Detail["hash"], gates: e.Detail["gates"], stops: e.Detail["gates_blocking"]}
			v.orderIDs = append(v.orderIDs, e.Order)
		case WhatOrderWithdraw:
			w, err := withdrawalOf(e)
			if err == nil {
				err = w.check(v.ring, v.orders[e.Order])
			}
			own()
			if err != nil {
				v.bad = append(v.bad, fmt.Sprintf("entry %d (%s): %v", i, e.What, err))
			} else if _, again := v.withdrawn[e.Order]; !again {
				v.withdrawn[e.Order] = w
			}
		case WhatOverride:
			own()
			var o impound.Override
			if err := json.Unmarshal([]byte(e.Detail["override"]), &o); err != nil {
				v.bad = append(v.bad, fmt.Sprintf("entry %d (%s): %v", i, e.What, err))
				return nil
			}
			v.overrides[o.Name] = append(slices.Clone(v.overrides[o.Name]), o)
		case whatCaseOpen:
			if _, again := v.actors[e.Case]; !again { // the first counts: a case is opened once
				own()
				v.actors[e.Case] = e.Detail["actor"]
			}
		case WhatCaseEdit:
			if a := e.Detail["actor"]; a != "" {
				if is, opened := v.actors[e.Case]; opened && is == "" {
					own()
					v.actors[e.Case] = a
				}
			}
		case whatCaseNames:
			own()
			for _, f := range strings.Fields(e.Detail["names"]) {
				if n, err := impound.ParseName(f); err == nil {
					v.names[e.Case] = append(v.names[e.Case], n)
				}
			}
		case WhatAccountAdd, WhatAccountPassword, WhatAccountDisable, WhatTokenAdd, WhatTokenRevoke:
			own()
			if err := v.noteAccount(e); err != nil {
				v.bad = append(v.bad, fmt.Sprintf("entry %d (%s): %v", i, e.What, err))
			}
		case WhatSeal:
			own()
			z, err := sealOf(e)
			if err == nil {
				err = v.admit(z)
			}
			if err != nil {
				v.bad = append(v.bad, fmt.Sprintf("entry %d (%s): %v", i, e.What, err))
				return nil
			}
			v.seals[z.Case], v.sealed = z, append(v.sealed, z.Hash())
		case WhatAttribute, WhatContest, WhatContestEnd, WhatOwnerNotice, WhatProviderAsked, WhatConsent:
			own()
			d, err := decisionOf(e)
			if err == nil {
				err = d.check(v.ring)
			}
			if err == nil && slices.ContainsFunc(v.decisions[d.Name], func(x Decision) bool { return x.Hash() == d.Hash() }) {
				// Copied back, the end of one contest must not end the next.
				err = impound.Errorf(impound.KindRefused, "this decision was recorded before: it counts once")
			}
			if err != nil {
				v.bad = append(v.bad, fmt.Sprintf("entry %d (%s): %v", i, e.What, err))
				return nil
			}
			v.decisions[d.Name] = append(slices.Clone(v.decisions[d.Name]), d)
		}
		return nil
	})
	if err != nil {
		return ledgerView{}, impound.Errorf(impound.KindOf(err), "couldn't replay the evidence log: %w", err)
	}
	v.next = next
	l.view, l.next = v, next
	return v, nil
}

// believed are the kinds of entries that the ledger reads.
var believed = []string{WhatEnrol, WhatOrderFile, WhatOrderWithdraw, WhatOverride, whatCaseOpen, WhatCaseEdit, whatCaseNames,
	WhatAccountAdd, WhatAccountPassword, WhatAccountDisable, WhatTokenAdd, WhatTokenRevoke, WhatSeal,
	WhatAttribute, WhatContest, WhatContestEnd, WhatOwnerNotice, WhatProviderAsked, WhatConsent}

// picker is an evidence log that finds entries by their What without reading the
// others: it gives the index to go on from.
type picker interface {
	EntriesOf(ctx context.Context, from int64, whats []string, fn func(i int64, e impound.Entry) error) (next int64, err error)
}

// entries calls fn for what the ledger reads from *next on, which it moves on.
func (l *ledger) entries(ctx context.Context, next *int64, fn func(i int64, e impound.Entry) error) error {
	if p, ok := l.ev.(picker); ok {
		n, err := p.EntriesOf(ctx, *next, believed, fn)
		if err == nil {
			*next = n
		}
		return err
	}
	return l.ev.Entries(ctx, *next, func(i int64, e impound.Entry) error {
		*next = i + 1
		return fn(i, e)
	})
}

func cloneMap[K comparable, V any](m map[K]V) map[K]V {
	c := make(map[K]V, len(m)+1)
	for k, v := range m {
		c[k] = v
	}
	return c
}

// overridden gives the gates that two enrolled approvers let n through.
func (v ledgerView) overridden(n impound.Name) []string {
	var out []string
	for _, o := range v.overrides[n] {
		if checkOverride(o, v.ring) == nil {
			out = append(out, o.Gate)
		}
	}
	return out
}
