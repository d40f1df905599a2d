package match

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"math"
	"math/bits"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/boost"
)

// The second look. The first one ([model]) is made for speed and sees every
// occurrence; what it holds for possible, a few names in a hundred, is looked at
// again by a sum of trees that knows what stands around the token: whether the
// letters across its edges are those of an ordinary word, whether more of the
// brand's own domain is spelt out, what else was found in the name.

// secondFrom is the first look's logit above which there is a second one, for
// secondBrands brands or fewer. The more brands there are, the more names
// resemble one by chance, and it rises with their number. Measured with the brands of
// the evaluation and names of popular sites: with 105, 300, 1,000 and 3,000 brands 0.8,
// 1.6, 1.8 and 1.7 % of registrations are looked at again (0.8, 2.2, 5.2 and 8.9 % if it
// did not rise). What is found at a flag rate of 0.1 % and less is the same either way;
// at 1 % it costs .003, .02 and .06.
const (
	secondFrom   = -3.5
	secondBrands = 150
)

// chanceOf is by how much the logit of chance grows with the number of brands.
func chanceOf(brands int) float64 {
	return math.Log(max(1, float64(brands)/secondBrands))
}

// nSecond is how many numbers the second look has.
const nSecond = 80 + nPast

// second.bin holds the second look twice, with and without top-level domains: three
// sums, each with its length in front, and what was seen behind them; made by:
// evalwatch -train match -data FOLDER.
//
//go:embed second.bin
var secondBin []byte

// secondLook is sums of trees and the past that they ask. What the first of them
// holds for likely, a name in two thousand, the others are asked of too: they differ
// in what they learnt most from, and err less together.
type secondLook struct {
	trees *boost.Model
	more  [moreLooks]*boost.Model
	past  *past
}

const (
	moreLooks = 2
	moreFrom  = 0 // the first sum's logit above which the others are asked
)

// logit gives what the sums say together; in the order of the first where it says
// no more than moreFrom.
func (l *secondLook) logit(v []float32) float32 {
	z := l.trees.Logit(v)
	if z <= moreFrom {
		return z
	}
	for _, m := range l.more {
		z += m.Logit(v)
	}
	return float32(above(z/(1+moreLooks), moreFrom))
}

// secondLooks reads them when they are asked for: few commands match names.
var secondLooks = sync.OnceValues(func() (with, without *secondLook) {
	a, rest, err := readSecond(secondBin)
	if err != nil {
		return nil, nil // before the first training; a test reads it
	}
	b, _, err := readSecond(rest)
	if err != nil {
		return nil, nil
	}
	return a, b
})

func readSecond(b []byte) (*secondLook, []byte, error) {
	l := &secondLook{}
	for _, to := range [...]**boost.Model{&l.trees, &l.more[0], &l.more[1]} {
		if len(b) < 4 || uint64(len(b)-4) < uint64(binary.LittleEndian.Uint32(b)) {
			return nil, nil, impound.Errorf(impound.KindInvalid, "the second look's weights are cut short")
		}
		n := binary.LittleEndian.Uint32(b)
		m, err := boost.Decode(b[4:4+n], nSecond)
		if err != nil {
			return nil, nil, err
		}
		*to, b = m, b[4+n:]
	}
	p, rest, err := decodePast(b)
	if err != nil {
		return nil, nil, err
	}
	l.past = p
	return l, rest, nil
}

func (l *secondLook) encode() (out []byte) {
	for _, m := range [...]*boost.Model{l.trees, l.more[0], l.more[1]} {
		b := m.Encode()
		out = append(binary.LittleEndian.AppendUint32(out, uint32(len(b))), b...)
	}
	return append(out, l.past.encode()...)
}

// looker is what the second look needs of a matcher's brands.
type looker struct {
	from  []uint32   // by brand: where it begins in text; and the end
	text  []uint8    // each domain, folded, without dots and hyphens, behind its length; 0; the countries' suffixes of them, such as jp
	mates [][]uint16 // by brand: the hashes of its tokens
}

