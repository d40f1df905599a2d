package evidence

import (
	"context"
	"slices"

	"github.com/impound/impound"
)

// Artefacts gives what each entry that names hash says of it, in the order of the
// log, each proven: the same bytes may have been captured for several cases, under
// several markings.
func (l *Log) Artefacts(hash string) ([]impound.Artefact, error) {
	l.mu.Lock()
	err := l.refresh()
	var list []int64
	if err == nil {
		list, err = l.lookUp(selector{'a', hash})
	}
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var out []impound.Artefact
	for _, i := range list {
		e, err := l.entry(i)
		if err != nil {
			return nil, err
		}
		if e.Artefact != nil && e.Artefact.Hash == hash {
			out = append(out, *e.Artefact)
		}
	}
	return out, nil
}

// Places gives the numbers of the entries that fit f as far as the index says,
// in order: none is read, so one too many may be among them where two values share
// a 64-bit key. A zero f gives none. The list is others' too: don't change it.
func (l *Log) Places(f Filter) ([]int64, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refresh(); err != nil {
		return nil, err
	}
	list, _, err := l.candidates(f)
	return list, err
}

// NewestBut is [Log.Newest] for somebody from whom something is hidden: but are
// the entries that he may not see, sorted, as far as the index tells; sees is asked
// of each entry that is read, and what it refuses is passed over and not counted.
// The work is that of the page, not that of the log.
func (l *Log) NewestBut(ctx context.Context, f Filter, offset int, but []int64, sees func(impound.Entry) bool) ([]Indexed, int, error) {
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
		return l.newest(ctx, f, few, offset, but, sees)
	}
	from := max(f.From, 0)
	first, _ := slices.BinarySearch(but, from)
	but = but[first:]
	at := func(k int64) int64 { return n - 1 - k }
	length, total := max(n-from, 0), max(n-from, 0)-int64(len(but))
	// Entries come newest first, so what is hidden is gone through alongside.
	last := len(but) - 1
	hidden := func(i int64) bool {
		for last >= 0 && but[last] > i {
			last--
		}
		return last >= 0 && but[last] == i
	}
	if !all {
		first, _ := slices.BinarySearch(list, from)
		list = list[first:]
		length, total = int64(len(list)), int64(len(list))
		at = func(k int64) int64 { return list[length-1-k] }
		for _, i := range slices.Backward(list) {
			if hidden(i) {
				total--
			}
		}
		last = len(but) - 1
	}
	var out []Indexed
	skip := max(offset, 0)
	for k := int64(0); k < length && (f.Limit <= 0 || len(out) < f.Limit); k++ {
		i := at(k)
		if hidden(i) {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if err := ctx.Err(); err != nil {
			return nil, 0, impound.Errorf(impound.KindUnavailable, "couldn't read the evidence log: %w", err)
		}
		e, err := l.entry(i)
		if err != nil {
			return nil, 0, err
		}
		if !f.fits(&e) || !sees(e) {
			total--
			continue
		}
		out = append(out, Indexed{i, e})
	}
	return out, int(total), nil
}

// At gives entry i, proven; KindNotFound where the log is shorter.
func (l *Log) At(i int64) (impound.Entry, error) {
	l.mu.Lock()
	err := l.refresh()
	n := l.tree.n
	l.mu.Unlock()
	if err == nil && (i < 0 || i >= n) {
		err = impound.Errorf(impound.KindNotFound, "the evidence log has no entry %d", i)
	}
	if err != nil {
		return impound.Entry{}, err
	}
	return l.entry(i)
}
