package web

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	impound "github.com/impound/impound"
)

// fixture is a Desk in memory: the example actor's four names, a name that a
// gate keeps out, and contacts from documentation ranges.
type fixture struct {
	mu       sync.Mutex
	now      time.Time
	cases    []impound.Case
	contacts []impound.Contact // oldest first
	entries  []impound.Entry
	orders   []OrderView
	gaps     []impound.Gap
	plans    []PlanView
	alarms   []AlarmView
	cands    []impound.Candidate
	notReady error
	weighed  int // names that letting go was weighed of
	series   int // how often Series was asked
	onSeries func(n int)
}

var _ Desk = (*fixture)(nil)

var now = time.Date(2026, 11, 21, 10, 0, 30, 0, time.UTC)

var names = []impound.Name{
	impound.MustName("outlook-verify.net"), impound.MustName("yahoo-verify.net"),
	impound.MustName("verification-live.com"), impound.MustName("myaccount-services.net"),
}

// hostile is what somebody who is watched may send.
const hostile = `=HYPERLINK("http://evil.example")<script>alert(1)</script>"'><img src=x onerror=alert(2)>` + "\u202egnp.exe\u202c zero\u200bwidth \x1b[2J Z\u0301\u0302\u0303\u0304\u0305\u0306\u0307"

var networks = []impound.Network{
	{Prefix: netip.MustParsePrefix("192.0.2.0/24"), ASN: 64496, Name: "Example Institute of Technology", Country: "DE", Abuse: "abuse@institute.example", Sector: "education"},
	{Prefix: netip.MustParsePrefix("198.51.100.0/24"), ASN: 64497, Name: "Northern Press Cooperative", Country: "NO", Abuse: "noc@press.example", Sector: "media"},
	{Prefix: netip.MustParsePrefix("203.0.113.0/24"), ASN: 64498, Name: "Überland Telecom", Country: "AT", Abuse: "abuse@ueberland.example", Sector: "telecom"},
	{Prefix: netip.MustParsePrefix("2001:db8::/32"), ASN: 64499, Name: "Scanning Research Group", Country: "US", Abuse: "scan@research.example"},
}

