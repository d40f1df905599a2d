package app

import (
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/watch/live"
)

// That a source is let go stands in the evidence log before, and what came of it
// after; where it can't be written nothing is let go.
func TestReleaseIsOnRecord(t *testing.T) {
	s, err := Open(t.Context(), Options{State: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	ctx := impound.WithPrincipal(t.Context(), impound.Principal{ID: "local", System: true})
	if err := s.WatchRelease(ctx, "nothing", live.ResumeNow); impound.KindOf(err) != impound.KindNotFound {
		t.Errorf("a source that is none: %v", err)
	}
	es, err := s.Evidence.Select(t.Context(), evidence.Filter{What: "watch.release"})
	if err != nil || len(es) != 2 {
		t.Fatalf("%d entries, %v", len(es), err)
	}
	if in, out := es[0].Entry, es[1].Entry; in.Type != impound.EntryIntent || in.Detail["source"] != "nothing" || in.Detail["skipped"] != "true" ||
		out.Type != impound.EntryResult || out.Intent != in.ID || !strings.Contains(out.Detail["text"], "failed: ") {
		t.Errorf("%+v\n%+v", in, out)
	}
	if err := s.Evidence.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.WatchRelease(ctx, "nothing", live.ResumeHere); err == nil || impound.KindOf(err) == impound.KindNotFound {
		t.Errorf("without a log the source was looked for: %v", err)
	}
}
