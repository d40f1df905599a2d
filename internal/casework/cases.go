package casework

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// Kinds of documents in the store.
const (
	kindCase      = "case"
	kindDomain    = "domain" // a name of a case; id CASE/NAME
	kindCandidate = "candidate"
	kindActor     = "actor"
	kindOrder     = "order"
)

// OpenCase opens a case. Opening the same one again (same id, title, actor and
// TLP) changes nothing; another under the same id is KindConflict. It takes the
// role analyst. TLP is amber when empty, the owner is by. Names come with
// [Service.AddNames].
func (s *Service) OpenCase(ctx context.Context, by string, c impound.Case) error {
	x, err := s.act(ctx, "OpenCase", by)
	if err != nil {
		return err
	}
	if err := checkID("case", c.ID); err != nil {
		return err
	}
	if c.Title = strings.TrimSpace(c.Title); c.Title == "" {
		return impound.Errorf(impound.KindInvalid, "the case has no title").At(c.ID).WithCure("give one that a judge would understand")
	}
	if c.TLP == "" {
		c.TLP = impound.TLPAmber
	}
	if !c.TLP.Valid() {
		return impound.Errorf(impound.KindInvalid, "%q is no TLP level", c.TLP).At(c.ID).WithCure("use clear, green, amber, amber+strict or red")
	}
	if len(c.Domains) > 0 {
		return impound.Errorf(impound.KindInvalid, "open the case first, then add its names").At(c.ID)
	}
	if c.Owner == "" {
		c.Owner = by
	}
	if c.Opened.IsZero() {
		c.Opened = s.now()
	}
	c.Opened, c.Domains, c.SealedFor = c.Opened.UTC(), nil, nil
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		old, _, err := store.Get[impound.Case](tx, kindCase, c.ID)
		switch {
		case err == nil && !x.Case(c.ID):
			// Somebody else's id. The words say no more than that.
			return impound.Errorf(impound.KindConflict, "the id %q can't be had", c.ID).WithCure("choose another id")
		case err == nil && old.Title == c.Title && old.Actor == c.Actor && old.TLP == c.TLP:
			return nil
		case err == nil:
			return impound.Errorf(impound.KindConflict, "there is a case of this id already: %q", old.Title).At(c.ID).WithCure("choose another id, or work in that one")
		case impound.KindOf(err) != impound.KindNotFound:
			return err
		}
		if _, err := store.Put(tx, kindCase, c.ID, 0, c, map[string]string{"actor": c.Actor, "owner": c.Owner}); err != nil {
			return err
		}
		return s.decide(ctx, impound.Entry{ID: entryID("case.open", c.ID, c.Title, c.Actor, string(c.TLP)), By: by, What: whatCaseOpen, Case: c.ID,
			Detail: map[string]string{"title": c.Title, "actor": c.Actor, "tlp": string(c.TLP)}})
	})
}

// wholeCase is a case as the store has it.
type wholeCase struct {
	head    impound.Case
	domains []impound.CaseDomain
}

// Case gives a case with its names, in the order of their A-labels.
func (s *Service) Case(ctx context.Context, id string) (impound.Case, error) {
	x, err := s.Sight(ctx)
	if err != nil {
		return impound.Case{}, err
	}
	word, err := s.whole.word(ctx, s.cfg.Store)
	if err != nil {
		return impound.Case{}, err
	}
	k, fresh := s.whole.get(id, word)
	// Who may not see the case takes a turn too, of another name: the same work as
	// for a case that isn't there, and no waiting for those who read this one.
	turn := "case "
	if !x.Case(id) {
		turn, fresh = "hidden case ", false
	}
	if !fresh {
		defer s.turns.Take(turn + id)()
		if word, err = s.whole.word(ctx, s.cfg.Store); err != nil {
			return impound.Case{}, err
		}
		k, fresh = s.whole.get(id, word)
	}
	// What can't be seen is never taken from what is kept: the answer is that of
	// a case that isn't there, for the same work.
	if !fresh || !x.Case(id) {
		k = wholeCase{}
		err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
			var err error
			if k.head, err = getCase(tx, x, id); err != nil {
				return err
			}
			k.domains, err = readDomains(tx, id, 0, 0)
			return err
		})
		if err != nil {
			return impound.Case{}, err
		}
		for i := range k.domains {
			clip(&k.domains[i])
		}
		k.head.Tasks, k.head.Parties = slices.Clip(k.head.Tasks), slices.Clip(k.head.Parties)
		s.whole.put(id, word, k, len(k.domains)+1)
	}
	c := k.head
	c.SealedFor, c.Domains = x.Sealed(id), lent(k.domains)
	c.Tasks, c.Parties = slices.Clone(c.Tasks), slices.Clone(c.Parties)
	return c, nil
}

