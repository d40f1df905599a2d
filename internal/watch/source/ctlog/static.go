package ctlog

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/impound/impound/internal/watch/polite"
)

// tileWidth is how many entries a full tile has, tileHeight its logarithm.
const (
	tileHeight = 8
	tileWidth  = 1 << tileHeight
	// maxTile bounds one tile of entries. Logs refuse chains of more than some
	// 100 kB; this is 256 precertificates of 300 kB twice.
	maxTile = 160 << 20
	// keptTiles is how many tiles of hashes are kept for the next proof.
	keptTiles = 256
)

// static is a log of C2SP static-ct-api.
type static struct {
	*reader
	origin string

	mu   sync.Mutex
	kept map[tlog.Tile][]byte // proven by tlog.TileHashReader before it saves them
}

func (s *static) Head(ctx context.Context) (Head, error) {
	res, err := s.c.Get(ctx, polite.Request{URL: s.at + "checkpoint", Max: 64 << 10})
	if err != nil {
		return Head{}, err
	}
	return s.checkpoint(s.origin, res.Body)
}

// path is where a tile lies: of hashes at its level, of entries at level -1.
func path(t tlog.Tile) string {
	return "tile/" + strings.TrimPrefix(t.Path(), "tile/"+strconv.Itoa(tileHeight)+"/")
}

// fetchTile fetches a tile. A log may delete a partial tile once there is the
// full one, which begins with it.
func (s *static) fetchTile(ctx context.Context, t tlog.Tile, max int64, buf []byte) (data []byte, full bool, err error) {
	res, err := s.c.Get(ctx, polite.Request{URL: s.at + path(t), Max: max, Buf: buf})
	var se *polite.StatusError
	if err != nil && t.W < tileWidth && errors.As(err, &se) && (se.Code == http.StatusNotFound || se.Code == http.StatusForbidden || se.Code == http.StatusGone) {
		t.W = tileWidth
		res2, err2 := s.c.Get(ctx, polite.Request{URL: s.at + path(t), Max: max, Buf: buf})
		if err2 == nil {
			return res2.Body, true, nil
		}
	}
	return res.Body, false, err
}

// tiles reads tiles of hashes for tlog.
type tiles struct {
	ctx context.Context
	s   *static
	err error // of the last ReadTiles
}

func (r *tiles) Height() int { return tileHeight }

func (r *tiles) ReadTiles(ts []tlog.Tile) ([][]byte, error) {
	out := make([][]byte, len(ts))
	errs := make([]error, len(ts))
	slots := make(chan struct{}, r.s.parallel)
	var wg sync.WaitGroup
	for i, t := range ts {
		r.s.mu.Lock()
		out[i] = r.s.kept[t]
		r.s.mu.Unlock()
		if out[i] != nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			data, _, err := r.s.fetchTile(r.ctx, t, tileWidth*tlog.HashSize, nil)
			if err == nil && len(data) < t.W*tlog.HashSize {
				err = fmt.Errorf("%s has %d octets, want %d: %w", path(t), len(data), t.W*tlog.HashSize, errTile)
			}
			if err != nil {
				errs[i] = err
				return
			}
			out[i] = data[:t.W*tlog.HashSize]
		})
	}
	wg.Wait()
	r.err = errors.Join(errs...)
	return out, r.err
}

func (r *tiles) SaveTiles(ts []tlog.Tile, data [][]byte) {
	r.s.mu.Lock()
	defer r.s.mu.Unlock()
	if r.s.kept == nil || len(r.s.kept) > keptTiles {
		r.s.kept = map[tlog.Tile][]byte{}
	}
	for i, t := range ts {
		if t.W == tileWidth { // a partial one of a log that forked may come again with another content
			r.s.kept[t] = data[i]
		}
	}
}

func (s *static) Frontier(ctx context.Context, size int64, head Head, _ *tlog.Hash) (*Frontier, error) {
	f := &Frontier{Size: size}
	if size == 0 {
		return f, nil
	}
	if size > head.Size {
		return nil, fmt.Errorf("a tree of %d entries has no part of %d", head.Size, size)
	}
	r := &tiles{ctx: ctx, s: s}
	hs, err := tlog.TileHashReader(tlog.Tree{N: head.Size, Hash: head.Root}, r).ReadHashes(subtrees(size))
	if err != nil {
		if r.err == nil && ctx.Err() == nil { // all came, and it isn't the tree's
			return nil, &ProofError{Log: s.info.Name, Head: head, Size: size}
		}
		return nil, fmt.Errorf("couldn't prove the tree of %d entries: %w", size, err)
	}
	f.Hashes = hs
	return f, nil
}

func (s *static) Proof(ctx context.Context, size int64, head Head) ([]tlog.Hash, error) {
	return tlog.ProveTree(head.Size, size, tlog.TileHashReader(tlog.Tree{N: head.Size, Hash: head.Root}, &tiles{ctx: ctx, s: s}))
}

func (s *static) Read(ctx context.Context, from, to int64, work, emit func(*Batch) error) error {
	spans := func(yield func(span) bool) {
		for at := from; at < to; {
			end := min(to, (at/tileWidth+1)*tileWidth)
			if !yield(span{at, end}) {
				return
			}
			at = end
		}
	}
	return s.inOrder(ctx, spans, s.fetch, work, emit)
}

// fetch reads the entries of one tile. It reads all of it, since a tile is
// fetched whole, and gives those that were asked for.
func (s *static) fetch(ctx context.Context, lr *leafReader, sp span, b *Batch) error {
	n := sp.from / tileWidth
	first := n * tileWidth
	t := tlog.Tile{H: tileHeight, L: -1, N: n, W: int(sp.to - first)}
	data, full, err := s.fetchTile(ctx, t, maxTile, b.buf)
	if err != nil {
		return err
	}
	b.buf = data
	width := t.W
	if full {
		width = tileWidth
	}
	b.First = sp.from
	es, err := lr.tile(data, first, width, b.Entries[:0])
	if err != nil {
		return fmt.Errorf("%s: %w", path(t), err)
	}
	// The entries' own slices are used again, so those in front change places
	// with those behind rather than being dropped.
	skip := int(sp.from - first)
	if skip > 0 {
		for i := skip; i < len(es); i++ {
			es[i-skip], es[i] = es[i], es[i-skip]
		}
	}
	b.Entries = es[:sp.to-sp.from]
	return nil
}
