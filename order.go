package impound

import (
	"cmp"
	"encoding/hex"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"
	"unicode"
)

// OrderFormat is the first line of every order document.
const OrderFormat = "order/v1"

// Act is one kind of effect on the world that an order can allow.
type Act string

// The acts.
const (
	ActLock        Act = "lock"        // set EPP statuses
	ActNameservers Act = "nameservers" // delegate to the order's name servers
	ActHold        Act = "hold"        // take the name out of its zone; excludes nameservers and sinkhole
	ActRemoveDS    Act = "remove-ds"   // remove every DS record at the parent
	ActRegistrant  Act = "registrant"  // change the registrant
	ActRenew       Act = "renew"       // pay for the registration to go on, when it is about to end
	ActSinkhole    Act = "sinkhole"    // answer for the name and below

	// How an order lets go of a name: no name's own acts, but the order's
	// [ReleaseTerms].
	ActRelease Act = "release" // undo what the order had done: locks off, its name servers out, the former state back
	ActDelete  Act = "delete"  // delete the registration
)

// CaptureLevel says what the sinkhole may keep of a contact.
type CaptureLevel string

// The capture levels, each holding the one before.
const (
	CaptureCount   CaptureLevel = "count"   // that there was one: name, time to the minute, protocol
	CaptureContact CaptureLevel = "contact" // time, source address and port, name, SNI, method, path without query, user agent, TLS fingerprint
	CaptureLure    CaptureLevel = "lure"    // also the lure token: keyed-hashed, and sealed to the notification team
)

// OrderKind is the legal form of an order.
type OrderKind string

// The forms.
const (
	KindWarrant    OrderKind = "warrant"
	KindInjunction OrderKind = "injunction"
	KindAgreement  OrderKind = "agreement"
)

// Order is a court's or a registry agreement's document: which names, which
// acts, from when until when. It is the desired state. Nothing in it is edited
// once it is signed; a supplement is an order of its own that names its parent.
type Order struct {
	Format      string     `json:"impound" yaml:"impound"`
	ID          string     `json:"id" yaml:"id"`
	Case        string     `json:"case" yaml:"case"`
	Kind        OrderKind  `json:"kind" yaml:"kind"`
	Parent      *ParentRef `json:"parent,omitempty" yaml:"parent,omitempty"`
	Authority   Authority  `json:"authority" yaml:"authority"`
	Issued      time.Time  `json:"issued" yaml:"issued"`
	From        time.Time  `json:"from" yaml:"from"`
	Until       time.Time  `json:"until" yaml:"until"`
	SealedUntil time.Time  `json:"sealed_until,omitzero" yaml:"sealed_until,omitempty"`
	ExecuteAt   time.Time  `json:"execute_at,omitzero" yaml:"execute_at,omitempty"`
	ConfirmBy   time.Time  `json:"confirm_by,omitzero" yaml:"confirm_by,omitempty"` // until when each recipient must say that it is done
	AtEnd       string     `json:"at_end" yaml:"at_end"`                            // "restore" | "release" | "keep-lock"
	Deadlines   []Deadline `json:"deadlines,omitempty" yaml:"deadlines,omitempty"`
	TLP         TLP        `json:"tlp,omitempty" yaml:"tlp,omitempty"`
	Parties     Parties    `json:"parties" yaml:"parties"`
	Recipient   Recipient  `json:"recipient" yaml:"recipient"`
	Acts        Acts       `json:"acts" yaml:"acts"` // for each name that has none of its own
	Custody     *Custody   `json:"custody,omitempty" yaml:"custody,omitempty"`
	// Release is the return clause; without one, AtEnd says what may be done,
	// and only while the order is in force.
	Release *ReleaseTerms `json:"release,omitempty" yaml:"release,omitempty"`
	Rights  *Rights       `json:"rights,omitempty" yaml:"rights,omitempty"`

	DNS         *DNSTerms `json:"dns,omitempty" yaml:"dns,omitempty"`
	Sequence    []string  `json:"sequence,omitempty" yaml:"sequence,omitempty"`         // who acts in what order, where more than one must
	BlockCreate []Name    `json:"block_create,omitempty" yaml:"block_create,omitempty"` // not registered, and to be kept so; no act reaches them

	Sinkhole   SinkTerms   `json:"sinkhole" yaml:"sinkhole"`
	Appendices []Appendix  `json:"appendices" yaml:"appendices"`
	Signatures []Signature `json:"-" yaml:"signatures,omitempty"` // over Hash; not part of it
}

