package testregistry

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure/epp"
)

// Contact is a contact object (RFC 5733). Its transfer code is not kept.
type Contact struct {
	ID      string    `json:"id"`
	ROID    string    `json:"roid"`
	Kind    string    `json:"kind"` // of the postal address: "int" or "loc"
	Name    string    `json:"name"`
	Org     string    `json:"org,omitempty"`
	Street  []string  `json:"street,omitempty"`
	City    string    `json:"city"`
	State   string    `json:"state,omitempty"`
	Postal  string    `json:"postal,omitempty"`
	Country string    `json:"country"`
	Voice   string    `json:"voice,omitempty"`
	Email   string    `json:"email"`
	Sponsor string    `json:"sponsor"`
	Created time.Time `json:"created"`
}

// Contact gives a contact object.
func (r *Registry) Contact(id string) (Contact, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	c, ok := r.st.contacts[id]
	if !ok {
		return Contact{}, false
	}
	return *c, true
}

// contactFor gives the id of the contact that text means at registration, and
// the record that makes it where there is none. Text that can't be an id is a
// name. The caller holds mu.
func (r *Registry) contactFor(text, sponsor string, now time.Time) (string, *record) {
	id, name := text, "Practice registrant"
	if len(text) < 3 || len(text) > 16 || strings.ContainsFunc(text, func(c rune) bool { return c <= ' ' || c > '~' }) {
		h := impound.HashBytes([]byte(text))
		id, name = "P-"+strings.ToUpper(h[len(h)-10:]), text
	}
	if r.st.contacts[id] != nil {
		return id, nil
	}
	return id, &record{Person: &Contact{ID: id, ROID: r.roid("C"), Kind: "int", Name: name, City: "Nowhere", Country: "ZZ", Email: "nobody@invalid.example", Sponsor: sponsor, Created: now}}
}

func (s *session) infoContact(n *epp.Node) (answer, *fault) {
	if f := inOrder(n, epp.NSContact, "id", "authInfo"); f != nil {
		return answer{}, f
	}
	r := s.r
	r.mu.RLock()
	defer r.mu.RUnlock()
	c := r.st.contacts[n.First(epp.NSContact, "id").Token()]
	switch {
	case c == nil:
		return answer{}, no(2303, "no such contact")
	case c.Sponsor != s.client && !r.cfg.Clients[s.client].RegistryRole:
		return answer{}, no(2201, "another client sponsors the contact")
	}
	var b strings.Builder
	opt := func(tag, text string) {
		if text != "" {
			b.WriteString(epp.Tag("contact:"+tag, text))
		}
	}
	b.WriteString(`<contact:infData xmlns:contact="` + epp.NSContact + `">` + epp.Tag("contact:id", c.ID) + epp.Tag("contact:roid", c.ROID) + `<contact:status s="linked"/><contact:postalInfo type="` + c.Kind + `">` + epp.Tag("contact:name", c.Name))
	opt("org", c.Org)
	b.WriteString("<contact:addr>")
	for _, l := range c.Street {
		opt("street", l)
	}
	opt("city", c.City)
	opt("sp", c.State)
	opt("pc", c.Postal)
	opt("cc", c.Country)
	b.WriteString("</contact:addr></contact:postalInfo>")
	opt("voice", c.Voice)
	b.WriteString(epp.Tag("contact:email", c.Email) + epp.Tag("contact:clID", c.Sponsor) + epp.Tag("contact:crID", c.Sponsor) + epp.Tag("contact:crDate", stamp(c.Created)) + "</contact:infData>")
	return answer{code: 1000, data: b.String()}, nil
}

func (s *session) createContact(n *epp.Node, clTRID, svTRID string) (answer, *fault) {
	const ns = epp.NSContact
	if f := inOrder(n, ns, "id", "postalInfo", "voice", "fax", "email", "authInfo", "disclose"); f != nil {
		return answer{}, f
	}
	post := n.First(ns, "postalInfo")
	if f := inOrder(post, ns, "name", "org", "addr"); f != nil {
		return answer{}, f
	}
	addr := post.First(ns, "addr")
	if f := inOrder(addr, ns, "street", "city", "sp", "pc", "cc"); f != nil {
		return answer{}, f
	}
	kind, _ := post.Attr("type")
	c := Contact{ID: n.First(ns, "id").Token(), Kind: kind, Name: post.First(ns, "name").Token(), Org: post.First(ns, "org").Token(), City: addr.First(ns, "city").Token(),
		State: addr.First(ns, "sp").Token(), Postal: addr.First(ns, "pc").Token(), Country: addr.First(ns, "cc").Token(), Voice: n.First(ns, "voice").Token(), Email: n.First(ns, "email").Token(), Sponsor: s.client}
	for _, l := range addr.All(ns, "street") {
		c.Street = append(c.Street, l.Token())
	}
	switch {
	case len(n.All(ns, "postalInfo")) > 1:
		return answer{}, no(2102, "one form of the address only")
	case len(c.ID) < 3 || len(c.ID) > 16:
		return answer{}, no(2005, "a contact's id has 3 to 16 characters")
	case kind != "int" && kind != "loc":
		return answer{}, no(2005, "the address is neither int nor loc")
	case c.Name == "" || c.City == "" || c.Email == "" || n.First(ns, "authInfo").First(ns, "pw") == nil:
		return answer{}, no(2003, "a contact needs name, city, email and authInfo")
	case len(c.Country) != 2 || len(c.Street) > 3:
		return answer{}, no(2005, "a country has two letters, and a street three lines at most")
	}
	r := s.r
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now().UTC()
	if r.st.contacts[c.ID] != nil {
		return answer{}, no(2302, "the contact exists")
	}
	c.ROID, c.Created = r.roid("C"), now.Truncate(time.Second)
	if err := r.commit(now, record{Person: &c, Op: &Op{Client: s.client, ClTRID: clTRID, SvTRID: svTRID, Command: "contact:create", Name: c.ID, Changes: []string{"+contact"}, Code: 1000}}); err != nil {
		return answer{}, no(2400, "%v", err)
	}
	return answer{code: 1000, data: `<contact:creData xmlns:contact="` + ns + `">` + epp.Tag("contact:id", c.ID) + epp.Tag("contact:crDate", stamp(c.Created)) + `</contact:creData>`}, nil
}

