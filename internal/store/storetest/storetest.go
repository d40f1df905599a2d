// Package storetest is the contract of [store.Store] as a test suite. Every
// engine runs it; what it does not ask for, no room may rely on.
//
// What lives here: the suite. What must not: anything about one engine.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
	"pgregory.net/rapid"
)

// Opener opens a store. Called twice with one place it gives two handles on
// the same documents; now is the clock to stamp them with.
type Opener func(t testing.TB, place string, now func() time.Time) store.Store

// Run runs the suite. place makes a new, empty place.
func Run(t *testing.T, place func(t testing.TB) string, open Opener) {
	t.Run("Basics", func(t *testing.T) { basics(t, place, open) })
	t.Run("Limits", func(t *testing.T) { limits(t, place, open) })
	t.Run("Index", func(t *testing.T) { index(t, place, open) })
	t.Run("Pages", func(t *testing.T) { pages(t, place, open) })
	t.Run("Rollback", func(t *testing.T) { rollback(t, place, open) })
	t.Run("ReadOnlyView", func(t *testing.T) { readOnlyView(t, place, open) })
	t.Run("Snapshot", func(t *testing.T) { snapshot(t, place, open) })
	t.Run("Version", func(t *testing.T) { version(t, place, open) })
	t.Run("Concurrent", func(t *testing.T) { concurrent(t, place, open) })
	t.Run("TwoHandles", func(t *testing.T) { twoHandles(t, place, open) })
	t.Run("Reopen", func(t *testing.T) { reopen(t, place, open) })
	t.Run("Cancel", func(t *testing.T) { cancel(t, place, open) })
	t.Run("Helpers", func(t *testing.T) { helpers(t, place, open) })
	t.Run("LongLists", func(t *testing.T) { longLists(t, place, open) })
	t.Run("KindVersions", func(t *testing.T) { kindVersions(t, place, open) })
	t.Run("Model", func(t *testing.T) { model(t, place, open) })
}

var ctx = context.Background()

var t0 = time.Date(2026, 3, 27, 9, 30, 0, 123456000, time.UTC)

func fixed() time.Time { return t0.In(time.FixedZone("", 3600)) }

func fresh(t testing.TB, place func(t testing.TB) string, open Opener) store.Store {
	t.Helper()
	s := open(t, place(t), fixed)
	t.Cleanup(func() { s.Close() })
	return s
}

func update(t testing.TB, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.Update(ctx, fn); err != nil {
		t.Fatalf("Update: %v", err)
	}
}

func view(t testing.TB, s store.Store, fn func(store.Tx) error) {
	t.Helper()
	if err := s.View(ctx, fn); err != nil {
		t.Fatalf("View: %v", err)
	}
}

func put(t testing.TB, s store.Store, d store.Doc) int64 {
	t.Helper()
	var rev int64
	update(t, s, func(tx store.Tx) (err error) { rev, err = tx.Put(d); return })
	return rev
}

func wantKind(t testing.TB, err error, k impound.Kind) {
	t.Helper()
	if got := impound.KindOf(err); got != k {
		t.Errorf("error %v is of kind %q, want %q", err, got, k)
	}
}

func ids(t testing.TB, s store.Store, q store.Query) []string {
	t.Helper()
	var out []string
	view(t, s, func(tx store.Tx) error {
		docs, err := tx.List(q)
		for _, d := range docs {
			out = append(out, d.ID)
		}
		return err
	})
	return out
}

