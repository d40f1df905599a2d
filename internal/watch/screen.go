// Package watch screens streams of names - newly registered, certified, from a
// feed or standard input - and gives the ones that are worth a person's look,
// each with its reasons.
//
// What lives here: the screening of a stream; in folders below: match (names
// that imitate brands), profile (an actor's habits), dga (generated names),
// source (where names come from), stream (lines on every core). What must not:
// a decision. A person promotes a candidate to a case.
package watch

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"time"
	"unsafe"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/match"
	"github.com/impound/impound/internal/watch/stream"
)

// Profile scores a name against the habits of one actor: 0 for nothing seen,
// up to 1.
type Profile interface {
	Actor() string
	Score(name string) (float64, []impound.Reason)
}

// A QuickProfile gives the score alone, for names as streams have them.
type QuickProfile interface {
	Quick(name []byte) float64
}

// A ScopedProfile was learnt from a sealed case: what it finds is for the
// parties to the seal, [impound.Candidate].Scope.
type ScopedProfile interface {
	Scope() string
}

// Options of [Screen].
type Options struct {
	Matcher   *match.Matcher // nil: brands are not looked for
	Profiles  []Profile
	Source    string           // where the names come from, for the candidates
	Now       func() time.Time // nil: time.Now
	Threshold float64          // least score of a candidate; 0 means DefaultThreshold, below 0 none
	// Progress, if set, is called about every 10,000 lines and at the end.
	Progress func(Stats)
	// Budget, in a stream without end (package live), is the share of all names
	// that may be taken for what imitates brands; 0: the threshold alone says.
	// Habits is the same for each profile; 0 means [DefaultHabits].
	Budget, Habits float64
}

// DefaultHabits is the share of a stream that one actor's habits may flag.
const DefaultHabits = 0.001

// DefaultThreshold keeps what the score holds to be more than a coincidence.
const DefaultThreshold = 0.1

// MaxBad is how many bad lines Stats keeps; all are counted.
const MaxBad = 1000

// maxLine is how long a line may be before it is cut and reported.
const maxLine = 64 << 10

// Stats says what a screening did. Read = Blank + Names + BadCount.
type Stats struct {
	Read     int64     `json:"read"`  // lines
	Blank    int64     `json:"blank"` // empty lines and comments
	Names    int64     `json:"names"` // lines that are names
	Hits     int64     `json:"hits"`  // candidates given
	BadCount int64     `json:"bad_count"`
	Bad      []BadLine `json:"bad,omitempty"` // the first MaxBad
}

// BadLine is a line that could not be read as a name.
type BadLine struct {
	Line int64  `json:"line"` // from 1
	Text string `json:"text"` // cut to 80 octets
	Err  error  `json:"-"`
	Msg  string `json:"error"`
}

// Screen reads a name a line from src (any spelling that [impound.ParseName]
// reads; of several columns the one that [Column] gives; # begins a comment) and calls
// emit for each that scores at or above the threshold, in order. A line that
// can't be read is recorded in Stats and the rest goes on. It ends at the end
// of src, or with the first error of src, emit or ctx; Stats are valid then
// too. It takes lines as they come and may run for ever.
func Screen(ctx context.Context, src io.Reader, opt Options, emit func(impound.Candidate) error) (Stats, error) {
	now := opt.Now
	if now == nil {
		now = time.Now
	}
	least := opt.Threshold
	if least == 0 {
		least = DefaultThreshold
	}
	return eachName(ctx, src, opt, func(scorer *match.Scorer, text []byte, name impound.Name) (c impound.Candidate, ok bool) {
		var h match.Hit
		if len(opt.Profiles) > 0 {
			c, ok = Judge(own(name), opt)
		} else if h, ok = scorer.Find(text, least); ok {
			c = judged(own(name), h, true, opt)
		}
		if !ok || c.Score < least {
			return impound.Candidate{}, false
		}
		c.Seen = now().UTC()
		return c, true
	}, func(st *Stats, c impound.Candidate) error {
		st.Hits++
		if err := emit(c); err != nil {
			return fmt.Errorf("couldn't hand over candidate %s: %w", c.Name.Defanged(), err)
		}
		return nil
	})
}

// own gives a name that may be kept: eachName's lives as long as its text.
func own(n impound.Name) impound.Name {
	if c, err := impound.ParseName(strings.Clone(n.String())); err == nil {
		return c
	}
	return impound.Name{} // a Name is one that parses
}

// octets gives those of a name, which are not to be changed.
func octets(n impound.Name) []byte {
	return unsafe.Slice(unsafe.StringData(n.String()), len(n.String()))
}

// judging says what is to be kept of a name. text is the name's, as octets; neither
// may be kept as they are ([own]). scorer is nil without a matcher.
type judging[T any] func(scorer *match.Scorer, text []byte, name impound.Name) (T, bool)

// block is what came of some lines. Counts and lines are those of the block.
type block[T any] struct {
	st    Stats
	found []T
	at    []Stats // the counts at each of found, without Bad
}

