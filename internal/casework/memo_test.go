package casework_test

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/store"
)

// What is kept between two readings is never stale: whoever changes what stands
// behind it, in this process, in another, or by hand.
func TestKeptIsNeverStale(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C", Title: "T", Actor: "A"}))
	if _, err := d.AddNames(ctx, "ann", "C", add("one.example", "two.example")); err != nil {
		t.Fatal(err)
	}
	other := openDesk(t, d.dir) // another process
	look := func() string {
		t.Helper()
		k, err := d.Case(ctx, "C")
		d.ok(err)
		hs, err := d.CaseHeads(ctx)
		d.ok(err)
		n, err := d.CountNames(ctx, "C")
		d.ok(err)
		at := slices.IndexFunc(hs, func(h casework.CaseHead) bool { return h.ID == "C" })
		if diff := cmp.Diff(n, hs[at].Count); diff != "" {
			t.Errorf("the counts differ: %s", diff)
		}
		byHand := map[impound.DomainState]int{}
		for _, x := range k.Domains {
			byHand[x.State]++
		}
		if diff := cmp.Diff(byHand, n); diff != "" {
			t.Errorf("the names are counted wrong: %s", diff)
		}
		cs, err := d.Candidates(ctx, casework.CandidateFilter{})
		d.ok(err)
		open, err := d.Candidates(ctx, casework.CandidateFilter{Status: casework.CandidateOpen})
		d.ok(err)
		b, err := json.Marshal([]any{k, hs, cs, open})
		d.ok(err)
		return string(b)
	}
	for _, c := range []struct {
		what string
		do   func() error
	}{
		{"a name is added", func() error { _, err := d.AddNames(ctx, "ann", "C", add("three.example")); return err }},
		{"a name is added elsewhere", func() error { _, err := other.AddNames(ctx, "ann", "C", add("four.example")); return err }},
		{"a state changes elsewhere", func() error {
			return other.SetState(ctx, "ann", "C", names("one.example")[0], impound.StateReleased, "not his")
		}},
		{"the title changes elsewhere", func() error {
			title := "Another"
			return other.EditCase(ctx, "ann", "C", 0, casework.Edit{Title: &title}, impound.Case{})
		}},
		{"a task is added", func() error { _, err := other.AddTask(ctx, "ann", "C", impound.Task{Title: "x"}); return err }},
		{"a case is opened", func() error {
			return other.OpenCase(ctx, "ann", impound.Case{ID: "A", Title: "Before", Actor: "A"})
		}},
		{"a candidate is found", func() error {
			_, err := other.SaveCandidates(impound.AsSystem(ctx), []impound.Candidate{{Name: names("cand.example")[0], Source: "s", Seen: t0, Score: .5}})
			return err
		}},
		{"a candidate is dismissed", func() error { return other.Dismiss(ctx, "ann", names("cand.example")[0], "no") }},
		{"the database is edited", func() error {
			return other.db.Update(ctx, func(tx store.Tx) error {
				x, err := tx.Get("domain", "C/two.example")
				if err != nil {
					return err
				}
				return tx.Delete("domain", "C/two.example", x.Rev)
			})
		}},
	} {
		was := look()
		if look() != was {
			t.Fatalf("before %s two readings differ", c.what)
		}
		d.ok(c.do())
		if now := look(); now == was {
			t.Errorf("%s, and what is shown is what was kept", c.what)
		}
	}
}

// Who sorts, cuts or appends to what he was given changes it for nobody else.
func TestKeptIsNotLent(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C", Title: "T", Actor: "A"}))
	if _, err := d.AddNames(ctx, "ann", "C", add("one.example", "two.example")); err != nil {
		t.Fatal(err)
	}
	if _, err := d.AddTask(ctx, "ann", "C", impound.Task{Title: "x"}); err != nil {
		t.Fatal(err)
	}
	read := func() (impound.Case, []casework.CaseHead) {
		k, err := d.Case(ctx, "C")
		d.ok(err)
		hs, err := d.CaseHeads(ctx)
		d.ok(err)
		return k, hs
	}
	k, hs := read()
	was, err := json.Marshal([]any{k, hs})
	d.ok(err)
	for i := range k.Domains {
		k.Domains[i].State = "spoilt"
		_ = append(k.Domains[i].History, impound.StateChange{Why: "spoilt"})
		_ = append(k.Domains[i].Reasons, impound.Reason{Text: "spoilt"})
	}
	k.Tasks[0].Title = "spoilt"
	hs[0].Count["spoilt"] = 1
	hs[0].Tasks[0].Title = "spoilt"
	k, hs = read()
	now, err := json.Marshal([]any{k, hs})
	d.ok(err)
	if string(was) != string(now) {
		t.Errorf("what one reader did shows to the next:\n%s\n%s", was, now)
	}
}

