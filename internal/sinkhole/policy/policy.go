// Package policy is what a sensor may do, and until when: the signed bundle
// that a hub makes from orders in force, and the compiled form in which a
// sensor asks it on every query.
//
// What lives here: building a bundle from proven mandates (law 1: nothing else
// gets in), its small signed envelope, opening and keeping it with protection
// against replay, and the lookup of the seized name at or above an asked one.
// What must not: answering anybody, a socket, a clock of its own, or any way to
// make a [Policy] other than from bytes with the hub's valid signature.
package policy

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
)

const (
	// Format is the version of the payload.
	Format = "policy/v1"
	// Skew is how far a bundle's date may lie in the future of the sensor's
	// clock.
	Skew = 5 * time.Minute
	// DefaultValid is how long a bundle holds when nobody renews it.
	DefaultValid = 72 * time.Hour
	// MaxBytes is the largest bundle that is read: well above 1,000,000 names.
	MaxBytes = 256 << 20

	magic  = "impound policy v1\n"
	signer = "hub"
)

// Options say what goes into a bundle beside the orders.
type Options struct {
	Key    ed25519.PrivateKey // the hub's; signs the bundle
	Serial uint64             // grows with every bundle of a hub; above zero
	Now    time.Time
	Valid  time.Duration // 0 means DefaultValid
	Sensor string        // the only sensor that may use it; "" for every one
	Answer Answer
}

// Answer is what the DNS tells those who ask for a seized name.
type Answer struct {
	A          []netip.Addr   `json:"a,omitempty"`
	AAAA       []netip.Addr   `json:"aaaa,omitempty"`
	NS         []impound.Name `json:"ns,omitempty"`
	Hostmaster string         `json:"hostmaster,omitempty"` // mailbox, for the SOA
}

// Refusal says why a name of an order did not get into the bundle.
type Refusal struct {
	Name  impound.Name
	Order string
	Err   error // of KindRefused
}

// Bundle is a policy, signed and ready to be sent to sensors.
type Bundle struct {
	Data     []byte // the envelope, for [Open]
	Serial   uint64
	Made     time.Time
	NotAfter time.Time
	Orders   int
	Names    int
	Refused  []Refusal
	Next     time.Time // when the next of the mandates given begins; zero if none does: build again then
}

// Terms is one order as a sensor knows it.
type Terms struct {
	ID            string               `json:"id"`
	Hash          string               `json:"hash"`
	Case          string               `json:"case"`
	From          time.Time            `json:"from"`
	Until         time.Time            `json:"until"`
	Capture       impound.CaptureLevel `json:"capture"`
	Notice        string               `json:"notice,omitempty"`
	RetentionDays int                  `json:"retention_days"`
	Certificates  impound.Certificates `json:"certificates,omitempty"`
	KeepBits4     int                  `json:"keep_bits_4,omitempty"` // 0: addresses are kept whole
	KeepBits6     int                  `json:"keep_bits_6,omitempty"`
	DMARCReports  string               `json:"dmarc_reports,omitempty"`
}

type orderPart struct {
	Terms
	Names []string `json:"names"`
}

type payload struct {
	Format   string      `json:"impound"`
	Serial   uint64      `json:"serial"`
	Made     time.Time   `json:"made"`
	NotAfter time.Time   `json:"not_after"`
	Sensor   string      `json:"sensor,omitempty"`
	Answer   Answer      `json:"answer"`
	Orders   []orderPart `json:"orders"`
}

