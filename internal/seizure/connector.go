package seizure

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure/epp"
)

// ErrUnknownOutcome is wrapped by [Connector.Do] when the act may or may not
// have been done: look before doing it again.
var ErrUnknownOutcome = epp.ErrUnknownOutcome

// Connector reaches one provider: a registry, a registrar, a host. It does what
// it is told, once, and keeps no state that outlives the process. It must be
// safe for concurrent use.
type Connector interface {
	Provider() string
	Capabilities() Capabilities
	// Info looks at a name; a name that isn't there is a view with Exists
	// false and no error.
	Info(ctx context.Context, n impound.Name) (RegistryView, error)
	// Host says whether the provider knows the host as an object to delegate to.
	Host(ctx context.Context, h impound.Name) (exists bool, err error)
	// Do makes the change. It must refuse, with nothing sent, unless permits
	// cover every act of it at that moment. The Answer's frames are there even
	// with an error.
	Do(ctx context.Context, permits []impound.Permit, c Change) (Answer, error)
	// Poll takes the provider's messages, each acknowledged only after keep
	// returned nil.
	Poll(ctx context.Context, keep func(Message) error) error
	Close() error
}

// Capabilities is what a connector can do. The shared suite (package conntest)
// tests each claim, and that what is not claimed is refused; docs/connectors.md
// shows them side by side. A zero field claims nothing.
type Capabilities struct {
	Role string        `json:"role"` // "registry" (may set server statuses) | "registrar" | "host" (of content: see [AskCapabilities])
	Acts []impound.Act `json:"acts"`
	Kind string        `json:"kind"` // "epp", "dnsupdate", "libdns", "mail", "manual"
	// Asks says that it carries nothing out itself but asks somebody who does:
	// it is an [Asker]. What it is told is then asked and waited for.
	Asks bool `json:"asks,omitempty"`

	Locks  []string `json:"locks,omitempty"`   // the statuses that it sets and lifts
	Holds  []string `json:"holds,omitempty"`   // the holds, likewise
	Hosts  bool     `json:"hosts,omitempty"`   // it makes host objects, or their addresses
	Looks  bool     `json:"looks,omitempty"`   // Info and Host show what the provider holds
	Whole  bool     `json:"whole,omitempty"`   // a change is done as a whole or not at all
	Singly bool     `json:"singly,omitempty"`  // it does one act at a time: plans give it a step for each, and it refuses a change of several
	Guards bool     `json:"guards,omitempty"`  // of two changes that begin from one state, one takes effect
	DryRun bool     `json:"dry_run,omitempty"` // it is a [DryRunner]
	Poll   bool     `json:"poll,omitempty"`    // the provider tells how a pending change ended
	Ready  bool     `json:"ready,omitempty"`   // it shows that it could act now, for a common instant
}

// DryRunner is a connector that can ask its provider whether a change would be
// taken, with nothing changed by asking.
type DryRunner interface {
	DryRun(ctx context.Context, c Change) error
}

// Frame is one message as it went over the wire, without passwords.
type Frame struct {
	Dir   string // "sent" | "received"
	At    time.Time
	Media string // of Body; "" is application/epp+xml
	Body  []byte
}

// Message is a provider's message out of band: the end of a pending change, or
// anything else that it wants known.
type Message struct {
	ID      string
	At      time.Time
	Text    string
	Name    impound.Name // zero when it is about no name
	ClTRID  string       // of the pending change that ended
	Done    bool         // how it ended
	Pending bool         // it is about the end of a pending change
	Frames  []Frame
}

// Answer is how a change went. With Pending the provider took it but has not
// done it yet.
type Answer struct {
	Code    int
	Text    string
	SvTRID  string
	Pending bool
	Ref     string // by which the provider, or a person, finds it: a Message-ID, a task
	Frames  []Frame
}

// RegistryView is a name as its provider holds it.
type RegistryView struct {
	Name     impound.Name   `json:"name"`
	Exists   bool           `json:"exists"`
	ID       string         `json:"id,omitempty"` // the repository's id: another one is another registration
	NS       []impound.Name `json:"ns,omitempty"`
	Hosts    []impound.Name `json:"hosts,omitempty"` // host objects under the name
	Status   []string       `json:"status,omitempty"`
	DS       []string       `json:"ds,omitempty"`
	Sponsor  string         `json:"sponsor,omitempty"`
	Created  time.Time      `json:"created,omitzero"`
	Updated  time.Time      `json:"updated,omitzero"`
	Expires  time.Time      `json:"expires,omitzero"`
	HostAttr bool           `json:"host_attr,omitempty"`
	Frames   []Frame        `json:"-"`

	Registrant string `json:"registrant,omitempty"` // id of a contact, where the provider tells it
}

