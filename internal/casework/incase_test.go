package casework_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework"
)

// What a case holds already does not come up as a new row, and says where it is.
func TestNamesOfCasesDontComeUp(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice"}))
	_, err := d.AddNames(ctx, "ann", "C-1", add("pay-verify.com", "login.shop-verify.com"))
	d.ok(err)
	d.saw(cand("pay-verify.com", "ct", .8, "PayPal", "brand-combo"), cand("www.pay-verify.com", "ct", .7, "PayPal", "brand-combo"),
		cand("login.shop-verify.com", "ct", .7, "PayPal", "brand-combo"), cand("new-verify.com", "ct", .6, "PayPal", "brand-combo"))
	open := casework.QueueFilter{Status: casework.CandidateOpen}
	if diff := cmp.Diff([]string{"new-verify.com"}, domains(d.queue(ctx, open))); diff != "" {
		t.Fatal(diff)
	}
	counts, err := d.QueueCounts(ctx)
	d.ok(err)
	if counts[casework.CandidateOpen] != 1 || counts[casework.CandidatePromoted] != 2 {
		t.Errorf("counted %v", counts)
	}
	r := d.row(ctx, "pay-verify.com")
	if r.Status != casework.CandidatePromoted || r.Case != "C-1" || r.By != "" || !strings.Contains(r.Why, "already") || r.Count != 2 {
		t.Errorf("got %+v", r)
	}
	c, err := d.Candidate(ctx, impound.MustName("www.pay-verify.com"))
	if d.ok(err); c.Status != casework.CandidatePromoted || c.Case != "C-1" {
		t.Errorf("the candidate says %s to %s", c.Status, c.Case)
	}
	// One host in a case does not hide the next one.
	d.saw(cand("mail.shop-verify.com", "nrd", .7, "PayPal", "brand-combo"))
	r = d.row(ctx, "shop-verify.com")
	if r.Status != casework.CandidateOpen || !strings.Contains(r.Again, "a new host mail[.]shop-verify[.]com") || !slices.Equal(r.InCases, []string{"C-1"}) {
		t.Errorf("got %+v", r)
	}
	// Put into the case by hand: the row closes, and does not teach.
	_, err = d.AddNames(ctx, "ann", "C-1", add("new-verify.com"))
	d.ok(err)
	if r = d.row(ctx, "new-verify.com"); r.Status != casework.CandidatePromoted || r.Case != "C-1" || r.By != "ann" || r.Rev != 1 {
		t.Errorf("got %+v", r)
	}
	ls, err := d.Lessons(ctx)
	if d.ok(err); len(ls) != 0 {
		t.Errorf("it taught %v", ls)
	}
	// What was let go is free again.
	_, err = d.AddNames(ctx, "ann", "C-1", add("back-verify.com"))
	d.ok(err)
	d.ok(d.SetState(ctx, "ann", "C-1", impound.MustName("back-verify.com"), impound.StateReleased, "let go"))
	d.saw(cand("back-verify.com", "nrd", .8, "PayPal", "brand-combo"))
	if r = d.row(ctx, "back-verify.com"); r.Status != casework.CandidateOpen || !slices.Equal(r.InCases, []string{"C-1"}) {
		t.Errorf("got %+v", r)
	}
}

