package web

import (
	"context"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	impound "github.com/impound/impound"
)

// LetterDesk is a [Desk] that knows what providers were asked for, by mail or by a
// person.
type LetterDesk interface {
	// Letters gives those of an order, oldest first; of every order for "".
	Letters(ctx context.Context, orderID string) ([]LetterView, error)
	// Letter gives one, with its parts.
	Letter(ctx context.Context, id string) (LetterView, error)
}

// LetterView is a letter, or a task, as people look at it. It holds nothing of what
// was answered but what the answer's heads say.
type LetterView struct {
	ID        string         `json:"id"`
	Kind      string         `json:"kind"`         // "request" | "reminder"
	No        int            `json:"no,omitempty"` // of a reminder
	Of        string         `json:"of,omitempty"` // of a reminder: the request's id
	Order     string         `json:"order"`
	Case      string         `json:"case,omitempty"`
	Plan      string         `json:"plan"`
	Provider  string         `json:"provider"`
	Via       string         `json:"via"` // "mail" | "manual"
	Ref       string         `json:"ref,omitempty"`
	To        []string       `json:"to,omitempty"`
	Subject   string         `json:"subject,omitempty"`
	State     string         `json:"state"` // "composed" | "unsure" | "sent" | "refused" | "void" | "done" | "closed"
	Made      time.Time      `json:"made"`
	Sent      time.Time      `json:"sent,omitzero"`
	Server    string         `json:"server_said,omitempty"` // the mail server's answer
	Delivery  string         `json:"delivery,omitempty"`    // by delivery reports: "delivered" | "delayed" | "failed"; "": none came
	DeliverAt time.Time      `json:"delivery_at,omitzero"`
	Reminders int            `json:"reminders,omitempty"`
	Next      time.Time      `json:"next_reminder,omitzero"`
	Names     []impound.Name `json:"names"`
	Open      []impound.Name `json:"open,omitempty"` // not as ordered when last looked at
	Replies   []LetterReply  `json:"replies,omitempty"`
	Unread    bool           `json:"unread,omitempty"` // an answer was filed by itself, and nobody has said what it says
	Task      string         `json:"task,omitempty"`
	Claimed   string         `json:"claimed,omitempty"` // who says that the task is done
	Body      string         `json:"body"`              // hash of what was handed over
	Parts     []LetterPart   `json:"parts,omitempty"`
}

// LetterReply is something that came back.
type LetterReply struct {
	At       time.Time `json:"at"`
	Kind     string    `json:"kind"` // "reply" | "delivered" | "delayed" | "failed" | "note"
	By       string    `json:"by"`
	Text     string    `json:"text,omitempty"`
	Artefact string    `json:"artefact,omitempty"` // sealed
}

// LetterPart went along with a letter.
type LetterPart struct {
	Name string `json:"name"`
	Hash string `json:"hash"`
	Size int    `json:"size"`
}

// beneath gives the desk that d remembers answers of, to ask what not every desk
// knows.
func beneath(d Desk) Desk {
	if m, ok := d.(*memo); ok {
		return beneath(m.Desk)
	}
	return d
}

func (l LetterView) kind() string {
	if l.No > 0 {
		return fmt.Sprintf("%s %d", l.Kind, l.No)
	}
	return l.Kind
}

// answered gives the newest thing that somebody answered; zero when nobody did.
func (l LetterView) answered() (r LetterReply) {
	for _, x := range l.Replies {
		if x.Kind == "reply" || x.Kind == "note" {
			r = x
		}
	}
	return r
}

var letterTone = map[string]string{"composed": "info", "unsure": "bad", "sent": "info", "refused": "bad", "done": "good"}
var deliveryTone = map[string]string{"delivered": "good", "delayed": "warn", "failed": "bad"}