func newFixture() *fixture {
	f := &fixture{now: now}
	opened := now.Add(-40 * time.Minute)
	gates := []impound.GateVerdict{
		{Gate: "G1-shared-suffix", Outcome: impound.GatePass, Reason: "not a public suffix", AsOf: opened},
		{Gate: "G2-popularity", Outcome: impound.GatePass, Reason: "in no list of popular names", AsOf: opened},
		{Gate: "G3-age", Outcome: impound.GatePass, Reason: "registered 41 days before the first sighting", AsOf: opened},
	}
	c := impound.Case{ID: "PHOS-2019", Title: "PHOSPHORUS sign-in lures", Actor: "G0059", TLP: impound.TLPAmber, Owner: "ana", Opened: opened}
	for i, n := range names {
		d := impound.CaseDomain{Name: n, State: impound.StateSinkholed, FirstSeen: opened.Add(-24 * time.Hour), Order: "PHOS-WDC-1", Verdicts: gates,
			Reasons: []impound.Reason{{Code: "brand-exact", Text: `contains "` + []string{"outlook", "yahoo", "live", "account"}[i] + `"`, Weight: 0.5}},
			History: []impound.StateChange{{At: opened, By: "ana", State: impound.StateCandidate, Why: "from the watch list"}, {At: opened.Add(5 * time.Minute), By: "ana", State: impound.StateEvidenced}, {At: opened.Add(9 * time.Minute), By: "carl", State: impound.StateOrdered, Why: "order PHOS-WDC-1"}, {At: opened.Add(12 * time.Minute), By: "olga", State: impound.StateSinkholed, Why: "plan P-1 applied and verified"}}}
		c.Domains = append(c.Domains, d)
	}
	blocked := &impound.GateVerdict{Gate: "G1-shared-suffix", Outcome: impound.GateBlock, Reason: "strangers hold names below blogspot.com: acting on it would hit them all", Data: "public suffix list, private section", AsOf: opened}
	c.Domains = append(c.Domains,
		impound.CaseDomain{Name: impound.MustName("blogspot.com"), State: impound.StateBlocked, FirstSeen: opened, Verdicts: append([]impound.GateVerdict{*blocked, {Gate: "G2-popularity", Outcome: impound.GateUnknown, Reason: "no list is loaded", AsOf: opened}}, gates[2]), History: []impound.StateChange{{At: opened, By: "system", State: impound.StateBlocked, Why: "gate G1"}}},
		impound.CaseDomain{Name: impound.MustName("xn--google-yri.com"), State: impound.StateEvidenced, FirstSeen: opened, History: []impound.StateChange{{At: opened, By: "ana", State: impound.StateEvidenced}}})
	other := impound.Case{ID: "QUIET-1", Title: hostile, TLP: impound.TLPRed, Owner: "bo", Opened: opened.Add(-90 * 24 * time.Hour)}
	f.cases = []impound.Case{c, other}

	o := OrderView{ID: "PHOS-WDC-1", Hash: impound.HashBytes([]byte("order")), Case: c.ID, Kind: "warrant", Court: "District Court, District of Columbia", Docket: "1:19-cv-00716",
		Issued: opened, From: opened.Add(time.Minute), Until: now.Add(9 * 24 * time.Hour), InForce: true, Signers: []string{"judith", "karim"}, Needed: 2, Capture: "contact", AtEnd: "release", TLP: impound.TLPAmber}
	for _, d := range c.Domains[:4] {
		o.Names = append(o.Names, OrderName{Name: d.Name, Acts: []string{"name servers ns1.sinkhole.example, ns2.sinkhole.example", "remove DS", "lock serverTransferProhibited", "sinkhole"}, State: d.State})
	}
	o.Names = append(o.Names, OrderName{Name: impound.MustName("blogspot.com"), Acts: []string{"sinkhole"}, State: impound.StateBlocked, Blocked: blocked})
	f.orders = []OrderView{o, {ID: "DRAFT-2", Hash: "sha256:00", Case: c.ID, Kind: "agreement", Court: "Registry agreement", Docket: "R-7", Issued: now, From: now, Until: now.Add(time.Hour), Unproven: "signed by 1 of 2 people", Signers: []string{"judith"}, Needed: 2, AtEnd: "restore"}}

	p := PlanView{ID: "P-1", Hash: impound.HashBytes([]byte("plan")), Order: o.ID, Case: c.ID, Made: opened.Add(10 * time.Minute), State: "applied", Needed: 2,
		Approvals: []Approval{{"judith", opened.Add(11 * time.Minute)}, {"karim", opened.Add(11 * time.Minute)}}}
	for i, n := range names {
		l := Look{Verdict: AsOrdered, Detail: "NS ns1.sinkhole.example, ns2.sinkhole.example", At: now.Add(-2 * time.Minute)}
		pn := PlanName{Name: n, Provider: "practice registry (EPP)", Diff: []string{"- ns ns1.actor.example", "+ ns ns1.sinkhole.example", "+ ns ns2.sinkhole.example", "- ds 12345 13 2", "+ status serverTransferProhibited"}, Result: "1000 command completed", Parent: l, RDAP: l, Resolver: l}
		pn.Child = Look{Verdict: AsOrdered, Detail: "2 of 2 answers with authority", At: l.At}
		pn.Acted = l.At.Add(-3 * time.Second)
		pn.Turns = []Turn{{At: pn.Acted.Add(200 * time.Millisecond), View: "parent", Verdict: NotYet, Detail: "still the former name servers: ns1.actor.example"}, {At: pn.Acted.Add(700 * time.Millisecond), View: "rdap", Verdict: AsOrdered}, {At: pn.Acted.Add(2500 * time.Millisecond), View: "parent", Verdict: AsOrdered}}
		if i == 2 {
			pn.Resolver = Look{Verdict: NotYet, Detail: "the resolver still holds the old delegation, 212 s left", At: l.At}
		}
		p.Names = append(p.Names, pn)
	}
	f.plans = []PlanView{p}

	for i, x := range []struct {
		n, brand string
		score    float64
	}{{"login-outlook-verify.net", "outlook", 0.91}, {"xn--google-yri.com", "google", 0.74}, {"verify-linkedin.net", "linkedin", 0.66}} {
		f.cands = append(f.cands, impound.Candidate{Name: impound.MustName(x.n), Source: "stdin", Seen: now.Add(-time.Duration(i) * time.Minute), Score: x.score, Brand: x.brand, Status: "open",
			Reasons: []impound.Reason{{Code: "brand-exact", Text: `contains "` + x.brand + `"`, Weight: 0.5}, {Code: "stem", Text: `lure word "verify"`, Weight: 0.2}}})
	}
	f.cands = append(f.cands, impound.Candidate{Name: names[0], Source: "stdin", Seen: opened, Score: 0.97, Brand: "outlook", Status: "promoted", Case: c.ID, Reasons: []impound.Reason{{Code: "actor-glue", Text: "glued as this actor glues", Weight: 0.4}}})

	log := func(typ impound.EntryType, min int, by, what string, n impound.Name, detail map[string]string) {
		f.entries = append(f.entries, impound.Entry{ID: fmt.Sprintf("e%03d", len(f.entries)), Type: typ, At: opened.Add(time.Duration(min) * time.Minute), By: by, What: what, Case: c.ID, Name: n, Detail: detail})
	}
	log(impound.EntryDecision, 0, "ana", "case.open", impound.Name{}, map[string]string{"title": c.Title})
	for i, n := range names {
		log(impound.EntryDecision, 1, "ana", "candidate.promote", n, nil)
		for j, kind := range []string{"dns", "rdap", "http"} {
			f.entries = append(f.entries, impound.Entry{ID: fmt.Sprintf("a%d%d", i, j), Type: impound.EntryArtefact, At: opened.Add(3 * time.Minute), By: "ana", What: "evidence.capture", Case: c.ID, Name: n,
				Artefact: &impound.Artefact{Hash: impound.HashBytes([]byte(n.String() + kind)), Size: int64(400 + 37*i*j), Kind: kind, Media: "application/json", Name: n, Case: c.ID, Source: "https://rdap.registry.example/domain/" + n.String(), Tool: "impound 0.1", By: "ana", At: opened.Add(3 * time.Minute)}})
		}
	}
	log(impound.EntryDecision, 7, "carl", "order.file", impound.Name{}, map[string]string{"names": "5", "file": "order.yaml"})
	log(impound.EntryDecision, 8, "judith", "order.sign", impound.Name{}, nil)
	log(impound.EntryDecision, 8, "karim", "order.sign", impound.Name{}, nil)
	log(impound.EntryDecision, 10, "olga", "seize.plan", impound.Name{}, map[string]string{"plan": "P-1"})
	for _, n := range names {
		log(impound.EntryIntent, 12, "olga", "seize.update", n, map[string]string{"plan": "P-1", "acts": "nameservers remove-ds lock", "change": "- ns ns1.actor.example; + ns ns1.sinkhole.example; + ns ns2.sinkhole.example", "provider": "practice", "order_hash": impound.HashBytes([]byte("order"))})
		log(impound.EntryResult, 12, "olga", "seize.update", n, map[string]string{"outcome": "done", "answer": "1000 command completed", "frames": impound.HashBytes([]byte("f"))})
		log(impound.EntryDecision, 13, "system", "case.state", n, map[string]string{"from": "ordered", "to": "sinkholed", "why": "plan P-1"})
	}
	log(impound.EntryResult, 13, "system", "seize.verify", impound.Name{}, map[string]string{"result": "11 of 12 looks as ordered"})
	log(impound.EntrySystem, 13, "system", "some.new-verb", impound.Name{}, map[string]string{"note": hostile})
	for i := range f.entries {
		if f.entries[i].At.After(opened.Add(6 * time.Minute)) {
			f.entries[i].Order = o.ID
		}
	}

	kinds := []struct {
		class impound.Class
		proto impound.Proto
		src   string
		net   int
		ua    string
		code  string
	}{
		{impound.ClassVictim, impound.ProtoHTTP, "192.0.2.%d", 0, "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36", "browser loaded the page with its parts"},
		{impound.ClassVictim, impound.ProtoTLS, "198.51.100.%d", 1, "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X)", "phone on a home network"},
		{impound.ClassMailGate, impound.ProtoHTTP, "203.0.113.%d", 2, "Mozilla/5.0 BarracudaCentral", "known link scanner of a mail system"},
		{impound.ClassScanner, impound.ProtoHTTP, "2001:db8:9::%d", 3, "zgrab/0.x", "asks for /.env on every name"},
		{impound.ClassResolver, impound.ProtoDNS, "203.0.113.%d", 2, "", "a recursive name server asks for NS"},
		{impound.ClassResearcher, impound.ProtoHTTP, "2001:db8:7::%d", 3, hostile, "names its team in the user agent"},
		{impound.ClassVictim, impound.ProtoHTTP, "192.0.2.%d", 0, "Mozilla/5.0 (X11; Linux x86_64)", "browser loaded the page with its parts"},
		{impound.ClassUnclear, impound.ProtoDNS, "198.51.100.%d", 1, "", "one query over UDP: the source can be forged"},
	}
	for i := range 180 {
		k := kinds[(i*i+i/7)%len(kinds)]
		f.add(k.class, k.proto, fmt.Sprintf(k.src, 10+i%23), k.net, k.ua, k.code, now.Add(-28*time.Minute+time.Duration(i)*9*time.Second))
	}
	return f
}

