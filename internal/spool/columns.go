package spool

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math/bits"
	"net/netip"
	"slices"
)

// columns is the sealer that is used: it takes records as they stand in the
// journal, keeps each column by itself as numbers into a dictionary of octets,
// and writes Parquet of its own. Nothing in it is a Go string or a structure for
// each event: an event costs some 60 octets of it and what is new in the
// dictionaries. It can be used again, for one journal at a time.
type columns struct {
	n     int
	group int // rows of a row group at most
	seq   []uint64
	at    []int64
	port  []int32
	dict  [nColumns]dict // all but seq, at and src_port
	// word is the number+1 of a word that the journal knows by its place in a list.
	word [3][16]uint32
	ints [nColumns]*intCache
	four [4]byte               // scratch of int
	opt  [len(optional)][]byte // scratch of add

	order  []uint32
	rank   []uint32
	count  []uint32
	index  []uint32
	number []int64
	renum  []uint32
	used   []uint32
	page   []byte
	w      pqWriter

	raw []byte // the journal, where the spool reads it
}

// groupRows is the most rows of a row group. A journal of 8 MiB has fewer.
const groupRows = 1 << 18

// dict numbers what is put into it by first appearance, and keeps the number of
// each row.
type dict struct {
	ids   []uint32 // by row; rows that are missing at the end are 0
	ents  []entry
	octet []byte
	slots []uint32 // number+1 by hash
	last  uint32
}

type entry struct{ off, n, hash uint32 }

// intCache finds again the number of a small integer without hashing it.
type intCache [64]struct{ value, id1 uint32 }

var hashSeed = maphash.MakeSeed()

func (d *dict) reset() {
	d.ids, d.ents, d.octet, d.last = d.ids[:0], d.ents[:0], d.octet[:0], 0
	clear(d.slots)
}

func (d *dict) value(id uint32) []byte {
	e := d.ents[id]
	return d.octet[e.off : e.off+e.n]
}

// find gives the number of b, which is new if need be.
func (d *dict) find(b []byte) uint32 {
	if len(d.ents) > 0 {
		if bytes.Equal(d.value(d.last), b) {
			return d.last
		}
	} else if len(d.slots) == 0 { // most columns have one value only
		return d.insert(b, 0)
	}
	if 2*len(d.ents) >= len(d.slots) {
		d.grow()
	}
	h := uint32(maphash.Bytes(hashSeed, b))
	mask := uint32(len(d.slots) - 1)
	for i := h & mask; ; i = (i + 1) & mask {
		k := d.slots[i]
		if k == 0 {
			d.slots[i] = uint32(len(d.ents)) + 1
			return d.insert(b, h)
		}
		if e := &d.ents[k-1]; e.hash == h && bytes.Equal(d.octet[e.off:e.off+e.n], b) {
			d.last = k - 1
			return k - 1
		}
	}
}

func (d *dict) insert(b []byte, h uint32) uint32 {
	id := uint32(len(d.ents))
	d.ents = append(d.ents, entry{uint32(len(d.octet)), uint32(len(b)), h})
	d.octet = append(d.octet, b...)
	d.last = id
	return id
}

func (d *dict) grow() {
	n := max(64, 2*len(d.slots))
	if cap(d.slots) >= n {
		d.slots = d.slots[:n]
		clear(d.slots)
	} else {
		d.slots = make([]uint32, n)
	}
	mask := uint32(n - 1)
	for k := range d.ents {
		e := &d.ents[k]
		if k == 0 { // put in without a hash
			e.hash = uint32(maphash.Bytes(hashSeed, d.octet[e.off:e.off+e.n]))
		}
		i := e.hash & mask
		for d.slots[i] != 0 {
			i = (i + 1) & mask
		}
		d.slots[i] = uint32(k) + 1
	}
}

// put notes that row has the value with this number.
func (d *dict) put(row int, id uint32) {
	if id == 0 {
		return
	}
	for len(d.ids) < row {
		d.ids = append(d.ids, 0)
	}
	d.ids = append(d.ids, id)
}

