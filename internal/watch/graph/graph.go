// Package graph links names by what they have in common: an address, a name
// server, a certificate, a page, an icon, a minute of registration. An analyst
// walks it from one name to the next; each step says by what it leads there.
//
// What lives here: the links, the walk, and the forms in which it is written.
// What must not: the looking, or who may see what. Whoever makes a graph gives it
// the names that its reader may see, and none else.
//
// Shared hosting, parking and delivery networks link thousands that have nothing
// to do with each other. Such a thing is a hub: it is shown, marked, and not
// walked through unless somebody asks.
package graph

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/parallel"
	"github.com/impound/impound/internal/watch/trait"
)

// Item is one name with what was observed of it.
type Item struct {
	Name   impound.Name
	Traits []trait.Trait
	// Beside are other names on its certificate, of which nothing else is known.
	Beside []string
	Status string // "open", "promoted", "dismissed", or of a case's name its state
	Case   string
	Actor  string
	Score  float64
	Seen   time.Time // the newest look; zero: never
}

// KindName is the kind of nodes that are names.
const KindName = "name"

// Node is a name, or something that names have in common.
type Node struct {
	ID     string    `json:"id"` // KIND:VALUE
	Kind   string    `json:"kind"`
	Value  string    `json:"value"`
	Show   string    `json:"show"` // for people, defanged
	Names  int       `json:"names,omitempty"`
	Hub    string    `json:"hub,omitempty"` // why sharing it means nothing
	Status string    `json:"status,omitempty"`
	Case   string    `json:"case,omitempty"`
	Actor  string    `json:"actor,omitempty"`
	Score  float64   `json:"score,omitempty"`
	Seen   time.Time `json:"seen,omitzero"`
	Steps  int       `json:"steps"` // names on the way from where the walk began
}

// Known says that the node is a name of a case.
func (n Node) Known() bool { return n.Case != "" }

// Edge says that a name has something.
type Edge struct {
	Name string `json:"name"` // node id
	To   string `json:"to"`   // node id
	Kind string `json:"kind"`
}

// Sub is the part of a graph that a walk found.
type Sub struct {
	Start string `json:"start"`
	Nodes []Node `json:"nodes"` // the start first, then by distance
	Edges []Edge `json:"edges"`
	Left  int    `json:"left_out,omitempty"` // nodes that were left out because there were too many
}

// Graph never changes after [New] and is safe for concurrent use.
type Graph struct {
	items map[impound.Name]*Item
	have  map[string]*thing // by node id
	of    map[impound.Name][]string
}

type thing struct {
	t     trait.Trait
	names []impound.Name
}

// ID is the id of a node.
func ID(kind, value string) string { return kind + ":" + value }

// New makes a graph of names. Two items of one name become one: a case's goes
// over a candidate's.
func New(items []Item) *Graph {
	g := &Graph{items: make(map[impound.Name]*Item, len(items)), have: make(map[string]*thing, len(items)), of: make(map[impound.Name][]string, len(items))}
	for _, it := range items {
		old := g.items[it.Name]
		if old == nil {
			g.items[it.Name] = &it
			continue
		}
		if old.Case == "" && it.Case != "" {
			old.Case, old.Actor, old.Status = it.Case, it.Actor, it.Status
		}
		old.Score = max(old.Score, it.Score)
		if it.Seen.After(old.Seen) {
			old.Seen = it.Seen
		}
		old.Beside = append(slices.Clip(old.Beside), it.Beside...)
		old.Traits = append(slices.Clip(old.Traits), it.Traits...)
	}
	names := make([]impound.Name, 0, len(items))
	for _, it := range items { // in order mostly, as cases give them
		names = append(names, it.Name)
	}
	slices.SortFunc(names, byName)
	names = slices.Compact(names)
	traits := make([][]trait.Trait, len(names))
	_ = parallel.Each(len(names), func(i int) error { // which never fails
		traits[i] = withDomain(names[i], g.items[names[i]].Traits)
		return nil
	})
	for i, n := range names {
		it := g.items[n]
		for _, t := range traits[i] {
			g.join(n, t)
			if t.Kind != trait.Cert || t.Hub != "" {
				continue
			}
			for _, b := range it.Beside[:min(len(it.Beside), 40)] {
				o, err := impound.ParseName(strings.TrimPrefix(b, "*."))
				if err != nil || o == n {
					continue
				}
				if g.items[o] == nil {
					g.items[o] = &Item{Name: o, Status: "on a certificate"}
				}
				g.join(o, t)
			}
		}
	}
	for _, x := range g.have {
		slices.SortFunc(x.names, byName)
		rule, _ := trait.Of(x.t.Kind)
		if x.t.Hub == "" && rule.Hub > 0 && len(x.names) > rule.Hub {
			x.t.Hub = fmt.Sprintf("%d names have it", len(x.names))
		}
	}
	return g
}

