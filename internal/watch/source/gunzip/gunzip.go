// Package gunzip unpacks gzip (RFC 1952, RFC 1951) about twice as fast as
// compress/gzip: zone files of all the world's names are 10 GB packed.
//
// What lives here: one reader. What must not: packing, or anything about names.
package gunzip

import (
	"compress/flate"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io"
)

const (
	window = 32 << 10
	inSize = 64 << 10
	// slack is how far beyond what it may fill the fast way writes at most: a match
	// of 258 octets, three literals twice, and what copying by the piece adds.
	slack   = 512
	outSize = window + 128<<10
	// margin is how much of the input the fast way wants to see.
	margin = 32
)

// Reader gives what a gzip file holds, of all its members. Errors are those of
// compress/gzip: [gzip.ErrHeader], [gzip.ErrChecksum], [flate.CorruptInputError]
// (always 0), and [io.ErrUnexpectedEOF] for a file that is cut short; what was whole before is
// given first. It is for one goroutine.
type Reader struct {
	src io.Reader
	err error // of src, or for good

	in      [inSize]byte
	ip, end int
	hold    uint64 // bits of the input that were taken, the next one lowest
	held    uint32 // how many

	out  [outSize + slack]byte
	op   int // up to where out is filled
	rp   int // up to where it was given
	from int // what stands before can't be copied: it is not of this member

	state  int
	last   bool // the block is the last one
	stored int  // octets of a stored block that are left
	crc    uint32
	size   uint32 // octets of the member, modulo 1<<32
	summed int    // up to where out is in crc

	lit      [1 << litBits]entry
	dist     [1 << distBits]entry
	moreLit  []entry
	moreDist []entry
	fixed    bool // lit and dist are the fixed ones
}

const (
	atBlock = iota // before a block's header
	inStored
	inCodes
	atTrailer
	atHeader // before another member, or the end
)

// errMore says that the input that is there does not hold what is to be read next.
var errMore = errors.New("more input is needed")

