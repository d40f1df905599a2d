package orderdoc

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
)

func TestCompare(t *testing.T) {
	at := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	base := func() *impound.Order {
		return &impound.Order{ID: "O-1", From: at, Until: at.AddDate(1, 0, 0), Acts: impound.Acts{RemoveDS: true, Sinkhole: true, Nameservers: []impound.Name{impound.MustName("ns1.sink.example")}},
			Appendices: []impound.Appendix{{ID: "A", Count: 3, Names: []impound.OrderName{{Name: impound.MustName("one.com"), Exhibit: "1"}, {Name: impound.MustName("two.com")}, {Name: impound.MustName("three.com")}}}}}
	}
	a := base()
	if d := Compare(a, base()); !d.Same || d.Text("a", "b") != "" {
		t.Errorf("the same order differs: %+v", d)
	}
	signed := base()
	signed.Signatures = []impound.Signature{{Person: "x"}}
	if !Compare(a, signed).Same {
		t.Error("a signature is no difference")
	}
	b := base()
	b.Until = at.AddDate(2, 0, 0)
	b.Acts.Nameservers = append(b.Acts.Nameservers, impound.MustName("ns2.sink.example"))
	b.Acts.Lock = []string{"serverTransferProhibited"}
	b.Appendices[0].Names[0].Exhibit = "2"
	b.Appendices[0].Names[1].Acts = &impound.Acts{Hold: true}
	b.Appendices[0].Names[2].Name = impound.MustName("four.com")
	d := Compare(a, b)
	want := `--- a.yaml  ` + a.Hash() + `
+++ b.yaml  ` + b.Hash() + `
@@ the order @@
+ acts.lock: serverTransferProhibited
- acts.nameservers: ns1[.]sink[.]example
+ acts.nameservers: ns1[.]sink[.]example, ns2[.]sink[.]example
- until: 2027-01-01T00:00:00Z
+ until: 2028-01-01T00:00:00Z
@@ names: 1 added, 1 removed, 2 changed @@
- three[.]com  (appendix A) nameservers, remove-ds, sinkhole
+ four[.]com  (appendix A) nameservers, remove-ds, lock, sinkhole
  one[.]com
-   exhibit: 1
+   exhibit: 2
  two[.]com
+   acts.hold: true
-   acts.nameservers: ns1[.]sink[.]example
-   acts.remove_ds: true
-   acts.sinkhole: true
`
	if diff := cmp.Diff(want, d.Text("a.yaml", "b.yaml")); diff != "" {
		t.Error(diff)
	}
	// Back again is the same with its sides changed.
	r := Compare(b, a)
	if len(r.Added) != len(d.Removed) || len(r.Removed) != len(d.Added) || r.Fields[0].A != d.Fields[0].B || r.Same {
		t.Errorf("%+v", r)
	}
	if strings.Contains(d.Text("a", "b"), "four.com") {
		t.Error("a name is not defanged")
	}
}
