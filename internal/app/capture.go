package app

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/capture"
)

// Full says how a full capture is to be made.
type Full struct {
	URL          string // where to begin, "" for the root page
	KeepQuery    bool   // URL's query is nobody's secret
	NoScreenshot bool
}

// FullCapture is what was kept of one name.
type FullCapture struct {
	Name         impound.Name `json:"name"`
	Kept         []Captured   `json:"kept"`
	Manifest     string       `json:"manifest"` // hash of the artefact that ties the others
	Gating       string       `json:"gating"`   // the verdict
	GatingWhy    string       `json:"gating_why"`
	NoScreenshot string       `json:"no_screenshot,omitempty"`
}

// capturer makes what captures in full, by the configuration.
func (s *System) capturer() (*capture.Capturer, error) {
	c := s.cfg.Capture
	every := time.Duration(0)
	switch c.Every {
	case "":
	case "0", "off":
		every = -1
	default:
		every = span(c.Every)
	}
	return capture.New(capture.Config{
		Observe: s.Observe, Proxy: c.Proxy, SecondProxy: c.SecondProxy, WHOIS: c.WHOIS, Referrer: c.Referrer, Every: every,
		Browser: capture.BrowserConfig{Path: c.Browser, Weak: c.WeakJail}, Bounds: capture.Bounds{Total: int64(c.MaxMB) << 20, Time: span(c.Timeout)},
		Tool: "impound/" + s.opt.Version, Now: s.now, Log: s.log,
	})
}

// CaptureFull captures the names in full, one after the other, keeps every part
// and attaches it to the case. done, when not nil, is called for each name as it
// is finished. A name that a case does not hold is asked nothing.
func (s *System) CaptureFull(ctx context.Context, by, caseID string, names []impound.Name, how Full, done func(FullCapture)) error {
	if err := s.may(ctx, "CaptureFull", by); err != nil {
		return err
	}
	if err := s.knows(ctx, by, caseID); err != nil {
		return err
	}
	c, err := s.capturer()
	if err != nil {
		return err
	}
	if how.URL != "" && len(names) > 1 {
		return impound.Errorf(impound.KindInvalid, "a URL belongs to one name, and %d are given", len(names)).At("url")
	}
	for _, n := range names {
		if caseID != "" { // before the actor's server is asked, not after
			if err := s.Casework.AttachEvidence(ctx, by, caseID, n); err != nil {
				return err
			}
		}
	}
	for _, n := range names {
		f, err := s.captureFull(ctx, c, by, caseID, n, how)
		if err != nil {
			return err
		}
		if done != nil {
			done(f)
		}
	}
	return nil
}

func (s *System) captureFull(ctx context.Context, c *capture.Capturer, by, caseID string, n impound.Name, how Full) (FullCapture, error) {
	out := FullCapture{Name: n}
	res, err := c.Take(ctx, capture.Request{Name: n, URL: how.URL, KeepQuery: how.KeepQuery, NoScreenshot: how.NoScreenshot, Case: caseID, By: by})
	if err != nil {
		return out, err
	}
	var hashes []string
	var gating, manifest impound.Artefact
	for _, it := range res.Items {
		a := it.Artefact
		if it.Body != nil { // else the manifest says what became of it
			if a, err = s.Evidence.Capture(ctx, a, it.Body); err != nil {
				return out, fmt.Errorf("couldn't keep a part of the capture of %s: %w", n.Defanged(), err)
			}
			hashes = append(hashes, a.Hash)
		}
		switch a.Kind {
		case capture.KindGating:
			gating = a
		case capture.KindManifest:
			manifest = a
		}
		out.Kept = append(out.Kept, Captured{a, it.Summary, it.Err})
	}
	out.Manifest, out.Gating, out.GatingWhy, out.NoScreenshot = manifest.Hash, res.Gating.Verdict, res.Gating.Summary(), res.NoScreenshot
	// That a server tells its visitors apart is itself evidence: an entry that
	// can be found without opening artefacts.
	_, err = s.Evidence.Append(ctx, impound.Entry{
		ID: "gating-" + strings.TrimPrefix(manifest.Hash, "sha256:")[:32], Type: impound.EntrySystem, At: manifest.At, By: by, What: "observe.gating", Case: caseID, Name: n,
		Detail: map[string]string{"text": res.Gating.Summary(), "verdict": res.Gating.Verdict, "gating": gating.Hash, "capture": manifest.Hash},
	})
	if err != nil {
		return out, fmt.Errorf("couldn't note what the visitors of %s were shown: %w", n.Defanged(), err)
	}
	if caseID != "" {
		err = s.Casework.AttachEvidence(ctx, by, caseID, n, hashes...)
	}
	return out, err
}

// checkCapture finds what is wrong with the capture section.
func (c *Config) checkCapture() impound.Problems {
	var ps impound.Problems
	for where, p := range map[string]string{"capture.proxy": c.Capture.Proxy, "capture.second_proxy": c.Capture.SecondProxy} {
		if err := capture.CheckProxy(p, where); err != nil {
			ps = append(ps, impound.Errorf(impound.KindInvalid, "%q is no address of a proxy", p).At(where).WithCure("write socks5://HOST:PORT or http://HOST:PORT"))
		} else if u, err := url.Parse(p); err == nil && u.User != nil {
			ps = append(ps, impound.Errorf(impound.KindInvalid, "it holds a name or password, which have no place in a configuration").At(where).WithCure("run a proxy on this machine that knows them"))
		}
	}
	if c.Capture.MaxMB < 0 || c.Capture.MaxMB > 48 {
		ps = append(ps, impound.Errorf(impound.KindInvalid, "%d is no size from 1 to 48", c.Capture.MaxMB).At("capture.max_mb").WithCure("leave it out for 24"))
	}
	if e := c.Capture.Every; e != "" && e != "off" && e != "0" {
		if d, err := time.ParseDuration(e); err != nil || d < 0 {
			ps = append(ps, impound.Errorf(impound.KindInvalid, "%q is no time span", e).At("capture.every").WithCure(`write "200ms", or "off"`))
		}
	}
	return ps
}
