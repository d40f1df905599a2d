package evidence

import (
	"context"
	"encoding/binary"
	mathbits "math/bits"
	"slices"
	"sort"
	"strings"

	"github.com/impound/impound"
)

// span is what fits a filter among the entries of one segment, or of the tail:
// how many is known at once, which ones is read when somebody wants them.
type span struct {
	from  int64 // first entry of the segment
	count int64
	list  func() ([]int64, error) // in the order of the log
}

// rows gives the postings of s that have key, as a range.
func (s *segment) rows(key uint64) (lo, hi int, err error) {
	err = s.with(func() error {
		lo, err = s.lowerRow(key, false)
		if err == nil {
			hi, err = s.lowerRow(key, true)
		}
		return err
	})
	return lo, hi, err
}

// lowerRow gives the first posting whose key is not below key; with after, the
// first whose key is above it. It reads one page. s.mu is held.
func (s *segment) lowerRow(key uint64, after bool) (int, error) {
	before := func(k uint64) bool { return k < key || after && k == key }
	// The last page that begins before: what is sought lies in it, or right behind.
	p := sort.Search(s.postPages(), func(p int) bool { return !before(s.firstKey(p)) }) - 1
	if p < 0 {
		return 0, nil
	}
	b, err := s.page(s.endPages() + p)
	if err != nil {
		return 0, err
	}
	return p*postsPerPage + sort.Search(len(b)/postSize, func(i int) bool { return !before(binary.BigEndian.Uint64(b[i*postSize:])) }), nil
}

// eachRel calls fn for the entries that have key, by their place in s. fn is
// called anew from the first when a page was bad.
func (s *segment) eachRel(key uint64, begin func(n int), fn func(rel uint16)) error {
	return s.with(func() error {
		lo, err := s.lowerRow(key, false)
		if err != nil {
			return err
		}
		hi, err := s.lowerRow(key, true)
		if err != nil {
			return err
		}
		begin(hi - lo)
		for lo < hi {
			b, err := s.page(s.endPages() + lo/postsPerPage)
			if err != nil {
				return err
			}
			i := lo % postsPerPage
			n := min(len(b)/postSize-i, hi-lo)
			for k := i; k < i+n; k++ {
				fn(binary.BigEndian.Uint16(b[k*postSize+8:]))
			}
			lo += n
		}
		return nil
	})
}

// groups gives what f asks of the index: an entry must have one of each group.
// l.mu is held.
func (l *Log) groups(f Filter) (gs [][]selector) {
	for _, s := range []selector{{'c', f.Case}, {'o', f.Order}, {'n', f.Name.String()}, {'w', f.What}, {'t', string(f.Type)}} {
		switch {
		case s.value == "":
		case s.field == 'w' && strings.HasSuffix(s.value, "."):
			var g []selector
			for _, w := range l.whats(s.value) {
				g = append(g, selector{'w', w})
			}
			gs = append(gs, g)
		default:
			gs = append(gs, []selector{s})
		}
	}
	return gs
}

// spans gives what fits f without reading which entries that are, oldest first;
// false where f asks for nothing, or for two things at once: those have to be read
// to be counted. l.mu is held.
func (l *Log) spans(f Filter) ([]span, bool, error) {
	gs := l.groups(f)
	if len(gs) != 1 {
		return nil, false, nil
	}
	var out []span
	for _, g := range l.segs {
		x := span{from: g.from}
		var keys []uint64
		for _, s := range gs[0] {
			if s.field == 'w' && len(gs[0]) > 1 {
				if _, in := slices.BinarySearch(g.whats(), s.value); !in {
					continue
				}
			}
			key := keyOf(s)
			lo, hi, err := g.rows(key)
			if err != nil {
				return nil, false, err
			}
			if hi > lo {
				x.count += int64(hi - lo)
				keys = append(keys, key)
			}
		}
		if x.count == 0 {
			continue
		}
		x.list = func() ([]int64, error) { return g.union(keys) }
		out = append(out, x)
	}
	var last []int64
	for _, s := range gs[0] {
		last = append(last, l.tail.by[s]...)
	}
	slices.Sort(last)
	last = slices.Compact(last)
	if n, _ := slices.BinarySearch(last, l.tree.n); n > 0 {
		out = append(out, span{l.tail.from, int64(n), func() ([]int64, error) { return last[:n], nil }})
	}
	return out, true, nil
}

