package cli

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/galaxy"
	"github.com/impound/impound/internal/watch/match"
)

func utc(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// input opens a file, or standard input for "-".
func (e *env) input(name string) (io.ReadCloser, string, error) {
	if name == "-" {
		return io.NopCloser(e.In), "standard input", nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, name, impound.Errorf(impound.KindInvalid, "couldn't open the file: %w", err)
	}
	return f, name, nil
}

// readAll reads a file or standard input, at most max octets.
func (e *env) readAll(name string, max int64) ([]byte, string, error) {
	r, label, err := e.input(name)
	if err != nil {
		return nil, label, err
	}
	defer r.Close()
	b, err := io.ReadAll(io.LimitReader(r, max+1))
	if err != nil {
		return nil, label, impound.Errorf(impound.KindUnavailable, "couldn't read %s: %w", label, err)
	}
	if int64(len(b)) > max {
		return nil, label, impound.Errorf(impound.KindInvalid, "is larger than %d MB", max>>20).At(label).WithCure("is it the right file?")
	}
	return b, label, nil
}

func reasons(rs []impound.Reason) string {
	out := make([]string, len(rs))
	for i, r := range rs {
		out[i] = r.Text
	}
	return strings.Join(out, "; ")
}

// countWords says how many names a case has, and in which states, for a heading;
// nothing for few.
func countWords(total int, count map[impound.DomainState]int) string {
	if total <= partRows {
		return ""
	}
	words := fmt.Sprintf(", %d names:", total)
	for i, st := range slices.Sorted(maps.Keys(count)) {
		if i > 0 {
			words += ","
		}
		words += fmt.Sprintf(" %d %s", count[st], st)
	}
	return words
}

// speaking gives what speaks for a candidate; --json and the pages give all.
func speaking(rs []impound.Reason) string {
	var out []impound.Reason
	for _, r := range rs {
		if r.Weight > 0.05 || strings.HasPrefix(r.Code, "brand-") {
			out = append(out, r)
		}
	}
	return reasons(out)
}

func (e *env) watchCmd() *cobra.Command {
	var brands, zone string
	var threshold float64
	var keep bool
	screen := verb("screen FILE|-", "which of these names imitate somebody?", `  impound watch screen names.txt               # a name a line; prints candidates with reasons
  zcat new.gz | impound watch screen - --keep  # and keeps them for triage
  impound watch screen com.txt.gz --zone com   # a zone file as CZDS gives it
  impound watch screen names.txt --brands brands.json --json`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		r, label, err := e.input(args[0])
		if err != nil {
			return err
		}
		defer r.Close()
		run := func(ctx context.Context, s *app.System) error {
			cfg := app.Config{}
			if s != nil {
				cfg = s.Config()
			}
			if brands != "" {
				cfg.Brands = brands
			}
			m, err := app.Matcher(e.stateDir(), cfg)
			if err != nil {
				return err
			}
			screen := app.Screen
			if zone != "" {
				screen = func(ctx context.Context, s *app.System, m *match.Matcher, r io.Reader, source string, threshold float64, keep bool) (app.Screening, error) {
					return app.ScreenZone(ctx, s, m, r, source, zone, threshold, keep)
				}
			}
			res, err := screen(ctx, s, m, r, label, threshold, keep)
			if err != nil {
				return err
			}
			if e.asJSON {
				if err := e.json(res); err != nil {
					return err
				}
			} else {
				var rows [][]string
				for _, c := range res.Candidates {
					rows = append(rows, []string{c.Name.Defanged(), fmt.Sprintf("%.2f", c.Score), c.Brand, speaking(c.Reasons)})
				}
				e.table([]string{"name", "score", "brand", "why"}, rows)
			}
			fmt.Fprintf(e.Err, "%d lines: %d names, %d candidates, %d lines that are no names\n", res.Stats.Read, res.Stats.Names, res.Stats.Hits, res.Stats.BadCount)
			for _, b := range res.Stats.Bad {
				fmt.Fprintf(e.Err, "%s:%d: %s\n", label, b.Line, b.Msg)
			}
			if res.Stats.BadCount > 0 {
				return impound.Errorf(impound.KindPartial, "%d of %d lines could not be read as names; the rest was screened", res.Stats.BadCount, res.Stats.Read).At(label)
			}
			return nil
		}
		if keep {
			return e.with(c, run)
		}
		return run(c.Context(), nil)
	})
	screen.Flags().StringVar(&brands, "brands", "", "brands file (JSON); default: the configuration's, or the built-in brands")
	screen.Flags().Float64Var(&threshold, "threshold", 0, "least score of a candidate, 0 to 1 (default: what is more than a coincidence)")
	screen.Flags().StringVar(&zone, "zone", "", "the file is a zone file, of this zone; it may be packed with gzip")
	screen.Flags().BoolVar(&keep, "keep", false, "keep the candidates for triage")

	return group("watch", "find an actor's names in streams", "  impound watch screen names.txt --keep\n  impound watch run\n  impound watch status\n  impound watch list\n  impound watch promote NAME --case APT35", append([]*cobra.Command{screen, e.watchRunCmd(), e.watchStatusCmd(), e.watchReleaseCmd()}, append(e.triageCmds(), e.enrichCmds()...)...)...)
}

