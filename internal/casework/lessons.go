package casework

import (
	"context"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

const kindLesson = "queue.lesson"

// Why a row is dismissed. What each teaches stands in [DismissReasons].
const (
	ReasonOwn      = "own"
	ReasonWord     = "word"
	ReasonChance   = "chance"
	ReasonActor    = "actor"
	ReasonInactive = "inactive"
	ReasonOther    = "other"
)

// DismissReason is one of the reasons that a dismissal gives, with what it does.
type DismissReason struct{ Code, Text, Does string }

// DismissReasons are all, as they are offered.
var DismissReasons = []DismissReason{
	{ReasonWord, "the word means something else here", "names with the same words and this brand rank lower"},
	{ReasonChance, "alike by chance", "names with the same words and this brand rank lower, and those that are as many letters off in the same way"},
	{ReasonOwn, "the brand's own, or of somebody who acts for it", "the domain stays closed for this brand, whatever hosts come; nothing else changes"},
	{ReasonActor, "not this actor's way", "names that only the actor's habits speak for rank lower for that actor"},
	{ReasonInactive, "parked, empty or gone", "nothing; it opens again at any sign of life"},
	{ReasonOther, "another reason", "nothing"},
}

// A lesson is what decisions on rows with one feature say of others with it.
type lesson struct {
	Key   string `json:"key"`
	Text  string `json:"text"` // of the feature
	Brand string `json:"brand,omitempty"`
	Actor string `json:"actor,omitempty"`
	Scope string `json:"scope,omitempty"`
	// Down and Up are the rows whose dismissal and promotion taught, by name.
	Down map[string]taught `json:"down,omitempty"`
	Up   map[string]taught `json:"up,omitempty"`
	// Off is who said that it is not to count.
	Off    string    `json:"off,omitempty"`
	OffAt  time.Time `json:"off_at,omitzero"`
	OffWhy string    `json:"off_why,omitempty"`

	rev int64
}

type taught struct {
	By   string    `json:"by"`
	At   time.Time `json:"at"`
	Case string    `json:"case,omitempty"`
}

// leastTaught is how many decisions it takes before a lesson counts: one careless
// click must not teach. mostTaught bounds what is kept: more don't change it.
const (
	leastTaught = 3
	mostTaught  = 500
)

// offset is what the lesson adds to a score: 0.06 for each doubling of promoted
// over dismissed, no more than -0.35 and +0.15.
func (l *lesson) offset() float64 {
	d, p := len(l.Down), len(l.Up)
	if l.Off != "" || d+p < leastTaught {
		return 0
	}
	x := 0.06 * math.Log2(float64(p+1)/float64(d+1))
	return math.Round(min(max(x, -0.35), 0.15)*100) / 100
}

func (l *lesson) words() string {
	d, p := len(l.Down), len(l.Up)
	if p > d {
		return fmt.Sprintf("%d of %d names with %s were promoted", p, d+p, l.Text)
	}
	return fmt.Sprintf("%d of %d names with %s were dismissed", d, d+p, l.Text)
}

// A feature is what rows have in common that can be learnt of.
type feature struct {
	key, text, kind, brand, actor string
	plain                         bool // of how the brand stands there: it stands there as it is
}

// plainHow are the ways in which most phishing imitates: that one name of that
// kind was harmless must not speak against all others, but against its words.
var plainHow = []string{"exact", "combo", "inside", "sub-domain", "tld-swap", "homoglyph", "idn"}

// taughtBy says whether a dismissal for reason teaches of f.
func (f feature) taughtBy(reason string) bool {
	switch {
	case f.kind == reason:
		return !f.plain
	case f.kind == ReasonWord:
		return reason == ReasonChance
	}
	return false
}

// features gives those of a row.
func (r *Row) features() []feature {
	var out []feature
	scope := ""
	if r.Scope != "" {
		scope = r.Scope + "|"
	}
	add := func(kind, whose, what, text string) {
		f := feature{key: clipKey(scope + kind + "|" + whose + "|" + what), text: text, kind: kind}
		if kind == ReasonActor {
			f.actor = whose
		} else {
			f.brand = whose
		}
		out = append(out, f)
	}
	if r.Brand != "" {
		for _, x := range r.Reasons {
			if how, ok := strings.CutPrefix(x.Code, "brand-"); ok {
				add(ReasonChance, r.Brand, how, "“"+how+"” of "+r.Brand)
				out[len(out)-1].plain = slices.Contains(plainHow, how)
			}
		}
		for _, w := range r.words() {
			add(ReasonWord, r.Brand, w, "“"+w+"” beside "+r.Brand)
		}
	}
	for _, a := range r.Actors {
		add(ReasonActor, a, "", "the habits of "+a)
	}
	return out
}

// words are those of the domain's own label beside what imitates the brand.
func (r *Row) words() []string {
	label, _, _ := strings.Cut(r.Name.String(), ".")
	drop := []string{strings.ToLower(r.Brand)}
	for _, x := range r.Reasons {
		if strings.HasPrefix(x.Code, "brand-") {
			// The reason quotes what stands in the name, and the token.
			for i, q := range strings.Split(x.Text, `"`) {
				if i%2 == 1 {
					drop = append(drop, strings.ToLower(q))
				}
			}
		}
	}
	slices.SortFunc(drop, func(a, b string) int { return len(b) - len(a) })
	for _, d := range drop {
		if len(d) > 2 {
			label = strings.ReplaceAll(label, d, "-")
		}
	}
	var out []string
	for _, w := range strings.FieldsFunc(label, func(c rune) bool { return c < 'a' || c > 'z' }) {
		if len(w) >= 4 && len(w) <= 24 && !slices.Contains(out, w) && len(out) < 4 && w != "xn" {
			out = append(out, w)
		}
	}
	return out
}

func (b *book) lesson(key string) (*lesson, error) {
	if l, ok := b.lessons[key]; ok {
		return l, nil
	}
	l, rev, err := store.Get[lesson](b.tx, kindLesson, key)
	if impound.KindOf(err) == impound.KindNotFound {
		b.lessons[key] = nil
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	l.rev = rev
	b.lessons[key] = &l
	return &l, nil
}

// rank sets what the row ranks by: its score, and what was learnt, with words.
func (b *book) rank(r *Row) error {
	r.Learnt = nil
	sum := 0.0
	for _, f := range r.features() {
		l, err := b.lesson(f.key)
		if err != nil {
			return err
		}
		if l == nil {
			continue
		}
		if x := l.offset(); x != 0 {
			r.Learnt = append(r.Learnt, impound.Reason{Code: "learnt-" + f.kind, Text: l.words(), Weight: x})
			sum += x
		}
	}
	sum = min(max(sum, -0.4), 0.2)
	r.Rank = math.Round(min(max(r.Score+sum, 0.001), 0.999)*1e4) / 1e4
	if len(r.Learnt) == 0 {
		r.Rank = r.Score
	}
	return nil
}

// teach notes a decision, or with undo takes it back. It gives what changed its
// weight, for the other rows.
func (b *book) teach(r *Row, st Standing, caseSealed, undo bool) ([]feature, error) {
	var moved []feature
	for _, f := range r.features() {
		up := st.Status == CandidatePromoted
		switch {
		case up && caseSealed && r.Scope == "":
			continue // what a sealed case took must not show in what others see
		case up:
		case st.Status != CandidateDismissed || !f.taughtBy(st.Reason):
			continue
		}
		l, err := b.lesson(f.key)
		if err != nil {
			return nil, err
		}
		if l == nil {
			if undo {
				continue
			}
			l = &lesson{Key: f.key, Text: f.text, Brand: f.brand, Actor: f.actor, Scope: r.Scope}
			b.lessons[f.key] = l
		}
		was := l.offset()
		list := &l.Down
		if up {
			list = &l.Up
		}
		_, have := (*list)[r.Name.String()]
		switch {
		case undo == !have:
			continue
		case undo:
			delete(*list, r.Name.String())
		case len(*list) >= mostTaught:
			continue
		default:
			if *list == nil {
				*list = map[string]taught{}
			}
			(*list)[r.Name.String()] = taught{st.By, st.At, st.Case}
		}
		if err := b.keep(l); err != nil {
			return nil, err
		}
		if l.offset() != was {
			moved = append(moved, f)
		}
	}
	return moved, nil
}

func (b *book) keep(l *lesson) error {
	if len(l.Down)+len(l.Up) == 0 && l.Off == "" {
		if l.rev == 0 {
			return nil
		}
		b.lessons[l.Key] = nil
		return b.tx.Delete(kindLesson, l.Key, l.rev)
	}
	rev, err := store.Put(b.tx, kindLesson, l.Key, l.rev, *l, nil)
	l.rev = rev
	return err
}

// Lesson is something that was learnt from decisions.
type Lesson struct {
	Key       string    `json:"key"`
	Text      string    `json:"text"`   // what names have in common
	Words     string    `json:"words"`  // what was decided of them
	Offset    float64   `json:"offset"` // what it adds to scores now
	Brand     string    `json:"brand,omitempty"`
	Actor     string    `json:"actor,omitempty"`
	Scope     string    `json:"scope,omitempty"` // the sealed case that it is of
	Dismissed []string  `json:"dismissed,omitempty"`
	Promoted  []string  `json:"promoted,omitempty"`
	By        []string  `json:"by"`
	Last      time.Time `json:"last"`
	Off       string    `json:"off,omitempty"` // who said that it is not to count
	OffWhy    string    `json:"off_why,omitempty"`
}

// Lessons gives what was learnt, what weighs most first. Names that the asker may
// not see are left out of it.
func (s *Service) Lessons(ctx context.Context) ([]Lesson, error) {
	x, err := s.Sight(ctx)
	if err != nil {
		return nil, err
	}
	var all []lesson
	err = s.cfg.Store.View(ctx, func(tx store.Tx) (err error) {
		all, err = store.Values[lesson](tx, store.Query{Kind: kindLesson})
		return err
	})
	out := []Lesson{}
	for _, l := range all {
		if l.Scope != "" && !x.Case(l.Scope) {
			continue
		}
		o := Lesson{Key: l.Key, Text: l.Text, Words: l.words(), Offset: l.offset(), Brand: l.Brand, Actor: l.Actor, Scope: l.Scope, By: []string{}, Off: l.Off, OffWhy: l.OffWhy}
		for _, m := range []struct {
			from map[string]taught
			to   *[]string
		}{{l.Down, &o.Dismissed}, {l.Up, &o.Promoted}} {
			for n, t := range m.from {
				if name, err := impound.ParseName(n); err != nil || !x.Name(name) || t.Case != "" && !x.Case(t.Case) {
					continue
				}
				*m.to = append(*m.to, n)
				if !slices.Contains(o.By, t.By) {
					o.By = append(o.By, t.By)
				}
				if t.At.After(o.Last) {
					o.Last = t.At
				}
			}
			slices.Sort(*m.to)
		}
		slices.Sort(o.By)
		if len(o.Dismissed)+len(o.Promoted) > 0 || o.Off != "" {
			out = append(out, o)
		}
	}
	slices.SortStableFunc(out, func(a, b Lesson) int {
		if c := math.Abs(b.Offset) - math.Abs(a.Offset); c != 0 {
			return int(math.Copysign(1, c))
		}
		return strings.Compare(a.Key, b.Key)
	})
	return out, err
}

// SwitchLesson says that a lesson is not to count, or with on that it is again;
// why is recorded. Role: analyst.
func (s *Service) SwitchLesson(ctx context.Context, by, key string, on bool, why string) error {
	x, err := s.act(ctx, "SwitchLesson", by)
	if err != nil {
		return err
	}
	if why = strings.TrimSpace(why); why == "" && !on {
		return impound.Errorf(impound.KindInvalid, "the decision gives no reason").WithCure("say why: others will read it")
	}
	var moved []feature
	err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
		b := newBook(tx, s.now())
		l, err := b.lesson(key)
		if err != nil {
			return err
		}
		if l == nil || l.Scope != "" && !x.Case(l.Scope) {
			return impound.Errorf(impound.KindNotFound, "no lesson %.80q", key).WithCure("impound watch lessons lists them")
		}
		if (l.Off == "") == on {
			return nil
		}
		l.Off, l.OffAt, l.OffWhy = by, s.now(), why
		if on {
			l.Off, l.OffAt, l.OffWhy = "", time.Time{}, ""
		}
		moved = []feature{{key: key, brand: l.Brand, actor: l.Actor}}
		if err := b.keep(l); err != nil {
			return err
		}
		if err := b.pend(moved, l.Scope); err != nil {
			return err
		}
		return s.decide(ctx, impound.Entry{ID: entryID("candidate.lesson", key, fmt.Sprint(on), itoa(l.rev)), By: by, What: "candidate.lesson", Case: l.Scope, Detail: map[string]string{"lesson": key, "counts": fmt.Sprint(on), "why": why}})
	})
	if err == nil {
		_, err = s.Rerank(ctx, rerankNow)
	}
	return err
}

