// Package dga tells names that known domain-generation algorithms make from
// those that people choose. [Score] and [Scores] use the network of package
// model, which looks at generic top-level domains and at no country code.
// [Model] is a small logistic regression over letter sequences, shape, how
// surprising the letters are, and any top-level domain: it can learn any two
// kinds of names.
//
// What lives here: the model, its training, scoring. What must not: the
// algorithms themselves, lists of names, or I/O other than on a reader or
// writer that the caller hands over.
package dga

import (
	"bytes"
	"math"
	"math/rand/v2"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/match"
)

const (
	nGrams = 1 << 16
	nShape = 4096
	maxLen = 63
)

// Model is learnt weights. It never changes and is safe for concurrent use.
type Model struct {
	gram  [nGrams]int8
	shape [nShape]int8
	scale float32
}

// NewModel reads what [Train] gave.
func NewModel(b []byte) (*Model, error) {
	m := &Model{}
	return m, m.decode(b)
}

func (m *Model) decode(b []byte) error {
	if len(b) != nGrams+nShape+4 {
		return impound.Errorf(impound.KindInvalid, "weights of another version: %d octets", len(b))
	}
	for i := range m.gram {
		m.gram[i] = int8(b[i])
	}
	for i := range m.shape {
		m.shape[i] = int8(b[nGrams+i])
	}
	b = b[nGrams+nShape:]
	m.scale = math.Float32frombits(uint32(b[0]) | uint32(b[1])<<8 | uint32(b[2])<<16 | uint32(b[3])<<24)
	return nil
}

const maxActive = 4 * (maxLen + 2)

type row struct {
	gram   [maxActive]uint16
	nG     int
	shape  [16]uint16
	nS     int
	weight float32 // of a gram: long names hold more of them
}

// canonical is lower case without a trailing dot. Unlike host names, names in the
// DNS may hold any octet (RFC 2181 11), and some algorithms with an error make
// such: any printable ASCII is taken.
func canonical(dst, name []byte) ([]byte, bool) {
	if len(name) > 0 && name[len(name)-1] == '.' {
		name = name[:len(name)-1]
	}
	if len(name) == 0 || len(name) > 253 {
		return dst, false
	}
	for _, c := range name {
		if c <= ' ' || c >= 0x7f {
			return dst, false
		}
		if c >= 'A' && c <= 'Z' {
			c |= 0x20
		}
		dst = append(dst, c)
	}
	return dst, true
}

// label gives the label that is judged: the longest in front of the top-level
// domain, of several equally long the first.
func label(name []byte) []byte {
	end := bytes.LastIndexByte(name, '.')
	if end < 0 {
		end = len(name)
	}
	var best []byte
	for rest := name[:end]; len(rest) > 0; {
		l, more, _ := bytes.Cut(rest, []byte{'.'})
		if len(l) > len(best) {
			best = l
		}
		rest = more
	}
	return best
}

func (r *row) measure(name []byte) bool {
	l := label(name)
	if len(l) == 0 || len(l) > maxLen {
		return false
	}
	r.nG, r.nS = 0, 0
	bg := match.BuiltinBackground()
	var bits, worst float32
	digits, vowels, letters, run, maxRun, hyphens, switches := 0, 0, 0, 0, 0, 0, 0
	hex := true
	var a, b uint8
	prevDigit := false
	n := len(l)
	for i := 0; i <= n; i++ {
		var c uint8
		var ch byte
		if i < n {
			ch = l[i]
			c = match.Symbol(ch)
			if c == 27 {
				c = 30 + ch - '0'
			}
		}
		bgC := c
		if bgC >= 30 {
			bgC = 27
		}
		s := bg.Triple(a, b, bgC)
		bits += s
		worst = max(worst, s)
		a, b = b, bgC
		if i == n {
			break
		}
		d := ch >= '0' && ch <= '9'
		if i > 0 && d != prevDigit {
			switches++
		}
		prevDigit = d
		switch {
		case d:
			digits++
			run = 0
		case ch == '-' || ch == '_':
			hyphens++
			run = 0
		default:
			letters++
			if bytes.IndexByte([]byte("aeiouy"), ch) >= 0 {
				vowels++
				run = 0
			} else {
				run++
				maxRun = max(maxRun, run)
			}
			if ch > 'f' {
				hex = false
			}
		}
	}
	// Letter sequences with both boundaries.
	var sym [maxLen + 2]byte
	sym[0] = '^'
	copy(sym[1:], l)
	sym[n+1] = '$'
	w := sym[:n+2]
	for i := range w {
		var h uint32 = 2166136261
		for k := 0; k < 5 && i+k < len(w); k++ {
			h = (h ^ uint32(w[i+k])) * 16777619
			if k >= 1 {
				x := h ^ h>>15
				x *= 0x85ebca6b
				r.gram[r.nG] = uint16(x >> 16)
				r.nG++
			}
		}
	}
	r.weight = 1
	set := func(group, v, size int) { // groups of 32
		r.shape[r.nS] = uint16(group*32 + min(v, size-1))
		r.nS++
	}
	mean := int(bits / float32(n+1) * 4)
	set(0, n/2, 32)
	set(1, mean, 32)
	set(2, int(worst*2), 32)
	set(3, digits, 16)
	set(4, maxRun, 16)
	set(5, hyphens, 8)
	set(6, switches, 16)
	vr := 0
	if letters > 0 {
		vr = vowels * 10 / letters
	}
	set(7, vr, 11)
	if hex {
		set(8, min(n, 31), 32)
	}
	// Pairs of them.
	r.shape[r.nS] = uint16(512 + min(n/2, 31)*32 + min(mean, 31))
	r.shape[r.nS+1] = uint16(512 + 1024 + min(vr, 10)*32 + min(n/2, 31))
	r.shape[r.nS+2] = uint16(512 + 1024 + 512 + min(digits*16/n, 15)*32 + min(n/2, 31))
	r.shape[r.nS+3] = uint16(512 + 1024 + 1024 + min(maxRun, 15)*32 + min(mean, 31))
	r.nS += 4
	// An algorithm keeps to its top-level domains, so they are part of its habit.
	h := uint32(2166136261)
	for _, c := range name[bytes.LastIndexByte(name, '.')+1:] {
		h = (h ^ uint32(c)) * 16777619
	}
	h ^= h >> 15
	r.shape[r.nS] = uint16(3072 + h%512)
	r.shape[r.nS+1] = uint16(3584 + (h*31+uint32(min(n/3, 12)))%512)
	r.nS += 2
	return true
}

