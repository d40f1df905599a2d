package cli

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/seizure/mailconn"
)

// letterCmds are about providers that are asked, by mail or by a person.
func (e *env) letterCmds() []*cobra.Command {
	letters := verb("letters [ORDER]", "what providers were asked for by mail or by a task, and what came back", "  impound seize letters O-2026-1\n  impound seize letters --json", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			order := ""
			if len(args) == 1 {
				order = args[0]
			}
			ls, err := s.Letters(ctx, order)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(append([]app.Letter{}, ls...))
			}
			var rows [][]string
			for _, l := range ls {
				what := l.Kind
				if l.No > 0 {
					what += " " + strconv.Itoa(l.No)
				}
				rows = append(rows, []string{l.ID, l.Order, l.Provider + " by " + l.Via, what, l.State, utc(l.Sent), fmt.Sprintf("%d of %d", len(l.Open), len(l.Names)), utc(l.Next), letterWord(l)})
			}
			e.table([]string{"letter", "order", "provider", "kind", "state", "sent", "open", "remind at", "newest word"}, rows)
			return nil
		})
	})
	show := verb("letter ID", "a letter as it was handed over, octet for octet", "  impound seize letter L-0123456789abcdef > letter.eml\n  impound seize letter L-0123456789abcdef --json   # where it stands", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			l, body, err := s.LetterText(ctx, args[0])
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(l)
			}
			if e.Tty {
				fmt.Fprint(e.Out, printable(string(body)))
			} else if _, err := e.Out.Write(body); err != nil {
				return err
			}
			fmt.Fprintf(e.Err, "%s to %s: %s; %s\n", l.ID, strings.Join(l.To, ", "), l.State, printable(letterWord(l)))
			return nil
		})
	})
	follow := verb("follow ORDER", "look whether what was asked for is done, and remind where that is due; impound serve does so by itself", "  impound seize follow O-2026-1 --as olaf", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			res, err := s.Follow(ctx, me.ID, args[0])
			if e.asJSON {
				return errors.Join(e.json(res), err)
			}
			var rows [][]string
			for _, r := range res.Names {
				rows = append(rows, []string{r.Name.Defanged(), r.Provider, r.Outcome, r.Msg})
			}
			if len(rows) > 0 {
				e.table([]string{"name", "provider", "outcome", "what"}, rows)
			} else if err == nil {
				fmt.Fprintln(e.Err, "nothing is waited for")
			}
			return err
		})
	})
	var taken, notTaken, closed bool
	var why string
	settle := verb("settle LETTER", "say what became of a letter: it makes no name done", `  impound seize settle L-0123456789abcdef --taken --why "queued as 4XyZ in the server's log" --as olaf
  impound seize settle L-0123456789abcdef --not-taken --why "not in the log" --as olaf   # apply sends it again
  impound seize settle L-0123456789abcdef --close --why "served by the bailiff instead" --as olaf`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		how := ""
		for k, v := range map[string]bool{seizure.SettleTaken: taken, seizure.SettleNotTaken: notTaken, seizure.SettleClose: closed} {
			if v && how != "" {
				return usageError{errors.New("say one of --taken, --not-taken and --close")}
			}
			if v {
				how = k
			}
		}
		if how == "" {
			return usageError{errors.New("say one of --taken, --not-taken and --close")}
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			l, err := s.SettleLetter(ctx, me.ID, args[0], how, why)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(l)
			}
			fmt.Fprintf(e.Err, "letter %s is %s\n", l.ID, l.State)
			return nil
		})
	})
	settle.Flags().BoolVar(&taken, "taken", false, "it arrived")
	settle.Flags().BoolVar(&notTaken, "not-taken", false, "it did not: apply may send it again")
	settle.Flags().BoolVar(&closed, "close", false, "nobody waits for it any more")
	settle.Flags().StringVar(&why, "why", "", "how you know, or why; it is recorded")
	_ = settle.MarkFlagRequired("why")
	var text string
	answer := verb("answer [LETTER] [FILE.eml]", "file what a provider answered: a mail or a delivery report, kept sealed, or your own words", `  impound seize answer answer.eml --as olaf       # the letter is found by what the mail refers to
  impound seize answer L-0123456789abcdef answer.eml --as olaf
  impound seize answer L-0123456789abcdef --text "on the telephone: by Friday" --as olaf`, cobra.RangeArgs(1, 2), func(c *cobra.Command, args []string) error {
		var id, file string
		switch {
		case len(args) == 2:
			id, file = args[0], args[1]
		case strings.HasPrefix(args[0], "L-"):
			id = args[0]
		default:
			file = args[0]
		}
		if file == "" && text == "" {
			return usageError{errors.New("give a mail as a file, or --text")}
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			var raw []byte
			if file != "" {
				if raw, _, err = e.readAll(file, mailconn.MaxAnswer); err != nil {
					return err
				}
			}
			l, err := s.FileAnswer(ctx, me.ID, id, raw, text)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(l)
			}
			fmt.Fprintf(e.Err, "filed with letter %s to %s: %s\n", l.ID, l.Provider, printable(letterWord(l)))
			return nil
		})
	})
	answer.Flags().StringVar(&text, "text", "", "what was said, in your own words; name nobody who need not be named")
	inbox := verb("inbox", "read the mailbox that answers come to, and file those to our letters, sealed; impound serve does so by itself", "  impound seize inbox --as olaf", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			in, err := s.ReadInbox(ctx, me.ID)
			if e.asJSON {
				return errors.Join(e.json(in), err)
			}
			fmt.Fprintf(e.Err, "%d mails looked at, %d filed", in.Looked, in.Filed)
			if in.Others > 0 {
				fmt.Fprintf(e.Err, ", %d delivery reports of other mails left", in.Others)
			}
			if in.Large+in.Left > 0 {
				fmt.Fprintf(e.Err, ", %d answers too large or too many: file them by hand", in.Large+in.Left)
			}
			if in.More {
				fmt.Fprint(e.Err, "; there are more: read again")
			}
			fmt.Fprintln(e.Err)
			for _, id := range in.Of {
				fmt.Fprintln(e.Out, id)
			}
			return err
		})
	})
	return []*cobra.Command{letters, show, follow, settle, answer, inbox}
}

// letterWord is the newest that is known of a letter.
func letterWord(l app.Letter) string {
	if l.Claimed != "" && l.State == seizure.LetterSent {
		return "said to be done by " + l.Claimed + "; the views decide"
	}
	if n := len(l.Replies); n > 0 {
		r := l.Replies[n-1]
		return r.Kind + " " + utc(r.At) + ": " + r.Text
	}
	return l.Answer
}
