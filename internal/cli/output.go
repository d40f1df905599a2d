package cli

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"

	"golang.org/x/term"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/quickjson"
)

// Exit codes, the same for every command.
const (
	ExitOK      = 0
	ExitFailure = 1
	ExitUsage   = 2 // wrong usage or input, or cancelled
	ExitAuth    = 4
	ExitRefused = 5 // refused by policy, or approvals are missing
	ExitPartial = 6
)

// Stdio is the outside of a command. Data goes to Out, messages to Err.
type Stdio struct {
	In       io.Reader
	Out, Err io.Writer
	Tty      bool // Out is a terminal: tables are aligned and have headings
	Getenv   func(string) string
}

// OS gives the process's own.
func OS() Stdio {
	return Stdio{In: os.Stdin, Out: os.Stdout, Err: os.Stderr, Tty: term.IsTerminal(int(os.Stdout.Fd())), Getenv: os.Getenv}
}

// exitCode maps an error to the exit code that scripts rely on.
func exitCode(err error) int {
	switch impound.KindOf(err) {
	case "":
		return ExitOK
	case impound.KindInvalid:
		return ExitUsage
	case impound.KindAuth:
		return ExitAuth
	case impound.KindRefused:
		return ExitRefused
	case impound.KindPartial:
		return ExitPartial
	}
	var u usageError
	if errors.As(err, &u) {
		return ExitUsage
	}
	return ExitFailure
}

type usageError struct{ error }

// printError writes err for a person: no stack, what and where and the cure on
// lines of their own.
func printError(w io.Writer, err error) {
	var ps impound.Problems
	if errors.As(err, &ps) {
		for _, p := range ps {
			printOne(w, p)
		}
		return
	}
	var e *impound.Error
	if errors.As(err, &e) {
		// Keep what wraps the error: it says what we were about.
		if whole, part := err.Error(), e.Error(); whole != part && strings.HasSuffix(whole, part) {
			c := *e
			c.Msg = strings.TrimSuffix(whole, part) + c.Msg
			e = &c
		}
		printOne(w, e)
		return
	}
	fmt.Fprintf(w, "impound: %v\n", err)
}

func printOne(w io.Writer, e *impound.Error) {
	msg := e.Msg
	if e.Err != nil {
		if msg != "" { // else it only says where
			msg += ": "
		}
		msg += e.Err.Error()
	}
	if e.Where != "" {
		msg = e.Where + ": " + msg
	}
	fmt.Fprintf(w, "impound: %s\n", msg)
	if e.Cure != "" {
		fmt.Fprintf(w, "         %s\n", e.Cure)
	}
}

// prose are the columns that hold free text: names in it are shown defanged, as
// names of their own are. "what" holds words such as order.file, too.
var prose = map[string]bool{"why": true, "what": true, "detail": true, "task": true, "title": true, "note": true, "newest word": true, "sentence": true, "network": true, "originator": true}

// table prints rows for people: aligned with headings on a terminal, bare
// tab-separated values in a pipe.
func (s Stdio) table(head []string, rows [][]string) {
	clean := strings.NewReplacer("\t", " ", "\n", " ", "\r", " ")
	for _, r := range rows {
		for i := range r {
			r[i] = printable(clean.Replace(r[i]))
			if i < len(head) && prose[head[i]] && (head[i] != "what" || strings.Contains(r[i], " ")) {
				r[i] = impound.DefangText(r[i])
			}
		}
	}
	if !s.Tty {
		w := bufio.NewWriter(s.Out)
		for _, r := range rows {
			for i, v := range r {
				if i > 0 {
					w.WriteByte('\t')
				}
				w.WriteString(v)
			}
			w.WriteByte('\n')
		}
		w.Flush()
		return
	}
	if len(rows) == 0 {
		fmt.Fprintln(s.Out, "(none)")
		return
	}
	w := tabwriter.NewWriter(s.Out, 2, 4, 2, ' ', 0)
	fmt.Fprintln(w, strings.ToUpper(strings.Join(head, "\t")))
	for _, r := range rows {
		fmt.Fprintln(w, strings.Join(r, "\t"))
	}
	w.Flush()
}

// printable shows control characters, and what turns the direction of writing or
// has no width, as code points: what came from the network must not drive the
// analyst's terminal, nor deceive the analyst.
func printable(s string) string {
	return string(impound.Show([]byte(s)))
}

func (s Stdio) json(v any) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err
	}
	_, err := s.Out.Write(append(impound.ShowJSON(indented(b.Bytes(), "")), '\n'))
	return err
}

// indented gives what a json.Encoder wrote as people read it, each line but the
// first behind prefix, without the end of the last.
func indented(b []byte, prefix string) []byte {
	b = bytes.TrimSuffix(b, []byte("\n"))
	return quickjson.AppendIndent(make([]byte, 0, len(b)+len(b)/2+64), b, prefix, "  ")
}

// jsonEach prints a list as json does, an element as soon as put is given it; what
// was put stays printed when list fails.
func (s Stdio) jsonEach(list func(put func(any) error) error) error {
	w := bufio.NewWriterSize(s.Out, 64<<10)
	var b bytes.Buffer
	n := 0
	err := list(func(v any) error {
		b.Reset()
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(v); err != nil {
			return err
		}
		if n++; n == 1 {
			w.WriteString("[\n  ")
		} else {
			w.WriteString(",\n  ")
		}
		_, err := w.Write(impound.ShowJSON(indented(b.Bytes(), "  ")))
		return err
	})
	switch {
	case err != nil: // cut where it stopped: no reader takes it for the whole
	case n == 0:
		w.WriteString("[]\n")
	default:
		w.WriteString("\n]\n")
	}
	if ferr := w.Flush(); err == nil {
		err = ferr
	}
	return err
}

// written is where output goes: it remembers the first write that failed, so that
// a table on a full disk is no success.
type written struct {
	io.Writer
	mu    sync.Mutex
	first error
}

func (w *written) Write(p []byte) (int, error) {
	n, err := w.Writer.Write(p)
	if err != nil {
		w.mu.Lock()
		if w.first == nil {
			w.first = err
		}
		w.mu.Unlock()
	}
	return n, err
}

// fault gives what kept output from being whole. That a reader wanted no more is
// none.
func (w *written) fault() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if errors.Is(w.first, syscall.EPIPE) {
		return nil
	}
	return w.first
}
