package app

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/notify"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/registrymap"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/epp"
	"github.com/impound/impound/internal/store/sqlite"
	"github.com/impound/impound/internal/telemetry"
	"github.com/impound/impound/internal/watch/match"
)

// Options of [Open].
type Options struct {
	State    string // the state folder; made when it isn't there
	Config   Config
	Version  string
	Log      *slog.Logger
	Now      func() time.Time
	Progress func(seizure.Event)
	// Patience bounds the waiting of seizure for slow peers; 0 is seizure's
	// own. The tour on one machine needs less.
	Patience time.Duration
	// Fetch is how lists for the gates are fetched; nil: directly, or through the
	// proxy of the environment.
	Fetch *http.Client
}

// System is the wired house on one state folder. Its methods are safe for
// concurrent use, and several processes may have the same folder open.
type System struct {
	Casework  *casework.Service
	Evidence  *evidence.Log
	Seizure   *seizure.Engine
	Observe   *observe.Observer
	asks      observe.Config    // what Observe was made of
	outside   *observe.Observer // looks by the way out that capture names
	Telemetry *telemetry.DB
	Notify    *notify.Service
	Store     *sqlite.Store

	opt   Options
	cfg   Config
	log   *slog.Logger
	now   func() time.Time
	conns []seizure.Connector

	inboxMu sync.Mutex // held while the mailbox is read
	factsMu sync.Mutex
	hidden  struct {
		mu   sync.Mutex
		m    map[string]hiddenLines // by person
		read int64                  // up to where free was looked for
		free []caselessLine
	}
	facts  map[impound.Name]cachedFacts
	silent map[string]int // names of a TLD in a row that RDAP, or the parent, gave nothing of, however often it was asked

	gateRuns gateRuns
	sight    sights
	byTLD    map[string]string // providers; not changed once opened
	orders   orderViews
	planned  plannedNames
	lists    liveLists
	brands   func() (*match.Matcher, error)
	regs     *registrymap.Map
	passive  passive
	networks *telemetry.Networks // nil: not known
	infra    infrastructure
	cases    sync.Map // order id -> case id

	watching watchRun // of this process

	servingMu sync.Mutex
	serving   *serving
}

