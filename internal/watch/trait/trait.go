// Package trait says what of a name's infrastructure can be compared: each thing
// that was observed becomes a kind and a value, so that two names with the same
// have something in common.
//
// What lives here: the kinds, what each is worth, and the values that say nothing
// because thousands have them (shared hosting, parking, delivery networks). What
// must not: the looking, or a judgement of a name.
package trait

import (
	"cmp"
	"slices"
	"strings"
)

// Kind is what sort of thing a trait is.
type Kind string

// The kinds.
const (
	Registrar Kind = "registrar" // IANA id, or its name folded
	Made      Kind = "made"      // registrar, minute of registration and name servers' zone
	NS        Kind = "ns"        // a name server
	NSSet     Kind = "ns-set"    // all of them together
	NSZone    Kind = "ns-zone"   // the domain that they are in
	MX        Kind = "mx"
	MXZone    Kind = "mx-zone"
	Addr      Kind = "address"
	Net       Kind = "network" // AS number
	Issuer    Kind = "issuer"  // of the certificate
	Lag       Kind = "lag"     // from the registration to the certificate, in steps
	Term      Kind = "term"    // for how many years it was registered
	Hour      Kind = "hour"    // of registration, in four-hour steps, UTC
	Cert      Kind = "certificate"
	Page      Kind = "page"
	Icon      Kind = "icon"
	Server    Kind = "server" // the header
	Gate      Kind = "gating"
	Tracker   Kind = "tracker"
	Leads     Kind = "leads"  // where a visitor is sent off to
	Domain    Kind = "domain" // what of the name was registered
)

// Trait is one thing that was observed of a name.
type Trait struct {
	Kind  Kind   `json:"kind"`
	Value string `json:"value"` // equal values are the same thing
	Show  string `json:"show"`  // for people, inert and defanged; "" is Value
	// Hub says why so many have this that sharing it means nothing; "" where it
	// isn't known to be so.
	Hub string `json:"hub,omitempty"`
}

// String shows t to people.
func (t Trait) String() string { return cmp.Or(t.Show, t.Value) }

// Rule says what a kind is worth.
type Rule struct {
	Kind  Kind
	Label string // for people: "name server"
	// Links says that two names with the same one belong together, unless it is a
	// hub; Hub is from how many names on it counts as one.
	Links bool
	Hub   int
	// Share is how often a value that nothing is known of stands in ordinary
	// names, roughly; Weight how much of its bits count, since several kinds say
	// the same thing (a registrar and its name servers).
	Share, Weight float64
	// Strength is what a link by it adds to a candidate's score, in nats.
	Strength float64
}

// Rules are all kinds, in the order in which people are shown them. The shares
// and weights are by judgement, not measured: no data set with observations
// beside names was at hand. Where enough candidates were observed, their own
// shares are taken instead.
var Rules = []Rule{
	{Domain, "registered domain", true, 200, 1e-6, 0, 2},
	{Cert, "certificate", true, 12, 1e-6, 1, 3},
	{Addr, "address", true, 25, 1e-5, 0.8, 2},
	{Icon, "icon", true, 25, 1e-3, 0.8, 1.5},
	{Page, "page", true, 25, 1e-4, 0.8, 2},
	{Tracker, "tracker id", true, 25, 1e-5, 0.8, 2},
	{Leads, "leads to", true, 25, 1e-4, 0.6, 1},
	{NS, "name server", true, 25, 1e-3, 0.25, 1},
	{NSSet, "set of name servers", true, 25, 1e-3, 0.6, 0.7},
	{MX, "mail server", true, 25, 1e-3, 0.4, 1},
	{Made, "registered together", true, 25, 1e-5, 0.6, 1.5},
	{NSZone, "name servers in", false, 0, 0.01, 0.5, 0},
	{MXZone, "mail servers in", false, 0, 0.01, 0.4, 0},
	{Registrar, "registrar", false, 0, 0.02, 0.6, 0},
	{Net, "network", false, 0, 0.01, 0.6, 0},
	{Issuer, "certificate issuer", false, 0, 0.1, 0.4, 0},
	{Lag, "from registration to certificate", false, 0, 0.2, 0.4, 0},
	{Term, "registered for", false, 0, 0.1, 0.3, 0},
	{Hour, "registered at", false, 0, 1. / 6, 0.4, 0},
	{Server, "server header", false, 0, 0.02, 0.4, 0},
	{Gate, "gating", false, 0, 0.1, 0.4, 0},
}

