package casework

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// CandidateSnoozed is a candidate that is out of sight until a date.
const CandidateSnoozed = "snoozed"

// What can be done with rows.
const (
	DoPromote = "promote"
	DoDismiss = "dismiss"
	DoSnooze  = "snooze"
	DoReopen  = "reopen" // undoes a dismissal or a snooze, and what it taught
)

// Pick is a row that a decision is about. Rev is the decision that was looked at
// ([Standing]); below 0: whichever it is.
type Pick struct {
	Name  impound.Name `json:"name"`
	Scope string       `json:"scope,omitempty"`
	Rev   int64        `json:"rev"`
}

// Ruling is what is decided of rows.
type Ruling struct {
	Do     string
	Case   string    // of DoPromote
	Reason string    // of DoDismiss
	Why    string    // needed with ReasonOther, and else welcome
	Until  time.Time // of DoSnooze
}

// Ruled is what became of one pick.
type Ruled struct {
	Pick
	Changed bool
	Err     error
}

// maxPicks bounds one decision.
const maxPicks = 2000

// Triage decides of rows of the queue: each by itself, so that one that somebody
// else decided of meanwhile (KindConflict, which says by whom) keeps none of the
// others. What it gives has one entry for each pick. Deciding the same again
// changes nothing. Role: analyst.
func (s *Service) Triage(ctx context.Context, by string, picks []Pick, d Ruling) ([]Ruled, error) {
	x, err := s.act(ctx, "Triage", by)
	if err != nil {
		return nil, err
	}
	d.Why = strings.TrimSpace(d.Why)
	switch d.Do {
	case DoPromote:
		if d.Case == "" {
			return nil, impound.Errorf(impound.KindInvalid, "which case?").WithCure("choose the case that the names go into")
		}
	case DoDismiss:
		if d.Reason == "" {
			d.Reason = ReasonOther
		}
		if !slices.ContainsFunc(DismissReasons, func(r DismissReason) bool { return r.Code == d.Reason }) {
			return nil, impound.Errorf(impound.KindInvalid, "%.40q is no reason to dismiss", d.Reason).WithCure("use one of " + reasonCodes())
		}
		if d.Reason == ReasonOther && d.Why == "" {
			return nil, impound.Errorf(impound.KindInvalid, "the dismissal gives no reason").WithCure("say why: others will read it")
		}
	case DoSnooze:
		d.Until = d.Until.UTC().Truncate(time.Second)
		if now := s.now(); !d.Until.After(now) || d.Until.After(now.AddDate(5, 0, 0)) {
			return nil, impound.Errorf(impound.KindInvalid, "a snooze ends on a day to come").WithCure("write a date such as " + now.AddDate(0, 0, 14).Format(time.DateOnly))
		}
	case DoReopen:
	default:
		return nil, impound.Errorf(impound.KindInvalid, "nothing is called %.40q here", d.Do)
	}
	if len(d.Why) > 4<<10 {
		return nil, impound.Errorf(impound.KindInvalid, "the reason is longer than 4 KB")
	}
	if len(picks) == 0 || len(picks) > maxPicks {
		return nil, impound.Errorf(impound.KindInvalid, "%d names: choose 1 to %d", len(picks), maxPicks)
	}
	if err := s.readyQueue(ctx); err != nil {
		return nil, err
	}
	out := make([]Ruled, 0, len(picks))
	for part := range slices.Chunk(picks, 100) {
		var rs []Ruled
		err := s.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
			rs, err = s.ruleAll(ctx, tx, x, by, part, d)
			return err
		})
		if err != nil {
			return out, err
		}
		out = append(out, rs...)
	}
	_, err = s.Rerank(ctx, rerankNow)
	return out, err
}

func reasonCodes() string {
	var out []string
	for _, r := range DismissReasons {
		out = append(out, r.Code)
	}
	return strings.Join(out, ", ")
}

func (s *Service) ruleAll(ctx context.Context, tx store.Tx, x Sight, by string, picks []Pick, d Ruling) ([]Ruled, error) {
	b := newBook(tx, s.now())
	sealed := false
	if d.Do == DoPromote {
		if _, err := getCase(tx, x, d.Case); err != nil {
			return nil, err
		}
		sealed = len(x.view.seals[d.Case].Parties) > 0
	}
	var out []Ruled
	var entries []impound.Entry
	var names []AddName
	for _, p := range picks {
		r := Ruled{Pick: p}
		e, add, err := s.rule(b, x, by, p, d, sealed)
		switch impound.KindOf(err) {
		case "":
		case impound.KindNotFound, impound.KindConflict, impound.KindInvalid, impound.KindRefused:
			var own *impound.Error
			if !errors.As(err, &own) {
				return nil, err
			}
			r.Err = err
		default:
			return nil, err
		}
		if e != nil {
			r.Changed = true
			entries = append(entries, *e)
		}
		if add != nil {
			names = append(names, *add)
		}
		out = append(out, r)
	}
	if len(names) > 0 {
		// When watch saw it is not a malicious sighting: FirstSeen stays open.
		var added int
		if err := s.addNames(ctx, tx, by, d.Case, names, &added); err != nil {
			return nil, err
		}
	}
	return out, s.decideAll(ctx, entries)
}

