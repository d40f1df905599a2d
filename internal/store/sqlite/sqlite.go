// Package sqlite is the [store.Store] on one SQLite file (modernc.org/sqlite,
// pure Go). It is the engine of a single site: several processes may have the
// file open at once, on one machine and a local disk (WAL does not work over
// network file systems).
//
// What lives here: SQL, migrations, and what SQLite's errors mean in plain
// words. What must not: a business rule, or knowledge of any kind of document.
//
// Durability: journal_mode=WAL with synchronous=FULL, so an Update that returned
// nil survives the death of the process and a power cut; one that did not return
// is there whole or not at all. The database is not trusted as proof of
// anything: whoever can write the file can change it, and the evidence log is
// what that is checked against.
package sqlite

import (
	"context"
	"database/sql"
	"embed"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/crashpoint"
	"github.com/impound/impound/internal/store"
	"modernc.org/sqlite"
	lib "modernc.org/sqlite/lib"
)

// applicationID marks the file as ours in SQLite's header: "imp1".
const applicationID = 0x696d7031

// busyTimeout is how long a writer waits for another process.
const busyTimeout = 10 * time.Second

//go:embed migrations/*.sql
var migrations embed.FS

// Options of [Open].
type Options struct {
	Now func() time.Time // nil = time.Now; stamps Doc.Updated
}

// Store implements [store.Store].
type Store struct {
	path string
	now  func() time.Time
	w, r *sql.DB
}

var _ store.Store = (*Store)(nil)

// Open opens the database at path, creating it (mode 0600; its folder must
// exist) and bringing its schema up to date. A folder that can't be written, a
// full disk, a file that is no database or damaged, and a schema newer than this
// program are each an [impound.Error] that says so.
func Open(ctx context.Context, path string, o Options) (*Store, error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't find the database: %w", err).At(path)
	}
	// SQLite would make the file world-readable; -wal and -shm copy its mode.
	f, err := os.OpenFile(abs, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, openError(abs, err)
	}
	f.Close()
	s := &Store{path: abs, now: o.Now}
	if s.w, err = sql.Open("sqlite", dsn(abs, "immediate")); err != nil {
		return nil, s.fault("open", err)
	}
	if s.r, err = sql.Open("sqlite", dsn(abs, "deferred")); err != nil {
		s.w.Close()
		return nil, s.fault("open", err)
	}
	s.w.SetMaxOpenConns(1)
	s.w.SetMaxIdleConns(1)
	s.r.SetMaxOpenConns(max(4, 2*runtime.GOMAXPROCS(0)))
	s.r.SetMaxIdleConns(4)
	if err := s.start(ctx); err != nil {
		s.Close()
		return nil, err
	}
	return s, nil
}

func dsn(path, lock string) string {
	q := url.Values{"_txlock": {lock}, "_pragma": {
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()),
		"foreign_keys(1)", "synchronous(FULL)", "trusted_schema(0)",
	}}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: q.Encode()}).String()
}

// start turns WAL on and migrates. Turning WAL on needs the file for oneself
// and does not wait by the busy timeout, so two processes that start at once
// try again.
func (s *Store) start(ctx context.Context) error {
	var err error
	for deadline := time.Now().Add(busyTimeout); ; {
		var mode string
		err = s.w.QueryRowContext(ctx, "PRAGMA journal_mode=WAL").Scan(&mode)
		if err == nil && mode != "wal" {
			return impound.Errorf(impound.KindUnavailable, "this file system can't share a database between processes (journal mode %s)", mode).At(s.path).
				WithCure("put the state folder on a local disk")
		}
		if err == nil {
			break
		}
		if c := code(err) & 0xff; (c != lib.SQLITE_BUSY && c != lib.SQLITE_LOCKED) || time.Now().After(deadline) {
			return s.fault("open", err)
		}
		select {
		case <-ctx.Done():
			return s.fault("open", ctx.Err())
		case <-time.After(20 * time.Millisecond):
		}
	}
	return s.migrate(ctx)
}

