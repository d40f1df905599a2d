package sinkhole

import (
	"encoding/binary"
	"net"
	"net/netip"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	batchSize = 64
	udpBuf    = 2048
	ctlBuf    = 128 // a socket for both families gives IP_PKTINFO and IPV6_PKTINFO: 72
)

// mmsghdr is struct mmsghdr of recvmmsg(2).
type mmsghdr struct {
	hdr unix.Msghdr
	n   uint32
	_   [4]byte
}

// batch is room for a batch of datagrams in, and of their answers out. Nothing
// in it is allocated anew.
type batch struct {
	in, out [batchSize]mmsghdr
	iin     [batchSize]unix.Iovec
	iout    [batchSize]unix.Iovec
	names   [batchSize]unix.RawSockaddrInet6
	ctl     [batchSize][ctlBuf]byte
	// An odd number of cache lines apart, so that they don't all want the same
	// places in the cache.
	req, ans [batchSize][udpBuf + 64]byte
	work     [batchSize]datagram
}

// udpBatches is udpLoop with many datagrams to a system call: every question of
// a batch is recorded before the first of its answers leaves.
func (s *Sinkhole) udpBatches(c *net.UDPConn, local netip.AddrPort, wild bool, wait *waiter) {
	var take, give func(func(fd uintptr) bool) error
	if wait != nil {
		defer wait.close()
		take, give = wait.read, wait.write
	} else {
		rc, err := c.SyscallConn()
		if err != nil {
			s.udpLoop(c, local, wild)
			return
		}
		take, give = rc.Read, rc.Write
	}
	b := &batch{}
	for i := range b.in {
		b.iin[i].Base = &b.req[i][0]
		b.iin[i].SetLen(udpBuf)
		h := &b.in[i].hdr
		h.Name = (*byte)(unsafe.Pointer(&b.names[i]))
		h.Iov = &b.iin[i]
		h.SetIovlen(1)
		b.iout[i].Base = &b.ans[i][0]
	}
	u := s.newUDPAnswerer()
	var got int
	var errno unix.Errno
	// The system calls are raw ones, which never wait: told of a system call, the
	// runtime would hand our processor to another thread after 20 us, and take
	// some ten context switches for each batch.
	receive := func(fd uintptr) bool {
		for i := range b.in { // the kernel overwrote these
			h := &b.in[i].hdr
			h.Namelen = unix.SizeofSockaddrInet6
			h.Flags = 0
			if wild {
				h.Control = &b.ctl[i][0]
				h.SetControllen(ctlBuf)
			}
		}
		for {
			n, _, e := unix.RawSyscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&b.in[0])), batchSize, unix.MSG_DONTWAIT, 0, 0)
			if e == unix.EINTR {
				continue
			}
			got, errno = int(n), e
			return e != unix.EAGAIN
		}
	}
	var first, count int
	send := func(fd uintptr) bool {
		for first < count {
			n, _, e := unix.RawSyscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&b.out[first])), uintptr(count-first), unix.MSG_DONTWAIT, 0, 0)
			switch e {
			case 0:
				first += int(n)
			case unix.EINTR:
			case unix.EAGAIN:
				return false
			default: // this one can't be sent; the others can
				first++
			}
		}
		return true
	}
	for {
		if err := take(receive); err != nil {
			return // closed, or told to end
		}
		if errno != 0 {
			continue // an ICMP error of an earlier answer
		}
		for i := range got {
			m := &b.in[i]
			n := int(m.n)
			if m.hdr.Flags&unix.MSG_TRUNC != 0 {
				n = 0 // longer than any question is: it is malformed
			}
			d := &b.work[i]
			d.src, d.dst = sockAddr(&b.names[i]), local
			if wild {
				d.dst = dstOf(b.ctl[i][:min(ctlBuf, int(m.hdr.Controllen))], local)
			}
			d.req, d.out = b.req[i][:n], b.ans[i][:0]
		}
		u.answer(b.work[:got], s.cfg.Now())
		first, count = 0, 0
		for i := range got {
			out := b.work[i].out
			if len(out) == 0 {
				continue
			}
			if &out[0] != &b.ans[i][0] { // it outgrew the room; can't be, at 1,232 octets
				out = b.ans[i][:copy(b.ans[i][:], out)]
			}
			b.iout[i].SetLen(len(out))
			m, o := &b.in[i], &b.out[count]
			o.hdr = m.hdr
			o.hdr.Flags = 0
			o.hdr.Iov = &b.iout[i]
			if !wild {
				o.hdr.Control = nil
				o.hdr.SetControllen(0)
			}
			count++
		}
		if count == 0 {
			continue
		}
		if err := give(send); err != nil {
			return
		}
	}
}

// write calls f as RawConn.Write does.
func (p *waiter) write(f func(fd uintptr) bool) error {
	for !f(uintptr(p.w.fd)) {
		// The answers of others fill the buffer: it drains by itself.
		fds := []unix.PollFd{{Fd: int32(p.w.fd), Events: unix.POLLOUT}}
		if _, err := unix.Poll(fds, 1000); err != nil && err != unix.EINTR {
			return err
		}
	}
	return nil
}

// sockAddr reads an IPv4 or IPv6 socket address.
func sockAddr(sa *unix.RawSockaddrInet6) netip.AddrPort {
	port := binary.BigEndian.Uint16((*[2]byte)(unsafe.Pointer(&sa.Port))[:])
	if sa.Family == unix.AF_INET {
		v4 := (*unix.RawSockaddrInet4)(unsafe.Pointer(sa))
		return netip.AddrPortFrom(netip.AddrFrom4(v4.Addr), port)
	}
	return netip.AddrPortFrom(netip.AddrFrom16(sa.Addr).Unmap(), port)
}
