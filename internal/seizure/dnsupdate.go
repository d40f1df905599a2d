package seizure

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
)

// DNSMedia is the media type of a DNS message in wire format (RFC 8484 6).
const DNSMedia = "application/dns-message"

// DNSUpdateConfig says which zone is changed where, and by which key.
type DNSUpdateConfig struct {
	Zone    impound.Name  // the zone in our custody; delegations in it are what is changed
	Server  string        // its primary, "host:port"; port 53 when there is none
	Key     TSIGKey       // signs every message, and every answer has to be signed by it
	TTL     time.Duration // of new records where the old ones give none; 0 is 1 h
	Timeout time.Duration // of one exchange; 0 is 10 s
	Now     func() time.Time
}

// DNSUpdate is the connector to a zone in our own custody by dynamic update (RFC
// 2136), signed with TSIG (RFC 8945). A name below the zone is delegated to other
// name servers and its DS taken away in one message, which the server does as a
// whole or not at all. The message carries as prerequisites what the look right
// before it showed, so that a change by somebody else in between makes the server
// refuse it (RFC 2136 2.4).
//
// Every message goes over TCP and a connection of its own. An answer that is not
// signed, or not by our key, is never success.
//
// A zone knows no holds, locks, sponsors or dates. Taking a delegation away for a
// hold would leave nothing to give back, so it is not offered.
type DNSUpdate struct {
	provider string
	cfg      DNSUpdateConfig
}

// NewDNSUpdate makes the connector; nothing is sent yet.
func NewDNSUpdate(provider string, cfg DNSUpdateConfig) (*DNSUpdate, error) {
	where := "provider " + provider
	switch {
	case provider == "":
		return nil, impound.Errorf(impound.KindInvalid, "a dnsupdate provider needs an id")
	case cfg.Zone.IsZero():
		return nil, impound.Errorf(impound.KindInvalid, "no zone to change").At(where).WithCure("name the zone in which the names are delegated")
	case cfg.Server == "":
		return nil, impound.Errorf(impound.KindInvalid, "no server that holds %s", cfg.Zone.Defanged()).At(where).WithCure("give the primary as host:port")
	case cfg.Key.IsZero():
		return nil, impound.Errorf(impound.KindRefused, "updates of %s would not be signed", cfg.Zone.Defanged()).At(where).WithCure("give a TSIG key: tsig-keygen NAME > FILE; chmod 600 FILE")
	}
	if _, _, err := net.SplitHostPort(cfg.Server); err != nil {
		cfg.Server = net.JoinHostPort(strings.Trim(cfg.Server, "[]"), "53")
	}
	cfg.TTL = cmp.Or(cfg.TTL, time.Hour)
	cfg.Timeout = cmp.Or(cfg.Timeout, 10*time.Second)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	return &DNSUpdate{provider, cfg}, nil
}

// String gives what may be shown of d.
func (d *DNSUpdate) String() string {
	return d.provider + ": " + d.where() + " by " + d.cfg.Key.String()
}

// GoString gives what may be shown of d.
func (d *DNSUpdate) GoString() string { return d.String() }

// LogValue gives what may be logged of d.
func (d *DNSUpdate) LogValue() slog.Value { return slog.StringValue(d.String()) }

// Provider gives the id.
func (d *DNSUpdate) Provider() string { return d.provider }

// Capabilities says what an update of a zone can do.
func (d *DNSUpdate) Capabilities() Capabilities {
	return Capabilities{Kind: "dnsupdate", Role: "registry", Acts: zoneActs, Hosts: true, Looks: true, Whole: true, Guards: true, DryRun: true, Ready: true}
}

// Close does nothing: no connection outlives its exchange.
func (d *DNSUpdate) Close() error { return nil }

// Poll has nothing to give: a server does an update or refuses it.
func (d *DNSUpdate) Poll(context.Context, func(Message) error) error { return nil }

func (d *DNSUpdate) where() string { return "zone " + d.cfg.Zone.Defanged() + " at " + d.cfg.Server }

