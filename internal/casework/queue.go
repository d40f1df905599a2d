package casework

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/quickjson"
	"github.com/impound/impound/internal/store"
)

// The triage queue has a row for each registrable domain (and, of what only a
// sealed case's names taught to look for, one more for the parties to its seal).
// Rows lie in the store in the order in which they are shown, so that a page of
// a queue of any length is one short read.
const (
	kindRow  = "queue"      // id RANK/DOMAIN/SCOPE
	kindWake = "queue.wake" // id UNTIL/DOMAIN/SCOPE: what was snoozed
	kindMeta = "queue.meta"
)

// Bounds of what a row keeps; the rest is counted.
const (
	rowHosts   = 50
	rowSources = 16
	rowWords   = 8 // brands, actors
	rowCodes   = 40
)

// Standing is what people decided of a row, and what became of it since.
type Standing struct {
	Status string    `json:"status"`
	Case   string    `json:"case,omitempty"`   // that it was promoted to
	Until  time.Time `json:"until,omitzero"`   // snoozed
	By     string    `json:"by,omitempty"`     // who decided last
	At     time.Time `json:"at,omitzero"`      // when
	Reason string    `json:"reason,omitempty"` // of a dismissal: one of [DismissReasons]
	Why    string    `json:"why,omitempty"`
	// Again says why a row that was dismissed or snoozed is open again.
	Again string `json:"again,omitempty"`
	// Rev grows with each decision and each time the row opens again: who decides
	// says which one he looked at.
	Rev int64 `json:"rev"`
	// What was known when it was decided: what is more than that is news.
	Score  float64  `json:"score_then,omitempty"`
	Known  []string `json:"known,omitempty"` // codes of reasons, actors
	Brand0 string   `json:"brand_then,omitempty"`
}

// Row is a registrable domain in the queue.
type Row struct {
	Name  impound.Name `json:"name"`
	Scope string       `json:"scope,omitempty"` // the sealed case that it is for
	// Rank is the score with what was learnt from decisions: the queue's order.
	Rank  float64 `json:"rank"`
	Score float64 `json:"score"` // the highest of its names
	Brand string  `json:"brand,omitempty"`
	// Top is the name that the score and the reasons are of.
	Top     impound.Name     `json:"top"`
	Reasons []impound.Reason `json:"reasons"`
	Learnt  []impound.Reason `json:"learnt,omitempty"` // why Rank isn't Score
	Actors  []string         `json:"actors,omitempty"`
	Brands  []string         `json:"brands,omitempty"`
	Codes   []string         `json:"codes,omitempty"`
	Hosts   []RowHost        `json:"hosts"`      // the highest first, at most 50
	Count   int              `json:"host_count"` // all of them
	Sources []RowSource      `json:"sources"`
	Seen    time.Time        `json:"seen"` // first
	Last    time.Time        `json:"last"` // newest sighting that told something, or was an hour after the one before
	// Mark is the strictest of what the sources that saw it say of what they give.
	Mark impound.Marking `json:"mark,omitzero"`
	Standing
	// InCases are the cases that the reader may see and that hold the domain or one
	// of its hosts. It is found when the row is read, and never stored.
	InCases []string `json:"in_cases,omitempty"`
	// Open is the standing for those who may not see the case that it went into.
	Open *Standing `json:"outside,omitempty"`
}

// RowHost is one name of a row.
type RowHost struct {
	Name  impound.Name `json:"name"`
	Score float64      `json:"score"`
	Seen  time.Time    `json:"seen"`
}

// RowSource is a source that saw the row.
type RowSource struct {
	Source string    `json:"source"`
	First  time.Time `json:"first"`
	Last   time.Time `json:"last"`
}

// rowName gives the domain that a name's row is of: what a person can register,
// tenants of a private suffix apart.
func rowName(n impound.Name) impound.Name {
	if d, err := n.Registrable(); err == nil {
		return d
	}
	return n
}

func rowKey(domain impound.Name, scope string) string { return domain.String() + "/" + scope }

func (r *Row) id() string {
	return fmt.Sprintf("%06d/%s", 1_000_000-int(math.Round(min(max(r.Rank, 0), 1)*1e6)), rowKey(r.Name, r.Scope))
}

func at(status, scope string) string { return status + "@" + scope }

// feed gives which source a sighting is of, without where in it: of "ct argon #7"
// argon. What the live watch didn't write is a source as it stands.
func feed(source string) string {
	for _, kind := range []string{"ct ", "list ", "feed ", "zone ", "zones ", "stdin "} {
		if rest, ok := strings.CutPrefix(source, kind); ok && rest != "" {
			id, _, _ := strings.Cut(rest, " ")
			return clipKey(id)
		}
	}
	return clipKey(source)
}

