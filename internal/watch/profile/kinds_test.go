package profile

import (
	"bytes"
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/impound/impound"
)

func TestKindsAreBuiltIn(t *testing.T) {
	if kinds == nil {
		t.Fatal("none")
	}
	for name, want := range map[string]int{
		"thelicenseorderandcont.example": cutEnglish, "andthegivwhichtheprovi.example": cutEnglish,
		"officerthemselvesbecause.example": rowEnglish,
		"dominusetveritasnonest.example":   rowLatin, "quidemomniumrebussanct.example": rowLatin,
		"nichtundwiederhabenkeine.example": rowOther, "jeanettemacdonald.example": rowPeople,
	} {
		var v seen
		v.register([]byte(name))
		v.lookKinds()
		if v.kinds[want] < 5 {
			t.Errorf("%s: %.1f bits of %s, in all %.1f", name, v.kinds[want], kindNames[want], v.kinds)
		}
	}
	for _, name := range []string{"shop24.example", "a.b.example", "com", ""} {
		var v seen
		v.register([]byte(name))
		v.lookKinds()
		if v.kinds != ([nKinds]float64{}) {
			t.Errorf("%q is no row of words: %v", name, v.kinds)
		}
	}
	for _, bad := range [][]byte{nil, []byte(kindsMagic), kindsBin[:len(kindsBin)-1], kindsBin[:len(kindsBin)-nKinds], append([]byte("x"), kindsBin...), bytes.Replace(kindsBin, kindsBin[8:12], []byte{0, 0, 0xc0, 0x7f}, 1)} {
		if UseKinds(bad) == nil {
			t.Errorf("%d octets were taken", len(bad))
		}
	}
}

func TestRarity(t *testing.T) {
	var lines [nLines]float64
	for i := range lines {
		lines[i] = float64(i) * 3
	}
	last := -1.0
	for z := -5.0; z < 200; z++ {
		x := rarity(&lines, z)
		if x < last || x > float64(nLines-1+8)/2 || x != x {
			t.Fatalf("%g: %g after %g", z, x, last)
		}
		last = x
	}
	if x := rarity(&lines, 3*8); x != 4 {
		t.Errorf("at the line that one in 16 exceeds: %g bits", x)
	}
	lines = [nLines]float64{} // all alike
	if x := rarity(&lines, 1); math.IsNaN(x) || math.IsInf(x, 0) {
		t.Error(x)
	}
}

// The language of a list is known by few names, before its words were seen.
func TestLanguageOfAListIsKnown(t *testing.T) {
	var ex []Example
	for _, n := range strings.Fields("regnumcaelorumest filiisuntpacis aquilasupermontem tempusfugitomnes quodratnaturaest nemosinecrimine corpusmilitisadhostem verbumquodmanet") {
		ex = append(ex, Example{Name: n + ".com"})
	}
	p, err := Learn("TEST", ex)
	if err != nil {
		t.Fatal(err)
	}
	if p.row == nil || p.row.kind.kind() != rowLatin {
		t.Fatal("not seen to be Latin")
	}
	latin, spanish := p.Bits([]byte("dumvivimusvivamusin.com")), p.Bits([]byte("tiendasdemadrid.com"))
	if latin < spanish+4 {
		t.Errorf("%.1f bits, Spanish %.1f", latin, spanish)
	}
	score, rs := p.Score("dumvivimusvivamusin.com")
	i := slices.IndexFunc(rs, func(r impound.Reason) bool { return r.Code == "actor-word-kind" })
	if i < 0 || rs[i].Weight <= 0 || !strings.Contains(rs[i].Text, "Latin") {
		t.Errorf("the reasons don't say it: %v", rs)
	}
	sum := 0.0
	for _, r := range rs {
		sum += r.Weight
	}
	if got := squash(sum); math.Abs(got-score) > .01 {
		t.Errorf("the reasons come to %.3f, the score is %.3f", got, score)
	}
}

func TestTrainKindsIsTheSameEachTime(t *testing.T) {
	train := func() []byte {
		return TrainKinds(Texts{
			English: strings.Fields("the garden flower of tree in house"), Latin: strings.Fields("et non est quod dominus"),
			Other: [][]string{strings.Fields("und die der nicht"), strings.Fields("que los de una")}, Names: strings.Fields("anna peter maria schmidt"),
		}, func(yield func([]byte) bool) {
			for i := range 600 {
				if !yield([]byte([]string{"shop-berlin", "kaufen24", "moda", "zdrowie", "autohaus", "best-seo"}[i%5] + string(rune('a'+i%26)))) {
					return
				}
			}
		})
	}
	a := train()
	if !bytes.Equal(a, train()) {
		t.Error("the same names teach other kinds")
	}
	if _, err := decodeKinds(a); err != nil {
		t.Error(err)
	}
}

func FuzzDecodeKinds(f *testing.F) {
	f.Add([]byte(kindsMagic))
	f.Add(kindsBin[:3000])
	f.Fuzz(func(t *testing.T, b []byte) {
		if k, err := decodeKinds(b); err == nil && k.models == nil {
			t.Fatal("a kind without a model")
		}
	})
}
