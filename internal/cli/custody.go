package cli

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
)

// deadlinesCmd lists what is due.
func (e *env) deadlinesCmd() *cobra.Command {
	var days int
	var past bool
	c := verb("deadlines [ORDER]", "what is due when: of the orders' own lists, lapses, expiries, contests", `  impound order deadlines               # the next 90 days
  impound order deadlines PHOS-2019 --days 365 --past`, cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			now := time.Now().UTC()
			since := now
			if past {
				since = time.Time{}
			}
			list, err := s.Deadlines(ctx, since)
			if err != nil {
				return err
			}
			list = slices.DeleteFunc(list, func(d app.Deadline) bool {
				return len(args) == 1 && d.Order != args[0] || d.Due.After(now.AddDate(0, 0, days))
			})
			if e.asJSON {
				return e.json(list)
			}
			var rows [][]string
			for _, d := range list {
				left := d.Due.Sub(now)
				in := fmt.Sprintf("in %d days", int(left.Hours()/24))
				switch {
				case left < 0:
					in = fmt.Sprintf("%d days ago", int(-left.Hours()/24))
				case left < 48*time.Hour:
					in = fmt.Sprintf("in %d hours", int(left.Hours()))
				}
				rows = append(rows, []string{utc(d.Due), in, d.Order, d.Kind, printable(d.What), printable(d.Who)})
			}
			e.table([]string{"due", "", "order", "kind", "what", "who"}, rows)
			return nil
		})
	})
	c.Flags().IntVar(&days, "days", 90, "how many days to look ahead")
	c.Flags().BoolVar(&past, "past", false, "with those that have passed")
	return c
}

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
order is in force. A DS that was removed is put back after the
name servers, where those still sign with a key that it names; else the plan says
why not, and names it.`, cobra.MinimumNArgs(1), func(c *cobra.Command, args []string) error {
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
			e.nextStep(p)
			return nil
		})
	})
}
