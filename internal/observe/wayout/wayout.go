// Package wayout opens connections through a proxy that we chose as our way out
// of this network, so that who is asked does not see who asks.
//
// What lives here: reading a proxy's address, and SOCKS5 (RFC 1928, 1929) and
// HTTP CONNECT (RFC 9110 9.3.6). What must not: deciding what may be connected
// to, resolving names, or showing a proxy's password. A proxy is given an address
// and never a name: what it connects to was judged before.
package wayout

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"golang.org/x/net/proxy"

	"github.com/impound/impound"
)

// Parse reads the address of a proxy, socks5://HOST:PORT or http://HOST:PORT; nil
// for "". A name and password in it are used and nowhere shown. What is no such
// address is an error of KindInvalid at where.
func Parse(s, where string) (*url.URL, error) {
	if s == "" {
		return nil, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "socks5" && u.Scheme != "http" || u.Hostname() == "" || u.Port() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, impound.Errorf(impound.KindInvalid, "it is no address of a proxy").At(where).WithCure("write socks5://HOST:PORT or http://HOST:PORT")
	}
	return u, nil
}

// Dial opens a TCP connection to ap through the proxy via, which [Parse] gave.
// The connection to the proxy leaves from address from, where that is valid, and
// is opened within timeout.
func Dial(ctx context.Context, via *url.URL, from netip.Addr, timeout time.Duration, ap netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	// The proxy was configured by us, so its own address may be any.
	direct := &net.Dialer{Timeout: timeout}
	if from.IsValid() {
		direct.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0))
	}
	if via.Scheme != "socks5" {
		return connect(ctx, direct, via, ap)
	}
	var auth *proxy.Auth
	if u := via.User; u != nil {
		pw, _ := u.Password()
		auth = &proxy.Auth{User: u.Username(), Password: pw}
	}
	d, err := proxy.SOCKS5("tcp", via.Host, auth, direct)
	if err != nil {
		return nil, err
	}
	c, err := d.(proxy.ContextDialer).DialContext(ctx, "tcp", ap.String())
	if err != nil {
		return nil, fmt.Errorf("through the egress proxy: %w", err)
	}
	return c, nil
}

// connect asks an HTTP proxy for a tunnel (RFC 9110 9.3.6).
func connect(ctx context.Context, d *net.Dialer, via *url.URL, ap netip.AddrPort) (net.Conn, error) {
	c, err := d.DialContext(ctx, "tcp", via.Host)
	if err != nil {
		return nil, fmt.Errorf("couldn't reach the egress proxy: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	req := &http.Request{Method: http.MethodConnect, URL: &url.URL{Opaque: ap.String()}, Host: ap.String(), Header: http.Header{}}
	if u := via.User; u != nil {
		pw, _ := u.Password()
		basic := &http.Request{Header: http.Header{}}
		basic.SetBasicAuth(u.Username(), pw)
		req.Header.Set("Proxy-Authorization", basic.Header.Get("Authorization"))
	}
	br := bufio.NewReaderSize(c, 4096)
	resp, err := (*http.Response)(nil), req.Write(c)
	if err == nil {
		resp, err = http.ReadResponse(br, req)
	}
	switch {
	case err != nil:
	case resp.StatusCode != http.StatusOK:
		err = fmt.Errorf("the proxy answers %d", resp.StatusCode)
	case br.Buffered() > 0:
		err = errors.New("the proxy speaks before it is asked")
	}
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err != nil {
		c.Close()
		return nil, fmt.Errorf("through the egress proxy: %w", err)
	}
	return c, nil
}
