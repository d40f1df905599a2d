package policy

import (
	"math"
	"slices"
	"sort"
	"time"

	"github.com/impound/impound"
)

// span is a time in which the same orders are in force, and what they allow
// together. The times are Unix nanoseconds; until is not included.
type span struct {
	from, until int64
	end         int64 // of the last span that follows without a gap
	terms       *Terms
}

// inSpan gives the span that t lies in, nil for none. Most names have one.
func inSpan(spans []span, t int64) *span {
	if len(spans) > 8 {
		i := sort.Search(len(spans), func(i int) bool { return t < spans[i].until })
		spans = spans[i:min(i+1, len(spans))]
	}
	for i := range spans {
		if s := &spans[i]; t >= s.from && t < s.until {
			return s
		}
	}
	return nil
}

// spread works out the spans of every set of orders that some name has, and
// those of all orders together. None of them outlasts the bundle.
func (p *Policy) spread() {
	p.spans = make([][]span, len(p.table.sets))
	for i, used := range p.table.used() {
		if !used {
			continue
		}
		own := p.table.orders(uint32(i))
		var above []uint32
		for _, s := range p.table.sets[i].above {
			above = append(above, p.table.orders(s)...)
		}
		p.spans[i] = p.spansOf(own, above)
	}
	p.floor = p.floorSpans()
}

// spansOf cuts time where one of the orders begins or ends. The orders of names
// above make the terms stricter, but don't cover the name.
func (p *Policy) spansOf(own, above []uint32) []span {
	if len(own) == 1 && len(above) == 0 {
		o := &p.orders[own[0]]
		return p.closed([]span{{from: nanos(o.From), until: nanos(o.Until), terms: o}})
	}
	var out []span
	var inForce, strict []*Terms
	p.eachStretch(append(slices.Clone(own), above...), func(from, until int64) {
		inForce, strict = inForce[:0], strict[:0]
		for _, i := range own {
			if o := &p.orders[i]; o.covers(from) {
				inForce = append(inForce, o)
			}
		}
		for _, i := range above {
			if o := &p.orders[i]; o.covers(from) {
				strict = append(strict, o)
			}
		}
		if len(inForce) > 0 {
			out = append(out, span{from: from, until: until, terms: merge(inForce, strict)})
		}
	})
	return p.closed(out)
}

// nanos is t in Unix nanoseconds, which end in 2262: an order may say "never".
func nanos(t time.Time) int64 {
	switch y := t.Year(); {
	case y > 2261:
		return math.MaxInt64
	case y < 1970:
		return 0
	}
	return t.UnixNano()
}

// eachStretch calls with each stretch of time between two dates of orders.
func (p *Policy) eachStretch(orders []uint32, call func(from, until int64)) {
	var at []int64
	for _, i := range orders {
		at = append(at, nanos(p.orders[i].From), nanos(p.orders[i].Until))
	}
	slices.Sort(at)
	at = slices.Compact(at)
	for i := 1; i < len(at); i++ {
		call(at[i-1], at[i])
	}
}

func (o *Terms) covers(t int64) bool { return nanos(o.From) <= t && t < nanos(o.Until) }

// closed cuts spans to the bundle's own end, and fills in where each stretch
// without a gap ends.
func (p *Policy) closed(spans []span) []span {
	out := spans[:0]
	for _, s := range spans {
		if s.until = min(s.until, p.end); s.from < s.until {
			out = append(out, s)
		}
	}
	for i := len(out) - 1; i >= 0; i-- {
		out[i].end = out[i].until
		if i+1 < len(out) && out[i+1].from == out[i].until {
			out[i].end = out[i+1].end
		}
	}
	return out
}

