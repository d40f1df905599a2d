// Package parallel does a loop by every processor.
//
// What lives here: the loop. What must not: anything that waits for others, for
// which a goroutine for each processor is the wrong number.
package parallel

import (
	"cmp"
	"runtime"
	"sync"
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
