package app

import (
	"bytes"
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/watch"
	"github.com/impound/impound/internal/watch/live"
	"github.com/impound/impound/internal/watch/polite"
	"github.com/impound/impound/internal/watch/source/ctlog"
	"github.com/impound/impound/internal/web"
)

// listAge is for how long a log list is used: new logs appear a few times a year.
const listAge = 24 * time.Hour

// listRetry is when a log list that couldn't be had is asked for again.
const listRetry = 5 * time.Minute

// maxListSize bounds a log list that is fetched.
const maxListSize = 16 << 20

// checkWatch finds what is wrong with the sources.
func (c *Config) checkWatch() impound.Problems {
	var ps impound.Problems
	bad := func(where, cure, format string, args ...any) {
		ps = append(ps, impound.Errorf(impound.KindInvalid, format, args...).At(where).WithCure(cure))
	}
	w := c.Watch
	if w.Threshold < 0 || w.Threshold >= 1 {
		bad("watch.threshold", "write a number such as 0.5", "%g is no score from 0 to 1", w.Threshold)
	}
	if _, err := w.budget(); err != nil {
		bad("watch.budget", "write a share such as 0.1%", "%q is no share of the names", w.Budget)
	}
	if w.Serve != "" && w.Serve != "off" && w.Serve != "on" {
		bad("watch.serve", "write off, or leave it out", "%q is neither on nor off", w.Serve)
	}
	names := map[string]bool{}
	for i, s := range w.Sources {
		at := fmt.Sprintf("watch.sources[%d]", i)
		kinds := 0
		for _, v := range []string{s.LogList, s.CT, s.List, s.Zones} {
			if v != "" {
				kinds++
			}
		}
		if kinds != 1 {
			bad(at, "write one source an entry", "needs exactly one of log_list, ct, list and zones")
			continue
		}
		switch {
		case s.LogList != "":
			if s.Key != "" {
				if _, err := ctlog.ParseListKey(s.Key); err != nil {
					bad(at+".key", "copy log_list_pubkey.pem, which is published beside the list", "is no public key that a log list could be signed with")
				}
			}
		case s.Name == "":
			bad(at+".name", "choose a short name", "has no name to keep its place under")
		case len(s.Name) > 200 || strings.ContainsAny(s.Name, "/\\\x00\n") || strings.HasPrefix(s.Name, "."):
			bad(at+".name", "choose a short name without slashes", "%q can't be the name of a source", s.Name)
		case names[s.Name]:
			bad(at+".name", "choose another", "there are two sources called %s", s.Name)
		}
		names[s.Name] = true
		if s.CT != "" {
			if !isURL(s.CT) {
				bad(at+".ct", "write its https address", "%q is no address of a log", s.CT)
			}
			if k, err := base64.StdEncoding.DecodeString(s.Key); err != nil || len(k) == 0 {
				bad(at+".key", "copy it from the log list", "is no public key in base64")
			}
		}
		if len(s.Witnesses) > 0 || s.Quorum != 0 {
			if s.CT == "" || s.Submission == "" {
				bad(at+".witnesses", "name them beside ct and submission", "only a static log has checkpoints that witnesses cosign")
			} else if _, _, err := ctlog.ParseWitnesses(s.Witnesses, s.Quorum); err != nil {
				bad(at+".witnesses", "write each as NAME+KEYHASH+BASE64, and no higher quorum than there are", "%v", err)
			}
		}
		if err := casework.CheckMarking(s.mark()); err != nil {
			bad(at, "write tlp: clear, green, amber, amber+strict or red, and pap: clear, green, amber or red", "%v", err)
		}
		if _, err := from(s.From); err != nil {
			bad(at+".from", "write now, start, or the number of an entry", "%q is no place to begin at", s.From)
		} else if n, _ := from(s.From); n > 0 && s.CT == "" {
			bad(at+".from", "write now or start", "only a log has numbered entries")
		}
		for _, u := range []string{s.CT, s.LogList, s.List} {
			if !isURL(u) {
				continue
			}
			if p, err := url.Parse(u); err != nil || p.Host == "" {
				bad(at, "write an https address", "%q is no address", u)
			} else if err := w.allow(p); err != nil {
				where := at
				if p.Scheme == "https" {
					where = "watch.contact"
				}
				bad(where, err.Cure, "%s", err.Msg)
			}
		}
	}
	return ps
}