// What is kept is kept for nobody: who may not see a case doesn't see it for the
// sake of a party who looked before, and gets the answer for what is not there.
func TestKeptIsBehindTheDoor(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "OPEN", Title: "T", Actor: "A"}))
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C", Title: "T", Actor: "A"}))
	for _, id := range []string{"C", "OPEN"} {
		if _, err := d.AddNames(ctx, "ann", id, add("one."+id)); err != nil {
			t.Fatal(err)
		}
	}
	n := names("cand.example")[0]
	if _, err := d.SaveCandidates(impound.AsSystem(ctx), []impound.Candidate{{Name: n, Source: "s", Seen: t0, Score: .5}}); err != nil {
		t.Fatal(err)
	}
	d.ok(d.Promote(ctx, "ann", n, "C"))
	d.guard()
	d.ok(d.seal("ann", "C", "ann"))
	as := func(id string) context.Context { return impound.WithPrincipal(ctx, impound.Principal{ID: id}) }
	for range 3 {
		for _, who := range []string{"ann", "carl"} {
			c := as(who)
			sees := who == "ann"
			_, err := d.Case(c, "C")
			_, missing := d.Case(c, "MISSING")
			if (err == nil) != sees || !sees && fmt.Sprint(err) != strings.ReplaceAll(fmt.Sprint(missing), "MISSING", "C") {
				t.Errorf("%s reads the sealed case: %v, a missing one: %v", who, err, missing)
			}
			if _, err := d.Head(c, "C"); (err == nil) != sees {
				t.Errorf("%s reads the head of the sealed case: %v", who, err)
			}
			if _, err := d.CountNames(c, "C"); (err == nil) != sees {
				t.Errorf("%s counts the sealed case: %v", who, err)
			}
			if _, err := d.Domain(c, "C", names("one.C")[0]); (err == nil) != sees {
				t.Errorf("%s reads a name of the sealed case: %v", who, err)
			}
			hs, err := d.CaseHeads(c)
			d.ok(err)
			if want := map[bool]int{true: 2, false: 1}[sees]; len(hs) != want {
				t.Errorf("%s sees %d cases, want %d", who, len(hs), want)
			}
			cs, err := d.Candidates(c, casework.CandidateFilter{})
			d.ok(err)
			if got := cs[0].Case == "C" && cs[0].Status == casework.CandidatePromoted; got != sees {
				t.Errorf("%s sees where the candidate went: %v", who, got)
			}
			open, err := d.Candidates(c, casework.CandidateFilter{Status: casework.CandidateOpen})
			d.ok(err)
			if (len(open) == 0) != sees {
				t.Errorf("%s sees %d open candidates", who, len(open))
			}
		}
	}
}

// The markings of many names are those of each.
func TestMarkingsOfMany(t *testing.T) {
	d := newDesk(t)
	ctx := t.Context()
	for _, id := range []string{"A", "B"} {
		d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: id, Title: "T", Actor: "A"}))
	}
	var all []string
	for i := range 600 {
		all = append(all, fmt.Sprintf("n%03d.example", i))
	}
	for id, part := range map[string][]string{"A": all[:400], "B": all[300:]} {
		if _, err := d.AddNames(ctx, "ann", id, add(part...)); err != nil {
			t.Fatal(err)
		}
	}
	d.ok(d.MarkName(ctx, "ann", "A", names(all[5])[0], impound.Marking{PAP: impound.PAPRed}))
	d.ok(d.MarkName(ctx, "ann", "B", names(all[350])[0], impound.Marking{PAP: impound.PAPRed, TLP: impound.TLPRed}))
	d.ok(d.MarkCase(ctx, "ann", "B", impound.Marking{PAP: impound.PAPGreen}))
	d.guard()
	d.ok(d.seal("ann", "B", "ann"))
	for _, who := range []string{"ann", "carl"} {
		ctx := impound.WithPrincipal(ctx, impound.Principal{ID: who})
		many, err := d.Markings(ctx, names(all...))
		d.ok(err)
		each := map[impound.Name]impound.Marking{}
		for _, n := range names(all...) {
			m, err := d.Markings(ctx, []impound.Name{n})
			d.ok(err)
			if v, ok := m[n]; ok {
				each[n] = v
			}
		}
		if diff := cmp.Diff(each, many, cmp.Comparer(func(a, b impound.Name) bool { return a == b })); diff != "" {
			t.Errorf("%s: (-each +many)\n%s", who, diff)
		}
		if many[names(all[5])[0]].PAP != impound.PAPRed || (many[names(all[350])[0]].PAP == impound.PAPRed) != (who == "ann") {
			t.Errorf("%s sees %v", who, many[names(all[350])[0]])
		}
	}
}