// Cases gives every case without its names, by id.
func (s *Service) Cases(ctx context.Context) ([]impound.Case, error) {
	x, err := s.Sight(ctx)
	if err != nil {
		return nil, err
	}
	var cs []impound.Case
	err = s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		cs, err = store.Values[impound.Case](tx, store.Query{Kind: kindCase})
		return err
	})
	cs = slices.DeleteFunc(cs, func(c impound.Case) bool { return !x.Case(c.ID) })
	for i := range cs {
		cs[i].SealedFor = x.Sealed(cs[i].ID)
	}
	return cs, err
}

// CasePart gives a case with at most limit of its names (0: all), in the order of
// their A-labels, after leaving offset of them out; how many it has by state; and
// its revision. It reads no others.
func (s *Service) CasePart(ctx context.Context, id string, offset, limit int) (c impound.Case, count map[impound.DomainState]int, rev int64, err error) {
	if offset < 0 || limit < 0 {
		return c, nil, 0, impound.Errorf(impound.KindInvalid, "a part of a case from %d, of %d names", offset, limit)
	}
	x, err := s.Sight(ctx)
	if err != nil {
		return c, nil, 0, err
	}
	count = map[impound.DomainState]int{}
	err = s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		c, rev, err = store.Get[impound.Case](tx, kindCase, id)
		if impound.KindOf(err) == impound.KindNotFound || err == nil && !x.Case(id) {
			return noCase(id)
		}
		if err != nil {
			return err
		}
		n, err := store.CountBy(tx, store.Query{Kind: kindDomain, Field: "case", Value: id}, "state")
		if err != nil {
			return err
		}
		for st, k := range n {
			count[impound.DomainState(st)] = k
		}
		c.Domains, err = readDomains(tx, id, offset, limit)
		return err
	})
	if err != nil {
		return impound.Case{}, nil, 0, err
	}
	c.SealedFor = x.Sealed(id)
	return c, count, rev, nil
}

// CountNames counts the names of a case by state. It reads none of them.
func (s *Service) CountNames(ctx context.Context, caseID string) (map[impound.DomainState]int, error) {
	x, err := s.Sight(ctx)
	if err != nil {
		return nil, err
	}
	out := map[impound.DomainState]int{}
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		if _, err := getCase(tx, x, caseID); err != nil {
			return err
		}
		n, err := store.CountBy(tx, store.Query{Kind: kindDomain, Field: "case", Value: caseID}, "state")
		for st, k := range n {
			out[impound.DomainState(st)] = k
		}
		return err
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Head gives a case without its names.
func (s *Service) Head(ctx context.Context, id string) (impound.Case, error) {
	x, err := s.Sight(ctx)
	if err != nil {
		return impound.Case{}, err
	}
	var c impound.Case
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		c, err = getCase(tx, x, id)
		return err
	})
	c.SealedFor, c.Domains = x.Sealed(id), nil
	return c, err
}

// CaseHead is a case without its names, with how many it has.
type CaseHead struct {
	impound.Case
	Count map[impound.DomainState]int
}

