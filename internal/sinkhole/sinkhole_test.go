package sinkhole

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os/exec"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole/policy"
)

var (
	t0  = time.Date(2026, 11, 21, 12, 0, 30, 123456789, time.UTC)
	hub = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	pub = impound.NewPublicKey(hub.Public().(ed25519.PublicKey))
)

type ring map[string]impound.Person

func (r ring) Person(id string) (impound.Person, bool) { p, ok := r[id]; return p, ok }

// mandate proves an order over names, in force from t0's minute for an hour.
func mandate(t testing.TB, id string, edit func(*impound.Order), names ...string) *impound.Mandate {
	t.Helper()
	from := t0.Truncate(time.Minute)
	o := &impound.Order{
		Format: impound.OrderFormat, ID: id, Case: "C1", Kind: impound.KindWarrant,
		Authority: impound.Authority{Court: "Court", Docket: "1:26-cv-1", CallBack: "+1 555 0100"},
		Issued:    from.Add(-time.Hour), From: from, Until: from.Add(time.Hour), AtEnd: "release",
		Parties:   impound.Parties{Requesting: "Us", Technical: "tech@example.com"},
		Recipient: impound.Recipient{Name: "Registry", Role: "registry"},
		Acts:      impound.Acts{Sinkhole: true, RemoveDS: true, Nameservers: []impound.Name{impound.MustName("ns1.sink.example"), impound.MustName("ns2.sink.example")}},
		Sinkhole:  impound.SinkTerms{Capture: impound.CaptureContact, RetentionDays: 30, Notice: "By order of the court <b>&amp;</b>."},
	}
	a := impound.Appendix{ID: "A", Count: len(names)}
	for _, n := range names {
		a.Names = append(a.Names, impound.OrderName{Name: impound.MustName(n)})
	}
	o.Appendices = []impound.Appendix{a}
	if edit != nil {
		edit(o)
	}
	keys := ring{}
	for i, who := range []string{"ann", "bob"} {
		k := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{byte(i + 1)}, 32))
		keys[who] = impound.Person{ID: who, Roles: []impound.Role{impound.RoleApprover}, Key: impound.NewPublicKey(k.Public().(ed25519.PublicKey))}
		o.Signatures = append(o.Signatures, impound.Sign(k, impound.SignOrder, o.Hash(), who, t0))
	}
	m, err := o.Authorize(keys, nil)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

var sinkV4 = netip.MustParseAddr("192.0.2.80")

var usualAnswer = policy.Answer{A: []netip.Addr{sinkV4}, NS: []impound.Name{impound.MustName("ns1.sink.example"), impound.MustName("ns2.sink.example")}}

