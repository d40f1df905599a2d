package conntest

import (
	"encoding/binary"
	"io"
	"net"
	"sync"
	"testing"
)

// Way is a TCP proxy on loopback to a provider, which breaks when it is told to.
type Way struct {
	to string
	l  net.Listener
	// change says of what a client sent whether it is a change; nil takes
	// whatever comes first.
	change func(frame []byte) bool
	// head is how many octets lead each frame and give its length, 0 where
	// frames can't be told apart, as within TLS.
	head int

	mu    sync.Mutex
	armed bool
	when  When
	conns map[net.Conn]bool
}

// NewWay begins a proxy to address to. With change given, the client's messages
// are those of DNS over TCP (RFC 1035 4.2.2), and it says which are changes.
func NewWay(t testing.TB, to string, change func(frame []byte) bool) *Way {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	w := &Way{to: to, l: l, change: change, conns: map[net.Conn]bool{}}
	if change != nil {
		w.head = 2
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go w.serve(c)
		}
	}()
	t.Cleanup(func() {
		l.Close()
		w.mu.Lock()
		defer w.mu.Unlock()
		for c := range w.conns {
			c.Close()
		}
	})
	return w
}

// Addr is where the connector connects to.
func (w *Way) Addr() string { return w.l.Addr().String() }

// Break breaks the way at the next change.
func (w *Way) Break(_ testing.TB, when When) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.armed, w.when = true, when
}

// hit says whether frame is the change at which the way breaks, and how.
func (w *Way) hit(frame []byte) (When, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.armed || w.change != nil && !w.change(frame) {
		return 0, false
	}
	w.armed = false
	return w.when, true
}

func (w *Way) keep(c net.Conn) { w.mu.Lock(); defer w.mu.Unlock(); w.conns[c] = true }

func (w *Way) serve(c net.Conn) {
	defer c.Close()
	p, err := net.Dial("tcp", w.to)
	if err != nil {
		return
	}
	defer p.Close()
	w.keep(c)
	w.keep(p)
	var mu sync.Mutex
	broken, how := false, When(0)
	go func() {
		defer c.Close()
		b := make([]byte, 64<<10)
		for {
			n, err := p.Read(b)
			mu.Lock()
			stop, when := broken, how
			mu.Unlock()
			switch {
			case stop && when == Silent && err == nil:
				continue
			case stop && when == Silent:
				_, _ = io.Copy(io.Discard, c) // until the client has had enough
				return
			case stop && n > 0, err != nil && n == 0:
				return
			}
			if _, werr := c.Write(b[:n]); werr != nil || err != nil {
				return
			}
		}
	}()
	b := make([]byte, 64<<10)
	for {
		var frame []byte
		if w.head == 2 {
			if _, err := io.ReadFull(c, b[:2]); err != nil {
				return
			}
			n := int(binary.BigEndian.Uint16(b))
			frame = make([]byte, 2+n)
			copy(frame, b[:2])
			if _, err := io.ReadFull(c, frame[2:]); err != nil {
				return
			}
		} else {
			n, err := c.Read(b)
			if err != nil {
				return
			}
			frame = b[:n]
		}
		if when, ok := w.hit(frame[w.head:]); ok {
			if when == BeforeAct {
				return
			}
			mu.Lock()
			broken, how = true, when
			mu.Unlock()
		}
		if _, err := p.Write(frame); err != nil {
			return
		}
	}
}
