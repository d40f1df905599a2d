// Package sensor runs a site of the sinkhole apart from the hub: the listeners,
// the spool, and the door through which signed policy bundles come in.
//
// What lives here: a [Site], which is all that a machine that faces the actor
// runs, and the ways by which a bundle reaches it. What must not: a database,
// the evidence log, cases, people, pages, or any key that could sign a policy:
// whoever takes the machine gains none of them. archtest holds that against the
// code.
package sensor

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole"
	"github.com/impound/impound/internal/sinkhole/policy"
	"github.com/impound/impound/internal/spool"
)

// Options of [Open].
type Options struct {
	State  string            // folder: policy/, spool/ and status.json are kept in it
	HubKey impound.PublicKey // the only key whose bundles are obeyed
	Sink   sinkhole.Config   // Sensor and Listeners are required; Recorder and Policy are set here
	Spool  spool.Options     // Sensor is set here

	PolicyFile string   // a bundle, or a folder of bundles, that something puts there; "" for none
	ACME       *ACME    // nil: names whose order says acme are shown self-signed certificates
	Control    *Control // where the hub is asked for bundles; nil for none

	Now func() time.Time
	Log *slog.Logger
}

const (
	fileEvery   = 250 * time.Millisecond // how often PolicyFile is looked at
	statusEvery = time.Second
	drainTime   = 5 * time.Second
	// manyRefusals bounds the list of refusals that is kept; all are counted.
	manyRefusals = 20
)

// Refusal is a bundle that was not taken. The one before it stayed.
type Refusal struct {
	At   time.Time `json:"at"`
	From string    `json:"from"` // the file, or the hub's URL
	Hash string    `json:"hash"` // of the bytes that came
	Why  string    `json:"why"`
}

// Status is what a site says of itself. It holds nobody's address.
type Status struct {
	Sensor    string              `json:"sensor"`
	At        time.Time           `json:"at"`
	Serial    uint64              `json:"serial"` // of the policy in use, 0 for none
	Hash      string              `json:"hash,omitempty"`
	Made      time.Time           `json:"made,omitzero"`
	NotAfter  time.Time           `json:"not_after,omitzero"`
	Names     int                 `json:"names"`
	Lapsed    bool                `json:"lapsed"` // the policy ended and nobody renewed it: nothing is answered
	Refused   uint64              `json:"refused_policies"`
	Refusals  []Refusal           `json:"refusals,omitempty"` // the newest, oldest first
	HubAt     time.Time           `json:"hub_at,omitzero"`    // when the hub last answered
	HubFault  string              `json:"hub_fault,omitempty"`
	Listeners map[string][]string `json:"listeners,omitempty"`
	Stats     sinkhole.Stats      `json:"stats"`
	Spool     spool.Stats         `json:"spool"`
}

// Site is one running sensor. All methods are safe for concurrent use.
type Site struct {
	opt   Options
	kept  *policy.Kept
	spool *spool.Spool
	sink  *sinkhole.Sinkhole
	began time.Time // by opt.Now
	begun time.Time // by the machine's steady clock

	cancel context.CancelFunc
	wg     sync.WaitGroup
	once   sync.Once
	err    error

	takeMu sync.Mutex // one bundle at a time
	saveMu sync.Mutex // one status at a time

	mu       sync.Mutex
	refused  uint64
	refusals []Refusal
	lastHash string // of the bytes refused last: the same ones are not counted at every look
	hubAt    time.Time
	hubFault string
	days     map[string]int // how long contacts of each order may be kept, also of those that ended
}

