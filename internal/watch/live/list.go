package live

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/polite"
	"github.com/impound/impound/internal/watch/source"
)

// The kinds of lists.
const (
	KindList  = "list"
	KindStdin = "stdin"
)

// List is a file of names, a name a line, that may grow; or a folder of them,
// into which new ones are put, such as daily lists of new registrations. What
// is packed is unpacked ([source.UnpackList]).
type List struct {
	id, path string
	url      string // the files are fetched from it into path, a folder
	client   *polite.Client
}

// NewList makes one from a file or folder.
func NewList(id, path string) *List { return &List{id: id, path: path} }

// NewFeed makes one of a feed at a URL, which is looked at on each pass and kept
// in folder while it is read.
func NewFeed(id, url, folder string, c *polite.Client) *List {
	return &List{id: id, path: folder, url: url, client: c}
}

// ID is the source's name.
func (l *List) ID() string { return l.id }

// Kind is KindList.
func (l *List) Kind() string { return KindList }

// Where is the path, or the URL without its query: a feed's key may stand there.
func (l *List) Where() string {
	if l.url != "" {
		where, _, _ := strings.Cut(l.url, "?")
		return where
	}
	return l.path
}

// mark is how far one file was read.
type mark struct {
	Size   int64     `json:"size"` // of the file as it was read
	Mod    time.Time `json:"mod"`
	Offset int64     `json:"offset"`         // in the unpacked content: what stands before it is in the queue
	Line   int64     `json:"line"`           // of what stands at Offset, from 1
	Tail   []byte    `json:"tail"`           // hash of the octets before Offset: is it the same file?
	Done   bool      `json:"done"`           // read to its end, or to where it is cut short
	Open   int64     `json:"open,omitempty"` // octets of a last line without a line feed that stand before Offset
}

type listCursor struct {
	Files map[string]*mark `json:"files"`
	ETag  string           `json:"etag,omitempty"`
	Mod   string           `json:"mod,omitempty"`
	Hash  []byte           `json:"hash,omitempty"` // of what a feed gave last
	Names int64            `json:"names"`
}

// maxFeed bounds a feed, which is held in memory while it is fetched.
const maxFeed = 32 << 20

// tailSize is how much of what was read a file is known again by.
const tailSize = 512

