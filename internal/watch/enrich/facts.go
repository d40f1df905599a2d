package enrich

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/capture"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/watch/trait"
)

// Facts is what is known of a name's infrastructure. A part that is nil was never
// seen, which says nothing of the name; each part says when it was seen.
type Facts struct {
	Registration *Registration `json:"registration,omitempty"`
	DNS          *DNS          `json:"dns,omitempty"`
	Web          *Web          `json:"web,omitempty"`
}

// Registration is what the registry publishes.
type Registration struct {
	At        time.Time `json:"at"`
	Exists    bool      `json:"exists"` // false: the registry says that nobody holds it
	Registrar string    `json:"registrar,omitempty"`
	IANA      string    `json:"iana,omitempty"`
	Created   time.Time `json:"created,omitzero"`
	Expires   time.Time `json:"expires,omitzero"`
	Status    []string  `json:"status,omitempty"`
	NS        []string  `json:"ns,omitempty"`
	Via       string    `json:"via,omitempty"` // "whois" where RDAP gave nothing
}

// DNS is what the parent zone and, where they were asked, resolvers say.
type DNS struct {
	At       time.Time `json:"at"`
	Exists   bool      `json:"exists"` // the parent delegates it
	NS       []string  `json:"ns,omitempty"`
	Resolved bool      `json:"resolved"` // resolvers were asked, and answered: what follows is known
	Addrs    []Addr    `json:"addrs,omitempty"`
	MX       []string  `json:"mx,omitempty"`
}

// Addr is an address with whose network it is in.
type Addr struct {
	IP  string `json:"ip"`
	ASN uint32 `json:"asn,omitempty"`
	Net string `json:"net,omitempty"`
}

// Web is what the name's web server showed.
type Web struct {
	At       time.Time        `json:"at"`
	Addr     string           `json:"addr,omitempty"`
	Status   int              `json:"status,omitempty"`
	Title    string           `json:"title,omitempty"`
	Server   string           `json:"server,omitempty"`
	Leads    string           `json:"leads,omitempty"` // the host that a redirect leads off to
	Password bool             `json:"password,omitempty"`
	Words    int              `json:"words,omitempty"`
	Page     string           `json:"page,omitempty"` // hash of the page without what changes by itself
	Body     string           `json:"body,omitempty"` // SHA-256 as it came
	Icon     *capture.Favicon `json:"icon,omitempty"`
	Trackers []string         `json:"trackers,omitempty"`
	Gating   string           `json:"gating,omitempty"` // capture's verdict
	GateWhy  string           `json:"gate_why,omitempty"`
	Sinkhole string           `json:"sinkhole,omitempty"`
	Cert     *Cert            `json:"cert,omitempty"`
}

// Cert is the certificate that the server shows.
type Cert struct {
	SHA256    string    `json:"sha256"`
	Issuer    string    `json:"issuer,omitempty"` // its organisation, else the whole name
	NotBefore time.Time `json:"not_before,omitzero"`
	NotAfter  time.Time `json:"not_after,omitzero"`
	Names     []string  `json:"names,omitempty"`
	Count     int       `json:"count,omitempty"` // of its names; Names holds the first
	Valid     bool      `json:"valid"`
}

// Empty says that nothing was seen.
func (f Facts) Empty() bool { return f.Registration == nil && f.DNS == nil && f.Web == nil }

// Age is how old the oldest part is at now; 0 where there is none.
func (f Facts) Age(now time.Time) time.Duration {
	var d time.Duration
	for _, at := range f.times() {
		d = max(d, now.Sub(at))
	}
	return d
}

// Newest is when the newest part was seen; zero where there is none.
func (f Facts) Newest() (at time.Time) {
	for _, t := range f.times() {
		if t.After(at) {
			at = t
		}
	}
	return at
}

func (f Facts) times() (out []time.Time) {
	if f.Registration != nil {
		out = append(out, f.Registration.At)
	}
	if f.DNS != nil {
		out = append(out, f.DNS.At)
	}
	if f.Web != nil {
		out = append(out, f.Web.At)
	}
	return out
}

// Network says whose network an address is in; zero where nobody knows.
type Network func(netip.Addr) (asn uint32, name string)

// maxKept bounds the records of one type that are kept of a name.
const maxKept = 16

