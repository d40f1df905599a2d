package match

import "testing"

func TestSymbols(t *testing.T) {
	for c, want := range map[byte]uint8{'a': 1, 'Z': 26, '7': 27, '-': 28, '.': 0, 0: 0} {
		if got := Symbol(c); got != want {
			t.Errorf("Symbol(%q) = %d, want %d", c, got, want)
		}
	}
	if n := len(backgroundBin); n != bgTriples+bgRuns/2 {
		t.Fatalf("background.bin has %d octets", n)
	}
	bg := BuiltinBackground()
	if a, b := bg.Triple(Symbol('t'), Symbol('h'), Symbol('e')), bg.Triple(Symbol('t'), Symbol('q'), Symbol('x')); a >= b {
		t.Errorf("the: %g bits, tqx: %g bits", a, b)
	}
	if a, b := bg.Commonness([]byte("online")), bg.Commonness([]byte("zqxwvk")); a >= b {
		t.Errorf("online: %g bits, zqxwvk: %g bits", a, b)
	}
	if f := bg.filled(); f < 0.02 || f > 0.6 {
		t.Errorf("the table of runs is filled to %g", f)
	}
}
