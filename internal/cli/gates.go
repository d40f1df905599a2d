package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound/internal/app"
)

func (e *env) orderGatesCmd() *cobra.Command {
	return verb("gates ID", "run the gates on a filed order again: what is worse than when it was filed", "  impound order gates O-2026-1\n  impound order gates O-2026-1 --json", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			r, err := s.Casework.Recheck(ctx, args[0])
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(r)
			}
			var rows [][]string
			for _, w := range r.Worse {
				rows = append(rows, []string{w.Verdict.Gate, w.Name.Defanged(), string(w.Was), string(w.Verdict.Outcome), w.Since.UTC().Format(time.DateOnly), w.Verdict.Reason})
			}
			if len(rows) > 0 {
				e.table([]string{"gate", "name", "was", "is", "since", "why"}, rows)
			}
			fmt.Fprintf(e.Err, "%d names, %d blocked now, %d verdicts worse than when the order was filed\n", r.Names, r.Blocked, len(r.Worse))
			return nil
		})
	})
}
