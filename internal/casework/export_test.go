package casework

import (
	"testing"

	"github.com/impound/impound/internal/store"
)

// DropRows takes the queue's rows away, as in a store of an older program.
func DropRows(t testing.TB, s store.Store) {
	t.Helper()
	err := s.Update(t.Context(), func(tx store.Tx) error {
		for _, kind := range []string{kindRow, kindMeta, kindLesson} {
			docs, err := tx.List(store.Query{Kind: kind})
			if err != nil {
				return err
			}
			for _, d := range docs {
				if err := tx.Delete(kind, d.ID, d.Rev); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
