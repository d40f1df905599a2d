// Package spool keeps what a sensor saw: the durability boundary of the house.
// An event stands in a preallocated memory-mapped journal, numbered and with a
// checksum, when [Spool.Append] returns, so that an answer that leaves
// afterwards is never without its event, whatever becomes of the process. A
// timer (msync) bounds what a power cut takes. Full journals are sealed to
// sorted zstd Parquet in the background. Disk use is bounded: shipped segments
// go first; when nothing can go, recording stops and the gap is counted and
// recorded.
//
// What lives here: the journal's format, sealing, reading both (also from
// another process, while they are written), and the bounds. What must not:
// deciding what of a contact may be kept, classifying it, the network, or a
// database.
package spool