// migrate brings the schema up to date in one transaction: all or nothing.
func (s *Store) migrate(ctx context.Context) error {
	steps, err := fs.Glob(migrations, "migrations/*.sql") // sorted
	if err != nil {
		return err
	}
	tx, err := s.w.BeginTx(ctx, nil)
	if err != nil {
		return s.fault("open", err)
	}
	defer tx.Rollback()
	have, err := s.schema(ctx, tx)
	if err != nil {
		return err
	}
	if have > len(steps) {
		return impound.Errorf(impound.KindInvalid, "the database was written by a newer impound: its schema is %d, this program knows up to %d", have, len(steps)).At(s.path).
			WithCure("run the newer impound, or restore the backup from before the upgrade")
	}
	if have == len(steps) {
		return nil
	}
	if have == 0 {
		if _, err := tx.ExecContext(ctx, fmt.Sprintf(`PRAGMA application_id=%d;
			CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
			INSERT INTO meta VALUES ('schema', 0), ('version', 0)`, applicationID)); err != nil {
			return s.fault("create", err)
		}
	}
	for i := have; i < len(steps); i++ {
		b, err := migrations.ReadFile(steps[i])
		if err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, string(b)); err != nil {
			return s.fault("migrate (step "+filepath.Base(steps[i])+")", err)
		}
	}
	if _, err := tx.ExecContext(ctx, "UPDATE meta SET value=? WHERE key='schema'", len(steps)); err != nil {
		return s.fault("migrate", err)
	}
	if err := tx.Commit(); err != nil {
		return s.fault("migrate", err)
	}
	return nil
}

// schema gives the schema's number, 0 for a new file.
func (s *Store) schema(ctx context.Context, tx *sql.Tx) (int, error) {
	var app, tables int
	if err := tx.QueryRowContext(ctx, "PRAGMA application_id").Scan(&app); err != nil {
		return 0, s.fault("read", err)
	}
	if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&tables); err != nil {
		return 0, s.fault("read", err)
	}
	if app == 0 && tables == 0 {
		return 0, nil
	}
	if app != applicationID {
		return 0, impound.Errorf(impound.KindInvalid, "this is a database of some other program").At(s.path).
			WithCure("give another state folder, or move the file away")
	}
	var n int
	if err := tx.QueryRowContext(ctx, "SELECT value FROM meta WHERE key='schema'").Scan(&n); err != nil {
		return 0, s.fault("read the schema of", err)
	}
	return n, nil
}

// Close closes the database. Transactions that run are waited for.
func (s *Store) Close() error {
	// The readers first: the last connection to close tidies the WAL away, and
	// it must be one that may write.
	err := s.r.Close()
	if err2 := s.w.Close(); err == nil {
		err = err2
	}
	if err != nil {
		return s.fault("close", err)
	}
	return nil
}

// Check reads the whole file and says whether it is sound.
func (s *Store) Check(ctx context.Context) error {
	var msg string
	if err := s.r.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&msg); err != nil {
		return s.fault("check", err)
	}
	if msg != "ok" {
		return s.damaged(errors.New(msg))
	}
	return nil
}

// Version implements [store.Store].
func (s *Store) Version(ctx context.Context) (int64, error) {
	var v int64
	if err := s.r.QueryRowContext(ctx, "SELECT value FROM meta WHERE key='version'").Scan(&v); err != nil {
		return 0, s.fault("read", err)
	}
	return v, nil
}

// View implements [store.Store].
func (s *Store) View(ctx context.Context, fn func(store.Tx) error) error {
	t, err := s.r.BeginTx(ctx, nil)
	if err != nil {
		return s.fault("read", err)
	}
	defer t.Rollback()
	return fn(&tx{s: s, ctx: ctx, t: t})
}

