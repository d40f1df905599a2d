package seizure

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"time"

	"github.com/libdns/libdns"
	"github.com/miekg/dns"

	"github.com/impound/impound"
)

// ZoneHost is what a libdns provider must be able to do.
type ZoneHost interface {
	libdns.RecordGetter
	libdns.RecordSetter
	libdns.RecordDeleter
}

// LibDNSConfig says which zone is kept where.
type LibDNSConfig struct {
	Zone    impound.Name // the zone in our custody
	Host    ZoneHost
	Name    string        // of the host, for people: "cloudflare"
	TTL     time.Duration // of new records where the old ones give none; 0 is 1 h
	Timeout time.Duration // of one call; 0 is 1 min, since hosts wait and try again by themselves
	Secrets []string      // are cut out of the host's words
	Now     func() time.Time
}

// LibDNS is the connector to a zone in our own custody at one of the hosts that
// libdns speaks to. It reads the whole zone for each look, since libdns offers
// nothing else.
//
// Most hosts have no transactions: a change is one act, which is one call, and a
// change of several is refused ([Capabilities.Singly]), so that a plan gives each
// a step with an intent and a look of its own. The DS goes first: a name without
// DS at its old servers works, one with a DS at new servers doesn't. No host tells
// whether a call that failed was done, so its outcome is unknown until the next
// look. Somebody else's change between the look and the call is overwritten where
// it is in the same record set: where the server takes dynamic updates itself,
// [DNSUpdate] is the better choice.
type LibDNS struct {
	provider string
	cfg      LibDNSConfig
}

// NewLibDNS makes the connector; nothing is sent yet.
func NewLibDNS(provider string, cfg LibDNSConfig) (*LibDNS, error) {
	if provider == "" || cfg.Zone.IsZero() || cfg.Host == nil {
		return nil, impound.Errorf(impound.KindInvalid, "a libdns provider needs an id, a zone and a host").At("provider " + provider)
	}
	cfg.TTL = cmp.Or(cfg.TTL, time.Hour)
	cfg.Timeout = cmp.Or(cfg.Timeout, time.Minute)
	cfg.Name = cmp.Or(cfg.Name, "libdns")
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &LibDNS{provider, cfg}, nil
}

// String gives what may be shown of l.
func (l *LibDNS) String() string { return l.provider + ": " + l.where() }

// GoString gives what may be shown of l.
func (l *LibDNS) GoString() string { return l.String() }

// LogValue gives what may be logged of l.
func (l *LibDNS) LogValue() slog.Value { return slog.StringValue(l.String()) }

func (l *LibDNS) where() string { return "zone " + l.cfg.Zone.Defanged() + " at " + l.cfg.Name }

// Provider gives the id.
func (l *LibDNS) Provider() string { return l.provider }

// Capabilities says what a host's records can do.
func (l *LibDNS) Capabilities() Capabilities {
	return Capabilities{Kind: "libdns", Role: "registry", Acts: zoneActs, Hosts: true, Looks: true, Singly: true, Ready: true}
}

// Close does nothing: no connection is ours to keep.
func (l *LibDNS) Close() error { return nil }

// Poll has nothing to give.
func (l *LibDNS) Poll(context.Context, func(Message) error) error { return nil }

// hostedRecords bounds how many records of a zone are looked through.
const hostedRecords = 2_000_000

