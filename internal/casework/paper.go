package casework

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/document"
)

// Exhibit is what the evidence log holds of one name of an order.
type Exhibit struct {
	Number string        `json:"number,omitempty"` // as the order document has it
	Name   impound.Name  `json:"name"`
	Items  []ExhibitItem `json:"items"`
}

// ExhibitItem is one artefact of the evidence log.
type ExhibitItem struct {
	Entry  int64     `json:"entry"` // its index in the log
	Hash   string    `json:"hash"`
	Kind   string    `json:"kind"`
	Source string    `json:"source"`
	Tool   string    `json:"tool"`
	By     string    `json:"by"`
	At     time.Time `json:"at"`
}

// Logged is an artefact's entry with its index in the log.
type Logged struct {
	Index int64
	Entry impound.Entry
}

// WithExhibits gives a with the artefacts of the case's log beside its names. The
// same artefact is listed once, where it was captured first.
func (a Appendix) WithExhibits(log []Logged) Appendix {
	at := map[impound.Name]int{}
	a.Exhibits = nil
	for _, g := range a.Groups {
		for _, n := range g.Names {
			at[n.Name] = len(a.Exhibits)
			a.Exhibits = append(a.Exhibits, Exhibit{Number: n.Exhibit, Name: n.Name})
		}
	}
	seen := map[string]bool{}
	for _, l := range log {
		art := l.Entry.Artefact
		if art == nil || l.Entry.Type != impound.EntryArtefact {
			continue
		}
		n := art.Name
		if n.IsZero() {
			n = l.Entry.Name
		}
		i, ok := at[n]
		if !ok || seen[n.String()+art.Hash] {
			continue
		}
		seen[n.String()+art.Hash] = true
		a.Exhibits[i].Items = append(a.Exhibits[i].Items, ExhibitItem{l.Index, art.Hash, art.Kind, art.Source, art.Tool, art.By, art.At.UTC()})
	}
	slices.SortStableFunc(a.Exhibits, func(x, y Exhibit) int {
		return cmp.Or(byNumber(x.Number, y.Number), strings.Compare(x.Name.String(), y.Name.String()))
	})
	return a
}

// byNumber puts exhibit 9 before exhibit 10, and those without a number last.
func byNumber(a, b string) int {
	if a == "" || b == "" {
		return cmp.Compare(len(b), len(a))
	}
	key := func(s string) (string, int) {
		i := len(s)
		for i > 0 && s[i-1] >= '0' && s[i-1] <= '9' && len(s)-i < 9 {
			i--
		}
		n, _ := strconv.Atoi(s[i:])
		return s[:i], n
	}
	pa, na := key(a)
	pb, nb := key(b)
	return cmp.Or(strings.Compare(pa, pb), cmp.Compare(na, nb), strings.Compare(a, b))
}

// PDF writes the appendix as PDF/A-2b, for filing.
func (a Appendix) PDF(w io.Writer) error { return a.Paper().PDF(w) }

// DOCX writes the same paper for counsel to work on.
func (a Appendix) DOCX(w io.Writer) error { return a.Paper().DOCX(w) }

