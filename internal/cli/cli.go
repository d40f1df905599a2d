package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/seizure"
)

// version is set by the linker.
var version = "dev"

// env is what a command runs with.
type env struct {
	Stdio
	state, config string // --state, --config
	as, keyFile   string // --as, --key
	asJSON        bool
	verbose       bool
}

// Main runs one command line and gives its exit code. The first SIGINT or
// SIGTERM cancels ctx, so that work under way drains; a second one ends the
// process at once.
func Main(ctx context.Context, args []string, stdio Stdio) int {
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	go func() { <-ctx.Done(); stop() }()

	out := &written{Writer: stdio.Out}
	stdio.Out = out
	e := &env{Stdio: stdio}
	root := e.root()
	root.SetArgs(args)
	root.SetIn(stdio.In)
	root.SetOut(stdio.Out)
	root.SetErr(stdio.Err)
	err := root.ExecuteContext(ctx)
	if fault := out.fault(); err == nil && fault != nil {
		err = fmt.Errorf("the output is not whole: %w", fault)
	}
	if err == nil {
		return ExitOK
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		fmt.Fprintln(stdio.Err, "impound: stopped")
		return ExitUsage
	}
	if errors.As(err, new(differs)) {
		return ExitFailure
	}
	printError(stdio.Err, err)
	return exitCode(err)
}

func (e *env) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "impound NOUN VERB",
		Short: "take a spear-phishing actor's domains away, by court order",
		Long: `Examples:
  impound demo                        # see the whole way on this machine
  impound watch screen names.txt      # which of these names imitate somebody?
  impound order check order.yaml      # what is missing, what would be blocked?
  impound seize plan O-2026-1         # desired against observed, like a diff
  impound serve                       # sinkhole, telemetry and pages

The way of a name:
  watch -> case -> order -> seize -> sinkhole -> contacts -> notify, share

Exit codes: 0 ok, 1 failure, 2 usage or bad input, 4 not yours to do,
5 refused by policy or approvals missing, 6 partly done.`,
		SilenceUsage: true, SilenceErrors: true,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown command %q: impound --help lists them", args[0])}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	f := root.PersistentFlags()
	f.StringVar(&e.state, "state", "", "state folder (default $IMPOUND_STATE, $STATE_DIRECTORY, or ~/.local/state/impound)")
	f.StringVar(&e.config, "config", "", "configuration file (default $IMPOUND_CONFIG, or impound.yaml in the state folder)")
	f.StringVar(&e.as, "as", "", "who you are (default $IMPOUND_AS)")
	f.StringVar(&e.keyFile, "key", "", "your private key (default people/NAME.key in the state folder)")
	f.BoolVar(&e.asJSON, "json", false, "print JSON (consumers should ignore unknown fields)")
	f.BoolVarP(&e.verbose, "verbose", "v", false, "log more, to standard error")
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(
		e.demoCmd(), e.serveCmd(), e.peopleCmd(), e.accountCmd(), e.tokenCmd(), e.watchCmd(), e.matchCmd(), e.caseCmd(), e.contestCmd(), e.evidenceCmd(),
		e.orderCmd(), e.seizeCmd(), e.registryCmd(), e.sinkholeCmd(), e.sensorCmd(), e.contactsCmd(), e.notifyCmd(), e.shareCmd(), e.actorCmd(),
		e.twistCmd(), e.dgaCmd(), e.listsCmd(), e.configCmd(), e.versionCmd(), e.jailCmd(),
	)
	return root
}

// group makes a noun: a command that only holds verbs.
func group(use, short, examples string, verbs ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use: use + " VERB", Short: short, Long: "Examples:\n" + examples,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return usageError{fmt.Errorf("unknown verb %q: impound %s --help lists them", args[0], use)}
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(verbs...)
	return c
}