// Open opens policy and spool and binds the listeners. A policy that was
// accepted before is obeyed at once, until its own end, whether or not the hub
// can be reached. Without any, every question is refused and recorded as such.
func Open(ctx context.Context, opt Options) (s *Site, err error) {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s = &Site{opt: opt, cancel: cancel, began: opt.Now(), begun: time.Now()}
	defer func() {
		if err != nil {
			cancel()
			if s.spool != nil {
				err = errors.Join(err, s.spool.Close())
			}
			s = nil
		}
	}()
	if s.kept, err = policy.KeepFor(filepath.Join(opt.State, "policy"), opt.HubKey, opt.Sink.Sensor); err != nil {
		return s, err
	}
	s.loadStatus()
	if err := s.loadRetention(); err != nil {
		return s, err
	}
	opt.Spool.Sensor, opt.Spool.Now, opt.Spool.Log = opt.Sink.Sensor, opt.Now, opt.Log
	if s.spool, err = spool.Open(filepath.Join(opt.State, "spool"), opt.Spool); err != nil {
		return s, fmt.Errorf("couldn't open the spool: %w", err)
	}
	// Where the folder was lost the clock says where numbers go on; where that is
	// wrong, what we said of ourselves a second before tells.
	if was, err := ReadStatus(opt.State); err == nil && was.Spool.Last > s.spool.Stats().Last {
		s.spool.Raise(was.Spool.Last + spool.Margin)
	}
	p, err := s.kept.Load(opt.Now())
	if err != nil {
		if impound.KindOf(err) != impound.KindRefused {
			return s, err
		}
		// It ended, or isn't for us: the listeners refuse until a good one comes.
		s.refuse("kept", "", err)
		p = nil
	}
	s.learn(p)
	opt.Sink.Recorder, opt.Sink.Policy, opt.Sink.Now, opt.Sink.Log = s.spool, p, opt.Now, opt.Log
	opt.Sink.NewBatch = func() sinkhole.Batch { return s.spool.NewBatch() }
	var certs *Certs
	if opt.ACME != nil {
		if certs, err = OpenCerts(*opt.ACME, &opt.Sink, opt.Now, opt.Log); err != nil {
			return s, err
		}
	}
	if s.sink, err = sinkhole.New(opt.Sink); err != nil {
		return s, err
	}
	// A file that lies there is obeyed before the first question.
	look := s.fileLook()
	look()
	if err := s.sink.Start(ctx); err != nil {
		return s, err
	}
	if opt.PolicyFile != "" {
		s.loop(ctx, fileEvery, look)
	}
	if opt.Control != nil {
		s.wg.Go(func() { s.pull(ctx) })
	}
	if certs != nil {
		s.wg.Go(func() { certs.Run(ctx, s.sink) })
	}
	s.loop(ctx, statusEvery, s.saveStatus)
	s.wg.Go(s.expire)
	s.loop(ctx, expireEvery, s.expire)
	return s, nil
}

func (s *Site) loop(ctx context.Context, every time.Duration, do func()) {
	s.wg.Go(func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-t.C:
				do()
			}
		}
	})
}

// Take lets a bundle in through the one door: signed by the hub, for this
// sensor, newer than any before, not dated in the future, not ended. When it
// returns nil the bundle is on disk (fsynced) and every answer from then on obeys
// it; otherwise the one before stays, and the refusal is counted and recorded.
func (s *Site) Take(data []byte, from string) error {
	s.takeMu.Lock()
	defer s.takeMu.Unlock()
	defer s.saveStatus() // who looks must not have to wait
	p, err := s.kept.Accept(data, s.opt.Now())
	if err == nil {
		if have := s.sink.Policy(); have != nil && have.Hash() == p.Hash() {
			return nil
		}
		s.learn(p) // before anything comes that it holds for
		err = s.sink.SetPolicy(p)
	}
	if err != nil {
		s.refuse(from, impound.HashBytes(data), err)
		return err
	}
	s.mu.Lock()
	s.lastHash = ""
	s.mu.Unlock()
	s.opt.Log.Info("sensor: a new policy is in force", "serial", p.Serial(), "names", p.Len(), "ends", p.NotAfter())
	return nil
}

func (s *Site) refuse(from, hash string, why error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if hash != "" && hash == s.lastHash {
		return
	}
	s.lastHash = hash
	s.refused++
	s.refusals = append(s.refusals, Refusal{At: s.opt.Now().UTC(), From: from, Hash: hash, Why: why.Error()})
	if n := len(s.refusals); n > manyRefusals {
		s.refusals = append([]Refusal(nil), s.refusals[n-manyRefusals:]...)
	}
	s.opt.Log.Error("sensor: a policy was refused; the one in use stays until it ends", "from", from, "hash", hash, "why", why)
}