func newColumns() *columns {
	p := &columns{group: groupRows, w: newPQWriter()}
	for i, c := range &pqColumns {
		if c.kind == kInt {
			p.ints[i] = new(intCache)
		}
	}
	return p
}

// optional are the strings of a record that are not in each, in their order.
var optional = [...]struct {
	bit uint32
	col int
}{
	{fOrder, cOrder}, {fMethod, cMethod}, {fPath, cPath}, {fUserAgent, cUserAgent}, {fReferer, cReferer}, {fSNI, cSNI},
	{fALPN, cALPN}, {fJA4, cJA4}, {fHelo, cHelo}, {fFromDomain, cFromDomain}, {fLureHash, cLureHash}, {fLure, cLure},
	{fGuess, cGuess}, {fJA3, cJA3}, {fTLS, cTLS}, {fSenderHash, cSenderHash}, {fRcptHash, cRcptHash},
}

const anyOptional = fOrder | fMethod | fPath | fUserAgent | fReferer | fSNI | fALPN | fJA4 | fHelo | fFromDomain | fLureHash | fLure | fGuess | fJA3 | fTLS | fSenderHash | fRcptHash

var zeroInt [4]byte

func (p *columns) begin(sensor string) {
	p.n = 0
	p.seq, p.at, p.port = p.seq[:0], p.at[:0], p.port[:0]
	for i := range p.dict {
		p.dict[i].reset()
	}
	p.word = [3][16]uint32{}
	for _, c := range p.ints {
		if c != nil {
			*c = intCache{}
		}
	}
	p.dict[cSensor].find([]byte(sensor))
	for _, o := range &optional {
		p.dict[o.col].find(nil)
	}
	for _, c := range [...]int{cStatus, cLen, cOpcode} {
		p.dict[c].find(zeroInt[:])
	}
}

// add takes the body of a record, as decode reads it, and keeps no reference to
// it. Numbers must grow.
func (p *columns) add(seq uint64, b []byte) (at int64, err error) {
	// First all is read, since what can't be read must leave no trace.
	if len(b) < 19 || b[0] != bodyV1 {
		return 0, errBody
	}
	at = int64(binary.LittleEndian.Uint64(b[1:]))
	w := b[9:12]
	rcode := b[12]
	qtype := binary.LittleEndian.Uint16(b[13:])
	f := binary.LittleEndian.Uint32(b[15:])
	c := cursor{b: b[19:]}
	src, srcPort := c.rawAddr()
	dst, dstPort := c.rawAddr()
	var spelt [3][]byte
	for i, list := range &wordLists {
		if w[i] == spelled {
			spelt[i] = c.octets()
		} else if int(w[i]) >= len(*list) {
			return 0, errBody
		}
	}
	name := c.octets()
	var zone []byte
	if f&fZoneIsTail != 0 {
		n := int(c.u8())
		if n > len(name) {
			return 0, errBody
		}
		zone = name[len(name)-n:]
	} else if f&fZone != 0 {
		zone = c.octets()
	}
	if f&anyOptional != 0 {
		for i, o := range &optional {
			if f&o.bit != 0 {
				p.opt[i] = c.octets()
			}
		}
	}
	var status, length, opcode int32
	if f&fStatus != 0 {
		status = int32(c.uvarint())
	}
	if f&fLen != 0 {
		length = int32(c.uvarint())
	}
	if f&fOpcode != 0 {
		opcode = int32(c.u8())
	}
	if c.bad {
		return 0, errBody
	}

	row := p.n
	p.n++
	p.seq = append(p.seq, seq)
	p.at = append(p.at, at)
	p.port = append(p.port, int32(srcPort))
	p.text(row, cSrc, src)
	p.text(row, cName, name)
	p.text(row, cDst, dst)
	p.int(row, cDstPort, int32(dstPort))
	for i := range wordLists {
		d := &p.dict[wordColumns[i]]
		if w[i] == spelled {
			d.put(row, d.find(spelt[i]))
			continue
		}
		id := p.word[i][w[i]]
		if id == 0 {
			id = d.find([]byte((*wordLists[i])[w[i]])) + 1
			p.word[i][w[i]] = id
		}
		d.put(row, id-1)
	}
	p.text(row, cZone, zone)
	p.int(row, cQType, int32(qtype))
	p.int(row, cRCode, int32(rcode))
	if f&anyOptional != 0 {
		for i, o := range &optional {
			if f&o.bit != 0 {
				p.text(row, o.col, p.opt[i])
			}
		}
	}
	if f&fStatus != 0 {
		p.int(row, cStatus, status)
	}
	if f&fLen != 0 {
		p.int(row, cLen, length)
	}
	if f&fOpcode != 0 {
		p.int(row, cOpcode, opcode)
	}
	return at, nil
}

