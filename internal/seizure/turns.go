package seizure

import "time"

// Turn is that a view came to show something else.
type Turn struct {
	At    time.Time `json:"at"`
	View  string    `json:"view"`
	State string    `json:"state"`
	Why   string    `json:"why,omitempty"`
}

// maxTurns bounds how many turns are kept of a name; the evidence log has every
// look.
const maxTurns = 60

// turned gives turns with what st shows otherwise than the last look did.
func turned(turns []Turn, st NameStatus) []Turn {
	for _, v := range st.Views {
		same := false
		for _, t := range turns {
			if t.View == v.View {
				same = t.State == v.State
			}
		}
		if !same {
			t := Turn{At: st.At, View: v.View, State: v.State}
			if v.State != AsOrdered {
				t.Why = clip(v.Why)
			}
			turns = append(turns, t)
		}
	}
	if n := len(turns); n > maxTurns {
		// The first ones tell how long it took; the last ones what happens now.
		turns = append(turns[:maxTurns/2:maxTurns/2], turns[n-maxTurns/2:]...)
	}
	return turns
}

// note takes what an apply, or the end of a letter, found of a name.
func (v *Seizure) note(x NameResult) {
	if !x.acted.IsZero() {
		v.Acted, v.Turns = x.acted, nil
	}
	for _, t := range x.turns {
		v.Turns = turned(v.Turns, NameStatus{At: t.At, Views: []ViewStatus{{View: t.View, State: t.State, Why: t.Why}}})
	}
	if x.Status != nil {
		v.Turns = turned(v.Turns, *x.Status)
		v.Status = x.Status
	}
}

// Took is how long after the act a view first showed it; false while it has not,
// or where nobody knows when the act was.
func (v *Seizure) Took(view string) (time.Duration, bool) {
	for _, t := range v.Turns {
		if t.View == view && t.State == AsOrdered && !v.Acted.IsZero() {
			return max(0, t.At.Sub(v.Acted)), true
		}
	}
	return 0, false
}
