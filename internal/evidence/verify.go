package evidence

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/parallel"
	"github.com/impound/impound/internal/quickjson"
	"golang.org/x/mod/sumdb/tlog"
	"golang.org/x/sys/unix"
)

// Problem is one fault, or one thing worth knowing, and where it is.
type Problem struct {
	File  string `json:"file"`  // in the folder or bundle
	Entry int64  `json:"entry"` // index in the log, -1 when it is no entry's
	Msg   string `json:"msg"`
}

// String gives "file, entry 7: message".
func (p Problem) String() string {
	if p.Entry >= 0 {
		return fmt.Sprintf("%s, entry %d: %s", p.File, p.Entry, p.Msg)
	}
	return p.File + ": " + p.Msg
}

// OpenIntent is an act that was begun and whose result is not in the log: it
// runs, or was cut off and must be looked at.
type OpenIntent struct {
	Index int64  `json:"index"`
	ID    string `json:"id"`
	What  string `json:"what"`
}

// Report is what a verification found.
type Report struct {
	Origin    string       `json:"origin"`
	Key       string       `json:"key"`             // in note's spelling: compare it with one that you trust
	Case      string       `json:"case,omitempty"`  // of a bundle
	Size      int64        `json:"size"`            // entries that the checkpoint covers
	Root      string       `json:"root"`            // that it was signed over, base64
	Entries   int64        `json:"entries"`         // that were looked at
	Artefacts int          `json:"artefacts"`       // that were looked at
	Bytes     int64        `json:"bytes"`           // of entries and artefacts
	Open      []OpenIntent `json:"open"`            // information
	Seals     []Seal       `json:"seals,omitempty"` // what witnesses and timestamp authorities attest, proven
	Notes     []Problem    `json:"notes"`           // information: what a crash left, which is no evidence
	Problems  []Problem    `json:"problems"`        // at most [MaxProblems], then a last one that counts
	More      int          `json:"more,omitempty"`  // problems beyond those
}

// MaxProblems bounds the list of a report.
const MaxProblems = 200

// OK says whether nothing is wrong.
func (r Report) OK() bool { return len(r.Problems) == 0 }

// Err gives the problems as an error, nil when there are none.
func (r Report) Err() error {
	if r.OK() {
		return nil
	}
	e := impound.Errorf(impound.KindInvalid, "the evidence does not verify: %d problems, the first: %s", len(r.Problems)+r.More, r.Problems[0].Msg).At(r.Problems[0].File)
	if i := r.Problems[0].Entry; i >= 0 {
		e.Where = fmt.Sprintf("%s, entry %d", e.Where, i)
	}
	return e.WithCure("keep it as it is for study, and compare with a backup")
}

func (r *Report) problem(file string, entry int64, format string, args ...any) {
	file = plain(file)
	if len(r.Problems) >= MaxProblems {
		r.More++
		return
	}
	r.Problems = append(r.Problems, Problem{file, entry, fmt.Sprintf(format, args...)})
}

func (r *Report) note(file string, format string, args ...any) {
	r.Notes = append(r.Notes, Problem{plain(file), -1, fmt.Sprintf(format, args...)})
}

// plain makes a name from a hostile folder or zip fit to be shown.
func plain(file string) string {
	if q := strconv.Quote(file); q != `"`+file+`"` || len(file) > 300 {
		return q[:min(len(q), 300)]
	}
	return file
}

// VerifyOptions say what else must hold.
type VerifyOptions struct {
	// Key is the key that the log must have, in note's spelling. Empty: the
	// folder's own, and then the folder proves only that it is whole, not whose
	// it is.
	Key string
	// Since is a checkpoint of this log, kept elsewhere: the log must still
	// hold all that it covers. For a folder only.
	Since []byte
	// Witnesses are keys of witnesses, in note's spelling, whose cosignatures
	// are proven and reported.
	Witnesses []string
	// TSARoots are the roots of the timestamp authorities that are trusted: a
	// timestamp by another is a problem. nil: whose they are is not proven.
	TSARoots *x509.CertPool
}

