package live_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
	"github.com/impound/impound/internal/watch"
	"github.com/impound/impound/internal/watch/live"
)

// likes is a profile that likes names with a word in them.
type likes struct{ actor, word, scope string }

func (l likes) Actor() string { return l.actor }
func (l likes) Scope() string { return l.scope }
func (l likes) Score(n string) (float64, []impound.Reason) {
	if strings.Contains(n, l.word) {
		return .7, []impound.Reason{{Code: "actor-words", Text: l.actor + ": says " + l.word, Weight: 1}}
	}
	return .01, nil
}

// What an actor's habits find has its name and reasons; what a sealed case's
// find is for its parties alone, also where others found the name too. Habits
// that come while it runs count from then on.
func TestHabits(t *testing.T) {
	b := newBench(t)
	var mu sync.Mutex
	var got []string
	var r *live.Runner
	r, err := live.New(live.Config{Store: b.st, Watch: watch.Options{Matcher: matcher(), Profiles: []watch.Profile{likes{"APT35", "herring", ""}, likes{"APT42", "herring", "QUIET"}}}, Once: true,
		Save: func(ctx context.Context, cs []impound.Candidate, also func(store.Tx, int) error) error {
			mu.Lock()
			for _, c := range cs {
				var codes []string
				for _, x := range c.Reasons {
					if strings.HasPrefix(x.Code, "actor-") {
						codes = append(codes, x.Text)
					}
				}
				got = append(got, fmt.Sprintf("%s %s %v %v", c.Name, c.Scope, c.Actors, codes))
			}
			mu.Unlock()
			return b.st.Update(ctx, func(tx store.Tx) error { return also(tx, len(cs)) })
		}})
	if err != nil {
		t.Fatal(err)
	}
	read := func(id, names string) []string {
		t.Helper()
		got = nil
		if err := r.Run(t.Context(), []live.Source{live.NewStdin(id, strings.NewReader(names))}); err != nil {
			t.Fatal(err)
		}
		slices.Sort(got)
		return got
	}
	want := []string{"paypal-herring.example  [APT35] [APT35: says herring]", "paypal-herring.example QUIET [APT42] [APT42: says herring]", "paypal-login.example  [] []",
		"smoked-herring.example  [APT35] [APT35: says herring]", "smoked-herring.example QUIET [APT42] [APT42: says herring]"}
	slices.Sort(want)
	if d := cmp.Diff(want, read("a", "ordinary.example\nsmoked-herring.example\npaypal-herring.example\npaypal-login.example\n")); d != "" {
		t.Error(d)
	}
	r.SetProfiles([]watch.Profile{likes{"APT1", "ordinary", ""}})
	if d := cmp.Diff([]string{"ordinary.example  [APT1] [APT1: says ordinary]"}, read("b", "ordinary.example\nsmoked-herring.example\n")); d != "" {
		t.Error(d)
	}
}

// A budget bounds what goes into the queue for brands and for habits.
func TestBudget(t *testing.T) {
	b := newBench(t)
	var mu sync.Mutex
	n := map[string]int{}
	r, err := live.New(live.Config{Store: b.st, Watch: watch.Options{Matcher: matcher(), Profiles: []watch.Profile{likes{"APT35", "shop", ""}}, Budget: .01, Habits: .01}, Once: true,
		Save: func(ctx context.Context, cs []impound.Candidate, also func(store.Tx, int) error) error {
			mu.Lock()
			for _, c := range cs {
				n["all"]++
				if len(c.Actors) > 0 {
					n["actor"]++
				}
			}
			mu.Unlock()
			return b.st.Update(ctx, func(tx store.Tx) error { return also(tx, len(cs)) })
		}})
	if err != nil {
		t.Fatal(err)
	}
	var s strings.Builder
	for i := range 60_000 { // every third is a shop, every fourth a brand
		switch {
		case i%3 == 0:
			fmt.Fprintf(&s, "shop%d.example\n", i)
		case i%4 == 0:
			fmt.Fprintf(&s, "paypal-login%d.example\n", i)
		default:
			fmt.Fprintf(&s, "ordinary%d.example\n", i)
		}
	}
	if err := r.Run(t.Context(), []live.Source{live.NewStdin("x", strings.NewReader(s.String()))}); err != nil {
		t.Fatal(err)
	}
	if n["all"] > 6000 || n["all"] == 0 || n["actor"] > 3000 {
		t.Errorf("of 60,000 names with a budget of 1 %% each: %v", n)
	}
}
