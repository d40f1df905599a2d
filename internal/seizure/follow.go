package seizure

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// Letters gives the newest word on each letter of an order, oldest first; of
// all orders for "".
func (e *Engine) Letters(ctx context.Context, orderID string) ([]LetterInfo, error) {
	q := store.Query{Kind: docLetter}
	if orderID != "" {
		q.Field, q.Value = "order", orderID
	}
	return e.letters(ctx, q)
}

func (e *Engine) letters(ctx context.Context, q store.Query) ([]LetterInfo, error) {
	var out []LetterInfo
	err := e.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		out, err = store.Values[LetterInfo](tx, q)
		return err
	})
	slices.SortStableFunc(out, func(a, b LetterInfo) int { return a.Made.Compare(b.Made) })
	return out, err
}

// Letter gives a letter by its id, with the bytes that were handed over.
func (e *Engine) Letter(ctx context.Context, id string) (LetterInfo, Letter, error) {
	var info LetterInfo
	err := e.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		info, _, err = store.Get[LetterInfo](tx, docLetter, id)
		return err
	})
	if isNotFound(err) {
		return info, Letter{}, NoLetter(id)
	}
	if err != nil {
		return info, Letter{}, err
	}
	st, err := e.letterState(id)
	if err != nil {
		return info, Letter{}, err
	}
	if st.state == "" {
		return info, Letter{}, impound.Errorf(impound.KindInternal, "the evidence log knows no letter %s", id).WithCure("the database was changed by other means; believe the log")
	}
	l, err := e.letter(st.composed)
	return info, l, err
}

// NoLetter is the answer for a letter that isn't there, or that somebody may not
// know of.
func NoLetter(id string) error {
	return impound.Errorf(impound.KindNotFound, "there is no letter %.40q", id).WithCure("list them with: impound seize letters ORDER")
}

// waitedFor gives the letter by which n was asked for under an order and which
// is still waited for; nil when there is none.
func (e *Engine) waitedFor(ctx context.Context, order string, n impound.Name) (*LetterInfo, error) {
	ls, err := e.Letters(ctx, order)
	for i := range ls {
		l := &ls[i]
		if err == nil && l.Kind == LetterRequest && (l.State == LetterSent || l.State == LetterUnsure) && slices.Contains(l.Open, n) {
			return l, nil
		}
	}
	return nil, err
}

// Follow looks at every name that was asked for under m and is not as ordered
// yet, records those that are, and reminds the provider where that is due and
// the order in force. It gives how each of those names stands. What goes wrong
// with one letter does not stop the others.
func (e *Engine) Follow(ctx context.Context, m *impound.Mandate) (Result, error) {
	res := Result{Order: m.ID()}
	ls, err := e.Letters(ctx, m.ID())
	if err != nil {
		return res, err
	}
	var faults []error
	for i := range ls {
		if l := &ls[i]; l.Kind == LetterRequest && (l.State == LetterSent || l.State == LetterUnsure) && ctx.Err() == nil {
			rs, err := e.follow(ctx, m, l, ls)
			res.Names = append(res.Names, rs...)
			faults = append(faults, err)
		}
	}
	return res, errors.Join(append(faults, ctx.Err())...)
}

