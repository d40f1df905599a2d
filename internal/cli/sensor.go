package cli

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/app/sensor"
)

func (e *env) sensorCmd() *cobra.Command {
	var out, control string
	var listen, answer []string
	enrol := verb("enrol NAME", "let a site have its policy from here; writes the site's folder", `  impound sensor enrol paris --answer 192.0.2.10 --as ada
  impound sensor enrol paris --listen dns://0.0.0.0:53 --listen http://0.0.0.0:80 --out /tmp/paris --as ada
  impound sensor enrol paris --out /tmp/paris-2 --as ada      # a new token; the old one ends`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			var ips []netip.Addr
			for _, a := range answer {
				ip, err := netip.ParseAddr(a)
				if err != nil {
					return impound.Errorf(impound.KindInvalid, "%q is no IP address", a).At("--answer").WithCure("write 192.0.2.10 or 2001:db8::10")
				}
				ips = append(ips, ip)
			}
			dir := out
			if dir == "" {
				dir = args[0]
			}
			if err := s.EnrolSensor(ctx, me, args[0], dir, control, listen, ips); err != nil {
				return err
			}
			if e.asJSON {
				return e.json(map[string]string{"sensor": args[0], "folder": dir})
			}
			fmt.Fprintf(e.Err, "enrolled %s; move the folder %s to the site, it holds secrets; there: impound --state FOLDER serve\n", args[0], dir)
			return nil
		})
	})
	enrol.Flags().StringVar(&out, "out", "", "folder to make (default NAME, here)")
	enrol.Flags().StringVar(&control, "control", "", "where the site finds this hub (default hub: url: of the configuration)")
	enrol.Flags().StringArrayVar(&listen, "listen", []string{"dns://0.0.0.0:53", "http://0.0.0.0:80", "https://0.0.0.0:443", "smtp://0.0.0.0:25"}, "a listener of the site; give it more than once for more")
	enrol.Flags().StringArrayVar(&answer, "answer", nil, "an address of the site, given for A and AAAA of seized names")
	revoke := verb("revoke NAME", "give a site nothing more; what it has ends by its own date", "  impound sensor revoke paris --as ada", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			me, err := e.me(s)
			if err != nil {
				return err
			}
			return s.RevokeSensor(ctx, me, args[0])
		})
	})
	list := verb("list", "which sites are enrolled", "  impound sensor list\n  impound sensor list --json", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			all, err := s.EnrolledSensors(ctx)
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(all)
			}
			var rows [][]string
			for _, n := range all {
				rows = append(rows, []string{n.Name, strings.Trim(fmt.Sprint(n.Answer), "[]"), n.By, utc(n.Enrolled)})
			}
			e.table([]string{"name", "answer", "by", "enrolled"}, rows)
			return nil
		})
	})
	key := verb("key", "print the public key that sensors pin", "  impound sensor key", cobra.NoArgs, func(c *cobra.Command, _ []string) error {
		return e.with(c, func(_ context.Context, s *app.System) error {
			k, err := s.HubKey()
			if err != nil {
				return err
			}
			if e.asJSON {
				return e.json(map[string]string{"hub_key": string(k)})
			}
			fmt.Fprintln(e.Out, k)
			return nil
		})
	})
	bundle := verb("policy NAME", "print a site's newest policy, signed, to be carried to it", "  impound sensor policy paris > next.policy     # into the folder that control: policy_file: names there", cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.with(c, func(ctx context.Context, s *app.System) error {
			b, err := s.ExportPolicy(ctx, args[0])
			if err != nil {
				return err
			}
			_, err = e.Out.Write(b)
			return err
		})
	})
	return group("sensor", "sites of the sinkhole apart from this machine", "  impound sensor enrol paris --answer 192.0.2.10 --as ada\n  impound sensor list", enrol, revoke, list, key, bundle)
}

// serveSensor runs the listeners alone.
func (e *env) serveSensor(c *cobra.Command, cfg app.Config) error {
	s, err := app.OpenSensor(c.Context(), app.Options{State: e.stateDir(), Config: cfg, Log: e.logger(), Version: version})
	if err != nil {
		return err
	}
	defer s.Close()
	e.serving(c.Context(), s.Addrs(), e.stateDir())
	if err := s.Close(); err != nil {
		return err
	}
	fmt.Fprintln(e.Err, "stopped; nothing is lost")
	return nil
}

// sensorStatus prints what the sensor on this folder says of itself.
func (e *env) sensorStatus() error {
	st, err := sensor.ReadStatus(e.stateDir())
	if err != nil {
		return err
	}
	if e.asJSON {
		return e.json(st)
	}
	stopped := ""
	if time.Since(st.At) > 10*time.Second {
		stopped = " (it doesn't run: this is what it said last)"
	}
	fmt.Fprintf(e.Err, "sensor %s at %s%s\n", st.Sensor, utc(st.At), stopped)
	var rows [][]string
	row := func(k, format string, args ...any) { rows = append(rows, []string{k, fmt.Sprintf(format, args...)}) }
	switch {
	case st.Serial == 0:
		row("policy", "none: every question is refused")
	case st.Lapsed:
		row("policy", "%d ended %s and nobody renewed it: every question is refused", st.Serial, utc(st.NotAfter))
	default:
		row("policy", "%d, made %s, ends %s if nobody renews it, %d names", st.Serial, utc(st.Made), utc(st.NotAfter), st.Names)
	}
	row("policies refused", "%d", st.Refused)
	for _, r := range st.Refusals {
		row("  "+utc(r.At), "%s: %s", r.From, r.Why)
	}
	if st.HubFault != "" {
		row("hub", "can't be reached: %s", st.HubFault)
	} else if !st.HubAt.IsZero() {
		row("hub", "answered %s", utc(st.HubAt))
	}
	n := st.Stats
	row("contacts", "%d answered, %d refused, %d malformed, %d limited", n.Answered, n.Refused, n.Malformed, n.Limited)
	row("not recorded", "%d", n.RecordFailed)
	if st.Spool.Gap {
		row("GAP", "recording stopped at %s: the spool is full, %d contacts are missing", utc(st.Spool.GapSince), st.Spool.Dropped)
	} else if st.Spool.Dropped > 0 {
		row("gap", "%d contacts are missing, since %s", st.Spool.Dropped, utc(st.Spool.GapSince))
	}
	row("spool", "%d events, %d octets in %d files, newest %d, shipped up to %d", st.Spool.Appended, st.Spool.Bytes, st.Spool.Segments, st.Spool.Last, st.Spool.Shipped)
	e.table([]string{"what", "state"}, rows)
	return nil
}
