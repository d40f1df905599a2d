package app

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/parallel"
	"github.com/impound/impound/internal/store"
	"github.com/impound/impound/internal/watch/enrich"
	"github.com/impound/impound/internal/watch/graph"
	"github.com/impound/impound/internal/watch/profile"
	"github.com/impound/impound/internal/watch/trait"
)

// What watch sees of names from outside: candidates that are looked at, what the
// cases' evidence says of theirs, and how the two hang together.

// enrichOff is the level at which nothing is looked at by itself.
const enrichOff = "off"

// checkEnrich finds what is wrong with how candidates are looked at.
func (c *Config) checkEnrich(state string) impound.Problems {
	var ps impound.Problems
	bad := func(where, cure, format string, args ...any) {
		ps = append(ps, impound.Errorf(impound.KindInvalid, format, args...).At(where).WithCure(cure))
	}
	e := c.Watch.Enrich
	if l := e.Level; l != "" && l != enrichOff && !enrich.Level(l).Valid() {
		bad("watch.enrich.level", "write off, registry, dns or web", "%q is no level", l)
	}
	if enrich.Level(e.Level) == enrich.LevelDNS || enrich.Level(e.Level) == enrich.LevelWeb {
		if len(c.Resolvers) == 0 {
			bad("watch.enrich.level", "name some under resolvers:, or write registry", "%s needs resolvers, and none is named", e.Level)
		}
	}
	for where, n := range map[string]int{"watch.enrich.top": e.Top, "watch.enrich.parallel": e.Parallel} {
		if n < 0 || n > 1_000_000 {
			bad(where, "leave it out for the usual", "%d is no number of names", n)
		}
	}
	if a := c.Capture.SourceAddress; a != "" && !c.Capture.source().IsValid() {
		bad("capture.source_address", "write one address of this machine, such as 192.0.2.7", "%q is no address", a)
	}
	if c.NetworksMMDB != "" {
		if _, err := os.Stat(c.Path(state, c.NetworksMMDB)); err != nil {
			bad("networks_mmdb", "put the file there, or correct the path", "couldn't find %s", c.NetworksMMDB)
		}
	}
	return ps
}

// source reads SourceAddress; zero for none.
func (c CaptureConfig) source() netip.Addr {
	a, _ := netip.ParseAddr(c.SourceAddress)
	return a.Unmap()
}

// network says whose network an address is in.
func (s *System) network(a netip.Addr) (uint32, string) {
	n, _, ok := s.networks.Lookup(a)
	if !ok {
		return 0, ""
	}
	return n.ASN, n.Name
}

// enricher makes what looks at candidates.
func (s *System) enricher(level enrich.Level) (*enrich.Enricher, error) {
	c, err := s.capturer()
	if err != nil {
		return nil, err
	}
	e := s.cfg.Watch.Enrich
	return enrich.New(enrich.Config{
		Store: s.Store, Observe: s.outside, Capture: c, Network: s.network, Level: level, Top: e.Top, Parallel: e.Parallel,
		RegistryEvery: span(e.RegistryEvery), HostEvery: span(e.HostEvery), Refresh: span(e.Refresh), Now: s.now, Log: s.log,
		Candidates: func(ctx context.Context) ([]impound.Candidate, error) {
			// As everybody sees them: what went into a sealed case is looked at as any other,
			// or that it isn't would tell.
			return s.Casework.Candidates(impound.WithPrincipal(ctx, impound.Principal{}), casework.CandidateFilter{Status: casework.CandidateOpen})
		},
		Keep: s.keepsSeen, Marks: s.markings, Touch: s.noteTouch, Rank: s.rankSeen,
	})
}

// markings gives what may be done with names: as the strictest case that whoever
// asks may see says, and the sources that saw them.
func (s *System) markings(ctx context.Context, names []impound.Name) (map[impound.Name]impound.Marking, error) {
	out, err := s.Casework.Markings(ctx, names)
	if err != nil {
		return nil, err
	}
	more, err := s.Casework.SightingMarks(ctx, names)
	for n, m := range more {
		out[n] = out[n].In(m) // what people said of it in a case goes before
	}
	return out, err
}

