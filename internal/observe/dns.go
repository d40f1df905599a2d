package observe

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/doh"
	"github.com/miekg/dns"
)

// maxServers bounds how many servers of one zone are asked; the root and the
// largest top-level domains have 13.
const maxServers = 16

// maxRecords bounds how many records of one type are kept of one answer.
const maxRecords = 64

// ServerView is what one server answered.
type ServerView struct {
	Server        string              `json:"server"` // its name, or its address where no name is known
	Addr          string              `json:"addr,omitempty"`
	RCode         string              `json:"rcode,omitempty"`
	Authoritative bool                `json:"authoritative"`
	Exists        bool                `json:"exists"`
	NS            []string            `json:"ns,omitempty"` // lower case, no trailing dot, sorted
	DS            []string            `json:"ds,omitempty"` // presentation form, sorted
	Glue          map[string][]string `json:"glue,omitempty"`
	A             []string            `json:"a,omitempty"`
	AAAA          []string            `json:"aaaa,omitempty"`
	MX            []string            `json:"mx,omitempty"`
	TXT           []string            `json:"txt,omitempty"`
	SOA           string              `json:"soa,omitempty"`
	Validated     bool                `json:"validated,omitempty"` // the AD bit of a resolver
	Bogus         bool                `json:"bogus,omitempty"`     // SERVFAIL, but an answer with validation off
	Unchecked     *Unchecked          `json:"unchecked,omitempty"` // what a resolver says with validation off
	DNSSEC        string              `json:"dnssec,omitempty"`    // of a resolver, in words: what the two answers together mean
	Lame          bool                `json:"lame,omitempty"`      // a server of the name's own answers, but not with authority
	Raw           [][]byte            `json:"raw,omitempty"`       // the answers as they came
	Answers       []Answer            `json:"answers,omitempty"`   // what each of Raw is, in the same order
	Same          string              `json:"same,omitempty"`      // a server listed before it, at the same address: it was asked once for both
	Err           string              `json:"err,omitempty"`
}

// Unchecked is what a resolver says of the name servers when it is asked not to
// validate (CD, RFC 4035 3.2.2).
type Unchecked struct {
	RCode string   `json:"rcode,omitempty"`
	NS    []string `json:"ns,omitempty"`
	Err   string   `json:"err,omitempty"`
}

// Answer describes one answer of [ServerView.Raw].
type Answer struct {
	Type   string    `json:"type"`         // of the question: "NS", "DS", ...
	CD     bool      `json:"cd,omitempty"` // asked with validation off
	At     time.Time `json:"at"`
	Size   int       `json:"size"`
	SHA256 string    `json:"sha256"` // of the octets as they came
}

// keep takes an answer's octets.
func (v *ServerView) keep(qtype uint16, cd bool, at time.Time, raw []byte) {
	sum := sha256.Sum256(raw)
	v.Raw = append(v.Raw, raw)
	v.Answers = append(v.Answers, Answer{dns.TypeToString[qtype], cd, at, len(raw), hex.EncodeToString(sum[:])})
}

// View is what a set of servers say of one name: the parent's, the name's own,
// or the configured resolvers. NS, DS and Exists hold the union over the
// servers that answered; Agree says whether that union is what each says.
type View struct {
	Kind    string              `json:"kind"`
	Source  string              `json:"source"` // "parent" | "child" | "resolver"
	Name    impound.Name        `json:"name"`
	Zone    string              `json:"zone,omitempty"` // the parent zone asked
	At      time.Time           `json:"at"`
	Servers []ServerView        `json:"servers"`
	RCode   string              `json:"rcode,omitempty"` // of the first server that answered
	Exists  bool                `json:"exists"`
	Agree   bool                `json:"agree"`
	NS      []string            `json:"ns,omitempty"`
	DS      []string            `json:"ds,omitempty"`
	Glue    map[string][]string `json:"glue,omitempty"`
	Err     string              `json:"err,omitempty"` // set when no server gave an answer that can be used
}

// Answered says how many of the servers gave an answer that can be used.
func (v View) Answered() int {
	n := 0
	for _, s := range v.Servers {
		if s.Err == "" {
			n++
		}
	}
	return n
}

