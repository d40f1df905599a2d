package casework

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// What the entries of a case's own objects speak of. They name a party by its id
// and kind, never by name: who was a victim stays out of the log.
const (
	WhatCaseEdit  = "case.edit"
	WhatCaseMark  = "case.mark"
	WhatCaseParty = "case.party"
	WhatTask      = "case.task"
	WhatTaskDone  = "case.task-done"
)

const (
	maxText    = 4 << 10
	maxObjects = 1000 // parties, or tasks, of a case
)

func checkText(what, s string, need bool) error {
	switch {
	case need && strings.TrimSpace(s) == "":
		return impound.Errorf(impound.KindInvalid, "%s is empty", what)
	case !utf8.ValidString(s) || len(s) > maxText:
		return impound.Errorf(impound.KindInvalid, "%s is no text, or longer than %d octets", what, maxText)
	}
	return nil
}

func checkMarking(m impound.Marking) error {
	if m.TLP != "" && !m.TLP.Valid() {
		return impound.Errorf(impound.KindInvalid, "%.40q is no TLP level", string(m.TLP)).WithCure("use clear, green, amber, amber+strict or red")
	}
	if m.PAP != "" && !m.PAP.Valid() {
		return impound.Errorf(impound.KindInvalid, "%.40q is no PAP level", string(m.PAP)).WithCure("use clear, green, amber or red")
	}
	return checkText("the originator", m.Originator, false)
}

// change reads a case, lets do change it, writes it and records what do says. do
// gives no entry when nothing changed.
func (s *Service) change(ctx context.Context, method, by, caseID string, do func(c *impound.Case, rev int64) (*impound.Entry, error)) error {
	x, err := s.act(ctx, method, by)
	if err != nil {
		return err
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		if _, err := getCase(tx, x, caseID); err != nil {
			return err
		}
		c, rev, err := store.Get[impound.Case](tx, kindCase, caseID)
		if err != nil {
			return err
		}
		e, err := do(&c, rev)
		if err != nil || e == nil {
			return err
		}
		if _, err := store.Put(tx, kindCase, c.ID, rev, c, map[string]string{"actor": c.Actor, "owner": c.Owner}); err != nil {
			return err
		}
		e.ID, e.By, e.Case = entryID(e.What, caseID, itoa(rev)), by, caseID
		return s.decide(ctx, *e)
	})
}

// CaseRev gives the revision of a case's own words, for [Service.EditCase].
func (s *Service) CaseRev(ctx context.Context, caseID string) (rev int64, err error) {
	x, err := s.Sight(ctx)
	if err != nil {
		return 0, err
	}
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		if _, err := getCase(tx, x, caseID); err != nil {
			return err
		}
		_, rev, err = store.Get[impound.Case](tx, kindCase, caseID)
		return err
	})
	return rev, err
}

// Edit is what a person changes of a case's own words; a nil field stays.
type Edit struct {
	Title, Summary *string
	// Actor is the id of the actor whose names these are. A case without one can be
	// given one, once: another's names belong into a case of their own, and whose a
	// name is that two claim, [Service.Decide] says ([WhatAttribute]).
	Actor *string
}

