package profile

import (
	"math"
	"slices"

	"github.com/impound/impound/internal/watch/match"
)

// An algorithm that puts words of a list in a row is known by other habits than
// people are: it never digs a host below a name, never makes an exception, and
// its words are as common in English as the list has them, though few of them
// were seen yet. [rowOfWords] is what is learnt of it.

// rowOfWords is how the examples put words in a row.
type rowOfWords struct {
	trust   float64 // how much the examples look put together so: 0 to 1
	strange float64 // share of letters that belong to no word
	names   float64
	words   float64
	fresh   float64 // share of words that are new with each name
	own     own
	class   [nClasses]float64 // in bits against ordinary names
	long    [nLongs]float64
	count   [nCounts]float64
	tlds    map[string]float64
	kind    kindHabit // by language
	rareTLD float64   // what is taken off each count for those that were not seen
	newTLD  float64   // chance of one that was not seen
}

// What a row of words says of a name is the sum of these parts, each in bits,
// weighed.
const (
	partLetters        = iota
	partPieces         // of words
	partStrangeLetters // the same once more, by how many letters belong to no word
	partStrangePieces
	partShapes
	partActor = iota + nShapes - 1 // chosen by some actor
	partClass                      // how common the words are, in English and among names
	partLong                       // how long
	partCount                      // how many
	partSeen                       // words that were seen
	partTLD
	partKind // language
	nRowParts
)

// rowWeights were chosen on the families of algorithms that docs/watch.md tells
// of, all of them in sight, and on made-up ones. What it costs to choose them
// without a family: evalwatch -only profile.
var rowWeights = [nRowParts]float64{
	partLetters: .075, partPieces: .125, partStrangeLetters: .27, partStrangePieces: .45,
	partShapes: 2, .5, .6, .38, .8,
	partActor: .03, partClass: .5, partLong: .5, partCount: 1, partSeen: .8, partTLD: 2, partKind: 1,
}

const (
	rowPrior   = 8.0 // words of ordinary names that are mixed into the habit
	rowRareTLD = 5e-5
	rowAnyTLD  = .0014 // share of each, when all are as likely
)

const (
	rowNames = 300 // latest names that are looked at
	rowLeast = 8   // below so many nothing is said
)

// learnRow learns from the latest of examples. It gives nil where they are
// nothing of the kind.
func learnRow(examples []Example) *rowOfWords {
	examples = examples[max(0, len(examples)-rowNames):]
	if len(examples) < rowLeast {
		return nil
	}
	vs := make([]seen, len(examples))
	odd := 0
	for i, e := range examples {
		vs[i].register([]byte(e.Name))
		if vs[i].depth > 1 || vs[i].digits > 0 {
			odd++
		}
	}
	r := &rowOfWords{trust: rowTrust(odd, len(examples)), names: float64(len(examples)), tlds: map[string]float64{}}
	if r.trust == 0 {
		return nil
	}
	for i := range vs {
		vs[i].lookKinds()
	}
	r.kind.learn(vs)
	r.own.learn(vs)
	var ts []token
	seenOnce := map[uint32]int{}
	letters := 0.0
	for i := range vs {
		v := &vs[i]
		ts = words.split(v.reg, nil, ts[:0])
		for _, t := range ts {
			letters += float64(t.to - t.from)
			if t.class == strangeClass {
				r.strange += float64(t.to - t.from)
			}
		}
		ts = words.split(v.reg, &r.own, ts[:0])
		for _, t := range ts {
			r.class[t.class]++
			r.long[t.long]++
			r.words++
			if t.hash != 0 {
				*r.own.at(t.hash)++
				seenOnce[t.hash]++
			} else {
				seenOnce[^uint32(len(seenOnce))&^1]++ // a run of letters never comes back
			}
		}
		r.count[countOf(ts, v.length)]++
		r.tlds[string(v.tld)]++
	}
	once := 0.0
	for _, n := range seenOnce {
		if n == 1 {
			once++
		}
	}
	r.strange /= max(1, letters)
	// As many words are new as were met once (Good and Turing).
	r.fresh = min(.95, max(.05, (once+.5)/(r.words+1)))
	for i, c := range r.class {
		r.class[i] = math.Log2((c + rowPrior*words.class[i]) / (r.words + rowPrior) / words.class[i])
	}
	for i, c := range r.long {
		r.long[i] = math.Log2((c + rowPrior*words.long[i]) / (r.words + rowPrior) / words.long[i])
	}
	for i, c := range r.count {
		r.count[i] = math.Log2((c + rowPrior*words.count[i]) / (r.names + rowPrior) / words.count[i])
	}
	// What is taken off each count is what is met once rather than twice (Kneser
	// and Ney): an algorithm has one top-level domain, or as many as there are.
	one, two := 0.0, 0.0
	for _, n := range r.tlds {
		switch n {
		case 1:
			one++
		case 2:
			two++
		}
	}
	r.rareTLD = min(.95, (one+tldNew)/(one+2*two+1))
	r.newTLD = r.rareTLD * (1 + float64(len(r.tlds))) / (r.names + r.rareTLD)
	return r
}