func registrationOf(v observe.RDAPView) *Registration {
	return &Registration{At: v.At, Exists: v.Exists, Registrar: v.Registrar, IANA: v.RegistrarIANA, Created: v.Created, Expires: v.Expires, Status: v.Status, NS: bound(v.NS), Via: v.Via}
}

// dnsOf puts the parent's and the resolvers' views together; either may have
// failed or be missing (zero), and nil is given when both did.
func dnsOf(parent, resolved observe.View, network Network) *DNS {
	d := &DNS{}
	ok := false
	if parent.Err == "" && !parent.At.IsZero() {
		ok = true
		d.At, d.Exists, d.NS = parent.At, parent.Exists && len(parent.NS) > 0, bound(parent.NS)
	}
	if resolved.Err == "" && !resolved.At.IsZero() {
		ok = true
		if d.At.IsZero() {
			d.At, d.Exists = resolved.At, resolved.Exists
		}
		d.Resolved = true
		if len(d.NS) == 0 {
			d.NS = bound(resolved.NS)
		}
		for _, s := range resolved.Servers {
			if s.Err != "" {
				continue
			}
			for _, a := range append(slices.Clone(s.A), s.AAAA...) {
				ip, err := netip.ParseAddr(a)
				if err != nil || len(d.Addrs) >= maxKept || slices.ContainsFunc(d.Addrs, func(x Addr) bool { return x.IP == ip.Unmap().String() }) {
					continue
				}
				d.Addrs = append(d.Addrs, addrOf(ip.Unmap(), network))
			}
			for _, m := range s.MX {
				_, host, found := strings.Cut(m, " ")
				if found && host != "" && len(d.MX) < maxKept && !slices.Contains(d.MX, host) { // "." is no mail at all (RFC 7505)
					d.MX = append(d.MX, host)
				}
			}
		}
	}
	if !ok {
		return nil
	}
	return d
}

func addrOf(ip netip.Addr, network Network) Addr {
	a := Addr{IP: ip.String()}
	if network != nil {
		a.ASN, a.Net = network(ip)
	}
	return a
}

func bound(in []string) []string { return slices.Clone(in[:min(len(in), maxKept)]) }

func webOf(g capture.Glance) *Web {
	if g.Err != "" {
		return nil
	}
	w := &Web{At: g.At, Addr: g.Addr, Body: g.Body, Icon: g.Favicon, Trackers: g.Trackers}
	w.gating(g.Gating)
	if len(g.Gating.Looks) > 0 {
		w.look(g.Gating.Looks[0])
	}
	if g.TLS != nil {
		w.cert(*g.TLS)
	}
	return w
}

func (w *Web) gating(g capture.Gating) {
	w.Gating = g.Verdict
	if g.Verdict == capture.GateYes || g.Verdict == capture.GateAll {
		w.GateWhy = g.Summary()
	}
}

func (w *Web) look(l capture.LookFacts) {
	w.Status, w.Title, w.Leads, w.Password, w.Words = l.Status, l.Title, l.Left, l.Password, l.Words
	if l.Words >= minWords && l.Status == 200 {
		w.Page = l.Normal
	}
	for _, s := range l.Steps {
		if !s.OffName && s.Status != 0 {
			w.Server = s.Server
		}
	}
}

// minWords is how many words a page has at least that is worth comparing.
const minWords = 12

func (w *Web) cert(v capture.TLSView) {
	if len(v.Chain) == 0 {
		return
	}
	c := v.Chain[0]
	w.Cert = &Cert{SHA256: c.SHA256, Issuer: organisation(c.Issuer), NotBefore: c.NotBefore, NotAfter: c.NotAfter, Names: c.Names[:min(len(c.Names), 2*maxKept)], Count: c.NameCount, Valid: v.Valid}
}

// organisation takes O= out of a distinguished name as Go writes it (RFC 2253).
func organisation(dn string) string {
	for part := range strings.SplitSeq(strings.ReplaceAll(dn, `\,`, "\x00"), ",") {
		if o, ok := strings.CutPrefix(part, "O="); ok {
			return strings.ReplaceAll(o, "\x00", ",")
		}
	}
	return strings.ReplaceAll(strings.ReplaceAll(dn, "\x00", ","), `\,`, ",")
}

