package profile

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/trait"
)

// Observed is one of an actor's names with what was observed of it.
type Observed struct {
	Name   string
	At     time.Time // of its first sighting; may be zero
	Traits []trait.Trait
}

// Shares says how often a value stands in names whoever holds them: learnt from
// whatever was looked at, over the rough figures of package trait. The zero value
// knows those alone. It is safe for concurrent use when it isn't added to.
type Shares struct {
	names map[trait.Kind]float64
	count map[trait.Kind]map[string]float64
}

// sharePrior is for how many names the rough figures count.
const sharePrior = 100

// Add takes one name's traits.
func (s *Shares) Add(ts []trait.Trait) {
	if s.names == nil {
		s.names, s.count = map[trait.Kind]float64{}, map[trait.Kind]map[string]float64{}
	}
	kinds := map[trait.Kind]bool{}
	for _, t := range ts {
		if !kinds[t.Kind] {
			kinds[t.Kind] = true
			s.names[t.Kind]++
		}
		if s.count[t.Kind] == nil {
			s.count[t.Kind] = map[string]float64{}
		}
		s.count[t.Kind][t.Value]++
	}
}

// Of gives the share of names with this value.
func (s *Shares) Of(k trait.Kind, value string) float64 {
	rough, ok := trait.Common(k, value)
	if !ok {
		r, _ := trait.Of(k)
		rough = cmp.Or(r.Share, 0.01)
	}
	return (s.count[k][value] + sharePrior*rough) / (s.names[k] + sharePrior)
}

// Habits is how an actor sets up its names: registrar, servers, mail, network,
// certificates, pages, gating, hours. It never changes after [LearnHabits] and is
// safe for concurrent use.
type Habits struct {
	actor  string
	looked int // names with anything observed
	n      map[trait.Kind]float64
	seen   map[trait.Kind]float64 // without decay, for people
	count  map[trait.Kind]map[string]float64
	times  map[trait.Kind]map[string]float64
	shares *Shares
}

// habitPrior is for how many names the shares of others count against the
// actor's; mostBits and leastBits bound what one kind says.
const (
	habitPrior = 2
	mostBits   = 8
	leastBits  = -1.5
)

// LearnHabits learns from an actor's names, oldest first; those of which nothing
// was observed teach nothing, and with none of them there is nil. shares nil:
// rough figures.
func LearnHabits(actor string, names []Observed, shares *Shares) *Habits {
	if shares == nil {
		shares = &Shares{}
	}
	h := &Habits{actor: actor, n: map[trait.Kind]float64{}, seen: map[trait.Kind]float64{}, count: map[trait.Kind]map[string]float64{}, times: map[trait.Kind]map[string]float64{}, shares: shares}
	names = slices.DeleteFunc(slices.Clone(names), func(o Observed) bool { return len(o.Traits) == 0 })
	if h.looked = len(names); h.looked == 0 {
		return nil
	}
	for i, o := range names {
		w := math.Exp2(-float64(len(names)-1-i) / decay)
		kinds := map[trait.Kind]bool{}
		for _, t := range o.Traits {
			if h.count[t.Kind] == nil {
				h.count[t.Kind], h.times[t.Kind] = map[string]float64{}, map[string]float64{}
			}
			h.count[t.Kind][t.Value] += w
			h.times[t.Kind][t.Value]++
			if !kinds[t.Kind] {
				kinds[t.Kind] = true
				h.n[t.Kind] += w
				h.seen[t.Kind]++
			}
		}
	}
	return h
}

// Names is how many names the habits were learnt from.
func (h *Habits) Names() int {
	if h == nil {
		return 0
	}
	return h.looked
}

// Bits gives how much likelier the actor is to set a name up like this than
// others are, in bits, with a reason for each kind of trait that says something.
// What was not observed says nothing. A nil Habits gives 0.
func (h *Habits) Bits(ts []trait.Trait) (float64, []impound.Reason) {
	if h == nil {
		return 0, nil
	}
	type best struct {
		bits float64
		t    trait.Trait
	}
	by := map[trait.Kind]best{}
	for _, t := range ts {
		rule, ok := trait.Of(t.Kind)
		if !ok || h.n[t.Kind] == 0 || rule.Links && t.Hub != "" {
			continue // where thousands are, to be there too is no habit
		}
		b := h.shares.Of(t.Kind, t.Value)
		c := h.count[t.Kind][t.Value]
		bits := rule.Weight * math.Log2((c+habitPrior*b)/(h.n[t.Kind]+habitPrior)/b)
		if rule.Links && c == 0 {
			continue // a new server or page is no sign of somebody else
		}
		bits = min(max(bits, leastBits), mostBits)
		if old, ok := by[t.Kind]; !ok || bits > old.bits {
			by[t.Kind] = best{bits, t}
		}
	}
	var sum float64
	var rs []impound.Reason
	for _, rule := range trait.Rules { // in a fixed order, so that sums are the same to the bit
		x, ok := by[rule.Kind]
		if !ok {
			continue
		}
		sum += x.bits
		rs = append(rs, impound.Reason{
			Code: "actor-" + string(rule.Kind),
			Text: fmt.Sprintf("%s: %s %s, as %.0f of %.0f of its names that were looked at, and %s of others", h.actor, rule.Label, x.t, h.times[rule.Kind][x.t.Value], h.seen[rule.Kind], percent(h.shares.Of(rule.Kind, x.t.Value))),
			// Rounded as the others are.
			Weight: math.Round(x.bits*100) / 100,
		})
	}
	slices.SortStableFunc(rs, func(a, b impound.Reason) int { return cmp.Compare(b.Weight, a.Weight) })
	return sum, rs
}

func percent(x float64) string {
	switch {
	case x < 0.0001:
		return "next to none"
	case x < 0.01:
		return fmt.Sprintf("%.2f %%", 100*x)
	}
	return fmt.Sprintf("%.0f %%", 100*x)
}

// ScoreObserved is [Profile.Score] with what was observed of the name beside it:
// the bits of both are added. With nothing observed, or nothing learnt, it is
// Score, to the bit.
func (p *Profile) ScoreObserved(name string, h *Habits, ts []trait.Trait) (float64, []impound.Reason) {
	score, rs := p.Score(name)
	bits, more := h.Bits(ts)
	if len(more) == 0 || rs == nil {
		return score, rs
	}
	n, err := impound.ParseName(name)
	if err != nil {
		return score, rs
	}
	score = squash(p.Bits([]byte(n.String())) + bits)
	first := 0
	if rs[0].Code == "actor-known" {
		first = 1
	}
	rest := append(slices.Clone(rs[first:]), more...)
	slices.SortStableFunc(rest, func(a, b impound.Reason) int { return cmp.Compare(b.Weight, a.Weight) })
	return score, append(slices.Clone(rs[:first]), rest...)
}
