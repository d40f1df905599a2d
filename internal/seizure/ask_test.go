package seizure_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/store"
)

// post is a provider that is asked by letter. Its names change when obey is
// called, not before.
type post struct {
	*provider
	policy  seizure.AskPolicy
	compose func(r seizure.Request) error
	fail    func(l seizure.Letter) error // before the point of no return
	answer  func(l seizure.Letter) error // after it; the letter was taken unless it is a refusal

	pmu   sync.Mutex
	taken []seizure.Letter
}

func (p *post) Capabilities() seizure.Capabilities {
	c := p.provider.Capabilities()
	c.Kind, c.Asks = "mail", true
	return c
}
func (p *post) Policy() seizure.AskPolicy                               { return p.policy }
func (p *post) Host(context.Context, impound.Name) (bool, error)        { return true, nil }
func (p *post) Poll(context.Context, func(seizure.Message) error) error { return nil }
func (p *post) Compose(_ context.Context, r seizure.Request) (seizure.Letter, error) {
	if p.compose != nil {
		if err := p.compose(r); err != nil {
			return seizure.Letter{}, err
		}
	}
	var b strings.Builder
	for _, c := range r.Changes {
		fmt.Fprintf(&b, "%s: %s\n", c.Name.Defanged(), strings.Join(c.Lines(), "; "))
	}
	return seizure.Letter{Ref: "<" + r.ID + "@test>", To: []string{"desk@reg.test"}, Subject: r.Kind, Media: "message/rfc822", Body: []byte(b.String() + p.w.now().String())}, nil
}

func (p *post) Ask(_ context.Context, permits []impound.Permit, l seizure.Letter, commit func() error) (seizure.Answer, error) {
	for _, c := range l.Request.Changes {
		if err := c.Permitted(permits, p.w.now()); err != nil {
			return seizure.Answer{}, err
		}
	}
	if p.fail != nil {
		if err := p.fail(l); err != nil {
			return seizure.Answer{}, err
		}
	}
	if err := commit(); err != nil {
		return seizure.Answer{}, err
	}
	a := seizure.Answer{Text: "250 queued as 1", Ref: l.Ref, Pending: true, Frames: []seizure.Frame{{Dir: "received", At: p.w.now(), Body: []byte("250 queued"), Media: "text/plain"}}}
	if p.answer != nil {
		if err := p.answer(l); err != nil {
			if impound.KindOf(err) != impound.KindRefused {
				p.take(l)
			}
			return seizure.Answer{}, err
		}
	}
	p.take(l)
	return a, nil
}

func (p *post) take(l seizure.Letter) {
	p.pmu.Lock()
	defer p.pmu.Unlock()
	p.taken = append(p.taken, l)
}

// obey does what was asked for names, all where none is given.
func (p *post) obey(names ...impound.Name) {
	p.provider.mu.Lock()
	defer p.provider.mu.Unlock()
	for _, l := range p.taken {
		for _, c := range l.Request.Changes {
			v := p.names[c.Name]
			if len(names) > 0 && !slices.Contains(names, c.Name) {
				continue
			}
			v.NS = append(slices.DeleteFunc(slices.Clone(v.NS), func(x impound.Name) bool { return slices.Contains(c.RemNS, x) || slices.Contains(c.AddNS, x) }), c.AddNS...)
			for _, s := range c.AddStatus {
				if !slices.Contains(v.Status, s) {
					v.Status = append(v.Status, s)
				}
			}
			if c.RemAllDS {
				v.DS = nil
			}
			v.DS = append(v.DS, c.BackDS...)
		}
	}
}

func newPost(t *testing.T) (*world, *post) {
	w := newWorld(t)
	w.authorize(w.order())
	return w, &post{provider: w.prov}
}

func (p *post) config(c *seizure.Config) { c.Connectors = map[string]seizure.Connector{"reg": p} }

func (w *world) after(d time.Duration) { w.mu.Lock(); w.clock = w.clock.Add(d); w.mu.Unlock() }

func outcomes(t *testing.T, r seizure.Result, want string) {
	t.Helper()
	for _, x := range r.Names {
		if x.Outcome != want {
			t.Errorf("%s: %s (%s), want %s", x.Name.Defanged(), x.Outcome, x.Msg, want)
		}
	}
}

