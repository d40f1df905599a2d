package observe

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/impound/impound"
)

// RDAPView is what the registry or registrar publishes of a name (RFC 9083),
// with statuses under their EPP names (RFC 8056).
type RDAPView struct {
	Name          impound.Name `json:"name"`
	URL           string       `json:"url,omitempty"`
	Chain         []string     `json:"chain,omitempty"` // the URLs that led there by redirect
	At            time.Time    `json:"at"`
	Exists        bool         `json:"exists"` // false with Err empty: the server says 404
	Handle        string       `json:"handle,omitempty"`
	Status        []string     `json:"status,omitempty"` // EPP names, sorted
	OtherStatus   []string     `json:"other_status,omitempty"`
	NS            []string     `json:"ns,omitempty"` // lower case, no trailing dot, sorted
	Registrar     string       `json:"registrar,omitempty"`
	RegistrarIANA string       `json:"registrar_iana,omitempty"`
	Registrant    string       `json:"registrant,omitempty"` // as published, mostly redacted
	// RegistrantHandle is the registry's id of the registrant, where it tells.
	RegistrantHandle string    `json:"registrant_handle,omitempty"`
	AbuseEmail       string    `json:"abuse_email,omitempty"`
	AbusePhone       string    `json:"abuse_phone,omitempty"`
	Created          time.Time `json:"created,omitzero"`
	Changed          time.Time `json:"changed,omitzero"`
	Expires          time.Time `json:"expires,omitzero"`
	Signed           bool      `json:"signed"` // secureDNS.delegationSigned, or DS data listed
	DS               []string  `json:"ds,omitempty"`
	Raw              []byte    `json:"-"`
	// Via is "whois" where RDAP gave nothing (RDAPErr says why) and WHOIS was
	// read instead; Said is what it said, inert. WHOIS is read conservatively: that
	// a name is not there is never taken from it, and of a DS it does not tell.
	Via     string `json:"via,omitempty"`
	RDAPErr string `json:"rdap_err,omitempty"`
	Said    string `json:"said,omitempty"`
	Err     string `json:"err,omitempty"`
}

// Observation makes v ready to be kept.
func (v RDAPView) Observation() Observation {
	sum := "rdap of " + v.Name.Defanged() + ": "
	switch {
	case v.Err != "":
		sum += "not seen: " + v.Err
	case !v.Exists:
		sum += "not registered"
	default:
		sum += fmt.Sprintf("ns %s; status %s; registrar %s", defangAll(v.NS), strings.Join(v.Status, ", "), v.Registrar)
	}
	o := observation(KindRDAP, v.Name, v.URL, v.At, v, sum, v.Err)
	if len(v.Raw) > 0 {
		o.Parts = []Part{{Label: "rdap answer", Media: "application/rdap+json", Bytes: v.Raw}}
	}
	return o
}

// rdapStatus maps RDAP's words to EPP's (RFC 8056 2).
var rdapStatus = map[string]string{
	"active": "ok", "associated": "linked", "inactive": "inactive",
	"add period": "addPeriod", "auto renew period": "autoRenewPeriod", "renew period": "renewPeriod", "transfer period": "transferPeriod", "redemption period": "redemptionPeriod",
	"client delete prohibited": "clientDeleteProhibited", "client hold": "clientHold", "client renew prohibited": "clientRenewProhibited",
	"client transfer prohibited": "clientTransferProhibited", "client update prohibited": "clientUpdateProhibited",
	"server delete prohibited": "serverDeleteProhibited", "server hold": "serverHold", "server renew prohibited": "serverRenewProhibited",
	"server transfer prohibited": "serverTransferProhibited", "server update prohibited": "serverUpdateProhibited",
	"pending create": "pendingCreate", "pending delete": "pendingDelete", "pending renew": "pendingRenew", "pending restore": "pendingRestore",
	"pending transfer": "pendingTransfer", "pending update": "pendingUpdate",
}