func clipKey(s string) string {
	if len(s) > 200 {
		s = strings.ToValidUTF8(s[:200], "")
	}
	return strings.ReplaceAll(s, "\x00", "")
}

func (r *Row) index() map[string]string {
	st := at(r.Status, r.Scope)
	ix := map[string]string{"key": rowKey(r.Name, r.Scope), "status": st, "case": r.Case}
	for _, b := range r.Brands {
		ix["brand/"+clipKey(b)] = st
	}
	for _, a := range r.Actors {
		ix["actor/"+clipKey(a)] = st
	}
	for i, s := range r.Sources {
		if i < rowSources-4 {
			ix["source/"+clipKey(s.Source)] = st
		}
	}
	return ix
}

// book writes rows within one transaction.
type book struct {
	tx      store.Tx
	now     time.Time
	lessons map[string]*lesson
	rows    map[string]*held // that were read, nil for those that are not there
	none    map[string]bool  // rows that were looked for and are not there
	births  map[string]Standing
	seals   map[string]Seal // by case; nil: not known, which only chooses among cases
}

func newBook(tx store.Tx, now time.Time) *book {
	return &book{tx: tx, now: now, lessons: map[string]*lesson{}, rows: map[string]*held{}, none: map[string]bool{}, births: map[string]Standing{}}
}

// held is a row with its place in the store.
type held struct {
	Row
	docID string
	rev   int64
}

func (b *book) get(domain impound.Name, scope string) (*held, error) {
	key := rowKey(domain, scope)
	if b.none[key] {
		return nil, nil
	}
	h, err := getRow(b.tx, domain, scope)
	if h == nil && err == nil {
		b.none[key] = true
	}
	return h, err
}

func getRow(tx store.Tx, domain impound.Name, scope string) (*held, error) {
	docs, err := tx.List(store.Query{Kind: kindRow, Field: "key", Value: rowKey(domain, scope), Limit: 1, Bare: true})
	if err != nil || len(docs) == 0 {
		return nil, err
	}
	return readRow(docs[0])
}

func readRow(d store.Doc) (*held, error) {
	h := &held{docID: d.ID, rev: d.Rev}
	if err := quickjson.Unmarshal(d.Body, &h.Row); err != nil {
		return nil, impound.Errorf(impound.KindInternal, "couldn't read a row of the queue: %w", err).At(d.ID).WithCure("restore the state folder from a backup")
	}
	return h, nil
}

// put writes a row where its rank puts it.
func (b *book) put(h *held) error {
	if err := b.rank(&h.Row); err != nil {
		return err
	}
	id := h.id()
	if h.docID != "" && h.docID != id {
		if err := b.tx.Delete(kindRow, h.docID, h.rev); err != nil {
			return err
		}
		h.rev = 0
	}
	h.docID = id
	b.rows[rowKey(h.Name, h.Scope)] = h
	delete(b.none, rowKey(h.Name, h.Scope))
	var err error
	h.rev, err = store.Put(b.tx, kindRow, id, h.rev, h.Row, h.index())
	return err
}

