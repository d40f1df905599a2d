package cli

import (
	"fmt"

	"github.com/spf13/cobra"
)

// A list can hold 10,000 names, and a log millions of lines. Commands give a part
// of it unless they are told otherwise, quickly, and say on standard error what
// they left out and how to have it.
const (
	partRows = 200 // for a person
	partJSON = 500 // for a program
)

// part is what somebody wants of a long list.
type part struct {
	c             *cobra.Command
	limit, offset int
	json          int // what a program gets unless it says more
}

// partFlags gives c the flags --limit and --offset; what is what they count.
func partFlags(c *cobra.Command, what string) *part {
	return partFlagsOf(c, what, partJSON)
}

// partFlagsOf is partFlags for what takes longer to read.
func partFlagsOf(c *cobra.Command, what string, json int) *part {
	p := &part{c: c, json: json}
	c.Flags().IntVar(&p.limit, "limit", partRows, fmt.Sprintf("how many %s at most (with --json %d); 0 for all", what, json))
	c.Flags().IntVar(&p.offset, "offset", 0, "how many "+what+" to leave out first")
	return p
}

// read gives the part that is asked for; limit 0 is all.
func (e *env) part(p *part) (offset, limit int, err error) {
	if p.limit < 0 || p.offset < 0 {
		return 0, 0, usageError{fmt.Errorf("--limit and --offset count: give 0 or more")}
	}
	limit = p.limit
	if e.asJSON && !p.c.Flags().Changed("limit") {
		limit = p.json
	}
	return p.offset, limit, nil
}

// left says what a part of n rows left out of total, when it did.
func (e *env) left(offset, n, total int, what string) {
	switch next := offset + n; {
	case n >= total:
	case n == 0:
		fmt.Fprintf(e.Err, "none of %d %s: --offset %d is behind the last\n", total, what, offset)
	case next < total:
		fmt.Fprintf(e.Err, "%s %d to %d of %d; the next: --offset %d, all: --limit 0\n", what, offset+1, next, total, next)
	default:
		fmt.Fprintf(e.Err, "%s %d to %d of %d, the last\n", what, offset+1, next, total)
	}
}
