package telemetry

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
)

// Filter chooses contacts. A zero field chooses all.
type Filter struct {
	Case  string
	Order string
	Zone  string // a seized name, in A-labels
	Class impound.Class
	Proto impound.Proto
	ASN   uint32
	From  time.Time // included
	To    time.Time // not included
	After string    // go on behind this contact: see [CursorOf]
	Limit int       // 0: 1000; at most 100,000
	Desc  bool      // newest first
	// NotCases are left out: cases that whoever asks may not see.
	NotCases []string
}

// DefaultLimit and MaxLimit bound what one call of Contacts gives.
const (
	DefaultLimit = 1000
	MaxLimit     = 100_000
)

// CursorOf gives the place of c for Filter.After. Contacts come ordered by
// time, sensor and sequence number.
func CursorOf(c impound.Contact) string {
	return fmt.Sprintf("%d.%d.%s", c.At.UnixMicro(), c.Seq, c.Sensor)
}

func parseCursor(s string) (at int64, seq uint64, sensor string, err error) {
	a, rest, ok1 := strings.Cut(s, ".")
	q, sensor, ok2 := strings.Cut(rest, ".")
	at, err1 := strconv.ParseInt(a, 10, 64)
	seq, err2 := strconv.ParseUint(q, 10, 63)
	if !ok1 || !ok2 || err1 != nil || err2 != nil {
		return 0, 0, "", impound.Errorf(impound.KindInvalid, "%q is no place in the list of contacts", clip(s)).At("after").WithCure("use the cursor of an earlier answer, or leave it out")
	}
	return at, seq, sensor, nil
}

// Bucket is the contacts of one stretch of time by class.
type Bucket struct {
	At     time.Time             `json:"at"` // its begin
	Counts map[impound.Class]int `json:"counts"`
}

// NetworkCount is what came from one network.
type NetworkCount struct {
	Network  impound.Network `json:"network"`
	Victims  int             `json:"victims"`  // distinct sources: see [SourceOf]
	Lures    int             `json:"lures"`    // distinct lure tokens, 0 where the order doesn't let them be kept
	Contacts int             `json:"contacts"` // all contacts of these sources that the filter chose
	First    time.Time       `json:"first"`
	Last     time.Time       `json:"last"`
	Names    []string        `json:"names"` // the seized names that they came to, sorted
}

// Count is a number of contacts by one zone and class.
type Count struct {
	Zone  string        `json:"zone"`
	Class impound.Class `json:"class"`
	N     int           `json:"n"`
}

// Purged says what a purge did.
type Purged struct {
	Contacts int      // raw contacts deleted
	Unknown  []string // orders whose retention the caller didn't know; theirs were kept
}

// Row is a contact on its way into an engine.
type Row struct {
	impound.Contact
	Kind   NetworkKind
	Source string       // SourceOf the address; "" for none
	Gap    *impound.Gap // set: no contact, but what a sensor could not record
}

// Engine stores contacts. Its methods are safe for concurrent use, also by
// several processes, where the engine says so. Every engine passes
// telemetrytest.Run.
type Engine interface {
	// Add stores the rows that are not known yet by (sensor, seq), now or ever
	// before, purged ones included, and gives how many. Then it asks judge about every
	// source that it touched and stores the verdicts, also of older rows: those
	// from one day before to one day after the touched days (UTC). A day is
	// judged on the events of the day before, its own and the day after. All of it
	// happens or nothing; it is durable on return.
	Add(ctx context.Context, rows []Row, judge func(Window) []Verdict) (int, error)
	// Cursor gives the highest sequence number ever added for sensor, 0 for none.
	Cursor(ctx context.Context, sensor string) (uint64, error)
	Contacts(ctx context.Context, f Filter) ([]impound.Contact, error)
	// Counts gives contacts by zone and class; Series by class and step. Both
	// still count what was purged, unless the filter names a network or a protocol:
	// there are no sums by these.
	Counts(ctx context.Context, f Filter) ([]Count, error)
	Series(ctx context.Context, f Filter, step time.Duration) ([]Bucket, error)
	Victims(ctx context.Context, f Filter) ([]NetworkCount, error)
	// Purge deletes the raw contacts of order older than before.
	Purge(ctx context.Context, order string, before time.Time) (int, error)
	// Orders gives the orders that raw contacts are kept of.
	Orders(ctx context.Context) ([]string, error)
	// Gaps gives the gaps that touch the time from from until to, oldest first.
	// One whose end was not known when it was added ends when its sensor's next
	// row comes.
	Gaps(ctx context.Context, from, to time.Time) ([]impound.Gap, error)
	// Version grows with every change.
	Version(ctx context.Context) (int64, error)
	Close() error
}