func (e *Engine) follow(ctx context.Context, m *impound.Mandate, info *LetterInfo, all []LetterInfo) ([]NameResult, error) {
	a, ok := e.cfg.Connectors[info.Provider].(Asker)
	if !ok {
		return nil, impound.Errorf(impound.KindInvalid, "provider %s, which letter %s went to, is not configured to be asked any more", info.Provider, info.ID).
			WithCure("configure it again, or close the letter: impound seize settle " + info.ID + " --close")
	}
	st, err := e.letterState(info.ID)
	if err != nil || st.state != LetterSent && st.state != LetterUnsure {
		return nil, err
	}
	l, err := e.letter(st.composed)
	if err != nil {
		return nil, err
	}
	r, err := e.load(ctx, l.Request.Plan)
	if err != nil {
		return nil, err
	}
	p := &r.Plan
	h, proven, err := e.provenPlan(p, m)
	if err != nil {
		return nil, err
	}
	if !proven || p.ID != l.Request.Plan {
		return nil, impound.Errorf(impound.KindRefused, "the evidence log does not know plan %s as made under this order", l.Request.Plan)
	}
	lease, err := e.take(ctx, a.Provider())
	if err != nil {
		return nil, err
	}
	defer lease.release(context.WithoutCancel(ctx))
	base := job{m: m, p: p, hash: h, conn: a, lease: lease}
	var open []job
	var left []impound.Name
	var out []NameResult
	names := l.names()
	for i := range p.Names {
		np := &p.Names[i]
		if !slices.Contains(names, np.Name) || len(np.Steps) == 0 {
			continue
		}
		j := base.asking(*np)
		if st.state == LetterSent {
			if _, _, err := e.markAsked(ctx, &l, st.sent.Detail["ref"], st.sent.Detail["answer"], []job{j}); err != nil {
				return out, err
			}
		}
		x, _ := e.lookAsked(ctx, &j, *np, false)
		if x.Outcome == "" { // of an unsure letter: not asked for that we know
			x.Outcome, x.Msg = Asked, unsure(&l).Error()
		}
		if x.Outcome != Done {
			left = append(left, np.Name)
			if _, why := e.check(ctx, m, *np); why == "" && x.Outcome == Asked {
				open = append(open, j)
			}
		}
		out = append(out, x)
	}
	mine := *p
	mine.Names = pick(p, out)
	e.settle(ctx, m, &mine, out)
	if err := e.noteNames(ctx, p, out); err != nil {
		return out, err
	}
	state := st.state
	if len(left) == 0 {
		state = LetterDone
	}
	var next time.Time
	no, last := reminders(info, all)
	if pol := a.Policy(); state == LetterSent && no < len(pol.Remind) {
		next = last.Add(pol.Remind[no])
	}
	if err := e.storeLetter(ctx, info.ID, func(v *LetterInfo) { v.Open, v.State, v.Reminders, v.Next = left, state, no, next }); err != nil {
		return out, err
	}
	if next.IsZero() || e.now().Before(next) || len(open) == 0 || !m.InForce(e.now()) || ctx.Err() != nil {
		return out, nil
	}
	return out, e.remind(ctx, a, p, h, &l, st, open, no+1)
}

// heard says whether r is a sign of life that puts reminders off: one that a person
// has filed. What a mailbox took in by itself anybody can have written.
func (r LetterReply) heard() bool {
	return (r.Kind == "reply" || r.Kind == "note") && r.By != "system"
}

// pick gives the plans of the names of rs, in their order.
func pick(p *Plan, rs []NameResult) []NamePlan {
	var out []NamePlan
	for _, r := range rs {
		for _, np := range p.Names {
			if np.Name == r.Name {
				out = append(out, np)
			}
		}
	}
	return out
}

// reminders gives how many reminders of a letter went, and when the last sign of
// either side was.
func reminders(info *LetterInfo, all []LetterInfo) (no int, last time.Time) {
	last = info.Sent
	note := func(t time.Time) {
		if t.After(last) {
			last = t
		}
	}
	heard := func(l *LetterInfo) {
		for _, r := range l.Replies {
			if r.heard() {
				note(r.At)
			}
		}
	}
	heard(info)
	for i := range all {
		if l := &all[i]; l.Of == info.ID && l.Kind == LetterReminder && l.State != LetterVoid && l.State != LetterRefused {
			no = max(no, l.No)
			if l.State != LetterSent {
				no = max(0, l.No-1) // it did not go yet: it is the next one still
			}
			note(l.Sent)
			heard(l)
		}
	}
	return no, last
}