// Update implements [store.Store].
func (s *Store) Update(ctx context.Context, fn func(store.Tx) error) error {
	t, err := s.w.BeginTx(ctx, nil)
	if err != nil {
		return s.fault("write", err)
	}
	defer t.Rollback() // no effect after Commit; also when fn panics
	x := &tx{s: s, ctx: ctx, t: t, writes: true}
	if err := fn(x); err != nil {
		return err
	}
	if x.failed != nil { // fn swallowed an error of the engine: half a change must not stay
		return x.failed
	}
	if len(x.changed) == 0 {
		return nil
	}
	if err := x.grow(); err != nil {
		return err
	}
	crashpoint.Pass("store: commit")
	if err := t.Commit(); err != nil {
		return s.fault("write", err)
	}
	crashpoint.Pass("store: committed")
	return nil
}

type tx struct {
	s       *Store
	ctx     context.Context
	t       *sql.Tx
	writes  bool
	changed map[string]bool // kinds
	failed  error
	stmts   map[string]*sql.Stmt
}

// stmt prepares a statement once for the transaction, which closes it: in a
// change of 10,000 documents the preparing would cost more than the doing.
func (x *tx) stmt(query string) (*sql.Stmt, error) {
	if s := x.stmts[query]; s != nil {
		return s, nil
	}
	s, err := x.t.PrepareContext(x.ctx, query)
	if err != nil {
		return nil, err
	}
	if x.stmts == nil {
		x.stmts = map[string]*sql.Stmt{}
	}
	x.stmts[query] = s
	return s, nil
}

func (x *tx) exec(query string, args ...any) error {
	s, err := x.stmt(query)
	if err == nil {
		_, err = s.ExecContext(x.ctx, args...)
	}
	return err
}

// row is a *sql.Row, or why there is none.
type row struct {
	r   *sql.Row
	err error
}

func (r row) Scan(dest ...any) error {
	if r.err != nil {
		return r.err
	}
	return r.r.Scan(dest...)
}

func (x *tx) queryRow(query string, args ...any) row {
	s, err := x.stmt(query)
	if err != nil {
		return row{err: err}
	}
	return row{r: s.QueryRowContext(x.ctx, args...)}
}

// touch notes that a document of kind changed.
func (x *tx) touch(kind string) {
	if x.changed == nil {
		x.changed = map[string]bool{}
	}
	x.changed[kind] = true
}

// grow moves the version on, and that of the kinds that changed. "kinds" is up to
// which version kinds were noted: where it lags, an older program wrote, which
// noted none, and "kinds-floor" says that every kind may have changed until then.
func (x *tx) grow() error {
	m, err := x.s.meta(x.ctx, x.t, "version", "kinds")
	if err != nil {
		return err
	}
	set := func(key string, v int64) {
		if err == nil {
			_, err = x.t.ExecContext(x.ctx, "INSERT INTO meta (key, value) VALUES (?, ?) ON CONFLICT (key) DO UPDATE SET value=excluded.value", key, v)
		}
	}
	v := m["version"]
	if m["kinds"] != v {
		set("kinds-floor", v)
	}
	set("version", v+1)
	set("kinds", v+1)
	for k := range x.changed {
		set("kind/"+k, v+1)
	}
	if err != nil {
		return x.s.fault("write", err)
	}
	return nil
}

// meta reads numbers of the table meta; what is not there is left out.
func (s *Store) meta(ctx context.Context, q interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}, keys ...string) (map[string]int64, error) {
	args := make([]any, len(keys))
	for i, k := range keys {
		args[i] = k
	}
	rows, err := q.QueryContext(ctx, "SELECT key, value FROM meta WHERE key IN (?"+strings.Repeat(",?", len(keys)-1)+")", args...)
	if err != nil {
		return nil, s.fault("read", err)
	}
	defer rows.Close()
	out := map[string]int64{}
	for rows.Next() {
		var k string
		var v int64
		if err := rows.Scan(&k, &v); err != nil {
			return nil, s.fault("read", err)
		}
		out[k] = v
	}
	if err := rows.Err(); err != nil {
		return nil, s.fault("read", err)
	}
	return out, nil
}