// ParentRef names the order that a supplement hangs on.
type ParentRef struct {
	ID     string `json:"id" yaml:"id"`
	Hash   string `json:"hash" yaml:"hash"`
	Clause string `json:"clause" yaml:"clause"` // the clause of the parent that allows supplements
}

// Authority is who ordered it, and how that can be checked.
type Authority struct {
	Court        string `json:"court,omitempty" yaml:"court,omitempty"`
	Agreement    string `json:"agreement,omitempty" yaml:"agreement,omitempty"`
	Docket       string `json:"docket" yaml:"docket"`
	Judge        string `json:"judge,omitempty" yaml:"judge,omitempty"`
	Jurisdiction string `json:"jurisdiction,omitempty" yaml:"jurisdiction,omitempty"`
	CallBack     string `json:"call_back" yaml:"call_back"` // number or desk at which the recipient checks authenticity
	// Instrument is the hash of the paper as the court gave it ("sha256:..."):
	// an artefact of the evidence log.
	Instrument string `json:"instrument,omitempty" yaml:"instrument,omitempty"`
	// Gag says that the recipient may tell nobody, its customer included.
	Gag  bool   `json:"gag,omitempty" yaml:"gag,omitempty"`
	Cost string `json:"cost,omitempty" yaml:"cost,omitempty"` // who bears it
}

// Deadline is a date that the order, or the court's rules, put on somebody: a
// temporary restraining order that ends after 14 days, service on the
// defendants, a status report.
type Deadline struct {
	What string    `json:"what" yaml:"what"` // "TRO ends: move for a preliminary injunction"
	Due  time.Time `json:"due" yaml:"due"`
	Who  string    `json:"who,omitempty" yaml:"who,omitempty"`
}

// Custody is what the order says of the registrations while it runs. Impound
// shows it and watches the dates; a transfer or a payment is made by hand.
type Custody struct {
	TransferTo string `json:"transfer_to,omitempty" yaml:"transfer_to,omitempty"` // registrar of record to be
	TransferID int    `json:"transfer_iana_id,omitempty" yaml:"transfer_iana_id,omitempty"`
	RenewalBy  string `json:"renewal_by,omitempty" yaml:"renewal_by,omitempty"`     // who pays when registrations end
	NoRelease  bool   `json:"no_release,omitempty" yaml:"no_release,omitempty"`     // a name that expires is not to come free
	Escrow     string `json:"escrow,omitempty" yaml:"escrow,omitempty"`             // where former registration data is kept
	Shown      string `json:"shown_reason,omitempty" yaml:"shown_reason,omitempty"` // what RDAP shows as the reason, or that it shows none
}

// How a name can be let go.
const (
	ReleaseRestore = "restore" // as it was before the order
	ReleaseExpire  = "expire"  // locks off, out of the zone, and the registration runs out
	ReleaseDelete  = "delete"  // the registration is deleted
)

// ReleaseTerms is the order's return clause: what may become of a name when it
// is let go, and until when. Nothing else may be done under an order that has
// lapsed.
type ReleaseTerms struct {
	How    []string  `json:"how" yaml:"how"`                           // of "restore", "expire", "delete"
	Until  time.Time `json:"until,omitzero" yaml:"until,omitempty"`    // zero: only while the order is in force
	Clause string    `json:"clause,omitempty" yaml:"clause,omitempty"` // where the paper says so; needed for Until and delete
}

// ReleaseHow gives the ways in which the order lets a name go: those of its
// return clause, or what AtEnd amounts to. A name is never deleted without a
// clause that says so.
func (o *Order) ReleaseHow() []string {
	switch {
	case o.Release != nil:
		return slices.Clone(o.Release.How)
	case o.AtEnd == "restore":
		return []string{ReleaseRestore}
	case o.AtEnd == "release":
		return []string{ReleaseExpire}
	}
	return nil
}

