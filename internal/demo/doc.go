// Package demo is the tour that make run starts: it plays the actor, the people
// and the visitors around the production code, against the practice registry,
// all on loopback. What must not live here: anything that production needs.
package demo
