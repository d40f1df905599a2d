package dga

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/impound/impound/internal/watch/dga/model"
)

func TestBuiltInModel(t *testing.T) {
	m, err := model.Decode(modelBin)
	if err != nil {
		t.Fatal(err)
	}
	if len(modelBin) >= 300_000 || len(m.Families()) < 20 {
		t.Errorf("%d octets, %d families", len(modelBin), len(m.Families()))
	}
}

// toyNames are made by a linear congruential generator.
func toyNames(n, length int) []string {
	out := make([]string, n)
	g := uint32(12345)
	for i := range out {
		b := make([]byte, length)
		for j := range b {
			g = g*1664525 + 1013904223
			b[j] = byte('a' + (g>>16)%26)
		}
		out[i] = string(b) + ".biz"
	}
	return out
}

func TestToyAlgorithmScoresAboveOrdinaryWords(t *testing.T) {
	plain := strings.Fields(`garden-shop.com riverbakery.net oldtownhotel.com weddingphotos.org citydental.com
		coffeehouse.net smithfamily.org travelclub.com musiclessons.net happykids.com xn--bcher-kva.example
		www.plumbersupply.co.uk freshkitchen.se library.example`)
	highest, which := 0.0, ""
	for _, n := range plain {
		p, _ := Score(n)
		if p <= 0 {
			t.Errorf("%s: %g", n, p)
		}
		if p > highest {
			highest, which = p, n
		}
	}
	below := 0
	for _, n := range toyNames(200, 14) {
		p, rs := Score(n)
		if p <= highest {
			below++
		}
		if p >= .1 && (len(rs) == 0 || rs[0].Code != "dga-family") {
			t.Errorf("%s: %g without a reason", n, p)
		}
	}
	if below > 6 {
		t.Errorf("%d of 200 generated names are not above %s (%g)", below, which, highest)
	}
}

func TestScoreOfWhatIsNoName(t *testing.T) {
	for _, n := range []string{"", ".", "com", "a b.com", "192.0.2.1", "a\x00.com", strings.Repeat("a.", 5000) + "com"} {
		if p, rs := Score(n); p != 0 || rs != nil {
			t.Errorf("%.20q: %g %v", n, p, rs)
		}
	}
}

func TestScoresKeepsEveryLineInOrder(t *testing.T) {
	var in, want strings.Builder
	toy := toyNames(3000, 11)
	for i, n := range toy {
		switch i % 4 {
		case 0:
			p, _ := Score(n)
			fmt.Fprintf(&in, "%s\n", n)
			fmt.Fprintf(&want, "%s\t%g\n", n, p)
		case 1:
			p, _ := Score(n)
			fmt.Fprintf(&in, "%s\t2026-01-01\r\n", n)
			fmt.Fprintf(&want, "%s\t%g\n", n, p)
		case 2:
			in.WriteString("\n")
			want.WriteString("\t0\n")
		case 3:
			in.WriteString("no name \xff\n")
			want.WriteString("no name \xff\t0\n")
		}
	}
	in.WriteString(strings.Repeat("a.", 5000) + "com") // no line feed at the end
	want.WriteString(strings.Repeat("a.", 5000) + "com\t0\n")
	var out bytes.Buffer
	if err := Scores(context.Background(), strings.NewReader(in.String()), &out); err != nil {
		t.Fatal(err)
	}
	if out.String() != want.String() {
		g, w := strings.Split(out.String(), "\n"), strings.Split(want.String(), "\n")
		for i := range min(len(g), len(w)) {
			if g[i] != w[i] {
				t.Fatalf("line %d: %q, want %q", i+1, g[i], w[i])
			}
		}
		t.Fatalf("%d lines, want %d", len(g), len(w))
	}
}

func FuzzScoreReasons(f *testing.F) {
	for _, s := range []string{"", ".", "a.b", "]x^.bazar", "xn--a.com", strings.Repeat("b", 63) + ".com", "qwrtzpsdfghjk.biz", "a8f3e09b17cd2.org", "\x00\xff.com"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, name string) {
		p, rs := Score(name)
		if !(p >= 0 && p < 1) {
			t.Fatalf("%q: %g", name, p)
		}
		for _, r := range rs {
			if r.Code == "" || r.Text == "" || math.IsNaN(r.Weight) || r.Weight < 0 || r.Weight > 1 {
				t.Fatalf("%q: %+v", name, r)
			}
		}
	})
}
