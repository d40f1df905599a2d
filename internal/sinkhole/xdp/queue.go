package xdp

import (
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Queue is the socket of one receive queue: a memory for frames that the
// kernel shares, half of them to receive into, half to send from.
type Queue struct {
	id    int
	fd    int
	event int // wakes Serve at the end
	umem  []byte
	rx    *ring[unix.XDPDesc]
	tx    *ring[unix.XDPDesc]
	fill  *ring[uint64]
	done  *ring[uint64]
	free  []uint64 // frames to send from
	stop  atomic.Bool
}

// Stats counts what the kernel could not hand over, since Open.
type Stats struct {
	Dropped uint64 // because we were too slow: no room in a ring, or no frame
	Invalid uint64 // descriptors that it would not take: a fault of ours
}

func openQueue(ifindex, id int, flags uint16) (q *Queue, err error) {
	q = &Queue{id: id, fd: -1, event: -1}
	defer func() {
		if err != nil {
			q.close()
		}
	}()
	if q.fd, err = unix.Socket(unix.AF_XDP, unix.SOCK_RAW|unix.SOCK_CLOEXEC, 0); err != nil {
		q.fd = -1
		return nil, fmt.Errorf("couldn't open it: %w", err)
	}
	if q.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		q.event = -1
		return nil, fmt.Errorf("couldn't make an eventfd: %w", err)
	}
	if q.umem, err = unix.Mmap(-1, 0, 2*frames*frameSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANONYMOUS|unix.MAP_POPULATE); err != nil {
		return nil, fmt.Errorf("couldn't get memory for frames: %w", err)
	}
	reg := unix.XDPUmemReg{Addr: uint64(uintptr(unsafe.Pointer(&q.umem[0]))), Len: uint64(len(q.umem)), Size: frameSize}
	if err := setsockopt(q.fd, unix.XDP_UMEM_REG, unsafe.Pointer(&reg), unsafe.Sizeof(reg)); err != nil {
		return nil, fmt.Errorf("couldn't share the memory for frames: %w", err)
	}
	for _, o := range []int{unix.XDP_UMEM_FILL_RING, unix.XDP_UMEM_COMPLETION_RING, unix.XDP_RX_RING, unix.XDP_TX_RING} {
		if err := unix.SetsockoptInt(q.fd, unix.SOL_XDP, o, frames); err != nil {
			return nil, fmt.Errorf("couldn't make a ring: %w", err)
		}
	}
	// As many as there are to one system call; older kernels send 32.
	unix.SetsockoptInt(q.fd, unix.SOL_XDP, unix.XDP_MAX_TX_SKB_BUDGET, frames)
	var off unix.XDPMmapOffsets
	size := uint32(unsafe.Sizeof(off))
	if _, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(q.fd), unix.SOL_XDP, unix.XDP_MMAP_OFFSETS, uintptr(unsafe.Pointer(&off)), uintptr(unsafe.Pointer(&size)), 0); e != 0 {
		return nil, fmt.Errorf("couldn't learn where the rings are: %w", e)
	}
	if size != uint32(unsafe.Sizeof(off)) {
		return nil, errors.New("couldn't read where the rings are: a kernel before 5.4")
	}
	if q.rx, err = mapRing[unix.XDPDesc](q.fd, frames, off.Rx, unix.XDP_PGOFF_RX_RING); err != nil {
		return nil, err
	}
	if q.tx, err = mapRing[unix.XDPDesc](q.fd, frames, off.Tx, unix.XDP_PGOFF_TX_RING); err != nil {
		return nil, err
	}
	if q.fill, err = mapRing[uint64](q.fd, frames, off.Fr, unix.XDP_UMEM_PGOFF_FILL_RING); err != nil {
		return nil, err
	}
	if q.done, err = mapRing[uint64](q.fd, frames, off.Cr, unix.XDP_UMEM_PGOFF_COMPLETION_RING); err != nil {
		return nil, err
	}
	for i := range uint64(frames) {
		q.fill.put(i * frameSize)
		q.free = append(q.free, (frames+i)*frameSize)
	}
	q.fill.submit()
	if err := unix.Bind(q.fd, &unix.SockaddrXDP{Flags: flags, Ifindex: uint32(ifindex), QueueID: uint32(id)}); err != nil {
		return nil, fmt.Errorf("couldn't bind it: %w", err)
	}
	return q, nil
}

func setsockopt(fd, opt int, p unsafe.Pointer, n uintptr) error {
	if _, _, e := unix.Syscall6(unix.SYS_SETSOCKOPT, uintptr(fd), unix.SOL_XDP, uintptr(opt), uintptr(p), n, 0); e != 0 {
		return e
	}
	return nil
}

func (q *Queue) close() {
	// The fds first: the kernel must be done with the memory before it goes.
	if q.fd >= 0 {
		unix.Close(q.fd)
		q.fd = -1
	}
	if q.event >= 0 {
		unix.Close(q.event)
		q.event = -1
	}
	q.rx.unmap()
	q.tx.unmap()
	q.fill.unmap()
	q.done.unmap()
	if q.umem != nil {
		unix.Munmap(q.umem)
		q.umem = nil
	}
}

func (q *Queue) zeroCopy() bool {
	v, err := unix.GetsockoptInt(q.fd, unix.SOL_XDP, unix.XDP_OPTIONS)
	return err == nil && v&unix.XDP_OPTIONS_ZEROCOPY != 0
}

// ID is the number of the receive queue.
func (q *Queue) ID() int { return q.id }

