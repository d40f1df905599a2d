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
	"slices"
	"strings"
	"time"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/capture"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/parallel"
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
	Agent        string   // what web servers are told; "": a common browser
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

// NoteTwist keeps in the evidence log, before it is done, that resolvers are asked
// about names made of the original: they ask the names' own servers. Most of
// thousands are names that nobody holds, so an entry, of the original's name, lists
// many.
func (s *System) NoteTwist(ctx context.Context, original string, names []impound.Name, registration bool) error {
	if err := s.may(ctx, "NoteTwist", ""); err != nil {
		return err
	}
	at, err := pageURL(original)
	if err != nil {
		return err
	}
	orig, err := impound.ParseName(at.Hostname())
	if err != nil {
		return err
	}
	asks := "dns"
	if registration {
		asks += " registration"
	}
	var es []impound.Entry
	for part := range slices.Chunk(names, namesAnEntry) {
		e := s.touch(ctx, enrich.LevelDNS, orig)
		list := make([]string, len(part))
		for i, n := range part {
			list[i] = n.String()
		}
		e.Detail["asks"], e.Detail["names"] = asks, strings.Join(list, " ")
		es = append(es, e)
	}
	_, err = s.Evidence.AppendAll(ctx, es)
	return err
}

// namesAnEntry is how many of the longest names an entry of the log has room for,
// [evidence.MaxEntry].
const namesAnEntry = 200

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
	page    *url.URL // the original's
	orig    impound.Name
	alikeTo *url.URL // the page that texts are compared with; nil: none
	looksAs *url.URL // and the one that pictures are
	text    string   // the original page's hash
	from    string   // and where it is
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
	if !capture.AgentOK(opt.Agent) {
		return impound.Errorf(impound.KindInvalid, "what web servers are told takes up to %d printable ASCII characters", capture.MaxAgent)
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
	if err := t.aim(original); err != nil {
		return err
	}
	if err := t.noteOriginals(ctx); err != nil {
		return err
	}
	if err := t.originals(ctx); err != nil {
		return err
	}
	if names, err = t.noteNames(ctx, names); err != nil {
		return err
	}
	return parallel.Some(ctx, opt.Threads, len(names), func(i int) { done(i, t.look(ctx, names[i])) })
}

// aim reads which pages are compared with. It asks nobody.
func (t *twister) aim(original string) (err error) {
	if t.page, err = pageURL(original); err != nil {
		return err
	}
	if t.orig, err = impound.ParseName(t.page.Hostname()); err != nil {
		return err
	}
	other := func(given, flag string) (*url.URL, error) {
		if given == "" {
			return t.page, nil
		}
		u, err := pageURL(given)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", flag, err)
		}
		return u, nil
	}
	if t.opt.Text {
		if t.alikeTo, err = other(t.opt.TextURL, "--ssdeep-url"); err != nil {
			return err
		}
	}
	if t.opt.Picture {
		if _, err := t.cap.Browser(); err != nil {
			return impound.Errorf(impound.KindUnavailable, "--phash needs a browser: %w", err).WithCure("install it, or name it under capture: {browser: ...}")
		}
		if t.looksAs, err = other(t.opt.PictureURL, "--phash-url"); err != nil {
			return err
		}
	}
	return nil
}

// noteOriginals keeps in the evidence log that the servers of what is compared
// with are asked, before they are. A name that may not be asked is refused.
func (t *twister) noteOriginals(ctx context.Context) error {
	asks := map[impound.Name][]string{}
	var names []impound.Name
	for _, x := range []struct {
		u    *url.URL
		what string
	}{{t.alikeTo, "text"}, {t.looksAs, "picture"}} {
		if x.u == nil {
			continue
		}
		n, err := impound.ParseName(x.u.Hostname())
		if err != nil {
			return err
		}
		if asks[n] == nil {
			names = append(names, n)
		}
		asks[n] = append(asks[n], x.what)
	}
	no, err := t.s.ForTwist(ctx, names, impound.PAPGreen)
	if err != nil {
		return err
	}
	es := make([]impound.Entry, len(names))
	for i, n := range names {
		if p, held := no[n]; held {
			return impound.Errorf(impound.KindRefused, "PAP:%s forbids to ask %s for the page to compare with; nothing was asked", strings.ToUpper(string(p)), n.Defanged()).At("pap").
				WithCure("name a page that may be asked for with --ssdeep-url and --phash-url")
		}
		es[i] = t.s.touch(ctx, enrich.LevelWeb, n)
		es[i].Detail["asks"] = strings.Join(asks[n], " ")
		t.sayAgent(&es[i])
	}
	_, err = t.s.Evidence.AppendAll(ctx, es)
	return err
}

