package profile

import (
	"bytes"
	"context"
	"io"
	"strconv"

	"github.com/impound/impound/internal/watch/match"
	"github.com/impound/impound/internal/watch/stream"
)

// Scores learns from examples, oldest first, reads a name a line from r
// and writes "name<TAB>score" to w for every line, in order: between 0 and 1,
// higher is more like the actor's names, 0 for what is no name. Of a line with
// tabs the first column is the name, which is written as it stands there; it may be
// spelt in any way that [impound.ParseName] reads. It uses every core.
func Scores(ctx context.Context, ex []Example, r io.Reader, w io.Writer) error {
	p, err := Learn("actor", ex)
	if err != nil {
		return err
	}
	return stream.Map(ctx, r, w, 0, func(dst, line []byte, _ int) []byte {
		if i := bytes.IndexByte(line, '\t'); i >= 0 {
			line = line[:i]
		}
		dst = append(append(dst, line...), '\t')
		var buf [256]byte
		name, ok := match.Canonical(buf[:0], line)
		if !ok {
			name, ok = stream.Name(buf[:0], line)
		}
		if !ok {
			return append(dst, '0', '\n')
		}
		dst = strconv.AppendFloat(dst, squash(p.Bits(name)), 'g', 9, 64)
		return append(dst, '\n')
	})
}
