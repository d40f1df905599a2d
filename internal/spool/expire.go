package spool

import (
	"errors"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"github.com/impound/impound"
)

// Retention says how long events may be kept.
type Retention struct {
	// Until is when an event must be gone; zero means never.
	Until func(*impound.Event) time.Time
	// Shortest is the shortest life that Until gives: what is younger isn't read.
	Shortest time.Duration
	// Longest is the longest: damaged segments that were set aside go after it. 0
	// means never.
	Longest time.Duration
}

// Expire deletes every event whose time is over, shipped or not, and says how
// many. A segment of which a part may stay is written anew, with the same
// numbers. A journal in use that is older than Shortest is made an old one first,
// so that few contacts are not kept longer than many. It reads segments once,
// and again only when the next of their events is due. It refuses while the clock
// can't be trusted, see [Spool.TrustClock].
func (s *Spool) Expire(now time.Time, r Retention) (deleted int, err error) {
	if err := s.TrustClock(now); err != nil {
		return 0, err
	}
	s.expireMu.Lock()
	defer s.expireMu.Unlock()
	s.retire(now.Add(-r.Shortest))
	if err := s.dropTwins(); err != nil {
		return 0, err
	}
	segs, err := list(s.dir)
	if err != nil {
		return 0, err
	}
	was := s.due
	s.due = map[string]time.Time{}
	var errs []error
	var before time.Time // all events of a segment are younger, but for steps of the clock
	for _, g := range segs {
		if !g.sealed {
			continue
		}
		oldest := before
		before = g.newest
		due, known := was[g.path]
		if !known {
			due = oldest.Add(r.Shortest)
		}
		if now.Before(due) {
			if known {
				s.due[g.path] = due
			}
			continue
		}
		n, path, next, err := s.expireOne(g, now, r)
		deleted += n
		if err != nil {
			errs = append(errs, impound.Errorf(impound.KindUnavailable, "couldn't delete what may no longer be kept: %w", err).At(g.path))
		} else if path != "" {
			s.due[path] = next
		}
	}
	if r.Longest > 0 {
		aside, _ := filepath.Glob(filepath.Join(s.dir, "aside", "*"))
		for _, f := range aside {
			if st, err := os.Stat(f); err == nil && st.ModTime().Add(r.Longest).Before(now) {
				errs = append(errs, os.Remove(f))
			}
		}
	}
	return deleted, errors.Join(errs...)
}

// never is when a segment is looked at again that holds nothing which must go.
const never = 100 * 365 * 24 * time.Hour

// expireOne deletes what is over in one sealed segment. path is what is left of
// it, "" for nothing, and next when it must be looked at again.
func (s *Spool) expireOne(g segment, now time.Time, r Retention) (deleted int, path string, next time.Time, err error) {
	events, err := readSealed(g)
	if errors.Is(err, os.ErrNotExist) { // evicted meanwhile
		return 0, "", next, nil
	}
	if err != nil {
		s.setAside(g.path, err)
		return 0, "", next, nil
	}
	next = now.Add(never)
	var newest time.Time
	kept := 0
	p := sealers.Get().(sealer)
	defer sealers.Put(p)
	var body []byte
	for i := range events.len() {
		e := events.event(i)
		until := r.Until(&e)
		if !until.IsZero() && !now.Before(until) {
			deleted++
			continue
		}
		if !until.IsZero() && until.Before(next) {
			next = until
		}
		if e.At.After(newest) {
			newest = e.At
		}
		if kept++; kept == 1 {
			p.begin(e.Sensor)
		}
		body = encode(body[:0], &e)
		if _, err := p.add(e.Seq, body); err != nil {
			return 0, "", next, err
		}
	}
	if deleted == 0 {
		return 0, g.path, next, nil
	}
	if kept > 0 {
		data, err := p.finish()
		if err != nil {
			return 0, "", next, err
		}
		// The last number stays, so that none is given twice.
		name := sealedName(g.first, g.last, kept, newest, crc32.Checksum(data, castagnoli))
		if err := writeAtomic(s.dir, name, data); err != nil {
			return 0, "", next, err
		}
		path = filepath.Join(s.dir, name)
	}
	if err := os.Remove(g.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, "", next, err
	}
	return deleted, path, next, syncDir(s.dir)
}

// dropTwins deletes what a crash in expireOne left: of two segments with the same
// first number the one that is listed has fewer events.
func (s *Spool) dropTwins() error {
	segs, err := list(s.dir)
	if err != nil {
		return err
	}
	listed := map[string]bool{}
	sealed := map[uint64]bool{}
	for _, g := range segs {
		listed[g.path], sealed[g.first] = true, sealed[g.first] || g.sealed
	}
	all, err := filepath.Glob(filepath.Join(s.dir, "seg-*.parquet"))
	if err != nil {
		return err
	}
	for _, path := range all {
		g, ok := scanSealed(filepath.Base(path))
		if ok && !listed[path] && sealed[g.first] {
			if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return impound.Errorf(impound.KindUnavailable, "couldn't delete a segment: %w", err).At(path)
			}
		}
	}
	return nil
}

// retire makes an old journal of the current one when it was begun before, and
// waits a little until it is sealed.
func (s *Spool) retire(before time.Time) {
	s.mu.Lock()
	old := s.cur
	if s.closed || s.broken || s.off <= jHead || !old.head.made.Before(before) || s.rotateLocked() != nil {
		s.mu.Unlock()
		return
	}
	path := old.path
	s.mu.Unlock()
	if s.opt.NoSeal || s.Sync() != nil {
		return
	}
	for range 500 {
		if _, err := os.Stat(path); err != nil {
			return
		}
		select {
		case <-s.q:
			return
		case <-time.After(20 * time.Millisecond):
		}
	}
}
