package cli

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework/intake"
	"github.com/impound/impound/internal/evidence/lure"
)

func (e *env) intakeCmd() *cobra.Command {
	var into, actor string
	var tick, aliases []string
	c := verb("intake FILE|-", "find names, aliases, dockets, counts, addresses and dates in a report; proposes, and takes what you tick", `  impound case intake report.pdf
  impound case intake report.txt --json
  impound case intake report.pdf --into APT35-2019 --tick proposed --as ada
  impound case intake report.pdf --into APT35-2019 --tick outlook-verify[.]net --tick yahoo-verify[.]net --as ada
  impound case intake report.pdf --actor APT35 --alias "Charming Kitten" --as ada`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		if (into == "") != (len(tick) == 0) || (actor == "") != (len(aliases) == 0) {
			return usageError{fmt.Errorf("--into CASE goes with --tick NAME (or --tick proposed), and --actor ID with --alias NAME")}
		}
		data, label, err := e.readAll(args[0], 64<<20)
		if err != nil {
			return err
		}
		if into == "" && actor == "" {
			if _, err := os.Stat(filepath.Join(e.stateDir(), "impound.db")); err != nil { // nothing is known yet
				return e.printFindings(intake.Read(label, data, intake.Options{Unwrap: lure.Unwrap}))
			}
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			f, err := s.ReadReport(ctx, label, data)
			if err != nil {
				return err
			}
			if into == "" && actor == "" {
				return e.printFindings(f)
			}
			me, err := e.me(s)
			if err != nil {
				return err
			}
			for _, p := range f.Problems {
				printOne(e.Err, p)
			}
			if into != "" {
				var names []impound.Name
				for _, t := range tick {
					if t == "proposed" {
						names = append(names, f.Proposed()...)
						continue
					}
					n, err := impound.ParseName(t)
					if err != nil {
						return err
					}
					names = append(names, n)
				}
				slices.SortFunc(names, func(a, b impound.Name) int { return strings.Compare(a.String(), b.String()) })
				names = slices.Compact(names)
				added, err := s.TakeIn(ctx, me.ID, into, f, names)
				if err != nil {
					return err
				}
				fmt.Fprintf(e.Err, "%d of %d ticked names added to %s, each with its sentence; keep the report too: impound evidence add %s --case %s\n", added, len(names), into, args[0], into)
			}
			if actor != "" {
				shared, err := s.TakeAliases(ctx, me.ID, actor, f, aliases)
				if err != nil {
					return err
				}
				for a, ids := range shared {
					fmt.Fprintf(e.Err, "%q is also a name of %s\n", a, strings.Join(ids, ", "))
				}
			}
			return nil
		})
	})
	c.Flags().StringVar(&into, "into", "", "the case that the ticked names are added to")
	c.Flags().StringArrayVar(&tick, "tick", nil, `a name to add, or "proposed" for all that are proposed; may be given again`)
	c.Flags().StringVar(&actor, "actor", "", "the actor that the aliases are added to")
	c.Flags().StringArrayVar(&aliases, "alias", nil, "what the report calls the actor; may be given again")
	return c
}

func (e *env) printFindings(f intake.Findings) error {
	if e.asJSON {
		return e.json(f)
	}
	for _, p := range f.Problems {
		printOne(e.Err, p)
	}
	var rows [][]string
	for _, n := range f.Names {
		kind := "set apart"
		if n.Proposed {
			kind = "proposed"
		}
		rows = append(rows, []string{kind, n.Name.Defanged(), n.Why, n.Sentence})
	}
	for _, x := range f.Facts() {
		rows = append(rows, []string{x.Kind, x.Shown, x.Why, x.Sentence})
	}
	e.table([]string{"what", "value", "why", "sentence"}, rows)
	return nil
}
