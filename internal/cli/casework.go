package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
)

// objectCmds are a case's own objects: tasks, parties, markings, its words.
func (e *env) objectCmds() []*cobra.Command {
	// mine runs do in the name of whoever runs the command.
	mine := func(c *cobra.Command, do func(ctx context.Context, s *app.System, by string) error) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			return do(ctx, s, me.ID)
		})
	}
	var owner, due string
	add := verb("add CASE TEXT", "give somebody something to do", "  impound case task add APT35-2019 \"ask counsel for the renewal\" --owner carla --due 2026-12-01 --as ada", cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
		t := impound.Task{Title: args[1], Owner: owner}
		if due != "" {
			at, err := time.Parse(time.DateOnly, due)
			if err != nil {
				return usageError{fmt.Errorf("%q is no date: write --due 2026-12-01", due)}
			}
			t.Due = at.Add(24*time.Hour - time.Second) // by the end of that day, UTC, as on the pages
		}
		return mine(c, func(ctx context.Context, s *app.System, by string) error {
			id, err := s.Casework.AddTask(ctx, by, args[0], t)
			if err != nil {
				return err
			}
			fmt.Fprintln(e.Out, id)
			return nil
		})
	})
	add.Flags().StringVar(&owner, "owner", "", "who does it (default you)")
	add.Flags().StringVar(&due, "due", "", "until when, such as 2026-12-01")
	done := verb("done CASE TASK", "note that a task is done", "  impound case task done APT35-2019 T1 --as carla", cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
		return mine(c, func(ctx context.Context, s *app.System, by string) error {
			return s.Casework.DoneTask(ctx, by, args[0], args[1])
		})
	})
	list := verb("list CASE", "the tasks of a case", "  impound case task list APT35-2019\n  impound case task list APT35-2019 --json", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			k, err := s.Casework.Head(ctx, args[0])
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(append([]impound.Task{}, k.Tasks...))
			}
			var rows [][]string
			for _, t := range k.Tasks {
				state := "open"
				switch {
				case !t.Done.IsZero():
					state = "done by " + t.DoneBy
				case !t.Due.IsZero() && time.Now().After(t.Due):
					state = "OVERDUE"
				}
				rows = append(rows, []string{t.ID, t.Title, t.Owner, utc(t.Due), state})
			}
			e.table([]string{"id", "task", "owner", "due", "state"}, rows)
			return nil
		})
	})
	task := group("task", "what has to be done, by whom, until when", "  impound case task add APT35-2019 \"ask counsel for the renewal\" --owner carla --due 2026-12-01\n  impound case task list APT35-2019", add, done, list)

	var kind, contact, tlp, pap, originator string
	marking := func(c *cobra.Command) {
		c.Flags().StringVar(&tlp, "tlp", "", "who may know it: clear, green, amber, amber+strict or red")
		c.Flags().StringVar(&pap, "pap", "", "what may be done with it: clear, green, amber or red")
		c.Flags().StringVar(&originator, "originator", "", "who gave it to us; it goes no further until they consent (impound case consent)")
	}
	mark := func() impound.Marking {
		return impound.Marking{TLP: impound.TLP(tlp), PAP: impound.PAP(pap), Originator: originator}
	}
	padd := verb("add CASE NAME", "note a victim, a plaintiff, somebody's counsel", "  impound case party add APT35-2019 \"Example Institute\" --kind victim --contact security@institute.example --tlp red --as ada\n  impound case party add APT35-2019 \"Doe & Partners\" --kind counsel --as ada", cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
		return mine(c, func(ctx context.Context, s *app.System, by string) error {
			id, err := s.Casework.AddParty(ctx, by, args[0], impound.CaseParty{Kind: kind, Name: args[1], Contact: contact, Marking: mark()})
			if err != nil {
				return err
			}
			fmt.Fprintln(e.Out, id)
			return nil
		})
	})
	padd.Flags().StringVar(&kind, "kind", "", strings.Join(impound.PartyKinds, ", "))
	padd.Flags().StringVar(&contact, "contact", "", "a desk to write to")
	_ = padd.MarkFlagRequired("kind")
	marking(padd)
	plist := verb("list CASE", "the parties of a case", "  impound case party list APT35-2019\n  impound case party list APT35-2019 --json", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			k, err := s.Casework.Head(ctx, args[0])
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(append([]impound.CaseParty{}, k.Parties...))
			}
			var rows [][]string
			for _, p := range k.Parties {
				m := p.Marking.In(k.Marking())
				rows = append(rows, []string{p.ID, p.Kind, impound.DefangText(p.Name), p.Contact, string(m.TLP), string(m.PAP), m.Originator})
			}
			e.table([]string{"id", "kind", "name", "contact", "tlp", "pap", "originator"}, rows)
			return nil
		})
	})
	party := group("party", "victims, plaintiffs, counsel and others whom a case concerns", "  impound case party add APT35-2019 \"Example Institute\" --kind victim --as ada\n  impound case party list APT35-2019", padd, plist)

	markCmd := verb("mark CASE [NAME...]", "say who may know a case, or names of it, and what may be done with them", `  impound case mark APT35-2019 --tlp amber --pap green --as ada
  impound case mark APT35-2019 outlook-verify[.]net --originator "CERT Example" --tlp red --as ada`, cobra.MinimumNArgs(1), func(c *cobra.Command, args []string) error {
		return mine(c, func(ctx context.Context, s *app.System, by string) error {
			if len(args) == 1 {
				return s.Casework.MarkCase(ctx, by, args[0], mark())
			}
			return eachName(args[1:], func(n impound.Name) error { return s.Casework.MarkName(ctx, by, args[0], n, mark()) })
		})
	})
	marking(markCmd)

	var title, summary, actor string
	var rev int64
	edit := verb("edit CASE", "change a case's title or summary, or say whose names these are", "  impound case edit APT35-2019 --title \"APT35: sign-in lures of March 2019\" --as ada\n  impound case edit APT35-2019 --actor APT35 --as ada    # once, where it has none", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		var ed casework.Edit
		if c.Flags().Changed("title") {
			ed.Title = &title
		}
		if c.Flags().Changed("summary") {
			ed.Summary = &summary
		}
		if c.Flags().Changed("actor") {
			ed.Actor = &actor
		}
		if ed == (casework.Edit{}) {
			return usageError{fmt.Errorf("nothing to change: give --title, --summary or --actor")}
		}
		return mine(c, func(ctx context.Context, s *app.System, by string) error {
			if ed.Actor != nil {
				if err := e.noteActor(ctx, s, actor); err != nil {
					return err
				}
			}
			return s.Casework.EditCase(ctx, by, args[0], rev, ed, impound.Case{})
		})
	})
	edit.Flags().StringVar(&title, "title", "", "what it is about")
	edit.Flags().StringVar(&actor, "actor", "", "id of the actor, for a case that has none")
	edit.Flags().StringVar(&summary, "summary", "", "what is known, in a few sentences")
	edit.Flags().Int64Var(&rev, "rev", 0, "the revision that you looked at (impound case show --json): refuse when it was changed since")
	return []*cobra.Command{task, party, markCmd, edit}
}
