package app

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/seizure"
)

func TestNightlyDue(t *testing.T) {
	at := func(s string) time.Time {
		x, err := time.Parse("2006-01-02 15:04", s)
		if err != nil {
			t.Fatal(err)
		}
		return x
	}
	for _, c := range []struct {
		last, now string
		want      bool
	}{
		{"2026-11-20 02:00", "2026-11-20 23:59", false},
		{"2026-11-20 02:00", "2026-11-21 01:59", false},
		{"2026-11-20 02:00", "2026-11-21 02:00", true},
		{"2026-11-20 23:00", "2026-11-21 02:00", true},  // it was late yesterday
		{"2026-11-10 02:00", "2026-11-21 01:00", true},  // nobody served for days
		{"2026-11-22 02:00", "2026-11-21 12:00", true},  // the clock went back
		{"2026-11-21 02:01", "2026-11-21 02:02", false}, // it ran just now
	} {
		if got := nightlyDue(at(c.last), at(c.now)); got != c.want {
			t.Errorf("last %s, now %s: %v", c.last, c.now, got)
		}
	}
	if !nightlyDue(time.Time{}, at("2026-11-21 01:00")) {
		t.Error("it never ran, and is not due")
	}
}

func TestGateAlarms(t *testing.T) {
	worse := func(gate string, is impound.Outcome, n int) (out []casework.Worse) {
		for i := range n {
			out = append(out, casework.Worse{Name: impound.MustName(fmt.Sprintf("n%d.example", i)), Was: impound.GatePass, Since: time.Unix(0, 0),
				Verdict: impound.GateVerdict{Gate: gate, Outcome: is, Reason: "why"}})
		}
		return out
	}
	as := gateAlarms(casework.Recheck{Order: "O-1", Worse: append(worse("G5-already-sinkholed", impound.GateBlock, 2), worse("G9-age", impound.GateUnknown, 300)...)})
	if len(as) != 3 {
		t.Fatalf("%d alarms", len(as))
	}
	for i, want := range []string{"n0[.]example turned from pass to block since 1970-01-01: why", "n1[.]example", "for 300 names of order O-1"} {
		if !strings.Contains(as[i].Text, want) || as[i].Kind != AlarmGate || as[i].Cmd == "" || (i < 2) == as[i].Name.IsZero() {
			t.Errorf("%+v", as[i])
		}
	}
	if !strings.Contains(as[0].Cure, "not be ordered today") || strings.Contains(as[2].Cure, "today") {
		t.Error(as[0].Cure, as[2].Cure)
	}
}

// What apply itself saw after the act counts among the views since; what was seen
// before an act does not.
func TestTakenCountsApplysOwnLook(t *testing.T) {
	at := func(ms int) time.Time { return time.Date(2026, 11, 22, 2, 39, 32, ms*1e6, time.UTC) }
	look := func(ms int) *seizure.NameStatus {
		return &seizure.NameStatus{At: at(ms), Views: []seizure.ViewStatus{{View: "parent", State: seizure.AsOrdered}, {View: "rdap", State: seizure.AsOrdered}, {View: "resolver", State: seizure.Unknown}}}
	}
	for name, c := range map[string]struct {
		x     seizure.Seizure
		taken time.Time
		views int
	}{
		"looked after the act":          {seizure.Seizure{Acted: at(100), At: at(300), Status: look(200)}, at(100), 3},
		"looked before the act":         {seizure.Seizure{Acted: at(250), At: at(300), Status: look(200)}, at(250), 0},
		"nobody knows when it was done": {seizure.Seizure{At: at(300), Status: look(200)}, at(300), 0},
		"nobody looked":                 {seizure.Seizure{Acted: at(100), At: at(300)}, at(100), 0},
		"no time at all":                {seizure.Seizure{Status: look(900)}, at(400), 3},
	} {
		got := takenOf(c.x, at(400))
		if !got.At.Equal(c.taken) || len(got.Views) != c.views {
			t.Errorf("%s: taken at %s with %d views, want %s with %d", name, got.At, len(got.Views), c.taken, c.views)
		}
	}
}
