package watch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/match"
	"github.com/impound/impound/internal/watch/source"
)

// zoneBlock is how much of a zone file one core takes at once.
const zoneBlock = 512 << 10

type zonePart struct {
	data  []byte // whole lines
	prev  []byte // the owner of the line before, when that was an NS record
	stats Stats
	found []impound.Candidate
	done  chan struct{}
}

// ScreenZone screens the names that a zone file in CZDS layout delegates, on
// every core, and calls emit for candidates, in order. origin is the zone's name.
// src is the unpacked file. It screens and forgets: what a zone gains from day to
// day is the work of package live. Stats.Read and BadCount count lines; a line
// that is no record is not kept in Bad.
func ScreenZone(ctx context.Context, src io.Reader, origin string, opt Options, emit func(impound.Candidate) error) (Stats, error) {
	if opt.Matcher == nil && len(opt.Profiles) == 0 {
		return Stats{}, impound.Errorf(impound.KindInvalid, "nothing to look for: no brands and no actors")
	}
	now := opt.Now
	if now == nil {
		now = time.Now
	}
	least := opt.Threshold
	if least == 0 {
		least = DefaultThreshold
	}
	ctx, cancel := context.WithCancel(ctx)
	workers := runtime.GOMAXPROCS(0)
	work, order := make(chan *zonePart, workers), make(chan *zonePart, 2*workers)
	pool := sync.Pool{New: func() any { return &zonePart{data: make([]byte, 0, zoneBlock+64<<10)} }}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range workers {
		wg.Go(func() {
			var z source.ZoneLines
			var scorer *match.Scorer
			if opt.Matcher != nil {
				scorer = opt.Matcher.Scorer()
			}
			for p := range work {
				p.stats, p.found = Stats{}, p.found[:0]
				z.Reset(origin, p.prev)
				for data := p.data; len(data) > 0; {
					line := data
					if i := bytes.IndexByte(data, '\n'); i >= 0 {
						line, data = data[:i], data[i+1:]
					} else {
						data = nil
					}
					p.stats.Read++
					name := z.Name(line)
					if name == nil {
						continue
					}
					p.stats.Names++
					score := 0.0
					if opt.Matcher != nil {
						score, _ = scorer.AtLeast(name, least)
					}
					if score < least && len(opt.Profiles) == 0 {
						continue
					}
					n, err := impound.ParseName(string(name))
					if err != nil {
						p.stats.BadCount++
						continue
					}
					if c, ok := Judge(n, opt); ok && c.Score >= least {
						c.Seen = now().UTC()
						p.found = append(p.found, c)
					}
				}
				p.stats.BadCount += int64(z.Bad)
				close(p.done)
			}
		})
	}
	var readErr error
	wg.Go(func() {
		defer close(work)
		defer close(order)
		var rest, prev []byte
		var z source.ZoneLines
		for {
			p := pool.Get().(*zonePart)
			p.data = append(p.data[:0], rest...)
			if need := len(rest) + zoneBlock; cap(p.data) < need {
				p.data = append(make([]byte, 0, need), p.data...)
			}
			n, err := fill(src, p.data[len(rest):len(rest)+zoneBlock])
			p.data = p.data[:len(rest)+n]
			end := err != nil
			whole := errors.Is(err, io.EOF)
			rest = rest[:0]
			if i := bytes.LastIndexByte(p.data, '\n'); i >= 0 {
				if !whole { // behind a cut stands half a line
					rest = append(rest, p.data[i+1:]...)
					p.data = p.data[:i+1]
				}
			} else if !end {
				if len(p.data) > maxLine { // no record is that long: it counts as one bad line
					p.data = append(p.data[:0], " ?\n"...)
				} else {
					rest = append(rest, p.data...)
					p.data = p.data[:0]
				}
			}
			p.prev = append(p.prev[:0], prev...)
			if n := len(p.data); n > 0 {
				last := bytes.TrimSuffix(p.data, []byte{'\n'})
				last = last[bytes.LastIndexByte(last, '\n')+1:]
				z.Reset(origin, nil)
				z.Name(last)
				prev = append(prev[:0], z.Owner()...)
				p.done = make(chan struct{})
				select {
				case order <- p:
				case <-ctx.Done():
					return
				}
				work <- p
			}
			if end {
				if !whole {
					readErr = fmt.Errorf("couldn't read %s: %w", opt.Source, err)
				}
				return
			}
		}
	})
	var st Stats
	for p := range order {
		<-p.done
		if err := ctx.Err(); err != nil {
			return st, err
		}
		st.Read += p.stats.Read
		st.Names += p.stats.Names
		st.BadCount += p.stats.BadCount
		for _, c := range p.found {
			st.Hits++
			if err := emit(c); err != nil {
				return st, fmt.Errorf("couldn't hand over candidate %s: %w", c.Name.Defanged(), err)
			}
		}
		pool.Put(p)
		if opt.Progress != nil {
			opt.Progress(st)
		}
	}
	if err := ctx.Err(); err != nil {
		return st, err
	}
	return st, readErr
}

// fill is io.ReadFull, but gives the reader's own error at its end: a gzip file
// that is cut short is no file that ended.
func fill(r io.Reader, b []byte) (n int, err error) {
	for n < len(b) && err == nil {
		var k int
		k, err = r.Read(b[n:])
		n += k
	}
	return n, err
}
