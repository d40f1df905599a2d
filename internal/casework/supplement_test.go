package casework_test

import (
	"bytes"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

// The actor registers anew: from a promoted candidate to a name that a mandate
// permits, and that is let go with the parent.
func TestSupplementFromCandidate(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	doc := d.draft("O-1", "outlook-verify.net", "yahoo-verify.net")
	doc = bytes.Replace(doc, []byte("outlook-verify[.]net"), []byte("outlook-verify[.]net\n        exhibit: Ex. 7"), 1)
	doc = bytes.Replace(doc, []byte("yahoo-verify[.]net"), []byte("yahoo-verify[.]net\n        exhibit: Ex. 8"), 1)
	_, err := d.Supplement(ctx, "O-1", "7", "", "O-1-S1")
	d.refuses(err, impound.KindNotFound, "O-1")
	_, err = d.FileOrder(ctx, "ann", "o.yaml", sign(t, doc, "alice", "bob"))
	d.ok(err)
	_, err = d.Supplement(ctx, "O-1", "7", "C-1", "O-1-S1")
	d.refuses(err, impound.KindNotFound, "no name that order O-1", "impound watch promote")

	fresh := impound.MustName("outlook-verify2.com")
	_, err = d.SaveCandidates(impound.AsSystem(ctx), []impound.Candidate{{Name: fresh, Source: "ct", Seen: t0, Score: 0.9, Reasons: []impound.Reason{{Code: "brand", Text: "outlook"}}}})
	d.ok(err)
	d.ok(d.Promote(ctx, "ann", fresh, "C-1"))
	_, err = d.AddNames(ctx, "ann", "C-1", add("gone-verify.net", "host.below-verify.net"))
	d.ok(err)
	d.ok(d.SetState(ctx, "olga", "C-1", impound.MustName("gone-verify.net"), impound.StateReleased, "a bakery's"))

	for _, c := range []struct {
		parent, clause, of, id string
		kind                   impound.Kind
	}{
		{"O-9", "7", "", "S", impound.KindNotFound}, {"O-1", " ", "", "S", impound.KindInvalid}, {"O-1", "7", "C-2", "S", impound.KindRefused},
		{"O-1", "7", "", "O-1", impound.KindConflict}, {"O-1", "7", "", "a b", impound.KindInvalid},
	} {
		_, err := d.Supplement(ctx, c.parent, c.clause, c.of, c.id)
		d.refuses(err, c.kind)
	}

	s, err := d.Supplement(ctx, "O-1", "7", "C-1", "O-1-S1")
	d.ok(err)
	if diff := cmp.Diff(names("outlook-verify2.com"), s.Names, cmp.Comparer(func(a, b impound.Name) bool { return a == b })); diff != "" {
		t.Error(diff)
	}
	if len(s.Left) != 2 || len(s.NewZones) != 1 || s.NewZones[0] != "com" {
		t.Errorf("left %v, new zones %v", s.Left, s.NewZones)
	}
	a := s.Order.Appendices[0]
	if a.ID != "B" || a.Names[0].Exhibit != "Ex. 9" || s.Order.Parent.Clause != "7" || s.Order.Until.After(t0.Add(24*time.Hour)) {
		t.Errorf("%+v", s.Order)
	}
	again, err := d.Supplement(ctx, "O-1", "7", "C-1", "O-1-S1")
	d.ok(err)
	if !bytes.Equal(s.Document, again.Document) {
		t.Error("twice the same, and two documents")
	}
	// One signature is not enough; two are.
	_, err = d.FileOrder(ctx, "ann", "s.yaml", sign(t, s.Document, "alice"))
	d.refuses(err, impound.KindRefused)
	_, err = d.FileOrder(ctx, "ann", "s.yaml", sign(t, s.Document, "alice", "bob"))
	d.ok(err)
	if !d.permits("O-1-S1", "outlook-verify2.com") || d.state("outlook-verify2.com") != impound.StateOrdered {
		t.Error("the new name is not permitted")
	}
	// It dies with its parent.
	ms, err := d.Mandates(ctx)
	d.ok(err)
	for _, m := range ms {
		for _, n := range m.Names() {
			if _, err := m.Permit(impound.ActNameservers, n, t0.Add(24*time.Hour)); impound.KindOf(err) != impound.KindRefused {
				t.Errorf("%s is permitted after the parent's end: %v", n, err)
			}
		}
	}
	d.cfg.Now = func() time.Time { return t0.Add(24 * time.Hour) }
	late, err := casework.New(d.cfg)
	d.ok(err)
	_, err = late.Supplement(ctx, "O-1", "7", "", "O-1-S2")
	d.refuses(err, impound.KindRefused, "lapsed")

	// The next one takes neither the parent's names nor the sibling's, and goes
	// on counting.
	_, err = d.Supplement(ctx, "O-1", "7", "", "O-1-S2")
	d.refuses(err, impound.KindNotFound, "can't go in")
	_, err = d.AddNames(ctx, "ann", "C-1", add("third-verify.net"))
	d.ok(err)
	for _, parent := range []string{"O-1", "O-1-S1"} {
		s, err := d.Supplement(ctx, parent, "7", "", "O-1-S2")
		d.ok(err)
		if a := s.Order.Appendices[0]; a.ID != "C" || a.Names[0].Exhibit != "Ex. 10" || len(s.Names) != 1 {
			t.Errorf("%+v", a)
		}
	}
}

// Few new names are read one by one, many with the case: what is drafted is the
// same.
func TestSupplementOfFewAndOfMany(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	_, err := d.FileOrder(ctx, "ann", "o.yaml", sign(t, d.draft("O-1", "outlook-verify.net", "yahoo-verify.net"), "alice", "bob"))
	d.ok(err)
	var have []impound.Name
	for i := range 3 {
		var more []casework.AddName
		for j := range []int{5, 195, 1}[i] { // 200 are few still
			n := impound.MustName(fmt.Sprintf("n%d-%03d-verify.net", i, j))
			more, have = append(more, casework.AddName{Name: n, FirstSeen: t0}), append(have, n)
		}
		_, err := d.AddNames(ctx, "ann", "C-1", more)
		d.ok(err)
		s, err := d.Supplement(ctx, "O-1", "7", "C-1", "O-1-S1")
		d.ok(err)
		if !slices.Equal(s.Names, have) {
			t.Errorf("of %d names the supplement has %d", len(have), len(s.Names))
		}
		if n := bytes.Count(s.Document, []byte("# first seen ")); n != len(have) {
			t.Errorf("of %d names %d are told when they were seen first", len(have), n)
		}
	}
}