// talk is one connection to the server.
type talk struct {
	d      *DNSUpdate
	co     *dns.Conn
	stop   func() bool
	frames []Frame
}

func (d *DNSUpdate) dial(ctx context.Context) (*talk, error) {
	nc, err := (&net.Dialer{Timeout: d.cfg.Timeout}).DialContext(ctx, "tcp", d.cfg.Server)
	if err != nil {
		return nil, &impound.Error{Kind: impound.KindUnavailable, Where: d.where(), Msg: "couldn't connect, nothing was sent", Err: err, Cure: "check the address, and that the server takes TCP"}
	}
	t := &talk{d: d, co: &dns.Conn{Conn: nc}}
	t.stop = context.AfterFunc(ctx, func() { _ = nc.SetDeadline(time.Unix(1, 0)) })
	return t, nil
}

func (t *talk) close() {
	t.stop()
	_ = t.co.Close()
}

// errUnsigned is the cause where an answer came that our key did not sign.
var errUnsigned = errors.New("the answer is not signed with our key")

// exchange signs and sends m and reads its answer. The error says nothing about
// whether m was done; sent says whether any octet of it left.
func (t *talk) exchange(m *dns.Msg) (r *dns.Msg, sent bool, err error) {
	k := t.d.cfg.Key
	// The system's clock, not ours: the server's is compared with it.
	m.SetTsig(k.name, k.alg, 300, time.Now().Unix())
	packed, mac, err := dns.TsigGenerateWithProvider(m, k, "", false)
	if err != nil {
		return nil, false, fmt.Errorf("couldn't sign the message: %w", err)
	}
	if err := t.co.SetDeadline(time.Now().Add(t.d.cfg.Timeout)); err != nil {
		return nil, false, err
	}
	n, err := t.co.Write(packed)
	t.frames = append(t.frames, Frame{Dir: "sent", At: t.d.cfg.Now().UTC(), Media: DNSMedia, Body: packed})
	if err != nil {
		return nil, n > 0, fmt.Errorf("couldn't send: %w", err)
	}
	raw, err := t.co.ReadMsgHeader(nil)
	if err != nil {
		return nil, true, fmt.Errorf("no answer came: %w", err)
	}
	t.frames = append(t.frames, Frame{Dir: "received", At: t.d.cfg.Now().UTC(), Media: DNSMedia, Body: raw})
	r = new(dns.Msg)
	if err := r.Unpack(raw); err != nil {
		return nil, true, fmt.Errorf("the answer can't be read: %w", err)
	}
	if r.Id != m.Id || !r.Response || r.Opcode != m.Opcode {
		return nil, true, errors.New("the answer belongs to another question")
	}
	ts := r.IsTsig()
	switch {
	case ts == nil:
		return r, true, errUnsigned
	case ts.Error != dns.RcodeSuccess:
		return r, true, tsigError(ts.Error)
	case !strings.EqualFold(ts.Hdr.Name, k.name):
		return r, true, errUnsigned
	}
	if err := dns.TsigVerifyWithProvider(raw, k, mac, false); err != nil {
		return r, true, fmt.Errorf("%w: %w", errUnsigned, err)
	}
	return r, true, nil
}

// tsigError is what a server that can't take our signature says (RFC 8945 5.2).
type tsigError uint16

func (e tsigError) Error() string {
	switch e {
	case dns.RcodeBadKey:
		return "the server does not know our key (BADKEY)"
	case dns.RcodeBadSig:
		return "our signature does not fit the server's key of that name (BADSIG)"
	case dns.RcodeBadTime:
		return "our clock and the server's are too far apart (BADTIME)"
	}
	return fmt.Sprintf("the server did not take our signature (error %d)", uint16(e))
}

func (d *DNSUpdate) authErr(err error) error {
	return &impound.Error{Kind: impound.KindAuth, Where: d.where(), Msg: "the server did not take our key, nothing was done", Err: err, Cure: "check name, algorithm, secret and both clocks"}
}

