package policy

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// huge asks for large pages under b, where it is large itself: a lookup touches
// one place at random, and would miss the translation of its address, too.
// Where the kernel has none to give, nothing changes.
func huge(b []byte) {
	const page = 2 << 20
	p := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	skip := int(-p & (page - 1))
	if skip+page > cap(b) {
		return
	}
	b = b[:cap(b)][skip:]
	unix.Madvise(b[:len(b)&^(page-1)], unix.MADV_HUGEPAGE)
}