// remind sends reminder no of letter l for the names of open. It is held to the
// permits of this moment, like the request.
func (e *Engine) remind(ctx context.Context, a Asker, p *Plan, hash string, l *Letter, st letterState, open []job, no int) error {
	var cs []Change
	for _, j := range open {
		cs = append(cs, j.step.Change)
	}
	for try := 1; try < 100; try++ {
		id := letterID(hash+" "+l.Request.ID, a.Provider(), LetterReminder, no, try)
		rs, err := e.letterState(id)
		if err != nil {
			return err
		}
		var rl Letter
		switch rs.state {
		case LetterRefused, LetterVoid, LetterClosed:
			continue
		case "":
			rl, rs, err = e.compose(ctx, a, p, Request{ID: id, Kind: LetterReminder, No: no, Of: l.Request.ID, Reply: st.sent.Detail["ref"], Asked: st.sent.At, Changes: cs})
		default:
			rl, err = e.letter(rs.composed)
		}
		if err != nil {
			return err
		}
		if rs.state == LetterComposed && !slices.Equal(rl.names(), names(cs)) {
			if err := e.noteLetter(context.WithoutCancel(ctx), &rl, "void", LetterVoid, "it is no longer what is to be asked", nil); err != nil {
				return err
			}
			continue
		}
		_, _, err = e.handOver(ctx, a, &rl, rs, open)
		if err != nil {
			return err
		}
		pol := a.Policy()
		return e.storeLetter(context.WithoutCancel(ctx), l.Request.ID, func(v *LetterInfo) {
			v.Reminders, v.Last, v.Next = no, e.now(), time.Time{}
			if no < len(pol.Remind) {
				v.Next = e.now().Add(pol.Remind[no])
			}
		})
	}
	return impound.Errorf(impound.KindUnavailable, "reminder %d of letter %s was refused again and again", no, l.Request.ID)
}

func names(cs []Change) []impound.Name {
	out := make([]impound.Name, len(cs))
	for i := range cs {
		out[i] = cs[i].Name
	}
	return out
}

// noteNames stores the newest word on names.
func (e *Engine) noteNames(ctx context.Context, p *Plan, rs []NameResult) error {
	if err := e.noteReleased(ctx, p, slices.DeleteFunc(slices.Clone(rs), func(x NameResult) bool { return x.Outcome != Done })); err != nil {
		return err
	}
	return e.cfg.Store.Update(ctx, func(tx store.Tx) error {
		for _, x := range rs {
			_, err := store.Modify(tx, docSeizure, p.Order+"/"+x.Name.String(), func(v *Seizure) (map[string]string, error) {
				v.Order, v.Name, v.Provider, v.Plan, v.Outcome, v.Msg, v.At = p.Order, x.Name, x.Provider, p.ID, x.Outcome, x.Msg, e.now()
				if x.Outcome == Done {
					if v.Reverted, v.Released = "", ""; p.undoes() {
						v.Reverted, v.Released = p.ID, p.Release
					}
				}
				v.note(x)
				return map[string]string{"order": p.Order, "name": x.Name.String(), "outcome": x.Outcome}, nil
			})
			if err != nil {
				return err
			}
		}
		return nil
	})
}

// How a person settles a letter.
const (
	SettleTaken    = "taken"     // of an unsure one: it arrived
	SettleNotTaken = "not-taken" // of an unsure one: it did not, and may be sent again
	SettleClose    = "close"     // nobody waits for it any more
)

