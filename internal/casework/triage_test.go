package casework_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/evidence"
)

func cand(n, source string, score float64, brand string, codes ...string) impound.Candidate {
	c := impound.Candidate{Name: impound.MustName(n), Source: source, Seen: t0, Score: score, Brand: brand}
	for _, k := range codes {
		c.Reasons = append(c.Reasons, impound.Reason{Code: k, Text: fmt.Sprintf(`%q is %q`, strings.ToLower(brand), strings.ToLower(brand)), Weight: 1})
	}
	return c
}

func (d *desk) saw(cs ...impound.Candidate) {
	d.t.Helper()
	_, err := d.SaveCandidates(impound.AsSystem(d.t.Context()), cs)
	d.ok(err)
}

func (d *desk) queue(ctx context.Context, f casework.QueueFilter) []casework.Row {
	d.t.Helper()
	p, err := d.Queue(ctx, f)
	d.ok(err)
	return p.Rows
}

func (d *desk) row(ctx context.Context, n string) casework.Row {
	d.t.Helper()
	rows := d.queue(ctx, casework.QueueFilter{Name: impound.MustName(n)})
	if len(rows) != 1 {
		d.t.Fatalf("%s: %d rows", n, len(rows))
	}
	return rows[0]
}

// rules decides, and fails when one pick does.
func (d *desk) rules(by string, r casework.Ruling, ns ...string) {
	d.t.Helper()
	var picks []casework.Pick
	for _, n := range names(ns...) {
		picks = append(picks, casework.Pick{Name: n, Rev: -1})
	}
	out, err := d.Triage(d.t.Context(), by, picks, r)
	d.ok(err)
	for _, o := range out {
		d.ok(o.Err)
	}
}

func domains(rows []casework.Row) (out []string) {
	for _, r := range rows {
		out = append(out, r.Name.String())
	}
	return out
}

func TestQueueHasARowForEachDomain(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice"}))
	d.saw(cand("login.pay-verify.com", "ct", .6, "PayPal", "brand-combo"), cand("pay-verify.com", "nrd", .8, "PayPal", "brand-combo"),
		cand("pay-verify.com", "ct", .8, "PayPal", "brand-combo"), cand("a.github.io", "ct", .3, "Outlook"), cand("b.github.io", "ct", .4, "Outlook"))
	rows := d.queue(ctx, casework.QueueFilter{Status: casework.CandidateOpen})
	if diff := cmp.Diff([]string{"pay-verify.com", "b.github.io", "a.github.io"}, domains(rows)); diff != "" {
		t.Fatal(diff)
	}
	r := rows[0]
	if r.Count != 2 || len(r.Hosts) != 2 || r.Hosts[0].Name.String() != "pay-verify.com" || len(r.Sources) != 2 || r.Score != .8 || r.Top.String() != "pay-verify.com" {
		t.Errorf("%+v", r)
	}
	for _, c := range []struct {
		f    casework.QueueFilter
		want []string
	}{
		{casework.QueueFilter{Brand: "Outlook"}, []string{"b.github.io", "a.github.io"}},
		{casework.QueueFilter{Brand: "Outlook", MinScore: .35}, []string{"b.github.io"}},
		{casework.QueueFilter{Source: "nrd"}, []string{"pay-verify.com"}},
		{casework.QueueFilter{Source: "ct", Status: casework.CandidateDismissed}, nil},
		{casework.QueueFilter{Name: impound.MustName("login.pay-verify.com")}, []string{"pay-verify.com"}},
		{casework.QueueFilter{Limit: 1}, []string{"pay-verify.com"}},
	} {
		p, err := d.Queue(ctx, c.f)
		d.ok(err)
		if diff := cmp.Diff(c.want, domains(p.Rows)); diff != "" {
			t.Errorf("%+v: %s", c.f, diff)
		}
	}
	// Page by page is the same as all at once.
	var got []string
	after := ""
	for {
		p, err := d.Queue(ctx, casework.QueueFilter{Limit: 1, After: after})
		d.ok(err)
		got = append(got, domains(p.Rows)...)
		if p.Total != 3 {
			t.Errorf("total %d", p.Total)
		}
		if after = p.Next; after == "" {
			break
		}
	}
	if diff := cmp.Diff(domains(rows), got); diff != "" {
		t.Error(diff)
	}
	// A host is promoted as it is, and closes the row.
	d.ok(d.Promote(ctx, "ann", impound.MustName("login.pay-verify.com"), "C-1"))
	if r := d.row(ctx, "pay-verify.com"); r.Status != casework.CandidatePromoted || r.Case != "C-1" {
		t.Errorf("%+v", r.Standing)
	}
	if d.state("login.pay-verify.com") != impound.StateCandidate {
		t.Error("the host is not in the case")
	}
	n, err := d.QueueCounts(ctx)
	d.ok(err)
	if n[casework.CandidateOpen] != 2 || n[casework.CandidatePromoted] != 1 {
		t.Errorf("%v", n)
	}
}