func byName(a, b impound.Name) int { return strings.Compare(a.String(), b.String()) }

func (g *Graph) join(n impound.Name, t trait.Trait) {
	id := ID(string(t.Kind), t.Value)
	x := g.have[id]
	if x == nil {
		x = &thing{t: t}
		g.have[id] = x
	}
	if !slices.Contains(g.of[n], id) {
		g.of[n] = append(g.of[n], id)
		x.names = append(x.names, n)
	}
	if x.t.Hub == "" {
		x.t.Hub = t.Hub
	}
}

// Node gives one node by its id; false where there is none.
func (g *Graph) Node(id string) (Node, bool) {
	kind, value, _ := strings.Cut(id, ":")
	if kind == KindName {
		n, err := impound.ParseName(value)
		if err != nil || g.items[n] == nil {
			return Node{}, false
		}
		return g.nameNode(n), true
	}
	if x, ok := g.have[id]; ok {
		return g.thingNode(id, x), true
	}
	return Node{}, false
}

// Traits gives what was observed of a name, also what links nothing.
func (g *Graph) Traits(n impound.Name) []trait.Trait {
	it := g.items[n]
	if it == nil {
		return nil
	}
	return slices.Clone(it.Traits)
}

func (g *Graph) nameNode(n impound.Name) Node {
	it := g.items[n]
	return Node{ID: ID(KindName, n.String()), Kind: KindName, Value: n.String(), Show: n.Defanged(), Status: it.Status, Case: it.Case, Actor: it.Actor, Score: it.Score, Seen: it.Seen}
}

func (g *Graph) thingNode(id string, x *thing) Node {
	return Node{ID: id, Kind: string(x.t.Kind), Value: x.t.Value, Show: x.t.String(), Names: len(x.names), Hub: x.t.Hub}
}

// Shared gives what links the most names without being a hub, at most limit.
func (g *Graph) Shared(limit int) []Node {
	var out []Node
	for id, x := range g.have {
		if len(x.names) > 1 && x.t.Hub == "" && x.t.Kind != trait.Domain {
			out = append(out, g.thingNode(id, x))
		}
	}
	slices.SortFunc(out, func(a, b Node) int {
		return cmp.Or(cmp.Compare(b.Names, a.Names), cmp.Compare(order(a), order(b)), strings.Compare(a.ID, b.ID))
	})
	return out[:min(limit, len(out))]
}

// Walk says how far to go.
type Walk struct {
	Steps int  // from name to name; 0 is 1
	Hubs  bool // through what thousands share, too
	Max   int  // nodes at most; 0 is 400
	// Alone shows what only one name has, not of the start alone.
	Alone bool
}

