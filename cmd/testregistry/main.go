// Command testregistry runs a domain registry to practise on. NOT FOR
// PRODUCTION. See its --help, and package testregistry.
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/testregistry"
)

const usage = `testregistry is a domain registry to practise on: EPP over TLS, RDAP, the parent
zones over DNS, a resolver, and an actor's name server and web host, on loopback.

                       *** NOT FOR PRODUCTION ***

Examples:
  testregistry                                   start with a few names in .example and .test
  testregistry --hostile --seed 7                the same, failing as real registries fail
  testregistry --fault DropAfter=1               acts on each change, then drops the connection
  testregistry --domain evil-login.example       with a name of your own
  testregistry --tld example --tld bank.example --dir /tmp/reg --epp 127.0.0.1:7000
  testregistry --route 127.0.0.53:53=127.0.0.1:5300
                                                 let the resolver find the sinkhole on port 5300
  testregistry --dnssec                          with signed parent zones, for resolvers that validate

State lies in --dir and survives kill -9. Stop with Ctrl-C.

Flags:
`

type list []string

func (l *list) String() string     { return strings.Join(*l, ",") }
func (l *list) Set(s string) error { *l = append(*l, s); return nil }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	stop()
	if err == flag.ErrHelp {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "testregistry:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out, diag io.Writer) error {
	fs := flag.NewFlagSet("testregistry", flag.ContinueOnError)
	fs.SetOutput(diag)
	fs.Usage = func() { fmt.Fprint(fs.Output(), usage); fs.PrintDefaults() }
	var cfg testregistry.Config
	var tlds, names, routes, hosts, users, forwards list
	fs.StringVar(&cfg.Dir, "dir", "practice-registry", "folder of state and keys")
	fs.StringVar(&cfg.EPP, "epp", "127.0.0.1:7700", "EPP over TLS; \"off\" for none, as with the others")
	fs.StringVar(&cfg.RDAP, "rdap", "127.0.0.1:7780", "RDAP over HTTP")
	fs.StringVar(&cfg.DNS, "dns", "127.0.0.1:7753", "parent zones, UDP and TCP")
	fs.StringVar(&cfg.Resolver, "resolver", "127.0.0.1:7754", "practice resolver, UDP and TCP")
	fs.StringVar(&cfg.ActorDNS, "actor-dns", "127.0.0.1:7755", "the actor's name server, UDP and TCP")
	fs.StringVar(&cfg.ActorHTTP, "actor-http", "127.0.0.1:7756", "the actor's web host")
	fs.StringVar(&cfg.WHOIS, "whois", testregistry.Off, "WHOIS, such as 127.0.0.1:7743; the registrar's takes a port of its own")
	fs.BoolVar(&cfg.ThinWHOIS, "thin-whois", false, "let the registry's WHOIS refer to the registrar's")
	fs.BoolVar(&cfg.RequireClientCert, "client-cert", false, "turn away EPP clients without a certificate")
	fs.BoolVar(&cfg.Sign, "dnssec", false, "sign the parent zones; DIR/trust-anchors is for validating resolvers")
	fs.IntVar(&cfg.SessionLimit, "sessions", 0, "EPP sessions an account may have at once; 0 for any number")
	fs.Var(&tlds, "tld", "top-level domain; repeat for more (default example and test)")
	fs.Var(&users, "user", "EPP account as id:password, or id:password:registry for one that may set server statuses; repeat for more")
	fs.Var(&names, "domain", "name to register with the actor's name servers; repeat for more")
	fs.Var(&routes, "route", "virtual=real address of a server, for the resolver; repeat for more")
	fs.Var(&forwards, "forward", "tld=address:port of another practice registry's parent zones, for the resolver; repeat for more")
	fs.Var(&hosts, "host", "name=address of a name server outside of the TLDs, for the resolver; repeat for more")
	hostile := fs.Bool("hostile", false, "fail on purpose, in the ways of real registries")
	seed := fs.Uint64("seed", 1, "seed of the faults")
	var faults list
	fs.Var(&faults, "fault", "one way to fail, such as DropAfter=0.5 or RDAPLag=2s; repeat for more (see docs/practice-registry.md)")
	verbose := fs.Bool("v", false, "log what happens")
	if len(args) > 0 && (args[0] == "--help" || args[0] == "-h" || args[0] == "help") {
		fs.SetOutput(out)
		fs.Usage()
		return nil
	}
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 {
		return impound.Errorf(impound.KindInvalid, "unexpected argument %q", fs.Arg(0)).WithCure("see --help")
	}
	if cfg.TLDs = tlds; len(tlds) == 0 {
		cfg.TLDs = []string{"example", "test"}
	}
	if len(users) == 0 {
		users = list{"registry:registry-pw:registry", "registrar-a:registrar-pw"}
	}
	cfg.Clients, cfg.Registrars = map[string]testregistry.Client{}, map[string]testregistry.Registrar{}
	sponsor := ""
	for i, u := range users {
		id, rest, ok := strings.Cut(u, ":")
		pw, role, _ := strings.Cut(rest, ":")
		if !ok || role != "" && role != "registry" {
			return impound.Errorf(impound.KindInvalid, "--user %q is not id:password or id:password:registry", id)
		}
		cfg.Clients[id] = testregistry.Client{Password: pw, RegistryRole: role != ""}
		cfg.Registrars[id] = testregistry.Registrar{Name: "Practice account " + id, IANAID: 9994 + i, AbuseEmail: "abuse@" + id + ".example"}
		if sponsor == "" || role == "" {
			sponsor = id
		}
	}
	cfg.Routes, cfg.Hosts = map[netip.AddrPort]netip.AddrPort{}, map[impound.Name][]netip.Addr{}
	for _, s := range routes {
		from, to, _ := strings.Cut(s, "=")
		f, err1 := netip.ParseAddrPort(from)
		t, err2 := netip.ParseAddrPort(to)
		if err1 != nil || err2 != nil {
			return impound.Errorf(impound.KindInvalid, "--route %q is not address:port=address:port", s)
		}
		cfg.Routes[f] = t
	}
	cfg.Forward = map[impound.Name]netip.AddrPort{}
	for _, s := range forwards {
		zone, addr, _ := strings.Cut(s, "=")
		n, err1 := impound.ParseName(zone)
		a, err2 := netip.ParseAddrPort(addr)
		if err1 != nil || err2 != nil {
			return impound.Errorf(impound.KindInvalid, "--forward %q is not tld=address:port", s)
		}
		cfg.Forward[n] = a
	}
	for _, s := range hosts {
		name, addr, _ := strings.Cut(s, "=")
		n, err := impound.ParseName(name)
		if err != nil {
			return err
		}
		a, err := netip.ParseAddr(addr)
		if err != nil {
			return impound.Errorf(impound.KindInvalid, "--host %q is not name=address", s)
		}
		cfg.Hosts[n] = append(cfg.Hosts[n], a)
	}
	if *hostile {
		cfg.Faults = testregistry.Hostile(*seed)
	}
	cfg.Faults.Seed = *seed
	for _, f := range faults {
		if err := cfg.Faults.Set(f); err != nil {
			return err
		}
	}
	level := slog.LevelWarn
	if *verbose {
		level = slog.LevelDebug
	}
	cfg.Log = slog.New(slog.NewTextHandler(diag, &slog.HandlerOptions{Level: level}))
	r, err := testregistry.Start(ctx, cfg)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := register(r, cfg.TLDs[0], sponsor, names); err != nil {
		return err
	}
	r.Describe(out)
	<-ctx.Done()
	struck := r.Struck()
	for _, what := range slices.Sorted(maps.Keys(struck)) {
		fmt.Fprintf(out, "on purpose: %d %s\n", struck[what], what)
	}
	fmt.Fprintln(out, "stopped; the state is kept in", cfg.Dir)
	return r.Close()
}

// register puts the actor's domains there: those asked for, or three.
func register(r *testregistry.Registry, tld, sponsor string, names []string) error {
	if len(names) == 0 {
		names = []string{"outlook-verify." + tld, "account-recovery." + tld, "drive-share." + tld}
	}
	infra, err := impound.ParseName("actor-dns." + tld)
	if err != nil {
		return err
	}
	ns := []impound.Name{impound.MustName("ns1." + infra.String()), impound.MustName("ns2." + infra.String())}
	list := []testregistry.Domain{{Name: infra, Registrar: sponsor, NS: ns}}
	for _, s := range names {
		n, err := impound.ParseName(s)
		if err != nil {
			return err
		}
		list = append(list, testregistry.Domain{Name: n, Registrar: sponsor, NS: ns, Signed: s == names[0]})
	}
	return r.Register(list...)
}
