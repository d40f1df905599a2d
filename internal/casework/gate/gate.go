// Package gate asks, for one name, whether acting on it would harm somebody
// else: each gate stands for a takedown that went wrong (FIELD B: mooo.com,
// No-IP, Citadel, a registrant of twelve years).
//
// What lives here: the gates, the lists that they read, and the rule that says
// which verdicts keep a name out. What must not: any I/O but reading list files,
// the store, a clock (time is part of the input), or a decision to let a blocked
// name through: that takes an override by two approvers, which casework proves.
package gate

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
)

// The gates. The numbers are those of the table of past failures.
const (
	G1  = "G1-shared-suffix"
	G2  = "G2-provider-first"
	G3  = "G3-capacity"
	G4  = "G4-co-tenancy"
	G5  = "G5-already-sinkholed"
	G6  = "G6-completeness"
	G7  = "G7-disclosure"
	G8  = "G8-capture-level"
	G9  = "G9-age"
	G10 = "G10-owner-notice"
	G11 = "G11-custody"
	G12 = "G12-authority"
	G13 = "G13-contest"
	G14 = "G14-three-views"
	G15 = "G15-attribution"
)

// Gates lists every gate of this version, in the order in which Run answers.
var Gates = []string{G1, G2, G3, G4, G5, G6, G7, G8, G9, G10, G11, G12, G13, G14, G15}

// mustKnow are the gates whose "unknown" keeps a name out, as a block does. On
// the others an unknown is shown as an open question and keeps nothing out.
var mustKnow = []string{G1, G12}

// noOverride are the gates that nobody can override: without an order in force
// there is nothing to act on (law 1).
var noOverride = []string{G12}

// Overridable says whether two approvers can let a name through gate.
func Overridable(gate string) bool {
	return slices.Contains(Gates, gate) && !slices.Contains(noOverride, gate)
}

// MaxAgeBeforeSighting is how long before its first malicious sighting a name
// may have been registered. Actors register shortly before use, rarely more than
// a year; a name older than this was more likely somebody's, and was broken into.
const MaxAgeBeforeSighting = 2 * 365 * 24 * time.Hour

// Input is what is known of one name. A zero field means unknown, never "no".
type Input struct {
	Name  impound.Name
	Now   time.Time      // required
	Order *impound.Order // nil when no order names it yet

	// From and Until are the mandate's dates, cut to its parents'. Zero: the
	// order's own are taken.
	From, Until time.Time

	FirstSeen         time.Time       // first malicious sighting (UTC), from the case
	InCase            bool            // the case that the order belongs to holds the name
	Evidence          int             // artefacts that the case holds on it
	Conflicts         []string        // ids of other actors of ours that claim it
	Decided           string          // whose it is, by whom that was decided; "": by nobody
	Contest           string          // who contests it since when, in words; "": nobody
	OwnerTold         time.Time       // when its owner was told, and how to get it back
	ProviderContacted time.Time       // when its registrar or hoster was asked first
	Capacity          *Capacity       // nil: not measured
	Tenants           *Tenants        // nil: not counted
	Created           time.Time       // registration, from RDAP
	CreatedAsOf       time.Time       // when RDAP was asked
	CreatedWhy        string          // why the registration is not known; "": nobody asked
	NS                []impound.Name  // name servers seen at the parent
	NSAsOf            time.Time       // when they were asked for
	NSWhy             string          // why they are not known; "": nobody asked
	Addrs             []netip.Addr    // addresses that it had, from resolvers
	AddrsAsOf         time.Time       // when they were asked for
	Exhibits          []Exhibit       // the evidence that the case holds on it, for G7
	CaseTLP           impound.TLP     // what an exhibit without a level of its own has
	Own               impound.Marking // the name's own, where it has one
	Marking           impound.Marking // the name's, with what it leaves open taken from its case
	Consent           string          // who allowed that the name goes further, and when; "": nobody
	Taken             time.Time       // when it was taken by this order; zero: not yet
	Views             []View          // what the three views showed last, for G14
	HTTP              *HTTPSummary    // nil: not looked at
}

