package seizure

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// AskPolicy is how a provider that is asked is treated while it is waited for.
type AskPolicy struct {
	// Remind is how long after the last letter, or answer, each reminder goes.
	Remind []time.Duration
	// Resend says that a letter of which nobody knows whether it was taken is
	// handed over again, the very same: its receiver tells the two apart by
	// their reference. Without it a person finds out: see [Engine.SettleLetter].
	Resend bool
}

// What a letter has come to.
const (
	LetterComposed = "composed" // written, and certainly not handed over
	LetterUnsure   = "unsure"   // it may have been taken, or not: nobody knows yet
	LetterSent     = "sent"     // taken, and waited for
	LetterRefused  = "refused"  // not taken, for good
	LetterVoid     = "void"     // written, never sent, and no longer what is to be asked
	LetterDone     = "done"     // every name of it is as ordered
	LetterClosed   = "closed"   // somebody gave up waiting
)

// LetterInfo is the newest word on a letter, for pages and lists. The evidence
// log is the proof, and what execution goes by.
type LetterInfo struct {
	ID        string         `json:"id"`
	Kind      string         `json:"kind"`
	No        int            `json:"no,omitempty"`
	Of        string         `json:"of,omitempty"` // of a reminder: the request's id
	Order     string         `json:"order"`
	Case      string         `json:"case,omitempty"`
	Plan      string         `json:"plan"`
	Provider  string         `json:"provider"`
	Via       string         `json:"via"` // "mail" | "manual"
	Ref       string         `json:"ref,omitempty"`
	To        []string       `json:"to,omitempty"`
	Subject   string         `json:"subject,omitempty"`
	Names     []impound.Name `json:"names"`
	State     string         `json:"state"`
	Made      time.Time      `json:"made"`
	Sent      time.Time      `json:"sent,omitzero"`
	Last      time.Time      `json:"last,omitzero"` // when the newest letter or answer of it was
	Answer    string         `json:"answer,omitempty"`
	Reminders int            `json:"reminders,omitempty"`
	Next      time.Time      `json:"next,omitzero"` // when the next reminder is due
	Body      string         `json:"body"`          // hash of what was handed over
	Replies   []LetterReply  `json:"replies,omitempty"`
	Open      []impound.Name `json:"open,omitempty"` // not as ordered when last looked at
}

// LetterReply is something that came back.
type LetterReply struct {
	Kind     string    `json:"kind"` // "reply" | "delivered" | "delayed" | "failed" | "note"
	At       time.Time `json:"at"`
	By       string    `json:"by"`
	Artefact string    `json:"artefact,omitempty"`
	Original string    `json:"original,omitempty"` // hash of what came, where the artefact is sealed
	Text     string    `json:"text,omitempty"`
}

const docLetter = "seize-letter"

// letterID is the same for the same letter in every run.
func letterID(hash, provider, kind string, no, try int) string {
	return "L-" + strings.TrimPrefix(impound.HashBytes(fmt.Appendf(nil, "%s\n%s\n%s\n%d\n%d\n", hash, provider, kind, no, try)), "sha256:")[:16]
}

func letterEntry(id, part string) string { return "seize/letter/" + id + "/" + part }

// letterState is what the evidence log proves of a letter.
type letterState struct {
	state    string // "" when there is none
	composed impound.Entry
	sent     impound.Entry
	try      int // the number of the handing over that is under way or comes next
}

func (e *Engine) letterState(id string) (st letterState, err error) {
	get := func(part string) (x impound.Entry) {
		if err == nil {
			if x, _, err = e.cfg.Evidence.Entry(letterEntry(id, part)); err != nil {
				err = fmt.Errorf("couldn't read the evidence log: %w", err)
			}
		}
		return x
	}
	st.composed, st.sent = get("composed"), get("sent")
	for st.try = 1; get(fmt.Sprintf("try/%d", st.try)).ID != ""; st.try++ {
	}
	switch {
	case err != nil:
	case st.composed.ID == "":
	case get("closed").ID != "":
		st.state = LetterClosed
	case st.sent.ID != "":
		st.state = LetterSent
	case get("refused").ID != "":
		st.state = LetterRefused
	case get("void").ID != "":
		st.state = LetterVoid
	case get(fmt.Sprintf("commit/%d", st.try)).ID != "":
		st.state = LetterUnsure
	default:
		st.state = LetterComposed
	}
	return st, err
}

