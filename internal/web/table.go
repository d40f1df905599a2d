package web

import (
	"bytes"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	impound "github.com/impound/impound"
)

// A table is defined once and comes out as HTML, CSV and JSON: the same rows,
// the same fields. What a cell carries (value) is what CSV and JSON give; how
// it looks in the page is the rest.
type table struct {
	ID    string // chooses it in ?table=, and is its anchor
	Title string
	Cols  []col
	Rows  []row
	CLI   string // the command that gives the same
	Empty string // said instead of an empty table
	Note  string // said below
	Total int    // how many there are, when Rows is a part
	Live  bool   // swapped by the script
	Base  string // path and query of the page, for the export links
}

type col struct {
	Key, Head string
	Num       bool
	Wrap      bool // may hold long text
	Hide      bool // in exports only: the page says it within another cell
}

func txt(key, head string) col    { return col{Key: key, Head: head} }
func num(key, head string) col    { return col{Key: key, Head: head, Num: true} }
func hidden(key, head string) col { return col{Key: key, Head: head, Hide: true} }

type row struct {
	Key   string // identity across updates
	Tone  string // "", "alarm"
	Cells []cell
}

type cell struct {
	Value any      // string, int, int64, uint64, bool, []string: for CSV and JSON
	Kind  string   // which way to draw: see table.html
	Text  string   // shown; "" = Value
	Href  string   // inside this site only
	Hint  string   // title attribute
	Sub   string   // second line, small
	Items []item   // for lists
	Tone  string   // for badges
	Brief []string // for lines: shown instead of Value
}

// Lines is what the page prints for a list.
func (c cell) Lines() []string {
	if c.Brief != nil {
		return c.Brief
	}
	all, _ := c.Value.([]string)
	return all
}

type item struct{ Tone, Text, Hint string }

// Show is what the page prints for a plain cell.
func (c cell) Show() string {
	if c.Text != "" {
		return c.Text
	}
	return plain(c.Value)
}

func plain(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case []string:
		return strings.Join(v, "; ")
	case int:
		return strconv.Itoa(v)
	case int64:
		return strconv.FormatInt(v, 10)
	case uint64:
		return strconv.FormatUint(v, 10)
	case uint32:
		return strconv.FormatUint(uint64(v), 10)
	case bool:
		return strconv.FormatBool(v)
	}
	return fmt.Sprint(v)
}

// guard keeps a spreadsheet from taking a cell for a formula: whoever is
// watched chooses user agents and names. A quote goes before whatever begins
// with a sign that starts a formula, full-width forms and white space in front
// included.
func guard(s string) string {
	t := strings.TrimLeftFunc(s, func(r rune) bool { // white space, controls, and what has no width
		return unicode.IsSpace(r) || unicode.IsControl(r) || unicode.Is(unicode.Cf, r)
	})
	r, _ := utf8.DecodeRuneInString(t)
	if strings.ContainsRune("=+-@|%＝＋－＠", r) || s != "" && strings.ContainsRune("\t\r\n", rune(s[0])) {
		return "'" + s
	}
	return s
}

func (t *table) csv(w io.Writer) error {
	c := csv.NewWriter(w)
	c.UseCRLF = true // RFC 4180
	head := make([]string, len(t.Cols))
	for i, col := range t.Cols {
		head[i] = col.Key
	}
	if err := c.Write(head); err != nil {
		return err
	}
	for _, r := range t.Rows {
		rec := make([]string, len(t.Cols))
		for i := range t.Cols {
			rec[i] = plain(r.Cells[i].Value)
			switch r.Cells[i].Value.(type) {
			case string, []string:
				rec[i] = guard(rec[i])
			}
		}
		if err := c.Write(rec); err != nil {
			return err
		}
	}
	c.Flush()
	return c.Error()
}

// json writes {"table": ID, "total": n, "rows": [{...}]} with the fields in the
// order of the columns.
func (t *table) json(w io.Writer) error {
	var b bytes.Buffer
	total := t.Total
	if total < len(t.Rows) {
		total = len(t.Rows)
	}
	fmt.Fprintf(&b, `{"table":%q,"total":%d,"rows":[`, t.ID, total)
	for i, r := range t.Rows {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString("\n{")
		for j, col := range t.Cols {
			if j > 0 {
				b.WriteByte(',')
			}
			v := r.Cells[j].Value
			if list, ok := v.([]string); ok && list == nil {
				v = []string{}
			}
			enc, err := json.Marshal(v)
			if err != nil {
				return impound.Errorf(impound.KindInternal, "couldn't encode column %s: %w", col.Key, err)
			}
			fmt.Fprintf(&b, "%q:%s", col.Key, enc)
		}
		b.WriteByte('}')
	}
	b.WriteString("\n]}\n")
	_, err := w.Write(b.Bytes())
	return err
}

// The cells.

func text(s string) cell { return cell{Value: s} }
func mono(s string) cell { return cell{Value: s, Kind: "mono"} }
func number(n int) cell  { return cell{Value: n, Kind: "num"} }

func link(s, href string) cell { return cell{Value: s, Kind: "link", Href: href} }

func short(hash string) string {
	h := strings.TrimPrefix(hash, "sha256:")
	if len(h) > 12 {
		h = h[:12]
	}
	return h
}

func hashCell(h string) cell {
	return cell{Value: h, Kind: "mono", Text: short(h), Hint: h}
}

// nameCell shows the defanged A-label, and the U-label beside it when they
// differ: never the U-label alone, since it can imitate. It never links to the
// outside.
func nameCell(n impound.Name, href string) cell {
	c := cell{Value: n.Defanged(), Kind: "name", Href: href}
	if u := n.Unicode(); u != n.String() {
		c.Sub = strings.ReplaceAll(u, ".", "[.]")
	}
	return c
}

