package impound

import (
	"net/netip"
	"time"
)

// Proto is how somebody came to the sinkhole.
type Proto string

// The protocols.
const (
	ProtoDNS  Proto = "dns" // over UDP: the source can be forged
	ProtoDNST Proto = "dns-tcp"
	ProtoHTTP Proto = "http"
	ProtoTLS  Proto = "https"
	ProtoSMTP Proto = "smtp"
	ProtoTCP  Proto = "tcp"
	ProtoDoT  Proto = "dns-tls" // RFC 7858
	ProtoUDP  Proto = "udp"     // any other port: the source can be forged
)

// Event is one contact as a sensor saw it, already cut down to what the
// order's capture level allows. It has no field for a body, a cookie, a header
// of authorization or a query string, and none may be added (law 3).
type Event struct {
	Sensor  string         `json:"sensor"`
	Seq     uint64         `json:"seq"` // unique and growing per sensor; set by the spool
	At      time.Time      `json:"at"`  // UTC, microseconds
	Proto   Proto          `json:"proto"`
	Src     netip.AddrPort `json:"src,omitzero"` // zero at level count
	Dst     netip.AddrPort `json:"dst,omitzero"`
	Name    string         `json:"name"`            // as asked for, lower case; escaped as in RFC 1035 5.1
	Zone    string         `json:"zone,omitempty"`  // the seized name that covers it; "" outside
	Order   string         `json:"order,omitempty"` // order id; "" outside
	Capture CaptureLevel   `json:"capture"`
	Outcome string         `json:"outcome"` // "answered" | "refused" | "malformed" | "limited"

	QType  uint16 `json:"qtype,omitempty"` // DNS
	RCode  uint8  `json:"rcode,omitempty"`
	Opcode uint8  `json:"opcode,omitempty"` // 4 NOTIFY, 5 UPDATE; 0 QUERY

	Method    string `json:"method,omitempty"` // HTTP
	Path      string `json:"path,omitempty"`   // without query; at level count absent
	Status    int    `json:"status,omitempty"`
	UserAgent string `json:"user_agent,omitempty"`
	Referer   string `json:"referer,omitempty"` // host only
	SNI       string `json:"sni,omitempty"`
	ALPN      string `json:"alpn,omitempty"`
	JA4       string `json:"ja4,omitempty"`
	JA3       string `json:"ja3,omitempty"` // MD5, 32 hex digits
	TLS       string `json:"tls,omitempty"` // versions that the client offered, best first: "1.3,1.2"

	Helo       string `json:"helo,omitempty"`        // SMTP: the name given in EHLO
	FromDomain string `json:"from_domain,omitempty"` // SMTP: the sender's domain, never the local part
	SenderHash string `json:"sender_hash,omitempty"` // SMTP: keyed hash of the sender's mailbox; level lure only
	RcptHash   string `json:"rcpt_hash,omitempty"`   // SMTP: keyed hash of the recipient's mailbox; level lure only

	LureHash string `json:"lure_hash,omitempty"` // keyed hash of the lure token
	Lure     string `json:"lure,omitempty"`      // sealed with age to the notification team
	Len      int    `json:"len,omitempty"`       // octets of the request head, or of the first TCP segment
	Guess    string `json:"guess,omitempty"`     // TCP: what protocol the first octets look like
}

// OutcomeGap is the outcome of an event that stands for those that a sensor
// could not record: At is when the gap began, Len how many are missing. It ends
// at the sensor's next event.
const OutcomeGap = "gap"

// Gap is a time in which a sensor answered but could not record: what is
// counted of that time is too little.
type Gap struct {
	Sensor  string    `json:"sensor"`
	Seq     uint64    `json:"seq,omitempty"` // of its event; 0 while it is still open at the sensor
	From    time.Time `json:"from"`
	To      time.Time `json:"to,omitzero"` // zero: not yet known
	Missing int       `json:"missing"`     // contacts that were answered and not recorded, at least
}

// Overlaps says whether g touches the time from from until to; a zero time is
// no bound.
func (g Gap) Overlaps(from, to time.Time) bool {
	return (to.IsZero() || g.From.Before(to)) && (from.IsZero() || g.To.IsZero() || !g.To.Before(from))
}

// Class is what a contact was.
type Class string

// The classes.
const (
	ClassVictim     Class = "victim"
	ClassMailGate   Class = "mail-gateway" // a link scanner of a mail system
	ClassScanner    Class = "scanner"
	ClassResolver   Class = "resolver" // a recursive name server
	ClassResearcher Class = "researcher"
	ClassUnclear    Class = "unclear"
)

// Network is who is responsible for an address.
type Network struct {
	Prefix  netip.Prefix `json:"prefix"`
	ASN     uint32       `json:"asn"`
	Name    string       `json:"name"`
	Country string       `json:"country,omitempty"` // ISO 3166-1 alpha-2
	Abuse   string       `json:"abuse,omitempty"`   // mailbox for reports
	Sector  string       `json:"sector,omitempty"`
}

// Contact is an event with what telemetry made of it.
type Contact struct {
	Event
	Case       string   `json:"case,omitempty"`
	Class      Class    `json:"class"`
	Confidence float64  `json:"confidence"` // 0 to 1
	Reasons    []Reason `json:"reasons"`
	Network    Network  `json:"network"`
}
