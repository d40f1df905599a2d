// Package live watches sources for as long as it is let: it reads each from
// where it was left, screens the names, and puts what was found into the queue
// together with the place that was reached, in one transaction. So nothing is
// skipped and nothing is queued twice, however the process ends.
//
// What lives here: the sources' places (cursors), the loop, and the state that
// impound watch status shows. What must not: a judgement of its own (package
// watch), a protocol (source), or the queue (casework).
package live

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
	"github.com/impound/impound/internal/watch"
	"github.com/impound/impound/internal/watch/polite"
)

// The kinds of documents.
const (
	kindState  = "watch.source"
	kindEvents = "watch.events"
)

// KeptEvents is how many events are kept of a source; all are counted.
const KeptEvents = 200

// State is how far a source was read, and how it goes. It is committed together
// with the candidates that it speaks of.
type State struct {
	ID    string `json:"id"`
	Kind  string `json:"kind"`
	Where string `json:"where"`

	// Position is how much was screened, and is in the queue as far as it was
	// found: the next entry of a log, names of other sources. Verified is how
	// much of it is proven to be the log's; Target how much there is (-1: not
	// known), TargetAt when the source said so.
	Position int64     `json:"position"`
	Verified int64     `json:"verified"`
	Target   int64     `json:"target"`
	TargetAt time.Time `json:"target_at,omitzero"`

	Items      int64 `json:"items"` // certificates or lines that were read
	Names      int64 `json:"names"`
	IPs        int64 `json:"ips,omitempty"`        // addresses in certificates, which are counted only
	BadNames   int64 `json:"bad_names,omitempty"`  // what stands as a name and is none
	Unreadable int64 `json:"unreadable,omitempty"` // certificates that can't be read
	Removed    int64 `json:"removed,omitempty"`    // names that left a zone
	Hits       int64 `json:"hits"`                 // candidates found
	Added      int64 `json:"added"`                // those that were new in the queue

	Rate        float64   `json:"rate"` // items per second, of the last minute or so
	Errors      int64     `json:"errors"`
	InARow      int64     `json:"errors_in_a_row"`
	LastError   string    `json:"last_error,omitempty"`
	LastErrorAt time.Time `json:"last_error_at,omitzero"`
	LastOK      time.Time `json:"last_ok,omitzero"`
	// Held says why the source is not read on, or a part of it, until somebody
	// has looked.
	Held   string    `json:"held,omitempty"`
	HeldAt time.Time `json:"held_at,omitzero"`

	Cursor json.RawMessage `json:"cursor,omitempty"`
}

// Lag is how much there is that was not read yet; -1 when nobody knows.
func (s State) Lag() int64 {
	if s.Target < 0 {
		return -1
	}
	return max(s.Target-s.Position, 0)
}

// staleRate is for how long a rate stands that nobody tells anew.
const staleRate = time.Minute

// AsOf gives s as it is to be shown at now: what nobody reads has no rate.
func (s State) AsOf(now time.Time) State {
	if now.Sub(s.LastOK) > staleRate {
		s.Rate = 0
	}
	return s
}

// Event is something in a source that could not be screened as it should.
type Event struct {
	At       time.Time `json:"at"`
	Position int64     `json:"position"`       // the entry of a log, or the line
	File     string    `json:"file,omitempty"` // of a folder of lists
	What     string    `json:"what"`           // "certificate", "name", "file", "zone", "log"
	Text     string    `json:"text"`
}

// Alarm says that a source can't be trusted.
type Alarm struct {
	ID       string // the same alarm has the same
	Source   string
	Text     string
	Evidence []byte // JSON, to be kept
}

// Source is where names come from.
type Source interface {
	ID() string    // as the operator calls it; never changes
	Kind() string  // "ct", "list", "zone", "stdin"
	Where() string // for people, without a query
	// Pass reads until there is nothing more for now, and commits as it goes.
	Pass(ctx context.Context, s *Session) error
}

