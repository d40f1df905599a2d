package app

import (
	"context"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/graph"
	"github.com/impound/impound/internal/watch/trait"
	"github.com/impound/impound/internal/web"
)

// linker is what the pages walk along.
type linker struct{ s *System }

func (l linker) Links(ctx context.Context, at string, steps int, hubs bool) (web.LinkView, error) {
	sub, err := l.s.WatchGraph(ctx, at, graph.Walk{Steps: steps, Hubs: hubs})
	kind, value, _ := strings.Cut(at, ":")
	if kind == graph.KindName && impound.KindOf(err) == impound.KindNotFound {
		return web.LinkView{}, nil
	}
	if err != nil {
		return web.LinkView{}, err
	}
	v := web.LinkView{Left: sub.Left}
	for _, n := range sub.Nodes {
		v.Nodes = append(v.Nodes, linkNode(n))
	}
	for _, e := range sub.Edges {
		v.Edges = append(v.Edges, web.LinkEdge{Name: e.Name, To: e.To})
	}
	if kind != graph.KindName {
		return v, nil
	}
	n, err := impound.ParseName(value)
	if err != nil {
		return v, err
	}
	v.Looked = v.Nodes[0].Seen
	g, err := l.s.linkGraph(ctx)
	if err != nil {
		return v, err
	}
	for _, t := range g.Traits(n) {
		rule, _ := trait.Of(t.Kind)
		v.Facts = append(v.Facts, web.LinkFact{What: rule.Label, Value: t.String(), Hub: t.Hub})
	}
	if r, err := l.s.Seen(ctx, n); err == nil {
		for _, part := range r.Unknown() {
			v.Unknown = append(v.Unknown, part+": "+r.Faults[part].Err)
		}
	} else if impound.KindOf(err) != impound.KindNotFound {
		return v, err
	}
	return v, nil
}

func (l linker) Shared(ctx context.Context, limit int) ([]web.LinkNode, error) {
	ns, err := l.s.WatchShared(ctx, limit)
	out := make([]web.LinkNode, 0, len(ns))
	for _, n := range ns {
		out = append(out, linkNode(n))
	}
	return out, err
}

func linkNode(n graph.Node) web.LinkNode {
	return web.LinkNode{ID: n.ID, Kind: n.Kind, Label: graph.Label(n.Kind), Show: n.Show, Names: n.Names, Hub: n.Hub, Case: n.Case, Actor: n.Actor, Status: n.Status, Score: n.Score, Seen: n.Seen, Steps: n.Steps}
}

// WatchShared gives what links the most names that whoever asks may see.
func (s *System) WatchShared(ctx context.Context, limit int) ([]graph.Node, error) {
	g, err := s.linkGraph(ctx)
	if err != nil {
		return nil, err
	}
	return g.Shared(limit), nil
}
