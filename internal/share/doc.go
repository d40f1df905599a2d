// Package share writes the names that partners may have, in the forms that
// their machines read: plain lists, hosts files, CSV, JSON, response policy
// zones, MISP feeds and STIX 2.1 bundles.
//
// What lives here: the choice of what a partner is cleared for, and the
// formats. What must not: a name above the partner's clearance, of a sealed
// order, or that nobody has taken over (a candidate, a blocked, contested or
// released name would harm its owner); an actor's name, nor a case's id, which may hold one ([Options.Ref]);
// anything about victims; sending, serving or fetching.
package share
