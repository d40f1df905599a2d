package sinkhole

import (
	"encoding/hex"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"github.com/impound/impound"
)

// plainAnswerer answers with a DNS library. It is the definition of what is
// right; what is faster is tested against it.
type plainAnswerer struct {
	cfg    *Config
	notice string
	cookie cookieMaker
}

func newPlainAnswerer(cfg *Config) *plainAnswerer {
	return &plainAnswerer{cfg: cfg, notice: txtNotice(cfg.Contact), cookie: newCookieMaker()}
}

func (p *plainAnswerer) answer(out, req []byte, env *dnsEnv, q *question) []byte {
	q.outcome = malformed
	if len(req) < 12 || req[2]&0x80 != 0 {
		return out // no question: answering could make a loop
	}
	var m dns.Msg
	err := m.Unpack(req)
	op := int(req[2] >> 3 & 15)
	q.opcode = uint8(op)
	if err != nil {
		return headOnly(out, req, rcodeFormErr, q)
	}
	var wire []byte
	if len(m.Question) > 0 {
		q.name = nameText(m.Question[0].Name)
		q.qtype = m.Question[0].Qtype
		wire = make([]byte, 256)
		n, err := dns.PackDomainName(strings.ToLower(m.Question[0].Name), wire, 0, nil, false)
		if err != nil {
			return headOnly(out, req, rcodeFormErr, q)
		}
		wire = wire[:n]
		q.about.match, q.about.ok = env.policy.LookupWire(wire, env.now)
		q.about.named = true
	}
	match, ok := q.about.match, q.about.ok
	r := &dns.Msg{}
	r.Id, r.Response, r.Opcode, r.RecursionDesired = m.Id, true, op, m.RecursionDesired
	r.Compress = true
	switch {
	case op == opNotify || op == opUpdate:
		q.outcome = refused
		return headOnly(out, req, rcodeRefused, q)
	case op != opQuery:
		return headOnly(out, req, rcodeNotImp, q)
	case countOPT(&m) > 1:
		return headOnly(out, req, rcodeFormErr, q) // RFC 6891 6.1.1
	}
	r.Question = m.Question
	size := 512
	cookie := noCookie
	nsid := false
	opt := m.IsEdns0()
	var ro *dns.OPT
	if opt != nil {
		size = min(max(512, int(opt.UDPSize())), maxUDP)
		ro = &dns.OPT{Hdr: dns.RR_Header{Name: ".", Rrtype: dns.TypeOPT}}
		ro.SetUDPSize(maxUDP)
		if opt.Do() {
			ro.SetDo() // RFC 3225 3
		}
		r.Extra = append(r.Extra, ro)
		if opt.Version() != 0 { // its options may mean something else
			r.Rcode = dns.RcodeBadVers
			q.rcode = dns.RcodeBadVers
			return p.pack(out, r, size)
		}
		for _, o := range opt.Option {
			switch o := o.(type) {
			case *dns.EDNS0_NSID:
				nsid = true
			case *dns.EDNS0_COOKIE:
				if cookie != noCookie {
					continue // only the first counts: RFC 7873 5.2
				}
				raw, err := hex.DecodeString(o.Cookie)
				if err != nil || len(raw) != 8 && (len(raw) < 16 || len(raw) > 40) {
					return headOnly(out, req, rcodeFormErr, q) // RFC 7873 5.2.2
				}
				switch {
				case p.cookie.check(raw, env.src, env.now):
					cookie = goodCookie
				case len(raw) == 8:
					cookie = clientCookie
				default:
					cookie = badCookie
				}
				var full [24]byte
				p.cookie.fill(&full, [8]byte(raw), env.src, env.now)
				ro.Option = []dns.EDNS0{&dns.EDNS0_COOKIE{Code: dns.EDNS0COOKIE, Cookie: hex.EncodeToString(full[:])}}
			}
		}
	}
	q.proven = cookie == goodCookie
	limit := size
	switch {
	case env.tcp:
		limit = maxReply
	case !q.proven:
		limit = min(size, replyLimit(len(req), env.src))
	}
	// finish adds the name of the server where it is asked for and there is
	// room left: it must never push out a record.
	finish := func(limit int) []byte {
		b := p.pack(out, r, limit)
		if b == nil || !nsid || p.cfg.NSID == "" {
			return b
		}
		had := ro.Option
		ro.Option = append(had[:len(had):len(had)], &dns.EDNS0_NSID{Code: dns.EDNS0NSID, Nsid: hex.EncodeToString([]byte(p.cfg.NSID))})
		if with := p.pack(out, r, limit); with != nil {
			return with
		}
		ro.Option = had
		return b
	}
	switch {
	case len(m.Question) == 0 && cookie != noCookie: // RFC 7873 5.4
		q.outcome = answered
		if cookie == badCookie {
			r.Rcode = dns.RcodeBadCookie
			q.rcode = dns.RcodeBadCookie
		}
		return finish(limit)
	case len(m.Question) != 1:
		return headOnly(out, req, rcodeFormErr, q)
	}
	t := m.Question[0].Qtype
	if !ok || m.Question[0].Qclass != dns.ClassINET || t == dns.TypeAXFR || t == dns.TypeIXFR {
		q.outcome = refused
		r.Rcode = dns.RcodeRefused
		q.rcode = rcodeRefused
		return refusal(p.pack(out, r, maxReply), finish(limit))
	}
	q.outcome = answered
	if env.slip && !q.proven {
		r.Truncated = true
		return refusal(p.pack(out, r, maxReply), finish(limit))
	}
	r.Authoritative = true
	ttl := ttlOf(match, env.now)
	hdr := func(t uint16) dns.RR_Header {
		return dns.RR_Header{Name: m.Question[0].Name, Rrtype: t, Class: dns.ClassINET, Ttl: ttl}
	}
	// The zone as the question spells it, so that names compress onto it.
	asked := m.Question[0].Name
	zone := match.Zone + "."
	if len(asked) >= len(zone) && strings.EqualFold(asked[len(asked)-len(zone):], zone) {
		zone = asked[len(asked)-len(zone):]
	}
	apex := len(wire) == len(match.Zone)+2
	a, aaaa, ns, host := p.cfg.answer(env)
	soa := func(host string) *dns.SOA {
		h := hdr(dns.TypeSOA)
		h.Name = zone
		return &dns.SOA{Hdr: h, Ns: zone, Mbox: host, Serial: uint32(env.policy.Serial()), Refresh: 3600, Retry: 600, Expire: 86400, Minttl: ttl}
	}
	first, second := firstLabels(wire)
	switch t {
	case dns.TypeA:
		for _, ip := range a {
			r.Answer = append(r.Answer, &dns.A{Hdr: hdr(t), A: ip.AsSlice()})
		}
	case dns.TypeAAAA:
		for _, ip := range aaaa {
			r.Answer = append(r.Answer, &dns.AAAA{Hdr: hdr(t), AAAA: ip.AsSlice()})
		}
	case dns.TypeNS:
		if apex {
			for _, n := range ns {
				r.Answer = append(r.Answer, &dns.NS{Hdr: hdr(t), Ns: n.FQDN()})
			}
		}
	case dns.TypeSOA:
		if apex {
			r.Answer = append(r.Answer, soa(host))
		}
	case dns.TypeMX:
		r.Answer = append(r.Answer, &dns.MX{Hdr: hdr(t), Preference: 0, Mx: "."}) // RFC 7505
	case dns.TypeTXT:
		switch {
		case first == "_dmarc":
			r.Answer = append(r.Answer, &dns.TXT{Hdr: hdr(t), Txt: txtChunks(txtDMARC + ruaOf(match.Order.DMARCReports))})
		case second == "_domainkey":
			r.Answer = append(r.Answer, &dns.TXT{Hdr: hdr(t), Txt: []string{txtDKIM}})
		default:
			r.Answer = append(r.Answer, &dns.TXT{Hdr: hdr(t), Txt: []string{txtSPF}}, &dns.TXT{Hdr: hdr(t), Txt: []string{strings.ReplaceAll(p.notice, `\`, `\\`)}})
		}
	case dns.TypeCAA:
		if p.cfg.CAIssuer != "" && match.Order.Certificates == impound.CertsACME {
			r.Answer = append(r.Answer, &dns.CAA{Hdr: hdr(t), Tag: "issue", Value: p.cfg.CAIssuer}, &dns.CAA{Hdr: hdr(t), Tag: "issuewild", Value: ";"})
		} else {
			r.Answer = append(r.Answer, &dns.CAA{Hdr: hdr(t), Tag: "issue", Value: ";"})
		}
	case dns.TypeANY: // RFC 8482
		r.Answer = append(r.Answer, &dns.HINFO{Hdr: hdr(dns.TypeHINFO), Cpu: "RFC8482"})
	}
	if len(r.Answer) == 0 {
		r.Ns = []dns.RR{soa(host)}
	}
	if b := finish(limit); b != nil {
		return b
	}
	if len(r.Ns) > 0 { // the same without the mailbox, before giving up
		r.Ns = []dns.RR{soa(".")}
		if b := finish(limit); b != nil {
			return b
		}
	}
	r.Answer, r.Ns, r.Truncated = nil, nil, true
	return refusal(p.pack(out, r, maxReply), finish(limit))
}

// refusal chooses the answer without records that goes out: with the server's
// name when that kept within the limit, else the bare one, which always may.
func refusal(bare, named []byte) []byte {
	if named != nil {
		return named
	}
	return bare
}

// What a question's cookie is worth.
const (
	noCookie     = iota
	clientCookie // no server cookie
	badCookie    // not one of ours, or too old
	goodCookie   // the source is not forged
)

func countOPT(m *dns.Msg) (n int) {
	for _, rrs := range [][]dns.RR{m.Answer, m.Ns, m.Extra} {
		for _, rr := range rrs {
			if rr.Header().Rrtype == dns.TypeOPT {
				n++
			}
		}
	}
	return n
}

// ruaOf is what a DMARC record says of the mailbox for reports: a URI, so what
// is not plain is percent-encoded (RFC 6068 2, RFC 7489 6.2).
func ruaOf(mailbox string) string {
	if mailbox == "" {
		return ""
	}
	var b [len(txtRUA) + 3*256]byte
	return string(appendRUA(b[:0], mailbox))
}

func appendRUA(b []byte, mailbox string) []byte {
	const hexDigits = "0123456789ABCDEF"
	b = append(b, txtRUA...)
	for i := range len(mailbox) {
		switch c := mailbox[i]; {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '@', c == '.', c == '-', c == '_', c == '~', c == '+':
			b = append(b, c)
		default:
			b = append(b, '%', hexDigits[c>>4], hexDigits[c&15])
		}
	}
	return b
}

// txtChunks cuts what is longer than one string of a TXT record.
func txtChunks(s string) (out []string) {
	for len(s) > 255 {
		out = append(out, s[:255])
		s = s[255:]
	}
	return append(out, s)
}

const (
	txtSPF   = "v=spf1 -all"
	txtDMARC = "v=DMARC1; p=reject"
	txtRUA   = "; rua=mailto:"
	txtDKIM  = "v=DKIM1; p=" // RFC 6376 3.6.1: the key is revoked
)

// answer gives the addresses and names to tell: the sensor's own, or the
// policy's where it has none.
func (c *Config) answer(env *dnsEnv) (a, aaaa []netip.Addr, ns []impound.Name, host string) {
	pa := env.policy.Answer()
	a, aaaa, ns, host = c.A, c.AAAA, c.NS, c.Hostmaster
	if len(a) == 0 && len(aaaa) == 0 {
		a, aaaa = pa.A, pa.AAAA
	}
	if len(ns) == 0 {
		ns = pa.NS
	}
	if host == "" {
		host = pa.Hostmaster
	}
	return a, aaaa, ns, mailboxName(host)
}

// mailboxName turns a mailbox, or the name that stands for one, into the name
// that an SOA tells (RFC 1035 8); "." when there is none.
func mailboxName(m string) string {
	local, domain, ok := strings.Cut(m, "@")
	if !ok {
		if n, err := impound.ParseName(m); err == nil {
			return n.FQDN()
		}
		return "."
	}
	n, err := impound.ParseName(domain)
	if err != nil || local == "" || len(local) > 63 || strings.ContainsAny(local, "\\\" ;()") {
		return "."
	}
	return strings.ReplaceAll(local, ".", `\.`) + "." + n.FQDN()
}

// pack adds r to out; nil when it is longer than size.
func (p *plainAnswerer) pack(out []byte, r *dns.Msg, size int) []byte {
	b, err := r.Pack()
	if err != nil || len(b) > size {
		return nil
	}
	return append(out, b...)
}

// headOnly is an answer without sections, for what can't or must not be taken
// apart.
func headOnly(out, req []byte, rcode uint8, q *question) []byte {
	q.rcode = rcode
	return append(out, req[0], req[1], 0x80|req[2]&0x79, rcode, 0, 0, 0, 0, 0, 0, 0, 0)
}

// nameText is the form of a name in events.
func nameText(n string) string {
	n = strings.ToLower(n)
	if n == "." {
		return n
	}
	// The library writes a space as "\ ": no space may stand in an event's name.
	return strings.ReplaceAll(strings.TrimSuffix(n, "."), `\ `, `\032`)
}
