package casework_test

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

// guard makes the first account: a case can be sealed from then on.
func (d *desk) guard() {
	d.t.Helper()
	d.ok(d.AddAccount(d.t.Context(), "root", "root", "correct horse battery staple"))
}

func (d *desk) seal(by, caseID string, parties ...string) error {
	z := casework.NewSeal(caseID, parties, "grand jury", t0)
	z.Signature = impound.Sign(key(by), casework.SignSeal, z.Hash(), by, t0)
	return d.SealCase(d.t.Context(), z)
}

func as(ctx context.Context, id string) context.Context {
	return impound.WithPrincipal(ctx, impound.Principal{ID: id})
}

// Every exported method stands in the table, and each that changes something
// refuses every person who lacks its roles, whatever else it is given.
func TestEveryMethodSaysWhoMayCallIt(t *testing.T) {
	d := openDesk(t, t.TempDir())
	d.ok(d.Enrol(t.Context(), casework.SignEnrolment(person("root", impound.RoleAdmin), "root", key("root"))))
	for _, r := range impound.Roles {
		d.ok(d.Enrol(t.Context(), casework.SignEnrolment(person("only-"+string(r), r), "root", key("root"))))
	}
	typ, val := reflect.TypeOf(d.Service), reflect.ValueOf(d.Service)
	seen := map[string]bool{}
	for i := range typ.NumMethod() {
		m := typ.Method(i)
		seen[m.Name] = true
		need, ok := casework.Needs[m.Name]
		if !ok {
			t.Errorf("%s: who may call it? Add it to casework.Needs, and ask there with act or Sight", m.Name)
			continue
		}
		if n := len(need.Roles); (n > 0) == (need.Reads || need.Signed) {
			t.Errorf("%s: it takes roles, or reads, or its argument is signed: one of them", m.Name)
		}
		if len(need.Roles) == 0 {
			continue
		}
		if !need.Unnamed && (m.Type.NumIn() < 3 || m.Type.In(2).Kind() != reflect.String) {
			t.Errorf("%s: its second argument must be who does it", m.Name)
			continue
		}
		for _, r := range impound.Roles {
			by := "only-" + string(r)
			ctx := t.Context()
			args := []reflect.Value{val}
			if need.Unnamed {
				ctx = as(ctx, by)
			}
			args = append(args, reflect.ValueOf(ctx))
			for k := 2; k < m.Type.NumIn(); k++ {
				if m.Type.IsVariadic() && k == m.Type.NumIn()-1 {
					break
				}
				args = append(args, reflect.Zero(m.Type.In(k)))
			}
			if !need.Unnamed {
				args[2] = reflect.ValueOf(by)
			}
			err, panicked := call(m.Func, args)
			refused := impound.KindOf(err) == impound.KindAuth && strings.Contains(err.Error(), "it takes the role")
			if may := slices.Contains(need.Roles, r); may == refused && !(may && fine(m.Name, r)) {
				t.Errorf("%s by a person who is %s only: refused %t (%v, panicked %t), the table says %t", m.Name, r, refused, err, panicked, !may)
			}
		}
		if need.Unnamed {
			continue
		}
		// In another's name, with a token, or in nobody's.
		args := func(ctx context.Context, by string) []reflect.Value {
			out := []reflect.Value{val, reflect.ValueOf(ctx), reflect.ValueOf(by)}
			for k := 3; k < m.Type.NumIn() && !(m.Type.IsVariadic() && k == m.Type.NumIn()-1); k++ {
				out = append(out, reflect.Zero(m.Type.In(k)))
			}
			return out
		}
		who := "only-" + string(need.Roles[0])
		for what, ctx := range map[string]context.Context{
			"in another's name": as(t.Context(), "root"),
			"with a token":      impound.WithPrincipal(t.Context(), impound.Principal{ID: who, Scopes: []impound.Scope{impound.ScopeCases}}),
		} {
			if err, _ := call(m.Func, args(ctx, who)); impound.KindOf(err) != impound.KindAuth {
				t.Errorf("%s %s: %v", m.Name, what, err)
			}
		}
		if err, _ := call(m.Func, args(impound.WithPrincipal(t.Context(), impound.Principal{Local: impound.Roles}), "")); impound.KindOf(err) != impound.KindAuth {
			t.Errorf("%s in nobody's name: %v", m.Name, err)
		}
	}
	for name := range casework.Needs {
		if !seen[name] {
			t.Errorf("casework.Needs speaks of %s, which is no method", name)
		}
	}
}

// fine names what a method asks beyond the table: SetState to what is no outcome
// takes an analyst, and the zero state is none.
func fine(method string, r impound.Role) bool {
	switch method {
	case "SetState":
		return r == impound.RoleOperator
	case "SetPassword", "AddToken", "RevokeToken": // for nobody, who is another
		return r != impound.RoleAdmin
	}
	return false
}

