package spool

import (
	"encoding/binary"
	"encoding/json"
	"hash/crc32"
	"os"
	"path/filepath"
	"time"

	"github.com/impound/impound"
)

// A clock that is put forward by mistake makes everything look old, and what is
// deleted then does not come back. So a leap is not believed at once: for a day by
// the new clock, nothing is deleted because of its age. Put right within that
// time, nothing is lost; otherwise the leap is taken for the truth (the machine
// was off), and contacts are gone a day late at most.
const (
	clockLeap = 48 * time.Hour // more than a weekend's night, less than any retention
	clockWait = 24 * time.Hour
)

// clockNote is the file "clock" of a spool.
type clockNote struct {
	Seen  time.Time `json:"seen"`           // the clock, when it was last looked at
	Leapt time.Time `json:"leapt,omitzero"` // when it leapt, by itself
}

// TrustClock says whether what is old by now may be deleted: it gives an
// [impound.Error] of KindConflict for a day after now leapt forward by more than
// Options.ClockLeap against the last call, also if that was in an earlier process,
// or against the newest event when there was none. [Spool.Expire] and
// [Spool.Prune] ask it; whoever else deletes by age should as well. It is to be
// asked at least daily.
func (s *Spool) TrustClock(now time.Time) error {
	leap := s.opt.ClockLeap
	if leap < 0 {
		return nil
	}
	if leap == 0 {
		leap = clockLeap
	}
	now = now.UTC().Round(0)
	s.clockMu.Lock()
	defer s.clockMu.Unlock()
	path := filepath.Join(s.dir, "clock")
	n := s.clock
	if n.Seen.IsZero() {
		b, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(b, &n)
		}
		if err != nil || n.Seen.IsZero() {
			if n = (clockNote{Seen: s.newestAtOpen}); n.Seen.IsZero() || n.Seen.After(now) {
				n.Seen = now
			}
		}
	}
	was := n
	switch {
	case !n.Leapt.IsZero() && now.Before(n.Leapt.Add(-leap/2)):
		s.opt.Log.Warn("spool: the clock was put back to where it was; nothing was deleted meanwhile", "now", now)
		n.Leapt = time.Time{}
	case now.Sub(n.Seen) > leap:
		s.opt.Log.Error("spool: THE CLOCK LEAPT FORWARD: nothing is deleted for its age for a day", "from", n.Seen, "to", now)
		n.Leapt = now
	case !n.Leapt.IsZero() && now.Sub(n.Leapt) >= clockWait:
		s.opt.Log.Warn("spool: the clock leapt forward a day ago and stayed there: it is believed", "leapt", n.Leapt)
		n.Leapt = time.Time{}
	}
	n.Seen = now
	// What is noted is late by an hour at most.
	if s.clock.Seen.IsZero() || n.Leapt != was.Leapt || now.Sub(s.clockSaved).Abs() >= time.Hour {
		b, err := json.Marshal(n)
		if err == nil {
			err = writeAtomic(s.dir, "clock", b)
		}
		if err != nil {
			return impound.Errorf(impound.KindUnavailable, "couldn't note the clock, so nothing is deleted for its age: %w", err).At(path)
		}
		s.clockSaved = now
	}
	s.clock = n
	if n.Leapt.IsZero() {
		return nil
	}
	return impound.Errorf(impound.KindConflict, "the clock leapt forward to %s; until %s nothing is deleted for its age", n.Leapt.Format(time.DateTime), n.Leapt.Add(clockWait).Format(time.DateTime)).
		At(s.dir).WithCure("set the clock right; if it is right, and the machine was off for days, do nothing")
}

// newestTime is the latest time that the segments know of, zero without any.
func newestTime(segs []segment) (newest time.Time) {
	for _, g := range segs {
		t := g.newest
		if !g.sealed {
			t = madeAt(g.path)
		}
		if t.After(newest) {
			newest = t
		}
	}
	return newest
}

// madeAt is when a journal was begun, by its head.
func madeAt(path string) time.Time {
	f, err := os.Open(path)
	if err != nil {
		return time.Time{}
	}
	defer f.Close()
	d := make([]byte, jHead)
	if _, err := f.ReadAt(d, 0); err != nil {
		return time.Time{}
	}
	if string(d[:8]) != jMagic || crc32.Checksum(d[:384], castagnoli) != binary.LittleEndian.Uint32(d[384:]) {
		return time.Time{}
	}
	return time.UnixMicro(int64(binary.LittleEndian.Uint64(d[24:]))).UTC()
}
