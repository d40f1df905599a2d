package app

import (
	"context"
	"net/netip"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/notify"
	"github.com/impound/impound/internal/telemetry"
)

// openNotify wires the room that warns people. Without a reporter in the
// configuration there is nobody to answer their questions, so it stays shut.
func (s *System) openNotify() error {
	r := s.cfg.Report
	if r.Organisation == "" {
		return nil
	}
	var sink impound.Network
	if len(s.cfg.Sinkhole.Answer) > 0 {
		a := s.cfg.Sinkhole.Answer[0]
		sink, _ = s.Telemetry.Lookup(a)
		if !sink.Prefix.IsValid() {
			sink.Prefix = netip.PrefixFrom(a, a.BitLen())
		}
		if sink.Name == "" {
			sink.Name = r.Organisation
		}
	}
	var err error
	s.Notify, err = notify.New(notify.Options{
		Dir: s.path("reports"), Source: notifySource{s}, Log: s.Evidence, Sink: sink, Now: s.now, Logger: s.log, People: liveKeyring{s},
		Reporter: notify.Reporter{Org: r.Organisation, Mail: r.From, Phone: r.Phone, Domain: r.Domain},
	})
	return err
}

type notifySource struct{ s *System }

func (n notifySource) Facts(ctx context.Context, caseID string) (notify.Facts, error) {
	var f notify.Facts
	var err error
	if f.Case, err = n.s.Casework.Case(ctx, caseID); err != nil {
		return f, err
	}
	x, err := n.s.Casework.Sight(ctx)
	if err != nil {
		return f, err
	}
	if err := sealedToOutside(x, caseID); err != nil {
		return f, err
	}
	ms, err := n.s.Casework.Mandates(ctx)
	if err != nil && len(ms) == 0 {
		return f, err
	}
	for _, m := range ms {
		if m.Case() == caseID {
			f.Orders = append(f.Orders, m.Order())
		}
	}
	if f.Gaps, err = n.s.gapsOf(ctx, f.Orders); err != nil {
		return f, err
	}
	actors, err := n.s.Casework.Actors(ctx)
	if err != nil {
		return f, err
	}
	f.Actors = []string{f.Case.Actor}
	for _, a := range actors {
		if a.ID == f.Case.Actor {
			f.Actors = append(f.Actors, a.Names...)
		}
	}
	return f, nil
}

func (n notifySource) Contacts(ctx context.Context, caseID string, fn func(impound.Contact) error) error {
	k, err := n.s.Casework.Case(ctx, caseID)
	if err != nil {
		return err
	}
	var names []impound.Name
	for _, d := range k.Domains {
		names = append(names, d.Name)
	}
	consented, err := n.s.Casework.Consented(ctx, names)
	if err != nil {
		return err
	}
	// What may not leave the house is in no report: above TLP:AMBER+STRICT, given
	// to us by somebody who did not consent, or PAP:RED.
	kept := map[string]bool{}
	for _, d := range k.Domains {
		m := d.Marking.In(k.Marking())
		kept[d.Name.String()] = !m.TLP.Within(impound.TLPAmberStrict) || m.Originator != "" && consented[d.Name] == "" || !m.PAP.Within(impound.PAPAmber)
	}
	return n.s.Telemetry.Each(ctx, telemetry.Filter{Case: caseID}, func(c impound.Contact) error {
		if kept[c.Zone] {
			return nil
		}
		return fn(c)
	})
}