// union gives the entries that have one of keys, in the order of the log.
func (s *segment) union(keys []uint64) (out []int64, err error) {
	if len(keys) == 1 {
		err = s.eachRel(keys[0], func(n int) { out = make([]int64, 0, n) }, func(rel uint16) { out = append(out, s.from+int64(rel)) })
		return out, err
	}
	var b bits
	b.clear(s.n)
	if err := b.add(s, keys); err != nil {
		return nil, err
	}
	return b.list(s.from, make([]int64, 0, b.len())), nil
}

// newest is Newest and NewestBut for what spans gives: it reads the segments that
// the page lies in, and those in which something is hidden. l.mu is not held.
func (l *Log) newest(ctx context.Context, f Filter, spans []span, offset int, but []int64, sees func(impound.Entry) bool) ([]Indexed, int, error) {
	from := max(f.From, 0)
	type part struct {
		span
		read []int64 // what of it can be seen; nil: not read yet
	}
	total := int64(0)
	parts := make([]part, 0, len(spans))
	for i, x := range spans {
		p := part{span: x}
		end := int64(1) << 62
		if i+1 < len(spans) {
			end = spans[i+1].from
		}
		first, _ := slices.BinarySearch(but, x.from)
		last, _ := slices.BinarySearch(but, end)
		if last > first || x.from < from {
			list, err := x.list()
			if err != nil {
				return nil, 0, err
			}
			hidden := but[first:last]
			p.read = make([]int64, 0, len(list))
			for _, k := range list {
				for len(hidden) > 0 && hidden[0] < k {
					hidden = hidden[1:]
				}
				if k >= from && (len(hidden) == 0 || hidden[0] != k) {
					p.read = append(p.read, k)
				}
			}
			p.count = int64(len(p.read))
		}
		total += p.count
		parts = append(parts, p)
	}
	var out []Indexed
	skip := int64(max(offset, 0))
	for _, p := range slices.Backward(parts) {
		if f.Limit > 0 && len(out) >= f.Limit {
			break
		}
		if skip >= p.count {
			skip -= p.count
			continue
		}
		if p.read == nil {
			var err error
			if p.read, err = p.list(); err != nil {
				return nil, 0, err
			}
		}
		for _, i := range slices.Backward(p.read) {
			if skip > 0 {
				skip--
				continue
			}
			if f.Limit > 0 && len(out) >= f.Limit {
				break
			}
			if err := ctx.Err(); err != nil {
				return nil, 0, impound.Errorf(impound.KindUnavailable, "couldn't read the evidence log: %w", err)
			}
			e, err := l.entry(i)
			if err != nil {
				return nil, 0, err
			}
			if !f.fits(&e) || sees != nil && !sees(e) {
				total--
				continue
			}
			out = append(out, Indexed{i, e})
		}
	}
	return out, int(total), nil
}

// bits is a set of the entries of one segment.
type bits struct{ w []uint64 }

// clear makes b empty, for a segment of n entries.
func (b *bits) clear(n int64) {
	if need := int(n+63) / 64; cap(b.w) < need {
		b.w = make([]uint64, need)
	} else {
		b.w = b.w[:need]
		clear(b.w)
	}
}

func (b *bits) add(s *segment, keys []uint64) error {
	for _, k := range keys {
		if err := s.eachRel(k, func(int) {}, func(rel uint16) { b.w[rel>>6] |= 1 << (rel & 63) }); err != nil {
			return err
		}
	}
	return nil
}

func (b *bits) len() (n int) {
	for _, w := range b.w {
		n += mathbits.OnesCount64(w)
	}
	return n
}

// list adds what is in b to out.
func (b *bits) list(from int64, out []int64) []int64 {
	for i, w := range b.w {
		for ; w != 0; w &= w - 1 {
			out = append(out, from+int64(i)*64+int64(mathbits.TrailingZeros64(w)))
		}
	}
	return out
}
