package profile

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"strconv"

	"github.com/impound/impound/internal/watch/match"
	"github.com/impound/impound/internal/watch/stream"
)

// Scores learns from examples, oldest first, reads a name a line from r
// and writes "name<TAB>score" to w for every line, in order: between 0 and 1,
// higher is more like the actor's names, 0 for what is no name. Of a line with
// tabs the first column is the name, which is written as it stands there; it may be
// spelt in any way that [impound.ParseName] reads. It uses every core. As
// [Profile.List] does, it reads to the end first; alone, each name counts by itself
// and is written at once.
func Scores(ctx context.Context, ex []Example, r io.Reader, w io.Writer, alone bool) error {
	p, err := Learn("actor", ex)
	if err != nil {
		return err
	}
	write := func(dst, line []byte, score float64) []byte {
		dst = append(append(dst, line...), '\t')
		return append(strconv.AppendFloat(dst, score, 'g', 9, 64), '\n')
	}
	parse := func(dst, line []byte) ([]byte, bool) {
		if name, ok := match.Canonical(dst, line); ok {
			return name, true
		}
		return stream.Name(dst, line)
	}
	if alone {
		return stream.Map(ctx, r, w, 0, func(dst, line []byte, _ int) []byte {
			line, _, _ = bytes.Cut(line, []byte{'\t'})
			var buf [256]byte
			name, ok := parse(buf[:0], line)
			if !ok {
				return write(dst, line, 0)
			}
			return write(dst, line, squash(p.Bits(name)))
		})
	}
	out := bufio.NewWriterSize(w, 64<<10)
	var buf []byte
	var writing error
	err = p.List(ctx, r, parse, nil, func(x *Ranked) error {
		buf = write(buf[:0], x.Line, x.Score())
		_, writing = out.Write(buf)
		return writing
	})
	if err == nil {
		writing = out.Flush()
		err = writing
	}
	if writing != nil {
		return fmt.Errorf("couldn't write scores: %w", writing)
	}
	return err
}
