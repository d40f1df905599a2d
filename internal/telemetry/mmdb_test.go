package telemetry_test

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/mmdbtest"
	"github.com/impound/impound/internal/telemetry"
)

// mmdb makes a database of networks that knows one prefix.
func mmdb(p netip.Prefix, asn uint32, org string) []byte {
	return mmdbtest.File("Test-ASN", p, map[string]any{"autonomous_system_number": asn, "autonomous_system_organization": org})
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
