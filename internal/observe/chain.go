package observe

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/miekg/dns"
)

// KindChain is the kind of a [ChainView].
const KindChain = "dns-chain"

// ChainView is what given servers of a name show of its DNSSEC: whether resolvers
// that had these DS would find them borne out there. The servers need not be those
// that the parent names.
type ChainView struct {
	Kind    string        `json:"kind"`
	Name    impound.Name  `json:"name"`
	At      time.Time     `json:"at"`
	DS      []string      `json:"ds"`
	Servers []ServerChain `json:"servers,omitempty"`
	OK      bool          `json:"ok"`
	Why     string        `json:"why"` // in words, names defanged
}

// ServerChain is what one server shows.
type ServerChain struct {
	Server string   `json:"server"`
	Addr   string   `json:"addr,omitempty"`
	KeyTag uint16   `json:"key_tag,omitempty"` // of the key that a DS names and that signs
	Raw    [][]byte `json:"raw,omitempty"`     // the answers as they came: DNSKEY, SOA
	Err    string   `json:"err,omitempty"`     // why resolvers would not validate there
}

// digests are those that DS can be checked with, the strongest first. Resolvers
// leave the weaker aside where a stronger one is there (RFC 4509 3, RFC 8624 3.3).
var digests = []uint8{dns.SHA384, dns.SHA256, dns.SHA1}

// maxSignatures bounds how many keys, and how many signatures of one set, are tried
// of one answer: a zone's holder chooses them.
const maxSignatures = 16

// Chain asks each of hosts for the keys of name and its SOA, and says whether a
// resolver that validates would accept them by ds: a key that a DS of the strongest
// digest among them names signs the set of keys, and a key of the set signs the
// SOA, now. It is OK only where every host answers so: resolvers choose among them.
// ds are in presentation form ("tag algorithm digest-type digest"); one that can't
// be read is not OK.
func (c *Observer) Chain(ctx context.Context, name impound.Name, hosts, ds []string) ChainView {
	v := ChainView{Kind: KindChain, Name: name, At: c.now(), DS: ds}
	set, err := readDS(name, ds)
	switch {
	case err != nil:
		v.Why = err.Error()
		return v
	case len(hosts) == 0:
		v.Why = "there is no server to ask"
		return v
	case len(hosts) > maxServers:
		v.Why = fmt.Sprintf("%d servers are more than are asked", len(hosts))
		return v
	}
	servers := c.addresses(ctx, slices.DeleteFunc(slices.Clone(hosts), func(h string) bool {
		why := c.wasSilent("chain " + h)
		if why != "" {
			v.Why += defang(h) + ": no address of it was found: " + why + "; "
		}
		return why != ""
	}), nil)
	if v.Why != "" {
		v.Why = strings.TrimSuffix(v.Why, "; ")
		return v
	}
	v.Servers = make([]ServerChain, len(servers))
	each(servers, func(s server) ServerView {
		i := slices.Index(servers, s)
		v.Servers[i] = c.askChain(ctx, s, name, set)
		return ServerView{}
	})
	v.OK = true
	var why []string
	for _, s := range v.Servers {
		if s.Err != "" {
			v.OK = false
			why = append(why, defang(s.Server)+": "+s.Err)
		}
	}
	if v.Why = strings.Join(why, "; "); v.OK {
		v.Why = fmt.Sprintf("key %d, which a DS names, signs the zone at %s", v.Servers[0].KeyTag, defangAll(hosts))
	}
	return v
}

// readDS gives those of ds that resolvers go by.
func readDS(name impound.Name, ds []string) ([]*dns.DS, error) {
	var all []*dns.DS
	for _, x := range ds {
		rr, err := dns.NewRR(name.FQDN() + " 0 IN DS " + x)
		d, ok := rr.(*dns.DS)
		if err != nil || !ok {
			return nil, fmt.Errorf("“%s” is no DS that can be read", clip(x, 80))
		}
		all = append(all, d)
	}
	for _, typ := range digests {
		if some := slices.DeleteFunc(slices.Clone(all), func(d *dns.DS) bool { return d.DigestType != typ }); len(some) > 0 {
			return some, nil
		}
	}
	return nil, errors.New("there is no DS of a kind that can be checked")
}

