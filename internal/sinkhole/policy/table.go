package policy

import (
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"slices"
	"unsafe"
)

// table finds a name or one of its parents with one probe for each number of
// labels that occurs: all seized names usually have two or three, so most
// queries cost a single one. The seed is drawn for each table, so nobody
// outside can choose names that collide.
//
// What a probe reads lies side by side, because at 100,000 names each read is a
// miss of the caches: a slot, and the record that it leads to.
type table struct {
	seed  maphash.Seed
	slots []uint64 // fingerprint in the upper half, offset of the record in the lower; 0 is free
	// arena holds the records: the name's set of orders (4 octets, little
	// endian), the length of its wire form (1), the wire form, and the name as
	// text without final dot.
	arena  string
	n      int
	depths [2]uint64
	sets   []set
}

const recordHead = 5

// set is a set of orders that some name is held by: those of the set before,
// and one more. Each list of orders has but one way to be written so, since
// names come in the order of the orders.
type set struct {
	before int32 // -1 for none
	order  uint32
	// above are the sets of the listed names above this one: it is covered by
	// their orders, too.
	above []uint32
}

// orders gives the orders of a set, ascending.
func (t *table) orders(i uint32) []uint32 {
	var out []uint32
	for j := int32(i); j >= 0; j = t.sets[j].before {
		out = append(out, t.sets[j].order)
	}
	slices.Reverse(out)
	return out
}

func compile(lists [][]string) (table, error) {
	total, octets := 0, 1 // offset 0 is no record
	for _, l := range lists {
		total += len(l)
		for _, n := range l {
			octets += recordHead + 2*len(n) + 2
		}
	}
	if octets >= 1<<32 {
		return table{}, refused("holds more names than this version can")
	}
	size := 1
	if total > 0 {
		size = 1 << bits.Len(uint(total*2-1))
	}
	t := table{seed: maphash.MakeSeed(), slots: make([]uint64, size), sets: make([]set, len(lists))}
	type step struct{ set, order uint32 }
	grown := map[step]uint32{}
	arena := make([]byte, 1, octets)
	huge(arena) // before they are first written
	huge(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(t.slots))), 8*len(t.slots)))
	for i, l := range lists {
		t.sets[i] = set{before: -1, order: uint32(i)}
		for _, n := range l {
			start := len(arena)
			arena = append(arena, 0, 0, 0, 0, 0)
			w, ok := appendWire(arena, n)
			if !ok {
				return table{}, refused("holds “%.80s”, which is no name", n)
			}
			key := w[start+recordHead:]
			h := maphash.Bytes(t.seed, key)
			t.arena = unsafe.String(unsafe.SliceData(w), len(w))
			at, found := t.probe(h, key)
			if found {
				arena = w[:start]
				head := w[uint32(t.slots[at]):]
				s := binary.LittleEndian.Uint32(head)
				if t.sets[s].order == uint32(i) { // twice in one list
					continue
				}
				g, ok := grown[step{s, uint32(i)}]
				if !ok {
					g = uint32(len(t.sets))
					t.sets = append(t.sets, set{before: int32(s), order: uint32(i)})
					grown[step{s, uint32(i)}] = g
				}
				binary.LittleEndian.PutUint32(head, g)
				continue
			}
			binary.LittleEndian.PutUint32(w[start:], uint32(i))
			w[start+4] = byte(len(key))
			d := labels(key)
			arena = append(w, n[:len(key)-2]...)
			t.n++
			t.slots[at] = h&^0xffffffff | uint64(start)
			t.depths[d>>6] |= 1 << (d & 63)
		}
	}
	t.inherit(arena)
	t.arena = unsafe.String(unsafe.SliceData(arena), len(arena))
	return t, nil
}

// inherit gives each name that lies below another listed one a set that knows
// of it.
func (t *table) inherit(arena []byte) {
	if bits.OnesCount64(t.depths[0])+bits.OnesCount64(t.depths[1]) < 2 {
		return // none does
	}
	type change struct{ off, set uint32 }
	var changes []change
	made := map[string]uint32{}
	var text []byte
	for off := 1; off < len(arena); off += recordHead + 2*int(arena[off+4]) - 2 {
		key := arena[off+recordHead : off+recordHead+int(arena[off+4])]
		own := binary.LittleEndian.Uint32(arena[off:])
		var above []uint32
		d := labels(key)
		for up := key[1+key[0]:]; len(up) > 1; up = up[1+up[0]:] {
			if d--; t.depths[d>>6]&(1<<(d&63)) == 0 {
				continue
			}
			if at, found := t.probe(maphash.Bytes(t.seed, up), up); found {
				above = append(above, binary.LittleEndian.Uint32(arena[uint32(t.slots[at]):]))
			}
		}
		if len(above) == 0 {
			continue
		}
		text = binary.LittleEndian.AppendUint32(text[:0], own)
		for _, s := range above {
			text = binary.LittleEndian.AppendUint32(text, s)
		}
		s, ok := made[string(text)]
		if !ok {
			s = uint32(len(t.sets))
			made[string(text)] = s
			t.sets = append(t.sets, set{before: t.sets[own].before, order: t.sets[own].order, above: above})
		}
		changes = append(changes, change{uint32(off), s})
	}
	for _, c := range changes {
		binary.LittleEndian.PutUint32(arena[c.off:], c.set)
	}
}

// used says which sets some name has: the others were steps on the way.
func (t *table) used() []bool {
	u := make([]bool, len(t.sets))
	for off := 1; off < len(t.arena); off += recordHead + 2*int(t.arena[off+4]) - 2 {
		_, s := t.record(uint32(off))
		u[s] = true
	}
	return u
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
		if t.is(uint32(s), key) {
			return i, true
		}
	}
}

// record gives what is stored at an offset: the name, and its set of orders.
func (t *table) record(off uint32) (zone string, set uint32) {
	r := t.arena[off:]
	n := int(r[4])
	return r[recordHead+n : recordHead+2*n-2], uint32(r[0]) | uint32(r[1])<<8 | uint32(r[2])<<16 | uint32(r[3])<<24
}

// offsets finds where the labels of a name begin; false when it is no name in
// wire form.
func offsets(name []byte, offs *[128]uint8) (n int, ok bool) {
	if len(name) > 255 {
		return 0, false
	}
	for i := 0; ; {
		if i >= len(name) || n == len(offs) {
			return 0, false
		}
		l := int(name[i])
		if l == 0 {
			return n, true
		}
		if l > 63 {
			return 0, false
		}
		offs[n] = uint8(i)
		n++
		i += 1 + l
	}
}

// find calls yes with the record of each listed name at or above name, the
// longest first, until yes is true.
func (t *table) find(name []byte, yes func(rec uint32) bool) bool {
	if t.n == 0 {
		return false
	}
	var offs [128]uint8
	n, ok := offsets(name, &offs)
	if !ok {
		return false
	}
	for d := n; d > 0; d-- {
		if t.depths[d>>6]&(1<<(d&63)) == 0 {
			continue
		}
		key := name[offs[n-d]:]
		at, found := t.probe(maphash.Bytes(t.seed, key), key)
		if found && yes(uint32(t.slots[at])) {
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
