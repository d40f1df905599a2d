// Package plot draws the house's pictures as SVG: contacts over time stacked by
// class ([Stack]) and counts as horizontal bars ([Bars]). The same bytes serve
// the page, the PDF and the mail: the same input always gives the same output.
//
// Each shape carries a plain colour and a class (k-victim, k-scanner ...). A
// page's style sheet overrides the colour by the class, for dark mode; where
// there is no style sheet the plain colour stands. Text and lines are drawn in
// currentColor. No style attribute, no script, no reference to anything
// outside, so a strict Content-Security-Policy holds. Every picture has a
// title and a description in words, and every bar says its numbers.
//
// What lives here: drawing. What must not: fetching, counting, clocks (a picture
// shows the instants that it is given), or an import beyond the standard
// library.
package plot

import (
	"encoding/xml"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// Layer is one class of a stack: Key names the CSS class (k-Key), Label stands
// in the legend, Color is the fill where no style sheet applies.
type Layer struct{ Key, Label, Color string }

// ContactLayers are the classes of contacts from the base line up, victims
// lowest so that their course can be read without subtracting. The colours are
// told apart with the common colour-vision deficiencies (after Okabe and Ito).
var ContactLayers = []Layer{
	{"victim", "victim", "#d55e00"},
	{"unclear", "unclear", "#b0609f"},
	{"mail-gateway", "mail gateway", "#0072b2"},
	{"scanner", "scanner", "#6b7280"},
	{"resolver", "resolver", "#3f90c2"},
	{"researcher", "researcher", "#009468"},
}

// Mark is an instant worth a line across the picture.
type Mark struct {
	At    time.Time
	Label string
}

// Gap is a stretch of time of which the counts are too small, and why.
type Gap struct {
	From, To time.Time
	Says     string // "recording stopped, 12 missing"
}

// Stack is counts over time, stacked by class.
type Stack struct {
	ID     string // of the svg element and prefix of the ids inside; unique in a page
	Title  string
	Unit   string // what is counted, plural: "contacts"
	From   time.Time
	Step   time.Duration // width of one bucket; > 0
	Layers []Layer
	Counts [][]int // [bucket][layer]; negative counts are drawn as 0
	Marks  []Mark
	Gaps   []Gap // drawn as hatched stretches and told in words
	Width  int   // in user units; 0 = 960
	Height int   // 0 = 260
}

// Total sums every count.
func (s Stack) Total() (n int) {
	for _, b := range s.Counts {
		n += sum(b)
	}
	return n
}

// Desc says in words what the picture shows.
func (s Stack) Desc() string {
	d := s.desc()
	for _, g := range s.gaps() {
		d += fmt.Sprintf(" Incomplete from %s to %s UTC: %s.", stamp(g.From), stamp(g.To), g.Says)
	}
	return d
}

// gaps gives those that can be seen, cut to the picture.
func (s Stack) gaps() []Gap {
	until := s.From.Add(time.Duration(len(s.Counts)) * s.Step)
	var out []Gap
	for _, g := range s.Gaps {
		if g.To.Before(s.From) || !g.From.Before(until) || g.To.Before(g.From) {
			continue
		}
		if g.From.Before(s.From) {
			g.From = s.From
		}
		if g.To.After(until) {
			g.To = until
		}
		out = append(out, g)
	}
	return out
}

func (s Stack) desc() string {
	unit := s.unit()
	until := s.From.Add(time.Duration(len(s.Counts)) * s.Step)
	span := stamp(s.From) + " to " + stamp(until) + " UTC"
	total := s.Total()
	if total == 0 {
		return "No " + unit + " from " + span + "."
	}
	peak, at := 0, 0
	perLayer := make([]int, len(s.Layers))
	for i, b := range s.Counts {
		if n := sum(b); n > peak {
			peak, at = n, i
		}
		for l := range perLayer {
			perLayer[l] += count(b, l)
		}
	}
	var parts []string
	for l, n := range perLayer {
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%s %d", s.Layers[l].Label, n))
		}
	}
	return fmt.Sprintf("%d %s from %s: %s. Most in one bar of %s: %d, at %s UTC.",
		total, unit, span, strings.Join(parts, ", "), span2(s.Step), peak, stamp(s.From.Add(time.Duration(at)*s.Step)))
}

func (s Stack) unit() string {
	if s.Unit == "" {
		return "contacts"
	}
	return s.Unit
}