// Rights is what those have who are hit without cause.
type Rights struct {
	Contest     string `json:"contest,omitempty" yaml:"contest,omitempty"`           // how to contest: plain text
	ContestDays int    `json:"contest_days,omitempty" yaml:"contest_days,omitempty"` // within how many days a contest is answered
	Notice      string `json:"notice,omitempty" yaml:"notice,omitempty"`             // who else is told, and how
	Bond        string `json:"bond,omitempty" yaml:"bond,omitempty"`                 // security that the requesting party gave
}

// Parties to the order.
type Parties struct {
	Requesting string   `json:"requesting" yaml:"requesting"`
	Defendants []string `json:"defendants,omitempty" yaml:"defendants,omitempty"`
	Counsel    string   `json:"counsel,omitempty" yaml:"counsel,omitempty"`
	Technical  string   `json:"technical_contact" yaml:"technical_contact"`
}

// Recipient is the entity that the order is served on.
type Recipient struct {
	Name    string `json:"name" yaml:"name"`
	Role    string `json:"role" yaml:"role"` // "registry" | "registrar"
	IANAID  int    `json:"iana_id,omitempty" yaml:"iana_id,omitempty"`
	Contact string `json:"contact,omitempty" yaml:"contact,omitempty"`
}

// Acts is what is ordered for a name.
type Acts struct {
	Lock        []string `json:"lock,omitempty" yaml:"lock,omitempty"` // EPP statuses, RFC 5731 2.3
	Nameservers []Name   `json:"nameservers,omitempty" yaml:"nameservers,omitempty"`
	Hold        bool     `json:"hold,omitempty" yaml:"hold,omitempty"`
	RemoveDS    bool     `json:"remove_ds,omitempty" yaml:"remove_ds,omitempty"`
	Registrant  string   `json:"registrant,omitempty" yaml:"registrant,omitempty"`
	// Renew has the registration renewed, a year at a time, when it is about to
	// end before the order does: at our own account, and so at our cost.
	Renew    bool `json:"renew,omitempty" yaml:"renew,omitempty"`
	Sinkhole bool `json:"sinkhole,omitempty" yaml:"sinkhole,omitempty"`
}

// Allows says whether a holds the act.
func (a Acts) Allows(act Act) bool {
	switch act {
	case ActLock:
		return len(a.Lock) > 0
	case ActNameservers:
		return len(a.Nameservers) > 0
	case ActHold:
		return a.Hold
	case ActRemoveDS:
		return a.RemoveDS
	case ActRegistrant:
		return a.Registrant != ""
	case ActRenew:
		return a.Renew
	case ActSinkhole:
		return a.Sinkhole
	}
	return false
}

// List gives the acts that a holds, in execution order.
func (a Acts) List() []Act {
	var out []Act
	for _, act := range []Act{ActNameservers, ActHold, ActRemoveDS, ActRegistrant, ActRenew, ActLock, ActSinkhole} {
		if a.Allows(act) {
			out = append(out, act)
		}
	}
	return out
}

// SinkTerms is how the sinkhole may behave for the order's names.
type SinkTerms struct {
	Capture       CaptureLevel `json:"capture,omitempty" yaml:"capture,omitempty"`
	Notice        string       `json:"notice,omitempty" yaml:"notice,omitempty"` // court's text for the notice page; plain text
	RetentionDays int          `json:"retention_days,omitempty" yaml:"retention_days,omitempty"`
	// Certificates says what HTTPS shows for the order's names: empty or
	// "self" a self-signed one, "none", or "acme" one from a public authority,
	// which puts the name into certificate-transparency logs.
	Certificates Certificates `json:"certificates,omitempty" yaml:"certificates,omitempty"`
	// KeepBits4 and KeepBits6 cut addresses at the sensor to so many leading
	// bits, such as 24 and 48; 0 keeps them whole.
	KeepBits4 int `json:"keep_bits_4,omitempty" yaml:"keep_bits_4,omitempty"`
	KeepBits6 int `json:"keep_bits_6,omitempty" yaml:"keep_bits_6,omitempty"`
	// DMARCReports is a mailbox of ours that DMARC aggregate reports about the
	// order's names go to (rua, RFC 7489 6.2): they show who still spoofs them.
	DMARCReports string `json:"dmarc_reports,omitempty" yaml:"dmarc_reports,omitempty"`
}

