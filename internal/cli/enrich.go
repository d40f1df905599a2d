package cli

import (
	"bytes"
	"context"
	"encoding/csv"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/watch/enrich"
	"github.com/impound/impound/internal/watch/graph"
	"github.com/impound/impound/internal/watch/trait"
)

func (e *env) enrichCmds() []*cobra.Command {
	return []*cobra.Command{e.watchEnrichCmd(), e.watchSeenCmd(), e.watchGraphCmd()}
}

func (e *env) watchEnrichCmd() *cobra.Command {
	var opt app.EnrichOptions
	c := verb("enrich [NAME...]", "look at candidates from outside, keep what was seen beside them, rank them anew", `  impound watch enrich --top 50                     # the registry's word on the 50 highest
  impound watch enrich outlook-verify[.]net --level web   # and its web server: it sees a visitor
  impound watch enrich --top 200 --level dns --again --json`, cobra.ArbitraryArgs, func(c *cobra.Command, args []string) error {
		for _, a := range args {
			n, err := impound.ParseName(a)
			if err != nil {
				return err
			}
			opt.Names = append(opt.Names, n)
		}
		if len(args) > 0 && c.Flags().Changed("top") {
			return usageError{fmt.Errorf("give names, or --top")}
		}
		if opt.Level != "" && !enrich.Level(opt.Level).Valid() {
			return usageError{fmt.Errorf("--level takes registry, dns or web")}
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			if n := s.Config().EgressNote(); n != "" {
				fmt.Fprintln(e.Err, "note: "+n)
			}
			left, unknown := 0, 0
			var rows [][]string
			opt.Done = func(d app.Enriched) {
				if d.Left != "" {
					left++
				}
				if len(d.Faults) > 0 {
					unknown++
				}
				if e.asJSON {
					_ = jsonLine(e.Out, d)
					return
				}
				score := ""
				if d.Before != nil && d.After != nil {
					score = fmt.Sprintf("%.2f", *d.After)
					if diff := *d.After - *d.Before; diff > 0.005 || diff < -0.005 {
						score = fmt.Sprintf("%.2f -> %.2f", *d.Before, *d.After)
					}
				}
				what := d.Summary()
				if d.Left != "" {
					what = "left alone: " + d.Left
				}
				rows = append(rows, []string{d.Name.Defanged(), score, string(d.Level), what})
			}
			n, err := s.Enrich(ctx, opt)
			if !e.asJSON && len(rows) > 0 {
				e.table([]string{"name", "score", "level", "seen"}, rows)
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(e.Err, "looked at %d, left %d alone; of %d something could not be seen\n", n, left, unknown)
			if len(opt.Names) > 0 && n == 0 && left > 0 {
				return impound.Errorf(impound.KindRefused, "nothing was asked").WithCure("see why above: a marking (PAP) is changed with impound case mark")
			}
			return nil
		})
	})
	c.Flags().IntVar(&opt.Top, "top", 20, "how many of the highest candidates, without names")
	c.Flags().StringVar(&opt.Level, "level", "", "registry: parent zone and RDAP alone; dns: resolvers too; web: and its web server (default: the configuration's, or registry)")
	c.Flags().BoolVar(&opt.Again, "again", false, "those too that were looked at not long ago")
	return c
}

func (e *env) watchSeenCmd() *cobra.Command {
	return verb("seen NAME", "what was seen of a name from outside, how old it is, and what is not known", "  impound watch seen outlook-verify[.]net", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		n, err := impound.ParseName(args[0])
		if err != nil {
			return err
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			r, err := s.Seen(ctx, n)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(r)
			}
			var rows [][]string
			for _, t := range r.Facts.Traits(n) {
				rule, _ := trait.Of(t.Kind)
				rows = append(rows, []string{rule.Label, t.String(), t.Hub})
			}
			fmt.Fprintf(e.Out, "%s, level %s, looked at %s\n", n.Defanged(), r.Level, utc(r.At))
			for _, p := range []struct {
				what string
				at   time.Time
			}{{"registration", partAt(r, "registration")}, {"dns", partAt(r, "dns")}, {"web", partAt(r, "web")}} {
				if p.at.IsZero() {
					fmt.Fprintf(e.Out, "%s: never seen\n", p.what)
				} else {
					fmt.Fprintf(e.Out, "%s: as of %s\n", p.what, utc(p.at))
				}
			}
			for _, part := range r.Unknown() {
				fmt.Fprintf(e.Out, "%s: could not be seen at %s: %s\n", part, utc(r.Faults[part].At), r.Faults[part].Err)
			}
			e.table([]string{"what", "value", "shared by many"}, rows)
			return nil
		})
	})
}

