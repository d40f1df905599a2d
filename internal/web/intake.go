package web

import (
	"bytes"
	"context"
	"crypto/subtle"
	"io"
	"net/http"
	"strings"
	"unicode/utf8"

	impound "github.com/impound/impound"
)

// Report is what was found in a report that somebody pasted. Nothing of it is
// kept: the page shows it, and gives the command that takes what was ticked.
type Report struct {
	File     string
	Format   string
	Names    []ReportName
	Facts    []ReportFact
	Problems []*impound.Error
}

// ReportName is a name, proposed for a case or set apart.
type ReportName struct {
	Name     impound.Name
	Proposed bool
	Why      string
	Sentence string
	Times    int
}

// ReportFact is anything else: a docket, a count, an alias, a date, an address.
type ReportFact struct{ Kind, Value, Why, Sentence string }

const (
	maxReport  = 16 << 20 // octets of a pasted or chosen report
	maxShown   = 2000     // names and facts of one preview
	maxTicks   = 2000
	maxAliases = 50
	maxReports = 2 // at once
)

type intakeData struct {
	CSRF     string
	On       bool
	Read     bool
	Report   Report
	Proposed int
	Left     int // names and facts beyond maxShown
	Cases    []CaseHead
	Case     string
	Lines    string // the names that were ticked, as the command takes them
	Ticked   int
	Aliases  []string // that were ticked
	Docket   string
	Err      *problem
}

func (s *server) intakePage(w http.ResponseWriter, r *http.Request) {
	s.showIntake(w, r, intakeData{Case: r.URL.Query().Get("case")}, http.StatusOK)
}

// intake reads a report, or gives the command for what was ticked.
func (s *server) intake(w http.ResponseWriter, r *http.Request) {
	if s.cfg.Intake == nil {
		notAllowed(w)
		return
	}
	select {
	case s.reports <- struct{}{}:
		defer func() { <-s.reports }()
	default:
		s.fail(w, r, impound.Errorf(impound.KindUnavailable, "other reports are being read").WithCure("try again in a moment"))
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxReport+64<<10)
	// All in memory: a report never lies in a temporary file.
	if err := r.ParseMultipartForm(maxReport + 64<<10); err != nil {
		s.fail(w, r, impound.Errorf(impound.KindInvalid, "the form can't be read, or the report is longer than %d MiB", maxReport>>20).WithCure("use the command: impound case intake FILE"))
		return
	}
	defer r.MultipartForm.RemoveAll()
	if v := visitOf(r.Context()); v.Guarded && subtle.ConstantTimeCompare([]byte(r.PostForm.Get("form")), []byte(v.CSRF)) != 1 {
		s.fail(w, r, impound.Errorf(impound.KindAuth, "this form is not one that was given to you, or too old").WithCure("go back, reload the page, and send it again"))
		return
	}
	d := intakeData{Case: r.PostForm.Get("case")}
	for _, a := range r.PostForm["alias"] {
		if len(d.Aliases) < maxAliases && len(a) <= 200 && utf8.ValidString(a) {
			d.Aliases = append(d.Aliases, a)
		}
	}
	if k := r.PostForm.Get("docket"); len(k) <= 200 && utf8.ValidString(k) {
		d.Docket = k
	}
	if ticks := r.PostForm["tick"]; len(ticks) > 0 || r.PostForm.Get("step") == "tick" {
		d.Lines, d.Ticked = "", 0
		var b strings.Builder
		for _, t := range ticks[:min(len(ticks), maxTicks)] {
			n, err := impound.ParseName(t)
			if err != nil {
				s.fail(w, r, impound.Errorf(impound.KindInvalid, "one of the ticked names is none"))
				return
			}
			b.WriteString(n.Defanged() + "\n")
			d.Ticked++
		}
		d.Lines = b.String()
		if d.Ticked == 0 && len(d.Aliases) == 0 && d.Docket == "" {
			d.Err = &problem{Msg: "nothing is ticked", Cure: "go back and tick the names that are the actor's"}
		}
		s.showIntake(w, r, d, http.StatusOK)
		return
	}
	name, body := "pasted", []byte(r.PostForm.Get("report"))
	if f, h, err := r.FormFile("file"); err == nil {
		b, err := io.ReadAll(io.LimitReader(f, maxReport+1))
		f.Close()
		if err == nil && len(b) > 0 {
			name, body = h.Filename, b
		}
	}
	if len(bytes.TrimSpace(body)) == 0 {
		d.Err = &problem{Msg: "there is no report", Cure: "paste its text, or choose a file"}
		s.showIntake(w, r, d, http.StatusBadRequest)
		return
	}
	ctx, cancel := context.WithTimeout(r.Context(), deadline)
	defer cancel()
	rep, err := s.cfg.Intake(ctx, name, body)
	if err != nil {
		s.fail(w, r, err)
		return
	}
	d.Read, d.Report = true, rep
	for _, n := range rep.Names {
		if n.Proposed {
			d.Proposed++
		}
	}
	if n := len(d.Report.Names); n > maxShown {
		d.Report.Names, d.Left = d.Report.Names[:maxShown], n-maxShown
	}
	if n := len(d.Report.Facts); n > maxShown {
		d.Report.Facts, d.Left = d.Report.Facts[:maxShown], d.Left+n-maxShown
	}
	s.showIntake(w, r, d, http.StatusOK)
}

// Command is the line that adds the ticked names to a case; the shell takes the
// names from the lines below it.
func (d intakeData) Command() string {
	id := d.Case
	if id == "" {
		id = "CASE"
	}
	return cliLine("case", "add", id, "-") + " <<'NAMES'\n" + d.Lines + "NAMES"
}

// ActorCommand is the line that adds the ticked aliases to an actor.
func (d intakeData) ActorCommand() string {
	args := []string{"actor", "add", "ACTOR"}
	for _, a := range d.Aliases {
		args = append(args, "--alias", a)
	}
	return cliLine(append(args, "--source", "REPORT")...)
}

// OrderCommand is the line that begins an order with the ticked fact in it.
func (d intakeData) OrderCommand() string {
	id := d.Case
	if id == "" {
		id = "CASE"
	}
	return cliLine("order", "draft", id, "--id", "ORDER", "--docket", d.Docket, "--out", "order.yaml")
}

func (s *server) showIntake(w http.ResponseWriter, r *http.Request, d intakeData, code int) {
	d.On, d.CSRF = s.cfg.Intake != nil, visitOf(r.Context()).CSRF
	cases, err := s.desk.Cases(r.Context())
	if err != nil {
		s.fail(w, r, err)
		return
	}
	d.Cases = cases
	var b bytes.Buffer
	v := view{page: &page{Title: "Read a report", Nav: "/intake", Data: d}, Version: s.cfg.Version, Status: s.status(r.Context()), Path: r.URL.Path, Visit: visitOf(r.Context())}
	if err := s.tmpl.ExecuteTemplate(&b, "intake.html", v); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(code)
	if r.Method != http.MethodHead {
		w.Write(impound.Show(b.Bytes()))
	}
}