// Certificates is what HTTPS shows for a seized name.
type Certificates string

// The choices. The empty one means self.
const (
	CertsNone Certificates = "none"
	CertsSelf Certificates = "self"
	CertsACME Certificates = "acme"
)

// Appendix is a list of names. Count is how many there are, so that a list that
// lost its end shows it.
type Appendix struct {
	ID    string      `json:"id" yaml:"id"`
	Count int         `json:"count" yaml:"count"`
	Names []OrderName `json:"names" yaml:"names"`
}

// OrderName is one name of an appendix.
type OrderName struct {
	Name    Name   `json:"name" yaml:"name"`
	Exhibit string `json:"exhibit,omitempty" yaml:"exhibit,omitempty"`
	Acts    *Acts  `json:"acts,omitempty" yaml:"acts,omitempty"` // instead of the order's

	// The name as the order was drawn up. None of it steers an act: what is so
	// now is looked at before each.
	ROID        string    `json:"roid,omitempty" yaml:"roid,omitempty"` // repository object id, RFC 5730 2.8
	Registrar   string    `json:"registrar,omitempty" yaml:"registrar,omitempty"`
	RegistrarID int       `json:"registrar_iana_id,omitempty" yaml:"registrar_iana_id,omitempty"`
	Created     time.Time `json:"created,omitzero" yaml:"created,omitempty"`
	Expires     time.Time `json:"expires,omitzero" yaml:"expires,omitempty"`
	Affiant     string    `json:"affiant,omitempty" yaml:"affiant,omitempty"`                   // who swears to the evidence
	Harm        string    `json:"harm,omitempty" yaml:"harm,omitempty"`                         // what the name does to whom
	Confidence  string    `json:"confidence,omitempty" yaml:"confidence,omitempty"`             // of the attribution: "low" | "moderate" | "high"
	Variants    []Name    `json:"variants,omitempty" yaml:"variants,omitempty"`                 // IDN variants that the registry treats alike
	Asked       time.Time `json:"provider_asked,omitzero" yaml:"provider_asked,omitempty"`      // when its provider was asked first
	Decision    string    `json:"monitor_decision,omitempty" yaml:"monitor_decision,omitempty"` // of a court monitor, for a supplement
}

// Hash is the hash of the order's canonical JSON without its signatures.
func (o *Order) Hash() string {
	h, err := HashOf(o)
	if err != nil { // an Order holds nothing that can't be encoded
		panic(err)
	}
	return h
}

// Names gives every name of every appendix, in order.
func (o *Order) Names() []OrderName {
	var out []OrderName
	for _, a := range o.Appendices {
		out = append(out, a.Names...)
	}
	return out
}

// ActsFor gives what is ordered for n itself; false when n is in no appendix.
func (o *Order) ActsFor(n Name) (Acts, bool) {
	for _, a := range o.Appendices {
		for _, on := range a.Names {
			if on.Name == n {
				if on.Acts != nil {
					return *on.Acts, true
				}
				return o.Acts, true
			}
		}
	}
	return Acts{}, false
}

// EPPStatuses lists the statuses that an order may set (RFC 5731 2.3), with
// whether only the registry may set them.
var EPPStatuses = map[string]bool{
	"clientDeleteProhibited": false, "clientTransferProhibited": false, "clientUpdateProhibited": false, "clientRenewProhibited": false,
	"serverDeleteProhibited": true, "serverTransferProhibited": true, "serverUpdateProhibited": true, "serverRenewProhibited": true,
}