// Marked gives src with what may be done with what it gives, by whom it came: each
// candidate carries it.
func Marked(src Source, m impound.Marking) Source {
	if m == (impound.Marking{}) {
		return src
	}
	return marked{src, m}
}

type marked struct {
	Source
	mark impound.Marking
}

// ErrEnded is what Pass gives when its source will never have more.
var ErrEnded = errors.New("the source has ended")

// Config of a [Runner].
type Config struct {
	Store store.Store
	// Watch says what is looked for; its Source is not used.
	Watch watch.Options
	// Save puts candidates into the queue, and calls also in the same transaction
	// with how many were new there.
	Save func(ctx context.Context, cands []impound.Candidate, also func(tx store.Tx, added int) error) error
	// Alarm keeps the proof; it is called before the state says so, and again if
	// the process died in between.
	Alarm func(context.Context, Alarm) error
	// Locks is a folder of this machine where a source that is read is locked, by
	// the name of a file: a second process, or another run, ends before it reads
	// anything, and the first goes on. Empty: who comes second is told when
	// either commits.
	Locks string
	// Poll is how long a source that has nothing more is left alone; 0 means 2 s,
	// and [feedPoll] for a feed at a URL.
	Poll time.Duration
	// Once ends Run when every source was read to its end once.
	Once bool
	Now  func() time.Time // nil: time.Now
	Log  *slog.Logger     // nil: none
}

// Runner watches sources.
type Runner struct {
	cfg    Config
	screen *screener
	told   bool // Poll was given
	mu     sync.Mutex
	states map[string]State
}

// New makes a Runner.
func New(cfg Config) (*Runner, error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	told := cfg.Poll != 0
	if !told {
		cfg.Poll = 2 * time.Second
	}
	sc, err := newScreener(cfg.Watch)
	if err != nil {
		return nil, err
	}
	return &Runner{cfg: cfg, screen: sc, told: told, states: map[string]State{}}, nil
}

// SetProfiles sets whose habits are looked for from now on, while sources are
// read.
func (r *Runner) SetProfiles(ps []watch.Profile) { r.screen.profiles(ps) }

// States gives how the running sources go, by id.
func (r *Runner) States() []State {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := make([]State, 0, len(r.states))
	now := r.cfg.Now()
	for _, s := range r.states {
		out = append(out, s.AsOf(now))
	}
	slices.SortFunc(out, func(a, b State) int {
		if a.ID < b.ID {
			return -1
		}
		return 1
	})
	return out
}