func (f *fixture) add(class impound.Class, proto impound.Proto, src string, net int, ua, why string, at time.Time) {
	i := len(f.contacts)
	n := names[i%4]
	e := impound.Event{Sensor: "demo", Seq: uint64(i + 1), At: at, Proto: proto, Src: netip.AddrPortFrom(netip.MustParseAddr(src), uint16(40000+i)), Name: "www." + n.String(), Zone: n.String(), Order: "PHOS-WDC-1", Capture: impound.CaptureContact, Outcome: "answered", UserAgent: ua, LureHash: "SECRETLUREHASH", Lure: "SECRETLURE"}
	switch proto {
	case impound.ProtoDNS:
		e.QType = []uint16{1, 28, 2, 15}[i%4]
	default:
		e.Method, e.Path, e.Status = "GET", "/signin/v2/victim.person@institute.example/"+fmt.Sprint(i), 200
	}
	f.contacts = append(f.contacts, impound.Contact{Event: e, Case: "PHOS-2019", Class: class, Confidence: 0.6 + float64(i%4)/10, Reasons: []impound.Reason{{Code: "x", Text: why, Weight: 0.6}}, Network: networks[net]})
}

func (f *fixture) Cases(context.Context) ([]CaseHead, error) {
	var out []CaseHead
	for _, c := range f.cases {
		out = append(out, HeadOf(c))
	}
	return out, nil
}

