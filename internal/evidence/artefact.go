package evidence

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/impound/impound"
	"golang.org/x/sys/unix"
)

// Capture stores body and appends an entry that says what it is; both are on
// the disk when it returns nil. Hash and Size are filled in (a Hash that was
// given must fit), a zero At is now, an empty Media is
// application/octet-stream. Kind, Source, Tool and By must be given. Capturing
// the same bytes again with the same kind, name, case, source and time adds
// nothing; with others it adds an entry and not a second copy.
func (l *Log) Capture(ctx context.Context, a impound.Artefact, body []byte) (impound.Artefact, error) {
	switch a.Kind {
	case KindCheckpoint, KindCosigned, KindTimestamp:
		return a, impound.Errorf(impound.KindInvalid, "an artefact of kind %s is made by sealing the log alone", a.Kind).At("kind").WithCure("give it another kind, or run: impound evidence seal")
	}
	return l.capture(ctx, a, body)
}

func (l *Log) capture(ctx context.Context, a impound.Artefact, body []byte) (impound.Artefact, error) {
	if len(body) > MaxArtefact {
		return a, impound.Errorf(impound.KindInvalid, "the %s artefact is %d octets long: at most %d are kept, and none is cut", a.Kind, len(body), MaxArtefact).At(a.Source)
	}
	for _, f := range []struct{ name, value string }{{"kind", a.Kind}, {"source", a.Source}, {"tool", a.Tool}, {"by", a.By}} {
		if f.value == "" {
			return a, impound.Errorf(impound.KindInvalid, "an artefact must say its %s", f.name).At(f.name)
		}
	}
	hash := impound.HashBytes(body)
	if a.Hash != "" && a.Hash != hash {
		return a, impound.Errorf(impound.KindInvalid, "the artefact is said to be %s, but is %s", a.Hash, hash).At(a.Source)
	}
	a.Hash, a.Size = hash, int64(len(body))
	if a.Media == "" {
		a.Media = "application/octet-stream"
	}
	if a.At.IsZero() {
		a.At = l.now()
	}
	a.At = a.At.UTC().Round(0)
	id, err := impound.HashOf([]string{a.Hash, a.Kind, a.Name.String(), a.Case, a.Source, a.At.Format(time.RFC3339Nano)})
	if err != nil {
		return a, err
	}
	e := impound.Entry{
		ID: "a-" + strings.TrimPrefix(id, "sha256:")[:32], Type: impound.EntryArtefact, At: a.At, By: a.By,
		What: "capture." + a.Kind, Case: a.Case, Name: a.Name, Artefact: &a,
	}
	p := &pending{entries: []impound.Entry{e}}
	_, have, err := l.find(selector{'a', hash})
	if err != nil {
		return a, err
	}
	if have { // kept already: but is it still there?
		if _, err := l.Read(hash); err != nil {
			return a, err
		}
	} else {
		if p.staged, err = l.stage(body); err != nil {
			return a, err
		}
		defer p.staged.remove()
		if err := l.at("artefact staged"); err != nil {
			return a, ioError("write", l.path(incomingDir), err)
		}
	}
	return a, l.submit(ctx, p)
}

// staged is a capture's file in incoming/, on the disk. While it lives its
// process holds an flock on it, so that another's Open leaves it alone.
type staged struct {
	f    *os.File
	hash string
}

func (l *Log) stage(body []byte) (_ *staged, err error) {
	hash := impound.HashBytes(body)
	path := filepath.Join(l.path(incomingDir), strings.TrimPrefix(hash, "sha256:")+"."+rand.Text()[:8])
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o400)
	if err != nil {
		return nil, ioError("write", path, err)
	}
	s := &staged{f, hash}
	if err = flock(f, unix.LOCK_EX, lockWait); err == nil {
		if _, err = f.Write(body); err == nil {
			if err = f.Sync(); err == nil {
				err = syncDir(l.path(incomingDir))
			}
		}
	}
	if err != nil {
		s.remove()
		return nil, ioError("write", path, err)
	}
	return s, nil
}

