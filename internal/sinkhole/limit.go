package sinkhole

import (
	"context"
	"errors"
	"hash/maphash"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// rateLimit counts answers per source network and second, in a table of fixed
// size: networks that share a slot share its budget.
type rateLimit struct {
	max   uint64
	seed  maphash.Seed
	slots [1 << 16]atomic.Uint64 // second in the upper half, count in the lower
}

func newRateLimit(perSecond int) *rateLimit {
	if perSecond < 0 {
		return nil
	}
	return &rateLimit{max: uint64(perSecond), seed: maphash.MakeSeed()}
}

// take counts one more from a, and gives how many are above the budget: 0 when
// it is kept.
func (r *rateLimit) take(a netip.Addr, now time.Time) uint64 {
	if r == nil {
		return 0
	}
	var key [8]byte
	if a.Is4() || a.Is4In6() {
		b := a.Unmap().As4()
		copy(key[:], b[:3])
	} else {
		b := a.As16()
		copy(key[:], b[:7])
		key[7] = 6
	}
	slot := &r.slots[maphash.Bytes(r.seed, key[:])&(1<<16-1)]
	sec := uint64(uint32(now.Unix()))
	for {
		v := slot.Load()
		next := v + 1
		if v>>32 != sec {
			next = sec<<32 | 1
		}
		if next&0xffffffff == 0 { // 4 billion in a second: stay
			next = v
		}
		if slot.CompareAndSwap(v, next) {
			if n := next & 0xffffffff; n > r.max {
				return n - r.max
			}
			return 0
		}
	}
}

// connLimit counts open connections per source.
type connLimit struct {
	perSource int
	mu        sync.Mutex
	open      map[netip.Addr]int
}

func sourceKey(a netip.Addr) netip.Addr {
	a = a.Unmap()
	if a.Is6() {
		p, _ := a.WithZone("").Prefix(64)
		return p.Addr()
	}
	return a
}

func (c *connLimit) take(a netip.Addr) bool {
	if c.perSource < 0 {
		return true
	}
	k := sourceKey(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[k] >= c.perSource {
		return false
	}
	c.open[k]++
	return true
}

func (c *connLimit) give(a netip.Addr) {
	if c.perSource < 0 {
		return
	}
	k := sourceKey(a)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.open[k]--; c.open[k] <= 0 {
		delete(c.open, k)
	}
}

// room bounds what is open of all listeners together, and of each. When little
// is left, the listener that has most lets go of those who have been silent for
// longest: whoever comes now is let in.
type room struct {
	total bound
	cut   *atomic.Uint64 // counts those let go of

	mu      sync.Mutex
	members []*roomMember
}

// bound is a number of connections; 0 for none.
type bound struct{ max, soft int64 }

// newBound leaves a little between where connections are let go of, which takes
// a moment, and where no more are taken in.
func newBound(n int) bound {
	if n < 0 {
		return bound{}
	}
	return bound{int64(n), int64(n) - min(int64(n)/16, 256)}
}

func (b bound) over(n int64) bool { return b.max > 0 && n > b.max }
func (b bound) near(n int64) bool { return b.max > 0 && n > b.soft }

// roomMember is one listener's part.
type roomMember struct {
	r    *room
	own  bound
	open atomic.Int64
	shed func() // lets go of one, now or soon
}

// filesFor is how many connections the limit of open files leaves: the rest is
// for the spool, the policy and whatever else this process has open.
func filesFor() int {
	var lim unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &lim); err != nil {
		return 512
	}
	n := min(lim.Cur, 1<<20)
	return int(n - max(n/16, min(128, n/2)))
}

func (r *room) join(own int, shed func()) *roomMember {
	m := &roomMember{r: r, own: newBound(own), shed: shed}
	r.mu.Lock()
	r.members = append(r.members, m)
	r.mu.Unlock()
	return m
}

// all is how many are open.
func (r *room) all() (n int64) {
	for _, m := range r.members { // which are all there before the first connection
		n += m.open.Load()
	}
	return n
}

// take counts one more; false when there is no room for it.
func (m *roomMember) take() bool {
	mine, all := m.open.Add(1), int64(0)
	if m.r.total.max > 0 {
		all = m.r.all()
	}
	if !m.own.near(mine) && !m.r.total.near(all) {
		return true
	}
	who := m
	if !m.own.near(mine) {
		for _, x := range m.r.members {
			if x.open.Load() > who.open.Load() {
				who = x
			}
		}
	}
	m.r.cut.Add(1)
	who.shed()
	if m.own.over(mine) || m.r.total.over(all) {
		m.open.Add(-1)
		return false
	}
	return true
}

func (m *roomMember) give() { m.open.Add(-1) }

// ages has connections in the order in which they were last heard.
type ages struct {
	mu     sync.Mutex
	oldest *aged
	newest *aged
	n      int
	closed bool
}

type aged struct {
	prv, next *aged
	in        bool
	cut       func()
	hurry     func() // what it still says must come soon
}

// add takes a in as the newest; false when all were cut.
func (l *ages) add(a *aged) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return false
	}
	l.push(a)
	return true
}

