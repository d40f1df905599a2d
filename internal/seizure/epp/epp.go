// Package epp is a client for registries: EPP over TLS (RFC 5730 to 5734) with
// DNSSEC (RFC 5910) and grace periods (RFC 3915, read only). It is the
// connector by which an order in force becomes a changed delegation.
//
// What lives here: one session with one server; commands written in the order
// of elements that the schemas demand; answers read with bounds and never taken
// for success unless they are one; the check of permits right before a
// transform is written (law 1). What must not: deciding what to change,
// retrying, keeping state across sessions, or a password in anything that is
// kept.
//
// The framing of RFC 5734 section 4 and the reading of XML into a bounded tree
// (ReadFrame, Frame, ParseXML, Node) are exported for the practice registry.
// They trust neither side: frames have a largest size, documents a largest
// depth and number of elements, and a document type declaration, an entity or
// an octet that isn't UTF-8 is an error.
package epp

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/impound/impound"
)

// DefaultTimeout bounds connecting, and each command from lock to answer.
const DefaultTimeout = 30 * time.Second

// Config says whom to talk to and as whom. Its String hides the password.
type Config struct {
	Addr       string      // host:port; port 700 when there is none
	ServerName string      // for the certificate; the host of Addr when empty
	TLS        *tls.Config // roots and client certificate; nil for the system's roots
	ClientID   string
	Password   []byte        // copied for the session, wiped by Close; never logged, never in a recorded frame
	Timeout    time.Duration // 0: DefaultTimeout
	Need       []string      // extensions without which no login is tried; nil: secDNS-1.1

	// Record is given every frame, dir "sent" or "received", without passwords
	// and transfer codes, for the evidence log. A sent frame is recorded after
	// it was written, whether or not writing failed: some of it may have
	// arrived. It is called with the session locked and must not call back.
	Record func(dir string, frame []byte)
	Now    func() time.Time // the clock of permits; nil: time.Now
}

// String gives what may be shown of c.
func (c Config) String() string { return c.ClientID + " at " + c.Addr }

// GoString gives what may be shown of c.
func (c Config) GoString() string { return c.String() }

// LogValue gives what may be logged of c.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Greeting is what a server says of itself (RFC 5730 2.4).
type Greeting struct {
	ServerID string    `json:"server_id"`
	Date     time.Time `json:"date"` // the server's clock; zero when it could not be read
	Versions []string  `json:"versions"`
	Langs    []string  `json:"langs"`
	ObjURIs  []string  `json:"obj_uris"`
	ExtURIs  []string  `json:"ext_uris"`
}

// Client is one session, logged in. It is safe for concurrent use; commands go
// one at a time. After an error of the connection or the protocol the session
// is over and every further call fails without sending anything: dial again.
type Client struct {
	cfg   Config // without the password
	where string
	conn  *tls.Conn
	turn  chan struct{} // holds one token: whose turn it is

	// Below: owned by whoever holds the token.
	pw       []byte
	greeting Greeting
	skew     time.Duration
	exts     []string
	dead     error
}

