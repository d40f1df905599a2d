package sinkhole

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// TLS for the fast web listener. The handshake is made in a goroutine of its
// own; then HTTP/1.x runs in the loop: crypto/tls reads what is there, and is
// told to come again when that is no whole record. So an idle connection costs
// no goroutine. HTTP/2 is given to net/http.

// tlsSide is what a listener needs for it.
type tlsSide struct {
	conf *tls.Config
	h2   *http.Server
	ln   *handedListener
}

func newTLSSide(w *webServer) *tlsSide {
	t := &tlsSide{conf: w.s.tlsConfig(), h2: w.s.httpServer(true), ln: &handedListener{ch: make(chan net.Conn), over: make(chan struct{}), addr: net.TCPAddrFromAddrPort(w.dst)}}
	t.conf.DynamicRecordSizingDisabled = true // the whole answer leaves at once
	return t
}

func (t *tlsSide) start() { go t.h2.Serve(t.ln) }

func (t *tlsSide) close(ctx context.Context) {
	t.h2.Shutdown(ctx)
	t.h2.Close()
}

// handedListener gives net/http the connections that it is handed.
type handedListener struct {
	ch   chan net.Conn
	once sync.Once
	over chan struct{}
	addr net.Addr
}

func (h *handedListener) Accept() (net.Conn, error) {
	select {
	case c := <-h.ch:
		return c, nil
	case <-h.over:
		return nil, net.ErrClosed
	}
}

func (h *handedListener) Close() error   { h.once.Do(func() { close(h.over) }); return nil }
func (h *handedListener) Addr() net.Addr { return h.addr }

// secureConn is the socket under a tls.Conn. It has three lives: while the
// handshake is made its Read waits; in the loop it never waits; and when it was
// given away it is net's.
type secureConn struct {
	c     *sock
	fd    int32
	web   *webConn
	tls   *tls.Conn
	wake  chan struct{}
	late  atomic.Bool
	loop  bool
	given net.Conn
	local net.Addr
	from  net.Addr
}

// again is what crypto/tls takes for a reason to come back later.
type again struct{}

func (again) Error() string   { return "no whole record yet" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

func (l *webLoop) shake(c *sock) {
	sc := &secureConn{c: c, fd: c.fd, wake: make(chan struct{}, 1), local: net.TCPAddrFromAddrPort(c.dst), from: net.TCPAddrFromAddrPort(c.src)}
	s := l.w.s
	wc := &webConn{s: s, proto: l.w.proto}
	wc.Conn = newHelloConn(sc, func(f helloFacts, ok bool) {
		wc.helloFacts = f
		wc.recorded.Store(true)
		s.recordHello(sc, f, ok)
	})
	sc.web, sc.tls = wc, tls.Server(wc, l.w.tls.conf)
	c.secure, c.state = sc, stShake
	l.shaky++
	if !c.polled {
		l.watch(c)
	}
	go func() {
		err := sc.tls.Handshake()
		l.post(func() { l.shaken(sc, err) })
	}()
}

// shaken goes on after a handshake.
func (l *webLoop) shaken(sc *secureConn, err error) {
	l.shaky--
	c := sc.c
	sc.loop, sc.wake = true, nil
	switch {
	case err != nil && sc.late.Load():
		l.drop(c)
	case err != nil: // what was said of it must arrive
		if rh := (tls.RecordHeaderError{}); errors.As(err, &rh) && httpHead(rh.RecordHeader[:]) {
			rawWrite(c.fd, []byte("HTTP/1.0 400 Bad Request\r\nConnection: close\r\n\r\n400: this port speaks TLS.\n"))
		}
		unix.Shutdown(int(c.fd), unix.SHUT_WR)
		c.state = stLinger
		l.clock(c, listLinger)
		l.discard(c)
	case sc.tls.ConnectionState().NegotiatedProtocol == "h2":
		l.give(sc)
	default:
		c.state, c.drained = stRead, false
		l.clock(c, listHead)
		l.read(c)
	}
}

// httpHead says whether b begins a request in clear.
func httpHead(b []byte) bool {
	switch string(b) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO":
		return true
	}
	return false
}

// give hands a connection to net/http.
func (l *webLoop) give(sc *secureConn) {
	c := sc.c
	f := os.NewFile(uintptr(c.fd), "")
	nc, err := net.FileConn(f) // a copy, which our epoll doesn't know
	l.control(unix.EPOLL_CTL_DEL, int(c.fd), 0, 0)
	src := c.src.Addr()
	c.state = stGone
	l.forget(c)
	f.Close()
	w := l.w
	back := func() { w.room.give(); w.s.conns.give(src) }
	if err != nil {
		back()
		return
	}
	h := &handedConn{Conn: nc, w: w, back: back}
	h.aged.cut = func() { h.Close() }
	sc.given = h
	if !w.handed.add(&h.aged) {
		h.Close()
		return
	}
	go func() {
		select {
		case w.tls.ln.ch <- sc.tls:
		case <-w.tls.ln.over:
			sc.given.Close()
		}
	}()
}

