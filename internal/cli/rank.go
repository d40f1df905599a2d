package cli

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/watch/profile"
	"github.com/impound/impound/internal/watch/trait"
)

// rankCmd ranks names by how much they are like an actor's.
func (e *env) rankCmd() *cobra.Command {
	var examples string
	var scores, alone bool
	var top int
	var habits *profile.Habits
	var observed map[impound.Name][]trait.Trait
	c := verb("rank [ACTOR]", "rank names by an actor's habits, learnt from its names", `  impound actor rank APT35 < new-names.txt                  # habits from the actor's cases
  impound actor rank --examples names.txt < new-names.txt   # or from a list: a name a line, oldest first, [tab, date]
  impound actor rank --examples names.txt --scores < new-names.txt   # name, score for every line`, cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
		var ex io.Reader
		switch {
		case examples != "" && len(args) == 1 || examples == "" && len(args) == 0:
			return usageError{fmt.Errorf("name an actor, or a file with --examples")}
		case examples != "":
			b, _, err := e.readAll(examples, 64<<20)
			if err != nil {
				return err
			}
			ex = bytes.NewReader(b)
		default:
			err := e.with(c, func(ctx context.Context, s *app.System) error {
				names, err := s.ActorNames(ctx, args[0])
				if ex = strings.NewReader(strings.Join(names, "\n")); err != nil || scores {
					return err
				}
				// What was observed counts beside the names; --scores is by names alone.
				if habits, err = s.ActorHabits(ctx, args[0]); err == nil && habits != nil {
					observed, err = s.Observed(ctx)
				}
				return err
			})
			if err != nil {
				return err
			}
		}
		list, skipped, err := profile.ReadExamples(ex)
		if err != nil {
			return impound.Errorf(impound.KindOf(err), "%w", err).At(examples)
		}
		for i, p := range skipped {
			if i == 5 {
				fmt.Fprintf(e.Err, "note: and %d lines more\n", len(skipped)-i)
				break
			}
			fmt.Fprintf(e.Err, "note: %s, %v: nothing is learnt from this line\n", examples, p)
		}
		if scores {
			return profile.Scores(c.Context(), list, e.In, e.Out, alone)
		}
		actor := "examples"
		if len(args) == 1 {
			actor = args[0]
		}
		p, err := profile.Learn(actor, list)
		if err != nil {
			return err
		}
		type ranked struct {
			Name    impound.Name     `json:"name"`
			Score   float64          `json:"score"`
			Reasons []impound.Reason `json:"reasons"`
			x       profile.Ranked
		}
		var out []ranked
		best := func() { // leaves what can still be shown
			slices.SortStableFunc(out, func(a, b ranked) int { return cmp.Compare(b.x.Bits, a.x.Bits) })
			out = out[:min(max(top, 0), len(out))]
		}
		bad := 0
		parse := func(dst, line []byte) ([]byte, bool) {
			n, err := impound.ParseName(string(bytes.TrimSpace(line)))
			return append(dst, n.String()...), err == nil
		}
		more := func(name string) float64 {
			n, err := impound.ParseName(name)
			if err != nil {
				return 0
			}
			bits, _ := habits.Bits(observed[n])
			return bits
		}
		err = p.List(c.Context(), e.In, parse, more, func(x *profile.Ranked) error {
			if len(x.Name) == 0 {
				if len(bytes.TrimSpace(x.Line)) > 0 {
					bad++
				}
				return nil
			}
			if alone {
				x.Bits, x.Host = x.Own, ""
			}
			n, err := impound.ParseName(string(x.Name))
			if err != nil {
				return err
			}
			if out = append(out, ranked{Name: n, Score: x.Score(), x: profile.Ranked{Name: slices.Clone(x.Name), Bits: x.Bits, Own: x.Own, Host: x.Host}}); len(out) > 4*top && len(out) > 4096 {
				best()
			}
			return nil
		})
		if err != nil {
			return err
		}
		best()
		for i := range out {
			_, rs := p.ScoreObserved(out[i].Name.String(), habits, observed[out[i].Name])
			out[i].Reasons = out[i].x.Reasons(p, rs)
		}
		if e.asJSON {
			return e.json(out)
		}
		var rows [][]string
		for _, r := range out {
			rows = append(rows, []string{r.Name.Defanged(), fmt.Sprintf("%.3f", r.Score), reasons(r.Reasons)})
		}
		e.table([]string{"name", "score", "why"}, rows)
		if bad > 0 {
			return impound.Errorf(impound.KindPartial, "%d lines could not be read as names; the rest was ranked", bad)
		}
		return nil
	})
	c.Flags().StringVar(&examples, "examples", "", "file with the actor's names, oldest first, optionally with a tab and a date")
	c.Flags().BoolVar(&scores, "scores", false, "print NAME<TAB>SCORE for every line, in order; 0 is nothing seen")
	c.Flags().BoolVar(&alone, "alone", false, "rank each name by itself; else a host speaks for what it stands below too, and the list is read to its end first")
	c.Flags().IntVar(&top, "top", 100, "how many to show")
	return c
}
