package boost

import "golang.org/x/sys/cpu"

// fastWide says that models are laid out as [wide].
var fastWide = cpu.X86.HasAVX512F && cpu.X86.HasAVX512BW && cpu.X86.HasAVX512CD && cpu.X86.HasAVX512VBMI

// wideAVX512 adds to sums the values of the leaves that the trees come to for x, as
// [Model.plain] does: tree i to sums[i&3]. There are 64*batches trees.
//
//go:noescape
func wideAVX512(from *int32, cuts *float32, places *int32, groups int, x *float32, asks *ask, batches, each int, value *float32, leaves int, sums *[4]float32)
