package source

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"slices"
	"strings"
)

// Zone calls f with each name that a zone file in CZDS layout (one record a
// line: owner, TTL, class, type, data; RFC 1035 5.1 without parentheses)
// delegates: the owners of NS records other than origin. A name with many NS
// records that stand together is given once. The name lives until f returns.
// Lines that are no record are counted in bad.
func Zone(r io.Reader, origin string, f func(name []byte) error) (bad int, err error) {
	z := ZoneLines{Origin: strings.ToLower(strings.TrimSuffix(origin, "."))}
	blocks := ZoneBlocks{src: r, alone: true}
	b := ZoneBlock{Data: make([]byte, 0, 256<<10)}
	for {
		if err := blocks.Next(&b); errors.Is(err, io.EOF) {
			return z.Bad, nil
		} else if err != nil {
			return z.Bad, err
		}
		for name, rest := z.Next(b.Data); name != nil; name, rest = z.Next(rest) {
			if err := f(name); err != nil {
				return z.Bad, err
			}
		}
	}
}

// ZoneBlocks cuts a zone file into blocks of whole lines, which may be read apart
// from each other.
type ZoneBlocks struct {
	src   io.Reader
	err   error // of src
	rest  []byte
	skip  bool // inside a line that is longer than a block
	alone bool // one ZoneLines reads all of them
	prev  []byte
	lines ZoneLines
}

// NewZoneBlocks makes one. It is for one goroutine at a time.
func NewZoneBlocks(src io.Reader) *ZoneBlocks { return &ZoneBlocks{src: src} }

// ZoneBlock is one of them.
type ZoneBlock struct {
	Data []byte // its capacity says how large it is to be, at least 1 kB
	Prev []byte // for [ZoneLines.Reset]
}

// Next fills b, or gives what src ended with: [io.EOF], or what was wrong. What
// could be read before that is given first. A line that is longer than a block is
// given as one that is no record.
func (z *ZoneBlocks) Next(b *ZoneBlock) error {
	b.Prev = append(b.Prev[:0], z.prev...)
	for {
		b.Data = append(b.Data[:0], z.rest...)
		z.rest = z.rest[:0]
		if z.err == nil {
			n := len(b.Data)
			b.Data = b.Data[:cap(b.Data)]
			for n < len(b.Data) && z.err == nil {
				var k int
				k, z.err = z.src.Read(b.Data[n:])
				n += k
			}
			b.Data = b.Data[:n]
		}
		if z.skip {
			i := bytes.IndexByte(b.Data, '\n')
			if i < 0 && z.err == nil {
				continue
			}
			if i < 0 {
				i = len(b.Data)
			}
			b.Data = slices.Insert(append(b.Data[:0], b.Data[i:]...), 0, tooLong...)
			z.skip = false
		}
		if len(b.Data) == 0 {
			break
		}
		// What is behind the last line feed belongs to the next block. At a good end it
		// is a line; what a broken file ends with is none.
		if i := bytes.LastIndexByte(b.Data, '\n'); !errors.Is(z.err, io.EOF) {
			z.rest = append(z.rest, b.Data[i+1:]...)
			b.Data = b.Data[:i+1]
			if z.err != nil {
				z.rest = z.rest[:0]
			}
			if i < 0 && z.err == nil { // all of it is one line
				z.rest, z.skip = z.rest[:0], true
				continue
			}
		}
		if len(b.Data) == 0 {
			break
		}
		z.owner(b.Data)
		return nil
	}
	if errors.Is(z.err, io.EOF) {
		return io.EOF
	}
	return fmt.Errorf("couldn't read the zone file: %w", z.err)
}

// tooLong stands for a line that is longer than a block: it is no record.
var tooLong = []byte(" too-long")

// owner finds the owner of the last NS record.
func (z *ZoneBlocks) owner(data []byte) {
	for end := len(data); end > 0 && !z.alone; {
		start := bytes.LastIndexByte(data[:end-1], '\n') + 1
		z.lines.Reset("", nil)
		z.lines.Name(data[start:end])
		if owner := z.lines.Owner(); len(owner) > 0 {
			z.prev = append(z.prev[:0], owner...)
			return
		}
		end = start
	}
}

