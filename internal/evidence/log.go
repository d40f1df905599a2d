package evidence

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/crashpoint"
	"github.com/impound/impound/internal/quickjson"
	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"
)

// Limits.
const (
	MaxEntry    = 64 << 10 // octets of an entry's line
	MaxArtefact = 64 << 20 // octets of an artefact; more is an error, never a cut
)

// lockWait is how long to wait for another process, which holds the lock for
// milliseconds, or for about a second per 100,000 entries when it verifies.
const lockWait = 30 * time.Second

// Names in the folder.
const (
	entriesFile    = "entries.jsonl"
	hashesFile     = "hashes"
	checkpointFile = "checkpoint"
	vkeyFile       = "log.vkey"
	lockFile       = "lock"
	artefactsDir   = "artefacts"
	incomingDir    = "incoming"
)

// Options of [Open].
type Options struct {
	// Origin names the log in its checkpoints; set when the log is made and
	// never changed. No space and no plus. Empty: the log's own, or for a new
	// one "impound/" and a random number.
	Origin  string
	KeyPath string           // private key, mode 0600; empty = ../keys/evidence.key beside the folder
	Now     func() time.Time // nil = time.Now
	Log     *slog.Logger     // nil = none; told of repairs

	hook func(step string) error
}

// Log is an open evidence log. It is safe for concurrent use, and other
// processes may have the same folder open. Appends of concurrent callers are
// written together.
type Log struct {
	dir string
	now func() time.Time
	log *slog.Logger
	key *signingKey

	lock, entries, hashes *os.File

	// hook, set by tests only, is called at each step of a write. It can kill
	// the process, or give the error that the step is to fail with.
	hook func(step string) error

	qmu   sync.Mutex
	queue []*pending

	cmu    sync.Mutex // held by the one goroutine that writes
	broken error      // an fsync failed: what is on the disk is unknown

	tiles   tiles
	lookups atomic.Int64

	rmu      sync.Mutex
	latest   time.Time // the latest that our clock showed, or the last entry says; under cmu
	repaired []string  // faults of the hashes file that were mended since the last write, to be said in an entry

	mu     sync.RWMutex // guards what follows
	closed bool
	busy   bool // this process is writing: nobody else can, and what it writes is not taken in from the disk
	checkp []byte
	head   Head
	tree   *tree      // proven against the checkpoint
	segs   []*segment // the index of what is before the tail
	tail   *tail
	found  found
}

type selector struct {
	field byte // c, o, n, w, t; i of an id, a of an artefact
	value string
}

// record is a line of the log.
type record struct {
	impound.Entry
	Salt string `json:"salt"`
}

// Open opens the log in dir, making it (and its key) when there is none. It
// proves the tree against the checkpoint, and the entries that the index does not
// hold yet; every other entry is proven when it is read. A log of which that does
// not verify is not opened. See the package comment for what it repairs.
func Open(dir string, o Options) (_ *Log, err error) {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, ioError("open", dir, err)
	}
	if o.KeyPath == "" {
		o.KeyPath = filepath.Join(filepath.Dir(dir), "keys", "evidence.key")
	}
	if strings.ContainsAny(o.Origin, "+ \t\r\n") {
		return nil, impound.Errorf(impound.KindInvalid, "“%.80s” can't name a log: no space and no plus may be in it", o.Origin).At("origin")
	}
	for _, d := range []string{dir, filepath.Join(dir, artefactsDir), filepath.Join(dir, incomingDir), filepath.Dir(o.KeyPath)} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			return nil, ioError("make the folder of", d, err)
		}
	}
	l := &Log{dir: dir, now: o.Now, log: o.Log, hook: o.hook, tail: newTail(0, 0)}
	defer func() {
		if err != nil {
			l.Close()
		}
	}()
	if l.lock, err = os.OpenFile(l.path(lockFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, ioError("open", l.path(lockFile), err)
	}
	if err := flock(l.lock, unix.LOCK_EX, lockWait); err != nil {
		return nil, lockError(l.path(lockFile), err)
	}
	defer unlock(l.lock)
	if err := l.openKey(o); err != nil {
		return nil, err
	}
	if l.entries, err = os.OpenFile(l.path(entriesFile), os.O_RDWR, 0); err != nil {
		return nil, ioError("open", l.path(entriesFile), err)
	}
	if l.hashes, err = os.OpenFile(l.path(hashesFile), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, ioError("open", l.path(hashesFile), err)
	}
	l.tiles.f = l.hashes
	if err := l.load(); err != nil {
		return nil, err
	}
	if err := l.clearIncoming(); err != nil {
		return nil, err
	}
	if err := l.commitLocked(); err != nil { // also sets torn lines aside
		return nil, err
	}
	return l, nil
}