// Pass reads what is new.
func (l *List) Pass(ctx context.Context, s *Session) error {
	cur := listCursor{Files: map[string]*mark{}}
	if _, err := s.Cursor(&cur); err != nil {
		return err
	}
	if l.url != "" {
		if err := l.fetch(ctx, s, &cur); err != nil {
			return err
		}
	}
	files, err := listFiles(l.path)
	if err != nil {
		return err
	}
	changed := false
	for name := range cur.Files {
		if !slices.Contains(files, name) {
			delete(cur.Files, name) // gone: nothing more comes of it
			changed = true
		}
	}
	var faults []error
	read := false
	for _, name := range files {
		did, err := l.file(ctx, s, &cur, name)
		read = read || did
		if ctx.Err() != nil || impound.KindOf(err) == impound.KindConflict {
			return err
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	if changed && !read {
		if err := s.Commit(ctx, cur, l.place(cur), &Findings{}); err != nil {
			return err
		}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	return s.Idle(ctx)
}

func (l *List) place(cur listCursor) Place {
	return Place{Position: cur.Names, Verified: cur.Names, Target: -1}
}

// listFiles gives the files at path, sorted; of a folder those that don't look
// like half-written ones.
func listFiles(path string) ([]string, error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't look at the list: %w", err)
	}
	if !fi.IsDir() {
		return []string{path}, nil
	}
	es, err := os.ReadDir(path)
	if err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't look into the folder: %w", err)
	}
	var out []string
	for _, e := range es {
		n := e.Name()
		if e.Type().IsRegular() && !strings.HasPrefix(n, ".") && !strings.HasSuffix(n, ".part") && !strings.HasSuffix(n, ".tmp") && !strings.HasSuffix(n, "~") {
			out = append(out, filepath.Join(path, n))
		}
	}
	return out, nil
}

// quietTime is for how long a file must not have changed before its last line
// counts without a line feed: somebody may be writing it.
const quietTime = 5 * time.Second

func (l *List) file(ctx context.Context, s *Session, cur *listCursor, path string) (did bool, err error) {
	f, err := os.Open(path)
	if err != nil {
		return false, impound.Errorf(impound.KindUnavailable, "couldn't open the list: %w", err)
	}
	defer f.Close()
	fi, err := f.Stat()
	if err != nil {
		return false, impound.Errorf(impound.KindUnavailable, "couldn't look at the list: %w", err)
	}
	m := cur.Files[path]
	if m != nil && m.Done && m.Size == fi.Size() && m.Mod.Equal(fi.ModTime()) {
		return false, nil
	}
	if m == nil {
		m = &mark{Line: 1}
	}
	r, packed, err := unpack(f)
	if err != nil {
		return false, l.unreadable(path, err)
	}
	from := spot{at: m.Offset, line: m.Line}
	if m.Offset > 0 {
		var same bool
		from.tail, same, err = skipTo(r, m)
		if same && err == nil {
			r, from = l.again(r, from, m)
		}
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return false, fmt.Errorf("couldn't read %s: %w", path, err)
		}
		if !same { // another file of that name: read from its beginning
			m = &mark{Line: 1}
			from = spot{line: 1}
			if _, err := f.Seek(0, io.SeekStart); err != nil {
				return false, impound.Errorf(impound.KindUnavailable, "couldn't read the list: %w", err)
			}
			if r, packed, err = unpack(f); err != nil {
				return false, l.unreadable(path, err)
			}
		}
	}
	final := packed || s.r.cfg.Once || s.r.cfg.Now().Sub(fi.ModTime()) > quietTime || l.url != ""
	here := from
	commit := func(done bool) func(spot, *Findings) error {
		return func(p spot, f *Findings) error {
			h := sha256.Sum256(p.tail)
			*m = mark{Size: fi.Size(), Mod: fi.ModTime(), Offset: p.at, Line: p.line, Tail: h[:], Done: done}
			if i := bytes.LastIndexByte(p.tail, '\n'); !packed && i+1 < len(p.tail) && (i >= 0 || int64(len(p.tail)) == p.at) {
				m.Open = int64(len(p.tail) - i - 1)
			}
			cur.Files[path] = m
			cur.Names += f.Names
			here = p
			if l.url == "" && path != l.path {
				for i := range f.Events {
					f.Events[i].File = filepath.Base(path)
				}
			}
			return s.Commit(ctx, cur, l.place(*cur), f)
		}
	}
	err = s.stream(ctx, r, from, final, KindList+" "+l.id+" "+filepath.Base(path), commit(false))
	if ctx.Err() != nil || impound.KindOf(err) == impound.KindConflict {
		return true, err
	}
	cut := errors.Is(err, io.ErrUnexpectedEOF) || err != nil && packed
	if err != nil && !cut {
		return true, fmt.Errorf("couldn't read %s: %w", path, err)
	}
	// Read again only when it changes; a whole file, or one that is cut short.
	// What is left of a plain file's last line comes with what will be added.
	done := cut || final || m.Offset == fi.Size()
	if done {
		if cerr := commit(true)(here, &Findings{}); cerr != nil {
			return true, cerr
		}
	}
	if cut {
		return true, impound.Errorf(impound.KindInvalid, "the packed file is cut short or damaged after line %d: what stands before was screened, the rest when the file changes: %w", m.Line-1, err).At(path).WithCure("fetch it again")
	}
	return true, nil
}

// unreadable says which file it is that can't be unpacked, and what to do.
func (l *List) unreadable(path string, err error) error {
	out := impound.Errorf(impound.KindOf(err), "%w", err).At(path)
	var e *impound.Error
	if errors.As(err, &e) {
		c := *e
		c.Where = path
		out = &c
	}
	return out
}

// unpack looks through what a file is packed with.
func unpack(f *os.File) (r io.Reader, packed bool, err error) {
	return source.UnpackList(f)
}

