package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"github.com/impound/impound"
)

// OutcomeGap is the outcome of an event that stands for those that could not be
// recorded: At is when the gap began, Len how many are missing. It ends at the
// next event.
const OutcomeGap = "gap"

// jump is how far the numbers leap after a power cut: telemetry may have seen
// numbers that the disk lost, and a number must never mean two events.
const jump = 1 << 20

// Options say how a spool keeps its events. The zero value but for Sensor is
// usable.
type Options struct {
	Sensor       string
	SegmentBytes int           // size of a journal; 0 means 8 MiB
	SyncEvery    time.Duration // what a power cut can take at most; 0 means 1 s
	MaxBytes     int64         // bound of the whole folder; 0 means none
	Now          func() time.Time
	Log          *slog.Logger
	NoSeal       bool // keep full journals as they are
	// ClockLeap is how far the clock may leap forward and still be believed by what
	// deletes old events, see [Spool.TrustClock]; 0 means two days, less than 0 any.
	ClockLeap time.Duration
	// Floor is the highest number that anybody already has from this sensor. All
	// new ones are above it, so that a folder that was lost, or came back from an
	// old copy, never gives a number for the second time.
	Floor uint64
}

// Stats is how a spool stands. Counters are since Open.
type Stats struct {
	Appended uint64    // events that stand in the journal
	Dropped  uint64    // events lost because nothing could be recorded
	Gap      bool      // recording is stopped right now
	GapSince time.Time // of the gap that is open, or was last
	GapLost  uint64    // events lost in the gap that is open
	Last     uint64    // sequence number of the newest event; 0 when there is none
	Synced   uint64    // newest sequence number that a power cut can't take
	Shipped  uint64    // as told by MarkShipped
	Sealed   uint64    // journals made into Parquet
	Evicted  uint64    // segments deleted to stay within MaxBytes
	Corrupt  uint64    // stretches or segments set aside because they were damaged
	Bytes    int64     // on disk, at the last look
	Segments int       // the same
}

// Spool is the writer's side. Only one process can have a folder open as a
// Spool; any number can read it, see [OpenReader]. All methods are safe for
// concurrent use.
type Spool struct {
	dir  string
	opt  Options
	lock *os.File

	mu      sync.Mutex // guards what follows, for the time of a copy
	cur     *journal
	off     int
	seq     uint64 // the next number is above it
	last    uint64 // number of the newest event
	spare   *journal
	closed  bool
	full    bool
	broken  bool      // a write into cur's mapping failed: its file was cut, or the disk gave it up
	missed  [3]uint64 // the gap, while cur can't hold it: how many, from, until
	retry   time.Time
	gapped  uint64 // in this process; for Stats
	since   time.Time
	retired []retiree
	tail    []byte // scratch for the checksum

	expireMu sync.Mutex
	due      map[string]time.Time // sealed segments that Expire has read, and when it must again

	clockMu      sync.Mutex
	clock        clockNote
	clockSaved   time.Time
	newestAtOpen time.Time

	syncMu   sync.Mutex // held while the mapping is written out
	syncedTo int        // offset in cur

	appended, synced, shipped        atomic.Uint64
	sealed, evicted, corrupt         atomic.Uint64
	bytes                            atomic.Int64
	segments                         atomic.Int64
	reader                           *Reader
	kickSpare, kickSync, kickSeal, q chan struct{}
	wg                               sync.WaitGroup
}

type retiree struct {
	j      *journal
	last   uint64
	broken bool
}

var bodies = sync.Pool{New: func() any { b := make([]byte, 0, 1024); return &b }}

// ErrFull is what Append gives while nothing can be recorded. It is an
// [impound.Error] of KindUnavailable.
var ErrFull error = &impound.Error{Kind: impound.KindUnavailable, Msg: "the spool is full: events are counted but not kept", Cure: "ship or free some of it, or raise its bound"}

var errClosed error = &impound.Error{Kind: impound.KindUnavailable, Msg: "the spool is closed"}