// SettleLetter records what a person found out about a letter, or that it is not
// waited for any more. That is a decision, and it acts on nobody. It does not
// make any name done: looking does. The same decision again, with the same reason,
// changes nothing.
func (e *Engine) SettleLetter(ctx context.Context, id, how, reason string) (LetterInfo, error) {
	info, l, err := e.Letter(ctx, id)
	if err != nil {
		return info, err
	}
	st, err := e.letterState(id)
	if err != nil {
		return info, err
	}
	if reason = strings.TrimSpace(reason); reason == "" {
		return info, impound.Errorf(impound.KindInvalid, "say how you know, or why").At("reason")
	}
	words := fmt.Sprintf("%s says: %s", e.cfg.By, reason)
	try := st.try
	if how != SettleClose && st.state != LetterUnsure {
		// The same decision again: who made it was cut off before the store had it.
		again := how == SettleTaken && st.state == LetterSent && st.sent.Detail["answer"] == clip(words)
		if how == SettleNotTaken && st.state == LetterComposed && st.try > 1 {
			try--
			x, _, err := e.cfg.Evidence.Entry(letterEntry(id, fmt.Sprintf("try/%d", try)))
			if err != nil {
				return info, fmt.Errorf("couldn't read the evidence log: %w", err)
			}
			again = x.Detail["answer"] == clip(words)
		}
		if !again {
			return info, impound.Errorf(impound.KindConflict, "letter %s is %s: there is nothing to find out", id, cmpOr(st.state, "not known"))
		}
	}
	switch how {
	case SettleTaken:
		err = e.noteLetter(ctx, &l, "sent", LetterSent, words, nil)
	case SettleNotTaken:
		err = e.noteLetter(ctx, &l, fmt.Sprintf("try/%d", try), LetterComposed, words, nil)
	case SettleClose:
		err = e.noteLetter(ctx, &l, "closed", LetterClosed, words, nil)
	default:
		err = impound.Errorf(impound.KindInvalid, "%.40q is no way to settle a letter", how).WithCure("taken, not-taken or close")
	}
	if err != nil {
		return info, err
	}
	info, _, err = e.Letter(ctx, id)
	return info, err
}

func cmpOr(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// LetterByRef finds the letter that somebody answers to, by references such as
// Message-IDs, or by its own id.
func (e *Engine) LetterByRef(ctx context.Context, refs ...string) (LetterInfo, error) {
	for _, ref := range refs {
		ls, err := e.letters(ctx, store.Query{Kind: docLetter, Field: "ref", Value: ref})
		if err != nil || len(ls) > 0 {
			return append(ls, LetterInfo{})[0], err
		}
		if info, _, err := e.Letter(ctx, ref); err == nil {
			return info, nil
		}
	}
	return LetterInfo{}, impound.Errorf(impound.KindNotFound, "it answers no letter that is known here").WithCure("say which: impound seize letters lists them")
}

// ReplyEntry is the id of a reply's entry in the evidence log: the same for the
// same reply.
func ReplyEntry(id string, r LetterReply) string {
	what := r.Original
	if what == "" {
		what = r.Artefact + "\n" + r.Text
	}
	return letterEntry(id, "reply/"+strings.TrimPrefix(impound.HashBytes([]byte(r.Kind+"\n"+what)), "sha256:")[:24])
}

// Reply records that something came back on a letter. It makes nothing done.
// The same reply again changes nothing; what identifies people is no business of
// Text, but of a sealed artefact.
func (e *Engine) Reply(ctx context.Context, id string, r LetterReply) (LetterInfo, error) {
	info, l, err := e.Letter(ctx, id)
	if err != nil {
		return info, err
	}
	if !slices.Contains([]string{"reply", "delivered", "delayed", "failed", "note"}, r.Kind) {
		return info, impound.Errorf(impound.KindInvalid, "%.40q is no kind of reply", r.Kind)
	}
	r.Text, r.By = clip(r.Text), e.cfg.By
	if r.At.IsZero() || r.At.After(e.now()) {
		r.At = e.now()
	}
	x := impound.Entry{
		ID: ReplyEntry(id, r), Type: impound.EntryDecision, At: e.now(), By: r.By, What: "seize.reply", Case: l.Request.Case, Order: l.Request.Order, Intent: letterEntry(id, "composed"),
		Detail: map[string]string{"id": id, "provider": info.Provider, "kind": r.Kind, "artefact": r.Artefact, "original": r.Original, "text": r.Text, "of": r.At.UTC().Format(time.RFC3339)},
	}
	if _, err := e.cfg.Evidence.Append(ctx, x); err != nil {
		return info, fmt.Errorf("couldn't record the reply: %w", err)
	}
	err = e.storeLetter(ctx, id, func(v *LetterInfo) {
		for _, have := range v.Replies {
			if ReplyEntry(id, have) == ReplyEntry(id, r) {
				return
			}
		}
		v.Replies = append(v.Replies, r)
		if r.heard() {
			v.Last = e.now()
		}
	})
	if err != nil {
		return info, err
	}
	info, _, err = e.Letter(ctx, id)
	return info, err
}
