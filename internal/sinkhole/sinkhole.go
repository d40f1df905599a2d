// Package sinkhole answers for seized names and records who came. It faces the
// open internet, the actor included.
//
// What lives here: the DNS, HTTP, HTTPS, SMTP and TCP listeners, their answers,
// and the cutting down of each contact to what the order's capture level
// allows, before it is recorded. Every event is handed to the recorder before
// its answer leaves. What must not: a store, a web page of our own, any client
// of the network, classification, or a secret: no body, cookie, authorization,
// query string or mail content reaches a variable that is stored or logged.
package sinkhole

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"net/url"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"filippo.io/age"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
)

// Recorder keeps events. Append returns when the event is safe from the death
// of the process; it is called concurrently.
type Recorder interface {
	Append(*impound.Event) error
}

// Config is what a sinkhole needs. Listeners, Recorder and Sensor are required.
type Config struct {
	Sensor    string
	Listeners []string // dns://ADDR (UDP and TCP), dns+tls://ADDR, dns+xdp://INTERFACE (the same on its addresses, past the kernel where it can), http://ADDR, https://ADDR, smtp://ADDR, tcp://ADDR, udp://ADDR; the last two also for ADDRESS:PORT-PORT
	Recorder  Recorder
	NewBatch  func() Batch   // of the same recorder, for what comes many at a time; nil: Recorder takes each
	Policy    *policy.Policy // the first one; nil answers nobody until SetPolicy

	// What the DNS tells; where it is empty, the policy's answer is told.
	A, AAAA    []netip.Addr
	NS         []impound.Name
	Hostmaster string
	NSID       string // the server's name for those who ask for it (RFC 5001); none when empty
	CAIssuer   string // the CAA record's issuer for names whose order has ACME certificates; none may issue when empty

	// DoTCert gives the certificate for dns+tls; nil makes a self-signed one.
	DoTCert func(*tls.ClientHelloInfo) (*tls.Certificate, error)

	Contact    string          // who to call, for the notice page and TXT; plain text
	LureKey    []byte          // for the keyed hash of lure tokens; none without it
	Recipients []age.Recipient // lure tokens are sealed to them
	Certs      CertSource      // for names whose order says acme; nil shows them self-signed ones
	NoCerts    bool            // show no certificate, also not for names in force
	Plain      bool            // answer DNS and HTTP with the plain code, not the fast one: they differ in speed only

	// Challenge answers ACME's HTTP-01 for a host in force (RFC 8555 8.3); nil
	// shows the notice there, too. It is called concurrently, and must not wait.
	Challenge func(host, token string) (keyAuth string, ok bool)

	Limits Limits
	Now    func() time.Time
	Log    *slog.Logger
}

// Limits bound what strangers can use up. Zero means the default, a negative
// number no limit.
type Limits struct {
	DNSPerSecond   int           // UDP answers per second and network (/24, /56); 1000
	UDPPerSecond   int           // datagrams to udp:// recorded one by one, per second and network; 100
	ConnsPerSource int           // open connections per address (IPv6: per /64); 256
	Conns          int           // open connections per listener; 20,000
	AllConns       int           // open connections of all listeners; what the limit of open files leaves
	HeadTimeout    time.Duration // for a request head, a handshake, a line of SMTP; 10 s
	IdleTimeout    time.Duration // between requests; 60 s
	SealPerSecond  int           // lure tokens sealed per second; 200
}

func (l Limits) withDefaults() Limits {
	def := func(p *int, n int) {
		if *p == 0 {
			*p = n
		}
	}
	def(&l.DNSPerSecond, 1000)
	def(&l.UDPPerSecond, 100)
	def(&l.ConnsPerSource, 256)
	def(&l.Conns, 20_000)
	def(&l.AllConns, filesFor())
	def(&l.SealPerSecond, 200)
	if l.HeadTimeout == 0 {
		l.HeadTimeout = 10 * time.Second
	}
	if l.IdleTimeout == 0 {
		l.IdleTimeout = 60 * time.Second
	}
	return l
}

// Stats counts since New.
type Stats struct {
	DNS, DNSTCP, HTTP, HTTPS, SMTP, TCP uint64 // contacts recorded or tried to
	Answered, Refused                   uint64
	Malformed, Limited                  uint64
	RecordFailed                        uint64 // the answer left all the same
	ConnsRefused                        uint64 // closed because of a bound
	ConnsCut                            uint64 // silent ones let go of to make room for others
	TLSHellos                           uint64
	BadFrames                           uint64 // dropped from AF_XDP as the kernel would have: damaged, or from nobody
}

type counters struct {
	dns, dnsTCP, http, https, smtp, tcp atomic.Uint64
	answered, refused                   atomic.Uint64
	malformed, limited                  atomic.Uint64
	recordFailed, connsRefused, hellos  atomic.Uint64
	badFrames, connsCut                 atomic.Uint64
}

