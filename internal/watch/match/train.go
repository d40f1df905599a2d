package match

import (
	"math"
	"math/rand/v2"
)

// Example is a name for training. Brand is whom it is known to imitate, "" for
// an ordinary name.
type Example struct {
	Name, Brand string
	Weight      float32
	Part        int // examples that are alike, such as those of a month, are of one part
	// Age is how many years before the end of the examples a phishing name was
	// seen.
	Age float64
	// Seen is for how many the name counts among those that were seen: 1 of what
	// was registered, less of a host, 0 of a garbled name and of hosts that are
	// ordinary.
	Seen float32
}

type row struct {
	x features
	y float32
	w float32
}

// Train learns the weights for m's brands from examples and gives the content
// of half of weights.bin: with top-level domains unless m was made without.
// The weights say nothing of single brands; they hold for others too.
func (m *Matcher) Train(examples []Example, epochs int, seed uint64) []byte {
	var best *model
	for round := range 2 {
		rows := m.rows(examples)
		best = fit(rows, epochs, seed+uint64(round))
		c := *m
		c.model, c.weights = best, best.weights()
		m = &c
	}
	return best.encode()
}

// With gives m with other weights, what [Matcher.Train] gave, and no second
// look: see [Matcher.WithSecond].
func (m *Matcher) With(weights []byte) (*Matcher, error) {
	c := *m
	c.model, c.again, c.told = &model{}, nil, nil
	if err := c.model.decode(weights); err != nil {
		return nil, err
	}
	c.weights = c.model.weights()
	return &c, nil
}

// rows measures the occurrence of each example that m holds for the best; of a
// phishing name, among those of its own brand where there are any.
func (m *Matcher) rows(examples []Example) []row {
	var out []row
	m.eachTop(examples, func(_ int, r row, _ *scan, _ found, _ []found) { out = append(out, r) })
	return out
}

func (m *Matcher) eachTop(examples []Example, use func(i int, r row, s *scan, f found, fs []found)) {
	for i, e := range examples {
		var s scan
		if !s.fill([]byte(e.Name)) || m.isOwn(&s) {
			continue
		}
		var buf [maxFound]found
		fs := m.ix.find(&s, buf[:0:maxFound])
		var alt []found
		t := s
		if s.digraph {
			t.merge()
			alt = m.ix.find(&t, nil2())
		}
		if len(fs)+len(alt) == 0 && !m.opt.NoLoose {
			if f, ok := m.ix.findLoose(&s); ok {
				fs = append(fs, f)
			}
		}
		var top row
		var topS *scan
		var topF found
		var topFs []found
		topL, topOwn, any := math.Inf(-1), false, false
		try := func(s *scan, f found, fs []found) {
			var r row
			if !m.ix.features(s, f, &r.x, m.opt.NoTLD) {
				return
			}
			own := false
			for _, b := range m.ix.tokens[f.tok].brands {
				own = own || m.brands[b].ID == e.Brand
			}
			l := m.model.logit(&r.x)
			if !any || own && !topOwn || own == topOwn && l > topL {
				top, topL, topOwn, any = r, l, own, true
				topS, topF, topFs = s, f, fs
			}
		}
		if s.hasA {
			if u, where, ok := unIDN(string(s.raw[:s.allN])); ok {
				q := scan{idn: true, looks: where}
				if q.fill([]byte(u)) {
					qs := m.ix.find(&q, nil2())
					for _, f := range qs {
						try(&q, f, qs)
					}
				}
			}
		}
		for _, f := range fs {
			try(&s, f, fs)
		}
		for _, f := range alt {
			try(&t, f, alt)
		}
		if !any || e.Brand != "" && !topOwn {
			continue
		}
		if e.Brand != "" {
			top.y = 1
		}
		top.w = e.Weight
		use(i, top, topS, topF, topFs)
	}
}

func nil2() []found { return make([]found, 0, maxFound) }

