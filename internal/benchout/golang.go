package benchout

import (
	"bufio"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
)

var procs = regexp.MustCompile(`-\d+$`)

// Copy passes on what go test -bench prints, and reports each measure in it: a
// line of N results and pairs of value and unit (go.dev/design/14313-benchmark-format).
// A measure is named PACKAGE.NAME UNIT. It gives an error when a test failed.
func Copy(w io.Writer, r io.Reader) error {
	failed, pkg := false, ""
	in := bufio.NewReader(r)
	for {
		line, err := in.ReadString('\n')
		if _, werr := io.WriteString(w, line); werr != nil {
			return werr
		}
		failed = failed || strings.HasPrefix(line, "FAIL") || strings.HasPrefix(line, "--- FAIL") || strings.HasPrefix(line, "panic:")
		if p, ok := strings.CutPrefix(line, "pkg: "); ok {
			pkg = strings.TrimPrefix(strings.TrimSpace(p), "github.com/impound/impound/")
		}
		f := strings.Fields(line)
		if len(f) >= 4 && strings.HasPrefix(f[0], "Benchmark") {
			if _, err := strconv.ParseUint(f[1], 10, 64); err == nil {
				name := pkg + "." + strings.TrimPrefix(procs.ReplaceAllString(f[0], ""), "Benchmark")
				for i := 2; i+1 < len(f); i += 2 {
					if v, err := strconv.ParseFloat(f[i], 64); err == nil {
						Report(name+" "+f[i+1], v, f[i+1], 0, true)
					}
				}
			}
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return fmt.Errorf("couldn't read the benchmarks: %w", err)
		}
	}
	if failed {
		return fmt.Errorf("a benchmark failed")
	}
	return nil
}