func (f *fixture) Case(_ context.Context, id string) (impound.Case, error) {
	for _, c := range f.cases {
		if c.ID == id {
			return c, nil
		}
	}
	return impound.Case{}, impound.Errorf(impound.KindNotFound, "there is no case %q", id).WithCure("impound case list")
}

func (f *fixture) Actor(_ context.Context, id string) (impound.Actor, error) {
	return impound.Actor{ID: id, Names: []string{"Magic Hound", "APT35", "Phosphorus", "Mint Sandstorm"}}, nil
}

func (f *fixture) Candidates(_ context.Context, status string) ([]impound.Candidate, error) {
	var out []impound.Candidate
	for _, c := range f.cands {
		if status == "" || c.Status == status {
			out = append(out, c)
		}
	}
	return out, nil
}

func (f *fixture) Orders(_ context.Context, caseID string) ([]OrderView, error) {
	var out []OrderView
	for _, o := range f.orders {
		if caseID == "" || o.Case == caseID {
			out = append(out, o)
		}
	}
	return out, nil
}

func (f *fixture) Order(_ context.Context, id string) (OrderView, error) {
	for _, o := range f.orders {
		if o.ID == id {
			return o, nil
		}
	}
	return OrderView{}, impound.Errorf(impound.KindNotFound, "there is no order %q", id)
}

