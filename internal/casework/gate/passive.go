package gate

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
)

// Passive is what passive DNS saw, as far as G3 and G4 ask: who lives below a
// name, who hangs on it, who stands beside it, and how often it was asked for. It
// is immutable once read and safe for concurrent use.
type Passive struct {
	source  string
	newest  time.Time
	records int

	below  map[string]int // host names below a name
	served map[string]int // other registrable domains that point below a name
	asked  map[string]float64
	addrs  map[string][]netip.Addr // of a registrable domain
	at     map[netip.Addr][]string // registrable domains at an address
	ns     map[string][]string     // name servers of a registrable domain
	by     map[string][]string     // registrable domains by name server
}

// Limits of a passive DNS file.
const (
	maxPassive     = 20_000_000 // records
	maxPassiveLine = 1 << 20    // octets
	maxShown       = 100_000    // registrable domains counted at one address or server
)

// cofRecord is a line of the passive DNS common output format
// (draft-dulaunoy-dnsop-passive-dns-cof).
type cofRecord struct {
	Name  string          `json:"rrname"`
	Type  string          `json:"rrtype"`
	Data  json.RawMessage `json:"rdata"` // a string, or several
	First int64           `json:"time_first"`
	Last  int64           `json:"time_last"`
	ZLast int64           `json:"zone_time_last"`
	Count float64         `json:"count"`
}

// ReadPassive reads records in the passive DNS common output format, a JSON
// object a line. Lines that are none are counted and passed over; when they are
// more than one in ten the file is refused, and the error is of KindInvalid.
func ReadPassive(source string, r io.Reader) (*Passive, error) {
	p := &Passive{source: source, below: map[string]int{}, served: map[string]int{}, asked: map[string]float64{}, addrs: map[string][]netip.Addr{}, at: map[netip.Addr][]string{}, ns: map[string][]string{}, by: map[string][]string{}}
	seen := map[string]struct{}{} // hosts and pairs that were counted
	once := func(parts ...string) bool {
		k := strings.Join(parts, "\x00")
		if _, ok := seen[k]; ok {
			return false
		}
		seen[k] = struct{}{}
		return true
	}
	bad, first := 0, 0
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, maxPassiveLine)
	line := 0
	for sc.Scan() {
		line++
		b := bytes.TrimSpace(sc.Bytes())
		if len(b) == 0 {
			continue
		}
		if p.records == maxPassive {
			return nil, impound.Errorf(impound.KindInvalid, "holds more than %d records", maxPassive).At(source).WithCure("ask for less: the zones of the case are enough")
		}
		var c cofRecord
		n, values, err := impound.Name{}, []string(nil), json.Unmarshal(b, &c)
		if err == nil {
			n, err = impound.ParseName(c.Name)
		}
		if err == nil {
			values, err = c.values()
		}
		if err != nil || c.Type == "" {
			if bad++; first == 0 {
				first = line
			}
			continue
		}
		p.add(n, c, values, once)
	}
	if err := sc.Err(); err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read on after line %d: %w", line, err).At(source).WithCure("give passive DNS in the common output format, a JSON object a line")
	}
	if bad*10 > p.records+bad {
		return nil, impound.Errorf(impound.KindInvalid, "%d of %d lines are no passive DNS records", bad, p.records+bad).At(source + ":" + strconv.Itoa(first)).WithCure("give passive DNS in the common output format, a JSON object a line")
	}
	return p, nil
}

func (c cofRecord) values() ([]string, error) {
	var one string
	if err := json.Unmarshal(c.Data, &one); err == nil {
		return []string{one}, nil
	}
	var many []string
	err := json.Unmarshal(c.Data, &many)
	return many, err
}

// registrable gives the domain that n lies in as a stranger would hold it: below
// a dynamic DNS zone that is the host.
func registrable(n impound.Name) (string, bool) {
	r, err := n.Registrable()
	if err != nil { // it is such a zone itself
		if r, err = n.RegistryDomain(); err != nil {
			return "", false
		}
	}
	return r.String(), true
}

