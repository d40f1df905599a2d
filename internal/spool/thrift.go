package spool

import "encoding/binary"

// Parquet's headers and footer are structures in Thrift's compact protocol.
// Only what Parquet uses of it is here.
const (
	tTrue   = 1
	tFalse  = 2
	tByte   = 3
	tI16    = 4
	tI32    = 5
	tI64    = 6
	tDouble = 7
	tBinary = 8
	tList   = 9
	tSet    = 10
	tStruct = 12
)

// thrift writes a structure. The zero value is ready.
type thrift struct {
	b    []byte
	last [8]int // the last field of each open structure
	deep int
}

func (w *thrift) field(id int, typ byte) {
	if d := id - w.last[w.deep]; d > 0 && d <= 15 {
		w.b = append(w.b, byte(d)<<4|typ)
	} else {
		w.b = binary.AppendVarint(append(w.b, typ), int64(id))
	}
	w.last[w.deep] = id
}

func (w *thrift) i16(id int, v int16) { w.field(id, tI16); w.b = binary.AppendVarint(w.b, int64(v)) }
func (w *thrift) i32(id int, v int32) { w.field(id, tI32); w.b = binary.AppendVarint(w.b, int64(v)) }
func (w *thrift) i64(id int, v int64) { w.field(id, tI64); w.b = binary.AppendVarint(w.b, v) }

func (w *thrift) bool(id int, v bool) {
	if v {
		w.field(id, tTrue)
	} else {
		w.field(id, tFalse)
	}
}

func (w *thrift) octet(id int, v byte) { w.field(id, tByte); w.b = append(w.b, v) }

func (w *thrift) text(id int, s string) { w.field(id, tBinary); w.element(s) }

func (w *thrift) list(id int, typ byte, n int) {
	w.field(id, tList)
	if n < 15 {
		w.b = append(w.b, byte(n)<<4|typ)
	} else {
		w.b = binary.AppendUvarint(append(w.b, 0xf0|typ), uint64(n))
	}
}

// element, number, open(0) and end write the elements of a list.
func (w *thrift) element(s string) {
	w.b = append(binary.AppendUvarint(w.b, uint64(len(s))), s...)
}

func (w *thrift) number(v int32) { w.b = binary.AppendVarint(w.b, int64(v)) }

// open begins a structure: a field, or with id 0 an element of a list.
func (w *thrift) open(id int) {
	if id != 0 {
		w.field(id, tStruct)
	}
	w.deep++
	w.last[w.deep] = 0
}

func (w *thrift) end() {
	w.b = append(w.b, 0)
	if w.deep > 0 {
		w.deep--
	}
}

// thriftReader reads a structure of hostile octets. After the first thing that
// can't be right, bad is set and all it gives is zero.
type thriftReader struct {
	b   []byte
	bad bool
}

func (r *thriftReader) octet() byte {
	if len(r.b) == 0 {
		r.bad = true
		return 0
	}
	x := r.b[0]
	r.b = r.b[1:]
	return x
}

func (r *thriftReader) unsigned() uint64 {
	v, n := binary.Uvarint(r.b)
	if n <= 0 {
		r.bad, r.b = true, nil
		return 0
	}
	r.b = r.b[n:]
	return v
}

func (r *thriftReader) number() int64 {
	v := r.unsigned()
	return int64(v>>1) ^ -int64(v&1)
}

// octets gives a string; it stays part of what is read.
func (r *thriftReader) octets() []byte {
	n := r.unsigned()
	if n > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return nil
	}
	x := r.b[:n]
	r.b = r.b[n:]
	return x
}

// next gives the next field of a structure whose last one was *id; false at its
// end.
func (r *thriftReader) next(id *int) (typ byte, ok bool) {
	x := r.octet()
	if x == 0 || r.bad {
		return 0, false
	}
	if d := int(x >> 4); d != 0 {
		*id += d
	} else {
		*id = int(int16(r.number()))
	}
	return x & 15, !r.bad
}

// list gives the number of elements and their type. Each has one octet at least.
func (r *thriftReader) list() (n int, typ byte) {
	x := r.octet()
	size := uint64(x >> 4)
	if size == 15 {
		size = r.unsigned()
	}
	if size > uint64(len(r.b)) {
		r.bad, r.b = true, nil
		return 0, 0
	}
	return int(size), x & 15
}

// skip leaves out a value of this type.
func (r *thriftReader) skip(typ byte, deep int) {
	if deep > 16 {
		r.bad, r.b = true, nil
	}
	if r.bad {
		return
	}
	switch typ {
	case tTrue, tFalse:
	case tByte:
		r.octet()
	case tI16, tI32, tI64:
		r.unsigned()
	case tDouble:
		for range 8 {
			r.octet()
		}
	case tBinary:
		r.octets()
	case tList, tSet:
		n, t := r.list()
		for ; n > 0 && !r.bad; n-- {
			if t == tTrue || t == tFalse {
				r.octet()
				continue
			}
			r.skip(t, deep+1)
		}
	case tStruct:
		for id := 0; ; {
			t, ok := r.next(&id)
			if !ok {
				return
			}
			r.skip(t, deep+1)
		}
	default: // Parquet has no maps
		r.bad, r.b = true, nil
	}
}

// fields reads a structure: do gets each field and reads it, or gives false to
// have it left out.
func (r *thriftReader) fields(do func(id int, typ byte) bool) {
	for id := 0; ; {
		typ, ok := r.next(&id)
		if !ok {
			return
		}
		if !do(id, typ) {
			r.skip(typ, 0)
		}
	}
}
