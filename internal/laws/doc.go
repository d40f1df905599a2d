// Package laws holds tests of the four laws across rooms: no order in force, no
// effect; do no harm; never keep a secret; every act is provable. They drive the
// house as people, peers and attackers would: the command line, the pages, the
// files in the state folder, the wire.
//
// What lives here: tests, and what they share. What must not: anything that
// another package imports, or a test of one room alone, which belongs beside it.
package laws
