package sinkhole

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/impound/impound"
)

// The fast web listener: a few loops over epoll, one for each processor. A
// connection that is silent costs a sock and no goroutine or buffer; one that
// speaks is answered in the loop. Bodies are thrown away by the kernel.
// HTTP/1.x over TLS runs in the same loops (web_tls.go).

const (
	readRoom  = 2 * maxHead // what one read takes: a head and a few more
	flushAt   = 32 << 10    // of answers, before more is read
	maxHeld   = 64 << 20    // octets of half heads and untaken answers, for a listener
	batchConn = 64          // connections taken up in a row
	keepOut   = 256 << 10   // room for answers that a loop keeps
)

// webServer is one listener.
type webServer struct {
	s     *Sinkhole
	proto impound.Proto
	lfd   int
	wild  bool // the address is the machine's, not one
	dst   netip.AddrPort
	tls   *tlsSide // nil without TLS

	loops  []*webLoop
	room   *roomMember
	handed ages         // to net/http
	toShed atomic.Int64 // connections to let go of
	turn   atomic.Int64 // of the loops, in that
	held   atomic.Int64
	ending atomic.Bool
	cut    atomic.Bool
	done   sync.WaitGroup
}

// What a sock is doing.
const (
	stRead   = iota // reads heads
	stWrite         // has answers that the client didn't take yet
	stLinger        // said all; throws away what comes until the client ends
	stHello         // TLS: has said nothing yet
	stShake         // a goroutine makes the TLS handshake
	stGone          // given to net/http, or closed
)

// The clocks of a sock.
const (
	listHead = iota
	listIdle
	listWrite
	listLinger
	lists
	listNone = 255
)

// sock is one connection. The loop owns it, but for a handshake.
type sock struct {
	l         *webLoop
	next, prv *sock
	due       int64
	src, dst  netip.AddrPort
	in        []byte // of a head that isn't all there
	out       []byte // that the client didn't take yet
	secure    *secureConn
	fd        int32
	gen       uint32
	state     uint8
	list      uint8
	polled    bool // epoll knows it
	wantOut   bool
	end       bool // after what is out
	linger    bool // and then wait for the client
	drained   bool // the kernel has no more, as far as epoll said
}

type clockList struct {
	first, last *sock
	after       int64
}

type webLoop struct {
	w     *webServer
	epfd  int
	wake  int
	socks []*sock // by descriptor
	free  []*sock
	lists [lists]clockList
	now   int64
	gen   uint32

	buf, out, sealed []byte
	events           [128]unix.EpollEvent
	date             []byte
	dateAt           int64
	memo             *memo
	req              request

	mu    sync.Mutex
	posts []func()
	shaky int // handshakes under way
}

var loopStart = time.Now()

func clockNow() int64 { return int64(time.Since(loopStart)) }

