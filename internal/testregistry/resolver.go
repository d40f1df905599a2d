package testregistry

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
)

// The practice resolver is small: it begins at the parent zones, follows the
// delegation to the name servers' addresses, which Config.Routes turns into
// where they really listen, and caches nothing. It checks of DNSSEC what makes
// or breaks a seizure: a zone with a DS whose servers have no matching key is
// SERVFAIL, unless the asker sets CD.
const (
	askTimeout  = 800 * time.Millisecond // for one server
	chaseBudget = 4 * time.Second        // for one question
	chaseDepth  = 6                      // names of name servers, CNAMEs
)

var errDead = errors.New("no name server answers")

type chase struct {
	r      *Registry
	ctx    context.Context
	routes map[netip.AddrPort]netip.AddrPort
	do, cd bool
}

func (r *Registry) answerResolver(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable, m.Authoritative = true, false
	if !q.RecursionDesired {
		m.Rcode = dns.RcodeRefused
		return m
	}
	ctx, cancel := context.WithTimeout(r.ctx, chaseBudget)
	defer cancel()
	c := &chase{r: r, ctx: ctx, routes: r.Routes(), cd: q.CheckingDisabled}
	if opt := q.IsEdns0(); opt != nil {
		c.do = opt.Do()
	}
	n, clean := question(q)
	if !clean {
		m.Rcode = dns.RcodeRefused
		return m
	}
	got, err := c.resolve(n, q.Question[0].Qtype, 0)
	if err != nil {
		r.log.Debug("practice resolver", "name", n.Defanged(), "err", err)
		m.Rcode = dns.RcodeServerFailure
		if opt := q.IsEdns0(); opt != nil {
			code := uint16(dns.ExtendedErrorCodeNoReachableAuthority)
			if errors.Is(err, errBogus) {
				code = dns.ExtendedErrorCodeDNSKEYMissing
			}
			m.SetEdns0(1232, opt.Do())
			m.IsEdns0().Option = append(m.IsEdns0().Option, &dns.EDNS0_EDE{InfoCode: code, ExtraText: cutText(err.Error())})
		}
		return m
	}
	m.Rcode, m.Answer, m.Ns = got.Rcode, got.Answer, got.Ns
	if got.Rcode == dns.RcodeSuccess && len(got.Answer) > 0 {
		m.Ns = nil
	}
	for _, rr := range slices.Concat(m.Answer, m.Ns) {
		rr.Header().Ttl = min(rr.Header().Ttl, 1) // nothing is cached, so nobody should
	}
	return m
}

var errBogus = errors.New("DS at the parent, but no matching DNSKEY at the child")

