// Package observe looks at a name from outside and writes down what it saw:
// the parent zone (each of its servers), RDAP, resolvers, the name's own
// servers, and its web page. Every look gives an [Observation] whose bytes can
// be kept as evidence; a look that failed is an observation too.
//
// What lives here: the looking, bounded against hostile answers (size, time,
// redirects, addresses inside our own network), and the parsing of what came
// back. What must not: judging what a view means for an order, changing
// anything anywhere, or keeping a secret: cookies are kept by name only.
package observe

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/doh"
	"github.com/impound/impound/internal/observe/wayout"
	"github.com/miekg/dns"
)

// The kinds of observation.
const (
	KindParent   = "dns-parent"
	KindChild    = "dns-child"
	KindResolver = "dns-resolver"
	KindRDAP     = "rdap"
	KindHTTP     = "http"
)

// DefaultUserAgent is sent where the configuration names none.
const DefaultUserAgent = "impound-observe/1 (+https://github.com/impound/impound)"

// Config says whom to ask. The zero value asks nobody: there is no default
// resolver, so that nothing leaves the machine unless somebody said so.
type Config struct {
	// Parents gives the servers ("ip:port", "ip", "host", "host:port") of a
	// parent zone, keyed by its name without dots at the ends ("net",
	// "co.uk"). Where a zone is missing, its servers are found through
	// Resolvers.
	Parents map[string][]string
	// Resolvers are recursive resolvers, "ip:port" or "ip", or over HTTPS
	// "https://ip/dns-query". A host in such an address is looked up by the system,
	// and can't be where Proxy is to carry DNS.
	Resolvers []string
	// RDAP gives the base URL per zone; see [LoadBootstrap].
	RDAP map[string]string
	// WHOIS reads a name's registration from WHOIS, for [Observer.Registration];
	// nil: nobody is asked.
	WHOIS func(ctx context.Context, name impound.Name) RDAPView
	// Routes sends a connection elsewhere: "ip:port" or "host:port" to
	// "ip:port". It is how practice runs on one machine, and the only way to
	// make an HTTP look reach a loopback or private address.
	Routes map[string]string
	// Source is the address of ours that questions leave from; zero: the system
	// chooses. Servers of the other family can't be reached then.
	Source netip.Addr
	// Proxy, when set, is the way by which everything leaves that no route sends
	// elsewhere: socks5://HOST:PORT or http://HOST:PORT. DNS goes over TCP then,
	// and the resolvers are those that the proxy reaches. Nothing goes beside it,
	// also where it fails.
	Proxy string
	// DirectDNS keeps DNS and RDAP off the proxy, for one that reaches no resolver:
	// only the name's web servers are asked through it.
	DirectDNS bool
	// Timeout bounds one exchange; 0 is 5 s.
	Timeout time.Duration
	// UserAgent is sent with RDAP and with the first HTTP look.
	UserAgent string
	// Now is the clock; nil is time.Now.
	Now func() time.Time
	// MaxBody bounds what is read of one HTTP answer, in octets; 0 is 1 MiB.
	MaxBody int64
}

// Observer looks. It is safe for concurrent use.
type Observer struct {
	cfg         Config
	through     *url.URL  // the proxy that everything leaves by; nil: none
	quick       *Observer // with less patience: see Servers
	rdapClients sync.Map  // *http.Client by the host:port that is trusted
	https       *doh.Client
	silent      sync.Map // time.Time by the address of a name's own server, or its host, that gave no answer
}

