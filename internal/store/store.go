// Package store is the document store that the rooms keep their state in: a
// document is a kind, an id, a revision, a body (JSON by custom) and the index
// fields that the writer declares by hand. The engines (sqlite, later postgres)
// know these five words and no more.
//
// What lives here: the interface, the limits that every engine keeps, and
// helpers that turn documents into values. What must not: a business rule, SQL,
// or a secret. The contract is the suite in storetest; an engine that passes it
// may be used for another.
package store

import (
	"context"
	"encoding/json"
	"fmt"
	"runtime"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/parallel"
	"github.com/impound/impound/internal/quickjson"
)

// Limits of every engine. They are what the narrowest engine can index.
const (
	MaxKey   = 512      // octets of a kind, an id, an index field or its value
	MaxBody  = 16 << 20 // octets of a body
	MaxIndex = 32       // index fields of a document
)

// Doc is one document.
type Doc struct {
	Kind, ID string
	Rev      int64             // 1 at first, one more with each Put
	Body     []byte            // opaque to the engines
	Index    map[string]string // what Query.Field can find it by
	Updated  time.Time         // when it was last put, UTC, to the microsecond; set by the engine
}

// Query asks for the documents of a kind. Field and Value, when Field is set,
// select those whose index field equals the value; a document without the field
// is never found by it. Results come in the order of ID by octets. After is the
// last id of the page before; Skip leaves so many out after that. Limit 0 means all.
// Bare leaves the index fields out
// of the results (Doc.Index is nil), which reads a long list in half the time.
type Query struct {
	Kind, Field, Value, After string
	Skip, Limit               int
	Bare                      bool
}

// Store is a document store, safe for concurrent use by goroutines, and by
// processes that opened the same one. Its errors are [impound.Error].
type Store interface {
	// View runs fn on a snapshot: nothing that others commit meanwhile shows.
	// Put and Delete in it are refused. The error of fn is returned as it is.
	View(ctx context.Context, fn func(Tx) error) error
	// Update runs fn in the one writing transaction; others wait. When fn
	// returns an error or panics, nothing of it stays. When Update returns nil
	// its changes are on the disk. fn must not call Update again, and may be
	// called only once: it can have effects of its own.
	Update(ctx context.Context, fn func(Tx) error) error
	// Version grows with every Update that changed something, in whichever
	// process it ran. Two equal versions mean nothing changed in between.
	Version(ctx context.Context) (int64, error)
	Close() error
}

// Tx is a transaction; it is good for one goroutine and until fn returns.
type Tx interface {
	// Get gives a document, or KindNotFound.
	Get(kind, id string) (Doc, error)
	// Put writes d and gives its new revision. d.Rev must be the stored
	// revision, 0 when there must be none; else KindConflict. d.Updated is
	// ignored. The index fields replace those that were.
	Put(d Doc) (int64, error)
	// Delete removes a document: KindNotFound when there is none, KindConflict
	// when rev is not the stored one. The id may be put again; its revisions
	// then begin at 1.
	Delete(kind, id string, rev int64) error
	// List gives the documents that q asks for.
	List(q Query) ([]Doc, error)
	// Count counts what List would give without After, Skip and Limit.
	Count(q Query) (int, error)
}

// Item is a document's value with its place in the store.
type Item[T any] struct {
	ID      string
	Rev     int64
	Index   map[string]string
	Updated time.Time
	Value   T
}

// Get gives a value and its revision, or KindNotFound.
func Get[T any](tx Tx, kind, id string) (T, int64, error) {
	var v T
	d, err := tx.Get(kind, id)
	if err != nil {
		return v, 0, err
	}
	if err := decode(d, &v); err != nil {
		return v, 0, err
	}
	return v, d.Rev, nil
}

// Put writes v as JSON; rev and index are as in [Tx].
func Put[T any](tx Tx, kind, id string, rev int64, v T, index map[string]string) (int64, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return 0, impound.Errorf(impound.KindInternal, "couldn't encode %s %s: %w", kind, id, err)
	}
	return tx.Put(Doc{Kind: kind, ID: id, Rev: rev, Body: b, Index: index})
}

