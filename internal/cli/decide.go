package cli

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
)

// decideCmds are what a person decides or records of a name, each signed.
func (e *env) decideCmds() []*cobra.Command {
	make := func(use, short, examples, cure string, what func() (string, string)) *cobra.Command {
		var why string
		c := verb(use+" NAME...", short, examples, cobra.MinimumNArgs(1), func(c *cobra.Command, args []string) error {
			return e.with(c, func(ctx context.Context, s *app.System) error {
				me, err := e.me(s)
				if err != nil {
					return err
				}
				return eachName(args, func(n impound.Name) error {
					w, actor := what()
					d := casework.NewDecision(w, n, actor, why, time.Now())
					d.Signature = me.Sign(casework.SignDecision, d.Hash(), time.Now())
					if err := s.Casework.Decide(ctx, d); err != nil {
						return err
					}
					fmt.Fprintf(e.Err, "recorded: %s %s\n", n.Defanged(), cure)
					return nil
				})
			})
		})
		c.Flags().StringVar(&why, "why", "", "the reason, for a judge to read; it is recorded and can't be taken back")
		_ = c.MarkFlagRequired("why")
		return c
	}
	var actor string
	attribute := make("attribute", "decide whose a name is that two actors' cases claim: settles G15-attribution", `  impound case attribute outlook-verify[.]net --actor APT35 --why "registered by the mailbox of exhibit 4" --as ada`, "is decided",
		func() (string, string) { return casework.WhatAttribute, actor })
	attribute.Flags().StringVar(&actor, "actor", "", "id of the actor: impound actor list")
	_ = attribute.MarkFlagRequired("actor")
	var end bool
	contest := make("contest", "somebody says that a name is his: it is taken out of every order's effect until counsel ends the contest", `  impound case contest outlook-verify[.]net --why "letter of its owner, 20 November" --as ada
  impound case contest outlook-verify[.]net --end --why "the letter was forged: exhibit 9" --as carla`, "(contest)",
		func() (string, string) {
			if end {
				return casework.WhatContestEnd, ""
			}
			return casework.WhatContest, ""
		})
	contest.Flags().BoolVar(&end, "end", false, "end the contest; takes the role counsel")
	notice := make("notice", "record that a name's owner was told, and how to get it back: settles G10-owner-notice", `  impound case notice outlook-verify[.]net --why "registered letter of 20 November, exhibit 10" --as carla`, "owner told",
		func() (string, string) { return casework.WhatOwnerNotice, "" })
	asked := make("asked", "record that a name's registrar or provider was asked first: settles G2-provider-first", `  impound case asked outlook-verify[.]net --why "ticket 4711 at the registrar, no answer in a week" --as ada`, "provider asked",
		func() (string, string) { return casework.WhatProviderAsked, "" })
	consent := make("consent", "record that whoever gave us the evidence on a name allows that it is disclosed: settles G7-disclosure for what was captured so far", `  impound case consent outlook-verify[.]net --why "mail of the bank's team of 20 November, exhibit 11" --as carla`, "may be disclosed",
		func() (string, string) { return casework.WhatConsent, "" })
	decisions := verb("decisions NAME", "what was decided and recorded of a name", "  impound case decisions outlook-verify[.]net\n  impound case decisions outlook-verify[.]net --json", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		n, err := impound.ParseName(args[0])
		if err != nil {
			return err
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			ds, err := s.Casework.Decisions(ctx, n)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(append([]casework.Decision{}, ds...))
			}
			var rows [][]string
			for _, d := range ds {
				rows = append(rows, []string{utc(d.At), strings.TrimPrefix(d.What, "case."), d.Actor, d.Signature.Person, d.Why})
			}
			e.table([]string{"at", "what", "actor", "by", "why"}, rows)
			return nil
		})
	})
	return []*cobra.Command{attribute, contest, notice, asked, consent, decisions}
}

func (e *env) supplementCmd() *cobra.Command {
	var clause, caseID, id, out string
	c := verb("supplement PARENT", "draft the next appendix to a filed order, with the case's new names alone", `  impound order supplement O-2026-1 --clause 7 --id O-2026-1-S1 --out s1.yaml
  impound order check s1.yaml
  impound order sign s1.yaml --as ben`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			d, err := s.Casework.Supplement(ctx, args[0], clause, caseID, id)
			if err != nil {
				return err
			}
			for _, l := range d.Left {
				fmt.Fprintf(e.Err, "left out: %s: %s\n", l.Name.Defanged(), l.Why)
			}
			if len(d.NewZones) > 0 {
				fmt.Fprintf(e.Err, "note: order %s has no name below .%s: see whether %s runs it\n", args[0], strings.Join(d.NewZones, ", ."), d.Order.Recipient.Name)
			}
			if out == "" || out == "-" {
				_, err = e.Out.Write(d.Document)
				return err
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return impound.Errorf(impound.KindConflict, "couldn't write the draft: %w", err).WithCure("choose another file with --out")
			}
			defer f.Close()
			if _, err := f.Write(d.Document); err != nil {
				return impound.Errorf(impound.KindUnavailable, "couldn't write the draft: %w", err)
			}
			fmt.Fprintf(e.Err, "wrote %s: %d new names as appendix %s; then: impound order check %s\n", out, len(d.Names), d.Order.Appendices[0].ID, out)
			return f.Close()
		})
	})
	c.Flags().StringVar(&clause, "clause", "", "the clause of the parent that allows supplements")
	c.Flags().StringVar(&caseID, "from-case", "", "the case (default the parent's; no other is accepted)")
	c.Flags().StringVar(&id, "id", "", "the supplement's id")
	c.Flags().StringVar(&out, "out", "", "file to write (default standard output)")
	_ = c.MarkFlagRequired("clause")
	_ = c.MarkFlagRequired("id")
	return c
}
