// Package turns lets those who are about to make the same thing wait for the first,
// who keeps it where the others look again.
//
// What lives here: the waiting. What must not: the thing itself, or who may have it.
package turns

import "sync"

// Turns are taken by key. The zero value is ready, and good for concurrent use.
type Turns struct {
	mu sync.Mutex
	m  map[string]*turn
}

type turn struct {
	mu    sync.Mutex
	users int // who holds it and who waits
}

// Take waits until nobody else has the turn of key, and gives what ends it. Look
// again then whether the thing is there: whoever had the turn before may have made
// it. A turn must not be taken again by who has it.
func (t *Turns) Take(key string) (done func()) {
	t.mu.Lock()
	if t.m == nil {
		t.m = map[string]*turn{}
	}
	x := t.m[key]
	if x == nil {
		x = &turn{}
		t.m[key] = x
	}
	x.users++
	t.mu.Unlock()
	x.mu.Lock()
	return func() {
		x.mu.Unlock()
		t.mu.Lock()
		defer t.mu.Unlock()
		if x.users--; x.users == 0 {
			delete(t.m, key)
		}
	}
}
