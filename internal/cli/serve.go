package cli

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/app/sensor"
	"github.com/impound/impound/internal/demo"
	"github.com/impound/impound/internal/notify"
	"github.com/impound/impound/internal/share"
	"github.com/impound/impound/internal/spool"
	"github.com/impound/impound/internal/telemetry"
)

// notifySystemd tells a service manager, if one started us, how we are.
func (e *env) notifySystemd(state string) {
	path := e.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	c, err := net.Dial("unixgram", path)
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(state)) // nothing to be done when nobody listens
}

func (e *env) serveCmd() *cobra.Command {
	var role string
	c := verb("serve", "sinkhole, telemetry and pages, until SIGTERM", `  impound serve                              # all in one process
  impound --state /var/lib/impound serve --role hub
  impound --state /var/lib/paris serve --role sensor   # a folder that impound sensor enrol made
  impound --state ./impound-demo serve       # go on where the tour ended`, cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		if err := noDumps(); err != nil {
			return fmt.Errorf("couldn't switch core dumps off: %w", err)
		}
		if e.Getenv("GOMAXPROCS") == "" {
			// Who seals a segment or takes in events must not keep a question
			// waiting: beyond its cores the kernel shares out, not Go.
			runtime.GOMAXPROCS(runtime.GOMAXPROCS(0) + 4)
		}
		cfg, err := app.LoadConfig(e.stateDir(), e.configPath())
		if err != nil {
			return err
		}
		switch role {
		case "":
		case app.RoleAll, app.RoleHub, app.RoleSensor:
			if cfg.Role == app.RoleSensor && role != app.RoleSensor {
				return usageError{fmt.Errorf("this folder's configuration says role: sensor; it can't be a hub")}
			}
			cfg.Role = role
		default:
			return usageError{fmt.Errorf("%q is no role: choose all, hub or sensor", role)}
		}
		if cfg.Role == app.RoleSensor {
			return e.serveSensor(c, cfg)
		}
		if e.Getenv("GOGC") == "" && e.Getenv("GOMEMLIMIT") == "" {
			// What is read at the start stays: looking for garbage in it again and again
			// as it grows would keep the first readers waiting.
			debug.SetGCPercent(800)
			defer time.AfterFunc(startTime, func() { debug.SetGCPercent(100) }).Stop()
		}
		s, err := e.openWith(c.Context(), cfg)
		if err != nil {
			return err
		}
		defer s.Close()
		if err := s.Start(c.Context()); err != nil {
			return err
		}
		e.serving(c.Context(), s.Addrs(), s.State())
		if err := s.Close(); err != nil {
			return err
		}
		fmt.Fprintln(e.Err, "stopped; nothing is lost")
		return nil
	})
	c.Flags().StringVar(&role, "role", "", "all, hub or sensor (default: role: of the configuration, else all)")
	return c
}

// startTime is how long a server collects less garbage: about what reading ahead takes.
const startTime = 5 * time.Second

// serving says what is listened on and waits for the signal.
func (e *env) serving(ctx context.Context, addrs map[string][]string, state string) {
	for _, scheme := range slices.Sorted(mapKeys(addrs)) {
		for _, a := range addrs[scheme] {
			if scheme == "web" {
				a = "http://" + a + "/"
			}
			fmt.Fprintf(e.Err, "listening: %s %s\n", scheme, a)
		}
	}
	fmt.Fprintf(e.Err, "state: %s; Ctrl-C or SIGTERM stops in order\n", state)
	e.notifySystemd("READY=1")
	<-ctx.Done()
	e.notifySystemd("STOPPING=1")
	fmt.Fprintln(e.Err, "stopping ...")
}

func mapKeys[V any](m map[string]V) func(func(string) bool) {
	return func(yield func(string) bool) {
		for k := range m {
			if !yield(k) {
				return
			}
		}
	}
}

