package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework/gate"
)

func (e *env) listsCmd() *cobra.Command {
	var src app.ListSources
	update := verb("update", "take lists for the gates from URLs, files and folders", `  impound lists update --from https://raw.githubusercontent.com/MISP/misp-warninglists/main/lists/dynamic-dns/list.json --as ada
  impound lists update --from ./misp-warninglists --as ada           # a checkout, or a folder of lists
  impound lists update --from top-1m.csv.gz --name tranco.csv --as ada
  impound lists update --as ada                                      # again, from the URLs that were given before`, cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			changes, err := s.UpdateLists(ctx, me, src)
			if err != nil && len(changes) == 0 {
				return err
			}
			if e.asJSON {
				return errors.Join(e.json(changes), err)
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
			for _, l := range changes {
				if l.Note != "" {
					fmt.Fprintf(e.Err, "%s is of no use: %s\n", l.File, l.Note)
				}
			}
			fmt.Fprintf(e.Err, "%d lists taken; a server that runs reads them when it starts again\n", taken)
			return err
		})
	})
	update.Long += `

Formats: MISP warning lists (list.json), a name a line, hosts files, tables with a
column of names (rank,name where the order counts); each may be packed with gzip.
What a list is good for is told from its name and title: sinkhole, parking-domain,
dynamic, hosting, lots, shortener, bio, tranco, top ...

A list that is damaged, or has lost more than a tenth of its names, is not taken,
and the one that is there stays. Each source is taken whole or not at all; exit
code 6 says that some were. Source, date and hash go into the evidence log.`
	f := update.Flags()
	f.StringArrayVar(&src.From, "from", nil, "a URL, a file or a folder; may be given again")
	f.StringVar(&src.Name, "name", "", "what to call the one list, such as dynamic-dns.txt")
	f.BoolVar(&src.Force, "force", false, "take a list that lost more than a tenth of its names")
	f.BoolVar(&src.Force, "shrink", false, "the same")
	_ = f.MarkHidden("shrink")
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
				rows = append(rows, []string{l.File, l.Kind, strconv.Itoa(l.Names), l.AsOf.Format(time.DateOnly), l.Recorded, l.Hash, l.From})
			}
			e.table([]string{"list", "a name in it is", "names", "as of", "recorded", "hash", "from"}, rows)
			fmt.Fprintf(e.Err, "beside %d built-in names and the public suffix list\n", gate.BuiltIn().Len())
			return nil
		})
	})
	return group("lists", "what the gates know: shared suffixes, sinkholes, parking, top names", "  impound lists update --from ./misp-warninglists --as ada\n  impound lists show", update, show)
}
