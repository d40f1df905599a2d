package casework

import (
	"testing"

	"github.com/impound/impound"
)

// A brand that stands in a name as it is speaks for no other name by chance: only
// the way of a misspelling does.
func TestPlainUseTeachesNothing(t *testing.T) {
	for how, teaches := range map[string]bool{"exact": false, "combo": false, "inside": false, "sub-domain": false, "tld-swap": false, "homoglyph": false, "omission": true, "edits": true} {
		r := &Row{Name: impound.MustName("mypaypalgarden.example"), Brand: "PayPal", Reasons: []impound.Reason{{Code: "brand-" + how, Text: `contains "paypal"`}}}
		for _, f := range r.features() {
			if f.kind == ReasonChance && f.taughtBy(ReasonChance) != teaches {
				t.Errorf("%s: teaches is %v", how, !teaches)
			}
		}
	}
}