func (l *Log) path(name string) string { return filepath.Join(l.dir, name) }

// openKey reads the key, or makes key and empty log. The key gets its final
// name last: a key without a log means that the log was taken away.
func (l *Log) openKey(o Options) error {
	k, err := readKey(o.KeyPath)
	haveLog, err2 := exists(l.path(checkpointFile))
	if err2 != nil {
		return ioError("open", l.path(checkpointFile), err2)
	}
	switch {
	case err == nil && !haveLog:
		return impound.Errorf(impound.KindInternal, "the log is gone: there is a key for it, but no checkpoint").At(l.path(checkpointFile)).
			WithCure("restore the folder from a backup; to begin a new log, move " + o.KeyPath + " away")
	case err == nil:
		b, err := readSmall(l.path(vkeyFile), maxCheckpoint)
		if err != nil {
			return ioError("read", l.path(vkeyFile), err)
		}
		if string(b) != k.text+"\n" {
			return impound.Errorf(impound.KindInternal, "the public key is not the one of the signing key").At(l.path(vkeyFile)).
				WithCure("the key " + o.KeyPath + " belongs to another log, or log.vkey was changed: restore them together from a backup")
		}
		if o.Origin != "" && o.Origin != k.Name() {
			return impound.Errorf(impound.KindInvalid, "this log is %q, not %q: a log keeps the name that it was made with", k.Name(), o.Origin).At(l.path(vkeyFile)).
				WithCure("set the origin back, or give another folder")
		}
		l.key = k
		return nil
	case !errors.Is(err, fs.ErrNotExist):
		if impound.KindOf(err) == impound.KindInvalid {
			return err
		}
		return ioError("read", o.KeyPath, err)
	}
	// No key: a new log, or one whose making was cut off.
	if st, err := os.Stat(l.path(entriesFile)); err == nil && st.Size() > 0 {
		return impound.Errorf(impound.KindUnavailable, "there is a log, but not the key to continue it").At(o.KeyPath).
			WithCure("restore the key from a backup; the log can be verified without it")
	}
	if haveLog {
		if _, err := os.Lstat(o.KeyPath + ".new"); err != nil {
			return impound.Errorf(impound.KindUnavailable, "there is a log, but not the key to continue it").At(o.KeyPath).
				WithCure("restore the key from a backup, or give another folder")
		}
	}
	if o.Origin == "" {
		var r [8]byte
		rand.Read(r[:])
		o.Origin = "impound/" + hex.EncodeToString(r[:])
	}
	if k, err = newKey(o.Origin); err != nil {
		return impound.Errorf(impound.KindInvalid, "couldn't make a key for the log %q: %w", o.Origin, err)
	}
	empty, err := signHead(k, Head{Origin: o.Origin, Root: emptyRoot})
	if err != nil {
		return impound.Errorf(impound.KindInternal, "couldn't sign: %w", err)
	}
	for _, f := range []struct {
		path string
		body []byte
	}{
		{o.KeyPath + ".new", []byte(k.skey + "\n")},
		{l.path(entriesFile), nil},
		{l.path(hashesFile), nil},
		{l.path(vkeyFile), []byte(k.text + "\n")},
		{l.path(checkpointFile), empty},
	} {
		if _, err := writeAtomic(f.path, f.body, 0o600); err != nil {
			return ioError("write", f.path, err)
		}
	}
	if err := os.Rename(o.KeyPath+".new", o.KeyPath); err != nil {
		return ioError("write", o.KeyPath, err)
	}
	for _, d := range []string{filepath.Dir(o.KeyPath), l.dir, filepath.Dir(l.dir)} {
		if err := syncDir(d); err != nil {
			return ioError("write", d, err)
		}
	}
	l.key = k
	return nil
}

var emptyRoot, _ = tlog.TreeHash(0, nil)

// leaf is what is read of a line to find it again.
type leaf struct {
	ID       string            `json:"id"`
	Type     impound.EntryType `json:"type"`
	What     string            `json:"what"`
	Case     string            `json:"case"`
	Order    string            `json:"order"`
	Name     string            `json:"name"`
	Intent   string            `json:"intent"`
	Artefact *struct {
		Hash string `json:"hash"`
		Size int64  `json:"size"`
	} `json:"artefact"`
}

func (f *leaf) selectors() []selector {
	s := []selector{{'t', string(f.Type)}, {'w', f.What}}
	for _, x := range []selector{{'c', f.Case}, {'o', f.Order}, {'n', f.Name}} {
		if x.value != "" {
			s = append(s, x)
		}
	}
	return s
}

