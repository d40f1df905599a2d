package enrich

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/capture"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/store"
)

// kindRecord is the kind of documents that records are kept as, by name.
const kindRecord = "watch.seen"

// Level is how near a look goes.
type Level string

// The levels, each with what the one before asks.
const (
	// LevelRegistry asks third parties alone: the parent zone's servers and RDAP, or
	// WHOIS. Who holds the name learns nothing of it.
	LevelRegistry Level = "registry"
	// LevelDNS asks resolvers too. They ask the name's own servers, where somebody
	// could notice that a resolver of yours did.
	LevelDNS Level = "dns"
	// LevelWeb asks the name's web server, over TLS and HTTP, by the configured way
	// out: whoever runs it sees a visitor.
	LevelWeb Level = "web"
)

// Levels lists them.
var Levels = []Level{LevelRegistry, LevelDNS, LevelWeb}

// Valid says whether l is one of the levels.
func (l Level) Valid() bool { return slices.Contains(Levels, l) }

// Within gives the nearer of what was asked for and what p allows; false where it
// allows no question at all.
func (l Level) Within(p impound.PAP) (Level, bool) {
	switch {
	case p.Within(impound.PAPGreen):
		return l, true
	case p.Within(impound.PAPAmber):
		return LevelRegistry, true
	}
	return "", false
}

// The parts of a look.
const (
	PartRegistration = "registration"
	PartParent       = "parent"
	PartResolvers    = "resolvers"
	PartWeb          = "web"
)

// Fault is that a part of a look failed.
type Fault struct {
	At  time.Time `json:"at"`
	Err string    `json:"err"`
	Row int       `json:"row"` // how often in a row
}

// Record is what is kept beside a candidate.
type Record struct {
	Name  impound.Name `json:"name"`
	Level Level        `json:"level"` // how near the newest look went
	At    time.Time    `json:"at,omitzero"`
	Facts Facts        `json:"facts"`
	// Faults are the parts that failed when they were last asked. What Facts has of
	// such a part is older.
	Faults map[string]Fault `json:"faults,omitempty"`
	// Next is before when it is not asked by itself again.
	Next time.Time `json:"next,omitzero"`
	// Began is set while a look is under way. One that is left standing belongs to
	// a process that died; Deaths counts those in a row.
	Began  time.Time `json:"began,omitzero"`
	Deaths int       `json:"deaths,omitempty"`
	Looks  int       `json:"looks"` // how often it was looked at
}

// Unknown gives the parts that were asked for and are not known, sorted.
func (r Record) Unknown() []string { return slices.Sorted(maps.Keys(r.Faults)) }

// Summary tells in a line what is known, for people.
func (r Record) Summary() string {
	var out []string
	if g := r.Facts.Registration; g != nil {
		switch {
		case !g.Exists:
			out = append(out, "not registered")
		default:
			s := "registered"
			if !g.Created.IsZero() {
				s += " " + g.Created.Format("2006-01-02")
			}
			if g.Registrar != "" {
				s += " at " + defang(g.Registrar)
			}
			out = append(out, s)
		}
	}
	if d := r.Facts.DNS; d != nil {
		if len(d.NS) > 0 {
			out = append(out, "ns "+defang(d.NS[0]))
		}
		if len(d.Addrs) > 0 {
			a := d.Addrs[0]
			s := "at " + a.IP
			if a.ASN != 0 {
				s += fmt.Sprintf(" (AS%d %s)", a.ASN, a.Net)
			}
			out = append(out, s)
		} else if d.Resolved && d.Exists {
			out = append(out, "no address")
		}
		if len(d.MX) > 0 {
			out = append(out, "mail "+defang(d.MX[0]))
		}
	}
	if w := r.Facts.Web; w != nil {
		s := fmt.Sprintf("web %d", w.Status)
		if w.Title != "" {
			s += " “" + defang(w.Title) + "”"
		}
		if w.Leads != "" {
			s += ", leads to " + defang(w.Leads)
		}
		if w.Password {
			s += ", asks for a password"
		}
		if w.Gating == capture.GateYes || w.Gating == capture.GateAll {
			s += ", " + w.Gating
		}
		out = append(out, s)
	}
	for _, part := range r.Unknown() {
		out = append(out, part+" unknown: "+r.Faults[part].Err)
	}
	return strings.Join(out, "; ")
}