// LoadBootstrap reads IANA's bootstrap file for domains (RFC 9224 4: dns.json)
// into [Config.RDAP], taking the https base of each zone where there is one.
func LoadBootstrap(r io.Reader) (map[string]string, error) {
	var f struct {
		Services [][][]string `json:"services"`
	}
	if err := json.NewDecoder(io.LimitReader(r, 16<<20)).Decode(&f); err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the RDAP bootstrap file: %w", err).WithCure("it is the file of https://data.iana.org/rdap/dns.json")
	}
	out := map[string]string{}
	for i, s := range f.Services {
		if len(s) != 2 || len(s[1]) == 0 {
			return nil, impound.Errorf(impound.KindInvalid, "want a list of zones and a list of URLs").At(fmt.Sprintf("services[%d]", i))
		}
		base := s[1][0]
		for _, u := range s[1] {
			if strings.HasPrefix(u, "https://") {
				base = u
				break
			}
		}
		for _, z := range s[0] {
			out[strings.ToLower(strings.Trim(z, "."))] = base
		}
	}
	return out, nil
}

// RDAP asks the zone's RDAP server for name: bounded in size, time and
// redirects; an answer about another name is an error.
func (c *Observer) RDAP(ctx context.Context, name impound.Name) RDAPView {
	v := RDAPView{Name: name, At: c.now()}
	_, base, ok := zoneFor(c.cfg.RDAP, name)
	if !ok {
		v.Err = NoRDAP + " for " + name.TLD()
		return v
	}
	v.URL = strings.TrimSuffix(base, "/") + "/domain/" + name.String()
	status, body, err := c.getRDAP(ctx, &v, base)
	switch {
	case err != nil:
		v.Err = err.Error()
		return v
	case status == http.StatusNotFound:
		v.Raw = body
		return v
	case status != http.StatusOK:
		v.Raw, v.Err = body, fmt.Sprintf("the server answers %d", status)
		return v
	}
	v.Raw = body
	if err := v.parse(body); err != nil {
		v.Exists, v.Err = false, err.Error()
	}
	return v
}

// Registration is [Observer.RDAP], and where that gives nothing, WHOIS by
// [Config.WHOIS].
func (c *Observer) Registration(ctx context.Context, name impound.Name) RDAPView {
	v := c.RDAP(ctx, name)
	if v.Err == "" || c.cfg.WHOIS == nil || ctx.Err() != nil {
		return v
	}
	w := c.cfg.WHOIS(ctx, name)
	if w.Err != "" || !w.Exists || w.Name != name {
		v.Err += "; whois: " + cmp.Or(w.Err, "it shows no registration, which is not believed")
		return v
	}
	w.Via, w.RDAPErr = "whois", v.Err
	return w
}

func (c *Observer) getRDAP(ctx context.Context, v *RDAPView, base string) (int, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 3*c.cfg.Timeout)
	defer cancel()
	// The base was configured, so its own address may be a local one; where a
	// redirect leads was not.
	trusted := ""
	if u, err := url.Parse(base); err == nil {
		trusted = hostPort(u)
	}
	cl := c.rdapClient(trusted)
	seen := map[string]bool{}
	for range maxRedirects + 1 {
		if seen[v.URL] {
			return 0, nil, errors.New("the server redirects in a loop")
		}
		seen[v.URL] = true
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, v.URL, nil)
		if err != nil {
			return 0, nil, fmt.Errorf("“%s” is no URL to ask", clip(v.URL, 120))
		}
		req.Header.Set("Accept", "application/rdap+json, application/json")
		req.Header.Set("User-Agent", c.cfg.UserAgent)
		resp, err := cl.Do(req)
		if err != nil {
			return 0, nil, fmt.Errorf("no answer: %w", err)
		}
		if resp.StatusCode/100 == 3 {
			loc, err := resp.Location()
			resp.Body.Close()
			if err != nil {
				return 0, nil, errors.New("the server redirects to nowhere")
			}
			v.Chain = append(v.Chain, v.URL)
			v.URL = clip(loc.String(), 2048)
			continue
		}
		var b bytes.Buffer
		if n := resp.ContentLength; n > 0 && n <= 64<<10 { // what it says is no reason to take much memory
			b.Grow(int(n) + bytes.MinRead)
		}
		_, err = b.ReadFrom(io.LimitReader(resp.Body, c.cfg.MaxBody+1))
		body := b.Bytes()
		resp.Body.Close()
		if err != nil {
			return 0, nil, fmt.Errorf("the answer broke off: %w", err)
		}
		if int64(len(body)) > c.cfg.MaxBody {
			return 0, nil, fmt.Errorf("the answer is larger than %d octets", c.cfg.MaxBody)
		}
		return resp.StatusCode, body, nil
	}
	return 0, nil, fmt.Errorf("the server redirects more than %d times", maxRedirects)
}