// load reads what the checkpoint covers; the flock is held, and nobody else has
// the log yet.
func (l *Log) load() error {
	h, b, err := l.readHead()
	if err != nil {
		return err
	}
	rebuilt := false
	t, err := loadTree(l.hashes, h.Size)
	if err == nil {
		root, rerr := t.root()
		if err = rerr; err == nil && root != h.Root {
			err = errors.New("its root differed from the checkpoint's")
		}
	}
	for {
		if err != nil {
			if rebuilt {
				return l.tampered(hashesFile, err)
			}
			if t, err = l.rebuildHashes(h, err); err != nil {
				return err
			}
			rebuilt = true
		}
		segs, serr := l.loadSegments(t, nil, true)
		var tl *tail
		if err = serr; err == nil {
			tl = newTail(segsEnd(segs))
			_, err = l.scan(t, tl.from, tl.base, t.n, func(_, end int64, f *leaf) { tl.add(end, f) })
		}
		var he *hashesError
		if errors.As(err, &he) && !rebuilt {
			continue
		}
		if err != nil {
			return err
		}
		// What a crash left behind the last hash goes without a word.
		if st, err := l.hashes.Stat(); err == nil && st.Size() > tlog.StoredHashCount(t.n)*tlog.HashSize {
			l.hashes.Truncate(tlog.StoredHashCount(t.n) * tlog.HashSize)
		}
		l.clearIndex(segs)
		l.tree, l.segs, l.tail, l.head, l.checkp = t, segs, tl, h, b
		return nil
	}
}

func (l *Log) readHead() (Head, []byte, error) {
	b, err := readSmall(l.path(checkpointFile), maxCheckpoint)
	if err != nil {
		return Head{}, nil, ioError("read", l.path(checkpointFile), err)
	}
	if bytes.Equal(b, l.checkp) {
		return l.head, b, nil
	}
	h, err := parseHead(b, l.key.verifier)
	if err != nil {
		return h, b, l.tampered(checkpointFile, err)
	}
	return h, b, nil
}

// refresh takes in what other processes appended. l.mu is held for writing.
// It needs no flock: whatever a checkpoint covers was written before it.
func (l *Log) refresh() error {
	if l.closed {
		return impound.Errorf(impound.KindInternal, "the evidence log is closed")
	}
	if l.busy {
		return nil
	}
	h, b, err := l.readHead()
	if err != nil || bytes.Equal(b, l.checkp) {
		return err
	}
	have := l.tree.n
	if h.Size < have {
		return l.tampered(checkpointFile, fmt.Errorf("it covers %d entries, and covered %d before: the folder was set back", h.Size, have))
	}
	t := *l.tree // what is appended lies behind what readers see
	end := l.tail.end()
	leaves := make([]leaf, 0, h.Size-have)
	ends := make([]int64, 0, h.Size-have)
	r := bufio.NewReaderSize(io.NewSectionReader(l.entries, end, 1<<62-end), MaxEntry+1)
	for i := have; i < h.Size; i++ {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return l.tampered(entriesFile, fmt.Errorf("entry %d of %d can't be read: %w", i, h.Size, err))
		}
		end += int64(len(line))
		line = line[:len(line)-1]
		t.add(tlog.RecordHash(line))
		var f leaf
		if err := quickjson.Unmarshal(line, &f); err != nil {
			return l.tampered(entriesFile, fmt.Errorf("entry %d: %w", i, err))
		}
		leaves, ends = append(leaves, f), append(ends, end)
	}
	root, err := t.root()
	if err != nil || root != h.Root {
		return l.tampered(entriesFile, fmt.Errorf("the entries are not those that the checkpoint was signed over"))
	}
	for i := range leaves {
		l.tail.add(ends[i], &leaves[i])
	}
	l.tree, l.head, l.checkp = &t, h, b
	if len(l.tail.ends) >= 2<<segMin {
		// Whoever wrote them wrote their index too, as a rule.
		segs, err := l.loadSegments(l.tree, l.segs, false)
		if from, _ := segsEnd(segs); err == nil && from > l.tail.from {
			l.segs, l.tail = segs, l.tail.rest(from-l.tail.from)
		}
		l.foldTail()
	}
	return nil
}

// foldTail moves what it can of the tail into the index. l.mu is held for
// writing, or nobody else has the log.
func (l *Log) foldTail() {
	if len(l.tail.ends) < 1<<segMin {
		return
	}
	segs, tl, err := l.fold(l.tree, l.segs, l.tail)
	if err != nil {
		l.log.Warn("evidence: couldn't index the newest entries; they are kept in memory", "err", err)
		return
	}
	l.segs, l.tail = segs, tl
}

