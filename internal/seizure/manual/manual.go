// Package manual asks a person of ours to have an order carried out where no
// program reaches: by a web form, a telephone call, a letter on paper.
//
// What lives here: the task's words (what, at whom, by when, how it is checked)
// and handing it out once. What must not: believing that it was done. Whoever
// says so is recorded with the task; the engine goes by what it sees.
package manual

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

// Task is what somebody is to do.
type Task struct {
	Ref   string // of the letter: the same task is given once
	Case  string
	Title string
	Owner string // person id
	Due   time.Time
	By    string // who applied the plan
}

// Config is how one provider is reached by hand.
type Config struct {
	Provider string
	Role     string // "registry" | "registrar"
	Name     string // its own name
	How      string // where to go: a form's address, a number
	Owner    string // who does it, by person id
	Due      time.Duration
	Policy   seizure.AskPolicy // each reminder is another task; Resend is set: giving a task twice gives it once

	// Give hands the task out and gives its id. A Ref that was given before gives
	// the same id and changes nothing. An *impound.Error says that nothing was
	// given; after any other nobody knows.
	Give    func(ctx context.Context, t Task) (id string, err error)
	Observe seizure.Observer
	Now     func() time.Time
}

// Connector gives tasks for one provider. It keeps no state and is safe for
// concurrent use.
type Connector struct{ cfg Config }

var _ seizure.Asker = (*Connector)(nil)

// New makes the connector.
func New(cfg Config) (*Connector, error) {
	if cfg.Provider == "" || cfg.Role != "registry" && cfg.Role != "registrar" || cfg.Owner == "" || cfg.Give == nil || cfg.Observe == nil {
		return nil, impound.Errorf(impound.KindInvalid, "a provider that is reached by hand needs an id, a role, and somebody who does it").At("provider " + cfg.Provider).WithCure("fill in provider, role and owner")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Due == 0 {
		cfg.Due = 72 * time.Hour
	}
	cfg.Policy.Resend = true
	return &Connector{cfg}, nil
}

// Provider gives the id.
func (c *Connector) Provider() string { return c.cfg.Provider }

// Policy says how the person is reminded.
func (c *Connector) Policy() seizure.AskPolicy { return c.cfg.Policy }

// Capabilities says that it asks.
func (c *Connector) Capabilities() seizure.Capabilities {
	return seizure.AskCapabilities("manual", c.cfg.Role, false)
}

// Info looks from outside: there is nobody to query.
func (c *Connector) Info(ctx context.Context, n impound.Name) (seizure.RegistryView, error) {
	return seizure.LookOutside(ctx, c.cfg.Observe, n)
}

// Host is true: making the host objects is part of the task.
func (c *Connector) Host(context.Context, impound.Name) (bool, error) { return true, nil }

// Poll gives nothing.
func (c *Connector) Poll(context.Context, func(seizure.Message) error) error { return nil }

// Close does nothing.
func (c *Connector) Close() error { return nil }

// Do gives a task for one change; the engine gives one for many.
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

const minute = "2006-01-02 15:04 UTC"

// Compose writes the task down.
func (c *Connector) Compose(_ context.Context, r seizure.Request) (seizure.Letter, error) {
	if len(r.Changes) == 0 {
		return seizure.Letter{}, impound.Errorf(impound.KindInternal, "a task that asks for nothing")
	}
	who := c.cfg.Name
	if who == "" {
		who = c.cfg.Provider
	}
	l := seizure.Letter{Request: r, Ref: "task for " + r.ID, To: []string{c.cfg.Owner}, Media: "text/plain"}
	what := "carry out order " + r.Order
	if r.Revert {
		what = "undo what was done under order " + r.Order
	}
	if r.Release != "" {
		what = "let names go (" + r.Release + ") by the return clause of order " + r.Order
	}
	again := ""
	if r.Kind == seizure.LetterReminder {
		again = fmt.Sprintf("reminder %d: ", r.No)
	}
	l.Subject = fmt.Sprintf("%shave %s %s for %d names by %s; see impound seize letter %s", again, who, what, len(r.Changes), r.At.Add(c.cfg.Due).UTC().Format(minute), r.ID)
	var b strings.Builder
	fmt.Fprintf(&b, "Have %s %s.\n\n  letter    %s\n  order     %s\n  plan      %s\n  until     %s\n", who, what, r.ID, r.Order, r.Plan, r.At.Add(c.cfg.Due).UTC().Format(minute))
	if c.cfg.How != "" {
		fmt.Fprintf(&b, "  how       %s\n", c.cfg.How)
	}
	if r.Kind == seizure.LetterReminder {
		fmt.Fprintf(&b, "\nReminder %d of letter %s of %s: what it asks for does not show yet.\n", r.No, r.Of, r.Asked.UTC().Format(minute))
	}
	b.WriteString("\nExactly this, and nothing else:\n")
	for _, ch := range r.Changes {
		fmt.Fprintf(&b, "\n  %s\n", ch.Name.Defanged())
		for _, s := range ch.Lines() {
			b.WriteString("    " + s + "\n")
		}
	}
	b.WriteString("\nA lock that stands in the way is lifted for the change and put back.\n\n" +
		"When you have had it done, say so: impound case task done CASE TASK --as YOU\n" +
		"That is recorded with your name and the time, and makes nothing done: the\n" +
		"parent zone, RDAP and the resolvers are looked at, and they decide. File what\n" +
		"they answered: impound seize answer " + r.ID + " FILE\n")
	l.Body = []byte(b.String())
	return l, nil
}

// Ask hands the task out.
func (c *Connector) Ask(ctx context.Context, permits []impound.Permit, l seizure.Letter, commit func() error) (seizure.Answer, error) {
	if len(l.Request.Changes) == 0 {
		return seizure.Answer{}, impound.Errorf(impound.KindInvalid, "a task that asks for nothing")
	}
	for _, ch := range l.Request.Changes {
		if err := ch.Permitted(permits, c.cfg.Now()); err != nil {
			return seizure.Answer{}, err
		}
		if err := c.Capabilities().Asked(ch); err != nil {
			return seizure.Answer{}, err
		}
	}
	if err := commit(); err != nil {
		return seizure.Answer{}, err
	}
	id, err := c.cfg.Give(ctx, Task{Ref: l.Request.ID, Case: l.Request.Case, Title: l.Subject, Owner: l.To[0], Due: l.Request.At.Add(c.cfg.Due), By: l.Request.By})
	if err != nil {
		if e := new(impound.Error); !errors.As(err, &e) {
			err = fmt.Errorf("%w: %w", seizure.ErrUnknownOutcome, err)
		}
		// Giving it again gives the same task, so it may be tried again either way.
		return seizure.Answer{}, &impound.Error{Kind: impound.KindUnavailable, Where: "provider " + c.cfg.Provider, Msg: "couldn't give the task", Err: err}
	}
	return seizure.Answer{Text: "task " + id + " was given to " + l.To[0], Ref: "task " + l.Request.Case + "/" + id, Pending: true}, nil
}