func newLooker(brands []Brand) *looker {
	l := &looker{mates: make([][]uint16, len(brands))}
	for _, b := range brands {
		l.from = append(l.from, uint32(len(l.text)))
		for _, d := range b.Domains {
			at := len(l.text)
			l.text = append(l.text, 0)
			for i := range len(d) {
				if c := foldCode[d[i]]; c != codeSep && len(l.text)-at <= math.MaxUint8 {
					l.text = append(l.text, c)
				}
			}
			if n := len(l.text) - at - 1; n > 0 {
				l.text[at] = uint8(n)
			} else {
				l.text = l.text[:at]
			}
		}
		l.text = append(l.text, 0)
		for _, d := range b.Domains {
			if tld := d[strings.LastIndexByte(d, '.')+1:]; len(tld) == 2 {
				l.text = append(l.text, tld...)
			}
		}
	}
	l.from = append(l.from, uint32(len(l.text)))
	return l
}

// of gives a brand's domains, each behind its length, 0, and its countries.
func (l *looker) of(brand int32) []uint8 { return l.text[l.from[brand]:l.from[brand+1]] }

// firstLook is what the first look measured of an occurrence, and what it says of
// it, but for what it knows of single tokens: its weights of these are of its own
// examples' days, and the past tells more.
type firstLook struct {
	v     [nFeatures]float32
	how   int
	tld   int        // -1: not looked at
	parts [3]float32 // the logit; what letter sequences and hidden units bring to it
}

