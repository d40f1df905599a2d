package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/seizure"
)

// releaseCmd plans to let names go.
func (e *env) releaseCmd() *cobra.Command {
	var how, despite string
	var risk bool
	c := verb("release [ORDER] NAME...", "plan to let names go for good, after weighing who could get them; changes nothing", `  impound seize release O-2026-1 outlook-verify[.]net --risk      # what speaks against it; no plan
  impound seize release O-2026-1 outlook-verify[.]net --how expire --as olaf
  impound seize release outlook-verify[.]net --how delete --despite "the brand's owner registers it the same day" --as olaf

How: restore gives a name back as it was before the order; expire lifts the
order's locks, takes it out of the zone and lets the registration run out;
delete deletes it. The order's return clause (release:) says which of them are
allowed, and until when; without one, at_end says it, and only while the order
is in force. The plan takes two approvers and an apply like any other. A name
that something speaks against is kept, unless --despite says why not: that
stands in the plan which the approvers sign.`, cobra.MinimumNArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			order := ""
			if n, err := impound.ParseName(args[0]); err != nil || n.Labels() < 2 {
				order, args = args[0], args[1:]
			}
			if len(args) == 0 {
				return usageError{errors.New("name each name that is to be let go")}
			}
			var names []impound.Name
			for _, a := range args {
				n, err := impound.ParseName(a)
				if err != nil {
					return err
				}
				names = append(names, n)
			}
			if risk {
				if order == "" {
					return usageError{errors.New("name the order: impound seize release ORDER NAME --risk")}
				}
				if how == "" {
					how = impound.ReleaseExpire
				}
				return e.showRisks(ctx, s, order, how, names)
			}
			me, err := e.me(s)
			if err != nil {
				return err
			}
			p, err := s.Release(ctx, me.ID, order, seizure.LettingGo{How: how, Despite: despite}, names...)
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
			for _, np := range p.Names {
				for _, v := range np.Verdicts {
					fmt.Fprintf(e.Out, "  %s %s %s: %s\n", np.Name.Defanged(), v.Gate, v.Outcome, printable(v.Reason))
				}
			}
			e.nextStep(p)
			return nil
		})
	})
	c.Flags().StringVar(&how, "how", "", "restore, expire or delete (default: the one way that the order allows)")
	c.Flags().StringVar(&despite, "despite", "", "why, in spite of what speaks against it; it is recorded")
	c.Flags().BoolVar(&risk, "risk", false, "only say what speaks against it")
	return c
}

func (e *env) showRisks(ctx context.Context, s *app.System, order, how string, names []impound.Name) error {
	rs, err := s.Risks(ctx, order, how, names...)
	if err != nil {
		return err
	}
	if e.asJSON {
		return e.json(rs)
	}
	var rows [][]string
	keep := 0
	for _, n := range names {
		bad, warned := false, 0
		for _, v := range rs[n] {
			if v.Outcome == impound.GateWarn {
				warned++
			}
			bad = bad || v.Outcome == impound.GateBlock || v.Outcome == impound.GateUnknown
			rows = append(rows, []string{n.Defanged(), v.Gate, string(v.Outcome), printable(v.Reason)})
		}
		advice := "nothing speaks against it"
		if warned > 0 {
			advice = "nothing keeps it; " + plural(warned, "answer warns", "answers warn")
		}
		if bad {
			keep++
			advice = "keep it: have it renewed"
		}
		rows = append(rows, []string{n.Defanged(), "", "", advice})
	}
	e.table([]string{"name", "asked", "answer", "why"}, rows)
	if keep > 0 {
		return impound.Errorf(impound.KindRefused, "%d of %s should be kept", keep, plural(len(names), "name", "names")).WithCure("have them renewed; or let them go with --despite and a reason")
	}
	return nil
}

// watchCmd looks as custody does, now, at all orders or one.
func (e *env) custodyCmd() *cobra.Command {
	return verb("watch [ORDER]", "look once as custody does, at every order or one: what drifts, ends, is lame or comes free; exit 6 when anything is found", "  impound seize watch\n  impound seize watch O-2026-1 --json\n\nimpound serve does it every custody_every.", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			alarms, err := s.Custody(ctx, args...)
			if e.asJSON {
				if jerr := e.json(append([]app.Alarm{}, alarms...)); jerr != nil {
					return jerr
				}
			} else {
				for _, a := range alarms {
					fmt.Fprintf(e.Out, "%-9s %s: %s\n", a.Kind, a.Order, printable(a.Text))
					if a.Cure != "" {
						fmt.Fprintf(e.Out, "          %s\n", printable(a.Cure))
					}
					if a.Cmd != "" {
						fmt.Fprintf(e.Out, "          %s\n", a.Cmd)
					}
				}
			}
			if err != nil {
				return err
			}
			if len(alarms) > 0 {
				return impound.Errorf(impound.KindPartial, "custody found %s", plural(len(alarms), "thing", "things")).WithCure("each says what mends it")
			}
			what := "every order"
			if len(args) > 0 {
				what = "order " + strings.Join(args, ", ")
			}
			fmt.Fprintf(e.Err, "custody found nothing at %s\n", what)
			return nil
		})
	})
}

// pollCmd takes the registries' messages.
func (e *env) pollCmd() *cobra.Command {
	return verb("poll", "take the registries' messages once; each is filed as evidence before it is acknowledged", "  impound seize poll\n  impound evidence list --what seize.message\n\nimpound serve does it every poll_every.", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			n, err := s.Poll(ctx)
			if e.asJSON {
				return errors.Join(e.json(map[string]int{"messages": n}), err)
			}
			fmt.Fprintf(e.Err, "%d messages are filed as evidence\n", n)
			return err
		})
	})
}

// took says how long something took, for people.
func took(d time.Duration) string {
	switch {
	case d < time.Second:
		return d.Round(10 * time.Millisecond).String()
	case d < time.Hour:
		return d.Round(time.Second).String()
	}
	return d.Round(time.Minute).String()
}
