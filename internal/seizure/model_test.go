package seizure_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/store"
)

// memory is an evidence log and a store in memory, for many small worlds. What
// is in it survives a crash of the engine, as on a disk.
type memory struct {
	mu      sync.Mutex
	entries map[string]impound.Entry
	order   []impound.Entry
	docs    map[string]store.Doc
	bodies  map[string][]byte
	version int64
	dieAt   int  // the process dies at the nth write from now
	dead    bool // whatever it still does has no effect
}

var errDied = errors.New("the process is dead")

func (m *memory) write() error {
	if m.dieAt > 0 {
		if m.dieAt--; m.dieAt == 0 {
			m.dead = true
		}
	}
	if m.dead {
		return errDied
	}
	return nil
}

func (m *memory) Append(_ context.Context, e impound.Entry) (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(); err != nil {
		return 0, err
	}
	return m.append(e)
}

func (m *memory) AppendAll(_ context.Context, es []impound.Entry) ([]int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(); err != nil {
		return nil, err
	}
	var out []int64
	for _, e := range es {
		i, err := m.append(e)
		if err != nil {
			return nil, err
		}
		out = append(out, i)
	}
	return out, nil
}

func (m *memory) append(e impound.Entry) (int64, error) {
	if e.ID == "" {
		e.ID = fmt.Sprint("auto ", len(m.order))
	}
	if old, ok := m.entries[e.ID]; ok {
		if old.What != e.What || old.Type != e.Type || old.Name != e.Name {
			return 0, impound.Errorf(impound.KindConflict, "the id %s speaks of another thing", e.ID)
		}
		return 0, nil
	}
	if e.Type == impound.EntryResult {
		if i, ok := m.entries[e.Intent]; !ok || i.Type != impound.EntryIntent {
			return 0, impound.Errorf(impound.KindInvalid, "a result without its intent")
		}
	}
	m.entries[e.ID], m.order = e, append(m.order, e)
	return int64(len(m.order)), nil
}

func (m *memory) Capture(_ context.Context, a impound.Artefact, b []byte) (impound.Artefact, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(); err != nil {
		return a, err
	}
	a.Hash, a.Size = impound.HashBytes(b), int64(len(b))
	if strings.HasPrefix(a.Kind, "letter") {
		m.bodies[a.Hash] = b
	}
	return a, nil
}

func (m *memory) Entry(id string) (impound.Entry, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	e, ok := m.entries[id]
	return e, ok, nil
}

