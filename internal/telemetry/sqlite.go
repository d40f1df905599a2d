package telemetry

import (
	"cmp"
	"context"
	"database/sql"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"modernc.org/sqlite"

	"github.com/impound/impound"
)

//go:embed schema.sql
var schemaSQL string

// schemaVersion is in the file's user_version. A file of another version is
// migrated or refused.
const schemaVersion = 2

// schemaGap is what version 2 added.
const schemaGap = `
-- What sensors could not record. first and until in microseconds since 1970;
-- until 0: not known yet.
CREATE TABLE gap (
  sensor TEXT NOT NULL, seq INTEGER NOT NULL, first INTEGER NOT NULL, until INTEGER NOT NULL, n INTEGER NOT NULL,
  PRIMARY KEY (sensor, seq)
) STRICT, WITHOUT ROWID`

// maxWindow bounds the events of one source that are loaded to judge a day.
const maxWindow = 1000

// sqliteEngine keeps contacts in one file: WAL, synchronous=FULL (a commit is
// fsynced), secure_delete. One writer at a time, over processes too; others
// wait up to 10 s.
type sqliteEngine struct {
	db   *sql.DB
	path string
}

var _ Engine = (*sqliteEngine)(nil)

func openSQLite(ctx context.Context, path string) (*sqliteEngine, error) {
	fail := func(err error) error {
		return impound.Errorf(impound.KindUnavailable, "couldn't open the telemetry database: %w", err).At(path).WithCure("check that the folder exists, is writable and that the disk is not full")
	}
	// SQLite gives its side files the mode of the main one: make it first.
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fail(err)
	}
	f.Close()
	q := url.Values{"_txlock": {"immediate"}, "_pragma": {"busy_timeout(10000)", "synchronous(FULL)", "foreign_keys(1)", "secure_delete(1)", "temp_store(MEMORY)"}}
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: path}).EscapedPath(), RawQuery: q.Encode()}).String())
	if err != nil {
		return nil, fail(err)
	}
	db.SetMaxOpenConns(6)
	e := &sqliteEngine{db: db, path: path}
	if err := e.start(ctx); err != nil {
		db.Close()
		if impound.KindOf(err) != impound.KindInternal {
			return nil, err
		}
		return nil, fail(err)
	}
	return e, nil
}

// start turns WAL on, which the file remembers, and migrates. Turning it on
// needs the file for oneself and does not wait by the busy timeout, so those
// who start at once try again.
func (e *sqliteEngine) start(ctx context.Context) error {
	for deadline := time.Now().Add(10 * time.Second); ; {
		var mode string
		err := e.db.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode)
		if err == nil && mode != "wal" {
			return impound.Errorf(impound.KindUnavailable, "this file system can't share a database between processes (journal mode %s)", mode).At(e.path).
				WithCure("put the state folder on a local disk")
		}
		if err == nil {
			err = e.migrate(ctx)
		}
		var se *sqlite.Error
		if !errors.As(err, &se) || (se.Code()&0xff != 5 && se.Code()&0xff != 6) || time.Now().After(deadline) {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (e *sqliteEngine) migrate(ctx context.Context) error {
	return e.update(ctx, func(tx *sql.Tx) error {
		var v int
		if err := tx.QueryRowContext(ctx, "PRAGMA user_version").Scan(&v); err != nil {
			return err
		}
		switch {
		case v == schemaVersion:
			return nil
		case v > schemaVersion:
			return impound.Errorf(impound.KindRefused, "the telemetry database has schema %d, this version knows %d", v, schemaVersion).At(e.path).WithCure("use the newer impound that wrote it")
		}
		if v == 0 {
			if _, err := tx.ExecContext(ctx, schemaSQL); err != nil {
				return err
			}
		}
		if _, err := tx.ExecContext(ctx, schemaGap); err != nil {
			return err
		}
		_, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion))
		return err
	})
}

func (e *sqliteEngine) update(ctx context.Context, fn func(*sql.Tx) error) error {
	tx, err := e.db.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	if err := fn(tx); err != nil {
		tx.Rollback()
		return err
	}
	return tx.Commit()
}

