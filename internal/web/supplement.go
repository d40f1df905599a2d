package web

import (
	"context"
	"net/http"
	"net/url"
	"strings"

	impound "github.com/impound/impound"
)

// SupplementAsk says which supplement is wanted; empty fields but Case are found
// where there is one answer.
type SupplementAsk struct {
	Case, Order, Clause, ID string
}

// page gives the address of the draft, with what more says.
func (a SupplementAsk) page(more, value string) string {
	q := url.Values{more: {value}}
	for k, v := range map[string]string{"order": a.Order, "clause": a.Clause, "id": a.ID} {
		if v != "" {
			q.Set(k, v)
		}
	}
	return "/cases/" + url.PathEscape(a.Case) + "/supplement?" + q.Encode()
}

// SupplementView is the draft of a supplement: in force for nothing, and kept
// nowhere but in what is downloaded.
type SupplementView struct {
	SupplementAsk
	Appendix  string
	Recipient string
	Until     string
	Names     []SupplementName
	Left      []SupplementName // what it does not list; Why says why
	NewZones  []string
	Missing   []string // what its recipient will ask for
	Faults    []string
	Document  []byte
}

// SupplementName is one name of a draft.
type SupplementName struct {
	Name     impound.Name
	Exhibit  string
	Evidence int      // artefacts
	Blocked  []string // "gate: why"
	Warned   []string // gates that warn
	Unknown  []string // gates that can't say
	Why      string
}

type supplementData struct {
	SupplementView
	Table   *table
	Left    *table
	File    string
	Export  string
	Cmds    []string
	Blocked int
	Bare    int // names without evidence
	Done    bool
	Filters []filter
	Err     *problem // why there is none
}

func (a SupplementAsk) filters() []filter {
	return []filter{{"order", "order", a.Order, nil}, {"clause", "under clause", a.Clause, nil}, {"id", "its id", a.ID, nil}}
}

func parseSupplement(q url.Values) (a SupplementAsk, err error) {
	for k, to := range map[string]*string{"order": &a.Order, "clause": &a.Clause, "id": &a.ID} {
		if *to, err = idParam(q, k); err != nil {
			return a, err
		}
	}
	return a, nil
}

// supplementPage shows the draft of the next appendix to a case's order. It looks
// at what is known, and changes nothing.
func (s *server) supplementPage(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	if err := known(q, "order", "clause", "id", "done"); err != nil {
		return nil, err
	}
	ask, err := parseSupplement(q)
	if err != nil {
		return nil, err
	}
	ask.Case = r.PathValue("id")
	if _, err := s.desk.Case(ctx, ask.Case); err != nil {
		return nil, err
	}
	v, err := s.desk.Supplement(ctx, ask)
	switch impound.KindOf(err) {
	case "":
	case impound.KindInvalid, impound.KindNotFound, impound.KindRefused, impound.KindConflict:
		d := supplementData{SupplementView: SupplementView{SupplementAsk: ask}, Err: problemOf(err), Filters: ask.filters()}
		return &page{Tmpl: "supplement.html", Title: "Supplement", Nav: "/cases", Data: d}, nil
	default:
		return nil, err
	}
	d := supplementData{SupplementView: v, File: v.ID + ".yaml", Done: q.Get("done") == "1", Filters: v.filters()}
	t := &table{ID: "names", Title: "Appendix " + v.Appendix, Total: len(v.Names), Empty: "No name.", Base: r.URL.RequestURI(),
		CLI:  cliLine("order", "supplement", v.Order, "--clause", v.Clause, "--id", v.ID),
		Cols: []col{txt("name", "name"), txt("exhibit", "exhibit"), num("evidence", "evidence"), {Key: "gates", Head: "gates", Wrap: true}, {Key: "open", Head: "open questions", Wrap: true}}}
	for _, n := range v.Names {
		gates := cell{Value: "all pass", Kind: "badge", Tone: "good"}
		var open []string
		if len(n.Unknown) > 0 {
			open = append(open, "can't say: "+strings.Join(n.Unknown, ", "))
		}
		if len(n.Warned) > 0 {
			open = append(open, "warn: "+strings.Join(n.Warned, ", "))
		}
		if len(open) > 0 { // which keeps nothing out, and is no pass either
			gates = cell{Value: "none keeps it out", Kind: "badge", Tone: "warn"}
		}
		if len(n.Blocked) > 0 {
			gates = cell{Value: "out of effect", Kind: "badge", Tone: "bad", Sub: defangHosts(strings.Join(n.Blocked, "; "))}
			d.Blocked++
		}
		if n.Evidence == 0 {
			d.Bare++
		}
		t.Rows = append(t.Rows, row{Key: n.Name.String(), Cells: []cell{mono(n.Name.Defanged()), text(n.Exhibit), number(n.Evidence), gates, text(strings.Join(open, "; "))}})
	}
	d.Table = t
	tables := []*table{t}
	if len(v.Left) > 0 {
		l := &table{ID: "left", Title: "Left out", Total: len(v.Left), Base: r.URL.RequestURI(), Cols: []col{txt("name", "name"), {Key: "why", Head: "why", Wrap: true}}}
		for _, n := range v.Left {
			l.Rows = append(l.Rows, row{Key: n.Name.String(), Cells: []cell{mono(n.Name.Defanged()), text(n.Why)}})
		}
		d.Left = l
		tables = append(tables, l)
	}
	d.Export = v.page("format", "yaml")
	d.Cmds = []string{cliLine("order", "check", d.File), cliLine("order", "sign", d.File, "--as", "YOU") + "   # two people", cliLine("order", "file", d.File, "--as", "COUNSEL")}
	return &page{Tmpl: "supplement.html", Title: "Supplement " + v.ID, Nav: "/cases", Tables: tables, File: d.File, Body: v.Document, Data: d}, nil
}
