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

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/casework/orderdoc"
	"github.com/impound/impound/internal/seizure"
)

func (e *env) orderCmd() *cobra.Command {
	var id, out string
	var about impound.Authority
	draft := verb("draft CASE", "begin an order document from a case", "  impound order draft APT35-2019 --id O-2026-1 --out order.yaml\n  impound order draft APT35-2019 --id O-2026-1 --court \"N.D. Cal.\" --docket 4-24-71375 --out order.yaml", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			doc, err := s.Casework.DraftOrder(ctx, args[0], impound.Order{ID: id, Authority: about})
			if err != nil {
				return err
			}
			if out == "" || out == "-" {
				_, err = e.Out.Write(doc)
				return err
			}
			f, err := os.OpenFile(out, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
			if err != nil {
				return impound.Errorf(impound.KindConflict, "couldn't write the draft: %w", err).WithCure("choose another file with --out")
			}
			defer f.Close()
			if _, err := f.Write(doc); err != nil {
				return impound.Errorf(impound.KindUnavailable, "couldn't write the draft: %w", err)
			}
			fmt.Fprintf(e.Err, "wrote %s; fill it in, then: impound order check %s\n", out, out)
			return f.Close()
		})
	})
	draft.Flags().StringVar(&id, "id", "", "the order's id")
	draft.Flags().StringVar(&about.Court, "court", "", "the court")
	draft.Flags().StringVar(&about.Docket, "docket", "", "docket or reference number, as a report or the court's paper has it")
	draft.Flags().StringVar(&about.Judge, "judge", "", "who signed it in court")
	draft.Flags().StringVar(&out, "out", "", "file to write (default standard output)")

	report := func(r casework.OrderReport) error {
		if e.asJSON {
			return e.json(r)
		}
		for _, p := range r.Problems {
			printOne(e.Err, p)
		}
		for _, p := range r.Unsigned {
			printOne(e.Err, p)
		}
		for _, m := range r.Missing {
			fmt.Fprintf(e.Err, "the recipient will ask: %s: %s: %s\n", m.Where, m.Field, m.Why)
		}
		// Thousands may be left out for one reason.
		const first = 5
		same := map[string]int{}
		for _, n := range r.Omitted {
			same[n.Why]++
			if same[n.Why] <= first {
				fmt.Fprintf(e.Err, "note: not in the order: %s: %s\n", n.Name.Defanged(), printable(n.Why))
			}
		}
		for _, n := range r.Omitted {
			if more := same[n.Why] - first; more > 0 {
				fmt.Fprintf(e.Err, "note: not in the order: %d more: %s (--json lists them)\n", more, printable(n.Why))
				same[n.Why] = 0
			}
		}
		var rows [][]string
		for _, n := range r.Names {
			verdict, why := "pass", ""
			for _, v := range n.Verdicts {
				switch {
				case v.Outcome == impound.GateWarn || v.Outcome == impound.GateUnknown:
					if verdict == "pass" {
						verdict = "warn"
					}
					why += v.Gate + " " + string(v.Outcome) + ": " + because(v)
				}
			}
			for i, v := range n.Blocked {
				if i == 0 {
					verdict, why = "BLOCKED", ""
				}
				why += v.Gate + ": " + because(v)
			}
			rows = append(rows, []string{n.Name.Defanged(), verdict, joinActs(n.Acts), strings.TrimSpace(why)})
		}
		if len(rows) > 0 {
			e.table([]string{"name", "gates", "acts", "why"}, rows)
		}
		return nil
	}
	check := verb("check FILE", "what is wrong, missing, or blocked by a gate; changes nothing", "  impound order check order.yaml\n  impound order check order.yaml --json", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		data, label, err := e.readAll(args[0], orderdoc.MaxSize)
		if err != nil {
			return err
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			r, err := s.Casework.CheckOrder(ctx, label, data)
			if err != nil {
				return err
			}
			if err := report(r); err != nil {
				return err
			}
			if n := len(r.Problems); n > 0 {
				return impound.Errorf(impound.KindInvalid, "the order has %d faults: see above", n).At(label)
			}
			if len(r.Unsigned) > 0 {
				return impound.Errorf(impound.KindRefused, "the order is good as a document; %d of %d people signed it (%s)", len(r.Signers), impound.MinSigners, r.Hash).At(label)
			}
			if b := r.BlockedNames(); len(b) > 0 {
				fmt.Fprintf(e.Err, "the order is good; %d of its %d names are blocked and would stay out of effect\n", len(b), len(r.Names))
				return nil
			}
			fmt.Fprintf(e.Err, "the order is good: %s, signed by %s\n", plural(len(r.Names), "name", "names"), strings.Join(r.Signers, ", "))
			return nil
		})
	})
	sign := verb("sign FILE", "add your signature as an approver", "  impound order sign order.yaml --as ben", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(_ context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			if err := s.SignOrderFile(me, args[0]); err != nil {
				return err
			}
			fmt.Fprintf(e.Err, "%s signed %s\n", me.ID, args[0])
			return nil
		})
	})
	file := verb("file FILE", "file a signed order: from then on it counts", "  impound order file order.yaml --as carla", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		data, label, err := e.readAll(args[0], orderdoc.MaxSize)
		if err != nil {
			return err
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			r, err := s.Casework.FileOrder(ctx, me.ID, label, data)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(r)
			}
			for _, n := range r.Names {
				for _, v := range n.Blocked {
					fmt.Fprintf(e.Err, "%s stays out of effect: %s: %s\n", n.Name.Defanged(), v.Gate, v.Reason)
				}
			}
			fmt.Fprintf(e.Err, "filed order %s: %s, %d blocked\n", r.Order.ID, plural(len(r.Names), "name", "names"), len(r.BlockedNames()))
			return nil
		})
	})
	list := verb("list", "filed orders", "  impound order list\n  impound order list --json", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			rows, err := s.Casework.Orders(ctx)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(rows)
			}
			now := time.Now()
			var out [][]string
			for _, r := range rows {
				force := "in force"
				if !r.Ended.IsZero() && !now.Before(r.Ended) {
					force = "withdrawn"
				} else if now.Before(r.From) {
					force = "not yet"
				} else if !now.Before(r.Until) {
					force = "lapsed"
				}
				out = append(out, []string{r.ID, r.Case, string(r.Kind), r.Docket, force, utc(r.From), utc(r.Until), strconv.Itoa(r.Names), strconv.Itoa(len(r.Blocked)), strings.Join(r.Signers, ", ")})
			}
			e.table([]string{"id", "case", "kind", "docket", "state", "from", "until", "names", "blocked", "signers"}, out)
			return nil
		})
	})
	show := verb("show ID", "the document of a filed order", "  impound order show O-2026-1 > order.yaml\n  impound order show O-2026-1 --json", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			_, o, data, err := s.Casework.Order(ctx, args[0])
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(o)
			}
			_, err = e.Out.Write(data)
			return err
		})
	})
	return group("order", "orders: which names, which acts, until when", "  impound order draft APT35-2019 --id O-2026-1 --out order.yaml\n  impound order check order.yaml\n  impound order sign order.yaml --as ben\n  impound order file order.yaml --as carla", draft, check, sign, file, list, show, e.appendixCmd(), e.deadlinesCmd(), e.affidavitCmd(), e.orderDiffCmd(), e.supplementCmd(), e.orderGatesCmd(), e.overrideCmd(), e.withdrawCmd())
}