// skipTo passes over what was read before, and says whether it is the same. What
// it gives is up to twice what a mark is known by.
func skipTo(r io.Reader, m *mark) (tail []byte, same bool, err error) {
	n := min(m.Offset, 2*tailSize)
	if _, err := io.CopyN(io.Discard, r, m.Offset-n); err != nil {
		return nil, false, noEOF(err)
	}
	b := make([]byte, n)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, false, noEOF(err)
	}
	h := sha256.Sum256(b[max(0, n-tailSize):])
	return b, bytes.Equal(h[:], m.Tail), nil
}

// again begins at the last line once more, when it was taken without a line feed
// and more of it came: it was half a name. from is behind it.
func (l *List) again(r io.Reader, from spot, m *mark) (io.Reader, spot) {
	tail, next := from.tail, make([]byte, 1)
	cutTail := func(b []byte) []byte { return b[max(0, len(b)-tailSize):] }
	from.tail = cutTail(tail)
	if m.Open == 0 || m.Open > int64(len(tail)) {
		return r, from
	}
	if n, _ := io.ReadFull(r, next); n == 0 {
		return r, from
	}
	if next[0] == '\n' { // it was whole
		return r, spot{from.at + 1, from.line, cutTail(append(slices.Clone(tail), '\n'))}
	}
	i := len(tail) - int(m.Open)
	return io.MultiReader(bytes.NewReader(append(slices.Clone(tail[i:]), next...)), r), spot{from.at - m.Open, from.line - 1, cutTail(tail[:i])}
}

// noEOF takes the end for what it is here: another, shorter file.
func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// fetch fetches a feed into the folder, when it gives another content than
// before. What was read of earlier ones is deleted.
func (l *List) fetch(ctx context.Context, s *Session, cur *listCursor) error {
	res, err := l.client.Get(ctx, polite.Request{URL: l.url, Max: maxFeed, ETag: cur.ETag, LastModified: cur.Mod})
	if errors.Is(err, polite.ErrTooLong) {
		return impound.Errorf(impound.KindInvalid, "%w", err).WithCure("have a program fetch it into a folder, and name the folder as the list")
	}
	if err != nil {
		return err
	}
	if err := os.MkdirAll(l.path, 0o700); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't make a folder for the feed: %w", err)
	}
	h := sha256.Sum256(res.Body)
	if res.Same || bytes.Equal(h[:], cur.Hash) {
		return nil
	}
	// Finished files go before the new one comes, and only they.
	for name, m := range cur.Files {
		if m.Done {
			if err := os.Remove(name); err != nil && !errors.Is(err, os.ErrNotExist) {
				return impound.Errorf(impound.KindUnavailable, "couldn't delete a feed that was read: %w", err)
			}
		}
	}
	name := filepath.Join(l.path, hex.EncodeToString(h[:8])+".feed")
	if err := writeFile(name, res.Body); err != nil {
		return err
	}
	cur.ETag, cur.Mod, cur.Hash = res.ETag, res.LastModified, h[:]
	return s.Commit(ctx, cur, l.place(*cur), &Findings{})
}

// writeFile writes a file whole or not at all.
func writeFile(name string, data []byte) error {
	f, err := os.CreateTemp(filepath.Dir(name), ".new-*")
	if err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't keep the feed: %w", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't keep the feed: %w", err)
	}
	return nil
}

// Stdin is a stream of names that can't be read twice. What was read and not yet
// committed when the process dies is lost; it is less than two seconds' worth.
type Stdin struct {
	id string
	r  io.Reader
}

// NewStdin makes one.
func NewStdin(id string, r io.Reader) *Stdin { return &Stdin{id, r} }

// ID is the source's name.
func (i *Stdin) ID() string { return i.id }

// Kind is KindStdin.
func (i *Stdin) Kind() string { return KindStdin }

// Where says so.
func (i *Stdin) Where() string { return "standard input" }

// Pass reads to the end.
func (i *Stdin) Pass(ctx context.Context, s *Session) error {
	names := s.State.Position
	err := s.stream(ctx, i.r, spot{line: 1}, true, "standard input", func(_ spot, f *Findings) error {
		names += f.Names
		return s.Commit(ctx, struct{}{}, Place{names, names, -1, time.Time{}}, f)
	})
	if err != nil {
		return err
	}
	return ErrEnded
}
