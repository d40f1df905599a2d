package telemetry

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"

	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/impound/impound"
)

// NetworkKind is what a network is used for. It is a sign for the classifier,
// never a verdict by itself.
type NetworkKind string

// The kinds. KindUnknown is a network of which nothing is known.
const (
	KindUnknown      NetworkKind = ""
	KindAccess       NetworkKind = "access"        // homes, offices, phones, campuses
	KindHosting      NetworkKind = "hosting"       // data centres and clouds
	KindMailSecurity NetworkKind = "mail-security" // systems that open links of mail
	KindResearch     NetworkKind = "research"      // declared measurement and security research
	KindScanner      NetworkKind = "scanner"       // known to scan the Internet
	KindTor          NetworkKind = "tor"           // exits of Tor, and open proxies: anybody
)

var networkKinds = []NetworkKind{KindUnknown, KindAccess, KindHosting, KindMailSecurity, KindResearch, KindScanner, KindTor}

// NetworkColumns is the header of the networks file. prefix and name are
// required; the columns may stand in any order.
var NetworkColumns = []string{"prefix", "asn", "name", "country", "abuse", "sector", "kind"}

type network struct {
	impound.Network
	kind NetworkKind
}

// Networks says who is responsible for an address, by the longest prefix that
// holds it. The zero value and nil know nothing. It is immutable once loaded and safe
// for concurrent use.
type Networks struct {
	byPrefix map[netip.Prefix]network
	bits4    []int // prefix lengths in use, longest first
	bits6    []int
	mmdb     *maxminddb.Reader
}

// Len is how many prefixes were loaded, those of an mmdb not counted.
func (n *Networks) Len() int {
	if n == nil {
		return 0
	}
	return len(n.byPrefix)
}

// Lookup gives the network of a and what it is used for; false when no prefix
// holds it. An address that only the mmdb knows has a number and a name, and
// KindUnknown.
func (n *Networks) Lookup(a netip.Addr) (impound.Network, NetworkKind, bool) {
	if n == nil || !a.IsValid() {
		return impound.Network{}, KindUnknown, false
	}
	a = a.Unmap().WithZone("")
	lens := n.bits4
	if a.Is6() {
		lens = n.bits6
	}
	for _, bits := range lens {
		p, err := a.Prefix(bits)
		if err != nil {
			continue
		}
		if w, ok := n.byPrefix[p]; ok {
			return w.Network, w.kind, true
		}
	}
	if n.mmdb != nil {
		var rec struct {
			ASN     uint32 `maxminddb:"autonomous_system_number"`
			Org     string `maxminddb:"autonomous_system_organization"`
			Country struct {
				ISO string `maxminddb:"iso_code"`
			} `maxminddb:"country"`
		}
		if r := n.mmdb.Lookup(a); r.Found() && r.Decode(&rec) == nil && (rec.ASN != 0 || rec.Org != "") {
			return impound.Network{Prefix: r.Prefix(), ASN: rec.ASN, Name: rec.Org, Country: rec.Country.ISO}, KindUnknown, true
		}
	}
	return impound.Network{}, KindUnknown, false
}

