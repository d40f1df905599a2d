package casework

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
)

func TestPackDomain(t *testing.T) {
	at := time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC)
	d := impound.CaseDomain{Name: impound.MustName("a.example"), State: impound.StateBlocked, Verdicts: []impound.GateVerdict{
		{Gate: gate.G1, Outcome: impound.GatePass, Reason: "fine", AsOf: at}, {Gate: gate.G3, Outcome: impound.GateUnknown, Reason: "who knows", AsOf: at},
		{Gate: gate.G5, Outcome: impound.GateBlock, Reason: "taken", Data: "x", AsOf: at}, {Gate: gate.G15, Outcome: impound.GateWarn, Reason: "look", AsOf: at},
	}}
	s, full := packDomain(d)
	if s.Gates != "G1p G3u G5b G15w" || len(s.Verdicts) != 1 {
		t.Fatalf("%+v", s)
	}
	if diff := cmp.Diff(d.Verdicts, full); diff != "" {
		t.Error(diff)
	}
	back := s.domain()
	want := []impound.GateVerdict{{Gate: gate.G1, Outcome: impound.GatePass}, {Gate: gate.G3, Outcome: impound.GateUnknown}, d.Verdicts[2], {Gate: gate.G15, Outcome: impound.GateWarn}}
	if diff := cmp.Diff(want, back.Verdicts); diff != "" {
		t.Error(diff)
	}
	// What was read without reasons doesn't take the place of those that are kept.
	if s2, full := packDomain(back); full != nil || s2.Gates != s.Gates || len(s2.Verdicts) != 1 {
		t.Errorf("%+v, %v", s2, full)
	}
	other := d
	other.Verdicts = []impound.GateVerdict{{Gate: "G99-of-another-version", Outcome: impound.GatePass, Reason: "x"}}
	if s, _ := packDomain(other); s.Gates != "" || cmp.Diff(other.Verdicts, s.domain().Verdicts) != "" {
		t.Errorf("%+v", s)
	}
	if s, full := packDomain(impound.CaseDomain{}); full != nil || s.domain().Verdicts != nil {
		t.Errorf("%+v", s)
	}
}
