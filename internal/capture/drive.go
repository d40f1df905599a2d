package capture

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
)

// settle is how long a page's scripts are given after it was loaded.
const settle = 2 * time.Second

// quietFlags keep the browser from asking for anything but the page, from
// storing, and from saying that nobody sits before it.
var quietFlags = map[string]any{
	"headless": "new", "hide-scrollbars": true, "mute-audio": true, "disable-gpu": true, "lang": "en-US",
	"disable-quic": true, "dns-prefetch-disable": true, "force-webrtc-ip-handling-policy": "disable_non_proxied_udp", "proxy-bypass-list": "<-loopback>",
	"disable-extensions": true, "disable-sync": true, "disable-background-networking": true, "disable-component-update": true, "disable-default-apps": true,
	"disable-domain-reliability": true, "disable-client-side-phishing-detection": true, "disable-breakpad": true, "disable-crash-reporter": true, "no-pings": true,
	"metrics-recording-only": true, "password-store": "basic", "use-mock-keychain": true, "disable-dev-shm-usage": true, "deny-permission-prompts": true,
	"disable-blink-features": "AutomationControlled", "js-flags": "--max-old-space-size=512", "renderer-process-limit": "4",
	"disable-features": "Translate,OptimizationHints,MediaRouter,DialMediaRouteProvider,AutofillServerCommunication,CertificateTransparencyComponentUpdater,HttpsUpgrades,HttpsFirstBalancedModeAutoEnable,WebUSB,WebBluetooth",
}

// drive runs the browser for one page; it runs in the jail.
func drive(j job, proxy string) (r reply) {
	all, cancel := context.WithTimeout(context.Background(), j.Time)
	defer cancel()
	said := &head{max: 2 << 10}
	opts := []chromedp.ExecAllocatorOption{
		chromedp.ExecPath(j.Browser), chromedp.UserDataDir(filepath.Join(os.TempDir(), "profile")), chromedp.CombinedOutput(said),
		chromedp.WindowSize(j.Width, j.Height), chromedp.UserAgent(j.Agent), chromedp.NoFirstRun, chromedp.NoDefaultBrowserCheck,
		chromedp.Flag("proxy-server", "http://"+proxy), chromedp.Flag("ignore-certificate-errors-spki-list", j.KeyPin),
	}
	for k, v := range quietFlags {
		opts = append(opts, chromedp.Flag(k, v))
	}
	if j.Weak { // it can't be had together with the ban on new privileges
		opts = append(opts, chromedp.NoSandbox)
	}
	alloc, stopAlloc := chromedp.NewExecAllocator(all, opts...)
	defer stopAlloc()
	silent := func(string, ...any) {}
	ctx, stop := chromedp.NewContext(alloc, chromedp.WithErrorf(silent), chromedp.WithLogf(silent))
	defer stop()
	var mu sync.Mutex
	var notes []string
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		if len(notes) < 20 {
			notes = append(notes, fmt.Sprintf(format, args...))
		}
	}
	defer func() {
		mu.Lock()
		defer mu.Unlock()
		r.Notes = notes
	}()
	// The first call starts the browser and must have no limit of its own.
	version, err := chromedp.CallBrowser(ctx, browser.GetVersion, none{})
	if err != nil {
		r.Err = fmt.Sprintf("the browser did not start: %v; it said: %s", err, inert(said.String(), 300))
		return r
	}
	r.Version = version.Product
	dialogs := make(chan string, 8)
	err = chromedp.Listen(ctx, func(ev any) {
		if d, ok := ev.(*page.EventJavascriptDialogOpening); ok {
			select {
			case dialogs <- fmt.Sprintf("the page opened a dialogue (%s): %s", d.Type, inert(d.Message, 200)):
			default:
			}
		}
	})
	if err == nil {
		go func() { // the listener itself may not call
			for {
				select {
				case <-ctx.Done():
					return
				case s := <-dialogs:
					note("%s", s)
					_, _ = chromedp.Call(ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: false}) // it may be gone
				}
			}
		}()
		err = obey(ctx, j)
	}
	if err != nil {
		r.Err = "the browser did not obey: " + err.Error()
		return r
	}
	loading, stopLoading := context.WithTimeout(ctx, j.Time*6/10)
	err = chromedp.Do(loading, chromedp.Navigate(j.URL))
	slow := loading.Err() != nil
	stopLoading()
	switch {
	case slow:
		note("the page was still loading after %s", j.Time*6/10)
	case err != nil:
		note("the browser says: %s", inert(err.Error(), 200))
	}
	select {
	case <-time.After(settle):
	case <-ctx.Done():
	}
	if ctx.Err() != nil {
		r.Err = "the browser took too long"
		return r
	}
	if err := read(ctx, &r, note); err != nil {
		note("couldn't read the page: %s", inert(err.Error(), 200))
	}
	if err := picture(ctx, j, &r, note); err != nil {
		r.Err = "couldn't make the picture: " + inert(err.Error(), 200)
	}
	return r
}