// State is the part of a view that an order is about, in one canonical form. It
// is what a plan rests on: a plan whose former state is no longer the state is
// stale.
type State struct {
	Exists  bool           `json:"exists"`
	ID      string         `json:"id,omitempty"`
	NS      []impound.Name `json:"ns,omitempty"`
	Status  []string       `json:"status,omitempty"`
	DS      []string       `json:"ds,omitempty"`
	Sponsor string         `json:"sponsor,omitempty"`

	Registrant string `json:"registrant,omitempty"`
}

// State cuts v down. Statuses that a registry sets by itself as a consequence
// (ok, linked, inactive) and those that pass by themselves (pendingUpdate,
// pendingRenew, the grace periods of RFC 3915 after something was paid) are left
// out.
func (v RegistryView) State() State {
	s := State{Exists: v.Exists, ID: v.ID, NS: sortNames(v.NS), DS: sorted(v.DS), Sponsor: v.Sponsor, Registrant: v.Registrant}
	for _, x := range sorted(v.Status) {
		if !slices.Contains(passing, x) {
			s.Status = append(s.Status, x)
		}
	}
	return s
}

// passing are statuses that nobody sets, or that end by themselves.
var passing = []string{"ok", "linked", "inactive", "pendingUpdate", "pendingRenew", "addPeriod", "autoRenewPeriod", "renewPeriod", "transferPeriod"}

// Pending says that the registry has not finished an earlier change.
func (v RegistryView) Pending() bool {
	return slices.Contains(v.Status, "pendingUpdate") || slices.Contains(v.Status, "pendingRenew")
}

// Equal compares two states.
func (s State) Equal(o State) bool {
	return s.Exists == o.Exists && s.ID == o.ID && s.Sponsor == o.Sponsor && s.Registrant == o.Registrant &&
		slices.Equal(s.NS, o.NS) && slices.Equal(s.Status, o.Status) && slices.Equal(s.DS, o.DS)
}

// after gives the state that c leads to.
func (s State) after(c Change) State {
	s.NS = sortNames(append(without(s.NS, c.RemNS), c.AddNS...))
	s.Status = sorted(append(without(s.Status, c.RemStatus), c.AddStatus...))
	if c.RemAllDS {
		s.DS = nil
	}
	if len(c.BackDS) > 0 {
		s.DS = sorted(append(slices.Clone(s.DS), c.BackDS...))
	}
	if c.Registrant != "" {
		s.Registrant = c.Registrant
	}
	if c.Delete {
		return State{}
	}
	if len(s.NS) == 0 {
		s.NS = nil
	}
	if len(s.Status) == 0 {
		s.Status = nil
	}
	return s
}

// diff says in words how s differs from o, which was expected.
func (s State) diff(o State) string {
	var d []string
	if s.Exists != o.Exists || s.ID != o.ID {
		d = append(d, "it is another registration")
	}
	if s.Sponsor != o.Sponsor {
		d = append(d, "its sponsor is "+s.Sponsor+", was "+o.Sponsor)
	}
	if s.Registrant != o.Registrant {
		d = append(d, "its registrant is "+s.Registrant+", was "+o.Registrant)
	}
	list := func(what string, now, then []string) {
		if x := without(now, then); len(x) > 0 {
			d = append(d, what+" "+strings.Join(x, ", ")+" came")
		}
		if x := without(then, now); len(x) > 0 {
			d = append(d, what+" "+strings.Join(x, ", ")+" went")
		}
	}
	list("ns", defang(s.NS), defang(o.NS))
	list("status", s.Status, o.Status)
	list("ds", s.DS, o.DS)
	return strings.Join(d, "; ")
}

// Change is what one step does at the provider, as one command: either a host
// object to create, or an update of a name.
type Change struct {
	Name       impound.Name   `json:"name"` // the seized name, also where a host is created for it
	CreateHost impound.Name   `json:"create_host,omitzero"`
	HostAddrs  []netip.Addr   `json:"host_addrs,omitempty"`
	AddNS      []impound.Name `json:"add_ns,omitempty"`
	RemNS      []impound.Name `json:"rem_ns,omitempty"`
	AddStatus  []string       `json:"add_status,omitempty"`
	RemStatus  []string       `json:"rem_status,omitempty"`
	RemAllDS   bool           `json:"rem_all_ds,omitempty"`
	BackDS     []string       `json:"back_ds,omitempty"` // "tag algorithm digest-type digest": the DS that an order removed, where a name is given back; never with RemAllDS
	HostAttr   bool           `json:"host_attr,omitempty"`

	CreateContact *Contact `json:"create_contact,omitempty"` // for Name to be given to
	Registrant    string   `json:"registrant,omitempty"`     // id of the contact that the name goes to
	Delete        bool     `json:"delete,omitempty"`         // the registration; alone
	Renew         *Renewal `json:"renew,omitempty"`          // the registration; alone, but for those who are asked
	// Release says that the order lets the name go: what the change does, the
	// return clause allows, and not the acts of the order.
	Release bool `json:"release,omitempty"`

	ClTRID string `json:"-"` // derived from the step when it is done
	// Still is asked right before the change is sent, when all that comes before it
	// (a session, a look) is done; an error keeps it from being sent. nil: nobody
	// is asked.
	Still func() error `json:"-"`
}

