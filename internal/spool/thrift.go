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
	tMap    = 11
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