// List gives the values that q asks for.
func List[T any](tx Tx, q Query) ([]Item[T], error) {
	docs, err := tx.List(q)
	if err != nil {
		return nil, err
	}
	out := make([]Item[T], len(docs))
	err = parallel.Each(len(docs), func(i int) error {
		d := docs[i]
		out[i] = Item[T]{ID: d.ID, Rev: d.Rev, Index: d.Index, Updated: d.Updated}
		return decode(d, &out[i].Value)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// Values is List for those who need no revisions.
func Values[T any](tx Tx, q Query) ([]T, error) {
	q.Bare = true
	if e, ok := tx.(eacher); ok {
		return valuesAlong[T](e, q)
	}
	docs, err := tx.List(q)
	if err != nil {
		return nil, err
	}
	out := make([]T, len(docs))
	if err := parallel.Each(len(docs), func(i int) error { return decode(docs[i], &out[i]) }); err != nil {
		return nil, err
	}
	return out, nil
}

// eacher is an engine that gives the documents of a list one after the other.
type eacher interface {
	Each(q Query, fn func(Doc)) error
}

// valuesAlong decodes by goroutines of its own while the engine goes on reading.
func valuesAlong[T any](e eacher, q Query) ([]T, error) {
	type part struct {
		docs []Doc
		out  []T
		err  error
	}
	read := func(p *part) {
		p.out = make([]T, len(p.docs))
		for i, d := range p.docs {
			if p.err = decode(d, &p.out[i]); p.err != nil {
				return
			}
		}
		p.docs = nil
	}
	var parts []*part
	var todo chan *part
	var wg sync.WaitGroup
	p := &part{}
	err := e.Each(q, func(d Doc) {
		if p.docs = append(p.docs, d); len(p.docs) < parallel.Few {
			return
		}
		if todo == nil {
			todo = make(chan *part, 1024)
			for range runtime.GOMAXPROCS(0) {
				wg.Go(func() {
					for p := range todo {
						read(p)
					}
				})
			}
		}
		todo <- p
		parts = append(parts, p)
		p = &part{docs: make([]Doc, 0, parallel.Few)}
	})
	if todo != nil {
		close(todo)
	}
	read(p)
	parts = append(parts, p)
	wg.Wait()
	if err != nil {
		return nil, err
	}
	n := 0
	for _, p := range parts {
		if p.err != nil {
			return nil, p.err
		}
		n += len(p.out)
	}
	out := make([]T, 0, n)
	for _, p := range parts {
		out = append(out, p.out...)
	}
	return out, nil
}

// counter is an engine that counts by the values of a field without reading the
// documents.
type counter interface {
	CountBy(q Query, field string) (map[string]int, error)
}

// CountBy counts what q selects (After and Limit aside) by the value of an index
// field; documents without the field are not counted.
func CountBy(tx Tx, q Query, field string) (map[string]int, error) {
	if c, ok := tx.(counter); ok {
		return c.CountBy(q, field)
	}
	docs, err := tx.List(Query{Kind: q.Kind, Field: q.Field, Value: q.Value})
	if err != nil {
		return nil, err
	}
	out := map[string]int{}
	for _, d := range docs {
		if v, ok := d.Index[field]; ok {
			out[v]++
		}
	}
	return out, nil
}

// versioner is an engine that knows when a kind was changed last.
type versioner interface {
	VersionOf(ctx context.Context, kinds ...string) (string, error)
}

// ider is an engine that gives ids without reading the documents.
type ider interface {
	IDs(q Query) ([]string, error)
}

// IDs gives the ids of what q selects (After, Skip and Limit aside), in their order.
func IDs(tx Tx, q Query) ([]string, error) {
	q = Query{Kind: q.Kind, Field: q.Field, Value: q.Value, Bare: true}
	if e, ok := tx.(ider); ok {
		return e.IDs(q)
	}
	docs, err := tx.List(q)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, d := range docs {
		out = append(out, d.ID)
	}
	return out, nil
}

// VersionOf gives a word that is another after every Update that changed a
// document of one of kinds, in whichever process it ran. What was read after it
// was asked for, and kept with it, is not stale while the word is the same.
func VersionOf(ctx context.Context, s Store, kinds ...string) (string, error) {
	if v, ok := s.(versioner); ok {
		return v.VersionOf(ctx, kinds...)
	}
	v, err := s.Version(ctx)
	return fmt.Sprint(v), err
}

// Modify reads a value (the zero one when there is none), lets fn change it,
// and puts it back. fn also gives the index fields of the new value. It is for
// use in an Update, where nobody can come between.
func Modify[T any](tx Tx, kind, id string, fn func(v *T) (index map[string]string, err error)) (int64, error) {
	v, rev, err := Get[T](tx, kind, id)
	if err != nil && impound.KindOf(err) != impound.KindNotFound {
		return 0, err
	}
	index, err := fn(&v)
	if err != nil {
		return 0, err
	}
	return Put(tx, kind, id, rev, v, index)
}

// Decode reads a document's value into v, which points to a zero one.
func Decode(d Doc, v any) error { return decode(d, v) }

func decode(d Doc, v any) error {
	if err := quickjson.Unmarshal(d.Body, v); err != nil {
		return impound.Errorf(impound.KindInternal, "couldn't read the stored %s: %w", d.Kind, err).At(d.Kind + "/" + d.ID).
			WithCure("the stored document is damaged or was written by another version: restore the state folder from a backup")
	}
	return nil
}

// CheckDoc says whether d keeps the limits; engines call it first in Put.
func CheckDoc(d Doc) error {
	if err := CheckKey("kind", d.Kind); err != nil {
		return err
	}
	if err := CheckKey("id", d.ID); err != nil {
		return err
	}
	if d.Rev < 0 {
		return impound.Errorf(impound.KindInvalid, "revision %d is below 0", d.Rev).At(d.Kind + "/" + d.ID)
	}
	if len(d.Body) > MaxBody {
		return impound.Errorf(impound.KindInvalid, "the document is %d octets long: at most %d are stored", len(d.Body), MaxBody).At(d.Kind + "/" + d.ID).
			WithCure("keep large content as an artefact of the evidence log and store its hash")
	}
	if len(d.Index) > MaxIndex {
		return impound.Errorf(impound.KindInvalid, "%d index fields: at most %d", len(d.Index), MaxIndex).At(d.Kind + "/" + d.ID)
	}
	for f, v := range d.Index {
		if err := CheckKey("index field", f); err != nil {
			return err
		}
		if v == "" { // an empty value is a value: "no case yet"
			continue
		}
		if err := CheckKey("value of index field "+f, v); err != nil {
			return err
		}
	}
	return nil
}

// CheckQuery says whether q makes sense; engines call it first in List and Count.
func CheckQuery(q Query) error {
	if err := CheckKey("kind", q.Kind); err != nil {
		return err
	}
	if q.Field == "" && q.Value != "" {
		return impound.Errorf(impound.KindInvalid, "a value without a field to find it in")
	}
	if q.Limit < 0 {
		return impound.Errorf(impound.KindInvalid, "limit %d is below 0", q.Limit)
	}
	if q.Skip < 0 {
		return impound.Errorf(impound.KindInvalid, "%d documents can't be left out", q.Skip)
	}
	return nil
}

// CheckKey says whether s can be a key: not empty, at most [MaxKey] octets,
// UTF-8 without NUL.
func CheckKey(what, s string) error {
	switch {
	case s == "":
		return impound.Errorf(impound.KindInvalid, "the %s of a document is empty", what)
	case len(s) > MaxKey:
		return impound.Errorf(impound.KindInvalid, "the %s is %d octets long: at most %d are stored", what, len(s), MaxKey).At(fmt.Sprintf("%.40q...", s))
	case !utf8.ValidString(s):
		return impound.Errorf(impound.KindInvalid, "the %s is not UTF-8", what).At(fmt.Sprintf("%.40q", s))
	}
	for i := range len(s) {
		if s[i] == 0 {
			return impound.Errorf(impound.KindInvalid, "the %s holds a NUL", what).At(fmt.Sprintf("%.40q", s))
		}
	}
	return nil
}

// NotFound, Conflict and ReadOnly are the errors of every engine, so that they
// read alike.
func NotFound(kind, id string) error {
	return impound.Errorf(impound.KindNotFound, "no such %s: %s", kind, id)
}

// Conflict: see NotFound. stored is 0 when there is no such document.
func Conflict(kind, id string, given, stored int64) error {
	e := impound.Errorf(impound.KindConflict, "%s %s changed meanwhile: revision %d was given, %d is stored", kind, id, given, stored)
	switch {
	case given == 0:
		e.Msg = fmt.Sprintf("%s %s exists already", kind, id)
	case stored == 0:
		e.Msg = fmt.Sprintf("%s %s was deleted meanwhile", kind, id)
	}
	return e.WithCure("read it again, and repeat the change on what it says now")
}

// ReadOnly: see NotFound.
func ReadOnly() error {
	return impound.Errorf(impound.KindInternal, "a change inside View: use Update")
}
