package seizure_test

import (
	"context"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/testregistry"
)

// A process that dies between keeping a message and acknowledging it is told it
// again and keeps it once; in any order, and none is lost.
func TestPollKilledBetween(t *testing.T) {
	t.Parallel()
	r, s := practice(t, testregistry.Faults{Seed: 7, ReorderPoll: 0.6}, fourNames[:1])
	for _, text := range []string{"one", "two", "three", "two"} { // the last is another message
		if err := r.Notify("registry", text); err != nil {
			t.Fatal(err)
		}
	}
	deaths := 0
	for range 10 {
		err := child(t, s, 1).Run()
		if err == nil {
			break
		}
		if !killed(err) {
			t.Fatal(err)
		}
		deaths++
	}
	e, log, closeAll, err := s.engine(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer closeAll()
	if n, err := e.Poll(t.Context()); err != nil {
		t.Errorf("%d %v", n, err)
	}
	if n, err := e.Poll(t.Context()); err != nil || n != 0 {
		t.Errorf("the queue is not empty: %d %v", n, err)
	}
	got := map[string]int{}
	_ = log.Entries(t.Context(), 0, func(_ int64, e impound.Entry) error {
		if e.What == "seize.message" {
			got[e.Detail["text"]]++
		}
		return nil
	})
	if deaths == 0 || got["one"] != 1 || got["two"] != 2 || got["three"] != 1 {
		t.Errorf("%d deaths, kept %v", deaths, got)
	}
}

// A provider that uses an id again loses no message.
func TestMessageIDsAreUsedAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.authorize(w.order())
	e := w.engine(func(c *seizure.Config) { c.Connectors = map[string]seizure.Connector{"reg": polled{w.prov}} })
	for _, text := range []string{"first", "second", "second"} {
		w.prov.msgs = []seizure.Message{{ID: "1", Text: text}}
		if n, err := e.Poll(t.Context()); err != nil || n != 1 {
			t.Fatalf("%d %v", n, err)
		}
	}
	w.prov.msgs = []seizure.Message{{ID: "2", Pending: true, Name: w.names[0], ClTRID: "X", Done: true}, {ID: "3", Pending: true, Name: w.names[0], ClTRID: "X", Done: false}}
	if n, err := e.Poll(t.Context()); err != nil || n != 2 {
		t.Fatalf("%d %v", n, err)
	}
	kept := 0
	_ = w.log.Entries(t.Context(), 0, func(_ int64, e impound.Entry) error {
		if e.What == "seize.message" {
			kept++
		}
		return nil
	})
	if kept != 4 {
		t.Errorf("%d messages are kept, want 4", kept)
	}
}

// polled is a provider that says that it has messages.
type polled struct{ *provider }

func (p polled) Capabilities() seizure.Capabilities {
	c := p.provider.Capabilities()
	c.Poll = true
	return c
}

func (p polled) Poll(ctx context.Context, keep func(seizure.Message) error) error {
	return p.provider.Poll(ctx, keep)
}