// Paper gives the appendix as a paper for a court. Names stand whole, not
// defanged, and are no links: what is ordered must be exact. Strangers' text
// (registrars' names, U-labels) is shown so that it can't deceive.
func (a Appendix) Paper() *document.Doc {
	t, m := document.T, document.M
	text := func(s string) []document.Run { return []document.Run{{Text: s}} }
	mono := func(s string) []document.Run { return []document.Run{{Text: s, Style: document.Mono}} }

	ids, asOf := []string{}, a.Issued
	idn, several := false, false
	sets := newActSets()
	for _, g := range a.Groups {
		for _, n := range g.Names {
			if !slices.Contains(ids, n.Appendix) {
				ids = append(ids, n.Appendix)
			}
			sets.of(n.Acts)
			idn = idn || n.Unicode != n.Name.String()
			for _, at := range []time.Time{n.NSAsOf, regAsOf(n.Registration)} {
				if at.After(asOf) {
					asOf = at
				}
			}
		}
	}
	slices.SortFunc(ids, byNumber)
	several = len(ids) > 1
	title := "APPENDIX " + strings.Join(ids, ", ")
	if several {
		title = "APPENDICES " + strings.Join(ids, ", ")
	}
	auth := cmp.Or(a.Authority.Court, a.Authority.Agreement)
	d := &document.Doc{Title: title + " to order " + a.Order, Author: a.Parties.Requesting, Subject: strings.TrimSpace(auth + ", " + a.Authority.Docket), Created: asOf, Tool: "impound",
		Left: strings.Trim(title+" to order "+a.Order+", "+a.Authority.Docket, ", "), Right: marking(a.TLP), Foot: "order " + a.Hash}
	d.Note = paperNote(a.Signers, a.Sealed)
	add := func(bs ...document.Block) { d.Blocks = append(d.Blocks, bs...) }
	centre := func(s string) {
		if s != "" {
			add(document.Para{Centre: true, Runs: text(s)})
		}
	}
	if len(title) > 200 {
		title = "APPENDICES"
	}
	add(document.Heading{Level: 0, Text: title})
	centre("to order " + a.Order + " (" + string(a.Kind) + ")")
	centre(auth)
	centre(a.Authority.Docket)

	var f document.Fields
	field := func(label, value string) {
		if strings.TrimSpace(value) != "" {
			f = append(f, document.Field{Label: label, Value: text(value)})
		}
	}
	field("Court", a.Authority.Court)
	field("Agreement", a.Authority.Agreement)
	field("Docket", a.Authority.Docket)
	field("Judge", a.Authority.Judge)
	field("Jurisdiction", a.Authority.Jurisdiction)
	field("Requesting party", a.Parties.Requesting)
	field("Counsel", a.Parties.Counsel)
	field("Technical contact", a.Parties.Technical)
	field("Defendants", strings.Join(a.Parties.Defendants, "; "))
	served := a.Recipient.Name + " (" + a.Recipient.Role
	if a.Recipient.IANAID != 0 {
		served += ", IANA " + strconv.Itoa(a.Recipient.IANAID)
	}
	field("Served on", served+")")
	field("Authenticity check", a.Authority.CallBack)
	field("Issued", longStamp(a.Issued))
	field("In force", longStamp(a.From)+" until "+longStamp(a.Until))
	field("Execute at", longStamp(a.ExecuteAt))
	field("Confirm by", longStamp(a.ConfirmBy))
	field("Sealed until", longStamp(a.Sealed))
	if a.Authority.Gag {
		field("Secrecy", "the recipient may tell nobody, its customer included")
	}
	field("Cost", a.Authority.Cost)
	field("Letting go", releaseWords(a.Release))
	field("At the end", map[string]string{"restore": "the names are put back as they were", "release": "the names are released", "keep-lock": "the names stay locked"}[a.AtEnd])
	if a.Parent != nil {
		field("Supplements", "order "+a.Parent.ID+", by its clause "+a.Parent.Clause)
		f = append(f, document.Field{Label: "That order's hash", Value: mono(a.Parent.Hash)})
	}
	if a.Sinkhole != nil && a.Sinkhole.Capture != "" {
		field("May be recorded", map[impound.CaptureLevel]string{
			impound.CaptureCount:   "that there was a contact: name, minute, protocol",
			impound.CaptureContact: "of a contact: time, source address and port, name, method, path without query, user agent; never contents",
			impound.CaptureLure:    "of a contact: time, source address and port, name, method, path without query, user agent, and the lure token, sealed; never contents",
		}[a.Sinkhole.Capture]+fmt.Sprintf("; kept %d days", a.Sinkhole.RetentionDays))
	}
	if c := a.Custody; c != nil {
		if c.TransferTo != "" {
			to := c.TransferTo
			if c.TransferID != 0 {
				to += " (IANA " + strconv.Itoa(c.TransferID) + ")"
			}
			field("Transfer to", to)
		}
		field("Renewals paid by", c.RenewalBy)
		if c.NoRelease {
			field("At expiry", "no name is to come free")
		}
		field("Escrow", c.Escrow)
		field("Reason shown in RDAP", c.Shown)
	}
	if x := a.DNS; x != nil {
		field("Names below", map[string]string{"all": "go the same way, whatever is asked", "none": "stay as they are"}[x.Subdomains])
		field("Mail", map[string]string{"null": "refused (null MX, RFC 7505)"}[x.MX])
		if x.TTL > 0 {
			field("Delegation kept", fmt.Sprintf("for %d seconds at most", x.TTL))
		}
		field("Addresses (glue)", strings.Join(glue(x.Glue), "; "))
		field("DS records", strings.Join(x.DS, "; "))
	}
	if r := a.Rights; r != nil {
		contest := r.Contest
		if r.ContestDays > 0 {
			contest += fmt.Sprintf(" (answered within %d days)", r.ContestDays)
		}
		field("How to contest", contest)
		field("Others told", r.Notice)
		field("Bond", r.Bond)
	}
	field("Names", strconv.Itoa(a.Count))
	field("Seen", "registrations and name servers as looked at until "+longStamp(asOf))
	f = append(f, document.Field{Label: "Order's hash", Value: mono(a.Hash)})
	if a.Authority.Instrument != "" {
		f = append(f, document.Field{Label: "The court's paper", Value: mono(a.Authority.Instrument)})
	}
	if len(a.Signers) > 0 {
		field("Signed by", strings.Join(a.Signers, ", "))
	}
	add(f)

	add(document.Heading{Level: 1, Text: "What is ordered"})
	for i, s := range sets.list {
		if len(sets.list) > 1 {
			add(document.Para{Runs: []document.Run{{Text: "Acts " + sets.letter(i), Style: document.Bold}, {Text: fmt.Sprintf(", for %d names:", sets.count[i])}}})
		}
		for j, act := range paperActs(s) {
			add(document.Para{Number: strconv.Itoa(j+1) + ".", Runs: act})
		}
	}

	if len(a.Sequence) > 0 {
		add(document.Heading{Level: 1, Text: "Order of the acts"})
		for i, x := range a.Sequence {
			add(document.Para{Number: strconv.Itoa(i+1) + ".", Runs: text(x)})
		}
	}

	if len(a.Deadlines) > 0 {
		add(document.Heading{Level: 1, Text: "Deadlines"})
		tab := document.Table{Head: []string{"Due", "What", "Who"}, Widths: []float64{2.2, 5, 2}}
		for _, x := range a.Deadlines {
			tab.Rows = append(tab.Rows, []document.Cell{document.C(t(longStamp(x.Due))), document.C(t(x.What)), document.C(t(x.Who))})
		}
		add(tab)
	}

	add(document.Heading{Level: 1, Text: "Names, by registry and registrar"})
	head, widths := []string{"No.", "Domain name", "Registry object id", "Exhibit", "As registered"}, []float64{0.5, 2.8, 1.7, 0.75, 3.4}
	if several {
		head, widths = append(head, "Appendix"), append(widths, 1)
	}
	if len(sets.list) > 1 {
		head, widths = append(head, "Acts"), append(widths, 0.6)
	}
	no := 0
	for _, g := range a.Groups {
		registrar := cmp.Or(g.Registrar, "registrar not known")
		if g.RegistrarIANA != "" {
			registrar += " (IANA " + g.RegistrarIANA + ")"
		}
		names := "names"
		if len(g.Names) == 1 {
			names = "name"
		}
		tab := document.Table{Caption: fmt.Sprintf("Registry .%s – %s: %d %s", g.Registry, registrar, len(g.Names), names), Head: head, Widths: widths}
		for _, n := range g.Names {
			no++
			name := document.C(m(n.Name.String()))
			if n.Unicode != n.Name.String() {
				name = append(name, t("shown as "+n.Unicode+" (see below)"))
			}
			row := []document.Cell{document.C(t(strconv.Itoa(no))), name, nil, document.C(t(n.Exhibit)), snapshot(n)}
			row[2] = objectID(n)
			if several {
				row = append(row, document.C(t(n.Appendix)))
			}
			if len(sets.list) > 1 {
				row = append(row, document.C(t(sets.of(n.Acts))))
			}
			tab.Rows = append(tab.Rows, row)
		}
		add(tab)
	}

	if a.Parent != nil {
		add(document.Heading{Level: 1, Text: "Names no longer covered"}, t(a.nothingTaken()))
		if a.NoLongerUnsaid != "" {
			add(t(a.NoLongerUnsaid))
		}
		if len(a.NoLonger) == 0 {
			add(t("No name that is listed there for this recipient is known to be without effect now."))
		} else {
			add(t("Nothing is to be done now with the names below, and what was done is undone or under review, for the reason given."))
			tab := document.Table{Head: []string{"Domain name", "Listed in order", "Why"}, Widths: []float64{3, 2, 4}}
			for _, n := range a.NoLonger {
				tab.Rows = append(tab.Rows, []document.Cell{document.C(m(n.Name.String())), document.C(t(n.Order)), document.C(t(n.Why))})
			}
			add(tab)
		}
	}

	if len(a.Block) > 0 {
		add(document.Heading{Level: 1, Text: "Names to be kept from registration"},
			t(fmt.Sprintf("Nobody has registered these %d names; the actor's programs make them up. The registry is to refuse whoever asks for one while the order is in force. Nothing else is ordered for them.", len(a.Block))))
		tab := document.Table{Head: []string{"No.", "Domain name", "No.", "Domain name"}, Widths: []float64{0.5, 4, 0.5, 4}}
		for i := 0; i < len(a.Block); i += 2 {
			row := []document.Cell{document.C(t(strconv.Itoa(i + 1))), document.C(m(a.Block[i].String())), nil, nil}
			if i+1 < len(a.Block) {
				row[2], row[3] = document.C(t(strconv.Itoa(i+2))), document.C(m(a.Block[i+1].String()))
			}
			tab.Rows = append(tab.Rows, row)
		}
		add(tab)
	}

	if tab := drawnTable(a.Groups); len(tab.Rows) > 0 {
		add(document.Heading{Level: 1, Text: "What the order says of each name"}, tab)
	}

	if idn {
		add(document.Heading{Level: 1, Text: "Names with letters outside a to z"},
			t("The Domain Name System holds these names as in the first column. Programs show them as in the second, where letters of one script can pass for those of another; each such letter is given with its Unicode code point and script. A letter that can't be printed here stands as its code point in brackets."))
		tab := document.Table{Head: []string{"Domain name", "Shown as", "Scripts", "Letters outside a to z"}, Widths: []float64{3, 2.4, 1.5, 2.6}}
		for _, g := range a.Groups {
			for _, n := range g.Names {
				if n.Unicode == n.Name.String() {
					continue
				}
				scripts := document.Scripts(n.Unicode)
				mixed := strings.Join(scripts, ", ")
				var c document.Cell
				for _, x := range document.Foreign(n.Unicode) {
					c = append(c, t(x))
				}
				tab.Rows = append(tab.Rows, []document.Cell{document.C(m(n.Name.String())), document.C(t(n.Unicode)), document.C(t(mixed)), c})
			}
		}
		add(tab)
	}

	items := 0
	tab := document.Table{Head: []string{"Exhibit", "Domain name", "Entry", "What", "SHA-256"}, Widths: []float64{0.8, 2, 0.65, 2.6, 3.5}}
	for _, x := range a.Exhibits {
		for i, it := range x.Items {
			items++
			row := []document.Cell{nil, nil, document.C(t(strconv.FormatInt(it.Entry, 10))), document.C(t(it.Kind + " from " + it.Source + ", " + shortStamp(it.At))), document.C(m(strings.TrimPrefix(it.Hash, "sha256:")))}
			if i == 0 {
				row[0], row[1] = document.C(t(cmp.Or(x.Number, "–"))), document.C(m(x.Name.String()))
			}
			tab.Rows = append(tab.Rows, row)
		}
	}
	if items > 0 {
		add(document.Heading{Level: 1, Text: "Exhibits"},
			t("What the evidence log of case "+a.Case+" holds of each name. An entry is a line of that log, by its index; the hash is of the bytes that were captured."), tab)
	}

	if checks := checksTable(a.Groups); len(checks.Rows) > 0 {
		add(document.Heading{Level: 1, Text: "Checks against harm to others"},
			t("Each name was checked before this paper was made. A name that is marked blocked stays out of effect, whatever is ordered, until that is resolved; the others are listed where a check found something, or could not be made. Names stand by their number above."), checks)
	}
	if len(a.Missing) > 0 && len(a.Signers) < impound.MinSigners { // a note to those who draft it
		add(document.Heading{Level: 1, Text: "Not in the order, and asked for by recipients"})
		for _, x := range a.Missing {
			add(document.Para{Number: "–", Runs: text(x.Field + ": " + x.Why)})
		}
	}
	return d
}