// Open opens the rooms on the state folder; nothing listens yet.
func Open(ctx context.Context, opt Options) (s *System, err error) {
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	s = &System{opt: opt, cfg: opt.Config, log: opt.Log, now: opt.Now, facts: map[impound.Name]cachedFacts{}}
	defer func() {
		if err != nil {
			s.Close()
			s = nil
		}
	}()
	if opt.Config.Role == RoleSensor {
		return s, impound.Errorf(impound.KindRefused, "this is the folder of a sensor: it has no cases, no people and no database").At(opt.State).WithCure("work on the hub; here there are impound serve and impound sinkhole")
	}
	if err := writableDir(opt.State); err != nil {
		return s, err
	}
	for _, d := range []string{"keys", "people", "reports"} {
		if err := os.MkdirAll(s.path(d), 0o700); err != nil {
			return s, impound.Errorf(impound.KindUnavailable, "couldn't make %s: %w", s.path(d), err)
		}
	}
	if s.Evidence, err = evidence.Open(s.path("evidence"), evidence.Options{Origin: "impound/" + s.sensorID(), KeyPath: s.path("keys", "evidence.key"), Now: s.now}); err != nil {
		return s, fmt.Errorf("couldn't open the evidence log: %w", err)
	}
	if s.Store, err = sqlite.Open(ctx, s.path("impound.db"), sqlite.Options{Now: s.now}); err != nil {
		return s, fmt.Errorf("couldn't open the store: %w", err)
	}
	obs := observe.Config{Resolvers: s.cfg.Resolvers, Routes: s.cfg.Routes, Parents: map[string][]string{}, RDAP: map[string]string{}, UserAgent: "Impound/" + opt.Version, Now: s.now, Timeout: opt.Patience, Source: s.cfg.Capture.source()}
	for _, r := range s.cfg.Registries {
		for _, tld := range r.TLDs {
			if len(r.Parents) > 0 {
				obs.Parents[tld] = r.Parents
			}
			if r.RDAP != "" {
				obs.RDAP[tld] = r.RDAP
			}
		}
	}
	for _, z := range s.cfg.Zones {
		zone, err := z.zoneName()
		if err != nil {
			return s, err
		}
		if len(z.Parents) > 0 {
			obs.Parents[zone.String()] = z.Parents
		}
		if z.RDAP != "" {
			obs.RDAP[zone.String()] = z.RDAP
		}
	}
	for _, r := range s.cfg.Asked {
		for _, tld := range r.TLDs {
			if len(r.Parents) > 0 {
				obs.Parents[tld] = r.Parents
			}
			if r.RDAP != "" {
				obs.RDAP[tld] = r.RDAP
			}
		}
	}
	if err := s.bootstrap(obs.RDAP); err != nil {
		return s, err
	}
	if s.asksWHOIS() {
		obs.WHOIS = s.whoisView
	}
	if s.Observe, err = observe.New(obs); err != nil {
		return s, err
	}
	s.asks = obs
	if s.outside, err = s.cfg.outside(s.Observe, obs); err != nil {
		return s, err
	}
	if err := s.openLists(); err != nil {
		return s, err
	}
	if s.Casework, err = casework.New(casework.Config{Store: s.Store, Evidence: s.Evidence, Now: s.now, GatesNow: s.lists.now, Facts: s.gateFacts, Registry: s.registryOf, Passive: s.knownFacts, Capacity: s.fleet, Taken: s.taken, Neighbours: neighbours, Log: s.log, Tool: "impound " + opt.Version, SeesArtefact: s.seesArtefact, RenewalBy: s.cfg.RenewalBy}); err != nil {
		return s, err
	}
	if s.regs, err = s.registryMap(); err != nil {
		return s, err
	}
	s.brands = sync.OnceValues(func() (*match.Matcher, error) { return Matcher(opt.State, s.cfg) })
	if err := s.openSeizure(ctx); err != nil {
		return s, err
	}
	topt := telemetry.Options{Now: s.now, CaseOf: s.caseOf}
	if s.cfg.Networks != "" {
		n, problems := telemetry.LoadNetworksFile(s.cfg.Path(opt.State, s.cfg.Networks))
		if n == nil {
			return s, problems.Err()
		}
		for _, p := range problems {
			s.log.Warn("a line of the networks file was left out", "problem", p.Error())
		}
		topt.Networks = n
	}
	if s.cfg.NetworksMMDB != "" {
		if topt.Networks, err = topt.Networks.WithMMDB(s.cfg.Path(opt.State, s.cfg.NetworksMMDB)); err != nil {
			return s, err
		}
	}
	s.networks = topt.Networks
	if s.Telemetry, err = telemetry.Open(ctx, s.path("telemetry.db"), topt); err != nil {
		return s, fmt.Errorf("couldn't open telemetry: %w", err)
	}
	return s, s.openNotify()
}

func writableDir(dir string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't make the state folder: %w", err).WithCure("choose another with --state")
	}
	f, err := os.CreateTemp(dir, ".writable-*")
	if err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't write in the state folder: %w", err).WithCure("make it writable, or choose another with --state")
	}
	_, err = f.Write(make([]byte, 64<<10))
	err = errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
	if err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't write 64 KiB in the state folder: %w", err).WithCure("make room on the disk: nothing may be done that can't be recorded")
	}
	return nil
}

// Close stops what serves and closes the rooms. It may be called twice.
func (s *System) Close() error {
	err := s.stopServing()
	for _, c := range s.conns {
		err = errors.Join(err, c.Close())
	}
	s.conns = nil
	if s.Telemetry != nil {
		err = errors.Join(err, s.Telemetry.Close())
		s.Telemetry = nil
	}
	if s.Store != nil {
		err = errors.Join(err, s.Store.Close())
		s.Store = nil
	}
	if s.Evidence != nil {
		err = errors.Join(err, s.Evidence.Close())
		s.Evidence = nil
	}
	return err
}

func (s *System) path(parts ...string) string {
	return filepath.Join(append([]string{s.opt.State}, parts...)...)
}

// State is the state folder.
func (s *System) State() string { return s.opt.State }