// Verify proves a folder from itself alone: the checkpoint's signature, every
// entry and stored hash against its root, every artefact against its hash, that
// no file is missing or too many, and that results name intents. One flipped
// bit in any file is a problem that names the file and, for an entry or an
// artefact, the entry. It writes nothing, and may run while the log is in use:
// appends wait while it reads the log (about a second for 100,000 entries), not
// while it reads artefacts. The error is for a folder that can't be read at
// all; whatever is wrong with the evidence is in the report.
func Verify(dir string) (Report, error) { return VerifyWith(dir, VerifyOptions{}) }

// VerifyWith is [Verify] with more that must hold.
func VerifyWith(dir string, o VerifyOptions) (Report, error) {
	v := &verification{dir: dir, checker: newChecker()}
	r := v.r
	if st, err := os.Stat(dir); err != nil {
		e := impound.Errorf(impound.KindNotFound, "couldn't read the evidence folder: %w", err).At(dir)
		if !errors.Is(err, fs.ErrNotExist) {
			e.Kind = impound.KindUnavailable
		}
		return *r, e
	} else if !st.IsDir() {
		return *r, impound.Errorf(impound.KindInvalid, "this is no evidence folder").At(dir).WithCure("for a bundle (a zip file), verify the bundle")
	}
	lock, err := os.Open(filepath.Join(dir, lockFile))
	switch {
	case errors.Is(err, fs.ErrNotExist): // a copy without it
	case err != nil:
		return *r, ioError("verify", filepath.Join(dir, lockFile), err)
	default:
		defer lock.Close()
		if err := flock(lock, unix.LOCK_SH, lockWait); err != nil {
			return *r, lockError(lock.Name(), err)
		}
	}
	v.head(o)
	if err := v.log(); err != nil {
		return *r, err
	}
	v.since(o)
	files, err := v.list()
	if lock != nil {
		unlock(lock)
	}
	if err != nil {
		return *r, err
	}
	if err := v.artefacts(files); err != nil {
		return *r, err
	}
	v.seals(o)
	v.finish()
	return *r, nil
}

// checker checks what entries say, one after the other.
type checker struct {
	r       *Report
	ids     map[string]int64
	arts    map[string]artefactRef
	intents map[string]*intentRef
	order   []*intentRef

	sealRefs []sealRef
}

type artefactRef struct{ entry, size int64 }

type intentRef struct {
	OpenIntent
	done bool
}

func newChecker() *checker {
	return &checker{
		r:   &Report{Open: []OpenIntent{}, Notes: []Problem{}, Problems: []Problem{}},
		ids: map[string]int64{}, arts: map[string]artefactRef{}, intents: map[string]*intentRef{},
	}
}

// entry checks entry i, which reads f, or couldn't be read.
func (c *checker) entry(i int64, f *leaf, err error) {
	c.r.Entries++
	if err != nil {
		c.r.problem(entriesFile, i, "is no entry: %v", err)
		return
	}
	if f.ID == "" || f.What == "" {
		c.r.problem(entriesFile, i, "has no id, or does not say what it speaks of")
	}
	if first, ok := c.ids[f.ID]; ok {
		c.r.problem(entriesFile, i, "has the id of entry %d", first)
	} else {
		c.ids[f.ID] = i
	}
	switch f.Type {
	case impound.EntryIntent:
		in := &intentRef{OpenIntent: OpenIntent{i, f.ID, f.What}}
		c.intents[f.ID] = in
		c.order = append(c.order, in)
	case impound.EntryResult:
		if in := c.intents[f.Intent]; in != nil {
			in.done = true
		} else {
			c.r.problem(entriesFile, i, "is the result of the intent %q, which does not stand before it", f.Intent)
		}
	case impound.EntryArtefact, impound.EntryDecision, impound.EntrySystem:
	default:
		c.r.problem(entriesFile, i, "is of the unknown type %q", f.Type)
	}
	c.seal(i, f)
	if a := f.Artefact; a != nil {
		if !validHash(a.Hash) {
			c.r.problem(entriesFile, i, "names an artefact by %.80q, which is no hash", a.Hash)
		} else if old, ok := c.arts[a.Hash]; !ok {
			c.arts[a.Hash] = artefactRef{i, a.Size}
		} else if old.size != a.Size {
			c.r.problem(entriesFile, i, "says that the artefact %s has %d octets, entry %d says %d", a.Hash, a.Size, old.entry, old.size)
		}
	} else if f.Type == impound.EntryArtefact {
		c.r.problem(entriesFile, i, "is of type artefact and names none")
	}
}

