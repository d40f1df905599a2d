package casework

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/impound/impound"
)

// Appendix is an order's names as a recipient works through them: grouped by
// registry and registrar, each name with what is ordered for it and what was
// seen of it. The same document and the same facts give the same octets.
type Appendix struct {
	Order     string             `json:"order"`
	Hash      string             `json:"hash"` // of the order: what was signed
	Case      string             `json:"case"`
	Kind      impound.OrderKind  `json:"kind"`
	Parent    *impound.ParentRef `json:"parent,omitempty"`
	Authority impound.Authority  `json:"authority"`
	Parties   impound.Parties    `json:"parties"`
	Recipient impound.Recipient  `json:"recipient"`
	Issued    time.Time          `json:"issued"`
	From      time.Time          `json:"from"`
	Until     time.Time          `json:"until"`
	Sealed    time.Time          `json:"sealed_until,omitzero"`
	ExecuteAt time.Time          `json:"execute_at,omitzero"`
	ConfirmBy time.Time          `json:"confirm_by,omitzero"`
	AtEnd     string             `json:"at_end"`
	TLP       impound.TLP        `json:"tlp,omitempty"`
	Signers   []string           `json:"signers"` // proven; fewer than two: a draft
	Count     int                `json:"count"`
	Groups    []AppendixGroup    `json:"groups"`
	Missing   []Missing          `json:"missing,omitempty"` // what the recipient will ask for
	Sinkhole  *impound.SinkTerms `json:"sinkhole,omitempty"`
	Deadlines []impound.Deadline `json:"deadlines,omitempty"`
	Custody   *impound.Custody   `json:"custody,omitempty"`
	Rights    *impound.Rights    `json:"rights,omitempty"`

	Release  *impound.ReleaseTerms `json:"release,omitempty"`
	DNS      *impound.DNSTerms     `json:"dns,omitempty"`
	Sequence []string              `json:"sequence,omitempty"`
	Block    []impound.Name        `json:"block_create,omitempty"` // to be kept from registration; not among Groups
	Exhibits []Exhibit             `json:"exhibits,omitempty"`     // see WithExhibits
	// Of a supplement: names of the orders before it that are not acted on any
	// more, and what is not said of them. The CSV, which machines act on, has
	// neither.
	NoLonger       []NoLonger `json:"no_longer,omitempty"`
	NoLongerUnsaid string     `json:"no_longer_unsaid,omitempty"`
}

// AppendixGroup is the names that one registrar holds under one registry.
type AppendixGroup struct {
	Registry      string         `json:"registry"`            // the suffix that it runs: "com", "co.uk"
	Registrar     string         `json:"registrar,omitempty"` // "" when not known
	RegistrarIANA string         `json:"registrar_iana,omitempty"`
	Names         []AppendixName `json:"names"`
}

// AppendixName is one name.
type AppendixName struct {
	Name     impound.Name `json:"a_label"`
	Unicode  string       `json:"u_label"`
	Appendix string       `json:"appendix"`
	Exhibit  string       `json:"exhibit,omitempty"`
	Acts     impound.Acts `json:"acts"`
	// Registration is as RDAP has it; nil when nobody could be asked.
	Registration *Registration  `json:"registration,omitempty"`
	NS           []impound.Name `json:"ns,omitempty"` // at the parent zone
	NSAsOf       time.Time      `json:"ns_as_of,omitzero"`
	// Drawn is the name as the order was drawn up: who swears to it, what harm,
	// how sure, and its registration then.
	Drawn impound.OrderName `json:"as_drawn"`
	Gates string            `json:"gates"` // "pass" | "warn" | "blocked"
	Why   []string          `json:"why,omitempty"`
}