// Evidenced puts together what a case's evidence says of a name: artefacts with
// their bytes, in any order. Of each sort the oldest counts that saw something,
// since what came after a seizure shows our own servers; artefacts after until
// (zero: none) are left out. What can't be read is passed over.
type Evidenced struct {
	network          Network
	until            time.Time
	parent, resolved observe.View
	rdap             observe.RDAPView
	web              Web
	webAt, tlsAt     time.Time
	lookAt, gateAt   time.Time
}

// NewEvidenced begins with nothing.
func NewEvidenced(network Network, until time.Time) *Evidenced {
	return &Evidenced{network: network, until: until}
}

// Wants says whether an artefact of this kind would say something.
func (e *Evidenced) Wants(a impound.Artefact) bool {
	if !e.until.IsZero() && a.At.After(e.until) || a.Size > 1<<20 {
		return false
	}
	switch a.Kind {
	case observe.KindParent, observe.KindResolver, observe.KindRDAP, observe.KindHTTP, capture.KindWHOIS, capture.KindTLS, capture.KindLooks, capture.KindGating:
		return a.Media == "application/json" || a.Media == ""
	}
	return false
}

// Add takes one artefact's bytes.
func (e *Evidenced) Add(a impound.Artefact, body []byte) {
	if !e.Wants(a) {
		return
	}
	earlier := func(have time.Time) bool { return have.IsZero() || a.At.Before(have) }
	switch a.Kind {
	case observe.KindParent:
		var v observe.View
		if json.Unmarshal(body, &v) == nil && v.Err == "" && earlier(e.parent.At) {
			v.At, e.parent = a.At, v
			e.parent.At = a.At
		}
	case observe.KindResolver:
		var v observe.View
		if json.Unmarshal(body, &v) == nil && v.Err == "" && earlier(e.resolved.At) {
			e.resolved = v
			e.resolved.At = a.At
		}
	case observe.KindRDAP:
		var v observe.RDAPView
		if json.Unmarshal(body, &v) == nil && v.Err == "" && earlier(e.rdap.At) {
			e.rdap = v
			e.rdap.At = a.At
		}
	case capture.KindWHOIS:
		var v capture.WHOISView
		if json.Unmarshal(body, &v) == nil && v.Err == "" && v.Exists && earlier(e.rdap.At) {
			e.rdap = observe.RDAPView{At: a.At, Exists: true, Registrar: v.Registrar, RegistrarIANA: v.IANA, Created: v.Created, Expires: v.Expires, NS: v.NS, Via: "whois"}
		}
	case capture.KindTLS:
		var v capture.TLSView
		if json.Unmarshal(body, &v) == nil && v.Err == "" && earlier(e.tlsAt) {
			e.tlsAt = a.At
			e.web.cert(v)
		}
	case capture.KindLooks:
		var ls []capture.LookFacts
		if json.Unmarshal(body, &ls) == nil && len(ls) > 0 && ls[0].Status != 0 && earlier(e.lookAt) {
			e.lookAt = a.At
			e.web.look(ls[0])
			for _, s := range ls[0].Steps {
				if s.Status != 0 && e.web.Addr == "" {
					e.web.Addr = ipOf(s.Addr)
				}
				if s.Status != 0 && !s.OffName {
					e.web.Body = s.SHA256
				}
			}
		}
	case capture.KindGating:
		var g capture.Gating
		if json.Unmarshal(body, &g) == nil && g.Verdict != "" && earlier(e.gateAt) {
			e.gateAt = a.At
			e.web.gating(g)
		}
	case observe.KindHTTP:
		var v observe.HTTPView
		if json.Unmarshal(body, &v) == nil && v.Err == "" && earlier(e.webAt) && e.lookAt.IsZero() {
			e.webAt = a.At
			e.light(v)
		}
	}
}

func ipOf(addr string) string {
	if ap, err := netip.ParseAddrPort(addr); err == nil {
		return ap.Addr().Unmap().String()
	}
	return ""
}