// sight notes that in was seen; c is the candidate as it is kept now, and fresh
// says that there was none of the name. It tells whether the row changed.
func (b *book) sight(in, c impound.Candidate, fresh bool) error {
	domain := rowName(c.Name)
	h, err := b.get(domain, c.Scope)
	if err != nil {
		return err
	}
	changed := h == nil
	if h == nil {
		st := Standing{Status: cmp.Or(c.Status, CandidateOpen), Case: c.Case}
		if born, err := b.birth(domain, c.Name); err != nil {
			return err
		} else if born.Case != "" && (st.Status == CandidateOpen || st.Case == born.Case) {
			st = born
		}
		h = &held{Row: Row{Name: domain, Scope: c.Scope, Seen: in.Seen.UTC(), Standing: st}}
		if st.Why != "" {
			h.Open = &Standing{Status: CandidateOpen}
		}
	}
	r := &h.Row
	isNew := false
	i := slices.IndexFunc(r.Hosts, func(x RowHost) bool { return x.Name == c.Name })
	switch {
	case i >= 0:
		if r.Hosts[i].Score != c.Score {
			r.Hosts[i].Score, changed = c.Score, true
		}
	case fresh || c.Scope != "" || changed:
		isNew, changed = true, true
		r.Count++
		r.Hosts = append(r.Hosts, RowHost{c.Name, c.Score, in.Seen.UTC()})
	}
	slices.SortStableFunc(r.Hosts, func(x, y RowHost) int { return cmp.Compare(y.Score, x.Score) })
	r.Hosts = r.Hosts[:min(len(r.Hosts), rowHosts)]
	if len(r.Hosts) > 0 && (r.Top.IsZero() || r.Hosts[0].Name == c.Name || r.Hosts[0].Name != r.Top) {
		top := c
		if t := r.Hosts[0].Name; t != c.Name && c.Scope == "" {
			if o, _, err := store.Get[impound.Candidate](b.tx, kindCandidate, t.String()); err == nil {
				top = o
			}
		}
		if top.Name == r.Hosts[0].Name && (r.Top != top.Name || r.Score != r.Hosts[0].Score || !slices.Equal(r.Reasons, top.Reasons)) {
			r.Top, r.Score, r.Brand, r.Reasons, changed = top.Name, r.Hosts[0].Score, top.Brand, top.Reasons, true
		}
	}
	if s := feed(in.Source); s != "" {
		j := slices.IndexFunc(r.Sources, func(x RowSource) bool { return x.Source == s })
		switch {
		case j >= 0 && in.Seen.Sub(r.Sources[j].Last) > time.Hour:
			r.Sources[j].Last, changed = in.Seen.UTC(), true
		case j < 0 && len(r.Sources) < rowSources:
			r.Sources, changed = append(r.Sources, RowSource{s, in.Seen.UTC(), in.Seen.UTC()}), true
		}
		isNew = isNew || j < 0
	}
	if m := r.Mark.Strictest(in.Mark); m != r.Mark {
		r.Mark, changed = m, true
	}
	if !in.Seen.IsZero() && in.Seen.Before(r.Seen) {
		r.Seen, changed = in.Seen.UTC(), true
	}
	opened := false
	news := r.news(in, c, fresh && len(r.Hosts) > 1)
	for _, x := range []struct {
		list *[]string
		add  []string
		most int
	}{{&r.Brands, []string{c.Brand, in.Brand}, rowWords}, {&r.Actors, c.Actors, rowWords}, {&r.Codes, codes(in, c), rowCodes}} {
		for _, w := range x.add {
			if w != "" && len(*x.list) < x.most && !slices.Contains(*x.list, w) {
				*x.list, changed = append(*x.list, w), true
			}
		}
	}
	if news != "" || isNew && (r.Reason == ReasonInactive || r.Open != nil && r.Open.Reason == ReasonInactive) {
		for _, st := range []*Standing{&r.Standing, r.Open} {
			if st == nil {
				continue
			}
			if why := st.reopens(r, in, c, isNew, news); why != "" {
				st.Again = fmt.Sprintf("%s by %s %s; since then %s", st.Status, st.By, st.At.Format(time.DateOnly), why)
				st.Status, st.Until, changed, opened = CandidateOpen, time.Time{}, true, true
				st.Rev++
			}
		}
	}
	if isNew && h.docID != "" {
		out, err := b.outside(r, c.Name)
		if err != nil {
			return err
		}
		changed, opened = changed || out, opened || out
	}
	if !changed {
		return nil
	}
	if in.Seen.After(r.Last) {
		r.Last = in.Seen.UTC()
	}
	if err := b.put(h); err != nil || !opened {
		return err
	}
	return b.mirror(h)
}

// codes gives what a sighting is known by.
func codes(in, c impound.Candidate) []string {
	var out []string
	for _, rs := range [][]impound.Reason{c.Reasons, in.Reasons} {
		for _, x := range rs {
			if strings.HasPrefix(x.Code, "brand-") && !slices.Contains(out, x.Code) {
				out = append(out, x.Code)
			}
		}
	}
	return out
}

// news says what of a sighting was not known of the row; "" for nothing. It does
// not change the row.
func (r *Row) news(in, c impound.Candidate, host bool) string {
	var out []string
	if host {
		out = append(out, "a new host "+c.Name.Defanged())
	}
	for _, a := range c.Actors {
		if !slices.Contains(r.Actors, a) {
			out = append(out, "it fits the habits of "+a)
		}
	}
	if in.Brand != "" && !slices.Contains(r.Brands, in.Brand) && len(r.Brands) > 0 {
		out = append(out, "it imitates "+in.Brand)
	}
	for _, k := range codes(in, c) {
		if len(r.Codes) > 0 && !slices.Contains(r.Codes, k) {
			out = append(out, "a new reason: "+k)
		}
	}
	for _, st := range []*Standing{&r.Standing, r.Open} {
		if st != nil && st.Score > 0 && r.Score > st.Score+moreScore && c.Name == r.Top && st.Status != CandidateOpen {
			out = append(out, fmt.Sprintf("it scores %.2f, not %.2f", r.Score, st.Score))
			break
		}
	}
	return strings.Join(out, ", ")
}

