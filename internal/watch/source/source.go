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

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/source/gunzip"
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
		z, err := gunzip.NewReader(br)
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
	z, err := gunzip.NewReader(br)
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

// Zone calls f with each name that a zone file in CZDS layout (one record a
// line: owner, TTL, class, type, data; RFC 1035 5.1 without parentheses)
// delegates: the owners of NS records other than origin. A name with many NS
// records that stand together is given once. The name lives until f returns.
// Lines that are no record are counted in bad.
func Zone(r io.Reader, origin string, f func(name []byte) error) (bad int, err error) {
	z := ZoneLines{Origin: strings.ToLower(strings.TrimSuffix(origin, "."))}
	br := bufio.NewReaderSize(r, 256<<10)
	for {
		line, err := br.ReadSlice('\n')
		if errors.Is(err, bufio.ErrBufferFull) { // a record that long is no NS record
			for errors.Is(err, bufio.ErrBufferFull) {
				_, err = br.ReadSlice('\n')
			}
			z.Bad++
			line = nil
		}
		if name := z.Name(line); name != nil {
			if err := f(name); err != nil {
				return z.Bad, err
			}
		}
		if errors.Is(err, io.EOF) {
			return z.Bad, nil
		}
		if err != nil {
			return z.Bad, fmt.Errorf("couldn't read the zone file: %w", err)
		}
	}
}

// ZoneLines reads the lines of a zone file in CZDS layout.
type ZoneLines struct {
	Origin string // lower case, no dot at its end
	Bad    int    // lines that are no record

	raw         []byte // owner of the last NS record, as it stood
	name, spare []byte // the same as it was given
}

// Reset begins anew behind a line whose owner was prev.
func (z *ZoneLines) Reset(origin string, prev []byte) {
	z.Origin, z.Bad = origin, 0
	z.raw, z.name = append(z.raw[:0], prev...), z.name[:0]
}

// Owner gives the owner of the last NS record, as it stood there; empty when
// there was none.
func (z *ZoneLines) Owner() []byte { return z.raw }

// Name gives the name that a line delegates, in lower case; nil when it
// delegates none, or the one that the line before did. It lives until the next
// call.
func (z *ZoneLines) Name(line []byte) []byte {
	for n := len(line); n > 0 && (line[n-1] == '\n' || line[n-1] == '\r'); n = len(line) {
		line = line[:n-1]
	}
	if len(line) == 0 {
		return nil
	}
	switch line[0] {
	case ';', '$':
		return nil
	case ' ', '\t':
		if len(bytes.TrimSpace(line)) > 0 {
			z.Bad++
		}
		return nil
	}
	// Owner; then TTL and class, which are passed over; then the type.
	n := 0
	for n < len(line) && line[n] != '\t' && line[n] != ' ' {
		n++
	}
	owner, at := line[:n], n
	for field := 0; ; field++ {
		for at < len(line) && (line[at] == '\t' || line[at] == ' ') {
			at++
		}
		start := at
		for at < len(line) && line[at] != '\t' && line[at] != ' ' {
			at++
		}
		if start == at {
			z.Bad++
			return nil
		}
		if field < 2 {
			continue
		}
		if field == 2 {
			if at-start != 2 || line[start]|0x20 != 'n' || line[start+1]|0x20 != 's' {
				if at == len(line) { // a record has data
					z.Bad++
				}
				return nil
			}
			continue
		}
		break
	}
	if bytes.Equal(owner, z.raw) {
		return nil
	}
	z.raw = append(z.raw[:0], owner...)
	if n := len(owner); n > 1 && owner[n-1] == '.' {
		owner = owner[:n-1]
	}
	name := append(z.spare[:0], owner...)
	for i, c := range name {
		if c >= 'A' && c <= 'Z' {
			name[i] = c | 0x20
		}
	}
	if bytes.Equal(name, z.name) {
		z.spare = name
		return nil
	}
	z.name, z.spare = name, z.name
	if string(name) == z.Origin {
		return nil
	}
	return name
}

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
