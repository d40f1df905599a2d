package xdp

import (
	"fmt"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ring is one of the four rings between us and the kernel: one side produces,
// the other consumes. The kernel's index is read once a batch, ours is written
// once a batch; sync/atomic orders them around the descriptors.
type ring[T any] struct {
	producer, consumer, flags *uint32
	desc                      []T
	mask                      uint32
	prod, cons                uint32 // our copies
	mem                       []byte
}

func mapRing[T any](fd int, size uint32, off unix.XDPRingOffset, page int64) (*ring[T], error) {
	var t T
	n := int(off.Desc) + int(size)*int(unsafe.Sizeof(t))
	mem, err := unix.Mmap(fd, page, n, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_POPULATE)
	if err != nil {
		return nil, fmt.Errorf("couldn't map a ring: %w", err)
	}
	at := func(o uint64) *uint32 { return (*uint32)(unsafe.Pointer(&mem[o])) }
	return &ring[T]{producer: at(off.Producer), consumer: at(off.Consumer), flags: at(off.Flags),
		desc: unsafe.Slice((*T)(unsafe.Pointer(&mem[off.Desc])), size), mask: size - 1, mem: mem}, nil
}

func (r *ring[T]) unmap() {
	if r != nil && r.mem != nil {
		unix.Munmap(r.mem)
		*r = ring[T]{}
	}
}

// at is the descriptor of index i.
func (r *ring[T]) at(i uint32) *T { return &r.desc[i&r.mask] }

// ready gives how many the kernel has produced for us to consume. Never more
// than the ring has, whatever stands there.
func (r *ring[T]) ready() uint32 {
	return min(atomic.LoadUint32(r.producer)-r.cons, uint32(len(r.desc)))
}

// took tells the kernel what we consumed.
func (r *ring[T]) took(n uint32) {
	r.cons += n
	atomic.StoreUint32(r.consumer, r.cons)
}

// put adds a descriptor, which the kernel sees after submit. The caller never
// has more descriptors than the ring has room.
func (r *ring[T]) put(d T) {
	*r.at(r.prod) = d
	r.prod++
}

func (r *ring[T]) submit() { atomic.StoreUint32(r.producer, r.prod) }

// pending is how many of ours the kernel has not consumed.
func (r *ring[T]) pending() uint32 { return r.prod - atomic.LoadUint32(r.consumer) }

func (r *ring[T]) needsWakeup() bool {
	return atomic.LoadUint32(r.flags)&unix.XDP_RING_NEED_WAKEUP != 0
}
