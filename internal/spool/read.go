package spool

import (
	"cmp"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/impound/impound"
)

// segment is a file with events: a journal, or sealed. first is the number that
// names the journal, and stays when it is sealed.
type segment struct {
	path   string
	first  uint64
	last   uint64 // sealed only
	count  int
	crc    uint32
	newest time.Time
	size   int64
	sealed bool
}

func sealedName(first, last uint64, count int, newest time.Time, crc uint32) string {
	return fmt.Sprintf("seg-%020d-%020d-%d-%d-%08x.parquet", first, last, count, newest.UnixMicro(), crc)
}

func scanSealed(name string) (g segment, ok bool) {
	var newest int64
	_, err := fmt.Sscanf(name, "seg-%020d-%020d-%d-%d-%08x.parquet", &g.first, &g.last, &g.count, &newest, &g.crc)
	g.newest, g.sealed = time.UnixMicro(newest).UTC(), true
	return g, err == nil
}

// list gives the segments in the order of their numbers. Where a journal was
// just sealed, only the sealed one is given.
func list(dir string) ([]segment, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't read the spool: %w", err).At(dir)
	}
	var out []segment
	for _, e := range entries {
		g := segment{path: filepath.Join(dir, e.Name())}
		switch name := e.Name(); {
		case strings.HasPrefix(name, "journal-") && strings.HasSuffix(name, ".jrn"):
			if _, err := fmt.Sscanf(name, "journal-%020d.jrn", &g.first); err != nil {
				continue
			}
		case strings.HasPrefix(name, "seg-") && strings.HasSuffix(name, ".parquet"):
			var ok bool
			path := g.path
			if g, ok = scanSealed(name); !ok {
				continue
			}
			g.path = path
		default:
			continue
		}
		if st, err := e.Info(); err == nil {
			g.size = st.Size()
		}
		out = append(out, g)
	}
	slices.SortFunc(out, func(a, b segment) int {
		switch {
		case a.first != b.first:
			if a.first < b.first {
				return -1
			}
			return 1
		case a.sealed == b.sealed:
			return cmp.Compare(a.count, b.count) // what was expired counts
		case a.sealed:
			return -1
		}
		return 1
	})
	return slices.CompactFunc(out, func(a, b segment) bool { return a.first == b.first }), nil
}

// Reader reads a spool, also one that another process is writing, without
// disturbing it. All methods are safe for concurrent use.
type Reader struct {
	dir   string
	log   *slog.Logger
	onBad func(path string, why error) // nil in other processes

	mu       sync.Mutex
	journals map[string]*follow
	bad      map[string]bool
	cached   string // the sealed segment that rows holds
	rows     *rows
	in       interner
	corrupt  uint64
}

// follow is a journal that is being read, and where the last read ended.
type follow struct {
	j    *journal // nil once it was read to its end, with nothing to come
	told bool     // what is damaged in it was counted
	at   int
	seq  uint64
}

func newReader(dir string, log *slog.Logger) *Reader {
	return &Reader{dir: dir, log: log, journals: map[string]*follow{}, bad: map[string]bool{}}
}

// OpenReader opens the folder for reading. It need not exist yet.
func OpenReader(dir string) (*Reader, error) {
	if st, err := os.Stat(dir); err == nil && !st.IsDir() {
		return nil, impound.Errorf(impound.KindInvalid, "is no folder").At(dir)
	}
	return newReader(dir, slog.New(slog.DiscardHandler)), nil
}

// Close lets go of the files.
func (r *Reader) Close() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, f := range r.journals {
		f.j.close()
		delete(r.journals, k)
	}
	r.rows, r.cached = nil, ""
	return nil
}

// Corrupt is how many damaged stretches and segments this reader met. They were
// skipped.
func (r *Reader) Corrupt() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.corrupt
}

// Read gives up to max events with numbers above after, in order; none when
// there are no more yet.
func (r *Reader) Read(after uint64, max int) ([]impound.Event, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if max <= 0 {
		return nil, nil
	}
	for try := 0; ; try++ {
		out, err := r.read(after, max)
		// A file that vanished was sealed or deleted after it was listed: the
		// new list tells.
		if errors.Is(err, fs.ErrNotExist) && try < 5 {
			continue
		}
		return out, err
	}
}