// Appendix makes the appendix of an order document; the names are looked at
// now. A document that is not valid is its [impound.Problems]. Signatures may
// still be missing: then Signers says so. Anybody may ask.
func (s *Service) Appendix(ctx context.Context, filename string, data []byte) (Appendix, error) {
	rep, err := s.CheckOrder(ctx, filename, data)
	if err != nil {
		return Appendix{}, err
	}
	if err := rep.Problems.Err(); err != nil {
		return Appendix{}, err
	}
	o := rep.Order
	a := Appendix{Order: o.ID, Hash: rep.Hash, Case: o.Case, Kind: o.Kind, Parent: o.Parent, Authority: o.Authority, Parties: o.Parties, Recipient: o.Recipient,
		Issued: o.Issued.UTC(), From: o.From.UTC(), Until: o.Until.UTC(), Sealed: o.SealedUntil.UTC(), ExecuteAt: o.ExecuteAt.UTC(), ConfirmBy: o.ConfirmBy.UTC(), AtEnd: o.AtEnd, Deadlines: o.Deadlines, Custody: o.Custody, Rights: o.Rights, Release: o.Release, DNS: o.DNS, Sequence: o.Sequence, Block: o.BlockCreate, TLP: o.TLP,
		Signers: append([]string{}, rep.Signers...), Count: len(rep.Names), Missing: rep.Missing}
	if o.Sinkhole != (impound.SinkTerms{}) {
		t := o.Sinkhole
		a.Sinkhole = &t
	}
	if a.NoLonger, a.NoLongerUnsaid, err = s.noLonger(ctx, o); err != nil {
		return Appendix{}, err
	}
	in := map[impound.Name]string{}
	own := map[impound.Name]impound.Acts{}
	drawn := map[impound.Name]impound.OrderName{}
	for _, ap := range o.Appendices {
		for _, on := range ap.Names {
			in[on.Name], own[on.Name], drawn[on.Name] = ap.ID, o.Acts, on
			if on.Acts != nil {
				own[on.Name] = *on.Acts
			}
		}
	}
	type groupKey struct{ registry, registrar, iana string }
	groups := map[groupKey][]AppendixName{}
	for _, r := range rep.Names {
		n := AppendixName{Name: r.Name, Unicode: r.Name.Unicode(), Appendix: in[r.Name], Exhibit: r.Exhibit, Acts: own[r.Name], Drawn: drawn[r.Name], NS: r.Facts.NS, NSAsOf: r.Facts.NSAsOf}
		n.NS = slices.Clone(n.NS)
		slices.SortFunc(n.NS, func(a, b impound.Name) int { return strings.Compare(a.String(), b.String()) })
		// A host below somebody's zone is still in the registry of the TLD: the
		// private section of the list is nobody's registry.
		suffix, private := r.Name.PublicSuffix()
		if private {
			suffix = impound.Name{}
		}
		k := groupKey{registry: suffix.String()}
		if suffix.IsZero() {
			k.registry = r.Name.TLD()
		}
		if g := r.Facts.Registration; !g.AsOf.IsZero() {
			n.Registration = &g
			k.registrar, k.iana = g.Registrar, g.RegistrarIANA
		}
		n.Gates, n.Why = gatesInShort(r)
		groups[k] = append(groups[k], n)
	}
	for k, ns := range groups {
		slices.SortFunc(ns, func(a, b AppendixName) int { return strings.Compare(a.Name.String(), b.Name.String()) })
		a.Groups = append(a.Groups, AppendixGroup{k.registry, k.registrar, k.iana, ns})
	}
	slices.SortFunc(a.Groups, func(a, b AppendixGroup) int {
		return cmp.Or(strings.Compare(a.Registry, b.Registry), strings.Compare(a.Registrar, b.Registrar), strings.Compare(a.RegistrarIANA, b.RegistrarIANA))
	})
	return a, nil
}

// gatesInShort gives one word for the gates' verdicts, with what stands behind
// it.
func gatesInShort(r NameReport) (word string, why []string) {
	word = "pass"
	for _, v := range r.Verdicts {
		if v.Outcome != impound.GatePass {
			word = "warn"
			said := string(v.Outcome)
			if slices.Contains(r.Overridden, v.Gate) {
				said += ", overridden by two approvers"
			}
			why = append(why, v.Gate+" "+said+": "+v.Reason)
		}
	}
	if len(r.Blocked) > 0 {
		word, why = "blocked", nil
		for _, v := range r.Blocked {
			why = append(why, v.Gate+" "+string(v.Outcome)+": "+v.Reason)
		}
	}
	return word, why
}

