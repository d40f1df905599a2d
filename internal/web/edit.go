package web

import (
	"bytes"
	"context"
	"crypto/subtle"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	impound "github.com/impound/impound"
)

// Worker changes what a case says of itself, in the name of whoever is logged in:
// ctx holds who, and each method asks whether he may. None signs anything, and
// none has an effect outside: that takes a person's key, on the command line. All
// methods are safe for concurrent use.
type Worker interface {
	// CaseRev gives the revision of a case's own words.
	CaseRev(ctx context.Context, caseID string) (int64, error)
	// EditCase writes title and summary; saw is what the editor was shown at rev.
	// Where somebody else wrote since, the error is KindConflict and holds both.
	EditCase(ctx context.Context, caseID string, rev int64, title, summary string, saw impound.Case) error
	AddTask(ctx context.Context, caseID string, t impound.Task) error
	DoneTask(ctx context.Context, caseID, taskID string) error
	// States gives where a person may move a name to from a state.
	States(from impound.DomainState) []impound.DomainState
	// MoveName moves a name on; from is the state that was shown. Where it moved
	// meanwhile the error is KindConflict and says by whom and why.
	MoveName(ctx context.Context, caseID string, n impound.Name, from, to impound.DomainState, why string) error
}

const maxEdit = 64 << 10 // octets of a form

type editData struct {
	On, May    bool // there is a worker; somebody is logged in
	CSRF       string
	Case       impound.Case
	Rev        int64
	Title, Sum string // as they stand in the form
	WasT, WasS string // as they were shown
	Task       struct{ Title, Owner, Due string }
	Open       []impound.Task
	Name       string // that was asked for
	Domain     *impound.CaseDomain
	State      cell
	To         []impound.DomainState
	Why, Chose string
	Claims     string // the command that settles an attribution conflict
	Said       string
	Err        *problem
}

// editable says whether path is that of an edit page.
func editable(path string) bool {
	id, ok := strings.CutPrefix(path, "/cases/")
	id, form := strings.CutSuffix(id, "/edit")
	return ok && form && id != "" && !strings.Contains(id, "/")
}

var said = map[string]string{"words": "The case's words are saved.", "task": "The task is noted.", "done": "The task is done.", "state": "The name is moved."}

func (s *server) editPage(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	s.showEdit(w, r, editData{Name: q.Get("name"), Said: said[q.Get("said")]}, http.StatusOK)
}

// edit takes one of the page's forms. What was written and not taken comes back in
// the form, so that nothing that somebody typed is lost.
func (s *server) edit(w http.ResponseWriter, r *http.Request) {
	v := visitOf(r.Context())
	if s.cfg.Work == nil || !v.Guarded {
		notAllowed(w)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxEdit)
	if err := r.ParseForm(); err != nil {
		s.fail(w, r, impound.Errorf(impound.KindInvalid, "the form can't be read, or is longer than %d KB", maxEdit>>10))
		return
	}
	f := r.PostForm
	if v.CSRF == "" || subtle.ConstantTimeCompare([]byte(f.Get("form")), []byte(v.CSRF)) != 1 {
		s.fail(w, r, impound.Errorf(impound.KindAuth, "this form is not one that was given to you, or too old").WithCure("go back, reload the page, and send it again"))
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), deadline)
	defer cancel()
	id := r.PathValue("id")
	d := editData{Name: f.Get("name")}
	var err error
	what := f.Get("do")
	switch what {
	case "words":
		rev, perr := strconv.ParseInt(f.Get("rev"), 10, 64)
		if perr != nil || rev <= 0 {
			s.fail(w, r, impound.Errorf(impound.KindInvalid, "the form doesn't say which version it changes").WithCure("reload the page"))
			return
		}
		d.Title, d.Sum, d.WasT, d.WasS = f.Get("title"), lf(f.Get("summary")), f.Get("was_title"), lf(f.Get("was_summary"))
		err = s.cfg.Work.EditCase(ctx, id, rev, strings.TrimSpace(d.Title), d.Sum, impound.Case{Title: d.WasT, Summary: d.WasS})
	case "task":
		d.Task.Title, d.Task.Owner, d.Task.Due = f.Get("title"), strings.TrimSpace(f.Get("owner")), strings.TrimSpace(f.Get("due"))
		t := impound.Task{Title: strings.TrimSpace(d.Task.Title), Owner: d.Task.Owner}
		if d.Task.Due != "" {
			if t.Due, err = time.Parse(time.DateOnly, d.Task.Due); err != nil {
				err = impound.Errorf(impound.KindInvalid, "%.20q is no date", d.Task.Due).WithCure("write it as 2026-11-30")
			} else {
				t.Due = t.Due.Add(24*time.Hour - time.Second) // by the end of that day, UTC
			}
		}
		if err == nil {
			err = s.cfg.Work.AddTask(ctx, id, t)
		}
	case "done":
		err = s.cfg.Work.DoneTask(ctx, id, f.Get("task"))
	case "state":
		d.Why, d.Chose = f.Get("why"), f.Get("to")
		var n impound.Name
		if n, err = impound.ParseName(d.Name); err == nil {
			if strings.TrimSpace(d.Why) == "" {
				err = impound.Errorf(impound.KindInvalid, "the decision gives no reason").WithCure("say why: others will read it")
			} else {
				err = s.cfg.Work.MoveName(ctx, id, n, impound.DomainState(f.Get("from")), impound.DomainState(d.Chose), strings.TrimSpace(d.Why))
			}
		}
	default:
		s.fail(w, r, impound.Errorf(impound.KindInvalid, "the form doesn't say what to do").WithCure("reload the page"))
		return
	}
	switch impound.KindOf(err) {
	case "":
		q := url.Values{"said": {what}}
		if what == "state" {
			q.Set("name", d.Name)
		}
		http.Redirect(w, r, "/cases/"+url.PathEscape(id)+"/edit?"+q.Encode(), http.StatusSeeOther)
	case impound.KindNotFound, impound.KindInternal, impound.KindUnavailable:
		s.fail(w, r, err)
	default:
		d.Err = problemOf(err)
		s.showEdit(w, r, d, statusOf[impound.KindOf(err)])
	}
}

