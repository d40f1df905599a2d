// Package seizure carries an order out at the registries. The order is the
// desired state: plan compares it with what is observed, people approve the
// plan's hash, apply brings about what differs, verify looks whether it shows in
// the parent zone, in RDAP and through resolvers, and keeps looking.
//
// What lives here: the planner (pure), approvals, idempotent execution with an
// intent before each act and a result after it, verification, and the contract
// of connectors with its EPP adapter. What must not: an act outside a proven
// mandate or an approved plan, trust in the database (mandates, approvals and
// steps are proven again when applied), or a secret.
package seizure

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"maps"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/observe"
	"github.com/impound/impound/internal/store"
	"github.com/impound/impound/internal/turns"
)

// Tool is what the evidence log names as the capturing tool.
const Tool = "impound-seizure/1"

// Kinds of documents in the store. All of them can be lost or edited without
// anything being done that was not ordered and approved: the evidence log is
// what execution trusts.
const (
	docPlan    = "seize-plan"
	docSeizure = "seizure"
	docLease   = "seize-lease"
)

// Evidence is the part of the evidence log that seizure needs.
type Evidence interface {
	Append(ctx context.Context, e impound.Entry) (int64, error)
	AppendAll(ctx context.Context, es []impound.Entry) ([]int64, error) // all or none
	Capture(ctx context.Context, a impound.Artefact, body []byte) (impound.Artefact, error)
	Entry(id string) (impound.Entry, bool, error)
	Read(hash string) ([]byte, error)
}

// Observer looks at names; *observe.Observer is one.
type Observer interface {
	Parent(ctx context.Context, name impound.Name) observe.View
	RDAP(ctx context.Context, name impound.Name) observe.RDAPView
	Resolve(ctx context.Context, name impound.Name) observe.View
	// Servers asks the servers that parent names for what they say themselves.
	Servers(ctx context.Context, parent observe.View) observe.View
}

// Config wires an [Engine].
type Config struct {
	Store    store.Store
	Evidence Evidence
	Keys     impound.Keyring
	Observe  Observer

	// Mandate gives the proven order by its id. It must prove it again each
	// time, from documents and signatures.
	Mandate func(ctx context.Context, orderID string) (*impound.Mandate, error)
	// Connectors by provider id.
	Connectors map[string]Connector
	// Route gives the provider that holds a name; nil works when there is one
	// connector only.
	Route func(ctx context.Context, n impound.Name) (provider string, err error)
	// Unlisted are providers whose names no RDAP service publishes, such as a zone
	// of our own: what the provider holds stands in its place.
	Unlisted map[string]bool
	// Gates runs the gates on one name of the mandate, overrides applied: a
	// name whose verdicts are not all pass or warn is not touched, nor is one
	// with no verdict. nil blocks every name.
	Gates func(ctx context.Context, m *impound.Mandate, n impound.Name) ([]impound.GateVerdict, error)
	// Halted says why a name came out of the order's effect since its gates were
	// run, "" where it did not: somebody contested it, or withdrew the order. It is
	// asked twice for each act, the second time when the session stands and nothing
	// but the change itself is left to be sent, so it must be cheap. release says
	// that the name is being let go. nil: the gates alone say it.
	Halted func(ctx context.Context, m *impound.Mandate, n impound.Name, release bool) (why string, err error)
	// HostAddrs are the addresses of the sinkhole's name servers, for
	// registries that need them as glue.
	HostAddrs map[impound.Name][]netip.Addr
	// Registrants are the contacts that names are given to, by the words that
	// orders name them with; a change of registrant to others is left to people.
	Registrants map[string]Contact
	// Risks says what speaks against letting a name go in this way: a verdict
	// for each thing that was asked. As with gates, what is neither pass nor
	// warn keeps the name, unless the plan says in spite of what it is done;
	// nil keeps every name.
	Risks func(ctx context.Context, m *impound.Mandate, n impound.Name, how string) ([]impound.GateVerdict, error)
	// RenewalBy is who pays renewals where an order names nobody; "" is nobody, and
	// a name that would come free under its order is then not taken.
	RenewalBy string
	// Whom says whom to ask for what the connectors can't do; nil: nobody knows.
	Whom func(n impound.Name) string

	By       string        // the person acting, for the evidence log; "system" when empty
	MaxAge   time.Duration // how long a plan may be approved and applied; 0 is 24 h
	Tries    int           // how often one step is tried; 0 is 4
	Backoff  time.Duration // before the second try, doubled each time; 0 is 500 ms
	Pending  time.Duration // how long to wait for a change that the registry calls pending; 0 is 2 min
	Settle   time.Duration // how long apply waits for the views to show the order; 0 is one look
	Recheck  time.Duration // an apply proves the order, and runs a name's gates, again before an act where it was done longer ago; 0 is 5 s, less than 0 is before each act
	Parallel int           // providers and observations at the same time; 0 is 8

	Now      func() time.Time                                 // nil is time.Now
	Sleep    func(ctx context.Context, d time.Duration) error // nil sleeps; the error is ctx's
	Log      *slog.Logger
	Progress func(Event) // called from several goroutines, one at a time
}

// Event is one step of progress, for people who watch.
type Event struct {
	At       time.Time    `json:"at"`
	Plan     string       `json:"plan,omitempty"`
	Provider string       `json:"provider,omitempty"`
	Name     impound.Name `json:"name,omitzero"`
	Phase    string       `json:"phase"` // "observe" | "plan" | "look" | "act" | "retry" | "pending" | "done" | "stale" | "failed" | "verify"
	Text     string       `json:"text,omitempty"`
}