func (m *Model) logit(r *row) float64 {
	var g, s int32
	for _, i := range r.gram[:r.nG] {
		g += int32(m.gram[i])
	}
	for _, i := range r.shape[:r.nS] {
		s += int32(m.shape[i])
	}
	return float64(float32(g)*m.scale*r.weight + float32(s)*m.scale)
}

// Logit is [Model.Score] before it is squashed; 0 for what is no name.
func (m *Model) Logit(name []byte) float64 {
	var buf [256]byte
	c, ok := canonical(buf[:0], name)
	if !ok {
		return 0
	}
	var r row
	if !r.measure(c) {
		return 0
	}
	return m.logit(&r)
}

// Score gives how much name looks made by one of the algorithms that the model
// learnt: above 0 and below 1; 0 for what is no name.
func (m *Model) Score(name []byte) float64 {
	var buf [256]byte
	c, ok := canonical(buf[:0], name)
	if !ok {
		return 0
	}
	var r row
	if !r.measure(c) {
		return 0
	}
	return 1 / (1 + math.Exp(-min(max(m.logit(&r), -30), 30)))
}

// Group is several models that look at a name together. It never changes and is
// safe for concurrent use.
type Group struct {
	gram  [nGrams][maxGroup]int8
	shape [nShape][maxGroup]int8
	scale []float32
}

const maxGroup = 8

// NewGroup makes one of at most eight models; of more the rest is left out.
func NewGroup(ms ...*Model) *Group {
	g := &Group{}
	for k, m := range ms[:min(len(ms), maxGroup)] {
		g.scale = append(g.scale, m.scale)
		for i, w := range m.gram {
			g.gram[i][k] = w
		}
		for i, w := range m.shape {
			g.shape[i][k] = w
		}
	}
	return g
}

// Logits is [Model.Logit] of each model, into out.
func (g *Group) Logits(name []byte, out []float64) {
	clear(out)
	var buf [256]byte
	c, ok := canonical(buf[:0], name)
	if !ok {
		return
	}
	var r row
	if !r.measure(c) {
		return
	}
	var gram, shape [maxGroup]int32
	for _, i := range r.gram[:r.nG] {
		for k, w := range &g.gram[i] {
			gram[k] += int32(w)
		}
	}
	for _, i := range r.shape[:r.nS] {
		for k, w := range &g.shape[i] {
			shape[k] += int32(w)
		}
	}
	for k := range min(len(out), len(g.scale)) {
		out[k] = float64(float32(gram[k])*g.scale[k]*r.weight + float32(shape[k])*g.scale[k])
	}
}

// Example is a name for training.
type Example struct {
	Name   string
	DGA    bool
	Weight float32
}

// Train gives what [NewModel] reads.
func Train(examples []Example, epochs int, seed uint64) []byte {
	type params struct {
		gram, g2  [nGrams]float32
		shape, s2 [nShape]float32
	}
	p := &params{}
	rnd := rand.New(rand.NewPCG(seed, 2))
	order := rnd.Perm(len(examples))
	const lr, l2 = 0.06, 3e-4
	step := func(w, g2 *float32, g float32) {
		g += l2 * *w
		*g2 += g * g
		*w -= lr * g / (float32(math.Sqrt(float64(*g2))) + 1e-3)
	}
	var r row
	var buf [256]byte
	for range epochs {
		rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
		for _, i := range order {
			e := &examples[i]
			c, ok := canonical(buf[:0], []byte(e.Name))
			if !ok || !r.measure(c) {
				continue
			}
			var z float32
			for _, j := range r.gram[:r.nG] {
				z += p.gram[j] * r.weight
			}
			for _, j := range r.shape[:r.nS] {
				z += p.shape[j]
			}
			y := float32(0)
			if e.DGA {
				y = 1
			}
			g := (1/(1+float32(math.Exp(float64(-z)))) - y) * e.Weight
			if g < 1e-4 && g > -1e-4 {
				continue
			}
			for _, j := range r.gram[:r.nG] {
				step(&p.gram[j], &p.g2[j], g*r.weight)
			}
			for _, j := range r.shape[:r.nS] {
				step(&p.shape[j], &p.s2[j], g)
			}
		}
	}
	var top float32 = 1e-6
	for _, w := range p.gram {
		top = max(top, w, -w)
	}
	for _, w := range p.shape {
		top = max(top, w, -w)
	}
	scale := top / 127
	out := make([]byte, 0, nGrams+nShape+4)
	for _, w := range p.gram {
		out = append(out, byte(int8(math.Round(float64(w/scale)))))
	}
	for _, w := range p.shape {
		out = append(out, byte(int8(math.Round(float64(w/scale)))))
	}
	b := math.Float32bits(scale)
	return append(out, byte(b), byte(b>>8), byte(b>>16), byte(b>>24))
}