func call(f reflect.Value, args []reflect.Value) (err error, panicked bool) {
	defer func() {
		if recover() != nil { // it got past the door, with nothing in its hands
			panicked = true
		}
	}()
	out := f.Call(args)
	err, _ = out[len(out)-1].Interface().(error)
	return err, false
}

func TestASealedCaseIsNoCase(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.guard()
	d.ok(d.Enrol(ctx, casework.SignEnrolment(person("eve", impound.RoleAnalyst, impound.RoleCounsel), "root", key("root"))))
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "OPEN", Title: "Open", Actor: "A-1"}))
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "QUIET", Title: "Quiet", Actor: "A-2"}))
	_, err := d.AddNames(ctx, "ann", "OPEN", add("shared-verify.com", "open-verify.com"))
	d.ok(err)
	_, err = d.AddNames(ctx, "ann", "QUIET", add("shared-verify.com", "quiet-verify.com"))
	d.ok(err)
	d.ok(d.seal("ann", "QUIET", "ann", "carl"))

	eve, ann := as(ctx, "eve"), as(ctx, "ann")
	cs, err := d.Cases(eve)
	d.ok(err)
	if len(cs) != 1 || cs[0].ID != "OPEN" {
		t.Errorf("eve sees %v", cs)
	}
	if cs, _ := d.Cases(ann); len(cs) != 2 {
		t.Errorf("ann sees %v", cs)
	}
	if cs, _ := d.Cases(ctx); len(cs) != 1 {
		t.Errorf("nobody sees %v", cs)
	}
	// Sealed and missing have the same words, whatever is tried.
	n := impound.MustName("quiet-verify.com")
	same := map[string]func(id string) error{
		"case":  func(id string) error { _, err := d.Case(eve, id); return err },
		"count": func(id string) error { _, err := d.CountNames(eve, id); return err },
		"add":   func(id string) error { _, err := d.AddNames(eve, "eve", id, add("x.com")); return err },
		"add list": func(id string) error {
			_, err := d.AddNamesFrom(eve, "eve", id, "f", strings.NewReader("x.com\n"))
			return err
		},
		"state":      func(id string) error { return d.SetState(eve, "eve", id, n, impound.StateReleased, "x") },
		"attach":     func(id string) error { return d.AttachEvidence(eve, "eve", id, n) },
		"draft":      func(id string) error { _, err := d.DraftOrder(eve, id, template("O-1")); return err },
		"seal":       func(id string) error { return d.seal("eve", id, "eve") },
		"unseal":     func(id string) error { return d.seal("eve", id) },
		"seal, read": func(id string) error { _, err := d.Seal(eve, id); return err },
	}
	for what, try := range same {
		a, b := try("QUIET"), try("MISSING")
		if a == nil || b == nil {
			t.Errorf("%s: sealed %v, missing %v", what, a, b)
			continue
		}
		if diff := cmp.Diff(b.Error(), strings.ReplaceAll(a.Error(), "QUIET", "MISSING")); diff != "" || impound.KindOf(a) != impound.KindOf(b) {
			t.Errorf("%s tells a sealed case from a missing one (-missing +sealed):\n%s", what, diff)
		}
	}
	// A decision on a name that only the sealed case holds.
	dec := func(name string) error {
		x := casework.NewDecision(casework.WhatContest, impound.MustName(name), "", "mine", t0)
		x.Signature = impound.Sign(key("eve"), casework.SignDecision, x.Hash(), "eve", t0)
		return d.Decide(eve, x)
	}
	a, b := dec("quiet-verify.com"), dec("queer-verify.com")
	if a == nil || b == nil || strings.ReplaceAll(a.Error(), "quiet", "queer") != b.Error() {
		t.Errorf("a contest tells: %v, %v", a, b)
	}
	// The line of the log, by name alone too; what an open case holds as well stays.
	x, err := d.SightOf(ctx, "eve")
	d.ok(err)
	for _, tc := range []struct {
		e    impound.Entry
		sees bool
	}{
		{impound.Entry{Case: "QUIET"}, false}, {impound.Entry{Case: "OPEN"}, true}, {impound.Entry{}, true},
		{impound.Entry{Name: n}, false}, {impound.Entry{Name: impound.MustName("www.quiet-verify.com")}, false},
		{impound.Entry{Name: impound.MustName("shared-verify.com")}, true},
		{impound.Entry{Artefact: &impound.Artefact{Case: "QUIET"}}, false},
	} {
		if got := x.Entry(tc.e); got != tc.sees {
			t.Errorf("eve sees %+v: %t", tc.e, got)
		}
	}
	// Its parties go on working, and one of them lifts it.
	_, err = d.AddNames(ann, "ann", "QUIET", add("more-verify.com"))
	d.ok(err)
	d.refuses(d.seal("root", "QUIET"), impound.KindNotFound)
	d.ok(d.seal("carl", "QUIET"))
	if cs, _ := d.Cases(eve); len(cs) != 2 {
		t.Errorf("after the seal was lifted eve sees %v", cs)
	}
}

