package evidence

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/impound/impound"
	"github.com/impound/impound/internal/quickjson"
	"golang.org/x/mod/sumdb/tlog"
)

// Size gives the number of entries. Like every reader it first takes in what
// other processes appended; where that fails it gives what is known.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh()
	return l.tree.n
}

// Checkpoint gives the signed head. Kept elsewhere, it proves later that
// nothing before it was taken away ([VerifyWith]).
func (l *Log) Checkpoint() []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh()
	return slices.Clone(l.checkp)
}

// Origin gives the log's name.
func (l *Log) Origin() string { return l.key.Name() }

// PublicKey gives the key that checkpoints verify with.
func (l *Log) PublicKey() impound.PublicKey { return impound.NewPublicKey(l.key.key) }

// VerifierKey gives it in note's spelling, as in log.vkey.
func (l *Log) VerifierKey() string { return l.key.text }

// Entry gives an entry by its id, proven; false when there is none.
func (l *Log) Entry(id string) (impound.Entry, bool, error) {
	i, ok, err := l.find(selector{'i', id})
	if err != nil || !ok {
		return impound.Entry{}, false, err
	}
	e, err := l.entry(i)
	return e, err == nil, err
}

// line reads the line of entry i and proves it. l.mu must not be held for
// writing by another than whoever writes.
func (l *Log) line(i int64) ([]byte, error) {
	l.mu.RLock()
	t, segs, tl := l.tree, l.segs, l.tail
	bad := l.closed || t == nil || i < 0 || i >= t.n
	var from, to int64
	if !bad && i >= tl.from {
		if from, to = tl.base, tl.ends[i-tl.from]; i > tl.from {
			from = tl.ends[i-tl.from-1]
		}
	}
	l.mu.RUnlock()
	if bad {
		return nil, impound.Errorf(impound.KindInternal, "entry %d can't be read: the log is closed or shorter", i)
	}
	where := func(i int64) (int64, int64, error) { return placeIn(segs, i) }
	if to > 0 {
		own := i
		where = func(i int64) (int64, int64, error) {
			if i == own {
				return from, to, nil
			}
			return l.place(i)
		}
	}
	b, err := l.lineAt(i, where)
	if err != nil {
		return nil, err
	}
	want, err := l.leafHash(t, i, where)
	if err != nil {
		return nil, err
	}
	if tlog.RecordHash(b) != want {
		return nil, l.tampered(entriesFile, fmt.Errorf("entry %d was changed", i))
	}
	return b, nil
}

// place gives where the line of entry i lies.
func (l *Log) place(i int64) (from, to int64, err error) {
	l.mu.RLock()
	defer l.mu.RUnlock()
	if tl := l.tail; i >= tl.from {
		if from, to = tl.base, tl.ends[i-tl.from]; i > tl.from {
			from = tl.ends[i-tl.from-1]
		}
		return from, to, nil
	}
	return placeIn(l.segs, i)
}

func placeIn(segs []*segment, i int64) (from, to int64, err error) {
	at, ok := slices.BinarySearchFunc(segs, i, func(s *segment, i int64) int {
		switch {
		case s.from+s.n <= i:
			return -1
		case s.from > i:
			return 1
		}
		return 0
	})
	if !ok {
		return 0, 0, impound.Errorf(impound.KindInternal, "entry %d is in no part of the index", i)
	}
	s := segs[at]
	if from = s.base; i > s.from {
		if from, err = s.endOf(i - 1); err != nil {
			return 0, 0, err
		}
	}
	to, err = s.endOf(i)
	return from, to, err
}

// lineAt reads the line of entry i; it is not proven.
func (l *Log) lineAt(i int64, where func(int64) (int64, int64, error)) ([]byte, error) {
	from, to, err := where(i)
	if err != nil {
		return nil, err
	}
	if to-from < 1 || to-from > MaxEntry {
		return nil, l.tampered(entriesFile, fmt.Errorf("entry %d can't be %d octets long", i, to-from))
	}
	b := make([]byte, to-from)
	if _, err := readFullAt(l.entries, b, from); err != nil {
		return nil, ioError("read", l.path(entriesFile), err)
	}
	return b[:len(b)-1], nil
}

