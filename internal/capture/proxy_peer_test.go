package capture

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
)

// testProxy is an HTTP and SOCKS5 proxy that sends everything to one server and
// remembers what it was asked for.
type testProxy struct {
	addr string
	mu   sync.Mutex
	asks []string
}

func (p *testProxy) seen() []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.asks)
}

func newTestProxy(t testing.TB, to string) *testProxy {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { ln.Close() })
	p := &testProxy{addr: ln.Addr().String()}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go p.talk(c, to)
		}
	}()
	return p
}

func (p *testProxy) talk(c net.Conn, to string) {
	defer c.Close()
	br := bufio.NewReader(c)
	b, err := br.Peek(1)
	if err != nil {
		return
	}
	asked, reply := "", "HTTP/1.1 200 OK\r\n\r\n"
	if b[0] == 5 { // RFC 1928
		h := make([]byte, 2)
		if _, err := io.ReadFull(br, h); err != nil {
			return
		}
		if _, err := io.CopyN(io.Discard, br, int64(h[1])); err != nil {
			return
		}
		_, _ = c.Write([]byte{5, 0})
		q := make([]byte, 4)
		if _, err := io.ReadFull(br, q); err != nil {
			return
		}
		switch q[3] {
		case 1:
			a := make([]byte, 6)
			if _, err := io.ReadFull(br, a); err != nil {
				return
			}
			asked = fmt.Sprintf("%s:%d", net.IP(a[:4]), int(a[4])<<8|int(a[5]))
		default:
			asked = "not an address"
		}
		reply = string([]byte{5, 0, 0, 1, 127, 0, 0, 1, 0, 0})
	} else {
		q, err := http.ReadRequest(br)
		if err != nil {
			return
		}
		asked = q.Host
	}
	p.mu.Lock()
	p.asks = append(p.asks, asked)
	p.mu.Unlock()
	out, err := net.Dial("tcp", to)
	if err != nil {
		return
	}
	defer out.Close()
	_, _ = io.WriteString(c, reply)
	go func() { _, _ = io.Copy(out, br); out.(*net.TCPConn).CloseWrite() }()
	_, _ = io.Copy(c, out)
}