func TestAskedIsNotDone(t *testing.T) {
	w, p := newPost(t)
	e := w.engine(p.config)
	plan := w.planned(e, "anna", "bert")
	if s := plan.String(); !strings.Contains(s, "asked by mail") {
		t.Errorf("the plan does not say that it asks:\n%s", s)
	}
	r, err := e.Apply(t.Context(), plan.ID)
	if impound.KindOf(err) != impound.KindPartial {
		t.Fatalf("apply: %v", err)
	}
	outcomes(t, r, seizure.Asked)
	// Again, and by somebody's word: nothing more is sent, and nothing is done.
	if r, _ = e.Apply(t.Context(), plan.ID); len(p.taken) != 1 {
		t.Fatalf("%d letters went, want 1", len(p.taken))
	}
	outcomes(t, r, seizure.Asked)
	l := p.taken[0]
	if n := len(l.Request.Changes); n != len(w.names) || l.Request.Order != "TEST-1" {
		t.Errorf("the letter asks for %d names of order %q", n, l.Request.Order)
	}
	if _, err := e.Reply(t.Context(), l.Request.ID, seizure.LetterReply{Kind: "note", Text: "they say it is done"}); err != nil {
		t.Fatal(err)
	}
	r, err = e.Follow(t.Context(), w.mandate)
	if err != nil {
		t.Fatal(err)
	}
	outcomes(t, r, seizure.Asked)
	// A second plan does not ask again for what is waited for.
	if p2, err := e.Plan(t.Context(), w.mandate); err != nil || !strings.Contains(p2.Names[0].Blocked, l.Request.ID) {
		t.Errorf("a second plan would ask again: %v %+v", err, p2.Names[0])
	}
	p.obey(w.names[0])
	if r, err = e.Follow(t.Context(), w.mandate); err != nil || r.Count(seizure.Done) != 1 || r.Count(seizure.Asked) != len(w.names)-1 {
		t.Fatalf("one name was done: %v %+v", err, r.Names)
	}
	// Half done, as a registry on its way leaves it, is asked still.
	w.prov.names[w.names[1]].Status = []string{"clientTransferProhibited"}
	if r, err = e.Follow(t.Context(), w.mandate); err != nil || r.Count(seizure.Asked) != len(w.names)-1 {
		t.Fatalf("one name is half done: %v %+v", err, r.Names)
	}
	p.obey()
	w.wantDone(e.Follow(t.Context(), w.mandate))
	ls, err := e.Letters(t.Context(), "TEST-1")
	if err != nil || len(ls) != 1 || ls[0].State != seizure.LetterDone || len(ls[0].Open) != 0 {
		t.Errorf("letters %+v, %v", ls, err)
	}
	w.wantDone(e.Apply(t.Context(), plan.ID))
	if n := len(p.taken); n != 1 {
		t.Errorf("%d letters went, want 1", n)
	}
	// The actor gets a name back: the plan is not silently done.
	w.prov.names[w.names[2]].NS = ns("ns1.actor.test")
	if r, _ = e.Apply(t.Context(), plan.ID); r.Count(seizure.Stale) != 1 {
		t.Errorf("a name that was taken back: %+v", r.Names)
	}
}

func TestAskKeepsTheLaws(t *testing.T) {
	w, p := newPost(t)
	e := w.engine(p.config)
	plan := w.planned(e, "anna")
	if _, err := e.Apply(t.Context(), plan.ID); impound.KindOf(err) != impound.KindRefused || len(p.taken) != 0 {
		t.Fatalf("one approval: %v, %d letters", err, len(p.taken))
	}
	if _, err := e.Approve(t.Context(), plan.ID, w.sign(plan, "bert")); err != nil {
		t.Fatal(err)
	}
	// A gate blocks one name after the approvals: the letter leaves it out.
	w.block[w.names[3]] = string(impound.GateBlock)
	r, _ := e.Apply(t.Context(), plan.ID)
	if r.Count(seizure.Asked) != 3 || r.Count(seizure.Blocked) != 1 || len(p.taken) != 1 || slices.Contains(names(p.taken[0]), w.names[3]) {
		t.Fatalf("a blocked name: %+v", r.Names)
	}
	// It is let through: it alone is asked for.
	delete(w.block, w.names[3])
	if _, err := e.Apply(t.Context(), plan.ID); len(p.taken) != 2 || !slices.Equal(names(p.taken[1]), w.names[3:]) {
		t.Fatalf("let through: %v, %d letters", err, len(p.taken))
	}
	// When the order has lapsed between the letter and its sending, it is kept.
	w2, p2 := newPost(t)
	p2.compose = func(seizure.Request) error { w2.after(366 * 24 * time.Hour); return nil }
	e2 := w2.engine(p2.config)
	r, err := e2.Apply(t.Context(), w2.planned(e2, "anna", "bert").ID)
	outcomes(t, r, seizure.Refused)
	if len(p2.taken) != 0 || impound.KindOf(err) != impound.KindRefused {
		t.Fatalf("a lapsed order: %v, %d letters", err, len(p2.taken))
	}
	// A reminder needs the order in force too.
	w3, p3 := newPost(t)
	p3.policy.Remind = []time.Duration{time.Hour}
	e3 := w3.engine(p3.config)
	if _, err := e3.Apply(t.Context(), w3.planned(e3, "anna", "bert").ID); impound.KindOf(err) != impound.KindPartial {
		t.Fatal(err)
	}
	w3.after(366 * 24 * time.Hour)
	if _, err := e3.Follow(t.Context(), w3.mandate); err != nil || len(p3.taken) != 1 {
		t.Fatalf("a lapsed order was reminded of: %v, %d letters", err, len(p3.taken))
	}
}

