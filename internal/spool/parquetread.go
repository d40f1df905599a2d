package spool

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/impound/impound"
)

// A segment may come from a sensor that somebody took over: whatever its octets
// are, reading them neither panics nor hangs, and takes no more memory than
// about readFloor and readTimes the size of the file.
const (
	readFloor = 256 << 20
	readTimes = 64
)

var errParquet = errors.New("it is no segment, or damaged")

func badParquet(format string, args ...any) error {
	return fmt.Errorf("%w: %s", errParquet, fmt.Sprintf(format, args...))
}

// rows are the events of a segment, by columns, in the order of their numbers.
type rows struct {
	seq   []int64 // not in order; unsigned
	at    []int64
	order []uint32
	text  [nColumns]textColumn
	ints  [nColumns]intColumn
	src   []netip.Addr // of the values of text[cSrc]
	dst   []netip.Addr
}

type textColumn struct {
	ids    []uint32 // nil when there is one value
	values []string
}

type intColumn struct {
	v   []int32 // nil when all are one
	one int32
}

func (c *textColumn) id(i uint32) uint32 {
	if c.ids == nil {
		return 0
	}
	return c.ids[i]
}

func (c *textColumn) get(i uint32) string {
	if len(c.values) == 0 {
		return ""
	}
	return c.values[c.id(i)]
}

func (c *intColumn) get(i uint32) int32 {
	if c.v == nil {
		return c.one
	}
	return c.v[i]
}

func (r *rows) len() int { return len(r.order) }

func (r *rows) seqAt(k int) uint64 { return uint64(r.seq[r.order[k]]) }

// event gives the k-th event.
func (r *rows) event(k int) impound.Event {
	i := r.order[k]
	addr := func(of []netip.Addr, c, port int) netip.AddrPort {
		if len(of) == 0 {
			return netip.AddrPort{}
		}
		a := of[r.text[c].id(i)]
		if !a.IsValid() {
			return netip.AddrPort{}
		}
		return netip.AddrPortFrom(a, uint16(r.ints[port].get(i)))
	}
	t := func(c int) string { return r.text[c].get(i) }
	n := func(c int) int32 { return r.ints[c].get(i) }
	return impound.Event{
		Seq: uint64(r.seq[i]), At: time.UnixMicro(r.at[i]).UTC(), Sensor: t(cSensor), Proto: impound.Proto(t(cProto)),
		Src: addr(r.src, cSrc, cSrcPort), Dst: addr(r.dst, cDst, cDstPort),
		Name: t(cName), Zone: t(cZone), Order: t(cOrder), Capture: impound.CaptureLevel(t(cCapture)), Outcome: t(cOutcome),
		QType: uint16(n(cQType)), RCode: uint8(n(cRCode)), Method: t(cMethod), Path: t(cPath), Status: int(n(cStatus)),
		UserAgent: t(cUserAgent), Referer: t(cReferer), SNI: t(cSNI), ALPN: t(cALPN), JA4: t(cJA4), Helo: t(cHelo),
		FromDomain: t(cFromDomain), LureHash: t(cLureHash), Lure: t(cLure), Len: int(n(cLen)), Guess: t(cGuess),
		JA3: t(cJA3), TLS: t(cTLS), SenderHash: t(cSenderHash), RcptHash: t(cRcptHash), Opcode: uint8(n(cOpcode)),
	}
}

// read adds up to max events with numbers above after.
func (r *rows) read(after uint64, max int, out []impound.Event) []impound.Event {
	k, _ := slices.BinarySearchFunc(r.order, after, func(i uint32, after uint64) int {
		if uint64(r.seq[i]) <= after {
			return -1
		}
		return 1
	})
	out = slices.Grow(out, min(max, len(r.order)-k))
	for ; k < len(r.order) && max > 0; k, max = k+1, max-1 {
		out = append(out, r.event(k))
	}
	return out
}

// chunkMeta is what the footer says of the pages of one column in a row group.
type chunkMeta struct {
	physical, codec int64
	values          int64
	stored          int64
	data, dict      int64
	other           bool
}

type groupMeta struct {
	rows   int64
	chunks []chunkMeta
}

type fileMeta struct {
	columns []int // which of ours each is, or -1
	rows    int64
	groups  []groupMeta
}

