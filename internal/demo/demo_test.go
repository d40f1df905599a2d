package demo

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/telemetry"
	"github.com/impound/impound/internal/testregistry"
)

// The test binary is also the tour, so that a test can kill it.
func TestMain(m *testing.M) {
	if state := os.Getenv("IMPOUND_TEST_TOUR"); state != "" {
		if err := Run(context.Background(), Options{State: state, Once: true, AnyPorts: true, Out: os.Stdout, Version: "test", Bin: "impound"}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// end is what a tour leaves behind, without what differs from run to run.
type end struct {
	Domains  map[string]string // registry: name servers, DS, statuses
	Updates  map[string]int    // registry: accepted updates by name
	Hosts    int               // registry: hosts created
	States   map[string]string // case
	Orders   []string
	Plans    int
	Contacts map[impound.Class]int
	Victims  map[string]int
	Reports  int
	Intents  map[string]int // evidence: acts begun, by what
	Open     int            // evidence: acts without a result
}

func endOf(t *testing.T, state string) end {
	t.Helper()
	ctx := context.Background()
	e := end{Domains: map[string]string{}, Updates: map[string]int{}, States: map[string]string{}, Contacts: map[impound.Class]int{}, Victims: map[string]int{}, Intents: map[string]int{}}
	reg, err := testregistry.Start(ctx, testregistry.Config{Dir: filepath.Join(state, "practice", "registry"), TLDs: []string{"com", "net"}, Clients: map[string]testregistry.Client{"IMPOUND": {Password: "0123456789"}, "CHEAP-NAMES": {Password: "0123456789"}}})
	if err != nil {
		t.Fatal(err)
	}
	defer reg.Close()
	for _, n := range reg.Domains() {
		d, _ := reg.Domain(n)
		var ns []string
		for _, x := range d.NS {
			ns = append(ns, x.String())
		}
		slices.Sort(ns)
		e.Domains[n.String()] = fmt.Sprint(ns, len(d.DS), d.AllStatuses())
	}
	for _, op := range reg.History() {
		switch {
		case op.Client != "IMPOUND":
		case strings.Contains(op.Command, "host"):
			e.Hosts++
		default:
			e.Updates[op.Name]++
		}
	}
	cfg, err := app.LoadConfig(state, "")
	if err != nil {
		t.Fatal(err)
	}
	s, err := app.Open(ctx, app.Options{State: state, Config: cfg})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	k, err := s.Casework.Case(ctx, caseID)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range k.Domains {
		e.States[d.Name.String()] = string(d.State)
	}
	rows, err := s.Casework.Orders(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		e.Orders = append(e.Orders, r.ID)
	}
	plans, err := s.Seizure.Plans(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	e.Plans = len(plans)
	cs, err := s.Telemetry.Contacts(ctx, telemetry.Filter{Case: caseID, Limit: 10000})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range cs {
		if c.Src.Addr().String() != "127.0.0.1" { // that is our own looking
			e.Contacts[c.Class]++
		}
	}
	nets, err := s.Telemetry.Victims(ctx, telemetry.Filter{Case: caseID})
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range nets {
		e.Victims[n.Network.Name] = n.Victims
	}
	reps, err := s.Notify.List(ctx, caseID)
	if err != nil {
		t.Fatal(err)
	}
	e.Reports = len(reps)
	es, err := s.Evidence.Select(ctx, evidence.Filter{Type: impound.EntryIntent})
	if err != nil {
		t.Fatal(err)
	}
	for _, x := range es {
		if strings.HasPrefix(x.Entry.What, "seize.") {
			e.Intents[x.Entry.What+" "+x.Entry.Name.String()]++
		}
	}
	rep, err := evidence.Verify(filepath.Join(state, "evidence"))
	if err != nil {
		t.Fatal(err)
	}
	if !rep.OK() {
		t.Errorf("the evidence does not verify: %v", rep.Problems)
	}
	for _, o := range rep.Open {
		if strings.HasPrefix(o.What, "seize.") {
			e.Open++
		}
	}
	return e
}

func TestTour(t *testing.T) {
	state := filepath.Join(t.TempDir(), "tour")
	var out bytes.Buffer
	if err := Run(t.Context(), Options{State: state, Once: true, AnyPorts: true, Out: &out, Version: "test", Bin: "impound"}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	got := endOf(t, state)
	for _, n := range pressNames {
		if want := "[ns1.sinkhole.example ns2.sinkhole-two.example] 0 [serverDeleteProhibited serverTransferProhibited serverUpdateProhibited]"; got.Domains[n] != want {
			t.Errorf("%s is %s at the registry, want %s", n, got.Domains[n], want)
		}
		if got.Updates[n] != 1 || got.States[n] != "sinkholed" {
			t.Errorf("%s: %d updates, state %s", n, got.Updates[n], got.States[n])
		}
		if strings.Count(out.String(), strings.ReplaceAll(n, ".", "[.]")) == 0 {
			t.Errorf("%s does not appear defanged", n)
		}
	}
	if got.Updates["mooo.com"] != 0 || !strings.Contains(got.Domains["mooo.com"], "free-dns") || got.States["mooo.com"] == "sinkholed" {
		t.Errorf("the planted name was touched: %s, %d updates, %s", got.Domains["mooo.com"], got.Updates["mooo.com"], got.States["mooo.com"])
	}
	want := map[string]int{"Example University": 3, "Example Telecom": 1, "Example Think Tank": 1}
	if d := cmp.Diff(want, got.Victims); d != "" {
		t.Errorf("victims (-want +got):\n%s", d)
	}
	for class, n := range map[impound.Class]int{impound.ClassMailGate: 8, impound.ClassScanner: 16, impound.ClassResearcher: 4, impound.ClassResolver: 12, impound.ClassVictim: 11} {
		if got.Contacts[class] != n {
			t.Errorf("%d contacts of class %s, want %d", got.Contacts[class], class, n)
		}
	}
	if got.Reports != 3 || got.Open != 0 {
		t.Errorf("%d reports, %d acts without a result", got.Reports, got.Open)
	}
	for _, line := range []string{"BLOCKED mooo[.]com by G1-shared-suffix", "dig @127.0.0.1 -p", "curl -i -H 'Host:", "$ impound --state " + state + " seize apply"} {
		if !strings.Contains(out.String(), line) {
			t.Errorf("the tour does not print %q", line)
		}
	}

	// A second run on the same folder changes nothing.
	out.Reset()
	if err := Run(t.Context(), Options{State: state, Once: true, AnyPorts: true, Out: &out, Version: "test", Bin: "impound"}); err != nil {
		t.Fatalf("second run: %v\n%s", err, out.String())
	}
	if d := cmp.Diff(got, endOf(t, state)); d != "" {
		t.Errorf("the second run changed something (-first +second):\n%s", d)
	}
}

func TestTourNamesFile(t *testing.T) {
	dir := t.TempDir()
	list := filepath.Join(dir, "names.txt")
	if err := os.WriteFile(list, []byte("# a list\noutlook-verify[.]net\nbad..name\nyahoo-verify.net\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	err := Run(t.Context(), Options{State: filepath.Join(dir, "tour"), NamesFile: list, Once: true, AnyPorts: true, Out: &out, Bin: "impound"})
	if impound.KindOf(err) != impound.KindPartial {
		t.Fatalf("%v, want partial\n%s", err, out.String())
	}
	if !strings.Contains(out.String(), "names.txt:3") {
		t.Errorf("the bad line is not named:\n%s", out.String())
	}
	if e := endOf(t, filepath.Join(dir, "tour")); e.States["outlook-verify.net"] != "sinkholed" || e.States["yahoo-verify.net"] != "sinkholed" || len(e.States) != 3 {
		t.Errorf("states %v", e.States)
	}
	err = Run(t.Context(), Options{State: filepath.Join(dir, "tour"), NamesFile: filepath.Join(dir, "none.txt"), Once: true, AnyPorts: true, Out: &out})
	if impound.KindOf(err) != impound.KindInvalid {
		t.Errorf("a missing list: %v", err)
	}
}

// SIGKILL during the tour at ten random moments, then to the end: the same end
// state as a tour that nobody disturbed, and no act done twice.
func TestTourSurvivesSIGKILL(t *testing.T) {
	run := func(state string, kill time.Duration) (time.Duration, bool) {
		t.Helper()
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "IMPOUND_TEST_TOUR="+state)
		var out bytes.Buffer
		cmd.Stdout, cmd.Stderr = &out, &out
		begun := time.Now()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		if kill > 0 {
			time.AfterFunc(kill, func() { _ = cmd.Process.Signal(syscall.SIGKILL) })
		}
		err := cmd.Wait()
		if err == nil {
			return time.Since(begun), true
		}
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !ws.Signaled() {
			t.Fatalf("the tour failed instead of being killed: %v\n%s", err, out.String())
		}
		return time.Since(begun), false
	}
	calm := filepath.Join(t.TempDir(), "calm")
	took, _ := run(calm, 0)
	want := endOf(t, calm)

	state := filepath.Join(t.TempDir(), "killed")
	kills := 0
	rng := rand.New(rand.NewPCG(uint64(time.Now().UnixNano()), 1))
	for round := 0; kills < 10 && round < 60; round++ {
		// Each run goes on where the last was killed, so what is left gets
		// shorter; moments are drawn over the time of a whole tour.
		at := time.Duration(rng.Int64N(int64(took))) + 5*time.Millisecond
		if _, done := run(state, at); done {
			if kills >= 10 {
				break
			}
			// It got through: begin a new one, and keep what was reached.
			if d := cmp.Diff(want, endOf(t, state)); d != "" {
				t.Fatalf("after %d kills (-calm +killed):\n%s", kills, d)
			}
			state = filepath.Join(t.TempDir(), fmt.Sprintf("killed-%d", round))
			continue
		}
		kills++
		t.Logf("killed after %v", at.Round(time.Millisecond))
	}
	if kills < 10 {
		t.Fatalf("only %d kills hit", kills)
	}
	if _, done := run(state, 0); !done {
		t.Fatal("the last run did not finish")
	}
	if d := cmp.Diff(want, endOf(t, state)); d != "" {
		t.Fatalf("after %d kills (-calm +killed):\n%s", kills, d)
	}
}
