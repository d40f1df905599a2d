package share

import (
	"archive/zip"
	"bufio"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
)

// Format is a form of export.
type Format string

// The formats.
const (
	FormatList     Format = "list"     // a name a line, comments begin with #
	FormatDefanged Format = "defanged" // the same for people: outlook-verify[.]net
	FormatHosts    Format = "hosts"    // a hosts file that leads nowhere
	FormatCSV      Format = "csv"
	FormatJSON     Format = "json"
	FormatRPZ      Format = "rpz"  // a response policy zone as a master file
	FormatSTIX     Format = "stix" // a STIX 2.1 bundle
	FormatMISP     Format = "misp" // a MISP feed's files in a zip; WriteFeed keeps a folder
)

// Formats lists all.
var Formats = []Format{FormatList, FormatDefanged, FormatHosts, FormatCSV, FormatJSON, FormatRPZ, FormatSTIX, FormatMISP}

// Item is one name of a case that might be shared.
type Item struct {
	Name        impound.Name
	Case        string
	TLP         impound.TLP // of this name in this case; an unknown level counts as red
	State       impound.DomainState
	FirstSeen   time.Time
	Updated     time.Time   // its last change of state
	SealedUntil time.Time   // of its order
	PAP         impound.PAP // what may be done with it; an unknown level counts as red
	Originator  string      // who gave it to us; "": it is our own
	Consent     bool        // the originator allowed that it goes further
}

// Options of an export.
type Options struct {
	Org    string // who shares: "Example CSIRT"
	Domain string // its domain; the ids of STIX and MISP objects hang on it
	States []impound.DomainState
	Now    func() time.Time
	Origin string // of the RPZ; "rpz.impound.example." when empty
	Action string // of the RPZ: "nxdomain" (when empty), "nodata", "drop", or a host name to lead to
}

// Shared are the states that are shared unless Options.States says otherwise:
// names that somebody has taken over, and keeps.
var Shared = []impound.DomainState{impound.StateSeized, impound.StateSinkholed, impound.StateHeld}

// Count says what an export did with the items. It is for the one who exports;
// no file holds these numbers.
type Count struct {
	Written  int // items in the export
	Above    int // withheld: above the clearance
	Sealed   int // withheld: their order is sealed
	NotTaken int // withheld: nobody holds the name
	Kept     int // withheld: its originator did not consent, or it is above PAP:GREEN
}

func (o Options) now() time.Time {
	if o.Now == nil {
		return time.Now().UTC()
	}
	return o.Now().UTC()
}

func (o Options) org() string { return cmp.Or(oneLine(o.Org), "impound") }

func (o Options) domain() string { return cmp.Or(strings.ToLower(o.Domain), "impound.example") }

// Ref is what partners see in place of a case's id, which may name the actor:
// the same for the same case in every export, and nothing can be read from it.
func (o Options) Ref(caseID string) string { return "case-" + o.id("case", caseID)[:8] }

// Choose gives the items that somebody cleared for clearance may have, sorted
// by name, TLP and case. An unknown clearance is cleared for nothing.
func Choose(items []Item, clearance impound.TLP, o Options) ([]Item, Count) {
	states := o.States
	if len(states) == 0 {
		states = Shared
	}
	now := o.now()
	var out []Item
	var n Count
	for _, it := range items {
		switch {
		case !clearance.Valid() || !it.TLP.Within(clearance):
			n.Above++
		// No format here carries PAP, so what a partner may not use is not given.
		case it.Originator != "" && !it.Consent, !it.PAP.Within(impound.PAPGreen):
			n.Kept++
		case now.Before(it.SealedUntil):
			n.Sealed++
		case it.Name.IsZero() || !slices.Contains(states, it.State):
			n.NotTaken++
		default:
			if !it.TLP.Valid() {
				it.TLP = impound.TLPRed
			}
			out = append(out, it)
		}
	}
	n.Written = len(out)
	slices.SortStableFunc(out, func(a, b Item) int {
		return cmp.Or(cmp.Compare(a.Name.String(), b.Name.String()), cmp.Compare(rank(a.TLP), rank(b.TLP)), cmp.Compare(a.Case, b.Case))
	})
	return out, n
}

func rank(t impound.TLP) int {
	return slices.Index([]impound.TLP{impound.TLPClear, impound.TLPGreen, impound.TLPAmber, impound.TLPAmberStrict, impound.TLPRed}, t)
}

// marking is the strictest level among items: that of the whole file.
func marking(items []Item) impound.TLP {
	m := impound.TLPClear
	for _, it := range items {
		if rank(it.TLP) > rank(m) {
			m = it.TLP
		}
	}
	return m
}

func mark(t impound.TLP) string { return "TLP:" + strings.ToUpper(string(t)) }

// names gives each name of items once, in order.
func names(items []Item) []impound.Name {
	var out []impound.Name
	for _, it := range items {
		if len(out) == 0 || out[len(out)-1] != it.Name {
			out = append(out, it.Name)
		}
	}
	return out
}

