// Package profile learns an actor's habits of naming from a few of its names
// and ranks others by them: letters and words, top-level domains, shape.
//
// What lives here: learning from names and dates alone, scoring, reasons. What
// must not: observations of the network, or a decision who an actor is.
package profile

import (
	"bufio"
	"bytes"
	"cmp"
	_ "embed"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/net/publicsuffix"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/dga"
	"github.com/impound/impound/internal/watch/match"
)

// Example is one name of the actor. At may be zero.
type Example struct {
	Name string
	At   time.Time
}

// Profile is an actor's habits. It never changes after [Learn] and is safe for
// concurrent use.
type Profile struct {
	actor string
	parts []part
	known map[string]bool
	row   *rowOfWords // nil: the names are no words in a row
	whole *whole
	apply float64 // how much the whole counts: not where a program puts words in a row
}

// part is what was learnt from one stretch of the actor's history: all of it,
// and the latest names by themselves, since actors change their style at once.
type part struct {
	label string
	n     float64
	lm    table
	tld   map[string]float64
	tlds  float64 // how many there are; those of long ago count less
	words table   // pieces of 4 to 12 letters: in how many names
	shape [nShapes]map[uint32]float64
}

// ReadExamples reads a name a line, oldest first, optionally with a tab and a
// date (2026-11-21). Blank lines and those that begin with # are left out. One
// line that is no name is no reason to learn nothing: such lines are given as
// bad, each with its number. A list of which most are none is another file than
// was meant, and one without a name teaches nothing: an [impound.Error] of
// KindInvalid.
func ReadExamples(r io.Reader) (out []Example, bad impound.Problems, err error) {
	sc := bufio.NewScanner(r)
	sc.Buffer(nil, 64<<20)
	for n := 1; sc.Scan(); n++ {
		line := strings.TrimSpace(strings.TrimPrefix(sc.Text(), "\ufeff"))
		if line == "" || line[0] == '#' {
			continue
		}
		text, rest, tab := strings.Cut(line, "\t")
		if !tab { // a date behind spaces or a comma is a date too
			if i := strings.IndexAny(line, " ,;"); i > 0 {
				if after := strings.Trim(line[i:], " ,;"); !exampleDate(after).IsZero() {
					text, rest = line[:i], after
				}
			}
		}
		name, err := impound.ParseName(text)
		if err != nil {
			bad = append(bad, impound.Errorf(impound.KindInvalid, "couldn't read the example: %w", err).At(fmt.Sprintf("line %d", n)))
			continue
		}
		date, _, _ := strings.Cut(strings.TrimSpace(rest), "\t")
		out = append(out, Example{Name: name.String(), At: exampleDate(date)})
	}
	if err := sc.Err(); err != nil {
		return nil, bad, impound.Errorf(impound.KindInvalid, "couldn't read the examples: %w", err).WithCure("give a name a line, oldest first")
	}
	switch {
	case len(out) == 0 && len(bad) == 0:
		return nil, nil, impound.Errorf(impound.KindInvalid, "the examples hold no name").WithCure("give a name a line, oldest first")
	case len(bad) > len(out):
		return nil, bad, impound.Errorf(impound.KindInvalid, "%d of %d lines are no names, the first: %w", len(bad), len(bad)+len(out), bad[0]).WithCure("is it the right file? Give a name a line, oldest first")
	}
	return out, bad, nil
}

func exampleDate(s string) time.Time {
	for _, layout := range []string{"2006-01-02", time.RFC3339} {
		if t, err := time.Parse(layout, s); err == nil {
			return t
		}
	}
	return time.Time{}
}

// recent is how many of the latest names make the parts of the newest styles.
var recent = [...]int{12, 40}

// Learn makes a profile of actor from examples, oldest first.
func Learn(actor string, examples []Example) (*Profile, error) {
	if len(examples) == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "no names to learn from").At("actor " + actor)
	}
	p := &Profile{actor: actor, known: map[string]bool{}}
	for _, e := range examples {
		p.known[e.Name] = true
	}
	p.parts = append(p.parts, learnPart("all names", examples))
	for _, n := range recent {
		if len(examples) > n+n/2 {
			p.parts = append(p.parts, learnPart(fmt.Sprintf("the latest %d names", n), examples[len(examples)-n:]))
		}
	}
	p.row = learnRow(examples)
	p.whole, p.apply = learnWhole(examples), 1
	if p.row != nil {
		p.apply = 1 - p.row.trust
	}
	return p, nil
}