// allow says whether a server may be asked: this machine's; others only protected,
// and by somebody who says who he is.
func (w WatchConfig) allow(u *url.URL) *impound.Error {
	switch {
	case loopback(u.Hostname()):
		return nil
	case u.Scheme != "https":
		return impound.Errorf(impound.KindRefused, "%q would be read unprotected", u.Host).WithCure("write https")
	case w.Contact == "":
		return impound.Errorf(impound.KindRefused, "whoever runs %s wants to know whom to write to", u.Host).At("watch.contact").WithCure("write a mailbox, such as soc@unit.example")
	}
	return nil
}

func (w WatchSource) mark() impound.Marking {
	return impound.Marking{TLP: w.TLP, PAP: w.PAP, Originator: w.Originator}
}

// from reads where a source begins.
func from(s string) (live.From, error) {
	switch s {
	case "", "now":
		return live.Now, nil
	case "start":
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 40)
	return live.From(n), err
}

func (s *System) polite() *polite.Client {
	ua := "Impound/" + s.opt.Version
	if c := s.cfg.Watch.Contact; c != "" {
		ua += " (+" + strings.Map(func(r rune) rune {
			if r < ' ' || r > '~' || r == '(' || r == ')' {
				return -1
			}
			return r
		}, c) + ")"
	}
	return polite.New(polite.Config{UserAgent: ua, Rate: s.cfg.Watch.Rate, Allow: func(u *url.URL) error {
		if err := s.cfg.Watch.allow(u); err != nil {
			return err
		}
		return nil
	}})
}

// sources makes those of the configuration. dynamic says that the list of them
// can change by itself. A log list that can't be had keeps no other source from being
// read: missing says what of it is to be tried again.
func (s *System) sources(ctx context.Context, c *polite.Client) (out []live.Source, dynamic bool, missing, err error) {
	var ps impound.Problems
	for i, w := range s.cfg.Watch.Sources {
		start, _ := from(w.From)
		first := len(out)
		switch {
		case w.CT != "":
			key, _ := base64.StdEncoding.DecodeString(w.Key)
			info := ctlog.Info{Name: w.Name, Kind: ctlog.RFC6962, URL: w.CT, Key: key}
			if w.Submission != "" {
				info.Kind, info.URL, info.Monitor = ctlog.Static, w.Submission, w.CT
			}
			var err error
			if info.Witnesses, info.Quorum, err = ctlog.ParseWitnesses(w.Witnesses, w.Quorum); err != nil {
				return nil, false, nil, err
			}
			l, err := ctlog.Open(info, c, 0)
			if err != nil {
				return nil, false, nil, err
			}
			out = append(out, live.NewCT(w.Name, l, start))
		case w.LogList != "":
			dynamic = true
			infos, problems, err := s.logList(ctx, c, w, i)
			if ctx.Err() != nil {
				return nil, false, nil, ctx.Err()
			}
			if err != nil {
				missing = errors.Join(missing, err)
				continue
			}
			ps = append(ps, problems...)
			for _, info := range infos {
				l, err := ctlog.Open(info, c, 0)
				if err != nil {
					ps = append(ps, impound.Errorf(impound.KindInvalid, "couldn't use a log of the list: %w", err).At(info.Name))
					continue
				}
				_, id, _ := strings.Cut(strings.TrimSuffix(info.URL, "/"), "://")
				out = append(out, live.NewCT(id, l, start))
			}
		case isURL(w.List):
			out = append(out, live.NewFeed(w.Name, w.List, s.path("watch", "feeds", w.Name), c))
		case w.List != "":
			out = append(out, live.NewList(w.Name, s.cfg.Path(s.opt.State, w.List)))
		case w.Zones != "":
			out = append(out, live.NewZones(w.Name, s.cfg.Path(s.opt.State, w.Zones), s.path("watch", "zones", w.Name), start == 0))
		}
		for j := first; j < len(out); j++ {
			out[j] = live.Marked(out[j], w.mark())
		}
	}
	for _, p := range ps {
		s.log.Warn("a log of the log list was left out", "problem", p.Error())
	}
	return out, dynamic, missing, nil
}

