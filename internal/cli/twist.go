package cli

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/capture"
	"github.com/impound/impound/internal/doh"
	"github.com/impound/impound/internal/parallel"
	"github.com/impound/impound/internal/watch/match"
)

type twistFlags struct {
	format, fuzzers, words, suffixes, out, servers string
	all, registered, unregistered, resolve         bool
	threads                                        int

	banners, geoip, mx, phash, ssdeep, whois  bool
	phashURL, ssdeepURL, lshURL, shots, agent string
	lsh                                       string
	debug                                     bool
}

// asks says whether anything beyond the DNS is asked for.
func (f *twistFlags) asks() bool {
	return f.banners || f.geoip || f.mx || f.phash || f.ssdeep || f.whois
}

// resolves says whether names are looked up.
func (f *twistFlags) resolves() bool {
	return f.resolve || f.registered || f.unregistered || f.all || f.servers != "" || f.asks()
}

// twistCmd makes names that could imitate one, with dnstwist's flags.
func (e *env) twistCmd() *cobra.Command {
	var f twistFlags
	c := verb("twist NAME", "names that could imitate one, with dnstwist's flags and formats", `  impound twist example.org                          # asks nobody
  impound twist --registered --format json example.org
  impound twist --fuzzers omission,homoglyph -f csv example.org
  impound twist -r -a -t 20 --nameservers 192.0.2.53 -o found.csv -f csv example.org
  impound twist -r -w -b --mxcheck example.org       # registration, banners, mail traps
  impound twist -r --ssdeep --phash --screenshots shots https://example.org/login

Names are looked up in the DNS only when --resolve, --registered, --unregistered, --all,
--nameservers or one of -b -g -m -p -s -w is given: each look-up tells a name server which
names you look for. -b -m -p -s ask the names' own servers, whose holders can see it: they
are written into the evidence log, and leave by capture.proxy. A name that a case marks PAP:AMBER
or PAP:RED is left out. Unlike dnstwist's, --mxcheck sends no mail, and a page that leads to
another site is not followed there.`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.twist(c, args[0], f)
	})
	fl := c.Flags()
	fl.StringVarP(&f.format, "format", "f", "cli", "cli, csv, json or list")
	fl.StringVar(&f.fuzzers, "fuzzers", "", "only these ways, separated with commas")
	fl.StringVarP(&f.words, "dictionary", "d", "", "file of words to put beside the name, one a line")
	fl.StringVar(&f.suffixes, "tld", "", "file of suffixes to put the name under, one a line")
	fl.StringVarP(&f.out, "output", "o", "", "write to this file")
	fl.BoolVarP(&f.all, "all", "a", false, "show all records instead of the first of each type")
	fl.BoolVarP(&f.registered, "registered", "r", false, "only names that are registered: the DNS knows them")
	fl.BoolVarP(&f.unregistered, "unregistered", "u", false, "only names that are not")
	fl.BoolVar(&f.resolve, "resolve", false, "look the names up in the DNS")
	fl.StringVar(&f.servers, "nameservers", "", "name servers to ask, by address or https://ADDRESS/dns-query, separated with commas (default: this machine's)")
	fl.IntVarP(&f.threads, "threads", "t", 6, "how many names to look up at once")
	fl.BoolVarP(&f.banners, "banners", "b", false, "ask web and mail servers what they call themselves")
	fl.BoolVarP(&f.geoip, "geoip", "g", false, "the address's country, by countries_mmdb or $GEOLITE2_MMDB")
	fl.BoolVarP(&f.mx, "mxcheck", "m", false, "ask the mail server whether it takes mail to anybody; none is sent")
	fl.BoolVarP(&f.phash, "phash", "p", false, "how alike the pages look, in a browser")
	fl.StringVar(&f.phashURL, "phash-url", "", "the page to compare the looks with (default: NAME's)")
	fl.StringVar(&f.shots, "screenshots", "", "put screenshots into this folder")
	fl.BoolVarP(&f.ssdeep, "ssdeep", "s", false, "how alike the pages' texts are, by ssdeep")
	fl.StringVar(&f.ssdeepURL, "ssdeep-url", "", "the page to compare texts with (default: NAME's)")
	fl.StringVar(&f.lsh, "lsh", "", "as --ssdeep, by newer dnstwist's name")
	fl.Lookup("lsh").NoOptDefVal = "ssdeep"
	fl.StringVar(&f.lshURL, "lsh-url", "", "as --ssdeep-url")
	fl.BoolVarP(&f.whois, "whois", "w", false, "when and by whom the name was registered, by RDAP or WHOIS")
	fl.StringVar(&f.agent, "useragent", "", "what web servers are told the visitor is (default: a common browser's); its holder reads it")
	fl.BoolVar(&f.debug, "debug", false, "taken for dnstwist's sake; --verbose tells more")
	return c
}

