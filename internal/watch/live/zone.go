package live

import (
	"bufio"
	"bytes"
	"container/heap"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/klauspost/compress/gzip"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/source"
)

// KindZone is the kind of zone files.
const KindZone = "zone"

// Zones is a folder of zone files in the layout of ICANN's CZDS, TLD.txt.gz or
// TLD.zone, replaced every day: what a zone gained since the last one is
// screened. A zone that lost half of its names is held: that is a broken
// download, not mass deletion.
type Zones struct {
	id, dir string
	work    string // a folder of its own
	all     bool
}

// NewZones makes one; folder is for what it has to remember. all screens all
// names of a zone when it is seen for the first time; else they are only
// remembered.
func NewZones(id, dir, folder string, all bool) *Zones {
	return &Zones{id: id, dir: dir, work: folder, all: all}
}

// ID is the source's name.
func (z *Zones) ID() string { return z.id }

// Kind is KindZone.
func (z *Zones) Kind() string { return KindZone }

// Where is the folder.
func (z *Zones) Where() string { return z.dir }

type zoneCursor struct {
	Zones   map[string]*zoneMark `json:"zones"`
	Names   int64                `json:"names"` // screened
	Removed int64                `json:"removed"`
}

// zoneMark is where one zone stands.
type zoneMark struct {
	Size  int64     `json:"size"` // of the file that was read last
	Mod   time.Time `json:"mod"`
	Known string    `json:"known"` // file of the names that the zone had, sorted
	Count int64     `json:"count"` // of them
	New   string    `json:"new,omitempty"`
	At    spot0     `json:"at"` // how far New was screened
	Held  *heldZone `json:"held,omitempty"`
	// Accept says that a person takes the next list as it is.
	Accept bool `json:"accept,omitempty"`
}

type spot0 struct {
	At   int64 `json:"at"`
	Line int64 `json:"line"`
}

type heldZone struct {
	Size  int64     `json:"size"`
	Mod   time.Time `json:"mod"`
	Count int64     `json:"count"`
}

// zoneName gives the zone that a file is of; "" for another kind of file.
func zoneName(path string) string {
	n := strings.ToLower(filepath.Base(path))
	n = strings.TrimSuffix(n, ".gz")
	for _, ext := range []string{".txt", ".zone"} {
		if s, ok := strings.CutSuffix(n, ext); ok && s != "" {
			return s
		}
	}
	return ""
}

// Pass reads the zones that changed.
func (z *Zones) Pass(ctx context.Context, s *Session) error {
	cur := zoneCursor{Zones: map[string]*zoneMark{}}
	if _, err := s.Cursor(&cur); err != nil {
		return err
	}
	if err := os.MkdirAll(z.work, 0o700); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't make a folder for zones: %w", err)
	}
	z.sweep(cur)
	files, err := listFiles(z.dir)
	if err != nil {
		return err
	}
	var faults []error
	// What was begun comes first: its file may be gone.
	for _, name := range slices.Sorted(maps.Keys(cur.Zones)) {
		if cur.Zones[name].New != "" {
			if err := z.screen(ctx, s, &cur, name); err != nil {
				return err
			}
		}
	}
	for _, path := range files {
		name := zoneName(path)
		if name == "" {
			continue
		}
		err := z.zone(ctx, s, &cur, name, path)
		if ctx.Err() != nil || impound.KindOf(err) == impound.KindConflict {
			return err
		}
		if err != nil {
			faults = append(faults, err)
		}
	}
	if len(faults) > 0 {
		return errors.Join(faults...)
	}
	return s.Idle(ctx)
}

func (z *Zones) place(cur zoneCursor) Place {
	return Place{Position: cur.Names, Verified: cur.Names, Target: -1}
}

// sweep deletes what a run that died left behind.
func (z *Zones) sweep(cur zoneCursor) {
	keep := map[string]bool{}
	for _, m := range cur.Zones {
		keep[m.Known], keep[m.New] = true, true
	}
	es, _ := os.ReadDir(z.work)
	for _, e := range es {
		if !keep[e.Name()] {
			_ = os.Remove(filepath.Join(z.work, e.Name()))
		}
	}
}

