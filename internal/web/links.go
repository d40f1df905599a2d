package web

import (
	"cmp"
	"context"
	"fmt"
	"html"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	impound "github.com/impound/impound"
)

// Linker walks along what names have in common. Its methods are safe for
// concurrent use and give what whoever asks with ctx may see.
type Linker interface {
	// Links walks from a node, "KIND:VALUE". Of a name that nothing is known of it
	// gives a view without nodes; of anything else KindNotFound.
	Links(ctx context.Context, at string, steps int, hubs bool) (LinkView, error)
	// Shared lists what links the most names without being a hub.
	Shared(ctx context.Context, limit int) ([]LinkNode, error)
}

// LinkView is the part of the graph that a walk found.
type LinkView struct {
	Nodes []LinkNode // the start first, then by distance
	Edges []LinkEdge
	Left  int        // nodes that were left out
	Facts []LinkFact // what was seen of the start, when it is a name
	// Unknown are the parts that could not be seen, and why; Looked when somebody
	// looked last, zero for never.
	Unknown []string
	Looked  time.Time
}

// LinkNode is a name, or something that names have in common. Text from outside
// is inert.
type LinkNode struct {
	ID     string // KIND:VALUE
	Kind   string // "name", or what it is
	Label  string // the kind in words
	Show   string // defanged
	Names  int
	Hub    string // why sharing it means nothing
	Case   string
	Actor  string
	Status string
	Score  float64
	Seen   time.Time
	Steps  int
}

// LinkEdge says that a name has something.
type LinkEdge struct{ Name, To string }

// LinkFact is one thing that was seen.
type LinkFact struct{ What, Value, Hub string }

// linkSteps are how far a page walks.
var linkSteps = []string{"1", "2", "3"}

type linksData struct {
	At, Text    string
	Steps       string
	Hubs        bool
	Start       *LinkNode
	Looked      cell
	Facts       []LinkFact
	Unknown     []string
	Left        int
	Picture     template.HTML
	Things      *table
	Names       *table
	Edges       *table
	Shared      *table
	Nothing     string
	StepOptions []string
}

func linkHref(id string) string { return "/links?at=" + url.QueryEscape(id) }

// linkAt reads what a person wrote: a name, or KIND:VALUE.
func linkAt(s string) (string, error) {
	s = strings.TrimSpace(s)
	kind, value, ok := strings.Cut(s, ":")
	if ok && kind != "name" && kind != "" && !strings.ContainsAny(kind, "./[]") {
		if len(s) > 4096 {
			return "", impound.Errorf(impound.KindInvalid, "that is too long").At("at")
		}
		return s, nil
	}
	if kind != "name" {
		value = s
	}
	n, err := impound.ParseName(value)
	if err != nil {
		return "", impound.Errorf(impound.KindInvalid, "%w", err).At("at").WithCure("write a name, or KIND:VALUE such as address:192.0.2.7")
	}
	return "name:" + n.String(), nil
}

