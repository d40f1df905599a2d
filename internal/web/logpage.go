package web

import (
	"context"
	"fmt"
	"net/http"

	impound "github.com/impound/impound"
)

// ---- evidence log

func (s *server) logTable(lines []LogEntry, id, title, cli string) *table {
	t := &table{ID: id, Title: title, CLI: cli, Empty: "Nothing is recorded yet.",
		Cols: []col{num("index", "line"), txt("at", "when (UTC)"), txt("by", "who"), txt("type", "type"), txt("words", "what"), txt("detail", "particulars"),
			hidden("what", ""), hidden("case", ""), hidden("order", ""), hidden("name", ""), hidden("artefact", ""), hidden("intent", ""), hidden("id", "")}}
	for _, l := range lines {
		e := l.Entry
		what := text(words(e))
		what.Hint = e.What
		if e.Order != "" {
			what.Sub = "order " + e.Order
		}
		det := cell{Value: details(e), Kind: "lines", Brief: append([]string{}, brief(e)...)}
		tone := entryTone[e.Type]
		if e.Type == impound.EntryResult && bad(e) {
			tone = "bad"
		}
		hash := text("")
		if e.Artefact != nil {
			hash.Value = e.Artefact.Hash
		}
		t.Rows = append(t.Rows, row{Key: fmt.Sprint(l.Index), Cells: []cell{
			{Value: l.Index, Kind: "num"}, s.timeCell(e.At), text(e.By), {Value: string(e.Type), Kind: "badge", Tone: tone}, what, det,
			text(e.What), text(e.Case), text(e.Order), text(e.Name.Defanged()), hash, text(e.Intent), text(e.ID)}})
	}
	return t
}

var entryTone = map[impound.EntryType]string{impound.EntryDecision: "info", impound.EntryIntent: "warn"}

type logData struct {
	listData
	Checkpoint string
}

func (s *server) logPage(ctx context.Context, r *http.Request) (*page, error) {
	lq, err := parseLog(r.URL.Query())
	if err != nil {
		return nil, err
	}
	lines, n, err := s.desk.Log(ctx, lq)
	if err != nil {
		return nil, err
	}
	cp, err := s.desk.Checkpoint(ctx)
	if err != nil {
		return nil, err
	}
	t := s.logTable(lines, "log", "Evidence log", cliFilter([]string{"evidence", "list"}, lq.encode()))
	t.Total, t.Live, t.Empty = n, true, "No line fits."
	var types []string
	for _, x := range entryTypes {
		types = append(types, string(x))
	}
	d := logData{Checkpoint: cp, listData: listData{Table: t, Pager: turn("/log", lq.encode(), lq.Offset, lq.Limit, len(lines), n),
		Filters: []filter{{"case", "case", lq.Case, nil}, {"order", "order", lq.Order, nil}, {"name", "name", zoneText(lq.Name), nil}, {"type", "type", string(lq.Type), types}}}}
	return &page{Tmpl: "log.html", Title: "Evidence log", Nav: "/log", Data: d, Tables: []*table{t}}, nil
}
