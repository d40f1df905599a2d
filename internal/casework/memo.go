package casework

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/casework/gate"
	"github.com/impound/impound/internal/store"
)

// memo keeps what was read of the store for as long as the store says that no
// document of its kinds changed, in this process or another. It holds what is
// there, for nobody in particular: what somebody may see of it is decided after
// it, each time anew, by his [Sight].
//
// It holds nothing that an effect rests on: the database is not believed, whether
// it is read once or each time.
type memo[T any] struct {
	kinds []string // of documents that a value is made from
	most  int      // what the values may weigh together

	mu     sync.Mutex
	m      map[string]kept[T]
	weight int
}

type kept[T any] struct {
	word   string
	v      T
	weight int
}

// word gives the version that a value must have to be fresh. It is asked for
// before anything is read, so what is kept with it can be newer than it says, and
// never older.
func (k *memo[T]) word(ctx context.Context, s store.Store) (string, error) {
	return store.VersionOf(ctx, s, k.kinds...)
}

func (k *memo[T]) get(key, word string) (T, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	x, ok := k.m[key]
	return x.v, ok && x.word == word
}

func (k *memo[T]) put(key, word string, v T, weight int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if old, ok := k.m[key]; ok {
		k.weight -= old.weight
		delete(k.m, key)
	}
	if weight > k.most {
		return
	}
	if k.weight+weight > k.most || k.m == nil {
		k.m, k.weight = map[string]kept[T]{}, 0
	}
	k.m[key] = kept[T]{word, v, weight}
	k.weight += weight
}

// Word gives a word that is another as soon as something is believed of the
// evidence log that was not before, or a case or a name of one changed in the
// store. It is good within this process, for keeping what was made of orders and
// cases; ask for it before reading them. It says nothing to who may not see them:
// never show it.
func (s *Service) Word(ctx context.Context) (string, error) {
	view, err := s.ledger.sync(ctx)
	if err != nil {
		return "", err
	}
	w, err := s.whole.word(ctx, s.cfg.Store)
	_, rev := s.gates()
	return fmt.Sprintf("%d %d %s", view.rev, rev, w), err
}

// gates gives the lists that the gates read now, with a number that grows when
// they are others than before.
func (s *Service) gates() (*gate.Lists, int) {
	l := s.cfg.Gates
	if s.cfg.GatesNow != nil {
		if now := s.cfg.GatesNow(); now != nil {
			l = now
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.listsNow != l {
		s.listsNow = l
		s.listsRev++
	}
	return l, s.listsRev
}

// mostNames bounds the names that are kept of cases together: about 1.5 KB each.
const mostNames = 200_000

// lent gives ds to somebody who may sort it, and append to what is in it.
func lent(ds []impound.CaseDomain) []impound.CaseDomain { return slices.Clone(ds) }

// clip makes appending to any list of d copy it: others read the same one.
func clip(d *impound.CaseDomain) {
	d.Evidence, d.History, d.Reasons, d.Verdicts = slices.Clip(d.Evidence), slices.Clip(d.History), slices.Clip(d.Reasons), slices.Clip(d.Verdicts)
}
