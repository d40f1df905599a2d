package sinkhole

import (
	"encoding/binary"
	"strings"
	"sync/atomic"
	"unsafe"

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
	names []uint16 // where labels begin that later names can point at
	n     int
}

const maxNames = 160

func (p *packer) note(at int) {
	if p.n < len(p.names) && at < 1<<14 {
		p.names[p.n] = uint16(at)
		p.n++
	}
}

// question notes the labels of the question.
func (p *packer) question(req []byte) {
	for at := 12; req[at] != 0; at += 1 + int(req[at]) {
		p.note(at)
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

// asked is what a usual question asks for. Its memory is used again and again.
type asked struct {
	low    [256]byte // the name in wire form, lower case
	text   [256]byte // the same as text
	n      int       // length of the wire form
	second int       // offset of the second label
	labels int
	qtype  uint16
	end    int // of the question in the message

	edns, nsid bool
	do         byte
	size       int    // of an answer that the client takes
	cookie     []byte // in the message; nil for none

	names [2 + maxNames]uint16 // room for the packer
}

func (a *asked) wire() []byte { return a.low[:a.n] }

// clear octets stand for themselves in text; they are given in lower case, all
// others are 0.
var clearOctet = func() (t [256]byte) {
	for c := '!'; c < 0x7f; c++ {
		if !strings.ContainsRune(".\\\"();@'$", c) {
			t[c] = byte(c)
		}
	}
	for c := 'A'; c <= 'Z'; c++ {
		t[c] += 'a' - 'A'
	}
	return t
}()

// parse reads a usual question; false for a message that is left to the plain
// answerer. a keeps parts of req.
func (p *packedAnswerer) parse(req []byte, a *asked) bool {
	// Only one plain question, with at most an OPT record behind it.
	if len(req) < 17 || req[2]&0xf8 != 0 || req[4] != 0 || req[5] != 1 ||
		req[6]|req[7]|req[8]|req[9]|req[10] != 0 || req[11] > 1 {
		return false
	}
	i, labels := 12, 0
	for {
		if i >= len(req) {
			return false
		}
		l := int(req[i])
		if l == 0 {
			break
		}
		if l > 63 || i+1+l >= len(req) || i+1+l-12 > 254 {
			return false
		}
		if labels == 1 {
			a.second = i - 12
		}
		labels++
		a.low[i-12] = byte(l)
		from := req[i+1 : i+1+l]
		to := a.low[i-11:][:len(from)]
		for j, c := range from {
			c = clearOctet[c]
			if c == 0 { // events spell it with an escape
				return false
			}
			to[j] = c
		}
		i += 1 + l
	}
	a.low[i-12] = 0
	a.n, a.labels = i-12+1, labels
	i++
	if i+4 > len(req) || labels == 0 {
		return false
	}
	t := binary.BigEndian.Uint16(req[i:])
	if req[i+2] != 0 || req[i+3] != 1 || t == dns.TypeAXFR || t == dns.TypeIXFR || t == dns.TypeOPT {
		return false
	}
	i += 4
	a.qtype, a.end = t, i
	a.edns, a.nsid, a.do, a.size, a.cookie = req[11] == 1, false, 0, 512, nil
	if !a.edns {
		return i == len(req)
	}
	if len(req)-i < 11 || req[i] != 0 || req[i+1] != 0 || req[i+2] != 41 || req[i+6] != 0 {
		return false
	}
	a.size = min(max(512, int(binary.BigEndian.Uint16(req[i+3:]))), maxUDP)
	a.do = req[i+7] & 0x80
	opts := req[i+11:]
	if int(binary.BigEndian.Uint16(req[i+9:])) != len(opts) {
		return false
	}
	for len(opts) > 0 {
		if len(opts) < 4 {
			return false
		}
		code, n := binary.BigEndian.Uint16(opts), int(binary.BigEndian.Uint16(opts[2:]))
		if 4+n > len(opts) {
			return false
		}
		data := opts[4 : 4+n]
		opts = opts[4+n:]
		switch {
		case code == dns.EDNS0COOKIE:
			if a.cookie == nil {
				if n != 8 && (n < 16 || n > 40) {
					return false
				}
				a.cookie = data
			}
		case code == dns.EDNS0NSID:
			a.nsid = len(p.plain.cfg.NSID) > 0
		case code == dns.EDNS0PADDING || code > 255 || code == dns.EDNS0SUBNET && usualSubnet(data):
		default: // others can be wrong in themselves
			return false
		}
	}
	return true
}

// name gives the name as text. It is in a's memory.
func (a *asked) name() string {
	copy(a.text[:], a.low[1:a.n])
	for i := int(a.low[0]); i < a.n-2; i += 1 + int(a.low[i+1]) {
		a.text[i] = '.'
	}
	return unsafe.String(&a.text[0], a.n-2)
}

func (p *packedAnswerer) answer(out, req []byte, env *dnsEnv, q *question) []byte {
	var a asked
	if !p.parse(req, &a) {
		return p.plain.answer(out, req, env, q)
	}
	out = p.pack(out, req, &a, &policy.Hint{}, env, q)
	if q.name != q.about.match.Zone {
		q.name = strings.Clone(q.name)
	}
	return out
}

// pack answers what parse read into a. q.name may be in a's memory.
func (p *packedAnswerer) pack(out, req []byte, a *asked, h *policy.Hint, env *dnsEnv, q *question) []byte {
	wire, t := a.wire(), a.qtype
	match, ok := env.policy.LookupHint(wire, h, env.now)
	q.about = about{match: match, ok: ok, named: true}
	q.qtype = t
	apex := len(wire) == len(match.Zone)+2
	if apex && match.Zone != "" {
		q.name = match.Zone
	} else {
		q.name = a.name()
	}
	w := packer{b: out, start: len(out), names: a.names[:]}
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
	w.b = append(w.b, req[12:a.end]...)
	if len(a.cookie) > 8 {
		q.proven = p.plain.cookie.check(a.cookie, env.src, env.now)
	}
	limit := maxReply
	if !env.tcp {
		limit = a.size
		if !q.proven {
			limit = min(limit, replyLimit(len(req), env.src))
		}
	}
	o := optional{had: a.edns, do: a.do, nsid: a.nsid, cookie: a.cookie, limit: limit + w.start}
	if !ok {
		return p.opt(w.b, &o, env)
	}
	if env.slip && !q.proven {
		w.b[w.start+2] = w.b[w.start+2]&^4 | 2 // TC, and no AA
		return p.opt(w.b, &o, env)
	}
	optLen := 0
	if a.edns {
		optLen = 11
		if a.cookie != nil {
			optLen += 4 + 24
		}
	}
	tell := p.tell(env)
	zone := 12 + len(wire) - len(match.Zone) - 2 // offset of the seized name in the message
	w.ttl = ttlOf(match, env.now)
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
			w.question(req)
			for _, n := range tell.ns {
				at := w.rr(12, t)
				w.name(n)
				w.end(at)
			}
			an = len(tell.ns)
		}
	case dns.TypeSOA:
		if apex {
			w.question(req)
			w.soa(zone, tell.host, tell.serial)
			an = 1
		}
	case dns.TypeMX:
		w.data(12, t, dataMX)
		an = 1
	case dns.TypeTXT:
		switch {
		case string(wire[:7]) == "\x06_dmarc":
			if rua := match.Order.DMARCReports; rua != "" {
				w.dmarc(12, rua)
			} else {
				w.data(12, t, tell.dmarc)
			}
			an = 1
		case a.labels > 1 && string(wire[a.second:min(len(wire), a.second+11)]) == "\x0a_domainkey":
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
		w.question(req)
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
