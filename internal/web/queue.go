package web

import (
	"bytes"
	"context"
	"crypto/subtle"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	impound "github.com/impound/impound"
)

// QueueQuery chooses rows of the triage queue. Zero fields choose everything.
type QueueQuery struct {
	Status, Brand, Actor, Source, Case string
	Name                               impound.Name // the row that holds it
	MinRank                            float64
	After                              string // Next of the part before
	Limit                              int    // > 0
}

// QueuePage is a part of the queue.
type QueuePage struct {
	Rows  []QueueRow
	Next  string // "" at the end
	Total int    // -1: not counted
}

// QueueRow is a registrable domain that watch found worth a look.
type QueueRow struct {
	Name    impound.Name
	Scope   string // the sealed case that it is for
	Rank    float64
	Score   float64
	Brand   string
	Actors  []string
	Top     impound.Name // the name that the reasons are of
	Hosts   []impound.Name
	Count   int
	Sources []string
	Reasons []impound.Reason
	Learnt  []impound.Reason
	Seen    time.Time
	Last    time.Time
	Status  string
	Case    string
	Until   time.Time
	By      string
	At      time.Time
	Reason  string
	Why     string
	Again   string
	Rev     int64
	Mark    string   // what its sources say of what they give
	InCases []string // that hold it, or a host of it, as far as the reader may see
}

// WatchView is how the watch of this process goes.
type WatchView struct {
	On       bool // it reads now
	Sources  int  // that it is to read
	Since    time.Time
	Rate     float64 // names and certificates a second, all sources together
	Profiles int     // actors and cases whose habits are looked for
	Fault    string
}

// LessonView is something that was learnt from decisions.
type LessonView struct {
	Key, Text, Words, Off string
	Offset                float64
	Names, By             []string
	Last                  time.Time
}

// QueuePick is a row that was ticked, as it was shown.
type QueuePick struct {
	Name  impound.Name
	Scope string
	Rev   int64
}

// QueueRuling is what is decided of rows: Do is promote, dismiss, snooze or
// reopen.
type QueueRuling struct {
	Do, Case, Reason, Why string
	Until                 time.Time
}

// DraftAsk says that what is promoted goes into the draft of a supplement, by
// which clause of the order, and whether evidence is had from the names' own
// servers too, whose holder may see that, or from registries alone.
type DraftAsk struct {
	On, Near bool
	Clause   string
}

// Triager decides of the queue's rows in the name of whoever is logged in, as a
// [Worker] does of a case.
type Triager interface {
	// Rule decides of each row by itself, and gives an error for each that it could
	// not: somebody else decided meanwhile, say. changed are how many it did.
	Rule(ctx context.Context, picks []QueuePick, r QueueRuling) (changed int, failed []error, err error)
	// Reasons are those that a dismissal can give: code, words, what it teaches.
	Reasons() [][3]string
	// Terms finds what ask leaves open, or says what is to be said.
	Terms(ctx context.Context, ask SupplementAsk) (SupplementAsk, error)
	// Gather looks at names of a case that have no evidence yet, and keeps what it
	// saw. It ends with ctx, and what it had until then stays.
	Gather(ctx context.Context, caseID string, names []impound.Name, near bool) error
}

type watchData struct {
	On, May bool // rows can be decided of; by whoever looks
	CSRF    string
	Watch   WatchView
	Behind  int
	Tabs    []tab
	Filters []filter
	Status  string
	Rows    []watchRow
	Table   *table
	Sources *table
	Next    string
	First   string
	Cases   []CaseHead
	Reasons [][3]string
	Said    string
	Err     *problem
	Failed  []string
	Form    QueueRuling
	Draft   DraftAsk
	Link    string // to the draft of those that were promoted, where some were not
	Day     string // Form.Until, as it was typed
	Soon    string
	Picked  map[string]bool
	Action  string
}

type tab struct {
	Text, Href string
	N          int
	On         bool
}

