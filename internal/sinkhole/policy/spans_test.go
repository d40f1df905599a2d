package policy

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/impound/impound"
)

// Whatever orders hold a name, what a lookup gives is what their definition
// says: nothing outside their dates, and no more than the strictest of them.
func TestSpansAgreeWithDefinition(t *testing.T) {
	levels := []impound.CaptureLevel{impound.CaptureCount, impound.CaptureContact, impound.CaptureLure}
	certs := []impound.Certificates{impound.CertsNone, impound.CertsSelf, "", impound.CertsACME}
	names := []string{"a.net", "b.a.net", "c.b.a.net", "d.net"}
	rapid.Check(t, func(t *rapid.T) {
		end := rapid.IntRange(5, 30).Draw(t, "end")
		at := func(s int) time.Time { return t0.Add(time.Duration(s) * time.Second) }
		body := payload{Format: Format, Serial: 1, Made: t0, NotAfter: at(end)}
		for i := range rapid.IntRange(0, 12).Draw(t, "orders") {
			from := rapid.IntRange(0, 20).Draw(t, "from")
			body.Orders = append(body.Orders, orderPart{Terms: Terms{
				ID: fmt.Sprint("O", i), From: at(from), Until: at(from + rapid.IntRange(1, 15).Draw(t, "for")),
				Capture: rapid.SampledFrom(levels).Draw(t, "level"), Certificates: rapid.SampledFrom(certs).Draw(t, "certs"),
				KeepBits4: rapid.IntRange(0, 3).Draw(t, "k4") * 8, KeepBits6: rapid.IntRange(0, 3).Draw(t, "k6") * 16,
				RetentionDays: rapid.IntRange(1, 3).Draw(t, "days"),
			}, Names: rapid.SliceOf(rapid.SampledFrom(names)).Draw(t, "names")})
		}
		b, err := impound.CanonicalJSON(body)
		if err != nil {
			t.Fatal(err)
		}
		data, err := seal(hub, b, t0)
		if err != nil {
			t.Fatal(err)
		}
		p, err := Open(data, pub, 0, t0)
		if err != nil {
			t.Fatal(err)
		}
		inForce := func(holds func(o orderPart) bool, s int) (out []orderPart) {
			for _, o := range body.Orders {
				if s < end && !at(s).Before(o.From) && at(s).Before(o.Until) && holds(o) {
					out = append(out, o)
				}
			}
			return out
		}
		strict := func(what string, got *Terms, os []orderPart) {
			k4, k6 := 1000, 1000
			for _, o := range os {
				if rank(got.Capture) > rank(o.Capture) || certRank(got.Certificates) > certRank(o.Certificates) {
					t.Fatalf("%s: %+v is looser than order %+v", what, got, o)
				}
				if o.KeepBits4 > 0 {
					k4 = min(k4, o.KeepBits4)
				}
				if o.KeepBits6 > 0 {
					k6 = min(k6, o.KeepBits6)
				}
			}
			if k4%1000 != got.KeepBits4 || k6%1000 != got.KeepBits6 {
				t.Fatalf("%s keeps %d and %d bits, want %d and %d (0 for all)", what, got.KeepBits4, got.KeepBits6, k4%1000, k6%1000)
			}
			if !slices.ContainsFunc(os, func(o orderPart) bool { return rank(o.Capture) == rank(got.Capture) }) ||
				!slices.ContainsFunc(os, func(o orderPart) bool { return certRank(o.Certificates) == certRank(got.Certificates) }) {
				t.Fatalf("%s: %+v is stricter than every order", what, got)
			}
		}
		for s := range 40 {
			for _, name := range names {
				var zone string
				var own []orderPart
				for _, z := range names {
					if !impound.MustName(name).AtOrBelow(impound.MustName(z)) || len(z) < len(zone) {
						continue
					}
					if os := inForce(func(o orderPart) bool { return slices.Contains(o.Names, z) }, s); len(os) > 0 {
						zone, own = z, os
					}
				}
				m, ok := p.Lookup("x."+name, at(s))
				if ok != (own != nil) || ok && m.Zone != zone {
					t.Fatalf("%s at %d: %q, %v; want %q", name, s, m.Zone, ok, zone)
				}
				if !ok {
					if m.Order != nil {
						t.Fatal("terms of an order that is not in force")
					}
					continue
				}
				strict(name, m.Order, inForce(func(o orderPart) bool {
					return slices.ContainsFunc(o.Names, func(n string) bool { return impound.MustName(zone).AtOrBelow(impound.MustName(n)) })
				}, s))
				best := own[0]
				for _, o := range own {
					if rank(o.Capture) < rank(best.Capture) || o.Capture == best.Capture && o.RetentionDays < best.RetentionDays {
						best = o
					}
				}
				if m.Order.ID != best.ID {
					t.Fatalf("%s at %d: order %s, want %s", name, s, m.Order.ID, best.ID)
				}
				until := s
				for len(inForce(func(o orderPart) bool { return slices.Contains(o.Names, zone) }, until)) > 0 {
					until++
				}
				if !m.Until().Equal(at(until)) {
					t.Fatalf("%s at %d: until %s, want %s", name, s, m.Until(), at(until))
				}
			}
			os := inForce(func(orderPart) bool { return true }, s)
			f, ok := p.FloorTerms(at(s))
			if ok != (len(os) > 0) {
				t.Fatalf("floor at %d: %v", s, ok)
			}
			if ok {
				strict("floor", f, os)
			}
		}
	})
}

// Dates beyond what nanoseconds can count mean "never", not "not at all".
func TestOrderWithoutEnd(t *testing.T) {
	m := mandate(t, "O1", func(o *impound.Order) { o.Until = time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }, "outlook-verify.net")
	p := mustOpen(t, build(t, Options{}, m))
	if _, ok := p.Lookup("outlook-verify.net", t0); !ok {
		t.Error("an order until 9999 is not in force")
	}
}

func TestFloorDoesNotAllocate(t *testing.T) {
	var ms []*impound.Mandate
	for i := range 20 {
		ms = append(ms, mandate(t, fmt.Sprint("O", i), func(o *impound.Order) { o.Until = t0.Add(time.Duration(i+1) * time.Minute) }, fmt.Sprintf("n%d.net", i)))
	}
	p := mustOpen(t, build(t, Options{}, ms...))
	if n := testing.AllocsPerRun(100, func() { p.FloorTerms(t0) }); n != 0 {
		t.Errorf("FloorTerms allocates %v times", n)
	}
}
