package match

import "testing"

// lureWord finds what looking each prefix up would find.
func TestLureWord(t *testing.T) {
	plain := func(b []byte) int {
		for n := min(len(b), maxLure); n >= 2; n-- {
			if n <= 3 && n < len(b) && class[b[n]] == clsLetter {
				continue
			}
			if lures[string(b[:n])] {
				return n
			}
		}
		return 0
	}
	hits := 0
	check := func(s string) {
		for i := range len(s) + 1 {
			got, want := lureWord([]byte(s[i:])), plain([]byte(s[i:]))
			if got != want {
				t.Fatalf("%q: %d, want %d", s[i:], got, want)
			}
			if want > 0 {
				hits++
			}
		}
	}
	for w := range lures {
		for _, s := range []string{w, w + "s", w + "-x", "my" + w + "1", w + w, w[:len(w)-1]} {
			check(s)
		}
	}
	for _, n := range ordinaryNames(2000) {
		check(string(n))
	}
	if hits < len(lures) {
		t.Errorf("only %d of %d words were found", hits, len(lures))
	}
}
