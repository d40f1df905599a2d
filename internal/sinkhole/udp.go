package sinkhole

import (
	"bytes"
	"context"
	"errors"
	"net"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/impound/impound"
)

// listenUDP binds a port on which nothing is served: who sent something is
// noted, with its length and what it looks like, and nothing is ever answered,
// since the source can be forged.
func (s *Sinkhole) listenUDP(addr string) (start func(), err error) {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	ip, err := netip.ParseAddr(host)
	wild := err != nil || ip.IsUnspecified()
	if wild {
		lc.Control = wantPktInfo
	}
	pc, err := lc.ListenPacket(context.Background(), "udp", addr)
	if err != nil {
		return nil, err
	}
	c := pc.(*net.UDPConn)
	s.addrs["udp"] = append(s.addrs["udp"], c.LocalAddr().String())
	var done chan struct{}
	s.stops = append(s.stops, func(context.Context) error {
		c.SetReadDeadline(time.Unix(1, 0)) // what was read is recorded
		if done != nil {
			<-done
		}
		return c.Close()
	})
	return func() {
		done = make(chan struct{})
		s.wg.Go(func() {
			defer close(done)
			s.serveUDP(c, wild)
		})
	}, nil
}

// udpFirst is how much of a datagram is looked at: its length is told by the
// kernel, whatever it is.
const udpFirst = 128

func (s *Sinkhole) serveUDP(c *net.UDPConn, wild bool) {
	local := addrPort(c.LocalAddr())
	over := newOverflow(s, local)
	defer over.flush()
	rc, err := c.SyscallConn()
	if err != nil {
		return
	}
	var first [udpFirst]byte
	var oob []byte
	if wild {
		oob = make([]byte, 128)
	}
	for {
		var n, oobn int
		var src unix.Sockaddr
		var rerr error
		err := rc.Read(func(fd uintptr) bool {
			// MSG_TRUNC gives the true length of what is cut.
			n, oobn, _, src, rerr = unix.Recvmsg(int(fd), first[:], oob, unix.MSG_TRUNC|unix.MSG_DONTWAIT)
			return !errors.Is(rerr, unix.EAGAIN) && !errors.Is(rerr, unix.EINTR)
		})
		if err != nil {
			return // the end
		}
		if rerr != nil {
			continue
		}
		var from netip.AddrPort
		switch a := src.(type) {
		case *unix.SockaddrInet4:
			from = netip.AddrPortFrom(netip.AddrFrom4(a.Addr), uint16(a.Port))
		case *unix.SockaddrInet6:
			from = netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), uint16(a.Port))
		}
		dst := local
		if wild {
			dst = dstOf(oob[:oobn], local)
		}
		now := s.cfg.Now()
		if s.catchAll.take(from.Addr(), now) > 0 {
			over.add(from.Addr(), dst, now)
			continue
		}
		ev := contact(impound.ProtoUDP, from, dst, now)
		part := first[:min(n, len(first))]
		ev.Len, ev.Guess, ev.Outcome = n, guessUDP(part, n), refused
		clear(part)
		s.record(&ev, about{})
	}
}

// overflow counts datagrams above a network's rate that are not recorded one by
// one: for each network and second one event tells how many they were (Len, where
// the order's level keeps it).
type overflow struct {
	s    *Sinkhole
	mu   sync.Mutex
	nets map[netip.Addr]*suppressed
	rest suppressed // of more networks than are kept apart
}

type suppressed struct {
	n   int
	dst netip.AddrPort
	at  time.Time // the first
}

const overflowNets = 4096 // kept apart at once

func newOverflow(s *Sinkhole, local netip.AddrPort) *overflow {
	return &overflow{s: s, nets: map[netip.Addr]*suppressed{}, rest: suppressed{dst: local}}
}

func (o *overflow) add(src netip.Addr, dst netip.AddrPort, now time.Time) {
	bits := 24
	if !src.Is4() {
		bits = 56
	}
	p, _ := src.Prefix(bits)
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.nets) == 0 && o.rest.n == 0 {
		time.AfterFunc(time.Second, o.flush)
	}
	x := o.nets[p.Addr()]
	if x == nil {
		if len(o.nets) >= overflowNets {
			x = &o.rest
		} else {
			x = &suppressed{dst: dst}
			o.nets[p.Addr()] = x
		}
	}
	if x.n++; x.n == 1 {
		x.at = now
	}
}