type pqReader struct {
	data   []byte
	budget int64
	dec    *zstd.Decoder
	buf    []byte
	index  []uint32
	number []int64
}

var decoders = sync.Pool{New: func() any {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecodeAllCapLimit(true), zstd.WithDecoderMaxWindow(64<<20))
	if err != nil {
		panic(err) // the options are constants
	}
	return d
}}

// readParquet reads a sealed segment, of columns or of the library's writer:
// flat, every value present, one of the encodings and codecs that these use.
// Columns that are not there are empty; those that nobody knows are left out.
func readParquet(data []byte) (*rows, error) {
	r := &pqReader{data: data, budget: readFloor + readTimes*int64(len(data)), dec: decoders.Get().(*zstd.Decoder)}
	defer decoders.Put(r.dec)
	m, err := readFooter(data)
	if err != nil {
		return nil, err
	}
	// Numbers, times, and their order.
	if m.rows < 0 || m.rows > 1<<31 || !r.spend(32*m.rows) {
		return nil, badParquet("%d events in %d octets", m.rows, len(data))
	}
	out := &rows{seq: make([]int64, 0, m.rows), at: make([]int64, 0, m.rows)}
	done := int64(0)
	for _, g := range m.groups {
		if len(g.chunks) != len(m.columns) || g.rows < 0 || g.rows > m.rows-done {
			return nil, badParquet("a row group does not fit")
		}
		for i := range g.chunks {
			if m.columns[i] < 0 {
				continue
			}
			if err := r.chunk(out, m.columns[i], &g.chunks[i], int(done), int(g.rows)); err != nil {
				return nil, fmt.Errorf("column %s: %w", pqColumns[m.columns[i]].name, err)
			}
		}
		done += g.rows
	}
	if done != m.rows || len(out.seq) != int(m.rows) || len(out.at) != int(m.rows) {
		return nil, badParquet("%d of %d events are there", done, m.rows)
	}
	out.src, out.dst = addresses(out.text[cSrc].values), addresses(out.text[cDst].values)
	return out, out.sort()
}

func addresses(texts []string) []netip.Addr {
	out := make([]netip.Addr, len(texts))
	for i, s := range texts {
		out[i], _ = netip.ParseAddr(s) // "" is no address
	}
	return out
}

// spend takes n octets from what may be allocated.
func (r *pqReader) spend(n int64) bool {
	if n < 0 || n > r.budget {
		return false
	}
	r.budget -= n
	return true
}

// sort puts order by the numbers, which must differ.
func (r *rows) sort() error {
	n := len(r.seq)
	r.order = make([]uint32, n)
	if n == 0 {
		return nil
	}
	least, great := uint64(r.seq[0]), uint64(r.seq[0])
	for _, s := range r.seq {
		least, great = min(least, uint64(s)), max(great, uint64(s))
	}
	if span := great - least; span < uint64(2*n)+1024 { // mostly none is missing
		place := make([]uint32, span+1)
		for i, s := range r.seq {
			p := &place[uint64(s)-least]
			if *p != 0 {
				return badParquet("the number %d comes twice", uint64(s))
			}
			*p = uint32(i) + 1
		}
		k := 0
		for _, i := range place {
			if i != 0 {
				r.order[k] = i - 1
				k++
			}
		}
		return nil
	}
	for i := range r.order {
		r.order[i] = uint32(i)
	}
	slices.SortFunc(r.order, func(a, b uint32) int {
		switch x, y := uint64(r.seq[a]), uint64(r.seq[b]); {
		case x < y:
			return -1
		case x > y:
			return 1
		}
		return 0
	})
	for k := 1; k < n; k++ {
		if r.seq[r.order[k]] == r.seq[r.order[k-1]] {
			return badParquet("the number %d comes twice", uint64(r.seq[r.order[k]]))
		}
	}
	return nil
}

func readFooter(data []byte) (m fileMeta, err error) {
	n := len(data)
	if n < 12 || string(data[:4]) != pqMagic || string(data[n-4:]) != pqMagic {
		return m, badParquet("no Parquet file")
	}
	size := int64(binary.LittleEndian.Uint32(data[n-8:]))
	if size > int64(n-12) {
		return m, badParquet("its footer is cut")
	}
	t := &thriftReader{b: data[int64(n-8)-size : n-8]}
	t.fields(func(id int, typ byte) bool {
		switch {
		case id == 2 && typ == tList:
			err = errors.Join(err, m.schema(t))
		case id == 3 && typ == tI64:
			m.rows = t.number()
		case id == 4 && typ == tList:
			k, typ := t.list()
			for ; k > 0 && typ == tStruct && !t.bad; k-- {
				m.groups = append(m.groups, readGroup(t))
			}
		default:
			return false
		}
		return true
	})
	if t.bad && err == nil {
		err = badParquet("its footer can't be read")
	}
	return m, err
}