// Capacity is what the sinkhole fleet bears, and what it is asked to bear, in
// queries a second.
type Capacity struct {
	Measured float64   // what the fleet answers without loss, as configured
	Expected float64   // what all names of the order, and those served already, draw together
	Unknown  int       // names among them of which nobody knows what they draw
	Servers  int       // machines that answer
	At       time.Time // of the measurement
	// Own is what this name is part of it with, in words; "" is unknown.
	Own string
}

// Tenants is who else would lose something: hosts below a name, and other
// registrable domains that hang on it or stand beside it.
type Tenants struct {
	Hosts  int       // host names below it
	Served int       // other registrable domains whose name servers, mail servers or aliases lie below it
	Beside int       // other registrable domains at its address, or in its certificate
	ByNS   int       // other registrable domains at its name servers
	Source string    // "passive DNS", a file; "": nobody counted these, and Cert alone is known
	At     time.Time // of the newest of that data
	Cert   *CertTenants
}

// CertTenants is who else the certificates name that its server showed. They tell
// of strangers, never that there are none.
type CertTenants struct {
	Hosts  int       // host names below it
	Others int       // other registrable domains
	Shown  []string  // some of these, defanged
	At     time.Time // when they were captured
}

// Exhibit is a piece of evidence as G7 sees it.
type Exhibit struct {
	Hash       string
	TLP        impound.TLP // "": the case's
	PAP        impound.PAP
	Originator string    // who gave it to us; "": we made it
	Consent    string    // who allowed that it is disclosed, and when; "": nobody
	At         time.Time // when it was captured
}

// View is what one of the three views showed of a name after it was taken.
type View struct {
	View  string // "parent", "rdap", "resolver"
	State string // "as ordered", or what it is instead
	Why   string
	Good  bool // it shows the order
	Blind bool // it could not be had
	At    time.Time
}

// HTTPSummary is what an HTTP observation showed, header names in lower case.
// It holds no body.
type HTTPSummary struct {
	Status  int
	Server  string            // the Server header
	Headers map[string]string // other response headers worth a look
	Title   string
	At      time.Time
}

// Run gives the verdict of every gate on in.Name, in the order of Gates. It does
// no I/O and is safe for concurrent use; l nil means the built-in lists. ctx is
// here for gates that will take long; today none does.
func Run(_ context.Context, in Input, l *Lists) []impound.GateVerdict {
	if l == nil {
		l = BuiltIn()
	}
	return []impound.GateVerdict{
		sharedSuffix(in, l), providerFirst(in), capacity(in), tenancy(in), alreadySinkholed(in, l), completeness(in), disclosure(in), captureLevel(in),
		age(in), ownerNotice(in), custody(in), authority(in), Contested(in), threeViews(in), Attribution(in),
	}
}

// Offline gives the verdicts of the gates that need the name alone: G1, and G5
// by name. They can be asked again at any moment, at the cost of a microsecond.
func Offline(n impound.Name, l *Lists) []impound.GateVerdict {
	if l == nil {
		l = BuiltIn()
	}
	in := Input{Name: n}
	out := []impound.GateVerdict{sharedSuffix(in, l)}
	if v := alreadySinkholed(in, l); v.Outcome == impound.GateBlock {
		out = append(out, v)
	}
	return out
}

// Blocking gives those verdicts that keep the name out: every block, and unknown
// where unknown is as bad (G1, G12). overridden are the gates that two approvers
// have let this name through.
func Blocking(vs []impound.GateVerdict, overridden ...string) []impound.GateVerdict {
	var out []impound.GateVerdict
	for _, v := range vs {
		stops := v.Outcome == impound.GateBlock || v.Outcome != impound.GatePass && v.Outcome != impound.GateWarn && slices.Contains(mustKnow, v.Gate)
		if stops && !(Overridable(v.Gate) && slices.Contains(overridden, v.Gate)) {
			out = append(out, v)
		}
	}
	return out
}

