package sinkhole

import (
	"context"
	"crypto/tls"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/impound/impound"
)

// webConn is a connection of a web listener. It sees to it that no answer
// leaves before something was recorded, also those that net/http gives by
// itself to what is no HTTP.
type webConn struct {
	net.Conn
	s        *Sinkhole
	proto    impound.Proto
	recorded atomic.Bool // since the last answer

	helloFacts // set once, before any request
}

func (c *webConn) Write(b []byte) (int, error) {
	if c.recorded.CompareAndSwap(false, true) {
		ev := contact(c.proto, addrPort(c.RemoteAddr()), addrPort(c.LocalAddr()), c.s.cfg.Now())
		ev.Outcome = malformed
		c.s.record(&ev, about{})
	}
	return c.Conn.Write(b)
}

// CloseWrite lets net/http end its side while the other still sends.
func (c *webConn) CloseWrite() error {
	if cw, ok := c.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return c.Conn.Close()
}

type webListener struct {
	*tracker
	proto impound.Proto
}

func (l webListener) Accept() (net.Conn, error) {
	c, err := l.tracker.Accept()
	if err != nil {
		return nil, err
	}
	wc := &webConn{Conn: c, s: l.s, proto: l.proto}
	if l.proto == impound.ProtoTLS {
		wc.Conn = newHelloConn(c, func(f helloFacts, ok bool) {
			wc.helloFacts = f
			wc.recorded.Store(true)
			l.s.recordHello(c, f, ok)
		})
	}
	return wc, nil
}

type connKey struct{}

func webConnOf(c net.Conn) *webConn {
	if t, ok := c.(*tls.Conn); ok {
		c = t.NetConn()
	}
	wc, _ := c.(*webConn)
	return wc
}

func (s *Sinkhole) listenHTTP(addr string, secure bool) (start func(), err error) {
	if !s.cfg.Plain {
		return s.listenWeb(addr, secure)
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	scheme, proto := "http", impound.ProtoHTTP
	if secure {
		scheme, proto = "https", impound.ProtoTLS
	}
	l := webListener{s.newTracker(ln), proto}
	srv := s.httpServer(secure)
	s.addrs[scheme] = append(s.addrs[scheme], ln.Addr().String())
	s.stops = append(s.stops, func(ctx context.Context) error {
		err := srv.Shutdown(ctx)
		ln.Close()
		l.conns.cutAll()
		if ctx.Err() != nil {
			srv.Close()
			return nil // they had their time
		}
		return err
	})
	return func() {
		s.wg.Go(func() {
			if secure {
				srv.ServeTLS(l, "", "")
			} else {
				srv.Serve(l)
			}
		})
	}, nil
}

// httpServer is net/http's, for what it serves.
func (s *Sinkhole) httpServer(secure bool) *http.Server {
	lim := s.cfg.Limits
	srv := &http.Server{
		Handler:                      http.HandlerFunc(s.serveHTTP),
		DisableGeneralOptionsHandler: true,
		ReadHeaderTimeout:            lim.HeadTimeout,
		ReadTimeout:                  lim.HeadTimeout,
		WriteTimeout:                 2 * lim.HeadTimeout,
		IdleTimeout:                  lim.IdleTimeout,
		MaxHeaderBytes:               16 << 10,
		// What it would log holds addresses, and parts of what was sent.
		ErrorLog: log.New(io.Discard, "", 0),
		HTTP2: &http.HTTP2Config{
			// A client may send 64 KiB before it hears how much it may send (RFC
			// 9113 6.9.2): less would cut it off before its answer. A stream can't
			// hold more than its connection.
			MaxConcurrentStreams: 32, MaxReceiveBufferPerStream: 64 << 10, MaxReceiveBufferPerConnection: 64 << 10,
			SendPingTimeout: lim.IdleTimeout, PingTimeout: lim.HeadTimeout, WriteByteTimeout: lim.HeadTimeout,
		},
		ConnContext: func(ctx context.Context, c net.Conn) context.Context {
			return context.WithValue(ctx, connKey{}, webConnOf(c))
		},
		ConnState: func(c net.Conn, st http.ConnState) {
			if wc := webConnOf(c); st == http.StateIdle && wc != nil && !secure {
				wc.recorded.Store(false)
			}
		},
	}
	if secure {
		srv.TLSConfig = s.tlsConfig()
	}
	return srv
}

func (s *Sinkhole) serveHTTP(w http.ResponseWriter, r *http.Request) {
	// First of all, what may not be touched goes away.
	hdr := r.Header
	for _, k := range []string{"Authorization", "Proxy-Authorization", "Cookie"} {
		hdr.Del(k)
	}
	wc, _ := r.Context().Value(connKey{}).(*webConn)
	q := request{proto: impound.ProtoHTTP, head: head{
		method: r.Method, host: r.Host, path: r.URL.EscapedPath(), query: r.URL.RawQuery,
		agent: hdr.Get("User-Agent"), referer: hdr.Get("Referer"), lang: hdr.Get("Accept-Language"),
		body: r.ContentLength != 0 || len(r.TransferEncoding) > 0, expect: hdr.Get("Expect") != "", upgrade: hdr.Get("Upgrade") != "",
	}}
	if r.TLS != nil {
		q.proto = impound.ProtoTLS
	}
	src, _ := netip.ParseAddrPort(r.RemoteAddr)
	q.src = netip.AddrPortFrom(src.Addr().Unmap().WithZone(""), src.Port())
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		q.dst = addrPort(a)
	}
	if wc != nil {
		q.hello = &wc.helloFacts
	}
	v := s.decide(&q, nil, s.cfg.Now())
	if wc != nil {
		wc.recorded.Store(true)
	}

	h := w.Header()
	v.header(h.Set)
	h.Set("Content-Length", strconv.Itoa(v.length()))
	if v.close && r.ProtoMajor == 1 {
		h.Set("Connection", "close")
		if q.body && s.answerAndHangUp(w, &q.head, &v) {
			return
		}
	}
	w.WriteHeader(v.status)
	if r.Method != http.MethodHead {
		w.Write(v.appendBody(nil))
	}
}

