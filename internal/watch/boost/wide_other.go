//go:build !amd64

package boost

const fastWide = false

func wideAVX512(*int32, *float32, *int32, int, *float32, *ask, int, int, *float32, int, *[4]float32) {
}