func verdict(gate string, o impound.Outcome, asOf time.Time, data, format string, args ...any) impound.GateVerdict {
	return impound.GateVerdict{Gate: gate, Outcome: o, Reason: fmt.Sprintf(format, args...), Data: data, AsOf: asOf.UTC()}
}

// sharedSuffix is G1 (mooo.com 2011: 84,000 names below one of ten intended;
// No-IP 2014: five million host names below 23).
func sharedSuffix(in Input, l *Lists) impound.GateVerdict {
	n := in.Name
	if n.IsZero() {
		return verdict(G1, impound.GateUnknown, l.asOf, "", "no name was given")
	}
	suffix, private := n.PublicSuffix()
	if suffix == n {
		return verdict(G1, impound.GateBlock, l.asOf, "public suffix list", "strangers register names directly below it: acting on it would hit all of them")
	}
	if private && slices.Contains(sellerZones(), suffix.String()) {
		return verdict(G1, impound.GateBlock, l.asOf, "public suffix list, private section", "it lies below %s, where a company sells names as a registry does: serve the order on that company, and have two approvers let the name through", suffix.Defanged())
	}
	if private {
		return verdict(G1, impound.GateBlock, l.asOf, "public suffix list, private section", "it lies below %s, which a company lets to strangers: ask that company to remove the host", suffix.Defanged())
	}
	for z := n; z.Labels() > 1; z = z.Parent() {
		if f, ok := l.shared[z.String()]; ok {
			if z == n {
				return verdict(G1, impound.GateBlock, f.asOf, f.source, "it is %s: strangers depend on it", f.kind)
			}
			return verdict(G1, impound.GateBlock, f.asOf, f.source, "it lies below %s, which is %s: only the host can be acted on, by its provider", z.Defanged(), f.kind)
		}
	}
	if s := l.suffixBelow[n.String()]; s != "" {
		return verdict(G1, impound.GateBlock, l.asOf, "public suffix list, private section: "+s, "strangers hold names below it, such as below %s", strings.ReplaceAll(s, ".", "[.]"))
	}
	if r, ok := l.Rank(n); ok && r.Place > 0 {
		return verdict(G1, impound.GateWarn, r.AsOf, fmt.Sprintf("%s, number %d of %d", r.Source, r.Place, r.Of), "it is number %d among the most used names: few actors' names are; look whether it was broken into", r.Place)
	}
	return verdict(G1, impound.GatePass, l.asOf, l.describe(), "no shared suffix, no service that strangers depend on")
}

var sellerZones = sync.OnceValue(func() []string { return strings.Fields(sellers) })

// providerFirst is G2 (No-IP 2014: the provider was never asked).
func providerFirst(in Input) impound.GateVerdict {
	if in.ProviderContacted.IsZero() {
		return verdict(G2, impound.GateUnknown, in.Now, "", "no record that its registrar or provider was asked first")
	}
	return verdict(G2, impound.GatePass, in.ProviderContacted, "", "its provider was asked on %s", in.ProviderContacted.UTC().Format(time.DateOnly))
}

