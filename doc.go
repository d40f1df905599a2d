// Package impound is the vocabulary of the house: the words that every room
// uses and that rooms use to meet each other. A Name is parsed once, at the
// edge; an Order is the desired state; a Mandate is an order proven genuine; a
// Permit is the only thing that a connector or a sinkhole policy accepts; an
// Event is what a sensor saw, a Contact what telemetry made of it; an Entry is
// one line of the evidence log.
//
// What lives here: types, their parsing and validation, and the rules that hold
// in every room (law 1 is [Order.Authorize] and [Mandate.Permit]). What must
// not: I/O of any kind, clocks (time is always an argument), or an import of
// another package of this module.
package impound