// second measures occurrence f among all that was found in the name.
func (m *Matcher) second(s *scan, f found, x *firstLook, fs []found, out *[nSecond]float32) {
	ix := m.ix
	t := &ix.tokens[f.tok]
	k := 0
	put := func(v float32) { out[k] = v; k++ }
	flag := func(b bool) {
		if b {
			put(1)
		} else {
			put(0)
		}
	}
	put(x.parts[0]) // all of the first look
	put(x.parts[1]) // its letters beside the token
	put(x.parts[2]) // its hidden units
	for _, v := range x.v[1:] {
		put(v)
	}
	way := x.how
	put(float32(way))
	from, to := int(s.pos[f.at]), s.rawEnd(f.end)
	raw := s.raw[:s.rawN]
	lastFrom, lastTo := s.registered()
	sub := to <= lastFrom
	lab0, lab1 := lastFrom, lastTo
	if sub {
		lab1 = lastFrom - 1
		lab0 = bytes.LastIndexByte(raw[:min(from+1, lab1)], '.') + 1
		if i := bytes.IndexByte(raw[to:lab1], '.'); i >= 0 {
			lab1 = to + i
		}
	}
	lab0, lab1 = min(lab0, from), max(lab1, to)
	left, right := edgeNum(edgeOf(s, from-1)), edgeNum(edgeOf(s, to))
	put(float32(left))
	put(float32(right))
	flag(sub)
	put(float32(len(t.text)))
	put(float32(to - from))
	put(float32(from - lab0))
	put(float32(lab1 - to))
	put(float32(lab1 - lab0))
	put(float32(s.rawN))
	put(float32(f.dist))

	// The run of letters and digits that the token stands in.
	w0, w1 := from, to
	for w0 > lab0 && class[raw[w0-1]] < clsHyphen {
		w0--
	}
	for w1 < lab1 && class[raw[w1]] < clsHyphen {
		w1++
	}
	put(float32(w1 - w0))
	// How ordinary are the letters across the token's edges?
	across := func(edge int) float32 {
		most := 0
		for a := max(w0, edge-runMax+1); a < edge; a++ {
			most = max(most, ix.bg.longest(raw[a:min(a+runMax, w1)], edge-a))
		}
		return float32(most)
	}
	l, r := across(from), across(to)
	put(l)
	put(r)
	put(max(l, r))
	// The word as a whole, and what is left of it on each side.
	share := func(kind int, run []byte) float32 {
		if len(run) < 2 || len(run) > 2*runMax {
			return 0
		}
		if kind != runWhole && len(run) > runMax {
			return 0
		}
		return float32(bgFloor - ix.bg.bitsOf(runHash(kind, run)))
	}
	put(share(runWhole, raw[w0:w1]))
	put(share(runWhole, raw[w0:from]))
	put(share(runWhole, raw[to:w1]))
	put(share(runStart, raw[w0:from]))
	put(share(runEnd, raw[to:w1]))
	put(m.perLetter(s, w0, from))
	put(m.perLetter(s, to, w1))
	put(m.perLetter(s, w0, w1))
	put(m.perLetter(s, lab0, lab1))
	// Two letters before the token, and behind: as they stand with its first.
	put(ix.bg.edge(raw, from, w0, w1))
	put(ix.bg.edge(raw, to, w0, w1))

	// What is beside the token, in its label: vowels, digits, words.
	vowels, cons, consRun, digitRun, rest, digits := 0, 0, 0, 0, 0, 0
	cr, dr := 0, 0
	for i := lab0; i < lab1; i++ {
		if i == from {
			i = to - 1
			cr, dr = 0, 0
			continue
		}
		switch c := raw[i]; class[c] {
		case clsLetter:
			rest++
			dr = 0
			if vowelBits>>(c&31)&1 != 0 {
				vowels++
				cr = 0
			} else {
				cons++
				cr++
				consRun = max(consRun, cr)
			}
		case clsDigit:
			digits++
			cr = 0
			dr++
			digitRun = max(digitRun, dr)
		default:
			cr, dr = 0, 0
		}
	}
	put(float32(rest))
	put(float32(digits))
	put(float32(consRun))
	put(float32(digitRun))
	put(float32(vowels) / float32(max(1, vowels+cons)))

	// Lure words, and the strong ones; whether they touch the token.
	lures, strong, touch, covered := 0, 0, 0, 0
	for i := 0; i < s.rawN; {
		if i = s.mayLure(i, from); i >= s.rawN {
			break
		}
		if i == from {
			i = to
			continue
		}
		end := s.rawN
		if i < from {
			end = from
		}
		if n := lureWord(raw[i:end]); n > 0 {
			lures++
			covered += n
			if strongLures[string(raw[i:i+n])] {
				strong++
			}
			if i+n == from || i+n == from-1 || i == to || i == to+1 {
				touch++
			}
			i += n
			continue
		}
		i++
	}
	put(float32(lures))
	put(float32(strong))
	put(float32(touch))
	put(float32(covered))

	// What else was found.
	brand := t.brands[0]
	var same, others, exact int
	var second float32
	for _, g := range fs {
		if g.tok == f.tok {
			if g.at != f.at {
				same++
			}
			continue
		}
		u := &ix.tokens[g.tok]
		if g.at >= f.end || f.at >= g.end {
			if len(u.text) >= 3 {
				others++
				if g.dist == 0 {
					exact++
				}
				second = max(second, u.rarity/32)
			}
			for _, b := range u.brands {
				if b == brand {
					same++
				}
			}
		}
	}
	put(float32(same))
	put(float32(others))
	put(float32(exact))
	put(second)

	// How much of the brand's own domain is spelt out, beyond the token.
	longest, whole := 0, float32(0)
	own := m.looker.of(brand)
	var runs runsOf
	runs.fill(s.code[padLeft : padLeft+s.n])
	for own[0] > 0 {
		d := own[1 : 1+own[0]]
		own = own[1+own[0]:]
		n := runs.longest(d)
		longest = max(longest, n)
		whole = max(whole, float32(n)/float32(len(d)))
	}
	put(float32(longest))
	put(float32(longest - len(t.codes)))
	put(whole)
	country := false
	for c := own[1:]; len(c) >= 2; c = c[2:] {
		for i := 0; i+2 <= s.rawN; i++ {
			if raw[i] == c[0] && raw[i+1] == c[1] && (i+2 == s.rawN || class[raw[i+2]] != clsLetter) && (i >= to || i+2 <= from) {
				country = true
			}
		}
	}
	flag(country)

	// The misspelling: where, and of what kind.
	at, kind := 0, 0
	if f.dist > 0 {
		for at < len(t.codes) && f.at+at < f.end && s.code[padLeft+f.at+at] == t.codes[at] {
			at++
		}
		switch f.edit {
		case editIns:
			kind = 2
			c := s.code[padLeft+f.at+min(at, f.end-f.at-1)]
			if at > 0 && c == s.code[padLeft+f.at+at-1] {
				kind = 1 // doubled
			}
		case editDel:
			kind = 3
			if at > 0 && at < len(t.codes) && t.codes[at] == t.codes[at-1] {
				kind = 4
			}
		case editSwap:
			kind = 5
		case editSub:
			kind = 6
			if at < len(t.text) && f.at+at < f.end {
				got, want := raw[s.pos[f.at+at]], t.text[at]
				switch {
				case class[got] == clsDigit:
					kind = 7
				case strings.IndexByte("aeiou", want) >= 0 && strings.IndexByte("aeiou", got) >= 0:
					kind = 8
				case beside(want, got):
					kind = 9
				}
			}
		case editMany:
			kind = 10
		}
	}
	put(float32(at))
	put(float32(kind))
	put(float32(len(t.codes) - at))
	put(float32(len(t.codes)))
	ends := 0
	if f.dist > 0 && s.code[padLeft+f.at] == t.codes[0] {
		ends |= 1
	}
	if f.dist > 0 && s.code[padLeft+f.end-1] == t.codes[len(t.codes)-1] {
		ends |= 2
	}
	put(float32(ends))
	tld := float32(0)
	if x.tld >= 0 {
		tld = float32(m.model.tld[x.tld]) * m.model.scale
	}
	put(tld)
	hyphens := 0
	for _, c := range raw[lab0:lab1] {
		if c == '-' {
			hyphens++
		}
	}
	put(float32(hyphens))
	for _, c := range t.common {
		put(c)
	}
	// The other words of the name: ordinary ones, or such as nobody uses?
	var sum, low, high float32
	words := 0
	low = bgFloor
	for i := 0; i < s.rawN; {
		j := i
		for j < s.rawN && class[raw[j]] < clsHyphen {
			j++
		}
		if j-i >= 2 && (j <= from || i >= to) {
			v := share(runWhole, raw[i:j])
			sum += v
			low, high = min(low, v), max(high, v)
			words++
		}
		i = j + 1
	}
	if words == 0 {
		low = 0
	}
	put(float32(words))
	put(sum / float32(max(1, words)))
	put(low)
	put(high)
	if m.told != nil { // while learning, pastTrainer puts them
		m.told.put(out[nSecond-nPast:], f.tok, x.tld)
	}
}