// eachName goes on behind a name that fails; some failed is KindPartial.
func eachName(args []string, do func(impound.Name) error) error {
	var ps impound.Problems
	for _, a := range args {
		n, err := impound.ParseName(a)
		if err == nil {
			err = do(n)
		}
		if err != nil {
			if len(args) == 1 {
				return err
			}
			ps = append(ps, impound.Errorf(impound.KindOf(err), "%w", err).At(a))
		}
	}
	if len(ps) == 0 {
		return nil
	}
	return impound.Errorf(impound.KindPartial, "%d of %d names failed:\n%w", len(ps), len(args), ps.Err())
}

func (e *env) matchCmd() *cobra.Command {
	var brands, budget string
	var scores bool
	c := verb("match", "a filter for pipes: names in, a line of JSON a hit out", `  impound match --brands brands.json < names.txt
  impound match --brands brands.json --budget 0.1% < names.txt   # the highest thousandth, at the end
  impound match --brands brands.json --scores < names.txt   # name, score, brand for every line

brands.json says what each brand's imitators contain, and which domains are its own, which are
never flagged: {"paypal": {"tokens": ["paypal"], "domains": ["paypal.com"]}}`, cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		m, err := app.Matcher(e.stateDir(), app.Config{Brands: brands})
		if err != nil {
			return err
		}
		if scores {
			if budget != "" {
				return usageError{fmt.Errorf("--scores prints every name: it goes without --budget")}
			}
			return match.Scores(c.Context(), m, e.In, e.Out)
		}
		hit := func(cand impound.Candidate) error {
			return jsonLine(e.Out, struct {
				impound.Candidate
				Distance int `json:"distance"` // said where it is none too
			}{cand, cand.Distance})
		}
		if budget != "" {
			share, err := parseShare(budget)
			if err != nil {
				return usageError{err}
			}
			st, lowest, err := app.ScreenBudget(c.Context(), m, e.In, "standard input", share, hit)
			if err != nil {
				return err
			}
			fmt.Fprintf(e.Err, "impound: %d of %d names, down to a score of %.4f\n", st.Hits, st.Names, lowest)
			if st.BadCount > 0 {
				fmt.Fprintf(e.Err, "impound: %d of %d lines are no names\n", st.BadCount, st.Read)
			}
			return nil
		}
		st, err := app.ScreenEach(c.Context(), m, e.In, "standard input", 0, hit)
		if err != nil {
			return err
		}
		if st.BadCount > 0 {
			fmt.Fprintf(e.Err, "impound: %d of %d lines are no names\n", st.BadCount, st.Read)
		}
		return nil
	})
	c.Flags().StringVar(&brands, "brands", "", "brands file (JSON); default: the built-in brands")
	c.Flags().StringVar(&budget, "budget", "", "the names with the highest scores, as a share of all: 0.1%, or 0.001")
	c.Flags().BoolVar(&scores, "scores", false, "print NAME<TAB>SCORE[<TAB>BRAND] for every line, in order; 0 is nothing seen")
	return c
}

// parseShare reads 0.1% or 0.001.
func parseShare(s string) (float64, error) {
	num, percent := strings.CutSuffix(strings.TrimSpace(s), "%")
	x, err := strconv.ParseFloat(strings.TrimSpace(num), 64)
	if percent {
		x /= 100
	}
	if err != nil || !(x > 0 && x <= 1) {
		return 0, fmt.Errorf("%q is no share of the names: write 0.1%%, or 0.001", s)
	}
	return x, nil
}

