package live

import "testing"

// SetStretch makes logs be read in small pieces.
func SetStretch(t *testing.T, n int64) {
	old := stretch
	stretch = n
	t.Cleanup(func() { stretch = old })
}
