// Package doh asks resolvers over HTTPS (RFC 8484).
//
// What lives here: one question and its answer, as octets, and which addresses such
// a resolver may have. What must not: what to ask, and what an answer means.
package doh

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"mime"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"github.com/impound/impound"
)

// Media is the media type of a message (RFC 8484 6).
const Media = "application/dns-message"

const (
	maxMessage = 65535 // octets of a message (RFC 8484 6)
	headerSize = 12    // of which the first two are the id
)

// Is says whether a resolver's address is one of a resolver over HTTPS.
func Is(server string) bool { return strings.HasPrefix(server, "https://") }

// Parse reads the address of such a resolver, https://HOST[:PORT]/PATH. One that is
// none is an error of KindInvalid.
func Parse(server string) (*url.URL, error) {
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" || strings.Trim(u.Path, "/") == "" {
		return nil, impound.Errorf(impound.KindInvalid, "“%.100s” is no address of a resolver over HTTPS", server).WithCure("write it as https://192.0.2.53/dns-query")
	}
	return u, nil
}

// Named says whether somebody else has to be asked for the resolver's own address:
// its host is a name.
func Named(server string) bool {
	u, err := Parse(server)
	if err != nil {
		return false
	}
	_, err = netip.ParseAddr(u.Hostname())
	return err != nil
}

// Client asks. It is safe for concurrent use, and keeps connections open: see Close.
type Client struct {
	http *http.Client
	tr   *http.Transport
}

// New makes a Client that opens connections by dial, to "host:port"; nil: directly.
// timeout bounds one exchange; roots are whom certificates must lead to, nil: the
// system's.
func New(dial func(ctx context.Context, addr string) (net.Conn, error), timeout time.Duration, roots *x509.CertPool) *Client {
	tr := &http.Transport{
		ForceAttemptHTTP2: true, TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: timeout, MaxIdleConnsPerHost: 8, IdleConnTimeout: time.Minute,
		DisableCompression: true, MaxResponseHeaderBytes: 16 << 10,
	}
	if dial != nil {
		tr.DialContext = func(ctx context.Context, _, addr string) (net.Conn, error) { return dial(ctx, addr) }
	}
	return &Client{tr: tr, http: &http.Client{
		Transport: tr, Timeout: timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// Close lets go of the connections that are kept open.
func (c *Client) Close() { c.tr.CloseIdleConnections() }

// Exchange sends a message in wire format and gives the answer's, with the
// question's id. On the way the id is 0, so that it tells nobody apart (RFC 8484
// 4.1). Redirects are not followed.
func (c *Client) Exchange(ctx context.Context, server string, msg []byte) ([]byte, error) {
	u, err := Parse(server)
	if err != nil {
		return nil, err
	}
	if len(msg) < headerSize || len(msg) > maxMessage {
		return nil, impound.Errorf(impound.KindInvalid, "%d octets are no DNS message", len(msg))
	}
	body := bytes.Clone(msg)
	body[0], body[1] = 0, 0
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, u.String(), bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header = http.Header{"Content-Type": {Media}, "Accept": {Media}, "User-Agent": nil}
	resp, err := c.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("couldn't ask over HTTPS: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("it answers HTTP status %d", resp.StatusCode)
	}
	if t, _, err := mime.ParseMediaType(resp.Header.Get("Content-Type")); err != nil || t != Media {
		return nil, fmt.Errorf("it answers %.60q, which is no DNS message", resp.Header.Get("Content-Type"))
	}
	raw, err := io.ReadAll(io.LimitReader(resp.Body, maxMessage+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("couldn't read the answer: %w", err)
	case len(raw) < headerSize || len(raw) > maxMessage:
		return nil, fmt.Errorf("its answer of %d octets is no DNS message", len(raw))
	}
	copy(raw, msg[:2])
	return raw, nil
}
