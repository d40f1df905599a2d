package storetest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound/internal/store"
)

// plain hides what an engine does faster than by reading everything.
type plain struct{ store.Tx }

type plainStore struct{ store.Store }

// longLists is the contract of what large cases rest on: bare lists, counts by a
// field, and the versions of kinds.
func longLists(t *testing.T, place func(t testing.TB) string, open Opener) {
	s := fresh(t, place, open)
	const n = 1000
	update(t, s, func(tx store.Tx) error {
		for i := range n {
			d := store.Doc{Kind: "d", ID: fmt.Sprintf("%04d", i), Body: fmt.Appendf(nil, "%d", i), Index: map[string]string{"case": fmt.Sprint(i % 3)}}
			if i%7 != 0 {
				d.Index["state"] = fmt.Sprint(i % 5)
			}
			if _, err := tx.Put(d); err != nil {
				return err
			}
		}
		_, err := tx.Put(store.Doc{Kind: "other", ID: "x", Body: []byte("{"), Index: map[string]string{"case": "1", "state": "1"}})
		return err
	})
	view(t, s, func(tx store.Tx) error {
		for _, q := range []store.Query{{Kind: "d"}, {Kind: "d", Field: "case", Value: "1"}, {Kind: "d", Field: "case", Value: "none"}, {Kind: "none"}} {
			got, err := store.CountBy(tx, q, "state")
			if err != nil {
				return err
			}
			want, err := store.CountBy(plain{tx}, q, "state")
			if err != nil {
				return err
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("counts of %+v (-plain +engine):\n%s", q, diff)
			}
			ids, err := store.IDs(tx, q)
			if err != nil {
				return err
			}
			if want, err := store.IDs(plain{tx}, q); err != nil || !slices.Equal(ids, want) {
				t.Errorf("ids of %+v: %d and %d, %v", q, len(ids), len(want), err)
			}
			vs, err := store.Values[int](tx, q)
			if err != nil {
				return err
			}
			items, err := store.List[int](tx, q)
			if err != nil {
				return err
			}
			if len(vs) != len(items) {
				t.Fatalf("%d values, %d items", len(vs), len(items))
			}
			for i := range vs {
				if vs[i] != items[i].Value || items[i].ID != fmt.Sprintf("%04d", vs[i]) || items[i].Index["case"] != fmt.Sprint(vs[i]%3) {
					t.Fatalf("value %d is %v, item %+v", i, vs[i], items[i])
				}
			}
			if want, err := store.Values[int](plain{tx}, q); err != nil || !slices.Equal(vs, want) {
				t.Errorf("values of %+v: %d and %d, %v", q, len(vs), len(want), err)
			}
			q.Bare, q.Limit = true, 3
			docs, err := tx.List(q)
			if err != nil {
				return err
			}
			for i, d := range docs {
				if d.Index != nil || d.ID != items[i].ID || len(docs) > 3 {
					t.Errorf("a bare document: %+v", d)
				}
			}
		}
		if _, err := store.Values[int](tx, store.Query{Kind: "other"}); err == nil {
			t.Error("a damaged document was read")
		}
		return nil
	})
	// One damaged document among many is an error, whichever goroutine meets it.
	update(t, s, func(tx store.Tx) error {
		_, err := tx.Put(store.Doc{Kind: "d", ID: "0900", Rev: 1, Body: []byte("no")})
		return err
	})
	view(t, s, func(tx store.Tx) error {
		if _, err := store.Values[int](tx, store.Query{Kind: "d"}); err == nil {
			t.Error("a damaged document was read")
		}
		return nil
	})
}

func kindVersions(t *testing.T, place func(t testing.TB) string, open Opener) {
	dir := place(t)
	a := open(t, dir, nil)
	b := open(t, dir, nil)
	t.Cleanup(func() { a.Close(); b.Close() })
	of := func(s store.Store, kinds ...string) string {
		t.Helper()
		v, err := store.VersionOf(ctx, s, kinds...)
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
	changes := func(what string, want bool, do func()) {
		t.Helper()
		x, y, z := of(a, "k"), of(a, "j", "k"), of(plainStore{a}, "k")
		do()
		if (of(a, "k") != x) != want || (of(a, "j", "k") != y) != want {
			t.Errorf("%s: the version changed: %v, want %v", what, !want, want)
		}
		if of(plainStore{a}, "k") == z && want {
			t.Errorf("%s: the plain version did not change", what)
		}
	}
	var rev int64
	changes("a first document", true, func() { rev = put(t, b, store.Doc{Kind: "k", ID: "1"}) })
	changes("a change of it", true, func() { rev = put(t, b, store.Doc{Kind: "k", ID: "1", Rev: rev}) })
	changes("another kind", false, func() { put(t, b, store.Doc{Kind: "o", ID: "1"}) })
	changes("nothing", false, func() { update(t, b, func(store.Tx) error { return nil }) })
	changes("a deletion", true, func() { update(t, b, func(tx store.Tx) error { return tx.Delete("k", "1", rev) }) })
	if of(a, "k") == of(a, "o") && of(a, "k") != of(plainStore{a}, "k") {
		t.Error("two kinds that changed at different times have one version")
	}
}
