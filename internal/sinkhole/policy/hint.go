package policy

import (
	"hash/maphash"
	"time"
)

// Hint is what [Policy.Hint] found out about a name without looking at its
// record. A table of a hundred thousand names does not fit into the caches, so
// a lookup mostly waits for memory; with the hints of many names, [Policy.Touch]
// waits for all of them at once. The zero value is no hint.
type Hint struct {
	of      *table
	touched bool
	n       uint8
	offs    [maxDepth]uint8  // of the parents that may be listed, longest first
	hash    [maxDepth]uint64 // theirs
	rec     [maxDepth]uint32 // touched: where the record must be; 0 for none
}

// maxDepth is the most labels of a listed name that hints know of: where longer
// ones are listed, names go without.
const maxDepth = 4

// Hint prepares a lookup of a name in wire form, lower case.
func (p *Policy) Hint(name []byte, h *Hint) {
	h.of, h.touched, h.n = nil, false, 0
	if p == nil || p.table.n == 0 {
		return
	}
	t := &p.table
	if t.depths[0]>>(maxDepth+1)|t.depths[1] != 0 || len(name) > 255 {
		return
	}
	var at [maxDepth]uint8 // where the last labels begin, the last one first
	n := 0
	for i := 0; ; {
		if i >= len(name) {
			return // no name in wire form
		}
		l := int(name[i])
		if l == 0 {
			break
		}
		if l > 63 {
			return
		}
		at[3], at[2], at[1], at[0] = at[2], at[1], at[0], uint8(i)
		n++
		i += 1 + l
	}
	for d := min(n, maxDepth); d > 0; d-- {
		if t.depths[0]&(1<<d) == 0 {
			continue
		}
		h.offs[h.n] = at[d-1]
		h.hash[h.n] = maphash.Bytes(t.seed, name[at[d-1]:])
		h.n++
	}
	h.of = t
}

// Touch reads what the lookups of all these hints will read. What it gives is
// there so that the reading is not left out, and means nothing.
func (p *Policy) Touch(hs []Hint) (sum uint64) {
	if p == nil {
		return 0
	}
	t := &p.table
	mask := uint64(len(t.slots) - 1)
	// No load here waits for another one: the processor has them under way
	// together.
	for i := range hs {
		if h := &hs[i]; h.of == t {
			for _, x := range h.hash[:min(h.n, maxDepth)] {
				sum += t.slots[x&mask]
			}
		}
	}
	for i := range hs {
		h := &hs[i]
		if h.of != t {
			continue
		}
		for k, x := range h.hash[:min(h.n, maxDepth)] {
			h.rec[k] = 0
			for j := x & mask; ; j = (j + 1) & mask {
				s := t.slots[j]
				if s == 0 {
					break
				}
				if s>>32 == x>>32 {
					h.rec[k] = uint32(s)
					a := t.arena[uint32(s):]
					sum += uint64(a[0]) + uint64(a[min(64, len(a)-1)])
					break
				}
			}
		}
		h.touched = true
	}
	return sum
}

// LookupHint is [Policy.LookupWire] for a name whose hint this policy gave.
func (p *Policy) LookupHint(name []byte, h *Hint, now time.Time) (m Match, ok bool) {
	if p == nil || h.of != &p.table {
		return p.LookupWire(name, now)
	}
	t, at := h.of, now.UnixNano()
	for k := range h.n {
		key := name[h.offs[k]:]
		rec := h.rec[k]
		switch {
		case !h.touched || rec != 0 && !t.is(rec, key): // two names can have one fingerprint
			slot, found := t.probe(h.hash[k], key)
			if !found {
				continue
			}
			rec = uint32(t.slots[slot])
		case rec == 0:
			continue
		}
		if p.covered(rec, at, &m) {
			return m, true
		}
	}
	return m, false
}

// is says whether the record holds the name.
func (t *table) is(rec uint32, key []byte) bool {
	r := t.arena[rec:]
	n := int(r[4])
	return n == len(key) && r[recordHead:recordHead+n] == string(key)
}

// covered fills in m from a record; it is true when an order covers the name.
func (p *Policy) covered(rec uint32, at int64, m *Match) bool {
	var set uint32
	m.Zone, set = p.table.record(rec)
	s := inSpan(p.spans[set], at)
	if s == nil {
		return false
	}
	m.Order, m.until = s.terms, s.end
	return true
}
