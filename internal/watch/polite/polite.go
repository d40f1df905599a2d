// Package polite fetches from servers that other people pay for: never faster
// than a rate, with a name and a contact in every request, waiting when a server
// asks for it, and never more octets than were allowed for.
//
// What lives here: one HTTP client. What must not: knowledge of what is fetched,
// cookies, or credentials.
package polite

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/impound/impound"
)

// Config of a [Client].
type Config struct {
	// UserAgent says who asks and how to reach him.
	UserAgent string
	// Rate is requests per second and host; 0 means 10, below 0 no limit.
	Rate float64
	// Timeout of one request; 0 means a minute.
	Timeout time.Duration
	// Tries is how often a request that failed is made in all; 0 means 4.
	Tries int
	// Patience is the longest wait that a server can ask for within a request; a
	// longer one ends it with a [WaitError]. 0 means 30 s.
	Patience time.Duration
	// Allow says whether a server may be asked at all; it is called for each URL,
	// also those that a redirect leads to. nil: all may.
	Allow func(*url.URL) error
	Now   func() time.Time                                 // nil: time.Now
	Sleep func(ctx context.Context, d time.Duration) error // nil: a timer
}

// Client is safe for concurrent use.
type Client struct {
	cfg   Config
	http  *http.Client
	mu    sync.Mutex
	hosts map[string]*host
}

// host is what one server may be asked, and when.
type host struct {
	next   time.Time // when the next request may leave
	closed time.Time // until when the server asked not to be asked
}

// WaitError says that a server wants to be left alone for longer than the
// client's patience.
type WaitError struct {
	Until time.Time
	Err   error
}

func (e *WaitError) Error() string {
	return fmt.Sprintf("%v; it asks to be left alone until %s", e.Err, e.Until.UTC().Format("15:04:05Z"))
}

// Unwrap gives what the server answered.
func (e *WaitError) Unwrap() error { return e.Err }

// notAllowed is an error of [Config.Allow]: to ask again is no use.
type notAllowed struct{ error }

func (e *notAllowed) Unwrap() error { return e.error }

// StatusError is an answer other than 200 and 304.
type StatusError struct {
	Code int
	URL  string
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("%s answered %d %s", bare(e.URL), e.Code, http.StatusText(e.Code))
}

// bare leaves out a URL's query, in which a feed's key may stand.
func bare(u string) string {
	u, _, _ = strings.Cut(u, "?")
	return u
}

// inner takes off net/http's own words, which hold the whole URL.
func inner(err error) error {
	var ue *url.Error
	if errors.As(err, &ue) {
		return ue.Err
	}
	return err
}

// maxWait bounds what a server can ask for: a Retry-After of a year is no reason
// to be blind for a year.
const maxWait = time.Hour

// New makes a client.
func New(cfg Config) *Client {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	if cfg.Rate == 0 {
		cfg.Rate = 10
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = time.Minute
	}
	if cfg.Tries == 0 {
		cfg.Tries = 4
	}
	if cfg.Patience == 0 {
		cfg.Patience = 30 * time.Second
	}
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.MaxIdleConnsPerHost = 16
	t.DisableCompression = true // unpacked here, with a bound
	return &Client{cfg: cfg, hosts: map[string]*host{}, http: &http.Client{
		Transport: t,
		CheckRedirect: func(req *http.Request, via []*http.Request) error {
			req.Header.Del("Referer") // it would tell the key in a feed's query
			if len(via) > 3 {
				return errors.New("more than three redirects")
			}
			if via[0].URL.Scheme == "https" && req.URL.Scheme != "https" {
				return errors.New("a redirect from https to " + req.URL.Scheme + " is not followed")
			}
			if cfg.Allow != nil {
				if err := cfg.Allow(req.URL); err != nil {
					return &notAllowed{fmt.Errorf("it redirects to %s: %w", req.URL.Host, err)}
				}
			}
			return nil
		},
	}}
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}

// Request is what to fetch.
type Request struct {
	URL string
	Max int64 // octets of the unpacked answer; more is an error
	// ETag and LastModified of the answer that is at hand; the same one again is
	// Response.Same.
	ETag, LastModified string
	// Buf is written over when it is large enough.
	Buf []byte
}

// Response is what came.
type Response struct {
	Body               []byte
	Same               bool // not changed; Body is empty
	ETag, LastModified string
}

// Get fetches. Failures that can pass (no connection, 429, 5xx) are tried again
// after a while; errors are a [*StatusError], a [*WaitError], the context's, or
// those of the network.
func (c *Client) Get(ctx context.Context, r Request) (Response, error) {
	for try := 1; ; try++ {
		res, after, err := c.once(ctx, r)
		if err == nil || ctx.Err() != nil {
			return res, err
		}
		var se *StatusError
		if errors.As(err, &se) && se.Code != http.StatusTooManyRequests && se.Code != http.StatusRequestTimeout && se.Code < 500 {
			return res, err
		}
		if errors.Is(err, ErrTooLong) || errors.As(err, new(*notAllowed)) {
			return res, err
		}
		if after > c.cfg.Patience {
			return res, &WaitError{Until: c.cfg.Now().Add(after), Err: err}
		}
		if try >= c.cfg.Tries {
			return res, err
		}
		if after == 0 {
			after = time.Duration(float64(200*time.Millisecond<<(2*(try-1))) * (0.5 + rand.Float64()))
			if err := c.cfg.Sleep(ctx, after); err != nil {
				return res, err
			}
		} // else turn waits: the host is closed for everybody
	}
}

