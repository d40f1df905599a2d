package match

import "golang.org/x/sys/cpu"

// fastFind says that find works in vectors of 64 octets.
var fastFind = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512DQ && cpu.X86.HasAVX512VL &&
	cpu.X86.HasAVX512BITALG && cpu.X86.HasBMI2

// probeAVX512 puts down the jobs of a name: tokens spelt out at its first spelt
// letters, 64 at most, and what stands at the edges of the word from at to to.
// There must be room for 161.
//
//go:noescape
func probeAVX512(ix *index, s *scan, spelt, at, to int)

// siftAVX512 is index.siftPlain, but for how many hits it gives at once. There
// must be a job left.
//
//go:noescape
func siftAVX512(ix *index, s *scan) (n int)

// The assembly reads it.
var _ = &probeKeys
