package casework

import (
	"bytes"
	"cmp"
	"embed"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/template"
	"time"
	"unicode/utf8"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/document"
)

//go:embed templates/*.md
var templates embed.FS

// Limits of a statement.
const (
	maxTemplate  = 1 << 20
	maxStatement = 32 << 20
)

// Statement is what a template of an affidavit or declaration can use. It holds
// facts: what the order says, and what the evidence log holds. It holds no score,
// no reason, no attribution: conclusions are the declarant's. Every string is
// ready for Markdown: strangers' text can't change the paper's shape. Times are
// UTC, written out.
type Statement struct {
	Order, OrderHash, Kind          string
	IsWarrant                       bool
	Parent, ParentHash, Clause      string // of a supplement
	Court, Agreement, Docket, Judge string
	Jurisdiction, CallBack          string
	Requesting, Counsel, Technical  string
	Defendants                      []string
	Recipient                       string
	Issued, From, Until, ExecuteAt  string
	Acts                            []string // the order's, in words; names with acts of their own are in the appendix
	Capture                         string   // "count", "contact" or "lure"
	RetentionDays                   int
	Case                            string
	Appendices                      string // "appendix A"
	Count                           int    // names
	Registered, Unregistered        int    // names, as the registries said when looked at
	Unanswered                      int    // names of which nobody could be asked
	WithFacts                       int    // names with at least one fact
	Registrars                      []StatementRegistrar
	Names                           []StatementName // numbered as in the appendix
	Tools                           string          // that captured the facts, with version
	LogOrigin, LogRoot              string          // the evidence log's name, and its root in base64
	LogSize                         int64
	newest                          time.Time
	tlp                             impound.TLP
	sealed                          time.Time
	signers                         []string
	hash                            string
}

// StatementRegistrar is one registrar of registered names.
type StatementRegistrar struct {
	Name, IANA string
	Count      int
}

// StatementName is one name.
type StatementName struct {
	No                                 int
	Name                               string // A-label, whole
	ShownAs                            string // U-label, when it differs
	Foreign                            []string
	Registry, Registrar, IANA          string
	ObjectID, Created, Expires, Status string
	Nameservers, Appendix, Exhibit     string
	Facts                              []StatementFact
}

// StatementFact is one artefact of the evidence log.
type StatementFact struct {
	Entry      int64
	Text       string // what was seen
	At         string
	Hash       string // hex SHA-256
	Kind, Tool string
	By, Source string
}

// Head is the signed head of an evidence log.
type Head struct {
	Origin, Root string
	Size         int64
}

// NewStatement makes what templates use of an appendix with exhibits. tell says
// in one line what an artefact shows; "" leaves it out.
func NewStatement(a Appendix, head Head, tell func(ExhibitItem) string) Statement {
	e := document.Escape
	s := Statement{Order: e(a.Order), OrderHash: strings.TrimPrefix(a.Hash, "sha256:"), Kind: e(string(a.Kind)), IsWarrant: a.Kind == impound.KindWarrant,
		Court: e(a.Authority.Court), Agreement: e(a.Authority.Agreement), Docket: e(a.Authority.Docket), Judge: e(a.Authority.Judge), Jurisdiction: e(a.Authority.Jurisdiction), CallBack: e(a.Authority.CallBack),
		Requesting: e(a.Parties.Requesting), Counsel: e(a.Parties.Counsel), Technical: e(a.Parties.Technical), Recipient: e(a.Recipient.Name),
		Issued: longStamp(a.Issued), From: longStamp(a.From), Until: longStamp(a.Until), ExecuteAt: longStamp(a.ExecuteAt), Case: e(a.Case), Count: a.Count,
		LogOrigin: e(head.Origin), LogRoot: head.Root, LogSize: head.Size, newest: a.Issued, tlp: a.TLP, sealed: a.Sealed, signers: a.Signers, hash: a.Hash}
	for _, d := range a.Parties.Defendants {
		s.Defendants = append(s.Defendants, e(d))
	}
	if a.Parent != nil {
		s.Parent, s.ParentHash, s.Clause = e(a.Parent.ID), e(strings.TrimPrefix(a.Parent.Hash, "sha256:")), e(a.Parent.Clause)
	}
	if a.Sinkhole != nil {
		s.Capture, s.RetentionDays = e(string(a.Sinkhole.Capture)), a.Sinkhole.RetentionDays
	}
	exhibits := map[impound.Name]Exhibit{}
	for _, x := range a.Exhibits {
		exhibits[x.Name] = x
	}
	var ids, tools []string
	sets := newActSets()
	registrars := map[[2]string]int{}
	for _, g := range a.Groups {
		for _, n := range g.Names {
			if !slices.Contains(ids, n.Appendix) {
				ids = append(ids, n.Appendix)
			}
			sets.of(n.Acts)
			x := StatementName{No: len(s.Names) + 1, Name: n.Name.String(), Registry: e(g.Registry), Registrar: e(g.Registrar), IANA: e(g.RegistrarIANA), Nameservers: e(joined(n.NS)), Appendix: e(n.Appendix), Exhibit: e(n.Exhibit)}
			if n.Unicode != n.Name.String() {
				x.ShownAs = e(n.Unicode)
				for _, f := range document.Foreign(n.Unicode) {
					x.Foreign = append(x.Foreign, e(f))
				}
			}
			switch r := n.Registration; {
			case r == nil:
				s.Unanswered++
			case !r.Exists:
				s.Unregistered++
			default:
				s.Registered++
				x.ObjectID, x.Created, x.Expires, x.Status = e(r.Handle), day(r.Created), day(r.Expires), e(strings.Join(r.Status, ", "))
				registrars[[2]string{g.Registrar, g.RegistrarIANA}]++
			}
			for _, it := range exhibits[n.Name].Items {
				text := tell(it)
				if text == "" {
					continue
				}
				if it.At.After(s.newest) {
					s.newest = it.At
				}
				if it.Tool != "" && !slices.Contains(tools, it.Tool) {
					tools = append(tools, it.Tool)
				}
				x.Facts = append(x.Facts, StatementFact{it.Entry, e(text), shortStamp(it.At), strings.TrimPrefix(it.Hash, "sha256:"), e(it.Kind), e(it.Tool), e(it.By), e(it.Source)})
			}
			if len(x.Facts) > 0 {
				s.WithFacts++
			}
			s.Names = append(s.Names, x)
		}
	}
	slices.SortFunc(ids, byNumber)
	s.Appendices = "appendix " + e(strings.Join(ids, ", "))
	if len(ids) > 1 {
		s.Appendices = "appendices " + e(strings.Join(ids, ", "))
	}
	slices.Sort(tools)
	s.Tools = cmp.Or(e(strings.Join(tools, ", ")), "impound")
	for i, set := range sets.list {
		for _, rs := range paperActs(set) {
			var b strings.Builder
			for _, r := range rs {
				b.WriteString(r.Text)
			}
			if len(sets.list) > 1 {
				fmt.Fprintf(&b, " (%d names)", sets.count[i])
			}
			s.Acts = append(s.Acts, e(b.String()))
		}
	}
	for k, n := range registrars {
		s.Registrars = append(s.Registrars, StatementRegistrar{cmp.Or(e(k[0]), "a registrar whose name is not given"), e(k[1]), n})
	}
	slices.SortFunc(s.Registrars, func(x, y StatementRegistrar) int {
		return cmp.Or(-cmp.Compare(x.Count, y.Count), strings.Compare(x.Name, y.Name), strings.Compare(x.IANA, y.IANA))
	})
	return s
}

