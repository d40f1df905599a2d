package seizure_test

import (
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/evidence"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/seizure"
	"github.com/impound/impound/internal/store/sqlite"
)

// world is a small world in memory for the rules: people, an order, and one
// provider that does what it is told, or fails as it is told. The real protocol
// is in registry_test.go.
type world struct {
	t     *testing.T
	names []impound.Name
	keys  keyring
	priv  map[string]ed25519.PrivateKey
	prov  *provider
	log   *evidence.Log
	st    *sqlite.Store
	dir   string

	mu      sync.Mutex
	clock   time.Time
	mandate *impound.Mandate
	block   map[impound.Name]string
	events  []seizure.Event
}

type keyring map[string]impound.Person

func (k keyring) Person(id string) (impound.Person, bool) { p, ok := k[id]; return p, ok }

func key(id string) ed25519.PrivateKey {
	h := sha256.Sum256([]byte("test key of " + id))
	return ed25519.NewKeyFromSeed(h[:])
}

func people() (keyring, map[string]ed25519.PrivateKey) {
	keys, priv := keyring{}, map[string]ed25519.PrivateKey{}
	for id, role := range map[string]impound.Role{"anna": impound.RoleApprover, "bert": impound.RoleApprover, "carl": impound.RoleApprover, "dora": impound.RoleAnalyst} {
		priv[id] = key(id)
		keys[id] = impound.Person{ID: id, Roles: []impound.Role{role}, Key: impound.NewPublicKey(priv[id].Public().(ed25519.PublicKey))}
	}
	// Two names with one key are one person.
	priv["anna2"] = priv["anna"]
	keys["anna2"] = impound.Person{ID: "anna2", Roles: []impound.Role{impound.RoleApprover}, Key: keys["anna"].Key}
	return keys, priv
}

func testOrder(names []impound.Name, from time.Time) *impound.Order {
	o := &impound.Order{
		Format: impound.OrderFormat, ID: "TEST-1", Case: "case-1", Kind: impound.KindWarrant,
		Authority: impound.Authority{Court: "Practice Court", Docket: "1:26-mj-1", CallBack: "clerk"},
		Issued:    from, From: from, Until: from.AddDate(1, 0, 0), AtEnd: "restore",
		Parties:   impound.Parties{Requesting: "Practice", Technical: "desk@practice.example"},
		Recipient: impound.Recipient{Name: "Practice Registry", Role: "registry"},
		Acts: impound.Acts{Nameservers: ns("ns1.sinkhole.example", "ns2.sinkhole.example"), RemoveDS: true, Sinkhole: true,
			Lock: []string{"clientTransferProhibited", "serverDeleteProhibited", "serverTransferProhibited", "serverUpdateProhibited"}},
		Sinkhole:   impound.SinkTerms{Capture: impound.CaptureContact, RetentionDays: 90},
		Appendices: []impound.Appendix{{ID: "A", Count: len(names)}},
	}
	for _, x := range names {
		o.Appendices[0].Names = append(o.Appendices[0].Names, impound.OrderName{Name: x})
	}
	return o
}

var t0 = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

func newWorld(t *testing.T) *world {
	t.Helper()
	w := &world{t: t, clock: t0.Add(time.Hour), names: ns("outlook-verify.net", "yahoo-verify.net", "verification-live.com", "myaccount-services.net"), block: map[impound.Name]string{}, dir: t.TempDir()}
	w.keys, w.priv = people()
	w.prov = &provider{w: w, id: "reg", mu: new(sync.Mutex), names: map[impound.Name]*seizure.RegistryView{}, hosts: map[impound.Name]bool{}, contacts: map[string]seizure.Contact{}, pend: map[impound.Name]func(){}}
	for i, x := range w.names {
		w.prov.names[x] = &seizure.RegistryView{Name: x, Exists: true, ID: fmt.Sprintf("D%d", i), NS: ns("ns1.actor.test", "ns2.actor.test"), Status: []string{"ok"}, DS: []string{"1 13 2 AA"}, Sponsor: "cheap", Expires: t0.AddDate(2, 0, 0)}
	}
	w.open()
	return w
}