// What was closed opens again for what was not known, and says why; for the same
// again it does not.
func TestDismissedOpensForNews(t *testing.T) {
	ctx := t.Context()
	for _, c := range []struct {
		what, reason string
		see          impound.Candidate
		again        string // "": stays closed
	}{
		{"the same", casework.ReasonOther, cand("pay-x.com", "ct", .5, "PayPal", "brand-combo"), ""},
		{"the same, elsewhere", casework.ReasonOther, cand("pay-x.com", "ct2", .5, "PayPal", "brand-combo"), ""},
		{"a lower score", casework.ReasonWord, cand("pay-x.com", "ct", .4, "PayPal", "brand-combo"), ""},
		{"a higher score", casework.ReasonWord, cand("pay-x.com", "ct", .7, "PayPal", "brand-combo"), "scores 0.70, not 0.50"},
		{"another way", casework.ReasonChance, cand("pay-x.com", "ct", .5, "PayPal", "brand-homoglyph"), "brand-homoglyph"},
		{"another brand", casework.ReasonChance, cand("pay-x.com", "ct", .5, "Yahoo", "brand-combo"), "imitates Yahoo"},
		{"a host", casework.ReasonOther, cand("www.pay-x.com", "ct", .3, "PayPal", "brand-combo"), "www[.]pay-x[.]com"},
		{"a host of the brand's own", casework.ReasonOwn, cand("www.pay-x.com", "ct", .9, "PayPal", "brand-exact"), ""},
		{"the brand's own, for another brand", casework.ReasonOwn, cand("yahoo.pay-x.com", "ct", .9, "Yahoo", "brand-exact"), "imitates Yahoo"},
		{"the same, but it was inactive", casework.ReasonInactive, cand("pay-x.com", "ct", .5, "PayPal", "brand-combo"), "seen by ct"},
		{"an actor's", casework.ReasonOwn, func() impound.Candidate {
			c := cand("pay-x.com", "nrd", .5, "PayPal", "brand-combo")
			c.Actors = []string{"APT35"}
			return c
		}(), "APT35"},
	} {
		t.Run(c.what, func(t *testing.T) {
			d := newDesk(t)
			d.saw(cand("pay-x.com", "nrd", .5, "PayPal", "brand-combo"))
			d.rules("ann", casework.Ruling{Do: casework.DoDismiss, Reason: c.reason, Why: "a shop"}, "pay-x.com")
			d.saw(c.see)
			r := d.row(ctx, "pay-x.com")
			open := r.Status == casework.CandidateOpen
			if open != (c.again != "") || !strings.Contains(r.Again, c.again) || open && !strings.Contains(r.Again, "dismissed by ann") {
				t.Errorf("%+v", r.Standing)
			}
			if r.Why != "a shop" {
				t.Errorf("why it was dismissed is lost: %+v", r.Standing)
			}
			if got, err := d.Candidate(ctx, impound.MustName("pay-x.com")); err != nil || got.Status != r.Status {
				t.Errorf("the candidate says %q, %v", got.Status, err)
			}
		})
	}
}

