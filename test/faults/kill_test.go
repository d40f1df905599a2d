package faults

import (
	"path/filepath"
	"testing"
	"time"
)

// The sensor is killed under full load, again and again: every question that
// was answered stands in the spool, each once, and the numbers grow.
func TestSIGKILL(t *testing.T) {
	besides(t)
	state := tour(t)
	l := &load{tag: "k", sources: 48, window: 32}
	rounds := pick(2, 40)
	for round := range rounds {
		s := serve(t, state)
		l.start(t, s.addr("dns"))
		time.Sleep(pick(150*time.Millisecond, 2*time.Second) + time.Duration(round*53%97)*time.Millisecond)
		s.kill()
		l.wg.Wait()
	}
	sent, answered := l.counts()
	got := compare(t, filepath.Join(state, "spool"), l)
	if answered < 1000 {
		t.Errorf("only %d were answered: no load", answered)
	}
	if got.lost > 0 || got.twice > 0 || got.corrupt > 0 || got.unordered > 0 {
		t.Errorf("of %d answered, %d are lost, %d are there twice; %d stretches are damaged, %d out of order", answered, got.lost, got.twice, got.corrupt, got.unordered)
	}
	t.Logf("%d kills: %d asked, %d answered, %d recorded; lost %d, twice %d, damaged %d", rounds, sent, answered, got.ours, got.lost, got.twice, got.corrupt)
	if long { // it goes on as if nothing had been, and stops in order
		serve(t, state).stop(t)
	}
}
