// Package stream runs a function over the lines of a reader on every core and
// writes what it gives in the order of the input.
//
// What lives here: cutting blocks, order, buffering, odd spellings. What must not: any
// knowledge of scores.
package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"slices"
	"sync"

	"github.com/impound/impound"
)

// blockSize is how much is read at once. A line may be longer: the block grows
// to hold it, up to maxLine.
const (
	blockSize = 256 << 10
	maxLine   = 1 << 20
)

// Func appends to dst what the line (without line feed) makes of it. It is
// called from several goroutines at once, each with its own worker number, and
// must not keep line.
type Func func(dst, line []byte, worker int) []byte

// Map calls f on each line of r and writes the outputs to w in order, as soon as
// they are there. workers below 1 means one for each core. A line that is longer
// than 1 MiB is handed over cut to that length. It returns the first error of reading or writing,
// or the context's; what was written before an error is whole lines only.
func Map(ctx context.Context, r io.Reader, w io.Writer, workers int, f Func) error {
	work := func(worker int, in []byte, out *[]byte) {
		dst := (*out)[:0]
		for len(in) > 0 {
			line := in
			if i := bytes.IndexByte(in, '\n'); i >= 0 {
				line, in = in[:i], in[i+1:]
			} else {
				in = nil
			}
			if len(line) > 0 && line[len(line)-1] == '\r' {
				line = line[:len(line)-1]
			}
			dst = f(dst, line, worker)
		}
		*out = dst
	}
	writing := false
	err := Blocks(ctx, r, workers, maxLine, work, func(out *[]byte) error {
		_, err := w.Write(*out)
		writing = err != nil
		return err
	})
	switch {
	case err == nil || ctx.Err() != nil:
		return err
	case writing:
		return fmt.Errorf("couldn't write scores: %w", err)
	}
	return fmt.Errorf("couldn't read names: %w", err)
}

type block[T any] struct {
	in   []byte
	out  T
	done chan struct{}
}

// Blocks hands blocks of whole lines of r, each with its line feed (the last line
// of all may have none), to work, which runs on several goroutines and knows its
// own by a number, and what came of them to take, in order, in the caller's goroutine. What work is to fill
// may be what take was done with. What r gives is handed on at once: a slow source
// is not waited for until a block is full. A line that is longer than maxLine is
// cut to that length, or, where a bit more was read at once, is not.
//
// The error is take's, the context's, or that of r, before which all that was read
// was taken. After the first two, a call of r's Read may still be under way.
func Blocks[T any](ctx context.Context, r io.Reader, workers, maxLine int, work func(worker int, lines []byte, out *T), take func(*T) error) error {
	if workers < 1 {
		workers = runtime.GOMAXPROCS(0)
	}
	outer := ctx
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	order := make(chan *block[T], 2*workers)
	pool := sync.Pool{New: func() any { return new(block[T]) }}
	// Each worker reads its next block itself, one at a time: no core waits for
	// another, and what is read is still in its cache.
	var reading sync.Mutex
	var readErr error
	var rest []byte
	skipping := false // inside a line that was cut
	next := func() *block[T] {
		reading.Lock()
		defer reading.Unlock()
		if readErr != nil || ctx.Err() != nil {
			return nil
		}
		b := pool.Get().(*block[T])
		b.in, rest = append(b.in[:0], rest...), rest[:0]
		for idle := 0; ; {
			n := len(b.in)
			b.in = slices.Grow(b.in, blockSize)
			k, err := r.Read(b.in[n : n+blockSize])
			b.in = b.in[:n+k]
			if readErr = err; k == 0 && err == nil {
				if idle++; idle == 100 {
					readErr = io.ErrNoProgress
				}
			}
			if skipping {
				if i := bytes.IndexByte(b.in[n:], '\n'); i >= 0 {
					b.in = append(b.in[:n], b.in[n+i:]...)
					skipping = false
				} else {
					b.in = b.in[:n]
				}
			}
			if readErr != nil {
				break
			}
			if i := bytes.LastIndexByte(b.in[n:], '\n'); i >= 0 {
				rest = append(rest, b.in[n+i+1:]...)
				b.in = b.in[:n+i+1]
				break
			}
			if len(b.in) > maxLine {
				b.in = b.in[:maxLine]
				skipping = true
			}
		}
		if len(b.in) > maxLine && bytes.IndexByte(b.in, '\n') < 0 {
			b.in = b.in[:maxLine]
		}
		if len(b.in) == 0 {
			return nil
		}
		b.done = make(chan struct{})
		select {
		case order <- b:
			return b
		case <-ctx.Done():
			return nil
		}
	}
	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			for b := next(); b != nil; b = next() {
				work(n, b.in, &b.out)
				close(b.done)
			}
		})
	}
	go func() {
		wg.Wait()
		close(order)
	}()
	for {
		var b *block[T]
		select {
		case b = <-order:
		case <-ctx.Done():
		}
		if b == nil {
			break
		}
		<-b.done
		if outer.Err() != nil {
			break
		}
		if err := take(&b.out); err != nil {
			return err
		}
		pool.Put(b)
	}
	if err := outer.Err(); err != nil {
		return err
	}
	if errors.Is(readErr, io.EOF) {
		return nil
	}
	return readErr
}

// Name reads a name that is spelt in one of the ways that people write names -
// with white space around it, defanged, as a URL - and appends it to dst; false
// where there is none. It is for what the fast readers of names, which come first,
// refuse: plain names are not looked at.
func Name(dst, line []byte) ([]byte, bool) {
	if len(line) > 2048 || !odd(line) {
		return dst, false
	}
	n, err := impound.ParseName(string(line))
	if err != nil {
		return dst, false
	}
	return append(dst, n.String()...), true
}

// odd says whether line may hold a name that is spelt as no program writes it.
func odd(line []byte) bool {
	if len(line) == 0 {
		return false
	}
	return line[0] <= ' ' || line[len(line)-1] <= ' ' || bytes.IndexByte(line, '[') >= 0 || bytes.IndexByte(line, '/') >= 0
}
