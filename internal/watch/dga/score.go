package dga

import (
	"bytes"
	"context"
	_ "embed"
	"fmt"
	"io"
	"math"
	"strconv"
	"sync"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/dga/model"
	"github.com/impound/impound/internal/watch/stream"
)

// model.bin is the network that [Score] and [Scores] use, made by:
// go run ./internal/watch/dga/train -out internal/watch/dga/model.bin DATA
//
//go:embed model.bin
var modelBin []byte

// network is decoded at first use. A broken file can't get into a program: a
// test decodes it. Without one nothing is seen.
var network = sync.OnceValue(func() *model.Model {
	m, err := model.Decode(modelBin)
	if err != nil {
		return nil
	}
	return m
})

// share turns a logarithm of odds into a share that is above 0 and below 1. The
// bound is where shares stop to differ from 1 in a float64.
func share(logit float64) float64 {
	return 1 / (1 + math.Exp(-min(max(logit, -35), 35)))
}

// Score gives how likely it is that one of the known algorithms made name:
// above 0 and below 1, as among the names that were learnt from, of which about
// one in thirty was made so. In a stream of registrations far fewer are:
// compare scores with each other, and flag by a budget. It is 0 for what is no
// name in the DNS. The reasons are nil below 0.1. It may be called from several
// goroutines at once.
func Score(name string) (float64, []impound.Reason) {
	m := network()
	if m == nil {
		return 0, nil
	}
	var s model.Sample
	logit, family, ok := m.Score(name, &s)
	if !ok {
		return 0, nil
	}
	p := share(logit)
	if p < .1 {
		return p, nil
	}
	family = strconv.Quote(family)
	bare := model.Sample{NoTLD: true}
	l, _, _ := m.Score(name, &bare)
	rs := []impound.Reason{{Code: "dga-family", Text: "most like the names that " + family + " makes", Weight: share(l)}}
	if d := p - share(l); d >= .01 {
		rs = append(rs, impound.Reason{Code: "dga-tld", Text: "with the top-level domain all the more", Weight: d})
	}
	// What can be checked by eye; the weight of each alone is not known.
	if s.Odd > 0 {
		rs = append(rs, impound.Reason{Code: "dga-octets", Text: fmt.Sprintf("%d characters that no host name may have", s.Odd)})
	}
	if s.Mean >= 5 {
		rs = append(rs, impound.Reason{Code: "dga-letters", Text: fmt.Sprintf("letters follow each other as in no ordinary name: %.1f bits each, where 3 to 4 are usual", s.Mean)})
	}
	if s.Cons >= 5 {
		rs = append(rs, impound.Reason{Code: "dga-consonants", Text: fmt.Sprintf("%d consonants in a row", s.Cons)})
	}
	if s.Digits >= 3 && s.Digits < s.Length {
		rs = append(rs, impound.Reason{Code: "dga-digits", Text: fmt.Sprintf("%d digits among %d characters", s.Digits, s.Length)})
	}
	if s.Length >= 20 {
		rs = append(rs, impound.Reason{Code: "dga-length", Text: fmt.Sprintf("%d characters long", s.Length)})
	}
	return p, rs
}

// Logit gives how much more likely than ordinary it is that one of the known
// algorithms made name, as a natural logarithm (0: as likely as not, among names of
// which about one in thirty was made so), whatever its top-level domain; 0 for what
// is no name. It may be called from several goroutines at once.
func Logit(name string) float64 {
	m := network()
	if m == nil {
		return 0
	}
	s := model.Sample{NoTLD: true}
	l, _, ok := m.Score(name, &s)
	if !ok {
		return 0
	}
	return l
}

// Scores reads a name a line from r and writes "name<TAB>score" to w for every
// line, in order, the score as [Score] gives it, 0 for a line that holds no
// name. Of a line with tabs the first column is the name, which
// is written as it stands there. It uses every core
// and holds a few blocks of the input at a time.
func Scores(ctx context.Context, r io.Reader, w io.Writer) error {
	m := network()
	return stream.Map(ctx, r, w, 0, func(dst, line []byte, _ int) []byte {
		if i := bytes.IndexByte(line, '\t'); i >= 0 {
			line = line[:i]
		}
		dst = append(append(dst, line...), '\t')
		if m != nil && len(line) <= 512 {
			var s model.Sample
			var buf [256]byte
			text := line
			if name, ok := stream.Name(buf[:0], line); ok {
				text = name
			}
			if logit, _, ok := m.Score(string(text), &s); ok {
				return append(strconv.AppendFloat(dst, share(logit), 'g', -1, 64), '\n')
			}
		}
		return append(dst, '0', '\n')
	})
}
