package web

import (
	"context"
	"fmt"
	"html/template"
	"net/http"
	"net/url"
	"time"

	impound "github.com/impound/impound"
	"github.com/impound/impound/internal/plot"
)

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
