package live

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"sync"
	"time"

	"github.com/impound/impound/internal/watch"
)

const (
	blockSize = 256 << 10
	maxLine   = 64 << 10
	// A commit is made when one of these is reached.
	commitBytes      = 64 << 20
	commitCandidates = 1000
	commitEvery      = time.Second
)

// spot is a place in a stream of lines.
type spot struct {
	at   int64  // octets
	line int64  // of the line that stands there, from 1
	tail []byte // up to tailSize octets that stand before it
}

type block struct {
	data []byte // whole lines
	line int64  // number of the first, from 1
	end  spot   // where the next block begins
	long bool   // data is the beginning of a line that is too long
	f    Findings
	done chan struct{}
}

// stream screens the lines of r, which begins at from, on every core, and calls commit with where it is, every now and then and at
// the end. The last line counts without a line feed only when final is true. An
// error of r comes after what was whole before it was committed.
func (s *Session) stream(ctx context.Context, r io.Reader, from spot, final bool, source string, commit func(spot, *Findings) error) error {
	ctx, cancel := context.WithCancel(ctx)
	workers := runtime.GOMAXPROCS(0)
	work, order := make(chan *block, workers), make(chan *block, 2*workers)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	pool := sync.Pool{New: func() any { return new(block) }}
	for range workers {
		wg.Go(func() {
			for b := range work {
				s.r.screen.lines(b, source)
				close(b.done)
			}
		})
	}
	var readErr error
	wg.Go(func() {
		defer close(work)
		defer close(order)
		send := func(b *block) bool {
			b.done = make(chan struct{})
			select {
			case order <- b:
			case <-ctx.Done():
				return false
			}
			work <- b // never blocks for long: workers don't wait for the consumer
			return true
		}
		readErr = blocks(r, from, final, func() *block { return pool.Get().(*block) }, send)
	})
	var found Findings
	last, size, here := time.Now(), from.at, from
	for b := range order {
		<-b.done
		if ctx.Err() != nil {
			continue
		}
		found.add(&b.f)
		here = spot{b.end.at, b.end.line, append(here.tail[:0:0], b.end.tail...)}
		pool.Put(b)
		if len(found.Candidates) >= commitCandidates || here.at-size >= commitBytes || time.Since(last) >= commitEvery {
			if err := commit(here, &found); err != nil {
				return err
			}
			last, size = time.Now(), here.at
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	if found.Items > 0 {
		if err := commit(here, &found); err != nil {
			return err
		}
	}
	return readErr
}

// blocks cuts r into blocks of whole lines.
func blocks(r io.Reader, p spot, final bool, get func() *block, send func(*block) bool) error {
	var rest []byte
	skipping := false
	tail := append(make([]byte, 0, 2*tailSize), p.tail...)
	pass := func(data []byte) {
		p.at += int64(len(data))
		tail = append(tail, data[max(0, len(data)-tailSize):]...)
		if n := len(tail) - tailSize; n > 0 {
			tail = tail[:copy(tail, tail[n:])]
		}
	}
	emit := func(b *block, data []byte, long bool) bool {
		b.data, b.line, b.long = data, p.line, long
		n := int64(bytes.Count(data, []byte{'\n'}))
		if len(data) > 0 && data[len(data)-1] != '\n' {
			n++
		}
		pass(data)
		p.line += n
		b.end = spot{p.at, p.line, append(b.end.tail[:0], tail...)}
		return send(b)
	}
	for {
		b := get()
		buf := append(b.data[:0], rest...)
		if cap(buf) < len(buf)+blockSize {
			buf = append(make([]byte, 0, len(buf)+blockSize), buf...)
		}
		n, err := r.Read(buf[len(buf) : len(buf)+blockSize])
		buf = buf[:len(buf)+n]
		rest = rest[:0]
		if skipping {
			i := bytes.IndexByte(buf, '\n')
			if i < 0 {
				pass(buf)
				buf = buf[:0]
			} else {
				pass(buf[:i+1])
				buf = buf[:copy(buf, buf[i+1:])]
				skipping = false
			}
		}
		eof := errors.Is(err, io.EOF)
		switch i := bytes.LastIndexByte(buf, '\n'); {
		case i >= 0:
			rest = append(rest, buf[i+1:]...)
			if !emit(b, buf[:i+1], false) {
				return nil
			}
		case len(buf) > maxLine:
			// Its beginning is shown, the rest of it passed over.
			if !emit(b, buf, true) {
				return nil
			}
			skipping = true
		default:
			rest = append(rest, buf...)
			b.data = buf
		}
		switch {
		case eof:
			if len(rest) > 0 && final {
				b := get()
				emit(b, append(b.data[:0], rest...), false)
			}
			return nil
		case err != nil:
			return err
		}
	}
}

// lines screens a block.
func (s *screener) lines(b *block, source string) {
	b.f.reset()
	var buf [256]byte
	if b.long {
		b.f.Items++
		b.f.Names++
		s.bad(&b.f, b.data, fmt.Errorf("a line of more than %d octets", maxLine), b.line)
		return
	}
	for data, n := b.data, b.line; len(data) > 0; n++ {
		line := data
		if i := bytes.IndexByte(data, '\n'); i >= 0 {
			line, data = data[:i], data[i+1:]
		} else {
			data = nil
		}
		b.f.Items++
		if name := watch.Column(line); name != nil {
			s.name(&b.f, buf[:], name, source, n)
		}
	}
}