// actors prints actors; the JSON has who says which name, too.
func (e *env) actors(list []impound.Actor) error {
	if e.asJSON {
		return e.json(list)
	}
	var rows [][]string
	for _, a := range list {
		rows = append(rows, []string{a.ID, strings.Join(a.Names, ", "), strings.Join(a.Brands, ", ")})
	}
	e.table([]string{"id", "names", "imitates"}, rows)
	return nil
}

// actorWords says whose a case is.
func actorWords(id string) string {
	if id == "" {
		return "no actor yet: impound case edit --actor"
	}
	return "actor " + id
}

// noteActor says when nobody noted an actor of this id yet: it may be a slip, and
// two spellings are two actors to G15.
func (e *env) noteActor(ctx context.Context, s *app.System, id string) error {
	all, err := s.Casework.Actors(ctx)
	if err != nil || id == "" || slices.ContainsFunc(all, func(a impound.Actor) bool { return a.ID == id }) {
		return err
	}
	fmt.Fprintf(e.Err, "note: no actor %s is noted yet: impound actor add %s; two spellings are two actors\n", id, id)
	return nil
}

// actorNames prints a row for each name and each source's word on it.
func (e *env) actorNames(found, all []impound.Actor) error {
	var rows [][]string
	for _, a := range found {
		for _, n := range a.Names {
			var also []string
			for _, o := range all {
				if o.ID != a.ID && slices.ContainsFunc(o.Names, func(x string) bool { return casework.SameAlias(x, n) }) {
					also = append(also, o.ID)
				}
			}
			said := false
			for _, w := range a.Aliases {
				if w.Name == n {
					sure := ""
					if w.Confidence > 0 {
						sure = strconv.Itoa(w.Confidence)
					}
					rows, said = append(rows, []string{a.ID, n, w.Source, sure, strings.Join(also, ", ")}), true
				}
			}
			if !said {
				rows = append(rows, []string{a.ID, n, strings.Join(a.Sources, "; "), "", strings.Join(also, ", ")})
			}
		}
	}
	e.table([]string{"actor", "name", "source", "confidence", "also a name of"}, rows)
	return nil
}

