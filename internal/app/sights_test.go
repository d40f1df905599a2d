package app

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
)

// TestSights: a server that is silent is asked a few times, then only now and
// then, by nobody who waits; one that says no at once is asked each time.
func TestSights(t *testing.T) {
	n := impound.MustName("outlook-verify.net")
	s, asked := new(sights), 0
	answer := func(why string) func(context.Context) (int, string) {
		return func(context.Context) (int, string) { asked++; return 7, why }
	}
	for range 2 * blindAfter {
		if v, why, ok := look(t.Context(), s, "a", n, answer("500 for outlook-verify.net")); v != 7 || !ok || why != "500 for "+n.Defanged() {
			t.Fatalf("%d, %q, %v", v, why, ok)
		}
	}
	if asked != 2*blindAfter {
		t.Errorf("one that says no at once was asked %d times", asked)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	look(gone, s, "a", n, answer("no answer"))
	for range blindAfter {
		s.saw("a", "no answer", silent)
	}
	asked = 0
	if v, why, ok := look(t.Context(), s, "a", n, answer("")); v != 0 || ok || asked != 0 || !strings.Contains(why, "no answer 3 times in a row") {
		t.Errorf("a silent one: %d, %q, asked %d", v, why, asked)
	}
	if _, why := lookWell(t.Context(), s, "a", n, answer("")); why == "" || asked != 0 {
		t.Errorf("a silent one: %q, asked %d", why, asked)
	}
	if _, why, ok := look(t.Context(), s, "b", n, answer("")); why != "" || !ok {
		t.Errorf("another: %q", why)
	}

	// Later, one look is taken beside; whoever asks meanwhile doesn't wait.
	s.mu.Lock()
	s.of["a"].until = time.Now().Add(-time.Second)
	s.mu.Unlock()
	begun, end := make(chan struct{}, 2), make(chan struct{})
	slow := func(context.Context) (int, string) { begun <- struct{}{}; <-end; return 7, "" }
	for range 3 {
		if _, why, ok := look(t.Context(), s, "a", n, slow); why == "" || ok {
			t.Errorf("somebody waited: %q", why)
		}
	}
	<-begun
	close(end)
	for { // it answered, so it is asked again
		if v, _, ok := look(t.Context(), s, "a", n, answer("")); ok {
			if v != 7 {
				t.Errorf("got %d", v)
			}
			break
		}
	}
	if len(begun) > 0 {
		t.Error("two looked beside")
	}
}
