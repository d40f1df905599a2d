package evidence

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/impound/impound/internal/quickjson"
	"golang.org/x/mod/sumdb/tlog"
)

// The index finds entries again without reading all of them. It is a cache: all
// of it can be made again from the entries, and nothing is believed for its sake
// that the tree does not prove, but for one thing: that there is no further entry
// of a kind. So the log's own key signs it.
//
// It is cut into segments, each of 2^level entries that are a complete subtree of
// the log. A segment's head names the hash of that subtree; where the proven tree
// has another hash there, the segment is of another log, or forged, and counts as
// missing. What was signed of a subtree is true for ever, so there is no older
// index to be put back: fewer segments only mean more to read.
//
// A segment is read by pages, each checked against the digests that the head's
// signature covers. A page that was changed is found when it is read, and the
// segment is made again.

const (
	indexDir = "index"
	segMin   = 10 // level of the smallest segment
	segMax   = 16 // of the largest: larger ones would cost too much to join
	// indexContext keeps a segment's signature from being one over anything
	// else: no origin holds a space, so no checkpoint begins so.
	indexContext = "impound evidence index v1\n"

	endsPerPage  = 512 // 8 octets each
	postSize     = 10  // key, entry within the segment
	postsPerPage = 409
	maxSegHead   = 4 << 20
)

// segHead is the first line of a segment's file; its signature is the second.
type segHead struct {
	Format   string   `json:"format"` // "impound-index/1"
	Origin   string   `json:"origin"`
	Level    int      `json:"level"`
	K        int64    `json:"k"`    // the subtree: entries k*2^level to (k+1)*2^level-1
	Tree     string   `json:"tree"` // its hash
	Base     int64    `json:"base"` // octets of entries.jsonl before it
	End      int64    `json:"end"`  // and with it
	Postings int      `json:"postings"`
	Table    string   `json:"table"` // digest of the table of pages
	Whats    []string `json:"whats"` // every What in it, sorted
}

const indexFormat = "impound-index/1"

// posting says that an entry has something by which it is found.
type posting struct {
	key uint64
	rel uint16 // entry within the segment
}

// keyOf gives the key that a value is found by. Two values may have one key: who
// finds an entry looks whether it is the one.
func keyOf(s selector) uint64 {
	b := make([]byte, 0, 96)
	h := sha256.Sum256(append(append(b, s.field, 0), s.value...))
	return binary.BigEndian.Uint64(h[:])
}

// postingsOf gives what the entry f is found by.
func postingsOf(f *leaf, rel uint16, out []posting) []posting {
	out = append(out, posting{keyOf(selector{'i', f.ID}), rel})
	if f.Artefact != nil {
		out = append(out, posting{keyOf(selector{'a', f.Artefact.Hash}), rel})
	}
	for _, s := range f.selectors() {
		out = append(out, posting{keyOf(s), rel})
	}
	return out
}

// segment is an index of a subtree. It is safe for concurrent use.
type segment struct {
	level     int
	k         int64
	from, n   int64                           // entries
	base, end int64                           // octets of entries.jsonl before it, and with it
	mend      func() (segHead, []byte, error) // makes it again from the proven entries

	mu    sync.Mutex
	head  segHead
	src   io.ReaderAt
	at    int64 // where the pages begin
	table []byte
	pages map[int][]byte
}

func (s *segment) endPages() int  { return int((s.n + endsPerPage - 1) / endsPerPage) }
func (s *segment) postPages() int { return (s.head.Postings + postsPerPage - 1) / postsPerPage }

// The table holds a digest for each page of ends, then first key and digest for
// each page of postings.
const postRow = 8 + sha256.Size

func tableSize(endPages, postPages int) int { return endPages*sha256.Size + postPages*postRow }

func (s *segment) firstKey(page int) uint64 {
	return binary.BigEndian.Uint64(s.table[s.endPages()*sha256.Size+page*postRow:])
}

var errPage = errors.New("a page of the index was changed")

