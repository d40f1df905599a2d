package parallel_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
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

// However many goroutines there are, each step is done once, and no more are under
// way than there are goroutines.
func TestSome(t *testing.T) {
	for _, n := range []int{0, 1, 2, 7, 1000} {
		for _, goroutines := range []int{-1, 0, 1, 2, 7, 2000} {
			done := make([]atomic.Int64, n)
			var now, most atomic.Int64
			err := parallel.Some(t.Context(), goroutines, n, func(i int) {
				if k := now.Add(1); k > most.Load() {
					most.Store(k)
				}
				done[i].Add(1)
				runtime.Gosched()
				now.Add(-1)
			})
			if err != nil || most.Load() > int64(max(goroutines, 1)) {
				t.Errorf("%d of %d at once by %d goroutines: %v", most.Load(), n, goroutines, err)
			}
			for i := range done {
				if k := done[i].Load(); k != 1 {
					t.Fatalf("%d of %d was done %d times", i, n, k)
				}
			}
		}
	}
}

// Steps that wait for each other come to an end: so many are under way at once.
func TestSomeAtOnce(t *testing.T) {
	const n = 5
	var all sync.WaitGroup
	all.Add(n)
	if err := parallel.Some(t.Context(), n, n, func(int) { all.Done(); all.Wait() }); err != nil {
		t.Fatal(err)
	}
}

// When ctx ends no other step begins, and those under way are waited for.
func TestSomeEnds(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	const goroutines = 3
	var begun, done atomic.Int64
	err := parallel.Some(ctx, goroutines, 1000, func(int) {
		if begun.Add(1) == goroutines {
			cancel()
		}
		<-ctx.Done()
		done.Add(1)
	})
	if !errors.Is(err, context.Canceled) || begun.Load() != goroutines || done.Load() != goroutines {
		t.Errorf("%v: %d begun, %d done", err, begun.Load(), done.Load())
	}
}
