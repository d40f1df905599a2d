package ctlog

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/mod/sumdb/tlog"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/polite"
)

// rfc6962 is a log of RFC 6962.
type rfc6962 struct {
	*reader
	page atomic.Int64 // how many entries the log gives at once, as it showed
}

const (
	// askPage is how many entries are asked for at first: a log gives as many as
	// it likes.
	askPage = 1024
	maxPage = 256 << 20
)

func (l *rfc6962) get(ctx context.Context, path string, max int64, buf []byte, v any) ([]byte, error) {
	res, err := l.c.Get(ctx, polite.Request{URL: l.at + path, Max: max, Buf: buf})
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(res.Body, v); err != nil {
		return nil, fmt.Errorf("couldn't read what %s%s gave: %w", l.at, path, err)
	}
	return res.Body, nil
}

func (l *rfc6962) Head(ctx context.Context) (Head, error) {
	res, err := l.c.Get(ctx, polite.Request{URL: l.at + "get-sth", Max: 64 << 10})
	if err != nil {
		return Head{}, err
	}
	return l.sth(res.Body)
}

// sth reads and verifies a signed tree head (RFC 6962 4.3).
func (l *rfc6962) sth(raw []byte) (Head, error) {
	var sth struct {
		Size uint64 `json:"tree_size"`
		Time uint64 `json:"timestamp"`
		Root []byte `json:"sha256_root_hash"`
		Sig  []byte `json:"tree_head_signature"`
	}
	if err := json.Unmarshal(raw, &sth); err != nil {
		return Head{}, impound.Errorf(impound.KindRefused, "the log's tree head can't be read: %w", err).At(l.info.Name)
	}
	h := Head{Size: int64(sth.Size), Time: time.UnixMilli(int64(sth.Time)).UTC(), Raw: raw}
	if sth.Size > maxEntries || len(sth.Root) != tlog.HashSize || sth.Time > 1<<52 {
		return Head{}, impound.Errorf(impound.KindRefused, "the log's tree head makes no sense").At(l.info.Name)
	}
	copy(h.Root[:], sth.Root)
	if !l.sthSigned(h.Size, h.Root, sth.Time, sth.Sig) {
		return Head{}, impound.Errorf(impound.KindRefused, "the log's tree head is not signed with its key").At(l.info.Name)
	}
	return h, nil
}

func (l *rfc6962) Frontier(ctx context.Context, size int64, head Head, root *tlog.Hash) (*Frontier, error) {
	switch {
	case size == 0:
		return &Frontier{}, nil
	case size > head.Size:
		return nil, fmt.Errorf("a tree of %d entries has no part of %d", head.Size, size)
	case size == head.Size && size&(size-1) == 0:
		return &Frontier{Size: size, Hashes: []tlog.Hash{head.Root}}, nil
	case size == head.Size, size&(size-1) == 0 && root == nil:
		return nil, ErrNoFrontier
	}
	var first tlog.Hash
	if root != nil {
		first = *root
	}
	proof, err := l.Proof(ctx, size, head)
	if err != nil {
		return nil, err
	}
	f, newer, ok := frontierFromProof(size, head.Size, proof, first)
	if !ok || newer != head.Root {
		return nil, &ProofError{Log: l.info.Name, Head: head, Size: size, Proof: proof}
	}
	return f, nil
}

func (l *rfc6962) Proof(ctx context.Context, size int64, head Head) ([]tlog.Hash, error) {
	var res struct {
		Consistency [][]byte `json:"consistency"`
	}
	if _, err := l.get(ctx, fmt.Sprintf("get-sth-consistency?first=%d&second=%d", size, head.Size), 1<<20, nil, &res); err != nil {
		return nil, err
	}
	proof := make([]tlog.Hash, len(res.Consistency))
	for i, b := range res.Consistency {
		if len(b) != tlog.HashSize {
			return nil, impound.Errorf(impound.KindRefused, "the log's proof holds what is no hash").At(l.info.Name)
		}
		copy(proof[i][:], b)
	}
	return proof, nil
}

// ProofError says that a log gave a proof that doesn't lead to the root that it
// signed.
type ProofError struct {
	Log   string
	Head  Head
	Size  int64
	Proof []tlog.Hash
}

func (e *ProofError) Error() string {
	return fmt.Sprintf("%s: the log's proof for a tree of %d entries doesn't lead to the root that it signed for %d", e.Log, e.Size, e.Head.Size)
}

func (l *rfc6962) Read(ctx context.Context, from, to int64, work, emit func(*Batch) error) error {
	if l.page.Load() == 0 && to-from >= askPage {
		// The first answer shows how much the log gives at once.
		var res leaves
		if _, err := l.get(ctx, fmt.Sprintf("get-entries?start=%d&end=%d", from, from+askPage-1), maxPage, nil, &res); err != nil {
			return err
		}
		if n := int64(len(res.Entries)); n > 0 {
			l.page.Store(min(n, askPage))
		}
	}
	page := l.page.Load()
	if page == 0 {
		page = askPage
	}
	spans := func(yield func(span) bool) {
		for at := from; at < to; {
			end := min(to, (at/page+1)*page) // in places that caches of logs know
			if !yield(span{at, end}) {
				return
			}
			at = end
		}
	}
	return l.inOrder(ctx, spans, l.fetch, work, emit)
}

// leaves leaves out extra_data: the leaf of a precertificate holds its names.
type leaves struct {
	Entries []struct {
		Leaf string `json:"leaf_input"`
	} `json:"entries"`
}

func (l *rfc6962) fetch(ctx context.Context, lr *leafReader, sp span, b *Batch) error {
	b.First, b.Entries = sp.from, b.Entries[:0]
	b.buf = b.buf[:0]
	var raw [][]byte
	for at := sp.from; at < sp.to; {
		var res leaves
		if _, err := l.get(ctx, fmt.Sprintf("get-entries?start=%d&end=%d", at, sp.to-1), maxPage, nil, &res); err != nil {
			return err
		}
		if len(res.Entries) == 0 {
			return fmt.Errorf("%s gave no entries from %d on, though its tree has them", l.info.Name, at)
		}
		if int64(len(res.Entries)) > sp.to-at {
			res.Entries = res.Entries[:sp.to-at]
		}
		for _, e := range res.Entries {
			leaf, err := base64.StdEncoding.DecodeString(e.Leaf)
			if err != nil {
				return fmt.Errorf("entry %d: %w", at, errors.Join(errTile, err))
			}
			raw = append(raw, leaf)
			at++
		}
	}
	for i, leaf := range raw {
		if err := lr.input(leaf, sp.from+int64(i), next(&b.Entries)); err != nil {
			return err
		}
	}
	return nil
}