// ask sends a question about qname and wants an answer that is of the zone.
func (t *talk) ask(qname string, qtype uint16) (*dns.Msg, error) {
	m := new(dns.Msg).SetQuestion(qname, qtype)
	m.RecursionDesired = false
	r, _, err := t.exchange(m)
	var te tsigError
	switch {
	case errors.As(err, &te):
		return nil, t.d.authErr(err)
	case errors.Is(err, errUnsigned) && r.Rcode != dns.RcodeSuccess && r.Rcode != dns.RcodeNameError:
		return nil, &impound.Error{Kind: impound.KindAuth, Where: t.d.where(), Msg: "the server answers " + dns.RcodeToString[r.Rcode] + " to a signed question, unsigned", Cure: "check that it knows the key and holds the zone"}
	case errors.Is(err, errUnsigned):
		return nil, &impound.Error{Kind: impound.KindInvalid, Where: t.d.where(), Msg: "couldn't trust what the server says", Err: err, Cure: "check that it is the zone's primary and knows the key"}
	case err != nil:
		return nil, &impound.Error{Kind: impound.KindUnavailable, Where: t.d.where(), Msg: "couldn't look", Err: err, Cure: "try again later"}
	}
	if len(r.Question) != 1 || !strings.EqualFold(r.Question[0].Name, qname) || r.Question[0].Qtype != qtype {
		return nil, impound.Errorf(impound.KindInvalid, "the server answers another question than the one asked").At(t.d.where())
	}
	switch r.Rcode {
	case dns.RcodeSuccess, dns.RcodeNameError:
		return r, nil
	case dns.RcodeServerFailure:
		return nil, impound.Errorf(impound.KindUnavailable, "the server has trouble with the zone (SERVFAIL)").At(t.d.where()).WithCure("have its keeper look at its log")
	case dns.RcodeRefused, dns.RcodeNotAuth:
		return nil, impound.Errorf(impound.KindAuth, "the server answers %s", dns.RcodeToString[r.Rcode]).At(t.d.where()).WithCure("check that it holds the zone and lets this key in")
	}
	return nil, impound.Errorf(impound.KindInvalid, "the server answers %s", cmp.Or(dns.RcodeToString[r.Rcode], fmt.Sprint(r.Rcode))).At(t.d.where())
}

// delegation is what a zone holds of a name below it.
type delegation struct {
	exists bool // the name is in the zone, delegated or not
	alias  bool // a CNAME stands there
	ns     []impound.Name
	ds     []*dns.DS
	ttl    uint32 // of the name servers
	hosts  []impound.Name
}

func (d *DNSUpdate) holds(n impound.Name) error {
	if n == d.cfg.Zone || !n.AtOrBelow(d.cfg.Zone) {
		return impound.Errorf(impound.KindInvalid, "%s is no name below the zone %s", n.Defanged(), d.cfg.Zone.Defanged()).At(d.where()).WithCure("route the name to the provider that holds it")
	}
	return nil
}

