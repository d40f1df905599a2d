// Package testregistry is a domain registry to practise on: EPP over TLS
// (RFC 5730 to 5734, 5910), RDAP (RFC 9082, 9083), WHOIS, the parent zones over DNS, a
// small recursive resolver, and an actor's name server and web host, all on
// loopback addresses and in one process. It is for anyone who writes registry
// clients, and it can be hostile on purpose: see [Faults].
//
// NOT FOR PRODUCTION. It refuses to listen anywhere but on loopback, its keys
// lie unencrypted in its folder, and its names are nobody's.
//
// What lives here: the servers, their state, and the faults. What must not: any
// code that runs outside of tests and practice, or a packet to an address that
// is not loopback.
package testregistry

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/impound/impound"
)

// Off in a listen address of [Config] means that the service isn't wanted.
const Off = "off"

// The addresses by which the practice world knows its servers. They are
// loopback, so that a client that forgets [Registry.Routes] hits nothing.
var (
	ParentAddr = netip.MustParseAddr("127.53.0.1")  // the parent zones' name servers
	ActorAddr  = netip.MustParseAddr("127.53.0.66") // the actor's name servers, and its web host
)

// Client is an account of the EPP server.
type Client struct {
	Password     string
	RegistryRole bool // may set server* statuses and change every domain
}

// Registrar is what RDAP says of a sponsoring client.
type Registrar struct {
	Name       string
	IANAID     int
	AbuseEmail string
	AbusePhone string
}

// DS is a delegation signer.
type DS struct {
	KeyTag     uint16 `json:"key_tag"`
	Alg        uint8  `json:"alg"`
	DigestType uint8  `json:"digest_type"`
	Digest     string `json:"digest"` // hexadecimal
}

// Domain is a registered name. The zero values of Created and Expiry mean now
// and in a year.
type Domain struct {
	Name       impound.Name                  `json:"name"`
	ROID       string                        `json:"roid"`      // given by the registry
	Registrar  string                        `json:"registrar"` // the sponsoring client's id
	Registrant string                        `json:"registrant,omitempty"`
	Created    time.Time                     `json:"created"`
	Expiry     time.Time                     `json:"expiry"`
	Updated    time.Time                     `json:"updated,omitzero"`
	UpdatedBy  string                        `json:"updated_by,omitempty"`
	NS         []impound.Name                `json:"ns,omitempty"`
	NSAddrs    map[impound.Name][]netip.Addr `json:"-"` // for Register: where the name servers are; ActorAddr for those left out
	DS         []DS                          `json:"ds,omitempty"`
	Signed     bool                          `json:"signed,omitempty"`   // the actor signs the zone: Register makes the DS
	Statuses   []string                      `json:"statuses,omitempty"` // as set; ok and inactive are worked out
	A          netip.Addr                    `json:"a,omitzero"`         // where the actor's zone points; ActorAddr when zero
	ActorNS    []impound.Name                `json:"actor_ns,omitempty"` // the name servers at registration
	Pending    *pending                      `json:"pending,omitempty"`
	Renewed    time.Time                     `json:"renewed,omitzero"`
	Deleted    time.Time                     `json:"deleted,omitzero"` // since then out of the zone, and for Config.Redemption until it comes free
}

// Host is a host object.
type Host struct {
	Name    impound.Name `json:"name"`
	ROID    string       `json:"roid"`
	Addrs   []netip.Addr `json:"addrs,omitempty"`
	Sponsor string       `json:"sponsor"`
	Created time.Time    `json:"created"`
	// World is where a host outside of the registry's own domains really is:
	// the registry doesn't know, the practice resolver does.
	World []netip.Addr `json:"world,omitempty"`
}

// Op is one transform that was accepted. Whether an act was done twice is
// counted by these.
type Op struct {
	Seq     int64     `json:"seq"`
	Time    time.Time `json:"time"`
	Client  string    `json:"client"`
	ClTRID  string    `json:"cltrid"`
	SvTRID  string    `json:"svtrid"`
	Command string    `json:"command"` // "domain:update", "host:create", "register", ...
	Name    string    `json:"name"`
	Changes []string  `json:"changes,omitempty"` // "+ns ns1.x", "-status ok", "-ds all"; empty while pending
	Code    int       `json:"code"`              // 1000, or 1001 when it was put off
}