// zone takes a new file of a zone in: it sorts the names, compares them with
// those that were known, keeps both, and screens the new ones.
func (z *Zones) zone(ctx context.Context, s *Session, cur *zoneCursor, name, path string) error {
	fi, err := os.Stat(path)
	if err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't look at the zone file: %w", err)
	}
	m := cur.Zones[name]
	if m != nil && (m.Size == fi.Size() && m.Mod.Equal(fi.ModTime()) ||
		m.Held != nil && !m.Accept && m.Held.Size == fi.Size() && m.Held.Mod.Equal(fi.ModTime())) {
		return nil
	}
	f, err := os.Open(path)
	if err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't open the zone file: %w", err)
	}
	defer f.Close()
	r, _, err := unpack(f)
	if err != nil {
		return impound.Errorf(impound.KindInvalid, "%w", err).At(path).WithCure("fetch it again")
	}
	sum := sha256.Sum256(fmt.Append(nil, fi.Size(), fi.ModTime().UnixNano()))
	known := fmt.Sprintf("%s.%x.names.gz", name, sum[:8])
	count, bad, err := sortZone(ctx, source.ZoneText(r, name), name, filepath.Join(z.work, known), z.work)
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return impound.Errorf(impound.KindInvalid, "the zone file is cut short after %d names: nothing of it was taken", count).At(path).WithCure("fetch it again")
	}
	if err != nil {
		return fmt.Errorf("couldn't take in %s: %w", path, err)
	}
	next := &zoneMark{Size: fi.Size(), Mod: fi.ModTime(), Known: known, Count: count, At: spot0{0, 1}}
	var found Findings
	if bad > 0 {
		found.event(Event{What: "zone", Text: fmt.Sprintf("%s: %d lines are no records", filepath.Base(path), bad)})
	}
	switch {
	case m == nil && !z.all:
		// Its names are old: they are only remembered.
	case m == nil:
		next.New = known
	default:
		if count*2 < m.Count && !m.Accept {
			m.Held = &heldZone{fi.Size(), fi.ModTime(), count}
			_ = os.Remove(filepath.Join(z.work, known))
			text := fmt.Sprintf("zone %s has %d names where it had %d: held, not taken as deletions", name, count, m.Count)
			found.event(Event{What: "zone", Text: text})
			if err := s.Commit(ctx, cur, z.place(*cur), &found); err != nil {
				return err
			}
			st := s.State
			st.Held, st.HeldAt = text, s.r.cfg.Now().UTC()
			if err := s.keep(ctx, st); err != nil {
				return err
			}
			return impound.Errorf(impound.KindRefused, "%s", text).At(path).WithCure("fetch it again; if it is right: impound watch release " + s.State.ID)
		}
		next.New = strings.TrimSuffix(known, ".names.gz") + ".new.gz"
		removed, err := diffSorted(filepath.Join(z.work, m.Known), filepath.Join(z.work, known), filepath.Join(z.work, next.New))
		if err != nil {
			return fmt.Errorf("couldn't compare the zone %s with what it was: %w", name, err)
		}
		cur.Removed += removed
		s.State.Removed = cur.Removed
	}
	if s.State.Held != "" && (m == nil || m.Held != nil) {
		s.State.Held, s.State.HeldAt = "", time.Time{} // a later file is whole again
	}
	var old string
	if m != nil {
		old = m.Known
	}
	cur.Zones[name] = next
	if err := s.Commit(ctx, cur, z.place(*cur), &found); err != nil {
		return err
	}
	if old != "" && old != known {
		_ = os.Remove(filepath.Join(z.work, old))
	}
	if next.New != "" {
		return z.screen(ctx, s, cur, name)
	}
	return nil
}

