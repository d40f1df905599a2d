package cli

import (
	"bytes"
	"io"
	"strings"
	"syscall"
	"testing"
)

type failing struct {
	io.Writer
	err error
}

func (f failing) Write([]byte) (int, error) { return 0, f.err }

// A table that can't be written is no success; a reader who wants no more is.
func TestOutputThatIsLost(t *testing.T) {
	for fault, want := range map[syscall.Errno]int{syscall.ENOSPC: ExitFailure, syscall.EPIPE: ExitOK} {
		var errs bytes.Buffer
		sys := OS()
		sys.Out, sys.Err = failing{err: fault}, &errs
		if code := Main(t.Context(), []string{"--state", t.TempDir(), "people", "list", "--help"}, sys); code != want || fault == syscall.ENOSPC && !strings.Contains(errs.String(), "the output is not whole") {
			t.Errorf("%v: exit %d, %s", fault, code, errs.String())
		}
	}
}