// page gives page i, of ends first and then of postings; s.mu is held.
func (s *segment) page(i int) ([]byte, error) {
	if b := s.pages[i]; b != nil {
		return b, nil
	}
	ends := s.endPages()
	var size, off int64
	var digest []byte
	if i < ends {
		size, off = 8*min(endsPerPage, s.n-int64(i)*endsPerPage), int64(i)*endsPerPage*8
		digest = s.table[i*sha256.Size:][:sha256.Size]
	} else {
		j := i - ends
		size = postSize * min(postsPerPage, int64(s.head.Postings-j*postsPerPage))
		off = s.n*8 + int64(j)*postsPerPage*postSize
		digest = s.table[ends*sha256.Size+j*postRow+8:][:sha256.Size]
	}
	b := make([]byte, size)
	if _, err := readFullAt(s.src, b, s.at+off); err != nil {
		return nil, errPage
	}
	if d := sha256.Sum256(b); !bytes.Equal(d[:], digest) {
		return nil, errPage
	}
	if s.pages == nil {
		s.pages = map[int][]byte{}
	}
	s.pages[i] = b
	return b, nil
}

// with runs do under s.mu, and once more on a segment made again when a page was
// bad.
func (s *segment) with(do func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	err := do()
	if !errors.Is(err, errPage) {
		return err
	}
	h, b, err := s.mend()
	if err != nil {
		return err
	}
	t, err := openSegment(h.Level, h.K, bytes.NewReader(b), b, nil, "")
	if err != nil {
		return err
	}
	s.head, s.src, s.at, s.table, s.pages = t.head, t.src, t.at, t.table, nil
	return do()
}

// endOf gives the offset behind the line of entry i.
func (s *segment) endOf(i int64) (end int64, err error) {
	i -= s.from
	err = s.with(func() error {
		b, err := s.page(int(i / endsPerPage))
		if err == nil {
			end = int64(binary.BigEndian.Uint64(b[i%endsPerPage*8:]))
		}
		return err
	})
	return end, err
}

// find adds the entries that have key to out, in the order of the log.
func (s *segment) find(key uint64, out []int64) ([]int64, error) {
	had := len(out)
	err := s.eachRel(key, func(n int) { out = slices.Grow(out[:had], n) }, func(rel uint16) { out = append(out, s.from+int64(rel)) })
	return out, err
}

// all gives every end and posting, for joining.
func (s *segment) all() (ends []int64, posts []posting, err error) {
	err = s.with(func() error {
		ends, posts = make([]int64, 0, s.n), make([]posting, 0, s.head.Postings)
		for i := range s.endPages() + s.postPages() {
			b, err := s.page(i)
			if err != nil {
				return err
			}
			if i < s.endPages() {
				for ; len(b) > 0; b = b[8:] {
					ends = append(ends, int64(binary.BigEndian.Uint64(b)))
				}
				continue
			}
			for ; len(b) > 0; b = b[postSize:] {
				posts = append(posts, posting{binary.BigEndian.Uint64(b), binary.BigEndian.Uint16(b[8:])})
			}
		}
		return nil
	})
	return ends, posts, err
}

func (s *segment) whats() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.head.Whats
}

// forget drops the pages that are kept.
func (s *segment) forget() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.pages)
	s.pages = nil
	return n
}

// makeSegment gives the head and the octets of a segment's file. posts are sorted.
func (l *Log) makeSegment(level int, k int64, subtree tlog.Hash, base int64, ends []int64, posts []posting, whats []string) (segHead, []byte, error) {
	h := segHead{Format: indexFormat, Origin: l.key.Name(), Level: level, K: k, Tree: subtree.String(), Base: base, End: ends[len(ends)-1], Postings: len(posts), Whats: whats}
	data := make([]byte, 0, len(ends)*8+len(posts)*postSize)
	for _, e := range ends {
		data = binary.BigEndian.AppendUint64(data, uint64(e))
	}
	for _, p := range posts {
		data = binary.BigEndian.AppendUint64(data, p.key)
		data = binary.BigEndian.AppendUint16(data, p.rel)
	}
	var table []byte
	for b := range slices.Chunk(data[:len(ends)*8], endsPerPage*8) {
		d := sha256.Sum256(b)
		table = append(table, d[:]...)
	}
	if len(posts) > 0 {
		for b := range slices.Chunk(data[len(ends)*8:], postsPerPage*postSize) {
			d := sha256.Sum256(b)
			table = append(append(table, b[:8]...), d[:]...)
		}
	}
	d := sha256.Sum256(table)
	h.Table = base64.StdEncoding.EncodeToString(d[:])
	line, err := json.Marshal(h)
	if err != nil {
		return h, nil, err
	}
	sig, err := l.key.Signer.Sign(append([]byte(indexContext), line...))
	if err != nil {
		return h, nil, err
	}
	out := make([]byte, 0, len(line)+len(table)+len(data)+128)
	out = append(append(out, line...), '\n')
	out = append(append(out, base64.StdEncoding.EncodeToString(sig)...), '\n')
	return h, append(append(out, table...), data...), nil
}

