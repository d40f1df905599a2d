package web

import (
	"context"
	"net/http"
	"time"

	impound "github.com/impound/impound"
)

// ---- overview

type overviewData struct {
	Alerts   []alert
	Counters []counter
	Classes  []counter
	Last     time.Time
	Plot     *picture
	Orders   *table
	Cases    *table
	Sensors  *table
	Newest   *table
}

func (s *server) overview(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	if err := known(q, "window", "resolvers"); err != nil {
		return nil, err
	}
	cases, err := s.desk.Cases(ctx)
	if err != nil {
		return nil, err
	}
	orders, err := s.desk.Orders(ctx, "")
	if err != nil {
		return nil, err
	}
	plans, err := s.desk.Plans(ctx, "", "")
	if err != nil {
		return nil, err
	}
	counts, err := s.desk.QueueCounts(ctx)
	if err != nil {
		return nil, err
	}
	sensors, err := s.desk.Sensors(ctx)
	if err != nil {
		return nil, err
	}
	alarms, err := s.desk.Alarms(ctx)
	if err != nil {
		return nil, err
	}
	totals, err := s.desk.Totals(ctx, "")
	if err != nil {
		return nil, err
	}
	victims, err := s.desk.Victims(ctx, "")
	if err != nil {
		return nil, err
	}
	newest, n, err := s.desk.Contacts(ctx, ContactQuery{Limit: 12})
	if err != nil {
		return nil, err
	}
	pic, svg, err := s.draw(ctx, q, "/", "", impound.Name{}, totals.First, nil, "Contacts over time, all cases")
	if err != nil {
		return nil, err
	}
	sink, seized := 0, 0
	for _, c := range cases {
		sink += c.Count[impound.StateSinkholed]
		seized += c.Count[impound.StateSeized] + c.Count[impound.StateHeld]
	}
	inForce := []OrderView{}
	for _, o := range orders {
		if o.InForce {
			inForce = append(inForce, o)
		}
	}
	d := overviewData{
		Alerts: attention(s.now(), cases, orders, latestPlans(plans), counts["open"], sensors, alarms),
		Counters: []counter{
			{N: len(inForce), Label: pluralWord(len(inForce), "order in force", "orders in force"), Href: "/orders"},
			{N: sink, Label: pluralWord(sink, "name sinkholed", "names sinkholed"), Href: "/cases"},
			{N: seized, Label: "seized or held, no sinkhole", Href: "/cases"},
			{N: totals.Victims, Label: pluralWord(totals.Victims, "victim", "victims"), Href: "/contacts?class=victim", Key: "victim"},
			{N: len(victims), Label: pluralWord(len(victims), "network with victims", "networks with victims"), Href: "/contacts?class=victim"},
			{N: totals.All(), Label: pluralWord(totals.All(), "contact in all", "contacts in all"), Href: "/contacts"},
		},
		Classes: classCounters(totals, nil),
		Last:    totals.Last,
		Plot:    pic,
		Orders:  s.orderTable(inForce, "in-force", "Orders in force", "No order is in force: nothing is answered, nothing is changed."),
		Cases:   s.caseTable(cases),
		Sensors: s.sensorTable(sensors),
		Newest:  s.contactTable(newest, n, "newest", "Newest contacts", ContactQuery{Limit: pageRows}, true),
	}
	d.Orders.Live, d.Cases.Live, d.Sensors.Live = true, true, true
	return &page{Tmpl: "overview.html", Title: "Overview", Nav: "/", Data: d, Plots: map[string]string{"over-time": svg},
		Tables: []*table{d.Orders, d.Cases, d.Sensors, d.Newest}}, nil
}

// latestPlans leaves the newest plan of each order: what an older plan found or
// waited for is past.
func latestPlans(plans []PlanView) []PlanView {
	seen := map[string]int{}
	var out []PlanView
	for _, p := range plans {
		i, ok := seen[p.Order]
		if !ok {
			seen[p.Order] = len(out)
			out = append(out, p)
		} else if p.Made.After(out[i].Made) {
			out[i] = p
		}
	}
	return out
}