// Whoever can write in the database unseals nothing, and whoever can add a line
// to the log needs a party's key.
func TestASealIsProvenFromTheLog(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.guard()
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "QUIET", Title: "Quiet"}))
	d.ok(d.seal("ann", "QUIET", "ann"))
	var sealed impound.Entry
	d.ok(d.log.Entries(ctx, 0, func(_ int64, e impound.Entry) error {
		if e.What == casework.WhatSeal {
			sealed = e
		}
		return nil
	}))
	slip := func(i int, change func(e *impound.Entry)) {
		e := sealed
		e.ID, e.Detail = fmt.Sprint("slipped-", i), map[string]string{}
		for k, v := range sealed.Detail {
			e.Detail[k] = v
		}
		change(&e)
		_, err := d.log.Append(ctx, e)
		d.ok(err)
	}
	slip(1, func(e *impound.Entry) { e.Detail["parties"] = "" })
	slip(2, func(e *impound.Entry) { e.Detail["parties"] = "ann carl" })
	slip(3, func(e *impound.Entry) { // carl signs, who is no party
		z := casework.NewSeal("QUIET", nil, "open up", t0)
		g := impound.Sign(key("carl"), casework.SignSeal, z.Hash(), "carl", t0)
		e.Detail["parties"], e.Detail["why"], e.Detail["person"], e.Detail["sig"], e.Detail["key"] = "", "open up", "carl", g.Sig, string(g.Key)
	})
	for _, who := range []string{"carl", "root", ""} {
		if cs, _ := openDesk(t, d.dir).Cases(as(ctx, who)); len(cs) != 0 {
			t.Errorf("%q sees %v", who, cs)
		}
	}
	if cs, _ := d.Cases(as(ctx, "ann")); len(cs) != 1 {
		t.Error("ann lost her case")
	}
	// An old seal, copied back, replaces no newer one.
	d.ok(d.seal("ann", "QUIET", "ann", "carl"))
	slip(4, func(*impound.Entry) {})
	if cs, _ := d.Cases(as(ctx, "carl")); len(cs) != 1 {
		t.Error("an old seal came back")
	}
}

// A candidate that went into a sealed case looks as it did before, to others.
func TestACandidateInASealedCaseStaysOpenToOthers(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.guard()
	d.ok(d.Enrol(ctx, casework.SignEnrolment(person("eve", impound.RoleAnalyst), "root", key("root"))))
	for _, id := range []string{"OPEN", "QUIET"} {
		d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: id, Title: id}))
	}
	n := impound.MustName("a-verify.com")
	_, err := d.SaveCandidates(impound.AsSystem(ctx), []impound.Candidate{{Name: n, Source: "ct", Seen: t0, Score: .9}})
	d.ok(err)
	d.ok(d.seal("ann", "QUIET", "ann"))
	before, err := d.Candidates(as(ctx, "eve"), casework.CandidateFilter{Status: casework.CandidateOpen})
	d.ok(err)
	d.ok(d.Promote(ctx, "ann", n, "QUIET"))
	after, err := d.Candidates(as(ctx, "eve"), casework.CandidateFilter{Status: casework.CandidateOpen})
	d.ok(err)
	if diff := cmp.Diff(before, after, cmp.Comparer(func(a, b impound.Name) bool { return a == b })); diff != "" || len(after) != 1 {
		t.Errorf("eve can tell: %s", diff)
	}
	if own, _ := d.Candidates(as(ctx, "ann"), casework.CandidateFilter{Status: casework.CandidatePromoted}); len(own) != 1 {
		t.Errorf("ann sees %v", own)
	}
	d.ok(d.Promote(ctx, "eve", n, "OPEN"))
}

// One person can't be two approvers: not by another key, not by another spelling.
func TestTwoApproversAreTwoPeople(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	try := func(id, name, by string) error {
		p := person(id, impound.RoleApprover)
		p.Name = name
		if by != "" {
			p.Key = person(by).Key
		}
		return d.Enrol(ctx, casework.SignEnrolment(p, "root", key("root")))
	}
	for what, err := range map[string]error{
		"the same key":     try("robert", "Robert", "bob"),
		"another case":     try("BOB", "Robert", ""),
		"digits":           try("b0b", "Robert", ""),
		"a separator":      try("bo.b", "Robert", ""),
		"the same name":    try("robert", "BOB", ""),
		"the name, spaced": try("robert", "B o-b", ""),
	} {
		d.refuses(err, impound.KindConflict)
		if err == nil {
			t.Errorf("%s was taken", what)
		}
	}
	for _, id := range []string{"b\u043eb", "bob\u200b", "\uff42ob"} { // Cyrillic o, zero width space, full-width b
		d.refuses(try(id, "Robert", ""), impound.KindInvalid)
	}
	d.ok(try("robert", "Robert", ""))
}