// look reads the delegation of n, out of the parent's side of the cut.
func (t *talk) look(n impound.Name) (v delegation, err error) {
	bad := func(format string, args ...any) (delegation, error) {
		return delegation{}, impound.Errorf(impound.KindInvalid, format, args...).At(t.d.where())
	}
	zone := t.d.cfg.Zone.FQDN()
	r, err := t.ask(n.FQDN(), dns.TypeNS)
	if err != nil {
		return v, err
	}
	v.exists = r.Rcode == dns.RcodeSuccess
	for _, rr := range r.Answer {
		switch rr.(type) {
		case *dns.CNAME, *dns.DNAME:
			v.alias = true
		case *dns.NS:
			return bad("the server also serves the zone %s, so what %s says of it can't be seen", n.Defanged(), t.d.cfg.Zone.Defanged())
		}
	}
	for _, rr := range r.Ns {
		switch x := rr.(type) {
		case *dns.NS:
			switch {
			case strings.EqualFold(x.Hdr.Name, zone) && r.Authoritative:
				continue // the zone's own, given along
			case !strings.EqualFold(x.Hdr.Name, n.FQDN()):
				if dns.IsSubDomain(zone, x.Hdr.Name) && !strings.EqualFold(zone, x.Hdr.Name) {
					return bad("%s lies below another delegation, %s", n.Defanged(), defangText(x.Hdr.Name))
				}
				return bad("the server refers to %s: it does not hold the zone", defangText(x.Hdr.Name))
			}
			h, err := wireName(x.Ns)
			if err != nil {
				return bad("a name server of %s can't be written down: %w", n.Defanged(), err)
			}
			v.ns, v.ttl = append(v.ns, h), x.Hdr.Ttl
		case *dns.SOA:
			if !strings.EqualFold(x.Hdr.Name, zone) {
				return bad("the server answers for the zone %s", defangText(x.Hdr.Name))
			}
		}
	}
	if len(v.ns) == 0 && !r.Authoritative {
		return bad("the server does not speak for the zone (lame)")
	}
	for _, rr := range r.Extra {
		if a := rr.Header(); a.Rrtype == dns.TypeA || a.Rrtype == dns.TypeAAAA {
			if h, err := wireName(a.Name); err == nil && h.AtOrBelow(n) {
				v.hosts = append(v.hosts, h)
			}
		}
	}
	v.ns, v.hosts = sortNames(v.ns), sortNames(v.hosts)
	if !v.exists {
		return v, nil
	}
	if r, err = t.ask(n.FQDN(), dns.TypeDS); err != nil {
		return v, err
	}
	for _, rr := range r.Answer {
		if ds, ok := rr.(*dns.DS); ok && strings.EqualFold(ds.Hdr.Name, n.FQDN()) {
			v.ds = append(v.ds, ds)
		}
	}
	return v, nil
}

func (v delegation) view(n impound.Name) RegistryView {
	out := RegistryView{Name: n, Exists: v.exists, NS: v.ns, Hosts: v.hosts}
	for _, ds := range v.ds {
		out.DS = append(out.DS, dsText(ds.KeyTag, ds.Algorithm, ds.DigestType, ds.Digest))
	}
	out.DS = sorted(out.DS)
	if len(out.DS) == 0 {
		out.DS = nil
	}
	return out
}

// dsText gives a DS as all connectors write it.
func dsText(tag uint16, alg, digestType uint8, digest string) string {
	return fmt.Sprintf("%d %d %d %s", tag, alg, digestType, strings.ToUpper(digest))
}

// wireName reads a name as it stands in a record. It must come out as it went in:
// what people write is read with more good will than that.
func wireName(s string) (impound.Name, error) {
	n, err := impound.ParseName(s)
	if err == nil && n.FQDN() != strings.ToLower(dns.Fqdn(s)) {
		err = impound.Errorf(impound.KindInvalid, "%.100q is no host name", s)
	}
	return n, err
}

func defangText(s string) string {
	return clip(strings.ReplaceAll(strings.ToLower(strings.TrimSuffix(s, ".")), ".", "[.]"))
}

// Info looks at a name, at the server that is updated.
func (d *DNSUpdate) Info(ctx context.Context, n impound.Name) (RegistryView, error) {
	if err := d.holds(n); err != nil {
		return RegistryView{Name: n}, err
	}
	t, err := d.dial(ctx)
	if err != nil {
		return RegistryView{Name: n}, err
	}
	defer t.close()
	v, err := t.look(n)
	if err != nil {
		return RegistryView{Name: n, Frames: t.frames}, err
	}
	out := v.view(n)
	out.Frames = t.frames
	return out, nil
}

// Host says whether names can be delegated to h: always where h lies outside the
// zone, else where the zone has an address of it.
func (d *DNSUpdate) Host(ctx context.Context, h impound.Name) (bool, error) {
	if d.holds(h) != nil {
		return true, nil
	}
	t, err := d.dial(ctx)
	if err != nil {
		return false, err
	}
	defer t.close()
	for _, qt := range []uint16{dns.TypeA, dns.TypeAAAA} {
		r, err := t.ask(h.FQDN(), qt)
		if err != nil {
			return false, err
		}
		// At or below a delegation its glue comes in the additional section.
		for _, rr := range slices.Concat(r.Answer, r.Extra) {
			if rr.Header().Rrtype == qt && strings.EqualFold(rr.Header().Name, h.FQDN()) {
				return true, nil
			}
		}
	}
	return false, nil
}

