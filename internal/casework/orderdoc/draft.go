package orderdoc

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
)

// Draft writes a commented order document for the names of c. What o says is
// filled in; what it leaves open stands there empty with a comment that says
// what belongs there, and [Parse] names each open field with its line. When o
// has no appendices, appendix A holds the names of c that may go into an order:
// not those blocked, released, or in an order already. Names are written
// defanged. The same input gives the same octets.
func Draft(c impound.Case, o impound.Order) []byte {
	var b bytes.Buffer
	p := func(format string, args ...any) { fmt.Fprintf(&b, format, args...) }
	// field writes key: value, or the key alone with a hint.
	field := func(indent, key, value, hint string) {
		switch {
		case value != "":
			p("%s%s: %s\n", indent, key, scalar(value))
		case strings.HasPrefix(hint, "optional"):
			p("%s# %s:   %s\n", indent, key, hint)
		default:
			p("%s%s:   # REQUIRED: %s\n", indent, key, hint)
		}
	}
	date := func(key string, t time.Time, hint string) {
		v := ""
		if !t.IsZero() {
			v = t.UTC().Format(time.RFC3339Nano)
		}
		field("", key, v, hint)
	}
	p("# An order: which names, which acts, from when until when. Two approvers sign it\n")
	p("# with: impound order sign FILE --as PERSON. Check it with: impound order check FILE\n")
	p("# Once signed it is not edited: a change is a supplement, an order of its own.\n")
	p("impound: %s\n", impound.OrderFormat)
	field("", "id", o.ID, "a short id without spaces, such as PHOS-2019")
	field("", "case", c.ID, "the case")
	field("", "kind", string(o.Kind), "warrant, injunction or agreement")
	if o.Parent != nil {
		p("parent:\n")
		field("  ", "id", o.Parent.ID, "the order that this one supplements")
		field("  ", "hash", o.Parent.Hash, "its hash: impound order show ID")
		field("  ", "clause", o.Parent.Clause, "the clause of it that allows supplements")
	}
	p("authority:\n")
	field("  ", "court", o.Authority.Court, choose(o.Authority.Agreement != "", "optional", "the court; or agreement: for a registry agreement"))
	if o.Authority.Agreement != "" {
		field("  ", "agreement", o.Authority.Agreement, "")
	}
	field("  ", "docket", o.Authority.Docket, "docket or reference number")
	field("  ", "judge", o.Authority.Judge, "optional: who signed it in court")
	field("  ", "jurisdiction", o.Authority.Jurisdiction, "optional: why the court reaches the recipient")
	field("  ", "call_back", o.Authority.CallBack, "number or desk at which the recipient checks that the order is authentic")
	field("  ", "instrument", o.Authority.Instrument, "optional: sha256:... of the court's paper, as impound evidence add printed it")
	if o.Authority.Gag {
		p("  gag: true\n")
	} else {
		p("  # gag: true   optional: the recipient may tell nobody\n")
	}
	field("  ", "cost", o.Authority.Cost, "optional: who bears it")
	date("issued", o.Issued, "2026-11-21 or 2026-11-21T12:00:00Z")
	date("from", o.From, "in force from, inclusive")
	date("until", o.Until, "in force until, exclusive")
	date("sealed_until", o.SealedUntil, "optional: nobody outside may learn of it before")
	date("execute_at", o.ExecuteAt, "optional: the instant at which all recipients act")
	date("confirm_by", o.ConfirmBy, "optional: until when the recipient must say that it is done")
	if len(o.Deadlines) > 0 {
		p("deadlines:\n")
		for _, d := range o.Deadlines {
			p("  - what: %s\n    due: %s\n", scalar(d.What), d.Due.UTC().Format(time.RFC3339Nano))
			if d.Who != "" {
				p("    who: %s\n", scalar(d.Who))
			}
		}
	} else {
		p("# deadlines:   optional: a list of what:, due: and who:, such as the end of a TRO\n")
	}
	field("", "at_end", o.AtEnd, "restore, release or keep-lock: what happens to the names when the order ends")
	field("", "tlp", string(o.TLP), "optional: clear, green, amber, amber+strict or red")
	p("parties:\n")
	field("  ", "requesting", o.Parties.Requesting, "who asked for the order")
	if len(o.Parties.Defendants) > 0 {
		p("  defendants:\n")
		for _, s := range o.Parties.Defendants {
			p("    - %s\n", scalar(s))
		}
	} else {
		p("  # defendants:   optional: a list, such as John Does 1-2\n")
	}
	field("  ", "counsel", o.Parties.Counsel, "optional: counsel with a way to reach them")
	field("  ", "technical_contact", o.Parties.Technical, "reachable at any hour")
	p("recipient:\n")
	field("  ", "name", o.Recipient.Name, "legal name of the registry or registrar that it is served on")
	field("  ", "role", o.Recipient.Role, "registry or registrar")
	if o.Recipient.IANAID != 0 {
		p("  iana_id: %d\n", o.Recipient.IANAID)
	} else {
		p("  # iana_id:   optional: a registrar's number\n")
	}
	field("  ", "contact", o.Recipient.Contact, "optional: desk that takes orders")
	if len(o.Acts.List()) > 0 {
		p("# What is ordered for each name that has no acts of its own.\nacts:\n")
		acts(p, "  ", o.Acts)
	} else {
		p("acts:   # REQUIRED: what is ordered for each name: lock, nameservers with remove_ds, sinkhole; or hold; renew\n")
	}
	if r := o.Release; r != nil {
		p("# The return clause: how names may be let go.\nrelease:\n  how: [%s]\n", strings.Join(r.How, ", "))
		if !r.Until.IsZero() {
			p("  until: %s\n", r.Until.UTC().Format(time.RFC3339Nano))
		}
		field("  ", "clause", r.Clause, "the clause of the paper that says so")
	} else {
		p("# release:   optional: how (restore, expire, delete), until and clause of the paper; without it at_end says it, and only until the order ends\n")
	}
	if c := o.Custody; c != nil {
		p("# Of the registrations while the order runs. Shown and watched; a transfer or a payment is made by hand.\ncustody:\n")
		field("  ", "transfer_to", c.TransferTo, "optional: registrar of record to be")
		if c.TransferID != 0 {
			p("  transfer_iana_id: %d\n", c.TransferID)
		}
		field("  ", "renewal_by", c.RenewalBy, "who pays when registrations end; without it, and without acts: renew, a name whose registration ends before the order does is not taken")
		if c.NoRelease {
			p("  no_release: true\n")
		}
		field("  ", "escrow", c.Escrow, "optional: where former registration data is kept")
		field("  ", "shown_reason", c.Shown, "optional: what RDAP shows as the reason")
	} else {
		p("# custody:   optional: transfer_to, renewal_by, no_release, escrow, shown_reason\n")
		p("#   renewal_by says who pays renewals. Without it, and without acts: renew, a name\n")
		p("#   whose registration ends before the order does is not taken: it would come free.\n")
	}
	dnsTerms(p, field, o)
	if r := o.Rights; r != nil {
		p("rights:\n")
		field("  ", "contest", r.Contest, "optional: how to contest")
		if r.ContestDays != 0 {
			p("  contest_days: %d\n", r.ContestDays)
		}
		field("  ", "notice", r.Notice, "optional: who else is told, and how")
		field("  ", "bond", r.Bond, "optional: security that the requesting party gave")
	} else {
		p("# rights:   optional: contest, contest_days, notice, bond\n")
	}
	if o.Sinkhole != (impound.SinkTerms{}) || o.Acts.Sinkhole {
		p("sinkhole:\n")
		field("  ", "capture", string(o.Sinkhole.Capture), "count, contact or lure: what may be recorded of a visitor")
		field("  ", "notice", o.Sinkhole.Notice, "optional: the court's text for the notice page")
		if o.Sinkhole.RetentionDays != 0 {
			p("  retention_days: %d\n", o.Sinkhole.RetentionDays)
		} else {
			p("  retention_days:   # REQUIRED: for how many days contacts may be kept\n")
		}
		field("  ", "certificates", string(o.Sinkhole.Certificates), "optional: none, self or acme: what HTTPS shows")
		for _, f := range []struct {
			key  string
			bits int
		}{{"keep_bits_4", o.Sinkhole.KeepBits4}, {"keep_bits_6", o.Sinkhole.KeepBits6}} {
			if f.bits != 0 {
				p("  %s: %d\n", f.key, f.bits)
			}
		}
		field("  ", "dmarc_reports", o.Sinkhole.DMARCReports, "optional: a mailbox of yours for DMARC reports")
	} else {
		p("# sinkhole:   REQUIRED where acts say sinkhole: capture (count, contact or lure) and retention_days; optional: notice, certificates\n")
	}
	apps := o.Appendices
	if len(apps) == 0 {
		a := impound.Appendix{ID: "A"}
		for _, d := range c.Domains {
			switch d.State {
			case impound.StateCandidate, impound.StateEvidenced, impound.StateProposed:
				a.Names = append(a.Names, impound.OrderName{Name: d.Name})
			}
		}
		// By registry, as recipients want it, then by name.
		slices.SortFunc(a.Names, func(x, y impound.OrderName) int {
			if c := strings.Compare(x.Name.TLD(), y.Name.TLD()); c != 0 {
				return c
			}
			return strings.Compare(x.Name.String(), y.Name.String())
		})
		// Exhibits in the order of the list, for the names that have evidence.
		held, no := map[impound.Name]bool{}, 0
		for _, d := range c.Domains {
			held[d.Name] = len(d.Evidence) > 0
		}
		for i := range a.Names {
			if held[a.Names[i].Name] {
				no++
				a.Names[i].Exhibit = strconv.Itoa(no)
			}
		}
		a.Count = len(a.Names)
		apps = []impound.Appendix{a}
	}
	seen := map[impound.Name]impound.CaseDomain{}
	for _, d := range c.Domains {
		seen[d.Name] = d
	}
	p("# count is how many names follow, so that a list that lost some shows it.\nappendices:\n")
	for _, a := range apps {
		p("  - id: %s\n    count: %d\n", scalar(a.ID), a.Count)
		if len(a.Names) == 0 {
			p("    names: []   # REQUIRED: - name: outlook-verify[.]net\n")
			continue
		}
		p("    names:\n")
		for _, n := range a.Names {
			p("      - name: %s", n.Name.Defanged())
			var notes []string
			if u := n.Name.Unicode(); u != n.Name.String() {
				notes = append(notes, "shown as "+strings.ReplaceAll(fmt.Sprintf("%q", u), ".", "[.]"))
			}
			if d, ok := seen[n.Name]; ok && !d.FirstSeen.IsZero() {
				notes = append(notes, "first seen "+d.FirstSeen.UTC().Format(time.DateOnly))
			}
			if d := seen[n.Name]; len(d.Evidence) > 0 {
				notes = append(notes, fmt.Sprintf("%d artefacts of evidence", len(d.Evidence)))
			}
			if len(notes) > 0 {
				p("   # %s", strings.Join(notes, ", "))
			}
			p("\n")
			for _, f := range []struct{ key, value string }{
				{"exhibit", n.Exhibit}, {"roid", n.ROID}, {"registrar", n.Registrar}, {"affiant", n.Affiant},
				{"harm", n.Harm}, {"confidence", n.Confidence}, {"monitor_decision", n.Decision},
			} {
				if f.value != "" {
					p("        %s: %s\n", f.key, scalar(f.value))
				}
			}
			if n.RegistrarID != 0 {
				p("        registrar_iana_id: %d\n", n.RegistrarID)
			}
			for _, f := range []struct {
				key string
				t   time.Time
			}{{"created", n.Created}, {"expires", n.Expires}, {"provider_asked", n.Asked}} {
				if !f.t.IsZero() {
					p("        %s: %s\n", f.key, f.t.UTC().Format(time.RFC3339Nano))
				}
			}
			if len(n.Variants) > 0 {
				p("        variants: [%s]\n", defanged(n.Variants))
			}
			if n.Acts != nil {
				p("        acts:\n")
				acts(p, "          ", *n.Acts)
			}
		}
	}
	p("%s\n", EndMarker)
	return b.Bytes()
}