// openSegment reads the head and the table of a segment's file; start is the
// beginning of src. key nil: it was made here, and needs no proof.
func openSegment(level int, k int64, src io.ReaderAt, start []byte, key ed25519.PublicKey, origin string) (*segment, error) {
	line, rest, ok := bytes.Cut(start, []byte("\n"))
	sig64, _, ok2 := bytes.Cut(rest, []byte("\n"))
	if !ok || !ok2 {
		return nil, errors.New("its head is cut")
	}
	s := &segment{src: src, from: k << level, n: 1 << level, at: int64(len(line) + len(sig64) + 2)}
	if key != nil {
		sig, err := base64.StdEncoding.DecodeString(string(sig64))
		if err != nil || len(sig) != ed25519.SignatureSize || !ed25519.Verify(key, append([]byte(indexContext), line...), sig) {
			return nil, errors.New("its signature is not the log's")
		}
	}
	if err := json.Unmarshal(line, &s.head); err != nil {
		return nil, err
	}
	h := &s.head
	if h.Format != indexFormat || h.Level != level || h.K != k || key != nil && h.Origin != origin || h.Postings < 0 || h.Postings > 1<<24 || h.Base < 0 || h.End < h.Base {
		return nil, errors.New("it is another segment")
	}
	s.table = make([]byte, tableSize(s.endPages(), s.postPages()))
	if _, err := readFullAt(src, s.table, s.at); err != nil {
		return nil, errors.New("its table is cut")
	}
	if d := sha256.Sum256(s.table); base64.StdEncoding.EncodeToString(d[:]) != h.Table {
		return nil, errors.New("its table was changed")
	}
	s.at += int64(len(s.table))
	s.level, s.k, s.base, s.end = level, k, h.Base, h.End
	return s, nil
}

// headOf reads as much of a segment's file as holds its first two lines.
func headOf(f io.ReaderAt) []byte {
	b := make([]byte, 32<<10)
	n, _ := f.ReadAt(b, 0)
	if n == len(b) && bytes.Count(b, []byte("\n")) < 2 { // a long head
		b = make([]byte, maxSegHead)
		n, _ = f.ReadAt(b, 0)
	}
	return b[:n]
}

func segName(level int, k int64) string { return fmt.Sprintf("%02d-%09d", level, k) }

func parseSegName(s string) (level int, k int64, ok bool) {
	a, b, ok := strings.Cut(s, "-")
	if !ok || len(a) != 2 {
		return 0, 0, false
	}
	level, err := strconv.Atoi(a)
	k, err2 := strconv.ParseInt(b, 10, 64)
	return level, k, err == nil && err2 == nil && level >= segMin && level <= segMax && k >= 0 && k < 1<<40 && s == segName(level, k)
}

// readSegment opens the file of a segment and proves that it is of the subtree
// that t has there; base is where its lines must begin.
func (l *Log) readSegment(t *tree, level int, k, base int64) (*segment, error) {
	f, err := os.Open(filepath.Join(l.path(indexDir), segName(level, k)))
	if err != nil {
		return nil, err
	}
	fail := func(err error) (*segment, error) {
		f.Close()
		return nil, err
	}
	s, err := openSegment(level, k, f, headOf(f), l.key.key, l.key.Name())
	if err != nil {
		return fail(err)
	}
	if h, ok := t.node(level, k); !ok || s.head.Tree != h.String() {
		return fail(errors.New("it is of another subtree"))
	}
	if s.base != base {
		return fail(errors.New("its lines begin elsewhere"))
	}
	s.mend = l.mender(t, level, k, base)
	return s, nil // the file is closed when nobody holds the segment any more
}

