package evidence

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/impound/impound"
	"golang.org/x/mod/sumdb/tlog"
)

// Size gives the number of entries. Like every reader it first takes in what
// other processes appended; where that fails it gives what is known.
func (l *Log) Size() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refresh()
	return int64(len(l.ends))
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
	l.mu.Lock()
	err := l.refresh()
	i, ok := l.ids[id]
	l.mu.Unlock()
	if err != nil || !ok {
		return impound.Entry{}, false, err
	}
	e, err := l.entry(i)
	return e, err == nil, err
}

// line reads the line of entry i and proves it. l.mu must not be held for
// writing.
func (l *Log) line(i int64) ([]byte, error) {
	l.mu.RLock()
	if l.closed || i < 0 || i >= int64(len(l.ends)) {
		l.mu.RUnlock()
		return nil, impound.Errorf(impound.KindInternal, "entry %d can't be read: the log is closed or shorter", i)
	}
	var from int64
	if i > 0 {
		from = l.ends[i-1]
	}
	to := l.ends[i]
	want := l.tree[tlog.StoredHashIndex(0, i)]
	l.mu.RUnlock()
	b := make([]byte, to-from)
	if _, err := readFullAt(l.entries, b, from); err != nil {
		return nil, ioError("read", l.path(entriesFile), err)
	}
	b = b[:len(b)-1]
	// The hashes in memory were proven against a signed root, so this is as
	// good as an inclusion proof.
	if tlog.RecordHash(b) != want {
		return nil, l.tampered(entriesFile, fmt.Errorf("entry %d was changed", i))
	}
	return b, nil
}

func (l *Log) entry(i int64) (impound.Entry, error) {
	b, err := l.line(i)
	if err != nil {
		return impound.Entry{}, err
	}
	var e impound.Entry
	if err := json.Unmarshal(b, &e); err != nil {
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
	n := int64(len(l.ends))
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

// Select gives the entries that fit f, proven, in the order of the log.
func (l *Log) Select(ctx context.Context, f Filter) ([]Indexed, error) {
	l.mu.Lock()
	err := l.refresh()
	n := int64(len(l.ends))
	// Walk the shortest list that can hold them all.
	var list []int64
	found := false
	for _, s := range []selector{{'c', f.Case}, {'o', f.Order}, {'n', f.Name.String()}, {'w', f.What}, {'t', string(f.Type)}} {
		if s.value == "" || s.field == 'w' && strings.HasSuffix(s.value, ".") {
			continue
		}
		if c := l.by[s]; !found || len(c) < len(list) {
			list, found = c, true
		}
	}
	if !found && f.What != "" {
		for s, c := range l.by {
			if s.field == 'w' && strings.HasPrefix(s.value, f.What) {
				list = append(list, c...)
			}
		}
		slices.Sort(list)
		found = true
	}
	list = slices.Clip(list) // others append behind it
	l.mu.Unlock()
	if err != nil {
		return nil, err
	}
	var out []Indexed
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
			out = append(out, Indexed{i, e})
		}
		return f.Limit <= 0 || len(out) < f.Limit, nil
	}
	if found {
		for _, i := range list {
			if more, err := see(i); err != nil || !more {
				return out, err
			}
		}
		return out, nil
	}
	for i := max(f.From, 0); i < n; i++ {
		if more, err := see(i); err != nil || !more {
			return out, err
		}
	}
	return out, nil
}

func (f *Filter) fits(e *impound.Entry) bool {
	what := f.What == "" || e.What == f.What || strings.HasSuffix(f.What, ".") && strings.HasPrefix(e.What, f.What)
	return what && (f.Case == "" || e.Case == f.Case) && (f.Order == "" || e.Order == f.Order) &&
		(f.Name.IsZero() || e.Name == f.Name) && (f.Type == "" || e.Type == f.Type)
}

// Artefact gives what the first entry that names hash says of it; false when
// none does.
func (l *Log) Artefact(hash string) (impound.Artefact, bool, error) {
	l.mu.Lock()
	err := l.refresh()
	i, ok := l.arts[hash]
	l.mu.Unlock()
	if err != nil || !ok {
		return impound.Artefact{}, false, err
	}
	e, err := l.entry(i)
	if err != nil {
		return impound.Artefact{}, false, err
	}
	return *e.Artefact, true, nil
}