func (m *fileMeta) schema(t *thriftReader) error {
	n, typ := t.list()
	var seen [nColumns]bool
	for i := range n {
		if typ != tStruct || t.bad {
			return badParquet("its schema can't be read")
		}
		var name []byte
		physical, repetition, children := int64(-1), int64(0), int64(0)
		t.fields(func(id int, typ byte) bool {
			switch {
			case id == 1 && typ == tI32:
				physical = t.number()
			case id == 3 && typ == tI32:
				repetition = t.number()
			case id == 4 && typ == tBinary:
				name = t.octets()
			case id == 5 && typ == tI32:
				children = t.number()
			default:
				return false
			}
			return true
		})
		if i == 0 {
			if children != int64(n-1) {
				return badParquet("its schema is not flat")
			}
			continue
		}
		if children != 0 {
			return badParquet("its schema is not flat")
		}
		which := slices.IndexFunc(pqColumns[:], func(c pqColumn) bool { return c.name == string(name) })
		if which >= 0 {
			if int64(pqColumns[which].kind.physical()) != physical || repetition != 0 || seen[which] {
				return badParquet("column %s is of another type", pqColumns[which].name)
			}
			seen[which] = true
		}
		m.columns = append(m.columns, which)
	}
	return nil
}

func readGroup(t *thriftReader) (g groupMeta) {
	t.fields(func(id int, typ byte) bool {
		switch {
		case id == 1 && typ == tList:
			n, typ := t.list()
			for ; n > 0 && typ == tStruct && !t.bad; n-- {
				var c chunkMeta
				t.fields(func(id int, typ byte) bool {
					switch {
					case id == 3 && typ == tStruct:
						c.read(t)
						return true
					case id == 1 || id == 8: // in another file; encrypted
						c.other = true
					}
					return false
				})
				g.chunks = append(g.chunks, c)
			}
		case id == 3 && typ == tI64:
			g.rows = t.number()
		default:
			return false
		}
		return true
	})
	return g
}

func (c *chunkMeta) read(t *thriftReader) {
	t.fields(func(id int, typ byte) bool {
		if typ != tI32 && typ != tI64 {
			return false
		}
		switch id {
		case 1:
			c.physical = t.number()
		case 4:
			c.codec = t.number()
		case 5:
			c.values = t.number()
		case 7:
			c.stored = t.number()
		case 9:
			c.data = t.number()
		case 11:
			c.dict = t.number()
		default:
			return false
		}
		return true
	})
}

// pageHead is the head of a page.
type pageHead struct {
	kind, raw, stored int64
	values, enc       int64
	levels            int64
	plain             bool // stored as it is, whatever the codec
}

func readPageHead(t *thriftReader) (h pageHead) {
	h.kind = -1
	t.fields(func(id int, typ byte) bool {
		switch {
		case id == 1 && typ == tI32:
			h.kind = t.number()
		case id == 2 && typ == tI32:
			h.raw = t.number()
		case id == 3 && typ == tI32:
			h.stored = t.number()
		case (id == 5 || id == 7) && typ == tStruct:
			t.fields(func(id int, typ byte) bool {
				switch {
				case id == 1 && typ == tI32:
					h.values = t.number()
				case id == 2 && typ == tI32:
					h.enc = t.number()
				default:
					return false
				}
				return true
			})
		case id == 8 && typ == tStruct:
			t.fields(func(id int, typ byte) bool {
				switch {
				case id == 1 && typ == tI32:
					h.values = t.number()
				case id == 4 && typ == tI32:
					h.enc = t.number()
				case (id == 5 || id == 6) && typ == tI32:
					h.levels |= t.number() // required: there are none
				case id == 7 && typ == tFalse:
					h.plain = true
				default:
					return false
				}
				return true
			})
		default:
			return false
		}
		return true
	})
	return h
}