// Open opens the folder for recording, and makes it if need be. It drops what a
// crash left half written, keeps all else, and goes on with the next number. An
// empty folder begins with the microseconds since 1970: more than any that was
// lost can have reached, and still exact in JSON. It refuses, as KindConflict, a
// folder that another process records into.
func Open(dir string, opt Options) (*Spool, error) {
	if opt.SegmentBytes == 0 {
		opt.SegmentBytes = 8 << 20
	}
	if opt.SegmentBytes < 64<<10 || opt.SegmentBytes > 1<<30 {
		return nil, impound.Errorf(impound.KindInvalid, "segments of %d octets can't be made", opt.SegmentBytes).WithCure("choose between 64 KiB and 1 GiB")
	}
	opt.SegmentBytes = (opt.SegmentBytes + jHead - 1) &^ (jHead - 1)
	if opt.MaxBytes != 0 && opt.MaxBytes < 3*int64(opt.SegmentBytes) {
		return nil, impound.Errorf(impound.KindInvalid, "a bound of %d octets holds less than three segments of %d", opt.MaxBytes, opt.SegmentBytes).WithCure("raise the bound, or make segments smaller")
	}
	if opt.SyncEvery == 0 {
		opt.SyncEvery = time.Second
	}
	if opt.Now == nil {
		opt.Now = time.Now
	}
	if opt.Log == nil {
		opt.Log = slog.New(slog.DiscardHandler)
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't make the spool: %w", err).At(dir).WithCure("make the folder writable for this user")
	}
	lock, err := lockDir(dir)
	if err != nil {
		return nil, err
	}
	s := &Spool{
		dir: dir, opt: opt, lock: lock, tail: make([]byte, 12),
		kickSpare: make(chan struct{}, 1), kickSync: make(chan struct{}, 1), kickSeal: make(chan struct{}, 1), q: make(chan struct{}),
	}
	s.reader = newReader(dir, opt.Log)
	s.reader.onBad = s.setAside
	if err := s.recover(); err != nil {
		s.reader.Close()
		lock.Close()
		return nil, err
	}
	s.wg.Add(3)
	go s.syncLoop()
	go s.spareLoop()
	go s.sealLoop()
	kick(s.kickSpare)
	kick(s.kickSeal)
	return s, nil
}

func lockDir(dir string) (*os.File, error) {
	path := filepath.Join(dir, "lock")
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't open the spool: %w", err).At(dir).WithCure("make the folder writable for this user")
	}
	if err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		who, _ := os.ReadFile(path)
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			pid := strings.TrimSpace(string(who))
			if _, err := strconv.Atoi(pid); err != nil {
				pid = "unknown"
			}
			return nil, impound.Errorf(impound.KindConflict, "another process (pid %s) records into this spool", pid).At(dir).WithCure("stop that one first, or give this one a folder of its own")
		}
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't lock the spool: %w", err).At(dir)
	}
	if err := f.Truncate(0); err == nil {
		fmt.Fprintf(f, "%d\n", os.Getpid())
	}
	return f, nil
}