func joinActs(as []impound.Act) string {
	out := make([]string, len(as))
	for i, a := range as {
		out[i] = string(a)
	}
	return strings.Join(out, ", ")
}

// overrideCmd lets a blocked name through one gate; it takes two approvers, who
// both must be at hand with their keys.
func (e *env) overrideCmd() *cobra.Command {
	var gateName, reason string
	var approvers []string
	c := verb("override NAME", "let a name through a gate: two approvers and a reason", `  impound order override outlook-verify[.]net --gate G9-age --reason "bought by the actor in 2019: exhibit 7" --approver ben --approver dora --as carla`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			n, err := impound.ParseName(args[0])
			if err != nil {
				return err
			}
			o := impound.Override{Name: n, Gate: gateName, Reason: reason}
			for _, a := range approvers {
				id, err := s.Identify(a, "")
				if err != nil {
					return err
				}
				o.Signatures = append(o.Signatures, id.Sign(impound.SignOverride, o.Hash(), time.Now()))
			}
			return s.Casework.Override(ctx, me.ID, o)
		})
	})
	c.Flags().StringVar(&gateName, "gate", "", "the gate, as impound order check names it")
	c.Flags().StringVar(&reason, "reason", "", "why; it is recorded")
	c.Flags().StringArrayVar(&approvers, "approver", nil, "an approver; give two")
	_ = c.MarkFlagRequired("gate")
	_ = c.MarkFlagRequired("reason")
	return c
}