// still asks c.Still.
func (c Change) still() error {
	if c.Still == nil {
		return nil
	}
	return c.Still()
}

// Acts gives the acts that c needs permits for.
func (c Change) Acts() []impound.Act {
	switch {
	case c.Delete:
		return []impound.Act{impound.ActDelete}
	case !c.CreateHost.IsZero():
		return []impound.Act{impound.ActNameservers}
	case c.CreateContact != nil:
		return []impound.Act{impound.ActRegistrant}
	}
	var acts []impound.Act
	if c.Release && len(c.AddNS)+len(c.RemNS)+len(c.AddStatus)+len(c.RemStatus)+len(c.Registrant)+len(c.BackDS) > 0 {
		acts = append(acts, impound.ActRelease)
		if c.RemAllDS { // nothing that is let go needs it
			acts = append(acts, impound.ActRemoveDS)
		}
		if c.Renew != nil {
			acts = append(acts, impound.ActRenew)
		}
		return acts
	}
	if len(c.AddNS)+len(c.RemNS) > 0 {
		acts = append(acts, impound.ActNameservers)
	}
	var hold, lock bool
	for _, s := range slices.Concat(c.AddStatus, c.RemStatus) {
		if strings.HasSuffix(s, "Hold") {
			hold = true
		} else {
			lock = true
		}
	}
	if hold {
		acts = append(acts, impound.ActHold)
	}
	if c.RemAllDS || len(c.BackDS) > 0 { // whoever may remove it under the order may put it back
		acts = append(acts, impound.ActRemoveDS)
	}
	if c.Registrant != "" {
		acts = append(acts, impound.ActRegistrant)
	}
	if c.Renew != nil {
		acts = append(acts, impound.ActRenew)
	}
	if lock {
		acts = append(acts, impound.ActLock)
	}
	return acts
}

// Permitted says whether permits cover c now, the check that every connector
// makes before it sends anything.
func (c Change) Permitted(permits []impound.Permit, now time.Time) error {
	acts := c.Acts()
	if len(acts) == 0 {
		return impound.Errorf(impound.KindInvalid, "a change of %s that changes nothing", c.Name.Defanged())
	}
	if len(c.BackDS) > 0 && c.RemAllDS {
		return impound.Errorf(impound.KindInvalid, "a change of %s that removes the DS and puts one back", c.Name.Defanged())
	}
	for _, act := range acts {
		err := impound.Permit{}.Check(act, c.Name, now)
		for _, p := range permits {
			e := p.Check(act, c.Name, now)
			if e == nil {
				err = nil
				break
			}
			if p.Act() == act {
				err = e
			}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Lines gives c as the lines of a diff, names defanged.
func (c Change) Lines() []string {
	var out []string
	if !c.CreateHost.IsZero() {
		l := "+ host " + c.CreateHost.Defanged()
		for _, a := range c.HostAddrs {
			l += " " + a.String()
		}
		return []string{l}
	}
	if x := c.CreateContact; x != nil {
		return []string{"+ contact " + x.ID() + " (" + x.String() + ")"}
	}
	if c.Delete {
		return []string{"- the registration"}
	}
	if r := c.Renew; r != nil {
		out = append(out, fmt.Sprintf("~ renewed for %d year from %s, when it ends", r.Years, r.Ends))
	}
	for _, n := range c.AddNS {
		out = append(out, "+ ns "+n.Defanged())
	}
	for _, n := range c.RemNS {
		out = append(out, "- ns "+n.Defanged())
	}
	if c.RemAllDS {
		out = append(out, "- ds (all)")
	}
	for _, ds := range c.BackDS {
		out = append(out, "DS back: "+ds)
	}
	if c.Registrant != "" {
		out = append(out, "~ registrant "+c.Registrant)
	}
	for _, s := range c.RemStatus {
		out = append(out, "- status "+s)
	}
	for _, s := range c.AddStatus {
		out = append(out, "+ status "+s)
	}
	return out
}

func defang(in []impound.Name) []string {
	out := make([]string, len(in))
	for i, n := range in {
		out[i] = n.Defanged()
	}
	return out
}