// moreScore is by how much a score must grow to be news.
const moreScore = 0.03

// reopens says why a closed row opens again: for what was found that was not
// known when it was closed. What is the brand's own opens for another brand or
// actor alone, what was inactive for any sign of life.
func (st *Standing) reopens(r *Row, in, c impound.Candidate, isNew bool, news string) string {
	if st.Status != CandidateDismissed && st.Status != CandidateSnoozed {
		return ""
	}
	switch {
	case st.Reason == ReasonOwn && st.Status == CandidateDismissed:
		var why []string
		if in.Brand != "" && in.Brand != st.Brand0 && st.Brand0 != "" && !slices.Contains(st.Known, "brand "+in.Brand) {
			why = append(why, "it imitates "+in.Brand)
		}
		for _, a := range c.Actors {
			if !slices.Contains(st.Known, "actor "+a) {
				why = append(why, "it fits the habits of "+a)
			}
		}
		return strings.Join(why, ", ")
	case news != "":
		return news
	case st.Reason == ReasonInactive && isNew:
		return "it was seen by " + in.Source
	}
	return ""
}

// known is what a decision is made knowing.
func (r *Row) known() []string {
	out := slices.Clone(r.Codes)
	for _, b := range r.Brands {
		out = append(out, "brand "+b)
	}
	for _, a := range r.Actors {
		out = append(out, "actor "+a)
	}
	return out
}

// row gives r as it is seen; false when it can't be.
func (x Sight) row(r Row) (Row, bool) {
	if r.Scope != "" && !x.Case(r.Scope) {
		return Row{}, false
	}
	if r.Case != "" && !x.Case(r.Case) {
		if r.Open != nil {
			r.Standing = *r.Open
		} else {
			r.Standing = Standing{Status: CandidateOpen, Rev: r.Rev}
		}
	}
	r.Open = nil
	return r, true
}

// scopes are those that x's rows can be of.
func (x Sight) scopes() []string {
	out := []string{""}
	for c, seal := range x.view.seals {
		if len(seal.Parties) > 0 && x.Case(c) {
			out = append(out, c)
		}
	}
	slices.Sort(out)
	return out
}

// QueueFilter selects rows; empty fields select all.
type QueueFilter struct {
	Status   string
	Brand    string
	Actor    string
	Source   string
	Case     string
	Name     impound.Name // the row that holds this name
	MinScore float64      // of Rank
	After    string       // Next of the page before
	Limit    int          // 0: all
}

// QueuePage is a part of the queue.
type QueuePage struct {
	Rows  []Row
	Next  string // "" when there is no more
	Total int    // rows that fit; -1 when only reading them all would tell
}

// Queue gives a page of the queue, the highest rank first.
func (s *Service) Queue(ctx context.Context, f QueueFilter) (QueuePage, error) {
	x, err := s.Sight(ctx)
	if err != nil {
		return QueuePage{}, err
	}
	if err := s.readyQueue(ctx); err != nil {
		return QueuePage{}, err
	}
	var out QueuePage
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		if out, err = queuePage(tx, x, f); err != nil {
			return err
		}
		for i := range out.Rows {
			if out.Rows[i].InCases, err = x.inCases(tx, out.Rows[i]); err != nil {
				return err
			}
		}
		return nil
	})
	return out, err
}

func (f QueueFilter) fits(r Row) bool {
	return (f.Status == "" || r.Status == f.Status) && (f.Brand == "" || slices.Contains(r.Brands, f.Brand)) && (f.Actor == "" || slices.Contains(r.Actors, f.Actor)) &&
		(f.Source == "" || slices.ContainsFunc(r.Sources, func(s RowSource) bool { return s.Source == clipKey(f.Source) })) &&
		(f.Case == "" || r.Case == f.Case) && r.Rank >= f.MinScore
}

// statuses are what a row can stand in.
var statuses = []string{CandidateOpen, CandidateSnoozed, CandidatePromoted, CandidateDismissed}

