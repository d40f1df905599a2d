package sinkhole

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
)

// answerer makes the answer to one DNS message: a pure function of the message
// and what surrounds it. The plain one is built on a DNS library; a faster one
// must give the same answers.
type answerer interface {
	// answer adds the answer to out, which is empty, and fills in q. An empty
	// answer is not sent.
	answer(out, req []byte, env *dnsEnv, q *question) []byte
}

// dnsEnv is what surrounds a message.
type dnsEnv struct {
	policy *policy.Policy
	now    time.Time
	src    netip.Addr
	tcp    bool
	slip   bool // over the rate limit: answer TC only, but to those who show a valid cookie
}

// question is what an answerer found out.
type question struct {
	name    string // lower case, escaped as in RFC 1035 5.1, no final dot; "." for the root
	qtype   uint16
	rcode   uint8
	opcode  uint8
	proven  bool // a valid cookie: the source is not forged
	outcome string
	about   about
}

const (
	opQuery  = 0
	opNotify = 4
	opUpdate = 5

	rcodeFormErr = 1
	rcodeNotImp  = 4
	rcodeRefused = 5

	maxUDP   = 1232 // DNS flag day 2020: what passes without fragments
	dnsTTL   = 60   // seconds; less when the order ends sooner
	maxReply = 65535
)

// checkDNS says what is wrong with what the DNS is to tell.
func checkDNS(cfg *Config) error {
	if len(cfg.NSID) > 128 {
		return impound.Errorf(impound.KindInvalid, "%d octets are too many for the server's name", len(cfg.NSID)).At("nsid").WithCure("128 are enough")
	}
	for _, c := range []byte(cfg.CAIssuer) {
		if c < ' ' || c > '~' || c == '\\' || c == '"' {
			return impound.Errorf(impound.KindInvalid, "%q is no issuer of certificates", cfg.CAIssuer).At("ca_issuer").WithCure("write the name that the authority gives for CAA records, such as letsencrypt.org")
		}
	}
	if len(cfg.CAIssuer) > 255 {
		return impound.Errorf(impound.KindInvalid, "%d octets are too many for an issuer of certificates", len(cfg.CAIssuer)).At("ca_issuer")
	}
	return nil
}

// listenDNS binds UDP and TCP to the same port.
func (s *Sinkhole) listenDNS(addr string) (start func(), err error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	var udp *net.UDPConn
	var tcp net.Listener
	for try := 0; ; try++ {
		var lc net.ListenConfig
		if ip, err := netip.ParseAddr(host); err != nil || ip.IsUnspecified() {
			// Before it is bound: what came in earlier would not say where it went.
			lc.Control = wantPktInfo
		}
		pc, err := lc.ListenPacket(context.Background(), "udp", addr)
		if err != nil {
			return nil, err
		}
		udp = pc.(*net.UDPConn)
		tcp, err = net.Listen("tcp", net.JoinHostPort(host, portOf(udp.LocalAddr())))
		if err == nil {
			break
		}
		udp.Close()
		if port != "0" || try > 20 { // the port that the kernel chose is taken in TCP
			return nil, err
		}
	}
	udp.SetReadBuffer(4 << 20) // as far as the kernel lets
	t := s.newTracker(tcp)
	s.addrs["dns"] = append(s.addrs["dns"], tcp.Addr().String())
	var wait *kernelWait
	if !s.cfg.Plain {
		wait, _ = newKernelWait(udp) // or else Go's poller does
	}
	if wait != nil {
		// Out of Go's poller: it would wake an idle thread for each datagram that
		// comes and each that is gone, only to find that nobody waits there.
		udp.Close()
	}
	done := make(chan struct{})
	s.stops = append(s.stops, t.close, func(context.Context) error {
		// Unblock the readers; what was read is answered.
		udp.SetReadDeadline(time.Unix(1, 0))
		wait.end()
		if t.served != nil {
			<-done
		}
		if wait == nil {
			return udp.Close()
		}
		wait.close()
		return nil
	})
	return func() {
		t.served = make(chan struct{})
		s.wg.Go(func() { t.serve(s.serveDNSTCP) })
		s.wg.Go(func() {
			defer close(done)
			s.serveDNSUDP(udp, wait)
		})
	}, nil
}

func portOf(a net.Addr) string {
	_, port, _ := net.SplitHostPort(a.String())
	return port
}

func (s *Sinkhole) serveDNSUDP(c *net.UDPConn, wait *kernelWait) {
	local := addrPort(c.LocalAddr()) // which a closed one knows, too
	// On a wildcard address the answer must come from where the question went.
	wild := local.Addr().IsUnspecified()
	n := cores
	end := make(chan struct{}, n)
	for range n {
		go func() {
			defer func() { end <- struct{}{} }()
			if s.cfg.Plain {
				s.udpLoop(c, local, wild)
			} else if w := wait.loop(); w != nil || wait == nil {
				s.udpBatches(c, local, wild, w)
			} else { // no file descriptor is left
				s.cfg.Log.Error("sinkhole: couldn't start one of the loops for DNS over UDP", "address", local)
			}
		}()
	}
	for range n {
		<-end
	}
}