// VersionOf is what [store.VersionOf] asks.
func (s *Store) VersionOf(ctx context.Context, kinds ...string) (string, error) {
	keys := []string{"version", "kinds", "kinds-floor"}
	for _, k := range kinds {
		keys = append(keys, "kind/"+k)
	}
	m, err := s.meta(ctx, s.r, keys...)
	if err != nil {
		return "", err
	}
	if m["kinds"] != m["version"] {
		return fmt.Sprint(m["version"]), nil
	}
	w := "kinds"
	for _, k := range kinds {
		w += fmt.Sprintf(" %d", max(m["kind/"+k], m["kinds-floor"]))
	}
	return w, nil
}

// fault notes an engine's error, so that the transaction can't be committed.
func (x *tx) fault(do string, err error) error {
	err = x.s.fault(do, err)
	if x.failed == nil {
		x.failed = err
	}
	return err
}

const (
	bareColumns = `d.id, d.rev, d.updated, d.body, '{}'`
	docColumns  = `d.id, d.rev, d.updated, d.body,
	(SELECT json_group_object(i.field, i.value) FROM doc_index i WHERE i.kind=d.kind AND i.id=d.id)`
)

func scan(kind string, row interface{ Scan(...any) error }) (store.Doc, error) {
	d := store.Doc{Kind: kind}
	var updated int64
	var index string
	if err := row.Scan(&d.ID, &d.Rev, &updated, &d.Body, &index); err != nil {
		return d, err
	}
	d.Updated = time.UnixMicro(updated).UTC()
	if index != "{}" {
		if err := json.Unmarshal([]byte(index), &d.Index); err != nil {
			return d, err
		}
	}
	return d, nil
}

func (x *tx) Get(kind, id string) (store.Doc, error) {
	d, err := scan(kind, x.queryRow("SELECT "+docColumns+" FROM docs d WHERE d.kind=? AND d.id=?", kind, id))
	if errors.Is(err, sql.ErrNoRows) {
		return store.Doc{}, store.NotFound(kind, id)
	}
	if err != nil {
		return store.Doc{}, x.fault("read", err)
	}
	return d, nil
}

// rev gives the stored revision, 0 when there is none, and the index fields.
func (x *tx) rev(kind, id string) (int64, map[string]string, error) {
	var rev int64
	var index string
	err := x.queryRow("SELECT d.rev, (SELECT json_group_object(i.field, i.value) FROM doc_index i WHERE i.kind=d.kind AND i.id=d.id) FROM docs d WHERE d.kind=? AND d.id=?", kind, id).Scan(&rev, &index)
	if errors.Is(err, sql.ErrNoRows) {
		return 0, nil, nil
	}
	var have map[string]string
	if err == nil && index != "{}" {
		err = json.Unmarshal([]byte(index), &have)
	}
	if err != nil {
		return 0, nil, x.fault("read", err)
	}
	return rev, have, nil
}

func (x *tx) Put(d store.Doc) (int64, error) {
	if !x.writes {
		return 0, store.ReadOnly()
	}
	if err := store.CheckDoc(d); err != nil {
		return 0, err
	}
	stored, have, err := x.rev(d.Kind, d.ID)
	if err != nil {
		return 0, err
	}
	if stored != d.Rev {
		return 0, store.Conflict(d.Kind, d.ID, d.Rev, stored)
	}
	body := d.Body
	if body == nil {
		body = []byte{}
	}
	now := x.s.now().UnixMicro()
	if stored == 0 {
		err = x.exec("INSERT INTO docs (kind, id, rev, updated, body) VALUES (?, ?, 1, ?, ?)", d.Kind, d.ID, now, body)
	} else {
		err = x.exec("UPDATE docs SET rev=rev+1, updated=?, body=? WHERE kind=? AND id=?", now, body, d.Kind, d.ID)
	}
	if err != nil {
		return 0, x.fault("write", err)
	}
	// Of the index what changed alone is written.
	for f := range have {
		if _, ok := d.Index[f]; !ok {
			if err := x.exec("DELETE FROM doc_index WHERE kind=? AND id=? AND field=?", d.Kind, d.ID, f); err != nil {
				return 0, x.fault("write", err)
			}
		}
	}
	for f, v := range d.Index {
		was, ok := have[f]
		if ok && was == v {
			continue
		}
		if err := x.exec("INSERT INTO doc_index (kind, id, field, value) VALUES (?, ?, ?, ?) ON CONFLICT (kind, id, field) DO UPDATE SET value=excluded.value", d.Kind, d.ID, f, v); err != nil {
			return 0, x.fault("write", err)
		}
	}
	x.touch(d.Kind)
	return stored + 1, nil
}