// light takes what a light capture saw, which knows less than a full one.
func (e *Evidenced) light(v observe.HTTPView) {
	for _, l := range v.Looks {
		if len(l.Hops) == 0 {
			continue
		}
		h := l.Hops[len(l.Hops)-1]
		w := &e.web
		w.Addr, w.Status, w.Server, w.Body, w.Sinkhole = cmp.Or(w.Addr, ipOf(h.Addr)), h.Status, h.Server, h.BodySHA256, h.Sinkhole
		if u, err := url.Parse(h.Location); err == nil && u.Hostname() != "" && h.Status/100 == 3 {
			w.Leads = strings.ToLower(u.Hostname())
		}
		if w.Gating = capture.GateNone; v.Gated {
			w.Gating = capture.GateYes
		}
		if len(h.TLS) > 0 && e.tlsAt.IsZero() {
			c := h.TLS[0]
			w.Cert = &Cert{SHA256: c.SHA256, Issuer: organisation(c.Issuer), NotBefore: c.NotBefore, NotAfter: c.NotAfter, Names: c.Names[:min(len(c.Names), 2*maxKept)], Count: c.NameCount, Valid: h.TLSFault == ""}
		}
	}
}

// Facts gives what was gathered.
func (e *Evidenced) Facts() Facts {
	var f Facts
	if !e.rdap.At.IsZero() {
		f.Registration = registrationOf(e.rdap)
	}
	f.DNS = dnsOf(e.parent, e.resolved, e.network)
	at := e.lookAt
	for _, t := range []time.Time{e.webAt, e.tlsAt, e.gateAt} {
		if at.IsZero() || !t.IsZero() && t.Before(at) {
			at = t
		}
	}
	if !at.IsZero() {
		w := e.web
		w.At = at
		f.Web = &w
	}
	return f
}

// Over gives f with each part that it lacks taken from older.
func (f Facts) Over(older Facts) Facts {
	if f.Registration == nil {
		f.Registration = older.Registration
	}
	if f.DNS == nil {
		f.DNS = older.DNS
	}
	if f.Web == nil {
		f.Web = older.Web
	}
	return f
}

func defang(s string) string { return strings.ReplaceAll(s, ".", "[.]") }

// zoneOf is the registrable domain that a host is in, the host itself where there
// is none.
func zoneOf(host string) string {
	n, err := impound.ParseName(host)
	if err != nil {
		return host
	}
	if r, err := n.Registrable(); err == nil {
		return r.String()
	}
	return host
}

// foldOrg makes one of the ways in which a registrar's name is written.
func foldOrg(s string) string {
	s = strings.ToLower(s)
	s = strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r > 127 {
			return r
		}
		return ' '
	}, s)
	var out []string
	for _, w := range strings.Fields(s) {
		switch w {
		case "inc", "llc", "ltd", "limited", "gmbh", "co", "corp", "corporation", "sa", "sas", "uab", "bv", "ag", "pvt", "the", "d", "b", "a":
		default:
			out = append(out, w)
		}
	}
	return strings.Join(out, " ")
}

// own is the value of servers' zones that are the name's own domain.
const own = "own"