// Engine plans, applies and verifies. It is safe for concurrent use, and several
// may work on the same store and evidence log.
type Engine struct {
	cfg      Config
	progress chan struct{} // holds one token: whose turn it is to report
	plans    *planLists
	turns    *turns.Turns // of those who are about to fill what is kept
	shown    *shownStatus
	broken   *brokenAnswers
}

// shownStatus keeps what pages show of orders while the store's word is the same.
type shownStatus struct {
	sync.Mutex
	word  string
	names int
	m     map[string][]Seizure // by order
}

// New makes an Engine; a missing part is an error of KindInternal.
func New(cfg Config) (*Engine, error) {
	if cfg.Store == nil || cfg.Evidence == nil || cfg.Keys == nil || cfg.Mandate == nil || cfg.Observe == nil {
		return nil, impound.Errorf(impound.KindInternal, "seizure needs a store, an evidence log, a keyring, an observer and a source of mandates")
	}
	for id, c := range cfg.Connectors {
		if c.Provider() != id {
			return nil, impound.Errorf(impound.KindInternal, "the connector of provider %s stands under %s", c.Provider(), id)
		}
	}
	cfg.Connectors = maps.Clone(cfg.Connectors)
	cfg.By = cmp.Or(cfg.By, "system")
	cfg.MaxAge = cmp.Or(cfg.MaxAge, 24*time.Hour)
	cfg.Tries = cmp.Or(cfg.Tries, 4)
	cfg.Backoff = cmp.Or(cfg.Backoff, 500*time.Millisecond)
	cfg.Pending = cmp.Or(cfg.Pending, 2*time.Minute)
	cfg.Recheck = cmp.Or(cfg.Recheck, 5*time.Second)
	cfg.Parallel = cmp.Or(cfg.Parallel, 8)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.Sleep == nil {
		cfg.Sleep = sleep
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	e := &Engine{cfg: cfg, progress: make(chan struct{}, 1), plans: &planLists{}, turns: &turns.Turns{}, shown: &shownStatus{}, broken: &brokenAnswers{}}
	e.progress <- struct{}{}
	return e, nil
}

func sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// As gives an engine that acts in the name of person by.
func (e *Engine) As(by string) *Engine {
	c := *e
	c.cfg.By = cmp.Or(by, "system")
	return &c
}

func (e *Engine) now() time.Time { return e.cfg.Now().UTC() }

func (e *Engine) say(ev Event) {
	ev.At = e.now()
	if e.cfg.Log.Enabled(context.Background(), slog.LevelDebug) {
		e.cfg.Log.Debug("seizure", "plan", ev.Plan, "provider", ev.Provider, "name", ev.Name.Defanged(), "phase", ev.Phase, "text", ev.Text)
	}
	if e.cfg.Progress == nil {
		return
	}
	<-e.progress
	defer func() { e.progress <- struct{}{} }()
	e.cfg.Progress(ev)
}

// connector gives the connector for n.
func (e *Engine) connector(ctx context.Context, n impound.Name) (Connector, error) {
	var id string
	switch {
	case e.cfg.Route != nil:
		var err error
		if id, err = e.cfg.Route(ctx, n); err != nil {
			return nil, err
		}
	case len(e.cfg.Connectors) == 1:
		for k := range e.cfg.Connectors {
			id = k
		}
	}
	c, ok := e.cfg.Connectors[id]
	if !ok {
		return nil, impound.Errorf(impound.KindInvalid, "no connector reaches the registry of %s", n.Defanged()).WithCure("configure a provider for ." + n.TLD())
	}
	return c, nil
}

// gates runs the gates; why is "" when the name may be touched. Unknown is not
// pass, and no gates is no pass either (law 2).
func (e *Engine) gates(ctx context.Context, m *impound.Mandate, n impound.Name) (vs []impound.GateVerdict, why string) {
	if e.cfg.Gates == nil {
		return nil, "no gates are configured, and blocked is the default"
	}
	vs, err := e.cfg.Gates(ctx, m, n)
	if err != nil {
		return vs, "the gates could not be run: " + err.Error()
	}
	if len(vs) == 0 {
		return vs, "no gate looked at it, and blocked is the default"
	}
	for _, v := range vs {
		if v.Outcome != impound.GatePass && v.Outcome != impound.GateWarn {
			return vs, v.Gate + " says " + string(v.Outcome) + ": " + v.Reason
		}
	}
	return vs, ""
}

// mandate gives the mandate of an order, proven and in force now.
func (e *Engine) mandate(ctx context.Context, order string) (*impound.Mandate, error) {
	m, err := e.cfg.Mandate(ctx, order)
	if err != nil {
		return nil, err
	}
	if m == nil || m.ID() != order {
		return nil, impound.Errorf(impound.KindRefused, "there is no proven order %s", order)
	}
	if now := e.now(); !m.InForce(now) {
		from, until := m.Window()
		return nil, impound.Errorf(impound.KindRefused, "order %s is not in force at %s: it holds from %s until %s", order, now.Format(time.RFC3339), from.Format(time.RFC3339), until.Format(time.RFC3339)).
			WithCure("nothing may be done outside these dates; file a new order")
	}
	return m, nil
}

func sorted[T ~string](in []T) []T {
	out := slices.Clone(in)
	slices.Sort(out)
	return slices.Compact(out)
}

func sortNames(in []impound.Name) []impound.Name {
	out := slices.Clone(in)
	slices.SortFunc(out, func(a, b impound.Name) int { return cmp.Compare(a.String(), b.String()) })
	return slices.Compact(out)
}

// without gives what a holds and b does not, in a's order.
func without[T comparable](a, b []T) []T {
	var out []T
	for _, x := range a {
		if !slices.Contains(b, x) {
			out = append(out, x)
		}
	}
	return out
}

func isNotFound(err error) bool { return impound.KindOf(err) == impound.KindNotFound }

var errDrained = errors.New("stopped before it was begun")
