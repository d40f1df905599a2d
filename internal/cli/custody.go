package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
)

// driftCmd looks as custody does, now.
func (e *env) driftCmd() *cobra.Command {
	return verb("drift ORDER", "the names that don't, or no longer, show the order; exit 6 when there are any", "  impound seize drift O-2026-1\n  impound seize drift O-2026-1 --json", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			sts, err := s.Drift(ctx, args[0])
			if err != nil {
				return err
			}
			if e.asJSON {
				if err := e.json(sts); err != nil {
					return err
				}
			} else {
				var rows [][]string
				for _, st := range sts {
					row, why := []string{st.Name.Defanged()}, ""
					for _, v := range st.Views {
						row = append(row, v.State)
						if v.State != "as-ordered" {
							why += v.View + ": " + v.Why + ". "
						}
					}
					rows = append(rows, append(row, why))
				}
				if len(rows) > 0 {
					e.table([]string{"name", "parent zone", "rdap", "resolver", "why"}, rows)
				}
			}
			if len(sts) > 0 {
				return impound.Errorf(impound.KindPartial, "%d names do not show order %s", len(sts), args[0]).WithCure("see who changed them, then: impound seize plan " + args[0])
			}
			fmt.Fprintf(e.Err, "every name that is taken shows order %s\n", args[0])
			return nil
		})
	})
}

// revertCmd plans the way back.
func (e *env) revertCmd() *cobra.Command {
	return verb("revert ORDER [NAME...]", "plan to give names back as they were before the order; changes nothing", `  impound seize revert O-2026-1 outlook-verify[.]net --as olaf
  impound seize revert O-2026-1 --as olaf          # every name that was taken

The plan takes two approvers and an apply like any other, and only while the
order is in force. A DS that was removed is not put back: the plan names it.`, cobra.MinimumNArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			var names []impound.Name
			for _, a := range args[1:] {
				n, err := impound.ParseName(a)
				if err != nil {
					return err
				}
				names = append(names, n)
			}
			p, err := s.Revert(ctx, me.ID, args[0], names...)
			if err != nil {
				return err
			}
			if e.asJSON {
				info, err := s.PlanInfo(ctx, p.ID)
				if err != nil {
					return err
				}
				return e.json(info)
			}
			fmt.Fprint(e.Out, printable(p.String()))
			fmt.Fprintf(e.Err, "two approvers are needed: impound seize approve %s --as NAME\nthen: impound seize apply %s\n", p.ID, p.ID)
			return nil
		})
	})
}