// recover finds where recording stopped and makes a journal current.
func (s *Spool) recover() error {
	if err := s.dropSealed(); err != nil {
		return err
	}
	list, err := list(s.dir)
	if err != nil {
		return err
	}
	s.newestAtOpen = newestTime(list)
	// Leftovers of a crash. A temporary Parquet file still has its journal.
	tmp, _ := filepath.Glob(filepath.Join(s.dir, "*.tmp"))
	for _, f := range tmp {
		os.Remove(f)
	}
	if b, err := os.ReadFile(filepath.Join(s.dir, "shipped")); err == nil {
		if n, err := strconv.ParseUint(strings.TrimSpace(string(b)), 10, 64); err == nil {
			s.shipped.Store(n)
		}
	}
	var newest *segment
	for i := range list {
		seg := &list[i]
		if seg.last > 0 {
			s.seq = max(s.seq, seg.last)
		} else if seg.first > 0 {
			s.seq = max(s.seq, seg.first-1)
		}
		if !seg.sealed {
			newest = seg
		}
	}
	var gap [3]uint64
	if newest != nil {
		gap = s.takeUp(newest)
	}
	s.last = newestEvent(list)
	switch {
	case len(list) == 0:
		s.seq = max(s.seq, s.opt.Floor, uint64(max(0, s.opt.Now().UnixMicro())))
	case s.seq < s.opt.Floor:
		s.opt.Log.Warn("spool: this folder is older than what was taken from it; numbers leap", "have", s.seq, "next", s.opt.Floor+1)
		s.seq = s.opt.Floor
	}
	if s.cur == nil {
		if err := s.rotateLocked(); err != nil {
			return impound.Errorf(impound.KindUnavailable, "couldn't make a journal of %d octets: %w", s.opt.SegmentBytes, err).At(s.dir).WithCure("free some space, or check permissions")
		}
		if gap[0] > 0 {
			s.writeGap(gap)
		}
	} else if gap[0] > 0 {
		// It is full, and its gap is still open: it goes on until there is room.
		s.since = time.UnixMicro(int64(gap[1])).UTC()
	}
	return nil
}

// takeUp goes on in the newest journal where that can be, and finds the last
// number in it. Whatever is wrong with the file, also while it is mapped, costs
// its events at most: numbers then leap over all that it can have held.
func (s *Spool) takeUp(newest *segment) (gap [3]uint64) {
	held := jump
	j, err := openJournal(newest.path, true)
	if j == nil {
		// Nothing of it can be read; sealing sets it aside.
		s.opt.Log.Error("spool: a journal can't be opened; numbers leap", "file", newest.path, "err", err)
		if st, err := os.Stat(newest.path); err == nil {
			held = max(held, int(st.Size())/recHead)
		}
		s.seq += uint64(held)
		s.corrupt.Add(1)
		return gap
	}
	sc := scanner{data: j.data, last: newest.first - 1}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if why := recover(); why != nil {
			held = max(held, len(j.data)/recHead)
			s.seq = max(s.seq, sc.last) + uint64(held)
			j.close()
			s.cur = nil
			s.corrupt.Add(1)
			s.opt.Log.Error("spool: a journal can't be read to its end; numbers leap", "file", newest.path, "why", why, "next", s.seq+1)
		}
	}()
	if mapped != nil {
		mapped(newest.path)
	}
	headOK := err == nil
	for {
		if _, _, ok := sc.next(); !ok {
			break
		}
	}
	if sc.bad > 0 {
		s.corrupt.Add(uint64(sc.bad))
		s.opt.Log.Error("spool: damaged records were skipped", "file", newest.path, "stretches", sc.bad, "octets", sc.lost)
	}
	if n := sc.tail(); n > 0 {
		s.opt.Log.Warn("spool: a record that was never finished was dropped", "file", newest.path, "octets", n)
		clear(j.data[sc.at:])
	}
	gap = [3]uint64{*word(j.data, jGap), *word(j.data, jGapFrom), *word(j.data, jGapTo)}
	clean := *word(j.data, jClean) == 1
	sameBoot := j.head.boot != "" && j.head.boot == bootID()
	switch {
	case !headOK:
		// Its end may be what is missing.
		s.seq = max(s.seq, sc.last) + jump
		s.opt.Log.Error("spool: the head of a journal can't be read; numbers leap", "file", newest.path, "err", err, "next", s.seq+1)
		j.close()
		return [3]uint64{}
	case !clean && !sameBoot:
		s.seq = max(s.seq, sc.last) + jump
		s.opt.Log.Warn("spool: the machine stopped without warning; numbers leap", "next", s.seq+1)
		j.close()
		return gap
	}
	s.seq = max(s.seq, sc.last)
	if !sameBoot || j.head.sensor != s.opt.Sensor || len(j.data) != s.opt.SegmentBytes {
		j.close()
		return gap
	}
	*word(j.data, jClean) = 0
	s.cur, s.off, s.syncedTo = j, sc.at, jHead
	return gap
}