// mender makes a segment's file again from the entries, each proven against t.
func (l *Log) mender(t *tree, level int, k, base int64) func() (segHead, []byte, error) {
	return func() (segHead, []byte, error) {
		l.log.Warn("evidence: a part of the index is missing or damaged and is made again from the entries", "part", segName(level, k))
		from := k << level
		ends := make([]int64, 0, 1<<level)
		var posts []posting
		whats := map[string]bool{}
		_, err := l.scan(t, from, base, from+1<<level, func(i, end int64, f *leaf) {
			ends = append(ends, end)
			posts = postingsOf(f, uint16(i-from), posts)
			whats[f.What] = true
		})
		if err != nil {
			return segHead{}, nil, err
		}
		sortPostings(posts)
		sub, _ := t.node(level, k)
		h, b, err := l.makeSegment(level, k, sub, base, ends, posts, sortedWhats(whats))
		if err == nil {
			l.keepSegment(level, k, b)
		}
		return h, b, err
	}
}

// buildSegment makes a segment that is missing.
func (l *Log) buildSegment(t *tree, level int, k, base int64) (*segment, error) {
	mend := l.mender(t, level, k, base)
	_, b, err := mend()
	if err != nil {
		return nil, err
	}
	return l.segmentOf(t, level, k, base, b)
}

// segmentOf makes a segment of octets that were made here, from its file where it
// could be kept.
func (l *Log) segmentOf(t *tree, level int, k, base int64, b []byte) (*segment, error) {
	if s, err := l.readSegment(t, level, k, base); err == nil {
		return s, nil
	}
	s, err := openSegment(level, k, bytes.NewReader(b), b, nil, "")
	if err != nil {
		return nil, err
	}
	s.mend = l.mender(t, level, k, base)
	return s, nil
}

// keepSegment writes a segment's file. It is not synced: what a power cut leaves
// of it is no signed segment, and is made again. A disk that is full, or a folder
// that can't be written, costs the next Open time and nothing else.
func (l *Log) keepSegment(level int, k int64, b []byte) {
	dir := l.path(indexDir)
	err := os.MkdirAll(dir, 0o700)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(dir, "new-*"); err == nil {
			_, err = f.Write(b)
			if err == nil {
				err = l.at("segment written")
			}
			if cerr := f.Close(); err == nil {
				err = cerr
			}
			if err == nil {
				err = os.Rename(f.Name(), filepath.Join(dir, segName(level, k)))
			}
			if err != nil {
				os.Remove(f.Name())
			} else {
				err = l.at("segment in place")
			}
		}
	}
	if err != nil {
		l.log.Warn("evidence: couldn't keep a part of the index; the next start takes longer", "err", err)
	}
}

func sortPostings(p []posting) {
	slices.SortFunc(p, func(a, b posting) int { return cmp.Or(cmp.Compare(a.key, b.key), cmp.Compare(a.rel, b.rel)) })
}

func sortedWhats(m map[string]bool) []string {
	out := make([]string, 0, len(m))
	for k := range m {
		out = append(out, k)
	}
	slices.Sort(out)
	return out
}

// join makes one segment of two neighbours.
func (l *Log) join(t *tree, a, b *segment) (*segment, error) {
	ends, posts, err := a.all()
	if err != nil {
		return nil, err
	}
	ends2, posts2, err := b.all()
	if err != nil {
		return nil, err
	}
	all := make([]posting, 0, len(posts)+len(posts2))
	for len(posts) > 0 && len(posts2) > 0 {
		if posts2[0].key < posts[0].key {
			all = append(all, posting{posts2[0].key, posts2[0].rel + uint16(a.n)})
			posts2 = posts2[1:]
		} else {
			all = append(all, posts[0])
			posts = posts[1:]
		}
	}
	all = append(all, posts...)
	for _, p := range posts2 {
		all = append(all, posting{p.key, p.rel + uint16(a.n)})
	}
	whats := slices.Concat(a.whats(), b.whats())
	slices.Sort(whats)
	level, k := a.level+1, a.k/2
	sub, ok := t.node(level, k)
	if !ok {
		return nil, errors.New("no such subtree")
	}
	_, octets, err := l.makeSegment(level, k, sub, a.base, append(ends, ends2...), all, slices.Compact(whats))
	if err != nil {
		return nil, err
	}
	l.keepSegment(level, k, octets)
	s, err := l.segmentOf(t, level, k, a.base, octets)
	if err == nil {
		for _, x := range []*segment{a, b} {
			os.Remove(filepath.Join(l.path(indexDir), segName(x.level, x.k)))
		}
	}
	return s, err
}

