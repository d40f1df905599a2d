package cli

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework/gate"
)

func (e *env) listsCmd() *cobra.Command {
	var from string
	var shrink bool
	update := verb("update", "take MISP warning lists (*.json) and plain lists (*.txt, *.list) for the gates; all of them or none", `  impound lists update --from ./warninglists --as ada
  impound lists update --from dynamic-dns.json --as ada`, cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			changes, err := s.UpdateLists(ctx, me, from, shrink)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(changes)
			}
			var rows [][]string
			taken := 0
			for _, l := range changes {
				if l.Done == "new" || l.Done == "changed" {
					taken++
				}
				rows = append(rows, []string{l.File, l.Done, l.Kind, strconv.Itoa(l.Was), strconv.Itoa(l.Names), l.AsOf.Format(time.DateOnly)})
			}
			e.table([]string{"list", "done", "a name in it is", "names before", "names", "as of"}, rows)
			fmt.Fprintf(e.Err, "%d lists taken; a server that runs reads them when it starts again\n", taken)
			return nil
		})
	})
	update.Flags().StringVar(&from, "from", "", "a folder or a file")
	update.Flags().BoolVar(&shrink, "shrink", false, "take a list that lost more than a tenth of its names")
	_ = update.MarkFlagRequired("from")
	show := verb("show", "the lists that the gates read, with their dates", "  impound lists show\n  impound lists show --json", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			ls, err := s.Lists(ctx)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(ls)
			}
			var rows [][]string
			for _, l := range ls {
				rows = append(rows, []string{l.File, l.Kind, strconv.Itoa(l.Names), l.AsOf.Format(time.DateOnly), l.Recorded, l.Hash})
			}
			e.table([]string{"list", "a name in it is", "names", "as of", "recorded", "hash"}, rows)
			fmt.Fprintf(e.Err, "beside %d built-in names and the public suffix list\n", gate.BuiltIn().Len())
			return nil
		})
	})
	return group("lists", "what the gates know: shared suffixes, sinkholes, parking, top names", "  impound lists update --from ./warninglists --as ada\n  impound lists show", update, show)
}
