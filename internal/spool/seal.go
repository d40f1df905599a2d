package spool

import (
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"github.com/impound/impound"
)

// sealer makes Parquet of the records of one journal after the other: begin, add
// for each in the order of their numbers, finish. What finish gives is good until
// the next begin. A record that add refuses leaves no trace. The one that is used
// is columns; the tests hold it against a plain one, through [impound.Event] and a
// library for Parquet.
type sealer interface {
	begin(sensor string)
	add(seq uint64, body []byte) (at int64, err error)
	finish() ([]byte, error)
}

var sealers = sync.Pool{New: func() any { return newColumns() }}

func (s *Spool) sealLoop() {
	defer s.wg.Done()
	again := time.NewTicker(time.Minute) // what couldn't be sealed for want of room
	defer again.Stop()
	for {
		select {
		case <-s.q:
			return
		case <-s.kickSeal:
		case <-again.C:
		}
		if !s.opt.NoSeal {
			s.sealAll()
		}
	}
}

// sealAll makes Parquet of every journal that is full.
func (s *Spool) sealAll() {
	segs, err := list(s.dir)
	if err != nil {
		s.opt.Log.Error("spool: couldn't look for full journals", "err", err)
		return
	}
	s.mu.Lock()
	busy := map[string]bool{s.cur.path: true}
	for _, r := range s.retired { // not yet on the disk
		busy[r.j.path] = true
	}
	s.mu.Unlock()
	work := make(chan segment)
	var wg sync.WaitGroup
	for range min(2, runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for g := range work {
				if err := s.sealOne(g); err != nil {
					s.opt.Log.Error("spool: couldn't seal a journal; it stays as it is", "file", g.path, "err", err)
				}
			}
		})
	}
	for _, g := range segs {
		if g.sealed || busy[g.path] {
			continue
		}
		select {
		case <-s.q:
		case work <- g:
			continue
		}
		break
	}
	close(work)
	wg.Wait()
	if segs, err = list(s.dir); err == nil {
		var total int64
		for _, g := range segs {
			total += g.size
		}
		s.note(total, len(segs))
	}
}

// dropSealed deletes journals whose segment is there: a crash came between the two,
// or the journal couldn't be deleted. Left alone, it would come back when the
// segment goes. A segment that is damaged is set aside, and its journal sealed
// again.
func (s *Spool) dropSealed() error {
	segs, err := list(s.dir)
	if err != nil {
		return err
	}
	for _, g := range segs {
		path := filepath.Join(s.dir, journalName(g.first))
		if !g.sealed {
			continue
		}
		if _, err := os.Lstat(path); err != nil {
			continue
		}
		if _, err := readSealed(g); err != nil {
			s.setAside(g.path, err)
			continue
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return impound.Errorf(impound.KindUnavailable, "couldn't delete a journal that is sealed: %w", err).At(path).WithCure("delete it by hand: the segment beside it holds its events")
		}
	}
	return nil
}

// sealedJournal is what became of a journal.
type sealedJournal struct {
	data    []byte // Parquet; none without events
	count   int
	last    uint64
	newest  time.Time
	damaged error // what could not be read
}

// sealJournal makes Parquet of a journal's records, by p. What can't be read is
// left out and told.
func sealJournal(p sealer, data []byte, first uint64, sensor string) (out sealedJournal, err error) {
	p.begin(sensor)
	newest := int64(0)
	sc := scanner{data: data, last: first - 1}
	for {
		seq, body, ok := sc.next()
		if !ok {
			break
		}
		at, err := p.add(seq, body)
		if err != nil {
			sc.bad++
			continue
		}
		out.count, out.last, newest = out.count+1, seq, max(newest, at)
	}
	out.newest = time.UnixMicro(newest)
	if sc.bad > 0 || sc.tail() > 0 {
		out.damaged = fmt.Errorf("%d damaged stretches; %d octets at its end can't be read", sc.bad, sc.tail())
	}
	if out.count > 0 {
		out.data, err = p.finish()
	}
	return out, err
}

func (s *Spool) sealOne(g segment) error {
	p := sealers.Get().(*columns)
	defer sealers.Put(p)
	j, err := readJournal(g.path, p.raw)
	if errors.Is(err, os.ErrNotExist) { // shipped, and its room was needed
		return nil
	}
	if j == nil {
		s.setAside(g.path, err)
		return nil
	}
	p.raw = j.data
	sensor := j.head.sensor
	if err != nil {
		sensor = s.opt.Sensor
	}
	out, perr := sealJournal(p, j.data, g.first, sensor)
	if perr != nil {
		return perr
	}
	if out.count > 0 {
		name := sealedName(g.first, out.last, out.count, out.newest, crc32.Checksum(out.data, castagnoli))
		if err := writeAtomic(s.dir, name, out.data); err != nil {
			return err
		}
	}
	if damaged := errors.Join(err, out.damaged); damaged != nil {
		// What could be read stands in the sealed segment now; the journal is
		// kept for whoever wants to look.
		s.setAside(g.path, damaged)
	} else if err := os.Remove(g.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	s.sealed.Add(1)
	return syncDir(filepath.Dir(g.path))
}
