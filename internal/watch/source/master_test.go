package source

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"
	"github.com/klauspost/compress/gzip"

	"github.com/impound/impound"
)

const masterZone = `$ORIGIN example.
$TTL 86400
@ IN SOA a.nic.example. host.nic.example. (
      1700000000 ; serial
      1800 900 604800 86400 )
 IN NS a.nic.example.
rel  IN NS ns1.x.test.
     IN NS ns2.x.test.
whole.example.	172800	in	ns	ns1.x.test.
UPPER 1d IN NS ns1
ttl 1h30m NS ns1.x.test.
class IN 3600 NS ns1.x.test.
brackets IN NS ( ns1.x.test. ) ; a comment
signed IN DS 1 8 2 ( AABB
   CCDD )
ns1.glue A 192.0.2.1
$ORIGIN sub.example.
below NS ns1.x.test.
$ORIGIN example.
$GENERATE 1-2 made$ NS ns1.x.test.
last NS ns1.x.test.
`

func TestZoneText(t *testing.T) {
	names := func(r io.Reader) (out []string, bad int, err error) {
		bad, err = Zone(ZoneText(r, "Example."), "example", func(n []byte) error { out = append(out, string(n)); return nil })
		return out, bad, err
	}
	want := []string{"rel.example", "whole.example", "upper.example", "ttl.example", "class.example", "brackets.example", "below.sub.example", "made1.example", "made2.example", "last.example"}
	for what, r := range map[string]io.Reader{"whole": strings.NewReader(masterZone), "octet by octet": iotest.OneByteReader(strings.NewReader(masterZone))} {
		got, bad, err := names(r)
		if d := cmp.Diff(want, got); d != "" || bad != 0 || err != nil {
			t.Errorf("%s: %s, bad %d, %v", what, d, bad, err)
		}
	}
	// Relative names alone make it one; in CZDS layout nothing is touched.
	got, _, err := names(strings.NewReader("a NS ns1.x.test.\nb 60 IN NS ns1.x.test.\n"))
	if d := cmp.Diff([]string{"a.example", "b.example"}, got); d != "" || err != nil {
		t.Errorf("%s, %v", d, err)
	}
	for _, czds := range []string{
		"a.example.\t86400\tin\tns\tns1.x.\nbroken\nb.example.\t86400\tin\tns\tns1.x.\n",
		"a.example 86400 in ns ns1.x\n",
		"$ORIGIN example.\n; comment\n\na.example. 86400 in ns ns1.x.\n",
		strings.Repeat("\v", 2000) + "a NS b.\n",
	} {
		b, err := io.ReadAll(ZoneText(strings.NewReader(czds), "example"))
		if err != nil || string(b) != czds {
			t.Errorf("%q became %q, %v", czds, b, err)
		}
	}
	for zone, say := range map[string]string{
		"a NS ns1.x.test.\nb BOGUS x\n":        "line: 2",
		"$INCLUDE other.txt\n":                 "INCLUDE",
		"a NS ( ns1.x.test.\nb NS ns1.x.test.": "named-compilezone",
	} {
		if _, _, err := names(strings.NewReader(zone)); impound.KindOf(err) != impound.KindInvalid || !strings.Contains(err.Error(), say) {
			t.Errorf("%q: %v", zone, err)
		}
	}
	// Cut short is cut short, in whichever form.
	var z bytes.Buffer
	w := gzip.NewWriter(&z)
	_, _ = io.WriteString(w, masterZone)
	_ = w.Close()
	g, err := gzip.NewReader(bytes.NewReader(z.Bytes()[:z.Len()-40]))
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := names(g); !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("cut short: %v", err)
	}
}

func FuzzZoneText(f *testing.F) {
	f.Add([]byte(masterZone))
	f.Add([]byte("a NS b\n\x00\n(\n"))
	f.Add([]byte(strings.Repeat("\f", 1100) + "a"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if bytes.Contains(bytes.ToUpper(b), []byte("$GENERATE")) {
			return // may make 65,536 records of a line
		}
		_, _ = Zone(ZoneText(bytes.NewReader(b), "example"), "example", func(n []byte) error {
			if len(n) == 0 {
				t.Fatal("an empty name")
			}
			return nil
		})
	})
}