// rdapClient gives the client for an RDAP server. Its connections are used again
// for the names that follow: a server is asked for thousands.
func (c *Observer) rdapClient(trusted string) *http.Client {
	if cl, ok := c.rdapClients.Load(trusted); ok {
		return cl.(*http.Client)
	}
	cl := c.httpClient(trusted, nil)
	t := cl.Transport.(*http.Transport)
	t.DisableKeepAlives, t.MaxIdleConnsPerHost, t.IdleConnTimeout = false, 4, 5*time.Second
	same, _ := c.rdapClients.LoadOrStore(trusted, cl)
	return same.(*http.Client)
}

type rdapEntity struct {
	Handle    string   `json:"handle"`
	Roles     []string `json:"roles"`
	PublicIDs []struct {
		Type       string `json:"type"`
		Identifier string `json:"identifier"`
	} `json:"publicIds"`
	VCard    any          `json:"vcardArray"` // whatever it holds: read by vcard
	Entities []rdapEntity `json:"entities"`
}

// ParseRDAP reads a domain object (RFC 9083 5.3) about name. The error says
// what does not fit; nothing of a faulty answer is believed.
func ParseRDAP(name impound.Name, body []byte) (RDAPView, error) {
	v := RDAPView{Name: name}
	if err := v.parse(body); err != nil {
		return RDAPView{Name: name}, err
	}
	return v, nil
}