// Observation makes v ready to be kept.
func (v View) Observation() Observation {
	var asked []string
	for _, s := range v.Servers {
		asked = append(asked, cmp.Or(s.Addr, s.Server))
	}
	var sum strings.Builder
	fmt.Fprintf(&sum, "%s of %s: ", v.Source, v.Name.Defanged())
	switch {
	case v.Err != "":
		sum.WriteString("not seen: " + v.Err)
	case !v.Exists:
		fmt.Fprintf(&sum, "not there (%s)", v.RCode)
	default:
		fmt.Fprintf(&sum, "ns %s; %d ds", defangAll(v.NS), len(v.DS))
	}
	if v.Err == "" && !v.Agree {
		sum.WriteString("; its servers disagree")
	}
	if n := len(v.Servers) - v.Answered(); n > 0 && v.Err == "" {
		fmt.Fprintf(&sum, "; %d of %d servers did not answer", n, len(v.Servers))
	}
	for _, s := range v.Servers {
		switch {
		case s.Bogus:
			fmt.Fprintf(&sum, "; %s: DNSSEC is %s", s.Addr, s.DNSSEC)
		case s.Lame:
			fmt.Fprintf(&sum, "; %s is lame", defang(s.Server))
		}
	}
	return observation(v.Kind, v.Name, strings.Join(asked, " "), v.At, v, sum.String(), v.Err)
}

type server struct{ host, addr string }

// Parent asks every server of the zone above name for its delegation: name
// servers, glue and DS. A server that answers for another name, or refers
// upward, counts as not having answered.
func (c *Observer) Parent(ctx context.Context, name impound.Name) View {
	v := View{Kind: KindParent, Source: "parent", Name: name, At: c.now()}
	zone, servers, err := c.parentServers(ctx, name)
	v.Zone = zone
	if err != nil {
		v.Err = err.Error()
		return v
	}
	v.Servers = each(servers, func(s server) ServerView { return c.askParent(ctx, s, zone, name) })
	v.merge()
	return v
}

// Child asks the name's own servers, as the parent names them, for what they
// serve.
func (c *Observer) Child(ctx context.Context, name impound.Name) View {
	v := View{Kind: KindChild, Source: "child", Name: name, At: c.now()}
	p := c.Parent(ctx, name)
	if p.Err != "" {
		v.Err = "the parent names no servers: " + p.Err
		return v
	}
	if len(p.NS) == 0 {
		v.Err = "the parent names no servers"
		return v
	}
	servers := c.addresses(ctx, p.NS, p.Glue)
	v.Servers = each(servers, func(s server) ServerView {
		if err := c.refused(s); err != nil {
			return ServerView{Server: s.host, Addr: s.addr, Err: "not asked: " + err.Error()}
		}
		return c.askAll(ctx, s, name, false)
	})
	v.merge()
	return v
}

// refused says why s is not asked. Whoever holds the name chose the addresses of
// its servers: they must not send us into our own network.
func (c *Observer) refused(s server) error {
	if ap, err := netip.ParseAddrPort(s.addr); err == nil && !public(ap.Addr()) {
		if _, ok := c.route(s.addr); !ok {
			return errPrivate
		}
	}
	return nil
}

const (
	maxOwn   = 8                // how many of a name's own servers Servers asks
	ownTime  = 2 * time.Second  // how long it gives each of them, and the finding of their addresses
	ownPause = 10 * time.Second // how long it lets one alone that was silent: thousands of names have the same few
)

