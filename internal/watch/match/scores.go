package match

import (
	"bytes"
	"context"
	"io"
	"runtime"
	"strconv"

	"github.com/impound/impound/internal/watch/stream"
)

// Scores reads a name a line from r and writes "name<TAB>score[<TAB>brand]" to
// w for every line, in order: higher is more suspicious, 0 means that nothing
// was seen or that the line is no name. Of a line with tabs the first column is
// the name, which is written as it stands there; it may be spelt in any way that
// [impound.ParseName] reads. It uses every core. Lure words without a brand, for which
// [Matcher.Match] gives a low score, count as nothing here.
func Scores(ctx context.Context, m *Matcher, r io.Reader, w io.Writer) error {
	workers := make([]*Scorer, runtime.GOMAXPROCS(0))
	for i := range workers {
		workers[i] = m.Scorer()
	}
	return stream.Map(ctx, r, w, len(workers), func(dst, line []byte, n int) []byte {
		if i := bytes.IndexByte(line, '\t'); i >= 0 {
			line = line[:i]
		}
		dst = append(append(dst, line...), '\t')
		p, brand := workers[n].Score(line)
		if p == 0 {
			var buf [256]byte
			if name, ok := stream.Name(buf[:0], line); ok {
				p, brand = workers[n].Score(name)
			}
		}
		if p == 0 {
			return append(dst, '0', '\n')
		}
		dst = strconv.AppendFloat(dst, p, 'g', 9, 64)
		if brand != "" {
			dst = append(append(dst, '\t'), brand...)
		}
		return append(dst, '\n')
	})
}
