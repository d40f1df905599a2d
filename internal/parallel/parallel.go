// Package parallel does a loop several steps at a time: by every processor what
// computes, by as many goroutines as whoever asks says what waits for others.
//
// What lives here: the loops. What must not: what is done in them.
package parallel

import (
	"cmp"
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// Few is up to how many steps are done by one goroutine: fewer are done sooner
// than another one is woken.
const Few = 256

// Each calls do for 0 to n-1, each processor in order for a part of them, and gives
// the error of the lowest that failed. The rest of a part that failed is left out;
// of other parts what was begun is done. do must be good for concurrent use.
func Each(n int, do func(i int) error) error {
	parts := min(runtime.GOMAXPROCS(0), 1+n/Few)
	errs := make([]error, parts)
	var wg sync.WaitGroup
	for p := range parts {
		part := func() {
			for i := p * n / parts; i < (p+1)*n/parts && errs[p] == nil; i++ {
				errs[p] = do(i)
			}
		}
		if p == parts-1 {
			part()
		} else {
			wg.Go(part)
		}
	}
	wg.Wait()
	return cmp.Or(errs...)
}

// Some calls do for 0 to n-1, begun in this order by so many goroutines, at least
// one: for steps that wait for others, or that take unlike long. When ctx ends no
// other step begins, and its error is given once those under way are done. do must
// be good for concurrent use.
func Some(ctx context.Context, goroutines, n int, do func(i int)) error {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(max(goroutines, 1), n) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= n {
					return
				}
				do(i)
			}
		})
	}
	wg.Wait()
	return ctx.Err()
}