// Servers asks the servers that p, the parent's view, delegates its name to, the
// first eight of them side by side, for SOA and NS: whether each answers with
// authority, and what it says. It is [Observer.Child] in little, for thousands of
// names: two questions to each server (to one address once) and 2 s for each, with the addresses found
// before that in 2 s; one that was silent is let alone for 10 s. One that answers
// without authority is lame; what it says is kept, and counts for nothing.
func (c *Observer) Servers(ctx context.Context, p View) View {
	v := View{Kind: KindChild, Source: "child", Name: p.Name, Zone: p.Zone, At: c.now()}
	switch {
	case p.Err != "":
		v.Err = "the parent names no servers: " + p.Err
		return v
	case len(p.NS) == 0:
		v.Err = "the parent names no servers"
		return v
	}
	quick := c.quick
	find, cancel := context.WithTimeout(ctx, ownTime)
	defer cancel()
	hosts := slices.Clone(p.NS[:min(len(p.NS), maxOwn)])
	var lost []ServerView
	hosts = slices.DeleteFunc(hosts, func(h string) bool {
		why := c.wasSilent(h)
		if why != "" {
			lost = append(lost, ServerView{Server: h, Err: "no address for " + defang(h) + ": " + why})
		}
		return why != ""
	})
	all := quick.addresses(find, hosts, p.Glue)
	var servers []server
	for _, s := range all {
		if s.addr == "" || !slices.ContainsFunc(servers, func(o server) bool { return o.addr == s.addr }) {
			servers = append(servers, s)
		}
	}
	views := each(servers, func(s server) ServerView {
		if s.addr == "" && ctx.Err() == nil {
			c.silent.Store(s.host, time.Now())
		}
		if err := c.refused(s); err != nil {
			return ServerView{Server: s.host, Addr: s.addr, Err: "not asked: " + err.Error()}
		}
		if why := c.wasSilent(s.addr); s.addr != "" && why != "" {
			return ServerView{Server: s.host, Addr: s.addr, Err: "no answer from " + s.addr + ": " + why}
		}
		within, cancel := context.WithTimeout(ctx, ownTime)
		defer cancel()
		x := quick.askOwn(within, s, p.Name)
		if x.Err != "" && s.addr != "" && len(x.Raw) == 0 && ctx.Err() == nil {
			c.silent.Store(s.addr, time.Now())
		}
		return x
	})
	for _, s := range all {
		i := slices.IndexFunc(servers, func(o server) bool { return o == s || s.addr != "" && o.addr == s.addr })
		x := views[i]
		if servers[i] != s {
			x.Server, x.Same, x.Raw, x.Answers = s.host, servers[i].host, nil, nil
		}
		v.Servers = append(v.Servers, x)
	}
	v.Servers = append(v.Servers, lost...)
	v.merge()
	return v
}

// wasSilent says that a server, or who knows its address, gave no answer just
// now, and when; "" where it may be asked.
func (c *Observer) wasSilent(key string) string {
	t, ok := c.silent.Load(key)
	if !ok {
		return ""
	}
	// The system's clock: it is about traffic, not about evidence.
	ago := time.Since(t.(time.Time))
	if ago > ownPause {
		c.silent.Delete(key)
		return ""
	}
	return fmt.Sprintf("it was silent %s ago, and is let alone for %s", ago.Round(time.Second), ownPause)
}

// askOwn asks one of the name's own servers.
func (c *Observer) askOwn(ctx context.Context, s server, name impound.Name) ServerView {
	v := ServerView{Server: s.host, Addr: s.addr}
	if s.addr == "" {
		v.Err = "no address for " + defang(s.host)
		return v
	}
	v.Authoritative = true
	questions := []question{{qtype: dns.TypeSOA}, {qtype: dns.TypeNS}}
	for i, r := range c.askMany(ctx, s.addr, name.FQDN(), false, questions...) {
		m := r.m
		if r.err != nil {
			v.Err = cmp.Or(v.Err, r.err.Error())
			break
		}
		v.keep(questions[i].qtype, false, r.at, r.raw)
		v.take(m, name)
		v.RCode, v.Exists = rcode(m), m.Rcode == dns.RcodeSuccess
		if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
			v.Lame, v.Err = true, s.addr+" answers "+v.RCode
			break
		}
		if !m.Authoritative {
			v.Lame, v.Err = true, fmt.Sprintf("%s does not speak for %s", s.addr, name.Defanged())
		}
	}
	v.Authoritative = v.Err == ""
	return v
}

// Resolve asks each configured resolver for what a visitor would get, and for the
// name servers also with checking disabled (RFC 4035 3.2.2), side by side:
// SERVFAIL with validation and an answer without means that DNSSEC is broken, as
// with a DS left behind.
func (c *Observer) Resolve(ctx context.Context, name impound.Name) View {
	v := View{Kind: KindResolver, Source: "resolver", Name: name, At: c.now()}
	if len(c.cfg.Resolvers) == 0 {
		v.Err = "no resolver is configured"
		return v
	}
	var servers []server
	for _, r := range c.cfg.Resolvers {
		servers = append(servers, server{r, r})
	}
	v.Servers = each(servers, func(s server) ServerView { return c.askAll(ctx, s, name, true) })
	v.merge()
	return v
}

// each asks all servers at the same time and keeps their order.
func each(servers []server, f func(server) ServerView) []ServerView {
	out := make([]ServerView, len(servers))
	var wg sync.WaitGroup
	for i, s := range servers {
		if i+1 == len(servers) { // needs nobody else
			out[i] = f(s)
			break
		}
		wg.Go(func() { out[i] = f(s) })
	}
	wg.Wait()
	return out
}

