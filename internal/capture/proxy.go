package capture

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Bounds of the browser's way out.
const (
	proxyConns   = 32  // at a time
	proxyAsks    = 400 // requests of one visit
	proxyHead    = 64 << 10
	proxyBody    = 1 << 20 // of what the browser sends
	proxyHosts   = 200     // certificates made
	proxyWait    = time.Minute
	maxPageHosts = 40 // listed in the summary
)

// filterProxy is the browser's only way out: it asks what the browser wants, by
// the same rules as every look, and records both. TLS ends here, so that what
// goes through it is on the record; the certificates are by a key that lives as
// long as the visit, and that the browser alone was told to believe.
type filterProxy struct {
	t     *take
	via   *egress
	bud   *budget
	ca    *ecdsa.PrivateKey
	warc  *warcFile
	slots chan struct{}

	mu      sync.Mutex
	leaves  map[string]*tls.Certificate
	asked   int
	refused []string // what was not asked, and why
	hosts   []string
}

func newFilterProxy(t *take) (*filterProxy, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return &filterProxy{
		t: t, via: t.main, bud: newBudget(t.bounds.Total), ca: key, slots: make(chan struct{}, proxyConns), leaves: map[string]*tls.Certificate{},
		warc: newWARC(t.cfg.Tool, t.req.Name.String()+"-browser.warc.gz", t.now),
	}, nil
}

// keyPin is the hash of the proxy's public key, as the browser wants it.
func (p *filterProxy) keyPin() string {
	der, err := x509.MarshalPKIXPublicKey(&p.ca.PublicKey)
	if err != nil {
		return ""
	}
	sum := sha256.Sum256(der)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// leaf gives a certificate for host, with the visit's one key: a browser that
// is told the key needs no chain.
func (p *filterProxy) leaf(host string) (*tls.Certificate, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if c := p.leaves[host]; c != nil {
		return c, nil
	}
	if len(p.leaves) >= proxyHosts {
		return nil, fmt.Errorf("more than %d hosts", proxyHosts)
	}
	now := time.Now()
	c := &x509.Certificate{
		SerialNumber: big.NewInt(int64(len(p.leaves) + 1)), Subject: pkix.Name{CommonName: "capture"},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	if ip := net.ParseIP(host); ip != nil {
		c.IPAddresses = []net.IP{ip}
	} else {
		c.DNSNames = []string{host}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &p.ca.PublicKey, p.ca)
	if err != nil {
		return nil, err
	}
	p.leaves[host] = &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: p.ca}
	return p.leaves[host], nil
}

// serve answers the browser until ctx ends.
func (p *filterProxy) serve(ctx context.Context, l net.Listener) {
	var wg sync.WaitGroup
	defer wg.Wait()
	stop := context.AfterFunc(ctx, func() { l.Close() })
	defer stop()
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		select {
		case p.slots <- struct{}{}:
		case <-ctx.Done():
			c.Close()
			return
		}
		wg.Go(func() {
			defer func() { <-p.slots }()
			defer c.Close()
			stop := context.AfterFunc(ctx, func() { c.Close() })
			defer stop()
			p.talk(ctx, c)
		})
	}
}

// talk serves one connection: plain requests with whole URLs, or a tunnel.
func (p *filterProxy) talk(ctx context.Context, c net.Conn) {
	br := bufio.NewReaderSize(c, 8<<10)
	_ = c.SetDeadline(time.Now().Add(proxyWait))
	h, err := readHead(br)
	if err != nil {
		return
	}
	if h.method != http.MethodConnect {
		for {
			u, err := url.Parse(h.target)
			if err != nil || u.Scheme != "http" || !p.answer(ctx, c, br, h, u) {
				return
			}
			_ = c.SetDeadline(time.Now().Add(proxyWait))
			if h, err = readHead(br); err != nil || h.method == http.MethodConnect {
				return
			}
		}
	}
	host, port, err := net.SplitHostPort(h.target)
	if err != nil || br.Buffered() > 0 {
		return
	}
	if _, err := io.WriteString(c, "HTTP/1.1 200 OK\r\n\r\n"); err != nil {
		return
	}
	s := tls.Server(c, &tls.Config{NextProtos: []string{"http/1.1"}, MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return p.leaf(host) }})
	defer s.Close()
	if err := s.HandshakeContext(ctx); err != nil {
		return
	}
	br = bufio.NewReaderSize(s, 8<<10)
	for {
		_ = c.SetDeadline(time.Now().Add(proxyWait))
		if h, err = readHead(br); err != nil {
			return
		}
		at := net.JoinHostPort(host, port)
		if port == "443" {
			at = strings.TrimSuffix(at, ":443")
		}
		u, err := url.Parse("https://" + at + h.target)
		// A target that does not begin with a slash could make another host of it.
		if err != nil || h.target[0] != '/' || !p.answer(ctx, s, br, h, u) {
			return
		}
	}
}