// keepsSeen says whether what is seen of a name is kept: of a candidate, and of
// what a case holds that whoever asks may see. Of any other name it is not: a name
// that only a sealed case holds must be such a name to others.
func (s *System) keepsSeen(ctx context.Context, n impound.Name) (bool, error) {
	_, err := s.Casework.Candidate(ctx, n)
	if err == nil || impound.KindOf(err) != impound.KindNotFound {
		return err == nil, err
	}
	cases, err := s.wholeCases(ctx)
	if err != nil {
		return false, err
	}
	for _, k := range cases {
		if slices.ContainsFunc(k.Domains, func(d impound.CaseDomain) bool { return d.Name == n }) {
			return true, nil
		}
	}
	return false, nil
}

// noteTouch keeps in the evidence log, before it is done, that names are looked
// at in a way that their holders could notice.
func (s *System) noteTouch(ctx context.Context, level enrich.Level, names []impound.Name) error {
	if level == enrich.LevelRegistry {
		return nil
	}
	es := make([]impound.Entry, 0, len(names))
	for _, n := range names {
		es = append(es, s.touch(ctx, level, n))
	}
	_, err := s.Evidence.AppendAll(ctx, es)
	return err
}

// touch is the entry that says, before it is done, that a name is looked at.
func (s *System) touch(ctx context.Context, level enrich.Level, n impound.Name) impound.Entry {
	return impound.Entry{
		Type: impound.EntrySystem, At: s.now().UTC(), By: cmp.Or(impound.PrincipalOf(ctx).ID, "system"), What: "watch.look", Name: n,
		Detail: map[string]string{"level": string(level), "egress": s.cfg.Capture.way(level == enrich.LevelWeb)},
	}
}

// EnrichOptions say what to look at.
type EnrichOptions struct {
	Names []impound.Name // none: the highest candidates
	Top   int            // of how many; 0: 20
	Again bool           // those too that were looked at not long ago
	Level string         // "": the configuration's, or registry where that is off
	// Done is called for each name as it is finished, one at a time.
	Done func(Enriched)
}

// Enriched is what became of one name.
type Enriched struct {
	enrich.Record
	Left   string   `json:"left,omitempty"` // why it was not looked at
	Before *float64 `json:"score_before,omitempty"`
	After  *float64 `json:"score_after,omitempty"` // of the candidate; nil: it is none
}

// Enrich looks at candidates, or at any names, from outside, keeps what was seen
// beside them, and ranks the candidates anew. A name whose marking forbids it is
// asked less, or left alone.
func (s *System) Enrich(ctx context.Context, opt EnrichOptions) (looked int, err error) {
	if err := s.may(ctx, "Enrich", ""); err != nil {
		return 0, err
	}
	level := enrich.Level(opt.Level)
	if level == "" {
		if level = enrich.Level(s.cfg.Watch.Enrich.Level); level == "" || level == enrichOff {
			level = enrich.LevelRegistry
		}
	}
	e, err := s.enricher(level)
	if err != nil {
		return 0, err
	}
	names := opt.Names
	if len(names) == 0 {
		if names, err = s.highest(ctx, cmp.Or(opt.Top, 20), opt.Again); err != nil {
			return 0, err
		}
	}
	before := map[impound.Name]float64{}
	for _, n := range names {
		if c, err := s.Casework.Candidate(ctx, n); err == nil {
			before[n] = c.Score
		} else if impound.KindOf(err) != impound.KindNotFound {
			return 0, err
		}
	}
	err = e.Names(ctx, names, func(d enrich.Done) {
		out := Enriched{Record: d.Record, Left: d.Left}
		if d.Left == "" {
			looked++
		}
		if b, ok := before[d.Record.Name]; ok {
			out.Before = &b
			if c, err := s.Casework.Candidate(ctx, d.Record.Name); err == nil {
				out.After = &c.Score
			}
		}
		if opt.Done != nil {
			opt.Done(out)
		}
	})
	return looked, err
}

