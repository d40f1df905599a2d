package profile

import (
	"bytes"
	"cmp"
	_ "embed"
	"math"
	"slices"

	"golang.org/x/net/publicsuffix"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/boost"
	"github.com/impound/impound/internal/watch/dga"
	"github.com/impound/impound/internal/watch/match"
)

// Habits don't speak for themselves alone: a top-level domain says less of an
// actor that was seen with ten names than of one with a thousand, letters say
// less of a long name, and who used hosts so far may register the next name
// bare. How much each counts beside the others was learnt from how many actors
// went on, by a sum of small trees that sees every part of the score and adds
// its own to it.

// together is the trees. They are made by: evalwatch -train profile.
var together = func() *boost.Model {
	m, err := boost.Decode(togetherBin, nFeatures)
	if err != nil {
		m = &boost.Model{} // before the first training: says nothing
	}
	return m
}()

//go:embed together.bin
var togetherBin []byte

// UseTogether replaces what is embedded: for measuring what was learnt from the
// earlier part of the data alone. With nil nothing is said.
func UseTogether(b []byte) error {
	if b == nil {
		together = &boost.Model{}
		return nil
	}
	m, err := boost.Decode(b, nFeatures)
	if err == nil {
		together = m
	}
	return err
}

// HostPrior tells the hosts that actors choose from those that come with new
// registrations: of these most are called as servers are.
var HostPrior = func() *dga.Model {
	m, err := dga.NewModel(hostPriorBin)
	if err != nil {
		m = &dga.Model{}
	}
	return m
}()

//go:embed hostprior.bin
var hostPriorBin []byte

// IsHost says whether name is a host below what can be registered.
func IsHost(name string) bool {
	var v seen
	v.register([]byte(name))
	return v.depth > 1
}

// perBit is how much a bit of the score adds to the natural logarithm of the
// odds that the trees start from.
const perBit = .5

// believed is how much of what the trees say counts: they learn from how some
// actors went on, and the next is another one. Of an actor's next batch .449 is
// found without them, .459 with half of what they say, .445 with all of it.
const believed = .5

// worthLooking is how many bits a name needs for the trees to look at it. Those
// below are most of a stream; to look at them too found nothing more.
const worthLooking = 0

// extra is what the trees see of a name beside what the habits say of it.
type extra struct {
	manner   manner
	strange  int     // letters of the registered label that belong to no word
	hostBits float64 // see [HostPrior]; 0 for what is no host
	suffix   uint32  // the private suffix that it stands below, 0 for none
	first    uint32  // the first label, without digits at its end
	reg      uint32  // what was registered
}

func hash32(t []byte) uint32 {
	h := uint32(2166136261)
	for _, c := range t {
		h = (h ^ uint32(c)) * 16777619
	}
	return h
}

// add fills in the extra of a name that was measured.
func (v *seen) add() {
	e := &v.extra
	*e, v.added = extra{}, true
	var buf [40]token
	ts := words.split(v.reg, nil, buf[:0])
	for _, t := range ts {
		if t.class == strangeClass {
			e.strange += t.to - t.from
		}
	}
	count := countOf(ts, v.length)
	sh := v.shapes()
	e.manner = manner{tld: hash32(v.tld), host: int8(sh[0]), dims: [nDims]int8{
		int8(sh[1]), int8(sh[2]), int8(min(int(v.bits*2), 15)), int8(min(count/4, 5)*4 + count%4), int8(sh[4]),
	}}
	e.reg = hash32(v.name[v.regAt:])
	if v.depth == 1 {
		return
	}
	e.hostBits = HostPrior.Logit(v.name)
	if s, icann := publicsuffix.PublicSuffix(string(v.name)); !icann && bytes.IndexByte([]byte(s), '.') > 0 {
		e.suffix = hash32([]byte(s))
	}
	first, _, _ := bytes.Cut(v.name, []byte{'.'})
	e.first = hash32(bytes.TrimRight(first, "0123456789"))
}

// manner is how a name is made, as far as it can be counted: top-level domain,
// host or not, digits, length, how surprising, words, how much made.
type manner struct {
	tld  uint32
	host int8
	dims [nDims]int8
}

const nDims = 5