// mapped is called by tests when a journal was mapped and not yet read.
var mapped func(path string)

// newestEvent is the number of the newest event in the segments, 0 without one.
// It reads only as far back as it must: mostly one journal.
func newestEvent(list []segment) uint64 {
	for i := len(list) - 1; i >= 0; i-- {
		if list[i].sealed {
			return list[i].last
		}
		j, _ := readJournal(list[i].path, nil) // not mapped: it may be cut meanwhile
		if j == nil {
			continue
		}
		last := uint64(0)
		sc := scanner{data: j.data, last: list[i].first - 1}
		for seq, _, ok := sc.next(); ok; seq, _, ok = sc.next() {
			last = seq
		}
		if last > 0 {
			return last
		}
	}
	return 0
}

// Append records e, and sets its Seq and Sensor; At is kept in microseconds.
// When it returns nil, the event outlives the process, and after
// Options.SyncEvery also the machine. It does not allocate. The error is
// [ErrFull], or says that the spool is closed; the event is then counted as
// lost.
func (s *Spool) Append(e *impound.Event) error {
	bp := bodies.Get().(*[]byte)
	body := encode((*bp)[:0], e)
	*bp = body
	if len(body) > maxBody { // can't be: every string is bounded
		bodies.Put(bp)
		return impound.Errorf(impound.KindInternal, "an event of %d octets can't be recorded", len(body))
	}
	seq, err := s.write(body)
	bodies.Put(bp)
	if err != nil {
		return err
	}
	e.Seq, e.Sensor = seq, s.opt.Sensor
	return nil
}

func (s *Spool) write(body []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return 0, errClosed
	}
	return s.writeLocked(body)
}

func (s *Spool) writeLocked(body []byte) (uint64, error) {
	if !s.broken && s.off+recSize(len(body)) <= len(s.cur.data) {
		if seq, ok := s.tryPut(body); ok {
			return seq, nil
		}
	}
	if s.broken || s.off+recSize(len(body)) > len(s.cur.data) {
		now := s.opt.Now()
		if s.full && now.Before(s.retry) {
			s.lose(now)
			return 0, ErrFull
		}
		if err := s.rotateLocked(); err != nil {
			if !s.full {
				s.opt.Log.Error("spool: RECORDING STOPPED: events are counted but not kept", "dir", s.dir, "err", err)
			}
			s.full, s.retry = true, now.Add(time.Second)
			s.lose(now)
			return 0, ErrFull
		}
	}
	if seq, ok := s.tryPut(body); ok {
		return seq, nil
	}
	s.lose(s.opt.Now())
	return 0, ErrFull
}

// tryPut is put, where a page that can't be had (the file was cut under us, a
// disk that copies on write is full, an error of the disk) is no death of the
// process: it gives false, and the journal is given up.
func (s *Spool) tryPut(body []byte) (seq uint64, ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			ok = false
			s.giveUp(r)
		}
	}()
	return s.put(body), true
}

func (s *Spool) giveUp(why any) {
	s.broken = true
	s.corrupt.Add(1)
	s.opt.Log.Error("spool: THE JOURNAL CAN'T BE WRITTEN any more; it is given up, and what it held may be lost", "file", s.cur.path, "why", why)
}

// put writes a record at the end. There is room.
func (s *Spool) put(body []byte) uint64 {
	d, at := s.cur.data, s.off
	s.seq++
	copy(d[at+recHead:], body)
	binary.LittleEndian.PutUint64(d[at+8:], s.seq)
	binary.LittleEndian.PutUint64(s.tail, s.seq)
	binary.LittleEndian.PutUint32(s.tail[8:], uint32(len(body)))
	binary.LittleEndian.PutUint32(d[at+4:], crcOf(body, s.tail))
	setLength(d, at, uint32(len(body)))
	s.off, s.last = at+recSize(len(body)), s.seq
	s.appended.Add(1)
	return s.seq
}

