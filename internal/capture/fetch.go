package capture

import (
	"bufio"
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/netip"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/impound/impound"
)

// Bounds bound a capture. The zero value of a field is its default.
type Bounds struct {
	Total   int64         // octets over the wire of all looks' answers, and as much again of the browser's; 24 MiB
	Answer  int64         // octets of one answer; 4 MiB
	Header  int64         // octets of one answer's head; 64 KiB
	Decoded int64         // octets that one answer may unpack to; 8 MiB
	Hops    int           // exchanges of one chain of redirects; 10
	Time    time.Duration // one exchange; 20 s
	Browser time.Duration // the browser's whole visit; 45 s
	All     time.Duration // everything; 4 min
}

func (b Bounds) orDefault() Bounds {
	set := func(v *int64, d int64) {
		if *v <= 0 {
			*v = d
		}
	}
	set(&b.Total, 24<<20)
	set(&b.Answer, 4<<20)
	set(&b.Header, 64<<10)
	set(&b.Decoded, 8<<20)
	if b.Hops <= 0 {
		b.Hops = 10
	}
	for _, x := range []struct {
		v *time.Duration
		d time.Duration
	}{{&b.Time, 20 * time.Second}, {&b.Browser, 45 * time.Second}, {&b.All, 4 * time.Minute}} {
		if *x.v <= 0 {
			*x.v = x.d
		}
	}
	return b
}

// budget is what is left of Bounds.Total.
type budget struct{ left atomic.Int64 }

func newBudget(n int64) *budget {
	b := &budget{}
	b.left.Store(n)
	return b
}

// exchange is one HTTP request and what came back, with the octets of both as
// they went over the wire (inside TLS).
type exchange struct {
	Look   string // which of the visitors asked
	Via    string // "direct", "proxy", "second proxy"
	URL    string
	At     time.Time
	Took   time.Duration
	Status int
	Header http.Header
	Cut    string // WARC-Truncated
	Err    string
	TLS    *TLSView

	addr     netip.AddrPort
	request  []byte // as sent
	sent     []byte // its body
	response []byte // as it came
	body     []byte // after transfer coding, before content coding
}

// intake reads from a connection, keeps what it read, and stops at a bound.
type intake struct {
	r     io.Reader
	bud   *budget
	limit int64
	buf   bytes.Buffer
}

var errBound = errors.New("a bound was reached")

func (t *intake) Read(p []byte) (int, error) {
	room := min(t.limit-int64(t.buf.Len()), t.bud.left.Load(), int64(len(p)))
	if room <= 0 {
		return 0, errBound
	}
	n, err := t.r.Read(p[:room])
	t.bud.left.Add(-int64(n))
	t.buf.Write(p[:n])
	return n, err
}