var dimSizes = [nDims]int{5, 16, 16, 24, 24}

// A name is made as one of the examples was, but for each of these it may go its
// own way by such a chance; mannerNear is what falls to the same figure and to
// the ones beside it.
const (
	mannerTLD  = .4
	mannerHost = .1
	leastTLD   = .0005
)

var (
	mannerOwn  = [nDims]float64{.3, .5, .6, .5, .6}
	mannerNear = [nDims][2]float64{{.8, .1}, {.36, .2}, {.36, .2}, {.9, 0}, {.4, .2}}
)

// likeness is an example, or several that are made alike.
type likeness struct {
	manner
	weight float64
}

// manners are those of a stretch of the history.
type manners struct {
	list []likeness
	n    float64
}

func (m *manners) add(x manner, weight float64) {
	m.n += weight
	for i := range m.list {
		if m.list[i].manner == x {
			m.list[i].weight += weight
			return
		}
	}
	m.list = append(m.list, likeness{x, weight})
}

// mannerOdds is how much likelier each part of a name's manner is with an
// example like it: the same for all examples, so it is found once a name.
type mannerOdds struct {
	tld, host float64
	dims      [nDims][3]float64
}

func (v *seen) mannerOdds() (o mannerOdds) {
	m := &v.extra.manner
	o.tld = (1-mannerTLD)/max(tldShare(v.tld), leastTLD) + mannerTLD
	o.host = (1-mannerHost)/shapeShare(0, uint32(m.host)) + mannerHost
	for d, x := range m.dims {
		own, b := mannerOwn[d], mannerShare(d, x)
		o.dims[d] = [3]float64{(1-own)*mannerNear[d][0]/b + own, (1-own)*mannerNear[d][1]/b + own, own}
	}
	return o
}

// bits is how much likelier the manner m is than among others.
func (ms *manners) bits(m *manner, o *mannerOdds) float64 {
	sum := 0.0
	for i := range ms.list {
		e := &ms.list[i]
		f := e.weight
		if e.tld == m.tld {
			f *= o.tld
		} else {
			f *= mannerTLD
		}
		if e.host == m.host {
			f *= o.host
		} else {
			f *= mannerHost
		}
		for d := range m.dims {
			x := m.dims[d] - e.dims[d]
			if x < 0 {
				x = -x
			}
			f *= o.dims[d][min(x, 2)]
		}
		sum += f
	}
	return math.Log2((sum + 1e-3) / (ms.n + 1e-3))
}

// whole is what the trees see of an actor.
type whole struct {
	n             float64
	all, latest   manners
	reg           map[uint32]int
	first, suffix map[uint32]float64
	hosts         float64 // how many
	shareHosts    float64
	latestHosts   float64 // share of the latest
}

const (
	mannerNames  = 200 // latest names whose manner is looked at
	mannerLatest = 12
)

func learnWhole(examples []Example) *whole {
	s := &whole{n: float64(len(examples)), reg: map[uint32]int{}, first: map[uint32]float64{}, suffix: map[uint32]float64{}}
	for i, e := range examples {
		v := look([]byte(e.Name))
		back := len(examples) - 1 - i
		if back < mannerNames {
			s.all.add(v.extra.manner, math.Exp2(-float64(back)/decay))
		}
		if back < mannerLatest {
			s.latest.add(v.extra.manner, 1)
		}
		s.reg[v.extra.reg]++
		if v.depth == 1 {
			continue
		}
		s.hosts++
		if back < mannerLatest {
			s.latestHosts++
		}
		s.first[v.extra.first]++
		if v.extra.suffix != 0 {
			s.suffix[v.extra.suffix]++
		}
	}
	s.shareHosts = s.hosts / s.n
	s.latestHosts /= min(s.n, mannerLatest)
	return s
}

// nFeatures is how many numbers the trees see: those of three stretches of the
// history, and of the name and the actor.
const nFeatures = atMost + 4