func (e *sqliteEngine) wrap(verb string, err error) error {
	if err == nil {
		return nil
	}
	var ie *impound.Error
	if errors.As(err, &ie) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	kind, cure := impound.KindInternal, ""
	var se *sqlite.Error
	if errors.As(err, &se) {
		switch se.Code() & 0xff {
		case 5, 6: // SQLITE_BUSY, SQLITE_LOCKED
			kind, cure = impound.KindUnavailable, "another process writes: try again"
		case 13: // SQLITE_FULL
			kind, cure = impound.KindUnavailable, "make room on the disk"
		case 8, 10, 14: // SQLITE_READONLY, SQLITE_IOERR, SQLITE_CANTOPEN
			kind, cure = impound.KindUnavailable, "check the disk and the rights of the folder"
		}
	}
	return impound.Errorf(kind, "couldn't %s: %w", verb, err).At(e.path).WithCure(cure)
}

const dayMicros = int64(24 * time.Hour / time.Microsecond)

func dayOf(t time.Time) int64 { return t.UnixMicro() / dayMicros }

type rollKey struct {
	step, at            int64
	caseID, order, zone string
	class               impound.Class
}

// rolls gathers changes of the sums, so that each is written once.
type rolls map[rollKey]int

func (r rolls) add(at int64, caseID, order, zone string, class impound.Class, n int) {
	s := at / 1_000_000
	for _, step := range rollSteps {
		r[rollKey{step, s - s%step, caseID, order, zone, class}] += n
	}
}

var rollSteps = []int64{60, 3600, 86400}

func (e *sqliteEngine) Add(ctx context.Context, rows []Row, judge func(Window) []Verdict) (int, error) {
	added := 0
	err := e.update(ctx, func(tx *sql.Tx) error {
		fresh, err := claim(ctx, tx, rows)
		if err != nil || len(fresh) == 0 {
			return err
		}
		added = len(fresh)
		if fresh, err = addGaps(ctx, tx, fresh); err != nil {
			return err
		}
		nets := map[networkKey]int64{}
		ins, err := tx.PrepareContext(ctx, `INSERT INTO contact (sensor, seq, at, day, source, web, proto, case_id, ord, zone, class, confidence, reasons, network, lure_hash, event) VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`)
		if err != nil {
			return err
		}
		defer ins.Close()
		sums := rolls{}
		touched := map[string]map[int64]bool{} // source -> days to judge
		for _, r := range fresh {
			net, err := networkID(ctx, tx, nets, r)
			if err != nil {
				return err
			}
			web, class, conf, reasons := 0, impound.ClassUnclear, 0.0, "[]"
			day := dayOf(r.At)
			if r.Proto != impound.ProtoDNS && r.Proto != impound.ProtoDNST && r.Source != "" {
				web = 1 // judged below, with its neighbours
				days := touched[r.Source]
				if days == nil {
					days = map[int64]bool{}
					touched[r.Source] = days
				}
				days[day-1], days[day], days[day+1] = true, true, true
			} else {
				v := judge(Window{Network: r.Network, Kind: r.Kind, Events: []impound.Event{r.Event}})[0]
				if class, conf, reasons, err = verdictColumns(v); err != nil {
					return err
				}
			}
			ev, err := json.Marshal(r.Event)
			if err != nil {
				return err
			}
			if _, err := ins.ExecContext(ctx, r.Sensor, int64(r.Seq), r.At.UnixMicro(), day, r.Source, web, string(r.Proto), r.Case, r.Order, r.Zone, string(class), conf, reasons, net, r.LureHash, string(ev)); err != nil {
				return err
			}
			sums.add(r.At.UnixMicro(), r.Case, r.Order, r.Zone, class, 1)
		}
		sources := make([]string, 0, len(touched))
		for s := range touched {
			sources = append(sources, s)
		}
		slices.Sort(sources)
		c, err := newCourt(ctx, tx, judge, sums)
		if err != nil {
			return err
		}
		defer c.close()
		for _, s := range sources {
			days := make([]int64, 0, len(touched[s]))
			for d := range touched[s] {
				days = append(days, d)
			}
			slices.Sort(days)
			if err := c.source(ctx, s, days); err != nil {
				return err
			}
		}
		roll, err := tx.PrepareContext(ctx, "INSERT INTO rollup (step, at, case_id, ord, zone, class, n) VALUES (?,?,?,?,?,?,?) ON CONFLICT DO UPDATE SET n = n + excluded.n")
		if err != nil {
			return err
		}
		defer roll.Close()
		for k, n := range sums {
			if n == 0 {
				continue
			}
			if _, err := roll.ExecContext(ctx, k.step, k.at, k.caseID, k.order, k.zone, string(k.class), n); err != nil {
				return err
			}
		}
		return bump(ctx, tx)
	})
	if err != nil {
		return 0, e.wrap("store contacts", err)
	}
	return added, nil
}