// fetch sends one request and takes the answer. head is the request as it is
// sent, up to and with the empty line; it must ask for the connection's end.
func (t *take) fetch(ctx context.Context, via *egress, bud *budget, look string, u *url.URL, method string, head, body []byte) *exchange {
	x := &exchange{Look: look, Via: t.viaName(via), URL: u.String(), request: append(bytes.Clone(head), body...), sent: body}
	ctx, cancel := context.WithTimeout(ctx, t.bounds.Time)
	defer cancel()
	host, port, err := target(u)
	if err == nil && !webPort(port) && !via.loopback && !t.routed(host, port) {
		err = fmt.Errorf("port %d is no web server's: not asked", port)
	}
	if err == nil && bud.left.Load() <= 0 {
		err = fmt.Errorf("the capture's bound of %d octets is used up", t.bounds.Total)
	}
	if err == nil {
		err = t.pace.wait(ctx, host)
	}
	start := time.Now()
	x.At = t.now().UTC()
	defer func() { x.Took = time.Since(start) }()
	var conn net.Conn
	if err == nil {
		conn, x.addr, err = via.dial(ctx, host, port)
	}
	if err != nil {
		x.request, x.sent, x.Err = nil, nil, t.why(err)
		return x
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	in := &intake{r: conn, bud: bud, limit: t.bounds.Header}
	out := io.Writer(conn)
	if u.Scheme == "https" {
		c, view, err := t.handshake(ctx, conn, host, []string{"http/1.1"})
		x.TLS = view
		if err != nil {
			x.request, x.sent, x.Err = nil, nil, "TLS: "+t.why(err)
			return x
		}
		defer c.Close()
		in.r, out = c, c
	}
	if _, err := out.Write(x.request); err != nil {
		x.Err, x.Cut = "couldn't send the request: "+t.why(err), cutDisconnect
		return x
	}
	br := bufio.NewReaderSize(in, 16<<10)
	resp, err := http.ReadResponse(br, &http.Request{Method: method})
	// An interim answer (RFC 9110 15.2) is kept in the octets and passed over.
	for n := 0; err == nil && resp.StatusCode/100 == 1 && resp.StatusCode != http.StatusSwitchingProtocols && n < 5; n++ {
		resp, err = http.ReadResponse(br, &http.Request{Method: method})
	}
	if err != nil {
		x.response = bytes.Clone(in.buf.Bytes())
		x.Cut, x.Err = t.cutBy(err), "no HTTP answer: "+t.why(err)
		if errors.Is(err, errBound) {
			x.Err = fmt.Sprintf("the head of the answer is longer than %d octets", t.bounds.Header)
		}
		return x
	}
	in.limit = t.bounds.Header + t.bounds.Answer
	x.Status, x.Header = resp.StatusCode, resp.Header
	x.body, err = io.ReadAll(io.LimitReader(resp.Body, t.bounds.Answer+1))
	switch {
	case int64(len(x.body)) > t.bounds.Answer:
		x.body, x.Cut = x.body[:t.bounds.Answer], cutLength
	case err != nil:
		x.Cut = t.cutBy(err)
	}
	// What the reader took beyond the answer's end is not the answer's. A cut
	// answer keeps all that came.
	raw := in.buf.Bytes()
	if x.Cut == "" {
		raw = raw[:len(raw)-br.Buffered()]
	}
	x.response = bytes.Clone(raw)
	return x
}

func (t *take) cutBy(err error) string {
	var ne net.Error
	switch {
	case errors.Is(err, errBound):
		return cutLength
	case errors.Is(err, os.ErrDeadlineExceeded), errors.Is(err, context.DeadlineExceeded), errors.As(err, &ne) && ne.Timeout():
		return cutTime
	}
	return cutDisconnect
}

// why words an error for the record: it may quote what a server sent.
func (t *take) why(err error) string {
	if t.cutBy(err) == cutTime {
		return "it took too long"
	}
	return inert(err.Error(), 300)
}

func (t *take) routed(host string, port uint16) bool {
	_, ok := t.obs.Route(net.JoinHostPort(host, strconv.Itoa(int(port))))
	return ok
}

// target gives where a URL's server is. Only http and https of a named host, or
// of an address, are asked.
func target(u *url.URL) (string, uint16, error) {
	port := map[string]uint16{"http": 80, "https": 443}[u.Scheme]
	if port == 0 {
		return "", 0, fmt.Errorf("“%s” is no web address: not followed", inert(u.Scheme, 20))
	}
	if p := u.Port(); p != "" {
		n, err := strconv.ParseUint(p, 10, 16)
		if err != nil || n == 0 {
			return "", 0, errors.New("its port is no port")
		}
		port = uint16(n)
	}
	h := strings.TrimSuffix(strings.ToLower(u.Hostname()), ".")
	if a, err := netip.ParseAddr(h); err == nil {
		return a.WithZone("").Unmap().String(), port, nil
	}
	n, err := impound.ParseName(h)
	if err != nil {
		return "", 0, errors.New("its host is no name")
	}
	return n.String(), port, nil
}

// visitor is who asks: what he says of himself, and by which way he comes.
type visitor struct {
	look    string // "desktop", "mobile", "bot", ...
	agent   string
	lines   []string // header lines after Host and User-Agent, as the like of him sends them
	referer string
	jar     http.CookieJar
	via     *egress
	roam    bool // follow redirects that leave the name
}

// AgentDesktop is what a look says it is, where one visitor is enough.
const AgentDesktop = agentDesktop

// The agents. A kit tells visitors apart by these first of all.
const (
	agentDesktop = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36"
	agentMobile  = "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1"
	agentBot     = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"
)

var browserLines = []string{
	"Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
	"Accept-Language: en-US,en;q=0.9",
	"Upgrade-Insecure-Requests: 1",
}

// chain is the exchanges of one visitor from the first URL to the last.
type chain struct {
	visitor *visitor
	steps   []*exchange
	left    string // where a redirect led off the name and was not followed
	err     string
}

func newJar() http.CookieJar {
	j, _ := cookiejar.New(&cookiejar.Options{PublicSuffixList: publicsuffix.List}) // has no error
	return j
}

// visit follows redirects from u on as a browser would: with the cookies that
// were set on the way.
func (t *take) visit(ctx context.Context, v *visitor, u *url.URL) *chain {
	c := &chain{visitor: v}
	seen := map[string]bool{}
	referer := v.referer
	for range t.bounds.Hops {
		var cookies []string
		for _, k := range v.jar.Cookies(u) {
			cookies = append(cookies, k.Name+"="+k.Value)
		}
		cookie := strings.Join(cookies, "; ")
		if len(cookie) > 8<<10 {
			cookie = ""
		}
		key := u.String() + "\x00" + cookie
		if seen[key] {
			c.err = "redirects in a loop"
			return c
		}
		seen[key] = true
		x := t.fetch(ctx, v.via, t.budget, v.look, u, http.MethodGet, v.head(u, referer, cookie), nil)
		t.warc.exchange(x)
		c.steps = append(c.steps, x)
		if x.Status == 0 {
			c.err = x.Err
			return c
		}
		v.jar.SetCookies(u, (&http.Response{Header: x.Header}).Cookies())
		switch x.Status {
		case 301, 302, 303, 307, 308:
		default:
			return c
		}
		next, err := u.Parse(x.Header.Get("Location"))
		if err != nil || x.Header.Get("Location") == "" {
			c.err = "redirects to nowhere"
			return c
		}
		next.User, next.Fragment = nil, ""
		if len(next.String()) > 8<<10 {
			c.err = "redirects to a URL of more than 8 KiB"
			return c
		}
		if !v.roam && !t.onName(next) {
			c.left = next.String()
			return c
		}
		u = next
	}
	c.err = fmt.Sprintf("redirects more than %d times", t.bounds.Hops)
	return c
}

// head writes a request in the order in which browsers do.
func (v *visitor) head(u *url.URL, referer, cookie string) []byte {
	var b bytes.Buffer
	path := u.RequestURI()
	fmt.Fprintf(&b, "GET %s HTTP/1.1\r\nHost: %s\r\nConnection: close\r\nUser-Agent: %s\r\n", oneLine(path), oneLine(u.Host), v.agent)
	for _, l := range v.lines {
		b.WriteString(l + "\r\n")
	}
	b.WriteString("Accept-Encoding: gzip, deflate\r\n")
	if referer != "" {
		b.WriteString("Referer: " + oneLine(referer) + "\r\n")
	}
	if cookie != "" {
		b.WriteString("Cookie: " + oneLine(cookie) + "\r\n")
	}
	b.WriteString("\r\n")
	return b.Bytes()
}

// onName says whether u is at the captured name's registrable domain.
func (t *take) onName(u *url.URL) bool {
	n, err := impound.ParseName(u.Hostname())
	return err == nil && n.AtOrBelow(t.home)
}

// unpack undoes the content coding of an answer, as far as the bound goes. cut
// says that it would have gone on, which is how a decompression bomb shows.
func unpack(h http.Header, body []byte, limit int64) (out []byte, cut bool, fault string) {
	enc := strings.ToLower(strings.TrimSpace(h.Get("Content-Encoding")))
	var r io.Reader
	switch enc {
	case "", "identity":
		return body, false, ""
	case "gzip", "x-gzip":
		z, err := gzip.NewReader(bytes.NewReader(body))
		if err != nil {
			return nil, false, "says that it is gzip, and is not"
		}
		r = z
	case "deflate":
		if z, err := zlib.NewReader(bytes.NewReader(body)); err == nil {
			r = z
		} else {
			r = flate.NewReader(bytes.NewReader(body))
		}
	default:
		return nil, false, "is packed as “" + inert(enc, 20) + "”, which was not asked for"
	}
	out, err := io.ReadAll(io.LimitReader(r, limit+1))
	if int64(len(out)) > limit {
		return out[:limit], true, ""
	}
	if err != nil {
		fault = "does not unpack to its end"
	}
	return out, false, fault
}
