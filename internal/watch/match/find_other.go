//go:build !amd64

package match

const fastFind = false

func probeAVX512(*index, *scan, int, int, int) {}

func siftAVX512(*index, *scan) int { return 0 }
