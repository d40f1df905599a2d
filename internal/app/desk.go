package app

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app/sensor"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/telemetry"
	"github.com/impound/impound/internal/turns"
	"github.com/impound/impound/internal/web"
)

// desk is the system as the pages read it. It changes nothing.
type desk struct{ s *System }

var _ web.Desk = desk{}

// Desk gives what the pages read, for other faces than the pages.
func (s *System) Desk() web.Desk { return desk{s} }

func (d desk) Cases(ctx context.Context) ([]web.CaseHead, error) {
	heads, err := d.s.Casework.CaseHeads(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]web.CaseHead, 0, len(heads))
	for _, h := range heads {
		v := web.CaseHead{Case: h.Case, Count: h.Count}
		if h.Count[impound.StateBlocked]+h.Count[impound.StateContested] > 0 {
			k, err := d.s.Casework.Case(ctx, h.ID)
			if err != nil {
				return nil, err
			}
			v = web.HeadOf(k)
		}
		out = append(out, v)
	}
	slices.SortStableFunc(out, func(a, b web.CaseHead) int { return b.Opened.Compare(a.Opened) })
	return out, nil
}

// wholeCases gives every case with its names, newest first.
func (s *System) wholeCases(ctx context.Context) ([]impound.Case, error) {
	heads, err := s.Casework.Cases(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]impound.Case, 0, len(heads))
	for _, h := range heads {
		k, err := s.Casework.Case(ctx, h.ID)
		if err != nil {
			return nil, err
		}
		out = append(out, k)
	}
	slices.SortStableFunc(out, func(a, b impound.Case) int { return b.Opened.Compare(a.Opened) })
	return out, nil
}

func (d desk) Case(ctx context.Context, id string) (impound.Case, error) {
	return d.s.Casework.Case(ctx, id)
}

// Verdicts gives what the gates said of a name, with reasons.
func (d desk) Verdicts(ctx context.Context, caseID string, n impound.Name) ([]impound.GateVerdict, error) {
	return d.s.Casework.Verdicts(ctx, caseID, n)
}

func (d desk) Actor(ctx context.Context, id string) (impound.Actor, error) {
	actors, err := d.s.Casework.Actors(ctx)
	if err != nil {
		return impound.Actor{}, err
	}
	for _, a := range actors {
		if a.ID == id {
			return a, nil
		}
	}
	return impound.Actor{}, impound.Errorf(impound.KindNotFound, "no actor %s", id)
}

func (d desk) Candidates(ctx context.Context, status string) ([]impound.Candidate, error) {
	return d.s.Casework.Candidates(ctx, casework.CandidateFilter{Status: status})
}

