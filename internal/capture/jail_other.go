//go:build !linux

package capture

import (
	"context"
	"errors"
	"fmt"
	"os"
)

// JailCommand is the hidden command by which our own program becomes the jail.
const JailCommand = "capture-jail"

func (t *take) runJail(context.Context, job, *filterProxy) (reply, error) {
	return reply{}, errors.New("the browser's jail needs Linux")
}

// JailMain is what the hidden command does; here it only says that it can't.
func JailMain() int {
	fmt.Fprintln(os.Stderr, "impound: the browser's jail needs Linux")
	return 1
}