// lookAgain gives the logit of the second look, less m.chance: always above
// secondFrom.
func (m *Matcher) lookAgain(s *scan, f found, fs []found) float64 {
	var x firstLook
	if _, ok := m.firstOf(s, &f, &x); !ok {
		return secondFrom
	}
	var v [nSecond]float32
	m.second(s, f, &x, fs, &v)
	return m.atLeastObvious(s, &f, above(m.again.logit(v[:]), m.secondFrom)-m.chance)
}

// above brings the second look's logit above from, in the same order.
func above(l float32, from float64) float64 { return from + math.Log1p(math.Exp(float64(l)-from)) }

// first gives what x measured, and what m says of it.
func (m *model) first(x *features) firstLook {
	var g int32
	for _, i := range x.gram[:x.nG] {
		g += int32(m.gram[i])
	}
	gram, hidden := float32(float32(g)*m.scale), m.hidden(x)
	return firstLook{x.v, x.how, x.tld, [3]float32{m.base(x) + gram + hidden, gram, hidden}}
}

// secondFolds is in how many parts the examples are divided to learn the second
// look: each part is seen with the eyes of a first look that has not met it.
const secondFolds = 3

// TrainSecond learns the second look, for first looks learnt as
// [Matcher.Train] does it.
func (m *Matcher) TrainSecond(examples []Example, epochs int, seed uint64) ([]byte, error) {
	var firsts [secondFolds][]byte
	var wg sync.WaitGroup
	for fold := range firsts {
		wg.Go(func() {
			var in []Example
			for _, e := range examples {
				if e.Part%secondFolds != fold {
					in = append(in, e)
				}
			}
			firsts[fold] = m.Train(in, epochs, seed)
		})
	}
	wg.Wait()
	rows, end, err := m.secondRows(examples, firsts, seed)
	if err != nil {
		return nil, err
	}
	l := fitSecond(rows, seed)
	l.past = end
	return l.encode(), nil
}