// SVG draws the picture as one <svg> element.
func (s Stack) SVG() string {
	w, h := float64(s.Width), float64(s.Height)
	if w == 0 {
		w = 960
	}
	if h == 0 {
		h = 260
	}
	if s.Step <= 0 {
		s.Step = time.Minute
	}
	const left, right, top, bottom = 44.0, 12.0, 34.0, 38.0
	pw, ph := w-left-right, h-top-bottom

	max := 0
	for _, b := range s.Counts {
		if n := sum(b); n > max {
			max = n
		}
	}
	tick := niceTick(max, 4)
	ceil := ((max + tick - 1) / tick) * tick
	if ceil < 4 { // a lone contact must not look like a wave
		ceil = 4
	}
	y := func(n int) float64 { return top + ph - ph*float64(n)/float64(ceil) }

	var b strings.Builder
	open(&b, s.ID, w, h, s.Title, s.Desc())

	// Legend: colour and word, in the order of the stack.
	x := left
	for _, l := range s.Layers {
		fmt.Fprintf(&b, `<rect class="k-%s" fill="%s" x="%s" y="9" width="10" height="10" rx="2"/>`, esc(l.Key), esc(l.Color), num(x))
		fmt.Fprintf(&b, `<text x="%s" y="18">%s</text>`, num(x+15), esc(l.Label))
		x += 15 + 6.6*float64(utf8.RuneCountInString(l.Label)) + 18
	}
	fmt.Fprintf(&b, `<text class="dim" opacity="0.75" x="%s" y="18" text-anchor="end">%s per %s</text>`, num(w-right), esc(s.unit()), span2(s.Step))
	b.WriteString("\n")

	for n := 0; n <= ceil; n += tick {
		op := "0.15"
		if n == 0 {
			op = "0.5"
		}
		fmt.Fprintf(&b, `<path d="M%s %sH%s" stroke="currentColor" stroke-opacity="%s"/>`, num(left), num(y(n)), num(w-right), op)
		fmt.Fprintf(&b, `<text x="%s" y="%s" text-anchor="end">%s</text>`, num(left-7), num(y(n)+4), short(n))
	}
	b.WriteString("\n")

	if gs := s.gaps(); len(gs) > 0 {
		all := time.Duration(len(s.Counts)) * s.Step
		fmt.Fprintf(&b, `<defs><pattern id="%s-gap" width="6" height="6" patternUnits="userSpaceOnUse" patternTransform="rotate(45)"><path d="M0 0V6" stroke="currentColor" stroke-opacity="0.6" stroke-width="2"/></pattern></defs>`, esc(s.ID))
		for _, g := range gs {
			x0, x1 := left+pw*float64(g.From.Sub(s.From))/float64(all), left+pw*float64(g.To.Sub(s.From))/float64(all)
			if x1-x0 < 4 { // however short, it must be seen
				x1 = min(x0+4, left+pw)
				x0 = x1 - 4
			}
			fmt.Fprintf(&b, `<g class="gap"><title>%s to %s UTC: %s</title><rect fill="url(#%s-gap)" x="%s" y="%s" width="%s" height="%s"/></g>`+"\n", stamp(g.From), stamp(g.To), esc(g.Says), esc(s.ID), num(x0), num(top), num(x1-x0), num(ph))
		}
	}
	if n := len(s.Counts); n > 0 {
		bw := pw / float64(n)
		gap := bw * 0.15
		if gap > 2 {
			gap = 2
		}
		for i, bucket := range s.Counts {
			if sum(bucket) == 0 {
				continue
			}
			at := s.From.Add(time.Duration(i) * s.Step)
			var says []string
			var rects strings.Builder
			low := 0
			for l, layer := range s.Layers {
				c := count(bucket, l)
				if c == 0 {
					continue
				}
				says = append(says, fmt.Sprintf("%s %d", layer.Label, c))
				yTop, yLow := y(low+c), y(low)
				fmt.Fprintf(&rects, `<rect class="k-%s" fill="%s" x="%s" y="%s" width="%s" height="%s"/>`,
					esc(layer.Key), esc(layer.Color), num(left+float64(i)*bw+gap/2), num(yTop), num(bw-gap), num(yLow-yTop))
				low += c
			}
			fmt.Fprintf(&b, "<g><title>%s UTC: %s</title>%s</g>\n", stamp(at), esc(strings.Join(says, ", ")), rects.String())
		}
		span := time.Duration(n) * s.Step
		xAt := func(t time.Time) float64 { return left + pw*float64(t.Sub(s.From))/float64(span) }
		every := timeTick(span, pw)
		lastDay := ""
		for t := firstTick(s.From, every); !t.After(s.From.Add(span)); t = t.Add(every) {
			px := xAt(t)
			if px > w-right-14 { // a label here would be cut
				break
			}
			fmt.Fprintf(&b, `<path d="M%s %sv4" stroke="currentColor" stroke-opacity="0.5"/>`, num(px), num(top+ph))
			day := t.UTC().Format("2 Jan")
			switch {
			case every >= 24*time.Hour:
				fmt.Fprintf(&b, `<text x="%s" y="%s" text-anchor="middle">%s</text>`, num(px), num(top+ph+17), day)
			default:
				f := "15:04"
				if every < time.Minute {
					f = "15:04:05"
				}
				fmt.Fprintf(&b, `<text x="%s" y="%s" text-anchor="middle">%s</text>`, num(px), num(top+ph+17), t.UTC().Format(f))
				if day != lastDay {
					fmt.Fprintf(&b, `<text class="dim" opacity="0.75" x="%s" y="%s" text-anchor="middle">%s</text>`, num(px), num(top+ph+31), day)
				}
			}
			lastDay = day
		}
		fmt.Fprintf(&b, `<text class="dim" opacity="0.75" x="%s" y="%s" text-anchor="end">UTC</text>`, num(w-right), num(top+ph+31))
		b.WriteString("\n")
		// Marks that are close to each other write on lines of their own; where there
		// is no line left, the words are in the title alone.
		var ends [4]float64
		for i := range ends {
			ends[i] = -1
		}
		for _, m := range s.Marks {
			if m.At.Before(s.From) || m.At.After(s.From.Add(span)) {
				continue
			}
			px := xAt(m.At)
			anchor, tx := "start", px+5
			wide := 6.6 * float64(utf8.RuneCountInString(m.Label))
			from, to := px+5, px+5+wide
			if to > w-right {
				anchor, tx = "end", px-5
				from, to = px-5-wide, px-5
			}
			line := slices.IndexFunc(ends[:], func(end float64) bool { return end < from })
			fmt.Fprintf(&b, `<path class="mark" d="M%s %sV%s" stroke="currentColor" stroke-opacity="0.7" stroke-dasharray="3 3"><title>%s</title></path>`, num(px), num(top-6), num(top+ph), esc(m.Label))
			if line < 0 {
				continue
			}
			ends[line] = to + 4
			fmt.Fprintf(&b, `<text class="mark" x="%s" y="%s" text-anchor="%s">%s</text>`+"\n", num(tx), num(top+3+13*float64(line)), anchor, esc(m.Label))
		}
	}
	if s.Total() == 0 {
		fmt.Fprintf(&b, `<text class="dim" opacity="0.75" x="%s" y="%s" text-anchor="middle">no %s in this window</text>`+"\n", num(left+pw/2), num(top+ph/2), esc(s.unit()))
	}
	b.WriteString("</svg>")
	return b.String()
}