func (e *env) demoCmd() *cobra.Command {
	var names string
	var once, anyPorts bool
	c := verb("demo", "the whole way of a name, on this machine, with practice peers", `  impound demo
  impound demo --names names.txt        # a longer list, a name a line
  impound demo --once                   # stop after the tour
  impound --state /tmp/tour demo        # keep its state elsewhere than in ./impound-demo`, cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		state := e.state
		if state == "" {
			state = "impound-demo"
		}
		if err := noDumps(); err != nil {
			return fmt.Errorf("couldn't switch core dumps off: %w", err)
		}
		return demo.Run(c.Context(), demo.Options{State: state, NamesFile: names, Once: once, AnyPorts: anyPorts, Out: e.Out, Color: e.Tty && e.Getenv("NO_COLOR") == "", Log: e.logger(), Version: version, Bin: e.binary()})
	})
	c.Flags().StringVar(&names, "names", "", "file with the actor's names, a name a line (default: four names from the press)")
	c.Flags().BoolVar(&anyPorts, "any-ports", false, "take any free ports instead of the usual ones")
	c.Flags().BoolVar(&once, "once", false, "stop after the tour instead of serving on")
	return c
}

// binary is how the person started us, for lines that can be pasted.
func (e *env) binary() string {
	if len(os.Args) > 0 && strings.Contains(os.Args[0], "/") {
		return os.Args[0]
	}
	return "impound"
}

// events prints what the spool holds behind the event with the number after, as
// far as seen lets it through. Of a house with accounts, after is a number as seen
// shows them, which need not grow.
func (e *env) events(ctx context.Context, after uint64, veiled, follow bool, seen func(context.Context, []impound.Event) ([]impound.Event, error)) error {
	r, err := spool.OpenReader(filepath.Join(e.stateDir(), "spool"))
	if err != nil {
		return err
	}
	defer r.Close()
	pos, begun := after, true
	if veiled {
		pos, begun = 0, after == 0
	}
	for {
		evs, err := r.Read(pos, 1000)
		if err != nil {
			return err
		}
		n := len(evs)
		if n > 0 {
			pos = evs[n-1].Seq
		}
		if evs, err = seen(ctx, evs); err != nil {
			return err
		}
		for _, ev := range evs {
			if !begun {
				begun = ev.Seq == after
				continue
			}
			if err := jsonLine(e.Out, ev); err != nil {
				return err
			}
		}
		switch {
		case n > 0:
			continue
		case !begun:
			return impound.Errorf(impound.KindNotFound, "no event here has the number %d", after).At("--after").WithCure("give the seq of an event that was shown, or leave --after out")
		case !follow:
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(200 * time.Millisecond):
		}
	}
}

func (e *env) sinkholeCmd() *cobra.Command {
	status := verb("status", "which names are answered, under which order, until when", "  impound sinkhole status\n  impound sinkhole status --json", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		if cfg, err := app.LoadConfig(e.stateDir(), e.configPath()); err == nil && cfg.Role == app.RoleSensor {
			return e.sensorStatus()
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			st, err := s.PolicyStatus(ctx)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(st)
			}
			fmt.Fprintf(e.Err, "policy %d of sensor %s, made %s, ends %s if nobody renews it\n", st.Serial, st.Sensor, utc(st.Made), utc(st.NotAfter))
			var rows [][]string
			for _, n := range st.Names {
				rows = append(rows, []string{n.Name.Defanged(), n.Order, string(n.Capture), utc(n.Until)})
			}
			e.table([]string{"name", "order", "capture", "until"}, rows)
			if e.Tty || e.verbose {
				if _, err := sensor.ReadStatus(e.stateDir()); err == nil {
					return e.sensorStatus()
				}
			}
			return nil
		})
	})
	var follow bool
	var after uint64
	events := verb("events", "what the sensor recorded, raw, as JSON lines", "  impound sinkhole events\n  impound sinkhole events --follow | jq .name", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		// A sensor apart from its hub has no cases, and so nothing to keep from anybody.
		if _, err := os.Stat(filepath.Join(e.stateDir(), "impound.db")); err != nil {
			return e.events(c.Context(), after, false, follow, func(_ context.Context, evs []impound.Event) ([]impound.Event, error) { return evs, nil })
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			guarded, err := s.Guarded(ctx)
			if err != nil {
				return err
			}
			return e.events(ctx, after, guarded, follow, s.Events)
		})
	})
	events.Flags().BoolVarP(&follow, "follow", "f", false, "go on until Ctrl-C")
	events.Flags().Uint64Var(&after, "after", 0, "only those behind this number")
	var from string
	var accept bool
	imp := verb("import DIR", "take in a copy of a sensor's spool folder, each contact once", `  rsync -a paris.example:/var/lib/impound/spool/ /tmp/paris-spool && impound sinkhole import /tmp/paris-spool
  impound sinkhole import /tmp/paris-spool --accept-holes      # after a power cut there`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			im, err := s.ImportSpool(ctx, from, args[0], accept)
			if err != nil {
				return err
			}
			if e.asJSON {
				if err := e.json(im); err != nil {
					return err
				}
			} else {
				fmt.Fprintf(e.Err, "%s: %d events read, %d new, newest %d; the sensor may delete up to %d\n", im.Sensor, im.Read, im.New, im.Last, im.Shipped)
			}
			if len(im.Holes) > 0 && !accept {
				h := im.Holes[0]
				return impound.Errorf(impound.KindPartial, "the numbers leap %d times, first from %d to %d: all that is there was taken in, but the sensor keeps what lies behind", len(im.Holes), h.Before, h.After).At(args[0]).WithCure("see that every file was copied and import again; after a power cut or a damaged segment at the sensor, import with --accept-holes")
			}
			if im.Damaged > 0 {
				return impound.Errorf(impound.KindPartial, "%d damaged stretches were skipped", im.Damaged).At(args[0]).WithCure("copy the folder again; what is damaged at the sensor lies in its spool/aside")
			}
			return nil
		})
	})
	imp.Flags().StringVar(&from, "sensor", "", "whose it is (default: whom the events say)")
	imp.Flags().BoolVar(&accept, "accept-holes", false, "the numbers leap for a reason that you know")
	return group("sinkhole", "what the sensor obeys and what it recorded", "  impound sinkhole status\n  impound sinkhole events --follow", status, events, imp)
}