func (x *tx) Delete(kind, id string, rev int64) error {
	if !x.writes {
		return store.ReadOnly()
	}
	stored, _, err := x.rev(kind, id)
	switch {
	case err != nil:
		return err
	case stored == 0:
		return store.NotFound(kind, id)
	case stored != rev:
		e := store.Conflict(kind, id, rev, stored)
		if rev == 0 {
			return impound.Errorf(impound.KindConflict, "%s %s can't be deleted without its revision, %d", kind, id, stored)
		}
		return e
	}
	if err := x.exec("DELETE FROM docs WHERE kind=? AND id=?", kind, id); err != nil {
		return x.fault("write", err)
	}
	x.touch(kind)
	return nil
}

// where selects what q is for. The index alone says enough for counting: it has
// rows of documents that are there only.
func where(q store.Query, count bool) (string, []any) {
	if q.Field != "" && count {
		return "FROM doc_index x WHERE x.kind=? AND x.field=? AND x.value=?", []any{q.Kind, q.Field, q.Value}
	}
	if q.Field == "" {
		return "FROM docs d WHERE d.kind=?", []any{q.Kind}
	}
	return "FROM doc_index x JOIN docs d ON d.kind=x.kind AND d.id=x.id WHERE x.kind=? AND x.field=? AND x.value=?", []any{q.Kind, q.Field, q.Value}
}

func (x *tx) List(q store.Query) ([]store.Doc, error) {
	var out []store.Doc
	err := x.Each(q, func(d store.Doc) { out = append(out, d) })
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Each is what [store.Values] asks: it gives each document as soon as it is read.
func (x *tx) Each(q store.Query, fn func(store.Doc)) error {
	if err := store.CheckQuery(q); err != nil {
		return err
	}
	from, args := where(q, false)
	col := "d.id"
	if q.Field != "" {
		col = "x.id"
	}
	columns := docColumns
	if q.Bare {
		columns = bareColumns
	}
	stmt := "SELECT " + columns + " " + from
	if q.After != "" {
		stmt += " AND " + col + ">?"
		args = append(args, q.After)
	}
	stmt += " ORDER BY " + col
	if q.Limit > 0 || q.Skip > 0 {
		limit := q.Limit
		if limit == 0 {
			limit = -1 // all
		}
		// Not a bare parameter: SQLite looks at its value while it plans, and plans the
		// statement anew for each value that is bound.
		stmt += " LIMIT 0+? OFFSET 0+?"
		args = append(args, limit, q.Skip)
	}
	prepared, err := x.stmt(stmt) // one like it may run for every document of a change
	if err != nil {
		return x.fault("read", err)
	}
	rows, err := prepared.QueryContext(x.ctx, args...)
	if err != nil {
		return x.fault("read", err)
	}
	defer rows.Close()
	for rows.Next() {
		d, err := scan(q.Kind, rows)
		if err != nil {
			return x.fault("read", err)
		}
		fn(d)
	}
	if err := rows.Err(); err != nil {
		return x.fault("read", err)
	}
	return nil
}

// IDs is what [store.IDs] asks: the index alone is read.
func (x *tx) IDs(q store.Query) ([]string, error) {
	if err := store.CheckQuery(q); err != nil {
		return nil, err
	}
	from, args := where(q, true)
	col := "d.id"
	if q.Field != "" {
		col = "x.id"
	}
	stmt, err := x.stmt("SELECT " + col + " " + from + " ORDER BY " + col)
	if err != nil {
		return nil, x.fault("read", err)
	}
	rows, err := stmt.QueryContext(x.ctx, args...)
	if err != nil {
		return nil, x.fault("read", err)
	}
	defer rows.Close()
	var out []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, x.fault("read", err)
		}
		out = append(out, id)
	}
	if err := rows.Err(); err != nil {
		return nil, x.fault("read", err)
	}
	return out, nil
}