// Prior tells names that actors choose from those of others, whoever the actor
// is: learnt from many actors. It is made by: evalwatch -train profile.
var Prior = func() *dga.Model {
	m, err := dga.NewModel(priorBin)
	if err != nil {
		m = &dga.Model{} // before the first training: says nothing
	}
	return m
}()

//go:embed prior.bin
var priorBin []byte

// Weights of the parts of the score. They were chosen on actors of the
// development data, walking forward.
var (
	WeightLetters = 0.15
	WeightWords   = 0.25
	WeightTLD     = 0.8
	WeightShapes  = [nShapes]float64{2, 0.5, 0.4, 0.38, 0.56}
	WeightPrior   = 0.09
	alpha         = [...]float64{0, 0, 0, 3, 1.5, 1, 0.7} // by order of the letter model
	decay         = 60.0                                  // names after which an example counts for half
	tldPrior      = 3.0
	shapePrior    = 6.0
	wordPrior     = 2.0
)

// tldNew is what is taken off the count of each top-level domain for those that
// were not seen yet (Pitman and Yor).
const tldNew = .5

const maxOrder = 6

const minPiece, maxPiece = 4, 12

// pieces calls f for each stretch of letters of a label.
func (v *seen) pieces(f func(from, to int, h uint64)) {
	for i := 1; i < len(v.sym); i++ {
		h := uint64(0x9e3779b97f4a7c15)
		for j := i; j < len(v.sym) && j < i+maxPiece; j++ {
			c := v.sym[j]
			if c == 0 || c > 26 {
				break
			}
			h = (h ^ uint64(c)) * 0x100000001b3
			h ^= h >> 29
			if j-i+1 >= minPiece {
				f(i, j+1, h*0xff51afd7ed558ccd|1)
			}
		}
	}
}

// wordBits says how much likelier the actor is to use the pieces of the name,
// the best that don't overlap, than others are.
func (p *part) wordBits(v *seen, bg *match.Background) float64 {
	var best [260]float64
	done := 1
	v.pieces(func(from, to int, h uint64) {
		for ; done <= from; done++ {
			best[done] = max(best[done], best[done-1])
		}
		c := float64(p.words.get(h))
		if c == 0 {
			return
		}
		b := math.Exp2(-float64(bg.Commonness(v.name[from-1 : to-1])))
		if x := math.Log2((c + wordPrior*b) / (p.n + wordPrior) / b); x > 0 {
			best[to] = max(best[to], best[from]+x)
		}
	})
	for ; done < len(v.sym); done++ {
		best[done] = max(best[done], best[done-1])
	}
	return best[len(v.sym)-1]
}

func learnPart(label string, examples []Example) part {
	p := part{label: label, tld: map[string]float64{}}
	for i := range p.shape {
		p.shape[i] = map[uint32]float64{}
	}
	size := 0
	for _, e := range examples {
		size += len(e.Name) * (maxOrder - 2) * 2
	}
	p.lm.init(size)
	pieces := 0
	for _, e := range examples {
		pieces += 9 * len(e.Name)
	}
	p.words.init(pieces)
	for i, e := range examples {
		w := math.Exp2(-float64(len(examples)-1-i) / decay)
		p.n += w
		v := look([]byte(e.Name))
		c := p.tld[string(v.tld)]
		p.tld[string(v.tld)] = c + w
		p.tlds += min(1, c+w) - min(1, c)
		for k, s := range v.shapes() {
			p.shape[k][s] += w
		}
		once := map[uint64]bool{}
		v.pieces(func(_, _ int, h uint64) {
			if !once[h] {
				once[h] = true
				p.words.add(h, float32(w))
			}
		})
		for i := 1; i < len(v.sym); i++ {
			for k := 3; k <= maxOrder; k++ {
				ctx := v.context(i, k-1)
				p.lm.add(ctx, float32(w))
				p.lm.add(ctx^uint64(v.sym[i]+1)*0x9e3779b97f4a7c15, float32(w))
			}
		}
	}
	return p
}

// seen is a name as the model sees it.
type seen struct {
	sym    []uint8 // symbols in front of the top-level domain, with a boundary at both ends
	buf    [260]uint8
	name   []byte
	reg    []byte // the registered label
	tld    []byte
	labels int
	depth  int  // labels in front of the public suffix: 1 for what can be registered
	server bool // a host below a name, called as name servers are
	hyphen int
	digits int
	made   float64         // how much it looks made by an algorithm, see [dga.Logit]
	prior  float64         // how much it looks chosen by some actor, see [Prior]
	length int             // of the registered label
	bits   float64         // how surprising a letter of it is among ordinary names
	kinds  [nKinds]float64 // how rarely ordinary names are so much of each kind, see [Kinds]
	kinded bool            // they were looked at
	regAt  int             // where what was registered begins
	extra  extra
	added  bool // whether extra is filled in
}

