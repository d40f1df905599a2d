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