// Three dismissals teach, and undoing one unteaches; a promotion speaks against.
func TestDecisionsTeach(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice"}))
	var cs []impound.Candidate
	for i := range 6 {
		cs = append(cs, cand(fmt.Sprintf("outlook-furniture%d.com", i), "nrd", .5, "Outlook", "brand-exact"))
	}
	cs = append(cs, cand("outlook-verify.com", "nrd", .45, "Outlook", "brand-exact"))
	d.saw(cs...)
	dismiss := casework.Ruling{Do: casework.DoDismiss, Reason: casework.ReasonWord, Why: "a shop"}
	d.rules("ann", dismiss, "outlook-furniture0.com", "outlook-furniture1.com")
	if r := d.row(ctx, "outlook-furniture3.com"); r.Rank != r.Score {
		t.Errorf("two decisions taught already: %+v", r)
	}
	d.rules("ann", dismiss, "outlook-furniture2.com")
	r := d.row(ctx, "outlook-furniture3.com")
	if r.Rank >= r.Score || len(r.Learnt) != 1 || !strings.Contains(r.Learnt[0].Text, "3 of 3 names with “furniture” beside Outlook were dismissed") || r.Learnt[0].Weight != -.12 {
		t.Fatalf("%+v", r)
	}
	if rows := d.queue(ctx, casework.QueueFilter{Status: casework.CandidateOpen}); rows[0].Name.String() != "outlook-verify.com" || rows[0].Rank != .45 {
		t.Errorf("%v", domains(rows))
	}
	// What comes now ranks lower from the beginning, and stands in the queue all the same.
	d.saw(cand("furniture-outlook.net", "nrd", .5, "Outlook", "brand-exact"))
	if r := d.row(ctx, "furniture-outlook.net"); r.Rank != .38 || r.Status != casework.CandidateOpen {
		t.Errorf("%+v", r)
	}
	ls, err := d.Lessons(ctx)
	d.ok(err)
	if len(ls) != 1 || len(ls[0].Dismissed) != 3 || ls[0].Offset != -.12 || !slices.Equal(ls[0].By, []string{"ann"}) {
		t.Fatalf("%+v", ls)
	}
	d.rules("ann", casework.Ruling{Do: casework.DoReopen}, "outlook-furniture1.com")
	if r := d.row(ctx, "furniture-outlook.net"); r.Rank != .5 || len(r.Learnt) != 0 {
		t.Errorf("undone, and still: %+v", r)
	}
	d.rules("ann", dismiss, "outlook-furniture1.com")
	d.refuses(d.SwitchLesson(ctx, "ann", ls[0].Key, false, ""), impound.KindInvalid)
	d.refuses(d.SwitchLesson(ctx, "olga", ls[0].Key, false, "x"), impound.KindAuth)
	d.refuses(d.SwitchLesson(ctx, "ann", "nothing", false, "x"), impound.KindNotFound)
	d.ok(d.SwitchLesson(ctx, "ann", ls[0].Key, false, "a campaign sells furniture"))
	if r := d.row(ctx, "furniture-outlook.net"); r.Rank != .5 {
		t.Errorf("switched off, and still: %+v", r)
	}
	d.ok(d.SwitchLesson(ctx, "ann", ls[0].Key, true, ""))
	d.rules("ann", casework.Ruling{Do: casework.DoPromote, Case: "C-1"}, "furniture-outlook.net")
	if r := d.row(ctx, "outlook-furniture4.com"); r.Rank != .44 || !strings.Contains(r.Learnt[0].Text, "3 of 4") {
		t.Errorf("%+v", r)
	}
}

