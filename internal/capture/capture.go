package capture

import (
	"cmp"
	"context"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/observe/wayout"
)

// The kinds of artefacts, beside those of package observe.
const (
	KindWHOIS      = "whois"
	KindTLS        = "tls"
	KindTLSDefault = "tls-default" // what the server shows when it is asked for no name
	KindCert       = "tls-certificate"
	KindWARC       = "warc"
	KindLooks      = "http-looks"
	KindGating     = "gating"
	KindScreenshot = "screenshot"
	KindDOM        = "dom"
	KindBrowser    = "browser"
	KindManifest   = "capture"
)

// Config says how to capture.
type Config struct {
	// Observe looks at DNS and RDAP; its resolvers and routes serve everything
	// here. It must be given.
	Observe *observe.Observer
	// Proxy, when set, is where HTTP, TLS and WHOIS leave through:
	// socks5://HOST:PORT or http://HOST:PORT. Names are resolved first, by the
	// observer's way, which has a proxy of its own: [observe.Config.Proxy].
	Proxy string
	// SecondProxy is another way out, to see whether the answer depends on the
	// source.
	SecondProxy string
	// Source is the address of ours that connections leave from; zero: the system
	// chooses. Servers of the other family can't be reached then.
	Source netip.Addr
	// WHOIS is the first server asked, "" for IANA's.
	WHOIS string
	// Referrer is sent by one look, "" for a web search's.
	Referrer string
	// Every spaces the requests to one host; 0 is 200 ms, negative none.
	Every time.Duration
	// Browser says which Chromium, and in which jail.
	Browser BrowserConfig
	Bounds  Bounds
	// Roots are what chains are verified against; nil is the system's.
	Roots *x509.CertPool
	// AllowLoopback lets loopback addresses be asked. It is for tests.
	AllowLoopback bool
	Tool          string // name and version, in every artefact; "" is impound-capture/1
	Now           func() time.Time
	Log           *slog.Logger
}

// Capturer captures. It is safe for concurrent use.
type Capturer struct {
	cfg          Config
	main, second *egress
	pace         *pace
}

