package casework

import (
	"cmp"
	"context"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// What a candidate's Status can be.
const (
	CandidateOpen      = "open"
	CandidatePromoted  = "promoted"
	CandidateDismissed = "dismissed"
)

// SaveCandidates keeps what watch found, one document a name, and gives how many
// names were new. For a name that is there already the higher score with its
// reasons stays, and the earlier sighting; what a person decided stays too. It
// records nothing in the evidence log: a candidate is a machine's guess.
func (s *Service) SaveCandidates(ctx context.Context, cands []impound.Candidate) (added int, err error) {
	x, err := s.act(ctx, "SaveCandidates", "")
	if err != nil {
		return 0, err
	}
	// In portions, so that a person who decides something waits for one only.
	for part := range slices.Chunk(cands, 500) {
		n := 0
		err := s.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
			n, err = saveCandidates(tx, x, part, s.now())
			return err
		})
		if err != nil {
			return added, err
		}
		added += n
	}
	return added, nil
}

// QueueCandidates is SaveCandidates in one transaction, in which also is called
// with how many names were new: watch keeps there how far it has read, so that
// nothing is skipped and nothing is queued twice.
func (s *Service) QueueCandidates(ctx context.Context, cands []impound.Candidate, also func(tx store.Tx, added int) error) error {
	x, err := s.act(ctx, "QueueCandidates", "")
	if err != nil {
		return err
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		n, err := saveCandidates(tx, x, cands, s.now())
		if err != nil {
			return err
		}
		return also(tx, n)
	})
}

func saveCandidates(tx store.Tx, x Sight, cands []impound.Candidate, now time.Time) (added int, err error) {
	b := newBook(tx, now)
	b.seals = x.view.seals
	if err := b.build(); err != nil {
		return 0, err
	}
	for _, c := range cands {
		if err := checkMarking(c.Mark); err != nil {
			return 0, err
		}
		if c.Name.IsZero() {
			return 0, impound.Errorf(impound.KindInvalid, "a candidate without a name, from %.80q", c.Source)
		}
		in := c
		in.Seen = in.Seen.UTC()
		if c.Scope != "" {
			c.Status, c.Case = CandidateOpen, ""
			if err := b.sight(in, c, false); err != nil {
				return 0, err
			}
			continue
		}
		old, rev, err := store.Get[impound.Candidate](tx, kindCandidate, c.Name.String())
		put := true
		switch {
		case impound.KindOf(err) == impound.KindNotFound:
			c.Status, c.Case, c.Seen = CandidateOpen, "", in.Seen
			h, err := b.get(rowName(c.Name), "")
			if err != nil {
				return 0, err
			}
			if h != nil { // a host more of a domain that is there
				c.Status, c.Case = h.Status, h.Case
			} else {
				st, err := b.birth(rowName(c.Name), c.Name)
				if err != nil {
					return 0, err
				}
				c.Status, c.Case = st.Status, st.Case
			}
			added++
		case err != nil:
			return 0, err
		default:
			seen := old.Seen
			if !c.Seen.IsZero() && c.Seen.Before(seen) {
				seen = in.Seen
			}
			actors, mark := union(old.Actors, c.Actors), old.Mark.Strictest(c.Mark)
			if c.Score <= nameScore(old) {
				put = !seen.Equal(old.Seen) || len(actors) > len(old.Actors) || mark != old.Mark
				c = old
			} else {
				c = again(c, old)
			}
			c.Seen, c.Status, c.Case, c.Actors, c.Mark = seen, old.Status, old.Case, actors, mark
		}
		if put {
			if err := putCandidate(tx, rev, c); err != nil {
				return 0, err
			}
		}
		if err := b.sight(in, c, rev == 0); err != nil {
			return 0, err
		}
	}
	return added, nil
}

// SightingMarks gives what the sources that saw candidates say of what may be done
// with them. A name that none marks is not among them.
func (s *Service) SightingMarks(ctx context.Context, names []impound.Name) (map[impound.Name]impound.Marking, error) {
	if _, err := s.Sight(ctx); err != nil { // sources are of no case: whoever is somebody may see them
		return nil, err
	}
	out := map[impound.Name]impound.Marking{}
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		for _, n := range names {
			c, _, err := store.Get[impound.Candidate](tx, kindCandidate, n.String())
			switch {
			case impound.KindOf(err) == impound.KindNotFound:
			case err != nil:
				return err
			case c.Mark != impound.Marking{}:
				out[n] = c.Mark
			}
		}
		return nil
	})
	return out, err
}

func putCandidate(tx store.Tx, rev int64, c impound.Candidate) error {
	_, err := store.Put(tx, kindCandidate, c.Name.String(), rev, c, map[string]string{"status": c.Status, "brand": c.Brand, "case": c.Case, "domain": rowName(c.Name).String()})
	return err
}

