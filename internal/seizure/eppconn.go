package seizure

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure/epp"
)

// EPP is the connector to one registry or registrar over EPP. It keeps one
// session, dialled when first needed and again after it broke; commands go one
// at a time.
type EPP struct {
	provider, role string
	cfg            epp.Config
	can            Capabilities

	mu     sync.Mutex
	c      *epp.Client
	frames []Frame
}

// NewEPP makes the connector; role is "registry" or "registrar", as the account
// is. cfg.Record is the connector's own to set.
func NewEPP(provider, role string, cfg epp.Config) (*EPP, error) {
	if provider == "" || role != "registry" && role != "registrar" {
		return nil, impound.Errorf(impound.KindInvalid, "an EPP provider needs an id, and the role registry or registrar").At("provider " + provider)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	e := &EPP{provider: provider, role: role, cfg: cfg, can: eppCapabilities(role)}
	// Called with the session locked, by the goroutine that holds e.mu.
	e.cfg.Record = func(dir string, frame []byte) {
		e.frames = append(e.frames, Frame{Dir: dir, At: cfg.Now().UTC(), Body: append([]byte(nil), frame...)})
	}
	return e, nil
}

// String gives what may be shown of e.
func (e *EPP) String() string { return e.provider + ": EPP as " + e.cfg.String() }

// GoString gives what may be shown of e.
func (e *EPP) GoString() string { return e.String() }

// LogValue gives what may be logged of e.
func (e *EPP) LogValue() slog.Value { return slog.StringValue(e.String()) }

// Provider gives the id.
func (e *EPP) Provider() string { return e.provider }

// Capabilities says what the account can do. Its lists are not to be changed.
func (e *EPP) Capabilities() Capabilities { return e.can }

func eppCapabilities(role string) Capabilities {
	c := Capabilities{Kind: "epp", Role: role, Acts: []impound.Act{impound.ActNameservers, impound.ActHold, impound.ActRemoveDS, impound.ActRegistrant, impound.ActRenew, impound.ActLock, impound.ActDelete},
		Holds: []string{"clientHold"}, Hosts: true, Looks: true, Whole: true, Guards: true, Poll: true, Ready: true}
	if role == "registry" {
		c.Holds = append(c.Holds, "serverHold")
	}
	for s, registryOnly := range impound.EPPStatuses {
		if !registryOnly || role == "registry" {
			c.Locks = append(c.Locks, s)
		}
	}
	slices.Sort(c.Locks)
	return c
}

// with runs f on a live session and gives the frames of it. A session that is
// found dead before anything was sent is dialled again.
func (e *EPP) with(ctx context.Context, f func(*epp.Client) error) ([]Frame, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.frames = nil
	if e.c == nil {
		c, err := epp.Dial(ctx, e.cfg)
		came := e.frames
		e.frames = nil // greeting and login are no part of what was asked
		if errors.Is(err, epp.ErrProtocol) {
			return slices.DeleteFunc(came, func(f Frame) bool { return f.Dir != "received" }), err
		}
		if err != nil {
			return nil, err
		}
		e.c = c
	}
	err := f(e.c)
	if fatal(err) {
		e.c.Close()
		e.c = nil
	}
	return e.frames, err
}

// Ready opens the session where there is none, and else has the server show that
// it still lives.
func (e *EPP) Ready(ctx context.Context) error {
	_, err := e.again(ctx, func(c *epp.Client) error { return c.Hello(ctx) })
	return err
}

// fatal says that the session can't be trusted any more: every failure but an
// answer that the server gave and did not hang up on, or a refusal of ours.
func fatal(err error) bool {
	if err == nil {
		return false
	}
	if code := epp.Code(err); code != 0 {
		return code >= 2500
	}
	return impound.KindOf(err) != impound.KindRefused
}

// again runs a query and, where the session broke, once more on a new one:
// looking twice does no harm. Never for a change.
func (e *EPP) again(ctx context.Context, f func(*epp.Client) error) ([]Frame, error) {
	fr, err := e.with(ctx, f)
	for try := 0; try < 2 && fatal(err) && impound.KindOf(err) == impound.KindUnavailable && ctx.Err() == nil; try++ {
		fr, err = e.with(ctx, f)
	}
	return fr, err
}

// Info looks at a name.
func (e *EPP) Info(ctx context.Context, n impound.Name) (RegistryView, error) {
	v := RegistryView{Name: n}
	var d epp.DomainInfo
	fr, err := e.again(ctx, func(c *epp.Client) (err error) { d, err = c.InfoDomain(ctx, n); return })
	v.Frames = fr
	if isNotFound(err) {
		return v, nil
	}
	if err != nil {
		return v, err
	}
	v.Exists, v.ID, v.NS, v.Hosts, v.Status, v.HostAttr = true, d.ROID, d.NS, d.Hosts, append(d.Statuses, d.RGP...), d.HostAttr
	v.Registrant = d.Registrant
	v.Sponsor, v.Created, v.Updated, v.Expires = d.Sponsor, d.Created, d.Updated, d.Expiry
	for _, ds := range d.DS {
		v.DS = append(v.DS, ds.String())
	}
	for range d.Keys {
		v.DS = append(v.DS, "key data")
	}
	return v, nil
}

// Host says whether the registry has the host object.
func (e *EPP) Host(ctx context.Context, h impound.Name) (bool, error) {
	_, err := e.again(ctx, func(c *epp.Client) error { _, err := c.InfoHost(ctx, h); return err })
	if isNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// Contact says whether the registry has the contact, and what it is where it
// tells this account.
func (e *EPP) Contact(ctx context.Context, id string) (Contact, bool, error) {
	var i epp.ContactInfo
	_, err := e.again(ctx, func(c *epp.Client) (err error) { i, err = c.InfoContact(ctx, id); return })
	if isNotFound(err) {
		return Contact{}, false, nil
	}
	if epp.Code(err) == 2201 { // another's, or ours under another account: it is there
		return Contact{}, true, nil
	}
	return Contact{Name: i.Name, Org: i.Org, City: i.City, Country: i.Country, Email: i.Email}, err == nil, err
}

// Do makes the change, after checking the permits here and once more, by the
// session, right before the frame is written.
func (e *EPP) Do(ctx context.Context, permits []impound.Permit, ch Change) (Answer, error) {
	if err := ch.Permitted(permits, e.cfg.Now()); err != nil {
		return Answer{}, err
	}
	var r epp.Result
	fr, err := e.with(ctx, func(c *epp.Client) (err error) {
		permit := func(act impound.Act) (p impound.Permit) {
			for _, p = range permits {
				if p.Check(act, ch.Name, e.cfg.Now()) == nil {
					break
				}
			}
			return p
		}
		if err := ch.still(); err != nil {
			return err
		}
		switch x := ch.CreateContact; {
		case ch.Delete:
			r, err = c.DeleteDomain(ctx, permit(impound.ActDelete), ch.Name, ch.ClTRID)
			return err
		case ch.Renew != nil && len(ch.Acts()) > 1:
			return impound.Errorf(impound.KindInvalid, "%s: EPP renews by a command of its own, and nothing else goes with it", ch.Name.Defanged())
		case ch.Renew != nil:
			r, err = c.RenewDomain(ctx, permit(impound.ActRenew), epp.DomainRenew{Name: ch.Name, Ends: ch.Renew.Ends, Years: ch.Renew.Years, ClTRID: ch.ClTRID})
			return err
		case x != nil:
			r, err = c.CreateContact(ctx, permit(impound.ActRegistrant), epp.ContactCreate{ID: x.ID(), Name: x.Name, Org: x.Org, Street: x.Street, City: x.City, State: x.State, Postal: x.Postal,
				Country: x.Country, Voice: x.Voice, Email: x.Email, ClTRID: ch.ClTRID})
			return err
		case !ch.CreateHost.IsZero():
			p := permit(impound.ActNameservers)
			r, err = c.CreateHost(ctx, p, epp.HostCreate{Name: ch.CreateHost, Addrs: ch.HostAddrs, ClTRID: ch.ClTRID})
			return err
		}
		back, err := epp.ReadDS(ch.BackDS)
		if err != nil {
			return err
		}
		r, err = c.UpdateDomain(ctx, permits, epp.DomainUpdate{
			Name: ch.Name, AddNS: ch.AddNS, RemNS: ch.RemNS, AddStatus: ch.AddStatus, RemStatus: ch.RemStatus,
			RemAllDS: ch.RemAllDS, AddDS: back, Registrant: ch.Registrant, Release: ch.Release, HostAttr: ch.HostAttr, ClTRID: ch.ClTRID,
		})
		return err
	})
	return Answer{Code: r.Code, Text: r.String(), SvTRID: r.SvTRID, Pending: r.Pending(), Frames: fr}, err
}

// Poll takes the account's messages off the queue, oldest first.
func (e *EPP) Poll(ctx context.Context, keep func(Message) error) error {
	for range 1000 { // a queue that never ends must not hold us for ever
		var m epp.PollMessage
		var ok bool
		fr, err := e.again(ctx, func(c *epp.Client) (err error) { m, ok, err = c.Poll(ctx); return })
		if err != nil || !ok {
			return err
		}
		msg := Message{ID: m.ID, At: m.Date, Text: m.Text, Frames: fr}
		if p := m.Pending; p != nil {
			msg.Pending, msg.Name, msg.ClTRID, msg.Done = true, p.Name, p.ClTRID, p.Done
		}
		if err := keep(msg); err != nil {
			return err
		}
		crash("kept")
		// An acknowledgement that got lost is asked for again by the next
		// poll: the message comes once more and is kept under the same id.
		if _, err := e.with(ctx, func(c *epp.Client) error { return c.Ack(ctx, m.ID) }); err != nil && !isNotFound(err) {
			return err
		}
	}
	return nil
}

// Health says how the session stands, dialling it where there is none: when the
// first certificate of the server's chain expires, and how far its clock is
// ahead of ours.
func (e *EPP) Health(ctx context.Context) (h Health, err error) {
	_, err = e.again(ctx, func(c *epp.Client) error {
		if err := c.Hello(ctx); err != nil {
			return err
		}
		h.CertExpires, h.Skew = c.CertExpiry(), c.Skew()
		return nil
	})
	return h, err
}

// Close logs out.
func (e *EPP) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.c == nil {
		return nil
	}
	err := e.c.Close()
	e.c = nil
	return err
}
