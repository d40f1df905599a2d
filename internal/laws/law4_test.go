package laws

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/app"
	"github.com/impound/impound/internal/cli"
	"github.com/impound/impound/internal/demo"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/testregistry"
)

// Law 4: after a tour, whatever was done has its entry, acts an intent before
// and a result after; the folder alone proves it; and one flipped bit in any
// file is noticed.
func TestLaw4EveryActIsProvable(t *testing.T) {
	state := filepath.Join(t.TempDir(), "tour")
	var out bytes.Buffer
	if err := demo.Run(t.Context(), demo.Options{State: state, Once: true, AnyPorts: true, Out: &out, Version: "test", Bin: "impound"}); err != nil {
		t.Fatalf("%v\n%s", err, out.String())
	}
	reg, err := testregistry.Start(t.Context(), testregistry.Config{Dir: filepath.Join(state, "practice", "registry"), TLDs: []string{"com", "net"}, Clients: map[string]testregistry.Client{"IMPOUND": {Password: password}, "CHEAP-NAMES": {Password: password}}})
	must(t, err)
	history := reg.History()
	must(t, reg.Close())
	cfg, err := app.LoadConfig(state, "")
	must(t, err)
	s, err := app.Open(t.Context(), app.Options{State: state, Config: cfg})
	must(t, err)
	defer s.Close()

	byID, at, results := map[string]impound.Entry{}, map[string]int64{}, map[string][]string{}
	what, keptAt := map[string]int{}, map[string]int64{}
	must(t, s.Evidence.Entries(t.Context(), 0, func(i int64, e impound.Entry) error {
		byID[e.ID], at[e.ID] = e, i
		what[e.What]++
		if e.Artefact != nil {
			if _, again := keptAt[e.Artefact.Hash]; !again {
				keptAt[e.Artefact.Hash] = i
			}
		}
		if e.Type == impound.EntryResult {
			if in, ok := byID[e.Intent]; !ok || in.Type != impound.EntryIntent {
				t.Errorf("result %s comes before its intent %q", e.ID, e.Intent)
			}
			results[e.Intent] = append(results[e.Intent], e.ID)
		}
		return nil
	}))
	for id, e := range byID {
		if e.Type == impound.EntryIntent && len(results[id]) == 0 {
			t.Errorf("intent %s (%s) has no result", id, e.What)
		}
	}

	// Every act at the registry, the other way round: from the registry's own
	// journal to the log.
	acts := 0
	for _, op := range history {
		if op.Client != "IMPOUND" {
			continue
		}
		acts++
		step, ok := strings.CutPrefix(op.ClTRID, "IMP-")
		id := "seize/act/" + step + "/intent"
		in, found := byID[id]
		if !ok || !found {
			t.Errorf("%s of %s (%s) has no intent in the log", op.Command, op.Name, op.ClTRID)
			continue
		}
		if in.Type != impound.EntryIntent || in.By != "olaf" || in.Order == "" || in.Case == "" || in.Detail["cltrid"] != op.ClTRID || in.Detail["plan"] == "" {
			t.Errorf("the intent of %s says too little: %+v", op.ClTRID, in)
		}
		if op.Command == "domain:update" && in.Name.String() != op.Name {
			t.Errorf("the intent of %s is about %s, the act about %s", op.ClTRID, in.Name, op.Name)
		}
		if in.At.Truncate(time.Second).After(op.Time) {
			t.Errorf("the intent of %s is of %s, the act of %s", op.ClTRID, in.At, op.Time)
		}
		proven := false
		for _, rid := range results[id] {
			r := byID[rid]
			if r.At.Before(op.Time.Truncate(time.Second)) || at[rid] <= at[id] {
				t.Errorf("result %s lies before its act", rid)
			}
			// What went over the wire is kept: our command and the answer.
			var sent, got bool
			for _, h := range strings.Fields(r.Detail["frames"]) {
				b, err := s.Evidence.Read(h)
				must(t, err)
				sent = sent || bytes.Contains(b, []byte("<command")) && bytes.Contains(b, []byte(op.ClTRID))
				if keptAt[h] <= at[id] {
					t.Errorf("the frames of %s were kept before its intent: it was recorded after the act", op.ClTRID)
				}
				got = got || bytes.Contains(b, []byte("<response")) && bytes.Contains(b, []byte(op.SvTRID))
			}
			proven = proven || sent && got
		}
		if !proven {
			t.Errorf("no result of %s holds the frames of %s", op.ClTRID, op.SvTRID)
		}
	}
	if acts < 5 {
		t.Errorf("only %d acts at the registry", acts)
	}

	// What people decided, proven by their signatures.
	orders, err := s.Casework.Orders(t.Context())
	must(t, err)
	for _, o := range orders {
		e, ok := byID["order.file:"+o.ID]
		if !ok || e.By != "carla" || e.Detail["hash"] != o.Hash {
			t.Errorf("order %s: %+v", o.ID, e)
		}
		doc, err := s.Evidence.Read(e.Detail["document"])
		must(t, err)
		if filed := mustRead(t, filepath.Join(state, "practice", "order.yaml")); !bytes.Equal(doc, filed) {
			t.Errorf("the document of %s that is kept is not the one that was filed", o.ID)
		}
	}
	plans, err := s.Seizure.Plans(t.Context(), "")
	must(t, err)
	approvals := 0
	for _, p := range plans {
		if _, ok := byID["seize/"+p.Plan.ID+"/made"]; !ok {
			t.Errorf("plan %s is not in the log", p.Plan.ID)
		}
		for _, who := range p.Approvers {
			approvals++
			e := byID["seize/"+p.Plan.ID+"/approve/"+who]
			when, _ := time.Parse(time.RFC3339, e.Detail["signed_at"])
			sig := impound.Signature{Person: who, Key: impound.PublicKey(e.Detail["key"]), At: when, Sig: e.Detail["sig"]}
			if err := sig.Verify(impound.SignPlan, p.Hash); err != nil || e.Type != impound.EntryDecision {
				t.Errorf("the approval of %s by %s can't be proven from the log: %v", p.Plan.ID, who, err)
			}
		}
	}
	if len(orders) != 1 || approvals != 2 {
		t.Errorf("%d orders, %d approvals", len(orders), approvals)
	}
	people, err := s.Casework.People(t.Context())
	must(t, err)
	if len(people) != what["people.enrol"] || len(people) < 6 {
		t.Errorf("%d people, %d enrolments in the log", len(people), what["people.enrol"])
	}
	reports, err := s.Notify.List(t.Context(), "")
	must(t, err)
	for _, r := range reports {
		if e := byID["notify.prepare:"+r.ID]; e.By != "nora" {
			t.Errorf("report %s: %+v", r.ID, e)
		}
	}
	if len(reports) == 0 {
		t.Error("no report was prepared")
	}
	bundle := mustRead(t, filepath.Join(state, "policy", "bundle"))
	if _, ok := byID["policy:"+cfg.Sinkhole.Sensor+":"+impound.HashBytes(bundle)]; !ok {
		t.Error("the sensor's policy is not in the log")
	}
	for _, w := range []string{"serve.start", "serve.stop", "case.open", "case.names", "actor.save"} {
		if what[w] == 0 {
			t.Errorf("no entry of %s", w)
		}
	}
	must(t, s.Close())

	// From a copy of the folder alone, by the command line.
	w := &world{state: filepath.Join(t.TempDir(), "nothing")}
	folder := filepath.Join(t.TempDir(), "copy")
	copyDir(t, filepath.Join(state, "evidence"), folder)
	if code, _, errs := w.cli(t, "evidence", "verify", folder); code != cli.ExitOK {
		t.Fatalf("the copy does not verify: %s", errs)
	}
	files := 0
	must(t, filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		good := mustRead(t, path)
		if len(good) == 0 {
			return nil // the lock
		}
		files++
		rel, err := filepath.Rel(folder, path)
		must(t, err)
		must(t, os.Chmod(path, 0o600))
		// The first bit, the last, and one in between that differs by file.
		for _, at := range []int{0, len(good) - 1, files * 7919 % len(good)}[:min(3, 1+len(good)/2)] {
			bad := bytes.Clone(good)
			bad[at] ^= 1 << (files % 8)
			must(t, os.WriteFile(path, bad, 0o600))
			code, _, errs := w.cli(t, "evidence", "verify", folder)
			if code == cli.ExitOK {
				t.Errorf("bit %d of octet %d of %s flipped, and it verifies", files%8, at, rel)
			} else if !strings.Contains(errs, rel) {
				t.Errorf("octet %d of %s flipped; it says: %s", at, rel, errs)
			}
			if files > 25 {
				break // artefacts are all alike: one flip each
			}
		}
		return os.WriteFile(path, good, 0o600)
	}))
	if files < 30 {
		t.Errorf("only %d files in the evidence folder", files)
	}
	if code, _, errs := w.cli(t, "evidence", "verify", folder); code != cli.ExitOK {
		t.Errorf("made good again, it does not verify: %s", errs)
	}
}