// Options of Open.
type Options struct {
	Networks   *Networks
	Classifier *Classifier
	CaseOf     func(order string) string // nil, or an unknown order: no case
	Now        func() time.Time
}

// DB is telemetry: it cuts events down, adds network and case, and lets the
// engine store and the classifier judge. It is safe for concurrent use; several
// processes may have one file open.
type DB struct {
	eng Engine
	opt Options
}

// Open opens the SQLite file at path, and makes it (mode 0600) where there is
// none. It refuses a file that a newer version wrote.
func Open(ctx context.Context, path string, opt Options) (*DB, error) {
	eng, err := openSQLite(ctx, path)
	if err != nil {
		return nil, err
	}
	return New(eng, opt), nil
}

// New makes a DB on an engine, which it owns from then on.
func New(eng Engine, opt Options) *DB {
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Classifier == nil {
		opt.Classifier = &Classifier{}
	}
	return &DB{eng: eng, opt: opt}
}

// Ingest takes events, each exactly once by (sensor, seq), and gives how many
// were new. It is durable on return (fsynced): the spool may let go of what was
// ingested. On an error nothing of evs was taken. An event without sensor or
// time is an [impound.Error] of KindInvalid: no sensor writes one.
func (db *DB) Ingest(ctx context.Context, evs []impound.Event) (int, error) {
	if len(evs) == 0 {
		return 0, nil
	}
	rows := make([]Row, 0, len(evs))
	for i, e := range evs {
		switch {
		case e.Sensor == "":
			return 0, impound.Errorf(impound.KindInvalid, "the event names no sensor").At(fmt.Sprintf("events[%d]", i)).WithCure("set the sensor's name where events are made")
		case e.Seq >= 1<<63:
			return 0, impound.Errorf(impound.KindInvalid, "sequence number %d is too large", e.Seq).At(fmt.Sprintf("events[%d]", i)).WithCure("number events from 1")
		case e.At.Year() < 1970 || e.At.Year() > 2200:
			return 0, impound.Errorf(impound.KindInvalid, "event %d of %s has no usable time", e.Seq, clip(e.Sensor)).At(fmt.Sprintf("events[%d]", i)).WithCure("check the sensor's clock")
		}
		if e.Outcome == impound.OutcomeGap {
			g := &impound.Gap{Sensor: e.Sensor, Seq: e.Seq, From: e.At.UTC(), Missing: e.Len}
			rows = append(rows, Row{Contact: impound.Contact{Event: impound.Event{Sensor: e.Sensor, Seq: e.Seq, At: e.At, Outcome: e.Outcome}}, Gap: g})
			continue
		}
		r := Row{Contact: impound.Contact{Event: Cut(e)}}
		r.Source = SourceOf(r.Src.Addr())
		r.Network, r.Kind, _ = db.opt.Networks.Lookup(r.Src.Addr())
		if db.opt.CaseOf != nil && r.Order != "" {
			r.Case = db.opt.CaseOf(r.Order)
		}
		rows = append(rows, r)
	}
	n, err := db.eng.Add(ctx, rows, db.opt.Classifier.Classify)
	if err != nil {
		return 0, err
	}
	return n, nil
}

// Cursor gives the highest sequence number ever taken from sensor, 0 for none.
// Whoever sends in order goes on behind it; whoever doesn't may send anything
// again.
func (db *DB) Cursor(ctx context.Context, sensor string) (uint64, error) {
	return db.eng.Cursor(ctx, sensor)
}

// Contacts gives the contacts that f chooses, ordered by time, sensor and
// sequence number.
func (db *DB) Contacts(ctx context.Context, f Filter) ([]impound.Contact, error) {
	if f.Limit <= 0 {
		f.Limit = DefaultLimit
	}
	f.Limit = min(f.Limit, MaxLimit)
	return db.eng.Contacts(ctx, f)
}

// Each calls fn with every contact that f chooses, in the order of Contacts;
// f.Limit is the size of a page. An error of fn ends it.
func (db *DB) Each(ctx context.Context, f Filter, fn func(impound.Contact) error) error {
	for {
		page, err := db.Contacts(ctx, f)
		if err != nil {
			return err
		}
		for _, c := range page {
			if err := fn(c); err != nil {
				return err
			}
		}
		limit := f.Limit
		if limit <= 0 {
			limit = DefaultLimit
		}
		if len(page) < min(limit, MaxLimit) {
			return nil
		}
		f.After = CursorOf(page[len(page)-1])
	}
}

// maxBuckets bounds a series: more can't be drawn.
const maxBuckets = 20_000

