package sinkhole

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"sync"

	"golang.org/x/sys/unix"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/xdp"
)

// xdpScheme is the listener dns+xdp://INTERFACE[:PORT], port 53 without one.
const xdpScheme = "dns+xdp"

// listenDNSXDP listens as dns:// does on every address of the interface, and
// takes the usual questions over UDP past those sockets through AF_XDP. TCP,
// fragments, and whatever else the program lets pass come through the sockets,
// and so does everything when AF_XDP can't be had: one line in the log says why.
//
// The addresses are those that the interface has now. Link-local ones are left
// out: strangers can't reach them. The host's packet filter does not see what
// AF_XDP takes.
func (s *Sinkhole) listenDNSXDP(addr string) (start func(), err error) {
	name, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "%q is no port that AF_XDP can take", port).At(xdpScheme + "://" + addr).WithCure("write a number from 1 to 65535, or none for 53")
	}
	ifi, err := net.InterfaceByName(name)
	if err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't find interface %q: %w", name, err).At(xdpScheme + "://" + addr).WithCure("see ip link; for an address instead of an interface write dns://" + addr)
	}
	addrs, err := globalAddrs(ifi)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, impound.Errorf(impound.KindUnavailable, "interface %s has no address", name).At(xdpScheme + "://" + addr).WithCure("give it one with ip address add, and start after the network is up")
	}
	var starts []func()
	for _, a := range addrs {
		start, err := s.listenDNS(net.JoinHostPort(a.String(), port))
		if err != nil {
			return nil, err // Start ends those that were bound
		}
		starts = append(starts, start)
	}
	sockets := func() {
		for _, start := range starts {
			start()
		}
	}
	dev, err := xdp.Open(xdp.Config{Interface: ifi, Addrs: addrs, Port: uint16(n)})
	if err != nil {
		s.cfg.Log.Warn("sinkhole: AF_XDP can't be had; ordinary sockets answer instead, slower but alike",
			"listener", xdpScheme+"://"+addr, "err", err, "cure", xdpCure(err))
		return sockets, nil
	}
	s.addrs[xdpScheme] = append(s.addrs[xdpScheme], addr)
	var serving sync.WaitGroup
	s.stops = append(s.stops, func(context.Context) error {
		err := dev.Detach() // the sockets have the rest
		for _, q := range dev.Queues() {
			q.Stop()
		}
		serving.Wait()
		var lost xdp.Stats
		for _, q := range dev.Queues() {
			st := q.Stats()
			lost.Dropped += st.Dropped
			lost.Invalid += st.Invalid
		}
		if lost != (xdp.Stats{}) {
			s.cfg.Log.Warn("sinkhole: AF_XDP dropped questions unread", "listener", xdpScheme+"://"+addr, "too many at once", lost.Dropped, "invalid", lost.Invalid)
		}
		return errors.Join(err, dev.Close())
	})
	return func() {
		s.cfg.Log.Info("sinkhole: DNS over AF_XDP", "listener", xdpScheme+"://"+addr, "mode", dev.Mode(), "queues", len(dev.Queues()), "addresses", len(addrs))
		sockets()
		for _, q := range dev.Queues() {
			serving.Add(1)
			s.wg.Go(func() {
				defer serving.Done()
				h := newFrameHandler(s)
				if err := q.Serve(h.handle); err != nil {
					s.cfg.Log.Error("sinkhole: AF_XDP ended; ordinary sockets answer where they can", "listener", xdpScheme+"://"+addr, "queue", q.ID(), "err", err)
				}
			})
		}
	}, nil
}

// globalAddrs gives the addresses of an interface that others can reach.
func globalAddrs(ifi *net.Interface) ([]netip.Addr, error) {
	list, err := ifi.Addrs()
	if err != nil {
		return nil, err
	}
	var out []netip.Addr
	for _, a := range list {
		p, err := netip.ParsePrefix(a.String())
		if err != nil || p.Addr().IsLinkLocalUnicast() {
			continue
		}
		out = append(out, p.Addr().Unmap())
	}
	return out, nil
}

// frameHandler answers batches of frames.
type frameHandler struct {
	u      *udpAnswerer
	p      [xdp.Batch]xdp.Packet
	d      [xdp.Batch]datagram
	frames [xdp.Batch]*xdp.Frame // of each in d
}

func newFrameHandler(s *Sinkhole) *frameHandler { return &frameHandler{u: s.newUDPAnswerer()} }

func (h *frameHandler) handle(frames []xdp.Frame) {
	n := 0
	for i := range frames {
		f, p := &frames[i], &h.p[n]
		f.Len = 0
		if !xdp.Parse(f.In, p) {
			h.u.s.n.badFrames.Add(1)
			continue
		}
		room := p.HeadRoom()
		h.d[n] = datagram{src: p.Src, dst: p.Dst, req: p.Payload, out: f.Out[room:room:len(f.Out)]}
		h.frames[n] = f
		n++
	}
	if n == 0 {
		return
	}
	h.u.answer(h.d[:n], h.u.s.cfg.Now())
	for i := range n {
		f, p, ans := h.frames[i], &h.p[i], h.d[i].out
		if len(ans) == 0 || p.Src.Port() == 0 { // nobody can get it
			continue
		}
		if &ans[0] != &f.Out[p.HeadRoom()] {
			continue // it outgrew the frame; can't be, at 1,232 octets
		}
		f.Len = p.Reply(f.Out, len(ans))
	}
}

// xdpCure says what to do about an error of xdp.Open.
func xdpCure(err error) string {
	is := func(es ...unix.Errno) bool {
		for _, e := range es {
			if errors.Is(err, e) {
				return true
			}
		}
		return false
	}
	switch {
	case is(unix.EPERM, unix.EACCES):
		return "give the process CAP_NET_RAW, CAP_NET_ADMIN, CAP_BPF and CAP_IPC_LOCK (in systemd: AmbientCapabilities), or write dns:// if sockets will do"
	case is(unix.EBUSY, unix.EEXIST):
		return "another XDP program or AF_XDP socket has the interface (see ip link show): end it, or write dns:// if sockets will do"
	case is(unix.ENOBUFS, unix.ENOMEM):
		return "the process may not lock enough memory: give it CAP_IPC_LOCK, or raise ulimit -l by 8 MiB for each receive queue"
	case is(unix.EAFNOSUPPORT, unix.ENOSYS, unix.EPROTONOSUPPORT):
		return "the kernel has no AF_XDP (CONFIG_XDP_SOCKETS, Linux 5.9 or newer): write dns:// instead"
	case is(unix.ENETDOWN):
		return "bring the interface up first (ip link set INTERFACE up)"
	default:
		return "write dns:// with the address if sockets will do"
	}
}