// rowTrust: of so many names so many are exceptions. An algorithm makes none;
// a slip of who gathered the names is allowed.
func rowTrust(odd, n int) float64 {
	return min(1, max(0, (.04-max(0, float64(odd)-.6)/float64(n))/.02))
}

// learn finds the runs of letters that come back in names: they are words to
// whoever made them, whatever they are to others. Every word of the lexicon
// that occurs is counted too.
func (o *own) learn(vs []seen) {
	type run struct{ i, from, to int }
	runs := map[uint32]*struct {
		n, last int
		at      run
	}{}
	var all []uint32
	for i := range vs {
		reg := vs[i].reg
		for from := range reg {
			h := wordSeed
			for to := from + 1; to <= min(len(reg), from+maxPiece) && isLetter(reg[to-1]); to++ {
				h = wordStep(h, reg[to-1])
				if to-from < minWord {
					continue
				}
				m := mixed(h)
				x := runs[m]
				switch {
				case x == nil:
					runs[m] = &struct {
						n, last int
						at      run
					}{1, i, run{i, from, to}}
					all = append(all, m)
				case x.last != i:
					x.n++
					x.last = i
				}
			}
		}
	}
	bg := match.BuiltinBackground()
	names := float64(len(vs))
	type word struct {
		h    uint32
		e    entry
		text []byte
	}
	var ws []word
	for _, m := range all {
		x := runs[m]
		text := vs[x.at.i].reg[x.at.from:x.at.to]
		common := float64(bg.Commonness(text))
		// As many as chance gives are no sign.
		if x.n >= 2 && len(text) >= minPiece && float64(x.n) > 3*names*math.Exp2(-common)+1 {
			bits := max(4, math.Log2(names/float64(x.n))+7)
			ws = append(ws, word{m, entry{uint8(math.Round(bits * 8)), englishKinds - 1}, text})
		}
	}
	n := 0
	for i := range vs {
		n += len(vs[i].reg)
	}
	o.table.init(len(ws) + n)
	o.count = make([]float64, len(o.table.keys))
	for _, w := range ws {
		o.table.put(w.h, w.e)
		o.table.allow(w.text)
	}
	// Room for the count of each word that the names are made of.
	var ts []token
	for i := range vs {
		ts = words.split(vs[i].reg, o, ts[:0])
		for _, t := range ts {
			if t.hash != 0 {
				o.table.put(t.hash, entry{bits: 255, kind: englishKinds - 1})
			}
		}
	}
}

// parts says how much likelier a name is by each, in bits. all is what all names
// gave.
func (r *rowOfWords) parts(v *seen, all *odds, bg *match.Background) (o [nRowParts]float64) {
	o[partLetters], o[partPieces] = all.letters, all.words
	o[partStrangeLetters], o[partStrangePieces] = r.strange*all.letters, r.strange*all.words
	copy(o[partShapes:], all.shapes[:])
	o[partActor] = all.prior
	o[partKind] = r.kind.bits(v)
	var buf [40]token
	ts := words.split(v.reg, &r.own, buf[:0])
	for _, t := range ts {
		o[partClass] += r.class[t.class]
		o[partLong] += r.long[t.long]
		var c *float64
		if t.hash != 0 {
			c = r.own.at(t.hash)
		}
		if c == nil || *c == 0 {
			o[partSeen] += math.Log2(r.fresh)
			continue
		}
		bits := float64(t.bits)
		if t.own {
			bits = float64(bg.Commonness(v.reg[t.from:t.to])) + 1
		}
		// As one of the list, or new by chance.
		p := (1 - r.fresh) * *c / r.words * math.Exp2(bits)
		o[partSeen] += max(0, math.Log2(p+r.fresh*math.Exp2(r.class[t.class]))-r.class[t.class])
	}
	o[partCount] = r.count[countOf(ts, v.length)]
	b := max(common.TLDs[string(v.tld)], rowRareTLD)
	p := r.newTLD * (b + rowAnyTLD) / 2
	if c := r.tlds[string(v.tld)]; c > 0 {
		p += (c - r.rareTLD) / (r.names + r.rareTLD)
	}
	o[partTLD] = math.Log2(p / b)
	return o
}

// RowWeights are the weights of what [Profile.RowParts] gives.
func RowWeights() []float64 { return slices.Clone(rowWeights[:]) }

// RowParts is what a row of words says of a name, part by part, in bits and not
// weighed; nil where the examples are no row of words. It serves the choice of
// weights.
func (p *Profile) RowParts(s Seen) []float64 {
	if p.row == nil {
		return nil
	}
	bg := match.BuiltinBackground()
	base := s.v.bases(bg)
	all := p.parts[0].odds(s.v, &base, bg)
	o := p.row.parts(s.v, &all, bg)
	return o[:]
}
