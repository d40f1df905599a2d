package web

import (
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	impound "github.com/impound/impound"
)

// An alert is something that a person should look at.
type alert struct {
	Tone string // "bad", "warn", "info"
	Text string
	Href string
	Cure string // what to do
	Cmd  string // the command that does it
}

// lapseSoon is how long before its end an order is called to mind.
const lapseSoon = 14 * 24 * time.Hour

// attention lists what needs a person, worst first. It decides nothing: each
// line repeats what a room has said.
func attention(now time.Time, cases []CaseHead, orders []OrderView, plans []PlanView, open int, sensors []SensorView, alarms []AlarmView) []alert {
	var out []alert
	add := func(tone, href, cure, cmd, format string, args ...any) {
		out = append(out, alert{tone, fmt.Sprintf(format, args...), href, cure, cmd})
	}
	for _, s := range sensors {
		if s.Fault != "" {
			add("bad", "", "see the log of the sensor", "", "sensor %s: %s", s.ID, s.Fault)
		}
		if s.Missing > 0 {
			add("bad", "", "", "", "sensor %s: %s never came", s.ID, plural(int(min(s.Missing, 1<<31)), "event", "events"))
		}
	}
	// One line for each kind of finding of an order: there may be thousands. Each
	// claim of somebody outside has one of its own, up to a few.
	claims := 0
	for i, a := range alarms {
		if a.Kind == "contest" {
			if claims++; claims <= fewNames {
				href := "/log"
				if a.Order != "" {
					href = "/orders/" + url.PathEscape(a.Order)
				}
				add("bad", href, a.Cure, a.Cmd, "%s", a.Text)
			}
			continue
		}
		same := func(b AlarmView) bool { return b.Order == a.Order && b.Kind == a.Kind }
		if slices.ContainsFunc(alarms[:i], same) {
			continue
		}
		more, n, what := "", -1, []string{"name", "names"}
		for _, b := range alarms {
			if same(b) {
				if n++; b.Name.IsZero() && n > 0 {
					what = []string{"finding", "findings"}
				}
			}
		}
		if n > 0 {
			more = fmt.Sprintf(", and %s like it", plural(n, what[0], what[1]))
		}
		tone := "bad"
		if a.Kind == "lapsing" || a.Kind == "expiry" || a.Kind == "unseen" {
			tone = "warn"
		}
		if a.Order == "" {
			add(tone, "/about", a.Cure, a.Cmd, "%s", a.Text)
			continue
		}
		add(tone, "/orders/"+url.PathEscape(a.Order), a.Cure, a.Cmd, "custody: %s%s", a.Text, more)
	}
	if claims > fewNames {
		add("bad", "/log", "", "impound contest list", "%s by the public form wait for an answer", plural(claims-fewNames, "more claim", "more claims"))
	}
	for _, p := range plans {
		href := "/plans/" + url.PathEscape(p.ID)
		var odd, failed []string
		for _, n := range p.Names {
			if strings.HasPrefix(n.Result, "failed") || strings.HasPrefix(n.Result, "refused") {
				failed = append(failed, n.Name.Defanged())
			}
			for _, l := range []Look{n.Parent, n.RDAP, n.Resolver} {
				if l.Verdict == Otherwise && !slices.Contains(odd, n.Name.Defanged()) {
					odd = append(odd, n.Name.Defanged())
				}
			}
		}
		if len(odd) > 0 {
			add("bad", href, "", "", "plan %s: %s not as ordered (%s)", p.ID, plural(len(odd), "name is", "names are"), list(odd, 3))
		}
		if len(failed) > 0 {
			add("bad", href, "", "", "plan %s: %s failed (%s)", p.ID, plural(len(failed), "name", "names"), list(failed, 3))
		}
		switch {
		case p.State == "partial" || p.State == "failed":
			add("bad", href, "", cliLine("seize", "apply", p.ID), "plan %s is %s", p.ID, p.State)
		case p.State == "proposed" && len(p.Approvals) < p.Needed:
			add("info", href, "", cliLine("seize", "approve", p.ID, "--as", "PERSON"), "plan %s waits for approval: %d of %d", p.ID, len(p.Approvals), p.Needed)
		case p.State == "approved":
			add("info", href, "", cliLine("seize", "apply", p.ID), "plan %s is approved and not yet applied", p.ID)
		}
	}
	for _, o := range orders {
		href := "/orders/" + url.PathEscape(o.ID)
		left := o.Until.Truncate(time.Minute).Sub(now.Truncate(time.Minute))
		switch {
		case o.Unproven != "":
			add("warn", href, "", cliLine("order", "sign", "FILE", "--as", "PERSON"), "order %s is no mandate yet: %s", o.ID, o.Unproven)
		case o.InForce && left < 24*time.Hour:
			add("bad", href, "ask the court for an extension, or plan what happens at its end: "+o.AtEnd, "", "order %s lapses in %s: its names will no longer be answered", o.ID, span(left))
		case o.InForce && left < lapseSoon:
			add("warn", href, "ask the court for an extension, or plan what happens at its end: "+o.AtEnd, "", "order %s lapses in %s", o.ID, span(left))
		}
	}
	for _, c := range cases {
		for _, x := range []struct {
			n    int
			some []impound.Name
			what string
		}{{c.Count[impound.StateBlocked], c.Blocked, "kept out by a gate"}, {c.Count[impound.StateContested], c.Contested, "contested"}} {
			if x.n == 0 {
				continue
			}
			var some []string
			for _, n := range x.some[:min(len(x.some), fewNames)] {
				some = append(some, n.Defanged())
			}
			names := join(some)
			if x.n > len(some) {
				names += fmt.Sprintf(" and %d more", x.n-len(some))
			}
			add("warn", "/cases/"+url.PathEscape(c.ID)+"#names", "", "", "case %s: %s %s (%s)", c.ID, plural(x.n, "name is", "names are"), x.what, names)
		}
	}
	if open > 0 {
		add("info", "/watch", "", "", "%s for an analyst's look", plural(open, "candidate waits", "candidates wait"))
	}
	rank := map[string]int{"bad": 0, "warn": 1, "info": 2}
	slices.SortStableFunc(out, func(a, b alert) int { return rank[a.Tone] - rank[b.Tone] })
	return out
}

func list(names []string, n int) string {
	if len(names) <= n {
		return join(names)
	}
	return fmt.Sprintf("%s and %d more", join(names[:n]), len(names)-n)
}

func join(names []string) string {
	s := ""
	for i, n := range names {
		if i > 0 {
			s += ", "
		}
		s += n
	}
	return s
}