// Ready shows that the server holds the zone, knows the key and has our time.
func (d *DNSUpdate) Ready(ctx context.Context) error {
	t, err := d.dial(ctx)
	if err != nil {
		return err
	}
	defer t.close()
	r, err := t.ask(d.cfg.Zone.FQDN(), dns.TypeSOA)
	if err != nil {
		return err
	}
	for _, rr := range r.Answer {
		if strings.EqualFold(rr.Header().Name, d.cfg.Zone.FQDN()) && rr.Header().Rrtype == dns.TypeSOA && r.Authoritative {
			return nil
		}
	}
	return impound.Errorf(impound.KindInvalid, "the server does not hold the zone").At(d.where())
}

// zoneActs are the acts that can be done in a zone.
var zoneActs = []impound.Act{impound.ActNameservers, impound.ActRemoveDS}

// zoneChange says whether c is something that a zone can hold.
func zoneChange(zone impound.Name, c Change) error {
	refuse := func(format string, args ...any) error {
		return impound.Errorf(impound.KindRefused, format, args...).At("zone " + zone.Defanged())
	}
	switch {
	case c.Delete:
		return refuse("a zone has no registrations: %s can't be deleted", c.Name.Defanged())
	case c.Renew != nil:
		return refuse("a zone has no registrations: %s can't be renewed", c.Name.Defanged())
	case c.Registrant != "" || c.CreateContact != nil:
		return refuse("a zone has no registrants: %s can be given to nobody", c.Name.Defanged())
	case len(c.AddStatus)+len(c.RemStatus) > 0:
		return refuse("a zone has no statuses: %s can be neither set nor lifted", strings.Join(slices.Concat(c.AddStatus, c.RemStatus), ", ")).(*impound.Error).WithCure("order it at the registry, or leave lock and hold out for names of this zone")
	case !c.CreateHost.IsZero() && (c.CreateHost == zone || !c.CreateHost.AtOrBelow(zone)):
		return refuse("host %s lies outside the zone, and needs no record in it", c.CreateHost.Defanged())
	case !c.CreateHost.IsZero() && len(c.HostAddrs) == 0:
		return refuse("host %s lies in the zone, and no address of it is known", c.CreateHost.Defanged()).(*impound.Error).WithCure("give the sinkhole's addresses")
	}
	return nil
}

// Do makes the change, after checking the permits.
func (d *DNSUpdate) Do(ctx context.Context, permits []impound.Permit, c Change) (Answer, error) {
	if err := c.Permitted(permits, d.cfg.Now()); err != nil {
		return Answer{}, err
	}
	return d.send(ctx, c, permits, true)
}

// DryRun sends the update's prerequisites and none of its changes (RFC 2136
// 3.2): the server says whether they hold, and, where it judges by key and zone,
// whether the key may update. It needs no permit since nothing can change.
func (d *DNSUpdate) DryRun(ctx context.Context, c Change) error {
	if len(c.Acts()) == 0 {
		return impound.Errorf(impound.KindInvalid, "a change of %s that changes nothing", c.Name.Defanged())
	}
	_, err := d.send(ctx, c, nil, false)
	return err
}

func (d *DNSUpdate) send(ctx context.Context, c Change, permits []impound.Permit, really bool) (Answer, error) {
	if err := zoneChange(d.cfg.Zone, c); err != nil {
		return Answer{}, err
	}
	if err := d.holds(c.Name); err != nil {
		return Answer{}, err
	}
	t, err := d.dial(ctx)
	if err != nil {
		return Answer{}, err
	}
	defer t.close()
	u := new(dns.Msg).SetUpdate(d.cfg.Zone.FQDN())
	if !c.CreateHost.IsZero() {
		d.hostUpdate(u, c.CreateHost, c.HostAddrs)
	} else {
		v, err := t.look(c.Name)
		if err == nil {
			err = d.update(u, c, v)
		}
		if err != nil {
			return Answer{Frames: t.frames}, err
		}
	}
	if !really {
		u.Ns = nil
	} else if err := c.Permitted(permits, d.cfg.Now()); err != nil {
		return Answer{Frames: t.frames}, err // lapsed while we looked
	} else if err := c.still(); err != nil {
		return Answer{Frames: t.frames}, err
	}
	r, sent, err := t.exchange(u)
	a := Answer{Frames: t.frames}
	if r != nil {
		a.Code, a.Text = r.Rcode, cmp.Or(dns.RcodeToString[r.Rcode], fmt.Sprint(r.Rcode))
	}
	return a, d.outcome(err, sent, r)
}