// CaseHeads gives every case with the number of its names by state, by id.
func (s *Service) CaseHeads(ctx context.Context) ([]CaseHead, error) {
	x, err := s.Sight(ctx)
	if err != nil {
		return nil, err
	}
	word, err := s.heads.word(ctx, s.cfg.Store)
	if err != nil {
		return nil, err
	}
	all, fresh := s.heads.get("", word)
	if !fresh {
		err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
			cs, err := store.Values[impound.Case](tx, store.Query{Kind: kindCase})
			if err != nil {
				return err
			}
			all = make([]CaseHead, len(cs))
			for i, c := range cs {
				n, err := store.CountBy(tx, store.Query{Kind: kindDomain, Field: "case", Value: c.ID}, "state")
				if err != nil {
					return err
				}
				c.Domains = nil
				all[i] = CaseHead{c, make(map[impound.DomainState]int, len(n))}
				for st, k := range n {
					all[i].Count[impound.DomainState(st)] = k
				}
			}
			return nil
		})
		if err != nil {
			return nil, err
		}
		s.heads.put("", word, all, 1)
	}
	out := make([]CaseHead, 0, len(all))
	for _, h := range all {
		if !x.Case(h.ID) {
			continue
		}
		h.SealedFor, h.Count = x.Sealed(h.ID), cloneMap(h.Count)
		h.Tasks, h.Parties = slices.Clone(h.Tasks), slices.Clone(h.Parties)
		out = append(out, h)
	}
	return out, nil
}

// Domain gives one name of a case.
func (s *Service) Domain(ctx context.Context, caseID string, n impound.Name) (impound.CaseDomain, error) {
	x, err := s.Sight(ctx)
	if err != nil {
		return impound.CaseDomain{}, err
	}
	var d impound.CaseDomain
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		if _, err := getCase(tx, x, caseID); err != nil {
			return err
		}
		d, _, err = getDomain(tx, x, caseID, n)
		return err
	})
	return d, err
}

// getCase gives the case when x holds it. One that is sealed to x and one that is
// not there have the same answer, for the same work.
func getCase(tx store.Tx, x Sight, id string) (impound.Case, error) {
	c, _, err := store.Get[impound.Case](tx, kindCase, id)
	if impound.KindOf(err) == impound.KindNotFound || err == nil && !x.Case(id) {
		return impound.Case{}, noCase(id)
	}
	return c, err
}

func domainID(caseID string, n impound.Name) string { return caseID + "/" + n.String() }

func getDomain(tx store.Tx, x Sight, caseID string, n impound.Name) (impound.CaseDomain, int64, error) {
	d, rev, err := readDomain(tx, caseID, n)
	if impound.KindOf(err) == impound.KindNotFound || err == nil && !x.Case(caseID) {
		return impound.CaseDomain{}, 0, impound.Errorf(impound.KindNotFound, "%s is not in case %s", n.Defanged(), caseID).WithCure("add it: echo " + n.Defanged() + " | impound case add " + caseID + " -")
	}
	return d, rev, err
}

// AddName is a name to add to a case, with what is known of it.
type AddName struct {
	Name      impound.Name
	Reasons   []impound.Reason
	FirstSeen time.Time // first malicious sighting; zero: unknown
	// Mark is what a name that is new gets for its own. One that is there keeps what
	// people gave it.
	Mark impound.Marking
}

// AddNames adds names to a case as candidates and gives how many were new. A
// name that is there already keeps its state; its reasons are joined and its
// first sighting becomes the earlier of the two. Role: analyst.
func (s *Service) AddNames(ctx context.Context, by, caseID string, names []AddName) (added int, err error) {
	x, err := s.act(ctx, "AddNames", by)
	if err != nil {
		return 0, err
	}
	for _, a := range names {
		if a.Name.IsZero() {
			return 0, impound.Errorf(impound.KindInvalid, "an empty name").At(caseID).WithCure("leave it out")
		}
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		added = 0
		if _, err := getCase(tx, x, caseID); err != nil {
			return err
		}
		return s.addNames(ctx, tx, by, caseID, names, &added)
	})
	return added, err
}

