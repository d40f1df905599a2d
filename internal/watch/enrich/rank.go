package enrich

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/capture"
	"github.com/impound/impound/internal/watch/trait"
)

// CodeSeen begins the code of every reason that rests on an observation.
const CodeSeen = "seen-"

// Link is that a candidate shares something with a name that is known already.
type Link struct {
	Trait trait.Trait  `json:"trait"`
	Name  impound.Name `json:"name"` // the known one
	Case  string       `json:"case,omitempty"`
	Actor string       `json:"actor,omitempty"`
}

// About is what is known around a candidate when its rank is judged.
type About struct {
	Now   time.Time
	Brand string
	// Own are the brand's own domains.
	Own []impound.Name
	// Links are to names of cases that everybody may see.
	Links []Link
	// Actor, where an actor's habits of infrastructure fit: how many bits, and why.
	Actor string
	Bits  float64
	Why   []impound.Reason
}

// guards are registrars that work for owners of brands: what is registered there
// is theirs, by IANA id.
var guards = map[string]string{"292": "MarkMonitor", "299": "CSC", "447": "SafeNames", "470": "Com Laude", "448": "Com Laude", "151": "PSI-USA", "1652": "Brandsight", "3786": "Nom-iq", "463": "Ascio", "107": "Lexsynergy", "1466": "Lexsynergy", "2482": "Registrar of Last Resort"}

// The weights below are in nats of a candidate's odds. They are by judgement, and
// each stands in a reason, so that an analyst sees what moved a name.
const mostLinks = 4 // nats that links count for together at most

// Judge gives what was seen as reasons, each with the nats by which it moves the
// odds of a candidate. What is not known gives none: it is neither good nor bad.
func (f Facts) Judge(a About) []impound.Reason {
	var out []impound.Reason
	add := func(code string, nats float64, format string, args ...any) {
		out = append(out, impound.Reason{Code: CodeSeen + code, Text: fmt.Sprintf(format, args...), Weight: math.Round(nats*100) / 100})
	}
	if r := f.Registration; r != nil {
		age := a.Now.Sub(r.Created)
		switch {
		case !r.Exists:
			add("unregistered", -2, "the registry says that nobody holds it")
		case r.Created.IsZero():
		case age < 7*24*time.Hour:
			add("age", 0.8, "registered %s, %s before it was looked at", r.Created.Format("2006-01-02 15:04Z"), days(r.At.Sub(r.Created)))
		case age < 60*24*time.Hour:
			add("age", 0.4, "registered %s", r.Created.Format(time.DateOnly))
		case age > 3*365*24*time.Hour:
			add("age", -1.2, "registered %s: old names are seldom made for a campaign, but may be taken over", r.Created.Format(time.DateOnly))
		case age > 365*24*time.Hour:
			add("age", -0.6, "registered %s", r.Created.Format(time.DateOnly))
		}
		if who, ok := guards[r.IANA]; ok && r.Exists {
			add("guard", -2.5, "registered through %s, which works for owners of brands", who)
		}
		if slices.ContainsFunc(r.Status, func(s string) bool { return strings.HasSuffix(s, "Hold") }) {
			add("hold", -1, "on hold at the registry or registrar: out of the zone")
		}
	}
	web := f.Web
	if d := f.DNS; d != nil {
		for _, ns := range d.NS {
			if hub, parked := trait.Zone(zoneOf(ns)); parked {
				add("parked", -1, "its name servers are %s", hub)
				break
			}
		}
		if d.Resolved && d.Exists && len(d.Addrs) == 0 {
			if len(d.MX) > 0 {
				add("mail-only", 0.6, "takes mail (%s) and has no web server", defang(d.MX[0]))
			} else {
				add("dark", -0.4, "has neither an address nor a mail server yet")
			}
		}
	}
	if web != nil {
		at := strings.ToLower(web.Title)
		brand := a.Brand != "" && strings.Contains(at, strings.ToLower(a.Brand))
		switch {
		case web.Sinkhole != "":
			add("sinkhole", -2, "answers as a sinkhole: %s", defang(web.Sinkhole))
		case web.Password && brand:
			add("page", 2, "asks for a password, under the title “%s”", defang(web.Title))
		case web.Password:
			add("page", 0.9, "asks for a password")
		case brand:
			add("page", 0.7, "its page is called “%s”", defang(web.Title))
		}
		switch web.Gating {
		case capture.GateYes:
			add("gated", 1, "shows some visitors another thing than others")
		case capture.GateAll:
			add("gated", 0.2, "every visitor must pass a challenge first")
		}
		if n, err := impound.ParseName(web.Leads); err == nil {
			for _, own := range a.Own {
				if n.AtOrBelow(own) {
					// An owner's spare name does so; so does a kit for whom it won't show itself to.
					add("leads-home", -0.8, "leads to %s, the brand's own", n.Defanged())
					break
				}
			}
		}
	}
	sum := 0.0
	for _, l := range a.Links {
		rule, ok := trait.Of(l.Trait.Kind)
		if !ok || l.Trait.Hub != "" || rule.Strength == 0 || sum >= mostLinks {
			continue
		}
		w := min(rule.Strength, mostLinks-sum)
		sum += w
		whose := "case " + l.Case
		if l.Actor != "" {
			whose += " (" + l.Actor + ")"
		}
		add("link", w, "%s %s, as %s of %s", rule.Label, l.Trait, l.Name.Defanged(), whose)
	}
	if a.Bits != 0 && a.Actor != "" {
		// Half of it: habits of infrastructure and links rest on the same things.
		add("actor", max(min(a.Bits*math.Ln2/4, 3), -1), "%s's habits of infrastructure, %+.1f bits: %s", a.Actor, a.Bits, texts(a.Why))
	}
	return out
}

func texts(rs []impound.Reason) string {
	var out []string
	for _, r := range rs[:min(len(rs), 4)] {
		out = append(out, r.Text)
	}
	return strings.Join(out, "; ")
}

func days(d time.Duration) string {
	switch h := d.Hours(); {
	case h < 1:
		return "minutes"
	case h < 48:
		return fmt.Sprintf("%.0f hours", h)
	default:
		return fmt.Sprintf("%.0f days", h/24)
	}
}
