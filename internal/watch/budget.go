package watch

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"
	"time"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/watch/match"
)

// scoreBins is how finely Budget counts scores: finer than they mean anything.
const scoreBins = 1 << 16

// Budget reads names as [Screen] does, to the end of src, and then calls emit for
// those with the highest scores, in the order of the input: share of all names
// (0.001 is one in a thousand), rounded up. Among equal scores the earlier win.
// Names in which nothing is seen are never given. lowest is the score of the last
// one that was.
//
// What may be given is kept in a temporary file, since nobody knows before the
// end how many names there will be: memory doesn't grow with src.
func Budget(ctx context.Context, src io.Reader, share float64, opt Options, emit func(impound.Candidate) error) (st Stats, lowest float64, err error) {
	if !(share > 0 && share <= 1) {
		return st, 0, impound.Errorf(impound.KindInvalid, "a budget of %g is no share of the names", share).WithCure("write 0.1%, or 0.001")
	}
	tmp, err := os.CreateTemp("", "impound-budget-*")
	if err != nil {
		return st, 0, impound.Errorf(impound.KindUnavailable, "couldn't make a temporary file: %w", err).WithCure("set TMPDIR to a folder with room")
	}
	defer func() { _ = tmp.Close() }()
	_ = os.Remove(tmp.Name()) // who is killed leaves nothing
	w := bufio.NewWriterSize(tmp, 64<<10)
	var bins [scoreBins + 1]int64
	bin := func(score float64) int { return int(min(max(score, 0), 1) * scoreBins) }
	var rec []byte
	type scored struct {
		score float64
		name  string
	}
	st, err = eachName(ctx, src, opt, func(scorer *match.Scorer, text []byte, name impound.Name) (scored, bool) {
		score := 0.0
		if len(opt.Profiles) > 0 {
			c, _ := Judge(own(name), opt)
			score = c.Score
		} else if scorer != nil {
			score = scorer.Any(text)
		}
		if score <= 0 {
			return scored{}, false
		}
		return scored{score, string(text)}, true
	}, func(_ *Stats, x scored) error {
		bins[bin(x.score)]++
		rec = binary.LittleEndian.AppendUint64(rec[:0], math.Float64bits(x.score))
		rec = append(append(rec, byte(len(x.name))), x.name...)
		if _, err := w.Write(rec); err != nil {
			return impound.Errorf(impound.KindUnavailable, "couldn't write a temporary file: %w", err).WithCure("make room, or set TMPDIR to another folder")
		}
		return nil
	})
	if err == nil {
		err = w.Flush()
	}
	if err != nil {
		return st, 0, err
	}
	left := int64(math.Ceil(share * float64(st.Names)))
	cut := scoreBins
	for ; cut > 0 && left >= bins[cut]; cut-- {
		left -= bins[cut]
	}
	// All above cut; of cut itself the best.
	each := func(f func(score float64, name string) error) error {
		if _, err := tmp.Seek(0, io.SeekStart); err != nil {
			return err
		}
		r := bufio.NewReaderSize(tmp, 64<<10)
		var head [9]byte
		var text [256]byte
		for {
			if err := ctx.Err(); err != nil {
				return err
			}
			if _, err := io.ReadFull(r, head[:]); errors.Is(err, io.EOF) {
				return nil
			} else if err != nil {
				return err
			}
			n := text[:head[8]]
			if _, err := io.ReadFull(r, n); err != nil {
				return err
			}
			if err := f(math.Float64frombits(binary.LittleEndian.Uint64(head[:8])), string(n)); err != nil {
				return err
			}
		}
	}
	var edge []float64
	err = each(func(score float64, _ string) error {
		if bin(score) == cut {
			edge = append(edge, score)
		}
		return nil
	})
	if err != nil {
		return st, 0, fmt.Errorf("couldn't read the temporary file: %w", err)
	}
	slices.SortFunc(edge, func(a, b float64) int { return -cmpFloat(a, b) })
	least, equal := math.Inf(1), int64(0) // scores above least pass, and equal ones of least
	if left > 0 && int64(len(edge)) > 0 {
		least = edge[min(left, int64(len(edge)))-1]
		for _, s := range edge[:min(left, int64(len(edge)))] {
			if s == least {
				equal++
			}
		}
	}
	now := opt.Now
	if now == nil {
		now = time.Now
	}
	lowest = 1
	err = each(func(score float64, text string) error {
		switch b := bin(score); {
		case b > cut:
		case b < cut || score < least:
			return nil
		case score == least:
			if equal == 0 {
				return nil
			}
			equal--
		}
		name, err := impound.ParseName(text)
		if err != nil {
			return err
		}
		c, ok := Judge(name, opt)
		if !ok {
			return nil
		}
		c.Seen = now().UTC()
		st.Hits++
		lowest = min(lowest, score)
		return emit(c)
	})
	if err != nil {
		return st, 0, fmt.Errorf("couldn't give the names that were kept: %w", err)
	}
	if st.Hits == 0 {
		lowest = 0
	}
	return st, lowest, nil
}

func cmpFloat(a, b float64) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}