// noteNames keeps in the evidence log which names' servers are asked what, before
// they are, the mail servers' names with them. It gives the names without the mail
// servers that may not be asked.
func (t *twister) noteNames(ctx context.Context, names []TwistName) ([]TwistName, error) {
	if !t.opt.Web() {
		return names, nil
	}
	names = slices.Clone(names)
	if t.opt.Banners || t.opt.Mail {
		var servers []impound.Name
		for _, n := range names {
			if len(n.MX) > 0 {
				if mx, err := impound.ParseName(n.MX[0]); err == nil {
					servers = append(servers, mx)
				}
			}
		}
		no, err := t.s.ForTwist(ctx, servers, impound.PAPGreen)
		if err != nil {
			return nil, err
		}
		for i := range names {
			if len(names[i].MX) == 0 {
				continue
			}
			mx, err := impound.ParseName(names[i].MX[0])
			if _, held := no[mx]; err == nil && held {
				t.s.log.Warn("a mail server is not asked, since a marking forbids it", "server", mx.Defanged(), "name", names[i].Name.Defanged())
				names[i].MX = nil
			}
		}
	}
	var es []impound.Entry
	for _, n := range names {
		var asks []string
		add := func(yes bool, what string) {
			if yes {
				asks = append(asks, what)
			}
		}
		here := len(n.A)+len(n.AAAA) > 0
		add(t.opt.Banners && len(n.A) > 0, "banner")
		add(t.opt.Picture && here, "picture")
		add(t.opt.Text && here, "text")
		mail := len(asks)
		add(t.opt.Banners && len(n.MX) > 0, "mail-banner")
		add(t.asksMail(n), "mail-check")
		if len(asks) == 0 {
			continue // it has no server
		}
		e := t.s.touch(ctx, enrich.LevelWeb, n.Name)
		e.Detail["asks"] = strings.Join(asks, " ")
		t.sayAgent(&e)
		if len(asks) > mail {
			e.Detail["mail"] = n.MX[0]
		}
		es = append(es, e)
	}
	_, err := t.s.Evidence.AppendAll(ctx, es)
	return names, err
}

// sayAgent puts into an entry as whom we come, where that was chosen.
func (t *twister) sayAgent(e *impound.Entry) {
	if t.opt.Agent != "" {
		e.Detail["agent"] = t.opt.Agent
	}
}

// asksMail says whether n's mail server is asked whether it takes anybody's.
func (t *twister) asksMail(n TwistName) bool {
	return t.opt.Mail && len(n.MX) > 0 && n.Name != t.orig
}

// originals has what is compared with.
func (t *twister) originals(ctx context.Context) error {
	fails := func(u *url.URL, flag string, err error) error {
		return impound.Errorf(impound.KindUnavailable, "couldn't have the page to compare with: %w", err).At(strings.ReplaceAll(u.String(), ".", "[.]")).
			WithCure("name another one with " + flag)
	}
	if u := t.alikeTo; u != nil {
		b, from, err := t.cap.Page(ctx, u, t.opt.Agent)
		if err != nil {
			return fails(u, "--ssdeep-url", err)
		}
		t.text, t.from = likeness.Fuzzy(likeness.Normal(b)), from
	}
	if u := t.looksAs; u != nil {
		b, err := t.cap.Screenshot(ctx, u, t.opt.Agent)
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
	if t.asksMail(n) && t.takesAnybody(ctx, n.MX[0], n.Name) {
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
	at := &url.URL{Scheme: t.page.Scheme, Host: n.Name.String(), Path: t.page.Path}
	if p := t.page.Port(); p != "" {
		at.Host = net.JoinHostPort(at.Host, p)
	}
	if t.opt.Picture && len(n.A)+len(n.AAAA) > 0 {
		t.shots <- struct{}{}
		b, err := t.cap.Screenshot(ctx, at, t.opt.Agent)
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
		if b, from, err := t.cap.Page(ctx, at, t.opt.Agent); err == nil && from != t.from {
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
		if err := c.PrintfLine("HEAD / HTTP/1.1\r\nHost: %s\r\nUser-Agent: %s\r\nConnection: close\r\n", n, cmp.Or(t.opt.Agent, capture.AgentDesktop)); err != nil {
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