func (l *Log) tampered(file string, err error) error {
	return impound.Errorf(impound.KindInternal, "the evidence log does not verify: %w", err).At(l.path(file)).
		WithCure("run: impound evidence verify; it says where. Keep the folder as it is for study, and restore a backup")
}

func encodeHashes(hs []tlog.Hash) []byte {
	b := make([]byte, 0, len(hs)*tlog.HashSize)
	for _, h := range hs {
		b = append(b, h[:]...)
	}
	return b
}

// rebuildHashes makes the hashes file what the entries say, which must be what h
// was signed over. The flock is held.
func (l *Log) rebuildHashes(h Head, fault error) (*tree, error) {
	t := &tree{}
	r := bufio.NewReaderSize(io.NewSectionReader(l.entries, 0, 1<<62), 1<<20)
	tmp, err := os.OpenFile(l.path(hashesFile+".new"), os.O_RDWR|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return nil, ioError("write", l.path(hashesFile), err)
	}
	defer os.Remove(tmp.Name())
	defer tmp.Close()
	w := bufio.NewWriterSize(tmp, 1<<20)
	for i := range h.Size {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return nil, l.tampered(entriesFile, fmt.Errorf("entry %d of %d can't be read: %w", i, h.Size, err))
		}
		w.Write(encodeHashes(t.add(tlog.RecordHash(line[:len(line)-1]))))
	}
	root, err := t.root()
	if err != nil || root != h.Root {
		return nil, l.tampered(entriesFile, errors.New("the entries are not those that the checkpoint was signed over"))
	}
	if err := w.Flush(); err != nil {
		return nil, ioError("write", l.path(hashesFile), err)
	}
	// Into the file that others have open, not in its place.
	if _, err := tmp.Seek(0, io.SeekStart); err != nil {
		return nil, ioError("write", l.path(hashesFile), err)
	}
	if _, err := io.Copy(io.NewOffsetWriter(l.hashes, 0), tmp); err != nil {
		return nil, ioError("write", l.path(hashesFile), err)
	}
	if err := l.hashes.Truncate(tlog.StoredHashCount(h.Size) * tlog.HashSize); err != nil {
		return nil, ioError("write", l.path(hashesFile), err)
	}
	if err := l.hashes.Sync(); err != nil {
		return nil, ioError("write", l.path(hashesFile), err)
	}
	l.sayRepaired(fault.Error())
	return t, nil
}

func (l *Log) sayRepaired(fault string) {
	l.log.Warn("evidence: the hashes were damaged and were made again from the entries", "what", fault)
	l.rmu.Lock()
	l.repaired = append(l.repaired, fault)
	l.rmu.Unlock()
}

// leafHash gives the proven hash of entry i, where lines of its tile can be had
// by where. When the hashes file doesn't hold what the tree says, the tile is made
// again from the entries.
func (l *Log) leafHash(t *tree, i int64, where func(i int64) (from, to int64, err error)) (tlog.Hash, error) {
	h, err := l.tiles.leaf(t, i)
	if err == nil {
		return h, nil
	}
	k := i / tileSize
	var own tree
	var octets []byte
	for j := k * tileSize; j < (k+1)*tileSize; j++ {
		line, lerr := l.lineAt(j, where)
		if lerr != nil {
			return h, lerr
		}
		octets = append(octets, encodeHashes(own.add(tlog.RecordHash(line)))...)
	}
	if own.high[0][0] != t.high[0][k] {
		return h, l.tampered(entriesFile, fmt.Errorf("entries %d to %d, or their hashes, were changed: %w", k*tileSize, (k+1)*tileSize-1, err))
	}
	if _, werr := l.hashes.WriteAt(octets, tlog.StoredHashIndex(0, k*tileSize)*tlog.HashSize); werr != nil {
		return h, ioError("write", l.path(hashesFile), werr)
	}
	l.sayRepaired(err.Error())
	return l.tiles.leaf(t, i)
}

// pending is one caller's entries on the way.
type pending struct {
	entries []impound.Entry
	staged  *staged // the artefact of a Capture
	idx     []int64
	err     error
	done    chan struct{}
}

// Append adds e and gives its index. When it returns nil the entry is on the
// disk under a signed checkpoint. An entry whose ID is in the log already is
// not added: the index of the first is given (KindConflict when the two speak
// of different things). An empty ID is assigned; a zero At is now. A result
// must name an intent of the log, and an artefact must have been captured.
func (l *Log) Append(ctx context.Context, e impound.Entry) (int64, error) {
	idx, err := l.AppendAll(ctx, []impound.Entry{e})
	if err != nil {
		return 0, err
	}
	return idx[0], nil
}

