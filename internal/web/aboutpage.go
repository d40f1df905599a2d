package web

import (
	"context"
	"fmt"
	"net/http"
	"time"

	impound "github.com/impound/impound"
)

// ---- candidates

// sources tells how what watch reads goes; nil when it reads nothing.
func (s *server) sources(ctx context.Context) (*table, error) {
	list, err := s.desk.Sources(ctx)
	if err != nil || len(list) == 0 {
		return nil, err
	}
	t := &table{ID: "sources", Title: "Sources", Live: true, CLI: cliLine("watch", "status"),
		Cols: []col{txt("id", "source"), txt("kind", "kind"), num("position", "position"), num("verified", "proven"), num("lag", "lag"), num("rate", "per s"), num("names", "names"), num("hits", "hits"), num("unreadable", "unreadable"), num("errors", "errors"), txt("read", "last read (UTC)"), txt("state", "state")}}
	for _, w := range list {
		n := func(v int64) cell { return cell{Value: v, Kind: "num"} }
		lag := n(w.Lag)
		if w.Lag < 0 {
			lag = text("")
		}
		state := cell{Value: "reading", Kind: "badge", Tone: "good"}
		r := row{Key: w.ID}
		switch {
		case w.Held != "":
			state, r.Tone = cell{Value: "held", Kind: "badge", Tone: "bad", Sub: w.Held}, "alarm"
		case w.Fault != "":
			state = cell{Value: "failing", Kind: "badge", Tone: "warn", Sub: w.Fault}
		}
		id := text(w.ID)
		id.Sub = w.Where
		r.Cells = []cell{id, text(w.Kind), n(w.Position), n(w.Verified), lag, {Value: fmt.Sprintf("%.1f", w.Rate), Kind: "num"}, n(w.Names), n(w.Hits), n(w.Unreadable), n(w.Errors), s.timeCell(w.Read), state}
		t.Rows = append(t.Rows, r)
	}
	return t, nil
}

// ---- sensors and about

func (s *server) sensorTable(sensors []SensorView) *table {
	t := &table{ID: "sensors", Title: "Sensors", CLI: cliLine("sinkhole", "status"), Empty: "No sensor is running: nobody answers for the seized names.",
		Cols: []col{txt("id", "sensor"), txt("listeners", "listens"), txt("orders", "orders in force"), num("serial", "policy"), num("spool_seq", "events in journal"), num("read", "counted"), num("missing", "missing"), txt("seen", "seen (UTC)"), txt("fault", "fault")}}
	for _, x := range sensors {
		fault := text(x.Fault)
		if x.Fault != "" {
			fault.Kind, fault.Tone = "badge", "bad"
		}
		t.Rows = append(t.Rows, row{Key: x.ID, Cells: []cell{
			mono(x.ID), {Value: nonNil(x.Listeners), Kind: "lines"}, {Value: nonNil(x.Orders), Kind: "lines"}, {Value: x.Serial, Kind: "num"}, {Value: x.SpoolSeq, Kind: "num"},
			{Value: x.Read, Kind: "num"}, {Value: x.Missing, Kind: "num"}, s.timeCell(x.Seen.Truncate(time.Minute)), fault}})
	}
	return t
}

func (s *server) gapTable(gaps []impound.Gap) *table {
	t := &table{ID: "gaps", Title: "Gaps in the record", CLI: cliLine("contacts", "gaps"), Empty: "Every contact that was answered was recorded.",
		Cols: []col{txt("sensor", "sensor"), txt("from", "from (UTC)"), txt("to", "until (UTC)"), num("missing", "missing, at least")}}
	for _, g := range gaps {
		end := text("still open")
		if !g.To.IsZero() {
			end = s.timeCell(g.To)
		}
		t.Rows = append(t.Rows, row{Key: g.Sensor + " " + g.From.UTC().Format(time.RFC3339Nano), Cells: []cell{mono(g.Sensor), s.timeCell(g.From), end, {Value: g.Missing, Kind: "num"}}})
	}
	return t
}

type aboutData struct {
	Addr    string
	Version string
	Sensors *table
	Gaps    *table
	API     []string
}

func (s *server) about(ctx context.Context, r *http.Request) (*page, error) {
	if err := known(r.URL.Query()); err != nil {
		return nil, err
	}
	sensors, err := s.desk.Sensors(ctx)
	if err != nil {
		return nil, err
	}
	t := s.sensorTable(sensors)
	t.Live = true
	gaps, err := s.desk.Gaps(ctx)
	if err != nil {
		return nil, err
	}
	g := s.gapTable(gaps)
	return &page{Tmpl: "about.html", Title: "About", Nav: "/about", Tables: []*table{t, g},
		Data: aboutData{Addr: s.cfg.Addr, Version: s.cfg.Version, Sensors: t, Gaps: g, API: []string{"/api/v1/cases", "/api/v1/contacts", "/api/v1/orders", "/api/v1/letters", "/api/v1/candidates", "/api/v1/log", "/api/v1/series", "/api/v1/victims"}}}, nil
}