func (e *env) contactsCmd() *cobra.Command {
	var f telemetry.Filter
	var class, zone, since string
	flags := func(c *cobra.Command) *cobra.Command {
		c.Flags().StringVar(&f.Case, "case", "", "of one case")
		c.Flags().StringVar(&class, "class", "", "victim, mail-gateway, scanner, resolver, researcher or unclear")
		c.Flags().StringVar(&zone, "name", "", "of one seized name")
		c.Flags().StringVar(&since, "since", "", "only younger ones: 1h, 7d, or 2026-11-21")
		return c
	}
	filter := func() error {
		f.Class = impound.Class(class)
		if zone != "" {
			n, err := impound.ParseName(zone)
			if err != nil {
				return err
			}
			f.Zone = n.String()
		}
		if since != "" {
			t, err := parseSince(since, time.Now())
			if err != nil {
				return err
			}
			f.From = t
		}
		return nil
	}
	list := flags(verb("list", "contacts with class and reasons, newest first", "  impound contacts list --case APT35-2019\n  impound contacts list --class victim --since 7d --json", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		if err := filter(); err != nil {
			return err
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			f.Desc = true
			if err := e.tellGaps(ctx, s, f); err != nil {
				return err
			}
			cs, err := s.Contacts(ctx, f)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(cs)
			}
			var rows [][]string
			for _, x := range cs {
				what := x.Method + " " + x.Path
				if x.Method == "" {
					what = string(x.Proto)
				}
				rows = append(rows, []string{utc(x.At), string(x.Class), fmt.Sprintf("%.2f", x.Confidence), x.Src.Addr().String(), x.Network.Name, defang(x.Name), what, reasons(x.Reasons)})
			}
			e.table([]string{"at", "class", "sure", "source", "network", "name", "what", "why"}, rows)
			return nil
		})
	}))
	list.Flags().IntVar(&f.Limit, "limit", 100, "at most so many")
	victims := flags(verb("victims", "victims by network", "  impound contacts victims --case APT35-2019", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		if err := filter(); err != nil {
			return err
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			if err := e.tellGaps(ctx, s, f); err != nil {
				return err
			}
			nets, err := s.Victims(ctx, f)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(nets)
			}
			var rows [][]string
			for _, n := range nets {
				rows = append(rows, []string{n.Network.Name, strconv.FormatUint(uint64(n.Network.ASN), 10), n.Network.Country, strconv.Itoa(n.Victims), strconv.Itoa(n.Contacts), utc(n.First), utc(n.Last), n.Network.Abuse})
			}
			e.table([]string{"network", "asn", "country", "victims", "contacts", "first", "last", "abuse"}, rows)
			return nil
		})
	}))
	count := flags(verb("count", "how many of each class", "  impound contacts count --case APT35-2019", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		if err := filter(); err != nil {
			return err
		}
		return e.with(c, func(ctx context.Context, s *app.System) error {
			if err := e.tellGaps(ctx, s, f); err != nil {
				return err
			}
			n, err := s.Counts(ctx, f)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(n)
			}
			var rows [][]string
			for _, class := range []impound.Class{impound.ClassVictim, impound.ClassMailGate, impound.ClassScanner, impound.ClassResolver, impound.ClassResearcher, impound.ClassUnclear} {
				rows = append(rows, []string{string(class), strconv.Itoa(n[class])})
			}
			e.table([]string{"class", "contacts"}, rows)
			return nil
		})
	}))
	gaps := verb("gaps", "times in which a sensor answered but could not record", "  impound contacts gaps\n  impound contacts gaps --json", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			gs, err := s.Gaps(ctx)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(append([]impound.Gap{}, gs...))
			}
			var rows [][]string
			for _, g := range gs {
				to := "still open"
				if !g.To.IsZero() {
					to = utc(g.To)
				}
				rows = append(rows, []string{g.Sensor, utc(g.From), to, strconv.Itoa(g.Missing)})
			}
			e.table([]string{"sensor", "from", "until", "missing, at least"}, rows)
			return nil
		})
	})
	return group("contacts", "who came to the seized names, told apart with reasons", "  impound contacts list --case APT35-2019\n  impound contacts victims --case APT35-2019", list, victims, count, gaps)
}

