package seizure_test

import (
	"slices"
	"testing"
	"time"

	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/testregistry"
)

// How a change spreads is told: RDAP that lags the zone shows it later, and a
// zone that lags RDAP the other way round.
func TestPropagationIsTold(t *testing.T) {
	t.Parallel()
	for late, f := range map[string]testregistry.Faults{"rdap": {RDAPLag: 1500 * time.Millisecond}, "parent": {ZoneLag: 1500 * time.Millisecond}} {
		t.Run(late, func(t *testing.T) {
			t.Parallel()
			r, s := practice(t, f, fourNames[:1])
			e, _, closeAll, err := s.engine(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer closeAll()
			m, _, _ := s.mandate()
			finish(t, e, m)
			wantSeized(t, r, fourNames[:1])
			st, err := e.Status(t.Context(), m.ID())
			if err != nil || len(st) != 1 || st[0].Acted.IsZero() {
				t.Fatalf("%v %+v", err, st)
			}
			early := map[string]string{"rdap": "parent", "parent": "rdap"}[late]
			a, ok1 := st[0].Took(early)
			b, ok2 := st[0].Took(late)
			if !ok1 || !ok2 || b <= a {
				t.Errorf("%s after %s, %s after %s: %+v", early, a, late, b, st[0].Turns)
			}
			if !slices.ContainsFunc(st[0].Turns, func(x seizure.Turn) bool { return x.View == late && x.State == seizure.NotYet && x.Why != "" }) {
				t.Errorf("that %s was late is not told: %+v", late, st[0].Turns)
			}
			// A look that shows nothing new adds nothing; one that does, does.
			n := len(st[0].Turns)
			if _, err := e.Verify(t.Context(), m); err != nil {
				t.Fatal(err)
			}
			if st, err = e.Status(t.Context(), m.ID()); err != nil || len(st[0].Turns) != n {
				t.Errorf("%v %+v", err, st[0].Turns)
			}
		})
	}
}
