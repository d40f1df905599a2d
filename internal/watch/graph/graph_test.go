package graph

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/peertest"
	"github.com/impound/impound/internal/watch/trait"
)

func item(n, caseID string, ts ...trait.Trait) Item {
	it := Item{Name: impound.MustName(n), Case: caseID, Traits: ts, Status: "open", Score: 0.5}
	if caseID != "" {
		it.Actor, it.Status = "APT35", "ordered"
	}
	return it
}

func tr(k trait.Kind, v string) trait.Trait { return trait.Trait{Kind: k, Value: v} }

// a shares an address with b, b a certificate with c, all a registrar, and a
// name server with fifty others.
func sample() *Graph {
	ns := trait.Trait{Kind: trait.NS, Value: "ns1.big.example"}
	items := []Item{
		item("a.example", "", tr(trait.Addr, "192.0.2.1"), tr(trait.Registrar, "1"), ns),
		item("b.example", "C-1", tr(trait.Addr, "192.0.2.1"), tr(trait.Cert, "ff"), tr(trait.Registrar, "1")),
		item("c.example", "", tr(trait.Cert, "ff"), tr(trait.Page, `"\quote`), trait.Trait{Kind: trait.Addr, Value: "192.0.2.2", Hub: "a network of many"}),
		item("d.example", "", trait.Trait{Kind: trait.Addr, Value: "192.0.2.2", Hub: "a network of many"}),
	}
	items[2].Beside = []string{"*.unseen.example", "not a name", "c.example"}
	for i := range 50 {
		items = append(items, item(fmt.Sprintf("other%d.example", i), "", ns))
	}
	return New(items)
}

func ids(s Sub) (out []string) {
	for _, n := range s.Nodes {
		out = append(out, n.ID)
	}
	slices.Sort(out)
	return out
}

func walk(t *testing.T, g *Graph, at string, w Walk) Sub {
	t.Helper()
	s, err := g.Walk(at, w)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestWalk(t *testing.T) {
	g := sample()
	for _, c := range []struct {
		at   string
		w    Walk
		want string
	}{
		{"name:a.example", Walk{}, "address:192.0.2.1 name:a.example name:b.example ns:ns1.big.example"},
		{"name:a.example", Walk{Steps: 2}, "address:192.0.2.1 certificate:ff name:a.example name:b.example name:c.example name:unseen.example ns:ns1.big.example"},
		{"certificate:ff", Walk{}, "certificate:ff name:b.example name:c.example name:unseen.example"},
		{"address:192.0.2.2", Walk{}, "address:192.0.2.2 name:c.example name:d.example"}, // a hub that is asked for is shown
		{"name:d.example", Walk{Steps: 3}, "address:192.0.2.2 name:d.example"},
	} {
		if got := strings.Join(ids(walk(t, g, c.at, c.w)), " "); got != c.want {
			t.Errorf("%s %+v: %s, want %s", c.at, c.w, got, c.want)
		}
	}
	s := walk(t, g, "name:a.example", Walk{Hubs: true})
	if len(s.Nodes) != 54 {
		t.Errorf("through hubs: %d nodes", len(s.Nodes))
	}
	if hub := s.Nodes[slices.IndexFunc(s.Nodes, func(n Node) bool { return n.Kind == "ns" })]; hub.Hub != "51 names have it" {
		t.Errorf("%+v", hub)
	}
	if s = walk(t, g, "name:a.example", Walk{Hubs: true, Max: 10}); len(s.Nodes) != 10 || s.Left < 40 {
		t.Errorf("%d nodes, %d left out", len(s.Nodes), s.Left)
	}
	for _, e := range s.Edges {
		if !slices.Contains(ids(s), e.Name) || !slices.Contains(ids(s), e.To) {
			t.Errorf("an edge to what is not there: %+v", e)
		}
	}
	for _, at := range []string{"name:nobody.example", "address:203.0.113.1", "x", "", "name:"} {
		if _, err := g.Walk(at, Walk{}); impound.KindOf(err) != impound.KindNotFound {
			t.Errorf("%q: %v", at, err)
		}
	}
}

// The hubs judged by number count names, not only what the walk reaches; a link
// to what is known counts each kind once and never a hub.
func TestLinks(t *testing.T) {
	g := sample()
	known := func(it Item) bool { return it.Case != "" }
	ls := g.Links(impound.MustName("new.example"), []trait.Trait{tr(trait.Addr, "192.0.2.1"), tr(trait.Cert, "ff"), tr(trait.NS, "ns1.big.example"), tr(trait.Registrar, "1")}, known)
	if len(ls) != 2 || ls[0].Trait.Kind != trait.Cert || ls[1].Item.Name != impound.MustName("b.example") {
		t.Errorf("%+v", ls)
	}
	if ls := g.Links(impound.MustName("login.b.example"), nil, known); len(ls) != 1 || ls[0].Trait.Kind != trait.Domain {
		t.Errorf("a host of a known domain: %+v", ls)
	}
	if ls := g.Links(impound.MustName("b.example"), []trait.Trait{tr(trait.Addr, "192.0.2.1")}, known); len(ls) != 0 {
		t.Errorf("linked to itself: %+v", ls)
	}
}

func TestForms(t *testing.T) {
	g := sample()
	s := walk(t, g, "name:a.example", Walk{Steps: 3})
	var b bytes.Buffer
	if err := s.Text(&b); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"a[.]example  [candidate, 0.50]", "address 192.0.2.1  [2 names]", "b[.]example  [case C-1 (APT35), ordered]", "HUB: 51 names have it", "unseen[.]example  [on a certificate]"} {
		if strings.Count(b.String(), want) != 1 {
			t.Errorf("%q stands %d times in\n%s", want, strings.Count(b.String(), want), b.String())
		}
	}
	b.Reset()
	if err := s.GraphML(&b); err != nil {
		t.Fatal(err)
	}
	if err := xml.Unmarshal(b.Bytes(), new(gmlDoc)); err != nil || strings.Contains(b.String(), "a.example") {
		t.Errorf("%v\n%s", err, b.String())
	}
	lint := peertest.Need(t, "xmllint", "libxml2-utils")
	cmd := exec.Command(lint, "--noout", "-")
	cmd.Stdin = bytes.NewReader(b.Bytes())
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	b.Reset()
	if err := s.DOT(&b); err != nil || strings.Contains(b.String(), "a.example") || strings.Count(b.String(), `"`)%2 != strings.Count(b.String(), `\"`)%2 {
		t.Errorf("%v\n%s", err, b.String())
	}
	if j, err := json.Marshal(s); err != nil || !strings.Contains(string(j), `"start":"name:a.example"`) {
		t.Errorf("%v %s", err, j)
	}
}