// Config is the configuration in effect.
func (s *System) Config() Config { return s.cfg }

func (s *System) sensorID() string {
	if s.cfg.Sinkhole.Sensor != "" {
		return s.cfg.Sinkhole.Sensor
	}
	return "local"
}

// secretKey reads 32 octets from keys/NAME, and makes them at first.
func (s *System) secretKey(name string) ([]byte, error) {
	path := s.path("keys", name)
	b, err := readSecret(path)
	if !os.IsNotExist(err) {
		return b, err
	}
	b = make([]byte, 32)
	rand.Read(b)
	// Written whole or not at all, and never over another process's.
	tmp, err := os.CreateTemp(s.path("keys"), ".new-*")
	if err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't make a key: %w", err)
	}
	defer os.Remove(tmp.Name())
	_, err = tmp.Write(b)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't make a key: %w", err)
	}
	if err := os.Link(tmp.Name(), path); err != nil && !os.IsExist(err) {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't make a key: %w", err)
	}
	return os.ReadFile(path)
}

// readSecret reads 32 octets; the error is os.ErrNotExist where there are none.
func readSecret(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	switch {
	case os.IsNotExist(err):
		return nil, err
	case err != nil:
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't read the key: %w", err)
	case len(b) != 32:
		return nil, impound.Errorf(impound.KindInvalid, "is %d octets long, want 32", len(b)).At(path).WithCure("restore it from a backup")
	}
	return b, nil
}

// Identity is somebody who proved to hold an enrolled key.
type Identity struct {
	impound.Person
	key ed25519.PrivateKey
}

// Sign makes the person's signature over hash.
func (i Identity) Sign(about, hash string, at time.Time) impound.Signature {
	return impound.Sign(i.key, about, hash, i.ID, at)
}

// KeyPath is where a person's private key is looked for when no file is named.
func (s *System) KeyPath(id string) string { return s.path("people", id+".key") }

// Identify proves that whoever asks holds the private key that was enrolled for
// id. keyFile "" is KeyPath(id).
func (s *System) Identify(id, keyFile string) (Identity, error) {
	if id == "" || strings.ContainsAny(id, "/\\") {
		return Identity{}, impound.Errorf(impound.KindAuth, "%q is nobody's id", id)
	}
	ring, err := s.Casework.Keyring(context.Background())
	if err != nil {
		return Identity{}, err
	}
	p, ok := ring.Person(id)
	if !ok {
		return Identity{}, impound.Errorf(impound.KindAuth, "%s is not enrolled here", id).WithCure("impound people list shows who is; impound people add enrols")
	}
	if keyFile == "" {
		keyFile = s.KeyPath(id)
	}
	key, err := casework.ReadKey(keyFile)
	if err != nil {
		return Identity{}, impound.Errorf(impound.KindAuth, "couldn't read the key of %s: %w", id, err).WithCure("name the file with --key")
	}
	if impound.NewPublicKey(key.Public().(ed25519.PublicKey)) != p.Key {
		return Identity{}, impound.Errorf(impound.KindAuth, "the key in %s is not the one that was enrolled for %s", keyFile, id)
	}
	return Identity{p, key}, nil
}

// settleTime is how long an apply waits for the views to show what was done,
// where peers take their usual time. What takes longer, verify and custody see.
const settleTime = 10 * time.Second

