package model

import (
	"cmp"
	"maps"
	"math"
	"math/rand/v2"
	"slices"
)

// Example is a name to learn from; Family is empty for an ordinary one.
type Example struct {
	Name, Family string
	Weight       float32
}

// Options say how to learn.
type Options struct {
	Epochs int
	Seed   uint64
	Rate   float32 // 0 means 0.05
}

type net struct {
	gram, shape   []float32
	gram2, shape2 []float32 // squared gradients, one a row
	b1, b1g       []float32
	w2, w2g       []float32
	b2, b2g       []float32
	w3, w3g       []float32
	b3, b3g       []float32
}

// Learn gives a model. The letters' background is learnt from names that are
// ordinary and no examples. The same input gives the same model.
func Learn(backgroundNames []string, examples []Example, o Options) *Model {
	if o.Rate == 0 {
		o.Rate = .05
	}
	fams := map[string]int{}
	for _, e := range examples {
		if e.Family != "" {
			fams[e.Family] = 0
		}
	}
	m := &Model{fams: slices.Sorted(maps.Keys(fams))}
	for i, f := range m.fams {
		fams[f] = i + 1
	}
	m.bg = *learnBackground(backgroundNames)
	m.choose(examples)
	k := len(m.fams) + 1
	rnd := rand.New(rand.NewPCG(o.Seed, 7))
	fill := func(n int, s float64) []float32 {
		v := make([]float32, n)
		for i := range v {
			v[i] = float32(rnd.NormFloat64() * s)
		}
		return v
	}
	p := &net{
		gram: fill(nGrams*hidden, .1), shape: fill(nShapes*hidden, .1), gram2: make([]float32, nGrams), shape2: make([]float32, nShapes),
		b1: make([]float32, hidden), w2: fill(hidden2*hidden, math.Sqrt(2./hidden)), b2: make([]float32, hidden2),
		w3: fill(k*hidden2, math.Sqrt(1./hidden2)), b3: make([]float32, k),
	}
	p.b1g, p.w2g, p.b2g, p.w3g, p.b3g = make([]float32, len(p.b1)), make([]float32, len(p.w2)), make([]float32, len(p.b2)), make([]float32, len(p.w3)), make([]float32, len(p.b3))

	var s Sample
	var h, d1, pre1 [hidden]float32
	var h2, d2, pre2 [hidden2]float32
	z := make([]float32, k)
	ada := func(w, g2 *float32, g, lr float32) {
		*g2 += g * g
		*w -= lr * g / (float32(math.Sqrt(float64(*g2))) + 1e-4)
	}
	steps, total := 0, o.Epochs*len(examples)
	order := rnd.Perm(len(examples))
	for range o.Epochs {
		rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, at := range order {
			e := &examples[at]
			steps++
			lr := o.Rate * (1 - .95*float32(steps)/float32(total))
			// The top-level domain is kept back at times, so that names are told
			// apart without it too.
			s.NoTLD = rnd.Uint32N(10) < 4
			if !s.measure(e.Name, &m.bg) {
				continue
			}
			s.look(&m.known)
			y := 0
			if e.Family != "" {
				y = fams[e.Family]
			}
			pre1 = [hidden]float32{}
			for _, g := range s.grams[:s.nG] {
				row := (*[hidden]float32)(p.gram[int(g)*hidden:])
				for i, v := range row {
					pre1[i] += v
				}
			}
			for i := range pre1 {
				pre1[i] = pre1[i]*s.norm + p.b1[i]
			}
			for _, g := range s.shapes[:s.nS] {
				row := (*[hidden]float32)(p.shape[int(g)*hidden:])
				for i, v := range row {
					pre1[i] += v
				}
			}
			for i, v := range pre1 {
				h[i] = act(v)
			}
			for j := range h2 {
				v := p.b2[j]
				row := (*[hidden]float32)(p.w2[j*hidden:])
				for i, x := range row {
					v += x * h[i]
				}
				pre2[j] = v
				h2[j] = act(v)
			}
			top := float32(-1e30)
			for f := range z {
				v := p.b3[f]
				row := (*[hidden2]float32)(p.w3[f*hidden2:])
				for j, x := range row {
					v += x * h2[j]
				}
				z[f] = v
				top = max(top, v)
			}
			sum := float32(0)
			for f := range z {
				z[f] = float32(math.Exp(float64(z[f] - top)))
				sum += z[f]
			}
			if miss := 1 - z[y]/sum; miss < 1e-3 {
				continue
			}
			d2 = [hidden2]float32{}
			for f := range z {
				g := z[f] / sum
				if f == y {
					g--
				}
				g *= e.Weight
				if g < 1e-6 && g > -1e-6 {
					continue
				}
				w := (*[hidden2]float32)(p.w3[f*hidden2:])
				w2 := (*[hidden2]float32)(p.w3g[f*hidden2:])
				for j := range w {
					d2[j] += g * w[j]
					ada(&w[j], &w2[j], g*h2[j], lr)
				}
				ada(&p.b3[f], &p.b3g[f], g, lr)
			}
			d1 = [hidden]float32{}
			for j := range d2 {
				g := d2[j]
				if pre2[j] < 0 {
					g *= .05
				}
				w := (*[hidden]float32)(p.w2[j*hidden:])
				w2 := (*[hidden]float32)(p.w2g[j*hidden:])
				for i := range w {
					d1[i] += g * w[i]
					ada(&w[i], &w2[i], g*h[i], lr)
				}
				ada(&p.b2[j], &p.b2g[j], g, lr)
			}
			sq := float32(0)
			for i := range d1 {
				if pre1[i] < 0 {
					d1[i] *= .05
				}
				ada(&p.b1[i], &p.b1g[i], d1[i], lr)
				sq += d1[i] * d1[i]
			}
			sq /= hidden
			for _, g := range s.shapes[:s.nS] {
				p.shape2[g] += sq
				c := lr / (float32(math.Sqrt(float64(p.shape2[g]))) + 1e-4)
				row := (*[hidden]float32)(p.shape[int(g)*hidden:])
				for i, d := range d1 {
					row[i] -= c * d
				}
			}
			gq := sq * s.norm * s.norm
			for _, g := range s.grams[:s.nG] {
				p.gram2[g] += gq
				c := lr * s.norm / (float32(math.Sqrt(float64(p.gram2[g]))) + 1e-4)
				row := (*[hidden]float32)(p.gram[int(g)*hidden:])
				for i, d := range d1 {
					row[i] -= c * d
				}
			}
		}
	}
	m.gs = quantise(m.gram[:], p.gram)
	m.ss = quantise(m.shape[:], p.shape)
	copy(m.b1[:], p.b1)
	copy(m.w2[:], p.w2)
	copy(m.b2[:], p.b2)
	m.w3, m.b3 = p.w3, p.b3
	return m
}