// highest gives the open candidates with the highest scores that may be asked
// about, those left out that were looked at not long ago.
func (s *System) highest(ctx context.Context, top int, again bool) ([]impound.Name, error) {
	cands, err := s.Casework.Candidates(ctx, casework.CandidateFilter{Status: casework.CandidateOpen})
	if err != nil {
		return nil, err
	}
	recs, err := enrich.All(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	now := s.now()
	var out []impound.Name
	for part := range slices.Chunk(cands, 500) {
		var names []impound.Name
		for _, c := range part {
			if r, ok := recs[c.Name]; again || !ok || !now.Before(r.Next) {
				names = append(names, c.Name)
			}
		}
		// What a case forbids that whoever asks may not see is left out in silence: a
		// refusal would tell of it.
		marks, err := s.markings(impound.AsSystem(ctx), names)
		if err != nil {
			return nil, err
		}
		for _, n := range names {
			if _, ok := enrich.LevelRegistry.Within(marks[n].PAP); ok {
				if out = append(out, n); len(out) == top {
					return out, nil
				}
			}
		}
	}
	return out, nil
}

// enrichLoop looks at candidates while the watch runs, as far as the
// configuration says.
func (s *System) enrichLoop(ctx context.Context) error {
	l := s.cfg.Watch.Enrich.Level
	if l == "" || l == enrichOff {
		return nil
	}
	e, err := s.enricher(enrich.Level(l))
	if err != nil {
		return err
	}
	if n := s.cfg.EgressNote(); n != "" && !s.cfg.Capture.proxiesDNS() {
		s.log.Warn(n)
	}
	return e.Run(impound.AsSystem(ctx), 5*time.Second, nil)
}

// enrichOnce looks at what is due, until nothing is.
func (s *System) enrichOnce(ctx context.Context) error {
	l := s.cfg.Watch.Enrich.Level
	if l == "" || l == enrichOff {
		return nil
	}
	e, err := s.enricher(enrich.Level(l))
	if err != nil {
		return err
	}
	for {
		if n, err := e.Pass(impound.AsSystem(ctx), nil); n == 0 || err != nil {
			return err
		}
	}
}

// known is what is known of a case's name.
type known struct {
	item  graph.Item
	facts enrich.Facts
	first time.Time
}

// infrastructure keeps what was read of cases' evidence, and the newest graphs.
type infrastructure struct {
	facts sync.Map // by case and name: keptFacts

	mu     sync.Mutex
	public *publicView
	graphs map[string]keptGraph // by what its reader can't see
}

type keptFacts struct {
	upTo  string // the evidence that it rests on
	facts enrich.Facts
}

type keptGraph struct {
	word string
	g    *graph.Graph
}

// publicView is what ranks rest on: the cases that everybody may see.
type publicView struct {
	at     time.Time
	g      *graph.Graph
	habits []*profile.Habits
	actors []string
}

// publicAge is how old what ranks rest on may be.
const publicAge = 30 * time.Second

// knownNames gives the names of the cases that whoever asks may see, with what
// evidence and looks say of them, but for those that a gate keeps out. recs are
// all records.
func (s *System) knownNames(ctx context.Context, recs map[impound.Name]enrich.Record) ([]known, error) {
	cases, err := s.wholeCases(ctx)
	if err != nil {
		return nil, err
	}
	var out []known
	for _, k := range cases {
		of := slices.DeleteFunc(k.Domains, func(d impound.CaseDomain) bool {
			return d.State == impound.StateBlocked || d.State == impound.StateContested // it may be somebody else's: it links nobody to the actor
		})
		ks := make([]known, len(of))
		err := parallel.Each(len(of), func(i int) error {
			d := of[i]
			f, err := s.evidenced(k.ID, d)
			if err != nil {
				return err
			}
			r, ok := recs[d.Name]
			if ok && !f.Empty() || ok && taken(d).IsZero() {
				f = f.Over(before(r.Facts, taken(d)))
			}
			it := graph.Item{Name: d.Name, Traits: f.Traits(d.Name), Beside: beside(f), Status: string(d.State), Case: k.ID, Actor: k.Actor}
			it.Seen = f.Newest()
			ks[i] = known{it, f, d.FirstSeen}
			return nil
		})
		if err != nil {
			return nil, err
		}
		out = append(out, ks...)
	}
	return out, nil
}

// before gives what of f was seen before a name was taken from its holder: from
// then on its servers are ours.
func before(f enrich.Facts, when time.Time) enrich.Facts {
	if when.IsZero() {
		return f
	}
	if f.Registration != nil && f.Registration.At.After(when) {
		f.Registration = nil
	}
	if f.DNS != nil && f.DNS.At.After(when) {
		f.DNS = nil
	}
	if f.Web != nil && f.Web.At.After(when) {
		f.Web = nil
	}
	return f
}

// taken is when a name was taken from its holder; zero: it was not.
func taken(d impound.CaseDomain) time.Time {
	for _, h := range d.History {
		switch h.State {
		case impound.StateSeized, impound.StateSinkholed, impound.StateHeld:
			return h.At
		}
	}
	return time.Time{}
}

func beside(f enrich.Facts) []string {
	if f.Web == nil || f.Web.Cert == nil {
		return nil
	}
	return f.Web.Cert.Names
}

// evidenced puts together what a case's evidence says of one of its names.
func (s *System) evidenced(caseID string, d impound.CaseDomain) (enrich.Facts, error) {
	if len(d.Evidence) == 0 {
		return enrich.Facts{}, nil
	}
	key := caseID + "\x00" + d.Name.String()
	until := taken(d)
	upTo := fmt.Sprintf("%d %s %s", len(d.Evidence), d.Evidence[len(d.Evidence)-1], until)
	if k, ok := s.infra.facts.Load(key); ok && k.(keptFacts).upTo == upTo {
		return k.(keptFacts).facts, nil
	}
	e := enrich.NewEvidenced(s.network, until)
	for _, h := range d.Evidence {
		as, err := s.Evidence.Artefacts(h)
		if err != nil {
			return enrich.Facts{}, err
		}
		i := slices.IndexFunc(as, func(a impound.Artefact) bool { return a.Name == d.Name && a.Case == caseID && e.Wants(a) })
		if i < 0 {
			continue
		}
		b, err := s.Evidence.Read(h)
		if err != nil {
			s.log.Warn("an artefact can't be read for what it says of a name", "artefact", h, "err", err)
			continue
		}
		e.Add(as[i], b)
	}
	f := e.Facts()
	s.infra.facts.Store(key, keptFacts{upTo, f})
	return f, nil
}

// candidateItem makes a graph's item of what was seen of a candidate.
func candidateItem(r enrich.Record, c impound.Candidate) graph.Item {
	return graph.Item{Name: r.Name, Traits: r.Facts.Traits(r.Name), Beside: beside(r.Facts), Status: cmp.Or(c.Status, "looked at"), Case: c.Case, Score: c.Score, Seen: r.At}
}

// public gives what ranks rest on.
func (s *System) publicView(ctx context.Context) (*publicView, error) {
	s.infra.mu.Lock()
	defer s.infra.mu.Unlock()
	if p := s.infra.public; p != nil && time.Since(p.at) < publicAge {
		return p, nil
	}
	nobody := impound.WithPrincipal(ctx, impound.Principal{}) // what everybody may see: a rank is shown to all
	recs, err := enrich.All(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	ks, err := s.knownNames(nobody, recs)
	if err != nil {
		return nil, err
	}
	p := &publicView{at: time.Now()}
	var items []graph.Item
	var shares profile.Shares
	mine := map[impound.Name]bool{}
	for _, k := range ks {
		items = append(items, k.item)
		mine[k.item.Name] = true
	}
	for _, r := range recs {
		if !mine[r.Name] {
			it := candidateItem(r, impound.Candidate{})
			shares.Add(it.Traits)
			items = append(items, it)
		}
	}
	p.g = graph.New(items)
	for actor, names := range byActor(ks) {
		if h := profile.LearnHabits(actor, names, &shares); h.Names() >= fewestNames {
			p.habits = append(p.habits, h)
			p.actors = append(p.actors, actor)
		}
	}
	s.infra.public = p
	return p, nil
}

// fewestNames is from how many names on an actor's habits move a rank.
const fewestNames = 3

func byActor(ks []known) map[string][]profile.Observed {
	slices.SortStableFunc(ks, func(a, b known) int { return a.first.Compare(b.first) })
	out := map[string][]profile.Observed{}
	for _, k := range ks {
		if k.item.Actor != "" {
			out[k.item.Actor] = append(out[k.item.Actor], profile.Observed{Name: k.item.Name.String(), At: k.first, Traits: k.item.Traits})
		}
	}
	return out
}

// rankSeen gives what changes a candidate's rank by what was seen of it.
func (s *System) rankSeen(ctx context.Context, r enrich.Record) (func(store.Tx) error, error) {
	p, err := s.publicView(ctx)
	if err != nil {
		return nil, err
	}
	c, err := s.Casework.Candidate(ctx, r.Name)
	if impound.KindOf(err) == impound.KindNotFound {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	a := enrich.About{Now: s.now(), Brand: c.Brand}
	if c.Brand != "" {
		if m, err := s.brands(); err == nil {
			for _, b := range m.Brands() {
				if b.ID == c.Brand {
					for _, d := range b.Domains {
						if n, err := impound.ParseName(d); err == nil {
							a.Own = append(a.Own, n)
						}
					}
				}
			}
		}
	}
	ts := r.Facts.Traits(r.Name)
	for _, l := range p.g.Links(r.Name, ts, func(it graph.Item) bool { return it.Case != "" }) {
		a.Links = append(a.Links, enrich.Link{Trait: l.Trait, Name: l.Item.Name, Case: l.Item.Case, Actor: l.Item.Actor})
	}
	for i, h := range p.habits {
		if bits, why := h.Bits(ts); a.Actor == "" || bits > a.Bits {
			a.Actor, a.Bits, a.Why = p.actors[i], bits, why
		}
	}
	why := r.Facts.Judge(a)
	return func(tx store.Tx) error { return s.Casework.RankSeen(ctx, tx, r.Name, r.At, why) }, nil
}

// ActorHabits learns how an actor sets its names up, from the cases that whoever
// asks may see; nil where nothing was observed.
func (s *System) ActorHabits(ctx context.Context, actorID string) (*profile.Habits, error) {
	recs, err := enrich.All(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	ks, err := s.knownNames(ctx, recs)
	if err != nil {
		return nil, err
	}
	var shares profile.Shares
	mine := map[impound.Name]bool{}
	for _, k := range ks {
		mine[k.item.Name] = true
	}
	for _, r := range recs {
		if !mine[r.Name] {
			shares.Add(r.Facts.Traits(r.Name))
		}
	}
	return profile.LearnHabits(actorID, byActor(ks)[actorID], &shares), nil
}

// Observed gives the traits of names that were looked at, of all that whoever
// asks may see.
func (s *System) Observed(ctx context.Context) (map[impound.Name][]trait.Trait, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	shows, err := s.shows(ctx, x)
	if err != nil {
		return nil, err
	}
	recs, err := enrich.All(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	cands, err := s.candidatesOf(ctx, recs)
	if err != nil {
		return nil, err
	}
	out := map[impound.Name][]trait.Trait{}
	for n, r := range recs {
		if _, ok := cands[n]; ok || shows(n) {
			out[n] = r.Facts.Traits(n)
		}
	}
	ks, err := s.knownNames(ctx, recs)
	if err != nil {
		return nil, err
	}
	for _, k := range ks {
		if len(k.item.Traits) > 0 {
			out[k.item.Name] = k.item.Traits
		}
	}
	return out, nil
}

// candidatesOf gives the candidates that were looked at: few of a long queue.
func (s *System) candidatesOf(ctx context.Context, recs map[impound.Name]enrich.Record) (map[impound.Name]impound.Candidate, error) {
	if len(recs) > 1000 {
		return s.candidatesByName(ctx)
	}
	out := make(map[impound.Name]impound.Candidate, len(recs))
	for n := range recs {
		c, err := s.Casework.Candidate(ctx, n)
		switch {
		case err == nil:
			out[n] = c
		case impound.KindOf(err) != impound.KindNotFound:
			return nil, err
		}
	}
	return out, nil
}

func (s *System) candidatesByName(ctx context.Context) (map[impound.Name]impound.Candidate, error) {
	cands, err := s.Casework.Candidates(ctx, casework.CandidateFilter{})
	if err != nil {
		return nil, err
	}
	out := make(map[impound.Name]impound.Candidate, len(cands))
	for _, c := range cands {
		out[c.Name] = c
	}
	return out, nil
}

// Seen gives what was seen of a name from outside; KindNotFound where it was
// never looked at.
func (s *System) Seen(ctx context.Context, n impound.Name) (enrich.Record, error) {
	none := impound.Errorf(impound.KindNotFound, "%s was never looked at", n.Defanged()).WithCure("impound watch enrich " + n.Defanged())
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return enrich.Record{}, err
	}
	shows, err := s.shows(ctx, x)
	if err != nil {
		return enrich.Record{}, err
	}
	r, ok, err := enrich.Get(ctx, s.Store, n)
	if err != nil {
		return r, err
	}
	if _, cerr := s.Casework.Candidate(ctx, n); !ok || cerr != nil && !shows(n) {
		return enrich.Record{}, none
	}
	return r, nil
}

// keptGraphs is how many readers' graphs are kept.
const keptGraphs = 8

// linkGraph gives the graph of what whoever asks may see.
func (s *System) linkGraph(ctx context.Context) (*graph.Graph, error) {
	x, err := s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	shows, err := s.shows(ctx, x)
	if err != nil {
		return nil, err
	}
	version, err := store.VersionOf(ctx, s.Store, "watch.seen", "candidate", "case", "domain")
	if err != nil {
		return nil, err
	}
	key := strings.Join(x.Hidden(), " ")
	word := fmt.Sprint(version, " ", x.Seen())
	s.infra.mu.Lock()
	k, ok := s.infra.graphs[key]
	s.infra.mu.Unlock()
	if ok && k.word == word {
		return k.g, nil
	}
	recs, err := enrich.All(ctx, s.Store)
	if err != nil {
		return nil, err
	}
	cands, err := s.candidatesOf(ctx, recs)
	if err != nil {
		return nil, err
	}
	ks, err := s.knownNames(ctx, recs)
	if err != nil {
		return nil, err
	}
	var items []graph.Item
	mine := map[impound.Name]bool{}
	for _, k := range ks {
		items = append(items, k.item)
		mine[k.item.Name] = true
	}
	for n, r := range recs {
		c, ok := cands[n]
		if mine[n] || !ok && !shows(n) || r.Facts.Empty() {
			continue // of a case's name its case speaks
		}
		items = append(items, candidateItem(r, c))
	}
	g := graph.New(items)
	s.infra.mu.Lock()
	defer s.infra.mu.Unlock()
	if s.infra.graphs == nil || len(s.infra.graphs) >= keptGraphs {
		s.infra.graphs = map[string]keptGraph{}
	}
	s.infra.graphs[key] = keptGraph{word, g}
	return g, nil
}

// WatchGraph walks from a name, or from something that names have in common
// (KIND:VALUE), along what links them.
func (s *System) WatchGraph(ctx context.Context, start string, w graph.Walk) (graph.Sub, error) {
	g, err := s.linkGraph(ctx)
	if err != nil {
		return graph.Sub{}, err
	}
	return g.Walk(start, w)
}

// shows says of a name that is no candidate whether what was seen of it is shown:
// where there are accounts, only when a case that x holds has it. Else whoever
// guesses a name could look at it himself, and see whether that is kept from him.
func (s *System) shows(ctx context.Context, x casework.Sight) (func(impound.Name) bool, error) {
	guarded, err := s.Guarded(ctx)
	if err != nil || !guarded {
		return x.Name, err
	}
	return x.Holds, nil
}
