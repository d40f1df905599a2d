package sinkhole

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
)

// packedAnswerer puts the answers to usual questions together by hand, and
// leaves every other message to the plain one. Its answers are the plain one's,
// octet for octet: the tests hold the two against each other.
type packedAnswerer struct {
	plain *plainAnswerer
	told  atomic.Pointer[told]
}

func newPackedAnswerer(cfg *Config) *packedAnswerer {
	return &packedAnswerer{plain: newPlainAnswerer(cfg)}
}

// told is what one policy has the DNS tell, in wire form.
type told struct {
	policy       *policy.Policy
	a            [][4]byte
	aaaa         [][16]byte
	ns           [][]byte
	host         []byte // the SOA's mailbox
	serial       uint32
	spf, dmarc   []byte // TXT data
	dkim, notice []byte
	issue        []byte // CAA data for names with ACME certificates
}

func (p *packedAnswerer) tell(env *dnsEnv) *told {
	t := p.told.Load()
	if t != nil && t.policy == env.policy {
		return t
	}
	a, aaaa, ns, host := p.plain.cfg.answer(env)
	t = &told{policy: env.policy, serial: uint32(env.policy.Serial()),
		spf: txtData(txtSPF), dmarc: txtData(txtDMARC), dkim: txtData(txtDKIM), notice: txtData(p.plain.notice)}
	if ca := p.plain.cfg.CAIssuer; ca != "" {
		t.issue = append([]byte("\x00\x05issue"), ca...)
	}
	for _, x := range a {
		t.a = append(t.a, x.As4())
	}
	for _, x := range aaaa {
		t.aaaa = append(t.aaaa, x.As16())
	}
	for _, n := range ns {
		t.ns = append(t.ns, packName(n.FQDN()))
	}
	t.host = packName(host)
	p.told.Store(t)
	return t
}

func txtData(s string) []byte { return append([]byte{byte(len(s))}, s...) }

func packName(s string) []byte {
	b := make([]byte, 256)
	n, err := dns.PackDomainName(s, b, 0, nil, false)
	if err != nil {
		return []byte{0}
	}
	return b[:n]
}

// packer adds records to a message that begins at start.
type packer struct {
	b     []byte
	start int
	ttl   uint32
	names [2 + maxNames]uint16 // where labels begin that later names can point at
	n     int
}

const maxNames = 160

func (p *packer) note(at int) {
	if p.n < len(p.names) && at < 1<<14 {
		p.names[p.n] = uint16(at)
		p.n++
	}
}

// same says whether the name written at offset at is suffix, letter by
// letter, following pointers.
func (p *packer) same(at int, suffix []byte) bool {
	m := p.b[p.start:]
	for hops := 0; ; {
		if at >= len(m) {
			return false
		}
		l := int(m[at])
		if l >= 0xc0 {
			if hops++; hops > 8 || at+1 >= len(m) {
				return false
			}
			at = (l&0x3f)<<8 | int(m[at+1])
			continue
		}
		if l != int(suffix[0]) {
			return false
		}
		if l == 0 {
			return true
		}
		if at+1+l > len(m) || string(m[at+1:at+1+l]) != string(suffix[1:1+l]) {
			return false
		}
		at += 1 + l
		suffix = suffix[1+l:]
	}
}

// name adds a name, compressed (RFC 1035 4.1.4).
func (p *packer) name(w []byte) {
	for w[0] != 0 {
		for i := range p.n {
			if at := int(p.names[i]); p.same(at, w) {
				p.b = append(p.b, 0xc0|byte(at>>8), byte(at))
				return
			}
		}
		p.note(len(p.b) - p.start)
		p.b = append(p.b, w[:1+w[0]]...)
		w = w[1+w[0]:]
	}
	p.b = append(p.b, 0)
}

// rr adds the head of a record; its data follow, and end closes it.
func (p *packer) rr(owner int, t uint16) (at int) {
	p.b = append(p.b, 0xc0|byte(owner>>8), byte(owner), byte(t>>8), byte(t), 0, 1,
		byte(p.ttl>>24), byte(p.ttl>>16), byte(p.ttl>>8), byte(p.ttl), 0, 0)
	return len(p.b)
}