func queuePage(tx store.Tx, x Sight, f QueueFilter) (QueuePage, error) {
	page := QueuePage{Rows: []Row{}, Total: -1}
	type place struct {
		id string
		Row
	}
	var got []place
	// take reads what q finds until there is enough of what fits and keep wants.
	more := false
	take := func(q store.Query, keep func(raw, seen Row) bool) error {
		q.After, q.Bare = f.After, true
		n := 0
		for portion := max(min(f.Limit+1, 1000), 100); ; {
			q.Limit = portion
			docs, err := tx.List(q)
			if err != nil {
				return err
			}
			for _, d := range docs {
				q.After = d.ID
				h, err := readRow(d)
				if err != nil {
					return err
				}
				r, ok := x.row(h.Row)
				if f.MinScore > 0 && h.Rank < f.MinScore {
					return nil // the rest ranks lower still
				}
				if !ok || !f.fits(r) || !keep(h.Row, r) {
					continue
				}
				got = append(got, place{d.ID, r})
				if n++; f.Limit > 0 && n > f.Limit {
					return nil
				}
			}
			if len(docs) < portion {
				return nil
			}
			portion = 1000
		}
	}
	hid := x.Hidden()
	hides := func(raw Row) bool { return raw.Case != "" && slices.Contains(hid, raw.Case) }
	if !f.Name.IsZero() {
		for _, scope := range x.scopes() {
			h, err := getRow(tx, rowName(f.Name), scope)
			if err != nil {
				return page, err
			}
			if h == nil {
				continue
			}
			if r, ok := x.row(h.Row); ok && f.fits(r) && h.docID > f.After {
				got = append(got, place{h.docID, r})
			}
		}
	} else {
		field := "status"
		switch {
		case f.Actor != "":
			field = "actor/" + clipKey(f.Actor)
		case f.Brand != "":
			field = "brand/" + clipKey(f.Brand)
		case f.Source != "":
			field = "source/" + clipKey(f.Source)
		}
		want := statuses
		if f.Status != "" {
			want = []string{f.Status}
		}
		for _, scope := range x.scopes() {
			for _, st := range want {
				if err := take(store.Query{Kind: kindRow, Field: field, Value: at(st, scope)}, func(raw, _ Row) bool { return !hides(raw) }); err != nil {
					return page, err
				}
			}
		}
		// What went into cases that can't be seen stands otherwise for x.
		for _, c := range hid {
			if err := take(store.Query{Kind: kindRow, Field: "case", Value: c}, func(raw, _ Row) bool { return true }); err != nil {
				return page, err
			}
		}
		if (f.Status == "" || len(hid) == 0) && (f.Status != "" || len(hid) == 0) && f.MinScore == 0 && f.Case == "" && single(f) {
			counts, err := store.CountBy(tx, store.Query{Kind: kindRow}, field)
			if err != nil {
				return page, err
			}
			page.Total = 0
			for _, scope := range x.scopes() {
				for _, st := range want {
					page.Total += counts[at(st, scope)]
				}
			}
		}
	}
	slices.SortFunc(got, func(a, b place) int { return strings.Compare(a.id, b.id) })
	if f.Limit > 0 && len(got) > f.Limit {
		got, more = got[:f.Limit], true
	}
	for _, p := range got {
		page.Rows = append(page.Rows, p.Row)
	}
	if more {
		page.Next = got[len(got)-1].id
	}
	return page, nil
}

// single says whether one index field tells all that f asks for.
func single(f QueueFilter) bool {
	n := 0
	for _, v := range []string{f.Actor, f.Brand, f.Source} {
		if v != "" {
			n++
		}
	}
	return n <= 1
}

// QueueCounts counts the queue's rows by status.
func (s *Service) QueueCounts(ctx context.Context) (map[string]int, error) {
	x, err := s.Sight(ctx)
	if err != nil {
		return nil, err
	}
	if err := s.readyQueue(ctx); err != nil {
		return nil, err
	}
	out := map[string]int{}
	err = s.cfg.Store.View(ctx, func(tx store.Tx) error {
		n, err := store.CountBy(tx, store.Query{Kind: kindRow}, "status")
		if err != nil {
			return err
		}
		for _, scope := range x.scopes() {
			for _, st := range statuses {
				out[st] += n[at(st, scope)]
			}
		}
		for _, c := range x.Hidden() {
			docs, err := tx.List(store.Query{Kind: kindRow, Field: "case", Value: c, Bare: true})
			if err != nil {
				return err
			}
			for _, d := range docs {
				h, err := readRow(d)
				if err != nil {
					return err
				}
				if h.Scope != "" && !x.Case(h.Scope) {
					continue
				}
				out[h.Status]--
				r, _ := x.row(h.Row)
				out[r.Status]++
			}
		}
		return nil
	})
	return out, err
}

