// Package stream runs a function over the lines of a reader on every core and
// writes what it gives in the order of the input.
//
// What lives here: cutting blocks, order, buffering. What must not: any
// knowledge of names or scores.
package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
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

type block struct {
	in, out []byte
	done    chan struct{}
}

// Map calls f on each line of r and writes the outputs to w in order. workers
// below 1 means one for each core. A line that is longer than 1 MiB is handed
// over cut to that length. It returns the first error of reading or writing,
// or the context's; what was written before an error is whole lines only.
func Map(ctx context.Context, r io.Reader, w io.Writer, workers int, f Func) error {
	if workers < 1 {
		workers = runtime.GOMAXPROCS(0)
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	work := make(chan *block, workers)
	order := make(chan *block, 2*workers)
	pool := sync.Pool{New: func() any { return new(block) }}

	var wg sync.WaitGroup
	for n := range workers {
		wg.Go(func() {
			for b := range work {
				out := b.out[:0]
				for in := b.in; len(in) > 0; {
					line := in
					if i := bytes.IndexByte(in, '\n'); i >= 0 {
						line, in = in[:i], in[i+1:]
					} else {
						in = nil
					}
					if len(line) > 0 && line[len(line)-1] == '\r' {
						line = line[:len(line)-1]
					}
					out = f(out, line, n)
				}
				b.out = out
				close(b.done)
			}
		})
	}

	var readErr error
	wg.Go(func() {
		defer close(work)
		defer close(order)
		var rest []byte
		skipping := false // inside a line that is longer than maxLine
		for {
			b := pool.Get().(*block)
			b.in = append(b.in[:0], rest...)
			b.done = make(chan struct{})
			rest = rest[:0]
			need := len(b.in) + blockSize
			if cap(b.in) < need {
				b.in = append(make([]byte, 0, need), b.in...)
			}
			n, err := io.ReadFull(r, b.in[len(b.in):need])
			b.in = b.in[:len(b.in)+n]
			end := err != nil
			if skipping {
				if i := bytes.IndexByte(b.in, '\n'); i >= 0 {
					b.in = b.in[:copy(b.in, b.in[i+1:])]
					skipping = false
				} else {
					b.in = b.in[:0]
				}
			}
			if !end {
				if i := bytes.LastIndexByte(b.in, '\n'); i >= 0 {
					rest = append(rest, b.in[i+1:]...)
					b.in = b.in[:i+1]
				} else if len(b.in) < maxLine {
					rest = append(rest, b.in...)
					b.in = b.in[:0]
				} else if !skipping {
					b.in = b.in[:maxLine]
					skipping = true
				}
			}
			if len(b.in) > 0 {
				select {
				case order <- b:
				case <-ctx.Done():
					return
				}
				work <- b // never blocks for long: the workers don't wait for the writer
			}
			if end {
				if !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
					readErr = fmt.Errorf("couldn't read names: %w", err)
				}
				return
			}
		}
	})

	var writeErr error
	for b := range order {
		<-b.done
		if writeErr == nil && ctx.Err() == nil {
			if _, err := w.Write(b.out); err != nil {
				writeErr = fmt.Errorf("couldn't write scores: %w", err)
				cancel()
			}
		}
		pool.Put(b)
	}
	wg.Wait()
	if writeErr != nil {
		return writeErr
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return readErr
}