// eachName calls judge with every name of src, a line each, on every core, and take
// with what it gives, in order.
func eachName[T any](ctx context.Context, src io.Reader, opt Options, judge judging[T], take func(*Stats, T) error) (Stats, error) {
	var st Stats
	scorers := make([]*match.Scorer, runtime.GOMAXPROCS(0))
	for i := range scorers {
		if opt.Matcher != nil {
			scorers[i] = opt.Matcher.Scorer()
		}
	}
	work := func(worker int, lines []byte, b *block[T]) {
		b.st, b.found, b.at = Stats{Bad: b.st.Bad[:0]}, b.found[:0], b.at[:0]
		for len(lines) > 0 {
			line := lines
			if i := bytes.IndexByte(lines, '\n'); i >= 0 {
				line, lines = lines[:i], lines[i+1:]
			} else {
				lines = nil
			}
			b.st.Read++
			name, ok := one(&b.st, line, len(line) >= maxLine)
			if !ok {
				continue
			}
			b.st.Names++
			if x, ok := judge(scorers[worker], octets(name), name); ok {
				at := b.st
				at.Bad = nil
				b.found, b.at = append(b.found, x), append(b.at, at)
			}
		}
	}
	var told int64
	var taken error
	err := stream.Blocks(ctx, src, len(scorers), maxLine, work, func(b *block[T]) error {
		was := st
		add := func(x Stats) {
			st.Read, st.Blank = was.Read+x.Read, was.Blank+x.Blank
			st.Names, st.BadCount = was.Names+x.Names, was.BadCount+x.BadCount
		}
		bad := func() { // those up to where st is
			for _, l := range b.st.Bad {
				if l.Line += was.Read; l.Line <= st.Read && len(st.Bad) < MaxBad {
					st.Bad = append(st.Bad, l)
				}
			}
		}
		for i, x := range b.found {
			add(b.at[i])
			if taken = take(&st, x); taken != nil {
				bad()
				return taken
			}
		}
		add(b.st)
		bad()
		clear(b.found) // what they hold goes to whom they were given to
		if opt.Progress != nil && st.Read >= told+10_000 {
			told = st.Read
			opt.Progress(st)
		}
		return nil
	})
	if opt.Progress != nil && ctx.Err() == nil && taken == nil {
		opt.Progress(st)
	}
	if err == nil || taken != nil || ctx.Err() != nil {
		return st, err
	}
	return st, fmt.Errorf("couldn't read %s: %w", opt.Source, err)
}

// one reads the name of a line; false when it holds none, which st tells. The name
// may be part of line, and lives as long.
func one(st *Stats, line []byte, cut bool) (impound.Name, bool) {
	text := Column(line)
	if len(text) == 0 {
		st.Blank++
		return impound.Name{}, false
	}
	bad := func(err error) (impound.Name, bool) {
		st.BadCount++
		if len(st.Bad) < MaxBad {
			t := string(text)
			if len(t) > 80 {
				t = t[:77] + "..."
			}
			st.Bad = append(st.Bad, BadLine{Line: st.Read, Text: t, Err: err, Msg: err.Error()})
		}
		return impound.Name{}, false
	}
	if cut {
		return bad(impound.Errorf(impound.KindInvalid, "line of more than %d octets", maxLine))
	}
	name, err := impound.ParseName(unsafe.String(&text[0], len(text)))
	if err != nil {
		_, err = impound.ParseName(string(text)) // nobody knows what an error keeps
		return bad(err)
	}
	return name, true
}

// Judge looks at one name: the highest of what the matcher and the profiles
// say, with the reasons of each that saw something. Seen and Status are left to
// [Screen] or the caller; Status is "open".
func Judge(name impound.Name, opt Options) (impound.Candidate, bool) {
	var h match.Hit
	ok := false
	if opt.Matcher != nil {
		h, ok = opt.Matcher.Match(name.String())
	}
	c := judged(name, h, ok, opt)
	return c, c.Score > 0
}

// Judged is [Judge] when it is known what opt.Matcher says of name: h, or nothing if ok
// is false. The candidate may keep h's reasons, but does not write to them.
func Judged(name impound.Name, h match.Hit, ok bool, opt Options) (impound.Candidate, bool) {
	h.Reasons = slices.Clip(h.Reasons)
	c := judged(name, h, ok, opt)
	return c, c.Score > 0
}

// judged is Judge when it is known what the matcher says.
func judged(name impound.Name, h match.Hit, ok bool, opt Options) impound.Candidate {
	c := impound.Candidate{Name: name, Source: opt.Source, Status: "open"}
	if ok {
		c.Score, c.Brand, c.How, c.Distance, c.Reasons = h.Score, h.Brand, string(h.How), h.Distance, h.Reasons
	}
	for _, p := range opt.Profiles {
		s, reasons := p.Score(name.String())
		if s <= 0 {
			continue
		}
		c.Score = max(c.Score, s)
		c.Actors = append(c.Actors, p.Actor())
		c.Reasons = append(c.Reasons, reasons...)
	}
	return c
}
