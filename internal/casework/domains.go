package casework

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/store"
)

// kindVerdicts holds what the gates said of a name in full; id CASE/NAME. The
// name's own document holds outcomes, and reasons of blocks alone: a case of
// 10,000 names is read whole for each page.
const kindVerdicts = "verdicts"

// storedDomain is a name of a case as the store has it.
type storedDomain struct {
	impound.CaseDomain
	Gates string `json:"gates,omitempty"` // "G1p G2u G5b": gate and outcome's first letter
}

var outcomeLetters = map[impound.Outcome]string{impound.GatePass: "p", impound.GateWarn: "w", impound.GateUnknown: "u", impound.GateBlock: "b"}

var gateNames = sync.OnceValue(func() map[string]string {
	m := map[string]string{}
	for _, g := range gate.Gates {
		short, _, _ := strings.Cut(g, "-")
		m[short] = g
	}
	return m
})

// packDomain makes what is stored of d, and its verdicts in full when it holds
// them so.
func packDomain(d impound.CaseDomain) (storedDomain, []impound.GateVerdict) {
	s := storedDomain{CaseDomain: d}
	if len(d.Verdicts) == 0 {
		return s, nil
	}
	var full, blocks []impound.GateVerdict
	var words []string
	for _, v := range d.Verdicts {
		short, _, _ := strings.Cut(v.Gate, "-")
		letter := outcomeLetters[v.Outcome]
		if letter == "" || gateNames()[short] != v.Gate {
			return s, d.Verdicts // of another version: kept as it is
		}
		words = append(words, short+letter)
		if v.Outcome == impound.GateBlock {
			blocks = append(blocks, v)
		} else if v.Reason != "" {
			full = d.Verdicts
		}
	}
	s.Verdicts, s.Gates = blocks, strings.Join(words, " ")
	return s, full
}

// domain gives the name as others know it. Verdicts but blocks come without their
// reasons: [Service.Verdicts] has them.
func (s storedDomain) domain() impound.CaseDomain {
	d := s.CaseDomain
	if s.Gates == "" {
		return d
	}
	blocks := d.Verdicts
	d.Verdicts = make([]impound.GateVerdict, 0, strings.Count(s.Gates, " ")+1)
	for w := range strings.SplitSeq(s.Gates, " ") {
		short, letter := w[:len(w)-1], w[len(w)-1:]
		v := impound.GateVerdict{Gate: gateNames()[short], Outcome: impound.GateUnknown}
		for o, l := range outcomeLetters {
			if l == letter {
				v.Outcome = o
			}
		}
		if i := slices.IndexFunc(blocks, func(b impound.GateVerdict) bool { return b.Gate == v.Gate }); i >= 0 {
			v = blocks[i]
		}
		d.Verdicts = append(d.Verdicts, v)
	}
	return d
}

func readDomain(tx store.Tx, caseID string, n impound.Name) (impound.CaseDomain, int64, error) {
	s, rev, err := store.Get[storedDomain](tx, kindDomain, domainID(caseID, n))
	return s.domain(), rev, err
}

// readDomains gives the names of a case in the order of their A-labels, after
// leaving skip of them out, and at most limit (0: all).
func readDomains(tx store.Tx, caseID string, skip, limit int) ([]impound.CaseDomain, error) {
	ss, err := store.Values[storedDomain](tx, store.Query{Kind: kindDomain, Field: "case", Value: caseID, Skip: skip, Limit: limit})
	if err != nil {
		return nil, err
	}
	// Most names of a case have the same verdicts: they share one list, which
	// nobody may change in place (see clip).
	said := map[string][]impound.GateVerdict{}
	out := make([]impound.CaseDomain, len(ss))
	for i := range ss {
		s := &ss[i]
		if vs, ok := said[s.Gates]; ok && len(s.Verdicts) == 0 {
			out[i] = s.CaseDomain
			out[i].Verdicts = vs
			continue
		}
		out[i] = s.domain()
		if len(s.Verdicts) == 0 && s.Gates != "" {
			said[s.Gates] = slices.Clip(out[i].Verdicts)
		}
	}
	return out, nil
}

func putDomain(tx store.Tx, caseID string, rev int64, d impound.CaseDomain) error {
	s, full := packDomain(d)
	id := domainID(caseID, d.Name)
	if _, err := store.Put(tx, kindDomain, id, rev, s, map[string]string{"case": caseID, "name": d.Name.String(), "state": string(d.State)}); err != nil {
		return err
	}
	if full == nil {
		return nil
	}
	was, err := tx.Get(kindVerdicts, id) // for its revision
	if err != nil && impound.KindOf(err) != impound.KindNotFound {
		return err
	}
	_, err = store.Put(tx, kindVerdicts, id, was.Rev, full, nil)
	return err
}

// Verdicts gives what the gates said last of a name of a case, with reasons, and
// brought up to what was decided of it since: a name that is contested now has
// not passed G13.
func (s *Service) Verdicts(ctx context.Context, caseID string, n impound.Name) ([]impound.GateVerdict, error) {
	x, err := s.Sight(ctx)
	if err != nil {
		return nil, err
	}
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	var out []impound.GateVerdict
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		d, _, err := getDomain(tx, x, caseID, n)
		if err != nil {
			return err
		}
		out, _, err = store.Get[[]impound.GateVerdict](tx, kindVerdicts, domainID(caseID, n))
		if impound.KindOf(err) == impound.KindNotFound {
			out, err = d.Verdicts, nil
		}
		return err
	})
	if err != nil || len(out) == 0 || len(view.decisions[n]) == 0 {
		return out, err
	}
	ds := x.decisions(n) // what others than the reader may know of weighs at the plan alone
	if len(ds) == 0 {
		return out, nil
	}
	view.decisions = map[impound.Name][]Decision{n: ds}
	out = view.decided(n, caseID, out)
	for i := range out {
		if out[i].AsOf.IsZero() {
			out[i].AsOf = ds[len(ds)-1].At
		}
	}
	slices.SortStableFunc(out, func(a, b impound.GateVerdict) int {
		return slices.Index(gate.Gates, a.Gate) - slices.Index(gate.Gates, b.Gate)
	})
	return out, nil
}