func (v *View) merge() {
	if len(v.Servers) == 0 {
		v.Err = "none of its servers has an address"
		return
	}
	v.Agree = true
	var first *ServerView
	var why []string
	for i := range v.Servers {
		s := &v.Servers[i]
		if s.Err != "" {
			if !slices.Contains(why, s.Err) {
				why = append(why, s.Err)
			}
			continue
		}
		if first == nil {
			first = s
			v.RCode = s.RCode
		}
		v.Exists = v.Exists || s.Exists
		v.NS = append(v.NS, s.NS...)
		v.DS = append(v.DS, s.DS...)
		for h, as := range s.Glue {
			if v.Glue == nil {
				v.Glue = map[string][]string{}
			}
			v.Glue[h] = sortedSet(append(v.Glue[h], as...))
		}
		if s.RCode != first.RCode || !slices.Equal(s.NS, first.NS) || !slices.Equal(s.DS, first.DS) || s.Bogus != first.Bogus {
			v.Agree = false
		}
	}
	v.NS, v.DS = sortedSet(v.NS), sortedSet(v.DS)
	if first == nil {
		v.Agree = false
		v.Err = strings.Join(why, "; ")
	}
}

// parentServers gives the zone above name and its servers.
func (c *Observer) parentServers(ctx context.Context, name impound.Name) (string, []server, error) {
	if zone, list, ok := zoneFor(c.cfg.Parents, name); ok {
		var out []server
		for _, s := range list {
			if ap, err := addrPort(s); err == nil {
				out = append(out, server{s, ap})
				continue
			}
			host, port, err := net.SplitHostPort(s)
			if err != nil {
				host, port = s, "53"
			}
			for _, a := range c.lookup(ctx, host) {
				out = append(out, server{host, net.JoinHostPort(a.String(), port)})
			}
		}
		if len(out) == 0 {
			return zone, nil, fmt.Errorf("no address for any server of the zone %q", zone)
		}
		return zone, bound(out), nil
	}
	if len(c.cfg.Resolvers) == 0 {
		return "", nil, errors.New(NoParents + ", and there is no resolver to find them through")
	}
	for z := name.Parent(); !z.IsZero(); z = z.Parent() {
		m, err := c.recurse(ctx, z.FQDN(), dns.TypeNS)
		if err != nil {
			return z.String(), nil, err
		}
		var hosts []string
		for _, rr := range m.Answer {
			if ns, ok := rr.(*dns.NS); ok && sameName(ns.Hdr.Name, z.FQDN()) {
				hosts = append(hosts, plain(ns.Ns))
			}
		}
		if len(hosts) > 0 {
			servers := c.addresses(ctx, sortedSet(hosts), nil)
			if len(servers) == 0 {
				return z.String(), nil, fmt.Errorf("no address for any server of the zone %q", z)
			}
			return z.String(), servers, nil
		}
	}
	return "", nil, fmt.Errorf("no zone above %s has name servers", name.Defanged())
}

func bound[T any](in []T) []T {
	if len(in) > maxServers {
		return in[:maxServers]
	}
	return in
}

// addresses gives one server per host: its glue where the parent gave some,
// else the first address that a resolver gives.
func (c *Observer) addresses(ctx context.Context, hosts []string, glue map[string][]string) []server {
	hosts = bound(hosts)
	out := make([]server, len(hosts))
	var wg sync.WaitGroup
	for i, h := range hosts {
		out[i].host = h
		if g := glue[h]; len(g) > 0 {
			if ap, err := addrPort(g[0]); err == nil {
				out[i].addr = ap
			}
			continue
		}
		wg.Go(func() {
			if as := c.lookup(ctx, h); len(as) > 0 {
				out[i].addr = netip.AddrPortFrom(as[0], 53).String()
			}
		})
	}
	wg.Wait()
	return out
}

// lookup gives the addresses of host, IPv4 first.
func (c *Observer) lookup(ctx context.Context, host string) []netip.Addr {
	if a, err := netip.ParseAddr(strings.Trim(host, "[]")); err == nil {
		return []netip.Addr{a}
	}
	var out []netip.Addr
	for _, t := range []uint16{dns.TypeA, dns.TypeAAAA} {
		m, err := c.recurse(ctx, dns.Fqdn(host), t)
		if err != nil {
			continue
		}
		for _, rr := range m.Answer {
			var a netip.Addr
			var ok bool
			switch r := rr.(type) {
			case *dns.A:
				a, ok = netip.AddrFromSlice(r.A.To4())
			case *dns.AAAA:
				a, ok = netip.AddrFromSlice(r.AAAA)
			}
			if ok && len(out) < maxServers {
				out = append(out, a.Unmap())
			}
		}
	}
	return out
}