// Config says how to enrich.
type Config struct {
	Store   store.Store
	Observe *observe.Observer
	// Capture glances at web servers; nil: level Web is not to be had.
	Capture *capture.Capturer
	Network Network // nil: networks are not known
	// Candidates gives those that wait for a person, the highest score first.
	Candidates func(context.Context) ([]impound.Candidate, error)
	// Marks says what may be done with names, as the strictest case that holds one
	// says; names without a mark are missing. nil: none is marked.
	Marks func(context.Context, []impound.Name) (map[impound.Name]impound.Marking, error)
	// Keep says whether what is seen of a name is kept; of one that isn't it is
	// given to whoever asked, and that is all. nil: everything is.
	Keep func(context.Context, impound.Name) (bool, error)
	// Touch is called before names are looked at, with how near; what it can't
	// note is not looked at.
	Touch func(context.Context, Level, []impound.Name) error
	// Rank says how a record changes its candidate's rank; what it gives, nil for
	// nothing, is called in the transaction that keeps the record. nil: ranks stay.
	Rank func(ctx context.Context, r Record) (func(store.Tx) error, error)

	Level Level // how near; it must be given
	// Top is how many of the highest candidates are looked at by themselves. 0: 1000.
	Top int
	// RegistryEvery spaces the questions to one registry (its RDAP server, its
	// zone), HostEvery those to one address. 0: 1 s. Negative: not at all.
	RegistryEvery, HostEvery time.Duration
	// Refresh is when what was seen is looked for again. 0: 7 days.
	Refresh time.Duration
	// Stale is after which time a look that did not end belongs to a process that
	// died. 0: 10 min. It must be longer than a look takes.
	Stale    time.Duration
	Parallel int // names at a time; 0: 4
	Now      func() time.Time
	Log      *slog.Logger
}

// Enricher looks at candidates. It is safe for concurrent use, and several
// processes may run one on the same store: each name is one's at a time.
type Enricher struct {
	cfg      Config
	registry *gate // by RDAP host
	hosts    *gate // by address
}