// loadSegments opens the segments that cover t from entry from on, and makes
// those that are missing when build is set. It gives them and where they end.
func (l *Log) loadSegments(t *tree, have []*segment, build bool) ([]*segment, error) {
	segs := slices.Clip(have)
	from, base := segsEnd(segs)
	for from+1<<segMin <= t.n {
		var s *segment
		for level := segMax; level >= segMin && s == nil; level-- {
			if from%(1<<level) != 0 || from+1<<level > t.n {
				continue
			}
			x, err := l.readSegment(t, level, from>>level, base)
			if err == nil {
				s = x
			} else if !errors.Is(err, fs.ErrNotExist) {
				l.log.Warn("evidence: a part of the index doesn't verify and is not used", "part", segName(level, from>>level), "err", err)
				os.Remove(filepath.Join(l.path(indexDir), segName(level, from>>level)))
			}
		}
		if s == nil {
			if !build {
				break
			}
			level := segMax
			for from%(1<<level) != 0 || from+1<<level > t.n {
				level--
			}
			var err error
			if s, err = l.buildSegment(t, level, from>>level, base); err != nil {
				return nil, err
			}
		}
		segs = append(segs, s)
		from, base = segsEnd(segs)
	}
	return segs, nil
}

func segsEnd(segs []*segment) (entries, octets int64) {
	if len(segs) == 0 {
		return 0, 0
	}
	s := segs[len(segs)-1]
	return s.from + s.n, s.end
}

// clearIndex removes files that no segment in use stands on: what a crash left.
// The flock is held.
func (l *Log) clearIndex(segs []*segment) {
	des, err := os.ReadDir(l.path(indexDir))
	if err != nil {
		return
	}
	used := map[string]bool{}
	for _, s := range segs {
		used[segName(s.level, s.k)] = true
	}
	for _, de := range des {
		_, _, ok := parseSegName(de.Name())
		if (ok || strings.HasPrefix(de.Name(), "new-")) && !used[de.Name()] {
			os.Remove(filepath.Join(l.path(indexDir), de.Name()))
		}
	}
}

// tail is what is known of the entries behind the segments.
type tail struct {
	from int64 // the first
	base int64 // octets before it
	ends []int64
	all  []leaf
	ids  map[string]int64
	arts map[string][]int64 // artefact hash -> entries that name it
	by   map[selector][]int64
}

func newTail(from, base int64) *tail {
	return &tail{from: from, base: base, ids: map[string]int64{}, arts: map[string][]int64{}, by: map[selector][]int64{}}
}

// add notes the next entry.
func (t *tail) add(end int64, f *leaf) {
	i := t.from + int64(len(t.ends))
	t.ends, t.all = append(t.ends, end), append(t.all, *f)
	if _, ok := t.ids[f.ID]; !ok {
		t.ids[f.ID] = i
	}
	if f.Artefact != nil {
		t.arts[f.Artefact.Hash] = append(t.arts[f.Artefact.Hash], i)
	}
	for _, s := range f.selectors() {
		t.by[s] = append(t.by[s], i)
	}
}

// fitting gives the entries that have one of each group, in the order of the log.
func (t *tail) fitting(gs [][]selector) (out []int64) {
	for i, g := range gs {
		var list []int64
		for _, s := range g {
			list = append(list, t.by[s]...)
		}
		slices.Sort(list)
		list = slices.Compact(list)
		if i > 0 {
			list = slices.DeleteFunc(list, func(k int64) bool { _, in := slices.BinarySearch(out, k); return !in })
		}
		out = list
	}
	return out
}

// end is the offset behind the last line.
func (t *tail) end() int64 {
	if len(t.ends) == 0 {
		return t.base
	}
	return t.ends[len(t.ends)-1]
}