func (s *Sinkhole) listenWeb(addr string, secure bool) (start func(), err error) {
	nl, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	ln := nl.(*net.TCPListener)
	local := addrPort(ln.Addr())
	lfd := -1
	rc, err := ln.SyscallConn()
	if err == nil {
		cerr := rc.Control(func(fd uintptr) {
			// One of our own, which Go's poller doesn't know.
			lfd, err = unix.FcntlInt(fd, unix.F_DUPFD_CLOEXEC, 0)
		})
		err = errors.Join(err, cerr)
	}
	ln.Close()
	if err != nil {
		return nil, err
	}
	// What is accepted inherits these. Slow readers must not hold much of the
	// kernel's memory.
	unix.SetsockoptInt(lfd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	unix.SetsockoptInt(lfd, unix.SOL_SOCKET, unix.SO_SNDBUF, 32<<10)
	// Clients speak first here: one that doesn't is the kernel's alone for a
	// second, and one that does is read when it is accepted.
	unix.SetsockoptInt(lfd, unix.IPPROTO_TCP, unix.TCP_DEFER_ACCEPT, 1)
	scheme := "http"
	w := &webServer{s: s, proto: impound.ProtoHTTP, lfd: lfd, dst: local, wild: local.Addr().IsUnspecified()}
	if secure {
		scheme, w.proto = "https", impound.ProtoTLS
		w.tls = newTLSSide(w)
	}
	w.room = s.room.join(s.cfg.Limits.Conns, w.shed)
	for range min(cores, 16) {
		l, err := newWebLoop(w)
		if err != nil {
			w.closeFDs()
			return nil, err
		}
		w.loops = append(w.loops, l)
	}
	s.addrs[scheme] = append(s.addrs[scheme], local.String())
	started := false
	s.stops = append(s.stops, func(ctx context.Context) error {
		if !started {
			w.closeFDs()
			return nil
		}
		return w.close(ctx)
	})
	return func() {
		started = true
		if w.tls != nil {
			w.tls.start()
		}
		for _, l := range w.loops {
			w.done.Go(l.run)
		}
	}, nil
}

func newWebLoop(w *webServer) (*webLoop, error) {
	epfd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		unix.Close(epfd)
		return nil, err
	}
	l := &webLoop{w: w, epfd: epfd, wake: wake, memo: newMemo(), buf: make([]byte, readRoom)}
	lim := w.s.cfg.Limits
	l.lists[listHead].after = int64(lim.HeadTimeout)
	l.lists[listIdle].after = int64(lim.IdleTimeout)
	l.lists[listWrite].after = int64(2 * lim.HeadTimeout)
	l.lists[listLinger].after = int64(linger)
	err = l.control(unix.EPOLL_CTL_ADD, wake, 0, unix.EPOLLIN)
	if err == nil {
		err = l.control(unix.EPOLL_CTL_ADD, w.lfd, 0, unix.EPOLLIN|unix.EPOLLEXCLUSIVE)
	}
	if err != nil {
		unix.Close(epfd)
		unix.Close(wake)
		return nil, err
	}
	if newLoopHook != nil {
		newLoopHook(l)
	}
	return l, nil
}

var newLoopHook func(*webLoop) // for tests

func (w *webServer) closeFDs() {
	for _, l := range w.loops {
		unix.Close(l.epfd)
		unix.Close(l.wake)
	}
	w.loops = nil
	unix.Close(w.lfd)
}

// close stops accepting, lets go of those who are silent, gives the others
// until ctx is done, and cuts what is left.
func (w *webServer) close(ctx context.Context) error {
	w.ending.Store(true)
	w.wakeAll()
	if w.tls != nil {
		w.tls.close(ctx)
	}
	over := make(chan struct{})
	go func() { w.done.Wait(); close(over) }()
	select {
	case <-over:
	case <-ctx.Done():
		w.cut.Store(true)
		w.wakeAll()
		<-over
	}
	w.closeFDs()
	return nil
}

func (w *webServer) wakeAll() {
	for _, l := range w.loops {
		l.rouse()
	}
}

func (l *webLoop) rouse() {
	one := [8]byte{1}
	unix.Write(l.wake, one[:])
}

// post has the loop call f.
func (l *webLoop) post(f func()) {
	l.mu.Lock()
	l.posts = append(l.posts, f)
	l.mu.Unlock()
	l.rouse()
}

func (l *webLoop) control(op, fd int, gen uint32, events uint32) error {
	return unix.EpollCtl(l.epfd, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd), Pad: int32(gen)})
}

// The calls below never wait, so the scheduler needn't hear of them.

func rawRead(fd int32, b []byte) (int, unix.Errno) {
	for {
		n, _, e := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

func rawWrite(fd int32, b []byte) (int, unix.Errno) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// rawDiscard has the kernel throw away what came: it reaches no memory of ours.
func rawDiscard(fd int32) (int, unix.Errno) {
	for {
		n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), 0, 64<<10, unix.MSG_TRUNC|unix.MSG_DONTWAIT, 0, 0)
		if e != unix.EINTR {
			return int(n), e
		}
	}
}

// briefly is how many milliseconds a loop waits without telling Go's scheduler.
// Told, it gives the loop's processor to another thread after 20 microseconds,
// and taking it back costs more than answering; untold, nothing else runs there,
// so it must be short. A collection that wants to begin interrupts it.
const briefly = 1