// lose counts an event that can't be kept, in the mapped head of the journal,
// so that the count outlives the process.
func (s *Spool) lose(now time.Time) {
	s.gapped++
	t := uint64(now.UnixMicro())
	n, from, to := &s.missed[0], &s.missed[1], &s.missed[2]
	if !s.broken {
		d := s.cur.data
		defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
		defer func() {
			if recover() != nil {
				s.broken = true
				s.missed = [3]uint64{s.missed[0] + 1, t, t}
			}
		}()
		n, from, to = word(d, jGap), word(d, jGapFrom), word(d, jGapTo)
	}
	if *n == 0 {
		*from = t
		s.since = now.UTC()
	}
	*n++
	*to = t
}

// gapOf is the gap that stands behind the current journal.
func (s *Spool) gapOf() (g [3]uint64) {
	g = s.missed
	if s.broken {
		return g
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if recover() != nil {
			s.broken = true
		}
	}()
	d := s.cur.data
	if n := *word(d, jGap); n > 0 {
		g = [3]uint64{g[0] + n, *word(d, jGapFrom), *word(d, jGapTo)}
		*word(d, jGap) = 0
	}
	*word(d, jClean) = 1
	return g
}

// writeGap records, in a fresh journal, how many events are missing before it.
func (s *Spool) writeGap(g [3]uint64) {
	g[0] = min(g[0], 1<<36) // the head it comes from can be damaged
	at := time.UnixMicro(int64(g[1]))
	for left := g[0]; left > 0; { // a record can't say more than a billion
		n := min(left, 1<<30)
		left -= n
		e := impound.Event{At: at, Capture: impound.CaptureCount, Outcome: OutcomeGap, Len: int(n)}
		s.put(encode(nil, &e))
	}
	s.opt.Log.Warn("spool: recording goes on after a gap", "lost", g[0], "from", at.UTC(), "until", time.UnixMicro(int64(g[2])).UTC())
}

// rotateLocked puts a fresh journal in place of the current one.
func (s *Spool) rotateLocked() error {
	j := s.spare
	s.spare = nil
	if j == nil {
		var err error
		if j, err = s.makeSpare(); err != nil {
			return err
		}
	}
	h := header{first: s.seq + 1, made: s.opt.Now(), boot: bootID(), sensor: s.opt.Sensor}
	if err := j.begin(s.dir, h); err != nil {
		j.close()
		os.Remove(j.path)
		return err
	}
	old, last := s.cur, s.last
	var g [3]uint64
	if old != nil {
		g = s.gapOf()
		s.retired = append(s.retired, retiree{old, last, s.broken})
	}
	s.cur, s.off, s.broken, s.missed = j, jHead, false, [3]uint64{}
	if g[0] > 0 {
		s.writeGap(g)
	}
	s.full = false
	kick(s.kickSpare)
	kick(s.kickSync)
	return nil
}

// makeSpare allocates a journal within the bound, deleting the oldest shipped
// segments if need be.
func (s *Spool) makeSpare() (*journal, error) {
	if err := s.makeRoom(); err != nil {
		return nil, err
	}
	for {
		j, err := makeSpare(s.dir, s.opt.SegmentBytes)
		// The disk can be full before our own bound is reached.
		if !errors.Is(err, unix.ENOSPC) && !errors.Is(err, unix.EDQUOT) || !s.evictOldest() {
			return j, err
		}
	}
}

// evictOldest deletes the oldest segment that was shipped; false when there is
// none.
func (s *Spool) evictOldest() bool {
	segs, err := list(s.dir)
	if err != nil {
		return false
	}
	for i, g := range segs {
		if wasShipped(segs, i, s.shipped.Load()) {
			if os.Remove(g.path) != nil {
				return false
			}
			s.evicted.Add(1)
			return true
		}
	}
	return false
}