// Series gives the contacts over time, in steps of whole minutes that begin at
// multiples of step since 1970 UTC. Buckets without contacts are there too,
// from the first to the last one, or from f.From to f.To where given. It counts
// what was purged as well, unless f names a network or a protocol. f.From and f.To are
// cut to the minute.
func (db *DB) Series(ctx context.Context, f Filter, step time.Duration) ([]Bucket, error) {
	if step < time.Minute || step%time.Minute != 0 {
		return nil, impound.Errorf(impound.KindInvalid, "%s is no whole number of minutes", step).At("step").WithCure("use 1m, 1h or 24h")
	}
	got, err := db.eng.Series(ctx, f, step)
	if err != nil {
		return nil, err
	}
	floor := func(t time.Time) int64 {
		s := t.Unix()
		w := int64(step / time.Second)
		return s - ((s%w)+w)%w
	}
	at := map[int64]Bucket{}
	var lo, hi int64
	for i, b := range got {
		u := b.At.Unix()
		at[u] = b
		if i == 0 || u < lo {
			lo = u
		}
		if i == 0 || u > hi {
			hi = u
		}
	}
	if !f.From.IsZero() {
		lo = floor(f.From)
		if len(got) == 0 {
			hi = lo
		}
	}
	if !f.To.IsZero() {
		hi = floor(f.To.Add(-1))
		if len(got) == 0 && f.From.IsZero() {
			lo = hi
		}
	}
	if len(got) == 0 && f.From.IsZero() && f.To.IsZero() || hi < lo {
		return nil, nil
	}
	n := (hi-lo)/int64(step/time.Second) + 1
	if n > maxBuckets {
		return nil, impound.Errorf(impound.KindInvalid, "that would be %d steps of %s, at most %d can be given", n, step, maxBuckets).At("step").WithCure("take a longer step or a shorter time")
	}
	out := make([]Bucket, 0, n)
	for u := lo; u <= hi; u += int64(step / time.Second) {
		b, ok := at[u]
		if !ok {
			b = Bucket{At: time.Unix(u, 0).UTC(), Counts: map[impound.Class]int{}}
		}
		out = append(out, b)
	}
	return out, nil
}

// Counts gives the number of contacts by class, purged ones included as in
// Series.
func (db *DB) Counts(ctx context.Context, f Filter) (map[impound.Class]int, error) {
	cs, err := db.eng.Counts(ctx, f)
	if err != nil {
		return nil, err
	}
	out := map[impound.Class]int{}
	for _, c := range cs {
		out[c.Class] += c.N
	}
	return out, nil
}

// CountsByZone gives the number of contacts by seized name and class, sorted by
// both. What lay outside every seized name has the zone "".
func (db *DB) CountsByZone(ctx context.Context, f Filter) ([]Count, error) {
	return db.eng.Counts(ctx, f)
}

// Victims gives the networks that victims came from, those with the most
// first. With f.Class set it speaks of that class instead. It knows only
// contacts that were not purged.
func (db *DB) Victims(ctx context.Context, f Filter) ([]NetworkCount, error) {
	if f.Class == "" {
		f.Class = impound.ClassVictim
	}
	return db.eng.Victims(ctx, f)
}

// Version grows with every change, so that a page can tell whether to look
// again. It is cheap.
func (db *DB) Version(ctx context.Context) (int64, error) { return db.eng.Version(ctx) }

// Purge deletes the raw contacts that are older at now than the days for which
// their order lets them be kept. days is asked for each order of which contacts
// are kept, "" being what lay outside every order; false leaves that order
// alone and lists it in Purged.Unknown. Zero days keeps nothing. The sums
// (Counts, Series) stay. The deleted octets are overwritten in the file.
func (db *DB) Purge(ctx context.Context, now time.Time, days func(order string) (int, bool)) (Purged, error) {
	var p Purged
	orders, err := db.eng.Orders(ctx)
	if err != nil {
		return p, err
	}
	slices.Sort(orders)
	for _, o := range orders {
		d, ok := days(o)
		if !ok {
			p.Unknown = append(p.Unknown, o)
			continue
		}
		n, err := db.eng.Purge(ctx, o, now.Add(-time.Duration(max(d, 0))*24*time.Hour))
		p.Contacts += n
		if err != nil {
			return p, err
		}
	}
	return p, nil
}

// Gaps gives the times in which a sensor answered but could not record, as far as
// they touch the time from from until to (zero: no bound), oldest first. Counts
// and Series of such a time are too small.
func (db *DB) Gaps(ctx context.Context, from, to time.Time) ([]impound.Gap, error) {
	return db.eng.Gaps(ctx, from, to)
}

// Networks gives what the DB knows of networks; nil when nothing.
func (db *DB) Networks() *Networks { return db.opt.Networks }

// Lookup is [Networks.Lookup] without the kind.
func (db *DB) Lookup(a netip.Addr) (impound.Network, bool) {
	n, _, ok := db.opt.Networks.Lookup(a)
	return n, ok
}

// Close closes the file.
func (db *DB) Close() error { return db.eng.Close() }
