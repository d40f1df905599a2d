package live

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch"
	"github.com/impound/impound/internal/watch/match"
)

// fond is a profile that likes names with a word in them.
type fond struct{ actor, word, scope string }

func (f fond) Actor() string { return f.actor }
func (f fond) Scope() string { return f.scope }
func (f fond) Score(n string) (float64, []impound.Reason) {
	if strings.Contains(n, f.word) {
		return .7, []impound.Reason{{Code: "actor-words", Text: f.actor, Weight: 1}}
	}
	return 0, nil
}

// A name is scored once, and its candidates are those of judging it again: however
// it is spelt, whoever likes it, with a budget and without.
func TestScreenerIsJudge(t *testing.T) {
	m, err := match.New(match.Builtin(), match.Options{})
	if err != nil {
		t.Fatal(err)
	}
	profiles := []watch.Profile{fond{"APT1", "herring", ""}, fond{"APT2", "herring", "QUIET"}, fond{"APT3", "paypal-h", "OTHER"}, fond{"APT4", "login", ""}}
	kept := 0
	for _, budget := range []float64{0, 1} {
		s, err := newScreener(watch.Options{Matcher: m, Profiles: profiles, Budget: budget})
		if err != nil {
			t.Fatal(err)
		}
		for _, n := range []string{"paypal-login.top", "paypal-herring.top", "smoked-herring.example", "ordinary.example", "PayPal-Herring.top.", "*.paypal-herring.top", "xn--pypal-4ve.com",
			"rnicrosoft.com", "faceboook.com", "login-update.example", "pаypal.com", "instagrarn-login.top"} {
			var f Findings
			var buf [256]byte
			s.name(&f, buf[:], []byte(n), "here", 1)
			var want []impound.Candidate
			name, err := impound.ParseName(strings.TrimPrefix(n, "*."))
			if err != nil {
				t.Fatal(err)
			}
			brand, _ := m.Score([]byte(name.String()))
			opt := watch.Options{Matcher: m, Source: "here"}
			all := opt
			for _, p := range profiles {
				if x, _ := p.Score(name.String()); x == 0 {
					continue
				}
				if p.(fond).scope == "" {
					all.Profiles = append(all.Profiles, p)
					continue
				}
				one := opt
				one.Profiles = []watch.Profile{p}
				c, _ := watch.Judge(name, one)
				c.Scope = p.(fond).scope
				want = append(want, c)
			}
			if brand >= s.least || len(all.Profiles) > 0 {
				c, _ := watch.Judge(name, all)
				want = append(want, c)
			}
			kept += len(want)
			if d := cmp.Diff(want, f.Candidates, cmp.AllowUnexported(impound.Name{})); d != "" {
				t.Errorf("%s, budget %v: %s", n, budget, d)
			}
		}
	}
	if kept < 20 {
		t.Errorf("only %d candidates", kept)
	}
}