func (p *Passive) add(n impound.Name, c cofRecord, values []string, once func(...string) bool) {
	p.records++
	last := time.Unix(max(c.Last, c.ZLast), 0).UTC()
	if last.After(p.newest) && last.Year() < 3000 {
		p.newest = last
	}
	own, ok := registrable(n)
	if !ok {
		return
	}
	if once("h", n.String()) {
		for z := n.Parent(); z.Labels() > 1; z = z.Parent() {
			p.below[z.String()]++
		}
	}
	if c.Count > 0 && (c.Type == "A" || c.Type == "AAAA") {
		// A day at least: one burst is no rate.
		span := max(float64(c.Last-c.First), 86400)
		for z := n; z.Labels() > 1; z = z.Parent() {
			p.asked[z.String()] += c.Count / span
		}
	}
	for _, v := range values {
		switch c.Type {
		case "A", "AAAA":
			a, err := netip.ParseAddr(v)
			if err != nil {
				continue
			}
			a = a.Unmap()
			if len(p.at[a]) < maxShown && once("a", a.String(), own) {
				p.addrs[own], p.at[a] = append(p.addrs[own], a), append(p.at[a], own)
			}
		case "NS", "MX", "CNAME":
			if c.Type == "MX" {
				v = v[strings.LastIndexByte(v, ' ')+1:]
			}
			t, err := impound.ParseName(v)
			if err != nil {
				continue
			}
			if c.Type == "NS" && len(p.by[t.String()]) < maxShown && once("n", t.String(), own) {
				p.ns[own], p.by[t.String()] = append(p.ns[own], t.String()), append(p.by[t.String()], own)
			}
			for z := t; z.Labels() > 1; z = z.Parent() {
				if zs := z.String(); zs != own && !strings.HasSuffix(own, "."+zs) && once("s", zs, own) {
					p.served[zs]++
				}
			}
		}
	}
}

// Records is how many were read.
func (p *Passive) Records() int { return p.records }

// Tenants counts who else would lose something with n; nil when passive DNS never
// saw it.
func (p *Passive) Tenants(n impound.Name) *Tenants {
	own, ok := registrable(n)
	k := n.String()
	if !ok || p.below[k]+p.served[k]+len(p.addrs[own])+len(p.ns[own]) == 0 {
		return nil
	}
	others := func(lists func(yield func([]string))) int {
		seen := map[string]struct{}{}
		lists(func(l []string) {
			for _, d := range l {
				if d != own {
					seen[d] = struct{}{}
				}
			}
		})
		return len(seen)
	}
	return &Tenants{Hosts: p.below[k], Served: p.served[k], Source: p.source, At: p.newest,
		Beside: others(func(yield func([]string)) {
			for _, a := range p.addrs[own] {
				yield(p.at[a])
			}
		}),
		ByNS: others(func(yield func([]string)) {
			for _, s := range p.ns[own] {
				yield(p.by[s])
			}
		})}
}

// Demand is what a name draws, in queries a second.
type Demand struct {
	PerSecond float64
	Source    string // in words
	At        time.Time
}

// perRank is how many queries a second the authoritative servers of the most
// used name of all get, by a rule of thumb that errs on the high side: the
// name at place r gets perRank/r (Zipf). Verisign reports about 4 million queries
// a second for all of .com and .net; spread so over a million names, the first
// gets a few hundred thousand.
const perRank = 1_000_000

// DemandOf says what n draws, by passive DNS (p may be nil; it sees a part only)
// and by its place in a popularity list, whichever says more; nil when neither
// knows anything. A name that a list of N does not hold draws less than the Nth.
func (l *Lists) DemandOf(n impound.Name, p *Passive) *Demand {
	var d *Demand
	if r, ok := l.Rank(n); ok {
		switch {
		case r.Place > 0:
			d = &Demand{perRank / float64(r.Place), fmt.Sprintf("this name draws about %.0f by its place %d in %s", perRank/float64(r.Place), r.Place, r.Source), r.AsOf}
		case r.Of > 0:
			d = &Demand{perRank / float64(r.Of), fmt.Sprintf("this name draws less than %.0f: it is not among the %d of %s", perRank/float64(r.Of), r.Of, r.Source), r.AsOf}
		}
	}
	if p != nil {
		if q, ok := p.asked[n.String()]; ok && (d == nil || q > d.PerSecond) {
			d = &Demand{q, fmt.Sprintf("this name draws at least %.1f, seen by %s", q, p.source), p.newest}
		}
	}
	return d
}

// Addrs gives the addresses that the registrable domain of n was seen at, and when
// the newest record was seen. Nobody is asked for it, so no actor is warned.
func (p *Passive) Addrs(n impound.Name) ([]netip.Addr, time.Time) {
	own, ok := registrable(n)
	if !ok {
		return nil, time.Time{}
	}
	return slices.Clone(p.addrs[own]), p.newest
}