// Bar is one row of [Bars].
type Bar struct {
	Label string
	Value int
	Note  string // behind the value, optional
}

// Bars is counts as horizontal bars, in the order given.
type Bars struct {
	ID    string // of the svg element and prefix of the ids inside; unique in a page
	Title string
	Unit  string // what is counted, plural
	Layer Layer  // colour
	Items []Bar
	Width int // 0 = 960
}

// Desc says in words what the picture shows.
func (p Bars) Desc() string {
	if len(p.Items) == 0 {
		return "Nothing to show."
	}
	var parts []string
	for i, it := range p.Items {
		if i == 8 {
			parts = append(parts, fmt.Sprintf("and %d more", len(p.Items)-i))
			break
		}
		parts = append(parts, fmt.Sprintf("%s %d", it.Label, it.Value))
	}
	return strings.Join(parts, "; ") + "."
}

// SVG draws the picture as one <svg> element.
func (p Bars) SVG() string {
	w := float64(p.Width)
	if w == 0 {
		w = 960
	}
	const rowH, top = 24.0, 4.0
	n := len(p.Items)
	h := top*2 + rowH*float64(n)
	if n == 0 {
		h = top*2 + rowH
	}
	left := w * 0.36
	const right = 118.0
	max := 1
	for _, it := range p.Items {
		if it.Value > max {
			max = it.Value
		}
	}
	var b strings.Builder
	open(&b, p.ID, w, h, p.Title, p.Desc())
	if n == 0 {
		fmt.Fprintf(&b, `<text class="dim" opacity="0.75" x="%s" y="20" text-anchor="middle">nothing to show</text>`, num(w/2))
	}
	for i, it := range p.Items {
		yy := top + rowH*float64(i)
		v := it.Value
		if v < 0 {
			v = 0
		}
		bw := (w - left - right) * float64(v) / float64(max)
		fmt.Fprintf(&b, `<g><title>%s: %d %s</title>`, esc(it.Label), it.Value, esc(p.Unit))
		fmt.Fprintf(&b, `<text x="%s" y="%s" text-anchor="end">%s</text>`, num(left-9), num(yy+16), esc(cut(it.Label, int((left-12)/6.4))))
		fmt.Fprintf(&b, `<rect class="k-%s" fill="%s" x="%s" y="%s" width="%s" height="%s" rx="2"/>`, esc(p.Layer.Key), esc(p.Layer.Color), num(left), num(yy+4), num(bw), num(rowH-8))
		val := strconv.Itoa(it.Value)
		if it.Note != "" {
			val += "  " + it.Note
		}
		fmt.Fprintf(&b, `<text x="%s" y="%s">%s</text></g>`+"\n", num(left+bw+7), num(yy+16), esc(val))
	}
	b.WriteString("</svg>")
	return b.String()
}