// readyQueue makes rows of candidates from before there were rows, and wakes
// what was snoozed until now. Where there is nothing to do, a look writes nothing.
func (s *Service) readyQueue(ctx context.Context) error {
	now := s.now()
	built, due, none := s.queueBuilt.Load(), false, false
	err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
		if !built {
			_, err := tx.Get(kindMeta, "built")
			if built = err == nil; !built && impound.KindOf(err) != impound.KindNotFound {
				return err
			}
			s.queueBuilt.Store(built)
		}
		if !built { // the first who keeps a candidate builds
			n, err := tx.Count(store.Query{Kind: kindCandidate})
			if none = err == nil && n == 0; err != nil || none {
				return err
			}
		}
		docs, err := tx.List(store.Query{Kind: kindWake, Limit: 1, Bare: true})
		due = len(docs) > 0 && docs[0].ID <= now.Format(time.RFC3339)+"0"
		return err
	})
	if err != nil || none || built && !due {
		return err
	}
	return s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		b := newBook(tx, now)
		if err := b.build(); err != nil {
			return err
		}
		s.queueBuilt.Store(true)
		return b.wake()
	})
}

// build makes the rows, once.
func (b *book) build() error {
	_, err := b.tx.Get(kindMeta, "built")
	if impound.KindOf(err) != impound.KindNotFound {
		return err
	}
	all, err := store.Values[impound.Candidate](b.tx, store.Query{Kind: kindCandidate})
	if err != nil {
		return err
	}
	for _, c := range all {
		if err := b.sight(c, c, true); err != nil {
			return err
		}
	}
	_, err = store.Put(b.tx, kindMeta, "built", 0, map[string]any{"at": b.now}, nil)
	return err
}

func wakeID(until time.Time, r *Row) string {
	return until.UTC().Format(time.RFC3339) + "/" + rowKey(r.Name, r.Scope)
}

// wake opens what was snoozed until now.
func (b *book) wake() error {
	for {
		docs, err := b.tx.List(store.Query{Kind: kindWake, Limit: 100})
		if err != nil {
			return err
		}
		for _, d := range docs {
			until, key, _ := strings.Cut(d.ID, "/")
			if t, err := time.Parse(time.RFC3339, until); err == nil && t.After(b.now) {
				return nil
			}
			if err := b.tx.Delete(kindWake, d.ID, d.Rev); err != nil {
				return err
			}
			name, scope, _ := strings.Cut(key, "/")
			n, err := impound.ParseName(name)
			if err != nil {
				continue
			}
			h, err := b.get(n, scope)
			if err != nil {
				return err
			}
			if h == nil {
				continue
			}
			for _, st := range []*Standing{&h.Standing, h.Open} {
				if st != nil && st.Status == CandidateSnoozed && !st.Until.After(b.now) {
					st.Again = fmt.Sprintf("snoozed by %s until %s", st.By, st.Until.Format(time.DateOnly))
					st.Status, st.Until = CandidateOpen, time.Time{}
					st.Rev++
				}
			}
			if err := b.put(h); err != nil {
				return err
			}
			if err := b.mirror(h); err != nil {
				return err
			}
		}
		if len(docs) < 100 {
			return nil
		}
	}
}

// mirror gives the candidates of a row its standing.
func (b *book) mirror(h *held) error {
	if h.Scope != "" {
		return nil
	}
	st := h.Standing
	if h.Open != nil && h.Open.Status == CandidatePromoted {
		st = *h.Open
	}
	items, err := store.List[impound.Candidate](b.tx, store.Query{Kind: kindCandidate, Field: "domain", Value: h.Name.String()})
	if err != nil {
		return err
	}
	if len(items) == 0 { // from before there were rows
		for _, x := range h.Hosts {
			c, rev, err := store.Get[impound.Candidate](b.tx, kindCandidate, x.Name.String())
			if err == nil {
				items = append(items, store.Item[impound.Candidate]{ID: x.Name.String(), Rev: rev, Value: c})
			}
		}
	}
	for _, it := range items {
		c := it.Value
		if c.Status == st.Status && c.Case == st.Case {
			continue
		}
		c.Status, c.Case = st.Status, st.Case
		if err := putCandidate(b.tx, it.Rev, c); err != nil {
			return err
		}
	}
	return nil
}
