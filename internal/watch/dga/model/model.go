// Package model is the small network that tells names made by known
// domain-generation algorithms from those that people register: hashed letter
// sequences and measures of shape are summed into a hidden layer, from which a
// share is computed for each family and for ordinary names. The top-level
// domain is not looked at.
//
// What lives here: the network, its training, its form as a file. What must
// not: the algorithms, lists of names, the built-in weights, I/O.
package model

import (
	"encoding/binary"
	"math"

	"github.com/impound/impound"
)

const (
	hidden  = 24
	hidden2 = 24
	magic   = "IMPDGA1\n"
	maxFams = 63
)

// Model is what was learnt. It never changes and is safe for concurrent use.
type Model struct {
	fams  []string
	bg    background
	known [nGrams]uint16 // which letter sequence has the row: the rest of its hash, 0 for none
	gram  [nGrams * hidden]int8
	shape [nShapes * hidden]int8
	gs    float32 // scale of gram
	ss    float32 // scale of shape
	b1    [hidden]float32
	w2    [hidden2 * hidden]float32
	b2    [hidden2]float32
	w3    []float32 // (1+families) * hidden2; row 0 is ordinary
	b3    []float32
}

// find gives the row of a letter sequence: of two that it may have, the one
// that bears its mark.
func find(known *[nGrams]uint16, id uint32) (int, bool) {
	a, b, mark := places(id)
	if known[a] == mark {
		return a, true
	}
	return b, known[b] == mark
}

func places(id uint32) (a, b int, mark uint16) {
	mark = uint16(id>>gramBits) + 1
	a = int(id & (nGrams - 1))
	return a, (a ^ int(mark)*0x5bd1) & (nGrams - 1), mark
}

// look finds the rows of what was measured.
func (s *Sample) look(known *[nGrams]uint16) {
	s.nG = 0
	for _, id := range s.ids[:s.nI] {
		if r, ok := find(known, id); ok {
			s.grams[s.nG] = uint16(r)
			s.nG++
		}
	}
}

// Families gives the families that were learnt.
func (m *Model) Families() []string { return append([]string(nil), m.fams...) }

// Score gives how much more likely than ordinary it is that an algorithm made
// name, as a logarithm (0: as likely), and the nearest family. It is not ok for
// what is no name. s is scratch and holds what was measured.
func (m *Model) Score(name string, s *Sample) (logit float64, family string, ok bool) {
	if !s.measure(name, &m.bg) {
		return 0, "", false
	}
	s.look(&m.known)
	var acc [hidden]int32
	for _, g := range s.grams[:s.nG] {
		row := (*[hidden]int8)(m.gram[int(g)*hidden:])
		for i, v := range row {
			acc[i] += int32(v)
		}
	}
	var sh [hidden]int32
	for _, g := range s.shapes[:s.nS] {
		row := (*[hidden]int8)(m.shape[int(g)*hidden:])
		for i, v := range row {
			sh[i] += int32(v)
		}
	}
	var h [hidden]float32
	for i := range h {
		h[i] = act(float32(acc[i])*m.gs*s.norm + float32(sh[i])*m.ss + m.b1[i])
	}
	var h2 [hidden2]float32
	for j := range h2 {
		v := m.b2[j]
		row := m.w2[j*hidden : (j+1)*hidden]
		for i, x := range row {
			v += x * h[i]
		}
		h2[j] = act(v)
	}
	var ordinary, top float64
	best, sum := -1, 0.0
	var z [maxFams + 1]float64
	for f := range m.b3 {
		v := m.b3[f]
		row := m.w3[f*hidden2 : (f+1)*hidden2]
		for j, x := range row {
			v += x * h2[j]
		}
		z[f] = float64(v)
		if f == 0 {
			ordinary = z[0]
		} else if best < 0 || z[f] > top {
			best, top = f-1, z[f]
		}
	}
	if best < 0 {
		return 0, "", false
	}
	for f := 1; f < len(m.b3); f++ {
		sum += math.Exp(z[f] - top)
	}
	return top + math.Log(sum) - ordinary, m.fams[best], true
}

func act(v float32) float32 {
	if v < 0 {
		return v * .05
	}
	return v
}

// Encode gives the model as a file.
func (m *Model) Encode() []byte {
	b := []byte(magic)
	b = append(b, byte(len(m.fams)))
	for _, f := range m.fams {
		b = append(append(b, byte(len(f))), f...)
	}
	b = append(b, m.bg[:]...)
	for _, v := range m.known {
		b = binary.LittleEndian.AppendUint16(b, v)
	}
	for _, v := range m.gram {
		b = append(b, byte(v))
	}
	for _, v := range m.shape {
		b = append(b, byte(v))
	}
	for _, p := range m.floats() {
		for _, v := range p {
			b = binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return binary.LittleEndian.AppendUint32(append(b, scalar(m.gs)...), math.Float32bits(m.ss))
}

func scalar(v float32) []byte {
	return binary.LittleEndian.AppendUint32(nil, math.Float32bits(v))
}

func (m *Model) floats() [][]float32 { return [][]float32{m.b1[:], m.w2[:], m.b2[:], m.w3, m.b3} }

// Decode reads what [Model.Encode] gave.
func Decode(b []byte) (*Model, error) {
	bad := func(why string) (*Model, error) {
		return nil, impound.Errorf(impound.KindInvalid, "no model of generated names: %s", why).WithCure("make it again with internal/watch/dga/train")
	}
	if len(b) < len(magic)+1 || string(b[:len(magic)]) != magic {
		return bad("it begins otherwise")
	}
	n := int(b[len(magic)])
	b = b[len(magic)+1:]
	if n == 0 || n > maxFams {
		return bad("the number of families is wrong")
	}
	m := &Model{}
	for range n {
		if len(b) == 0 || len(b) < 1+int(b[0]) {
			return bad("it is cut short")
		}
		m.fams = append(m.fams, string(b[1:1+int(b[0])]))
		b = b[1+int(b[0]):]
	}
	m.w3 = make([]float32, (n+1)*hidden2)
	m.b3 = make([]float32, n+1)
	want := len(m.bg) + 2*len(m.known) + len(m.gram) + len(m.shape) + 8
	for _, p := range m.floats() {
		want += 4 * len(p)
	}
	if len(b) != want {
		return bad("it is cut short or of another version")
	}
	b = b[copy(m.bg[:], b):]
	for i := range m.known {
		m.known[i] = binary.LittleEndian.Uint16(b[2*i:])
	}
	b = b[2*len(m.known):]
	for i := range m.gram {
		m.gram[i] = int8(b[i])
	}
	b = b[len(m.gram):]
	for i := range m.shape {
		m.shape[i] = int8(b[i])
	}
	b = b[len(m.shape):]
	next := func() (float32, bool) {
		v := math.Float32frombits(binary.LittleEndian.Uint32(b))
		b = b[4:]
		return v, !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0)
	}
	for _, p := range m.floats() {
		for i := range p {
			var ok bool
			if p[i], ok = next(); !ok {
				return bad("a weight is no number")
			}
		}
	}
	var ok1, ok2 bool
	m.gs, ok1 = next()
	m.ss, ok2 = next()
	if !ok1 || !ok2 {
		return bad("a weight is no number")
	}
	return m, nil
}