func (p *packer) end(at int) {
	binary.BigEndian.PutUint16(p.b[at-2:], uint16(len(p.b)-at))
}

func (p *packer) data(owner int, t uint16, d []byte) {
	at := p.rr(owner, t)
	p.b = append(p.b, d...)
	p.end(at)
}

// dmarc adds a DMARC record with a mailbox for reports, in as many strings as it
// takes.
func (p *packer) dmarc(owner int, rua string) {
	at := p.rr(owner, dns.TypeTXT)
	var room [len(txtDMARC) + len(txtRUA) + 3*256]byte
	text := appendRUA(append(room[:0], txtDMARC...), rua)
	for len(text) > 255 {
		p.b = append(p.b, 255)
		p.b = append(p.b, text[:255]...)
		text = text[255:]
	}
	p.b = append(p.b, byte(len(text)))
	p.b = append(p.b, text...)
	p.end(at)
}

func (p *packer) soa(zone int, host []byte, serial uint32) {
	at := p.rr(zone, dns.TypeSOA)
	p.b = append(p.b, 0xc0|byte(zone>>8), byte(zone))
	p.name(host)
	p.b = binary.BigEndian.AppendUint32(p.b, serial)
	p.b = append(p.b, 0, 0, 0x0e, 0x10, 0, 0, 2, 0x58, 0, 1, 0x51, 0x80) // 3600, 600, 86400
	p.b = binary.BigEndian.AppendUint32(p.b, p.ttl)
	p.end(at)
}

var (
	dataMX  = []byte{0, 0, 0}
	dataCAA = []byte("\x00\x05issue;")

	dataNoWild = []byte("\x00\x09issuewild;")
	dataANY    = []byte("\x07RFC8482\x00")
)

