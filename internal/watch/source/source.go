// Package source opens where names come from and gives them a line each:
// plain lists, gzip, and zone files, of which only the delegated names count;
// and the difference of two days' zone files.
//
// What lives here: reading and comparing. What must not: a judgement about a
// name, or fetching anything over a network.
package source

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/klauspost/compress/gzip"

	"github.com/impound/impound"
)

// Open opens a file of names, "-" for stdin. What begins like gzip is unpacked,
// whatever it is called; a gzip file that was cut short gives
// [io.ErrUnexpectedEOF] when its end is reached, not a silent end.
func Open(path string, stdin io.Reader) (io.ReadCloser, error) {
	var r io.Reader = stdin
	var c io.Closer = io.NopCloser(nil)
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, impound.Errorf(impound.KindNotFound, "couldn't open the names: %w", err).WithCure("give a file with a name a line, or - for standard input")
		}
		r, c = f, f
	}
	br := bufio.NewReaderSize(r, 64<<10)
	if head, _ := br.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(br)
		if err != nil {
			_ = c.Close()
			return nil, impound.Errorf(impound.KindInvalid, "couldn't unpack the names: %w", err).At(path)
		}
		return both{z, c}, nil
	}
	return both{br, c}, nil
}

// Unpack looks through gzip, if r begins like it.
func Unpack(r io.Reader) (io.Reader, error) {
	br := bufio.NewReaderSize(r, 256<<10)
	if head, _ := br.Peek(2); !bytes.Equal(head, []byte{0x1f, 0x8b}) {
		return br, nil
	}
	z, err := gzip.NewReader(br)
	if err != nil {
		return nil, impound.Errorf(impound.KindInvalid, "couldn't unpack: %w", err)
	}
	return z, nil
}

type both struct {
	io.Reader
	c io.Closer
}

func (b both) Close() error { return b.c.Close() }

// ErrShrunk is what [Diff] gives when the newer list is less than half of the
// older one: more likely a broken download than mass deletion. Nothing is to be
// concluded from it.
var ErrShrunk = errors.New("the newer list is less than half of the older one: held, not taken as deletions")

// Diff compares two sorted lists of names, a line each, and calls added and
// removed (which may be nil) in order, as it reads. It is of constant memory.
// A list that is not sorted is an [impound.Error] of KindInvalid. Since
// removals are given while reading, a caller that acts on them must wait for
// the end and drop them on ErrShrunk.
func Diff(older, newer io.Reader, added, removed func(name string) error) error {
	a, b := &lines{r: bufio.NewReader(older), what: "older"}, &lines{r: bufio.NewReader(newer), what: "newer"}
	call := func(f func(string) error, s string) error {
		if f == nil {
			return nil
		}
		return f(s)
	}
	a.next()
	b.next()
	for a.ok || b.ok {
		switch {
		case a.err != nil || b.err != nil:
			return cmpErr(a.err, b.err)
		case !b.ok || a.ok && a.s < b.s:
			if err := call(removed, a.s); err != nil {
				return err
			}
			a.next()
		case !a.ok || b.s < a.s:
			if err := call(added, b.s); err != nil {
				return err
			}
			b.next()
		default:
			a.next()
			b.next()
		}
	}
	if err := cmpErr(a.err, b.err); err != nil {
		return err
	}
	if b.n*2 < a.n {
		return ErrShrunk
	}
	return nil
}

func cmpErr(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

type lines struct {
	r    *bufio.Reader
	what string
	s    string
	n    int
	ok   bool
	err  error
}

func (l *lines) next() {
	for {
		s, err := l.r.ReadString('\n')
		s = strings.TrimRight(s, "\r\n")
		if s == "" && err != nil {
			l.ok = false
			if !errors.Is(err, io.EOF) {
				l.err = fmt.Errorf("couldn't read the %s list: %w", l.what, err)
			}
			return
		}
		if s == "" || l.n > 0 && s == l.s {
			continue
		}
		if l.n > 0 && s < l.s {
			l.ok = false
			l.err = impound.Errorf(impound.KindInvalid, "the %s list is not sorted: %q comes after %q", l.what, s, l.s).WithCure("sort both with LC_ALL=C sort")
			return
		}
		l.s, l.ok = s, true
		l.n++
		return
	}
}