func names(l seizure.Letter) (out []impound.Name) {
	for _, c := range l.Request.Changes {
		out = append(out, c.Name)
	}
	return out
}

func TestRemindersByAClock(t *testing.T) {
	w, p := newPost(t)
	p.policy.Remind = []time.Duration{72 * time.Hour, 48 * time.Hour}
	e := w.engine(p.config)
	if _, err := e.Apply(t.Context(), w.planned(e, "anna", "bert").ID); impound.KindOf(err) != impound.KindPartial {
		t.Fatal(err)
	}
	step := func(d time.Duration, want int) {
		t.Helper()
		w.after(d)
		if _, err := e.Follow(t.Context(), w.mandate); err != nil {
			t.Fatal(err)
		}
		if len(p.taken) != want {
			t.Fatalf("after %s there are %d letters, want %d", d, len(p.taken), want)
		}
	}
	step(71*time.Hour, 1)
	p.obey(w.names[0])
	step(2*time.Hour, 2)
	l := p.taken[1]
	if l.Request.Kind != seizure.LetterReminder || l.Request.No != 1 || l.Request.Reply != p.taken[0].Ref || slices.Contains(names(l), w.names[0]) || len(l.Request.Changes) != 3 {
		t.Errorf("the reminder: %+v", l.Request)
	}
	step(time.Minute, 2)
	// An answer stills the clock for as long as a letter does.
	if _, err := e.Reply(t.Context(), p.taken[0].Request.ID, seizure.LetterReply{Kind: "reply", At: w.now().Add(47 * time.Hour), Text: "soon"}); err != nil {
		t.Fatal(err)
	}
	w.after(24 * time.Hour)
	if _, err := e.Reply(t.Context(), p.taken[1].Request.ID, seizure.LetterReply{Kind: "reply", Text: "tomorrow"}); err != nil {
		t.Fatal(err)
	}
	step(47*time.Hour, 2)
	step(2*time.Hour, 3)
	step(1000*time.Hour, 3) // only as many as configured
	if _, err := e.SettleLetter(t.Context(), p.taken[0].Request.ID, seizure.SettleClose, "the registry went out of business"); err != nil {
		t.Fatal(err)
	}
	if r, err := e.Follow(t.Context(), w.mandate); err != nil || len(r.Names) != 0 {
		t.Errorf("a closed letter is followed: %v %+v", err, r.Names)
	}
}

func TestRefusedAndBusy(t *testing.T) {
	w, p := newPost(t)
	n := 0
	p.fail = func(seizure.Letter) error {
		if n++; n < 3 {
			return errBusy
		}
		return nil
	}
	e := w.engine(p.config)
	plan := w.planned(e, "anna", "bert")
	r, _ := e.Apply(t.Context(), plan.ID)
	outcomes(t, r, seizure.Asked)
	if len(p.taken) != 1 || n != 3 {
		t.Fatalf("%d letters after %d tries", len(p.taken), n)
	}

	w, p = newPost(t)
	p.answer = func(seizure.Letter) error { return impound.Errorf(impound.KindRefused, "550 no such user") }
	e = w.engine(p.config)
	plan = w.planned(e, "anna", "bert")
	r, err := e.Apply(t.Context(), plan.ID)
	outcomes(t, r, seizure.Failed)
	if err == nil || len(p.taken) != 0 {
		t.Fatalf("%v", err)
	}
	// It was certainly not taken: a new letter may go.
	p.answer = nil
	if r, _ = e.Apply(t.Context(), plan.ID); len(p.taken) != 1 {
		t.Fatalf("after a refusal: %+v", r.Names)
	}
	outcomes(t, r, seizure.Asked)
}

