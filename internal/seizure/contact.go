package seizure

import (
	"context"
	"slices"
	"strings"

	"github.com/impound/impound"
)

// Contact is an organisation that names are given to where the order says so:
// the plaintiff, or a custodian (RFC 5733). It is a desk, not a person.
type Contact struct {
	Name    string   `json:"name" yaml:"name"`                         // of the desk
	Org     string   `json:"org,omitempty" yaml:"org,omitempty"`       // legal name
	Street  []string `json:"street,omitempty" yaml:"street,omitempty"` // up to three lines
	City    string   `json:"city" yaml:"city"`
	State   string   `json:"state,omitempty" yaml:"state,omitempty"`
	Postal  string   `json:"postal,omitempty" yaml:"postal,omitempty"`
	Country string   `json:"country" yaml:"country"`                 // ISO 3166-1, two letters
	Voice   string   `json:"voice,omitempty" yaml:"voice,omitempty"` // +1.4255550100
	Email   string   `json:"email" yaml:"email"`
}

// ID is the id under which the contact is made at a registry: the same for the
// same data, so that making it twice makes one.
func (c Contact) ID() string {
	h, err := impound.HashOf(c)
	if err != nil { // a Contact holds nothing that can't be encoded
		panic(err)
	}
	return "IMP-" + strings.ToUpper(strings.TrimPrefix(h, "sha256:")[:12])
}

// String gives the contact in a line.
func (c Contact) String() string {
	out := c.Name
	if c.Org != "" && c.Org != c.Name {
		out = c.Org + ", " + c.Name
	}
	return out + ", " + c.City + " " + c.Country
}

// Check finds what a registry would refuse.
func (c Contact) Check() error {
	bad := func(what, cure string) error {
		return impound.Errorf(impound.KindInvalid, "%s", what).WithCure(cure)
	}
	switch {
	case c.Name == "" || c.City == "" || c.Email == "":
		return bad("a contact without name, city or mail address", "fill in name, city and email")
	case len(c.Country) != 2 || strings.ToUpper(c.Country) != c.Country:
		return bad("the country is not two capital letters", "write US, GB, ...")
	case len(c.Street) > 3:
		return bad("an address of more than three lines", "leave one out")
	case !strings.Contains(c.Email, "@"):
		return bad("the mail address is none", "write desk@unit.example")
	case c.Voice != "" && (c.Voice[0] != '+' || !strings.Contains(c.Voice, ".")):
		return bad("the telephone number is not as RFC 5733 has it", "write +1.4255550100")
	}
	for _, s := range append(slices.Clone(c.Street), c.Name, c.Org, c.City, c.State) {
		if len(s) > 255 || strings.ContainsFunc(s, func(r rune) bool { return r < 0x20 }) {
			return bad("a line of the contact is too long, or holds control characters", "shorten it")
		}
	}
	return nil
}

// ContactKeeper is a connector that has contacts as objects.
type ContactKeeper interface {
	// Contact says whether the provider has a contact of this id, and what it is
	// where it tells.
	Contact(ctx context.Context, id string) (c Contact, exists bool, err error)
}

// registrant gives the contact that the order's words mean at a provider; false
// where it has to be done by hand.
func (e *Engine) registrant(provider, words string) (Contact, bool) {
	conn := e.cfg.Connectors[provider]
	if words == "" || conn == nil || !slices.Contains(conn.Capabilities().Acts, impound.ActRegistrant) {
		return Contact{}, false
	}
	if _, ok := conn.(ContactKeeper); !ok {
		return Contact{}, false
	}
	c, ok := e.cfg.Registrants[words]
	return c, ok && c.Check() == nil
}

// registrantID is the id of that contact, "" where it has to be done by hand.
func (e *Engine) registrantID(provider, words string) string {
	if c, ok := e.registrant(provider, words); ok {
		return c.ID()
	}
	return ""
}

// contactStep makes contact c for name n.
func contactStep(n impound.Name, c Contact) Step {
	ch := Change{Name: n, CreateContact: &c}
	return Step{Acts: ch.Acts(), Change: ch, Lines: ch.Lines()}
}

// planContacts adds the contacts that are missing at each provider.
func (e *Engine) planContacts(ctx context.Context, m *impound.Mandate, p *Plan) error {
	done := map[string]string{} // provider -> why not
	for i := range p.Names {
		np := &p.Names[i]
		if np.Registrant == "" || !slices.ContainsFunc(np.Steps, func(s Step) bool { return s.Change.Registrant == np.Registrant }) {
			continue
		}
		key := np.Provider + " " + np.Registrant
		why, seen := done[key]
		if !seen {
			acts, _ := m.Acts(np.Name)
			c, ok := e.registrant(np.Provider, acts.Registrant)
			if !ok {
				continue
			}
			has, exists, err := e.cfg.Connectors[np.Provider].(ContactKeeper).Contact(ctx, np.Registrant)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				why = "the provider could not be asked for the contact " + np.Registrant + ": " + err.Error()
			case exists && has.Email != "" && has.Email != c.Email:
				why = "the provider has another contact under the id " + np.Registrant + ": somebody must look"
			case !exists:
				p.Hosts = append(p.Hosts, HostPlan{Provider: np.Provider, Step: contactStep(np.Name, c)})
			}
			done[key] = why
		}
		if why != "" {
			np.Steps, np.Blocked = nil, why
		}
	}
	return nil
}