// finish counts what is open.
func (c *checker) finish() {
	for _, in := range c.order {
		if !in.done {
			c.r.Open = append(c.r.Open, in.OpenIntent)
		}
	}
}

// artefact checks the bytes of the artefact that has hash.
func (c *checker) artefact(file, hash string, body io.Reader) error {
	h := sha256.New()
	n, err := io.Copy(h, body)
	if err != nil {
		return err
	}
	c.r.Artefacts++
	c.r.Bytes += n
	ref := c.arts[hash]
	if got := "sha256:" + hex.EncodeToString(h.Sum(nil)); got != hash {
		c.r.problem(file, ref.entry, "was changed: its bytes have the hash %s", got)
	} else if n != ref.size {
		c.r.problem(file, ref.entry, "has %d octets, and its entry says %d", n, ref.size)
	}
	return nil
}

// verification is one run over a folder.
type verification struct {
	*checker
	dir     string
	key     verifier
	hd      *Head // nil when there is none that verifies
	old     *Head // o.Since
	oldRoot *tlog.Hash
	root    tlog.Hash
}

func (v *verification) path(name string) string { return filepath.Join(v.dir, name) }

// small reads a small file whole.
func (v *verification) small(name string) ([]byte, bool) {
	b, err := readSmall(v.path(name), maxCheckpoint)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			v.r.problem(name, -1, "is missing")
		} else {
			v.r.problem(name, -1, "can't be read: %v", err)
		}
		return nil, false
	}
	return b, true
}

// head reads the key and the checkpoint.
func (v *verification) head(o VerifyOptions) {
	v.hd = checkHead(v.r, o, v.small, &v.key)
	if o.Since == nil || v.key.text == "" {
		return
	}
	h, err := parseHead(o.Since, v.key)
	if err != nil {
		v.r.problem(checkpointFile, -1, "the older checkpoint to compare with is not this log's: %v", err)
		return
	}
	v.old = &h
}

// checkHead verifies key and checkpoint, which read gives.
func checkHead(r *Report, o VerifyOptions, read func(string) ([]byte, bool), key *verifier) *Head {
	var err error
	vb, ok := read(vkeyFile)
	if ok {
		var k verifier
		if k, err = parseVKey(strings.TrimSuffix(string(vb), "\n")); err != nil || string(vb) != k.text+"\n" {
			if err == nil {
				err = errors.New("it is not spelled as it was written")
			}
			r.problem(vkeyFile, -1, "was changed: %v", err)
		} else {
			*key = k
		}
	}
	if o.Key != "" {
		k, err := parseVKey(strings.TrimSpace(o.Key))
		switch {
		case err != nil:
			r.problem(vkeyFile, -1, "the key to compare with can't be read: %v", err)
		case key.text != "" && key.text != k.text:
			r.problem(vkeyFile, -1, "is another key than the one that you trust: %s", k.text)
			*key = k
		default:
			*key = k
		}
	}
	r.Key = key.text
	cb, ok := read(checkpointFile)
	if !ok || key.text == "" {
		return nil
	}
	h, err := parseHead(cb, *key)
	if err != nil {
		r.problem(checkpointFile, -1, "%v", err)
		return nil
	}
	r.Origin, r.Size, r.Root = h.Origin, h.Size, h.Root.String()
	return &h
}

