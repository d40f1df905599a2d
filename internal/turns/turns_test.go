package turns

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
)

// However many come at once, each thing is made once, and nothing is left behind.
func TestTake(t *testing.T) {
	t.Parallel()
	var ts Turns
	var mu sync.Mutex
	kept, made := map[string]bool{}, atomic.Int64{}
	look := func(key string) bool {
		mu.Lock()
		defer mu.Unlock()
		return kept[key]
	}
	var wg sync.WaitGroup
	for i := range 200 {
		wg.Go(func() {
			key := fmt.Sprint(i % 7)
			if look(key) {
				return
			}
			defer ts.Take(key)()
			if look(key) {
				return
			}
			made.Add(1)
			mu.Lock()
			kept[key] = true
			mu.Unlock()
		})
	}
	wg.Wait()
	if n := made.Load(); n != 7 || len(ts.m) != 0 {
		t.Errorf("%d made, %d turns left", n, len(ts.m))
	}
}

// Who has another turn waits for nobody.
func TestOthersGoOn(t *testing.T) {
	t.Parallel()
	var ts Turns
	a := ts.Take("a")
	ts.Take("b")()
	a()
	ts.Take("a")()
}