// chunk reads n values of column k, after those of the row groups before.
func (r *pqReader) chunk(out *rows, k int, c *chunkMeta, before, n int) error {
	first := c.data
	if c.dict > 0 {
		first = min(first, c.dict)
	}
	size := int64(len(r.data))
	if c.other || c.physical != int64(pqColumns[k].kind.physical()) || c.values != int64(n) || first < 4 || c.stored < 0 || first > size || c.stored > size-first {
		return badParquet("its pages are not there")
	}
	if c.codec != pqNoCodec && c.codec != pqZstd {
		return badParquet("codec %d is none of ours", c.codec)
	}
	v := values{k: k, kind: pqColumns[k].kind, out: out, before: before, text: &out.text[k]}
	if v.kind == kText {
		v.base = len(v.text.values)
	}
	t := &thriftReader{b: r.data[first : first+c.stored]}
	for v.n < n {
		h := readPageHead(t)
		if t.bad || h.stored < 0 || h.stored > int64(len(t.b)) || h.raw < 0 || h.values < 0 || h.levels != 0 {
			return badParquet("a page's head can't be read")
		}
		body := t.b[:h.stored]
		t.b = t.b[h.stored:]
		if h.kind != pqDataPage && h.kind != pqDataPageV2 && h.kind != pqDictPage {
			continue // an index
		}
		if c.codec == pqZstd && !h.plain {
			// Each page is charged, though they share the memory: it bounds the time.
			if !r.spend(h.raw) {
				return badParquet("a page of %d octets is too large", h.raw)
			}
			if h.raw > int64(cap(r.buf)) {
				r.buf = make([]byte, 0, h.raw)
			}
			var err error
			if body, err = r.dec.DecodeAll(body, r.buf[:0:h.raw]); err != nil {
				return badParquet("a page can't be unpacked: %v", err)
			}
		}
		if int64(len(body)) != h.raw {
			return badParquet("a page has %d octets, not %d", len(body), h.raw)
		}
		var err error
		if h.kind == pqDictPage {
			if v.n > 0 || v.dict {
				return badParquet("a dictionary comes late")
			}
			v.dict = true
			err = r.plain(&v, body, int(h.values), true)
		} else {
			if h.values > int64(n-v.n) {
				return badParquet("there are more values than rows")
			}
			err = r.page(&v, body, h.enc, int(h.values))
		}
		if err != nil {
			return err
		}
	}
	return r.settle(&v)
}

// values takes what the pages of a chunk hold.
type values struct {
	k, n   int
	kind   pqKind
	out    *rows
	before int
	base   int // texts of the row groups before
	dict   bool
	text   *textColumn
	nums   []int64 // the dictionary of a column of numbers
	words  int     // texts in the dictionary
}

// page takes n values from a data page.
func (r *pqReader) page(v *values, b []byte, enc int64, n int) error {
	switch {
	case enc == pqRLEDict || enc == pqPlainDict:
		if !v.dict || len(b) == 0 || b[0] > 32 {
			return badParquet("a page without its dictionary")
		}
		if !r.room(&r.index, n) {
			return badParquet("too many values")
		}
		var err error
		if r.index, err = readHybrid(r.index[:0], b[1:], int(b[0]), n); err != nil {
			return err
		}
		return r.lookUp(v)
	case enc == pqPlain:
		return r.plain(v, b, n, false)
	case enc == pqDelta && v.kind != kText:
		if !r.numbers(n) {
			return badParquet("too many values")
		}
		var err error
		if r.number, _, err = readDelta(r.number[:0], b, n); err != nil {
			return err
		}
		return r.take(v, r.number)
	case enc == pqDeltaLength && v.kind == kText:
		return r.lengths(v, b, n)
	}
	return badParquet("encoding %d is none of ours", enc)
}

func (r *pqReader) room(s *[]uint32, n int) bool {
	if cap(*s) >= n {
		return true
	}
	if !r.spend(4 * int64(n)) {
		return false
	}
	*s = make([]uint32, 0, n)
	return true
}

func (r *pqReader) numbers(n int) bool {
	if cap(r.number) >= n {
		return true
	}
	if !r.spend(8 * int64(n)) {
		return false
	}
	r.number = make([]int64, 0, n)
	return true
}