// rawWait is epoll_wait for at most ms milliseconds, untold.
func rawWait(epfd int, events []unix.EpollEvent, ms int) int {
	n, _, e := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epfd), uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(ms), 0, 0)
	if e != 0 {
		return 0
	}
	return int(n)
}

// wait gives the next events, or none when a clock ran out. It waits in the
// kernel: Go's poller would wake another thread for each event, only to wake us.
func (l *webLoop) wait() int {
	next := int64(0)
	for i := range l.lists {
		if c := l.lists[i].first; c != nil && (next == 0 || c.due < next) {
			next = c.due
		}
	}
	ms := -1
	if next != 0 {
		ms = int(max(0, min(next-clockNow()+999_999, int64(time.Hour))) / 1_000_000)
	}
	if n := rawWait(l.epfd, l.events[:], int(min(uint(ms), briefly))); n > 0 || ms >= 0 && ms <= briefly {
		return n
	}
	n, err := unix.EpollWait(l.epfd, l.events[:], ms)
	if err != nil {
		return 0
	}
	return n
}

func (l *webLoop) run() {
	ended := false
	for {
		n := l.wait()
		l.now = clockNow()
		for i := range n {
			ev := &l.events[i]
			switch int(ev.Fd) {
			case l.w.lfd:
				if !ended {
					l.accept()
				}
			case l.wake:
				var b [8]byte
				unix.Read(l.wake, b[:])
				l.mu.Lock()
				posts := l.posts
				l.posts = nil
				l.mu.Unlock()
				for _, f := range posts {
					f()
				}
				if l.w.ending.Load() && !ended {
					ended = true
					l.control(unix.EPOLL_CTL_DEL, l.w.lfd, 0, 0)
					l.letGo()
				}
			default:
				if fd := int(ev.Fd); fd < len(l.socks) && l.socks[fd] != nil && l.socks[fd].gen == uint32(ev.Pad) {
					l.ready(l.socks[fd], ev.Events)
				}
			}
		}
		l.expire()
		for l.w.toShed.Load() > 0 && l.w.toShed.Add(-1) >= 0 {
			l.shedOne()
		}
		if ended {
			left := false
			for _, c := range l.socks {
				if c == nil {
					continue
				}
				if l.w.cut.Load() && c.state != stShake {
					l.drop(c)
					continue
				}
				if l.w.cut.Load() {
					c.secure.expire()
				}
				left = true
			}
			if !left && l.shaky == 0 {
				return
			}
		}
		if n == len(l.events) || l.shaky > 0 {
			runtime.Gosched()
		}
	}
}

// letGo closes who is silent, and gives the others a moment.
func (l *webLoop) letGo() {
	l.lists[listHead].after = min(l.lists[listHead].after, int64(grace))
	for _, c := range l.socks {
		switch {
		case c == nil:
		case c.list == listIdle || c.state == stHello || c.list == listHead && len(c.in) == 0 && c.state == stRead:
			l.drop(c)
		case c.list == listHead:
			l.clock(c, listHead)
		}
	}
}

func (l *webLoop) accept() {
	for range batchConn {
		var sa unix.RawSockaddrInet6
		size := uint32(unix.SizeofSockaddrInet6)
		nfd, _, e := unix.RawSyscall6(unix.SYS_ACCEPT4, uintptr(l.w.lfd), uintptr(unsafe.Pointer(&sa)), uintptr(unsafe.Pointer(&size)), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0, 0)
		switch e {
		case 0:
		case unix.EINTR, unix.ECONNABORTED:
			continue
		case unix.EMFILE, unix.ENFILE, unix.ENOMEM, unix.ENOBUFS:
			l.w.s.n.connsCut.Add(1)
			l.w.shed()
			time.Sleep(time.Millisecond) // or it would spin
			return
		default:
			return
		}
		fd := int(nfd)
		src := sockAddr(&sa)
		if !l.w.s.conns.take(src.Addr()) {
			l.refuse(fd)
			continue
		}
		if !l.w.room.take() {
			l.w.s.conns.give(src.Addr())
			l.refuse(fd)
			continue
		}
		var c *sock
		if n := len(l.free); n > 0 {
			c, l.free = l.free[n-1], l.free[:n-1]
		} else {
			c = &sock{l: l}
		}
		l.gen++
		c.fd, c.gen, c.src, c.dst, c.list = int32(fd), l.gen, src, l.w.dst, listNone
		if l.w.wild {
			c.dst = localAddr(fd, l.w.dst)
		}
		for len(l.socks) <= fd {
			l.socks = append(l.socks, nil)
		}
		l.socks[fd] = c
		l.clock(c, listHead)
		if l.w.tls != nil {
			c.state = stHello
			l.hello(c)
			continue
		}
		l.read(c)
	}
}

