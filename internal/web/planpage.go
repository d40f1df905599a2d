package web

import (
	"context"
	"net/http"
	"net/url"
)

var planTone = map[string]string{"proposed": "info", "approved": "info", "applying": "warn", "applied": "good", "verified": "good", "partial": "bad", "failed": "bad"}

type planData struct {
	Pager *pager
	Plan  PlanView
	State cell
	Diffs []planDiff
	Names *table
}

type planDiff struct {
	Name     cell
	Provider string
	Lines    []diffLine
	Result   string
}

type diffLine struct{ Sign, Text string }

func (s *server) planPage(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	if err := known(q, "limit", "offset"); err != nil {
		return nil, err
	}
	p, err := s.desk.Plan(ctx, r.PathValue("id"))
	if err != nil {
		return nil, err
	}
	part, err := parsePart(q, len(p.Names))
	if err != nil {
		return nil, err
	}
	d := planData{Pager: part.pager("/plans/"+url.PathEscape(p.ID), q, len(p.Names)), Plan: p, State: cell{Value: p.State, Kind: "badge", Tone: planTone[p.State]}}
	d.Names = &table{ID: "names", Total: len(p.Names), Title: "Names", Live: true, CLI: cliLine("seize", "show", p.ID), Empty: "The plan changes nothing.",
		Cols: []col{txt("name", "name"), txt("provider", "at"), txt("diff", "change"), txt("result", "result"), txt("parent", "parent zone"), txt("rdap", "RDAP"), txt("resolver", "resolver"), txt("child", "own servers")}}
	for _, n := range cutPart(p.Names, part) {
		lines := make([]string, len(n.Diff))
		for i, l := range n.Diff {
			lines[i] = defangHosts(l)
		}
		res := text(defangHosts(n.Result))
		if n.Result == "" {
			res.Text = "not applied"
		}
		nc := nameCell(n.Name, "/cases/"+url.PathEscape(p.Case)+"/names/"+url.PathEscape(n.Name.String()))
		d.Names.Rows = append(d.Names.Rows, row{Key: n.Name.String(), Cells: []cell{
			nc, text(n.Provider), {Value: lines, Kind: "diff"}, res, s.lookCell(n.Parent), s.lookCell(n.RDAP), s.lookCell(n.Resolver), s.lookCell(n.Child)}})
	}
	return &page{Tmpl: "plan.html", Title: "Plan " + p.ID, Nav: "/orders", Data: d, Tables: []*table{d.Names}}, nil
}
