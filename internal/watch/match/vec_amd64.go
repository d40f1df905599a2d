package match

import "golang.org/x/sys/cpu"

// fastKeys says that keys are looked for in vectors, fastSums that weights.sums
// is done so.
var fastKeys, fastSums = cpu.X86.HasAVX2, cpu.X86.HasAVX2

// sumsAVX2 is sumsPlain. There is a val at least, and one of at beyond them.
//
//go:noescape
func sumsAVX2(h *units, sum *float32, hidden *units, at *uint16, val *float32, nVal, nAt int) float32

// edgesAVX2 is index.edgesPlain.
//
//go:noescape
func edgesAVX2(slots *slot, shift uint64, x *[4]uint32, keys *keyTable) uint64

// speltAVX2 is index.speltPlain for the n letters from code on, 64 at most; some
// octets behind them are read too. Where kinds[1] is 0 no four letters are looked
// for.
//
//go:noescape
func speltAVX2(slots *slot, shift uint64, code *uint8, n int, kinds *[2]uint32) (five, four uint64)

// fastSurvey says that survey is done in vectors.
var fastSurvey = cpu.X86.HasAVX2

// surveyAVX2 is surveyPlain, for the n octets at raw; up to eight more are read,
// and written behind sym and sum. It gives at which octets four letters end that
// a lure word begins with, perhaps behind the name too.
//
//go:noescape
func surveyAVX2(raw *uint8, n, lastFrom int, gram *int8, tri *uint8, lures *uint64, sym *uint32, sum *int32) uint64

// fastFill says that names are folded in vectors.
var fastFill = cpu.X86.HasAVX2 && cpu.X86.HasBMI2

// fillAVX2 is fillPlain for the n octets at name, 1 to 64, of which the last is no
// dot; all 64 are read. False says that fillPlain has to look: for what no host name
// has, and for hyphens side by side.
//
//go:noescape
func fillAVX2(s *scan, name *uint8, n int) bool

// fastLoose says that garbled words are counted down in vectors.
var fastLoose = cpu.X86.HasAVX2

// farAVX2 gives which tokens of a block lack more letters of a word than they have
// left: looseBlock.amongPlain for a word of n letters, 16 at most, and for tokens that
// may lack no more than 7. 16 octets are read.
//
//go:noescape
func farAVX2(far *[32]uint64, word *uint8, n int, left *[3]uint64) uint64

const fastFetch = true

// fetchHot has what weighing asks of the tokens of fs, n of them and one at least,
// brought near while something else is done.
//
//go:noescape
func fetchHot(hot *hot, fs *found, n int)