type watchRow struct {
	QueueRow
	Pick   string
	On     bool
	Why    []item // what speaks loudest
	All    []item
	Hosts  string
	Src    string
	More   string
	Badge  cell
	Note   string
	Seen   cell
	Uni    string
	Whom   string
	Detail string
}

var queueStatuses = []string{"open", "snoozed", "dismissed", "promoted"}

func parseQueue(q url.Values) (f QueueQuery, err error) {
	if err = known(q, "status", "brand", "actor", "source", "case", "name", "min", "after", "limit", "said", "n", "offset"); err != nil {
		return f, err
	}
	if f.Status, err = oneOf(q, "status", append([]string{"all"}, queueStatuses...)); err != nil {
		return f, err
	}
	if f.Status == "" {
		f.Status = "open"
	}
	for k, to := range map[string]*string{"brand": &f.Brand, "actor": &f.Actor, "source": &f.Source, "case": &f.Case} {
		if *to, err = idParam(q, k); err != nil {
			return f, err
		}
	}
	if f.Name, err = nameParam(q, "name"); err != nil {
		return f, err
	}
	if v := q.Get("min"); v != "" {
		if f.MinRank, err = strconv.ParseFloat(v, 64); err != nil || !(f.MinRank >= 0 && f.MinRank <= 1) {
			return f, impound.Errorf(impound.KindInvalid, "%.20q is no rank from 0 to 1", v).At("min").WithCure("write 0.5")
		}
	}
	if f.After = q.Get("after"); len(f.After) > 600 {
		return f, impound.Errorf(impound.KindInvalid, "there is no such part").At("after").WithCure("begin at the first")
	}
	f.Limit, err = intParam(q, "limit", 1, exportRows, rows(q))
	return f, err
}

func (f QueueQuery) encode() url.Values {
	q := url.Values{}
	set := func(k, v string) {
		if v != "" {
			q.Set(k, v)
		}
	}
	if f.Status != "open" {
		set("status", f.Status)
	}
	set("brand", f.Brand)
	set("actor", f.Actor)
	set("source", f.Source)
	set("case", f.Case)
	set("name", f.Name.String())
	if f.MinRank > 0 {
		set("min", strconv.FormatFloat(f.MinRank, 'f', -1, 64))
	}
	if f.Limit != pageRows && f.Limit > 0 {
		set("limit", strconv.Itoa(f.Limit))
	}
	set("after", f.After)
	return q
}

func (s *server) watchPage(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	f, err := parseQueue(q)
	if err != nil {
		return nil, err
	}
	d := watchData{}
	n, _ := strconv.Atoi(q.Get("n"))
	if w := queueSaid[q.Get("said")]; w != "" {
		d.Said = fmt.Sprintf(w, plural(max(n, 0), "domain is", "domains are"))
	}
	return s.makeWatch(ctx, r, f, d)
}

var queueSaid = map[string]string{"promote": "%s in the case now.", "dismiss": "%s dismissed. What was learnt of it is under “lessons”.", "snooze": "%s put off.", "reopen": "%s open again, and what the decision taught is undone."}