// wasShipped says whether all of a segment stands elsewhere. A journal counts once
// there is a later one: it may be that sealing it is what there is no room for.
func wasShipped(segs []segment, i int, shipped uint64) bool {
	if segs[i].sealed {
		return segs[i].last <= shipped
	}
	return i+1 < len(segs) && segs[i+1].first <= shipped+1
}

func (s *Spool) makeRoom() error {
	segs, err := list(s.dir)
	if err != nil {
		return err
	}
	var total int64
	for _, g := range segs {
		total += g.size
	}
	n := len(segs)
	if s.opt.MaxBytes > 0 {
		shipped := s.shipped.Load()
		for i, g := range segs {
			if total+int64(s.opt.SegmentBytes) <= s.opt.MaxBytes {
				break
			}
			if !wasShipped(segs, i, shipped) {
				continue
			}
			if err := os.Remove(g.path); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
			total -= g.size
			n--
			s.evicted.Add(1)
		}
		if total+int64(s.opt.SegmentBytes) > s.opt.MaxBytes {
			s.note(total, n)
			return fmt.Errorf("the bound of %d octets is reached, and nothing that was shipped is left to delete", s.opt.MaxBytes)
		}
	}
	s.note(total, n)
	return nil
}

func (s *Spool) note(bytes int64, segments int) {
	s.bytes.Store(bytes)
	s.segments.Store(int64(segments))
}

func kick(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// spareLoop keeps a journal ready, so that a full one costs no query its time.
func (s *Spool) spareLoop() {
	defer s.wg.Done()
	for {
		select {
		case <-s.q:
			return
		case <-s.kickSpare:
		}
		s.mu.Lock()
		need := s.spare == nil && !s.closed
		s.mu.Unlock()
		if !need {
			continue
		}
		j, err := s.makeSpare()
		if err != nil {
			continue // Append tries again when it needs one, and says so
		}
		s.mu.Lock()
		if s.spare == nil && !s.closed {
			s.spare, j = j, nil
		}
		s.mu.Unlock()
		if j != nil {
			j.close()
			os.Remove(j.path)
		}
	}
}

func (s *Spool) syncLoop() {
	defer s.wg.Done()
	t := time.NewTicker(s.opt.SyncEvery)
	defer t.Stop()
	for {
		select {
		case <-s.q:
			return
		case <-t.C:
		case <-s.kickSync:
		}
		if err := s.Sync(); err != nil {
			s.opt.Log.Error("spool: couldn't write to the disk", "dir", s.dir, "err", err)
		}
	}
}

// Sync writes all that was appended before to the disk. When it returns nil, a
// power cut can't take it.
func (s *Spool) Sync() error {
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	retired := s.retired
	s.retired = nil
	cur, to, seq := s.cur, s.off, s.last
	s.mu.Unlock()
	for i, r := range retired {
		if r.broken { // what of it can be had, sealing reads from the file
			r.j.close()
			continue
		}
		if err := r.j.sync(jHead, len(r.j.data)); err != nil {
			s.mu.Lock()
			s.retired = append(retired[i:len(retired):len(retired)], s.retired...)
			s.mu.Unlock()
			return err
		}
		r.j.close()
		s.synced.Store(max(s.synced.Load(), r.last))
	}
	if len(retired) > 0 {
		s.syncedTo = jHead
		if err := syncDir(s.dir); err != nil {
			return err
		}
		kick(s.kickSeal)
	}
	if to > s.syncedTo {
		// cur stays mapped: only this function unmaps, and only what was retired.
		if err := cur.sync(s.syncedTo, to); err != nil {
			return err
		}
		s.syncedTo = to
	}
	s.synced.Store(max(s.synced.Load(), seq))
	return nil
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}

// MarkShipped says that every event up to seq stands safely elsewhere, so that
// its segment may be deleted when room is needed. It is fsynced on return.
func (s *Spool) MarkShipped(seq uint64) error {
	for {
		have := s.shipped.Load()
		if seq <= have {
			return nil
		}
		if s.shipped.CompareAndSwap(have, seq) {
			break
		}
	}
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	if err := writeAtomic(s.dir, "shipped", strconv.AppendUint(nil, s.shipped.Load(), 10)); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't note what was shipped: %w", err).At(s.dir)
	}
	return nil
}

