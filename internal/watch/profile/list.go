package profile

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/stream"
)

// Ranked is a line of a list.
type Ranked struct {
	Line []byte  // up to the first tab
	Name []byte  // what it is as a name; empty for none
	Bits float64 // see [Profile.Bits]; with what hosts of the list say
	Own  float64 // the same by the name alone
	Host string  // the host of the list that speaks for the name, see [Beside.Bits]; empty for none
}

// Score is Bits as a share between 0 and 1, as [Profile.Score] gives it; 0 for
// what is no name.
func (x *Ranked) Score() float64 {
	if len(x.Name) == 0 {
		return 0
	}
	return squash(x.Bits)
}

// Reasons gives those of [Profile.Score], or of [Profile.ScoreObserved], with what
// the host says.
func (x *Ranked) Reasons(p *Profile, own []impound.Reason) []impound.Reason {
	if x.Host == "" {
		return own
	}
	host, err := impound.ParseName(x.Host)
	if err != nil {
		return own // it was parsed before
	}
	first := 0
	if len(own) > 0 && own[0].Code == "actor-known" {
		first = 1
	}
	where := "below it"
	if !strings.HasSuffix(x.Host, "."+string(x.Name)) {
		where = "beside it, below the same name"
	}
	r := impound.Reason{Code: "actor-host", Text: fmt.Sprintf("%s: %s, which stands %s, is in the same list and fits better", p.actor, host.Defanged(), where), Weight: math.Round((x.Bits-x.Own)*100) / 100}
	out := append([]impound.Reason{}, own[:first]...)
	return append(append(out, r), own[first:]...)
}

// List reads a name a line from r, to the end, and then calls f for every line, in
// order: what a host says of the name that it stands below, see [Beside], is known
// when all were seen. parse says what name a line is; more, which may be nil, gives
// bits to be added to a name's own. Both are called from several goroutines, f from
// the caller's; it must not keep what it is given.
//
// A list of more than 32 MiB waits in a temporary file.
func (p *Profile) List(ctx context.Context, r io.Reader, parse func(dst, line []byte) ([]byte, bool), more func(name string) float64, f func(*Ranked) error) error {
	hosts := p.Beside()
	var s spool
	defer s.close()
	keeping := true
	err := stream.Blocks(ctx, r, 0, maxListLine, func(_ int, in []byte, out *[]byte) {
		dst := (*out)[:0]
		var buf [256]byte
		for line := range bytes.Lines(in) {
			line = bytes.TrimSuffix(bytes.TrimSuffix(line, []byte{'\n'}), []byte{'\r'})
			line, _, _ = bytes.Cut(line, []byte{'\t'})
			line = line[:min(len(line), maxListLine)]
			name, ok := parse(buf[:0], line)
			bits := 0.0
			if !ok || len(name) > 253 {
				name = nil
			} else if bits = p.Bits(name); more != nil {
				bits += more(string(name))
			}
			dst = binary.LittleEndian.AppendUint32(dst, uint32(len(line)))
			dst = append(dst, byte(len(name)))
			dst = binary.LittleEndian.AppendUint64(dst, math.Float64bits(bits))
			dst = append(append(dst, line...), name...)
		}
		*out = dst
	}, func(out *[]byte) error {
		for b := *out; len(b) > 0; {
			line, name, bits := header(b)
			if from := headLen + line; name > 0 {
				hosts.Add(string(b[from:from+name]), bits)
			}
			b = b[headLen+line+name:]
		}
		err := s.write(*out)
		keeping = err == nil
		return err
	})
	switch {
	case err == nil:
	case ctx.Err() != nil || !keeping:
		return err
	default:
		return impound.Errorf(impound.KindUnavailable, "couldn't read the names: %w", err).At("standard input")
	}
	return s.each(ctx, func(x *Ranked) error {
		if x.Bits = x.Own; len(x.Name) > 0 {
			x.Bits, x.Host = hosts.Bits(string(x.Name), x.Own)
		}
		return f(x)
	})
}

const maxListLine = 1 << 20

// A line that waits: its length, that of the name that it is, the name's bits, and
// both.
const headLen = 4 + 1 + 8

func header(b []byte) (line, name int, bits float64) {
	return int(binary.LittleEndian.Uint32(b)), int(b[4]), math.Float64frombits(binary.LittleEndian.Uint64(b[5:]))
}

// spool keeps octets in memory while they are few, and then in a temporary file.
type spool struct {
	mem  []byte
	file *os.File
	w    *bufio.Writer
}

// spoolMemory is a variable for tests.
var spoolMemory = 32 << 20

func (s *spool) write(b []byte) error {
	if s.file == nil && len(s.mem)+len(b) <= spoolMemory {
		s.mem = append(s.mem, b...)
		return nil
	}
	if s.file == nil {
		f, err := os.CreateTemp("", "impound-rank-*")
		if err != nil {
			return impound.Errorf(impound.KindUnavailable, "couldn't make a temporary file: %w", err).WithCure("set TMPDIR to a folder with room")
		}
		_ = os.Remove(f.Name()) // who is killed leaves nothing
		s.file, s.w = f, bufio.NewWriterSize(f, 64<<10)
		b = append(s.mem, b...)
		s.mem = nil
	}
	if _, err := s.w.Write(b); err != nil {
		return impound.Errorf(impound.KindUnavailable, "couldn't write a temporary file: %w", err).WithCure("make room, or set TMPDIR to another folder")
	}
	return nil
}

func (s *spool) close() {
	if s.file != nil {
		_ = s.file.Close()
	}
}

// each gives back the lines that were written.
func (s *spool) each(ctx context.Context, f func(*Ranked) error) error {
	var r *bufio.Reader
	if s.file == nil {
		r = bufio.NewReader(bytes.NewReader(s.mem))
	} else {
		if err := s.w.Flush(); err != nil {
			return impound.Errorf(impound.KindUnavailable, "couldn't write a temporary file: %w", err).WithCure("make room, or set TMPDIR to another folder")
		}
		if _, err := s.file.Seek(0, io.SeekStart); err != nil {
			return fmt.Errorf("couldn't read the temporary file: %w", err)
		}
		r = bufio.NewReaderSize(s.file, 256<<10)
	}
	var head [headLen]byte
	var text []byte
	for i := 0; ; i++ {
		if i%4096 == 0 && ctx.Err() != nil {
			return ctx.Err()
		}
		if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return fmt.Errorf("couldn't read the temporary file: %w", err)
		}
		line, name, bits := header(head[:])
		if text = text[:0]; cap(text) < line+name {
			text = make([]byte, 0, 2*(line+name))
		}
		text = text[:line+name]
		if _, err := io.ReadFull(r, text); err != nil {
			return fmt.Errorf("couldn't read the temporary file: %w", err)
		}
		if err := f(&Ranked{Line: text[:line:line], Name: text[line:], Own: bits}); err != nil {
			return err
		}
	}
}