var (
	wordLists   = [...]*[]string{&protos, &captures, &outcomes}
	wordColumns = [...]int{cProto, cCapture, cOutcome}
)

func (p *columns) text(row, col int, b []byte) {
	d := &p.dict[col]
	d.put(row, d.find(b))
}

func (p *columns) int(row, col int, v int32) {
	k := &p.ints[col][uint32(v)%64]
	if k.id1 == 0 || k.value != uint32(v) {
		binary.LittleEndian.PutUint32(p.four[:], uint32(v))
		k.value, k.id1 = uint32(v), p.dict[col].find(p.four[:])+1
	}
	p.dict[col].put(row, k.id1-1)
}

func (c *cursor) octets() []byte {
	n := c.uvarint()
	if n > maxBody {
		c.bad = true
		return nil
	}
	return c.take(int(n))
}

// rawAddr gives the octets of an address, none for no address.
func (c *cursor) rawAddr() ([]byte, uint16) {
	n := c.u8()
	switch n {
	case 0:
		return nil, 0
	case 4, 16:
	default:
		c.bad = true
		return nil, 0
	}
	a := c.take(int(n))
	port := c.take(2)
	if c.bad {
		return nil, 0
	}
	return a, binary.LittleEndian.Uint16(port)
}

// finish gives the Parquet file, good until the next begin.
func (p *columns) finish() ([]byte, error) {
	for i := range p.dict {
		d := &p.dict[i]
		for len(d.ids) > 0 && len(d.ids) < p.n {
			d.ids = append(d.ids, 0)
		}
	}
	p.sort()
	p.w.reset()
	for from := 0; from < p.n; from += p.group {
		rows := p.order[from:min(p.n, from+p.group)]
		g := p.w.group(len(rows))
		for k := range g.chunks {
			p.column(k, rows, &g.chunks[k])
		}
	}
	return p.w.finish(p.n), nil
}

// sort puts into order the rows by zone, time and number.
func (p *columns) sort() {
	zones := &p.dict[cZone]
	n := len(zones.ents)
	p.order = slices.Grow(p.order[:0], p.n)[:p.n]
	p.count = slices.Grow(p.count[:0], n+1)[:n+1]
	if len(zones.ids) == 0 {
		for i := range p.order {
			p.order[i] = uint32(i)
		}
		p.count = append(p.count[:0], 0, uint32(p.n))
	} else {
		p.used = slices.Grow(p.used[:0], n)[:n]
		for i := range p.used {
			p.used[i] = uint32(i)
		}
		slices.SortFunc(p.used, func(a, b uint32) int { return bytes.Compare(zones.value(a), zones.value(b)) })
		p.rank = slices.Grow(p.rank[:0], n)[:n]
		for r, id := range p.used {
			p.rank[id] = uint32(r)
		}
		clear(p.count)
		for _, id := range zones.ids {
			p.count[p.rank[id]+1]++
		}
		for i := 1; i <= n; i++ {
			p.count[i] += p.count[i-1]
		}
		for i, id := range zones.ids {
			at := &p.count[p.rank[id]]
			p.order[*at] = uint32(i)
			*at++
		}
		// Each has moved to where the next begins.
		copy(p.count[1:], p.count[:n])
		p.count[0] = 0
	}
	// The numbers grow within a zone already; mostly the times do too.
	for i := 1; i < len(p.count); i++ {
		rows := p.order[p.count[i-1]:p.count[i]]
		byTime := func(a, b uint32) int {
			switch x, y := p.at[a], p.at[b]; {
			case x < y:
				return -1
			case x > y:
				return 1
			}
			return 0
		}
		if !slices.IsSortedFunc(rows, byTime) {
			slices.SortStableFunc(rows, byTime)
		}
	}
}

