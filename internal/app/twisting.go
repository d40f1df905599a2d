package app

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"net"
	"net/netip"
	"net/textproto"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/capture"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/watch/enrich"
	"github.com/impound/impound/internal/watch/likeness"
)

// What impound twist asks beyond the DNS, for those that ask for it.

// TwistLook says what to ask about variants of a name. The zero value asks nobody.
type TwistLook struct {
	Banners      bool // what web and mail servers call themselves
	Mail         bool // whether the mail server takes mail for anybody; none is sent
	Registration bool // when and by whom it was registered: RDAP, or WHOIS
	Text         bool // how alike the pages are, by ssdeep
	Picture      bool // how alike they look, by a browser's screenshots
	Countries    string
	TextURL      string // the page to compare with; "": the original's own
	PictureURL   string
	Screenshots  string   // folder where screenshots are put; "": nowhere
	Servers      []string // resolvers to ask; none: the configured ones
	Threads      int
}

// Web says whether the names' own servers are asked.
func (l TwistLook) Web() bool { return l.Banners || l.Mail || l.Text || l.Picture }

// TwistName is a variant that the DNS knows.
type TwistName struct {
	Name    impound.Name
	A, AAAA []string // addresses
	MX      []string
}

// TwistSeen is what was found, under dnstwist's names: banner_http, banner_smtp,
// mx_spy, geoip, whois_created, whois_registrar, ssdeep, phash.
type TwistSeen map[string]any

// ForTwist gives which names may not be asked about: nearer than level, as the
// markings say of cases that whoever asks may see.
func (s *System) ForTwist(ctx context.Context, names []impound.Name, level impound.PAP) (map[impound.Name]impound.PAP, error) {
	marks, err := s.markings(ctx, names)
	if err != nil {
		return nil, err
	}
	out := map[impound.Name]impound.PAP{}
	for n, m := range marks {
		if !m.PAP.Within(level) {
			out[n] = m.PAP
		}
	}
	return out, nil
}

// HasStore says whether a state folder holds a store.
func HasStore(state string) bool {
	_, err := os.Stat(filepath.Join(state, "impound.db"))
	return err == nil
}

// TwistDial gives the way by which impound twist asks name servers; nil: directly.
func (c *Config) TwistDial() (func(ctx context.Context, addr string) (net.Conn, error), error) {
	if !c.Capture.proxiesDNS() {
		return nil, nil
	}
	o, err := observe.New(observe.Config{Proxy: c.Capture.Proxy, Source: c.Capture.source()})
	if err != nil {
		return nil, err
	}
	return o.DialProxy, nil
}

// TwistResolvers gives the resolvers that impound twist asks where the command
// names none: nil means the machine's.
func (c *Config) TwistResolvers() []string {
	if c.Capture.proxiesDNS() {
		return c.proxyResolvers()
	}
	return c.Resolvers
}

// twister asks about variants.
type twister struct {
	s       *System
	opt     TwistLook
	obs     *observe.Observer
	cap     *capture.Capturer
	scheme  string
	path    string
	orig    impound.Name
	text    string // the original page's hash
	from    string // and where it is
	picture uint64
	country *maxminddb.Reader
	shots   chan struct{}
}

// Twist asks about names, variants of the original name or URL, and calls done
// with what was found of each, several at a time. That a name's server gives
// nothing is no error; that the original can't be had to compare with is. What goes
// to names' own servers stands in the evidence log before. Names that may not be
// asked about are the caller's to leave out: see ForTwist.
func (s *System) Twist(ctx context.Context, original string, names []TwistName, opt TwistLook, done func(int, TwistSeen)) (err error) {
	if err := s.may(ctx, "Twist", ""); err != nil {
		return err
	}
	t := &twister{s: s, opt: opt, obs: s.outside, shots: make(chan struct{}, 2)}
	if len(opt.Servers) > 0 {
		with := s.asks
		with.Resolvers = opt.Servers
		if s.cfg.Capture.Proxy != "" {
			with.Proxy, with.DirectDNS = s.cfg.Capture.Proxy, !s.cfg.Capture.proxiesDNS()
		}
		if t.obs, err = observe.New(with); err != nil {
			return err
		}
	}
	if t.cap, err = s.capturerBy(t.obs); err != nil {
		return err
	}
	if opt.Countries != "" {
		if t.country, err = maxminddb.Open(opt.Countries); err != nil {
			return impound.Errorf(impound.KindInvalid, "couldn't open the database of countries: %w", err).At(opt.Countries).WithCure("give a MaxMind-format file such as GeoLite2-Country.mmdb")
		}
		defer t.country.Close()
	}
	if err := t.originals(ctx, original); err != nil {
		return err
	}
	if opt.Web() {
		ns := make([]impound.Name, len(names))
		for i := range names {
			ns[i] = names[i].Name
		}
		if err := s.noteTouch(ctx, enrich.LevelWeb, ns); err != nil {
			return err
		}
	}
	next := make(chan int)
	var wg sync.WaitGroup
	for range min(max(opt.Threads, 1), max(len(names), 1)) {
		wg.Go(func() {
			for i := range next {
				done(i, t.look(ctx, names[i]))
			}
		})
	}
	for i := range names {
		if ctx.Err() != nil {
			break
		}
		next <- i
	}
	close(next)
	wg.Wait()
	return ctx.Err()
}