var byKind = func() map[Kind]Rule {
	m := map[Kind]Rule{}
	for _, r := range Rules {
		m[r.Kind] = r
	}
	return m
}()

// Of gives a kind's rule; false for one that is not known.
func Of(k Kind) (Rule, bool) { r, ok := byKind[k]; return r, ok }

// Order compares kinds in the order of [Rules].
func Order(a, b Kind) int {
	at := func(k Kind) int { return slices.IndexFunc(Rules, func(r Rule) bool { return r.Kind == k }) }
	return cmp.Compare(at(a), at(b))
}

// Common gives the share of ordinary names that have a value, where it is known
// to be more than its kind's: roughly, by judgement.
func Common(k Kind, value string) (float64, bool) {
	x, ok := common[k][value]
	return x, ok
}

var common = map[Kind]map[string]float64{
	// IANA ids.
	Registrar: {"146": 0.2, "1068": 0.1, "1636": 0.08, "69": 0.05, "48": 0.01, "895": 0.01, "440": 0.03, "2": 0.04, "1479": 0.03, "420": 0.03, "1910": 0.04, "81": 0.03},
	NSZone:    {"cloudflare.com": 0.25, "domaincontrol.com": 0.15, "registrar-servers.com": 0.06, "dns-parking.com": 0.06, "hostinger.com": 0.01, "googledomains.com": 0.02, "name-services.com": 0.02, "wixdns.net": 0.03, "ui-dns.com": 0.02, "alidns.com": 0.03},
	MXZone:    {"google.com": 0.2, "outlook.com": 0.15, "secureserver.net": 0.05, "hostinger.com": 0.05, "privateemail.com": 0.04, "registrar-servers.com": 0.04, "cloudflare.net": 0.02, "zoho.com": 0.02, "zoho.eu": 0.02},
	Net:       {"13335": 0.25, "16509": 0.12, "47583": 0.06, "26496": 0.05, "15169": 0.05, "396982": 0.03, "14618": 0.04, "24940": 0.03, "16276": 0.03, "22612": 0.03, "8075": 0.02},
	Issuer:    {"Let's Encrypt": 0.6, "Google Trust Services": 0.2, "Google Trust Services LLC": 0.2, "Sectigo Limited": 0.04, "DigiCert Inc": 0.03, "ZeroSSL": 0.03, "Amazon": 0.04, "GoDaddy.com, Inc.": 0.03, "Cloudflare, Inc.": 0.01},
	Server:    {"cloudflare": 0.25, "nginx": 0.25, "Apache": 0.15, "LiteSpeed": 0.1, "hcdn": 0.02, "Microsoft-IIS": 0.03, "openresty": 0.05, "nginx/1.18.0": 0.02, "nginx/1.24.0": 0.02},
	Gate:      {"none seen": 0.7, "unknown": 0.2, "unstable": 0.03, "gated": 0.03, "challenged": 0.05},
	Term:      {"1": 0.85, "2": 0.06, "3": 0.03},
	Lag:       {"within the hour": 0.35, "within a day": 0.3, "within a week": 0.1, "within a month": 0.08, "later": 0.15, "before the registration": 0.02},
}

