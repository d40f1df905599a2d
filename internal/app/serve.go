package app

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/acme"
	"github.com/impound/impound/internal/app/sensor"
	"github.com/impound/impound/internal/sinkhole"
	"github.com/impound/impound/internal/sinkhole/policy"
	"github.com/impound/impound/internal/spool"
	"github.com/impound/impound/internal/web"
)

const (
	// policyEvery bounds how long a filed order takes to reach the sinkhole.
	// That it stops at its date needs no timer: every answer asks the date.
	policyEvery = 250 * time.Millisecond
	// ingestEvery bounds how long a contact takes to reach the pages.
	ingestEvery = 200 * time.Millisecond
	// policyValid is how long the sensor goes on when the hub is gone.
	policyValid = 24 * time.Hour
	ingestBatch = 4096
	// purgeEvery is how late a contact may go after its retention ended.
	purgeEvery = time.Hour
	drainTime  = 5 * time.Second
)

// serving is what runs between Start and Close.
type serving struct {
	cancel context.CancelFunc
	wg     sync.WaitGroup

	spool     *spool.Spool
	sink      *sinkhole.Sinkhole
	kept      *policy.Kept
	hub       ed25519.PrivateKey
	hubSrv    *hubServer
	web       *http.Server
	webAt     string
	contest   *http.Server // the public form
	contestAt string

	mu          sync.Mutex
	fingerprint string    // of what the newest bundle was made from
	renew       time.Time // when it needs a successor, whatever else happens
	seen        int64     // how long the evidence log was when we looked
	next        time.Time // when an order begins or ends next
	looked      time.Time // when we looked last, by the same clock
	fault       string

	gap     bool   // recording was stopped when we last looked; of leaveStatus alone
	dropped uint64 // contacts lost by then
}

// Start begins to serve: sinkhole, policy, telemetry, pages, as far as the
// configuration names them. Everything is bound when it returns; the error says
// plainly what could not be. Close stops it in order.
func (s *System) Start(ctx context.Context) (err error) {
	s.servingMu.Lock()
	defer s.servingMu.Unlock()
	if s.serving != nil {
		return impound.Errorf(impound.KindConflict, "this process serves already")
	}
	// What runs from here on is the house itself; requests bring their own.
	ctx, cancel := context.WithCancel(impound.AsSystem(context.WithoutCancel(ctx)))
	v := &serving{cancel: cancel}
	defer func() {
		if err != nil {
			err = errors.Join(err, v.stop())
			if v.spool != nil {
				err = errors.Join(err, v.spool.Close())
			}
		}
	}()
	if len(s.cfg.Sinkhole.Listen) > 0 && s.cfg.Role != RoleHub {
		if err := s.startSinkhole(ctx, v); err != nil {
			return err
		}
	}
	if s.cfg.Web != "" {
		if err := s.startWeb(v); err != nil {
			return err
		}
	}
	if s.cfg.Hub.Listen != "" {
		if err := s.startHub(ctx, v); err != nil {
			return err
		}
	}
	if s.cfg.Contest.Listen != "" && s.cfg.Role != RoleSensor {
		if err := s.startContest(v); err != nil {
			return err
		}
	}
	watches := len(s.cfg.Watch.Sources) > 0 && s.cfg.Watch.Serve != "off" && s.cfg.Role != RoleSensor
	if v.sink == nil && v.web == nil && v.hubSrv == nil && v.contest == nil && !watches {
		return impound.Errorf(impound.KindInvalid, "the configuration names nothing to serve").WithCure("fill in web:, hub: listen: or sinkhole: listen: in " + ConfigFile + "; impound config init writes a first one")
	}
	s.serving = v
	if _, err := s.Evidence.Append(ctx, impound.Entry{Type: impound.EntrySystem, By: "system", What: "serve.start", Detail: map[string]string{"text": "this process began to serve", "version": s.opt.Version}}); err != nil {
		s.serving = nil
		return fmt.Errorf("couldn't record the start: %w", err)
	}
	if v.web != nil {
		v.wg.Go(func() { s.warm(ctx) })
	}
	if watches {
		v.wg.Go(func() { s.watchLoop(ctx) })
	}
	if every, err := s.cfg.custodyEvery(); err == nil && every > 0 {
		v.wg.Go(func() { s.custodyLoop(ctx, every) })
		v.wg.Go(func() { s.nightlyLoop(ctx) })
		v.wg.Go(func() { s.listsLoop(ctx) })
	}
	if often, err := every(s.cfg.PollEvery, 5*time.Minute); err == nil && often > 0 && len(s.cfg.Registries) > 0 {
		v.wg.Go(func() { s.pollLoop(ctx, often) })
	}
	if often, err := every(s.cfg.Mail.Answers.Every, 5*time.Minute); err == nil && often > 0 && s.cfg.Mail.Answers.IMAP != "" {
		v.wg.Go(func() { s.inboxLoop(ctx, often) })
	}
	if often, err := every(s.cfg.Seal.Every, 24*time.Hour); err == nil && often > 0 && len(s.cfg.Seal.Witnesses)+len(s.cfg.Seal.TSAs) > 0 {
		v.wg.Go(func() { s.sealLoop(ctx, often) })
	}
	if v.sink != nil || v.hubSrv != nil {
		v.loop(ctx, policyEvery, func() { s.tryPolicy(ctx, v) })
	}
	if v.sink != nil {
		v.loop(ctx, time.Second, func() { s.leaveStatus(ctx, v) })
		v.loop(ctx, ingestEvery, func() { s.tryIngest(ctx, v) })
	}
	v.loop(ctx, purgeEvery, func() { s.tryPurge(ctx, v) })
	return nil
}