// checksTable gives each finding of the gates once, with the numbers of the
// names that it is about; blocked ones come first.
func checksTable(groups []AppendixGroup) document.Table {
	type finding struct {
		result, why string
		nos         []int
	}
	var all []*finding
	by := map[string]*finding{}
	no := 0
	for _, g := range groups {
		for _, n := range g.Names {
			no++
			if n.Gates == "pass" {
				continue
			}
			for _, w := range n.Why {
				w = strings.NewReplacer(n.Name.Defanged(), "NAME", n.Name.String(), "NAME").Replace(w)
				f := by[n.Gates+w]
				if f == nil {
					f = &finding{result: n.Gates, why: w}
					by[n.Gates+w], all = f, append(all, f)
				}
				f.nos = append(f.nos, no)
			}
		}
	}
	slices.SortStableFunc(all, func(x, y *finding) int {
		return cmp.Or(strings.Compare(x.result, y.result), strings.Compare(x.why, y.why))
	})
	tab := document.Table{Head: []string{"Result", "Finding", "Names"}, Widths: []float64{0.7, 5, 2.2}}
	for _, f := range all {
		tab.Rows = append(tab.Rows, []document.Cell{document.C(document.T(f.result)), document.C(document.T(f.why)), document.C(document.T(ranges(f.nos)))})
	}
	return tab
}