// Config says what to serve. Listen addresses are host:port; port 0 lets the
// system choose, an empty address is 127.0.0.1:0, and whatever is not loopback
// is refused.
type Config struct {
	Dir        string // state and keys; made when it isn't there
	EPP        string
	RDAP       string
	DNS        string // the parent zones, UDP and TCP
	Resolver   string // UDP and TCP
	ActorDNS   string // UDP and TCP
	ActorHTTP  string
	WHOIS      string   // IANA's, the registry's and the registrar's answers
	ThinWHOIS  bool     // the registry knows no registrant, and refers to the registrar
	TLDs       []string // "example", or more labels for a registry below one
	Clients    map[string]Client
	Registrars map[string]Registrar // by client id

	// RequireClientCert turns away EPP clients without a certificate of the
	// registry's own CA, as RFC 5734 section 9 wants it.
	RequireClientCert bool
	// SessionLimit is how many sessions an account may have at once, 0 for any
	// number; one more is answered 2502.
	SessionLimit int
	// Routes says where the server that the practice world knows as the key
	// listens in truth, for servers that this registry doesn't run: a
	// sinkhole on high ports.
	Routes map[netip.AddrPort]netip.AddrPort
	// Forward says where the parent zones of other practice registries are, by
	// top-level domain, so that one resolver knows the names of several.
	Forward map[impound.Name]netip.AddrPort
	// Hosts are addresses of name servers outside of the TLDs, which only the
	// resolver needs.
	Hosts map[impound.Name][]netip.Addr
	// Redemption is how long a deleted name can't be registered anew; 0 is the
	// 35 days that most registries have (RFC 3915: 30 of redemption, 5 of
	// pendingDelete).
	Redemption time.Duration
	// Sign has the parent zones signed with DNSSEC; Dir/trust-anchors is for
	// validating resolvers.
	Sign   bool
	Faults Faults
	// Record is given every EPP frame, dir "C" or "S", without passwords.
	Record func(dir string, frame []byte)
	Now    func() time.Time // nil: time.Now
	Log    *slog.Logger     // nil: none
}

// Addrs is where the services listen; the zero value for one that is off.
type Addrs struct {
	EPP, RDAP, DNS, Resolver, ActorDNS, ActorHTTP netip.AddrPort
	// WHOIS answers for [WHOISRoot] and [WHOISRegistry], RegistrarWHOIS for
	// [WHOISRegistrar].
	WHOIS, RegistrarWHOIS netip.AddrPort
}

// Files are the paths that clients of the registry need. Keys are unencrypted.
type Files struct {
	CA, ClientCert, ClientKey string
	TrustAnchors              string // DS records of the parent zones, for Config.Sign
}

// Registry is a running practice registry. It is safe for concurrent use.
type Registry struct {
	cfg   Config
	log   *slog.Logger
	tlds  []impound.Name
	addrs Addrs
	files Files
	pki   *pki

	parentSigned, actorSigned signatures

	lock *os.File

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
	close  []func()
	once   sync.Once

	mu    sync.RWMutex
	st    state
	boot  string // makes transaction ids differ from those before a restart
	nTRID int64

	sessions sync.Map // net.Conn -> struct{}
	luck     luck
	putOff   bool // the next update is answered 1001; under mu
}

// PutOff has the next domain update answered 1001 and put off until [Registry.End].
func (r *Registry) PutOff() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.putOff = true
}

// End ends every change that is put off: it is done, or denied. Whoever asked is
// told by poll.
func (r *Registry) End(done bool) {
	r.mu.Lock()
	for n := range r.st.waiting {
		p := *r.st.domains[n].Pending
		p.Due, p.Deny = time.Time{}, !done
		d := r.st.domains[n].clone()
		d.Pending = &p
		r.st.domains[n] = &d
	}
	r.mu.Unlock()
	r.settle()
}