// recurse asks the resolvers in turn until one answers.
func (c *Observer) recurse(ctx context.Context, qname string, qtype uint16) (*dns.Msg, error) {
	err := errors.New("no resolver is configured")
	for _, r := range c.cfg.Resolvers {
		var m *dns.Msg
		if m, _, err = c.ask(ctx, r, qname, qtype, true, false); err == nil && (m.Rcode == dns.RcodeSuccess || m.Rcode == dns.RcodeNameError) {
			return m, nil
		} else if err == nil {
			err = fmt.Errorf("resolver %s answers %s", r, rcode(m))
		}
	}
	return nil, err
}

// question is what a server is asked of a name.
type question struct {
	qtype   uint16
	noCheck bool // with validation off (CD)
}

// reply is what came back; either err says why nothing did, or the octets are
// there as they came.
type reply struct {
	m   *dns.Msg
	raw []byte
	at  time.Time
	err error
}

// ask is askMany for one question.
func (c *Observer) ask(ctx context.Context, addr, qname string, qtype uint16, recursive, noCheck bool) (*dns.Msg, []byte, error) {
	r := c.askMany(ctx, addr, qname, recursive, question{qtype, noCheck})[0]
	return r.m, r.raw, r.err
}

// askMany sends questions about one name over UDP, all of them at once and from
// one port: an open socket for each costs more than the question. Those that got no
// answer are asked once more, and then, as those whose answer was cut, over TCP. An
// answer to another question is refused. The replies are in the questions' order.
// Through a proxy all are asked over TCP, and so that nothing goes beside it.
func (c *Observer) askMany(ctx context.Context, addr, qname string, recursive bool, questions ...question) []reply {
	out, qs := make([]reply, len(questions)), make([]*dns.Msg, len(questions))
	for i, x := range questions {
		q := new(dns.Msg)
		q.SetQuestion(qname, x.qtype)
		for slices.ContainsFunc(qs[:i], func(o *dns.Msg) bool { return o.Id == q.Id }) {
			q.Id = dns.Id()
		}
		q.RecursionDesired, q.CheckingDisabled = recursive, x.noCheck
		q.SetEdns0(1232, true)
		qs[i] = q
	}
	to, routed := c.route(addr)
	ways := []string{"udp", "udp", "tcp"}
	if c.through != nil && !c.cfg.DirectDNS && !routed {
		ways = []string{wayProxy, wayProxy}
	}
	if doh.Is(addr) {
		ways = []string{wayHTTPS, wayHTTPS}
	}
	for round, network := range ways {
		var open []int
		for i, r := range out {
			if cut := r.err == nil && r.m != nil && r.m.Truncated; round == 0 || r.err != nil || cut && network != "udp" {
				open = append(open, i)
			}
		}
		if len(open) == 0 || round > 0 && ctx.Err() != nil {
			continue
		}
		some, got := make([]*dns.Msg, len(open)), make([]reply, len(open))
		for k, i := range open {
			some[k] = qs[i]
		}
		if network == wayHTTPS {
			c.exchangeHTTPS(ctx, addr, some, got)
		} else {
			c.exchange(ctx, network, to, some, got)
		}
		for k, i := range open {
			out[i] = got[k]
		}
	}
	for i := range out {
		r := &out[i]
		switch q := qs[i].Question[0]; {
		case r.err == nil && (len(r.m.Question) != 1 || !sameName(r.m.Question[0].Name, qname) || r.m.Question[0].Qtype != q.Qtype):
			r.err = fmt.Errorf("%s answers another question than the one asked", addr)
		case r.err == nil && r.m.Truncated:
			r.err = fmt.Errorf("no answer from %s but one that is cut off", addr)
		case r.err != nil:
			r.err = fmt.Errorf("no answer from %s: %w", addr, r.err)
		}
		if r.err != nil {
			r.m, r.raw = nil, nil
		}
	}
	return out
}

// wayHTTPS is the network of what is asked over HTTPS.
const wayHTTPS = "https"