// EditCase changes a case's title or summary, or gives it an actor. rev is the revision that the editor
// looked at, 0 for whatever it is now. When somebody else changed the same words
// since, nothing is written and the error, of KindConflict, holds both texts, so
// that nobody's work is lost; other changes to the case don't stand in the way.
// Roles: analyst, counsel.
func (s *Service) EditCase(ctx context.Context, by, caseID string, rev int64, e Edit, saw impound.Case) error {
	for what, t := range map[string]*string{"the title": e.Title, "the summary": e.Summary} {
		if t != nil {
			if err := checkText(what, *t, what == "the title"); err != nil {
				return err
			}
		}
	}
	if e.Actor != nil {
		if err := checkID("actor", *e.Actor); err != nil {
			return err
		}
	}
	return s.change(ctx, "EditCase", by, caseID, func(c *impound.Case, now int64) (*impound.Entry, error) {
		detail := map[string]string{}
		if e.Actor != nil && *e.Actor != c.Actor {
			if c.Actor != "" {
				return nil, impound.Errorf(impound.KindConflict, "the case is about %s already", c.Actor).At(caseID).WithCure("open a case for the other, and say whose a name is that both claim: impound case attribute")
			}
			c.Actor, detail["actor"] = *e.Actor, *e.Actor
		}
		for _, f := range []struct {
			what     string
			to       *string
			is       *string
			saw      string
			recorded bool
		}{{"title", e.Title, &c.Title, saw.Title, true}, {"summary", e.Summary, &c.Summary, saw.Summary, false}} {
			if f.to == nil || *f.to == *f.is {
				continue
			}
			if rev != 0 && rev != now && *f.is != f.saw {
				return nil, impound.Errorf(impound.KindConflict, "case %s was changed since you looked. Its %s is now: %q. Yours, which was not written: %q", caseID, f.what, *f.is, *f.to).
					WithCure("put the two together and save that: nothing was lost")
			}
			*f.is = *f.to
			detail[f.what] = *f.to
			if !f.recorded { // long, and may speak of victims: its hash proves it
				detail[f.what] = impound.HashBytes([]byte(*f.to))
			}
		}
		if len(detail) == 0 {
			return nil, nil
		}
		return &impound.Entry{What: WhatCaseEdit, Detail: detail}, nil
	})
}

// MarkCase says who may know a case, what may be done with its names, and who
// gave them to us. Roles: analyst, counsel.
func (s *Service) MarkCase(ctx context.Context, by, caseID string, m impound.Marking) error {
	if err := checkMarking(m); err != nil {
		return err
	}
	return s.change(ctx, "MarkCase", by, caseID, func(c *impound.Case, _ int64) (*impound.Entry, error) {
		n := m.In(c.Marking())
		if n == c.Marking() {
			return nil, nil
		}
		c.TLP, c.PAP, c.Originator = n.TLP, n.PAP, n.Originator
		return &impound.Entry{What: WhatCaseMark, Detail: markDetail(n)}, nil
	})
}

func markDetail(m impound.Marking) map[string]string {
	return map[string]string{"tlp": string(m.TLP), "pap": string(m.PAP), "originator": m.Originator}
}

// MarkName marks one name of a case otherwise than the case. The zero marking
// leaves it to the case again. That its originator consents is a decision of its
// own: [WhatConsent]. Roles: analyst, counsel.
func (s *Service) MarkName(ctx context.Context, by, caseID string, n impound.Name, m impound.Marking) error {
	x, err := s.act(ctx, "MarkName", by)
	if err != nil {
		return err
	}
	if err := checkMarking(m); err != nil {
		return err
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		d, rev, err := getDomain(tx, x, caseID, n)
		if err != nil || d.Marking == m {
			return err
		}
		d.Marking = m
		if err := putDomain(tx, caseID, rev, d); err != nil {
			return err
		}
		return s.decide(ctx, impound.Entry{ID: entryID(WhatCaseMark, caseID, n.String(), itoa(rev)), By: by, What: WhatCaseMark, Case: caseID, Name: n, Detail: markDetail(m)})
	})
}

// AddParty notes a victim, a plaintiff, somebody's counsel; it gives the party's
// id. The same kind and name again changes its contact and marking. Roles:
// analyst, counsel, notifier.
func (s *Service) AddParty(ctx context.Context, by, caseID string, p impound.CaseParty) (id string, err error) {
	if !slices.Contains(impound.PartyKinds, p.Kind) {
		err = impound.Errorf(impound.KindInvalid, "%.40q is no kind of party", p.Kind).WithCure("use " + strings.Join(impound.PartyKinds, ", "))
	}
	for _, e := range []error{checkText("the party's name", p.Name, true), checkText("the contact", p.Contact, false), checkMarking(p.Marking)} {
		if err == nil {
			err = e
		}
	}
	return id, s.change(ctx, "AddParty", by, caseID, func(c *impound.Case, _ int64) (*impound.Entry, error) {
		if err != nil {
			return nil, err
		}
		p.ID = "P" + strconv.Itoa(len(c.Parties)+1)
		for i, q := range c.Parties {
			if q.Kind == p.Kind && q.Name == p.Name {
				id, p.ID = q.ID, q.ID
				if q == p {
					return nil, nil
				}
				c.Parties[i] = p
				return &impound.Entry{What: WhatCaseParty, Detail: map[string]string{"party": p.ID, "kind": p.Kind, "done": "changed"}}, nil
			}
		}
		if len(c.Parties) >= maxObjects {
			return nil, impound.Errorf(impound.KindInvalid, "the case has %d parties: no more fit", maxObjects)
		}
		id, c.Parties = p.ID, append(c.Parties, p)
		return &impound.Entry{What: WhatCaseParty, Detail: map[string]string{"party": p.ID, "kind": p.Kind, "done": "added"}}, nil
	})
}