// answer is what the DNS says of a variant, under dnstwist's names.
type answer struct {
	match.Variant
	DNS  map[string][]string // dns_a, dns_aaaa, dns_mx, dns_ns
	Seen app.TwistSeen       // what was asked beyond it
}

// twistTypes are asked for in this order; the first one tells whether there is
// such a name.
var twistTypes = []struct {
	key  string
	kind uint16
}{{"dns_ns", dns.TypeNS}, {"dns_a", dns.TypeA}, {"dns_aaaa", dns.TypeAAAA}, {"dns_mx", dns.TypeMX}}

func (e *env) twist(c *cobra.Command, name string, f twistFlags) (err error) {
	f.ssdeepURL = cmp.Or(f.ssdeepURL, f.lshURL)
	f.ssdeep = f.ssdeep || f.lsh != ""
	if e.asJSON {
		f.format = "json"
	}
	switch {
	case !slices.Contains([]string{"cli", "csv", "json", "list"}, f.format):
		return usageError{fmt.Errorf("--format takes cli, csv, json or list")}
	case f.registered && f.unregistered:
		return usageError{fmt.Errorf("--registered and --unregistered exclude each other")}
	case f.threads < 1 || f.threads > 1000:
		return usageError{fmt.Errorf("--threads takes 1 to 1000")}
	case f.lsh != "" && f.lsh != "ssdeep":
		return usageError{fmt.Errorf("--lsh compares texts by ssdeep alone; %.20q is not built in: leave =%.20s out", f.lsh, f.lsh)}
	case f.ssdeepURL != "" && !f.ssdeep:
		return usageError{fmt.Errorf("--ssdeep-url needs --ssdeep")}
	case f.phashURL != "" && !f.phash:
		return usageError{fmt.Errorf("--phash-url needs --phash")}
	case f.shots != "" && !f.phash:
		return usageError{fmt.Errorf("--screenshots needs --phash")}
	case !capture.AgentOK(f.agent):
		return usageError{fmt.Errorf("--useragent takes up to %d printable ASCII characters", capture.MaxAgent)}
	case f.asks() && f.format == "list":
		return usageError{fmt.Errorf("--format list gives all names without asking about them; use csv")}
	}
	if f.shots != "" {
		if st, err := os.Stat(f.shots); err != nil || !st.IsDir() {
			return usageError{fmt.Errorf("--screenshots takes a folder that is there: %s is none", f.shots)}
		}
	}
	var o match.TwistOptions
	if f.fuzzers != "" {
		o.Fuzzers = strings.Split(f.fuzzers, ",")
	}
	if f.words != "" {
		if o.Words, err = linesOf(f.words); err != nil {
			return err
		}
	}
	if f.suffixes != "" {
		if o.Suffixes, err = linesOf(f.suffixes); err != nil {
			return err
		}
	}
	vs, err := match.TwistWith(name, o)
	if err != nil {
		return err
	}
	answers := make([]answer, len(vs))
	for i, v := range vs {
		answers[i].Variant = v
	}
	// As dnstwist does, the plain list asks nobody.
	if f.resolves() {
		if f.format == "list" && (f.registered || f.unregistered) {
			return usageError{fmt.Errorf("--format list gives all names without looking them up; use csv")}
		}
		if f.format != "list" {
			if answers, err = e.askTwist(c, name, answers, f); err != nil {
				return err
			}
			answers = slices.DeleteFunc(answers, func(a answer) bool {
				return f.registered && !a.registered() || f.unregistered && a.registered()
			})
		}
	}
	slices.SortFunc(answers, func(a, b answer) int { return strings.Compare(a.order(), b.order()) })
	var text bytes.Buffer
	if err := e.printTwist(&text, answers, f.format); err != nil {
		return err
	}
	if f.out != "" {
		if err := os.WriteFile(f.out, text.Bytes(), 0o600); err != nil {
			return fmt.Errorf("couldn't write %s: %w", f.out, err)
		}
		return nil
	}
	_, err = e.Out.Write(text.Bytes())
	return err
}

