package spool

import (
	"encoding/binary"
	"hash/crc32"
	"runtime/debug"

	"github.com/impound/impound"
)

// Batch takes events that are recorded together: for all of them the lock is
// taken once, and they get successive numbers. It is for one goroutine; any
// number of batches can be in use.
type Batch struct {
	s     *Spool
	buf   []byte // records without their heads
	sizes []int  // of their bodies
}

// recTail is number and length, which the checksum of a record covers behind
// its body.
const recTail = 12

// NewBatch gives an empty batch.
func (s *Spool) NewBatch() *Batch { return &Batch{s: s} }

// Add puts e into the batch as it is now, and keeps nothing of it. Nothing is
// recorded before Commit.
func (b *Batch) Add(e *impound.Event) {
	at := len(b.buf) + recHead
	b.buf = encode(append(b.buf, make([]byte, recHead)...), e)
	n := len(b.buf) - at
	b.sizes = append(b.sizes, n)
	b.buf = append(b.buf, make([]byte, -n&7)...)
}

// Commit records the events of the batch in the order in which they were added,
// and empties it. It gives how many could not be recorded, which are counted as
// lost, and why the last of them was not. Of the others holds what
// [Spool.Append] promises.
func (b *Batch) Commit() (lost int, err error) {
	if len(b.sizes) == 0 {
		return 0, nil
	}
	s := b.s
	s.mu.Lock()
	if s.closed {
		lost, err = len(b.sizes), errClosed
	} else if s.broken || s.off+len(b.buf) > len(s.cur.data) || !s.tryPutAll(b) {
		// They don't fit, or could not be written: one by one.
		at := 0
		for _, n := range b.sizes {
			body := b.buf[at+recHead : at+recHead+n]
			at += recSize(n)
			if _, e := s.writeLocked(body); e != nil {
				lost++
				err = e
			}
		}
	}
	s.mu.Unlock()
	b.buf, b.sizes = b.buf[:0], b.sizes[:0]
	return lost, err
}

// tryPutAll is tryPut for a batch. Either all of it stands in the journal then,
// or none: what a crash between leaves is a tail that no reader takes.
func (s *Spool) tryPutAll(b *Batch) (ok bool) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			ok = false
			s.giveUp(r)
		}
	}()
	// Number and length stand behind the body while the checksum is made, over
	// padding and the head of the next record, which is written after.
	size := len(b.buf)
	buf := append(b.buf, make([]byte, recTail)...)
	at, seq := 0, s.seq
	for _, n := range b.sizes {
		seq++
		end := at + recHead + n
		binary.LittleEndian.PutUint64(buf[end:], seq)
		binary.LittleEndian.PutUint32(buf[end+8:], uint32(n))
		sum := crc32.Update(0, castagnoli, buf[at+recHead:end+recTail])
		clear(buf[end : at+recSize(n)])
		binary.LittleEndian.PutUint32(buf[at:], 0)
		binary.LittleEndian.PutUint32(buf[at+4:], sum)
		binary.LittleEndian.PutUint64(buf[at+8:], seq)
		at += recSize(n)
	}
	b.buf = buf[:size]
	// The lengths come last and in order, since a reader goes by them.
	d, off := s.cur.data, s.off
	copy(d[off:], b.buf)
	for _, n := range b.sizes {
		setLength(d, off, uint32(n))
		off += recSize(n)
	}
	s.off, s.seq, s.last = off, seq, seq
	s.appended.Add(uint64(len(b.sizes)))
	return true
}