func TestUnknownOutcomeIsAskedOfAPerson(t *testing.T) {
	for _, how := range []string{seizure.SettleTaken, seizure.SettleNotTaken, "resend"} {
		t.Run(how, func(t *testing.T) {
			w, p := newPost(t)
			p.policy.Resend = how == "resend"
			lost := true
			p.answer = func(seizure.Letter) error {
				if lost {
					lost = false
					return errLost
				}
				return nil
			}
			e := w.engine(p.config)
			plan := w.planned(e, "anna", "bert")
			r, err := e.Apply(t.Context(), plan.ID)
			if how == "resend" {
				outcomes(t, r, seizure.Asked)
				if len(p.taken) != 2 || p.taken[0].Ref != p.taken[1].Ref || string(p.taken[0].Body) != string(p.taken[1].Body) {
					t.Fatalf("%d letters, want the same one twice", len(p.taken))
				}
				return
			}
			outcomes(t, r, seizure.Failed)
			for range 3 {
				r, err = e.Apply(t.Context(), plan.ID)
				outcomes(t, r, seizure.Failed)
			}
			if len(p.taken) != 1 || !strings.Contains(r.Names[0].Msg, "nobody knows") {
				t.Fatalf("%d letters, %v", len(p.taken), err)
			}
			id := p.taken[0].Request.ID
			if l, err := e.SettleLetter(t.Context(), id, how, "the server's log says so"); err != nil || l.State == seizure.LetterUnsure {
				t.Fatalf("%+v %v", l, err)
			}
			if _, err := e.SettleLetter(t.Context(), id, how, "again"); impound.KindOf(err) != impound.KindConflict {
				t.Errorf("settled twice: %v", err)
			}
			r, _ = e.Apply(t.Context(), plan.ID)
			outcomes(t, r, seizure.Asked)
			if want := map[string]int{seizure.SettleTaken: 1, seizure.SettleNotTaken: 2}[how]; len(p.taken) != want {
				t.Errorf("%d letters, want %d", len(p.taken), want)
			}
		})
	}
}

// TestDeathAtEachWrite lets the process die at each write to the log or the
// store, and then go on: no letter goes twice, and none is forgotten.
func TestDeathAtEachWrite(t *testing.T) {
	t.Parallel()
	unsure := 0
	for at := 1; ; at++ {
		w, p := newPost(t)
		mem := &memory{entries: map[string]impound.Entry{}, docs: map[string]store.Doc{}, bodies: map[string][]byte{}}
		eng := func() *seizure.Engine {
			return w.engine(p.config, func(c *seizure.Config) { c.Store, c.Evidence = mem, mem })
		}
		plan := w.planned(eng(), "anna", "bert")
		mem.dieAt = at
		_, _ = eng().Apply(t.Context(), plan.ID)
		died := mem.dead
		mem.dead, mem.dieAt = false, 0
		w.after(time.Hour) // the lease of the dead
		r, _ := eng().Apply(t.Context(), plan.ID)
		if r.Count(seizure.Failed) == len(w.names) {
			unsure++
			if len(p.taken) > 1 {
				t.Fatalf("died at write %d: %d letters went", at, len(p.taken))
			}
			ls, err := eng().Letters(t.Context(), "TEST-1")
			if err != nil || len(ls) != 1 {
				t.Fatalf("died at write %d: %v %+v %+v", at, err, ls, r.Names)
			}
			how := seizure.SettleNotTaken
			if len(p.taken) == 1 {
				how = seizure.SettleTaken
			}
			if _, err := eng().SettleLetter(t.Context(), ls[0].ID, how, "looked"); err != nil {
				t.Fatalf("died at write %d: %v", at, err)
			}
			r, _ = eng().Apply(t.Context(), plan.ID)
		}
		outcomes(t, r, seizure.Asked)
		if len(p.taken) != 1 {
			t.Fatalf("died at write %d: %d letters went, want 1", at, len(p.taken))
		}
		p.obey()
		w.wantDone(eng().Follow(t.Context(), w.mandate))
		if t.Failed() {
			t.Fatalf("died at write %d", at)
		}
		if !died {
			if at < 10 || unsure == 0 || unsure > 3 {
				t.Errorf("%d writes, of which %d left it unknown whether the letter went", at, unsure)
			}
			t.Logf("%d writes, of which %d left it unknown whether the letter went", at, unsure)
			return
		}
	}
}