// Templates lists the built-in templates.
func Templates() []string {
	es, _ := templates.ReadDir("templates")
	var out []string
	for _, x := range es {
		out = append(out, strings.TrimSuffix(x.Name(), ".md"))
	}
	return out
}

// Template gives the text of a built-in template, to begin one's own from.
func Template(name string) (string, error) {
	b, err := templates.ReadFile("templates/" + name + ".md")
	if err != nil || strings.ContainsAny(name, "/\\") {
		return "", impound.Errorf(impound.KindNotFound, "there is no template %.64q", name).WithCure("use " + strings.Join(Templates(), " or ") + ", or a file of your own")
	}
	return string(b), nil
}

// Fill fills a template (Go's text/template over s) and gives Markdown. A fault
// of the template is KindInvalid, with its place. It reads no file and no clock.
func (s Statement) Fill(name, text string) (string, error) {
	bad := func(err error) error {
		return impound.Errorf(impound.KindInvalid, "the template can't be used: %w", err).At(name).WithCure("compare it with a built-in one: impound order affidavit --print-template declaration")
	}
	if len(text) > maxTemplate || !utf8.ValidString(text) {
		return "", bad(fmt.Errorf("it is no UTF-8 text of at most %d octets", maxTemplate))
	}
	t, err := template.New(name).Option("missingkey=error").Funcs(template.FuncMap{
		"join": func(ss []string, sep string) string { return strings.Join(ss, sep) },
	}).Parse(text)
	if err != nil {
		return "", bad(err)
	}
	var b bytes.Buffer
	if err := t.Execute(&bounded{w: &b, left: maxStatement}, s); err != nil {
		return "", bad(err)
	}
	return b.String(), nil
}

type bounded struct {
	w    io.Writer
	left int
}

func (b *bounded) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left < 0 {
		return 0, fmt.Errorf("what it makes is longer than %d octets", maxStatement)
	}
	return b.w.Write(p)
}

// Paper sets a filled template. Its note says how many places a person must
// still fill in.
func (s Statement) Paper(title, markdown string) *document.Doc {
	d := &document.Doc{Title: title, Author: unescape(s.Requesting), Subject: unescape(s.Order + ", " + s.Docket), Created: s.newest, Tool: "impound",
		Left: title + ", order " + unescape(s.Order), Right: marking(s.tlp), Foot: "order " + s.hash, Blocks: document.Markdown(markdown)}
	if n := document.Blanks(d.Blocks); n > 0 {
		d.Note = "DRAFT: " + strconv.Itoa(n) + " places, marked, are for the declarant to fill in."
	}
	return d
}

func unescape(s string) string { return strings.ReplaceAll(s, "\\", "") }