func (s *System) openSeizure(ctx context.Context) error {
	connectors := map[string]seizure.Connector{}
	byTLD := map[string]string{}
	for _, r := range s.cfg.Registries {
		c, err := s.registryConfig(r)
		if err != nil {
			return err
		}
		conn, err := seizure.NewEPP(r.Provider, r.Role, c)
		if err != nil {
			return err
		}
		s.conns = append(s.conns, conn)
		connectors[r.Provider] = conn
		for _, t := range r.TLDs {
			byTLD[t] = r.Provider
		}
	}
	unlisted := map[string]bool{}
	for _, z := range s.cfg.Zones {
		conn, err := s.zoneConnector(z)
		if err != nil {
			return err
		}
		zone, err := z.zoneName()
		if err != nil {
			return err
		}
		s.conns = append(s.conns, conn)
		connectors[z.Provider], byTLD[zone.String()], unlisted[z.Provider] = conn, z.Provider, z.RDAP == ""
	}
	asked, err := s.askers()
	if err != nil {
		return err
	}
	maps.Copy(connectors, asked)
	for _, a := range s.cfg.Asked {
		for _, t := range a.TLDs {
			byTLD[t] = a.Provider
		}
	}
	s.byTLD = byTLD
	cfg := seizure.Config{
		Store: s.Store, Evidence: s.Evidence, Keys: liveKeyring{s}, Observe: lookups{s.Observe, s},
		Mandate: s.Mandate, Connectors: connectors, Gates: s.gates, Risks: s.risks, Whom: s.whom, Registrants: s.cfg.Registrants,
		Route: func(_ context.Context, n impound.Name) (string, error) {
			suffix, _ := n.PublicSuffix()
			if p := s.provider(n); p != "" {
				return p, nil
			}
			return "", impound.Errorf(impound.KindNotFound, "no registry of the configuration runs .%s", suffix).WithCure("add it under registries: in " + ConfigFile)
		},
		Halted: func(ctx context.Context, m *impound.Mandate, n impound.Name, release bool) (string, error) {
			if release { // a contest is no reason to keep it
				return s.Casework.Ended(ctx, m.ID())
			}
			return s.Casework.Halted(ctx, m, n)
		},
		Unlisted: unlisted, RenewalBy: s.cfg.RenewalBy,
		Now: s.now, Log: s.log, Progress: s.opt.Progress, Pending: s.opt.Patience, Settle: settleTime,
		HostAddrs: map[impound.Name][]netip.Addr{},
	}
	if s.opt.Patience > 0 {
		cfg.Settle = min(settleTime, s.opt.Patience/10)
	}
	for _, ns := range s.cfg.Sinkhole.NS {
		if _, err := cfg.Route(ctx, ns); err == nil {
			cfg.HostAddrs[ns] = s.cfg.Sinkhole.Answer
		}
	}
	s.Seizure, err = seizure.New(cfg)
	return err
}

func (s *System) registryConfig(r RegistryConfig) (epp.Config, error) {
	pw, err := seizure.ReadSecret(s.cfg.Path(s.opt.State, r.PasswordFile))
	if err != nil {
		return epp.Config{}, fmt.Errorf("couldn't read the password of %s: %w", r.Provider, err)
	}
	c := epp.Config{Addr: r.EPP, ServerName: r.ServerName, ClientID: r.ClientID, Password: []byte(strings.TrimRight(string(pw), "\r\n")), Now: s.now, TLS: &tls.Config{MinVersion: tls.VersionTLS12, ServerName: r.ServerName}}
	if r.CA != "" {
		pem, err := os.ReadFile(s.cfg.Path(s.opt.State, r.CA))
		if err != nil {
			return c, impound.Errorf(impound.KindInvalid, "couldn't read the CA of %s: %w", r.Provider, err)
		}
		c.TLS.RootCAs = x509.NewCertPool()
		if !c.TLS.RootCAs.AppendCertsFromPEM(pem) {
			return c, impound.Errorf(impound.KindInvalid, "%s holds no certificate", r.CA)
		}
	}
	if r.Cert != "" {
		cert, err := tls.LoadX509KeyPair(s.cfg.Path(s.opt.State, r.Cert), s.cfg.Path(s.opt.State, r.Key))
		if err != nil {
			return c, impound.Errorf(impound.KindInvalid, "couldn't read our certificate for %s: %w", r.Provider, err)
		}
		c.TLS.Certificates = []tls.Certificate{cert}
	}
	return c, nil
}

// liveKeyring asks the evidence log each time, so that a person enrolled by
// another process counts at once.
type liveKeyring struct{ s *System }

func (k liveKeyring) Person(id string) (impound.Person, bool) {
	ring, err := k.s.Casework.Keyring(context.Background())
	if err != nil {
		return impound.Person{}, false
	}
	return ring.Person(id)
}

type cachedFacts struct {
	at    time.Time
	facts casework.Facts
}

// factsAge is for how long an observation made for the gates is used again.
const factsAge = time.Minute