func opened(t testing.TB, now time.Time, opt policy.Options, ms ...*impound.Mandate) *policy.Policy {
	t.Helper()
	opt.Key, opt.Serial, opt.Now = hub, max(opt.Serial, 1), now
	if opt.Answer.A == nil {
		opt.Answer = usualAnswer
	}
	b, err := policy.Build(ms, opt)
	if err != nil {
		t.Fatal(err)
	}
	p, err := policy.Open(b.Data, pub, 0, now)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func atLevel(c impound.CaptureLevel) func(*impound.Order) {
	return func(o *impound.Order) { o.Sinkhole.Capture = c }
}

// mandates are orders for one name at each capture level.
func mandates(t testing.TB) []*impound.Mandate {
	return []*impound.Mandate{
		mandate(t, "O-contact", nil, "outlook-verify.net"),
		mandate(t, "O-count", atLevel(impound.CaptureCount), "count-only.net"),
		mandate(t, "O-lure", atLevel(impound.CaptureLure), "lure-level.net"),
	}
}

func usual(t testing.TB) *policy.Policy { return opened(t, t0, policy.Options{}, mandates(t)...) }

// memory is a recorder that keeps events for a look.
type memory struct {
	mu     sync.Mutex
	events []impound.Event
	fail   atomic.Bool
}

func (m *memory) Append(e *impound.Event) error {
	if m.fail.Load() {
		return errors.New("the disk is full")
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.events = append(m.events, *e)
	return nil
}

func (m *memory) take() []impound.Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := m.events
	m.events = nil
	return out
}

// clock is a clock that tests turn.
type clock struct{ ns atomic.Int64 }

func newClock(t time.Time) *clock      { c := &clock{}; c.set(t); return c }
func (c *clock) set(t time.Time)       { c.ns.Store(t.UnixNano()) }
func (c *clock) now() time.Time        { return time.Unix(0, c.ns.Load()).UTC() }
func (c *clock) after(d time.Duration) { c.ns.Add(int64(d)) }

type rig struct {
	*Sinkhole
	rec   *memory
	clock *clock
	addrs map[string][]string
}

func (r *rig) addr(scheme string) string { return r.addrs[scheme][0] }
func (r *rig) port(scheme string) string {
	a := r.addr(scheme)
	return a[strings.LastIndexByte(a, ':')+1:]
}

var everyListener = []string{"dns://127.0.0.1:0", "http://127.0.0.1:0", "https://127.0.0.1:0", "smtp://127.0.0.1:0", "tcp://127.0.0.1:0"}

var startPlain bool // the usual tests, with the plain code

func start(t testing.TB, p *policy.Policy, edit ...func(*Config)) *rig {
	t.Helper()
	r := &rig{rec: &memory{}, clock: newClock(t0)}
	cfg := Config{
		Sensor: "s1", Listeners: everyListener, Recorder: r.rec, Policy: p,
		Contact: "CSIRT <call> +1 555 0199", LureKey: []byte("key"), Now: r.clock.now,
		Limits: Limits{HeadTimeout: 2 * time.Second},
		Plain:  startPlain,
	}
	for _, e := range edit {
		e(&cfg)
	}
	s, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Start(context.Background()); err != nil {
		t.Fatal(err)
	}
	r.Sinkhole, r.addrs = s, s.Addrs()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		if err := s.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	return r
}

func run(t testing.TB, stdin, bin string, args ...string) string {
	t.Helper()
	cmd := exec.Command(bin, args...)
	cmd.Stdin = strings.NewReader(stdin)
	out, err := cmd.CombinedOutput()
	if err != nil {
		var ee *exec.ExitError
		if !errors.As(err, &ee) {
			t.Fatal(err)
		}
		out = fmt.Appendf(out, "\n[exit %d]", ee.ExitCode())
	}
	return string(out)
}

func TestStartSaysWhatIsInTheWay(t *testing.T) {
	r := start(t, nil)
	for scheme, addrs := range r.addrs {
		s, err := New(Config{Sensor: "s1", Listeners: []string{"tcp://127.0.0.1:0", scheme + "://" + addrs[0]}, Recorder: r.rec})
		if err != nil {
			t.Fatal(err)
		}
		err = s.Start(context.Background())
		var e *impound.Error
		if !errors.As(err, &e) || e.Kind != impound.KindUnavailable || e.Cure == "" || e.Where != scheme+"://"+addrs[0] {
			t.Errorf("%s: %v", scheme, err)
		}
	}
	for _, l := range []string{"", "dns", "dns://", "dns://127.0.0.1", "ftp://127.0.0.1:21", "http://127.0.0.1:80/x", "http://u:p@127.0.0.1:80"} {
		if _, err := New(Config{Sensor: "s1", Listeners: []string{l}, Recorder: r.rec}); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("listener %q: %v", l, err)
		}
	}
}

func TestPolicyOfAnotherSensorIsRefused(t *testing.T) {
	p := opened(t, t0, policy.Options{Sensor: "s2"}, mandate(t, "O1", nil, "outlook-verify.net"))
	if _, err := New(Config{Sensor: "s1", Listeners: everyListener, Recorder: &memory{}, Policy: p}); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("a policy for another sensor: %v", err)
	}
}

func one(t testing.TB, events []impound.Event) impound.Event {
	t.Helper()
	if len(events) != 1 {
		t.Fatalf("%d events, want 1: %+v", len(events), events)
	}
	return events[0]
}

func policyOptions() policy.Options { return policy.Options{} }

// Clients that hold connections open and say nothing don't hold up the end.
func TestCloseLetsGoOfTheSilent(t *testing.T) {
	r := start(t, usual(t), func(c *Config) { c.Limits.HeadTimeout = time.Hour })
	for _, scheme := range []string{"dns", "smtp", "tcp"} {
		c, err := net.Dial("tcp", r.addr(scheme))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
	}
	for len(r.conns.snapshot()) == 0 {
		time.Sleep(time.Millisecond)
	}
	// Without a deadline of its own, Close must end by itself.
	if err := r.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

func (c *connLimit) snapshot() map[netip.Addr]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return maps.Clone(c.open)
}

func TestConnectionsPerSourceAreBounded(t *testing.T) {
	r := start(t, usual(t), func(c *Config) { c.Limits.ConnsPerSource = 3 })
	var conns []net.Conn
	for range 5 {
		c, err := net.Dial("tcp", r.addr("smtp"))
		if err != nil {
			continue // reset at once
		}
		defer c.Close()
		conns = append(conns, c)
	}
	open := 0
	for _, c := range conns {
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		if n, _ := c.Read(make([]byte, 100)); n > 0 {
			open++
		}
	}
	if open != 3 || r.Stats().ConnsRefused != 2 {
		t.Errorf("%d of 5 connections are served, %d refused; want 3 and 2", open, r.Stats().ConnsRefused)
	}
	// When one goes, another may come.
	conns[0].Close()
	for i := 0; i < 1000; i++ {
		c, err := net.Dial("tcp", r.addr("smtp"))
		if err != nil {
			continue
		}
		c.SetReadDeadline(time.Now().Add(5 * time.Second))
		n, _ := c.Read(make([]byte, 100))
		c.Close()
		if n > 0 {
			return
		}
		time.Sleep(2 * time.Millisecond)
	}
	t.Error("the place of a connection that went is not given away")
}
