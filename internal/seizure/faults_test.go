package seizure_test

import (
	"testing"
	"time"

	"github.com/impound/impound/internal/testregistry"
)

// Each way in which the practice registry fails, alone: the names are seized all
// the same, each by one update. The lags are told by TestPropagationIsTold, the
// lock by TestLockedInBetween, poll by TestPollKilledBetween, the clock and the
// certificate by custody (package laws).
func TestEachFaultAlone(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]testregistry.Faults{
		"drops before":  {DropBefore: 0.5},
		"acts, drops":   {DropAfter: 0.9},
		"2400":          {Fail2400: 0.4},
		"2502":          {Fail2502: 0.5},
		"1001":          {Pending: 1, PendingFor: 50 * time.Millisecond},
		"slow greeting": {SlowGreeting: 1, Delay: 50 * time.Millisecond},
		"split":         {Split: 1},
		"joined":        {Join: true, Split: 1},
		"reordered":     {ReorderPoll: 1, Pending: 1, PendingFor: 30 * time.Millisecond},
		"RDAP fails":    {RDAPFail: 0.4},
		"clock ahead":   {ClockSkew: 2 * time.Hour},
		"certificate":   {CertFor: 30 * time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f.Seed = 11
			r, s := practice(t, f, fourNames[:2])
			e, _, closeAll, err := s.engine(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			defer closeAll()
			m, _, _ := s.mandate()
			finish(t, e, m)
			wantSeized(t, r, fourNames[:2])
			wantOnce(t, r, fourNames[:2])
		})
	}
}