// turn waits until the host may be asked, and takes a place in its row.
func (c *Client) turn(ctx context.Context, name string) error {
	for {
		c.mu.Lock()
		h := c.hosts[name]
		if h == nil {
			h = &host{}
			c.hosts[name] = h
		}
		now := c.cfg.Now()
		at := h.next
		if h.closed.After(at) {
			at = h.closed
		}
		if !at.After(now) {
			if c.cfg.Rate > 0 {
				// Up to a second of unused places may be taken at once.
				if floor := now.Add(-time.Second); h.next.Before(floor) {
					h.next = floor
				}
				h.next = h.next.Add(time.Duration(float64(time.Second) / c.cfg.Rate))
			}
			c.mu.Unlock()
			return ctx.Err()
		}
		wait := at.Sub(now)
		c.mu.Unlock()
		if err := c.cfg.Sleep(ctx, wait); err != nil {
			return err
		}
	}
}

var (
	// ErrTooLong is in the error of an answer that is longer than [Request.Max].
	ErrTooLong = errors.New("longer than allowed")
	unzippers  = sync.Pool{New: func() any { return new(gzip.Reader) }}
)

func (c *Client) once(ctx context.Context, r Request) (res Response, after time.Duration, err error) {
	u, err := url.Parse(r.URL)
	if err != nil {
		return res, 0, impound.Errorf(impound.KindInvalid, "couldn't read the URL: %w", err)
	}
	if c.cfg.Allow != nil {
		if err := c.cfg.Allow(u); err != nil {
			return res, 0, &notAllowed{fmt.Errorf("couldn't fetch %s: %w", bare(r.URL), err)}
		}
	}
	if err := c.turn(ctx, u.Host); err != nil {
		return res, 0, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, r.URL, nil)
	if err != nil {
		return res, 0, impound.Errorf(impound.KindInvalid, "couldn't make a request: %w", err)
	}
	req.Header.Set("User-Agent", c.cfg.UserAgent)
	req.Header.Set("Accept-Encoding", "gzip")
	if r.ETag != "" {
		req.Header.Set("If-None-Match", r.ETag)
	}
	if r.LastModified != "" {
		req.Header.Set("If-Modified-Since", r.LastModified)
	}
	resp, err := c.http.Do(req)
	if err != nil {
		return res, 0, fmt.Errorf("couldn't fetch %s: %w", bare(r.URL), inner(err))
	}
	defer resp.Body.Close()
	switch resp.StatusCode {
	case http.StatusOK:
	case http.StatusNotModified:
		return Response{Same: true, ETag: r.ETag, LastModified: r.LastModified}, 0, nil
	default:
		_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
		if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
			if after = c.retryAfter(resp.Header.Get("Retry-After")); after > 0 {
				c.mu.Lock()
				if h, until := c.hosts[u.Host], c.cfg.Now().Add(after); h != nil && until.After(h.closed) {
					h.closed = until
				}
				c.mu.Unlock()
			}
		}
		return res, after, &StatusError{resp.StatusCode, r.URL}
	}
	var body io.Reader = resp.Body
	if strings.EqualFold(resp.Header.Get("Content-Encoding"), "gzip") {
		z := unzippers.Get().(*gzip.Reader)
		defer unzippers.Put(z)
		if err := z.Reset(resp.Body); err != nil {
			return res, 0, fmt.Errorf("couldn't unpack %s: %w", bare(r.URL), err)
		}
		body = z
	}
	buf := r.Buf[:0]
	if n := resp.ContentLength; n > 0 && n < r.Max && int64(cap(buf)) < n+512 {
		buf = make([]byte, 0, n+512)
	}
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := body.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		if int64(len(buf)) > r.Max {
			return res, 0, fmt.Errorf("%s is %w: more than %d MB", bare(r.URL), ErrTooLong, max(r.Max>>20, 1))
		}
		if err == io.EOF {
			break
		}
		if err != nil {
			return res, 0, fmt.Errorf("couldn't read %s: %w", bare(r.URL), err)
		}
	}
	return Response{Body: buf, ETag: resp.Header.Get("ETag"), LastModified: resp.Header.Get("Last-Modified")}, 0, nil
}

// retryAfter reads the header (RFC 9110 10.2.3): seconds or a date.
func (c *Client) retryAfter(v string) time.Duration {
	v = strings.TrimSpace(v)
	if s, err := strconv.ParseUint(v, 10, 31); err == nil {
		return min(time.Duration(s)*time.Second, maxWait)
	}
	if t, err := http.ParseTime(v); err == nil {
		return min(max(t.Sub(c.cfg.Now()), 0), maxWait)
	}
	return 0
}