// tellGaps says on standard error when what follows can't be whole.
func (e *env) tellGaps(ctx context.Context, s *app.System, f telemetry.Filter) error {
	gs, err := s.GapsIn(ctx, f)
	if err != nil || len(gs) == 0 {
		return err
	}
	n := 0
	for _, g := range gs {
		n += g.Missing
	}
	fmt.Fprintf(e.Err, "INCOMPLETE: at least %d contacts of this time were answered and not recorded, in %d gaps: impound contacts gaps\n", n, len(gs))
	return nil
}

// defang is Name.Defanged for what was asked of the sinkhole, which need not be
// a name.
func defang(s string) string { return strings.ReplaceAll(s, ".", "[.]") }

func parseSince(s string, now time.Time) (time.Time, error) {
	if d, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.Atoi(d); err == nil && n >= 0 {
			return now.AddDate(0, 0, -n), nil
		}
	}
	if d, err := time.ParseDuration(s); err == nil {
		return now.Add(-d), nil
	}
	for _, layout := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t, nil
		}
	}
	return time.Time{}, impound.Errorf(impound.KindInvalid, "%q is no age and no date", s).At("--since").WithCure("write 90m, 7d, 2026-11-21 or 2026-11-21T12:00:00Z")
}

func (e *env) notifyCmd() *cobra.Command {
	prepare := verb("prepare CASE", "write a report and a message per network owner; sends nothing", "  impound notify prepare APT35-2019 --as nora", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			svc, err := s.Notifier()
			if err != nil {
				return err
			}
			reps, err := svc.Prepare(ctx, me.ID, args[0])
			if e.asJSON {
				if jerr := e.json(reps); jerr != nil {
					return jerr
				}
				return err
			}
			var rows [][]string
			for _, p := range reps {
				rows = append(rows, []string{p.ID, p.Network.Name, strings.Join(p.To, ", "), strconv.Itoa(p.Victims), strconv.Itoa(p.Contacts), p.Dir, strings.Join(p.Problems, "; ")})
			}
			e.table([]string{"id", "network", "to", "victims", "contacts", "folder", "problems"}, rows)
			return err
		})
	})
	list := verb("list [CASE]", "prepared reports", "  impound notify list\n  impound notify list APT35-2019 --json", cobra.MaximumNArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			svc, err := s.Notifier()
			if err != nil {
				return err
			}
			caseID := ""
			if len(args) == 1 {
				caseID = args[0]
			}
			reps, err := svc.List(ctx, caseID)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(reps)
			}
			var rows [][]string
			for _, p := range reps {
				sent := ""
				if p.Sent != nil {
					sent = utc(p.Sent.At) + " by " + p.Sent.By + " (" + p.Sent.How + ")"
				}
				rows = append(rows, []string{p.ID, p.Network.Name, strconv.Itoa(p.Victims), utc(p.Made), sent})
			}
			e.table([]string{"id", "network", "victims", "made", "sent"}, rows)
			return nil
		})
	})
	show := verb("show ID", "the message of a report", "  impound notify show R-1f3a...", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			svc, err := s.Notifier()
			if err != nil {
				return err
			}
			p, err := svc.Get(ctx, args[0])
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(p)
			}
			b, err := os.ReadFile(p.Message())
			if err != nil {
				return impound.Errorf(impound.KindUnavailable, "couldn't read the message: %w", err)
			}
			_, err = e.Out.Write(b)
			return err
		})
	})
	var how string
	sent := verb("sent ID", "note that you sent a report, and how", `  impound notify sent R-1f3a... --how "mail, acknowledged by ticket 77" --as nora`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			svc, err := s.Notifier()
			if err != nil {
				return err
			}
			_, err = svc.MarkSent(ctx, me.ID, args[0], how)
			return err
		})
	})
	sent.Flags().StringVar(&how, "how", "", "by mail, portal, telephone ...")
	_ = sent.MarkFlagRequired("how")
	var relay string
	var again bool
	send := verb("send ID", "give a report to a mail relay, once", "  impound notify send R-1f3a... --relay mail.unit.example:587 --as nora", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			svc, err := s.Notifier()
			if err != nil {
				return err
			}
			p, err := svc.Send(ctx, me.ID, args[0], notify.Relay{Addr: relay}, again)
			if err != nil {
				return err
			}
			fmt.Fprintf(e.Err, "%s was given to %s for %s\n", p.ID, relay, strings.Join(p.To, ", "))
			return nil
		})
	})
	send.Flags().StringVar(&relay, "relay", "", "HOST:PORT of the relay; off this machine it must offer STARTTLS")
	send.Flags().BoolVar(&again, "again", false, "although an earlier try may have arrived")
	_ = send.MarkFlagRequired("relay")
	return group("notify", "warn network owners safely", "  impound notify prepare APT35-2019 --as nora\n  impound notify show ID\n  impound notify send ID --relay mail.unit.example:587", prepare, list, show, send, sent)
}