// Start starts the services; they stop when ctx ends or by [Registry.Close].
// The state that Dir holds is read back first.
func Start(ctx context.Context, cfg Config) (_ *Registry, err error) {
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.Dir == "" {
		return nil, impound.Errorf(impound.KindInvalid, "the practice registry needs a folder").WithCure("set Dir")
	}
	if len(cfg.TLDs) == 0 {
		cfg.TLDs = []string{"example"}
	}
	for id, c := range cfg.Clients {
		if len(id) < 3 || len(id) > 16 || len(c.Password) < 6 {
			return nil, impound.Errorf(impound.KindInvalid, "client %q: EPP wants an id of 3 to 16 characters and a password of at least 6", id)
		}
	}
	r := &Registry{cfg: cfg, log: cfg.Log, luck: luck{f: cfg.Faults, n: map[string]uint64{}}, boot: strings.ToLower(rand.Text()[:8])}
	for _, s := range cfg.TLDs {
		n, err := impound.ParseName(s)
		if err != nil {
			return nil, err
		}
		r.tlds = append(r.tlds, n)
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("couldn't make the practice registry's folder: %w", err)
	}
	r.ctx, r.cancel = context.WithCancel(ctx)
	defer func() {
		if err != nil {
			r.Close()
		}
	}()
	if r.lock, err = os.OpenFile(filepath.Join(cfg.Dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600); err != nil {
		return nil, fmt.Errorf("couldn't open the lock: %w", err)
	}
	if err := unix.Flock(int(r.lock.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, impound.Errorf(impound.KindConflict, "another practice registry runs on %s", cfg.Dir).WithCure("stop it, or choose another folder")
	}
	if r.pki, err = openPKI(cfg.Dir, time.Now()); err != nil {
		return nil, err
	}
	r.files = Files{CA: filepath.Join(cfg.Dir, "ca.pem"), ClientCert: filepath.Join(cfg.Dir, "client.pem"), ClientKey: filepath.Join(cfg.Dir, "client.key"), TrustAnchors: filepath.Join(cfg.Dir, "trust-anchors")}
	if err := r.openJournal(); err != nil {
		return nil, err
	}
	if err := r.writeAnchors(); err != nil {
		return nil, err
	}
	if err := r.serveEPP(); err != nil {
		return nil, err
	}
	if r.addrs.RDAP, err = r.serveHTTP(cfg.RDAP, "RDAP", r.rdapHandler()); err != nil {
		return nil, err
	}
	if r.addrs.ActorHTTP, err = r.serveHTTP(cfg.ActorHTTP, "actor HTTP", http.HandlerFunc(r.actorPage)); err != nil {
		return nil, err
	}
	if err := r.serveWHOIS(); err != nil {
		return nil, err
	}
	for _, s := range []struct {
		listen, what string
		addr         *netip.AddrPort
		h            dnsHandler
	}{
		{cfg.DNS, "parent zone", &r.addrs.DNS, r.answerParent},
		{cfg.ActorDNS, "actor DNS", &r.addrs.ActorDNS, r.answerActor},
		{cfg.Resolver, "resolver", &r.addrs.Resolver, r.answerResolver},
	} {
		if *s.addr, err = r.serveDNS(s.listen, s.what, s.h); err != nil {
			return nil, err
		}
	}
	context.AfterFunc(r.ctx, r.shut)
	return r, nil
}

// Addrs gives where the services listen.
func (r *Registry) Addrs() Addrs { return r.addrs }

// Files gives the paths of the CA and of the client's certificate and key.
func (r *Registry) Files() Files { return r.files }

// ClientTLS gives what a Go client needs to trust the server and be trusted.
func (r *Registry) ClientTLS() *tls.Config {
	return &tls.Config{RootCAs: r.pki.pool, Certificates: []tls.Certificate{r.pki.client}, ServerName: "localhost", MinVersion: tls.VersionTLS12}
}

// Routes gives where each server of the practice world listens in truth: those
// of the config and the registry's own.
func (r *Registry) Routes() map[netip.AddrPort]netip.AddrPort {
	out := maps.Clone(r.cfg.Routes)
	if out == nil {
		out = map[netip.AddrPort]netip.AddrPort{}
	}
	for from, to := range map[netip.AddrPort]netip.AddrPort{
		netip.AddrPortFrom(ParentAddr, 53): r.addrs.DNS,
		netip.AddrPortFrom(ActorAddr, 53):  r.addrs.ActorDNS,
		netip.AddrPortFrom(ActorAddr, 80):  r.addrs.ActorHTTP,
	} {
		if _, given := out[from]; !given && to.IsValid() {
			out[from] = to
		}
	}
	return out
}

// Close stops the services and waits for them. State that was acknowledged is
// on disk already.
func (r *Registry) Close() error {
	r.cancel()
	r.shut()
	r.wg.Wait()
	return nil
}

func (r *Registry) shut() {
	r.once.Do(func() {
		for _, f := range slices.Backward(r.close) {
			f()
		}
		r.sessions.Range(func(k, _ any) bool { k.(net.Conn).Close(); return true })
		r.wg.Wait()
		r.mu.Lock()
		defer r.mu.Unlock()
		if r.st.f != nil {
			r.st.f.Close()
			r.st.f = nil
		}
		if r.lock != nil {
			r.lock.Close()
		}
	})
}

// loopback gives the address to listen on, "" for none.
func loopback(s, what string) (string, error) {
	switch s {
	case Off:
		return "", nil
	case "":
		s = "127.0.0.1:0"
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		return "", impound.Errorf(impound.KindInvalid, "%s: couldn't read the listen address %q", what, s).WithCure("write 127.0.0.1:7000")
	}
	if host == "" || host == "localhost" {
		host = "127.0.0.1"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || !ip.IsLoopback() {
		return "", impound.Errorf(impound.KindRefused, "%s: %s is not a loopback address; the practice registry is NOT FOR PRODUCTION and listens nowhere else", what, host).WithCure("listen on 127.0.0.1")
	}
	return net.JoinHostPort(host, port), nil
}

func (r *Registry) listen(s, what string) (net.Listener, netip.AddrPort, error) {
	addr, err := loopback(s, what)
	if err != nil || addr == "" {
		return nil, netip.AddrPort{}, err
	}
	l, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, netip.AddrPort{}, &impound.Error{Kind: impound.KindUnavailable, Where: what, Msg: "couldn't listen on " + addr, Err: err, Cure: "stop what listens there, or choose another port"}
	}
	return l, l.Addr().(*net.TCPAddr).AddrPort(), nil
}

func (r *Registry) serveHTTP(listen, what string, h http.Handler) (netip.AddrPort, error) {
	l, addr, err := r.listen(listen, what)
	if err != nil || l == nil {
		return netip.AddrPort{}, err
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: 10 * time.Second, IdleTimeout: time.Minute, MaxHeaderBytes: 16 << 10, ErrorLog: slog.NewLogLogger(r.log.Handler(), slog.LevelDebug)}
	r.close = append(r.close, func() { srv.Close() })
	r.wg.Go(func() {
		if err := srv.Serve(l); err != nil && !errors.Is(err, http.ErrServerClosed) {
			r.log.Error("practice registry stopped serving", "what", what, "err", err)
		}
	})
	return addr, nil
}

// tldOf gives the longest of the registry's suffixes that n lies below.
func (r *Registry) tldOf(n impound.Name) (impound.Name, bool) {
	var best impound.Name
	for _, t := range r.tlds {
		if n != t && n.AtOrBelow(t) && t.Labels() > best.Labels() {
			best = t
		}
	}
	return best, !best.IsZero()
}

// domainOf gives the name that would be registered for n to exist: the suffix
// and one label.
func (r *Registry) domainOf(n impound.Name) (impound.Name, bool) {
	t, ok := r.tldOf(n)
	if !ok {
		return impound.Name{}, false
	}
	for n.Labels() > t.Labels()+1 {
		n = n.Parent()
	}
	return n, true
}

// Register makes domains with their name servers' hosts. A name that is
// registered already is left as it is, whatever became of it. They are on disk
// when it returns.
func (r *Registry) Register(domains ...Domain) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now().UTC()
	var recs []record
	made, contacts := map[impound.Name]bool{}, map[string]bool{}
	for _, d := range domains {
		if _, ok := r.st.domains[d.Name]; ok || made[d.Name] {
			continue
		}
		if reg, ok := r.domainOf(d.Name); !ok || reg != d.Name {
			return impound.Errorf(impound.KindInvalid, "%s can't be registered below %s", d.Name.Defanged(), strings.Join(r.cfg.TLDs, ", "))
		}
		if _, ok := r.cfg.Clients[d.Registrar]; !ok {
			return impound.Errorf(impound.KindInvalid, "%s: no client %q", d.Name.Defanged(), d.Registrar)
		}
		for _, st := range d.Statuses {
			if !slices.Contains(clientStatuses, st) && !slices.Contains(serverStatuses, st) {
				return impound.Errorf(impound.KindInvalid, "%s: %q is no status that can be set", d.Name.Defanged(), st)
			}
		}
		if d.Created.IsZero() {
			d.Created = now
		}
		if d.Expiry.IsZero() {
			d.Expiry = now.AddDate(1, 0, 0)
		}
		if d.Registrant == "" {
			d.Registrant = "PRACTICE-1"
		}
		if !d.A.IsValid() {
			d.A = ActorAddr
		}
		if d.Signed {
			d.DS = append(slices.Clone(d.DS), r.pki.actorDS(d.Name))
		}
		d.Created, d.Expiry = d.Created.UTC().Truncate(time.Second), d.Expiry.UTC().Truncate(time.Second)
		d.Updated, d.UpdatedBy, d.Pending = time.Time{}, "", nil
		d.ROID, d.ActorNS = r.roid("D"), slices.Clone(d.NS)
		made[d.Name] = true
		var owner *record
		if d.Registrant, owner = r.contactFor(d.Registrant, d.Registrar, d.Created); owner != nil && !contacts[d.Registrant] {
			contacts[d.Registrant] = true
			recs = append(recs, *owner)
		}
		for _, ns := range d.NS {
			if _, ok := r.st.hosts[ns]; ok || made[ns] && ns != d.Name {
				continue
			}
			made[ns] = true
			addrs := d.NSAddrs[ns]
			if len(addrs) == 0 {
				addrs = []netip.Addr{ActorAddr}
			}
			h := Host{Name: ns, ROID: r.roid("H"), Sponsor: d.Registrar, Created: d.Created}
			if _, own := r.tldOf(ns); own {
				h.Addrs = addrs
			} else {
				h.World = addrs
			}
			recs = append(recs, record{Host: &h})
		}
		recs = append(recs, record{Domain: &d, Op: &Op{Client: d.Registrar, Command: "register", Name: d.Name.String(), Code: 1000}})
	}
	return r.commit(now, recs...)
}

// Domain gives a registered name as it is now.
func (r *Registry) Domain(n impound.Name) (Domain, bool) {
	r.settle()
	r.mu.RLock()
	defer r.mu.RUnlock()
	d, ok := r.st.domains[n]
	if !ok {
		return Domain{}, false
	}
	return d.clone(), true
}

// Domains gives the registered names, sorted.
func (r *Registry) Domains() []impound.Name {
	r.mu.RLock()
	defer r.mu.RUnlock()
	out := slices.Collect(maps.Keys(r.st.domains))
	slices.SortFunc(out, func(a, b impound.Name) int { return strings.Compare(a.String(), b.String()) })
	return out
}

// History gives every transform that was accepted, oldest first, those before
// the last start included.
func (r *Registry) History() []Op {
	r.settle()
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.st.history)
}