func look(name []byte) *seen {
	v := &seen{}
	v.look(name)
	return v
}

func (v *seen) look(name []byte) {
	v.register(name)
	v.measure()
	v.add()
}

// register takes a name apart.
func (v *seen) register(name []byte) {
	if len(name) > 253 {
		name = name[:253]
	}
	v.name, v.added = name, false
	last := bytes.LastIndexByte(name, '.')
	v.tld = name[last+1:]
	front := name[:max(last, 0)]
	v.sym = append(v.buf[:0], 0)
	v.labels, v.hyphen, v.digits = 1, 0, 0
	for _, c := range front {
		s := match.Symbol(c)
		if c >= '0' && c <= '9' {
			s = 30 + c - '0' // digits are told apart here
			v.digits++
		}
		switch c {
		case '.':
			v.labels++
		case '-':
			v.hyphen++
		}
		v.sym = append(v.sym, s)
	}
	v.sym = append(v.sym, 0)
	// What can be registered, and what stands in front of it.
	registered := front
	v.depth, v.server, v.kinded = 1, false, false
	v.regAt = 0
	if v.labels > 1 {
		suffix := icannSuffix(name)
		front := bytes.TrimSuffix(name[:len(name)-len(suffix)], []byte{'.'})
		i := bytes.LastIndexByte(front, '.')
		registered = front[i+1:]
		v.regAt = i + 1
		if i >= 0 {
			hosts := front[:i]
			v.depth = 2 + bytes.Count(hosts, []byte{'.'})
			for len(hosts) > 0 && !v.server {
				var l []byte
				l, hosts, _ = bytes.Cut(hosts, []byte{'.'})
				v.server = serverLabel(l)
			}
		}
	}
	v.reg = registered
	v.length = len(registered)
}

// measure says how ordinary a name is.
func (v *seen) measure() {
	registered := v.reg
	v.bits = 0
	bg := match.BuiltinBackground()
	var x, y uint8
	for i := 0; i <= len(registered); i++ {
		var c uint8
		if i < len(registered) {
			c = match.Symbol(registered[i])
		}
		v.bits += float64(bg.Triple(x, y, c))
		x, y = y, c
	}
	v.bits /= float64(len(registered) + 1)
	v.made = Made(string(v.name))
	v.prior = Prior.Logit(v.name)
}

// Made says how much a name looks made by an algorithm. It is a variable for
// measuring with a model that has not met what is measured.
var Made = dga.Logit

// icannSuffix is the public suffix of name, of the section of registries: below
// those of the other section names are hosts of somebody's.
func icannSuffix(name []byte) string {
	rest := string(name)
	for {
		s, icann := publicsuffix.PublicSuffix(rest)
		if icann || !strings.Contains(s, ".") {
			return s
		}
		_, rest, _ = strings.Cut(s, ".")
	}
}

// serverLabel says whether a host is called as those are that come with a new
// registration: ns1, dns2, a.ns, blackhole-1.
func serverLabel(l []byte) bool {
	for _, p := range []string{"ns", "dns", "pdns", "ddns", "blackhole"} {
		if rest, ok := bytes.CutPrefix(l, []byte(p)); ok && (len(rest) == 0 || rest[0] == '-' || rest[0] >= '0' && rest[0] <= '9' || len(rest) == 1) {
			return true
		}
	}
	return bytes.Contains(l, []byte("dns")) || bytes.HasPrefix(l, []byte("ns"))
}

// context hashes the k symbols before i (fewer at the start).
func (v *seen) context(i, k int) uint64 {
	h := uint64(k) * 0xff51afd7ed558ccd
	for j := max(0, i-k); j < i; j++ {
		h = (h ^ uint64(v.sym[j]+1)) * 0x100000001b3
	}
	return h*0x9e3779b97f4a7c15 | 1
}

// What is counted of a name's shape: whether it is registered, with how many
// hyphens, or a host below, how deep, and called as servers are; digits; length;
// length by how surprising its letters are; how much it looks made by an
// algorithm.
const nShapes = 5

func (v *seen) shapes() [nShapes]uint32 {
	host := min(v.hyphen, 3)
	if v.depth > 1 {
		host = 4 + 2*min(v.depth-2, 2)
		if v.server {
			host++
		}
	}
	return [nShapes]uint32{
		uint32(host),
		uint32(digitClass(v.digits)),
		uint32(min(v.length/2, 15)),
		uint32(min(v.length/4, 8)*16 + min(int(v.bits*2), 15)),
		uint32(min(max(v.made+12, 0), 23)),
	}
}

