package telemetry_test

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/telemetry"
)

// mmdb writes a MaxMind-format file (format 2.0, 24-bit records, IPv4) that
// knows one prefix.
func mmdb(p netip.Prefix, asn uint32, org string) []byte {
	str := func(s string) []byte {
		if len(s) < 29 {
			return append([]byte{2<<5 | byte(len(s))}, s...)
		}
		return append([]byte{2<<5 | 29, byte(len(s) - 29)}, s...)
	}
	num := func(kind byte, size int, v uint64) []byte {
		b := binary.BigEndian.AppendUint64(nil, v)[8-size:]
		if kind > 7 {
			return append([]byte{byte(size), kind - 7}, b...)
		}
		return append([]byte{kind<<5 | byte(size)}, b...)
	}
	object := func(n int, parts ...[]byte) []byte {
		return append([]byte{7<<5 | byte(n)}, bytes.Join(parts, nil)...)
	}
	var b bytes.Buffer
	nodes := p.Bits()
	addr := p.Addr().As4()
	for i := range nodes {
		next := uint32(i + 1)
		if i == nodes-1 {
			next = uint32(nodes + 16) // the first record of the data section
		}
		left, right := uint32(nodes), uint32(nodes) // nothing
		if addr[i/8]>>(7-i%8)&1 == 0 {
			left = next
		} else {
			right = next
		}
		for _, v := range []uint32{left, right} {
			b.Write([]byte{byte(v >> 16), byte(v >> 8), byte(v)})
		}
	}
	b.Write(make([]byte, 16))
	b.Write(object(2, str("autonomous_system_number"), num(6, 4, uint64(asn)), str("autonomous_system_organization"), str(org)))
	b.WriteString("\xab\xcd\xefMaxMind.com")
	b.Write(object(9, str("binary_format_major_version"), num(5, 2, 2), str("binary_format_minor_version"), num(5, 2, 0), str("build_epoch"), num(9, 8, 1_700_000_000),
		str("database_type"), str("Test-ASN"), str("description"), object(0), str("ip_version"), num(5, 2, 4), str("languages"), []byte{0, 4},
		str("node_count"), num(6, 4, uint64(nodes)), str("record_size"), num(5, 2, 24)))
	return b.Bytes()
}

func TestMMDB(t *testing.T) {
	path := filepath.Join(t.TempDir(), "asn.mmdb")
	if err := os.WriteFile(path, mmdb(netip.MustParsePrefix("203.0.113.0/24"), 64510, "Example Org"), 0o600); err != nil {
		t.Fatal(err)
	}
	n, ps := telemetry.LoadNetworks(strings.NewReader("prefix,name,kind\n203.0.113.128/25,Ours,hosting\n"), "n.csv")
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	both, err := n.WithMMDB(path)
	if err != nil {
		t.Fatal(err)
	}
	for addr, want := range map[string]string{"203.0.113.7": "Example Org", "203.0.113.200": "Ours", "198.51.100.1": ""} {
		got, _, ok := both.Lookup(netip.MustParseAddr(addr))
		if got.Name != want || ok != (want != "") {
			t.Errorf("%s: %+v %v", addr, got, ok)
		}
	}
	if got, _, _ := both.Lookup(netip.MustParseAddr("203.0.113.7")); got.ASN != 64510 || got.Prefix != netip.MustParsePrefix("203.0.113.0/24") {
		t.Errorf("%+v", got)
	}
	if _, _, ok := n.Lookup(netip.MustParseAddr("203.0.113.7")); ok {
		t.Error("the first one changed")
	}
	if err := os.WriteFile(path+"x", []byte("no database"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := n.WithMMDB(path + "x"); impound.KindOf(err) != impound.KindInvalid {
		t.Errorf("no database: %v", err)
	}
}
