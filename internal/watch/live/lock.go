package live

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/impound/impound"
)

func errTwice(id string) error {
	return impound.Errorf(impound.KindConflict, "another process reads %s too", id).WithCure("leave it to that one, or end it first: impound serve reads the sources too, unless watch: {serve: off} says otherwise")
}

// lock takes the lock of a source, which ends with the process that has it, and
// gives what releases it.
func lock(dir, id string) (func(), error) {
	if dir == "" {
		return func() {}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("couldn't make the folder of locks: %w", err)
	}
	sum := sha256.Sum256([]byte(id)) // a log's name has slashes
	f, err := os.OpenFile(filepath.Join(dir, hex.EncodeToString(sum[:16])), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("couldn't open the lock of %s: %w", id, err)
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return nil, errTwice(id)
		}
		return nil, fmt.Errorf("couldn't lock %s: %w", id, err)
	}
	return func() { f.Close() }, nil
}
