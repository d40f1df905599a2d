package web

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	impound "github.com/impound/impound"
	"github.com/impound/impound/internal/plot"
)

// A counter is a number at the head of a page.
type counter struct {
	N     int
	Label string
	Href  string
	Key   string // class of the plot, for its colour; "" = none
}

// picture is a plot in a page.
type picture struct {
	SVG     template.HTML
	Windows []windowLink
	Href    string // of the picture alone
	Left    int    // contacts of resolvers that are not drawn
	Drawn   bool   // resolvers are drawn
	Toggle  string // the same with, or without, resolvers
}

type windowLink struct {
	Text, Href string
	On         bool
}

// draw makes the plot of contacts over time for a page at path.
func (s *server) draw(ctx context.Context, q url.Values, path, caseID string, zone impound.Name, first time.Time, marks []plot.Mark, title string) (*picture, string, error) {
	now := s.now()
	w, err := pickWindow(q, first, now)
	if err != nil {
		return nil, "", err
	}
	with, err := oneOf(q, "resolvers", []string{"1"})
	if err != nil {
		return nil, "", err
	}
	from, until := w.bounds(now)
	points, err := s.desk.Series(ctx, SeriesQuery{Case: caseID, Zone: zone, From: from, Until: until, Step: w.Step})
	if err != nil {
		return nil, "", err
	}
	st := plot.Stack{ID: "over-time", Title: title, Unit: "contacts", From: from, Step: w.Step, Layers: plot.ContactLayers,
		Counts: make([][]int, int(w.Len/w.Step)), Marks: marks}
	// Name servers come a hundred times as often as people, and would flatten
	// everybody else: they are drawn when asked for, and counted always.
	resolver := layerOf(impound.ClassResolver)
	left := 0
	if with == "" {
		st.Unit = "contacts, resolvers apart,"
	}
	for i := range st.Counts {
		st.Counts[i] = make([]int, len(st.Layers))
	}
	for _, p := range points {
		i := int(p.At.Sub(from) / w.Step)
		if p.At.Before(from) || i >= len(st.Counts) {
			continue
		}
		for c, n := range p.Count {
			if l := layerOf(c); l == resolver && with == "" {
				left += n
			} else {
				st.Counts[i][l] += n
			}
		}
	}
	if with == "" {
		st.Layers = slices.Delete(slices.Clone(st.Layers), resolver, resolver+1)
		for i := range st.Counts {
			st.Counts[i] = slices.Delete(st.Counts[i], resolver, resolver+1)
		}
	}
	gaps, err := s.desk.Gaps(ctx)
	if err != nil {
		return nil, "", err
	}
	for _, g := range gaps {
		to := g.To
		if to.IsZero() {
			to = now
		}
		st.Gaps = append(st.Gaps, plot.Gap{From: g.From, To: to, Says: gapWords(g)})
	}
	svg := st.SVG()
	keep, other := "", "&resolvers=1"
	if with != "" {
		keep, other = other, keep
	}
	pic := &picture{SVG: template.HTML(svg), Href: path + "?format=svg&plot=over-time&window=" + w.Key + keep, // the plot escapes what it is given
		Left: left, Drawn: with != "", Toggle: path + "?window=" + w.Key + other + "#over-time-h"}
	for _, x := range windows {
		pic.Windows = append(pic.Windows, windowLink{x.Key, path + "?window=" + x.Key + keep + "#over-time-h", x.Key == w.Key})
	}
	return pic, svg, nil
}

// gapWords says what is missing.
func gapWords(g impound.Gap) string {
	s := "sensor " + g.Sensor + " answered but could not record, at least " + plural(g.Missing, "contact is", "contacts are") + " missing"
	if g.To.IsZero() {
		s += " so far"
	}
	return s
}

// layerOf gives the layer of a class; a class that the plot doesn't know is
// drawn as unclear rather than left out.
func layerOf(c impound.Class) int {
	unclear := 0
	for i, l := range plot.ContactLayers {
		if l.Key == string(c) {
			return i
		}
		if l.Key == string(impound.ClassUnclear) {
			unclear = i
		}
	}
	return unclear
}