// Export writes what of items somebody cleared for clearance may have, in
// format f. The error is of KindInvalid for a format, clearance or option that
// can't be.
func Export(w io.Writer, f Format, clearance impound.TLP, items []Item, o Options) (Count, error) {
	if !clearance.Valid() {
		return Count{}, impound.Errorf(impound.KindInvalid, "%q is no TLP level", string(clearance)).At("clearance").WithCure("write clear, green, amber, amber+strict or red")
	}
	chosen, n := Choose(items, clearance, o)
	b := bufio.NewWriter(w)
	var err error
	switch f {
	case FormatList, FormatDefanged:
		fmt.Fprintf(b, "# %s\n# names taken over by court order or agreement, from %s, %s\n", mark(marking(chosen)), o.org(), o.now().Format(time.RFC3339))
		for _, n := range names(chosen) {
			if f == FormatDefanged {
				fmt.Fprintln(b, n.Defanged())
			} else {
				fmt.Fprintln(b, n)
			}
		}
	case FormatHosts:
		fmt.Fprintf(b, "# %s\n# from %s, %s; a hosts file can't cover names below these\n", mark(marking(chosen)), o.org(), o.now().Format(time.RFC3339))
		for _, n := range names(chosen) {
			fmt.Fprintf(b, "0.0.0.0 %s\n:: %s\n", n, n)
		}
	case FormatCSV:
		err = writeCSV(b, chosen, o)
	case FormatJSON:
		err = writeJSON(b, chosen, o)
	case FormatRPZ:
		err = writeRPZ(b, chosen, o)
	case FormatSTIX:
		err = writeSTIX(b, chosen, o)
	case FormatMISP:
		err = zipFeed(b, chosen, o)
	default:
		var all []string
		for _, f := range Formats {
			all = append(all, string(f))
		}
		return Count{}, impound.Errorf(impound.KindInvalid, "%q is no format", string(f)).At("format").WithCure("use one of " + strings.Join(all, ", "))
	}
	if err == nil {
		err = b.Flush()
	}
	if err != nil {
		return n, fmt.Errorf("couldn't write the export: %w", err)
	}
	return n, nil
}

// jsonItem is a line of the JSON and CSV exports. Readers ignore fields that
// they don't know.
type jsonItem struct {
	Name      string `json:"name"`
	Unicode   string `json:"unicode,omitempty"` // where it differs
	State     string `json:"state"`
	FirstSeen string `json:"first_seen,omitempty"`
	Updated   string `json:"updated,omitempty"`
	TLP       string `json:"tlp"`
	Case      string `json:"case"` // see Options.Ref
}

func toJSON(it Item, o Options) jsonItem {
	j := jsonItem{Name: it.Name.String(), State: string(it.State), TLP: string(it.TLP), Case: o.Ref(it.Case), FirstSeen: stamp(it.FirstSeen), Updated: stamp(it.Updated)}
	if u := it.Name.Unicode(); u != j.Name {
		j.Unicode = u
	}
	return j
}

func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func writeCSV(w io.Writer, items []Item, o Options) error {
	c := csv.NewWriter(w)
	rows := [][]string{{"name", "unicode", "state", "first_seen", "updated", "tlp", "case"}}
	for _, it := range items {
		j := toJSON(it, o)
		rows = append(rows, []string{j.Name, j.Unicode, j.State, j.FirstSeen, j.Updated, j.TLP, j.Case})
	}
	return c.WriteAll(rows)
}

func writeJSON(w io.Writer, items []Item, o Options) error {
	out := struct {
		From  string     `json:"from"`
		Made  string     `json:"made"`
		TLP   string     `json:"tlp"`
		Names []jsonItem `json:"names"`
	}{o.org(), stamp(o.now()), string(marking(items)), []jsonItem{}}
	for _, it := range items {
		out.Names = append(out.Names, toJSON(it, o))
	}
	return encode(w, out)
}

func encode(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// writeRPZ writes a response policy zone: each name and all below it. Serial is
// the time of the export, so it grows (RFC 1982, until 2106).
func writeRPZ(w io.Writer, items []Item, o Options) error {
	origin := cmp.Or(o.Origin, "rpz.impound.example")
	on, err := impound.ParseName(origin)
	if err != nil {
		return impound.Errorf(impound.KindInvalid, "the zone's origin can't be used: %w", err).At("origin")
	}
	target := ""
	switch o.Action {
	case "", "nxdomain":
		target = "."
	case "nodata":
		target = "*."
	case "drop":
		target = "rpz-drop."
	default:
		t, err := impound.ParseName(o.Action)
		if err != nil {
			return impound.Errorf(impound.KindInvalid, "%q is neither nxdomain, nodata, drop nor a host name", oneLine(o.Action)).At("action")
		}
		target = t.FQDN()
	}
	fmt.Fprintf(w, "; %s\n; names taken over by court order or agreement, from %s\n$TTL 300\n$ORIGIN %s\n", mark(marking(items)), o.org(), on.FQDN())
	fmt.Fprintf(w, "@ SOA localhost. hostmaster.localhost. %d 3600 600 604800 300\n@ NS localhost.\n", uint32(o.now().Unix()))
	for _, n := range names(items) {
		if len(n.String())+2+1+len(on.String()) > 253 {
			return impound.Errorf(impound.KindInvalid, "%s is too long to stand below %s", n.Defanged(), on).At("origin").WithCure("take a shorter origin")
		}
		fmt.Fprintf(w, "%s CNAME %s\n*.%s CNAME %s\n", n, target, n, target)
	}
	return nil
}

func zipFeed(w io.Writer, items []Item, o Options) error {
	files, err := feed(items, o, nil)
	if err != nil {
		return err
	}
	z := zip.NewWriter(w)
	for _, f := range files {
		p, err := z.CreateHeader(&zip.FileHeader{Name: f.name, Method: zip.Deflate, Modified: o.now()})
		if err != nil {
			return err
		}
		if _, err := p.Write(f.data); err != nil {
			return err
		}
	}
	return z.Close()
}

func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
