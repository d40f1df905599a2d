package spool

import (
	"encoding/binary"
	"math/bits"

	"github.com/klauspost/compress/zstd"
)

// What of Parquet's file format (apache/parquet-format) is needed to write and
// read the columns of row: flat, every value present, so that no page has
// levels.
const (
	pqMagic = "PAR1"

	pqInt32 = 1
	pqInt64 = 2
	pqBytes = 6

	pqPlain       = 0
	pqPlainDict   = 2
	pqRLE         = 3
	pqDelta       = 5
	pqDeltaLength = 6
	pqRLEDict     = 8

	pqNoCodec = 0
	pqZstd    = 6

	pqDataPage   = 0
	pqDictPage   = 2
	pqDataPageV2 = 3
)

// A pqColumn is what the schema says of a column. They are those of row, in the
// same order; a test holds them against it.
type pqColumn struct {
	name string
	kind pqKind
}

type pqKind byte

const (
	kText pqKind = iota
	kInt
	kNumber // unsigned, 64 bits
	kTime   // microseconds
)

func (k pqKind) physical() int32 {
	switch k {
	case kText:
		return pqBytes
	case kInt:
		return pqInt32
	}
	return pqInt64
}

// The columns, by their place in the file.
const (
	cSeq = iota
	cAt
	cSensor
	cProto
	cSrc
	cSrcPort
	cDst
	cDstPort
	cName
	cZone
	cOrder
	cCapture
	cOutcome
	cQType
	cRCode
	cMethod
	cPath
	cStatus
	cUserAgent
	cReferer
	cSNI
	cALPN
	cJA4
	cHelo
	cFromDomain
	cLureHash
	cLure
	cLen
	cGuess
	cJA3
	cTLS
	cSenderHash
	cRcptHash
	cOpcode
	nColumns
)

var pqColumns = [nColumns]pqColumn{
	cSeq: {"seq", kNumber}, cAt: {"at", kTime}, cSensor: {"sensor", kText}, cProto: {"proto", kText},
	cSrc: {"src", kText}, cSrcPort: {"src_port", kInt}, cDst: {"dst", kText}, cDstPort: {"dst_port", kInt},
	cName: {"name", kText}, cZone: {"zone", kText}, cOrder: {"order", kText}, cCapture: {"capture", kText},
	cOutcome: {"outcome", kText}, cQType: {"qtype", kInt}, cRCode: {"rcode", kInt}, cMethod: {"method", kText},
	cPath: {"path", kText}, cStatus: {"status", kInt}, cUserAgent: {"user_agent", kText}, cReferer: {"referer", kText},
	cSNI: {"sni", kText}, cALPN: {"alpn", kText}, cJA4: {"ja4", kText}, cHelo: {"helo", kText},
	cFromDomain: {"from_domain", kText}, cLureHash: {"lure_hash", kText}, cLure: {"lure", kText}, cLen: {"len", kInt},
	cGuess: {"guess", kText}, cJA3: {"ja3", kText}, cTLS: {"tls", kText}, cSenderHash: {"sender_hash", kText},
	cRcptHash: {"rcpt_hash", kText}, cOpcode: {"opcode", kInt},
}

// pqSchema is the schema as the footer holds it: the root, then the columns.
func pqSchema(w *thrift) {
	w.list(2, tStruct, 1+nColumns)
	w.open(0)
	w.text(4, "row")
	w.i32(5, nColumns)
	w.end()
	for _, c := range &pqColumns {
		w.open(0)
		w.i32(1, c.kind.physical())
		w.i32(3, 0) // required
		w.text(4, c.name)
		switch c.kind {
		case kText:
			w.i32(6, 0)
			w.open(10)
			w.open(1)
			w.end()
			w.end()
		case kInt:
			w.i32(6, 17)
			w.open(10)
			w.open(10)
			w.octet(1, 32)
			w.bool(2, true)
			w.end()
			w.end()
		case kNumber:
			w.i32(6, 14)
			w.open(10)
			w.open(10)
			w.octet(1, 64)
			w.bool(2, false)
			w.end()
			w.end()
		case kTime:
			w.i32(6, 10)
			w.open(10)
			w.open(8)
			w.bool(1, true)
			w.open(2)
			w.open(2)
			w.end()
			w.end()
			w.end()
			w.end()
		}
		w.end()
	}
}