// logList reads a log list. One from a URL is kept, and used when it can't be
// had. Where its key is given, it counts only with its signature, which lies
// beside it under .sig; what was kept was checked when it came.
func (s *System) logList(ctx context.Context, c *polite.Client, w WatchSource, i int) ([]ctlog.Info, impound.Problems, error) {
	where := w.LogList
	check := func(list []byte, sig func() ([]byte, error)) error {
		if w.Key == "" {
			return nil
		}
		key, err := ctlog.ParseListKey(w.Key)
		if err != nil {
			return err
		}
		b, err := sig()
		if err != nil {
			return fmt.Errorf("couldn't get the log list's signature: %w", err)
		}
		return ctlog.CheckList(list, b, key)
	}
	if !isURL(where) {
		path := s.cfg.Path(s.opt.State, where)
		b, err := os.ReadFile(path)
		if err != nil {
			return nil, nil, impound.Errorf(impound.KindNotFound, "couldn't open the log list: %w", err)
		}
		if err := check(b, func() ([]byte, error) { return os.ReadFile(signatureOf(path)) }); err != nil {
			return nil, nil, err
		}
		return ctlog.ReadList(bytes.NewReader(b), s.now())
	}
	kept := s.path("watch", fmt.Sprintf("log-list-%d.json", i))
	if w.Key != "" { // what was kept without a key was checked by nobody
		kept = s.path("watch", fmt.Sprintf("log-list-%d-signed.json", i))
	}
	res, err := c.Get(ctx, polite.Request{URL: where, Max: maxListSize})
	if err == nil {
		err = check(res.Body, func() ([]byte, error) {
			sig, err := c.Get(ctx, polite.Request{URL: signatureOf(where), Max: 1 << 16})
			if err != nil {
				return nil, err
			}
			return sig.Body, nil
		})
	}
	if err == nil {
		infos, problems, rerr := ctlog.ReadList(bytes.NewReader(res.Body), s.now())
		if rerr == nil {
			return infos, problems, replaceFile(kept, res.Body)
		}
		err = rerr
	}
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	f, oerr := os.Open(kept)
	if oerr != nil {
		return nil, nil, impound.Errorf(impound.KindUnavailable, "couldn't get the log list: %w", err).At(where)
	}
	defer f.Close()
	s.log.Warn("couldn't get the log list: the last one that was had is used", "err", err)
	return ctlog.ReadList(f, s.now())
}

// signatureOf gives where a log list's signature lies: log_list.sig beside
// log_list.json.
func signatureOf(list string) string { return strings.TrimSuffix(list, ".json") + ".sig" }

// WatchOptions say how to watch.
type WatchOptions struct {
	Once  bool      // end when every source was read to its end
	Stdin io.Reader // if set, a source more
	// Show, if set, is called every Every with how the sources go, and at the end.
	Show  func([]live.State)
	Every time.Duration
	// Budget is the share of all names that may be taken for what imitates brands,
	// and of each actor's habits; 0: as the configuration says.
	Budget float64

	run *watchRun // told of the runner
}