func (e *env) seizeCmd() *cobra.Command {
	plan := verb("plan ORDER", "compare the order with what is observed, like a diff; changes nothing", "  impound seize plan O-2026-1 --as olaf\n  impound seize plan O-2026-1 --json --as olaf", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			p, err := s.Plan(ctx, me.ID, args[0])
			if err != nil {
				return err
			}
			if e.asJSON {
				info, err := s.PlanInfo(ctx, p.ID)
				if err != nil {
					return err
				}
				return e.json(info)
			}
			fmt.Fprint(e.Out, printable(p.String()))
			e.nextStep(p)
			return nil
		})
	})
	views := func(st seizure.NameStatus) []string {
		row := []string{st.Name.Defanged()}
		why := ""
		for _, want := range []string{"parent", "rdap", "resolver"} {
			state := "unknown"
			for _, v := range st.Views {
				if v.View == want {
					state = v.State
					if v.State != "as-ordered" && v.Why != "" {
						why += v.View + ": " + v.Why + ". "
					}
				}
			}
			row = append(row, state)
		}
		if c := st.Child; c != nil && c.State != "as-ordered" {
			why += "its own servers (for information): " + c.Why + ". "
		}
		return append(row, why)
	}
	show := verb("show PLAN", "a plan and who approved it", "  impound seize show PLAN", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			info, err := s.PlanInfo(ctx, args[0])
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(info)
			}
			fmt.Fprint(e.Out, printable(info.Text()))
			sts, total, err := s.SeizureStatusPart(ctx, info.Plan.Order, 0, partRows)
			if err != nil {
				return err
			}
			var rows [][]string
			for _, z := range sts {
				if z.Plan == info.Plan.ID && z.Status != nil {
					rows = append(rows, views(*z.Status))
				}
			}
			if len(rows) > 0 {
				fmt.Fprintln(e.Out, "\nwhat the newest look showed:")
				e.table([]string{"name", "parent zone", "rdap", "resolver", "why"}, rows)
			}
			if len(sts) < total {
				fmt.Fprintf(e.Err, "looks at %d of the order's %d names; all: impound seize status %s --limit 0\n", len(sts), total, info.Plan.Order)
			}
			fmt.Fprintf(e.Err, "approved by: %s\n", strings.Join(info.Approvers, ", "))
			return nil
		})
	})
	list := verb("list [ORDER]", "plans, newest first", "  impound seize list\n  impound seize list O-2026-1 --json      # seize show PLAN --json gives its names", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			order := ""
			if len(args) == 1 {
				order = args[0]
			}
			plans, err := s.Plans(ctx, order)
			if err != nil {
				return err
			}
			heads := make([]planHead, 0, len(plans))
			var rows [][]string
			for _, p := range plans {
				change, already, blocked := p.Plan.Count()
				heads = append(heads, planHead{p.Plan.ID, p.Plan.Order, p.Plan.Case, p.Plan.Made, p.Plan.Expires, p.Hash, change, already, blocked, p.Approvers, p.Approved, p.Expired, p.Applied})
				rows = append(rows, []string{p.Plan.ID, p.Plan.Order, utc(p.Plan.Made), strconv.Itoa(change), strconv.Itoa(already), strconv.Itoa(blocked), strings.Join(p.Approvers, ", "), utc(p.Applied)})
			}
			if e.asJSON {
				return e.json(heads)
			}
			e.table([]string{"plan", "order", "made", "change", "already", "blocked", "approved by", "applied"}, rows)
			return nil
		})
	})
	approve := verb("approve PLAN", "approve a plan's hash with your signature", "  impound seize approve PLAN --as ben\n  impound seize approve PLAN --as dora", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			info, err := s.Approve(ctx, me, args[0])
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(info)
			}
			fmt.Fprintf(e.Err, "plan %s (%s) is approved by %s\n", info.Plan.ID, info.Hash, strings.Join(info.Approvers, ", "))
			return nil
		})
	})
	var at string
	var grace, keep time.Duration
	apply := verb("apply PLAN", "do what an approved plan says, and look whether it is so", `  impound seize apply PLAN --as olaf
  impound seize apply PLAN --keep-trying 2h --as olaf
  impound seize apply PLAN --at now --as olaf       # all providers begin at once, or none
  impound seize apply PLAN --at order --as olaf     # at the order's execute_at; waits for it
  impound seize apply PLAN --at 2026-11-24T15:00:00Z --as olaf`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		s, err := e.open(c.Context())
		if err != nil {
			return err
		}
		defer s.Close()
		me, err := e.me(s)
		if err != nil {
			return err
		}
		ctx, err := e.inNameOf(c.Context(), s)
		if err != nil {
			return err
		}
		apply := func() (seizure.Result, error) { return s.Apply(ctx, me, args[0]) }
		if at != "" {
			t := seizure.Together{Grace: grace}
			switch at {
			case "now":
			case "order":
				p, err := s.PlanInfo(ctx, args[0])
				if err != nil {
					return err
				}
				if t.At = p.Plan.ExecuteAt; t.At.IsZero() {
					return usageError{errors.New("the order names no instant: write --at now, or a time")}
				}
			default:
				if t.At, err = time.Parse(time.RFC3339, at); err != nil {
					return usageError{fmt.Errorf("%q is no instant: write now, order, or a time such as 2026-11-24T15:00:00Z", at)}
				}
			}
			apply = func() (seizure.Result, error) { return s.ApplyTogether(ctx, me, args[0], t) }
		}
		defer context.AfterFunc(ctx, func() {
			fmt.Fprintln(e.Err, "stopping: what is under way is finished and recorded, nothing more is begun; Ctrl-C again stops at once, and applying again finishes it either way")
		})()
		begin := time.Now()
		res, err := apply()
		// Inside the order's window: each run proves order, dates and approvals
		// again, looks first, and does nothing twice.
		for wait := 2 * time.Second; impound.KindOf(err) == impound.KindPartial && res.Count(seizure.Failed, seizure.Pending) > 0 && time.Since(begin)+wait <= keep; wait = min(2*wait, 5*time.Minute) {
			fmt.Fprintf(e.Err, "%d names are not done yet; again in %s\n", res.Count(seizure.Failed, seizure.Pending), wait)
			t := time.NewTimer(wait)
			select {
			case <-t.C:
			case <-ctx.Done():
				t.Stop()
			}
			if ctx.Err() != nil {
				break
			}
			start := res.Barrier
			res, err = s.Apply(ctx, me, args[0])
			res.Barrier = start
		}
		if b := res.Barrier; b != nil {
			fmt.Fprintf(e.Err, "ready at %s; T0 %s; %d providers began within %s\n", utc(b.Ready), b.At.UTC().Format("2006-01-02 15:04:05.000Z"), len(b.Began), b.Skew)
			for _, l := range b.Late {
				fmt.Fprintf(e.Err, "late: %s\n", l)
			}
		}
		if e.asJSON {
			return errors.Join(e.json(res), err)
		}
		var rows [][]string
		for _, r := range res.Names {
			rows = append(rows, []string{r.Name.Defanged(), r.Provider, r.Outcome, r.Msg})
		}
		if len(rows) > 0 {
			e.table([]string{"name", "provider", "outcome", "what"}, rows)
		}
		return err
	})
	apply.Flags().StringVar(&at, "at", "", "begin at all providers at one instant: now, order, or a time; nothing is done unless all are ready")
	apply.Flags().DurationVar(&keep, "keep-trying", 0, "for so long, try names again that a provider failed or put off, with growing pauses; Ctrl-C stops")
	apply.Flags().DurationVar(&grace, "grace", 0, "how long after that instant to wait for a provider that is late (default 5s)")
	verify := verb("verify ORDER", "look at each name in the parent zone, in RDAP, through resolvers, and at its own servers", "  impound seize verify O-2026-1\n  impound seize verify O-2026-1 --json", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			sts, err := s.Verify(ctx, args[0])
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(sts)
			}
			var rows [][]string
			open := 0
			for _, st := range sts {
				rows = append(rows, views(st))
				if !st.Done {
					open++
				}
			}
			e.table([]string{"name", "parent zone", "rdap", "resolver", "why"}, rows)
			if open > 0 {
				return impound.Errorf(impound.KindPartial, "%d of %d names do not show the order everywhere yet", open, len(sts))
			}
			return nil
		})
	})
	var named *part
	status := verb("status ORDER", "the newest word on each name; looks at nothing", "  impound seize status O-2026-1\n  impound seize status O-2026-1 --limit 0 --json    # all names", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			offset, limit, err := e.part(named)
			if err != nil {
				return err
			}
			sts, total, err := s.SeizureStatusPart(ctx, args[0], offset, limit)
			if err != nil {
				return err
			}
			e.left(offset, len(sts), total, "names")
			if e.asJSON {
				return e.json(append([]seizure.Seizure{}, sts...))
			}
			var rows [][]string
			for _, x := range sts {
				row := []string{x.Name.Defanged(), "", "", "", ""}
				if x.Status != nil {
					row = views(*x.Status)
					for i, view := range []string{"parent", "rdap", "resolver"} {
						if d, ok := x.Took(view); ok {
							row[1+i] += " after " + took(d)
						}
					}
				}
				rows = append(rows, append(row[:4:4], x.Outcome, utc(x.At), x.Msg))
			}
			e.table([]string{"name", "parent zone", "rdap", "resolver", "outcome", "at", "what"}, rows)
			return nil
		})
	})
	named = partFlags(status, "names")
	return group("seize", "the order is the desired state: plan, approve, apply, verify", "  impound seize plan O-2026-1\n  impound seize approve PLAN --as ben\n  impound seize apply PLAN\n  impound seize verify O-2026-1", append([]*cobra.Command{plan, show, list, approve, apply, verify, status, e.driftCmd(), e.revertCmd(), e.releaseCmd(), e.custodyCmd(), e.pollCmd()}, e.letterCmds()...)...)
}

// planHead is what a list says of a plan; its names are many.
type planHead struct {
	ID        string    `json:"id"`
	Order     string    `json:"order"`
	Case      string    `json:"case"`
	Made      time.Time `json:"made"`
	Expires   time.Time `json:"expires"`
	Hash      string    `json:"hash"`
	Change    int       `json:"change"`  // names
	Already   int       `json:"already"` // names that are as ordered
	Blocked   int       `json:"blocked"` // names
	Approvers []string  `json:"approvers"`
	Approved  bool      `json:"approved"`
	Expired   bool      `json:"expired"`
	Applied   time.Time `json:"applied,omitzero"`
}

// plural gives n with the word for so many.
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// because gives a verdict's reason as a sentence, with the data that it rests on and
// of when that is.
func because(v impound.GateVerdict) string {
	if v.Data == "" {
		return v.Reason + ". "
	}
	from := v.Data
	if !v.AsOf.IsZero() {
		from += ", as of " + v.AsOf.UTC().Format(time.DateOnly)
	}
	return v.Reason + " (" + from + "). "
}