// New makes an Observer. A zone or a resolver address that can't be read is an
// error of KindInvalid.
func New(cfg Config) (*Observer, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = 5 * time.Second
	}
	if cfg.MaxBody <= 0 {
		cfg.MaxBody = 1 << 20
	}
	if cfg.UserAgent == "" {
		cfg.UserAgent = DefaultUserAgent
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	resolvers := make([]string, len(cfg.Resolvers))
	through, err := wayout.Parse(cfg.Proxy, "proxy")
	if err != nil {
		return nil, err
	}
	overHTTPS := false
	for i, r := range cfg.Resolvers {
		if doh.Is(r) {
			if _, err := doh.Parse(r); err != nil {
				return nil, fmt.Errorf("resolvers[%d]: %w", i, err)
			}
			if through != nil && !cfg.DirectDNS && doh.Named(r) {
				return nil, impound.Errorf(impound.KindInvalid, "the address of %s can't be asked for through the proxy", r).At(fmt.Sprintf("resolvers[%d]", i)).WithCure("write it by its address, as https://192.0.2.53/dns-query")
			}
			resolvers[i], overHTTPS = r, true
			continue
		}
		ap, err := addrPort(r)
		if err != nil {
			return nil, impound.Errorf(impound.KindInvalid, "“%.80s” is no address of a resolver: %w", r, err).At(fmt.Sprintf("resolvers[%d]", i)).WithCure("write it as 192.0.2.1 or 192.0.2.1:53")
		}
		resolvers[i] = ap
	}
	cfg.Resolvers = resolvers
	quick := &Observer{cfg: cfg, through: through}
	quick.cfg.Timeout = min(cfg.Timeout, ownTime/3) // an attempt, and a question is tried three times
	c := &Observer{cfg: cfg, through: through, quick: quick}
	if overHTTPS {
		c.https = doh.New(c.dialHTTPS, cfg.Timeout, nil)
		quick.https = c.https
	}
	return c, nil
}

// SystemResolvers gives the resolvers of /etc/resolv.conf, for whoever wants
// them as [Config.Resolvers].
func SystemResolvers() ([]string, error) {
	c, err := dns.ClientConfigFromFile("/etc/resolv.conf")
	if err != nil {
		return nil, fmt.Errorf("couldn't read the system's resolvers: %w", err)
	}
	out := make([]string, 0, len(c.Servers))
	for _, s := range c.Servers {
		if a, err := netip.ParseAddr(s); err == nil {
			out = append(out, netip.AddrPortFrom(a, 53).String())
		}
	}
	return out, nil
}

// Observation is one look, ready to be kept: JSON holds the parsed view with
// the raw answers inside, Parts what is better kept as bytes of its own.
type Observation struct {
	Kind    string       `json:"kind"`
	Name    impound.Name `json:"name"`
	Source  string       `json:"source"` // the servers or the URL asked
	At      time.Time    `json:"at"`
	JSON    []byte       `json:"-"`
	Parts   []Part       `json:"-"`
	Summary string       `json:"summary"`       // one line for people, names defanged
	Err     string       `json:"err,omitempty"` // why nothing was seen
}

// Part is raw bytes of an observation: an RDAP body, a page.
type Part struct {
	Label string // "http GET https, first agent"
	Media string
	Bytes []byte
}

// Artefact describes o for the evidence log; the hash and size are the
// log's to set. Where nobody could be asked the source is "none".
func (o Observation) Artefact(caseID, by string) impound.Artefact {
	return impound.Artefact{Kind: o.Kind, Media: "application/json", Name: o.Name, Case: caseID, Source: cmp.Or(o.Source, "none"), Tool: DefaultUserAgent, By: by, At: o.At}
}

// All takes every look at name at the same time. It has no error: what failed
// is in the observations.
func (c *Observer) All(ctx context.Context, name impound.Name) []Observation {
	looks := []func() Observation{
		func() Observation { return c.Parent(ctx, name).Observation() },
		func() Observation { return c.RDAP(ctx, name).Observation() },
		func() Observation { return c.Resolve(ctx, name).Observation() },
		func() Observation { return c.Child(ctx, name).Observation() },
		func() Observation { return c.HTTP(ctx, name).Observation() },
	}
	out := make([]Observation, len(looks))
	var wg sync.WaitGroup
	for i, f := range looks {
		wg.Go(func() { out[i] = f() })
	}
	wg.Wait()
	return out
}

func (c *Observer) now() time.Time { return c.cfg.Now().UTC() }