// Validate finds every fault of the document itself, signatures apart. Each
// problem's Where is a field path such as appendices[0].names[2].name, which
// the reader of the file turns into a line.
func (o *Order) Validate() Problems {
	var ps Problems
	bad := func(where, cure, format string, args ...any) {
		ps = append(ps, Errorf(KindInvalid, format, args...).At(where).WithCure(cure))
	}
	if o.Format != OrderFormat {
		bad("impound", "begin the document with: impound: "+OrderFormat, "is %q, not an order that this version reads", o.Format)
	}
	if o.ID == "" || strings.ContainsAny(o.ID, " \t\n/\\") {
		bad("id", "give a short id without spaces or slashes, such as PHOS-2019", "the order has no usable id")
	}
	if o.Case == "" {
		bad("case", "name the case: impound case list", "the order belongs to no case")
	}
	if !slices.Contains([]OrderKind{KindWarrant, KindInjunction, KindAgreement}, o.Kind) {
		bad("kind", "write warrant, injunction or agreement", "%q is no kind of order", o.Kind)
	}
	if o.Authority.Court == "" && o.Authority.Agreement == "" {
		bad("authority", "name the court, or the agreement", "nobody ordered it: neither court nor agreement")
	}
	if o.Authority.Docket == "" {
		bad("authority.docket", "give the docket or reference number", "no docket number")
	}
	if o.Authority.CallBack == "" {
		bad("authority.call_back", "give a number or desk that the recipient knows from elsewhere", "nothing by which the recipient can check that the order is authentic")
	}
	if o.Parties.Requesting == "" || o.Parties.Technical == "" {
		bad("parties", "fill in requesting and technical_contact", "the requesting party or its technical contact is missing")
	}
	if o.Recipient.Name == "" || o.Recipient.Role != "registry" && o.Recipient.Role != "registrar" {
		bad("recipient", "give name, and role: registry or registrar", "nobody to serve it on")
	}
	switch {
	case o.Issued.IsZero():
		bad("issued", "write the date as 2026-11-21 or 2026-11-21T12:00:00Z", "the order has no date of issue")
	case o.From.IsZero() || o.Until.IsZero():
		bad("from", "give both from: and until:", "the order doesn't say from when until when it is in force")
	case !o.From.Before(o.Until):
		bad("until", "until must come after from", "the order ends (%s) before it begins (%s)", o.Until.Format(time.RFC3339), o.From.Format(time.RFC3339))
	case o.From.Before(o.Issued):
		bad("from", "an order can't be in force before it was issued", "in force from %s, but issued %s", o.From.Format(time.RFC3339), o.Issued.Format(time.RFC3339))
	case !o.ExecuteAt.IsZero() && (o.ExecuteAt.Before(o.From) || !o.ExecuteAt.Before(o.Until)):
		bad("execute_at", "choose an instant between from and until", "execute_at lies outside the dates of the order")
	}
	if !o.ConfirmBy.IsZero() && (o.ConfirmBy.Before(o.From) || o.ConfirmBy.Before(o.ExecuteAt)) {
		bad("confirm_by", "choose an instant after from and execute_at", "confirm_by comes before anything can have been done")
	}
	if h := o.Authority.Instrument; h != "" && !isHash(h) {
		bad("authority.instrument", "write sha256: and the 64 hex digits that impound evidence add prints", "%.80q is no hash of a paper", h)
	}
	for i, d := range o.Deadlines {
		at := fmt.Sprintf("deadlines[%d]", i)
		if d.What == "" {
			bad(at+".what", "say what is due", "a deadline for nothing")
		}
		if d.Due.IsZero() || d.Due.Before(o.Issued) {
			bad(at+".due", "write the date as 2026-11-21 or 2026-11-21T12:00:00Z", "the deadline has no date, or one before the order was issued")
		}
	}
	if c := o.Custody; c != nil {
		if c.TransferID < 0 || c.TransferID > 0 && c.TransferTo == "" {
			bad("custody.transfer_to", "name the registrar, with its IANA id", "a transfer to nobody")
		}
		if c.NoRelease && c.RenewalBy == "" && !o.renewsAll() {
			bad("custody.renewal_by", "say who pays for renewals, or order renew: true", "names are never to come free, and nobody renews them")
		}
	}
	if r := o.Release; r != nil {
		if len(r.How) == 0 {
			bad("release.how", "write one or more of restore, expire, delete", "the return clause lets nothing be done")
		}
		for i, h := range r.How {
			if h != ReleaseRestore && h != ReleaseExpire && h != ReleaseDelete || slices.Contains(r.How[:i], h) {
				bad(fmt.Sprintf("release.how[%d]", i), "write restore, expire or delete, each once", "%.40q is no way to let a name go", h)
			}
		}
		if !r.Until.IsZero() && r.Until.Before(o.Until) {
			bad("release.until", "choose an instant after until, or leave it out", "the return clause ends before the order does")
		}
		if r.Clause == "" && (!r.Until.IsZero() || slices.Contains(r.How, ReleaseDelete)) {
			bad("release.clause", "name the clause of the paper that says so", "nothing shows that names may be deleted, or let go after the order's end")
		}
		if o.Custody != nil && o.Custody.NoRelease && (slices.Contains(r.How, ReleaseExpire) || slices.Contains(r.How, ReleaseDelete)) {
			bad("release.how", "leave out expire and delete, or custody.no_release", "the order contradicts itself: names are never to come free, and may be let expire")
		}
	}
	if r := o.Rights; r != nil && (r.ContestDays < 0 || r.ContestDays > 0 && r.Contest == "") {
		bad("rights.contest", "say how to contest, in plain text", "a time to contest, and no way")
	}
	if !slices.Contains([]string{"restore", "release", "keep-lock"}, o.AtEnd) {
		bad("at_end", "write restore, release or keep-lock", "the order doesn't say what happens to the names when it ends")
	}
	if o.Parent != nil && (o.Parent.ID == "" || o.Parent.Hash == "" || o.Parent.Clause == "") {
		bad("parent", "give id, hash and clause of the parent", "a supplement must say which order, and which clause of it, allows it")
	}
	if o.TLP != "" && !o.TLP.Valid() {
		bad("tlp", "write clear, green, amber, amber+strict or red", "%q is no TLP level", o.TLP)
	}
	o.validateActs("acts", o.Acts, bad)
	if len(o.Appendices) == 0 {
		bad("appendices", "add an appendix with count: and names:", "the order lists no names")
	}
	seen := map[Name]string{}
	ids := map[string]bool{}
	noActs, noActsAt := 0, Name{}
	for i, a := range o.Appendices {
		at := fmt.Sprintf("appendices[%d]", i)
		if a.ID == "" || ids[a.ID] {
			bad(at+".id", "give each appendix its own letter or number", "the appendix has no id of its own")
		}
		ids[a.ID] = true
		if a.Count != len(a.Names) {
			bad(at+".count", "restore the whole list, or correct the count", "appendix %s says %d names but holds %d: it may have been cut", a.ID, a.Count, len(a.Names))
		}
		if len(a.Names) == 0 {
			bad(at+".names", "list the names, or leave the appendix out", "appendix %s is empty", a.ID)
		}
		for j, on := range a.Names {
			at := fmt.Sprintf("appendices[%d].names[%d]", i, j)
			if on.Name.IsZero() {
				bad(at+".name", "write name: outlook-verify[.]net", "an entry without a name")
				continue
			}
			if first, dup := seen[on.Name]; dup {
				bad(at+".name", "remove one of the two", "%s is listed twice, first at %s", on.Name.Defanged(), first)
			}
			seen[on.Name] = at + ".name"
			if on.Name.IsPublicSuffix() {
				bad(at+".name", "name the registrable domains below it, or take it out", "%s is a public suffix: acting on it would hit everyone below it", on.Name.Defanged())
			} else if reg, err := on.Name.RegistryDomain(); err == nil && reg != on.Name {
				bad(at+".name", "a registry can act on "+reg.Defanged()+" only; a name below it is its provider's to remove", "%s is not a registrable domain", on.Name.Defanged())
			}
			on.validate(at, o, bad)
			if on.Acts != nil {
				o.validateActs(at+".acts", *on.Acts, bad)
				if len(on.Acts.List()) == 0 {
					bad(at+".acts", "list the acts, or leave acts out to use the order's", "no act is ordered for %s", on.Name.Defanged())
				}
			} else if noActs == 0 {
				noActs, noActsAt = 1, on.Name
			} else {
				noActs++
			}
		}
	}
	if noActs > 0 && len(o.Acts.List()) == 0 { // said once: there may be thousands
		also := ""
		if noActs > 1 {
			also = fmt.Sprintf(" and %d more names", noActs-1)
		}
		bad("acts", "give acts: to the order, or to each name", "no act is ordered for %s%s", noActsAt.Defanged(), also)
	}
	o.validateTerms(seen, bad)
	// A name server inside a seized name would make the seizure rest on itself.
	check := func(at string, a Acts) {
		for k, ns := range a.Nameservers {
			for z := range seen {
				if ns.AtOrBelow(z) {
					bad(fmt.Sprintf("%s.nameservers[%d]", at, k), "use name servers under a domain that is not seized", "name server %s lies inside %s, which this order seizes", ns.Defanged(), z.Defanged())
				}
			}
		}
	}
	check("acts", o.Acts)
	for i, a := range o.Appendices {
		for j, on := range a.Names {
			if on.Acts != nil {
				check(fmt.Sprintf("appendices[%d].names[%d].acts", i, j), *on.Acts)
			}
		}
	}
	return ps
}