// That one plain combination was harmless speaks against its words, not against
// every combination with the brand; a misspelling speaks against its kind.
func TestWhatChanceTeaches(t *testing.T) {
	ctx := t.Context()
	for how, want := range map[string]float64{"brand-combo": .5, "brand-omission": .38} {
		d := newDesk(t)
		for i := range 3 {
			n := fmt.Sprintf("outlook-bakery%d.com", i)
			d.saw(cand(n, "nrd", .5, "Outlook", how))
			d.rules("ann", casework.Ruling{Do: casework.DoDismiss, Reason: casework.ReasonChance}, n)
		}
		d.saw(cand("outlook-verify.com", "nrd", .5, "Outlook", how), cand("outlook-bakery9.com", "nrd", .5, "Outlook", how))
		if r := d.row(ctx, "outlook-verify.com"); r.Rank != want {
			t.Errorf("%s: %+v", how, r)
		}
		if r := d.row(ctx, "outlook-bakery9.com"); r.Rank >= .5 {
			t.Errorf("%s: %+v", how, r)
		}
	}
}

// Two analysts at once: the second one is told, and loses nothing that is not in
// question.
func TestTwoAnalystsAtOnce(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.ok(d.Enrol(ctx, casework.SignEnrolment(person("eve", impound.RoleAnalyst), "root", key("root"))))
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice"}))
	var cs []impound.Candidate
	for i := range 40 {
		cs = append(cs, cand(fmt.Sprintf("pay-%02d.com", i), "nrd", .5, "PayPal"))
	}
	d.saw(cs...)
	var picks []casework.Pick
	for _, r := range d.queue(ctx, casework.QueueFilter{}) {
		picks = append(picks, casework.Pick{Name: r.Name, Rev: r.Rev})
	}
	other := openDesk(t, d.dir)
	var wg sync.WaitGroup
	got := map[string][]casework.Ruled{}
	var mu sync.Mutex
	for who, r := range map[string]casework.Ruling{"ann": {Do: casework.DoPromote, Case: "C-1"}, "eve": {Do: casework.DoDismiss, Reason: casework.ReasonChance}} {
		s := d
		if who == "eve" {
			s = other
		}
		wg.Go(func() {
			for part := range slices.Chunk(picks, 7) {
				out, err := s.Triage(ctx, who, part, r)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				got[who] = append(got[who], out...)
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	for i, p := range picks {
		a, e := got["ann"][i], got["eve"][i]
		if a.Changed == e.Changed {
			t.Errorf("%s: ann %+v, eve %+v", p.Name, a, e)
		}
		lost, by := e, "ann"
		if e.Changed {
			lost, by = a, "eve"
		}
		if impound.KindOf(lost.Err) != impound.KindConflict || !strings.Contains(lost.Err.Error(), by) {
			t.Errorf("%s: %v", p.Name, lost.Err)
		}
		if r := d.row(ctx, p.Name.String()); r.By != by || r.Rev != 1 {
			t.Errorf("%+v", r.Standing)
		}
	}
	// Each decision stands in the log once.
	n := 0
	d.ok(d.log.Entries(ctx, 0, func(_ int64, e impound.Entry) error {
		if e.What == "candidate.promote" || e.What == "candidate.dismiss" {
			n++
		}
		return nil
	}))
	if n != len(picks) {
		t.Errorf("%d decisions in the log", n)
	}
}

func TestSnoozeEnds(t *testing.T) {
	ctx := t.Context()
	now := t0
	d := newDesk(t)
	d.cfg.Now = func() time.Time { return now }
	s, err := casework.New(d.cfg)
	d.ok(err)
	d.Service = s
	d.saw(cand("pay-x.com", "nrd", .5, "PayPal"), cand("pay-y.com", "nrd", .4, "PayPal"))
	pick := []casework.Pick{{Name: impound.MustName("pay-x.com")}}
	_, err = d.Triage(ctx, "ann", pick, casework.Ruling{Do: casework.DoSnooze, Until: t0.Add(-time.Hour)})
	d.refuses(err, impound.KindInvalid)
	d.rules("ann", casework.Ruling{Do: casework.DoSnooze, Until: t0.Add(48 * time.Hour)}, "pay-x.com")
	d.rules("ann", casework.Ruling{Do: casework.DoSnooze, Until: t0.Add(24 * time.Hour)}, "pay-x.com")
	open := func() []string { return domains(d.queue(ctx, casework.QueueFilter{Status: casework.CandidateOpen})) }
	for _, c := range []struct {
		after time.Duration
		want  []string
	}{{0, []string{"pay-y.com"}}, {24*time.Hour - time.Second, []string{"pay-y.com"}}, {24 * time.Hour, []string{"pay-x.com", "pay-y.com"}}, {49 * time.Hour, []string{"pay-x.com", "pay-y.com"}}} {
		now = t0.Add(c.after)
		if diff := cmp.Diff(c.want, open()); diff != "" {
			t.Errorf("after %v: %s", c.after, diff)
		}
	}
	if r := d.row(ctx, "pay-x.com"); r.Rev != 3 || !strings.Contains(r.Again, "snoozed by ann") {
		t.Errorf("%+v", r.Standing)
	}
}

// What a sealed case's habits found is for its parties; what went into one looks
// open to others, who may decide of it for themselves.
func TestQueueAndSeals(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.guard()
	d.ok(d.Enrol(ctx, casework.SignEnrolment(person("eve", impound.RoleAnalyst), "root", key("root"))))
	for _, id := range []string{"OPEN", "QUIET"} {
		d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: id, Title: id}))
	}
	d.ok(d.seal("ann", "QUIET", "ann"))
	only := cand("quiet-one.com", "ct", .9, "")
	only.Scope, only.Actors = "QUIET", []string{"APT35"}
	both := cand("pay-x.com", "ct", .95, "")
	both.Scope, both.Actors = "QUIET", []string{"APT35"}
	var cs []impound.Candidate
	for i := range 4 {
		cs = append(cs, cand(fmt.Sprintf("pay-furniture%d.com", i), "nrd", .6, "PayPal", "brand-combo"))
	}
	d.saw(append(cs, only, both, cand("pay-x.com", "ct", .5, "PayPal", "brand-combo"))...)
	ann, eve := as(ctx, "ann"), as(ctx, "eve")
	see := func(ctx context.Context, f casework.QueueFilter) string {
		return strings.Join(domains(d.queue(ctx, f)), " ")
	}
	if got := see(eve, casework.QueueFilter{}); got != "pay-furniture0.com pay-furniture1.com pay-furniture2.com pay-furniture3.com pay-x.com" {
		t.Errorf("eve sees %s", got)
	}
	if got := see(ann, casework.QueueFilter{Limit: 3}); got != "pay-x.com quiet-one.com pay-furniture0.com" {
		t.Errorf("ann sees %s", got)
	}
	if got := see(eve, casework.QueueFilter{Actor: "APT35"}) + see(eve, casework.QueueFilter{Name: impound.MustName("quiet-one.com")}); got != "" {
		t.Errorf("eve sees %s", got)
	}
	rule := func(ctx context.Context, who, n, scope string, rev int64, r casework.Ruling) error {
		out, err := d.Triage(ctx, who, []casework.Pick{{Name: impound.MustName(n), Scope: scope, Rev: rev}}, r)
		d.ok(err)
		return out[0].Err
	}
	dismiss := casework.Ruling{Do: casework.DoDismiss, Reason: casework.ReasonOther, Why: "no"}
	d.refuses(rule(eve, "eve", "quiet-one.com", "QUIET", -1, dismiss), impound.KindNotFound)
	d.refuses(rule(eve, "eve", "quiet-one.com", "", -1, dismiss), impound.KindNotFound)
	d.refuses(rule(ann, "ann", "quiet-one.com", "QUIET", 0, casework.Ruling{Do: casework.DoPromote, Case: "OPEN"}), impound.KindRefused)
	d.ok(rule(ann, "ann", "quiet-one.com", "QUIET", 0, casework.Ruling{Do: casework.DoPromote, Case: "QUIET"}))
	for i := range 3 {
		d.ok(rule(ann, "ann", fmt.Sprintf("pay-furniture%d.com", i), "", 0, casework.Ruling{Do: casework.DoPromote, Case: "QUIET"}))
	}
	before := d.queue(eve, casework.QueueFilter{})
	if len(before) != 5 || before[0].Status != casework.CandidateOpen || before[0].Case != "" || before[0].Rev != 0 || before[0].Rank != .6 || before[3].Rank != .6 {
		t.Errorf("eve can tell: %+v", before)
	}
	if ls, err := d.Lessons(eve); err != nil || len(ls) != 0 {
		t.Errorf("eve learns %+v %v", ls, err)
	}
	n, err := d.QueueCounts(eve)
	d.ok(err)
	if n[casework.CandidateOpen] != 5 || n[casework.CandidatePromoted] != 0 {
		t.Errorf("%v", n)
	}
	// Eve decides of what went there; ann's standing stays.
	d.ok(rule(eve, "eve", "pay-furniture0.com", "", 0, dismiss))
	d.ok(rule(eve, "eve", "pay-furniture1.com", "", 0, casework.Ruling{Do: casework.DoPromote, Case: "OPEN"}))
	if r := d.row(eve, "pay-furniture0.com"); r.Status != casework.CandidateDismissed {
		t.Errorf("%+v", r.Standing)
	}
	if r := d.row(ann, "pay-furniture0.com"); r.Case != "QUIET" {
		t.Errorf("%+v", r.Standing)
	}
	if got := see(eve, casework.QueueFilter{Status: casework.CandidateOpen}); got != "pay-furniture2.com pay-furniture3.com pay-x.com" {
		t.Errorf("eve sees %s", got)
	}
	// A case that is sealed afterwards takes what it taught with it.
	for i := range 3 {
		d.saw(cand(fmt.Sprintf("shoes-pay%d.com", i), "nrd", .3, "PayPal", "brand-combo"))
		d.ok(rule(ann, "ann", fmt.Sprintf("shoes-pay%d.com", i), "", 0, casework.Ruling{Do: casework.DoPromote, Case: "OPEN"}))
	}
	if r := d.row(eve, "pay-x.com"); r.Rank <= r.Score {
		t.Errorf("promotions teach nothing: %+v", r)
	}
	d.ok(d.seal("ann", "OPEN", "ann"))
	_, err = d.Rerank(ctx, time.Minute)
	d.ok(err)
	if r := d.row(eve, "pay-x.com"); r.Rank != r.Score || len(r.Learnt) != 0 {
		t.Errorf("%+v", r)
	}
}

// Rows are made of candidates from before there were rows.
func TestQueueOfAnOlderStore(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.saw(cand("pay-x.com", "nrd", .5, "PayPal"), cand("pay-y.com", "nrd", .4, "PayPal"))
	d.ok(d.Dismiss(ctx, "ann", impound.MustName("pay-y.com"), "no"))
	casework.DropRows(t, d.db)
	d = openDesk(t, d.dir)
	rows := d.queue(ctx, casework.QueueFilter{})
	if len(rows) != 2 || rows[0].Status != casework.CandidateOpen || rows[1].Status != casework.CandidateDismissed {
		t.Errorf("%+v", rows)
	}
}

// The real log takes many decisions with one wait for the disk.
var _ interface {
	AppendAll(context.Context, []impound.Entry) ([]int64, error)
} = (*evidence.Log)(nil)