// CandidateFilter selects candidates; empty fields select all.
type CandidateFilter struct {
	Status   string
	Brand    string
	MinScore float64
	Limit    int // 0: all
}

// Candidates gives those that f selects, the highest score first.
func (s *Service) Candidates(ctx context.Context, f CandidateFilter) ([]impound.Candidate, error) {
	var out []impound.Candidate
	x, err := s.Sight(ctx)
	if err != nil {
		return nil, err
	}
	word, err := s.cands.word(ctx, s.cfg.Store)
	if err != nil {
		return nil, err
	}
	q := store.Query{Kind: kindCandidate}
	switch {
	case f.Status != "" && len(x.Hidden()) == 0: // else what is promoted may be shown as open
		q.Field, q.Value = "status", f.Status
	case f.Brand != "":
		q.Field, q.Value = "brand", f.Brand
	}
	all, fresh := s.cands.get(q.Field+" "+q.Value, word)
	if !fresh {
		err = s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
			all, err = store.Values[impound.Candidate](tx, q)
			return err
		})
		if err != nil {
			return nil, err
		}
		slices.SortStableFunc(all, func(a, b impound.Candidate) int {
			return cmp.Or(cmp.Compare(b.Score, a.Score), strings.Compare(a.Name.String(), b.Name.String()))
		})
		for i := range all {
			all[i].Reasons = slices.Clip(all[i].Reasons)
		}
		s.cands.put(q.Field+" "+q.Value, word, all, len(all))
	}
	for _, c := range all {
		c = x.candidate(c)
		if c.Score < f.MinScore || f.Brand != "" && c.Brand != f.Brand || f.Status != "" && c.Status != f.Status {
			continue
		}
		out = append(out, c)
		if len(out) == f.Limit { // 0: all
			break
		}
	}
	return out, nil
}

// Candidate gives one candidate, or KindNotFound.
func (s *Service) Candidate(ctx context.Context, n impound.Name) (impound.Candidate, error) {
	var c impound.Candidate
	x, err := s.Sight(ctx)
	if err != nil {
		return c, err
	}
	err = s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		c, _, err = getCandidate(tx, x, n)
		return err
	})
	return c, err
}

func getCandidate(tx store.Tx, x Sight, n impound.Name) (impound.Candidate, int64, error) {
	c, rev, err := store.Get[impound.Candidate](tx, kindCandidate, n.String())
	if impound.KindOf(err) == impound.KindNotFound {
		return c, 0, impound.Errorf(impound.KindNotFound, "%s is no candidate", n.Defanged()).WithCure("impound watch list shows them; impound case add takes any name")
	}
	return x.candidate(c), rev, err
}

// SaveActor keeps an actor as it is given, in the place of what was there; to add
// to one there is [Service.ImportActors]. shared says which of its names stand in other actors
// too (alias as given, ids of the others): that is common, and an analyst should
// know. Saving the same again changes nothing. Role: analyst.
func (s *Service) SaveActor(ctx context.Context, by string, a impound.Actor) (shared map[string][]string, err error) {
	if _, err := s.act(ctx, "SaveActor", by); err != nil {
		return nil, err
	}
	_, shared, err = s.saveActor(ctx, by, a.ID, func(impound.Actor, bool) (impound.Actor, error) { return a, nil })
	return shared, err
}

// DropActorNames takes names from an actor that do not belong to it, with what
// sources said of them. The log keeps who did. One that it doesn't have is
// KindNotFound; its last name stays. Role: analyst.
func (s *Service) DropActorNames(ctx context.Context, by, id string, names []string) error {
	if _, err := s.act(ctx, "DropActorNames", by); err != nil {
		return err
	}
	_, _, err := s.saveActor(ctx, by, id, func(a impound.Actor, there bool) (impound.Actor, error) {
		for _, n := range names {
			if !there || !slices.Contains(a.Names, n) {
				return a, impound.Errorf(impound.KindNotFound, "the actor has no name %q", n).At(id).WithCure("write it as impound actor show does")
			}
			a.Names = slices.DeleteFunc(slices.Clone(a.Names), func(x string) bool { return x == n })
			a.Aliases = slices.DeleteFunc(slices.Clone(a.Aliases), func(x impound.Alias) bool { return x.Name == n })
		}
		return a, nil
	})
	return err
}

