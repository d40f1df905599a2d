// Package benchout reports what benchmarks measure: one JSON line a measure,
// appended to the file that BENCH_OUT names. Without BENCH_OUT it does nothing.
//
// What lives here: that line. What must not: measuring, or anything that the
// product needs.
package benchout

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
)

// Report appends a measure. A bar of zero means that there is none. A failure to
// write goes to standard error: no benchmark ends because of it.
func Report(measure string, value float64, unit string, bar float64, ok bool) {
	path := os.Getenv("BENCH_OUT")
	if path == "" || math.IsNaN(value) || math.IsInf(value, 0) {
		return
	}
	line := struct {
		Measure string  `json:"measure"`
		Value   float64 `json:"value"`
		Unit    string  `json:"unit"`
		Bar     float64 `json:"bar"`
		OK      bool    `json:"ok"`
	}{measure, value, unit, bar, ok}
	b, err := json.Marshal(line)
	if err == nil {
		var f *os.File
		if f, err = os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644); err == nil {
			_, err = f.Write(append(b, '\n'))
			if cerr := f.Close(); err == nil {
				err = cerr
			}
		}
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "couldn't write to BENCH_OUT: %v\n", err)
	}
}