func letterState(l LetterView) cell {
	c := cell{Value: l.State, Kind: "badge", Tone: letterTone[l.State]}
	switch l.State {
	case "composed":
		c.Text = "written, not sent"
	case "unsure":
		c.Text, c.Hint = "taken or not?", "nobody knows whether it was taken"
	case "sent":
		c.Text = "sent, waited for"
		if l.Via == "manual" {
			c.Text = "given, waited for"
		}
	case "void":
		c.Text = "not sent, and no longer to be"
	case "done":
		c.Text = "done, as seen"
	case "closed":
		c.Text = "closed by somebody"
	}
	if l.Server != "" && c.Hint == "" {
		c.Hint = defangHosts(l.Server)
	}
	return c
}

func (s *server) letterTable(ls []LetterView, order string) *table {
	t := &table{ID: "letters", Title: "Letters and tasks", Live: true, CLI: cliLine("seize", "letters", order), Empty: "No provider was asked by mail or by a task.",
		Cols: []col{txt("id", "letter"), hidden("kind", ""), txt("provider", "asked of"), txt("state", "state"), txt("sent", "sent (UTC)"), txt("delivery", "delivered"), txt("reminders", "reminders"), hidden("next_reminder", ""),
			hidden("names", ""), txt("open", "not yet"), hidden("answered", ""), txt("answer", "newest answer"), hidden("artefact", ""), hidden("ref", ""), hidden("body", "")}}
	for _, l := range ls {
		delivery := cell{Value: l.Delivery, Kind: "badge", Tone: deliveryTone[l.Delivery]}
		switch {
		case l.Delivery == "" && l.Via == "mail":
			delivery.Text = "no report yet"
		case l.Delivery == "":
			delivery = cell{Value: "", Text: "–"}
		case !l.DeliverAt.IsZero():
			delivery.Hint = clock(l.DeliverAt) + " UTC, by a delivery report"
		}
		a := l.answered()
		answer := text(defangHosts(a.Text))
		switch {
		case l.Unread:
			answer.Sub = "on " + clock(a.At) + "; nobody has said what it says"
		case a.Kind != "":
			answer.Sub = "on " + clock(a.At)
		case a.Kind == "" && l.Claimed != "":
			answer.Text = "said to be done by " + l.Claimed
		}
		via := "by mail"
		if l.Via == "manual" {
			via = "by a task"
		}
		reminders := cell{Value: l.Reminders, Text: fmt.Sprint(l.Reminders)}
		if !l.Next.IsZero() {
			reminders.Sub = "next " + l.Next.UTC().Format(time.DateOnly)
		}
		tone := ""
		if l.State == "unsure" || l.Delivery == "failed" {
			tone = "alarm"
		}
		t.Rows = append(t.Rows, row{Key: l.ID, Tone: tone, Cells: []cell{
			{Value: l.ID, Kind: "link", Href: "/letters/" + url.PathEscape(l.ID), Sub: l.kind()}, text(l.kind()), {Value: l.Provider, Sub: via}, letterState(l), s.timeCell(l.Sent), delivery, reminders, s.timeCell(l.Next),
			number(len(l.Names)), {Value: len(l.Open), Text: fmt.Sprintf("%d of %d names", len(l.Open), len(l.Names))}, s.timeCell(a.At), answer, text(a.Artefact), text(l.Ref), text(l.Body)}})
	}
	return t
}

type letterData struct {
	Letter  LetterView
	State   cell
	Kind    string
	Replies *table
	Names   *table
	Parts   *table
	Pager   *pager
}

