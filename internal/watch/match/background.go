package match

import (
	_ "embed"
	"math"
	"math/bits"

	"github.com/impound/impound"
)

// background.bin holds what is known of ordinary names, made by:
// evalwatch -train background -data FOLDER.
//
//go:embed background.bin
var backgroundBin []byte

// Background is what is known of ordinary names: how surprising a letter is
// after the two before it, and how many names hold a short run of letters, in
// what place. It holds no names. It never changes and is safe for concurrent
// use.
type Background struct {
	// In eighths of a bit, for each of 29^3 triples.
	tri [bgTriples]uint8
	// Hashed runs of letters with the logarithm of the share of names that hold
	// them, two to an octet; those rarer than about one in 2^15.5 are left out.
	runs [bgRuns / 2]uint8
}

// The background's alphabet: 0 a boundary, 1-26 letters, 27 any digit, 28 a
// hyphen.
const (
	bgLetters = 29
	bgTriples = bgLetters * bgLetters * bgLetters
	bgRuns    = 1 << 18
	bgFloor   = 16 // bits: what stands for rarer than counted
)

var builtinBackground = func() *Background {
	b := &Background{}
	if err := b.decode(backgroundBin); err != nil {
		for i := range b.tri {
			b.tri[i] = 40 // before the first training
		}
	}
	return b
}()

// NewBackground reads what [TrainBackground] gave.
func NewBackground(b []byte) (*Background, error) {
	bg := &Background{}
	return bg, bg.decode(b)
}

func (g *Background) decode(b []byte) error {
	if len(b) != bgTriples+bgRuns/2 {
		return impound.Errorf(impound.KindInvalid, "background of another version: %d octets", len(b))
	}
	copy(g.tri[:], b)
	copy(g.runs[:], b[bgTriples:])
	return nil
}

var bgCode = func() (t [256]uint8) {
	for c := range 256 {
		switch class[c] {
		case clsLetter:
			t[c] = lower[c] - 'a' + 1
		case clsDigit:
			t[c] = 27
		case clsHyphen, clsOther:
			t[c] = 28
		}
	}
	return t
}()

// surprise gives the bits of c after a and b.
func (g *Background) surprise(a, b, c uint8) float32 {
	return float32(g.tri[(int(a)*bgLetters+int(b))*bgLetters+int(c)]) / 8
}

// Where a run of letters stands.
const (
	runAny = iota
	runStart
	runEnd
	runWhole
	runKinds
)

func runHash(kind int, run []byte) uint64 {
	h := uint64(kind+1) * 0x9e3779b97f4a7c15
	for _, c := range run {
		h = (h ^ uint64(c)) * 0x100000001b3
		h ^= h >> 29
	}
	return h * 0xff51afd7ed558ccd
}

// bitsOf gives -log2 of the share of ordinary names that hold run, at most
// bgFloor.
func (g *Background) bitsOf(h uint64) int {
	i := h >> (64 - 18)
	v := g.runs[i>>1] >> (i & 1 * 4) & 15
	return bgFloor - int(v)
}

// longest gives the most of what bgFloor less bitsOf is for the runs that begin with
// run's first letter, end behind its place behind, and are counted anywhere.
func (g *Background) longest(run []byte, behind int) (most int) {
	h := uint64(runAny + 1)
	h *= 0x9e3779b97f4a7c15
	for i, c := range run {
		h = (h ^ uint64(c)) * 0x100000001b3
		h ^= h >> 29
		if i >= behind && i+1 >= runMin[runAny] {
			most = max(most, bgFloor-g.bitsOf(h*0xff51afd7ed558ccd))
		}
	}
	return most
}

// runLengths are the lengths that are counted, by kind.
var runMin = [runKinds]int{4, 2, 2, 2}

const runMax = 6

// commonness gives how common text is among ordinary names in a place: the
// least of what its runs of letters allow, in bits (bgFloor: not seen).
func (g *Background) commonness(kind int, text []byte) float32 {
	most, n := 0, len(text)
	// The longest first: they are the rarest, and rarer than rarest is nothing.
	for l := min(runMax, n); l >= runMin[runAny]; l-- {
		for i := 0; i+l <= n; i++ {
			if most = max(most, g.bitsOf(runHash(runAny, text[i:i+l]))); most == bgFloor {
				return bgFloor
			}
		}
	}
	look := func(kind int, run []byte) {
		most = max(most, g.bitsOf(runHash(kind, run)))
	}
	switch kind {
	case runStart:
		look(runStart, text[:min(n, runMax)])
	case runEnd:
		look(runEnd, text[n-min(n, runMax):])
	case runWhole:
		look(runStart, text[:min(n, runMax)])
		look(runEnd, text[n-min(n, runMax):])
		if n <= 2*runMax {
			look(runWhole, text)
		}
	}
	return float32(most)
}

// rarity is how surprising text would be somewhere inside an ordinary name, in
// bits: its first two letters cost what they cost on average.
func (g *Background) rarity(text []byte) float32 {
	var sum float32
	var a, b uint8
	for i, c := range text {
		d := bgCode[c]
		switch i {
		case 0, 1:
			sum += firstBits[d]
		default:
			sum += g.surprise(a, b, d)
		}
		a, b = b, d
	}
	return sum
}