// ZoneLines reads the lines of a zone file in CZDS layout.
type ZoneLines struct {
	Origin string // lower case, no dot at its end
	Bad    int    // lines that are no record
	Lines  int    // that [ZoneLines.Next] read

	// The last NS record up to its data: its owner, as it stood, and what is between
	// owner and data. Most lines begin as the last one, or go on like it.
	head  []byte
	owner int // of head

	name, spare []byte // the owner as it was given
}

// Reset begins anew behind a line whose owner was prev; empty for none.
func (z *ZoneLines) Reset(origin string, prev []byte) {
	z.Origin, z.Bad, z.Lines = origin, 0, 0
	z.head, z.owner = append(z.head[:0], prev...), len(prev)
	z.name = appendName(z.name[:0], prev)
}

// Owner gives the owner of the last NS record, as it stood there; empty when
// there was none.
func (z *ZoneLines) Owner() []byte { return z.head[:z.owner] }

// Next gives the first name that the lines of data delegate, as [ZoneLines.Name]
// does of one, and what of data is behind it; nil at the end.
func (z *ZoneLines) Next(data []byte) (name, rest []byte) {
	for len(data) > 0 {
		z.Lines++
		head := z.head
		if n := len(head); n > z.owner && len(data) > n && data[n] > ' ' && string(data[:n]) == string(head) {
			// One more server of the same name.
			data = data[n+lineEnd(data[n:]):]
			continue
		}
		if n := fieldEnd(data); n > 0 && data[0] != ';' && data[0] != '$' {
			between := head[z.owner:]
			at := n + len(between)
			if len(between) > 0 && len(data) > at && data[at] > ' ' && string(data[n:at]) == string(between) {
				// Another name, but class, type and time to live are the same.
				line := data
				data = data[at+lineEnd(data[at:]):]
				if name := z.delegates(line[:at], n); name != nil {
					return name, data
				}
				continue
			}
		}
		n := lineEnd(data)
		line := data[:n]
		data = data[n:]
		if name := z.Name(line); name != nil {
			return name, data
		}
	}
	return nil, nil
}

// lineEnd says where the next line begins.
func lineEnd(b []byte) int {
	if i := bytes.IndexByte(b, '\n'); i >= 0 {
		return i + 1
	}
	return len(b)
}

const (
	each01 = 0x0101010101010101
	each80 = 0x8080808080808080
)

// fieldEnd says where the first tab or space of b is, if before it stands nothing
// below; or 0.
func fieldEnd(b []byte) int {
	for i := 0; i+8 <= len(b); i += 8 {
		x := binary.LittleEndian.Uint64(b[i:])
		// Octets below 0x21, the lowest of them for certain.
		if m := (x - 0x21*each01) &^ x & each80; m != 0 {
			i += bits.TrailingZeros64(m) / 8
			if b[i] == '\t' || b[i] == ' ' {
				return i
			}
			return 0
		}
	}
	return 0 // near the end, which is read octet by octet
}

// appendName gives owner in lower case, without a dot at its end.
func appendName(dst, owner []byte) []byte {
	if n := len(owner); n > 1 && owner[n-1] == '.' {
		owner = owner[:n-1]
	}
	at := len(dst)
	dst = append(dst, owner...)
	b := dst[at:]
	for ; len(b) >= 8; b = b[8:] {
		x := binary.LittleEndian.Uint64(b)
		// In the highest bit of each octet: at least 'A', not above 'Z', ASCII.
		low := x &^ each80
		upper := (low + (0x80-'A')*each01) &^ (low + (0x80-'Z'-1)*each01) &^ x & each80
		binary.LittleEndian.PutUint64(b, x|upper>>2)
	}
	for i, c := range b {
		if c >= 'A' && c <= 'Z' {
			b[i] = c | 0x20
		}
	}
	return dst
}

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
	at, data := n, 0
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
		data = start
		break
	}
	return z.delegates(line[:data], n)
}

// delegates takes the beginning of an NS record, up to its data, whose owner is of
// n octets.
func (z *ZoneLines) delegates(head []byte, n int) []byte {
	again := string(head[:n]) == string(z.head[:z.owner])
	z.head, z.owner = append(z.head[:0], head...), n
	if again {
		return nil
	}
	name := appendName(z.spare[:0], head[:n])
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
