package casework_test

import (
	"reflect"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/store"
)

// What is observed moves a candidate's score and stands in its reasons; a later
// look replaces it, a later sighting of the name doesn't lose it, and with nothing
// observed the score is the name's, to the bit.
func TestRankSeen(t *testing.T) {
	ctx := impound.AsSystem(t.Context())
	d := newDesk(t)
	n := impound.MustName("outlook-verify.com")
	save := func(score float64) {
		t.Helper()
		_, err := d.SaveCandidates(ctx, []impound.Candidate{{Name: n, Source: "nrd", Seen: t0, Score: score, Brand: "outlook", Reasons: []impound.Reason{{Code: "brand-exact", Text: "outlook", Weight: 3}}}})
		d.ok(err)
	}
	rank := func(at time.Time, rs ...impound.Reason) impound.Candidate {
		t.Helper()
		d.ok(d.db.Update(ctx, func(tx store.Tx) error { return d.RankSeen(ctx, tx, n, at, rs) }))
		c, err := d.Candidate(ctx, n)
		d.ok(err)
		q, err := d.Queue(ctx, casework.QueueFilter{Name: n})
		d.ok(err)
		if len(q.Rows) != 1 || q.Rows[0].Score != c.Score || !reflect.DeepEqual(q.Rows[0].Reasons, c.Reasons) {
			t.Errorf("its row has %+v, not %+v", q.Rows, c)
		}
		return c
	}
	d.ok(d.db.Update(ctx, func(tx store.Tx) error { return d.RankSeen(ctx, tx, n, t0, nil) })) // no candidate: nothing
	save(0.71)
	up, down := impound.Reason{Code: "seen-link", Text: "shares", Weight: 2}, impound.Reason{Code: "seen-age", Text: "old", Weight: -1.2}
	if c := rank(t0, up); c.NameScore != 0.71 || c.Score < 0.94 || c.Score > 0.96 || len(c.Reasons) != 2 || !c.Observed.Equal(t0) {
		t.Errorf("up: %+v", c)
	}
	c := rank(t0.Add(time.Hour), down)
	if c.Score > 0.5 || len(c.Reasons) != 2 {
		t.Errorf("a later look replaces: %+v", c)
	}
	save(0.6) // lower than the name's own: stays
	again, err := d.Candidate(ctx, n)
	d.ok(err)
	if !reflect.DeepEqual(c, again) {
		t.Errorf("a lower sighting changes it: %+v", again)
	}
	save(0.9) // higher than the name's own, though lower than nothing else: taken
	if c, err = d.Candidate(ctx, n); err != nil || c.NameScore != 0.9 || c.Score >= 0.9 || c.Score < 0.7 || len(c.Reasons) != 2 {
		t.Errorf("a higher sighting keeps what was seen: %+v %v", c, err)
	}
	if c = rank(t0.Add(2 * time.Hour)); c.Score != 0.9 || len(c.Reasons) != 1 {
		t.Errorf("nothing seen: the name's score to the bit: %+v", c)
	}
	if all, err := d.Candidates(ctx, casework.CandidateFilter{Status: casework.CandidateOpen}); err != nil || len(all) != 1 || all[0].Score != 0.9 {
		t.Errorf("the queue has %+v %v", all, err)
	}
	d.refuses(d.db.Update(ctx, func(tx store.Tx) error {
		return d.RankSeen(ctx, tx, n, t0, []impound.Reason{{Code: "brand-exact", Weight: 5}})
	}), impound.KindInternal)
}
