package epp

import (
	"context"
	"crypto/rand"
	"fmt"
	"strings"
	"time"

	"github.com/impound/impound"
)

// ContactInfo is a contact as its registry tells it (RFC 5733 3.1.2); what the
// account may not see is empty. Where there are two forms of the address, it is
// the one in ASCII.
type ContactInfo struct {
	ID      string `json:"id"`
	ROID    string `json:"roid"`
	Name    string `json:"name,omitempty"`
	Org     string `json:"org,omitempty"`
	City    string `json:"city,omitempty"`
	Country string `json:"country,omitempty"`
	Email   string `json:"email,omitempty"`
	Sponsor string `json:"sponsor,omitempty"`
}

// ContactCreate is a contact to create: an organisation's desk.
type ContactCreate struct {
	ID           string // 3 to 16 characters
	Name, Org    string
	Street       []string // up to three lines
	City, State  string
	Postal       string
	Country      string // ISO 3166-1, two letters
	Voice, Email string
	ClTRID       string
}

// InfoContact asks for a contact. It is KindNotFound when the registry has none.
func (c *Client) InfoContact(ctx context.Context, contact string) (ContactInfo, error) {
	if !contactID(contact) {
		return ContactInfo{}, impound.Errorf(impound.KindInvalid, "%q is no contact id: it has 3 to 16 characters", cut(contact, 40))
	}
	id := newTRID()
	frame := command(`<info><contact:info xmlns:contact="`+NSContact+`">`+Tag("contact:id", contact)+`</contact:info></info>`, "", id)
	_, resp, err := c.do(ctx, frame, id, nil)
	if err != nil {
		return ContactInfo{}, err
	}
	i, err := parseContactInfo(resp, contact)
	if err != nil {
		return ContactInfo{}, protocol(c.where, "contact info: %w", err)
	}
	return i, nil
}

func parseContactInfo(resp *Node, want string) (i ContactInfo, err error) {
	const ns = NSContact
	n, err := only(resp, ns, "infData")
	if err != nil {
		return i, err
	}
	if i.ID = n.First(ns, "id").Token(); i.ID != want {
		return ContactInfo{}, fmt.Errorf("asked for %s, answered for %s", want, cut(i.ID, 40))
	}
	i.ROID, i.Sponsor, i.Email = cut(n.First(ns, "roid").Token(), 100), cut(n.First(ns, "clID").Token(), 40), cut(n.First(ns, "email").Token(), 300)
	for _, p := range n.All(ns, "postalInfo") {
		if typ, _ := p.Attr("type"); i.Name != "" && typ != "int" {
			continue
		}
		addr := p.First(ns, "addr")
		i.Name, i.Org = cut(p.First(ns, "name").Token(), 255), cut(p.First(ns, "org").Token(), 255)
		i.City, i.Country = cut(addr.First(ns, "city").Token(), 255), cut(addr.First(ns, "cc").Token(), 4)
	}
	return i, nil
}

// contactID says whether s can be a contact's id (RFC 5730 4.1: clIDType).
func contactID(s string) bool {
	return len(s) >= 3 && len(s) <= 16 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// CreateContact creates a contact that names can be given to. The permit is that
// of a seized name which is to be its (ActRegistrant); it must hold at the
// moment before the frame is written. Its transfer code is made up, sent and
// forgotten: nobody is to take the contact away by it. Errors are as those of
// UpdateDomain; one that exists is KindConflict (code 2302).
func (c *Client) CreateContact(ctx context.Context, permit impound.Permit, x ContactCreate) (Result, error) {
	if !contactID(x.ID) || x.Name == "" || x.City == "" || x.Email == "" || len(x.Country) != 2 || len(x.Street) > 3 {
		return Result{}, impound.Errorf(impound.KindInvalid, "contact %q lacks id, name, city, country or mail address, or has too much", cut(x.ID, 40))
	}
	id, err := trID(x.ClTRID)
	if err != nil {
		return Result{}, err
	}
	kind := "loc" // as it is written
	if !strings.ContainsFunc(x.Name+x.Org+x.City+x.State+strings.Join(x.Street, ""), func(r rune) bool { return r > '~' }) {
		kind = "int" // in ASCII
	}
	var b strings.Builder
	opt := func(tag, text string) {
		if text != "" {
			b.WriteString(Tag("contact:"+tag, text))
		}
	}
	b.WriteString(`<create><contact:create xmlns:contact="` + NSContact + `">` + Tag("contact:id", x.ID) + `<contact:postalInfo type="` + kind + `">` + Tag("contact:name", x.Name))
	opt("org", x.Org)
	b.WriteString("<contact:addr>")
	for _, s := range x.Street {
		opt("street", s)
	}
	opt("city", x.City)
	opt("sp", x.State)
	opt("pc", x.Postal)
	opt("cc", x.Country)
	b.WriteString("</contact:addr></contact:postalInfo>")
	opt("voice", x.Voice)
	b.WriteString(Tag("contact:email", x.Email) + "<contact:authInfo>" + Tag("contact:pw", rand.Text()[:16]) + "</contact:authInfo></contact:create></create>")
	gate := func(now time.Time) error { return permit.Check(impound.ActRegistrant, permit.Name(), now) }
	r, _, err := c.do(ctx, command(b.String(), "", id), id, gate)
	return c.transformed(r, err)
}

// DeleteDomain asks for a registration to be deleted: most registries keep it
// out of the zone for some weeks first, and it can be restored till then (RFC
// 3915). The permit must be for that name and ActDelete, and hold at the moment
// before the frame is written. Errors are as those of UpdateDomain.
func (c *Client) DeleteDomain(ctx context.Context, permit impound.Permit, name impound.Name, clTRID string) (Result, error) {
	if name.IsZero() {
		return Result{}, impound.Errorf(impound.KindInvalid, "a deletion without a name")
	}
	id, err := trID(clTRID)
	if err != nil {
		return Result{}, err
	}
	gate := func(now time.Time) error { return permit.Check(impound.ActDelete, name, now) }
	r, _, err := c.do(ctx, command(`<delete><domain:delete xmlns:domain="`+NSDomain+`">`+Tag("domain:name", name.String())+`</domain:delete></delete>`, "", id), id, gate)
	return c.transformed(r, err)
}
