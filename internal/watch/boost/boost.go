// Package boost fits and runs small sums of decision trees (gradient boosting
// with the logistic loss), in pure Go.
//
// What lives here: the trees, their fitting and their encoding. What must not:
// what the numbers mean; who measures names lives in the packages that use it.
package boost

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"
	"slices"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/parallel"
)

// Model is a sum of trees. It never changes after [Train] or [Decode] and is
// safe for concurrent use.
type Model struct {
	features int
	base     float32
	roots    []int32
	nodes    []node
	quick    quick
	wide     *wide // nil where there is quick, or neither
}

// node is a question or, with left 0, an answer. No tree has its root to the
// left or right of anything, so that 0 is free to say so.
type node struct {
	at          float32 // left is what is at most this; of a leaf, its value
	left, right int32
	feature     int32
}

// Features is how many numbers the model asks of each example.
func (m *Model) Features() int { return m.features }

// Logit gives the natural logarithm of the odds for x, which must hold
// [Model.Features] numbers, none of them NaN. A model without trees says 0.
func (m *Model) Logit(x []float32) float32 {
	switch {
	case m.wide != nil:
		return m.wide.logit(m.base, x)
	case m.quick.trees > 0:
		return m.quick.logit(m.base, x)
	}
	return m.plain(x)
}

// lay makes what Logit asks: the fastest that the model and the processor allow.
func (m *Model) lay() {
	if m.wide = nil; fastWide {
		m.wide = m.layWide()
	}
	if m.wide == nil {
		m.quick = m.layQuick()
	}
}

// plain walks down one tree after the other. It adds up every fourth, since an
// adder waits for its last sum.
func (m *Model) plain(x []float32) float32 {
	sum := [4]float32{m.base}
	for i, n := range m.roots {
		for m.nodes[n].left != 0 {
			if d := &m.nodes[n]; x[d.feature] <= d.at {
				n = d.left
			} else {
				n = d.right
			}
		}
		sum[i&3] += m.nodes[n].at
	}
	return sum[0] + sum[1] + sum[2] + sum[3]
}

// Mean gives the model whose logit is the mean of those of models, which must
// ask for as many numbers. Models that differ in their seeds alone err less
// together.
func Mean(models ...*Model) *Model {
	out := &Model{}
	k := 1 / float32(len(models))
	for _, m := range models {
		out.features = m.features
		out.base += m.base * k
		from := int32(len(out.nodes))
		for _, n := range m.nodes {
			if n.left == 0 {
				n.at *= k
			} else {
				n.left, n.right = n.left+from, n.right+from
			}
			out.nodes = append(out.nodes, n)
		}
		for _, r := range m.roots {
			out.roots = append(out.roots, r+from)
		}
	}
	out.lay()
	return out
}

const version = 1

// Encode gives the model in octets: version, features, base, roots, nodes, all
// little-endian.
func (m *Model) Encode() []byte {
	b := []byte{version, byte(m.features)}
	b = binary.LittleEndian.AppendUint32(b, math.Float32bits(m.base))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.roots)))
	for _, r := range m.roots {
		b = binary.LittleEndian.AppendUint32(b, uint32(r))
	}
	b = binary.LittleEndian.AppendUint32(b, uint32(len(m.nodes)))
	for _, n := range m.nodes {
		b = binary.LittleEndian.AppendUint32(b, math.Float32bits(n.at))
		b = append(b, byte(n.feature))
		b = binary.LittleEndian.AppendUint16(b, uint16(n.left))
		b = binary.LittleEndian.AppendUint16(b, uint16(n.right))
	}
	return b
}

// Decode reads what [Model.Encode] gave for this many features. Anything else
// is an [impound.Error] of KindInvalid.
func Decode(b []byte, features int) (*Model, error) {
	bad := func() (*Model, error) {
		return nil, impound.Errorf(impound.KindInvalid, "not a model of %d features, or one of another version", features).
			WithCure("train it again with this version")
	}
	if len(b) < 10 || b[0] != version || int(b[1]) != features {
		return bad()
	}
	m := &Model{features: features, base: math.Float32frombits(binary.LittleEndian.Uint32(b[2:]))}
	n := int(binary.LittleEndian.Uint32(b[6:]))
	b = b[10:]
	if n > len(b)/4 {
		return bad()
	}
	m.roots = make([]int32, 0, n)
	for range n {
		m.roots = append(m.roots, int32(binary.LittleEndian.Uint32(b)))
		b = b[4:]
	}
	if len(b) < 4 {
		return bad()
	}
	n = int(binary.LittleEndian.Uint32(b))
	b = b[4:]
	if n > maxNodes || len(b) != 9*n {
		return bad()
	}
	m.nodes = make([]node, 0, n)
	for i := range n {
		d := node{at: math.Float32frombits(binary.LittleEndian.Uint32(b)), feature: int32(b[4]),
			left: int32(binary.LittleEndian.Uint16(b[5:])), right: int32(binary.LittleEndian.Uint16(b[7:]))}
		b = b[9:]
		// Children come behind their parents: no walk goes round.
		if d.left != 0 && (int(d.left) <= i || int(d.right) <= i || int(d.left) >= n || int(d.right) >= n || int(d.feature) >= features) {
			return bad()
		}
		m.nodes = append(m.nodes, d)
	}
	for _, r := range m.roots {
		if r < 0 || int(r) >= n {
			return bad()
		}
	}
	m.lay()
	return m, nil
}