// alreadySinkholed is G5 (Citadel 2013: about a quarter of 4,000 names were other
// people's sinkholes).
func alreadySinkholed(in Input, l *Lists) impound.GateVerdict {
	if z, f, ok := l.sinkhole(in.Name); ok {
		return verdict(G5, impound.GateBlock, f.asOf, f.source, "%s belongs to a sinkhole: its owner is at work there", z)
	}
	for _, ns := range in.NS {
		if z, f, ok := l.sinkhole(ns); ok {
			return verdict(G5, impound.GateBlock, in.NSAsOf, f.source, "its name server %s is a known sinkhole's (%s): somebody has it already; agree with them first", ns.Defanged(), z)
		}
	}
	for _, a := range in.Addrs {
		if f, ok := lookUpAddr(l.sinkholeNets, a); ok {
			if slices.ContainsFunc(sharedNets, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) }) {
				return verdict(G5, impound.GateWarn, in.AddrsAsOf, f.source, "its address %s was a sinkhole's, but strangers share it: look whether this name is sinkholed", a)
			}
			return verdict(G5, impound.GateBlock, in.AddrsAsOf, f.source, "its address %s is a known sinkhole's: somebody has it already; agree with them first", a)
		}
	}
	if h := in.HTTP; h != nil {
		if why := sinkholeHeader(h); why != "" {
			return verdict(G5, impound.GateBlock, h.At, "http", "its web server says that it is a sinkhole (%s): agree with its owner first", why)
		}
	}
	if len(in.NS) == 0 && in.NSWhy != "" {
		return verdict(G5, impound.GateUnknown, in.Now, "", "its name servers could not be seen, so nobody knows whether it is sinkholed already: %s", in.NSWhy)
	}
	if len(in.NS) == 0 && !in.NSAsOf.IsZero() {
		return verdict(G5, impound.GateUnknown, in.NSAsOf, "", "its parent zone has no name servers for it: it is on hold, expired or not registered, and perhaps somebody has it already")
	}
	if len(in.NS) == 0 {
		return verdict(G5, impound.GateUnknown, in.Now, "", "its name servers were not looked up, so nobody knows whether it is sinkholed already")
	}
	for _, ns := range in.NS {
		if z, ok := l.parkedAt(ns); ok {
			return verdict(G5, impound.GateWarn, in.NSAsOf, "", "its name server %s belongs to the parking service %s: look whether the actor still holds it", ns.Defanged(), z)
		}
	}
	for _, a := range in.Addrs {
		if _, ok := lookUpAddr(l.parkingNets, a); ok {
			return verdict(G5, impound.GateWarn, in.AddrsAsOf, "", "its address %s belongs to a parking service: look whether the actor still holds it", a)
		}
	}
	return verdict(G5, impound.GatePass, in.NSAsOf, "", "no sign of another's sinkhole")
}

func sinkholeHeader(h *HTTPSummary) string {
	if s := strings.ToLower(h.Server); strings.Contains(s, "sinkhole") {
		return "Server header"
	}
	for k := range h.Headers {
		if strings.HasPrefix(strings.ToLower(k), "x-sinkhole") {
			return k + " header"
		}
	}
	if t := strings.ToLower(h.Title); strings.Contains(t, "sinkhole") || strings.Contains(t, "this domain has been seized") {
		return "title of its page"
	}
	return ""
}

// completeness is G6, the half of it that speaks of one name: does the case hold
// evidence on it?
func completeness(in Input) impound.GateVerdict {
	switch {
	case !in.InCase:
		return verdict(G6, impound.GateWarn, in.Now, "", "the case doesn't hold this name: nothing says why it is in the order")
	case in.Evidence == 0:
		return verdict(G6, impound.GateWarn, in.Now, "", "the case holds no evidence on it yet: impound evidence capture %s", in.Name.Defanged())
	}
	return verdict(G6, impound.GatePass, in.Now, "", "%d artefacts of evidence", in.Evidence)
}

// captureLevel is G8 (ZeuS 2012: a sinkhole kept what victims typed).
func captureLevel(in Input) impound.GateVerdict {
	if in.Order == nil {
		return verdict(G8, impound.GateUnknown, in.Now, "", "no order yet")
	}
	a, _ := in.Order.ActsFor(in.Name)
	if !a.Sinkhole {
		return verdict(G8, impound.GatePass, in.Now, "", "not sinkholed by this order")
	}
	switch in.Order.Sinkhole.Capture {
	case impound.CaptureCount, impound.CaptureContact, impound.CaptureLure:
		return verdict(G8, impound.GatePass, in.Now, "", "the order allows level %s; bodies are never read", in.Order.Sinkhole.Capture)
	}
	return verdict(G8, impound.GateBlock, in.Now, "", "the order has it sinkholed without saying what may be recorded")
}