// features fills x. os are what the parts of the history say, plain and total
// the score with and without what a row of words says.
func (p *Profile) features(v *seen, os []odds, plain, total float64, x *[nFeatures]float32) {
	k := 0
	put := func(f float64) {
		x[k] = float32(f)
		k++
	}
	e, s := &v.extra, p.whole
	put(plain)
	put(total)
	most := odds{letters: math.Inf(-1), words: math.Inf(-1), tld: math.Inf(-1)}
	for i := range len(recent) + 1 {
		o := &os[0] // of a short history the latest names are all names
		if i < len(os) {
			o = &os[i]
		}
		put(o.letters)
		put(o.words)
		put(o.tld)
		for _, b := range o.shapes {
			put(b)
		}
		most.letters, most.words, most.tld = max(most.letters, o.letters), max(most.words, o.words), max(most.tld, o.tld)
	}
	mo := v.mannerOdds()
	put(s.all.bits(&e.manner, &mo))
	put(s.latest.bits(&e.manner, &mo))
	put(v.prior)
	put(v.made)
	put(v.bits)
	put(float64(v.length))
	put(float64(min(v.depth, 4)))
	put(number(v.server))
	put(float64(v.hyphen))
	put(float64(v.digits))
	put(math.Log2(tldShare(v.tld)))
	put(math.Log2(s.n))
	put(math.Log2(1 + float64(s.reg[e.reg])))
	put(float64(e.manner.dims[3] / 4))
	put(float64(e.strange) / float64(max(1, v.length)))
	if v.depth > 1 {
		put(math.Log2((s.first[e.first] + .05) / (s.hosts + .5)))
		put(math.Log2((s.suffix[e.suffix] + .05) / (s.hosts + .5)))
	} else {
		put(0)
		put(0)
	}
	put(number(e.suffix != 0))
	put(s.shareHosts)
	put(s.latestHosts)
	put(e.hostBits)
	put(os[0].letters / float64(v.length+3))
	put(os[min(1, len(os)-1)].letters / float64(v.length+3))
	put(most.tld)
	put(most.words)
	put(most.letters)
	put(float64(e.manner.host))
}

// Where the parts of what the trees see stand.
const (
	atParts  = 2
	perPart  = 3 + nShapes
	atManner = atParts + (len(recent)+1)*perPart
	atReg    = atManner + 12
	atFirst  = atManner + 15
	atHost   = atManner + 20
	atMean   = atManner + 21
	atMost   = atManner + 23
)

// turns are what the trees may say something for, and where it stands.
var turns = func() []turn {
	each := func(from, n int) (at []int) {
		for i := range len(recent) + 1 {
			for k := range n {
				at = append(at, atParts+i*perPart+from+k)
			}
		}
		return at
	}
	return []turn{
		{"its letters", append(each(0, 1), atMean, atMean+1, atMost+2)},
		{"its words", append(each(1, 1), atMost+1)},
		{"its top-level domain", append(each(2, 1), atMost)},
		{"its shape", each(3, nShapes)},
		{"being made as one of the names is", []int{atManner, atManner + 1}},
		{"what it stands below", []int{atReg, atFirst + 1}},
		{"how the host is called", []int{atFirst, atHost}},
	}
}()

type turn struct {
	what string
	at   []int
}

