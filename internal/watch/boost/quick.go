package boost

import (
	"cmp"
	"math/bits"
	"slices"
)

// quick is a model laid out so that no tree is walked down (QuickScorer: Lucchese
// and others, 2015). The leaves of a tree are the bits of a word, from the left.
// Each question whose answer leads to the right strikes out the leaves to its
// left, and the first leaf that is left in the end is the answer. Questions about
// one number lie together, the lowest first: those that lead to the right come
// first, and what comes next is read before it is known to be needed.
type quick struct {
	ask   []question
	from  []int32   // by feature, where its questions begin; and the end
	value []float32 // by tree and leaf, quickLeaves of each
	trees int       // 0 when it can't be laid out
}

type question struct {
	at   float32
	keep uint32 // the leaves that are not to its left
	tree uint32
}

const (
	quickLeaves = 32
	quickTrees  = 1 << 9
)

func (m *Model) layQuick() (q quick) {
	if len(m.roots) > quickTrees {
		return q
	}
	by := make([][]question, m.features)
	q.value = make([]float32, quickLeaves*len(m.roots))
	for i, r := range m.roots {
		leaves := 0
		var put func(n int32) bool
		put = func(n int32) bool {
			d := m.nodes[n]
			if d.left == 0 {
				if leaves == quickLeaves {
					return false
				}
				q.value[i*quickLeaves+leaves] = d.at
				leaves++
				return true
			}
			from := leaves
			if !put(d.left) {
				return false
			}
			by[d.feature] = append(by[d.feature], question{d.at, ^uint32(1<<leaves - 1<<from), uint32(i)})
			return put(d.right)
		}
		if !put(r) {
			return quick{}
		}
	}
	for _, qs := range by {
		slices.SortFunc(qs, func(a, b question) int { return cmp.Compare(a.at, b.at) })
		q.from = append(q.from, int32(len(q.ask)))
		q.ask = append(q.ask, qs...)
	}
	q.from = append(q.from, int32(len(q.ask)))
	q.trees = len(m.roots)
	return q
}

func (q *quick) logit(base float32, x []float32) float32 {
	var left [quickTrees]uint32
	for i := range left[:q.trees] {
		left[i] = 1<<32 - 1
	}
	for f, v := range x[:len(q.from)-1] {
		for _, a := range q.ask[q.from[f]:q.from[f+1]] {
			if v <= a.at {
				break
			}
			left[a.tree&(quickTrees-1)] &= a.keep
		}
	}
	// As plain adds them up: a sum of floats depends on it.
	sums := [4]float32{base}
	value := func(i int) float32 { return q.value[i*quickLeaves+bits.TrailingZeros32(left[i&(quickTrees-1)])] }
	i := 0
	for ; i+4 <= q.trees; i += 4 {
		sums[0] += value(i)
		sums[1] += value(i + 1)
		sums[2] += value(i + 2)
		sums[3] += value(i + 3)
	}
	for ; i < q.trees; i++ {
		sums[i&3] += value(i)
	}
	return sums[0] + sums[1] + sums[2] + sums[3]
}