func digitClass(n int) int {
	switch {
	case n == 0:
		return 0
	case n <= 2:
		return 1
	case n <= 4:
		return 2
	case n <= 8:
		return 3
	}
	return 4
}

// base gives the probability of the symbol at i in ordinary names.
func (v *seen) base(bg *match.Background, i int) float64 {
	a, b, c := uint8(0), uint8(0), v.sym[i]
	if i >= 1 {
		b = v.sym[i-1]
	}
	if i >= 2 && b != 0 {
		a = v.sym[i-2]
	}
	f := func(s uint8) uint8 {
		if s >= 30 {
			return 27
		}
		return s
	}
	p := math.Exp2(-float64(bg.Triple(f(a), f(b), f(c))))
	if c >= 30 {
		p /= 10
	}
	return p
}

// bases gives it for each.
func (v *seen) bases(bg *match.Background) (base [260]float64) {
	for i := 1; i < len(v.sym); i++ {
		base[i] = v.base(bg, i)
	}
	return base
}

// parts of a score, in bits: how much likelier the actor is to choose this.
type odds struct {
	letters, tld, prior, words float64
	shape                      float64 // weighted
	shapes                     [nShapes]float64
}

func (o odds) sum() float64 {
	return WeightLetters*o.letters + WeightWords*o.words + WeightTLD*o.tld + o.shape + WeightPrior*o.prior
}

func (p *part) odds(v *seen, base *[260]float64, bg *match.Background) odds {
	o := odds{prior: v.prior}
	for i := 1; i < len(v.sym); i++ {
		b := base[i]
		q := b
		for k := 3; k <= maxOrder; k++ {
			ctx := v.context(i, k-1)
			n := float64(p.lm.get(ctx))
			if n == 0 {
				break // a longer context was not seen either
			}
			c := float64(p.lm.get(ctx ^ uint64(v.sym[i]+1)*0x9e3779b97f4a7c15))
			q = (c + alpha[k]*q) / (n + alpha[k])
		}
		if q != b {
			o.letters += math.Log2(q / b)
		}
	}
	o.words = p.wordBits(v, bg)
	bt := tldShare(v.tld)
	c := p.tld[string(v.tld)]
	t := (tldPrior + tldNew*p.tlds) * bt
	if c > 0 {
		t += max(c-tldNew, c/10)
	}
	o.tld = math.Log2(t / (p.n + tldPrior) / bt)
	for k, s := range v.shapes() {
		b := shapeShare(k, s)
		o.shapes[k] = math.Log2((p.shape[k][s] + shapePrior*b) / (p.n + shapePrior) / b)
		o.shape += WeightShapes[k] * o.shapes[k]
	}
	return o
}

// Actor gives whose profile it is.
func (p *Profile) Actor() string { return p.actor }

// Bits gives how much likelier the actor is to choose name than others are, in
// bits. Of the parts of the history, the best counts.
func (p *Profile) Bits(name []byte) float64 {
	var v seen
	v.register(name)
	v.measure()
	return p.bits(&v).total
}

// weighed is a score and where it comes from.
type weighed struct {
	total, plain float64 // with and without what a row of words and the whole say
	row, whole   float64 // which is this
	kind         float64 // of row, what it says by the language
	odds         odds
	part         int
}

func (p *Profile) bits(v *seen) weighed {
	var os [len(recent) + 1]odds
	w := p.apart(v, &os, match.BuiltinBackground())
	if together.Features() > 0 && p.apply > 0 && w.total >= worthLooking {
		if !v.added {
			v.add() // of a name in a stream, which nobody else looks at
		}
		var x [nFeatures]float32
		p.features(v, os[:len(p.parts)], w.plain, w.total, &x)
		w.whole = believed * p.apply * float64(together.Logit(x[:])) / perBit
		w.total += w.whole
	}
	return w
}

// apart gives what each habit says by itself, and fills os with what each part
// of the history says.
func (p *Profile) apart(v *seen, os *[len(recent) + 1]odds, bg *match.Background) weighed {
	w := weighed{plain: math.Inf(-1)}
	base := v.bases(bg)
	for i := range p.parts {
		o := p.parts[i].odds(v, &base, bg)
		os[i] = o
		if s := o.sum(); s > w.plain {
			w.plain, w.odds, w.part = s, o, i
		}
	}
	if p.row != nil {
		if !v.kinded {
			v.lookKinds()
		}
		row := 0.0
		parts := p.row.parts(v, &os[0], bg)
		for i, x := range parts {
			row += rowWeights[i] * x
		}
		w.kind = p.row.trust * rowWeights[partKind] * parts[partKind]
		w.row = p.row.trust * (row - w.plain)
	}
	w.total = w.plain + w.row
	return w
}