// exchangeHTTPS asks a resolver over HTTPS, all questions at once.
func (c *Observer) exchangeHTTPS(ctx context.Context, to string, qs []*dns.Msg, out []reply) {
	var wg sync.WaitGroup
	for i, q := range qs {
		wg.Go(func() {
			out[i] = func() (r reply) {
				b, err := q.Pack()
				if err != nil {
					return reply{err: err}
				}
				if r.raw, r.err = c.https.Exchange(ctx, to, b); r.err != nil {
					return reply{err: r.err}
				}
				r.at, r.m = c.now(), new(dns.Msg)
				if err := r.m.Unpack(r.raw); err != nil {
					return reply{err: fmt.Errorf("the answer can't be read: %w", err)}
				}
				return r
			}()
		})
	}
	wg.Wait()
}

// dial opens a way to a server. Of an address and UDP nothing has to be looked up
// or waited for, and a plan of thousands of names asks tens of thousands of times.
func (c *Observer) dial(ctx context.Context, network, to string) (*dns.Conn, error) {
	if network == wayProxy {
		at, err := netip.ParseAddrPort(to)
		if err != nil {
			return nil, err
		}
		nc, err := c.proxied(ctx, at)
		if err != nil {
			return nil, err
		}
		return &dns.Conn{Conn: nc}, nil
	}
	if at, err := netip.ParseAddrPort(to); err == nil && network == "udp" {
		from, _ := c.from(network).(*net.UDPAddr)
		u, err := net.DialUDP(network, from, net.UDPAddrFromAddrPort(at))
		if err != nil {
			return nil, err
		}
		return &dns.Conn{Conn: u}, nil
	}
	cl := &dns.Client{Net: network, Timeout: c.cfg.Timeout, UDPSize: 1232}
	if from := c.from(network); from != nil {
		cl.Dialer = &net.Dialer{Timeout: c.cfg.Timeout, LocalAddr: from}
	}
	return cl.DialContext(ctx, to)
}