func (p *packedAnswerer) answer(out, req []byte, env *dnsEnv, q *question) []byte {
	// Only one plain question, with at most an OPT record behind it.
	if len(req) < 17 || req[2]&0xf8 != 0 || req[4] != 0 || req[5] != 1 ||
		req[6]|req[7]|req[8]|req[9]|req[10] != 0 || req[11] > 1 {
		return p.plain.answer(out, req, env, q)
	}
	// The question: the name in lower case, and where its labels begin.
	var low [256]byte
	var first, second int // offsets of the first two labels in low
	i, labels := 12, 0
	for {
		if i >= len(req) {
			return p.plain.answer(out, req, env, q)
		}
		l := int(req[i])
		if l == 0 {
			break
		}
		if l > 63 || i+1+l >= len(req) || i+1+l-12 > 254 {
			return p.plain.answer(out, req, env, q)
		}
		if labels == 1 {
			second = i - 12
		}
		labels++
		low[i-12] = byte(l)
		for j := i + 1; j <= i+l; j++ {
			c := req[j]
			if 'A' <= c && c <= 'Z' {
				c += 'a' - 'A'
			}
			low[j-12] = c
		}
		i += 1 + l
	}
	wire := low[:i-12+1]
	i++
	if i+4 > len(req) || labels == 0 {
		return p.plain.answer(out, req, env, q)
	}
	t := binary.BigEndian.Uint16(req[i:])
	if req[i+2] != 0 || req[i+3] != 1 || t == dns.TypeAXFR || t == dns.TypeIXFR || t == dns.TypeOPT {
		return p.plain.answer(out, req, env, q)
	}
	question := req[12 : i+4]
	i += 4
	size := 512
	var do byte
	var cookie []byte
	nsid := false
	if req[11] == 1 {
		if len(req)-i < 11 || req[i] != 0 || req[i+1] != 0 || req[i+2] != 41 || req[i+6] != 0 {
			return p.plain.answer(out, req, env, q)
		}
		size = min(max(512, int(binary.BigEndian.Uint16(req[i+3:]))), maxUDP)
		do = req[i+7] & 0x80
		opts := req[i+11:]
		if int(binary.BigEndian.Uint16(req[i+9:])) != len(opts) {
			return p.plain.answer(out, req, env, q)
		}
		for len(opts) > 0 {
			if len(opts) < 4 {
				return p.plain.answer(out, req, env, q)
			}
			code, n := binary.BigEndian.Uint16(opts), int(binary.BigEndian.Uint16(opts[2:]))
			if 4+n > len(opts) {
				return p.plain.answer(out, req, env, q)
			}
			data := opts[4 : 4+n]
			opts = opts[4+n:]
			switch {
			case code == dns.EDNS0COOKIE:
				if cookie == nil {
					if n != 8 && (n < 16 || n > 40) {
						return p.plain.answer(out, req, env, q)
					}
					cookie = data
				}
			case code == dns.EDNS0NSID:
				nsid = len(p.plain.cfg.NSID) > 0
			case code == dns.EDNS0PADDING || code > 255 || code == dns.EDNS0SUBNET && usualSubnet(data):
			default: // others can be wrong in themselves
				return p.plain.answer(out, req, env, q)
			}
		}
	} else if i != len(req) {
		return p.plain.answer(out, req, env, q)
	}
	if !plainLabels(wire) { // labels that events spell with escapes
		return p.plain.answer(out, req, env, q)
	}

	match, ok := env.policy.LookupWire(wire, env.now)
	q.about = about{match: match, ok: ok, named: true}
	q.qtype = t
	apex := len(wire) == len(match.Zone)+2
	if apex && match.Zone != "" {
		q.name = match.Zone
	} else {
		q.name = textName(wire)
	}
	w := packer{b: out, start: len(out)}
	flags, rcode := byte(0x80)|req[2]&1, byte(0)
	if ok {
		q.outcome = answered
		flags |= 4 // AA
	} else {
		q.outcome = refused
		rcode = rcodeRefused
	}
	q.rcode = rcode
	w.b = append(w.b, req[0], req[1], flags, rcode, 0, 1, 0, 0, 0, 0, 0, req[11])
	w.b = append(w.b, question...)
	if len(cookie) > 8 {
		q.proven = p.plain.cookie.check(cookie, env.src, env.now)
	}
	limit := maxReply
	if !env.tcp {
		limit = size
		if !q.proven {
			limit = min(limit, replyLimit(len(req), env.src))
		}
	}
	o := optional{had: req[11] == 1, do: do, nsid: nsid, cookie: cookie, limit: limit + w.start}
	if !ok {
		return p.opt(w.b, &o, env)
	}
	if env.slip && !q.proven {
		w.b[w.start+2] = w.b[w.start+2]&^4 | 2 // TC, and no AA
		return p.opt(w.b, &o, env)
	}
	optLen := 0
	if req[11] == 1 {
		optLen = 11
		if cookie != nil {
			optLen += 4 + 24
		}
	}
	tell := p.tell(env)
	zone := 12 + len(wire) - len(match.Zone) - 2 // offset of the seized name in the message
	w.ttl = ttlOf(match, env.now)
	if len(tell.ns) > 0 && t == dns.TypeNS || len(tell.host) > 1 {
		for at := 12; req[at] != 0; at += 1 + int(req[at]) {
			w.note(at)
		}
	}
	empty := len(w.b)
	an := 0
	switch t {
	case dns.TypeA:
		for k := range tell.a {
			w.data(12, t, tell.a[k][:])
		}
		an = len(tell.a)
	case dns.TypeAAAA:
		for k := range tell.aaaa {
			w.data(12, t, tell.aaaa[k][:])
		}
		an = len(tell.aaaa)
	case dns.TypeNS:
		if apex {
			for _, n := range tell.ns {
				at := w.rr(12, t)
				w.name(n)
				w.end(at)
			}
			an = len(tell.ns)
		}
	case dns.TypeSOA:
		if apex {
			w.soa(zone, tell.host, tell.serial)
			an = 1
		}
	case dns.TypeMX:
		w.data(12, t, dataMX)
		an = 1
	case dns.TypeTXT:
		switch {
		case string(wire[first:first+7]) == "\x06_dmarc":
			if rua := match.Order.DMARCReports; rua != "" {
				w.dmarc(12, rua)
			} else {
				w.data(12, t, tell.dmarc)
			}
			an = 1
		case labels > 1 && string(wire[second:min(len(wire), second+11)]) == "\x0a_domainkey":
			w.data(12, t, tell.dkim)
			an = 1
		default:
			w.data(12, t, tell.spf)
			w.data(12, t, tell.notice)
			an = 2
		}
	case dns.TypeCAA:
		an = 1
		if len(tell.issue) > 0 && match.Order.Certificates == impound.CertsACME {
			w.data(12, t, tell.issue)
			w.data(12, t, dataNoWild)
			an = 2
		} else {
			w.data(12, t, dataCAA)
		}
	case dns.TypeANY:
		w.data(12, dns.TypeHINFO, dataANY)
		an = 1
	}
	ns := 0
	if an == 0 {
		n := w.n
		w.soa(zone, tell.host, tell.serial)
		ns = 1
		if len(w.b)-w.start+optLen > limit {
			w.b, w.n = w.b[:empty], n
			w.soa(zone, rootName, tell.serial)
		}
	}
	if len(w.b)-w.start+optLen > limit {
		w.b = w.b[:empty]
		an, ns = 0, 0
		w.b[w.start+2] |= 2 // TC
	}
	w.b[w.start+7], w.b[w.start+9] = byte(an), byte(ns)
	return p.opt(w.b, &o, env)
}