// answer asks for u and gives the browser what came. It says whether the
// connection can go on.
func (p *filterProxy) answer(ctx context.Context, c io.Writer, br *bufio.Reader, h *requestHead, u *url.URL) bool {
	body, err := h.body(br)
	if err != nil {
		return false
	}
	refuse := func(why string) bool {
		p.mu.Lock()
		if len(p.refused) < maxPageHosts {
			p.refused = append(p.refused, inert(h.method+" "+u.Scheme+"://"+defang(u.Host), 200)+": "+why)
		}
		p.mu.Unlock()
		msg := "refused by the capture: " + why + "\n"
		_, err := fmt.Fprintf(c, "HTTP/1.1 403 Forbidden\r\nContent-Type: text/plain\r\nContent-Length: %d\r\n\r\n%s", len(msg), msg)
		return err == nil
	}
	switch {
	case !slices.Contains([]string{"GET", "HEAD", "POST", "OPTIONS"}, h.method):
		return refuse("the method")
	case h.get("Upgrade") != "":
		return refuse("a change of protocol")
	}
	if ownHost(u.Hostname()) {
		return refuse("the browser's own business, not the page's")
	}
	p.mu.Lock()
	p.asked++
	over := p.asked > proxyAsks
	if host := inert(strings.ToLower(u.Hostname()), 255); !slices.Contains(p.hosts, host) && len(p.hosts) < maxPageHosts {
		p.hosts = append(p.hosts, host)
	}
	p.mu.Unlock()
	if over {
		return refuse(fmt.Sprintf("more than %d requests", proxyAsks))
	}
	x := p.t.fetch(ctx, p.via, p.bud, "browser", u, h.method, h.forward(u, len(body)), body)
	p.warc.exchange(x)
	if x.Status == 0 {
		return refuse(x.Err)
	}
	if x.Status == http.StatusSwitchingProtocols {
		return refuse("a change of protocol")
	}
	var out bytes.Buffer
	fmt.Fprintf(&out, "HTTP/1.1 %d %s\r\n", x.Status, http.StatusText(x.Status))
	for k, vs := range x.Header {
		switch k {
		case "Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Upgrade", "Alt-Svc", "Trailer", "Proxy-Authenticate", "Strict-Transport-Security":
			continue
		}
		for _, v := range vs {
			out.WriteString(k + ": " + oneLine(v) + "\r\n")
		}
	}
	empty := h.method == http.MethodHead || x.Status == 204 || x.Status == 304
	if !empty {
		fmt.Fprintf(&out, "Content-Length: %d\r\n", len(x.body))
	}
	out.WriteString("\r\n")
	if !empty {
		out.Write(x.body)
	}
	_, err = c.Write(out.Bytes())
	return err == nil
}

// ownHost says whether host is one that Chromium asks on its own account, for
// updates and the like, whatever its flags: nobody out there needs to know when
// we look, and it is nothing of the page's.
func ownHost(host string) bool {
	host = strings.ToLower(host)
	if rest, ok := strings.CutPrefix(host, "clients"); ok {
		n, ok := strings.CutSuffix(rest, ".google.com")
		return ok && len(n) <= 1
	}
	return slices.Contains([]string{
		"update.googleapis.com", "safebrowsing.googleapis.com", "optimizationguide-pa.googleapis.com", "content-autofill.googleapis.com", "accounts.google.com",
		"redirector.gvt1.com", "edgedl.me.gvt1.com", "android.clients.google.com", "mtalk.google.com", "dl.google.com", "clientservices.googleapis.com", "chromewebstore.googleapis.com",
	}, host)
}

// requestHead is a request's head with its lines as the browser wrote them.
type requestHead struct {
	method, target string
	lines          []string
}

// readHead reads a request's head, at most proxyHead octets of it.
func readHead(br *bufio.Reader) (*requestHead, error) {
	h := &requestHead{}
	left := proxyHead
	for first := true; ; first = false {
		var line []byte
		for {
			part, more, err := br.ReadLine()
			if err != nil {
				return nil, err
			}
			line = append(line, part...)
			if left -= len(part) + 2; left < 0 {
				return nil, errBound
			}
			if !more {
				break
			}
		}
		if first {
			var proto string
			f := strings.Split(string(line), " ")
			if len(f) != 3 {
				return nil, fmt.Errorf("not a request")
			}
			if h.method, h.target, proto = f[0], f[1], f[2]; proto != "HTTP/1.1" || h.method == "" || h.target == "" {
				return nil, fmt.Errorf("not a request")
			}
			continue
		}
		if len(line) == 0 {
			return h, nil
		}
		name, _, ok := strings.Cut(string(line), ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			return nil, fmt.Errorf("not a header")
		}
		h.lines = append(h.lines, string(line))
	}
}

func (h *requestHead) get(name string) string {
	for _, l := range h.lines {
		if k, v, _ := strings.Cut(l, ":"); textproto.CanonicalMIMEHeaderKey(k) == name {
			return strings.TrimSpace(v)
		}
	}
	return ""
}

// body reads what the browser sends; chunked it does not send to a proxy.
func (h *requestHead) body(br *bufio.Reader) ([]byte, error) {
	if h.get("Transfer-Encoding") != "" {
		return nil, fmt.Errorf("a body of unknown length")
	}
	s := h.get("Content-Length")
	if s == "" {
		return nil, nil
	}
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n > proxyBody {
		return nil, fmt.Errorf("a body of %q octets", s)
	}
	b := make([]byte, n)
	_, err = io.ReadFull(br, b)
	return b, err
}

// forward writes the head for the server, with the browser's lines in its
// order.
func (h *requestHead) forward(u *url.URL, body int) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "%s %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n", h.method, u.RequestURI(), u.Host)
	for _, l := range h.lines {
		k, _, _ := strings.Cut(l, ":")
		switch textproto.CanonicalMIMEHeaderKey(k) {
		case "Host", "Connection", "Proxy-Connection", "Proxy-Authorization", "Keep-Alive", "Te", "Trailer", "Upgrade", "Content-Length":
			continue
		case "Accept-Encoding":
			b.WriteString("Accept-Encoding: gzip, deflate\r\n")
			continue
		}
		b.WriteString(l + "\r\n")
	}
	if body > 0 || h.method == http.MethodPost {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", body)
	}
	b.WriteString("\r\n")
	return b.Bytes()
}
