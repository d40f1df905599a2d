package app

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
)

// lookups is the observer as seizure uses it: a registration that RDAP can't give
// is read from WHOIS, and servers that are silent are not waited for at each name.
type lookups struct {
	*observe.Observer
	s *System
}

// RDAP gives the registration.
func (l lookups) RDAP(ctx context.Context, n impound.Name) observe.RDAPView {
	if l.s.asksWHOIS() { // it stands in for a silent RDAP server
		return l.Registration(ctx, n)
	}
	v, why, asked := look(ctx, &l.s.sight, l.s.rdapOf(n), n, func(ctx context.Context) (observe.RDAPView, string) {
		v := l.Observer.RDAP(ctx, n)
		return v, v.Err
	})
	if !asked {
		return observe.RDAPView{Name: n, At: l.s.now().UTC(), Err: why}
	}
	return v
}

// Parent gives what the parent zone's servers say.
func (l lookups) Parent(ctx context.Context, n impound.Name) observe.View {
	v, why, asked := look(ctx, &l.s.sight, l.s.parentOf(n), n, func(ctx context.Context) (observe.View, string) {
		v := l.Observer.Parent(ctx, n)
		return v, v.Err
	})
	if !asked {
		return observe.View{Kind: observe.KindParent, Source: "parent", Name: n, At: l.s.now().UTC(), Err: why}
	}
	return v
}

func (s *System) asksWHOIS() bool {
	for _, r := range s.cfg.Registries {
		if r.WHOIS != "" {
			return true
		}
	}
	return s.cfg.WHOIS != ""
}

// whoisFor gives the first WHOIS server to ask for n, "" for none.
func (s *System) whoisFor(n impound.Name) string {
	suffix, _ := n.PublicSuffix()
	for _, zone := range []string{suffix.String(), n.TLD()} {
		for _, r := range s.cfg.Registries {
			if r.WHOIS != "" && slices.Contains(r.TLDs, zone) {
				return r.WHOIS
			}
		}
	}
	return s.cfg.WHOIS
}

// maxSaid bounds what is kept of WHOIS answers beside a look.
const maxSaid = 16 << 10

// whoisView reads n's registration from WHOIS. Only what the answers say of this
// name counts, and that it is not there is not believed.
func (s *System) whoisView(ctx context.Context, n impound.Name) observe.RDAPView {
	v := observe.RDAPView{Name: n, At: s.now().UTC()}
	server := s.whoisFor(n)
	if server == "" {
		v.Err = "no WHOIS server is named for ." + n.TLD()
		return v
	}
	c, err := s.capturer()
	if err != nil {
		v.Err = err.Error()
		return v
	}
	w := c.WHOIS(ctx, server, n)
	for _, a := range w.Answers {
		v.URL = "whois://" + a.Server
		v.Said += "% " + a.Server + " " + a.At.Format(time.RFC3339) + " sha256:" + a.SHA256 + "\n" + a.Text + "\n"
	}
	if len(v.Said) > maxSaid {
		v.Said = strings.ToValidUTF8(v.Said[:maxSaid], "") + "..."
	}
	if v.Err = w.Err; v.Err != "" || !w.Exists {
		return v
	}
	v.Exists, v.Registrar, v.RegistrarIANA, v.AbuseEmail = true, w.Registrar, w.IANA, w.Abuse
	v.Created, v.Changed, v.Expires = w.Created, w.Updated, w.Expires
	v.Status, v.NS = slices.Sorted(slices.Values(w.Status)), slices.Clone(w.NS)
	return v
}

// bootstrapFile is where impound registry update puts IANA's list.
const bootstrapFile = "rdap-dns.json"

// BootstrapURL is IANA's list of RDAP servers (RFC 9224).
const BootstrapURL = "https://data.iana.org/rdap/dns.json"

// bootstrap adds the RDAP servers of IANA's list to those of the configuration.
func (s *System) bootstrap(rdap map[string]string) error {
	path := s.path(bootstrapFile)
	if s.cfg.RDAPBootstrap != "" {
		path = s.cfg.Path(s.opt.State, s.cfg.RDAPBootstrap)
	}
	f, err := os.Open(path)
	if os.IsNotExist(err) && s.cfg.RDAPBootstrap == "" {
		return nil
	}
	if err != nil {
		return impound.Errorf(impound.KindInvalid, "couldn't open the list of RDAP servers: %w", err).At("rdap_bootstrap").WithCure("put the file there, or leave it out and run: impound registry update")
	}
	defer f.Close()
	m, err := observe.LoadBootstrap(f)
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	for zone, base := range m {
		if _, ours := rdap[zone]; !ours {
			rdap[zone] = base
		}
	}
	return nil
}

// UpdateBootstrap fetches IANA's list of RDAP servers into the state folder, and
// gives for how many suffixes it names one. A list that can't be read leaves the
// old one.
func (s *System) UpdateBootstrap(ctx context.Context, by, url string) (int, error) {
	if err := s.may(ctx, "UpdateBootstrap", by); err != nil {
		return 0, err
	}
	if !strings.HasPrefix(url, "https://") && !strings.HasPrefix(url, "http://127.0.0.1:") {
		return 0, impound.Errorf(impound.KindInvalid, "%.100q is no https:// address", url).WithCure("leave it out for " + BootstrapURL)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, impound.Errorf(impound.KindInvalid, "couldn't ask: %w", err)
	}
	cl := s.opt.Fetch
	if cl == nil {
		cl = http.DefaultClient
	}
	resp, err := cl.Do(req)
	if err != nil {
		return 0, impound.Errorf(impound.KindUnavailable, "couldn't fetch the list of RDAP servers: %w", err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return 0, impound.Errorf(impound.KindUnavailable, "the server of the list answers %d", resp.StatusCode)
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 16<<20))
	if err != nil {
		return 0, impound.Errorf(impound.KindUnavailable, "the list broke off: %w", err)
	}
	m, err := observe.LoadBootstrap(bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	if len(m) == 0 {
		return 0, impound.Errorf(impound.KindInvalid, "the list names no servers").WithCure("see what " + url + " gives")
	}
	return len(m), replaceFile(s.path(bootstrapFile), body)
}