// spine hashes a tree leaf by leaf and remembers only its right edge.
type spine struct {
	n int64
	h [64]tlog.Hash // h[i]: the last complete subtree of 2^i leaves
}

// add adds a leaf and calls each for every stored hash that it completes.
func (s *spine) add(leaf tlog.Hash, each func(tlog.Hash)) {
	h := leaf
	each(h)
	i := 0
	for ; s.n>>i&1 == 1; i++ {
		h = tlog.NodeHash(s.h[i], h)
		each(h)
	}
	s.h[i] = h
	s.n++
}

func (s *spine) root() tlog.Hash {
	if s.n == 0 {
		return emptyRoot
	}
	var h tlog.Hash
	first := true
	for i := range 63 {
		switch {
		case s.n>>i&1 == 0:
		case first:
			h, first = s.h[i], false
		default:
			h = tlog.NodeHash(s.h[i], h)
		}
	}
	return h
}

type parsed struct {
	hash tlog.Hash
	leaf leaf
	err  error
}

// log reads entries and hashes side by side. Where they differ, a proof from
// the hashes to the signed root says which of them is wrong.
func (v *verification) log() error {
	entries, err := v.open(entriesFile)
	if err != nil || entries == nil {
		return err
	}
	defer entries.Close()
	hashes, err := v.open(hashesFile)
	if err != nil {
		return err
	}
	var hr *bufio.Reader
	if hashes != nil {
		defer hashes.Close()
		hr = bufio.NewReaderSize(hashes, 1<<16)
	}
	limit := int64(-1)
	if v.hd != nil {
		limit = v.hd.Size
	}
	// What entries say is told behind what happened to them: the one often
	// follows from the other.
	before := len(v.r.Problems)
	var said []Problem
	defer func() {
		for _, p := range said {
			v.r.problem(p.File, p.Entry, "%s", p.Msg)
		}
	}()
	var s spine
	var differ []int64 // leaves that differ from the hashes
	var badHash = int64(-1)
	var hashEnd bool
	stored := int64(0)
	r := bufio.NewReaderSize(entries, 1<<20)
	var total int64
	if v.old != nil && v.old.Size == 0 {
		root := emptyRoot
		v.oldRoot = &root
	}
	for {
		lines, err := readLines(r, limit-s.n)
		if err != nil {
			return ioError("verify", v.path(entriesFile), err)
		}
		if len(lines) == 0 {
			break
		}
		for k, p := range parseLines(lines) {
			i := s.n
			total += int64(len(lines[k])) + 1
			first := true
			s.add(p.hash, func(h tlog.Hash) {
				var got tlog.Hash
				if hr != nil && !hashEnd {
					if _, err := io.ReadFull(hr, got[:]); err != nil {
						hashEnd = true
					} else if got != h {
						if first && len(differ) < MaxProblems {
							differ = append(differ, i)
						}
						if badHash < 0 {
							badHash = stored
						}
					}
				}
				stored++
				first = false
			})
			v.entry(i, &p.leaf, p.err)
			if v.old != nil && s.n == v.old.Size {
				root := s.root()
				v.oldRoot = &root
			}
		}
	}
	said = slices.Clone(v.r.Problems[before:])
	v.r.Problems = v.r.Problems[:before]
	v.r.Bytes += total
	v.root = s.root()
	proven := v.hd != nil && s.n == v.hd.Size && v.root == v.hd.Root
	if v.hd != nil && !proven {
		v.locate(s.n, differ, hashes)
	}
	if v.hd != nil && s.n == v.hd.Size {
		if err := v.beyond(r, total); err != nil {
			return err
		}
	}
	if hashes == nil || (v.hd != nil && !proven) {
		return nil
	}
	switch {
	case badHash >= 0:
		_, n := tlog.SplitStoredHashIndex(badHash)
		level, _ := tlog.SplitStoredHashIndex(badHash)
		v.r.problem(hashesFile, n<<level, "stored hash %d (octet %d) was changed: the entries give another", badHash, badHash*tlog.HashSize)
	case hashEnd:
		v.r.problem(hashesFile, -1, "is too short: the entries give %d hashes", stored)
	default:
		if extra, _ := io.Copy(io.Discard, hr); extra > 0 {
			v.r.problem(hashesFile, -1, "has %d octets too many", extra)
		}
	}
	return nil
}