// column writes the pages of a column for some rows.
func (p *columns) column(k int, rows []uint32, c *pqChunk) {
	switch k {
	case cSeq:
		p.number = p.number[:0]
		for _, r := range rows {
			p.number = append(p.number, int64(p.seq[r]))
		}
		p.delta(c, true)
		return
	case cAt:
		p.number = p.number[:0]
		for _, r := range rows {
			p.number = append(p.number, p.at[r])
		}
		p.delta(c, true)
		return
	case cSrcPort:
		p.number = p.number[:0]
		for _, r := range rows {
			p.number = append(p.number, int64(p.port[r]))
		}
		p.delta(c, false)
		return
	}
	d := &p.dict[k]
	if len(d.ids) == 0 { // one value
		p.page = p.plain(p.page[:0], k, 0)
		p.w.page(c, pqDictPage, pqPlain, 1, p.page)
		p.page = appendRun(append(p.page[:0], 1), 0, len(rows), 1)
		p.w.page(c, pqDataPage, pqRLEDict, len(rows), p.page)
		return
	}
	// Numbers anew, by first appearance in these rows: names of one zone come to
	// stand together in the dictionary, which makes it small.
	p.renum = slices.Grow(p.renum[:0], len(d.ents))[:len(d.ents)]
	clear(p.renum)
	p.used = p.used[:0]
	p.index = p.index[:0]
	for _, r := range rows {
		id := d.ids[r]
		x := p.renum[id]
		if x == 0 {
			p.used = append(p.used, id)
			x = uint32(len(p.used))
			p.renum[id] = x
		}
		p.index = append(p.index, x-1)
	}
	p.page = p.page[:0]
	for _, id := range p.used {
		p.page = p.plain(p.page, k, id)
	}
	c.codec = pqZstd
	p.w.page(c, pqDictPage, pqPlain, len(p.used), p.page)
	width := max(1, bits.Len(uint(len(p.used)-1)))
	p.page = appendHybrid(append(p.page[:0], byte(width)), p.index, width)
	p.w.page(c, pqDataPage, pqRLEDict, len(rows), p.page)
	if k == cZone { // sorted
		c.bounds, c.least, c.great = true, string(d.value(p.used[0])), string(d.value(p.used[len(p.used)-1]))
	}
}

// plain adds a value of the dictionary as PLAIN has it.
func (p *columns) plain(b []byte, k int, id uint32) []byte {
	v := p.dict[k].value(id)
	switch k {
	case cSrc, cDst:
		at := len(b)
		b = append(b, 0, 0, 0, 0)
		if a, ok := netip.AddrFromSlice(v); ok {
			b = a.AppendTo(b)
		}
		binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4))
		return b
	}
	if pqColumns[k].kind == kText {
		b = binary.LittleEndian.AppendUint32(b, uint32(len(v)))
	}
	return append(b, v...)
}

// delta writes the numbers. They are as small as they get: zstd would only take
// time.
func (p *columns) delta(c *pqChunk, bounds bool) {
	p.page = appendDelta(p.page[:0], p.number)
	p.w.page(c, pqDataPage, pqDelta, len(p.number), p.page)
	if bounds {
		var least, great [8]byte
		lo, hi := slices.Min(p.number), slices.Max(p.number)
		binary.LittleEndian.PutUint64(least[:], uint64(lo))
		binary.LittleEndian.PutUint64(great[:], uint64(hi))
		// Of mixed signs, the numbers' order and the times' differ.
		c.bounds, c.least, c.great = lo >= 0, string(least[:]), string(great[:])
	}
}