// lf undoes what browsers make of a text's line ends.
func lf(s string) string { return strings.ReplaceAll(s, "\r\n", "\n") }

func (s *server) showEdit(w http.ResponseWriter, r *http.Request, d editData, code int) {
	ctx := r.Context()
	v := visitOf(ctx)
	c, err := s.desk.Case(ctx, r.PathValue("id"))
	if err != nil {
		s.fail(w, r, err)
		return
	}
	d.Case, d.On, d.May, d.CSRF = c, s.cfg.Work != nil && v.Guarded, v.Person != "", v.CSRF
	if d.WasT == "" { // else the form keeps what it was shown, and what was typed
		d.Title, d.Sum = c.Title, c.Summary
	}
	d.WasT, d.WasS = c.Title, c.Summary // a conflict was shown: the next try is made knowing it
	if s.cfg.Work != nil {
		if d.Rev, err = s.cfg.Work.CaseRev(ctx, c.ID); err != nil {
			s.fail(w, r, err)
			return
		}
	}
	if d.Task.Owner == "" {
		d.Task.Owner = v.Person
	}
	for _, t := range c.Tasks {
		if t.Done.IsZero() {
			d.Open = append(d.Open, t)
		}
	}
	if d.Name != "" {
		n, err := impound.ParseName(d.Name)
		if err != nil {
			d.Err = problemOf(err)
		} else {
			for i := range c.Domains {
				if c.Domains[i].Name == n {
					d.Domain = &c.Domains[i]
				}
			}
			if d.Domain == nil {
				s.fail(w, r, impound.Errorf(impound.KindNotFound, "%s is not in case %s", n.Defanged(), c.ID).WithCure("look at the names of the case"))
				return
			}
			d.Name, d.State = n.Defanged(), stateCell(d.Domain.State)
			if s.cfg.Work != nil {
				d.To = s.cfg.Work.States(d.Domain.State)
			}
			for _, g := range d.Domain.Verdicts {
				if strings.HasPrefix(g.Gate, "G15") && g.Outcome == impound.GateBlock {
					d.Claims = cliLine("case", "attribute", n.Defanged(), "--actor", c.Actor, "--why", "REASON", "--as", v.Person)
				}
			}
		}
	}
	var b bytes.Buffer
	x := view{page: &page{Title: "Edit " + c.ID, Nav: "/cases", Data: d}, Version: s.cfg.Version, Status: s.status(ctx), Path: r.URL.Path, Visit: v}
	if err := s.tmpl.ExecuteTemplate(&b, "edit.html", x); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		w.Write(b.Bytes())
	}
}
