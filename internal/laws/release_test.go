package laws

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/seizure"
)

// Names are let go by the order's clause: to the plaintiff's hands first, then
// one runs out and one is deleted, against what speaks for keeping them, and the
// sinkhole answers for them no more.
func TestRelease(t *testing.T) {
	w := newWorld(t)
	w.cfg.Registrants = map[string]seizure.Contact{"The unit": {Name: "Custody desk", Org: "The unit", City: "Practice", Country: "US", Email: "custody@unit.example"}}
	w.writeConfig(t)
	s := w.serve(t)
	now := time.Now()
	w.file(t, s, terms{id: liveOrder, names: []impound.Name{live, spare}, from: now.Add(-time.Hour), until: now.AddDate(0, 0, 60), registrant: "The unit",
		release: &impound.ReleaseTerms{How: []string{impound.ReleaseExpire, impound.ReleaseDelete}, Until: now.AddDate(0, 0, 90), Clause: "paragraph 9"}})
	_, err := s.Apply(t.Context(), w.me(t, s, "olaf"), w.plan(t, s, liveOrder, "ben", "dora"))
	must(t, err)
	d, _ := w.reg.Domain(live)
	c, ok := w.reg.Contact(d.Registrant)
	if !ok || c.Org != "The unit" || c.Email != "custody@unit.example" {
		t.Errorf("the registrant is %q: %+v", d.Registrant, c)
	}

	code, out, errs := w.cli(t, "seize", "release", liveOrder, live.Defanged(), "--risk")
	if code != 5 || !strings.Contains(out, "R4-lookalike") || !strings.Contains(out, "keep it: have it renewed") {
		t.Errorf("--risk: %d\n%s%s", code, out, errs)
	}
	release := func(n impound.Name, how seizure.LettingGo) string {
		t.Helper()
		p, err := s.Release(t.Context(), "olaf", "", how, n)
		must(t, err)
		for _, who := range []string{"ben", "dora"} {
			_, err := s.Approve(t.Context(), w.me(t, s, who), p.ID)
			must(t, err)
		}
		return p.ID
	}
	w.refused(t, "more than one way", "seize", "release", live.Defanged(), "--as", "olaf")
	w.refused(t, "does not let a name go by restore", "seize", "release", live.Defanged(), "--how", "restore", "--as", "olaf")
	code, out, errs = w.cli(t, "seize", "release", live.Defanged(), "--how", "expire", "--as", "olaf")
	if code != 0 || !strings.Contains(out, "BLOCKED: keep it: R4-lookalike") {
		t.Errorf("seize release: %d %s%s", code, out, errs)
	}
	acts := len(w.acts())
	if _, err := s.Apply(t.Context(), w.me(t, s, "olaf"), release(live, seizure.LettingGo{How: "expire"})); impound.KindOf(err) != impound.KindRefused || len(w.acts()) != acts {
		t.Errorf("a name was let go that should be kept: %v", err)
	}
	w.clock.setTo(now.AddDate(0, 0, 61)) // the order has lapsed; its clause has not
	for n, how := range map[impound.Name]string{live: "expire", spare: "delete"} {
		id := release(n, seizure.LettingGo{How: how, Despite: "the brand takes it the same day"})
		res, err := s.Apply(t.Context(), w.me(t, s, "olaf"), id)
		if err != nil || res.Names[0].Status == nil || !res.Names[0].Status.Done {
			t.Errorf("%s: %v %+v", how, err, res)
		}
	}
	if d, ok := w.reg.Domain(live); !ok || len(d.NS) > 0 || len(d.Statuses) > 0 || !d.Deleted.IsZero() {
		t.Errorf("left to run out: %+v", d)
	}
	if d, ok := w.reg.Domain(spare); !ok || d.Deleted.IsZero() {
		t.Errorf("deleted: %+v", d)
	}
	k, err := s.Casework.Case(t.Context(), caseID)
	must(t, err)
	for _, d := range k.Domains {
		if (d.Name == live || d.Name == spare) && d.State != impound.StateReleased {
			t.Errorf("the case has %s as %s", d.Name, d.State)
		}
	}
	w.clock.set(0) // as if the order held still: what was let go is let go
	for {
		st, err := s.PolicyStatus(t.Context())
		must(t, err)
		if !slices.ContainsFunc(st.Names, func(n app.PolicyName) bool { return n.Name == live || n.Name == spare }) {
			break
		}
		select {
		case <-t.Context().Done():
			t.Fatal("the sinkhole answers for what was let go")
		case <-time.After(50 * time.Millisecond):
		}
	}
	if a, err := s.Custody(impound.AsSystem(t.Context())); err != nil || len(kinds(a, live))+len(kinds(a, spare)) > 0 {
		t.Errorf("custody of what was let go: %+v %v", a, err)
	}
	code, out, errs = w.cli(t, "seize", "watch")
	if code != 0 || out != "" || !strings.Contains(errs, "found nothing") {
		t.Errorf("seize watch: %d %s%s", code, out, errs)
	}
	w.clock.setTo(now.AddDate(0, 0, 91))
	if _, err := s.Release(t.Context(), "olaf", liveOrder, seizure.LettingGo{How: "expire"}, live); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("the clause has ended: %v", err)
	}
}
