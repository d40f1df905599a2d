package cli

import (
	"bufio"
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
		sc := bufio.NewScanner(e.In)
		sc.Buffer(nil, 1<<20)
		for sc.Scan() && c.Context().Err() == nil {
			name, _, _ := strings.Cut(strings.TrimSuffix(sc.Text(), "\r"), "\t")
			if p, rs := dga.Score(name); p > 0 && p >= threshold {
				err := jsonLine(e.Out, struct {
					Name    string           `json:"name"`
					Score   float64          `json:"score"`
					Reasons []impound.Reason `json:"reasons"`
				}{name, p, rs})
				if err != nil {
					return err
				}
			}
		}
		if err := sc.Err(); err != nil {
			return impound.Errorf(impound.KindInvalid, "couldn't read the names: %w", err).At("standard input").WithCure("give a name a line")
		}
		return c.Context().Err()
	})
	c.Flags().BoolVar(&scores, "scores", false, "print NAME<TAB>SCORE for every line, in order; 0 is nothing seen")
	c.Flags().Float64Var(&threshold, "threshold", .9, "least score that is printed, 0 to 1")
	return c
}
