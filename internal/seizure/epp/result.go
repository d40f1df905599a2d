package epp

import (
	"errors"
	"fmt"

	"github.com/impound/impound"
)

// ErrUnknownOutcome is wrapped by the error of a transform command that may or
// may not have been executed: the connection was lost, the time ran out or the
// answer could not be read, after the first octet was sent. Whoever gets it
// must look (info) before acting again.
var ErrUnknownOutcome = errors.New("the outcome is unknown")

// ErrProtocol is wrapped by errors about a server that breaks the protocol.
var ErrProtocol = errors.New("the server breaks the protocol")

// Result is a server's answer to a command (RFC 5730 2.6).
type Result struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
	Reason  string `json:"reason,omitempty"` // from extValue and value, as the server put it
	ClTRID  string `json:"cltrid"`
	SvTRID  string `json:"svtrid"`
}

// OK says that the command was executed: code 1000, 1300, 1301 or 1500.
func (r Result) OK() bool {
	return r.Code == 1000 || r.Code == 1300 || r.Code == 1301 || r.Code == 1500
}

// Pending says that the command was taken but not yet executed: a poll message
// will tell (RFC 5731 3.3).
func (r Result) Pending() bool { return r.Code == 1001 }

// String gives "1000 Command completed successfully".
func (r Result) String() string {
	s := fmt.Sprintf("%d %s", r.Code, r.Message)
	if r.Reason != "" {
		s += " (" + r.Reason + ")"
	}
	return s
}

// ResultError is the cause inside the [impound.Error] of a command that the
// server answered with a failure: the command was not executed.
type ResultError struct{ Result Result }

// Error gives the server's words.
func (e *ResultError) Error() string { return e.Result.String() }

// Code gives the EPP result code in err's chain, 0 when there is none.
func Code(err error) int {
	var e *ResultError
	if errors.As(err, &e) {
		return e.Result.Code
	}
	return 0
}

// KindOfCode gives the kind of failure that a result code is, "" for success.
// 2304 (a status forbids it) and 2302 (exists) are conflicts, since the object
// is not as it was thought to be: look, then plan again. 2306 and 2308 are the
// registry's policy: refused. 2400 and 25xx are the server's own trouble: try
// again later.
func KindOfCode(code int) impound.Kind {
	switch {
	case code >= 1000 && code < 2000:
		return ""
	case code == 2104 || code == 2105 || code == 2106 || code == 2306 || code == 2308:
		return impound.KindRefused
	case code >= 2200 && code < 2300 || code == 2501:
		return impound.KindAuth
	case code == 2303:
		return impound.KindNotFound
	case code == 2307:
		return impound.KindInvalid
	case code >= 2300 && code < 2400:
		return impound.KindConflict
	case code >= 2400 && code < 2600:
		return impound.KindUnavailable
	}
	return impound.KindInvalid
}

func cureOf(code int) string {
	switch {
	case code == 2304:
		return "look at the domain's statuses: another lock may forbid the change; plan again"
	case code == 2306 || code == 2308:
		return "ask the registry which of its rules forbids it"
	case code == 2303:
		return "check the name and whether this registry holds it"
	case code == 2200 || code == 2501:
		return "check client id, password and certificate"
	case code == 2201 || code == 2202:
		return "this account may not change the object: use the sponsoring registrar's or the registry's account"
	case code == 2502:
		return "close other sessions of this account, then try again"
	case code >= 2400 && code < 2600:
		return "look at the domain, then try again later"
	}
	return ""
}

// fail turns a failing result into the error to return.
func fail(where string, r Result) error {
	return &impound.Error{Kind: KindOfCode(r.Code), Where: where, Msg: "the server refused", Cure: cureOf(r.Code), Err: &ResultError{r}}
}

func protocol(where, format string, args ...any) error {
	return &impound.Error{Kind: impound.KindInvalid, Where: where, Msg: "couldn't read the server's answer",
		Err: fmt.Errorf("%w: %w", ErrProtocol, fmt.Errorf(format, args...)), Cure: "tell the registry"}
}

func unknown(where string, cause error) error {
	return &impound.Error{Kind: impound.KindUnavailable, Where: where, Msg: "the command was sent, but no answer that can be trusted came back",
		Err: fmt.Errorf("%w: %w", ErrUnknownOutcome, cause), Cure: "look at the object before doing it again"}
}
