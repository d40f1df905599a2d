// Package conntest is the contract of seizure's connectors, told as one story
// with levels that every connector goes through: nothing happens without a permit
// (0), looking (1), acting and looking again (2), connections that break, answers
// that never come and processes that are killed (3), contradictions and people
// who act in between (4), and giving back (5).
//
// A connector declares what it can do ([seizure.Capabilities]). The suite tests
// exactly that: a claim that it has no test for, or that the stage gives it no
// means to test, fails; and what is not claimed must be refused with nothing
// done. docs/connectors.md is made from the same declarations.
//
// What lives here: the story, and what the stages of several connectors share (a
// proxy that breaks connections, a clock, an order). What must not: a connector,
// or a provider.
package conntest

import (
	"bufio"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/seizure"
)

// When says where the way to the provider breaks at the next change.
type When int

// The ways to break.
const (
	BeforeAct When = iota // the connection is lost before the provider has read the change
	AfterAct              // the provider acts, and the connection is lost before its answer comes
	Silent                // the provider acts, and its answer never comes
)

// Stage is a provider that the suite may do with as it likes, and a connector to
// it.
type Stage struct {
	// Conn is the connector under test; its way to the provider is the one that
	// Break breaks. Second is another one, as another process would have, by a
	// way that does not break. Dead is one whose provider nobody reaches.
	Conn, Second, Dead seizure.Connector

	// Names are at least Needed names that the provider holds: each delegated to
	// Former, and with a DS where the connector can remove one. Missing is a name
	// that the provider would hold and doesn't; Foreign one that it never could
	// (zero: there is none).
	Names            []impound.Name
	Missing, Foreign impound.Name
	Former, Sink     []impound.Name // two name servers each, that names can be delegated to

	NewHost   impound.Name // with the claim Hosts: a host that can be made, and isn't there
	HostAddrs []netip.Addr

	Clock   *Clock // the connectors', for permits
	Secrets []string

	// Did gives how many changes took effect, as the provider itself counts; with
	// the claim Asks, how many were taken to be seen to.
	Did func() int
	// Break breaks the way of Conn, and of a child process, at its next change.
	// Conn has looked right before.
	Break func(t testing.TB, when When)
	// PutOff has the provider put its next change off; end ends that. It is for
	// the claim Poll.
	PutOff func(t testing.TB) (end func(done bool))
	// Fulfil does what was asked for, as the provider that was asked would. It is
	// for the claim Asks.
	Fulfil func(t testing.TB, c seizure.Change)
	// Child is what a process of its own makes the connector from: see [Main].
	Child string
}

// Needed is how many names a stage must have.
const Needed = 24

// Clock is a clock that the suite sets.
type Clock struct {
	mu sync.Mutex
	at time.Time
}

// NewClock gives a clock that stands at an instant within the suite's order.
func NewClock() *Clock { return &Clock{at: ordered.Add(time.Hour)} }

// Now tells the time.
func (c *Clock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.at }

// Set sets it.
func (c *Clock) Set(at time.Time) { c.mu.Lock(); defer c.mu.Unlock(); c.at = at }

// ordered is when the suite's orders begin; they hold for a year.
var ordered = time.Date(2026, 11, 21, 10, 0, 0, 0, time.UTC)

type keyring map[string]impound.Person

func (k keyring) Person(id string) (impound.Person, bool) { p, ok := k[id]; return p, ok }

// mandates proves two orders about names: one that redirects and locks, one that
// holds.
func mandates(names, sink []impound.Name, role string, locks []string) (redirect, hold *impound.Mandate, err error) {
	keys := keyring{}
	priv := map[string]ed25519.PrivateKey{}
	for _, id := range []string{"anna", "bert"} {
		h := sha256.Sum256([]byte("conntest key of " + id))
		priv[id] = ed25519.NewKeyFromSeed(h[:])
		keys[id] = impound.Person{ID: id, Roles: []impound.Role{impound.RoleApprover}, Key: impound.NewPublicKey(priv[id].Public().(ed25519.PublicKey))}
	}
	if role != "registry" {
		role = "registrar"
	}
	prove := func(id string, a impound.Acts) (*impound.Mandate, error) {
		o := &impound.Order{
			Format: impound.OrderFormat, ID: id, Case: "case-1", Kind: impound.KindWarrant,
			Authority: impound.Authority{Court: "Practice Court", Docket: "1:26-mj-1", CallBack: "clerk"},
			Issued:    ordered, From: ordered, Until: ordered.AddDate(1, 0, 0), AtEnd: "restore",
			Parties:   impound.Parties{Requesting: "Practice", Technical: "desk@practice.example"},
			Recipient: impound.Recipient{Name: "Practice", Role: role}, Acts: a,
			Release:    &impound.ReleaseTerms{How: []string{impound.ReleaseRestore, impound.ReleaseExpire, impound.ReleaseDelete}, Clause: "9"},
			Appendices: []impound.Appendix{{ID: "A", Count: len(names)}},
		}
		for _, n := range names {
			o.Appendices[0].Names = append(o.Appendices[0].Names, impound.OrderName{Name: n})
		}
		for id, k := range priv {
			o.Signatures = append(o.Signatures, impound.Sign(k, impound.SignOrder, o.Hash(), id, ordered))
		}
		return o.Authorize(keys, nil)
	}
	if redirect, err = prove("SUITE-1", impound.Acts{Nameservers: sink, RemoveDS: true, Lock: locks, Registrant: "the custodian"}); err != nil {
		return nil, nil, err
	}
	kept := slices.DeleteFunc(slices.Clone(locks), func(s string) bool { return strings.HasSuffix(s, "RenewProhibited") })
	hold, err = prove("SUITE-2", impound.Acts{Hold: true, Renew: true, Lock: kept})
	return redirect, hold, err
}

// allLocks are the statuses that the suite's orders name, for that role.
func allLocks(role string) []string {
	var out []string
	for s, registryOnly := range impound.EPPStatuses {
		if !registryOnly || role == "registry" {
			out = append(out, s)
		}
	}
	slices.Sort(out)
	return out
}

// permitsFor gives the permits for every act of c at the instant at.
func permitsFor(redirect, hold *impound.Mandate, c seizure.Change, at time.Time) (out []impound.Permit, err error) {
	for _, act := range c.Acts() {
		m := redirect
		if act == impound.ActHold || act == impound.ActRenew {
			m = hold
		}
		p, err := m.Permit(act, c.Name, at)
		if err != nil {
			return nil, err
		}
		out = append(out, p)
	}
	return out, nil
}