func (s *server) linksPage(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	if err := known(q, "at", "steps", "hubs"); err != nil {
		return nil, err
	}
	if s.cfg.Links == nil {
		return nil, impound.Errorf(impound.KindNotFound, "this house keeps no links")
	}
	d := linksData{Steps: "1", StepOptions: linkSteps}
	if v := q.Get("steps"); v != "" {
		var err error
		if d.Steps, err = oneOf(q, "steps", linkSteps); err != nil {
			return nil, err
		}
	}
	hubs, err := oneOf(q, "hubs", []string{"1"})
	if err != nil {
		return nil, err
	}
	d.Hubs = hubs == "1"
	p := &page{Tmpl: "links.html", Title: "Links", Nav: "/watch"}
	if q.Get("at") == "" {
		shared, err := s.cfg.Links.Shared(ctx, 200)
		if err != nil {
			return nil, err
		}
		d.Shared = &table{ID: "shared", Title: "What links names", Empty: "Nothing is known yet that links two names. Look at candidates first: impound watch enrich", Cols: []col{txt("kind", "what"), txt("value", "value"), num("names", "names")}}
		for _, n := range shared {
			d.Shared.Rows = append(d.Shared.Rows, row{Key: n.ID, Cells: []cell{text(n.Label), nodeCell(n), number(n.Names)}})
		}
		p.Tables, p.Data = []*table{d.Shared}, d
		return p, nil
	}
	if d.At, err = linkAt(q.Get("at")); err != nil {
		return nil, err
	}
	d.Text = strings.TrimPrefix(strings.ReplaceAll(strings.ReplaceAll(d.At, "[.]", "."), ".", "[.]"), "name:")
	steps, _ := strconv.Atoi(d.Steps)
	v, err := s.cfg.Links.Links(ctx, d.At, steps, d.Hubs)
	if err != nil {
		return nil, err
	}
	d.Facts, d.Unknown, d.Left, d.Looked = v.Facts, v.Unknown, v.Left, s.timeCell(v.Looked)
	cli := []string{"watch", "graph", d.Text}
	if d.Steps != "1" {
		cli = append(cli, "--steps", d.Steps)
	}
	if d.Hubs {
		cli = append(cli, "--hubs")
	}
	if len(v.Nodes) == 0 {
		d.Nothing = d.Text
		p.Data = d
		return p, nil
	}
	start := v.Nodes[0]
	d.Start = &start
	p.Title = "Links of " + start.Show
	node := map[string]LinkNode{}
	via := map[string][]string{}
	for _, n := range v.Nodes {
		node[n.ID] = n
	}
	has := map[string]bool{} // what the start has
	for _, e := range v.Edges {
		if e.Name == start.ID {
			has[e.To] = true
		}
	}
	d.Edges = &table{ID: "edges", Title: "Each link", CLI: cliLine(append(cli, "--format", "csv")...), Cols: []col{txt("name", "name"), txt("case", "case"), txt("kind", "has"), txt("value", "value"), txt("shared_by_many", "shared by many")}}
	for _, e := range v.Edges {
		n, t := node[e.Name], node[e.To]
		if !has[e.To] || start.Kind != "name" || n.ID == start.ID {
			// what a name further off has
		} else if w := t.Label; !slices.Contains(via[n.ID], w) {
			via[n.ID] = append(via[n.ID], w)
		}
		d.Edges.Rows = append(d.Edges.Rows, row{Key: e.Name + " " + e.To, Cells: []cell{nodeCell(n), caseCell(n.Case), text(t.Label), nodeCell(t), hubCell(t.Hub)}})
	}
	d.Things = &table{ID: "things", Title: "What it has", CLI: cliLine(cli...), Empty: "Nothing that could link it.",
		Cols: []col{txt("kind", "what"), txt("value", "value"), num("names", "names"), txt("hub", "shared by many"), num("steps", "steps")}}
	d.Names = &table{ID: "names", Title: "Names", Empty: "No other name is known to have any of it.",
		Cols: []col{txt("name", "name"), txt("via", "shares"), txt("case", "case"), txt("actor", "actor"), txt("status", "status"), num("score", "score"), txt("seen", "seen (UTC)"), num("steps", "steps")}}
	for _, n := range v.Nodes[1:] {
		if n.Kind != "name" {
			d.Things.Rows = append(d.Things.Rows, row{Key: n.ID, Cells: []cell{text(n.Label), nodeCell(n), number(n.Names), hubCell(n.Hub), number(n.Steps)}})
			continue
		}
		w := cell{Value: append([]string{}, via[n.ID]...), Kind: "inline"}
		tone := ""
		if n.Case != "" {
			tone = "alarm"
		}
		score := cell{Value: "", Text: "–", Kind: "num"} // names of cases have none
		if n.Score > 0 {
			score = cell{Value: fmt.Sprintf("%.2f", n.Score), Kind: "num"}
		}
		status := cell{Value: n.Status, Kind: "badge", Tone: map[string]string{"open": "info"}[n.Status]}
		d.Names.Rows = append(d.Names.Rows, row{Key: n.ID, Tone: tone, Cells: []cell{nodeCell(n), w, caseCell(n.Case), text(n.Actor), status, score, s.timeCell(n.Seen), number(n.Steps)}})
	}
	if start.Kind != "name" {
		d.Things.Title, d.Names.Title = "What these names have beside it", "Names that have it"
	}
	d.Picture = drawLinks(v)
	p.Tables, p.Data = []*table{d.Names, d.Things, d.Edges}, d
	return p, nil
}