// Walk goes from a node along what names have in common. A start that is not
// there is an error of KindNotFound.
func (g *Graph) Walk(start string, w Walk) (Sub, error) {
	first, ok := g.Node(start)
	if !ok {
		_, value, _ := strings.Cut(start, ":")
		return Sub{}, impound.Errorf(impound.KindNotFound, "nothing is known of %s that could link it", strings.ReplaceAll(value, ".", "[.]")).WithCure("look at it first: impound watch enrich NAME")
	}
	if w.Steps <= 0 {
		w.Steps = 1
	}
	if w.Max <= 0 {
		w.Max = 400
	}
	s := Sub{Start: start, Nodes: []Node{first}, Edges: []Edge{}}
	seen := map[string]bool{start: true}
	edges := map[Edge]bool{}
	left := map[string]bool{}
	add := func(n Node, steps int) bool {
		if seen[n.ID] {
			return false
		}
		if len(s.Nodes) >= w.Max {
			left[n.ID] = true
			return false
		}
		seen[n.ID] = true
		n.Steps = steps
		s.Nodes = append(s.Nodes, n)
		return true
	}
	link := func(name impound.Name, id string, x *thing) {
		e := Edge{ID(KindName, name.String()), id, string(x.t.Kind)}
		if seen[e.Name] && seen[e.To] && !edges[e] {
			edges[e] = true
			s.Edges = append(s.Edges, e)
		}
	}
	// through goes from a thing to its names.
	through := func(id string, steps int) (out []impound.Name) {
		x := g.have[id]
		for _, n := range x.names {
			if add(g.nameNode(n), steps) {
				out = append(out, n)
			}
			link(n, id, x)
		}
		return out
	}
	var at []impound.Name
	begin := 1
	if first.Kind == KindName {
		at = []impound.Name{impound.MustName(first.Value)}
	} else {
		at = through(start, 1)
		begin = 2
	}
	for step := begin; step <= w.Steps; step++ {
		var next []impound.Name
		for _, n := range at {
			ids := slices.Clone(g.of[n])
			slices.SortFunc(ids, func(a, b string) int {
				return cmp.Or(trait.Order(g.have[a].t.Kind, g.have[b].t.Kind), strings.Compare(a, b))
			})
			for _, id := range ids {
				x := g.have[id]
				own := ID(KindName, n.String()) == start
				if len(x.names) < 2 && !own && !w.Alone || x.t.Kind == trait.Domain && len(x.names) < 2 {
					continue
				}
				add(g.thingNode(id, x), step)
				link(n, id, x)
				if seen[id] && (x.t.Hub == "" || w.Hubs) {
					next = append(next, through(id, step)...)
				}
			}
		}
		at = next
	}
	// Names that were found share more than the way by which they were found.
	for _, n := range s.Nodes {
		if n.Kind != KindName {
			continue
		}
		name := impound.MustName(n.Value)
		for _, id := range g.of[name] {
			link(name, id, g.have[id])
		}
	}
	s.Left = len(left)
	slices.SortStableFunc(s.Nodes[1:], func(a, b Node) int {
		return cmp.Or(cmp.Compare(a.Steps, b.Steps), cmp.Compare(order(a), order(b)), strings.Compare(a.ID, b.ID))
	})
	slices.SortFunc(s.Edges, func(a, b Edge) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.To, b.To))
	})
	return s, nil
}

// order puts what links before what it links to, kinds as people are shown them.
func order(n Node) int {
	if n.Kind == KindName {
		return len(trait.Rules)
	}
	return slices.IndexFunc(trait.Rules, func(r trait.Rule) bool { return string(r.Kind) == n.Kind })
}

// Link is that two names share something.
type Link struct {
	Trait trait.Trait
	Item  Item
}

// Links gives what a name with these traits shares with those that want is true
// of, hubs left out: of each kind the first alone, so that one server counts once.
// The name itself need not be in the graph.
func (g *Graph) Links(n impound.Name, ts []trait.Trait, want func(Item) bool) []Link {
	var out []Link
	kinds := map[trait.Kind]bool{}
	for _, t := range withDomain(n, ts) {
		x := g.have[ID(string(t.Kind), t.Value)]
		if x == nil || x.t.Hub != "" || t.Hub != "" || kinds[t.Kind] {
			continue
		}
		for _, o := range x.names {
			if it := g.items[o]; o != n && want(*it) {
				out = append(out, Link{x.t, *it})
				kinds[t.Kind] = true
				break
			}
		}
	}
	return out
}

// withDomain gives the traits that link, with what of the name was registered,
// in the order of kinds.
func withDomain(n impound.Name, ts []trait.Trait) []trait.Trait {
	var out []trait.Trait
	for _, t := range ts {
		if rule, ok := trait.Of(t.Kind); ok && rule.Links {
			out = append(out, t)
		}
	}
	if d, err := n.RegistryDomain(); err == nil {
		// Below somebody's own suffix live his customers, who have nothing in common.
		if r, err := n.Registrable(); err == nil && r == d {
			out = append(out, trait.Trait{Kind: trait.Domain, Value: d.String(), Show: d.Defanged()})
		}
	}
	slices.SortStableFunc(out, func(a, b trait.Trait) int {
		return cmp.Or(trait.Order(a.Kind, b.Kind), strings.Compare(a.Value, b.Value))
	})
	return out
}
