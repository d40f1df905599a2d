package impound

import (
	"context"
	"slices"
)

// Principal is who asks, as the edge of the house found out: the command line
// from a private key, the pages from a session, the API from a token. The
// services read it from the context. The zero Principal is nobody: it sees what
// everybody may see here, and may change nothing.
type Principal struct {
	// ID is the person, "" when nobody proved to be one. What he may do is looked
	// up in the keyring each time, so a role that was taken away is gone at once.
	ID string
	// Scopes narrow what may be done below the person's roles; nil narrows nothing.
	Scopes []Scope
	// Local are the roles of whoever sits at the machine with no name of his own,
	// for the few acts that name nobody: keeping candidates, making a plan. No
	// signature comes of them, so they can't stand in for an approver.
	Local []Role
	// System is the house itself: it puts orders in force, sealed ones too, and
	// shows nothing to anybody.
	System bool
}

// Scope is one thing that an API token may be used for.
type Scope string

// The scopes. Each is for reading: nothing is changed over the API.
const (
	ScopeCases      Scope = "cases"      // cases, names, orders, plans
	ScopeContacts   Scope = "contacts"   // contacts, counts, victims' networks
	ScopeCandidates Scope = "candidates" // what watch found
	ScopeLog        Scope = "log"        // the evidence log
)

// Scopes lists all.
var Scopes = []Scope{ScopeCases, ScopeContacts, ScopeCandidates, ScopeLog}

// May says whether p's scopes allow s.
func (p Principal) May(s Scope) bool { return p.Scopes == nil || slices.Contains(p.Scopes, s) }

type principalKey struct{}

// WithPrincipal gives ctx in the name of p.
func WithPrincipal(ctx context.Context, p Principal) context.Context {
	return context.WithValue(ctx, principalKey{}, p)
}

// AsSystem gives ctx in the name of the house itself. It is for what runs on its
// own (the policy, custody, retention), never for an answer to somebody.
func AsSystem(ctx context.Context) context.Context {
	return WithPrincipal(ctx, Principal{System: true})
}

// PrincipalOf says in whose name ctx is; the zero Principal when nobody's.
func PrincipalOf(ctx context.Context) Principal {
	p, _ := ctx.Value(principalKey{}).(Principal)
	return p
}
