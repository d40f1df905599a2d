//go:build !amd64

package match

const fastLongs = false

func nearLongsAVX2(*uint64, int, *longs, *uint8, int, *uint64) int { return 0 }
