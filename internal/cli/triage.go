package cli

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
)

// shownRows is how many rows a person is shown who didn't say how many.
const shownRows = 100

func (e *env) watchListCmd() *cobra.Command {
	var f casework.QueueFilter
	var name, format string
	limit := -1
	c := verb("list", "the triage queue: a row a domain, the highest rank first", `  impound watch list
  impound watch list --brand PayPal --min 0.5 --limit 20
  impound watch list --status dismissed --format csv > dismissed.csv
  impound watch list --actor APT35 --source nrd --json`, cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		asCSV := format == "csv"
		if format != "" && !asCSV {
			return usageError{fmt.Errorf("--format takes csv; --json is a flag of its own")}
		}
		if f.MinScore < 0 || f.MinScore > 1 {
			return usageError{fmt.Errorf("--min is the least rank, from 0 to 1, such as 0.5")}
		}
		if f.Status == "all" {
			f.Status = ""
		}
		switch f.Status {
		case "", casework.CandidateOpen, casework.CandidateSnoozed, casework.CandidateDismissed, casework.CandidatePromoted:
		default:
			return usageError{fmt.Errorf("--status takes open, snoozed, dismissed, promoted or all")}
		}
		if name != "" {
			n, err := impound.ParseName(name)
			if err != nil {
				return err
			}
			f.Name = n
		}
		switch {
		case limit >= 0 || asCSV:
		case e.asJSON:
			limit = partJSON
		default:
			limit = shownRows
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			left := max(limit, 0)
			var rows [][]string
			var w *csv.Writer
			if asCSV {
				w = csv.NewWriter(e.Out)
				_ = w.Write([]string{"name", "rank", "score", "brand", "actors", "status", "case", "hosts", "sources", "seen", "last", "by", "reason", "why", "again", "reasons", "in_cases", "marking"})
			}
			first, total, shown := true, -1, 0
			if e.asJSON {
				fmt.Fprint(e.Out, "[")
			}
			// In portions: a long queue is given as it is read.
			for {
				f.Limit = 1000
				if limit > 0 {
					f.Limit = min(left, 1000)
				}
				p, err := s.Casework.Queue(ctx, f)
				if err != nil {
					return err
				}
				if total < 0 {
					total = p.Total
				}
				for _, r := range p.Rows {
					switch {
					case e.asJSON:
						if !first {
							fmt.Fprint(e.Out, ",")
						}
						fmt.Fprint(e.Out, "\n")
						if err := rowJSON(e.Out, r); err != nil {
							return err
						}
					case asCSV:
						_ = w.Write(rowCSV(r))
					default:
						rows = append(rows, rowText(r))
					}
					first = false
				}
				shown += len(p.Rows)
				left -= len(p.Rows)
				if f.After = p.Next; p.Next == "" || limit > 0 && left <= 0 {
					break
				}
			}
			switch {
			case e.asJSON:
				fmt.Fprint(e.Out, "\n]\n")
			case asCSV:
				w.Flush()
				return w.Error()
			default:
				e.table([]string{"name", "rank", "imitates", "hosts", "seen by", "status", "seen", "why"}, rows)
			}
			if f.After != "" {
				of := ""
				if total >= 0 {
					of = " of " + strconv.Itoa(total)
				}
				fmt.Fprintf(e.Err, "the first %d%s; --limit shows more, --limit 0 all\n", shown, of)
			}
			return nil
		})
	})
	c.Flags().StringVar(&f.Status, "status", casework.CandidateOpen, "open, snoozed, dismissed, promoted or all")
	c.Flags().StringVar(&f.Brand, "brand", "", "rows that imitate this brand")
	c.Flags().StringVar(&f.Actor, "actor", "", "rows that fit this actor's habits")
	c.Flags().StringVar(&f.Source, "source", "", "rows that this source saw")
	c.Flags().StringVar(&f.Case, "case", "", "rows that were promoted to this case")
	c.Flags().StringVar(&name, "name", "", "the row that holds this name")
	c.Flags().Float64Var(&f.MinScore, "min", 0, "least rank, 0 to 1")
	c.Flags().IntVar(&limit, "limit", -1, "how many rows (default 100, with --json 500, with --format csv all; 0: all)")
	c.Flags().StringVar(&format, "format", "", "csv")
	return c
}

