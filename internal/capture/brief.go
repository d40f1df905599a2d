package capture

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"

	"github.com/impound/impound"
)

// Short looks for whoever compares many names: nothing of them is kept.

// brief makes a take for one name, of which nothing is kept.
func (c *Capturer) brief(name impound.Name) *take {
	t := &take{Capturer: c, req: Request{Name: name}, obs: c.cfg.Observe, bounds: c.cfg.Bounds, budget: newBudget(c.cfg.Bounds.Total), now: c.cfg.Now, home: name}
	if r, err := name.Registrable(); err == nil {
		t.home = r
	}
	return t
}

// Connect opens a TCP connection to a port of host by the way out, and says which
// address the host had. An address that isn't public is refused, save where a
// route says otherwise.
func (c *Capturer) Connect(ctx context.Context, host string, port uint16) (net.Conn, netip.AddrPort, error) {
	if err := c.pace.wait(ctx, host); err != nil {
		return nil, netip.AddrPort{}, err
	}
	return c.main.dial(ctx, host, port)
}

// Page asks for u as one desktop browser would, and gives the page as it is after
// content coding, and where it came from. Redirects are followed as far as they
// stay at the name.
func (c *Capturer) Page(ctx context.Context, u *url.URL) (page []byte, from string, err error) {
	name, err := impound.ParseName(u.Hostname())
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Bounds.All)
	defer cancel()
	t := c.brief(name)
	ch := t.visit(ctx, &visitor{look: "desktop", agent: agentDesktop, lines: browserLines, jar: newJar(), via: t.main}, u)
	last := ch.steps[len(ch.steps)-1]
	switch {
	case ch.err != "":
		return nil, "", errors.New(inert(ch.err, 300))
	case ch.left != "":
		return nil, "", fmt.Errorf("it leads to %s", inert(ch.left, 300))
	case last.Status != 200:
		return nil, "", fmt.Errorf("it answers %d", last.Status)
	}
	page, _, fault := unpack(last.Header, last.body, t.bounds.Decoded)
	if fault != "" {
		return nil, "", errors.New(fault)
	}
	return page, last.URL, nil
}

// Screenshot has the jailed browser show u, and gives its picture in PNG.
func (c *Capturer) Screenshot(ctx context.Context, u *url.URL) ([]byte, error) {
	name, err := impound.ParseName(u.Hostname())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Bounds.All)
	defer cancel()
	t := c.brief(name)
	_, none := t.browse(ctx, u)
	for _, it := range t.items {
		if it.Artefact.Kind == KindScreenshot {
			return it.Body, nil
		}
	}
	return nil, errors.New(none)
}

// Browser says which browser takes screenshots, or why none does.
func (c *Capturer) Browser() (string, error) { return findChromium(c.cfg.Browser.Path) }
