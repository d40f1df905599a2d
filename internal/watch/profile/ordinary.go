package profile

import (
	_ "embed"
	"encoding/json"
)

// ordinary is what is common among new registrations, as shares: of top-level
// domains, and of each shape. It is made by: evalwatch -train profile.
type ordinary struct {
	TLDs   map[string]float64          `json:"tlds"`
	Shapes [nShapes]map[uint32]float64 `json:"shapes"`
	// Manners are shares too, see [manner].
	Manners [nDims][]float64 `json:"manners"`
}

//go:embed ordinary.json
var ordinaryJSON []byte

var common = func() (o ordinary) {
	_ = json.Unmarshal(ordinaryJSON, &o) // a test reads it
	return o
}()

// Ordinary counts names, and gives what is embedded.
func Ordinary(names func(yield func([]byte) bool)) ([]byte, error) {
	o := ordinary{TLDs: map[string]float64{}}
	for k := range o.Shapes {
		o.Shapes[k] = map[uint32]float64{}
	}
	for d, n := range dimSizes {
		o.Manners[d] = make([]float64, n)
	}
	n := 0.0
	var v seen
	for name := range names {
		v.look(name)
		n++
		o.TLDs[string(v.tld)]++
		for k, s := range v.shapes() {
			o.Shapes[k][s]++
		}
		for d, x := range v.extra.manner.dims {
			o.Manners[d][x]++
		}
	}
	for t, c := range o.TLDs {
		if o.TLDs[t] = float64(float32(c / n)); c/n < .0002 {
			delete(o.TLDs, t)
		}
	}
	for k := range o.Shapes {
		for s, c := range o.Shapes[k] {
			o.Shapes[k][s] = float64(float32(c / n))
		}
	}
	for d := range o.Manners {
		for i, c := range o.Manners[d] {
			o.Manners[d][i] = float64(float32((c + 1) / (n + float64(dimSizes[d]))))
		}
	}
	return json.Marshal(o)
}

// UseOrdinary replaces what is embedded: for measuring what was learnt from the
// earlier part of the data alone.
func UseOrdinary(b []byte) error {
	var o ordinary
	if err := json.Unmarshal(b, &o); err != nil {
		return err
	}
	common = o
	return nil
}

// What was never seen has this share.
const (
	rareTLD   = .0001
	rareShape = 2e-5
)

func tldShare(tld []byte) float64 { return max(common.TLDs[string(tld)], rareTLD) }

func shapeShare(kind int, s uint32) float64 { return max(common.Shapes[kind][s], rareShape) }

func mannerShare(dim int, x int8) float64 {
	if s := common.Manners[dim]; int(x) < len(s) {
		return max(s[x], rareShape)
	}
	return 1 / float64(dimSizes[dim])
}
