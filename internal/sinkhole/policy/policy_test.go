package policy

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/impound/impound"
)

var (
	t0  = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	hub = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, 32))
	pub = impound.NewPublicKey(hub.Public().(ed25519.PublicKey))
)

type ring map[string]impound.Person

func (r ring) Person(id string) (impound.Person, bool) { p, ok := r[id]; return p, ok }

// mandate proves an order over names that is in force from t0 for an hour.
func mandate(t testing.TB, id string, edit func(*impound.Order), names ...string) *impound.Mandate {
	t.Helper()
	o := &impound.Order{
		Format: impound.OrderFormat, ID: id, Case: "C1", Kind: impound.KindWarrant,
		Authority: impound.Authority{Court: "Court", Docket: "1:26-cv-1", CallBack: "+1 555 0100"},
		Issued:    t0.Add(-time.Hour), From: t0, Until: t0.Add(time.Hour), AtEnd: "release",
		Parties:   impound.Parties{Requesting: "Us", Technical: "tech@example.com"},
		Recipient: impound.Recipient{Name: "Registry", Role: "registry"},
		Acts:      impound.Acts{Sinkhole: true, RemoveDS: true, Nameservers: []impound.Name{impound.MustName("ns1.sink.example"), impound.MustName("ns2.sink.example")}},
		Sinkhole:  impound.SinkTerms{Capture: impound.CaptureContact, RetentionDays: 30, Notice: "By order."},
	}
	a := impound.Appendix{ID: "A"}
	for _, n := range names {
		a.Names = append(a.Names, impound.OrderName{Name: impound.MustName(n)})
	}
	a.Count = len(a.Names)
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

func build(t testing.TB, opt Options, ms ...*impound.Mandate) *Bundle {
	t.Helper()
	if opt.Key == nil {
		opt.Key = hub
	}
	if opt.Serial == 0 {
		opt.Serial = 1
	}
	if opt.Now.IsZero() {
		opt.Now = t0
	}
	b, err := Build(ms, opt)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func mustOpen(t testing.TB, b *Bundle) *Policy {
	t.Helper()
	p, err := Open(b.Data, pub, 0, b.Made)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestLookup(t *testing.T) {
	m1 := mandate(t, "O1", nil, "outlook-verify.net", "verification-live.com")
	m2 := mandate(t, "O2", func(o *impound.Order) {
		o.Until = t0.Add(2 * time.Hour)
		o.Sinkhole.Capture = impound.CaptureLure
	}, "verification-live.com", "example.co.uk")
	b := build(t, Options{Valid: 90 * time.Minute, Answer: Answer{A: []netip.Addr{netip.MustParseAddr("192.0.2.1")}}}, m1, m2, m1)
	if b.Names != 4 || b.Orders != 2 || len(b.Refused) != 0 {
		t.Fatalf("bundle holds %d names of %d orders, refused %v", b.Names, b.Orders, b.Refused)
	}
	p := mustOpen(t, b)
	if p.Len() != 3 {
		t.Fatalf("%d distinct names, want 3", p.Len())
	}
	for _, tt := range []struct {
		name  string
		after time.Duration
		zone  string
		order string // "" for not in force
	}{
		{"outlook-verify.net", 0, "outlook-verify.net", "O1"},
		{"OutLook-Verify.NET.", 0, "outlook-verify.net", "O1"},
		{"a.b.outlook-verify.net", time.Minute, "outlook-verify.net", "O1"},
		{"xoutlook-verify.net", 0, "", ""},
		{"net", 0, "", ""},
		{"example.org", 0, "", ""},
		{"", 0, "", ""},
		{".", 0, "", ""},
		{"a..outlook-verify.net", 0, "", ""},
		{"www.example.co.uk", 0, "example.co.uk", "O2"},
		{"co.uk", 0, "", ""},
		{"outlook-verify.net", -time.Nanosecond, "outlook-verify.net", ""},
		{"outlook-verify.net", time.Hour - 1, "outlook-verify.net", "O1"},
		{"outlook-verify.net", time.Hour, "outlook-verify.net", ""},
		{"verification-live.com", time.Hour, "verification-live.com", "O2"}, // the second order goes on
		{"verification-live.com", 90*time.Minute - 1, "verification-live.com", "O2"},
		{"verification-live.com", 90 * time.Minute, "verification-live.com", ""}, // the bundle itself ended
	} {
		got, ok := p.Lookup(tt.name, t0.Add(tt.after))
		if ok != (tt.order != "") || got.Zone != tt.zone {
			t.Errorf("Lookup(%q, +%s) = %q, %v; want %q, %v", tt.name, tt.after, got.Zone, ok, tt.zone, tt.order != "")
			continue
		}
		if ok && got.Order.ID != tt.order {
			t.Errorf("Lookup(%q, +%s) found order %s, want %s", tt.name, tt.after, got.Order.ID, tt.order)
		}
		if !ok && got.Order != nil {
			t.Errorf("Lookup(%q, +%s) gives an order that is not in force", tt.name, tt.after)
		}
	}
	if m, _ := p.Lookup("verification-live.com", t0.Add(time.Hour)); !m.Until().Equal(t0.Add(90 * time.Minute)) {
		t.Errorf("the right ends %s, want the end of the bundle", m.Until())
	}
	if c, ok := p.Floor(t0); c != impound.CaptureContact || !ok {
		t.Errorf("Floor = %q, %v; want contact", c, ok)
	}
	if c, ok := p.Floor(t0.Add(time.Hour)); c != impound.CaptureLure || !ok {
		t.Errorf("Floor after an hour = %q, %v; want lure", c, ok)
	}
	if c, ok := p.Floor(t0.Add(2 * time.Hour)); ok {
		t.Errorf("Floor after the end = %q, want none", c)
	}
}

func TestBuildLeavesOutWhatIsNotPermitted(t *testing.T) {
	lock := impound.Acts{Lock: []string{"serverDeleteProhibited"}}
	m := mandate(t, "O1", func(o *impound.Order) { o.Appendices[0].Names[1].Acts = &lock }, "a-one.example", "b-two.example")
	early := mandate(t, "O2", func(o *impound.Order) { o.From = t0.Add(time.Minute) }, "c-three.example")
	late := mandate(t, "O3", func(o *impound.Order) { o.Until = t0.Add(time.Second) }, "d-four.example")
	b := build(t, Options{Now: t0.Add(time.Second)}, m, nil, early, late)
	var got []string
	for _, r := range b.Refused {
		if impound.KindOf(r.Err) != impound.KindRefused {
			t.Errorf("%s: kind %s, want refused", r.Name, impound.KindOf(r.Err))
		}
		got = append(got, r.Order+" "+r.Name.String())
	}
	if d := cmp.Diff([]string{"O1 b-two.example", "O2 c-three.example", "O3 d-four.example"}, got); d != "" {
		t.Error(d)
	}
	if !b.Next.Equal(t0.Add(time.Minute)) {
		t.Errorf("Next = %s, want when O2 begins", b.Next)
	}
	p := mustOpen(t, b)
	if _, ok := p.Lookup("b-two.example", t0.Add(time.Second)); ok {
		t.Error("a name that the order only locks is sinkholed")
	}
	if _, ok := p.Lookup("a-one.example", t0.Add(time.Second)); !ok {
		t.Error("a permitted name is missing")
	}
}

func TestZeroMandatePermitsNothing(t *testing.T) {
	defer func() {
		if r := recover(); r != nil {
			t.Fatalf("a zero mandate made Build panic: %v", r)
		}
	}()
	b, err := Build([]*impound.Mandate{{}}, Options{Key: hub, Serial: 1, Now: t0})
	if err == nil && b.Names != 0 {
		t.Fatalf("a mandate that nobody proved gave %d names", b.Names)
	}
}

func TestOpenRefuses(t *testing.T) {
	m := mandate(t, "O1", nil, "outlook-verify.net")
	good := build(t, Options{Serial: 5, Valid: time.Hour}, m)
	other := ed25519.NewKeyFromSeed(bytes.Repeat([]byte{9}, 32))
	forged := build(t, Options{Serial: 5, Key: other}, m)
	asOrder := func() []byte { // the hub's signature, but over something that is no policy
		body := good.Data[bytes.LastIndex(good.Data, []byte("\n"))+1:]
		sig := impound.Sign(hub, impound.SignOrder, impound.HashBytes(body), signer, t0)
		return fmt.Appendf(nil, "%s{\"person\":%q,\"key\":%q,\"at\":%q,\"sig\":%q}\n%s", magic, sig.Person, sig.Key, sig.At.Format(time.RFC3339), sig.Sig, body)
	}()
	for _, tt := range []struct {
		what string
		data []byte
		min  uint64
		now  time.Time
		says string
	}{
		{"forged", forged.Data, 0, t0, "another key"},
		{"replayed", good.Data, 6, t0, "sent again"},
		{"ended", good.Data, 0, t0.Add(time.Hour), "no longer valid"},
		{"from the future", good.Data, 0, t0.Add(-Skew - time.Second), "future"},
		{"empty", nil, 0, t0, "does not begin"},
		{"only the first line", []byte(magic), 0, t0, "was cut"},
		{"cut", good.Data[:len(good.Data)-1], 0, t0, "changed"},
		{"longer", append(bytes.Clone(good.Data), '\n'), 0, t0, "changed"},
		{"signed as an order", asOrder, 0, t0, "another document"},
	} {
		_, err := Open(tt.data, pub, tt.min, tt.now)
		if impound.KindOf(err) != impound.KindRefused || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%s: %v; want a refusal that says %q", tt.what, err, tt.says)
		}
	}
	if _, err := Open(good.Data, pub, 5, t0); err != nil {
		t.Error(err)
	}
	if _, err := Open(good.Data, "", 0, t0); err == nil {
		t.Error("opened without a key")
	}
}

// One flipped bit anywhere must be noticed.
func TestOpenNoticesEveryBit(t *testing.T) {
	b := build(t, Options{}, mandate(t, "O1", nil, "outlook-verify.net"))
	want := mustOpen(t, b)
	for i := range b.Data {
		for bit := range 8 {
			data := bytes.Clone(b.Data)
			data[i] ^= 1 << bit
			p, err := Open(data, pub, 0, t0)
			// The JSON of the signature line can say the same in other
			// spellings (a letter's case in a key); what the hub signed can't.
			if err == nil && p.Hash() != want.Hash() {
				t.Fatalf("bit %d of octet %d flipped, and the bundle opened", bit, i)
			}
		}
	}
}

func TestKeepRefusesReplayAfterRestart(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "policy")
	m := mandate(t, "O1", nil, "outlook-verify.net")
	b1, b2 := build(t, Options{Serial: 1}, m), build(t, Options{Serial: 2}, m)
	b2b := build(t, Options{Serial: 2, Valid: time.Hour}, m)
	k, err := Keep(dir, pub)
	if err != nil {
		t.Fatal(err)
	}
	if p, err := k.Load(t0); p != nil || err != nil {
		t.Fatalf("an empty folder gave %v, %v", p, err)
	}
	accept := func(what string, b *Bundle, want bool) {
		t.Helper()
		_, err := k.Accept(b.Data, t0)
		if (err == nil) != want {
			t.Fatalf("%s: accepted %v, want %v (%v)", what, err == nil, want, err)
		}
		if err != nil && impound.KindOf(err) != impound.KindRefused {
			t.Fatalf("%s: kind %s", what, impound.KindOf(err))
		}
	}
	accept("first", b1, true)
	accept("second", b2, true)
	accept("the same again", b2, true)
	accept("another with the same serial", b2b, false)
	accept("the first again", b1, false)

	k, err = Keep(dir, pub) // restart
	if err != nil {
		t.Fatal(err)
	}
	p, err := k.Load(t0)
	if err != nil || p.Serial() != 2 {
		t.Fatalf("Load = %v, %v", p, err)
	}
	accept("the first after a restart", b1, false)

	// The bundle lost, or an older one put in its place by hand.
	if err := os.WriteFile(filepath.Join(dir, bundleFile), b1.Data, 0o600); err != nil {
		t.Fatal(err)
	}
	if p, err := k.Load(t0); err == nil {
		t.Fatalf("an older bundle put in by hand was loaded: serial %d", p.Serial())
	}
	if err := os.Remove(filepath.Join(dir, bundleFile)); err != nil {
		t.Fatal(err)
	}
	accept("the first after the folder lost the bundle", b1, false)
	// A crash between the two files.
	if err := os.WriteFile(filepath.Join(dir, bundleFile), b2.Data, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(filepath.Join(dir, serialFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	accept("the first after a crash between the files", b1, false)
	if _, err := k.Load(t0.Add(DefaultValid)); impound.KindOf(err) != impound.KindRefused {
		t.Errorf("an ended bundle was loaded: %v", err)
	}
}

// The compiled table agrees with the definition, [impound.Name.AtOrBelow].
func TestLookupAgreesWithDefinition(t *testing.T) {
	label := rapid.StringMatching(`[a-c_][a-c-]?[ab]`)
	tld := rapid.SampledFrom([]string{"net", "com"})
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.Custom(func(t *rapid.T) string {
			ls := rapid.SliceOfN(label, 1, 4).Draw(t, "labels")
			return strings.Join(ls, ".") + "." + tld.Draw(t, "tld")
		})
		listed := rapid.SliceOfN(name, 0, 30).Draw(t, "listed")
		tab, err := compile([][]string{listed})
		if err != nil {
			t.Fatal(err)
		}
		for _, q := range append(rapid.SliceOfN(name, 1, 30).Draw(t, "asked"), listed...) {
			want := ""
			for _, z := range listed {
				if impound.MustName(q).AtOrBelow(impound.MustName(z)) && len(z) > len(want) {
					want = z
				}
			}
			w, ok := appendWire(nil, q)
			if !ok {
				t.Fatalf("appendWire(%q) failed", q)
			}
			got := ""
			tab.find(w, func(rec uint32) bool { got, _ = tab.record(rec); return true })
			if got != want {
				t.Fatalf("find(%q) = %q, want %q", q, got, want)
			}
		}
	})
}

func TestLookupDoesNotAllocate(t *testing.T) {
	p := mustOpen(t, build(t, Options{}, mandate(t, "O1", nil, "outlook-verify.net")))
	w, _ := appendWire(nil, "www.outlook-verify.net")
	if n := testing.AllocsPerRun(100, func() { p.LookupWire(w, t0) }); n != 0 {
		t.Errorf("LookupWire allocates %v times", n)
	}
	if n := testing.AllocsPerRun(100, func() { p.Lookup("www.outlook-verify.net", t0) }); n != 0 {
		t.Errorf("Lookup allocates %v times", n)
	}
}

func FuzzOpen(f *testing.F) {
	b := build(f, Options{}, mandate(f, "O1", nil, "outlook-verify.net"))
	f.Add(b.Data)
	f.Add([]byte(magic + "{}\n{}"))
	f.Add([]byte(magic))
	want := mustOpen(f, b).Hash()
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := Open(data, pub, 0, t0)
		if err == nil && p.Hash() != want {
			t.Fatal("opened a bundle that the hub never made")
		}
	})
}