// linesOf reads a file of one entry a line.
func linesOf(path string) ([]string, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("couldn't read %s: %w", path, err)
	}
	out := []string{}
	for line := range strings.Lines(string(b)) {
		if line = strings.ToLower(strings.Trim(strings.TrimSpace(line), ".")); line != "" && line[0] != '#' {
			out = append(out, line)
		}
	}
	return out, nil
}

func (e *env) printTwist(w io.Writer, answers []answer, format string) error {
	switch format {
	case "list":
		for _, a := range answers {
			fmt.Fprintln(w, a.Name)
		}
	case "csv":
		// dnstwist's columns: those that anything is known of, by the alphabet.
		cols := map[string]bool{}
		for _, a := range answers {
			for k := range a.DNS {
				cols[k] = true
			}
			for k := range a.Seen {
				cols[k] = true
			}
		}
		keys := slices.Sorted(maps.Keys(cols))
		fmt.Fprintln(w, strings.Join(append([]string{"fuzzer", "domain"}, keys...), ","))
		for _, a := range answers {
			row := []string{a.Fuzzer, a.Name}
			for _, k := range keys {
				cell := strings.Join(a.DNS[k], ";")
				if v, ok := a.Seen[k]; ok {
					if cell = fmt.Sprint(v); v == true {
						cell = "True" // as dnstwist writes it
					}
				}
				if strings.ContainsAny(cell, ",\"") {
					cell = `"` + strings.ReplaceAll(cell, `"`, `""`) + `"`
				}
				row = append(row, cell)
			}
			fmt.Fprintln(w, strings.Join(row, ","))
		}
	case "json":
		list := make([]map[string]any, len(answers))
		for i, a := range answers {
			list[i] = map[string]any{"fuzzer": a.Fuzzer, "domain": a.Name}
			for k, v := range a.DNS {
				list[i][k] = v
			}
			for k, v := range a.Seen {
				list[i][k] = v
			}
		}
		b, err := json.MarshalIndent(list, "", "    ")
		if err != nil {
			return err
		}
		fmt.Fprintf(w, "%s\n", b)
	default:
		rows := make([][]string, len(answers))
		for i, a := range answers {
			var inf []string
			for _, k := range []string{"dns_a", "dns_aaaa", "dns_ns", "dns_mx"} {
				if v := a.DNS[k]; len(v) > 0 {
					label := map[string]string{"dns_ns": "NS:", "dns_mx": "MX:"}[k]
					if k == "dns_mx" && a.Seen["mx_spy"] == true {
						label = "SPYING-MX:"
					}
					list := make([]string, len(v))
					for j := range v {
						list[j] = v[j]
						if label != "" {
							list[j] = defang(v[j])
						}
					}
					at := label + strings.Join(list, ";")
					if g, ok := a.Seen["geoip"].(string); ok && k == "dns_a" {
						at += "/" + strings.ReplaceAll(printable(g), " ", "")
					}
					inf = append(inf, at)
				}
			}
			for _, x := range []struct{ key, label string }{
				{"banner_http", "HTTP:"}, {"banner_smtp", "SMTP:"}, {"whois_registrar", "REGISTRAR:"}, {"whois_created", "CREATED:"}, {"ssdeep", "SSDEEP:"}, {"phash", "PHASH:"},
			} {
				switch v := a.Seen[x.key].(type) {
				case string:
					inf = append(inf, x.label+printable(v))
				case int:
					if v > 0 {
						inf = append(inf, fmt.Sprintf("%s%d%%", x.label, v))
					}
				}
			}
			if len(inf) == 0 {
				inf = []string{"-"}
			}
			rows[i] = []string{a.Fuzzer, defang(a.Name), strings.Join(inf, " ")}
		}
		out := e.Out
		e.Out = w
		e.table([]string{"fuzzer", "domain", "dns"}, rows)
		e.Out = out
	}
	return nil
}

