package casework_test

import (
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

func (d *desk) actor(id string) impound.Actor {
	d.t.Helper()
	all, err := d.Actors(d.t.Context())
	d.ok(err)
	i := slices.IndexFunc(all, func(a impound.Actor) bool { return a.ID == id })
	if i < 0 {
		return impound.Actor{}
	}
	return all[i]
}

// TestAddingToAnActorLosesNothing: names, and who said them, stay when more come,
// also from several people at once.
func TestAddingToAnActorLosesNothing(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	_, _, err := d.ImportActors(ctx, "ann", []impound.Actor{{ID: "Callisto", Names: []string{"Callisto", "COLDRIVER"}, Brands: []string{"proton"},
		Aliases: []impound.Alias{{Name: "COLDRIVER", Source: "a galaxy", Confidence: 75}}}})
	d.ok(err)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			n := fmt.Sprintf("Name %d", i)
			if _, _, err := d.ImportActors(ctx, "ann", []impound.Actor{{ID: "Callisto", Names: []string{n}, Aliases: []impound.Alias{{Name: n, Source: "a report"}}}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	a := d.actor("Callisto")
	if len(a.Names) != 10 || len(a.Aliases) != 9 || !slices.Contains(a.Brands, "proton") || a.Names[0] != "Callisto" || a.Aliases[0].Confidence != 75 {
		t.Errorf("%+v", a)
	}
	d.refuses(d.DropActorNames(ctx, "ann", "Callisto", []string{"NOBODY"}), impound.KindNotFound, "no name")
	d.refuses(d.DropActorNames(ctx, "olga", "Callisto", []string{"COLDRIVER"}), impound.KindAuth, "analyst")
	d.ok(d.DropActorNames(ctx, "ann", "Callisto", []string{"COLDRIVER", "Name 3"}))
	if a = d.actor("Callisto"); slices.Contains(a.Names, "COLDRIVER") || slices.ContainsFunc(a.Aliases, func(x impound.Alias) bool { return x.Name == "COLDRIVER" }) || len(a.Names) != 8 {
		t.Errorf("%+v", a)
	}
	d.refuses(d.DropActorNames(ctx, "ann", "Callisto", a.Names), impound.KindInvalid, "no name")
}

// TestACaseGetsItsActorOnce: what a case without an actor is given counts for G15
// as if it had been opened so, and can't be changed to somebody else's.
func TestACaseGetsItsActorOnce(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "LATE", Title: "who is it?"}))
	_, err := d.AddNames(ctx, "ann", "LATE", []casework.AddName{{Name: impound.MustName("outlook-verify.net")}})
	d.ok(err)
	mine, other := "APT35", "Callisto"
	d.ok(d.EditCase(ctx, "ann", "LATE", 0, casework.Edit{Actor: &other}, impound.Case{}))
	d.ok(d.EditCase(ctx, "ann", "LATE", 0, casework.Edit{Actor: &other}, impound.Case{}))
	d.refuses(d.EditCase(ctx, "ann", "LATE", 0, casework.Edit{Actor: &mine}, impound.Case{}), impound.KindConflict, "about Callisto already")
	c, err := d.Case(ctx, "LATE")
	d.ok(err)
	if diff := cmp.Diff("Callisto", c.Actor); diff != "" {
		t.Error(diff)
	}
	// Two cases claim it now, and one decides for the actor that was given late.
	d.ok(d.Decide(ctx, decision(casework.WhatAttribute, "outlook-verify.net", "Callisto", "registered by the mailbox of exhibit 4", "ann")))
}