func (l *Log) entry(i int64) (impound.Entry, error) {
	b, err := l.line(i)
	if err != nil {
		return impound.Entry{}, err
	}
	var e impound.Entry
	if err := quickjson.Unmarshal(b, &e); err != nil {
		return impound.Entry{}, l.tampered(entriesFile, fmt.Errorf("entry %d: %w", i, err))
	}
	return e, nil
}

// Entries calls fn for each entry from index from on, proven, up to the end as
// it was when Entries began. fn may append. An error of fn ends it and is
// returned as it is.
func (l *Log) Entries(ctx context.Context, from int64, fn func(i int64, e impound.Entry) error) error {
	if from < 0 {
		from = 0
	}
	l.mu.Lock()
	err := l.refresh()
	n := l.tree.n
	l.mu.Unlock()
	if err != nil {
		return err
	}
	for i := from; i < n; i++ {
		if err := ctx.Err(); err != nil {
			return impound.Errorf(impound.KindUnavailable, "couldn't read the evidence log: %w", err)
		}
		e, err := l.entry(i)
		if err != nil {
			return err
		}
		if err := fn(i, e); err != nil {
			return err
		}
	}
	return nil
}

// Filter says which entries are wanted: those that fit every field that is set.
type Filter struct {
	Case, Order string
	Name        impound.Name
	What        string // with a dot at the end ("people."): all that begin so
	Type        impound.EntryType
	From        int64 // index to begin at
	Limit       int   // 0 = all
}

// Indexed is an entry with its place.
type Indexed struct {
	Index int64         `json:"index"`
	Entry impound.Entry `json:"entry"`
}

// candidatesFrom gives those of candidates from from on, read from the index.
func (l *Log) candidatesFrom(f Filter, from int64) (list []int64, all bool, err error) {
	gs := l.groups(f)
	switch {
	case len(gs) == 0:
		return nil, true, nil
	case len(gs) == 1 && len(gs[0]) == 1:
		list, err := l.lookUpFrom(gs[0][0], from)
		return slices.Compact(list), false, err // two values of one entry may have one key
	}
	keys := make([][]uint64, len(gs))
	for i, g := range gs {
		for _, s := range g {
			keys[i] = append(keys[i], keyOf(s))
		}
	}
	var more bits
	fit := make([]bits, len(l.segs)) // all of them first: the list is as long as most logs, and made once
	for i, g := range l.segs {
		if g.from+g.n <= from {
			continue
		}
		in := &fit[i]
		in.clear(g.n)
		if err := in.add(g, keys[0]); err != nil {
			return nil, false, err
		}
		for _, ks := range keys[1:] {
			more.clear(g.n)
			if err := more.add(g, ks); err != nil {
				return nil, false, err
			}
			for i := range in.w {
				in.w[i] &= more.w[i]
			}
		}
	}
	last := l.tail.fitting(gs)
	n := len(last)
	for i := range fit {
		n += fit[i].len()
	}
	list = make([]int64, 0, n)
	for i := range fit {
		list = fit[i].list(l.segs[i].from, list)
	}
	list = append(list, last...)
	first, _ := slices.BinarySearch(list, from)
	return list[first:], false, nil
}

// Select gives the entries that fit f, proven, in the order of the log.
func (l *Log) Select(ctx context.Context, f Filter) ([]Indexed, error) {
	var out []Indexed
	err := l.Each(ctx, f, func(x Indexed) error {
		out = append(out, x)
		return nil
	})
	return out, err
}

// Each calls fn for the entries that fit f, as Select gives them, one by one as
// they are read. An error of fn ends it and is returned as it is.
func (l *Log) Each(ctx context.Context, f Filter, fn func(Indexed) error) error {
	l.mu.Lock()
	err := l.refresh()
	n := l.tree.n
	var list []int64
	all := false
	if err == nil {
		list, all, err = l.candidates(f)
	}
	l.mu.Unlock()
	if err != nil {
		return err
	}
	found := 0
	see := func(i int64) (bool, error) {
		if i < f.From {
			return true, nil
		}
		if err := ctx.Err(); err != nil {
			return false, impound.Errorf(impound.KindUnavailable, "couldn't read the evidence log: %w", err)
		}
		e, err := l.entry(i)
		if err != nil {
			return false, err
		}
		if f.fits(&e) {
			if err := fn(Indexed{i, e}); err != nil {
				return false, err
			}
			found++
		}
		return f.Limit <= 0 || found < f.Limit, nil
	}
	if !all {
		for _, i := range list {
			if more, err := see(i); err != nil || !more {
				return err
			}
		}
		return nil
	}
	for i := max(f.From, 0); i < n; i++ {
		if more, err := see(i); err != nil || !more {
			return err
		}
	}
	return nil
}