// cell keeps a spreadsheet from computing what somebody wrote into a registrar's
// name: text that begins like a formula gets an apostrophe before it. Control
// characters become spaces, so that a row is a line.
func cell(s string) string {
	s = strings.TrimSpace(strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || r == '\u2028' || r == '\u2029' {
			return ' '
		}
		if hidden(r) {
			return '\uFFFD'
		}
		return r
	}, s))
	if s != "" && strings.ContainsRune("=+-@|%＝＋－＠", []rune(s)[0]) {
		return "'" + s
	}
	return s
}

// hidden are the characters that show a reader another text than is there.
func hidden(r rune) bool {
	return impound.Hidden(r)
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// count is a number that is not given when it is 0.
func count(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func joined(ns []impound.Name) string {
	out := make([]string, len(ns))
	for i, n := range ns {
		out[i] = n.String()
	}
	return strings.Join(out, " ")
}

// glue gives a line a name server: its name and addresses.
func glue(gs []impound.Glue) []string {
	out := make([]string, len(gs))
	for i, g := range gs {
		out[i] = g.Host.String() + " " + strings.Join(g.Addrs, " ")
	}
	return out
}

var appendixHead = []string{
	"registry", "registrar", "registrar_iana", "appendix", "a_label", "u_label", "exhibit",
	"act_nameservers", "act_hold", "act_remove_ds", "act_registrant", "act_lock", "act_sinkhole",
	"roid", "registered", "created", "expires", "status", "signed", "registration_seen_at", "ns", "ns_seen_at", "gates", "gates_why",
	"order", "order_hash", "parent", "authority", "docket", "judge", "jurisdiction", "call_back", "requesting", "counsel", "technical_contact", "recipient", "recipient_iana",
	"issued", "from", "until", "sealed_until", "execute_at", "at_end", "capture", "retention_days", "signers",
	"drawn_roid", "drawn_registrar", "drawn_registrar_iana", "drawn_created", "drawn_expires", "affiant", "harm", "confidence", "provider_asked", "monitor_decision",
	"confirm_by", "instrument", "gag", "cost", "transfer_to", "transfer_iana", "renewal_by", "no_release", "escrow", "contest", "contest_days", "notice_to_others", "bond", "deadlines",
	"shown_reason", "subdomains", "mx", "ttl", "glue", "ds", "sequence", "block_create", "variants", "act_renew",
}

// CSV writes the appendix as one table, a name a row, with the order's own facts
// on each row. Names are whole, not defanged: machines read it. Cells that begin
// like a formula have an apostrophe before them.
func (a Appendix) CSV(w io.Writer) error {
	c := csv.NewWriter(w)
	c.UseCRLF = true // RFC 4180
	if err := c.Write(appendixHead); err != nil {
		return err
	}
	auth := a.Authority.Court
	if auth == "" {
		auth = a.Authority.Agreement
	}
	parent := ""
	if a.Parent != nil {
		parent = a.Parent.ID + " " + a.Parent.Hash + " clause " + a.Parent.Clause
	}
	iana, capture, days := "", "", ""
	if a.Recipient.IANAID != 0 {
		iana = strconv.Itoa(a.Recipient.IANAID)
	}
	if a.Sinkhole != nil {
		capture, days = string(a.Sinkhole.Capture), strconv.Itoa(a.Sinkhole.RetentionDays)
	}
	order := []string{a.Order, a.Hash, parent, auth, a.Authority.Docket, a.Authority.Judge, a.Authority.Jurisdiction, a.Authority.CallBack, a.Parties.Requesting, a.Parties.Counsel, a.Parties.Technical,
		a.Recipient.Name, iana, stamp(a.Issued), stamp(a.From), stamp(a.Until), stamp(a.Sealed), stamp(a.ExecuteAt), a.AtEnd, capture, days, strings.Join(a.Signers, " ")}
	var cu impound.Custody
	if a.Custody != nil {
		cu = *a.Custody
	}
	var ri impound.Rights
	if a.Rights != nil {
		ri = *a.Rights
	}
	var dues []string
	for _, d := range a.Deadlines {
		dues = append(dues, stamp(d.Due)+" "+d.What+" "+d.Who)
	}
	more := []string{stamp(a.ConfirmBy), a.Authority.Instrument, strconv.FormatBool(a.Authority.Gag), a.Authority.Cost, cu.TransferTo, count(cu.TransferID), cu.RenewalBy, strconv.FormatBool(cu.NoRelease), cu.Escrow, ri.Contest, count(ri.ContestDays), ri.Notice, ri.Bond, strings.Join(dues, "; ")}
	dns := impound.DNSTerms{}
	if a.DNS != nil {
		dns = *a.DNS
	}
	more = append(more, cu.Shown, dns.Subdomains, dns.MX, count(dns.TTL), strings.Join(glue(dns.Glue), "; "), strings.Join(dns.DS, "; "), strings.Join(a.Sequence, "; "), joined(a.Block))
	for _, g := range a.Groups {
		for _, n := range g.Names {
			var r Registration
			registered, signed := "not known", ""
			if n.Registration != nil {
				r = *n.Registration
				registered, signed = strconv.FormatBool(r.Exists), strconv.FormatBool(r.Signed)
			}
			row := []string{g.Registry, g.Registrar, g.RegistrarIANA, n.Appendix, n.Name.String(), n.Unicode, n.Exhibit,
				joined(n.Acts.Nameservers), strconv.FormatBool(n.Acts.Hold), strconv.FormatBool(n.Acts.RemoveDS), n.Acts.Registrant, strings.Join(n.Acts.Lock, " "), strconv.FormatBool(n.Acts.Sinkhole),
				r.Handle, registered, stamp(r.Created), stamp(r.Expires), strings.Join(r.Status, " "), signed, stamp(r.AsOf), joined(n.NS), stamp(n.NSAsOf), n.Gates, strings.Join(n.Why, "; ")}
			row = append(row, order...)
			dr := n.Drawn
			row = append(row, dr.ROID, dr.Registrar, count(dr.RegistrarID), stamp(dr.Created), stamp(dr.Expires), dr.Affiant, dr.Harm, dr.Confidence, stamp(dr.Asked), dr.Decision)
			row = append(row, more...)
			row = append(row, joined(dr.Variants), strconv.FormatBool(n.Acts.Renew))
			for i := range row {
				row[i] = cell(row[i])
			}
			if err := c.Write(row); err != nil {
				return err
			}
		}
	}
	c.Flush()
	return c.Error()
}

// Text writes the appendix for people, names defanged.
func (a Appendix) Text(w io.Writer) error {
	var b strings.Builder
	line := func(label, value string) {
		if value = strings.TrimPrefix(cell(value), "'"); value != "" {
			fmt.Fprintf(&b, "%-18s %s\n", label, value)
		}
	}
	fmt.Fprintf(&b, "APPENDIX to order %s (%s)\n\n", a.Order, a.Kind)
	if len(a.Signers) < impound.MinSigners {
		fmt.Fprintf(&b, "DRAFT: signed by %d of %d people. It orders nothing.\n\n", len(a.Signers), impound.MinSigners)
	}
	line("authority", strings.TrimSpace(a.Authority.Court+" "+a.Authority.Agreement))
	line("docket", a.Authority.Docket)
	line("judge", a.Authority.Judge)
	line("jurisdiction", a.Authority.Jurisdiction)
	line("check with", a.Authority.CallBack)
	line("requested by", a.Parties.Requesting)
	line("counsel", a.Parties.Counsel)
	line("technical contact", a.Parties.Technical)
	line("served on", fmt.Sprintf("%s (%s)", a.Recipient.Name, a.Recipient.Role))
	line("issued", stamp(a.Issued))
	line("in force", stamp(a.From)+" until "+stamp(a.Until))
	line("sealed until", stamp(a.Sealed))
	line("execute at", stamp(a.ExecuteAt))
	line("at the end", a.AtEnd)
	line("letting go", releaseWords(a.Release))
	if a.Parent != nil {
		line("supplements", a.Parent.ID+", clause "+a.Parent.Clause)
		line("parent's hash", a.Parent.Hash)
	}
	if a.Sinkhole != nil {
		line("may be recorded", fmt.Sprintf("%s, kept %d days", a.Sinkhole.Capture, a.Sinkhole.RetentionDays))
	}
	line("order's hash", a.Hash)
	line("signed by", strings.Join(a.Signers, ", "))
	line("names", strconv.Itoa(a.Count))
	for _, g := range a.Groups {
		registrar := "registrar not known"
		if g.Registrar != "" || g.RegistrarIANA != "" {
			registrar = strings.TrimPrefix(cell(g.Registrar), "'")
			if g.RegistrarIANA != "" {
				registrar += " (IANA " + strings.TrimPrefix(cell(g.RegistrarIANA), "'") + ")"
			}
		}
		fmt.Fprintf(&b, "\nRegistry .%s, %s: %d names\n", g.Registry, registrar, len(g.Names))
		for _, n := range g.Names {
			fmt.Fprintf(&b, "\n  %s\n", n.Name.Defanged())
			sub := func(label, value string) {
				if value = strings.TrimPrefix(cell(value), "'"); value != "" {
					fmt.Fprintf(&b, "    %-12s %s\n", label, value)
				}
			}
			if n.Unicode != n.Name.String() {
				sub("shown as", strings.ReplaceAll(n.Unicode, ".", "[.]"))
			}
			sub("appendix", n.Appendix)
			sub("exhibit", n.Exhibit)
			for _, act := range actsInWords(n.Acts) {
				sub("ordered", act)
			}
			switch r := n.Registration; {
			case r == nil:
				sub("registered", "not known: no answer by RDAP")
			case !r.Exists:
				sub("registered", "no, says the registry at "+stamp(r.AsOf))
			default:
				sub("registered", fmt.Sprintf("%s, expires %s, seen %s", orUnknown(stamp(r.Created)), orUnknown(stamp(r.Expires)), stamp(r.AsOf)))
				sub("object id", r.Handle)
				sub("status", strings.Join(r.Status, ", "))
			}
			if !n.NSAsOf.IsZero() {
				ns := strings.ReplaceAll(joined(n.NS), ".", "[.]")
				if ns == "" {
					ns = "none"
				}
				sub("name servers", ns+", seen "+stamp(n.NSAsOf))
			}
			sub("gates", n.Gates)
			for _, why := range n.Why {
				sub("", why)
			}
		}
	}
	if a.Parent != nil {
		fmt.Fprintf(&b, "\nNames no longer covered: %d\n  %s\n", len(a.NoLonger), a.nothingTaken())
		if a.NoLongerUnsaid != "" {
			fmt.Fprintf(&b, "  %s\n", strings.TrimPrefix(cell(a.NoLongerUnsaid), "'"))
		}
		for _, n := range a.NoLonger {
			fmt.Fprintf(&b, "  %s (order %s): %s\n", n.Name.Defanged(), n.Order, n.Why)
		}
	}
	if len(a.Missing) > 0 {
		b.WriteString("\nThe recipient will ask for:\n")
		for _, m := range a.Missing {
			fmt.Fprintf(&b, "  %s: %s\n", m.Field, m.Why)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func orUnknown(s string) string {
	if s == "" {
		return "not known"
	}
	return s
}

// actsInWords says what is ordered, in the order of execution.
func actsInWords(a impound.Acts) []string {
	var out []string
	if len(a.Nameservers) > 0 {
		out = append(out, "name servers "+strings.ReplaceAll(joined(a.Nameservers), ".", "[.]"))
	}
	if a.Hold {
		out = append(out, "hold: take it out of the zone")
	}
	if a.RemoveDS {
		out = append(out, "remove every DS record")
	}
	if a.Registrant != "" {
		out = append(out, "registrant "+a.Registrant)
	}
	if a.Renew {
		out = append(out, "renew the registration when it is about to end")
	}
	if len(a.Lock) > 0 {
		out = append(out, "set "+strings.Join(a.Lock, ", "))
	}
	if a.Sinkhole {
		out = append(out, "sinkhole: answer for it and below")
	}
	return out
}

// releaseWords says what a return clause allows; "" without one.
func releaseWords(r *impound.ReleaseTerms) string {
	if r == nil {
		return ""
	}
	ways := map[string]string{impound.ReleaseRestore: "given back as it was", impound.ReleaseExpire: "unlocked and left to expire", impound.ReleaseDelete: "deleted"}
	var out []string
	for _, h := range r.How {
		out = append(out, ways[h])
	}
	s := "a name may be " + strings.Join(out, ", or ")
	if !r.Until.IsZero() {
		s += ", until " + r.Until.UTC().Format(time.DateOnly)
	}
	if r.Clause != "" {
		s += " (clause " + r.Clause + ")"
	}
	return s
}