// rest is the tail without its first n entries.
func (t *tail) rest(n int64) *tail {
	if n == 0 {
		return t
	}
	r := newTail(t.from+n, t.ends[n-1])
	for i := n; i < int64(len(t.ends)); i++ {
		r.add(t.ends[i], &t.all[i])
	}
	return r
}

// fold moves the complete part of the tail into segments. It gives new ones and
// changes neither segs nor t.
func (l *Log) fold(tr *tree, segs []*segment, t *tail) ([]*segment, *tail, error) {
	segs = slices.Clone(segs)
	done := int64(0)
	for {
		from, left := t.from+done, int64(len(t.ends))-done
		level := segMax
		for level >= segMin && (from%(1<<level) != 0 || left < 1<<level) {
			level--
		}
		if level < segMin {
			break
		}
		n := int64(1) << level
		base := t.base
		if done > 0 {
			base = t.ends[done-1]
		}
		var posts []posting
		whats := map[string]bool{}
		for i := range n {
			f := &t.all[done+i]
			posts = postingsOf(f, uint16(i), posts)
			whats[f.What] = true
		}
		sortPostings(posts)
		sub, ok := tr.node(level, from>>level)
		if !ok {
			return nil, nil, errors.New("no such subtree")
		}
		_, b, err := l.makeSegment(level, from>>level, sub, base, t.ends[done:done+n], posts, sortedWhats(whats))
		if err != nil {
			return nil, nil, err
		}
		l.keepSegment(level, from>>level, b)
		s, err := l.segmentOf(tr, level, from>>level, base, b)
		if err != nil {
			return nil, nil, err
		}
		segs = append(segs, s)
		done += n
		for len(segs) > 1 {
			a, b := segs[len(segs)-2], segs[len(segs)-1]
			if a.level != b.level || a.level == segMax || a.k&1 == 1 {
				break
			}
			j, err := l.join(tr, a, b)
			if err != nil {
				return nil, nil, err
			}
			segs = append(segs[:len(segs)-2], j)
		}
	}
	return segs, t.rest(done), nil
}

// maxPages bounds the pages of the index that are kept: 4 KiB each.
const maxPages = 16 << 10

// lookUp gives the entries that have s, in the order of the log, and now and then
// one that has not: whoever asks must look. l.mu is held.
func (l *Log) lookUp(s selector) ([]int64, error) {
	return l.lookUpFrom(s, 0)
}

// lookUpFrom is lookUp for the entries from from on.
func (l *Log) lookUpFrom(s selector, from int64) ([]int64, error) {
	var out []int64
	if len(l.segs) > 0 {
		key := keyOf(s)
		n := len(l.tail.by[s])
		for _, g := range l.segs {
			if g.from+g.n > from {
				lo, hi, err := g.rows(key)
				if err != nil {
					return nil, err
				}
				n += hi - lo
			}
		}
		if n > 0 {
			out = make([]int64, 0, n)
		}
		for _, g := range l.segs {
			if g.from+g.n <= from {
				continue
			}
			var err error
			if out, err = g.find(key, out); err != nil {
				return nil, err
			}
		}
		if l.lookups.Add(1)%1024 == 0 {
			l.trim()
		}
	}
	switch s.field {
	case 'i':
		if i, ok := l.tail.ids[s.value]; ok {
			out = append(out, i)
		}
	case 'a':
		out = append(out, l.tail.arts[s.value]...)
	default:
		out = append(out, l.tail.by[s]...)
	}
	if from > 0 {
		i, _ := slices.BinarySearch(out, from)
		out = out[i:]
	}
	return out, nil
}

// found keeps the long lists of what fits a filter: the log only grows, so such a
// list stays true, and only what came since is looked up. l.mu guards it.
type found struct {
	m map[Filter]foundList
	n int // numbers in all lists
}

type foundList struct {
	to   int64 // the list is of the entries before it
	list []int64
}

const (
	fewFound  = 4 << 10 // shorter lists are not kept
	mostFound = 4 << 20 // numbers: 32 MiB
)

