package web

import (
	"bytes"
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strings"
	"time"

	impound "github.com/impound/impound"
)

// The API gives the same facts as the pages, in the root package's own words.
// Readers must ignore fields that they don't know.

type apiFunc func(ctx context.Context, r *http.Request) (any, error)

func (s *server) api(fn apiFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), deadline)
		defer cancel()
		v, err := fn(ctx, r)
		if err != nil {
			s.fail(w, r, err)
			return
		}
		var b bytes.Buffer
		if err := json.NewEncoder(&b).Encode(v); err != nil {
			s.fail(w, r, impound.Errorf(impound.KindInternal, "couldn't encode the answer: %w", err))
			return
		}
		s.send(w, r, "application/json", b.Bytes())
	}
}

// contactView is a contact as it leaves this package: the source cut to its
// network, no lure token in any form, mail addresses in paths cut.
type contactView struct {
	At         time.Time        `json:"at"`
	Sensor     string           `json:"sensor"`
	Seq        uint64           `json:"seq"`
	Case       string           `json:"case,omitempty"`
	Order      string           `json:"order,omitempty"`
	Class      impound.Class    `json:"class"`
	Confidence int              `json:"confidence"` // per cent
	Proto      string           `json:"proto"`
	Name       string           `json:"name"` // as asked for; not defanged: this is for machines
	Zone       string           `json:"zone,omitempty"`
	What       string           `json:"what"`
	Source     string           `json:"source"` // /24 or /48
	Network    string           `json:"network,omitempty"`
	ASN        uint32           `json:"asn,omitempty"`
	Country    string           `json:"country,omitempty"`
	UserAgent  string           `json:"user_agent,omitempty"`
	Outcome    string           `json:"outcome"`
	Reasons    []impound.Reason `json:"reasons"`
}

func contactOf(c impound.Contact) contactView {
	v := contactView{
		At: c.At.UTC(), Sensor: c.Sensor, Seq: c.Seq, Case: c.Case, Order: c.Order, Class: c.Class,
		Confidence: int(math.Round(100 * min(max(c.Confidence, 0), 1))), Proto: string(c.Proto), Name: c.Name, Zone: c.Zone,
		Source: cut(c.Src), ASN: c.Network.ASN, Country: c.Network.Country, UserAgent: c.UserAgent, Outcome: c.Outcome, Reasons: c.Reasons,
	}
	if c.Network.ASN != 0 || c.Network.Name != "" {
		v.Network = networkName(c.Network)
	}
	if v.Reasons == nil {
		v.Reasons = []impound.Reason{}
	}
	v.What = whatOf(c.Event)
	return v
}

// whatOf says what was asked, in the protocol's words.
func whatOf(e impound.Event) string {
	var parts []string
	add := func(s string) {
		if s != "" {
			parts = append(parts, s)
		}
	}
	switch e.Proto {
	case impound.ProtoDNS, impound.ProtoDNST:
		add(qtypeName(e.QType))
	case impound.ProtoHTTP, impound.ProtoTLS:
		add(e.Method)
		add(safePath(e.Path))
	case impound.ProtoSMTP:
		if e.Helo != "" {
			add("EHLO " + defangHosts(e.Helo))
		}
		if e.FromDomain != "" {
			add("from " + defang(e.FromDomain))
		}
	}
	if e.Outcome != "" && e.Outcome != "answered" {
		add("(" + e.Outcome + ")")
	}
	return strings.Join(parts, " ")
}

func (s *server) apiCases(ctx context.Context, r *http.Request) (any, error) {
	if err := known(r.URL.Query()); err != nil {
		return nil, err
	}
	cases, err := s.desk.Cases(ctx)
	out := make([]CaseHead, len(cases))
	for i, c := range cases {
		c.Domains = []impound.CaseDomain{} // /api/v1/cases/ID has them
		out[i] = c
	}
	return map[string]any{"cases": out}, err
}

func (s *server) apiCase(ctx context.Context, r *http.Request) (any, error) {
	if err := known(r.URL.Query()); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	c, err := s.desk.Case(ctx, id)
	if err != nil {
		return nil, err
	}
	totals, err := s.desk.Totals(ctx, id)
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
	reports, err := s.desk.Reports(ctx, id)
	return map[string]any{"case": tidyCase(c), "totals": totals, "orders": tidyOrders(orders), "plans": tidyPlans(plans), "reports": orEmpty(reports)}, err
}