// suite is one run.
type suite struct {
	*Stage
	caps           seizure.Capabilities
	redirect, hold *impound.Mandate
	next           int
	trid           int
	tested         map[string]bool
}

// Claims gives what c claims, in words; each is tested by the suite.
func Claims(c seizure.Capabilities) []string {
	var out []string
	for _, a := range c.Acts {
		out = append(out, "act "+string(a))
	}
	for _, s := range c.Locks {
		out = append(out, "lock "+s)
	}
	for _, s := range c.Holds {
		out = append(out, "hold "+s)
	}
	v := reflect.ValueOf(c)
	for i := range v.NumField() {
		if f := v.Type().Field(i); f.Type.Kind() == reflect.Bool && v.Field(i).Bool() {
			out = append(out, strings.ToLower(f.Name))
		}
	}
	return out
}

// Run tells the story. stage makes a fresh stage; it is called once for each
// level, so that levels can be read, and fail, on their own.
func Run(t *testing.T, stage func(t testing.TB) *Stage) {
	tested := map[string]bool{}
	var caps seizure.Capabilities
	var kinds []string // what each level saw declared
	for _, l := range levels {
		t.Run(l.name, func(t *testing.T) {
			s := &suite{Stage: stage(t), tested: tested}
			s.caps = s.Conn.Capabilities()
			caps = s.caps
			kinds = append(kinds, fmt.Sprintf("%+v", caps))
			if len(s.Names) < Needed || len(s.Former) != 2 || len(s.Sink) != 2 || s.Did == nil || s.Break == nil || s.Dead == nil {
				t.Fatalf("the stage is not complete: %d names, %d and %d name servers", len(s.Names), len(s.Former), len(s.Sink))
			}
			var err error
			covered := append(slices.Clone(s.Names), s.Missing)
			if !s.Foreign.IsZero() {
				covered = append(covered, s.Foreign)
			}
			if s.redirect, s.hold, err = mandates(covered, s.Sink, s.caps.Role, allLocks(s.caps.Role)); err != nil {
				t.Fatal(err)
			}
			l.tell(t, s)
		})
	}
	if t.Failed() || t.Skipped() || len(kinds) < len(levels) {
		return // a level was left out by -run, or has said what is wrong
	}
	t.Run("every claim was tested", func(t *testing.T) {
		for _, k := range kinds[1:] {
			if k != kinds[0] {
				t.Errorf("the connector claims one thing at one time and another at another:\n%s\n%s", kinds[0], k)
			}
		}
		for _, c := range Claims(caps) {
			if !tested[c] {
				t.Errorf("the connector claims %q, and nothing has tested it", c)
			}
		}
		for c := range maps.Keys(tested) {
			if !slices.Contains(Claims(caps), c) {
				t.Errorf("the suite tested %q, which is not claimed: the suite is wrong", c)
			}
		}
	})
}

var levels = []struct {
	name string
	tell func(t *testing.T, s *suite)
}{
	{"level 0: nothing without a permit", level0},
	{"level 1: looking", level1},
	{"level 2: acting, and looking again", level2},
	{"level 3: broken ways", level3},
	{"level 4: contradictions and other people", level4},
	{"level 5: giving back", level5},
}

// name gives a name that nothing was done to yet.
func (s *suite) name(t testing.TB) impound.Name {
	t.Helper()
	if s.next == len(s.Names) {
		t.Fatal("the stage has too few names")
	}
	s.next++
	return s.Names[s.next-1]
}

func (s *suite) can(a impound.Act) bool { return slices.Contains(s.caps.Acts, a) }

func (s *suite) claim(c string) { s.tested[c] = true }

// look gives what the provider holds of n, by the connector that is given.
func look(t testing.TB, c seizure.Connector, n impound.Name) seizure.State {
	t.Helper()
	v, err := c.Info(t.Context(), n)
	if err != nil {
		t.Fatalf("couldn't look at %s: %v", n, err)
	}
	if v.Name != n {
		t.Errorf("asked for %s, got a view of %s", n, v.Name)
	}
	return v.State()
}

// after gives the state that c leads to from st.
func after(st seizure.State, c seizure.Change) seizure.State {
	drop := func(in, out []string) []string {
		return slices.DeleteFunc(slices.Clone(in), func(x string) bool { return slices.Contains(out, x) })
	}
	v := seizure.RegistryView{Exists: st.Exists, ID: st.ID, Sponsor: st.Sponsor, DS: st.DS, Registrant: st.Registrant}
	if c.Registrant != "" {
		v.Registrant = c.Registrant
	}
	v.NS = append(slices.DeleteFunc(slices.Clone(st.NS), func(x impound.Name) bool { return slices.Contains(c.RemNS, x) }), c.AddNS...)
	v.Status = append(drop(st.Status, c.RemStatus), c.AddStatus...)
	if c.RemAllDS {
		v.DS = nil
	}
	v.DS = append(slices.Clone(v.DS), c.BackDS...)
	return v.State()
}

func (s *suite) permits(t testing.TB, c seizure.Change) []impound.Permit {
	t.Helper()
	ps, err := permitsFor(s.redirect, s.hold, c, s.Clock.Now())
	if err != nil {
		t.Fatal(err)
	}
	return ps
}

func (s *suite) id() string { s.trid++; return fmt.Sprintf("SUITE-%06d", s.trid) }

// parts gives c as the changes that it is made by: one for each act where the
// connector does one at a time.
func (s *suite) parts(c seizure.Change) []seizure.Change {
	if !s.caps.Singly || len(c.Acts()) < 2 {
		return []seizure.Change{c}
	}
	var out []seizure.Change
	for _, x := range []seizure.Change{{RemAllDS: c.RemAllDS}, {AddNS: c.AddNS, RemNS: c.RemNS}, {AddStatus: c.AddStatus, RemStatus: c.RemStatus}} {
		if x.Name = c.Name; len(x.Acts()) > 0 {
			out = append(out, x)
		}
	}
	return out
}

// do makes the change by conn, with the permits that it needs.
func (s *suite) do(t testing.TB, conn seizure.Connector, c seizure.Change) (seizure.Answer, error) {
	t.Helper()
	c.ClTRID = s.id()
	a, err := conn.Do(t.Context(), s.permits(t, c), c)
	s.hasNoSecret(t, a.Frames)
	if err == nil && s.caps.Asks {
		if !a.Pending || a.Ref == "" {
			t.Errorf("it asks, and its answer is not pending, or nobody could refer to it: %+v", a)
		}
		s.Fulfil(t, c)
	}
	return a, err
}

