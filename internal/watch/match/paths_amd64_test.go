package match

import (
	"bytes"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/cpu"
)

// pathNames gives names such as all paths are taken by: brands, spelt in all sorts of
// ways and beside all sorts of letters, and such as have none.
func pathNames(brands []Brand) (names []string) {
	rnd := rand.New(rand.NewPCG(11, 11))
	pick := func(s ...string) string { return s[rnd.IntN(len(s))] }
	letters := func(n int) string {
		b := make([]byte, n)
		for i := range b {
			b[i] = "aeiourstnlmcdpvw-0159."[rnd.IntN(22)]
		}
		return string(b)
	}
	for range 2000 {
		b := brands[rnd.IntN(len(brands))]
		w := []byte(b.Tokens[rnd.IntN(len(b.Tokens))])
		for range rnd.IntN(3) {
			i := rnd.IntN(len(w))
			switch rnd.IntN(5) {
			case 0:
				w[i] = "abcdefghijklmnopqrstuvwxyz013-"[rnd.IntN(30)]
			case 1:
				w = append(w[:i:i], append([]byte(pick("a", "n", "1", "-", "rn", "vv")), w[i:]...)...)
			case 2:
				if len(w) > 2 {
					w = append(w[:i:i], w[i+1:]...)
				}
			case 3:
				if i > 0 {
					w[i], w[i-1] = w[i-1], w[i]
				}
			}
		}
		word := strings.NewReplacer("m", pick("m", "rn"), "w", pick("w", "vv"), "o", pick("o", "0"), "l", pick("l", "1", "I")).Replace(string(w))
		if rnd.IntN(12) == 0 {
			word = strings.NewReplacer("a", "а", "o", "ο", "e", "é").Replace(word) // of other scripts
		}
		name := pick("", "", "my", "login-", "secure.", "www.account-", letters(rnd.IntN(9)), letters(rnd.IntN(40))) + word +
			pick("", "", "-verify", "support24", ".signin", "s", letters(rnd.IntN(9)), letters(rnd.IntN(50))) + pick(".com", ".top", ".co.jp", ".de", "", ".com.", ".id.example.org")
		if rnd.IntN(10) == 0 {
			name = letters(1+rnd.IntN(70)) + ".net"
		}
		names = append(names, name)
	}
	return append(names, "", ".", "xn--pypal-4ve.com", "xn--80ak6aa92e.com", strings.Repeat("paypal", 40)+".com", strings.Repeat("rnvv-", 12)+"google.com", "*.paypal-login.top")
}

// pathScores gives a line for each name: its score to the bit, that of a hit,
// that of the first look alone, and the brand.
func pathScores(t *testing.T) []byte {
	t.Helper()
	var out bytes.Buffer
	for _, opt := range []Options{{}, {NoTLD: true}} {
		m, err := New(Builtin(), opt)
		if err != nil {
			t.Fatal(err)
		}
		first := *m
		first.again = nil
		r, f := m.Scorer(), first.Scorer()
		for _, n := range pathNames(Builtin()) {
			p, brand := r.Score([]byte(n))
			q, _ := r.AtLeast([]byte(n), .1)
			l, _ := f.Score([]byte(n))
			fmt.Fprintf(&out, "%q %x %x %x %s\n", n, math.Float64bits(p), math.Float64bits(q), math.Float64bits(l), brand)
		}
	}
	return out.Bytes()
}

func paths() string {
	return fmt.Sprintf("find %v keys %v sums %v survey %v fill %v loose %v trees %v", fastFind, fastKeys, fastSums, fastSurvey, fastFill, fastLoose, cpu.X86.HasAVX512VBMI)
}

// Whatever the processor can, scores are the same to the bit. A process finds out
// when it starts, so others are started that are told of less. (Not of all: without
// FMA [math.Exp] of Go itself rounds otherwise, in the last bit.)
func TestPlainPathsScoreTheSame(t *testing.T) {
	const told = "IMPOUND_TEST_PATH_SCORES"
	if to := os.Getenv(told); to != "" { // one of those
		if err := os.WriteFile(to, append([]byte(paths()+"\n"), pathScores(t)...), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	want := pathScores(t)
	hits := bytes.Count(want, []byte{'\n'}) - bytes.Count(want, []byte(" 0 0 0 \n"))
	if hits < 2000 {
		t.Errorf("%d of %d are scored", hits, bytes.Count(want, []byte{'\n'}))
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const no512 = "cpu.avx512=off,cpu.avx512f=off,cpu.avx512bw=off,cpu.avx512cd=off,cpu.avx512dq=off,cpu.avx512vl=off,cpu.avx512vbmi=off,cpu.avx512bitalg=off"
	avx2, bmi2 := cpu.X86.HasAVX2, cpu.X86.HasBMI2
	for what, c := range map[string]struct{ off, paths string }{
		"nothing":                   {no512 + ",cpu.avx2=off,cpu.bmi2=off", "find false keys false sums false survey false fill false loose false trees false"},
		"AVX2 without AVX-512":      {no512, fmt.Sprintf("find false keys %[1]v sums %[1]v survey %[1]v fill %[2]v loose %[1]v trees false", avx2, avx2 && bmi2)},
		"AVX2 without BMI2":         {no512 + ",cpu.bmi2=off", fmt.Sprintf("find false keys %[1]v sums %[1]v survey %[1]v fill false loose %[1]v trees false", avx2)},
		"AVX-512 without its newer": {"cpu.avx512vbmi=off,cpu.avx512bitalg=off", fmt.Sprintf("find false keys %[1]v sums %[1]v survey %[1]v fill %[2]v loose %[1]v trees false", avx2, avx2 && bmi2)},
		"AVX-512 without AVX2":      {"cpu.avx2=off", fmt.Sprintf("find %v keys false sums false survey false fill false loose false trees %v", fastFind, cpu.X86.HasAVX512VBMI)},
	} {
		to := filepath.Join(t.TempDir(), "scores")
		cmd := exec.CommandContext(t.Context(), exe, "-test.run=^TestPlainPathsScoreTheSame$")
		cmd.Env = append(os.Environ(), told+"="+to, "GODEBUG="+os.Getenv("GODEBUG")+","+c.off)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%s: %v: %s", what, err, out)
			continue
		}
		b, err := os.ReadFile(to)
		if err != nil {
			t.Fatal(err)
		}
		p, got, _ := bytes.Cut(b, []byte{'\n'})
		if string(p) != c.paths {
			t.Errorf("%s: took the paths %s, want %s", what, p, c.paths)
		}
		other := 0
		is, was := bytes.Split(got, []byte{'\n'}), bytes.Split(want, []byte{'\n'})
		if len(is) != len(was) {
			t.Fatalf("%s: %d lines, want %d", what, len(is), len(was))
		}
		for i := range was {
			if !bytes.Equal(is[i], was[i]) {
				if other++; other < 5 {
					t.Errorf("%s: %s, want %s", what, is[i], was[i])
				}
			}
		}
		if other > 0 {
			t.Errorf("%s: %d of %d other", what, other, len(was)-1)
		}
	}
}
