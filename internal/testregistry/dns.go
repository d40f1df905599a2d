package testregistry

import (
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
)

// ttl is short: a practice world is watched while it changes.
const ttl = 5

type dnsHandler func(q *dns.Msg) *dns.Msg

// serveDNS serves UDP and TCP on one port.
func (r *Registry) serveDNS(listen, what string, h dnsHandler) (netip.AddrPort, error) {
	var l net.Listener
	var pc net.PacketConn
	var addr netip.AddrPort
	// With port 0, the port that TCP got may be taken for UDP: ask again.
	for try := 0; ; try++ {
		var err error
		if l, addr, err = r.listen(listen, what); err != nil || l == nil {
			return netip.AddrPort{}, err
		}
		if pc, err = net.ListenPacket("udp", addr.String()); err == nil {
			break
		}
		l.Close()
		if want, _ := loopback(listen, what); !strings.HasSuffix(want, ":0") || try == 20 {
			return netip.AddrPort{}, &impound.Error{Kind: impound.KindUnavailable, Where: what, Msg: "couldn't listen on UDP " + addr.String(), Err: err, Cure: "stop what listens there, or choose another port"}
		}
	}
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		m := r.screen(q)
		if m == nil {
			m = h(q)
		}
		size := dns.MaxMsgSize
		if opt := q.IsEdns0(); opt != nil {
			if m.IsEdns0() == nil {
				m.SetEdns0(1232, opt.Do())
			}
			if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
				size = min(max(int(opt.UDPSize()), dns.MinMsgSize), 1232)
			}
		} else if _, udp := w.RemoteAddr().(*net.UDPAddr); udp {
			size = dns.MinMsgSize
		}
		m.Truncate(size)
		m.Compress = true
		_ = w.WriteMsg(m) // the asker may be gone
	})
	for _, srv := range []*dns.Server{{Listener: l, Handler: handler}, {PacketConn: pc, Handler: handler, UDPSize: 4096}} {
		started := make(chan struct{})
		srv.NotifyStartedFunc = func() { close(started) }
		srv.ReadTimeout, srv.WriteTimeout = 5*time.Second, 5*time.Second
		stopped := make(chan struct{})
		r.wg.Go(func() {
			defer close(stopped)
			if err := srv.ActivateAndServe(); err != nil && r.ctx.Err() == nil {
				r.log.Error("practice registry stopped serving", "what", what, "err", err)
			}
		})
		select {
		case <-started:
		case <-stopped:
		}
		r.close = append(r.close, func() { srv.Shutdown() })
	}
	return addr, nil
}

// screen answers what no server here takes: other opcodes, other classes, more
// than one question, zone transfers.
func (r *Registry) screen(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	opt := q.IsEdns0()
	switch {
	case q.Opcode != dns.OpcodeQuery:
		return m.SetRcode(q, dns.RcodeNotImplemented)
	case len(q.Question) != 1:
		return m.SetRcodeFormatError(q)
	case opt != nil && opt.Version() != 0:
		m.SetRcode(q, dns.RcodeBadVers)
		m.SetEdns0(1232, false)
		m.IsEdns0().SetExtendedRcode(dns.RcodeBadVers)
		return m
	case q.Question[0].Qclass != dns.ClassINET, q.Question[0].Qtype == dns.TypeAXFR, q.Question[0].Qtype == dns.TypeIXFR:
		return m.SetRcode(q, dns.RcodeRefused)
	}
	return nil
}

func head(name string, typ uint16) dns.RR_Header {
	return dns.RR_Header{Name: name, Rrtype: typ, Class: dns.ClassINET, Ttl: ttl}
}

// question gives the name asked for; false for one that a registry can't hold
// (a label with a dot or octets that no host name has), which doesn't exist.
func question(q *dns.Msg) (impound.Name, bool) {
	s := strings.ToLower(strings.TrimSuffix(q.Question[0].Name, "."))
	n, err := impound.ParseName(s)
	return n, err == nil && n.String() == s
}

func addrRR(name string, a netip.Addr) dns.RR {
	if a.Is4() {
		return &dns.A{Hdr: head(name, dns.TypeA), A: a.AsSlice()}
	}
	return &dns.AAAA{Hdr: head(name, dns.TypeAAAA), AAAA: a.AsSlice()}
}