// letter reads a composed letter back, and proves that it is what was composed.
func (e *Engine) letter(composed impound.Entry) (Letter, error) {
	var l Letter
	head, err := e.cfg.Evidence.Read(composed.Detail["letter"])
	if err == nil {
		err = json.Unmarshal(head, &l)
	}
	if err == nil {
		l.Body, err = e.cfg.Evidence.Read(composed.Detail["body"])
	}
	if err != nil {
		return l, fmt.Errorf("couldn't read letter %s back: %w", composed.Detail["id"], err)
	}
	return l, nil
}

// applyAsked brings the names of p at a provider about that is asked: one letter
// for all that have not been asked for.
func (e *Engine) applyAsked(ctx context.Context, base job, a Asker, out []NameResult) {
	p, keep := base.p, context.WithoutCancel(ctx)
	ready := map[impound.Name]int{}
	for i, np := range p.Names {
		if np.Provider != a.Provider() || np.Blocked != "" || ctx.Err() != nil {
			continue
		}
		if len(np.Steps) == 0 {
			out[i] = e.applyName(ctx, base, np, nil)
			continue
		}
		j := base.asking(np)
		r, open := e.lookAsked(ctx, &j, np, true)
		out[i] = r
		if open {
			ready[np.Name] = i
		}
	}
	set := func(names []impound.Name, outcome, msg string, err error) {
		for _, n := range names {
			if i, ok := ready[n]; ok {
				out[i] = NameResult{Name: n, Provider: a.Provider(), Outcome: outcome, Msg: msg, err: err}
				delete(ready, n)
			}
		}
	}
	rest := func() []impound.Name {
		var ns []impound.Name
		for _, np := range p.Names {
			if _, ok := ready[np.Name]; ok {
				ns = append(ns, np.Name)
			}
		}
		return ns
	}
	for try := 1; len(ready) > 0 && try < 1000; try++ {
		id := letterID(base.hash, a.Provider(), LetterRequest, 0, try)
		st, err := e.letterState(id)
		if err != nil {
			set(rest(), Failed, err.Error(), err)
			break
		}
		var l Letter
		switch st.state {
		case LetterRefused, LetterVoid, LetterClosed:
			continue
		case "":
			if ctx.Err() != nil {
				set(rest(), Skipped, errDrained.Error(), errDrained)
				continue
			}
			var cs []Change
			for _, n := range rest() {
				cs = append(cs, p.Names[ready[n]].Steps[0].Change)
			}
			if l, st, err = e.compose(ctx, a, p, Request{ID: id, Kind: LetterRequest, Changes: cs}); err != nil {
				set(rest(), Failed, err.Error(), err)
				continue
			}
		default:
			if l, err = e.letter(st.composed); err != nil {
				set(rest(), Failed, err.Error(), err)
				continue
			}
		}
		names := l.names()
		if st.state == LetterComposed && len(without(names, rest())) > 0 {
			// It asks for a name that is not to be asked for any more.
			if err := e.noteLetter(keep, &l, "void", LetterVoid, "it is no longer what is to be asked", nil); err != nil {
				set(rest(), Failed, err.Error(), err)
			}
			continue
		}
		jobs := make([]job, 0, len(names))
		for _, np := range p.Names {
			// What was taken was taken for all of its names.
			if _, ok := ready[np.Name]; (ok || st.state == LetterSent) && slices.Contains(names, np.Name) && len(np.Steps) > 0 {
				jobs = append(jobs, base.asking(np))
			}
		}
		outcome, msg, err := e.handOver(ctx, a, &l, st, jobs)
		set(names, outcome, msg, err)
	}
	for i, np := range p.Names {
		if np.Provider == a.Provider() && np.Blocked == "" {
			e.sayEnd(p.ID, out[i])
		}
	}
}