func (w *world) open() {
	w.t.Helper()
	var err error
	if w.st, err = sqlite.Open(w.t.Context(), filepath.Join(w.dir, "impound.db"), sqlite.Options{}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.st.Close() })
	if w.log, err = evidence.Open(filepath.Join(w.dir, "evidence"), evidence.Options{Origin: "test"}); err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { w.log.Close() })
}

func (w *world) now() time.Time { w.mu.Lock(); defer w.mu.Unlock(); return w.clock }

func (w *world) order() *impound.Order { return testOrder(w.names, t0) }

func (w *world) authorize(o *impound.Order) *impound.Mandate {
	w.t.Helper()
	o.Signatures = nil
	for _, id := range []string{"anna", "bert"} {
		o.Signatures = append(o.Signatures, impound.Sign(w.priv[id], impound.SignOrder, o.Hash(), id, t0))
	}
	m, err := o.Authorize(w.keys, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	w.mandate = m
	return m
}

func (w *world) engine(change ...func(*seizure.Config)) *seizure.Engine {
	w.t.Helper()
	cfg := seizure.Config{
		Store: w.st, Evidence: w.log, Keys: w.keys, Observe: w.prov, By: "op",
		Mandate: func(context.Context, string) (*impound.Mandate, error) {
			if w.mandate == nil {
				return nil, impound.Errorf(impound.KindNotFound, "no order")
			}
			return w.mandate, nil
		},
		Connectors: map[string]seizure.Connector{"reg": w.prov},
		Gates: func(_ context.Context, _ *impound.Mandate, n impound.Name) ([]impound.GateVerdict, error) {
			w.mu.Lock()
			defer w.mu.Unlock()
			if why := w.block[n]; why != "" {
				return []impound.GateVerdict{{Gate: "G1", Outcome: impound.Outcome(why), Reason: "told to"}}, nil
			}
			return []impound.GateVerdict{{Gate: "G1", Outcome: impound.GatePass}}, nil
		},
		Now: w.now, Sleep: func(ctx context.Context, _ time.Duration) error { return ctx.Err() },
		Pending:  3 * time.Second,
		Progress: func(e seizure.Event) { w.events = append(w.events, e) },
	}
	for _, f := range change {
		f(&cfg)
	}
	e, err := seizure.New(cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	return e
}

func (w *world) sign(p *seizure.Plan, who string) impound.Signature {
	h, err := p.Hash()
	if err != nil {
		w.t.Fatal(err)
	}
	return impound.Sign(w.priv[who], impound.SignPlan, h, who, w.now())
}

// planned makes a plan approved by who.
func (w *world) planned(e *seizure.Engine, who ...string) *seizure.Plan {
	w.t.Helper()
	p, err := e.Plan(w.t.Context(), w.mandate)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, id := range who {
		if _, err := e.Approve(w.t.Context(), p.ID, w.sign(p, id)); err != nil {
			w.t.Fatalf("%s approves: %v", id, err)
		}
	}
	return p
}

// provider is a registry in memory.
type provider struct {
	w      *world
	id     string
	mu     *sync.Mutex // of its own, or shared with whom it shares hosts
	names  map[impound.Name]*seizure.RegistryView
	hosts  map[impound.Name]bool
	done   []seizure.Change // every act that took effect
	asked  int              // every act that was asked for, permits or not
	msgs   []seizure.Message
	pend   map[impound.Name]func()
	before func(c seizure.Change) error  // fails before anything is done
	after  func(c seizure.Change) error  // fails after it was done
	later  func(c seizure.Change) string // "done", "denied", "never": puts it off
	tick   int
	shy    bool      // doesn't show pendingUpdate
	looked func()    // after a name was looked at, before the answer is there
	actAt  time.Time // when the act that before is asked about is done

	contacts map[string]seizure.Contact
	keys     map[impound.Name]bool // whose former servers still sign
}

// Chain says whether a name's former servers still sign.
func (p *provider) Chain(_ context.Context, n impound.Name, _, ds []string) observe.ChainView {
	p.mu.Lock()
	defer p.mu.Unlock()
	return observe.ChainView{Kind: observe.KindChain, Name: n, At: p.w.now(), DS: ds, OK: p.keys[n], Why: "told so"}
}

func (p *provider) Provider() string { return p.id }
func (p *provider) Close() error     { return nil }
func (p *provider) Capabilities() seizure.Capabilities {
	return seizure.Capabilities{Kind: "test", Role: "registry", Acts: []impound.Act{impound.ActNameservers, impound.ActHold, impound.ActRemoveDS, impound.ActRegistrant, impound.ActRenew, impound.ActLock, impound.ActDelete}}
}

func (p *provider) Contact(_ context.Context, id string) (seizure.Contact, bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c, ok := p.contacts[id]
	return c, ok, nil
}

func (p *provider) Info(_ context.Context, n impound.Name) (seizure.RegistryView, error) {
	if p.looked != nil {
		defer p.looked()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	v, ok := p.names[n]
	if !ok {
		return seizure.RegistryView{Name: n}, nil
	}
	c := *v
	c.NS, c.Status, c.DS = slices.Clone(v.NS), slices.Clone(v.Status), slices.Clone(v.DS)
	c.Frames = []seizure.Frame{{Dir: "received", At: p.w.now(), Body: fmt.Appendf(nil, "<info>%v</info>", c)}}
	return c, nil
}

func (p *provider) Host(_ context.Context, h impound.Name) (bool, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.hosts[h], nil
}

func (p *provider) Do(_ context.Context, permits []impound.Permit, c seizure.Change) (seizure.Answer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked++
	p.actAt = p.w.now()
	if err := c.Permitted(permits, p.actAt); err != nil {
		return seizure.Answer{}, err
	}
	a := seizure.Answer{Code: 1000, Text: "ok", Frames: []seizure.Frame{{Dir: "sent", At: p.w.now(), Body: []byte("<update/>" + c.ClTRID)}}}
	if p.before != nil {
		if err := p.before(c); err != nil {
			return a, err
		}
	}
	act := func() {
		p.done = append(p.done, c)
		if !c.CreateHost.IsZero() {
			p.hosts[c.CreateHost] = true
			return
		}
		if x := c.CreateContact; x != nil {
			p.contacts[x.ID()] = *x
			return
		}
		v := p.names[c.Name]
		if c.Delete {
			v.NS, v.Status = nil, append(v.Status, "pendingDelete")
			p.touch(v)
			return
		}
		if c.Renew != nil {
			v.Expires = v.Expires.AddDate(c.Renew.Years, 0, 0)
		}
		if c.Registrant != "" {
			v.Registrant = c.Registrant
		}
		p.touch(v)
		v.NS = append(slices.DeleteFunc(v.NS, func(x impound.Name) bool { return slices.Contains(c.RemNS, x) }), c.AddNS...)
		v.Status = append(slices.DeleteFunc(v.Status, func(x string) bool { return slices.Contains(c.RemStatus, x) || x == "ok" }), c.AddStatus...)
		if c.RemAllDS {
			v.DS = nil
		}
		v.DS = append(v.DS, c.BackDS...)
	}
	if p.later != nil && c.CreateHost.IsZero() && c.CreateContact == nil && !c.Delete {
		if how := p.later(c); how != "" {
			v := p.names[c.Name]
			if !p.shy {
				v.Status = append(v.Status, "pendingUpdate")
			}
			p.pend[c.Name] = func() {
				if how == "never" {
					return
				}
				v.Status = slices.DeleteFunc(v.Status, func(s string) bool { return s == "pendingUpdate" })
				if how == "done" {
					act()
				}
				p.msgs = append(p.msgs, seizure.Message{ID: "m" + c.ClTRID, Pending: true, Name: c.Name, ClTRID: c.ClTRID, Done: how == "done"})
				delete(p.pend, c.Name)
			}
			a.Code, a.Pending = 1001, true
			return a, nil
		}
	}
	act()
	if p.after != nil {
		if err := p.after(c); err != nil {
			return a, err
		}
	}
	return a, nil
}

func (p *provider) Poll(_ context.Context, keep func(seizure.Message) error) error {
	p.mu.Lock()
	for _, f := range p.pend {
		f()
	}
	msgs := p.msgs
	p.msgs = nil
	p.mu.Unlock()
	for _, m := range msgs {
		if err := keep(m); err != nil {
			return err
		}
	}
	return nil
}

// touch notes that a name was changed, as upDate does.
func (p *provider) touch(v *seizure.RegistryView) {
	p.tick++
	v.Updated = t0.Add(time.Duration(p.tick) * time.Millisecond)
}

// updates counts the updates per name that took effect.
func (p *provider) updates() map[impound.Name]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	out := map[impound.Name]int{}
	for _, c := range p.done {
		if c.CreateHost.IsZero() && c.CreateContact == nil {
			out[c.Name]++
		}
	}
	return out
}

// The provider is its own parent zone, RDAP server and resolver.
func (p *provider) view(src string, n impound.Name) observe.View {
	p.mu.Lock()
	defer p.mu.Unlock()
	in := p.names[n] != nil && len(p.names[n].NS) > 0 && !slices.Contains(p.names[n].Status, "serverHold")
	v := observe.View{Source: src, Name: n, At: p.w.now(), Agree: true, Exists: in, RCode: "NOERROR"}
	s := observe.ServerView{Server: "s", Exists: in}
	if r := p.names[n]; r != nil {
		s.DS = r.DS
		for _, x := range r.NS {
			s.NS = append(s.NS, x.String())
		}
	}
	v.Servers, v.NS, v.DS = []observe.ServerView{s}, s.NS, s.DS
	return v
}

func (p *provider) Parent(_ context.Context, n impound.Name) observe.View { return p.view("parent", n) }
func (p *provider) Resolve(_ context.Context, n impound.Name) observe.View {
	return p.view("resolver", n)
}
func (p *provider) Servers(_ context.Context, parent observe.View) observe.View {
	return p.view("child", parent.Name)
}
func (p *provider) RDAP(_ context.Context, n impound.Name) observe.RDAPView {
	v := p.view("rdap", n)
	p.mu.Lock()
	defer p.mu.Unlock()
	r := observe.RDAPView{Name: n, At: v.At, NS: v.NS, Signed: len(v.DS) > 0, Exists: p.names[n] != nil}
	if r.Exists {
		r.Status = p.names[n].Status
	}
	return r
}

// once gives the error for the first act on each name.
func once(err error) func(seizure.Change) error {
	seen := map[string]bool{}
	return func(c seizure.Change) error {
		k := c.Name.String() + c.CreateHost.String()
		if seen[k] {
			return nil
		}
		seen[k] = true
		return err
	}
}

var (
	errLost = &impound.Error{Kind: impound.KindUnavailable, Msg: "lost", Err: fmt.Errorf("%w", seizure.ErrUnknownOutcome)}
	errBusy = &impound.Error{Kind: impound.KindUnavailable, Msg: "busy"}
)

func (w *world) wantUpdates(per int) {
	w.t.Helper()
	got := w.prov.updates()
	for _, x := range w.names {
		if got[x] != per {
			w.t.Errorf("%s: %d updates took effect, want %d", x, got[x], per)
		}
	}
}

func (w *world) wantDone(r seizure.Result, err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatalf("apply: %v\n%+v", err, r.Names)
	}
	for _, x := range r.Names {
		if x.Outcome != seizure.Done || x.Status == nil || !x.Status.Done {
			w.t.Errorf("%s: %s %s %+v", x.Name, x.Outcome, x.Msg, x.Status)
		}
	}
}

// entries counts the entries of a type about seizing.
func (w *world) entries(typ impound.EntryType, outcome string) int {
	w.t.Helper()
	k := 0
	err := w.log.Entries(w.t.Context(), 0, func(_ int64, e impound.Entry) error {
		if e.Type == typ && strings.HasPrefix(e.What, "seize.") && (outcome == "" || e.Detail["outcome"] == outcome) {
			k++
		}
		return nil
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return k
}

var errTest = errors.New("told to fail")