// verb makes a command that works. Examples lead its help.
func verb(use, short, examples string, args cobra.PositionalArgs, run func(c *cobra.Command, args []string) error) *cobra.Command {
	return &cobra.Command{
		Use: use, Short: short, Long: helpText(short, examples),
		Args: func(c *cobra.Command, a []string) error {
			if err := args(c, a); err != nil {
				return usageError{fmt.Errorf("%w: usage: %s", err, c.UseLine())}
			}
			return nil
		},
		RunE: run,
	}
}

// helpText leads with the examples, says what the command does, and then whatever
// else there is to say.
func helpText(short, examples string) string {
	what := strings.ToUpper(short[:1]) + short[1:]
	if !strings.HasSuffix(what, "?") && !strings.HasSuffix(what, ".") {
		what += "."
	}
	lead, more, ok := strings.Cut(examples, "\n\n")
	if ok {
		more = "\n\n" + more
	}
	return "Examples:\n" + lead + "\n\n" + what + more
}

// stateDir says where the state is: flag, environment, default.
func (e *env) stateDir() string {
	for _, d := range []string{e.state, e.Getenv("IMPOUND_STATE"), e.Getenv("STATE_DIRECTORY")} {
		if d != "" {
			return d
		}
	}
	if d := e.Getenv("XDG_STATE_HOME"); d != "" {
		return filepath.Join(d, "impound")
	}
	return filepath.Join(e.Getenv("HOME"), ".local", "state", "impound")
}

func (e *env) configPath() string {
	if e.config != "" {
		return e.config
	}
	return e.Getenv("IMPOUND_CONFIG")
}

func (e *env) logger() *slog.Logger {
	level := slog.LevelWarn
	if e.verbose {
		level = slog.LevelInfo
	}
	return slog.New(slog.NewTextHandler(e.Err, &slog.HandlerOptions{Level: level}))
}

// open opens the system on the state folder; the caller closes it.
func (e *env) open(ctx context.Context) (*app.System, error) {
	cfg, err := app.LoadConfig(e.stateDir(), e.configPath())
	if err != nil {
		return nil, err
	}
	return e.openWith(ctx, cfg)
}

func (e *env) openWith(ctx context.Context, cfg app.Config) (*app.System, error) {
	return app.Open(ctx, app.Options{State: e.stateDir(), Config: cfg, Log: e.logger(), Version: version, Progress: e.progress})
}

// progress tells a person how a seizure goes on, name by name.
func (e *env) progress(ev seizure.Event) {
	switch ev.Phase {
	case "done", "failed", "stale", "pending", "asked", "retry":
		who := ev.Name.Defanged()
		if ev.Name.IsZero() {
			who = ev.Provider
		}
		fmt.Fprintf(e.Err, "%s: %s: %s\n", who, ev.Phase, printable(ev.Text))
	case "wait":
		fmt.Fprintln(e.Err, printable(ev.Text))
	}
}

// with opens the system, runs fn and closes.
func (e *env) with(c *cobra.Command, fn func(ctx context.Context, s *app.System) error) (err error) {
	// A command that reads 10,000 names lives for a tenth of a second: collecting
	// its garbage as eagerly as a server's would take a quarter of that.
	if e.Getenv("GOGC") == "" && e.Getenv("GOMEMLIMIT") == "" {
		debug.SetGCPercent(400)
		debug.SetMemoryLimit(1 << 30)
		ballast := make([]byte, 32<<20) // never touched, so it is no memory; the first collection comes at five times as much
		defer runtime.KeepAlive(ballast)
	}
	s, err := e.open(c.Context())
	if err != nil {
		return err
	}
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	ctx, err := e.inNameOf(c.Context(), s)
	if err != nil {
		return err
	}
	return fn(ctx, s)
}

// inNameOf says in whose name a command reads: the person of --as, when his key
// is at hand, else whoever sits at the machine. A key that can't be had is no
// error here: what takes a person says so itself.
func (e *env) inNameOf(ctx context.Context, s *app.System) (context.Context, error) {
	p := impound.Principal{Local: s.Config().LocalRoles()}
	if e.as != "" || e.Getenv("IMPOUND_AS") != "" {
		if me, err := e.me(s); err == nil {
			p.ID = me.ID
		} else {
			e.logger().Info("reading in nobody's name", "err", err)
		}
	}
	return impound.WithPrincipal(ctx, p), nil
}

