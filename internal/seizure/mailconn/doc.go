// Package mailconn asks providers by mail to carry an order out: registries,
// registrars and hosts that have no interface for it.
//
// What lives here: the letter (text, order, appendix, exhibits, a list for
// machines of exactly the names and acts that are asked for, how to check that
// it is real), its S/MIME signature and its DKIM signature, the way over SMTP
// with the server's answer as proof, and reading what comes back. What must not:
// when to ask, remind or ask again (that is the engine's), or a letter that no
// order in force permits.
package mailconn

import (
	"bytes"
	"context"
	"crypto"
	"crypto/x509"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

// Tool is the agent that letters name.
const Tool = "Impound"

// MaxBytes is the largest letter when [Config.MaxBytes] is 0: what most mail
// servers take.
const MaxBytes = 18 << 20

// File goes along with a letter.
type File struct {
	Name  string // letters, digits, dot, dash; unique in a letter
	Media string
	What  string // for people: "the order as filed"
	Data  []byte
}

// Papers is what an order is served with.
type Papers struct {
	Order     impound.Order
	OrderHash string
	Files     []File
}

// Config is how one provider is asked.
type Config struct {
	Provider string // our short name for it
	Role     string // "registry" | "registrar" | "host"
	Name     string // its own name, for the salutation
	To       []string
	Cc       []string

	From  string // our mailbox, the envelope's sender too
	Org   string // who we are
	Phone string
	// LogKey is the public key of the evidence log, for whoever wants to check
	// what we show later.
	LogKey string

	Relay  Relay
	Signer *Signer
	DKIM   *DKIM // nil: the relay signs

	// XARF writes the report of one name for machines at an abuse desk; an ARF
	// report goes with it. nil: neither goes along.
	XARF func(a Abuse) ([]byte, error)

	Policy   seizure.AskPolicy
	MaxBytes int // 0 is [MaxBytes]

	// Papers gives what goes along for an order.
	Papers  func(ctx context.Context, orderID string) (Papers, error)
	Observe seizure.Observer
	Now     func() time.Time // nil is time.Now
}

// Signer signs letters (S/MIME, RFC 8551): RSA or ECDSA.
type Signer struct {
	Cert  *x509.Certificate
	Chain []*x509.Certificate
	Key   crypto.Signer
}

// DKIM signs letters for their way (RFC 6376): RSA or Ed25519.
type DKIM struct {
	Domain, Selector string
	Key              crypto.Signer
}

// Connector asks one provider. It keeps no state and is safe for concurrent use.
type Connector struct {
	cfg  Config
	from *mail.Address
	to   []string // of the envelope
}

var _ seizure.Asker = (*Connector)(nil)

// New makes the connector. What is missing or can't be read is KindInvalid.
func New(cfg Config) (*Connector, error) {
	bad := func(where, cure, format string, args ...any) (*Connector, error) {
		return nil, impound.Errorf(impound.KindInvalid, format, args...).At("provider " + cfg.Provider + ": " + where).WithCure(cure)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.MaxBytes == 0 {
		cfg.MaxBytes = MaxBytes
	}
	c := &Connector{cfg: cfg}
	switch {
	case cfg.Provider == "" || cfg.Role != "registry" && cfg.Role != "registrar" && cfg.Role != "host":
		return bad("role", "registry, registrar or host", "a provider that is asked by mail needs an id and a role")
	case len(cfg.To) == 0:
		return bad("to", "the mailbox that it takes orders at", "there is nobody to write to")
	case cfg.Papers == nil || cfg.Observe == nil:
		return bad("papers", "", "a connector by mail needs the order's papers and an observer")
	case cfg.Signer == nil || cfg.Signer.Key == nil || cfg.Signer.Cert == nil:
		return bad("signer", "configure a certificate and its key", "letters are signed, and there is no key")
	}
	addr := func(s string) (*mail.Address, error) {
		a, err := mail.ParseAddress(s)
		if err != nil {
			return nil, err
		}
		if _, dom, ok := strings.Cut(a.Address, "@"); !ok || dom == "" || strings.ContainsFunc(a.Address, func(r rune) bool { return r <= ' ' || r >= 0x7f || r == '<' || r == '>' }) || len(a.Address) > 254 {
			return nil, fmt.Errorf("%q can't be written to over plain SMTP", a.Address)
		}
		return a, nil
	}
	var err error
	if c.from, err = addr(cfg.From); err != nil {
		return bad("from", "our mailbox, such as desk@unit.example", "couldn't read the sender: %w", err)
	}
	for _, t := range slices.Concat(cfg.To, cfg.Cc) {
		a, err := addr(t)
		if err != nil {
			return bad("to", "a mailbox, such as legal@registry.example", "couldn't read a recipient: %w", err)
		}
		c.to = append(c.to, a.Address)
	}
	if err := cfg.Relay.check(); err != nil {
		return nil, err
	}
	return c, nil
}

// Provider gives the id.
func (c *Connector) Provider() string { return c.cfg.Provider }

// Policy says how the provider is reminded.
func (c *Connector) Policy() seizure.AskPolicy { return c.cfg.Policy }

// Capabilities says that it asks, for whatever an order can say about a name.
func (c *Connector) Capabilities() seizure.Capabilities {
	return seizure.AskCapabilities("mail", c.cfg.Role, true)
}

// Info looks from outside: there is nobody to query.
func (c *Connector) Info(ctx context.Context, n impound.Name) (seizure.RegistryView, error) {
	return seizure.LookOutside(ctx, c.cfg.Observe, n)
}

// Host is true: making the host objects is part of what is asked.
func (c *Connector) Host(context.Context, impound.Name) (bool, error) { return true, nil }

// Poll gives nothing: what comes back is filed by people.
func (c *Connector) Poll(context.Context, func(seizure.Message) error) error { return nil }

// Close does nothing.
func (c *Connector) Close() error { return nil }

// Ready says whether the relay lets us in: it is asked and left again.
func (c *Connector) Ready(ctx context.Context) error { return c.cfg.Relay.probe(ctx) }

// Do asks for one change; the engine asks for many at once.
func (c *Connector) Do(ctx context.Context, permits []impound.Permit, ch seizure.Change) (seizure.Answer, error) {
	if err := ch.Permitted(permits, c.cfg.Now()); err != nil {
		return seizure.Answer{}, err
	}
	id := ch.ClTRID
	if id == "" {
		id = strings.TrimPrefix(impound.HashBytes([]byte(ch.Name.String()+"\n"+strings.Join(ch.Lines(), "\n"))), "sha256:")[:24]
	}
	l, err := c.Compose(ctx, seizure.Request{ID: id, Kind: seizure.LetterRequest, Provider: c.cfg.Provider, Order: permits[0].OrderID(), At: c.cfg.Now().UTC(), Changes: []seizure.Change{ch}})
	if err != nil {
		return seizure.Answer{}, err
	}
	return c.Ask(ctx, permits, l, func() error { return nil })
}

// Ask sends the letter, and gives the server's last words as its answer.
func (c *Connector) Ask(ctx context.Context, permits []impound.Permit, l seizure.Letter, commit func() error) (seizure.Answer, error) {
	permitted := func() error {
		if len(l.Request.Changes) == 0 {
			return impound.Errorf(impound.KindInvalid, "a letter that asks for nothing")
		}
		for _, ch := range l.Request.Changes {
			if err := ch.Permitted(permits, c.cfg.Now()); err != nil {
				return err
			}
			if err := c.Capabilities().Asked(ch); err != nil {
				return err
			}
		}
		return nil
	}
	if err := permitted(); err != nil {
		return seizure.Answer{}, err
	}
	if len(l.Body) == 0 || !bytes.Contains(l.Body[:min(len(l.Body), 64<<10)], []byte("\r\nMessage-ID: "+l.Ref+"\r\n")) {
		return seizure.Answer{}, impound.Errorf(impound.KindInternal, "letter %s is not the mail that it says", l.Request.ID)
	}
	to := l.To // as it was written, not as the configuration is by now
	said, log, err := c.cfg.Relay.send(ctx, c.from.Address, to, l.Request.ID, l.Body, func() error {
		// Talking to the server took its time.
		if err := permitted(); err != nil {
			return err
		}
		return commit()
	})
	a := seizure.Answer{Text: said, Ref: l.Ref, Pending: err == nil}
	if len(log) > 0 {
		a.Frames = []seizure.Frame{{Dir: "received", At: c.cfg.Now().UTC(), Body: log, Media: "text/plain"}}
	}
	if err == nil {
		a.Code = 250
	}
	return a, err
}

// line makes foreign words fit for one line of a head or a text: no controls, no
// marks that turn the writing round.
func line(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t' || unicode.In(r, unicode.Zl, unicode.Zp):
			return ' '
		case unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Co, unicode.Cs) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, strings.ToValidUTF8(s, ""))
	s = strings.Join(strings.Fields(s), " ")
	if r := []rune(s); len(r) > 500 {
		s = string(r[:500]) + "..."
	}
	return s
}

// fingerprint is how people compare certificates by telephone.
func fingerprint(c *x509.Certificate) string {
	h := strings.TrimPrefix(impound.HashBytes(c.Raw), "sha256:")
	var out []string
	for len(h) >= 4 {
		out, h = append(out, h[:4]), h[4:]
	}
	return strings.ToUpper(strings.Join(out, " "))
}
