package capture

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"math/bits"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"github.com/impound/impound"
)

// Glance is a short look at a name's web server, for thousands of candidates:
// three to five requests where [Capturer.Take] makes a dozen, and nothing of what
// came is kept but hashes, headers and what visitors were shown in outline. It
// never leaves the name: a redirect to elsewhere is noted, not followed.
type Glance struct {
	Name     impound.Name `json:"name"`
	At       time.Time    `json:"at"`
	URL      string       `json:"url,omitempty"` // the first that answered
	Addr     string       `json:"addr,omitempty"`
	TLS      *TLSView     `json:"tls,omitempty"`
	Gating   Gating       `json:"gating"`
	Body     string       `json:"body,omitempty"`    // SHA-256 of the page as it came
	Favicon  *Favicon     `json:"favicon,omitempty"` // nil: none was shown
	Trackers []string     `json:"trackers,omitempty"`
	Requests int          `json:"requests"`
	Err      string       `json:"err,omitempty"` // why no web server was seen
}

// Favicon is a site's icon by its hashes.
type Favicon struct {
	SHA256 string `json:"sha256"`
	// MMH3 is what search engines for servers index icons by: MurmurHash3 (32 bit)
	// of its base64 in lines of 76.
	MMH3 int32 `json:"mmh3"`
	Size int   `json:"size"`
}

// maxIcon bounds an icon, in octets.
const maxIcon = 256 << 10

// Glance looks at name. Its error says that ctx ended, or that there is no name;
// whatever else fails is in the result.
func (c *Capturer) Glance(ctx context.Context, name impound.Name) (Glance, error) {
	g := Glance{Name: name, At: c.cfg.Now().UTC()}
	if name.IsZero() {
		return g, impound.Errorf(impound.KindInvalid, "no name to look at")
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Bounds.All)
	defer cancel()
	t := c.brief(name)
	visit := func(look, agent string, lines []string, u *url.URL) *chain {
		c := t.visit(ctx, &visitor{look: look, agent: agent, lines: lines, jar: newJar(), via: t.main}, u)
		g.Requests += len(c.steps)
		return c
	}
	start := &url.URL{Scheme: "https", Host: name.String(), Path: "/"}
	first := visit("desktop", agentDesktop, browserLines, start)
	g.TLS = first.steps[0].TLS
	if first.steps[0].Status == 0 {
		start = &url.URL{Scheme: "http", Host: name.String(), Path: "/"}
		plain := visit("desktop", agentDesktop, browserLines, start)
		if plain.steps[0].Status == 0 {
			if err := outer.Err(); err != nil {
				return g, err
			}
			g.Err = inert("https: "+first.steps[0].Err+"; http: "+plain.steps[0].Err, 300)
			g.Gating.Verdict = GateUnknown
			return g, nil
		}
		first = plain
	}
	g.URL = inert(start.String(), 300)
	if a := first.steps[0].addr; a.IsValid() {
		g.Addr = a.Addr().String()
	}
	g.Gating.Name, g.Gating.At, g.Gating.URL = name.String(), g.At, g.URL
	bot := t.facts(visit("bot", agentBot, []string{"Accept: */*"}, start))
	base := t.facts(first)
	g.Gating.Looks = []LookFacts{base, bot}
	if coarse(&base, &bot) != "" || likeness(base.shingles, bot.shingles) < sameEnough {
		// They differ: whether the page differs by itself shows only to who asks twice.
		g.Gating.Looks = append(g.Gating.Looks, t.facts(visit("desktop-again", agentDesktop, browserLines, start)))
	} else {
		again := base
		again.Look = "desktop-again"
		g.Gating.Looks = append(g.Gating.Looks, again)
	}
	g.Gating.compare(nil)
	g.Gating.NotTried = []string{"only a desktop browser and a search engine's bot asked"}

	last := first.steps[len(first.steps)-1]
	body, _, _ := unpack(last.Header, last.body, t.bounds.Decoded)
	g.Body = strings.TrimPrefix(digest(last.body), "sha256:")
	g.Trackers = trackers(body)
	if last.Status == 200 && bytes.Contains(bytes.ToLower(body[:min(len(body), 4096)]), []byte("<")) {
		if u := t.icon(last.URL, body); u != nil {
			x := t.fetch(ctx, t.main, t.budget, "icon", u, "GET", (&visitor{agent: agentDesktop, lines: []string{"Accept: image/*,*/*;q=0.5"}}).head(u, "", ""), nil)
			g.Requests++
			if x.Status == 200 && x.Cut == "" {
				icon, cut, fault := unpack(x.Header, x.body, maxIcon)
				if !cut && fault == "" && len(icon) > 0 && !isHTML(icon) {
					sum := sha256.Sum256(icon)
					g.Favicon = &Favicon{hex.EncodeToString(sum[:]), IconHash(icon), len(icon)}
				}
			}
		}
	}
	for i := range g.Gating.Looks {
		g.Gating.Looks[i].shingles = nil
	}
	return g, outer.Err()
}

