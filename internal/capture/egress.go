package capture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/observe/wayout"
)

// maxAddrs bounds how many of a host's addresses are tried.
const maxAddrs = 4

// errInside says that a connection would have gone into our own network.
var errInside = errors.New("its address is a loopback, private or otherwise special one: refused")

// egress is the one way by which this package opens connections. It resolves
// through the observer's resolvers, and lets nothing through to an address that
// isn't public: judged when the name was resolved, and once more by the kernel's
// own view of the address at connect, so that a name which resolves otherwise
// the second time gains nothing.
type egress struct {
	obs      *observe.Observer
	via      *url.URL // nil: directly
	from     netip.Addr
	loopback bool // tests and practice
	timeout  time.Duration
}

// local is the address that connections leave from, nil where the system chooses.
func (g *egress) local() net.Addr {
	if !g.from.IsValid() {
		return nil
	}
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(g.from, 0))
}

func (g *egress) allowed(a netip.Addr) bool {
	a = a.Unmap()
	return observe.Public(a) || g.loopback && a.IsLoopback()
}

// dial connects to host:port and says which address the host had.
func (g *egress) dial(ctx context.Context, host string, port uint16) (net.Conn, netip.AddrPort, error) {
	ctx, cancel := context.WithTimeout(ctx, g.timeout)
	defer cancel()
	p := strconv.Itoa(int(port))
	if to, ok := g.obs.Route(net.JoinHostPort(host, p)); ok {
		c, err := g.connect(ctx, addrPort(to), true)
		return c, addrPort(to), err
	}
	addrs := g.obs.Lookup(ctx, host)
	if len(addrs) == 0 {
		return nil, netip.AddrPort{}, fmt.Errorf("%s has no address", defang(host))
	}
	var err error
	for _, a := range addrs[:min(len(addrs), maxAddrs)] {
		ap := netip.AddrPortFrom(a.Unmap(), port)
		if to, ok := g.obs.Route(ap.String()); ok {
			c, err := g.connect(ctx, addrPort(to), true)
			return c, ap, err
		}
		if !g.allowed(a) {
			err = errInside
			continue
		}
		var c net.Conn
		if c, err = g.connect(ctx, ap, false); err == nil {
			return c, ap, nil
		}
		if ctx.Err() != nil {
			break
		}
	}
	return nil, netip.AddrPort{}, err
}

// connect opens a connection to ap, through the egress proxy if there is one.
// A route is our own configuration: it is followed directly, and may be local.
func (g *egress) connect(ctx context.Context, ap netip.AddrPort, route bool) (net.Conn, error) {
	if g.via == nil || route {
		d := net.Dialer{Timeout: g.timeout, LocalAddr: g.local(), ControlContext: func(_ context.Context, _, address string, _ syscall.RawConn) error {
			got, err := netip.ParseAddrPort(address)
			if err != nil {
				return err
			}
			if route && got == ap || g.allowed(got.Addr()) {
				return nil
			}
			return errInside
		}}
		return d.DialContext(ctx, "tcp", ap.String())
	}
	return wayout.Dial(ctx, g.via, g.from, g.timeout, ap)
}

// CheckProxy says whether s is an egress proxy's address that [Config] takes.
func CheckProxy(s, where string) error {
	_, err := wayout.Parse(s, where)
	return err
}

// webPorts below 1024 are those that a redirect may lead to; others belong to
// services that would take a GET for an attack by us. Above, the ports of
// well-known services are left alone for the same reason.
func webPort(p uint16) bool {
	if p < 1024 {
		return p == 80 || p == 443 || p == 81 || p == 591
	}
	return !slices.Contains([]uint16{1433, 1521, 1723, 2049, 2181, 2375, 2376, 3306, 3389, 3659, 4045, 5060, 5061, 5432, 5900, 6000, 6379, 6665, 6666, 6667, 6668, 6669, 6697, 9200, 10080, 11211, 27017}, p)
}

// pace spaces the requests to one host.
type pace struct {
	every time.Duration
	mu    sync.Mutex
	next  map[string]time.Time
}

// wait blocks until host may be asked again.
func (p *pace) wait(ctx context.Context, host string) error {
	if p.every <= 0 {
		return ctx.Err()
	}
	p.mu.Lock()
	now := time.Now() // spacing is real time, whatever the case's clock says
	if p.next == nil || len(p.next) > 10_000 {
		p.next = map[string]time.Time{}
	}
	at := p.next[host]
	if at.Before(now) {
		at = now
	}
	p.next[host] = at.Add(p.every)
	p.mu.Unlock()
	t := time.NewTimer(time.Until(at))
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

func defang(s string) string { return strings.ReplaceAll(inert(s, 255), ".", "[.]") }
