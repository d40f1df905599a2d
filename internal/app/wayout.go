package app

import (
	"net/netip"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
)

// The way out: what looks at names leaves through the proxy that capture names.

// dnsDirect is what capture.dns says where DNS and RDAP don't take the proxy.
const dnsDirect = "direct"

// proxiesDNS says whether DNS and RDAP take the proxy.
func (c CaptureConfig) proxiesDNS() bool { return c.Proxy != "" && c.DNS != dnsDirect }

// proxyResolvers gives the resolvers that are asked through the proxy.
func (c *Config) proxyResolvers() []string {
	if len(c.Capture.Resolvers) > 0 {
		return c.Capture.Resolvers
	}
	var out []string
	for _, r := range c.Resolvers {
		a, err := netip.ParseAddr(strings.Trim(r, "[]"))
		if ap, e := netip.ParseAddrPort(r); e == nil {
			a, err = ap.Addr(), nil
		}
		if _, routed := c.Routes[r]; routed || err == nil && observe.Public(a) {
			out = append(out, r)
		}
	}
	return out
}

// outside makes what looks at names by the way out; direct is what does so from
// here, as with says.
func (c *Config) outside(direct *observe.Observer, with observe.Config) (*observe.Observer, error) {
	if c.Capture.Proxy == "" {
		return direct, nil
	}
	with.Proxy, with.DirectDNS = c.Capture.Proxy, !c.Capture.proxiesDNS()
	if c.Capture.proxiesDNS() {
		with.Resolvers = c.proxyResolvers()
	}
	return observe.New(with)
}

// checkWayOut finds what is wrong with how DNS takes the proxy.
func (c *Config) checkWayOut() impound.Problems {
	var ps impound.Problems
	bad := func(where, cure, format string, args ...any) {
		ps = append(ps, impound.Errorf(impound.KindInvalid, format, args...).At(where).WithCure(cure))
	}
	k := c.Capture
	switch {
	case k.DNS != "" && k.DNS != dnsDirect && k.DNS != "proxy":
		bad("capture.dns", "write proxy or direct", "%q is no way for DNS", k.DNS)
	case k.Proxy == "" && (k.DNS == "proxy" || len(k.Resolvers) > 0):
		bad("capture.proxy", "name the proxy, or leave capture.dns and capture.resolvers out", "DNS is to take a proxy, and none is named")
	case k.DNS == dnsDirect && len(k.Resolvers) > 0:
		bad("capture.resolvers", "leave them out, or write dns: proxy", "they are asked through the proxy, and capture.dns is direct")
	case k.proxiesDNS() && len(c.Resolvers) > 0 && len(c.proxyResolvers()) == 0:
		bad("capture.resolvers", "name one that it reaches, which answers over TCP (capture: {resolvers: [9.9.9.9]}), or write capture: {dns: direct} and be seen by the name's servers",
			"DNS takes the proxy, and no resolver is named that it could reach: %s is of this network", c.Resolvers[0])
	}
	for _, r := range k.Resolvers {
		if _, err := observe.New(observe.Config{Resolvers: []string{r}}); err != nil {
			bad("capture.resolvers", "write it as 192.0.2.1 or 192.0.2.1:53", "%q is no address of a resolver", r)
		}
	}
	return ps
}

// way names how a look at names leaves, for the evidence log.
func (c CaptureConfig) way(web bool) string {
	switch {
	case c.proxiesDNS():
		return "proxy"
	case c.Proxy != "" && web:
		return "proxy; DNS direct" // see EgressNote
	}
	return "direct"
}

// EgressNote says what does not leave through the proxy that capture names; ""
// where nothing is told apart.
func (c Config) EgressNote() string {
	if c.Capture.Proxy == "" {
		return ""
	}
	from := "this machine's own address"
	if a := c.Capture.SourceAddress; a != "" {
		from = a + " (capture.source_address)"
	}
	if c.Capture.proxiesDNS() {
		return "looks at names leave through capture.proxy, DNS (over TCP) and RDAP with them; gates, plans and the checks of orders ask registries from " + from
	}
	return "DNS and RDAP look-ups do not take capture.proxy (capture.dns: direct): they leave from " + from + ", and a resolver's questions reach the name's own servers"
}