// Traits gives what of f, seen of n, can be compared with other names'.
func (f Facts) Traits(n impound.Name) []trait.Trait {
	home, err := n.Registrable()
	if err != nil {
		home = n
	}
	servers := func(host, zone trait.Kind, h string, add func(k trait.Kind, value, show, hub string)) {
		if x, err := impound.ParseName(h); err == nil && x.AtOrBelow(home) {
			add(zone, own, "the name itself", "") // its own servers are nobody else's
			return
		}
		hub, _ := trait.Zone(zoneOf(h))
		add(host, h, defang(h), hub)
		add(zone, zoneOf(h), defang(zoneOf(h)), hub)
	}
	var out []trait.Trait
	add := func(k trait.Kind, value, show, hub string) {
		if value == "" {
			return
		}
		t := trait.Trait{Kind: k, Value: value, Show: show, Hub: hub}
		if t.Show == t.Value {
			t.Show = ""
		}
		if !slices.ContainsFunc(out, func(x trait.Trait) bool { return x.Kind == k && x.Value == value }) {
			out = append(out, t)
		}
	}
	var ns []string
	if f.DNS != nil {
		ns = f.DNS.NS
	}
	r := f.Registration
	if r != nil && r.Exists {
		if len(ns) == 0 {
			ns = r.NS
		}
		add(trait.Registrar, cmp.Or(r.IANA, foldOrg(r.Registrar)), cmp.Or(r.Registrar, "IANA id "+r.IANA), "")
		if !r.Created.IsZero() {
			if !r.Expires.IsZero() {
				if y := int(r.Expires.Sub(r.Created).Hours()/24/365 + 0.5); y > 0 && y < 20 && r.Created.After(r.At.AddDate(-1, 0, 0)) {
					show := fmt.Sprintf("%d years", y)
					if y == 1 {
						show = "1 year"
					}
					add(trait.Term, fmt.Sprint(y), show, "")
				}
			}
			// A registry that gives the day alone says nothing of the hour.
			if c := r.Created; c.Hour()+c.Minute()+c.Second() > 0 {
				add(trait.Hour, fmt.Sprint(c.Hour()/4), fmt.Sprintf("%02d to %02d h UTC", c.Hour()/4*4, c.Hour()/4*4+4), "")
				zone := ""
				if len(ns) > 0 {
					if zone = zoneOf(ns[0]); zone == home.String() {
						zone = own
					}
				}
				if who := cmp.Or(r.IANA, foldOrg(r.Registrar)); who != "" {
					show := fmt.Sprintf("%s at %s", c.Format("2006-01-02 15:04Z"), cmp.Or(r.Registrar, "IANA id "+r.IANA))
					if zone != "" {
						show += ", name servers in " + defang(zone)
					}
					add(trait.Made, c.Format("2006-01-02T15:04")+"|"+who+"|"+zone, show, "")
				}
			}
		}
	}
	for _, h := range ns {
		servers(trait.NS, trait.NSZone, h, add)
	}
	if x, err := impound.ParseName(strings.Join(ns[:min(len(ns), 1)], "")); len(ns) > 1 && (err != nil || !x.AtOrBelow(home)) {
		set := slices.Sorted(slices.Values(ns))
		_, parked := trait.Zone(zoneOf(ns[0]))
		hub := ""
		if parked {
			hub = "parking"
		}
		add(trait.NSSet, strings.Join(set, " "), defang(strings.Join(set, ", ")), hub)
	}
	if d := f.DNS; d != nil {
		for _, a := range d.Addrs {
			show := a.IP
			if a.ASN != 0 {
				show += fmt.Sprintf(" (AS%d %s)", a.ASN, a.Net)
				add(trait.Net, fmt.Sprint(a.ASN), fmt.Sprintf("AS%d %s", a.ASN, a.Net), trait.Network(a.ASN))
			}
			add(trait.Addr, a.IP, show, trait.Network(a.ASN))
		}
		for _, m := range d.MX {
			servers(trait.MX, trait.MXZone, m, add)
		}
	}
	if w := f.Web; w != nil {
		if c := w.Cert; c != nil {
			hub := ""
			if c.Count > manyNames {
				hub = fmt.Sprintf("a certificate for %d names", c.Count)
			}
			add(trait.Cert, c.SHA256, short(c.SHA256)+" by "+defang(c.Issuer), hub)
			add(trait.Issuer, c.Issuer, defang(c.Issuer), "")
			if r != nil && r.Exists && !r.Created.IsZero() && !c.NotBefore.IsZero() {
				l := lag(c.NotBefore.Sub(r.Created))
				add(trait.Lag, l, l, "")
			}
		}
		add(trait.Page, w.Page, strings.TrimSpace(short(w.Page)+" “"+defang(w.Title)+"”"), "")
		if w.Icon != nil {
			add(trait.Icon, w.Icon.SHA256, "mmh3 "+w.Icon.String(), "")
		}
		for _, id := range w.Trackers {
			add(trait.Tracker, id, id, "")
		}
		if w.Leads != "" {
			hub, _ := trait.Zone(zoneOf(w.Leads))
			add(trait.Leads, w.Leads, defang(w.Leads), hub)
		}
		add(trait.Server, w.Server, impound.DefangText(w.Server), "") // a version is no name
		if w.Gating != capture.GateUnknown {
			add(trait.Gate, w.Gating, w.Gating, "")
		}
	}
	slices.SortStableFunc(out, func(a, b trait.Trait) int { return trait.Order(a.Kind, b.Kind) })
	return out
}

// manyNames is from how many names on a certificate is shared hosting's.
const manyNames = 20

func short(h string) string { return h[:min(len(h), 12)] }

// lag words how long after the registration the certificate was made. Issuers
// date certificates back by an hour.
func lag(d time.Duration) string {
	switch {
	case d < -90*time.Minute:
		return "before the registration"
	case d < time.Hour:
		return "within the hour"
	case d < 24*time.Hour:
		return "within a day"
	case d < 7*24*time.Hour:
		return "within a week"
	case d < 31*24*time.Hour:
		return "within a month"
	}
	return "later"
}
