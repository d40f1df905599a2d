package profile

import (
	"bytes"
	"cmp"
	_ "embed"
	"encoding/binary"
	"math"
	"slices"

	"github.com/impound/impound"
)

// lexicon.bin holds the words that names are made of: of each its hash, how
// common it is in English, how common among new registrations; and how words
// are spread over the names. It holds no name and no word. It is made by:
// evalwatch -train profile.
//
//go:embed lexicon.bin
var lexiconBin []byte

// Words is what is known of the words of ordinary names. It never changes and
// is safe for concurrent use.
type Words struct {
	table wordTable
	class [nClasses]float64 // shares of words
	long  [nLongs]float64   // shares of words
	count [nCounts]float64  // shares of names
}

// words is what is embedded. A broken file can't get into a program: a test
// decodes it.
var words = func() *Words {
	w, err := decodeWords(lexiconBin)
	if err != nil {
		return newWords() // before the first training
	}
	return w
}()

// UseWords replaces what is embedded: for measuring what was learnt from the
// earlier part of the data alone.
func UseWords(b []byte) error {
	w, err := decodeWords(b)
	if err == nil {
		words = w
	}
	return err
}

const (
	minWord, maxWord = 2, 16

	// A run of letters that belong to no word costs this much, in bits, and this
	// for each of them.
	strangeRun, strangeLetter = 6, 5

	// Kinds of words: nine of English, the last being none, by eight among names,
	// the last being no word at all.
	englishKinds, nameKinds = 9, 8
	nClasses                = englishKinds * nameKinds
	nLongs                  = 10
	nCounts                 = 12 * 4
)

// entry is a word. Its bits are how rare it is among the words of names, in
// eighths; its kind is how common it is in English.
type entry struct {
	bits uint8
	kind uint8
}

// wordTable finds words by their hash.
type wordTable struct {
	keys  []uint32 // 0 is free
	vals  []entry
	mask  uint32
	longs [26 * 26]uint16 // by the first two letters, a bit for each length that occurs
	n     int
}

func (t *wordTable) init(n int) {
	size := 64
	for size < 2*n {
		size *= 2
	}
	t.keys, t.vals, t.mask = make([]uint32, size), make([]entry, size), uint32(size-1)
}

// wordHash hashes a word; it goes on letter by letter from wordSeed, and mixed
// ends it.
const wordSeed = uint64(0xcbf29ce484222325)

func wordStep(h uint64, c byte) uint64 { return (h ^ uint64(c)) * 0x100000001b3 }

func mixed(h uint64) uint32 {
	h ^= h >> 32
	h *= 0xff51afd7ed558ccd
	return uint32(h>>32) | 1
}

func hashWord(w []byte) uint32 {
	h := wordSeed
	for _, c := range w {
		h = wordStep(h, c)
	}
	return mixed(h)
}

func (t *wordTable) find(h uint32) *entry {
	for i := h >> 1 & t.mask; ; i = (i + 1) & t.mask {
		switch t.keys[i] {
		case h:
			return &t.vals[i]
		case 0:
			return nil
		}
	}
}

// put sets a word; of two with one hash the first stays.
func (t *wordTable) put(h uint32, e entry) {
	i := h >> 1 & t.mask
	for ; t.keys[i] != 0; i = (i + 1) & t.mask {
		if t.keys[i] == h {
			return
		}
	}
	t.keys[i], t.vals[i] = h, e
	t.n++
}

func pair(a, b byte) int { return int(a-'a')*26 + int(b-'a') }

func isLetter(c byte) bool { return c >= 'a' && c <= 'z' }

// allow makes lookups of words like w.
func (t *wordTable) allow(w []byte) { t.longs[pair(w[0], w[1])] |= 1 << (len(w) - 1) }

func newWords() *Words {
	w := &Words{}
	w.table.init(1)
	for i := range w.class {
		w.class[i] = 1. / nClasses
	}
	for i := range w.long {
		w.long[i] = 1. / nLongs
	}
	for i := range w.count {
		w.count[i] = 1. / nCounts
	}
	return w
}

// token is a word of a name, or a run of letters that belong to none.
type token struct {
	from, to int
	hash     uint32
	class    uint8
	long     uint8
	own      bool    // a word to this profile alone
	bits     float32 // how rare among names
}

// classOf gives the kind of a word of so many bits.
func classOf(kind uint8, bits float32) uint8 {
	n := uint8(6)
	for i, b := range [...]float32{9, 11, 12.5, 14, 15.5, 17.5} {
		if bits < b {
			n = uint8(i)
			break
		}
	}
	return kind*nameKinds + n
}

const strangeClass = (englishKinds-1)*nameKinds + nameKinds - 1

// englishKind gives how common a word is, by its rank from 1; 0 is none.
func englishKind(rank int) uint8 {
	if rank <= 0 {
		return englishKinds - 1
	}
	for i, r := range [...]int{256, 1024, 2048, 4096, 8192, 12416, 17560} {
		if rank < r {
			return uint8(i)
		}
	}
	return englishKinds - 2
}