// age is G9 (Avalanche 2019: a personal site of twelve years was sinkholed).
func age(in Input) impound.GateVerdict {
	switch {
	case in.Created.IsZero() && in.CreatedWhy != "":
		return verdict(G9, impound.GateUnknown, in.Now, "", "its registration could not be seen: %s", in.CreatedWhy)
	case in.Created.IsZero():
		return verdict(G9, impound.GateUnknown, in.Now, "", "its registration date is not known")
	case in.FirstSeen.IsZero():
		return verdict(G9, impound.GateUnknown, in.CreatedAsOf, in.Created.UTC().Format(time.DateOnly), "registered %s, but the case has no first malicious sighting to compare with: give it with impound case seen", in.Created.UTC().Format(time.DateOnly))
	}
	data := fmt.Sprintf("registered %s, first seen %s", in.Created.UTC().Format(time.DateOnly), in.FirstSeen.UTC().Format(time.DateOnly))
	before := in.FirstSeen.Sub(in.Created)
	switch {
	case before > MaxAgeBeforeSighting:
		return verdict(G9, impound.GateBlock, in.CreatedAsOf, data, "registered %d days before its first malicious sighting: more likely broken into than the actor's own", int(before/(24*time.Hour)))
	case before < -24*time.Hour:
		return verdict(G9, impound.GateWarn, in.CreatedAsOf, data, "registered after its first malicious sighting: somebody may have registered it anew, perhaps a researcher")
	}
	return verdict(G9, impound.GatePass, in.CreatedAsOf, data, "registered %d days before its first malicious sighting", max(0, int(before/(24*time.Hour))))
}

// custody is G11 (CIRFU.NET 2015: the name servers' own domain lapsed), the half
// of it that can be told from the order.
func custody(in Input) impound.GateVerdict {
	if in.Order == nil {
		return verdict(G11, impound.GateUnknown, in.Now, "", "no order yet")
	}
	a, _ := in.Order.ActsFor(in.Name)
	if len(a.Nameservers) == 0 {
		return verdict(G11, impound.GatePass, in.Now, "", "no name servers are set")
	}
	domains := map[impound.Name]bool{}
	for _, ns := range a.Nameservers {
		if r, err := ns.RegistryDomain(); err == nil {
			domains[r] = true
		}
	}
	if len(domains) < 2 {
		return verdict(G11, impound.GateWarn, in.Now, "", "all its new name servers hang on one domain: if that lapses, whoever buys it owns every seized name")
	}
	return verdict(G11, impound.GatePass, in.Now, "", "its new name servers hang on %d domains", len(domains))
}

// authority is G12 (Dajaz1: held thirteen months without a case).
func authority(in Input) impound.GateVerdict {
	if in.Order == nil {
		return verdict(G12, impound.GateUnknown, in.Now, "", "no order covers it")
	}
	if _, ok := in.Order.ActsFor(in.Name); !ok {
		return verdict(G12, impound.GateBlock, in.Now, in.Order.ID, "it is in no appendix of order %s", in.Order.ID)
	}
	from, until := in.From, in.Until
	if from.IsZero() && until.IsZero() {
		from, until = in.Order.From, in.Order.Until
	}
	switch {
	case from.IsZero() || until.IsZero() || in.Now.IsZero():
		return verdict(G12, impound.GateUnknown, in.Now, in.Order.ID, "the order has no dates")
	case !in.Now.Before(until):
		return verdict(G12, impound.GateBlock, in.Now, in.Order.ID, "order %s lapsed %s", in.Order.ID, until.UTC().Format(time.RFC3339))
	case in.Now.Before(from):
		return verdict(G12, impound.GateWarn, in.Now, in.Order.ID, "order %s begins only %s", in.Order.ID, from.UTC().Format(time.RFC3339))
	}
	return verdict(G12, impound.GatePass, in.Now, in.Order.ID, "in force until %s", until.UTC().Format(time.RFC3339))
}

// Limits of G3 and G4.
const (
	headroom    = 2   // a sinkhole must bear twice what is expected
	fewTenants  = 10  // more hosts than an actor sets up himself
	manyTenants = 100 // a business
)