// Sinkhole is a set of listeners. All methods are safe for concurrent use.
type Sinkhole struct {
	cfg    Config
	policy atomic.Pointer[policy.Policy]
	n      counters
	dns    answerer
	notice *noticePages
	certs  *certs
	lures  *sealer
	rrl    *rateLimit

	catchAll *rateLimit // of udp://
	conns    *connLimit
	room     *room

	failedAt atomic.Int64 // when a failure to record was last logged

	mu      sync.Mutex
	started bool
	addrs   map[string][]string
	stops   []func(context.Context) error // in order of Start
	wg      sync.WaitGroup
}

// listeners has, for each scheme of a listener's URI, what binds it. The start
// that it gives begins to serve; what ends it was added to s.stops.
var listeners map[string]func(s *Sinkhole, addr string) (start func(), err error)

func init() { // not in the declaration: the functions lead back to it
	listeners = map[string]func(s *Sinkhole, addr string) (start func(), err error){
		"dns":     (*Sinkhole).listenDNS,
		xdpScheme: (*Sinkhole).listenDNSXDP,
		dotScheme: (*Sinkhole).listenDoT,
		"http":    func(s *Sinkhole, addr string) (func(), error) { return s.listenHTTP(addr, false) },
		"https":   func(s *Sinkhole, addr string) (func(), error) { return s.listenHTTP(addr, true) },
		"smtp":    func(s *Sinkhole, addr string) (func(), error) { return s.listenStream(addr, "smtp", s.serveSMTP) },
		"tcp": func(s *Sinkhole, addr string) (func(), error) {
			return listenPorts(addr, func(a string) (func(), error) { return s.listenStream(a, "tcp", s.serveTCP) })
		},
		"udp": func(s *Sinkhole, addr string) (func(), error) { return listenPorts(addr, s.listenUDP) },
	}
}

// New checks the configuration. It opens nothing.
func New(cfg Config) (*Sinkhole, error) {
	if cfg.Recorder == nil {
		return nil, impound.Errorf(impound.KindInvalid, "a sinkhole needs a recorder: it answers nobody whom it doesn't record")
	}
	if cfg.Sensor == "" {
		return nil, impound.Errorf(impound.KindInvalid, "a sinkhole needs the sensor's name").At("sensor")
	}
	if len(cfg.Listeners) == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "a sinkhole needs listeners").At("listeners").WithCure("for example dns://0.0.0.0:53 and http://0.0.0.0:80")
	}
	for _, l := range cfg.Listeners {
		if _, _, err := parseListener(l); err != nil {
			return nil, err
		}
	}
	for _, a := range cfg.A {
		if !a.Is4() {
			return nil, impound.Errorf(impound.KindInvalid, "%s is no IPv4 address", a).At("a")
		}
	}
	for _, a := range cfg.AAAA {
		if !a.Is6() || a.Is4In6() {
			return nil, impound.Errorf(impound.KindInvalid, "%s is no IPv6 address", a).At("aaaa")
		}
	}
	if err := checkDNS(&cfg); err != nil {
		return nil, err
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	cfg.Limits = cfg.Limits.withDefaults()
	s := &Sinkhole{cfg: cfg, addrs: map[string][]string{}}
	s.dns = newPackedAnswerer(&s.cfg)
	if cfg.Plain {
		s.dns = newPlainAnswerer(&s.cfg)
	}
	s.notice = newNoticePages(cfg.Contact)
	s.certs = newCerts(cfg.Now)
	s.lures = &sealer{key: cfg.LureKey, to: cfg.Recipients, perSecond: cfg.Limits.SealPerSecond}
	s.rrl = newRateLimit(cfg.Limits.DNSPerSecond)
	s.catchAll = newRateLimit(cfg.Limits.UDPPerSecond)
	s.room = &room{total: newBound(cfg.Limits.AllConns), cut: &s.n.connsCut}
	s.conns = &connLimit{perSource: cfg.Limits.ConnsPerSource, open: map[netip.Addr]int{}}
	if err := s.SetPolicy(cfg.Policy); err != nil {
		return nil, err
	}
	return s, nil
}

// SetPolicy swaps the policy for all that comes after; nil answers nobody. It
// refuses one that was made for another sensor.
func (s *Sinkhole) SetPolicy(p *policy.Policy) error {
	if p != nil && p.Sensor() != "" && p.Sensor() != s.cfg.Sensor {
		return impound.Errorf(impound.KindRefused, "the policy is for sensor %s, and this is %s", p.Sensor(), s.cfg.Sensor)
	}
	s.policy.Store(p)
	return nil
}

// Policy gives the policy in use, which may have ended.
func (s *Sinkhole) Policy() *policy.Policy { return s.policy.Load() }

// CheckListener says what is wrong with the URI of a listener; nil when a
// sinkhole takes it.
func CheckListener(uri string) error {
	_, _, err := parseListener(uri)
	return err
}