func (s *server) makeWatch(ctx context.Context, r *http.Request, f QueueQuery, d watchData) (*page, error) {
	v := visitOf(ctx)
	live := r.URL.Query().Get("live") == "1"
	var err error
	if d.Watch, err = s.desk.Watching(ctx); err != nil {
		return nil, err
	}
	counts, err := s.desk.QueueCounts(ctx)
	if err != nil {
		return nil, err
	}
	src, err := s.desk.Sources(ctx)
	if err != nil {
		return nil, err
	}
	for _, w := range src {
		if w.Held != "" || w.Fault != "" {
			d.Behind++
		}
	}
	for _, st := range queueStatuses {
		g := f
		g.Status, g.After = st, ""
		d.Tabs = append(d.Tabs, tab{st, "/watch?" + g.encode().Encode(), counts[st], st == f.Status})
	}
	t := &table{ID: "queue", Title: "Queue", Empty: "No domain fits.", Base: r.URL.RequestURI(), CLI: f.command(),
		Cols: []col{txt("name", "name"), num("rank", "rank"), num("score", "score"), txt("brand", "imitates"), txt("actors", "actors"), txt("hosts", "hosts"), num("host_count", "hosts"), txt("sources", "seen by"), txt("status", "status"), txt("case", "case"), txt("in_cases", "known in cases"), txt("mark", "marking"),
			txt("seen", "seen (UTC)"), txt("last", "last (UTC)"), txt("by", "decided by"), txt("reason", "reason"), txt("why", "why"), txt("again", "again"), txt("reasons", "what speaks for it"), txt("learnt", "what was learnt")}}
	if !live {
		g := f
		if g.Status == "all" {
			g.Status = ""
		}
		p, err := s.desk.Queue(ctx, g)
		if err != nil {
			return nil, err
		}
		t.Total = max(p.Total, 0)
		for _, x := range p.Rows {
			d.Rows = append(d.Rows, s.watchRow(x, d.Picked))
			t.Rows = append(t.Rows, s.queueCells(x))
		}
		if p.Next != "" {
			g := f
			g.After = p.Next
			d.Next = "/watch?" + g.encode().Encode()
		}
		if f.After != "" {
			g := f
			g.After = ""
			d.First = "/watch?" + g.encode().Encode()
		}
		if d.Cases, err = s.desk.Cases(ctx); err != nil {
			return nil, err
		}
	}
	d.Table = t
	var names []string
	for _, w := range src {
		names = append(names, w.ID)
	}
	if f.Source != "" && !slices.Contains(names, f.Source) {
		names = append(names, f.Source)
	}
	minRank := ""
	if f.MinRank > 0 {
		minRank = strconv.FormatFloat(f.MinRank, 'f', -1, 64)
	}
	d.Filters = []filter{{"status", "status", f.Status, append([]string{"all"}, queueStatuses...)}, {"name", "whole name", f.Name.Defanged(), nil}, {"brand", "imitates", f.Brand, nil}, {"actor", "actor", f.Actor, nil}, {"source", "seen by", f.Source, names}, {"min", "least rank", minRank, nil}}
	d.Status = f.Status
	d.On, d.May, d.CSRF = s.cfg.Triage != nil && v.Guarded, v.Person != "", v.CSRF
	if s.cfg.Triage != nil {
		d.Reasons = s.cfg.Triage.Reasons()
	}
	if d.Form.Reason == "" && len(d.Reasons) > 0 {
		d.Form.Reason = d.Reasons[0][0]
	}
	d.Soon = s.now().UTC().AddDate(0, 0, 14).Format(time.DateOnly)
	if d.Day == "" {
		d.Day = d.Soon
	}
	d.Action = "/watch?" + f.encode().Encode()
	tables := []*table{t}
	if d.Sources, err = s.sources(ctx); err != nil {
		return nil, err
	}
	if d.Sources != nil {
		tables = append(tables, d.Sources)
	}
	return &page{Tmpl: "watch.html", Title: "Watch", Nav: "/watch", Tables: tables, Data: d}, nil
}

func (f QueueQuery) command() string {
	args := []string{"watch", "list"}
	for _, x := range [][2]string{{"--status", f.Status}, {"--brand", f.Brand}, {"--actor", f.Actor}, {"--source", f.Source}, {"--name", f.Name.Defanged()}} {
		if x[1] != "" && (x[0] != "--status" || x[1] != "open") {
			args = append(args, x[0], x[1])
		}
	}
	if f.MinRank > 0 {
		args = append(args, "--min", strconv.FormatFloat(f.MinRank, 'f', -1, 64))
	}
	return cliLine(args...)
}

func (p QueuePick) String() string {
	return p.Name.String() + " " + strconv.FormatInt(p.Rev, 10) + " " + p.Scope
}