// hello has the handshake begin once the client said something: until then it
// costs no goroutine.
func (l *webLoop) hello(c *sock) {
	var b [1]byte
	n, _, e := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(c.fd), uintptr(unsafe.Pointer(&b)), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	switch {
	case e == 0 && n == 1:
		l.shake(c)
	case e == unix.EAGAIN || e == unix.EINTR:
		if !c.polled {
			l.watch(c)
		}
	default:
		l.drop(c)
	}
}

func (l *webLoop) refuse(fd int) {
	l.w.s.n.connsRefused.Add(1)
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	unix.Close(fd)
}

func localAddr(fd int, fallback netip.AddrPort) netip.AddrPort {
	sa, err := unix.Getsockname(fd)
	if err != nil {
		return fallback
	}
	switch a := sa.(type) {
	case *unix.SockaddrInet4:
		return netip.AddrPortFrom(netip.AddrFrom4(a.Addr), fallback.Port())
	case *unix.SockaddrInet6:
		return netip.AddrPortFrom(netip.AddrFrom16(a.Addr).Unmap(), fallback.Port())
	}
	return fallback
}

// clock sets the clock that runs for c. Each list has one duration, so that its
// first is always the next to run out.
func (l *webLoop) clock(c *sock, list uint8) {
	l.unclock(c)
	q := &l.lists[list]
	c.list, c.due = list, l.now+q.after
	c.prv, c.next = q.last, nil
	if q.last != nil {
		q.last.next = c
	} else {
		q.first = c
	}
	q.last = c
}

func (l *webLoop) unclock(c *sock) {
	if c.list == listNone {
		return
	}
	q := &l.lists[c.list]
	if c.prv != nil {
		c.prv.next = c.next
	} else {
		q.first = c.next
	}
	if c.next != nil {
		c.next.prv = c.prv
	} else {
		q.last = c.prv
	}
	c.next, c.prv, c.list = nil, nil, listNone
}

// shed has the connection let go of that was silent for longest, of one of the
// loops or of net/http.
func (w *webServer) shed() {
	w.handed.mu.Lock()
	away := w.handed.n
	w.handed.mu.Unlock()
	if int64(away)*2 > w.room.open.Load() {
		w.handed.cutOldest()
		return
	}
	if w.toShed.Add(1) > 1024 { // it is behind; they will ask again
		w.toShed.Add(-1)
	}
	w.loops[int(uint64(w.turn.Add(1))%uint64(len(w.loops)))].rouse()
}

// shedOne lets go of one: of those who had their answers the oldest, or else of
// the others.
func (l *webLoop) shedOne() {
	var who *sock
	var since int64
	for _, list := range [...]int{listLinger, listIdle} {
		if c := l.lists[list].first; c != nil {
			l.drop(c)
			return
		}
	}
	for _, list := range [...]int{listHead, listWrite} {
		if c := l.lists[list].first; c != nil && (who == nil || c.due-l.lists[list].after < since) {
			who, since = c, c.due-l.lists[list].after
		}
	}
	switch {
	case who == nil:
	case who.state == stShake:
		l.unclock(who)
		who.secure.expire()
	default:
		l.drop(who)
	}
}

func (l *webLoop) expire() {
	for i := range l.lists {
		for {
			c := l.lists[i].first
			if c == nil || c.due > l.now {
				break
			}
			if c.state == stShake {
				l.unclock(c)
				c.secure.expire()
				continue
			}
			l.drop(c)
		}
	}
}

