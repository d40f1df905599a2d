package seizure

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// Poll takes the messages of every provider that has some, several providers at
// the same time. Each message stands in the evidence log, with its frames, before
// it is acknowledged: a process that dies in between is told it again, and keeps
// it once. It gives how many messages were taken; the errors of the providers
// that could not be asked are joined.
func (e *Engine) Poll(ctx context.Context) (int, error) {
	ids := slices.Sorted(maps.Keys(e.cfg.Connectors))
	n, errs := make([]int, len(ids)), make([]error, len(ids))
	_ = parallel(ctx, e.cfg.Parallel, len(ids), func(i int) error {
		conn := e.cfg.Connectors[ids[i]]
		if !conn.Capabilities().Poll {
			return nil
		}
		err := conn.Poll(ctx, func(m Message) error {
			// Once read it is kept, stopped or not.
			if err := e.keepMessage(context.WithoutCancel(ctx), ids[i], m); err != nil {
				return err
			}
			n[i]++
			e.say(Event{Provider: ids[i], Name: m.Name, Phase: "message", Text: clip(m.Text)})
			return nil
		})
		if err != nil {
			errs[i] = fmt.Errorf("couldn't take the messages of %s: %w", ids[i], err)
		}
		return nil
	})
	total := 0
	for _, k := range n {
		total += k
	}
	return total, errors.Join(errs...)
}

// Health is how a provider's session stands.
type Health struct {
	Provider    string        `json:"provider"`
	CertExpires time.Time     `json:"cert_expires,omitzero"`
	Skew        time.Duration `json:"skew_ns,omitempty"` // its clock ahead of ours
	Err         string        `json:"err,omitempty"`     // why it could not be asked
}

// Health asks every provider that can say how its session stands.
func (e *Engine) Health(ctx context.Context) []Health {
	ids := slices.Sorted(maps.Keys(e.cfg.Connectors))
	out := make([]Health, len(ids))
	_ = parallel(ctx, e.cfg.Parallel, len(ids), func(i int) error {
		c, ok := e.cfg.Connectors[ids[i]].(interface {
			Health(ctx context.Context) (Health, error)
		})
		if !ok {
			return nil
		}
		h, err := c.Health(ctx)
		if h.Provider = ids[i]; err != nil {
			h.Err = clip(err.Error())
		}
		out[i] = h
		return nil
	})
	return slices.DeleteFunc(out, func(h Health) bool { return h.Provider == "" })
}