// resolve gives the answer of an authoritative server.
func (c *chase) resolve(n impound.Name, qtype uint16, depth int) (*dns.Msg, error) {
	if depth > chaseDepth {
		return nil, errors.New("too many names to follow")
	}
	c.r.mu.RLock()
	world := c.r.cfg.Hosts[n]
	if h := c.r.st.hosts[n]; len(world) == 0 && h != nil {
		world = h.World
	}
	c.r.mu.RUnlock()
	m := new(dns.Msg)
	if len(world) > 0 { // a host of the world outside of the practice registry
		m.Authoritative = true
		c.r.hostAnswer(m, n, qtype, world)
		return m, nil
	}
	parent := netip.AddrPortFrom(ParentAddr, 53)
	if _, ours := c.r.tldOf(n); !ours && !slices.Contains(c.r.tlds, n) {
		there := false
		for zone, at := range c.r.cfg.Forward {
			if n.AtOrBelow(zone) {
				parent, there = at, true
			}
		}
		if !there {
			m.Rcode = dns.RcodeNameError // the practice world ends here
			return m, nil
		}
	}
	up, err := c.askAt([]netip.AddrPort{parent}, n, qtype)
	if err != nil {
		return nil, err
	}
	if up.Authoritative {
		return up, nil
	}
	var zone impound.Name
	var servers []impound.Name
	glue := map[string][]netip.Addr{}
	var dsSet []*dns.DS
	for _, rr := range up.Ns {
		switch rr := rr.(type) {
		case *dns.NS:
			if ns, err := impound.ParseName(strings.TrimSuffix(rr.Ns, ".")); err == nil {
				servers = append(servers, ns)
			}
			if z, err := impound.ParseName(strings.TrimSuffix(rr.Hdr.Name, ".")); err == nil {
				zone = z
			}
		case *dns.DS:
			dsSet = append(dsSet, rr)
		}
	}
	for _, rr := range up.Extra {
		if a, ok := rr.(*dns.A); ok {
			if ip, ok := netip.AddrFromSlice(a.A.To4()); ok {
				glue[strings.ToLower(a.Hdr.Name)] = append(glue[strings.ToLower(a.Hdr.Name)], ip)
			}
		}
	}
	if zone.IsZero() || !n.AtOrBelow(zone) || len(servers) == 0 {
		return nil, errors.New("the parent refers to nowhere")
	}
	var addrs []netip.Addr
	for _, ns := range servers {
		if g := glue[ns.FQDN()]; len(g) > 0 {
			addrs = append(addrs, g...)
			continue
		}
		if ns.AtOrBelow(zone) {
			continue // only glue could tell
		}
		got, err := c.resolve(ns, dns.TypeA, depth+1)
		if err != nil {
			continue
		}
		for _, rr := range got.Answer {
			if a, ok := rr.(*dns.A); ok {
				if ip, ok := netip.AddrFromSlice(a.A.To4()); ok {
					addrs = append(addrs, ip)
				}
			}
		}
	}
	if len(dsSet) > 0 && !c.cd {
		keys, err := c.ask(addrs, zone, dns.TypeDNSKEY)
		if err != nil {
			return nil, err
		}
		if !matches(keys.Answer, dsSet) {
			return nil, fmt.Errorf("%s: %w", zone.Defanged(), errBogus)
		}
	}
	got, err := c.ask(addrs, n, qtype)
	if err != nil {
		return nil, err
	}
	if !got.Authoritative {
		return nil, fmt.Errorf("lame delegation of %s", zone.Defanged())
	}
	// Follow an alias out of what the server answered itself.
	if qtype != dns.TypeCNAME && len(got.Answer) > 0 {
		if cn, ok := got.Answer[len(got.Answer)-1].(*dns.CNAME); ok {
			if target, err := impound.ParseName(strings.TrimSuffix(cn.Target, ".")); err == nil {
				rest, err := c.resolve(target, qtype, depth+1)
				if err != nil {
					return nil, err
				}
				got.Rcode, got.Answer, got.Ns = rest.Rcode, append(got.Answer, rest.Answer...), rest.Ns
			}
		}
	}
	return got, nil
}

func matches(keys []dns.RR, dsSet []*dns.DS) bool {
	for _, rr := range keys {
		key, ok := rr.(*dns.DNSKEY)
		if !ok {
			continue
		}
		for _, ds := range dsSet {
			if made := key.ToDS(ds.DigestType); made != nil && made.KeyTag == ds.KeyTag && made.Algorithm == ds.Algorithm && strings.EqualFold(made.Digest, ds.Digest) {
				return true
			}
		}
	}
	return false
}

// ask asks the servers in turn, each where Routes says that it listens. An
// address that has no route is asked directly if it is loopback, and never
// otherwise.
func (c *chase) ask(addrs []netip.Addr, n impound.Name, qtype uint16) (*dns.Msg, error) {
	at := make([]netip.AddrPort, len(addrs))
	for i, a := range addrs {
		at[i] = netip.AddrPortFrom(a, 53)
	}
	return c.askAt(at, n, qtype)
}

func (c *chase) askAt(servers []netip.AddrPort, n impound.Name, qtype uint16) (*dns.Msg, error) {
	q := new(dns.Msg).SetQuestion(n.FQDN(), qtype)
	q.RecursionDesired = false
	q.SetEdns0(1232, true)
	last := errDead
	for _, to := range servers {
		if real, ok := c.routes[to]; ok {
			to = real
		}
		if !to.Addr().IsLoopback() {
			last = fmt.Errorf("%s is not on loopback and has no route", to)
			continue
		}
		for _, network := range []string{"udp", "tcp"} {
			cl := &dns.Client{Net: network, Timeout: askTimeout, UDPSize: 1232}
			got, _, err := cl.ExchangeContext(c.ctx, q, to.String())
			if err != nil {
				last = fmt.Errorf("%w: %w", errDead, err)
				break
			}
			if got.Truncated && network == "udp" {
				continue
			}
			if got.Rcode != dns.RcodeSuccess && got.Rcode != dns.RcodeNameError {
				last = fmt.Errorf("%s answers %s", to, dns.RcodeToString[got.Rcode])
				break
			}
			if !c.do {
				got.Answer = slices.DeleteFunc(got.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeRRSIG && qtype != dns.TypeRRSIG })
			}
			return got, nil
		}
	}
	return nil, last
}

func cutText(s string) string {
	if len(s) > 200 {
		return s[:200]
	}
	return s
}
