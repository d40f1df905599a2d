package main

import (
	"bufio"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// other runs the modes that are no DNS questions.
func other(mode, addr, names string, n, conns int, secure bool, length time.Duration) error {
	to, err := netip.ParseAddrPort(addr)
	if err != nil {
		return fmt.Errorf("couldn't read the address: %w", err)
	}
	if ip := to.Addr(); !ip.IsLoopback() && !ip.IsPrivate() {
		return fmt.Errorf("%s is no loopback or private address, and this tool floods", ip)
	}
	list := []string{"outlook-verify.net"}
	if names != "" {
		b, err := os.ReadFile(names)
		if err != nil {
			return fmt.Errorf("couldn't read the names: %w", err)
		}
		if list = strings.Fields(string(b)); len(list) == 0 {
			return errors.New("no names")
		}
	}
	switch mode {
	case "tls":
		return handshakes(addr, list, conns, length)
	case "idle":
		return idle(addr, list, n, secure)
	case "echo":
		return echo(to)
	}
	return fmt.Errorf("no mode %q: dns, tls, idle or echo", mode)
}

// clientTLS fixes what costs time in a handshake, so that servers are compared
// in the same one: TLS 1.3, X25519, no resumption.
func clientTLS(name string) *tls.Config {
	return &tls.Config{ServerName: name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519}, SessionTicketsDisabled: true, NextProtos: []string{"http/1.1"}}
}

// handshakes makes full handshakes, each for the next name, and prints how many.
func handshakes(addr string, names []string, conns int, length time.Duration) error {
	end := time.Now().Add(length)
	var done, failed atomic.Uint64
	var next atomic.Uint64
	var wg sync.WaitGroup
	var last atomic.Value
	for range conns {
		wg.Go(func() {
			for time.Now().Before(end) {
				c, err := net.DialTimeout("tcp", addr, 5*time.Second)
				if err != nil {
					failed.Add(1)
					last.Store(err.Error())
					time.Sleep(time.Millisecond)
					continue
				}
				t := tls.Client(c, clientTLS(names[next.Add(1)%uint64(len(names))]))
				if err := t.Handshake(); err != nil {
					failed.Add(1)
					last.Store(err.Error())
				} else {
					done.Add(1)
				}
				t.Close()
			}
		})
	}
	wg.Wait()
	why, _ := last.Load().(string)
	fmt.Printf("{\"answered\":%d,\"lost\":%d,\"why\":%q}\n", done.Load(), failed.Load(), why)
	return nil
}

// idle opens connections, has one answer over each, says "ready", and holds
// them until it is told to end.
func idle(addr string, names []string, n int, secure bool) error {
	sig := make(chan os.Signal, 1)
	signal.Notify(sig, os.Interrupt, syscall.SIGTERM)
	conns := make([]net.Conn, n)
	errs := make([]error, 16)
	var wg sync.WaitGroup
	for w := range errs {
		wg.Go(func() {
			for i := w; i < n && errs[w] == nil; i += len(errs) {
				conns[i], errs[w] = idleConn(addr, names[i%len(names)], secure)
			}
		})
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		return err
	}
	fmt.Println("ready")
	<-sig
	return nil
}

func idleConn(addr, name string, secure bool) (net.Conn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	if secure {
		c = tls.Client(c, clientTLS(name))
	}
	if _, err := fmt.Fprintf(c, "HEAD / HTTP/1.1\r\nHost: %s\r\n\r\n", name); err != nil {
		return nil, err
	}
	r := bufio.NewReaderSize(c, 2048)
	for {
		l, err := r.ReadString('\n')
		if err != nil {
			return nil, fmt.Errorf("couldn't read the answer: %w", err)
		}
		if l == "\r\n" {
			return c, nil
		}
	}
}

// echo sends every datagram back to where it came from, with the bit that makes
// an answer of it: the limit of what a server over sockets can do.
func echo(at netip.AddrPort) error {
	c, err := net.ListenUDP("udp4", net.UDPAddrFromAddrPort(at))
	if err != nil {
		return err
	}
	f, err := c.File()
	if err != nil {
		return err
	}
	fd := f.Fd()
	if err := unix.SetNonblock(int(fd), false); err != nil {
		return err
	}
	unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUF, 4<<20)
	var m [batch]mmsghdr
	var v [batch]unix.Iovec
	var names [batch]unix.RawSockaddrInet4
	var bufs [batch][1500]byte
	for i := range batch {
		v[i].Base = &bufs[i][0]
		m[i].hdr.Iov, m[i].hdr.Name = &v[i], (*byte)(unsafe.Pointer(&names[i]))
		m[i].hdr.SetIovlen(1)
	}
	for {
		for i := range batch {
			v[i].SetLen(1500)
			m[i].hdr.Namelen = unix.SizeofSockaddrInet4
		}
		got, _, e := unix.Syscall6(unix.SYS_RECVMMSG, fd, uintptr(unsafe.Pointer(&m[0])), batch, unix.MSG_WAITFORONE, 0, 0)
		if e == unix.EINTR || e == unix.ECONNREFUSED {
			continue
		}
		if e != 0 {
			return e
		}
		for i := range int(got) {
			bufs[i][2] |= 0x80
			v[i].SetLen(int(m[i].n))
		}
		for at := 0; at < int(got); {
			n, _, e := unix.Syscall6(unix.SYS_SENDMMSG, fd, uintptr(unsafe.Pointer(&m[at])), got-uintptr(at), 0, 0, 0)
			if e != 0 {
				n = 1
			}
			at += int(n)
		}
	}
}

// paced asks at a fixed rate, whether answers come or not, and measures their
// times from when each question should have left.
func (h *hammer) paced(to netip.AddrPort, end time.Time, out *report) error {
	c, err := net.DialUDP("udp4", nil, net.UDPAddrFromAddrPort(to))
	if err != nil {
		return err
	}
	defer c.Close()
	c.SetReadBuffer(4 << 20)
	var sent [1 << 16]atomic.Int64
	begin := time.Now()
	var took []int64
	stopped := make(chan struct{})
	go func() {
		defer close(stopped)
		buf := make([]byte, 1500)
		for {
			n, err := c.Read(buf)
			if err != nil {
				if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrDeadlineExceeded) {
					return
				}
				continue
			}
			if n < 12 {
				continue
			}
			if t := sent[binary.BigEndian.Uint16(buf)].Swap(0); t != 0 {
				took = append(took, int64(time.Since(begin))-t)
				out.Answered++
				if buf[3]&15 == 0 {
					out.NoError++
				}
			}
		}
	}()
	gap := time.Second / time.Duration(h.rate)
	buf := make([]byte, 512)
	for n := 0; ; n++ {
		due := time.Duration(n) * gap
		for time.Since(begin) < due {
			if rest := due - time.Since(begin); rest > 200*time.Microsecond {
				time.Sleep(rest / 2)
			} else {
				runtime.Gosched() // the one who reads may share our core
			}
		}
		if begin.Add(due).After(end) {
			break
		}
		p := h.packets[n&(len(h.packets)-1)]
		id := uint16(n)
		copy(buf, p)
		binary.BigEndian.PutUint16(buf, id)
		sent[id].Store(int64(due) + 1)
		c.Write(buf[:len(p)])
		out.Sent++
	}
	time.Sleep(200 * time.Millisecond)
	c.SetReadDeadline(time.Now())
	<-stopped
	out.Lost = out.Sent - out.Answered
	if len(took) > 0 {
		slices.Sort(took)
		out.P50, out.P99 = float64(took[len(took)/2])/1e3, float64(took[len(took)*99/100])/1e3
	}
	return nil
}
