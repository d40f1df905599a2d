package impound

import (
	"testing"
	"time"
)

// TestReleaseTerms: what a return clause allows, for how long, and that it
// allows nothing else.
func TestReleaseTerms(t *testing.T) {
	day := func(n int) time.Time { return time.Date(2026, 11, 21, 0, 0, 0, 0, time.UTC).AddDate(0, 0, n) }
	name := MustName("outlook-verify.net")
	mandate := func(atEnd string, r *ReleaseTerms) *Mandate {
		return &Mandate{order: &Order{ID: "O", From: day(0), Until: day(30), AtEnd: atEnd, Release: r}, acts: map[Name]Acts{name: {Lock: []string{"serverDeleteProhibited"}}}}
	}
	clause := mandate("keep-lock", &ReleaseTerms{How: []string{ReleaseExpire}, Until: day(60), Clause: "9"})
	all := mandate("restore", &ReleaseTerms{How: []string{ReleaseRestore, ReleaseExpire, ReleaseDelete}, Until: day(60), Clause: "9"})
	child := mandate("restore", &ReleaseTerms{How: []string{ReleaseExpire}, Until: day(90), Clause: "9"})
	child.parent = clause
	for what, tt := range map[string]struct {
		m   *Mandate
		how string
		act Act
		at  time.Time
		ok  bool
	}{
		"at_end restore":                 {mandate("restore", nil), ReleaseRestore, ActRelease, day(1), true},
		"not yet in force":               {mandate("restore", nil), ReleaseRestore, ActRelease, day(-1), false},
		"at_end restore, lapsed":         {mandate("restore", nil), ReleaseRestore, ActRelease, day(30), false},
		"at_end restore is no more":      {mandate("restore", nil), ReleaseDelete, ActDelete, day(1), false},
		"at_end release":                 {mandate("release", nil), ReleaseExpire, ActRelease, day(1), true},
		"at_end release, no delete":      {mandate("release", nil), ReleaseDelete, ActDelete, day(1), false},
		"keep-lock":                      {mandate("keep-lock", nil), ReleaseExpire, ActRelease, day(1), false},
		"clause":                         {clause, ReleaseExpire, ActRelease, day(1), true},
		"clause after the end":           {clause, ReleaseExpire, ActRelease, day(59), true},
		"clause over":                    {clause, ReleaseExpire, ActRelease, day(60), false},
		"clause without delete":          {clause, ReleaseDelete, ActDelete, day(1), false},
		"clause with delete":             {all, ReleaseDelete, ActDelete, day(59), true},
		"no way that there is":           {all, "sell", "sell", day(1), false},
		"supplement in its parent's":     {child, ReleaseExpire, ActRelease, day(59), true},
		"supplement beyond its parent's": {child, ReleaseExpire, ActRelease, day(61), false},
		"no order":                       {nil, ReleaseExpire, ActRelease, day(1), false},
	} {
		if err := tt.m.Releases(tt.how, tt.at); (err == nil) != tt.ok || err != nil && KindOf(err) != KindRefused {
			t.Errorf("%s: Releases: %v", what, err)
		}
		if _, err := tt.m.Permit(tt.act, name, tt.at); (err == nil) != tt.ok {
			t.Errorf("%s: Permit: %v", what, err)
		}
	}
	if _, err := clause.Permit(ActLock, name, day(40)); err == nil {
		t.Error("the clause keeps the order's other acts alive")
	}
	if _, err := clause.Without(name).Permit(ActRelease, name, day(1)); err == nil {
		t.Error("a withheld name is let go")
	}
	bad := map[string]*ReleaseTerms{
		"release.how":    {},
		"release.how[0]": {How: []string{"sell"}},
		"release.how[1]": {How: []string{ReleaseExpire, ReleaseExpire}},
		"release.until":  {How: []string{ReleaseExpire}, Until: day(20), Clause: "9"},
		"release.clause": {How: []string{ReleaseDelete}},
	}
	for where, r := range bad {
		o := Order{From: day(0), Until: day(30), Issued: day(0), Release: r}
		found := false
		for _, p := range o.Validate() {
			found = found || p.Where == where
		}
		if !found {
			t.Errorf("%s: %+v is let through", where, r)
		}
	}
}