func basics(t *testing.T, place func(t testing.TB) string, open Opener) {
	s := fresh(t, place, open)
	body := []byte("\x00\xff any octets\n")
	view(t, s, func(tx store.Tx) error {
		_, err := tx.Get("case", "C-1")
		wantKind(t, err, impound.KindNotFound)
		return nil
	})
	if rev := put(t, s, store.Doc{Kind: "case", ID: "C-1", Body: body, Index: map[string]string{"owner": "ana", "tlp": ""}}); rev != 1 {
		t.Errorf("first revision is %d, want 1", rev)
	}
	want := store.Doc{Kind: "case", ID: "C-1", Rev: 1, Body: body, Index: map[string]string{"owner": "ana", "tlp": ""}, Updated: t0}
	view(t, s, func(tx store.Tx) error {
		got, err := tx.Get("case", "C-1")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("Get (-want +got):\n%s", d)
		}
		if got.Updated.Location() != time.UTC {
			t.Errorf("Updated is in %s, want UTC", got.Updated.Location())
		}
		_, err2 := tx.Get("order", "C-1")
		wantKind(t, err2, impound.KindNotFound)
		return err
	})
	for _, rev := range []int64{0, 2, 7} {
		err := s.Update(ctx, func(tx store.Tx) error { _, err := tx.Put(store.Doc{Kind: "case", ID: "C-1", Rev: rev}); return err })
		wantKind(t, err, impound.KindConflict)
	}
	err := s.Update(ctx, func(tx store.Tx) error { _, err := tx.Put(store.Doc{Kind: "case", ID: "C-2", Rev: 1}); return err })
	wantKind(t, err, impound.KindConflict)
	if rev := put(t, s, store.Doc{Kind: "case", ID: "C-1", Rev: 1}); rev != 2 {
		t.Errorf("second revision is %d, want 2", rev)
	}
	view(t, s, func(tx store.Tx) error {
		got, err := tx.Get("case", "C-1")
		if d := cmp.Diff(store.Doc{Kind: "case", ID: "C-1", Rev: 2, Updated: t0}, got, cmpopts.EquateEmpty()); d != "" {
			t.Errorf("Get after Put without body and index (-want +got):\n%s", d)
		}
		return err
	})
	for rev, kind := range map[int64]impound.Kind{0: impound.KindConflict, 1: impound.KindConflict, 3: impound.KindConflict} {
		wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.Delete("case", "C-1", rev) }), kind)
	}
	wantKind(t, s.Update(ctx, func(tx store.Tx) error { return tx.Delete("case", "C-9", 1) }), impound.KindNotFound)
	update(t, s, func(tx store.Tx) error { return tx.Delete("case", "C-1", 2) })
	view(t, s, func(tx store.Tx) error {
		_, err := tx.Get("case", "C-1")
		wantKind(t, err, impound.KindNotFound)
		return nil
	})
	if rev := put(t, s, store.Doc{Kind: "case", ID: "C-1"}); rev != 1 {
		t.Errorf("revision after delete and put is %d, want 1", rev)
	}
	// A transaction sees its own changes.
	update(t, s, func(tx store.Tx) error {
		rev, err := tx.Put(store.Doc{Kind: "case", ID: "own", Index: map[string]string{"f": "1"}})
		if err != nil {
			return err
		}
		if rev, err = tx.Put(store.Doc{Kind: "case", ID: "own", Rev: rev, Index: map[string]string{"f": "2"}}); err != nil {
			return err
		}
		if n, err := tx.Count(store.Query{Kind: "case", Field: "f", Value: "2"}); n != 1 || err != nil {
			t.Errorf("Count inside Update is %d, %v; want 1", n, err)
		}
		return tx.Delete("case", "own", rev)
	})
}

func limits(t *testing.T, place func(t testing.TB) string, open Opener) {
	s := fresh(t, place, open)
	long := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = 'x'
		}
		return string(b)
	}
	many := map[string]string{}
	for i := range store.MaxIndex + 1 {
		many[fmt.Sprint("f", i)] = "v"
	}
	bad := map[string]store.Doc{
		"no kind":      {ID: "a"},
		"no id":        {Kind: "k"},
		"NUL in id":    {Kind: "k", ID: "a\x00b"},
		"id not UTF-8": {Kind: "k", ID: "a\xff"},
		"long id":      {Kind: "k", ID: long(store.MaxKey + 1)},
		"long kind":    {Kind: long(store.MaxKey + 1), ID: "a"},
		"long value":   {Kind: "k", ID: "a", Index: map[string]string{"f": long(store.MaxKey + 1)}},
		"no field":     {Kind: "k", ID: "a", Index: map[string]string{"": "v"}},
		"NUL in value": {Kind: "k", ID: "a", Index: map[string]string{"f": "\x00"}},
		"many fields":  {Kind: "k", ID: "a", Index: many},
		"revision":     {Kind: "k", ID: "a", Rev: -1},
		"long body":    {Kind: "k", ID: "a", Body: make([]byte, store.MaxBody+1)},
	}
	for name, d := range bad {
		t.Run(name, func(t *testing.T) {
			wantKind(t, s.Update(ctx, func(tx store.Tx) error { _, err := tx.Put(d); return err }), impound.KindInvalid)
		})
	}
	for name, q := range map[string]store.Query{"no kind": {}, "value without field": {Kind: "k", Value: "v"}, "limit": {Kind: "k", Limit: -1}, "skip": {Kind: "k", Skip: -1}} {
		t.Run("query "+name, func(t *testing.T) {
			wantKind(t, s.View(ctx, func(tx store.Tx) error { _, err := tx.List(q); return err }), impound.KindInvalid)
			wantKind(t, s.View(ctx, func(tx store.Tx) error { _, err := tx.Count(q); return err }), impound.KindInvalid)
		})
	}
	put(t, s, store.Doc{Kind: long(store.MaxKey), ID: long(store.MaxKey), Body: make([]byte, 1<<20), Index: map[string]string{long(store.MaxKey): long(store.MaxKey)}})
	// Text is text: nothing in it is SQL, JSON or a wildcard.
	for _, text := range []string{`'; DROP TABLE docs; --`, `a"b\c{}`, "%", "_", "привет", "a\nb", "Ａ"} {
		put(t, s, store.Doc{Kind: "k", ID: text, Index: map[string]string{text: text}})
		if d := cmp.Diff([]string{text}, ids(t, s, store.Query{Kind: "k", Field: text, Value: text})); d != "" {
			t.Errorf("List of %q (-want +got):\n%s", text, d)
		}
		view(t, s, func(tx store.Tx) error {
			d, err := tx.Get("k", text)
			if diff := cmp.Diff(map[string]string{text: text}, d.Index); diff != "" {
				t.Errorf("index of %q (-want +got):\n%s", text, diff)
			}
			return err
		})
	}
}

