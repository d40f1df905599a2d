package casework_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

// A supplement's paper says which names of the orders before it are without
// effect now, why, in words fit to be served, and that it takes none away; of
// orders to other recipients it says nothing.
func TestASupplementSaysWhatIsNoLongerCovered(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.guard()
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-2", Title: "Of another", Actor: "A-2"}))
	_, err := d.FileOrder(ctx, "carl", "o.yaml", sign(t, d.draft("O-1", "kept-verify.net", "given-verify.net", "contested-verify.net", "theirs-verify.net"), "alice", "bob"))
	d.ok(err)
	supplement := func(id, name, recipient string) []byte {
		t.Helper()
		_, err := d.AddNames(ctx, "ann", "C-1", add(name))
		d.ok(err)
		x, err := d.Supplement(ctx, "O-1", "7", "C-1", id)
		d.ok(err)
		return bytes.Replace(x.Document, []byte("name: Practice Registry"), []byte("name: "+recipient), 1)
	}
	file := func(doc []byte) []byte {
		t.Helper()
		doc = sign(t, doc, "alice", "bob")
		_, err := d.FileOrder(ctx, "carl", "s.yaml", doc)
		d.ok(err)
		return doc
	}
	_, err = d.AddNames(ctx, "ann", "C-2", add("theirs-verify.net"))
	d.ok(err)
	first := file(supplement("O-1-S1", "first-verify.net", "Practice Registry"))
	paper := func(doc []byte) (casework.Appendix, string) {
		t.Helper()
		a, err := d.Appendix(ctx, "s.yaml", doc)
		d.ok(err)
		var b bytes.Buffer
		d.ok(a.Text(&b))
		return a, b.String()
	}
	a, text := paper(first)
	if len(a.NoLonger) != 0 || a.NoLongerUnsaid != "" || !strings.Contains(text, "Names no longer covered: 0") || !strings.Contains(text, "adds names and takes none away") {
		t.Errorf("while all hold: %+v\n%s", a.NoLonger, text)
	}
	if !strings.Contains(paperText(a), "No name that is listed there for this recipient is known to be without effect") {
		t.Errorf("the paper: %s", paperText(a))
	}

	decide := func(who, what, n, actor, why string) {
		t.Helper()
		x := casework.NewDecision(what, impound.MustName(n), actor, why, t0)
		x.Signature = impound.Sign(key(who), casework.SignDecision, x.Hash(), who, t0)
		d.ok(d.Decide(as(ctx, who), x))
	}
	d.ok(d.SetState(ctx, "ann", "C-1", impound.MustName("given-verify.net"), impound.StateReleased, "Jane Baker's"))
	decide("carl", casework.WhatContest, "contested-verify.net", "", "letter of Jane Owner")
	decide("ann", casework.WhatAttribute, "theirs-verify.net", "A-2", "exhibit 4 of Jane Expert")
	other := file(supplement("O-1-S2", "other-verify.net", "Another Registry"))
	second := supplement("O-1-S3", "second-verify.net", "Practice Registry")
	a, text = paper(second)
	want := map[string]string{"given-verify.net": "given back on ", "contested-verify.net": "contested since ", "theirs-verify.net": "whose name it is has to be settled first"}
	if len(a.NoLonger) != len(want) {
		t.Errorf("%+v", a.NoLonger)
	}
	for _, x := range a.NoLonger {
		if w := want[x.Name.String()]; w == "" || !strings.HasPrefix(x.Why, w) || x.Order != "O-1" {
			t.Errorf("%+v", x)
		}
		if !strings.Contains(text, x.Name.Defanged()+" (order O-1): "+x.Why) || !strings.Contains(paperText(a), x.Name.String()) {
			t.Errorf("%s is not in the papers", x.Name)
		}
	}
	if !strings.Contains(a.NoLongerUnsaid, "O-1-S2") || strings.Contains(text+paperText(a), "other-verify") {
		t.Errorf("of another recipient's: %q", a.NoLongerUnsaid)
	}
	if strings.Contains(text+paperText(a), "Jane") {
		t.Error("what people wrote stands in a paper that is served")
	}
	if a, _ := paper(other); len(a.NoLonger) != 0 || !strings.Contains(a.NoLongerUnsaid, "O-1, O-1-S1") || !strings.Contains(a.NoLongerUnsaid, "they are addressed") {
		t.Errorf("for another recipient: %+v %q", a.NoLonger, a.NoLongerUnsaid)
	}
	// An order of its own has no such section.
	_, _, doc, err := d.Order(ctx, "O-1")
	d.ok(err)
	if _, text := paper(doc); strings.Contains(text, "no longer covered") {
		t.Error("of an order that supplements nothing")
	}
}

func paperText(a casework.Appendix) string { return fmt.Sprintf("%+v", a.Paper().Blocks) }
