package live

import (
	"testing"
	"time"

	"github.com/impound/impound/internal/watch"
)

// SetStretch makes logs be read in small pieces.
func SetStretch(t *testing.T, n int64) {
	old := stretch
	stretch = n
	t.Cleanup(func() { stretch = old })
}

// Pause is how long a Runner told of poll leaves src alone.
func Pause(poll time.Duration, w watch.Options, src Source) time.Duration {
	r, err := New(Config{Poll: poll, Watch: w})
	if err != nil {
		panic(err)
	}
	return r.pause(src)
}
