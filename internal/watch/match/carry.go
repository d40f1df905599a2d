package match

import "math"

// carried is what was found in the last name that scored, and in what.
type carried struct {
	v  verdict
	in *scan
}

// Hit says why the name that was scored last scored what it did, as
// [Matcher.Match] would. It is to be called only after [Scorer.Score] or
// [Scorer.AtLeast] gave more than 0, before the next name.
func (r *Scorer) Hit() Hit { return r.m.explain(r.carried.in, r.carried.v) }

// Find is [Matcher.Match] for names that score least or more, and faster for
// others. It does not keep name.
func (r *Scorer) Find(name []byte, least float64) (Hit, bool) {
	r.aim(least)
	v, in := r.look(name, r.cut)
	if v.ok {
		if v.logit > r.cut && squash(v.logit) >= least {
			return r.m.explain(in, v), true
		}
		return Hit{}, false
	}
	if h, ok := r.m.lureOnly(in); ok && h.Score >= least {
		return h, true
	}
	return Hit{}, false
}

// Any is the score that [Matcher.Match] gives, lure words alone among it; 0 for
// nothing.
func (r *Scorer) Any(name []byte) float64 {
	v, in := r.look(name, math.Inf(-1))
	if v.ok {
		return squash(v.logit)
	}
	h, _ := r.m.lureOnly(in)
	return h.Score
}

// aim sets from which logit on what is found is to be weighed in full.
func (r *Scorer) aim(least float64) {
	if r.least == least && r.cutOf == r.m {
		return
	}
	r.least, r.cutOf, r.cut, r.from = least, r.m, math.Inf(1), math.Inf(-1)
	switch {
	case least <= 0:
		r.cut = math.Inf(-1)
	case least < 1:
		// What is looked at again may score more by it.
		from := math.Log(least/(1-least)) - boundSlip
		r.cut = min(from, secondFrom)
		if from > -squashMost { // below, all logits have one score
			r.from = from
		}
	}
}
