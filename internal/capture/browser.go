package capture

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image/png"
	"io"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// BrowserConfig says which browser makes the screenshot, and in which jail.
type BrowserConfig struct {
	// Path is Chromium's program; "" looks for it in the usual places.
	Path string
	// Self is how our own program is started as the jail: the arguments after
	// its name; nil is "capture-jail".
	Self []string
	// Weak accepts the weak jail where the machine grants no namespaces: an
	// unprivileged user, limits, and the browser's own manners alone keep it
	// from files and from the network.
	Weak     bool
	onlyWeak bool // for tests: as if the machine granted no namespaces
	// Width and Height of the window; 0 is 1366 by 900.
	Width, Height int
}

// Bounds of what the jail hands out.
const (
	maxPNG    = 16 << 20
	maxDOM    = 4 << 20
	maxReply  = (maxPNG+maxDOM)*2 + 1<<20
	maxHeight = 8000 // pixels of a page
)

// job is what the jail is told, on its standard input.
type job struct {
	URL     string        `json:"url"`
	Agent   string        `json:"agent"`
	Browser string        `json:"browser"`
	KeyPin  string        `json:"key_pin"`
	Width   int           `json:"width"`
	Height  int           `json:"height"`
	Time    time.Duration `json:"time"`
	Weak    bool          `json:"weak"`
}

// reply is what the jail says, on its standard output. It comes from where a
// hostile page ran, and is believed in nothing.
type reply struct {
	PNG     []byte   `json:"png,omitempty"`
	DOM     string   `json:"dom,omitempty"`
	URL     string   `json:"url,omitempty"`
	Title   string   `json:"title,omitempty"`
	Version string   `json:"version,omitempty"`
	Jail    string   `json:"jail,omitempty"`
	Notes   []string `json:"notes,omitempty"`
	Err     string   `json:"err,omitempty"`
}

// BrowserView is the JSON summary of the browser's visit.
type BrowserView struct {
	URL        string    `json:"url"`
	At         time.Time `json:"at"`
	Browser    string    `json:"browser,omitempty"`
	Jail       string    `json:"jail,omitempty"` // "namespaces" or "weak"
	FinalURL   string    `json:"final_url,omitempty"`
	Title      string    `json:"title,omitempty"`
	Requests   int       `json:"requests"`
	Hosts      []string  `json:"hosts,omitempty"`
	Refused    []string  `json:"refused,omitempty"`
	Password   bool      `json:"password_field"`
	Challenges []string  `json:"challenges,omitempty"`
	Notes      []string  `json:"notes,omitempty"`
	Err        string    `json:"err,omitempty"`
}

// findChromium gives the browser's program. Debian's chromium is a script that
// reads more than the jail holds, so the program behind it is preferred.
func findChromium(path string) (string, error) {
	if path != "" {
		if st, err := os.Stat(path); err != nil || st.IsDir() {
			return "", fmt.Errorf("the configured browser %s is not there", path)
		}
		return path, nil
	}
	for _, p := range []string{"/usr/lib/chromium/chromium", "/usr/lib/chromium-browser/chromium-browser", "/usr/lib64/chromium-browser/chromium-browser", "/opt/google/chrome/chrome"} {
		if _, err := os.Stat(p); err == nil {
			return p, nil
		}
	}
	for _, n := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if p, err := exec.LookPath(n); err == nil {
			return p, nil
		}
	}
	return "", errors.New("no browser: Chromium is not installed here (Debian: apt-get install chromium)")
}