// icon gives where the page's icon is, nil where that is not at the name.
func (t *take) icon(page string, body []byte) *url.URL {
	base, err := url.Parse(page)
	if err != nil {
		return nil
	}
	at := "/favicon.ico"
	z := html.NewTokenizer(bytes.NewReader(body[:min(len(body), 256<<10)]))
	z.SetMaxBuf(64 << 10)
	for i := 0; i < 2000; i++ {
		k := z.Next()
		if k == html.ErrorToken {
			break
		}
		if k != html.StartTagToken && k != html.SelfClosingTagToken {
			continue
		}
		name, more := z.TagName()
		if atom.Lookup(name) == atom.Body {
			break
		}
		if atom.Lookup(name) != atom.Link {
			continue
		}
		attr := map[string]string{}
		for more && len(attr) < 16 {
			var k, v []byte
			k, v, more = z.TagAttr()
			attr[string(k)] = string(v)
		}
		if slices.Contains(strings.Fields(strings.ToLower(attr["rel"])), "icon") && attr["href"] != "" {
			at = attr["href"]
			break
		}
	}
	u, err := base.Parse(at)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || len(at) > 1024 || !t.onName(u) || strings.Contains(u.Path, "@") {
		return nil
	}
	u.User, u.Fragment, u.RawQuery = nil, "", "" // a query may be this visitor's own
	return u
}

func isHTML(b []byte) bool {
	head := bytes.ToLower(bytes.TrimSpace(b[:min(len(b), 512)]))
	return bytes.HasPrefix(head, []byte("<!doctype html")) || bytes.HasPrefix(head, []byte("<html"))
}

// trackerRules are the ids by which services of measurement and advertising know
// a site's owner. Whoever copies a page copies them too, so they link pages, not
// people.
var trackerRules = []struct {
	kind string
	re   *regexp.Regexp
}{
	{"google-analytics", regexp.MustCompile(`\bUA-[0-9]{4,10}-[0-9]{1,4}\b`)},
	{"google-tag", regexp.MustCompile(`\b(?:G|AW|GT)-[A-Z0-9]{8,12}\b`)},
	{"google-tag-manager", regexp.MustCompile(`\bGTM-[A-Z0-9]{5,8}\b`)},
	{"adsense", regexp.MustCompile(`\bca-pub-[0-9]{12,18}\b`)},
	{"facebook", regexp.MustCompile(`fbq\(\s*['"]init['"]\s*,\s*['"]([0-9]{8,20})['"]`)},
	{"yandex", regexp.MustCompile(`\bym\(\s*([0-9]{5,10})\s*,\s*['"]init['"]`)},
	{"hotjar", regexp.MustCompile(`\bhjid\s*:\s*([0-9]{4,10})\b`)},
	{"clarity", regexp.MustCompile(`clarity\.ms/tag/([a-z0-9]{8,12})\b`)},
	{"tiktok", regexp.MustCompile(`ttq\.load\(\s*['"]([A-Z0-9]{15,25})['"]`)},
}

// maxTrackers bounds how many ids of one page are kept.
const maxTrackers = 12

// trackers gives the ids in a page, "kind:id", sorted.
func trackers(body []byte) []string {
	var out []string
	for _, r := range trackerRules {
		for _, m := range r.re.FindAllSubmatch(body[:min(len(body), 1<<20)], maxTrackers) {
			id := r.kind + ":" + string(m[len(m)-1])
			if len(out) < maxTrackers && !slices.Contains(out, id) {
				out = append(out, id)
			}
		}
	}
	slices.Sort(out)
	return out
}

// IconHash is the MurmurHash3 by which icons are searched for: over their base64
// as Python's encodebytes writes it, in lines of 76.
func IconHash(icon []byte) int32 {
	enc := base64.StdEncoding.EncodeToString(icon)
	var b bytes.Buffer
	for len(enc) > 0 {
		n := min(76, len(enc))
		b.WriteString(enc[:n])
		b.WriteByte('\n')
		enc = enc[n:]
	}
	return int32(murmur3(b.Bytes())) //nolint:gosec // the engines show it signed
}

// murmur3 is MurmurHash3_x86_32 with seed 0.
func murmur3(b []byte) uint32 {
	const c1, c2 = 0xcc9e2d51, 0x1b873593
	var h uint32
	n := uint32(len(b)) //nolint:gosec // icons are small
	for len(b) >= 4 {
		k := binary.LittleEndian.Uint32(b) * c1
		h ^= bits.RotateLeft32(k, 15) * c2
		h = bits.RotateLeft32(h, 13)*5 + 0xe6546b64
		b = b[4:]
	}
	var k uint32
	for i := len(b) - 1; i >= 0; i-- {
		k = k<<8 | uint32(b[i])
	}
	if len(b) > 0 {
		h ^= bits.RotateLeft32(k*c1, 15) * c2
	}
	h ^= n
	h = (h ^ h>>16) * 0x85ebca6b
	h = (h ^ h>>13) * 0xc2b2ae35
	return h ^ h>>16
}

// String writes the icon as people search for it.
func (f Favicon) String() string { return strconv.FormatInt(int64(f.MMH3), 10) }
