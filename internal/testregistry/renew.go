package testregistry

import (
	"slices"
	"strconv"
	"time"

	"github.com/impound/impound/internal/seizure/epp"
)

// renewGrace is how long a renewal could be taken back (RFC 3915 3.1).
const renewGrace = 5 * 24 * time.Hour

// renewDomain lets a registration go on (RFC 5731 3.2.3).
func (s *session) renewDomain(n *epp.Node, clTRID, svTRID string) (answer, *fault) {
	const ns = epp.NSDomain
	if f := inOrder(n, ns, "name", "curExpDate", "period"); f != nil {
		return answer{}, f
	}
	name, f := objName(n.First(ns, "name"))
	if f != nil {
		return answer{}, f
	}
	ends, err := time.Parse(time.DateOnly, n.First(ns, "curExpDate").Token())
	if err != nil {
		return answer{}, no(2005, "curExpDate is no date")
	}
	years := 1
	if p := n.First(ns, "period"); p != nil {
		unit, _ := p.Attr("unit")
		if years, err = strconv.Atoi(p.Token()); err != nil || unit != "y" || years < 1 || years > 9 {
			return answer{}, no(2306, "a period is 1 to 9 years here")
		}
	}
	r := s.r
	role := r.cfg.Clients[s.client].RegistryRole
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now().UTC()
	old := r.st.domains[name]
	switch {
	case old == nil:
		return answer{}, no(2303, "no such domain")
	case !role && old.Registrar != s.client:
		return answer{}, no(2201, "another client sponsors the domain")
	case old.Pending != nil || !old.Deleted.IsZero():
		return answer{}, no(2304, "it is pending already")
	case slices.Contains(old.Statuses, "clientRenewProhibited"), slices.Contains(old.Statuses, "serverRenewProhibited"):
		return answer{}, no(2304, "a status forbids it")
	case !old.Expiry.UTC().Truncate(24 * time.Hour).Equal(ends):
		return answer{}, no(2306, "it ends on another day than curExpDate")
	case old.Expiry.AddDate(years, 0, 0).After(now.AddDate(10, 0, 0)):
		return answer{}, no(2105, "nothing is registered for longer than 10 years")
	}
	u := update{Renew: years}
	d := old.clone()
	changes, f := r.change(&d, u)
	if f != nil {
		return answer{}, f
	}
	op := &Op{Client: s.client, ClTRID: clTRID, SvTRID: svTRID, Command: "domain:renew", Name: name.String(), Changes: changes, Code: 1000}
	d.Updated, d.UpdatedBy, d.Renewed = now, s.client, now
	code := 1000
	if fs := r.cfg.Faults; r.putOff || r.luck.hits(fs.Pending, "pending", name.String()) {
		wait := fs.PendingFor
		if r.putOff {
			r.putOff, wait = false, 100*365*24*time.Hour
		}
		d = old.clone()
		d.Pending = &pending{Due: now.Add(wait), Client: s.client, ClTRID: clTRID, SvTRID: svTRID, Update: u, Deny: r.luck.hits(fs.PendingDeny, "deny", name.String())}
		op.Code, op.Changes, code = 1001, nil, 1001
	}
	if err := r.commit(now, record{Domain: &d, Op: op}); err != nil {
		return answer{}, no(2400, "%v", err)
	}
	return answer{code: code, data: `<domain:renData xmlns:domain="` + ns + `">` + epp.Tag("domain:name", name.String()) + epp.Tag("domain:exDate", stamp(d.Expiry)) + `</domain:renData>`}, nil
}
