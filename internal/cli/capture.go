package cli

import (
	"context"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/capture"
)

func (e *env) captureCmd() *cobra.Command {
	var caseID string
	var all, light, registry bool
	var how app.Full
	c := verb("capture NAME...", "take a name's evidence: DNS, RDAP or WHOIS, TLS, HTTP as WARC, a screenshot, gating", `  impound evidence capture outlook-verify[.]net --case APT35-2019 --as ada
  impound evidence capture outlook-verify[.]net --url https://outlook-verify.net/owa/ --case APT35-2019 --as ada
  impound evidence capture --case APT35-2019 --all --light --as ada    # DNS, RDAP and one look at HTTP
  impound evidence capture outlook-verify[.]net --registry --tlp amber --as ada
  impound evidence capture outlook-verify[.]net --no-screenshot --json --as ada`, cobra.ArbitraryArgs, nil)
	c.Long += `

The actor's server sees this: several visits within seconds, from your address
or from the proxy that the configuration names. --light visits twice. --registry
asks the parent zone and RDAP alone, of which the actor learns nothing.

A name's PAP level is heeded: PAP:AMBER allows --registry alone, PAP:RED nothing.

Exit code 6: all else was kept, but the page answers and no screenshot could be made.`
	mark := markFlags(c)
	c.RunE = func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			var names []impound.Name
			for _, a := range args {
				n, err := impound.ParseName(a)
				if err != nil {
					return err
				}
				names = append(names, n)
			}
			if all {
				k, err := s.Casework.Case(ctx, caseID)
				if err != nil {
					return err
				}
				for _, d := range k.Domains {
					names = append(names, d.Name)
				}
			}
			if len(names) == 0 {
				return usageError{fmt.Errorf("no names: give some, or --all with --case")}
			}
			if light || registry {
				if how != (app.Full{}) {
					return usageError{fmt.Errorf("--light and --registry start no browser and begin at no page: leave out --url, --keep-query and --no-screenshot")}
				}
				return e.captureLight(ctx, s, me.ID, caseID, names, app.Light{Registry: registry, Mark: mark()})
			}
			how.Mark = mark()
			return e.captureFull(ctx, s, me.ID, caseID, names, how)
		})
	}
	f := c.Flags()
	f.StringVar(&caseID, "case", "", "the case that it belongs to")
	f.BoolVar(&all, "all", false, "every name of the case")
	f.BoolVar(&light, "light", false, "only DNS, RDAP and GET / as two agents")
	f.BoolVar(&registry, "registry", false, "only the parent zone and RDAP: what PAP:AMBER allows")
	f.BoolVar(&how.NoScreenshot, "no-screenshot", false, "start no browser")
	f.StringVar(&how.URL, "url", "", "begin at this page of the name")
	f.BoolVar(&how.KeepQuery, "keep-query", false, "the query of --url holds nothing of a victim's: send it and keep it")
	return c
}

// markFlags gives c the flags of a marking, and what they say.
func markFlags(c *cobra.Command) func() impound.Marking {
	var tlp, pap, originator string
	c.Flags().StringVar(&tlp, "tlp", "", "who may know it: clear, green, amber, amber+strict or red")
	c.Flags().StringVar(&pap, "pap", "", "what may be done with it: clear, green, amber or red")
	c.Flags().StringVar(&originator, "originator", "", "who gave it to us; it goes no further until they consent (impound case consent)")
	return func() impound.Marking {
		return impound.Marking{TLP: impound.TLP(strings.ToLower(tlp)), PAP: impound.PAP(strings.ToLower(pap)), Originator: originator}
	}
}

func (e *env) captureLight(ctx context.Context, s *app.System, by, caseID string, names []impound.Name, how app.Light) error {
	var rows [][]string
	var out []app.Captured
	err := s.Capture(ctx, by, caseID, names, how, func(n impound.Name, kept []app.Captured) {
		rows = append(rows, capturedRows(n, kept)...)
		out = append(out, kept...)
	})
	if err != nil {
		return err
	}
	if e.asJSON {
		return e.json(out)
	}
	e.table([]string{"name", "kind", "hash", "seen"}, rows)
	return nil
}

func (e *env) captureFull(ctx context.Context, s *app.System, by, caseID string, names []impound.Name, how app.Full) error {
	out := []app.FullCapture{}
	err := s.CaptureFull(ctx, by, caseID, names, how, func(f app.FullCapture) {
		out = append(out, f)
		if e.asJSON {
			return
		}
		e.table([]string{"name", "kind", "hash", "seen"}, capturedRows(f.Name, f.Kept))
		fmt.Fprintf(e.Err, "%s: gating: %s\n", f.Name.Defanged(), printable(f.GatingWhy))
		if f.NoScreenshot != "" {
			fmt.Fprintf(e.Err, "%s: no screenshot: %s\n", f.Name.Defanged(), printable(f.NoScreenshot))
		}
	})
	if e.asJSON && (err == nil || len(out) > 0) {
		if jerr := e.json(out); err == nil {
			err = jerr
		}
	}
	if err != nil {
		return err
	}
	var missing []string
	for _, f := range out {
		if f.NoScreenshot != "" && !how.NoScreenshot && f.Gating != capture.GateUnknown {
			missing = append(missing, f.Name.Defanged())
		}
	}
	if len(missing) > 0 {
		return impound.Errorf(impound.KindPartial, "the page answers, but there is no screenshot of %s", strings.Join(missing[:min(len(missing), 5)], ", ")).WithCure("see above for why; --no-screenshot leaves it out")
	}
	return nil
}

func capturedRows(n impound.Name, kept []app.Captured) [][]string {
	var rows [][]string
	for _, k := range kept {
		text := k.Summary
		if k.Err != "" {
			text = "nothing seen: " + k.Err
		}
		hash := shortHash(k.Artefact.Hash)
		if hash == "" {
			hash = "-"
		}
		rows = append(rows, []string{n.Defanged(), k.Artefact.Kind, hash, text})
	}
	return rows
}

// jailCmd is how the program becomes the browser's jail; nobody types it.
func (e *env) jailCmd() *cobra.Command {
	c := verb(capture.JailCommand, "the browser's jail", "  (started by impound evidence capture)", cobra.NoArgs, func(*cobra.Command, []string) error {
		if code := capture.JailMain(); code != 0 {
			return impound.Errorf(impound.KindInvalid, "this command is for impound evidence capture alone")
		}
		return nil
	})
	c.Hidden = true
	return c
}