func (r *Reader) read(after uint64, max int) ([]impound.Event, error) {
	segs, err := list(r.dir)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, err
	}
	r.forget(segs)
	var out []impound.Event
	for i, g := range segs {
		if len(out) >= max {
			break
		}
		if g.sealed && g.last <= after || i+1 < len(segs) && segs[i+1].first <= after+1 && !g.sealed {
			continue
		}
		if g.sealed {
			if r.cached != g.path {
				if r.bad[g.path] {
					continue
				}
				rows, err := readSealed(g)
				if errors.Is(err, fs.ErrNotExist) {
					return nil, err
				}
				if err != nil {
					r.setBad(g.path, err)
					continue
				}
				r.cached, r.rows = g.path, rows
			}
			out = r.rows.read(after, max-len(out), out)
			continue
		}
		out, err = r.readJournal(g, after, max, i == len(segs)-1, out)
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func (r *Reader) setBad(path string, why error) {
	r.bad[path] = true
	r.corrupt++
	if r.onBad != nil {
		r.onBad(path, why)
	} else {
		r.log.Error("spool: a damaged segment is skipped", "file", path, "why", why)
	}
}

// forget unmaps the journals that are gone.
func (r *Reader) forget(segs []segment) {
	for path, f := range r.journals {
		if !slices.ContainsFunc(segs, func(g segment) bool { return g.path == path }) {
			f.j.close()
			delete(r.journals, path)
		}
	}
}

func (r *Reader) readJournal(g segment, after uint64, max int, newest bool, out []impound.Event) (_ []impound.Event, err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if why := recover(); why != nil { // the file was cut while we had it mapped
			if f := r.journals[g.path]; f != nil {
				f.j.close()
				delete(r.journals, g.path)
			}
			r.corrupt++
			r.log.Error("spool: a journal can't be read any more", "file", g.path, "why", why)
			err = fs.ErrNotExist // look again: what is left of it can be mapped anew
		}
	}()
	f := r.journals[g.path]
	if f != nil && f.j == nil && after >= f.seq {
		return out, nil
	}
	if f == nil || f.j == nil {
		j, err := openJournal(g.path, false)
		if j == nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil, err
			}
			if !r.bad[g.path] && !newest { // the newest may be in the making
				r.bad[g.path] = true
				r.corrupt++
			}
			return out, nil
		}
		if f == nil {
			f = &follow{at: jHead, seq: g.first - 1}
			r.journals[g.path] = f
		}
		f.j = j
	}
	sc := scanner{data: f.j.data, at: jHead, last: g.first - 1, live: newest}
	if after >= f.seq { // go on where the last read ended
		sc.at, sc.last = f.at, f.seq
	}
	for len(out) < max {
		seq, body, ok := sc.next()
		if !ok {
			break
		}
		if seq <= after {
			continue
		}
		e := impound.Event{Seq: seq, Sensor: f.j.head.sensor}
		if err := decode(body, &e, &r.in); err != nil {
			sc.bad++ // the checksum is right: written by a later version
			continue
		}
		out = append(out, e)
	}
	if !newest && len(out) < max && sc.last >= f.seq {
		// Read to its end, and nothing is added any more. Who asks for it again
		// maps it again.
		defer func() {
			f.j.close()
			f.j = nil
		}()
	}
	if sc.last >= f.seq {
		f.at, f.seq = sc.at, sc.last
		if sc.bad > 0 && !f.told {
			f.told = !newest
			r.corrupt += uint64(sc.bad)
			r.log.Error("spool: damaged records are skipped", "file", g.path, "stretches", sc.bad, "octets", sc.lost)
		}
	}
	return out, nil
}

// maxSegment is the largest file that is read whole: no journal is larger, and a
// segment is smaller than its journal.
const maxSegment = 1<<30 + 1<<20

// readBounded is os.ReadFile for what may be of any size, into buf where that is
// large enough.
func readBounded(path string, buf []byte) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK, 0) // a pipe must not block
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxSegment {
		return nil, fmt.Errorf("with %d octets it is no segment or journal", st.Size())
	}
	if int64(cap(buf)) < st.Size() {
		buf = make([]byte, st.Size())
	}
	n, err := io.ReadFull(f, buf[:st.Size()])
	if err == io.ErrUnexpectedEOF || err == io.EOF { // it became shorter
		err = nil
	}
	return buf[:n], err
}

// readSealed reads a sealed segment whole and proves it against the checksum in
// its name.
func readSealed(g segment) (*rows, error) {
	data, err := readBounded(g.path, nil)
	if err != nil {
		return nil, err
	}
	if crc32.Checksum(data, castagnoli) != g.crc {
		return nil, errors.New("its checksum does not fit")
	}
	r, err := readParquet(data)
	if err != nil {
		return nil, err
	}
	if n := r.len(); n != g.count {
		return nil, fmt.Errorf("it holds %d events, not %d", n, g.count)
	} else if n > 0 {
		if lo, hi := r.seqAt(0), r.seqAt(n-1); lo < g.first || hi > g.last {
			return nil, fmt.Errorf("its numbers are from %d to %d, not from %d to %d", lo, hi, g.first, g.last)
		}
	}
	return r, nil
}