// screen screens what a zone gained, from where it was left.
func (z *Zones) screen(ctx context.Context, s *Session, cur *zoneCursor, name string) error {
	m := cur.Zones[name]
	path := filepath.Join(z.work, m.New)
	f, err := os.Open(path)
	if err != nil {
		return impound.Errorf(impound.KindInternal, "couldn't open the new names of %s: %w", name, err)
	}
	defer f.Close()
	r, _, err := unpack(f)
	if err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, r, m.At.At); err != nil {
		return fmt.Errorf("couldn't read the new names of %s: %w", name, err)
	}
	err = s.stream(ctx, r, spot{at: m.At.At, line: m.At.Line}, true, KindZone+" "+name, func(p spot, fs *Findings) error {
		m.At = spot0{p.at, p.line}
		cur.Names += fs.Names
		return s.Commit(ctx, cur, z.place(*cur), fs)
	})
	if err != nil {
		return err
	}
	done := m.New
	m.New = ""
	if err := s.Commit(ctx, cur, z.place(*cur), &Findings{}); err != nil {
		return err
	}
	if done != m.Known {
		_ = os.Remove(filepath.Join(z.work, done))
	}
	return nil
}

// chunk bounds the memory that sorting takes, in octets of names.
const chunk = 16 << 20

// sortZone writes the names that a zone file delegates to out, sorted, each
// once. Zone files are sorted as a rule; what isn't is sorted in pieces on the
// disk.
func sortZone(ctx context.Context, r io.Reader, zone, out, dir string) (count int64, bad int, err error) {
	var pieces []string
	defer func() {
		for _, p := range pieces {
			_ = os.Remove(p)
		}
	}()
	w, err := newNames(out)
	if err != nil {
		return 0, 0, err
	}
	defer w.abort()
	var last, text []byte
	var ends []int
	sorted := true
	flush := func() error {
		if len(ends) == 0 {
			return nil
		}
		path := filepath.Join(dir, fmt.Sprintf("%s.piece%d.gz", filepath.Base(out), len(pieces)))
		p, err := newNames(path)
		if err != nil {
			return err
		}
		defer p.abort()
		pieces = append(pieces, path)
		names := make([][]byte, len(ends))
		at := 0
		for i, e := range ends {
			names[i], at = text[at:e], e
		}
		slices.SortFunc(names, bytes.Compare)
		for _, n := range slices.CompactFunc(names, bytes.Equal) {
			if err := p.add(n); err != nil {
				return err
			}
		}
		text, ends = text[:0], ends[:0]
		return p.close()
	}
	n := 0
	bad, err = source.Zone(r, zone, func(name []byte) error {
		if n++; n%65536 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if sorted {
			switch c := bytes.Compare(name, last); {
			case c > 0:
				last = append(last[:0], name...)
				return w.add(name)
			case c == 0 && n > 1:
				return nil
			}
			sorted = false
		}
		text = append(text, name...)
		ends = append(ends, len(text))
		if len(text) >= chunk {
			return flush()
		}
		return nil
	})
	if err != nil {
		return w.n, bad, err
	}
	if sorted {
		return w.n, bad, w.close()
	}
	if err := flush(); err != nil {
		return 0, bad, err
	}
	// What came sorted, up to where it ended, is one piece more.
	if err := w.close(); err != nil {
		return 0, bad, err
	}
	first := out + ".piece.gz"
	if err := os.Rename(out, first); err != nil {
		return 0, bad, err
	}
	pieces = append(pieces, first)
	count, err = merge(ctx, pieces, out)
	return count, bad, err
}

// names writes a sorted list.
type names struct {
	f    *os.File
	path string
	z    *gzip.Writer
	b    *bufio.Writer
	n    int64
}

func newNames(path string) (*names, error) {
	f, err := os.OpenFile(path+".tmp", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't keep the zone's names: %w", err)
	}
	z, err := gzip.NewWriterLevel(f, gzip.BestSpeed)
	if err != nil {
		f.Close()
		return nil, err
	}
	return &names{f: f, path: path, z: z, b: bufio.NewWriterSize(z, 64<<10)}, nil
}

func (w *names) add(n []byte) error {
	w.n++
	_, _ = w.b.Write(n)
	return w.b.WriteByte('\n') // keeps the error of the line before, too
}