// saveActor writes what change makes of the actor that is there, in one
// transaction: what somebody else adds at the same time is not lost.
func (s *Service) saveActor(ctx context.Context, by, id string, change func(old impound.Actor, there bool) (impound.Actor, error)) (saved bool, shared map[string][]string, err error) {
	if err := checkID("actor", id); err != nil {
		return false, nil, err
	}
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		saved, shared = false, map[string][]string{}
		old, rev, err := store.Get[impound.Actor](tx, kindActor, id)
		if err != nil && impound.KindOf(err) != impound.KindNotFound {
			return err
		}
		a, err := change(old, rev > 0)
		if err != nil {
			return err
		}
		var names []string
		for _, n := range a.Names {
			if n = strings.TrimSpace(n); n != "" && !slices.Contains(names, n) {
				names = append(names, n)
			}
		}
		if a.Names = names; len(names) == 0 {
			return impound.Errorf(impound.KindInvalid, "the actor has no name").At(a.ID).WithCure("give at least one; the first is shown")
		}
		all, err := store.Values[impound.Actor](tx, store.Query{Kind: kindActor})
		if err != nil {
			return err
		}
		for _, o := range all {
			if o.ID == a.ID {
				continue
			}
			for _, n := range a.Names {
				if slices.ContainsFunc(o.Names, func(x string) bool { return foldAlias(x) == foldAlias(n) }) {
					shared[n] = append(shared[n], o.ID)
				}
			}
		}
		if rev > 0 && slices.Equal(old.Names, a.Names) && slices.Equal(old.Sources, a.Sources) && slices.Equal(old.Brands, a.Brands) && slices.Equal(old.Aliases, a.Aliases) {
			return nil
		}
		if _, err := store.Put(tx, kindActor, a.ID, rev, a, nil); err != nil {
			return err
		}
		saved = true
		return s.decide(ctx, impound.Entry{ID: entryID("actor.save", append([]string{a.ID, itoa(rev)}, a.Names...)...), By: by, What: "actor.save",
			Detail: map[string]string{"actor": a.ID, "names": strings.Join(a.Names, ", ")}})
	})
	if err != nil {
		return false, nil, err
	}
	return saved, shared, nil
}

// ImportActors keeps actors from a list of others' making beside what is there:
// an actor of the same id gains names, aliases and sources and loses nothing.
// shared says which names then stand in more than one actor (alias, ids, sorted):
// they are never merged by themselves. Role: analyst.
func (s *Service) ImportActors(ctx context.Context, by string, list []impound.Actor) (saved int, shared map[string][]string, err error) {
	if _, err := s.act(ctx, "ImportActors", by); err != nil {
		return 0, nil, err
	}
	shared = map[string][]string{}
	for _, in := range list {
		did, also, err := s.saveActor(ctx, by, in.ID, func(old impound.Actor, there bool) (impound.Actor, error) {
			if !there {
				return in, nil
			}
			a := old
			a.Names = union(old.Names, slices.DeleteFunc(slices.Clone(in.Names), func(n string) bool { // its id is no other name
				return n == in.ID && slices.ContainsFunc(old.Names, func(o string) bool { return foldAlias(o) == foldAlias(n) })
			}))
			a.Sources = union(old.Sources, in.Sources)
			a.Brands = union(old.Brands, in.Brands)
			a.Aliases = union(old.Aliases, in.Aliases)
			return a, nil
		})
		if err != nil {
			return saved, shared, err
		}
		if !did {
			continue
		}
		a := in
		saved++
		for alias, ids := range also {
			ids = append(ids, a.ID)
			shared[alias] = union(shared[alias], ids)
			slices.Sort(shared[alias])
		}
	}
	return saved, shared, nil
}

// union gives a and what b has beside it, in order.
func union[T comparable](a, b []T) []T {
	out := slices.Clone(a)
	for _, x := range b {
		if !slices.Contains(out, x) {
			out = append(out, x)
		}
	}
	return out
}

// Actors gives every actor, by id.
func (s *Service) Actors(ctx context.Context) ([]impound.Actor, error) {
	var out []impound.Actor
	err := s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		out, err = store.Values[impound.Actor](tx, store.Query{Kind: kindActor})
		return err
	})
	return out, err
}

// SameAlias says whether two texts are the same name of an actor: letters and
// digits alone count, whatever their case.
func SameAlias(a, b string) bool { return foldAlias(a) == foldAlias(b) }

// ActorsByAlias gives every actor that goes by alias, by id: one alias may stand
// in two. Case, spaces, hyphens and quotation marks don't count.
func (s *Service) ActorsByAlias(ctx context.Context, alias string) ([]impound.Actor, error) {
	all, err := s.Actors(ctx)
	if err != nil {
		return nil, err
	}
	want := foldAlias(alias)
	if want == "" {
		return nil, impound.Errorf(impound.KindInvalid, "an empty alias")
	}
	return slices.DeleteFunc(all, func(a impound.Actor) bool {
		return a.ID != alias && !slices.ContainsFunc(a.Names, func(n string) bool { return foldAlias(n) == want })
	}), nil
}

func foldAlias(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsLetter(r) || unicode.IsDigit(r) {
			return unicode.ToLower(r)
		}
		return -1
	}, s)
}

func itoa(i int64) string { return strconv.FormatInt(i, 10) }