func (v *serving) loop(ctx context.Context, every time.Duration, do func()) {
	v.wg.Go(func() {
		t := time.NewTicker(every)
		defer t.Stop()
		for {
			do()
			select {
			case <-ctx.Done():
				return
			case <-t.C:
			}
		}
	})
}

func (s *System) startSinkhole(ctx context.Context, v *serving) error {
	var err error
	if v.hub, err = s.hubKey(); err != nil {
		return err
	}
	lure, err := s.secretKey("lure.key")
	if err != nil {
		return err
	}
	if v.kept, err = policy.Keep(s.path("policy"), impound.NewPublicKey(publicOf(v.hub))); err != nil {
		return err
	}
	so := s.cfg.spoolOptions()
	so.Sensor, so.Now, so.Log = s.sensorID(), s.now, s.log
	if v.spool, err = spool.Open(s.path("spool"), so); err != nil {
		return fmt.Errorf("couldn't open the spool: %w", err)
	}
	// Telemetry takes each number once: a folder that was lost, or came back from
	// an old copy, must not give one again.
	if have, err := s.Telemetry.Cursor(ctx, s.sensorID()); err != nil {
		return err
	} else if have > v.spool.Stats().Last {
		v.spool.Raise(have + spool.Margin)
	}
	cfg, err := s.cfg.sinkConfig(s.opt.State, lure)
	if err != nil {
		return err
	}
	cfg.Recorder, cfg.Now, cfg.Log = v.spool, s.now, s.log
	cfg.NewBatch = func() sinkhole.Batch { return v.spool.NewBatch() }
	var certs *sensor.Certs
	if a := s.cfg.acme(s.opt.State); a != nil {
		a.OnAct = s.recordACME
		if certs, err = sensor.OpenCerts(*a, &cfg, s.now, s.log); err != nil {
			return err
		}
	}
	if v.sink, err = sinkhole.New(cfg); err != nil {
		return err
	}
	// The policy before the first listener, and from the evidence log, not from
	// the bundle that lies in the folder: here the hub itself can be asked.
	if err := s.refreshPolicy(ctx, v); err != nil {
		v.sink = nil
		return err
	}
	if err := v.sink.Start(ctx); err != nil {
		v.sink = nil
		return err
	}
	if certs != nil {
		v.wg.Go(func() { certs.Run(ctx, v.sink) })
	}
	return nil
}

// recordACME records what is done towards a certificate authority.
func (s *System) recordACME(ctx context.Context, a acme.Act) error {
	e := impound.Entry{ID: a.ID, Type: impound.EntryIntent, At: s.now().UTC(), By: "system", What: a.What, Detail: map[string]string{"directory": s.cfg.Sinkhole.ACME.Directory}}
	if n, err := impound.ParseName(a.Name); err == nil {
		e.Name = n
	}
	if a.Result {
		e.ID, e.Type, e.Intent = a.ID+":result", impound.EntryResult, a.ID
		e.Detail["text"] = "done"
		if a.Err != "" {
			e.Detail["text"] = "failed: " + clipText(a.Err)
		}
	}
	_, err := s.Evidence.Append(ctx, e)
	return err
}