func index(t *testing.T, place func(t testing.TB) string, open Opener) {
	s := fresh(t, place, open)
	put(t, s, store.Doc{Kind: "d", ID: "1", Index: map[string]string{"case": "A", "state": "open"}})
	put(t, s, store.Doc{Kind: "d", ID: "2", Index: map[string]string{"case": "A"}})
	put(t, s, store.Doc{Kind: "d", ID: "3", Index: map[string]string{"case": "B", "state": "open"}})
	put(t, s, store.Doc{Kind: "e", ID: "4", Index: map[string]string{"case": "A"}})
	put(t, s, store.Doc{Kind: "d", ID: "5"})
	put(t, s, store.Doc{Kind: "d", ID: "6", Index: map[string]string{"case": ""}})
	tests := []struct {
		q    store.Query
		want []string
	}{
		{store.Query{Kind: "d"}, []string{"1", "2", "3", "5", "6"}},
		{store.Query{Kind: "d", Field: "case", Value: "A"}, []string{"1", "2"}},
		{store.Query{Kind: "d", Field: "case", Value: "a"}, nil},
		{store.Query{Kind: "d", Field: "case"}, []string{"6"}},
		{store.Query{Kind: "d", Field: "state", Value: "open"}, []string{"1", "3"}},
		{store.Query{Kind: "e", Field: "case", Value: "A"}, []string{"4"}},
		{store.Query{Kind: "none"}, nil},
	}
	for _, tt := range tests {
		if d := cmp.Diff(tt.want, ids(t, s, tt.q)); d != "" {
			t.Errorf("List(%+v) (-want +got):\n%s", tt.q, d)
		}
		view(t, s, func(tx store.Tx) error {
			n, err := tx.Count(tt.q)
			if n != len(tt.want) {
				t.Errorf("Count(%+v) is %d, want %d", tt.q, n, len(tt.want))
			}
			return err
		})
	}
	// A Put replaces every field; a Delete takes them away.
	put(t, s, store.Doc{Kind: "d", ID: "1", Rev: 1, Index: map[string]string{"case": "B"}})
	update(t, s, func(tx store.Tx) error { return tx.Delete("d", "2", 1) })
	if d := cmp.Diff([]string{"1", "3"}, ids(t, s, store.Query{Kind: "d", Field: "case", Value: "B"})); d != "" {
		t.Errorf("case B (-want +got):\n%s", d)
	}
	if got := ids(t, s, store.Query{Kind: "d", Field: "case", Value: "A"}); got != nil {
		t.Errorf("case A holds %q, want none", got)
	}
	if d := cmp.Diff([]string{"3"}, ids(t, s, store.Query{Kind: "d", Field: "state", Value: "open"})); d != "" {
		t.Errorf("state open (-want +got):\n%s", d)
	}
	put(t, s, store.Doc{Kind: "d", ID: "2"})
	if got := ids(t, s, store.Query{Kind: "d", Field: "case", Value: "A"}); got != nil {
		t.Errorf("case A holds %q after 2 came back without fields, want none", got)
	}
}

