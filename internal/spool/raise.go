package spool

// Margin is how far numbers must leap where the newest number that was given is
// known but for the last moments: more events than come within them.
const Margin = jump

// Raise makes every number from now on higher than n. It is for whoever learns,
// while events are being recorded, that higher numbers were given before: that the
// folder was lost, or came back from an old copy, under a clock that is wrong.
func (s *Spool) Raise(n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seq < n {
		s.opt.Log.Warn("spool: higher numbers were given before; numbers leap", "have", s.seq, "next", n+1)
		s.seq = n
	}
}