// browse has Chromium show the page, in the jail. It gives what the page was
// after its scripts ran, or why there is no screenshot.
func (t *take) browse(ctx context.Context, start *url.URL) (*LookFacts, string) {
	path, err := findChromium(t.cfg.Browser.Path)
	if err != nil {
		return nil, err.Error()
	}
	at := t.now().UTC()
	p, err := newFilterProxy(t)
	if err != nil {
		return nil, "couldn't make the browser's proxy: " + err.Error()
	}
	j := job{
		URL: start.String(), Agent: cmp.Or(t.agent, agentDesktop), Browser: path, KeyPin: p.keyPin(), Time: t.bounds.Browser,
		Width: orDefault(t.cfg.Browser.Width, 1366), Height: orDefault(t.cfg.Browser.Height, 900),
	}
	r, err := t.runJail(ctx, j, p)
	v := BrowserView{
		URL: inert(start.String(), 2048), At: at, Browser: inert(r.Version, 200), Jail: inert(r.Jail, 40), FinalURL: inert(r.URL, 2048), Title: inert(r.Title, 200),
		Err: inert(r.Err, 500),
	}
	for _, n := range r.Notes[:min(len(r.Notes), 20)] {
		v.Notes = append(v.Notes, inert(n, 300))
	}
	p.mu.Lock()
	v.Requests, v.Hosts, v.Refused = p.asked, slices.Clone(p.hosts), slices.Clone(p.refused)
	p.mu.Unlock()
	if err != nil {
		v.Err = inert(err.Error(), 500)
	}
	if p.warc.records() > 0 {
		t.keep(t.artefact(KindWARC, "application/warc", v.URL, at), p.warc.bytes(), plural(p.warc.records(), "record")+" of what the browser asked for", "")
	}
	var facts *LookFacts
	if r.DOM != "" {
		dom := []byte(r.DOM)
		if len(dom) > maxDOM {
			dom = dom[:maxDOM]
			v.Notes = append(v.Notes, fmt.Sprintf("the page was cut at %d octets", maxDOM))
		}
		pg := readPage(dom)
		facts = &LookFacts{Look: "browser", Status: 200, Password: pg.password, Title: pg.title}
		facts.Challenges = challenges(200, nil, dom, pg)
		if u, err := url.Parse(r.URL); err == nil && (u.Scheme == "http" || u.Scheme == "https") && !t.onName(u) {
			facts.Left = inert(strings.ToLower(u.Hostname()), 255)
		}
		v.Password, v.Challenges = facts.Password, facts.Challenges
		t.keep(t.artefact(KindDOM, "text/html", v.URL, at), dom, "the page after its scripts ran: "+v.Title, "")
	}
	none := ""
	switch conf, perr := png.DecodeConfig(bytes.NewReader(r.PNG)); {
	case len(r.PNG) == 0:
		none = v.Err
		if none == "" {
			none = "the browser gave none"
		}
	case len(r.PNG) > maxPNG || perr != nil || conf.Width > 4*maxHeight || conf.Height > 4*maxHeight:
		none = "what the browser gave is no picture within the bounds"
	default:
		t.keep(t.artefact(KindScreenshot, "image/png", v.URL, at), r.PNG, fmt.Sprintf("%d by %d, %s", conf.Width, conf.Height, v.Browser), "")
	}
	t.keepJSON(KindBrowser, v.URL, at, v, fmt.Sprintf("the browser made %s, %d refused; jail: %s", plural(v.Requests, "request"), len(v.Refused), v.Jail), v.Err)
	return facts, none
}

func orDefault(n, d int) int {
	if n <= 0 {
		return d
	}
	return n
}

// readReply reads the jail's answer, bounded.
func readReply(r io.Reader) (reply, error) {
	var out reply
	b, err := io.ReadAll(io.LimitReader(r, maxReply+1))
	if err != nil {
		return out, err
	}
	if len(b) > maxReply {
		return out, fmt.Errorf("the jail says more than %d octets", maxReply)
	}
	if len(bytes.TrimSpace(b)) == 0 {
		return out, io.ErrUnexpectedEOF
	}
	if err := json.Unmarshal(b, &out); err != nil {
		return reply{}, fmt.Errorf("the jail says what can't be read: %w", err)
	}
	return out, nil
}