// hubZones are the domains of servers that many unrelated names share, with what
// they are.
var hubZones = map[string]string{
	"cloudflare.com": "Cloudflare", "cloudflare.net": "Cloudflare", "domaincontrol.com": "GoDaddy", "secureserver.net": "GoDaddy", "registrar-servers.com": "Namecheap", "privateemail.com": "Namecheap",
	"dns-parking.com": "Hostinger", "hostinger.com": "Hostinger", "googledomains.com": "Google", "google.com": "Google", "googlemail.com": "Google", "outlook.com": "Microsoft", "azure-dns.com": "Microsoft", "azure-dns.net": "Microsoft",
	"azure-dns.org": "Microsoft", "azure-dns.info": "Microsoft", "name-services.com": "Enom", "wixdns.net": "Wix", "squarespacedns.com": "Squarespace", "ui-dns.com": "IONOS", "ui-dns.de": "IONOS", "ui-dns.org": "IONOS", "ui-dns.biz": "IONOS",
	"alidns.com": "Alibaba", "hichina.com": "Alibaba", "dnspod.net": "DNSPod", "dnsowl.com": "NameSilo", "namebrightdns.com": "NameBright", "gandi.net": "Gandi", "ovh.net": "OVH", "ns1.com": "NS1", "nsone.net": "NS1", "ultradns.net": "UltraDNS",
	"digitalocean.com": "DigitalOcean", "linode.com": "Linode", "hetzner.com": "Hetzner", "your-server.de": "Hetzner", "vercel-dns.com": "Vercel", "shopify.com": "Shopify", "orderbox-dns.com": "LogicBoxes", "regtons.com": "Regtons", "reg.ru": "reg.ru",
	"beget.com": "Beget", "timeweb.ru": "Timeweb", "porkbun.com": "Porkbun", "zoho.com": "Zoho", "zoho.eu": "Zoho", "yandex.net": "Yandex", "yandex.ru": "Yandex", "mail.ru": "Mail.ru", "protonmail.ch": "Proton", "messagingengine.com": "Fastmail",
	"mailgun.org": "Mailgun", "sendgrid.net": "SendGrid", "mimecast.com": "Mimecast", "pphosted.com": "Proofpoint", "hosting.reg.ru": "reg.ru", "awsdns": "Amazon", "akam.net": "Akamai",
}

// parkedZones serve names that nobody uses, or that are for sale.
var parkedZones = map[string]string{
	"sedoparking.com": "Sedo", "parkingcrew.net": "ParkingCrew", "bodis.com": "Bodis", "above.com": "Above", "dan.com": "Dan", "undeveloped.com": "Dan", "afternic.com": "Afternic", "uniregistrymarket.link": "Uniregistry", "hugedomains.com": "HugeDomains",
	"parklogic.com": "ParkLogic", "voodoo.com": "Voodoo", "namefind.com": "NameFind", "cashparking.com": "GoDaddy CashParking", "smartname.com": "SmartName", "skenzo.com": "Skenzo", "ztomy.com": "ztomy", "dsredirection.com": "DS Redirection",
	"rookdns.com": "Rook", "fabulous.com": "Fabulous", "domainparkingserver.net": "domain parking", "atom.com": "Atom", "squadhelp.com": "Atom", "giantpanda.com": "GiantPanda", "sav.com": "Sav", "expired.namebrightdns.com": "NameBright",
}

// hubNets are networks whose addresses stand in front of thousands of names.
var hubNets = map[uint32]string{
	13335: "Cloudflare", 209242: "Cloudflare", 54113: "Fastly", 20940: "Akamai", 16625: "Akamai", 16509: "Amazon", 14618: "Amazon", 15169: "Google", 8075: "Microsoft", 60068: "CDN77", 19551: "Imperva", 30148: "Sucuri", 57724: "DDoS-Guard",
	58182: "Wix", 62597: "NS1", 53831: "Squarespace", 62679: "Shopify", 2635: "Automattic", 199524: "Gcore", 209453: "Gandi",
}

// Zone says what a server's domain is known for: "" where it is not known to be
// shared, and whether it is parking.
func Zone(zone string) (hub string, parked bool) {
	zone = strings.ToLower(zone)
	if w, ok := parkedZones[zone]; ok {
		return "parking: " + w, true
	}
	if strings.HasPrefix(zone, "awsdns-") {
		return "many names' servers: Amazon", false
	}
	if w, ok := hubZones[zone]; ok {
		return "many names' servers: " + w, false
	}
	return "", false
}

// Network says what a network is known for, "" where it is not known to be shared.
func Network(asn uint32) string {
	if w, ok := hubNets[asn]; ok {
		return "in front of many names: " + w
	}
	return ""
}