// lookUp takes the values whose places in the dictionary are in index.
func (r *pqReader) lookUp(v *values) error {
	if v.kind == kText {
		for i, x := range r.index {
			if int64(x) >= int64(v.words) {
				return badParquet("a value is not in the dictionary")
			}
			r.index[i] = x + uint32(v.base)
		}
		return r.takeIDs(v, r.index)
	}
	if !r.numbers(len(r.index)) {
		return badParquet("too many values")
	}
	r.number = r.number[:0]
	for _, x := range r.index {
		if int64(x) >= int64(len(v.nums)) {
			return badParquet("a value is not in the dictionary")
		}
		r.number = append(r.number, v.nums[x])
	}
	return r.take(v, r.number)
}

// plain takes n values, or a dictionary of n.
func (r *pqReader) plain(v *values, b []byte, n int, dict bool) error {
	if v.kind != kText {
		width := 8
		if v.kind == kInt {
			width = 4
		}
		if n > len(b)/width || !r.numbers(n) {
			return badParquet("a page is cut")
		}
		r.number = r.number[:0]
		for ; len(r.number) < n; b = b[width:] {
			if width == 4 {
				r.number = append(r.number, int64(int32(binary.LittleEndian.Uint32(b))))
			} else {
				r.number = append(r.number, int64(binary.LittleEndian.Uint64(b)))
			}
		}
		if dict {
			if !r.spend(8 * int64(n)) {
				return badParquet("too many values")
			}
			v.nums = slices.Clone(r.number)
			return nil
		}
		return r.take(v, r.number)
	}
	if n > len(b)/4 || !r.spend(int64(len(b))+16*int64(n)) || !r.room(&r.index, n) {
		return badParquet("a page is cut")
	}
	all := string(b) // each text is a part of it
	r.index = r.index[:0]
	v.text.values = slices.Grow(v.text.values, n)
	for at := 0; n > 0; n-- {
		if len(b)-at < 4 {
			return badParquet("a page is cut")
		}
		l := int64(binary.LittleEndian.Uint32(b[at:]))
		at += 4
		if l > int64(len(b)-at) {
			return badParquet("a page is cut")
		}
		r.index = append(r.index, uint32(len(v.text.values)))
		v.text.values = append(v.text.values, all[at:at+int(l)])
		at += int(l)
	}
	if dict {
		v.words = len(r.index)
		return nil
	}
	return r.takeIDs(v, r.index)
}

// lengths takes n texts, their lengths first.
func (r *pqReader) lengths(v *values, b []byte, n int) (err error) {
	if !r.spend(int64(len(b))+16*int64(n)) || !r.numbers(n) || !r.room(&r.index, n) {
		return badParquet("too many values")
	}
	if r.number, b, err = readDelta(r.number[:0], b, n); err != nil {
		return err
	}
	all, at := string(b), 0
	r.index = r.index[:0]
	v.text.values = slices.Grow(v.text.values, n)
	for _, l := range r.number {
		if l < 0 || l > int64(len(all)-at) {
			return badParquet("a page is cut")
		}
		r.index = append(r.index, uint32(len(v.text.values)))
		v.text.values = append(v.text.values, all[at:at+int(l)])
		at += int(l)
	}
	return r.takeIDs(v, r.index)
}

// takeIDs adds the texts with these numbers.
func (r *pqReader) takeIDs(v *values, ids []uint32) error {
	t := v.text
	if t.ids == nil {
		if !slices.ContainsFunc(ids, func(x uint32) bool { return x != 0 }) {
			v.n += len(ids)
			return nil
		}
		if !r.spend(4 * int64(v.before+v.n)) {
			return badParquet("too many values")
		}
		t.ids = make([]uint32, v.before+v.n, v.before+v.n+len(ids))
	}
	if !r.spend(4 * int64(len(ids))) {
		return badParquet("too many values")
	}
	t.ids = append(t.ids, ids...)
	v.n += len(ids)
	return nil
}

// take adds the numbers.
func (r *pqReader) take(v *values, nums []int64) error {
	switch v.kind {
	case kNumber:
		v.out.seq = append(v.out.seq, nums...) // was paid for
	case kTime:
		v.out.at = append(v.out.at, nums...)
	default:
		c := &v.out.ints[v.k]
		if c.v == nil {
			if v.before+v.n == 0 && len(nums) > 0 {
				c.one = int32(nums[0])
			}
			same := true
			for _, x := range nums {
				if int32(x) != c.one {
					same = false
					break
				}
			}
			if same {
				break
			}
			if !r.spend(4 * int64(v.before+v.n)) {
				return badParquet("too many values")
			}
			c.v = make([]int32, v.before+v.n, v.before+v.n+len(nums))
			for i := range c.v {
				c.v[i] = c.one
			}
		}
		if !r.spend(4 * int64(len(nums))) {
			return badParquet("too many values")
		}
		for _, x := range nums {
			c.v = append(c.v, int32(x))
		}
	}
	v.n += len(nums)
	return nil
}