// rerankNow is for how long a decision ranks other rows anew before it returns;
// the watch, the serving process and the next decision go on.
const rerankNow = 60 * time.Millisecond

// pending is which rows are to be ranked anew, because a lesson of theirs weighs
// otherwise now. After is how far that got.
type pending struct {
	Field string `json:"field"` // brand/B or actor/A
	Scope string `json:"scope"`
	After string `json:"after"`
}

// pend notes that rows with a feature are to be ranked anew.
func (b *book) pend(moved []feature, scope string) error {
	if len(moved) == 0 {
		return nil
	}
	_, err := store.Modify(b.tx, kindMeta, "pending", func(list *[]pending) (map[string]string, error) {
		for _, f := range moved {
			p := pending{Field: "brand/" + clipKey(f.brand), Scope: scope}
			if f.actor != "" {
				p.Field = "actor/" + clipKey(f.actor)
			}
			*list = slices.DeleteFunc(*list, func(q pending) bool { return q.Field == p.Field && q.Scope == p.Scope })
			*list = append(*list, p)
		}
		return nil, nil
	})
	return err
}

// Rerank ranks rows anew whose lessons changed, for as long as it is let, and
// says whether that was all. It decides nothing: what it does follows from
// decisions that were made.
func (s *Service) Rerank(ctx context.Context, most time.Duration) (done bool, err error) {
	begin := time.Now()
	for {
		idle := false
		err := s.cfg.Store.View(ctx, func(tx store.Tx) error {
			list, _, err := store.Get[[]pending](tx, kindMeta, "pending")
			idle = len(list) == 0
			if impound.KindOf(err) == impound.KindNotFound {
				return nil
			}
			return err
		})
		if err != nil || idle {
			return err == nil, err
		}
		if time.Since(begin) > most {
			return false, nil
		}
		err = s.cfg.Store.Update(ctx, func(tx store.Tx) error {
			b := newBook(tx, s.now())
			list, rev, err := store.Get[[]pending](tx, kindMeta, "pending")
			if err != nil || len(list) == 0 {
				return err
			}
			p := &list[0]
			const portion = 200
			docs, err := tx.List(store.Query{Kind: kindRow, Field: p.Field, Value: at(CandidateOpen, p.Scope), After: p.After, Limit: portion, Bare: true})
			if err != nil {
				return err
			}
			for _, d := range docs {
				p.After = d.ID
				h, err := readRow(d)
				if err != nil {
					return err
				}
				was := h.Rank
				if err := b.rank(&h.Row); err != nil {
					return err
				}
				if h.Rank != was {
					if err := b.put(h); err != nil {
						return err
					}
				}
			}
			if len(docs) < portion {
				list = list[1:]
			}
			_, err = store.Put(tx, kindMeta, "pending", rev, list, nil)
			return err
		})
		if err != nil {
			return false, err
		}
	}
}

// forgetCase takes what promotions into a case taught out of the lessons: the
// case is sealed now.
func (b *book) forgetCase(caseID string) error {
	all, err := store.List[lesson](b.tx, store.Query{Kind: kindLesson})
	if err != nil {
		return err
	}
	for _, it := range all {
		l := it.Value
		if l.Scope == caseID {
			continue
		}
		l.rev = it.Rev
		was, n := l.offset(), len(l.Up)
		for k, t := range l.Up {
			if t.Case == caseID {
				delete(l.Up, k)
			}
		}
		if len(l.Up) == n {
			continue
		}
		if err := b.keep(&l); err != nil {
			return err
		}
		if l.offset() != was {
			if err := b.pend([]feature{{brand: l.Brand, actor: l.Actor}}, l.Scope); err != nil {
				return err
			}
		}
	}
	return nil
}