func (s *Sinkhole) udpLoop(c *net.UDPConn, local netip.AddrPort, wild bool) {
	req := make([]byte, 4096)
	out := make([]byte, 0, 4096)
	var oob []byte
	if wild {
		oob = make([]byte, 128)
	}
	var env dnsEnv
	var q question
	var ev impound.Event
	for {
		n, oobn, flags, src, err := c.ReadMsgUDPAddrPort(req, oob)
		if err != nil {
			var ne net.Error
			if errors.Is(err, net.ErrClosed) || errors.As(err, &ne) && ne.Timeout() {
				return
			}
			continue // an ICMP error of an earlier answer
		}
		if flags&unix.MSG_TRUNC != 0 {
			n = 0 // longer than any question is: it is malformed
		}
		from := netip.AddrPortFrom(src.Addr().Unmap().WithZone(""), src.Port())
		dst := local
		if wild {
			dst = dstOf(oob[:oobn], local)
		}
		out = s.answerUDP(out[:0], req[:n], from, dst, s.cfg.Now(), &env, &q, &ev)
		if len(out) == 0 {
			continue
		}
		c.WriteMsgUDPAddrPort(out, oob[:oobn], src)
	}
}

// answerUDP adds the answer to out and records the question. env, q and ev are
// room to work in.
func (s *Sinkhole) answerUDP(out, req []byte, from, dst netip.AddrPort, now time.Time, env *dnsEnv, q *question, ev *impound.Event) []byte {
	*env = dnsEnv{policy: s.policy.Load(), now: now, src: from.Addr()}
	over := s.rrl.take(from.Addr(), now)
	env.slip = over%2 == 1
	*q = question{}
	out = s.dns.answer(out, req, env, q)
	if over > 0 && !q.proven {
		q.outcome = limited
		if !env.slip {
			out = out[:0]
		}
	}
	s.dnsEvent(ev, impound.ProtoDNS, from, dst, now, q)
	return out
}

// dnsEvent records a question. It must come before the answer is sent.
func (s *Sinkhole) dnsEvent(ev *impound.Event, proto impound.Proto, src, dst netip.AddrPort, now time.Time, q *question) {
	*ev = contact(proto, src, dst, now)
	ev.Name, ev.QType, ev.RCode, ev.Opcode, ev.Outcome = q.name, q.qtype, q.rcode, q.opcode, q.outcome
	s.record(ev, q.about)
}

// wantPktInfo asks for the address that each packet was sent to. On a socket of
// the other family one of the options fails, which is fine.
func wantPktInfo(_, _ string, raw syscall.RawConn) error {
	return raw.Control(func(fd uintptr) {
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_PKTINFO, 1)
		unix.SetsockoptInt(int(fd), unix.IPPROTO_IPV6, unix.IPV6_RECVPKTINFO, 1)
	})
}

// dstOf finds in the control messages the address that a packet was sent to.
// The same messages, sent back, make the answer leave from it.
func dstOf(oob []byte, local netip.AddrPort) netip.AddrPort {
	msgs, err := unix.ParseSocketControlMessage(oob)
	if err != nil {
		return local
	}
	for _, m := range msgs {
		switch {
		case m.Header.Level == unix.IPPROTO_IP && m.Header.Type == unix.IP_PKTINFO && len(m.Data) >= 12:
			return netip.AddrPortFrom(netip.AddrFrom4([4]byte(m.Data[8:12])), local.Port())
		case m.Header.Level == unix.IPPROTO_IPV6 && m.Header.Type == unix.IPV6_PKTINFO && len(m.Data) >= 16:
			return netip.AddrPortFrom(netip.AddrFrom16([16]byte(m.Data[:16])).Unmap(), local.Port())
		}
	}
	return local
}

// replyLimit is how long an answer over UDP may be: 1.5 times the question,
// both with their IP and UDP heads, so that a forged source makes nobody a
// target worth the trouble. A source that showed a valid cookie is not forged.
func replyLimit(req int, src netip.Addr) int {
	heads := 28
	if !src.Is4() {
		heads = 48
	}
	return (req+heads)*3/2 - heads
}

// ttlOf is how long an answer may be cached: never beyond the order.
func ttlOf(m policy.Match, now time.Time) uint32 {
	left := m.Until().Sub(now) / time.Second
	return uint32(max(0, min(left, dnsTTL)))
}

// firstLabels gives the two labels that say whether a name has a meaning in mail.
func firstLabels(wire []byte) (first, second string) {
	if len(wire) == 0 || wire[0] == 0 {
		return "", ""
	}
	n := int(wire[0])
	first = string(wire[1 : 1+n])
	if rest := wire[1+n:]; len(rest) > 0 && rest[0] != 0 {
		second = string(rest[1 : 1+int(rest[0])])
	}
	return first, second
}

func txtNotice(contact string) string {
	t := "This name was seized and is a sinkhole: it belongs to its former users no more."
	if contact != "" {
		t += " Contact: " + strings.ToValidUTF8(contact, "?")
	}
	if len(t) > 255 {
		t = t[:255]
	}
	return t
}