func (c *Observer) askChain(ctx context.Context, s server, name impound.Name, ds []*dns.DS) ServerChain {
	v := ServerChain{Server: s.host, Addr: s.addr}
	if s.addr == "" {
		if v.Err = "no address is known of it"; ctx.Err() == nil {
			c.silent.Store("chain "+s.host, time.Now())
		}
		return v
	}
	if err := c.refused(s); err != nil {
		v.Err = "not asked: " + err.Error()
		return v
	}
	if why := c.wasSilent("chain " + s.addr); why != "" {
		v.Err = why
		return v
	}
	rs := c.askMany(ctx, s.addr, name.FQDN(), false, question{qtype: dns.TypeDNSKEY}, question{qtype: dns.TypeSOA})
	for _, r := range rs {
		if r.err == nil {
			v.Raw = append(v.Raw, r.raw)
		}
	}
	for _, r := range rs {
		switch {
		case r.err != nil:
			v.Err = cmp.Or(v.Err, clip(r.err.Error(), 300))
		case r.m.Rcode != dns.RcodeSuccess:
			v.Err = cmp.Or(v.Err, "it answers "+rcode(r.m))
		case !r.m.Authoritative:
			v.Err = cmp.Or(v.Err, "it does not speak for "+name.Defanged())
		}
	}
	if v.Err != "" {
		if len(v.Raw) == 0 && ctx.Err() == nil { // thousands of names have the same few servers
			c.silent.Store("chain "+s.addr, time.Now())
		}
		return v
	}
	var err error
	if v.KeyTag, err = chain(name, ds, rs[0].m, rs[1].m, c.now()); err != nil {
		v.Err = err.Error()
	}
	return v
}

// chain says which key the DS lead to, and proves the answers by it.
func chain(name impound.Name, ds []*dns.DS, keyAnswer, soaAnswer *dns.Msg, now time.Time) (uint16, error) {
	var keys []*dns.DNSKEY
	keySet, keySigs := rrset(keyAnswer, name, dns.TypeDNSKEY)
	for _, rr := range keySet {
		if k, ok := rr.(*dns.DNSKEY); ok && k.Flags&dns.ZONE != 0 && k.Flags&dns.REVOKE == 0 && k.Protocol == 3 && len(keys) < maxSignatures {
			keys = append(keys, k)
		}
	}
	if len(keys) == 0 {
		return 0, errors.New("it shows no key: the zone is not signed there any more")
	}
	var named []*dns.DNSKEY
	for _, k := range keys {
		if slices.ContainsFunc(ds, func(d *dns.DS) bool { return names(d, k) }) {
			named = append(named, k)
		}
	}
	if len(named) == 0 {
		return 0, fmt.Errorf("of its %d keys none is one that the DS name: they were changed", len(keys))
	}
	k := signer(named, keySet, keySigs, name, now)
	if k == nil {
		return 0, errors.New("the key that the DS name does not sign its set of keys, or the signature does not hold now")
	}
	soa, sigs := rrset(soaAnswer, name, dns.TypeSOA)
	if len(soa) == 0 || signer(keys, soa, sigs, name, now) == nil {
		return 0, errors.New("its SOA is not signed by its keys, or the signature does not hold now")
	}
	return k.KeyTag(), nil
}

// names says whether d is the DS of k.
func names(d *dns.DS, k *dns.DNSKEY) bool {
	if d.Algorithm != k.Algorithm || d.KeyTag != k.KeyTag() {
		return false
	}
	of := k.ToDS(d.DigestType)
	return of != nil && strings.EqualFold(of.Digest, d.Digest)
}

// rrset gives the records of one type at name, and the signatures over them.
func rrset(m *dns.Msg, name impound.Name, typ uint16) (set []dns.RR, sigs []*dns.RRSIG) {
	for _, rr := range m.Answer {
		if h := rr.Header(); !sameName(h.Name, name.FQDN()) || h.Class != dns.ClassINET {
			continue
		}
		if s, ok := rr.(*dns.RRSIG); ok && s.TypeCovered == typ {
			sigs = append(sigs, s)
		} else if rr.Header().Rrtype == typ {
			set = append(set, rr)
		}
	}
	return set, sigs[:min(len(sigs), maxSignatures)]
}

// signer gives the first of keys by which set is signed now.
func signer(keys []*dns.DNSKEY, set []dns.RR, sigs []*dns.RRSIG, name impound.Name, now time.Time) *dns.DNSKEY {
	for _, k := range keys {
		for _, s := range sigs {
			if s.KeyTag == k.KeyTag() && s.Algorithm == k.Algorithm && sameName(s.SignerName, name.FQDN()) && s.ValidityPeriod(now) && s.Verify(k, set) == nil {
				return k
			}
		}
	}
	return nil
}