// dnsTerms writes what the order says of DNS beyond its acts.
func dnsTerms(p func(string, ...any), field func(indent, key, value, hint string), o impound.Order) {
	if d := o.DNS; d != nil {
		p("# Of DNS beyond the acts. Shown to the recipient, who does it by hand.\ndns:\n")
		field("  ", "subdomains", d.Subdomains, "optional: all or none: whether names below go the same way")
		if d.MX != "" {
			p("  mx: %q\n", d.MX)
		} else {
			p("  # mx: \"null\"   optional: mail is refused\n")
		}
		if d.TTL != 0 {
			p("  ttl: %d\n", d.TTL)
		}
		if len(d.Glue) > 0 {
			p("  glue:\n")
			for _, g := range d.Glue {
				p("    - {host: %q, addrs: [%s]}\n", g.Host.Defanged(), quoted(g.Addrs))
			}
		}
		if len(d.DS) > 0 {
			p("  ds:\n")
			for _, x := range d.DS {
				p("    - %s\n", scalar(x))
			}
		}
	} else {
		p("# dns:   optional: subdomains, mx, ttl, glue, ds\n")
	}
	if len(o.Sequence) > 0 {
		p("sequence:\n")
		for _, x := range o.Sequence {
			p("  - %s\n", scalar(x))
		}
	} else {
		p("# sequence:   optional: a list of who acts in what order, where more than one must\n")
	}
	if len(o.BlockCreate) > 0 {
		p("block_create:\n")
		for _, n := range o.BlockCreate {
			p("  - %s\n", n.Defanged())
		}
	} else {
		p("# block_create:   optional: a list of names that nobody has registered, and that are to stay so\n")
	}
}