func (e *env) actorCmd() *cobra.Command {
	var names, brands []string
	var source string
	var confidence int
	add := verb("add ID", "keep an actor, or add names to one", `  impound actor add APT35 --alias "Charming Kitten" --alias Phosphorus --as ada
  impound actor add APT35 --alias "Mint Sandstorm" --source "Microsoft, April 2023" --confidence 80 --as ada`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			if confidence < 0 || confidence > 100 || confidence > 0 && source == "" {
				return usageError{fmt.Errorf("--confidence is 1 to 100, and goes with --source: it is the source's")}
			}
			a := impound.Actor{ID: args[0], Names: append([]string{args[0]}, names...), Brands: brands}
			if source != "" {
				said := names
				if len(said) == 0 {
					said = a.Names
				}
				for _, n := range said {
					a.Aliases = append(a.Aliases, impound.Alias{Name: n, Source: source, Confidence: confidence})
				}
			}
			_, shared, err := s.Casework.ImportActors(ctx, me.ID, []impound.Actor{a})
			if err != nil {
				return err
			}
			for _, alias := range slices.Sorted(maps.Keys(shared)) {
				fmt.Fprintf(e.Err, "note: %q is also a name of %s\n", alias, strings.Join(slices.DeleteFunc(shared[alias], func(id string) bool { return id == a.ID }), ", "))
			}
			return nil
		})
	})
	add.Flags().StringArrayVar(&names, "alias", nil, "another name of the actor; give it more than once for more")
	add.Flags().StringArrayVar(&brands, "imitates", nil, "a brand that it imitates")
	add.Flags().StringVar(&source, "source", "", "who calls it so")
	add.Flags().IntVar(&confidence, "confidence", 0, "how sure the source is, 1 to 100")
	drop := verb("drop ID NAME...", "take names from an actor that are not its", `  impound actor drop APT35 "Mint Sandstorm" --as ada`, cobra.MinimumNArgs(2), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			return s.Casework.DropActorNames(ctx, me.ID, args[0], args[1:])
		})
	})
	show := verb("show ID|ALIAS", "an actor's names: who says so, how sure they are, and which other actors go by the same", "  impound actor show APT35", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			all, err := s.Casework.Actors(ctx)
			if err != nil {
				return err
			}
			byAlias, err := s.Casework.ActorsByAlias(ctx, args[0])
			if err != nil {
				return err
			}
			var found []impound.Actor
			for _, a := range all {
				if a.ID == args[0] || slices.ContainsFunc(byAlias, func(b impound.Actor) bool { return b.ID == a.ID }) {
					found = append(found, a)
				}
			}
			if len(found) == 0 {
				return impound.Errorf(impound.KindNotFound, "no actor goes by %q", args[0]).WithCure("impound actor list names them")
			}
			if e.asJSON {
				return e.json(found)
			}
			return e.actorNames(found, all)
		})
	})
	list := verb("list [ALIAS]", "actors, or those who go by a name", `  impound actor list
  impound actor list "Mint Sandstorm"     # one alias can stand in two actors`, cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			actors, err := s.Casework.Actors(ctx)
			if len(args) == 1 {
				actors, err = s.Casework.ActorsByAlias(ctx, args[0])
			}
			if err != nil {
				return err
			}
			return e.actors(actors)
		})
	})
	var only []string
	var dry bool
	imp := verb("import FILE|-", "take actors and their names from a MISP galaxy or MITRE ATT&CK file", `  impound actor import threat-actor.json --only APT35 --as ada
  impound actor import enterprise-attack.json --dry-run`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		f, name, err := e.input(args[0])
		if err != nil {
			return err
		}
		defer f.Close()
		list, problems, err := galaxy.Read(f, name)
		if err != nil {
			return err
		}
		for _, p := range problems {
			fmt.Fprintf(e.Err, "note: record %d %q %s\n", p.Record, p.Name, p.Text)
		}
		if len(only) > 0 {
			list = slices.DeleteFunc(list, func(a impound.Actor) bool {
				return !slices.ContainsFunc(a.Names, func(n string) bool {
					return slices.ContainsFunc(only, func(o string) bool { return strings.EqualFold(n, o) })
				})
			})
			if len(list) == 0 {
				return impound.Errorf(impound.KindNotFound, "no actor of the file goes by %s", strings.Join(only, " or ")).At(name)
			}
		}
		if dry {
			return e.actors(list)
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			saved, shared, err := s.Casework.ImportActors(ctx, me.ID, list)
			for _, alias := range slices.Sorted(maps.Keys(shared)) {
				fmt.Fprintf(e.Err, "note: %q is a name of %s\n", alias, strings.Join(shared[alias], ", "))
			}
			if err == nil {
				fmt.Fprintf(e.Err, "%d actors read, %d new or changed\n", len(list), saved)
			}
			return err
		})
	})
	imp.Flags().StringArrayVar(&only, "only", nil, "take the actors alone that go by this name; may be given again")
	imp.Flags().BoolVar(&dry, "dry-run", false, "show what the file holds, keep nothing")
	return group("actor", "whom the names belong to", "  impound actor add APT35 --alias \"Charming Kitten\"\n  impound actor list\n  impound actor rank APT35 < new-names.txt", add, drop, show, imp, list, e.rankCmd())
}