// mustDo makes the change and checks that it shows, and what it took.
func (s *suite) mustDo(t testing.TB, c seizure.Change) (st seizure.State) {
	t.Helper()
	for _, x := range s.parts(c) {
		st = s.mustDoOne(t, x)
	}
	return st
}

func (s *suite) mustDoOne(t testing.TB, c seizure.Change) seizure.State {
	t.Helper()
	before, did := look(t, s.Conn, c.Name), s.Did()
	a, err := s.do(t, s.Conn, c)
	if err != nil {
		t.Fatalf("%v: %v", c.Lines(), err)
	}
	if a.Pending && !s.caps.Asks {
		t.Fatalf("%v: put off, and nobody asked for that", c.Lines())
	}
	// Of an asker the engine keeps the letter, before it goes.
	if !s.caps.Asks && (len(a.Frames) == 0 || !slices.ContainsFunc(a.Frames, func(f seizure.Frame) bool { return f.Dir == "sent" })) {
		t.Errorf("%v: nothing to keep of what was sent", c.Lines())
	}
	got := look(t, s.Conn, c.Name)
	if want := after(before, c); !got.Equal(want) {
		t.Fatalf("%v leads to (-want +got):\n%s", c.Lines(), diff(want, got))
	}
	if n := s.Did() - did; n != 1 {
		t.Errorf("%v: %d changes took effect at the provider", c.Lines(), n)
	}
	return got
}

// mustNot makes a change that has to be refused with nothing done, and gives the
// error.
func (s *suite) mustNot(t testing.TB, conn seizure.Connector, what string, c seizure.Change) error {
	t.Helper()
	before, did := look(t, s.Second, c.Name), s.Did()
	_, err := s.do(t, conn, c)
	switch {
	case err == nil:
		t.Errorf("%s: %v was taken", what, c.Lines())
	case errors.Is(err, seizure.ErrUnknownOutcome):
		t.Errorf("%s: the outcome should be known: %v", what, err)
	case impound.KindOf(err) == impound.KindInternal:
		t.Errorf("%s: the error has no kind: %v", what, err)
	}
	if n := s.Did() - did; n != 0 {
		t.Errorf("%s: %d changes took effect at the provider (%v)", what, n, err)
	}
	if got := look(t, s.Second, c.Name); !got.Equal(before) {
		t.Errorf("%s: something was done (-before +after):\n%s", what, diff(before, got))
	}
	return err
}

func diff(want, got seizure.State) string {
	return cmp.Diff(want, got, cmp.Comparer(func(a, b impound.Name) bool { return a == b }))
}

// redirection gives the change that takes n, in its state st, as an order would.
func (s *suite) redirection(n impound.Name, st seizure.State) seizure.Change {
	c := seizure.Change{Name: n, RemAllDS: s.can(impound.ActRemoveDS) && len(st.DS) > 0}
	if s.can(impound.ActNameservers) {
		c.AddNS, c.RemNS = s.Sink, st.NS
	}
	return c
}

// anyChange gives a change of n that the connector can do.
func (s *suite) anyChange(t testing.TB, n impound.Name) seizure.Change {
	t.Helper()
	switch {
	case s.caps.Singly && s.can(impound.ActRemoveDS):
		return seizure.Change{Name: n, RemAllDS: true}
	case s.can(impound.ActNameservers) || s.can(impound.ActRemoveDS):
		return s.redirection(n, look(t, s.Second, n))
	case len(s.caps.Locks) > 0:
		return seizure.Change{Name: n, AddStatus: s.caps.Locks[:1]}
	case len(s.caps.Holds) > 0:
		return seizure.Change{Name: n, AddStatus: s.caps.Holds[:1]}
	}
	t.Fatal("the connector claims no act at all")
	return seizure.Change{}
}

// renewal gives the renewal of n for a year, from when it ends now.
func (s *suite) renewal(t testing.TB, n impound.Name) seizure.Change {
	t.Helper()
	v, err := s.Second.Info(t.Context(), n)
	if err != nil || v.Expires.IsZero() {
		t.Fatalf("when %s ends, nothing says: %v", n, err)
	}
	return seizure.Change{Name: n, Renew: &seizure.Renewal{Ends: v.Expires.UTC().Format(time.DateOnly), Years: 1}}
}

// mustNotAct tells of a change that makes no sense: refused, and nothing done.
func (s *suite) mustNotAct(t testing.TB, what string, c seizure.Change) {
	t.Helper()
	did := s.Did()
	c.ClTRID = s.id()
	if _, err := s.Conn.Do(t.Context(), s.permits(t, c), c); err == nil || errors.Is(err, seizure.ErrUnknownOutcome) || s.Did() != did {
		t.Errorf("%s: %v was taken, or may have been: %v", what, c.Lines(), err)
	}
}

// hasNoSecret looks for the stage's secrets in frames.
func (s *suite) hasNoSecret(t testing.TB, frames []seizure.Frame) {
	t.Helper()
	for _, f := range frames {
		if f.Dir != "sent" && f.Dir != "received" || f.At.IsZero() || len(f.Body) == 0 {
			t.Errorf("a frame that says not enough: %q at %s, %d octets", f.Dir, f.At, len(f.Body))
		}
		s.noSecret(t, "a frame", string(f.Body))
	}
}

func (s *suite) noSecret(t testing.TB, where, text string) {
	t.Helper()
	for _, secret := range s.Secrets {
		forms := []string{secret, hex.EncodeToString([]byte(secret)), base64.StdEncoding.EncodeToString([]byte(secret)), strings.Trim(fmt.Sprint([]byte(secret)), "[]"), strings.ReplaceAll(strings.Trim(fmt.Sprintf("%#v", []byte(secret)), "[]byte{}"), " ", "")}
		if raw, err := base64.StdEncoding.DecodeString(secret); err == nil {
			forms = append(forms, string(raw), strings.Trim(fmt.Sprint(raw), "[]"))
		}
		for _, f := range forms {
			if strings.Contains(text, f) {
				t.Errorf("a secret is in %s", where)
			}
		}
	}
}

