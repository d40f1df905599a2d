package app

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

// What the gates may wait for: each registry has its own bounds, so that one
// which is silent holds up its own names, and those briefly.

const (
	// lookTime bounds one look at a name for its gates, with its repetitions.
	lookTime = 8 * time.Second
	// silent is from how long on a look that failed was one at a server that
	// doesn't answer.
	silent = time.Second
	// lookAgain is for how long a look that failed is repeated.
	lookAgain = 2 * time.Second
	// blindAfter is how many looks in a row, at any names, have to fail in silence
	// before a server is not waited for.
	blindAfter = 3
	// blindFor is how long after that it is tried again, with nobody waiting.
	blindFor = 5 * time.Second
)

// provider gives the provider that the configuration has for n, "" for none.
func (s *System) provider(n impound.Name) string {
	for z := n.Parent(); !z.IsZero(); z = z.Parent() {
		if p := s.byTLD[z.String()]; p != "" {
			return p
		}
	}
	return ""
}

// registryOf says whose answers a look at n waits for: its provider's, or where
// the configuration has none, those of its public suffix.
func (s *System) registryOf(n impound.Name) string {
	if p := s.provider(n); p != "" {
		return p
	}
	suffix, _ := n.PublicSuffix()
	return suffix.Defanged()
}

func (s *System) rdapOf(n impound.Name) string   { return "RDAP of " + s.registryOf(n) }
func (s *System) parentOf(n impound.Name) string { return "parent zone at " + s.registryOf(n) }

// knownFacts is what is known of n without asking anybody.
func (s *System) knownFacts(n impound.Name) casework.Facts {
	var f casework.Facts
	s.passiveFacts(n, &f)
	return f
}

// sights keeps which servers are silent. The zero value is ready; it is safe for
// concurrent use. It goes by real time, not by the order's clock.
type sights struct {
	mu sync.Mutex
	of map[string]*sight
}

type sight struct {
	fails   int       // in a row
	why     string    // the last of them
	since   time.Time // the first of them
	until   time.Time // not asked before
	probing bool
}

// look has do look at n once, and gives why nothing was seen, "" when it was. Where
// a server was silent several times in a row, it is not asked: then somebody looks
// beside all others, and when that goes well, the next are served again. What is
// not seen is unknown, never a pass.
func look[T any](ctx context.Context, s *sights, server string, n impound.Name, do func(context.Context) (T, string)) (v T, why string, asked bool) {
	ask := func(ctx context.Context) (T, string) {
		began := time.Now()
		v, why := do(ctx)
		why = said(n, why)
		if context.Cause(ctx) != context.Canceled { // whoever went away says nothing of the server
			s.saw(server, why, time.Since(began))
		}
		return v, why
	}
	if why := s.blind(server, func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTime)
		defer cancel()
		ask(ctx)
	}); why != "" {
		return v, why, false
	}
	v, why = ask(ctx)
	return v, why, true
}

// lookWell is look, repeated for a moment where it fails: a server that has trouble
// of its own would keep a name out of a plan.
func lookWell[T any](ctx context.Context, s *sights, server string, n impound.Name, do func(context.Context) (T, string)) (T, string) {
	began := time.Now()
	v, why, asked := look(ctx, s, server, n, do)
	for pause := 200 * time.Millisecond; why != "" && asked && pause < time.Second && time.Since(began) < lookAgain && ctx.Err() == nil; pause *= 2 {
		t := time.NewTimer(pause)
		select {
		case <-t.C:
		case <-ctx.Done():
			t.Stop()
		}
		v, why, asked = look(ctx, s, server, n, do)
	}
	return v, why
}

// saw notes how a look went that took so long. A server that says no at once is
// there, and holds nobody up.
func (s *sights) saw(server, why string, took time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if why == "" || took < silent {
		delete(s.of, server)
		return
	}
	if s.of == nil {
		s.of = map[string]*sight{}
	}
	x := s.of[server]
	if x == nil {
		x = &sight{since: time.Now()}
		s.of[server] = x
	}
	x.fails++
	x.why = why
	if x.fails >= blindAfter {
		x.until = time.Now().Add(blindFor)
	}
}

// blind says why server is not asked, "" when it is. Now and then it has probe ask.
func (s *sights) blind(server string, probe func()) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := s.of[server]
	if x == nil || x.fails < blindAfter {
		return ""
	}
	if !x.probing && time.Now().After(x.until) {
		x.probing = true
		go func() {
			probe()
			s.mu.Lock()
			x.probing = false
			s.mu.Unlock()
		}()
	}
	return fmt.Sprintf("it is not waited for: no answer %d times in a row since %s (%s)", x.fails, x.since.UTC().Format("15:04:05 UTC"), x.why)
}

// said makes words of a failed look fit to be shown beside n.
func said(n impound.Name, why string) string {
	why = strings.ToValidUTF8(strings.ReplaceAll(why, n.String(), n.Defanged()), "\uFFFD")
	if len(why) > 200 {
		why = strings.ToValidUTF8(why[:200], "") + "..."
	}
	return why
}