// ranges writes 1, 2, 3, 7 as "1–3, 7".
func ranges(ns []int) string {
	var out []string
	for i := 0; i < len(ns); {
		j := i
		for j+1 < len(ns) && ns[j+1] == ns[j]+1 {
			j++
		}
		if j > i {
			out = append(out, fmt.Sprintf("%d–%d", ns[i], ns[j]))
		} else {
			out = append(out, strconv.Itoa(ns[i]))
		}
		i = j + 1
	}
	return strings.Join(out, ", ")
}

// objectID is the registry's id of a name: as it was looked at, and as the order
// was drawn up where that differs.
func objectID(n AppendixName) document.Cell {
	now := ""
	if n.Registration != nil {
		now = n.Registration.Handle
	}
	switch drawn := n.Drawn.ROID; {
	case drawn == "" || drawn == now:
		return document.C(document.M(now))
	case now == "":
		return document.C(document.M(drawn), document.T("in the order"))
	default:
		return document.C(document.M(now), document.T("in the order: "+drawn))
	}
}

// drawnTable is what the order itself says of names; without rows when it says
// nothing.
func drawnTable(groups []AppendixGroup) document.Table {
	tab := document.Table{Head: []string{"No.", "Domain name", "Harm", "Attribution", "Sworn by", "Provider asked", "Registration then"}, Widths: []float64{0.5, 2.2, 2.4, 1.2, 1.3, 1.2, 2}}
	no := 0
	t := document.T
	for _, g := range groups {
		for _, n := range g.Names {
			no++
			d := n.Drawn
			var then document.Cell
			if d.Registrar != "" {
				r := d.Registrar
				if d.RegistrarID != 0 {
					r += " (IANA " + strconv.Itoa(d.RegistrarID) + ")"
				}
				then = append(then, t(r))
			}
			if !d.Created.IsZero() || !d.Expires.IsZero() {
				then = append(then, t("created "+orUnknown(day(d.Created))+", expires "+orUnknown(day(d.Expires))))
			}
			if d.Affiant+d.Harm+d.Confidence+d.Decision == "" && d.Asked.IsZero() && len(then) == 0 {
				continue
			}
			sure := d.Confidence
			if sure != "" {
				sure += " confidence"
			}
			said := document.C(t(sure))
			if d.Decision != "" {
				said = append(said, t("monitor's decision "+d.Decision))
			}
			tab.Rows = append(tab.Rows, []document.Cell{document.C(t(strconv.Itoa(no))), document.C(document.M(n.Name.String())), document.C(t(d.Harm)), said, document.C(t(d.Affiant)), document.C(t(day(d.Asked))), then})
		}
	}
	return tab
}