// Notify puts a message into the poll queue of an account.
func (r *Registry) Notify(client, text string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := r.cfg.Now().UTC()
	return r.commit(now, record{Msg: &message{ID: r.msgID(), Client: client, Date: now, Text: text}})
}

func (d *Domain) clone() Domain {
	c := *d
	c.NS, c.DS, c.Statuses, c.ActorNS = slices.Clone(d.NS), slices.Clone(d.DS), slices.Clone(d.Statuses), slices.Clone(d.ActorNS)
	return c
}

// AllStatuses gives the statuses as a registry shows them, sorted.
func (d *Domain) AllStatuses() []string {
	out := slices.Clone(d.Statuses)
	if len(d.NS) == 0 {
		out = append(out, "inactive")
	}
	switch {
	case d.Pending == nil:
	case d.Pending.Update.Renew > 0:
		out = append(out, "pendingRenew")
	default:
		out = append(out, "pendingUpdate")
	}
	if !d.Deleted.IsZero() {
		out = append(out, "pendingDelete")
	}
	if len(out) == 0 {
		out = append(out, "ok")
	}
	slices.Sort(out)
	return out
}

// inZone says whether the parent zone delegates d.
func (d *Domain) inZone() bool {
	return len(d.NS) > 0 && d.Deleted.IsZero() && !slices.Contains(d.Statuses, "clientHold") && !slices.Contains(d.Statuses, "serverHold")
}

// withActor says whether d is still delegated to the servers it began with.
func (d *Domain) withActor() bool {
	return d.inZone() && slices.ContainsFunc(d.NS, func(n impound.Name) bool { return slices.Contains(d.ActorNS, n) })
}