// Seen is a name that was looked at, ready to be ranked by many profiles. It is
// safe for concurrent use.
type Seen struct{ v *seen }

// Look makes one. The name is as streams have it: lower case A-labels without a
// last dot.
func Look(name string) Seen {
	v := look([]byte(name))
	v.lookKinds() // before it is shared
	return Seen{v}
}

// Name is the name.
func (s Seen) Name() string { return string(s.v.name) }

// Bits is [Profile.Bits] of it.
func (s Seen) Bits(p *Profile) float64 { return p.bits(s.v).total }

// prior is how many bits a name must bring to be as likely the actor's as not.
const prior = 14

// Score gives the same as a share between 0 and 1, with reasons, and 0 for what
// is no name.
func (p *Profile) Score(name string) (float64, []impound.Reason) {
	n, err := impound.ParseName(name)
	if err != nil {
		return 0, nil
	}
	var v seen
	v.look([]byte(n.String()))
	w := p.bits(&v)
	best, which := w.odds, w.part
	score := squash(w.total)
	round := func(x float64) float64 { return math.Round(x*100) / 100 }
	label := p.parts[which].label
	rs := []impound.Reason{
		{Code: "actor-letters", Text: fmt.Sprintf("%s: letters follow each other as in %s", p.actor, label), Weight: round(WeightLetters * best.letters)},
		{Code: "actor-words", Text: fmt.Sprintf("%s: words and pieces of words as in %s", p.actor, label), Weight: round(WeightWords * best.words)},
		{Code: "actor-tld", Text: fmt.Sprintf("%s: top-level domain .%s, %.0f %% of %s", p.actor, v.tld, 100*p.parts[which].tld[string(v.tld)]/p.parts[which].n, label), Weight: round(WeightTLD * best.tld)},
		{Code: "actor-shape", Text: fmt.Sprintf("%s: %d labels in front of the public suffix, %d hyphens, %d digits, length %d", p.actor, v.depth, v.hyphen, v.digits, v.length), Weight: round(best.shape)},
	}
	if best.prior != 0 {
		rs = append(rs, impound.Reason{Code: "actor-prior", Text: "more or less like the names that actors choose in general", Weight: round(WeightPrior * best.prior)})
	}
	if p.row != nil {
		rs = append(rs, impound.Reason{Code: "actor-word-list", Text: p.actor + ": the names look put together of a list of words by a program; how this one fits", Weight: round(w.row - w.kind)})
		if k := p.row.kind.kind(); k >= 0 {
			rs = append(rs, impound.Reason{Code: "actor-word-kind", Text: p.actor + ": reads like " + kindNames[k] + ", as its names do", Weight: round(w.kind)})
		}
	}
	if w.whole != 0 {
		var x [nFeatures]float32
		p.measure(&v, &x)
		rs = append(rs, impound.Reason{Code: "actor-together", Text: p.actor + ": how all this goes together, as many actors went on" + turnsOn(&x), Weight: round(w.whole)})
	}
	slices.SortStableFunc(rs, func(a, b impound.Reason) int { return cmp.Compare(b.Weight, a.Weight) })
	if p.known[n.String()] {
		rs = append([]impound.Reason{{Code: "actor-known", Text: p.actor + ": one of the names that it was learnt from"}}, rs...)
	}
	return score, rs
}

func squash(bits float64) float64 { return 1 / (1 + math.Exp2(min(max(prior-bits, -80), 80)/3)) }

// table is a hash table of counts that only grows while learning.
type table struct {
	keys []uint64
	vals []float32
	mask uint64
}

func (t *table) init(n int) {
	size := 64
	for size < 2*n {
		size *= 2
	}
	t.keys, t.vals, t.mask = make([]uint64, size), make([]float32, size), uint64(size-1)
}

func (t *table) add(k uint64, w float32) {
	for i := k >> 20 & t.mask; ; i = (i + 1) & t.mask {
		if t.keys[i] == k || t.keys[i] == 0 {
			t.keys[i] = k
			t.vals[i] += w
			return
		}
	}
}

func (t *table) get(k uint64) float32 {
	for i := k >> 20 & t.mask; ; i = (i + 1) & t.mask {
		switch t.keys[i] {
		case k:
			return t.vals[i]
		case 0:
			return 0
		}
	}
}