func (s *System) startWeb(v *serving) error {
	l, err := net.Listen("tcp", s.cfg.Web)
	if err != nil {
		e := impound.Errorf(impound.KindUnavailable, "couldn't listen for the pages: %w", err).At("web: " + s.cfg.Web)
		if errors.Is(err, syscall.EADDRINUSE) {
			e = e.WithCure("something listens there already: stop it, or choose another port in " + ConfigFile)
		}
		return e
	}
	v.webAt = l.Addr().String()
	_, port, _ := net.SplitHostPort(v.webAt)
	h := web.New(web.Config{Desk: desk{s}, Links: linker{s}, Auth: doorman{s}, Intake: s.reportView, Work: worker{s}, Triage: triager{s}, AllowedHosts: []string{v.webAt, "localhost:" + port, "127.0.0.1:" + port}, Version: s.opt.Version, Now: s.now, Log: s.log})
	v.web = web.NewServer(h)
	v.wg.Go(func() {
		if err := v.web.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			s.log.Error("the pages stopped", "err", err)
		}
	})
	return nil
}

// Addrs says what this process listens on, by scheme ("web", "dns", "http" ...).
func (s *System) Addrs() map[string][]string {
	out := map[string][]string{}
	s.servingMu.Lock()
	defer s.servingMu.Unlock()
	if v := s.serving; v != nil {
		if v.sink != nil {
			out = v.sink.Addrs()
		}
		if v.hubSrv != nil {
			out["hub"] = []string{v.hubSrv.addr}
		}
		if v.webAt != "" {
			out["web"] = []string{v.webAt}
		}
		if v.contestAt != "" {
			out["contest"] = []string{v.contestAt}
		}
	}
	return out
}

// stop ends what runs, the outside first: no answer without its event, no event
// that telemetry could have had and hasn't.
func (v *serving) stop() error {
	ctx, cancel := context.WithTimeout(context.Background(), drainTime)
	defer cancel()
	var err error
	if v.sink != nil {
		err = errors.Join(err, v.sink.Close(ctx))
	}
	v.cancel() // polls that wait end
	if v.hubSrv != nil {
		if herr := v.hubSrv.http.Shutdown(ctx); herr != nil {
			err = errors.Join(err, v.hubSrv.http.Close())
		}
	}
	if v.contest != nil {
		if cerr := v.contest.Shutdown(ctx); cerr != nil {
			err = errors.Join(err, v.contest.Close())
		}
	}
	if v.web != nil {
		if werr := v.web.Shutdown(ctx); werr != nil {
			err = errors.Join(err, v.web.Close())
		}
	}
	v.cancel()
	v.wg.Wait()
	return err
}

func (s *System) stopServing() error {
	s.servingMu.Lock()
	v := s.serving
	s.serving = nil
	s.servingMu.Unlock()
	if v == nil {
		return nil
	}
	err := v.stop()
	if v.spool != nil {
		ctx, cancel := context.WithTimeout(context.Background(), drainTime)
		defer cancel()
		ierr := s.ingest(ctx, v)
		if ierr != nil && ctx.Err() != nil {
			// Its time was over: the rest stays in the spool for the next start.
			s.log.Info("contacts stay in the spool; telemetry takes them in at the next start", "err", ierr)
			ierr = nil
		}
		err = errors.Join(err, ierr, v.spool.Close())
	}
	_, aerr := s.Evidence.Append(context.Background(), impound.Entry{Type: impound.EntrySystem, By: "system", What: "serve.stop", Detail: map[string]string{"text": "this process stopped serving in order"}})
	return errors.Join(err, aerr)
}

func (s *System) tryPolicy(ctx context.Context, v *serving) {
	if err := s.refreshPolicy(ctx, v); err != nil && ctx.Err() == nil {
		v.say(s, "policy: "+err.Error())
		return
	}
	v.say(s, "")
}

func (v *serving) say(s *System, fault string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if fault != v.fault && fault != "" {
		s.log.Error("the sensor is not well", "fault", fault)
	}
	v.fault = fault
}