// AppendAll is Append for several entries: all or none, in this order, with
// one wait for the disk.
func (l *Log) AppendAll(ctx context.Context, es []impound.Entry) ([]int64, error) {
	if len(es) == 0 {
		return nil, nil
	}
	p := &pending{entries: slices.Clone(es)}
	err := l.submit(ctx, p)
	return p.idx, err
}

// submit queues p and waits until somebody, perhaps this goroutine, wrote it
// with whatever else was queued. Once queued it is not given up.
func (l *Log) submit(ctx context.Context, p *pending) error {
	if err := ctx.Err(); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't append to the evidence log: %w", err)
	}
	l.mu.RLock()
	closed := l.closed
	l.mu.RUnlock()
	if closed {
		return impound.Errorf(impound.KindInternal, "the evidence log is closed")
	}
	p.done = make(chan struct{})
	l.qmu.Lock()
	l.queue = append(l.queue, p)
	l.qmu.Unlock()
	l.cmu.Lock()
	defer l.cmu.Unlock()
	select {
	case <-p.done: // the one before wrote it too
		return p.err
	default:
	}
	l.qmu.Lock()
	batch := l.queue
	l.queue = nil
	l.qmu.Unlock()
	err := l.commit(batch)
	for _, q := range batch {
		if err != nil && q.err == nil {
			q.err = err
		}
		if q.err != nil {
			q.idx = nil
		}
		close(q.done)
	}
	return p.err
}

func (l *Log) commit(batch []*pending) error {
	if err := flock(l.lock, unix.LOCK_EX, lockWait); err != nil {
		return lockError(l.path(lockFile), err)
	}
	defer unlock(l.lock)
	return l.commitLocked(batch...)
}

// clockSlack is by how much a clock may go back without a word: what keeps clocks
// right does so by less.
const clockSlack = 5 * time.Minute

// clockBack gives an entry that says so when our clock shows a time well before
// one that the log holds: the order of entries is proven, their times are not,
// and whoever reads them is to know where they can't be true. It is said once for
// each step back.
func (l *Log) clockBack() *impound.Entry {
	now := l.now().UTC().Round(0)
	if l.latest.IsZero() && l.tree.n > 0 {
		if last, err := l.entry(l.tree.n - 1); err == nil {
			l.latest = last.At
		}
	}
	before := l.latest
	if l.latest = now; before.IsZero() || now.After(before.Add(-clockSlack)) {
		if before.After(now) {
			l.latest = before
		}
		return nil
	}
	return &impound.Entry{Type: impound.EntrySystem, By: "system", At: now, What: "evidence.clock-back",
		Detail: map[string]string{"was": before.Format(time.RFC3339), "is": now.Format(time.RFC3339), "back": before.Sub(now).Round(time.Second).String()}}
}

// commitLocked writes the batch; the caller holds the flock and l.cmu (or is
// Open). It sets p.idx or p.err of each; its own error is everyone's.
func (l *Log) commitLocked(batch ...*pending) error {
	if l.broken != nil {
		return l.broken
	}
	l.mu.Lock()
	err := l.refresh()
	l.busy = err == nil
	l.mu.Unlock()
	if err != nil {
		return err
	}
	defer func() {
		l.mu.Lock()
		l.busy = false
		l.mu.Unlock()
	}()
	// From here on nobody else changes what l.mu guards; readers may read it.
	b := l.newBatch()
	torn, err := l.setAside(b)
	if err != nil {
		return err
	}
	if torn != nil {
		defer torn.staged.remove()
		batch = append([]*pending{torn}, batch...)
	}
	l.rmu.Lock()
	repaired := l.repaired
	l.rmu.Unlock()
	for _, fault := range repaired {
		batch = append([]*pending{{entries: []impound.Entry{{Type: impound.EntrySystem, By: "system", What: "evidence.repair", Detail: map[string]string{"file": hashesFile, "fault": fault}}}}}, batch...)
	}
	if back := l.clockBack(); back != nil {
		batch = append([]*pending{{entries: []impound.Entry{*back}}}, batch...)
	}
	for _, p := range batch {
		p.err = b.add(p)
		if p == torn && p.err != nil { // it would be lost
			return p.err
		}
	}
	if len(b.leaves) == 0 {
		return nil
	}
	if err := b.linkArtefacts(); err != nil {
		b.unlinkArtefacts()
		return err
	}
	if err := l.at("artefacts linked"); err != nil {
		b.unlinkArtefacts()
		return ioError("write", l.path(artefactsDir), err)
	}
	durable, err := l.write(b)
	if err != nil {
		if !durable {
			b.unlinkArtefacts()
		}
		return err
	}
	l.rmu.Lock()
	l.repaired = l.repaired[len(repaired):]
	l.rmu.Unlock()
	return nil
}

