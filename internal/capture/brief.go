package capture

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"net/url"
	"strings"

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

// MaxAgent bounds what a visitor says he is, in octets.
const MaxAgent = 256

// AgentOK says whether a visitor may say that he is agent: a line of printable
// ASCII, or nothing.
func AgentOK(agent string) bool {
	return len(agent) <= MaxAgent && strings.TrimSpace(agent) == agent && strings.IndexFunc(agent, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

// asVisitor makes t's visitor say that he is agent; "": a common browser.
func (t *take) asVisitor(agent string) error {
	if !AgentOK(agent) {
		return impound.Errorf(impound.KindInvalid, "a visitor can't call himself %.40q", agent)
	}
	t.agent = agent
	return nil
}

// Page asks for u as one desktop browser would, or as agent where there is one, and gives the page as it is after
// content coding, and where it came from. Redirects are followed as far as they
// stay at the name.
func (c *Capturer) Page(ctx context.Context, u *url.URL, agent string) (page []byte, from string, err error) {
	name, err := impound.ParseName(u.Hostname())
	if err != nil {
		return nil, "", err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Bounds.All)
	defer cancel()
	t := c.brief(name)
	if err := t.asVisitor(agent); err != nil {
		return nil, "", err
	}
	ch := t.visit(ctx, &visitor{look: "desktop", agent: cmp.Or(agent, agentDesktop), lines: browserLines, jar: newJar(), via: t.main}, u)
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

// Screenshot has the jailed browser show u, and gives its picture in PNG. The
// browser says that it is agent; "": a common one.
func (c *Capturer) Screenshot(ctx context.Context, u *url.URL, agent string) ([]byte, error) {
	name, err := impound.ParseName(u.Hostname())
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, c.cfg.Bounds.All)
	defer cancel()
	t := c.brief(name)
	if err := t.asVisitor(agent); err != nil {
		return nil, err
	}
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