// refreshPolicy makes a new bundle when the orders in force, or the names that
// they permit, are others than those of the newest one, and takes it through the
// same door as a bundle from afar. What counts is read from the evidence log;
// where that can't be done the old bundle stays, and ends by its own dates.
func (s *System) refreshPolicy(ctx context.Context, v *serving) error {
	now, size := s.now(), s.Evidence.Size()
	v.mu.Lock()
	if now.Before(v.looked.Add(-time.Minute)) {
		// The clock was put back: what it said of orders, and when to look again,
		// was wrong, and a bundle from the future is refused elsewhere.
		v.fingerprint = ""
	}
	v.looked = now
	quiet := v.fingerprint != "" && size == v.seen && now.Before(v.next) && now.Before(v.renew)
	v.mu.Unlock()
	if quiet {
		return nil // orders, people and overrides all stand in the log
	}
	ms, merr := s.Casework.Mandates(ctx)
	if merr != nil && impound.KindOf(merr) != impound.KindPartial {
		return merr
	}
	if ms, merr = s.withoutReleased(ctx, ms); merr != nil {
		return merr
	}
	var b strings.Builder
	next := now.Add(time.Hour)
	for _, m := range ms {
		from, until := m.Window()
		for _, t := range []time.Time{from, until} {
			if t.After(now) && t.Before(next) {
				next = t
			}
		}
		if !m.InForce(now) {
			continue
		}
		b.WriteString(m.Hash() + "\n")
		for _, n := range m.Withheld() {
			b.WriteString("-" + n.String() + "\n")
		}
	}
	fp := impound.HashBytes([]byte(b.String()))
	v.mu.Lock()
	same := fp == v.fingerprint && now.Before(v.renew) && size == v.seen
	same = same || v.hubSrv == nil && fp == v.fingerprint && now.Before(v.renew)
	local := v.sink != nil && (fp != v.fingerprint || !now.Before(v.renew))
	if same {
		v.seen, v.next = size, next
	}
	v.mu.Unlock()
	if same {
		return nil
	}
	if local {
		bundle, id, err := s.makeBundle(ctx, v.kept, s.sensorID(), ms, s.policyAnswer(), now, policy.Options{Key: v.hub})
		if err != nil {
			return err
		}
		p, err := v.kept.Accept(bundle.Data, now)
		if err != nil {
			return err
		}
		if err := v.sink.SetPolicy(p); err != nil {
			return err
		}
		if _, err := s.Evidence.Append(ctx, impound.Entry{ID: id + ":result", Type: impound.EntryResult, By: "system", What: "sinkhole.policy", Intent: id, Detail: map[string]string{"text": "in force", "serial": fmt.Sprint(bundle.Serial)}}); err != nil {
			return err
		}
	}
	if v.hubSrv != nil {
		if err := s.publishAll(ctx, v.hubSrv, ms, fp, now); err != nil {
			return err
		}
	}
	v.mu.Lock()
	if local || v.sink == nil {
		v.renew = now.Add(s.cfg.policyValid() / 2)
	}
	v.fingerprint, v.seen, v.next = fp, size, next
	v.mu.Unlock()
	return nil
}

// publishAll makes what each enrolled sensor needs. One that fails doesn't keep
// the others from theirs.
func (s *System) publishAll(ctx context.Context, h *hubServer, ms []*impound.Mandate, fp string, now time.Time) error {
	all, err := s.EnrolledSensors(ctx)
	if err != nil {
		return err
	}
	if err := h.enrolled(all); err != nil {
		return err
	}
	h.mu.Lock()
	targets := slices.Collect(maps.Values(h.targets))
	h.mu.Unlock()
	var errs []error
	for _, t := range targets {
		if err := h.publish(ctx, t, ms, fp, now); err != nil {
			errs = append(errs, fmt.Errorf("sensor %s: %w", t.name, err))
		}
	}
	return errors.Join(errs...)
}

func (s *System) policyAnswer() policy.Answer {
	c := s.cfg.Sinkhole
	a := policy.Answer{NS: slices.Clone(c.NS)}
	if !c.Hostmaster.IsZero() {
		a.Hostmaster = c.Hostmaster.String()
	}
	for _, ip := range c.Answer {
		if ip.Is4() {
			a.A = append(a.A, ip)
		} else {
			a.AAAA = append(a.AAAA, ip)
		}
	}
	return a
}