// exchange sends queries and fills in their replies, which are in the same order.
// Datagrams with another id are passed over: they are somebody's attempt, or late.
func (c *Observer) exchange(ctx context.Context, network, to string, qs []*dns.Msg, out []reply) {
	left := len(qs)
	fail := func(err error) { // of those that have no reply yet
		for i := range out {
			if out[i].m == nil && out[i].err == nil {
				out[i].err = err
			}
		}
	}
	co, err := c.dial(ctx, network, to)
	if err != nil {
		fail(err)
		return
	}
	defer co.Close()
	// The system's clock, not ours: sockets know no other.
	until := time.Now().Add(c.cfg.Timeout)
	if d, ok := ctx.Deadline(); ok && d.Before(until) {
		until = d
	}
	stop := context.AfterFunc(ctx, func() { _ = co.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := co.SetDeadline(until); err != nil {
		fail(err)
		return
	}
	co.UDPSize = 1232
	for _, q := range qs {
		if err := co.WriteMsg(q); err != nil {
			fail(err)
			return
		}
	}
	for range 16 * len(qs) {
		raw, err := read(co)
		if err != nil {
			fail(err)
			return
		}
		m := new(dns.Msg)
		err = m.Unpack(raw) // the id is read first
		i := slices.IndexFunc(qs, func(q *dns.Msg) bool { return q.Id == m.Id })
		switch {
		case err != nil && i < 0 && network != "udp":
			fail(fmt.Errorf("the answer can't be read: %w", err))
			return
		case i < 0 || out[i].m != nil || out[i].err != nil || err == nil && !m.Response:
			continue
		case err != nil:
			out[i].err = fmt.Errorf("the answer can't be read: %w", err)
		default:
			out[i] = reply{m: m, raw: raw, at: c.now()}
		}
		if left--; left == 0 {
			return
		}
	}
	fail(errors.New("too many answers to questions that were not asked"))
}

// datagrams are buffers to read into: answers are short, and are kept.
var datagrams = sync.Pool{New: func() any { return new([1232]byte) }}

// read gives the octets of the next message, at least a header.
func read(co *dns.Conn) ([]byte, error) {
	u, ok := co.Conn.(*net.UDPConn)
	if !ok {
		return co.ReadMsgHeader(nil)
	}
	b := datagrams.Get().(*[1232]byte)
	defer datagrams.Put(b)
	for {
		n, err := u.Read(b[:])
		if err != nil {
			return nil, err
		}
		if n >= 12 {
			return bytes.Clone(b[:n]), nil
		}
	}
}

// askParent reads one parent server's referral (RFC 1034 4.3.2 step 3b) and DS.
func (c *Observer) askParent(ctx context.Context, s server, zone string, name impound.Name) ServerView {
	v := ServerView{Server: s.host, Addr: s.addr}
	if s.addr == "" {
		v.Err = "no address for " + defang(s.host)
		return v
	}
	replies := c.askMany(ctx, s.addr, name.FQDN(), false, question{qtype: dns.TypeNS}, question{qtype: dns.TypeDS})
	for i, t := range []uint16{dns.TypeNS, dns.TypeDS} {
		if r := replies[i]; r.err == nil {
			v.keep(t, false, r.at, r.raw)
		}
	}
	m, err := replies[0].m, replies[0].err
	if err != nil {
		v.Err = err.Error()
		return v
	}
	v.RCode, v.Authoritative = rcode(m), m.Authoritative
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		v.Err = s.addr + " answers " + v.RCode
		return v
	}
	// A parent refers; it has no answer of its own (RFC 1034 4.3.2). An answer
	// comes from the name's own zone, or from a resolver's memory.
	for _, rr := range m.Answer {
		switch {
		case !m.Authoritative:
			v.Err = s.addr + " tells what others said: it does not speak for the parent zone"
		case rr.Header().Rrtype == dns.TypeNS:
			v.Err = fmt.Sprintf("%s answers out of the zone of %s itself: what the parent says can't be seen there", s.addr, name.Defanged())
		case rr.Header().Rrtype == dns.TypeCNAME, rr.Header().Rrtype == dns.TypeDNAME:
			v.Err = fmt.Sprintf("%s says that %s is an alias", s.addr, name.Defanged())
		}
	}
	for _, rr := range m.Ns {
		switch r := rr.(type) {
		case *dns.NS:
			if sameName(r.Hdr.Name, name.FQDN()) && len(v.NS) < maxRecords {
				v.NS = append(v.NS, plain(r.Ns))
			} else if !strings.EqualFold(r.Hdr.Name, dns.Fqdn(zone)) {
				v.Err = fmt.Sprintf("%s refers to %s: it does not serve the parent of %s", s.addr, clip(defang(plain(r.Hdr.Name)), 80), name.Defanged())
			}
		case *dns.SOA:
			v.SOA = clip(r.String(), 512)
			if !dns.IsSubDomain(dns.Fqdn(zone), r.Hdr.Name) || dns.IsSubDomain(name.FQDN(), r.Hdr.Name) {
				v.Err = fmt.Sprintf("%s answers for the zone %s", s.addr, clip(defang(plain(r.Hdr.Name)), 80))
			}
		}
	}
	v.NS = sortedSet(v.NS)
	if v.Exists = len(v.NS) > 0; !v.Exists && !m.Authoritative && v.Err == "" {
		v.Err = s.addr + " does not speak for the parent zone (lame)"
	}
	if v.Err != "" {
		v.NS, v.Exists = nil, false
		return v
	}
	for _, rr := range m.Extra {
		h := plain(rr.Header().Name)
		if !slices.Contains(v.NS, h) {
			continue
		}
		var a string
		switch r := rr.(type) {
		case *dns.A:
			a = r.A.String()
		case *dns.AAAA:
			a = r.AAAA.String()
		default:
			continue
		}
		if v.Glue == nil {
			v.Glue = map[string][]string{}
		}
		if len(v.Glue[h]) < maxServers {
			v.Glue[h] = append(v.Glue[h], a)
		}
	}
	if m, err = replies[1].m, replies[1].err; err != nil {
		v.Err = "DS: " + err.Error()
		return v
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		v.Err = s.addr + " answers " + rcode(m) + " when asked for the DS"
		return v
	}
	if !m.Authoritative {
		v.Err = s.addr + " does not speak for the parent zone when asked for the DS"
		return v
	}
	for _, rr := range m.Answer {
		if r, ok := rr.(*dns.DS); ok && sameName(r.Hdr.Name, name.FQDN()) && len(v.DS) < maxRecords {
			v.DS = append(v.DS, fmt.Sprintf("%d %d %d %s", r.KeyTag, r.Algorithm, r.DigestType, strings.ToLower(r.Digest)))
		}
	}
	v.DS = sortedSet(v.DS)
	return v
}

// askAll asks one server for what a visitor of the name would need.
func (c *Observer) askAll(ctx context.Context, s server, name impound.Name, recursive bool) ServerView {
	v := ServerView{Server: s.host, Addr: s.addr}
	if s.addr == "" {
		v.Err = "no address for " + defang(s.host)
		return v
	}
	first := []question{{qtype: dns.TypeNS}}
	if recursive {
		first = append(first, question{dns.TypeNS, true})
	}
	replies := c.askMany(ctx, s.addr, name.FQDN(), recursive, first...)
	for i, r := range replies {
		if r.err == nil {
			v.keep(dns.TypeNS, first[i].noCheck, r.at, r.raw)
		}
	}
	m, err := replies[0].m, replies[0].err
	var un *dns.Msg
	if recursive {
		un = replies[1].m
		if v.unchecked(name, m, un, replies[1].err); v.Bogus {
			m = un
		}
	}
	if err != nil {
		v.Err = err.Error()
		return v
	}
	v.RCode, v.Authoritative, v.Validated = rcode(m), m.Authoritative, m.AuthenticatedData && recursive && !v.Bogus
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		v.Err = s.addr + " answers " + v.RCode
		if recursive && m.Rcode == dns.RcodeServerFailure && un != nil {
			v.Err += ", and " + rcode(un) + " without validation"
		}
		return v
	}
	v.Exists = m.Rcode == dns.RcodeSuccess
	if v.take(m, name); !v.Exists {
		return v
	}
	for i, r := range c.askMany(ctx, s.addr, name.FQDN(), recursive, others...) {
		if r.err == nil { // one type that gets no answer does not spoil the others
			v.keep(others[i].qtype, false, r.at, r.raw)
			v.take(r.m, name)
		}
	}
	return v
}