// batch is what one write adds.
type batch struct {
	l      *Log
	n      int64 // entries before it
	end    int64 // octets of entries.jsonl before it
	lines  []byte
	ends   []int64
	tree   tree // with those before it
	hashes []tlog.Hash
	leaves []leaf
	ids    map[string]int64
	staged map[string]*staged
	linked []string
	torn   []byte // what lay beyond the checkpoint
}

func (l *Log) newBatch() *batch {
	return &batch{l: l, n: l.tree.n, end: l.tail.end(), tree: *l.tree, ids: map[string]int64{}, staged: map[string]*staged{}}
}

// find gives the index of an entry of the log or of the batch.
func (b *batch) find(id string) (int64, bool, error) {
	if i, ok := b.ids[id]; ok {
		return i, true, nil
	}
	return b.l.own(selector{'i', id})
}

// own gives the first entry that has s, of what is known. Whoever writes may call
// it, for then nobody changes what is known.
func (l *Log) own(s selector) (int64, bool, error) {
	c, err := l.lookUp(s)
	if err != nil {
		return 0, false, err
	}
	return l.first(s, c, l.tail.from)
}

func (b *batch) leaf(i int64) (leaf, error) {
	if i >= b.n {
		return b.leaves[i-b.n], nil
	}
	line, err := b.l.line(i)
	if err != nil {
		return leaf{}, err
	}
	var f leaf
	if err := quickjson.Unmarshal(line, &f); err != nil {
		return leaf{}, b.l.tampered(entriesFile, err)
	}
	return f, nil
}

// add adds the entries of p, all or none.
func (b *batch) add(p *pending) (err error) {
	lines, ends, tree, hashes, leaves := b.lines, b.ends, b.tree, b.hashes, b.leaves
	var added []string
	defer func() {
		if err != nil {
			b.lines, b.ends, b.tree, b.hashes, b.leaves = lines, ends, tree, hashes, leaves
			for _, id := range added {
				delete(b.ids, id)
			}
			p.idx = nil
		}
	}()
	for k := range p.entries {
		e := p.entries[k]
		line, f, err := b.l.encode(&e)
		if err != nil {
			return err
		}
		if i, ok, err := b.find(e.ID); err != nil {
			return err
		} else if ok {
			old, err := b.leaf(i)
			if err != nil {
				return err
			}
			if !sameSubject(&old, &f) {
				return impound.Errorf(impound.KindConflict, "entry %d has the id %q already, and speaks of another thing (%s, not %s)", i, e.ID, old.What, e.What).At("id").
					WithCure("give every act an id of its own; repeat an id only to repeat the same entry")
			}
			p.idx = append(p.idx, i)
			continue
		}
		if e.Type == impound.EntryResult {
			i, ok, err := b.find(e.Intent)
			if err != nil {
				return err
			}
			if ok {
				in, err := b.leaf(i)
				if err != nil {
					return err
				}
				ok = in.Type == impound.EntryIntent
			}
			if !ok {
				return impound.Errorf(impound.KindInvalid, "the result %s names the intent %q, which is not in the log", e.What, e.Intent).At("intent").
					WithCure("append the intent before the act, and name its id in the result")
			}
		}
		if e.Artefact != nil {
			_, have, err := b.l.own(selector{'a', e.Artefact.Hash})
			if err != nil {
				return err
			}
			if !have && b.staged[e.Artefact.Hash] == nil && (p.staged == nil || p.staged.hash != e.Artefact.Hash) {
				return impound.Errorf(impound.KindInvalid, "the entry %s names the artefact %s, which was not captured", e.What, e.Artefact.Hash).At("artefact").
					WithCure("capture the bytes first")
			}
		}
		i := b.n + int64(len(b.leaves))
		b.hashes = append(b.hashes, b.tree.add(tlog.RecordHash(line))...)
		b.lines = append(append(b.lines, line...), '\n')
		b.ends = append(b.ends, b.end+int64(len(b.lines)))
		b.leaves = append(b.leaves, f)
		b.ids[e.ID] = i
		added = append(added, e.ID)
		p.idx = append(p.idx, i)
	}
	if p.staged != nil && len(added) > 0 {
		b.staged[p.staged.hash] = p.staged
	}
	return nil
}

// sameSubject says whether two entries with one id can be the same act told
// twice. Who told it, when, and in what words may differ.
func sameSubject(a, b *leaf) bool {
	var ah, bh string
	if a.Artefact != nil {
		ah = a.Artefact.Hash
	}
	if b.Artefact != nil {
		bh = b.Artefact.Hash
	}
	return a.Type == b.Type && a.What == b.What && a.Case == b.Case && a.Order == b.Order && a.Name == b.Name && a.Intent == b.Intent && ah == bh
}

