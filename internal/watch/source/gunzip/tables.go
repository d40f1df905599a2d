package gunzip

import "math/bits"

// How many bits of the input the tables are asked with at once. Codes that are
// longer go through a second table.
const (
	litBits  = 12
	distBits = 9
	maxCode  = 15
)

// What a table says of the next bits of the input. In all of them what is used of
// the input is known without asking what it means.
//
// Of literals, one or two, entryLit is set:
//
//	bits 0-7 and 8-15   the octets
//	bits 16-20          how many bits of the input they take
//	bits 21-24          how many the first one takes
//	bits 25-26          how many octets
//
// Of lengths and distances:
//
//	bits 0-14           the base
//	bits 16-20          how many bits the code and what follows it take
//	bits 21-24          how many the code takes
//
// entrySpecial is the end of a block (entryEnd); a further table (entrySub), which
// begins at bits 0-14 and is asked with the bits 16-20 beyond the first; or, with
// neither, no code at all.
type entry uint32

const (
	entryLit     entry = 1 << 31
	entrySpecial entry = 1 << 30
	entrySub     entry = 1 << 29
	entryEnd     entry = 1 << 28
)

func (e entry) total() uint32 { return uint32(e>>16) & 31 }
func (e entry) first() uint32 { return uint32(e>>21) & 15 }
func (e entry) octets() int   { return int(e>>25) & 3 }
func (e entry) base() int     { return int(e & 0x7fff) }

// lens and dists are what symbols mean before the length of their code is known:
// base and further bits (RFC 1951, 3.2.5).
var (
	lens = func() (t [288]entry) {
		for i := range 256 {
			t[i] = entryLit | entry(i)
		}
		t[256] = entrySpecial | entryEnd
		base, extra := 3, 0
		for i := range 28 {
			if i >= 8 && i%4 == 0 {
				extra++
			}
			t[257+i] = entry(base) | entry(extra)<<16
			base += 1 << extra
		}
		t[285] = 258
		t[286], t[287] = entrySpecial, entrySpecial
		return t
	}()
	dists = func() (t [32]entry) {
		base, extra := 1, 0
		for i := range 30 {
			if i >= 4 && i%2 == 0 {
				extra++
			}
			t[i] = entry(base) | entry(extra)<<16
			base += 1 << extra
		}
		t[30], t[31] = entrySpecial, entrySpecial
		return t
	}()
	symbols = func() (t [19]entry) { // of the code that code lengths are written in
		for i := range t {
			t[i] = entry(i)
		}
		return t
	}()
)

// codes orders the symbols that have a code by length, then number, and gives how
// many there are of each length. It is false for lengths that make no code: too
// many or too few, other than none at all or a single one of one bit.
func codes(length []uint8, order *[288]uint16) (count [maxCode + 1]int, n int, ok bool) {
	for _, l := range length {
		count[l]++
	}
	n = len(length) - count[0]
	count[0] = 0
	var at [maxCode + 1]int
	left := 1
	for l := 1; l <= maxCode; l++ {
		left = left<<1 - count[l]
		if left < 0 {
			return count, n, false
		}
		at[l] = at[l-1] + count[l-1]
	}
	if left > 0 && n > 0 && (n != 1 || count[1] != 1) {
		return count, n, false
	}
	for i, l := range length {
		if l > 0 {
			order[at[l]] = uint16(i)
			at[l]++
		}
	}
	return count, n, true
}

// with gives what a symbol means, its code being of n bits.
func with(mean entry, n int) entry {
	if mean&entryLit != 0 {
		return mean | entry(n)<<16 | entry(n)<<21 | 1<<25
	}
	return mean + entry(n)<<16 | entry(n)<<21
}

// build fills first, of 1<<width entries, and gives more with the further tables
// behind it.
func build(first []entry, width int, more []entry, length []uint8, mean []entry) ([]entry, bool) {
	more = more[:0]
	var order [288]uint16
	count, n, ok := codes(length, &order)
	if !ok {
		return more, false
	}
	if n <= 1 { // there are bits that mean nothing
		for i := range first {
			first[i] = entrySpecial
		}
	}
	// Codes of up to width bits. A code is read from its highest bit, so the bits
	// behind it, which don't matter, are the high ones of a place. What is there is
	// doubled for each bit more; each place that nothing fits yet is set later.
	code, k := 0, 0
	for l := 1; l <= width; l++ {
		code <<= 1
		if n > 1 {
			copy(first[1<<(l-1):1<<l], first[:1<<(l-1)])
		}
		for range count[l] {
			at, e := int(bits.Reverse16(uint16(code))>>(16-l)), with(mean[order[k]], l)
			first[at] = e
			if n == 1 { // a code of one bit
				for ; at < 1<<width; at += 2 {
					first[at] = e
				}
			}
			code++
			k++
		}
	}
	if k == n {
		return more, true
	}
	// The rest share their first bits with others.
	prefix, start, sub := -1, 0, 0
	for l := width + 1; l <= maxCode; l++ {
		code <<= 1
		for left := count[l]; left > 0; left-- {
			at := int(bits.Reverse16(uint16(code)) >> (16 - l))
			if p := at & (1<<width - 1); p != prefix {
				// As wide as the codes with this prefix need: those of this length that
				// are left, then longer ones, until they fill it.
				prefix, start, sub = p, len(more), l-width
				for room := 1<<sub - left; room > 0 && width+sub < maxCode; {
					sub++
					room = room<<1 - count[width+sub]
				}
				more = append(more, make([]entry, 1<<sub)...)
				first[p] = entrySpecial | entrySub | entry(start) | entry(sub)<<16
			}
			e := with(mean[order[k]], l)
			for i := at >> width; i < 1<<sub; i += 1 << (l - width) {
				more[start+i] = e
			}
			code++
			k++
		}
	}
	return more, true
}

// pair puts two literals into one entry where the bits that are asked with hold
// both.
func pair(first *[1 << litBits]entry) {
	// What stands behind a code of n bits is found further to the front, where
	// nothing was changed yet.
	for i := len(first) - 1; i >= 0; i-- {
		e := first[i]
		if e&entryLit == 0 {
			continue
		}
		n := e.first()
		next := first[i>>(n&15)]
		if next&entryLit == 0 {
			continue
		}
		if m := next.first(); n+m <= litBits {
			first[i] = entryLit | e&0xff | next&0xff<<8 | entry(n+m)<<16 | entry(n)<<21 | 2<<25
		}
	}
}