// order is what dnstwist sorts by.
func (a answer) order() string {
	first := ""
	if v := a.DNS["dns_a"]; len(v) > 0 {
		first = v[0]
	}
	return a.Fuzzer + first + a.Name
}

// registered says whether the DNS knows the name.
func (a answer) registered() bool { return len(a.DNS) > 0 }

// askTwist looks the names up and asks about them what f says. Where there is a
// state, its markings say which may not be: those are left out.
func (e *env) askTwist(c *cobra.Command, original string, answers []answer, f twistFlags) ([]answer, error) {
	cfg, err := app.LoadConfig(e.stateDir(), e.configPath())
	if err != nil {
		return nil, err
	}
	ask := func(ctx context.Context, s *app.System) error {
		var left []answer
		if s != nil {
			// A resolver asks the name's own servers; -w alone asks its registry.
			if answers, left, err = twistMay(ctx, s, answers, impound.PAPGreen); err != nil {
				return err
			}
		}
		if len(left) > 0 {
			fmt.Fprintf(e.Err, "note: %s not asked about, since a marking forbids it: %s\n", plural(len(left), "name is", "names are"), defang(left[0].Name))
		}
		r, err := resolverOf(ctx, &cfg, f)
		if err != nil {
			return err
		}
		defer r.https.Close()
		if s != nil {
			names := make([]impound.Name, 0, len(answers))
			for _, a := range answers {
				if n, err := impound.ParseName(a.Name); err == nil {
					names = append(names, n)
				}
			}
			if err := s.NoteTwist(ctx, original, names, f.whois); err != nil {
				return fmt.Errorf("couldn't note what is about to be asked: %w", err)
			}
		}
		if err := r.all(ctx, answers, f.threads); err != nil || !f.asks() {
			return err
		}
		return e.lookTwist(ctx, s, &cfg, original, answers, f)
	}
	if !app.HasStore(e.stateDir()) && !f.asks() {
		return answers, ask(c.Context(), nil)
	}
	err = e.with(c, ask)
	return answers, err
}

// twistMay takes out what may not be asked about.
func twistMay(ctx context.Context, s *app.System, answers []answer, level impound.PAP) (may, left []answer, err error) {
	var names []impound.Name
	for _, a := range answers {
		if n, err := impound.ParseName(a.Name); err == nil {
			names = append(names, n)
		}
	}
	no, err := s.ForTwist(ctx, names, level)
	if err != nil {
		return nil, nil, err
	}
	for _, a := range answers {
		n, err := impound.ParseName(a.Name)
		if _, held := no[n]; held || err != nil {
			left = append(left, a)
			continue
		}
		may = append(may, a)
	}
	return may, left, nil
}

