package cli

import (
	"context"
	"crypto/ed25519"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
)

func (e *env) peopleCmd() *cobra.Command {
	var roles []string
	var name, public, keyOut string
	add := verb("add ID", "enrol somebody with a key", `  impound people add ada --role admin --role analyst        # the first one signs for himself
  impound people add ben --role approver --as ada           # makes people/ben.key
  impound people add dora --role approver --public-key 3q2+7w... --as ada
  impound people add ben --role auditor --as ada            # sets the roles anew`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			p := impound.Person{ID: args[0], Name: name}
			for _, r := range roles {
				if !slices.Contains(impound.Roles, impound.Role(r)) {
					return impound.Errorf(impound.KindInvalid, "%q is no role", r).WithCure("choose from " + joinRoles(impound.Roles))
				}
				p.Roles = append(p.Roles, impound.Role(r))
			}
			admin := e.as
			if admin == "" {
				admin = e.Getenv("IMPOUND_AS")
			}
			if err := s.Enrol(ctx, p, impound.PublicKey(public), keyOut, admin, e.keyFile); err != nil {
				return err
			}
			fmt.Fprintf(e.Err, "enrolled %s as %s\n", p.ID, joinRoles(p.Roles))
			return nil
		})
	})
	add.Flags().StringArrayVar(&roles, "role", nil, "a role; give it more than once for more: "+joinRoles(impound.Roles))
	add.Flags().StringVar(&name, "name", "", "the person's name")
	add.Flags().StringVar(&public, "public-key", "", "the person's Ed25519 public key in base64; without it a key is made")
	add.Flags().StringVar(&keyOut, "key-out", "", "where to write a key that is made (default people/ID.key in the state folder)")
	list := verb("list", "who is enrolled, as the evidence log proves", "  impound people list\n  impound people list --json", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			people, err := s.Casework.People(ctx)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(people)
			}
			var rows [][]string
			for _, p := range people {
				rows = append(rows, []string{p.ID, p.Name, joinRoles(p.Roles), utc(p.Enrolled), string(p.Key)})
			}
			e.table([]string{"id", "name", "roles", "enrolled", "key"}, rows)
			return nil
		})
	})
	keygen := verb("key FILE", "make a private key and print its public key, for people who enrol from elsewhere", "  impound people key ~/.config/impound/me.key", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		key, err := casework.NewKey(args[0])
		if err != nil {
			return err
		}
		fmt.Fprintln(e.Out, impound.NewPublicKey(key.Public().(ed25519.PublicKey)))
		return nil
	})
	return group("people", "who may do what, proven by keys", "  impound people add ada --role admin\n  impound people list", add, list, keygen)
}

func joinRoles(rs []impound.Role) string {
	out := make([]string, len(rs))
	for i, r := range rs {
		out[i] = string(r)
	}
	return strings.Join(out, ", ")
}