// Prune deletes sealed segments that were shipped and whose newest event is
// older than before, and says how many. It refuses while the clock can't be
// trusted, see [Spool.TrustClock].
func (s *Spool) Prune(before time.Time) (int, error) {
	if err := s.TrustClock(s.opt.Now()); err != nil {
		return 0, err
	}
	segs, err := list(s.dir)
	if err != nil {
		return 0, err
	}
	n := 0
	for _, g := range segs {
		if !g.sealed || g.last > s.shipped.Load() || !g.newest.Before(before) {
			continue
		}
		if err := os.Remove(g.path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return n, impound.Errorf(impound.KindUnavailable, "couldn't delete a segment: %w", err).At(g.path)
		}
		n++
	}
	return n, nil
}

func writeAtomic(dir, name string, data []byte) (err error) {
	f, err := os.CreateTemp(dir, name+"-*.tmp")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if _, err = f.Write(data); err != nil {
		return err
	}
	if err = f.Sync(); err != nil {
		return err
	}
	if err = f.Close(); err != nil {
		return err
	}
	if err = os.Rename(f.Name(), filepath.Join(dir, name)); err != nil {
		return err
	}
	return syncDir(dir)
}

// Read gives up to max events with numbers above after, in order. Numbers can
// leap; see Stats and [OutcomeGap] for what is missing.
func (s *Spool) Read(after uint64, max int) ([]impound.Event, error) {
	return s.reader.Read(after, max)
}

// Stats tells how the spool stands.
func (s *Spool) Stats() Stats {
	s.mu.Lock()
	st := Stats{Dropped: s.gapped, Gap: s.full, GapSince: s.since, Last: s.last}
	if s.full && !s.closed {
		st.GapLost = *word(s.cur.data, jGap)
	}
	s.mu.Unlock()
	st.Appended, st.Synced, st.Shipped = s.appended.Load(), s.synced.Load(), s.shipped.Load()
	st.Sealed, st.Evicted, st.Corrupt = s.sealed.Load(), s.evicted.Load(), s.corrupt.Load()
	st.Bytes, st.Segments = s.bytes.Load(), int(s.segments.Load())
	return st
}

// Close writes all to the disk and lets go of the folder. Sealing that has not
// begun is left to the next Open.
func (s *Spool) Close() error {
	err := s.Sync()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	cur, to := s.cur, s.off
	retired, spare := s.retired, s.spare
	s.spare, s.retired = nil, nil
	s.mu.Unlock()
	close(s.q)
	s.wg.Wait()
	s.syncMu.Lock()
	defer s.syncMu.Unlock()
	for _, r := range retired {
		if !r.broken {
			err = errors.Join(err, r.j.sync(jHead, len(r.j.data)))
		}
		r.j.close()
	}
	err = errors.Join(err, cur.sync(jHead, to))
	if err == nil && cur.markClean() {
		err = cur.sync(0, 0)
	}
	cur.close()
	if spare != nil {
		spare.close()
		os.Remove(spare.path)
	}
	s.reader.Close()
	err = errors.Join(err, s.lock.Close())
	if err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't close the spool: %w", err).At(s.dir)
	}
	return nil
}

// setAside moves a damaged segment out of the way, so that it is looked at and
// the others go on.
func (s *Spool) setAside(path string, why error) {
	s.corrupt.Add(1)
	aside := filepath.Join(s.dir, "aside")
	err := os.MkdirAll(aside, 0o700)
	if err == nil {
		err = os.Rename(path, filepath.Join(aside, filepath.Base(path)))
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		s.opt.Log.Error("spool: couldn't set a damaged segment aside", "file", path, "err", err)
		return
	}
	s.opt.Log.Error("spool: a damaged segment was set aside", "file", path, "why", why)
}
