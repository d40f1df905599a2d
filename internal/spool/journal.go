package spool

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/impound/impound"
)

// A journal is a file of fixed size, allocated whole, with a head of one page:
//
//	0   "IMPJRNL1"
//	8   u64 size of the file
//	16  u64 first sequence number that may stand in it
//	24  u64 made at, Unix microseconds
//	32  boot id, 36 octets
//	72  u16 length of the sensor's name, and the name
//	384 u32 CRC32C over all that; what follows changes while it is written
//	512 u64 1 when it was closed in order
//	520 u64 events lost because nothing could be recorded, since when (528) and until when (536), Unix microseconds
//
// Records begin at 4096; the first length of zero ends them.
const (
	jMagic   = "IMPJRNL1"
	jHead    = 4096
	jClean   = 512
	jGap     = 520
	jGapFrom = 528
	jGapTo   = 536
)

type journal struct {
	path   string
	data   []byte
	head   header
	copied bool // data is no mapping
}

type header struct {
	first  uint64
	made   time.Time
	boot   string
	sensor string
}

// bootID tells one start of the machine from another; "" where it can't.
var bootID = func() string {
	b, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	return strings.TrimSpace(string(b))
}

func (h header) write(d []byte, size int) {
	copy(d, jMagic)
	binary.LittleEndian.PutUint64(d[8:], uint64(size))
	binary.LittleEndian.PutUint64(d[16:], h.first)
	binary.LittleEndian.PutUint64(d[24:], uint64(h.made.UnixMicro()))
	copy(d[32:68], h.boot)
	n := min(len(h.sensor), 300)
	binary.LittleEndian.PutUint16(d[72:], uint16(n))
	copy(d[74:], h.sensor[:n])
	binary.LittleEndian.PutUint32(d[384:], crc32.Checksum(d[:384], castagnoli))
}

func readHeader(d []byte) (header, error) {
	if len(d) < jHead || string(d[:8]) != jMagic {
		return header{}, errors.New("it is no journal, or of another version")
	}
	if crc32.Checksum(d[:384], castagnoli) != binary.LittleEndian.Uint32(d[384:]) {
		return header{}, errors.New("its head is damaged")
	}
	n := int(binary.LittleEndian.Uint16(d[72:]))
	if n > 300 || binary.LittleEndian.Uint64(d[8:]) != uint64(len(d)) {
		return header{}, errors.New("it was cut, or its head is damaged")
	}
	return header{
		first:  binary.LittleEndian.Uint64(d[16:]),
		made:   time.UnixMicro(int64(binary.LittleEndian.Uint64(d[24:]))).UTC(),
		boot:   string(bytes.TrimRight(d[32:68], "\x00")),
		sensor: string(d[74 : 74+n]),
	}, nil
}

func word(d []byte, at int) *uint64 { return (*uint64)(unsafe.Pointer(&d[at])) }

func length(d []byte, at int) uint32 {
	return atomic.LoadUint32((*uint32)(unsafe.Pointer(&d[at])))
}

func setLength(d []byte, at int, n uint32) {
	atomic.StoreUint32((*uint32)(unsafe.Pointer(&d[at])), n)
}

// makeSpare allocates an empty journal of size octets under a temporary name.
// All blocks are allocated now: a full disk is an error here, never a fault at
// a write into the mapping.
func makeSpare(dir string, size int) (*journal, error) {
	f, err := os.CreateTemp(dir, "spare-*.tmp")
	if err != nil {
		return nil, err
	}
	defer f.Close()
	fail := func(err error) (*journal, error) {
		os.Remove(f.Name())
		return nil, err
	}
	if err := fallocate(f, int64(size)); err != nil {
		return fail(err)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return fail(fmt.Errorf("couldn't map it: %w", err))
	}
	return &journal{path: f.Name(), data: data}, nil
}

func fallocate(f *os.File, size int64) error {
	for {
		err := unix.Fallocate(int(f.Fd()), 0, 0, size)
		switch {
		case err == unix.EINTR:
			continue
		case err == unix.EOPNOTSUPP || err == unix.ENOSYS:
			// A file system that can't: write zeros, so that the blocks are
			// there all the same.
			zero := make([]byte, 1<<20)
			for at := int64(0); at < size; at += int64(len(zero)) {
				if _, err := f.WriteAt(zero[:min(int64(len(zero)), size-at)], at); err != nil {
					return err
				}
			}
			return nil
		}
		return err
	}
}

// begin gives a spare journal its head and its name.
func (j *journal) begin(dir string, h header) error {
	h.write(j.data, len(j.data))
	path := filepath.Join(dir, journalName(h.first))
	if err := os.Rename(j.path, path); err != nil {
		return err
	}
	j.path, j.head = path, h
	return nil
}

