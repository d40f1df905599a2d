package app

import (
	"context"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
)

// PolicyStatus is what this site's sensor obeys.
type PolicyStatus struct {
	Sensor   string       `json:"sensor"`
	Serial   uint64       `json:"serial"`
	Made     time.Time    `json:"made,omitzero"`
	NotAfter time.Time    `json:"not_after,omitzero"`
	Names    []PolicyName `json:"names"`
}

// PolicyName is one name that is answered now.
type PolicyName struct {
	Name    impound.Name         `json:"name"`
	Order   string               `json:"order"`
	Capture impound.CaptureLevel `json:"capture"`
	Until   time.Time            `json:"until"`
}

// PolicyStatus reads the bundle that the sensor accepted last, as the sensor
// does, and lists what it would answer for now.
func (s *System) PolicyStatus(ctx context.Context) (PolicyStatus, error) {
	st := PolicyStatus{Sensor: s.sensorID(), Names: []PolicyName{}}
	hub, err := s.hubKey()
	if err != nil {
		return st, err
	}
	kept, err := policy.Keep(s.path("policy"), impound.NewPublicKey(publicOf(hub)))
	if err != nil {
		return st, err
	}
	now := s.now()
	p, err := kept.Load(now)
	if err != nil || p == nil {
		if impound.KindOf(err) == impound.KindRefused {
			err = nil // it ended: nothing is answered
		}
		return st, err
	}
	st.Serial, st.Made, st.NotAfter = p.Serial(), p.Made(), p.NotAfter()
	ms, err := s.Casework.Mandates(ctx)
	if err != nil && impound.KindOf(err) != impound.KindPartial {
		return st, err
	}
	seen := map[impound.Name]bool{}
	for _, m := range ms {
		for _, n := range m.Names() {
			if hit, ok := p.Lookup(n.String(), now); ok && !seen[n] {
				seen[n] = true
				st.Names = append(st.Names, PolicyName{Name: n, Order: hit.Order.ID, Capture: hit.Order.Capture, Until: hit.Until()})
			}
		}
	}
	return st, nil
}
