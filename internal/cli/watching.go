package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/watch/live"
)

func (e *env) watchRunCmd() *cobra.Command {
	var once bool
	var long time.Duration
	var budget string
	c := verb("run [-]", "read the configured sources for as long as it is let; what is found goes to triage", `  impound watch run                  # until Ctrl-C; goes on where it was left
  impound watch run --once           # read every source to its end, then end
  impound watch run --budget 0.05%   # queue one name in 2,000 at most, for brands and for each actor
  zcat new.gz | impound watch run -  # and standard input`, cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
		opt := app.WatchOptions{Once: once, Every: 10 * time.Second}
		if len(args) == 1 {
			if args[0] != "-" {
				return usageError{fmt.Errorf("%q: sources stand in the configuration; only - can be given here", args[0])}
			}
			opt.Stdin = e.In
		}
		if budget != "" {
			share, err := parseShare(budget)
			if err != nil {
				return usageError{err}
			}
			opt.Budget = share
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			f, tty := e.Err.(*os.File)
			tty = tty && term.IsTerminal(int(f.Fd()))
			shown := 0
			switch {
			case e.asJSON:
				opt.Show = func(st []live.State) {
					for i := range st {
						st[i].Cursor = nil
					}
					_ = jsonLine(e.Out, st)
				}
			case tty:
				opt.Every = time.Second
				opt.Show = func(st []live.State) {
					if shown > 0 {
						fmt.Fprintf(e.Err, "\x1b[%dA", shown)
					}
					shown = 0
					for _, l := range liveLines(st, 20) {
						fmt.Fprintf(e.Err, "%s\x1b[K\n", l)
						shown++
					}
				}
			default:
				opt.Show = func(st []live.State) {
					for _, l := range liveLines(st, 1000) {
						fmt.Fprintln(e.Err, l)
					}
				}
			}
			if long > 0 {
				var cancel context.CancelFunc
				ctx, cancel = context.WithTimeout(ctx, long)
				defer cancel()
			}
			err := s.Watch(ctx, opt)
			if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && ctx.Err() != nil {
				return nil // that is how it ends
			}
			return err
		})
	})
	c.Flags().BoolVar(&once, "once", false, "end when every source was read to its end")
	c.Flags().StringVar(&budget, "budget", "", "the share of all names that may be queued for brands, and for each actor's habits: 0.1%, or 0.001")
	c.Flags().DurationVar(&long, "for", 0, "end after this time, such as 8h")
	return c
}

// liveLines gives a line a source: those with trouble and those that are behind
// first, when there are more than max.
func liveLines(st []live.State, max int) []string {
	var out []string
	quiet := 0
	var rate float64
	for _, s := range st {
		if len(st) > max && len(out) >= max-1 && s.Held == "" && s.InARow == 0 {
			quiet++
			rate += s.Rate
			continue
		}
		l := fmt.Sprintf("%-24s %s", cutTo(s.ID, 24), position(s))
		l += fmt.Sprintf("  %s/s  %d hits", amount(s.Rate), s.Hits)
		if s.BadNames+s.Unreadable > 0 {
			l += fmt.Sprintf("  %d unreadable", s.BadNames+s.Unreadable)
		}
		if s.InARow > 0 {
			l += fmt.Sprintf("  %d errors: %s", s.Errors, cutTo(s.LastError, 90))
		} else if s.Errors > 0 {
			l += fmt.Sprintf("  %d errors", s.Errors)
		}
		if s.Held != "" {
			l += "  HELD: " + cutTo(s.Held, 120)
		}
		out = append(out, l)
	}
	if quiet > 0 {
		out = append(out, fmt.Sprintf("and %d sources more  %s/s", quiet, amount(rate)))
	}
	return out
}

func position(s live.State) string {
	p := strconv.FormatInt(s.Position, 10)
	if s.Target >= 0 {
		p += "/" + strconv.FormatInt(s.Target, 10)
	}
	if s.Verified < s.Position {
		p += " (proven to " + strconv.FormatInt(s.Verified, 10) + ")"
	}
	return p
}

func amount(x float64) string {
	if x >= 100 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.1f", x)
}

func cutTo(s string, n int) string {
	s = strings.ReplaceAll(s, "\n", "; ")
	if r := []rune(s); len(r) > n {
		return string(r[:n-3]) + "..."
	}
	return s
}

func (e *env) watchStatusCmd() *cobra.Command {
	var events int
	c := verb("status", "how far each source was read: lag, rate, errors", "  impound watch status\n  impound watch status --events 20 --json", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			st, err := s.WatchStatus(ctx, events)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(st)
			}
			var rows [][]string
			for _, w := range st {
				lag := "?"
				if w.Lag >= 0 {
					lag = strconv.FormatInt(w.Lag, 10)
				}
				note := ""
				switch {
				case w.Held != "":
					note = "HELD: " + w.Held
				case w.InARow > 0:
					note = cutTo(w.LastError, 160)
				case w.LastOK.IsZero() && w.Errors == 0:
					note = "not read yet: impound watch run"
				}
				rows = append(rows, []string{w.ID, w.Kind, position(w.State), lag, amount(w.Rate), strconv.FormatInt(w.Names, 10), strconv.FormatInt(w.Hits, 10), strconv.FormatInt(w.BadNames+w.Unreadable, 10), strconv.FormatInt(w.Errors, 10), utc(w.LastOK), note})
			}
			e.table([]string{"source", "kind", "position", "lag", "per s", "names", "hits", "unreadable", "errors", "last read", "note"}, rows)
			for _, w := range st {
				for _, ev := range w.Events {
					at := w.ID
					if ev.File != "" {
						at += "/" + ev.File
					}
					fmt.Fprintf(e.Out, "%s  %s  %s %d  %s\n", utc(ev.At), at, ev.What, ev.Position, ev.Text)
				}
			}
			return nil
		})
	})
	c.Flags().IntVar(&events, "events", 0, "show this many of what could not be screened, for each source")
	return c
}

func (e *env) watchReleaseCmd() *cobra.Command {
	var again, skip bool
	c := verb("release SOURCE", "read a held source on, after somebody has looked at why", `  impound watch status                 # says why it is held
  impound watch release czds           # take the shorter zone as it is
  impound watch release log.example/2026 --from-start --as ada`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			from := live.ResumeHere
			switch {
			case again:
				from = live.ResumeStart
			case skip:
				from = live.ResumeNow
			}
			return s.WatchRelease(ctx, args[0], from)
		})
	})
	c.Flags().BoolVar(&again, "from-start", false, "read a log again from its first entry; else it goes on where it was left, and a million entries before")
	c.Flags().BoolVar(&skip, "skip", false, "leave out what a log holds by now, when its entries can't be had: what is new from now on is read")
	c.MarkFlagsMutuallyExclusive("from-start", "skip")
	return c
}