// own is what words of its own a profile has; nil for none.
type own struct {
	table wordTable
	count []float64 // by the place in the table
}

func (o *own) at(h uint32) *float64 {
	for i := h >> 1 & o.table.mask; ; i = (i + 1) & o.table.mask {
		switch o.table.keys[i] {
		case h:
			return &o.count[i]
		case 0:
			return nil
		}
	}
}

// split cuts a label into the cheapest row of words, those of the profile's own
// among them, and appends them to out. What is not a letter parts words.
func (w *Words) split(label []byte, o *own, out []token) []token {
	const maxLabel = 64
	var cost, wild [maxLabel + 1]float32 // wild: with a run of strange letters that goes on
	var back [maxLabel + 1]uint8         // length of the word; 0 no letter, 255 a run ends here
	var begins [maxLabel + 1]uint8       // of the run that goes on, where it began
	var found [maxLabel + 1]struct {
		hash uint32
		own  bool
		e    entry
	}
	if len(label) > maxLabel {
		label = label[:maxLabel]
	}
	const never = math.MaxFloat32
	n := len(label)
	for i := 1; i <= n; i++ {
		cost[i], wild[i] = never, never
	}
	wild[0] = never
	for i := range n {
		c := label[i]
		if wild[i] < cost[i] {
			cost[i], back[i] = wild[i], 255
		}
		if !isLetter(c) {
			cost[i+1], back[i+1] = cost[i], 0
			continue
		}
		if x := cost[i] + strangeRun + strangeLetter; (i == 0 || back[i] != 255) && x < wild[i+1] {
			wild[i+1], begins[i+1] = x, uint8(i)
		}
		if x := wild[i] + strangeLetter; x < wild[i+1] {
			wild[i+1], begins[i+1] = x, begins[i]
		}
		if i+1 == n || !isLetter(label[i+1]) {
			continue
		}
		k := pair(c, label[i+1])
		longs := w.table.longs[k]
		var ownLongs uint16
		if o != nil {
			ownLongs = o.table.longs[k]
		}
		h := wordStep(wordSeed, c)
		for l := minWord; l <= min(maxWord, n-i) && (longs|ownLongs)>>(l-1) != 0; l++ {
			d := label[i+l-1]
			if !isLetter(d) {
				break
			}
			h = wordStep(h, d)
			bit := uint16(1) << (l - 1)
			if (longs|ownLongs)&bit == 0 {
				continue
			}
			m := mixed(h)
			if longs&bit != 0 {
				if e := w.table.find(m); e != nil {
					if x := cost[i] + float32(e.bits)/8; x < cost[i+l] {
						cost[i+l], back[i+l] = x, uint8(l)
						found[i+l].hash, found[i+l].own, found[i+l].e = m, false, *e
					}
				}
			}
			if ownLongs&bit != 0 {
				if e := o.table.find(m); e != nil {
					if x := cost[i] + float32(e.bits)/8; x < cost[i+l] {
						cost[i+l], back[i+l] = x, uint8(l)
						e, lex := *e, w.table.find(m)
						if lex != nil {
							e = *lex
						}
						found[i+l].hash, found[i+l].own, found[i+l].e = m, lex == nil, e
					}
				}
			}
		}
	}
	if wild[n] < cost[n] {
		cost[n], back[n] = wild[n], 255
	}
	from := len(out)
	for i := n; i > 0; {
		switch l := int(back[i]); l {
		case 0:
			i--
		case 255:
			b := int(begins[i])
			out = append(out, token{from: b, to: i, class: strangeClass, long: long(i - b), bits: strangeLetter * float32(i-b)})
			i = b
		default:
			f := &found[i]
			t := token{from: i - l, to: i, hash: f.hash, long: long(l), own: f.own, bits: float32(f.e.bits) / 8}
			t.class = classOf(f.e.kind, t.bits)
			if f.own {
				t.class = strangeClass
			}
			out = append(out, t)
			i -= l
		}
	}
	slices.Reverse(out[from:])
	return out
}

func long(n int) uint8 { return uint8(min(max(n, 2), 11) - 2) }

// countOf says how many words a label has, and how much of it is none.
func countOf(ts []token, length int) int {
	strange := 0
	for _, t := range ts {
		if t.class == strangeClass && !t.own {
			strange += t.to - t.from
		}
	}
	s := 0
	switch {
	case strange == 0:
	case strange <= 2:
		s = 1
	case strange*3 <= length:
		s = 2
	default:
		s = 3
	}
	return min(len(ts), 11)*4 + s
}

const wordsMagic = "IMPWORD1"