func (e *env) caseCmd() *cobra.Command {
	var title, actor, tlp string
	var sealedFor []string
	open := verb("open ID", "open a case", `  impound case open APT35-2019 --title "APT35, March 2019" --actor APT35 --as ada
  impound case open APT35-2019 --title "Sealed" --party ada --party carla --as ada   # sealed from the start`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			k := impound.Case{ID: args[0], Title: title, Actor: actor, TLP: impound.TLP(tlp)}
			if err := e.noteActor(ctx, s, actor); err != nil {
				return err
			}
			if len(sealedFor) == 0 {
				return s.Casework.OpenCase(ctx, me.ID, k)
			}
			// An id that nobody can guess: trying to open a case of the same id would
			// tell that it is there.
			k.ID = app.UnguessableID(k.ID)
			if err := s.OpenSealed(ctx, me, k, sealedFor); err != nil {
				return err
			}
			fmt.Fprintln(e.Out, k.ID)
			return nil
		})
	})
	open.Flags().StringArrayVar(&sealedFor, "party", nil, "seal it from the start, for these people; the id gets a tail that nobody can guess")
	open.Flags().StringVar(&title, "title", "", "what it is about")
	open.Flags().StringVar(&actor, "actor", "", "id of the actor")
	open.Flags().StringVar(&tlp, "tlp", "amber", "clear, green, amber, amber+strict or red")
	list := verb("list", "all cases", "  impound case list\n  impound case list --json", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			if e.asJSON {
				cases, err := s.Casework.Cases(ctx)
				if err != nil {
					return err
				}
				return e.json(cases)
			}
			cases, err := s.Casework.CaseHeads(ctx)
			if err != nil {
				return err
			}
			var rows [][]string
			for _, k := range cases {
				n := 0
				for _, v := range k.Count {
					n += v
				}
				rows = append(rows, []string{k.ID, k.Title, k.Actor, string(k.TLP), strconv.Itoa(n), k.Owner, utc(k.Opened)})
			}
			e.table([]string{"id", "title", "actor", "tlp", "names", "owner", "opened"}, rows)
			return nil
		})
	})
	var names *part
	show := verb("show ID", "a case with its names, in the order of their letters", `  impound case show APT35-2019
  impound case show APT35-2019 --offset 200        # the next 200 names
  impound case show APT35-2019 --limit 0 --json    # everything`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		offset, limit, err := e.part(names)
		if err != nil {
			return err
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			k, count, rev, err := s.Casework.CasePart(ctx, args[0], offset, limit)
			if err != nil {
				return err
			}
			total := 0
			for _, n := range count {
				total += n
			}
			if e.asJSON {
				err := e.json(struct {
					impound.Case
					Rev   int64                       `json:"rev"`
					Count map[impound.DomainState]int `json:"count"`
				}{k, rev, count})
				e.left(offset, len(k.Domains), total, "names")
				return err
			}
			fmt.Fprintf(e.Err, "%s: %s (%s, TLP:%s, owner %s)%s\n", k.ID, printable(impound.DefangText(k.Title)), actorWords(k.Actor), strings.ToUpper(string(k.TLP)), k.Owner, countWords(total, count))
			var rows [][]string
			for _, d := range k.Domains {
				why := reasons(d.Reasons)
				for _, v := range d.Verdicts {
					if v.Outcome == impound.GateBlock {
						why = v.Gate + ": " + v.Reason
					}
				}
				rows = append(rows, []string{d.Name.Defanged(), string(d.State), d.Order, strconv.Itoa(len(d.Evidence)), why})
			}
			e.table([]string{"name", "state", "order", "evidence", "why"}, rows)
			e.left(offset, len(k.Domains), total, "names")
			return nil
		})
	})
	names = partFlags(show, "names")
	add := verb("add ID FILE|-", "add a list of names to a case, a name a line", "  impound case add APT35-2019 names.txt --as ada\n  echo 'outlook-verify[.]net' | impound case add APT35-2019 - --as ada", cobra.ExactArgs(2), func(c *cobra.Command, args []string) error {
		b, label, err := e.readAll(args[1], 64<<20)
		if err != nil {
			return err
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			rep, err := s.Casework.AddNamesFrom(ctx, me.ID, args[0], label, bytes.NewReader(b))
			if e.asJSON {
				if jerr := e.json(rep); jerr != nil {
					return jerr
				}
			}
			fmt.Fprintf(e.Err, "%d added, %d were there already, %d lines bad\n", rep.Added, rep.Known, len(rep.Problems))
			return err
		})
	})
	seen := verb("seen ID DATE NAME...", "say when names of a case were first seen doing harm", "  impound case seen APT35-2019 2019-03-27 outlook-verify[.]net --as ada", cobra.MinimumNArgs(3), func(c *cobra.Command, args []string) error {
		at, err := parseSince(args[1], time.Now())
		if err != nil {
			return err
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			return eachName(args[2:], func(n impound.Name) error {
				_, err := s.Casework.AddNames(ctx, me.ID, args[0], []casework.AddName{{Name: n, FirstSeen: at.UTC()}})
				return err
			})
		})
	})
	return group("case", "cases: names with evidence", "  impound case open APT35-2019 --title \"APT35, March 2019\"\n  impound case add APT35-2019 names.txt\n  impound case show APT35-2019", append(append(append(e.decideCmds(), e.sealCmds()...), e.objectCmds()...), open, list, show, add, seen, e.intakeCmd())...)
}