// validate checks what the order says about one name.
func (on OrderName) validate(at string, o *Order, bad func(where, cure, format string, args ...any)) {
	if on.ROID != "" && !isROID(on.ROID) {
		bad(at+".roid", "copy the id that RDAP calls handle, such as D123456-LRMS", "%.100q is no repository object id", on.ROID)
	}
	if on.RegistrarID < 0 {
		bad(at+".registrar_iana_id", "write the number of the registrar's accreditation", "%d is no registrar's number", on.RegistrarID)
	}
	if !on.Created.IsZero() && !on.Expires.IsZero() && !on.Created.Before(on.Expires) {
		bad(at+".expires", "a registration ends after it was made", "%s expires (%s) before it was created (%s)", on.Name.Defanged(), on.Expires.Format(time.DateOnly), on.Created.Format(time.DateOnly))
	}
	for i, v := range on.Variants {
		if v == on.Name || v.IsZero() || v.TLD() != on.Name.TLD() {
			bad(fmt.Sprintf("%s.variants[%d]", at, i), "list other spellings below the same top-level domain", "%s is no variant of %s", v.Defanged(), on.Name.Defanged())
		}
	}
	if !slices.Contains([]string{"", "low", "moderate", "high"}, on.Confidence) {
		bad(at+".confidence", "write low, moderate or high", "%.40q is no confidence", on.Confidence)
	}
	if !on.Asked.IsZero() && on.Asked.After(o.Issued) {
		bad(at+".provider_asked", "give the day on which the provider was asked, or leave it out", "the provider of %s was asked after the order was issued", on.Name.Defanged())
	}
}