func (w *Words) encode() []byte {
	b := []byte(wordsMagic)
	b = binary.LittleEndian.AppendUint32(b, uint32(w.table.n))
	for _, l := range w.table.longs {
		b = binary.LittleEndian.AppendUint16(b, l)
	}
	for _, s := range [][]float64{w.class[:], w.long[:], w.count[:]} {
		for _, x := range s {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(float32(x)))
		}
	}
	type row struct {
		h uint32
		e entry
	}
	var rows []row
	for i, k := range w.table.keys {
		if k != 0 {
			rows = append(rows, row{k, w.table.vals[i]})
		}
	}
	slices.SortFunc(rows, func(a, b row) int { return cmp.Compare(a.h, b.h) })
	for _, r := range rows {
		b = binary.LittleEndian.AppendUint32(b, r.h)
		b = append(b, r.e.bits, r.e.kind)
	}
	return b
}

func decodeWords(b []byte) (*Words, error) {
	const head = len(wordsMagic) + 4 + 2*26*26 + 4*(nClasses+nLongs+nCounts)
	bad := func() (*Words, error) {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't read the words: of another version, or cut short: %d octets", len(b))
	}
	if len(b) < head || !bytes.HasPrefix(b, []byte(wordsMagic)) {
		return bad()
	}
	n := int(binary.LittleEndian.Uint32(b[len(wordsMagic):]))
	if n > 1<<20 || len(b) != head+6*n {
		return bad()
	}
	w := &Words{}
	rest := b[len(wordsMagic)+4:]
	for i := range w.table.longs {
		w.table.longs[i] = binary.LittleEndian.Uint16(rest)
		rest = rest[2:]
	}
	for _, s := range [][]float64{w.class[:], w.long[:], w.count[:]} {
		for i := range s {
			s[i] = float64(math.Float32frombits(binary.LittleEndian.Uint32(rest)))
			if !(s[i] > 0 && s[i] <= 1) {
				return bad()
			}
			rest = rest[4:]
		}
	}
	w.table.init(n)
	for ; len(rest) > 0; rest = rest[6:] {
		if h, kind := binary.LittleEndian.Uint32(rest), rest[5]; h == 0 || kind >= englishKinds {
			return bad()
		} else {
			w.table.put(h, entry{rest[4], kind})
		}
	}
	return w, nil
}

// TrainWords learns the words that names are made of, and gives what [UseWords]
// reads. english holds English words, the commonest first. It goes through
// names, which gives labels, several times.
func TrainWords(english []string, names func(yield func(label []byte) bool)) []byte {
	// Where hyphens part them, words are sure.
	counts := map[string]float64{}
	for label := range names {
		parts := bytes.FieldsFunc(label, func(r rune) bool { return r < 'a' || r > 'z' })
		if len(parts) < 2 {
			continue
		}
		for _, p := range parts {
			if len(p) >= 3 && len(p) <= maxWord {
				counts[string(p)]++
			}
		}
	}
	total := 0.0
	for _, n := range counts {
		total += n
	}
	type known struct {
		kind uint8
		bits float64
		got  float64
	}
	all := map[string]*known{}
	for i, w := range english {
		// Of short words only common ones: letters by chance make up the others.
		if rank := i + 1; len(w) < minWord || len(w) > maxWord || len(w) == 2 && rank > 150 || len(w) == 3 && rank > 4000 {
			continue
		} else if _, twice := all[w]; !twice {
			n := counts[w] + .1*total/8/float64(rank) + .5
			all[w] = &known{kind: englishKind(rank), bits: math.Log2(total / n)}
		}
	}
	for w, n := range counts {
		least := 10.0
		if len(w) == 3 {
			least = 40
		}
		if _, ok := all[w]; !ok && n >= least {
			all[w] = &known{kind: englishKinds - 1, bits: math.Log2(total / n)}
		}
	}
	var w *Words
	by := map[uint32]*known{}
	fill := func() {
		w = newWords()
		w.table.init(len(all))
		for s, k := range all {
			h := hashWord([]byte(s))
			w.table.put(h, entry{uint8(min(max(math.Round(k.bits*8), 1), 255)), k.kind})
			w.table.allow([]byte(s))
			by[h] = k
		}
	}
	var ts []token
	for range 3 {
		fill()
		total := 0.0
		for _, k := range all {
			k.got = 0
		}
		for label := range names {
			ts = w.split(label, nil, ts[:0])
			for _, t := range ts {
				if t.class != strangeClass {
					by[t.hash].got++
				}
				total++
			}
		}
		for _, k := range all {
			k.bits = math.Log2(total / (k.got + .5))
		}
	}
	fill()
	const least = .5
	var class [nClasses]float64
	var longs [nLongs]float64
	var count [nCounts]float64
	m, n := 0.0, 0.0
	for label := range names {
		ts = w.split(label, nil, ts[:0])
		for _, t := range ts {
			class[t.class]++
			longs[t.long]++
			m++
		}
		count[countOf(ts, len(label))]++
		n++
	}
	for i, c := range class {
		w.class[i] = (c + least) / (m + least*nClasses)
	}
	for i, c := range longs {
		w.long[i] = (c + least) / (m + least*nLongs)
	}
	for i, c := range count {
		w.count[i] = (c + least) / (n + least*nCounts)
	}
	return w.encode()
}