// firstBits is the surprise of a letter without knowing those before it.
var firstBits = func() (t [bgLetters]float32) {
	freq := [27]float32{0, 8.2, 1.5, 2.8, 4.3, 12.7, 2.2, 2.0, 6.1, 7, 0.2, 0.8, 4, 2.4, 6.7, 7.5, 1.9, 0.1, 6.0, 6.3, 9.1, 2.8, 1.0, 2.4, 0.2, 2.0, 0.1}
	for i := range t {
		t[i] = 5
		if i > 0 && i < 27 {
			t[i] = log2(100 / freq[i])
		}
	}
	return t
}()

// TrainBackground counts ordinary names (top-level domains apart) and gives the
// content of background.bin. It goes through names twice and needs 128 MiB.
func TrainBackground(names func(yield func(name string) bool)) []byte {
	tri := make([]float64, bgTriples)
	bi := make([]float64, bgTriples/bgLetters)
	uni := make([]float64, bgLetters)
	total, count := 0.0, 0
	counts := make([]uint32, 1<<25)
	runs := func(s *scan, f func(h uint64)) {
		for i := 0; i < s.rawN; {
			if class[s.raw[i]] >= clsHyphen {
				i++
				continue
			}
			j := i
			for j < s.rawN && class[s.raw[j]] < clsHyphen {
				j++
			}
			w := s.raw[i:j]
			for l := runMin[runAny]; l <= min(runMax, len(w)); l++ {
				for k := 0; k+l <= len(w); k++ {
					f(runHash(runAny, w[k:k+l]))
				}
			}
			for l := 2; l <= min(runMax, len(w)); l++ {
				f(runHash(runStart, w[:l]))
				f(runHash(runEnd, w[len(w)-l:]))
			}
			if len(w) <= 2*runMax {
				f(runHash(runWhole, w))
			}
			i = j
		}
	}
	for name := range names {
		var s scan
		if !s.fill([]byte(name)) {
			continue
		}
		count++
		var a, b uint8
		for i := 0; i <= s.rawN; i++ {
			var c uint8
			if i < s.rawN {
				c = bgCode[s.raw[i]]
			}
			tri[(int(a)*bgLetters+int(b))*bgLetters+int(c)]++
			bi[int(b)*bgLetters+int(c)]++
			uni[c]++
			total++
			a, b = b, c
			if c == 0 {
				a, b = 0, 0
			}
		}
		runs(&s, func(h uint64) { counts[h>>(64-25)]++ })
	}
	g := &Background{}
	for a := range bgLetters {
		for b := range bgLetters {
			ctx, mid := 0.0, 0.0
			for c := range bgLetters {
				ctx += tri[(a*bgLetters+b)*bgLetters+c]
				mid += bi[b*bgLetters+c]
			}
			for c := range bgLetters {
				p1 := (uni[c] + 1) / (total + bgLetters)
				p2 := (bi[b*bgLetters+c] + 20*p1) / (mid + 20)
				p3 := (tri[(a*bgLetters+b)*bgLetters+c] + 20*p2) / (ctx + 20)
				g.tri[(a*bgLetters+b)*bgLetters+c] = uint8(min(255, log2(float32(1/p3))*8+0.5))
			}
		}
	}
	for name := range names {
		var s scan
		if !s.fill([]byte(name)) {
			continue
		}
		runs(&s, func(h uint64) {
			c := counts[h>>(64-25)]
			if c < 5 {
				return
			}
			v := int(math.Round(math.Log2(float64(c)/float64(count)))) + bgFloor
			if v <= 0 {
				return
			}
			i := h >> (64 - 18)
			shift := i & 1 * 4
			if old := g.runs[i>>1] >> shift & 15; int(old) < v {
				g.runs[i>>1] = g.runs[i>>1]&^(15<<shift) | uint8(min(v, 15))<<shift
			}
		})
	}
	return append(append(make([]byte, 0, bgTriples+bgRuns/2), g.tri[:]...), g.runs[:]...)
}

// filled says which share of the table of runs is in use.
func (g *Background) filled() float64 {
	n := 0
	for _, b := range g.runs {
		n += 2 - bits.LeadingZeros8(b)/4
	}
	return float64(n) / bgRuns
}

// BuiltinBackground gives the background that is built in.
func BuiltinBackground() *Background { return builtinBackground }

// Triple gives the bits of surprise of symbol c after a and b, in the alphabet
// of [Symbol].
func (g *Background) Triple(a, b, c uint8) float32 { return g.surprise(a, b, c) }

// Symbol gives the background's symbol of an octet: 0 a dot or what stands in
// no name, 1 to 26 letters, 27 digits, 28 hyphens and underscores.
func Symbol(c byte) uint8 { return bgCode[c] }

// Symbols is how many symbols there are.
const Symbols = bgLetters

// Commonness gives -log2 of the share of ordinary names that hold text (4
// letters or more) anywhere, at most 16.
func (g *Background) Commonness(text []byte) float32 { return g.commonness(runAny, text) }