// capacity is G3 (No-IP 2014: the servers fell under the queries of five million
// hosts; seizedservers.com 2012: one server under 307 names).
func capacity(in Input) impound.GateVerdict {
	if in.Order == nil {
		return verdict(G3, impound.GateUnknown, in.Now, "", "no order yet")
	}
	if a, _ := in.Order.ActsFor(in.Name); !a.Sinkhole {
		return verdict(G3, impound.GatePass, in.Now, "", "its visitors are not sent to us")
	}
	c := in.Capacity
	if c == nil || c.Measured <= 0 {
		return verdict(G3, impound.GateUnknown, in.Now, "", "nobody says what the sinkhole bears: give sinkhole: capacity: in the configuration")
	}
	data := fmt.Sprintf("%.0f queries a second borne by %d servers, %.0f expected", c.Measured, c.Servers, c.Expected)
	if c.Unknown > 0 {
		data += fmt.Sprintf(" of those names that are known (%d are not)", c.Unknown)
	}
	if c.Own != "" {
		data += "; " + c.Own
	}
	switch {
	case c.Measured < headroom*c.Expected:
		return verdict(G3, impound.GateBlock, c.At, data, "the sinkhole bears less than twice what is expected: real users would lose their service")
	case c.Expected <= 0 || c.Unknown > 0 && c.Own == "":
		return verdict(G3, impound.GateUnknown, c.At, data, "nobody knows what the names draw: no popularity list, no passive DNS")
	case c.Servers < 2:
		return verdict(G3, impound.GateWarn, c.At, data, "one server answers for all names: it is a single point of failure")
	case c.Unknown > 0:
		return verdict(G3, impound.GateWarn, c.At, data, "the sinkhole bears more than twice what is known, and of %d names nobody knows what they draw", c.Unknown)
	}
	return verdict(G3, impound.GatePass, c.At, data, "the sinkhole bears more than twice what is expected")
}

// tenancy is G4 (3FN 2009: more than 15,000 sites went dark with one provider).
// What stands beside a name at its address keeps its own name, so it warns:
// whoever acts on the host, or writes to its provider, must know. What hangs on
// the name goes down with it, and blocks.
func tenancy(in Input) impound.GateVerdict {
	if in.Tenants == nil || in.Tenants.Source == "" && in.Tenants.Cert == nil {
		return verdict(G4, impound.GateUnknown, in.Now, "", "nobody counted who else uses it: no passive DNS, no captured certificate")
	}
	t, data := *in.Tenants, ""
	if t.Source != "" {
		data = fmt.Sprintf("%d hosts below it, %d domains served by it, %d beside it, %d at its name servers, by %s", t.Hosts, t.Served, t.Beside, t.ByNS, t.Source)
	}
	if c := t.Cert; c != nil {
		if data != "" {
			data += "; "
		}
		data += fmt.Sprintf("its server's certificates of %s name %d hosts below it and %d other domains", c.At.UTC().Format(time.DateOnly), c.Hosts, c.Others)
		if len(c.Shown) > 0 {
			data += ", such as " + strings.Join(c.Shown, ", ")
		}
		if t.Hosts = max(t.Hosts, c.Hosts); t.Source == "" || t.At.After(c.At) {
			t.At = c.At // the older of the two
		}
	}
	switch {
	case t.Hosts > manyTenants:
		return verdict(G4, impound.GateBlock, t.At, data, "%d hosts live below it: more likely strangers' than the actor's", t.Hosts)
	case t.Served > fewTenants:
		return verdict(G4, impound.GateBlock, t.At, data, "%d other domains have their name servers, mail or aliases below it: they would go down with it", t.Served)
	case t.Served > 0:
		return verdict(G4, impound.GateWarn, t.At, data, "%d other domains have their name servers, mail or aliases below it: look whose they are", t.Served)
	case t.Hosts > fewTenants:
		return verdict(G4, impound.GateWarn, t.At, data, "%d hosts live below it: look whose they are", t.Hosts)
	case t.Cert != nil && t.Cert.Others > fewTenants:
		return verdict(G4, impound.GateWarn, t.At, data, "its server's certificates name %d other domains: strangers may share it, so act on the name alone, never on the host", t.Cert.Others)
	case t.Beside > manyTenants:
		return verdict(G4, impound.GateWarn, t.At, data, "%d other domains share its address or certificate: it lies on shared hosting, so act on the name alone, never on the host", t.Beside)
	}
	if t.Source == "" {
		return verdict(G4, impound.GateUnknown, t.At, data, "its server's certificates name few others, but nobody counted who hangs on it: no passive DNS")
	}
	return verdict(G4, impound.GatePass, t.At, data, "%d hosts live below it, no other domain hangs on it", t.Hosts)
}

