package parallel_test

import (
	"errors"
	"fmt"
	"runtime"
	"sync/atomic"
	"testing"

	"github.com/impound/impound/internal/parallel"
)

// However many there are, each is done once.
func TestEach(t *testing.T) {
	for _, n := range []int{0, 1, 2, parallel.Few - 1, parallel.Few, parallel.Few + 1, 10*parallel.Few + 7} {
		done := make([]atomic.Int64, n)
		if err := parallel.Each(n, func(i int) error { done[i].Add(1); return nil }); err != nil {
			t.Fatal(err)
		}
		for i := range done {
			if k := done[i].Load(); k != 1 {
				t.Fatalf("%d of %d was done %d times", i, n, k)
			}
		}
	}
}

// The error is that of the lowest, whoever fails first; behind it in its part
// nothing is done.
func TestEachFails(t *testing.T) {
	for _, procs := range []int{1, 2, 7} {
		t.Run(fmt.Sprint(procs), func(t *testing.T) {
			defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(procs))
			const n = 20 * parallel.Few
			first := errors.New("first")
			var behind atomic.Bool
			err := parallel.Each(n, func(i int) error {
				switch i {
				case 100:
					return first
				case 101:
					behind.Store(true)
				case n - 1:
					return errors.New("last")
				}
				return nil
			})
			if !errors.Is(err, first) {
				t.Errorf("the error is %v", err)
			}
			if behind.Load() {
				t.Error("went on behind the error")
			}
		})
	}
}
