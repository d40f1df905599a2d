package main

import (
	"fmt"
	"slices"

	"github.com/impound/impound/internal/watch/profile"
)

// parts is what a row of words says of a name, part by part, unweighed.
type parts [32]float32

func (p *parts) dot(w *parts) (s float32) {
	for i, x := range w {
		s += x * p[i]
	}
	return s
}

// wordTask is one family, known by a few of its names.
type wordTask struct {
	family   string
	shots    int
	names    []parts
	ordinary []parts
	near     []parts // those of ordinary that are highest by some weights
}

// found gives the share of names above the k-th of neg, for each k, on the
// average.
func (t *wordTask) found(w *parts, neg []parts, ks ...int) float64 {
	s := make([]float32, len(neg))
	for i := range neg {
		s[i] = neg[i].dot(w)
	}
	slices.Sort(s)
	n := 0
	for i := range t.names {
		x := t.names[i].dot(w)
		for _, k := range ks {
			if x > s[len(s)-k] {
				n++
			}
		}
	}
	return float64(n) / float64(len(ks)*len(t.names))
}

// neutral are the weights that a choice starts from: no part is worth more than
// another, but for two that come to many bits a name.
func neutral(n int) (w parts) {
	for i := range n {
		w[i] = .5
		if i < 2 {
			w[i] = .1
		}
	}
	return w
}

// leaveOneOut tells what the weights of a row of words are worth to a family that
// they were not chosen with: chosen anew on all others, from neutral ones, and
// measured on it. neg and profile.Made are those of families never met.
func leaveOneOut(fams map[string][]string, neg []profile.Seen, k int) error {
	weights := profile.RowWeights()
	var tasks []*wordTask
	start := neutral(len(weights))
	var now parts
	for i, x := range weights {
		now[i] = float32(x)
	}
	take := func(p *profile.Profile, s profile.Seen) (out parts) {
		for i, x := range p.RowParts(s) {
			out[i] = float32(x)
		}
		return out
	}
	for _, shots := range []int{20, 50} {
		for _, f := range wordLists {
			few, rest := pick(fams[f], shots)
			rest = rest[:min(len(rest), 1000)]
			p, err := profile.Learn("x", few)
			if err != nil {
				return err
			}
			t := &wordTask{family: f, shots: shots, names: make([]parts, len(rest)), ordinary: make([]parts, len(neg))}
			onAllCores(len(rest), func(i int) { t.names[i] = take(p, profile.Look(rest[i])) })
			onAllCores(len(neg), func(i int) { t.ordinary[i] = take(p, neg[i]) })
			near := map[int]bool{}
			for _, w := range []*parts{&start, &now} {
				order := make([]int, len(neg))
				score := make([]float32, len(neg))
				for i := range order {
					order[i], score[i] = i, t.ordinary[i].dot(w)
				}
				slices.SortFunc(order, func(a, b int) int {
					if score[a] > score[b] {
						return -1
					}
					return 1
				})
				for _, i := range order[:min(len(order), 25*k)] {
					if !near[i] {
						near[i] = true
						t.near = append(t.near, t.ordinary[i])
					}
				}
			}
			tasks = append(tasks, t)
		}
	}
	mean := func(w *parts, without string) float64 {
		got := make([]float64, len(tasks))
		onAllCores(len(tasks), func(i int) {
			if tasks[i].family != without {
				got[i] = tasks[i].found(w, tasks[i].near, k/2, k, 2*k)
			}
		})
		s := 0.0
		for _, x := range got {
			s += x
		}
		return s / float64(len(tasks)-2)
	}
	choose := func(without string) parts {
		w := start
		best := mean(&w, without)
		for step := float32(.4); step > .09; {
			moved := false
			for i := range weights {
				for _, d := range []float32{step, -step} {
					x := w
					if x[i] = max(0, x[i]+d*max(.2, x[i])); x[i] == w[i] {
						continue
					}
					if m := mean(&x, without); m > best+.0003 {
						best, w, moved = m, x, true
						break
					}
				}
			}
			if !moved {
				step /= 2
			}
		}
		return w
	}
	chosen := map[string]parts{}
	for _, f := range wordLists {
		chosen[f] = choose(f)
	}
	for i, shots := range []int{20, 50} {
		total := 0.0
		fmt.Printf("  weights chosen without the family, from %d:", shots)
		for _, t := range tasks {
			if t.shots != shots {
				continue
			}
			w := chosen[t.family]
			s := t.found(&w, t.ordinary, k)
			total += s
			fmt.Printf(" %s %.2f", t.family, s)
		}
		fmt.Println()
		row(fmt.Sprintf("word-list DGA never met, weights chosen without it too, %d examples: above the 0.1 %% line", shots), total/float64(len(wordLists)), [2]float64{.70, .85}[i])
	}
	return nil
}