// call runs f, which is somebody else's code, within bounds: it may ignore ctx,
// or panic.
func (l *LibDNS) call(ctx context.Context, f func(ctx context.Context) ([]libdns.Record, error)) ([]libdns.Record, error) {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Timeout)
	defer cancel()
	type result struct {
		recs []libdns.Record
		err  error
	}
	done := make(chan result, 1)
	go func() {
		var r result
		defer func() {
			if p := recover(); p != nil {
				r = result{err: fmt.Errorf("the provider's code broke: %v", p)}
			}
			done <- r
		}()
		r.recs, r.err = f(ctx)
	}()
	select {
	case r := <-done:
		if r.err != nil {
			return nil, l.scrub(r.err)
		}
		return r.recs, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// scrub gives err's words without secrets; the error itself may hold a request
// with its header.
func (l *LibDNS) scrub(err error) error {
	text := err.Error()
	for _, s := range l.cfg.Secrets {
		if s != "" {
			text = strings.ReplaceAll(text, s, "[secret]")
		}
	}
	return errors.New(clip(text)) // cut last: half a secret is found by nobody
}

// note is a frame of what was asked of a host, or what it gave.
func (l *LibDNS) note(dir, call string, recs []libdns.Record, err error) Frame {
	v := struct {
		Call    string      `json:"call"`
		Zone    string      `json:"zone"`
		Records []libdns.RR `json:"records"`
		Err     string      `json:"err,omitempty"`
	}{Call: call, Zone: l.cfg.Zone.FQDN(), Records: []libdns.RR{}}
	for _, r := range recs {
		v.Records = append(v.Records, r.RR())
	}
	if err != nil {
		v.Err = err.Error()
	}
	b, jerr := json.Marshal(v)
	if jerr != nil { // records are strings and a number
		b = []byte(`{"err":"could not be written down"}`)
	}
	return Frame{Dir: dir, At: l.cfg.Now().UTC(), Media: "application/json", Body: b}
}

// zone gives the zone's records, names in full and in lower case.
func (l *LibDNS) zone(ctx context.Context) ([]libdns.RR, error) {
	recs, err := l.call(ctx, func(ctx context.Context) ([]libdns.Record, error) {
		return l.cfg.Host.GetRecords(ctx, l.cfg.Zone.FQDN())
	})
	if err != nil {
		return nil, &impound.Error{Kind: impound.KindUnavailable, Where: l.where(), Msg: "couldn't read the zone", Err: err, Cure: "check the token, and that the host holds the zone"}
	}
	if len(recs) > hostedRecords {
		return nil, impound.Errorf(impound.KindInvalid, "the zone has more than %d records", hostedRecords).At(l.where())
	}
	out := make([]libdns.RR, 0, len(recs))
	for _, r := range recs {
		if r == nil {
			continue
		}
		rr := r.RR()
		rr.Name = strings.ToLower(libdns.AbsoluteName(rr.Name, l.cfg.Zone.FQDN()))
		rr.Type = strings.ToUpper(rr.Type)
		out = append(out, rr)
	}
	return out, nil
}

// hosted is what a zone's records say of a name.
type hosted struct {
	delegation
	recs []libdns.RR // at the name itself
}

func (l *LibDNS) look(ctx context.Context, n impound.Name) (v hosted, err error) {
	all, err := l.zone(ctx)
	if err != nil {
		return v, err
	}
	for _, rr := range all {
		if !dns.IsSubDomain(n.FQDN(), rr.Name) {
			if rr.Type == "NS" && dns.IsSubDomain(rr.Name, n.FQDN()) && rr.Name != l.cfg.Zone.FQDN() {
				return hosted{}, impound.Errorf(impound.KindInvalid, "%s lies below another delegation, %s", n.Defanged(), defangText(rr.Name)).At(l.where())
			}
			continue
		}
		v.exists = true
		if rr.Name != n.FQDN() {
			if h, err := wireName(rr.Name); err == nil && (rr.Type == "A" || rr.Type == "AAAA") {
				v.hosts = append(v.hosts, h)
			}
			continue
		}
		v.recs = append(v.recs, rr)
		switch rr.Type {
		case "CNAME", "DNAME":
			v.alias = true
		case "NS":
			h, err := wireName(strings.TrimSpace(rr.Data))
			if err != nil {
				return hosted{}, impound.Errorf(impound.KindInvalid, "a name server of %s can't be written down: %w", n.Defanged(), err).At(l.where())
			}
			v.ns, v.ttl = append(v.ns, h), uint32(rr.TTL/time.Second)
		case "DS":
			parsed, err := dns.NewRR(n.FQDN() + " 0 IN DS " + strings.ReplaceAll(rr.Data, "\n", " "))
			ds, ok := parsed.(*dns.DS)
			if err != nil || !ok {
				return hosted{}, impound.Errorf(impound.KindInvalid, "the DS of %s can't be read", n.Defanged()).At(l.where())
			}
			v.ds = append(v.ds, ds)
		}
	}
	v.ns, v.hosts = sortNames(v.ns), sortNames(v.hosts)
	return v, nil
}

func (l *LibDNS) holds(n impound.Name) error {
	if n == l.cfg.Zone || !n.AtOrBelow(l.cfg.Zone) {
		return impound.Errorf(impound.KindInvalid, "%s is no name below the zone %s", n.Defanged(), l.cfg.Zone.Defanged()).At(l.where()).WithCure("route the name to the provider that holds it")
	}
	return nil
}

// Info looks at a name.
func (l *LibDNS) Info(ctx context.Context, n impound.Name) (RegistryView, error) {
	if err := l.holds(n); err != nil {
		return RegistryView{Name: n}, err
	}
	v, err := l.look(ctx, n)
	if err != nil {
		return RegistryView{Name: n}, err
	}
	out := v.view(n)
	recs := make([]libdns.Record, len(v.recs))
	for i, r := range v.recs {
		recs[i] = r
	}
	out.Frames = []Frame{l.note("received", "GetRecords", recs, nil)}
	return out, nil
}

// Host says whether names can be delegated to h: always where h lies outside the
// zone, else where the zone has an address of it.
func (l *LibDNS) Host(ctx context.Context, h impound.Name) (bool, error) {
	if l.holds(h) != nil {
		return true, nil
	}
	all, err := l.zone(ctx)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(all, func(rr libdns.RR) bool {
		return rr.Name == h.FQDN() && (rr.Type == "A" || rr.Type == "AAAA")
	}), nil
}

// Ready shows that the host lets us read the zone.
func (l *LibDNS) Ready(ctx context.Context) error {
	_, err := l.zone(ctx)
	return err
}

// Do makes the change, after checking the permits.
func (l *LibDNS) Do(ctx context.Context, permits []impound.Permit, c Change) (Answer, error) {
	if err := c.Permitted(permits, l.cfg.Now()); err != nil {
		return Answer{}, err
	}
	if err := zoneChange(l.cfg.Zone, c); err != nil {
		return Answer{}, err
	}
	if err := l.holds(c.Name); err != nil {
		return Answer{}, err
	}
	if len(c.Acts()) > 1 {
		return Answer{}, impound.Errorf(impound.KindRefused, "this host does one act at a time, and the change of %s is several; nothing was done", c.Name.Defanged()).At(l.where()).WithCure("plan again: the plan has a step for each")
	}
	call, recs, err := l.records(ctx, c)
	if err != nil {
		return Answer{}, err
	}
	// The host may have taken its time: the permits are asked once more.
	if err := c.Permitted(permits, l.cfg.Now()); err != nil {
		return Answer{}, err
	}
	if err := c.still(); err != nil {
		return Answer{}, err
	}
	a := Answer{Frames: []Frame{l.note("sent", call, recs, nil)}}
	got, err := l.call(ctx, func(ctx context.Context) ([]libdns.Record, error) {
		if call == "DeleteRecords" {
			return l.cfg.Host.DeleteRecords(ctx, l.cfg.Zone.FQDN(), recs)
		}
		return l.cfg.Host.SetRecords(ctx, l.cfg.Zone.FQDN(), recs)
	})
	a.Frames = append(a.Frames, l.note("received", call, got, err))
	if err != nil {
		return a, &impound.Error{Kind: impound.KindUnavailable, Where: l.where(), Msg: "the host was told, and it can't be known what it did", Err: fmt.Errorf("%w: %w", ErrUnknownOutcome, err), Cure: "look at the name before doing it again"}
	}
	a.Text = fmt.Sprintf("%s of %d records", call, len(recs))
	return a, nil
}

// records gives the one call that c is.
func (l *LibDNS) records(ctx context.Context, c Change) (call string, recs []libdns.Record, err error) {
	rel := func(n impound.Name) string { return libdns.RelativeName(n.FQDN(), l.cfg.Zone.FQDN()) }
	if !c.CreateHost.IsZero() {
		there, err := l.Host(ctx, c.CreateHost)
		if err != nil {
			return "", nil, err
		}
		if there {
			return "", nil, impound.Errorf(impound.KindConflict, "host %s is there already, nothing was done", c.CreateHost.Defanged()).At(l.where())
		}
		for _, a := range c.HostAddrs {
			recs = append(recs, libdns.Address{Name: rel(c.CreateHost), TTL: l.cfg.TTL, IP: a.Unmap()})
		}
		return "SetRecords", recs, nil
	}
	v, err := l.look(ctx, c.Name)
	if err != nil {
		return "", nil, err
	}
	if err := v.takes(c); err != nil {
		return "", nil, err.(*impound.Error).At(l.where())
	}
	drop := func(typ string) (out []libdns.Record) {
		for _, r := range v.recs {
			if r.Type == typ {
				r.Name = rel(c.Name)
				out = append(out, parsed(r))
			}
		}
		return out
	}
	if c.RemAllDS {
		return "DeleteRecords", drop("DS"), nil
	}
	if len(c.BackDS) > 0 {
		back, err := readDS(c, 0)
		if err != nil {
			return "", nil, err
		}
		for _, rr := range back {
			ds := rr.(*dns.DS)
			recs = append(recs, libdns.RR{Name: rel(c.Name), TTL: cmp.Or(time.Duration(v.ttl)*time.Second, l.cfg.TTL), Type: "DS", Data: dsText(ds.KeyTag, ds.Algorithm, ds.DigestType, ds.Digest)})
		}
		return "SetRecords", recs, nil
	}
	target := sortNames(append(without(v.ns, c.RemNS), c.AddNS...))
	if len(target) == 0 {
		return "DeleteRecords", drop("NS"), nil
	}
	ttl := cmp.Or(time.Duration(v.ttl)*time.Second, l.cfg.TTL)
	for _, h := range target {
		recs = append(recs, libdns.NS{Name: rel(c.Name), TTL: ttl, Target: h.FQDN()})
	}
	return "SetRecords", recs, nil
}

// parsed gives the type that libdns has for r, where it has one.
func parsed(r libdns.RR) libdns.Record {
	if p, err := r.Parse(); err == nil {
		return p
	}
	return r
}
