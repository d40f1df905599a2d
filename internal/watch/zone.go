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
	ahead := newZoneAhead(ctx, src, workers)
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
			for p := ahead.next(); p != nil; p = ahead.next() {
				z.part(p)
				close(p.done)
			}
		})
	}
	go func() {
		wg.Wait()
		close(ahead.order)
	}()
	defer wg.Wait()
	defer cancel()
	var st Stats
	for p := range ahead.order {
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
		ahead.pool.Put(p)
		if opt.Progress != nil {
			opt.Progress(st)
		}
	}
	if err := ctx.Err(); err != nil {
		return st, err
	}
	if !errors.Is(ahead.err, io.EOF) {
		return st, fmt.Errorf("couldn't read %s: %w", opt.Source, ahead.err)
	}
	return st, nil
}

// zoneAhead unpacks blocks of a zone file for its workers: whoever wants one while
// nobody unpacks does so itself, up to a few blocks ahead; others take what is there. So
// a core waits for another only where unpacking is most of the work, and what was
// unpacked is mostly still in its core's cache.
type zoneAhead struct {
	ctx    context.Context
	blocks *source.ZoneBlocks
	most   int // blocks that may be ahead
	pool   sync.Pool
	order  chan *zonePart // every block, in order; whoever reads it sees when each is done

	mu        sync.Mutex
	changed   sync.Cond // of what follows
	ready     []*zonePart
	unpacking bool
	err       error // of blocks, to be read when no worker is left
}

func newZoneAhead(ctx context.Context, src io.Reader, workers int) *zoneAhead {
	a := &zoneAhead{ctx: ctx, blocks: source.NewZoneBlocks(src), most: 2 * workers,
		order: make(chan *zonePart, 4*workers)}
	a.pool.New = func() any { return &zonePart{ZoneBlock: source.ZoneBlock{Data: make([]byte, 0, zoneBlock)}} }
	a.changed.L = &a.mu
	return a
}

// next gives a block that nobody else has; nil at the end, or when ctx is.
func (a *zoneAhead) next() *zonePart {
	a.mu.Lock()
	defer a.mu.Unlock()
	for {
		for !a.unpacking && a.err == nil && len(a.ready) < a.most {
			a.unpacking = true
			a.mu.Unlock()
			p, err := a.unpack()
			a.mu.Lock()
			a.unpacking = false
			if a.err = err; p != nil {
				a.ready = append(a.ready, p)
			}
			a.changed.Broadcast()
		}
		if len(a.ready) > 0 {
			p := a.ready[0]
			a.ready = append(a.ready[:0], a.ready[1:]...)
			return p
		}
		if a.err != nil {
			return nil
		}
		a.changed.Wait()
	}
}

func (a *zoneAhead) unpack() (*zonePart, error) {
	if err := a.ctx.Err(); err != nil {
		return nil, err
	}
	p := a.pool.Get().(*zonePart)
	if err := a.blocks.Next(&p.ZoneBlock); err != nil {
		return nil, err
	}
	p.done = make(chan struct{})
	select {
	case a.order <- p:
		return p, nil
	case <-a.ctx.Done():
		return nil, a.ctx.Err()
	}
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
