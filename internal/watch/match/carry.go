package match

// carried is what was found in the last name that scored, and in what.
type carried struct {
	v  verdict
	in *scan
}

// Hit says why the name that was scored last scored what it did, as
// [Matcher.Match] would. It is to be called only after [Scorer.Score] or
// [Scorer.AtLeast] gave more than 0, before the next name.
func (r *Scorer) Hit() Hit { return r.m.explain(r.carried.in, r.carried.v) }
