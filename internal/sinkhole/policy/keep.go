package policy

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/impound/impound"
)

// Kept is a sensor's folder with the bundle that it accepted last and the
// highest serial that it ever accepted, so that a restart does not make it take
// an older bundle. It is safe for concurrent use, also by several processes.
type Kept struct {
	dir    string
	key    impound.PublicKey
	sensor string
	mu     sync.Mutex
}

const (
	bundleFile = "bundle"
	serialFile = "highest-serial"
	lockFile   = "lock"
)

// Keep opens the folder, and makes it if need be. Only bundles signed by hubKey
// are kept.
func Keep(dir string, hubKey impound.PublicKey) (*Kept, error) {
	if _, err := hubKey.Ed25519(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't make the folder for policies: %w", err).At(dir).WithCure("make it writable for this user")
	}
	return &Kept{dir: dir, key: hubKey}, nil
}

// KeepFor is [Keep] for one sensor: bundles for another one are refused before
// they count.
func KeepFor(dir string, hubKey impound.PublicKey, sensor string) (*Kept, error) {
	k, err := Keep(dir, hubKey)
	if err == nil {
		k.sensor = sensor
	}
	return k, err
}

func (k *Kept) ours(p *Policy) error {
	if k.sensor != "" && p.sensor != "" && p.sensor != k.sensor {
		return impound.Errorf(impound.KindRefused, "the policy is for sensor %s, and this is %s", p.sensor, k.sensor).WithCure("give each sensor its own")
	}
	return nil
}

// Load gives the kept bundle, nil when there is none. A bundle that has ended
// meanwhile is an error of KindRefused.
func (k *Kept) Load(now time.Time) (*Policy, error) {
	data, err := os.ReadFile(filepath.Join(k.dir, bundleFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't read the kept policy: %w", err).At(k.dir)
	}
	highest, err := k.readSerial()
	if err != nil {
		return nil, err
	}
	p, err := Open(data, k.key, highest, now)
	if err != nil {
		return nil, err
	}
	return p, k.ours(p)
}

// Bytes gives the kept bundle as it was accepted, nil when there is none.
func (k *Kept) Bytes() ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(k.dir, bundleFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't read the kept policy: %w", err).At(k.dir)
	}
	return data, nil
}

// Serial is the highest serial that was ever accepted, 0 for none.
func (k *Kept) Serial() (uint64, error) {
	highest, err := k.readSerial()
	if err != nil {
		return 0, err
	}
	data, err := os.ReadFile(filepath.Join(k.dir, bundleFile))
	if errors.Is(err, fs.ErrNotExist) {
		return highest, nil
	}
	if err != nil {
		return 0, impound.Errorf(impound.KindUnavailable, "couldn't read the kept policy: %w", err).At(k.dir)
	}
	// A bundle that can't be opened adds nothing, and must not stop a good one
	// from taking its place.
	if p, err := open(data, k.key); err == nil {
		highest = max(highest, p.serial)
	}
	return highest, nil
}

// Accept opens a bundle, keeps it, and gives it back. It refuses what [Open]
// refuses, and a serial that was accepted before; the very bundle that is kept
// already is fine. When it returns without error, the bundle is fsynced, and a
// crash at any moment leaves either the old one or the new.
func (k *Kept) Accept(data []byte, now time.Time) (*Policy, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	unlock, err := k.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()
	p, err := open(data, k.key)
	if err != nil {
		return nil, err
	}
	if err := k.ours(p); err != nil {
		return nil, err
	}
	highest, err := k.Serial()
	if err != nil {
		return nil, err
	}
	if p.serial == highest {
		if have, err := os.ReadFile(filepath.Join(k.dir, bundleFile)); err == nil && bytes.Equal(have, data) {
			return p, p.acceptable(highest, now)
		}
	}
	if err := p.acceptable(highest+1, now); err != nil {
		return nil, err
	}
	// The bundle first: its serial counts as well (see Serial), so that a crash
	// between the two leaves nothing to replay.
	if err := writeFile(k.dir, bundleFile, data); err != nil {
		return nil, err
	}
	if err := writeFile(k.dir, serialFile, strconv.AppendUint(nil, p.serial, 10)); err != nil {
		return nil, err
	}
	return p, nil
}

func (k *Kept) readSerial() (uint64, error) {
	b, err := os.ReadFile(filepath.Join(k.dir, serialFile))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, impound.Errorf(impound.KindUnavailable, "couldn't read the highest serial: %w", err).At(k.dir)
	}
	n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0, impound.Errorf(impound.KindInvalid, "the highest serial can't be read").At(filepath.Join(k.dir, serialFile)).WithCure("write the serial of the newest policy into it")
	}
	return n, nil
}

func (k *Kept) lock() (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(k.dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't open the lock of the policies: %w", err).At(k.dir)
	}
	for {
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX)
		if err != unix.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't lock the policies: %w", err).At(k.dir)
	}
	return func() { f.Close() }, nil
}

// writeFile puts data in place so that a crash leaves the old or the new file
// whole.
func writeFile(dir, name string, data []byte) (err error) {
	fail := func(err error) error {
		return impound.Errorf(impound.KindUnavailable, "couldn't keep the policy: %w", err).At(filepath.Join(dir, name)).WithCure("check space and permissions; the sensor goes on with the one that it has")
	}
	f, err := os.CreateTemp(dir, name+".new-*")
	if err != nil {
		return fail(err)
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err != nil {
		return fail(err)
	}
	if err = f.Sync(); err != nil {
		return fail(err)
	}
	if err = f.Close(); err != nil {
		return fail(err)
	}
	if err = os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return fail(err)
	}
	d, err := os.Open(dir)
	if err != nil {
		return fail(err)
	}
	defer d.Close()
	if err = d.Sync(); err != nil {
		return fail(err)
	}
	return nil
}
