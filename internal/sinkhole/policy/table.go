package policy

import (
	"hash/maphash"
	"math/bits"
)

// table finds a name or one of its parents with one probe for each number of
// labels that occurs: all seized names usually have two or three, so most
// queries cost a single one. The seed is drawn for each table, so nobody
// outside can choose names that collide.
type table struct {
	seed    maphash.Seed
	slots   []uint64 // fingerprint in the upper half, entry + 1 in the lower
	entries []entry
	wire    []byte // every name in wire form, one after the other
	text    string // the same as text, without final dot
	multi   [][]uint32
	single  []uint32 // 0, 1, 2 ...: so that one order, too, is a slice that costs nothing
	depths  [2]uint64
}

type entry struct {
	off   uint32 // into wire; the text is at off - 2*index, since each name is two octets shorter
	order uint32 // into single, or with manyOrders into multi
	n     uint8  // octets in wire form
}

const manyOrders = 1 << 31

func compile(lists [][]string) (table, error) {
	total, octets := 0, 0
	for _, l := range lists {
		total += len(l)
		for _, n := range l {
			octets += len(n) + 2
		}
	}
	size := 1
	if total > 0 {
		size = 1 << bits.Len(uint(total*2-1))
	}
	t := table{
		seed: maphash.MakeSeed(), slots: make([]uint64, size), entries: make([]entry, 0, total),
		wire: make([]byte, 0, octets), single: make([]uint32, len(lists)),
	}
	text := make([]byte, 0, octets)
	for i, l := range lists {
		t.single[i] = uint32(i)
		for _, n := range l {
			start := len(t.wire)
			w, ok := appendWire(t.wire, n)
			if !ok {
				return table{}, refused("holds “%.80s”, which is no name", n)
			}
			key := w[start:]
			h := maphash.Bytes(t.seed, key)
			at, found := t.probe(h, key)
			if found {
				t.addOrder(int(uint32(t.slots[at])-1), uint32(i))
				continue
			}
			t.wire = w
			text = append(text, n...)
			t.entries = append(t.entries, entry{off: uint32(start), order: uint32(i), n: uint8(len(key))})
			t.slots[at] = h&^0xffffffff | uint64(len(t.entries))
			d := labels(key)
			t.depths[d>>6] |= 1 << (d & 63)
		}
	}
	t.text = string(text)
	return t, nil
}

func (t *table) addOrder(e int, order uint32) {
	switch have := t.entries[e].order; {
	case have == order:
	case have&manyOrders == 0:
		t.entries[e].order = manyOrders | uint32(len(t.multi))
		t.multi = append(t.multi, []uint32{have, order})
	default:
		m := &t.multi[have&^manyOrders]
		*m = append(*m, order)
	}
}

// probe gives the slot that holds key, or the free one where it belongs.
func (t *table) probe(h uint64, key []byte) (slot int, found bool) {
	mask := len(t.slots) - 1
	for i := int(h) & mask; ; i = (i + 1) & mask {
		s := t.slots[i]
		if s == 0 {
			return i, false
		}
		if s>>32 != h>>32 {
			continue
		}
		e := t.entries[uint32(s)-1]
		if string(t.wire[e.off:e.off+uint32(e.n)]) == string(key) {
			return i, true
		}
	}
}

// find calls yes with each listed name at or above name, the longest first,
// until yes is true.
func (t *table) find(name []byte, yes func(zone string, orders []uint32) bool) bool {
	if len(t.entries) == 0 || len(name) > 255 {
		return false
	}
	var offs [128]uint8
	n := 0
	for i := 0; ; {
		if i >= len(name) || n == len(offs) {
			return false
		}
		l := int(name[i])
		if l == 0 {
			break
		}
		if l > 63 {
			return false
		}
		offs[n] = uint8(i)
		n++
		i += 1 + l
	}
	for d := n; d > 0; d-- {
		if t.depths[d>>6]&(1<<(d&63)) == 0 {
			continue
		}
		key := name[offs[n-d]:]
		at, found := t.probe(maphash.Bytes(t.seed, key), key)
		if !found {
			continue
		}
		i := uint32(t.slots[at]) - 1
		e := t.entries[i]
		from := e.off - 2*i
		zone := t.text[from : from+uint32(e.n)-2]
		var orders []uint32
		if e.order&manyOrders != 0 {
			orders = t.multi[e.order&^manyOrders]
		} else {
			orders = t.single[e.order : e.order+1]
		}
		if yes(zone, orders) {
			return true
		}
	}
	return false
}

func labels(wire []byte) int {
	n := 0
	for i := 0; i < len(wire) && wire[i] != 0; i += 1 + int(wire[i]) {
		n++
	}
	return n
}

// appendWire adds name in wire form, in lower case; false when it is no host
// name. It takes what the names of orders can hold: letters, digits, hyphen and
// underscore.
func appendWire(dst []byte, name string) ([]byte, bool) {
	if l := len(name); l > 0 && name[l-1] == '.' {
		name = name[:l-1]
	}
	if name == "" || len(name) > 253 {
		return dst, false
	}
	start := len(dst)
	dst = append(dst, 0)
	at := start
	for i := range len(name) {
		c := name[i]
		switch {
		case c == '.':
			n := len(dst) - at - 1
			if n == 0 || n > 63 {
				return dst[:start], false
			}
			dst[at] = byte(n)
			at = len(dst)
			dst = append(dst, 0)
			continue
		case 'A' <= c && c <= 'Z':
			c += 'a' - 'A'
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9', c == '-', c == '_':
		default:
			return dst[:start], false
		}
		dst = append(dst, c)
	}
	n := len(dst) - at - 1
	if n == 0 || n > 63 {
		return dst[:start], false
	}
	dst[at] = byte(n)
	return append(dst, 0), true
}