func (s *server) timeCell(t time.Time) cell {
	if t.IsZero() {
		return cell{Value: "", Kind: "time"}
	}
	return cell{Value: t.UTC().Format(time.RFC3339), Kind: "time", Text: clock(t), Hint: relative(t, s.now())}
}

// dayCell is for dates whose time of day matters less: it stands in the hint.
func (s *server) dayCell(t time.Time) cell {
	c := s.timeCell(t)
	if !t.IsZero() {
		c.Text, c.Hint = t.UTC().Format("2006-01-02"), clock(t)+" UTC, "+c.Hint
	}
	return c
}

func clock(t time.Time) string {
	if t.IsZero() {
		return "never"
	}
	return t.UTC().Format("2006-01-02 15:04:05")
}

// relative says how far t lies from now, by whole minutes of the clock: all of
// a page's hints change together once a minute, and between two minutes a page
// on which nothing happened is "not modified".
func relative(t, now time.Time) string {
	d := now.Truncate(time.Minute).Sub(t.Truncate(time.Minute))
	if d < 0 || d == 0 && t.After(now) {
		return "in " + span(-d)
	}
	return span(d) + " ago"
}

func span(d time.Duration) string {
	switch {
	case d < time.Minute:
		return "less than a minute"
	case d < 2*time.Hour:
		return fmt.Sprintf("%d min", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%d h", d/time.Hour)
	}
	return fmt.Sprintf("%d days", d/(24*time.Hour))
}

func classCell(c impound.Class) cell {
	return cell{Value: string(c), Kind: "class", Text: className(c)}
}

func className(c impound.Class) string {
	if c == impound.ClassMailGate {
		return "mail gateway"
	}
	if c == "" {
		return "not classified"
	}
	return string(c)
}

var stateTone = map[impound.DomainState]string{
	impound.StateSinkholed: "good", impound.StateSeized: "good", impound.StateHeld: "good",
	impound.StateBlocked: "bad", impound.StateContested: "warn", impound.StateOrdered: "info",
}

func stateCell(st impound.DomainState) cell {
	return cell{Value: string(st), Kind: "badge", Tone: stateTone[st]}
}

var outcomeTone = map[impound.Outcome]string{
	impound.GatePass: "good", impound.GateWarn: "warn", impound.GateUnknown: "warn", impound.GateBlock: "bad",
}

// gatesCell sums the verdicts up: what passed as a number, all else by name.
func gatesCell(vs []impound.GateVerdict) cell {
	c := cell{Kind: "list"}
	values := []string{}
	pass := 0
	for _, v := range vs {
		values = append(values, v.Gate+" "+string(v.Outcome))
		if v.Outcome == impound.GatePass {
			pass++
			continue
		}
		tone := outcomeTone[v.Outcome]
		if tone == "" {
			tone = "warn"
		}
		c.Items = append(c.Items, item{Tone: tone, Text: string(v.Outcome) + ": " + v.Gate, Hint: defangHosts(v.Reason)})
	}
	switch {
	case len(vs) == 0:
		c.Items = append(c.Items, item{Tone: "", Text: "not run"})
	case pass > 0:
		c.Items = append(c.Items, item{Tone: "good", Text: fmt.Sprintf("%d pass", pass)})
	}
	c.Value = values
	return c
}

func reasonsCell(rs []impound.Reason) cell {
	values := []string{}
	for _, r := range rs {
		values = append(values, defangHosts(r.Text))
	}
	return cell{Value: values, Kind: "lines"}
}

// mainReasons keeps the weightiest two on the page; the export and the page of
// all contacts have them all.
func mainReasons(rs []impound.Reason) cell {
	c := reasonsCell(rs)
	if len(rs) <= 3 {
		return c
	}
	by := slices.Clone(rs)
	slices.SortStableFunc(by, func(a, b impound.Reason) int { return cmp.Compare(math.Abs(b.Weight), math.Abs(a.Weight)) })
	for _, r := range by[:2] {
		c.Brief = append(c.Brief, defangHosts(r.Text))
	}
	c.Sub = fmt.Sprintf("and %d more", len(rs)-2)
	return c
}

var lookTone = map[string]string{AsOrdered: "good", NotYet: "info", Otherwise: "bad", Unknown: "warn"}

func (s *server) lookCell(l Look) cell {
	v := l.Verdict
	if (v == "" || v == Unknown) && l.At.IsZero() {
		return cell{Value: Unknown, Kind: "badge", Text: "not looked", Hint: defangHosts(l.Detail)}
	}
	if lookTone[v] == "" {
		v = Unknown
	}
	hint := defangHosts(l.Detail)
	if !l.At.IsZero() {
		hint = strings.TrimPrefix(hint+"; looked "+clock(l.At)+" UTC", "; ")
	}
	return cell{Value: v, Kind: "badge", Text: strings.ReplaceAll(v, "-", " "), Tone: lookTone[v], Hint: hint}
}

var tlpTone = map[impound.TLP]string{
	impound.TLPClear: "tlp-clear", impound.TLPGreen: "tlp-green", impound.TLPAmber: "tlp-amber", impound.TLPAmberStrict: "tlp-amber", impound.TLPRed: "tlp-red",
}

func tlpBadge(t impound.TLP) item {
	if !t.Valid() {
		// An unknown level counts as red wherever it matters; say so here too.
		return item{Tone: "tlp-red", Text: "TLP:RED", Hint: "no valid level is set: treated as red"}
	}
	return item{Tone: tlpTone[t], Text: "TLP:" + strings.ToUpper(string(t))}
}

func tlpCell(t impound.TLP) cell {
	b := tlpBadge(t)
	return cell{Value: string(t), Kind: "badge", Text: b.Text, Tone: b.Tone, Hint: b.Hint}
}