func (s *Service) addNames(ctx context.Context, tx store.Tx, by, caseID string, names []AddName, added *int) error {
	var fresh, changed []string
	seen := map[string]string{} // first sighting by name: G9 rests on it, so it is recorded
	now := s.now()
	for _, a := range names {
		d, rev, err := readDomain(tx, caseID, a.Name)
		switch {
		case impound.KindOf(err) == impound.KindNotFound:
			d = impound.CaseDomain{Name: a.Name, State: impound.StateCandidate, History: []impound.StateChange{{At: now, By: by, State: impound.StateCandidate, Why: "added to the case"}}, Marking: a.Mark}
			fresh = append(fresh, a.Name.String())
		case err != nil:
			return err
		}
		diff := rev == 0
		for _, r := range a.Reasons {
			if !slices.ContainsFunc(d.Reasons, func(x impound.Reason) bool { return x.Code == r.Code && x.Text == r.Text }) {
				d.Reasons, diff = append(d.Reasons, r), true
			}
		}
		if f := a.FirstSeen.UTC(); !a.FirstSeen.IsZero() && (d.FirstSeen.IsZero() || f.Before(d.FirstSeen)) {
			d.FirstSeen, diff = f, true
			seen[a.Name.String()] = f.Format(time.RFC3339)
		}
		if !diff {
			continue
		}
		if rev != 0 {
			changed = append(changed, a.Name.String()+" "+d.FirstSeen.Format(time.RFC3339)+fmt.Sprint(len(d.Reasons)))
		}
		if err := putDomain(tx, caseID, rev, d); err != nil {
			return err
		}
	}
	*added += len(fresh)
	if len(fresh)+len(changed) == 0 {
		return nil
	}
	if err := newBook(tx, now).taken(by, caseID, fresh); err != nil {
		return err
	}
	// One entry for many names: an entry is one line for people, each costs a
	// wait for the disk, and the log bounds its length.
	all := append(fresh, changed...)
	for len(all) > 0 {
		n, size := 0, 0
		for n < len(all) && size < 24<<10 {
			size += 2*len(all[n]) + 24 // the name, and again with its date
			n++
		}
		part := all[:n]
		all = all[n:]
		names := make([]string, len(part))
		for i, p := range part {
			names[i], _, _ = strings.Cut(p, " ")
		}
		e := impound.Entry{ID: entryID(whatCaseNames, append([]string{caseID}, part...)...), By: by, At: now, What: whatCaseNames, Case: caseID,
			Detail: map[string]string{"count": fmt.Sprint(len(part)), "names": strings.Join(names, " ")}}
		var dates []string
		for _, n := range names {
			if d := seen[n]; d != "" {
				dates = append(dates, n+" "+d)
			}
		}
		if len(dates) > 0 {
			e.Detail["first_seen"] = strings.Join(dates, ", ")
		}
		if len(part) == 1 {
			e.Name, _ = impound.ParseName(names[0])
		}
		if err := s.decide(ctx, e); err != nil {
			return err
		}
	}
	return nil
}

// maxLine bounds a line of a name list, maxNames the names of one.
const (
	maxLine  = 8 << 10
	maxNames = 1_000_000
)