// NewReader reads the header of the first member.
func NewReader(src io.Reader) (*Reader, error) {
	r := &Reader{src: src}
	if err := r.header(); err != nil {
		if errors.Is(err, io.EOF) && r.end > 0 {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	return r, nil
}

// Read is that of [io.Reader].
func (r *Reader) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	for r.rp == r.op {
		if r.err != nil && r.state < 0 {
			return 0, r.err
		}
		r.run()
	}
	n := copy(p, r.out[r.rp:r.op])
	r.rp += n
	return n, nil
}

// fail ends it; what is in out is given first.
func (r *Reader) fail(err error) { r.err, r.state = err, -1 }

// sum counts what was added to out.
func (r *Reader) sum() {
	b := r.out[r.summed:r.op]
	r.crc = crc32.Update(r.crc, crc32.IEEETable, b)
	r.size += uint32(len(b))
	r.summed = r.op
}

// run goes on until there is something to give, or an end. All of out was given.
func (r *Reader) run() {
	if r.op >= outSize-slack {
		n := copy(r.out[:], r.out[r.op-window:r.op])
		r.from = max(0, r.from-(r.op-window))
		r.op, r.rp, r.summed = n, n, n
	}
	start := r.op
	defer r.sum()
	for {
		var err error
		switch r.state {
		case atBlock:
			err = r.block()
		case inStored:
			err = r.copyStored()
		case inCodes:
			err = r.codes()
		case atTrailer:
			r.sum()
			err = r.trailer()
		case atHeader:
			if r.op > start { // what is there is given before anything is waited for
				return
			}
			if err = r.header(); err != nil {
				r.fail(err)
				return
			}
		}
		switch {
		case err == errMore:
			if r.op > start {
				return
			}
			if !r.more() {
				if errors.Is(r.err, io.EOF) {
					r.err = io.ErrUnexpectedEOF
				}
				r.fail(r.err)
				return
			}
		case err != nil:
			r.fail(err)
			return
		case r.op >= outSize: // full
			return
		}
	}
}

// more reads on; false when there is nothing more.
func (r *Reader) more() bool {
	if keep := min(r.ip, 8); r.ip > keep { // what is held may be given back
		r.end = copy(r.in[:], r.in[r.ip-keep:r.end])
		r.ip = keep
	}
	for range 100 {
		if r.err != nil || r.end == len(r.in) {
			return false
		}
		n, err := r.src.Read(r.in[r.end:])
		r.end += n
		r.err = err
		if n > 0 {
			return true
		}
	}
	if r.err == nil {
		r.err = io.ErrNoProgress
	}
	return false
}

// octet gives one of the input; held bits must be none.
func (r *Reader) octet() (byte, error) {
	for r.ip == r.end {
		r.ip, r.end = 0, 0
		if !r.more() {
			return 0, r.err
		}
	}
	r.ip++
	return r.in[r.ip-1], nil
}

// header reads what stands before a member. io.EOF when there is none.
func (r *Reader) header() error {
	sum := uint32(0)
	var b [10]byte
	get := func() (byte, error) {
		c, err := r.octet()
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		sum = crc32.Update(sum, crc32.IEEETable, []byte{c})
		return c, err
	}
	for i := range b {
		c, err := r.octet()
		if err != nil {
			if i > 0 && errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
		b[i] = c
	}
	sum = crc32.ChecksumIEEE(b[:])
	if b[0] != 0x1f || b[1] != 0x8b || b[2] != 8 {
		return gzip.ErrHeader
	}
	flags := b[3]
	if flags&4 != 0 {
		lo, err := get()
		if err != nil {
			return err
		}
		hi, err := get()
		if err != nil {
			return err
		}
		for range int(hi)<<8 | int(lo) {
			if _, err := get(); err != nil {
				return err
			}
		}
	}
	for _, f := range []byte{8, 16} { // name, comment
		if flags&f == 0 {
			continue
		}
		for n := 0; ; n++ {
			c, err := get()
			if err != nil {
				return err
			}
			if c == 0 {
				break
			}
			if n >= 511 {
				return gzip.ErrHeader
			}
		}
	}
	if flags&2 != 0 {
		want := uint16(sum)
		lo, err := get()
		if err != nil {
			return err
		}
		hi, err := get()
		if err != nil {
			return err
		}
		if uint16(hi)<<8|uint16(lo) != want {
			return gzip.ErrHeader
		}
	}
	r.state, r.crc, r.size, r.hold, r.held = atBlock, 0, 0, 0, 0
	r.from, r.summed = r.op, r.op
	return nil
}

// take gives n bits, 16 at most.
func (r *Reader) take(n uint32) (uint32, error) {
	for r.held < n {
		if r.ip == r.end {
			return 0, errMore
		}
		r.hold |= uint64(r.in[r.ip]) << r.held
		r.ip++
		r.held += 8
	}
	v := uint32(r.hold) & (1<<n - 1)
	r.hold >>= n
	r.held -= n
	return v, nil
}

// whole gives back the octets that were taken and not looked at, and drops what is
// left of the one that was.
func (r *Reader) whole() {
	r.ip -= int(r.held / 8)
	r.hold, r.held = 0, 0
}

// place is where in the input something begins that must be there as a whole.
type place struct {
	ip   int
	hold uint64
	held uint32
}

func (r *Reader) here() place   { return place{r.ip, r.hold, r.held} }
func (r *Reader) back(at place) { r.ip, r.hold, r.held = at.ip, at.hold, at.held }
func (r *Reader) trailer() error {
	at := r.here()
	r.whole()
	if r.end-r.ip < 8 {
		r.back(at)
		return errMore
	}
	b := r.in[r.ip : r.ip+8]
	r.ip += 8
	if binary.LittleEndian.Uint32(b) != r.crc || binary.LittleEndian.Uint32(b[4:]) != r.size {
		return gzip.ErrChecksum
	}
	r.state = atHeader
	return nil
}

var errCorrupt error = flate.CorruptInputError(0)

// block reads the header of a block.
func (r *Reader) block() (err error) {
	if r.last {
		r.last = false
		r.state = atTrailer
		return nil
	}
	at := r.here()
	defer func() {
		if err != nil {
			r.last = false
			r.back(at)
		}
	}()
	v, err := r.take(3)
	if err != nil {
		return err
	}
	last := v&1 != 0
	switch v >> 1 {
	case 0:
		r.whole()
		if r.end-r.ip < 4 {
			return errMore
		}
		n := binary.LittleEndian.Uint16(r.in[r.ip:])
		if n != ^binary.LittleEndian.Uint16(r.in[r.ip+2:]) {
			return errCorrupt
		}
		r.ip += 4
		r.stored, r.state = int(n), inStored
	case 1:
		if !r.fixed {
			if err := r.fixedCodes(); err != nil {
				return err
			}
		}
		r.state = inCodes
	case 2:
		if err := r.dynamicCodes(); err != nil {
			return err
		}
		r.state = inCodes
	default:
		return errCorrupt
	}
	r.last = last
	return nil
}

func (r *Reader) build(lit, dist []uint8) (err error) {
	ok := false
	if r.moreLit, ok = build(r.lit[:], litBits, r.moreLit, lit, lens[:]); !ok {
		return errCorrupt
	}
	if r.moreDist, ok = build(r.dist[:], distBits, r.moreDist, dist, dists[:]); !ok {
		return errCorrupt
	}
	pair(&r.lit)
	return nil
}

func (r *Reader) fixedCodes() error {
	var lit [288]uint8
	var dist [32]uint8
	for i := range lit {
		switch {
		case i < 144:
			lit[i] = 8
		case i < 256:
			lit[i] = 9
		case i < 280:
			lit[i] = 7
		default:
			lit[i] = 8
		}
	}
	for i := range dist {
		dist[i] = 5
	}
	if err := r.build(lit[:], dist[:]); err != nil {
		return err
	}
	r.fixed = true
	return nil
}

func (r *Reader) dynamicCodes() error {
	v, err := r.take(14)
	if err != nil {
		return err
	}
	nLit, nDist, nCode := int(v&31)+257, int(v>>5&31)+1, int(v>>10)+4
	if nLit > 286 || nDist > 30 {
		return errCorrupt
	}
	var length [19]uint8
	for _, i := range []int{16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15}[:nCode] {
		v, err := r.take(3)
		if err != nil {
			return err
		}
		length[i] = uint8(v)
	}
	var table [1 << 7]entry
	if _, ok := build(table[:], 7, nil, length[:], symbols[:]); !ok {
		return errCorrupt
	}
	var both [286 + 30]uint8
	for n := 0; n < nLit+nDist; {
		for r.held < 14 && r.ip < r.end {
			r.hold |= uint64(r.in[r.ip]) << r.held
			r.ip++
			r.held += 8
		}
		e := table[r.hold&127]
		if e&entrySpecial != 0 {
			if r.held < 7 {
				return errMore
			}
			return errCorrupt
		}
		if e.first() > r.held {
			return errMore
		}
		r.hold >>= e.first()
		r.held -= e.first()
		sym := e.base()
		if sym < 16 {
			both[n] = uint8(sym)
			n++
			continue
		}
		var fill uint8
		least, extra := 3, uint32(2)
		switch sym {
		case 16:
			if n == 0 {
				return errCorrupt
			}
			fill = both[n-1]
		case 17:
			extra = 3
		default:
			least, extra = 11, 7
		}
		v, err := r.take(extra)
		if err != nil {
			return err
		}
		again := least + int(v)
		if n+again > nLit+nDist {
			return errCorrupt
		}
		for range again {
			both[n] = fill
			n++
		}
	}
	r.fixed = false
	return r.build(both[:nLit], both[nLit:nLit+nDist])
}

func (r *Reader) copyStored() error {
	if r.held > 0 {
		r.whole()
	}
	for r.stored > 0 {
		if r.op >= outSize {
			return nil
		}
		n := copy(r.out[r.op:outSize], r.in[r.ip:min(r.end, r.ip+r.stored)])
		if n == 0 {
			return errMore
		}
		r.op += n
		r.ip += n
		r.stored -= n
	}
	r.state = atBlock
	return nil
}

// codes unpacks until the block ends, out is full, or the input is at its end.
func (r *Reader) codes() error {
	for r.op < outSize {
		if r.end-r.ip >= margin {
			if done, err := r.fast(); done || err != nil {
				return err
			}
			if r.op >= outSize {
				return nil
			}
		}
		if done, err := r.careful(); done || err != nil {
			return err
		}
	}
	return nil
}

// fast unpacks while there is room and input; done at the end of the block.
func (r *Reader) fast() (done bool, err error) {
	in, out := r.in[:r.end], &r.out
	ip, op, hold, held := r.ip, r.op, r.hold, r.held
	limit := len(in) - margin
	lit, dist := &r.lit, &r.dist
loop:
	for op < outSize && ip <= limit {
		// 56 bits at least. Bits beyond those that are counted are the right ones
		// too: the next octets are read again.
		hold |= binary.LittleEndian.Uint64(in[ip:]) << (held & 63)
		ip += int(63-held) >> 3
		held |= 56
		e := lit[hold&(1<<litBits-1)]
		if e&entryLit != 0 {
			binary.LittleEndian.PutUint16(out[op:], uint16(e))
			op += e.octets()
			hold >>= e.total()
			held -= e.total()
			e = lit[hold&(1<<litBits-1)]
			if e&entryLit != 0 {
				binary.LittleEndian.PutUint16(out[op:], uint16(e))
				op += e.octets()
				hold >>= e.total()
				held -= e.total()
				e = lit[hold&(1<<litBits-1)]
				if e&entryLit != 0 {
					binary.LittleEndian.PutUint16(out[op:], uint16(e))
					op += e.octets()
					hold >>= e.total()
					held -= e.total()
					continue
				}
			}
		}
		if e&entrySpecial != 0 {
			if e&entrySub != 0 {
				e = r.moreLit[e.base()+int(hold>>litBits&(1<<e.total()-1))]
			}
			switch {
			case e&entryLit != 0:
				out[op] = byte(e)
				op++
				hold >>= e.total()
				held -= e.total()
				continue
			case e&entryEnd != 0:
				hold >>= e.total()
				held -= e.total()
				done = true
				break loop
			case e&entrySpecial != 0:
				err = errCorrupt
				break loop
			}
		}
		length := e.base() + int(hold&(1<<e.total()-1)>>e.first())
		hold >>= e.total()
		held -= e.total()
		hold |= binary.LittleEndian.Uint64(in[ip:]) << (held & 63)
		ip += int(63-held) >> 3
		held |= 56
		e = dist[hold&(1<<distBits-1)]
		if e&entrySpecial != 0 {
			if e&entrySub != 0 {
				e = r.moreDist[e.base()+int(hold>>distBits&(1<<e.total()-1))]
			}
			if e&entrySpecial != 0 {
				err = errCorrupt
				break
			}
		}
		far := e.base() + int(hold&(1<<e.total()-1)>>e.first())
		hold >>= e.total()
		held -= e.total()
		if far > op-r.from {
			err = errCorrupt
			break
		}
		from := op - far
		switch {
		case far >= 32: // by the piece; most need no more than one
			*(*[32]byte)(out[op:]) = *(*[32]byte)(out[from:])
			for n := 32; n < length; n += 32 {
				*(*[32]byte)(out[op+n:]) = *(*[32]byte)(out[from+n:])
			}
		case far >= 8:
			for n := 0; n < length; n += 8 {
				*(*[8]byte)(out[op+n:]) = *(*[8]byte)(out[from+n:])
			}
		default:
			for n := range length {
				out[op+n] = out[from+n]
			}
		}
		op += length
	}
	r.ip, r.op, r.hold, r.held = ip, op, hold&(1<<held-1), held
	return r.ended(done), err
}

func (r *Reader) ended(done bool) bool {
	if done {
		r.state = atBlock
	}
	return done
}

// careful unpacks one literal or match, and never looks at input that is not there.
func (r *Reader) careful() (done bool, err error) {
	at := r.here()
	e, err := r.code(r.lit[:], litBits, r.moreLit)
	if err != nil {
		r.back(at)
		return false, err
	}
	if e&entryLit != 0 {
		r.out[r.op] = byte(e)
		r.op++
		return false, nil
	}
	if e&entryEnd != 0 {
		return r.ended(true), nil
	}
	extra, err := r.take(e.total() - e.first())
	if err != nil {
		r.back(at)
		return false, err
	}
	length := e.base() + int(extra)
	if e, err = r.code(r.dist[:], distBits, r.moreDist); err == nil {
		extra, err = r.take(e.total() - e.first())
	}
	if err != nil {
		r.back(at)
		return false, err
	}
	far := e.base() + int(extra)
	if far > r.op-r.from {
		return false, errCorrupt
	}
	for range length {
		r.out[r.op] = r.out[r.op-far]
		r.op++
	}
	return false, nil
}

// code reads one code, not what follows it; of two literals the first.
func (r *Reader) code(first []entry, width int, more []entry) (entry, error) {
	for {
		e := first[r.hold&(1<<width-1)]
		if e&entrySpecial != 0 && e&entrySub != 0 {
			e = more[e.base()+int(r.hold>>width&(1<<e.total()-1))]
		}
		n := e.first()
		if n > 0 && n <= r.held {
			if e&entrySpecial != 0 && e&entryEnd == 0 {
				return 0, errCorrupt
			}
			r.hold >>= n
			r.held -= n
			return e, nil
		}
		if n == 0 && r.held >= maxCode {
			return 0, errCorrupt
		}
		if r.ip == r.end {
			return 0, errMore
		}
		r.hold |= uint64(r.in[r.ip]) << r.held
		r.ip++
		r.held += 8
	}
}