func open(b *strings.Builder, id string, w, h float64, title, desc string) {
	if id == "" {
		id = "plot"
	}
	id = esc(id)
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" id="%s" class="plot" role="img" aria-labelledby="%s-t %s-d" viewBox="0 0 %s %s" width="%s" height="%s" font-family="system-ui, sans-serif" font-size="12" fill="currentColor">`,
		id, id, id, num(w), num(h), num(w), num(h))
	fmt.Fprintf(b, "<title id=\"%s-t\">%s</title><desc id=\"%s-d\">%s</desc>\n", id, esc(title), id, esc(desc))
}

func sum(b []int) (n int) {
	for i := range b {
		n += count(b, i)
	}
	return n
}

func count(b []int, i int) int {
	if i >= len(b) || b[i] < 0 {
		return 0
	}
	return min(b[i], 1e12) // more would overflow the sums, and means a fault elsewhere
}

// niceTick gives the step of an axis from 0 to max with at most n steps: 1, 2
// or 5 times a power of ten.
func niceTick(max, n int) int {
	for p := 1; ; p *= 10 {
		for _, m := range []int{1, 2, 5} {
			if p*m*n >= max {
				return p * m
			}
		}
	}
}

var timeTicks = []time.Duration{
	5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour,
	24 * time.Hour, 48 * time.Hour, 7 * 24 * time.Hour, 14 * 24 * time.Hour, 28 * 24 * time.Hour, 91 * 24 * time.Hour, 365 * 24 * time.Hour,
}

// timeTick gives the distance of labels that leaves each 80 units.
func timeTick(span time.Duration, width float64) time.Duration {
	for _, d := range timeTicks {
		if width*float64(d)/float64(span) >= 80 {
			return d
		}
	}
	return timeTicks[len(timeTicks)-1] * time.Duration(1+int64(span/timeTicks[len(timeTicks)-1])/10)
}

func firstTick(from time.Time, every time.Duration) time.Time {
	t := from.UTC().Truncate(every)
	if t.Before(from) {
		t = t.Add(every)
	}
	return t
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") }

// span2 writes a bucket's width as people say it: 15 s, 5 min, 3 h, 1 day.
func span2(d time.Duration) string {
	switch {
	case d >= 24*time.Hour && d%(24*time.Hour) == 0:
		if n := d / (24 * time.Hour); n > 1 {
			return fmt.Sprintf("%d days", n)
		}
		return "1 day"
	case d >= time.Hour && d%time.Hour == 0:
		return fmt.Sprintf("%d h", d/time.Hour)
	case d >= time.Minute && d%time.Minute == 0:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d >= time.Second && d%time.Second == 0:
		return fmt.Sprintf("%d s", d/time.Second)
	}
	return d.String()
}

func short(n int) string {
	switch {
	case n >= 1e6 && n%1e5 == 0:
		return num(float64(n)/1e6) + "M"
	case n >= 1e4 && n%100 == 0:
		return num(float64(n)/1e3) + "k"
	}
	return strconv.Itoa(n)
}

// num writes at most two decimals and no trailing zero, so that the same
// picture is the same bytes everywhere.
func num(f float64) string {
	s := strconv.FormatFloat(f, 'f', 2, 64)
	s = strings.TrimRight(strings.TrimRight(s, "0"), ".")
	if s == "-0" {
		return "0"
	}
	return s
}

func cut(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	r := []rune(s)
	return string(r[:n-1]) + "…"
}

// esc makes s fit for text and attribute values; what XML can't hold becomes
// U+FFFD.
func esc(s string) string {
	var b strings.Builder
	xml.EscapeText(&b, []byte(s)) // a strings.Builder never fails
	return b.String()
}
