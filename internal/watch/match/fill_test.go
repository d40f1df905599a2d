package match

import (
	"math/rand/v2"
	"testing"
)

// Vectors fold a name as it is folded octet by octet.
func TestFillIsPlain(t *testing.T) {
	if !fastFill {
		t.Skip("this processor has no AVX2 or BMI2")
	}
	rnd := rand.New(rand.NewPCG(8, 8))
	page := make([]byte, 3*4096) // a name may end where nothing can be read behind it
	fast, whole := 0, 0
	var a scan // reused, as a Scorer does: nothing of the last name may stay
	for i := range 60000 {
		from := rnd.IntN(len(page) - 80)
		if i%3 == 0 {
			from = 2*4096 - rnd.IntN(70)
		}
		name := page[from : from+1+rnd.IntN(70)]
		set := []string{"abcdefghijklmnopqrstuvwxyzrnvv.-", "abclLIrnvvRNVZAz0123456789-._", "rnvv.-1", "abcdefghijklmnopqrstuvwxyz", "n-a."}[rnd.IntN(5)]
		for i := range name {
			name[i] = set[rnd.IntN(len(set))]
		}
		if rnd.IntN(3) == 0 {
			copy(name[rnd.IntN(len(name)):], ".com")
		}
		switch rnd.IntN(8) {
		case 0:
			name[rnd.IntN(len(name))] = uint8(rnd.IntN(256))
		case 1:
			copy(name[rnd.IntN(len(name)):], []string{"xn--", ".xn--", "*."}[rnd.IntN(3)])
		}
		var b scan
		ok := a.fill(name)
		if want := b.fillPlain(name); ok != want {
			t.Fatalf("%q: %v, want %v", name, ok, want)
		}
		if !ok {
			continue
		}
		whole++
		if a.n != b.n || a.rawN != b.rawN || a.allN != b.allN || a.hasA != b.hasA || a.digraph != b.digraph || a.merged || b.plain && !a.plain ||
			string(a.raw[:a.allN]) != string(b.raw[:b.allN]) || string(a.pos[:a.n+1]) != string(b.pos[:b.n+1]) ||
			string(a.code[:padLeft+a.n+padRight]) != string(b.code[:padLeft+b.n+padRight]) {
			t.Fatalf("%q: folded otherwise:\n%+v\n%+v", name, a, b)
		}
		if !a.is.known {
			continue
		}
		fast++
		var is octetsAre
		for i, c := range a.raw[:a.rawN] {
			*map[uint8]*uint64{clsLetter: &is.letters, clsDigit: &is.digits, clsHyphen: &is.hyphens, clsDot: &is.dots, clsOther: &is.others}[class[c]] |= 1 << i
		}
		for i := range a.n {
			if a.wordStart(i) {
				is.starts |= 1 << i
			}
		}
		is.known = true
		if is != a.is || a.plain != (is.letters == 1<<a.rawN-1 && a.rawN < a.allN) {
			t.Fatalf("%q: plain %v, %+v, want %+v", name, a.plain, a.is, is)
		}
	}
	if fast < whole/2 || fast == whole {
		t.Errorf("%d of %d in vectors", fast, whole)
	}
}