// turnsOn says, for people, which two things speak most for what the trees say
// of x: those without which they would say least of it.
func turnsOn(x *[nFeatures]float32) string {
	whole := together.Logit(x[:])
	type lost struct {
		what string
		by   float32
	}
	var ls []lost
	for _, t := range turns {
		y := *x
		for _, i := range t.at {
			y[i] = 0
		}
		by := whole - together.Logit(y[:])
		if whole < 0 {
			by = -by
		}
		if by > .05 {
			ls = append(ls, lost{t.what, by})
		}
	}
	slices.SortStableFunc(ls, func(a, b lost) int { return cmp.Compare(b.by, a.by) })
	switch len(ls) {
	case 0:
		return ""
	case 1:
		return "; it turns on " + ls[0].what
	}
	return "; it turns on " + ls[0].what + " and " + ls[1].what
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// Went is how an actor went on, as [TrainTogether] learns from it.
type Went struct {
	actor    string
	pos, neg [][nFeatures]float32
	of       []float32 // how many others each of neg stands for
	cut      float32   // what score the thousandth of others reaches
}

// Gather looks at how an actor went on with names after before, and at what of
// others its habits rank highest. others should hold 10,000 and more that
// nothing was learnt from. It is nil where nothing can be learnt.
func Gather(actor string, before []Example, names []string, others []Seen) *Went {
	p, err := Learn(actor, before)
	if err != nil || len(names) == 0 || len(others) < 1000 || p.row != nil && p.row.trust > .5 {
		return nil
	}
	w := &Went{actor: actor}
	const enough = 150
	for i := range min(enough, len(names)) {
		var x [nFeatures]float32
		p.measure(look([]byte(names[i*len(names)/min(enough, len(names))])), &x)
		w.pos = append(w.pos, x)
	}
	xs := make([][nFeatures]float32, len(others))
	for i, o := range others {
		p.measure(o.v, &xs[i])
	}
	n := len(others)
	keep := make([]bool, n)
	at := make([]int, n)
	score := make([]float32, n)
	top := func(k int, f func(x *[nFeatures]float32) float32) {
		for i := range xs {
			at[i], score[i] = i, f(&xs[i])
		}
		slices.SortFunc(at, func(a, b int) int { return cmp.Or(cmp.Compare(score[b], score[a]), a-b) })
		for _, i := range at[:k] {
			keep[i] = true
		}
	}
	top(n/100, func(x *[nFeatures]float32) float32 { return x[0] })
	top(n/100, func(x *[nFeatures]float32) float32 { return x[atManner] })
	top(n/200, func(x *[nFeatures]float32) float32 { return x[atManner+1] })
	top(n/200, func(x *[nFeatures]float32) float32 { return x[atMost+1] })
	top(n/200, func(x *[nFeatures]float32) float32 { return x[atMost+2] })
	top(n/50, func(x *[nFeatures]float32) float32 { return x[1] })
	w.cut = score[at[n/1000]]
	top(n/50, func(x *[nFeatures]float32) float32 { return x[1] + .5*x[atManner] })
	// Of the others a few stand for all: without them the trees would lift what
	// they never saw.
	near, far := 0, 0
	for rank, i := range at {
		of := float32(0)
		switch {
		case keep[i]:
			of = 1
		case rank < n/5:
			if near++; near%8 == 4 {
				of = 8
			}
		default:
			if far++; far%40 == 20 {
				of = 40
			}
		}
		if of > 0 {
			w.neg, w.of = append(w.neg, xs[i]), append(w.of, of)
		}
	}
	return w
}

// measure fills in what the trees see of a name.
func (p *Profile) measure(v *seen, x *[nFeatures]float32) {
	var os [len(recent) + 1]odds
	w := p.apart(v, &os, match.BuiltinBackground())
	p.features(v, os[:len(p.parts)], w.plain, w.total, x)
}

// TrainTogether gives what [UseTogether] reads. Each actor counts by the square
// root of how often it was watched going on.
func TrainTogether(ws []*Went, trees int) ([]byte, error) {
	times := map[string]float64{}
	for _, w := range ws {
		times[w.actor]++
	}
	if len(times) == 0 {
		return nil, impound.Errorf(impound.KindInvalid, "no actor to learn from went on")
	}
	var rows []boost.Row
	for _, w := range ws {
		weight := 1000 / math.Sqrt(times[w.actor]) / float64(len(times))
		for i := range w.pos {
			x := &w.pos[i]
			rows = append(rows, boost.Row{X: x[:], Y: 1, W: float32(weight / float64(len(w.pos))), From: (x[1] - w.cut) * perBit})
		}
		// Of others those count that come near the cut: together as much as the actor's.
		sum := 0.0
		for i := range w.neg {
			sum += float64(w.of[i]) / (1 + math.Exp(-float64((w.neg[i][1]-w.cut)*perBit)))
		}
		for i := range w.neg {
			x := &w.neg[i]
			rows = append(rows, boost.Row{X: x[:], W: float32(weight/sum) * w.of[i], From: (x[1] - w.cut) * perBit})
		}
	}
	if trees == 0 {
		trees = 150
	}
	return boost.Train(rows, boost.Options{Trees: trees, Leaves: 6, Rate: .06, L2: 20, MinHess: 4, Rows: .6, Features: .4, Seed: 1}).Encode(), nil
}