// Lookup gives the addresses of host by the configured resolvers, IPv4 first,
// none where there are none.
func (c *Observer) Lookup(ctx context.Context, host string) []netip.Addr { return c.lookup(ctx, host) }

// Route gives where a connection to addr ("ip:port" or "host:port") is sent
// instead, and whether one is configured.
func (c *Observer) Route(addr string) (string, bool) { return c.route(addr) }

// Public says whether a is an address on the Internet: no loopback, private,
// link-local, shared, multicast or otherwise special one (RFC 6890).
func Public(a netip.Addr) bool { return public(a) }

// route gives where a connection to addr really goes.
func (c *Observer) route(addr string) (string, bool) {
	if to, ok := c.cfg.Routes[addr]; ok {
		return to, true
	}
	return addr, false
}

// zoneFor gives the entry of the longest suffix of n's parents that m has.
func zoneFor[V any](m map[string]V, n impound.Name) (string, V, bool) {
	for z := n.Parent(); !z.IsZero(); z = z.Parent() {
		if v, ok := m[z.String()]; ok {
			return z.String(), v, true
		}
	}
	var zero V
	return "", zero, false
}

// from is the address that connections leave from, nil where the system chooses.
func (c *Observer) from(network string) net.Addr {
	switch {
	case !c.cfg.Source.IsValid():
		return nil
	case network == "udp":
		return net.UDPAddrFromAddrPort(netip.AddrPortFrom(c.cfg.Source, 0))
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(c.cfg.Source, 0))
}

// wayProxy is the network of what goes over TCP through the proxy.
const wayProxy = "proxy"

// proxied opens a connection through the proxy.
func (c *Observer) proxied(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return wayout.Dial(ctx, c.through, c.cfg.Source, c.cfg.Timeout, to)
}

// dialHTTPS opens a connection to a resolver over HTTPS.
func (c *Observer) dialHTTPS(ctx context.Context, addr string) (net.Conn, error) {
	to, routed := c.route(addr)
	if c.through != nil && !c.cfg.DirectDNS && !routed {
		return c.DialProxy(ctx, addr)
	}
	return (&net.Dialer{Timeout: c.cfg.Timeout, LocalAddr: c.from("tcp")}).DialContext(ctx, "tcp", to)
}

// DialProxy opens a connection to addr, "ip:port", through the proxy; it is there
// for whoever asks name servers in a way of his own.
func (c *Observer) DialProxy(ctx context.Context, addr string) (net.Conn, error) {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return nil, err
	}
	if c.through == nil {
		return nil, impound.Errorf(impound.KindInternal, "there is no proxy")
	}
	return c.proxied(ctx, to)
}

// addrPort reads "ip" or "ip:port" and gives "ip:port", port 53 by default.
func addrPort(s string) (string, error) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return netip.AddrPortFrom(a, 53).String(), nil
	}
	ap, err := netip.ParseAddrPort(s)
	if err != nil {
		return "", err
	}
	return ap.String(), nil
}

func observation(kind string, name impound.Name, source string, at time.Time, view any, summary, errText string) Observation {
	b, err := json.Marshal(view)
	if err != nil { // views hold nothing that can't be encoded
		b, errText = []byte("{}"), err.Error()
	}
	return Observation{Kind: kind, Name: name, Source: source, At: at, JSON: b, Summary: summary, Err: errText}
}

// defang makes a host name from an answer safe to show.
func defang(s string) string { return strings.ReplaceAll(s, ".", "[.]") }

func defangAll(in []string) string {
	out := make([]string, len(in))
	for i, s := range in {
		out[i] = defang(s)
	}
	return strings.Join(out, ", ")
}

func sortedSet(in []string) []string {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}

// clip bounds text from a hostile peer before it gets into a message.
func clip(s string, n int) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) > n {
		s = strings.ToValidUTF8(s[:n], "") + "..."
	}
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f {
			return ' '
		}
		return r
	}, s)
}