// asking is the one step of a name at a provider that is asked.
func (j job) asking(np NamePlan) job {
	j.name, j.step, j.no, j.what, j.id = np.Name, np.Steps[0], 0, updateWhat, stepID(j.hash, np.Name, updateWhat, 0)
	return j
}

func (l *Letter) names() []impound.Name {
	var out []impound.Name
	for _, c := range l.Request.Changes {
		out = append(out, c.Name)
	}
	return out
}

// lookAsked says how a name stands, and whether it is to be asked for: only
// where it was not yet, the gates let it through, and it is as the plan found
// it. gated leaves the gates and that comparison out.
func (e *Engine) lookAsked(ctx context.Context, j *job, np NamePlan, gated bool) (NameResult, bool) {
	keep := context.WithoutCancel(ctx)
	r := NameResult{Name: np.Name, Provider: np.Provider}
	fail := func(outcome string, err error) (NameResult, bool) {
		r.Outcome, r.Msg, r.err = outcome, err.Error(), err
		return r, false
	}
	result, _, err := e.cfg.Evidence.Entry(j.entry("result"))
	if err != nil {
		return fail(Failed, fmt.Errorf("couldn't read the evidence log: %w", err))
	}
	asked, _, err := e.cfg.Evidence.Entry(j.entry("pending/1"))
	if err != nil {
		return fail(Failed, fmt.Errorf("couldn't read the evidence log: %w", err))
	}
	if asked.ID == "" && gated {
		vs, why := e.check(ctx, j.m, np)
		if why != "" {
			return fail(Blocked, impound.Errorf(impound.KindRefused, "%s", why))
		}
		j.gates = gateWords(vs)
	}
	acts, _ := j.m.Acts(np.Name)
	v, err := e.lookAt(ctx, j.conn, j.p.Case, j.p.Order, np.Name)
	s := v.State()
	sight := strings.Join(np.Steps[0].Lines, "; ")
	switch {
	case err != nil && asked.ID != "" && result.ID == "":
		r.Outcome, r.Msg = Asked, "asked; now it could not be seen: "+err.Error()
		return r, false
	case err != nil:
		return fail(Failed, fmt.Errorf("couldn't look at it: %w", err))
	case np.reached(acts, s) && np.renewed(v):
		words := "found done: it is as " + j.p.wanted()
		if asked.ID != "" {
			words = "asked, then seen: it is as " + j.p.wanted()
		}
		if result.ID == "" {
			if r.Outcome, err = e.record(keep, j, Done, words, nil); err != nil {
				return fail(Failed, err)
			}
		}
		r.Outcome, r.Msg = Done, sight
		return r, false
	case result.ID != "":
		return fail(Stale, impound.Errorf(impound.KindConflict, "this plan did it earlier, and it has changed since: %s", s.diff(np.Former.after(np.Steps[0].Change))).WithCure(j.p.again()))
	case asked.ID != "" && (!s.Exists || s.ID != np.Former.ID):
		return fail(Stale, impound.Errorf(impound.KindConflict, "it was asked for, and now it is another registration or none").WithCure(j.p.again()))
	case asked.ID != "":
		r.Outcome, r.Msg = Asked, "asked on "+asked.At.UTC().Format(time.DateTime)+" UTC by letter "+asked.Detail["letter"]+"; not as "+j.p.wanted()+" yet"
		if !s.Equal(np.Former) {
			r.Msg += ": " + s.diff(np.Former)
		}
		return r, false
	case v.Pending():
		return fail(Stale, impound.Errorf(impound.KindConflict, "somebody else's change of it is pending at the registry").WithCure("wait for it, then plan again"))
	case np.Renew != nil && v.endsOn() != np.Renew.Ends:
		return fail(Stale, impound.Errorf(impound.KindConflict, "it is no longer as the plan says: its registration ends %s, and did %s", v.endsOn(), np.Renew.Ends).WithCure(j.p.again()))
	case !s.Equal(np.Former):
		return fail(Stale, impound.Errorf(impound.KindConflict, "it is no longer as the plan says: %s", s.diff(np.Former)).WithCure(j.p.again()))
	}
	return r, true
}

