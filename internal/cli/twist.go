package cli

import (
	"bytes"
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
	"sync"
	"time"

	"github.com/miekg/dns"
	"github.com/spf13/cobra"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/match"
)

type twistFlags struct {
	format, fuzzers, words, suffixes, out, servers string
	all, registered, unregistered, resolve         bool
	threads                                        int
}

// twistCmd makes names that could imitate one, with dnstwist's flags.
func (e *env) twistCmd() *cobra.Command {
	var f twistFlags
	c := verb("twist NAME", "names that could imitate one, with dnstwist's flags and formats", `  impound twist example.org                          # asks nobody
  impound twist --registered --format json example.org
  impound twist --fuzzers omission,homoglyph -f csv example.org
  impound twist -r -a -t 20 --nameservers 192.0.2.53 -o found.csv -f csv example.org

Names are looked up in the DNS only when --resolve, --registered, --unregistered, --all or
--nameservers is given: each look-up tells a name server which names you look for.`, cobra.ExactArgs(1), func(c *cobra.Command, args []string) error {
		return e.twist(c.Context(), args[0], f)
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
	fl.StringVar(&f.servers, "nameservers", "", "addresses of the name servers to ask, separated with commas (default: this machine's)")
	fl.IntVarP(&f.threads, "threads", "t", 6, "how many names to look up at once")
	return c
}

// answer is what the DNS says of a variant, under dnstwist's names.
type answer struct {
	match.Variant
	DNS map[string][]string // dns_a, dns_aaaa, dns_mx, dns_ns
}

// twistTypes are asked for in this order; the first one tells whether there is
// such a name.
var twistTypes = []struct {
	key  string
	kind uint16
}{{"dns_ns", dns.TypeNS}, {"dns_a", dns.TypeA}, {"dns_aaaa", dns.TypeAAAA}, {"dns_mx", dns.TypeMX}}

func (e *env) twist(ctx context.Context, name string, f twistFlags) (err error) {
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
	if f.resolve || f.registered || f.unregistered || f.all || f.servers != "" {
		if f.format == "list" && (f.registered || f.unregistered) {
			return usageError{fmt.Errorf("--format list gives all names without looking them up; use csv")}
		}
		if f.format != "list" {
			if err := resolveAll(ctx, answers, f); err != nil {
				return err
			}
			answers = slices.DeleteFunc(answers, func(a answer) bool {
				return f.registered && len(a.DNS) == 0 || f.unregistered && len(a.DNS) > 0
			})
		}
	}
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
		}
		keys := slices.Sorted(maps.Keys(cols))
		fmt.Fprintln(w, strings.Join(append([]string{"fuzzer", "domain"}, keys...), ","))
		for _, a := range answers {
			row := []string{a.Fuzzer, a.Name}
			for _, k := range keys {
				row = append(row, strings.Join(a.DNS[k], ";"))
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
					list := make([]string, len(v))
					for j := range v {
						list[j] = v[j]
						if label != "" {
							list[j] = defang(v[j])
						}
					}
					inf = append(inf, label+strings.Join(list, ";"))
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

// resolveAll looks the names up. That no server answers at all is an error;
// of single names that fail, the answer says !ServFail, as dnstwist does.
func resolveAll(ctx context.Context, answers []answer, f twistFlags) error {
	servers, err := twistServers(f.servers)
	if err != nil {
		return err
	}
	r := &twistResolver{servers: servers, all: f.all}
	if _, err := r.ask(ctx, "localhost.", dns.TypeA); err != nil {
		return impound.Errorf(impound.KindUnavailable, "no name server answers: %w", err).At(strings.Join(servers, ", ")).
			WithCure("give one that does with --nameservers, or leave --resolve and --registered out")
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(f.threads, len(answers)) {
		wg.Go(func() {
			for i := range next {
				answers[i].DNS = r.look(ctx, answers[i].Name)
			}
		})
	}
	for i := range answers {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return ctx.Err()
}

func twistServers(list string) ([]string, error) {
	var out []string
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
		if net.ParseIP(host) == nil {
			return nil, usageError{fmt.Errorf("--nameservers takes addresses, with a port or without: %q is none", s)}
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
	all     bool
}

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
				if !r.all {
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

// ask tries the servers one after the other.
func (r *twistResolver) ask(ctx context.Context, name string, kind uint16) (*dns.Msg, error) {
	q := new(dns.Msg)
	q.SetQuestion(name, kind)
	q.SetEdns0(1232, false)
	err := errServFail
	for _, s := range r.servers {
		c := dns.Client{Timeout: 3 * time.Second}
		m, _, e := c.ExchangeContext(ctx, q, s)
		if e == nil && m.Truncated {
			c.Net = "tcp"
			m, _, e = c.ExchangeContext(ctx, q, s)
		}
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