// Dial connects, checks the greeting, and logs in. Errors are [impound.Error]:
// KindUnavailable when the server can't be reached, KindAuth when it refuses
// the login, KindInvalid when it breaks the protocol or its greeting lacks what
// is needed (nothing is sent then, so the password isn't either).
func Dial(ctx context.Context, cfg Config) (*Client, error) {
	if cfg.Timeout <= 0 {
		cfg.Timeout = DefaultTimeout
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Need == nil {
		cfg.Need = []string{NSSecDNS}
	}
	host, port, err := net.SplitHostPort(cfg.Addr)
	if err != nil {
		host, port = strings.Trim(cfg.Addr, "[]"), "700"
	}
	if host == "" {
		return nil, impound.Errorf(impound.KindInvalid, "no server to connect to").WithCure("give host:port")
	}
	cfg.Addr = net.JoinHostPort(host, port)
	where := "EPP " + cfg.Addr
	pw := slices.Clone(cfg.Password)
	cfg.Password = nil
	switch n := len(cfg.ClientID); {
	case n < 3 || n > 16:
		return nil, impound.Errorf(impound.KindInvalid, "client id %q is %d characters long; EPP allows 3 to 16", cfg.ClientID, n).At(where)
	case len(pw) < 6:
		return nil, impound.Errorf(impound.KindInvalid, "the password is shorter than the 6 characters that EPP demands").At(where)
	}
	tc := cfg.TLS.Clone()
	if tc == nil {
		tc = &tls.Config{}
	}
	if cfg.ServerName != "" {
		tc.ServerName = cfg.ServerName
	} else if tc.ServerName == "" {
		tc.ServerName = host
	}
	tc.MinVersion = max(tc.MinVersion, tls.VersionTLS12)
	if tc.InsecureSkipVerify && tc.VerifyConnection == nil && tc.VerifyPeerCertificate == nil {
		return nil, impound.Errorf(impound.KindRefused, "the server's certificate would not be verified").At(where).WithCure("give the registry's CA as RootCAs")
	}
	ctx, cancel := context.WithTimeout(ctx, cfg.Timeout)
	defer cancel()
	nc, err := (&tls.Dialer{Config: tc}).DialContext(ctx, "tcp", cfg.Addr)
	if err != nil {
		return nil, unavailable(where, "couldn't connect", err, "check address, certificate and the registry's list of allowed addresses")
	}
	c := &Client{cfg: cfg, where: where, conn: nc.(*tls.Conn), turn: make(chan struct{}, 1), pw: pw}
	if err := c.open(ctx); err != nil {
		c.conn.Close()
		clear(pw)
		return nil, err
	}
	c.turn <- struct{}{}
	return c, nil
}

func unavailable(where, msg string, err error, cure string) error {
	return &impound.Error{Kind: impound.KindUnavailable, Where: where, Msg: msg, Err: err, Cure: cure}
}

// open reads the greeting and logs in.
func (c *Client) open(ctx context.Context) error {
	defer c.watch(ctx)()
	if err := c.readGreeting(); err != nil {
		return err
	}
	g := c.greeting
	for _, need := range c.cfg.Need {
		if !slices.Contains(g.ExtURIs, need) {
			return &impound.Error{Kind: impound.KindInvalid, Where: c.where, Err: ErrProtocol,
				Msg:  fmt.Sprintf("server %q offers no extension %s, which is needed; not logged in", g.ServerID, need),
				Cure: "ask the registry for an account with it; without secDNS a DS record could not be removed"}
		}
	}
	lang := "en"
	if !slices.Contains(g.Langs, lang) {
		lang = g.Langs[0]
	}
	var objs strings.Builder
	for _, uri := range []string{NSDomain, NSHost, NSContact} {
		if slices.Contains(g.ObjURIs, uri) {
			objs.WriteString(Tag("objURI", uri))
		}
	}
	long := len(c.pw) > 16 // more than RFC 5730 has room for
	var exts strings.Builder
	for _, uri := range append([]string{NSSecDNS, NSRGP}, c.cfg.Need...) {
		if slices.Contains(g.ExtURIs, uri) && !slices.Contains(c.exts, uri) {
			c.exts = append(c.exts, uri)
			exts.WriteString(Tag("extURI", uri))
		}
	}
	if long {
		if !slices.Contains(g.ExtURIs, NSLoginSec) {
			return impound.Errorf(impound.KindInvalid, "the password is longer than the 16 characters that plain EPP has room for, and the server offers no loginSec").At(c.where).WithCure("agree on a password of 6 to 16 characters")
		}
		exts.WriteString(Tag("extURI", NSLoginSec))
	}
	svc := ""
	if exts.Len() > 0 {
		svc = "<svcExtension>" + exts.String() + "</svcExtension>"
	}
	pw, ext := Escape(string(c.pw)), ""
	if long {
		ext = `<extension><loginSec:loginSec xmlns:loginSec="` + NSLoginSec + `"><loginSec:pw>` + pw + `</loginSec:pw></loginSec:loginSec></extension>`
		pw = "[LOGIN-SECURITY]" // RFC 8807 3.1
	}
	id := newTRID()
	frame := []byte(Header + `<epp xmlns="` + NSEPP + `"><command><login>` + Tag("clID", c.cfg.ClientID) +
		"<pw>" + pw + "</pw><options><version>1.0</version>" + Tag("lang", lang) + "</options><svcs>" + objs.String() + svc + "</svcs></login>" +
		ext + Tag("clTRID", id) + "</command></epp>")
	_, _, err := c.roundTrip(frame, id, nil)
	clear(frame)
	return err
}

func (c *Client) readGreeting() error {
	raw, err := ReadFrame(c.conn, MaxFrame)
	if err != nil {
		return c.readErr("couldn't read the greeting", err)
	}
	c.record("received", raw)
	root, err := ParseXML(raw)
	if err != nil {
		return protocol(c.where, "greeting: %w", err)
	}
	n := root.First(NSEPP, "greeting")
	if !root.Is(NSEPP, "epp") || n == nil || len(root.Kids) != 1 {
		return protocol(c.where, "the first frame is no greeting of %s", NSEPP)
	}
	menu := n.First(NSEPP, "svcMenu")
	g := Greeting{
		ServerID: n.First(NSEPP, "svID").Token(),
		Versions: tokens(menu.All(NSEPP, "version")),
		Langs:    tokens(menu.All(NSEPP, "lang")),
		ObjURIs:  tokens(menu.All(NSEPP, "objURI")),
		ExtURIs:  tokens(menu.First(NSEPP, "svcExtension").All(NSEPP, "extURI")),
	}
	g.Date, _ = parseTime(n.First(NSEPP, "svDate").Token())
	switch {
	case !slices.Contains(g.Versions, "1.0"):
		return protocol(c.where, "server %q does not speak EPP 1.0", g.ServerID)
	case len(g.Langs) == 0:
		return protocol(c.where, "the greeting of %q names no language", g.ServerID)
	case !slices.Contains(g.ObjURIs, NSDomain):
		return protocol(c.where, "server %q offers no %s", g.ServerID, NSDomain)
	}
	c.greeting = g
	if !g.Date.IsZero() {
		c.skew = g.Date.Sub(c.cfg.Now())
	}
	return nil
}

// Greeting gives the server's last greeting.
func (c *Client) Greeting() Greeting {
	if c.take(context.Background()) == nil {
		defer c.release()
	}
	return c.greeting
}

// Skew gives how far the server's clock was ahead of ours at the last greeting,
// with the way of the frame in it; 0 when the greeting had no date.
func (c *Client) Skew() time.Duration {
	if c.take(context.Background()) == nil {
		defer c.release()
	}
	return c.skew
}

// CertExpiry gives when the first certificate of the server's chain expires.
func (c *Client) CertExpiry() time.Time {
	var first time.Time
	for _, cert := range c.conn.ConnectionState().PeerCertificates {
		if first.IsZero() || cert.NotAfter.Before(first) {
			first = cert.NotAfter
		}
	}
	return first
}

// Hello asks for a new greeting: it keeps the session alive and shows that it is.
func (c *Client) Hello(ctx context.Context) error {
	if err := c.take(ctx); err != nil {
		return err
	}
	defer c.release()
	if c.dead != nil {
		return c.over()
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	defer c.watch(ctx)()
	frame := []byte(Header + `<epp xmlns="` + NSEPP + `"><hello/></epp>`)
	err := c.write(frame)
	if err == nil {
		err = c.readGreeting()
	}
	if err != nil {
		c.kill(err)
	}
	return err
}

// Close logs out, waiting for the answer for at most two seconds, and closes the
// connection. It is safe to call more than once.
func (c *Client) Close() error {
	if err := c.take(context.Background()); err != nil {
		return err
	}
	defer c.release()
	if c.dead == nil {
		ctx, cancel := context.WithTimeout(context.Background(), min(c.cfg.Timeout, 2*time.Second))
		defer cancel()
		stop := c.watch(ctx)
		id := newTRID()
		_, _, _ = c.roundTrip(command("<logout/>", "", id), id, nil)
		stop()
		c.kill(errors.New("closed"))
	}
	clear(c.pw)
	return nil
}

func (c *Client) take(ctx context.Context) error {
	select {
	case <-c.turn:
		return nil
	case <-ctx.Done():
		return unavailable(c.where, "couldn't wait for the session, nothing was sent", ctx.Err(), "")
	}
}

func (c *Client) release() { c.turn <- struct{}{} }

func (c *Client) kill(err error) {
	if c.dead == nil {
		c.dead = err
		c.conn.NetConn().Close()
	}
}

func (c *Client) over() error {
	return unavailable(c.where, "the session is over, nothing was sent", c.dead, "dial again")
}

// watch makes ctx bound whatever is read and written until the function that it
// gives is called.
func (c *Client) watch(ctx context.Context) func() {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(c.cfg.Timeout)
	}
	c.conn.SetDeadline(deadline)
	done := make(chan struct{})
	stop := context.AfterFunc(ctx, func() { c.conn.SetDeadline(time.Unix(1, 0)); close(done) })
	return func() {
		if !stop() {
			<-done // so that it can't cut off the next command
		}
	}
}

func (c *Client) record(dir string, frame []byte) {
	if c.cfg.Record != nil {
		c.cfg.Record(dir, scrub(frame, c.pw))
	}
}

func (c *Client) readErr(msg string, err error) error {
	if errors.Is(err, ErrMalformed) {
		return protocol(c.where, "%w", err)
	}
	if errors.Is(err, io.EOF) {
		err = errors.New("the server closed the connection")
	}
	return unavailable(c.where, msg, err, "try again")
}

func (c *Client) write(frame []byte) error {
	_, err := c.conn.Write(Frame(frame))
	c.record("sent", frame)
	if err != nil {
		return unavailable(c.where, "couldn't send", err, "try again")
	}
	return nil
}

// do sends one command and reads its answer. gate, if any, is asked right
// before the first octet is written; a gate makes the command a transform,
// whose lost answers are an unknown outcome.
func (c *Client) do(ctx context.Context, frame []byte, clTRID string, gate func(now time.Time) error) (Result, *Node, error) {
	if err := c.take(ctx); err != nil {
		return Result{}, nil, err
	}
	defer c.release()
	if c.dead != nil {
		return Result{}, nil, c.over()
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Timeout)
	defer cancel()
	if err := ctx.Err(); err != nil {
		return Result{}, nil, unavailable(c.where, "given up before anything was sent", err, "")
	}
	defer c.watch(ctx)()
	return c.roundTrip(frame, clTRID, gate)
}

// roundTrip is do for whoever holds the turn and has set the deadline.
func (c *Client) roundTrip(frame []byte, clTRID string, gate func(now time.Time) error) (Result, *Node, error) {
	if gate != nil {
		if err := gate(c.cfg.Now()); err != nil {
			return Result{}, nil, err
		}
	}
	lost := func(err error) (Result, *Node, error) {
		c.kill(err)
		if gate != nil {
			err = unknown(c.where, err)
		}
		return Result{}, nil, err
	}
	if err := c.write(frame); err != nil {
		return lost(err)
	}
	raw, err := ReadFrame(c.conn, MaxFrame)
	if err != nil {
		return lost(c.readErr("couldn't read the answer", err))
	}
	c.record("received", raw)
	r, resp, err := parseResponse(raw, clTRID)
	r.Message, r.Reason = scrubText(r.Message, c.pw), scrubText(r.Reason, c.pw)
	if err != nil {
		return lost(protocol(c.where, "%s", scrubText(err.Error(), c.pw)))
	}
	if gate != nil && r.Code >= 2500 && r.ClTRID == "" {
		// It may have been sent before our command came in, as a farewell to an
		// idle session, or by a server that lost its way while it acted.
		return lost(protocol(c.where, "%s, which names no command", r))
	}
	if r.Code >= 2500 && r.Code < 2600 {
		c.kill(&ResultError{r}) // the server hangs up, too
	}
	if r.Code >= 2000 {
		return r, resp, fail(c.where, r)
	}
	return r, resp, nil
}

// parseResponse reads the frame of a response and proves that it answers the
// command clTRID. A failure that the server answers is no error here.
func parseResponse(raw []byte, clTRID string) (Result, *Node, error) {
	root, err := ParseXML(raw)
	if err != nil {
		return Result{}, nil, err
	}
	resp := root.First(NSEPP, "response")
	if !root.Is(NSEPP, "epp") || resp == nil || len(root.Kids) != 1 {
		return Result{}, nil, fmt.Errorf("no response in the namespace %s", NSEPP)
	}
	for _, k := range resp.Kids {
		if k.Space != NSEPP || !slices.Contains([]string{"result", "msgQ", "resData", "extension", "trID"}, k.Local) {
			return Result{}, nil, fmt.Errorf("a response holds the foreign element %.80q", k.Local)
		}
	}
	results, trids := resp.All(NSEPP, "result"), resp.All(NSEPP, "trID")
	if len(results) == 0 || len(trids) != 1 || len(resp.All(NSEPP, "resData")) > 1 || len(resp.All(NSEPP, "extension")) > 1 {
		return Result{}, nil, errors.New("a response without result or transaction id, or with two of one kind")
	}
	r := Result{ClTRID: trids[0].First(NSEPP, "clTRID").Token(), SvTRID: cut(trids[0].First(NSEPP, "svTRID").Token(), 64)}
	var reasons []string
	for i, n := range results {
		s, _ := n.Attr("code")
		code, err := strconv.Atoi(s)
		if err != nil || len(s) != 4 || code < 1000 || code > 2999 {
			return Result{}, nil, fmt.Errorf("result code %.20q", s)
		}
		if code < 2000 && !slices.Contains([]int{1000, 1001, 1300, 1301, 1500}, code) {
			return Result{}, nil, fmt.Errorf("success code %d, which EPP does not have", code)
		}
		if i > 0 && (code < 2000 || r.Code < 2000) {
			return Result{}, nil, errors.New("success and something else in one response")
		}
		if i == 0 {
			r.Code, r.Message = code, cut(n.First(NSEPP, "msg").Token(), 500)
		} else {
			reasons = append(reasons, fmt.Sprintf("%d %s", code, n.First(NSEPP, "msg").Token()))
		}
		for _, x := range n.All(NSEPP, "extValue") {
			reasons = append(reasons, x.First(NSEPP, "reason").Token())
		}
	}
	r.Reason = cut(strings.Join(reasons, "; "), 500)
	switch {
	case r.SvTRID == "":
		return r, nil, errors.New("no server transaction id")
	case r.ClTRID == clTRID:
	case r.ClTRID == "" && (r.Code == 2000 || r.Code == 2001 || r.Code >= 2500):
		// The server couldn't read the command, so it couldn't read its id.
	case r.ClTRID == "":
		return r, nil, fmt.Errorf("result %d without the client transaction id that was sent: it may answer another command", r.Code)
	default:
		return r, nil, fmt.Errorf("result %d answers %.64q, not %q", r.Code, r.ClTRID, clTRID)
	}
	return r, resp, nil
}

// command gives the frame of a command.
func command(body, extension, clTRID string) []byte {
	if extension != "" {
		extension = "<extension>" + extension + "</extension>"
	}
	return []byte(Header + `<epp xmlns="` + NSEPP + `"><command>` + body + extension + Tag("clTRID", clTRID) + "</command></epp>")
}

// newTRID gives a client transaction id that no other session gives.
func newTRID() string {
	var b [12]byte
	_, _ = rand.Read(b[:]) // never fails
	return "IMP-" + hex.EncodeToString(b[:])
}

// trID checks a caller's id, or makes one.
func trID(id string) (string, error) {
	if id == "" {
		return newTRID(), nil
	}
	if len(id) < 3 || len(id) > 64 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", impound.Errorf(impound.KindInvalid, "client transaction id %q is not 3 to 64 printable characters", cut(id, 80))
	}
	return id, nil
}

func tokens(nodes []*Node) []string {
	var out []string
	for _, n := range nodes {
		if s := n.Token(); s != "" {
			out = append(out, s)
		}
	}
	return out
}

func cut(s string, n int) string {
	if len(s) > n {
		return strings.ToValidUTF8(s[:n-3], "") + "..."
	}
	return s
}

// parseTime reads an XML Schema dateTime; one without a zone is taken as UTC,
// as RFC 5731 says all are.
func parseTime(s string) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	for _, layout := range []string{time.RFC3339Nano, "2006-01-02T15:04:05.999999999", time.DateOnly} {
		if t, err := time.Parse(layout, s); err == nil {
			return t.UTC(), nil
		}
	}
	return time.Time{}, fmt.Errorf("%.40q is no date", s)
}
