package laws

import (
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/cli"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/testregistry"
)

// Somebody withdraws an order, or contests a name of it, in another process while
// an apply is at work: the act under way ends, is recorded, and no further one is
// begun, although the gates answered and the order was proven moments ago.
func TestHaltedWhileApplying(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct {
		phase   string // of the first name, at which it happens; "act": when the registry has the change
		release bool
		args    func(last impound.Name) []string
		after   int // names that are as ordered in the end
		says    string
	}{
		"withdrawn, with an act under way": {phase: "act", args: func(impound.Name) []string {
			return []string{"order", "withdraw", liveOrder, "--why", "dissolved by the court", "--as", "ben"}
		}, after: 1, says: "was withdrawn"},
		"withdrawn between two names": {phase: "done", args: func(impound.Name) []string {
			return []string{"order", "withdraw", liveOrder, "--why", "dissolved by the court", "--as", "ben"}
		}, after: 1, says: "was withdrawn"},
		"the last name contested, with an act under way": {phase: "act", args: func(last impound.Name) []string {
			return []string{"case", "contest", last.Defanged(), "--why", "letter of its owner", "--as", "ada"}
		}, after: 2, says: "contested"},
		"the last name contested between two names": {phase: "done", args: func(last impound.Name) []string {
			return []string{"case", "contest", last.Defanged(), "--why", "letter of its owner", "--as", "ada"}
		}, after: 2, says: "contested"},
		"withdrawn while names are let go": {phase: "act", release: true, args: func(impound.Name) []string {
			return []string{"order", "withdraw", liveOrder, "--why", "dissolved by the court", "--as", "ben"}
		}, after: 1, says: "was withdrawn"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var first impound.Name // as the plan has them
			var happen func()      // what is armed, once
			at := func(phase string, is func(n impound.Name) bool) {
				mu.Lock()
				f := happen
				if f == nil || phase != tt.phase || !is(first) {
					f = func() {}
				} else {
					happen = nil
				}
				mu.Unlock()
				f()
			}
			w := newWorld(t, func(rc *testregistry.Config) {
				rc.Record = func(dir string, frame []byte) {
					at("act", func(n impound.Name) bool {
						return dir == "C" && strings.Contains(string(frame), "<domain:update") && strings.Contains(string(frame), ">"+n.String()+"<")
					})
				}
			})
			var order []impound.Name
			s, err := app.Open(t.Context(), app.Options{State: w.state, Config: w.cfg, Version: "test", Now: w.clock.now, Patience: 2 * time.Second, Progress: func(e seizure.Event) {
				if e.Phase != "act" {
					at(e.Phase, func(n impound.Name) bool { return e.Name == n })
				}
			}})
			must(t, err)
			t.Cleanup(func() { s.Close() })
			now := time.Now()
			names := []impound.Name{live, spare, unlisted}
			w.file(t, s, terms{id: liveOrder, names: names, from: now.Add(-time.Minute), until: now.Add(time.Hour),
				release: &impound.ReleaseTerms{How: []string{impound.ReleaseRestore}, Until: now.AddDate(0, 0, 30), Clause: "paragraph 9"}})
			plan := w.plan(t, s, liveOrder, "ben", "dora")
			olaf := w.me(t, s, "olaf")
			if tt.release {
				if _, err := s.Apply(t.Context(), olaf, plan); err != nil {
					t.Fatal(err)
				}
				p, err := s.Release(t.Context(), "olaf", "", seizure.LettingGo{How: impound.ReleaseRestore, Despite: "the brand takes it"}, names...)
				must(t, err)
				plan = p.ID
				for _, who := range []string{"ben", "dora"} {
					_, err := s.Approve(t.Context(), w.me(t, s, who), plan)
					must(t, err)
				}
			}
			info, err := s.Seizure.Get(t.Context(), plan)
			must(t, err)
			for _, np := range info.Plan.Names {
				order = append(order, np.Name)
			}
			before := len(w.acts())
			updates := func() map[string]int {
				out := map[string]int{}
				for _, op := range w.acts()[before:] {
					if op.Command == "domain:update" && op.Code == 1000 {
						out[op.Name]++
					}
				}
				return out
			}
			mu.Lock()
			first = order[0]
			happen = func() {
				if code, _, errs := w.cli(t, tt.args(order[2])...); code != cli.ExitOK {
					t.Errorf("%d: %s", code, errs)
				}
			}
			mu.Unlock()
			res, err := s.Apply(t.Context(), olaf, plan)
			mu.Lock()
			if happen != nil {
				t.Error("it did not come about")
			}
			mu.Unlock()
			if impound.KindOf(err) != impound.KindPartial {
				t.Errorf("apply: %v", err)
			}
			got := updates()
			for i, n := range order {
				want := 0
				if i < tt.after {
					want = 1
				}
				if got[n.String()] != want {
					t.Errorf("%s, number %d, was changed %d times: %v", n, i+1, got[n.String()], res.Names[i].Msg)
				}
				if want == 0 && (!strings.Contains(res.Names[i].Msg, tt.says) || res.Names[i].Outcome != seizure.Blocked && res.Names[i].Outcome != seizure.Refused) {
					t.Errorf("%s: %s, %q", n, res.Names[i].Outcome, res.Names[i].Msg)
				}
			}
			if _, err := s.Apply(t.Context(), olaf, plan); err == nil || len(updates()) != tt.after {
				t.Errorf("applied again: %v, %v", err, updates())
			}
			intents, results := map[string]bool{}, 0
			must(t, s.Evidence.Entries(t.Context(), 0, func(_ int64, e impound.Entry) error {
				if e.Type == impound.EntryIntent && e.What == "seize.update" {
					intents[e.ID] = true
				}
				if e.Type == impound.EntryResult && e.What == "seize.update" && e.Detail["outcome"] == "done" && intents[e.Intent] {
					results++
				}
				return nil
			}))
			if want := map[bool]int{false: tt.after, true: 3 + tt.after}[tt.release]; len(intents) != want || results != want {
				t.Errorf("%d intents and %d results, want %d", len(intents), results, want)
			}
		})
	}
}