// encode completes and checks e, and gives its line.
func (l *Log) encode(e *impound.Entry) ([]byte, leaf, error) {
	bad := func(where, format string, args ...any) error {
		return impound.Errorf(impound.KindInvalid, format, args...).At(where)
	}
	var salt [16]byte
	rand.Read(salt[:])
	if e.ID == "" {
		e.ID = "e-" + rand.Text()
	}
	if e.At.IsZero() {
		e.At = l.now()
	}
	e.At = e.At.UTC().Round(0)
	switch e.Type {
	case impound.EntryArtefact, impound.EntryDecision, impound.EntryIntent, impound.EntryResult, impound.EntrySystem:
	default:
		return nil, leaf{}, bad("type", "an entry can't be of type %q", e.Type)
	}
	switch {
	case e.What == "":
		return nil, leaf{}, bad("what", "an entry must say what it speaks of")
	case e.By == "":
		return nil, leaf{}, bad("by", "the entry %s must say whose it is (a person, or \"system\")", e.What)
	case e.Type == impound.EntryArtefact && e.Artefact == nil:
		return nil, leaf{}, bad("artefact", "the entry %s is of type artefact and names none", e.What)
	case e.At.Year() < 1970 || e.At.Year() > 9999:
		return nil, leaf{}, bad("at", "the entry %s is dated %d", e.What, e.At.Year())
	}
	if e.Artefact != nil {
		a := *e.Artefact
		a.At = a.At.UTC().Round(0)
		e.Artefact = &a
	}
	line, err := impound.CanonicalJSON(record{*e, base64.RawURLEncoding.EncodeToString(salt[:])})
	if err != nil {
		return nil, leaf{}, err
	}
	if len(line) >= MaxEntry {
		return nil, leaf{}, bad("detail", "the entry %s is %d octets long: at most %d", e.What, len(line), MaxEntry-1).(*impound.Error).
			WithCure("capture what is long as an artefact, and name it")
	}
	var f leaf
	if err := quickjson.Unmarshal(line, &f); err != nil {
		return nil, leaf{}, impound.Errorf(impound.KindInternal, "couldn't encode: %w", err)
	}
	e.ID = f.ID // as it reads back: what was not UTF-8 was replaced
	return line, f, nil
}

