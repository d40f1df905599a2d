package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/impound/impound/internal/casework/intake"
)

func (e *env) intakeCmd() *cobra.Command {
	return verb("intake FILE|-", "find names, aliases, dockets and counts in a report; proposes, changes nothing", "  impound case intake report.html\n  impound case intake report.txt --json", cobra.ExactArgs(1), func(_ *cobra.Command, args []string) error {
		data, label, err := e.readAll(args[0], 64<<20)
		if err != nil {
			return err
		}
		f := intake.Read(label, data, intake.Options{})
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
		for _, d := range f.Dockets {
			rows = append(rows, []string{"docket", d.Value, "", d.Sentence})
		}
		for _, c := range f.Counts {
			rows = append(rows, []string{"count", fmt.Sprintf("%d %s", c.N, c.Of), "", c.Sentence})
		}
		for _, a := range f.Aliases {
			rows = append(rows, []string{"alias", a.Text, "", a.Sentence})
		}
		e.table([]string{"what", "value", "why", "sentence"}, rows)
		return nil
	})
}
