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
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/match"
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
// reads; what follows white space is ignored; # begins a comment) and calls
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
	return eachName(ctx, src, opt, func(st *Stats, name impound.Name) error {
		c, ok := Judge(name, opt)
		if !ok || c.Score < least {
			return nil
		}
		c.Seen = now().UTC()
		st.Hits++
		if err := emit(c); err != nil {
			return fmt.Errorf("couldn't hand over candidate %s: %w", name.Defanged(), err)
		}
		return nil
	})
}

// eachName calls f with every name of src, a line each.
func eachName(ctx context.Context, src io.Reader, opt Options, f func(*Stats, impound.Name) error) (Stats, error) {
	var st Stats
	br := bufio.NewReaderSize(src, maxLine)
	for {
		if err := ctx.Err(); err != nil {
			return st, err
		}
		line, err := br.ReadSlice('\n')
		cut := false
		if errors.Is(err, bufio.ErrBufferFull) {
			cut = true
			line = append([]byte(nil), line[:256]...)
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = br.ReadSlice('\n')
			}
		}
		if len(line) > 0 {
			st.Read++
			if name, ok := one(&st, line, cut); ok {
				st.Names++
				if e := f(&st, name); e != nil {
					return st, e
				}
			}
			if opt.Progress != nil && st.Read%10_000 == 0 {
				opt.Progress(st)
			}
		}
		if err != nil {
			if opt.Progress != nil {
				opt.Progress(st)
			}
			if errors.Is(err, io.EOF) {
				return st, nil
			}
			return st, fmt.Errorf("couldn't read %s: %w", opt.Source, err)
		}
	}
}

// one reads the name of a line; false when it holds none, which st tells.
func one(st *Stats, line []byte, cut bool) (impound.Name, bool) {
	text := field(line)
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
	name, err := impound.ParseName(string(text))
	if err != nil {
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

// field gives the first column of line, without comment.
func field(line []byte) []byte {
	start := 0
	for start < len(line) && (line[start] <= ' ') {
		if line[start] == 0 {
			break // a NUL is no white space: the line is to be reported
		}
		start++
	}
	end := start
	for end < len(line) && line[end] != ' ' && line[end] != '\t' && line[end] != '\r' && line[end] != '\n' {
		end++
	}
	f := line[start:end]
	if len(f) > 0 && f[0] == '#' {
		return nil
	}
	return f
}
