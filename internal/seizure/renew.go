package seizure

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
)

// renewWithin is how long before a registration ends a plan renews it: longer than
// custody's alarm, so that the plan which that names has the step.
const renewWithin = 45 * 24 * time.Hour

// Renewal is a registration that is to go on.
type Renewal struct {
	// Ends is the date (2026-12-01, UTC) on which it ends by now. The provider
	// compares it with its own (RFC 5731 3.2.3), and so does every look: a renewal
	// that was done already is done no second time.
	Ends  string `json:"ends"`
	Years int    `json:"years"`
}

// check says what makes no sense about r.
func (r Renewal) check(n impound.Name) error {
	if _, err := time.Parse(time.DateOnly, r.Ends); err != nil || r.Years < 1 || r.Years > 10 {
		return impound.Errorf(impound.KindInvalid, "a renewal of %s for %d years from %.40q", n.Defanged(), r.Years, r.Ends)
	}
	return nil
}

// endsOn gives the day on which the registration of v ends, "" where nobody tells.
func (v RegistryView) endsOn() string {
	if v.Expires.IsZero() {
		return ""
	}
	return v.Expires.UTC().Format(time.DateOnly)
}

// renewal gives the renewal that acts order of what v shows: by a year, once the
// registration is about to end, and ends before the order does.
func renewal(acts impound.Acts, v RegistryView, until, now time.Time) *Renewal {
	if !acts.Renew || !v.Exists || v.Expires.IsZero() || !v.Expires.Before(until) || v.Expires.Sub(now) > renewWithin {
		return nil
	}
	return &Renewal{Ends: v.endsOn(), Years: 1}
}

// renewed says whether v shows what np renews.
func (np NamePlan) renewed(v RegistryView) bool {
	return np.Renew == nil || v.Exists && v.endsOn() > np.Renew.Ends
}

// renewFirst puts the renewal before steps: a name that is kept but comes free is
// not kept. Who is asked is asked for all at once.
func (np NamePlan) renewFirst(steps []Step) (_ []Step, blocked string) {
	if np.Renew == nil {
		return steps, ""
	}
	for _, l := range []string{"clientRenewProhibited", "serverRenewProhibited"} {
		if slices.Contains(np.Former.Status, l) {
			return nil, fmt.Sprintf("its registration ends %s, and it is locked against renewal (%s): have whoever set the lock lift it, then plan again", np.Renew.Ends, l)
		}
	}
	one := Change{Name: np.Name, HostAttr: np.HostAttr, Renew: np.Renew}
	if np.Via != "" && len(steps) > 0 {
		one = steps[0].Change
		one.Renew = np.Renew
		steps = steps[1:]
	}
	return append([]Step{{Acts: one.Acts(), Change: one, Lines: one.Lines()}}, steps...), ""
}

// lookRenewed judges what v shows of a step that renews. before is what the step
// found.
func lookRenewed(v RegistryView, before State, r *Renewal) (sight, string) {
	st, ends := v.State(), v.endsOn()
	switch {
	case st.Exists && st.ID == before.ID && ends > r.Ends:
		return sightDone, "its registration runs until " + ends
	case st.Equal(before) && ends == r.Ends:
		return sightReady, "it is as the plan says"
	case ends != r.Ends:
		return sightOther, "its registration ends " + ends + ", and did " + r.Ends
	}
	return sightOther, st.diff(before)
}

// Renewable says whether an order in force has n renewed, and its provider can be
// told or asked to: then a plan mends a registration that is about to end.
func (e *Engine) Renewable(m *impound.Mandate, v RegistryView, provider string) bool {
	conn := e.cfg.Connectors[provider]
	acts, ok := m.Acts(v.Name)
	return ok && acts.Renew && m.InForce(e.now()) && conn != nil && slices.Contains(conn.Capabilities().Acts, impound.ActRenew) &&
		!slices.ContainsFunc(v.Status, func(s string) bool { return strings.HasSuffix(s, "RenewProhibited") })
}
