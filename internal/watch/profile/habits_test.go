package profile

import (
	"fmt"
	"strings"
	"testing"

	"github.com/impound/impound/internal/watch/trait"
)

func tr(k trait.Kind, v string) trait.Trait { return trait.Trait{Kind: k, Value: v} }

// setup is how the actor of the tests sets its names up.
func setup(i int) []trait.Trait {
	return []trait.Trait{tr(trait.Registrar, "1636"), tr(trait.NSZone, "bulk-host.example"), tr(trait.Net, "64500"), tr(trait.Issuer, "Let's Encrypt"), tr(trait.Gate, "gated"), tr(trait.Addr, fmt.Sprintf("192.0.2.%d", i)), tr(trait.Icon, "f00")}
}

func habits() *Habits {
	var obs []Observed
	for i := range 8 {
		obs = append(obs, Observed{Name: fmt.Sprintf("n%d.example", i), Traits: setup(i)})
	}
	obs = append(obs, Observed{Name: "unseen.example"}) // of which nothing is known
	return LearnHabits("APT35", obs, nil)
}

func TestHabits(t *testing.T) {
	h := habits()
	if h.Names() != 8 {
		t.Errorf("learnt from %d names", h.Names())
	}
	like, why := h.Bits([]trait.Trait{tr(trait.Registrar, "1636"), tr(trait.NSZone, "bulk-host.example"), tr(trait.Net, "64500"), tr(trait.Issuer, "Let's Encrypt"), tr(trait.Icon, "f00")})
	if like < 8 {
		t.Errorf("like the actor: %.1f bits", like)
	}
	var sum float64
	for _, r := range why {
		sum += r.Weight
		if !strings.HasPrefix(r.Code, "actor-") || !strings.Contains(r.Text, "of 8 of its names") {
			t.Errorf("%+v", r)
		}
	}
	if d := sum - like; d > 0.05 || d < -0.05 {
		t.Errorf("the reasons give %.2f bits, the score %.2f", sum, like)
	}
	// What everybody has says little; what only the actor has says much.
	weight := func(code string) float64 {
		for _, r := range why {
			if r.Code == code {
				return r.Weight
			}
		}
		return 0
	}
	if weight("actor-issuer") > 0.5 || weight("actor-icon") < 4 {
		t.Errorf("%+v", why)
	}
	unlike, _ := h.Bits([]trait.Trait{tr(trait.Registrar, "292"), tr(trait.NSZone, "cloudflare.com"), tr(trait.Net, "13335")})
	if unlike > -1 {
		t.Errorf("unlike the actor: %.1f bits", unlike)
	}
	// A new address is no sign of somebody else; a hub is no sign at all.
	if b, _ := h.Bits([]trait.Trait{tr(trait.Addr, "203.0.113.9")}); b != 0 {
		t.Errorf("a new address gives %.1f bits", b)
	}
	if b, _ := h.Bits([]trait.Trait{{Kind: trait.Addr, Value: "192.0.2.1", Hub: "many"}}); b != 0 {
		t.Errorf("a hub gives %.1f bits", b)
	}
	if LearnHabits("x", []Observed{{Name: "a.example"}}, nil) != nil {
		t.Error("habits of nothing")
	}
}

// What candidates have in common takes the place of the rough figures.
func TestSharesAreLearnt(t *testing.T) {
	var s Shares
	before := s.Of(trait.Registrar, "1636")
	for i := range 2000 {
		s.Add([]trait.Trait{tr(trait.Registrar, map[bool]string{true: "1636", false: "99"}[i%2 == 0])})
	}
	if after := s.Of(trait.Registrar, "1636"); before > 0.1 || after < 0.45 || after > 0.5 {
		t.Errorf("%.3f, then %.3f", before, after)
	}
}

// With nothing observed, a score is the name's, to the bit; with something it
// comes apart into reasons of both.
func TestScoreObserved(t *testing.T) {
	p, err := Learn("APT35", []Example{{Name: "outlook-verify.net"}, {Name: "yahoo-verify.net"}, {Name: "verification-live.com"}})
	if err != nil {
		t.Fatal(err)
	}
	h := habits()
	for _, n := range []string{"gmail-verify.net", "bakery.example", "outlook-verify.net", "not a name"} {
		want, rs := p.Score(n)
		for _, c := range []struct {
			h  *Habits
			ts []trait.Trait
		}{{nil, setup(1)}, {h, nil}, {nil, nil}, {h, []trait.Trait{tr(trait.Addr, "203.0.113.9")}}} {
			got, rs2 := p.ScoreObserved(n, c.h, c.ts)
			if got != want || fmt.Sprint(rs2) != fmt.Sprint(rs) {
				t.Errorf("%s with nothing observed: %v, not %v", n, got, want)
			}
		}
	}
	name, _ := p.Score("bakery.example")
	seen, rs := p.ScoreObserved("bakery.example", h, setup(3))
	if seen <= name || !strings.Contains(fmt.Sprint(rs), "actor-network") || !strings.Contains(fmt.Sprint(rs), "actor-letters") {
		t.Errorf("%g, by the name %g: %v", seen, name, rs)
	}
	if s, rs := p.ScoreObserved("not a name", h, setup(3)); s != 0 || rs != nil {
		t.Errorf("%g %v", s, rs)
	}
}