// lookTwist asks about those that the DNS knows what f says.
func (e *env) lookTwist(ctx context.Context, s *app.System, cfg *app.Config, original string, answers []answer, f twistFlags) error {
	look := app.TwistLook{
		Banners: f.banners, Mail: f.mx, Registration: f.whois, Text: f.ssdeep, Picture: f.phash,
		TextURL: f.ssdeepURL, PictureURL: f.phashURL, Screenshots: f.shots, Agent: f.agent, Threads: f.threads,
	}
	if f.geoip {
		look.Countries = e.Getenv("GEOLITE2_MMDB")
		if cfg.CountriesMMDB != "" {
			look.Countries = cfg.Path(e.stateDir(), cfg.CountriesMMDB)
		}
		if look.Countries == "" {
			return impound.Errorf(impound.KindInvalid, "--geoip needs a database of countries, and none is named").At("countries_mmdb").
				WithCure("put countries_mmdb: GeoLite2-Country.mmdb into impound.yaml, or set $GEOLITE2_MMDB")
		}
	}
	if f.servers != "" {
		servers, err := twistServers(f.servers, nil)
		if err != nil {
			return err
		}
		look.Servers = servers
	}
	var names []app.TwistName
	var at []int
	known := func(a answer, key string) (out []string) {
		for _, v := range a.DNS[key] {
			if v != servFail {
				out = append(out, v)
			}
		}
		return out
	}
	for i, a := range answers {
		n, err := impound.ParseName(a.Name)
		if err != nil || !a.registered() {
			continue
		}
		names, at = append(names, app.TwistName{Name: n, A: known(a, "dns_a"), AAAA: known(a, "dns_aaaa"), MX: known(a, "dns_mx")}), append(at, i)
	}
	return s.Twist(ctx, original, names, look, func(i int, seen app.TwistSeen) { answers[at[i]].Seen = seen })
}

// resolverOf gives what looks names up. That no server answers at all is an error.
func resolverOf(ctx context.Context, cfg *app.Config, f twistFlags) (*twistResolver, error) {
	servers, err := twistServers(f.servers, cfg.TwistResolvers())
	if err != nil {
		return nil, err
	}
	r := &twistResolver{servers: servers, every: f.all}
	if r.dial, err = cfg.TwistDial(); err != nil {
		return nil, err
	}
	if i := slices.IndexFunc(servers, doh.Named); i >= 0 && r.dial != nil {
		return nil, impound.Errorf(impound.KindInvalid, "the address of %s can't be asked for through capture.proxy", servers[i]).At("--nameservers").WithCure("write it by its address, as https://192.0.2.53/dns-query")
	}
	r.https = doh.New(r.dial, dnsPatience, nil)
	if _, err := r.ask(ctx, "localhost.", dns.TypeA); err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "no name server answers: %w", err).At(strings.Join(servers, ", ")).
			WithCure("give one that does with --nameservers, or leave --resolve and --registered out")
	}
	return r, nil
}

// all looks the names up. Of single names that fail, the answer says !ServFail, as
// dnstwist does.
func (r *twistResolver) all(ctx context.Context, answers []answer, threads int) error {
	return parallel.Some(ctx, threads, len(answers), func(i int) { answers[i].DNS = r.look(ctx, answers[i].Name) })
}

// twistServers gives whom to ask: those of list, else usual, else the machine's.
func twistServers(list string, usual []string) ([]string, error) {
	var out []string
	if list == "" && len(usual) > 0 {
		list = strings.Join(usual, ",")
	}
	if list == "" {
		c, err := dns.ClientConfigFromFile("/etc/resolv.conf")
		if err != nil {
			return nil, fmt.Errorf("couldn't find this machine's name servers: %w", err)
		}
		for _, s := range c.Servers {
			out = append(out, net.JoinHostPort(s, c.Port))
		}
	}
	for _, s := range strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' }) {
		host, port, err := net.SplitHostPort(s)
		if err != nil {
			host, port = strings.Trim(s, "[]"), "53"
		}
		if doh.Is(s) {
			if _, err := doh.Parse(s); err != nil {
				return nil, fmt.Errorf("--nameservers: %w", err)
			}
			out = append(out, s)
			continue
		}
		if net.ParseIP(host) == nil {
			return nil, usageError{fmt.Errorf("--nameservers takes addresses, with a port or without, or https://ADDRESS/dns-query: %q is none", s)}
		}
		out = append(out, net.JoinHostPort(host, port))
	}
	if len(out) == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "no name server is known").WithCure("give one with --nameservers")
	}
	return out, nil
}

