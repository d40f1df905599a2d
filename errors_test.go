package impound_test

import (
	"testing"

	"github.com/impound/impound"
)

// An error that adds nothing but where it was says that, and what the cause says.
func TestErrorThatOnlySaysWhere(t *testing.T) {
	inner := impound.Errorf(impound.KindInvalid, "it is none").WithCure("write one")
	for want, err := range map[string]error{
		"file:3: it is none (write one)":            impound.Errorf(impound.KindInvalid, "%w", inner).At("file:3"),
		"couldn't read it: it is none (write one)":  impound.Errorf(impound.KindInvalid, "couldn't read it: %w", inner),
		"x: it is none (write one) (and then more)": impound.Errorf(impound.KindInvalid, "%w", inner).At("x").WithCure("and then more"),
	} {
		if got := err.Error(); got != want {
			t.Errorf("%q; want %q", got, want)
		}
	}
}

// Words that stand before a list of faults end their line; what only says where has
// no words. Neither leaves a colon behind.
func TestErrorJoins(t *testing.T) {
	in := impound.Errorf(impound.KindNotFound, "b is no candidate")
	ps := impound.Problems{impound.Errorf(impound.KindOf(in), "%w", in).At("b")}
	if got, want := impound.Errorf(impound.KindPartial, "1 of 2 names failed:\n%w", ps.Err()).Error(), "1 of 2 names failed:\nb: b is no candidate"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