func pages(t *testing.T, place func(t testing.TB) string, open Opener) {
	s := fresh(t, place, open)
	// The order is by octets, whatever the locale: upper before lower, then
	// what is not ASCII.
	all := []string{"A", "B-10", "B-2", "Z", "a", "a.b", "a/b", "b", "z", "é", "я", "\U0001f600"}
	for i := range all {
		id := all[(i*7)%len(all)]
		put(t, s, store.Doc{Kind: "p", ID: id, Index: map[string]string{"all": "yes"}})
	}
	for _, field := range []string{"", "all"} {
		for limit := range len(all) + 2 {
			q := store.Query{Kind: "p", Field: field, Limit: limit}
			if field != "" {
				q.Value = "yes"
			}
			var got []string
			for {
				page := ids(t, s, q)
				if limit > 0 && len(page) > limit {
					t.Fatalf("a page of %d, limit %d", len(page), limit)
				}
				got = append(got, page...)
				if limit == 0 || len(page) == 0 {
					break
				}
				q.After = page[len(page)-1]
			}
			if d := cmp.Diff(all, got); d != "" {
				t.Errorf("field %q, limit %d (-want +got):\n%s", field, limit, d)
			}
			for skip := range len(all) + 2 {
				want := all[min(skip, len(all)):]
				if limit > 0 {
					want = want[:min(limit, len(want))]
				}
				q.After, q.Skip = "", skip
				if d := cmp.Diff(append([]string{}, want...), append([]string{}, ids(t, s, q)...)); d != "" {
					t.Errorf("field %q, limit %d, skip %d (-want +got):\n%s", field, limit, skip, d)
				}
			}
		}
	}
	view(t, s, func(tx store.Tx) error {
		n, err := tx.Count(store.Query{Kind: "p", After: "a", Skip: 1, Limit: 2})
		if n != len(all) {
			t.Errorf("Count is %d, want %d: After, Skip and Limit don't matter", n, len(all))
		}
		return err
	})
	if d := cmp.Diff([]string{"a/b"}, ids(t, s, store.Query{Kind: "p", After: "a!", Skip: 1, Limit: 1})); d != "" {
		t.Errorf("After an id, one left out (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"a.b", "a/b"}, ids(t, s, store.Query{Kind: "p", After: "a!", Limit: 2})); d != "" {
		t.Errorf("After an id that is not there (-want +got):\n%s", d)
	}
}

func rollback(t *testing.T, place func(t testing.TB) string, open Opener) {
	s := fresh(t, place, open)
	put(t, s, store.Doc{Kind: "r", ID: "keep", Body: []byte("1"), Index: map[string]string{"f": "v"}})
	v, _ := s.Version(ctx)
	change := func(tx store.Tx) {
		if _, err := tx.Put(store.Doc{Kind: "r", ID: "new"}); err != nil {
			t.Error(err)
		}
		if _, err := tx.Put(store.Doc{Kind: "r", ID: "keep", Rev: 1, Body: []byte("2")}); err != nil {
			t.Error(err)
		}
	}
	check := func(after string) {
		t.Helper()
		if d := cmp.Diff([]string{"keep"}, ids(t, s, store.Query{Kind: "r", Field: "f", Value: "v"})); d != "" {
			t.Errorf("%s (-want +got):\n%s", after, d)
		}
		view(t, s, func(tx store.Tx) error {
			if d, err := tx.Get("r", "keep"); err != nil || string(d.Body) != "1" || d.Rev != 1 {
				t.Errorf("%s: %+v, %v; want body 1, revision 1", after, d, err)
			}
			_, err := tx.Get("r", "new")
			wantKind(t, err, impound.KindNotFound)
			return nil
		})
		if got, _ := s.Version(ctx); got != v {
			t.Errorf("%s: version is %d, want %d", after, got, v)
		}
	}
	mine := errors.New("mine")
	if err := s.Update(ctx, func(tx store.Tx) error { change(tx); return mine }); err != mine {
		t.Errorf("Update gave %v, want fn's own error", err)
	}
	check("after an error")
	func() {
		defer func() {
			if recover() == nil {
				t.Error("Update swallowed a panic")
			}
		}()
		s.Update(ctx, func(tx store.Tx) error { change(tx); panic("mine") })
	}()
	check("after a panic")
	// A conflict that fn chooses to live with spoils nothing.
	update(t, s, func(tx store.Tx) error {
		_, err := tx.Put(store.Doc{Kind: "r", ID: "keep", Rev: 9})
		wantKind(t, err, impound.KindConflict)
		_, err = tx.Put(store.Doc{Kind: "r", ID: "other"})
		return err
	})
	if d := cmp.Diff([]string{"keep", "other"}, ids(t, s, store.Query{Kind: "r"})); d != "" {
		t.Errorf("after a conflict (-want +got):\n%s", d)
	}
	if err := s.View(ctx, func(store.Tx) error { return mine }); err != mine {
		t.Errorf("View gave %v, want fn's own error", err)
	}
}

func readOnlyView(t *testing.T, place func(t testing.TB) string, open Opener) {
	s := fresh(t, place, open)
	put(t, s, store.Doc{Kind: "v", ID: "1"})
	err := s.View(ctx, func(tx store.Tx) error { _, err := tx.Put(store.Doc{Kind: "v", ID: "2"}); return err })
	wantKind(t, err, impound.KindInternal)
	err = s.View(ctx, func(tx store.Tx) error { return tx.Delete("v", "1", 1) })
	wantKind(t, err, impound.KindInternal)
	if d := cmp.Diff([]string{"1"}, ids(t, s, store.Query{Kind: "v"})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func snapshot(t *testing.T, place func(t testing.TB) string, open Opener) {
	s := fresh(t, place, open)
	put(t, s, store.Doc{Kind: "s", ID: "1", Body: []byte("old")})
	view(t, s, func(tx store.Tx) error {
		if _, err := tx.Get("s", "1"); err != nil {
			return err
		}
		update(t, s, func(tx store.Tx) error {
			if _, err := tx.Put(store.Doc{Kind: "s", ID: "2"}); err != nil {
				return err
			}
			_, err := tx.Put(store.Doc{Kind: "s", ID: "1", Rev: 1, Body: []byte("new")})
			return err
		})
		d, err := tx.Get("s", "1")
		if string(d.Body) != "old" {
			t.Errorf("a View saw %q that was committed while it ran", d.Body)
		}
		if n, _ := tx.Count(store.Query{Kind: "s"}); n != 1 {
			t.Errorf("a View counts %d, want 1", n)
		}
		return err
	})
	if d := cmp.Diff([]string{"1", "2"}, ids(t, s, store.Query{Kind: "s"})); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}

func version(t *testing.T, place func(t testing.TB) string, open Opener) {
	s := fresh(t, place, open)
	last, err := s.Version(ctx)
	if err != nil {
		t.Fatal(err)
	}
	step := func(what string, grows bool, fn func(store.Tx) error) {
		t.Helper()
		s.Update(ctx, fn)
		v, err := s.Version(ctx)
		if err != nil {
			t.Fatal(err)
		}
		if grows != (v > last) {
			t.Errorf("%s: version went from %d to %d", what, last, v)
		}
		last = v
	}
	step("put", true, func(tx store.Tx) error { _, err := tx.Put(store.Doc{Kind: "v", ID: "1"}); return err })
	step("put again", true, func(tx store.Tx) error { _, err := tx.Put(store.Doc{Kind: "v", ID: "1", Rev: 1}); return err })
	step("nothing", false, func(tx store.Tx) error { return nil })
	step("reading", false, func(tx store.Tx) error { _, err := tx.Get("v", "1"); return err })
	step("conflict", false, func(tx store.Tx) error { _, err := tx.Put(store.Doc{Kind: "v", ID: "1"}); return err })
	step("delete", true, func(tx store.Tx) error { return tx.Delete("v", "1", 2) })
}

// concurrent counts up in many goroutines over several handles: no step may be
// lost, and each must see all before it.
func concurrent(t *testing.T, place func(t testing.TB) string, open Opener) {
	p := place(t)
	var stores []store.Store
	for range 2 {
		s := open(t, p, nil)
		defer s.Close()
		stores = append(stores, s)
	}
	const workers, steps = 8, 10
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for range steps {
				err := stores[w%2].Update(ctx, func(tx store.Tx) error {
					_, err := store.Modify(tx, "n", "counter", func(n *int) (map[string]string, error) {
						*n++
						return map[string]string{"n": fmt.Sprint(*n)}, nil
					})
					return err
				})
				if err != nil {
					t.Error(err)
				}
				err = stores[(w+1)%2].View(ctx, func(tx store.Tx) error {
					n, _, err := store.Get[int](tx, "n", "counter")
					if c, err := tx.Count(store.Query{Kind: "n", Field: "n", Value: fmt.Sprint(n)}); c != 1 || err != nil {
						t.Errorf("index and body differ: %d documents for %d, %v", c, n, err)
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	view(t, stores[0], func(tx store.Tx) error {
		n, rev, err := store.Get[int](tx, "n", "counter")
		if n != workers*steps || rev != workers*steps {
			t.Errorf("counter is %d at revision %d, want %d", n, rev, workers*steps)
		}
		return err
	})
	if v, err := stores[1].Version(ctx); v != workers*steps || err != nil {
		t.Errorf("version is %d, %v; want %d", v, err, workers*steps)
	}
}

func twoHandles(t *testing.T, place func(t testing.TB) string, open Opener) {
	p := place(t)
	a, b := open(t, p, nil), open(t, p, nil)
	defer a.Close()
	defer b.Close()
	for i := range 10 {
		from, to := a, b
		if i%2 == 1 {
			from, to = b, a
		}
		before, _ := to.Version(ctx)
		id := fmt.Sprint(i)
		put(t, from, store.Doc{Kind: "h", ID: id})
		view(t, to, func(tx store.Tx) error { _, err := tx.Get("h", id); return err })
		if after, _ := to.Version(ctx); after <= before {
			t.Errorf("version went from %d to %d after another handle's Update", before, after)
		}
	}
}

func reopen(t *testing.T, place func(t testing.TB) string, open Opener) {
	p := place(t)
	s := open(t, p, fixed)
	want := store.Doc{Kind: "o", ID: "1", Rev: 1, Body: []byte("body"), Index: map[string]string{"f": "v"}, Updated: t0}
	first := want
	first.Rev = 0
	put(t, s, first)
	v, _ := s.Version(ctx)
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.View(ctx, func(store.Tx) error { return nil }); err == nil {
		t.Error("View works after Close")
	}
	s = open(t, p, nil)
	defer s.Close()
	view(t, s, func(tx store.Tx) error {
		got, err := tx.Get("o", "1")
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("(-want +got):\n%s", d)
		}
		return err
	})
	if got, _ := s.Version(ctx); got != v {
		t.Errorf("version is %d after reopening, want %d", got, v)
	}
}

func cancel(t *testing.T, place func(t testing.TB) string, open Opener) {
	s := fresh(t, place, open)
	c, stop := context.WithCancel(ctx)
	err := s.Update(c, func(tx store.Tx) error {
		if _, err := tx.Put(store.Doc{Kind: "c", ID: "1"}); err != nil {
			return err
		}
		stop()
		return nil
	})
	n := len(ids(t, s, store.Query{Kind: "c"}))
	if (err == nil) != (n == 1) {
		t.Errorf("Update with a cancelled context gave %v, and %d documents are there", err, n)
	}
	if err := s.View(c, func(store.Tx) error { return nil }); err == nil {
		t.Error("View with a cancelled context gave no error")
	}
	put(t, s, store.Doc{Kind: "c", ID: "2"}) // the writer is free again
}

func helpers(t *testing.T, place func(t testing.TB) string, open Opener) {
	type thing struct {
		Name impound.Name `json:"name"`
		N    int          `json:"n"`
	}
	s := fresh(t, place, open)
	v := thing{impound.MustName("outlook-verify.net"), 1}
	update(t, s, func(tx store.Tx) error {
		if _, err := store.Put(tx, "t", "a", 0, v, map[string]string{"n": "1"}); err != nil {
			return err
		}
		_, err := store.Put(tx, "t", "b", 0, thing{N: 2}, nil)
		return err
	})
	view(t, s, func(tx store.Tx) error {
		got, rev, err := store.Get[thing](tx, "t", "a")
		if got != v || rev != 1 || err != nil {
			t.Errorf("Get gave %+v, %d, %v", got, rev, err)
		}
		_, _, err = store.Get[thing](tx, "t", "none")
		wantKind(t, err, impound.KindNotFound)
		items, err := store.List[thing](tx, store.Query{Kind: "t"})
		want := []store.Item[thing]{{ID: "a", Rev: 1, Index: map[string]string{"n": "1"}, Updated: t0, Value: v}, {ID: "b", Rev: 1, Updated: t0, Value: thing{N: 2}}}
		if d := cmp.Diff(want, items, cmp.Comparer(func(a, b impound.Name) bool { return a == b })); d != "" {
			t.Errorf("List (-want +got):\n%s", d)
		}
		if vs, err := store.Values[thing](tx, store.Query{Kind: "t", Limit: 1}); err != nil || len(vs) != 1 || vs[0] != v {
			t.Errorf("Values gave %+v, %v", vs, err)
		}
		return err
	})
	put(t, s, store.Doc{Kind: "t", ID: "c", Body: []byte("{half")})
	view(t, s, func(tx store.Tx) error {
		_, _, err := store.Get[thing](tx, "t", "c")
		wantKind(t, err, impound.KindInternal)
		return nil
	})
}

// model drives the store and a map side by side.
func model(t *testing.T, place func(t testing.TB) string, open Opener) {
	type key struct{ kind, id string }
	s := fresh(t, place, open)
	run := 0
	rapid.Check(t, func(rt *rapid.T) {
		run++
		prefix := fmt.Sprintf("%d-", run) // one store for all runs: opening is slow
		docs := map[key]store.Doc{}
		kinds := rapid.SampledFrom([]string{prefix + "a", prefix + "b"})
		idgen := rapid.SampledFrom([]string{"1", "2", "3"})
		values := rapid.SampledFrom([]string{"", "x", "y"})
		rt.Repeat(map[string]func(*rapid.T){
			"put": func(rt *rapid.T) {
				k := key{kinds.Draw(rt, "kind"), idgen.Draw(rt, "id")}
				d := store.Doc{Kind: k.kind, ID: k.id, Rev: rapid.Int64Range(0, 3).Draw(rt, "rev"), Body: rapid.SliceOfN(rapid.Byte(), 1, 8).Draw(rt, "body"), Index: map[string]string{"f": values.Draw(rt, "f")}, Updated: t0}
				fail := rapid.Bool().Draw(rt, "fail")
				boom := errors.New("boom")
				err := s.Update(ctx, func(tx store.Tx) error {
					rev, err := tx.Put(d)
					if err == nil && rev != d.Rev+1 {
						rt.Fatalf("revision %d after %d", rev, d.Rev)
					}
					if err == nil && fail {
						return boom
					}
					return err
				})
				switch old := docs[k]; {
				case old.Rev != d.Rev:
					if impound.KindOf(err) != impound.KindConflict {
						rt.Fatalf("put of %d over %d gave %v", d.Rev, old.Rev, err)
					}
				case fail:
					if err != boom {
						rt.Fatal(err)
					}
				case err != nil:
					rt.Fatal(err)
				default:
					d.Rev++
					docs[k] = d
				}
			},
			"delete": func(rt *rapid.T) {
				k := key{kinds.Draw(rt, "kind"), idgen.Draw(rt, "id")}
				rev := rapid.Int64Range(1, 3).Draw(rt, "rev")
				err := s.Update(ctx, func(tx store.Tx) error { return tx.Delete(k.kind, k.id, rev) })
				old, ok := docs[k]
				want := impound.Kind("")
				if !ok {
					want = impound.KindNotFound
				} else if old.Rev != rev {
					want = impound.KindConflict
				}
				if impound.KindOf(err) != want {
					rt.Fatalf("delete of %d over %d gave %v", rev, old.Rev, err)
				}
				if want == "" {
					delete(docs, k)
				}
			},
			"": func(rt *rapid.T) {
				err := s.View(ctx, func(tx store.Tx) error {
					for _, kind := range []string{prefix + "a", prefix + "b"} {
						for _, q := range []store.Query{{Kind: kind}, {Kind: kind, Field: "f", Value: "x"}, {Kind: kind, Field: "f"}} {
							var want []store.Doc
							for _, id := range []string{"1", "2", "3"} {
								if d, ok := docs[key{kind, id}]; ok && (q.Field == "" || d.Index["f"] == q.Value) {
									want = append(want, d)
								}
							}
							got, err := tx.List(q)
							if err != nil {
								return err
							}
							if d := cmp.Diff(want, got); d != "" {
								rt.Fatalf("List(%+v) (-want +got):\n%s", q, d)
							}
						}
					}
					return nil
				})
				if err != nil {
					rt.Fatal(err)
				}
			},
		})
	})
}