func rowText(r casework.Row) []string {
	hosts := ""
	if r.Count > 1 || r.Count == 1 && r.Top != r.Name {
		hosts = r.Top.Defanged()
		if r.Top == r.Name {
			hosts = ""
		}
		if r.Count > 1 {
			hosts = strings.TrimSpace(hosts + " +" + strconv.Itoa(r.Count-1))
		}
	}
	var src []string
	for _, s := range r.Sources {
		src = append(src, s.Source)
	}
	if len(src) > 2 {
		src = append(src[:2], fmt.Sprintf("%d more", len(src)-2))
	}
	status := r.Status
	switch {
	case r.Case != "" && r.Status == casework.CandidatePromoted:
		status += " to " + r.Case
		if r.By == "" {
			status = "in case " + r.Case + " already"
		}
	case !r.Until.IsZero():
		status += " until " + r.Until.Format(time.DateOnly)
	case r.Reason != "" && r.Status == casework.CandidateDismissed:
		status += ": " + r.Reason
	}
	if r.Scope != "" {
		status += " (sealed: " + r.Scope + ")"
	}
	if m := r.Mark.String(); m != "" {
		status += "; " + m
	}
	if r.Status != casework.CandidatePromoted && len(r.InCases) > 0 {
		status += "; known in case " + strings.Join(r.InCases, ", ")
	}
	// What it is about and what weighs most; --json and the page have all.
	var most []impound.Reason
	left := 0
	for _, x := range r.Reasons {
		switch {
		case x.Weight <= 0.05 && !strings.HasPrefix(x.Code, "brand-") && x.Code != "actor-known":
		case len(most) < 3:
			most = append(most, x)
		default:
			left++
		}
	}
	why := reasons(most)
	if left > 0 {
		why += fmt.Sprintf("; %d more", left)
	}
	for _, l := range r.Learnt {
		why += fmt.Sprintf("; %s (%+.2f)", l.Text, l.Weight)
	}
	if r.Again != "" {
		why = "AGAIN: " + r.Again + "; " + why
	}
	who := r.Brand
	if len(r.Actors) > 0 {
		who = strings.TrimPrefix(who+", "+strings.Join(r.Actors, ", "), ", ")
	}
	return []string{r.Name.Defanged(), fmt.Sprintf("%.2f", r.Rank), who, hosts, strings.Join(src, ", "), status, utc(r.Seen), why}
}

// names reads names from the command line, or a name a line from standard input
// where - stands.
func (e *env) names(args []string) ([]impound.Name, error) {
	var out []impound.Name
	var ps impound.Problems
	one := func(text, where string) {
		n, err := impound.ParseName(text)
		if err != nil {
			ps = append(ps, impound.Errorf(impound.KindOf(err), "%w", err).At(where))
			return
		}
		out = append(out, n)
	}
	for _, a := range args {
		if a != "-" {
			one(a, a)
			continue
		}
		sc := bufio.NewScanner(e.In)
		for n := 1; sc.Scan(); n++ {
			if f := strings.Fields(sc.Text()); len(f) > 0 && f[0][0] != '#' {
				one(f[0], fmt.Sprintf("standard input:%d", n))
			}
		}
		if err := sc.Err(); err != nil {
			return nil, impound.Errorf(impound.KindInvalid, "couldn't read the names: %w", err)
		}
	}
	if len(ps) > 0 {
		return nil, impound.Errorf(impound.KindInvalid, "nothing was done:\n%w", ps.Err())
	}
	return out, nil
}

