package mmdbtest_test

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/oschwald/maxminddb-golang/v2"

	"github.com/impound/impound/internal/mmdbtest"
)

// The library that reads such files reads ours.
func TestFile(t *testing.T) {
	long := strings.Repeat("long ", 20)
	want := map[string]any{"number": uint64(64510), "long": long, "country": map[string]any{"names": map[string]any{"en": "Netherlands, the"}}}
	for _, prefix := range []string{"203.0.113.0/24", "127.0.0.74/32", "128.0.0.0/1"} {
		p := netip.MustParsePrefix(prefix)
		db, err := maxminddb.OpenBytes(mmdbtest.File("Test", p, map[string]any{"number": uint32(64510), "long": long, "country": want["country"]}))
		if err != nil {
			t.Fatal(err)
		}
		if err := db.Verify(); err != nil {
			t.Errorf("%s: %v", prefix, err)
		}
		var got map[string]any
		if err := db.Lookup(p.Addr()).Decode(&got); err != nil {
			t.Fatal(err)
		}
		if d := cmp.Diff(want, got); d != "" {
			t.Errorf("%s: %s", prefix, d)
		}
		if db.Lookup(netip.MustParseAddr("1.2.3.4")).Found() {
			t.Errorf("%s: what was not put in is found", prefix)
		}
	}
}
