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

// tracker is a listener whose connections are bounded and can be cut.
type tracker struct {
	net.Listener
	s  *Sinkhole
	mu sync.Mutex
	// conns are those that are open; nil after close.
	conns  map[*tracked]struct{}
	served chan struct{} // closed when serve has ended; nil when it never began
	ending atomic.Bool   // whoever is silent now is let go
}

type tracked struct {
	net.Conn
	t    *tracker
	once sync.Once
}

func (s *Sinkhole) newTracker(ln net.Listener) *tracker {
	return &tracker{Listener: ln, s: s, conns: map[*tracked]struct{}{}}
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
		tc := &tracked{Conn: c, t: t}
		t.mu.Lock()
		ok := t.conns != nil && (t.s.cfg.Limits.Conns < 0 || len(t.conns) < t.s.cfg.Limits.Conns)
		if ok {
			t.conns[tc] = struct{}{}
		}
		t.mu.Unlock()
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

func (c *tracked) Close() error {
	err := c.Conn.Close()
	c.once.Do(func() {
		c.t.s.conns.give(addrPort(c.RemoteAddr()).Addr())
		c.t.mu.Lock()
		delete(c.t.conns, c)
		c.t.mu.Unlock()
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
	t.mu.Lock()
	for c := range t.conns {
		c.SetReadDeadline(time.Now().Add(grace))
	}
	t.mu.Unlock()
	select {
	case <-t.served:
	case <-ctx.Done():
	}
	t.cut()
	<-t.served
	return err
}

func (t *tracker) cut() {
	t.mu.Lock()
	var open []*tracked
	for c := range t.conns {
		open = append(open, c)
	}
	t.conns = nil
	t.mu.Unlock()
	for _, c := range open {
		c.Close()
	}
}