func (d desk) Orders(ctx context.Context, caseID string) ([]web.OrderView, error) {
	word, err := d.s.Casework.Word(ctx) // before what it stands for is read
	if err != nil {
		return nil, err
	}
	rows, err := d.s.Casework.Orders(ctx)
	if err != nil {
		return nil, err
	}
	ms, err := d.s.Casework.Mandates(ctx)
	unproven := ""
	if err != nil {
		if impound.KindOf(err) != impound.KindPartial {
			return nil, err
		}
		unproven = err.Error()
	}
	out := []web.OrderView{}
	for _, r := range rows {
		if caseID != "" && r.Case != caseID {
			continue
		}
		v, err := d.orderView(ctx, word, r, ms, unproven)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	slices.SortStableFunc(out, func(a, b web.OrderView) int { return b.Issued.Compare(a.Issued) })
	return out, nil
}

// orderViews keeps what pages show of orders, but for what time changes and for
// what is said to one reader alone: an order can hold 10,000 names. Whoever takes
// one out has been shown the order's row first.
type orderViews struct {
	turns turns.Turns
	mu    sync.Mutex
	m     map[string]keptView
}

type keptView struct {
	word string
	v    web.OrderView
}

// maxViews bounds the names of all views that are kept.
const maxViews = 200_000

func (k *orderViews) get(id, word string) (web.OrderView, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	x, ok := k.m[id]
	return x.v, ok && x.word == word
}

func (k *orderViews) put(id, word string, v web.OrderView) {
	k.mu.Lock()
	defer k.mu.Unlock()
	n := len(v.Names)
	for _, x := range k.m {
		n += len(x.v.Names)
	}
	if k.m == nil || n > maxViews {
		k.m = map[string]keptView{}
	}
	k.m[id] = keptView{word, v}
}

func (d desk) orderView(ctx context.Context, word string, r casework.OrderRow, ms []*impound.Mandate, unproven string) (web.OrderView, error) {
	var m *impound.Mandate
	for _, x := range ms {
		if x.ID() == r.ID {
			m = x
		}
	}
	if m == nil {
		word += " unproven"
	}
	v, fresh := d.s.orders.get(r.ID, word)
	if !fresh {
		defer d.s.orders.turns.Take(r.ID)()
		v, fresh = d.s.orders.get(r.ID, word)
	}
	if !fresh {
		var err error
		if v, err = d.makeView(ctx, r, m); err != nil {
			return v, err
		}
		d.s.orders.put(r.ID, word, v)
	}
	v.Withdrawn, v.Unproven = r.Ended, unproven
	switch {
	case m != nil:
		v.Unproven, v.InForce = "", m.InForce(d.s.now())
		v.From, v.Until = m.Window()
	case v.Unproven == "":
		v.Unproven = "the evidence log does not prove it"
	}
	return v, nil
}

func (d desk) makeView(ctx context.Context, r casework.OrderRow, m *impound.Mandate) (web.OrderView, error) {
	_, o, _, err := d.s.Casework.Order(ctx, r.ID)
	if err != nil {
		return web.OrderView{}, err
	}
	court := o.Authority.Court
	if court == "" {
		court = o.Authority.Agreement
	}
	v := web.OrderView{
		ID: o.ID, Hash: r.Hash, Case: o.Case, Kind: string(o.Kind), Court: court, Docket: o.Authority.Docket, Issued: o.Issued, From: o.From, Until: o.Until,
		Signers: r.Signers, Needed: impound.MinSigners, Capture: string(o.Sinkhole.Capture), AtEnd: o.AtEnd, TLP: o.TLP, Parent: r.Parent,
	}
	blocked := map[impound.Name][]impound.GateVerdict{}
	if m != nil {
		if blocked, err = d.s.Casework.Blocked(ctx, m); err != nil {
			return v, err
		}
	}
	states := map[impound.Name]impound.DomainState{}
	if k, err := d.s.Casework.Case(ctx, o.Case); err == nil {
		for _, x := range k.Domains {
			states[x.Name] = x.State
		}
	}
	usual := actWords(o.Acts)
	for _, on := range o.Names() {
		n := web.OrderName{Name: on.Name, State: states[on.Name], Acts: usual}
		if on.Acts != nil {
			n.Acts = actWords(*on.Acts)
		}
		if vs := blocked[on.Name]; len(vs) > 0 {
			n.Blocked = &vs[0]
		}
		v.Names = append(v.Names, n)
	}
	return v, nil
}

func actWords(a impound.Acts) []string {
	var out []string
	for _, act := range a.List() {
		switch act {
		case impound.ActNameservers:
			var ns []string
			for _, n := range a.Nameservers {
				ns = append(ns, n.Defanged())
			}
			out = append(out, "name servers to "+strings.Join(ns, ", "))
		case impound.ActLock:
			out = append(out, "lock: "+strings.Join(a.Lock, ", "))
		case impound.ActRemoveDS:
			out = append(out, "remove DS")
		case impound.ActRegistrant:
			out = append(out, "registrant to "+a.Registrant)
		case impound.ActRenew:
			out = append(out, "renew when it is about to end")
		default:
			out = append(out, string(act))
		}
	}
	return out
}

func (d desk) Order(ctx context.Context, id string) (web.OrderView, error) {
	all, err := d.Orders(ctx, "")
	if err != nil {
		return web.OrderView{}, err
	}
	for _, o := range all {
		if o.ID == id {
			return o, nil
		}
	}
	return web.OrderView{}, impound.Errorf(impound.KindNotFound, "no order %s", id)
}

func (d desk) Plans(ctx context.Context, caseID, orderID string) ([]web.PlanView, error) {
	infos, err := d.s.Plans(ctx, orderID)
	if err != nil {
		return nil, err
	}
	out := []web.PlanView{}
	for _, p := range infos {
		if caseID != "" && p.Plan.Case != caseID {
			continue
		}
		v, err := d.planView(ctx, p)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
	}
	return out, nil
}

func (d desk) Plan(ctx context.Context, id string) (web.PlanView, error) {
	p, err := d.s.PlanInfo(ctx, id)
	if err != nil {
		return web.PlanView{}, err
	}
	return d.planView(ctx, p)
}

func (d desk) planView(ctx context.Context, p seizure.PlanInfo) (web.PlanView, error) {
	v := web.PlanView{ID: p.Plan.ID, Hash: p.Hash, Order: p.Plan.Order, Case: p.Plan.Case, Made: p.Plan.Made, Needed: impound.MinSigners, State: "proposed",
		By: p.Plan.By, Expires: p.Plan.Expires, Warnings: p.Plan.CommonWarnings()}
	for _, h := range p.Plan.Hosts {
		if n := len(v.Hosts); n == 0 || v.Hosts[n-1].Provider != h.Provider {
			v.Hosts = append(v.Hosts, web.PlanHost{Provider: h.Provider})
		}
		last := &v.Hosts[len(v.Hosts)-1]
		last.Diff = append(last.Diff, h.Step.Lines...)
	}
	switch {
	case !p.Applied.IsZero():
		v.State = "applied"
	case p.Expired:
		v.State = "expired"
	case p.Approved:
		v.State = "approved"
	}
	approved, err := d.s.Log(ctx, evidence.Filter{Order: p.Plan.Order, What: "seize.approve"})
	if err != nil {
		return v, err
	}
	for _, who := range p.Approvers {
		a := web.Approval{Person: who}
		for _, x := range approved {
			if x.Entry.By == who && x.Entry.Detail["plan"] == p.Plan.ID {
				a.At = x.Entry.At
			}
		}
		v.Approvals = append(v.Approvals, a)
	}
	status, word, err := d.s.statusToShow(ctx, p.Plan.Order)
	if err != nil {
		return v, err
	}
	v.Names = d.s.planned.of(p, status, word)
	return v, nil
}

// plannedNames keeps what plans show of their names for as long as no name's status
// changed: a plan can hold 10,000, and nearly every page tells of plans. It is good
// for concurrent use. No effect rests on it.
type plannedNames struct {
	turns turns.Turns
	mu    sync.Mutex
	word  string
	names int
	m     map[string][]web.PlanName // by the plan's id and hash, and the order that was looked for
}

// mostPlanned bounds the names that plannedNames keeps.
const mostPlanned = 200_000

// of gives what p shows of its names when status, of word, is how they stand.
func (k *plannedNames) of(p seizure.PlanInfo, status []seizure.Seizure, word string) []web.PlanName {
	key := fmt.Sprintf("%s %s %d", p.Plan.ID, p.Hash, len(status))
	k.mu.Lock()
	if k.word != word {
		k.word, k.names, k.m = word, 0, map[string][]web.PlanName{}
	}
	out, ok := k.m[key]
	k.mu.Unlock()
	if !ok {
		defer k.turns.Take(key)()
		k.mu.Lock()
		if k.word == word {
			out, ok = k.m[key]
		}
		k.mu.Unlock()
	}
	if !ok {
		out = planNames(p, status)
		k.mu.Lock()
		if _, ok := k.m[key]; k.word == word && !ok && k.names+len(out) < mostPlanned {
			k.m[key] = out
			k.names += len(out) + 1
		}
		k.mu.Unlock()
	}
	return slices.Clone(out) // who gets it may sort it
}

func planNames(p seizure.PlanInfo, status []seizure.Seizure) []web.PlanName {
	var out []web.PlanName
	of := map[impound.Name][]seizure.Seizure{}
	for _, z := range status {
		of[z.Name] = append(of[z.Name], z)
	}
	common := p.Plan.CommonWarnings()
	for _, n := range p.Plan.Names {
		pn := web.PlanName{Name: n.Name, Provider: n.Provider}
		if n.Blocked != "" {
			pn.Diff = []string{"  blocked: " + n.Blocked}
		} else if len(n.Steps) == 0 {
			pn.Diff = []string{"  nothing to do: it is as ordered"}
		}
		for _, st := range n.Steps {
			pn.Diff = append(pn.Diff, st.Lines...)
		}
		done := strings.Join(pn.Diff, "; ")
		for _, w := range n.Warnings {
			if !slices.Contains(common, w) {
				pn.Diff = append(pn.Diff, "! "+w)
			}
		}
		for _, look := range []*web.Look{&pn.Parent, &pn.RDAP, &pn.Resolver, &pn.Child} {
			look.Verdict = web.Unknown
		}
		for _, z := range of[n.Name] {
			if z.Plan == p.Plan.ID {
				pn.Result = z.Outcome
				if z.Msg != "" && z.Msg != done { // what was done stands beside it
					pn.Result += ": " + z.Msg
				}
			}
			pn.Acted, pn.Turns = z.Acted, pn.Turns[:0]
			for _, t := range z.Turns {
				pn.Turns = append(pn.Turns, web.Turn{At: t.At, View: t.View, Verdict: t.State, Detail: t.Why})
			}
			if z.Status != nil {
				if c := z.Status.Child; c != nil {
					pn.Child = web.Look{Verdict: c.State, Detail: c.Why, At: z.Status.At}
				}
				for _, view := range z.Status.Views {
					l := web.Look{Verdict: view.State, Detail: view.Why, At: z.Status.At}
					if took, ok := z.Took(view.View); ok {
						l.Detail += fmt.Sprintf("; first seen so %s after the act", took.Round(10*time.Millisecond))
					}
					switch view.View {
					case "parent":
						pn.Parent = l
					case "rdap":
						pn.RDAP = l
					case "resolver":
						pn.Resolver = l
					}
				}
			}
		}
		out = append(out, pn)
	}
	return out
}

// maxOffset bounds how deep a page of contacts may lie.
const maxOffset = 100_000

func (d desk) Contacts(ctx context.Context, q web.ContactQuery) ([]impound.Contact, int, error) {
	f := telemetry.Filter{Case: q.Case, Class: q.Class, Zone: q.Zone.String(), Desc: true, Limit: min(q.Offset+q.Limit, maxOffset)}
	if q.Proto != "" { // telemetry has no index on it: look through what a page can reach
		f.Limit = maxOffset
		cs, err := d.s.Contacts(ctx, f)
		if err != nil {
			return nil, 0, err
		}
		cs = slices.DeleteFunc(cs, func(c impound.Contact) bool { return c.Proto != q.Proto })
		page := cs[min(q.Offset, len(cs)):]
		return page[:min(q.Limit, len(page))], len(cs), nil
	}
	cs, err := d.s.Contacts(ctx, f)
	if err != nil {
		return nil, 0, err
	}
	counts, err := d.s.Counts(ctx, f)
	if err != nil {
		return nil, 0, err
	}
	n := 0
	for class, c := range counts {
		if q.Class == "" || class == q.Class {
			n += c
		}
	}
	return cs[min(q.Offset, len(cs)):], n, nil
}

func (d desk) Totals(ctx context.Context, caseID string) (web.Totals, error) {
	t := web.Totals{}
	var err error
	if t.ByClass, err = d.s.Counts(ctx, telemetry.Filter{Case: caseID}); err != nil {
		return t, err
	}
	nets, err := d.s.Victims(ctx, telemetry.Filter{Case: caseID})
	if err != nil {
		return t, err
	}
	for _, n := range nets {
		t.Victims += n.Victims
	}
	for _, desc := range []bool{false, true} {
		cs, err := d.s.Contacts(ctx, telemetry.Filter{Case: caseID, Limit: 1, Desc: desc})
		if err != nil {
			return t, err
		}
		if len(cs) == 1 {
			if desc {
				t.Last = cs[0].At
			} else {
				t.First = cs[0].At
			}
		}
	}
	return t, nil
}

func (d desk) Series(ctx context.Context, q web.SeriesQuery) ([]web.SeriesPoint, error) {
	bs, err := d.s.Series(ctx, telemetry.Filter{Case: q.Case, Zone: q.Zone.String(), From: q.From, To: q.Until}, q.Step)
	if err != nil {
		return nil, err
	}
	out := make([]web.SeriesPoint, len(bs))
	for i, b := range bs {
		out[i] = web.SeriesPoint{At: b.At, Count: b.Counts}
	}
	return out, nil
}

func (d desk) Victims(ctx context.Context, caseID string) ([]web.NetworkCount, error) {
	nets, err := d.s.Victims(ctx, telemetry.Filter{Case: caseID})
	if err != nil {
		return nil, err
	}
	out := make([]web.NetworkCount, len(nets))
	for i, n := range nets {
		out[i] = web.NetworkCount{Network: n.Network, Victims: n.Victims, Contacts: n.Contacts, First: n.First, Last: n.Last}
	}
	return out, nil
}

func (d desk) Reports(ctx context.Context, caseID string) ([]web.ReportView, error) {
	out := []web.ReportView{}
	svc, err := d.s.Notifier()
	if err != nil {
		return out, nil
	}
	reps, err := svc.List(ctx, caseID)
	if err != nil {
		return nil, err
	}
	for _, p := range reps {
		state := "prepared"
		if p.Sent != nil {
			state = "sent"
		}
		for _, f := range p.Files {
			format := "message"
			if strings.HasSuffix(f.Name, ".csv") {
				format = "Shadowserver CSV"
			} else if strings.HasSuffix(f.Name, ".json") {
				format = "XARF"
			}
			out = append(out, web.ReportView{ID: p.ID, Case: p.Case, Recipient: fmt.Sprintf("%s (AS%d)", p.Network.Name, p.Network.ASN), Format: format, Rows: p.Contacts, Hash: f.Hash, File: f.Name, State: state, At: p.Made})
		}
	}
	return out, nil
}

func (d desk) Log(ctx context.Context, q web.LogQuery) ([]web.LogEntry, int, error) {
	es, n, err := d.s.LogPage(ctx, evidence.Filter{Case: q.Case, Order: q.Order, Name: q.Name, Type: q.Type, Limit: q.Limit}, q.Offset)
	if err != nil {
		return nil, 0, err
	}
	out := make([]web.LogEntry, len(es))
	for i, e := range es {
		out[i] = web.LogEntry{Index: e.Index, Entry: e.Entry}
	}
	return out, n, nil
}

func (d desk) Checkpoint(ctx context.Context) (string, error) {
	cp, err := d.s.Checkpoint(ctx)
	return string(cp), err
}

// Sensors gives the sensors without what counts over all cases, once there are
// accounts: then the journal's numbers are how far telemetry is behind it.
func (d desk) Sensors(ctx context.Context) ([]web.SensorView, error) {
	views, err := d.sensors(ctx)
	if err != nil {
		return nil, err
	}
	x, err := d.s.Casework.Sight(ctx)
	if err != nil {
		return nil, err
	}
	guarded, err := d.s.Guarded(ctx)
	for i := range views {
		v := &views[i]
		v.Orders = open(x, v.Orders)
		if guarded {
			v.SpoolSeq, v.Read = v.SpoolSeq-min(v.Read, v.SpoolSeq), 0
		}
	}
	return views, err
}

func (d desk) sensors(ctx context.Context) ([]web.SensorView, error) {
	d.s.servingMu.Lock()
	v := d.s.serving
	d.s.servingMu.Unlock()
	if v == nil {
		return []web.SensorView{}, nil
	}
	out := []web.SensorView{}
	if v.hubSrv != nil {
		for _, st := range v.hubSrv.statuses() {
			out = append(out, d.remoteSensor(ctx, st))
		}
	}
	if v.sink == nil {
		return out, nil
	}
	view := web.SensorView{ID: d.s.sensorID(), Seen: d.s.now()}
	for scheme, addrs := range v.sink.Addrs() {
		for _, a := range addrs {
			view.Listeners = append(view.Listeners, scheme+" "+a)
		}
	}
	slices.Sort(view.Listeners)
	if p := v.sink.Policy(); p != nil {
		view.Serial = p.Serial()
		now := d.s.now()
		for _, t := range p.Orders() {
			if !now.Before(t.From) && now.Before(t.Until) && now.Before(p.NotAfter()) {
				view.Orders = append(view.Orders, t.ID)
			}
		}
	}
	st := v.spool.Stats()
	view.SpoolSeq, view.Missing = st.Last, st.Dropped
	var err error
	if view.Read, err = d.s.Telemetry.Cursor(ctx, view.ID); err != nil {
		return nil, err
	}
	v.mu.Lock()
	view.Fault = v.fault
	v.mu.Unlock()
	if st.Gap {
		view.Fault = strings.TrimPrefix(view.Fault+"; recording stopped at "+st.GapSince.UTC().Format(time.RFC3339)+": the spool is full", "; ")
	}
	return append([]web.SensorView{view}, out...), nil
}

// silence is after how long without a word a sensor is said to be silent: it
// asks at least every sensor.PollWait.
const silence = 2 * time.Minute

// remoteSensor is what a site says of itself.
func (d desk) remoteSensor(ctx context.Context, st sensor.Status) web.SensorView {
	view := web.SensorView{ID: st.Sensor, Listeners: []string{"at its own site"}, Serial: st.Serial, SpoolSeq: st.Spool.Last, Missing: st.Spool.Dropped, Seen: st.At}
	view.Read, _ = d.s.Telemetry.Cursor(ctx, st.Sensor)
	var faults []string
	if d.s.now().Sub(st.At) > silence {
		faults = append(faults, "silent since "+stamp(st.At))
	}
	if st.Lapsed {
		faults = append(faults, "its policy ended "+stamp(st.NotAfter)+": it answers nobody")
	}
	if n := len(st.Refusals); n > 0 {
		if last := st.Refusals[n-1]; d.s.now().Sub(last.At) < 24*time.Hour {
			faults = append(faults, "refused a policy at "+stamp(last.At)+": "+clipText(last.Why))
		}
	}
	if st.Spool.Gap {
		faults = append(faults, "recording stopped at "+stamp(st.Spool.GapSince)+": the spool is full")
	}
	view.Fault = strings.Join(faults, "; ")
	return view
}

func (d desk) Ready(ctx context.Context) error {
	_, err := d.s.Store.Version(ctx)
	return err
}