func (f *fixture) Plans(_ context.Context, caseID, orderID string) ([]PlanView, error) {
	var out []PlanView
	for _, p := range f.plans {
		if (caseID == "" || p.Case == caseID) && (orderID == "" || p.Order == orderID) {
			out = append(out, p)
		}
	}
	return out, nil
}

func (f *fixture) Plan(_ context.Context, id string) (PlanView, error) {
	for _, p := range f.plans {
		if p.ID == id {
			return p, nil
		}
	}
	return PlanView{}, impound.Errorf(impound.KindNotFound, "there is no plan %q", id)
}

func (f *fixture) Contacts(_ context.Context, q ContactQuery) ([]impound.Contact, int, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []impound.Contact
	for _, c := range slices.Backward(f.contacts) {
		if (q.Case == "" || c.Case == q.Case) && (q.Class == "" || c.Class == q.Class) && (q.Zone.IsZero() || c.Zone == q.Zone.String()) && (q.Proto == "" || c.Proto == q.Proto) {
			out = append(out, c)
		}
	}
	n := len(out)
	return out[min(q.Offset, n):min(q.Offset+q.Limit, n)], n, nil
}

func (f *fixture) Totals(_ context.Context, caseID string) (Totals, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t := Totals{ByClass: map[impound.Class]int{}}
	seen := map[netip.Addr]bool{}
	for _, c := range f.contacts {
		if caseID != "" && c.Case != caseID {
			continue
		}
		t.ByClass[c.Class]++
		if t.First.IsZero() {
			t.First = c.At
		}
		t.Last = c.At
		if c.Class == impound.ClassVictim && !seen[c.Src.Addr()] {
			seen[c.Src.Addr()] = true
			t.Victims++
		}
	}
	return t, nil
}

