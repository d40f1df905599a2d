package boost

import (
	"math"
	"math/bits"
	"slices"
)

// wide is a model laid out so that every question is asked, 64 of them at once.
// What is asked of a number is only which of the model's edges it is above, so each
// number is first made the count of those edges (an octet). A question is then a
// comparison of two octets. As in [quick], it strikes out the leaves to its left
// where its answer leads to the right; here the leaves are the bits from the highest
// on, so that the first that is left is a count of leading zeros.
type wide struct {
	from   []int32   // the features, those with most edges first, then 0 to fill up 16
	cuts   []float32 // by 16 features, by place: an edge of each of them, then infinity
	places []int32   // by 16 features: how many edges the one with most has
	asks   []ask     // by 64 trees, by question
	value  []float32 // by tree and leaf, leaves of each
	leaves int
	each   int // questions of a tree, at most
	asked  int // features
}

// ask is one question of each of 64 trees.
type ask struct {
	feature [64]uint8
	above   [64]uint8 // to the right where the number is above more edges than this
	keep    [64]uint32
}

const (
	wideTrees    = 64      // at once
	wideMost     = 1 << 10 // and in all
	wideFeatures = 128     // as many octets as one look-up reaches
	wideLeaves   = 32
	wideCuts     = 254
)

// layWide gives nil for a model that can't be laid out so.
func (m *Model) layWide() *wide {
	if len(m.roots) == 0 || len(m.roots) > wideMost || m.features == 0 || m.features > wideFeatures {
		return nil
	}
	groups := (m.features + 15) / 16
	cuts := make([][]float32, 16*groups)
	for i := range m.nodes {
		if d := &m.nodes[i]; d.left != 0 {
			if d.at != d.at {
				return nil
			}
			cuts[d.feature] = append(cuts[d.feature], d.at)
		}
	}
	w := &wide{asked: m.features, from: make([]int32, 16*groups)}
	for f := range cuts {
		slices.Sort(cuts[f])
		cuts[f] = slices.Compact(cuts[f])
		if len(cuts[f]) > wideCuts {
			return nil
		}
	}
	for f := range m.features {
		w.from[f] = int32(f)
	}
	slices.SortStableFunc(w.from[:m.features], func(a, b int32) int { return len(cuts[b]) - len(cuts[a]) })
	place := make([]uint8, m.features) // of a feature, in from
	for i, f := range w.from[:m.features] {
		place[f] = uint8(i)
	}
	inf := float32(math.Inf(1))
	for g := range groups {
		n := len(cuts[w.from[16*g]])
		w.places = append(w.places, int32(n))
		for k := range n {
			for i := 16 * g; i < 16*g+16; i++ {
				if c := cuts[w.from[i]]; k < len(c) && i < m.features {
					w.cuts = append(w.cuts, c[k])
				} else {
					w.cuts = append(w.cuts, inf)
				}
			}
		}
	}
	if len(w.cuts) == 0 { // never empty: its address is taken
		w.cuts = []float32{0}
	}

	type question struct {
		feature, above uint8
		keep           uint32
	}
	trees := make([][]question, (len(m.roots)+wideTrees-1)/wideTrees*wideTrees)
	values := make([][]float32, len(trees))
	for i, r := range m.roots {
		var put func(n int32) bool
		put = func(n int32) bool {
			d := m.nodes[n]
			if d.left == 0 {
				values[i] = append(values[i], d.at)
				return len(values[i]) <= wideLeaves
			}
			from := len(values[i])
			if !put(d.left) {
				return false
			}
			above, _ := slices.BinarySearch(cuts[d.feature], d.at)
			left := uint32(1<<len(values[i]) - 1<<from)
			trees[i] = append(trees[i], question{place[d.feature], uint8(above), bits.Reverse32(^left)})
			return put(d.right)
		}
		if !put(r) {
			return nil
		}
		w.leaves = max(w.leaves, len(values[i]))
		w.each = max(w.each, len(trees[i]))
	}
	for t, v := range values {
		w.value = append(w.value, v...)
		w.value = append(w.value, make([]float32, w.leaves-len(v))...)
		if t%wideTrees != 0 {
			continue
		}
		for k := range w.each {
			var a ask
			for j := range a.above {
				q := question{above: math.MaxUint8, keep: math.MaxUint32} // never
				if k < len(trees[t+j]) {
					q = trees[t+j][k]
				}
				a.feature[j], a.above[j], a.keep[j] = q.feature, q.above, q.keep
			}
			w.asks = append(w.asks, a)
		}
	}
	if len(w.asks) == 0 {
		w.asks = make([]ask, 1)
	}
	return w
}

func (w *wide) logit(base float32, x []float32) float32 {
	sums := [4]float32{base}
	_ = x[w.asked-1]
	wideAVX512(&w.from[0], &w.cuts[0], &w.places[0], len(w.places), &x[0], &w.asks[0], len(w.value)/w.leaves/wideTrees, w.each, &w.value[0], w.leaves, &sums)
	return sums[0] + sums[1] + sums[2] + sums[3]
}