// disclosure is G7 (ZeuS 2012: data that others had given in confidence was
// published, and their investigations burned). An order's appendix and exhibits
// reach the recipient, the court and the defendants.
func disclosure(in Input) impound.GateVerdict {
	n := in.Name.Defanged()
	m := in.Marking
	switch {
	case in.Order == nil:
		return verdict(G7, impound.GateUnknown, in.Now, "", "no order yet")
	case m.Originator != "" && in.Consent == "":
		return verdict(G7, impound.GateBlock, in.Now, m.Originator, "it came from %s, and nobody recorded that they allow an order over it: impound case consent %s", m.Originator, n)
	case !m.PAP.Within(impound.PAPGreen) && in.Consent == "":
		return verdict(G7, impound.GateBlock, in.Now, "PAP:"+strings.ToUpper(string(m.PAP)), "it is PAP:%s, and whoever holds it would notice an order: record its originator's consent (impound case consent %s), or mark it otherwise", strings.ToUpper(string(m.PAP)), n)
	case in.Own.TLP != "" && in.Consent == "" && in.Order.TLP.Valid() && !in.Own.TLP.Within(in.Order.TLP):
		return verdict(G7, impound.GateBlock, in.Now, "TLP:"+strings.ToUpper(string(in.Own.TLP)), "it is TLP:%s itself, and the order goes to people cleared for TLP:%s: record its originator's consent (impound case consent %s), or mark it otherwise", strings.ToUpper(string(in.Own.TLP)), strings.ToUpper(string(in.Order.TLP)), n)
	case len(in.Exhibits) == 0 && in.Evidence == 0:
		return verdict(G7, impound.GatePass, in.Now, "", "the case holds no evidence on it that could be disclosed")
	case len(in.Exhibits) < in.Evidence:
		return verdict(G7, impound.GateUnknown, in.Now, "", "the log says nothing of the level of %d of its %d artefacts", in.Evidence-len(in.Exhibits), in.Evidence)
	case !in.Order.TLP.Valid():
		return verdict(G7, impound.GateUnknown, in.Now, in.Order.ID, "the order doesn't say up to which TLP its recipients may see evidence: write tlp: in it")
	}
	open, consents := 0, 0
	for _, x := range in.Exhibits {
		level := x.TLP
		if level == "" {
			level = in.CaseTLP
		}
		short := x.Hash[:min(len(x.Hash), 19)]
		switch {
		case x.Consent != "":
			consents++
		case x.Originator != "":
			return verdict(G7, impound.GateBlock, in.Now, x.Hash, "its evidence %s came from %s, and nobody recorded that they allow its disclosure: impound case consent %s", short, x.Originator, in.Name.Defanged())
		case !x.PAP.Within(impound.PAPGreen):
			return verdict(G7, impound.GateBlock, in.Now, x.Hash, "its evidence %s is PAP:%s, and an order that rests on it is noticed: leave it out, or record its originator's consent: impound case consent %s", short, strings.ToUpper(string(x.PAP)), n)
		case level == "":
			open++
		case !level.Within(in.Order.TLP):
			return verdict(G7, impound.GateBlock, in.Now, x.Hash, "its evidence %s is TLP:%s, and the order goes to people cleared for TLP:%s: leave it out, or record its originator's consent: impound case consent %s", short, strings.ToUpper(string(level)), strings.ToUpper(string(in.Order.TLP)), in.Name.Defanged())
		}
	}
	if open > 0 {
		return verdict(G7, impound.GateUnknown, in.Now, "", "%d of its %d artefacts have no TLP level, and the case has none", open, len(in.Exhibits))
	}
	return verdict(G7, impound.GatePass, in.Now, "", "%d artefacts within TLP:%s, %d by consent", len(in.Exhibits)-consents, strings.ToUpper(string(in.Order.TLP)), consents)
}