// fitSecond learns the sums: the second from ordinary names above all, the third
// more slowly.
func fitSecond(rows []boost.Row, seed uint64) *secondLook {
	fit := func(rows []boost.Row, trees int, rate, features float64) *boost.Model {
		return boost.Train(rows, boost.Options{Trees: trees, Leaves: 24, Rate: rate, L2: 4, MinHess: 3, Rows: 0.6, Features: features, Seed: seed})
	}
	heavy := slices.Clone(rows)
	for i := range heavy {
		if heavy[i].Y == 0 {
			heavy[i].W *= 10
		}
	}
	return &secondLook{trees: fit(rows, 400, .05, .3), more: [moreLooks]*boost.Model{fit(heavy, 400, .05, .3), fit(rows, 500, .05, .4)}}
}

// secondRows gives what the second look learns from, and what has been seen in
// the end. firsts are first looks, each learnt from the other parts.
func (m *Matcher) secondRows(examples []Example, firsts [secondFolds][]byte, seed uint64) ([]boost.Row, *past, error) {
	t := &pastTrainer{rnd: rand.New(rand.NewPCG(seed, 3)), memo: map[int]*past{}}
	var rows []secondRow
	for fold := range secondFolds {
		var rest []Example
		for _, e := range examples {
			if e.Part%secondFolds == fold {
				rest = append(rest, e)
				if e.Brand == "" && e.Seen > 0 && !m.opt.NoTLD {
					var s scan
					if s.fill([]byte(e.Name)) {
						t.base.tld[s.suffix()].plain += e.Seen
						t.base.sum.plain += e.Seen
					}
				}
			}
		}
		c, err := m.With(firsts[fold])
		if err != nil {
			return nil, nil, err
		}
		c.eachTop(rest, func(i int, r row, s *scan, f found, fs []found) {
			e, hash := &rest[i], m.ix.tokens[f.tok].hash
			if r.y > 0 && e.Seen > 0 {
				tld := r.x.tld
				if e.Seen < 1 {
					tld = -1
				}
				t.seen = append(t.seen, pastSeen{hash, tld, e.Age, e.Seen})
			}
			if c.model.logit(&r.x) <= secondFrom {
				return
			}
			if r.y == 0 && e.Seen > 0 {
				t.hots = append(t.hots, pastHot{hash, fold, c.model.logit(&r.x) > 0})
			}
			// Garbled names, and hosts that are ordinary, are not what it is made for.
			if e.Seen == 0 {
				if r.y > 0 {
					r.w /= 5
				} else {
					r.w /= 4
				}
			}
			x := r.x
			x.tok = -1
			first := c.model.first(&x)
			var v [nSecond]float32
			c.second(s, f, &first, fs, &v)
			rows = append(rows, secondRow{boost.Row{X: slices.Clone(v[:]), Y: r.y, W: r.w}, hash, m.looker.mates[m.ix.tokens[f.tok].brands[0]], x.tld, e.Age, fold})
		})
	}
	t.fill(rows)
	out := make([]boost.Row, len(rows))
	for i := range rows {
		out[i] = rows[i].Row
	}
	return out, t.at(0, secondFolds), nil
}

// WithSecond gives m with a second look: what [Matcher.TrainSecond] gave.
func (m *Matcher) WithSecond(b []byte) (*Matcher, error) {
	l, _, err := readSecond(b)
	if err != nil {
		return nil, err
	}
	c := *m
	c.again = l
	c.told = l.past.tell(c.ix.tokens, c.looker.mates)
	return &c, nil
}

// registered gives where the registered label lies in raw, as [index.features]
// takes it.
func (s *scan) registered() (from, to int) {
	if s.near.ready {
		return s.near.lastFrom, s.near.lastTo
	}
	to = s.rawN
	from = bytes.LastIndexByte(s.raw[:to], '.') + 1
	if from > 0 && s.allN-s.rawN == 3 && secondLevel(s.raw[from:to]) {
		to = from - 1
		from = bytes.LastIndexByte(s.raw[:to], '.') + 1
	}
	return from, to
}

// suffix numbers what stands behind the last dot of the name, as
// [index.features] does.
func (s *scan) suffix() int {
	h := uint32(2166136261)
	for _, c := range s.raw[min(s.rawN+1, s.allN):s.allN] {
		h = (h ^ uint32(c)) * 16777619
	}
	return int(h >> 23)
}