// A sealed case's names are closed to its parties, and to everybody else as any
// new name is, to the number of the decision.
func TestNamesOfSealedCasesComeUpForOthers(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.guard()
	d.ok(d.Enrol(ctx, casework.SignEnrolment(person("eve", impound.RoleAnalyst), "root", key("root"))))
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "QUIET", Title: "Practice"}))
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "OPEN", Title: "Practice"}))
	d.ok(d.seal("ann", "QUIET", "ann", "carl"))
	ann, eve := impound.WithPrincipal(ctx, impound.Principal{ID: "ann"}), impound.WithPrincipal(ctx, impound.Principal{ID: "eve"})
	d.saw(cand("later-verify.com", "ct", .8, "PayPal", "brand-combo"))
	_, err := d.AddNames(ann, "ann", "QUIET", add("quiet-verify.com", "both-verify.com", "later-verify.com"))
	d.ok(err)
	_, err = d.AddNames(ann, "ann", "OPEN", add("both-verify.com"))
	d.ok(err)
	d.saw(cand("quiet-verify.com", "ct", .8, "PayPal", "brand-combo"), cand("both-verify.com", "ct", .8, "PayPal", "brand-combo"), cand("free-verify.com", "ct", .8, "PayPal", "brand-combo"))
	open := casework.QueueFilter{Status: casework.CandidateOpen}
	if diff := cmp.Diff([]string{"free-verify.com"}, domains(d.queue(ann, open))); diff != "" {
		t.Error("a party sees:", diff)
	}
	seen := domains(d.queue(eve, open))
	slices.Sort(seen)
	if diff := cmp.Diff([]string{"free-verify.com", "later-verify.com", "quiet-verify.com"}, seen); diff != "" {
		t.Error("another sees:", diff)
	}
	if r := d.row(eve, "both-verify.com"); r.Case != "OPEN" || len(r.InCases) != 1 {
		t.Errorf("got %+v", r)
	}
	if r := d.row(ann, "both-verify.com"); r.Case != "OPEN" || len(r.InCases) != 2 {
		t.Errorf("got %+v", r)
	}
	free := d.row(eve, "free-verify.com")
	for _, n := range []string{"quiet-verify.com", "later-verify.com"} {
		r := d.row(eve, n)
		r.Name, r.Top, r.Hosts = free.Name, free.Top, free.Hosts
		if diff := cmp.Diff(asJSON(t, free), asJSON(t, r)); diff != "" {
			t.Errorf("%s tells that a sealed case holds it: %s", n, diff)
		}
		c, err := d.Candidate(eve, impound.MustName(n))
		if d.ok(err); c.Status != casework.CandidateOpen || c.Case != "" {
			t.Errorf("the candidate tells: %+v", c)
		}
	}
	// The other decides of it as of any row.
	out, err := d.Triage(eve, "eve", []casework.Pick{{Name: impound.MustName("quiet-verify.com"), Rev: 0}}, casework.Ruling{Do: casework.DoSnooze, Until: t0.AddDate(0, 1, 0)})
	if d.ok(err); out[0].Err != nil || !out[0].Changed {
		t.Errorf("got %+v", out)
	}
	if r := d.row(ann, "quiet-verify.com"); r.Case != "QUIET" || r.Status != casework.CandidatePromoted {
		t.Errorf("got %+v", r)
	}
}

// What a source says of what it gives goes with a name, the strictest word of all
// that saw it, and into the case.
func TestMarksOfSources(t *testing.T) {
	ctx := t.Context()
	d := newDesk(t)
	d.ok(d.OpenCase(ctx, "ann", impound.Case{ID: "C-1", Title: "Practice"}))
	amber := impound.Marking{TLP: impound.TLPAmber, PAP: impound.PAPAmber, Originator: "CERT Example"}
	c := cand("pay-verify.com", "partner", .6, "PayPal", "brand-combo")
	c.Mark = amber
	d.saw(c, cand("pay-verify.com", "ct", .6, "PayPal", "brand-combo"), cand("free-verify.com", "ct", .6, "PayPal", "brand-combo"))
	red := cand("www.pay-verify.com", "other", .5, "PayPal", "brand-combo")
	red.Mark = impound.Marking{PAP: impound.PAPRed}
	d.saw(red)
	want := amber.Strictest(red.Mark)
	if r := d.row(ctx, "pay-verify.com"); r.Mark != want {
		t.Errorf("the row says %s, want %s", r.Mark, want)
	}
	ms, err := d.SightingMarks(ctx, names("pay-verify.com", "www.pay-verify.com", "free-verify.com", "none.com"))
	if d.ok(err); len(ms) != 2 || ms[impound.MustName("pay-verify.com")] != amber || ms[impound.MustName("www.pay-verify.com")] != red.Mark {
		t.Errorf("got %v", ms)
	}
	d.rules("ann", casework.Ruling{Do: casework.DoPromote, Case: "C-1"}, "pay-verify.com", "free-verify.com")
	for n, m := range map[string]impound.Marking{"pay-verify.com": want, "free-verify.com": {}} {
		if x, err := d.Domain(ctx, "C-1", impound.MustName(n)); err != nil || x.Marking != m {
			t.Errorf("%s is marked %s in the case: %v", n, x.Marking, err)
		}
	}
	c.Name, c.Mark = impound.MustName("bad-verify.com"), impound.Marking{PAP: "purple"}
	_, err = d.SaveCandidates(impound.AsSystem(ctx), []impound.Candidate{c})
	d.refuses(err, impound.KindInvalid, "PAP")
}

func asJSON(t *testing.T, v any) string {
	b, err := json.MarshalIndent(v, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