// threeViews is G14 (easyDNS 2013: the zone had changed while WHOIS showed the
// old owner): nothing is done before parent zone, RDAP and resolvers all show
// the order. It never keeps a name out of effect: a name that has drifted must be
// mended.
func threeViews(in Input) impound.GateVerdict {
	if in.Taken.IsZero() {
		return verdict(G14, impound.GatePass, in.Now, "", "nothing was done to it yet; it counts as done when parent zone, RDAP and resolvers show the order")
	}
	good, at := 0, time.Time{}
	var off, blind []string
	for _, v := range in.Views {
		if at.IsZero() || v.At.Before(at) {
			at = v.At
		}
		switch {
		case v.Good:
			good++
		case v.Blind:
			blind = append(blind, v.View+": "+v.Why)
		default:
			off = append(off, v.View+": "+v.Why)
		}
	}
	switch {
	case len(off) > 0:
		return verdict(G14, impound.GateWarn, at, strings.Join(off, "; "), "taken on %s, but not every view shows the order: it is not done", in.Taken.UTC().Format(time.DateOnly))
	case len(blind) > 0:
		return verdict(G14, impound.GateUnknown, at, strings.Join(blind, "; "), "taken on %s, but not every view could be had: nobody knows whether it is done", in.Taken.UTC().Format(time.DateOnly))
	case good < 3:
		return verdict(G14, impound.GateUnknown, in.Taken, "", "taken on %s, and %d of the three views were looked at since: impound seize verify", in.Taken.UTC().Format(time.DateOnly), good)
	}
	return verdict(G14, impound.GatePass, at, "", "parent zone, RDAP and resolvers show the order")
}

// ownerNotice is G10 (Avalanche 2019: the owner learned of it after three days,
// from nobody).
func ownerNotice(in Input) impound.GateVerdict {
	back := in.Order != nil && in.Order.AtEnd == "restore"
	switch {
	case in.OwnerTold.IsZero() && back:
		return verdict(G10, impound.GateWarn, in.Now, "", "no record that its owner was told and how to contest: impound case notice %s", in.Name.Defanged())
	case in.OwnerTold.IsZero():
		return verdict(G10, impound.GateWarn, in.Now, "", "no record that its owner was told, and the order doesn't say that it is restored: impound case notice %s", in.Name.Defanged())
	case !back:
		return verdict(G10, impound.GateWarn, in.OwnerTold, "", "its owner was told on %s, but the order doesn't say that it is restored", in.OwnerTold.UTC().Format(time.DateOnly))
	}
	return verdict(G10, impound.GatePass, in.OwnerTold, "", "its owner was told on %s, and the order restores it", in.OwnerTold.UTC().Format(time.DateOnly))
}

// Contested is G13 (Dajaz1: held thirteen months, while its owner asked for it).
func Contested(in Input) impound.GateVerdict {
	if in.Contest != "" {
		return verdict(G13, impound.GateBlock, in.Now, "", "%s", in.Contest)
	}
	return verdict(G13, impound.GatePass, in.Now, "", "nobody contests it")
}

// Attribution is G15 (Strontium July 2019: 7 of its 17 names had been in the rule
// of another actor's case).
func Attribution(in Input) impound.GateVerdict {
	switch {
	case len(in.Conflicts) > 0 && in.Decided != "":
		return verdict(G15, impound.GateBlock, in.Now, strings.Join(in.Conflicts, ", "), "%s", in.Decided)
	case in.Decided != "":
		return verdict(G15, impound.GatePass, in.Now, "", "%s", in.Decided)
	case len(in.Conflicts) > 0:
		return verdict(G15, impound.GateBlock, in.Now, strings.Join(in.Conflicts, ", "), "also claimed for %s: an analyst must decide whose it is", strings.Join(in.Conflicts, ", "))
	}
	return verdict(G15, impound.GatePass, in.Now, "", "no other actor of ours claims it")
}
