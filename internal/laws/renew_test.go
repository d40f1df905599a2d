package laws

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
)

// A name that comes free while its order runs is lost: where nobody is said to pay,
// the order is refused when it is checked and filed, and its names when they are
// planned.
func TestARenewalNobodyPays(t *testing.T) {
	w := newWorld(t)
	w.cfg.RenewalBy = ""
	w.writeConfig(t)
	s := w.open(t)
	now := w.clock.now()
	long := terms{id: liveOrder, names: []impound.Name{live, spare}, from: now.Add(-time.Hour), until: now.AddDate(0, 0, 400), expires: now.AddDate(0, 0, 345)}
	path := w.draft(t, s, long)
	w.sign(t, s, path, "ben", "dora")
	w.refused(t, "names nobody who pays the renewal", "order", "check", path)
	w.refused(t, "so would 1 more", "order", "check", path)
	w.refused(t, "names nobody who pays the renewal", "order", "file", path, "--as", "carla")

	// An order that doesn't tell when they end is good; the registry tells, and
	// whoever checks it is told before anybody signs.
	long.expires = time.Time{}
	unsigned := w.draft(t, s, long)
	if _, _, errs := w.cli(t, "order", "check", unsigned); !strings.Contains(errs, "custody.renewal_by: 2 registrations end before the order does") || !strings.Contains(errs, "nobody is named who pays") {
		t.Errorf("checked before it is signed: %s", errs)
	}
	must(t, os.Remove(unsigned))
	w.file(t, s, long)
	p, err := s.Plan(t.Context(), "olaf", liveOrder)
	must(t, err)
	for _, np := range p.Names {
		if len(np.Steps) > 0 || !strings.Contains(np.Blocked, "nobody is named who pays the renewal") || !strings.Contains(np.Blocked, "renewal_by") {
			t.Errorf("%s: %q, %d steps", np.Name, np.Blocked, len(np.Steps))
		}
	}
	// What is filed counts as it is: an arrangement made later lets it through.
	w.cfg.RenewalBy = "the unit"
	w.writeConfig(t)
	s = w.open(t)
	if p, err = s.Plan(t.Context(), "olaf", liveOrder); err != nil || len(p.Names[0].Steps) == 0 || !strings.Contains(strings.Join(p.Names[0].Warnings, "\n"), "paid by the unit") {
		t.Errorf("with a payer: %v\n%s", err, p)
	}
	code, out, errs := w.cli(t, "order", "check", path)
	if strings.Contains(errs, "renewal") {
		t.Errorf("with a payer: %d %s%s", code, out, errs)
	}
}

// A registration that is about to end is an alarm, and where the order has names
// renewed, the plan that it names mends it: once, however often it is applied or
// planned.
func TestRenewal(t *testing.T) {
	w := newWorld(t)
	w.cfg.RenewalBy = ""
	w.writeConfig(t)
	s := w.open(t)
	now := w.clock.now()
	w.file(t, s, terms{id: liveOrder, names: []impound.Name{live, spare}, from: now.Add(-time.Hour), until: now.AddDate(0, 0, 400), renew: true, expires: now.AddDate(0, 0, 345)})
	olaf := w.me(t, s, "olaf")
	_, err := s.Apply(t.Context(), olaf, w.plan(t, s, liveOrder, "ben", "dora"))
	must(t, err)
	renewals := func() (k int) {
		for _, op := range w.acts() {
			if op.Command == "domain:renew" {
				k++
			}
		}
		return k
	}
	if k := renewals(); k != 0 {
		t.Errorf("%d renewals, 345 days before they end", k)
	}
	alarms := func() []app.Alarm {
		a, err := s.Custody(impound.AsSystem(t.Context()))
		must(t, err)
		return slices.DeleteFunc(a, func(a app.Alarm) bool { return a.Kind != app.AlarmExpiry })
	}
	w.clock.setTo(now.AddDate(0, 0, 330))
	a := alarms()
	if len(a) != 2 || a[0].Cmd != "impound seize plan "+liveOrder || !strings.Contains(a[0].Cure, "the order says so, and the plan holds it") {
		t.Fatalf("15 days before they end: %+v", a)
	}
	before, _ := w.reg.Domain(live)
	// Twice planned and approved; whichever is applied first, the other finds it done.
	one, two := w.plan(t, s, liveOrder, "ben", "dora"), w.plan(t, s, liveOrder, "ben", "dora")
	for i, id := range []string{one, one, two, two} {
		if res, err := s.Apply(t.Context(), olaf, id); err != nil {
			t.Errorf("%d: %v %+v", i, err, res)
		}
		if k := renewals(); k != 2 {
			t.Errorf("%d: %d renewals of 2 names", i, k)
		}
	}
	after, _ := w.reg.Domain(live)
	if !after.Expiry.Equal(before.Expiry.AddDate(1, 0, 0)) || !slices.Equal(after.Statuses, before.Statuses) || !slices.Equal(after.NS, before.NS) {
		t.Errorf("before %+v, after %+v", before, after)
	}
	if a := alarms(); len(a) != 0 {
		t.Errorf("renewed, and custody says %+v", a)
	}
	if p, err := s.Plan(t.Context(), "olaf", liveOrder); err != nil || len(p.Names[0].Steps)+len(p.Names[1].Steps) != 0 {
		t.Errorf("what is left to do: %v\n%s", err, p)
	}

	// When the order has lapsed, no plan of it renews any more (law 1).
	w.clock.setTo(now.AddDate(0, 0, 401))
	if _, err := s.Plan(t.Context(), "olaf", liveOrder); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("lapsed: %v", err)
	}
	if _, err := os.Stat(w.state); err != nil || renewals() != 2 {
		t.Errorf("%d renewals, %v", renewals(), err)
	}
}