// ReadNames reads a name a line: blank lines and what follows # are passed over;
// a date of the first sighting (2019-03-27) may follow the name after a comma or
// white space. Bad lines are reported with "file:line" and passed over; the
// others are given, each name once.
func ReadNames(filename string, r io.Reader) ([]AddName, impound.Problems) {
	var out []AddName
	var ps impound.Problems
	at := map[impound.Name]int{}
	br := bufio.NewReaderSize(r, maxLine)
	for line := 1; ; line++ {
		where := fmt.Sprintf("%s:%d", filename, line)
		text, long, err := readLine(br)
		if err != nil && !errors.Is(err, io.EOF) {
			return out, append(ps, impound.Errorf(impound.KindUnavailable, "couldn't read on: %w", err).At(where))
		}
		if line == 1 {
			text = strings.TrimPrefix(text, "\ufeff")
		}
		if long {
			ps = append(ps, impound.Errorf(impound.KindInvalid, "the line is longer than %d octets: no name is", maxLine).At(where).WithCure("is this a list with one name a line?"))
		} else if a, ok, perr := parseLine(text); perr != nil {
			ps = append(ps, perr.At(where))
		} else if ok {
			if i, dup := at[a.Name]; dup {
				if !a.FirstSeen.IsZero() && (out[i].FirstSeen.IsZero() || a.FirstSeen.Before(out[i].FirstSeen)) {
					out[i].FirstSeen = a.FirstSeen
				}
			} else if len(out) == maxNames {
				return out, append(ps, impound.Errorf(impound.KindInvalid, "more than %d names: the rest was not read", maxNames).At(where).WithCure("split the list"))
			} else {
				at[a.Name] = len(out)
				out = append(out, a)
			}
		}
		if err != nil {
			return out, ps
		}
	}
}

func readLine(br *bufio.Reader) (text string, long bool, err error) {
	b, err := br.ReadSlice('\n')
	text = string(b)
	for errors.Is(err, bufio.ErrBufferFull) {
		long = true
		_, err = br.ReadSlice('\n')
	}
	return text, long, err
}

func parseLine(text string) (AddName, bool, *impound.Error) {
	text, _, _ = strings.Cut(text, "#")
	text = strings.TrimSpace(text)
	if text == "" {
		return AddName{}, false, nil
	}
	name, rest, _ := strings.Cut(strings.ReplaceAll(text, ",", " "), " ")
	if i := strings.IndexByte(name, '\t'); i >= 0 {
		name, rest = name[:i], name[i:]+" "+rest
	}
	var a AddName
	if rest = strings.TrimSpace(rest); rest != "" {
		t, err := time.Parse(time.DateOnly, rest)
		if err != nil {
			if t, err = time.Parse(time.RFC3339, rest); err != nil {
				return AddName{}, false, impound.Errorf(impound.KindInvalid, "“%.60s” is more than a name: what follows it is no date", strings.ToValidUTF8(text, "\uFFFD")).WithCure("write a name a line, and after it at most the date of its first sighting: 2019-03-27")
			}
		}
		a.FirstSeen = t.UTC()
	}
	var err error
	if a.Name, err = impound.ParseName(name); err != nil {
		var e *impound.Error
		if errors.As(err, &e) {
			return AddName{}, false, e
		}
		return AddName{}, false, impound.Errorf(impound.KindInvalid, "no name: %w", err)
	}
	if a.Name.Labels() < 2 {
		return AddName{}, false, impound.Errorf(impound.KindInvalid, "%s has a single label: a whole top-level domain, or a word", a.Name.Defanged()).WithCure("write the whole name, such as outlook-verify[.]net")
	}
	return a, true, nil
}

// AddReport says what AddNamesFrom did.
type AddReport struct {
	Added    int              `json:"added"`
	Known    int              `json:"known"`
	Problems impound.Problems `json:"problems,omitempty"` // a line each
}

// AddNamesFrom adds the names of a list, see [ReadNames]. When lines were bad
// the rest is added all the same, and the error is of KindPartial (KindInvalid
// when no line was good). Role: analyst.
func (s *Service) AddNamesFrom(ctx context.Context, by, caseID, filename string, r io.Reader) (AddReport, error) {
	if _, err := s.act(ctx, "AddNamesFrom", by); err != nil {
		return AddReport{}, err
	}
	names, ps := ReadNames(filename, r)
	rep := AddReport{Problems: ps}
	if len(names) == 0 && len(ps) > 0 {
		return rep, ps
	}
	src := filename
	if src == "" {
		src = "a list"
	}
	for i := range names {
		names[i].Reasons = []impound.Reason{{Code: "listed", Text: "listed in " + src}}
	}
	var err error
	if rep.Added, err = s.AddNames(ctx, by, caseID, names); err != nil {
		return rep, err
	}
	rep.Known = len(names) - rep.Added
	if len(ps) > 0 {
		return rep, impound.Errorf(impound.KindPartial, "%d lines could not be read, %d names were added: %w", len(ps), rep.Added, ps).At(filename).WithCure("correct those lines and add the list again: what is there already stays")
	}
	return rep, nil
}