type handedConn struct {
	aged
	net.Conn
	w    *webServer
	once sync.Once
	back func()
}

func (h *handedConn) Close() error {
	err := h.Conn.Close()
	h.once.Do(func() {
		h.w.handed.remove(&h.aged)
		h.back()
	})
	return err
}

func (h *handedConn) Read(b []byte) (int, error) {
	n, err := h.Conn.Read(b)
	if n > 0 {
		h.w.handed.heard(&h.aged)
	}
	return n, err
}

func (h *handedConn) CloseWrite() error { return h.Conn.(*net.TCPConn).CloseWrite() }

func (sc *secureConn) poke() {
	select {
	case sc.wake <- struct{}{}:
	default:
	}
}

// expire ends a handshake.
func (sc *secureConn) expire() {
	sc.late.Store(true)
	sc.poke()
}

// read gives what the client said, within the loop.
func (sc *secureConn) read(b []byte) (int, unix.Errno) {
	l := sc.c.l
	l.sealed = l.sealed[:0]
	n, err := sc.tls.Read(b)
	if len(l.sealed) > 0 { // an alert, or a new key
		if m, e := rawWrite(sc.fd, l.sealed); e != 0 || m < len(l.sealed) {
			return 0, unix.EPIPE
		}
	}
	if n > 0 {
		return n, 0
	}
	if err == nil {
		return 0, unix.EAGAIN
	}
	if _, ok := err.(again); ok {
		return 0, unix.EAGAIN
	}
	return 0, unix.EPIPE
}

// seal gives out as records; with the end after it, if end. They are good until
// the next read or seal of any connection in the loop.
func (sc *secureConn) seal(out []byte, end bool) []byte {
	l := sc.c.l
	l.sealed = l.sealed[:0]
	sc.tls.Write(out)
	if end {
		sc.tls.CloseWrite()
	}
	b := l.sealed
	if cap(b) > keepOut {
		l.sealed = nil
	}
	return b
}

func (sc *secureConn) Read(b []byte) (int, error) {
	if sc.given != nil {
		return sc.given.Read(b)
	}
	for {
		if sc.loop && sc.c.drained {
			return 0, again{}
		}
		n, e := rawRead(sc.fd, b)
		switch {
		case e == unix.EAGAIN && sc.loop:
			sc.c.drained = true
			return 0, again{}
		case e == unix.EAGAIN:
			if !sc.late.Load() {
				<-sc.wake
			}
			if sc.late.Load() {
				return 0, os.ErrDeadlineExceeded
			}
		case e != 0:
			return 0, e
		case n == 0:
			return 0, io.EOF
		default:
			if sc.loop && n < len(b) {
				sc.c.drained = true
			}
			return n, nil
		}
	}
}

func (sc *secureConn) Write(b []byte) (int, error) {
	if sc.given != nil {
		return sc.given.Write(b)
	}
	if sc.loop {
		sc.c.l.sealed = append(sc.c.l.sealed, b...)
		return len(b), nil
	}
	// The socket is new: what a handshake says fits.
	n, e := rawWrite(sc.fd, b)
	if e != 0 || n < len(b) {
		return max(n, 0), io.ErrShortWrite
	}
	return n, nil
}

// Close is for when it was given away; else the loop closes.
func (sc *secureConn) Close() error {
	if sc.given != nil {
		return sc.given.Close()
	}
	return nil
}

func (sc *secureConn) CloseWrite() error {
	if h, ok := sc.given.(*handedConn); ok {
		return h.CloseWrite()
	}
	return nil
}

func (sc *secureConn) LocalAddr() net.Addr  { return sc.local }
func (sc *secureConn) RemoteAddr() net.Addr { return sc.from }

func (sc *secureConn) SetDeadline(t time.Time) error {
	if sc.given != nil {
		return sc.given.SetDeadline(t)
	}
	return nil
}

func (sc *secureConn) SetReadDeadline(t time.Time) error {
	if sc.given != nil {
		return sc.given.SetReadDeadline(t)
	}
	return nil
}

func (sc *secureConn) SetWriteDeadline(t time.Time) error {
	if sc.given != nil {
		return sc.given.SetWriteDeadline(t)
	}
	return nil
}