var shortTexts = map[int]string{
	http.StatusMisdirectedRequest: "421: no order in force makes this server answer for that name.\n",
	http.StatusExpectationFailed:  "417: nothing that you would send is wanted here.\n",
	http.StatusMethodNotAllowed:   "405: this method is not for use here.\n",
}

// answerAndHangUp answers a request that announces a body without reading it.
// net/http would read some of it, to save the connection.
func (s *Sinkhole) answerAndHangUp(w http.ResponseWriter, q *head, v *verdict) bool {
	c, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	defer c.Close()
	// What came along with the head is dropped unread.
	buf.Reader.Reset(strings.NewReader(""))
	c.SetDeadline(time.Now().Add(s.cfg.Limits.HeadTimeout))
	date := s.cfg.Now().UTC().AppendFormat(nil, http.TimeFormat)
	if _, err := c.Write(v.appendAnswer(nil, q, date)); err != nil {
		return true
	}
	// A close with unread octets is a reset, which could overtake the answer:
	// give the client half a second to read it.
	if cw, ok := c.(interface{ CloseWrite() error }); ok {
		cw.CloseWrite()
		time.Sleep(linger)
	}
	return true
}

// linger is how long a client that still sends may take to read its answer.
const linger = 500 * time.Millisecond

// hostName gives the lower-case name of a Host header or the like, without
// port; "" when it is an address or no host name.
func hostName(h string) string {
	if len(h) > 300 {
		return ""
	}
	if i := strings.LastIndexByte(h, ':'); i >= 0 {
		if strings.Trim(h[i+1:], "0123456789") != "" {
			return ""
		}
		h = h[:i]
	}
	h = strings.ToLower(strings.TrimSuffix(h, "."))
	if h == "" || len(h) > 253 {
		return ""
	}
	label := 0
	for i := range len(h) {
		switch c := h[i]; {
		case c == '.':
			if label == 0 {
				return ""
			}
			label = 0
			continue
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9', c == '-', c == '_':
		default:
			return ""
		}
		if label++; label > 63 {
			return ""
		}
	}
	if _, err := netip.ParseAddr(h); err == nil || label == 0 {
		return ""
	}
	return h
}
