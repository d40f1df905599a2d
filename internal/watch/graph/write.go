package graph

import (
	"bytes"
	"cmp"
	"encoding/xml"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/impound/impound/internal/watch/trait"
)

// Label gives what people call a kind of node.
func Label(kind string) string {
	if r, ok := trait.Of(trait.Kind(kind)); ok {
		return r.Label
	}
	return kind
}

// About says in a few words what a node is, beside its name.
func (n Node) About() string {
	var out []string
	if n.Kind != KindName {
		out = append(out, plural(n.Names, "name"))
		if n.Hub != "" {
			out = append(out, "HUB: "+n.Hub)
		}
		return strings.Join(out, ", ")
	}
	switch {
	case n.Case != "":
		s := "case " + n.Case
		if n.Actor != "" {
			s += " (" + n.Actor + ")"
		}
		out = append(out, s)
		if n.Status != "" {
			out = append(out, n.Status)
		}
	case n.Status == "open":
		out = append(out, fmt.Sprintf("candidate, %.2f", n.Score))
	case n.Status != "":
		out = append(out, n.Status)
	}
	if !n.Seen.IsZero() {
		out = append(out, "seen "+n.Seen.UTC().Format("2006-01-02 15:04Z"))
	}
	return strings.Join(out, ", ")
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// Text writes the walk as a tree: from each name what it has, and below that the
// names that have it too. A node stands where it was found first; where it comes
// again it is named alone.
func (s Sub) Text(w io.Writer) error {
	var b bytes.Buffer
	node := map[string]Node{}
	next := map[string][]string{}
	for _, n := range s.Nodes {
		node[n.ID] = n
	}
	for _, e := range s.Edges {
		next[e.Name] = append(next[e.Name], e.To)
		next[e.To] = append(next[e.To], e.Name)
	}
	at := map[string]int{}
	for i, n := range s.Nodes {
		at[n.ID] = i
	}
	for _, ids := range next {
		slices.SortFunc(ids, func(x, y string) int { return cmp.Compare(at[x], at[y]) })
	}
	said := map[string]bool{}
	var tell func(id, from, indent string)
	tell = func(id, from, indent string) {
		said[id] = true
		var below []string
		for _, o := range next[id] {
			// A thing stands below each name that has it; a name below the first thing.
			if o != from && (node[o].Kind != KindName || !said[o]) && !(node[id].Kind == KindName && said[o]) {
				below = append(below, o)
			}
		}
		for i, o := range below {
			if said[o] {
				continue
			}
			mark, bar := "├ ", "│ "
			if i == len(below)-1 {
				mark, bar = "└ ", "  "
			}
			n := node[o]
			what := ""
			if n.Kind != KindName {
				what = Label(n.Kind) + " "
			}
			fmt.Fprintf(&b, "%s%s%s%s", indent, mark, what, n.Show)
			if a := n.About(); a != "" {
				fmt.Fprintf(&b, "  [%s]", a)
			}
			b.WriteByte('\n')
			tell(o, id, indent+bar)
		}
	}
	if len(s.Nodes) > 0 {
		n := s.Nodes[0]
		what := ""
		if n.Kind != KindName {
			what = Label(n.Kind) + " "
		}
		fmt.Fprintf(&b, "%s%s", what, n.Show)
		if a := n.About(); a != "" {
			fmt.Fprintf(&b, "  [%s]", a)
		}
		b.WriteByte('\n')
		tell(s.Start, "", "")
	}
	if s.Left > 0 {
		fmt.Fprintf(&b, "and %d more that were left out\n", s.Left)
	}
	_, err := w.Write(b.Bytes())
	return err
}

// DOT writes the walk for Graphviz.
func (s Sub) DOT(w io.Writer) error {
	var b bytes.Buffer
	b.WriteString("graph impound {\n  graph [overlap=false, splines=true];\n  node [fontname=\"sans-serif\", fontsize=10];\n")
	id := map[string]string{} // what stands in the file is defanged: ids are numbers
	for i, n := range s.Nodes {
		id[n.ID] = fmt.Sprintf("n%d", i)
		label := n.Show
		shape := "box"
		if n.Kind != KindName {
			label, shape = Label(n.Kind)+"\n"+n.Show, "ellipse"
		} else if a := n.About(); a != "" {
			label += "\n" + a
		}
		style := ""
		switch {
		case n.Hub != "":
			style = `, style=dashed, color=gray`
		case n.Known():
			style = `, style=bold, color=red`
		case n.ID == s.Start:
			style = `, style=bold`
		}
		fmt.Fprintf(&b, "  %s [label=%s, shape=%s%s];\n", id[n.ID], quote(label), shape, style)
	}
	for _, e := range s.Edges {
		fmt.Fprintf(&b, "  %s -- %s;\n", id[e.Name], id[e.To])
	}
	b.WriteString("}\n")
	_, err := w.Write(b.Bytes())
	return err
}

// quote writes a string of Graphviz: only the quotation mark and the backslash
// mean something there.
func quote(s string) string {
	s = strings.ReplaceAll(s, `\`, `\\`)
	s = strings.ReplaceAll(s, `"`, `\"`)
	return `"` + strings.ReplaceAll(s, "\n", `\n`) + `"`
}

type gmlKey struct {
	ID   string `xml:"id,attr"`
	For  string `xml:"for,attr"`
	Name string `xml:"attr.name,attr"`
	Type string `xml:"attr.type,attr"`
}

type gmlData struct {
	Key  string `xml:"key,attr"`
	Text string `xml:",chardata"`
}

type gmlNode struct {
	ID   string    `xml:"id,attr"`
	Data []gmlData `xml:"data"`
}

type gmlEdge struct {
	Source string    `xml:"source,attr"`
	Target string    `xml:"target,attr"`
	Data   []gmlData `xml:"data"`
}

type gmlDoc struct {
	XMLName xml.Name `xml:"http://graphml.graphdrawing.org/xmlns graphml"`
	Keys    []gmlKey `xml:"key"`
	Graph   struct {
		Default string    `xml:"edgedefault,attr"`
		Nodes   []gmlNode `xml:"node"`
		Edges   []gmlEdge `xml:"edge"`
	} `xml:"graph"`
}

// GraphML writes the walk for Gephi, yEd, NetworkX and the like.
func (s Sub) GraphML(w io.Writer) error {
	var d gmlDoc
	for _, k := range []string{"label", "kind", "about", "case", "actor", "hub"} {
		d.Keys = append(d.Keys, gmlKey{k, "node", k, "string"})
	}
	d.Keys = append(d.Keys, gmlKey{"link", "edge", "kind", "string"})
	d.Graph.Default = "undirected"
	id := map[string]string{} // an id is an NMTOKEN: ours may hold anything
	for i, n := range s.Nodes {
		id[n.ID] = fmt.Sprintf("n%d", i)
		g := gmlNode{ID: id[n.ID]}
		for _, kv := range [][2]string{{"label", n.Show}, {"kind", n.Kind}, {"about", n.About()}, {"case", n.Case}, {"actor", n.Actor}, {"hub", n.Hub}} {
			if kv[1] != "" {
				g.Data = append(g.Data, gmlData{kv[0], kv[1]})
			}
		}
		d.Graph.Nodes = append(d.Graph.Nodes, g)
	}
	for _, e := range s.Edges {
		d.Graph.Edges = append(d.Graph.Edges, gmlEdge{id[e.Name], id[e.To], []gmlData{{"link", e.Kind}}})
	}
	if _, err := io.WriteString(w, xml.Header); err != nil {
		return err
	}
	enc := xml.NewEncoder(w)
	enc.Indent("", " ")
	if err := enc.Encode(d); err != nil {
		return fmt.Errorf("couldn't write the graph: %w", err)
	}
	_, err := io.WriteString(w, "\n")
	return err
}
