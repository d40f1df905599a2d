package casework

import (
	"context"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// codeSeen begins the code of reasons that rest on an observation, not on the
// name; their weights are nats that move the candidate's odds.
const codeSeen = "seen-"

// RankSeen changes a candidate's score, in tx, by what was observed of it at a
// time: reasons whose codes begin with "seen-". Those of an earlier look are
// replaced; what the name alone gave stays beside it. A name that is no candidate
// is passed over. Nothing is decided by it, so the evidence log isn't told.
func (s *Service) RankSeen(ctx context.Context, tx store.Tx, n impound.Name, at time.Time, seen []impound.Reason) error {
	if _, err := s.act(ctx, "RankSeen", ""); err != nil {
		return err
	}
	c, rev, err := store.Get[impound.Candidate](tx, kindCandidate, n.String())
	if impound.KindOf(err) == impound.KindNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	for _, r := range seen {
		if !strings.HasPrefix(r.Code, codeSeen) {
			return impound.Errorf(impound.KindInternal, "%q is no reason that rests on an observation", r.Code)
		}
	}
	was, name := c, nameScore(c)
	c.Observed = at.UTC()
	c = observed(c, name, seen)
	if c.Score == was.Score && c.Observed.Equal(was.Observed) && slices.Equal(c.Reasons, was.Reasons) {
		return nil
	}
	if err := putCandidate(tx, rev, c); err != nil {
		return err
	}
	b := newBook(tx, s.now())
	if err := b.build(); err != nil {
		return err
	}
	in := c
	in.Source, in.Seen = "", time.Time{} // no sighting: nobody saw it anew
	return b.sight(in, c, false)
}

// nameScore is what the name alone gave.
func nameScore(c impound.Candidate) float64 {
	if c.Observed.IsZero() {
		return c.Score
	}
	return c.NameScore
}

// observed gives c with the score that follows from its name's and from what was
// seen; seen nil: nothing changes but the place of the score.
func observed(c impound.Candidate, name float64, seen []impound.Reason) impound.Candidate {
	c.NameScore = name
	var nats float64
	rs := slices.DeleteFunc(slices.Clone(c.Reasons), func(r impound.Reason) bool { return strings.HasPrefix(r.Code, codeSeen) })
	for _, r := range seen {
		nats += r.Weight
	}
	c.Reasons = append(rs, seen...)
	if c.Score = name; nats != 0 {
		p := min(max(name, 0.001), 0.999)
		c.Score = 1 / (1 + math.Exp(-(math.Log(p/(1-p)) + nats)))
		c.Score = math.Round(c.Score*1e6) / 1e6
	}
	return c
}

// again gives a candidate that was found once more, with a higher score of its
// name: what was observed of it before still holds.
func again(c, old impound.Candidate) impound.Candidate {
	if old.Observed.IsZero() {
		return c
	}
	var seen []impound.Reason
	for _, r := range old.Reasons {
		if strings.HasPrefix(r.Code, codeSeen) {
			seen = append(seen, r)
		}
	}
	c.Observed = old.Observed
	return observed(c, c.Score, seen)
}