// Build makes a bundle of every name for which a mandate permits the sinkhole
// at opt.Now. Names that it does not permit are left out and listed in Refused;
// a bundle without names is fine, and is how a hub tells its sensors to stop.
// A name that two orders permit is held by both, so that it stays when one of
// them lapses.
func Build(mandates []*impound.Mandate, opt Options) (*Bundle, error) {
	if len(opt.Key) != ed25519.PrivateKeySize {
		return nil, impound.Errorf(impound.KindInvalid, "no key to sign the policy with")
	}
	if opt.Serial == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "a policy needs a serial above zero").At("serial")
	}
	if opt.Now.IsZero() {
		return nil, impound.Errorf(impound.KindInvalid, "a policy needs a date").At("now")
	}
	if opt.Valid == 0 {
		opt.Valid = DefaultValid
	}
	if opt.Valid < time.Second {
		return nil, impound.Errorf(impound.KindInvalid, "a policy that holds for %s is of no use", opt.Valid).At("valid")
	}
	for _, a := range opt.Answer.A {
		if !a.Is4() {
			return nil, impound.Errorf(impound.KindInvalid, "%s is no IPv4 address", a).At("answer.a")
		}
	}
	for _, a := range opt.Answer.AAAA {
		if !a.Is6() || a.Is4In6() {
			return nil, impound.Errorf(impound.KindInvalid, "%s is no IPv6 address", a).At("answer.aaaa")
		}
	}
	now := opt.Now.UTC().Truncate(time.Second)
	p := payload{Format: Format, Serial: opt.Serial, Made: now, NotAfter: now.Add(opt.Valid), Sensor: opt.Sensor, Answer: opt.Answer}
	b := &Bundle{Serial: p.Serial, Made: p.Made, NotAfter: p.NotAfter}
	seen := map[string]bool{}
	for _, m := range mandates {
		if m == nil || m.Hash() == "" || seen[m.Hash()] { // a zero mandate permits nothing
			continue
		}
		seen[m.Hash()] = true
		o := m.Order()
		from, until := m.Window()
		if from.After(opt.Now) && (b.Next.IsZero() || from.Before(b.Next)) {
			b.Next = from
		}
		part := orderPart{Terms: Terms{
			ID: m.ID(), Hash: m.Hash(), Case: m.Case(), From: from.UTC(), Until: until.UTC(),
			Capture: o.Sinkhole.Capture, Notice: o.Sinkhole.Notice, RetentionDays: o.Sinkhole.RetentionDays,
			Certificates: o.Sinkhole.Certificates, KeepBits4: o.Sinkhole.KeepBits4, KeepBits6: o.Sinkhole.KeepBits6, DMARCReports: o.Sinkhole.DMARCReports,
		}}
		for _, n := range m.Names() {
			permit, err := m.Permit(impound.ActSinkhole, n, opt.Now)
			if err == nil {
				err = permit.Check(impound.ActSinkhole, n, opt.Now)
			}
			if err != nil {
				b.Refused = append(b.Refused, Refusal{Name: n, Order: m.ID(), Err: err})
				continue
			}
			part.Names = append(part.Names, n.String())
		}
		if len(part.Names) == 0 {
			continue
		}
		slices.Sort(part.Names)
		b.Names += len(part.Names)
		p.Orders = append(p.Orders, part)
	}
	slices.SortFunc(p.Orders, func(x, y orderPart) int { return strings.Compare(x.Hash, y.Hash) })
	b.Orders = len(p.Orders)
	body, err := impound.CanonicalJSON(p)
	if err != nil {
		return nil, err
	}
	b.Data, err = seal(opt.Key, body, now)
	return b, err
}

func seal(key ed25519.PrivateKey, body []byte, at time.Time) ([]byte, error) {
	sig, err := json.Marshal(impound.Sign(key, impound.SignPolicy, impound.HashBytes(body), signer, at))
	if err != nil {
		return nil, impound.Errorf(impound.KindInternal, "couldn't encode the signature: %w", err)
	}
	out := make([]byte, 0, len(magic)+len(sig)+1+len(body))
	out = append(out, magic...)
	out = append(out, sig...)
	out = append(out, '\n')
	return append(out, body...), nil
}

// Policy is an opened bundle: immutable, and safe for concurrent use. It obeys
// its own dates at every lookup, also when nobody renews it.
type Policy struct {
	serial         uint64
	made, notAfter time.Time
	end            int64 // notAfter in Unix nanoseconds
	sensor, hash   string
	answer         Answer
	orders         []Terms
	spans          [][]span // of each set of orders in the table
	floor          []span
	table          table
}

// Open verifies a bundle and compiles it. It refuses, as an [impound.Error] of
// KindRefused, a bundle that hubKey did not sign, one with a serial below
// minSerial (a replay), one that is no longer valid at now, and one that is
// dated in the future.
func Open(data []byte, hubKey impound.PublicKey, minSerial uint64, now time.Time) (*Policy, error) {
	p, err := open(data, hubKey)
	if err != nil {
		return nil, err
	}
	return p, p.acceptable(minSerial, now)
}

func (p *Policy) acceptable(minSerial uint64, now time.Time) error {
	switch {
	case p.serial < minSerial:
		return impound.Errorf(impound.KindRefused, "the policy has serial %d, but %d or above is needed: it is an old one, sent again", p.serial, minSerial).WithCure("have the hub make a new one")
	case p.made.After(now.Add(Skew)):
		return impound.Errorf(impound.KindRefused, "the policy is dated %s, which lies in the future", p.made.Format(time.RFC3339)).WithCure("check the clocks of hub and sensor")
	case !now.Before(p.notAfter):
		return impound.Errorf(impound.KindRefused, "the policy is no longer valid: it ended %s", p.notAfter.Format(time.RFC3339)).WithCure("have the hub make a new one")
	}
	return nil
}