func (m *memory) View(ctx context.Context, fn func(store.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fn((*memTx)(m))
}

func (m *memory) Update(ctx context.Context, fn func(store.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.write(); err != nil {
		return err
	}
	old := maps.Clone(m.docs)
	if err := fn((*memTx)(m)); err != nil {
		m.docs = old
		return err
	}
	m.version++
	return nil
}

func (m *memory) Version(context.Context) (int64, error) { return m.version, nil }
func (m *memory) Close() error                           { return nil }

type memTx memory

func (m *memTx) Get(kind, id string) (store.Doc, error) {
	if d, ok := m.docs[kind+"/"+id]; ok {
		return d, nil
	}
	return store.Doc{}, store.NotFound(kind, id)
}

func (m *memTx) Put(d store.Doc) (int64, error) {
	k := d.Kind + "/" + d.ID
	if m.docs[k].Rev != d.Rev {
		return 0, store.Conflict(d.Kind, d.ID, d.Rev, m.docs[k].Rev)
	}
	d.Rev++
	m.docs[k] = d
	return d.Rev, nil
}

func (m *memTx) Delete(kind, id string, rev int64) error { delete(m.docs, kind+"/"+id); return nil }

func (m *memTx) List(q store.Query) ([]store.Doc, error) {
	var out []store.Doc
	for _, k := range slices.Sorted(maps.Keys(m.docs)) {
		if d := m.docs[k]; d.Kind == q.Kind && (q.Field == "" || d.Index[q.Field] == q.Value) {
			out = append(out, d)
		}
	}
	return out, nil
}

func (m *memTx) Count(q store.Query) (int, error) { ds, err := m.List(q); return len(ds), err }

// TestModel walks random worlds: orders, gates, faults of the registry, other
// people's changes, crashes at any write, plans old and new, clocks. Whatever
// happens, nothing is done that is not ordered and approved by two at that
// moment, every act has its intent before it, a blocked name is not touched,
// and no step of a plan takes effect twice. In the end, with the world calm, one
// more plan brings every name home.
func TestModel(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(r *rapid.T) {
		w := &world{t: t, clock: t0.Add(time.Hour), names: ns("a.net", "b.net", "c.com"), block: map[impound.Name]string{}}
		w.keys, w.priv = people()
		w.prov = &provider{w: w, names: map[impound.Name]*seizure.RegistryView{}, hosts: map[impound.Name]bool{}, pend: map[impound.Name]func(){}}
		for i, x := range w.names {
			w.prov.names[x] = &seizure.RegistryView{Name: x, Exists: true, ID: fmt.Sprint("D", i), NS: ns("ns1.actor.test"), DS: rapid.SampledFrom([][]string{nil, {"1 13 2 AA"}}).Draw(r, "ds"), Status: rapid.SampledFrom([][]string{{"ok"}, {"clientUpdateProhibited"}, {"serverUpdateProhibited"}}).Draw(r, "status")}
		}
		w.prov.hosts[n("ns1.actor.test")], w.prov.hosts[n("ns1.thief.test")] = true, true
		o := w.order()
		if rapid.Bool().Draw(r, "hold instead") {
			o.Acts = impound.Acts{Hold: true, Lock: []string{"serverTransferProhibited"}}
		}
		w.authorize(o)
		mem := &memory{entries: map[string]impound.Entry{}, docs: map[string]store.Doc{}, bodies: map[string][]byte{}}

		fault := ""
		w.prov.before = func(c seizure.Change) error {
			if mem.dead {
				return errDied
			}
			// The moment of effect: everything must hold here.
			if !w.mandate.InForce(w.clock) {
				r.Fatalf("an act outside the order's dates")
			}
			in, ok := mem.entries[intentOf(mem, c)]
			if !ok {
				r.Fatalf("an act on %s without an intent", c.Name)
			}
			if in.Order != w.mandate.ID() || in.Detail["plan"] == "" {
				r.Fatalf("an intent without order or plan: %+v", in)
			}
			if w.block[c.Name] != "" {
				r.Fatalf("%s is blocked and was touched", c.Name)
			}
			if approvals(mem, in.Detail["plan"], w) < 2 {
				r.Fatalf("an act of a plan that two people did not approve")
			}
			for _, x := range c.AddNS {
				back := planOf(mem, in.Detail["plan"]).Revert && slices.Contains(ns("ns1.actor.test", "ns1.thief.test"), x)
				if !back && !slices.Contains(o.Acts.Nameservers, x) {
					r.Fatalf("%s is no ordered name server, and no former one", x)
				}
			}
			if len(c.RemStatus) > 0 && len(o.Acts.Lock) == 0 {
				r.Fatalf("a status is lifted, and the order allows no act on locks")
			}
			if v := w.prov.names[c.Name]; c.CreateHost.IsZero() {
				for _, x := range c.AddNS {
					if slices.Contains(v.NS, x) {
						r.Fatalf("%s: name server %s is added twice", c.Name, x)
					}
				}
				for _, x := range c.AddStatus {
					if slices.Contains(v.Status, x) {
						r.Fatalf("%s: status %s is added twice", c.Name, x)
					}
				}
			}
			if fault == "lost before" || fault == "busy" {
				return map[string]error{"lost before": errLost, "busy": errBusy}[fault]
			}
			return nil
		}
		w.prov.after = func(seizure.Change) error {
			if fault == "lost after" {
				return errLost
			}
			if fault == "dies after" {
				mem.mu.Lock()
				mem.dead = true
				mem.mu.Unlock()
				return errDied
			}
			return nil
		}
		w.prov.later = func(seizure.Change) string {
			switch fault {
			case "put off", "put off unseen":
				w.prov.shy = fault == "put off unseen"
				return "done"
			case "denied":
				return "denied"
			case "never":
				return "never"
			}
			return ""
		}
		var plans []string
		engine := func() *seizure.Engine {
			return w.engine(func(c *seizure.Config) { c.Store, c.Evidence, c.Progress = mem, mem, nil; c.Parallel = 1 })
		}
		// run runs f as a process of its own that may die.
		run := func(f func(e *seizure.Engine)) {
			f(engine())
			if mem.dead {
				// Its lease is left behind; the next process sees that nobody
				// holds it any more.
				maps.DeleteFunc(mem.docs, func(_ string, d store.Doc) bool { return d.Kind == "seize-lease" })
			}
			mem.dead, mem.dieAt = false, 0
		}
		plan := func(r *rapid.T) {
			run(func(e *seizure.Engine) {
				if p, err := e.Plan(t.Context(), w.mandate); err == nil {
					plans = append(plans, p.ID)
				}
			})
		}
		revert := func(*rapid.T) {
			run(func(e *seizure.Engine) {
				if p, err := e.Revert(t.Context(), w.mandate); err == nil {
					plans = append(plans, p.ID)
				}
			})
		}
		approve := func(id, who string) {
			run(func(e *seizure.Engine) {
				pi, err := e.Get(t.Context(), id)
				if err != nil {
					return
				}
				_, _ = e.Approve(t.Context(), id, w.sign(&pi.Plan, who))
			})
		}
		apply := func(id string) (res seizure.Result, err error) {
			run(func(e *seizure.Engine) { res, err = e.Apply(t.Context(), id) })
			return
		}
		r.Repeat(map[string]func(*rapid.T){
			"plan":   plan,
			"revert": revert,
			"approve": func(r *rapid.T) {
				if len(plans) > 0 {
					approve(rapid.SampledFrom(plans).Draw(r, "plan"), rapid.SampledFrom([]string{"anna", "anna2", "bert", "carl", "dora"}).Draw(r, "who"))
				}
			},
			"apply": func(r *rapid.T) {
				if len(plans) > 0 {
					_, _ = apply(rapid.SampledFrom(plans).Draw(r, "plan"))
				}
			},
			"plan, approve, apply and die": func(r *rapid.T) {
				if rapid.Bool().Draw(r, "revert") {
					revert(r)
				} else {
					plan(r)
				}
				if len(plans) == 0 {
					return
				}
				id := plans[len(plans)-1]
				approve(id, "anna")
				approve(id, "bert")
				mem.dieAt = rapid.IntRange(1, 60).Draw(r, "dies at")
				_, _ = apply(id) // dies
				_, _ = apply(id)
			},
			"fault": func(r *rapid.T) {
				fault = rapid.SampledFrom([]string{"", "lost before", "lost after", "busy", "dies after", "put off", "put off unseen", "denied"}).Draw(r, "fault")
			},
			"somebody else": func(r *rapid.T) {
				v := w.prov.names[rapid.SampledFrom(w.names).Draw(r, "name")]
				w.prov.touch(v)
				switch rapid.IntRange(0, 3).Draw(r, "what") {
				case 0:
					v.NS = ns("ns1.thief.test")
				case 1:
					v.Status = []string{"serverUpdateProhibited"}
				case 2:
					v.DS = []string{"2 13 2 BB"}
				case 3:
					v.ID += "x"
				}
			},
			"gate": func(r *rapid.T) {
				w.block[rapid.SampledFrom(w.names).Draw(r, "name")] = rapid.SampledFrom([]string{"", "block", "unknown"}).Draw(r, "verdict")
			},
			"clock": func(r *rapid.T) {
				w.clock = t0.Add(time.Duration(rapid.SampledFrom([]int{-1, 1, 20, 40, 24 * 365, 24*365 + 1}).Draw(r, "hours")) * time.Hour)
			},
			"": func(r *rapid.T) {
				done := map[string]int{}
				for _, c := range w.prov.done {
					if done[c.ClTRID]++; done[c.ClTRID] > 1 {
						r.Fatalf("%s took effect twice", c.ClTRID)
					}
				}
			},
		})
		// Calm weather: one more round brings every name home.
		fault, w.clock = "", t0.Add(100*time.Hour)
		clear(w.block)
		for _, v := range w.prov.names {
			v.Status = slices.DeleteFunc(v.Status, func(s string) bool { return s == "pendingUpdate" })
		}
		clear(w.prov.pend)
		plan(r)
		id := plans[len(plans)-1]
		approve(id, "anna")
		approve(id, "bert")
		res, err := apply(id)
		if err != nil || res.Count(seizure.Done, seizure.Already) != len(w.names) {
			r.Fatalf("the end: %v %+v", err, res)
		}
		// And the way back from there.
		if revert(r); plans[len(plans)-1] != id {
			id = plans[len(plans)-1]
			approve(id, "anna")
			approve(id, "bert")
			back, err := apply(id)
			for i, np := range planOf(mem, id).Names {
				v := w.prov.names[np.Name].State()
				if np.Blocked == "" && (err != nil || back.Names[i].Outcome != seizure.Done && back.Names[i].Outcome != seizure.Already || len(o.Acts.Nameservers) > 0 && !slices.Equal(v.NS, np.Restore.NS)) {
					r.Fatalf("the way back: %v %+v %+v", err, back.Names[i], v)
				}
			}
		}
		for _, x := range res.Names {
			if x.Status == nil || !x.Status.Done && len(o.Acts.Nameservers) > 0 {
				r.Fatalf("the end: %s: %+v", x.Name, x.Status)
			}
		}
	})
}

// intentOf finds the intent that c was recorded under.
func intentOf(m *memory, c seizure.Change) string {
	id := c.ClTRID[len("IMP-"):][:40]
	return "seize/act/" + id + "/intent"
}

// planOf gives a stored plan.
func planOf(m *memory, id string) seizure.Plan {
	var rec seizure.Record
	_ = json.Unmarshal(m.docs["seize-plan/"+id].Body, &rec)
	return rec.Plan
}

// approvals counts the people whose approval of the plan holds, from what the
// store has, proven here.
func approvals(m *memory, planID string, w *world) int {
	var rec seizure.Record
	if json.Unmarshal(m.docs["seize-plan/"+planID].Body, &rec) != nil {
		return 0
	}
	h, err := rec.Plan.Hash()
	if err != nil {
		return 0
	}
	who, err := impound.Signers(rec.Approvals, impound.SignPlan, h, w.keys, impound.RoleApprover)
	if err != nil {
		return 0
	}
	return len(who)
}

func (m *memory) Read(hash string) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if b, ok := m.bodies[hash]; ok {
		return b, nil
	}
	return nil, impound.Errorf(impound.KindNotFound, "no artefact %s", hash)
}