// rule decides of the names, and gives those that hold now.
func (e *env) rule(ctx context.Context, s *app.System, by string, ns []impound.Name, r casework.Ruling) ([]impound.Name, error) {
	picks := make([]casework.Pick, len(ns))
	for i, n := range ns {
		picks[i] = casework.Pick{Name: n, Rev: -1}
	}
	out, err := s.Casework.Triage(ctx, by, picks, r)
	if err != nil {
		return nil, err
	}
	var good []impound.Name
	var ps impound.Problems
	for _, o := range out {
		if o.Err != nil {
			if len(out) == 1 {
				return nil, o.Err
			}
			ps = append(ps, impound.Errorf(impound.KindOf(o.Err), "%w", o.Err).At(o.Name.Defanged()))
			continue
		}
		good = append(good, o.Name)
	}
	if len(ps) > 0 {
		return good, impound.Errorf(impound.KindPartial, "%d of %d names failed:\n%w", len(ps), len(out), ps.Err())
	}
	return good, nil
}

func (e *env) ruleCmd(use, short, example string, ruling func() (casework.Ruling, error)) *cobra.Command {
	return verb(use+" NAME...|-", short, example, cobra.MinimumNArgs(1), func(c *cobra.Command, args []string) error {
		r, err := ruling()
		if err != nil {
			return usageError{err}
		}
		ns, err := e.names(args)
		if err != nil {
			return err
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			_, err = e.rule(ctx, s, me.ID, ns, r)
			return err
		})
	})
}