// others are what askAll asks for where the name exists.
var others = []question{{qtype: dns.TypeA}, {qtype: dns.TypeAAAA}, {qtype: dns.TypeMX}, {qtype: dns.TypeTXT}, {qtype: dns.TypeSOA}}

// unchecked lays a resolver's answer beside the one without validation, un; either
// is nil where none came.
func (v *ServerView) unchecked(name impound.Name, m, un *dns.Msg, unErr error) {
	v.Unchecked = new(Unchecked)
	if unErr != nil {
		v.Unchecked.Err = unErr.Error()
	} else {
		var x ServerView
		x.take(un, name)
		v.Unchecked.RCode, v.Unchecked.NS = rcode(un), x.NS
	}
	switch {
	case m == nil:
	case m.Rcode == dns.RcodeServerFailure && un == nil:
		v.DNSSEC = "not known: SERVFAIL with validation, and no answer without"
	case m.Rcode == dns.RcodeServerFailure && (un.Rcode == dns.RcodeSuccess || un.Rcode == dns.RcodeNameError):
		v.Bogus, v.DNSSEC = true, "broken: SERVFAIL with validation, "+rcode(un)+" without"
	case m.Rcode == dns.RcodeServerFailure:
		v.DNSSEC = "not known: SERVFAIL with validation, " + rcode(un) + " without"
	case m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError:
	case m.AuthenticatedData:
		v.DNSSEC = "validated"
	default:
		v.DNSSEC = "not validated: the name is unsigned, or the resolver does not validate"
	}
}

func (v *ServerView) take(m *dns.Msg, name impound.Name) {
	add := func(to *[]string, s string) {
		if len(*to) < maxRecords && !slices.Contains(*to, s) {
			*to = append(*to, s)
			slices.Sort(*to)
		}
	}
	for _, rr := range m.Answer {
		at := sameName(rr.Header().Name, name.FQDN())
		switch r := rr.(type) {
		case *dns.NS:
			if at {
				add(&v.NS, plain(r.Ns))
			}
		case *dns.A: // also at the end of a CNAME
			add(&v.A, r.A.String())
		case *dns.AAAA:
			add(&v.AAAA, r.AAAA.String())
		case *dns.MX:
			add(&v.MX, fmt.Sprintf("%d %s", r.Preference, plain(r.Mx)))
		case *dns.TXT:
			add(&v.TXT, clip(strings.Join(r.Txt, ""), 1024))
		case *dns.SOA:
			if at {
				v.SOA = clip(r.String(), 512)
			}
		}
	}
}

func rcode(m *dns.Msg) string {
	if s, ok := dns.RcodeToString[m.Rcode]; ok {
		return s
	}
	return fmt.Sprintf("RCODE%d", m.Rcode)
}

func sameName(a, b string) bool {
	return strings.EqualFold(strings.TrimSuffix(a, "."), strings.TrimSuffix(b, "."))
}

func plain(s string) string { return strings.ToLower(strings.TrimSuffix(s, ".")) }