// isROID says whether s is RFC 5730's roidType: up to 80 characters, a hyphen, the
// repository.
func isROID(s string) bool {
	id, repository, ok := strings.Cut(s, "-")
	word := func(s string, most int) bool {
		n := 0
		for _, r := range s {
			if r != '_' && !unicode.IsLetter(r) && !unicode.Is(unicode.N, r) {
				return false
			}
			n++
		}
		return n > 0 && n <= most
	}
	return ok && word(id, 80) && word(repository, 8)
}

// renewsAll says whether every name of the order is to be renewed.
func (o *Order) renewsAll() bool {
	for _, on := range o.Names() {
		if a := cmp.Or(on.Acts, &o.Acts); !a.Renew {
			return false
		}
	}
	return true
}

func isHash(s string) bool {
	h, ok := strings.CutPrefix(s, "sha256:")
	b, err := hex.DecodeString(h)
	return ok && err == nil && len(b) == 32 && h == strings.ToLower(h)
}

func (o *Order) validateActs(at string, a Acts, bad func(where, cure, format string, args ...any)) {
	if a.Hold && len(a.Nameservers) > 0 {
		bad(at+".hold", "choose one: hold takes the name out of its zone, so no name server is ever asked", "the order contradicts itself: hold together with nameservers")
	}
	if a.Hold && a.Sinkhole {
		bad(at+".sinkhole", "choose one: a held name has no visitors", "the order contradicts itself: hold together with sinkhole")
	}
	if a.Sinkhole && len(a.Nameservers) == 0 {
		bad(at+".sinkhole", "add nameservers: with the sinkhole's", "sinkhole without nameservers: nobody would ever reach it")
	}
	if len(a.Nameservers) == 1 {
		bad(at+".nameservers", "name at least two", "a single name server is a single point of failure")
	}
	if len(a.Nameservers) > 0 && !a.RemoveDS {
		bad(at+".remove_ds", "add remove_ds: true", "name servers change but the DS stays: validating resolvers would answer SERVFAIL")
	}
	for k, s := range a.Lock {
		only, known := EPPStatuses[s]
		switch {
		case !known:
			bad(fmt.Sprintf("%s.lock[%d]", at, k), "use client/server + Delete/Transfer/Update/Renew + Prohibited", "%q is no status that locks a name", s)
		case a.Renew && strings.HasSuffix(s, "RenewProhibited"):
			bad(fmt.Sprintf("%s.lock[%d]", at, k), "choose one of the two", "the order contradicts itself: it has the name renewed, and locks it against renewal (%s)", s)
		case only && o.Recipient.Role == "registrar":
			bad(fmt.Sprintf("%s.lock[%d]", at, k), "use the client status, or serve the order on the registry", "%s can be set by a registry only, and the order is served on a registrar", s)
		}
	}
	if a.Sinkhole {
		switch o.Sinkhole.Capture {
		case CaptureCount, CaptureContact, CaptureLure:
		default:
			bad("sinkhole.capture", "write sinkhole: {capture: contact, retention_days: 90} on a line of its own; capture is count, contact or lure", "the order has names sinkholed but doesn't say what may be recorded")
		}
		if o.Sinkhole.RetentionDays <= 0 {
			bad("sinkhole.retention_days", "write retention_days: 365, or what the order says, into sinkhole: {...}", "the order doesn't say how long contacts may be kept")
		}
		switch o.Sinkhole.Certificates {
		case "", CertsNone, CertsSelf, CertsACME:
		default:
			bad("sinkhole.certificates", "write certificates: none, self or acme", "%q is no kind of certificate", o.Sinkhole.Certificates)
		}
		if b := o.Sinkhole.KeepBits4; b < 0 || b > 32 {
			bad("sinkhole.keep_bits_4", "write 0 to 32, such as 24; 0 keeps addresses whole", "an IPv4 address can't be cut to %d bits", b)
		}
		if b := o.Sinkhole.KeepBits6; b < 0 || b > 128 {
			bad("sinkhole.keep_bits_6", "write 0 to 128, such as 48; 0 keeps addresses whole", "an IPv6 address can't be cut to %d bits", b)
		}
		if box := o.Sinkhole.DMARCReports; box != "" {
			if a, err := mail.ParseAddress(box); err != nil || a.Address != box || len(box) > 120 || strings.ContainsAny(box, "!,;\\\" ") {
				bad("sinkhole.dmarc_reports", "write one mailbox of yours, such as dmarc@unit.example", "%q is no mailbox for DMARC reports", box)
			}
		}
	}
}

