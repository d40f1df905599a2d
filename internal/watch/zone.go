package watch

import (
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
const zoneBlock = 256 << 10

type zonePart struct {
	source.ZoneBlock
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
	ctx, cancel := context.WithCancel(ctx)
	workers := runtime.GOMAXPROCS(0)
	order := make(chan *zonePart, 2*workers)
	pool := sync.Pool{New: func() any { return &zonePart{ZoneBlock: source.ZoneBlock{Data: make([]byte, 0, zoneBlock)}} }}
	// A worker unpacks its next block itself, one at a time: so no core waits for
	// another, and what is read is still in its cache.
	var reading sync.Mutex
	blocks := source.NewZoneBlocks(src)
	var readErr error
	next := func() *zonePart {
		reading.Lock()
		defer reading.Unlock()
		if readErr != nil || ctx.Err() != nil {
			return nil
		}
		p := pool.Get().(*zonePart)
		if readErr = blocks.Next(&p.ZoneBlock); readErr != nil {
			return nil
		}
		p.done = make(chan struct{})
		select {
		case order <- p:
			return p
		case <-ctx.Done():
			return nil
		}
	}
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			z := zoneScreen{origin: origin, opt: opt, now: opt.Now, least: opt.Threshold}
			if z.now == nil {
				z.now = time.Now
			}
			if z.least == 0 {
				z.least = DefaultThreshold
			}
			if opt.Matcher != nil {
				z.scorer = opt.Matcher.Scorer()
			}
			for p := next(); p != nil; p = next() {
				z.part(p)
				close(p.done)
			}
		})
	}
	go func() {
		wg.Wait()
		close(order)
	}()
	defer wg.Wait()
	defer cancel()
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
	if !errors.Is(readErr, io.EOF) {
		return st, fmt.Errorf("couldn't read %s: %w", opt.Source, readErr)
	}
	return st, nil
}

// zoneScreen is what one worker needs.
type zoneScreen struct {
	origin string
	opt    Options
	now    func() time.Time
	least  float64
	scorer *match.Scorer
	lines  source.ZoneLines
}

func (z *zoneScreen) part(p *zonePart) {
	p.stats, p.found = Stats{}, p.found[:0]
	z.lines.Reset(z.origin, p.Prev)
	for name, rest := z.lines.Next(p.Data); name != nil; name, rest = z.lines.Next(rest) {
		p.stats.Names++
		score := 0.0
		if z.scorer != nil {
			score, _ = z.scorer.AtLeast(name, z.least)
		}
		if score < z.least && len(z.opt.Profiles) == 0 {
			continue
		}
		n, err := impound.ParseName(string(name))
		if err != nil {
			p.stats.BadCount++
			continue
		}
		var c impound.Candidate
		if score > 0 && len(n.String()) == len(name) { // nothing was mapped
			c = judged(n, z.scorer.Hit(), true, z.opt)
		} else if c, _ = Judge(n, z.opt); c.Score < z.least {
			continue
		}
		c.Seen = z.now().UTC()
		p.found = append(p.found, c)
	}
	p.stats.Read = int64(z.lines.Lines)
	p.stats.BadCount += int64(z.lines.Bad)
}