// perLetter gives how surprising a letter of octets from to to is, in bits; 0 for
// none.
func (m *Matcher) perLetter(s *scan, from, to int) float32 {
	if from >= to {
		return 0
	}
	if a := &s.near; a.ready && a.dots&(1<<to-1<<from) == 0 {
		y := a.sym[4+from]
		n := int32(m.ix.bg.tri[y])
		if from+1 < to {
			n += int32(m.ix.bg.tri[y*bgLetters+a.sym[4+from+1]]) + surpriseIn(a.sum[to]-a.sum[from+2])
		}
		return float32(n) / 8 / float32(to-from)
	}
	var sum float32
	var a, b uint8
	for _, c := range s.raw[from:to] {
		d := bgCode[c]
		sum += m.ix.bg.surprise(a, b, d)
		a, b = b, d
	}
	return sum / float32(to-from)
}

// edge gives how surprising the letters on both sides of i are beside each
// other; 0 at the end of a word.
func (g *Background) edge(raw []byte, i, lo, hi int) float32 {
	if i <= lo || i >= hi {
		return 0
	}
	at := func(j int) uint8 {
		if j < lo || j >= hi {
			return 0
		}
		return bgCode[raw[j]]
	}
	return g.surprise(at(i-2), at(i-1), at(i)) + g.surprise(at(i-1), at(i), at(i+1))
}

// commonRun gives the length of the longest run that a and b share.
func commonRun(a, b []uint8) (best int) {
	var row [maxToken * 4]uint8
	if len(b) >= len(row) {
		b = b[:len(row)-1]
	}
	for _, c := range a {
		for j := len(b); j > 0; j-- {
			if b[j-1] == c {
				row[j] = row[j-1] + 1
				best = max(best, int(row[j]))
			} else {
				row[j] = 0
			}
		}
	}
	return best
}

// runsOf finds runs of letters that a name shares with others: by letter, a bit for
// each place where it stands. Names of more than 64 letters have none.
type runsOf struct {
	at   [32]uint64
	name []uint8
}

func (r *runsOf) fill(name []uint8) {
	if r.name = name; len(name) > 64 {
		return
	}
	for i, c := range name {
		r.at[c&31] |= 1 << i
	}
}

// longest is commonRun of the name and d.
func (r *runsOf) longest(d []uint8) int {
	var ends [64]uint64 // by letter of d: where runs of n letters end that end with it
	if len(r.name) > 64 || len(d) > len(ends) {
		return commonRun(r.name, d)
	}
	var some uint64
	for i, c := range d {
		ends[i] = r.at[c&31]
		some |= ends[i]
	}
	n := 0
	for e := ends[:len(d)]; some != 0; n++ {
		some = 0
		for i := len(e) - 1; i > n; i-- {
			e[i] = e[i-1] << 1 & r.at[d[i]&31]
			some |= e[i]
		}
	}
	return n
}

// mayLure gives the first place from i on at which a lure word may stand, or an
// occurrence that begins at from does; or the name's end.
func (s *scan) mayLure(i, from int) int {
	if s.rawN > maxAround || !s.near.ready || i >= s.rawN {
		return i
	}
	m := s.near.lures | s.near.luresTo(from) | s.near.luresTo(s.rawN) | 1<<from
	return min(s.rawN, i+bits.TrailingZeros64(m>>i))
}

// vowelBits has a bit for each vowel's place in the alphabet.
const vowelBits = 1<<('a'&31) | 1<<('e'&31) | 1<<('i'&31) | 1<<('o'&31) | 1<<('u'&31) | 1<<('y'&31)

// beside says whether two letters lie side by side on a keyboard.
func beside(a, b byte) bool {
	pa, oka := keyAt[a]
	pb, okb := keyAt[b]
	return oka && okb && math.Hypot(pa[0]-pb[0], pa[1]-pb[1]) < 1.3
}

var keyAt = func() map[byte][2]float64 {
	m := map[byte][2]float64{}
	for y, row := range []string{"qwertyuiop", "asdfghjkl", "zxcvbnm"} {
		for x := range len(row) {
			m[row[x]] = [2]float64{float64(x) + float64(y)*0.4, float64(y)}
		}
	}
	return m
}()