func (w *names) close() error {
	f := w.f
	w.f = nil
	if err := errors.Join(w.b.Flush(), w.z.Close(), f.Sync(), f.Close()); err != nil {
		_ = os.Remove(f.Name())
		return impound.Errorf(impound.KindUnavailable, "couldn't keep the zone's names: %w", err)
	}
	return os.Rename(f.Name(), w.path)
}

func (w *names) abort() {
	if w.f != nil {
		_ = w.f.Close()
		_ = os.Remove(w.f.Name())
	}
}

// sortedList reads one back.
type sortedList struct {
	f    *os.File
	b    *bufio.Reader
	name []byte
	err  error // io.EOF at the end
}

func openSorted(path string) (*sortedList, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, impound.Errorf(impound.KindInternal, "couldn't open the zone's names: %w", err)
	}
	z, err := gzip.NewReader(bufio.NewReaderSize(f, 64<<10))
	if err != nil {
		f.Close()
		return nil, impound.Errorf(impound.KindInternal, "couldn't read the zone's names: %w", err)
	}
	l := &sortedList{f: f, b: bufio.NewReaderSize(z, 64<<10)}
	l.next()
	return l, nil
}

func (l *sortedList) next() {
	l.name, l.err = l.b.ReadSlice('\n')
	l.name = bytes.TrimSuffix(l.name, []byte{'\n'})
}

type mergeHeap []*sortedList

func (h mergeHeap) Len() int           { return len(h) }
func (h mergeHeap) Less(i, j int) bool { return bytes.Compare(h[i].name, h[j].name) < 0 }
func (h mergeHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *mergeHeap) Push(x any)        { *h = append(*h, x.(*sortedList)) }
func (h *mergeHeap) Pop() any {
	x := (*h)[len(*h)-1]
	*h = (*h)[:len(*h)-1]
	return x
}

func merge(ctx context.Context, pieces []string, out string) (int64, error) {
	var h mergeHeap
	defer func() {
		for _, l := range h {
			l.f.Close()
		}
	}()
	for _, p := range pieces {
		l, err := openSorted(p)
		if err != nil {
			return 0, err
		}
		if l.err == io.EOF {
			l.f.Close()
			continue
		}
		h = append(h, l)
	}
	heap.Init(&h)
	w, err := newNames(out)
	if err != nil {
		return 0, err
	}
	defer w.abort()
	var last []byte
	for n := 0; len(h) > 0; n++ {
		if n%65536 == 0 && ctx.Err() != nil {
			return 0, ctx.Err()
		}
		l := h[0]
		if l.err != nil && l.err != io.EOF {
			return 0, l.err
		}
		if n == 0 || !bytes.Equal(l.name, last) {
			last = append(last[:0], l.name...)
			if err := w.add(l.name); err != nil {
				return 0, err
			}
		}
		l.next()
		switch {
		case l.err == io.EOF:
			heap.Pop(&h)
			l.f.Close()
		case l.err != nil:
			return 0, l.err
		default:
			heap.Fix(&h, 0)
		}
	}
	return w.n, w.close()
}

// diffSorted writes what newer has and older has not to added, and counts what
// is the other way round.
func diffSorted(older, newer, added string) (removed int64, err error) {
	a, err := openSorted(older)
	if err != nil {
		return 0, err
	}
	defer a.f.Close()
	b, err := openSorted(newer)
	if err != nil {
		return 0, err
	}
	defer b.f.Close()
	w, err := newNames(added)
	if err != nil {
		return 0, err
	}
	defer w.abort()
	for a.err == nil || b.err == nil {
		c := 0
		switch {
		case a.err != nil:
			c = 1
		case b.err != nil:
			c = -1
		default:
			c = bytes.Compare(a.name, b.name)
		}
		switch {
		case c < 0:
			removed++
			a.next()
		case c > 0:
			if err := w.add(b.name); err != nil {
				return 0, err
			}
			b.next()
		default:
			a.next()
			b.next()
		}
	}
	for _, l := range []*sortedList{a, b} {
		if l.err != io.EOF {
			return 0, fmt.Errorf("couldn't read the zone's names: %w", l.err)
		}
	}
	return removed, w.close()
}
