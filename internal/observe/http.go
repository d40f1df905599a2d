package observe

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
)

// maxRedirects bounds the redirects followed in one look.
const maxRedirects = 5

// browserAgent is the second agent of an HTTP look: a page that answers it
// otherwise than ours is gated.
const browserAgent = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"

// HTTPView is what a name's web servers answer to GET /.
type HTTPView struct {
	Name  impound.Name `json:"name"`
	At    time.Time    `json:"at"`
	Looks []HTTPLook   `json:"looks"`
	Gated bool         `json:"gated"` // the two agents got different answers
	Err   string       `json:"err,omitempty"`
}

// HTTPLook is one scheme with one agent: the hops from GET / on. A redirect to
// another host is written down and not followed.
type HTTPLook struct {
	Scheme string    `json:"scheme"`
	Agent  string    `json:"agent"`
	Hops   []HTTPHop `json:"hops,omitempty"`
	Err    string    `json:"err,omitempty"`
}

// HTTPHop is one exchange. Cookies are kept by name only.
type HTTPHop struct {
	URL         string   `json:"url"`
	Addr        string   `json:"addr,omitempty"`
	Status      int      `json:"status"`
	Server      string   `json:"server,omitempty"`
	ContentType string   `json:"content_type,omitempty"`
	Location    string   `json:"location,omitempty"`
	Sinkhole    string   `json:"x_sinkhole,omitempty"` // how sinkholes announce themselves
	Cookies     []string `json:"cookie_names,omitempty"`
	BodySHA256  string   `json:"body_sha256,omitempty"`
	BodySize    int64    `json:"body_size"`
	Cut         bool     `json:"cut,omitempty"` // the body went on past the bound
	TLS         []Cert   `json:"tls,omitempty"` // the chain, the server's own first
	TLSVersion  string   `json:"tls_version,omitempty"`
	TLSFault    string   `json:"tls_fault,omitempty"` // why the chain isn't valid for the name
	body        []byte   `json:"-"`
}

// Cert is one certificate of a chain.
type Cert struct {
	SHA256    string    `json:"sha256"`
	Subject   string    `json:"subject"`
	Issuer    string    `json:"issuer"`
	NotBefore time.Time `json:"not_before"`
	NotAfter  time.Time `json:"not_after"`
	Names     []string  `json:"names,omitempty"`
	NameCount int       `json:"name_count,omitempty"` // of all its names
}

// Observation makes v ready to be kept; each body that came is a part.
func (v HTTPView) Observation() Observation {
	sum := "http of " + v.Name.Defanged() + ": "
	var got []string
	var parts []Part
	for _, l := range v.Looks {
		if len(l.Hops) == 0 {
			continue
		}
		h := l.Hops[len(l.Hops)-1]
		got = append(got, fmt.Sprintf("%s %d", l.Scheme, h.Status))
		for _, h := range l.Hops {
			if len(h.body) > 0 && !slices.ContainsFunc(parts, func(p Part) bool { return string(p.Bytes) == string(h.body) }) {
				parts = append(parts, Part{Label: "GET " + h.URL, Media: "application/octet-stream", Bytes: h.body})
			}
		}
	}
	if v.Err != "" {
		sum += "not seen: " + v.Err
	} else {
		slices.Sort(got)
		sum += strings.Join(slices.Compact(got), ", ")
		if v.Gated {
			sum += "; answers browsers otherwise than tools"
		}
	}
	o := observation(KindHTTP, v.Name, "http://"+v.Name.String()+"/ https://"+v.Name.String()+"/", v.At, v, sum, v.Err)
	o.Parts = parts
	return o
}

