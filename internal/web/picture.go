package web

import (
	"context"
	"html/template"
	"net/url"
	"slices"
	"time"

	impound "github.com/impound/impound"
	"github.com/impound/impound/internal/plot"
)

// A counter is a number at the head of a page.
type counter struct {
	N     int
	Label string
	Href  string
	Key   string // class of the plot, for its colour; "" = none
}

// picture is a plot in a page.
type picture struct {
	SVG     template.HTML
	Windows []windowLink
	Href    string // of the picture alone
	Left    int    // contacts of resolvers that are not drawn
	Drawn   bool   // resolvers are drawn
	Toggle  string // the same with, or without, resolvers
}

type windowLink struct {
	Text, Href string
	On         bool
}

// draw makes the plot of contacts over time for a page at path.
func (s *server) draw(ctx context.Context, q url.Values, path, caseID string, zone impound.Name, first time.Time, marks []plot.Mark, title string) (*picture, string, error) {
	now := s.now()
	w, err := pickWindow(q, first, now)
	if err != nil {
		return nil, "", err
	}
	with, err := oneOf(q, "resolvers", []string{"1"})
	if err != nil {
		return nil, "", err
	}
	from, until := w.bounds(now)
	points, err := s.desk.Series(ctx, SeriesQuery{Case: caseID, Zone: zone, From: from, Until: until, Step: w.Step})
	if err != nil {
		return nil, "", err
	}
	st := plot.Stack{ID: "over-time", Title: title, Unit: "contacts", From: from, Step: w.Step, Layers: plot.ContactLayers,
		Counts: make([][]int, int(w.Len/w.Step)), Marks: marks}
	// Name servers come a hundred times as often as people, and would flatten
	// everybody else: they are drawn when asked for, and counted always.
	resolver := layerOf(impound.ClassResolver)
	left := 0
	if with == "" {
		st.Unit = "contacts, resolvers apart,"
	}
	for i := range st.Counts {
		st.Counts[i] = make([]int, len(st.Layers))
	}
	for _, p := range points {
		i := int(p.At.Sub(from) / w.Step)
		if p.At.Before(from) || i >= len(st.Counts) {
			continue
		}
		for c, n := range p.Count {
			if l := layerOf(c); l == resolver && with == "" {
				left += n
			} else {
				st.Counts[i][l] += n
			}
		}
	}
	if with == "" {
		st.Layers = slices.Delete(slices.Clone(st.Layers), resolver, resolver+1)
		for i := range st.Counts {
			st.Counts[i] = slices.Delete(st.Counts[i], resolver, resolver+1)
		}
	}
	gaps, err := s.desk.Gaps(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, g := range gaps {
		to := g.To
		if to.IsZero() {
			to = now
		}
		st.Gaps = append(st.Gaps, plot.Gap{From: g.From, To: to, Says: gapWords(g)})
	}
	svg := st.SVG()
	keep, other := "", "&resolvers=1"
	if with != "" {
		keep, other = other, keep
	}
	pic := &picture{SVG: template.HTML(svg), Href: path + "?format=svg&plot=over-time&window=" + w.Key + keep, // the plot escapes what it is given
		Left: left, Drawn: with != "", Toggle: path + "?window=" + w.Key + other + "#over-time-h"}
	for _, x := range windows {
		pic.Windows = append(pic.Windows, windowLink{x.Key, path + "?window=" + x.Key + keep + "#over-time-h", x.Key == w.Key})
	}
	return pic, svg, nil
}

// gapWords says what is missing.
func gapWords(g impound.Gap) string {
	s := "sensor " + g.Sensor + " answered but could not record, at least " + plural(g.Missing, "contact is", "contacts are") + " missing"
	if g.To.IsZero() {
		s += " so far"
	}
	return s
}

// layerOf gives the layer of a class; a class that the plot doesn't know is
// drawn as unclear rather than left out.
func layerOf(c impound.Class) int {
	unclear := 0
	for i, l := range plot.ContactLayers {
		if l.Key == string(c) {
			return i
		}
		if l.Key == string(impound.ClassUnclear) {
			unclear = i
		}
	}
	return unclear
}

func classCounters(t Totals, base url.Values) []counter {
	var out []counter
	for _, l := range plot.ContactLayers {
		q := url.Values{"class": {l.Key}}
		for k, v := range base {
			q[k] = v
		}
		out = append(out, counter{N: t.ByClass[impound.Class(l.Key)], Label: l.Label, Href: "/contacts?" + q.Encode(), Key: l.Key})
	}
	return out
}