type twistResolver struct {
	servers []string
	every   bool                                                     // all records of a type, not the first alone
	dial    func(ctx context.Context, addr string) (net.Conn, error) // over TCP; nil: directly, over UDP
	https   *doh.Client
}

// dnsPatience is how long one name server is waited for.
const dnsPatience = 3 * time.Second

const servFail = "!ServFail"

var errServFail = errors.New("the server failed")

// look gives what is known of a name; nil when there is no such name.
func (r *twistResolver) look(ctx context.Context, name string) map[string][]string {
	out := map[string][]string{}
	for i, t := range twistTypes {
		if ns := out["dns_ns"]; t.kind == dns.TypeMX && (len(ns) == 0 || ns[0] == servFail) {
			continue
		}
		m, err := r.ask(ctx, dns.Fqdn(name), t.kind)
		switch {
		case err != nil:
			out[t.key] = []string{servFail}
		case m.Rcode == dns.RcodeNameError && i == 0:
			return nil
		default:
			if v := values(m, t.kind); len(v) > 0 {
				if !r.every {
					v = v[:1]
				}
				out[t.key] = v
			}
		}
	}
	return out
}

// values gives an answer's records of a type, sorted.
func values(m *dns.Msg, kind uint16) (out []string) {
	for _, rr := range m.Answer {
		if rr.Header().Rrtype != kind {
			continue
		}
		v := ""
		switch x := rr.(type) {
		case *dns.A:
			v = x.A.String()
		case *dns.AAAA:
			v = x.AAAA.String()
		case *dns.NS:
			v = x.Ns
		case *dns.MX:
			v = x.Mx
		}
		out = append(out, strings.ToLower(strings.TrimSuffix(v, ".")))
	}
	slices.Sort(out)
	return slices.Compact(out)
}

// exchange asks one server.
func (r *twistResolver) exchange(ctx context.Context, q *dns.Msg, server string) (*dns.Msg, error) {
	if doh.Is(server) {
		b, err := q.Pack()
		if err != nil {
			return nil, err
		}
		if b, err = r.https.Exchange(ctx, server, b); err != nil {
			return nil, err
		}
		m := new(dns.Msg)
		if err := m.Unpack(b); err != nil {
			return nil, err
		}
		if len(m.Question) != 1 || !strings.EqualFold(m.Question[0].Name, q.Question[0].Name) || m.Question[0].Qtype != q.Question[0].Qtype {
			return nil, errors.New("it answers another question")
		}
		return m, nil
	}
	c := dns.Client{Timeout: dnsPatience}
	if r.dial != nil {
		nc, err := r.dial(ctx, server)
		if err != nil {
			return nil, err
		}
		defer nc.Close()
		m, _, err := c.ExchangeWithConnContext(ctx, q, &dns.Conn{Conn: nc})
		return m, err
	}
	m, _, err := c.ExchangeContext(ctx, q, server)
	if err == nil && m.Truncated {
		c.Net = "tcp"
		m, _, err = c.ExchangeContext(ctx, q, server)
	}
	return m, err
}

// ask tries the servers one after the other.
func (r *twistResolver) ask(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, kind)
	q.SetEdns0(1232, false)
	err := errServFail
	for _, s := range r.servers {
		m, e := r.exchange(ctx, q, s)
		if e != nil {
			err = e
			continue
		}
		if m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError {
			return m, nil
		}
		err = errServFail
		if name == "localhost." {
			return m, nil // it answers, whatever it says
		}
	}
	return nil, err
}