// originals has what is compared with.
func (t *twister) originals(ctx context.Context, original string) error {
	at, err := pageURL(original)
	if err != nil {
		return err
	}
	t.scheme, t.path = at.Scheme, at.Path
	if t.orig, err = impound.ParseName(at.Hostname()); err != nil {
		return err
	}
	page := func(other, where string) (*url.URL, error) {
		if other == "" {
			return at, nil
		}
		u, err := pageURL(other)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", where, err)
		}
		return u, nil
	}
	fails := func(u *url.URL, flag string, err error) error {
		return impound.Errorf(impound.KindUnavailable, "couldn't have the page to compare with: %w", err).At(strings.ReplaceAll(u.String(), ".", "[.]")).
			WithCure("name another one with " + flag)
	}
	if t.opt.Text {
		u, err := page(t.opt.TextURL, "--ssdeep-url")
		if err != nil {
			return err
		}
		b, from, err := t.cap.Page(ctx, u)
		if err != nil {
			return fails(u, "--ssdeep-url", err)
		}
		t.text, t.from = likeness.Fuzzy(likeness.Normal(b)), from
	}
	if t.opt.Picture {
		if _, err := t.cap.Browser(); err != nil {
			return impound.Errorf(impound.KindUnavailable, "--phash needs a browser: %w", err).WithCure("install it, or name it under capture: {browser: ...}")
		}
		u, err := page(t.opt.PictureURL, "--phash-url")
		if err != nil {
			return err
		}
		b, err := t.cap.Screenshot(ctx, u)
		if err == nil {
			t.picture, err = likeness.Picture(b)
		}
		if err != nil {
			return fails(u, "--phash-url", err)
		}
	}
	return nil
}

// pageURL reads a name or a URL; a query is left out, as it may name somebody.
func pageURL(s string) (*url.URL, error) {
	if !strings.Contains(s, "://") {
		n, err := impound.ParseName(s)
		if err != nil {
			return nil, err
		}
		return &url.URL{Scheme: "http", Host: n.String(), Path: "/"}, nil
	}
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" {
		return nil, impound.Errorf(impound.KindInvalid, "“%.80s” is no web address", s).WithCure("write it as https://NAME/path")
	}
	n, err := impound.ParseName(u.Hostname())
	if err != nil {
		return nil, err
	}
	host := n.String()
	if p := u.Port(); p != "" {
		host = net.JoinHostPort(host, p)
	}
	return &url.URL{Scheme: u.Scheme, Host: host, Path: cmp.Or(u.Path, "/")}, nil
}

// look asks about one name.
func (t *twister) look(ctx context.Context, n TwistName) TwistSeen {
	out := TwistSeen{}
	put := func(key, v string) {
		if v != "" {
			out[key] = v
		}
	}
	if t.country != nil && len(n.A) > 0 {
		put("geoip", t.countryOf(n.A[0]))
	}
	if t.opt.Mail && len(n.MX) > 0 && n.Name != t.orig && t.takesAnybody(ctx, n.MX[0], n.Name) {
		out["mx_spy"] = true
	}
	if t.opt.Banners {
		if len(n.A) > 0 {
			put("banner_http", t.bannerHTTP(ctx, n.Name))
		}
		if len(n.MX) > 0 {
			put("banner_smtp", t.bannerSMTP(ctx, n.MX[0]))
		}
	}
	at := &url.URL{Scheme: t.scheme, Host: n.Name.String(), Path: t.path}
	if t.opt.Picture && len(n.A)+len(n.AAAA) > 0 {
		t.shots <- struct{}{}
		b, err := t.cap.Screenshot(ctx, at)
		<-t.shots
		if err == nil {
			if h, err := likeness.Picture(b); err == nil {
				out["phash"] = likeness.PicturesAlike(t.picture, h)
			}
			if t.opt.Screenshots != "" {
				if err := os.WriteFile(filepath.Join(t.opt.Screenshots, n.Name.String()+".png"), b, 0o600); err != nil {
					t.s.log.Warn("a screenshot couldn't be kept", "err", err)
				}
			}
		}
	}
	if t.opt.Text && len(n.A)+len(n.AAAA) > 0 {
		if b, from, err := t.cap.Page(ctx, at); err == nil && from != t.from {
			out["ssdeep"] = likeness.FuzzyAlike(t.text, likeness.Fuzzy(likeness.Normal(b)))
		}
	}
	if t.opt.Registration {
		dom := n.Name
		if r, err := n.Name.RegistryDomain(); err == nil {
			dom = r
		}
		if v := t.obs.Registration(ctx, dom); v.Err == "" && v.Exists {
			if !v.Created.IsZero() {
				out["whois_created"] = v.Created.Format(time.DateOnly)
			}
			put("whois_registrar", v.Registrar)
		}
	}
	return out
}