func level0(t *testing.T, s *suite) {
	n, other := s.name(t), s.name(t)
	c := s.anyChange(t, n)
	c.ClTRID = s.id()
	good := s.permits(t, c)
	others := s.permits(t, s.anyChange(t, other))
	from, until := s.redirect.Window()
	before := look(t, s.Second, n)
	now := s.Clock.Now()
	for what, tt := range map[string]struct {
		permits []impound.Permit
		at      time.Time
		c       seizure.Change
	}{
		"no permit":              {nil, now, c},
		"the zero permit":        {[]impound.Permit{{}}, now, c},
		"another name's permits": {others, now, c},
		"before the order":       {good, from.Add(-time.Second), c},
		"when it has lapsed":     {good, until, c},
		"long after":             {good, until.AddDate(5, 0, 0), c},
		"a change of nothing":    {good, now, seizure.Change{Name: n, ClTRID: c.ClTRID}},
		"one act too few":        {good[:len(good)-1], now, c}, // with Singly: none
		"a permit for another act": {func() []impound.Permit {
			p, err := s.hold.Permit(impound.ActHold, n, now)
			if err != nil {
				t.Fatal(err)
			}
			return []impound.Permit{p}
		}(), now, seizure.Change{Name: n, AddNS: s.Sink, ClTRID: c.ClTRID}},
	} {
		s.Clock.Set(tt.at)
		a, err := s.Conn.Do(t.Context(), tt.permits, tt.c)
		if k := impound.KindOf(err); k != impound.KindRefused && k != impound.KindInvalid {
			t.Errorf("%s: want a refusal, got %v", what, err)
		}
		if len(a.Frames) > 0 || errors.Is(err, seizure.ErrUnknownOutcome) || a.Pending {
			t.Errorf("%s: something was sent: %+v", what, a)
		}
	}
	if s.can(impound.ActNameservers) && s.caps.Hosts {
		s.Clock.Set(until)
		if _, err := s.Conn.Do(t.Context(), good, seizure.Change{Name: n, CreateHost: s.NewHost, HostAddrs: s.HostAddrs, ClTRID: s.id()}); impound.KindOf(err) != impound.KindRefused {
			t.Errorf("a host after the order has lapsed: %v", err)
		}
	}
	s.Clock.Set(now)
	if got := look(t, s.Second, n); !got.Equal(before) || s.Did() != 0 {
		t.Errorf("%d changes took effect:\n%s", s.Did(), diff(before, got))
	}
	if _, err := s.do(t, s.Conn, c); err != nil {
		t.Errorf("with the permits: %v", err)
	}
}