func (s *server) letterPage(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	if err := known(q, "limit", "offset"); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	ld, ok := beneath(s.desk).(LetterDesk)
	if !ok {
		return nil, impound.Errorf(impound.KindNotFound, "there is no letter %.40q", id)
	}
	l, err := ld.Letter(ctx, id)
	if err != nil {
		return nil, err
	}
	part, err := parsePart(q, len(l.Names))
	if err != nil {
		return nil, err
	}
	cli := cliLine("seize", "letter", id)
	d := letterData{Letter: l, State: letterState(l), Kind: l.kind(), Pager: part.pager("/letters/"+url.PathEscape(id), q, len(l.Names))}
	d.Replies = &table{ID: "replies", Title: "What came back", Live: true, CLI: cli, Empty: "Nothing came back yet.",
		Cols: []col{txt("at", "when (UTC)"), txt("kind", "kind"), txt("by", "filed by"), txt("text", "what"), txt("artefact", "kept, sealed")}}
	for i, x := range slices.Backward(l.Replies) {
		kept := hashCell(x.Artefact)
		if x.Artefact == "" {
			kept = cell{Value: "", Text: "–"}
		}
		d.Replies.Rows = append(d.Replies.Rows, row{Key: fmt.Sprint(i), Cells: []cell{s.timeCell(x.At), {Value: x.Kind, Kind: "badge", Tone: deliveryTone[x.Kind]}, text(x.By), text(defangHosts(x.Text)), kept}})
	}
	d.Names = &table{ID: "names", Total: len(l.Names), Title: "Names that it asks for", Live: true, CLI: cli, Empty: "It asks for no name.", Cols: []col{txt("name", "name"), txt("state", "when last looked at")}}
	for _, n := range cutPart(l.Names, part) {
		st := cell{Value: "as-ordered", Kind: "badge", Text: "as asked for", Tone: "good"}
		if slices.Contains(l.Open, n) {
			st = cell{Value: "open", Kind: "badge", Text: "not yet", Tone: "info"}
		}
		d.Names.Rows = append(d.Names.Rows, row{Key: n.String(), Cells: []cell{nameCell(n, "/cases/"+url.PathEscape(l.Case)+"/names/"+url.PathEscape(n.String())), st}})
	}
	d.Parts = &table{ID: "parts", Title: "What went along", Live: true, CLI: cli, Empty: "Nothing but its text.", Cols: []col{txt("name", "file"), num("size", "octets"), txt("hash", "hash")}}
	for _, x := range l.Parts {
		d.Parts.Rows = append(d.Parts.Rows, row{Key: x.Name, Cells: []cell{text(defangHosts(x.Name)), number(x.Size), hashCell(x.Hash)}})
	}
	return &page{Tmpl: "letter.html", Title: "Letter " + id, Nav: "/orders", Data: d, Tables: []*table{d.Replies, d.Names, d.Parts}}, nil
}

// apiLetters gives the letters of every order, or of one: ?order=ID.
func (s *server) apiLetters(ctx context.Context, r *http.Request) (any, error) {
	q := r.URL.Query()
	if err := known(q, "order"); err != nil {
		return nil, err
	}
	ld, ok := beneath(s.desk).(LetterDesk)
	if !ok {
		return []LetterView{}, nil
	}
	ls, err := ld.Letters(ctx, q.Get("order"))
	if ls == nil {
		ls = []LetterView{}
	}
	return ls, err
}

// ---- letting go

// ReleaseDesk is a [Desk] that says what speaks against letting names go.
type ReleaseDesk interface {
	// Held gives the names of an order that are taken now, sorted, and the ways in
	// which it lets names go at this moment; why is the reason when there is none.
	Held(ctx context.Context, orderID string) (names []impound.Name, ways []string, why string, err error)
	// Risks says what speaks against letting names go in that way, looking at each
	// at its provider.
	Risks(ctx context.Context, orderID, how string, names []impound.Name) (map[impound.Name][]impound.GateVerdict, error)
}

// releaseRows is how many names a page asks the providers about.
const releaseRows = 10

type releaseData struct {
	Order   string
	How     string
	Ways    []wayLink
	Why     string
	Advice  string
	Command string
	Table   *table
	Pager   *pager
}

type wayLink struct {
	Way, Text, Href string
	Here            bool
}

var wayWords = map[string]string{"restore": "give it back as it was", "expire": "let the registration run out", "delete": "delete the registration"}