// Run watches the sources until ctx ends or all have ended. One that fails is
// tried again, later and later, and keeps none of the others from being read.
// Its error is the context's; that of a store that another process writes the
// same source's place to (KindConflict); or, with Once, KindPartial when a source
// failed.
func (r *Runner) Run(ctx context.Context, sources []Source) error {
	seen := map[string]bool{}
	for _, s := range sources {
		if seen[s.ID()] {
			return impound.Errorf(impound.KindInvalid, "two sources are called %s", s.ID()).WithCure("a source's place is kept under its name: give each another")
		}
		seen[s.ID()] = true
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	var mu sync.Mutex
	var failed impound.Problems
	for _, src := range sources {
		wg.Go(func() {
			err := r.one(ctx, src)
			if err == nil || ctx.Err() != nil {
				return
			}
			if impound.KindOf(err) == impound.KindConflict && !r.cfg.Once {
				cancel(err)
				return
			}
			mu.Lock()
			failed = append(failed, impound.Errorf(impound.KindOf(err), "%s couldn't be read to its end: %w", src.ID(), err))
			mu.Unlock()
		})
	}
	wg.Wait()
	if err := context.Cause(ctx); err != nil {
		return err
	}
	if len(failed) > 0 {
		return impound.Errorf(impound.KindPartial, "%d of %d sources failed: %w", len(failed), len(sources), failed.Err())
	}
	return nil
}

// maxPause bounds how long a source that fails is left alone.
const maxPause = 5 * time.Minute

// feedPoll is how long a feed is left alone that has nothing new: such lists change
// a few times a day, and whoever gives them pays for each question.
const feedPoll = 5 * time.Minute

// pause is how long src is left alone when it has nothing more.
func (r *Runner) pause(src Source) time.Duration {
	if m, ok := src.(marked); ok {
		src = m.Source
	}
	if l, ok := src.(*List); ok && l.url != "" && !r.told {
		return feedPoll
	}
	return r.cfg.Poll
}

func (r *Runner) one(ctx context.Context, src Source) error {
	release, err := lock(r.cfg.Locks, src.ID())
	if err != nil {
		return err
	}
	defer release()
	s := &Session{r: r, src: src}
	if err := s.load(ctx); err != nil {
		return err
	}
	for {
		err := src.Pass(ctx, s)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if errors.Is(err, ErrEnded) {
			return nil
		}
		pause := r.pause(src)
		if err != nil {
			if impound.KindOf(err) == impound.KindConflict {
				return err
			}
			r.cfg.Log.Warn("a source couldn't be read", "source", src.ID(), "err", err)
			if err := s.failed(ctx, err); err != nil {
				return err
			}
			if r.cfg.Once {
				return err
			}
			pause = min(r.cfg.Poll<<min(s.State.InARow, 10), maxPause)
			var w *polite.WaitError
			if errors.As(err, &w) {
				pause = max(pause, w.Until.Sub(r.cfg.Now()))
			}
		} else if r.cfg.Once {
			if s.State.Held != "" {
				return impound.Errorf(impound.KindRefused, "is held: %s", s.State.Held)
			}
			return nil
		}
		t := time.NewTimer(pause)
		select {
		case <-ctx.Done():
			t.Stop()
			return ctx.Err()
		case <-t.C:
		}
	}
}

// Session is one source being read. Only its own goroutine uses it.
type Session struct {
	State State

	r       *Runner
	src     Source
	rev     int64
	rateAt  time.Time
	rateN   int64
	lastPut time.Time
}

func (s *Session) load(ctx context.Context) error {
	err := s.r.cfg.Store.View(ctx, func(tx store.Tx) error {
		st, rev, err := store.Get[State](tx, kindState, s.src.ID())
		if impound.KindOf(err) == impound.KindNotFound {
			s.State, s.rev = State{ID: s.src.ID(), Target: -1}, 0
			return nil
		}
		s.State, s.rev = st, rev
		return err
	})
	if err != nil {
		return fmt.Errorf("couldn't read where %s was left: %w", s.src.ID(), err)
	}
	if s.rev > 0 && s.State.Kind != s.src.Kind() {
		return impound.Errorf(impound.KindInvalid, "%s was a source of kind %s before", s.src.ID(), s.State.Kind).WithCure("give it another name: a place in one kind of source means nothing in another")
	}
	s.State.Kind, s.State.Where = s.src.Kind(), s.src.Where()
	s.rateAt, s.rateN = s.r.cfg.Now(), s.State.Items
	s.r.show(s.State)
	return nil
}

func (r *Runner) show(st State) {
	r.mu.Lock()
	r.states[st.ID] = st
	r.mu.Unlock()
}

// Cursor reads the source's own place; false when there is none yet.
func (s *Session) Cursor(v any) (bool, error) {
	if len(s.State.Cursor) == 0 {
		return false, nil
	}
	if err := json.Unmarshal(s.State.Cursor, v); err != nil {
		return false, impound.Errorf(impound.KindInternal, "couldn't read where %s was left: %w", s.State.ID, err)
	}
	return true, nil
}

// Place is where a source was read up to, as [State] has it.
type Place struct {
	Position, Verified, Target int64
	TargetAt                   time.Time
}

// Commit keeps the place and what was found up to it, in one transaction. f is
// emptied.
func (s *Session) Commit(ctx context.Context, cursor any, p Place, f *Findings) error {
	b, err := json.Marshal(cursor)
	if err != nil {
		return impound.Errorf(impound.KindInternal, "couldn't encode the place: %w", err)
	}
	st := s.State
	now := s.r.cfg.Now().UTC()
	st.Cursor = b
	st.Position, st.Verified, st.Target, st.TargetAt = p.Position, p.Verified, p.Target, p.TargetAt
	st.Items += f.Items
	st.Names += f.Names
	st.IPs += f.IPs
	st.BadNames += f.BadNames
	st.Unreadable += f.Unreadable
	st.Hits += int64(len(f.Candidates))
	st.LastOK, st.InARow = now, 0
	if d := now.Sub(s.rateAt); d >= time.Second {
		rate := float64(st.Items-s.rateN) / d.Seconds()
		weight := min(d.Seconds()/30, 1)
		if st.Rate == 0 {
			weight = 1
		}
		st.Rate += (rate - st.Rate) * weight
		s.rateAt, s.rateN = now, st.Items
	}
	var mark impound.Marking
	if m, ok := s.src.(marked); ok {
		mark = m.mark
	}
	for i := range f.Candidates {
		f.Candidates[i].Seen, f.Candidates[i].Mark = now, mark
	}
	if n := len(f.Events); n > KeptEvents {
		f.Events = f.Events[n-KeptEvents:]
	}
	for i := range f.Events {
		f.Events[i].At = now
	}
	rev, base := s.rev, st.Added
	also := func(tx store.Tx, added int) error {
		if err := s.putEvents(tx, f); err != nil {
			return err
		}
		st.Added = base + int64(added)
		var err error
		rev, err = putState(tx, s.rev, st)
		return err
	}
	if len(f.Candidates) == 0 {
		err = s.r.cfg.Store.Update(ctx, func(tx store.Tx) error { return also(tx, 0) })
	} else {
		err = s.r.cfg.Save(ctx, f.Candidates, also)
	}
	if err != nil {
		return fmt.Errorf("couldn't keep what was found: %w", err)
	}
	s.State, s.rev, s.lastPut = st, rev, now
	s.r.show(st)
	f.reset()
	return nil
}

func putState(tx store.Tx, rev int64, st State) (int64, error) {
	n, err := store.Put(tx, kindState, st.ID, rev, st, map[string]string{"kind": st.Kind})
	if impound.KindOf(err) == impound.KindConflict {
		return 0, errTwice(st.ID)
	}
	return n, err
}

func (s *Session) putEvents(tx store.Tx, f *Findings) error {
	if len(f.Events) == 0 {
		return nil
	}
	_, err := store.Modify(tx, kindEvents, s.State.ID, func(evs *[]Event) (map[string]string, error) {
		*evs = append(*evs, f.Events...)
		if n := len(*evs); n > KeptEvents {
			*evs = (*evs)[n-KeptEvents:]
		}
		return nil, nil
	})
	return err
}

// keep writes the state as it is, without going on.
func (s *Session) keep(ctx context.Context, st State) error {
	err := s.r.cfg.Store.Update(ctx, func(tx store.Tx) (err error) {
		s.rev, err = putState(tx, s.rev, st)
		return err
	})
	if err == nil {
		s.State = st
		s.r.show(st)
	}
	return err
}

func (s *Session) failed(ctx context.Context, cause error) error {
	st := s.State
	st.Errors++
	st.InARow++
	st.LastError, st.LastErrorAt = cause.Error(), s.r.cfg.Now().UTC()
	if len(st.LastError) > 500 {
		st.LastError = st.LastError[:500]
	}
	return s.keep(ctx, st)
}

// Idle notes that there was nothing new. It writes at most every 10 s: a quiet
// source must not wear the disk.
func (s *Session) Idle(ctx context.Context) error {
	now := s.r.cfg.Now().UTC()
	st := s.State
	st.LastOK, st.InARow = now, 0
	if st.Target < 0 { // what has no number of its own has nothing more for now
		st.Target, st.TargetAt = st.Position, now
	}
	if d := now.Sub(s.rateAt); d >= time.Second {
		st.Rate *= 1 - min(d.Seconds()/30, 1)
		s.rateAt, s.rateN = now, st.Items
	}
	if now.Sub(s.lastPut) < 10*time.Second && s.State.InARow == 0 && s.rev > 0 && s.State.Target == st.Target {
		s.State = st
		s.r.show(st)
		return nil
	}
	s.lastPut = now
	return s.keep(ctx, st)
}

// Hold keeps the source from being read on until somebody has looked, with an
// alarm that keeps the proof.
func (s *Session) Hold(ctx context.Context, a Alarm) error {
	a.Source = s.State.ID
	if s.r.cfg.Alarm != nil {
		if err := s.r.cfg.Alarm(ctx, a); err != nil {
			return fmt.Errorf("couldn't keep the proof of an alarm: %w", err)
		}
	}
	s.r.cfg.Log.Error("ALARM", "source", s.State.ID, "alarm", a.Text)
	st := s.State
	st.Held, st.HeldAt = a.Text, s.r.cfg.Now().UTC()
	return s.keep(ctx, st)
}

// Status reads the state of all sources that were ever run, by id.
func Status(ctx context.Context, st store.Store) ([]State, error) {
	var out []State
	err := st.View(ctx, func(tx store.Tx) (err error) {
		out, err = store.Values[State](tx, store.Query{Kind: kindState})
		return err
	})
	return out, err
}

// Events reads what is kept of a source's events, the newest last.
func Events(ctx context.Context, st store.Store, id string) ([]Event, error) {
	var out []Event
	err := st.View(ctx, func(tx store.Tx) (err error) {
		out, _, err = store.Get[[]Event](tx, kindEvents, id)
		if impound.KindOf(err) == impound.KindNotFound {
			err = nil
		}
		return err
	})
	return out, err
}

// Resume says where a held log is read on.
type Resume int

const (
	// ResumeHere is where it was left, and [overlap] entries before: of a tree that
	// is another one nobody knows from which entry on.
	ResumeHere Resume = iota
	// ResumeStart is its first entry.
	ResumeStart
	// ResumeNow leaves out what the log holds by then.
	ResumeNow
)

// Release lets a held source be read on: somebody has looked at why. A log goes
// on where from says; a zone takes the list that it held. A process that reads
// the source must be ended first, or ends itself.
func Release(ctx context.Context, st store.Store, id string, from Resume) error {
	return st.Update(ctx, func(tx store.Tx) error {
		s, rev, err := store.Get[State](tx, kindState, id)
		if impound.KindOf(err) == impound.KindNotFound {
			return impound.Errorf(impound.KindNotFound, "no source %s", id).WithCure("impound watch status lists them")
		}
		if err != nil {
			return err
		}
		if s.Held == "" {
			return impound.Errorf(impound.KindConflict, "%s is not held", id)
		}
		s.Held, s.HeldAt = "", time.Time{}
		switch s.Kind {
		case KindCT:
			var was ctCursor
			if err := json.Unmarshal(s.Cursor, &was); err != nil {
				return impound.Errorf(impound.KindInternal, "couldn't read where %s was left: %w", id, err)
			}
			c := ctCursor{Again: true}
			switch from {
			case ResumeHere:
				c.Next = was.Next
			case ResumeNow:
				c.Next = -1
			}
			if s.Cursor, err = json.Marshal(c); err != nil {
				return err
			}
		case KindZone:
			var c zoneCursor
			if err := json.Unmarshal(s.Cursor, &c); err != nil {
				return impound.Errorf(impound.KindInternal, "couldn't read where %s was left: %w", id, err)
			}
			for _, z := range c.Zones {
				z.Accept, z.Held = z.Accept || z.Held != nil, nil
			}
			if s.Cursor, err = json.Marshal(c); err != nil {
				return err
			}
		}
		_, err = putState(tx, rev, s)
		return err
	})
}