// Watch reads the sources of the configuration, and puts what it finds into the
// queue, until ctx ends. Where each source was left is kept with what was queued.
func (s *System) Watch(ctx context.Context, opt WatchOptions) error {
	if err := s.may(ctx, "Watch", ""); err != nil {
		return err
	}
	if len(s.cfg.Watch.Sources) == 0 && opt.Stdin == nil {
		return impound.Errorf(impound.KindInvalid, "there is no source to watch").At(ConfigFile).WithCure("write watch.sources, or give - for standard input; impound config reference shows how")
	}
	m, err := Matcher(s.opt.State, s.cfg)
	if err != nil {
		return err
	}
	if err := os.MkdirAll(s.path("watch"), 0o700); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't make the watch folder: %w", err)
	}
	budget := opt.Budget
	if budget == 0 {
		budget, _ = s.cfg.Watch.budget()
	}
	r, err := live.New(live.Config{
		Store: s.Store, Watch: watch.Options{Matcher: m, Threshold: s.cfg.Watch.Threshold, Budget: budget, Habits: budget}, Save: s.Casework.QueueCandidates, Alarm: s.watchAlarm, Locks: s.path("watch", "locks"),
		Poll: span(s.cfg.Watch.Poll), Once: opt.Once, Now: s.now, Log: s.log,
	})
	if err != nil {
		return err
	}
	// The habits before the first name; then again whenever a case changes.
	word, err := s.setProfiles(ctx, r, opt.run, "")
	if err != nil {
		return err
	}
	opt.run.begin(r, s.now())
	defer opt.run.end()
	upkeep, stopUpkeep := context.WithCancel(ctx)
	defer stopUpkeep()
	go s.watchUpkeep(upkeep, r, opt.run, word)
	if opt.Show != nil {
		done := make(chan struct{})
		ended := make(chan struct{})
		defer func() { close(done); <-ended; opt.Show(r.States()) }()
		go func() {
			defer close(ended)
			t := time.NewTicker(max(opt.Every, 100*time.Millisecond))
			defer t.Stop()
			for {
				select {
				case <-done:
					return
				case <-t.C:
					opt.Show(r.States())
				}
			}
		}()
	}
	if !opt.Once {
		looking, stop := context.WithCancel(ctx)
		ended := make(chan struct{})
		defer func() { stop(); <-ended }()
		go func() {
			defer close(ended)
			if err := s.enrichLoop(looking); err != nil && looking.Err() == nil {
				s.log.Error("candidates are not looked at", "err", err)
			}
		}()
	}
	c := s.polite()
	for {
		srcs, dynamic, missing, err := s.sources(ctx, c)
		if err != nil {
			return err
		}
		if missing != nil && len(srcs) == 0 && opt.Stdin == nil {
			return missing
		}
		age := listAge
		if missing != nil {
			s.log.Warn("a log list couldn't be had: its logs are not read until it can", "err", missing)
			age = listRetry
		}
		if opt.Stdin != nil {
			srcs = append(srcs, live.NewStdin("stdin", opt.Stdin))
		}
		round, cancel := ctx, context.CancelFunc(func() {})
		if dynamic && !opt.Once {
			round, cancel = context.WithTimeout(ctx, age)
		}
		err = r.Run(round, srcs)
		again := errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && dynamic && !opt.Once
		cancel()
		if !again {
			if opt.Once && err == nil {
				err = s.enrichOnce(ctx)
			}
			if err == nil && missing != nil {
				err = impound.Errorf(impound.KindPartial, "the rest was read: %w", missing)
			}
			return err
		}
	}
}

// watchAlarm keeps the proof of a log's misconduct in the evidence log.
func (s *System) watchAlarm(ctx context.Context, a live.Alarm) error {
	art, err := s.Evidence.Capture(ctx, impound.Artefact{Kind: "ct-misconduct", Media: "application/json", Source: a.Source, Tool: "impound " + s.opt.Version, By: "system", At: s.now().UTC()}, a.Evidence)
	if err != nil {
		return err
	}
	_, err = s.Evidence.Append(ctx, impound.Entry{ID: a.ID, Type: impound.EntrySystem, By: "system", What: "watch.alarm", Detail: map[string]string{"source": a.Source, "text": a.Text, "evidence": art.Hash}})
	return err
}

// WatchSourceStatus is how a source goes, with what of it could not be screened.
type WatchSourceStatus struct {
	live.State
	Lag    int64        `json:"lag"` // -1: not known
	Events []live.Event `json:"events,omitempty"`
}

