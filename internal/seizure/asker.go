package seizure

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
)

// Asker is a connector that carries nothing out itself: it asks a provider by
// message, or a person by a task, and what is asked for comes about in hours or
// weeks, or never. The states of a name at one are: ready, asked (the letter was
// taken, Outcome [Asked]), and as ordered, which looking alone decides: neither
// an answer nor a person's word makes it done.
//
// All names of a plan at one provider go into one letter. The engine has it
// composed, keeps it as evidence with an intent for each name, and then hands
// over exactly those bytes. Info looks from outside, since there is nobody to
// query; Host is always true; Do is Compose and Ask for one change and gives an
// Answer that is Pending; Poll gives nothing: what comes back is filed by people.
type Asker interface {
	Connector
	// Compose writes the letter. Nothing leaves the machine.
	Compose(ctx context.Context, r Request) (Letter, error)
	// Ask hands the letter over. It must refuse, with nothing sent, unless
	// permits cover every act of every change of it at that moment. It calls
	// commit right before the point from which the letter may be taken, and
	// stops where that gives an error: what failed before was certainly not
	// taken and may be tried again. From then on an error either says that the
	// letter was refused, or wraps [ErrUnknownOutcome].
	Ask(ctx context.Context, permits []impound.Permit, l Letter, commit func() error) (Answer, error)
	// Policy says how the provider is reminded.
	Policy() AskPolicy
}

// Kinds of letters.
const (
	LetterRequest  = "request"
	LetterReminder = "reminder" // of a request, for those names that are not as ordered yet
)

// Request is what a letter is to ask for.
type Request struct {
	ID       string    `json:"id"` // of the letter, the same in every run; a Message-ID is derived from it
	Kind     string    `json:"kind"`
	No       int       `json:"no,omitempty"` // of a reminder: the first is 1
	Provider string    `json:"provider"`
	Plan     string    `json:"plan"`
	Order    string    `json:"order"`
	Case     string    `json:"case,omitempty"`
	By       string    `json:"by,omitempty"`
	At       time.Time `json:"at"`
	Of       string    `json:"of,omitempty"`       // of a reminder: the request's id
	Reply    string    `json:"reply_to,omitempty"` // and its reference
	Asked    time.Time `json:"asked,omitzero"`     // and when that went out
	Revert   bool      `json:"revert,omitempty"`   // it asks to undo
	Release  string    `json:"release,omitempty"`  // it asks to let names go, in this way
	Changes  []Change  `json:"changes"`            // exactly the names and acts that are asked for
}

// Letter is a request as it will be handed over.
type Letter struct {
	Request Request  `json:"request"`
	Ref     string   `json:"ref"` // Message-ID; of a task, known once it was made
	To      []string `json:"to"`
	Subject string   `json:"subject"`
	Media   string   `json:"media"` // of Body: "message/rfc822", "text/plain"
	Parts   []Part   `json:"parts,omitempty"`
	Body    []byte   `json:"-"`
}

// Part is something that goes along with a letter.
type Part struct {
	Name string `json:"name"`
	Hash string `json:"hash"`
	Size int    `json:"size"`
}

// AskCapabilities are those of a connector that asks in words: whoever reads them
// can do all that a provider of that role can. A host can do none of the acts
// that an order knows: they are about a name's registration.
func AskCapabilities(kind, role string, ready bool) Capabilities {
	c := Capabilities{Kind: kind, Role: role, Asks: true, Ready: ready}
	if role == "host" {
		return c
	}
	c.Acts = []impound.Act{impound.ActNameservers, impound.ActHold, impound.ActRemoveDS, impound.ActRenew, impound.ActLock, impound.ActDelete}
	c.Holds = []string{"clientHold"}
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

// Asked says whether a connector with these capabilities asks for ch; the error
// is KindRefused. Making hosts is no request of its own: it is part of a
// delegation.
func (c Capabilities) Asked(ch Change) error {
	var not []string
	for _, a := range ch.Acts() {
		if a != impound.ActRelease && !slices.Contains(c.Acts, a) {
			not = append(not, string(a))
		}
	}
	switch {
	case c.Role == "host":
		return impound.Errorf(impound.KindRefused, "%s is not asked of a host: %s", ch.Name.Defanged(), hostActs).WithCure("have its registry or registrar do what the order says")
	case len(not) > 0 || !ch.CreateHost.IsZero() || ch.CreateContact != nil:
		return impound.Errorf(impound.KindRefused, "a %s is not asked for this by %s: %s", c.Role, c.Kind, strings.Join(ch.Lines(), "; "))
	}
	if r := ch.Renew; r != nil {
		if err := r.check(ch.Name); err != nil {
			return err
		}
	}
	for _, s := range ch.AddStatus {
		if !slices.Contains(c.Locks, s) && !slices.Contains(c.Holds, s) {
			return impound.Errorf(impound.KindRefused, "a %s can't set %s", c.Role, fmt.Sprintf("%.40q", s))
		}
	}
	return nil
}

const hostActs = "no act that an order can hold is a host's to do; they are about the registration of names, not about what is served under them"