// transitions says from which state a name may come to which, by people.
// Ordered is reached by filing an order alone.
var transitions = map[impound.DomainState][]impound.DomainState{
	impound.StateCandidate: {impound.StateEvidenced, impound.StateProposed, impound.StateBlocked, impound.StateReleased},
	impound.StateEvidenced: {impound.StateProposed, impound.StateBlocked, impound.StateReleased},
	impound.StateProposed:  {impound.StateEvidenced, impound.StateBlocked, impound.StateReleased},
	impound.StateBlocked:   {impound.StateEvidenced, impound.StateProposed, impound.StateReleased},
	impound.StateOrdered:   {impound.StateSeized, impound.StateHeld, impound.StateContested, impound.StateReleased},
	impound.StateSeized:    {impound.StateSinkholed, impound.StateHeld, impound.StateContested, impound.StateReleased},
	impound.StateSinkholed: {impound.StateSeized, impound.StateHeld, impound.StateContested, impound.StateReleased},
	impound.StateHeld:      {impound.StateSeized, impound.StateContested, impound.StateReleased},
	impound.StateContested: {impound.StateSeized, impound.StateSinkholed, impound.StateHeld, impound.StateReleased},
	impound.StateReleased:  {impound.StateCandidate, impound.StateEvidenced, impound.StateProposed},
}

// outcomes are the states that say what was done outside; an operator, or the
// system that verified it, sets them.
var outcomes = []impound.DomainState{impound.StateSeized, impound.StateSinkholed, impound.StateHeld, impound.StateReleased, impound.StateContested}

// SetState moves a name to a state, with why. Setting the state that it has
// changes nothing. The outcomes (seized, sinkholed, held, released, contested)
// are set by an operator or [System], everything else by an analyst; ordered is
// set by filing an order alone. A step that is not on the way is KindRefused.
func (s *Service) SetState(ctx context.Context, by, caseID string, n impound.Name, state impound.DomainState, why string) error {
	x, err := s.act(ctx, "SetState", by)
	if err != nil {
		return err
	}
	return s.setState(ctx, x, by, caseID, n, "", state, why)
}

// MoveState is [Service.SetState] by somebody who was shown the state from. Where
// the name moved meanwhile nothing is written, and the error, of KindConflict, says
// who moved it where and why, and what was not written. Role: analyst, and only to
// what an analyst decides.
func (s *Service) MoveState(ctx context.Context, by, caseID string, n impound.Name, from, to impound.DomainState, why string) error {
	x, err := s.act(ctx, "MoveState", by)
	if err != nil {
		return err
	}
	if from == "" || slices.Contains(outcomes, to) {
		return impound.Errorf(impound.KindInvalid, "from %.20q to %.20q is nothing that is decided here", from, to).At(n.Defanged())
	}
	if err := checkText("the reason", why, true); err != nil {
		return err
	}
	return s.setState(ctx, x, by, caseID, n, from, to, why)
}

// NextStates gives the states to which an analyst may move a name from one.
func NextStates(from impound.DomainState) []impound.DomainState {
	return slices.DeleteFunc(slices.Clone(transitions[from]), func(t impound.DomainState) bool { return t == impound.StateOrdered || slices.Contains(outcomes, t) })
}