func partAt(r enrich.Record, part string) time.Time {
	switch {
	case part == "registration" && r.Facts.Registration != nil:
		return r.Facts.Registration.At
	case part == "dns" && r.Facts.DNS != nil:
		return r.Facts.DNS.At
	case part == "web" && r.Facts.Web != nil:
		return r.Facts.Web.At
	}
	return time.Time{}
}

func (e *env) watchGraphCmd() *cobra.Command {
	var w graph.Walk
	var format string
	c := verb("graph NAME|KIND:VALUE", "walk from a name along what it shares with others: address, servers, certificate, page, minute of registration", `  impound watch graph outlook-verify[.]net
  impound watch graph outlook-verify[.]net --steps 2 --format dot | neato -Tsvg > links.svg
  impound watch graph address:192.0.2.7
  impound watch graph ns:ns1.host.example --hubs --format graphml`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		start, err := graphStart(args[0])
		if err != nil {
			return err
		}
		if !slices.Contains([]string{"text", "json", "dot", "graphml", "csv"}, format) {
			return usageError{fmt.Errorf("--format takes text, json, dot, graphml or csv")}
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			sub, err := s.WatchGraph(ctx, start, w)
			if err != nil {
				return err
			}
			if e.asJSON {
				format = "json"
			}
			switch format {
			case "json":
				return e.json(sub)
			case "dot":
				return sub.DOT(e.Out)
			case "graphml":
				return sub.GraphML(e.Out)
			case "csv":
				return edgesCSV(e.Out, sub)
			}
			return sub.Text(e.Out)
		})
	})
	c.Flags().IntVar(&w.Steps, "steps", 1, "how far, in names")
	c.Flags().BoolVar(&w.Hubs, "hubs", false, "walk through what thousands share, too")
	c.Flags().IntVar(&w.Max, "max", 400, "how many nodes at most")
	c.Flags().StringVar(&format, "format", "text", "text, json, dot, graphml or csv")
	return c
}

// graphStart reads a name, or a thing as KIND:VALUE.
func graphStart(s string) (string, error) {
	kind, value, ok := strings.Cut(s, ":")
	if _, known := trait.Of(trait.Kind(kind)); ok && known {
		value = strings.ReplaceAll(value, "[.]", ".")
		return graph.ID(kind, value), nil
	}
	n, err := impound.ParseName(strings.TrimPrefix(s, graph.KindName+":"))
	if err != nil {
		return "", err
	}
	return graph.ID(graph.KindName, n.String()), nil
}

// edgesCSV writes an edge a line, defanged.
func edgesCSV(w io.Writer, s graph.Sub) error {
	show := map[string]graph.Node{}
	for _, n := range s.Nodes {
		show[n.ID] = n
	}
	var b bytes.Buffer
	c := csv.NewWriter(&b)
	c.UseCRLF = true // RFC 4180
	rows := [][]string{{"name", "case", "kind", "value", "shared_by_many"}}
	for _, x := range s.Edges {
		rows = append(rows, []string{show[x.Name].Show, show[x.Name].Case, graph.Label(x.Kind), guardCell(show[x.To].Show), show[x.To].Hub})
	}
	if err := c.WriteAll(rows); err != nil {
		return err
	}
	_, err := w.Write(b.Bytes())
	return err
}

// guardCell keeps a spreadsheet from taking a stranger's words for a formula.
func guardCell(s string) string {
	if strings.HasPrefix(strings.TrimSpace(s), "=") || s != "" && strings.ContainsRune("+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
