package app

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/capture"
	"github.com/impound/impound/internal/casework"
	"github.com/impound/impound/internal/observe"
)

// Full says how a full capture is to be made.
type Full struct {
	URL          string // where to begin, "" for the root page
	KeepQuery    bool   // URL's query is nobody's secret
	NoScreenshot bool
	Mark         impound.Marking // of what is captured; zero: the case's
}

// Light says how a light capture is to be made.
type Light struct {
	Registry bool            // ask the registry alone, of which the name's holder learns nothing
	Mark     impound.Marking // of what is captured; zero: the case's
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
func (s *System) capturer() (*capture.Capturer, error) { return s.capturerBy(s.outside) }

// capturerBy is capturer with another observer.
func (s *System) capturerBy(o *observe.Observer) (*capture.Capturer, error) {
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
		Observe: o, Source: c.source(), Proxy: c.Proxy, SecondProxy: c.SecondProxy, WHOIS: c.WHOIS, Referrer: c.Referrer, Every: every,
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
	if err := errors.Join(casework.CheckMarking(how.Mark), s.permitted(ctx, by, names, impound.PAPGreen)); err != nil {
		return err
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
		a := it.Artefact.Mark(how.Mark)
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

// permitted refuses to look at names whose PAP level doesn't allow what takes
// level: at [impound.PAPGreen] the actor's servers are asked, which he can notice,
// at [impound.PAPAmber] third parties alone. Nothing is asked of any name when one
// is refused. A level that only a case says which by may not see counts not: the
// refusal would tell of it.
func (s *System) permitted(ctx context.Context, by string, names []impound.Name, level impound.PAP) error {
	if p := impound.PrincipalOf(ctx); p.ID == "" && !p.System {
		ctx = impound.WithPrincipal(ctx, impound.Principal{ID: by})
	}
	marks, err := s.markings(ctx, names)
	if err != nil {
		return err
	}
	var no []string
	var strictest, first impound.Marking
	for _, n := range names {
		if m := marks[n]; !m.PAP.Within(level) {
			if no = append(no, n.Defanged()); len(no) == 1 {
				first = m
			}
			strictest = strictest.Strictest(impound.Marking{PAP: m.PAP})
		}
	}
	if len(no) == 0 {
		return nil
	}
	what := "of " + strings.Join(no[:min(len(no), 5)], ", ")
	if len(no) > 5 {
		what += fmt.Sprintf(" and %d more", len(no)-5)
	}
	from := ""
	if first.Originator != "" {
		from = "ask " + first.Originator + " whether you may, "
	}
	cure := from + "then mark the name anew: impound case mark CASE " + no[0] + " --pap green"
	if !strictest.PAP.Within(impound.PAPAmber) {
		return impound.Errorf(impound.KindRefused, "PAP:%s %s forbids every question on a network; nothing was asked", strings.ToUpper(string(strictest.PAP)), what).At("pap").WithCure("work with what you have; or " + cure)
	}
	return impound.Errorf(impound.KindRefused, "PAP:%s %s forbids what the actor's servers could notice; nothing was asked", strings.ToUpper(string(strictest.PAP)), what).At("pap").
		WithCure("ask the registry alone: impound evidence capture --registry; or " + cure)
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
	ps = append(ps, c.checkWayOut()...)
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