func (t *twister) countryOf(addr string) string {
	a, err := netip.ParseAddr(addr)
	if err != nil {
		return ""
	}
	var rec struct {
		Country struct {
			Names map[string]string `maxminddb:"names"`
			ISO   string            `maxminddb:"iso_code"`
		} `maxminddb:"country"`
	}
	if r := t.country.Lookup(a); !r.Found() || r.Decode(&rec) != nil {
		return ""
	}
	name, _, _ := strings.Cut(cmp.Or(rec.Country.Names["en"], rec.Country.ISO), ",")
	return name
}

// talkTime bounds one conversation for a banner.
const talkTime = 15 * time.Second

// talk opens a connection that ends with ctx and after talkTime.
func (t *twister) talk(ctx context.Context, host string, port uint16, say func(*textproto.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, talkTime)
	defer cancel()
	c, _, err := t.cap.Connect(ctx, host, port)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	return say(textproto.NewConn(bounded{c, io.LimitReader(c, 64<<10)}))
}

// bounded is a connection of which no more than so much is read.
type bounded struct {
	net.Conn
	r io.Reader
}

func (b bounded) Read(p []byte) (int, error) { return b.r.Read(p) }

// bannerHTTP gives what the web server calls itself.
func (t *twister) bannerHTTP(ctx context.Context, n impound.Name) (banner string) {
	_ = t.talk(ctx, n.String(), 80, func(c *textproto.Conn) error {
		if err := c.PrintfLine("HEAD / HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nConnection: close\r\n", n, capture.AgentDesktop); err != nil {
			return err
		}
		if _, err := c.ReadLine(); err != nil {
			return err
		}
		h, err := c.ReadMIMEHeader()
		banner = inertLine(h.Get("Server"))
		return err
	})
	return banner
}

// bannerSMTP gives what the mail server calls itself.
func (t *twister) bannerSMTP(ctx context.Context, mx string) (banner string) {
	_ = t.talk(ctx, mx, 25, func(c *textproto.Conn) error {
		line, err := c.ReadLine()
		if err != nil {
			return err
		}
		if strings.HasPrefix(line, "220") && len(line) > 4 {
			banner = inertLine(line[4:])
		} else {
			banner = inertLine(line[:min(len(line), 40)])
		}
		_ = c.PrintfLine("QUIT")
		return nil
	})
	return banner
}

// takesAnybody says whether the mail server takes mail to a person of the domain
// whom nobody can know of. It is asked and told no more: no mail is sent.
func (t *twister) takesAnybody(ctx context.Context, mx string, n impound.Name) bool {
	who := strings.ToLower(rand.Text()[:12])
	err := t.talk(ctx, mx, 25, func(c *textproto.Conn) error {
		if _, _, err := c.ReadResponse(220); err != nil {
			return err
		}
		for _, x := range []struct {
			say  string
			want int
		}{{"EHLO localhost", 250}, {"MAIL FROM:<>", 250}, {fmt.Sprintf("RCPT TO:<%s@%s>", who, n), 25}} {
			if err := c.PrintfLine("%s", x.say); err != nil {
				return err
			}
			if _, _, err := c.ReadResponse(x.want); err != nil {
				_ = c.PrintfLine("QUIT")
				return err
			}
		}
		_ = c.PrintfLine("RSET\r\nQUIT")
		return nil
	})
	return err == nil
}

// inertLine makes what a server says of itself fit to show.
func inertLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r > 0x7e {
			return -1
		}
		return r
	}, s)
	return strings.TrimSpace(s[:min(len(s), 200)])
}