type none = struct{}

// obey tells the browser what it may not do, and whom to play.
func obey(ctx context.Context, j job) error {
	if _, err := chromedp.CallBrowser(ctx, browser.SetDownloadBehavior, browser.SetDownloadBehaviorParams{Behavior: browser.SetDownloadBehaviorBehaviorDeny}); err != nil {
		return err
	}
	if _, err := chromedp.Call(ctx, network.Enable, network.EnableParams{}); err != nil {
		return err
	}
	if _, err := chromedp.Call(ctx, network.SetBypassServiceWorker, network.SetBypassServiceWorkerParams{Bypass: true}); err != nil {
		return err
	}
	as := emulation.SetUserAgentOverrideParams{UserAgent: j.Agent, AcceptLanguage: "en-US,en", Platform: "Win32"}
	// Without these hints a headless browser gives itself away; one that is no Chrome
	// sends none.
	if _, v, ok := strings.Cut(j.Agent, "Chrome/"); ok {
		major, _, _ := strings.Cut(v, ".")
		as.UserAgentMetadata = &emulation.UserAgentMetadata{
			Brands:   []*emulation.UserAgentBrandVersion{{Brand: "Chromium", Version: major}, {Brand: "Google Chrome", Version: major}, {Brand: "Not_A Brand", Version: "99"}},
			Platform: "Windows", PlatformVersion: "15.0.0", Architecture: "x86", Bitness: "64",
		}
	}
	_, err := chromedp.Call(ctx, emulation.SetUserAgentOverride, as)
	return err
}

// read takes the page as it is now, through the browser and not through the
// page's own objects, which its scripts may have changed.
func read(ctx context.Context, r *reply, note func(string, ...any)) error {
	if h, err := chromedp.Call(ctx, page.GetNavigationHistory, none{}); err == nil && h.CurrentIndex >= 0 && int(h.CurrentIndex) < len(h.Entries) {
		e := h.Entries[h.CurrentIndex]
		r.URL, r.Title = e.URL, e.Title
	}
	doc, err := chromedp.Call(ctx, dom.GetDocument, dom.GetDocumentParams{})
	if err != nil {
		return err
	}
	html, err := chromedp.Call(ctx, dom.GetOuterHTML, dom.GetOuterHTMLParams{NodeID: doc.Root.NodeID})
	if err != nil {
		return err
	}
	r.DOM = html.OuterHTML
	if len(r.DOM) > maxDOM {
		r.DOM = r.DOM[:maxDOM]
		note("the page was cut at %d octets", maxDOM)
	}
	return nil
}

// picture takes the whole page, as far down as maxHeight.
func picture(ctx context.Context, j job, r *reply, note func(string, ...any)) error {
	m, err := chromedp.Call(ctx, page.GetLayoutMetrics, none{})
	if err != nil {
		return err
	}
	high := float64(j.Height)
	if m.CSSContentSize != nil {
		high = min(max(high, m.CSSContentSize.Height), maxHeight)
		if m.CSSContentSize.Height > maxHeight {
			note("the picture shows the first %d of %d pixels", maxHeight, int(m.CSSContentSize.Height))
		}
	}
	s, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{
		Format: page.CaptureScreenshotFormatPng, CaptureBeyondViewport: new(true), Clip: &page.Viewport{Width: float64(j.Width), Height: high, Scale: 1},
	})
	r.PNG = s.Data
	return err
}

// head keeps the first max octets written to it.
type head struct {
	mu  sync.Mutex
	b   strings.Builder
	max int
}

func (t *head) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.b.Write(p[:min(len(p), max(0, t.max-t.b.Len()))])
	return len(p), nil
}

func (t *head) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}