// fit is logistic regression by AdaGrad with L2.
func fit(rows []row, epochs int, seed uint64) *model {
	type params struct {
		hDense [nFeatures]units
		hCross [nCross]units
		hTok   [nTokens]units
		hBias  units
		hOut   units
		dense  [nFeatures]float32
		cross  [nCross]float32
		gram   [nGrams]float32
		tld    [nSuffix]float32
		tok    [nTokens]float32
	}
	var p, g2 params
	p.dense[fBias] = -2
	rnd := rand.New(rand.NewPCG(seed, 1))
	for k := range nHidden {
		for i := range p.hDense {
			p.hDense[i][k] = float32(rnd.NormFloat64()) * 0.3
		}
		for i := range p.hCross {
			p.hCross[i][k] = float32(rnd.NormFloat64()) * 0.2
		}
		p.hOut[k] = float32(rnd.NormFloat64()) * 0.3
	}
	// What ordinary names alone teach of a token is no reason: nobody imitated it
	// yet.
	var met [nTokens]float32
	for i := range rows {
		if r := &rows[i]; r.x.tok >= 0 && r.y > 0 {
			met[r.x.tok] += r.w
		}
	}
	order := rnd.Perm(len(rows))
	const lr = 0.08
	step := func(w, g2 *float32, g, l2 float32) {
		g += l2 * *w
		*g2 += g * g
		*w -= lr * g / (float32(math.Sqrt(float64(*g2))) + 1e-3)
	}
	for range epochs {
		rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			r := &rows[i]
			x := &r.x
			var z float32
			for j, v := range x.v {
				z += v * p.dense[j]
			}
			for _, j := range x.cross[:x.nC] {
				z += p.cross[j]
			}
			for _, j := range x.gram[:x.nG] {
				z += p.gram[j]
			}
			if x.tld >= 0 {
				z += p.tld[x.tld]
			}
			// What is learnt of a single token is left out now and then, so that the
			// rest stands alone for brands that were never met.
			tok := x.tok
			if rnd.IntN(4) == 0 || tok >= 0 && met[tok] < tokMet {
				tok = -1
			}
			if tok >= 0 {
				z += p.tok[tok]
			}
			h := p.hBias
			for j, v := range x.v {
				if v != 0 {
					for k := range h {
						h[k] += v * p.hDense[j][k]
					}
				}
			}
			for _, j := range x.cross[:x.nC] {
				for k := range h {
					h[k] += p.hCross[j][k]
				}
			}
			if tok >= 0 {
				for k := range h {
					h[k] += p.hTok[tok][k]
				}
			}
			for k := range h {
				z += max(h[k], 0) * p.hOut[k]
			}
			g := (1/(1+float32(math.Exp(float64(-z)))) - r.y) * r.w
			if g < 1e-4 && g > -1e-4 {
				continue
			}
			for j, v := range x.v {
				if v != 0 {
					step(&p.dense[j], &g2.dense[j], g*v, 1e-5)
				}
			}
			for _, j := range x.cross[:x.nC] {
				step(&p.cross[j], &g2.cross[j], g, 1e-4)
			}
			for _, j := range x.gram[:x.nG] {
				step(&p.gram[j], &g2.gram[j], g, gramL2)
			}
			if x.tld >= 0 {
				step(&p.tld[x.tld], &g2.tld[x.tld], g, 1e-3)
			}
			for k := range h {
				if h[k] <= 0 {
					continue
				}
				gk := g * p.hOut[k]
				step(&p.hOut[k], &g2.hOut[k], g*h[k], hiddenL2)
				step(&p.hBias[k], &g2.hBias[k], gk, hiddenL2)
				for j, v := range x.v {
					if v != 0 {
						step(&p.hDense[j][k], &g2.hDense[j][k], gk*v, hiddenL2)
					}
				}
				for _, j := range x.cross[:x.nC] {
					step(&p.hCross[j][k], &g2.hCross[j][k], gk, hiddenL2)
				}
				if tok >= 0 {
					step(&p.hTok[tok][k], &g2.hTok[tok][k], gk, hiddenL2)
				}
			}
			if tok >= 0 {
				step(&p.tok[tok], &g2.tok[tok], g, 1e-3)
			}
		}
	}
	var top float32
	for _, w := range p.gram {
		top = max(top, w, -w)
	}
	for _, w := range p.tld {
		top = max(top, w, -w)
	}
	for _, w := range p.tok {
		top = max(top, w, -w)
	}
	m := &model{dense: p.dense, cross: p.cross, hDense: p.hDense, hCross: p.hCross, hTok: p.hTok, hBias: p.hBias, hOut: p.hOut, scale: max(top, 1e-6) / 127}
	for i, w := range p.gram {
		m.gram[i] = int8(math.Round(float64(w / m.scale)))
	}
	for i, w := range p.tld {
		m.tld[i] = int8(math.Round(float64(w / m.scale)))
	}
	for i, w := range p.tok {
		m.tok[i] = int8(math.Round(float64(w / m.scale)))
	}
	return m
}

// gramL2 keeps the weights of letter sequences small: they are the most, and
// the first to learn single names by heart.
const gramL2 = 2e-2

// hiddenL2 keeps the hidden units' weights small.
const hiddenL2 = 3e-4

// tokMet is how much phishing names that bear a token must weigh together, about
// one name of the last months, before anything is learnt of the token alone.
const tokMet = 5