// New makes an Enricher.
func New(cfg Config) (*Enricher, error) {
	if cfg.Store == nil || cfg.Observe == nil {
		return nil, impound.Errorf(impound.KindInternal, "enriching needs a store and an observer")
	}
	if !cfg.Level.Valid() {
		return nil, impound.Errorf(impound.KindInvalid, "%q is no level", cfg.Level).WithCure("write registry, dns or web")
	}
	if cfg.Level == LevelWeb && cfg.Capture == nil {
		return nil, impound.Errorf(impound.KindInternal, "level web needs what captures")
	}
	set := func(d *time.Duration, usual time.Duration) {
		if *d == 0 {
			*d = usual
		}
	}
	set(&cfg.RegistryEvery, time.Second)
	set(&cfg.HostEvery, time.Second)
	set(&cfg.Refresh, 7*24*time.Hour)
	set(&cfg.Stale, 10*time.Minute)
	if cfg.Top <= 0 {
		cfg.Top = 1000
	}
	if cfg.Parallel <= 0 {
		cfg.Parallel = 4
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return &Enricher{cfg: cfg, registry: newGate(cfg.RegistryEvery), hosts: newGate(cfg.HostEvery)}, nil
}

func (e *Enricher) now() time.Time { return e.cfg.Now().UTC() }

// Back-off of a name whose look failed: doubled each time, to a day. One whose
// look ended the process is not taken up again by itself after maxDeaths.
const (
	firstPause = 15 * time.Minute
	maxPause   = 24 * time.Hour
	maxRow     = 8 // after so many failures it is asked again as often as what didn't fail
	maxDeaths  = 3
)

// Done is what became of one name.
type Done struct {
	Record Record
	// Left says why it was not looked at; "" where it was.
	Left string
}

// Names looks at these names now, however fresh what is known is, and calls done
// for each as it is finished, one at a time. A name that may not be asked about
// is left alone. Its error says that the work could not go on; what was done is
// kept.
func (e *Enricher) Names(ctx context.Context, names []impound.Name, done func(Done)) error {
	var mu sync.Mutex
	return e.each(ctx, names, true, func(d Done) {
		if done != nil {
			mu.Lock()
			defer mu.Unlock()
			done(d)
		}
	})
}

// Pass looks at the candidates that are due among the highest, and gives how many
// it looked at.
func (e *Enricher) Pass(ctx context.Context, done func(Done)) (int, error) {
	cands, err := e.cfg.Candidates(ctx)
	if err != nil {
		return 0, fmt.Errorf("couldn't read the queue: %w", err)
	}
	cands = cands[:min(len(cands), e.cfg.Top)]
	recs, err := All(ctx, e.cfg.Store)
	if err != nil {
		return 0, err
	}
	now := e.now()
	var fresh, again []impound.Name
	for _, c := range cands {
		r, ok := recs[c.Name]
		switch {
		case !ok:
			fresh = append(fresh, c.Name)
		case e.due(r, now):
			again = append(again, c.Name)
		}
	}
	// What was never seen goes first; a portion at a time, since the queue's order
	// changes by what is seen.
	names := append(fresh, again...)
	names = names[:min(len(names), portion)]
	n := 0
	var mu sync.Mutex
	err = e.each(ctx, names, false, func(d Done) {
		mu.Lock()
		defer mu.Unlock()
		if d.Left == "" {
			n++
		}
		if done != nil {
			done(d)
		}
	})
	return n, err
}

// portion is how many names one pass takes.
const portion = 64

// due says whether a name is to be looked at again by itself.
func (e *Enricher) due(r Record, now time.Time) bool {
	if !r.Began.IsZero() { // somebody's, or a dead process's
		return now.Sub(r.Began) >= e.cfg.Stale && r.Deaths+1 < maxDeaths || r.Began.After(now.Add(time.Minute))
	}
	if r.Deaths >= maxDeaths {
		return false
	}
	return !now.Before(r.Next)
}

// Run looks at what is due until ctx ends. What fails is logged and tried later.
func (e *Enricher) Run(ctx context.Context, poll time.Duration, done func(Done)) error {
	for ctx.Err() == nil {
		n, err := e.Pass(ctx, done)
		if err != nil && ctx.Err() == nil {
			e.cfg.Log.Warn("candidates couldn't be looked at", "err", err)
		}
		if n > 0 && err == nil {
			continue
		}
		t := time.NewTimer(max(poll, 100*time.Millisecond))
		select {
		case <-ctx.Done():
			t.Stop()
		case <-t.C:
		}
	}
	return ctx.Err()
}

// each looks at the names, some at a time. hand: somebody asked for them by name.
func (e *Enricher) each(ctx context.Context, names []impound.Name, hand bool, done func(Done)) error {
	if len(names) == 0 {
		return nil
	}
	marks := map[impound.Name]impound.Marking{}
	if e.cfg.Marks != nil {
		var err error
		if marks, err = e.cfg.Marks(ctx, names); err != nil {
			return fmt.Errorf("couldn't read what may be done with the names: %w", err)
		}
	}
	by := map[Level][]impound.Name{}
	for _, n := range names {
		l, ok := e.cfg.Level.Within(marks[n].PAP)
		if !ok {
			done(Done{Record{Name: n}, "PAP:" + strings.ToUpper(string(marks[n].PAP)) + " forbids every question on a network"})
			continue
		}
		by[l] = append(by[l], n)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wg sync.WaitGroup
	slots := make(chan struct{}, e.cfg.Parallel)
	for _, level := range Levels {
		for part := range slices.Chunk(by[level], portion) {
			if e.cfg.Touch != nil {
				if err := e.cfg.Touch(ctx, level, part); err != nil {
					cancel(fmt.Errorf("couldn't note what is about to be asked: %w", err))
					wg.Wait()
					return context.Cause(ctx)
				}
			}
			for _, n := range part {
				select {
				case <-ctx.Done():
					continue
				case slots <- struct{}{}:
				}
				wg.Go(func() {
					defer func() { <-slots }()
					d, err := e.one(ctx, n, level, hand)
					if err != nil {
						cancel(err)
						return
					}
					done(d)
				})
			}
		}
	}
	wg.Wait()
	return context.Cause(ctx)
}

// one looks at one name: it is claimed, looked at, and what was seen is kept with
// the rank that it gives, in one transaction.
func (e *Enricher) one(ctx context.Context, n impound.Name, level Level, hand bool) (Done, error) {
	if e.cfg.Keep != nil {
		if ok, err := e.cfg.Keep(ctx, n); err != nil || !ok {
			r := Record{Name: n}
			if err == nil {
				r = e.look(ctx, r, level, true)
				err = context.Cause(ctx)
			}
			return Done{Record: r}, err
		}
	}
	old, left, err := e.claim(ctx, n, hand)
	if err != nil || left != "" {
		return Done{Record{Name: n}, left}, err
	}
	r := e.look(ctx, old, level, hand)
	if ctx.Err() != nil { // cut short by us: what is missing says nothing of the name
		e.unclaim(n, old)
		return Done{}, context.Cause(ctx)
	}
	var rank func(store.Tx) error
	if e.cfg.Rank != nil {
		if rank, err = e.cfg.Rank(ctx, r); err != nil {
			e.unclaim(n, old)
			return Done{}, fmt.Errorf("couldn't rank %s by what was seen of it: %w", n.Defanged(), err)
		}
	}
	err = e.cfg.Store.Update(ctx, func(tx store.Tx) error {
		_, rev, err := store.Get[Record](tx, kindRecord, n.String())
		if err != nil && impound.KindOf(err) != impound.KindNotFound {
			return err
		}
		if _, err := store.Put(tx, kindRecord, n.String(), rev, r, nil); err != nil {
			return err
		}
		if rank != nil {
			return rank(tx)
		}
		return nil
	})
	if err != nil {
		return Done{}, fmt.Errorf("couldn't keep what was seen of %s: %w", n.Defanged(), err)
	}
	return Done{Record: r}, nil
}

// claim notes that a look begins. left says why there is none.
func (e *Enricher) claim(ctx context.Context, n impound.Name, hand bool) (old Record, left string, err error) {
	err = e.cfg.Store.Update(ctx, func(tx store.Tx) error {
		r, rev, err := store.Get[Record](tx, kindRecord, n.String())
		if impound.KindOf(err) == impound.KindNotFound {
			r, rev, err = Record{Name: n}, 0, nil
		}
		if err != nil {
			return err
		}
		now := e.now()
		left = ""
		if age := now.Sub(r.Began); !r.Began.IsZero() {
			if age > -time.Minute && age < e.cfg.Stale {
				left = "another process looks at it"
				return nil
			}
			r.Deaths++
		}
		if !hand && (r.Deaths >= maxDeaths || now.Before(r.Next)) {
			left = "it is not due" // another process was faster
			return nil
		}
		old = r
		r.Began = now
		_, err = store.Put(tx, kindRecord, n.String(), rev, r, nil)
		return err
	})
	if err != nil {
		err = fmt.Errorf("couldn't begin with %s: %w", n.Defanged(), err)
	}
	return old, left, err
}

// unclaim takes back a claim whose look was cut short.
func (e *Enricher) unclaim(n impound.Name, old Record) {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	err := e.cfg.Store.Update(ctx, func(tx store.Tx) error {
		r, rev, err := store.Get[Record](tx, kindRecord, n.String())
		if err != nil || r.Looks != old.Looks {
			return err
		}
		if old.Looks == 0 && old.Deaths == 0 {
			return tx.Delete(kindRecord, n.String(), rev)
		}
		r.Began = time.Time{}
		_, err = store.Put(tx, kindRecord, n.String(), rev, r, nil)
		return err
	})
	if err != nil {
		e.cfg.Log.Warn("a look that was cut short is taken up later", "name", n.Defanged(), "err", err)
	}
}

// home is what of a name was registered: a registry knows nothing of the hosts
// below, and the servers of their zone are their holder's. None: nothing was.
func home(n impound.Name) (impound.Name, bool) {
	own, err := n.RegistryDomain()
	if err != nil {
		return impound.Name{}, false
	}
	// Below a suffix of somebody's own live his customers: what is registered is his.
	reg, err := n.Registrable()
	return own, err == nil && reg == own
}

// look asks, and gives the record that comes of it. By itself it asks for what
// failed and for what is old.
func (e *Enricher) look(ctx context.Context, old Record, level Level, hand bool) Record {
	n := old.Name
	r := Record{Name: n, Level: level, Facts: old.Facts, Faults: maps.Clone(old.Faults), Looks: old.Looks + 1}
	if r.Faults == nil {
		r.Faults = map[string]Fault{}
	}
	now := e.now()
	wants := func(part string, at time.Time) bool {
		_, failed := old.Faults[part]
		return hand || failed || at.IsZero() || now.Sub(at) >= e.cfg.Refresh || at.After(now)
	}
	var mu sync.Mutex
	result := func(part, fault string) {
		mu.Lock()
		defer mu.Unlock()
		if fault == "" {
			delete(r.Faults, part)
			return
		}
		r.Faults[part] = Fault{At: e.now(), Err: clip(fault), Row: r.Faults[part].Row + 1}
	}
	var regAt, dnsAt, resolvedAt, webAt time.Time
	if f := old.Facts.Registration; f != nil {
		regAt = f.At
	}
	if f := old.Facts.DNS; f != nil {
		if dnsAt = f.At; f.Resolved {
			resolvedAt = f.At
		}
	}
	if f := old.Facts.Web; f != nil {
		webAt = f.At
	}
	var wg sync.WaitGroup
	own, registered := home(n)
	if registered && wants(PartRegistration, regAt) {
		wg.Go(func() {
			reg, fault := e.registration(ctx, own)
			if result(PartRegistration, fault); reg != nil {
				r.Facts.Registration = reg
			}
		})
	}
	var parent, resolved observe.View
	if registered && wants(PartParent, dnsAt) {
		wg.Go(func() {
			if err := e.registry.wait(ctx, "zone "+own.Parent().String()); err != nil {
				return
			}
			parent = e.cfg.Observe.Parent(ctx, own)
			result(PartParent, parent.Err)
		})
	}
	if level != LevelRegistry && wants(PartResolvers, resolvedAt) {
		wg.Go(func() {
			resolved = e.cfg.Observe.Resolve(ctx, n)
			result(PartResolvers, resolved.Err)
		})
	}
	wg.Wait()
	if d := dnsOf(parent, resolved, e.cfg.Network); d != nil {
		// What was not asked for now, or failed, stays from before.
		if was := old.Facts.DNS; was != nil {
			if !d.Resolved && was.Resolved && d.Exists {
				d.Resolved, d.Addrs, d.MX = true, was.Addrs, was.MX
			}
			if parent.At.IsZero() || parent.Err != "" {
				if len(d.NS) == 0 {
					d.NS = was.NS
				}
			}
		}
		r.Facts.DNS = d
	}
	if level == LevelWeb && ctx.Err() == nil && wants(PartWeb, webAt) {
		result(PartWeb, e.web(ctx, n, &r))
	}
	r.At = e.now()
	r.Next = r.At.Add(e.cfg.Refresh)
	if row := worst(r.Faults); row > 0 && row <= maxRow {
		r.Next = r.At.Add(min(firstPause<<min(row-1, 10), maxPause, e.cfg.Refresh))
	}
	if len(r.Faults) == 0 {
		r.Faults = nil
	}
	return r
}

func worst(fs map[string]Fault) (row int) {
	for _, f := range fs {
		row = max(row, f.Row)
	}
	return row
}

// registration asks the registry. Registries that fail are let alone, longer each
// time, for all their names.
func (e *Enricher) registration(ctx context.Context, n impound.Name) (*Registration, string) {
	host := cmp.Or(e.cfg.Observe.RDAPHost(n), "whois of "+n.Parent().String())
	if until := e.registry.shut(host); until > 0 {
		return nil, fmt.Sprintf("%s failed just now and is let alone for %s", host, until.Round(time.Second))
	}
	if err := e.registry.wait(ctx, host); err != nil {
		return nil, err.Error()
	}
	v := e.cfg.Observe.Registration(ctx, n)
	if ctx.Err() == nil {
		e.registry.result(host, v.Err == "" && v.RDAPErr == "")
	}
	if v.Err != "" {
		return nil, v.Err
	}
	return registrationOf(v), ""
}

// web glances at the name's web server, where it has one.
func (e *Enricher) web(ctx context.Context, n impound.Name, r *Record) string {
	if d := r.Facts.DNS; d != nil && d.Resolved && len(d.Addrs) > 0 {
		// Thousands of names may live at one address: it is spared, not the name.
		if err := e.hosts.wait(ctx, d.Addrs[0].IP); err != nil {
			return err.Error()
		}
	}
	g, err := e.cfg.Capture.Glance(ctx, n)
	if err != nil {
		return err.Error()
	}
	if g.Err != "" {
		return g.Err
	}
	r.Facts.Web = webOf(g)
	return ""
}

func clip(s string) string {
	s = strings.Join(strings.Fields(s), " ")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + "..."
	}
	return s
}

// All gives every record by name.
func All(ctx context.Context, st store.Store) (map[impound.Name]Record, error) {
	var rs []Record
	err := st.View(ctx, func(tx store.Tx) (err error) {
		rs, err = store.Values[Record](tx, store.Query{Kind: kindRecord})
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("couldn't read what was seen of candidates: %w", err)
	}
	out := make(map[impound.Name]Record, len(rs))
	for _, r := range rs {
		out[r.Name] = r
	}
	return out, nil
}

// Get gives one name's record; false where it was never looked at.
func Get(ctx context.Context, st store.Store, n impound.Name) (Record, bool, error) {
	var r Record
	err := st.View(ctx, func(tx store.Tx) (err error) {
		r, _, err = store.Get[Record](tx, kindRecord, n.String())
		return err
	})
	if impound.KindOf(err) == impound.KindNotFound {
		return r, false, nil
	}
	return r, err == nil, err
}