func (e *env) triageCmds() []*cobra.Command {
	var ask app.SupplementAsk
	var supplement bool
	var out string
	promote := verb("promote NAME...|-", "put candidates into a case, and draft the supplement for them", `  impound watch promote outlook-verify[.]net --case APT35 --as ada
  impound watch promote outlook-verify[.]net --case APT35 --supplement --clause 7 --as ada   # evidence, gates, draft`, cobra.MinimumNArgs(1), func(c *cobra.Command, args []string) error {
		ns, err := e.names(args)
		if err != nil {
			return err
		}
		if !supplement && (ask.Order != "" || ask.Clause != "" || ask.ID != "" || out != "") {
			return usageError{fmt.Errorf("--order, --clause, --id and --out go with --supplement")}
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			good, failed := e.rule(ctx, s, me.ID, ns, casework.Ruling{Do: casework.DoPromote, Case: ask.Case})
			if !supplement || len(good) == 0 {
				return failed
			}
			ask.Names = good
			if err := e.draftSupplement(ctx, s, me.ID, ask, out); err != nil {
				return err
			}
			return failed
		})
	})
	promote.Flags().StringVar(&ask.Case, "case", "", "the case")
	promote.Flags().BoolVar(&supplement, "supplement", false, "then capture evidence, run the gates, and draft the next appendix to the case's order")
	promote.Flags().StringVar(&ask.Order, "order", "", "the order to supplement (default: the case's, when it has one)")
	promote.Flags().StringVar(&ask.Clause, "clause", "", "the clause of it that allows supplements (default: as in its last one)")
	promote.Flags().StringVar(&ask.ID, "id", "", "the supplement's id (default: ORDER-S1, -S2 ...)")
	promote.Flags().StringVar(&out, "out", "", "file to write the draft to (default: ID.yaml)")
	promote.Flags().BoolVar(&ask.How.Registry, "registry-only", false, "ask registries alone, of which the names' holder learns nothing")
	_ = promote.MarkFlagRequired("case")

	var reason, why string
	var codes []string
	for _, r := range casework.DismissReasons {
		codes = append(codes, r.Code)
	}
	dismiss := e.ruleCmd("dismiss", "close candidates with a reason, which teaches", `  impound watch dismiss shop-outlook[.]net --reason word --why "a furniture shop" --as ada
  impound watch list --brand PayPal --json | jq -r '.[].name' | impound watch dismiss - --reason chance --as ada`, func() (casework.Ruling, error) {
		if reason == "" && why == "" {
			return casework.Ruling{}, fmt.Errorf("say why: --reason %s, or --why in words", strings.Join(codes, "|"))
		}
		return casework.Ruling{Do: casework.DoDismiss, Reason: reason, Why: why}, nil
	})
	dismiss.Long += "\n\n  # what a reason teaches (impound watch reopen undoes it, impound watch lessons shows it):"
	for _, r := range casework.DismissReasons {
		dismiss.Long += fmt.Sprintf("\n  #   %-9s %s: %s", r.Code, r.Text, r.Does)
	}
	dismiss.Long += "\n  # What was dismissed opens again, and says why, when something is found that was not known."
	dismiss.Flags().StringVar(&reason, "reason", "", strings.Join(codes, ", ")+" (default other)")
	dismiss.Flags().StringVar(&why, "why", "", "the reason in words; needed with other")

	var until, swhy string
	snooze := e.ruleCmd("snooze", "put candidates off until a day", "  impound watch snooze pay-verify[.]net --until 2026-12-01 --why \"see whether it gets a page\" --as ada", func() (casework.Ruling, error) {
		t, err := dayOf(until, time.Now())
		return casework.Ruling{Do: casework.DoSnooze, Until: t, Why: swhy}, err
	})
	snooze.Flags().StringVar(&until, "until", "", "a date (2026-12-01, from its beginning, UTC), or for how long (14d, 36h)")
	snooze.Flags().StringVar(&swhy, "why", "", "why")
	_ = snooze.MarkFlagRequired("until")

	var rwhy string
	reopen := e.ruleCmd("reopen", "undo a dismissal or a snooze, and what it taught", "  impound watch reopen shop-outlook[.]net --as ada", func() (casework.Ruling, error) {
		return casework.Ruling{Do: casework.DoReopen, Why: rwhy}, nil
	})
	reopen.Flags().StringVar(&rwhy, "why", "", "why")

	var off, on, lwhy string
	lessons := verb("lessons", "what dismissals and promotions taught, and what it does to scores", `  impound watch lessons
  impound watch lessons --off "word|Outlook|furniture" --why "a campaign sells furniture" --as ada
  impound watch lessons --on "word|Outlook|furniture" --as ada`, cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			if off != "" || on != "" {
				me, err := e.me(s)
				if err != nil {
					return err
				}
				if off != "" && on != "" {
					return usageError{fmt.Errorf("give one of --off and --on")}
				}
				return s.Casework.SwitchLesson(ctx, me.ID, off+on, on != "", lwhy)
			}
			ls, err := s.Casework.Lessons(ctx)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(ls)
			}
			var rows [][]string
			for _, l := range ls {
				note := ""
				switch {
				case l.Off != "":
					note = "off, by " + l.Off + ": " + l.OffWhy
				case l.Offset == 0:
					note = "too few to count"
				}
				some := append(append([]string{}, l.Dismissed...), l.Promoted...)
				more := ""
				if len(some) > 3 {
					more = fmt.Sprintf(" and %d more", len(some)-3)
					some = some[:3]
				}
				rows = append(rows, []string{l.Key, fmt.Sprintf("%+.2f", l.Offset), l.Words, strings.Join(l.By, ", "), utc(l.Last), defang(strings.Join(some, " ")) + more, note})
			}
			e.table([]string{"lesson", "adds", "because", "by", "last", "such as", "note"}, rows)
			return nil
		})
	})
	lessons.Flags().StringVar(&off, "off", "", "a lesson that is not to count")
	lessons.Flags().StringVar(&on, "on", "", "a lesson that is to count again")
	lessons.Flags().StringVar(&lwhy, "why", "", "why; it is recorded")
	return []*cobra.Command{e.watchListCmd(), promote, dismiss, snooze, reopen, lessons}
}