// pqChunk is what the footer says of one column of one row group.
type pqChunk struct {
	dict, data   int64 // where its pages begin; dict is 0 without one
	raw, stored  int64 // octets, with the pages' heads
	enc          int32
	codec        int32
	bounds       bool
	least, great string // as PLAIN, without length
}

type pqGroup struct {
	rows   int
	at     int64
	chunks [nColumns]pqChunk
}

// pqWriter puts pages and the footer behind each other in out.
type pqWriter struct {
	out    []byte
	groups []pqGroup
	head   thrift
	foot   thrift
	pack   []byte // scratch for zstd
	enc    *zstd.Encoder
}

func newPQWriter() pqWriter {
	// One journal at a time: a second encoder would only hold memory. No checksum:
	// the file has one.
	enc, err := zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1), zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderCRC(false), zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
	if err != nil {
		panic(err) // the options are constants
	}
	return pqWriter{enc: enc}
}

func (w *pqWriter) reset() {
	w.out = append(w.out[:0], pqMagic...)
	w.groups = w.groups[:0]
}

func (w *pqWriter) group(rows int) *pqGroup {
	w.groups = append(w.groups, pqGroup{rows: rows, at: int64(len(w.out))})
	return &w.groups[len(w.groups)-1]
}

// page adds a page with n values to the chunk.
func (w *pqWriter) page(c *pqChunk, kind int32, enc int32, n int, raw []byte) {
	body := raw
	if c.codec == pqZstd {
		w.pack = w.enc.EncodeAll(raw, w.pack[:0])
		body = w.pack
	}
	at := int64(len(w.out))
	h := &w.head
	h.b, h.deep, h.last[0] = w.out, 0, 0
	h.i32(1, kind)
	h.i32(2, int32(len(raw)))
	h.i32(3, int32(len(body)))
	if kind == pqDictPage {
		h.open(7)
		h.i32(1, int32(n))
		h.i32(2, enc)
		h.end()
		c.dict = at
	} else {
		h.open(5)
		h.i32(1, int32(n))
		h.i32(2, enc)
		h.i32(3, pqRLE)
		h.i32(4, pqRLE)
		h.end()
		c.data, c.enc = at, enc
	}
	h.end()
	head := int64(len(h.b)) - at
	w.out = append(h.b, body...)
	h.b = nil
	c.raw += head + int64(len(raw))
	c.stored += head + int64(len(body))
}

// finish adds the footer.
func (w *pqWriter) finish(rows int) []byte {
	f := &w.foot
	f.b, f.deep, f.last[0] = w.out, 0, 0
	at := len(f.b)
	f.i32(1, 2)
	pqSchema(f)
	f.i64(3, int64(rows))
	f.list(4, tStruct, len(w.groups))
	for i := range w.groups {
		g := &w.groups[i]
		f.open(0)
		f.list(1, tStruct, nColumns)
		var raw, stored int64
		for k := range g.chunks {
			c := &g.chunks[k]
			raw, stored = raw+c.raw, stored+c.stored
			first := c.data
			if c.dict > 0 {
				first = c.dict
			}
			f.open(0)
			f.i64(2, first)
			f.open(3)
			f.i32(1, pqColumns[k].kind.physical())
			if c.dict > 0 {
				f.list(2, tI32, 2)
				f.number(pqPlain)
			} else {
				f.list(2, tI32, 1)
			}
			f.number(c.enc)
			f.list(3, tBinary, 1)
			f.element(pqColumns[k].name)
			f.i32(4, c.codec)
			f.i64(5, int64(g.rows))
			f.i64(6, c.raw)
			f.i64(7, c.stored)
			f.i64(9, c.data)
			if c.dict > 0 {
				f.i64(11, c.dict)
			}
			if c.bounds {
				f.open(12)
				f.i64(3, 0)
				f.text(5, c.great)
				f.text(6, c.least)
				f.end()
			}
			f.end()
			f.end()
		}
		f.i64(2, raw)
		f.i64(3, int64(g.rows))
		f.list(4, tStruct, 3)
		for _, k := range []int32{cZone, cAt, cSeq} {
			f.open(0)
			f.i32(1, k)
			f.bool(2, false)
			f.bool(3, false)
			f.end()
		}
		f.i64(5, g.at)
		f.i64(6, stored)
		f.i16(7, int16(i))
		f.end()
	}
	f.text(6, "impound version 1 (build spool)")
	f.list(7, tStruct, nColumns)
	for range nColumns {
		f.open(0)
		f.open(1) // ordered as their types say
		f.end()
		f.end()
	}
	f.end()
	f.b = binary.LittleEndian.AppendUint32(f.b, uint32(len(f.b)-at))
	w.out = append(f.b, pqMagic...)
	f.b = nil
	return w.out
}