// write puts the batch on the disk and into the tree. durable says whether the
// entries may be in the log in spite of the error.
func (l *Log) write(b *batch) (durable bool, err error) {
	size := b.n + int64(len(b.leaves))
	root, err := b.tree.root()
	if err != nil {
		return false, impound.Errorf(impound.KindInternal, "couldn't hash: %w", err)
	}
	h := Head{Origin: l.key.Name(), Size: size, Root: root}
	cp, err := signHead(l.key, h)
	if err != nil {
		return false, impound.Errorf(impound.KindInternal, "couldn't sign the checkpoint: %w", err)
	}
	hashOff := tlog.StoredHashCount(b.n) * tlog.HashSize
	undo := func() {
		l.entries.Truncate(b.end)
		l.entries.WriteAt(b.torn, b.end) // still to be set aside
		l.hashes.Truncate(hashOff)
	}
	if b.torn != nil {
		if err := l.entries.Truncate(b.end); err != nil {
			return false, ioError("write", l.path(entriesFile), err)
		}
	}
	if _, err := l.entries.WriteAt(b.lines, b.end); err != nil {
		undo()
		return false, ioError("write", l.path(entriesFile), err)
	}
	if err := l.at("entries written"); err != nil {
		undo()
		return false, ioError("write", l.path(entriesFile), err)
	}
	hb := encodeHashes(b.hashes)
	if _, err := l.hashes.WriteAt(hb, hashOff); err != nil {
		undo()
		return false, ioError("write", l.path(hashesFile), err)
	}
	if err := l.hashes.Truncate(hashOff + int64(len(hb))); err != nil { // what a crash left behind
		undo()
		return false, ioError("write", l.path(hashesFile), err)
	}
	if err := l.at("hashes written"); err != nil {
		undo()
		return false, ioError("write", l.path(hashesFile), err)
	}
	second := make(chan error, 1)
	go func() { second <- l.hashes.Sync() }()
	err = l.entries.Sync()
	if err2 := <-second; err == nil {
		err = err2
	}
	if err == nil {
		err = l.at("synced")
	}
	if err != nil {
		// After a failed fsync nobody knows what is on the disk, and a second
		// one may say yes to what was lost.
		return false, l.breakDown(entriesFile, err)
	}
	renamed, err := writeAtomic(l.path(checkpointFile), cp, 0o600)
	if err == nil {
		err = l.at("checkpoint in place")
	}
	if err != nil {
		if renamed {
			return true, l.breakDown(checkpointFile, err)
		}
		undo()
		return false, ioError("write", l.path(checkpointFile), err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tree, l.head, l.checkp = &b.tree, h, cp
	for i := range b.leaves {
		l.tail.add(b.ends[i], &b.leaves[i])
	}
	l.foldTail()
	return true, nil
}

// at calls the tests' hook.
func (l *Log) at(step string) error {
	crashpoint.Pass("evidence: " + step)
	if l.hook == nil {
		return nil
	}
	return l.hook(step)
}

func (l *Log) breakDown(file string, err error) error {
	l.broken = impound.Errorf(impound.KindUnavailable, "the disk failed while the evidence log was written, and nothing more is written: %w", err).At(l.path(file)).
		WithCure("check the disk, then start again: acknowledged entries are safe, and what was not is set aside")
	return l.broken
}

// setAside stages what lies beyond the checkpoint as an artefact, and gives the
// entry that says so; nil when there is nothing.
func (l *Log) setAside(b *batch) (*pending, error) {
	st, err := l.entries.Stat()
	if err != nil {
		return nil, ioError("read", l.path(entriesFile), err)
	}
	if st.Size() < b.end {
		return nil, l.tampered(entriesFile, errors.New("it was cut behind our back"))
	}
	if st.Size() == b.end {
		return nil, nil
	}
	torn := make([]byte, min(st.Size()-b.end, MaxArtefact))
	if _, err := readFullAt(l.entries, torn, b.end); err != nil {
		return nil, ioError("read", l.path(entriesFile), err)
	}
	s, err := l.stage(torn)
	if err != nil {
		return nil, err
	}
	b.torn = torn
	now := l.now()
	a := impound.Artefact{Hash: s.hash, Size: int64(len(torn)), Kind: "torn", Media: "application/octet-stream", Source: entriesFile, Tool: "impound", By: "system", At: now}
	l.log.Warn("evidence: set aside what lay beyond the checkpoint and was never acknowledged", "octets", st.Size()-b.end, "artefact", s.hash)
	return &pending{staged: s, entries: []impound.Entry{{
		Type: impound.EntryArtefact, At: now, By: "system", What: "evidence.torn", Artefact: &a,
		Detail: map[string]string{"why": "lines beyond the checkpoint, never acknowledged", "octets": fmt.Sprint(st.Size() - b.end)},
	}}}, nil
}

// Close closes the log; appends that run are waited for.
func (l *Log) Close() error {
	l.cmu.Lock()
	defer l.cmu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return nil
	}
	l.closed = true
	for _, f := range []*os.File{l.entries, l.hashes, l.lock} {
		if f != nil {
			f.Close()
		}
	}
	return nil
}

func flock(f *os.File, how int, wait time.Duration) error {
	deadline := time.Now().Add(wait)
	for pause := 200 * time.Microsecond; ; pause = min(2*pause, 20*time.Millisecond) {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
			continue
		case !errors.Is(err, unix.EWOULDBLOCK) || time.Now().After(deadline):
			return err
		}
		time.Sleep(pause)
	}
}

func unlock(f *os.File) { unix.Flock(int(f.Fd()), unix.LOCK_UN) }

func lockError(path string, err error) error {
	e := impound.Errorf(impound.KindUnavailable, "couldn't lock the evidence log: %w", err).At(path)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return e.WithCure("another process holds it for longer than " + lockWait.String() + ": see which with: fuser " + path)
	}
	return e.WithCure("put the folder on a local disk that knows flock")
}

// ioError says in plain words what the system means.
func ioError(do, path string, err error) error {
	var e *impound.Error
	if errors.As(err, &e) {
		return err
	}
	e = impound.Errorf(impound.KindUnavailable, "couldn't %s the evidence log: %w", do, err).At(path)
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return e.WithCure("the disk is full: free some space and try again; what was acknowledged is safe")
	case errors.Is(err, syscall.EROFS), errors.Is(err, fs.ErrPermission):
		return e.WithCure("the folder can't be written: check owner and mode of " + filepath.Dir(path))
	case errors.Is(err, fs.ErrNotExist):
		return e.WithCure("the file is missing: restore the folder from a backup")
	case errors.Is(err, syscall.EIO):
		return e.WithCure("the disk gave an error: look at dmesg, and check the disk before going on")
	}
	return e
}

func readFullAt(r io.ReaderAt, b []byte, off int64) (int, error) {
	n, err := r.ReadAt(b, off)
	if n == len(b) {
		return n, nil
	}
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

var _ note.Signer = (*signingKey)(nil)
