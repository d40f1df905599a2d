package live

import (
	"bytes"
	"fmt"
	"hash/maphash"
	"sync"
	"sync/atomic"
	"unicode/utf8"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch"
	"github.com/impound/impound/internal/watch/match"
)

// Findings is what a stretch of a source held.
type Findings struct {
	Items, Names, IPs, BadNames, Unreadable int64
	Candidates                              []impound.Candidate
	Events                                  []Event // the newest KeptEvents
}

func (f *Findings) reset() {
	*f = Findings{Candidates: f.Candidates[:0], Events: f.Events[:0]}
}

func (f *Findings) add(g *Findings) {
	f.Items += g.Items
	f.Names += g.Names
	f.IPs += g.IPs
	f.BadNames += g.BadNames
	f.Unreadable += g.Unreadable
	f.Candidates = append(f.Candidates, g.Candidates...)
	for _, e := range g.Events {
		f.event(e)
	}
}

func (f *Findings) event(e Event) {
	if len(f.Events) >= 2*KeptEvents {
		f.Events = append(f.Events[:0], f.Events[KeptEvents:]...)
	}
	f.Events = append(f.Events, e)
}

// screener judges names fast: most are ordinary, and cost one look.
type screener struct {
	opt    watch.Options
	least  float64
	seed   maphash.Seed
	brands *watch.Share // nil: no budget
	habits atomic.Pointer[[]habit]

	scorers sync.Pool // of *match.Scorer
}

// habit is an actor's profile with the share of the stream that it may flag.
type habit struct {
	watch.Profile
	scope string
	quick func(name []byte) float64
	share *watch.Share
}

// leastHabit is the least score at which habits flag a name, and firstHabit the
// least before the stream is known.
const (
	leastHabit = 0.02
	firstHabit = 0.5
)

// profiles sets whose habits are looked for from now on. What was learnt of how
// the stream scores by one stays.
func (s *screener) profiles(ps []watch.Profile) {
	var was []habit
	if p := s.habits.Load(); p != nil {
		was = *p
	}
	share := s.opt.Habits
	if share == 0 {
		share = watch.DefaultHabits
	}
	out := make([]habit, 0, len(ps))
	for _, p := range ps {
		h := habit{Profile: p}
		if x, ok := p.(watch.ScopedProfile); ok {
			h.scope = x.Scope()
		}
		if x, ok := p.(watch.QuickProfile); ok {
			h.quick = x.Quick
		} else {
			h.quick = func(n []byte) float64 { x, _ := p.Score(string(n)); return x }
		}
		for _, o := range was {
			if o.Actor() == p.Actor() && o.scope == h.scope {
				h.share = o.share
			}
		}
		if h.share == nil {
			h.share = watch.NewShare(share, leastHabit, firstHabit)
		}
		out = append(out, h)
	}
	s.habits.Store(&out)
}

func newScreener(opt watch.Options) (*screener, error) {
	if opt.Matcher == nil && len(opt.Profiles) == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "nothing to look for: no brands and no actors")
	}
	s := &screener{opt: opt, least: opt.Threshold, seed: maphash.MakeSeed()}
	if s.least == 0 {
		s.least = watch.DefaultThreshold
	}
	s.scorers.New = func() any { return opt.Matcher.Scorer() }
	if opt.Budget > 0 {
		s.brands = watch.NewShare(opt.Budget, s.least, s.least)
	}
	s.profiles(opt.Profiles)
	return s, nil
}

// maxText bounds what an event shows of a name that is none.
const maxText = 120

// shown makes text from anywhere fit to be shown.
func shown(b []byte) string {
	cut := ""
	if len(b) > maxText {
		b, cut = b[:maxText], "..."
	}
	if utf8.Valid(b) && !bytes.ContainsFunc(b, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0x202e }) {
		return fmt.Sprintf("%q%s", b, cut)
	}
	return fmt.Sprintf("%+q%s", b, cut)
}

// canonical lowers raw and takes a wildcard label and the last dot away, into
// buf. plain says that it is made of what host names are made of, and short
// enough.
func canonical(buf, raw []byte) (name []byte, plain bool) {
	if len(raw) > 2 && raw[0] == '*' && raw[1] == '.' {
		raw = raw[2:]
	}
	if n := len(raw); n > 1 && raw[n-1] == '.' {
		raw = raw[:n-1]
	}
	plain = len(raw) > 0 && len(raw) <= 253
	if !plain {
		return raw, false
	}
	name = buf[:0]
	dots, label, digits := 0, 0, true
	for _, c := range raw {
		switch {
		case c >= '0' && c <= '9':
			label++
		case c >= 'a' && c <= 'z' || c == '-' || c == '_':
			label++
			digits = false
		case c >= 'A' && c <= 'Z':
			c |= 0x20
			label++
			digits = false
		case c == '.':
			if label == 0 || label > 63 {
				plain = false
			}
			dots++
			label, digits = 0, true
		default:
			plain = false
		}
		name = append(name, c)
	}
	return name, plain && dots > 0 && label > 0 && label <= 63 && !digits
}