// compose has a letter written and keeps it, before anybody could be given it.
func (e *Engine) compose(ctx context.Context, a Asker, p *Plan, r Request) (Letter, letterState, error) {
	keep := context.WithoutCancel(ctx)
	r.Provider, r.Plan, r.Order, r.Case, r.By, r.At = a.Provider(), p.ID, p.Order, p.Case, e.cfg.By, e.now().Truncate(time.Second)
	r.Revert, r.Release = p.Revert, p.Release
	l, err := a.Compose(ctx, r)
	if err != nil {
		return l, letterState{}, fmt.Errorf("couldn't write to %s: %w", a.Provider(), err)
	}
	l.Request = r
	head, err := json.Marshal(l)
	if err != nil {
		return l, letterState{}, impound.Errorf(impound.KindInternal, "couldn't encode a letter: %w", err)
	}
	art := impound.Artefact{Kind: "letter", Media: l.Media, Case: r.Case, Source: "letter " + r.ID + " to " + r.Provider, Tool: Tool, By: r.By, At: r.At}
	body, err := e.cfg.Evidence.Capture(keep, art, l.Body)
	if err != nil {
		return l, letterState{}, fmt.Errorf("couldn't keep a letter as evidence: %w", err)
	}
	art.Kind, art.Media = "letter-request", "application/json"
	req, err := e.cfg.Evidence.Capture(keep, art, head)
	if err != nil {
		return l, letterState{}, fmt.Errorf("couldn't keep a letter as evidence: %w", err)
	}
	crash("composed-kept")
	x := impound.Entry{
		ID: letterEntry(r.ID, "composed"), Type: impound.EntryIntent, At: r.At, By: r.By, What: "seize.letter", Case: r.Case, Order: r.Order,
		Detail: map[string]string{"id": r.ID, "kind": r.Kind, "plan": r.Plan, "provider": r.Provider, "letter": req.Hash, "body": body.Hash, "ref": l.Ref, "to": clip(strings.Join(l.To, " ")), "names": fmt.Sprint(len(r.Changes)), "via": a.Capabilities().Kind},
	}
	if _, err = e.cfg.Evidence.Append(keep, x); err != nil {
		return l, letterState{}, fmt.Errorf("couldn't record a letter, it was not sent: %w", err)
	}
	err = e.storeLetter(keep, r.ID, func(v *LetterInfo) {
		*v = LetterInfo{ID: r.ID, Kind: r.Kind, No: r.No, Of: r.Of, Order: r.Order, Case: r.Case, Plan: r.Plan, Provider: r.Provider, Via: a.Capabilities().Kind, Ref: l.Ref, To: l.To, Subject: l.Subject,
			Names: l.names(), Open: l.names(), State: LetterComposed, Made: r.At, Last: r.At, Body: body.Hash}
	})
	crash("composed")
	return l, letterState{state: LetterComposed, composed: x, try: 1}, err
}

// storeLetter changes the copy of a letter in the store.
func (e *Engine) storeLetter(ctx context.Context, id string, fn func(v *LetterInfo)) error {
	err := e.cfg.Store.Update(ctx, func(tx store.Tx) error {
		_, err := store.Modify(tx, docLetter, id, func(v *LetterInfo) (map[string]string, error) {
			fn(v)
			return map[string]string{"order": v.Order, "state": v.State, "ref": v.Ref}, nil
		})
		return err
	})
	if err != nil {
		return fmt.Errorf("couldn't store what became of letter %s (the evidence log has it): %w", id, err)
	}
	return nil
}