func classCounters(t Totals, base url.Values) []counter {
	var out []counter
	for _, l := range plot.ContactLayers {
		q := url.Values{"class": {l.Key}}
		for k, v := range base {
			q[k] = v
		}
		out = append(out, counter{N: t.ByClass[impound.Class(l.Key)], Label: l.Label, Href: "/contacts?" + q.Encode(), Key: l.Key})
	}
	return out
}

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

func pluralWord(n int, one, many string) string {
	if n == 1 {
		return one
	}
	return many
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

// ---- cases

func (s *server) caseTable(cases []CaseHead) *table {
	t := &table{ID: "cases", Title: "Cases", CLI: cliLine("case", "list"), Empty: "No case yet. Open one: " + cliLine("case", "open", "ID", "--title", "TITLE"),
		Cols: []col{txt("id", "case"), txt("title", "title"), txt("actor", "actor"), txt("tlp", "TLP"), num("names", "names"), num("sinkholed", "sinkholed"), num("blocked", "blocked"), txt("owner", "owner"), txt("opened", "opened")}}
	for _, c := range cases {
		n := c.Count
		t.Rows = append(t.Rows, row{Key: c.ID, Cells: []cell{
			link(c.ID, "/cases/"+url.PathEscape(c.ID)), text(defangHosts(c.Title)), text(c.Actor), tlpCell(c.TLP),
			number(c.Names()), number(n[impound.StateSinkholed]), number(n[impound.StateBlocked]), text(c.Owner), s.timeCell(c.Opened)}})
	}
	return t
}

func (s *server) cases(ctx context.Context, r *http.Request) (*page, error) {
	if err := known(r.URL.Query()); err != nil {
		return nil, err
	}
	cases, err := s.desk.Cases(ctx)
	if err != nil {
		return nil, err
	}
	t := s.caseTable(cases)
	t.Live = true
	return &page{Tmpl: "table-page.html", Title: "Cases", Nav: "/cases", Data: listData{Table: t}, Tables: []*table{t}}, nil
}

// listData is a page of one table.
type listData struct {
	Back    string // page above this one
	Intro   string
	Filters []filter
	Table   *table
	Second  *table // nil for most
	Pager   *pager
}

type filter struct {
	Key, Label, Value string
	Options           []string // none: free text
}

type pager struct {
	Text       string
	Prev, Next string
	Words      [2]string // of the two links
}

// turn makes the links to the parts before and after.
func turn(path string, q url.Values, offset, limit, shown, total int) *pager {
	if total <= shown && offset == 0 {
		return nil
	}
	p := &pager{Words: [2]string{"newer", "older"}, Text: fmt.Sprintf("%d to %d of %d", min(offset+1, total), offset+shown, total)}
	at := func(o int) string {
		v := url.Values{}
		for k := range q {
			v.Set(k, q.Get(k))
		}
		v.Del("offset")
		if o > 0 {
			v.Set("offset", fmt.Sprint(o))
		}
		return path + "?" + v.Encode()
	}
	if offset > 0 {
		p.Prev = at(max(0, offset-limit))
	}
	if offset+shown < total {
		p.Next = at(offset + limit)
	}
	return p
}

type caseData struct {
	Case     impound.Case
	TLP      item
	Actor    string
	Aliases  []string
	Orders   []OrderView // in force
	Others   int         // orders not in force
	Alerts   []alert
	Counters []counter
	Classes  []counter
	Last     time.Time
	States   []stateCount
	Plot     *picture
	Bars     template.HTML
	Names    *table
	OrderTab *table
	Victims  *table
	Newest   *table
	Timeline *table
	Artefact *table
	Reports  *table
	Tasks    *table
	Parties  *table
	MoreLog  string
	AllNames string // page of all names, when the case page shows some
}

func (s *server) casePage(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	if err := known(q, "window", "resolvers"); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	path := "/cases/" + url.PathEscape(id)
	c, err := s.desk.Case(ctx, id)
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
	totals, err := s.desk.Totals(ctx, id)
	if err != nil {
		return nil, err
	}
	victims, err := s.desk.Victims(ctx, id)
	if err != nil {
		return nil, err
	}
	newest, n, err := s.desk.Contacts(ctx, ContactQuery{Case: id, Limit: 12})
	if err != nil {
		return nil, err
	}
	lines, nLines, err := s.timeline(ctx, q, LogQuery{Case: id}, caseLines)
	if err != nil {
		return nil, err
	}
	arts, nArts, err := s.desk.Log(ctx, LogQuery{Case: id, Type: impound.EntryArtefact, Limit: logLimit(q, "evidence", caseLines)})
	if err != nil {
		return nil, err
	}
	reports, err := s.desk.Reports(ctx, id)
	if err != nil {
		return nil, err
	}
	var marks []plot.Mark
	for _, o := range orders {
		if o.Unproven != "" {
			continue
		}
		marks = append(marks, plot.Mark{At: o.From, Label: "order " + o.ID + " from"}, plot.Mark{At: o.Until, Label: "order " + o.ID + " until"})
	}
	pic, svg, err := s.draw(ctx, q, path, id, impound.Name{}, totals.First, marks, "Contacts over time, case "+id)
	if err != nil {
		return nil, err
	}

	d := caseData{Case: c, TLP: tlpBadge(c.TLP), Actor: c.Actor, Plot: pic, Last: totals.Last}
	if c.Actor != "" {
		a, err := s.desk.Actor(ctx, c.Actor)
		switch {
		case err == nil && len(a.Names) > 0:
			d.Actor, d.Aliases = a.Names[0], a.Names[1:]
		case err != nil && impound.KindOf(err) != impound.KindNotFound:
			return nil, err
		}
	}
	for _, o := range orders {
		if o.InForce {
			d.Orders = append(d.Orders, o)
		} else {
			d.Others++
		}
	}
	plans = latestPlans(plans)
	d.Alerts = attention(s.now(), []CaseHead{HeadOf(c)}, orders, plans, 0, nil, nil)
	base := url.Values{"case": {id}}
	d.Counters = []counter{
		{N: totals.Victims, Label: pluralWord(totals.Victims, "victim", "victims"), Href: "/contacts?" + url.Values{"case": {id}, "class": {"victim"}}.Encode(), Key: "victim"},
		{N: len(victims), Label: pluralWord(len(victims), "network with victims", "networks with victims"), Href: "#victims"},
		{N: totals.All(), Label: pluralWord(totals.All(), "contact in all", "contacts in all"), Href: "/contacts?" + base.Encode()},
	}
	d.Classes = classCounters(totals, base)
	d.States = stateCounts(c)
	part := part{limit: len(c.Domains)}
	if !exported(q) && len(c.Domains) > manyNames {
		part.limit, d.AllNames = manyNames, path+"/names"
	}
	d.Names = s.nameTable(c, orders, plans, path, part)
	d.OrderTab = s.orderTable(orders, "orders", "Orders", "No order is filed in this case: nothing may be done to its names.")
	d.Victims = s.victimTable(victims, id)
	bars := plot.Bars{ID: "by-network", Title: "Victims by network, case " + id, Unit: "victims", Layer: plot.ContactLayers[0]}
	for _, v := range victims {
		if len(bars.Items) == 12 {
			break
		}
		bars.Items = append(bars.Items, plot.Bar{Label: networkName(v.Network), Value: v.Victims, Note: "(" + plural(v.Contacts, "contact", "contacts") + ")"})
	}
	barsSVG := bars.SVG()
	d.Bars = template.HTML(barsSVG) // the plot escapes what it is given
	d.Newest = s.contactTable(newest, n, "newest", "Newest contacts", ContactQuery{Case: id, Limit: pageRows}, true)
	d.Timeline = s.logTable(lines, "timeline", "Timeline", cliLine("evidence", "list", "--case", id))
	d.Timeline.Total, d.Timeline.Live = nLines, true
	d.Artefact = s.artefactTable(arts, id)
	d.Artefact.Total, d.Artefact.Live = nArts, true
	d.Reports = s.reportTable(reports, id)
	d.Tasks, d.Parties = s.taskTable(d.Case), s.partyTable(d.Case)
	d.MoreLog = "/log?" + base.Encode()
	return &page{Tmpl: "case.html", Title: c.ID + ": " + defangHosts(c.Title), Nav: "/cases", Data: d,
		Plots:  map[string]string{"over-time": svg, "by-network": barsSVG},
		Tables: []*table{d.Names, d.OrderTab, d.Victims, d.Newest, d.Timeline, d.Artefact, d.Reports, d.Tasks, d.Parties}}, nil
}

type stateCount struct {
	Cell cell
	N    int
}

// states in the order of the way, with what needs a look in front.
var states = []impound.DomainState{impound.StateContested, impound.StateBlocked, impound.StateCandidate, impound.StateEvidenced, impound.StateProposed, impound.StateOrdered, impound.StateSeized, impound.StateHeld, impound.StateSinkholed, impound.StateReleased}

// stateCounts sums the names of a case up by state; a state that is new to this
// list stands at its end.
func stateCounts(c impound.Case) (out []stateCount) {
	n := map[impound.DomainState]int{}
	for _, d := range c.Domains {
		n[d.State]++
	}
	add := func(st impound.DomainState) {
		if n[st] > 0 {
			out = append(out, stateCount{stateCell(st), n[st]})
			delete(n, st)
		}
	}
	for _, st := range states {
		add(st)
	}
	for _, st := range sorted(n) {
		add(st)
	}
	return out
}

// timeline reads what was decided and done. Captured artefacts, of which each
// act brings several, stand in the evidence table and in the whole log; an
// export of the timeline has as many rows as one may have.
func (s *server) timeline(ctx context.Context, q url.Values, lq LogQuery, shown int) ([]LogEntry, int, error) {
	shown = logLimit(q, "timeline", shown)
	arts := lq
	arts.Type, arts.Limit = impound.EntryArtefact, 1
	_, nArts, err := s.desk.Log(ctx, arts)
	if err != nil {
		return nil, 0, err
	}
	// A case has a few artefacts for each act, so the next part is mostly enough.
	var acts []LogEntry
	total := 0
	for lq.Limit = min(4*shown, exportRows); ; lq.Limit = exportRows {
		lines, n, err := s.desk.Log(ctx, lq)
		if err != nil {
			return nil, 0, err
		}
		total = n
		for _, l := range lines {
			if l.Entry.Type != impound.EntryArtefact && len(acts) < shown {
				acts = append(acts, l)
			}
		}
		lq.Offset += len(lines)
		if len(acts) == shown || len(lines) == 0 || lq.Offset >= min(n, exportRows) {
			break
		}
	}
	return acts, max(total-nArts, len(acts)), nil
}

// logLimit lets an export of a table have more rows than the page shows.
func logLimit(q url.Values, tableID string, shown int) int {
	if f := q.Get("format"); (f == "csv" || f == "json") && q.Get("table") == tableID {
		return exportRows
	}
	return shown
}

// caseLines is how many lines of the log a case page shows in each of its tables.
const caseLines = 20

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

func networkName(n impound.Network) string {
	switch {
	case n.ASN != 0 && n.Name != "":
		return fmt.Sprintf("AS%d %s", n.ASN, n.Name)
	case n.ASN != 0:
		return fmt.Sprintf("AS%d", n.ASN)
	case n.Name != "":
		return n.Name
	}
	return "unknown network"
}

func prefix(n impound.Network) string {
	if !n.Prefix.IsValid() {
		return ""
	}
	return n.Prefix.String()
}

func (s *server) victimTable(victims []NetworkCount, id string) *table {
	t := &table{ID: "victims", Title: "Victims by network", Live: true, CLI: cliLine("contacts", "victims", "--case", id), Empty: "No victim has been seen yet.",
		Cols: []col{num("asn", "AS"), txt("network", "network"), txt("prefix", "prefix"), txt("country", "country"), txt("sector", "sector"), num("victims", "victims"), num("contacts", "contacts"), txt("first", "first"), txt("last", "last"), txt("abuse", "reports go to")}}
	for _, v := range victims {
		t.Rows = append(t.Rows, row{Key: fmt.Sprint(v.Network.ASN, " ", prefix(v.Network), " ", v.Network.Name), Cells: []cell{
			{Value: v.Network.ASN, Kind: "num"}, text(v.Network.Name), mono(prefix(v.Network)), text(v.Network.Country), text(v.Network.Sector),
			number(v.Victims), number(v.Contacts), s.timeCell(v.First), s.timeCell(v.Last), text(v.Network.Abuse)}})
	}
	return t
}

func (s *server) artefactTable(arts []LogEntry, id string) *table {
	t := &table{ID: "evidence", Title: "Evidence", CLI: cliLine("evidence", "list", "--case", id, "--what", "capture."), Empty: "No evidence is captured yet.",
		Cols: []col{txt("hash", "SHA-256"), txt("kind", "kind"), txt("name", "of"), txt("source", "source"), txt("media", "media type"), num("size", "octets"), txt("tool", "tool"), txt("by", "by"), txt("at", "captured (UTC)"), num("log", "log line")}}
	for _, a := range arts {
		x := a.Entry.Artefact
		if x == nil {
			continue
		}
		t.Rows = append(t.Rows, row{Key: fmt.Sprint(a.Index), Cells: []cell{
			hashCell(x.Hash), text(x.Kind), nameCell(x.Name, ""), text(defangHosts(x.Source)), mono(x.Media), {Value: x.Size, Kind: "num"},
			text(x.Tool), text(x.By), s.timeCell(x.At), {Value: a.Index, Kind: "num"}}})
	}
	return t
}

func (s *server) reportTable(reports []ReportView, id string) *table {
	t := &table{ID: "reports", Title: "Reports and messages", Live: true, CLI: cliLine("notify", "list", id), Empty: "No report is prepared yet. Write them: " + cliLine("notify", "prepare", id),
		Cols: []col{txt("recipient", "for"), txt("format", "format"), num("rows", "rows"), txt("state", "state"), txt("file", "file"), txt("hash", "SHA-256"), txt("at", "made (UTC)")}}
	for _, x := range reports {
		tone := ""
		if x.State == "sent" || x.State == "delivered" {
			tone = "good"
		}
		t.Rows = append(t.Rows, row{Key: x.ID, Cells: []cell{
			text(x.Recipient), mono(x.Format), number(x.Rows), {Value: x.State, Kind: "badge", Tone: tone}, mono(x.File), hashCell(x.Hash), s.timeCell(x.At)}})
	}
	return t
}

func (s *server) taskTable(c impound.Case) *table {
	t := &table{ID: "tasks", Title: "Tasks", Live: true, CLI: cliLine("case", "task", "list", c.ID), Empty: "Nobody has a task here. Give one: " + cliLine("case", "task", "add", c.ID),
		Cols: []col{txt("id", "task"), txt("title", "what"), txt("owner", "who"), txt("due", "due (UTC)"), txt("state", "state")}}
	for _, x := range c.Tasks {
		state := cell{Value: "open", Kind: "badge"}
		switch {
		case !x.Done.IsZero():
			state = cell{Value: "done", Kind: "badge", Tone: "good"}
		case !x.Due.IsZero() && s.now().After(x.Due):
			state = cell{Value: "overdue", Kind: "badge", Tone: "bad"}
		}
		t.Rows = append(t.Rows, row{Key: x.ID, Cells: []cell{mono(x.ID), text(defangHosts(x.Title)), text(x.Owner), s.timeCell(x.Due), state}})
	}
	return t
}

func (s *server) partyTable(c impound.Case) *table {
	t := &table{ID: "parties", Title: "Victims, parties, counsel", Live: true, CLI: cliLine("case", "party", "list", c.ID), Empty: "Nobody is noted yet. Note somebody: " + cliLine("case", "party", "add", c.ID),
		Cols: []col{txt("id", "party"), txt("kind", "kind"), txt("name", "name"), txt("contact", "contact"), txt("tlp", "TLP"), txt("pap", "PAP"), txt("originator", "from")}}
	for _, x := range c.Parties {
		m := x.Marking.In(c.Marking())
		t.Rows = append(t.Rows, row{Key: x.ID, Cells: []cell{mono(x.ID), text(x.Kind), text(defangHosts(x.Name)), text(x.Contact), text(string(m.TLP)), text(string(m.PAP)), text(defangHosts(m.Originator))}})
	}
	return t
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

// ---- contacts

// contactTable shows contacts, sources cut to their network. brief leaves out
// of the page what the newest contacts on a busy one need not say.
func (s *server) contactTable(cs []impound.Contact, total int, id, title string, q ContactQuery, brief bool) *table {
	ua := txt("user_agent", "user agent")
	ua.Hide, ua.Wrap = brief, true
	t := &table{ID: id, Title: title, Total: total, Live: true, CLI: cliFilter([]string{"contacts", "list"}, q.encode()), Empty: "No contact yet.",
		Note: "Sources are cut to /24 and /48 here.",
		Cols: []col{txt("at", "when (UTC)"), txt("class", "class"), hidden("confidence", ""), txt("name", "asked for"), hidden("proto", ""), hidden("what", ""),
			txt("source", "source"), hidden("network", ""), hidden("country", ""), ua, txt("reasons", "why this class"), hidden("case", ""), hidden("sensor", ""), hidden("seq", "")}}
	for _, c := range cs {
		v := contactOf(c)
		class := classCell(c.Class)
		class.Sub = fmt.Sprintf("%d %% sure", v.Confidence)
		name := mono(defang(v.Name))
		name.Sub = strings.TrimSpace(v.Proto + " " + v.What)
		why := reasonsCell(c.Reasons)
		if brief {
			why = mainReasons(c.Reasons)
		}
		src := mono(v.Source)
		if v.Source == "" {
			src.Text = "not kept"
		}
		src.Sub = v.Network
		if v.Country != "" {
			src.Sub = strings.TrimPrefix(src.Sub+", "+v.Country, ", ")
		}
		t.Rows = append(t.Rows, row{Key: fmt.Sprintf("%s/%d", c.Sensor, c.Seq), Cells: []cell{
			s.timeCell(c.At), class, {Value: v.Confidence}, name, text(v.Proto), text(v.What),
			src, text(v.Network), text(v.Country), text(defangHosts(v.UserAgent)), why, text(c.Case), text(c.Sensor), {Value: c.Seq}}})
	}
	return t
}

func (s *server) contacts(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	cq, err := parseContacts(q)
	if err != nil {
		return nil, err
	}
	cs, n, err := s.desk.Contacts(ctx, cq)
	if err != nil {
		return nil, err
	}
	t := s.contactTable(cs, n, "contacts", "Contacts", cq, false)
	t.Empty = "No contact fits."
	opts := func(list any) (out []string) {
		switch list := list.(type) {
		case []impound.Class:
			for _, x := range list {
				out = append(out, string(x))
			}
		case []impound.Proto:
			for _, x := range list {
				out = append(out, string(x))
			}
		}
		return out
	}
	d := listData{Table: t, Pager: turn("/contacts", cq.encode(), cq.Offset, cq.Limit, len(cs), n),
		Intro: "Everybody who came to a seized name, with what was made of them and why. Source addresses are cut to /24 and /48 on these pages, in exports too.",
		Filters: []filter{
			{"case", "case", cq.Case, nil}, {"class", "class", string(cq.Class), opts(classes)},
			{"zone", "seized name", zoneText(cq.Zone), nil}, {"proto", "protocol", string(cq.Proto), opts(protos)}}}
	return &page{Tmpl: "table-page.html", Title: "Contacts", Nav: "/contacts", Data: d, Tables: []*table{t}}, nil
}

func zoneText(n impound.Name) string { return n.Defanged() }

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

func nonNil(s []string) []string {
	if s == nil {
		return []string{}
	}
	return s
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