var rootName = []byte{0}

// optional is what an answer's OPT record rests on.
type optional struct {
	had, nsid bool // the question had one; asked for the server's name
	do        byte
	cookie    []byte // nil for none
	limit     int    // how long out may get
}

// opt adds the OPT record when the question had one. The server's name goes in
// only where there is room left.
func (p *packedAnswerer) opt(b []byte, o *optional, env *dnsEnv) []byte {
	if !o.had {
		return b
	}
	b = append(b, 0, 0, 41, maxUDP>>8, maxUDP&0xff, 0, 0, o.do, 0, 0, 0)
	at := len(b)
	if o.cookie != nil {
		var full [24]byte
		p.plain.cookie.fill(&full, [8]byte(o.cookie), env.src, env.now)
		b = append(b, 0, 10, 0, 24)
		b = append(b, full[:]...)
	}
	if name := p.plain.cfg.NSID; o.nsid && len(b)+4+len(name) <= o.limit {
		b = append(b, 0, 3, byte(len(name)>>8), byte(len(name)))
		b = append(b, name...)
	}
	binary.BigEndian.PutUint16(b[at-2:], uint16(len(b)-at))
	return b
}

// usualSubnet says whether a client's subnet (RFC 7871) is well-formed. It is
// passed over: every answer is the same for all.
func usualSubnet(b []byte) bool {
	if len(b) < 4 || b[0] != 0 {
		return false
	}
	switch b[1] {
	case 0:
		return b[2] == 0
	case 1:
		return b[2] <= 32 && b[3] <= 32
	case 2:
		return b[2] <= 128 && b[3] <= 128
	}
	return false
}

// plainLabels says whether every octet of the labels stands for itself in text.
func plainLabels(wire []byte) bool {
	for i := 0; wire[i] != 0; {
		l := int(wire[i])
		for _, c := range wire[i+1 : i+1+l] {
			if c <= ' ' || c >= 0x7f || c == '.' || c == '\\' || c == '"' || c == '(' || c == ')' || c == ';' || c == '@' || c == '\'' || c == '$' {
				return false
			}
		}
		i += 1 + l
	}
	return true
}

func textName(wire []byte) string {
	var b [256]byte
	n := 0
	for i := 0; wire[i] != 0; {
		l := int(wire[i])
		if n > 0 {
			b[n] = '.'
			n++
		}
		n += copy(b[n:], wire[i+1:i+1+l])
		i += 1 + l
	}
	return string(b[:n])
}
