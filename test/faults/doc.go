// Package faults tries what can go wrong with a sensor, for real: the command
// itself in a process of its own, killed, starved, flooded and lied to. Each
// test prints its counts.
//
// What lives here: tests of whole processes, and the load that they need. What
// must not: code that the product uses, or traffic off this machine. The short
// variants belong to all tests; IMPOUND_FAULTS=long (make faults) tries the
// same for minutes and at full size. What needs a mount or more open files than
// the limit skips, and says so, where this user may not have it.
package faults