func (v *RDAPView) parse(body []byte) error {
	var d struct {
		Class       string   `json:"objectClassName"`
		Handle      string   `json:"handle"`
		LDHName     string   `json:"ldhName"`
		Status      []string `json:"status"`
		Nameservers []struct {
			LDHName string `json:"ldhName"`
		} `json:"nameservers"`
		SecureDNS *struct {
			Signed bool `json:"delegationSigned"`
			DS     []struct {
				KeyTag     uint16 `json:"keyTag"`
				Algorithm  uint8  `json:"algorithm"`
				DigestType uint8  `json:"digestType"`
				Digest     string `json:"digest"`
			} `json:"dsData"`
			Keys []json.RawMessage `json:"keyData"`
		} `json:"secureDNS"`
		Events []struct {
			Action string `json:"eventAction"`
			Date   string `json:"eventDate"`
		} `json:"events"`
		Entities []rdapEntity `json:"entities"`
	}
	if !utf8.Valid(body) { // RFC 8259 8.1; the decoder would put something else in its place
		return errors.New("the answer is not valid UTF-8")
	}
	if err := json.Unmarshal(body, &d); err != nil {
		return fmt.Errorf("the answer is no RDAP object: %w", err)
	}
	if d.Class != "domain" {
		return fmt.Errorf("the answer is about a %q, not a domain", clip(d.Class, 40))
	}
	if d.LDHName == "" {
		return errors.New("the answer doesn't say which name it is about")
	}
	if !sameName(d.LDHName, v.Name.String()) {
		return fmt.Errorf("the answer is about %s, not the name asked for", clip(defang(d.LDHName), 80))
	}
	v.Exists, v.Handle = true, clip(d.Handle, 200)
	for _, s := range d.Status[:min(len(d.Status), maxRecords)] {
		if e, ok := rdapStatus[strings.ToLower(strings.TrimSpace(s))]; ok {
			v.Status = append(v.Status, e)
		} else {
			v.OtherStatus = append(v.OtherStatus, clip(s, 80))
		}
	}
	v.Status = sortedSet(v.Status)
	for _, n := range d.Nameservers[:min(len(d.Nameservers), maxRecords)] {
		v.NS = append(v.NS, clip(plain(n.LDHName), 255))
	}
	v.NS = sortedSet(v.NS)
	if s := d.SecureDNS; s != nil {
		for _, ds := range s.DS[:min(len(s.DS), maxRecords)] {
			v.DS = append(v.DS, fmt.Sprintf("%d %d %d %s", ds.KeyTag, ds.Algorithm, ds.DigestType, strings.ToLower(clip(ds.Digest, 200))))
		}
		v.DS = sortedSet(v.DS)
		v.Signed = s.Signed || len(s.DS) > 0 || len(s.Keys) > 0
	}
	for _, e := range d.Events {
		t, err := time.Parse(time.RFC3339, e.Date)
		if err != nil {
			continue
		}
		switch e.Action {
		case "registration":
			v.Created = t.UTC()
		case "expiration":
			v.Expires = t.UTC()
		case "last changed":
			v.Changed = t.UTC()
		}
	}
	v.entities(d.Entities, 0)
	return nil
}

func (v *RDAPView) entities(es []rdapEntity, depth int) {
	if depth > 4 {
		return
	}
	for _, e := range es[:min(len(es), maxRecords)] {
		if slices.Contains(e.Roles, "registrar") {
			if v.Registrar == "" {
				v.Registrar = vcard(e.VCard, "fn")
			}
			for _, id := range e.PublicIDs {
				if strings.EqualFold(id.Type, "IANA Registrar ID") && v.RegistrarIANA == "" {
					v.RegistrarIANA = clip(id.Identifier, 20)
				}
			}
		}
		if slices.Contains(e.Roles, "registrant") && v.RegistrantHandle == "" {
			v.RegistrantHandle = clip(e.Handle, 80)
		}
		if slices.Contains(e.Roles, "registrant") && v.Registrant == "" {
			if v.Registrant = vcard(e.VCard, "org"); v.Registrant == "" {
				v.Registrant = vcard(e.VCard, "fn")
			}
		}
		if slices.Contains(e.Roles, "abuse") {
			if v.AbuseEmail == "" {
				v.AbuseEmail = vcard(e.VCard, "email")
			}
			if v.AbusePhone == "" {
				v.AbusePhone = strings.TrimPrefix(vcard(e.VCard, "tel"), "tel:")
			}
		}
		v.entities(e.Entities, depth+1)
	}
}

// vcard gives the first text value of a property of a jCard (RFC 7095), "" for
// whatever does not look like one.
func vcard(raw any, property string) string {
	card, _ := raw.([]any)
	if len(card) < 2 {
		return ""
	}
	props, _ := card[1].([]any)
	for _, x := range props {
		p, _ := x.([]any)
		if len(p) < 4 {
			continue
		}
		name, _ := p[0].(string)
		if value, _ := p[3].(string); value != "" && strings.EqualFold(name, property) {
			return clip(value, 300)
		}
	}
	return ""
}

// RDAPHost gives the host that is asked for name's registration, "" where none is
// configured: for whoever spaces the questions to it.
func (c *Observer) RDAPHost(name impound.Name) string {
	_, base, ok := zoneFor(c.cfg.RDAP, name)
	if !ok {
		return ""
	}
	u, err := url.Parse(base)
	if err != nil {
		return ""
	}
	return u.Host
}
