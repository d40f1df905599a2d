package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/impound/impound/internal/app"
)

func (e *env) contestCmd() *cobra.Command {
	list := verb("list", "claims by the public form, and what to do with each", "  impound contest list\n  impound contest list --json", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			rs, err := s.Claims(ctx)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(append([]app.ClaimRow{}, rs...))
			}
			var rows [][]string
			for _, r := range rs {
				rows = append(rows, []string{r.Ref, r.Name.Defanged(), utc(r.At), utc(r.Due), r.State, strings.Join(r.Order, " "), r.Why})
			}
			e.table([]string{"ref", "name", "made", "answer by", "state", "orders", "why"}, rows)
			for _, r := range rs {
				if r.State != "open" {
					continue
				}
				fmt.Fprintf(e.Err, "read %s:       impound evidence show %s | age -d -i KEY\n", r.Ref, r.Hash)
				fmt.Fprintf(e.Err, "  take it up:  impound case contest %s --why \"claim %s\" --as NAME\n", r.Name.Defanged(), r.Ref)
				for _, o := range r.Order {
					fmt.Fprintf(e.Err, "  give it back: impound seize revert %s %s --as NAME\n", o, r.Name.Defanged())
				}
				fmt.Fprintf(e.Err, "  or dismiss:  impound contest dismiss %s --why \"...\" --as NAME\n", r.Ref)
			}
			return nil
		})
	})
	var why string
	dismiss := verb("dismiss REF", "record that counsel found nothing in a claim", "  impound contest dismiss CL-abc --why \"the writer could not show that the name is his\" --as carla", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			if err := s.DismissClaim(ctx, me.ID, args[0], why); err != nil {
				return err
			}
			fmt.Fprintf(e.Err, "dismissed %s\n", args[0])
			return nil
		})
	})
	dismiss.Flags().StringVar(&why, "why", "", "the reason, for a judge to read")
	_ = dismiss.MarkFlagRequired("why")
	return group("contest", "claims of those whom an order hits, by the public form (contest: listen: in the configuration)", "  impound contest list\n  impound contest dismiss CL-abc --why \"...\" --as carla", list, dismiss)
}