// WatchStatus reads from the store how every source goes that was ever read, and
// names those of the configuration that were not,
// with its newest events, at most as many as events says.
func (s *System) WatchStatus(ctx context.Context, events int) ([]WatchSourceStatus, error) {
	if _, err := s.Casework.Sight(ctx); err != nil { // sources are of no case: whoever is somebody may see them
		return nil, err
	}
	states, err := live.Status(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	out := []WatchSourceStatus{}
	for _, st := range states {
		w := WatchSourceStatus{State: st.AsOf(s.now()), Lag: st.Lag()}
		w.Cursor = nil
		if events > 0 {
			if w.Events, err = live.Events(ctx, s.Store, st.ID); err != nil {
				return nil, err
			}
			w.Events = w.Events[max(0, len(w.Events)-events):]
		}
		out = append(out, w)
	}
	// What is configured and was never read is what somebody looks for in vain.
	for _, w := range s.cfg.Watch.Sources {
		st := live.State{ID: w.Name, Target: -1}
		switch {
		case w.LogList != "": // its logs have names of their own
			continue
		case w.CT != "":
			st.Kind, st.Where = live.KindCT, w.CT
		case w.List != "":
			st.Kind, st.Where = live.KindList, w.List
			if isURL(w.List) { // a feed's key may stand in its query
				st.Where, _, _ = strings.Cut(w.List, "?")
			}
		default:
			st.Kind, st.Where = live.KindZone, w.Zones
		}
		if !slices.ContainsFunc(out, func(o WatchSourceStatus) bool { return o.ID == w.Name }) {
			out = append(out, WatchSourceStatus{State: st, Lag: -1})
		}
	}
	return out, nil
}

// WatchRelease lets a held source be read on. Who decided so stands in the evidence
// log before, and what came of it after.
func (s *System) WatchRelease(ctx context.Context, id string, from live.Resume) error {
	if err := s.may(ctx, "WatchRelease", ""); err != nil {
		return err
	}
	by := cmp.Or(impound.PrincipalOf(ctx).ID, "system")
	e := impound.Entry{
		ID: fmt.Sprintf("watch.release:%s:%d", id, s.now().UnixNano()), Type: impound.EntryIntent, By: by, What: "watch.release",
		Detail: map[string]string{"source": id, "again": strconv.FormatBool(from == live.ResumeStart), "skipped": strconv.FormatBool(from == live.ResumeNow)},
	}
	if _, err := s.Evidence.Append(ctx, e); err != nil {
		return fmt.Errorf("couldn't record the release, so nothing was released: %w", err)
	}
	released := live.Release(ctx, s.Store, id, from)
	text := "released"
	if released != nil {
		text = "failed: " + clipText(released.Error())
	}
	_, err := s.Evidence.Append(context.WithoutCancel(ctx), impound.Entry{ID: e.ID + ":result", Type: impound.EntryResult, By: by, What: e.What, Intent: e.ID, Detail: map[string]string{"source": id, "text": text}})
	return cmp.Or(released, err)
}

// AlarmWatch is the kind of an alarm about a source that is held.
const AlarmWatch = "watch"

// watchAlarms says which sources are held, and those that failed long enough for
// somebody to look.
func (s *System) watchAlarms(ctx context.Context) ([]Alarm, error) {
	states, err := live.Status(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	var out []Alarm
	for _, st := range states {
		if st.Held != "" {
			out = append(out, Alarm{Kind: AlarmWatch, At: st.HeldAt, Text: "watch: " + st.ID + " is held: " + st.Held,
				Cure: "look at the proof in the evidence log, or at the file; then let it be read on", Cmd: "impound watch release " + st.ID})
		}
	}
	return out, nil
}

// Sources gives how the watch's sources go: as it is this second, where this
// process reads them.
func (d desk) Sources(ctx context.Context) ([]web.SourceView, error) {
	all, err := d.s.WatchStatus(ctx, 0)
	now := d.s.watching.states()
	for i := range all {
		if st, ok := now[all[i].ID]; ok {
			st.Cursor = nil
			all[i].State, all[i].Lag = st, st.Lag()
		}
	}
	out := make([]web.SourceView, 0, len(all))
	for _, w := range all {
		v := web.SourceView{ID: w.ID, Kind: w.Kind, Where: w.Where, Position: w.Position, Verified: w.Verified, Lag: w.Lag, Rate: w.Rate, Names: w.Names, Hits: w.Hits, Unreadable: w.BadNames + w.Unreadable, Errors: w.Errors, Read: w.LastOK, Held: w.Held}
		if w.InARow > 0 {
			v.Fault = w.LastError
		}
		out = append(out, v)
	}
	return out, err
}