func open(data []byte, hubKey impound.PublicKey) (*Policy, error) {
	if len(data) > MaxBytes {
		return nil, refused("is %d octets long: at most %d are read", len(data), MaxBytes)
	}
	rest, ok := bytes.CutPrefix(data, []byte(magic))
	if !ok {
		return nil, refused("does not begin with %q: it is no policy, or of another version", strings.TrimSpace(magic))
	}
	line, body, ok := bytes.Cut(rest, []byte("\n"))
	if !ok || len(line) > 4096 {
		return nil, refused("has no signature: it was cut")
	}
	var sig impound.Signature
	if err := json.Unmarshal(line, &sig); err != nil {
		return nil, refused("has a signature line that can't be read: %w", err)
	}
	if sig.Key != hubKey || hubKey == "" {
		return nil, refused("is signed by another key than this hub's")
	}
	hash := impound.HashBytes(body)
	if err := sig.Verify(impound.SignPolicy, hash); err != nil {
		return nil, refused("was changed after the hub signed it, or the signature is of another document")
	}
	// From here on the bytes are the hub's own word.
	var in payload
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, refused("can't be read: %w", err)
	}
	if in.Format != Format {
		return nil, refused("is of format %q, and this version reads %s", in.Format, Format)
	}
	if in.Serial == 0 || in.Made.IsZero() || in.NotAfter.IsZero() {
		return nil, refused("lacks its serial or its dates")
	}
	p := &Policy{
		serial: in.Serial, made: in.Made.UTC(), notAfter: in.NotAfter.UTC(), end: nanos(in.NotAfter),
		sensor: in.Sensor, hash: hash, answer: in.Answer,
		orders: make([]Terms, len(in.Orders)),
	}
	lists := make([][]string, len(in.Orders))
	for i, o := range in.Orders {
		switch o.Capture {
		case impound.CaptureCount, impound.CaptureContact, impound.CaptureLure:
		default:
			return nil, refused("has order %s with the unknown capture level %q", o.ID, o.Capture)
		}
		if o.ID == "" || o.From.IsZero() || !o.From.Before(o.Until) {
			return nil, refused("has an order without id or dates")
		}
		p.orders[i] = o.Terms
		lists[i] = o.Names
	}
	var err error
	if p.table, err = compile(lists); err != nil {
		return nil, err
	}
	p.spread()
	return p, nil
}

// BodyHash gives the hash by which a bundle is known ([Policy.Hash]), "" for
// what is none. It proves nothing.
func BodyHash(data []byte) string {
	rest, ok := bytes.CutPrefix(data, []byte(magic))
	if !ok {
		return ""
	}
	_, body, ok := bytes.Cut(rest, []byte("\n"))
	if !ok {
		return ""
	}
	return impound.HashBytes(body)
}

func refused(format string, args ...any) *impound.Error {
	e := impound.Errorf(impound.KindRefused, format, args...)
	e.Msg = "the policy " + e.Msg
	return e.WithCure("fetch it again from the hub; the one in use stays until its dates end")
}

// Match is what a lookup found.
type Match struct {
	Zone string // the seized name, as [impound.Name.String] gives it
	// Order is what holds for the name now. Where several orders do, it is the
	// strictest of each of their terms: see [Policy.LookupWire].
	Order *Terms
	until int64
}

// Until is when the right to answer ends: when no order covers the name any
// more, or the bundle's end, whichever comes first.
func (m Match) Until() time.Time { return time.Unix(0, m.until).UTC() }

// LookupWire finds the seized name at or above an asked one. The name is in
// wire form (RFC 1035 3.1), uncompressed, lower case, with the root label. It
// is true only when an order covers it at now and the bundle is still valid;
// otherwise Match holds the Zone alone if the name is known but lapsed, and is
// zero if not. It does not allocate.
//
// Where several orders in force hold the name, or a name above it, no more may
// be kept than the strictest of them allows: the terms have the lowest capture
// level, the fewest bits of addresses and the least kind of certificate. Order,
// notice and reports are those of the order of the name itself whose level is
// the lowest; of two such, the one whose records are kept for the shorter time.
func (p *Policy) LookupWire(name []byte, now time.Time) (Match, bool) {
	if p == nil {
		return Match{}, false
	}
	t := now.UnixNano()
	var m Match
	ok := p.table.find(name, func(rec uint32) bool { return p.covered(rec, t, &m) })
	return m, ok
}

// Lookup is LookupWire for a name as text, in any case, with or without a
// trailing dot. What is no host name is not found.
func (p *Policy) Lookup(name string, now time.Time) (Match, bool) {
	var buf [256]byte
	w, ok := appendWire(buf[:0], name)
	if !ok {
		return Match{}, false
	}
	return p.LookupWire(w, now)
}

// Serial is the number of the bundle.
func (p *Policy) Serial() uint64 { return p.serial }

// Made is when the hub made the bundle.
func (p *Policy) Made() time.Time { return p.made }

// NotAfter is when the bundle ends if nobody renews it.
func (p *Policy) NotAfter() time.Time { return p.notAfter }

// Sensor is the only sensor that may use it; "" for every one.
func (p *Policy) Sensor() string { return p.sensor }

// Hash is the hash of what the hub signed.
func (p *Policy) Hash() string { return p.hash }

// Answer is what the DNS tells. The slices must not be changed.
func (p *Policy) Answer() Answer { return p.answer }

// Orders gives a copy of the orders, in the order of their hashes.
func (p *Policy) Orders() []Terms { return slices.Clone(p.orders) }

// Len is the number of distinct names.
func (p *Policy) Len() int {
	if p == nil {
		return 0
	}
	return p.table.n
}
