package testregistry

import (
	"slices"
	"strconv"
	"time"

	"github.com/impound/impound/internal/seizure/epp"
)

// createDomain registers a name (RFC 5731 3.2.1), with DS records where the client
// gives them (RFC 5910 5.2.1). The registry keeps no authInfo and no contacts but
// the registrant: the one is taken and forgotten, the others are refused.
func (s *session) createDomain(n, ext *epp.Node, clTRID, svTRID string) (answer, *fault) {
	const ns = epp.NSDomain
	if f := inOrder(n, ns, "name", "period", "ns", "registrant", "contact", "authInfo"); f != nil {
		return answer{}, f
	}
	name, f := objName(n.First(ns, "name"))
	if f != nil {
		return answer{}, f
	}
	years := 1
	if p := n.First(ns, "period"); p != nil {
		unit, _ := p.Attr("unit")
		var err error
		if years, err = strconv.Atoi(p.Token()); err != nil || unit != "y" || years < 1 || years > 10 {
			return answer{}, no(2306, "a period is 1 to 10 years here")
		}
	}
	u := update{Registrant: n.First(ns, "registrant").Token()}
	if servers := n.First(ns, "ns"); servers != nil {
		if servers.First(ns, "hostAttr") != nil {
			return answer{}, no(2306, "name servers are host objects here")
		}
		if f := inOrder(servers, ns, "hostObj"); f != nil {
			return answer{}, f
		}
		for _, h := range servers.Kids {
			host, f := objName(h)
			if f != nil {
				return answer{}, f
			}
			u.AddNS = append(u.AddNS, host)
		}
	}
	switch {
	case n.First(ns, "contact") != nil:
		return answer{}, no(2306, "the practice registry keeps no contacts but the registrant")
	case n.First(ns, "authInfo") == nil:
		return answer{}, no(2003, "create needs authInfo")
	}
	if ext != nil {
		sec := ext.First(epp.NSSecDNS, "create")
		if sec == nil || len(ext.Kids) != 1 {
			return answer{}, no(2103, "only secDNS:create extends a create here")
		}
		if sec.First(epp.NSSecDNS, "maxSigLife") != nil {
			return answer{}, no(2102, "no maxSigLife here")
		}
		if u.AddDS, f = readDS(sec); f != nil {
			return answer{}, f
		}
	}
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now().UTC()
	if own, ok := r.domainOf(name); !ok || own != name {
		return answer{}, no(2306, "%s can't be registered here", name)
	}
	if r.st.domains[name] != nil {
		return answer{}, no(2302, "the domain exists")
	}
	created := now.Truncate(time.Second)
	d := Domain{Name: name, Registrar: s.client, Created: created, Expiry: created.AddDate(years, 0, 0), A: ActorAddr, ActorNS: slices.Clone(u.AddNS)}
	changes, f := r.change(&d, u)
	if f != nil {
		return answer{}, f
	}
	var recs []record
	if d.Registrant == "" {
		var owner *record
		if d.Registrant, owner = r.contactFor("PRACTICE-1", s.client, created); owner != nil {
			recs = append(recs, *owner)
		}
	}
	d.ROID = r.roid("D")
	op := &Op{Client: s.client, ClTRID: clTRID, SvTRID: svTRID, Command: "domain:create", Name: name.String(), Changes: append([]string{"+domain"}, changes...), Code: 1000}
	if err := r.commit(now, append(recs, record{Domain: &d, Op: op})...); err != nil {
		return answer{}, no(2400, "%v", err)
	}
	return answer{code: 1000, data: `<domain:creData xmlns:domain="` + ns + `">` + epp.Tag("domain:name", name.String()) + epp.Tag("domain:crDate", stamp(d.Created)) + epp.Tag("domain:exDate", stamp(d.Expiry)) + `</domain:creData>`}, nil
}
