// Package telemetry makes contacts of events: it says what each visitor of a
// seized name was, with reasons, counts them, and answers questions about them.
//
// What lives here: who is responsible for an address ([Networks]), the pure
// judgement of what a source did ([Classifier]), storage behind [Engine] with
// the SQLite engine, rollups, queries and retention. What must not: sending
// anything to anybody (that is notify), knowing orders beyond their id, keeping
// a contact past its retention, or storing what the capture level does not
// allow: every event is cut down again on the way in ([Cut]).
package telemetry