// locate says what is wrong when the entries are not those of the checkpoint.
func (v *verification) locate(n int64, differ []int64, hashes *os.File) {
	h := v.hd
	found := false
	if hashes != nil {
		rd := fileHashes{hashes}
		for _, i := range differ {
			if i >= h.Size {
				break
			}
			got, err := rd.ReadHashes([]int64{tlog.StoredHashIndex(0, i)})
			if err != nil {
				break
			}
			proof, err := tlog.ProveRecord(h.Size, i, rd)
			if err != nil || tlog.CheckRecord(proof, h.Size, h.Root, i, got[0]) != nil {
				continue
			}
			found = true
			if n != h.Size {
				v.r.problem(entriesFile, i, "was changed, here or just behind: the file has %d lines, the checkpoint covers %d", n, h.Size)
				return
			}
			v.r.problem(entriesFile, i, "was changed: it is not what the log was signed over")
		}
	}
	switch {
	case n < h.Size:
		v.r.problem(entriesFile, n, "is missing, and all behind it: the file has %d entries, the checkpoint covers %d", n, h.Size)
	case !found:
		v.r.problem(entriesFile, -1, "the entries are not those that the checkpoint was signed over, and the hashes don't say which")
	}
}

// beyond looks for anything behind the last entry that is covered.
func (v *verification) beyond(r *bufio.Reader, at int64) error {
	extra, err := io.Copy(io.Discard, r)
	if err != nil {
		return ioError("verify", v.path(entriesFile), err)
	}
	if extra > 0 {
		v.r.problem(entriesFile, v.hd.Size, "%d octets lie beyond the checkpoint (from octet %d): added by hand, or left by a crash and never acknowledged; opening the log sets them aside", extra, at)
	}
	return nil
}

type fileHashes struct{ r io.ReaderAt }

