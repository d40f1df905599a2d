package profile

// Quick is Score without its reasons, for names as streams have them: lower case
// A-labels without a last dot.
func (p *Profile) Quick(name []byte) float64 { return squash(p.Bits(name)) }
