package cli

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
)

func (e *env) accountCmd() *cobra.Command {
	var stdin bool
	// The password comes from standard input or is made here: never from an
	// argument or the environment, where others on the machine can read it.
	password := func(prompt string) (pw string, made bool, err error) {
		if !stdin {
			return casework.NewPassword(), true, nil
		}
		if f, ok := e.In.(*os.File); ok && term.IsTerminal(int(f.Fd())) {
			fmt.Fprint(e.Err, prompt)
			b, err := term.ReadPassword(int(f.Fd()))
			fmt.Fprintln(e.Err)
			return string(b), false, err
		}
		line, err := bufio.NewReader(e.In).ReadString('\n')
		if line == "" && err != nil {
			return "", false, impound.Errorf(impound.KindInvalid, "no password came on standard input")
		}
		return strings.TrimRight(line, "\r\n"), false, nil
	}
	set := func(use, short, examples string, do func(ctx context.Context, s *app.System, by, id, pw string) error) *cobra.Command {
		c := verb(use, short, examples, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
			return e.with(c, func(ctx context.Context, s *app.System) error {
				me, err := e.me(s)
				if err != nil {
					return err
				}
				pw, made, err := password("password of " + args[0] + ": ")
				if err != nil {
					return err
				}
				if err := do(ctx, s, me.ID, args[0], pw); err != nil {
					return err
				}
				if made { // the one time that it is shown
					fmt.Fprintln(e.Out, pw)
					fmt.Fprintf(e.Err, "this is the password of %s, and it is kept nowhere: give it to nobody else\n", args[0])
				}
				return nil
			})
		})
		c.Flags().BoolVar(&stdin, "stdin", false, "read the password from standard input rather than making one")
		return c
	}
	add := set("add PERSON", "let an enrolled person in at the pages; prints the password once", `  impound account add ada --as ada           # from now on the pages ask who is there
  impound account add ben --stdin --as ada`, func(ctx context.Context, s *app.System, by, id, pw string) error {
		open, err := s.Guarded(ctx)
		if err != nil {
			return err
		}
		if err := s.Casework.AddAccount(ctx, by, id, pw); err != nil {
			return err
		}
		if !open {
			fmt.Fprintln(e.Err, "this is the first account: from now on the pages ask everybody for a login")
		}
		return nil
	})
	passwd := set("password PERSON", "set another password; whoever is logged in with the old one is out", "  impound account password ben --as ben\n  impound account password ben --stdin --as ada", func(ctx context.Context, s *app.System, by, id, pw string) error {
		return s.Casework.SetPassword(ctx, by, id, pw)
	})
	disable := verb("disable PERSON", "end an account at once", "  impound account disable ben --as ada", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			return s.Casework.DisableAccount(ctx, me.ID, args[0])
		})
	})
	list := verb("list", "who has an account", "  impound account list\n  impound account list --json", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			as, err := s.Casework.Accounts(ctx)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(as)
			}
			var rows [][]string
			for _, a := range as {
				rows = append(rows, []string{a.Person, utc(a.Added), a.By, utc(a.Disabled)})
			}
			e.table([]string{"person", "added", "by", "disabled"}, rows)
			return nil
		})
	})
	return group("account", "who may log in at the pages", "  impound account add ada --as ada\n  impound account list", add, list, disable, passwd)
}

