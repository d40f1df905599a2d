package watch

import (
	"math"
	"sync"
	"sync/atomic"
)

// Share lets about a share of a stream pass: what scores highest among all that
// was seen so far. Nobody knows beforehand how a stream scores, so it learns the
// cut as names come, and forgets slowly. It is safe for concurrent use.
type Share struct {
	share, floor, first float64

	n    atomic.Int64
	bins [shareBins]atomic.Int64
	cut  atomic.Uint64 // bits of the score that passes now
	mu   sync.Mutex    // held while the cut is set
}

const (
	shareBins  = 2048
	shareWarm  = 20_000    // names before the cut is believed
	shareEvery = 1024      // names between two looks at the cut
	shareMost  = 4_000_000 // names after which the old ones count half
)

// NewShare makes one for a share of 0.001 for one in a thousand. Until enough
// names were seen a score of first passes, and floor is the least that ever does.
func NewShare(share, floor, first float64) *Share {
	s := &Share{share: share, floor: floor, first: first}
	s.cut.Store(math.Float64bits(max(floor, first)))
	return s
}

// shareBin is finer where scores are rare, at both ends.
func shareBin(score float64) int {
	x := math.Log2(max(score, 1e-9) / max(1-score, 1e-9))
	return int(min(max((x+16)/32, 0), 1) * (shareBins - 1))
}

func binScore(b int) float64 {
	x := float64(b)/(shareBins-1)*32 - 16
	return 1 / (1 + math.Exp2(-x))
}

// Pass counts one name of the stream, and says whether it is in the share.
func (s *Share) Pass(score float64) bool {
	if score > 0 {
		s.bins[shareBin(score)].Add(1)
	}
	if n := s.n.Add(1); n%shareEvery == 0 && s.mu.TryLock() {
		s.set(n)
		s.mu.Unlock()
	}
	return score > 0 && score >= math.Float64frombits(s.cut.Load())
}

// Cut is the score that passes now.
func (s *Share) Cut() float64 { return math.Float64frombits(s.cut.Load()) }

func (s *Share) set(n int64) {
	left := int64(math.Ceil(s.share * float64(n)))
	b := shareBins - 1
	for ; b >= 0; b-- {
		if left -= s.bins[b].Load(); left < 0 {
			break
		}
	}
	cut := s.floor
	if b >= 0 {
		cut = max(cut, binScore(b+1))
	}
	if n < shareWarm {
		cut = max(cut, s.first)
	}
	s.cut.Store(math.Float64bits(cut))
	if n > shareMost {
		for i := range s.bins {
			h := s.bins[i].Load() / 2
			s.bins[i].Add(-h)
		}
		s.n.Add(-n / 2)
	}
}