// decideAll is decide for many, with one wait for the disk where the log can.
func (s *Service) decideAll(ctx context.Context, es []impound.Entry) error {
	if len(es) == 0 {
		return nil
	}
	now := s.now()
	for i := range es {
		es[i].Type, es[i].At = impound.EntryDecision, now
	}
	if l, ok := s.cfg.Evidence.(interface {
		AppendAll(ctx context.Context, es []impound.Entry) ([]int64, error)
	}); ok {
		if _, err := l.AppendAll(ctx, es); err != nil {
			return impound.Errorf(impound.KindOf(err), "couldn't record decisions in the evidence log: %w", err)
		}
		return nil
	}
	for _, e := range es {
		if err := s.decide(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// rule decides of one row. It gives the entry to record, nil when nothing
// changes, and the name to add to the case.
func (s *Service) rule(b *book, x Sight, by string, p Pick, d Ruling, sealed bool) (*impound.Entry, *AddName, error) {
	notFound := impound.Errorf(impound.KindNotFound, "%s is no candidate", p.Name.Defanged()).WithCure("impound watch list lists them; impound case add takes any name")
	if p.Scope != "" && !x.Case(p.Scope) {
		return nil, nil, notFound
	}
	h, err := b.get(rowName(p.Name), p.Scope)
	if err != nil {
		return nil, nil, err
	}
	if h == nil && p.Rev < 0 && p.Scope == "" { // named on the command line: it may be of a sealed case of his
		for _, scope := range x.scopes() {
			if h == nil {
				if h, err = b.get(rowName(p.Name), scope); err != nil {
					return nil, nil, err
				}
			}
		}
	}
	if h == nil {
		return nil, nil, notFound
	}
	r := &h.Row
	name := p.Name
	var reasons []impound.Reason
	switch i := slices.IndexFunc(r.Hosts, func(y RowHost) bool { return y.Name == name }); {
	case name == r.Name || name == r.Top:
		reasons = append(slices.Clone(r.Reasons), r.Learnt...)
	case i >= 0, r.Scope == "" && r.Count > len(r.Hosts):
		c, _, err := store.Get[impound.Candidate](b.tx, kindCandidate, name.String())
		switch {
		case err == nil:
			reasons = c.Reasons
		case i >= 0:
			reasons = r.Reasons
		default:
			return nil, nil, notFound
		}
	default:
		return nil, nil, notFound
	}
	// For who may not see the case that it went into, another standing counts.
	st := &r.Standing
	if r.Case != "" && !x.Case(r.Case) {
		if r.Open == nil {
			r.Open = &Standing{Status: CandidateOpen, Rev: r.Rev}
		}
		st = r.Open
	}
	was := *st
	if p.Rev >= 0 && p.Rev != st.Rev {
		same := st.Status == doneBy[d.Do] && (d.Do != DoPromote || st.Case == d.Case) && (d.Do != DoDismiss || st.Reason == d.Reason) && (d.Do != DoSnooze || st.Until.Equal(d.Until))
		if same {
			return nil, nil, nil
		}
		return nil, nil, impound.Errorf(impound.KindConflict, "%s changed since you looked: %s", name.Defanged(), st.say()).WithCure("look at it again, then decide")
	}
	switch d.Do {
	case DoPromote:
		if st.Status == CandidatePromoted {
			if st.Case == d.Case {
				return nil, nil, nil
			}
			return nil, nil, impound.Errorf(impound.KindConflict, "%s is in case %s already", name.Defanged(), st.Case).WithCure("add it to this case too: echo " + name.Defanged() + " | impound case add " + d.Case + " -")
		}
		if r.Scope != "" && d.Case != r.Scope {
			return nil, nil, impound.Errorf(impound.KindRefused, "%s was found by what the sealed case %s teaches: it can go into that case alone", name.Defanged(), r.Scope).WithCure("promote it to " + r.Scope)
		}
	case DoDismiss:
		switch {
		case st.Status == CandidatePromoted:
			return nil, nil, impound.Errorf(impound.KindConflict, "%s was promoted to case %s", name.Defanged(), st.Case).WithCure("release it there")
		case st.Status == CandidateDismissed && (p.Rev < 0 || st.Reason == d.Reason && st.Why == d.Why):
			return nil, nil, nil
		}
	case DoSnooze:
		switch {
		case st.Status == CandidatePromoted:
			return nil, nil, impound.Errorf(impound.KindConflict, "%s was promoted to case %s", name.Defanged(), st.Case).WithCure("make a task of it there")
		case st.Status == CandidateSnoozed && st.Until.Equal(d.Until):
			return nil, nil, nil
		}
	case DoReopen:
		switch st.Status {
		case CandidateOpen:
			return nil, nil, nil
		case CandidatePromoted:
			return nil, nil, impound.Errorf(impound.KindConflict, "%s was promoted to case %s: what was added to a case stays on record", name.Defanged(), st.Case).WithCure("release it there")
		}
	}
	// What the decision before taught goes with it.
	moved, err := b.teach(r, was, len(x.view.seals[was.Case].Parties) > 0, true)
	if err != nil {
		return nil, nil, err
	}
	if was.Status == CandidateSnoozed {
		if err := b.unwake(was.Until, r); err != nil {
			return nil, nil, err
		}
	}
	*st = Standing{Status: doneBy[d.Do], By: by, At: b.now, Why: d.Why, Rev: was.Rev + 1, Score: r.Score, Known: r.known(), Brand0: r.Brand}
	e := impound.Entry{By: by, What: "candidate." + d.Do, Name: name, Case: r.Scope, Detail: map[string]string{}}
	id := []string{name.String()}
	var add *AddName
	switch d.Do {
	case DoPromote:
		st.Case, e.Case = d.Case, d.Case
		if sealed && r.Scope == "" && st == &r.Standing && r.Open == nil {
			open := was
			if open.Status == CandidatePromoted {
				open = Standing{Status: CandidateOpen, Rev: was.Rev}
			}
			r.Open = &open
		}
		id = append(id, d.Case)
		var src []string
		for _, y := range r.Sources {
			src = append(src, y.Source)
		}
		e.Detail["source"] = strings.Join(src, ", ")
		add = &AddName{Name: name, Reasons: reasons, Mark: r.Mark}
		for k, v := range markDetail(r.Mark) {
			if v != "" {
				e.Detail[k] = v
			}
		}
	case DoDismiss:
		st.Reason = d.Reason
		e.Detail["why"], e.Detail["reason"] = d.Why, d.Reason
	case DoSnooze:
		st.Until = d.Until
		e.Detail["until"], e.Detail["why"] = d.Until.Format(time.RFC3339), d.Why
		if _, err := store.Modify(b.tx, kindWake, wakeID(d.Until, r), func(*struct{}) (map[string]string, error) { return nil, nil }); err != nil {
			return nil, nil, err
		}
	case DoReopen:
		st.Again = fmt.Sprintf("%s by %s %s, undone by %s", was.Status, was.By, was.At.Format(time.DateOnly), by)
		e.Detail["was"], e.Detail["why"] = was.Status, d.Why
		if was.Reason != "" {
			e.Detail["reason"] = was.Reason
		}
	}
	more, err := b.teach(r, *st, sealed, false)
	if err != nil {
		return nil, nil, err
	}
	if err := b.pend(append(moved, more...), r.Scope); err != nil {
		return nil, nil, err
	}
	if err := b.put(h); err != nil {
		return nil, nil, err
	}
	if err := b.mirror(h); err != nil {
		return nil, nil, err
	}
	e.ID = entryID(e.What, append(id, itoa(st.Rev), cmp.Or(r.Scope, "-"))...)
	return &e, add, nil
}

// doneBy gives the status that a decision leaves.
var doneBy = map[string]string{DoPromote: CandidatePromoted, DoDismiss: CandidateDismissed, DoSnooze: CandidateSnoozed, DoReopen: CandidateOpen}

// say tells a standing in words.
func (st Standing) say() string {
	switch {
	case st.Again != "":
		return "it is " + st.Status + " (" + st.Again + ")"
	case st.By == "":
		return "it is " + st.Status
	}
	out := fmt.Sprintf("it was %s by %s %s", st.Status, st.By, st.At.Format("2006-01-02 15:04:05Z"))
	switch {
	case st.Case != "":
		out += " to case " + st.Case
	case !st.Until.IsZero():
		out += " until " + st.Until.Format(time.DateOnly)
	case st.Why != "":
		out += ": " + st.Why
	case st.Reason != "":
		out += ": " + st.Reason
	}
	return out
}

func (b *book) unwake(until time.Time, r *Row) error {
	d, err := b.tx.Get(kindWake, wakeID(until, r))
	if impound.KindOf(err) == impound.KindNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	return b.tx.Delete(kindWake, d.ID, d.Rev)
}

// one is Triage for one name, whatever was decided of it before.
func (s *Service) one(ctx context.Context, by string, n impound.Name, d Ruling) error {
	out, err := s.Triage(ctx, by, []Pick{{Name: n, Rev: -1}}, d)
	if err != nil {
		return err
	}
	return out[0].Err
}

// Promote puts a candidate into a case, with its reasons and its sighting, and
// closes its row. Promoting it again into the same case changes nothing; into
// another one is KindConflict. Role: analyst.
func (s *Service) Promote(ctx context.Context, by string, n impound.Name, caseID string) error {
	return s.one(ctx, by, n, Ruling{Do: DoPromote, Case: caseID})
}

// Dismiss closes a candidate's row with why, and teaches nothing. Dismissing it
// again changes nothing; one that was promoted is KindConflict. Role: analyst.
func (s *Service) Dismiss(ctx context.Context, by string, n impound.Name, why string) error {
	return s.one(ctx, by, n, Ruling{Do: DoDismiss, Reason: ReasonOther, Why: why})
}