func defanged(ns []impound.Name) string {
	out := make([]string, len(ns))
	for i, n := range ns {
		out[i] = n.Defanged()
	}
	return quoted(out)
}

// quoted writes a list on one line: brackets and colons need the marks.
func quoted(list []string) string {
	out := make([]string, len(list))
	for i, s := range list {
		out[i] = fmt.Sprintf("%q", s)
	}
	return strings.Join(out, ", ")
}

func choose(c bool, a, b string) string {
	if c {
		return a
	}
	return b
}

func acts(p func(string, ...any), in string, a impound.Acts) {
	if len(a.Nameservers) > 0 {
		p("%snameservers:\n", in)
		for _, n := range a.Nameservers {
			p("%s  - %s\n", in, n.Defanged())
		}
	}
	if a.Hold {
		p("%shold: true\n", in)
	}
	if a.RemoveDS {
		p("%sremove_ds: true\n", in)
	}
	if a.Registrant != "" {
		p("%sregistrant: %s\n", in, scalar(a.Registrant))
	}
	if a.Renew {
		p("%srenew: true\n", in)
	}
	if len(a.Lock) > 0 {
		p("%slock:\n", in)
		for _, s := range a.Lock {
			p("%s  - %s\n", in, scalar(s))
		}
	}
	if a.Sinkhole {
		p("%ssinkhole: true\n", in)
	}
}

var plain = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._@/+-]*( [A-Za-z0-9._@/+()-]+)*$`)

// scalar writes s so that the reader gives s back: plain when it can be, else as
// a JSON string, which YAML reads.
func scalar(s string) string {
	if plain.MatchString(s) && !slices.Contains([]string{"null", "Null", "NULL"}, s) {
		return s
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil { // a string can always be encoded
		return `""`
	}
	return strings.TrimSpace(b.String())
}