// dayOf reads a date, or a span from now.
func dayOf(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.DateOnly, s); err == nil {
		return t, nil
	}
	if d, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(d); err == nil && n > 0 && n < 4000 {
			return now.AddDate(0, 0, n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil && d > 0 {
		return now.Add(d), nil
	}
	return time.Time{}, fmt.Errorf("%q is no day: write 2026-12-01, 14d or 36h", s)
}

// draftSupplement makes the draft and tells what it needs.
func (e *env) draftSupplement(ctx context.Context, s *app.System, by string, ask app.SupplementAsk, out string) error {
	d, err := s.DraftSupplement(ctx, by, ask, func(n impound.Name, kept []app.Captured) {
		fmt.Fprintf(e.Err, "%s: %d artefacts\n", n.Defanged(), len(kept))
	})
	if err != nil {
		return err
	}
	if d.Missing != "" {
		fmt.Fprintf(e.Err, "evidence is missing: %s\n", printable(d.Missing))
	}
	for _, l := range d.Left {
		fmt.Fprintf(e.Err, "left out: %s: %s\n", l.Name.Defanged(), l.Why)
	}
	if len(d.NewZones) > 0 {
		fmt.Fprintf(e.Err, "note: order %s has no name below .%s: see whether %s runs it\n", d.Parent, strings.Join(d.NewZones, ", ."), d.Order.Recipient.Name)
	}
	blocked := 0
	for _, n := range d.Report.Names {
		for _, v := range n.Blocked {
			fmt.Fprintf(e.Err, "%s: %s: %s\n", n.Name.Defanged(), v.Gate, printable(v.Reason))
		}
		if len(n.Blocked) > 0 {
			blocked++
		}
	}
	if out == "" {
		out = d.Order.ID + ".yaml"
	}
	if out == "-" {
		_, err := e.Out.Write(d.Document)
		return err
	}
	f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return impound.Errorf(impound.KindConflict, "couldn't write the draft: %w", err).WithCure("choose another file: impound order supplement " + d.Parent + " --clause " + d.Clause + " --id " + d.Order.ID + " --out FILE")
	}
	defer f.Close()
	if _, err := f.Write(d.Document); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't write the draft: %w", err)
	}
	if err := f.Close(); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't write the draft: %w", err)
	}
	fmt.Fprintf(e.Err, "wrote %s: %d new names as appendix %s of %s under clause %s, %d kept out by gates; then: impound order check %s\n", out, len(d.Names), d.Order.Appendices[0].ID, d.Parent, d.Clause, blocked, out)
	return nil
}

func rowJSON(w io.Writer, r casework.Row) error {
	b, err := json.Marshal(r)
	if err != nil {
		return impound.Errorf(impound.KindInternal, "couldn't encode a row: %w", err)
	}
	_, err = w.Write(impound.ShowJSON(b))
	return err
}

func rowCSV(r casework.Row) []string {
	join := func(n int, f func(i int) string) string {
		out := make([]string, n)
		for i := range out {
			out[i] = f(i)
		}
		return strings.Join(out, "; ")
	}
	rec := []string{r.Name.Defanged(), strconv.FormatFloat(r.Rank, 'f', 4, 64), strconv.FormatFloat(r.Score, 'f', 4, 64), r.Brand, strings.Join(r.Actors, "; "), r.Status, r.Case,
		join(len(r.Hosts), func(i int) string { return r.Hosts[i].Name.Defanged() }), join(len(r.Sources), func(i int) string { return r.Sources[i].Source }),
		utc(r.Seen), utc(r.Last), r.By, r.Reason, r.Why, r.Again, join(len(r.Reasons)+len(r.Learnt), func(i int) string {
			x := append(append([]impound.Reason{}, r.Reasons...), r.Learnt...)[i]
			return fmt.Sprintf("%s (%+.2f)", x.Text, x.Weight)
		}), strings.Join(r.InCases, "; "), r.Mark.String()}
	for i, c := range rec { // a spreadsheet must not take a cell for a formula
		if c != "" && strings.ContainsRune("=+-@\t\r|%", rune(c[0])) {
			rec[i] = "'" + c
		}
		rec[i] = printable(rec[i])
	}
	return rec
}
