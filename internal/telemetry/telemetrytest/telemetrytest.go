// Package telemetrytest holds the contract that every engine of telemetry
// passes.
//
// What lives here: the suite. What must not: anything that only one engine
// promises; that is tested beside the engine.
package telemetrytest

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/netip"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/telemetry"
)

// Browser is the User-Agent of a person in these tests.
const Browser = "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"

// T0 is the first instant of these tests.
var T0 = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// Event makes an HTTP event at capture level contact.
func Event(seq uint64, at time.Time, src, zone, path, agent string) impound.Event {
	return impound.Event{
		Sensor: "s1", Seq: seq, At: at, Proto: impound.ProtoHTTP, Src: netip.AddrPortFrom(netip.MustParseAddr(src), 40000+uint16(seq%20000)),
		Dst: netip.MustParseAddrPort("203.0.113.5:80"), Name: zone, Zone: zone, Order: "O-1", Capture: impound.CaptureContact, Outcome: "answered",
		Method: "GET", Path: path, Status: 200, UserAgent: agent,
	}
}

// Run runs the contract. open gives a fresh, empty engine each time.
func Run(t *testing.T, open func(testing.TB) telemetry.Engine) {
	ctx := context.Background()
	nets, ps := telemetry.LoadNetworks(stringsReader("prefix,asn,name,country,abuse,sector,kind\n198.51.100.0/24,64500,Example Access,DE,abuse@example.net,academia,access\n192.0.2.0/24,64501,Example Cloud,US,abuse@example.com,,hosting\n"), "networks.csv")
	if len(ps) > 0 {
		t.Fatal(ps)
	}
	newDB := func(t testing.TB) *telemetry.DB {
		db := telemetry.New(open(t), telemetry.Options{Networks: nets, CaseOf: func(o string) string {
			if o == "" {
				return ""
			}
			return "CASE-" + o
		}})
		t.Cleanup(func() { db.Close() })
		return db
	}
	t.Run("gaps", func(t *testing.T) {
		db := newDB(t)
		gap := impound.Event{Sensor: "s1", Seq: 2, At: T0, Outcome: impound.OutcomeGap, Len: 7, Capture: impound.CaptureCount}
		first := Event(1, T0.Add(-time.Hour), "198.51.100.7", "a.com", "/", Browser)
		add := func(n int, evs ...impound.Event) {
			t.Helper()
			if got, err := db.Ingest(ctx, evs); err != nil || got != n {
				t.Fatalf("%d new, %v; want %d", got, err, n)
			}
		}
		want := func(from, to time.Time, gs ...impound.Gap) {
			t.Helper()
			got, err := db.Gaps(ctx, from, to)
			if d := cmp.Diff(gs, got, cmpopts.EquateEmpty()); err != nil || d != "" {
				t.Errorf("%v %s", err, d)
			}
		}
		g := impound.Gap{Sensor: "s1", Seq: 2, From: T0, Missing: 7}
		add(2, first, gap)
		want(time.Time{}, time.Time{}, g)
		other := Event(9, T0.Add(time.Minute), "198.51.100.7", "a.com", "/", Browser)
		other.Sensor = "s2"
		add(1, other) // of another sensor: ends nothing
		want(time.Time{}, time.Time{}, g)
		add(1, gap, Event(3, T0.Add(5*time.Minute), "198.51.100.7", "a.com", "/", Browser))
		g.To = T0.Add(5 * time.Minute)
		want(time.Time{}, time.Time{}, g)
		want(T0.Add(-time.Hour), T0)
		want(T0.Add(time.Hour), time.Time{})
		want(T0.Add(time.Minute), T0.Add(2*time.Minute), g)
		cs, err := db.Contacts(ctx, telemetry.Filter{})
		if err != nil || len(cs) != 3 {
			t.Errorf("a gap counts as a contact: %d, %v", len(cs), err)
		}
		add(0, gap)
	})
	lure := "/s/9f8a7b6c5d4e3f21"
	ingest := func(t testing.TB, db *telemetry.DB, evs ...impound.Event) int {
		t.Helper()
		n, err := db.Ingest(ctx, evs)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	all := func(t testing.TB, db *telemetry.DB, f telemetry.Filter) []impound.Contact {
		t.Helper()
		cs, err := db.Contacts(ctx, f)
		if err != nil {
			t.Fatal(err)
		}
		return cs
	}

	t.Run("exactly once", func(t *testing.T) {
		db := newDB(t)
		a, b, c := Event(1, T0, "198.51.100.7", "a.example", lure, Browser), Event(2, T0.Add(time.Second), "198.51.100.7", "a.example", "/favicon.ico", Browser), Event(5, T0.Add(2*time.Second), "198.51.100.8", "a.example", "/", Browser)
		if n := ingest(t, db, a, b, a); n != 2 {
			t.Errorf("first: %d new, want 2", n)
		}
		if n := ingest(t, db, a, b, c); n != 1 {
			t.Errorf("again: %d new, want 1", n)
		}
		late := Event(4, T0.Add(time.Second), "198.51.100.9", "a.example", "/", Browser)
		if n := ingest(t, db, late); n != 1 {
			t.Errorf("a late one into a hole: %d new, want 1", n)
		}
		other := a
		other.Sensor = "s2"
		if n := ingest(t, db, other); n != 1 {
			t.Errorf("same number of another sensor: %d new, want 1", n)
		}
		for sensor, want := range map[string]uint64{"s1": 5, "s2": 1, "none": 0} {
			if got, err := db.Cursor(ctx, sensor); err != nil || got != want {
				t.Errorf("cursor of %s: %d, %v, want %d", sensor, got, err, want)
			}
		}
		if got := len(all(t, db, telemetry.Filter{})); got != 5 {
			t.Errorf("%d contacts, want 5", got)
		}
	})

	t.Run("nothing of a bad batch is taken", func(t *testing.T) {
		db := newDB(t)
		bad := Event(2, time.Time{}, "198.51.100.7", "a.example", "/", Browser)
		_, err := db.Ingest(ctx, []impound.Event{Event(1, T0, "198.51.100.7", "a.example", "/", Browser), bad})
		if impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("got %v", err)
		}
		if got := all(t, db, telemetry.Filter{}); len(got) != 0 {
			t.Errorf("%d contacts were kept", len(got))
		}
	})

	t.Run("a contact comes back whole", func(t *testing.T) {
		db := newDB(t)
		e := Event(1, T0, "198.51.100.7", "a.example", lure, Browser)
		e.Capture, e.LureHash, e.Lure, e.SNI, e.JA4, e.Referer = impound.CaptureLure, "h1", "age...", "a.example", "t13d", "mail.google.com"
		ingest(t, db, e)
		got := all(t, db, telemetry.Filter{})
		want := []impound.Contact{{Event: e, Case: "CASE-O-1", Class: impound.ClassVictim, Network: impound.Network{Prefix: netip.MustParsePrefix("198.51.100.0/24"), ASN: 64500, Name: "Example Access", Country: "DE", Abuse: "abuse@example.net", Sector: "academia"}}}
		if d := cmp.Diff(want, got, cmpopts.IgnoreFields(impound.Contact{}, "Confidence", "Reasons"), cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" {
			t.Error(d)
		}
		if len(got) == 1 && (got[0].Confidence < 0.6 || len(got[0].Reasons) == 0) {
			t.Errorf("no confidence or reasons: %+v", got[0])
		}
	})

	t.Run("capture level count keeps no address", func(t *testing.T) {
		db := newDB(t)
		e := Event(1, T0.Add(17*time.Second), "198.51.100.7", "a.example", lure, Browser)
		e.Capture, e.LureHash = impound.CaptureCount, "h"
		ingest(t, db, e)
		c := all(t, db, telemetry.Filter{})[0]
		if c.Src.IsValid() || c.UserAgent != "" || c.Path != "" || c.LureHash != "" || !c.At.Equal(T0) || c.Network.ASN != 0 {
			t.Errorf("kept %+v", c)
		}
		if c.Class == impound.ClassVictim {
			t.Error("a contact without an address is a victim")
		}
	})

	t.Run("later events change earlier verdicts", func(t *testing.T) {
		db := newDB(t)
		v0, _ := db.Version(ctx)
		ingest(t, db, Event(1, T0, "198.51.100.7", "a.example", lure, Browser))
		if c := all(t, db, telemetry.Filter{})[0]; c.Class != impound.ClassVictim {
			t.Fatalf("alone it is %s: %v", c.Class, c.Reasons)
		}
		v1, _ := db.Version(ctx)
		ingest(t, db, Event(2, T0.Add(time.Minute), "198.51.100.7", "a.example", "/.env", "zgrab/0.x"), Event(3, T0.Add(2*time.Minute), "198.51.100.7", "b.example", "/wp-login.php", Browser))
		v2, _ := db.Version(ctx)
		for _, c := range all(t, db, telemetry.Filter{}) {
			if c.Class == impound.ClassVictim {
				t.Errorf("%d is still a victim: %v", c.Seq, c.Reasons)
			}
		}
		if n, _ := db.Counts(ctx, telemetry.Filter{}); n[impound.ClassVictim] != 0 || n[impound.ClassScanner] == 0 {
			t.Errorf("the sums did not follow: %v", n)
		}
		if !(v0 < v1 && v1 < v2) {
			t.Errorf("versions %d %d %d", v0, v1, v2)
		}
	})

	t.Run("the order of arrival changes nothing", func(t *testing.T) {
		one, two := newDB(t), newDB(t)
		run := 0
		rapid.Check(t, func(rt *rapid.T) {
			run++ // each with a sensor, an address and an order of its own
			f := telemetry.Filter{Order: fmt.Sprintf("O-%d", run)}
			n := rapid.IntRange(1, 14).Draw(rt, "n")
			paths := []string{"/", lure, "/favicon.ico", "/.env"}
			agents := []string{Browser, "curl/8", ""}
			var evs []impound.Event
			for i := range n {
				e := Event(uint64(i+1), T0.Add(time.Duration(rapid.IntRange(0, 100).Draw(rt, "h"))*time.Hour), netip.AddrFrom4([4]byte{198, 51, byte(run >> 8), byte(run)}).String(),
					fmt.Sprintf("n%d.example", rapid.IntRange(0, 6).Draw(rt, "z")), rapid.SampledFrom(paths).Draw(rt, "p"), rapid.SampledFrom(agents).Draw(rt, "a"))
				if rapid.Bool().Draw(rt, "dns") {
					e.Proto, e.Method, e.Path, e.UserAgent, e.QType = impound.ProtoDNS, "", "", "", 1
				}
				e.Sensor, e.Order = f.Order, f.Order
				evs = append(evs, e)
			}
			if _, err := one.Ingest(ctx, evs); err != nil {
				rt.Fatal(err)
			}
			shuffled := slices.Clone(evs)
			r := rand.New(rand.NewPCG(rapid.Uint64().Draw(rt, "seed"), 1))
			r.Shuffle(n, func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
			for i := 0; i < n; {
				k := min(n, i+1+r.IntN(4))
				if _, err := two.Ingest(ctx, shuffled[max(0, i-1):k]); err != nil { // the edge twice
					rt.Fatal(err)
				}
				i = k
			}
			a, _ := one.Contacts(ctx, f)
			b, _ := two.Contacts(ctx, f)
			if d := cmp.Diff(a, b, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b }), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); d != "" || len(a) != n {
				rt.Fatalf("%d of %d contacts: %s", len(a), n, d)
			}
			// The sums say what a count of the contacts says.
			for _, db := range []*telemetry.DB{one, two} {
				want := map[impound.Class]int{}
				for _, c := range a {
					want[c.Class]++
				}
				got, err := db.Counts(ctx, f)
				if err != nil || !maps.Equal(got, want) {
					rt.Fatalf("counts %v, contacts %v, %v", got, want, err)
				}
				for _, step := range []time.Duration{time.Minute, time.Hour, 24 * time.Hour} {
					sum := map[impound.Class]int{}
					bs, err := db.Series(ctx, f, step)
					if err != nil {
						rt.Fatal(err)
					}
					for i, b := range bs {
						if i > 0 && b.At.Sub(bs[i-1].At) != step {
							rt.Fatalf("a hole in the series at %s", b.At)
						}
						for c, n := range b.Counts {
							sum[c] += n
						}
					}
					if !maps.Equal(sum, want) {
						rt.Fatalf("series of %s: %v, contacts %v", step, sum, want)
					}
				}
			}
		})
	})

	t.Run("filters and pages", func(t *testing.T) {
		db := newDB(t)
		var evs []impound.Event
		for i := range 25 {
			e := Event(uint64(i+1), T0.Add(time.Duration(i/3)*time.Minute), fmt.Sprintf("198.51.100.%d", i+1), "a.example", lure, Browser)
			if i%5 == 0 {
				e.Zone, e.Name, e.Order, e.Src = "b.example", "b.example", "O-2", netip.AddrPortFrom(netip.MustParseAddr("192.0.2.9"), 4000)
			}
			evs = append(evs, e)
		}
		ingest(t, db, evs...)
		for name, c := range map[string]struct {
			f    telemetry.Filter
			want int
		}{
			"all":   {telemetry.Filter{}, 25},
			"case":  {telemetry.Filter{Case: "CASE-O-2"}, 5},
			"order": {telemetry.Filter{Order: "O-1"}, 20},
			"zone":  {telemetry.Filter{Zone: "b.example"}, 5},
			"class": {telemetry.Filter{Class: impound.ClassVictim}, 20},
			"asn":   {telemetry.Filter{ASN: 64501}, 5},
			"proto": {telemetry.Filter{Proto: impound.ProtoHTTP, Zone: "b.example"}, 5},
			"dns":   {telemetry.Filter{Proto: impound.ProtoDNS}, 0},
			"none":  {telemetry.Filter{ASN: 1}, 0},
			"from":  {telemetry.Filter{From: T0.Add(2 * time.Minute)}, 19},
			"to":    {telemetry.Filter{To: T0.Add(2 * time.Minute)}, 6},
			"limit": {telemetry.Filter{Limit: 4}, 4},
		} {
			if got := len(all(t, db, c.f)); got != c.want {
				t.Errorf("%s: %d contacts, want %d", name, got, c.want)
			}
			if name == "limit" {
				continue
			}
			n, err := db.Counts(ctx, c.f)
			if err != nil {
				t.Fatal(err)
			}
			sum := 0
			for _, v := range n {
				sum += v
			}
			if sum != c.want {
				t.Errorf("%s: counted %d, want %d", name, sum, c.want)
			}
		}
		for _, desc := range []bool{false, true} {
			var seqs []uint64
			err := db.Each(ctx, telemetry.Filter{Limit: 4, Desc: desc}, func(c impound.Contact) error { seqs = append(seqs, c.Seq); return nil })
			if err != nil {
				t.Fatal(err)
			}
			want := make([]uint64, 25)
			for i := range want {
				want[i] = uint64(i + 1)
			}
			if desc {
				slices.Reverse(want)
			}
			if !slices.Equal(seqs, want) {
				t.Errorf("desc=%v: %v", desc, seqs)
			}
		}
		if _, err := db.Contacts(ctx, telemetry.Filter{After: "x"}); impound.KindOf(err) != impound.KindInvalid {
			t.Errorf("a bad cursor: %v", err)
		}
		by, err := db.CountsByZone(ctx, telemetry.Filter{Class: impound.ClassVictim})
		if d := cmp.Diff([]telemetry.Count{{Zone: "a.example", Class: impound.ClassVictim, N: 20}}, by); err != nil || d != "" {
			t.Error(err, d)
		}
	})

	t.Run("victims by network", func(t *testing.T) {
		db := newDB(t)
		ingest(t, db,
			Event(1, T0, "198.51.100.7", "a.example", lure, Browser),
			Event(2, T0.Add(time.Second), "198.51.100.7", "b.example", lure, Browser),
			Event(3, T0.Add(time.Hour), "198.51.100.8", "a.example", lure, Browser),
			Event(4, T0, "2001:db8::1", "a.example", lure, Browser),
			Event(5, T0, "2001:db8::2", "a.example", lure, Browser),
			Event(6, T0, "192.0.2.1", "a.example", "/", "curl/8"))
		got, err := db.Victims(ctx, telemetry.Filter{})
		want := []telemetry.NetworkCount{
			{Network: impound.Network{Prefix: netip.MustParsePrefix("198.51.100.0/24"), ASN: 64500, Name: "Example Access", Country: "DE", Abuse: "abuse@example.net", Sector: "academia"}, Victims: 2, Contacts: 3, First: T0, Last: T0.Add(time.Hour), Names: []string{"a.example", "b.example"}},
			{Victims: 1, Contacts: 2, First: T0, Last: T0, Names: []string{"a.example"}}, // one /64 is one source
		}
		if d := cmp.Diff(want, got, cmp.Comparer(func(a, b netip.Prefix) bool { return a == b })); err != nil || d != "" {
			t.Error(err, d)
		}
	})

	t.Run("purge keeps the sums", func(t *testing.T) {
		db := newDB(t)
		old, young := Event(1, T0, "198.51.100.7", "a.example", lure, Browser), Event(2, T0.Add(40*24*time.Hour), "198.51.100.7", "a.example", lure, Browser)
		kept := Event(3, T0, "198.51.100.9", "b.example", lure, Browser)
		kept.Order = "O-2"
		gone := Event(4, T0, "198.51.100.9", "", "/", Browser)
		gone.Order, gone.Zone = "", ""
		ingest(t, db, old, young, kept, gone)
		before, _ := db.Counts(ctx, telemetry.Filter{})
		p, err := db.Purge(ctx, T0.Add(41*24*time.Hour), func(o string) (int, bool) {
			return map[string]int{"O-1": 30, "": 0}[o], o != "O-2"
		})
		if d := cmp.Diff(telemetry.Purged{Contacts: 2, Unknown: []string{"O-2"}}, p); err != nil || d != "" {
			t.Error(err, d)
		}
		var seqs []uint64
		for _, c := range all(t, db, telemetry.Filter{}) {
			seqs = append(seqs, c.Seq)
		}
		slices.Sort(seqs)
		if !slices.Equal(seqs, []uint64{2, 3}) {
			t.Errorf("left: %v", seqs)
		}
		if after, _ := db.Counts(ctx, telemetry.Filter{}); !maps.Equal(before, after) {
			t.Errorf("sums %v, before %v", after, before)
		}
		if n := ingest(t, db, old); n != 0 {
			t.Error("a purged contact came back")
		}
	})

	t.Run("a heavy source", func(t *testing.T) {
		db := newDB(t)
		var evs []impound.Event
		for i := range 1500 {
			evs = append(evs, Event(uint64(i+1), T0.Add(time.Duration(i)*time.Second), "198.51.100.7", "a.example", "/", "curl/8"))
		}
		for i := 0; i < len(evs); i += 700 {
			ingest(t, db, evs[i:min(i+700, len(evs))]...)
		}
		n, err := db.Counts(ctx, telemetry.Filter{})
		if want := map[impound.Class]int{impound.ClassScanner: 1500}; err != nil || !maps.Equal(n, want) {
			t.Errorf("%v, %v", n, err)
		}
	})
}
