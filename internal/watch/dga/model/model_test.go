package model

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
)

// lcg is a toy algorithm: letters by a linear congruential generator.
type lcg uint32

func (g *lcg) next(n int) int {
	*g = *g*1664525 + 1013904223
	return int(uint32(*g) >> 16 % uint32(n))
}

func (g *lcg) letters(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte('a' + g.next(26))
	}
	return string(b)
}

// The halves of ordinary names of the tests.
var (
	firsts = strings.Fields("garden bakery river little green happy family north silver coffee music travel wedding photo dental yoga fresh blue city modern")
	lasts  = strings.Fields("house studio store shop online design group world home media kitchen cars tours clinic club works lab books team market")
	words  = strings.Fields("stone walk paper under light horse match story plant bread smoke chair")
)

func ordinary(i int) string {
	return firsts[i%len(firsts)] + lasts[(i/len(firsts)+i)%len(lasts)] + []string{".com", ".net", ".org", ".se"}[i%4]
}

var small = sync.OnceValue(func() *Model {
	var ex []Example
	var bg []string
	g, w := lcg(1), lcg(2)
	for i := range 400 {
		ex = append(ex, Example{Name: ordinary(i), Weight: 1})
		bg = append(bg, ordinary(i))
		if i%2 == 0 {
			ex = append(ex, Example{Name: g.letters(12+g.next(4)) + ".net", Family: "letters", Weight: 1})
			ex = append(ex, Example{Name: words[w.next(12)] + words[w.next(12)] + ".com", Family: "words", Weight: 1})
		}
	}
	return Learn(bg, ex, Options{Epochs: 12, Seed: 1})
})

func TestLearntFamilyScoresAboveOrdinary(t *testing.T) {
	m := small()
	for _, noTLD := range []bool{false, true} {
		s := Sample{NoTLD: noTLD}
		g, w := lcg(99), lcg(98)
		wrong, family := 0, 0
		for i := range 100 {
			plain, _, ok := m.Score(ordinary(i*7), &s)
			if !ok {
				t.Fatalf("no score for %s", ordinary(i*7))
			}
			made, f, _ := m.Score(g.letters(13)+".net", &s)
			if made <= plain {
				wrong++
			}
			if f == "letters" {
				family++
			}
			if made, f, _ = m.Score(words[w.next(12)]+words[w.next(12)]+".com", &s); made <= plain {
				wrong++
			}
			if f == "words" {
				family++
			}
		}
		if wrong > 4 || family < 190 {
			t.Errorf("without top-level domain %v: %d of 200 generated names not above an ordinary one, %d given the right family", noTLD, wrong, family)
		}
	}
}

func TestJudged(t *testing.T) {
	for _, c := range []struct {
		name, label string
		ok          bool
	}{
		{"example.com", "example", true},
		{"EXAMPLE.Com.", "example", true},
		{"*.example.co.uk", "example", true},
		{"www.mail.longest-one.example.com", "longest-one", true},
		{"abcd.efgh.com", "efgh", true}, // as long: the one registered
		{"xqzzkw.dyndns.org", "xqzzkw", true},
		{"dyndns.org", "dyndns", true},
		{"]^odd`.bazar", "]^odd`", true},
		{"", "", false},
		{".", "", false},
		{"com", "", false},
		{"a..com", "", false},
		{".com", "", false},
		{"192.0.2.1", "", false},
		{"a b.com", "", false},
		{"a\x00b.com", "", false},
		{"https://example.com/", "", false},
		{"bücher.example", "", false},
		{strings.Repeat("a", 64) + ".com", "", false},
		{strings.Repeat("a", 63) + ".com", strings.Repeat("a", 63), true},
		{strings.Repeat("a.", 127) + "com", "", false},
	} {
		var s Sample
		ok := s.measure(c.name, &background{})
		if ok != c.ok || ok && s.Label != c.label {
			t.Errorf("%.40q: %q %v, want %q %v", c.name, s.Label, ok, c.label, c.ok)
		}
	}
}

func TestCountryCodesAreNotLookedAt(t *testing.T) {
	var a, b Sample
	m := small()
	x, _, _ := m.Score("qwrtzpsdfk.ru", &a)
	y, _, _ := m.Score("qwrtzpsdfk.se", &b)
	if x != y {
		t.Errorf(".ru %g, .se %g", x, y)
	}
	n := Sample{NoTLD: true}
	if z, _, _ := m.Score("qwrtzpsdfk.ru", &n); z != x {
		t.Errorf("without: %g, with: %g", z, x)
	}
}

func TestSameInputSameModel(t *testing.T) {
	ex := []Example{{"zqxz.com", "z", 1}, {"rose.com", "", 1}, {"qxzq.com", "z", 1}, {"tree.com", "", 1}}
	a := Learn([]string{"rose.com"}, ex, Options{Epochs: 2, Seed: 3})
	b := Learn([]string{"rose.com"}, ex, Options{Epochs: 2, Seed: 3})
	if !bytes.Equal(a.Encode(), b.Encode()) {
		t.Error("two runs differ")
	}
}

func TestEncodeDecode(t *testing.T) {
	m := small()
	b := m.Encode()
	if len(b) > 300_000 {
		t.Errorf("%d octets", len(b))
	}
	d, err := Decode(b)
	if err != nil {
		t.Fatal(err)
	}
	var s Sample
	for i := range 50 {
		n := fmt.Sprintf("%sx%d.com", ordinary(i), i)
		x, f, _ := m.Score(n, &s)
		y, g, _ := d.Score(n, &s)
		if x != y || f != g {
			t.Errorf("%s: %g %s, decoded %g %s", n, x, f, y, g)
		}
	}
	nan := append([]byte(nil), b...)
	copy(nan[len(nan)-4:], scalar(float32(math.NaN())))
	for what, bad := range map[string][]byte{"empty": nil, "cut": b[:len(b)-1], "longer": append(append([]byte(nil), b...), 0), "other": append([]byte("X"), b[1:]...), "no number": nan} {
		if _, err := Decode(bad); err == nil {
			t.Errorf("%s: taken", what)
		}
	}
}

func FuzzScore(f *testing.F) {
	for _, s := range []string{"", ".", "..", "a.b", "]x^.bazar", strings.Repeat("a", 300), "\x00", "xn--a.com", strings.Repeat("-", 63) + ".com", "*.co.uk", "a.\xff\xfe", "1.2.3.4", strings.Repeat("9", 63) + "." + strings.Repeat("z", 63)} {
		f.Add(s)
	}
	m := small()
	f.Fuzz(func(t *testing.T, name string) {
		var s Sample
		v, fam, ok := m.Score(name, &s)
		if ok && (math.IsNaN(v) || math.IsInf(v, 0) || fam == "") || !ok && v != 0 {
			t.Fatalf("%q: %g %q %v", name, v, fam, ok)
		}
		if w, _, _ := m.Score(name, &s); w != v {
			t.Fatalf("%q: %g, again with the same scratch %g", name, v, w)
		}
	})
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(magic))
	f.Add([]byte(magic + "\x01\x03abc"))
	f.Add([]byte(magic + "\xff"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := Decode(b); err == nil {
			var s Sample
			m.Score("example.com", &s)
		}
	})
}

func BenchmarkScore(b *testing.B) {
	m := small()
	var s Sample
	b.ReportAllocs()
	for i := range b.N {
		m.Score(firsts[i%len(firsts)]+"-kitchen24.com", &s)
	}
}
