package cli

import (
	"bufio"
	"context"
	"errors"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/dga"
)

// dgaCmd scores names for known domain-generation algorithms.
func (e *env) dgaCmd() *cobra.Command {
	var scores bool
	var threshold float64
	c := verb("dga", "a filter for pipes: which names did a known algorithm make?", `  impound dga < names.txt                    # a line of JSON for each, with reasons
  impound dga --threshold 0.99 < names.txt   # fewer
  impound dga --scores < names.txt           # name, score for every line`, cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		if scores {
			return dga.Scores(c.Context(), e.In, e.Out)
		}
		return eachLine(c.Context(), e.In, func(name string) error {
			if n, err := impound.ParseName(name); err == nil {
				name = n.String() // what is none is scored as it stands: some algorithms make such
			}
			p, rs := dga.Score(name)
			if p <= 0 || p < threshold {
				return nil
			}
			if rs == nil {
				rs = []impound.Reason{}
			}
			return jsonLine(e.Out, struct {
				Name    string           `json:"name"`
				Score   float64          `json:"score"`
				Reasons []impound.Reason `json:"reasons"`
			}{name, p, rs})
		})
	})
	c.Flags().BoolVar(&scores, "scores", false, "print NAME<TAB>SCORE for every line, in order; 0 is nothing seen")
	c.Flags().Float64Var(&threshold, "threshold", .9, "least score that is printed, 0 to 1")
	return c
}

// maxTextLine is how much of a line is looked at: no name is longer.
const maxTextLine = 1 << 20

// eachLine gives the first column of each line of r, without white space around it;
// empty ones are passed over, and so is what stands behind the first MiB of a line.
func eachLine(ctx context.Context, r io.Reader, do func(string) error) error {
	br := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	for ctx.Err() == nil {
		part, err := br.ReadSlice('\n')
		line = append(line, part[:min(len(part), maxTextLine-len(line))]...)
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err != nil && !errors.Is(err, io.EOF) {
			return impound.Errorf(impound.KindUnavailable, "couldn't read the names: %w", err).At("standard input")
		}
		text, _, _ := strings.Cut(string(line), "\t")
		if text = strings.TrimSpace(text); text != "" {
			if err := do(text); err != nil {
				return err
			}
		}
		if line = line[:0]; err != nil {
			return nil
		}
	}
	return ctx.Err()
}