// releasePage says of each name that is held who could get it if it were let go.
// It lets nothing go: that is a plan with two approvers.
func (s *server) releasePage(ctx context.Context, r *http.Request) (*page, error) {
	q := r.URL.Query()
	if err := known(q, "how", "limit", "offset"); err != nil {
		return nil, err
	}
	id := r.PathValue("id")
	o, err := s.desk.Order(ctx, id)
	if err != nil {
		return nil, err
	}
	rd, ok := beneath(s.desk).(ReleaseDesk)
	if !ok {
		return nil, impound.Errorf(impound.KindNotFound, "nobody weighs here what follows when names are let go")
	}
	names, ways, why, err := rd.Held(ctx, id)
	if err != nil {
		return nil, err
	}
	p, err := parsePart(q, len(names))
	if err != nil {
		return nil, err
	}
	if q.Get("limit") == "" {
		p.limit = releaseRows
	}
	p.limit = min(p.limit, releaseRows) // each is asked about at its provider
	how := q.Get("how")
	if how == "" && len(ways) > 0 {
		how = ways[0]
	}
	if how != "" && wayWords[how] == "" {
		return nil, impound.Errorf(impound.KindInvalid, "%.40q is no way to let a name go", how).WithCure("restore, expire or delete")
	}
	path := "/orders/" + url.PathEscape(id) + "/release"
	d := releaseData{Order: o.ID, How: how, Why: why, Pager: p.pager(path, q, len(names))}
	for _, w := range []string{"restore", "expire", "delete"} {
		txt := w + ": " + wayWords[w]
		if !slices.Contains(ways, w) {
			txt += " (not allowed by the order now)"
		}
		d.Ways = append(d.Ways, wayLink{Way: w, Text: txt, Href: path + "?how=" + w, Here: w == how})
	}
	d.Table = &table{ID: "risks", Total: len(names), Title: "What speaks against it", CLI: cliLine("seize", "release", id, "--risk", "--how", how), Empty: "No name is held under this order: there is nothing to let go.",
		Cols: []col{txt("name", "name"), txt("advice", "advice"), txt("who", "who could get it"), txt("against", "speaks against it"), txt("for", "asked, and nothing found")}}
	shown := cutPart(names, p)
	risks := map[impound.Name][]impound.GateVerdict{}
	// An open page asks each second for what is live: nothing here is.
	if how != "" && len(shown) > 0 && q.Get("live") != "1" {
		if risks, err = rd.Risks(ctx, id, how, shown); err != nil {
			return nil, err
		}
	}
	keep := 0
	for _, n := range shown {
		var who, against, fine []string
		bad := len(risks[n]) == 0
		for _, v := range risks[n] {
			what := v.Gate
			if _, after, ok := strings.Cut(v.Gate, "-"); ok {
				what = strings.ReplaceAll(after, "-", " ")
			}
			words := what + ": " + defangHosts(v.Reason)
			switch {
			case strings.HasSuffix(v.Gate, "who-gets-it"):
				who = append(who, defangHosts(v.Reason))
				bad = bad || v.Outcome != impound.GatePass && v.Outcome != impound.GateWarn
			case v.Outcome == impound.GatePass:
				fine = append(fine, what)
			case v.Outcome == impound.GateWarn:
				against = append(against, words)
			default:
				against, bad = append(against, words), true
			}
		}
		advice := cell{Value: "may-go", Kind: "badge", Text: "nothing blocks it", Tone: "good"}
		if bad {
			keep++
			advice = cell{Value: "keep", Kind: "badge", Text: "keep it: have it renewed", Tone: "bad"}
		}
		d.Table.Rows = append(d.Table.Rows, row{Key: n.String(), Cells: []cell{
			nameCell(n, "/cases/"+url.PathEscape(o.Case)+"/names/"+url.PathEscape(n.String())), advice, text(strings.Join(who, "; ")), {Value: nonNil(against), Kind: "lines"}, text(strings.Join(fine, ", "))}})
	}
	if len(shown) > 0 {
		d.Advice = fmt.Sprintf("%d of these %d should be kept. Kept is the default: a plan leaves them out, unless it says why they go all the same, and two approvers sign that.", keep, len(shown))
		d.Command = cliLine("seize", "release", id, "NAME", "--how", how)
	}
	return &page{Tmpl: "release.html", Title: "Letting go, order " + id, Nav: "/orders", Data: d, Tables: []*table{d.Table}}, nil
}