// fileLook gives a function that takes what is new in PolicyFile.
func (s *Site) fileLook() func() {
	type seen struct {
		size int64
		mod  time.Time
	}
	done := map[string]seen{}
	return func() {
		path := s.opt.PolicyFile
		if path == "" {
			return
		}
		files := []string{path}
		if st, err := os.Stat(path); err == nil && st.IsDir() {
			files, _ = filepath.Glob(filepath.Join(path, "*.policy"))
		}
		for _, f := range files {
			st, err := os.Stat(f)
			if err != nil || !st.Mode().IsRegular() {
				continue
			}
			now := seen{st.Size(), st.ModTime()}
			if done[f] == now {
				continue
			}
			if st.Size() > policy.MaxBytes {
				done[f] = now
				s.refuse(f, fmt.Sprintf("size:%d", st.Size()), impound.Errorf(impound.KindRefused, "the file is larger than any policy"))
				continue
			}
			data, err := os.ReadFile(f)
			if err != nil {
				continue
			}
			done[f] = now
			_ = s.Take(data, f) // recorded there
		}
	}
}

// Status tells how the site stands.
func (s *Site) Status() Status {
	now := s.opt.Now()
	st := Status{Sensor: s.opt.Sink.Sensor, At: now.UTC(), Listeners: s.sink.Addrs(), Stats: s.sink.Stats(), Spool: s.spool.Stats()}
	if p := s.sink.Policy(); p != nil {
		st.Serial, st.Hash, st.Made, st.NotAfter, st.Names = p.Serial(), p.Hash(), p.Made(), p.NotAfter(), p.Len()
		st.Lapsed = !now.Before(p.NotAfter())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	st.Refused, st.Refusals = s.refused, append([]Refusal(nil), s.refusals...)
	st.HubAt, st.HubFault = s.hubAt, s.hubFault
	return st
}

// StatusFile is what a running site leaves for other processes to read, in its
// state folder.
const StatusFile = "status.json"

func (s *Site) saveStatus() {
	s.saveMu.Lock()
	defer s.saveMu.Unlock()
	if err := WriteStatus(s.opt.State, s.Status()); err != nil {
		s.opt.Log.Warn("sensor: couldn't leave its status", "err", err)
	}
}

// WriteStatus leaves st in the state folder. Readers see the old one or the new.
func WriteStatus(state string, st Status) error {
	b, err := json.Marshal(st)
	if err != nil {
		return err
	}
	tmp := filepath.Join(state, StatusFile+".tmp")
	if err := os.WriteFile(tmp, append(b, '\n'), 0o600); err != nil {
		return err
	}
	return os.Rename(tmp, filepath.Join(state, StatusFile))
}

// loadStatus goes on with the refusals that were recorded before a restart.
func (s *Site) loadStatus() {
	if st, err := ReadStatus(s.opt.State); err == nil {
		s.refused, s.refusals = st.Refused, st.Refusals
		if n := len(s.refusals); n > 0 {
			s.lastHash = s.refusals[n-1].Hash
		}
	}
}

// ReadStatus reads what the site on that state folder said last. Whether it
// still runs, Status.At tells: it is written every second.
func ReadStatus(state string) (Status, error) {
	var st Status
	b, err := os.ReadFile(filepath.Join(state, StatusFile))
	if err != nil {
		return st, impound.Errorf(impound.KindNotFound, "no sensor ever ran on this folder: %w", err).At(state).WithCure("start it: impound serve --role sensor")
	}
	if err := json.Unmarshal(b, &st); err != nil {
		return st, impound.Errorf(impound.KindInvalid, "couldn't read the sensor's status: %w", err).At(filepath.Join(state, StatusFile))
	}
	return st, nil
}

// Addrs gives the addresses that are listened on, by scheme.
func (s *Site) Addrs() map[string][]string { return s.sink.Addrs() }

// Close stops listening, lets contacts in hand end, and closes the spool: no
// answer without its event. It may be called again.
func (s *Site) Close() error {
	s.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		s.err = s.sink.Close(ctx)
		s.cancel()
		s.wg.Wait()
		s.saveStatus()
		s.err = errors.Join(s.err, s.spool.Close())
	})
	return s.err
}
