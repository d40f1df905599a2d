package faults

import (
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"
)

// One source floods, then many: others are still answered, nobody gets back
// more than he sent by half, and every question that was answered is recorded,
// those over the limit too.
func TestFloods(t *testing.T) {
	besides(t)
	state := tour(t)
	s := serve(t, state)
	for _, c := range []struct {
		tag     string
		sources int
		window  int
	}{{"o", 1, 2048}, {"m", 200, 16}} {
		l := &load{tag: c.tag, sources: c.sources, window: c.window}
		if c.sources == 1 {
			l.copies = 4 // sockets of one source
		}
		var done atomic.Bool
		l.start(t, s.addr("dns"))
		time.AfterFunc(pick(500*time.Millisecond, 30*time.Second), func() { done.Store(true) })
		rtts, missed := probe(t, s.addr("dns"), source(5000), 2*time.Millisecond, done.Load)
		l.stop()
		sent, answered := l.counts()
		var out, in uint64
		for _, x := range l.socks {
			out += x.sentB
			in += x.gotB
		}
		if missed > len(rtts)/10 {
			t.Errorf("%d sources: somebody else's questions: %d of %d without an answer", c.sources, missed, len(rtts))
		}
		if in*2 > out*3 {
			t.Errorf("%d sources: %d octets came, %d went: more than 1.5 times", c.sources, out, in)
		}
		got := compare(t, filepath.Join(state, "spool"), l)
		if got.lost > 0 || got.twice > 0 || got.gaps > 0 {
			t.Errorf("%d sources: of %d answered, %d are lost, %d twice, gaps of %d", c.sources, answered, got.lost, got.twice, got.gaps)
		}
		t.Logf("%d sources: %d asked, %d answered, %d recorded, lost %d; octets back for one: %.2f; meanwhile another network's: %d asked, %d missed, p50 %v, p99 %v",
			c.sources, sent, answered, got.ours, got.lost, float64(in)/float64(out), len(rtts), missed, quantile(rtts, .5).Round(10*time.Microsecond), quantile(rtts, .99).Round(10*time.Microsecond))
	}
	s.kill()
}