// name judges one name as it stands in a source. buf is room for 253 octets.
func (s *screener) name(f *Findings, buf, raw []byte, source string, at int64) {
	f.Names++
	n, plain := canonical(buf, raw)
	var fits []habit
	var by *match.Scorer // which saw the brand
	brand := false
	if plain {
		if s.opt.Matcher != nil {
			r := s.scorers.Get().(*match.Scorer)
			defer s.scorers.Put(r)
			var score float64
			if s.brands != nil {
				score, _ = r.Score(n)
				brand = s.brands.Pass(score)
			} else {
				score, _ = r.AtLeast(n, s.least)
				brand = score >= s.least
			}
			if brand && score > 0 {
				by = r
			}
		}
		for _, h := range *s.habits.Load() {
			if h.share.Pass(h.quick(n)) {
				fits = append(fits, h)
			}
		}
		if !brand && len(fits) == 0 {
			if isALabel(n) { // one that decodes to nothing is worth a word
				if _, err := impound.ParseName(string(n)); err != nil {
					s.bad(f, raw, err, at)
				}
			}
			return
		}
	}
	if bytes.IndexByte(raw, 0) >= 0 {
		s.bad(f, raw, impound.Errorf(impound.KindInvalid, "holds a NUL"), at)
		return
	}
	name, err := impound.ParseName(string(raw))
	if err != nil {
		s.bad(f, raw, err, at)
		return
	}
	if !plain { // a spelling that was read all the same
		canon := []byte(name.String())
		if s.opt.Matcher != nil {
			score, _ := s.opt.Matcher.Score(canon)
			brand = score >= s.least && (s.brands == nil || s.brands.Pass(score))
		}
		for _, h := range *s.habits.Load() {
			if h.share.Pass(h.quick(canon)) {
				fits = append(fits, h)
			}
		}
	}
	if name.String() != string(n) { // it was spelt otherwise
		by = nil
	}
	s.found(f, name, source, brand, by, fits)
}

// found makes candidates of a name: one for everybody, and one for each sealed
// case whose habits it fits. by, if it is not nil, scored the name last.
func (s *screener) found(f *Findings, name impound.Name, source string, brand bool, by *match.Scorer, fits []habit) {
	var hit match.Hit
	ok := by != nil
	switch {
	case ok:
		hit = by.Hit()
	case s.opt.Matcher != nil:
		hit, ok = s.opt.Matcher.Match(name.String())
	}
	opt := s.opt
	opt.Source, opt.Profiles = source, nil
	for _, h := range fits {
		if h.scope == "" {
			opt.Profiles = append(opt.Profiles, h.Profile)
			continue
		}
		own := s.opt
		own.Source, own.Profiles = source, []watch.Profile{h.Profile}
		if c, ok := watch.Judged(name, hit, ok, own); ok {
			c.Scope = h.scope
			f.Candidates = append(f.Candidates, c)
		}
	}
	if !brand && len(opt.Profiles) == 0 {
		return
	}
	if c, ok := watch.Judged(name, hit, ok, opt); ok {
		f.Candidates = append(f.Candidates, c)
	}
}

func isALabel(n []byte) bool { return bytes.Contains(n, []byte("xn--")) }

func (s *screener) bad(f *Findings, raw []byte, err error, at int64) {
	f.BadNames++
	text := err.Error()
	if e, ok := err.(*impound.Error); ok { //nolint:errorlint // it is made there
		text = e.Msg
	}
	f.event(Event{Position: at, What: "name", Text: shown(raw) + ": " + cutText(text)})
}

func cutText(s string) string {
	if len(s) > 300 {
		return s[:300] + "..."
	}
	return s
}

// unique calls do for each name of a certificate once. Most have two.
func (s *screener) unique(names [][]byte, do func([]byte)) {
	if len(names) <= 16 {
	next:
		for i, n := range names {
			for _, m := range names[:i] {
				if bytes.Equal(n, m) {
					continue next
				}
			}
			do(n)
		}
		return
	}
	seen := make(map[uint64]struct{}, len(names))
	for _, n := range names {
		h := maphash.Bytes(s.seed, n)
		if _, ok := seen[h]; ok {
			continue
		}
		seen[h] = struct{}{}
		do(n)
	}
}

// uniqueFrom keeps of cs, from first on, each name once: a certificate names
// example.org and *.example.org.
func uniqueFrom(cs []impound.Candidate, first int) []impound.Candidate {
	if len(cs)-first < 2 {
		return cs
	}
	type key struct {
		name  impound.Name
		scope string
	}
	seen := make(map[key]struct{}, len(cs)-first)
	out := cs[:first]
	for _, c := range cs[first:] {
		k := key{c.Name, c.Scope}
		if _, ok := seen[k]; !ok {
			seen[k] = struct{}{}
			out = append(out, c)
		}
	}
	return out
}