func (e *env) tokenCmd() *cobra.Command {
	var scopes []string
	var life, note, person string
	add := verb("add", "make a token for the API; prints it once", `  impound token add --scope cases --scope contacts --for 90d --note "dashboard" --as ben
  curl -H "Authorization: Bearer $TOKEN" http://127.0.0.1:8480/api/v1/cases`, cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			if person == "" {
				person = me.ID
			}
			d, err := days(life)
			if err != nil {
				return err
			}
			var xs []impound.Scope
			for _, x := range scopes {
				xs = append(xs, impound.Scope(x))
			}
			t, secret, err := s.Casework.AddToken(ctx, me.ID, person, xs, time.Now().Add(d), note)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(struct {
					casework.Token
					Secret string `json:"secret"`
				}{t, secret})
			}
			fmt.Fprintln(e.Out, secret)
			fmt.Fprintf(e.Err, "this is token %s of %s until %s; it is kept nowhere\n", t.ID, t.Person, utc(t.Expires))
			return nil
		})
	})
	add.Flags().StringArrayVar(&scopes, "scope", nil, "what it is for: cases, contacts, candidates, log; may be given again")
	add.Flags().StringVar(&life, "for", "90d", "for how long: 12h, 90d; a year at most")
	add.Flags().StringVar(&note, "note", "", "what uses it")
	add.Flags().StringVar(&person, "person", "", "whose it is (default you)")
	list := verb("list", "the tokens, without their secrets", "  impound token list\n  impound token list --json", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			ts, err := s.Casework.Tokens(ctx)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(ts)
			}
			var rows [][]string
			for _, t := range ts {
				words := make([]string, len(t.Scopes))
				for i, x := range t.Scopes {
					words[i] = string(x)
				}
				rows = append(rows, []string{t.ID, t.Person, strings.Join(words, ", "), utc(t.Expires), utc(t.Used), utc(t.Revoked), t.Note})
			}
			e.table([]string{"id", "person", "scopes", "until", "last used", "revoked", "note"}, rows)
			return nil
		})
	})
	revoke := verb("revoke TOKEN", "end a token at once", "  impound token revoke T-3f2a91bc04 --as ben", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			return s.Casework.RevokeToken(ctx, me.ID, args[0])
		})
	})
	return group("token", "what programs may ask over the API", "  impound token add --scope cases --as ben\n  impound token list", add, list, revoke)
}

// days reads a time span in hours or whole days.
func days(s string) (time.Duration, error) {
	if n, ok := strings.CutSuffix(s, "d"); ok {
		if d, err := strconv.Atoi(n); err == nil && d > 0 && d <= 366 {
			return time.Duration(d) * 24 * time.Hour, nil
		}
	} else if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return d, nil
	}
	return 0, usageError{fmt.Errorf("%q is no time span: write 12h or 90d", s)}
}

// sealCmds close a case to everybody but its parties, and open it again.
func (e *env) sealCmds() []*cobra.Command {
	var parties []string
	var why string
	do := func(ctx context.Context, s *app.System, caseID string, parties []string) error {
		me, err := e.me(s)
		if err != nil {
			return err
		}
		now := time.Now()
		z := casework.NewSeal(caseID, parties, why, now)
		z.Signature = me.Sign(casework.SignSeal, z.Hash(), now)
		return s.Casework.SealCase(ctx, z)
	}
	seal := verb("seal CASE", "close a case: to others than its parties it does not exist", "  impound case seal APT35-2019 --party ada --party carla --why \"sealed by the court, 26-mj-1\" --as ada", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			if len(parties) == 0 {
				return usageError{fmt.Errorf("name the parties with --party, yourself among them")}
			}
			if err := do(ctx, s, args[0], parties); err != nil {
				return err
			}
			fmt.Fprintf(e.Err, "case %s is sealed: it is there for %s alone. Whoever can read this machine's files can read it too.\n", args[0], strings.Join(parties, ", "))
			return nil
		})
	})
	seal.Flags().StringArrayVar(&parties, "party", nil, "who may see it; may be given again")
	unseal := verb("unseal CASE", "open a sealed case again; a party can", "  impound case unseal APT35-2019 --why \"unsealed by the court\" --as ada", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error { return do(ctx, s, args[0], nil) })
	})
	for _, c := range []*cobra.Command{seal, unseal} {
		c.Flags().StringVar(&why, "why", "", "why; it is recorded")
		_ = c.MarkFlagRequired("why")
	}
	return []*cobra.Command{seal, unseal}
}
