package sinkhole

import (
	"net/netip"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
)

// The outcomes of an event.
const (
	answered  = "answered"
	refused   = "refused"
	malformed = "malformed"
	limited   = "limited"
)

// about says what an event may rest on.
type about struct {
	match policy.Match
	ok    bool // match is in force
	named bool // the contact named a domain
}

// record cuts the event down to what may be kept, and hands it to the recorder.
// It must be called before the answer leaves. A recorder that fails must not
// stop the answer: that is counted, and logged once a minute.
func (s *Sinkhole) record(ev *impound.Event, a about) {
	s.shape(ev, &a)
	n := &s.n
	switch ev.Proto {
	case impound.ProtoDNS:
		n.dns.Add(1)
	case impound.ProtoDNST, impound.ProtoDoT:
		n.dnsTCP.Add(1)
	case impound.ProtoHTTP:
		n.http.Add(1)
	case impound.ProtoTLS:
		n.https.Add(1)
	case impound.ProtoSMTP:
		n.smtp.Add(1)
	case impound.ProtoTCP, impound.ProtoUDP:
		n.tcp.Add(1)
	}
	switch ev.Outcome {
	case answered:
		n.answered.Add(1)
	case refused:
		n.refused.Add(1)
	case malformed:
		n.malformed.Add(1)
	case limited:
		n.limited.Add(1)
	}
	if err := s.cfg.Recorder.Append(ev); err != nil {
		s.notRecorded(1, err)
	}
}

func (s *Sinkhole) notRecorded(lost int, err error) {
	n := s.n.recordFailed.Add(uint64(lost))
	now := time.Now().Unix()
	if last := s.failedAt.Load(); now-last >= 60 && s.failedAt.CompareAndSwap(last, now) {
		s.cfg.Log.Error("sinkhole: contacts are answered but NOT RECORDED", "err", err, "so far", n)
	}
}

// shape cuts the event down to what may be kept.
func (s *Sinkhole) shape(ev *impound.Event, a *about) {
	level, bits4, bits6 := impound.CaptureCount, 0, 0
	switch {
	case a.ok:
		o := a.match.Order
		ev.Zone, ev.Order = a.match.Zone, o.ID
		level, bits4, bits6 = o.Capture, o.KeepBits4, o.KeepBits6
	case a.named:
		// Somebody else's name, or an order that lapsed: nobody ordered that
		// more than the count be kept. A lapsed name's labels may say who came.
		if a.match.Zone != "" {
			ev.Name = a.match.Zone
		}
	default:
		// No name: what every order in force allows may be kept.
		if floor, ok := floorTerms(s.policy.Load(), ev.At); ok {
			level, bits4, bits6 = floor.Capture, floor.KeepBits4, floor.KeepBits6
		}
	}
	cut(ev, level)
	ev.Src = keepBits(ev.Src, bits4, bits6)
}

// cut removes from an event what its capture level does not allow. It is the
// one place that decides it.
func cut(ev *impound.Event, level impound.CaptureLevel) {
	ev.Capture = level
	ev.At = ev.At.UTC().Truncate(time.Microsecond)
	switch level {
	case impound.CaptureLure:
	case impound.CaptureContact:
		ev.LureHash, ev.Lure = "", ""
		ev.SenderHash, ev.RcptHash = "", ""
	default:
		name := ev.Name
		if ev.Zone != "" { // the labels below it may say who came
			name = ev.Zone
		}
		*ev = impound.Event{
			At: ev.At.Truncate(time.Minute), Proto: ev.Proto, Name: name, Zone: ev.Zone, Order: ev.Order,
			Capture: impound.CaptureCount, Outcome: ev.Outcome,
		}
	}
}

// keepBits cuts an address to its first bits, as the order says; 0 keeps it. A
// cut address has no port: with the time it would tell who behind it came.
func keepBits(a netip.AddrPort, v4, v6 int) netip.AddrPort {
	bits := v6
	if a.Addr().Unmap().Is4() {
		bits = v4
	}
	if bits == 0 || bits >= a.Addr().Unmap().BitLen() {
		return a // whole, or none
	}
	p, err := a.Addr().Unmap().WithZone("").Prefix(bits)
	if err != nil { // fewer than no bits: no order can say that
		return netip.AddrPort{}
	}
	return netip.AddrPortFrom(p.Addr(), 0)
}

// floorTerms are the strictest terms of all orders in force.
func floorTerms(p *policy.Policy, now time.Time) (policy.Terms, bool) {
	if f, ok := any(p).(interface {
		FloorTerms(time.Time) (*policy.Terms, bool)
	}); ok {
		t, ok := f.FloorTerms(now)
		if !ok {
			return policy.Terms{}, false
		}
		return *t, true
	}
	level, ok := p.Floor(now)
	if !ok {
		return policy.Terms{}, false
	}
	floor := policy.Terms{Capture: level}
	fewer := func(a, b int) int {
		if a == 0 || b != 0 && b < a {
			return b
		}
		return a
	}
	for _, o := range p.Orders() {
		if !now.Before(o.From) && now.Before(o.Until) {
			floor.KeepBits4 = fewer(floor.KeepBits4, o.KeepBits4)
			floor.KeepBits6 = fewer(floor.KeepBits6, o.KeepBits6)
		}
	}
	return floor, true
}

// contact is who came, where, and when.
func contact(proto impound.Proto, src, dst netip.AddrPort, now time.Time) impound.Event {
	return impound.Event{Proto: proto, Src: src, Dst: dst, At: now}
}