// outcome reads the answer to an update.
func (d *DNSUpdate) outcome(err error, sent bool, r *dns.Msg) error {
	unknown := func(cause error) error {
		return &impound.Error{Kind: impound.KindUnavailable, Where: d.where(), Msg: "the update was sent, but no answer that can be trusted came back", Err: fmt.Errorf("%w: %w", ErrUnknownOutcome, cause), Cure: "look at the name before doing it again"}
	}
	var te tsigError
	switch {
	case err != nil && !sent:
		return &impound.Error{Kind: impound.KindUnavailable, Where: d.where(), Msg: "couldn't send the update", Err: err}
	case errors.As(err, &te) && r.Rcode == dns.RcodeNotAuth:
		return d.authErr(err)
	case err != nil:
		return unknown(err)
	}
	fail := func(kind impound.Kind, cure, format string, args ...any) error {
		return impound.Errorf(kind, format, args...).At(d.where()).WithCure(cure)
	}
	switch r.Rcode {
	case dns.RcodeSuccess:
		return nil
	case dns.RcodeNXRrset, dns.RcodeYXRrset, dns.RcodeYXDomain, dns.RcodeNameError:
		return fail(impound.KindConflict, "look again, then plan again", "the zone is no longer as it was when we looked (%s), nothing was done", dns.RcodeToString[r.Rcode])
	case dns.RcodeRefused, dns.RcodeNotAuth:
		return fail(impound.KindAuth, "have the server's keeper allow updates of these records by this key, and check that it is the primary", "the server refuses the update (%s), nothing was done", dns.RcodeToString[r.Rcode])
	case dns.RcodeServerFailure:
		return unknown(errors.New("the server says SERVFAIL"))
	case dns.RcodeNotZone:
		return fail(impound.KindInvalid, "check which zone the server holds", "the name is not of the server's zone (NOTZONE), nothing was done")
	}
	return fail(impound.KindInvalid, "", "the server answers %s, nothing was done", cmp.Or(dns.RcodeToString[r.Rcode], fmt.Sprint(r.Rcode)))
}

// hostUpdate adds the addresses of h, where there are none.
func (d *DNSUpdate) hostUpdate(u *dns.Msg, h impound.Name, addrs []netip.Addr) {
	var rrs []dns.RR
	for _, a := range addrs {
		hdr := dns.RR_Header{Name: h.FQDN(), Class: dns.ClassINET, Ttl: uint32(d.cfg.TTL / time.Second)}
		if a = a.Unmap(); a.Is4() {
			hdr.Rrtype = dns.TypeA
			rrs = append(rrs, &dns.A{Hdr: hdr, A: a.AsSlice()})
		} else {
			hdr.Rrtype = dns.TypeAAAA
			rrs = append(rrs, &dns.AAAA{Hdr: hdr, AAAA: a.AsSlice()})
		}
	}
	for _, qt := range []uint16{dns.TypeA, dns.TypeAAAA, dns.TypeCNAME} {
		u.RRsetNotUsed([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: h.FQDN(), Rrtype: qt}}})
	}
	u.Insert(rrs)
}