func regAsOf(r *Registration) time.Time {
	if r == nil {
		return time.Time{}
	}
	return r.AsOf
}

// snapshot is what was seen of a name.
func snapshot(n AppendixName) document.Cell {
	var c document.Cell
	say := func(s string) { c = append(c, document.T(s)) }
	switch r := n.Registration; {
	case r == nil:
		say("not known: no answer by RDAP")
	case !r.Exists:
		say("not registered, says the registry at " + shortStamp(r.AsOf))
	default:
		say("created " + orUnknown(day(r.Created)) + ", expires " + orUnknown(day(r.Expires)))
		if len(r.Status) > 0 {
			say("status " + strings.Join(r.Status, ", "))
		}
		if r.Signed {
			say("signed (DS at the parent)")
		}
		if shortStamp(r.AsOf) != shortStamp(n.NSAsOf) {
			say("seen " + shortStamp(r.AsOf))
		}
	}
	if !n.NSAsOf.IsZero() {
		ns := strings.ReplaceAll(joined(n.NS), " ", ", ")
		if ns == "" {
			ns = "none"
		}
		say("name servers " + ns)
		say("seen " + shortStamp(n.NSAsOf))
	}
	return c
}

func day(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.DateOnly)
}

func shortStamp(t time.Time) string {
	if t.IsZero() {
		return "at an unknown time"
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

func longStamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2 January 2006 15:04:05 UTC")
}

// marking is the traffic-light label; a paper without one is treated as red.
func marking(t impound.TLP) string {
	if t == "" {
		return "TLP:RED (none is set)"
	}
	return "TLP:" + strings.ToUpper(string(t))
}

func paperNote(signers []string, sealed time.Time) string {
	var note []string
	if n := len(signers); n < impound.MinSigners {
		note = append(note, fmt.Sprintf("DRAFT: signed by %d of %d people. It orders nothing.", n, impound.MinSigners))
	}
	if !sealed.IsZero() {
		note = append(note, "UNDER SEAL UNTIL "+strings.ToUpper(longStamp(sealed)))
	}
	return strings.Join(note, " ")
}

// paperActs says what is ordered, in the order of execution.
func paperActs(a impound.Acts) [][]document.Run {
	var out [][]document.Run
	say := func(s, mono string) {
		rs := []document.Run{{Text: s}}
		if mono != "" {
			rs = append(rs, document.Run{Text: " " + mono, Style: document.Mono})
		}
		out = append(out, rs)
	}
	if len(a.Nameservers) > 0 {
		say("Set the name servers to", strings.ReplaceAll(joined(a.Nameservers), " ", ", "))
	}
	if a.Hold {
		say("Take the name out of its zone (hold).", "")
	}
	if a.RemoveDS {
		say("Remove every DS record.", "")
	}
	if a.Registrant != "" {
		say("Set the registrant to "+a.Registrant, "")
	}
	if a.Renew {
		say("Renew the registration, a year at a time, when it is about to end.", "")
	}
	if len(a.Lock) > 0 {
		say("Then set the statuses", strings.Join(a.Lock, ", "))
	}
	if a.Sinkhole {
		say("The requesting party answers for the name and all below it (sinkhole).", "")
	}
	return out
}

// actSets gives each different set of acts a letter.
type actSets struct {
	list  []impound.Acts
	count []int
	keys  map[string]int
}

func newActSets() *actSets { return &actSets{keys: map[string]int{}} }

func (s *actSets) of(a impound.Acts) string {
	b, _ := json.Marshal(a) // holds nothing that can't be encoded
	i, ok := s.keys[string(b)]
	if !ok {
		i = len(s.list)
		s.keys[string(b)] = i
		s.list, s.count = append(s.list, a), append(s.count, 0)
	}
	s.count[i]++
	return s.letter(i)
}

func (s *actSets) letter(i int) string {
	if i < 26 {
		return string(rune('A' + i))
	}
	return s.letter(i/26-1) + string(rune('A'+i%26))
}