const maxNodes = 1 << 16

// Row is one example: its numbers, whether it is what is looked for (1 or 0),
// and how much it counts.
type Row struct {
	X    []float32
	Y, W float32
	From float32 // the logit that is known already; the trees learn what to add
}

// Options of the fitting. Zero values mean the defaults in brackets.
type Options struct {
	Trees    int     // [200]
	Leaves   int     // of a tree, at most [16]
	Rate     float64 // how much of each tree counts [0.1]
	L2       float64 // [2]
	MinHess  float64 // least weight of evidence in a leaf [2]
	Rows     float64 // share of the rows that a tree sees [0.7]
	Features float64 // share of the features that a tree may ask [0.6]
	Seed     uint64
	// Rising names features of which more may never mean less.
	Rising []int
}

const bins = 64

// Train fits a model to rows, all of which hold as many numbers. The same rows
// and options give the same model. It uses every core.
func Train(rows []Row, opt Options) *Model {
	def := func(v *float64, d float64) {
		if *v == 0 {
			*v = d
		}
	}
	if opt.Trees == 0 {
		opt.Trees = 200
	}
	if opt.Leaves == 0 {
		opt.Leaves = 16
	}
	def(&opt.Rate, 0.1)
	def(&opt.L2, 2)
	def(&opt.MinHess, 2)
	def(&opt.Rows, 0.7)
	def(&opt.Features, 0.6)
	m := &Model{}
	if len(rows) == 0 {
		return m
	}
	nf := len(rows[0].X)
	m.features = nf
	t := &trainer{rows: rows, opt: opt, rising: make([]bool, nf), bin: make([][]uint8, nf), cuts: make([][]float32, nf),
		g: make([]float32, len(rows)), h: make([]float32, len(rows)), leaf: make([]int32, len(rows))}
	for _, f := range opt.Rising {
		t.rising[f] = true
	}
	each(nf, t.cut)
	var pos float64
	for i := range rows {
		pos += float64(rows[i].Y * rows[i].W)
	}
	// The least that can be learnt: what to add to all of them, by bisection.
	low, high := -50.0, 50.0
	for range 60 {
		mid, sum := (low+high)/2, 0.0
		for i := range rows {
			sum += float64(rows[i].W) / (1 + math.Exp(-mid-float64(rows[i].From)))
		}
		if sum < pos {
			low = mid
		} else {
			high = mid
		}
	}
	m.base = float32((low + high) / 2)
	z := make([]float32, len(rows))
	for i := range z {
		z[i] = m.base + rows[i].From
	}
	rnd := rand.New(rand.NewPCG(opt.Seed, 7))
	for range opt.Trees {
		var used []int32
		for i := range rows {
			q := 1 / (1 + math.Exp(-float64(z[i])))
			t.g[i] = (float32(q) - rows[i].Y) * rows[i].W
			t.h[i] = float32(max(q*(1-q), 1e-6)) * rows[i].W
			t.leaf[i] = -1
			if rnd.Float64() < opt.Rows {
				used = append(used, int32(i))
			}
		}
		var fs []int
		for f := range nf {
			if rnd.Float64() < opt.Features {
				fs = append(fs, f)
			}
		}
		if len(used) == 0 || len(fs) == 0 {
			continue
		}
		root := int32(len(m.nodes))
		if len(m.nodes)+2*opt.Leaves > maxNodes {
			break
		}
		m.nodes = t.grow(m.nodes, used, fs)
		m.roots = append(m.roots, root)
		each(8, func(part int) {
			for i := len(rows) * part / 8; i < len(rows)*(part+1)/8; i++ {
				n := root
				for m.nodes[n].left != 0 {
					if d := &m.nodes[n]; rows[i].X[d.feature] <= d.at {
						n = d.left
					} else {
						n = d.right
					}
				}
				z[i] += m.nodes[n].at
			}
		})
	}
	m.lay()
	return m
}

// each runs f for 0 to n-1, several at once.
func each(n int, f func(i int)) {
	_ = parallel.Some(context.Background(), 2, n, f) // which nothing ends
}

type trainer struct {
	rows   []Row
	opt    Options
	rising []bool
	bin    [][]uint8   // by feature and row
	cuts   [][]float32 // by feature: bin b holds what is at most cuts[b]
	g, h   []float32
	leaf   []int32
}