// settle checks what a chunk left.
func (r *pqReader) settle(v *values) error {
	if v.kind == kText && v.text.ids == nil && v.before+v.n > 0 && len(v.text.values) == 0 {
		return badParquet("a column without values")
	}
	return nil
}

// readHybrid adds n values of Parquet's RLE / bit-packed hybrid to dst.
func readHybrid(dst []uint32, b []byte, width, n int) ([]uint32, error) {
	for n > 0 {
		head, k := binary.Uvarint(b)
		if k <= 0 {
			return nil, badParquet("a page is cut")
		}
		b = b[k:]
		if head&1 == 0 {
			run, octets := head>>1, (width+7)/8
			if run == 0 || run > uint64(n) || len(b) < octets {
				return nil, badParquet("a run does not fit")
			}
			var x uint32
			for i := range octets {
				x |= uint32(b[i]) << (8 * i)
			}
			b = b[octets:]
			for range run {
				dst = append(dst, x)
			}
			n -= int(run)
			continue
		}
		groups := head >> 1
		if groups == 0 || width > 0 && groups > uint64(len(b)/width) || width == 0 && groups > uint64(n+7)/8 {
			return nil, badParquet("a run does not fit")
		}
		packed := b[:int(groups)*width]
		b = b[len(packed):]
		take := n
		if groups < uint64(n+7)/8 {
			take = int(groups) * 8
		}
		n -= take
		for i := range take {
			dst = append(dst, uint32(unpack(packed, i*width, width)))
		}
	}
	return dst, nil
}

// readDelta adds the n values of a DELTA_BINARY_PACKED page to dst, and gives what
// follows them.
func readDelta(dst []int64, b []byte, n int) (out []int64, rest []byte, err error) {
	cut := badParquet("a page of differences is cut")
	unsigned := func() uint64 {
		v, k := binary.Uvarint(b)
		if k <= 0 {
			b = nil
			return 0
		}
		b = b[k:]
		return v
	}
	block, minis, total := unsigned(), unsigned(), unsigned()
	if b == nil || block == 0 || block > 1<<16 || minis == 0 || block%minis != 0 || block/minis%32 != 0 || total != uint64(n) {
		return nil, nil, cut
	}
	signed := func() int64 {
		v, k := binary.Varint(b)
		if k <= 0 {
			b = nil
			return 0
		}
		b = b[k:]
		return v
	}
	last := signed()
	if b == nil && n > 0 {
		return nil, nil, cut
	}
	if n == 0 {
		return dst, b, nil
	}
	dst = append(dst, last)
	n--
	size := int(block / minis)
	for n > 0 {
		least := signed()
		if len(b) < int(minis) {
			return nil, nil, cut
		}
		widths := b[:minis]
		b = b[minis:]
		for _, w := range widths {
			if n == 0 {
				break
			}
			width := int(w)
			octets := size / 8 * width
			if width > 64 || len(b) < octets {
				return nil, nil, cut
			}
			packed := b[:octets]
			b = b[octets:]
			take := min(n, size)
			n -= take
			at := 0
			for range take {
				last += least + int64(unpack(packed, at, width))
				at += width
				dst = append(dst, last)
			}
		}
	}
	return dst, b, nil
}

// unpack gives the number of width bits that begins at bit at.
func unpack(b []byte, at, width int) uint64 {
	if width == 0 {
		return 0
	}
	i, shift := at/8, at%8
	var w [16]byte
	if i+16 <= len(b) {
		w = [16]byte(b[i : i+16])
	} else {
		copy(w[:], b[i:])
	}
	lo := binary.LittleEndian.Uint64(w[:]) >> shift
	if shift > 0 {
		lo |= binary.LittleEndian.Uint64(w[8:]) << (64 - shift)
	}
	return lo & (1<<(width-1)<<1 - 1)
}