func parsePick(s string) (p QueuePick, err error) {
	part := strings.SplitN(s, " ", 3)
	if len(part) != 3 {
		return p, impound.Errorf(impound.KindInvalid, "the form names no row").WithCure("reload the page")
	}
	if p.Name, err = impound.ParseName(part[0]); err != nil {
		return p, err
	}
	if p.Rev, err = strconv.ParseInt(part[1], 10, 64); err != nil || p.Rev < 0 || len(part[2]) > 64 {
		return p, impound.Errorf(impound.KindInvalid, "the form names no row").WithCure("reload the page")
	}
	p.Scope = part[2]
	return p, nil
}

func (s *server) queueCells(x QueueRow) row {
	hosts := make([]string, len(x.Hosts))
	for i, h := range x.Hosts {
		hosts[i] = h.Defanged()
	}
	say := func(rs []impound.Reason) []string {
		out := []string{}
		for _, r := range rs {
			out = append(out, fmt.Sprintf("%s (%+.2f)", defangHosts(r.Text), r.Weight))
		}
		return out
	}
	list := func(v []string) cell { return cell{Value: append([]string{}, v...)} }
	return row{Key: x.Name.String() + " " + x.Scope, Cells: []cell{text(x.Name.Defanged()), {Value: strconv.FormatFloat(x.Rank, 'f', 4, 64)}, {Value: strconv.FormatFloat(x.Score, 'f', 4, 64)}, text(x.Brand), list(x.Actors), list(hosts), number(x.Count), list(x.Sources), text(x.Status), text(x.Case), list(x.InCases), text(x.Mark),
		s.timeCell(x.Seen), s.timeCell(x.Last), text(x.By), text(x.Reason), text(x.Why), text(x.Again), list(say(x.Reasons)), list(say(x.Learnt))}}
}

func (s *server) watchRow(x QueueRow, picked map[string]bool) watchRow {
	w := watchRow{QueueRow: x, Pick: QueuePick{x.Name, x.Scope, x.Rev}.String()}
	w.On = picked[x.Name.String()+" "+x.Scope]
	all := append(slices.Clone(x.Reasons), x.Learnt...)
	for _, r := range all {
		it := item{Text: defangHosts(r.Text), Hint: r.Code, Tone: fmt.Sprintf("%+.2f", r.Weight)}
		w.All = append(w.All, it)
		// What it is about, what weighs, and what was learnt; never how all names begin.
		if strings.HasPrefix(r.Code, "learnt-") || r.Code != "base" && len(w.Why) < 3 && (strings.HasPrefix(r.Code, "brand-") || r.Weight > 0.05 || r.Code == "actor-known") {
			w.Why = append(w.Why, it)
		}
	}
	var hosts []string
	for _, h := range x.Hosts {
		if h != x.Name && len(hosts) < 3 {
			hosts = append(hosts, h.Defanged())
		}
	}
	if n := x.Count - len(hosts); len(hosts) > 0 && n > 1 {
		hosts = append(hosts, fmt.Sprintf("%d more", n-1))
	}
	w.Hosts = strings.Join(hosts, ", ")
	src := x.Sources
	if len(src) > 2 {
		src = append(slices.Clone(src[:2]), fmt.Sprintf("%d more", len(x.Sources)-2))
	}
	w.Src = defangHosts(strings.Join(src, ", "))
	if u := x.Name.Unicode(); u != x.Name.String() {
		w.Uni = strings.ReplaceAll(u, ".", "[.]")
	}
	w.Whom = x.Brand
	w.Badge = cell{Value: x.Status, Kind: "badge", Tone: map[string]string{"promoted": "good", "snoozed": "info"}[x.Status]}
	switch {
	case x.Status == "snoozed":
		w.Note = "until " + x.Until.UTC().Format(time.DateOnly) + ", by " + x.By
	case x.Status == "dismissed":
		w.Note = x.Reason + ", by " + x.By + " " + x.At.UTC().Format(time.DateOnly)
	case x.Status == "promoted" && x.By == "": // nobody decided: it was there
		w.Badge = cell{Value: "in a case already", Kind: "badge", Tone: "info"}
	case x.Status == "promoted":
		w.Note = "by " + x.By + " " + x.At.UTC().Format(time.DateOnly)
	}
	w.Seen = s.timeCell(x.Seen)
	w.Seen.Text = relative(x.Seen, s.now())
	w.Seen.Hint = clock(x.Seen) + " UTC; last " + clock(x.Last)
	return w
}