// me gives the person who runs the command, proven by having the private key
// that was enrolled.
func (e *env) me(s *app.System) (app.Identity, error) {
	id := e.as
	if id == "" {
		id = e.Getenv("IMPOUND_AS")
	}
	if id == "" {
		return app.Identity{}, impound.Errorf(impound.KindAuth, "who are you?").WithCure("say so with --as NAME or $IMPOUND_AS; impound people list shows who is enrolled")
	}
	return s.Identify(id, e.keyFile)
}

func (e *env) versionCmd() *cobra.Command {
	return verb("version", "print the version", "  impound version\n  impound version --json", cobra.NoArgs, func(*cobra.Command, []string) error {
		v := struct {
			Version string `json:"version"`
			Go      string `json:"go"`
			OS      string `json:"os"`
			Arch    string `json:"arch"`
			Module  string `json:"module"`
		}{version, runtime.Version(), runtime.GOOS, runtime.GOARCH, "github.com/impound/impound"}
		if bi, ok := debug.ReadBuildInfo(); ok && v.Version == "dev" && bi.Main.Version != "" {
			v.Version = bi.Main.Version
		}
		if e.asJSON {
			return e.json(v)
		}
		fmt.Fprintf(e.Out, "impound %s (%s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
		return nil
	})
}

func (e *env) configCmd() *cobra.Command {
	show := verb("show", "print the configuration in effect", "  impound config show\n  impound --state ./impound-demo config show --json", cobra.NoArgs, func(*cobra.Command, []string) error {
		c, err := app.LoadConfig(e.stateDir(), e.configPath())
		if err != nil {
			return err
		}
		if e.asJSON {
			return e.json(c)
		}
		_, err = e.Out.Write(c.YAML())
		return err
	})
	check := verb("check", "say what is wrong with the configuration", "  impound config check\n  impound config check --config new.yaml", cobra.NoArgs, func(*cobra.Command, []string) error {
		cfg, err := app.LoadConfig(e.stateDir(), e.configPath())
		if err != nil {
			return err
		}
		if n := cfg.EgressNote(); n != "" {
			fmt.Fprintln(e.Err, "note: "+n)
		}
		fmt.Fprintln(e.Err, "the configuration is good")
		return nil
	})
	reference := verb("reference", "print every key with what it means", "  impound config reference", cobra.NoArgs, func(*cobra.Command, []string) error {
		_, err := fmt.Fprint(e.Out, app.ConfigReference())
		return err
	})
	initCmd := verb("init", "write a first configuration into the state folder", "  impound --state /var/lib/impound config init", cobra.NoArgs, func(*cobra.Command, []string) error {
		path := filepath.Join(e.stateDir(), app.ConfigFile)
		if err := os.MkdirAll(e.stateDir(), 0o700); err != nil {
			return impound.Errorf(impound.KindUnavailable, "couldn't make the state folder: %w", err).WithCure("choose another with --state")
		}
		f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if os.IsExist(err) {
			return impound.Errorf(impound.KindConflict, "there is a configuration already").At(path).WithCure("edit it, then: impound config check")
		} else if err != nil {
			return impound.Errorf(impound.KindUnavailable, "couldn't write the configuration: %w", err)
		}
		defer f.Close()
		if _, err := f.WriteString(app.ConfigTemplate()); err != nil {
			return impound.Errorf(impound.KindUnavailable, "couldn't write the configuration: %w", err)
		}
		fmt.Fprintf(e.Err, "wrote %s; edit it, then: impound config check\n", path)
		return f.Close()
	})
	return group("config", "show, check and start a configuration", strings.Join([]string{"  impound config init", "  impound config check", "  impound config show --json", "  impound config reference"}, "\n"), show, check, reference, initCmd)
}