func level1(t *testing.T, s *suite) {
	n := s.name(t)
	if s.caps.Looks {
		s.claim("looks")
	}
	v, err := s.Conn.Info(t.Context(), n)
	if err != nil {
		t.Fatal(err)
	}
	st := v.State()
	if !v.Exists || v.Name != n || !slices.Equal(st.NS, s.Former) {
		t.Errorf("the look shows %+v, want name servers %v", st, s.Former)
	}
	if s.can(impound.ActRemoveDS) && len(st.DS) == 0 {
		t.Error("the name has no DS, so nothing can be shown about removing one")
	}
	if s.caps.Looks && len(v.Frames) == 0 {
		t.Error("nothing to keep of what was seen")
	}
	s.hasNoSecret(t, v.Frames)
	if again := look(t, s.Conn, n); !again.Equal(st) {
		t.Errorf("two looks differ:\n%s", diff(st, again))
	}
	if by := look(t, s.Second, n); !by.Equal(st) {
		t.Errorf("another connector sees it otherwise:\n%s", diff(st, by))
	}
	v, err = s.Conn.Info(t.Context(), s.Missing)
	if err != nil || v.Exists || len(v.NS) > 0 {
		t.Errorf("a name that isn't there: %v %+v", err, v.State())
	}
	if !s.Foreign.IsZero() {
		if v, err := s.Conn.Info(t.Context(), s.Foreign); err == nil && v.Exists {
			t.Errorf("a name that it can't hold: %+v", v)
		}
	}
	for _, h := range s.Sink {
		if ok, err := s.Conn.Host(t.Context(), h); err != nil || !ok {
			t.Errorf("names can't be delegated to %s: %v", h, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if v, err := s.Conn.Info(gone, n); s.caps.Looks && (err == nil || v.Exists) {
		t.Errorf("a look that was called off shows something: %+v %v", v, err)
	}
	if v, err := s.Dead.Info(t.Context(), n); s.caps.Looks && (impound.KindOf(err) != impound.KindUnavailable || v.Exists) {
		t.Errorf("a provider that nobody reaches: %v %+v", err, v)
	}
	if r, ok := s.Conn.(interface{ Ready(context.Context) error }); ok != s.caps.Ready {
		t.Errorf("it claims ready %v, and has the method %v", s.caps.Ready, ok)
	} else if ok {
		s.claim("ready")
		if err := r.Ready(t.Context()); err != nil {
			t.Errorf("ready: %v", err)
		}
		if err := s.Dead.(interface{ Ready(context.Context) error }).Ready(t.Context()); impound.KindOf(err) != impound.KindUnavailable {
			t.Errorf("a provider that nobody reaches is not ready: %v", err)
		}
	}
	if s.Conn.Provider() == "" || s.caps.Kind == "" || s.caps.Role != "registry" && s.caps.Role != "registrar" {
		t.Errorf("it doesn't say what it is: %q %+v", s.Conn.Provider(), s.caps)
	}
	for i := range 20 {
		if !reflect.DeepEqual(s.Conn.Capabilities(), s.caps) {
			t.Fatalf("what it claims changes, at look %d", i)
		}
	}
	if _, ok := s.Conn.(seizure.DryRunner); ok != s.caps.DryRun {
		t.Errorf("it claims dryrun %v, and has the method %v", s.caps.DryRun, ok)
	}
	if _, ok := s.Conn.(seizure.Asker); ok != s.caps.Asks {
		t.Errorf("it claims asks %v, and is an Asker %v", s.caps.Asks, ok)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
		s.noSecret(t, "what fmt prints of it", fmt.Sprintf(verb, s.Conn))
	}
	var logged strings.Builder
	for _, h := range []slog.Handler{slog.NewTextHandler(&logged, nil), slog.NewJSONHandler(&logged, nil)} {
		slog.New(h).Info("x", "conn", s.Conn)
	}
	s.noSecret(t, "what is logged of it", logged.String())
}

func level2(t *testing.T, s *suite) {
	if s.can(impound.ActNameservers) {
		t.Run("name servers", func(t *testing.T) {
			n := s.name(t)
			// All at once, as a seizure does; the DS goes with them.
			s.mustDo(t, s.redirection(n, look(t, s.Conn, n)))
			s.claim("act " + string(impound.ActNameservers))
			if !s.caps.Asks { // whoever is asked twice sees that it is done
				s.mustNot(t, s.Conn, "the same once more", seizure.Change{Name: n, AddNS: s.Sink, RemNS: s.Former})
				s.mustNot(t, s.Second, "the same by another", seizure.Change{Name: n, AddNS: s.Sink})
			}
			// One of them is wrong: it alone is exchanged.
			s.mustDo(t, seizure.Change{Name: n, AddNS: s.Former[:1], RemNS: s.Sink[:1]})
			s.mustDo(t, seizure.Change{Name: n, AddNS: s.Sink[:1], RemNS: s.Former[:1]})
		})
	}
	if s.can(impound.ActRemoveDS) {
		t.Run("DS", func(t *testing.T) {
			n := s.name(t)
			was := look(t, s.Conn, n).DS
			s.mustDo(t, seizure.Change{Name: n, RemAllDS: true})
			s.claim("act " + string(impound.ActRemoveDS))
			s.mustDo(t, seizure.Change{Name: n, BackDS: was}) // as giving a name back does
		})
	}
	if s.can(impound.ActRegistrant) {
		t.Run("registrant", func(t *testing.T) {
			n := s.name(t)
			x := seizure.Contact{Name: "Custody desk", Org: "The Custodian", Street: []string{"1 Main St"}, City: "Redmond", Country: "US", Voice: "+1.5550100", Email: "custody@unit.example"}
			keeper, ok := s.Conn.(seizure.ContactKeeper)
			if !ok {
				t.Fatal("it claims act registrant, and knows no contacts")
			}
			if _, there, err := keeper.Contact(t.Context(), x.ID()); err != nil || there {
				t.Fatalf("the contact is there before it is made: %v %v", there, err)
			}
			if _, err := s.do(t, s.Conn, seizure.Change{Name: n, Registrant: x.ID()}); err == nil {
				t.Error("a name was given to a contact that is not there")
			}
			c := seizure.Change{Name: n, CreateContact: &x}
			a, err := s.do(t, s.Conn, c)
			if err != nil || len(a.Frames) == 0 {
				t.Fatalf("%v %+v", err, a)
			}
			s.hasNoSecret(t, a.Frames)
			got, there, err := keeper.Contact(t.Context(), x.ID())
			if err != nil || !there || got.Email != "" && (got.Email != x.Email || got.Name != x.Name || got.Org != x.Org || got.City != x.City || got.Country != x.Country) {
				t.Errorf("the contact after it was made: %v %v %+v", err, there, got)
			}
			s.mustNot(t, s.Second, "the same contact once more", c)
			before := look(t, s.Conn, n)
			st := s.mustDo(t, seizure.Change{Name: n, Registrant: x.ID()})
			if st.Registrant != x.ID() || before.Registrant == st.Registrant {
				t.Errorf("given to %q, from %q", st.Registrant, before.Registrant)
			}
			s.claim("act " + string(impound.ActRegistrant))
		})
	}
	if s.can(impound.ActRenew) {
		t.Run("renewal", func(t *testing.T) {
			n := s.name(t)
			c := s.renewal(t, n)
			s.mustDo(t, c)
			want, _ := time.Parse(time.DateOnly, c.Renew.Ends)
			v, err := s.Conn.Info(t.Context(), n)
			if got := v.Expires.UTC().Truncate(24 * time.Hour); err != nil || !got.Equal(want.AddDate(1, 0, 0)) {
				t.Errorf("renewed from %s for a year, it ends %s: %v", c.Renew.Ends, got, err)
			}
			if !s.caps.Asks {
				// It names the day from which, so nobody pays twice.
				s.mustNot(t, s.Conn, "the same once more", c)
				s.mustNot(t, s.Second, "the same by another", c)
			}
			s.mustNotAct(t, "for no year", seizure.Change{Name: n, Renew: &seizure.Renewal{Ends: c.Renew.Ends}})
			s.mustNotAct(t, "from no day", seizure.Change{Name: n, Renew: &seizure.Renewal{Ends: "soon", Years: 1}})
			s.claim("act " + string(impound.ActRenew))
		})
	}
	if s.can(impound.ActNameservers) && s.can(impound.ActLock) && (s.caps.Whole || s.caps.Asks) {
		t.Run("letting go", func(t *testing.T) {
			n := s.name(t)
			locks := []string{"clientDeleteProhibited", "clientTransferProhibited"}
			c := s.redirection(n, look(t, s.Conn, n))
			c.AddStatus = locks
			st := s.mustDo(t, c)
			s.mustDo(t, seizure.Change{Name: n, RemNS: st.NS, RemStatus: locks, Release: true})
			if s.can(impound.ActDelete) {
				if _, err := s.do(t, s.Conn, seizure.Change{Name: n, Delete: true, Release: true}); err != nil {
					t.Fatal(err)
				}
				if st := look(t, s.Conn, n); st.Exists && !slices.Contains(st.Status, "pendingDelete") && !slices.Contains(st.Status, "redemptionPeriod") {
					t.Errorf("deleted, and it is %+v", st)
				}
				if !s.caps.Asks {
					s.mustNot(t, s.Second, "deleting it once more", seizure.Change{Name: n, Delete: true, Release: true})
				}
				s.claim("act " + string(impound.ActDelete))
			}
		})
	}
	for kind, list := range map[string][]string{"lock": s.caps.Locks, "hold": s.caps.Holds} {
		if len(list) == 0 {
			continue
		}
		t.Run(kind, func(t *testing.T) {
			n := s.name(t)
			for _, x := range list {
				s.mustDo(t, seizure.Change{Name: n, AddStatus: []string{x}})
				s.mustDo(t, seizure.Change{Name: n, RemStatus: []string{x}})
				s.claim(kind + " " + x)
			}
			s.claim("act " + kind)
			if s.caps.Whole && s.can(impound.ActNameservers) && kind == "lock" {
				n := s.name(t)
				c := s.redirection(n, look(t, s.Conn, n))
				c.AddStatus = list
				s.mustDo(t, c)
			}
		})
	}
	if s.caps.Hosts {
		t.Run("hosts", func(t *testing.T) {
			n := s.name(t)
			c := seizure.Change{Name: n, CreateHost: s.NewHost, HostAddrs: s.HostAddrs}
			if ok, err := s.Conn.Host(t.Context(), s.NewHost); err != nil || ok {
				t.Fatalf("the host is there before it is made: %v %v", ok, err)
			}
			if a, err := s.do(t, s.Conn, c); err != nil || len(a.Frames) == 0 {
				t.Fatalf("%v %+v", err, a)
			}
			if ok, err := s.Conn.Host(t.Context(), s.NewHost); err != nil || !ok {
				t.Errorf("the host is not there after it was made: %v %v", ok, err)
			}
			s.mustNot(t, s.Second, "the same host once more", c)
			if s.can(impound.ActNameservers) {
				st := look(t, s.Conn, n)
				s.mustDo(t, seizure.Change{Name: n, AddNS: []impound.Name{s.NewHost, s.Sink[0]}, RemNS: st.NS, RemAllDS: len(st.DS) > 0})
			}
			s.claim("hosts")
		})
	}
	if s.caps.Singly {
		t.Run("one act at a time", func(t *testing.T) {
			n := s.name(t)
			c := s.redirection(n, look(t, s.Conn, n))
			if len(c.Acts()) < 2 {
				t.Fatal("nothing to show it with")
			}
			if err := s.mustNot(t, s.Conn, "two acts at once", c); impound.KindOf(err) != impound.KindRefused {
				t.Errorf("%v", err)
			}
			s.mustDo(t, c) // its parts, one after the other
			s.claim("singly")
		})
	}
	if s.caps.DryRun {
		t.Run("dry run", func(t *testing.T) {
			n := s.name(t)
			c := s.anyChange(t, n)
			before, did := look(t, s.Second, n), s.Did()
			if err := s.Conn.(seizure.DryRunner).DryRun(t.Context(), c); err != nil {
				t.Errorf("%v would be taken: %v", c.Lines(), err)
			}
			if err := s.Conn.(seizure.DryRunner).DryRun(t.Context(), seizure.Change{Name: n, RemNS: s.Sink}); impound.KindOf(err) != impound.KindConflict {
				t.Errorf("what can't be done: %v", err)
			}
			if err := s.Conn.(seizure.DryRunner).DryRun(t.Context(), seizure.Change{Name: n}); err == nil {
				t.Error("a change of nothing")
			}
			if got := look(t, s.Second, n); !got.Equal(before) || s.Did() != did {
				t.Errorf("asking changed something: %s", diff(before, got))
			}
			s.mustDo(t, c)
			s.claim("dryrun")
		})
	}
	if s.caps.Asks {
		s.claim("asks") // every change above was asked for, waited for and seen
	}
}

func level3(t *testing.T, s *suite) {
	t.Run("nobody reaches the provider", func(t *testing.T) {
		c := s.anyChange(t, s.name(t))
		if err := s.mustNot(t, s.Dead, "a provider that nobody reaches", c); impound.KindOf(err) != impound.KindUnavailable {
			t.Errorf("%v", err)
		}
	})
	t.Run("lost before the act", func(t *testing.T) {
		n := s.name(t)
		c := s.anyChange(t, n)
		before, did := look(t, s.Conn, n), s.Did()
		s.Break(t, BeforeAct)
		if _, err := s.do(t, s.Conn, c); impound.KindOf(err) != impound.KindUnavailable {
			t.Errorf("want unavailable, got %v", err)
		}
		if got := look(t, s.Conn, n); !got.Equal(before) || s.Did() != did {
			t.Fatalf("%d changes took effect:\n%s", s.Did()-did, diff(before, got))
		}
		s.mustDo(t, c)
	})
	for what, when := range map[string]When{"lost after the act": AfterAct, "the answer never comes": Silent} {
		t.Run(what, func(t *testing.T) {
			n := s.name(t)
			c := s.anyChange(t, n)
			before, did := look(t, s.Conn, n), s.Did()
			s.Break(t, when)
			ctx := t.Context()
			if when == Silent {
				var cancel context.CancelFunc
				ctx, cancel = context.WithCancel(ctx)
				go func() {
					for s.Did() == did && ctx.Err() == nil {
						time.Sleep(5 * time.Millisecond)
					}
					cancel() // whoever waits has waited long enough
				}()
				defer cancel()
			}
			c.ClTRID = s.id()
			a, err := s.Conn.Do(ctx, s.permits(t, c), c)
			if !errors.Is(err, seizure.ErrUnknownOutcome) || impound.KindOf(err) != impound.KindUnavailable {
				t.Errorf("want an unknown outcome, got %v", err)
			}
			if s.caps.Looks && len(a.Frames) == 0 {
				t.Error("nothing to keep of what was sent")
			}
			if s.caps.Asks && err != nil {
				s.Fulfil(t, c)
			}
			if got, want := look(t, s.Conn, n), after(before, c); !got.Equal(want) {
				t.Errorf("looking does not show what was done (-want +got):\n%s", diff(want, got))
			}
			if k := s.Did() - did; k != 1 {
				t.Errorf("%d changes took effect", k)
			}
			if !s.caps.Asks {
				s.mustNot(t, s.Conn, "the same once more", c)
			}
		})
	}
	if s.can(impound.ActRenew) && !s.caps.Asks {
		t.Run("a renewal lost after the act", func(t *testing.T) {
			n := s.name(t)
			c := s.renewal(t, n)
			look(t, s.Conn, n)
			did := s.Did()
			s.Break(t, AfterAct)
			c.ClTRID = s.id()
			if _, err := s.Conn.Do(t.Context(), s.permits(t, c), c); !errors.Is(err, seizure.ErrUnknownOutcome) {
				t.Errorf("want an unknown outcome, got %v", err)
			}
			if now := s.renewal(t, n); now.Renew.Ends <= c.Renew.Ends || s.Did() != did+1 {
				t.Errorf("looking does not show what was done: it ends %s, and did %s; %d changes", now.Renew.Ends, c.Renew.Ends, s.Did()-did)
			}
			s.mustNot(t, s.Conn, "the same once more", c)
		})
	}
	if s.caps.Whole {
		s.claim("whole")
		if s.caps.Singly {
			t.Error("it claims to do changes as a whole, and one act at a time")
		}
	}
	t.Run("killed after the act", func(t *testing.T) {
		if s.Child == "" {
			t.Fatal("the stage has no way to make a connector in a process of its own")
		}
		n := s.name(t)
		c := s.anyChange(t, n)
		before, did := look(t, s.Second, n), s.Did()
		c.ClTRID = s.id()
		cmd, start := s.child(t, c)
		s.Break(t, Silent)
		start()
		for s.Did() == did {
			if cmd.ProcessState != nil || t.Context().Err() != nil {
				t.Fatal("the child ended without acting")
			}
			time.Sleep(5 * time.Millisecond)
		}
		if err := cmd.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait()
		if s.caps.Asks {
			s.Fulfil(t, c)
		}
		if got, want := look(t, s.Second, n), after(before, c); !got.Equal(want) {
			t.Errorf("looking does not show what was done (-want +got):\n%s", diff(want, got))
		}
		if !s.caps.Asks {
			s.mustNot(t, s.Second, "the same by whoever comes next", c)
		}
	})
	if s.caps.Poll {
		t.Run("put off, then done, then denied", func(t *testing.T) {
			for _, done := range []bool{true, false} {
				n := s.name(t)
				c := s.anyChange(t, n)
				c.ClTRID = s.id()
				before := look(t, s.Conn, n)
				end := s.PutOff(t)
				a, err := s.Conn.Do(t.Context(), s.permits(t, c), c)
				if err != nil || !a.Pending {
					t.Fatalf("want a pending answer, got %+v %v", a, err)
				}
				v, err := s.Conn.Info(t.Context(), n)
				if err != nil || !v.State().Equal(before) {
					t.Errorf("what is pending shows already: %v\n%s", err, diff(before, v.State()))
				}
				if err := s.Conn.Poll(t.Context(), func(m seizure.Message) error { t.Errorf("told of an end before it: %+v", m); return nil }); err != nil {
					t.Error(err)
				}
				end(done)
				// What could not be kept is told again.
				told, stop := 0, errors.New("the disk is full")
				if err := s.Conn.Poll(t.Context(), func(m seizure.Message) error { told++; return stop }); !errors.Is(err, stop) || told != 1 {
					t.Errorf("a message that could not be kept: told %d times, %v", told, err)
				}
				var got []seizure.Message
				if err := s.Conn.Poll(t.Context(), func(m seizure.Message) error { got = append(got, m); return nil }); err != nil {
					t.Error(err)
				}
				if len(got) != 1 || !got[0].Pending || got[0].Done != done || got[0].ClTRID != c.ClTRID || got[0].Name != n || got[0].ID == "" {
					t.Fatalf("want one message that %s ended (%v), got %+v", c.ClTRID, done, got)
				}
				s.hasNoSecret(t, got[0].Frames)
				if err := s.Conn.Poll(t.Context(), func(m seizure.Message) error { t.Errorf("told twice: %+v", m); return nil }); err != nil {
					t.Error(err)
				}
				want := before
				if done {
					want = after(before, c)
				}
				if st := look(t, s.Conn, n); !st.Equal(want) {
					t.Errorf("done %v leads to (-want +got):\n%s", done, diff(want, st))
				}
			}
			s.claim("poll")
		})
	}
}

func level4(t *testing.T, s *suite) {
	t.Run("what is not claimed is refused", func(t *testing.T) {
		n := s.name(t)
		st := look(t, s.Conn, n)
		claimed := slices.Concat(s.caps.Locks, s.caps.Holds)
		for _, x := range append(slices.Sorted(maps.Keys(impound.EPPStatuses)), "clientHold", "serverHold") {
			if slices.Contains(claimed, x) || strings.HasPrefix(x, "server") && s.caps.Role != "registry" && x != "serverHold" {
				continue // of the latter no order can permit anything
			}
			s.mustNot(t, s.Conn, x, seizure.Change{Name: n, AddStatus: []string{x}})
			if s.can(impound.ActNameservers) && s.caps.Whole {
				c := s.redirection(n, st)
				c.AddStatus = []string{x}
				s.mustNot(t, s.Conn, "a redirect with "+x, c)
			}
		}
		if !s.can(impound.ActNameservers) {
			s.mustNot(t, s.Conn, "name servers", seizure.Change{Name: n, AddNS: s.Sink, RemNS: st.NS})
		}
		if !s.can(impound.ActRemoveDS) {
			s.mustNot(t, s.Conn, "DS", seizure.Change{Name: n, RemAllDS: true})
		}
		if !s.can(impound.ActRegistrant) {
			s.mustNot(t, s.Conn, "a registrant", seizure.Change{Name: n, Registrant: "custodian-1"})
			s.mustNot(t, s.Conn, "a contact", seizure.Change{Name: n, CreateContact: &seizure.Contact{Name: "Desk", City: "Town", Country: "NL", Email: "desk@custodian.example"}})
		}
		if !s.can(impound.ActRenew) {
			s.mustNot(t, s.Conn, "a renewal", seizure.Change{Name: n, Renew: &seizure.Renewal{Ends: "2027-11-21", Years: 1}})
		}
		if !s.can(impound.ActDelete) {
			s.mustNot(t, s.Conn, "a deletion", seizure.Change{Name: n, Delete: true, Release: true})
		}
		if !s.caps.Hosts {
			s.mustNot(t, s.Conn, "a host", seizure.Change{Name: n, CreateHost: impound.MustName("ns1.not-there.example"), HostAddrs: []netip.Addr{netip.MustParseAddr("192.0.2.1")}})
		}
	})
	t.Run("names that it does not hold", func(t *testing.T) {
		if s.caps.Asks {
			return // it asks, and learns by looking that nothing came of it
		}
		c := seizure.Change{Name: s.Missing, AddNS: s.Sink}
		if !s.can(impound.ActNameservers) {
			c = seizure.Change{Name: s.Missing, AddStatus: slices.Concat(s.caps.Locks, s.caps.Holds)[:1]}
		}
		s.mustNot(t, s.Conn, "a name that isn't there", c)
		if c.Name = s.Foreign; !c.Name.IsZero() {
			did := s.Did()
			if _, err := s.do(t, s.Conn, c); err == nil || errors.Is(err, seizure.ErrUnknownOutcome) || s.Did() != did {
				t.Errorf("a name that it can't hold: %v", err)
			}
		}
	})
	if s.can(impound.ActNameservers) && !s.caps.Asks {
		t.Run("somebody else was faster", func(t *testing.T) {
			n := s.name(t)
			if s.caps.Singly && s.can(impound.ActRemoveDS) {
				s.mustDo(t, seizure.Change{Name: n, RemAllDS: true})
			}
			ours := s.redirection(n, look(t, s.Conn, n))
			theirs := ours
			theirs.AddNS = s.Sink[:1]
			if _, err := s.do(t, s.Second, theirs); err != nil {
				t.Fatal(err)
			}
			if err := s.mustNot(t, s.Conn, "what was planned on another state", ours); s.caps.Guards && impound.KindOf(err) == impound.KindUnavailable {
				t.Errorf("that is no reason to try again: %v", err)
			}
		})
	}
	if s.caps.Guards {
		t.Run("of two at once, one acts", func(t *testing.T) {
			for range 4 {
				n := s.name(t)
				c := s.anyChange(t, n)
				c.ClTRID = s.id()
				ps := s.permits(t, c)
				did := s.Did()
				var wg sync.WaitGroup
				errs := make([]error, 2)
				for i, conn := range []seizure.Connector{s.Conn, s.Second} {
					wg.Go(func() { _, errs[i] = conn.Do(t.Context(), ps, c) })
				}
				wg.Wait()
				if (errs[0] == nil) == (errs[1] == nil) || s.Did() != did+1 {
					t.Errorf("%d changes took effect: %v", s.Did()-did, errs)
				}
				if e := errors.Join(errs...); errors.Is(e, seizure.ErrUnknownOutcome) {
					t.Errorf("the outcome should be known: %v", e)
				}
			}
			s.claim("guards")
		})
	}
	for _, lock := range []string{"clientRenewProhibited", "serverRenewProhibited"} {
		if slices.Contains(s.caps.Locks, lock) && s.can(impound.ActRenew) && !s.caps.Asks {
			t.Run("under "+lock, func(t *testing.T) {
				n := s.name(t)
				s.mustDo(t, seizure.Change{Name: n, AddStatus: []string{lock}})
				if err := s.mustNot(t, s.Conn, "a renewal under "+lock, s.renewal(t, n)); impound.KindOf(err) != impound.KindConflict {
					t.Errorf("want a conflict, got %v", err)
				}
				s.mustDo(t, seizure.Change{Name: n, RemStatus: []string{lock}})
				s.mustDo(t, s.renewal(t, n))
			})
		}
	}
	for _, lock := range []string{"clientUpdateProhibited", "serverUpdateProhibited"} {
		if slices.Contains(s.caps.Locks, lock) && s.can(impound.ActNameservers) && !s.caps.Asks {
			t.Run("under "+lock, func(t *testing.T) {
				n := s.name(t)
				s.mustDo(t, seizure.Change{Name: n, AddStatus: []string{lock}})
				c := s.redirection(n, look(t, s.Conn, n))
				if err := s.mustNot(t, s.Conn, "a redirect under "+lock, c); impound.KindOf(err) != impound.KindConflict {
					t.Errorf("want a conflict, got %v", err)
				}
				c.RemStatus = []string{lock}
				s.mustDo(t, c)
				s.mustDo(t, seizure.Change{Name: n, AddStatus: []string{lock}})
			})
		}
	}
}

func level5(t *testing.T, s *suite) {
	n := s.name(t)
	former := look(t, s.Conn, n)
	c := s.anyChange(t, n)
	if s.can(impound.ActNameservers) {
		c = s.redirection(n, former)
	}
	if s.caps.Whole {
		c.AddStatus = append(slices.Clone(c.AddStatus), s.caps.Locks[:min(1, len(s.caps.Locks))]...)
		slices.Sort(c.AddStatus)
		c.AddStatus = slices.Compact(c.AddStatus)
	}
	s.mustDo(t, c)
	s.mustDo(t, seizure.Change{Name: n, AddNS: c.RemNS, RemNS: c.AddNS, RemStatus: c.AddStatus})
	want := former
	if c.RemAllDS {
		want.DS = nil // what was removed is not put back: the keys may be the actor's
	}
	if got := look(t, s.Conn, n); !got.Equal(want) {
		t.Errorf("given back it is (-want +got):\n%s", diff(want, got))
	}
	for _, c := range []seizure.Connector{s.Conn, s.Second} {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	}
	if err := s.Conn.Close(); err != nil {
		t.Errorf("closed twice: %v", err)
	}
}

// job is what a child is told to do.
type job struct {
	Child  string
	Names  []impound.Name
	Sink   []impound.Name
	Role   string
	At     time.Time
	Change seizure.Change
	ClTRID string
}

const childEnv = "IMPOUND_CONNTEST_JOB"

// child starts a process that has looked at c.Name; start has it do c.
func (s *suite) child(t testing.TB, c seizure.Change) (cmd *exec.Cmd, start func()) {
	t.Helper()
	b, err := json.Marshal(job{Child: s.Child, Names: s.Names, Sink: s.Sink, Role: s.caps.Role, At: s.Clock.Now(), Change: c, ClTRID: c.ClTRID})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "job.json")
	if err := os.WriteFile(file, b, 0o600); err != nil {
		t.Fatal(err)
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+file)
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "looked\n" {
		t.Fatalf("the child says %q: %v", line, err)
	}
	return cmd, func() {
		if _, err := io.WriteString(in, "go\n"); err != nil {
			t.Fatal(err)
		}
	}
}

// Main is what TestMain of a package that runs the suite calls first: where the
// process is a child of the suite, it makes the connector from [Stage.Child] by
// open, looks, acts when it is told to, and ends.
func Main(open func(child string, now func() time.Time) (seizure.Connector, error)) {
	file := os.Getenv(childEnv)
	if file == "" {
		return
	}
	err := func() error {
		b, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		var j job
		if err := json.Unmarshal(b, &j); err != nil {
			return err
		}
		conn, err := open(j.Child, func() time.Time { return j.At })
		if err != nil {
			return err
		}
		if _, err := conn.Info(context.Background(), j.Change.Name); err != nil {
			return err
		}
		fmt.Println("looked")
		if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil {
			return err
		}
		redirect, hold, err := mandates(j.Names, j.Sink, j.Role, allLocks(j.Role))
		if err != nil {
			return err
		}
		ps, err := permitsFor(redirect, hold, j.Change, j.At)
		if err != nil {
			return err
		}
		j.Change.ClTRID = j.ClTRID
		_, err = conn.Do(context.Background(), ps, j.Change)
		return err
	}()
	if err != nil {
		fmt.Fprintln(os.Stderr, "child:", err)
		os.Exit(1)
	}
	os.Exit(0)
}
