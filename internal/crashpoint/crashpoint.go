// Package crashpoint marks the moments at which a process may be killed and
// something durable has just been, or is about to be, done. Rooms pass through
// them; tests of whole processes end or hold the process there.
//
// What lives here: the mark. What must not: anything that the product itself sets
// or reads, such as a variable of the environment.
package crashpoint

// At, set by a test's child process before anything else runs, is called at each
// point, from any goroutine. It is nil in the product.
var At func(point string)

// Pass says that point is reached.
func Pass(point string) {
	if At != nil {
		At(point)
	}
}
