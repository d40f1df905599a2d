package observe

import (
	"crypto"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
)

// What servers show for and against a DS: nothing but keys that it names and that
// sign now is for it.
func TestChain(t *testing.T) {
	t.Parallel()
	name := impound.MustName("signed.example")
	newKey := func() (*dns.DNSKEY, crypto.Signer) {
		k := &dns.DNSKEY{Hdr: dns.RR_Header{Name: name.FQDN(), Rrtype: dns.TypeDNSKEY, Class: 1, Ttl: 1}, Flags: 257, Protocol: 3, Algorithm: dns.ECDSAP256SHA256}
		p, err := k.Generate(256)
		if err != nil {
			t.Fatal(err)
		}
		return k, p.(crypto.Signer)
	}
	key, priv := newKey()
	other, otherPriv := newKey()
	text := func(k *dns.DNSKEY, typ uint8) string {
		return strings.Join(strings.Fields(k.ToDS(typ).String())[4:], " ")
	}
	now := time.Now()
	// zone answers with keys, signed by signer.
	type zone struct {
		keys  []*dns.DNSKEY
		by    *dns.DNSKEY
		priv  crypto.Signer
		until time.Time
		bare  bool // the SOA is not signed
		lame  bool
		rcode int
	}
	good := zone{keys: []*dns.DNSKEY{key}, by: key, priv: priv, until: now.Add(time.Hour)}
	with := func(f func(*zone)) zone { z := good; f(&z); return z }
	serve := func(z zone) string {
		pc, err := net.ListenPacket("udp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := &dns.Server{PacketConn: pc, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
			m := new(dns.Msg).SetReply(q)
			m.Authoritative, m.Rcode = !z.lame, z.rcode
			switch q.Question[0].Qtype {
			case dns.TypeDNSKEY:
				for _, k := range z.keys {
					m.Answer = append(m.Answer, dns.Copy(k))
				}
			case dns.TypeSOA:
				m.Answer = append(m.Answer, &dns.SOA{Hdr: dns.RR_Header{Name: name.FQDN(), Rrtype: dns.TypeSOA, Class: 1, Ttl: 1}, Ns: "a.", Mbox: "b."})
			}
			if len(m.Answer) > 0 && z.by != nil && !(z.bare && q.Question[0].Qtype == dns.TypeSOA) {
				sig := &dns.RRSIG{Hdr: dns.RR_Header{Name: name.FQDN(), Rrtype: dns.TypeRRSIG, Class: 1, Ttl: 1}, KeyTag: z.by.KeyTag(), SignerName: name.FQDN(), Algorithm: z.by.Algorithm,
					Inception: uint32(now.Add(-24 * time.Hour).Unix()), Expiration: uint32(z.until.Unix())}
				if err := sig.Sign(z.priv, m.Answer); err == nil {
					m.Answer = append(m.Answer, sig)
				}
			}
			_ = w.WriteMsg(m)
		})}
		go srv.ActivateAndServe()
		t.Cleanup(func() { _ = srv.Shutdown() })
		return pc.LocalAddr().String()
	}
	for what, tt := range map[string]struct {
		ds    []string
		zones []zone
		why   string // "": it holds
	}{
		"signed":                              {[]string{text(key, 2)}, []zone{good}, ""},
		"in small letters":                    {[]string{strings.ToLower(text(key, 2))}, []zone{good}, ""},
		"signed at both":                      {[]string{text(key, 2)}, []zone{good, good}, ""},
		"with a second DS":                    {[]string{text(other, 2), text(key, 2)}, []zone{good}, ""},
		"SHA-1 alone":                         {[]string{text(key, 1)}, []zone{good}, ""},
		"by the weaker digest only":           {[]string{text(key, 1), text(other, 2)}, []zone{good}, "none is one that the DS name"},
		"by the stronger of two":              {[]string{text(key, 4), text(other, 2)}, []zone{good}, ""},
		"another key":                         {[]string{text(other, 2)}, []zone{good}, "none is one that the DS name"},
		"one server has none":                 {[]string{text(key, 2)}, []zone{good, {}}, "it shows no key"},
		"the key is there and does not sign":  {[]string{text(key, 2)}, []zone{with(func(z *zone) { z.keys = append(z.keys, other); z.by, z.priv = other, otherPriv })}, "does not sign its set of keys"},
		"signed by another's hand":            {[]string{text(key, 2)}, []zone{with(func(z *zone) { z.priv = otherPriv })}, "does not sign its set of keys"},
		"the signature is over":               {[]string{text(key, 2)}, []zone{with(func(z *zone) { z.until = now.Add(-time.Hour) })}, "does not sign its set of keys"},
		"only the keys are signed":            {[]string{text(key, 2)}, []zone{with(func(z *zone) { z.bare = true })}, "SOA is not signed"},
		"lame":                                {[]string{text(key, 2)}, []zone{with(func(z *zone) { z.lame = true })}, "does not speak for"},
		"refused":                             {[]string{text(key, 2)}, []zone{with(func(z *zone) { z.rcode = dns.RcodeRefused })}, "REFUSED"},
		"key data":                            {[]string{"key data"}, []zone{good}, "no DS that can be read"},
		"one that can't be read beside":       {[]string{text(key, 2), "key data"}, []zone{good}, "no DS that can be read"},
		"a digest that nobody knows":          {[]string{"1 13 99 AB"}, []zone{good}, "no DS of a kind"},
		"nobody to ask":                       {[]string{text(key, 2)}, nil, "no server to ask"},
		"a DS that tries to be two records":   {[]string{text(key, 2) + "\nsigned.example. IN DS 1 13 2 AB"}, []zone{with(func(z *zone) { z.keys = []*dns.DNSKEY{other} })}, "DS"},
		"no DS":                               {nil, []zone{good}, "no DS of a kind"},
		"revoked, though the tag is as named": {[]string{text(func() *dns.DNSKEY { k := *key; k.Flags |= dns.REVOKE; return &k }(), 2)}, []zone{with(func(z *zone) { k := *key; k.Flags |= dns.REVOKE; z.keys, z.by = []*dns.DNSKEY{&k}, &k })}, "it shows no key"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			routes, hosts := map[string]string{}, []string{}
			for i, z := range tt.zones {
				h := []string{"192.0.2.1", "192.0.2.2"}[i]
				routes[h+":53"] = serve(z)
				hosts = append(hosts, h)
			}
			o, err := New(Config{Routes: routes})
			if err != nil {
				t.Fatal(err)
			}
			v := o.Chain(t.Context(), name, hosts, tt.ds)
			if v.OK != (tt.why == "") || !strings.Contains(v.Why, tt.why) {
				t.Errorf("%v %q, want %q", v.OK, v.Why, tt.why)
			}
		})
	}
}
