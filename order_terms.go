package impound

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// DNSTerms is what the order says of DNS beyond the acts. Impound shows it to
// the recipient, who does it by hand, and refuses what its own sinkhole would
// not keep.
type DNSTerms struct {
	// Subdomains says whether names below go the same way: "all" (as "" does;
	// the sinkhole then answers whatever is asked below, a wildcard), or "none",
	// which no change of name servers can do.
	Subdomains string `json:"subdomains,omitempty" yaml:"subdomains,omitempty"`
	// MX is the policy for mail: "null" (as "" does) has it refused, RFC 7505.
	MX string `json:"mx,omitempty" yaml:"mx,omitempty"`
	// TTL is for how many seconds resolvers may keep the delegation; 0 leaves it
	// to the registry.
	TTL  int    `json:"ttl,omitempty" yaml:"ttl,omitempty"`
	Glue []Glue `json:"glue,omitempty" yaml:"glue,omitempty"`
	// DS are records that the registry puts in place of the old ones: "keytag
	// algorithm digesttype digest". The sinkhole signs nothing, so it takes none.
	DS []string `json:"ds,omitempty" yaml:"ds,omitempty"`
}

// Glue is the addresses of a name server, for the parent zone.
type Glue struct {
	Host  Name     `json:"host" yaml:"host"`
	Addrs []string `json:"addrs" yaml:"addrs"`
}

// SinkholeTTL is how many seconds the sinkhole's own answers live.
const SinkholeTTL = 60

// validateTerms checks what is shown and done by hand.
func (o *Order) validateTerms(seen map[Name]string, bad func(where, cure, format string, args ...any)) {
	all := []Acts{o.Acts}
	for _, on := range o.Names() {
		if on.Acts != nil {
			all = append(all, *on.Acts)
		}
	}
	moved, sunk, dropped := false, false, false
	servers := map[Name]bool{}
	for _, a := range all {
		moved, sunk, dropped = moved || len(a.Nameservers) > 0, sunk || a.Sinkhole, dropped || a.RemoveDS
		for _, n := range a.Nameservers {
			servers[n] = true
		}
	}
	if d := o.DNS; d != nil {
		switch d.Subdomains {
		case "", "all":
		case "none":
			if moved || sunk {
				bad("dns.subdomains", "write all, or order locks alone", "names below are to stay as they are, and a change of name servers takes them along")
			}
		default:
			bad("dns.subdomains", "write all or none", "%.40q says nothing of the names below", d.Subdomains)
		}
		if d.MX != "" && d.MX != "null" {
			bad("dns.mx", "write null: mail is refused, and nobody's letters are read", "%.40q is no policy for mail that the sinkhole keeps", d.MX)
		}
		if d.TTL < 0 || d.TTL > 7*86400 {
			bad("dns.ttl", "write seconds, such as 3600", "%d seconds is no time that a delegation may be kept", d.TTL)
		}
		for i, g := range d.Glue {
			at := fmt.Sprintf("dns.glue[%d]", i)
			if !servers[g.Host] {
				bad(at+".host", "give addresses of the ordered name servers alone", "%s is none of the order's name servers", g.Host.Defanged())
			}
			if len(g.Addrs) == 0 || slices.ContainsFunc(g.Addrs, func(s string) bool { a, err := netip.ParseAddr(s); return err != nil || a.Zone() != "" }) {
				bad(at+".addrs", "write addrs: [192.0.2.1]", "no addresses for %s", g.Host.Defanged())
			}
		}
		for i, s := range d.DS {
			if !isDS(s) {
				bad(fmt.Sprintf("dns.ds[%d]", i), "write it as in the parent zone: 12345 13 2 and the digest in hex", "%.80q is no DS record", s)
			}
		}
		if len(d.DS) > 0 && dropped {
			bad("dns.ds", "leave remove_ds out, or ds", "the order contradicts itself: DS records are removed and set")
		}
		if len(d.DS) > 0 && sunk {
			bad("dns.ds", "take ds out, and write remove_ds: true", "the sinkhole signs nothing: validating resolvers would answer SERVFAIL")
		}
	}
	blocked := map[Name]bool{}
	for i, n := range o.BlockCreate {
		at := fmt.Sprintf("block_create[%d]", i)
		reg, err := n.RegistryDomain()
		switch {
		case n.IsZero() || n.IsPublicSuffix() || err != nil || reg != n:
			bad(at, "list names that somebody could register", "%s is no name that a registry could keep from registration", n.Defanged())
		case blocked[n]:
			bad(at, "remove one of the two", "%s is listed twice", n.Defanged())
		case seen[n] != "":
			bad(at, "leave it in one of the two", "%s is to be seized and to be kept from registration", n.Defanged())
		}
		blocked[n] = true
	}
	for i, s := range o.Sequence {
		if strings.TrimSpace(s) == "" {
			bad(fmt.Sprintf("sequence[%d]", i), "say who does what", "an empty step")
		}
	}
}

func isDS(s string) bool {
	f := strings.Fields(s)
	if len(f) < 4 {
		return false
	}
	for i, max := range []uint64{1<<16 - 1, 255, 255} {
		if n, err := strconv.ParseUint(f[i], 10, 64); err != nil || n > max {
			return false
		}
	}
	b, err := hex.DecodeString(strings.Join(f[3:], ""))
	return err == nil && len(b) >= 20 && len(b) <= 64
}
