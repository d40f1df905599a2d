package web

import (
	"context"
	"net/http"
	"net/url"
	"time"
)

// ---- orders and plans

func (s *server) orderTable(orders []OrderView, id, title, empty string) *table {
	t := &table{ID: id, Title: title, Live: true, CLI: cliLine("order", "list"), Empty: empty,
		Cols: []col{txt("id", "order"), txt("case", "case"), txt("kind", "kind"), txt("court", "court or agreement"), txt("docket", "docket"), txt("in_force", "in force"), txt("from", "from"), txt("until", "until (UTC)"), num("names", "names"), txt("signers", "signed by")}}
	for _, o := range orders {
		force := s.forceCell(o)
		t.Rows = append(t.Rows, row{Key: o.ID, Cells: []cell{
			link(o.ID, "/orders/"+url.PathEscape(o.ID)), link(o.Case, "/cases/"+url.PathEscape(o.Case)), text(o.Kind), text(o.Court), {Value: o.Docket, Kind: "mono"},
			force, s.dayCell(o.From), s.timeCell(o.Until), number(len(o.Names)), {Value: nonNil(o.Signers), Kind: "lines"}}})
	}
	return t
}

// left is what remains of an order, by whole minutes as in [relative].
func (s *server) left(o OrderView) time.Duration {
	return o.Until.Truncate(time.Minute).Sub(s.now().Truncate(time.Minute))
}

func (s *server) forceCell(o OrderView) cell {
	now := s.now()
	c := cell{Value: o.InForce, Kind: "badge"}
	switch {
	case o.InForce && s.left(o) < lapseSoon:
		c.Text, c.Tone = "in force, "+span(s.left(o))+" left", "warn"
	case o.InForce:
		c.Text, c.Tone = "in force, "+span(s.left(o))+" left", "good"
	case o.Unproven != "":
		c.Text, c.Tone, c.Hint = "no mandate", "warn", o.Unproven
	case !o.Withdrawn.IsZero():
		c.Text, c.Tone = "withdrawn", "bad"
	case now.Before(o.From):
		c.Text, c.Tone = "not yet", "info"
	default:
		c.Text, c.Tone = "lapsed", "bad"
	}
	return c
}

func (s *server) orders(ctx context.Context, r *http.Request) (*page, error) {
	if err := known(r.URL.Query()); err != nil {
		return nil, err
	}
	orders, err := s.desk.Orders(ctx, "")
	if err != nil {
		return nil, err
	}
	t := s.orderTable(orders, "orders", "Orders", "No order is filed. Without one nothing is changed and nothing answered.")
	return &page{Tmpl: "table-page.html", Title: "Orders", Nav: "/orders", Tables: []*table{t},
		Data: listData{Table: t, Intro: "An order is the desired state: which names, which acts, from when until when. No order in force, no effect."}}, nil
}

type orderData struct {
	Pager *pager
	Order OrderView
	Force cell
	TLP   item
	Names *table
	Plans *table
	Log   *table

	Letters *table // nil: none
	Release bool   // there is a page that says who could get the names

	Papers []string // the command lines that make them
}

func (s *server) orderPage(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	if err := known(q, "limit", "offset"); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	o, err := s.desk.Order(ctx, id)
	if err != nil {
		return nil, err
	}
	part, err := parsePart(q, len(o.Names))
	if err != nil {
		return nil, err
	}
	plans, err := s.desk.Plans(ctx, "", id)
	if err != nil {
		return nil, err
	}
	lines, n, err := s.timeline(ctx, q, LogQuery{Order: id}, 60)
	if err != nil {
		return nil, err
	}
	d := orderData{Order: o, Pager: part.pager("/orders/"+url.PathEscape(id), q, len(o.Names)), Force: s.forceCell(o), TLP: tlpBadge(o.TLP),
		Papers: []string{cliLine("order", "appendix", id, "--out", "appendix.pdf"), cliLine("order", "affidavit", id, "--out", "affidavit.docx")}}
	d.Names = &table{ID: "names", Total: len(o.Names), Title: "Names", Live: true, CLI: cliLine("order", "show", id), Empty: "The order lists no name.",
		Cols: []col{txt("name", "name"), txt("acts", "ordered"), txt("state", "state"), txt("blocked_by", "kept out by"), txt("reason", "reason")}}
	for _, on := range cutPart(o.Names, part) {
		gate, reason := cell{Value: ""}, text("")
		if on.Blocked != nil {
			gate = cell{Value: on.Blocked.Gate, Kind: "badge", Tone: "bad"}
			reason = text(defangHosts(on.Blocked.Reason))
		}
		acts := make([]string, len(on.Acts))
		for i, a := range on.Acts {
			acts[i] = defangHosts(a)
		}
		d.Names.Rows = append(d.Names.Rows, row{Key: on.Name.String(), Cells: []cell{
			nameCell(on.Name, "/cases/"+url.PathEscape(o.Case)+"/names/"+url.PathEscape(on.Name.String())), {Value: acts, Kind: "inline"}, stateCell(on.State), gate, reason}})
	}
	d.Plans = &table{ID: "plans", Title: "Plans", Live: true, CLI: cliLine("seize", "list", id), Empty: "No plan yet.",
		Cols: []col{txt("id", "plan"), txt("state", "state"), txt("approvals", "approved by"), num("needed", "needed"), num("names", "names"), txt("made", "made (UTC)"), txt("hash", "hash")}}
	for _, p := range plans {
		by := []string{}
		for _, a := range p.Approvals {
			by = append(by, a.Person)
		}
		d.Plans.Rows = append(d.Plans.Rows, row{Key: p.ID, Cells: []cell{
			link(p.ID, "/plans/"+url.PathEscape(p.ID)), {Value: p.State, Kind: "badge", Tone: planTone[p.State]}, {Value: by, Kind: "lines"}, number(p.Needed), number(len(p.Names)), s.timeCell(p.Made), hashCell(p.Hash)}})
	}
	tables := []*table{d.Names, d.Plans}
	if ld, ok := beneath(s.desk).(LetterDesk); ok {
		ls, err := ld.Letters(ctx, id)
		if err != nil {
			return nil, err
		}
		if len(ls) > 0 {
			d.Letters = s.letterTable(ls, id)
			tables = append(tables, d.Letters)
		}
	}
	_, d.Release = beneath(s.desk).(ReleaseDesk)
	d.Log = s.logTable(lines, "timeline", "In the evidence log", cliLine("evidence", "list", "--order", id))
	d.Log.Total, d.Log.Live = n, true
	return &page{Tmpl: "order.html", Title: "Order " + id, Nav: "/orders", Data: d, Tables: append(tables, d.Log)}, nil
}
