package app

import (
	"context"
	"testing"
	"testing/synctest"

	"github.com/impound/impound"
)

// A TLD whose RDAP or parent zone gives nothing is not asked again and again for
// each name; as soon as it answers, it is.
func TestWhoeverIsGone(t *testing.T) { synctest.Test(t, whoeverIsGone) }

func whoeverIsGone(t *testing.T) {
	s := &System{}
	asked, why := 0, "no route"
	ask := func(n string) int {
		asked = 0
		lookFor(t.Context(), s, "parent", "parent zone at a", impound.MustName(n), func(context.Context) (int, string) { asked++; return 0, why })
		return asked
	}
	for i := range goneAfter {
		if ask("outlook-verify.example") < 2 {
			t.Fatalf("given up after %d names", i)
		}
	}
	if ask("outlook-verify.example") != 1 || ask("outlook-verify.test") < 2 {
		t.Error("it is asked again, or another is not")
	}
	why = ""
	ask("outlook-verify.example")
	why = "no route"
	if ask("outlook-verify.example") < 2 {
		t.Error("it answered, and is not asked again")
	}
}