func (s *server) apiContacts(ctx context.Context, r *http.Request) (any, error) {
	q, err := parseContacts(r.URL.Query())
	if err != nil {
		return nil, err
	}
	cs, n, err := s.desk.Contacts(ctx, q)
	if err != nil {
		return nil, err
	}
	out := make([]contactView, len(cs))
	for i, c := range cs {
		out[i] = contactOf(c)
	}
	return map[string]any{"total": n, "contacts": out}, nil
}

func (s *server) apiOrders(ctx context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	if err := known(q, "case"); err != nil {
		return nil, err
	}
	id, err := idParam(q, "case")
	if err != nil {
		return nil, err
	}
	orders, err := s.desk.Orders(ctx, id)
	return map[string]any{"orders": tidyOrders(orders)}, err
}

func (s *server) apiCandidates(ctx context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	if err := known(q, "status"); err != nil {
		return nil, err
	}
	status, err := oneOf(q, "status", candidateStatuses)
	if err != nil {
		return nil, err
	}
	cs, err := s.desk.Candidates(ctx, status)
	return map[string]any{"candidates": orEmpty(cs)}, err
}

func (s *server) apiLog(ctx context.Context, r *http.Request) (any, error) {
	q, err := parseLog(r.URL.Query())
	if err != nil {
		return nil, err
	}
	lines, n, err := s.desk.Log(ctx, q)
	if err != nil {
		return nil, err
	}
	cp, err := s.desk.Checkpoint(ctx)
	return map[string]any{"total": n, "checkpoint": cp, "log": orEmpty(lines)}, err
}

func (s *server) apiSeries(ctx context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	if err := known(q, "case", "zone", "window"); err != nil {
		return nil, err
	}
	id, err := idParam(q, "case")
	if err != nil {
		return nil, err
	}
	zone, err := nameParam(q, "zone")
	if err != nil {
		return nil, err
	}
	totals, err := s.desk.Totals(ctx, id)
	if err != nil {
		return nil, err
	}
	now := s.now()
	w, err := pickWindow(q, totals.First, now)
	if err != nil {
		return nil, err
	}
	from, until := w.bounds(now)
	gaps, err := s.desk.Gaps(ctx)
	if err != nil {
		return nil, err
	}
	var within []impound.Gap // the counts of their time are too small
	for _, g := range gaps {
		if g.Overlaps(from, until) {
			within = append(within, g)
		}
	}
	points, err := s.desk.Series(ctx, SeriesQuery{Case: id, Zone: zone, From: from, Until: until, Step: w.Step})
	return map[string]any{"from": from, "until": until, "step_seconds": int(w.Step / time.Second), "series": orEmpty(points), "gaps": orEmpty(within)}, err
}

func (s *server) apiVictims(ctx context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	if err := known(q, "case"); err != nil {
		return nil, err
	}
	id, err := idParam(q, "case")
	if err != nil {
		return nil, err
	}
	vs, err := s.desk.Victims(ctx, id)
	return map[string]any{"victims": orEmpty(vs)}, err
}

// The tidy functions make every list a list: readers in other languages stumble
// over null. They copy what they change.

func tidyCase(c impound.Case) impound.Case {
	c.Domains = append([]impound.CaseDomain{}, c.Domains...)
	for i := range c.Domains {
		c.Domains[i].History = orEmpty(c.Domains[i].History)
	}
	return c
}

func tidyOrders(orders []OrderView) []OrderView {
	out := make([]OrderView, len(orders))
	for i, o := range orders {
		o.Signers = orEmpty(o.Signers)
		o.Names = append([]OrderName{}, o.Names...)
		for j := range o.Names {
			o.Names[j].Acts = orEmpty(o.Names[j].Acts)
		}
		out[i] = o
	}
	return out
}

func tidyPlans(plans []PlanView) []PlanView {
	out := make([]PlanView, len(plans))
	for i, p := range plans {
		p.Approvals = orEmpty(p.Approvals)
		p.Names = append([]PlanName{}, p.Names...)
		for j := range p.Names {
			p.Names[j].Diff = orEmpty(p.Names[j].Diff)
		}
		out[i] = p
	}
	return out
}

func orEmpty[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}

var qtypes = map[uint16]string{1: "A", 2: "NS", 5: "CNAME", 6: "SOA", 12: "PTR", 15: "MX", 16: "TXT", 28: "AAAA", 33: "SRV", 43: "DS", 48: "DNSKEY", 64: "SVCB", 65: "HTTPS", 251: "IXFR", 252: "AXFR", 255: "ANY", 257: "CAA"}

func qtypeName(t uint16) string {
	if n, ok := qtypes[t]; ok {
		return n
	}
	if t == 0 {
		return ""
	}
	return "TYPE" + plain(int(t)) // RFC 3597
}
