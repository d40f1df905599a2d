package cli

import (
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
)

// withdrawCmd ends an order before its date.
func (e *env) withdrawCmd() *cobra.Command {
	var why string
	c := verb("withdraw ID", "end an order before its date: from now on it and its supplements permit nothing; it can't be taken back",
		`  impound order withdraw O-2026-1 --why "dissolved by the court on 21 November, docket entry 44" --as carla`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
			return e.with(c, func(ctx context.Context, s *app.System) error {
				row, _, _, err := s.Casework.Order(ctx, args[0])
				if err != nil {
					return err
				}
				me, err := e.me(s)
				if err != nil {
					return err
				}
				w := casework.NewWithdrawal(row.ID, row.Hash, why, time.Now())
				w.Signature = me.Sign(casework.SignWithdrawal, w.Digest(), time.Now())
				if err := s.Casework.Withdraw(ctx, w); err != nil {
					return err
				}
				if !row.Ended.IsZero() {
					fmt.Fprintf(e.Err, "order %s had no force any more since %s\n", row.ID, utc(row.Ended))
					return nil
				}
				fmt.Fprintf(e.Err, "withdrawn: order %s permits nothing from now on; sensors stop with their next policy, at the latest when the one that they have runs out\nnext: impound seize status %s   # what still stands at the registries\n", row.ID, row.ID)
				return nil
			})
		})
	c.Flags().StringVar(&why, "why", "", "the court's decision and its date; it is recorded")
	_ = c.MarkFlagRequired("why")
	return c
}
