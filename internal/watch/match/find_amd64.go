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

// probeTable is edgeKeys two rows at once, and about is of jobs, but for the letter
// that is left out, which is shifted by left, and where the edge is.
type probeTable struct {
	low, back, left, low5 [16]uint32
	kind, about           [3][16]uint32
}

var probeKeys = func() (t probeTable) {
	for row := range 5 {
		side, kind := keyRow[row]&3, uint32(kindFrom)
		if side >= 2 {
			kind = kindTo
		}
		for lane := range 8 {
			i := row&1<<3 | lane
			t.low[i], t.back[i], t.left[i] = edgeKeys.low[lane], edgeKeys.back[lane], uint32(25-5*min(lane, 5))
			out := uint32(outNone)
			if row < 4 && lane < 6 {
				out = uint32(lane)
			}
			t.about[row>>1][i] = uint32(edgeOff[side])<<aboutAt + kind<<aboutKind + out<<aboutOut
			if row < 4 {
				t.kind[row>>1][i] = edgeKeys.kind[row][lane]
			} else {
				t.low5[i], t.kind[2][i] = edgeKeys.low5[lane], edgeKeys.kind5[lane]
			}
		}
	}
	return t
}()

// The assembly reads it.
var _ = &probeKeys
