package app

import (
	"context"
	"io"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/share"
)

// ShareItems gives every name of every case that could be shared; share itself
// decides what somebody may have.
func (s *System) ShareItems(ctx context.Context) ([]share.Item, error) {
	// Whoever asks, party or not: a sealed case is not shared.
	ctx = impound.WithPrincipal(ctx, impound.Principal{})
	cases, err := s.wholeCases(ctx)
	if err != nil {
		return nil, err
	}
	orders, err := s.Casework.Orders(ctx)
	if err != nil {
		return nil, err
	}
	sealed := map[string]time.Time{}
	for _, r := range orders {
		_, o, _, err := s.Casework.Order(ctx, r.ID)
		if err != nil {
			return nil, err
		}
		sealed[r.ID] = o.SealedUntil
	}
	var items []share.Item
	for _, k := range cases {
		names := make([]impound.Name, len(k.Domains))
		for i, d := range k.Domains {
			names[i] = d.Name
		}
		consented, err := s.Casework.Consented(ctx, names)
		if err != nil {
			return nil, err
		}
		for _, d := range k.Domains {
			m := d.Marking.In(k.Marking())
			it := share.Item{Name: d.Name, Case: k.ID, TLP: m.TLP, PAP: m.PAP, Originator: m.Originator, Consent: consented[d.Name] != "", State: d.State, FirstSeen: d.FirstSeen, SealedUntil: sealed[d.Order]}
			if n := len(d.History); n > 0 {
				it.Updated = d.History[n-1].At
			}
			items = append(items, it)
		}
	}
	return items, nil
}

// Share writes what somebody cleared for clearance may have.
func (s *System) Share(ctx context.Context, w io.Writer, f share.Format, clearance impound.TLP) (share.Count, error) {
	if err := s.may(ctx, "Share", ""); err != nil {
		return share.Count{}, err
	}
	items, err := s.ShareItems(ctx)
	if err != nil {
		return share.Count{}, err
	}
	return share.Export(w, f, clearance, items, s.shareOptions())
}

// ShareFeed brings the MISP feed in dir up to date.
func (s *System) ShareFeed(ctx context.Context, dir string, clearance impound.TLP) (share.Count, error) {
	if err := s.may(ctx, "ShareFeed", ""); err != nil {
		return share.Count{}, err
	}
	items, err := s.ShareItems(ctx)
	if err != nil {
		return share.Count{}, err
	}
	return share.WriteFeed(dir, clearance, items, s.shareOptions())
}

func (s *System) shareOptions() share.Options {
	return share.Options{Org: s.cfg.Report.Organisation, Domain: s.cfg.Report.Domain, Now: s.now}
}