// gatherFor bounds how long the evidence for a draft is waited for.
const gatherFor = 25 * time.Second

// rule takes the queue's form.
func (s *server) rule(w http.ResponseWriter, r *http.Request) {
	v := visitOf(r.Context())
	if s.cfg.Triage == nil || !v.Guarded {
		notAllowed(w)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, 1<<20)
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, impound.Errorf(impound.KindInvalid, "the form can't be read, or is longer than 1 MB"))
		return
	}
	f := r.PostForm
	if v.CSRF == "" || subtle.ConstantTimeCompare([]byte(f.Get("form")), []byte(v.CSRF)) != 1 {
		s.fail(w, r, impound.Errorf(impound.KindAuth, "this form is not one that was given to you, or too old").WithCure("go back, reload the page, and send it again"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), deadline)
	defer cancel()
	qf, err := parseQueue(r.URL.Query())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	d := watchData{Form: QueueRuling{Do: f.Get("do"), Case: f.Get("case"), Reason: f.Get("reason"), Why: strings.TrimSpace(lf(f.Get("why")))}, Day: strings.TrimSpace(f.Get("until")), Picked: map[string]bool{}}
	var picks []QueuePick
	for _, t := range f["pick"] {
		p, err := parsePick(t)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		picks = append(picks, p)
		d.Picked[p.Name.String()+" "+p.Scope] = true
	}
	if d.Form.Do == "snooze" {
		if d.Form.Until, err = time.Parse(time.DateOnly, d.Day); err != nil {
			err = impound.Errorf(impound.KindInvalid, "%.20q is no date", d.Day).WithCure("write it as " + s.now().UTC().AddDate(0, 0, 14).Format(time.DateOnly))
		}
	}
	if err == nil && len(picks) == 0 {
		err = impound.Errorf(impound.KindInvalid, "no row is ticked").WithCure("tick the domains that you decide of")
	}
	// What the draft needs is asked before anything is decided.
	d.Draft = DraftAsk{On: d.Form.Do == "promote" && f.Get("supplement") == "1", Near: f.Get("near") == "1", Clause: strings.TrimSpace(f.Get("clause"))}
	var ask SupplementAsk
	if err == nil && d.Draft.On {
		if d.Form.Case == "" {
			err = impound.Errorf(impound.KindInvalid, "which case?").WithCure("choose the case that the names go into")
		} else if len(d.Draft.Clause) > 128 {
			err = impound.Errorf(impound.KindInvalid, "that is no clause").WithCure("give its number, such as 7")
		} else {
			ask, err = s.cfg.Triage.Terms(ctx, SupplementAsk{Case: d.Form.Case, Clause: d.Draft.Clause})
		}
	}
	changed, failed := 0, []error(nil)
	if err == nil {
		changed, failed, err = s.cfg.Triage.Rule(ctx, picks, d.Form)
	}
	if err == nil && d.Draft.On && len(failed) < len(picks) {
		names := make([]impound.Name, 0, len(picks))
		for _, p := range picks {
			names = append(names, p.Name)
		}
		// What can't be had in time is unknown to the gates, and the page says so.
		look, stop := context.WithTimeout(context.WithoutCancel(r.Context()), gatherFor)
		gerr := s.cfg.Triage.Gather(look, ask.Case, names, d.Draft.Near)
		stop()
		if gerr != nil {
			s.log.Warn("evidence for a supplement is missing", "case", ask.Case, "err", gerr)
		}
		if d.Link = ask.page("done", "1"); len(failed) == 0 {
			http.Redirect(w, r, d.Link, http.StatusSeeOther)
			return
		}
		var again context.CancelFunc
		ctx, again = context.WithTimeout(r.Context(), deadline)
		defer again()
	}
	switch impound.KindOf(err) {
	case "":
	case impound.KindInternal, impound.KindUnavailable:
		s.fail(w, r, err)
		return
	}
	if err == nil && len(failed) == 0 {
		q := qf.encode()
		q.Set("said", d.Form.Do)
		q.Set("n", strconv.Itoa(changed))
		http.Redirect(w, r, "/watch?"+q.Encode(), http.StatusSeeOther)
		return
	}
	code := http.StatusConflict
	if err != nil {
		d.Err, code = problemOf(err), statusOf[impound.KindOf(err)]
	} else {
		d.Err = &problem{Msg: "nothing was decided", Cure: "below the domains stand as they are now"}
		if n := len(picks) - len(failed); n > 0 {
			d.Err.Msg = fmt.Sprintf("%s decided, and %d not", plural(n, "domain is", "domains are"), len(failed))
		}
		for _, e := range failed {
			p := problemOf(e)
			d.Failed = append(d.Failed, defangHosts(p.Msg))
		}
	}
	p, err := s.makeWatch(ctx, r, qf, d)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	for _, t := range p.Tables {
		t.Base = r.URL.RequestURI()
	}
	var b bytes.Buffer
	x := view{page: p, Version: s.cfg.Version, Status: s.status(ctx), Path: r.URL.Path, Visit: v}
	if err := s.tmpl.ExecuteTemplate(&b, p.Tmpl, x); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	w.Write(impound.Show(b.Bytes()))
}