func nodeCell(n LinkNode) cell {
	return cell{Value: cmp.Or(n.Show, n.ID), Kind: "name", Href: linkHref(n.ID)}
}

func caseCell(id string) cell {
	if id == "" {
		return text("")
	}
	return link(id, "/cases/"+url.PathEscape(id))
}

func hubCell(why string) cell {
	c := cell{Value: why, Kind: "badge"}
	if why != "" {
		c.Text, c.Hint, c.Tone = "hub", why, "warn"
		c.Text = "hub: " + why
	}
	return c
}

// Sizes of the picture, in its own units.
const (
	linkCol  = 300
	linkRow  = 24
	linkBox  = 246
	linkMost = 60 // rows of a column
)

// drawLinks draws a walk as columns from left to right: the start, what it has,
// the names that have it too, and so on. It needs no script: each box is a link.
// Too many nodes for a picture give none; the tables tell all.
func drawLinks(v LinkView) template.HTML {
	cols := [][]LinkNode{}
	at := map[string][2]int{}
	start := v.Nodes[0]
	for _, n := range v.Nodes {
		c := 0
		switch {
		case n.ID == start.ID:
		case start.Kind == "name" && n.Kind == "name":
			c = 2 * n.Steps
		case start.Kind == "name":
			c = 2*n.Steps - 1
		case n.Kind == "name":
			c = 2*n.Steps - 1
		default:
			c = 2*n.Steps - 2
		}
		for len(cols) <= c {
			cols = append(cols, nil)
		}
		at[n.ID] = [2]int{c, len(cols[c])}
		cols[c] = append(cols[c], n)
	}
	rows := 0
	for _, c := range cols {
		rows = max(rows, len(c))
	}
	if rows > linkMost || len(v.Nodes) < 2 {
		return ""
	}
	var b strings.Builder
	w, h := len(cols)*linkCol-(linkCol-linkBox)+2, rows*linkRow+2
	fmt.Fprintf(&b, `<svg class="links" viewBox="0 0 %d %d" role="img" aria-label="%s and what links it: the tables below tell the same">`, w, h, html.EscapeString(start.Show))
	pos := func(id string) (x, y int) {
		p := at[id]
		// Short columns stand in the middle.
		return p[0]*linkCol + 1, (rows-len(cols[p[0]]))*linkRow/2 + p[1]*linkRow + 1
	}
	for _, e := range v.Edges {
		if _, ok := at[e.Name]; !ok {
			continue
		}
		x1, y1 := pos(e.Name)
		x2, y2 := pos(e.To)
		if x1 > x2 {
			x1, y1, x2, y2 = x2, y2, x1, y1
		}
		if x2-x1 != linkCol {
			continue // across a column: the table has it
		}
		class := "l"
		for _, n := range cols[at[e.To][0]] {
			if n.ID == e.To && n.Hub != "" {
				class = "l hub"
			}
		}
		fmt.Fprintf(&b, `<path class="%s" d="M%d %dC%d %d %d %d %d %d"/>`, class, x1+linkBox, y1+linkRow/2-2, x1+linkBox+27, y1+linkRow/2-2, x2-27, y2+linkRow/2-2, x2, y2+linkRow/2-2)
	}
	for _, c := range cols {
		for _, n := range c {
			x, y := pos(n.ID)
			class, label := "thing", n.Label+" "+n.Show
			if n.Kind == "name" {
				class, label = "name", n.Show
				if n.Case != "" {
					class = "name known"
				}
			}
			if n.Hub != "" {
				class += " hub"
			}
			if n.ID == start.ID {
				class += " start"
			}
			title := label
			for _, more := range []string{n.Hub, n.Case, n.Actor} {
				if more != "" {
					title += ", " + more
				}
			}
			fmt.Fprintf(&b, `<a href="%s"><title>%s</title><rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="3"/><text x="%d" y="%d">%s</text></a>`,
				html.EscapeString(linkHref(n.ID)), html.EscapeString(title), class, x, y, linkBox, linkRow-4, x+6, y+linkRow/2+2, html.EscapeString(middle(label, 35)))
		}
	}
	b.WriteString(`</svg>`)
	return template.HTML(b.String()) //nolint:gosec // every text in it was escaped above
}

// middle cuts a text in its middle: names differ at both ends.
func middle(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n/2]) + "…" + string(r[len(r)-n/2+1:])
}