// HTTP gets / over http and https, each with two agents. Certificates are
// recorded and not required to be valid. No loopback, private or otherwise
// special address is connected to unless a route says so.
func (c *Observer) HTTP(ctx context.Context, name impound.Name) HTTPView {
	v := HTTPView{Name: name, At: c.now()}
	for _, scheme := range []string{"http", "https"} {
		for _, agent := range []string{c.cfg.UserAgent, browserAgent} {
			v.Looks = append(v.Looks, HTTPLook{Scheme: scheme, Agent: agent})
		}
	}
	var wg sync.WaitGroup
	for i := range v.Looks {
		wg.Go(func() { c.look(ctx, name, &v.Looks[i]) })
	}
	wg.Wait()
	var why []string
	for i := 0; i < len(v.Looks); i += 2 {
		if v.Looks[i].answer() != v.Looks[i+1].answer() {
			v.Gated = true
		}
	}
	for _, l := range v.Looks {
		if len(l.Hops) > 0 {
			return v
		}
		if !slices.Contains(why, l.Err) {
			why = append(why, l.Err)
		}
	}
	v.Err = strings.Join(why, "; ")
	return v
}

// answer is what gating is judged by: where the look ended, and its status. The
// body is left out, since honest pages change between two looks.
func (l HTTPLook) answer() string {
	if len(l.Hops) == 0 {
		return "none"
	}
	h := l.Hops[len(l.Hops)-1]
	return fmt.Sprintf("%d %s %s", h.Status, h.Location, h.ContentType)
}

func (c *Observer) look(ctx context.Context, name impound.Name, l *HTTPLook) {
	ctx, cancel := context.WithTimeout(ctx, 3*c.cfg.Timeout)
	defer cancel()
	u := &url.URL{Scheme: l.Scheme, Host: name.String(), Path: "/"}
	home, err := name.Registrable()
	if err != nil {
		home = name
	}
	seen := map[string]bool{}
	for range maxRedirects + 1 {
		if seen[u.String()] {
			l.Err = "redirects in a loop"
			return
		}
		seen[u.String()] = true
		hop, next, err := c.hop(ctx, u, l.Agent)
		if err != nil {
			l.Err = clip(err.Error(), 300)
			return
		}
		l.Hops = append(l.Hops, hop)
		if next == nil {
			return
		}
		to, err := impound.ParseName(next.Hostname())
		if err != nil || !to.AtOrBelow(home) || next.Scheme != "http" && next.Scheme != "https" || next.Port() != "" {
			return // the place it points at is in Location
		}
		u = next
	}
	l.Err = fmt.Sprintf("redirects more than %d times", maxRedirects)
}

func (c *Observer) hop(ctx context.Context, u *url.URL, agent string) (HTTPHop, *url.URL, error) {
	h := HTTPHop{URL: clip(u.String(), 2048)}
	cl := c.httpClient("", &h.Addr)
	defer cl.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return h, nil, err
	}
	req.Header.Set("User-Agent", agent)
	req.Header.Set("Accept", "text/html,*/*;q=0.5")
	resp, err := cl.Do(req)
	if err != nil {
		return h, nil, err
	}
	defer resp.Body.Close()
	h.Status = resp.StatusCode
	h.Server = clip(resp.Header.Get("Server"), 200)
	h.ContentType = clip(resp.Header.Get("Content-Type"), 200)
	h.Sinkhole = clip(resp.Header.Get("X-Sinkhole"), 200)
	h.Location = clip(resp.Header.Get("Location"), 2048)
	for _, k := range resp.Cookies() {
		if len(h.Cookies) < maxRecords {
			h.Cookies = append(h.Cookies, clip(k.Name, 80))
		}
	}
	if s := resp.TLS; s != nil {
		h.TLSVersion = tls.VersionName(s.Version)
		h.TLS, h.TLSFault = c.certs(s.PeerCertificates, u.Hostname())
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, c.cfg.MaxBody+1))
	if int64(len(body)) > c.cfg.MaxBody {
		body, h.Cut = body[:c.cfg.MaxBody], true
	} else if err != nil {
		h.Cut = true
	}
	h.body, h.BodySize = body, int64(len(body))
	sum := sha256.Sum256(body)
	h.BodySHA256 = hex.EncodeToString(sum[:])
	if resp.StatusCode/100 == 3 {
		if next, err := resp.Location(); err == nil {
			return h, next, nil
		}
	}
	return h, nil, nil
}

