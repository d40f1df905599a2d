package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	impound "github.com/impound/impound"
)

// manyNames is how many a case page shows; the rest have a page of their own.
const manyNames = 12

// namesPage shows every name of a case.
func (s *server) namesPage(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	if err := known(q, "limit", "offset"); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	path := "/cases/" + url.PathEscape(id)
	c, err := s.desk.Case(ctx, id)
	if err != nil {
		return nil, err
	}
	part, err := parsePart(q, len(c.Domains))
	if err != nil {
		return nil, err
	}
	orders, err := s.desk.Orders(ctx, id)
	if err != nil {
		return nil, err
	}
	plans, err := s.desk.Plans(ctx, id, "")
	if err != nil {
		return nil, err
	}
	t := s.nameTable(c, orders, latestPlans(plans), path, part)
	return &page{Tmpl: "table-page.html", Title: "Names of case " + id, Nav: "/cases", Data: listData{Table: t, Back: path, Pager: part.pager(path+"/names", q, len(c.Domains))}, Tables: []*table{t}}, nil
}

// nameTable lists a part of the names, those that need a look first.
func (s *server) nameTable(c impound.Case, orders []OrderView, plans []PlanView, path string, p part) *table {
	t := &table{ID: "names", Total: len(c.Domains), Title: "Names", Live: true, CLI: cliLine("case", "show", c.ID), Empty: "No name yet.",
		Cols: []col{txt("name", "name"), txt("state", "state"), txt("order", "order"), txt("gates", "gates"), txt("parent", "parent zone"), txt("rdap", "RDAP"), txt("resolver", "resolver"), txt("child", "own servers"), hidden("first_seen", ""), txt("changed", "last change"), hidden("by", ""), hidden("why", "")}}
	looks := planNames(plans)
	inForce := map[string]bool{}
	for _, o := range orders {
		inForce[o.ID] = o.InForce
	}
	rank := func(d impound.CaseDomain) int {
		p := looks[d.Name]
		switch {
		case d.State == impound.StateContested || p.Parent.Verdict == Otherwise || p.RDAP.Verdict == Otherwise || p.Resolver.Verdict == Otherwise:
			return 0
		case d.State == impound.StateBlocked:
			return 1
		case p.Parent.Verdict == NotYet || p.RDAP.Verdict == NotYet || p.Resolver.Verdict == NotYet:
			return 2
		}
		return 3
	}
	domains := slices.Clone(c.Domains)
	slices.SortStableFunc(domains, func(a, b impound.CaseDomain) int { return rank(a) - rank(b) })
	for _, d := range cutPart(domains, p) {
		order := cell{Value: d.Order}
		if d.Order != "" {
			order.Kind, order.Href = "link", "/orders/"+url.PathEscape(d.Order)
			if !inForce[d.Order] {
				order.Sub = "not in force"
			}
		}
		var last impound.StateChange
		if len(d.History) > 0 {
			last = d.History[len(d.History)-1]
		}
		changed := s.dayCell(last.At)
		if last.By != "" {
			changed.Sub = "by " + last.By
		}
		r := row{Key: d.Name.String(), Cells: []cell{
			nameCell(d.Name, path+"/names/"+url.PathEscape(d.Name.String())), stateCell(d.State), order, gatesCell(d.Verdicts)}}
		if p, ok := looks[d.Name]; ok {
			r.Cells = append(r.Cells, s.lookCell(p.Parent), s.lookCell(p.RDAP), s.lookCell(p.Resolver), s.lookCell(p.Child))
		} else {
			none := cell{Value: "", Kind: "badge", Text: "no plan"}
			r.Cells = append(r.Cells, none, none, none, none)
		}
		r.Cells = append(r.Cells, s.timeCell(d.FirstSeen), changed, text(last.By), text(defangHosts(last.Why)))
		t.Rows = append(t.Rows, r)
	}
	return t
}

// planNames finds for each name what the newest plan that holds it says.
func planNames(plans []PlanView) map[impound.Name]PlanName {
	out, made := map[impound.Name]PlanName{}, map[impound.Name]time.Time{}
	for _, p := range plans {
		for _, n := range p.Names {
			if at, ok := made[n.Name]; !ok || p.Made.After(at) {
				out[n.Name], made[n.Name] = n, p.Made
			}
		}
	}
	return out
}

// ---- one name

type nameData struct {
	Case     impound.Case
	Domain   impound.CaseDomain
	TLP      item
	Marking  impound.Marking // the name's own, or the case's
	Unicode  string          // where it differs
	State    cell
	Order    *OrderView
	Look     *PlanName
	Looks    []namedLook
	Plot     *picture
	Spread   *table // how the views came to show it; nil: nobody has looked
	History  *table
	Gates    *table
	Newest   *table
	Timeline *table
}

type namedLook struct {
	Title string
	Cell  cell
	Look  Look
}

