package testregistry

import (
	"crypto"
	"crypto/ecdsa"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
)

// The parent zones are signed when they are asked, by one key: answers change
// with every update. What was signed is kept for as long as it holds. What doesn't
// exist is denied with the least that covers it (RFC 4470).

// signatures are those that one key made, by what they are over.
type signatures struct {
	mu sync.Mutex
	m  map[string]*dns.RRSIG
}

// mostSigned bounds how many signatures are kept.
const mostSigned = 20_000

// sign gives the signature of a set that holds for life from an hour before now, as
// made within the first quarter of it, or makes it: of gives it without dates.
func (s *signatures) sign(set []dns.RR, now time.Time, life time.Duration, of func() *dns.RRSIG, key crypto.Signer) (*dns.RRSIG, error) {
	var b strings.Builder
	for _, rr := range set {
		b.WriteString(rr.String())
		b.WriteByte('\n')
	}
	s.mu.Lock()
	was := s.m[b.String()]
	s.mu.Unlock()
	if was != nil {
		begin := time.Unix(int64(was.Inception), 0).Add(time.Hour)
		if age := now.Sub(begin); age > -time.Second && age < life/4 {
			return dns.Copy(was).(*dns.RRSIG), nil
		}
	}
	sig := of()
	sig.Inception, sig.Expiration = uint32(now.Add(-time.Hour).Unix()), uint32(now.Add(life).Unix())
	if err := sig.Sign(key, set); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.m == nil || len(s.m) >= mostSigned {
		s.m = map[string]*dns.RRSIG{}
	}
	s.m[b.String()] = sig
	return dns.Copy(sig).(*dns.RRSIG), nil
}

// zoneKey gives the DNSKEY of a parent zone.
func (p *pki) zoneKey(tld impound.Name) *dns.DNSKEY {
	k := *p.parent
	k.Hdr = head(tld.FQDN(), dns.TypeDNSKEY)
	return &k
}

// writeAnchors puts DS records of the parent zones into Dir/trust-anchors, which
// validating resolvers read.
func (r *Registry) writeAnchors() error {
	var b strings.Builder
	for _, t := range r.tlds {
		fmt.Fprintln(&b, r.pki.zoneKey(t).ToDS(dns.SHA256))
	}
	return writeOnce(filepath.Join(r.cfg.Dir, "trust-anchors"), []byte(b.String()), 0o644)
}

// ecdsaKey gives the public half as DNSSEC has it: X || Y (RFC 6605 4).
func ecdsaKey(key *ecdsa.PrivateKey) ([]byte, error) {
	raw, err := key.PublicKey.Bytes() // 4 || X || Y
	if err != nil {
		return nil, err
	}
	return raw[1:], nil
}

// seal adds to an answer of a parent zone the signatures and the denials.
func (r *Registry) seal(m *dns.Msg, tld impound.Name) {
	asked := strings.ToLower(m.Question[0].Name)
	switch {
	case m.Rcode == dns.RcodeNameError:
		m.Ns = append(m.Ns, deny(asked, tld)...)
	case m.Rcode != dns.RcodeSuccess:
		return
	case m.Authoritative && len(m.Answer) == 0:
		m.Ns = append(m.Ns, nodata(asked, tld))
	case !m.Authoritative && !slices.ContainsFunc(m.Ns, func(rr dns.RR) bool { return rr.Header().Rrtype == dns.TypeDS }):
		m.Ns = append(m.Ns, nodata(strings.ToLower(m.Ns[0].Header().Name), tld))
	}
	m.Answer = r.signSets(m.Answer, tld, true)
	m.Ns = r.signSets(m.Ns, tld, m.Authoritative)
}

// signSets adds a signature behind each set of records; delegations have none.
func (r *Registry) signSets(rrs []dns.RR, tld impound.Name, authoritative bool) []dns.RR {
	type key struct {
		name string
		typ  uint16
	}
	sets := map[key][]dns.RR{}
	var order []key
	for _, rr := range rrs {
		k := key{strings.ToLower(rr.Header().Name), rr.Header().Rrtype}
		if sets[k] == nil {
			order = append(order, k)
		}
		sets[k] = append(sets[k], rr)
	}
	now := r.cfg.Now()
	var out []dns.RR
	for _, k := range order {
		out = append(out, sets[k]...)
		if k.typ == dns.TypeNS && !authoritative {
			continue
		}
		sig, err := r.parentSigned.sign(sets[k], now, 7*24*time.Hour, func() *dns.RRSIG {
			return &dns.RRSIG{Hdr: head(k.name, dns.TypeRRSIG), Algorithm: dns.ECDSAP256SHA256, KeyTag: r.pki.zoneKey(tld).KeyTag(), SignerName: tld.FQDN()}
		}, r.pki.parentSigner)
		if err != nil {
			r.log.Error("practice registry couldn't sign", "err", err)
			continue
		}
		out = append(out, sig)
	}
	return out
}

// nodata proves what types a name that exists has.
func nodata(name string, tld impound.Name) dns.RR {
	types := []uint16{dns.TypeNS, dns.TypeRRSIG, dns.TypeNSEC} // a delegation without DS
	next := "\\000." + name
	switch name {
	case tld.FQDN():
		types = []uint16{dns.TypeNS, dns.TypeSOA, dns.TypeRRSIG, dns.TypeNSEC, dns.TypeDNSKEY}
	case "nic." + tld.FQDN():
		types = []uint16{dns.TypeRRSIG, dns.TypeNSEC}
	case "ns1.nic." + tld.FQDN():
		types = []uint16{dns.TypeA, dns.TypeRRSIG, dns.TypeNSEC}
	}
	return &dns.NSEC{Hdr: head(name, dns.TypeNSEC), NextDomain: next, TypeBitMap: types}
}

// deny proves that a name doesn't exist, and no wildcard that would stand for it.
func deny(name string, tld impound.Name) []dns.RR {
	encloser := tld.FQDN()
	for _, s := range []string{"nic." + tld.FQDN(), "ns1.nic." + tld.FQDN()} {
		if strings.HasSuffix(name, "."+s) {
			encloser = s
		}
	}
	labels := dns.SplitDomainName(name)
	label := labels[len(labels)-1-dns.CountLabel(encloser)]
	buf := make([]byte, 80)
	n, err := dns.PackDomainName(label+".", buf, 0, nil, false)
	if err != nil || n < 3 {
		return nil
	}
	before := slices.Clone(buf[1 : n-1])
	after := slices.Clone(before)
	last := len(before) - 1
	if before[last] == 0 {
		if before = before[:last]; last == 0 {
			return nil // nothing comes before it but the zone's own name: can't be denied this way
		}
	} else if before[last]--; last < 62 {
		before = append(before, 0xff)
	}
	if last < 62 {
		after = append(after, 0)
	} else {
		after[last]++
	}
	types := []uint16{dns.TypeRRSIG, dns.TypeNSEC}
	return []dns.RR{
		&dns.NSEC{Hdr: head(octets(before)+"."+encloser, dns.TypeNSEC), NextDomain: octets(after) + "." + encloser, TypeBitMap: types},
		// "!" and "+" are before and after "*"; no host name begins with what is between.
		&dns.NSEC{Hdr: head("!."+encloser, dns.TypeNSEC), NextDomain: "+." + encloser, TypeBitMap: types},
	}
}

// octets gives a label in presentation form.
func octets(label []byte) string {
	var b strings.Builder
	for _, c := range label {
		if c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '-' || c == '_' {
			b.WriteByte(c)
		} else {
			fmt.Fprintf(&b, "\\%03d", c)
		}
	}
	return b.String()
}