func (s *Service) setState(ctx context.Context, x Sight, by, caseID string, n impound.Name, from, state impound.DomainState, why string) error {
	if !slices.Contains(outcomes, state) {
		if err := s.May(ctx, by, impound.RoleAnalyst); err != nil {
			return err
		}
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		d, rev, err := getDomain(tx, x, caseID, n)
		if err != nil {
			return err
		}
		if from != "" && d.State != from {
			last := impound.StateChange{By: "somebody"}
			if len(d.History) > 0 {
				last = d.History[len(d.History)-1]
			}
			return impound.Errorf(impound.KindConflict, "%s was moved since you looked: it is %s now, by %s: %q. Yours, which was not written: %s, %q", n.Defanged(), d.State, last.By, last.Why, state, why).
				At(caseID).WithCure("look at both, and decide again")
		}
		if d.State == state {
			return nil
		}
		if !slices.Contains(transitions[d.State], state) {
			e := impound.Errorf(impound.KindRefused, "%s is %s: it can't become %s", n.Defanged(), d.State, state).At(caseID)
			if state == impound.StateOrdered {
				return e.WithCure("file an order that lists it: impound order file FILE")
			}
			to := make([]string, 0, 4)
			for _, t := range transitions[d.State] {
				to = append(to, string(t))
			}
			return e.WithCure("from there it goes to " + strings.Join(to, ", "))
		}
		return s.step(ctx, tx, by, caseID, rev, d, state, why, true)
	})
}

// step writes one state change; log says whether it gets an entry of its own.
func (s *Service) step(ctx context.Context, tx store.Tx, by, caseID string, rev int64, d impound.CaseDomain, state impound.DomainState, why string, log bool) error {
	from := d.State
	now := s.now()
	d.State = state
	d.History = append(d.History, impound.StateChange{At: now, By: by, State: state, Why: why})
	if err := putDomain(tx, caseID, rev, d); err != nil {
		return err
	}
	if !log {
		return nil
	}
	return s.decide(ctx, impound.Entry{ID: entryID("case.state", caseID, d.Name.String(), fmt.Sprint(rev), string(state)), By: by, At: now, What: "case.state",
		Case: caseID, Name: d.Name, Order: d.Order, Detail: map[string]string{"from": string(from), "to": string(state), "why": why}})
}

var hashRule = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// AttachEvidence notes artefacts of the evidence log on a name of a case; a
// candidate becomes evidenced by it. An artefact that the log doesn't hold is
// refused. Role: analyst, or [System].
func (s *Service) AttachEvidence(ctx context.Context, by, caseID string, n impound.Name, hashes ...string) error {
	x, err := s.act(ctx, "AttachEvidence", by)
	if err != nil {
		return err
	}
	for _, h := range hashes {
		if !hashRule.MatchString(h) {
			return impound.Errorf(impound.KindInvalid, "%.80q is no hash of an artefact", h).WithCure("give sha256: and 64 hexadecimal digits")
		}
		_, err := s.cfg.Evidence.Read(h)
		if err == nil && s.cfg.SeesArtefact != nil {
			err = s.cfg.SeesArtefact(ctx, x, h)
		}
		if err != nil {
			return impound.Errorf(impound.KindOf(err), "the evidence log holds no sound artefact %s: %w", h, err)
		}
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		d, rev, err := getDomain(tx, x, caseID, n)
		if err != nil {
			return err
		}
		var fresh []string
		for _, h := range hashes {
			if !slices.Contains(d.Evidence, h) {
				d.Evidence = append(d.Evidence, h)
				fresh = append(fresh, h)
			}
		}
		if len(fresh) == 0 {
			return nil
		}
		if d.State == impound.StateCandidate {
			d.State = impound.StateEvidenced
			d.History = append(d.History, impound.StateChange{At: s.now(), By: by, State: d.State, Why: fmt.Sprintf("%d artefacts attached", len(fresh))})
		}
		if err := putDomain(tx, caseID, rev, d); err != nil {
			return err
		}
		return s.decide(ctx, impound.Entry{ID: entryID("case.evidence", append([]string{caseID, n.String()}, fresh...)...), By: by, What: "case.evidence",
			Case: caseID, Name: n, Detail: map[string]string{"artefacts": strings.Join(fresh, " ")}})
	})
}