func (s *staged) remove() {
	os.Remove(s.f.Name())
	s.f.Close()
}

// artefactPath gives the file of a hash "sha256:abcdef...".
func (l *Log) artefactPath(hash string) string {
	hx := strings.TrimPrefix(hash, "sha256:")
	return filepath.Join(l.path(artefactsDir), hx[:2], hx[2:])
}

func validHash(h string) bool {
	hx, ok := strings.CutPrefix(h, "sha256:")
	if !ok || len(hx) != 2*sha256.Size || strings.ToLower(hx) != hx {
		return false
	}
	_, err := hex.DecodeString(hx)
	return err == nil
}

// linkArtefacts gives the staged files their names; the log's lock is held.
func (b *batch) linkArtefacts() error {
	dirs := map[string]bool{}
	for hash, s := range b.staged {
		path := b.l.artefactPath(hash)
		dir := filepath.Dir(path)
		if err := os.Mkdir(dir, 0o700); err == nil {
			dirs[filepath.Dir(dir)] = true
		} else if !errors.Is(err, fs.ErrExist) {
			return ioError("write", dir, err)
		}
		if _, ok, err := b.l.own(selector{'a', hash}); err != nil {
			return err
		} else if ok {
			continue // another process captured it meanwhile
		}
		// No entry names the file, so whatever has its name is what a crash
		// left, and may be incomplete.
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return ioError("write", path, err)
		}
		b.linked = append(b.linked, path)
		err := os.Link(s.f.Name(), path)
		if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.ENOTSUP) || errors.Is(err, syscall.ENOSYS) {
			err = copySync(path, s.f) // a file system without links
		}
		if err != nil {
			return ioError("write", path, err)
		}
		dirs[dir] = true
	}
	for d := range dirs {
		if err := syncDir(d); err != nil {
			return ioError("write", d, err)
		}
	}
	return nil
}

func copySync(path string, from *os.File) error {
	st, err := from.Stat()
	if err != nil {
		return err
	}
	body := make([]byte, st.Size())
	if _, err := readFullAt(from, body, 0); err != nil {
		return err
	}
	_, err = writeAtomic(path, body, 0o400)
	return err
}

func (b *batch) unlinkArtefacts() {
	for _, p := range b.linked {
		os.Remove(p)
	}
}

// clearIncoming removes what captures that never returned left behind: their
// staged file and, when no entry names it, the artefact. The lock is held.
func (l *Log) clearIncoming() error {
	des, err := os.ReadDir(l.path(incomingDir))
	if err != nil {
		return ioError("read", l.path(incomingDir), err)
	}
	for _, de := range des {
		path := filepath.Join(l.path(incomingDir), de.Name())
		f, err := os.Open(path)
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				continue
			}
			return ioError("read", path, err)
		}
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			hx, _, _ := strings.Cut(de.Name(), ".")
			if hash := "sha256:" + hx; validHash(hash) {
				if _, named, err := l.own(selector{'a', hash}); err == nil && !named {
					os.Remove(l.artefactPath(hash))
				}
			}
			os.Remove(path)
		}
		f.Close()
	}
	return nil
}

// Read gives the bytes of an artefact that an entry names, checked against the
// hash; KindNotFound when none does.
func (l *Log) Read(hash string) ([]byte, error) {
	_, ok, err := l.find(selector{'a', hash})
	if err != nil {
		return nil, err
	}
	if !ok || !validHash(hash) {
		return nil, impound.Errorf(impound.KindNotFound, "no such artefact: %.80s", hash)
	}
	path := l.artefactPath(hash)
	b, err := readSmall(path, MaxArtefact)
	if err != nil {
		return nil, ioError("read an artefact of", path, err)
	}
	if impound.HashBytes(b) != hash {
		return nil, impound.Errorf(impound.KindInternal, "the artefact was changed: its bytes no longer have its hash").At(path).
			WithCure("keep the file for study, and restore it from a backup")
	}
	return b, nil
}