// New makes a Capturer; a proxy's address that can't be read is an error of
// KindInvalid.
func New(cfg Config) (*Capturer, error) {
	if cfg.Observe == nil {
		return nil, impound.Errorf(impound.KindInternal, "a capturer needs an observer")
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Tool == "" {
		cfg.Tool = "impound-capture/1"
	}
	if cfg.Referrer == "" {
		cfg.Referrer = "https://www.google.com/"
	}
	if cfg.Every == 0 {
		cfg.Every = 200 * time.Millisecond
	}
	cfg.Bounds = cfg.Bounds.orDefault()
	c := &Capturer{cfg: cfg, pace: &pace{every: cfg.Every}}
	via, err := wayout.Parse(cfg.Proxy, "proxy")
	if err != nil {
		return nil, err
	}
	c.main = &egress{obs: cfg.Observe, via: via, from: cfg.Source, loopback: cfg.AllowLoopback, timeout: cfg.Bounds.Time}
	if via, err = wayout.Parse(cfg.SecondProxy, "second_proxy"); err != nil {
		return nil, err
	}
	if via != nil {
		c.second = &egress{obs: cfg.Observe, via: via, from: cfg.Source, loopback: cfg.AllowLoopback, timeout: cfg.Bounds.Time}
	}
	return c, nil
}

// Request says what to capture.
type Request struct {
	Name         impound.Name
	URL          string // where to begin; "" is the root page, https before http
	KeepQuery    bool   // URL's query is nobody's secret: send and keep it
	NoScreenshot bool
	Case, By     string
}

// Item is one artefact, ready to be kept. Hash and Size of the artefact are
// set. An item with Err and no body is a part that failed.
type Item struct {
	Artefact impound.Artefact `json:"artefact"`
	Summary  string           `json:"summary"` // one line for people, inert
	Err      string           `json:"err,omitempty"`
	Body     []byte           `json:"-"`
}

// Result is what a capture gave, in the order in which it is to be kept; the
// last item is the manifest, which names all others.
type Result struct {
	Items        []Item
	Gating       Gating
	NoScreenshot string // why there is none; "" when there is
}

// Manifest ties the artefacts of one capture together.
type Manifest struct {
	Format       string         `json:"format"` // "impound-capture/1"
	Name         impound.Name   `json:"name"`
	URL          string         `json:"url,omitempty"`
	Case         string         `json:"case,omitempty"`
	By           string         `json:"by"`
	Tool         string         `json:"tool"`
	Started      time.Time      `json:"started"`
	Finished     time.Time      `json:"finished"`
	Egress       string         `json:"egress"`
	Gating       string         `json:"gating"`
	NoScreenshot string         `json:"no_screenshot,omitempty"`
	Parts        []ManifestPart `json:"parts"`
}

// ManifestPart is one artefact, or what became of one that there is none of.
type ManifestPart struct {
	Kind    string    `json:"kind"`
	Source  string    `json:"source"`
	Media   string    `json:"media,omitempty"`
	SHA256  string    `json:"sha256,omitempty"`
	Size    int64     `json:"size,omitempty"`
	At      time.Time `json:"at"`
	Summary string    `json:"summary"`
	Err     string    `json:"err,omitempty"`
}

// take is one capture under way.
type take struct {
	*Capturer
	req    Request
	obs    *observe.Observer
	bounds Bounds
	budget *budget
	warc   *warcFile
	home   impound.Name // the registrable domain
	agent  string       // what the visitor says he is, where whoever asks chose it
	now    func() time.Time

	mu    sync.Mutex
	items []Item
}

// Take captures a name. Its error says that the request was wrong or that ctx
// ended; whatever else fails is a part of the result.
func (c *Capturer) Take(ctx context.Context, req Request) (Result, error) {
	start, err := req.check()
	if err != nil {
		return Result{}, err
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Bounds.All)
	defer cancel()
	t := &take{Capturer: c, req: req, obs: c.cfg.Observe, bounds: c.cfg.Bounds, budget: newBudget(c.cfg.Bounds.Total), now: c.cfg.Now, home: req.Name}
	if r, err := req.Name.Registrable(); err == nil {
		t.home = r
	}
	began := t.now().UTC()
	t.warc = newWARC(c.cfg.Tool, req.Name.String()+".warc.gz", t.now)

	var wg sync.WaitGroup
	wg.Go(func() { t.registration(ctx) })
	for _, look := range []func() observe.Observation{
		func() observe.Observation { return t.obs.Parent(ctx, req.Name).Observation() },
		func() observe.Observation { return t.obs.Child(ctx, req.Name).Observation() },
		func() observe.Observation { return t.obs.Resolve(ctx, req.Name).Observation() },
	} {
		wg.Go(func() { t.observed(look()) })
	}
	res := Result{}
	wg.Go(func() { t.web(ctx, start, &res) })
	wg.Wait()
	if err := outer.Err(); err != nil {
		return Result{}, err // cut short by whoever asked: it says nothing
	}
	t.order()
	m := Manifest{
		Format: "impound-capture/1", Name: req.Name, Case: req.Case, By: req.By, Tool: c.cfg.Tool, Started: began, Finished: t.now().UTC(),
		URL: res.Gating.URL, Egress: t.viaName(t.main), Gating: res.Gating.Verdict, NoScreenshot: res.NoScreenshot,
	}
	for _, it := range t.items {
		m.Parts = append(m.Parts, ManifestPart{it.Artefact.Kind, it.Artefact.Source, it.Artefact.Media, strings.TrimPrefix(it.Artefact.Hash, "sha256:"), it.Artefact.Size, it.Artefact.At, it.Summary, it.Err})
	}
	t.keepJSON(KindManifest, "capture of "+req.Name.String(), began, m, plural(len(m.Parts), "part")+" captured", "")
	res.Items = t.items
	return res, nil
}

// check gives the first URL, nil where the request names none.
func (r Request) check() (*url.URL, error) {
	if r.Name.IsZero() {
		return nil, impound.Errorf(impound.KindInvalid, "no name to capture")
	}
	if r.URL == "" {
		return nil, nil
	}
	bad := func(cure, format string, args ...any) error {
		return impound.Errorf(impound.KindInvalid, format, args...).At("url").WithCure(cure)
	}
	u, err := url.Parse(r.URL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || len(r.URL) > 4096 {
		return nil, bad("write it as https://"+r.Name.String()+"/path", "it is no web address")
	}
	if n, err := impound.ParseName(u.Hostname()); err != nil || !n.AtOrBelow(r.Name) {
		return nil, bad("capture the name that it belongs to", "it is not at %s", r.Name.Defanged())
	}
	u.User, u.Fragment = nil, ""
	if strings.Contains(u.Path, "@") {
		return nil, bad("leave the address out of it", "its path holds what looks like somebody's mail address, which would be sent to the actor and kept")
	}
	if u.RawQuery != "" && !r.KeepQuery {
		return nil, bad("leave the part from the ? on out, or say that it holds nothing of a victim's: --keep-query", "it has a query: queries of lures name their victims")
	}
	u.Path = cmp.Or(u.Path, "/")
	return u, nil
}

// observed takes one of the observer's looks with its parts.
func (t *take) observed(o observe.Observation) {
	a := o.Artefact(t.req.Case, t.req.By)
	t.keep(a, o.JSON, o.Summary, o.Err)
	for _, p := range o.Parts {
		b := o.Artefact(t.req.Case, t.req.By)
		b.Kind, b.Media = o.Kind+"-raw", p.Media
		t.keep(b, p.Bytes, p.Label, "")
	}
}

// registration takes RDAP, and WHOIS where RDAP gave nothing.
func (t *take) registration(ctx context.Context) {
	o := t.obs.RDAP(ctx, t.req.Name).Observation()
	t.observed(o)
	if o.Err == "" {
		return
	}
	v := t.whois(ctx, t.req.Name)
	for _, a := range v.Answers {
		if len(a.raw) > 0 {
			t.keep(t.artefact(KindWHOIS+"-raw", "text/plain", a.Server, a.At), a.raw, "answer of "+defang(a.Server), "")
		}
	}
	t.keepJSON(KindWHOIS, v.source(), v.At, v, "whois of "+t.req.Name.Defanged()+": "+v.summary(), v.Err)
}

func (v WHOISView) source() string {
	var s []string
	for _, a := range v.Answers {
		s = append(s, a.Server)
	}
	return strings.Join(s, " ")
}

// web takes TLS, HTTP as several visitors, and what a browser makes of it.
func (t *take) web(ctx context.Context, start *url.URL, res *Result) {
	g := &res.Gating
	g.Name, g.At = t.req.Name.String(), t.now().UTC()
	desktop := func() *visitor {
		return &visitor{look: "desktop", agent: agentDesktop, lines: browserLines, jar: newJar(), via: t.main, roam: true}
	}
	var first, other *chain // other is plain http, where https is compared
	if start != nil {
		first = t.visit(ctx, desktop(), start)
	} else {
		start = &url.URL{Scheme: "https", Host: t.req.Name.String(), Path: "/"}
		plain := &url.URL{Scheme: "http", Host: t.req.Name.String(), Path: "/"}
		first, other = t.visit(ctx, desktop(), start), t.visit(ctx, desktop(), plain)
		if a, b := first.steps[0], other.steps[0]; a.Status == 0 && (b.Status != 0 || !a.addr.IsValid() && b.addr.IsValid()) {
			first, other, start = other, first, plain
		}
	}
	base := first.visitor
	t.chainOf(ctx, start)
	g.URL = inert(start.String(), 2048)
	g.Looks = append(g.Looks, t.facts(first))
	var extra []LookFacts
	if other != nil {
		extra = append(extra, t.facts(other))
	}
	if first.steps[0].Status != 0 {
		for _, v := range t.variants(base, g) {
			c := t.visit(ctx, v, start)
			if c.steps[len(c.steps)-1].Status == 0 && ctx.Err() == nil {
				c = t.visit(ctx, v, start) // a line that failed once says nothing of the visitor
			}
			g.Looks = append(g.Looks, t.facts(c))
		}
		again := *base
		again.look, again.jar, again.roam = "desktop-again", newJar(), false
		g.Looks = append(g.Looks, t.facts(t.visit(ctx, &again, start)))
	}
	var script *LookFacts
	switch {
	case t.req.NoScreenshot:
		res.NoScreenshot = "not wanted"
	case first.steps[0].Status == 0:
		res.NoScreenshot = "no web server answers"
	default:
		script, res.NoScreenshot = t.browse(ctx, start)
	}
	if res.NoScreenshot != "" && !t.req.NoScreenshot {
		t.keep(t.artefact(KindScreenshot, "image/png", g.URL, t.now().UTC()), nil, "no screenshot", res.NoScreenshot)
	}
	g.compare(script)
	fault := ""
	if first.steps[0].Status == 0 {
		fault = first.steps[0].Err
	}
	t.keep(t.artefact(KindWARC, "application/warc", g.URL, g.At), t.warc.bytes(), plural(t.warc.records(), "record")+" of HTTP", "")
	t.keepJSON(KindLooks, g.URL, g.At, append(slices.Clone(g.Looks), extra...), "http of "+t.req.Name.Defanged()+": "+summaryOf(first), fault)
	t.keepJSON(KindGating, g.URL, g.At, g, "gating: "+g.Summary(), "")
}

// variants are the visitors that the first is compared with.
func (t *take) variants(base *visitor, g *Gating) []*visitor {
	var out []*visitor
	add := func(look string, change func(v *visitor)) {
		v := *base
		v.look, v.jar, v.roam = look, newJar(), false
		change(&v)
		out = append(out, &v)
	}
	add("mobile", func(v *visitor) { v.agent = agentMobile })
	add("bot", func(v *visitor) { v.agent, v.lines = agentBot, []string{"Accept: */*"} })
	add("tool", func(v *visitor) { v.agent, v.lines = t.cfg.Tool, []string{"Accept: */*"} })
	add("referrer", func(v *visitor) { v.referer = t.cfg.Referrer })
	if u, err := url.Parse(g.URL); err == nil && len(base.jar.Cookies(u)) > 0 {
		add("cookie", func(v *visitor) { v.jar = base.jar })
	} else {
		g.NotTried = append(g.NotTried, "cookie: the server set none")
	}
	if t.second != nil {
		add("second-source", func(v *visitor) { v.via = t.second })
	} else {
		g.NotTried = append(g.NotTried, "source: no second way out is configured")
	}
	return out
}

// chainOf keeps the certificates that the first server shows.
func (t *take) chainOf(ctx context.Context, start *url.URL) {
	host, port, err := target(start)
	if err != nil {
		return
	}
	if start.Scheme == "http" {
		port = 443
	}
	v := t.tlsChain(ctx, host, port, host)
	for i, c := range v.Chain {
		t.keep(t.artefact(KindCert, "application/pkix-cert", v.Addr, v.At), c.der, fmt.Sprintf("certificate %d: %s", i, c.Subject), "")
	}
	t.keepJSON(KindTLS, cmp.Or(v.Addr, host), v.At, v, "tls of "+defang(host)+": "+v.summary(), v.Err)
	if v.Err != "" || len(v.Chain) == 0 {
		return
	}
	// Whose certificate the server shows to who names nobody tells who else is
	// there: G4 asks.
	d := t.tlsChain(ctx, host, port, "")
	what := d.summary()
	if len(d.Chain) > 0 && d.Chain[0].SHA256 == v.Chain[0].SHA256 {
		what = "the same"
	} else if len(d.Chain) > 0 {
		t.keep(t.artefact(KindCert, "application/pkix-cert", d.Addr, d.At), d.Chain[0].der, "certificate of who else is there: "+d.Chain[0].Subject, "")
	}
	t.keepJSON(KindTLSDefault, cmp.Or(d.Addr, host), d.At, d, "tls of the server of "+defang(host)+", asked for no name: "+what, d.Err)
}

func summaryOf(c *chain) string {
	last := c.steps[len(c.steps)-1]
	if last.Status == 0 {
		return cmp.Or(c.err, last.Err)
	}
	s := fmt.Sprintf("%d after %s", last.Status, plural(len(c.steps), "request"))
	if u, err := url.Parse(last.URL); err == nil && len(c.steps) > 1 {
		s += ", at " + defang(u.Hostname())
	}
	if c.err != "" {
		s += ", " + c.err
	}
	if last.Cut != "" {
		s += ", cut (" + last.Cut + ")"
	}
	return s
}

func (t *take) viaName(g *egress) string {
	switch {
	case g == t.second && g != nil:
		return "second proxy"
	case g.via != nil:
		return "proxy"
	}
	return "direct"
}

func (t *take) artefact(kind, media, source string, at time.Time) impound.Artefact {
	return impound.Artefact{Kind: kind, Media: media, Name: t.req.Name, Case: t.req.Case, Source: cmp.Or(inert(source, 2048), "none"), Tool: t.cfg.Tool, By: t.req.By, At: at}
}

func (t *take) keepJSON(kind, source string, at time.Time, v any, summary, fault string) {
	b, err := json.Marshal(v)
	if err != nil {
		fault = "couldn't write it down: " + err.Error()
	}
	t.keep(t.artefact(kind, "application/json", source, at), b, summary, fault)
}

func (t *take) keep(a impound.Artefact, body []byte, summary, fault string) {
	if body != nil {
		a.Hash, a.Size = impound.HashBytes(body), int64(len(body))
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	t.items = append(t.items, Item{a, inert(summary, 2000), inert(fault, 500), body})
}

var kindOrder = []string{observe.KindParent, observe.KindChild, observe.KindResolver, observe.KindRDAP, KindWHOIS, KindTLS, KindCert, KindLooks, KindWARC, KindBrowser, KindScreenshot, KindDOM, KindGating}

// order puts the parts as a reader looks for them.
func (t *take) order() {
	rank := func(it Item) int { return slices.Index(kindOrder, strings.TrimSuffix(it.Artefact.Kind, "-raw")) }
	slices.SortStableFunc(t.items, func(a, b Item) int { return rank(a) - rank(b) })
}
