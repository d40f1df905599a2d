package match

import "golang.org/x/sys/cpu"

// fastLongs says that nearLongs is done in vectors.
var fastLongs = cpu.X86.HasAVX2

// nearLongsAVX2 is nearLongsPlain. code is the name's first letter; 16 octets in
// front of it and behind its last are read too.
//
//go:noescape
func nearLongsAVX2(items *uint64, n int, groups *longs, code *uint8, letters int, some *uint64) int

// fastSums says that weights.sums is done in vectors.
var fastSums = cpu.X86.HasAVX2

// sumsAVX2 is sumsPlain. There is a val at least, and one of at beyond them.
//
//go:noescape
func sumsAVX2(h *units, sum *float32, hidden *units, at *uint16, val *float32, nVal, nAt int) float32

// fastAnchored says that anchored is done in vectors.
var fastAnchored = cpu.X86.HasAVX2

// anchoredAVX2 is anchoredPlain for n letters from code on, 64 at most; some
// octets behind them are read too.
//
//go:noescape
func anchoredAVX2(any, gaps *uint64, code *uint8, n int) uint64