// drop closes c.
func (l *webLoop) drop(c *sock) {
	if c.state == stHello {
		ev := contact(l.w.proto, c.src, c.dst, l.w.s.cfg.Now())
		l.w.s.recordSilent(&ev)
	}
	unix.RawSyscall(unix.SYS_CLOSE, uintptr(c.fd), 0, 0)
	l.forget(c)
}

// forget takes c out of the loop.
func (l *webLoop) forget(c *sock) {
	l.unclock(c)
	l.socks[c.fd] = nil
	l.hold(c, -len(c.in)-len(c.out))
	clear(c.in)
	if c.state != stGone {
		l.w.room.give()
		l.w.s.conns.give(c.src.Addr())
	}
	reuse := c.secure == nil // a handshake's goroutine may still look at it
	*c = sock{l: l, state: stGone, list: listNone}
	if reuse && len(l.free) < 1024 {
		c.state = stRead
		l.free = append(l.free, c)
	}
}

// hold counts what is kept for slow ones; false when it is too much.
func (l *webLoop) hold(c *sock, n int) bool {
	return n == 0 || l.w.held.Add(int64(n)) <= maxHeld
}

func (l *webLoop) ready(c *sock, events uint32) {
	c.drained = false
	switch c.state {
	case stHello:
		l.hello(c)
	case stShake:
		c.secure.poke()
	case stRead:
		l.read(c)
	case stWrite:
		if l.flush(c, nil) {
			l.read(c)
		}
	case stLinger:
		l.discard(c)
	}
}

// discard throws away what comes, until the client ends or its clock runs out.
func (l *webLoop) discard(c *sock) {
	for range 16 {
		n, e := rawDiscard(c.fd)
		if e == unix.EAGAIN {
			return
		}
		if e != 0 || n == 0 {
			l.drop(c)
			return
		}
	}
	// One that never pauses has had its answer.
	l.drop(c)
}

// read reads what there is, and answers the requests in it.
func (l *webLoop) read(c *sock) {
	for c.state == stRead {
		if c.drained && c.secure == nil {
			break
		}
		b := l.buf
		have := copy(b, c.in)
		var n int
		var e unix.Errno
		if c.secure != nil {
			n, e = c.secure.read(b[have:])
		} else {
			n, e = rawRead(c.fd, b[have:])
			c.drained = e == 0 && n > 0 && n < len(b)-have
		}
		if e == unix.EAGAIN {
			c.drained = true
			break
		}
		if e != 0 || n == 0 {
			clear(b[:have])
			l.drop(c)
			return
		}
		ok := l.answer(c, b[:have+n])
		clear(b[:have+n])
		if !ok {
			return
		}
	}
	if c.state == stRead && !c.polled {
		l.watch(c)
	}
}

// watch has epoll tell of c; what is there already, it tells at once.
func (l *webLoop) watch(c *sock) {
	c.polled = true
	if l.control(unix.EPOLL_CTL_ADD, int(c.fd), c.gen, unix.EPOLLIN|unix.EPOLLRDHUP|unix.EPOLLET) != nil {
		l.drop(c)
	}
}