func (s *server) namePage(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	if err := known(q, "window", "resolvers"); err != nil {
		return nil, err
	}
	n, err := impound.ParseName(r.PathValue("name"))
	if err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	c, err := s.desk.Case(ctx, id)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(c.Domains, func(d impound.CaseDomain) bool { return d.Name == n })
	if i < 0 {
		return nil, impound.Errorf(impound.KindNotFound, "case %s holds no name %s", id, n.Defanged())
	}
	dom := c.Domains[i]
	plans, err := s.desk.Plans(ctx, id, "")
	if err != nil {
		return nil, err
	}
	contacts, total, err := s.desk.Contacts(ctx, ContactQuery{Case: id, Zone: n, Limit: 20})
	if err != nil {
		return nil, err
	}
	lines, nLines, err := s.timeline(ctx, q, LogQuery{Case: id, Name: n}, 100)
	if err != nil {
		return nil, err
	}
	first := time.Time{}
	for _, x := range contacts {
		first = x.At
	}
	path := "/cases/" + url.PathEscape(id) + "/names/" + url.PathEscape(n.String())
	pic, svg, err := s.draw(ctx, q, path, id, n, first, nil, "Contacts over time, "+n.Defanged())
	if err != nil {
		return nil, err
	}
	mark := dom.Marking.In(c.Marking())
	d := nameData{Case: c, Domain: dom, TLP: tlpBadge(mark.TLP), Marking: mark, State: stateCell(dom.State), Plot: pic}
	if u := n.Unicode(); u != n.String() {
		d.Unicode = strings.ReplaceAll(u, ".", "[.]")
	}
	if dom.Order != "" {
		o, err := s.desk.Order(ctx, dom.Order)
		switch {
		case err == nil:
			d.Order = &o
		case impound.KindOf(err) != impound.KindNotFound:
			return nil, err
		}
	}
	if p, ok := planNames(latestPlans(plans))[n]; ok {
		d.Look = &p
		for _, l := range []struct {
			title string
			look  Look
		}{{"Parent zone", p.Parent}, {"RDAP", p.RDAP}, {"Resolver", p.Resolver}, {"Its own servers", p.Child}} {
			d.Looks = append(d.Looks, namedLook{l.title, s.lookCell(l.look), Look{Verdict: l.look.Verdict, Detail: defangHosts(l.look.Detail), At: l.look.At}})
		}
	}
	if d.Look != nil && len(d.Look.Turns) > 0 {
		d.Spread = s.spreadTable(*d.Look, cliLine("seize", "status", dom.Order))
	}
	cli := cliLine("case", "show", id)
	d.History = &table{ID: "history", Title: "History", Live: true, CLI: cli, Empty: "Nothing has happened to it yet.",
		Cols: []col{txt("at", "when (UTC)"), txt("state", "state"), txt("by", "who"), txt("why", "why")}}
	for j, h := range slices.Backward(dom.History) {
		d.History.Rows = append(d.History.Rows, row{Key: fmt.Sprint(j), Cells: []cell{s.timeCell(h.At), stateCell(h.State), text(h.By), text(defangHosts(h.Why))}})
	}
	d.Gates = &table{ID: "gates", Title: "Gates", Live: true, CLI: cli, Empty: "The gates have not been run.",
		Cols: []col{txt("gate", "gate"), txt("outcome", "outcome"), txt("reason", "reason"), txt("data", "rests on"), txt("as_of", "as of (UTC)")}}
	verdicts := dom.Verdicts
	if full, ok := s.desk.(interface {
		Verdicts(ctx context.Context, caseID string, n impound.Name) ([]impound.GateVerdict, error)
	}); ok {
		if vs, err := full.Verdicts(ctx, id, dom.Name); err == nil {
			verdicts = vs
		}
	}
	for _, v := range verdicts {
		tone := outcomeTone[v.Outcome]
		if tone == "" {
			tone = "warn"
		}
		d.Gates.Rows = append(d.Gates.Rows, row{Key: v.Gate, Cells: []cell{text(v.Gate), {Value: string(v.Outcome), Kind: "badge", Tone: tone}, text(defangHosts(v.Reason)), text(defangHosts(v.Data)), s.timeCell(v.AsOf)}})
	}
	d.Newest = s.contactTable(contacts, total, "newest", "Newest contacts", ContactQuery{Case: id, Zone: n, Limit: pageRows}, true)
	d.Timeline = s.logTable(lines, "timeline", "In the evidence log", cliLine("evidence", "list", "--case", id, "--name", n.Defanged()))
	d.Timeline.Total, d.Timeline.Live = nLines, true
	return &page{Tmpl: "name.html", Title: n.Defanged(), Nav: "/cases", Data: d, Plots: map[string]string{"over-time": svg},
		Tables: slices.DeleteFunc([]*table{d.Spread, d.History, d.Gates, d.Newest, d.Timeline}, func(t *table) bool { return t == nil })}, nil
}

// spreadTable shows how the three views came to show the order, each with how long
// after the act it was.
func (s *server) spreadTable(p PlanName, cli string) *table {
	t := &table{ID: "spread", Title: "How the views came to show it", Live: true, CLI: cli, Empty: "Nobody has looked yet.",
		Cols: []col{txt("at", "seen (UTC)"), txt("view", "view"), txt("verdict", "shows"), txt("after", "after the act"), txt("why", "what it showed")}}
	title := map[string]string{"parent": "parent zone", "rdap": "RDAP"}
	for i, x := range p.Turns {
		name := title[x.View]
		if name == "" {
			name = x.View
		}
		after := cell{Value: "", Text: "–"}
		if !p.Acted.IsZero() && !x.At.Before(p.Acted) {
			after = text(x.At.Sub(p.Acted).Round(10 * time.Millisecond).String())
		}
		v := x.Verdict
		if lookTone[v] == "" {
			v = Unknown
		}
		t.Rows = append(t.Rows, row{Key: fmt.Sprint(i), Cells: []cell{s.timeCell(x.At), text(name), {Value: v, Kind: "badge", Text: strings.ReplaceAll(v, "-", " "), Tone: lookTone[v]}, after, text(defangHosts(x.Detail))}})
	}
	return t
}