// candidates gives the entries that may fit f, in the order of the log: each must
// be looked at, but of those left out none fits. all says that f leaves nothing
// out. The list must not be changed. l.mu is held.
func (l *Log) candidates(f Filter) (list []int64, all bool, err error) {
	f.From, f.Limit = 0, 0
	k := l.found.m[f]
	fresh, all, err := l.candidatesFrom(f, k.to)
	if err != nil || all {
		return nil, all, err
	}
	n := l.tree.n
	if len(k.list)+len(fresh) < fewFound || len(fresh) > 0 && fresh[len(fresh)-1] >= n {
		return slices.Concat(k.list, fresh), false, nil
	}
	// Behind the end of what others may be reading, and once for each place.
	list = fresh
	if len(k.list) > 0 {
		list = append(k.list, fresh...)
	}
	l.found.n += len(fresh)
	if l.found.m == nil || l.found.n > mostFound {
		l.found = found{map[Filter]foundList{}, len(list)}
	}
	l.found.m[f] = foundList{n, list}
	return list, false, nil
}

func (l *Log) trim() {
	n := 0
	for _, g := range l.segs {
		g.mu.Lock()
		n += len(g.pages)
		g.mu.Unlock()
	}
	if n > maxPages {
		for _, g := range l.segs {
			g.forget()
		}
	}
}

// whats gives every What that begins with prefix. l.mu is held.
func (l *Log) whats(prefix string) []string {
	in := map[string]bool{}
	for _, g := range l.segs {
		for _, w := range g.whats() {
			if strings.HasPrefix(w, prefix) {
				in[w] = true
			}
		}
	}
	for s := range l.tail.by {
		if s.field == 'w' && strings.HasPrefix(s.value, prefix) {
			in[s.value] = true
		}
	}
	return sortedWhats(in)
}

// first gives the first of the candidates that has s, which is an id or an
// artefact's hash.
func (l *Log) first(s selector, candidates []int64, tailFrom int64) (int64, bool, error) {
	for _, i := range candidates {
		if i >= tailFrom {
			return i, true, nil // by a map, which doesn't err
		}
		line, err := l.line(i)
		if err != nil {
			return 0, false, err
		}
		var f leaf
		if err := quickjson.Unmarshal(line, &f); err != nil {
			return 0, false, l.tampered(entriesFile, err)
		}
		if s.field == 'i' && f.ID == s.value || s.field == 'a' && f.Artefact != nil && f.Artefact.Hash == s.value {
			return i, true, nil
		}
	}
	return 0, false, nil
}

// find takes in what others appended and gives the first entry that has s.
func (l *Log) find(s selector) (int64, bool, error) {
	l.mu.Lock()
	err := l.refresh()
	var c []int64
	if err == nil {
		c, err = l.lookUp(s)
	}
	from := l.tail.from
	l.mu.Unlock()
	if err != nil {
		return 0, false, err
	}
	return l.first(s, c, from)
}

// scan calls fn for the entries from from, whose lines begin at base, to to, each
// proven against t. The hash of an entry is in the hashes file.
func (l *Log) scan(t *tree, from, base, to int64, fn func(i, end int64, f *leaf)) (end int64, err error) {
	r := bufio.NewReaderSize(io.NewSectionReader(l.entries, base, 1<<62-base), MaxEntry+1)
	end = base
	for i := from; i < to; i++ {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return end, l.tampered(entriesFile, fmt.Errorf("entry %d of %d can't be read: %w", i, t.n, err))
		}
		end += int64(len(line))
		line = line[:len(line)-1]
		want, err := l.tiles.leaf(t, i)
		if err != nil {
			return end, &hashesError{err}
		}
		if tlog.RecordHash(line) != want {
			return end, l.tampered(entriesFile, fmt.Errorf("entry %d was changed", i))
		}
		var f leaf
		if err := quickjson.Unmarshal(line, &f); err != nil {
			return end, l.tampered(entriesFile, fmt.Errorf("entry %d: %w", i, err))
		}
		fn(i, end, &f)
	}
	return end, nil
}

// hashesError says that the hashes file does not hold what the tree says.
type hashesError struct{ err error }

func (e *hashesError) Error() string { return e.err.Error() }
func (e *hashesError) Unwrap() error { return e.err }