func (a Acts) clone() Acts {
	a.Lock, a.Nameservers = slices.Clone(a.Lock), slices.Clone(a.Nameservers)
	return a
}

// Clone gives a copy that shares nothing with o.
func (o *Order) Clone() *Order { return o.clone() }

func (o *Order) clone() *Order {
	c := *o
	if o.Parent != nil {
		p := *o.Parent
		c.Parent = &p
	}
	if o.DNS != nil {
		x := *o.DNS
		x.Glue, x.DS = slices.Clone(x.Glue), slices.Clone(x.DS)
		for i := range x.Glue {
			x.Glue[i].Addrs = slices.Clone(x.Glue[i].Addrs)
		}
		c.DNS = &x
	}
	c.Sequence, c.BlockCreate = slices.Clone(o.Sequence), slices.Clone(o.BlockCreate)
	if o.Custody != nil {
		x := *o.Custody
		c.Custody = &x
	}
	if o.Release != nil {
		x := *o.Release
		x.How = slices.Clone(x.How)
		c.Release = &x
	}
	if o.Rights != nil {
		x := *o.Rights
		c.Rights = &x
	}
	c.Deadlines = slices.Clone(o.Deadlines)
	c.Parties.Defendants = slices.Clone(o.Parties.Defendants)
	c.Acts = o.Acts.clone()
	c.Signatures = slices.Clone(o.Signatures)
	c.Appendices = slices.Clone(o.Appendices)
	for i := range c.Appendices {
		c.Appendices[i].Names = slices.Clone(c.Appendices[i].Names)
		for j, on := range c.Appendices[i].Names {
			c.Appendices[i].Names[j].Variants = slices.Clone(on.Variants)
			if on.Acts != nil {
				a := on.Acts.clone()
				c.Appendices[i].Names[j].Acts = &a
			}
		}
	}
	return &c
}