// merge gives what all orders allow together: own has one at least, and its
// strictest gives the terms their name.
func merge(own, above []*Terms) *Terms {
	base := own[0]
	for _, o := range own[1:] {
		if r, b := rank(o.Capture), rank(base.Capture); r < b || r == b && o.RetentionDays < base.RetentionDays {
			base = o
		}
	}
	m := *base
	for _, list := range [][]*Terms{own, above} {
		for _, o := range list {
			if rank(o.Capture) < rank(m.Capture) {
				m.Capture = o.Capture
			}
			if certRank(o.Certificates) < certRank(m.Certificates) {
				m.Certificates = o.Certificates
			}
			m.KeepBits4 = fewer(m.KeepBits4, o.KeepBits4)
			m.KeepBits6 = fewer(m.KeepBits6, o.KeepBits6)
		}
	}
	if m == *base {
		return base
	}
	return &m
}

func rank(c impound.CaptureLevel) int {
	switch c {
	case impound.CaptureLure:
		return 2
	case impound.CaptureContact:
		return 1
	}
	return 0
}

func certRank(c impound.Certificates) int {
	switch c {
	case impound.CertsACME:
		return 2
	case impound.CertsSelf, "":
		return 1
	}
	return 0
}

// fewer gives the smaller of two cuts; 0 is none.
func fewer(a, b int) int {
	if a == 0 || b != 0 && b < a {
		return b
	}
	return a
}

// floorSpans are the spans of all orders together. There may be thousands of
// orders, so it counts what begins and ends instead of looking at each again.
func (p *Policy) floorSpans() []span {
	type date struct {
		at    int64
		order int
		add   int
	}
	var dates []date
	for i := range p.orders {
		dates = append(dates, date{nanos(p.orders[i].From), i, 1}, date{nanos(p.orders[i].Until), i, -1})
	}
	slices.SortFunc(dates, func(a, b date) int {
		switch {
		case a.at < b.at:
			return -1
		case a.at > b.at:
			return 1
		}
		return 0
	})
	type floor struct{ level, certs, k4, k6 int }
	known := map[floor]*Terms{}
	var levels, certs [3]int
	var k4 [33]int
	var k6 [129]int
	all := 0
	least := func(n []int) int {
		for i, c := range n {
			if c > 0 {
				return i
			}
		}
		return 0
	}
	var out []span
	for i := 0; i < len(dates); {
		at := dates[i].at
		for ; i < len(dates) && dates[i].at == at; i++ {
			o, add := &p.orders[dates[i].order], dates[i].add
			all += add
			levels[rank(o.Capture)] += add
			certs[certRank(o.Certificates)] += add
			if b := o.KeepBits4; b > 0 && b < len(k4) {
				k4[b] += add
			}
			if b := o.KeepBits6; b > 0 && b < len(k6) {
				k6[b] += add
			}
		}
		if all == 0 || i == len(dates) {
			continue
		}
		f := floor{least(levels[:]), least(certs[:]), least(k4[:]), least(k6[:])}
		t := known[f]
		if t == nil {
			t = &Terms{
				Capture:      [...]impound.CaptureLevel{impound.CaptureCount, impound.CaptureContact, impound.CaptureLure}[f.level],
				Certificates: [...]impound.Certificates{impound.CertsNone, impound.CertsSelf, impound.CertsACME}[f.certs],
				KeepBits4:    f.k4, KeepBits6: f.k6,
			}
			known[f] = t
		}
		if n := len(out); n > 0 && out[n-1].until == at && out[n-1].terms == t {
			out[n-1].until = dates[i].at
			continue
		}
		out = append(out, span{from: at, until: dates[i].at, terms: t})
	}
	return p.closed(out)
}

// FloorTerms is what every order in force allows: the lowest capture level, the
// fewest bits of addresses, the least kind of certificate. It is for contacts
// that name no domain, has no ID, and must not be changed. It is false when no
// order is in force. It does not allocate, and costs the same for many orders.
func (p *Policy) FloorTerms(now time.Time) (*Terms, bool) {
	if p == nil {
		return nil, false
	}
	s := inSpan(p.floor, now.UnixNano())
	if s == nil {
		return nil, false
	}
	return s.terms, true
}

// Floor is the capture level of [Policy.FloorTerms].
func (p *Policy) Floor(now time.Time) (impound.CaptureLevel, bool) {
	t, ok := p.FloorTerms(now)
	if !ok {
		return "", false
	}
	return t.Capture, true
}