// Law 2: blocked is the default, unknown is not pass, and a name is let through
// by two approvers with a reason, who are both in the log.
func TestLaw2DoNoHarm(t *testing.T) {
	const gate = "G1-shared-suffix"
	w := newWorld(t)
	s := w.open(t)
	w.file(t, s, terms{id: liveOrder, names: []impound.Name{live, planted}, from: time.Now().Add(-time.Minute), until: time.Now().Add(time.Hour)})
	must(t, s.Close())
	blocked := func(t *testing.T, n impound.Name) string {
		t.Helper()
		s := w.open(t)
		defer s.Close()
		p, err := s.Plan(t.Context(), "ada", liveOrder)
		must(t, err)
		for _, x := range p.Names {
			if x.Name == n {
				if x.Blocked != "" && len(x.Steps) > 0 {
					t.Errorf("%s is blocked (%s) and has steps", n, x.Blocked)
				}
				return x.Blocked
			}
		}
		t.Fatalf("the plan says nothing of %s", n)
		return ""
	}
	if why := blocked(t, planted); !strings.Contains(why, "withheld") && !strings.Contains(why, gate) {
		t.Errorf("%s: %q", planted, why)
	}
	if why := blocked(t, live); why != "" {
		t.Errorf("%s: %q", live, why)
	}
	t.Run("unknown is not pass", func(t *testing.T) {
		rdap := w.cfg.Registries[0].RDAP
		w.cfg.Registries[0].RDAP = "http://127.0.0.1:1/"
		defer func() { w.cfg.Registries[0].RDAP = rdap }()
		if why := blocked(t, live); !strings.Contains(why, "unknown") {
			t.Errorf("with RDAP down: %q", why)
		}
		parents := w.cfg.Registries[0].Parents
		w.cfg.Registries[0].RDAP, w.cfg.Registries[0].Parents = rdap, []string{"127.0.0.1:1"}
		defer func() { w.cfg.Registries[0].Parents = parents }()
		if why := blocked(t, live); !strings.Contains(why, "unknown") {
			t.Errorf("with the parent zone down: %q", why)
		}
	})
	over := func(args ...string) []string {
		return append([]string{"order", "override", planted.String(), "--gate", gate, "--as", "carla"}, args...)
	}
	w.refused(t, "signed by 0 of 2", over("--reason", "r")...)
	w.refused(t, "signed by 1 of 2", over("--reason", "r", "--approver", "ben")...)
	w.refused(t, "signed by 1 of 2", over("--reason", "r", "--approver", "ben", "--approver", "ben")...)
	w.refused(t, "reason", over("--approver", "ben", "--approver", "dora")...)
	w.refused(t, "no reason", over("--reason", "  ", "--approver", "ben", "--approver", "dora")...)
	w.refused(t, "no approver", over("--reason", "r", "--approver", "ben", "--approver", "olaf")...)
	w.refused(t, "can't be overridden", "order", "override", planted.String(), "--gate", "G12-authority", "--reason", "r", "--approver", "ben", "--approver", "dora", "--as", "carla")
	if why := blocked(t, planted); why == "" {
		t.Fatal("one of these let it through")
	}
	if code, _, errs := w.cli(t, over("--reason", "the whole zone is the actor's: exhibit 7", "--approver", "ben", "--approver", "dora")...); code != cli.ExitOK {
		t.Fatal(errs)
	}
	if why := blocked(t, planted); why != "" {
		t.Errorf("overridden by two, and still: %q", why)
	}
	s = w.open(t)
	es, err := s.Evidence.Select(t.Context(), evidence.Filter{What: "gate.override"})
	must(t, err)
	if len(es) != 1 || es[0].Entry.Detail["reason"] != "the whole zone is the actor's: exhibit 7" || !strings.Contains(es[0].Entry.Detail["override"], `"dora"`) || es[0].Entry.Name != planted {
		t.Errorf("the log says of the override: %+v", es)
	}
	if n := w.acts(); len(n) > 0 {
		t.Errorf("planning changed the registry: %+v", n)
	}
}