// noteLetter records what became of a letter; more are details, key and value
// in turn.
func (e *Engine) noteLetter(ctx context.Context, l *Letter, part, state, words string, frames []string, more ...string) error {
	r := l.Request
	d := map[string]string{"id": r.ID, "plan": r.Plan, "provider": r.Provider, "ref": l.Ref, "state": state, "answer": clip(words), "frames": strings.Join(frames, " ")}
	for i := 0; i+1 < len(more); i += 2 {
		d[more[i]] = more[i+1]
	}
	_, err := e.cfg.Evidence.Append(ctx, impound.Entry{
		ID: letterEntry(r.ID, part), Type: impound.EntryResult, At: e.now(), By: e.cfg.By, What: "seize.letter", Case: r.Case, Order: r.Order, Intent: letterEntry(r.ID, "composed"), Detail: d,
	})
	if err != nil {
		return fmt.Errorf("couldn't record what became of letter %s: %w", r.ID, err)
	}
	return e.storeLetter(ctx, r.ID, func(v *LetterInfo) {
		v.ID, v.Kind, v.No, v.Of, v.Order, v.Case, v.Plan, v.Provider, v.Ref, v.To, v.Names = r.ID, r.Kind, r.No, r.Of, r.Order, r.Case, r.Plan, r.Provider, l.Ref, l.To, l.names()
		v.State, v.Answer, v.Last = state, clip(words), e.now()
		if state == LetterSent {
			v.Sent = e.now()
		}
	})
}