// answer answers the requests that b begins with, and keeps the rest. It is
// false when there is no more to read from c now.
func (l *webLoop) answer(c *sock, b []byte) bool {
	out := l.out[:0]
	q := &l.req
	for len(b) > 0 {
		n, status := parseHead(b, &q.head)
		if status != 0 {
			ev := contact(l.w.proto, c.src, c.dst, l.w.s.cfg.Now())
			ev.Outcome = malformed
			l.w.s.record(&ev, about{})
			out = append(out, refusals[status]...)
			c.end, c.linger = true, true
			b = nil
			break
		}
		if n == 0 {
			break
		}
		q.proto, q.src, q.dst, q.hello = l.w.proto, c.src, c.dst, nil
		if c.secure != nil {
			q.hello = &c.secure.web.helloFacts
		}
		now := l.w.s.cfg.Now()
		v := l.w.s.decide(q, l.memo, now)
		if l.w.ending.Load() {
			v.close = true
		}
		out = v.appendAnswer(out, &q.head, l.dateAtNow(now))
		b = b[n:]
		if v.close {
			c.end, c.linger = true, q.body || len(b) > 0
			b = nil
			break
		}
		if len(out) >= flushAt {
			break // the rest is looked at when this is taken
		}
	}
	q.head = head{}
	if len(out) < keepOut {
		l.out = out
	}
	// What is left is kept, cleared when it is done with.
	old := len(c.in)
	if len(b) > 0 || old > 0 {
		clear(c.in)
		switch {
		case len(b) == 0:
			c.in = nil
		case len(b) <= cap(c.in): // one who speaks octet by octet costs no memory each time
			c.in = append(c.in[:0], b...)
		default:
			c.in = append(make([]byte, 0, len(b)+len(b)/4+256), b...)
		}
		if !l.hold(c, len(c.in)-old) {
			l.w.s.n.connsRefused.Add(1)
			l.drop(c)
			return false
		}
	}
	if len(out) == 0 {
		if c.list != listHead {
			l.clock(c, listHead)
		}
		return true
	}
	if c.secure != nil {
		return l.flush(c, c.secure.seal(out, c.end))
	}
	return l.flush(c, out)
}

// flush sends out after what is still unsent, and goes on as c.end says. It is
// false when there is no more to read from c now.
func (l *webLoop) flush(c *sock, out []byte) bool {
	if len(c.out) > 0 {
		out = append(c.out, out...)
	}
	old := len(c.out)
	for len(out) > 0 {
		n, e := rawWrite(c.fd, out)
		if e == unix.EAGAIN {
			kept := append([]byte(nil), out...)
			c.out = kept
			if !l.hold(c, len(kept)-old) {
				l.w.s.n.connsRefused.Add(1)
				l.drop(c)
				return false
			}
			op := unix.EPOLL_CTL_MOD
			if !c.polled {
				op = unix.EPOLL_CTL_ADD
			}
			if c.state != stWrite || n > 0 {
				l.clock(c, listWrite)
			}
			c.state, c.polled = stWrite, true
			if !c.wantOut && l.control(op, int(c.fd), c.gen, unix.EPOLLIN|unix.EPOLLOUT|unix.EPOLLRDHUP|unix.EPOLLET) != nil {
				l.drop(c)
				return false
			}
			c.wantOut = true
			return false
		}
		if e != 0 {
			l.drop(c)
			return false
		}
		out = out[n:]
	}
	l.hold(c, -old)
	c.out = nil
	c.state = stRead
	if c.end {
		if !c.linger {
			l.drop(c)
			return false
		}
		unix.Shutdown(int(c.fd), unix.SHUT_WR)
		c.state = stLinger
		clear(c.in)
		l.hold(c, -len(c.in))
		c.in = nil
		l.clock(c, listLinger)
		if !c.polled {
			l.watch(c)
		} else {
			l.discard(c)
		}
		return false
	}
	if len(c.in) > 0 { // answers were many: the rest of what came with them
		b := l.buf[:copy(l.buf, c.in)]
		return l.answer(c, b)
	}
	l.clock(c, listIdle)
	return true
}

// dateAtNow is the value of a Date field.
func (l *webLoop) dateAtNow(now time.Time) []byte {
	if sec := now.Unix(); sec != l.dateAt || l.date == nil {
		l.dateAt = sec
		l.date = now.UTC().AppendFormat(l.date[:0], http.TimeFormat)
	}
	return l.date
}

// refusals are what is said to those who speak no HTTP that we take, as
// net/http says it.
var refusals = func() map[int][]byte {
	m := map[int][]byte{}
	for _, st := range []int{400, 431, 501, 505} {
		text := itoa3(st) + " " + http.StatusText(st)
		m[st] = []byte("HTTP/1.1 " + text + "\r\nContent-Type: text/plain; charset=utf-8\r\nConnection: close\r\n\r\n" + text)
	}
	return m
}()

func itoa3(n int) string {
	return string([]byte{byte('0' + n/100), byte('0' + n/10%10), byte('0' + n%10)})
}