func (r *Registry) soa(tld impound.Name) dns.RR {
	return &dns.SOA{Hdr: head(tld.FQDN(), dns.TypeSOA), Ns: "ns1.nic." + tld.FQDN(), Mbox: "hostmaster.nic." + tld.FQDN(),
		Serial: uint32(r.st.seq), Refresh: 60, Retry: 10, Expire: 3600, Minttl: ttl}
}

// answerParent is the parent zones' authoritative server.
func (r *Registry) answerParent(q *dns.Msg) *dns.Msg {
	r.settle()
	m, tld := r.parent(q)
	if opt := q.IsEdns0(); r.cfg.Sign && opt != nil && opt.Do() && !tld.IsZero() {
		r.seal(m, tld)
	}
	return m
}

func (r *Registry) parent(q *dns.Msg) (*dns.Msg, impound.Name) {
	m := new(dns.Msg).SetReply(q)
	m.RecursionAvailable = false
	asked := strings.ToLower(q.Question[0].Name)
	qtype := q.Question[0].Qtype
	n, clean := question(q)
	var tld impound.Name
	for _, t := range r.tlds {
		if (asked == t.FQDN() || strings.HasSuffix(asked, "."+t.FQDN())) && t.Labels() > tld.Labels() {
			tld = t
		}
	}
	if tld.IsZero() {
		m.Rcode = dns.RcodeRefused
		return m, tld
	}
	m.Authoritative = true
	r.mu.RLock()
	defer r.mu.RUnlock()
	negative := func(rcode int) (*dns.Msg, impound.Name) {
		m.Rcode, m.Ns = rcode, []dns.RR{r.soa(tld)}
		return m, tld
	}
	if !clean {
		return negative(dns.RcodeNameError)
	}
	nic := "nic." + tld.FQDN()
	if n == tld || asked == nic || strings.HasSuffix(asked, "."+nic) {
		return r.answerApex(m, asked, qtype, tld, negative)
	}
	name, _ := r.domainOf(n)
	d := r.asOf(name, r.cfg.Faults.ZoneLag)
	if d == nil || !d.inZone() {
		return negative(dns.RcodeNameError)
	}
	if n == name && qtype == dns.TypeDS {
		m.Answer = d.dsRRs()
		if len(m.Answer) == 0 {
			return negative(dns.RcodeSuccess)
		}
		return m, tld
	}
	// A referral.
	m.Authoritative = false
	for _, ns := range d.NS {
		m.Ns = append(m.Ns, &dns.NS{Hdr: head(name.FQDN(), dns.TypeNS), Ns: ns.FQDN()})
	}
	if opt := q.IsEdns0(); opt != nil && opt.Do() {
		m.Ns = append(m.Ns, d.dsRRs()...)
	}
	for _, ns := range d.NS {
		if h := r.st.hosts[ns]; h != nil && ns.AtOrBelow(tld) {
			for _, a := range h.Addrs {
				m.Extra = append(m.Extra, addrRR(ns.FQDN(), a))
			}
		}
	}
	return m, tld
}

func (d *Domain) dsRRs() []dns.RR {
	var out []dns.RR
	for _, ds := range d.DS {
		out = append(out, &dns.DS{Hdr: head(d.Name.FQDN(), dns.TypeDS), KeyTag: ds.KeyTag, Algorithm: ds.Alg, DigestType: ds.DigestType, Digest: strings.ToLower(ds.Digest)})
	}
	return out
}

// answerApex answers for the zone's own names: the apex and what is below nic.
func (r *Registry) answerApex(m *dns.Msg, asked string, qtype uint16, tld impound.Name, negative func(int) (*dns.Msg, impound.Name)) (*dns.Msg, impound.Name) {
	host := "ns1.nic." + tld.FQDN()
	switch asked {
	case tld.FQDN():
		if qtype == dns.TypeSOA || qtype == dns.TypeANY {
			m.Answer = append(m.Answer, r.soa(tld))
		}
		if qtype == dns.TypeNS || qtype == dns.TypeANY {
			m.Answer = append(m.Answer, &dns.NS{Hdr: head(tld.FQDN(), dns.TypeNS), Ns: host})
			m.Extra = append(m.Extra, addrRR(host, ParentAddr))
		}
		if qtype == dns.TypeDNSKEY && r.cfg.Sign {
			m.Answer = append(m.Answer, r.pki.zoneKey(tld))
		}
	case host:
		if qtype == dns.TypeA || qtype == dns.TypeANY {
			m.Answer = append(m.Answer, addrRR(host, ParentAddr))
		}
	case "nic." + tld.FQDN(): // an empty non-terminal
	default:
		return negative(dns.RcodeNameError)
	}
	if len(m.Answer) == 0 {
		return negative(dns.RcodeSuccess)
	}
	return m, tld
}