// Newest gives a page of the entries that fit f, proven, the newest first, after
// leaving offset of them out, and how many fit in all. It reads no more than the
// page: the number rests on the index, and could count one too many where two
// values share a 64-bit key. f.From is heeded, f.Limit is the page's length.
func (l *Log) Newest(ctx context.Context, f Filter, offset int) ([]Indexed, int, error) {
	l.mu.Lock()
	err := l.refresh()
	n := l.tree.n
	var list []int64
	var few []span
	all, ok := false, false
	if err == nil {
		few, ok, err = l.spans(f)
	}
	if err == nil && !ok {
		list, all, err = l.candidates(f)
	}
	l.mu.Unlock()
	if err != nil {
		return nil, 0, err
	}
	if ok {
		return l.newest(ctx, f, few, offset, nil, nil)
	}
	at := func(k int64) int64 { return n - 1 - k }
	total := max(n-max(f.From, 0), 0)
	if !all {
		first, _ := slices.BinarySearch(list, f.From)
		list = list[first:]
		total = int64(len(list))
		at = func(k int64) int64 { return list[total-1-k] }
	}
	var out []Indexed
	for k := int64(max(offset, 0)); k < total && (f.Limit <= 0 || len(out) < f.Limit); k++ {
		if err := ctx.Err(); err != nil {
			return nil, 0, impound.Errorf(impound.KindUnavailable, "couldn't read the evidence log: %w", err)
		}
		e, err := l.entry(at(k))
		if err != nil {
			return nil, 0, err
		}
		if f.fits(&e) {
			out = append(out, Indexed{at(k), e})
		}
	}
	return out, int(total), nil
}

// EntriesOf calls fn, as [Log.Entries] does, for those entries alone whose What is
// one of whats, and gives the index to go on from. What it leaves out it has not
// read: the signed index says that it is something else.
func (l *Log) EntriesOf(ctx context.Context, from int64, whats []string, fn func(i int64, e impound.Entry) error) (next int64, err error) {
	from = max(from, 0)
	l.mu.Lock()
	err = l.refresh()
	n := l.tree.n
	var list []int64
	for _, w := range whats {
		if err == nil && from < n {
			var c []int64
			c, err = l.lookUp(selector{'w', w})
			list = append(list, c...)
		}
	}
	l.mu.Unlock()
	if err != nil {
		return from, err
	}
	slices.Sort(list)
	for _, i := range slices.Compact(list) {
		if i < from {
			continue
		}
		if err := ctx.Err(); err != nil {
			return from, impound.Errorf(impound.KindUnavailable, "couldn't read the evidence log: %w", err)
		}
		e, err := l.entry(i)
		if err != nil {
			return from, err
		}
		if !slices.Contains(whats, e.What) {
			continue
		}
		if err := fn(i, e); err != nil {
			return from, err
		}
	}
	return n, nil
}

func (f *Filter) fits(e *impound.Entry) bool {
	what := f.What == "" || e.What == f.What || strings.HasSuffix(f.What, ".") && strings.HasPrefix(e.What, f.What)
	return what && (f.Case == "" || e.Case == f.Case) && (f.Order == "" || e.Order == f.Order) &&
		(f.Name.IsZero() || e.Name == f.Name) && (f.Type == "" || e.Type == f.Type)
}

// Artefact gives what the first entry that names hash says of it; false when
// none does.
func (l *Log) Artefact(hash string) (impound.Artefact, bool, error) {
	i, ok, err := l.find(selector{'a', hash})
	if err != nil || !ok {
		return impound.Artefact{}, false, err
	}
	e, err := l.entry(i)
	if err != nil {
		return impound.Artefact{}, false, err
	}
	return *e.Artefact, true, nil
}