// handOver gives a composed letter to its connector, and says how the names of
// jobs, which it asks for, stand then. What was taken is never handed over
// again; what may have been taken only as the policy says.
func (e *Engine) handOver(ctx context.Context, a Asker, l *Letter, st letterState, jobs []job) (outcome, msg string, err error) {
	keep := context.WithoutCancel(ctx)
	fail := func(outcome string, err error) (string, string, error) { return outcome, err.Error(), err }
	if st.state == LetterSent {
		return e.markAsked(keep, l, st.sent.Detail["ref"], st.sent.Detail["answer"], jobs)
	}
	if st.state == LetterUnsure {
		if !a.Policy().Resend || len(jobs) < len(l.Request.Changes) {
			return fail(Failed, unsure(l))
		}
		if err := e.noteLetter(keep, l, fmt.Sprintf("try/%d", st.try), LetterComposed, "nobody knows whether it was taken: it is handed over again under the same reference, as configured", nil); err != nil {
			return fail(Failed, err)
		}
		st.try++
	}
	wait := e.cfg.Backoff
	for tries := 1; ; tries++ {
		if ctx.Err() != nil {
			return fail(Skipped, errDrained)
		}
		if len(jobs) > 0 {
			if jobs[0].gate.pass(ctx, a.Provider(), func() { _, _, _ = e.allowed(ctx, &jobs[0]) }) != nil {
				return fail(Skipped, errDrained)
			}
			if err := jobs[0].lease.renew(ctx); err != nil {
				return fail(Skipped, err)
			}
		}
		var permits []impound.Permit
		for i := range jobs {
			ps, outcome, err := e.allowed(ctx, &jobs[i])
			if err != nil {
				return fail(outcome, err)
			}
			permits = append(permits, ps...)
			if jobs[i].stand != nil && l.Request.Kind == LetterRequest {
				if err := e.bornOut(ctx, &jobs[i]); err != nil {
					return fail(Stale, err)
				}
			}
		}
		if l.Request.Kind == LetterRequest {
			for i := range jobs {
				jobs[i].letter = l.Request.ID
				if err := e.intend(ctx, &jobs[i]); err != nil {
					return fail(Failed, err)
				}
			}
		}
		crash("intended")
		e.say(Event{Plan: l.Request.Plan, Provider: a.Provider(), Phase: "act", Text: fmt.Sprintf("letter %s about %d names", l.Request.ID, len(l.Request.Changes))})
		actx, cancel := context.WithTimeout(keep, letterTime)
		committed := false
		commit := func() error {
			if len(jobs) > 0 {
				if err := jobs[0].lease.renew(actx); err != nil {
					return err
				}
				for i := range jobs {
					if jobs[i].stand == nil { // a reminder
						break
					}
					if err := e.halted(keep, &jobs[i]); err != nil {
						return err
					}
				}
				jobs[0].gate.begin(a.Provider())
			}
			_, err := e.cfg.Evidence.Append(keep, impound.Entry{
				ID: letterEntry(l.Request.ID, fmt.Sprintf("commit/%d", st.try)), Type: impound.EntryIntent, At: e.now(), By: e.cfg.By, What: "seize.letter", Case: l.Request.Case, Order: l.Request.Order,
				Detail: map[string]string{"id": l.Request.ID, "provider": a.Provider(), "ref": l.Ref, "try": fmt.Sprint(st.try)},
			})
			if err != nil {
				return fmt.Errorf("couldn't record that the letter goes now, so it does not: %w", err)
			}
			committed = true
			crash("committed")
			return nil
		}
		ans, aerr := a.Ask(actx, permits, *l, commit)
		cancel()
		crash("acted")
		frames, err := e.keepFrames(keep, l.Request.Case, impound.Name{}, a.Provider(), ans.Frames, "")
		if err != nil {
			return fail(Failed, err)
		}
		if ans.Ref != "" {
			l.Ref = ans.Ref
		}
		switch {
		case aerr == nil:
			if err := e.noteLetter(keep, l, "sent", LetterSent, ans.Text, frames); err != nil {
				return fail(Failed, err)
			}
			crash("sent")
			return e.markAsked(keep, l, l.Ref, ans.Text, jobs)
		case committed && errors.Is(aerr, ErrUnknownOutcome):
			if err := e.noteLetter(keep, l, fmt.Sprintf("unsure/%d", st.try), LetterUnsure, aerr.Error(), frames); err != nil {
				return fail(Failed, err)
			}
			if !a.Policy().Resend || tries >= e.cfg.Tries || e.cfg.Sleep(ctx, wait) != nil {
				return fail(Failed, unsure(l))
			}
			if err := e.noteLetter(keep, l, fmt.Sprintf("try/%d", st.try), LetterComposed, "nobody knows whether it was taken: it is handed over again under the same reference, as configured", nil); err != nil {
				return fail(Failed, err)
			}
		case impound.KindOf(aerr) == impound.KindUnavailable || !committed:
			if err := e.noteLetter(keep, l, fmt.Sprintf("try/%d", st.try), LetterComposed, aerr.Error(), frames); err != nil {
				return fail(Failed, err)
			}
			if impound.KindOf(aerr) != impound.KindUnavailable {
				outcome := Failed
				if impound.KindOf(aerr) == impound.KindRefused {
					outcome = Refused
				}
				return fail(outcome, aerr)
			}
			if tries >= e.cfg.Tries {
				return fail(Failed, aerr)
			}
			e.say(Event{Plan: l.Request.Plan, Provider: a.Provider(), Phase: "retry", Text: aerr.Error()})
			if e.cfg.Sleep(ctx, wait) != nil {
				return fail(Failed, aerr)
			}
		default:
			if err := e.noteLetter(keep, l, "refused", LetterRefused, aerr.Error(), frames); err != nil {
				return fail(Failed, err)
			}
			return fail(Failed, aerr)
		}
		st.try++
		wait = min(2*wait, 30*time.Second)
	}
}

// letterTime bounds the handing over of one letter.
const letterTime = 5 * time.Minute

func unsure(l *Letter) error {
	return impound.Errorf(impound.KindUnavailable, "nobody knows whether letter %s was taken: the process or the connection ended before the answer", l.Request.ID).
		WithCure(fmt.Sprintf("look in the mail server's log, or ask the recipient, for %s; then: impound seize settle %s --taken, or --not-taken", l.Ref, l.Request.ID))
}

// markAsked notes of each name that it was asked for.
func (e *Engine) markAsked(ctx context.Context, l *Letter, ref, answer string, jobs []job) (outcome, msg string, err error) {
	for i := range jobs {
		j := &jobs[i]
		if l.Request.Kind != LetterRequest {
			break
		}
		// Where a person says that it was taken, the intents may be by another run.
		j.letter = l.Request.ID
		if err := e.intend(ctx, j); err != nil {
			return Failed, err.Error(), err
		}
		if err := e.note(ctx, j, "pending/1", Asked, answer, nil, "letter", l.Request.ID, "ref", ref); err != nil {
			return Failed, err.Error(), err
		}
	}
	crash("asked")
	return Asked, "asked by letter " + l.Request.ID + " (" + ref + "): " + answer, nil
}
