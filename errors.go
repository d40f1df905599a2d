package impound

import (
	"errors"
	"fmt"
	"strings"
)

// Kind says what sort of failure an [Error] is, for whoever must act on it: the
// command line turns it into an exit code, the API into a status.
type Kind string

// The kinds. Whatever has no kind is KindInternal.
const (
	KindInvalid     Kind = "invalid"     // the input is wrong: say what, where and the cure
	KindNotFound    Kind = "not-found"   // no such thing
	KindConflict    Kind = "conflict"    // it changed meanwhile, or exists already
	KindRefused     Kind = "refused"     // policy says no: no order, a gate, a missing approval
	KindAuth        Kind = "auth"        // not who you say you are, or not yours to do
	KindPartial     Kind = "partial"     // some of it was done, and the rest is listed
	KindUnavailable Kind = "unavailable" // a peer, a port or a disk: try again
	KindInternal    Kind = "internal"    // our fault
)

// Error is a failure that a person or an API client must act on. Msg says what
// is wrong, Where the place (file:line, a field, a name), Cure what to do.
type Error struct {
	Kind  Kind   `json:"kind"`
	Where string `json:"where,omitempty"`
	Msg   string `json:"msg"`
	Cure  string `json:"cure,omitempty"`
	Err   error  `json:"-"` // the cause, if any
}

// Error gives "where: msg: cause (cure)".
func (e *Error) Error() string {
	var b strings.Builder
	if e.Where != "" {
		b.WriteString(e.Where + ": ")
	}
	b.WriteString(e.Msg)
	if e.Err != nil {
		// Without words of its own it only says where; what ends its line leads to a list.
		if e.Msg != "" && !strings.HasSuffix(e.Msg, "\n") {
			b.WriteString(": ")
		}
		b.WriteString(e.Err.Error())
	}
	if e.Cure != "" {
		b.WriteString(" (" + e.Cure + ")")
	}
	return b.String()
}

// Unwrap gives the cause.
func (e *Error) Unwrap() error { return e.Err }

// Errorf makes an Error of kind k. A %w verb in the format becomes the cause
// without repeating its text.
func Errorf(k Kind, format string, args ...any) *Error {
	err := fmt.Errorf(format, args...)
	e := &Error{Kind: k, Msg: err.Error()}
	if cause := errors.Unwrap(err); cause != nil {
		e.Err = cause
		e.Msg = strings.TrimSuffix(strings.TrimSuffix(e.Msg, cause.Error()), ": ")
	}
	return e
}

// At adds the place to e and returns it.
func (e *Error) At(where string) *Error { e.Where = where; return e }

// WithCure adds what to do to e and returns it.
func (e *Error) WithCure(cure string) *Error { e.Cure = cure; return e }

// KindOf gives the kind of the first [Error] in err's chain, KindInternal for
// any other error, and "" for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	var p Problems
	if errors.As(err, &p) {
		return KindInvalid
	}
	return KindInternal
}

// Problems is every fault found in one input, in the order of the input. As an
// error its kind is KindInvalid.
type Problems []*Error

// Error gives one problem a line.
func (p Problems) Error() string {
	lines := make([]string, len(p))
	for i, e := range p {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Err gives p as an error, nil when there is none.
func (p Problems) Err() error {
	if len(p) == 0 {
		return nil
	}
	return p
}
