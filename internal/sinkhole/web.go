package sinkhole

import (
	"context"
	"crypto/tls"
	"fmt"
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

	// Of the ClientHello; set once, before any request.
	sni, alpn, ja4 string
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
	return &webConn{Conn: c, s: l.s, proto: l.proto}, nil
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
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	scheme, proto := "http", impound.ProtoHTTP
	if secure {
		scheme, proto = "https", impound.ProtoTLS
	}
	l := webListener{s.newTracker(ln), proto}
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
			MaxConcurrentStreams: 32, MaxReceiveBufferPerStream: 4 << 10, MaxReceiveBufferPerConnection: 64 << 10,
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
	s.addrs[scheme] = append(s.addrs[scheme], ln.Addr().String())
	s.stops = append(s.stops, func(ctx context.Context) error {
		err := srv.Shutdown(ctx)
		ln.Close()
		l.cut()
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

var methods = map[string]bool{
	"GET": true, "HEAD": true, "POST": true, "PUT": true, "DELETE": true, "OPTIONS": true, "PATCH": true, "CONNECT": true, "TRACE": true,
	"PROPFIND": true,
}

func (s *Sinkhole) serveHTTP(w http.ResponseWriter, r *http.Request) {
	now := s.cfg.Now()
	// First of all, what may not be touched goes away.
	hdr := r.Header
	for _, k := range []string{"Authorization", "Proxy-Authorization", "Cookie"} {
		hdr.Del(k)
	}
	wc, _ := r.Context().Value(connKey{}).(*webConn)
	proto := impound.ProtoHTTP
	if r.TLS != nil {
		proto = impound.ProtoTLS
	}
	src, _ := netip.ParseAddrPort(r.RemoteAddr)
	var dst netip.AddrPort
	if a, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		dst = addrPort(a)
	}
	ev := contact(proto, netip.AddrPortFrom(src.Addr().Unmap().WithZone(""), src.Port()), dst, now)
	host := hostName(r.Host)
	ab := about{named: host != ""}
	ab.match, ab.ok = s.policy.Load().Lookup(host, now)
	ev.Name = host
	ev.Method = "other"
	if methods[r.Method] {
		ev.Method = r.Method
	}
	var lure string
	ev.Path, lure = scrubPath(r.URL.EscapedPath())
	ev.UserAgent = scrubText(hdr.Get("User-Agent"), maxAgent)
	ev.Referer = refererHost(hdr.Get("Referer"))
	if wc != nil {
		ev.SNI, ev.ALPN, ev.JA4 = wc.sni, wc.alpn, wc.ja4
	}
	hasBody := r.ContentLength != 0 || len(r.TransferEncoding) > 0
	status := http.StatusOK
	switch {
	case !ab.ok:
		status = http.StatusMisdirectedRequest
	case hdr.Get("Expect") != "":
		status = http.StatusExpectationFailed
	case r.Method == http.MethodConnect || r.Method == http.MethodTrace:
		status = http.StatusMethodNotAllowed
	}
	ev.Status = status
	ev.Outcome = answered
	if !ab.ok {
		ev.Outcome = refused
	}
	if ab.ok && ab.match.Order.Capture == impound.CaptureLure {
		if lure == "" {
			lure = queryLure(r.URL.RawQuery)
		}
		s.lures.put(&ev, lure, now)
	}
	s.record(&ev, ab)
	if wc != nil {
		wc.recorded.Store(true)
	}

	var page []byte
	h := w.Header()
	if ab.ok {
		h.Set("X-Sinkhole", "impound")
	}
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	switch status {
	case http.StatusOK:
		var lang string
		page, lang = s.notice.page(ab.match, hdr.Get("Accept-Language"))
		h.Set("Content-Type", "text/html; charset=utf-8")
		h.Set("Content-Language", lang)
		h.Set("Vary", "Accept-Language")
		h.Set("Content-Security-Policy", noticeCSP)
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Robots-Tag", "noindex")
	case http.StatusMethodNotAllowed:
		h.Set("Allow", "GET, HEAD, POST, OPTIONS")
		fallthrough
	default:
		h.Set("Content-Type", "text/plain; charset=utf-8")
		page = []byte(shortTexts[status])
	}
	h.Set("Content-Length", strconv.Itoa(len(page)))
	if (hasBody || status != http.StatusOK || hdr.Get("Expect") != "") && r.ProtoMajor == 1 {
		h.Set("Connection", "close")
		if hasBody && s.answerAndHangUp(w, r, status, page) {
			return
		}
	}
	w.WriteHeader(status)
	if r.Method != http.MethodHead {
		w.Write(page)
	}
}

var shortTexts = map[int]string{
	http.StatusMisdirectedRequest: "421: no order in force makes this server answer for that name.\n",
	http.StatusExpectationFailed:  "417: nothing that you would send is wanted here.\n",
	http.StatusMethodNotAllowed:   "405: this method is not for use here.\n",
}

// answerAndHangUp answers a request that announces a body without reading it.
// net/http would read some of it, to save the connection.
func (s *Sinkhole) answerAndHangUp(w http.ResponseWriter, r *http.Request, status int, page []byte) bool {
	c, buf, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return false
	}
	defer c.Close()
	// What came along with the head is dropped unread.
	buf.Reader.Reset(strings.NewReader(""))
	var b strings.Builder
	fmt.Fprintf(&b, "HTTP/1.1 %d %s\r\nDate: %s\r\n", status, http.StatusText(status), s.cfg.Now().UTC().Format(http.TimeFormat))
	w.Header().Write(&b)
	b.WriteString("\r\n")
	if r.Method != http.MethodHead {
		b.Write(page)
	}
	c.SetDeadline(time.Now().Add(s.cfg.Limits.HeadTimeout))
	if _, err := io.WriteString(c, b.String()); err != nil {
		return true
	}
	// A close with unread octets is a reset, which could overtake the answer:
	// give the client half a second to read it.
	if cw, ok := c.(interface{ CloseWrite() error }); ok {
		cw.CloseWrite()
		time.Sleep(500 * time.Millisecond)
	}
	return true
}

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
