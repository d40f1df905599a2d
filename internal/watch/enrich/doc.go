// Package enrich looks at candidates from outside and puts what it saw beside
// them: the registry's word, the parent zone, what resolvers say, TLS and the web
// page. What was seen changes a candidate's rank, for reasons that are written
// down, and links it to what is known already.
//
// What lives here: which candidate is due, how gently registries and hosts are
// asked, what is kept of an answer (facts and hashes, no page and nothing of a
// visitor's), and what an observation is worth. What must not: the looking
// itself (packages observe and capture), the queue (casework), or a decision. A
// look that failed is kept as a failure: unknown is not clean.
package enrich
