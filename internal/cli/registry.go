package cli

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
)

// registryCmd says who runs what.
func (e *env) registryCmd() *cobra.Command {
	list := verb("list [WORD]", "the registries and registrars that are known here, with source and date", "  impound registry list\n  impound registry list verisign --json", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			all := s.RegistryMap(ctx)
			if len(args) == 1 {
				kept := all[:0]
				for _, x := range all {
					if strings.Contains(strings.ToLower(x.Kind+" "+x.Key+" "+x.String()), strings.ToLower(args[0])) {
						kept = append(kept, x)
					}
				}
				all = kept
			}
			if e.asJSON {
				return e.json(all)
			}
			var rows [][]string
			for _, x := range all {
				as := ""
				if !x.AsOf.IsZero() {
					as = x.AsOf.Format(time.DateOnly)
				}
				rows = append(rows, []string{x.Kind, x.Key, printable(x.Name), printable(x.Backend), printable(x.Channel), printable(x.Contact), printable(x.Source), as})
			}
			e.table([]string{"kind", "key", "name", "back end", "channel", "contact", "source", "as of"}, rows)
			return nil
		})
	})
	show := verb("show NAME", "who can act on a name, and how they are asked; a suffix asks nobody", "  impound registry show outlook-verify[.]net\n  impound registry show com", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			n, err := impound.ParseName(strings.TrimPrefix(args[0], "."))
			if err != nil {
				return err
			}
			w, err := s.WhomToAsk(ctx, n)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(w)
			}
			say := func(what, text string) {
				if text != "" {
					fmt.Fprintf(e.Out, "%-10s %s\n", what, printable(text))
				}
			}
			say("name", n.Defanged())
			if w.Registry != nil {
				say("registry", w.Registry.String())
				src := w.Registry.Source
				if !w.Registry.AsOf.IsZero() {
					src += ", " + w.Registry.AsOf.Format(time.DateOnly)
				}
				say("source", src)
			} else {
				say("registry", "not known here: add it to the file of registry_map")
			}
			if w.Provider != "" {
				say("reached as", w.Provider+" ("+w.Role+")")
			}
			if w.Registrar != "" {
				say("registrar", w.Registrar+" (IANA "+w.IANAID+")")
				say("abuse desk", w.Abuse)
				if w.Known != nil {
					say("channel", w.Known.Channel)
					say("contact", w.Known.Contact)
				}
			}
			if w.Err != "" {
				say("registrar", "not known: "+w.Err)
			}
			return nil
		})
	})
	update := verb("update [URL]", "fetch IANA's list of RDAP servers, so that every suffix that has one can be asked", "  impound registry update --as ada", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			url := app.BootstrapURL
			if len(args) == 1 {
				url = args[0]
			}
			n, err := s.UpdateBootstrap(ctx, me.ID, url)
			if err != nil {
				return err
			}
			fmt.Fprintf(e.Err, "RDAP servers of %d suffixes are known\n", n)
			return nil
		})
	})
	return group("registry", "who runs which suffix, who is which registrar, and how they are asked", "  impound registry list\n  impound registry show outlook-verify[.]net", list, show, update)
}
