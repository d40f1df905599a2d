package seizure

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure/epp"
)

// An answer that breaks the protocol is worth keeping: it shows the registry what
// it sent, and a court why a name was left alone. One that every look gets is not
// worth keeping a thousand times.
const (
	mostBroken  = 8 // of one provider within brokenEvery
	brokenEvery = time.Hour
)

// brokenAnswers counts what was kept. It is safe for concurrent use.
type brokenAnswers struct {
	mu sync.Mutex
	of map[string][]time.Time // when, by provider
}

// room says whether another answer of this provider is kept, and counts it.
func (b *brokenAnswers) room(provider string, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.of == nil {
		b.of = map[string][]time.Time{}
	}
	kept := b.of[provider]
	for len(kept) > 0 && now.Sub(kept[0]) >= brokenEvery {
		kept = kept[1:]
	}
	if len(kept) < mostBroken {
		b.of[provider] = append(kept, now)
		return true
	}
	b.of[provider] = kept
	return false
}

// ask looks at a name at its provider. An answer that breaks the protocol is
// filed, with the frames that came, before the error is given.
func (e *Engine) ask(ctx context.Context, conn Connector, caseID, order string, n impound.Name) (RegistryView, error) {
	v, err := conn.Info(ctx, n)
	if err == nil || caseID == "" || !errors.Is(err, epp.ErrProtocol) || !e.broken.room(conn.Provider(), e.now()) {
		return v, err
	}
	keep := context.WithoutCancel(ctx)
	hashes, kerr := e.keepFrames(keep, caseID, n, conn.Provider(), v.Frames, "received")
	if kerr != nil {
		return v, fmt.Errorf("%w; %w", err, kerr)
	}
	detail := map[string]string{"provider": conn.Provider(), "error": clip(err.Error())}
	if len(hashes) > 0 {
		detail["frames"] = strings.Join(hashes, " ")
	}
	if _, kerr := e.cfg.Evidence.Append(keep, impound.Entry{Type: impound.EntrySystem, At: e.now(), By: e.cfg.By, What: "seize.broken", Case: caseID, Order: order, Name: n, Detail: detail}); kerr != nil {
		return v, fmt.Errorf("%w; couldn't record it: %w", err, kerr)
	}
	if said, ok := err.(*impound.Error); ok {
		told := *said
		told.Cure = "it is kept in the evidence log as seize.broken; tell the registry"
		return v, &told
	}
	return v, err
}
