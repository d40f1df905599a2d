// Command benchlines passes on what go test -bench prints, and writes each
// measure of it to the file that BENCH_OUT names. It ends with 1 when a
// benchmark failed.
//
// What lives here: that pipe. What must not: measuring.
package main

import (
	"fmt"
	"os"

	"github.com/impound/impound/internal/benchout"
)

func main() {
	if err := benchout.Copy(os.Stdout, os.Stdin); err != nil {
		fmt.Fprintln(os.Stderr, "benchlines:", err)
		os.Exit(1)
	}
}