// Stats asks the kernel.
func (q *Queue) Stats() Stats {
	var st unix.XDPStatistics
	size := uint32(unsafe.Sizeof(st))
	if _, _, e := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(q.fd), unix.SOL_XDP, unix.XDP_STATISTICS, uintptr(unsafe.Pointer(&st)), uintptr(unsafe.Pointer(&size)), 0); e != 0 {
		return Stats{}
	}
	return Stats{Dropped: st.Rx_dropped + st.Rx_ring_full, Invalid: st.Rx_invalid_descs + st.Tx_invalid_descs}
}

// Stop makes Serve end when it has served what came in. It may be called from
// any goroutine, while Serve runs or before.
func (q *Queue) Stop() {
	q.stop.Store(true)
	unix.Write(q.event, []byte{1, 0, 0, 0, 0, 0, 0, 0})
}

// Frame is one that came in, and room for an answer.
type Frame struct {
	In, Out []byte
	Len     int // of the answer in Out; 0 sends none
}

// Batch is the most frames that handle gets at once.
const Batch = batchSize

// Serve hands the frames that come in to handle, up to Batch at once, which
// gives each its Len. No answer leaves before handle returns. handle must keep
// none of them.
//
// Serve returns nil after Stop, or why the socket is of no use any more. While
// nothing comes it sleeps.
func (q *Queue) Serve(handle func([]Frame)) error {
	var batch [batchSize]Frame
	var bases [batchSize]uint64
	for {
		ending := q.stop.Load() // before the last look
		q.reclaim()
		n := min(q.rx.ready(), batchSize, uint32(len(q.free)))
		if n == 0 {
			if ending && q.rx.ready() == 0 {
				q.drain()
				return nil
			}
			if err := q.wait(); err != nil {
				return err
			}
			continue
		}
		// Frames to send from are taken from the end of free, which is the part
		// that the cache still holds. Those without an answer are put back.
		k := 0
		for i := range n {
			d := *q.rx.at(q.rx.cons + i)
			base := d.Addr &^ (frameSize - 1)
			if base >= frames*frameSize || d.Addr-base+uint64(d.Len) > frameSize {
				continue // can't be; its frame is not ours to give back
			}
			out := q.free[len(q.free)-1-k]
			batch[k] = Frame{In: q.umem[d.Addr : d.Addr+uint64(d.Len) : d.Addr+uint64(d.Len)], Out: q.umem[out : out+frameSize : out+frameSize]}
			bases[k] = base
			k++
		}
		handle(batch[:k])
		outs := q.free[len(q.free)-k:]
		left := 0
		for i := range k {
			out := outs[k-1-i]
			if l := batch[i].Len; 0 < l && l <= frameSize {
				q.tx.put(unix.XDPDesc{Addr: out, Len: uint32(l)})
				outs[k-1-i] = 0
			} else {
				left++
			}
			q.fill.put(bases[i])
		}
		if left == 0 {
			q.free = q.free[:len(q.free)-k]
		} else {
			q.free = slices.DeleteFunc(q.free, func(a uint64) bool { return a == 0 })
		}
		q.rx.took(n)
		q.fill.submit()
		if q.fill.needsWakeup() {
			unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(q.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		}
		q.tx.submit()
		q.kick()
	}
}

// reclaim takes back the frames that were sent.
func (q *Queue) reclaim() {
	n := q.done.ready()
	for i := range n {
		if a := *q.done.at(q.done.cons + i); a >= frames*frameSize && a < 2*frames*frameSize && len(q.free) < frames {
			q.free = append(q.free, a&^(frameSize-1))
		}
	}
	if n > 0 {
		q.done.took(n)
	}
}

// kick makes the kernel send, as far as it can now.
func (q *Queue) kick() {
	for left := q.tx.pending(); left > 0 && q.tx.needsWakeup(); {
		// A raw call, since it never waits: the runtime would otherwise hand our
		// processor to another thread.
		_, _, e := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(q.fd), 0, 0, unix.MSG_DONTWAIT, 0, 0)
		now := q.tx.pending()
		if e != unix.EINTR && now == left { // the device is busy: wait tries again
			return
		}
		left = now
	}
}

// wait sleeps until there is something to do.
func (q *Queue) wait() error {
	q.kick()
	fds := []unix.PollFd{{Fd: int32(q.event), Events: unix.POLLIN}, {Fd: int32(q.fd), Events: unix.POLLIN}}
	timeout := 1000 // ms
	switch {
	case len(q.free) == 0: // questions may be there, which would not let us sleep
		fds = fds[:1]
		timeout = 1
	case q.tx.pending() > 0:
		timeout = 1
	}
	if q.stop.Load() {
		timeout = 0
	}
	n, err := unix.Poll(fds, timeout)
	if err != nil && err != unix.EINTR {
		return fmt.Errorf("couldn't wait for packets: %w", err)
	}
	const bad = unix.POLLERR | unix.POLLHUP | unix.POLLNVAL
	failed := len(fds) > 1 && fds[1].Revents&bad != 0
	if failed || n == 0 { // poll does not tell that the interface is gone
		if e, err := unix.GetsockoptInt(q.fd, unix.SOL_SOCKET, unix.SO_ERROR); err == nil && e != 0 {
			return fmt.Errorf("couldn't wait for packets: %w", unix.Errno(e))
		}
	}
	if failed {
		time.Sleep(time.Millisecond) // whatever it is, it must not make us spin
	}
	return nil
}

// drain gives the last answers a moment to leave.
func (q *Queue) drain() {
	for range 50 {
		q.reclaim()
		if q.tx.pending() == 0 && len(q.free) == frames {
			return
		}
		q.kick()
		time.Sleep(time.Millisecond)
	}
}
