package seizure

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/store"
)

// The hash that is read off a stored plan's text is that of the plan, and a text
// that could be read in two ways has the hash of what is read.
func TestReadPlan(t *testing.T) {
	t.Parallel()
	n, ns := impound.MustName("a.example"), impound.MustName("ns1.sinkhole.example")
	p := Plan{Format: "plan/v1", ID: "plan-1", Order: "O-1", Made: time.Date(2026, 11, 22, 1, 2, 3, 450_000_000, time.UTC), By: "olga", Hosts: []HostPlan{{Provider: "r", Step: Step{Lines: []string{"create <host> & \u2028"}}}}, Names: []NamePlan{
		{Name: n, Provider: "r", Role: "registry", Former: State{Exists: true, NS: []impound.Name{ns}, Status: []string{"ok"}, DS: []string{"1 2 3"}}, Steps: []Step{{Acts: []impound.Act{"lock"}, Change: Change{Name: n, AddNS: []impound.Name{ns}, RemAllDS: true, Renew: &Renewal{Ends: "2026-12-01", Years: 1}, ClTRID: "not stored"}, Lines: []string{"+ \"ns\" ü"}}},
			Verdicts: []impound.GateVerdict{{Gate: "G1", Outcome: "pass", Reason: "x", AsOf: time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC)}}, Warnings: []string{"w"}, Seen: []string{"sha256:00"}, Restore: &State{}},
		{Name: ns, Blocked: "no registry"},
	}}
	r := record{Plan: p, Approvals: []impound.Signature{{Person: "ben", Sig: "x"}}}
	body, err := json.Marshal(r)
	if err != nil {
		t.Fatal(err)
	}
	r.Plan.Names[0].Steps[0].Change.ClTRID = ""
	want, err := p.Hash()
	if err != nil {
		t.Fatal(err)
	}
	doc := string(body)
	names := cmp.Comparer(func(a, b impound.Name) bool { return a == b })
	for name, b := range map[string]string{"as written": doc, "with spaces": strings.Replace(doc, ":", ": ", 3), "an unknown field": `{"later":1,` + doc[1:], "in another order": `{"applied":"0001-01-01T00:00:00Z",` + doc[1:]} {
		got, err := readPlan(store.Doc{Kind: docPlan, ID: "plan-1", Body: []byte(b)})
		if err != nil {
			t.Fatal(name, err)
		}
		if diff := cmp.Diff(r, got.record, cmpopts.IgnoreUnexported(NamePlan{}), names); diff != "" || got.hash != want {
			t.Errorf("%s: hash %s, want %s\n%s", name, got.hash, want, diff)
		}
	}
	// Touched: what is read has another hash than what was signed, in whatever way the
	// text is bent.
	for name, b := range map[string]string{
		"a name":         strings.Replace(doc, "a.example", "b.example", 1),
		"twice":          strings.Replace(doc, `"names":[`, `"names":[{"name":"b.example","provider":"r","role":"registry","former":{"exists":true}}],"names":[`, 1),
		"in capitals":    strings.Replace(doc, `"order":"O-1"`, `"order":"O-1","Order":"O-2"`, 1),
		"a field inside": strings.Replace(doc, `"provider":"r","role"`, `"provider":"r","despite":"x","role"`, 1),
	} {
		got, err := readPlan(store.Doc{Kind: docPlan, ID: "plan-1", Body: []byte(b)})
		if err != nil {
			continue
		}
		if h, err := got.Plan.Hash(); err != nil || h != got.hash {
			t.Errorf("%s: the hash is %s, what was read has %s", name, got.hash, h)
		}
		if got.hash == want && !cmp.Equal(r, got.record, cmpopts.IgnoreUnexported(NamePlan{}), names) {
			t.Errorf("%s: another plan under the same hash", name)
		}
	}
}
