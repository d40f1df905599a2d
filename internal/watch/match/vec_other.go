//go:build !amd64

package match

const fastLongs = false

func nearLongsAVX2(*uint64, int, *longs, *uint8, int, *uint64) int { return 0 }

const fastSums = false

func sumsAVX2(*units, *float32, *units, *uint16, *float32, int, int) float32 { return 0 }

const fastAnchored = false

func anchoredAVX2(*uint64, *uint64, *uint8, int) uint64 { return 0 }
