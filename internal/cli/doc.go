// Package cli is the command line: impound NOUN VERB. It reads flags, calls
// app's system and prints. What must not live here: a rule, or anything that a
// page would need too.
package cli