// update writes c as prerequisites and changes, on top of v.
func (d *DNSUpdate) update(u *dns.Msg, c Change, v delegation) error {
	if err := v.takes(c); err != nil {
		return err.(*impound.Error).At(d.where())
	}
	ttl := cmp.Or(v.ttl, uint32(d.cfg.TTL/time.Second))
	owner := c.Name.FQDN()
	nss := func(hosts []impound.Name) (out []dns.RR) {
		for _, h := range hosts {
			out = append(out, &dns.NS{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeNS, Class: dns.ClassINET, Ttl: ttl}, Ns: h.FQDN()})
		}
		return out
	}
	absent := func(types ...uint16) {
		for _, t := range types {
			u.RRsetNotUsed([]dns.RR{&dns.ANY{Hdr: dns.RR_Header{Name: owner, Rrtype: t}}})
		}
	}
	// Prerequisites: the whole of what was seen, no more and no less.
	if len(v.ns) > 0 {
		u.Used(nss(v.ns))
	} else {
		absent(dns.TypeNS)
	}
	var dss []dns.RR
	for _, ds := range v.ds {
		dss = append(dss, dns.Copy(ds))
	}
	if len(dss) > 0 {
		u.Used(dss)
	} else {
		absent(dns.TypeDS)
	}
	absent(dns.TypeCNAME)
	for _, rr := range u.Answer {
		rr.Header().Ttl = 0
	}
	back, err := readDS(c, ttl)
	if err != nil {
		return err
	}
	u.Insert(back)
	if c.RemAllDS {
		u.RemoveRRset([]dns.RR{&dns.DS{Hdr: dns.RR_Header{Name: owner, Rrtype: dns.TypeDS}}})
	}
	if len(c.AddNS) > 0 {
		u.Insert(nss(c.AddNS))
	}
	if len(c.RemNS) > 0 {
		u.Remove(nss(c.RemNS))
	}
	return nil
}

// readDS gives the records of the DS that c puts back.
func readDS(c Change, ttl uint32) (out []dns.RR, _ error) {
	for _, x := range c.BackDS {
		rr, err := dns.NewRR(fmt.Sprintf("%s %d IN DS %s", c.Name.FQDN(), ttl, x))
		if _, ok := rr.(*dns.DS); err != nil || !ok {
			return nil, impound.Errorf(impound.KindInvalid, "a DS of %s can't be read, nothing was done", c.Name.Defanged())
		}
		out = append(out, rr)
	}
	return out, nil
}

// takes says whether c can be done on top of v.
func (v delegation) takes(c Change) error {
	conflict := func(format string, args ...any) error {
		return impound.Errorf(impound.KindConflict, format, args...).WithCure("look again, then plan again")
	}
	switch {
	case !v.exists:
		return impound.Errorf(impound.KindNotFound, "%s is not in the zone, nothing was done", c.Name.Defanged())
	case v.alias:
		return conflict("%s is an alias (CNAME), which can't be delegated, nothing was done", c.Name.Defanged())
	case c.RemAllDS && len(v.ds) == 0:
		return conflict("%s has no DS to remove, nothing was done", c.Name.Defanged())
	case len(c.BackDS) > 0 && len(v.ds) > 0:
		return conflict("%s has a DS already, nothing was done", c.Name.Defanged())
	case len(c.BackDS) > 0 && len(c.AddNS)+len(c.RemNS) > 0:
		return impound.Errorf(impound.KindInvalid, "the DS of %s comes back after its name servers, not with them; nothing was done", c.Name.Defanged())
	case len(c.BackDS) > 0 && len(v.ns) == 0:
		return conflict("%s is not delegated, and a DS would stand alone; nothing was done", c.Name.Defanged())
	case len(c.AddNS)+len(c.RemNS) > 0 && len(v.ds) > 0 && !c.RemAllDS:
		return conflict("the DS of %s would stay behind, and validating resolvers would answer SERVFAIL; nothing was done", c.Name.Defanged())
	}
	for _, h := range c.RemNS {
		if !slices.Contains(v.ns, h) {
			return conflict("%s is not delegated to %s, nothing was done", c.Name.Defanged(), h.Defanged())
		}
	}
	for _, h := range c.AddNS {
		if slices.Contains(v.ns, h) {
			return conflict("%s is delegated to %s already, nothing was done", c.Name.Defanged(), h.Defanged())
		}
	}
	return nil
}