// goneAfter is after how many such names in a row a TLD's RDAP or parent zone is
// taken to be gone, or never to have been there: an order of 10,000 names would
// wait for minutes.
const goneAfter = 8

// answers says whether it is worth asking who ("RDAP of .example") again, and notes
// that it answered, or, with gaveUp, that it didn't, however often it was asked.
func (s *System) answers(who string, answered, gaveUp bool) bool {
	s.factsMu.Lock()
	defer s.factsMu.Unlock()
	switch {
	case answered:
		delete(s.silent, who)
	case gaveUp:
		if s.silent == nil {
			s.silent = map[string]int{}
		}
		s.silent[who]++
	}
	return s.silent[who] < goneAfter
}

// lookFor is lookWell where whoever is asked has answered for other names of n's
// TLD; else it is look.
func lookFor[T any](ctx context.Context, s *System, what, server string, n impound.Name, do func(context.Context) (T, string)) (T, string) {
	who := what + " of ." + n.TLD()
	v, why, asked := look(ctx, &s.sight, server, n, do)
	if asked && !observe.NobodyAsked(why) && s.answers(who, why == "", false) && why != "" {
		v, why = lookWell(ctx, &s.sight, server, n, do)
		s.answers(who, why == "", why != "" && ctx.Err() == nil)
	}
	return v, why
}

// gateFacts looks at a name for its gates. Where nobody can be asked, the facts
// stay unknown, and the gates say so.
func (s *System) gateFacts(ctx context.Context, n impound.Name) (casework.Facts, error) {
	s.factsMu.Lock()
	c, ok := s.facts[n]
	s.factsMu.Unlock()
	if now := s.now(); ok && now.Sub(c.at) < factsAge && !now.Before(c.at) {
		return c.facts, nil
	}
	var f casework.Facts
	m, known := casework.MarkingIn(ctx, n)
	if !known {
		ms, err := s.Casework.Markings(ctx, []impound.Name{n})
		if err != nil {
			s.passiveFacts(n, &f)
			return f, err
		}
		m = ms[n]
	}
	if !m.PAP.Within(impound.PAPAmber) {
		s.passiveFacts(n, &f) // nobody may be asked; others who ask may ask
		return f, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	var r observe.RDAPView
	var p observe.View
	var wg sync.WaitGroup
	wg.Go(func() {
		r, f.CreatedWhy = lookFor(ctx, s, "RDAP", s.rdapOf(n), n, func(ctx context.Context) (observe.RDAPView, string) {
			v := s.Observe.RDAP(ctx, n)
			return v, v.Err
		})
	})
	wg.Go(func() {
		p, f.NSWhy = lookFor(ctx, s, "parent", s.parentOf(n), n, func(ctx context.Context) (observe.View, string) {
			v := s.Observe.Parent(ctx, n)
			return v, v.Err
		})
	})
	wg.Wait()
	if f.CreatedWhy == "" {
		f.Registration = casework.Registration{AsOf: r.At, Exists: r.Exists, Handle: r.Handle, Registrar: r.Registrar, RegistrarIANA: r.RegistrarIANA,
			Status: r.Status, Created: r.Created, Expires: r.Expires, Signed: r.Signed}
		if r.Exists {
			f.Created, f.CreatedAsOf = r.Created, r.At
		}
	}
	if f.CreatedWhy != "" {
		f.CreatedWhy = s.rdapOf(n) + ": " + f.CreatedWhy
	}
	if f.NSWhy != "" {
		f.NSWhy = s.parentOf(n) + ": " + f.NSWhy
	}
	seen := f.CreatedWhy == "" && f.NSWhy == ""
	if f.NSWhy == "" {
		f.NSAsOf = p.At
		for _, ns := range p.NS {
			if m, err := impound.ParseName(ns); err == nil {
				f.NS = append(f.NS, m)
			}
		}
	}
	s.passiveFacts(n, &f)
	if seen { // what could not be seen is looked at again by whoever asks next
		s.factsMu.Lock()
		s.facts[n] = cachedFacts{s.now(), f}
		s.factsMu.Unlock()
	}
	return f, nil
}