// lessons shows what was learnt.
func (s *server) lessons(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	if err := known(q, "limit", "offset"); err != nil {
		return nil, err
	}
	all, err := s.desk.Lessons(ctx)
	if err != nil {
		return nil, err
	}
	part, err := parsePart(q, len(all))
	if err != nil {
		return nil, err
	}
	t := &table{ID: "lessons", Total: len(all), Title: "Lessons", CLI: cliLine("watch", "lessons"), Empty: "Nothing was learnt yet: it takes three decisions that have something in common.",
		Cols: []col{txt("text", "names with"), num("offset", "adds"), {Key: "words", Head: "because", Wrap: true}, {Key: "names", Head: "such as", Wrap: true}, txt("by", "taught by"), txt("last", "last (UTC)"), txt("off", "counts"), txt("key", "to switch it off")}}
	for _, l := range cutPart(all, part) {
		on := cell{Value: "yes", Kind: "badge", Tone: "good"}
		switch {
		case l.Off != "":
			on = cell{Value: "off", Kind: "badge", Tone: "warn", Sub: l.Off}
		case l.Offset == 0:
			on = cell{Value: "not yet", Kind: "badge"}
		}
		names := make([]string, len(l.Names))
		for i, n := range l.Names {
			names[i] = defang(n)
		}
		brief := cell{Value: names, Kind: "lines"}
		if len(names) > 3 {
			brief.Brief, brief.Sub = names[:3], fmt.Sprintf("and %d more", len(names)-3)
		}
		key := mono(cliLine("watch", "lessons", "--off", l.Key, "--why", "REASON"))
		t.Rows = append(t.Rows, row{Key: l.Key, Cells: []cell{text(l.Text), {Value: fmt.Sprintf("%+.2f", l.Offset), Kind: "num"}, text(l.Words), brief, {Value: l.By, Kind: "inline"}, s.timeCell(l.Last), on, key}})
	}
	return &page{Tmpl: "table-page.html", Title: "Lessons", Nav: "/watch", Tables: []*table{t},
		Data: listData{Table: t, Back: "/watch", Intro: "What dismissals and promotions taught. It moves domains up or down in the queue, and hides none; undoing a decision takes its lesson back.", Pager: part.pager("/watch/lessons", q, len(all))}}, nil
}