func (x *tx) Count(q store.Query) (int, error) {
	if err := store.CheckQuery(q); err != nil {
		return 0, err
	}
	from, args := where(q, true)
	var n int
	if err := x.t.QueryRowContext(x.ctx, "SELECT count(*) "+from, args...).Scan(&n); err != nil {
		return 0, x.fault("read", err)
	}
	return n, nil
}

// CountBy is what [store.CountBy] asks: the index alone is read.
func (x *tx) CountBy(q store.Query, field string) (map[string]int, error) {
	if err := store.CheckQuery(q); err != nil {
		return nil, err
	}
	stmt, args := "SELECT y.value, count(*) FROM doc_index y WHERE y.kind=? AND y.field=? GROUP BY y.value", []any{q.Kind, field}
	if q.Field != "" {
		stmt = `SELECT y.value, count(*) FROM doc_index x JOIN doc_index y ON y.kind=x.kind AND y.id=x.id AND y.field=?
			WHERE x.kind=? AND x.field=? AND x.value=? GROUP BY y.value`
		args = []any{field, q.Kind, q.Field, q.Value}
	}
	rows, err := x.t.QueryContext(x.ctx, stmt, args...)
	if err != nil {
		return nil, x.fault("read", err)
	}
	defer rows.Close()
	out := map[string]int{}
	for rows.Next() {
		var v string
		var n int
		if err := rows.Scan(&v, &n); err != nil {
			return nil, x.fault("read", err)
		}
		out[v] = n
	}
	if err := rows.Err(); err != nil {
		return nil, x.fault("read", err)
	}
	return out, nil
}

func code(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// fault says in plain words what SQLite means. do is the verb: "couldn't do the
// database".
func (s *Store) fault(do string, err error) error {
	e := impound.Errorf(impound.KindUnavailable, "couldn't %s the database: %w", do, err).At(s.path)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return e
	}
	switch code(err) & 0xff {
	case lib.SQLITE_FULL:
		return e.WithCure("the disk is full: free some space and try again; nothing was changed")
	case lib.SQLITE_READONLY, lib.SQLITE_PERM:
		return e.WithCure("the file or its folder can't be written: check owner and mode of " + filepath.Dir(s.path))
	case lib.SQLITE_CANTOPEN:
		return e.WithCure("the file or its folder can't be opened: check that " + filepath.Dir(s.path) + " exists and is yours to write")
	case lib.SQLITE_BUSY, lib.SQLITE_LOCKED:
		return e.WithCure("another process is writing and did not finish in " + busyTimeout.String() + ": try again, or see what holds it with: fuser " + s.path)
	case lib.SQLITE_IOERR:
		return e.WithCure("the disk gave an error: look at dmesg, and check the disk before going on")
	case lib.SQLITE_CORRUPT, lib.SQLITE_NOTADB:
		return s.damaged(err)
	case 0:
		if strings.Contains(err.Error(), "database is closed") {
			e.Kind = impound.KindInternal
		}
		return e
	}
	e.Kind = impound.KindInternal
	return e
}

func (s *Store) damaged(err error) error {
	return impound.Errorf(impound.KindInternal, "the database is damaged or is no database: %w", err).At(s.path).
		WithCure("restore it from a backup, keeping the damaged file for study; the evidence log does not depend on it")
}

func openError(path string, err error) error {
	e := impound.Errorf(impound.KindUnavailable, "couldn't open the database: %w", err).At(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return e.WithCure("make the folder first: mkdir -p " + filepath.Dir(path))
	case errors.Is(err, fs.ErrPermission):
		return e.WithCure("the file or its folder can't be written: check owner and mode of " + filepath.Dir(path))
	}
	return e.WithCure("check that " + filepath.Dir(path) + " is a folder on a disk that can be written and is not full")
}
