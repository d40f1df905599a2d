package profile

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"iter"
	"math"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/dga"
)

// What a program puts in a row is known by the language too, before one of its
// words was seen: English text that was cut to pieces, English words, Latin,
// another language, people's names. [Kinds] tells each from what people register, whatever the top-level domain.

// kinds of rows of words
const (
	cutEnglish = iota
	rowEnglish
	rowLatin
	rowOther
	rowPeople
	nKinds
)

var kindNames = [nKinds]string{"English text cut to pieces", "English words in a row", "Latin", "French, German, Italian or Spanish text", "people's names in a row"}

// kinds.bin is made by: evalwatch -train profile. It holds weights of letter
// sequences, and no name or word.
//
//go:embed kinds.bin
var kindsBin []byte

// Kinds tells kinds of rows of words from ordinary names. It never changes and is
// safe for concurrent use.
type Kinds struct {
	models *dga.Group
	// lines holds the logarithm of the odds that a share of 2^(-i/2) of ordinary
	// names exceeds.
	lines [nKinds][nLines]float64
}

const nLines = 25

// kinds is what is embedded. A broken file can't get into a program: a test
// decodes it.
var kinds = func() *Kinds {
	k, err := decodeKinds(kindsBin)
	if err != nil {
		return nil // before the first training
	}
	return k
}()

// UseKinds replaces what is embedded: for measuring what was learnt from the
// earlier part of the data alone.
func UseKinds(b []byte) error {
	k, err := decodeKinds(b)
	if err == nil {
		kinds = k
	}
	return err
}

// kindName is what is judged of a name: its registered label, under no
// top-level domain.
func kindName(dst, label []byte) []byte {
	return append(append(dst, label[:min(len(label), 63)]...), ".x"...)
}

// lookKinds says how rare it is among ordinary names to be so much of each
// kind, in bits: 3 is one in eight. An exception that no program makes is 0.
func (v *seen) lookKinds() {
	v.kinds, v.kinded = [nKinds]float64{}, true
	if kinds == nil || v.depth > 1 || v.digits > 0 || len(v.reg) == 0 {
		return
	}
	var buf [70]byte
	kinds.models.Logits(kindName(buf[:0], v.reg), v.kinds[:])
	for k, z := range v.kinds {
		v.kinds[k] = rarity(&kinds.lines[k], z)
	}
}

func rarity(lines *[nLines]float64, z float64) float64 {
	i, _ := slices.BinarySearch(lines[:], z)
	switch i {
	case 0:
		return 0
	case nLines: // as the last bits went, for four more
		step := max((lines[nLines-1]-lines[nLines-7])/6, .01)
		return (nLines - 1 + min((z-lines[nLines-1])/step, 8)) / 2
	}
	return (float64(i-1) + (z-lines[i-1])/max(lines[i]-lines[i-1], 1e-9)) / 2
}

// kindHabit is how much of each kind the examples are.
type kindHabit struct {
	mean, sd [nKinds]float64
	odd      float64             // share of names that are like others
	share    [nKinds + 1]float64 // how much each kind is believed; the last is none
}

const (
	kindSD    = 2.0 // of how many bits, as kindPrior names have it
	kindPrior = 4.0
	kindTrust = .3 // the examples are not independent of each other
)

func (h *kindHabit) learn(vs []seen) {
	n := float64(len(vs))
	h.odd = 1 / (n + 2)
	var fit [nKinds + 1]float64
	for k := range nKinds {
		sum, sq := 1.4, kindPrior*kindSD*kindSD
		for i := range vs {
			sum += vs[i].kinds[k]
		}
		h.mean[k] = sum / (n + 1)
		for i := range vs {
			d := vs[i].kinds[k] - h.mean[k]
			sq += d * d
		}
		h.sd[k] = math.Sqrt(sq / (n + kindPrior))
		for i := range vs {
			fit[k] += kindTrust * h.odds(k, vs[i].kinds[k])
		}
	}
	top, sum := slices.Max(fit[:]), 0.
	for k, f := range fit {
		h.share[k] = math.Exp2(f - top)
		sum += h.share[k]
	}
	for k := range fit {
		h.share[k] /= sum
	}
}

// odds is how much likelier so many bits are than by chance, where n bits have a
// share of 2^-n: in bits. Who has more than the mean loses nothing by it.
func (h *kindHabit) odds(k int, x float64) float64 {
	d := (min(x, h.mean[k]) - h.mean[k]) / h.sd[k]
	p := math.Exp(-d*d/2) / h.sd[k] / math.Sqrt(2*math.Pi)
	return math.Log2((1-h.odd)*p/math.Ln2*math.Exp2(x) + h.odd)
}

// bits says how much likelier a name is by its kind.
func (h *kindHabit) bits(v *seen) float64 {
	p := h.share[nKinds]
	for k, s := range h.share[:nKinds] {
		p += s * math.Exp2(h.odds(k, v.kinds[k]))
	}
	return math.Log2(p)
}

// kind says what the examples are most like; -1 is none of all.
func (h *kindHabit) kind() int {
	best := nKinds
	for k, s := range h.share {
		if s > h.share[best] {
			best = k
		}
	}
	if best == nKinds {
		return -1
	}
	return best
}

const kindsMagic = "IMPKIND1"

