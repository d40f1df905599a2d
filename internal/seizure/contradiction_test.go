package seizure_test

import (
	"context"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/store/sqlite"
	"github.com/impound/impound/internal/testregistry"
)

// Every contradiction that an order can hold is refused with its reason: where the
// document is read, and once more, whatever let it through, where it is planned.
func TestContradictionsInTheOrder(t *testing.T) {
	evil, sink := n("outlook-verify.net"), ns("ns1.sinkhole.example", "ns2.sinkhole.example")
	actor := seizure.State{Exists: true, NS: ns("ns1.actor.test", "ns2.actor.test"), DS: []string{"1 13 2 AA"}}
	for what, tt := range map[string]struct {
		change   func(o *impound.Order)
		document string // what reading says; "" where the document alone can't show it
		state    seizure.State
		role     string
		plan     string // what planning says; "" where planning never sees it
	}{
		"hold with redirect": {func(o *impound.Order) { o.Acts.Hold = true }, "hold together with nameservers", actor, "registry", "contradicts itself"},
		"hold with sinkhole": {func(o *impound.Order) { o.Acts.Hold, o.Acts.Nameservers = true, nil }, "hold together with sinkhole", actor, "registry", "contradicts itself"},
		"an update lock that stands, and no act on locks": {func(o *impound.Order) { o.Acts.Lock = nil }, "",
			seizure.State{Exists: true, NS: actor.NS, Status: []string{"clientUpdateProhibited"}}, "registry", "allows no act on locks"},
		"an update lock that only the registry lifts": {func(o *impound.Order) { o.Acts.Lock = []string{"clientUpdateProhibited"} }, "",
			seizure.State{Exists: true, NS: actor.NS, Status: []string{"serverUpdateProhibited"}}, "registrar", "only the registry can lift"},
		"DS left":                             {func(o *impound.Order) { o.Acts.RemoveDS = false }, "the DS stays", actor, "registry", "SERVFAIL"},
		"name servers inside the seized name": {func(o *impound.Order) { o.Acts.Nameservers = ns("ns1.outlook-verify.net", "ns2.outlook-verify.net") }, "which this order seizes", actor, "registry", "inside the name"},
		"a registry's status as registrar": {func(o *impound.Order) {
			o.Recipient.Role, o.Acts.Lock = "registrar", []string{"serverTransferProhibited"}
		}, "by a registry only", actor, "registrar", "by the registry only"},
		"redirect of a held name": {func(*impound.Order) {}, "", seizure.State{Exists: true, NS: actor.NS, Status: []string{"serverHold"}}, "registry", "on hold"},
		"never to come free, and nobody pays": {func(o *impound.Order) {
			o.Custody = &impound.Custody{NoRelease: true}
		}, "nobody renews them", actor, "registry", ""},
		"renewed and locked against it": {func(o *impound.Order) {
			o.Acts.Renew, o.Acts.Lock = true, []string{"serverRenewProhibited"}
		}, "locks it against renewal", actor, "registry", ""},
		"sinkhole without name servers": {func(o *impound.Order) { o.Acts.Nameservers = nil }, "nobody would ever reach it", actor, "registry", ""},
	} {
		o := testOrder([]impound.Name{evil}, t0)
		o.Acts.Nameservers = sink
		tt.change(o)
		said := ""
		if ps := o.Validate(); len(ps) > 0 {
			said = ps.Error()
		}
		if (said == "") != (tt.document == "") || !strings.Contains(said, tt.document) {
			t.Errorf("%s: reading says %q, want %q", what, said, tt.document)
		}
		if tt.plan == "" {
			continue
		}
		steps, blocked, _ := seizure.PlanName(evil, o.Acts, tt.role, tt.state, false)
		if len(steps) > 0 || !strings.Contains(blocked, tt.plan) {
			t.Errorf("%s: planning says %q, want %q; %d steps", what, blocked, tt.plan, len(steps))
		}
	}
	// An update lock that the order sets comes with or after what it would forbid,
	// never before.
	steps, blocked, _ := seizure.PlanName(evil, testOrder(nil, t0).Acts, "registry", seizure.State{Exists: true, NS: actor.NS, DS: actor.DS, Status: []string{"serverUpdateProhibited"}}, false)
	if blocked != "" || len(steps) != 2 || slices.Contains(steps[0].Change.AddStatus, "serverUpdateProhibited") || !steps[0].Change.RemAllDS || !slices.Equal(steps[1].Change.AddStatus, []string{"serverUpdateProhibited"}) {
		t.Errorf("%q %+v", blocked, steps)
	}
	// A DS can't be added: what a change has room for is one that comes back, and no
	// order's plan has that (TestNothingWithoutOrderAndApprovals: nor may one be slipped in).
	for _, st := range steps {
		if len(st.Change.BackDS) > 0 {
			t.Errorf("an order's plan puts a DS back: %+v", st)
		}
	}
	for i := range reflect.TypeFor[seizure.Change]().NumField() {
		if f := reflect.TypeFor[seizure.Change]().Field(i).Name; strings.Contains(f, "DS") && f != "RemAllDS" && f != "BackDS" {
			t.Errorf("a change has %s", f)
		}
	}
}