// The payload itself, as if the hub's key had been stolen: still no panic.
func FuzzPayload(f *testing.F) {
	b := build(f, Options{}, mandate(f, "O1", nil, "outlook-verify.net"))
	f.Add(b.Data[bytes.LastIndex(b.Data, []byte("\n"))+1:])
	f.Add([]byte(`{"impound":"policy/v1","serial":1,"made":"2026-11-21T12:00:00Z","not_after":"2026-11-22T12:00:00Z","orders":[{"id":"x","from":"2026-11-21T12:00:00Z","until":"2026-11-22T12:00:00Z","capture":"count","names":["a","a.b","a"]}]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		data, err := seal(hub, body, t0)
		if err != nil {
			t.Fatal(err)
		}
		if p, err := Open(data, pub, 0, t0); err == nil {
			p.Lookup("www.outlook-verify.net", t0)
			p.Lookup("a.b", t0)
		}
	})
}

func FuzzLookupWire(f *testing.F) {
	p := mustOpen(f, build(f, Options{}, mandate(f, "O1", nil, "outlook-verify.net")))
	w, _ := appendWire(nil, "www.outlook-verify.net")
	f.Add(w)
	f.Add(w[:7])
	f.Add([]byte{0})
	f.Add([]byte{0xc0, 0})
	f.Fuzz(func(t *testing.T, b []byte) { p.LookupWire(b, t0) })
}

func randomNames(n int) []string {
	r := rand.New(rand.NewPCG(1, 2))
	out := make([]string, n)
	for i := range out {
		out[i] = fmt.Sprintf("%x-%d.net", r.Uint64(), i)
	}
	return out
}

func BenchmarkOpen(b *testing.B) {
	for _, n := range []int{100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			body, err := impound.CanonicalJSON(payload{Format: Format, Serial: 1, Made: t0, NotAfter: t0.Add(time.Hour), Orders: []orderPart{{
				Terms: Terms{ID: "O", From: t0, Until: t0.Add(time.Hour), Capture: impound.CaptureContact}, Names: randomNames(n)}}})
			if err != nil {
				b.Fatal(err)
			}
			data, err := seal(hub, body, t0)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				p, err := Open(data, pub, 0, t0)
				if err != nil {
					b.Fatal(err)
				}
				b.ReportMetric(float64(len(p.table.slots)*8+len(p.table.arena))/1e6, "MB-kept")
			}
		})
	}
}

func BenchmarkLookupWire(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			names := randomNames(n)
			tab, err := compile([][]string{names})
			if err != nil {
				b.Fatal(err)
			}
			p := &Policy{end: t0.Add(time.Hour).UnixNano(), orders: []Terms{{From: t0, Until: t0.Add(time.Hour)}}, table: tab}
			p.spread()
			asked := make([][]byte, 4096)
			for i := range asked {
				asked[i], _ = appendWire(nil, "www."+names[i*len(names)/len(asked)])
			}
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				if _, ok := p.LookupWire(asked[i&4095], t0); !ok {
					b.Fatal("not found")
				}
				i++
			}
		})
	}
}