func (l *ages) push(a *aged) {
	a.in, a.prv, a.next = true, l.newest, nil
	if l.newest != nil {
		l.newest.next = a
	} else {
		l.oldest = a
	}
	l.newest = a
	l.n++
}

func (l *ages) pull(a *aged) {
	if a.prv != nil {
		a.prv.next = a.next
	} else {
		l.oldest = a.next
	}
	if a.next != nil {
		a.next.prv = a.prv
	} else {
		l.newest = a.prv
	}
	a.in, a.prv, a.next = false, nil, nil
	l.n--
}

// heard makes a the newest.
func (l *ages) heard(a *aged) {
	l.mu.Lock()
	if a.in && l.newest != a {
		l.pull(a)
		l.push(a)
	}
	l.mu.Unlock()
}

func (l *ages) remove(a *aged) {
	l.mu.Lock()
	if a.in {
		l.pull(a)
	}
	l.mu.Unlock()
}

// cutOldest cuts the one that was silent for longest.
func (l *ages) cutOldest() bool {
	l.mu.Lock()
	a := l.oldest
	if a != nil {
		l.pull(a)
	}
	l.mu.Unlock()
	if a != nil {
		a.cut()
	}
	return a != nil
}

// cutAll cuts all that are in, and whoever would come.
func (l *ages) cutAll() {
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
	for l.cutOldest() {
	}
}

func (l *ages) each(f func(*aged)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for a := l.oldest; a != nil; a = a.next {
		f(a)
	}
}

// tracker is a listener whose connections are bounded and can be cut.
type tracker struct {
	net.Listener
	s      *Sinkhole
	room   *roomMember
	conns  ages
	served chan struct{} // closed when serve has ended; nil when it never began
	ending atomic.Bool   // whoever is silent now is let go
}

type tracked struct {
	aged
	net.Conn
	t    *tracker
	once sync.Once
}

func (s *Sinkhole) newTracker(ln net.Listener) *tracker {
	t := &tracker{Listener: ln, s: s}
	t.room = s.room.join(s.cfg.Limits.Conns, func() { t.conns.cutOldest() })
	return t
}

// Accept gives the next connection within the bounds; those beyond them are
// closed at once.
func (t *tracker) Accept() (net.Conn, error) {
	for {
		c, err := t.Listener.Accept()
		if err != nil {
			return nil, err
		}
		src := addrPort(c.RemoteAddr()).Addr()
		if !t.s.conns.take(src) {
			t.s.n.connsRefused.Add(1)
			reset(c)
			continue
		}
		ok := t.room.take()
		tc := &tracked{Conn: c, t: t}
		tc.cut = func() { c.Close() } // whoever serves it sees that, and gives back its room
		tc.hurry = func() { c.SetReadDeadline(time.Now().Add(grace)) }
		if ok && !t.conns.add(&tc.aged) {
			t.room.give()
			ok = false
		}
		if !ok {
			t.s.conns.give(src)
			t.s.n.connsRefused.Add(1)
			reset(c)
			continue
		}
		return tc, nil
	}
}

// reset closes without lingering: a flood must not leave us its TIME_WAITs.
func reset(c net.Conn) {
	if tc, ok := c.(*net.TCPConn); ok {
		tc.SetLinger(0)
	}
	c.Close()
}

// CloseWrite lets net/http say that it has said all.
func (c *tracked) CloseWrite() error {
	if tc, ok := c.Conn.(*net.TCPConn); ok {
		return tc.CloseWrite()
	}
	return errors.ErrUnsupported
}

// grace is how long a client may still send when the listener ends.
const grace = 200 * time.Millisecond

func (c *tracked) SetReadDeadline(at time.Time) error {
	if c.t.ending.Load() {
		at = earlier(at, time.Now().Add(grace))
	}
	return c.Conn.SetReadDeadline(at)
}

func (c *tracked) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.t.conns.heard(&c.aged)
	}
	return n, err
}

func (c *tracked) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.t.s.conns.give(addrPort(c.RemoteAddr()).Addr())
		c.t.room.give()
		c.t.conns.remove(&c.aged)
	})
	return err
}

func (t *tracker) serve(handle func(net.Conn)) {
	defer close(t.served)
	var wg sync.WaitGroup
	defer wg.Wait()
	for {
		c, err := t.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err != nil { // too many open files, and the like
			time.Sleep(20 * time.Millisecond)
			continue
		}
		wg.Go(func() {
			defer c.Close()
			handle(c)
		})
	}
}

// close stops accepting, waits for the connections until ctx is done, and cuts
// what is left.
func (t *tracker) close(ctx context.Context) error {
	err := t.Listener.Close()
	if t.served == nil {
		return err
	}
	t.ending.Store(true)
	t.conns.each(func(a *aged) { a.hurry() })
	select {
	case <-t.served:
	case <-ctx.Done():
	}
	t.conns.cutAll()
	<-t.served
	return err
}
