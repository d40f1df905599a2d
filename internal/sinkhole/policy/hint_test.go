package policy

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/impound/impound"
)

// Whatever is asked, a lookup by a hint finds what one without does: touched or
// not, for names that are listed, lapsed, below others, too deep, or none.
func TestHintFindsTheSame(t *testing.T) {
	label := rapid.StringMatching(`[a-b]?[ab]`)
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.Custom(func(t *rapid.T) string {
			ls := rapid.SliceOfN(label, 1, rapid.SampledFrom([]int{2, 5}).Draw(t, "most")).Draw(t, "labels")
			return strings.Join(ls, ".") + ".net"
		})
		first, second := rapid.SliceOfN(name, 0, 20).Draw(t, "first"), rapid.SliceOfN(name, 0, 20).Draw(t, "second")
		tab, err := compile([][]string{first, second})
		if err != nil {
			t.Fatal(err)
		}
		p := &Policy{end: t0.Add(time.Hour).UnixNano(), table: tab, orders: []Terms{
			{ID: "1", From: t0, Until: t0.Add(time.Minute), Capture: impound.CaptureContact},
			{ID: "2", From: t0.Add(30 * time.Second), Until: t0.Add(2 * time.Minute), Capture: impound.CaptureCount}}}
		p.spread()
		asked := append(append(rapid.SliceOfN(name, 1, 40).Draw(t, "asked"), first...), second...)
		wires := make([][]byte, len(asked))
		hints, untouched := make([]Hint, len(asked)), make([]Hint, len(asked))
		for i, a := range asked {
			wires[i], _ = appendWire(nil, a)
			if i == 0 && rapid.Bool().Draw(t, "cut") {
				wires[i] = wires[i][:len(wires[i])-2]
			}
			p.Hint(wires[i], &hints[i])
			p.Hint(wires[i], &untouched[i])
		}
		p.Touch(hints)
		for _, at := range []time.Duration{0, 45 * time.Second, 90 * time.Second, time.Hour} {
			for i, w := range wires {
				want, ok1 := p.LookupWire(w, t0.Add(at))
				for _, h := range []*Hint{&hints[i], &untouched[i], {}} {
					if got, ok2 := p.LookupHint(w, h, t0.Add(at)); ok1 != ok2 || got != want {
						t.Fatalf("%q at +%s: %+v, %v; by hint %+v, %v", asked[i], at, want, ok1, got, ok2)
					}
				}
			}
		}
	})
}

// Two names of one fingerprint must not hide each other.
func TestHintOfEqualFingerprints(t *testing.T) {
	tab, err := compile([][]string{{"a.net", "b.net"}})
	if err != nil {
		t.Fatal(err)
	}
	p := &Policy{end: t0.Add(time.Hour).UnixNano(), table: tab, orders: []Terms{{From: t0, Until: t0.Add(time.Hour)}}}
	p.spread()
	w, _ := appendWire(nil, "a.net")
	other, _ := appendWire(nil, "b.net")
	h := make([]Hint, 2)
	p.Hint(w, &h[0])
	p.Hint(other, &h[1])
	p.Touch(h)
	h[0].rec[0] = h[1].rec[0] // as if both fingerprints were the same
	if m, ok := p.LookupHint(w, &h[0], t0); !ok || m.Zone != "a.net" {
		t.Errorf("%+v, %v", m, ok)
	}
}

// A policy that was swapped meanwhile is asked without the hint of the old one.
func TestHintOfAnotherPolicy(t *testing.T) {
	a := mustOpen(t, build(t, Options{}, mandate(t, "O1", nil, "outlook-verify.net")))
	b := mustOpen(t, build(t, Options{}, mandate(t, "O2", nil, "verification-live.com")))
	var h [2]Hint
	for i, n := range []string{"outlook-verify.net", "www.verification-live.com"} {
		w, _ := appendWire(nil, n)
		a.Hint(w, &h[i])
		a.Touch(h[:])
		want, ok1 := b.LookupWire(w, t0)
		got, ok2 := b.LookupHint(w, &h[i], t0)
		if got != want || ok1 != ok2 {
			t.Errorf("%s: %+v, %v; %+v, %v", n, want, ok1, got, ok2)
		}
	}
	var none *Policy
	none.Hint([]byte{0}, &h[0])
	none.Touch(h[:])
	if _, ok := none.LookupHint([]byte{0}, &h[0], t0); ok {
		t.Error("no policy found a name")
	}
}

func BenchmarkHint(b *testing.B) {
	for _, n := range []int{1_000, 100_000, 1_000_000} {
		names := randomNames(n)
		tab, err := compile([][]string{names})
		if err != nil {
			b.Fatal(err)
		}
		p := &Policy{end: t0.Add(time.Hour).UnixNano(), orders: []Terms{{From: t0, Until: t0.Add(time.Hour)}}, table: tab}
		p.spread()
		asked := make([][]byte, 1<<16)
		for i := range asked {
			asked[i], _ = appendWire(nil, "www."+names[i*7919%n])
		}
		var h [64]Hint
		for _, touch := range []bool{false, true} {
			name := "one by one"
			if touch {
				name = "touched"
			}
			b.Run(fmt.Sprint(name, "/", n), func(b *testing.B) {
				for i := 0; b.Loop(); i++ {
					if i&63 != 0 {
						continue
					}
					for k := range h {
						p.Hint(asked[(i+k)&(1<<16-1)], &h[k])
					}
					if touch {
						p.Touch(h[:])
					}
					for k := range h {
						if _, ok := p.LookupHint(asked[(i+k)&(1<<16-1)], &h[k], t0); !ok {
							b.Fatal("not found")
						}
					}
				}
			})
		}
	}
}
