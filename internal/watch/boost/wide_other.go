//go:build !amd64

package boost

const fastWide = false

func wideAVX512(*float32, *int32, int, uint64, *float32, *ask, int, int, *float32, int, *[4]float32) {
}