// A contest that comes after the gates let the name through, and before the change
// of it is sent: while the registry answers the look before the act, or when the
// intent is written down already. The change is not sent, and the log says so.
func TestHaltedBetweenGateAndAct(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"while the look before the act is answered", "with the intent recorded"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			names := []impound.Name{live, spare, unlisted}
			var mu sync.Mutex
			var contest func() // what is armed, once
			file := func() {
				mu.Lock()
				f := contest
				contest = nil
				mu.Unlock()
				if f != nil {
					f()
				}
			}
			var target impound.Name
			w := newWorld(t, func(rc *testregistry.Config) {
				rc.Record = func(dir string, frame []byte) {
					if dir == "C" && when != "with the intent recorded" && strings.Contains(string(frame), "<domain:info") && strings.Contains(string(frame), ">"+target.String()+"<") {
						file()
					}
				}
			})
			s, err := app.Open(t.Context(), app.Options{State: w.state, Config: w.cfg, Version: "test", Now: w.clock.now, Patience: 2 * time.Second, Progress: func(e seizure.Event) {
				if when == "with the intent recorded" && e.Phase == "act" && e.Name == target {
					file()
				}
			}})
			must(t, err)
			t.Cleanup(func() { s.Close() })
			now := time.Now()
			w.file(t, s, terms{id: liveOrder, names: names, from: now.Add(-time.Minute), until: now.Add(time.Hour)})
			plan := w.plan(t, s, liveOrder, "ben", "dora")
			info, err := s.Seizure.Get(t.Context(), plan)
			must(t, err)
			mu.Lock()
			target = info.Plan.Names[2].Name // the name servers are made in the first one's name
			filed := false
			contest = func() {
				filed = true
				if code, _, errs := w.cli(t, "case", "contest", target.Defanged(), "--why", "letter of its owner", "--as", "ada"); code != cli.ExitOK {
					t.Errorf("%d: %s", code, errs)
				}
			}
			mu.Unlock()
			before := len(w.acts())
			res, err := s.Apply(t.Context(), w.me(t, s, "olaf"), plan)
			if impound.KindOf(err) != impound.KindPartial || !filed {
				t.Errorf("apply: %v; contested: %v", err, filed)
			}
			for i, r := range res.Names {
				if want := map[bool]string{true: seizure.Done, false: seizure.Blocked}[i < 2]; r.Outcome != want || i == 2 && !strings.Contains(r.Msg, "contested") {
					t.Errorf("%s: %s, %q", r.Name, r.Outcome, r.Msg)
				}
			}
			for _, op := range w.acts()[before:] {
				if op.Name == target.String() {
					t.Errorf("the registry has %s of the contested name", op.Command)
				}
			}
			// What was intended has an end in the log.
			open := map[string]bool{}
			must(t, s.Evidence.Entries(t.Context(), 0, func(_ int64, e impound.Entry) error {
				switch {
				case e.Type == impound.EntryIntent && e.What == "seize.update":
					open[e.ID] = true
				case e.Type == impound.EntryResult && e.What == "seize.update":
					delete(open, e.Intent)
					if e.Name == target && e.Detail["outcome"] != "failed" {
						t.Errorf("the log says that it is %s", e.Detail["outcome"])
					}
				}
				return nil
			}))
			if len(open) != 0 {
				t.Errorf("%d intents have no result", len(open))
			}
		})
	}
}