// Contradictions with what the registry holds: hosts that others live by, and a
// registration that the order's own lock lets run out.
func TestContradictionsWithTheRegistry(t *testing.T) {
	t.Parallel()
	home, innocent, soon := n("actor-home.net"), n("innocent.net"), n("soon-gone.net")
	r, s := practice(t, testregistry.Faults{}, nil)
	if err := r.Register(
		testregistry.Domain{Name: home, Registrar: "cheap", NS: ns("ns1.actor-home.net", "ns2.actor-home.net"), Expiry: time.Now().AddDate(3, 0, 0)},
		testregistry.Domain{Name: innocent, Registrar: "cheap", NS: ns("ns1.sinkhole.example", "ns3.actor-home.net"), Expiry: time.Now().AddDate(3, 0, 0)},
		testregistry.Domain{Name: soon, Registrar: "cheap", NS: ns("ns1.elsewhere.com"), Expiry: time.Now().AddDate(0, 1, 0)},
	); err != nil {
		t.Fatal(err)
	}
	s.Names = []impound.Name{home}
	keys, priv := people()
	pays, renews, arranged := "", false, ""
	plan := func(names []impound.Name, lock []string, vs ...impound.GateVerdict) *seizure.Plan {
		t.Helper()
		o := testOrder(names, s.From)
		o.Acts.Lock, o.Acts.Renew = lock, renews
		if pays != "" {
			o.Custody = &impound.Custody{RenewalBy: pays}
		}
		for _, id := range []string{"anna", "bert"} {
			o.Signatures = append(o.Signatures, impound.Sign(priv[id], impound.SignOrder, o.Hash(), id, s.From))
		}
		m, err := o.Authorize(keys, nil)
		if err != nil {
			t.Fatal(err)
		}
		conn, err := s.connector()
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		dir := t.TempDir()
		st, err := sqlite.Open(t.Context(), filepath.Join(dir, "x.db"), sqlite.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer st.Close()
		log, err := evidence.Open(filepath.Join(dir, "evidence"), evidence.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer log.Close()
		obs, err := observe.New(observe.Config{Parents: map[string][]string{"net": {s.DNS}}, RDAP: map[string]string{"net": s.RDAP}, Routes: s.Routes})
		if err != nil {
			t.Fatal(err)
		}
		e, err := seizure.New(seizure.Config{RenewalBy: arranged, Store: st, Evidence: log, Keys: keys, Observe: obs, Connectors: map[string]seizure.Connector{"practice": conn},
			Mandate: func(context.Context, string) (*impound.Mandate, error) { return m, nil },
			Gates: func(context.Context, *impound.Mandate, impound.Name) ([]impound.GateVerdict, error) {
				return append([]impound.GateVerdict{{Gate: "G1", Outcome: impound.GatePass}}, vs...), nil
			}})
		if err != nil {
			t.Fatal(err)
		}
		p, err := e.Plan(t.Context(), m)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	lock := []string{"serverTransferProhibited"}
	// What the registry doesn't tell is said, with what to do: who lives by the
	// hosts that the name itself uses, and whether anybody but the plan's names
	// lives by those that these use. Hosts that nobody uses are no matter.
	warns := func(p *seizure.Plan, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(strings.Join(p.Names[0].Warnings, "\n"), w) {
				t.Errorf("%q does not warn of %q", p.Names[0].Warnings, w)
			}
		}
	}
	warns(plan([]impound.Name{home, innocent}, lock), "doesn't tell which do beside itself: ns1[.]actor-home[.]net, ns2[.]actor-home[.]net; ask it",
		"doesn't tell whether others do too, which would break with it: ns3[.]actor-home[.]net")
	if p := plan([]impound.Name{home}, lock); !strings.Contains(p.Names[0].Blocked, "ns3[.]actor-home[.]net") || len(p.Names[0].Steps) > 0 || len(p.Hosts) > 0 {
		t.Errorf("a host that others use:\n%s", p)
	}
	if p := plan([]impound.Name{home, innocent}, lock); p.Names[0].Blocked != "" || len(p.Names[0].Steps) == 0 {
		t.Errorf("those others are under the order too:\n%s", p)
	}
	p := plan([]impound.Name{home}, lock, impound.GateVerdict{Gate: "G4-shared", Outcome: impound.GateWarn, Reason: "overridden by two approvers: others hang on it"})
	if p.Names[0].Blocked != "" || !strings.Contains(strings.Join(p.Names[0].Warnings, "\n"), "names outside this plan use") {
		t.Errorf("overridden:\n%s", p)
	}
	// A registration that ends before the order, and nobody is said to pay.
	said := func(what, blocked, warned string) {
		t.Helper()
		p := plan([]impound.Name{soon}, lock)
		if np := p.Names[0]; (np.Blocked == "") != (blocked == "") || !strings.Contains(np.Blocked, blocked) || (len(np.Steps) > 0) != (blocked == "") || !strings.Contains(strings.Join(np.Warnings, "\n"), warned) {
			t.Errorf("%s:\n%s", what, p)
		}
	}
	said("nobody pays", "nobody is named who pays the renewal: say it in the order (custody: renewal_by)", "")
	arranged = "the unit"
	said("the configuration says who", "", "is paid by the unit")
	pays = "the plaintiff"
	said("the order says who, and wins", "", "is paid by the plaintiff")
	pays, arranged, renews = "", "", true
	said("the order has it renewed", "", "it is renewed under the order")
	if p := plan([]impound.Name{soon}, lock); len(p.Names[0].Steps) != 2 || p.Names[0].Steps[0].Change.Renew == nil || !slices.Equal(p.Names[0].Steps[0].Acts, []impound.Act{impound.ActRenew}) {
		t.Errorf("renewed first, and by a step of its own:\n%s", p)
	}
	renews, pays = false, "the plaintiff"
	if p := plan([]impound.Name{soon}, []string{"serverRenewProhibited"}); !strings.Contains(p.Names[0].Blocked, "nobody could pay to keep it") {
		t.Errorf("a lock against the renewal that keeps it:\n%s", p)
	}
}