// choose gives the rows of the first table to the letter sequences that tell
// most about whether a name is ordinary, each family counting by its weights.
func (m *Model) choose(examples []Example) {
	pos, neg := make([]float32, 1<<idBits), make([]float32, 1<<idBits)
	var s Sample
	var nPos, nNeg float64
	for i := range examples {
		e := &examples[i]
		if e.Family == "" && i%3 != 0 { // enough to know how common it is
			continue
		}
		if !s.measure(e.Name, &m.bg) {
			continue
		}
		c := neg
		if e.Family != "" {
			c = pos
			nPos += float64(e.Weight)
		} else {
			nNeg += float64(e.Weight)
		}
		slices.Sort(s.ids[:s.nI])
		for k, id := range s.ids[:s.nI] {
			if k == 0 || id != s.ids[k-1] {
				c[id] += e.Weight
			}
		}
	}
	type gram struct {
		id   uint32
		told float32
	}
	var all []gram
	for id := range pos {
		if pos[id]+neg[id] < 5 {
			continue
		}
		a, b := float64(pos[id])/max(nPos, 1), float64(neg[id])/max(nNeg, 1)
		t := 0.0
		if a > 0 {
			t += a * math.Log(2*a/(a+b))
		}
		if b > 0 {
			t += b * math.Log(2*b/(a+b))
		}
		all = append(all, gram{uint32(id), float32(t)})
	}
	slices.SortFunc(all, func(a, b gram) int { return cmp.Or(cmp.Compare(b.told, a.told), cmp.Compare(a.id, b.id)) })
	free := nGrams
	for _, g := range all {
		if free == 0 {
			break
		}
		a, b, mark := places(g.id)
		if m.known[a] == mark || m.known[b] == mark {
			continue // another with the same mark was there first
		}
		switch {
		case m.known[a] == 0:
			m.known[a] = mark
		case m.known[b] == 0:
			m.known[b] = mark
		default:
			continue
		}
		free--
	}
}

// quantise writes v to dst in steps and gives the step: the range is what all
// but one in ten thousand fit into.
func quantise(dst []int8, v []float32) float32 {
	a := make([]float32, len(v))
	for i, x := range v {
		a[i] = max(x, -x)
	}
	slices.Sort(a)
	step := max(a[len(a)-1-len(a)/10000], 1e-6) / 127
	for i, x := range v {
		dst[i] = int8(min(max(math.Round(float64(x/step)), -127), 127))
	}
	return step
}