// LoadNetworks reads a networks file: CSV (RFC 4180) with a header of
// [NetworkColumns], lines beginning with # left out. What can be read is
// loaded; each line that can't is a problem at file:line, so that a caller may
// go on with the rest and say so. A file without a usable header gives no
// network and one problem.
func LoadNetworks(r io.Reader, file string) (*Networks, impound.Problems) {
	n := &Networks{byPrefix: map[netip.Prefix]network{}}
	var ps impound.Problems
	bad := func(line int, cure, format string, args ...any) {
		ps = append(ps, impound.Errorf(impound.KindInvalid, format, args...).At(fmt.Sprintf("%s:%d", file, line)).WithCure(cure))
	}
	c := csv.NewReader(r)
	c.Comment = '#'
	c.FieldsPerRecord = -1
	c.TrimLeadingSpace = true
	want := strings.Join(NetworkColumns, ",")
	head, err := c.Read()
	if err != nil {
		if errors.Is(err, io.EOF) {
			bad(1, "begin with: "+want, "the networks file is empty")
		} else {
			bad(1, "begin with: "+want, "couldn't read the header: %w", err)
		}
		return n, ps
	}
	col := map[string]int{}
	for i, h := range head {
		h = strings.ToLower(strings.TrimSpace(strings.TrimPrefix(h, "\ufeff")))
		if !slices.Contains(NetworkColumns, h) {
			bad(1, "the columns are: "+want, "%q is no column of a networks file", clip(h))
			continue
		}
		if _, dup := col[h]; dup {
			bad(1, "remove one of the two", "column %q stands twice", h)
		}
		col[h] = i
	}
	_, hasPrefix := col["prefix"]
	_, hasName := col["name"]
	if !hasPrefix || !hasName {
		bad(1, "begin with: "+want, "the header lacks prefix or name")
		return n, ps
	}
	lines := map[netip.Prefix]int{}
	for {
		rec, err := c.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		var pe *csv.ParseError
		if errors.As(err, &pe) {
			bad(pe.StartLine, "quote a field that holds a comma or a quote, and double the quotes in it", "is not CSV: %w", pe.Err)
			continue
		}
		if err != nil {
			bad(len(lines)+2, "check the disk", "couldn't read on: %w", err)
			break
		}
		line, _ := c.FieldPos(0)
		get := func(name string) string {
			if i, ok := col[name]; ok && i < len(rec) {
				return strings.TrimSpace(rec[i])
			}
			return ""
		}
		if len(rec) != len(head) {
			bad(line, "give each line as many fields as the header", "has %d fields, the header %d", len(rec), len(head))
			continue
		}
		p, err := netip.ParsePrefix(get("prefix"))
		if err != nil {
			if a, aerr := netip.ParseAddr(get("prefix")); aerr == nil {
				bad(line, fmt.Sprintf("write %s/%d", a, a.BitLen()), "%s is an address, not a prefix", a)
			} else {
				bad(line, "write a prefix such as 192.0.2.0/24 or 2001:db8::/32", "%q is no prefix", clip(get("prefix")))
			}
			continue
		}
		if p.Addr().Is4In6() {
			bad(line, "write it as an IPv4 prefix", "%s is an IPv4 prefix in IPv6 clothes", p)
			continue
		}
		if p != p.Masked() {
			bad(line, "write "+p.Masked().String(), "%s has bits set behind its length", p)
			continue
		}
		if first, dup := lines[p]; dup {
			bad(line, "remove one of the two", "%s is listed twice, first on line %d", p, first)
			continue
		}
		w := network{Network: impound.Network{Prefix: p, Name: get("name"), Country: strings.ToUpper(get("country")), Abuse: get("abuse"), Sector: get("sector")}, kind: NetworkKind(strings.ToLower(get("kind")))}
		if s := get("asn"); s != "" {
			v, err := strconv.ParseUint(strings.TrimPrefix(strings.ToUpper(s), "AS"), 10, 32)
			if err != nil {
				bad(line, "write it as 64500 or AS64500", "%q is no AS number", clip(s))
				continue
			}
			w.ASN = uint32(v)
		}
		switch {
		case w.Name == "":
			bad(line, "name who is responsible for it", "%s has no name", p)
			continue
		case w.Country != "" && !isCountry(w.Country):
			bad(line, "write two letters as in ISO 3166, such as DE", "%q is no country code", clip(w.Country))
			continue
		case !slices.Contains(networkKinds, w.kind):
			bad(line, "write access, hosting, mail-security, research, scanner or tor, or leave it empty", "%q is no kind of network", clip(string(w.kind)))
			continue
		}
		if w.Abuse != "" {
			// A header injected here would end up in a message: one bare
			// address and nothing else.
			if a, err := mail.ParseAddress(w.Abuse); err != nil || a.Address != w.Abuse || strings.ContainsAny(w.Abuse, " \t\r\n<>\"") {
				bad(line, "write one bare address such as abuse@example.net", "%q is no mailbox", clip(w.Abuse))
				continue
			}
		}
		lines[p] = line
		n.add(w)
	}
	return n, ps
}

func (n *Networks) add(w network) {
	n.byPrefix[w.Prefix] = w
	lens := &n.bits4
	if w.Prefix.Addr().Is6() {
		lens = &n.bits6
	}
	if !slices.Contains(*lens, w.Prefix.Bits()) {
		*lens = append(*lens, w.Prefix.Bits())
		slices.SortFunc(*lens, func(a, b int) int { return b - a })
	}
}

// LoadNetworksFile is [LoadNetworks] on a file of at most 256 MiB.
func LoadNetworksFile(path string) (*Networks, impound.Problems) {
	f, err := os.Open(path)
	if err != nil {
		return &Networks{}, impound.Problems{impound.Errorf(impound.KindInvalid, "couldn't read the networks: %w", err).At(path).WithCure("make it with the header: " + strings.Join(NetworkColumns, ","))}
	}
	defer f.Close()
	return LoadNetworks(io.LimitReader(f, 256<<20), path)
}

// WithMMDB gives a copy of n that asks the MaxMind-format file at path for
// addresses that no prefix of n holds (AS number and organisation, as in
// GeoLite2-ASN; country where the file has it). The file stays open as long as the process.
func (n *Networks) WithMMDB(path string) (*Networks, error) {
	r, err := maxminddb.Open(path)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't open the address database: %w", err).At(path).WithCure("give a MaxMind-format file such as GeoLite2-ASN.mmdb")
	}
	var c Networks
	if n != nil {
		c = *n
	}
	c.mmdb = r
	return &c, nil
}

func isCountry(s string) bool {
	return len(s) == 2 && s[0] >= 'A' && s[0] <= 'Z' && s[1] >= 'A' && s[1] <= 'Z'
}

func clip(s string) string {
	if len(s) > 60 {
		s = s[:57] + "..."
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