// addGaps stores the gaps among rows, ends those that the other rows end, and
// gives the other rows. A gap ends at its sensor's next event; one that was cut
// to the minute may have come until that minute's end.
func addGaps(ctx context.Context, tx *sql.Tx, rows []Row) ([]Row, error) {
	out := rows[:0:0]
	ends := map[string][]Row{}
	for _, r := range rows {
		if r.Gap == nil {
			out = append(out, r)
		} else if _, err := tx.ExecContext(ctx, "INSERT INTO gap (sensor, seq, first, until, n) VALUES (?,?,?,0,?)", r.Gap.Sensor, int64(r.Gap.Seq), r.Gap.From.UnixMicro(), r.Gap.Missing); err != nil {
			return nil, err
		}
		ends[r.Sensor] = append(ends[r.Sensor], r)
	}
	for name, rs := range ends {
		q, err := tx.QueryContext(ctx, "SELECT seq, first FROM gap WHERE sensor = ? AND until = 0", name)
		if err != nil {
			return nil, err
		}
		type open struct{ seq, first int64 }
		var open1 []open
		for q.Next() {
			var o open
			if err := q.Scan(&o.seq, &o.first); err != nil {
				q.Close()
				return nil, err
			}
			open1 = append(open1, o)
		}
		if err := q.Err(); err != nil {
			return nil, err
		}
		for _, o := range open1 {
			var next *Row
			for i := range rs {
				if int64(rs[i].Seq) > o.seq && (next == nil || rs[i].Seq < next.Seq) {
					next = &rs[i]
				}
			}
			if next == nil {
				continue
			}
			at := next.At
			if next.Capture == impound.CaptureCount {
				at = at.Add(time.Minute)
			}
			if _, err := tx.ExecContext(ctx, "UPDATE gap SET until = ? WHERE sensor = ? AND seq = ?", max(at.UnixMicro(), o.first+1), name, o.seq); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

func (e *sqliteEngine) Gaps(ctx context.Context, from, to time.Time) ([]impound.Gap, error) {
	lo, hi := int64(0), int64(1)<<62
	if !from.IsZero() {
		lo = from.UnixMicro()
	}
	if !to.IsZero() {
		hi = to.UnixMicro()
	}
	q, err := e.db.QueryContext(ctx, "SELECT sensor, seq, first, until, n FROM gap WHERE first < ? AND (until = 0 OR until >= ?) ORDER BY first, sensor, seq", hi, lo)
	if err != nil {
		return nil, e.wrap("read gaps", err)
	}
	defer q.Close()
	var out []impound.Gap
	for q.Next() {
		var g impound.Gap
		var seq, first, until int64
		if err := q.Scan(&g.Sensor, &seq, &first, &until, &g.Missing); err != nil {
			return nil, e.wrap("read gaps", err)
		}
		g.Seq, g.From = uint64(seq), time.UnixMicro(first).UTC()
		if until != 0 {
			g.To = time.UnixMicro(until).UTC()
		}
		out = append(out, g)
	}
	return out, e.wrap("read gaps", q.Err())
}

func bump(ctx context.Context, tx *sql.Tx) error {
	_, err := tx.ExecContext(ctx, "UPDATE version SET n = n + 1")
	return err
}

// claim gives the rows whose (sensor, seq) was never taken, and takes them.
func claim(ctx context.Context, tx *sql.Tx, rows []Row) ([]Row, error) {
	bySensor := map[string][]int64{}
	for _, r := range rows {
		bySensor[r.Sensor] = append(bySensor[r.Sensor], int64(r.Seq))
	}
	type key struct {
		sensor string
		seq    int64
	}
	isNew := map[key]bool{}
	for sensor, seqs := range bySensor {
		slices.Sort(seqs)
		seqs = slices.Compact(seqs)
		lo, hi := seqs[0], seqs[len(seqs)-1]
		type span struct{ first, last int64 }
		var old []span
		q, err := tx.QueryContext(ctx, "SELECT first, last FROM span WHERE sensor = ? AND first <= ? AND last >= ? ORDER BY first", sensor, hi+1, lo-1)
		if err != nil {
			return nil, err
		}
		for q.Next() {
			var s span
			if err := q.Scan(&s.first, &s.last); err != nil {
				q.Close()
				return nil, err
			}
			old = append(old, s)
		}
		if err := q.Err(); err != nil {
			return nil, err
		}
		spans := slices.Clone(old)
		n := 0
		i := 0
		for _, s := range seqs {
			for i < len(old) && old[i].last < s {
				i++
			}
			if i < len(old) && old[i].first <= s {
				continue
			}
			isNew[key{sensor, s}] = true
			spans = append(spans, span{s, s})
			n++
		}
		if n == 0 {
			continue
		}
		slices.SortFunc(spans, func(a, b span) int { return cmp.Compare(a.first, b.first) })
		merged := spans[:1]
		for _, s := range spans[1:] {
			if last := &merged[len(merged)-1]; s.first <= last.last+1 {
				last.last = max(last.last, s.last)
			} else {
				merged = append(merged, s)
			}
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM span WHERE sensor = ? AND first <= ? AND last >= ?", sensor, hi+1, lo-1); err != nil {
			return nil, err
		}
		for _, s := range merged {
			if _, err := tx.ExecContext(ctx, "INSERT INTO span (sensor, first, last) VALUES (?,?,?)", sensor, s.first, s.last); err != nil {
				return nil, err
			}
		}
	}
	var out []Row
	for _, r := range rows {
		k := key{r.Sensor, int64(r.Seq)}
		if isNew[k] {
			delete(isNew, k) // twice in one batch: the first counts
			out = append(out, r)
		}
	}
	return out, nil
}

type networkKey struct {
	net  impound.Network
	kind NetworkKind
}

func networkID(ctx context.Context, tx *sql.Tx, seen map[networkKey]int64, r Row) (int64, error) {
	k := networkKey{r.Network, r.Kind}
	if id, ok := seen[k]; ok {
		return id, nil
	}
	prefix := ""
	if r.Network.Prefix.IsValid() {
		prefix = r.Network.Prefix.String()
	}
	args := []any{prefix, int64(r.Network.ASN), r.Network.Name, r.Network.Country, r.Network.Abuse, r.Network.Sector, string(r.Kind)}
	if _, err := tx.ExecContext(ctx, "INSERT INTO network (prefix, asn, name, country, abuse, sector, kind) VALUES (?,?,?,?,?,?,?) ON CONFLICT DO NOTHING", args...); err != nil {
		return 0, err
	}
	var id int64
	if err := tx.QueryRowContext(ctx, "SELECT id FROM network WHERE prefix=? AND asn=? AND name=? AND country=? AND abuse=? AND sector=? AND kind=?", args...).Scan(&id); err != nil {
		return 0, err
	}
	seen[k] = id
	return id, nil
}

func verdictColumns(v Verdict) (impound.Class, float64, string, error) {
	b, err := json.Marshal(v.Reasons)
	if err != nil {
		return "", 0, "", err
	}
	return v.Class, v.Confidence, string(b), nil
}

// stored is a contact as it lies in the file, as far as judging needs it.
type stored struct {
	day     int64
	caseID  string
	class   impound.Class
	conf    float64
	reasons string
	event   impound.Event
	net     impound.Network
	kind    NetworkKind
}

// court judges the sources that one Add touched.
type court struct {
	tx           *sql.Tx
	judge        func(Window) []Verdict
	sums         rolls
	load, update *sql.Stmt
}

func newCourt(ctx context.Context, tx *sql.Tx, judge func(Window) []Verdict, sums rolls) (*court, error) {
	c := &court{tx: tx, judge: judge, sums: sums}
	var err error
	if c.load, err = tx.PrepareContext(ctx, `SELECT c.day, c.case_id, c.class, c.confidence, c.reasons, c.event,
		n.prefix, n.asn, n.name, n.country, n.abuse, n.sector, n.kind
		FROM contact c JOIN network n ON n.id = c.network
		WHERE c.source = ? AND c.web = 1 AND c.day BETWEEN ? AND ?
		ORDER BY c.at, c.sensor, c.seq LIMIT ?`); err != nil {
		return nil, err
	}
	c.update, err = tx.PrepareContext(ctx, "UPDATE contact SET class = ?, confidence = ?, reasons = ? WHERE sensor = ? AND seq = ?")
	return c, err
}

func (c *court) close() {
	c.load.Close()
	if c.update != nil {
		c.update.Close()
	}
}

// source judges what source did on the given days, sorted, and writes what
// changed. Almost always everything near those days fits in one look.
func (c *court) source(ctx context.Context, source string, days []int64) error {
	all, err := c.events(ctx, source, days[0]-1, days[len(days)-1]+1, 2*maxWindow+1)
	if err != nil {
		return err
	}
	for _, day := range days {
		var near []stored
		if len(all) > 2*maxWindow {
			if near, err = c.events(ctx, source, day-1, day+1, maxWindow+1); err != nil {
				return err
			}
		} else {
			for _, s := range all {
				if s.day >= day-1 && s.day <= day+1 {
					near = append(near, s)
				}
			}
		}
		if err := c.day(ctx, source, day, near); err != nil {
			return err
		}
	}
	return nil
}

func (c *court) events(ctx context.Context, source string, from, to int64, limit int) ([]stored, error) {
	q, err := c.load.QueryContext(ctx, source, from, to, limit)
	if err != nil {
		return nil, err
	}
	defer q.Close()
	var out []stored
	for q.Next() {
		var s stored
		var class, ev, prefix, kind string
		var asn int64
		if err := q.Scan(&s.day, &s.caseID, &class, &s.conf, &s.reasons, &ev, &prefix, &asn, &s.net.Name, &s.net.Country, &s.net.Abuse, &s.net.Sector, &kind); err != nil {
			return nil, err
		}
		if err := json.Unmarshal([]byte(ev), &s.event); err != nil {
			return nil, fmt.Errorf("a stored event of %s: %w", source, err)
		}
		s.class, s.kind, s.net.ASN = impound.Class(class), NetworkKind(kind), uint32(asn)
		if prefix != "" {
			s.net.Prefix, _ = netip.ParsePrefix(prefix)
		}
		out = append(out, s)
	}
	return out, q.Err()
}

// day judges one day on near, which are the events from the day before to the
// day after, sorted.
func (c *court) day(ctx context.Context, source string, day int64, near []stored) error {
	var w Window
	if len(near) > maxWindow {
		near, w.Truncated = near[:maxWindow], true
	}
	mine := false
	for _, s := range near {
		// What the newest event knows of the network counts.
		w.Network, w.Kind = s.net, s.kind
		w.Events = append(w.Events, s.event)
		mine = mine || s.day == day
	}
	if w.Truncated {
		if err := c.rest(ctx, source, day, w); err != nil {
			return err
		}
	}
	if !mine {
		return nil
	}
	for i, v := range c.judge(w) {
		if near[i].day == day {
			if err := c.pronounce(ctx, near[i], v); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *court) pronounce(ctx context.Context, s stored, v Verdict) error {
	class, conf, reasons, err := verdictColumns(v)
	if err != nil || class == s.class && conf == s.conf && reasons == s.reasons {
		return err
	}
	if _, err := c.update.ExecContext(ctx, string(class), conf, reasons, s.event.Sensor, int64(s.event.Seq)); err != nil {
		return err
	}
	if class != s.class {
		at := s.event.At.UnixMicro()
		c.sums.add(at, s.caseID, s.event.Order, s.event.Zone, s.class, -1)
		c.sums.add(at, s.caseID, s.event.Order, s.event.Zone, class, 1)
	}
	return nil
}

// rest judges, each alone, the events of day that have no verdict yet because
// the source sent more than a window holds.
func (c *court) rest(ctx context.Context, source string, day int64, w Window) error {
	type key struct {
		sensor string
		seq    uint64
	}
	loaded := map[key]bool{}
	for _, e := range w.Events {
		loaded[key{e.Sensor, e.Seq}] = true
	}
	q, err := c.tx.QueryContext(ctx, "SELECT case_id, event FROM contact WHERE source = ? AND web = 1 AND day = ? AND reasons = '[]'", source, day)
	if err != nil {
		return err
	}
	defer q.Close()
	var rest []stored
	for q.Next() {
		s := stored{class: impound.ClassUnclear, reasons: "[]"}
		var ev string
		if err := q.Scan(&s.caseID, &ev); err != nil {
			return err
		}
		if err := json.Unmarshal([]byte(ev), &s.event); err != nil {
			return err
		}
		if !loaded[key{s.event.Sensor, s.event.Seq}] {
			rest = append(rest, s)
		}
	}
	if err := q.Err(); err != nil {
		return err
	}
	q.Close()
	for _, s := range rest {
		v := c.judge(Window{Network: w.Network, Kind: w.Kind, Events: []impound.Event{s.event}, Truncated: true})[0]
		if err := c.pronounce(ctx, s, v); err != nil {
			return err
		}
	}
	return nil
}

func (e *sqliteEngine) Cursor(ctx context.Context, sensor string) (uint64, error) {
	var n sql.NullInt64
	err := e.db.QueryRowContext(ctx, "SELECT max(last) FROM span WHERE sensor = ?", sensor).Scan(&n)
	return uint64(n.Int64), e.wrap("read the cursor", err)
}

// where gives the conditions of f on raw contacts.
func where(f Filter) (string, []any, error) {
	conds, args := []string{"1=1"}, []any{}
	add := func(c string, v ...any) { conds, args = append(conds, c), append(args, v...) }
	if f.Case != "" {
		add("c.case_id = ?", f.Case)
	}
	if f.Order != "" {
		add("c.ord = ?", f.Order)
	}
	for _, c := range f.NotCases {
		add("c.case_id <> ?", c)
	}
	if f.Zone != "" {
		add("c.zone = ?", f.Zone)
	}
	if f.Class != "" {
		add("c.class = ?", string(f.Class))
	}
	if f.Proto != "" {
		add("c.proto = ?", string(f.Proto))
	}
	if f.ASN != 0 {
		add("n.asn = ?", int64(f.ASN))
	}
	if !f.From.IsZero() {
		add("c.at >= ?", f.From.UnixMicro())
	}
	if !f.To.IsZero() {
		add("c.at < ?", f.To.UnixMicro())
	}
	if f.After != "" {
		at, seq, sensor, err := parseCursor(f.After)
		if err != nil {
			return "", nil, err
		}
		op := ">"
		if f.Desc {
			op = "<"
		}
		add("(c.at, c.sensor, c.seq) "+op+" (?, ?, ?)", at, sensor, int64(seq))
	}
	return strings.Join(conds, " AND "), args, nil
}

func (e *sqliteEngine) Contacts(ctx context.Context, f Filter) ([]impound.Contact, error) {
	cond, args, err := where(f)
	if err != nil {
		return nil, err
	}
	dir := ""
	if f.Desc {
		dir = " DESC"
	}
	q, err := e.db.QueryContext(ctx, `SELECT c.case_id, c.class, c.confidence, c.reasons, c.event, n.prefix, n.asn, n.name, n.country, n.abuse, n.sector
		FROM contact c JOIN network n ON n.id = c.network WHERE `+cond+
		" ORDER BY c.at"+dir+", c.sensor"+dir+", c.seq"+dir+" LIMIT ?", append(args, f.Limit)...)
	if err != nil {
		return nil, e.wrap("read contacts", err)
	}
	defer q.Close()
	var out []impound.Contact
	for q.Next() {
		var c impound.Contact
		var class, reasons, ev, prefix string
		var asn int64
		if err := q.Scan(&c.Case, &class, &c.Confidence, &reasons, &ev, &prefix, &asn, &c.Network.Name, &c.Network.Country, &c.Network.Abuse, &c.Network.Sector); err != nil {
			return nil, e.wrap("read contacts", err)
		}
		if err := json.Unmarshal([]byte(ev), &c.Event); err != nil {
			return nil, e.wrap("read contacts", err)
		}
		if err := json.Unmarshal([]byte(reasons), &c.Reasons); err != nil {
			return nil, e.wrap("read contacts", err)
		}
		c.Class, c.Network.ASN = impound.Class(class), uint32(asn)
		if prefix != "" {
			c.Network.Prefix, _ = netip.ParsePrefix(prefix)
		}
		out = append(out, c)
	}
	return out, e.wrap("read contacts", q.Err())
}

// sums gives rows (bucket, zone, class, n) from the rollups, or from raw
// contacts where the rollups can't answer.
func (e *sqliteEngine) sums(ctx context.Context, f Filter, step int64, fn func(at int64, zone string, class impound.Class, n int)) error {
	f.After = ""
	if !f.From.IsZero() {
		f.From = f.From.Truncate(time.Minute)
	}
	if !f.To.IsZero() {
		f.To = f.To.Truncate(time.Minute)
	}
	bucket := "0"
	var text string
	var args []any
	if f.ASN != 0 || f.Proto != "" {
		cond, a, err := where(f)
		if err != nil {
			return err
		}
		if step > 0 {
			bucket = fmt.Sprintf("c.at/1000000 - (c.at/1000000) %% %d", step)
		}
		text, args = "SELECT "+bucket+", c.zone, c.class, count(*) FROM contact c JOIN network n ON n.id = c.network WHERE "+cond+" GROUP BY 1, 2, 3 ORDER BY 1, 2, 3", a
	} else {
		// The longest kept step of which the wanted one, and the edges, are multiples.
		use := rollSteps[0]
		for _, s := range rollSteps {
			if step%s == 0 && (f.From.IsZero() || f.From.Unix()%s == 0) && (f.To.IsZero() || f.To.Unix()%s == 0) {
				use = s
			}
		}
		if step > 0 {
			bucket = fmt.Sprintf("at - at %% %d", step)
		}
		text, args = "SELECT "+bucket+", zone, class, sum(n) FROM rollup WHERE step = ?", []any{use}
		add := func(c string, v any) { text, args = text+" AND "+c, append(args, v) }
		if f.Case != "" {
			add("case_id = ?", f.Case)
		}
		if f.Order != "" {
			add("ord = ?", f.Order)
		}
		for _, c := range f.NotCases {
			add("case_id <> ?", c)
		}
		if f.Zone != "" {
			add("zone = ?", f.Zone)
		}
		if f.Class != "" {
			add("class = ?", string(f.Class))
		}
		if !f.From.IsZero() {
			add("at >= ?", f.From.Unix())
		}
		if !f.To.IsZero() {
			add("at < ?", f.To.Unix())
		}
		text += " GROUP BY 1, 2, 3 HAVING sum(n) <> 0 ORDER BY 1, 2, 3"
	}
	q, err := e.db.QueryContext(ctx, text, args...)
	if err != nil {
		return e.wrap("count contacts", err)
	}
	defer q.Close()
	for q.Next() {
		var at int64
		var zone, class string
		var n int
		if err := q.Scan(&at, &zone, &class, &n); err != nil {
			return e.wrap("count contacts", err)
		}
		fn(at, zone, impound.Class(class), n)
	}
	return e.wrap("count contacts", q.Err())
}

func (e *sqliteEngine) Counts(ctx context.Context, f Filter) ([]Count, error) {
	var out []Count
	err := e.sums(ctx, f, 0, func(_ int64, zone string, class impound.Class, n int) {
		out = append(out, Count{zone, class, n})
	})
	return out, err
}

func (e *sqliteEngine) Series(ctx context.Context, f Filter, step time.Duration) ([]Bucket, error) {
	var out []Bucket
	err := e.sums(ctx, f, int64(step/time.Second), func(at int64, _ string, class impound.Class, n int) {
		t := time.Unix(at, 0).UTC()
		if len(out) == 0 || !out[len(out)-1].At.Equal(t) {
			out = append(out, Bucket{At: t, Counts: map[impound.Class]int{}})
		}
		out[len(out)-1].Counts[class] += n
	})
	return out, err
}

func (e *sqliteEngine) Victims(ctx context.Context, f Filter) ([]NetworkCount, error) {
	f.After = ""
	cond, args, err := where(f)
	if err != nil {
		return nil, err
	}
	q, err := e.db.QueryContext(ctx, `SELECT n.prefix, n.asn, n.name, n.country, n.abuse, n.sector,
		count(DISTINCT c.source), count(DISTINCT nullif(c.lure_hash, '')), count(*), min(c.at), max(c.at), json_group_array(DISTINCT c.zone)
		FROM contact c JOIN network n ON n.id = c.network WHERE `+cond+` AND c.source <> ''
		GROUP BY 1, 2, 3, 4, 5, 6`, args...)
	if err != nil {
		return nil, e.wrap("count victims", err)
	}
	defer q.Close()
	var out []NetworkCount
	for q.Next() {
		var c NetworkCount
		var prefix, zones string
		var asn, first, last int64
		if err := q.Scan(&prefix, &asn, &c.Network.Name, &c.Network.Country, &c.Network.Abuse, &c.Network.Sector, &c.Victims, &c.Lures, &c.Contacts, &first, &last, &zones); err != nil {
			return nil, e.wrap("count victims", err)
		}
		if err := json.Unmarshal([]byte(zones), &c.Names); err != nil {
			return nil, e.wrap("count victims", err)
		}
		c.Names = slices.DeleteFunc(c.Names, func(s string) bool { return s == "" })
		slices.Sort(c.Names)
		c.Network.ASN = uint32(asn)
		if prefix != "" {
			c.Network.Prefix, _ = netip.ParsePrefix(prefix)
		}
		c.First, c.Last = time.UnixMicro(first).UTC(), time.UnixMicro(last).UTC()
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b NetworkCount) int {
		return cmp.Or(cmp.Compare(b.Victims, a.Victims), cmp.Compare(b.Contacts, a.Contacts), cmp.Compare(a.Network.ASN, b.Network.ASN), cmp.Compare(a.Network.Prefix.String(), b.Network.Prefix.String()), cmp.Compare(a.Network.Name, b.Network.Name))
	})
	return out, e.wrap("count victims", q.Err())
}

func (e *sqliteEngine) Orders(ctx context.Context) ([]string, error) {
	q, err := e.db.QueryContext(ctx, "SELECT DISTINCT ord FROM contact")
	if err != nil {
		return nil, e.wrap("list orders", err)
	}
	defer q.Close()
	var out []string
	for q.Next() {
		var s string
		if err := q.Scan(&s); err != nil {
			return nil, e.wrap("list orders", err)
		}
		out = append(out, s)
	}
	return out, e.wrap("list orders", q.Err())
}

func (e *sqliteEngine) Purge(ctx context.Context, order string, before time.Time) (int, error) {
	n := int64(0)
	err := e.update(ctx, func(tx *sql.Tx) error {
		r, err := tx.ExecContext(ctx, "DELETE FROM contact WHERE ord = ? AND at < ?", order, before.UnixMicro())
		if err != nil {
			return err
		}
		if n, err = r.RowsAffected(); err != nil || n == 0 {
			return err
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM network WHERE id NOT IN (SELECT network FROM contact)"); err != nil {
			return err
		}
		return bump(ctx, tx)
	})
	if err != nil {
		return 0, e.wrap("purge contacts", err)
	}
	if n > 0 {
		// The journal holds copies of old pages: empty it, or purged addresses
		// would lie there until it is next written over. A reader in another
		// process can hold it up; the next purge or Close tries again.
		var busy, log, done int
		if err := e.db.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)").Scan(&busy, &log, &done); err != nil {
			return int(n), e.wrap("empty the journal after a purge", err)
		}
	}
	return int(n), nil
}

func (e *sqliteEngine) Version(ctx context.Context) (int64, error) {
	var n int64
	err := e.db.QueryRowContext(ctx, "SELECT n FROM version").Scan(&n)
	return n, e.wrap("read the version", err)
}

func (e *sqliteEngine) Close() error { return e.wrap("close the telemetry database", e.db.Close()) }