// AddTask gives somebody something to do for a case, and gives the task's id. A Ref
// that a task of the case has already gives that task, and changes nothing. Its
// owner must be enrolled, and a party to the seal where there is one. Roles: all
// but auditor.
func (s *Service) AddTask(ctx context.Context, by, caseID string, t impound.Task) (id string, err error) {
	ring, err := s.Keyring(ctx)
	if err != nil {
		return "", err
	}
	return id, s.change(ctx, "AddTask", by, caseID, func(c *impound.Case, _ int64) (*impound.Entry, error) {
		if err := checkText("the task", t.Title, true); err != nil {
			return nil, err
		}
		if t.Owner == "" {
			t.Owner = by
		}
		owner, err := s.SightOf(ctx, t.Owner)
		if err != nil {
			return nil, err
		}
		if _, ok := ring.Person(t.Owner); !ok || !owner.Case(caseID) {
			return nil, impound.Errorf(impound.KindInvalid, "%.64q can't be given a task of this case", t.Owner).WithCure("name somebody who is enrolled and may see it: impound people list")
		}
		if t.Ref != "" {
			for _, have := range c.Tasks {
				if have.Ref == t.Ref {
					id = have.ID
					return nil, nil
				}
			}
		}
		if len(c.Tasks) >= maxObjects {
			return nil, impound.Errorf(impound.KindInvalid, "the case has %d tasks: no more fit", maxObjects)
		}
		id = "T" + strconv.Itoa(len(c.Tasks)+1)
		t.ID, t.By, t.Made, t.Due, t.Done, t.DoneBy = id, by, s.now(), t.Due.UTC(), time.Time{}, ""
		c.Tasks = append(c.Tasks, t)
		d := map[string]string{"task": id, "title": t.Title, "owner": t.Owner}
		if t.Ref != "" {
			d["ref"] = t.Ref
		}
		if !t.Due.IsZero() {
			d["due"] = t.Due.Format(time.RFC3339)
		}
		return &impound.Entry{What: WhatTask, Detail: d}, nil
	})
}

// DoneTask notes that a task is done. Doing it again changes nothing. Roles: all
// but auditor.
func (s *Service) DoneTask(ctx context.Context, by, caseID, taskID string) error {
	return s.change(ctx, "DoneTask", by, caseID, func(c *impound.Case, _ int64) (*impound.Entry, error) {
		i := slices.IndexFunc(c.Tasks, func(t impound.Task) bool { return t.ID == taskID })
		if i < 0 {
			return nil, impound.Errorf(impound.KindNotFound, "case %s has no task %.40q", caseID, taskID).WithCure("impound case task list " + caseID)
		}
		if !c.Tasks[i].Done.IsZero() {
			return nil, nil
		}
		c.Tasks[i].Done, c.Tasks[i].DoneBy = s.now(), by
		return &impound.Entry{What: WhatTaskDone, Detail: map[string]string{"task": taskID, "title": c.Tasks[i].Title}}, nil
	})
}

// Consented gives the names of which whoever gave them to us allowed that they go
// further, with who recorded that and when; proven from the log.
func (s *Service) Consented(ctx context.Context, names []impound.Name) (map[impound.Name]string, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return nil, err
	}
	view = s.sightFor(view, ctx).narrow(names)
	out := map[impound.Name]string{}
	for _, n := range names {
		if d, ok := view.last(n, WhatConsent); ok {
			out[n] = fmt.Sprintf("%s on %s: %s", d.Signature.Person, d.At.Format(time.DateOnly), d.Why)
		}
	}
	return out, nil
}
