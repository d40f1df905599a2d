package sensor

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/miekg/dns"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/sinkhole"
	"github.com/impound/impound/internal/sinkhole/policy"
	"github.com/impound/impound/internal/spool"
)

var (
	t0  = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	hub = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
)

type ring map[string]impound.Person

func (r ring) Person(id string) (impound.Person, bool) { p, ok := r[id]; return p, ok }

// mandate proves an order over a name from t0 on.
func mandate(t testing.TB, id, name string, until time.Time, terms impound.SinkTerms) *impound.Mandate {
	t.Helper()
	o := &impound.Order{
		Format: impound.OrderFormat, ID: id, Case: "C1", Kind: impound.KindWarrant,
		Authority: impound.Authority{Court: "Court", Docket: "1:26-cv-1", CallBack: "+1 555 0100"},
		Issued:    t0.Add(-time.Hour), From: t0.Add(-time.Hour), Until: until, AtEnd: "release",
		Parties:    impound.Parties{Requesting: "Us", Technical: "tech@example.com"},
		Recipient:  impound.Recipient{Name: "Registry", Role: "registry"},
		Acts:       impound.Acts{Sinkhole: true, RemoveDS: true, Nameservers: []impound.Name{impound.MustName("ns1.sink.example"), impound.MustName("ns2.sink.example")}},
		Sinkhole:   terms,
		Appendices: []impound.Appendix{{ID: "A", Count: 1, Names: []impound.OrderName{{Name: impound.MustName(name)}}}},
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

func bundle(t testing.TB, serial uint64, now time.Time, valid time.Duration, ms ...*impound.Mandate) []byte {
	t.Helper()
	b, err := policy.Build(ms, policy.Options{Key: hub, Serial: serial, Now: now, Valid: valid, Sensor: "s1", Answer: policy.Answer{A: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}})
	if err != nil {
		t.Fatal(err)
	}
	return b.Data
}

func site(t testing.TB, state string, now func() time.Time, edit ...func(*Options)) *Site {
	t.Helper()
	opt := Options{
		State: state, HubKey: impound.NewPublicKey(hub.Public().(ed25519.PublicKey)),
		Sink:  sinkhole.Config{Sensor: "s1", Listeners: []string{"dns://127.0.0.1:0"}, LureKey: []byte("key")},
		Spool: spool.Options{SegmentBytes: 64 << 10, ClockLeap: -1}, Now: now,
	}
	for _, f := range edit {
		f(&opt)
	}
	s, err := Open(t.Context(), opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func at(now time.Time) func() time.Time { return func() time.Time { return now } }

// numbers asks once, and gives the numbers in the spool.
func numbers(t testing.TB, state string, s *Site) (all []uint64) {
	t.Helper()
	ask(t, s, "anything.net")
	r, err := spool.OpenReader(filepath.Join(state, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	es, err := r.Read(0, 1<<20)
	if err != nil || len(es) == 0 {
		t.Fatal(es, err)
	}
	for _, e := range es {
		all = append(all, e.Seq)
	}
	return all
}

// A number is never given twice, though the spool's folder was lost, and the clock
// was put back: what the sensor said of itself tells, or where that was lost too,
// the hub.
func TestNumbersNeverRepeat(t *testing.T) {
	state := t.TempDir()
	s := site(t, state, at(t0))
	ask(t, s, "anything.net")
	last := slices.Max(numbers(t, state, s))
	s.Close()
	lose := func(what ...string) {
		for _, f := range what {
			if err := os.RemoveAll(filepath.Join(state, f)); err != nil {
				t.Fatal(err)
			}
		}
	}
	lose("spool")
	s = site(t, state, at(t0.AddDate(-1, 0, 0)))
	again := numbers(t, state, s)
	if slices.Min(again) <= last {
		t.Errorf("numbers %d after %d", again, last)
	}
	s.Close()
	// An orderly restart doesn't leap.
	s = site(t, state, at(t0.AddDate(-1, 0, 0)))
	if next := numbers(t, state, s); next[len(next)-1] != slices.Max(again)+1 {
		t.Errorf("number %d after %d", next[len(next)-1], slices.Max(again))
	}
	s.Close()
	lose("spool", StatusFile)
	hub := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(ShippedHeader, fmt.Sprint(last))
		w.WriteHeader(http.StatusNoContent)
	}))
	defer hub.Close()
	s = site(t, state, at(t0.AddDate(-1, 0, 0)), func(o *Options) {
		o.Control = &Control{URL: hub.URL, Token: func() (string, error) { return "x", nil }}
	})
	for range 1000 {
		if s.Status().HubAt.IsZero() {
			time.Sleep(10 * time.Millisecond)
			continue
		}
		break
	}
	if all := numbers(t, state, s); all[len(all)-1] <= last {
		t.Errorf("number %d, and the hub has %d", all[len(all)-1], last)
	}
	if shipped := s.Status().Spool.Shipped; shipped != 0 {
		t.Errorf("it takes %d for shipped", shipped)
	}
}

func ask(t testing.TB, s *Site, name string) {
	t.Helper()
	m := new(dns.Msg)
	m.SetQuestion(name+".", dns.TypeA)
	c := dns.Client{Timeout: 5 * time.Second}
	if _, _, err := c.Exchange(m, s.Addrs()["dns"][0]); err != nil {
		var ne net.Error
		if !errors.As(err, &ne) {
			t.Fatal(err)
		}
	}
}

func spooled(t testing.TB, state string) (names []string) {
	t.Helper()
	r, err := spool.OpenReader(filepath.Join(state, "spool"))
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	es, err := r.Read(0, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range es {
		names = append(names, e.Name)
	}
	return names
}

// A sensor deletes contacts when their own order's time is over, shipped or not,
// also when the order ended long ago and the hub is dead.
func TestSensorKeepsRetention(t *testing.T) {
	state := t.TempDir()
	day := 24 * time.Hour
	s := site(t, state, at(t0))
	short := mandate(t, "SHORT", "short-kept.net", t0.Add(2*day), impound.SinkTerms{Capture: impound.CaptureContact, RetentionDays: 7})
	long := mandate(t, "LONG", "long-kept.net", t0.Add(100*day), impound.SinkTerms{Capture: impound.CaptureContact, RetentionDays: 60})
	if err := s.Take(bundle(t, 1, t0, 80*day, short, long), "test"); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		ask(t, s, "short-kept.net")
		ask(t, s, "long-kept.net")
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	// SHORT has ended: a later policy doesn't tell of it.
	s = site(t, state, at(t0.Add(3*day)))
	if err := s.Take(bundle(t, 2, t0.Add(3*day), 80*day, long), "test"); err != nil {
		t.Fatal(err)
	}
	s.Close()
	if got := strings.Count(strings.Join(spooled(t, state), " "), "short"); got != 3 {
		t.Fatalf("after three days %d of 3 are left", got)
	}
	for _, tt := range []struct {
		days        int
		short, long int
	}{{6, 3, 3}, {8, 0, 3}, {59, 0, 3}, {61, 0, 0}} {
		s = site(t, state, at(t0.Add(time.Duration(tt.days)*day)))
		s.expire()
		s.Close()
		got := strings.Join(spooled(t, state), " ")
		if strings.Count(got, "short") != tt.short || strings.Count(got, "long") != tt.long {
			t.Errorf("after %d days: %s", tt.days, got)
		}
	}
	// What it forgets must not come back as for ever.
	if err := os.WriteFile(filepath.Join(state, retentionFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Options{State: state, HubKey: impound.NewPublicKey(hub.Public().(ed25519.PublicKey)), Sink: sinkhole.Config{Sensor: "s1", Listeners: []string{"dns://127.0.0.1:0"}}}); err == nil || !strings.Contains(err.Error(), retentionFile) {
		t.Errorf("a damaged file: %v", err)
	}
}

// A clock that is put forward while a sensor runs takes nothing from it.
func TestClockPutForwardTakesNothing(t *testing.T) {
	state := t.TempDir()
	var now atomic.Int64
	now.Store(t0.UnixNano())
	s := site(t, state, func() time.Time { return time.Unix(0, now.Load()) })
	m := mandate(t, "SHORT", "short-kept.net", t0.Add(time.Hour), impound.SinkTerms{Capture: impound.CaptureContact, RetentionDays: 7})
	if err := s.Take(bundle(t, 1, t0, time.Hour, m), "test"); err != nil {
		t.Fatal(err)
	}
	ask(t, s, "short-kept.net")
	now.Store(t0.AddDate(10, 0, 0).UnixNano())
	s.expire()
	if got := spooled(t, state); len(got) != 1 {
		t.Errorf("left: %q", got)
	}
}
