package sensor

import (
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
	"github.com/impound/impound/internal/spool"
)

// expireEvery is how late a contact may go after its retention ended.
const expireEvery = time.Hour

// retentionFile remembers, in the state folder, how long contacts of each order
// may be kept: of orders that ended, the policy says nothing any more.
const retentionFile = "retention.json"

// Retention says how long a spool may keep events, from the days of each order.
// What no order stands for goes with the shortest of them; so does what belongs to
// an order that days doesn't know. It is false when nothing is known.
func Retention(days map[string]int) (r spool.Retention, ok bool) {
	const day = 24 * time.Hour
	for _, d := range days {
		if d <= 0 { // no order of a sinkhole's
			continue
		}
		life := time.Duration(d) * day
		if !ok || life < r.Shortest {
			r.Shortest = life
		}
		r.Longest, ok = max(r.Longest, life), true
	}
	r.Until = func(e *impound.Event) time.Time {
		life := r.Shortest
		if d := days[e.Order]; d > 0 {
			life = time.Duration(d) * day
		}
		if e.Outcome == spool.OutcomeGap { // holds nobody's address, and every later report must tell of it
			life = r.Longest
		}
		return e.At.Add(life)
	}
	return r, ok
}

// learn remembers how long contacts of the policy's orders may be kept.
func (s *Site) learn(p *policy.Policy) {
	if p == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	days := maps.Clone(s.days)
	if days == nil {
		days = map[string]int{}
	}
	for _, o := range p.Orders() {
		days[o.ID] = o.RetentionDays
	}
	if maps.Equal(days, s.days) {
		return
	}
	s.days = days
	b, err := json.Marshal(days)
	if err == nil {
		err = writeFile(filepath.Join(s.opt.State, retentionFile), b)
	}
	if err != nil {
		s.opt.Log.Error("sensor: couldn't note how long contacts may be kept", "err", err)
	}
}

func (s *Site) loadRetention() error {
	path := filepath.Join(s.opt.State, retentionFile)
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = json.Unmarshal(b, &s.days)
	}
	if err != nil {
		return impound.Errorf(impound.KindInvalid, "couldn't read how long contacts may be kept: %w", err).At(path).WithCure("delete it: contacts of orders that ended then go with the shortest time of those in force")
	}
	return nil
}

// writeFile writes a file that is whole or absent after a crash.
func writeFile(path string, b []byte) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(b)
	err = errors.Join(err, f.Sync(), f.Close())
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	return err
}

func (s *Site) expire() {
	s.mu.Lock()
	r, ok := Retention(s.days)
	s.mu.Unlock()
	if !ok {
		return
	}
	// A clock that was put forward while we run must not take what is young.
	now := s.opt.Now()
	if most := s.began.Add(time.Since(s.begun) + expireEvery); now.After(most) {
		s.opt.Log.Error("sensor: the clock was put forward; contacts are deleted as if it had not been", "now", now.UTC(), "taken for", most.UTC())
		now = most
	}
	n, err := s.spool.Expire(now, r)
	if err != nil {
		s.opt.Log.Error("sensor: couldn't delete contacts whose retention has ended", "err", err)
	}
	if n > 0 {
		s.opt.Log.Info("sensor: contacts were deleted: their orders' retention has ended", "contacts", n)
	}
}