// deleteDomain takes a name out of its zone; it comes free after the redemption
// period.
func (s *session) deleteDomain(n *epp.Node, clTRID, svTRID string) (answer, *fault) {
	if f := inOrder(n, epp.NSDomain, "name"); f != nil {
		return answer{}, f
	}
	name, f := objName(n.First(epp.NSDomain, "name"))
	if f != nil {
		return answer{}, f
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
	case slices.Contains(old.Statuses, "clientDeleteProhibited"), slices.Contains(old.Statuses, "serverDeleteProhibited"):
		return answer{}, no(2304, "a status forbids it")
	case len(r.hostsBelow(name)) > 0:
		return answer{}, no(2305, "hosts lie under it")
	}
	d := old.clone()
	d.Deleted, d.Updated, d.UpdatedBy = now, now, s.client
	if err := r.commit(now, record{Domain: &d, Op: &Op{Client: s.client, ClTRID: clTRID, SvTRID: svTRID, Command: "domain:delete", Name: name.String(), Changes: []string{"-domain"}, Code: 1000}}); err != nil {
		return answer{}, no(2400, "%v", err)
	}
	return answer{code: 1000}, nil
}

// redemption is how long a deleted name can't be registered anew.
func (r *Registry) redemption() time.Duration {
	if r.cfg.Redemption > 0 {
		return r.cfg.Redemption
	}
	return 35 * 24 * time.Hour
}

// grace gives the grace-period status of d (RFC 3915), "" for none.
func (r *Registry) grace(d *Domain) string {
	switch {
	case d.Deleted.IsZero() && !d.Renewed.IsZero() && r.cfg.Now().Sub(d.Renewed) < renewGrace:
		return "renewPeriod"
	case d.Deleted.IsZero():
		return ""
	case r.cfg.Now().Sub(d.Deleted) < r.redemption()*30/35:
		return "redemptionPeriod"
	}
	return "pendingDelete"
}

// purge lets deleted names come free whose time is over. The caller holds mu.
func (r *Registry) purge(now time.Time) error {
	for n := range r.st.deleted {
		d := r.st.domains[n]
		if d == nil || now.Before(d.Deleted.Add(r.redemption())) {
			continue
		}
		if err := r.commit(now, record{Free: n.String(), Op: &Op{Client: "REGISTRY", Command: "domain:purge", Name: n.String(), Changes: []string{"-domain"}, Code: 1000}}); err != nil {
			return err
		}
	}
	return nil
}

// free forgets a name. The caller holds mu, or is alone.
func (r *Registry) free(name string) {
	for n := range r.st.deleted {
		if n.String() == name {
			for _, ns := range r.st.domains[n].NS {
				r.st.uses[ns]--
			}
			delete(r.st.domains, n)
			delete(r.st.past, n)
			delete(r.st.deleted, n)
			r.st.nWaiting.Add(-1)
		}
	}
}

// Expire ends a registration as if nobody had renewed it: the name is out of the
// zone, and comes free after the redemption period.
func (r *Registry) Expire(n impound.Name) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.st.domains[n]
	if old == nil {
		return impound.Errorf(impound.KindNotFound, "%s is not registered", n.Defanged())
	}
	now := r.cfg.Now().UTC()
	d := old.clone()
	d.Expiry, d.Deleted, d.Updated, d.UpdatedBy = now.Truncate(time.Second), now, now, "REGISTRY"
	if err := r.commit(now, record{Domain: &d, Op: &Op{Client: "REGISTRY", Command: "domain:expire", Name: n.String(), Changes: []string{"-domain"}, Code: 1000}}); err != nil {
		return fmt.Errorf("couldn't write it down: %w", err)
	}
	return nil
}

// Transfer gives a name to another registrar, as if it had been transferred.
func (r *Registry) Transfer(n impound.Name, to string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	old := r.st.domains[n]
	if _, ok := r.cfg.Clients[to]; !ok || old == nil {
		return impound.Errorf(impound.KindNotFound, "%s is not registered, or there is no client %q", n.Defanged(), to)
	}
	now := r.cfg.Now().UTC()
	d := old.clone()
	d.Registrar, d.Updated, d.UpdatedBy = to, now, "REGISTRY"
	if err := r.commit(now, record{Domain: &d, Op: &Op{Client: "REGISTRY", Command: "domain:transfer", Name: n.String(), Changes: []string{"registrar " + to}, Code: 1000}}); err != nil {
		return fmt.Errorf("couldn't write it down: %w", err)
	}
	return nil
}