func decodeKinds(b []byte) (*Kinds, error) {
	bad := func() (*Kinds, error) {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the kinds of rows of words: of another version, or cut short: %d octets", len(b))
	}
	rest, ok := bytes.CutPrefix(b, []byte(kindsMagic))
	if !ok || len(rest) == 0 || len(rest)%nKinds != 0 {
		return bad()
	}
	k := &Kinds{}
	var models []*dga.Model
	each := len(rest) / nKinds
	for i := range nKinds {
		one := rest[i*each : (i+1)*each]
		if len(one) < 4*nLines {
			return bad()
		}
		for j := range nLines {
			x := float64(math.Float32frombits(binary.LittleEndian.Uint32(one[4*j:])))
			if k.lines[i][j] = x; x-x != 0 || j > 0 && x < k.lines[i][j-1] {
				return bad()
			}
		}
		m, err := dga.NewModel(one[4*nLines:])
		if err != nil {
			return bad()
		}
		models = append(models, m)
	}
	k.models = dga.NewGroup(models...)
	return k, nil
}

// Texts is what [TrainKinds] makes rows of.
type Texts struct {
	English []string   // words, the commonest first
	Latin   []string   // as a text runs
	Other   [][]string // the same, of several languages
	Names   []string
}

// TrainKinds learns what tells kinds of rows of words from ordinary labels, and
// gives what [UseKinds] reads. The rows are made up here, as no algorithm that is
// known makes them: of words of many ranges, with and without cutting.
func TrainKinds(texts Texts, ordinary iter.Seq[[]byte]) []byte {
	rnd := rand.New(rand.NewPCG(1, 2))
	english, latin := texts.English, texts.Latin
	english = slices.DeleteFunc(slices.Clone(english), func(w string) bool { return len(w) < 2 })
	var picks []func() string
	for _, slope := range []float64{.5, .8, 1} {
		for _, n := range []int{1000, 4000, len(english)} {
			picks = append(picks, zipf(rnd, english[:min(n, len(english))], slope))
		}
	}
	row := [nKinds]func() string{
		cutEnglish: func() string { return cutRow(rnd, picks[rnd.IntN(len(picks))], .35) },
		rowEnglish: func() string {
			pick := picks[rnd.IntN(len(picks))]
			ws := make([]string, 2+max(0, rnd.IntN(5)-2))
			for i := range ws {
				ws[i] = pick()
			}
			if rnd.IntN(8) == 0 {
				return strings.Join(ws, "-")
			}
			return strings.Join(ws, "")
		},
		rowLatin: func() string {
			return cutRow(rnd, func() string { return latin[rnd.IntN(len(latin))] }, float64(rnd.IntN(2))*.35)
		},
		rowOther: func() string {
			text := texts.Other[rnd.IntN(len(texts.Other))]
			return cutRow(rnd, func() string { return text[rnd.IntN(len(text))] }, float64(rnd.IntN(2))*.35)
		},
		rowPeople: func() string {
			row := texts.Names[rnd.IntN(len(texts.Names))]
			for range 1 + rnd.IntN(8)/7 {
				row += texts.Names[rnd.IntN(len(texts.Names))]
			}
			return row
		},
	}
	b := []byte(kindsMagic)
	for k := range nKinds {
		var learn []dga.Example
		var test [][]byte
		i := 0
		for label := range ordinary {
			switch i++; i % 6 {
			case 0:
				learn = append(learn, dga.Example{Name: string(kindName(nil, label)), Weight: 1})
			case 3:
				test = append(test, kindName(nil, label))
			}
		}
		for range len(learn) / 2 {
			learn = append(learn, dga.Example{Name: string(kindName(nil, []byte(row[k]()))), DGA: true, Weight: .5})
		}
		weights := dga.Train(learn, 4, 1)
		m, err := dga.NewModel(weights)
		if err != nil || len(test) == 0 {
			return nil
		}
		z := make([]float64, len(test))
		for i, n := range test {
			if z[i] = m.Logit(n); bytes.ContainsAny(n, "0123456789") {
				z[i] = math.Inf(-1)
			}
		}
		slices.Sort(z)
		for i := range nLines {
			x := max(z[int(float64(len(z))*(1-math.Exp2(-float64(i)/2)))], -1e6)
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(x)))
		}
		b = append(b, weights...)
	}
	return b
}

// zipf gives words at random, the first ones oftener: the n-th by n to the power
// of -slope.
func zipf(rnd *rand.Rand, words []string, slope float64) func() string {
	sums, sum := make([]float64, len(words)), 0.0
	for i := range words {
		sum += math.Pow(float64(i+3), -slope)
		sums[i] = sum
	}
	return func() string {
		i, _ := slices.BinarySearch(sums, rnd.Float64()*sum)
		return words[min(i, len(words)-1)]
	}
}

// cutRow puts words in a row until it is as long as programs make them, each cut
// short with a chance.
func cutRow(rnd *rand.Rand, pick func() string, chance float64) string {
	const least, most = 10, 24
	for {
		n, s := least+rnd.IntN(most-least+1), ""
		for try := 0; len(s) < n && try < 30; try++ {
			w := pick()
			if rnd.Float64() < chance {
				if rnd.IntN(4) > 0 {
					w = w[:len(w)/2]
				} else {
					w = w[:1+rnd.IntN(len(w))]
				}
			}
			if len(s)+len(w) <= most {
				s += w
			}
		}
		if len(s) >= least {
			return s
		}
	}
}