// appendHybrid adds v as Parquet's RLE / bit-packed hybrid with width bits each:
// eight or more of the same are a run.
func appendHybrid(b []byte, v []uint32, width int) []byte {
	start, i := 0, 0
	for i+8 <= len(v) {
		g := v[i : i+8 : i+8]
		x := g[0]
		if (g[1]^x)|(g[2]^x)|(g[3]^x)|(g[4]^x)|(g[5]^x)|(g[6]^x)|(g[7]^x) != 0 {
			i += 8
			continue
		}
		j := i + 8
		for j < len(v) && v[j] == x {
			j++
		}
		b = appendPacked(b, v[start:i], width)
		b = appendRun(b, x, j-i, width)
		start, i = j, j
	}
	return appendPacked(b, v[start:], width)
}

func appendRun(b []byte, x uint32, n, width int) []byte {
	b = binary.AppendUvarint(b, uint64(n)<<1)
	for ; width > 0; width -= 8 {
		b, x = append(b, byte(x)), x>>8
	}
	return b
}

func appendPacked(b []byte, v []uint32, width int) []byte {
	if len(v) == 0 {
		return b
	}
	groups := (len(v) + 7) / 8
	b = binary.AppendUvarint(b, uint64(groups)<<1|1)
	end := len(b) + groups*width
	var acc uint64
	n := 0
	for _, x := range v {
		acc |= uint64(x) << n
		if n += width; n >= 32 {
			b = binary.LittleEndian.AppendUint32(b, uint32(acc))
			acc, n = acc>>32, n-32
		}
	}
	for ; n > 0; n -= 8 {
		b, acc = append(b, byte(acc)), acc>>8
	}
	for len(b) < end {
		b = append(b, 0)
	}
	return b
}

const (
	deltaBlock = 128
	deltaMini  = 32
)

// appendDelta adds v as DELTA_BINARY_PACKED.
func appendDelta(b []byte, v []int64) []byte {
	b = binary.AppendUvarint(b, deltaBlock)
	b = binary.AppendUvarint(b, deltaBlock/deltaMini)
	b = binary.AppendUvarint(b, uint64(len(v)))
	if len(v) == 0 {
		return binary.AppendVarint(b, 0)
	}
	b = binary.AppendVarint(b, v[0])
	last := v[0]
	var d [deltaBlock]int64
	for v = v[1:]; len(v) > 0; {
		n := min(len(v), deltaBlock)
		least := v[0] - last
		for i, x := range v[:n] {
			d[i] = x - last
			last = x
			least = min(least, d[i])
		}
		v = v[n:]
		b = binary.AppendVarint(b, least)
		at := len(b)
		b = append(b, 0, 0, 0, 0)
		for m := 0; m*deltaMini < n; m++ {
			mini := d[m*deltaMini : (m+1)*deltaMini]
			used := min(n-m*deltaMini, deltaMini)
			var all uint64
			for i := range mini[:used] {
				mini[i] -= least
				all |= uint64(mini[i])
			}
			clear(mini[used:])
			width := bits.Len64(all)
			b[at+m] = byte(width)
			b = appendMini(b, mini, width)
		}
	}
	return b
}

func appendMini(b []byte, v []int64, width int) []byte {
	if width <= 32 {
		var acc uint64
		n := 0
		for _, x := range v {
			acc |= uint64(x) << n
			if n += width; n >= 32 {
				b = binary.LittleEndian.AppendUint32(b, uint32(acc))
				acc, n = acc>>32, n-32
			}
		}
		return b // 32 values are whole words
	}
	var acc uint64
	n := 0
	for _, x := range v {
		acc |= uint64(x) << n
		if n += width; n >= 64 {
			b = binary.LittleEndian.AppendUint64(b, acc)
			n -= 64
			acc = uint64(x) >> (width - n) // n is 0 when all of x is written: the shift then gives 0
		}
	}
	for ; n > 0; n -= 8 {
		b, acc = append(b, byte(acc)), acc>>8
	}
	return b
}