func (f fileHashes) ReadHashes(indexes []int64) ([]tlog.Hash, error) {
	out := make([]tlog.Hash, len(indexes))
	for i, x := range indexes {
		if _, err := readFullAt(f.r, out[i][:], x*tlog.HashSize); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// open opens a file of the folder; nil when it is missing, which is a problem.
func (v *verification) open(name string) (*os.File, error) {
	st, err := os.Lstat(v.path(name))
	if errors.Is(err, fs.ErrNotExist) {
		v.r.problem(name, -1, "is missing")
		return nil, nil
	}
	if err == nil && !st.Mode().IsRegular() {
		v.r.problem(name, -1, "is no regular file")
		return nil, nil
	}
	f, err := os.Open(v.path(name))
	if err != nil {
		return nil, ioError("verify", v.path(name), err)
	}
	return f, nil
}

var errTooLong = fmt.Errorf("its line is longer than %d octets", MaxEntry)

// readLines reads up to some thousand lines, and not more than limit when that
// is not negative. A last line without a newline counts as one; its end is what
// beyond and locate tell. An overlong line is given cut, so that its hash fits
// nothing.
func readLines(r *bufio.Reader, limit int64) ([][]byte, error) {
	const most = 4096
	var lines [][]byte
	var arena []byte
	for len(lines) < most && (limit < 0 || int64(len(lines)) < limit) {
		line, err := r.ReadSlice('\n')
		switch {
		case err == nil:
			line = line[:len(line)-1]
		case err == io.EOF && len(line) == 0:
			return lines, nil
		case err == io.EOF:
			line = append(bytes.Clone(line), "(no newline)"...) // must not pass for the whole line
		case err == bufio.ErrBufferFull:
			line = bytes.Clone(line)
			for err == bufio.ErrBufferFull {
				_, err = r.ReadSlice('\n')
			}
			if err != nil && err != io.EOF {
				return nil, err
			}
		default:
			return nil, err
		}
		if cap(arena)-len(arena) < len(line) {
			arena = make([]byte, 0, max(1<<18, len(line)))
		}
		at := len(arena)
		arena = append(arena, line...)
		lines = append(lines, arena[at:len(arena):len(arena)])
	}
	return lines, nil
}

// parseLines hashes and reads lines on all cores.
func parseLines(lines [][]byte) []parsed {
	out := make([]parsed, len(lines))
	_ = parallel.Each(len(lines), func(k int) error { // errors are kept with their lines
		p := &out[k]
		p.hash = tlog.RecordHash(lines[k])
		if len(lines[k]) >= MaxEntry {
			p.err = errTooLong
		} else {
			p.err = quickjson.Unmarshal(lines[k], &p.leaf)
		}
		return nil
	})
	return out
}

// since compares with the older checkpoint.
func (v *verification) since(VerifyOptions) {
	switch {
	case v.old == nil:
	case v.hd != nil && v.old.Size > v.hd.Size:
		v.r.problem(checkpointFile, v.hd.Size, "entries were taken away: it covers %d, and an older checkpoint covers %d", v.hd.Size, v.old.Size)
	case v.oldRoot == nil:
		v.r.problem(entriesFile, -1, "does not hold the %d entries of the older checkpoint", v.old.Size)
	case *v.oldRoot != v.old.Root:
		v.r.problem(entriesFile, -1, "the first %d entries are not those of the older checkpoint: the log was made anew", v.old.Size)
	}
}

// list looks at which files are there, and gives the artefacts' hashes by path.
// Nothing may be there that the log does not account for.
func (v *verification) list() (map[string]string, error) {
	files := map[string]string{}
	left := map[string]bool{} // hashes of captures that never returned
	err := filepath.WalkDir(v.dir, func(path string, d fs.DirEntry, err error) error {
		rel, err2 := filepath.Rel(v.dir, path)
		if err != nil || err2 != nil {
			if errors.Is(err, fs.ErrNotExist) && strings.HasPrefix(rel, incomingDir) {
				return nil // a capture came to its end meanwhile
			}
			return errors.Join(err, err2)
		}
		rel = filepath.ToSlash(rel)
		parts := strings.Split(rel, "/")
		switch {
		case d.IsDir():
			known := rel == "." || rel == artefactsDir || rel == incomingDir || rel == indexDir || len(parts) == 2 && parts[0] == artefactsDir && len(parts[1]) == 2
			if !known {
				v.r.problem(rel, -1, "is a folder that does not belong here")
				return fs.SkipDir
			}
			return nil
		case !d.Type().IsRegular():
			v.r.problem(rel, -1, "is no regular file")
			return nil
		}
		switch {
		case len(parts) == 1:
			return v.topFile(rel, d)
		case parts[0] == incomingDir && len(parts) == 2:
			if inFlight(path) {
				return nil
			}
			hx, _, _ := strings.Cut(parts[1], ".")
			left["sha256:"+hx] = true
			v.r.note(rel, "was left by a capture that never returned; opening the log clears it")
		case parts[0] == indexDir && len(parts) == 2:
			return v.index(path, rel)
		case parts[0] == artefactsDir && len(parts) == 3:
			if hash := "sha256:" + parts[1] + parts[2]; validHash(hash) {
				files[rel] = hash
			} else {
				v.r.problem(rel, -1, "does not belong here: its name is no hash")
			}
		default:
			v.r.problem(rel, -1, "does not belong here")
		}
		return nil
	})
	if err != nil {
		return nil, ioError("verify", v.dir, err)
	}
	for rel, hash := range files {
		if _, ok := v.arts[hash]; ok {
			continue
		}
		delete(files, rel)
		if left[hash] {
			v.r.note(rel, "was left by a capture that never returned; opening the log clears it")
		} else {
			v.r.problem(rel, -1, "no entry names this artefact: it was added by hand")
		}
	}
	return files, nil
}

func (v *verification) topFile(name string, d fs.DirEntry) error {
	switch name {
	case entriesFile, hashesFile, checkpointFile, vkeyFile:
		return nil
	case checkpointFile + ".tmp":
		v.r.note(name, "was left by an append that never returned")
		return nil
	case hashesFile + ".new":
		v.r.note(name, "was left by a repair that never came to its end")
		return nil
	case lockFile:
		info, err := d.Info()
		if err != nil {
			return err
		}
		if info.Size() != 0 {
			v.r.problem(name, -1, "holds %d octets, and is always empty", info.Size())
		}
		return nil
	}
	v.r.problem(name, -1, "does not belong here")
	return nil
}

// index looks at a part of the index. It is no evidence: a damaged one is made
// again when the log is opened, so it is a note. What has no business there is a
// problem.
func (v *verification) index(path, rel string) error {
	level, k, ok := parseSegName(filepath.Base(path))
	if !ok {
		if strings.HasPrefix(filepath.Base(path), "new-") {
			v.r.note(rel, "was left by a process that was writing the index")
		} else {
			v.r.problem(rel, -1, "does not belong here")
		}
		return nil
	}
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // two parts were joined meanwhile
	} else if err != nil {
		return err
	}
	defer f.Close()
	if v.key.Verifier == nil {
		return nil // that is told elsewhere
	}
	s, err := openSegment(level, k, f, headOf(f), v.key.key, v.key.Name())
	if err == nil {
		s.mend = func() (segHead, []byte, error) { return segHead{}, nil, errPage }
		_, _, err = s.all()
	}
	if err != nil {
		v.r.note(rel, "does not verify (%v); it is no evidence, and is made again when the log is opened", err)
	}
	return nil
}

// inFlight says whether a process is still writing the capture.
func inFlight(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return errors.Is(err, fs.ErrNotExist)
	}
	defer f.Close()
	return errors.Is(unix.Flock(int(f.Fd()), unix.LOCK_SH|unix.LOCK_NB), unix.EWOULDBLOCK)
}

// artefacts reads the artefacts. The lock is not held: they never change.
func (v *verification) artefacts(files map[string]string) error {
	paths := make([]string, 0, len(files))
	have := map[string]bool{}
	for p, h := range files {
		paths = append(paths, p)
		have[h] = true
	}
	slices.Sort(paths)
	for _, p := range paths {
		f, err := os.Open(v.path(p))
		if err != nil {
			v.r.problem(p, v.arts[files[p]].entry, "can't be read: %v", err)
			continue
		}
		if err := v.artefact(p, files[p], f); err != nil {
			v.r.problem(p, v.arts[files[p]].entry, "can't be read: %v", err)
		}
		f.Close()
	}
	var missing []string
	for h := range v.arts {
		if !have[h] {
			missing = append(missing, h)
		}
	}
	slices.SortFunc(missing, func(a, b string) int { return int(v.arts[a].entry - v.arts[b].entry) })
	for _, h := range missing {
		hx := strings.TrimPrefix(h, "sha256:")
		v.r.problem(artefactsDir+"/"+hx[:2]+"/"+hx[2:], v.arts[h].entry, "is missing")
	}
	return nil
}