func (e *env) shareCmd() *cobra.Command {
	var format, clearance, dir string
	export := verb("export", "names for partners' machines, no more than they are cleared for", `  impound share export --format rpz --clearance green > impound.rpz
  impound share export --format stix --clearance amber
  impound share export --format misp --clearance green --dir /srv/misp-feed   # formats: list, defanged, hosts, csv, json, rpz, stix, misp`, cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			var n share.Count
			var err error
			if err := e.tellGaps(ctx, s, telemetry.Filter{}); err != nil {
				return err
			}
			if dir != "" {
				if share.Format(format) != share.FormatMISP {
					return usageError{fmt.Errorf("--dir goes with --format misp")}
				}
				n, err = s.ShareFeed(ctx, dir, impound.TLP(clearance))
			} else {
				n, err = s.Share(ctx, e.Out, share.Format(format), impound.TLP(clearance))
			}
			if err != nil {
				return err
			}
			fmt.Fprintf(e.Err, "%d names written, %d withheld above TLP:%s, %d sealed, %d not taken\n", n.Written, n.Above, strings.ToUpper(clearance), n.Sealed, n.NotTaken)
			return nil
		})
	})
	export.Flags().StringVar(&format, "format", "list", "list, defanged, hosts, csv, json, rpz, stix or misp")
	export.Flags().StringVar(&clearance, "clearance", "clear", "what the partner is cleared for: clear, green, amber, amber+strict or red")
	export.Flags().StringVar(&dir, "dir", "", "folder of a MISP feed to bring up to date")
	return group("share", "what partners' machines may have", "  impound share export --format rpz --clearance green", export)
}