func (s *System) tryIngest(ctx context.Context, v *serving) {
	if err := s.ingest(ctx, v); err != nil && ctx.Err() == nil {
		s.log.Error("couldn't take contacts into telemetry; they stay in the spool", "err", err)
	}
}

// ingest carries what the spool has gained to telemetry, exactly once: the
// sequence number is the key.
func (s *System) ingest(ctx context.Context, v *serving) error {
	for {
		cur, err := s.Telemetry.Cursor(ctx, s.sensorID())
		if err != nil {
			return err
		}
		evs, err := v.spool.Read(cur, ingestBatch)
		if err != nil {
			return err
		}
		if len(evs) == 0 {
			return nil
		}
		if _, err := s.Telemetry.Ingest(ctx, evs); err != nil {
			return err
		}
		if err := v.spool.MarkShipped(evs[len(evs)-1].Seq); err != nil {
			return err
		}
	}
}

// tryPurge deletes contacts whose order's retention has ended, in telemetry,
// in reports that were not sent, and in the spool.
func (s *System) tryPurge(ctx context.Context, v *serving) {
	days := map[string]int{}
	rows, err := s.Casework.Orders(ctx)
	if err == nil {
		for _, r := range rows {
			var o *impound.Order
			if _, o, _, err = s.Casework.Order(ctx, r.ID); err != nil {
				break
			}
			days[r.ID] = o.Sinkhole.RetentionDays
		}
	}
	keep, known := sensor.Retention(days)
	retention := func(order string) (int, bool) {
		if order == "" && known { // who named nobody: kept as the strictest order lets
			return int(keep.Shortest / (24 * time.Hour)), true
		}
		d, ok := days[order]
		return d, ok
	}
	if err == nil && v.spool != nil {
		err = v.spool.TrustClock(s.now())
	}
	var purged int
	if err == nil {
		p, perr := s.Telemetry.Purge(ctx, s.now(), retention)
		purged, err = p.Contacts, perr
	}
	if err == nil && s.Notify != nil {
		_, err = s.Notify.Purge(ctx, s.now(), retention)
	}
	if err == nil && known && v.spool != nil {
		_, err = v.spool.Expire(s.now(), keep)
	}
	if err == nil && purged > 0 {
		_, err = s.Evidence.Append(ctx, impound.Entry{Type: impound.EntrySystem, By: "system", What: "telemetry.purge", Detail: map[string]string{"text": fmt.Sprintf("%d contacts deleted: their orders' retention has ended", purged)}})
	}
	if err != nil && ctx.Err() == nil {
		s.log.Error("couldn't delete contacts whose retention has ended", "err", err)
	}
}

// CaughtUp says whether telemetry has every contact that the spool holds.
func (s *System) CaughtUp(ctx context.Context) (bool, error) {
	s.servingMu.Lock()
	v := s.serving
	s.servingMu.Unlock()
	if v == nil || v.spool == nil {
		return true, nil
	}
	cur, err := s.Telemetry.Cursor(ctx, s.sensorID())
	return cur >= v.spool.Stats().Last, err
}

// hubKey signs policy bundles.
func (s *System) hubKey() (ed25519.PrivateKey, error) {
	seed, err := s.secretKey("policy.key")
	if err != nil {
		return nil, err
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func publicOf(k ed25519.PrivateKey) ed25519.PublicKey { return k.Public().(ed25519.PublicKey) }

// graphAfter is how long a server that just started leaves the graph of links.
const graphAfter = 2 * time.Second

// warm reads what every page asks for, so that the first reader of a large house
// doesn't wait for it. What it reads is kept for nobody in particular; what goes
// wrong is said to whoever asks.
func (s *System) warm(ctx context.Context) {
	d := desk{s}
	cases, err := d.Cases(ctx)
	if err != nil {
		return
	}
	_, _ = d.Orders(ctx, "")
	for _, c := range cases {
		if ctx.Err() != nil {
			return
		}
		_, _ = d.Case(ctx, c.ID)
	}
	_, _ = d.Plans(ctx, "", "")
	// The graph of links takes long, and few pages show it: who came at once goes first.
	select {
	case <-ctx.Done():
		return
	case <-time.After(graphAfter):
	}
	_, _ = s.linkGraph(ctx)
}