// answerActor is the actor's authoritative server. It goes on answering for
// names that were taken away, as real ones do.
func (r *Registry) answerActor(q *dns.Msg) *dns.Msg {
	m := new(dns.Msg).SetReply(q)
	n, clean := question(q)
	r.mu.RLock()
	defer r.mu.RUnlock()
	var d *Domain
	if clean {
		if name, ok := r.domainOf(n); ok {
			d = r.st.domains[name]
		}
		if d == nil {
			if h := r.st.hosts[n]; h != nil && len(h.World) > 0 { // its name servers outside of the TLDs
				m.Authoritative = true
				r.hostAnswer(m, n, q.Question[0].Qtype, h.World)
				return m
			}
		}
	}
	if d == nil {
		m.Rcode = dns.RcodeRefused
		return m
	}
	m.Authoritative = true
	qtype := q.Question[0].Qtype
	zone := d.Name.FQDN()
	soa := &dns.SOA{Hdr: head(zone, dns.TypeSOA), Ns: "ns1." + zone, Mbox: "root." + zone, Serial: 1, Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl}
	if len(d.ActorNS) > 0 {
		soa.Ns = d.ActorNS[0].FQDN()
	}
	switch {
	case r.st.hosts[n] != nil && len(r.st.hosts[n].Addrs) > 0:
		r.hostAnswer(m, n, qtype, r.st.hosts[n].Addrs)
	case qtype == dns.TypeA && d.A.Is4(), qtype == dns.TypeAAAA && d.A.Is6():
		m.Answer = []dns.RR{addrRR(q.Question[0].Name, d.A)} // every name below exists
	case n == d.Name && qtype == dns.TypeSOA:
		m.Answer = []dns.RR{soa}
	case n == d.Name && qtype == dns.TypeNS:
		for _, ns := range d.ActorNS {
			m.Answer = append(m.Answer, &dns.NS{Hdr: head(zone, dns.TypeNS), Ns: ns.FQDN()})
		}
	case n == d.Name && qtype == dns.TypeMX:
		m.Answer = []dns.RR{&dns.MX{Hdr: head(zone, dns.TypeMX), Preference: 10, Mx: "mail." + zone}}
	case n == d.Name && qtype == dns.TypeDNSKEY && d.Signed:
		m.Answer = []dns.RR{r.pki.actorKey(d.Name)}
	}
	if len(m.Answer) == 0 {
		m.Ns = []dns.RR{soa}
	}
	if opt := q.IsEdns0(); d.Signed && opt != nil && opt.Do() {
		m.Answer = r.sign(d.Name, m.Answer)
	}
	return m
}

func (r *Registry) hostAnswer(m *dns.Msg, n impound.Name, qtype uint16, addrs []netip.Addr) {
	for _, a := range addrs {
		if qtype == dns.TypeA && a.Is4() || qtype == dns.TypeAAAA && a.Is6() {
			m.Answer = append(m.Answer, addrRR(n.FQDN(), a))
		}
	}
}

// sign adds the signature of one RRset by the actor's key. Denial is left
// unsigned: the practice actor proves only what there is.
func (r *Registry) sign(zone impound.Name, set []dns.RR) []dns.RR {
	if len(set) == 0 {
		return set
	}
	now := r.cfg.Now()
	sig, err := r.actorSigned.sign(set, now, 24*time.Hour, func() *dns.RRSIG {
		return &dns.RRSIG{Hdr: head(set[0].Header().Name, dns.TypeRRSIG), Algorithm: r.pki.dnskey.Algorithm, KeyTag: r.pki.actorKey(zone).KeyTag(), SignerName: zone.FQDN()}
	}, r.pki.signer)
	if err != nil {
		r.log.Error("practice actor couldn't sign", "err", err)
		return set
	}
	return append(slices.Clone(set), sig)
}