// flush records what was counted: a second after the first, and at the end.
func (o *overflow) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	tell := func(a netip.Addr, x *suppressed) {
		ev := contact(impound.ProtoUDP, netip.AddrPortFrom(a, 0), x.dst, x.at)
		ev.Outcome, ev.Len, ev.Guess = limited, x.n, "flood"
		o.s.record(&ev, about{})
	}
	for a, x := range o.nets {
		tell(a, x)
	}
	if o.rest.n > 0 {
		tell(netip.Addr{}, &o.rest)
	}
	clear(o.nets)
	o.rest.n = 0
}

// guessUDP names the protocol that a datagram of n octets looks like by its
// first ones, from a fixed list of words.
func guessUDP(b []byte, n int) string {
	has := func(p string) bool { return bytes.HasPrefix(b, []byte(p)) }
	switch {
	case n == 0:
		return "empty"
	case len(b) >= 20 && b[0]&0xc0 == 0 && bytes.Equal(b[4:8], []byte{0x21, 0x12, 0xa4, 0x42}):
		return "stun"
	case len(b) >= 13 && b[0] == 0x16 && b[1] == 0xfe:
		return "dtls"
	case n >= 1200 && b[0]&0xc0 == 0xc0:
		return "quic" // an Initial is padded to 1200, RFC 9000 14.1
	case n == 148 && len(b) >= 4 && bytes.Equal(b[:4], []byte{1, 0, 0, 0}):
		return "wireguard"
	case n >= 48 && n <= 68 && b[0]&7 == 3 && b[0]>>3&7 >= 1 && b[0]>>3&7 <= 4:
		return "ntp"
	case len(b) >= 6 && b[0] == 0x30 && b[1] < 0x80 && b[2] == 2 && b[3] == 1:
		return "snmp"
	case has("M-SEARCH "), has("NOTIFY * "):
		return "ssdp"
	case has("OPTIONS sip:"), has("REGISTER sip:"), has("INVITE sip:"):
		return "sip"
	case len(b) >= 17 && b[2]&0xf8 == 0 && b[4] == 0 && b[5] == 1 && b[6] == 0 && b[7] == 0:
		return "dns"
	case has("\x00\x00\x00\x00\x00\x00\x00\x00") && n >= 12:
		return "binary"
	}
	if g := guess(b); g == "text" || g == "binary" || g == "http" {
		return g
	}
	return "binary"
}

// maxPorts bounds the range of a listener for many ports.
const maxPorts = 1000

// parseRange splits tcp://ADDR:P1-P2 and udp://ADDR:P1-P2, which url.Parse does
// not take. ok is false for what is no range.
func parseRange(uri string) (scheme, addr string, ok bool, err error) {
	scheme, rest, _ := strings.Cut(uri, "://")
	i := strings.LastIndexByte(rest, ':')
	if scheme != "tcp" && scheme != "udp" || i < 0 {
		return "", "", false, nil
	}
	from, to, ok := strings.Cut(rest[i+1:], "-")
	if !ok {
		return "", "", false, nil
	}
	bad := func(what, cure string) (string, string, bool, error) {
		return "", "", true, impound.Errorf(impound.KindInvalid, "“%.80s” %s", uri, what).At("listeners").WithCure(cure)
	}
	p1, err1 := strconv.ParseUint(from, 10, 16)
	p2, err2 := strconv.ParseUint(to, 10, 16)
	if err1 != nil || err2 != nil || p1 == 0 || p2 < p1 {
		return bad("has no range of ports", "write the lower port first, such as "+scheme+"://192.0.2.1:8000-8099")
	}
	if p2-p1 >= maxPorts {
		return bad("has more than 1,000 ports", "write several listeners, or send the ports to one with the firewall")
	}
	// The address must be what it must be without a range.
	u, err := url.Parse(scheme + "://" + rest[:i] + ":" + from)
	if err != nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return bad("is no listener", "write "+scheme+"://ADDRESS:PORT-PORT")
	}
	return scheme, rest, true, nil
}

// listenPorts binds every port of addr, which may have a range of them.
func listenPorts(addr string, bind func(addr string) (func(), error)) (start func(), err error) {
	i := strings.LastIndexByte(addr, ':')
	from, to, ok := strings.Cut(addr[i+1:], "-")
	if !ok {
		return bind(addr)
	}
	p1, err1 := strconv.ParseUint(from, 10, 16)
	p2, err2 := strconv.ParseUint(to, 10, 16)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	var starts []func()
	for p := p1; p <= p2; p++ {
		start, err := bind(addr[:i+1] + strconv.FormatUint(p, 10))
		if err != nil {
			return nil, err // it says which; Start closes what is bound
		}
		starts = append(starts, start)
	}
	return func() {
		for _, start := range starts {
			start()
		}
	}, nil
}