func openJournal(path string, write bool) (*journal, error) {
	flag, prot := os.O_RDONLY, unix.PROT_READ
	if write {
		flag, prot = os.O_RDWR, unix.PROT_READ|unix.PROT_WRITE
	}
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if st.Size() < jHead || st.Size() > 1<<32 {
		return nil, impound.Errorf(impound.KindInvalid, "the journal has %d octets: it was cut", st.Size()).At(path)
	}
	data, err := unix.Mmap(int(f.Fd()), 0, int(st.Size()), prot, unix.MAP_SHARED)
	if err != nil {
		return nil, impound.Errorf(impound.KindUnavailable, "couldn't map the journal: %w", err).At(path)
	}
	j := &journal{path: path, data: data}
	j.head, err = readHeader(data)
	if err != nil {
		// The records speak for themselves: only the sensor's name is lost.
		return j, impound.Errorf(impound.KindInvalid, "the journal's head can't be read: %w", err).At(path)
	}
	return j, nil
}

// readJournal is openJournal into memory, buf where that is large enough: nothing
// that becomes of the file later can hurt who reads it.
func readJournal(path string, buf []byte) (*journal, error) {
	data, err := readBounded(path, buf)
	if err != nil {
		return nil, err
	}
	if len(data) < jHead {
		return nil, impound.Errorf(impound.KindInvalid, "the journal has %d octets: it was cut", len(data)).At(path)
	}
	j := &journal{path: path, data: data, copied: true}
	if j.head, err = readHeader(data); err != nil {
		return j, impound.Errorf(impound.KindInvalid, "the journal's head can't be read: %w", err).At(path)
	}
	return j, nil
}

// markClean says that the journal was closed in order; false where it can't be
// written.
func (j *journal) markClean() (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() { ok = recover() == nil }()
	*word(j.data, jClean) = 1
	return true
}

func (j *journal) close() {
	if j == nil {
		return
	}
	if j.copied {
		j.data = nil
	}
	if j.data != nil {
		unix.Munmap(j.data)
		j.data = nil
	}
}

// sync writes the pages that hold [from, to) and the head to the disk.
func (j *journal) sync(from, to int) error {
	from &^= jHead - 1
	to = min((to+jHead-1)&^(jHead-1), len(j.data))
	if err := unix.Msync(j.data[:jHead], unix.MS_SYNC); err != nil {
		return err
	}
	if from >= to {
		return nil
	}
	return unix.Msync(j.data[from:to], unix.MS_SYNC)
}

// scanner walks the records of a journal.
type scanner struct {
	data []byte
	at   int    // next record
	last uint64 // sequence number of the last good one
	// live: a length of zero is the end. Otherwise what follows a zero is
	// looked through as well, in case it is the length itself that was damaged.
	live bool
	bad  int // stretches that could not be read
	lost int // octets in them
}

// next gives the body of the next good record; false at the end. What is
// damaged is skipped: the scan goes on at the next octets that are a record with
// a good checksum and a later number.
func (s *scanner) next() (seq uint64, body []byte, ok bool) {
	if s.at < jHead {
		s.at = jHead
	}
	if s.at+recHead > len(s.data) {
		return 0, nil, false
	}
	// The writer stores the length last. So it is looked at first: were it looked
	// at after the record, a record that came in between would be taken for a
	// damaged one and skipped.
	if s.live && length(s.data, s.at) == 0 {
		return 0, nil, false
	}
	if seq, body, ok = s.record(s.at); ok {
		s.at += recSize(len(body))
		s.last = seq
		return seq, body, true
	}
	rest := s.data[s.at:]
	if allZero(rest) {
		return 0, nil, false
	}
	for at := s.at + 8; at+recHead <= len(s.data); at += 8 {
		if seq, body, ok = s.record(at); ok {
			s.bad++
			s.lost += at - s.at
			s.at = at + recSize(len(body))
			s.last = seq
			return seq, body, true
		}
	}
	return 0, nil, false
}

// tail gives the octets after the last good record that are not zero: what a
// write that never ended left.
func (s *scanner) tail() int {
	return len(bytes.TrimRight(s.data[min(s.at, len(s.data)):], "\x00"))
}

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, x := range b {
		if x != 0 {
			return false
		}
	}
	return true
}

func (s *scanner) record(at int) (seq uint64, body []byte, ok bool) {
	d := s.data
	if at+recHead > len(d) {
		return 0, nil, false
	}
	n := length(d, at)
	if n == 0 || n > maxBody || at+recSize(int(n)) > len(d) {
		return 0, nil, false
	}
	seq = binary.LittleEndian.Uint64(d[at+8:])
	if seq <= s.last {
		return 0, nil, false
	}
	body = d[at+recHead : at+recHead+int(n)]
	var tail [12]byte
	copy(tail[:], d[at+8:at+16])
	binary.LittleEndian.PutUint32(tail[8:], n)
	if crcOf(body, tail[:]) != binary.LittleEndian.Uint32(d[at+4:]) {
		return 0, nil, false
	}
	return seq, body, true
}

func journalName(first uint64) string { return fmt.Sprintf("journal-%020d.jrn", first) }