func (f *fixture) Series(_ context.Context, q SeriesQuery) ([]SeriesPoint, error) {
	f.mu.Lock()
	f.series++
	n := f.series
	hook := f.onSeries
	f.mu.Unlock()
	if hook != nil {
		hook(n)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if q.Step < time.Minute || q.Step%time.Minute != 0 { // as telemetry, which keeps sums per minute
		return nil, impound.Errorf(impound.KindInvalid, "%s is no whole number of minutes", q.Step)
	}
	by := map[time.Time]map[impound.Class]int{}
	for _, c := range f.contacts {
		w := int64(q.Step / time.Second)
		at := time.Unix(c.At.Unix()/w*w, 0).UTC()
		if (q.Case != "" && c.Case != q.Case) || (!q.Zone.IsZero() && c.Zone != q.Zone.String()) || at.Before(q.From) || !at.Before(q.Until) {
			continue
		}
		if by[at] == nil {
			by[at] = map[impound.Class]int{}
		}
		by[at][c.Class]++
	}
	var out []SeriesPoint
	for at, m := range by {
		out = append(out, SeriesPoint{at, m})
	}
	slices.SortFunc(out, func(a, b SeriesPoint) int { return a.At.Compare(b.At) })
	return out, nil
}

func (f *fixture) Victims(_ context.Context, caseID string) ([]NetworkCount, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	by := map[uint32]*NetworkCount{}
	seen := map[netip.Addr]bool{}
	for _, c := range f.contacts {
		if c.Class != impound.ClassVictim || caseID != "" && c.Case != caseID {
			continue
		}
		n := by[c.Network.ASN]
		if n == nil {
			n = &NetworkCount{Network: c.Network, First: c.At}
			by[c.Network.ASN] = n
		}
		n.Contacts++
		n.Last = c.At
		if !seen[c.Src.Addr()] {
			seen[c.Src.Addr()] = true
			n.Victims++
		}
	}
	var out []NetworkCount
	for _, n := range by {
		out = append(out, *n)
	}
	slices.SortFunc(out, func(a, b NetworkCount) int { return b.Victims - a.Victims })
	return out, nil
}

func (f *fixture) Reports(_ context.Context, caseID string) ([]ReportView, error) {
	if caseID == "QUIET-1" {
		return nil, nil
	}
	return []ReportView{
		{ID: "R1", Case: "PHOS-2019", Recipient: "AS64496 Example Institute of Technology <abuse@institute.example>", Format: "event4_sinkhole_http", Rows: 31, Hash: impound.HashBytes([]byte("r1")), File: "2026-11-21-event4_sinkhole_http-AS64496.csv", State: "prepared", At: now.Add(-time.Minute)},
		{ID: "R2", Case: "PHOS-2019", Recipient: "AS64497 Northern Press Cooperative <noc@press.example>", Format: "message", Rows: 22, Hash: impound.HashBytes([]byte("r2")), File: "AS64497.eml", State: "prepared", At: now.Add(-time.Minute)},
	}, nil
}

func (f *fixture) Log(_ context.Context, q LogQuery) ([]LogEntry, int, error) {
	var out []LogEntry
	for i, e := range slices.Backward(f.entries) {
		if (q.Case == "" || e.Case == q.Case) && (q.Order == "" || e.Order == q.Order) && (q.Name.IsZero() || e.Name == q.Name) && (q.Type == "" || e.Type == q.Type) {
			out = append(out, LogEntry{int64(i), e})
		}
	}
	n := len(out)
	return out[min(q.Offset, n):min(q.Offset+q.Limit, n)], n, nil
}

func (f *fixture) Checkpoint(context.Context) (string, error) {
	return "impound.example/evidence\n42\nQ2hlY2twb2ludCBvZiB0aGUgZml4dHVyZSwgbm90IHJlYWw=\n\n— impound.example/evidence c2lnbmF0dXJl\n", nil
}

func (f *fixture) Gaps(context.Context) ([]impound.Gap, error) { return f.gaps, nil }

func (f *fixture) Sources(context.Context) ([]SourceView, error) {
	return []SourceView{
		{ID: "log.example/2026h1", Kind: "ct", Where: "https://mon.log.example/2026h1/", Position: 84213377, Verified: 84213377, Lag: 0, Rate: 43.2, Names: 171000000, Hits: 812, Unreadable: 3, Read: now.Add(-time.Second)},
		{ID: "czds", Kind: "zone", Where: "/var/lib/czds", Position: 120433, Verified: 120433, Lag: -1, Names: 120433, Hits: 9, Errors: 1, Read: now.Add(-time.Hour), Held: "zone example has 12 names where it had 4000: held, not taken as deletions"},
	}, nil
}

func (f *fixture) Sensors(context.Context) ([]SensorView, error) {
	return []SensorView{{ID: "demo", Listeners: []string{"dns 127.0.0.1:5353", "http 127.0.0.1:8081"}, Serial: 3, Orders: []string{"PHOS-WDC-1"}, SpoolSeq: 180, Read: 180, Seen: now.Add(-2 * time.Second)}}, nil
}

func (f *fixture) Alarms(context.Context) ([]AlarmView, error) { return f.alarms, nil }

func (f *fixture) Ready(context.Context) error { return f.notReady }