func (c *Observer) certs(chain []*x509.Certificate, host string) ([]Cert, string) {
	var out []Cert
	pool := x509.NewCertPool()
	for i, k := range chain {
		if i == 10 {
			break
		}
		sum := sha256.Sum256(k.Raw)
		out = append(out, Cert{
			SHA256: hex.EncodeToString(sum[:]), Subject: clip(k.Subject.String(), 300), Issuer: clip(k.Issuer.String(), 300),
			NotBefore: k.NotBefore.UTC(), NotAfter: k.NotAfter.UTC(), Names: k.DNSNames[:min(len(k.DNSNames), maxRecords)], NameCount: len(k.DNSNames),
		})
		pool.AddCert(k)
	}
	if len(chain) == 0 {
		return nil, ""
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{DNSName: host, Intermediates: pool, CurrentTime: c.cfg.Now()}); err != nil {
		return out, clip(err.Error(), 300)
	}
	return out, ""
}

// errPrivate says that a look would have reached into our own network.
var errPrivate = errors.New("its address is a loopback, private or otherwise special one, where nothing is asked without a route")

// httpClient makes a client that resolves through our resolvers, follows no
// redirect by itself and connects to public addresses only, save for routes and
// for the trusted host:port. at is told the address reached.
func (c *Observer) httpClient(trusted string, at *string) *http.Client {
	dial := func(ctx context.Context, network, addr string) (net.Conn, error) {
		d := net.Dialer{Timeout: c.cfg.Timeout, LocalAddr: c.from("tcp")}
		reach := func(to, said string) (net.Conn, error) {
			if at != nil {
				*at = said
			}
			return d.DialContext(ctx, network, to)
		}
		if to, ok := c.route(addr); ok {
			return reach(to, addr)
		}
		host, port, err := net.SplitHostPort(addr)
		if err != nil {
			return nil, err
		}
		addrs := c.lookup(ctx, host)
		if len(addrs) == 0 {
			return nil, fmt.Errorf("%s has no address", defang(host))
		}
		for _, a := range addrs[:min(len(addrs), 4)] {
			ap := net.JoinHostPort(a.String(), port)
			if to, ok := c.route(ap); ok {
				return reach(to, ap)
			}
			if !public(a) && addr != trusted {
				err = errPrivate
				continue
			}
			var conn net.Conn
			if c.through != nil && (trusted == "" || !c.cfg.DirectDNS) {
				if at != nil {
					*at = ap
				}
				var to netip.AddrPort
				if to, err = netip.ParseAddrPort(ap); err == nil {
					conn, err = c.proxied(ctx, to)
				}
			} else {
				conn, err = reach(ap, ap)
			}
			if err == nil {
				return conn, nil
			}
		}
		return nil, err
	}
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: dial,
			// A page is looked at as it is; whether its chain is valid is
			// recorded. An RDAP server must prove who it is.
			TLSClientConfig:        &tls.Config{InsecureSkipVerify: trusted == "", MinVersion: tls.VersionTLS10}, //nolint:gosec
			DisableCompression:     true,                                                                         // the bound is on what is read, and bodies are hashed as they come
			DisableKeepAlives:      true,
			MaxResponseHeaderBytes: 64 << 10,
			TLSHandshakeTimeout:    c.cfg.Timeout,
			ResponseHeaderTimeout:  c.cfg.Timeout,
		},
	}
}

// special are the prefixes, beyond what netip knows, that are no public
// servers' (IANA special-purpose registries, RFC 6890).
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"), netip.MustParsePrefix("100.64.0.0/10"), netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"), netip.MustParsePrefix("198.18.0.0/15"), netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"), netip.MustParsePrefix("240.0.0.0/4"),
	netip.MustParsePrefix("64:ff9b::/96"), netip.MustParsePrefix("64:ff9b:1::/48"), netip.MustParsePrefix("100::/64"),
	netip.MustParsePrefix("2001::/23"), netip.MustParsePrefix("2001:db8::/32"), netip.MustParsePrefix("2002::/16"),
}

func public(a netip.Addr) bool {
	a = a.Unmap()
	if !a.IsGlobalUnicast() || a.IsPrivate() {
		return false
	}
	return !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(a) })
}

func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
	}
	return net.JoinHostPort(u.Hostname(), port)
}