// cut divides what feature f is among the rows into bins.
func (t *trainer) cut(f int) {
	v := make([]float32, len(t.rows))
	for i := range t.rows {
		v[i] = t.rows[i].X[f]
	}
	s := slices.Clone(v)
	slices.Sort(s)
	u := slices.Compact(slices.Clone(s))
	var cuts []float32
	if len(u) <= bins {
		for i := 0; i+1 < len(u); i++ {
			cuts = append(cuts, (u[i]+u[i+1])/2)
		}
	} else {
		for b := 1; b < bins; b++ {
			i := b * len(s) / bins
			c := s[i]
			if j, _ := slices.BinarySearch(u, c); j+1 < len(u) {
				c = (u[j] + u[j+1]) / 2
			}
			if len(cuts) == 0 || c > cuts[len(cuts)-1] {
				cuts = append(cuts, c)
			}
		}
	}
	t.cuts[f] = cuts
	t.bin[f] = make([]uint8, len(v))
	for i, x := range v {
		j, _ := slices.BinarySearch(cuts, x)
		t.bin[f][i] = uint8(j)
	}
}

type sums struct{ g, h float64 }

type open struct {
	node   int32
	rows   []int32
	hist   [][]sums // by place in fs
	all    sums
	gain   float64
	f, bin int
	low    float64 // bounds of the value, from features that may only rise
	high   float64
}

func (t *trainer) grow(nodes []node, used []int32, fs []int) []node {
	root := &open{node: int32(len(nodes)), rows: used, low: math.Inf(-1), high: math.Inf(1)}
	nodes = append(nodes, node{})
	for _, i := range used {
		root.all.g += float64(t.g[i])
		root.all.h += float64(t.h[i])
	}
	t.count(root, fs)
	t.best(root, fs)
	leaves := []*open{root}
	for len(leaves) < t.opt.Leaves {
		k := -1
		for i, l := range leaves {
			if l.gain > 1e-3 && (k < 0 || l.gain > leaves[k].gain) {
				k = i
			}
		}
		if k < 0 {
			break
		}
		l := leaves[k]
		f := fs[l.f]
		a := &open{node: int32(len(nodes)), low: l.low, high: l.high}
		b := &open{node: a.node + 1, low: l.low, high: l.high}
		for _, i := range l.rows {
			if int(t.bin[f][i]) <= l.bin {
				a.rows = append(a.rows, i)
			} else {
				b.rows = append(b.rows, i)
			}
		}
		for i, s := range l.hist[l.f] {
			if i <= l.bin {
				a.all.g, a.all.h = a.all.g+s.g, a.all.h+s.h
			} else {
				b.all.g, b.all.h = b.all.g+s.g, b.all.h+s.h
			}
		}
		if t.rising[f] {
			mid := (t.value(a) + t.value(b)) / 2
			a.high, b.low = min(a.high, mid), max(b.low, mid)
		}
		nodes = append(nodes, node{}, node{})
		nodes[l.node] = node{at: t.cuts[f][l.bin], left: a.node, right: b.node, feature: int32(f)}
		small, big := a, b
		if len(a.rows) > len(b.rows) {
			small, big = b, a
		}
		t.count(small, fs)
		big.hist = l.hist // what is left when the smaller is taken away
		for i := range big.hist {
			for j := range big.hist[i] {
				big.hist[i][j].g -= small.hist[i][j].g
				big.hist[i][j].h -= small.hist[i][j].h
			}
		}
		l.hist = nil
		t.best(a, fs)
		t.best(b, fs)
		leaves[k] = a
		leaves = append(leaves, b)
	}
	for _, l := range leaves {
		nodes[l.node] = node{at: float32(t.value(l) * t.opt.Rate)}
	}
	return nodes
}

func (t *trainer) value(l *open) float64 {
	return min(max(-l.all.g/(l.all.h+t.opt.L2), l.low), l.high)
}

func (t *trainer) count(l *open, fs []int) {
	l.hist = make([][]sums, len(fs))
	one := func(k int) {
		f := fs[k]
		h := make([]sums, len(t.cuts[f])+1)
		b := t.bin[f]
		for _, i := range l.rows {
			s := &h[b[i]]
			s.g += float64(t.g[i])
			s.h += float64(t.h[i])
		}
		l.hist[k] = h
	}
	if len(l.rows) < 2000 {
		for k := range fs {
			one(k)
		}
		return
	}
	each(len(fs), one)
}

// best finds the question that tells most.
func (t *trainer) best(l *open, fs []int) {
	l.gain = 0
	score := func(s sums) float64 { return s.g * s.g / (s.h + t.opt.L2) }
	whole := score(l.all)
	for k := range fs {
		var a sums
		for b := range len(l.hist[k]) - 1 {
			a.g += l.hist[k][b].g
			a.h += l.hist[k][b].h
			c := sums{l.all.g - a.g, l.all.h - a.h}
			if a.h < t.opt.MinHess || c.h < t.opt.MinHess {
				continue
			}
			if t.rising[fs[k]] && -a.g/(a.h+t.opt.L2) > -c.g/(c.h+t.opt.L2) {
				continue
			}
			if g := score(a) + score(c) - whole; g > l.gain {
				l.gain, l.f, l.bin = g, k, b
			}
		}
	}
}