func parseListener(uri string) (scheme, addr string, err error) {
	if scheme, addr, ok, err := parseRange(uri); ok {
		return scheme, addr, err
	}
	u, err := url.Parse(uri)
	if err != nil || listeners[u.Scheme] == nil || u.Host == "" || u.Path != "" || u.RawQuery != "" || u.User != nil {
		return "", "", impound.Errorf(impound.KindInvalid, "“%.80s” is no listener", uri).At("listeners").WithCure("write dns://, dns+tls://, dns+xdp://INTERFACE, http://, https://, smtp://, tcp:// or udp:// and ADDRESS:PORT, such as dns://192.0.2.1:53")
	}
	if u.Scheme == xdpScheme && u.Port() == "" {
		u.Host += ":53"
	}
	if _, _, err := net.SplitHostPort(u.Host); err != nil {
		return "", "", impound.Errorf(impound.KindInvalid, "“%.80s” has no port", uri).At("listeners").WithCure("write " + uri + ":PORT")
	}
	return u.Scheme, u.Host, nil
}

// Start binds every listener, or none: the error says which address can't be
// had and what to do. Listening goes on until Close; when ctx is done, Close is
// called.
func (s *Sinkhole) Start(ctx context.Context) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.started {
		return impound.Errorf(impound.KindConflict, "the sinkhole was started already")
	}
	s.started = true
	var run []func()
	for _, l := range s.cfg.Listeners {
		scheme, addr, err := parseListener(l)
		if err == nil {
			var start func()
			start, err = listeners[scheme](s, addr)
			run = append(run, start)
		}
		if err != nil {
			done, cancel := context.WithCancel(ctx)
			cancel()
			for _, stop := range s.stops {
				stop(done)
			}
			s.stops = nil
			return bindError(l, err)
		}
	}
	for _, start := range run {
		start()
	}
	context.AfterFunc(ctx, func() {
		c, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		s.Close(c)
	})
	return nil
}

func bindError(l string, err error) error {
	var e *impound.Error
	switch {
	case errors.As(err, &e):
		return e
	case errors.Is(err, syscall.EADDRINUSE):
		e = impound.Errorf(impound.KindUnavailable, "the address is in use: %w", err).WithCure("see who has it with ss -lntup, and stop that or choose another port")
	case errors.Is(err, syscall.EACCES) || errors.Is(err, syscall.EPERM):
		e = impound.Errorf(impound.KindUnavailable, "not permitted: %w", err).WithCure("for ports below 1024 run setcap cap_net_bind_service=+ep on the binary, or lower sysctl net.ipv4.ip_unprivileged_port_start")
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		e = impound.Errorf(impound.KindUnavailable, "no interface of this machine has the address: %w", err).WithCure("see ip address; 0.0.0.0 and [::] take all")
	default:
		e = impound.Errorf(impound.KindUnavailable, "couldn't listen: %w", err)
	}
	return e.At(l)
}

// Addrs gives the addresses that are listened on, by scheme, in the order of
// the configuration.
func (s *Sinkhole) Addrs() map[string][]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := map[string][]string{}
	for k, v := range s.addrs {
		out[k] = append([]string(nil), v...)
	}
	return out
}

// Close stops listening, lets contacts in hand end until ctx is done, then cuts
// them. It may be called again.
func (s *Sinkhole) Close(ctx context.Context) error {
	s.mu.Lock()
	stops := s.stops
	s.stops = nil
	s.mu.Unlock()
	var wg sync.WaitGroup
	errs := make([]error, len(stops))
	for i, stop := range stops {
		wg.Go(func() { errs[i] = stop(ctx) })
	}
	wg.Wait()
	s.wg.Wait()
	if err := errors.Join(errs...); err != nil && !errors.Is(err, net.ErrClosed) {
		return fmt.Errorf("couldn't close the sinkhole in order: %w", err)
	}
	return nil
}

// Stats gives the counters.
func (s *Sinkhole) Stats() Stats {
	n := &s.n
	return Stats{
		DNS: n.dns.Load(), DNSTCP: n.dnsTCP.Load(), HTTP: n.http.Load(), HTTPS: n.https.Load(), SMTP: n.smtp.Load(), TCP: n.tcp.Load(),
		Answered: n.answered.Load(), Refused: n.refused.Load(), Malformed: n.malformed.Load(), Limited: n.limited.Load(),
		RecordFailed: n.recordFailed.Load(), ConnsRefused: n.connsRefused.Load(), TLSHellos: n.hellos.Load(),
		BadFrames: n.badFrames.Load(), ConnsCut: n.connsCut.Load(),
	}
}

// listenStream binds a TCP listener whose connections serve handles, each in a
// goroutine of its own.
func (s *Sinkhole) listenStream(addr, scheme string, serve func(net.Conn)) (start func(), err error) {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	t := s.newTracker(ln)
	s.addrs[scheme] = append(s.addrs[scheme], ln.Addr().String())
	s.stops = append(s.stops, t.close)
	return func() {
		t.served = make(chan struct{})
		s.wg.Go(func() { t.serve(serve) })
	}, nil
}

func addrPort(a net.Addr) netip.AddrPort {
	switch a := a.(type) {
	case *net.TCPAddr:
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	case *net.UDPAddr:
		ap := a.AddrPort()
		return netip.AddrPortFrom(ap.Addr().Unmap().WithZone(""), ap.Port())
	}
	return netip.AddrPort{}
}
